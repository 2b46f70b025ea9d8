/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The transpose at the heart of every layout change: a movie stored pixel by pixel (frames on the
 * last axis) becomes rows of single frames. */
#ifndef EMD_REPACK_TRANSPOSE_H
#define EMD_REPACK_TRANSPOSE_H

#include <stddef.h>

/* dst[k][x] = src[x * stride + k] for x < nx and k < nk; items of item_size bytes, stride in items
 * (>= nk). dst[k] are nk separate rows of nx items each; nothing overlaps src, no alignment needed.
 * Items of 1, 2, 4 and 8 bytes go through 128-bit vectors (SSE2, NEON), others item by item. */
void emd_transpose(size_t item_size, const void *src, size_t stride, void *const dst[], size_t nx,
                   size_t nk);

/* The plain loop: oracle of the tests. */
void emd_transpose_scalar(size_t item_size, const void *src, size_t stride, void *const dst[],
                          size_t nx, size_t nk);

#endif
