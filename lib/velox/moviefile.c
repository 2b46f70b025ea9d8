/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See moviefile.h. One job makes a block: all rows of one frame, or a band of rows of a group of
 * frames. A group is made frame by frame and turned over into (y, x, frame) order on the worker;
 * the main thread then only hands finished chunks to HDF5. */
#include "velox/moviefile.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "base/median.h"
#include "hdf5/fdfile.h"
#include "hdf5/h5call.h"
#include "velox/documents.h"

/* Bytes that a block aims at where its shape leaves a choice: large enough for fast writing, small
 * enough for a few of them in the caches and in memory. */
#define BLOCK_BYTES ((size_t)16 << 20)
enum { TILE_SIDE = 256, TILE_FRAMES = 16, ROWS_FRAMES = 64, THUMBNAIL_SIDE = 64 };

struct writer {
    const struct emd_movie *movie;
    const struct emd_movie_source *source;
    const struct emd_movie_observer *observer;
    size_t pixel;                     /* bytes */
    size_t band, group;               /* rows and frames of a block */
    size_t chunk_h, chunk_w, chunk_n; /* of the dataset; a row of chunk_n if contiguous */
    size_t bands, groups, across;     /* blocks down, blocks in time, chunks across */
    size_t block_bytes;               /* finished block, chunks padded */
    hid_t file, data, metadata;
    unsigned char **slots;  /* finished blocks */
    unsigned char **planes; /* [thread]: frames of a block, one after the other */
    void **work;            /* [thread]: the source's scratch */
    char *column;
};

static enum emd_status fail_hdf5(struct emd_error *err, const char *what)
{
    return emd_hdf5_fail(err, EMD_E_IO, "cannot write %s", what);
}

/* --- the small objects ------------------------------------------------------------------------*/

