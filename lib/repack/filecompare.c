/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Whether two files hold the same, whatever their storage: emd_repack_compare of repack.h.
 *
 * Structure, attributes and small data are compared by hdf5/compare.h. Bulk data travel as in a
 * repack: the engine (move.h) reads one file's chunks and puts them together as the other file's,
 * within the budget and with all threads, and nothing is encoded or written; when a chunk is
 * complete in memory the other file's is read, decoded and held against it. So each byte of both
 * files is read once, and different chunk shapes cost what a repack between them would. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/chunks.h"
#include "hdf5/compare.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/rehearse.h"
#include "hdf5/source.h"
#include "repack/box.h"
#include "repack/move.h"
#include "repack/provenance.h"
#include "repack/repack.h"

/* Below this, threads would not help. */
static const uint64_t bulk_bytes = (uint64_t)64 << 10;
/* Target chunks where both datasets are contiguous: ranges of whole trailing axes. */
static const size_t range_bytes = (size_t)4 << 20;

/* One of the two files, and its dataset of the pair at hand. */
struct side {
    const char *path;
    struct emd_source *source;
    hid_t dataset;
    bool contiguous;
    uint64_t address; /* of contiguous data */
    struct emd_chunk_list chunks;
    struct emd_pipeline pipeline;
    size_t stored; /* largest stored chunk, where there are filters */
    unsigned char *fill;
};

/* What a thread needs to read the other file's chunk. */
struct buffers {
    struct emd_work *work;
    unsigned char *stored, *raw;
    struct buffers *next;
};

struct comparer {
    const struct emd_repack_options *options;
    struct emd_pool *pool;
    struct emd_repack_result *result;
    struct side side[2];
    uint64_t done_bytes;

    /* The pair at hand: 'from' is read by the engine, 'to' by 'inspect'. */
    struct side *from, *to;
    struct emd_grid grid; /* of 'to' */
    bool *visited;        /* a flag for each stored chunk of 'to' */
    pthread_mutex_t lock;
    struct buffers *free_buffers;
    uint64_t different, first; /* elements, and the number of the first one, in C order */
    struct emd_error failure;  /* of a worker */
};

static bool is_cancelled(void *ctx)
{
    struct comparer *c = ctx;
    pthread_mutex_lock(&c->lock);
    const bool failed = c->failure.status != EMD_OK;
    pthread_mutex_unlock(&c->lock);
    return failed || (c->options->cancelled && c->options->cancelled(c->options->ctx));
}

static void on_progress(void *ctx, uint64_t bytes)
{
    struct comparer *c = ctx;
    c->done_bytes += bytes;
    if (c->options->progress)
        c->options->progress(c->options->ctx, c->done_bytes, 0);
}

/* ---- one chunk ---- */

