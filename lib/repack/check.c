/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Decoding all that a file stores, as xz -t does: stored chunks by the workers, with our codecs;
 * everything else by HDF5, slice by slice. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/rehearse.h"
#include "hdf5/source.h"
#include "hdf5/values.h"
#include "hdf5/visit.h"
#include "repack/dataset.h"
#include "repack/repack.h"

/* A slice read by HDF5. */
static const size_t slice_bytes = (size_t)8 << 20;

struct checker {
    const struct emd_repack_options *options;
    struct emd_pool *pool;
    struct emd_repack_result *result;
    struct emd_source *source;
    void (*damage)(void *ctx, const char *object, const char *why);
    uint64_t damaged, done_bytes;

    /* The dataset at hand. */
    const char *path;
    hid_t id;
    const struct emd_chunk_list *chunks;
};

static void report(struct checker *c, const char *path, const char *why)
{
    c->damaged++;
    if (c->damage)
        c->damage(c->options->ctx, path, why);
}

/* What nobody looks into is not called sound. */
static void report_unchecked(struct checker *c, const char *path, const char *why)
{
    char text[1024];
    c->result->unchecked++;
    snprintf(text, sizeof text, "not checked: %.1000s", why);
    emd_repack_warn(c->options, c->result, path, text);
}

/* Data in other files are not this file's, and those are not opened. */
static bool is_elsewhere(hid_t dcpl)
{
    const H5D_layout_t layout = H5Pget_layout(dcpl);
    return layout == H5D_VIRTUAL || (layout == H5D_CONTIGUOUS && H5Pget_external_count(dcpl) > 0);
}

static void on_damage(void *ctx, const uint64_t *origin, const uint64_t *shape,
                      const struct emd_error *error)
{
    struct checker *c = ctx;
    (void)origin;
    (void)shape;
    report(c, c->path, error->text);
}

static void on_broken(void *ctx, const char *path, const struct emd_error *error)
{
    report(ctx, path, error->text);
}

static void on_progress(void *ctx, uint64_t bytes)
{
    struct checker *c = ctx;
    c->done_bytes += bytes;
    if (c->options->progress)
        c->options->progress(c->options->ctx, c->done_bytes, 0);
}

static bool is_cancelled(void *ctx)
{
    const struct checker *c = ctx;
    return c->options->cancelled && c->options->cancelled(c->options->ctx);
}

static enum emd_status fetch(void *ctx, const struct emd_chunk *chunk, const uint64_t *origin,
                             void *data, size_t n, struct emd_error *err)
{
    struct checker *c = ctx;
    uint32_t mask;
    (void)origin;
    enum emd_status status = emd_chunk_read(c->id, &c->chunks->grid, chunk, data, n, &mask, err);
    if (status == EMD_OK)
        c->chunks->chunk[chunk - c->chunks->chunk].mask = mask;
    return status;
}

static enum emd_status discard(void *ctx, const uint64_t *origin, const struct emd_encoded *chunk,
                               struct emd_error *err)
{
    (void)ctx;
    (void)origin;
    (void)chunk;
    (void)err;
    return EMD_OK;
}

/* All stored chunks of a dataset whose filters are ours. */
static enum emd_status check_chunks(struct checker *c, const struct emd_pipeline *pipeline,
                                    size_t budget, struct emd_error *err)
{
    const struct emd_chunk_list *list = c->chunks;
    struct emd_plan_request request = {.rank = list->grid.rank,
                                       .item_size = list->grid.item_size,
                                       .fetch =
                                           list->has_addresses ? EMD_FETCH_NONE : EMD_FETCH_STORED,
                                       .chunks = list->count,
                                       .copy_stored = true,
                                       .verify = pipeline->count > 0,
                                       .threads = emd_pool_threads(c->pool),
                                       .budget = budget};
    struct emd_plan plan;
    for (unsigned a = 0; a < request.rank; a++) {
        request.dims[a] = list->grid.dims[a];
        request.source[a] = request.target[a] = list->grid.chunk[a];
    }
    for (size_t i = 0; i < list->count; i++)
        if (list->chunk[i].bytes > request.source_stored)
            request.source_stored = (size_t)list->chunk[i].bytes;
    request.verify_bytes = request.verify ? list->grid.chunk_bytes : 0;
    request.source_work = emd_pipeline_work_bytes(pipeline, list->grid.chunk_bytes);
    enum emd_status status = emd_plan_make(&request, &plan, err);
    if (status != EMD_OK)
        return status;
    const struct emd_move move = {.request = &request,
                                  .plan = &plan,
                                  .fd = c->source->fd,
                                  .chunk = list->chunk,
                                  .chunk_count = list->count,
                                  .source_pipeline = pipeline,
                                  .target_pipeline = pipeline,
                                  .ctx = c,
                                  .fetch = fetch,
                                  .write = discard,
                                  .damaged = on_damage,
                                  .progress = on_progress,
                                  .cancelled = is_cancelled};
    return emd_move_run(&move, c->pool, err);
}

