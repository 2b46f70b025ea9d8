/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What a thread keeps from chunk to chunk; for the codecs of this folder only. */
#ifndef EMD_CODEC_WORK_H
#define EMD_CODEC_WORK_H

#include <libdeflate.h>
#include <zstd.h>

#include "codec/codec.h"

/* Who uses which scratch buffer: each may be in use while a codec below is called. */
enum emd_scratch {
    EMD_SCRATCH_PIPE_A, /* pipeline: between two filters */
    EMD_SCRATCH_PIPE_B,
    EMD_SCRATCH_FILTER, /* a codec: one block, shuffled */
    EMD_SCRATCH_BITS,   /* a codec: compressor state */
    EMD_SCRATCH_COUNT
};

/* Contexts of other libraries. Each comes with the function that frees it, so that work.c needs
 * none of these libraries and a plugin only those of its own codec. */
enum emd_context {
    EMD_CONTEXT_ZSTD_C,
    EMD_CONTEXT_ZSTD_D,
    EMD_CONTEXT_INFLATE,
    EMD_CONTEXT_DEFLATE, /* and one for each level of libdeflate, 0 to 12 */
    EMD_CONTEXT_COUNT = EMD_CONTEXT_DEFLATE + 13
};

struct emd_work {
    unsigned tune;
    unsigned threads;         /* 0: 1 */
    struct emd_work **helper; /* of the other threads: threads - 1, or NULL */
    struct {
        void *data;
        void (*free)(void *data);
    } context[EMD_CONTEXT_COUNT];
    struct {
        void *data;
        size_t size;
    } scratch[EMD_SCRATCH_COUNT];
    void *extra; /* a larger codec's own state, and how to free it */
    void (*extra_free)(void *extra);
};

/* The contexts, made at first use. NULL: out of memory. */
ZSTD_CCtx *emd_work_cctx(struct emd_work *work);
ZSTD_DCtx *emd_work_dctx(struct emd_work *work);
struct libdeflate_decompressor *emd_work_inflater(struct emd_work *work);
struct libdeflate_compressor *emd_work_deflater(struct emd_work *work, int level);

/* At least n bytes, 64-byte aligned, of any content; valid until the next call for this slot. NULL:
 * out of memory. */
void *emd_work_scratch(struct emd_work *work, enum emd_scratch slot, size_t n);

/* How many parts a chunk of n bytes is worth cutting into, 1 to work->threads. */
unsigned emd_work_parts(const struct emd_work *work, size_t n);

/* Runs part(ctx, 0 .. parts - 1), parts <= work->threads, each with a work of its own that stays as
 * it is until the next call: the first with 'work' on the caller's thread, each other one on a
 * thread of its own, or on the caller's if there is none to be had. The error of the first part
 * that failed. */
enum emd_status emd_work_share(struct emd_work *work, unsigned parts, void *ctx,
                               enum emd_status (*part)(void *ctx, unsigned i, struct emd_work *work,
                                                       struct emd_error *err),
                               struct emd_error *err);

/* For functions that were given no work: 'given' itself, or a new one that *mine keeps for
 * emd_work_free. NULL: out of memory. */
struct emd_work *emd_work_or_new(struct emd_work *given, struct emd_work **mine);

#endif
