/* The entropy coder, one lane after the other. The SIMD levels use it where fewer than 64 lanes or
 * few bytes are left.
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
