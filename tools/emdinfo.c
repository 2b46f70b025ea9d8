/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdinfo: what is in an EMD file, as text, JSON, a table or a picture. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/safefile.h"
#include "common/jsontext.h"
#include "common/message.h"
#include "common/options.h"
#include "common/signals.h"
#include "contenthashes.h"
#include "dials/maskfile.h"
#include "hdf5/guard.h"
#include "hdf5/source.h"
#include "velox/estimatefile.h"
#include "velox/frames.h"
#include "velox/info.h"
#include "velox/picture.h"
#include "velox/xdsinput.h"

enum action { SHOW_TEXT, SHOW_JSON, SHOW_METADATA, SHOW_TILT, SHOW_XDS, MAKE_PICTURE, MAKE_MASK };

/* What the pixels of a stack say. */
struct pixels {
    bool looked_at;
    struct emd_estimate e;
    struct emd_gain gain;
    char why[160]; /* nothing was found out; "" */
};

struct arguments {
    enum action action;
    int actions; /* how many were asked for */
    bool no_pixels, quiet, hash;
    const char *dataset, *png, *mask;
    size_t image; /* --metadata */
    bool has_frames;
    size_t first, last, step; /* --frames, from 1 */
    enum emd_picture_mode mode;
    enum emd_picture_scale scale;
    bool rings;
    double distance; /* mm, 0: the camera length */
    bool force;
    char **argv; /* --metadata looks at the argument behind it */
    int argc;
};

static bool is_cancelled(void *ctx)
{
    (void)ctx;
    return emd_signals_caught();
}

/* --- text -------------------------------------------------------------------------------------*/

static void format_bytes(uint64_t bytes, char text[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t unit = 0;
    for (; v >= 999.5 && unit < 5; unit++)
        v /= 1000;
    snprintf(text, 16,
             unit == 0 || v >= 99.95 ? "%.0f %s"
             : v >= 9.995            ? "%.1f %s"
                                     : "%.2f %s",
             v, units[unit]);
}

static void format_time(int64_t seconds, char text[32])
{
    const time_t t = (time_t)seconds;
    struct tm utc;
    if (seconds <= 0 || !gmtime_r(&t, &utc) ||
        strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &utc) == 0)
        text[0] = '\0';
}

static int64_t date_of(const struct emd_info_stack *s)
{
    return s->first.started > 0 ? s->first.started : s->first.time / 1000000;
}

static double ratio_of(const struct emd_info_stack *s)
{
    return s->stored_bytes > 0 ? (double)s->raw_bytes / (double)s->stored_bytes : NAN;
}

static const char *camera_of(const struct emd_info_stack *s)
{
    return s->first.detector[0] ? s->first.detector : s->camera;
}

