/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See picture.h. */
#include "velox/picture.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { SHEET_SIDE = 2048, GAP = 4, SAMPLES = 1 << 18 };

/* --- cells: what is shown, as values ----------------------------------------------------------*/

struct cells {
    size_t count, across, down; /* of the sheet */
    size_t width, height;       /* of a cell */
    size_t bin;                 /* pixels of the frame a pixel of the cell, each way */
    float *values;              /* [count][height][width] */
};

static bool ask(const struct emd_picture_options *o)
{
    return o->cancelled && o->cancelled(o->ctx);
}

/* Means of bin x bin pixels; what is left over at the right and below is left out. */
static void shrink(const float *frame, size_t frame_width, const struct cells *c, float *cell)
{
    const float share = 1.0F / (float)(c->bin * c->bin);
    memset(cell, 0, c->width * c->height * sizeof *cell);
    for (size_t y = 0; y < c->height * c->bin; y++) {
        const float *from = frame + y * frame_width;
        float *to = cell + y / c->bin * c->width;
        if (c->bin == 1) {
            memcpy(to, from, c->width * sizeof *to);
            continue;
        }
        for (size_t x = 0; x < c->width; x++) {
            float sum = 0;
            for (size_t k = 0; k < c->bin; k++)
                sum += from[x * c->bin + k];
            to[x] += sum * share;
        }
    }
}

static enum emd_status read_sheet(const struct emd_stack *stack,
                                  const struct emd_picture_options *o, float *frame,
                                  struct cells *c, struct emd_error *err)
{
    for (size_t i = 0; i < c->count; i++) {
        if (ask(o))
            return emd_fail(err, EMD_E_CANCELLED, "cancelled");
        const enum emd_status status = emd_stack_read(stack, o->first + i * o->step, frame, err);
        if (status != EMD_OK)
            return status;
        shrink(frame, stack->width, c, c->values + i * c->width * c->height);
    }
    return EMD_OK;
}

static enum emd_status read_projection(const struct emd_stack *stack,
                                       const struct emd_picture_options *o, float *frame,
                                       struct cells *c, struct emd_error *err)
{
    const size_t n = c->width * c->height;
    enum emd_status status = EMD_OK;
    double *sum = calloc(n, sizeof *sum);
    size_t count = 0;
    if (!sum)
        return emd_fail(err, EMD_E_MEMORY, "no memory for the projection");
    for (size_t i = o->first; i <= o->last && status == EMD_OK; i += o->step, count++) {
        if (ask(o))
            status = emd_fail(err, EMD_E_CANCELLED, "cancelled");
        else
            status = emd_stack_read(stack, i, frame, err);
        if (status != EMD_OK)
            break;
        if (o->mode == EMD_PICTURE_MEAN)
            for (size_t k = 0; k < n; k++)
                sum[k] += (double)frame[k];
        else
            for (size_t k = 0; k < n; k++)
                c->values[k] = count == 0 || frame[k] > c->values[k] ? frame[k] : c->values[k];
        if (o->last - i < o->step) {
            count++;
            break;
        }
    }
    if (o->mode == EMD_PICTURE_MEAN && status == EMD_OK)
        for (size_t k = 0; k < n; k++)
            c->values[k] = (float)(sum[k] / (double)count);
    free(sum);
    return status;
}

static enum emd_status plan_cells(const struct emd_stack *stack,
                                  const struct emd_picture_options *o, struct cells *c,
                                  struct emd_error *err)
{
    const size_t side = o->side ? o->side : SHEET_SIDE;
    *c = (struct cells){.count = 1, .across = 1, .down = 1, .bin = 1};
    if (stack->width == 0 || stack->height == 0 || o->step == 0 || o->first > o->last ||
        o->last >= stack->frames)
        return emd_fail(err, EMD_E_ARGUMENT, "no such images: the movie has %zu", stack->frames);
    if (o->mode == EMD_PICTURE_FRAMES)
        c->count = (o->last - o->first) / o->step + 1;
    if (c->count > 10000)
        return emd_fail(err, EMD_E_ARGUMENT, "%zu images are too many for a sheet", c->count);
    if (c->count > 1) {
        const size_t longest = stack->width > stack->height ? stack->width : stack->height;
        while (c->across * c->across < c->count)
            c->across++;
        c->down = (c->count + c->across - 1) / c->across;
        const size_t room = side / c->across > GAP + 1 ? side / c->across - GAP : 1;
        c->bin = (longest + room - 1) / room;
        if (c->bin > stack->width || c->bin > stack->height)
            c->bin = stack->width < stack->height ? stack->width : stack->height;
    }
    c->width = stack->width / c->bin;
    c->height = stack->height / c->bin;
    c->values = malloc(c->count * c->width * c->height * sizeof *c->values);
    return c->values ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "no memory for the picture");
}

