/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. References of the old kinds: an object by its address, a region by an entry of the
 * file's heap. */
#include "hdf5/treejob.h"

#include <string.h>

#include "hdf5/h5call.h"

/* Fill values that refer to datasets with fill values that refer ...: each is made before the one
 * that needs it, one call inside the other. */
enum { MAKING_MAX = 64 };

/* Row of an open object of the source, which exists in the new file afterwards; EMD_NOBODY where
 * no link of the file leads to it. What is deleted can often still be opened: links decide. */
static enum emd_status referenced_row(struct emd_job *job, hid_t object, uint32_t *row,
                                      struct emd_error *err)
{
    uint64_t address;
    hid_t made = H5I_INVALID_HID;
    enum emd_status status = emd_hdf5_address(object, &address, err);
    if (status != EMD_OK)
        return status;
    *row = emd_job_find(job, address);
    if (*row != EMD_NOBODY || !job->walking)
        return EMD_OK;
    if (job->making >= MAKING_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "more than %d fill values that refer to each other",
                        MAKING_MAX);
    job->making++;
    status = emd_job_make_object(job, object, address, EMD_NOBODY, NULL, row, &made, err);
    job->making--;
    /* Without a link, closing would delete it. */
    if (status == EMD_OK && H5Oincr_refcount(made) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot keep an object that a fill value refers to");
    if (status == EMD_OK)
        job->objects[*row].held = true;
    emd_hdf5_close(&made);
    return status;
}

static enum emd_status open_new(struct emd_job *job, uint32_t row, hid_t *target,
                                struct emd_error *err)
{
    if (job->objects[row].dst == 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "a fill value that refers to its own dataset");
    *target = emd_hdf5_open_address(job->dst, job->objects[row].dst);
    return *target < 0 ? emd_hdf5_fail(err, EMD_E_IO, "cannot make a reference") : EMD_OK;
}

static enum emd_status translate_object(void *ctx, hobj_ref_t *reference, struct emd_error *err)
{
    struct emd_job *job = ctx;
    enum emd_status status = EMD_OK;
    if (*reference == 0 || *reference == HADDR_UNDEF)
        return EMD_OK; /* null, undefined */
    /* HDF5 stores the object's address; only what is not found so is worth opening. */
    uint32_t row = emd_job_find(job, *reference);
    if (row != EMD_NOBODY && job->objects[row].gone) {
        *reference = 0;
        job->lost++;
        return EMD_OK;
    }
    if (row == EMD_NOBODY) {
        hid_t object = H5Rdereference2(job->src, H5P_DEFAULT, H5R_OBJECT, reference);
        if (object >= 0)
            status = referenced_row(job, object, &row, err);
        emd_hdf5_close(&object);
        if (status != EMD_OK)
            return status;
    }
    if (row == EMD_NOBODY || job->objects[row].gone) {
        *reference = 0;
        job->lost++;
        return EMD_OK;
    }
    if (job->objects[row].ref == 0) {
        hid_t target = H5I_INVALID_HID;
        status = open_new(job, row, &target, err);
        if (status == EMD_OK && H5Rcreate(&job->objects[row].ref, target, ".", H5R_OBJECT, -1) < 0)
            status = emd_hdf5_fail(err, EMD_E_IO, "cannot make a reference");
        emd_hdf5_close(&target);
        if (status != EMD_OK)
            return status;
    }
    *reference = job->objects[row].ref;
    return EMD_OK;
}

/* An undefined address with any index behind it, which leads nowhere in either file. */
static bool make_undefined(const struct emd_job *job, hdset_reg_ref_t *reference)
{
    unsigned char *bytes = (unsigned char *)reference;
    for (unsigned i = 0; i < job->address_bytes; i++)
        if (bytes[i] != 0xff)
            return false;
    if (job->address_bytes < sizeof(haddr_t)) { /* the new file has longer addresses */
        memset(bytes, 0, sizeof *reference);
        memset(bytes, 0xff, sizeof(haddr_t));
    }
    return true;
}

/* A region with bounds beyond 32 bits needs a newer format of selections than the file's. */
static enum emd_status make_region(struct emd_job *job, hid_t target, hid_t space,
                                   hdset_reg_ref_t *reference, struct emd_error *err)
{
    if (H5Rcreate(reference, target, ".", H5R_DATASET_REGION, space) >= 0)
        return EMD_OK;
    enum emd_status status = EMD_OK;
    if (!emd_job_set_bounds(job, job->low, H5F_LIBVER_LATEST) ||
        H5Rcreate(reference, target, ".", H5R_DATASET_REGION, space) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot make a region reference");
    emd_job_reset_bounds(job);
    return status;
}

static enum emd_status translate_region(void *ctx, hdset_reg_ref_t *reference,
                                        struct emd_error *err)
{
    struct emd_job *job = ctx;
    static const hdset_reg_ref_t null;
    if (memcmp(reference, &null, sizeof null) == 0 || make_undefined(job, reference))
        return EMD_OK;
    enum emd_status status = EMD_OK;
    uint32_t row = EMD_NOBODY;
    hid_t target = H5I_INVALID_HID;
    hid_t space = H5Rget_region(job->src, H5R_DATASET_REGION, reference);
    hid_t object = H5Rdereference2(job->src, H5P_DEFAULT, H5R_DATASET_REGION, reference);
    if (space >= 0 && object >= 0)
        status = referenced_row(job, object, &row, err);
    else if (object >= 0) /* not gone: a selection that only newer libraries know, or damage */
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED,
                               "a region reference that this version of HDF5 cannot read");
    if (status != EMD_OK)
        goto out;
    memset(reference, 0, sizeof *reference);
    if (row == EMD_NOBODY) {
        job->lost++;
        goto out;
    }
    status = open_new(job, row, &target, err);
    if (status == EMD_OK)
        status = make_region(job, target, space, reference, err);
out:
    emd_hdf5_close(&target);
    emd_hdf5_close(&object);
    emd_hdf5_close(&space);
    return status;
}

enum emd_status emd_job_translate(struct emd_job *job, const struct emd_values *values,
                                  void *elements, size_t count, struct emd_error *err)
{
    const struct emd_value_actions actions = {job, translate_object, translate_region};
    return emd_values_visit(values, elements, count, &actions, err);
}