/* "2048 x 2048 x 1" */
static void format_shape(const hsize_t *dims, unsigned rank, char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < rank && used < capacity; i++) {
        const int n = snprintf(text + used, capacity - used, "%s%llu", i ? " x " : "",
                               (unsigned long long)dims[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void __attribute__((format(printf, 2, 3)))
print_line(const char *name, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf("  %-16s", name);
    emd_print_text(text);
    putchar('\n');
}

/* What is the same for all images of a file. */
/* The nominal one, and what the calibration of the pixel size comes to, where that is another. */
static void print_camera_length(const struct emd_info_stack *s)
{
    const double nominal = s->first.camera_length;
    const double implied = emd_implied_distance(&s->first, s->binning);
    char text[64] = "";
    if (isfinite(implied) && fabs(implied / nominal - 1) > 0.01)
        snprintf(text, sizeof text, " (the pixel size implies %.4g mm)", implied);
    print_line("camera length", "%g mm%s", nominal, text);
}

static void print_microscope(const struct emd_info_stack *s)
{
    const struct emd_velox_metadata *m = &s->first;
    char date[32];
    if (m->instrument[0] || m->manufacturer[0])
        print_line("microscope", "%s%s%s", m->instrument,
                   m->instrument[0] && m->manufacturer[0] ? ", " : "", m->manufacturer);
    format_time(date_of(s), date);
    if (*date)
        print_line("date", "%s", date);
    if (isfinite(m->voltage))
        print_line("voltage", "%g kV (wavelength %.5f A)", m->voltage,
                   emd_electron_wavelength(m->voltage));
    if (*m->mode && strcmp(m->mode, "None") != 0)
        print_line("mode", "%s", m->mode);
    if (isfinite(m->camera_length))
        print_camera_length(s);
    if (isfinite(m->screen_current) && m->screen_current > 0)
        print_line("screen current", "%.3g nA", m->screen_current);
}

static void print_detector(const struct emd_info_stack *s)
{
    const struct emd_velox_metadata *m = &s->first;
    if (*camera_of(s)) {
        char binning[48] = "";
        /* only images of a camera are binned; scanned ones have a size of their own */
        if (isfinite(s->binning) && s->binning >= 1 && isfinite(m->exposure))
            snprintf(binning, sizeof binning, ", binning %g", s->binning);
        print_line("camera", "%s%s", camera_of(s), binning);
    }
    if (isfinite(m->exposure))
        print_line("exposure", "%g s a frame", m->exposure);
    if (isfinite(m->dwell))
        print_line("dwell time", "%g us", m->dwell * 1e6);
    if (isfinite(m->dose))
        print_line("dose", "%g (%s)", m->dose, m->dose_unit);
    if (isfinite(m->pixel_size[0]))
        print_line("pixel size", "%g %s", m->pixel_size[0], m->pixel_unit);
}

/* No "-0.00". */
static double without_sign_of_zero(double v)
{
    return fabs(v) < 0.005 ? 0 : v;
}

static void print_tilt(const struct emd_info_stack *s)
{
    const struct emd_tilt_fit *t = &s->tilt;
    char outliers[48] = "";
    if (t->known == 0)
        return;
    if (t->outliers > 0)
        snprintf(outliers, sizeof outliers, ", %zu outlier%s", t->outliers,
                 t->outliers == 1 ? "" : "s");
    if (t->step == 0)
        print_line("tilt", "%.2f deg%s", without_sign_of_zero(t->start), outliers);
    else
        print_line("tilt", "%.2f to %.2f deg, %.4g deg a frame%s", without_sign_of_zero(t->start),
                   without_sign_of_zero(t->end), t->step, outliers);
    if (t->last + 1 < s->frame_count || t->first > 0)
        print_line("stage", "at rest outside images %zu to %zu", t->first + 1, t->last + 1);
}

static void print_storage(const struct emd_info_stack *s)
{
    char raw[16], stored[16], shape[160] = "";
    format_bytes(s->raw_bytes, raw);
    format_bytes(s->stored_bytes, stored);
    if (strcmp(s->layout, "chunked") == 0)
        format_shape(s->chunk, s->rank, shape, sizeof shape);
    print_line("storage", "%s%s%s, %s%s", s->layout, *shape ? " " : "", shape,
               *s->filters ? s->filters : "not compressed",
               s->readable ? "" : " (cannot be read here)");
    if (s->stored_bytes > 0)
        print_line("size", "%s of pixels in %s (ratio %.3g)", raw, stored, ratio_of(s));
    else
        print_line("size", "%s of pixels, none stored", raw);
}

static void print_pixels(const struct emd_info_stack *s, const struct pixels *p)
{
    const struct emd_estimate *e = &p->e;
    const double metadata = s->first.gain;
    if (p->looked_at && *p->why)
        print_line("pixels", "not looked at: %s", p->why);
    if (isfinite(e->centre[0]))
        print_line("beam centre", "%.1f, %.1f pixels (+-%.1f, from the %s)", e->centre[0],
                   e->centre[1], fmax(e->centre_sigma, 0.1),
                   e->centre_from == EMD_CENTRE_BEAM ? "direct beam" : "background");
    if (e->corners > 0)
        print_line("beam stop", "found (--mask writes a mask for DIALS)");
    if (isfinite(e->pedestal))
        print_line("pedestal", "%.1f (+-%.1f, from the pixels)", e->pedestal,
                   fmax(e->pedestal_sigma, 0.1));
    if (p->gain.from == EMD_GAIN_METADATA)
        print_line("gain", "%.3g per electron (from the metadata)", p->gain.value);
    else if (p->gain.from == EMD_GAIN_PIXELS)
        print_line("gain", "%.3g per electron (+-%.2g, from the pixels)", p->gain.value,
                   e->gain_sigma);
    if (p->gain.contradicted)
        print_line("WARNING", "the metadata say a gain of %.3g, the pixels %.3g", metadata,
                   e->gain);
    if (isfinite(s->first.saturation))
        print_line("saturation", "%g", s->first.saturation);
}

static void print_stack(const struct emd_info_stack *s, const struct pixels *p)
{
    print_detector(s);
    print_pixels(s, p);
    print_line("images", "%zu of %zu x %zu %s", s->frames, s->width, s->height, s->type);
    print_tilt(s);
    print_storage(s);
}

static void print_text(const struct emd_info *info, const struct pixels *pixels)
{
    char size[16];
    format_bytes(info->file_bytes, size);
    emd_print_text(info->path);
    printf(": %s%s%s, %s\n", info->is_velox ? "Velox" : "HDF5, not Velox",
           info->is_velox ? " file version " : "", info->version, size);
    if (*info->application)
        print_line("written by", "Velox %s", info->application);
    if (*info->codec)
        print_line("repacked by", "%s", info->codec);
    for (size_t i = 0; i < info->stack_count; i++) {
        if (i == 0)
            print_microscope(&info->stack[0]);
        if (info->stack_count > 1)
            print_line("dataset", "%s", info->stack[i].path);
        print_stack(&info->stack[i], &pixels[i]);
    }
    for (size_t i = 0; i < info->problem_count; i++)
        print_line("PROBLEM", "%s", info->problem[i]);
}

/* --- table ------------------------------------------------------------------------------------*/

enum { COLUMNS = 10 };

struct row {
    char cell[COLUMNS][64];
    char *name;
};

static void fill_row(const struct emd_info *info, struct row *row)
{
    const struct emd_info_stack *s = info->stack_count > 0 ? &info->stack[0] : NULL;
    char(*cell)[64] = row->cell;
    memset(row->cell, 0, sizeof row->cell);
    snprintf(cell[0], 64, "%s", info->is_velox ? info->version : "-");
    format_bytes(info->file_bytes, cell[8]);
    snprintf(cell[9], 64, info->problem_count ? "%zu" : "-", info->problem_count);
    for (int i = 1; i < 8; i++)
        strcpy(cell[i], "-");
    if (!s)
        return;
    snprintf(cell[1], 64, "%zu", s->frames);
    snprintf(cell[2], 64, "%zux%zu", s->width, s->height);
    snprintf(cell[3], 64, "%s", s->type);
    if (*camera_of(s))
        snprintf(cell[4], 64, "%s", camera_of(s));
    if (s->tilt.known > 0)
        snprintf(cell[5], 64, s->tilt.step != 0 ? "%.1f..%.1f" : "%.1f",
                 fabs(s->tilt.start) < 0.05 ? 0 : s->tilt.start,
                 fabs(s->tilt.end) < 0.05 ? 0 : s->tilt.end);
    if (*s->filters)
        snprintf(cell[6], 64, "%.63s", s->filters);
    if (s->stored_bytes > 0)
        snprintf(cell[7], 64, "%.2f", ratio_of(s));
}

static void print_table(const struct row *rows, size_t count)
{
    static const char *const header[COLUMNS] = {"version", "images",  "size",  "type", "camera",
                                                "tilt",    "filters", "ratio", "file", "problems"};
    size_t width[COLUMNS];
    for (size_t c = 0; c < COLUMNS; c++) {
        width[c] = strlen(header[c]);
        for (size_t i = 0; i < count; i++)
            if (strlen(rows[i].cell[c]) > width[c])
                width[c] = strlen(rows[i].cell[c]);
    }
    for (size_t c = 0; c < COLUMNS; c++)
        printf("%-*s  ", (int)width[c], header[c]);
    printf("name\n");
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < COLUMNS; c++)
            printf("%-*s  ", (int)width[c], rows[i].cell[c]);
        emd_print_text(rows[i].name);
        putchar('\n');
    }
}

/* --- JSON -------------------------------------------------------------------------------------*/

static void put_text(json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, *text ? emd_json_text(text) : NULL);
}