static int by_index(const void *a, const void *b)
{
    const struct emd_chunk *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static const struct emd_chunk *find_chunk(const struct side *side, const struct emd_grid *grid,
                                          const uint64_t *origin)
{
    struct emd_chunk key = {.index = 0};
    for (unsigned a = 0; a < grid->rank; a++)
        key.index = key.index * ((grid->dims[a] + grid->chunk[a] - 1) / grid->chunk[a]) +
                    origin[a] / grid->chunk[a];
    return side->chunks.count == 0
               ? NULL
               : bsearch(&key, side->chunks.chunk, side->chunks.count, sizeof key, by_index);
}

/* Holds the elements of two chunks at 'origin' that lie inside the dataset against each other; b
 * NULL: all are 'fill'. */
static void compare_chunk(struct comparer *c, const uint64_t *origin, const unsigned char *a,
                          const unsigned char *b, const unsigned char *fill)
{
    const struct emd_grid *grid = &c->grid;
    const unsigned rank = grid->rank;
    const size_t item = grid->item_size;
    uint64_t inside[EMD_RANK_MAX], at[EMD_RANK_MAX] = {0}, different = 0, first = UINT64_MAX;
    bool whole = true;
    for (unsigned i = 0; i < rank; i++) {
        const uint64_t left = grid->dims[i] - origin[i];
        inside[i] = left < grid->chunk[i] ? left : grid->chunk[i];
        whole = whole && inside[i] == grid->chunk[i];
    }
    if (b && whole && memcmp(a, b, emd_box_bytes(rank, grid->chunk, item)) == 0)
        return;
    for (bool more = true; more;) {
        uint64_t in_chunk = 0, in_data = 0;
        for (unsigned i = 0; i < rank; i++) {
            in_chunk = in_chunk * grid->chunk[i] + at[i];
            in_data = in_data * grid->dims[i] + origin[i] + at[i];
        }
        const size_t n = (size_t)inside[rank - 1];
        const unsigned char *p = a + in_chunk * item;
        if (!b || memcmp(p, b + in_chunk * item, n * item) != 0) {
            for (size_t i = 0; i < n; i++) {
                const unsigned char *other = b ? b + (in_chunk + i) * item : fill;
                if (memcmp(p + i * item, other, item) == 0)
                    continue;
                different++;
                first = in_data + i < first ? in_data + i : first;
            }
        }
        more = false;
        for (unsigned i = rank - 1; i-- > 0 && !more;) {
            more = ++at[i] < inside[i];
            if (!more)
                at[i] = 0;
        }
    }
    pthread_mutex_lock(&c->lock);
    c->different += different;
    c->first = first < c->first ? first : c->first;
    pthread_mutex_unlock(&c->lock);
}

static struct buffers *take_buffers(struct comparer *c)
{
    pthread_mutex_lock(&c->lock);
    struct buffers *b = c->free_buffers;
    if (b)
        c->free_buffers = b->next;
    pthread_mutex_unlock(&c->lock);
    return b;
}

static void give_buffers(struct comparer *c, struct buffers *b)
{
    pthread_mutex_lock(&c->lock);
    b->next = c->free_buffers;
    c->free_buffers = b;
    pthread_mutex_unlock(&c->lock);
}

/* Chunk 'chunk' of 'to', decoded, at b->raw. */
static enum emd_status load_chunk(struct comparer *c, const struct emd_chunk *chunk,
                                  struct buffers *b, struct emd_error *err)
{
    const struct side *to = c->to;
    const size_t bytes = emd_box_bytes(c->grid.rank, c->grid.chunk, c->grid.item_size);
    if (to->pipeline.count == 0)
        return chunk->bytes == bytes
                   ? emd_source_read(to->source->fd, b->raw, bytes, chunk->address, err)
                   : emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " bytes are stored where %zu belong",
                              chunk->bytes, bytes);
    enum emd_status status =
        emd_source_read(to->source->fd, b->stored, (size_t)chunk->bytes, chunk->address, err);
    return status == EMD_OK ? emd_pipeline_decode(&to->pipeline, chunk->mask, b->work, b->stored,
                                                  (size_t)chunk->bytes, b->raw, bytes, err)
                            : status;
}

/* The range of contiguous data that a target chunk is. */
static enum emd_status load_range(struct comparer *c, const uint64_t *origin, struct buffers *b,
                                  struct emd_error *err)
{
    size_t n = c->grid.item_size;
    uint64_t offset = 0;
    for (unsigned a = 0; a < c->grid.rank; a++) {
        const uint64_t left = c->grid.dims[a] - origin[a];
        n *= (size_t)(left < c->grid.chunk[a] ? left : c->grid.chunk[a]);
        offset = offset * c->grid.dims[a] + origin[a];
    }
    return emd_source_read(c->to->source->fd, b->raw, n,
                           c->to->address + offset * c->grid.item_size, err);
}

