/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Constants of the EDC stream, version 1: docs/edc-format.md is the specification. */
#ifndef EMD_EDC_FORMAT_H
#define EMD_EDC_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum {
    EDC_VERSION = 1,
    EDC_HEADER_BYTES = 40,
    EDC_STRIP_ENTRY_BYTES = 12,

    EDC_TILE_WIDTH = 64, /* pixels; a tile has half as many even and odd ones: */
    EDC_TILE_LANES = EDC_TILE_WIDTH / 2,
    EDC_TILE_ROWS = 8,
    EDC_PAD = 64, /* lanes before and after a half row that repeat its ends */

    EDC_TAPS = 6,
    EDC_COEFS = EDC_TAPS + 1, /* and the bias */
    EDC_SETS = 8,             /* most coefficient sets */
    EDC_CLAMP = 4095,         /* of a tap: times 8 it still fits 16 bits */

    EDC_CLASSES = 46,  /* scale classes, third octaves of the mean |residual|; 12 is 1.0 */
    EDC_LITERALS = 48, /* symbols below stand for themselves */
    EDC_SYMBOLS = 76,  /* above: magnitude buckets, two an octave, with extra bits */
    EDC_TABLES_MAX = 96,

    EDC_RANS_LANES = 64,
    EDC_RANS_BITS = 12,
    EDC_RANS_TOTAL = 1 << EDC_RANS_BITS,
    EDC_RANS_LOW = 1 << 16, /* states are in [2^16, 2^32) */

    EDC_ACTIVITY_MAX = 1023, /* 16 weights of it still fit a signed 16-bit lane */
    EDC_LOCAL_LEVELS = 8,    /* of local activity against the tile's class */
    EDC_FRACTIONS = 4,
    EDC_LOCAL_CONTEXTS = EDC_LOCAL_LEVELS * EDC_FRACTIONS,
    EDC_VALUE_CONTEXTS = 256
};

/* How a strip is stored. */
enum edc_strip_mode { EDC_STRIP_RAW = 0, EDC_STRIP_ZSTD = 1, EDC_STRIP_CODED = 2 };

/* What picks the table of a symbol. */
enum edc_context {
    EDC_CONTEXT_TILE = 0,  /* the tile's class */
    EDC_CONTEXT_LOCAL = 1, /* and the residuals around, and the prediction's fraction */
    EDC_CONTEXT_VALUES = 2 /* the values around (blobs of counting detectors) */
};

/* Low bits of the residuals of a class that are stored as they are: the step is then about a
 * quarter of the mean |residual|, which costs 0.05 % against coding them and keeps tables small. */
static inline int edc_low_bits(int scale_class)
{
    return scale_class < 21 ? 0 : (scale_class - 18) / 3;
}

#endif
