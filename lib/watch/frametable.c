/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See frametable.h. Each plane of each target chunk has a place of its own for its statistics, so
 * that workers need no lock and the sums are added in the same order whoever computed them. */
#include "watch/frametable.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/safefile.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "velox/framestats.h"
#include "velox/metadata.h"

/* 40 bytes each: more planes than a movie of 65536 frames in 64 tiles each has are not movies. */
static const uint64_t most_parts = (uint64_t)1 << 22;
/* Larger than any column of Metadata seen (60000 or 64000 bytes). */
static const uint64_t most_document_bytes = (uint64_t)1 << 20;
/* The documents seen are 6 to 12 kB long. */
static const uint64_t usual_document_bytes = 16384;

struct emd_frametable {
    struct emd_repack_inspector inspector;
    int folder;
    char *path;
    char *stack; /* path of the dataset, NULL before the first */
    enum emd_pixel_type type;
    size_t item;
    unsigned rank, row_axis; /* of the image: row_axis and row_axis + 1 */
    bool frames_last;
    uint64_t dims[EMD_RANK_MAX], chunk[EMD_RANK_MAX], count[EMD_RANK_MAX];
    uint64_t frames, pixels, planes; /* planes: frames of a whole chunk */
    uint64_t parts;
    struct emd_framestats *part; /* [chunk][plane] */
    atomic_bool out_of_memory;
};

static bool pixel_type(const struct emd_chunk_shape *shape, enum emd_pixel_type *type)
{
    const bool integer = shape->item_class == EMD_ITEM_INTEGER;
    const uint16_t one = 1;
    const bool big_endian = *(const unsigned char *)&one == 0;
    if (shape->base_size != shape->item_size ||
        (shape->item_size > 1 && shape->big_endian != big_endian))
        return false;
    if (integer && shape->item_size == 1 && !shape->is_signed)
        *type = EMD_PIXEL_U8;
    else if (integer && shape->item_size == 2)
        *type = shape->is_signed ? EMD_PIXEL_I16 : EMD_PIXEL_U16;
    else if (integer && shape->item_size == 4 && shape->is_signed)
        *type = EMD_PIXEL_I32;
    else if (shape->item_class == EMD_ITEM_FLOAT && shape->item_size == 4)
        *type = EMD_PIXEL_F32;
    else
        return false;
    return true;
}

static bool begin(void *ctx, const struct emd_repack_stack *stack, size_t *unit)
{
    struct emd_frametable *t = ctx;
    const struct emd_chunk_shape *shape = stack->shape;
    enum emd_pixel_type type;
    uint64_t pixels = 1, frames = 1, planes = 1, parts = 1;
    const unsigned row_axis = stack->frames_last ? 0 : shape->rank - 2;
    if (!pixel_type(shape, &type))
        return false;
    for (unsigned a = 0; a < shape->rank; a++) {
        const bool image_axis = a == row_axis || a == row_axis + 1;
        if (__builtin_mul_overflow(pixels, stack->dims[a], &pixels))
            return false;
        if (!image_axis) {
            frames *= stack->dims[a]; /* both divide the pixels: no overflow */
            if (__builtin_mul_overflow(planes, shape->dims[a], &planes) || planes > most_parts)
                return false;
        }
        const uint64_t chunks = (stack->dims[a] - 1) / shape->dims[a] + 1;
        if (__builtin_mul_overflow(parts, chunks, &parts) || parts > most_parts)
            return false;
    }
    parts *= planes; /* below 2^44 */
    if (parts > most_parts || (t->stack && pixels <= t->pixels))
        return false;
    char *path = strdup(stack->path);
    struct emd_framestats *part = calloc((size_t)parts, sizeof *part);
    if (!path || !part) {
        atomic_store(&t->out_of_memory, true);
        free(path);
        free(part);
        return false;
    }
    free(t->stack);
    free(t->part);
    t->stack = path;
    t->part = part;
    t->type = type;
    t->item = shape->item_size;
    t->rank = shape->rank;
    t->row_axis = row_axis;
    t->frames_last = stack->frames_last;
    for (unsigned a = 0; a < shape->rank; a++) {
        t->dims[a] = stack->dims[a];
        t->chunk[a] = shape->dims[a];
        t->count[a] = (stack->dims[a] - 1) / shape->dims[a] + 1;
    }
    t->frames = frames;
    t->pixels = pixels;
    t->planes = planes;
    t->parts = parts;
    /* a plane by itself whose rows lie one after another can come block of rows by block of rows */
    size_t row_bytes = t->item;
    for (unsigned a = row_axis + 1; a < shape->rank; a++)
        row_bytes *= (size_t)shape->dims[a];
    if (planes == 1)
        *unit = EMD_FRAMESTATS_ROWS * row_bytes;
    return true;
}

