/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The entropy coder, one lane after the other: of the levels that define EDC_CODES_LANE_BY_LANE.
 * The others use it where fewer than 64 lanes or few bytes are left.
 *
 * rANS (Duda 2013): a state x in [2^16, 2^32) a lane, 16-bit words, frequencies of 12 bits. The
 * decoder takes the lanes in rising order and so shares one stream of words between all of them;
 * the encoder does everything backwards. */
#include <string.h>

#include "codec/edc/edckernel.h"

static inline void decode_lanes(struct edc_reader *r, size_t n, const uint8_t *table,
                                uint8_t *symbol)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t x = r->state[i];
        const uint32_t entry =
            r->tables[(uint32_t)table[i] << EDC_RANS_BITS | (x & (EDC_RANS_TOTAL - 1))];
        uint32_t next = (entry >> 8 & 0xFFF) * (x >> EDC_RANS_BITS) + (entry >> 20);
        symbol[i] = (uint8_t)entry;
        if (next < EDC_RANS_LOW) {
            if (r->end - r->p < 2) {
                r->bad = true;
                next = EDC_RANS_LOW;
            } else {
                next = next << 16 | (uint32_t)(r->p[0] | r->p[1] << 8);
                r->p += 2;
            }
        }
        r->state[i] = next;
    }
}

/* What is left of a row from lane 'at' on. */
static inline void decode_rest(struct edc_reader *r, size_t at, size_t n, const uint8_t *table,
                               uint8_t *symbol)
{
    for (; at < n; at += EDC_RANS_LANES)
        decode_lanes(r, n - at < EDC_RANS_LANES ? n - at : EDC_RANS_LANES, table + at, symbol + at);
}

static inline void encode_lanes(struct edc_writer *w, size_t n, const uint8_t *table,
                                const uint8_t *symbol)
{
    for (size_t i = n; i-- > 0;) {
        uint32_t x = w->state[i];
        const uint32_t entry = w->tables[table[i]].entry[symbol[i]];
        const uint32_t frequency = entry & 0xFFFF;
        const uint32_t high = x >= frequency << (32 - EDC_RANS_BITS);
        /* Not a branch, which would be guessed wrong every third time: what lies below the lowest
         * word is written over later. */
        w->p[-2] = (uint8_t)x;
        w->p[-1] = (uint8_t)(x >> 8);
        w->p -= 2 * high;
        x >>= 16 * high;
        w->state[i] = (x / frequency << EDC_RANS_BITS) + x % frequency + (entry >> 16);
    }
}

#ifdef EDC_CODES_LANE_BY_LANE

/* All lanes where enough words are left: no branch that depends on the data, which would be guessed
 * wrong every third time. */
static inline void decode_all_lanes(struct edc_reader *r, const uint8_t *table, uint8_t *symbol)
{
    const uint8_t *p = r->p;
    for (int i = 0; i < EDC_RANS_LANES; i++) {
        const uint32_t x = r->state[i];
        const uint32_t entry =
            r->tables[(uint32_t)table[i] << EDC_RANS_BITS | (x & (EDC_RANS_TOTAL - 1))];
        const uint32_t next = (entry >> 8 & 0xFFF) * (x >> EDC_RANS_BITS) + (entry >> 20);
        const uint32_t low = next < EDC_RANS_LOW, word = (uint32_t)(p[0] | p[1] << 8);
        symbol[i] = (uint8_t)entry;
        r->state[i] = next << (16 * low) | (word & (0 - low));
        p += 2 * low;
    }
    r->p = p;
}

static void decode_row(struct edc_reader *r, size_t n, const uint8_t *table, uint8_t *symbol)
{
    size_t at = 0;
    for (; at + EDC_RANS_LANES <= n && r->end - r->p >= 2 * EDC_RANS_LANES + 2;
         at += EDC_RANS_LANES)
        decode_all_lanes(r, table + at, symbol + at);
    decode_rest(r, at, n, table, symbol);
}

static void rans_encode(struct edc_writer *w, size_t n, const uint8_t *table, const uint8_t *symbol)
{
    for (size_t at = n + (EDC_RANS_LANES - 1) - (n + EDC_RANS_LANES - 1) % EDC_RANS_LANES;
         at > 0;) {
        at -= EDC_RANS_LANES;
        encode_lanes(w, n - at < EDC_RANS_LANES ? n - at : EDC_RANS_LANES, table + at, symbol + at);
    }
}

#else

/* entry[i] = table[index[i]]. Scalar loads beat gathers on Zen 4 clearly, and two entries a store
 * beat one. The empty assembly keeps compilers from gathering them in vector registers instead,
 * which takes half as long again. */
static inline void look_up_64(const uint32_t *table, uint32_t index[64], uint32_t entry[64])
{
    __asm__ volatile("" : : "r"(index) : "memory");
#pragma GCC unroll 32
    for (int i = 0; i < 64; i += 2) {
        const uint64_t pair = table[index[i]] | (uint64_t)table[index[i + 1]] << 32;
        memcpy(&entry[i], &pair, sizeof pair);
    }
    __asm__ volatile("" : : "r"(entry) : "memory");
}

#endif
