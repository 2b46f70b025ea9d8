/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What the fuzz targets of codecs and filters share: the meaning of the first bytes of an input. */
#ifndef FUZZPARAM_H
#define FUZZPARAM_H

#include <string.h>

#include "codec/codec.h"

/* The first of them says what to do, the others are for the parameters. */
enum { CHOICES = 4 };

/* EMD_FUZZ_CODEC, or whatever the input chooses. */
static inline const struct emd_codec *fuzz_codec_of(uint8_t choice)
{
#ifdef EMD_FUZZ_CODEC
    (void)choice;
    return emd_codec_by_name(EMD_FUZZ_CODEC);
#else
    static const unsigned ids[] = {EMD_FILTER_ZSTD, EMD_FILTER_BLOSC, EMD_FILTER_BITSHUFFLE,
                                   EMD_FILTER_EDC};
    return emd_codec_by_id(ids[choice >> 2 & 3]);
#endif
}

static inline struct emd_chunk_shape fuzz_shape(const uint8_t *choice)
{
    const unsigned a = choice[1], b = choice[2], c = choice[3];
    return (struct emd_chunk_shape){.item_class = EMD_ITEM_INTEGER,
                                    .item_size = 1u << (a & 3),
                                    .base_size = 1u << (a & 3),
                                    .is_signed = a & 4,
                                    .big_endian = a & 8,
                                    .rank = 3,
                                    .dims = {1 + b % 40, 1 + c % 70, 1 + a / 64}};
}

/* What a user may ask for. */
static inline size_t fuzz_user_values(const struct emd_codec *codec, const uint8_t *choice,
                                      unsigned user[EMD_CD_MAX])
{
    const unsigned a = choice[1], b = choice[2], c = choice[3];
    memset(user, 0, EMD_CD_MAX * sizeof *user);
    switch (codec->id) {
    case EMD_FILTER_DEFLATE:
        user[0] = a % 11;
        return 1;
    case EMD_FILTER_ZSTD:
        user[0] = a % 23 - 11u;
        return a < 200;
    case EMD_FILTER_BLOSC:
        user[4] = b % 11;
        user[5] = b / 11 % 4;
        user[6] = c % 7;
        return 7;
    case EMD_FILTER_BITSHUFFLE:
        user[0] = b % 9 * 8;
        user[1] = c % 4;
        user[2] = c / 4 % 10;
        return 3;
    case EMD_FILTER_EDC:
        user[0] = 1 + c % 3;
        return 1;
    default:
        return 0;
    }
}

/* Parameters of every kind that a file may hold, mostly sensible ones. */
static inline size_t fuzz_parameters(const struct emd_codec *codec, const uint8_t *choice,
                                     unsigned cd[EMD_CD_MAX])
{
    const struct emd_chunk_shape shape = fuzz_shape(choice);
    unsigned user[EMD_CD_MAX];
    const size_t user_count = fuzz_user_values(codec, choice, user);
    size_t count = 0;
    if (!codec->set_local ||
        codec->set_local(&shape, user, user_count, cd, &count, NULL) != EMD_OK) {
        memcpy(cd, user, sizeof user);
        count = user_count;
    }
    if (codec->id == EMD_FILTER_BLOSC && choice[1] & 16)
        cd[2] = 1 + choice[1] / 32;
    return count;
}

#endif
