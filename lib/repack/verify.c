/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See verify.h. */
#include "repack/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hdf5/compare.h"
#include "hdf5/fdfile.h"
#include "hdf5/filters.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "repack/box.h"

struct verifier {
    const struct emd_verification *verification;
    const struct emd_dataset **moved; /* by address */
    struct emd_source output;         /* as much of one as chunks.h asks for */
};

static int by_address(const void *a, const void *b)
{
    const struct emd_dataset *x = *(const struct emd_dataset *const *)a;
    const struct emd_dataset *y = *(const struct emd_dataset *const *)b;
    return x->address < y->address ? -1 : x->address > y->address;
}

static int compare_addresses(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static const struct emd_dataset *find_dataset(const struct verifier *v, uint64_t address)
{
    const struct emd_dataset key = {.address = address}, *wanted = &key;
    const struct emd_dataset **found =
        v->verification->count == 0
            ? NULL
            : bsearch(&wanted, v->moved, v->verification->count, sizeof *v->moved, by_address);
    return found ? *found : NULL;
}

static bool is_changed(const struct verifier *v, uint64_t address)
{
    return v->verification->changed_count > 0 &&
           bsearch(&address, v->verification->changed, v->verification->changed_count,
                   sizeof address, compare_addresses);
}

/* ---- storage ---- */

/* Whether a dataset that the engine moved has the chunks and filters that were decided. */
static bool is_as_decided(const struct emd_dataset *d, hid_t list)
{
    struct emd_pipeline pipeline;
    hsize_t chunk[EMD_RANK_MAX];
    bool ours = false;
    if (H5Pget_layout(list) != H5D_CHUNKED ||
        H5Pget_chunk(list, EMD_RANK_MAX, chunk) != (int)d->request.rank ||
        emd_filters_get(list, &pipeline, &ours, NULL) != EMD_OK || !ours ||
        !emd_pipeline_equal(&pipeline, &d->target))
        return false;
    for (unsigned a = 0; a < d->request.rank; a++)
        if (chunk[a] != d->request.target[a])
            return false;
    return true;
}

static bool has_data_elsewhere(hid_t list)
{
    return H5Pget_layout(list) == H5D_VIRTUAL || H5Pget_external_count(list) > 0;
}

/* Whether a dataset that was copied as it is stores its data in the same way. */
static bool is_stored_alike(hid_t a, hid_t b)
{
    hsize_t chunk[2][H5S_MAX_RANK] = {{0}};
    if (has_data_elsewhere(a))
        return true; /* or was gathered from there */
    if (H5Pget_layout(a) != H5Pget_layout(b) || !emd_filters_same(a, b))
        return false;
    return H5Pget_layout(a) != H5D_CHUNKED ||
           (H5Pget_chunk(a, H5S_MAX_RANK, chunk[0]) == H5Pget_chunk(b, H5S_MAX_RANK, chunk[1]) &&
            memcmp(chunk[0], chunk[1], sizeof chunk[0]) == 0);
}

/* ---- chunks ---- */

/* The chunks that the finished file lists are those that were written. */
static enum emd_status check_chunk_list(struct verifier *v, const struct emd_dataset *d, hid_t b,
                                        char *difference, size_t size, struct emd_error *err)
{
    struct emd_chunk_list list;
    struct emd_written found = {0};
    enum emd_status status = emd_chunk_list_get(b, &v->output, EMD_CHUNKS_BY_INDEX, 0, &list, err);
    if (status != EMD_OK)
        return status;
    for (size_t i = 0; i < list.count; i++)
        emd_written_add(&found, list.chunk[i].index, list.chunk[i].bytes, list.chunk[i].mask);
    if (found.count != d->written.count)
        snprintf(difference, size, "has %" PRIu64 " chunks instead of %" PRIu64, found.count,
                 d->written.count);
    else if (found.sizes != d->written.sizes ||
             (list.has_addresses && found.masks != d->written.masks))
        snprintf(difference, size, "lists other chunks than were written");
    emd_chunk_list_free(&list);
    return EMD_OK;
}

/* Reads the part of one chunk that lies inside the dataset and holds it against its hash. */
static enum emd_status verify_chunk(const struct emd_dataset *d, const struct emd_chunk_hash *chunk,
                                    hid_t id, hid_t type, hid_t space, unsigned char *buffer,
                                    struct emd_error *err)
{
    const struct emd_plan_request *r = &d->request;
    const struct emd_grid grid = {r->rank, r->item_size, r->dims, r->target};
    uint64_t origin[EMD_RANK_MAX], rest = chunk->index;
    hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX], whole[EMD_RANK_MAX], zero[EMD_RANK_MAX] = {0};
    for (unsigned a = r->rank; a-- > 0;) {
        uint64_t chunks = (r->dims[a] + r->target[a] - 1) / r->target[a];
        origin[a] = rest % chunks * r->target[a];
        rest /= chunks;
        start[a] = origin[a];
        whole[a] = r->target[a];
        count[a] = r->dims[a] - origin[a] < r->target[a] ? r->dims[a] - origin[a] : r->target[a];
    }
    enum emd_status status = EMD_OK;
    hid_t memory = H5Screate_simple((int)r->rank, whole, NULL);
    if (memory < 0 || H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Sselect_hyperslab(memory, H5S_SELECT_SET, zero, NULL, count, NULL) < 0 ||
        H5Dread(id, type, memory, space, H5P_DEFAULT, buffer) < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be read back");
    else if (emd_box_hash(&grid, origin, buffer) != chunk->hash)
        status = emd_fail(err, EMD_E_VERIFY, "does not read back as it was written");
    emd_hdf5_close(&memory);
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "chunk %" PRIu64, chunk->index);
}

