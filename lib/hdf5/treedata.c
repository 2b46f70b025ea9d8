/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. Stored chunks are taken as they are where both files mean the same by them; all
 * else goes through H5Dread and H5Dwrite in slices, references translated on the way. */
#include "hdf5/treejob.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/chunks.h"
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

/* A dataset whose values are being moved. */
struct moving {
    struct emd_job *job;
    uint32_t row;
    hid_t src, dst;
    hid_t memory;     /* type in memory */
    hid_t file_space; /* of the source, which is the destination's too */
    hid_t transfer;   /* variable-length data go to the arena */
    struct emd_values values;
    int rank;
};

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
    if (H5Dread(m->src, m->memory, memory_space, m->file_space, m->transfer, job->buffer) < 0) {
        status = job->arena.refused
                     ? emd_fail(err, EMD_E_BUDGET, "a variable-length value of more than %zu bytes",
                                limit)
                     : emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read its data");
        goto out;
    }
    status = emd_job_translate(job, &m->values, job->buffer, elements, err);
    if (status == EMD_OK &&
        H5Dwrite(m->dst, m->memory, memory_space, m->file_space, H5P_DEFAULT, job->buffer) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write its data");
out:
    emd_hdf5_close(&memory_space);
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

/* *unseen counts the chunks that filters of 'missing' were applied to. */
static enum emd_status copy_stored_chunks(struct moving *m, const struct emd_chunk_list *chunks,
                                          uint32_t missing, uint64_t *unseen, struct emd_error *err)
{
    struct emd_job *job = m->job;
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
        if (status != EMD_OK)
            return status;
        *unseen += (missing & ~mask) != 0;
        emd_chunk_offset(&chunks->grid, chunk->index, offset);
        if (H5Dwrite_chunk(m->dst, H5P_DEFAULT, mask, offset, (size_t)chunk->bytes, job->buffer) <
            0)
            return emd_hdf5_fail(err, EMD_E_IO, "cannot write a chunk");
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
    enum emd_status status =
        emd_chunk_list_get(m->src, NULL, EMD_CHUNKS_BY_INDEX, job->item_bytes, &chunks, err);
    if (status != EMD_OK)
        goto out;
    /* Plain chunks larger than the buffer need not be taken whole. */
    const bool large =
        H5Pget_nfilters(src_list) == 0 && chunks.grid.chunk_bytes > job->buffer_bytes;
    if (!m->values.variable && !m->values.references && !large && dst_list >= 0 &&
        same_storage(src_list, dst_list)) {
        status = copy_stored_chunks(m, &chunks, missing, &unseen, err);
        if (status == EMD_OK && unseen > 0)
            emd_job_remark(job, m->row,
                           "%s; its %" PRIu64 " chunk%s copied as stored, without decoding",
                           which.text, unseen, unseen == 1 ? " is" : "s are");
        goto out;
    }
    for (size_t i = 0; i < chunks.count && status == EMD_OK; i++) {
        const struct emd_chunk_grid *grid = &chunks.grid;
        hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX];
        emd_chunk_offset(grid, chunks.chunk[i].index, start);
        for (unsigned k = 0; k < grid->rank; k++)
            count[k] = grid->dims[k] - start[k] < grid->chunk[k] ? grid->dims[k] - start[k]
                                                                 : grid->chunk[k];
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
    emd_job_remark_lost(job, row, "");
out:
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
