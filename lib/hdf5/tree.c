/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See tree.h. Two passes over a table of objects that is at the same time the queue of the walk:
 *
 *   1. breadth first through the groups: every object is created without a name and linked where
 *      the source links it; committed types that a dataset needs are made when they are needed;
 *   2. over the table: attributes, then raw data. References can be translated now, for every
 *      object has its new address.
 *
 * Objects are opened by address, never by path: deep trees cost no stack and no repeated look-ups,
 * and an object with many names is one row. H5Ocopy would not do: it cannot change a dataset's
 * storage, and what objects of separate calls share does not stay shared. */
#include "hdf5/tree.h"

#include <stdlib.h>

#include "hdf5/arrays.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/treejob.h"

enum { DEFAULT_BUFFER = 8 << 20, LEAST_BUFFER = 64 << 10 };

static enum emd_status add_root(struct emd_job *job, struct emd_error *err)
{
    struct emd_object object = {.parent = EMD_NOBODY, .type = H5I_GROUP};
    uint32_t row;
    hid_t src = H5Gopen2(job->src, "/", H5P_DEFAULT);
    hid_t dst = H5Gopen2(job->dst, "/", H5P_DEFAULT);
    enum emd_status status;
    if (src < 0 || dst < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot open the root group");
    else if ((status = emd_hdf5_address(src, &object.src, err)) == EMD_OK &&
             (status = emd_hdf5_address(dst, &object.dst, err)) == EMD_OK &&
             (status = emd_job_add(job, &object, &row, err)) == EMD_OK)
        status = emd_job_copy_comment(src, dst, err);
    emd_hdf5_close(&dst);
    emd_hdf5_close(&src);
    return status;
}

/* Attributes and data of one object. */
static enum emd_status fill_object(struct emd_job *job, uint32_t row, struct emd_error *err)
{
    const struct emd_tree_options *options = job->options;
    enum emd_status status = emd_job_cancelled(job, err);
    if (status != EMD_OK || job->objects[row].gone)
        return status;
    if (options->avoid)
        options->avoid->current = job->objects[row].src;
    hid_t src = emd_hdf5_open_address(job->src, job->objects[row].src);
    hid_t dst = emd_hdf5_open_address(job->dst, job->objects[row].dst);
    bool named = false;
    if (src < 0 || dst < 0) {
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot open the object again");
        goto out;
    }
    status = emd_job_copy_attributes(job, row, src, dst, err);
    if (status != EMD_OK || job->objects[row].type != H5I_DATASET)
        goto out;
    if (job->objects[row].copies) {
        named = true; /* the callback was told the path */
        status = options->copy(options->ctx, src, dst, emd_job_path(job, row), err);
    } else {
        status = emd_job_copy_data(job, row, src, dst, err);
    }
    if (status != EMD_OK && !job->stop) {
        status = emd_job_lose(job, row, &(struct emd_loss){.kind = EMD_LOSS_DATA}, status, err);
        named = named && status != EMD_OK;
    }
out:
    if (!emd_hdf5_close(&dst) && status == EMD_OK)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write the object");
    emd_hdf5_close(&src);
    if (status != EMD_OK && status != EMD_E_CANCELLED && !named)
        return emd_job_blame(job, row, status, err);
    return status;
}

static enum emd_status read_bounds(struct emd_job *job, struct emd_error *err)
{
    hid_t access = H5Fget_access_plist(job->dst);
    enum emd_status status = EMD_OK;
    if (access < 0 || H5Pget_libver_bounds(access, &job->low, &job->high) < 0)
        status = emd_hdf5_fail(err, EMD_E_ARGUMENT, "cannot look at the new file");
    emd_hdf5_close(&access);
    return status;
}

enum emd_status emd_tree_copy(hid_t src_file, hid_t dst_file,
                              const struct emd_tree_options *options, struct emd_error *err)
{
    static const struct emd_tree_options defaults;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    hsize_t size = 0;
    struct emd_job job = {.src = src_file,
                          .dst = dst_file,
                          .options = options ? options : &defaults,
                          .link_ascii = H5Pcreate(H5P_LINK_CREATE),
                          .link_utf8 = H5Pcreate(H5P_LINK_CREATE),
                          .attribute_ascii = H5Pcreate(H5P_ATTRIBUTE_CREATE),
                          .attribute_utf8 = H5Pcreate(H5P_ATTRIBUTE_CREATE)};
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status == EMD_OK)
        status = emd_hdf5_mend_arrays(err);
    if (status != EMD_OK)
        goto out;
    if (job.link_ascii < 0 || job.link_utf8 < 0 || job.attribute_ascii < 0 ||
        job.attribute_utf8 < 0 || H5Pset_char_encoding(job.link_ascii, H5T_CSET_ASCII) < 0 ||
        H5Pset_char_encoding(job.link_utf8, H5T_CSET_UTF8) < 0 ||
        H5Pset_char_encoding(job.attribute_ascii, H5T_CSET_ASCII) < 0 ||
        H5Pset_char_encoding(job.attribute_utf8, H5T_CSET_UTF8) < 0 ||
        H5Fget_filesize(src_file, &size) < 0) {
        status = emd_hdf5_fail(err, EMD_E_ARGUMENT, "cannot look at the file");
        goto out;
    }
    job.src_size = size;
    job.names_limit = size < SIZE_MAX ? (size_t)size : SIZE_MAX;
    job.buffer_bytes = job.options->buffer_bytes ? job.options->buffer_bytes : DEFAULT_BUFFER;
    if (job.buffer_bytes < LEAST_BUFFER)
        job.buffer_bytes = LEAST_BUFFER;
    job.item_bytes = job.options->item_bytes ? job.options->item_bytes : job.names_limit;
    status = emd_tree_look_at_file(src_file, &job.shared_messages, &job.address_bytes, err);
    if (status == EMD_OK)
        status = read_bounds(&job, err);
    if (status == EMD_OK)
        status = add_root(&job, err);
    job.walking = true;
    for (size_t i = 0; i < job.count && status == EMD_OK; i++)
        if (job.objects[i].type == H5I_GROUP && !job.objects[i].gone)
            status = emd_job_copy_links(&job, (uint32_t)i, err);
    job.walking = false;
    /* Types without a name may join the table while attributes that use them are made. */
    for (size_t i = 0; i < job.count && status == EMD_OK; i++)
        status = fill_object(&job, (uint32_t)i, err);
out:
    emd_arena_end(&job.arena);
    free(job.buffer);
    emd_job_free_table(&job);
    emd_filters_end_stand_ins();
    emd_hdf5_close(&job.attribute_utf8);
    emd_hdf5_close(&job.attribute_ascii);
    emd_hdf5_close(&job.link_utf8);
    emd_hdf5_close(&job.link_ascii);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