/* A chunk of 'to' as the engine put it together from the other file. Any thread. */
static void inspect(void *ctx, const uint64_t *origin, const void *raw, size_t begin, size_t end)
{
    struct comparer *c = ctx;
    struct emd_error error = {EMD_OK, ""};
    enum emd_status status = EMD_OK;
    (void)begin;
    (void)end;
    const struct emd_chunk *chunk = c->to->contiguous ? NULL : find_chunk(c->to, &c->grid, origin);
    if (!chunk && !c->to->contiguous) {
        compare_chunk(c, origin, raw, NULL, c->to->fill);
        return;
    }
    struct buffers *b = take_buffers(c);
    if (!b)
        status = emd_fail(&error, EMD_E_MEMORY, "out of memory");
    else if (chunk)
        status = load_chunk(c, chunk, b, &error);
    else
        status = load_range(c, origin, b, &error);
    if (status == EMD_OK)
        compare_chunk(c, origin, raw, b->raw, NULL);
    if (chunk)
        c->visited[chunk - c->to->chunks.chunk] = true;
    if (b)
        give_buffers(c, b);
    if (status == EMD_OK)
        return;
    pthread_mutex_lock(&c->lock);
    if (c->failure.status == EMD_OK) {
        c->failure = error;
        emd_fail_prefix(&c->failure, status, "a chunk in %s", c->to->path);
    }
    pthread_mutex_unlock(&c->lock);
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

static enum emd_status fetch(void *ctx, const struct emd_chunk *chunk, const uint64_t *origin,
                             void *data, size_t n, struct emd_error *err)
{
    struct comparer *c = ctx;
    uint32_t mask;
    (void)origin;
    enum emd_status status =
        emd_chunk_read(c->from->dataset, &c->from->chunks.grid, chunk, data, n, &mask, err);
    if (status == EMD_OK)
        c->from->chunks.chunk[chunk - c->from->chunks.chunk].mask = mask;
    return status;
}

/* Chunks of 'to' for which the other file has nothing stored: they must be its fill value. */
static enum emd_status compare_unvisited(struct comparer *c, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct buffers *b = c->free_buffers;
    for (size_t i = 0; !c->to->contiguous && i < c->to->chunks.count && status == EMD_OK; i++) {
        uint64_t origin[EMD_RANK_MAX];
        hsize_t offset[EMD_RANK_MAX];
        if (c->visited[i])
            continue;
        status = load_chunk(c, &c->to->chunks.chunk[i], b, err);
        emd_chunk_offset(&c->to->chunks.grid, c->to->chunks.chunk[i].index, offset);
        for (unsigned a = 0; a < c->grid.rank; a++)
            origin[a] = offset[a];
        if (status == EMD_OK)
            compare_chunk(c, origin, b->raw, NULL, c->from->fill);
        else
            emd_fail_prefix(err, status, "a chunk in %s", c->to->path);
    }
    return status;
}

/* ---- a pair of datasets ---- */

/* Plain data whose bytes are all its values: a compound may have holes. */
static bool is_dense(hid_t type)
{
    return H5Tget_class(type) != H5T_NO_CLASS && H5Tdetect_class(type, H5T_COMPOUND) == 0;
}

/* Chunks or place, filters and fill value of one side. *ready false: leave it to HDF5. */
static enum emd_status look_at_side(struct side *side, hid_t type, size_t item_size, bool *ready,
                                    struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hid_t list = H5Dget_create_plist(side->dataset);
    H5D_fill_value_t defined = H5D_FILL_VALUE_DEFAULT;
    bool ours = true;
    *ready = false;
    side->fill = calloc(1, item_size);
    if (!side->fill) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    } else if (list < 0 || H5Pfill_value_defined(list, &defined) < 0 ||
               (defined == H5D_FILL_VALUE_USER_DEFINED &&
                H5Pget_fill_value(list, type, side->fill) < 0)) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has properties that cannot be read");
    } else if (H5Pget_layout(list) == H5D_CONTIGUOUS) {
        side->contiguous = true;
        /* with a user block, versions of HDF5 disagree on where addresses are counted from */
        *ready = H5Pget_external_count(list) == 0 && emd_hdf5_is_allocated(side->dataset) &&
                 side->source->user_block == 0;
        side->address = *ready ? H5Dget_offset(side->dataset) : 0;
    } else if (H5Pget_layout(list) == H5D_CHUNKED) {
        status = emd_filters_get(list, &side->pipeline, &ours, err);
        if (status == EMD_OK && ours)
            status = emd_chunk_list_get(side->dataset, side->source, EMD_CHUNKS_BY_INDEX, 0,
                                        &side->chunks, err);
        for (size_t i = 0; i < side->chunks.count && side->pipeline.count > 0; i++)
            if (side->chunks.chunk[i].bytes > side->stored)
                side->stored = (size_t)side->chunks.chunk[i].bytes;
        *ready = status == EMD_OK && ours && side->chunks.count > 0 &&
                 side->chunks.grid.item_size == item_size;
    }
    emd_hdf5_close(&list);
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "in %s", side->path);
}

static void free_side(struct side *side)
{
    emd_chunk_list_free(&side->chunks);
    free(side->fill);
    *side = (struct side){.path = side->path, .source = side->source};
}

/* Which file is read by the engine: 'to' must be what workers can read chunk by chunk. */
static bool settle_sides(struct comparer *c)
{
    struct side *a = &c->side[0], *b = &c->side[1];
    const bool a_to = !a->contiguous && a->chunks.has_addresses;
    const bool b_to = !b->contiguous && b->chunks.has_addresses;
    const bool b_ranges = b->contiguous && a->contiguous;
    c->from = b_to || b_ranges ? a : b;
    c->to = b_to || b_ranges ? b : a;
    return b_to || b_ranges || a_to;
}

static void free_all_buffers(struct comparer *c)
{
    while (c->free_buffers) {
        struct buffers *b = c->free_buffers;
        c->free_buffers = b->next;
        emd_work_free(b->work);
        free(b->stored);
        free(b->raw);
        free(b);
    }
}

