/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. Stored chunks are taken as they are where both files mean the same by them; all
 * else goes through H5Dread and H5Dwrite in slices, references translated on the way. */
#include "hdf5/treejob.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/chunks.h"
#include "hdf5/fdfile.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"

static enum emd_status need_buffer(struct emd_job *job, size_t bytes, const char *what,
                                   struct emd_error *err)
{
    if (bytes <= job->buffer_size)
        return EMD_OK;
    if (bytes > job->buffer_bytes && bytes > job->item_bytes)
        return emd_fail(err, EMD_E_BUDGET, "%s of %zu bytes", what, bytes);
    free(job->buffer);
    job->buffer_size = 0;
    job->buffer = malloc(bytes);
    if (!job->buffer)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %s of %zu bytes", what, bytes);
    job->buffer_size = bytes;
    return EMD_OK;
}

/* Gives back what a single large item took. */
static void shrink_buffer(struct emd_job *job)
{
    if (job->buffer_size > job->buffer_bytes) {
        free(job->buffer);
        job->buffer = NULL;
        job->buffer_size = 0;
    }
}

/* Reads that fail while a salvage narrows a fault down to elements, of a dataset; after them, what
 * is left of a piece counts as lost. */
enum { NARROWING_MOST = 2000 };

/* Boxes that may still grow together. */
enum { GROWING_MOST = 8 };

/* A dataset whose values are being moved. */
struct moving {
    struct emd_job *job;
    uint32_t row;
    hid_t src, dst;
    hid_t memory;     /* type in memory */
    hid_t file_space; /* of the source, which is the destination's too */
    hid_t transfer;   /* variable-length data go to the arena; buffers fit what is moved */
    struct emd_values values;
    int rank;
    bool whole_chunks; /* a chunk is read whole or not at all */
    unsigned narrowed; /* reads that failed in a salvage */
    struct lost_box {
        hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX];
        struct emd_error why;
    } * growing; /* the last boxes that it lost */
    int growing_count;
};

static enum emd_status lose_box(struct moving *m, const hsize_t *start, const hsize_t *count,
                                bool is_chunk, enum emd_status status, struct emd_error *err)
{
    uint64_t box[2 * EMD_RANK_MAX];
    const struct emd_loss loss = {
        .kind = EMD_LOSS_DATA, .rank = (unsigned)m->rank, .box = box, .is_chunk = is_chunk};
    for (int i = 0; i < m->rank; i++) {
        box[i] = start[i];
        box[m->rank + i] = count[i];
    }
    return emd_job_lose(m->job, m->row, &loss, status, err);
}

/* Makes one box of two where that is one, lost for the same reason; b comes after a. */
static bool grow_together(int rank, struct lost_box *a, const struct lost_box *b)
{
    int axis = -1;
    for (int i = 0; i < rank; i++)
        if (a->start[i] != b->start[i] || a->count[i] != b->count[i]) {
            if (axis >= 0)
                return false;
            axis = i;
        }
    if (axis < 0 || a->start[axis] + a->count[axis] != b->start[axis] ||
        strcmp(a->why.text, b->why.text) != 0)
        return false;
    a->count[axis] += b->count[axis];
    return true;
}

/* Enters the first 'count' of the boxes that could have grown. */
static enum emd_status enter_boxes(struct moving *m, int count, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    for (int i = 0; i < count && status == EMD_OK; i++) {
        struct lost_box *box = &m->growing[i];
        status = lose_box(m, box->start, box->count, false, box->why.status, &box->why);
        if (status != EMD_OK)
            emd_fail(err, status, "%s", box->why.text);
    }
    if (count > 0)
        memmove(m->growing, m->growing + count,
                (size_t)(m->growing_count - count) * sizeof *m->growing);
    m->growing_count -= count;
    return status;
}

