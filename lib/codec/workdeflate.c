/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "codec/work.h"

static void free_inflater(void *inflater)
{
    libdeflate_free_decompressor(inflater);
}

static void free_deflater(void *deflater)
{
    libdeflate_free_compressor(deflater);
}

struct libdeflate_decompressor *emd_work_inflater(struct emd_work *work)
{
    if (!work->context[EMD_CONTEXT_INFLATE].data) {
        work->context[EMD_CONTEXT_INFLATE].data = libdeflate_alloc_decompressor();
        work->context[EMD_CONTEXT_INFLATE].free = free_inflater;
    }
    return work->context[EMD_CONTEXT_INFLATE].data;
}

struct libdeflate_compressor *emd_work_deflater(struct emd_work *work, int level)
{
    const int slot = EMD_CONTEXT_DEFLATE + level;
    if (!work->context[slot].data) {
        work->context[slot].data = libdeflate_alloc_compressor(level);
        work->context[slot].free = free_deflater;
    }
    return work->context[slot].data;
}