static enum emd_status make_buffers(struct comparer *c, unsigned threads, struct emd_error *err)
{
    const size_t bytes = emd_box_bytes(c->grid.rank, c->grid.chunk, c->grid.item_size);
    for (unsigned i = 0; i < threads; i++) {
        struct buffers *b = calloc(1, sizeof *b);
        if (!b)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        b->next = c->free_buffers;
        c->free_buffers = b;
        b->work = emd_work_new();
        b->stored = malloc(c->to->stored + 1);
        b->raw = malloc(bytes);
        if (!b->work || !b->stored || !b->raw)
            return emd_fail(err, EMD_E_MEMORY, "no memory for a chunk of %zu bytes", bytes);
    }
    c->visited = calloc(c->to->chunks.count + 1, sizeof *c->visited);
    return c->visited ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
}

/* The chunks of 'to', or ranges of it. */
static void set_target(const struct comparer *c, struct emd_plan_request *q)
{
    size_t bytes = q->item_size;
    for (unsigned a = q->rank; a-- > 0;) {
        if (!c->to->contiguous) {
            q->target[a] = c->to->chunks.grid.chunk[a];
            continue;
        }
        const uint64_t fit = range_bytes / bytes;
        q->target[a] = fit < 1 ? 1 : fit < q->dims[a] ? fit : q->dims[a];
        bytes = q->target[a] < q->dims[a] ? SIZE_MAX : bytes * (size_t)q->target[a];
    }
}

static enum emd_status run_engine(struct comparer *c, struct emd_plan_request *q,
                                  struct emd_error *err)
{
    static const struct emd_pipeline plain;
    struct emd_plan plan;
    const size_t target = emd_box_bytes(q->rank, q->target, q->item_size);
    const size_t budget = emd_repack_budget(c->options, emd_pool_threads(c->pool));
    const size_t each = target + c->to->stored + emd_pipeline_work_bytes(&c->to->pipeline, target);
    /* half of the memory for our own reading, if that many threads need it */
    q->threads = emd_pool_threads(c->pool);
    if (q->threads > budget / 2 / each)
        q->threads = budget / 2 / each > 0 ? (unsigned)(budget / 2 / each) : 1;
    q->budget = each * q->threads < budget ? budget - each * q->threads : budget / 2;
    q->target_bound = target;
    enum emd_status status = emd_plan_make(q, &plan, err);
    if (status == EMD_OK)
        status = make_buffers(c, plan.threads, err);
    const struct emd_move move = {.request = q,
                                  .plan = &plan,
                                  .fd = c->from->source->fd,
                                  .address = c->from->address,
                                  .chunk = c->from->chunks.chunk,
                                  .chunk_count = c->from->chunks.count,
                                  .source_pipeline = &c->from->pipeline,
                                  .fill = c->from->fill,
                                  .target_pipeline = &plain,
                                  .strip_pipeline = &plain,
                                  .spill_folder = "/tmp",
                                  .ctx = c,
                                  .fetch = fetch,
                                  .write = discard,
                                  .inspect = inspect,
                                  .progress = on_progress,
                                  .cancelled = is_cancelled};
    if (status == EMD_OK) {
        status = emd_move_run(&move, c->pool, err);
        if (status != EMD_OK && status != EMD_E_CANCELLED)
            emd_fail_prefix(err, status, "in %s", c->from->path);
    }
    if (c->failure.status != EMD_OK)
        status = emd_fail(err, c->failure.status, "%s", c->failure.text);
    if (status == EMD_OK)
        status = compare_unvisited(c, err);
    free_all_buffers(c);
    free(c->visited);
    c->visited = NULL;
    return status;
}

static void describe(const struct comparer *c, char *text, size_t size)
{
    uint64_t at[EMD_RANK_MAX] = {0}, rest = c->first;
    size_t used = (size_t)snprintf(text, size, "has %" PRIu64 " other value%s, the first at (",
                                   c->different, c->different == 1 ? "" : "s");
    for (unsigned a = c->grid.rank; a-- > 0;) {
        at[a] = rest % c->grid.dims[a];
        rest /= c->grid.dims[a];
    }
    for (unsigned a = 0; a < c->grid.rank && used + 32 < size; a++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, a ? "," : "", at[a]);
    snprintf(text + used, size - used, ")");
}