/* Reads a box by HDF5, in halves of halves of at most 'most' bytes or one element. */
static enum emd_status read_box(struct checker *c, hid_t type, hid_t space, const hsize_t *start,
                                const hsize_t *count, int rank, uint64_t most,
                                struct emd_error *err)
{
    hsize_t elements = 1, half[H5S_MAX_RANK], middle[H5S_MAX_RANK];
    int longest = 0;
    for (int a = 0; a < rank; a++) {
        elements *= count[a];
        longest = count[a] > count[longest] ? a : longest;
    }
    const uint64_t bytes = elements * H5Tget_size(type);
    if (bytes > most && elements > 1) {
        memcpy(half, count, (size_t)rank * sizeof *half);
        memcpy(middle, start, (size_t)rank * sizeof *middle);
        half[longest] = count[longest] / 2;
        enum emd_status status = read_box(c, type, space, start, half, rank, most, err);
        middle[longest] += half[longest];
        half[longest] = count[longest] - half[longest];
        return status == EMD_OK ? read_box(c, type, space, middle, half, rank, most, err) : status;
    }
    if (is_cancelled(c))
        return emd_fail(err, EMD_E_CANCELLED, "stopped on request");
    enum emd_status status = EMD_OK;
    hid_t memory = H5Screate_simple(1, &elements, NULL);
    void *data = malloc((size_t)bytes);
    if (!data)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory for %" PRIu64 " bytes", bytes);
    else if (memory < 0 ||
             (rank > 0 &&
              H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) ||
             H5Dread(c->id, type, memory, space, H5P_DEFAULT, data) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
    else
        on_progress(c, bytes);
    free(data);
    emd_hdf5_close(&memory);
    return status;
}

/* Everything else that is stored: whole chunks, which HDF5 cannot decode in parts, or slices of
 * what has none. */
static enum emd_status check_by_hdf5(struct checker *c, bool chunked, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_chunk_list list = {.count = 0};
    const struct emd_chunk_grid *grid = &list.grid;
    hsize_t start[H5S_MAX_RANK] = {0}, count[H5S_MAX_RANK];
    hid_t type = H5Dget_type(c->id), space = H5Dget_space(c->id);
    const int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, count, NULL);
    if (type < 0 || rank < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "its type or extent cannot be read");
    else if (chunked)
        status = emd_chunk_list_get(c->id, c->source, EMD_CHUNKS_BY_INDEX, 0, &list, err);
    else if (H5Sget_simple_extent_npoints(space) > 0 && H5Dget_storage_size(c->id) > 0)
        status = read_box(c, type, space, start, count, rank, slice_bytes, err);
    for (size_t i = 0; i < list.count && status == EMD_OK; i++) {
        emd_chunk_offset(grid, list.chunk[i].index, start);
        for (int a = 0; a < rank; a++) {
            const hsize_t left = grid->dims[a] - start[a];
            count[a] = left < grid->chunk[a] ? left : grid->chunk[a];
        }
        status = read_box(c, type, space, start, count, rank, UINT64_MAX, err);
    }
    emd_chunk_list_free(&list);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    return status;
}

