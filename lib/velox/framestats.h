/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Mean, maximum and count of spot-like pixels of a frame, in one pass over memory: enough to tell a
 * blank or dead crystal from a diffracting one while its frames are being repacked.
 *
 * Spot-like is a pixel that, together with its right neighbour in the row, exceeds the local
 * background by six standard deviations and, of integers, three counts. Background and noise are
 * those of its block of 8 x 128 pixels: the mean, and the standard deviation that a normal
 * distribution with the mean downward deviation of the block's first and fifth row would have.
 * Spots only raise pixels, so that the downward side stays clean, and hot pixels (single ones) have
 * no neighbour.
 *
 * Integers are summed exactly and reals in a fixed order: the result depends on the pixels and
 * the rectangles alone, not on threads, processor or compiler. */
#ifndef EMD_VELOX_FRAMESTATS_H
#define EMD_VELOX_FRAMESTATS_H

#include <stddef.h>
#include <stdint.h>

#include "velox/movie.h"

/* A block's extent, pixels. 8 rows whose distance is a power of two still fit the 8 ways of a
 * level-1 cache. */
enum { EMD_FRAMESTATS_ROWS = 8, EMD_FRAMESTATS_COLUMNS = 128, EMD_FRAMESTATS_NOISE_ROWS = 4 };

/* All zero: of no pixels. */
struct emd_framestats {
    uint64_t pixels; /* counted: NaN and infinities are not */
    int64_t total;   /* sum of integer pixels; fits for frames below 2^32 pixels */
    double sum;      /* sum of floating-point pixels */
    double max;      /* 0 of no pixels */
    uint64_t spots;
};

/* Adds a rectangle: rows x columns pixels of the machine's byte order, each row side by side, rows
 * 'stride' bytes apart; aligned as the pixel type wants. Blocks begin at the rectangle's corner. */
void emd_framestats_add(struct emd_framestats *stats, enum emd_pixel_type type, const void *pixels,
                        size_t rows, size_t columns, size_t stride);

/* Adds the statistics of another part of the same frame. */
void emd_framestats_merge(struct emd_framestats *stats, const struct emd_framestats *part);

/* Mean of the pixels; NaN of none. */
double emd_framestats_mean(const struct emd_framestats *stats);

#endif
