/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See comparejob.h. The values of two datasets: stored chunks as they are where both files store
 * them alike, everything else read in pieces. What was never written is the fill value and is only
 * read where the other file has something there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "hdf5/chunks.h"
#include "hdf5/comparejob.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"

/* One pair of datasets while their values are compared. */
struct reading {
    struct emd_comparison *c;
    uint32_t row;
    hid_t dataset[2], type[2], space[2], list[2], transfer[2];
    H5D_layout_t layout[2];
    struct emd_parts parts;
    int rank;
    bool differs;                /* said already */
    const struct emd_loss *loss; /* boxes of the first dataset that are not compared */
    size_t losses;
};

static enum emd_status get_buffers(struct emd_comparison *c, size_t bytes, struct emd_error *err)
{
    if (bytes < c->buffer_bytes)
        bytes = c->buffer_bytes;
    if (bytes <= c->buffer_size)
        return EMD_OK;
    c->buffer_size = 0;
    for (int side = 0; side < 2; side++) {
        free(c->buffer[side]);
        c->buffer[side] = malloc(bytes);
        if (!c->buffer[side])
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", bytes);
    }
    c->buffer_size = bytes;
    return EMD_OK;
}

/* ---- values through HDF5 ---- */

static enum emd_status report_value(struct reading *r, const hsize_t *start, const hsize_t *count,
                                    size_t element, struct emd_error *err)
{
    char text[256] = "";
    hsize_t at[EMD_RANK_MAX] = {0};
    size_t used = 0;
    for (int i = r->rank - 1; i >= 0; i--) {
        at[i] = start[i] + element % count[i];
        element /= (size_t)count[i];
    }
    for (int i = 0; i < r->rank && used < sizeof text - 24; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRIu64, i ? "," : "",
                                 (uint64_t)at[i]);
    r->differs = true;
    if (r->rank == 0)
        return emd_differs(r->c, r->row, err, "has another value");
    return emd_differs(r->c, r->row, err, "has another value at (%s)", text);
}

/* *refused: variable-length values did not fit the arena. */
static enum emd_status compare_box(struct reading *r, const hsize_t *start, const hsize_t *count,
                                   size_t elements, size_t limit, bool *refused,
                                   struct emd_error *err)
{
    struct emd_comparison *c = r->c;
    enum emd_status status = EMD_OK;
    const hsize_t n = elements;
    hid_t memory = H5Screate_simple(1, &n, NULL);
    *refused = false;
    for (int side = 0; side < 2 && status == EMD_OK; side++) {
        memset(c->buffer[side], 0, elements * r->parts.size);
        emd_arena_reset(&c->arena[side], limit);
        if (memory < 0 ||
            (r->rank > 0 &&
             H5Sselect_hyperslab(r->space[side], H5S_SELECT_SET, start, NULL, count, NULL) < 0) ||
            !emd_hdf5_fit_buffers(r->transfer[side], elements, r->parts.size)) {
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot select elements");
        } else if (H5Dread(r->dataset[side], r->type[side], memory, r->space[side],
                           r->transfer[side], c->buffer[side]) < 0) {
            *refused = c->arena[side].refused;
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read in the %s file",
                                   side ? "second" : "first");
        }
    }
    emd_hdf5_close(&memory);
    if (status != EMD_OK)
        return status;
    const size_t first = emd_parts_difference(c, &r->parts, c->buffer[0], c->buffer[1], elements);
    return first == elements ? EMD_OK : report_value(r, start, count, first, err);
}

/* The box of 'dims' elements at 'origin', in pieces of whole inner axes as far as they fit, a run
 * along one axis, one step along the outer ones; up to the first difference. */