static json_object *number_json(double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.10g", v);
    return isfinite(v) ? json_object_new_double_s(v, text) : NULL;
}

static void put_number(json_object *o, const char *key, double v)
{
    json_object_object_add(o, key, number_json(v));
}

static void put_whole(json_object *o, const char *key, uint64_t v)
{
    json_object_object_add(o, key, json_object_new_int64(v <= INT64_MAX ? (int64_t)v : INT64_MAX));
}

static json_object *shape_json(const hsize_t *dims, unsigned rank)
{
    json_object *array = json_object_new_array();
    for (unsigned i = 0; i < rank; i++)
        json_object_array_add(array, json_object_new_int64((int64_t)dims[i]));
    return array;
}

static void put_pixels(json_object *o, const struct emd_info_stack *s, const struct pixels *p)
{
    static const char *const centres[] = {"", "beam", "background"};
    static const char *const gains[] = {"", "metadata", "pixels"};
    const struct emd_estimate *e = &p->e;
    json_object *centre = NULL, *stop = NULL;
    if (isfinite(e->centre[0])) {
        centre = json_object_new_array();
        for (int i = 0; i < 2; i++)
            json_object_array_add(centre, number_json(e->centre[i]));
    }
    for (size_t i = 0; i < e->corners; i++) {
        json_object *corner = json_object_new_array();
        if (!stop)
            stop = json_object_new_array();
        for (int k = 0; k < 2; k++)
            json_object_array_add(corner, number_json(e->corner[i][k]));
        json_object_array_add(stop, corner);
    }
    json_object_object_add(o, "beam_centre_px", centre);
    put_number(o, "beam_centre_sigma_px", e->centre_sigma);
    put_text(o, "beam_centre_from", centres[e->centre_from]);
    json_object_object_add(o, "beam_stop_px", stop);
    put_number(o, "pedestal", e->pedestal);
    put_number(o, "pedestal_sigma", e->pedestal_sigma);
    put_number(o, "gain", p->gain.value);
    put_text(o, "gain_from", gains[p->gain.from]);
    put_number(o, "gain_metadata", s->first.gain);
    put_number(o, "gain_pixels", e->gain);
    put_number(o, "gain_pixels_sigma", e->gain_sigma);
    json_object_object_add(o, "gain_contradicted", json_object_new_boolean(p->gain.contradicted));
    put_whole(o, "frames_estimated", e->frames);
    put_text(o, "estimate_error", p->why);
}

static json_object *stack_json(const struct emd_info_stack *s, const struct pixels *p)
{
    const struct emd_velox_metadata *m = &s->first;
    json_object *o = json_object_new_object(), *tilt = json_object_new_object(),
                *storage = json_object_new_object();
    char date[32];
    put_text(o, "dataset", s->path);
    put_text(o, "type", s->type);
    put_whole(o, "width", s->width);
    put_whole(o, "height", s->height);
    put_whole(o, "frames", s->frames);
    put_text(o, "camera", camera_of(s));
    put_text(o, "instrument", m->instrument);
    put_text(o, "manufacturer", m->manufacturer);
    put_text(o, "mode", m->mode);
    format_time(date_of(s), date);
    put_text(o, "date", date);
    put_number(o, "voltage_kV", m->voltage);
    put_number(o, "wavelength_A", emd_electron_wavelength(m->voltage));
    put_number(o, "camera_length_mm", m->camera_length);
    put_number(o, "exposure_s", m->exposure);
    put_number(o, "dwell_s", m->dwell);
    put_number(o, "binning", s->binning);
    put_number(o, "pixel_size", m->pixel_size[0]);
    put_text(o, "pixel_unit", m->pixel_unit);
    put_number(o, "implied_distance_mm", emd_implied_distance(m, s->binning));
    put_number(o, "electrons_per_count", m->electrons_per_count);
    put_number(o, "counts_per_value", m->counts_per_value);
    put_number(o, "saturation", m->saturation);
    put_pixels(o, s, p);
    put_number(o, "screen_current_nA", m->screen_current);
    put_number(o, "dose", m->dose);
    put_text(o, "dose_key", m->dose_unit);
    put_number(tilt, "start_deg", s->tilt.start);
    put_number(tilt, "end_deg", s->tilt.end);
    put_number(tilt, "step_deg", s->tilt.step);
    put_whole(tilt, "first_image", s->tilt.first + 1);
    put_whole(tilt, "last_image", s->tilt.last + 1);
    put_whole(tilt, "known", s->tilt.known);
    put_whole(tilt, "outliers", s->tilt.outliers);
    json_object_object_add(o, "tilt", tilt);
    put_text(storage, "layout", s->layout);
    json_object_object_add(storage, "shape", shape_json(s->dims, s->rank));
    json_object_object_add(
        storage, "chunk", strcmp(s->layout, "chunked") == 0 ? shape_json(s->chunk, s->rank) : NULL);
    put_text(storage, "filters", s->filters);
    json_object_object_add(storage, "readable", json_object_new_boolean(s->readable));
    put_whole(storage, "raw_bytes", s->raw_bytes);
    put_whole(storage, "stored_bytes", s->stored_bytes);
    put_number(storage, "ratio", ratio_of(s));
    put_whole(storage, "chunks", s->chunks);
    put_whole(storage, "chunks_stored", s->chunks_stored);
    put_whole(storage, "metadata_columns", s->columns);
    put_whole(storage, "metadata_readable", s->documents);
    json_object_object_add(o, "storage", storage);
    return o;
}

