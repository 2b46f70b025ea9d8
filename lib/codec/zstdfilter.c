/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5 filter 32015: one bare Zstandard frame (RFC 8878) a chunk; cd_values = level or nothing.
 *
 * Our frames always hold the content size, which readers of this filter need, and zstd's content
 * checksum, so that every reader, whoever wrote it, notices damage. Frames of others are read with
 * or without either. */

/* For ZSTD_getCParams and ZSTD_estimateCCtxSize_usingCParams. */
#define ZSTD_STATIC_LINKING_ONLY
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "codec/codecs.h"
#include "codec/work.h"

enum {
    DEFAULT_LEVEL = 3,           /* of the published plugin, where no level is given */
    MOST_OF_A_BLOCK = 128 * 1024 /* bytes that a block of any size can stand for (RFC 8878) */
};

/* Sizes from which a level's window and tables no longer grow are far beyond chunks: so what a
 * context takes is asked of zstd for the chunk size in hand. */
static int level_of(const unsigned *cd, size_t cd_count)
{
    int level = cd_count > 0 ? (int)cd[0] : DEFAULT_LEVEL;
    if (level > ZSTD_maxCLevel())
        level = ZSTD_maxCLevel();
    return level < ZSTD_minCLevel() ? ZSTD_minCLevel() : level;
}

static size_t bound(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    size_t most = ZSTD_compressBound(n);
    return ZSTD_isError(most) || most < n ? 0 : most;
}

static enum emd_status encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_work *mine;
    work = emd_work_or_new(work, &mine);
    ZSTD_CCtx *cctx = work ? emd_work_cctx(work) : NULL;
    if (!cctx) {
        status = emd_fail(err, EMD_E_MEMORY, "zstd: out of memory");
        goto out;
    }
    ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level_of(cd, cd_count));
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1);
    size_t size = ZSTD_compress2(cctx, dst, capacity, src, n);
    if (ZSTD_isError(size))
        status = emd_fail(err,
                          ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation ? EMD_E_MEMORY
                                                                                  : EMD_E_BUDGET,
                          "zstd: %s", ZSTD_getErrorName(size));
    else
        *out = size;
out:
    emd_work_free(mine);
    return status;
}

/* One frame of zstd 0.8 or later must be all there is: libzstd may also know skippable frames and
 * those of its early versions, but no writer of this filter ever made them. */
static enum emd_status check_frame(const void *src, size_t n, struct emd_error *err)
{
    static const unsigned char magic[] = {0x28, 0xB5, 0x2F, 0xFD};
    if (n < sizeof magic || memcmp(src, magic, sizeof magic) != 0)
        return emd_fail(err, EMD_E_CORRUPT, "zstd: %zu bytes do not begin with a frame", n);
    size_t frame = ZSTD_findFrameCompressedSize(src, n);
    if (ZSTD_isError(frame))
        return emd_fail(err, EMD_E_CORRUPT, "zstd: %zu bytes are no whole frame: %s", n,
                        ZSTD_getErrorName(frame));
    if (frame != n)
        return emd_fail(err, EMD_E_CORRUPT, "zstd: %zu bytes follow the frame of %zu bytes",
                        n - frame, frame);
    return EMD_OK;
}

/* The size of a frame that does not say it, by decoding it. In one piece: a stream decoder would
 * have to allocate the window that the frame claims. */
static enum emd_status count_bytes(const void *src, size_t n, size_t limit, size_t *out,
                                   struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    /* A block takes at least 3 bytes. */
    const size_t blocks = n / 3 + 1,
                 room = limit / MOST_OF_A_BLOCK < blocks ? limit : blocks * MOST_OF_A_BLOCK;
    ZSTD_DCtx *dctx = ZSTD_createDCtx();
    void *waste = malloc(room ? room : 1);
    if (!dctx || !waste) {
        status = emd_fail(err, EMD_E_MEMORY, "zstd: out of memory");
        goto out;
    }
    const size_t size = ZSTD_decompressDCtx(dctx, waste, room, src, n);
    if (ZSTD_isError(size))
        status = emd_fail(err, EMD_E_CORRUPT, "zstd: %zu bytes for a chunk of at most %zu: %s", n,
                          limit, ZSTD_getErrorName(size));
    else
        *out = size;
out:
    free(waste);
    ZSTD_freeDCtx(dctx);
    return status;
}

static enum emd_status decoded_size(const unsigned *cd, size_t cd_count, const void *src, size_t n,
                                    size_t limit, size_t *out, struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    enum emd_status status = check_frame(src, n, err);
    if (status != EMD_OK)
        return status;
    const unsigned long long size = ZSTD_getFrameContentSize(src, n);
    if (size == ZSTD_CONTENTSIZE_ERROR)
        return emd_fail(err, EMD_E_CORRUPT, "zstd: the frame's header is damaged");
    if (size == ZSTD_CONTENTSIZE_UNKNOWN)
        return count_bytes(src, n, limit, out, err);
    if (size > limit || size / MOST_OF_A_BLOCK > n)
        return emd_fail(err, EMD_E_CORRUPT,
                        "zstd: a frame of %zu bytes claims %llu where at most %zu belong", n, size,
                        limit);
    *out = (size_t)size;
    return EMD_OK;
}

static enum emd_status decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    struct emd_work *mine = NULL;
    enum emd_status status = check_frame(src, n, err);
    if (status != EMD_OK)
        return status;
    work = emd_work_or_new(work, &mine);
    ZSTD_DCtx *dctx = work ? emd_work_dctx(work) : NULL;
    if (!dctx) {
        status = emd_fail(err, EMD_E_MEMORY, "zstd: out of memory");
        goto out;
    }
    size_t size = ZSTD_decompressDCtx(dctx, dst, capacity, src, n);
    if (ZSTD_isError(size))
        status = emd_fail(
            err,
            ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation ? EMD_E_MEMORY : EMD_E_CORRUPT,
            "zstd: %zu bytes for a chunk of at most %zu: %s", n, capacity, ZSTD_getErrorName(size));
    else
        *out = size;
out:
    emd_work_free(mine);
    return status;
}

static size_t work_bytes(const unsigned *cd, size_t cd_count, size_t n)
{
    ZSTD_compressionParameters p = ZSTD_getCParams(level_of(cd, cd_count), n, 0);
    return ZSTD_estimateCCtxSize_usingCParams(p) + ZSTD_estimateDCtxSize();
}

static void libraries(char *text, size_t room)
{
    snprintf(text, room, "zstd %s", ZSTD_versionString());
}

const struct emd_codec emd_codec_zstd = {
    .name = "zstd",
    .id = EMD_FILTER_ZSTD,
    .description = "Zstandard",
    .checksum = true,
    .bound = bound,
    .encode = encode,
    .decoded_size = decoded_size,
    .decode = decode,
    .libraries = libraries,
    .work_bytes = work_bytes,
};