/* Whether chunks were stored with a filter that is not installed; 'why' names it then. */
static bool needs_missing_filter(const struct checker *c, hid_t id, hid_t dcpl,
                                 struct emd_error *why)
{
    struct emd_chunk_list list = {.count = 0};
    const uint32_t missing = emd_filters_missing(dcpl, why);
    bool needs = false;
    if (missing == 0 ||
        emd_chunk_list_get(id, c->source, EMD_CHUNKS_BY_INDEX, 0, &list, NULL) != EMD_OK)
        return false; /* what is wrong with the list is found again */
    for (size_t i = 0; i < list.count && !needs; i++)
        needs = !list.has_addresses || (missing & ~list.chunk[i].mask) != 0;
    emd_chunk_list_free(&list);
    return needs;
}

static enum emd_status check_dataset(void *ctx, hid_t id, const char *path, struct emd_error *err)
{
    struct checker *c = ctx;
    struct emd_pipeline pipeline;
    struct emd_chunk_list list = {.count = 0};
    bool ours = false;
    size_t budget = emd_repack_budget(c->options, emd_pool_threads(c->pool));
    c->path = path;
    c->id = id;
    c->result->datasets++;
    struct emd_values values = {0};
    hid_t type = H5Dget_type(id), dcpl = H5Dget_create_plist(id);
    enum emd_status status = emd_values_make(type, &values, err);
    emd_values_free(&values);
    emd_hdf5_close(&type);
    /* The rehearsal has copied what is not plain, value by value. */
    const bool seen = values.variable || values.references;
    const bool chunked = dcpl >= 0 && H5Pget_layout(dcpl) == H5D_CHUNKED;
    if (status == EMD_OK && chunked)
        status = emd_filters_get(dcpl, &pipeline, &ours, err);
    if (status == EMD_OK && is_elsewhere(dcpl)) {
        emd_hdf5_close(&dcpl);
        report_unchecked(c, path, "its data lie in other files");
        return EMD_OK;
    }
    if (status == EMD_OK && !seen && chunked && !ours && needs_missing_filter(c, id, dcpl, err)) {
        emd_hdf5_close(&dcpl);
        report_unchecked(c, path, err->text);
        return EMD_OK;
    }
    emd_hdf5_close(&dcpl);
    if (status == EMD_OK && !seen && ours) { /* filters of others are HDF5's business */
        status = emd_chunk_list_get(id, c->source, EMD_CHUNKS_BY_ADDRESS, 0, &list, err);
        c->chunks = &list;
        if (status == EMD_OK && list.count > 0)
            status = check_chunks(c, &pipeline, budget, err);
        emd_chunk_list_free(&list);
    } else if (status == EMD_OK && !seen) {
        status = check_by_hdf5(c, chunked, err);
    }
    if (status == EMD_E_CORRUPT || status == EMD_E_INCOMPLETE || status == EMD_E_UNSUPPORTED) {
        report(c, path, err->text);
        status = EMD_OK;
    }
    return status;
}

enum emd_status emd_repack_check(const char *path, const struct emd_repack_options *options,
                                 struct emd_pool *pool,
                                 void (*damage)(void *ctx, const char *object, const char *why),
                                 struct emd_repack_result *result, struct emd_error *err)
{
    struct emd_error local;
    struct checker c = {.options = options, .pool = pool, .result = result, .damage = damage};
    err = err ? err : &local;
    memset(result, 0, sizeof *result);
    const struct emd_rehearse_options rehearsal = {.cancelled = is_cancelled, .ctx = &c};
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status == EMD_OK)
        status = emd_tree_rehearse(path, &rehearsal, err);
    if (status == EMD_OK)
        status = emd_source_open(path, &c.source, err);
    if (status != EMD_OK)
        return status;
    result->raw_bytes = result->stored_bytes = (uint64_t)c.source->id.size;
    status = emd_visit_datasets(c.source->file, check_dataset, on_broken, &c, err);
    if (status == EMD_OK)
        status = emd_source_unchanged(c.source, err);
    if (status == EMD_OK && c.damaged > 0)
        status =
            emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " chunks or datasets are damaged", c.damaged);
    result->verified = status == EMD_OK && result->unchecked == 0;
    emd_source_close(c.source);
    return status;
}
