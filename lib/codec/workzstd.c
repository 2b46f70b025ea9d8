/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "codec/work.h"

static void free_cctx(void *cctx)
{
    ZSTD_freeCCtx(cctx);
}

static void free_dctx(void *dctx)
{
    ZSTD_freeDCtx(dctx);
}

ZSTD_CCtx *emd_work_cctx(struct emd_work *work)
{
    if (!work->context[EMD_CONTEXT_ZSTD_C].data) {
        work->context[EMD_CONTEXT_ZSTD_C].data = ZSTD_createCCtx();
        work->context[EMD_CONTEXT_ZSTD_C].free = free_cctx;
    }
    return work->context[EMD_CONTEXT_ZSTD_C].data;
}

ZSTD_DCtx *emd_work_dctx(struct emd_work *work)
{
    if (!work->context[EMD_CONTEXT_ZSTD_D].data) {
        work->context[EMD_CONTEXT_ZSTD_D].data = ZSTD_createDCtx();
        work->context[EMD_CONTEXT_ZSTD_D].free = free_dctx;
    }
    return work->context[EMD_CONTEXT_ZSTD_D].data;
}
