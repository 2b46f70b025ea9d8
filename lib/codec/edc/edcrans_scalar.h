/* The entropy coder, one lane after the other. The SIMD levels use it where fewer than 64 lanes or
 * few bytes are left.
 *
 * rANS (Duda 2013): a state x in [2^16, 2^32) a lane, 16-bit words, frequencies of 12 bits. The
 * decoder takes the lanes in rising order and so shares one stream of words between all of them;
 * the encoder does everything backwards. */
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

static inline void encode_lanes(struct edc_writer *w, size_t n, const uint8_t *table,
                                const uint8_t *symbol)
{
    for (size_t i = n; i-- > 0;) {
        uint32_t x = w->state[i];
        const uint32_t entry = w->tables[(size_t)table[i] * EDC_SYMBOLS + symbol[i]];
        const uint32_t frequency = entry & 0xFFFF;
        if (x >= frequency << (32 - EDC_RANS_BITS)) {
            w->p -= 2;
            w->p[0] = (uint8_t)x;
            w->p[1] = (uint8_t)(x >> 8);
            x >>= 16;
        }
        w->state[i] = (x / frequency << EDC_RANS_BITS) + x % frequency + (entry >> 16);
    }
}