/* A box of elements is lost; neighbours become one. */
static enum emd_status lose_elements(struct moving *m, const hsize_t *start, const hsize_t *count,
                                     enum emd_status status, struct emd_error *err)
{
    const struct emd_error why = *err;
    if (!m->growing)
        m->growing = malloc(GROWING_MOST * sizeof *m->growing);
    if (!m->growing)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (m->growing_count == GROWING_MOST) {
        const enum emd_status entered = enter_boxes(m, 1, err);
        if (entered != EMD_OK)
            return entered;
    }
    struct lost_box *box = &m->growing[m->growing_count++];
    memset(box, 0, sizeof *box);
    if (m->rank > 0) {
        memcpy(box->start, start, (size_t)m->rank * sizeof *start);
        memcpy(box->count, count, (size_t)m->rank * sizeof *count);
    }
    box->why = why;
    box->why.status = status;
    while (m->growing_count > 1 && grow_together(m->rank, &m->growing[m->growing_count - 2],
                                                 &m->growing[m->growing_count - 1]))
        m->growing_count--;
    emd_fdfile_forgive_reads();
    return EMD_OK;
}

/* Moves the box at 'start' of 'count' elements an axis, in one piece. EMD_E_BUDGET: what it refers
 * to does not fit 'limit' bytes. */
static enum emd_status move_box(struct moving *m, const hsize_t *start, const hsize_t *count,
                                size_t elements, size_t limit, struct emd_error *err)
{
    struct emd_job *job = m->job;
    enum emd_status status;
    const size_t bytes = elements * m->values.size;
    hsize_t n = elements;
    hid_t memory_space = H5Screate_simple(1, &n, NULL);
    if (memory_space < 0 || (m->rank > 0 && H5Sselect_hyperslab(m->file_space, H5S_SELECT_SET,
                                                                start, NULL, count, NULL) < 0)) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot select elements");
        goto out;
    }
    status = need_buffer(job, bytes, "an element", err);
    if (status != EMD_OK)
        goto out;
    memset(job->buffer, 0, bytes);
    emd_arena_reset(&job->arena, limit);
    if (!emd_hdf5_fit_buffers(m->transfer, elements, m->values.size)) {
        status = emd_hdf5_fail(err, EMD_E_MEMORY, "cannot set up HDF5");
        goto out;
    }
    if (H5Dread(m->src, m->memory, memory_space, m->file_space, m->transfer, job->buffer) < 0) {
        status = job->arena.refused
                     ? emd_fail(err, EMD_E_BUDGET, "a variable-length value of more than %zu bytes",
                                limit)
                     : emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read its data");
        goto out;
    }
    status = emd_job_translate(job, &m->values, job->buffer, elements, err);
    if (status == EMD_OK &&
        H5Dwrite(m->dst, m->memory, memory_space, m->file_space, m->transfer, job->buffer) < 0) {
        job->stop = true;
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write its data");
    }
out:
    emd_hdf5_close(&memory_space);
    return status;
}

/* Saves what can be read of a box that cannot be read at once: half by half in the order of the
 * elements (no deeper than the bits of its size). */
static enum emd_status salvage_box(struct moving *m, const hsize_t *start, const hsize_t *count,
                                   size_t elements, enum emd_status status, struct emd_error *err)
{
    hsize_t at[EMD_RANK_MAX] = {0}, half[EMD_RANK_MAX] = {0};
    int axis = -1;              /* the first one that can be halved */
    if (status == EMD_E_BUDGET) /* a size that no value of this file has */
        status = EMD_E_CORRUPT;
    if (!m->job->options->losses || m->job->stop || !emd_is_loss(status))
        return status;
    if (m->whole_chunks)
        return lose_box(m, start, count, true, status, err);
    if (elements == 1 || m->narrowed++ >= NARROWING_MOST)
        return lose_elements(m, start, count, status, err);
    for (int i = 0; i < m->rank; i++) {
        at[i] = start[i];
        half[i] = count[i];
        axis = axis < 0 && count[i] > 1 ? i : axis;
    }
    status = EMD_OK;
    for (int part = 0; part < 2 && status == EMD_OK; part++) {
        half[axis] = part == 0 ? count[axis] / 2 : count[axis] - count[axis] / 2;
        at[axis] = start[axis] + (part == 0 ? 0 : count[axis] / 2);
        const size_t n = elements / (size_t)count[axis] * (size_t)half[axis];
        status = emd_job_cancelled(m->job, err);
        if (status == EMD_OK)
            status = move_box(m, at, half, n, m->job->item_bytes, err);
        if (status != EMD_OK && status != EMD_E_CANCELLED)
            status = salvage_box(m, at, half, n, status, err);
    }
    return status;
}

/* Moves a box in pieces of at most 'most' elements: whole inner axes as far as they fit, then a run
 * along one axis, one step along the outer ones. Variable-length values that do not fit make the
 * pieces smaller, down to one element. */
