/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Extra bits of escaped symbols: least significant bit first, and how a folded residual becomes a
 * symbol. */
#ifndef EMD_EDC_BITS_H
#define EMD_EDC_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "codec/edc/edcformat.h"

struct edc_bit_writer {
    uint8_t *p;
    uint64_t bits;
    unsigned count; /* < 8 between calls */
};

struct edc_bit_reader {
    const uint8_t *p, *end;
    uint64_t bits;
    unsigned count;
    bool bad; /* ran out of bytes: zeros were read */
};

static inline void edc_put_bits(struct edc_bit_writer *w, uint32_t value, unsigned n)
{
    w->bits |= (uint64_t)value << w->count;
    for (w->count += n; w->count >= 8; w->count -= 8) {
        *w->p++ = (uint8_t)w->bits;
        w->bits >>= 8;
    }
}

static inline void edc_flush_bits(struct edc_bit_writer *w)
{
    if (w->count)
        *w->p++ = (uint8_t)w->bits;
    w->bits = 0;
    w->count = 0;
}

static inline uint32_t edc_get_bits(struct edc_bit_reader *r, unsigned n)
{
    while (r->count < n) {
        if (r->p == r->end) {
            r->bad = true;
            return 0;
        }
        r->bits |= (uint64_t)*r->p++ << r->count;
        r->count += 8;
    }
    const uint32_t value = (uint32_t)(r->bits & ((UINT64_C(1) << n) - 1));
    r->bits >>= n;
    r->count -= n;
    return value;
}

/* z >= EDC_LITERALS: e = z - EDC_LITERALS + 4 has its highest bit at n >= 2; the symbol tells n and
 * the bit below, the n - 1 lowest bits are extra. */
static inline uint8_t edc_escape(uint16_t z, struct edc_bit_writer *extra)
{
    const uint32_t e = (uint32_t)z - EDC_LITERALS + 4;
    const unsigned n = 31 - (unsigned)__builtin_clz(e);
    edc_put_bits(extra, e & ((1u << (n - 1)) - 1), n - 1);
    return (uint8_t)(EDC_LITERALS + 2 * (n - 2) + (e >> (n - 1) & 1));
}

static inline uint16_t edc_unescape(uint8_t symbol, struct edc_bit_reader *extra)
{
    const unsigned bucket = symbol - EDC_LITERALS, n = 2 + bucket / 2;
    const uint32_t e = (2 | (bucket & 1)) << (n - 1) | edc_get_bits(extra, n - 1);
    return (uint16_t)(e + EDC_LITERALS - 4);
}

#endif
