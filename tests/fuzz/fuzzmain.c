/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Drives a fuzz target without libFuzzer: inputs made by encoding data with the codec itself and
 * then damaged, a given number of them, the same in every run; or the files given. Also writes the
 * undamaged ones as a seed corpus:
 *   fuzz_X COUNT | fuzz_X FILE... | fuzz_X --seeds FOLDER */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzzparam.h"
#include "unit/codecdata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MOST = 1 << 17 };

static uint8_t input[MOST];

/* A round-trip input (its data), whose chunk is what a decoding input of the same choices holds. */
static size_t make_input(uint64_t *state)
{
    const uint64_t r = next_random(state);
    const struct emd_codec *codec = fuzz_codec_of((uint8_t)(r >> 16));
    static uint8_t data[MOST / 2];
    /* Mostly small: more of them a second, and all paths are within reach. */
    const size_t n = r % 100 < 90 ? r / 100 % 600 : r / 100 % 20000;
    size_t size = 0;
    unsigned cd[EMD_CD_MAX] = {0};
    for (int i = 0; i < CHOICES; i++)
        input[i] = (uint8_t)(r >> (16 + 8 * i));
    fill_data((enum data_kind)(r >> 50) % DATA_KINDS, data, n, r);
    if (input[0] & 1) {
        memcpy(input + CHOICES, data, n);
        return CHOICES + n;
    }
    /* Decoders take their parameters from the chunk; the item size is all that some need. */
    cd[0] = codec->id == EMD_FILTER_BITSHUFFLE ? 0 : 4;
    cd[1] = 4;
    cd[2] = 1u << (input[1] & 3);
    cd[4] = codec->id == EMD_FILTER_BITSHUFFLE ? input[3] % 4u : input[2] % 10u;
    cd[5] = input[2] / 11 % 3u;
    cd[6] = input[3] % 6u;
    size_t count = codec->id == EMD_FILTER_BLOSC        ? 7
                   : codec->id == EMD_FILTER_BITSHUFFLE ? 6
                   : codec->id == EMD_FILTER_FLETCHER32 ? 0
                                                        : 1;
    const struct emd_chunk_shape shape = {.item_class = EMD_ITEM_INTEGER,
                                          .item_size = 2,
                                          .base_size = 2,
                                          .rank = 2,
                                          .dims = {1 + n / 64, 32}};
    const size_t whole = codec->id == EMD_FILTER_EDC ? emd_chunk_bytes(&shape) : n / cd[2] * cd[2];
    if (codec->id == EMD_FILTER_EDC &&
        codec->set_local(&shape, NULL, 0, cd, &count, NULL) != EMD_OK)
        return 0;
    if (codec->encode(cd, count, NULL, data, whole, input + CHOICES, MOST - CHOICES, &size, NULL) !=
        EMD_OK)
        size = n;
    return CHOICES + size;
}

static size_t damage(uint64_t *state, size_t n)
{
    for (uint64_t k = next_random(state) % 4; k > 0 && n > CHOICES; k--) {
        const uint64_t r = next_random(state);
        const size_t at = CHOICES + (r >> 8) % (n - CHOICES);
        switch (r % 8) {
        case 0:
            n = at; /* cut short */
            break;
        case 1:
            input[at] = (uint8_t)(r >> 56);
            break;
        case 2: /* a forged 32-bit field */
            for (size_t i = at; i < at + 4 && i < n; i++)
                input[i] = r >> 40 & 1 ? 0xFF : (uint8_t)(r >> (41 + i % 4));
            break;
        case 3: /* near the front, where the headers are */
            input[CHOICES + (r >> 8) % (n - CHOICES < 24 ? n - CHOICES : 24)] = (uint8_t)(r >> 56);
            break;
        case 4:
            memmove(input + at, input + CHOICES, n - at);
            break;
        default:
            input[at] ^= (uint8_t)(1u << (r >> 60 & 7));
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    uint64_t state = 0x1234567;
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        for (int i = 0; i < 200; i++) {
            char name[4096];
            const size_t n = make_input(&state);
            snprintf(name, sizeof name, "%s/%03d", argv[2], i);
            FILE *f = fopen(name, "wb");
            if (!f || fwrite(input, 1, n, f) != n || fclose(f) != 0)
                return 1;
        }
        return 0;
    }
    if (argc == 2 && strspn(argv[1], "0123456789") == strlen(argv[1])) {
        for (long count = atol(argv[1]); count > 0; count--)
            LLVMFuzzerTestOneInput(input, damage(&state, make_input(&state)));
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f) {
            perror(argv[i]);
            return 1;
        }
        const size_t n = fread(input, 1, sizeof input, f);
        fclose(f);
        LLVMFuzzerTestOneInput(input, n);
    }
    return 0;
}
