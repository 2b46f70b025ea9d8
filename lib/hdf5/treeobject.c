/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. Objects without links, attributes and data yet. */
#include "hdf5/treejob.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/chunks.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"

enum emd_status emd_job_map_type(struct emd_job *job, hid_t src, hid_t *dst, struct emd_error *err)
{
    *dst = H5I_INVALID_HID;
    htri_t committed = H5Tcommitted(src);
    if (committed < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at a datatype");
    if (!committed) {
        *dst = emd_fresh_type(src);
        return *dst < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot copy a datatype") : EMD_OK;
    }
    uint64_t address;
    enum emd_status status = emd_hdf5_address(src, &address, err);
    if (status != EMD_OK)
        return status;
    uint32_t row = emd_job_find(job, address);
    if (row == EMD_NOBODY)
        /* Named later by a link, or never: the object that uses it keeps it alive. */
        return emd_job_make_object(job, src, address, EMD_NOBODY, NULL, &row, dst, err);
    if (job->objects[row].type != H5I_DATATYPE)
        return emd_fail(err, EMD_E_CORRUPT, "a committed datatype is another kind of object");
    *dst = emd_hdf5_open_address(job->dst, job->objects[row].dst);
    return *dst < 0 ? emd_hdf5_fail(err, EMD_E_IO, "cannot open the new datatype") : EMD_OK;
}

enum emd_status emd_job_copy_comment(hid_t src, hid_t dst, struct emd_error *err)
{
    char small[256];
    char *comment = small;
    enum emd_status status = EMD_OK;
    ssize_t n = H5Oget_comment(src, small, sizeof small);
    if (n == 0)
        return EMD_OK;
    if (n < 0 || n > 65536) /* a message of an object header */
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read its comment");
    if ((size_t)n >= sizeof small) {
        comment = malloc((size_t)n + 1);
        if (!comment)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        if (H5Oget_comment(src, comment, (size_t)n + 1) != n)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read its comment");
        comment[n] = '\0';
    }
    if (status == EMD_OK && H5Oset_comment(dst, comment) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write its comment");
    if (comment != small)
        free(comment);
    return status;
}

/* Lets the next object have the format of HDF5 1.8 if it needs it; the caller resets the bounds if
 * *raised, also on failure. */
static enum emd_status raise_format(struct emd_job *job, hid_t src, hid_t list, bool *raised,
                                    struct emd_error *err)
{
    if (job->low >= H5F_LIBVER_V18)
        return EMD_OK;
    const enum emd_status status =
        emd_tree_needs_new_header(src, list, job->shared_messages, raised, err);
    if (status == EMD_OK && *raised && !emd_job_set_bounds(job, H5F_LIBVER_V18, job->high))
        return emd_hdf5_fail(err, EMD_E_IO, "cannot raise the format's version");
    return status;
}

static enum emd_status make_group(struct emd_job *job, hid_t src, hid_t *dst, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    bool raise = false;
    hid_t of = H5Gget_create_plist(src), list = H5Pcreate(H5P_GROUP_CREATE);
    if (of < 0 || list < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
        goto out;
    }
    status = emd_tree_set_group_properties(of, list, err);
    if (status == EMD_OK)
        status = raise_format(job, src, list, &raise, err);
    if (status != EMD_OK)
        goto out;
    *dst = H5Gcreate_anon(job->dst, list, H5P_DEFAULT);
    if (*dst < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot create the group");
out:
    if (raise)
        emd_job_reset_bounds(job);
    emd_hdf5_close(&list);
    emd_hdf5_close(&of);
    return status;
}

static enum emd_status make_type(struct emd_job *job, hid_t src, hid_t *dst, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    bool raise = false;
    hid_t list = H5I_INVALID_HID, of = H5Tget_create_plist(src);
    hid_t type = emd_fresh_type(src);
    if (of < 0 || type < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the datatype");
        goto out;
    }
    status = emd_fresh_type_list(of, &list, err);
    if (status != EMD_OK)
        goto out;
    status = raise_format(job, src, list, &raise, err);
    if (status != EMD_OK)
        goto out;
    if (H5Tcommit_anon(job->dst, type, list, H5P_DEFAULT) < 0) {
        /* A kind of type newer than the bounds. */
        raise = true;
        if (!emd_job_set_bounds(job, job->low, H5F_LIBVER_LATEST) ||
            H5Tcommit_anon(job->dst, type, list, H5P_DEFAULT) < 0) {
            status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot commit the datatype");
            goto out;
        }
    }
    *dst = type;
    type = H5I_INVALID_HID;
out:
    if (raise)
        emd_job_reset_bounds(job);
    emd_hdf5_close(&type);
    emd_hdf5_close(&list);
    emd_hdf5_close(&of);
    return status;
}

/* An early allocation that did not happen: only an empty dataset can say so. */
static enum emd_status check_never_allocated(hid_t src, struct emd_error *err)
{
    hid_t space = H5Dget_space(src);
    const hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    emd_hdf5_close(&space);
    return points == 0 ? EMD_OK : emd_fail(err, EMD_E_CORRUPT, "its data were never allocated");
}

/* Refuses what would make HDF5 write far more than the source holds, or lies elsewhere. */
static enum emd_status check_layout(struct emd_job *job, hid_t src, hid_t list,
                                    struct emd_error *err)
{
    H5D_alloc_time_t alloc;
    H5D_layout_t layout = H5Pget_layout(list);
    int external = layout == H5D_CONTIGUOUS ? H5Pget_external_count(list) : 0;
    if (layout == H5D_LAYOUT_ERROR || external < 0 || H5Pget_alloc_time(list, &alloc) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
    if (layout == H5D_VIRTUAL || external > 0)
        return EMD_OK; /* no data here */
    if (layout == H5D_CONTIGUOUS) {
        /* Counted from the start of the file, but by 1.10 from before a user block where there is
         * no address: is_allocated knows. */
        const haddr_t at = H5Dget_offset(src);
        const hsize_t bytes = H5Dget_storage_size(src);
        const bool allocated = emd_hdf5_is_allocated(src);
        if (allocated && (bytes > job->src_size || at > job->src_size - bytes))
            return emd_fail(err, EMD_E_INCOMPLETE, "its data lie behind the end of the file");
        if (!allocated && alloc == H5D_ALLOC_TIME_EARLY)
            return check_never_allocated(src, err);
    }
    if (layout == H5D_CHUNKED && alloc == H5D_ALLOC_TIME_EARLY && !job->options->losses) {
        /* All chunks are there, or HDF5 would make up the missing ones. */
        struct emd_chunk_grid grid;
        hsize_t stored = 0;
        enum emd_status status = emd_chunk_grid_get(src, &grid, err);
        if (status != EMD_OK)
            return status;
        hid_t space = H5Dget_space(src);
        if (grid.total > 0 && H5Dget_num_chunks(src, space, &stored) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot count the chunks");
        else if (stored != grid.total)
            status =
                emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " of its %" PRIu64 " chunks were allocated",
                         (uint64_t)stored, grid.total);
        emd_hdf5_close(&space);
        return status;
    }
    return EMD_OK;
}

/* Data that are not in the file are not in its copy. */
static void remark_elsewhere(struct emd_job *job, uint32_t row, hid_t list)
{
    size_t sources = 0;
    const int files = H5Pget_layout(list) == H5D_CONTIGUOUS ? H5Pget_external_count(list) : 0;
    if (files > 0)
        emd_job_remark(job, row,
                       "its data stay in %d other file%s, which the copy names as the source does",
                       files, files == 1 ? "" : "s");
    else if (H5Pget_layout(list) == H5D_VIRTUAL && H5Pget_virtual_count(list, &sources) >= 0)
        emd_job_remark(job, row,
                       "a virtual dataset: its data stay in %zu other dataset%s, which the copy "
                       "names as the source does",
                       sources, sources == 1 ? "" : "s");
}

static enum emd_status make_dataset(struct emd_job *job, hid_t src, uint32_t row, hid_t *dst,
                                    bool *copies, struct emd_error *err)
{
    const struct emd_tree_options *options = job->options;
    enum emd_status status;
    bool raise = false;
    H5D_alloc_time_t alloc;
    hid_t dst_type = H5I_INVALID_HID, list = H5I_INVALID_HID, of = H5Dget_create_plist(src);
    hid_t type = H5Dget_type(src), old_space = H5Dget_space(src);
    hid_t space = old_space < 0 ? H5I_INVALID_HID : emd_fresh_space(old_space);
    if (type < 0 || space < 0 || of < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the dataset");
        goto out;
    }
    status = check_layout(job, src, of, err);
    if (status == EMD_OK)
        status = emd_job_map_type(job, type, &dst_type, err);
    if (status == EMD_OK)
        status = emd_fresh_dataset_list(job, of, type, &list, err);
    if (status != EMD_OK)
        goto out;
    /* Chunks that are lost must not be made up, nor as many as a damaged extent has. */
    if (options->losses && H5Pget_layout(list) == H5D_CHUNKED &&
        (H5Pget_alloc_time(list, &alloc) < 0 ||
         (alloc == H5D_ALLOC_TIME_EARLY && H5Pset_alloc_time(list, H5D_ALLOC_TIME_INCR) < 0))) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
        goto out;
    }
    if (options->choose) {
        status = options->choose(options->ctx, src, emd_job_path(job, row), list, copies, err);
        /* what is asked of the new file and cannot be is no fault of this one */
        job->stop = status != EMD_OK && status != EMD_E_CORRUPT && status != EMD_E_INCOMPLETE &&
                    status != EMD_E_IO;
        if (status != EMD_OK)
            goto out;
    }
    status = raise_format(job, src, list, &raise, err);
    if (status != EMD_OK)
        goto out;
    emd_filters_let_stand_ins_pass(true);
    *dst = H5Dcreate_anon(job->dst, dst_type, space, list, H5P_DEFAULT);
    if (*dst < 0) {
        struct emd_error first = {EMD_OK, ""};
        emd_hdf5_fail(&first, EMD_E_UNSUPPORTED, "cannot create the dataset");
        /* A kind of type or space newer than the bounds. */
        H5F_libver_t low = raise ? H5F_LIBVER_V18 : job->low;
        raise = true;
        if (emd_job_set_bounds(job, low, H5F_LIBVER_LATEST))
            *dst = H5Dcreate_anon(job->dst, dst_type, space, list, H5P_DEFAULT);
        if (*dst < 0)
            status = emd_fail(err, EMD_E_UNSUPPORTED, "%s", first.text);
    }
    emd_filters_let_stand_ins_pass(false);
    if (status == EMD_OK)
        remark_elsewhere(job, row, of);
out:
    if (raise)
        emd_job_reset_bounds(job);
    emd_hdf5_close(&dst_type);
    emd_hdf5_close(&list);
    emd_hdf5_close(&of);
    emd_hdf5_close(&space);
    emd_hdf5_close(&old_space);
    emd_hdf5_close(&type);
    return status;
}

enum emd_status emd_job_make_object(struct emd_job *job, hid_t src, uint64_t address,
                                    uint32_t parent, const char *name, uint32_t *row, hid_t *dst,
                                    struct emd_error *err)
{
    struct emd_object object = {.src = address, .parent = parent, .type = H5Iget_type(src)};
    enum emd_status status = EMD_OK;
    *dst = H5I_INVALID_HID;
    if (name)
        status = emd_job_keep_name(job, name, &object.name, err);
    if (status == EMD_OK)
        status = emd_job_add(job, &object, row, err);
    if (status != EMD_OK)
        return status;

    uint64_t new_address = 0;
    bool copies = false;
    switch (object.type) {
    case H5I_GROUP:
        status = make_group(job, src, dst, err);
        break;
    case H5I_DATATYPE:
        status = make_type(job, src, dst, err);
        break;
    case H5I_DATASET:
        status = make_dataset(job, src, *row, dst, &copies, err);
        break;
    default:
        status = emd_fail(err, EMD_E_UNSUPPORTED, "an object of an unknown kind");
        break;
    }
    if (status == EMD_OK)
        status = emd_hdf5_address(*dst, &new_address, err);
    if (status == EMD_OK) {
        status = emd_job_copy_comment(src, *dst, err);
        if (status != EMD_OK)
            status =
                emd_job_lose(job, *row, &(struct emd_loss){.kind = EMD_LOSS_COMMENT}, status, err);
    }
    if (status != EMD_OK) {
        job->objects[*row].gone = true;
        emd_hdf5_close(dst);
        return emd_job_blame(job, *row, status, err);
    }
    job->objects[*row].dst = new_address; /* the table may have moved meanwhile */
    job->objects[*row].copies = copies;
    return EMD_OK;
}
