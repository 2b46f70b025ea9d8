/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See move.h and plan.h. All plans share their two ends: load_chunk (pread, decode) and
 * encode_chunk (encode, decode again, compare). GATHER is STRIPS with nothing left for strips. */
#include "repack/move.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "hdf5/source.h"
#include "repack/box.h"
#include "repack/strips.h"

/* What is read at a time where it is inspected: a level-2 cache holds it together with what else is
 * in use. */
enum { inspect_step = 256 << 10 };

/* Contiguous data around a fault are read in pieces of a sector; after so many that fail, as on a
 * dying disk, where each takes seconds, the rest of a range counts as lost. */
enum { SECTOR_BYTES = 4096, SECTORS_TRIED = 64 };

/* Scratch of one thread; sizes by plan. */
struct thread_buffers {
    struct emd_work *work;
    unsigned char *stored; /* a stored source chunk, or a stored strip */
    unsigned char *raw;    /* a source chunk, band or target chunk */
    unsigned char *verify; /* a target chunk decoded again; NULL where its codec compares */
    unsigned char *strips; /* the strips of a band one after another, or one strip, plain */
    void **pointer;        /* destinations of a scatter */
};

/* What lives from fetch to deliver. */
struct slot_buffers {
    unsigned char *fetched; /* source chunks of a band */
    unsigned char *out;     /* an encoded chunk, or stored strips one after another */
    size_t size;
    uint32_t mask;
    uint64_t hash;
    enum emd_status damage; /* with move->damaged: the chunk could not be read, and why; ... */
    bool partly;            /* ... but in part, which 'out' holds */
    struct emd_error error;
    size_t *strip_size; /* of the stored strips of a band, in the order of its target chunks */
};

/* A source chunk and where it belongs: sorted, the chunks of a block and of a band are neighbours.
 */
struct placed_chunk {
    uint64_t block, band;
    const struct emd_chunk *chunk;
};

/* A run of placed chunks of one band. */
struct band_range {
    uint64_t band;
    size_t first, count;
};

struct mover {
    const struct emd_move *move;
    const struct emd_plan_request *request;
    const struct emd_plan *plan;
    unsigned rank;
    struct emd_grid source_grid, target_grid, block_grid;
    size_t source_bytes, target_bytes, band_bytes, fetch_unit;
    struct thread_buffers *thread;
    struct slot_buffers *slot;
    unsigned slots;

    /* The block under way (GATHER, STRIPS). */
    uint64_t block_origin[EMD_RANK_MAX], block_extent[EMD_RANK_MAX]; /* extent cut at the edge */
    uint64_t band_count[EMD_RANK_MAX], bands;     /* grid of bands in the block */
    uint64_t target_count[EMD_RANK_MAX], targets; /* grid of target chunks in the block */
    bool complete;                                /* every source chunk of the block exists */
    struct placed_chunk *placed;
    size_t placed_count;
    bool *lost;             /* with move->damaged: placed chunks that could not be read */
    pthread_mutex_t report; /* one report at a time */
    struct band_range *band;
    size_t band_ranges;
    unsigned char *memory;  /* the resident target chunks one after another */
    unsigned char *touched; /* a flag for each target chunk */
    size_t *todo;           /* the touched ones */
    size_t todo_count;
    struct emd_strips *strips;
};

static void unravel(unsigned rank, const uint64_t *count, uint64_t i, uint64_t *point)
{
    for (unsigned a = rank; a-- > 0;) {
        point[a] = i % count[a];
        i /= count[a];
    }
}

static uint64_t ravel(unsigned rank, const uint64_t *count, const uint64_t *point)
{
    uint64_t i = 0;
    for (unsigned a = 0; a < rank; a++)
        i = i * count[a] + point[a];
    return i;
}

/* Boxes of the given shape that cover an extent, on each axis; their product. */
static uint64_t grid_counts(unsigned rank, const uint64_t *extent, const uint64_t *shape,
                            uint64_t *count)
{
    uint64_t total = 1;
    for (unsigned a = 0; a < rank; a++) {
        count[a] = extent[a] / shape[a] + (extent[a] % shape[a] != 0);
        total *= count[a];
    }
    return total;
}

static void chunk_origin(const struct emd_grid *grid, uint64_t index, uint64_t *origin)
{
    uint64_t count[EMD_RANK_MAX];
    grid_counts(grid->rank, grid->dims, grid->chunk, count);
    unravel(grid->rank, count, index, origin);
    for (unsigned a = 0; a < grid->rank; a++)
        origin[a] *= grid->chunk[a];
}

static void fill_elements(const struct mover *m, void *data, size_t n)
{
    const unsigned char *fill = m->move->fill;
    size_t item = m->request->item_size;
    if (!fill) {
        memset(data, 0, n);
        return;
    }
    unsigned char *to = data;
    size_t done = item < n ? item : n;
    memcpy(to, fill, done);
    while (done < n) { /* doubling */
        size_t step = done < n - done ? done : n - done;
        memcpy(to + done, to, step);
        done += step;
    }
}

static enum emd_status read_source(const struct mover *m, void *data, size_t n, uint64_t address,
                                   struct emd_error *err)
{
    return emd_source_read(m->move->fd, data, n, address, err);
}

static void inspect_chunk(const struct mover *m, const uint64_t *origin, const void *raw)
{
    if (m->move->inspect)
        m->move->inspect(m->move->ctx, origin, raw, 0, m->target_bytes);
}