static enum emd_status move_pieces(struct moving *m, const hsize_t *start, const hsize_t *count,
                                   size_t most, struct emd_error *err)
{
    struct emd_job *job = m->job;
    hsize_t at[EMD_RANK_MAX] = {0}, part[EMD_RANK_MAX], first[EMD_RANK_MAX];
    for (int i = 0; i < m->rank; i++)
        if (count[i] == 0)
            return EMD_OK;
    for (;;) {
        /* The piece at 'at' (within the box): grow it from the last axis. An axis that the walk
         * stands inside of is not whole, so that the axes before it stay one step. */
        size_t elements = 1;
        bool whole = true;
        for (int i = m->rank - 1; i >= 0; i--) {
            hsize_t left = count[i] - at[i];
            part[i] = 1;
            if (whole) {
                const size_t fit = elements ? most / elements : 0;
                part[i] = left < fit ? left : (hsize_t)(fit ? fit : 1);
                whole = part[i] == count[i];
            }
            elements *= (size_t)part[i];
            first[i] = start[i] + at[i];
        }
        enum emd_status status = emd_job_cancelled(job, err);
        if (status != EMD_OK)
            return status;
        status = move_box(m, first, part, elements,
                          elements > 1 ? job->buffer_bytes : job->item_bytes, err);
        if (status == EMD_E_BUDGET && elements > 1) {
            most = elements / 2;
            continue;
        }
        if (status != EMD_OK)
            status = salvage_box(m, first, part, elements, status, err);
        if (status != EMD_OK)
            return status;
        int axis = m->rank - 1;
        for (; axis >= 0; axis--) {
            at[axis] += part[axis];
            if (at[axis] < count[axis])
                break;
            at[axis] = 0;
        }
        if (axis < 0)
            return EMD_OK;
    }
}

/* Whether stored chunks mean the same in both files: same chunks, same filters and parameters.
 * Edge chunks that the source leaves unfiltered are stored with a mask that says so. */
static bool same_storage(hid_t src_list, hid_t dst_list)
{
    hsize_t a[EMD_RANK_MAX], b[EMD_RANK_MAX];
    if (H5Pget_layout(src_list) != H5D_CHUNKED || H5Pget_layout(dst_list) != H5D_CHUNKED)
        return false;
    int rank = H5Pget_chunk(src_list, EMD_RANK_MAX, a);
    if (rank < 1 || rank > EMD_RANK_MAX || H5Pget_chunk(dst_list, EMD_RANK_MAX, b) != rank ||
        memcmp(a, b, (size_t)rank * sizeof a[0]) != 0)
        return false;
    int filters = H5Pget_nfilters(src_list);
    if (filters < 0 || H5Pget_nfilters(dst_list) != filters)
        return false;
    for (int i = 0; i < filters; i++) {
        enum { MOST = EMD_FILTER_CD_MOST };
        unsigned flags[2], cd[2][MOST] = {{0}, {0}};
        size_t n[2] = {MOST, MOST};
        H5Z_filter_t id[2] = {
            H5Pget_filter2(src_list, (unsigned)i, &flags[0], &n[0], cd[0], 0, NULL, NULL),
            H5Pget_filter2(dst_list, (unsigned)i, &flags[1], &n[1], cd[1], 0, NULL, NULL)};
        if (id[0] < 0 || id[0] != id[1] || n[0] != n[1] || n[0] > MOST ||
            memcmp(cd[0], cd[1], sizeof cd[0]) != 0)
            return false;
    }
    return true;
}

/* The part of a chunk that lies inside the dataset. */
static void chunk_box(const struct emd_chunk_grid *grid, uint64_t index, hsize_t *start,
                      hsize_t *count)
{
    emd_chunk_offset(grid, index, start);
    for (unsigned k = 0; k < grid->rank; k++)
        count[k] =
            grid->dims[k] - start[k] < grid->chunk[k] ? grid->dims[k] - start[k] : grid->chunk[k];
}

/* Whether the stored chunk in the buffer can be decoded, before it is copied as it is: by our
 * codecs, or where these filters are HDF5's own by reading it. */
