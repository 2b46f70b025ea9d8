/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See frames.h. */
#include "velox/frames.h"

#include <hdf5.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/chunks.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "velox/info.h"
#include "velox/stack.h"

/* HDF5 may be built without thread safety, and lib/hdf5 wants one thread: one at a time. */
static pthread_mutex_t hdf5_lock = PTHREAD_MUTEX_INITIALIZER;

/* What a thread needs while it reads a frame. The last decoded chunk is kept: frames that share a
 * chunk are mostly read one after the other. */
struct reader {
    struct reader *next;
    struct emd_work *work;
    size_t stored_room, kept; /* kept: number of the chunk in 'decoded' + 1, 0: none */
    void *stored, *decoded;
};

struct emd_frames {
    struct emd_source *source;
    struct emd_stack stack;
    char *dataset;
    bool is_velox, direct;
    size_t item_size;
    double pixel_mm;
    struct emd_chunk_list list;
    struct emd_pipeline pipeline;
    pthread_mutex_t lock; /* of 'idle' */
    struct reader *idle;
};

/* ---- pixels ---- */

static int32_t to_int32(double v)
{
    return isnan(v)          ? EMD_FRAMES_NO_VALUE
           : v >= INT32_MAX  ? INT32_MAX
           : v <= -INT32_MAX ? -INT32_MAX
                             : (int32_t)lrint(v);
}

static int32_t from_u32(uint32_t v)
{
    return v > INT32_MAX ? INT32_MAX : (int32_t)v;
}

/* n pixels, 'step' items apart, to n numbers side by side. */
#define CONVERT(type, value)                                                                       \
    for (size_t i = 0; i < n; i++) {                                                               \
        type v;                                                                                    \
        memcpy(&v, from + i * step * sizeof v, sizeof v);                                          \
        to[i] = (value);                                                                           \
    }                                                                                              \
    break

static void convert(enum emd_stack_kind kind, const char *from, size_t step, size_t n, int32_t *to)
{
    switch (kind) {
    case EMD_STACK_I8:
        CONVERT(uint8_t, v < 128 ? v : v - 256);
    case EMD_STACK_U8:
        CONVERT(uint8_t, v);
    case EMD_STACK_I16:
        CONVERT(int16_t, v);
    case EMD_STACK_U16:
        CONVERT(uint16_t, v);
    case EMD_STACK_I32:
        CONVERT(int32_t, v);
    case EMD_STACK_U32:
        CONVERT(uint32_t, from_u32(v));
    case EMD_STACK_F32:
        CONVERT(float, to_int32((double)v));
    case EMD_STACK_F64:
        CONVERT(double, to_int32(v));
    case EMD_STACK_COMPLEX:
    case EMD_STACK_NONE:
        break;
    }
}

/* ---- opening ---- */