/* A target chunk as it is stored, inspected in parts that are still in the level-2 cache. */
static enum emd_status read_and_inspect(const struct mover *m, const uint64_t *origin,
                                        unsigned char *raw, uint64_t address, struct emd_error *err)
{
    const size_t whole = m->target_bytes, unit = m->move->inspect_unit;
    const size_t step = unit == 0 || unit > inspect_step ? whole : inspect_step / unit * unit;
    enum emd_status status = EMD_OK;
    for (size_t at = 0; at < whole && status == EMD_OK; at += step) {
        const size_t n = whole - at < step ? whole - at : step;
        status = read_source(m, raw + at, n, address + at, err);
        if (status == EMD_OK && m->move->inspect)
            m->move->inspect(m->move->ctx, origin, raw, at, at + n);
    }
    return status;
}

/* Names the chunk in an error from below. */
static enum emd_status chunk_failed(const struct mover *m, enum emd_status status,
                                    const uint64_t *origin, struct emd_error *err)
{
    char text[256];
    emd_point_text(m->rank, origin, text, sizeof text);
    return emd_fail_prefix(err, status, "chunk at (%s)", text);
}

/* Whether a failure to read is one that move->damaged is told of: it says nothing about the rest.
 */
static bool is_damage(const struct mover *m, enum emd_status status)
{
    return m->move->damaged && (status == EMD_E_CORRUPT || status == EMD_E_INCOMPLETE ||
                                status == EMD_E_UNSUPPORTED || status == EMD_E_IO);
}

/* Tells of the box of 'shape' at 'origin', of which the part inside the dataset counts. */
static void report_damage(struct mover *m, const uint64_t *origin, const uint64_t *shape,
                          const struct emd_error *error)
{
    uint64_t inside[EMD_RANK_MAX];
    for (unsigned a = 0; a < m->rank; a++) {
        const uint64_t left = m->request->dims[a] - origin[a];
        inside[a] = left < shape[a] ? left : shape[a];
    }
    pthread_mutex_lock(&m->report);
    m->move->damaged(m->move->ctx, origin, inside, error);
    pthread_mutex_unlock(&m->report);
}

/* Reads n bytes of contiguous data. Where they cannot all be read and somebody wants to hear of it,
 * the others are filled and counted in *lost, and *err says why. */
static enum emd_status read_range(const struct mover *m, unsigned char *to, size_t n,
                                  uint64_t address, size_t *lost, struct emd_error *err)
{
    const size_t item = m->request->item_size;
    const size_t sector = item < SECTOR_BYTES ? SECTOR_BYTES / item * item : item;
    enum emd_status status = read_source(m, to, n, address, err);
    size_t tried = 0;
    *lost = 0;
    if (status == EMD_OK || !is_damage(m, status))
        return status;
    for (size_t at = 0, step = sector; at < n; at += step) {
        struct emd_error ignored;
        step = n - at < sector ? n - at : sector;
        const enum emd_status piece =
            tried < SECTORS_TRIED ? read_source(m, to + at, step, address + at, &ignored) : status;
        if (piece == EMD_OK)
            continue;
        tried++;
        /* at the end of the file, element by element */
        for (size_t k = 0; k < step; k += item)
            if (piece != EMD_E_INCOMPLETE || tried > 1 ||
                read_source(m, to + at + k, item, address + at + k, &ignored) != EMD_OK) {
                fill_elements(m, to + at + k, item);
                *lost += item;
            }
    }
    emd_fail_prefix(err, status, "%zu of %zu bytes are lost", *lost, n);
    return EMD_OK;
}

/* One source chunk, decoded: *data points to it, at 'raw' or where it was fetched. */
static enum emd_status load_chunk(const struct mover *m, struct thread_buffers *buffers,
                                  const struct emd_chunk *chunk, const unsigned char *fetched,
                                  unsigned char *raw, const unsigned char **data,
                                  struct emd_error *err)
{
    const struct emd_pipeline *pipeline = m->move->source_pipeline;
    size_t size = (size_t)chunk->bytes;
    *data = fetched ? fetched : raw;
    if (m->request->fetch == EMD_FETCH_DECODED)
        return EMD_OK;
    if (pipeline->count == 0) {
        if (chunk->bytes != m->source_bytes)
            return emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " bytes are stored where %zu belong",
                            chunk->bytes, m->source_bytes);
        return fetched ? EMD_OK : read_source(m, raw, size, chunk->address, err);
    }
    if (chunk->bytes > m->request->source_stored)
        return emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " bytes are stored, too many", chunk->bytes);
    if (!fetched) {
        enum emd_status status = read_source(m, buffers->stored, size, chunk->address, err);
        if (status != EMD_OK)
            return status;
        fetched = buffers->stored;
    }
    *data = raw;
    return emd_pipeline_decode(pipeline, chunk->mask, buffers->work, fetched, size, raw,
                               m->source_bytes, err);
}

/* A source chunk through HDF5 into a slot. */
static enum emd_status fetch_chunk(const struct mover *m, const struct emd_chunk *chunk,
                                   unsigned char *to, struct emd_error *err)
{
    uint64_t origin[EMD_RANK_MAX];
    chunk_origin(&m->source_grid, chunk->index, origin);
    size_t n = m->request->fetch == EMD_FETCH_STORED ? (size_t)chunk->bytes : m->source_bytes;
    enum emd_status status;
    if (n > m->fetch_unit)
        status = emd_fail(err, EMD_E_CORRUPT, "%zu bytes are stored, too many", n);
    else
        status = m->move->fetch(m->move->ctx, chunk, origin, to, n, err);
    return status == EMD_OK ? EMD_OK : chunk_failed(m, status, origin, err);
}

