/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Fuzz target for the codec EMD_FUZZ_CODEC, in both directions.
 *
 * Input: one byte of choices, three bytes for cd_values and tuning, then the data. Damaged chunks
 * must give an error or at most the bytes that fit; whatever is encoded must decode to itself.
 *
 * With clang and -DEMDTOOLS_FUZZ=ON this is a libFuzzer target. Elsewhere fuzzmain.c drives it. */
#include <stdlib.h>
#include <string.h>

#include "fuzzparam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { LARGEST = 1 << 16 };

static struct emd_work *work;

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void decode(const struct emd_codec *codec, const unsigned *cd, size_t cd_count,
                   const uint8_t *data, size_t n, size_t capacity)
{
    size_t size = 0, out = 0;
    uint8_t *exact = malloc(n ? n : 1), *dst = malloc(capacity ? capacity : 1);
    check(exact && dst);
    memcpy(exact, data, n);
    const bool sized = codec->decoded_size &&
                       codec->decoded_size(cd, cd_count, exact, n, capacity, &size, NULL) == EMD_OK;
    if (sized)
        check(size <= capacity);
    if (codec->decode(cd, cd_count, work, exact, n, dst, capacity, &out, NULL) == EMD_OK) {
        check(out <= capacity);
        if (codec->decoded_size)
            check(sized && out == size);
    }
    free(exact);
    free(dst);
}

static void round_trip(const struct emd_codec *codec, const unsigned *cd, size_t cd_count,
                       const uint8_t *data, size_t n)
{
    size_t size = 0, out = 0;
    const size_t most = codec->bound(cd, cd_count, n);
    uint8_t *dst = malloc(most ? most : 1), *back = malloc(n ? n : 1);
    check(dst && back);
    if (codec->encode(cd, cd_count, work, data, n, dst, most, &size, NULL) == EMD_OK) {
        check(size <= most);
        check(codec->decode(cd, cd_count, work, dst, size, back, n, &out, NULL) == EMD_OK);
        check(out == n && memcmp(back, data, n) == 0);
    }
    free(dst);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct emd_codec *codec = emd_codec_by_name(EMD_FUZZ_CODEC);
    unsigned cd[EMD_CD_MAX] = {0};
    check(codec != NULL);
    if (!work)
        check((work = emd_work_new()) != NULL);
    if (n < CHOICES)
        return 0;
    const size_t cd_count = fuzz_parameters(codec, data, cd);
    const uint8_t choice = data[0];
    data += CHOICES;
    n -= CHOICES;
    if (choice & 1) {
        emd_work_set_tune(work, choice & 2 ? (choice >> 2 & 3) + 9u + (choice & 0x60) : 0);
        round_trip(codec, cd, cd_count, data, n);
        emd_work_set_tune(work, EMD_TUNE_AS_OTHERS);
    } else {
        decode(codec, cd, cd_count, data, n, choice & 2 ? LARGEST : (size_t)choice * 8);
    }
    return 0;
}