static enum emd_status try_chunk(struct moving *m, const struct emd_chunk_grid *grid,
                                 const struct emd_chunk *chunk, uint32_t mask,
                                 const struct emd_pipeline *pipeline, bool ours,
                                 struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX], elements = 1;
    /* Deflate packs a thousandfold at most, and of others these are small data. */
    if (grid->chunk_bytes / 1100 > m->job->item_bytes)
        return emd_fail(err, EMD_E_CORRUPT, "a chunk of %zu bytes", grid->chunk_bytes);
    unsigned char *plain = malloc(grid->chunk_bytes);
    if (!plain)
        return emd_fail(err, EMD_E_MEMORY, "no memory for a chunk of %zu bytes", grid->chunk_bytes);
    if (ours) {
        status = emd_pipeline_decode(pipeline, mask, NULL, m->job->buffer, (size_t)chunk->bytes,
                                     plain, grid->chunk_bytes, err);
    } else {
        chunk_box(grid, chunk->index, start, count);
        for (unsigned k = 0; k < grid->rank; k++)
            elements *= count[k];
        hid_t memory = H5Screate_simple(1, &elements, NULL);
        if (memory < 0 ||
            H5Sselect_hyperslab(m->file_space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
            H5Dread(m->src, m->memory, memory, m->file_space, H5P_DEFAULT, plain) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be decoded");
        emd_hdf5_close(&memory);
    }
    free(plain);
    return status;
}

/* A chunk that the list does not have any more. */
static void lose_listed(void *ctx, const struct emd_chunk_grid *grid, uint64_t index,
                        const struct emd_error *why)
{
    struct moving *m = ctx;
    struct emd_error error = *why;
    hsize_t start[EMD_RANK_MAX] = {0}, count[EMD_RANK_MAX] = {0};
    m->rank = (int)grid->rank;
    if (index != EMD_CHUNK_NO_PLACE)
        chunk_box(grid, index, start, count);
    if (lose_box(m, start, count, true, why->status, &error) != EMD_OK)
        m->job->stop = true;
}

/* *unseen counts the chunks that filters of 'missing' were applied to. */
static enum emd_status copy_stored_chunks(struct moving *m, const struct emd_chunk_list *chunks,
                                          hid_t list, uint32_t missing, uint64_t *unseen,
                                          struct emd_error *err)
{
    struct emd_job *job = m->job;
    struct emd_pipeline pipeline;
    bool ours = false;
    const bool filtered = H5Pget_nfilters(list) > 0;
    const enum emd_status known = emd_filters_get(list, &pipeline, &ours, err);
    if (known != EMD_OK)
        return known;
    for (size_t i = 0; i < chunks->count; i++) {
        const struct emd_chunk *chunk = &chunks->chunk[i];
        hsize_t offset[EMD_RANK_MAX];
        uint32_t mask = 0;
        enum emd_status status = emd_job_cancelled(job, err);
        if (status == EMD_OK && chunk->bytes > job->src_size)
            status = emd_fail(err, EMD_E_CORRUPT, "a chunk larger than the file");
        if (status == EMD_OK)
            status = need_buffer(job, (size_t)chunk->bytes, "a chunk", err);
        if (status == EMD_OK)
            status = emd_chunk_read(m->src, &chunks->grid, chunk, job->buffer, job->buffer_size,
                                    &mask, err);
        if (status == EMD_OK && filtered && (missing & ~mask) == 0)
            status = try_chunk(m, &chunks->grid, chunk, mask, &pipeline, ours, err);
        if (status != EMD_OK && status != EMD_E_CANCELLED) {
            hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX];
            chunk_box(&chunks->grid, chunk->index, start, count);
            status = lose_box(m, start, count, true, status, err);
            if (status == EMD_OK)
                continue;
        }
        if (status != EMD_OK)
            return status;
        *unseen += (missing & ~mask) != 0;
        emd_chunk_offset(&chunks->grid, chunk->index, offset);
        if (H5Dwrite_chunk(m->dst, H5P_DEFAULT, mask, offset, (size_t)chunk->bytes, job->buffer) <
            0) {
            job->stop = true;
            return emd_hdf5_fail(err, EMD_E_IO, "cannot write a chunk");
        }
    }
    return EMD_OK;
}