/* One target chunk into the slot, verified. */
static enum emd_status encode_chunk(const struct mover *m, struct thread_buffers *buffers,
                                    const uint64_t *origin, const unsigned char *raw,
                                    struct slot_buffers *slot, struct emd_error *err)
{
    const struct emd_pipeline *pipeline = m->move->target_pipeline;
    if (m->request->hash)
        slot->hash = emd_box_hash(&m->target_grid, origin, raw);
    slot->size = 0;
    if (!m->move->write)
        return EMD_OK;
    enum emd_status status =
        emd_pipeline_encode(pipeline, buffers->work, raw, m->target_bytes, slot->out,
                            m->request->target_bound, &slot->size, &slot->mask, err);
    if (status != EMD_OK || !m->request->verify || pipeline->count == 0)
        return status;
    status = emd_pipeline_check(pipeline, slot->mask, buffers->work, slot->out, slot->size, raw,
                                m->target_bytes, buffers->verify, err);
    if (status == EMD_OK)
        return EMD_OK;
    if (status == EMD_E_VERIFY)
        return emd_fail(err, EMD_E_VERIFY, "decodes to other data than were encoded");
    return emd_fail_prefix(err, EMD_E_VERIFY, "cannot be decoded again");
}

static void report_progress(const struct mover *m, uint64_t bytes)
{
    if (m->move->progress)
        m->move->progress(m->move->ctx, bytes);
}

static enum emd_status write_chunk(const struct mover *m, const uint64_t *origin,
                                   const struct slot_buffers *slot, struct emd_error *err)
{
    const struct emd_encoded encoded = {slot->out, slot->size, slot->mask, slot->hash};
    enum emd_status status =
        m->move->write ? m->move->write(m->move->ctx, origin, &encoded, err) : EMD_OK;
    report_progress(m, m->target_bytes);
    return status == EMD_OK ? EMD_OK : chunk_failed(m, status, origin, err);
}

static bool is_cancelled(void *ctx)
{
    const struct mover *m = ctx;
    return m->move->cancelled && m->move->cancelled(m->move->ctx);
}

static void *get_memory(size_t n, bool *ok)
{
    void *p = emd_memory_new(n);
    *ok = *ok && p;
    return p;
}

static void free_buffers(struct mover *m)
{
    for (unsigned t = 0; m->thread && t < m->plan->threads; t++) {
        struct thread_buffers *b = &m->thread[t];
        emd_work_free(b->work);
        free(b->stored);
        free(b->raw);
        free(b->verify);
        free(b->strips);
        free(b->pointer);
    }
    for (unsigned s = 0; m->slot && s < m->slots; s++) {
        free(m->slot[s].fetched);
        free(m->slot[s].out);
        free(m->slot[s].strip_size);
    }
    free(m->thread);
    free(m->slot);
    m->thread = NULL;
    m->slot = NULL;
}

/* Sizes of the buffers of a phase; 0 where the phase needs none. */
struct buffer_sizes {
    size_t stored, raw, verify, strips, pointers;
    size_t fetched, out, strip_sizes;
    unsigned slots;
};

static enum emd_status make_buffers(struct mover *m, const struct buffer_sizes *sizes,
                                    struct emd_error *err)
{
    bool ok = true;
    m->slots = sizes->slots;
    m->thread = calloc(m->plan->threads, sizeof *m->thread);
    m->slot = calloc(m->slots, sizeof *m->slot);
    ok = m->thread && m->slot;
    for (unsigned t = 0; ok && t < m->plan->threads; t++) {
        struct thread_buffers *b = &m->thread[t];
        b->work = emd_work_new();
        ok = b->work != NULL;
        if (sizes->stored)
            b->stored = get_memory(sizes->stored, &ok);
        if (sizes->raw)
            b->raw = get_memory(sizes->raw, &ok);
        if (sizes->verify)
            b->verify = get_memory(sizes->verify, &ok);
        if (sizes->strips)
            b->strips = get_memory(sizes->strips, &ok);
        if (sizes->pointers)
            b->pointer = get_memory(sizes->pointers * sizeof(void *), &ok);
    }
    for (unsigned s = 0; ok && s < m->slots; s++) {
        if (sizes->fetched)
            m->slot[s].fetched = get_memory(sizes->fetched, &ok);
        if (sizes->out)
            m->slot[s].out = get_memory(sizes->out, &ok);
        if (sizes->strip_sizes)
            m->slot[s].strip_size = get_memory(sizes->strip_sizes * sizeof(size_t), &ok);
    }
    if (ok)
        return EMD_OK;
    free_buffers(m);
    return emd_fail(err, EMD_E_MEMORY, "out of memory");
}

static enum emd_status
run_pool(struct mover *m, struct emd_pool *pool, size_t count, bool fetches,
         enum emd_status (*work)(void *, size_t, unsigned, unsigned, struct emd_error *),
         enum emd_status (*deliver)(void *, size_t, unsigned, struct emd_error *),
         enum emd_status (*fetch)(void *, size_t, unsigned, struct emd_error *),
         struct emd_error *err)
{
    const struct emd_pool_run run = {.count = count,
                                     .threads = m->plan->threads,
                                     .slots = m->slots,
                                     .ctx = m,
                                     .fetch = fetches ? fetch : NULL,
                                     .work = work,
                                     .deliver = deliver,
                                     .cancelled = is_cancelled};
    return emd_pool_run(pool, &run, err);
}

/* ---- SAME_GRID ---------------------------------------------------------------------------- */

static void same_origin(const struct mover *m, size_t job, uint64_t *origin)
{
    chunk_origin(&m->target_grid, m->request->contiguous ? job : m->move->chunk[job].index, origin);
}