/* --- contrast ---------------------------------------------------------------------------------*/

struct contrast {
    enum emd_picture_scale scale;
    float zero, unit;  /* background and its scatter */
    float low, factor; /* scaled value of black, and 255 / (white - black) */
    float black, white;
};

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float scaled(const struct contrast *k, float v)
{
    const float u = (v - k->zero) / k->unit;
    switch (k->scale) {
    case EMD_SCALE_ASINH:
        return asinhf(u);
    case EMD_SCALE_LOG: /* zero is the 1st percentile here */
        return logf(1 + (u > 0 ? u : 0));
    default:
        return v;
    }
}

static enum emd_status find_contrast(const struct cells *c, enum emd_picture_scale scale,
                                     struct contrast *k, struct emd_error *err)
{
    const size_t n = c->count * c->width * c->height;
    const size_t stride = n / SAMPLES + 1;
    size_t count = 0;
    float *sample = malloc((n / stride + 1) * sizeof *sample);
    if (!sample)
        return emd_fail(err, EMD_E_MEMORY, "no memory for the contrast");
    for (size_t i = 0; i < n; i += stride)
        if (isfinite(c->values[i]))
            sample[count++] = c->values[i];
    if (count == 0)
        sample[count++] = 0;
    qsort(sample, count, sizeof *sample, compare);
    const float one = sample[count / 100], middle = sample[count / 2];
    float top = sample[count - 1 - count / 1000];
    if (!(top > one))
        top = sample[count - 1];
    /* The lower quartile tells the scatter of the background: spots lie above the median only. */
    const float scatter = (middle - sample[count / 4]) / 0.6745F;
    *k = (struct contrast){.scale = scale,
                           .zero = scale == EMD_SCALE_LOG ? one : middle,
                           .unit = scatter > 0 ? scatter
                                   : top > one ? (top - one) / 100
                                               : 1,
                           .black = one,
                           .white = top};
    k->low = scaled(k, one);
    const float range = scaled(k, top) - k->low;
    k->factor = range > 0 ? 255 / range : 0;
    free(sample);
    return EMD_OK;
}

static uint8_t grey(const struct contrast *k, float v)
{
    const float g = (scaled(k, v) - k->low) * k->factor;
    return (uint8_t)(g > 0 ? (g < 255 ? g + 0.5F : 255) : 0); /* NaN is black */
}

/* --- drawing ----------------------------------------------------------------------------------*/

static void put_pixel(struct emd_picture *p, double x, double y, const uint8_t *colour)
{
    if (x >= 0 && y >= 0 && x < (double)p->width && y < (double)p->height)
        memcpy(p->pixels + ((size_t)y * p->width + (size_t)x) * p->channels, colour, p->channels);
}

/* Digits of 3 x 5 dots, rows from the top, three bits each. */
static void draw_number(struct emd_picture *p, size_t x, size_t y, size_t number)
{
    static const uint16_t digits[10] = {075557, 026227, 071747, 071717, 055711,
                                        074717, 074757, 071122, 075757, 075717};
    static const uint8_t white[3] = {255, 255, 255}, black[3] = {0, 0, 0};
    char text[24];
    const int n = snprintf(text, sizeof text, "%zu", number);
    for (int i = 0; i < n; i++)
        for (int row = -1; row < 6; row++)
            for (int column = -1; column < 4; column++) {
                const bool inside = row >= 0 && row < 5 && column >= 0 && column < 3;
                const bool on =
                    inside && digits[text[i] - '0'] >> (3 * (4 - row) + (2 - column)) & 1;
                for (int dot = 0; dot < 4; dot++) /* each dot is 2 x 2 pixels */
                    put_pixel(p, (double)x + 8 * i + 2 * column + (dot & 1) + 3,
                              (double)y + 2 * row + (dot >> 1) + 3, on ? white : black);
            }
}

