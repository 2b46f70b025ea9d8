/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. What HDF5 tells of an object is more than its properties: types, spaces and
 * creation lists remember where the source keeps them (a heap of shared messages, an index, a
 * version of a message), and an object created with them would point there in the new file. So
 * everything that an object is created with is made anew from what can be asked. */
#include "hdf5/treejob.h"

#include <stdlib.h>
#include <string.h>

#include "hdf5/filters.h"
#include "hdf5/h5call.h"

enum {
    NAME_BYTES = 1 << 16 /* of a file or dataset that data lie in: more than any message holds */
};

hid_t emd_fresh_type(hid_t type)
{
    size_t n = 0;
    hid_t fresh = H5I_INVALID_HID;
    if (H5Tencode(type, NULL, &n) < 0 || n == 0)
        return fresh;
    void *code = malloc(n);
    if (code && H5Tencode(type, code, &n) >= 0)
        fresh = H5Tdecode(code);
    free(code);
    return fresh;
}

hid_t emd_fresh_space(hid_t space)
{
    hsize_t dims[H5S_MAX_RANK], most[H5S_MAX_RANK];
    const H5S_class_t kind = H5Sget_simple_extent_type(space);
    if (kind == H5S_NULL || kind == H5S_SCALAR)
        return H5Screate(kind);
    const int rank = H5Sget_simple_extent_dims(space, dims, most);
    return rank < 1 ? H5I_INVALID_HID : H5Screate_simple(rank, dims, most);
}

static bool fresh_layout(hid_t of, hid_t list)
{
    hsize_t chunk[H5S_MAX_RANK];
    const H5D_layout_t layout = H5Pget_layout(of);
    if (layout == H5D_CHUNKED) {
        const int rank = H5Pget_chunk(of, H5S_MAX_RANK, chunk);
        return rank >= 0 && H5Pset_chunk(list, rank, chunk) >= 0;
    }
    /* A virtual layout comes with its mappings. */
    return layout == H5D_VIRTUAL || (layout >= 0 && H5Pset_layout(list, layout) >= 0);
}

static enum emd_status fresh_filter(hid_t of, unsigned i, hid_t list, struct emd_error *err)
{
    char name[256] = "";
    unsigned flags = 0, cd[EMD_FILTER_CD_MOST];
    size_t count = EMD_FILTER_CD_MOST;
    H5Z_filter_t id = H5Pget_filter2(of, i, &flags, &count, cd, sizeof name - 1, name, NULL);
    if (id < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read a filter list");
    if (count > EMD_FILTER_CD_MOST)
        return emd_fail(err, EMD_E_UNSUPPORTED, "filter %d has %zu parameters", (int)id, count);
    enum emd_status status = emd_filters_stand_in(id, name, err);
    if (status == EMD_OK &&
        H5Pset_filter(list, id, flags & H5Z_FLAG_DEFMASK, count, count ? cd : NULL) < 0)
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "HDF5 does not take filter %d", (int)id);
    return status;
}