static enum emd_status same_fetch(void *ctx, size_t job, unsigned slot_number,
                                  struct emd_error *err)
{
    struct mover *m = ctx;
    struct slot_buffers *slot = &m->slot[slot_number];
    const enum emd_status status = fetch_chunk(m, &m->move->chunk[job], slot->fetched, err);
    if (!is_damage(m, status))
        return status;
    slot->damage = status;
    slot->error = *err;
    return EMD_OK;
}

/* The contiguous range that a target chunk is; behind the dataset's edge it is filled, as are the
 * *lost bytes that cannot be read. */
static enum emd_status load_range(const struct mover *m, const uint64_t *origin, unsigned char *raw,
                                  size_t *lost, struct emd_error *err)
{
    size_t n = m->request->item_size;
    uint64_t offset = ravel(m->rank, m->request->dims, origin);
    for (unsigned a = 0; a < m->rank; a++) {
        uint64_t left = m->request->dims[a] - origin[a];
        n *= (size_t)(left < m->request->target[a] ? left : m->request->target[a]);
    }
    if (n < m->target_bytes)
        fill_elements(m, raw + n, m->target_bytes - n);
    return read_range(m, raw, n, m->move->address + offset * m->request->item_size, lost, err);
}

static enum emd_status same_work(void *ctx, size_t job, unsigned slot_number, unsigned thread,
                                 struct emd_error *err)
{
    struct mover *m = ctx;
    struct thread_buffers *buffers = &m->thread[thread];
    struct slot_buffers *slot = &m->slot[slot_number];
    uint64_t origin[EMD_RANK_MAX];
    enum emd_status status = EMD_OK;
    bool loading = true; /* what fails then is the source's fault */
    size_t lost = 0;
    if (slot->damage != EMD_OK)
        return EMD_OK; /* it could not be fetched */
    same_origin(m, job, origin);
    if (m->request->copy_stored) {
        const struct emd_chunk *chunk = &m->move->chunk[job];
        slot->size = (size_t)chunk->bytes;
        slot->mask = chunk->mask;
        if (chunk->bytes > m->request->source_stored)
            status = emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " bytes are stored, too many",
                              chunk->bytes);
        else if (slot->fetched)
            memcpy(slot->out, slot->fetched, slot->size);
        else
            status = read_source(m, slot->out, slot->size, chunk->address, err);
        if (status == EMD_OK && m->request->verify) {
            status =
                emd_pipeline_decode(m->move->source_pipeline, slot->mask, buffers->work, slot->out,
                                    slot->size, buffers->verify, m->source_bytes, err);
            if (status == EMD_OK) {
                inspect_chunk(m, origin, buffers->verify);
                if (m->request->hash)
                    slot->hash = emd_box_hash(&m->target_grid, origin, buffers->verify);
            }
        }
    } else {
        const unsigned char *raw = buffers->raw;
        const struct emd_chunk *chunk = m->request->contiguous ? NULL : &m->move->chunk[job];
        const bool plain = chunk && !slot->fetched && m->move->source_pipeline->count == 0 &&
                           chunk->bytes == m->target_bytes;
        if (plain)
            status = read_and_inspect(m, origin, buffers->raw, chunk->address, err);
        else if (chunk)
            status = load_chunk(m, buffers, chunk, slot->fetched, buffers->raw, &raw, err);
        else
            status = load_range(m, origin, buffers->raw, &lost, err);
        if (lost > 0) {
            slot->damage = err->status;
            slot->partly = true;
            slot->error = *err;
            chunk_failed(m, err->status, origin, &slot->error);
        }
        if (status == EMD_OK && !plain)
            inspect_chunk(m, origin, raw);
        loading = status != EMD_OK;
        if (status == EMD_OK)
            status = encode_chunk(m, buffers, origin, raw, slot, err);
    }
    if (status == EMD_OK)
        return EMD_OK;
    chunk_failed(m, status, origin, err);
    if (!loading || !is_damage(m, status))
        return status;
    slot->damage = status;
    slot->error = *err;
    return EMD_OK;
}

static enum emd_status same_deliver(void *ctx, size_t job, unsigned slot_number,
                                    struct emd_error *err)
{
    struct mover *m = ctx;
    struct slot_buffers *slot = &m->slot[slot_number];
    const bool damaged = slot->damage != EMD_OK, partly = slot->partly;
    uint64_t origin[EMD_RANK_MAX];
    same_origin(m, job, origin);
    slot->damage = EMD_OK;
    slot->partly = false;
    if (damaged)
        report_damage(m, origin, m->request->target, &slot->error);
    if (damaged && !partly)
        return EMD_OK;
    return write_chunk(m, origin, slot, err);
}

/* The buffer for a stored source chunk of a thread that reads. */
static size_t stored_bytes(const struct mover *m)
{
    return m->request->fetch == EMD_FETCH_NONE ? m->request->source_stored : 0;
}

static enum emd_status run_same_grid(struct mover *m, struct emd_pool *pool, struct emd_error *err)
{
    const struct emd_plan_request *r = m->request;
    struct buffer_sizes sizes = {.stored = stored_bytes(m),
                                 .raw =
                                     !emd_plan_decodes(r) || r->copy_stored ? 0 : m->target_bytes,
                                 .verify = r->verify_bytes,
                                 .fetched = m->fetch_unit,
                                 .out = r->copy_stored ? r->source_stored : r->target_bound,
                                 .slots = m->plan->slots};
    enum emd_status status = make_buffers(m, &sizes, err);
    if (status != EMD_OK)
        return status;
    size_t jobs = r->contiguous ? (size_t)m->plan->blocks : m->move->chunk_count;
    status = run_pool(m, pool, jobs, m->fetch_unit > 0, same_work, same_deliver, same_fetch, err);
    free_buffers(m);
    return status;
}