static hid_t creation_list(unsigned rank, const hsize_t *chunk, H5D_fill_time_t fill)
{
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    if (list >= 0 &&
        (H5Pset_obj_track_times(list, false) < 0 ||
         (chunk && H5Pset_chunk(list, (int)rank, chunk) < 0) || H5Pset_fill_time(list, fill) < 0 ||
         H5Pset_alloc_time(list, H5D_ALLOC_TIME_INCR) < 0)) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

/* Groups on the way are made as needed. */
static hid_t link_list(void)
{
    const hid_t list = H5Pcreate(H5P_LINK_CREATE);
    if (list >= 0 && H5Pset_create_intermediate_group(list, 1) < 0) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

static hid_t create_dataset(hid_t file, const char *name, hid_t type, unsigned rank,
                            const hsize_t *dims, const hsize_t *max, const hsize_t *chunk,
                            H5D_fill_time_t fill)
{
    hid_t space = H5Screate_simple((int)rank, dims, max);
    hid_t dcpl = creation_list(rank, chunk, fill), lcpl = link_list();
    hid_t data = H5Dcreate2(file, name, type, space, lcpl, dcpl, H5P_DEFAULT);
    emd_hdf5_close(&lcpl);
    emd_hdf5_close(&dcpl);
    emd_hdf5_close(&space);
    return data;
}

/* A document: one variable-length ASCII string. */
static bool put_text(hid_t file, const char *name, const char *text)
{
    const hsize_t one = 1;
    hid_t type = H5Tcopy(H5T_C_S1);
    bool ok = type >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0;
    hid_t data = ok ? create_dataset(file, name, type, 1, &one, NULL, &one, H5D_FILL_TIME_ALLOC)
                    : H5I_INVALID_HID;
    ok = data >= 0 && H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text) >= 0;
    if (!emd_hdf5_close(&data))
        ok = false;
    emd_hdf5_close(&type);
    return ok;
}

static double pixel_value(const void *pixels, size_t i, enum emd_pixel_type type)
{
    switch (type) {
    case EMD_PIXEL_I16:
        return ((const int16_t *)pixels)[i];
    case EMD_PIXEL_U16:
        return ((const uint16_t *)pixels)[i];
    case EMD_PIXEL_I32:
        return ((const int32_t *)pixels)[i];
    case EMD_PIXEL_U8:
        return ((const uint8_t *)pixels)[i];
    default:
        return (double)((const float *)pixels)[i];
    }
}

/* Cell means of the middle frame, black at the 1st and white at the 98th percentile. */
static bool put_thumbnail(struct writer *w)
{
    enum { CELLS = THUMBNAIL_SIDE * THUMBNAIL_SIDE };
    const struct emd_movie *m = w->movie;
    static const unsigned char flat[CELLS];
    unsigned char grey[CELLS], jpeg[EMD_THUMBNAIL_MAX(THUMBNAIL_SIDE)];
    double *const cells = calloc(2 * CELLS, sizeof *cells), *const sorted = cells + CELLS;
    unsigned char *row = malloc(m->width * w->pixel);
    bool ok = cells && row;
    if (ok && m->frames > 0) {
        for (size_t i = 0; i < THUMBNAIL_SIDE; i++) {
            /* one row stands for its band: a thumbnail must not cost a second pass */
            const size_t y = (2 * i + 1) * m->height / (2 * THUMBNAIL_SIDE);
            w->source->rows(w->source->ctx, m->frames / 2, y, y + 1, row, w->work[0]);
            for (size_t k = 0; k < THUMBNAIL_SIDE; k++) {
                const size_t from = k * m->width / THUMBNAIL_SIDE;
                size_t to = (k + 1) * m->width / THUMBNAIL_SIDE;
                to = to > from ? to : from + 1;
                double sum = 0;
                for (size_t x = from; x < to; x++)
                    sum += pixel_value(row, x, m->type);
                cells[i * THUMBNAIL_SIDE + k] = sum / (double)(to - from);
            }
        }
        memcpy(sorted, cells, CELLS * sizeof *cells);
        qsort(sorted, CELLS, sizeof *sorted, emd_compare_doubles);
        const double low = sorted[CELLS / 100], high = sorted[CELLS - CELLS / 50];
        for (size_t i = 0; i < CELLS; i++) {
            const double v = high > low ? (cells[i] - low) / (high - low) * 255 : 0;
            grey[i] = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
    if (ok) {
        const hsize_t n = emd_velox_thumbnail(m->frames > 0 ? grey : flat, THUMBNAIL_SIDE, jpeg);
        hid_t data = create_dataset(w->file, "Thumbnail.jpg", H5T_STD_U8LE, 1, &n, NULL, &n,
                                    H5D_FILL_TIME_NEVER);
        ok =
            data >= 0 && H5Dwrite(data, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, jpeg) >= 0;
        if (!emd_hdf5_close(&data))
            ok = false;
    }
    free(cells);
    free(row);
    return ok;
}

static enum emd_status put_documents(struct writer *w, struct emd_error *err)
{
    char image[33], log[33], feature[33], operation[33], html[33], display[33];
    emd_velox_object_name(w->movie, 0, image);
    emd_velox_object_name(w->movie, 1, log);
    emd_velox_object_name(w->movie, 2, feature);
    emd_velox_object_name(w->movie, 3, operation);
    emd_velox_object_name(w->movie, 4, html);
    emd_velox_object_name(w->movie, 5, display);
    const char *camera = w->movie->camera;
    /* A name that ends in a slash gets the id of the object; '$' in a text stands for an id or the
     * camera, in this order. */
    const struct {
        const char *folder, *id, *text, *argument[3];
    } documents[] = {
        {"Version", NULL, "{\n    \"version\": \"8\",\n    \"format\": \"Velox\"\n}\n", {NULL}},
        {"Info",
         NULL,
         "{\n    \"applicationVersion\": \"emdsim-" EMDTOOLS_VERSION "\"\n}\n",
         {NULL}},
        {"Experiment", NULL, "{\n    \"log\": \"\\/Data\\/Text\\/$\"\n}\n", {log}},
        {"Data/Text/",
         log,
         "{\n    \"text\": \"2023-06-09%2012%3A00%3A00%20Started%20acquisition%20for%20experiment"
         "%20of%20type%20Camera%0A\"\n}\n",
         {NULL}},
        {"Features/Features",
         NULL,
         "{\n    \"features\": [\n        {\n            \"CameraFeature\": "
         "\"\\/Features\\/CameraFeature\\/$\"\n        }\n    ]\n}\n",
         {feature}},
        {"Features/CameraFeature/",
         feature,
         "{\n    \"cameraInputOperation\": \"\\/Operations\\/CameraInputOperation\\/$\",\n"
         "    \"imageDisplay\": \"\\/Presentation\\/Displays\\/ImageDisplay\\/$\",\n"
         "    \"remoteStoragePath\": \"\"\n}\n",
         {operation, display}},
        {"Operations/Operations",
         NULL,
         "{\n    \"operations\": [\n        {\n            \"CameraInputOperation\": "
         "\"\\/Operations\\/CameraInputOperation\\/$\"\n        }\n    ]\n}\n",
         {operation}},
        {"Operations/CameraInputOperation/",
         operation,
         "{\n    \"dataPath\": \"\\/Data\\/Image\\/$\",\n    \"cameraName\": \"$\",\n"
         "    \"outputs\": \"\"\n}\n",
         {image, camera}},
        {"Presentation/DisplayIndex",
         NULL,
         "{\n    \"displays\": [\n        {\n            \"HtmlDisplay\": "
         "\"\\/Presentation\\/Displays\\/HtmlDisplay\\/$\"\n        },\n        {\n"
         "            \"ImageDisplay\": \"\\/Presentation\\/Displays\\/ImageDisplay\\/$\"\n"
         "        }\n    ]\n}\n",
         {html, display}},
        {"Presentation/Displays/HtmlDisplay/",
         html,
         "{\n    \"display\": {\n        \"id\": \"Log\",\n        \"label\": "
         "\"Experiment%20Log\",\n        \"overlays\": \"\",\n        \"priority\": \"0\",\n"
         "        \"closable\": \"false\",\n        \"visible\": \"true\"\n    },\n"
         "    \"dataPath\": \"\\/Data\\/Text\\/$\",\n    \"readOnly\": \"true\"\n}\n",
         {log}},
        {"Presentation/Displays/ImageDisplay/",
         display,
         "{\n    \"display\": {\n        \"id\": \"a\",\n        \"label\": \"$\",\n"
         "        \"overlays\": \"\",\n        \"priority\": \"1\",\n"
         "        \"closable\": \"false\",\n        \"visible\": \"true\"\n    },\n"
         "    \"dataPath\": \"\\/Data\\/Image\\/$\",\n    \"seriesIndex\": \"0\",\n"
         "    \"zoom\": \"1\",\n    \"autoDisplayLevels\": \"true\",\n    \"gamma\": \"1\"\n}\n",
         {camera, image}},
        {"Application/Velox/DisplayLayout",
         NULL,
         "{\n    \"rootNode\": {\n        \"stretchFactor\": \"0\",\n        \"index\": \"-1\",\n"
         "        \"orientation\": \"1\",\n        \"splitters\": \"\",\n        \"tabs\": [\n"
         "            {\n                \"stretchFactor\": \"1\",\n"
         "                \"index\": \"0\",\n                \"selectedTab\": \"0\",\n"
         "                \"displayIds\": [\n                    {\n"
         "                        \"0\": \"a\"\n                    }\n                ]\n"
         "            }\n        ]\n    }\n}\n",
         {NULL}},
    };
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        char name[128], text[2048];
        size_t n = 0, used = 0;
        for (const char *p = documents[i].text; *p && n < sizeof text - 64; p++) {
            if (*p == '$') {
                const char *argument = documents[i].argument[used++];
                memcpy(text + n, argument, strlen(argument));
                n += strlen(argument);
            } else {
                text[n++] = *p;
            }
        }
        text[n] = '\0';
        snprintf(name, sizeof name, "%s%s", documents[i].folder,
                 documents[i].id ? documents[i].id : "");
        if (!put_text(w->file, name, text))
            return fail_hdf5(err, name);
    }
    return EMD_OK;
}

/* --- the large ones ---------------------------------------------------------------------------*/

static hid_t stored_type(enum emd_pixel_type type)
{
    switch (type) {
    case EMD_PIXEL_I16:
        return H5T_STD_I16LE;
    case EMD_PIXEL_U16:
        return H5T_STD_U16LE;
    case EMD_PIXEL_I32:
        return H5T_STD_I32LE;
    case EMD_PIXEL_U8:
        return H5T_STD_U8LE;
    default:
        return H5T_IEEE_F32LE;
    }
}

static void plan_blocks(struct writer *w)
{
    const struct emd_movie *m = w->movie;
    const size_t n = m->frames > 0 ? m->frames : 1;
    size_t rows = 0;
    w->pixel = emd_pixel_size(m->type);
    w->chunk_h = 1;
    w->chunk_w = m->width;
    switch (m->layout) {
    case EMD_LAYOUT_FRAME:
        w->chunk_h = m->height;
        w->chunk_n = 1;
        break;
    case EMD_LAYOUT_TILE:
        w->chunk_h = m->height < TILE_SIDE ? m->height : TILE_SIDE;
        w->chunk_w = m->width < TILE_SIDE ? m->width : TILE_SIDE;
        w->chunk_n = TILE_FRAMES;
        break;
    case EMD_LAYOUT_ROWS:
        w->chunk_n = ROWS_FRAMES;
        break;
    case EMD_LAYOUT_CONTIGUOUS:
        w->chunk_n = n;
        break;
    }
    w->group = w->chunk_n;
    w->across = (m->width + w->chunk_w - 1) / w->chunk_w;
    rows = BLOCK_BYTES / (m->width * w->group * w->pixel) / w->chunk_h * w->chunk_h;
    w->band = rows < w->chunk_h ? w->chunk_h : rows > m->height ? m->height : rows;
    w->band = (w->band + w->chunk_h - 1) / w->chunk_h * w->chunk_h;
    w->bands = (m->height + w->band - 1) / w->band;
    w->groups = m->frames > 0 ? (m->frames + w->group - 1) / w->group : 0;
    w->block_bytes = w->band * w->across * w->chunk_w * w->group * w->pixel;
}

static enum emd_status create_image(struct writer *w, struct emd_error *err)
{
    const struct emd_movie *m = w->movie;
    const bool chunked = m->layout != EMD_LAYOUT_CONTIGUOUS;
    const hsize_t dims[3] = {m->height, m->width, m->frames};
    const hsize_t max[3] = {m->height, m->width, chunked ? H5S_UNLIMITED : m->frames};
    const hsize_t chunk[3] = {w->chunk_h, w->chunk_w, w->chunk_n};
    const hsize_t text_dims[2] = {EMD_VELOX_METADATA_BYTES, m->frames};
    const hsize_t text_max[2] = {EMD_VELOX_METADATA_BYTES, H5S_UNLIMITED};
    const hsize_t text_chunk[2] = {EMD_VELOX_METADATA_BYTES, 1};
    const hsize_t table_max = H5S_UNLIMITED, one = 1;
    char name[33], path[80];
    emd_velox_object_name(m, 0, name);
    snprintf(path, sizeof path, "Data/Image/%s/Data", name);
    w->data = create_dataset(w->file, path, stored_type(m->type), 3, dims, max,
                             chunked ? chunk : NULL, H5D_FILL_TIME_NEVER);
    snprintf(path, sizeof path, "Data/Image/%s/Metadata", name);
    w->metadata = create_dataset(w->file, path, H5T_STD_U8LE, 2, text_dims, text_max, text_chunk,
                                 H5D_FILL_TIME_NEVER);
    snprintf(path, sizeof path, "Data/Image/%s/FrameLookupTable", name);
    hid_t table = create_dataset(w->file, path, H5T_STD_U32LE, 1, &dims[2], &table_max, &one,
                                 H5D_FILL_TIME_NEVER);
    uint32_t *numbers = malloc((m->frames + 1) * sizeof *numbers);
    bool ok = w->data >= 0 && w->metadata >= 0 && table >= 0 && numbers;
    for (size_t i = 0; numbers && i < m->frames; i++)
        numbers[i] = (uint32_t)i;
    if (ok && m->frames > 0)
        ok = H5Dwrite(table, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) >= 0;
    if (!emd_hdf5_close(&table))
        ok = false;
    free(numbers);
    return ok ? EMD_OK : fail_hdf5(err, "the image's datasets");
}

/* (frame, y, x) -> (y, x, frame) for one chunk: 'from' is its first pixel in the planes, a line of
 * 'line' and a plane of 'plane' pixels; 'to' is dense with 'depth' frames a pixel. Blocks of 64
 * pixels: a cache line of 8-bit items, and the destination stays in the L1 cache. */
#define TURN(type)                                                                                 \
    static void turn_##type(const type *restrict from, size_t line, size_t plane, size_t height,   \
                            size_t width, size_t frames, type *restrict to, size_t to_line,        \
                            size_t depth)                                                          \
    {                                                                                              \
        for (size_t y = 0; y < height; y++)                                                        \
            for (size_t x0 = 0; x0 < width; x0 += 64) {                                            \
                const size_t count = width - x0 < 64 ? width - x0 : 64;                            \
                for (size_t f = 0; f < frames; f++) {                                              \
                    const type *restrict a = from + f * plane + y * line + x0;                     \
                    type *restrict b = to + y * to_line + x0 * depth + f;                          \
                    for (size_t x = 0; x < count; x++)                                             \
                        b[x * depth] = a[x];                                                       \
                }                                                                                  \
            }                                                                                      \
    }
TURN(uint8_t)
TURN(uint16_t)
TURN(uint32_t)

static void turn(const struct writer *w, const unsigned char *from, size_t height, size_t width,
                 size_t frames, size_t plane, unsigned char *to)
{
    const size_t line = w->movie->width, to_line = w->chunk_w * w->chunk_n, depth = w->chunk_n;
    switch (w->pixel) {
    case 1:
        turn_uint8_t(from, line, plane, height, width, frames, to, to_line, depth);
        break;
    case 2:
        turn_uint16_t((const uint16_t *)(const void *)from, line, plane, height, width, frames,
                      (uint16_t *)(void *)to, to_line, depth);
        break;
    default:
        turn_uint32_t((const uint32_t *)(const void *)from, line, plane, height, width, frames,
                      (uint32_t *)(void *)to, to_line, depth);
    }
}

static enum emd_status make_block(void *ctx, size_t job, unsigned slot, unsigned thread,
                                  struct emd_error *err)
{
    const struct writer *const w = ctx;
    const struct emd_movie *m = w->movie;
    const size_t group = job / w->bands, top = job % w->bands * w->band;
    const size_t bottom = top + w->band < m->height ? top + w->band : m->height;
    const size_t first = group * w->group;
    const size_t frames = m->frames - first < w->group ? m->frames - first : w->group;
    unsigned char *const block = w->slots[slot];
    (void)err;
    if (w->group == 1) {
        w->source->rows(w->source->ctx, first, top, bottom, block, w->work[thread]);
        return EMD_OK;
    }
    unsigned char *const planes = w->planes[thread];
    const size_t plane = w->band * m->width;
    for (size_t f = 0; f < frames; f++)
        w->source->rows(w->source->ctx, first + f, top, bottom, planes + f * plane * w->pixel,
                        w->work[thread]);
    const size_t chunk_bytes = w->chunk_h * w->chunk_w * w->chunk_n * w->pixel;
    if (frames < w->group || bottom - top < w->band || m->width % w->chunk_w != 0)
        memset(block, 0, w->block_bytes); /* padding of chunks at the edges */
    for (size_t y = top; y < bottom; y += w->chunk_h) {
        for (size_t i = 0; i < w->across; i++) {
            const size_t x = i * w->chunk_w;
            const size_t height = bottom - y < w->chunk_h ? bottom - y : w->chunk_h;
            const size_t width = m->width - x < w->chunk_w ? m->width - x : w->chunk_w;
            turn(w, planes + ((y - top) * m->width + x) * w->pixel, height, width, frames, plane,
                 block + ((y - top) / w->chunk_h * w->across + i) * chunk_bytes);
        }
    }
    return EMD_OK;
}

static bool write_contiguous(const struct writer *w, size_t top, size_t bottom,
                             const unsigned char *block)
{
    const struct emd_movie *m = w->movie;
    const hsize_t start[3] = {top, 0, 0}, count[3] = {bottom - top, m->width, m->frames};
    hid_t type = H5Dget_type(w->data), space = H5Dget_space(w->data);
    hid_t memory = H5Screate_simple(3, count, NULL);
    const bool ok = type >= 0 && space >= 0 && memory >= 0 &&
                    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                    H5Dwrite(w->data, type, memory, space, H5P_DEFAULT, block) >= 0;
    emd_hdf5_close(&memory);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    return ok;
}

static enum emd_status deliver_block(void *ctx, size_t job, unsigned slot, struct emd_error *err)
{
    struct writer *const w = ctx;
    const struct emd_movie *m = w->movie;
    const size_t group = job / w->bands, top = job % w->bands * w->band;
    const size_t bottom = top + w->band < m->height ? top + w->band : m->height;
    const size_t chunk_bytes = w->chunk_h * w->chunk_w * w->chunk_n * w->pixel;
    bool ok = true;
    if (m->layout == EMD_LAYOUT_CONTIGUOUS) {
        ok = write_contiguous(w, top, bottom, w->slots[slot]);
    } else {
        const unsigned char *chunk = w->slots[slot];
        for (size_t y = top; y < bottom && ok; y += w->chunk_h) {
            for (size_t i = 0; i < w->across && ok; i++, chunk += chunk_bytes) {
                const hsize_t at[3] = {y, i * w->chunk_w, group * w->chunk_n};
                ok = H5Dwrite_chunk(w->data, H5P_DEFAULT, 0, at, chunk_bytes, chunk) >= 0;
            }
        }
    }
    if (!ok)
        return fail_hdf5(err, "the images");
    /* The metadata of a group follow its last band: as a camera leaves them, frame by frame. */
    for (size_t f = group * w->group; bottom == m->height && f < (group + 1) * w->group; f++) {
        const hsize_t at[2] = {0, f};
        if (f >= m->frames)
            break;
        emd_velox_frame_document(m, f, w->column);
        if (H5Dwrite_chunk(w->metadata, H5P_DEFAULT, 0, at, EMD_VELOX_METADATA_BYTES, w->column) <
            0)
            return fail_hdf5(err, "the metadata");
    }
    if (w->observer && w->observer->progress)
        w->observer->progress(w->observer->ctx, (double)(job + 1) / (double)(w->bands * w->groups));
    return EMD_OK;
}

static bool ask_cancelled(void *ctx)
{
    const struct emd_movie_observer *observer = ((const struct writer *)ctx)->observer;
    return observer && observer->cancelled && observer->cancelled(observer->ctx);
}

/* In the oldest format, as Velox writes it: that of HDF5 2's own choice dates its groups, too. */
static hid_t create_file(int fd)
{
    hid_t access = emd_fdfile_access(fd), file = H5I_INVALID_HID;
    if (access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18) >= 0)
        file = H5Fcreate("movie", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    emd_hdf5_close(&access);
    return file;
}

static bool allocate(struct writer *w, unsigned threads, unsigned slots)
{
    w->slots = calloc(slots, sizeof *w->slots);
    w->planes = calloc(threads, sizeof *w->planes);
    w->work = calloc(threads, sizeof *w->work);
    w->column = malloc(EMD_VELOX_METADATA_BYTES);
    bool ok = w->slots && w->planes && w->work && w->column;
    for (unsigned i = 0; ok && i < slots; i++)
        ok = (w->slots[i] = malloc(w->block_bytes)) != NULL;
    for (unsigned i = 0; ok && i < threads; i++) {
        ok = (w->work[i] = malloc(w->source->work_bytes + 1)) != NULL;
        if (ok && w->group > 1)
            ok = (w->planes[i] = malloc(w->band * w->movie->width * w->group * w->pixel)) != NULL;
    }
    return ok;
}

enum emd_status emd_movie_write(int fd, const struct emd_movie *movie,
                                const struct emd_movie_source *source, struct emd_pool *pool,
                                const struct emd_movie_observer *observer, struct emd_error *err)
{
    const unsigned threads = emd_pool_threads(pool), slots = threads + 1;
    struct writer w = {.movie = movie,
                       .source = source,
                       .observer = observer,
                       .file = H5I_INVALID_HID,
                       .data = H5I_INVALID_HID,
                       .metadata = H5I_INVALID_HID};
    enum emd_status status = EMD_OK;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    plan_blocks(&w);
    if (!allocate(&w, threads, slots)) {
        status = emd_fail(err, EMD_E_MEMORY, "no memory for blocks of %zu bytes", w.block_bytes);
        goto out;
    }
    w.file = create_file(fd);
    if (w.file < 0) {
        status = fail_hdf5(err, "the file");
        goto out;
    }
    if ((status = put_documents(&w, err)) != EMD_OK || (status = create_image(&w, err)) != EMD_OK)
        goto out;
    if (!put_thumbnail(&w)) {
        status = fail_hdf5(err, "the thumbnail");
        goto out;
    }
    const struct emd_pool_run run = {.count = w.bands * w.groups,
                                     .threads = threads,
                                     .slots = slots,
                                     .ctx = &w,
                                     .work = make_block,
                                     .deliver = deliver_block,
                                     .cancelled = ask_cancelled};
    status = emd_pool_run(pool, &run, err);
out:
    if (!emd_hdf5_close(&w.data) && status == EMD_OK)
        status = fail_hdf5(err, "the images");
    if (!emd_hdf5_close(&w.metadata) && status == EMD_OK)
        status = fail_hdf5(err, "the metadata");
    if (!emd_hdf5_close(&w.file) && status == EMD_OK)
        status = fail_hdf5(err, "the file");
    emd_hdf5_quiet_end(&quiet);
    for (unsigned i = 0; w.slots && i < slots; i++)
        free(w.slots[i]);
    for (unsigned i = 0; w.planes && i < threads; i++)
        free(w.planes[i]);
    for (unsigned i = 0; w.work && i < threads; i++)
        free(w.work[i]);
    free(w.slots);
    free(w.planes);
    free(w.work);
    free(w.column);
    return status;
}