/* A plane whose pixels are 'step' bytes apart: rows are gathered first. */
static void add_strided(struct emd_frametable *t, struct emd_framestats *part,
                        const unsigned char *plane, size_t rows, size_t columns, size_t row_stride,
                        size_t step)
{
    const size_t line = columns * t->item;
    unsigned char *gathered = malloc(EMD_FRAMESTATS_ROWS * line);
    if (!gathered) {
        atomic_store(&t->out_of_memory, true);
        return;
    }
    for (size_t y = 0; y < rows; y += EMD_FRAMESTATS_ROWS) {
        const size_t high = rows - y < EMD_FRAMESTATS_ROWS ? rows - y : EMD_FRAMESTATS_ROWS;
        for (size_t r = 0; r < high; r++)
            for (size_t x = 0; x < columns; x++)
                memcpy(gathered + r * line + x * t->item, plane + (y + r) * row_stride + x * step,
                       t->item);
        emd_framestats_add(part, t->type, gathered, high, columns, line);
    }
    free(gathered);
}

static void look_at_chunk(void *ctx, const uint64_t *origin, const void *raw, size_t begin,
                          size_t end)
{
    struct emd_frametable *t = ctx;
    const unsigned y = t->row_axis, x = y + 1;
    uint64_t number = 0, valid[EMD_RANK_MAX];
    size_t stride[EMD_RANK_MAX], step = t->item;
    for (unsigned a = 0; a < t->rank; a++) {
        const uint64_t left = t->dims[a] - origin[a];
        number = number * t->count[a] + origin[a] / t->chunk[a];
        valid[a] = left < t->chunk[a] ? left : t->chunk[a];
    }
    for (unsigned a = t->rank; a-- > 0;) {
        stride[a] = step;
        step *= (size_t)t->chunk[a];
    }
    for (uint64_t plane = 0; plane < t->planes; plane++) {
        struct emd_framestats *part = &t->part[number * t->planes + plane];
        const unsigned char *first = raw;
        uint64_t rest = plane;
        bool inside = true;
        for (unsigned a = t->rank; a-- > 0;)
            if (a != y && a != x) {
                const uint64_t i = rest % t->chunk[a];
                rest /= t->chunk[a];
                inside = inside && i < valid[a];
                first += i * stride[a];
            }
        if (!inside)
            continue;
        /* of a part, its rows; the whole has at least those that are valid */
        const size_t from = t->planes == 1 ? begin / stride[y] : 0;
        size_t to = t->planes == 1 ? end / stride[y] : (size_t)valid[y];
        to = to < valid[y] ? to : (size_t)valid[y];
        if (from >= to)
            continue;
        first += from * stride[y];
        if (stride[x] == t->item)
            emd_framestats_add(part, t->type, first, to - from, (size_t)valid[x], stride[y]);
        else
            add_strided(t, part, first, to - from, (size_t)valid[x], stride[y], stride[x]);
    }
}

/* The frame that a part belongs to; false: behind the edge. */
static bool frame_of_part(const struct emd_frametable *t, uint64_t part, uint64_t *frame)
{
    uint64_t plane = part % t->planes, number = part / t->planes, at[EMD_RANK_MAX];
    for (unsigned a = t->rank; a-- > 0;) {
        at[a] = number % t->count[a] * t->chunk[a];
        number /= t->count[a];
        if (a != t->row_axis && a != t->row_axis + 1) {
            at[a] += plane % t->chunk[a];
            plane /= t->chunk[a];
        }
    }
    *frame = 0;
    for (unsigned a = 0; a < t->rank; a++)
        if (a != t->row_axis && a != t->row_axis + 1) {
            if (at[a] >= t->dims[a])
                return false;
            *frame = *frame * t->dims[a] + at[a];
        }
    return true;
}

/* The first n bytes of column i of a (bytes, frames) dataset. The memory has the shape of the
 * column: HDF5 would walk a selection of another rank element by element. */
static bool read_column(hid_t dataset, hid_t space, hsize_t i, hsize_t n, char *text)
{
    const hsize_t start[2] = {0, i}, count[2] = {n, 1};
    hid_t memory = H5Screate_simple(2, count, NULL);
    const bool ok = memory >= 0 &&
                    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                    H5Dread(dataset, H5T_NATIVE_UINT8, memory, space, H5P_DEFAULT, text) >= 0;
    emd_hdf5_close(&memory);
    text[ok ? n : 0] = '\0';
    return ok;
}

