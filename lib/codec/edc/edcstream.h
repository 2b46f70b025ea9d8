/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The parts of an EDC stream that encoder and decoder share: header, model, and the way from the
 * caller's pixels to rows of 16 bits. */
#ifndef EMD_EDC_STREAM_H
#define EMD_EDC_STREAM_H

#include <string.h>
#include <zstd.h>

#include "base/status.h"
#include "codec/edc/edc.h"
#include "codec/edc/edckernel.h"
#include "codec/edc/edctables.h"

enum {
    EDC_FLAG_SIGNED = 1,
    EDC_FLAG_BIG_ENDIAN = 2,
    EDC_FLAG_INTERLEAVED = 4,
    EDC_FLAG_BYTES = 8, /* no image: strips of 'strip_rows' bytes, items of 'width' bytes */
    EDC_FLAG_MODEL = 16
};

struct edc_header {
    unsigned item_size, flags;
    uint32_t width, height, planes;
    uint32_t strip_rows;
    uint64_t raw_bytes;
    uint32_t model_bytes;
    uint32_t strips;
};

void edc_put_header(uint8_t *out, const struct edc_header *header);
/* Checks everything against n, the bytes of the stream, too. */
enum emd_status edc_get_header(const void *in, size_t n, struct edc_header *header,
                               struct emd_error *err);

/* What the strips of a chunk are: strip s covers rows [first, first + rows) of a plane, or bytes.
 * offset: of its first byte in the chunk; unless it is scattered, its bytes follow each other. */
struct edc_strip {
    uint32_t plane, first, rows;
    size_t offset, bytes;
};
uint32_t edc_strips_of(const struct edc_header *header); /* 0: too many */
struct edc_strip edc_strip_at(const struct edc_header *header, uint32_t s);

static inline bool edc_is_scattered(const struct edc_header *header)
{
    return (header->flags & EDC_FLAG_INTERLEAVED) && header->planes > 1;
}
/* A scattered strip's pixels from the chunk into one row, and back. */
void edc_gather(const struct edc_header *header, const struct edc_strip *strip,
                const uint8_t *chunk, uint8_t *bytes);
void edc_scatter(const struct edc_header *header, const struct edc_strip *strip,
                 const uint8_t *bytes, uint8_t *chunk);

static inline size_t edc_tiles_across(uint32_t width)
{
    return ((size_t)width + EDC_TILE_WIDTH - 1) / EDC_TILE_WIDTH;
}

static inline size_t edc_tiles_down(uint32_t rows)
{
    return ((size_t)rows + EDC_TILE_ROWS - 1) / EDC_TILE_ROWS;
}

/* How the coded strips of a frame are modelled. */
struct edc_model {
    bool linear; /* predicted from the pixels around; else from zero */
    bool fold;   /* residuals are taken as unsigned: not linear, and unsigned pixels */
    enum edc_context context;
    unsigned set_count, table_count;
    uint32_t intensity[EDC_SETS - 1]; /* sum of 32 pixels from which the next set serves */
    struct edc_set sets[EDC_SETS];
    struct edc_table tables[EDC_TABLES_MAX];
    /* Tables by context, indexed as edc_map says. */
    uint8_t map[EDC_CLASSES * 2 * EDC_LOCAL_CONTEXTS];
};

void edc_prepare_sets(const struct edc_model *model, struct edc_predictor *predictor);

/* Entries of model.map: of one class and phase, and in all. */
static inline size_t edc_map_step(enum edc_context context)
{
    return context == EDC_CONTEXT_TILE    ? 1
           : context == EDC_CONTEXT_LOCAL ? EDC_LOCAL_CONTEXTS
                                          : EDC_VALUE_CONTEXTS;
}

static inline size_t edc_map_size(enum edc_context context)
{
    return (context == EDC_CONTEXT_VALUES ? 1 : EDC_CLASSES) * 2 * edc_map_step(context);
}

/* Where a tile's contexts of a phase begin. */
static inline size_t edc_map(enum edc_context context, unsigned scale_class, int phase)
{
    return ((size_t)scale_class * 2 + (size_t)phase) * edc_map_step(context);
}

/* Side information of the strips that may be coded: the model, then by strip its tiles' classes and
 * its first row's means. classes and means hold tiles of all strips one after the other (strips
 * that are not coded leave theirs unused): strip s begins at tile_start(s) and column_start(s). */
struct edc_side {
    struct edc_model model;
    uint8_t *classes;
    uint16_t *means;
};

static inline size_t edc_tile_start(const struct edc_header *h, uint32_t strip)
{
    const uint32_t per_plane = (h->height + h->strip_rows - 1) / h->strip_rows;
    return ((size_t)(strip / per_plane) * edc_tiles_down(h->height) +
            (size_t)(strip % per_plane) * (h->strip_rows / EDC_TILE_ROWS)) *
           edc_tiles_across(h->width);
}

static inline size_t edc_tiles_total(const struct edc_header *h)
{
    return (size_t)h->planes * edc_tiles_down(h->height) * edc_tiles_across(h->width);
}

/* Returns the bytes written, 0 if they do not fit. described[s]: whether strip s is in it. */
size_t edc_put_side(const struct edc_header *h, const struct edc_side *side, const bool *described,
                    uint8_t *out, size_t capacity);