/* ---- Blocks: GATHER and STRIPS -------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct placed_chunk *x = a, *y = b;
    if (x->block != y->block)
        return x->block < y->block ? -1 : 1;
    if (x->band != y->band)
        return x->band < y->band ? -1 : 1;
    return x->chunk->index < y->chunk->index ? -1 : x->chunk->index > y->chunk->index;
}

/* Block number, and band number within the block, of every source chunk. */
static enum emd_status place_chunks(struct mover *m, struct emd_error *err)
{
    uint64_t count[EMD_RANK_MAX], point[EMD_RANK_MAX], within[EMD_RANK_MAX];
    uint64_t extent[EMD_RANK_MAX];
    m->placed_count = m->move->chunk_count;
    m->placed = malloc((m->placed_count + 1) * sizeof *m->placed);
    m->band = malloc((m->placed_count + 1) * sizeof *m->band);
    m->lost = m->move->damaged ? calloc(m->placed_count + 1, sizeof *m->lost) : NULL;
    if (!m->placed || !m->band || (m->move->damaged && !m->lost))
        return emd_fail(err, EMD_E_MEMORY, "out of memory for %zu chunks", m->placed_count);
    for (size_t i = 0; i < m->placed_count; i++) {
        chunk_origin(&m->source_grid, m->move->chunk[i].index, point);
        for (unsigned a = 0; a < m->rank; a++) {
            uint64_t block = point[a] / m->plan->block[a], left;
            within[a] = (point[a] - block * m->plan->block[a]) / m->plan->band[a];
            left = m->request->dims[a] - block * m->plan->block[a];
            extent[a] = left < m->plan->block[a] ? left : m->plan->block[a];
            point[a] = block;
        }
        grid_counts(m->rank, m->request->dims, m->plan->block, count);
        m->placed[i].block = ravel(m->rank, count, point);
        grid_counts(m->rank, extent, m->plan->band, count);
        m->placed[i].band = ravel(m->rank, count, within);
        m->placed[i].chunk = &m->move->chunk[i];
    }
    qsort(m->placed, m->placed_count, sizeof *m->placed, by_place);
    return EMD_OK;
}

/* Sets up block number 'block', whose placed chunks begin at *next, and moves *next behind them. */
static void enter_block(struct mover *m, uint64_t block, size_t *next)
{
    uint64_t count[EMD_RANK_MAX];
    chunk_origin(&m->block_grid, block, m->block_origin);
    for (unsigned a = 0; a < m->rank; a++) {
        uint64_t left = m->request->dims[a] - m->block_origin[a];
        m->block_extent[a] = left < m->plan->block[a] ? left : m->plan->block[a];
    }
    m->bands = grid_counts(m->rank, m->block_extent, m->plan->band, m->band_count);
    m->targets = grid_counts(m->rank, m->block_extent, m->request->target, m->target_count);
    m->complete = true;
    if (m->request->contiguous)
        return;
    size_t first = *next;
    m->band_ranges = 0;
    while (*next < m->placed_count && m->placed[*next].block == block) {
        struct band_range *last = m->band_ranges ? &m->band[m->band_ranges - 1] : NULL;
        if (last && last->band == m->placed[*next].band)
            last->count++;
        else
            m->band[m->band_ranges++] = (struct band_range){m->placed[*next].band, *next, 1};
        (*next)++;
    }
    m->complete = !m->move->damaged &&
                  *next - first == grid_counts(m->rank, m->block_extent, m->request->source, count);
}

/* Jobs of reading a block. */
static size_t band_jobs(const struct mover *m)
{
    return m->request->contiguous ? (size_t)m->bands : m->band_ranges;
}

/* Number, origin and extent (cut at the dataset's edge) of the band of a job. */
static uint64_t band_box(const struct mover *m, size_t job, uint64_t *origin, uint64_t *extent)
{
    uint64_t number = m->request->contiguous ? job : m->band[job].band;
    unravel(m->rank, m->band_count, number, origin);
    for (unsigned a = 0; a < m->rank; a++) {
        uint64_t begin = origin[a] * m->plan->band[a], left = m->block_extent[a] - begin;
        origin[a] = m->block_origin[a] + begin;
        extent[a] = left < m->plan->band[a] ? left : m->plan->band[a];
    }
    return number;
}

/* Row-major number in the block of a target chunk that a box touches. */
static size_t target_in_block(const struct mover *m, const struct emd_touched *touched, size_t i)
{
    uint64_t point[EMD_RANK_MAX];
    unravel(m->rank, touched->count, i, point);
    for (unsigned a = 0; a < m->rank; a++)
        point[a] += touched->first[a] - m->block_origin[a] / m->request->target[a];
    return (size_t)ravel(m->rank, m->target_count, point);
}

static void target_origin(const struct mover *m, size_t target, uint64_t *origin)
{
    unravel(m->rank, m->target_count, target, origin);
    for (unsigned a = 0; a < m->rank; a++)
        origin[a] = m->block_origin[a] + origin[a] * m->request->target[a];
}

/* True if part of a target chunk lies outside the dataset. */
static bool hangs_over(const struct mover *m, const uint64_t *origin)
{
    for (unsigned a = 0; a < m->rank; a++)
        if (m->request->target[a] > m->request->dims[a] - origin[a])
            return true;
    return false;
}

