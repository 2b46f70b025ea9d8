/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treehashjob.h and docs/content-hash.md. Elements that are the fill value add nothing, so that
 * of chunked datasets only the chunks that are stored are read. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "codec/codec.h"
#include "hdf5/chunks.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/treehashjob.h"

enum { RUNS_MAX = 1 << 20, MOST_FILLED = 1 << 24 };

/* A dataset while its elements are read by HDF5. */
struct elements {
    struct emd_hashing *h;
    hid_t dataset, type, space, list, transfer;
    const struct emd_parts *parts;
    int rank;
    hsize_t dims[EMD_RANK_MAX];
    struct emd_element_hash *plain; /* of those without variable-length values and references */
    struct emd_bytes fill;          /* of the others: the bytes of the fill value */
    uint64_t low, high;             /* ... and the sum of their hashes */
    bool fill_refers;               /* the fill value holds references */
};

/* ---- runs of plain elements ---- */

struct run_list {
    struct emd_byte_run *run;
    size_t count, capacity;
};

static bool add_run(struct run_list *list, size_t offset, size_t size)
{
    struct emd_byte_run *last = list->count ? &list->run[list->count - 1] : NULL;
    if (last && last->offset + last->size == offset) {
        last->size += size;
        return true;
    }
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 8;
        struct emd_byte_run *grown =
            capacity > RUNS_MAX ? NULL : realloc(list->run, capacity * sizeof *grown);
        if (!grown)
            return false;
        list->run = grown;
        list->capacity = capacity;
    }
    list->run[list->count++] = (struct emd_byte_run){offset, size};
    return true;
}

static bool add_runs(struct run_list *list, const struct emd_part *part, size_t at)
{
    bool ok = true;
    if (part->kind == EMD_PART_PLAIN)
        return add_run(list, at, part->size);
    if (part->kind == EMD_PART_GROUP)
        for (const struct emd_part *child = part->child; child && ok; child = child->next)
            ok = add_runs(list, child, at + child->offset);
    if (part->kind == EMD_PART_ARRAY)
        for (size_t i = 0; i < part->count && ok; i++)
            ok = add_runs(list, part->child, at + i * part->child->size);
    return ok;
}

static enum emd_status get_runs(const struct emd_parts *parts, struct run_list *list,
                                struct emd_error *err)
{
    *list = (struct run_list){.count = 0};
    if (add_runs(list, parts->root, 0))
        return EMD_OK;
    free(list->run);
    *list = (struct run_list){.count = 0};
    return emd_fail(err, EMD_E_MEMORY, "no memory for the members of its type");
}

enum emd_status emd_tree_hash_runs(hid_t type, struct emd_byte_run **run, size_t *runs,
                                   struct emd_error *err)
{
    struct emd_parts parts;
    struct run_list list = {.count = 0};
    enum emd_status status = emd_parts_make(type, &parts, err);
    if (status == EMD_OK)
        status = get_runs(&parts, &list, err);
    emd_parts_free(&parts);
    *run = list.run;
    *runs = list.count;
    return status;
}

/* ---- elements by HDF5 ---- */

static enum emd_status get_buffer(struct emd_hashing *h, size_t bytes, struct emd_error *err)
{
    if (bytes < h->buffer_bytes)
        bytes = h->buffer_bytes;
    if (bytes <= h->buffer_size)
        return EMD_OK;
    free(h->buffer);
    h->buffer_size = 0;
    h->buffer = malloc(bytes);
    if (!h->buffer)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", bytes);
    h->buffer_size = bytes;
    return EMD_OK;
}

/* Adds the hash of one element, with its number, to the sum. */
static enum emd_status add_element(struct elements *e, uint64_t number, const unsigned char *item,
                                   struct emd_error *err)
{
    struct emd_bytes *b = &e->h->value;
    b->used = 0;
    emd_bytes_add_number(b, number);
    enum emd_status status = emd_hash_value(e->h, b, e->parts->root, item, err);
    if (status != EMD_OK ||
        (b->used - 8 == e->fill.used && memcmp(b->data + 8, e->fill.data, e->fill.used) == 0))
        return status;
    const XXH128_hash_t hash = XXH3_128bits(b->data, b->used);
    e->low += hash.low64;
    e->high += hash.high64 + (e->low < hash.low64);
    return EMD_OK;
}