static enum emd_status compare_pieces(struct reading *r, const hsize_t *origin, const hsize_t *dims,
                                      struct emd_error *err)
{
    struct emd_comparison *c = r->c;
    hsize_t at[EMD_RANK_MAX] = {0}, part[EMD_RANK_MAX], start[EMD_RANK_MAX];
    size_t most = r->parts.singly ? 1 : c->buffer_bytes / r->parts.size;
    most = most ? most : 1;
    for (;;) {
        size_t elements = 1;
        bool whole = true;
        for (int i = r->rank - 1; i >= 0; i--) {
            hsize_t left = dims[i] - at[i], fit = whole ? most / elements : 1;
            fit = fit ? fit : 1;
            part[i] = left < fit ? left : fit;
            start[i] = origin[i] + at[i];
            whole = whole && part[i] == dims[i];
            elements *= (size_t)part[i];
        }
        bool refused;
        enum emd_status status = emd_compare_cancelled(c, err);
        if (status != EMD_OK)
            return status;
        status = compare_box(r, start, part, elements,
                             elements > 1 ? c->buffer_bytes : SIZE_MAX / 2, &refused, err);
        if (refused && elements > 1) {
            most = elements / 2;
            continue;
        }
        if (status != EMD_OK || r->differs)
            return status;
        int axis = r->rank - 1;
        for (; axis >= 0; axis--) {
            at[axis] += part[axis];
            if (at[axis] < dims[axis])
                break;
            at[axis] = 0;
        }
        if (axis < 0)
            return EMD_OK;
    }
}

/* How a box lies to those that are lost: 0 off them, 1 inside one, -1 partly. */
static int in_losses(const struct reading *r, const hsize_t *start, const hsize_t *count)
{
    int where = 0;
    for (size_t i = 0; i < r->losses; i++) {
        const struct emd_loss *loss = &r->loss[i];
        bool inside = true, off = false;
        if (loss->rank != (unsigned)r->rank)
            continue;
        for (unsigned a = 0; a < loss->rank; a++) {
            const uint64_t begin = loss->box[a], end = begin + loss->box[loss->rank + a];
            inside = inside && start[a] >= begin && start[a] + count[a] <= end;
            off = off || start[a] >= end || start[a] + count[a] <= begin || begin == end;
        }
        if (inside && !off)
            return 1;
        where = off ? where : -1;
    }
    return where;
}

/* A box but for what is lost of it. */
static enum emd_status compare_rest(struct reading *r, const hsize_t *start, const hsize_t *count,
                                    struct emd_error *err)
{
    const int where = in_losses(r, start, count);
    hsize_t at[EMD_RANK_MAX] = {0}, half[EMD_RANK_MAX] = {0};
    int longest = 0;
    if (where == 0)
        return compare_pieces(r, start, count, err);
    if (where > 0)
        return EMD_OK;
    for (int i = 0; i < r->rank; i++) {
        at[i] = start[i];
        half[i] = count[i];
        longest = count[i] > count[longest] ? i : longest;
    }
    half[longest] = count[longest] / 2;
    enum emd_status status = compare_rest(r, at, half, err);
    at[longest] += half[longest];
    half[longest] = count[longest] - half[longest];
    return status == EMD_OK && !r->differs ? compare_rest(r, at, half, err) : status;
}

static enum emd_status compare_chunk_values(struct reading *r, const struct emd_chunk_grid *grid,
                                            uint64_t index, struct emd_error *err)
{
    hsize_t origin[EMD_RANK_MAX], extent[EMD_RANK_MAX];
    emd_chunk_offset(grid, index, origin);
    for (unsigned a = 0; a < grid->rank; a++) {
        const hsize_t left = grid->dims[a] - origin[a];
        extent[a] = left < grid->chunk[a] ? left : grid->chunk[a];
    }
    return compare_rest(r, origin, extent, err);
}

/* ---- stored chunks ---- */

/* Two chunks of one place, as they are stored. */
static enum emd_status compare_stored(struct reading *r, const struct emd_chunk_list list[2],
                                      const struct emd_chunk *const chunk[2], bool *same,
                                      struct emd_error *err)
{
    uint32_t mask[2];
    enum emd_status status = EMD_OK;
    *same = chunk[0]->bytes == chunk[1]->bytes;
    if (!*same)
        return EMD_OK;
    status = get_buffers(r->c, (size_t)chunk[0]->bytes, err);
    for (int side = 0; side < 2 && status == EMD_OK; side++)
        status = emd_chunk_read(r->dataset[side], &list[side].grid, chunk[side], r->c->buffer[side],
                                r->c->buffer_size, &mask[side], err);
    *same = status == EMD_OK && mask[0] == mask[1] &&
            memcmp(r->c->buffer[0], r->c->buffer[1], (size_t)chunk[0]->bytes) == 0;
    return status;
}