/* A placed chunk that cannot be read is one that does not exist. */
static void lose_chunk(struct mover *m, size_t placed, const struct emd_error *error)
{
    uint64_t origin[EMD_RANK_MAX];
    chunk_origin(&m->source_grid, m->placed[placed].chunk->index, origin);
    m->lost[placed] = true;
    report_damage(m, origin, m->request->source, error);
}

static enum emd_status band_fetch(void *ctx, size_t job, unsigned slot, struct emd_error *err)
{
    struct mover *m = ctx;
    enum emd_status status = EMD_OK;
    for (size_t i = 0; i < m->band[job].count && status == EMD_OK; i++) {
        const size_t at = m->band[job].first + i;
        status =
            fetch_chunk(m, m->placed[at].chunk, m->slot[slot].fetched + i * m->fetch_unit, err);
        if (is_damage(m, status)) {
            lose_chunk(m, at, err);
            status = EMD_OK;
        }
    }
    return status;
}

/* A band and the target chunks that it touches: the first of them are resident, of the others it is
 * cut into strips. */
struct cut {
    struct emd_window band;
    struct emd_touched touched;
    size_t number; /* of the band in the block */
    size_t whole;  /* chunks of 'touched' that are resident */
};

static void cut_band(const struct mover *m, size_t job, struct cut *cut)
{
    cut->number = (size_t)band_box(m, job, cut->band.origin, cut->band.shape);
    emd_box_touched(&m->target_grid, cut->band.origin, cut->band.shape, &cut->touched);
    for (cut->whole = 0; cut->whole < cut->touched.total; cut->whole++)
        if (target_in_block(m, &cut->touched, cut->whole) >= m->plan->resident)
            break;
}

/* Full size of a strip: the band or the target chunk, whichever is smaller, on each axis. */
static size_t full_strip_bytes(const struct mover *m)
{
    size_t n = m->request->item_size;
    for (unsigned a = 0; a < m->rank; a++)
        n *= (size_t)(m->plan->band[a] < m->request->target[a] ? m->plan->band[a]
                                                               : m->request->target[a]);
    return n;
}

/* Scatters a piece of a band into the resident chunks and the strips that it touches. */
static void scatter_piece(const struct mover *m, const struct cut *cut, const unsigned char *raw,
                          const uint64_t *origin, const uint64_t *shape,
                          struct thread_buffers *buffers)
{
    const size_t strip = full_strip_bytes(m);
    struct emd_touched touched;
    size_t whole = 0;
    emd_box_touched(&m->target_grid, origin, shape, &touched);
    for (size_t k = 0; k < touched.total; k++) {
        size_t target = target_in_block(m, &touched, k);
        bool resident = target < m->plan->resident;
        buffers->pointer[k] = resident ? m->memory + target * m->target_bytes : NULL;
        whole += resident;
    }
    if (whole > 0)
        emd_box_scatter(&m->target_grid, raw, origin, shape, NULL, buffers->pointer);
    if (whole == touched.total)
        return;
    for (size_t k = 0; k < touched.total; k++) {
        uint64_t point[EMD_RANK_MAX];
        unravel(m->rank, touched.count, k, point);
        for (unsigned a = 0; a < m->rank; a++)
            point[a] += touched.first[a] - cut->touched.first[a];
        buffers->pointer[k] =
            k < whole ? NULL
                      : buffers->strips +
                            (ravel(m->rank, cut->touched.count, point) - cut->whole) * strip;
    }
    emd_box_scatter(&m->target_grid, raw, origin, shape, &cut->band, buffers->pointer);
}

/* Reads and scatters a band: the range itself, or its source chunks one by one. */
static enum emd_status scatter_band(struct mover *m, size_t job, const struct cut *cut,
                                    const struct slot_buffers *slot, struct thread_buffers *buffers,
                                    struct emd_error *err)
{
    size_t pieces = m->request->contiguous ? 1 : m->band[job].count;
    for (size_t i = 0; i < pieces; i++) {
        uint64_t origin[EMD_RANK_MAX];
        enum emd_status status = EMD_OK;
        const unsigned char *raw = buffers->raw;
        const uint64_t *shape = m->request->source;
        if (m->request->contiguous) {
            memcpy(origin, cut->band.origin, sizeof origin);
            shape = cut->band.shape;
            size_t n = emd_box_bytes(m->rank, shape, m->request->item_size);
            uint64_t offset = ravel(m->rank, m->request->dims, origin);
            size_t lost;
            status = read_range(m, buffers->raw, n,
                                m->move->address + offset * m->request->item_size, &lost, err);
            if (lost > 0) {
                chunk_failed(m, err->status, origin, err);
                report_damage(m, origin, shape, err);
            }
        } else {
            const size_t at = m->band[job].first + i;
            const struct emd_chunk *chunk = m->placed[at].chunk;
            if (m->lost && m->lost[at])
                continue; /* it could not be fetched */
            chunk_origin(&m->source_grid, chunk->index, origin);
            status = load_chunk(m, buffers, chunk,
                                slot->fetched ? slot->fetched + i * m->fetch_unit : NULL,
                                buffers->raw, &raw, err);
            if (is_damage(m, status)) {
                chunk_failed(m, status, origin, err);
                lose_chunk(m, at, err);
                continue;
            }
        }
        if (status != EMD_OK)
            return chunk_failed(m, status, origin, err);
        scatter_piece(m, cut, raw, origin, shape, buffers);
    }
    return EMD_OK;
}

