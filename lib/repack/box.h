/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Boxes of elements in a C-order grid, and the copy of one box into the chunks that it touches. */
#ifndef EMD_REPACK_BOX_H
#define EMD_REPACK_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A dataset cut into a grid of chunks. Extents in elements, slowest axis first. */
struct emd_grid {
    unsigned rank;
    size_t item_size;
    const uint64_t *dims;
    const uint64_t *chunk;
};

/* Chunks of 'grid' that a box touches: the range of chunk coordinates on each axis. */
struct emd_touched {
    uint64_t first[32], count[32];
    size_t total; /* product of count */
};

/* The box 'origin', 'shape' is cut at the dataset's edge; origin lies inside the dataset. */
void emd_box_touched(const struct emd_grid *grid, const uint64_t *origin, const uint64_t *shape,
                     struct emd_touched *touched);

/* The part of chunk number i (row-major within 'touched') that lies in the box and in the dataset:
 * its origin in the dataset and its extent. */
void emd_box_part(const struct emd_grid *grid, const struct emd_touched *touched, size_t i,
                  const uint64_t *origin, const uint64_t *shape, uint64_t *part_origin,
                  uint64_t *part_shape);

struct emd_window {
    uint64_t origin[32], shape[32];
};

/* Copies the box whose elements are at 'src' (C order, 'shape' elements an axis, although only
 * those inside the dataset count) into the chunks that it touches. dst[i] is a buffer for chunk
 * number i of emd_box_touched: of the whole chunk, or, with a window, of just the part of the chunk
 * that lies in the window (emd_box_part of the window's box, which encloses the source box).
 * Elements outside the source box stay; chunks without a buffer (NULL) are left out. */
void emd_box_scatter(const struct emd_grid *grid, const void *src, const uint64_t *origin,
                     const uint64_t *shape, const struct emd_window *window, void *const dst[]);

/* "0,0,17": a point for people, cut short if it does not fit. */
void emd_point_text(unsigned rank, const uint64_t *point, char *text, size_t size);

/* A hash (XXH3) of the elements of a whole chunk at 'origin' that lie inside the dataset, in C
 * order. */
uint64_t emd_box_hash(const struct emd_grid *grid, const uint64_t *origin, const void *chunk);

#endif