static void draw_circle(struct emd_picture *p, double cx, double cy, double radius)
{
    static const uint8_t red[3] = {255, 64, 64};
    const size_t steps = (size_t)(8 * radius) + 16;
    for (size_t i = 0; i < steps; i++) {
        const double a = 6.283185307179586 * (double)i / (double)steps;
        put_pixel(p, floor(cx + radius * cos(a)), floor(cy + radius * sin(a)), red);
    }
}

static enum emd_status draw(const struct cells *c, const struct emd_picture_options *o,
                            struct emd_picture *p, struct emd_error *err)
{
    struct contrast contrast = {.factor = 0};
    const size_t gap = c->count > 1 ? GAP : 0;
    const bool rings = o->ring_count > 0 && c->count == 1;
    const enum emd_status status = find_contrast(c, o->scale, &contrast, err);
    if (status != EMD_OK)
        return status;
    p->black = contrast.black;
    p->white = contrast.white;
    p->channels = rings ? 3 : 1;
    p->width = c->across * (c->width + gap) - gap;
    p->height = c->down * (c->height + gap) - gap;
    p->pixels = calloc(p->width * p->height, p->channels);
    if (!p->pixels)
        return emd_fail(err, EMD_E_MEMORY, "no memory for the picture");
    for (size_t i = 0; i < c->count; i++) {
        const size_t left = i % c->across * (c->width + gap),
                     top = i / c->across * (c->height + gap);
        const float *from = c->values + i * c->width * c->height;
        for (size_t y = 0; y < c->height; y++)
            for (size_t x = 0; x < c->width; x++)
                memset(p->pixels + ((top + y) * p->width + left + x) * p->channels,
                       grey(&contrast, from[y * c->width + x]), p->channels);
        if (c->count > 1 && c->width >= 32)
            draw_number(p, left, top, o->first + i * o->step + 1);
    }
    if (rings) {
        p->beam_x = isfinite(o->beam[0]) ? o->beam[0] : (double)c->width / 2;
        p->beam_y = isfinite(o->beam[1]) ? o->beam[1] : (double)c->height / 2;
        for (size_t i = 0; i < o->ring_count; i++)
            if (isfinite(o->ring[i]) && o->ring[i] < 4 * (double)(c->width + c->height))
                draw_circle(p, p->beam_x, p->beam_y, o->ring[i]);
    }
    return EMD_OK;
}

enum emd_status emd_picture_make(const struct emd_stack *stack, const struct emd_picture_options *o,
                                 struct emd_picture *picture, struct emd_error *err)
{
    struct cells cells;
    float *frame = NULL;
    *picture = (struct emd_picture){.pixels = NULL};
    enum emd_status status = plan_cells(stack, o, &cells, err);
    if (status != EMD_OK || !cells.values)
        return status;
    frame = malloc(stack->width * stack->height * sizeof *frame);
    if (!frame)
        status = emd_fail(err, EMD_E_MEMORY, "no memory for a frame");
    else if (o->mode == EMD_PICTURE_FRAMES)
        status = read_sheet(stack, o, frame, &cells, err);
    else
        status = read_projection(stack, o, frame, &cells, err);
    if (status == EMD_OK)
        status = draw(&cells, o, picture, err);
    free(frame);
    free(cells.values);
    if (status != EMD_OK)
        emd_picture_free(picture);
    return status;
}

void emd_picture_free(struct emd_picture *picture)
{
    free(picture->pixels);
    picture->pixels = NULL;
}

double emd_ring_radius(double d, double wavelength, double distance, double pixel_size)
{
    const double sine = wavelength / (2 * d);
    return sine > 0 && sine < 0.7 ? distance * tan(2 * asin(sine)) / pixel_size : NAN;
}

/* --- PNG --------------------------------------------------------------------------------------*/

enum emd_status emd_picture_write(const struct emd_picture *p, FILE *stream, struct emd_error *err)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return emd_fail(err, EMD_E_MEMORY, "no memory for the PNG");
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return emd_fail(err, EMD_E_IO, "cannot write the PNG");
    }
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)p->width, (png_uint_32)p->height, 8,
                 p->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    /* Noise does not compress: filters and high levels cost seconds for a few percent. */
    png_set_filter(png, 0, PNG_FILTER_NONE);
    png_set_compression_level(png, 3);
    png_write_info(png, info);
    for (size_t y = 0; y < p->height; y++)
        png_write_row(png, p->pixels + y * p->width * p->channels);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return EMD_OK;
}