/* False if the bytes are no side information. */
bool edc_get_side(const struct edc_header *h, const uint8_t *in, size_t n, bool *described,
                  struct edc_side *side);

/* Thresholds of local activity by class; the same for every frame. */
void edc_local_thresholds(int16_t thresholds[EDC_CLASSES][EDC_LOCAL_LEVELS - 1]);

/* Row y of a plane as 16-bit lanes: a pointer into the chunk where it holds just that, else 'row'
 * filled. 'offset' is taken off (32-bit elements). */
const uint16_t *edc_load_row(const struct edc_header *h, const void *chunk, uint32_t plane,
                             uint32_t y, uint32_t offset, uint16_t *row);
/* Where to put a decoded row: the chunk itself, or 'row', which edc_store_row then carries over. */
uint16_t *edc_row_target(const struct edc_header *h, void *chunk, uint32_t plane, uint32_t y,
                         uint16_t *row);
void edc_store_row(const struct edc_header *h, void *chunk, uint32_t plane, uint32_t y,
                   uint32_t offset, const uint16_t *row);

/* Scratch rows: 4 half-row pairs of pixels and 3 of activity, predictions, symbols, ... */
struct edc_rows {
    struct edc_view pixels, activity;
    size_t half[2];  /* pixels of each half row */
    size_t tiles[2]; /* tiles across that have any of them */
};

/* Lanes of a half row with padding, a multiple of 64. */
static inline size_t edc_row_lanes(uint32_t width)
{
    return ((((size_t)width + 1) / 2 + 63) & ~(size_t)63) + (size_t)2 * EDC_PAD;
}

/* Asks for a quarter of a row's cache lines: all at a time would wait for each other. */
static inline void edc_prefetch(const uint8_t *row, size_t bytes, unsigned quarter)
{
    const size_t part = (bytes + 255) / 256 * 64;
    for (size_t x = quarter * part; x < (quarter + 1) * part && x < bytes; x += 64)
        __builtin_prefetch(row + x, 0);
}

/* Repeats the ends of a half row of n pixels in its padding, as far as whole tiles and the
 * neighbours of their pixels reach; n = 0: all 'empty'. */
void edc_pad(uint16_t *half, size_t n, uint16_t empty);

/* Prepares the rows above a strip: in every tile its mean. */
void edc_virtual_rows(struct edc_rows *rows, const uint16_t *means);
/* Moves the rows on by one: the current one becomes the one above. */
void edc_advance(struct edc_view *view, int depth);
/* The coefficient set of each tile, by the pixels above its even columns. */
void edc_choose_sets(const struct edc_model *model, const struct edc_rows *rows, bool is_signed,
                     uint8_t *set);

static inline void edc_put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t edc_get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void edc_put64(uint8_t *p, uint64_t v)
{
    edc_put32(p, (uint32_t)v);
    edc_put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint64_t edc_get64(const uint8_t *p)
{
    return edc_get32(p) | (uint64_t)edc_get32(p + 4) << 32;
}

/* emd_edc_encode, decode and check with given kernels, which the machine must have. */
enum emd_status edc_encode_with(const struct edc_kernels *kernels, const struct emd_edc_params *p,
                                struct emd_edc_work *work, const void *src, size_t n, void *dst,
                                size_t capacity, size_t *out, struct emd_error *err);
enum emd_status edc_decode_with(const struct edc_kernels *kernels, unsigned threads,
                                struct emd_edc_work *work, const void *src, size_t n, void *dst,
                                size_t capacity, size_t *out, struct emd_error *err);
enum emd_status edc_check_with(const struct edc_kernels *kernels, unsigned threads,
                               struct emd_edc_work *work, const void *src, size_t n,
                               const void *expected, size_t size, struct emd_error *err);

/* Scratch memory that decoding takes. */
size_t edc_decode_bytes(const struct edc_header *header, unsigned threads);

/* A thread's memory. */
struct emd_edc_work {
    void *data;
    size_t size;
    ZSTD_CCtx *cctx;
    ZSTD_DCtx *dctx;
};

/* Under the address sanitizer the pieces of a block have fences between them. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EDC_FENCES
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EDC_FENCES
#endif
#ifdef EDC_FENCES
#include <sanitizer/asan_interface.h>
enum { EDC_FENCE = 64 };
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
enum { EDC_FENCE = 0 };
#endif

/* The next 'count' items of a block that is laid out, 64-byte aligned; base NULL: only counts. */
static inline void *edc_take(uint8_t *base, size_t *at, size_t count, size_t size)
{
    const size_t bytes = (count * size + 63) & ~(size_t)63;
    uint8_t *const place = base ? base + *at : NULL;
    if (place)
        ASAN_POISON_MEMORY_REGION(place + bytes, EDC_FENCE);
    *at += bytes + EDC_FENCE;
    return place;
}

/* Zeroes a block that is then laid out, maybe again. */
static inline void edc_clear(uint8_t *block, size_t n)
{
    ASAN_UNPOISON_MEMORY_REGION(block, n);
    memset(block, 0, n);
}

/* 64-byte aligned, any content; valid until the next call. NULL: out of memory. */
void *edc_scratch(struct emd_edc_work *work, size_t n);

#endif
