/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The one interface of all compressors: what an HDF5 filter does to a chunk, on plain buffers.
 *
 * A codec is an HDF5 filter without HDF5: it turns the bytes of a chunk into the bytes that the
 * filter of that id stores, and back, steered by the filter's stored parameters (cd_values). The
 * plugins and emdrepack's workers call the very same functions, so what is tested once holds for
 * both. Formats: docs/filters.md.
 *
 * Contract of every function here:
 *   - any input bytes and any cd_values are safe: they give EMD_OK with exactly the right bytes, or
 *     an error; never a crash, a read or write out of bounds, or wrong data where the format has a
 *     checksum;
 *   - re-entrant; nothing is shared between threads but constants. An emd_work belongs to one
 *     thread at a time;
 *   - src and dst do not overlap (but see trailer below); sizes are bytes. */
#ifndef EMD_CODEC_CODEC_H
#define EMD_CODEC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* HDF5 filter ids (registered with The HDF Group; EDC's is from the private range). */
enum {
    EMD_FILTER_DEFLATE = 1,
    EMD_FILTER_SHUFFLE = 2,
    EMD_FILTER_FLETCHER32 = 3,
    EMD_FILTER_NBIT = 5,
    EMD_FILTER_SCALEOFFSET = 6,
    EMD_FILTER_BLOSC = 32001,
    EMD_FILTER_BITSHUFFLE = 32008,
    EMD_FILTER_ZSTD = 32015,
    EMD_FILTER_EDC = 33200
};

/* More cd_values than any of our codecs stores; a filter with more is not ours. N-bit has a few for
 * each member of a compound, which makes it the largest. */
enum { EMD_CD_MAX = 256, EMD_RANK_MAX = 32 };

/* What a chunk holds, as far as a codec may want to know it. */
enum emd_item_class { EMD_ITEM_INTEGER, EMD_ITEM_FLOAT, EMD_ITEM_OTHER };
struct emd_chunk_shape {
    enum emd_item_class item_class;
    size_t item_size; /* bytes of one element */
    size_t base_size; /* of an array type's base element, else item_size */
    bool is_signed;
    bool big_endian;
    unsigned rank;
    uint64_t dims[EMD_RANK_MAX]; /* of the chunk, slowest axis first, all >= 1 */
};

/* Bytes of the whole chunk; 0 if that does not fit size_t. */
size_t emd_chunk_bytes(const struct emd_chunk_shape *shape);

/* Scratch memory and library contexts that a thread keeps from chunk to chunk. Where a function
 * takes one, NULL is allowed and costs set-up time. */
struct emd_work;
struct emd_work *emd_work_new(void); /* NULL: out of memory */
void emd_work_free(struct emd_work *work);

/* Threads that decode and encode may use for one chunk, the caller's included: 1 in a new work. The
 * others live within the call. bitshuffle, blosc (encoding: LZ4 and zstd) and edc (decoding) use
 * them; results do not depend on it. */
enum { EMD_WORK_THREADS_MAX = 64 };
void emd_work_set_threads(struct emd_work *work, unsigned threads);

/* What an encoder may do as it likes, because readers learn it from the chunk itself: never stored
 * with the dataset and never needed to decode. EMD_TUNE_AS_OTHERS gives the bytes that the usual
 * writer of the format gives. Only blosc with zstd looks at the others, and auto.h chooses them:
 *   the low bits   log2 of the bytes of a Blosc block, 10 to 31, instead of blosc's own choice by
 *                  level; the whole chunk if that is smaller;
 *   SPLIT          with byte shuffle: each byte plane of a block is a zstd frame of its own;
 *   NOISE          a small hash table for zstd's search: what is noise is only entropy coded,
 *                  faster and mostly smaller, and runs are still found. */
enum emd_tune {
    EMD_TUNE_AS_OTHERS = 0,
    EMD_TUNE_BLOCK_LOG = 0x1F,
    EMD_TUNE_SPLIT = 0x20,
    EMD_TUNE_NOISE = 0x40
};

/* Sets what the next calls of encode with this work do; a new work has EMD_TUNE_AS_OTHERS. The
 * pipeline functions do it from emd_filter.tune. */
void emd_work_set_tune(struct emd_work *work, unsigned tune);

struct emd_codec {
    const char *name;        /* "zstd", as on command lines */
    unsigned id;             /* HDF5 filter id */
    const char *description; /* one line for the HDF5 class and for lists */
    bool transform;          /* shuffle, fletcher32: not meant to make anything smaller */
    bool checksum;           /* what it stores has a checksum, which decode looks at */
    bool trailer;            /* encode appends: dst may be src; decode then only looks */
    bool reads_only;         /* encode is EMD_E_UNSUPPORTED: never a target's filter */

    /* Fills the cd_values to store with a dataset of such chunks ('user': what its creator gave,
     * possibly an earlier result of this function: it is idempotent). EMD_E_UNSUPPORTED where this
     * codec cannot treat such chunks. NULL where the user's values are stored as they are. */
    enum emd_status (*set_local)(const struct emd_chunk_shape *shape, const unsigned *user,
                                 size_t user_count, unsigned cd[EMD_CD_MAX], size_t *cd_count,
                                 struct emd_error *err);

    /* Largest result of encode for n bytes; 0 if that does not fit size_t. */
    size_t (*bound)(const unsigned *cd, size_t cd_count, size_t n);

    /* Encodes n bytes into dst; *out = bytes written, always <= bound(n). A dst smaller than the
     * result is EMD_E_BUDGET. The result may be larger than n: the caller decides whether to keep
     * it. */
    enum emd_status (*encode)(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err);

    /* Size that decode would produce, from a header that has been checked against n and against
     * 'limit' (larger claims are EMD_E_CORRUPT), for a caller that does not know the chunk's size.
     * NULL where the format does not tell (deflate): the caller tries. */
    enum emd_status (*decoded_size)(const unsigned *cd, size_t cd_count, const void *src, size_t n,
                                    size_t limit, size_t *out, struct emd_error *err);

    /* Decodes n bytes into dst; *out = bytes written. More than capacity, trailing bytes, or
     * anything else that encode would not have made: EMD_E_CORRUPT. */
    enum emd_status (*decode)(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err);

    /* Decodes as decode does, checksums included, but keeps nothing: what it decodes is compared on
     * its way with the 'size' bytes at 'expected', while both are in the cache. EMD_E_VERIFY where
     * it is anything else. NULL: callers decode and compare (emd_pipeline_check). */
    enum emd_status (*check)(const unsigned *cd, size_t cd_count, struct emd_work *work,
                             const void *src, size_t n, const void *expected, size_t size,
                             struct emd_error *err);

    /* Writes names and versions of the libraries inside ("zstd 1.5.4"), cut short if they do not
     * fit. NULL where there are none. */
    void (*libraries)(char *text, size_t room);

    /* Bytes that encode, decode and check allocate inside (contexts, scratch) for chunks of n
     * bytes: for the memory budget. */
    size_t (*work_bytes)(const unsigned *cd, size_t cd_count, size_t n);
};

/* NULL if there is none. */
const struct emd_codec *emd_codec_by_id(unsigned id);
const struct emd_codec *emd_codec_by_name(const char *name);

/* codec->set_local, or the user's values as they are where a codec has none. */
enum emd_status emd_codec_set_local(const struct emd_codec *codec,
                                    const struct emd_chunk_shape *shape, const unsigned *user,
                                    size_t user_count, unsigned cd[EMD_CD_MAX], size_t *cd_count,
                                    struct emd_error *err);

/* All codecs, NULL terminated. */
const struct emd_codec *const *emd_codecs(void);

#endif