static enum emd_status move_chunked(struct moving *m, hid_t src_list, size_t most,
                                    struct emd_error *err)
{
    struct emd_job *job = m->job;
    struct emd_chunk_list chunks = {0};
    struct emd_error which = {EMD_OK, ""};
    uint64_t unseen = 0;
    const uint32_t missing = emd_filters_missing(src_list, &which);
    hid_t dst_list = H5Dget_create_plist(m->dst);
    const struct emd_chunk_salvage salvage = {lose_listed, m};
    enum emd_status status =
        emd_chunk_list_salvage(m->src, NULL, EMD_CHUNKS_BY_INDEX, job->item_bytes,
                               job->options->losses ? &salvage : NULL, &chunks, err);
    m->whole_chunks = H5Pget_nfilters(src_list) > 0 && !m->values.variable;
    if (status != EMD_OK)
        goto out;
    /* Plain chunks larger than the buffer need not be taken whole. */
    const bool large =
        H5Pget_nfilters(src_list) == 0 && chunks.grid.chunk_bytes > job->buffer_bytes;
    if (!m->values.variable && !m->values.references && !large && dst_list >= 0 &&
        same_storage(src_list, dst_list)) {
        status = copy_stored_chunks(m, &chunks, src_list, missing, &unseen, err);
        if (status == EMD_OK && unseen > 0)
            emd_job_remark(job, m->row,
                           "%s; its %" PRIu64 " chunk%s copied as stored, without decoding",
                           which.text, unseen, unseen == 1 ? " is" : "s are");
        goto out;
    }
    for (size_t i = 0; i < chunks.count && status == EMD_OK; i++) {
        hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX];
        chunk_box(&chunks.grid, chunks.chunk[i].index, start, count);
        status = move_pieces(m, start, count, most, err);
    }
    if (status == EMD_E_CORRUPT && missing)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "%s", which.text);
out:
    emd_chunk_list_free(&chunks);
    emd_hdf5_close(&dst_list);
    return status;
}

enum emd_status emd_job_copy_data(struct emd_job *job, uint32_t row, hid_t src, hid_t dst,
                                  struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct moving m = {.job = job, .row = row, .src = src, .dst = dst};
    hid_t type = H5Dget_type(src), list = H5Dget_create_plist(src);
    m.memory = type >= 0 ? H5Tcopy(type) : H5I_INVALID_HID;
    m.file_space = H5Dget_space(src);
    m.transfer = H5Pcreate(H5P_DATASET_XFER);
    const H5S_class_t kind =
        m.file_space >= 0 ? H5Sget_simple_extent_type(m.file_space) : H5S_NO_CLASS;
    if (m.memory < 0 || list < 0 || kind == H5S_NO_CLASS || m.transfer < 0 ||
        H5Pset_vlen_mem_manager(m.transfer, emd_arena_alloc, &job->arena, emd_arena_free,
                                &job->arena) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the dataset");
        goto out;
    }
    const hssize_t points = H5Sget_simple_extent_npoints(m.file_space);
    if (kind == H5S_NULL || points == 0)
        goto out;
    status = emd_values_make(m.memory, &m.values, err);
    if (status != EMD_OK)
        goto out;
    m.rank = H5Sget_simple_extent_ndims(m.file_space);
    hsize_t start[EMD_RANK_MAX] = {0}, dims[EMD_RANK_MAX];
    if (points < 0 || m.rank < 0 || m.rank > EMD_RANK_MAX ||
        H5Sget_simple_extent_dims(m.file_space, dims, NULL) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at its dataspace");
        goto out;
    }
    const size_t most = job->buffer_bytes / m.values.size ? job->buffer_bytes / m.values.size : 1;
    if (H5Pget_layout(list) == H5D_CHUNKED)
        status = move_chunked(&m, list, most, err);
    else if (H5Pget_layout(list) == H5D_COMPACT ||
             (H5Pget_layout(list) == H5D_CONTIGUOUS && H5Pget_external_count(list) == 0 &&
              emd_hdf5_is_allocated(src)))
        status = move_pieces(&m, start, dims, most, err);
    if (status == EMD_OK)
        status = enter_boxes(&m, m.growing_count, err);
    emd_job_remark_lost(job, row, "");
out:
    free(m.growing);
    emd_values_free(&m.values);
    shrink_buffer(job);
    emd_arena_reset(&job->arena, 0);
    emd_hdf5_close(&m.transfer);
    emd_hdf5_close(&m.file_space);
    emd_hdf5_close(&m.memory);
    emd_hdf5_close(&list);
    emd_hdf5_close(&type);
    return status;
}
