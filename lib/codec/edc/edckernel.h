/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The inner loops of EDC, one set for each SIMD level, all with identical results.
 *
 * Rows are kept as two half rows, the even and the odd columns. A half row is an array of 16-bit
 * lanes with EDC_PAD lanes before and at least as many after it, where its first and last pixel are
 * repeated; kernels work in whole vectors and so may read and write lanes behind its end. */
#ifndef EMD_EDC_KERNEL_H
#define EMD_EDC_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "codec/edc/edcbits.h"
#include "codec/edc/edcformat.h"
#include "codec/edc/edctables.h"

/* Where constant arguments choose the code. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* One row: half[0] even, half[1] odd columns. */
struct edc_row {
    uint16_t *half[2];
};

/* row[0] is the current one, row[d] the one d above it. */
struct edc_view {
    struct edc_row row[4];
};

/* Q15 coefficients and the bias (8 times a pixel value, rounding included). */
struct edc_set {
    int16_t coef[2][EDC_COEFS + 1]; /* [phase]; the last entry is unused */
};

/* All sets as 'predict' takes them: each coefficient twice in 32 bits, which vectors are filled
 * with at no cost. */
struct edc_predictor {
    int taps; /* EDC_FEW_TAPS where the coefficients of the others are 0 in all sets, or EDC_TAPS */
    uint32_t coef[EDC_SETS][2][EDC_COEFS + 1];
};

struct edc_reader {
    uint32_t state[EDC_RANS_LANES];
    const uint8_t *p, *end; /* 16-bit words */
    const uint32_t *tables; /* EDC_RANS_TOTAL entries each: symbol | frequency << 8 | bias << 20 */
    const struct edc_ranks *ranks; /* the same; NULL: a tile's lanes have different tables */
    bool bad;                      /* ran out of words */
};

struct edc_writer {
    uint32_t state[EDC_RANS_LANES];
    uint8_t *p; /* written downwards; 64 bytes below the lowest word may be touched */
    const struct edc_encoder_table *tables;
    bool by_tile; /* a tile's lanes have one table */
};

/* Strips whose entropy coders take turns in one thread. */
enum { EDC_READERS = 2 };

enum { EDC_FEW_TAPS = 4 }; /* where encoders leave the others 0, because they are worth little */

/* What the inner product of one tile's 32 lanes is kept of: the upper triangle of (taps, 1, y). */
enum { EDC_MOMENTS = (EDC_TAPS + 2) * (EDC_TAPS + 3) / 2 };
_Static_assert(EDC_MOMENTS % 4 == 0, "added up four at a time");

/* The state of a checksum; the library's own, which only the kernels see. */
struct edc_hash {
    _Alignas(64) uint8_t state[640];
};

struct edc_kernels {
    /* w pixels to half rows and back; rows have no padding. */
    void (*split)(const uint16_t *row, size_t w, uint16_t *even, uint16_t *odd);
    void (*join)(const uint16_t *even, const uint16_t *odd, size_t w, uint16_t *row);

    /* Predictions of n lanes of a phase (0 even, 1 odd), tile t by set[t]. fraction (may be NULL):
     * two more bits of each. */
    void (*predict)(const struct edc_view *view, int phase, size_t n,
                    const struct edc_predictor *predictor, const uint8_t *set, uint16_t *prediction,
                    uint8_t *fraction);

    /* residual = value - prediction; sums[i] += min(|residual|, 4095), over at most 8 rows. */
    void (*residuals)(size_t n, const uint16_t *value, const uint16_t *prediction,
                      uint16_t *residual, uint16_t *sums);
    /* sums[i] += min(|residual|, limit[t]), limits up to 4095 */
    void (*clipped_sums)(size_t n, const uint16_t *residual, const uint16_t *limit, uint16_t *sums);
    /* totals[t] += the sums of its lanes, of n in all */
    void (*tile_sums)(size_t n, const uint16_t *sums, uint32_t *totals);

    /* Residuals to symbols, low bits (bit planes of 32 lanes) and escapes, and back to values.
     * 'fold': residuals are unsigned. low[t]: low bits of tile t. */
    void (*quantise)(size_t n, const uint16_t *residual, bool fold, const uint8_t *low,
                     uint8_t *symbol, uint8_t **planes, struct edc_bit_writer *extra);
    void (*restore)(size_t n, const uint8_t *symbol, bool fold, const uint8_t *low,
                    const uint16_t *prediction, const uint8_t **planes,
                    struct edc_bit_reader *extra, uint16_t *value);

    /* Of the n lanes of a tile's half, 'rows' rows that are 'step' apart: the lanes of each row
     * whose symbols are no literals, as bits; most[i] = max(most[i], the literals of lane i). */
    void (*survey)(const uint8_t *symbol, size_t n, uint32_t rows, size_t step,
                   uint32_t escapes[EDC_TILE_ROWS], uint16_t most[EDC_TILE_LANES]);

    /* activity = min(|value - prediction|, EDC_ACTIVITY_MAX), of unsigned values without sign. */
    void (*activity)(size_t n, const uint16_t *value, const uint16_t *prediction, bool fold,
                     uint16_t *activity);
    /* Tables by local activity: map[t][level * 4 + fraction]. */
    void (*context_local)(const struct edc_view *activity, int phase, size_t n,
                          const int16_t (*thresholds)[EDC_LOCAL_LEVELS - 1],
                          const uint8_t *scale_class, const uint8_t *fraction,
                          const uint8_t *const *map, uint8_t *table);
    /* Context numbers by the values around. */
    void (*context_values)(const struct edc_view *activity, int phase, size_t n, uint8_t *context);

    /* n symbols of a row of each of 'count' strips, lane i % 64 each, with table[i]; 128 more
     * entries of it may be read. encode takes them backwards: call it for the last row first. */
    void (*decode)(struct edc_reader *const reader[], int count, size_t n,
                   const uint8_t *const table[], uint8_t *const symbol[]);
    void (*encode)(struct edc_writer *writer, size_t n, const uint8_t *table,
                   const uint8_t *symbol);

    /* Sums over the tile at lane 'at' of the products of what is within 'limit' of a prediction
     * (set NULL: of the base alone), and that sum of |error|. */
    void (*moments)(const struct edc_view *view, int phase, size_t at, const struct edc_set *set,
                    int limit, int32_t moments[EDC_MOMENTS]);
    uint32_t (*deviation)(const struct edc_view *view, int phase, size_t at,
                          const struct edc_set *set, int limit);

    /* XXH3, 64 bits, seed 0: of all data at once, or piece by piece. */
    uint64_t (*checksum)(const void *data, size_t n);
    void (*hash_start)(struct edc_hash *hash);
    void (*hash_update)(struct edc_hash *hash, const void *data, size_t n);
    uint64_t (*hash_end)(const struct edc_hash *hash);
};

extern const struct edc_kernels edc_kernels_scalar, edc_kernels_avx2, edc_kernels_avx512,
    edc_kernels_avx512vbmi, edc_kernels_neon;

/* Those of a level; NULL: it has none of its own, or the machine has not the level. */
const struct edc_kernels *edc_kernels_of(enum emd_simd level);

/* Those of emd_simd_level(), or the scalar ones. */
const struct edc_kernels *edc_kernels(void);

#endif