/* One line an object, as emdrepack does. */
static void print_info_json(const struct emd_info *info, const struct pixels *pixels)
{
    json_object *o = emd_json_new("emdinfo"), *stacks = json_object_new_array(),
                *problems = json_object_new_array();
    put_text(o, "file", info->path);
    put_text(o, "status", "ok");
    put_whole(o, "bytes", info->file_bytes);
    json_object_object_add(o, "velox", json_object_new_boolean(info->is_velox));
    put_text(o, "version", info->version);
    put_text(o, "application", info->application);
    put_text(o, "repacked", info->codec);
    for (size_t i = 0; i < info->stack_count; i++)
        json_object_array_add(stacks, stack_json(&info->stack[i], &pixels[i]));
    json_object_object_add(o, "images", stacks);
    for (size_t i = 0; i < info->problem_count; i++)
        json_object_array_add(problems, emd_json_text(info->problem[i]));
    json_object_object_add(o, "problems", problems);
    emd_json_print_line(o);
}

static void print_failure_json(const char *path, const struct emd_error *err)
{
    json_object *o = emd_json_new("emdinfo");
    put_text(o, "file", path);
    put_text(o, "status", emd_status_text(err->status));
    put_text(o, "error", err->text);
    emd_json_print_line(o);
}

/* --- tilts, metadata, pictures ----------------------------------------------------------------*/

static const struct emd_info_stack *choose_stack(const struct emd_info *info,
                                                 const struct arguments *args)
{
    for (size_t i = 0; i < info->stack_count; i++)
        if (!args->dataset || strcmp(info->stack[i].path, args->dataset) == 0)
            return &info->stack[i];
    return NULL;
}

/* What can be a diffraction pattern of a camera: not what was scanned, nor what has no meaning as
 * counts. */
static bool has_counts(const struct emd_info *info, const struct emd_info_stack *s)
{
    return info->is_velox && s->readable && s->frames > 0 && isnan(s->first.dwell) &&
           strncmp(s->type, "complex", 7) != 0;
}

static void print_or_dash(const char *format, double v)
{
    if (isfinite(v))
        printf(format, v);
    else
        printf("\t-");
}

static enum emd_status print_tilts(const struct emd_info *info, const struct arguments *args,
                                   bool many, struct emd_error *err)
{
    const struct emd_info_stack *s = choose_stack(info, args);
    if (!s || !s->frame)
        return emd_fail(err, EMD_E_EMPTY, "no images with metadata");
    struct emd_frame_estimate *found = calloc(s->frame_count + 1, sizeof *found);
    if (!found)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < s->frame_count; i++)
        found[i] = (struct emd_frame_estimate){{NAN, NAN}, NAN};
    if (!args->no_pixels && has_counts(info, s)) {
        const struct emd_estimate_request request = {.path = info->path,
                                                     .dataset = s->path,
                                                     .clip = s->first.saturation,
                                                     .frame_count = s->frame_count,
                                                     .cancelled = is_cancelled};
        struct emd_estimate movie;
        struct emd_error why;
        if (emd_estimate_file(&request, &movie, found, &why) != EMD_OK)
            emd_message_info("%s: no beam centres: %s", info->path, why.text);
    }
    for (size_t i = 0; i < s->frame_count; i++) {
        const struct emd_info_frame *f = &s->frame[i];
        const double off =
            f->alpha - s->tilt.start - s->tilt.step * ((double)i - (double)s->tilt.first);
        if (many) {
            emd_print_text(info->path);
            putchar('\t');
        }
        printf("%zu\t", i + 1);
        if (isfinite(f->alpha))
            printf("%.6f\t", f->alpha);
        else
            printf("-\t");
        if (f->time > 0)
            printf("%" PRId64 ".%06d\t", f->time / 1000000, (int)(f->time % 1000000));
        else
            printf("-\t");
        if (i < s->tilt.first || i > s->tilt.last)
            puts("at rest");
        else
            fputs(isfinite(off) && fabs(off) > s->tilt.limit ? "outlier" : "", stdout);
        print_or_dash("\t%.2f", found[i].centre[0]);
        print_or_dash("\t%.2f", found[i].centre[1]);
        print_or_dash("\t%.2f", found[i].pedestal);
        putchar('\n');
    }
    free(found);
    return EMD_OK;
}

