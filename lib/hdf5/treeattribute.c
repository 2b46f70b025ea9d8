/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. */
#include "hdf5/treejob.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/h5call.h"

static enum emd_status copy_attribute_value(struct emd_job *job, hid_t src, hid_t dst, hid_t type,
                                            hid_t space, struct emd_error *err)
{
    enum emd_status status;
    struct emd_values values = {0};
    uint64_t bytes;
    void *data = NULL;
    hid_t memory = H5Tcopy(type);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (memory < 0 || count < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at its type");
        goto out;
    }
    status = emd_values_make(memory, &values, err);
    if (status != EMD_OK || count == 0)
        goto out;
    if (__builtin_mul_overflow((uint64_t)count, (uint64_t)values.size, &bytes) ||
        bytes > job->item_bytes) {
        status = emd_fail(err, EMD_E_CORRUPT, "it claims to be larger than the file");
        goto out;
    }
    data = calloc(1, (size_t)bytes);
    if (!data) {
        status = emd_fail(err, EMD_E_MEMORY, "no memory for %" PRIu64 " bytes", bytes);
        goto out;
    }
    if (H5Aread(src, memory, data) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read it");
        goto out;
    }
    status = emd_job_translate(job, &values, data, (size_t)count, err);
    if (status == EMD_OK && H5Awrite(dst, memory, data) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write it");
    if (values.variable)
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, data);
out:
    free(data);
    emd_values_free(&values);
    emd_hdf5_close(&memory);
    return status;
}

static enum emd_status copy_attribute(struct emd_job *job, uint32_t row, hid_t object,
                                      hid_t new_object, const char *name, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hid_t dst = H5I_INVALID_HID, dst_type = H5I_INVALID_HID;
    hid_t src = H5Aopen(object, name, H5P_DEFAULT);
    hid_t type = src >= 0 ? H5Aget_type(src) : H5I_INVALID_HID;
    hid_t old_space = src >= 0 ? H5Aget_space(src) : H5I_INVALID_HID;
    hid_t space = old_space >= 0 ? emd_fresh_space(old_space) : H5I_INVALID_HID;
    H5A_info_t info;
    if (type < 0 || space < 0 || H5Aget_info(src, &info) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at it");
        goto out;
    }
    status = emd_job_map_type(job, type, &dst_type, err);
    if (status != EMD_OK)
        goto out;
    hid_t list = info.cset == H5T_CSET_UTF8 ? job->attribute_utf8 : job->attribute_ascii;
    dst = H5Acreate2(new_object, name, dst_type, space, list, H5P_DEFAULT);
    if (dst < 0) {
        struct emd_error first = {EMD_OK, ""};
        emd_hdf5_fail(&first, EMD_E_UNSUPPORTED, "cannot create it");
        if (emd_job_set_bounds(job, job->low, H5F_LIBVER_LATEST))
            dst = H5Acreate2(new_object, name, dst_type, space, list, H5P_DEFAULT);
        emd_job_reset_bounds(job);
        if (dst < 0) {
            status = emd_fail(err, EMD_E_UNSUPPORTED, "%s", first.text);
            goto out;
        }
    }
    if (H5Sget_simple_extent_type(space) != H5S_NULL)
        status = copy_attribute_value(job, src, dst, type, space, err);
    if (job->lost > 0) {
        char what[256];
        snprintf(what, sizeof what, "attribute '%.200s': ", name);
        emd_job_remark_lost(job, row, what);
    }
out:
    if (!emd_hdf5_close(&dst) && status == EMD_OK)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write it");
    emd_hdf5_close(&dst_type);
    emd_hdf5_close(&space);
    emd_hdf5_close(&old_space);
    emd_hdf5_close(&type);
    emd_hdf5_close(&src);
    if (status != EMD_OK) {
        const struct emd_loss loss = {.kind = EMD_LOSS_ATTRIBUTE, .name = (char *)name};
        status = emd_job_lose(job, row, &loss, status, err);
        if (status == EMD_OK && H5Aexists(new_object, name) > 0 && H5Adelete(new_object, name) < 0)
            status = emd_hdf5_fail(err, EMD_E_IO, "cannot take it away again");
    }
    if (status != EMD_OK)
        emd_fail_prefix(err, status, "attribute '%.200s'", name);
    return status;
}

static herr_t list_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
    (void)object;
    struct emd_listing *listing = data;
    listing->status = emd_roster_add(&listing->roster, name,
                                     info->corder_valid ? (int64_t)info->corder : 0, listing->err);
    return listing->status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

enum emd_status emd_job_copy_attributes(struct emd_job *job, uint32_t row, hid_t src, hid_t dst,
                                        struct emd_error *err)
{
    struct emd_listing listing = {.roster = {.limit = job->names_limit}, .err = err};
    const char *omit = row == 0 ? job->options->omit_root_attribute : NULL;
    enum emd_status status = EMD_OK;
    if (H5Aiterate2(src, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_attribute, &listing) < 0) {
        status = listing.status != EMD_OK
                     ? listing.status
                     : emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot list the attributes");
        status =
            emd_job_lose(job, row, &(struct emd_loss){.kind = EMD_LOSS_ATTRIBUTES}, status, err);
        if (status != EMD_OK)
            goto out;
    }
    /* Where no order was tracked, the native one is that of their making as long as they lie in the
     * object's header. */
    emd_roster_sort(&listing.roster);
    for (size_t i = 0; i < listing.roster.count && status == EMD_OK; i++) {
        const char *name = emd_roster_name(&listing.roster, i);
        if (!omit || strcmp(name, omit) != 0)
            status = copy_attribute(job, row, src, dst, name, err);
    }
out:
    emd_roster_free(&listing.roster);
    return status;
}