static enum emd_status block_read(void *ctx, size_t job, unsigned slot_number, unsigned thread,
                                  struct emd_error *err)
{
    struct mover *m = ctx;
    struct thread_buffers *buffers = &m->thread[thread];
    struct slot_buffers *slot = &m->slot[slot_number];
    const size_t strip = full_strip_bytes(m);
    struct cut cut = {0};
    cut_band(m, job, &cut);
    const size_t strips = cut.touched.total - cut.whole;
    if (!m->complete && strips > 0)
        fill_elements(m, buffers->strips, strips * strip);
    enum emd_status status = scatter_band(m, job, &cut, slot, buffers, err);
    slot->size = 0;
    for (size_t i = 0; i < strips && status == EMD_OK; i++) {
        uint64_t origin[EMD_RANK_MAX], shape[EMD_RANK_MAX];
        uint32_t mask;
        emd_box_part(&m->target_grid, &cut.touched, cut.whole + i, cut.band.origin, cut.band.shape,
                     origin, shape);
        size_t n = emd_box_bytes(m->rank, shape, m->request->item_size);
        status =
            emd_pipeline_encode(m->move->strip_pipeline, buffers->work, buffers->strips + i * strip,
                                n, slot->out + slot->size, strip + m->request->strip_overhead,
                                &slot->strip_size[i], &mask, err);
        slot->size += slot->strip_size[i];
    }
    return status;
}

/* Number of a strip in the store. */
static size_t strip_number(const struct mover *m, size_t band, size_t target)
{
    return band * (m->plan->targets - m->plan->resident) + target - m->plan->resident;
}

static enum emd_status block_store(void *ctx, size_t job, unsigned slot_number,
                                   struct emd_error *err)
{
    struct mover *m = ctx;
    const struct slot_buffers *slot = &m->slot[slot_number];
    struct cut cut = {0};
    enum emd_status status = EMD_OK;
    size_t offset = 0;
    cut_band(m, job, &cut);
    for (size_t i = 0; i < cut.touched.total - cut.whole && status == EMD_OK; i++) {
        size_t target = target_in_block(m, &cut.touched, cut.whole + i);
        status = emd_strips_put(m->strips, strip_number(m, cut.number, target), slot->out + offset,
                                slot->strip_size[i], err);
        offset += slot->strip_size[i];
    }
    return status;
}

/* Puts a target chunk together from its strips, at buffers->raw. */
static enum emd_status join_strips(const struct mover *m, size_t target, const uint64_t *chunk,
                                   struct thread_buffers *buffers, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    if (!m->complete || hangs_over(m, chunk))
        fill_elements(m, buffers->raw, m->target_bytes);
    for (uint64_t band = 0; band < m->bands && status == EMD_OK; band++) {
        size_t number = strip_number(m, (size_t)band, target);
        size_t stored = emd_strips_size(m->strips, number);
        if (stored == 0)
            continue;
        uint64_t origin[EMD_RANK_MAX], shape[EMD_RANK_MAX];
        unravel(m->rank, m->band_count, band, origin);
        for (unsigned a = 0; a < m->rank; a++) {
            uint64_t begin = m->block_origin[a] + origin[a] * m->plan->band[a];
            uint64_t end = begin + m->plan->band[a];
            uint64_t last = chunk[a] + m->request->target[a];
            origin[a] = begin > chunk[a] ? begin : chunk[a];
            end = end < last ? end : last;
            shape[a] = (end < m->request->dims[a] ? end : m->request->dims[a]) - origin[a];
        }
        size_t n = emd_box_bytes(m->rank, shape, m->request->item_size);
        const void *data;
        void *const destination[1] = {buffers->raw};
        status = emd_strips_get(m->strips, number, buffers->stored, &data, err);
        if (status == EMD_OK)
            status = emd_pipeline_decode(m->move->strip_pipeline, 0, buffers->work, data, stored,
                                         buffers->strips, n, err);
        if (status == EMD_OK)
            emd_box_scatter(&m->target_grid, buffers->strips, origin, shape, NULL, destination);
    }
    return status;
}

static enum emd_status block_encode(void *ctx, size_t job, unsigned slot, unsigned thread,
                                    struct emd_error *err)
{
    struct mover *m = ctx;
    struct thread_buffers *buffers = &m->thread[thread];
    size_t target = m->todo[job];
    const unsigned char *raw = buffers->raw;
    uint64_t origin[EMD_RANK_MAX];
    enum emd_status status = EMD_OK;
    target_origin(m, target, origin);
    if (target < m->plan->resident)
        raw = m->memory + target * m->target_bytes;
    else
        status = join_strips(m, target, origin, buffers, err);
    if (status == EMD_OK) {
        inspect_chunk(m, origin, raw);
        status = encode_chunk(m, buffers, origin, raw, &m->slot[slot], err);
    }
    return status == EMD_OK ? EMD_OK : chunk_failed(m, status, origin, err);
}

static enum emd_status block_deliver(void *ctx, size_t job, unsigned slot, struct emd_error *err)
{
    struct mover *m = ctx;
    uint64_t origin[EMD_RANK_MAX];
    target_origin(m, m->todo[job], origin);
    return write_chunk(m, origin, &m->slot[slot], err);
}