static enum emd_status fresh_fill(struct emd_job *job, hid_t of, hid_t type, hid_t list,
                                  struct emd_error *err)
{
    H5D_fill_value_t defined;
    H5D_fill_time_t when;
    enum emd_status status = EMD_OK;
    struct emd_values values = {0};
    void *fill = NULL;
    hid_t scalar = H5I_INVALID_HID;
    if (H5Pfill_value_defined(of, &defined) < 0 || H5Pget_fill_time(of, &when) < 0 ||
        H5Pset_fill_time(list, when) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the fill value");
    if (defined == H5D_FILL_VALUE_UNDEFINED && H5Pset_fill_value(list, type, NULL) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot leave the fill value undefined");
    if (defined != H5D_FILL_VALUE_USER_DEFINED)
        return EMD_OK;
    status = emd_values_make(type, &values, err);
    if (status != EMD_OK)
        return status;
    fill = values.size <= job->item_bytes || values.size <= job->buffer_bytes
               ? calloc(1, values.size)
               : NULL;
    scalar = H5Screate(H5S_SCALAR);
    if (!fill || scalar < 0)
        status =
            emd_fail(err, EMD_E_MEMORY, "no memory for a fill value of %zu bytes", values.size);
    else if (H5Pget_fill_value(of, type, fill) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the fill value");
    else {
        status = emd_job_translate(job, &values, fill, 1, err);
        if (status == EMD_OK && H5Pset_fill_value(list, type, fill) < 0)
            status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot set the fill value");
        if (values.variable)
            H5Dvlen_reclaim(type, scalar, H5P_DEFAULT, fill);
    }
    free(fill);
    emd_hdf5_close(&scalar);
    emd_values_free(&values);
    return status;
}

/* Names of files as they are, which nobody opens. */
static enum emd_status fresh_external(hid_t of, hid_t list, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    const int count = H5Pget_layout(of) == H5D_CONTIGUOUS ? H5Pget_external_count(of) : 0;
    char *name = count > 0 ? malloc(NAME_BYTES) : NULL;
    if (count > 0 && !name)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (int i = 0; i < count && status == EMD_OK; i++) {
        off_t offset = 0;
        hsize_t size = 0;
        memset(name, 0, NAME_BYTES);
        if (H5Pget_external(of, (unsigned)i, NAME_BYTES - 1, name, &offset, &size) < 0 ||
            H5Pset_external(list, name, offset, size) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot carry over where its data lie");
    }
    free(name);
    return status;
}

/* Elements that one source file gives to a mapping: of a pattern that goes on for ever and takes a
 * file for each step ("f-%b.h5"), one step. H5S_UNLIMITED where that cannot be told. */
static hsize_t points_of_source(hid_t here)
{
    hsize_t start[H5S_MAX_RANK], stride[H5S_MAX_RANK], count[H5S_MAX_RANK], block[H5S_MAX_RANK];
    const hssize_t points = H5Sget_select_npoints(here);
    if (points >= 0)
        return (hsize_t)points;
    const int rank = H5Sget_simple_extent_ndims(here);
    if (H5Sis_regular_hyperslab(here) <= 0 ||
        H5Sget_regular_hyperslab(here, start, stride, count, block) < 0)
        return H5S_UNLIMITED;
    hsize_t product = 1;
    for (int a = 0; a < rank; a++) {
        if (block[a] == H5S_UNLIMITED)
            return H5S_UNLIMITED;
        product *= (count[a] == H5S_UNLIMITED ? 1 : count[a]) * block[a];
    }
    return product;
}

/* A selection of the whole source does not say how large that is, only that it is as much as is
 * mapped: any space of so many elements stands for it. */
static hid_t whole_source(hid_t here)
{
    const hsize_t count = points_of_source(here);
    return count == H5S_UNLIMITED ? H5I_INVALID_HID : H5Screate_simple(1, &count, NULL);
}

static enum emd_status fresh_mapping(hid_t of, size_t i, char *file, char *dataset, hid_t list,
                                     struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hid_t here = H5Pget_virtual_vspace(of, i), there = H5Pget_virtual_srcspace(of, i);
    if (here >= 0 && there >= 0 && H5Sget_select_type(there) == H5S_SEL_ALL) {
        emd_hdf5_close(&there);
        there = whole_source(here);
    }
    const ssize_t n = H5Pget_virtual_filename(of, i, file, NAME_BYTES);
    const ssize_t m = H5Pget_virtual_dsetname(of, i, dataset, NAME_BYTES);
    if (here < 0 || there < 0 || n < 0 || m < 0 || n >= NAME_BYTES || m >= NAME_BYTES ||
        H5Pset_virtual(list, here, file, dataset, there) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot carry over what it is made of");
    emd_hdf5_close(&there);
    emd_hdf5_close(&here);
    return status;
}

static enum emd_status fresh_virtual(hid_t of, hid_t list, struct emd_error *err)
{
    size_t count = 0;
    enum emd_status status = EMD_OK;
    if (H5Pget_layout(of) != H5D_VIRTUAL)
        return EMD_OK;
    if (H5Pget_virtual_count(of, &count) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot tell what it is made of");
    char *names = malloc(2 * NAME_BYTES);
    if (!names)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (count == 0 && H5Pset_layout(list, H5D_VIRTUAL) < 0)
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot make a virtual dataset");
    for (size_t i = 0; i < count && status == EMD_OK; i++)
        status = fresh_mapping(of, i, names, names + NAME_BYTES, list, err);
    free(names);
    return status;
}

/* What attributes ask of an object's header; lists of datasets, groups and types have it. */
static bool fresh_header(hid_t of, hid_t list)
{
    unsigned order, compact, dense;
    return H5Pget_attr_creation_order(of, &order) >= 0 &&
           H5Pset_attr_creation_order(list, order) >= 0 &&
           H5Pget_attr_phase_change(of, &compact, &dense) >= 0 &&
           H5Pset_attr_phase_change(list, compact, dense) >= 0 &&
           H5Pset_obj_track_times(list, false) >= 0;
}

enum emd_status emd_fresh_dataset_list(struct emd_job *job, hid_t of, hid_t type, hid_t *out,
                                       struct emd_error *err)
{
    H5D_alloc_time_t alloc;
    enum emd_status status = EMD_OK;
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    const int filters = H5Pget_layout(of) == H5D_CHUNKED ? H5Pget_nfilters(of) : 0;
    *out = H5I_INVALID_HID;
    if (list < 0 || filters < 0 || !fresh_layout(of, list) || !fresh_header(of, list))
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
    for (int i = 0; i < filters && status == EMD_OK; i++)
        status = fresh_filter(of, (unsigned)i, list, err);
    if (status == EMD_OK)
        status = fresh_fill(job, of, type, list, err);
    if (status == EMD_OK)
        status = fresh_external(of, list, err);
    if (status == EMD_OK)
        status = fresh_virtual(of, list, err);
    /* Last: a layout brings its own. */
    if (status == EMD_OK &&
        (H5Pget_alloc_time(of, &alloc) < 0 || H5Pset_alloc_time(list, alloc) < 0))
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
    if (status == EMD_OK)
        *out = list;
    else
        emd_hdf5_close(&list);
    return status;
}

enum emd_status emd_fresh_type_list(hid_t of, hid_t *out, struct emd_error *err)
{
    *out = H5Pcreate(H5P_DATATYPE_CREATE);
    if (*out >= 0 && fresh_header(of, *out))
        return EMD_OK;
    emd_hdf5_close(out);
    return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
}
