/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See contenthash.h; and emd_repack_hash of repack.h. The engine (move.h) reads and decodes the
 * chunks, and hashes each while it is in memory; nothing is encoded or written. */
#include "repack/contenthash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/chunks.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/rehearse.h"
#include "repack/move.h"
#include "repack/provenance.h"

/* Below this, threads would not help. */
static const uint64_t bulk_bytes = (uint64_t)256 << 10;
/* Ranges of contiguous data: whole trailing axes. */
static const size_t range_bytes = (size_t)4 << 20;

/* One dataset while it is read. */
struct content {
    const struct emd_content_reader *reader;
    const struct emd_element_layout *layout;
    hid_t dataset, list;
    struct emd_element_hash *hash;
    struct emd_chunk_list chunks;
    struct emd_pipeline pipeline;
    uint64_t shape[EMD_RANK_MAX]; /* of what is read at a time */
};

static void add(void *ctx, const uint64_t *origin, const void *raw, size_t begin, size_t end)
{
    const struct content *c = ctx;
    emd_element_hash_add(c->hash, origin, c->shape, raw, begin, end);
}

static enum emd_status fetch(void *ctx, const struct emd_chunk *chunk, const uint64_t *origin,
                             void *data, size_t n, struct emd_error *err)
{
    struct content *c = ctx;
    uint32_t mask;
    (void)origin;
    enum emd_status status =
        emd_chunk_read(c->dataset, &c->chunks.grid, chunk, data, n, &mask, err);
    if (status == EMD_OK)
        c->chunks.chunk[chunk - c->chunks.chunk].mask = mask;
    return status;
}

static bool is_cancelled(void *ctx)
{
    const struct content *c = ctx;
    return c->reader->cancelled && c->reader->cancelled(c->reader->ctx);
}

static void on_progress(void *ctx, uint64_t bytes)
{
    const struct content *c = ctx;
    if (c->reader->progress)
        c->reader->progress(c->reader->ctx, bytes);
}

/* Chunks as they are, or ranges at 'address'. */
static enum emd_status run_engine(struct content *c, bool contiguous, uint64_t address,
                                  struct emd_error *err)
{
    static const struct emd_pipeline plain;
    struct emd_plan_request q = {
        .rank = c->layout->rank,
        .item_size = c->layout->item_size,
        .contiguous = contiguous,
        .chunks = c->chunks.count,
        .target_bound = 1, /* nothing is encoded */
        .threads = emd_pool_threads(c->reader->pool),
        .budget = emd_repack_budget(c->reader->options, emd_pool_threads(c->reader->pool))};
    struct emd_plan plan;
    for (unsigned a = 0; a < q.rank; a++) {
        q.dims[a] = c->layout->dims[a];
        q.source[a] = contiguous ? 0 : c->shape[a];
        q.target[a] = c->shape[a];
    }
    if (!contiguous) {
        for (size_t i = 0; i < c->chunks.count && c->pipeline.count > 0; i++)
            if (c->chunks.chunk[i].bytes > q.source_stored)
                q.source_stored = (size_t)c->chunks.chunk[i].bytes;
        q.source_work = emd_pipeline_work_bytes(&c->pipeline, c->chunks.grid.chunk_bytes);
        q.fetch = c->chunks.has_addresses ? EMD_FETCH_NONE : EMD_FETCH_STORED;
    }
    enum emd_status status = emd_plan_make(&q, &plan, err);
    const struct emd_move move = {.request = &q,
                                  .plan = &plan,
                                  .fd = c->reader->source->fd,
                                  .address = address,
                                  .chunk = c->chunks.chunk,
                                  .chunk_count = c->chunks.count,
                                  .source_pipeline = &c->pipeline,
                                  .target_pipeline = &plain,
                                  .strip_pipeline = &plain,
                                  .spill_folder = "/tmp",
                                  .ctx = c,
                                  .fetch = fetch,
                                  .inspect = add,
                                  .inspect_unit = emd_element_hash_unit(c->hash, c->shape),
                                  .progress = on_progress,
                                  .cancelled = is_cancelled};
    return status == EMD_OK ? emd_move_run(&move, c->reader->pool, err) : status;
}

/* A few small chunks, one after the other. */
static enum emd_status read_chunks(struct content *c, struct emd_error *err)
{
    const size_t plain = c->chunks.grid.chunk_bytes;
    enum emd_status status = EMD_OK;
    unsigned char *stored = NULL, *raw = malloc(plain);
    size_t room = 0;
    for (size_t i = 0; i < c->chunks.count; i++)
        room = c->chunks.chunk[i].bytes > room ? (size_t)c->chunks.chunk[i].bytes : room;
    if (!raw || !(stored = malloc(room + 1)))
        status = emd_fail(err, EMD_E_MEMORY, "no memory for a chunk of %zu bytes", plain);
    for (size_t i = 0; i < c->chunks.count && status == EMD_OK; i++) {
        const struct emd_chunk *chunk = &c->chunks.chunk[i];
        uint32_t mask;
        hsize_t offset[EMD_RANK_MAX];
        uint64_t origin[EMD_RANK_MAX];
        status = emd_chunk_read(c->dataset, &c->chunks.grid, chunk, stored, room, &mask, err);
        if (status == EMD_OK)
            status = emd_pipeline_decode(&c->pipeline, mask, NULL, stored, (size_t)chunk->bytes,
                                         raw, plain, err);
        emd_chunk_offset(&c->chunks.grid, chunk->index, offset);
        for (unsigned a = 0; a < c->layout->rank; a++)
            origin[a] = offset[a];
        if (status == EMD_OK)
            add(c, origin, raw, 0, plain);
    }
    free(stored);
    free(raw);
    return status;
}