/* Both in chunks: those that one of them stores. */
static enum emd_status compare_chunks(struct reading *r, struct emd_error *err)
{
    struct emd_chunk_list list[2] = {{.count = 0}, {.count = 0}};
    enum emd_status status = EMD_OK;
    static const struct emd_chunk_salvage salvage; /* what is lost is known */
    for (int side = 0; side < 2 && status == EMD_OK; side++)
        status =
            emd_chunk_list_salvage(r->dataset[side], NULL, EMD_CHUNKS_BY_INDEX, 0,
                                   side == 0 && r->losses > 0 ? &salvage : NULL, &list[side], err);
    const bool same_grid = memcmp(list[0].grid.chunk, list[1].grid.chunk,
                                  (size_t)r->rank * sizeof list[0].grid.chunk[0]) == 0;
    const bool same_storage = same_grid && !r->parts.variable && !r->parts.references &&
                              emd_filters_same(r->list[0], r->list[1]);
    size_t at[2] = {0, 0};
    while (status == EMD_OK && !r->differs &&
           (at[0] < list[0].count || (same_grid && at[1] < list[1].count))) {
        const struct emd_chunk *chunk[2];
        bool same = false;
        for (int side = 0; side < 2; side++)
            chunk[side] = at[side] < list[side].count ? &list[side].chunk[at[side]] : NULL;
        const bool both = same_grid && chunk[0] && chunk[1] && chunk[0]->index == chunk[1]->index;
        const int first =
            !chunk[0] || (same_grid && chunk[1] && chunk[1]->index < chunk[0]->index) ? 1 : 0;
        status = emd_compare_cancelled(r->c, err);
        if (status == EMD_OK && both && same_storage && r->losses == 0)
            status = compare_stored(r, list, chunk, &same, err);
        if (status == EMD_OK && !same)
            status = compare_chunk_values(r, &list[first].grid, chunk[first]->index, err);
        at[first]++;
        at[1 - first] += both;
    }
    for (size_t i = 0; !same_grid && i < list[1].count && status == EMD_OK && !r->differs; i++)
        status = compare_chunk_values(r, &list[1].grid, list[1].chunk[i].index, err);
    for (int side = 0; side < 2; side++)
        emd_chunk_list_free(&list[side]);
    return status;
}

/* ---- data that lie elsewhere ---- */

static bool same_text(ssize_t (*get)(hid_t, size_t, char *, size_t), hid_t a, hid_t b, size_t i)
{
    const ssize_t n[2] = {get(a, i, NULL, 0), get(b, i, NULL, 0)};
    if (n[0] < 0 || n[0] != n[1])
        return false;
    char *text[2] = {malloc((size_t)n[0] + 1), malloc((size_t)n[0] + 1)};
    const bool same = text[0] && text[1] && get(a, i, text[0], (size_t)n[0] + 1) >= 0 &&
                      get(b, i, text[1], (size_t)n[0] + 1) >= 0 && strcmp(text[0], text[1]) == 0;
    free(text[0]);
    free(text[1]);
    return same;
}

static bool same_selection(hid_t (*get)(hid_t, size_t), hid_t a, hid_t b, size_t i)
{
    hid_t space[2] = {get(a, i), get(b, i)};
    size_t n[2] = {0, 0};
    void *code[2] = {NULL, NULL};
    bool same = space[0] >= 0 && space[1] >= 0;
    for (int side = 0; side < 2 && same; side++) {
#if H5_VERSION_GE(1, 12, 0)
        same = H5Sencode2(space[side], NULL, &n[side], H5P_DEFAULT) >= 0 &&
               (code[side] = calloc(1, n[side])) != NULL &&
               H5Sencode2(space[side], code[side], &n[side], H5P_DEFAULT) >= 0;
#else
        same = H5Sencode(space[side], NULL, &n[side]) >= 0 &&
               (code[side] = calloc(1, n[side])) != NULL &&
               H5Sencode(space[side], code[side], &n[side]) >= 0;
#endif
    }
    same = same && n[0] == n[1] && memcmp(code[0], code[1], n[0]) == 0;
    free(code[0]);
    free(code[1]);
    emd_hdf5_close(&space[0]);
    emd_hdf5_close(&space[1]);
    return same;
}

static bool same_mappings(hid_t a, hid_t b)
{
    size_t n[2];
    if (H5Pget_virtual_count(a, &n[0]) < 0 || H5Pget_virtual_count(b, &n[1]) < 0 || n[0] != n[1])
        return false;
    for (size_t i = 0; i < n[0]; i++)
        if (!same_text(H5Pget_virtual_filename, a, b, i) ||
            !same_text(H5Pget_virtual_dsetname, a, b, i) ||
            !same_selection(H5Pget_virtual_vspace, a, b, i) ||
            !same_selection(H5Pget_virtual_srcspace, a, b, i))
            return false;
    return true;
}