/* Tilts from the dataset Metadata beside the stack; NaN where there is none. */
static void read_tilts(const struct emd_frametable *t, hid_t file, double *tilt)
{
    hid_t dataset = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hsize_t dims[2];
    char *document = NULL;
    struct emd_velox_metadata metadata; /* clear after a failure */
    const size_t folder = (size_t)(strrchr(t->stack, '/') - t->stack) + 1;
    char *path = malloc(folder + sizeof "Metadata");
    for (uint64_t i = 0; i < t->frames; i++)
        tilt[i] = NAN;
    if (!path || !t->frames_last)
        goto out;
    memcpy(path, t->stack, folder);
    strcpy(path + folder, "Metadata");
    dataset = H5Dopen2(file, path, H5P_DEFAULT);
    space = dataset < 0 ? H5I_INVALID_HID : H5Dget_space(dataset);
    if (space < 0 || H5Sget_simple_extent_ndims(space) != 2 ||
        H5Sget_simple_extent_dims(space, dims, NULL) < 0 || dims[0] == 0 ||
        dims[0] > most_document_bytes)
        goto out;
    document = malloc((size_t)dims[0] + 1);
    for (hsize_t i = 0; document && i < dims[1] && i < t->frames; i++) {
        /* columns are 60000 bytes, most of them padding */
        const hsize_t some = dims[0] < usual_document_bytes ? dims[0] : usual_document_bytes;
        if (!read_column(dataset, space, i, some, document))
            break;
        if (strlen(document) == some && !read_column(dataset, space, i, dims[0], document))
            break;
        emd_velox_metadata_parse(document, strlen(document), &metadata, NULL);
        tilt[i] = metadata.alpha;
    }
out:
    free(document);
    free(path);
    emd_hdf5_close(&space);
    emd_hdf5_close(&dataset);
}

static enum emd_status write_table(const struct emd_frametable *t, const double *tilt,
                                   const struct emd_framestats *frame, struct emd_safefile *file,
                                   struct emd_error *err)
{
    const int fd = fcntl(emd_safefile_fd(file), F_DUPFD_CLOEXEC, 0);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f && fd >= 0)
        close(fd);
    if (!f)
        return emd_fail(err, EMD_E_IO, "cannot open %s", emd_safefile_temp(file));
    fputs(EMD_FRAMETABLE_HEADER, f);
    for (uint64_t i = 0; i < t->frames; i++)
        fprintf(f, "%" PRIu64 "\t%.4f\t%.3f\t%.9g\t%" PRIu64 "\n", i + 1, tilt[i],
                emd_framestats_mean(&frame[i]), frame[i].pixels ? frame[i].max : (double)NAN,
                frame[i].spots);
    const bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return emd_fail(err, EMD_E_IO, "cannot write %s", emd_safefile_temp(file));
    return EMD_OK;
}

static enum emd_status finish(void *ctx, struct emd_source *source, struct emd_safefile **companion,
                              struct emd_error *err)
{
    struct emd_frametable *t = ctx;
    struct stat st;
    if (atomic_load(&t->out_of_memory))
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (!t->stack)
        return EMD_OK;
    struct emd_framestats *frame = calloc((size_t)t->frames, sizeof *frame);
    double *tilt = malloc((size_t)t->frames * sizeof *tilt);
    enum emd_status status = EMD_OK;
    if (!frame || !tilt)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK) {
        for (uint64_t i = 0; i < t->parts; i++) {
            uint64_t number;
            if (frame_of_part(t, i, &number))
                emd_framestats_merge(&frame[number], &t->part[i]);
        }
        struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
        read_tilts(t, source->file, tilt);
        emd_hdf5_quiet_end(&quiet);
        status = fstat(source->fd, &st) == 0
                     ? emd_safefile_create_at(t->folder, t->path, (st.st_mode & 0666) | 0600,
                                              companion, err)
                     : emd_fail_errno(err, EMD_E_IO, errno, "cannot look at the movie");
    }
    if (status == EMD_OK)
        status = write_table(t, tilt, frame, *companion, err);
    free(frame);
    free(tilt);
    return status;
}

enum emd_status emd_frametable_new(int folder, const char *path, struct emd_frametable **out,
                                   struct emd_error *err)
{
    struct emd_frametable *table = calloc(1, sizeof *table);
    *out = NULL;
    if (!table || !(table->path = strdup(path))) {
        free(table);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    table->folder = folder;
    table->inspector = (struct emd_repack_inspector){
        .ctx = table, .begin = begin, .chunk = look_at_chunk, .finish = finish};
    *out = table;
    return EMD_OK;
}

void emd_frametable_free(struct emd_frametable *table)
{
    if (!table)
        return;
    free(table->part);
    free(table->stack);
    free(table->path);
    free(table);
}

const struct emd_repack_inspector *emd_frametable_inspector(struct emd_frametable *table)
{
    return &table->inspector;
}

char *emd_frametable_path(const char *output)
{
    static const char emd[] = ".emd", suffix[] = ".frames.tsv";
    size_t n = strlen(output);
    if (n > sizeof emd - 1 && strcasecmp(output + n - (sizeof emd - 1), emd) == 0)
        n -= sizeof emd - 1;
    char *path = NULL, *stem = strndup(output, n);
    const char *const slash = stem ? strrchr(stem, '/') : NULL;
    char *name = stem ? emd_name_with_room(slash ? slash + 1 : stem, sizeof suffix - 1) : NULL;
    if (name &&
        asprintf(&path, "%.*s%s%s", slash ? (int)(slash + 1 - stem) : 0, stem, name, suffix) < 0)
        path = NULL;
    free(name);
    free(stem);
    return path;
}