static enum emd_status find_stack(const char *path, const char *dataset, struct emd_frames *f,
                                  struct emd_error *err)
{
    struct emd_info info;
    enum emd_status status = emd_info_read(path, &info, err);
    if (status != EMD_OK)
        return status;
    f->is_velox = info.is_velox;
    for (size_t i = 0; i < info.stack_count && !f->dataset; i++)
        if (!dataset || strcmp(dataset, info.stack[i].path) == 0) {
            f->dataset = strdup(info.stack[i].path);
            f->pixel_mm = emd_camera_pixel(&info.stack[i].first, info.stack[i].binning);
            if (!f->dataset)
                status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
    if (status == EMD_OK && !f->dataset)
        status = dataset ? emd_fail(err, EMD_E_ARGUMENT, "there is no image %s", dataset)
                         : emd_fail(err, EMD_E_UNSUPPORTED, "no images in this file");
    emd_info_free(&info);
    return status;
}

/* Whether chunks can be read without HDF5; if not, it reads them. */
static enum emd_status prepare_direct(struct emd_frames *f, struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    hid_t dcpl = H5Dget_create_plist(f->stack.dataset), type = H5Dget_type(f->stack.dataset);
    enum emd_status status = EMD_OK;
    bool ours = false;
    if (dcpl < 0 || type < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the layout of %s", f->dataset);
    else if (H5Pget_layout(dcpl) == H5D_CHUNKED && H5Tequal(type, f->stack.memory_type) > 0 &&
             (f->stack.rank == 3 || f->stack.rank == 2)) {
        status = emd_filters_get(dcpl, &f->pipeline, &ours, err);
        if (status == EMD_OK && ours)
            status = emd_chunk_list_get(f->stack.dataset, f->source, EMD_CHUNKS_BY_INDEX, 0,
                                        &f->list, err);
        f->direct = status == EMD_OK && ours && f->list.has_addresses &&
                    f->list.grid.item_size == f->item_size;
    }
    emd_hdf5_close(&type);
    emd_hdf5_close(&dcpl);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

static enum emd_status open_locked(const char *path, const char *dataset, struct emd_frames *f,
                                   struct emd_error *err)
{
    enum emd_status status = find_stack(path, dataset, f, err);
    if (status == EMD_OK)
        status = emd_source_open(path, &f->source, err);
    if (status == EMD_OK)
        status = emd_stack_open(f->source->file, f->dataset, f->is_velox, &f->stack, err);
    if (status != EMD_OK)
        return status;
    if (f->stack.kind == EMD_STACK_NONE || f->stack.kind == EMD_STACK_COMPLEX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "pixels of type %s", f->stack.type);
    f->item_size = H5Tget_size(f->stack.memory_type);
    return prepare_direct(f, err);
}

enum emd_status emd_frames_open(const char *path, const char *dataset, struct emd_frames **frames,
                                struct emd_error *err)
{
    *frames = NULL;
    struct emd_frames *f = calloc(1, sizeof *f);
    if (!f)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    f->stack.dataset = f->stack.memory_type = H5I_INVALID_HID;
    pthread_mutex_init(&f->lock, NULL);
    pthread_mutex_lock(&hdf5_lock);
    const enum emd_status status = open_locked(path, dataset, f, err);
    pthread_mutex_unlock(&hdf5_lock);
    if (status == EMD_OK)
        *frames = f;
    else
        emd_frames_close(f);
    return status;
}

static void free_reader(struct reader *r)
{
    emd_work_free(r->work);
    free(r->stored);
    free(r->decoded);
    free(r);
}

void emd_frames_close(struct emd_frames *f)
{
    if (!f)
        return;
    while (f->idle) {
        struct reader *const next = f->idle->next;
        free_reader(f->idle);
        f->idle = next;
    }
    pthread_mutex_lock(&hdf5_lock);
    emd_chunk_list_free(&f->list);
    emd_stack_close(&f->stack);
    emd_source_close(f->source);
    pthread_mutex_unlock(&hdf5_lock);
    pthread_mutex_destroy(&f->lock);
    free(f->dataset);
    free(f);
}

void emd_frames_get_shape(const struct emd_frames *f, struct emd_frames_shape *shape)
{
    const enum emd_stack_kind kind = f->stack.kind;
    const bool is_float = kind == EMD_STACK_F32 || kind == EMD_STACK_F64;
    *shape = (struct emd_frames_shape){.width = f->stack.width,
                                       .height = f->stack.height,
                                       .frames = f->stack.frames,
                                       .item_size = f->item_size,
                                       .is_float = is_float,
                                       .is_signed = is_float || kind == EMD_STACK_I8 ||
                                                    kind == EMD_STACK_I16 || kind == EMD_STACK_I32,
                                       .is_velox = f->stack.frames_last,
                                       .direct = f->direct,
                                       .pixel_mm = f->pixel_mm,
                                       .dataset = f->dataset};
}

/* ---- reading by HDF5 ---- */

static enum emd_status read_locked(struct emd_frames *f, size_t index, char *buffer,
                                   struct emd_error *err)
{
    const struct emd_stack *s = &f->stack;
    hsize_t start[EMD_RANK_MAX] = {0}, count[EMD_RANK_MAX];
    const hsize_t pixels = (hsize_t)s->height * s->width;
    enum emd_status status = EMD_OK;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    memcpy(count, s->dims, sizeof count);
    if (s->frames_last) {
        start[2] = index;
        count[2] = 1;
    } else
        for (unsigned i = s->rank - 2; i-- > 0;) {
            start[i] = index % s->dims[i];
            index /= s->dims[i];
            count[i] = 1;
        }
    hid_t file = H5Dget_space(s->dataset), memory = H5Screate_simple(1, &pixels, NULL);
    if (file < 0 || memory < 0 ||
        H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(s->dataset, s->memory_type, memory, file, H5P_DEFAULT, buffer) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the pixels");
    emd_hdf5_close(&memory);
    emd_hdf5_close(&file);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

static enum emd_status read_by_hdf5(struct emd_frames *f, size_t index, int32_t *pixels,
                                    struct emd_error *err)
{
    const size_t n = f->stack.height * f->stack.width;
    char *const buffer = malloc(n * f->item_size + 1);
    if (!buffer)
        return emd_fail(err, EMD_E_MEMORY, "no memory for a frame");
    pthread_mutex_lock(&hdf5_lock);
    const enum emd_status status = read_locked(f, index, buffer, err);
    pthread_mutex_unlock(&hdf5_lock);
    if (status == EMD_OK)
        convert(f->stack.kind, buffer, 1, n, pixels);
    free(buffer);
    return status;
}

/* ---- reading beside HDF5 ---- */

static struct reader *take_reader(struct emd_frames *f)
{
    pthread_mutex_lock(&f->lock);
    struct reader *r = f->idle;
    if (r)
        f->idle = r->next;
    pthread_mutex_unlock(&f->lock);
    if (r)
        return r;
    r = calloc(1, sizeof *r);
    if (r) {
        r->work = emd_work_new();
        r->decoded = malloc(f->list.grid.chunk_bytes);
    }
    if (r && (!r->work || !r->decoded)) {
        free_reader(r);
        r = NULL;
    }
    return r;
}

static void give_back(struct emd_frames *f, struct reader *r)
{
    pthread_mutex_lock(&f->lock);
    r->next = f->idle;
    f->idle = r;
    pthread_mutex_unlock(&f->lock);
}

/* The stored chunk with this place in the grid; NULL: it was never written. */
static const struct emd_chunk *find_chunk(const struct emd_chunk_list *list, uint64_t index)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (list->chunk[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->chunk[low].index == index ? &list->chunk[low] : NULL;
}

static enum emd_status decode(struct emd_frames *f, struct reader *r, const struct emd_chunk *chunk,
                              struct emd_error *err)
{
    const size_t number = (size_t)(chunk - f->list.chunk) + 1;
    enum emd_status status = EMD_OK;
    if (r->kept == number)
        return EMD_OK;
    r->kept = 0;
    if (chunk->bytes > r->stored_room) {
        free(r->stored);
        r->stored_room = 0;
        r->stored = malloc(chunk->bytes);
        if (!r->stored)
            return emd_fail(err, EMD_E_MEMORY, "no memory for a chunk of %llu bytes",
                            (unsigned long long)chunk->bytes);
        r->stored_room = chunk->bytes;
    }
    status = emd_source_read(f->source->fd, r->stored, chunk->bytes, chunk->address, err);
    if (status == EMD_OK)
        status = emd_pipeline_decode(&f->pipeline, chunk->mask, r->work, r->stored, chunk->bytes,
                                     r->decoded, f->list.grid.chunk_bytes, err);
    if (status == EMD_OK)
        r->kept = number;
    return status;
}

/* Which axes of the dataset a frame has. 'frame' is the rank where there is none. */
struct axes {
    unsigned row, column, frame;
};

/* What of a chunk belongs to the frame, to its place there. */
static void place(const struct emd_frames *f, const struct axes *axes, const struct reader *r,
                  size_t index, const hsize_t *corner, int32_t *pixels)
{
    const struct emd_chunk_grid *g = &f->list.grid;
    size_t stride[EMD_RANK_MAX] = {0}, n = 1;
    for (unsigned i = g->rank; i-- > 0; n *= (size_t)g->chunk[i])
        stride[i] = n;
    const size_t width = f->stack.width, height = f->stack.height;
    const size_t left = (size_t)corner[axes->column], top = (size_t)corner[axes->row];
    const size_t columns =
        width - left < g->chunk[axes->column] ? width - left : (size_t)g->chunk[axes->column];
    const size_t rows =
        height - top < g->chunk[axes->row] ? height - top : (size_t)g->chunk[axes->row];
    const size_t first =
        axes->frame < g->rank ? (index - (size_t)corner[axes->frame]) * stride[axes->frame] : 0;
    for (size_t i = 0; i < rows; i++)
        convert(f->stack.kind,
                (const char *)r->decoded + (first + i * stride[axes->row]) * f->item_size,
                stride[axes->column], columns, pixels + (top + i) * width + left);
}

/* *all false: a chunk was never written, and HDF5 knows the fill value. */
static enum emd_status read_chunks(struct emd_frames *f, struct reader *r, size_t index,
                                   int32_t *pixels, bool *all, struct emd_error *err)
{
    const struct emd_chunk_grid *g = &f->list.grid;
    const struct axes axes = f->stack.frames_last ? (struct axes){0, 1, 2}
                             : g->rank == 3       ? (struct axes){1, 2, 0}
                                                  : (struct axes){0, 1, 2};
    uint64_t at[EMD_RANK_MAX] = {0};
    hsize_t corner[EMD_RANK_MAX];
    if (axes.frame < g->rank)
        at[axes.frame] = index / g->chunk[axes.frame];
    for (at[axes.row] = 0; at[axes.row] < g->count[axes.row]; at[axes.row]++)
        for (at[axes.column] = 0; at[axes.column] < g->count[axes.column]; at[axes.column]++) {
            uint64_t number = 0;
            for (unsigned i = 0; i < g->rank; i++)
                number = number * g->count[i] + at[i];
            const struct emd_chunk *const chunk = find_chunk(&f->list, number);
            if (!chunk) {
                *all = false;
                return EMD_OK;
            }
            const enum emd_status status = decode(f, r, chunk, err);
            if (status != EMD_OK)
                return status;
            emd_chunk_offset(g, number, corner);
            place(f, &axes, r, index, corner, pixels);
        }
    return EMD_OK;
}

enum emd_status emd_frames_read(struct emd_frames *f, size_t index, int32_t *pixels,
                                struct emd_error *err)
{
    bool all = true;
    if (index >= f->stack.frames)
        return emd_fail(err, EMD_E_ARGUMENT, "there are %zu frames", f->stack.frames);
    if (f->direct) {
        struct reader *const r = take_reader(f);
        if (!r)
            return emd_fail(err, EMD_E_MEMORY, "no memory for a chunk");
        const enum emd_status status = read_chunks(f, r, index, pixels, &all, err);
        give_back(f, r);
        if (status != EMD_OK || all)
            return status;
    }
    return read_by_hdf5(f, index, pixels, err);
}

/* ---- pedestal ---- */

/* The value that one pixel in ten thousand is below, if it is negative, else 0. Counts: pixels of
 * the value -i. */
enum { DEEPEST = 4096, ONE_IN = 10000 };

enum emd_status emd_frames_pedestal(struct emd_frames *f, int32_t *pedestal, struct emd_error *err)
{
    const size_t n = f->stack.height * f->stack.width, frames = f->stack.frames;
    const size_t sample[] = {0, frames / 2, frames > 0 ? frames - 1 : 0};
    struct emd_frames_shape shape;
    size_t below[DEEPEST + 1] = {0}, pixels_read = 0;
    enum emd_status status = EMD_OK;
    *pedestal = 0;
    emd_frames_get_shape(f, &shape);
    if (!shape.is_signed || frames == 0)
        return EMD_OK;
    int32_t *const pixels = malloc(n * sizeof *pixels + 1);
    if (!pixels)
        return emd_fail(err, EMD_E_MEMORY, "no memory for a frame");
    for (size_t i = 0; i < sizeof sample / sizeof *sample; i++) {
        const enum emd_status read = emd_frames_read(f, sample[i], pixels, err);
        if (read != EMD_OK) {
            status = read;
            continue;
        }
        pixels_read += n;
        for (size_t k = 0; k < n; k++)
            if (pixels[k] < 0 && pixels[k] != EMD_FRAMES_NO_VALUE)
                below[pixels[k] < -DEEPEST ? DEEPEST : -pixels[k]]++;
    }
    free(pixels);
    if (pixels_read == 0)
        return status;
    size_t left = 0;
    for (int32_t i = DEEPEST; i > 0 && *pedestal == 0; i--) {
        left += below[i];
        if (left > pixels_read / ONE_IN)
            *pedestal = i;
    }
    return EMD_OK;
}