/* Which target chunks get data; the others stay unwritten. */
static void list_targets(struct mover *m)
{
    memset(m->touched, m->complete, (size_t)m->targets);
    for (size_t job = 0; !m->complete && job < band_jobs(m); job++) {
        for (size_t i = 0; i < m->band[job].count; i++) {
            const size_t at = m->band[job].first + i;
            uint64_t origin[EMD_RANK_MAX];
            struct emd_touched touched;
            if (m->lost && m->lost[at])
                continue;
            chunk_origin(&m->source_grid, m->placed[at].chunk->index, origin);
            emd_box_touched(&m->target_grid, origin, m->request->source, &touched);
            for (size_t k = 0; k < touched.total; k++)
                m->touched[target_in_block(m, &touched, k)] = 1;
        }
    }
    m->todo_count = 0;
    for (size_t target = 0; target < m->targets; target++)
        if (m->touched[target])
            m->todo[m->todo_count++] = target;
}

static enum emd_status move_block(struct mover *m, struct emd_pool *pool, struct emd_error *err)
{
    const struct emd_plan_request *r = m->request;
    const size_t strip = full_strip_bytes(m), strips = emd_plan_strips_a_band(r, m->plan);
    size_t pieces = 1; /* of a band */
    for (unsigned a = 0; a < m->rank && !r->contiguous; a++)
        pieces *= (size_t)(m->plan->band[a] / r->source[a]);
    const struct buffer_sizes reading = {.stored = stored_bytes(m),
                                         .raw = !emd_plan_decodes(r) ? 0
                                                : r->contiguous      ? m->band_bytes
                                                                     : m->source_bytes,
                                         .strips = strips * strip,
                                         .pointers =
                                             emd_plan_touched(r, m->plan->block, m->plan->band),
                                         .fetched = pieces * m->fetch_unit,
                                         .out = strips * (strip + r->strip_overhead),
                                         .strip_sizes = strips,
                                         .slots = m->plan->read_slots};
    const struct buffer_sizes encoding = {.stored = strips ? strip + r->strip_overhead : 0,
                                          .raw = strips ? m->target_bytes : 0,
                                          .verify = r->verify_bytes,
                                          .strips = strips ? strip : 0,
                                          .out = r->target_bound,
                                          .slots = m->plan->slots};
    emd_strips_reset(m->strips);
    list_targets(m);
    for (size_t i = 0; i < m->todo_count && m->todo[i] < m->plan->resident; i++) {
        uint64_t origin[EMD_RANK_MAX];
        target_origin(m, m->todo[i], origin);
        if (!m->complete || hangs_over(m, origin))
            fill_elements(m, m->memory + m->todo[i] * m->target_bytes, m->target_bytes);
    }
    enum emd_status status = make_buffers(m, &reading, err);
    if (status == EMD_OK)
        status = run_pool(m, pool, band_jobs(m), m->fetch_unit > 0, block_read,
                          strips ? block_store : NULL, band_fetch, err);
    free_buffers(m);
    if (m->lost) /* not those that only lost chunks would have touched */
        list_targets(m);
    if (status == EMD_OK)
        status = make_buffers(m, &encoding, err);
    if (status == EMD_OK)
        status = run_pool(m, pool, m->todo_count, false, block_encode, block_deliver, NULL, err);
    free_buffers(m);
    return status;
}

/* Every block that has data. */
static enum emd_status run_blocks(struct mover *m, struct emd_pool *pool, struct emd_error *err)
{
    const struct emd_plan *plan = m->plan;
    size_t resident = plan->resident * m->target_bytes, next = 0;
    m->touched = malloc(plan->targets);
    m->todo = malloc(plan->targets * sizeof *m->todo);
    /* Pages of the usual size: asking for large ones won 0.3 s on a block of 0.7 GB where the
     * machine had them at hand, and lost up to 1.5 s where it had given them back to its host. */
    m->memory = malloc(resident ? resident : 1);
    if (!m->touched || !m->todo || !m->memory)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    enum emd_status status = emd_strips_new(plan->strips_per_block, plan->store_bytes,
                                            m->move->spill_folder, &m->strips, err);
    if (status == EMD_OK && !m->request->contiguous)
        status = place_chunks(m, err);
    if (m->request->contiguous) {
        for (uint64_t block = 0; block < plan->blocks && status == EMD_OK; block++) {
            enter_block(m, block, &next);
            status = move_block(m, pool, err);
        }
    } else {
        while (next < m->placed_count && status == EMD_OK) {
            enter_block(m, m->placed[next].block, &next);
            status = move_block(m, pool, err);
        }
    }
    return status;
}

enum emd_status emd_move_run(const struct emd_move *move, struct emd_pool *pool,
                             struct emd_error *err)
{
    const struct emd_plan_request *r = move->request;
    struct mover m = {.move = move,
                      .request = r,
                      .plan = move->plan,
                      .rank = r->rank,
                      .source_grid = {r->rank, r->item_size, r->dims, r->source},
                      .target_grid = {r->rank, r->item_size, r->dims, r->target},
                      .block_grid = {r->rank, r->item_size, r->dims, move->plan->block},
                      .target_bytes = emd_box_bytes(r->rank, r->target, r->item_size),
                      .band_bytes = emd_box_bytes(r->rank, move->plan->band, r->item_size)};
    enum emd_status status;
    pthread_mutex_init(&m.report, NULL);
    if (!r->contiguous) {
        m.source_bytes = emd_box_bytes(r->rank, r->source, r->item_size);
        m.fetch_unit = emd_plan_fetch_unit(r);
    }
    if (move->plan->kind == EMD_PLAN_SAME_GRID)
        status = run_same_grid(&m, pool, err);
    else
        status = run_blocks(&m, pool, err);
    emd_strips_free(m.strips);
    free(m.memory);
    free(m.touched);
    free(m.todo);
    free(m.placed);
    free(m.lost);
    free(m.band);
    pthread_mutex_destroy(&m.report);
    return status;
}