static enum emd_status compare_bulk(struct comparer *c, hid_t type, const hsize_t *dims, int rank,
                                    bool *compared, char *difference, size_t size,
                                    struct emd_error *err)
{
    struct emd_plan_request q = {.rank = (unsigned)rank, .item_size = H5Tget_size(type)};
    bool ready[2] = {false, false};
    enum emd_status status = EMD_OK;
    for (int side = 0; side < 2 && status == EMD_OK; side++)
        status = look_at_side(&c->side[side], type, q.item_size, &ready[side], err);
    if (status != EMD_OK || !ready[0] || !ready[1] || !settle_sides(c))
        return status;
    for (unsigned a = 0; a < q.rank; a++) {
        q.dims[a] = dims[a];
        q.source[a] = c->from->contiguous ? 0 : c->from->chunks.grid.chunk[a];
    }
    q.contiguous = c->from->contiguous;
    q.chunks = c->from->chunks.count;
    q.source_stored = c->from->stored;
    if (!q.contiguous) {
        q.source_work =
            emd_pipeline_work_bytes(&c->from->pipeline, c->from->chunks.grid.chunk_bytes);
        q.fetch = c->from->chunks.has_addresses ? EMD_FETCH_NONE : EMD_FETCH_STORED;
    }
    set_target(c, &q);
    c->grid = (struct emd_grid){q.rank, q.item_size, q.dims, q.target};
    c->different = 0;
    c->first = UINT64_MAX;
    *compared = true;
    status = run_engine(c, &q, err);
    if (status == EMD_OK && c->different > 0)
        describe(c, difference, size);
    return status;
}

static enum emd_status compare_dataset(void *ctx, const struct emd_compare_pair *pair,
                                       bool *compared, char *difference, size_t size,
                                       struct emd_error *err)
{
    struct comparer *c = ctx;
    hsize_t dims[H5S_MAX_RANK];
    enum emd_status status = EMD_OK;
    c->result->datasets++;
    hid_t type = H5Dget_type(pair->a), space = H5Dget_space(pair->a);
    const int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    const hssize_t points = rank < 1 ? 0 : H5Sget_simple_extent_npoints(space);
    c->side[0].dataset = pair->a;
    c->side[1].dataset = pair->b;
    if (type < 0 || rank < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type or extent that cannot be read");
    else if (!pair->translated && is_dense(type) && points > 0 &&
             (uint64_t)points >= bulk_bytes / H5Tget_size(type))
        status = compare_bulk(c, type, dims, rank, compared, difference, size, err);
    free_side(&c->side[0]);
    free_side(&c->side[1]);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    return status;
}

/* ---- the files ---- */

static enum emd_status open_side(struct comparer *c, struct side *side, struct emd_error *err)
{
    const struct emd_rehearse_options rehearsal = {.cancelled = is_cancelled, .ctx = c};
    enum emd_status status = emd_tree_rehearse(side->path, &rehearsal, err);
    if (status == EMD_OK)
        status = emd_source_open(side->path, &side->source, err);
    return status == EMD_OK || status == EMD_E_CANCELLED
               ? status
               : emd_fail_prefix(err, status, "%s", side->path);
}

enum emd_status emd_repack_compare(const char *a, const char *b,
                                   const struct emd_repack_options *options, struct emd_pool *pool,
                                   void (*differs)(void *ctx, const char *object, const char *what),
                                   uint64_t most, struct emd_repack_result *result,
                                   struct emd_error *err)
{
    struct emd_error local = {.status = EMD_OK};
    struct comparer c = {.options = options,
                         .pool = pool,
                         .result = result,
                         .side = {{.path = a}, {.path = b}},
                         .lock = PTHREAD_MUTEX_INITIALIZER};
    struct emd_compare_options compare = {
        .ctx = &c, .dataset = compare_dataset, .most = most, .cancelled = is_cancelled};
    err = err ? err : &local;
    memset(result, 0, sizeof *result);
    enum emd_status status = emd_hdf5_register_filters(err);
    for (int side = 0; side < 2 && status == EMD_OK; side++) {
        const char *name;
        status = open_side(&c, &c.side[side], err);
        if (status == EMD_OK)
            emd_provenance_names(c.side[side].source->file, &compare.omit_root_attribute[side],
                                 &name);
    }
    if (status == EMD_OK) {
        result->raw_bytes = (uint64_t)c.side[0].source->id.size;
        result->stored_bytes = (uint64_t)c.side[1].source->id.size;
        compare.differs = differs;
        compare.differs_ctx = options->ctx;
        status = emd_tree_compare(c.side[0].source->file, c.side[1].source->file, &compare, err);
    }
    for (int side = 0; side < 2 && status == EMD_OK; side++)
        status = emd_source_unchanged(c.side[side].source, err);
    result->verified = status == EMD_OK;
    for (int side = 0; side < 2; side++)
        emd_source_close(c.side[side].source);
    pthread_mutex_destroy(&c.lock);
    return status;
}