static bool same_external_files(hid_t a, hid_t b, unsigned count)
{
    enum { MOST = 1 << 16 };
    char *name[2] = {calloc(1, MOST), calloc(1, MOST)};
    bool same = name[0] && name[1];
    for (unsigned i = 0; i < count && same; i++) {
        off_t offset[2];
        hsize_t size[2];
        same = H5Pget_external(a, i, MOST - 1, name[0], &offset[0], &size[0]) >= 0 &&
               H5Pget_external(b, i, MOST - 1, name[1], &offset[1], &size[1]) >= 0 &&
               strcmp(name[0], name[1]) == 0 && offset[0] == offset[1] && size[0] == size[1];
    }
    free(name[0]);
    free(name[1]);
    return same;
}

/* Both datasets have their data in the same places of the same other files. */
static bool same_elsewhere(const struct reading *r)
{
    if (r->layout[0] != r->layout[1])
        return false;
    if (r->layout[0] == H5D_VIRTUAL)
        return same_mappings(r->list[0], r->list[1]);
    const int files = H5Pget_external_count(r->list[0]);
    return files > 0 && H5Pget_external_count(r->list[1]) == files &&
           same_external_files(r->list[0], r->list[1], (unsigned)files);
}

/* ---- a dataset ---- */

static bool is_written(const struct reading *r, int side)
{
    return r->layout[side] == H5D_COMPACT || r->layout[side] == H5D_VIRTUAL ||
           H5Pget_external_count(r->list[side]) > 0 || emd_hdf5_is_allocated(r->dataset[side]);
}

