/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Numbers of a few bits one after another, the most significant bit first: how HDF5's n-bit and
 * scale-offset filters pack (H5Znbit.c and H5Zscaleoffset.c). For the codecs of this folder only.
 */
#ifndef EMD_CODEC_BITREADER_H
#define EMD_CODEC_BITREADER_H

#include <stdint.h>

/* The caller has made sure that the bits it takes are there. */
struct emd_bits {
    const unsigned char *byte; /* the next one that still has bits */
    unsigned left;             /* of them, 1 to 8; 8 at first */
};

/* The next 'count' bits, 0 to 8. */
static inline unsigned emd_bits_take(struct emd_bits *bits, unsigned count)
{
    unsigned value = 0;
    while (count > 0) {
        const unsigned now = count < bits->left ? count : bits->left;
        value = value << now | (*bits->byte >> (bits->left - now) & ((1U << now) - 1));
        count -= now;
        bits->left -= now;
        if (bits->left == 0) {
            bits->byte++;
            bits->left = 8;
        }
    }
    return value;
}

/* The next 'count' bits, 0 to 64, as a number. */
static inline uint64_t emd_bits_number(struct emd_bits *bits, unsigned count)
{
    uint64_t value = 0;
    for (unsigned first = count % 8; count > 0; count -= first, first = 8) {
        if (first == 0)
            first = 8;
        value = value << first | emd_bits_take(bits, first);
    }
    return value;
}

#endif