static enum emd_status print_metadata(const char *path, const struct emd_info *info,
                                      const struct arguments *args, struct emd_error *err)
{
    const struct emd_info_stack *s = choose_stack(info, args);
    struct emd_source *source = NULL;
    char *text = NULL;
    size_t n = 0;
    if (!s)
        return emd_fail(err, EMD_E_EMPTY, "no images");
    enum emd_status status = emd_source_open(path, &source, err);
    if (status == EMD_OK)
        status = emd_info_document(source->file, s->path, args->image - 1, &text, &n, err);
    if (status == EMD_OK) {
        fwrite(text, 1, n, stdout);
        if (n > 0 && text[n - 1] != '\n')
            putchar('\n');
    }
    free(text);
    emd_source_close(source);
    return status;
}

/* Rings at round resolutions that fall on the image, with the pixel of the detector: 14 um for Ceta
 * and Falcon cameras, times the binning. */
static enum emd_status choose_rings(const struct emd_info_stack *s, const struct arguments *args,
                                    struct emd_picture_options *o, struct emd_error *err)
{
    static const double resolution[] = {10, 5, 3, 2, 1.5, 1, 0.8, 0.6};
    const struct emd_velox_metadata *m = &s->first;
    const double wavelength = emd_electron_wavelength(m->voltage);
    const double distance = args->distance > 0 ? args->distance : m->camera_length;
    const bool known = strstr(m->detector, "Ceta") || strstr(m->detector, "Falcon");
    const double corner = hypot((double)s->width, (double)s->height) / 2;
    if (!(wavelength > 0) || !(distance > 0) || !known || !(s->binning > 0))
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "no rings: voltage, distance or the camera's pixel size are not known");
    for (size_t i = 0; i < sizeof resolution / sizeof resolution[0]; i++) {
        const double radius =
            emd_ring_radius(resolution[i], wavelength, distance, 0.014 * s->binning);
        if (radius > 4 && radius < corner) {
            o->ring[o->ring_count++] = radius;
            emd_message_info("ring at %g A: radius %.1f pixels", resolution[i], radius);
        }
    }
    return EMD_OK;
}

static enum emd_status write_picture(const struct emd_picture *picture,
                                     const struct arguments *args, struct emd_error *err)
{
    struct emd_safefile *file = NULL;
    enum emd_status status = emd_safefile_create(args->png, &file, err);
    if (status != EMD_OK)
        return status;
    const int fd = dup(emd_safefile_fd(file));
    FILE *stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!stream) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", args->png);
        if (fd >= 0)
            close(fd);
    } else {
        status = emd_picture_write(picture, stream, err);
        if (fclose(stream) != 0 && status == EMD_OK)
            status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", args->png);
    }
    if (status == EMD_OK)
        return emd_safefile_commit(&file, 1, args->force, err);
    emd_safefile_discard(file);
    return status;
}

static enum emd_status make_picture(const char *path, const struct emd_info *info,
                                    const struct arguments *args, struct emd_error *err)
{
    const struct emd_info_stack *s = choose_stack(info, args);
    const char *dataset = s ? s->path : args->dataset;
    struct emd_picture_options o = {
        .mode = args->mode, .scale = args->scale, .step = 1, .cancelled = is_cancelled};
    struct emd_source *source = NULL;
    struct emd_stack stack = {.dataset = H5I_INVALID_HID, .memory_type = H5I_INVALID_HID};
    struct emd_picture picture = {.pixels = NULL};
    struct stat st;
    enum emd_status status;
    if (!dataset)
        return emd_fail(err, EMD_E_EMPTY, "no images");
    if (!args->force && lstat(args->png, &st) == 0)
        return emd_fail(err, EMD_E_EXISTS, "%s exists already (--force replaces it)", args->png);
    if (args->rings) {
        if (!s)
            return emd_fail(err, EMD_E_UNSUPPORTED, "no rings without Velox metadata");
        if ((status = choose_rings(s, args, &o, err)) != EMD_OK)
            return status;
    }
    if (args->rings) {
        const struct emd_estimate_request request = {.path = path,
                                                     .dataset = dataset,
                                                     .clip = s->first.saturation,
                                                     .cancelled = is_cancelled};
        struct emd_estimate estimate; /* clear after a failure: the middle */
        if (emd_estimate_file(&request, &estimate, NULL, NULL) != EMD_OK ||
            estimate.centre_from == EMD_CENTRE_UNKNOWN)
            emd_message_info("no beam centre found: rings around the middle");
        memcpy(o.beam, estimate.centre, sizeof o.beam);
    }
    if ((status = emd_source_open(path, &source, err)) != EMD_OK)
        return status;
    status = emd_stack_open(source->file, dataset, info->is_velox && s, &stack, err);
    if (status == EMD_OK) {
        if (args->has_frames) {
            o.first = args->first - 1;
            o.last = args->last - 1;
            o.step = args->step;
        } else if (args->mode != EMD_PICTURE_FRAMES && stack.frames > 0) {
            o.last = stack.frames - 1;
        }
        status = emd_picture_make(&stack, &o, &picture, err);
    }
    emd_stack_close(&stack);
    emd_source_close(source);
    if (status == EMD_OK && picture.channels == 3)
        emd_message_info("beam at %.1f, %.1f pixels", picture.beam_x, picture.beam_y);
    if (status == EMD_OK)
        status = write_picture(&picture, args, err);
    emd_picture_free(&picture);
    return status;
}

/* --- mask -------------------------------------------------------------------------------------*/