static enum emd_status compare_values(struct reading *r, struct emd_error *err)
{
    hsize_t dims[EMD_RANK_MAX] = {0}, origin[EMD_RANK_MAX] = {0};
    if (H5Sget_simple_extent_npoints(r->space[0]) <= 0 || same_elsewhere(r) ||
        (!is_written(r, 0) && !is_written(r, 1)))
        return EMD_OK;
    r->loss = emd_losses_of_data(r->c->options->losses, r->c->pair[r->row].address[0], &r->losses);
    for (size_t i = 0; i < r->losses; i++)
        if (r->loss[i].rank == 0)
            return EMD_OK; /* all of them */
    enum emd_status status = get_buffers(r->c, r->parts.size, err);
    if (status != EMD_OK)
        return status;
    r->rank = H5Sget_simple_extent_ndims(r->space[0]);
    if (r->rank < 0 || r->rank > EMD_RANK_MAX ||
        H5Sget_simple_extent_dims(r->space[0], dims, NULL) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a dataspace that cannot be read");
    if (r->layout[0] == H5D_CHUNKED && r->layout[1] == H5D_CHUNKED)
        return compare_chunks(r, err);
    return compare_rest(r, origin, dims, err);
}

/* The fill value; of one that holds references only whether there is one, since HDF5 does not
 * translate them. */
static enum emd_status compare_fills(struct reading *r, struct emd_error *err)
{
    H5D_fill_value_t defined[2];
    enum emd_status status = EMD_OK;
    bool same = true;
    for (int side = 0; side < 2; side++)
        if (H5Pfill_value_defined(r->list[side], &defined[side]) < 0)
            return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a fill value that cannot be read");
    if (defined[0] != defined[1])
        return emd_differs(r->c, r->row, err, "has another fill value");
    if (defined[0] == H5D_FILL_VALUE_USER_DEFINED && !r->parts.references) {
        void *value[2] = {calloc(1, r->parts.size), calloc(1, r->parts.size)};
        hid_t one = H5Screate(H5S_SCALAR);
        if (!value[0] || !value[1] || one < 0)
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        for (int side = 0; side < 2 && status == EMD_OK; side++)
            if (H5Pget_fill_value(r->list[side], r->type[side], value[side]) < 0)
                status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has a fill value that cannot be read");
        same =
            status != EMD_OK || emd_parts_difference(r->c, &r->parts, value[0], value[1], 1) == 1;
        for (int side = 0; side < 2; side++) {
            if (status == EMD_OK && r->parts.variable)
                H5Dvlen_reclaim(r->type[side], one, H5P_DEFAULT, value[side]);
            free(value[side]);
        }
        emd_hdf5_close(&one);
    }
    if (status == EMD_OK && !same)
        status = emd_differs(r->c, r->row, err, "has another fill value");
    return status;
}

bool emd_compare_extents(hid_t a, hid_t b)
{
    hsize_t dims[2][H5S_MAX_RANK], most[2][H5S_MAX_RANK];
    const H5S_class_t class = H5Sget_simple_extent_type(a);
    if (class == H5S_NO_CLASS || class != H5Sget_simple_extent_type(b))
        return false;
    if (class != H5S_SIMPLE)
        return true;
    const int rank = H5Sget_simple_extent_dims(a, dims[0], most[0]);
    return rank >= 0 && H5Sget_simple_extent_ndims(b) == rank &&
           H5Sget_simple_extent_dims(b, dims[1], most[1]) == rank &&
           memcmp(dims[0], dims[1], (size_t)rank * sizeof dims[0][0]) == 0 &&
           memcmp(most[0], most[1], (size_t)rank * sizeof most[0][0]) == 0;
}

static enum emd_status open_reading(struct reading *r, struct emd_error *err)
{
    for (int side = 0; side < 2; side++) {
        hid_t type = H5Dget_type(r->dataset[side]);
        r->type[side] = type < 0 ? H5I_INVALID_HID : H5Tcopy(type);
        emd_hdf5_close(&type);
        r->space[side] = H5Dget_space(r->dataset[side]);
        r->list[side] = H5Dget_create_plist(r->dataset[side]);
        r->transfer[side] = H5Pcreate(H5P_DATASET_XFER);
        if (r->type[side] < 0 || r->space[side] < 0 || r->list[side] < 0 || r->transfer[side] < 0 ||
            (r->layout[side] = H5Pget_layout(r->list[side])) < 0 ||
            H5Pset_vlen_mem_manager(r->transfer[side], emd_arena_alloc, &r->c->arena[side],
                                    emd_arena_free, &r->c->arena[side]) < 0)
            return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be inspected");
    }
    return EMD_OK;
}

static void close_reading(struct reading *r)
{
    emd_parts_free(&r->parts);
    for (int side = 0; side < 2; side++) {
        emd_arena_reset(&r->c->arena[side], 0);
        emd_hdf5_close(&r->transfer[side]);
        emd_hdf5_close(&r->list[side]);
        emd_hdf5_close(&r->space[side]);
        emd_hdf5_close(&r->type[side]);
    }
}

enum emd_status emd_compare_dataset(struct emd_comparison *c, uint32_t row, hid_t a, hid_t b,
                                    struct emd_error *err)
{
    struct reading r = {.c = c, .row = row, .dataset = {a, b}};
    bool same = true, compared = false;
    const char *what = NULL;
    for (int side = 0; side < 2; side++)
        r.type[side] = r.space[side] = r.list[side] = r.transfer[side] = H5I_INVALID_HID;
    enum emd_status status = open_reading(&r, err);
    if (status == EMD_OK)
        status = emd_parts_make(r.type[0], &r.parts, err);
    if (status != EMD_OK)
        goto out;
    if (r.parts.references && !c->last_pass) {
        c->pair[row].deferred = true;
        goto out;
    }
    if (!r.parts.references && c->last_pass)
        goto out;
    if (H5Tequal(r.type[0], r.type[1]) <= 0)
        what = "has another type";
    else if (!emd_compare_extents(r.space[0], r.space[1]))
        what = "has another extent";
    if (what) {
        status = emd_differs(c, row, err, "%s", what);
        goto out;
    }
    status = compare_fills(&r, err);
    if (status == EMD_OK && c->options->dataset) {
        char difference[300] = "";
        const struct emd_compare_pair pair = {c->pair[row].address[0], a, b,
                                              r.parts.variable || r.parts.references};
        status = c->options->dataset(c->options->ctx, &pair, &compared, difference,
                                     sizeof difference, err);
        same = difference[0] == '\0';
        if (status == EMD_OK && !same)
            status = emd_differs(c, row, err, "%s", difference);
    }
    if (status == EMD_OK && same && !compared)
        status = compare_values(&r, err);
out:
    close_reading(&r);
    return status;
}
