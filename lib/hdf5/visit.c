/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See visit.h. The table of objects is the tree copy's (treejob.h), and the queue of the walk. */
#include "hdf5/visit.h"

#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/treejob.h"

struct visit {
    struct emd_job job; /* the table, of one file */
    enum emd_status (*each)(void *ctx, hid_t dataset, const char *path, struct emd_error *err);
    void (*broken)(void *ctx, const char *path, const struct emd_error *error);
    void *ctx;
    struct emd_error *err;
};

#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
#define iterate_links H5Literate2
#define get_link_info H5Lget_info2
#else
typedef H5L_info_t link_info;
#define iterate_links H5Literate
#define get_link_info H5Lget_info
#endif

static herr_t list_link(hid_t group, const char *name, const link_info *info, void *data)
{
    struct emd_listing *listing = data;
    (void)group;
    if (info->type != H5L_TYPE_HARD)
        return H5_ITER_CONT;
    listing->status =
        emd_roster_add(&listing->roster, name, info->corder_valid ? info->corder : 0, listing->err);
    return listing->status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

/* Where a hard link leads to. */
static bool get_address(hid_t group, const char *name, uint64_t *address)
{
    link_info info;
    if (get_link_info(group, name, &info, H5P_DEFAULT) < 0)
        return false;
#if H5_VERSION_GE(1, 12, 0)
    haddr_t told;
    if (H5VLnative_token_to_addr(group, info.u.token, &told) < 0)
        return false;
    *address = told;
#else
    *address = info.u.address;
#endif
    return true;
}

/* What the object in a row could not do: told, or the end of the visit. */
static enum emd_status fail_object(struct visit *v, uint32_t row, const struct emd_error *why)
{
    const char *path = emd_job_path(&v->job, row);
    if (!v->broken)
        return emd_fail(v->err, why->status, "%s: %s", path, why->text);
    v->broken(v->ctx, path, why);
    return EMD_OK;
}

/* Puts the objects of an open group at the end of the queue. */
static enum emd_status visit_group(struct visit *v, uint32_t row, hid_t group)
{
    struct emd_error why = {EMD_OK, ""};
    struct emd_listing listing = {.roster = {.limit = v->job.names_limit}, .err = &why};
    enum emd_status status = EMD_OK;
    if (iterate_links(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_link, &listing) < 0) {
        if (listing.status == EMD_OK)
            emd_hdf5_fail(&why, EMD_E_CORRUPT, "cannot list the links");
        status = fail_object(v, row, &why);
    }
    emd_roster_sort(&listing.roster);
    for (size_t i = 0; i < listing.roster.count && status == EMD_OK; i++) {
        struct emd_object object = {.parent = row};
        const char *name = emd_roster_name(&listing.roster, i);
        uint32_t added;
        if (!get_address(group, name, &object.src)) {
            emd_hdf5_fail(&why, EMD_E_CORRUPT, "cannot look up the link '%.200s'", name);
            status = fail_object(v, row, &why);
        } else if (emd_job_find(&v->job, object.src) == EMD_NOBODY) {
            status = emd_job_keep_name(&v->job, name, &object.name, v->err);
            if (status == EMD_OK)
                status = emd_job_add(&v->job, &object, &added, v->err);
        }
    }
    emd_roster_free(&listing.roster);
    return status;
}

static enum emd_status visit_object(struct visit *v, uint32_t row)
{
    struct emd_error why = {EMD_OK, ""};
    enum emd_status status = EMD_OK;
    hid_t id = emd_hdf5_open_address(v->job.src, v->job.objects[row].src);
    const H5I_type_t type = id < 0 ? H5I_BADID : H5Iget_type(id);
    if (id < 0) {
        emd_hdf5_fail(&why, EMD_E_CORRUPT, "cannot be opened");
        status = fail_object(v, row, &why);
    } else if (type == H5I_GROUP) {
        status = visit_group(v, row, id);
    } else if (type == H5I_DATASET) {
        const char *path = emd_job_path(&v->job, row);
        status = v->each(v->ctx, id, path, v->err);
        if (status != EMD_OK)
            emd_fail_prefix(v->err, status, "%s", path);
    }
    emd_hdf5_close(&id);
    return status;
}

enum emd_status emd_visit_datasets(hid_t file,
                                   enum emd_status (*each)(void *ctx, hid_t dataset,
                                                           const char *path, struct emd_error *err),
                                   void (*broken)(void *ctx, const char *path,
                                                  const struct emd_error *error),
                                   void *ctx, struct emd_error *err)
{
    struct emd_error local = {EMD_OK, ""};
    struct visit v = {
        .job.src = file, .each = each, .broken = broken, .ctx = ctx, .err = err ? err : &local};
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct emd_object root = {.parent = EMD_NOBODY, .type = H5I_GROUP};
    uint32_t row;
    hsize_t size = 0;
    enum emd_status status = EMD_OK;
    hid_t id = H5Gopen2(file, "/", H5P_DEFAULT);
    if (id < 0 || H5Fget_filesize(file, &size) < 0)
        status = emd_hdf5_fail(v.err, EMD_E_CORRUPT, "the root group cannot be opened");
    else
        status = emd_hdf5_address(id, &root.src, v.err);
    emd_hdf5_close(&id);
    v.job.names_limit = size < SIZE_MAX ? (size_t)size : SIZE_MAX;
    if (status == EMD_OK)
        status = emd_job_add(&v.job, &root, &row, v.err);
    for (size_t i = 0; i < v.job.count && status == EMD_OK; i++, emd_guard_progress())
        status = visit_object(&v, (uint32_t)i);
    emd_job_free_table(&v.job);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