static enum emd_status read_chunked(struct content *c, bool *done, struct emd_error *err)
{
    bool ours;
    enum emd_status status = emd_filters_get(c->list, &c->pipeline, &ours, err);
    if (status == EMD_OK)
        status = emd_chunk_list_get(c->dataset, c->reader->source, EMD_CHUNKS_BY_INDEX, 0,
                                    &c->chunks, err);
    if (status != EMD_OK)
        return status;
    const struct emd_chunk_grid *grid = &c->chunks.grid;
    *done = c->chunks.count == 0;
    if (*done || !ours || grid->item_size != c->layout->item_size)
        return EMD_OK; /* foreign filters: HDF5 reads them */
    *done = true;
    for (unsigned a = 0; a < grid->rank; a++)
        c->shape[a] = grid->chunk[a];
    if (c->chunks.count == 1 || c->chunks.count < bulk_bytes / grid->chunk_bytes)
        return read_chunks(c, err);
    return run_engine(c, false, 0, err);
}

static enum emd_status read_contiguous(struct content *c, bool *done, struct emd_error *err)
{
    const struct emd_element_layout *l = c->layout;
    const size_t bytes = emd_box_bytes(l->rank, l->dims, l->item_size);
    size_t unit = l->item_size;
    /* with a user block, versions of HDF5 disagree on where addresses are counted from */
    if (bytes < bulk_bytes || c->reader->source->user_block != 0 ||
        !emd_hdf5_is_allocated(c->dataset))
        return EMD_OK;
    for (unsigned a = l->rank; a-- > 0;) {
        const uint64_t fit = range_bytes / unit;
        c->shape[a] = fit < 1 ? 1 : fit < l->dims[a] ? fit : l->dims[a];
        unit = c->shape[a] < l->dims[a] ? SIZE_MAX : unit * (size_t)c->shape[a];
    }
    *done = true;
    return run_engine(c, true, H5Dget_offset(c->dataset), err);
}

enum emd_status emd_content_dataset(const struct emd_content_reader *reader, hid_t dataset,
                                    const struct emd_element_layout *layout,
                                    uint32_t lane[EMD_ELEMENT_LANES], bool *known,
                                    struct emd_error *err)
{
    struct content c = {.reader = reader, .layout = layout, .dataset = dataset};
    enum emd_status status = EMD_OK;
    for (unsigned a = 0; a < layout->rank; a++)
        if (layout->dims[a] == 0)
            return EMD_OK;
    if (layout->rank == 0)
        return EMD_OK;
    c.list = H5Dget_create_plist(dataset);
    if (c.list < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has properties that cannot be read");
    const H5D_layout_t how = H5Pget_layout(c.list);
    if (how == H5D_CHUNKED || (how == H5D_CONTIGUOUS && H5Pget_external_count(c.list) == 0))
        status = emd_element_hash_new(layout, &c.hash, err);
    if (status == EMD_OK && c.hash)
        status =
            how == H5D_CHUNKED ? read_chunked(&c, known, err) : read_contiguous(&c, known, err);
    if (status == EMD_OK && *known)
        emd_element_hash_get(c.hash, lane);
    emd_element_hash_free(c.hash);
    emd_chunk_list_free(&c.chunks);
    emd_hdf5_close(&c.list);
    return status;
}

void emd_content_text(const unsigned char hash[EMD_HASH_BYTES], char text[EMD_CONTENT_HASH_TEXT])
{
    for (size_t i = 0; i < EMD_HASH_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

/* ---- a whole file ---- */

struct file_hash {
    struct emd_content_reader reader;
    uint64_t done_bytes;
};

static bool stop(void *ctx)
{
    const struct file_hash *f = ctx;
    const struct emd_repack_options *o = f->reader.options;
    return o->cancelled && o->cancelled(o->ctx);
}

static void report(void *ctx, uint64_t bytes)
{
    struct file_hash *f = ctx;
    const struct emd_repack_options *o = f->reader.options;
    f->done_bytes += bytes;
    if (o->progress)
        o->progress(o->ctx, f->done_bytes, 0);
}

static enum emd_status read_dataset(void *ctx, uint64_t address, hid_t dataset, hid_t type,
                                    const struct emd_element_layout *layout,
                                    uint32_t lane[EMD_ELEMENT_LANES], bool *known,
                                    struct emd_error *err)
{
    const struct file_hash *f = ctx;
    (void)address;
    (void)type;
    return emd_content_dataset(&f->reader, dataset, layout, lane, known, err);
}

enum emd_status emd_repack_hash(const char *path, const struct emd_repack_options *options,
                                struct emd_pool *pool, struct emd_content_hash *content,
                                struct emd_error *err)
{
    unsigned char hash[EMD_HASH_BYTES];
    const char *name;
    struct file_hash f = {
        .reader = {.options = options, .pool = pool, .cancelled = stop, .progress = report}};
    struct emd_tree_hash_options tree = {.ctx = &f, .dataset = read_dataset, .cancelled = stop};
    const struct emd_rehearse_options rehearsal = {.cancelled = stop, .ctx = &f};
    memset(content, 0, sizeof *content);
    f.reader.ctx = &f;
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status == EMD_OK)
        status = emd_tree_rehearse(path, &rehearsal, err);
    if (status == EMD_OK)
        status = emd_source_open(path, &f.reader.source, err);
    if (status != EMD_OK)
        return status;
    emd_provenance_names(f.reader.source->file, &tree.omit_root_attribute, &name);
    emd_provenance_read_hash(f.reader.source->file, content);
    status = emd_tree_hash(f.reader.source->file, &tree, hash, err);
    if (status == EMD_OK)
        status = emd_source_unchanged(f.reader.source, err);
    emd_source_close(f.reader.source);
    if (status == EMD_OK)
        emd_content_text(hash, content->hash);
    return status;
}
