/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. */
#include "hdf5/treejob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/fdfile.h"
#include "hdf5/h5call.h"

#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
#define iterate_links H5Literate2
#define get_link_info H5Lget_info2
#else
typedef H5L_info_t link_info;
#define iterate_links H5Literate
#define get_link_info H5Lget_info
#endif

/* The group whose links are being copied. */
struct linking {
    struct emd_job *job;
    uint32_t row;
    hid_t src, dst;
    struct emd_error *err;
};

static enum emd_status link_hard(struct linking *linking, const char *name, const link_info *info,
                                 hid_t list, bool *named)
{
    struct emd_job *job = linking->job;
    struct emd_error *err = linking->err;
    enum emd_status status = EMD_OK;
    uint64_t address;
    hid_t src = H5I_INVALID_HID, dst = H5I_INVALID_HID;
#if H5_VERSION_GE(1, 12, 0)
    haddr_t told;
    if (H5VLnative_token_to_addr(linking->src, info->u.token, &told) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot follow it");
    address = told;
#else
    address = info->u.address;
#endif
    uint32_t row = emd_job_find(job, address);
    if (emd_avoid_has(job->options->avoid, address))
        return emd_fail(err, EMD_E_CORRUPT, "HDF5 crashes on what it leads to");
    if (row != EMD_NOBODY && job->objects[row].gone)
        return emd_fail(err, EMD_E_CORRUPT, "what it leads to cannot be copied");
    if (row == EMD_NOBODY) {
        if (job->options->avoid)
            job->options->avoid->current = address;
        src = emd_hdf5_open_address(job->src, address);
        if (src < 0) {
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot open what it leads to");
            goto out;
        }
        status = emd_job_make_object(job, src, address, linking->row, name, &row, &dst, err);
        if (status != EMD_OK) {
            *named = true;
            goto out;
        }
    } else {
        if (job->objects[row].parent == EMD_NOBODY && row != 0) {
            size_t at = 0;
            status = emd_job_keep_name(job, name, &at, err);
            if (status != EMD_OK)
                goto out;
            job->objects[row].name = at;
            job->objects[row].parent = linking->row;
        }
        dst = emd_hdf5_open_address(job->dst, job->objects[row].dst);
    }
    if (dst < 0 || H5Olink(dst, linking->dst, name, list, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the link");
    else if (job->objects[row].held) {
        job->objects[row].held = false;
        if (H5Odecr_refcount(dst) < 0)
            status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the link");
    }
out:
    emd_hdf5_close(&dst);
    emd_hdf5_close(&src);
    return status;
}

/* Classes of user-defined links mean something to the program that defined them; HDF5 neither tells
 * nor takes a link's value without one. These stand for all that are not registered. */
static ssize_t tell_value(const char *name, const void *value, size_t bytes, void *buffer,
                          size_t room)
{
    (void)name;
    if (buffer)
        memcpy(buffer, value, bytes < room ? bytes : room);
    return (ssize_t)bytes;
}

#if H5L_LINK_CLASS_T_VERS > 0
static hid_t lead_nowhere(const char *name, hid_t group, const void *value, size_t bytes,
                          hid_t access, hid_t transfer)
{
    (void)transfer;
#else
static hid_t lead_nowhere(const char *name, hid_t group, const void *value, size_t bytes,
                          hid_t access)
{
#endif
    (void)name;
    (void)group;
    (void)value;
    (void)bytes;
    (void)access;
    return H5I_INVALID_HID;
}

enum emd_status emd_hdf5_know_link_class(H5L_type_t id, struct emd_error *err)
{
    const H5L_class_t class = {.version = H5L_LINK_CLASS_T_VERS,
                               .id = id,
                               .comment = "user-defined",
                               .trav_func = lead_nowhere,
                               .query_func = tell_value};
    const htri_t known = H5Lis_registered(id);
    if (known < 0 || (known == 0 && H5Lregister(&class) < 0))
        return emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "a user-defined link of class %d", (int)id);
    return EMD_OK;
}

/* The file that an external link shall lead to. */
static const char *map_file(const struct linking *linking, const char *name, const char *file)
{
    struct emd_job *job = linking->job;
    if (!job->options->rename_file)
        return file;
    const char *group = emd_job_path(job, linking->row);
    const size_t n = strlen(group) + strlen(name) + 2;
    char *path = malloc(n);
    if (path)
        snprintf(path, n, "%s%s%s", group, group[1] ? "/" : "", name);
    file = job->options->rename_file(job->options->ctx, path ? path : name, file);
    free(path);
    return file;
}

static enum emd_status link_by_value(struct linking *linking, const char *name,
                                     const link_info *info, hid_t list)
{
    struct emd_error *err = linking->err;
    const size_t n = info->u.val_size;
    const bool user_defined = info->type > H5L_TYPE_EXTERNAL;
    if ((n == 0 && !user_defined) || n > 65536 * 2) /* two messages' worth: path and file name */
        return emd_fail(err, EMD_E_CORRUPT, "it claims a value of %zu bytes", n);
    char *value = calloc(1, n + 1);
    if (!value)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    enum emd_status status = EMD_OK;
    const char *file = NULL, *object = NULL;
    if (n > 0 && H5Lget_val(linking->src, name, value, n, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read it");
    else if (user_defined) {
        if (H5Lcreate_ud(linking->dst, name, info->type, value, n, list, H5P_DEFAULT) < 0)
            status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the user-defined link");
    } else if (info->type == H5L_TYPE_SOFT) {
        if (H5Lcreate_soft(value, linking->dst, name, list, H5P_DEFAULT) < 0)
            status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the soft link");
    } else if (H5Lunpack_elink_val(value, n, NULL, &file, &object) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the external link");
    else if (H5Lcreate_external(map_file(linking, name, file), object, linking->dst, name, list,
                                H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the external link");
    free(value);
    return status;
}

static enum emd_status copy_link(struct linking *linking, const char *name)
{
    struct emd_job *job = linking->job;
    struct emd_error *err = linking->err;
    link_info info;
    bool named = false;
    enum emd_status status = emd_job_cancelled(job, err);
    if (status != EMD_OK)
        return status;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strchr(name, '/'))
        status = emd_fail(err, EMD_E_CORRUPT, "a name that no path can say");
    else if (get_link_info(linking->src, name, &info, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look it up");
    else {
        hid_t list = info.cset == H5T_CSET_UTF8 ? job->link_utf8 : job->link_ascii;
        if (info.type == H5L_TYPE_HARD)
            status = link_hard(linking, name, &info, list, &named);
        else if (info.type == H5L_TYPE_SOFT || info.type == H5L_TYPE_EXTERNAL)
            status = link_by_value(linking, name, &info, list);
        else if ((status = emd_hdf5_know_link_class(info.type, err)) == EMD_OK) {
            /* Only now does HDF5 tell how long its value is. */
            if (get_link_info(linking->src, name, &info, H5P_DEFAULT) < 0)
                status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look it up");
            else
                status = link_by_value(linking, name, &info, list);
        }
    }
    if (status != EMD_OK) {
        const struct emd_loss loss = {.kind = EMD_LOSS_LINK, .name = (char *)name};
        status = emd_job_lose(job, linking->row, &loss, status, err);
    }
    if (status != EMD_OK && !named) {
        emd_fail_prefix(err, status, "link '%.200s'", name);
        emd_job_blame(job, linking->row, status, err);
    }
    return status;
}

static herr_t list_link(hid_t group, const char *name, const link_info *info, void *data)
{
    (void)group;
    struct emd_listing *listing = data;
    listing->status =
        emd_roster_add(&listing->roster, name, info->corder_valid ? info->corder : 0, listing->err);
    return listing->status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

static enum emd_status list_links(hid_t group, struct emd_listing *listing, struct emd_error *err)
{
    if (iterate_links(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_link, listing) >= 0)
        return EMD_OK;
    return listing->status != EMD_OK ? listing->status
                                     : emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot list the links");
}

enum emd_status emd_job_copy_links(struct emd_job *job, uint32_t row, struct emd_error *err)
{
    struct linking linking = {.job = job, .row = row, .err = err};
    struct emd_listing listing = {.roster = {.limit = job->names_limit}, .err = err};
    enum emd_status status = EMD_OK;
    linking.src = emd_hdf5_open_address(job->src, job->objects[row].src);
    linking.dst = emd_hdf5_open_address(job->dst, job->objects[row].dst);
    if (linking.src < 0 || linking.dst < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot open the group again");
    else
        status = list_links(linking.src, &listing, err);
    if (status == EMD_E_IO && job->options->losses) { /* another try may read them */
        emd_fdfile_forgive_reads();
        emd_roster_free(&listing.roster);
        listing = (struct emd_listing){.roster = {.limit = job->names_limit}, .err = err};
        status = list_links(linking.src, &listing, err);
    }
    if (status != EMD_OK && linking.src >= 0 && linking.dst >= 0)
        status = emd_job_lose(job, row, &(struct emd_loss){.kind = EMD_LOSS_LINKS}, status, err);
    if (status != EMD_OK) {
        emd_job_blame(job, row, status, err);
        goto out;
    }
    emd_roster_sort(&listing.roster);
    for (size_t i = 0; i < listing.roster.count && status == EMD_OK; i++)
        status = copy_link(&linking, emd_roster_name(&listing.roster, i));
out:
    emd_roster_free(&listing.roster);
    emd_hdf5_close(&linking.dst);
    emd_hdf5_close(&linking.src);
    return status;
}