/* PHIL parameters of dials.generate_mask: a polygon in pixels (fast, slow). */
static enum emd_status write_outline(const struct emd_estimate *e, const struct arguments *args,
                                     struct emd_error *err)
{
    struct emd_safefile *file = NULL;
    enum emd_status status = emd_safefile_create(args->mask, &file, err);
    if (status != EMD_OK)
        return status;
    const int fd = dup(emd_safefile_fd(file));
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", args->mask);
        if (fd >= 0)
            close(fd);
    } else {
        fputs("# The shadow of the beam stop, found by emdinfo. Use:\n"
              "#   dials.generate_mask imported.expt THIS_FILE output.mask=pixels.mask\n"
              "untrusted {\n  polygon =",
              f);
        for (size_t i = 0; i < e->corners; i++)
            fprintf(f, " %.0f %.0f", e->corner[i][0], e->corner[i][1]);
        fputs("\n}\n", f);
        const bool failed = ferror(f) != 0;
        if (fclose(f) != 0 || failed)
            status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", args->mask);
    }
    if (status == EMD_OK)
        return emd_safefile_commit(&file, 1, args->force, err);
    emd_safefile_discard(file);
    return status;
}

/* A mask as dials.generate_mask writes it. */
static enum emd_status write_mask(const struct emd_info_stack *s, const struct emd_estimate *e,
                                  const struct arguments *args, struct emd_error *err)
{
    uint8_t *left_out = calloc(s->height * s->width, 1);
    if (!left_out)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    emd_mask_polygon(e->corner, e->corners, s->height, s->width, left_out);
    const enum emd_status status =
        emd_mask_write(args->mask, left_out, s->height, s->width, args->force, err);
    free(left_out);
    return status;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

static enum emd_status make_mask(const struct emd_info *info, const struct arguments *args,
                                 struct emd_error *err)
{
    const struct emd_info_stack *s = choose_stack(info, args);
    struct emd_estimate estimate;
    struct stat st;
    if (!s || !has_counts(info, s))
        return emd_fail(err, EMD_E_UNSUPPORTED, "no images of a camera");
    if (!args->force && lstat(args->mask, &st) == 0)
        return emd_fail(err, EMD_E_EXISTS, "%s exists already (--force replaces it)", args->mask);
    const struct emd_estimate_request request = {.path = info->path,
                                                 .dataset = s->path,
                                                 .clip = s->first.saturation,
                                                 .cancelled = is_cancelled};
    enum emd_status status = emd_estimate_file(&request, &estimate, NULL, err);
    if (status == EMD_OK && estimate.corners == 0)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "no beam stop found: no mask written");
    if (status != EMD_OK)
        return status;
    return ends_in(args->mask, ".mask") ? write_mask(s, &estimate, args, err)
                                        : write_outline(&estimate, args, err);
}

/* --- arguments and main -----------------------------------------------------------------------*/

/* A, A:B or A:B:STEP */
static enum emd_status take_frames(void *into, const struct emd_option *option, const char *text,
                                   struct emd_error *err)
{
    struct arguments *args = into;
    char copy[80], *rest = copy;
    long value[3] = {0, 0, 1};
    int n = 0;
    (void)option;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *item; (item = strsep(&rest, ":")) != NULL; n++)
        if (n == 3 || !emd_parse_long(item, 1, 1000000000, &value[n]))
            return emd_fail(err, EMD_E_ARGUMENT, "not A, A:B or A:B:STEP with images from 1");
    if (n == 1)
        value[1] = value[0];
    if (value[0] > value[1])
        return emd_fail(err, EMD_E_ARGUMENT, "the last image is before the first one");
    args->has_frames = true;
    args->first = (size_t)value[0];
    args->last = (size_t)value[1];
    args->step = (size_t)value[2];
    return EMD_OK;
}

static enum emd_status take_action(void *into, const struct emd_option *option, const char *value,
                                   struct emd_error *err)
{
    struct arguments *args = into;
    (void)value;
    (void)err;
    args->action = (enum action)option->number;
    args->actions++;
    return EMD_OK;
}

/* --png and --mask */
static enum emd_status take_output(void *into, const struct emd_option *option, const char *value,
                                   struct emd_error *err)
{
    memcpy((char *)into + option->at, &value, sizeof value);
    return take_action(into, option, value, err);
}