/* The elements of a box that lie in the buffer. */
static enum emd_status add_box(struct elements *e, const hsize_t *start, const hsize_t *count,
                               size_t elements, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    const unsigned char *item = e->h->buffer;
    if (e->plain) {
        uint64_t origin[EMD_RANK_MAX], shape[EMD_RANK_MAX];
        for (int a = 0; a < e->rank; a++) {
            origin[a] = start[a];
            shape[a] = count[a];
        }
        emd_element_hash_add(e->plain, origin, shape, item, 0, elements * e->parts->size);
        return EMD_OK;
    }
    for (size_t i = 0; i < elements && status == EMD_OK; i++) {
        hsize_t at[EMD_RANK_MAX] = {0}, rest = i;
        uint64_t number = 0;
        for (int a = e->rank - 1; a >= 0; a--) {
            at[a] = start[a] + rest % count[a];
            rest /= count[a];
        }
        for (int a = 0; a < e->rank; a++)
            number = number * e->dims[a] + at[a];
        status = add_element(e, number, item + i * e->parts->size, err);
    }
    return status;
}

/* *refused: variable-length values did not fit the arena. */
static enum emd_status read_box(struct elements *e, const hsize_t *start, const hsize_t *count,
                                size_t elements, size_t limit, bool *refused, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    const hsize_t n = elements;
    hid_t memory = H5Screate_simple(1, &n, NULL);
    *refused = false;
    memset(e->h->buffer, 0, elements * e->parts->size);
    emd_arena_reset(&e->h->arena, limit);
    if (memory < 0 ||
        (e->rank > 0 &&
         H5Sselect_hyperslab(e->space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) ||
        H5Dread(e->dataset, e->type, memory, e->space, e->transfer, e->h->buffer) < 0) {
        *refused = e->h->arena.refused;
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
    }
    emd_hdf5_close(&memory);
    return status == EMD_OK ? add_box(e, start, count, elements, err) : status;
}

/* The box of 'dims' elements at 'origin', in pieces of whole inner axes as far as they fit. */
static enum emd_status read_pieces(struct elements *e, const hsize_t *origin, const hsize_t *dims,
                                   struct emd_error *err)
{
    hsize_t at[EMD_RANK_MAX] = {0}, part[EMD_RANK_MAX], start[EMD_RANK_MAX];
    size_t most = e->parts->singly ? 1 : e->h->buffer_size / e->parts->size;
    most = most ? most : 1;
    for (;;) {
        size_t elements = 1;
        bool whole = true, refused;
        for (int i = e->rank - 1; i >= 0; i--) {
            const hsize_t left = dims[i] - at[i];
            hsize_t fit = whole ? most / elements : 1;
            fit = fit ? fit : 1;
            part[i] = left < fit ? left : fit;
            start[i] = origin[i] + at[i];
            whole = whole && part[i] == dims[i];
            elements *= (size_t)part[i];
        }
        enum emd_status status = emd_compare_cancelled(&e->h->table, err);
        if (status != EMD_OK)
            return status;
        status = read_box(e, start, part, elements,
                          elements > 1 ? e->h->buffer_bytes : SIZE_MAX / 2, &refused, err);
        if (refused && elements > 1) {
            most = elements / 2;
            continue;
        }
        if (status != EMD_OK)
            return status;
        int axis = e->rank - 1;
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

static enum emd_status read_chunks(struct elements *e, struct emd_error *err)
{
    struct emd_chunk_list list;
    enum emd_status status =
        emd_chunk_list_get(e->dataset, NULL, EMD_CHUNKS_BY_INDEX, 0, &list, err);
    if (status != EMD_OK)
        return status;
    if (list.count > 0)
        status = emd_filters_available(e->list, err);
    for (size_t i = 0; i < list.count && status == EMD_OK; i++) {
        hsize_t origin[EMD_RANK_MAX], extent[EMD_RANK_MAX];
        emd_chunk_offset(&list.grid, list.chunk[i].index, origin);
        for (unsigned a = 0; a < list.grid.rank; a++) {
            const hsize_t left = list.grid.dims[a] - origin[a];
            extent[a] = left < list.grid.chunk[a] ? left : list.grid.chunk[a];
        }
        status = read_pieces(e, origin, extent, err);
    }
    emd_chunk_list_free(&list);
    return status;
}

static enum emd_status read_all(struct elements *e, struct emd_error *err)
{
    const hsize_t origin[EMD_RANK_MAX] = {0};
    const H5D_layout_t layout = H5Pget_layout(e->list);
    if (layout == H5D_VIRTUAL || H5Pget_external_count(e->list) > 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "its data lie in other files");
    const hssize_t count = H5Sget_simple_extent_npoints(e->space);
    if (count <= 0)
        return EMD_OK;
    enum emd_status status = get_buffer(e->h, e->parts->size, err);
    if (status != EMD_OK)
        return status;
    if (e->fill_refers) { /* what was never written refers to something, too */
        if (count > MOST_FILLED)
            return emd_fail(err, EMD_E_UNSUPPORTED,
                            "its fill value is a reference, for more elements than are read here");
        status = emd_filters_available(e->list, err);
        return status == EMD_OK ? read_pieces(e, origin, e->dims, err) : status;
    }
    if (layout == H5D_CHUNKED)
        return read_chunks(e, err);
    if (layout != H5D_COMPACT && !emd_hdf5_is_allocated(e->dataset))
        return EMD_OK;
    return read_pieces(e, origin, e->dims, err);
}

/* ---- a dataset ---- */

/* The fill value's bytes in memory, zeros where none is defined; *value is the caller's. References
 * in it are not: HDF5 does not translate them, and copies may have null. */
static enum emd_status get_fill(struct elements *e, void **value, bool *defined,
                                struct emd_error *err)
{
    H5D_fill_value_t kind;
    if (H5Pfill_value_defined(e->list, &kind) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a fill value that cannot be read");
    e->fill_refers = kind == H5D_FILL_VALUE_USER_DEFINED && e->parts->references;
    *defined = kind == H5D_FILL_VALUE_USER_DEFINED && !e->parts->references;
    *value = calloc(1, e->parts->size);
    if (!*value)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (*defined && H5Pget_fill_value(e->list, e->type, *value) < 0) {
        *defined = false;
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a fill value that cannot be read");
    }
    return EMD_OK;
}

static enum emd_status add_plain(struct elements *e, uint64_t address, const void *fill,
                                 struct emd_error *err)
{
    struct run_list list;
    uint64_t dims[EMD_RANK_MAX];
    uint32_t lane[EMD_ELEMENT_LANES] = {0};
    const struct emd_tree_hash_options *options = e->h->options;
    bool known = false;
    enum emd_status status = get_runs(e->parts, &list, err);
    if (status != EMD_OK)
        return status;
    for (int a = 0; a < e->rank; a++)
        dims[a] = e->dims[a];
    const struct emd_element_layout layout = {.rank = (unsigned)e->rank,
                                              .dims = dims,
                                              .item_size = e->parts->size,
                                              .run = list.run,
                                              .runs = list.count,
                                              .fill = fill};
    if (options->dataset)
        status = options->dataset(options->ctx, address, e->dataset, e->type, &layout, lane, &known,
                                  err);
    if (status == EMD_OK && !known) {
        status = emd_element_hash_new(&layout, &e->plain, err);
        if (status == EMD_OK)
            status = read_all(e, err);
        if (status == EMD_OK)
            emd_element_hash_get(e->plain, lane);
        emd_element_hash_free(e->plain);
    }
    for (unsigned l = 0; l < EMD_ELEMENT_LANES; l++)
        emd_bytes_add_number(&e->h->record, lane[l]);
    free(list.run);
    return status;
}

static enum emd_status open_elements(struct elements *e, struct emd_error *err)
{
    e->list = H5Dget_create_plist(e->dataset);
    e->transfer = H5Pcreate(H5P_DATASET_XFER);
    e->rank = H5Sget_simple_extent_ndims(e->space);
    if (e->list < 0 || e->transfer < 0 || e->rank < 0 || e->rank > EMD_RANK_MAX ||
        H5Sget_simple_extent_dims(e->space, e->dims, NULL) < 0 ||
        H5Pset_vlen_mem_manager(e->transfer, emd_arena_alloc, &e->h->arena, emd_arena_free,
                                &e->h->arena) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be inspected");
    return EMD_OK;
}

enum emd_status emd_hash_data(struct emd_hashing *h, uint32_t row, hid_t dataset, hid_t type,
                              hid_t space, const struct emd_parts *parts, struct emd_error *err)
{
    struct elements e = {.h = h,
                         .dataset = dataset,
                         .type = type,
                         .space = space,
                         .parts = parts,
                         .list = H5I_INVALID_HID,
                         .transfer = H5I_INVALID_HID};
    void *fill = NULL;
    bool defined = false;
    hid_t one = H5Screate(H5S_SCALAR);
    enum emd_status status =
        one < 0 ? emd_hdf5_fail(err, EMD_E_MEMORY, "out of memory") : open_elements(&e, err);
    if (status == EMD_OK)
        status = get_fill(&e, &fill, &defined, err);
    if (status == EMD_OK)
        status = emd_hash_value(h, &e.fill, parts->root, fill, err);
    emd_bytes_add_string(&h->record, e.fill.data, e.fill.used);
    if (status == EMD_OK && !parts->variable && !parts->references) {
        status = add_plain(&e, h->table.pair[row].address[0], fill, err);
    } else if (status == EMD_OK) {
        status = read_all(&e, err);
        emd_bytes_add_number(&h->record, e.low);
        emd_bytes_add_number(&h->record, e.high);
    }
    if (defined && parts->variable)
        H5Dvlen_reclaim(type, one, H5P_DEFAULT, fill);
    free(fill);
    free(e.fill.data);
    emd_arena_reset(&h->arena, 0);
    emd_hdf5_close(&one);
    emd_hdf5_close(&e.transfer);
    emd_hdf5_close(&e.list);
    return status;
}
