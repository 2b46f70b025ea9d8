/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5 filter 33200: EDC behind the interface of all codecs. The stored parameters describe the
 * chunk for the encoder; a stream tells its decoder everything itself. */
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "codec/codecs.h"
#include "codec/edc/edc.h"
#include "codec/work.h"

enum {
    CD_VERSION, /* of these parameters: 1 */
    CD_ITEM_SIZE,
    CD_FLAGS,
    CD_WIDTH,
    CD_HEIGHT,
    CD_PLANES,
    CD_EFFORT,
    CD_COUNT,

    PARAMETERS_VERSION = 1,
    FLAG_INTEGER = 1,
    FLAG_SIGNED = 2,
    FLAG_BIG_ENDIAN = 4,
    FLAG_INTERLEAVED = 8,
};

/* The frame axes are the last two that are longer than 1; a shorter axis behind them holds frames
 * pixel by pixel. Velox: (height, width, 1); detectors: (1, height, width). */
static bool find_axes(const struct emd_chunk_shape *shape, uint64_t *width, uint64_t *height,
                      uint64_t *planes, bool *interleaved)
{
    uint64_t dims[EMD_RANK_MAX];
    unsigned rank = 0;
    for (unsigned i = 0; i < shape->rank && i < EMD_RANK_MAX; i++)
        if (shape->dims[i] > 1)
            dims[rank++] = shape->dims[i];
    if (rank < 2)
        return false;
    *interleaved = rank == 3 && dims[2] < dims[1] && dims[2] < dims[0];
    *width = dims[rank - (*interleaved ? 2 : 1)];
    *height = dims[rank - (*interleaved ? 3 : 2)];
    *planes = *interleaved ? dims[2] : 1;
    if (!*interleaved)
        for (unsigned i = 0; i + 2 < rank; i++)
            if (__builtin_mul_overflow(*planes, dims[i], planes))
                return false;
    return *width <= UINT32_MAX && *height <= UINT32_MAX && *planes <= UINT32_MAX;
}

static enum emd_status set_local(const struct emd_chunk_shape *shape, const unsigned *user,
                                 size_t user_count, unsigned cd[EMD_CD_MAX], size_t *cd_count,
                                 struct emd_error *err)
{
    unsigned effort = EMD_EDC_DEFAULT;
    if (user_count == CD_COUNT && user[CD_VERSION] == PARAMETERS_VERSION)
        effort = user[CD_EFFORT];
    else if (user_count == 1)
        effort = user[0];
    else if (user_count != 0)
        return emd_fail(err, EMD_E_ARGUMENT, "edc: %zu parameters where 0 or 1 (effort) belong",
                        user_count);
    if (effort < EMD_EDC_FAST || effort > EMD_EDC_BEST)
        return emd_fail(err, EMD_E_ARGUMENT, "edc: effort %u is not within 1 to 3", effort);
    uint64_t width = 0, height = 0, planes = 0;
    bool interleaved = false;
    const bool image = shape->item_class == EMD_ITEM_INTEGER &&
                       (shape->item_size == 1 || shape->item_size == 2 || shape->item_size == 4) &&
                       find_axes(shape, &width, &height, &planes, &interleaved);
    const size_t item = image ? shape->item_size : shape->base_size ? shape->base_size : 1;
    cd[CD_VERSION] = PARAMETERS_VERSION;
    cd[CD_ITEM_SIZE] = item <= UINT32_MAX ? (unsigned)item : 1;
    cd[CD_FLAGS] = image ? FLAG_INTEGER | (shape->is_signed ? FLAG_SIGNED : 0u) |
                               (shape->big_endian ? FLAG_BIG_ENDIAN : 0u) |
                               (interleaved ? FLAG_INTERLEAVED : 0u)
                         : 0;
    cd[CD_WIDTH] = image ? (unsigned)width : 0;
    cd[CD_HEIGHT] = image ? (unsigned)height : 0;
    cd[CD_PLANES] = image ? (unsigned)planes : 0;
    cd[CD_EFFORT] = effort;
    *cd_count = CD_COUNT;
    return EMD_OK;
}

/* Parameters that are not ours: bytes. */
static struct emd_edc_params params_of(const unsigned *cd, size_t cd_count)
{
    struct emd_edc_params p = {.item_size = 1, .effort = EMD_EDC_DEFAULT};
    if (cd_count == 1 && cd[0] >= EMD_EDC_FAST && cd[0] <= EMD_EDC_BEST)
        p.effort = (enum emd_edc_effort)cd[0];
    if (cd_count < CD_COUNT || cd[CD_VERSION] != PARAMETERS_VERSION)
        return p;
    p.item_size = cd[CD_ITEM_SIZE] ? cd[CD_ITEM_SIZE] : 1;
    p.is_integer = cd[CD_FLAGS] & FLAG_INTEGER;
    p.is_signed = cd[CD_FLAGS] & FLAG_SIGNED;
    p.big_endian = cd[CD_FLAGS] & FLAG_BIG_ENDIAN;
    p.interleaved = cd[CD_FLAGS] & FLAG_INTERLEAVED;
    p.width = cd[CD_WIDTH];
    p.height = cd[CD_HEIGHT];
    p.planes = cd[CD_PLANES];
    if (cd[CD_EFFORT] >= EMD_EDC_FAST && cd[CD_EFFORT] <= EMD_EDC_BEST)
        p.effort = (enum emd_edc_effort)cd[CD_EFFORT];
    return p;
}

static void free_extra(void *extra)
{
    emd_edc_work_free(extra);
}

/* The codec's own memory within a work; NULL where there is none. */
static struct emd_edc_work *own_work(struct emd_work *work)
{
    if (!work)
        return NULL;
    if (!work->extra) {
        work->extra = emd_edc_work_new();
        work->extra_free = free_extra;
    }
    return work->extra;
}

static size_t bound(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    return emd_edc_bound(n);
}

static enum emd_status encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    const struct emd_edc_params params = params_of(cd, cd_count);
    return emd_edc_encode(&params, own_work(work), src, n, dst, capacity, out, err);
}

static enum emd_status decoded_size(const unsigned *cd, size_t cd_count, const void *src, size_t n,
                                    size_t limit, size_t *out, struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    return emd_edc_decoded_size(src, n, limit, out, err);
}

static enum emd_status decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    return emd_edc_decode(work && work->threads ? work->threads : 1, own_work(work), src, n, dst,
                          capacity, out, err);
}

static enum emd_status check(const unsigned *cd, size_t cd_count, struct emd_work *work,
                             const void *src, size_t n, const void *expected, size_t size,
                             struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    return emd_edc_check(work && work->threads ? work->threads : 1, own_work(work), src, n,
                         expected, size, err);
}

static size_t work_bytes(const unsigned *cd, size_t cd_count, size_t n)
{
    const struct emd_edc_params params = params_of(cd, cd_count);
    return emd_edc_work_bytes(&params, n, 1);
}

static void libraries(char *text, size_t room)
{
    snprintf(text, room, "zstd %s", ZSTD_versionString());
}

const struct emd_codec emd_codec_edc = {
    .name = "edc",
    .id = EMD_FILTER_EDC,
    .description = "edc (emdtools)",
    .checksum = true,
    .set_local = set_local,
    .bound = bound,
    .encode = encode,
    .decoded_size = decoded_size,
    .decode = decode,
    .check = check,
    .work_bytes = work_bytes,
    .libraries = libraries,
};