static bool is_digits(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

/* "--metadata N FILE" as well as "--metadata=N FILE" */
static enum emd_status take_metadata(void *into, const struct emd_option *option, const char *value,
                                     struct emd_error *err)
{
    struct arguments *args = into;
    long number = 1;
    if (!value && optind + 1 < args->argc && is_digits(args->argv[optind]))
        value = args->argv[optind++];
    if (value && !emd_parse_long(value, 1, 1000000000, &number))
        return emd_fail(err, EMD_E_ARGUMENT, "not the number of an image, from 1");
    args->image = (size_t)number;
    return take_action(into, option, value, err);
}

static enum emd_status take_rings(void *into, const struct emd_option *option, const char *value,
                                  struct emd_error *err)
{
    struct arguments *args = into;
    (void)option;
    args->rings = true;
    return emd_parse_double(value, 0, 1e6, &args->distance)
               ? EMD_OK
               : emd_fail(err, EMD_E_ARGUMENT, "not a distance in mm");
}

#define AT(field) offsetof(struct arguments, field)

static const struct emd_option options[] = {
    {0, "json", NULL, EMD_OPTION_CALL, .take = take_action, .number = SHOW_JSON,
     .help = "one JSON object per file"},
    {0, "hash", NULL, EMD_OPTION_FLAG, .at = AT(hash),
     .help = "a hash of the content, the same whatever the storage; fails where another one was "
             "recorded in the file"},
    {0, "metadata", "[N]", EMD_OPTION_CALL, .take = take_metadata, .number = SHOW_METADATA,
     .help = "the JSON metadata of image N (from 1; default 1)"},
    {0, "tilt", NULL, EMD_OPTION_CALL, .take = take_action, .number = SHOW_TILT,
     .help = "tilt, time, beam centre and pedestal of each image, tab-separated; reads all pixels "
             "unless --no-pixels"},
    {0, "xds", NULL, EMD_OPTION_CALL, .take = take_action, .number = SHOW_XDS,
     .help = "a file XDS.INP for this movie, which XDS reads by libemdtools-xds.so"},
    {0, "mask", "OUT", EMD_OPTION_CALL, .take = take_output, .at = AT(mask), .number = MAKE_MASK,
     .complete = "file",
     .help =
         "the shadow of a beam stop: a mask of DIALS if OUT ends in .mask, else its outline for "
         "dials.generate_mask"},
    {0, "no-pixels", NULL, EMD_OPTION_FLAG, .at = AT(no_pixels),
     .help = "metadata only, do not read a sample of the pixels"},
    {0, "dataset", "PATH", EMD_OPTION_TEXT, .at = AT(dataset),
     .help = "look at this dataset (default: the largest image)"},
    {.kind = EMD_OPTION_TITLE, .help = "Pictures"},
    {0, "png", "OUT", EMD_OPTION_CALL, .take = take_output, .at = AT(png), .number = MAKE_PICTURE,
     .complete = "file", .help = "write a picture of the first image, or of:"},
    {0, "frames", "A:B[:STEP]", EMD_OPTION_CALL, .take = take_frames,
     .help = "these images (from 1, inclusive): one in full, more as a sheet"},
    {0, "max", NULL, EMD_OPTION_SET, .at = AT(mode), .number = EMD_PICTURE_MAX,
     .help = "the maximum over them (all, unless --frames)"},
    {0, "mean", NULL, EMD_OPTION_SET, .at = AT(mode), .number = EMD_PICTURE_MEAN,
     .help = "the mean over them"},
    /* in the order of enum emd_picture_scale */
    {0, "scale", "SCALE", EMD_OPTION_CHOICE, .at = AT(scale), .words = "asinh|log|linear",
     .help = "asinh (default), log, linear"},
    {0, "rings", "DISTANCE", EMD_OPTION_CALL, .take = take_rings,
     .help = "resolution rings for this detector distance in mm, 0: the camera length"},
    {'f', "force", NULL, EMD_OPTION_FLAG, .at = AT(force),
     .help = "replace an existing picture or mask"},
    {.kind = EMD_OPTION_TITLE, .help = "General"},
    {'q', "quiet", NULL, EMD_OPTION_FLAG, .at = AT(quiet), .help = "only errors"},
};

static const struct emd_program program = {
    .name = "emdinfo",
    .usage = "[OPTION]... FILE...",
    .about = "Show what is in EMD files: instrument, images, tilts, storage, and problems. One "
             "file is described in full, several in a table.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = {"all files could be read", NULL, NULL, "incomplete or in use"},
    .operands = "file:emd,h5,hdf5",
};

/* -1 to go on, else the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *args)
{
    args->argc = argc;
    args->argv = argv;
    const int code = emd_options_parse(&program, argc, argv, args);
    if (code >= 0)
        return code;
    if (args->quiet)
        emd_message_set_verbosity(EMD_QUIET);
    if (args->action == SHOW_XDS && args->dataset)
        return emd_usage_error("XDS reads the largest image of a file: --xds takes no --dataset");
    if (optind == argc)
        return emd_usage_error("no files given");
    if (args->hash && (args->action > SHOW_JSON || args->dataset || args->no_pixels))
        return emd_usage_error("--hash goes with --json only");
    if (args->actions > 1)
        return emd_usage_error("choose one of --json, --metadata, --tilt, --xds, --mask and --png");
    if (!args->png && (args->has_frames || args->rings || args->mode != EMD_PICTURE_FRAMES))
        return emd_usage_error("--frames, --max, --mean and --rings belong to --png");
    if ((args->png || args->mask || args->action == SHOW_XDS) && optind + 1 != argc)
        return emd_usage_error("--png, --mask and --xds take one file at a time");
    return -1;
}

/* Estimates of the largest stacks; of images in real space (a pixel has metres) no centre. */
static void look_at_pixels(const struct emd_info *info, const struct arguments *args,
                           struct pixels *pixels)
{
    enum { MOST = 4 };
    for (size_t i = 0, done = 0; i < info->stack_count; i++) {
        const struct emd_info_stack *s = &info->stack[i];
        struct pixels *p = &pixels[i];
        struct emd_error err = {EMD_OK, ""};
        emd_estimate_clear(&p->e);
        if (!args->no_pixels && has_counts(info, s) && done++ < MOST) {
            const struct emd_estimate_request request = {.path = info->path,
                                                         .dataset = s->path,
                                                         .clip = s->first.saturation,
                                                         .cancelled = is_cancelled};
            p->looked_at = true;
            if (emd_estimate_file(&request, &p->e, NULL, &err) != EMD_OK)
                snprintf(p->why, sizeof p->why, "%.150s", err.text);
            if (strcmp(s->first.pixel_unit, "m") == 0) {
                p->e.centre[0] = p->e.centre[1] = p->e.centre_sigma = NAN;
                p->e.centre_from = EMD_CENTRE_UNKNOWN;
                p->e.corners = 0;
            }
        }
        p->gain = emd_gain_choose(s->first.gain, &p->e);
    }
}

/* Beside the programs, wherever they were installed or built. */
static void xds_library(char *path, size_t room)
{
    static const char *const places[] = {EMDTOOLS_BIN_TO_XDS, "../xds"};
    char self[PATH_MAX], candidate[PATH_MAX + 256], *real = NULL;
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    snprintf(path, room, "libemdtools-xds.so");
    if (n <= 0)
        return;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places && !real; i++) {
        snprintf(candidate, sizeof candidate, "%s/%s/libemdtools-xds.so", self, places[i]);
        real = realpath(candidate, NULL);
    }
    if (real)
        snprintf(path, room, "%s", real);
    free(real);
}

