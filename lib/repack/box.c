/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See box.h. Two inner loops do all the work: memcpy of runs, and the transpose where the chunks
 * are one element thick on the fastest axis (single frames out of interleaved ones). */
#include "repack/box.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "repack/transpose.h"

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void emd_box_touched(const struct emd_grid *grid, const uint64_t *origin, const uint64_t *shape,
                     struct emd_touched *touched)
{
    touched->total = 1;
    for (unsigned a = 0; a < grid->rank; a++) {
        uint64_t end = min(origin[a] + shape[a], grid->dims[a]);
        touched->first[a] = origin[a] / grid->chunk[a];
        touched->count[a] = (end - 1) / grid->chunk[a] - touched->first[a] + 1;
        touched->total *= (size_t)touched->count[a];
    }
}

void emd_box_part(const struct emd_grid *grid, const struct emd_touched *touched, size_t i,
                  const uint64_t *origin, const uint64_t *shape, uint64_t *part_origin,
                  uint64_t *part_shape)
{
    for (unsigned a = grid->rank; a-- > 0;) {
        uint64_t begin = (touched->first[a] + i % touched->count[a]) * grid->chunk[a];
        uint64_t end = min(begin + grid->chunk[a], min(origin[a] + shape[a], grid->dims[a]));
        i /= (size_t)touched->count[a];
        part_origin[a] = begin > origin[a] ? begin : origin[a];
        part_shape[a] = end - part_origin[a];
    }
}

/* Element number of 'point' in a box. */
static size_t offset_in(unsigned rank, const uint64_t *point, const uint64_t *origin,
                        const uint64_t *shape)
{
    size_t n = 0;
    for (unsigned a = 0; a < rank; a++)
        n = n * (size_t)shape[a] + (size_t)(point[a] - origin[a]);
    return n;
}

/* Steps 'point' through a part, the last of 'axes' axes fastest; false at the end. */
static bool next_point(unsigned axes, uint64_t *point, const uint64_t *origin,
                       const uint64_t *shape)
{
    for (unsigned a = axes; a-- > 0;) {
        if (++point[a] < origin[a] + shape[a])
            return true;
        point[a] = origin[a];
    }
    return false;
}

/* One part: runs along the last axis, joined over whole trailing axes. */
static void copy_part(const struct emd_grid *grid, const unsigned char *src, const uint64_t *origin,
                      const uint64_t *shape, unsigned char *dst, const uint64_t *dst_origin,
                      const uint64_t *dst_shape, const uint64_t *part_origin,
                      const uint64_t *part_shape)
{
    unsigned axes = grid->rank;
    size_t run = grid->item_size;
    while (axes > 0) {
        run *= (size_t)part_shape[--axes];
        if (part_shape[axes] != shape[axes] || part_shape[axes] != dst_shape[axes])
            break;
    }
    uint64_t point[32];
    memcpy(point, part_origin, grid->rank * sizeof *point);
    do
        memcpy(dst + offset_in(grid->rank, point, dst_origin, dst_shape) * grid->item_size,
               src + offset_in(grid->rank, point, origin, shape) * grid->item_size, run);
    while (next_point(axes, point, part_origin, part_shape));
}

/* 'thick' parts that differ only in their last coordinate, each one element thick there. */
static void transpose_parts(const struct emd_grid *grid, const unsigned char *src,
                            const uint64_t *origin, const uint64_t *shape, void *const dst[],
                            size_t thick, const uint64_t *dst_origin, const uint64_t *dst_shape,
                            const uint64_t *part_origin, const uint64_t *part_shape)
{
    enum { GROUP = 256 }; /* destination rows in one call: bounded stack, far above any vector */
    unsigned x_axis = grid->rank - 2;
    uint64_t point[32];
    memcpy(point, part_origin, grid->rank * sizeof *point);
    do {
        const unsigned char *from =
            src + offset_in(grid->rank, point, origin, shape) * grid->item_size;
        size_t to = offset_in(grid->rank, point, dst_origin, dst_shape) * grid->item_size;
        for (size_t k = 0, rows; k < thick; k += rows ? rows : 1) {
            void *row[GROUP];
            for (rows = 0; rows < GROUP && k + rows < thick && dst[k + rows]; rows++)
                row[rows] = (unsigned char *)dst[k + rows] + to;
            if (rows > 0)
                emd_transpose(grid->item_size, from + k * grid->item_size,
                              (size_t)shape[grid->rank - 1], row, (size_t)part_shape[x_axis], rows);
        }
    } while (next_point(x_axis, point, part_origin, part_shape));
}

void emd_box_scatter(const struct emd_grid *whole, const void *src, const uint64_t *origin,
                     const uint64_t *shape, const struct emd_window *window, void *const dst[])
{
    struct emd_grid grid = *whole;
    struct emd_touched touched;
    /* A trailing axis that is 1 thick on both sides does not matter to the order of bytes. */
    while (grid.rank > 1 && shape[grid.rank - 1] == 1 && grid.chunk[grid.rank - 1] == 1)
        grid.rank--;
    emd_box_touched(&grid, origin, shape, &touched);
    unsigned last = grid.rank - 1;
    bool transposes = grid.rank > 1 && grid.chunk[last] == 1;
    size_t step = transposes ? (size_t)touched.count[last] : 1;
    for (size_t i = 0; i < touched.total; i += step) {
        uint64_t part_origin[32], part_shape[32], dst_origin[32], dst_shape[32];
        emd_box_part(&grid, &touched, i, origin, shape, part_origin, part_shape);
        for (unsigned a = 0; a < grid.rank; a++) {
            uint64_t begin = part_origin[a] / grid.chunk[a] * grid.chunk[a];
            uint64_t end = begin + grid.chunk[a];
            if (window) {
                begin = begin > window->origin[a] ? begin : window->origin[a];
                end = min(end, min(window->origin[a] + window->shape[a], grid.dims[a]));
            }
            dst_origin[a] = begin;
            dst_shape[a] = end - begin;
        }
        if (transposes)
            transpose_parts(&grid, src, origin, shape, dst + i, step, dst_origin, dst_shape,
                            part_origin, part_shape);
        else if (dst[i])
            copy_part(&grid, src, origin, shape, dst[i], dst_origin, dst_shape, part_origin,
                      part_shape);
    }
}

uint64_t emd_box_hash(const struct emd_grid *grid, const uint64_t *origin, const void *chunk)
{
    static const uint64_t zero[32];
    uint64_t inside[32], point[32] = {0};
    unsigned axes = grid->rank;
    size_t run = grid->item_size;
    for (unsigned a = 0; a < grid->rank; a++)
        inside[a] = min(grid->chunk[a], grid->dims[a] - origin[a]);
    while (axes > 0) {
        run *= (size_t)inside[--axes];
        if (inside[axes] != grid->chunk[axes])
            break;
    }
    uint64_t hash = 0; /* run after run, each seeded with what came before */
    do
        hash = XXH3_64bits_withSeed((const unsigned char *)chunk +
                                        offset_in(grid->rank, point, zero, grid->chunk) *
                                            grid->item_size,
                                    run, hash);
    while (next_point(axes, point, zero, inside));
    return hash;
}

void emd_point_text(unsigned rank, const uint64_t *point, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned a = 0; a < rank && used < size; a++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, a ? "," : "", point[a]);
}
