/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Test data for codecs: the kinds of bytes that matter, the same in every run. */
#ifndef EMD_TESTS_CODECDATA_H
#define EMD_TESTS_CODECDATA_H

#include <stddef.h>
#include <stdint.h>

enum data_kind {
    DATA_ZERO,
    DATA_RANDOM, /* incompressible */
    DATA_CAMERA, /* 16-bit noise around 200 with a few bright items, little-endian */
    DATA_SIGNED, /* 16-bit noise around zero */
    DATA_COUNTS, /* mostly 0, some 1 */
    DATA_TEXT,   /* long and short repeats */
    DATA_KINDS
};

/* xorshift64: 2^64 - 1 different states, never 0. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline void fill_data(enum data_kind kind, void *buffer, size_t n, uint64_t seed)
{
    uint8_t *p = buffer;
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = next_random(&state);
        unsigned noise = (unsigned)(r & 31) + (unsigned)(r >> 8 & 31) + (unsigned)(r >> 16 & 31);
        switch (kind) {
        case DATA_ZERO:
            p[i] = 0;
            break;
        case DATA_CAMERA:
        case DATA_SIGNED: {
            unsigned v = kind == DATA_CAMERA ? 160 + noise : noise - 46;
            if (r >> 40 % 997 == 0)
                v += 1000;
            p[i] = (uint8_t)v;
            if (++i < n)
                p[i] = (uint8_t)(v >> 8);
            break;
        }
        case DATA_COUNTS:
            p[i] = r % 50 == 0;
            break;
        case DATA_TEXT:
            p[i] = (uint8_t)("the quick brown fox "[i * i / 700 % 20]);
            break;
        default:
            p[i] = (uint8_t)r;
        }
    }
}

#endif
