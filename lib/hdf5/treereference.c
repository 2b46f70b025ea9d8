/* See treejob.h. References of the old kinds: an object by its address, a region by an entry of the
 * file's heap. */
#include "hdf5/treejob.h"

#include <string.h>

#include "hdf5/h5call.h"

/* Row of the object with this source address, which must be part of the tree. */
static enum emd_status referenced_row(struct emd_job *job, uint64_t address, uint32_t *row,
                                      struct emd_error *err)
{
    *row = emd_job_find(job, address);
    if (*row == EMD_NOBODY)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "a reference to an object that no link of the file reaches");
    return EMD_OK;
}

static enum emd_status translate_object(void *ctx, hobj_ref_t *reference, struct emd_error *err)
{
    struct emd_job *job = ctx;
    if (*reference == 0 || *reference == HADDR_UNDEF)
        return EMD_OK; /* null */
    /* HDF5 stores the object's address; only what is not found so is worth opening. */
    uint32_t row = emd_job_find(job, *reference);
    if (row == EMD_NOBODY) {
        hid_t object = H5Rdereference2(job->src, H5P_DEFAULT, H5R_OBJECT, reference);
        if (object < 0)
            return emd_hdf5_fail(err, EMD_E_CORRUPT, "a reference to an object that is gone");
        uint64_t address;
        enum emd_status status = emd_hdf5_address(object, &address, err);
        emd_hdf5_close(&object);
        if (status == EMD_OK)
            status = referenced_row(job, address, &row, err);
        if (status != EMD_OK)
            return status;
    }
    struct emd_object *object = &job->objects[row];
    if (object->ref == 0) {
        hid_t target = emd_hdf5_open_address(job->dst, object->dst);
        herr_t made = target < 0 ? -1 : H5Rcreate(&object->ref, target, ".", H5R_OBJECT, -1);
        enum emd_status status =
            made < 0 ? emd_hdf5_fail(err, EMD_E_IO, "cannot make a reference") : EMD_OK;
        emd_hdf5_close(&target);
        if (status != EMD_OK)
            return status;
    }
    *reference = object->ref;
    return EMD_OK;
}

static enum emd_status translate_region(void *ctx, hdset_reg_ref_t *reference,
                                        struct emd_error *err)
{
    struct emd_job *job = ctx;
    static const hdset_reg_ref_t null;
    if (memcmp(reference, &null, sizeof null) == 0)
        return EMD_OK;
    enum emd_status status = EMD_OK;
    uint64_t address;
    uint32_t row;
    hid_t target = H5I_INVALID_HID;
    hid_t space = H5Rget_region(job->src, H5R_DATASET_REGION, reference);
    hid_t object = H5Rdereference2(job->src, H5P_DEFAULT, H5R_DATASET_REGION, reference);
    if (space < 0 || object < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "a region reference to a dataset that is gone");
        goto out;
    }
    status = emd_hdf5_address(object, &address, err);
    if (status == EMD_OK)
        status = referenced_row(job, address, &row, err);
    if (status != EMD_OK)
        goto out;
    target = emd_hdf5_open_address(job->dst, job->objects[row].dst);
    memset(reference, 0, sizeof *reference);
    if (target < 0 || H5Rcreate(reference, target, ".", H5R_DATASET_REGION, space) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot make a region reference");
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
