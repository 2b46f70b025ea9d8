#include "codec/work.h"

#include <stdlib.h>

struct emd_work *emd_work_new(void)
{
    return calloc(1, sizeof(struct emd_work));
}

void emd_work_free(struct emd_work *work)
{
    if (!work)
        return;
    ZSTD_freeCCtx(work->cctx);
    ZSTD_freeDCtx(work->dctx);
    if (work->inflater)
        libdeflate_free_decompressor(work->inflater);
    for (int i = 0; i < EMD_DEFLATE_LEVELS; i++)
        if (work->deflater[i])
            libdeflate_free_compressor(work->deflater[i]);
    for (int i = 0; i < EMD_SCRATCH_COUNT; i++)
        free(work->scratch[i].data);
    if (work->extra_free)
        work->extra_free(work->extra);
    free(work);
}

void emd_work_set_tune(struct emd_work *work, unsigned tune)
{
    work->tune = tune;
}

ZSTD_CCtx *emd_work_cctx(struct emd_work *work)
{
    if (!work->cctx)
        work->cctx = ZSTD_createCCtx();
    return work->cctx;
}

ZSTD_DCtx *emd_work_dctx(struct emd_work *work)
{
    if (!work->dctx)
        work->dctx = ZSTD_createDCtx();
    return work->dctx;
}

struct libdeflate_decompressor *emd_work_inflater(struct emd_work *work)
{
    if (!work->inflater)
        work->inflater = libdeflate_alloc_decompressor();
    return work->inflater;
}

struct libdeflate_compressor *emd_work_deflater(struct emd_work *work, int level)
{
    if (!work->deflater[level])
        work->deflater[level] = libdeflate_alloc_compressor(level);
    return work->deflater[level];
}

void *emd_work_scratch(struct emd_work *work, enum emd_scratch slot, size_t n)
{
    if (work->scratch[slot].size < n || !work->scratch[slot].data) {
        if (n > SIZE_MAX - 63)
            return NULL;
        size_t size = n ? (n + 63) & ~(size_t)63 : 64;
        free(work->scratch[slot].data);
        work->scratch[slot].data = aligned_alloc(64, size);
        work->scratch[slot].size = work->scratch[slot].data ? size : 0;
    }
    return work->scratch[slot].data;
}

struct emd_work *emd_work_or_new(struct emd_work *given, struct emd_work **mine)
{
    *mine = given ? NULL : emd_work_new();
    return given ? given : *mine;
}