static enum emd_status read_chunks_back(const struct emd_dataset *d, hid_t b, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hid_t type = H5Dget_type(b), space = H5Dget_space(b);
    unsigned char *buffer =
        malloc(emd_box_bytes(d->request.rank, d->request.target, d->request.item_size));
    if (!buffer)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else if (type < 0 || space < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be inspected");
    for (size_t i = 0; i < d->hashes && status == EMD_OK; i++, emd_guard_progress())
        status = verify_chunk(d, &d->hash[i], b, type, space, buffer, err);
    free(buffer);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    return status;
}

static enum emd_status verify_dataset(void *ctx, const struct emd_compare_pair *pair,
                                      bool *compared, char *difference, size_t size,
                                      struct emd_error *err)
{
    struct verifier *v = ctx;
    const struct emd_dataset *d = find_dataset(v, pair->address);
    enum emd_status status = EMD_OK;
    H5D_fill_time_t when[2];
    hid_t list[2] = {H5Dget_create_plist(pair->a), H5Dget_create_plist(pair->b)};
    if (list[0] < 0 || list[1] < 0 || H5Pget_fill_time(list[0], &when[0]) < 0 ||
        H5Pget_fill_time(list[1], &when[1]) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has properties that cannot be read");
    else if (d ? !is_as_decided(d, list[1])
               : !is_changed(v, pair->address) && !is_stored_alike(list[0], list[1]))
        snprintf(difference, size, "has other chunks or filters");
    else if (when[0] != when[1])
        snprintf(difference, size, "has another time of filling");
    emd_hdf5_close(&list[0]);
    emd_hdf5_close(&list[1]);
    if (!d || status != EMD_OK || *difference)
        return status;
    *compared = true;
    status = check_chunk_list(v, d, pair->b, difference, size, err);
    if (status == EMD_OK && !*difference && v->verification->all)
        status = read_chunks_back(d, pair->b, err);
    return status;
}

/* ---- the file ---- */

static enum emd_status open_output(struct verifier *v, struct emd_error *err)
{
    struct stat st;
    enum emd_status status = EMD_OK;
    hid_t access = emd_fdfile_access(v->verification->fd);
    v->output.user_block = v->verification->source->user_block;
    v->output.fd = v->verification->fd;
    if (fstat(v->output.fd, &st) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot tell its size");
    /* No chunk cache: every chunk is read once. */
    else if (access < 0 || H5Pset_cache(access, 0, 0, 0, 0) < 0)
        status = emd_hdf5_fail(err, EMD_E_MEMORY, "cannot set up HDF5");
    else if ((v->output.file = H5Fopen("output", H5F_ACC_RDONLY, access)) < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be opened");
    else
        v->output.id.size = st.st_size;
    emd_hdf5_close(&access);
    return status;
}

static const char *rename_file(void *ctx, const char *path, const char *file)
{
    const struct verifier *v = ctx;
    return v->verification->rename_file(v->verification->ctx, path, file);
}

static enum emd_status verify(struct verifier *v, struct emd_error *err)
{
    const struct emd_verification *job = v->verification;
    const struct emd_compare_options options = {
        .ctx = v,
        .dataset = verify_dataset,
        .omit_root_attribute = {job->omit_root_attribute[0], job->omit_root_attribute[1]},
        .rename_file = job->rename_file ? rename_file : NULL,
        .losses = job->losses};
    enum emd_status status = EMD_OK;
    v->moved = malloc((job->count + 1) * sizeof *v->moved);
    if (!v->moved)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < job->count; i++)
        v->moved[i] = job->dataset[i];
    qsort(v->moved, job->count, sizeof *v->moved, by_address);
    status = open_output(v, err);
    if (status == EMD_OK)
        status = emd_tree_compare(job->source->file, v->output.file, &options, err);
    emd_hdf5_close(&v->output.file);
    free(v->moved);
    return status;
}

static void work(void *ctx, void *answer)
{
    struct verifier v = {.verification = ctx, .output = {.file = H5I_INVALID_HID, .fd = -1}};
    struct emd_error *err = answer;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    err->status = verify(&v, err);
    emd_hdf5_quiet_end(&quiet);
}

/* Whether it is the machine that failed, and not the file. */
static bool is_trouble(enum emd_status status)
{
    return status == EMD_E_IO || status == EMD_E_MEMORY || status == EMD_E_CANCELLED;
}

enum emd_status emd_verify_file(const struct emd_verification *verification, struct emd_error *err)
{
    struct emd_error said = {EMD_OK, ""}, local = {EMD_OK, ""};
    struct stat st;
    const bool known = fstat(verification->fd, &st) == 0;
    const struct emd_guard guard = {.file_bytes = known ? (uint64_t)st.st_size : 0,
                                    .work = work,
                                    .ctx = (void *)verification,
                                    .answer = &said,
                                    .answer_bytes = sizeof said,
                                    .cancelled = verification->cancelled,
                                    .cancel_ctx = verification->ctx};
    err = err ? err : &local;
    enum emd_status status = emd_guard_run(&guard, err);
    if (status == EMD_OK && said.status == EMD_OK)
        return EMD_OK;
    if (status == EMD_OK)
        status = emd_fail(err, said.status, "%s", said.text);
    if (!is_trouble(status))
        status = EMD_E_VERIFY;
    return status == EMD_E_CANCELLED ? status
                                     : emd_fail_prefix(err, status, "the output, read back");
}
