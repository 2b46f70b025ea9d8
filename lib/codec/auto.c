/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See auto.h. The candidates are what won somewhere among 60 combinations of shuffle, zstd level,
 * block size and zstd parameters. Bits a pixel and MB/s of one Zen 4 core for encoding and decoding
 * in a row (shuffles included), on simulated Ceta frames (movie recipe; with high gain; with low
 * gain; unsigned), and a Falcon counting:
 *                                     movie      high gain   low gain    unsigned    Falcon
 *   byte shuffle, noise              4.01 1010   7.42  500   6.08  400   7.19  760   1.07  700
 *   byte shuffle, zstd 1, chunk      4.02  600   7.42  450   6.08  410   7.19  760   1.03  500
 *   bit shuffle, zstd 1, 512 KiB     5.0   500   6.78  790   5.07  960   7.4   800   0.67  800
 *   bit shuffle, zstd 3, 2 MiB       4.67  380   6.69  640   4.99  750   7.25  470   0.68  650
 *   zlib 4, for comparison           4.24   55   7.41   55   6.13   50   7.18   52   0.99  130
 * Lost: bit shuffle with zstd 1 on blocks of a whole frame (up to 12 bits a pixel: zstd takes whole
 * planes for incompressible), zstd 2, 4 and higher (slower than their gain is worth), byte shuffle
 * with zstd 3 (larger and slower than with zstd 1). */
#include "codec/auto.h"

#include <stdlib.h>

#include "codec/codecs.h"
#include "codec/work.h"

/* Blosc's names for things in cd_values. */
enum { SHUFFLE_NONE, SHUFFLE_BYTES, SHUFFLE_BITS, COMPRESSOR_ZSTD = 5 };

static const struct candidate {
    unsigned level, shuffle, tune;
    unsigned handicap; /* in thousandths of the size: how much smaller a slower one must be */
} candidates[] = {
    /* A stream of 128 KiB is one block of zstd: the block of such streams is item size times it. */
    {1, SHUFFLE_BYTES, 17 | EMD_TUNE_SPLIT | EMD_TUNE_NOISE, 0},
    {1, SHUFFLE_BYTES, 31 | EMD_TUNE_SPLIT, 10},
    {1, SHUFFLE_BITS, 19, 0},
    {1, SHUFFLE_BITS, 16, 5},
    {2, SHUFFLE_BITS, 21, 15},
};

static unsigned log2_ceil(size_t v)
{
    unsigned log = 0;
    while (((size_t)1 << log) < v && log < 31)
        log++;
    return log;
}

static enum emd_status set_up(const struct candidate *c, const struct emd_chunk_shape *shape,
                              struct emd_filter *filter, struct emd_error *err)
{
    const unsigned user[] = {0, 0, 0, 0, c->level, c->shuffle, COMPRESSOR_ZSTD};
    *filter = (struct emd_filter){.codec = &emd_codec_blosc, .optional = true, .tune = c->tune};
    if (c->tune & EMD_TUNE_NOISE && shape->base_size <= 16)
        filter->tune += log2_ceil(shape->base_size);
    return emd_codec_blosc.set_local(shape, user, sizeof user / sizeof user[0], filter->cd,
                                     &filter->cd_count, err);
}

enum emd_status emd_auto_choose(const struct emd_chunk_shape *shape,
                                const struct emd_sample *samples, size_t count,
                                struct emd_work *work, struct emd_filter *filter,
                                struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_work *mine = NULL;
    uint64_t best = UINT64_MAX;
    size_t largest = 0;
    void *room = NULL;
    for (size_t i = 0; i < count; i++)
        if (samples[i].size > largest)
            largest = samples[i].size;
    const size_t capacity = emd_codec_blosc.bound(NULL, 0, largest);
    work = emd_work_or_new(work, &mine);
    if (!work || !(room = malloc(capacity ? capacity : 1))) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    for (size_t c = 0; c < sizeof candidates / sizeof candidates[0]; c++) {
        struct emd_filter trial;
        uint64_t total = 0;
        if ((status = set_up(&candidates[c], shape, &trial, err)) != EMD_OK)
            goto out;
        emd_work_set_tune(work, trial.tune);
        for (size_t i = 0; i < count && status == EMD_OK; i++) {
            size_t size = 0;
            status = trial.codec->encode(trial.cd, trial.cd_count, work, samples[i].data,
                                         samples[i].size, room, capacity, &size, err);
            total += size;
        }
        emd_work_set_tune(work, EMD_TUNE_AS_OTHERS);
        if (status != EMD_OK)
            goto out;
        total = total * (1000 + candidates[c].handicap);
        if (total < best) {
            best = total;
            *filter = trial;
        }
    }
out:
    free(room);
    emd_work_free(mine);
    return status;
}