/* The pedestal that libemdtools-xds.so will choose, found in a process of its own: HDF5 may crash
 * on damaged pixels. */
struct pedestal_answer {
    struct emd_error error;
    int32_t pedestal;
};

static void find_pedestal(void *ctx, void *into)
{
    struct pedestal_answer *const answer = into;
    struct emd_frames *frames = NULL;
    answer->error.status = emd_frames_open(ctx, NULL, &frames, &answer->error);
    if (answer->error.status == EMD_OK)
        answer->error.status = emd_frames_pedestal(frames, &answer->pedestal, &answer->error);
    emd_frames_close(frames);
}

static enum emd_status ask_pedestal(const struct emd_info *info, int32_t *pedestal,
                                    struct emd_error *err)
{
    struct pedestal_answer answer = {.pedestal = 0};
    const struct emd_guard guard = {.file_bytes = info->file_bytes,
                                    .work = find_pedestal,
                                    .ctx = info->path,
                                    .answer = &answer,
                                    .answer_bytes = sizeof answer,
                                    .cancelled = is_cancelled};
    const enum emd_status status = emd_guard_run(&guard, err);
    if (status == EMD_OK && answer.error.status != EMD_OK)
        *err = answer.error;
    *pedestal = answer.pedestal;
    return status == EMD_OK ? answer.error.status : status;
}

static enum emd_status print_xds(const struct emd_info *info, const struct pixels *pixels,
                                 struct emd_error *err)
{
    char library[PATH_MAX], *template = NULL, *text = NULL;
    int32_t pedestal = 0;
    if (info->stack_count == 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "no images in this file");
    enum emd_status status = emd_xds_template(info->path, &template, err);
    if (status == EMD_OK)
        status = ask_pedestal(info, &pedestal, err);
    if (status == EMD_OK) {
        xds_library(library, sizeof library);
        const struct emd_xds_movie movie = {.stack = &info->stack[0],
                                            .estimate = &pixels[0].e,
                                            .template = template,
                                            .library = library,
                                            .pedestal = pedestal};
        status = emd_xds_input(&movie, &text, err);
    }
    if (status == EMD_OK)
        fputs(text, stdout);
    free(template);
    free(text);
    return status;
}

static enum emd_status treat(const char *path, const struct arguments *args, bool many,
                             struct row *row, struct emd_error *err)
{
    struct emd_info info;
    enum emd_status status = emd_info_read(path, &info, err);
    if (status != EMD_OK)
        return status;
    struct pixels *pixels = calloc(info.stack_count + 1, sizeof *pixels);
    if (!pixels) {
        emd_info_free(&info);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    if (args->action == SHOW_JSON || args->action == SHOW_XDS ||
        (args->action == SHOW_TEXT && !many))
        look_at_pixels(&info, args, pixels);
    if (args->dataset && !choose_stack(&info, args) && args->action != MAKE_PICTURE)
        status = emd_fail(err, EMD_E_ARGUMENT, "there is no image %s", args->dataset);
    else if (args->action == SHOW_JSON)
        print_info_json(&info, pixels);
    else if (args->action == SHOW_TILT)
        status = print_tilts(&info, args, many, err);
    else if (args->action == SHOW_XDS)
        status = print_xds(&info, pixels, err);
    else if (args->action == SHOW_METADATA)
        status = print_metadata(path, &info, args, err);
    else if (args->action == MAKE_PICTURE)
        status = make_picture(path, &info, args, err);
    else if (args->action == MAKE_MASK)
        status = make_mask(&info, args, err);
    else if (many)
        fill_row(&info, row);
    else
        print_text(&info, pixels);
    free(pixels);
    emd_info_free(&info);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments args = {.image = 1, .step = 1};
    emd_message_init("emdinfo", EMD_NORMAL);
    int code = parse_arguments(argc, argv, &args);
    if (code >= 0)
        return emd_finish(code);
    code = EMD_EXIT_OK;
    if (args.png || args.mask || args.hash) /* elsewhere nothing needs tidying up */
        emd_signals_init();
    if (args.hash) {
        const bool json = args.action == SHOW_JSON;
        code = emd_print_hashes(argv + optind, (size_t)(argc - optind), json, is_cancelled);
        emd_signals_reraise();
        return emd_finish(code);
    }
    const size_t files = (size_t)(argc - optind);
    const bool many = files > 1;
    struct row *rows = calloc(files, sizeof *rows);
    size_t filled = 0;
    if (!rows) {
        emd_message_error("out of memory");
        return EMD_EXIT_FAILED;
    }
    if (args.action == SHOW_TILT)
        printf("%simage\talpha_deg\ttime_s\tnote\tbeam_x_px\tbeam_y_px\tpedestal\n",
               many ? "file\t" : "");
    for (int i = optind; i < argc; i++) {
        struct emd_error err = {EMD_OK, ""};
        rows[filled].name = argv[i];
        const enum emd_status status = treat(argv[i], &args, many, &rows[filled], &err);
        if (status == EMD_OK) {
            filled++;
            continue;
        }
        if (args.action == SHOW_JSON)
            print_failure_json(argv[i], &err);
        emd_message_error("%s: %s", argv[i], err.text);
        if (code == EMD_EXIT_OK || code == EMD_EXIT_NOT_READY)
            code = (int)emd_exit_for(status);
    }
    if (args.action == SHOW_TEXT && many && filled > 0)
        print_table(rows, filled);
    free(rows);
    emd_signals_reraise();
    return emd_finish(code);
}
