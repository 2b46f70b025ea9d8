/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See arrays.h. One array after the other, each with a scratch buffer of zeros. */
#include "hdf5/arrays.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/h5call.h"

/* The types of a conversion; their bases keep the file that they belong to. */
struct arrays {
    hid_t src, dst; /* bases */
    size_t src_bytes, dst_bytes, count;
};

static bool look_at_arrays(hid_t src, hid_t dst, struct arrays *arrays)
{
    hsize_t a[H5S_MAX_RANK], b[H5S_MAX_RANK];
    const int rank = H5Tget_array_ndims(src);
    arrays->src = H5Tget_super(src);
    arrays->dst = H5Tget_super(dst);
    arrays->count = 1;
    if (arrays->src < 0 || arrays->dst < 0 || rank < 1 || rank > H5S_MAX_RANK ||
        H5Tget_array_ndims(dst) != rank || H5Tget_array_dims2(src, a) < 0 ||
        H5Tget_array_dims2(dst, b) < 0 || memcmp(a, b, (size_t)rank * sizeof a[0]) != 0)
        return false;
    for (int i = 0; i < rank; i++)
        arrays->count *= (size_t)a[i];
    arrays->src_bytes = H5Tget_size(src);
    arrays->dst_bytes = H5Tget_size(dst);
    return arrays->src_bytes > 0 && arrays->dst_bytes > 0;
}

static void close_arrays(struct arrays *arrays)
{
    emd_hdf5_close(&arrays->dst);
    emd_hdf5_close(&arrays->src);
}

/* Only compounds with variable-length members are converted wrongly. A string of fixed length
 * cannot be told from outside and does no harm. */
static bool is_concerned(hid_t dst, const struct arrays *arrays)
{
    H5T_cdata_t *known = NULL;
    return H5Tdetect_class(dst, H5T_COMPOUND) > 0 &&
           (H5Tdetect_class(dst, H5T_VLEN) > 0 || H5Tdetect_class(dst, H5T_STRING) > 0) &&
           H5Tfind(arrays->src, arrays->dst, &known) != NULL;
}

static herr_t convert(const struct arrays *arrays, size_t count, size_t stride, void *data,
                      hid_t transfer)
{
    const size_t larger =
        arrays->src_bytes > arrays->dst_bytes ? arrays->src_bytes : arrays->dst_bytes;
    /* Packed arrays that grow are converted from the last one on. */
    const bool backwards = stride == 0 && arrays->dst_bytes > arrays->src_bytes;
    const size_t from = stride ? stride : arrays->src_bytes;
    const size_t to = stride ? stride : arrays->dst_bytes;
    void *scratch = malloc(larger);
    herr_t result = scratch ? 0 : -1;
    for (size_t k = 0; k < count && result >= 0; k++) {
        const size_t i = backwards ? count - 1 - k : k;
        unsigned char *at = (unsigned char *)data + i * to;
        memmove(at, (unsigned char *)data + i * from, arrays->src_bytes);
        memset(scratch, 0, larger);
        result = H5Tconvert(arrays->src, arrays->dst, arrays->count, at, scratch, transfer);
    }
    free(scratch);
    return result;
}

/* H5T_conv_t. */
static herr_t convert_arrays(hid_t src, hid_t dst, H5T_cdata_t *cdata, size_t count,
                             size_t data_stride, size_t scratch_stride, void *data, void *scratch,
                             hid_t transfer)
{
    struct arrays arrays;
    herr_t result = 0;
    (void)scratch_stride;
    (void)scratch;
    if (cdata->command == H5T_CONV_FREE)
        return 0;
    if (!look_at_arrays(src, dst, &arrays))
        result = -1;
    else if (cdata->command == H5T_CONV_INIT) {
        cdata->need_bkg = H5T_BKG_NO;
        result = is_concerned(dst, &arrays) ? 0 : -1; /* no: HDF5's own */
    } else {
        result = convert(&arrays, count, data_stride, data, transfer);
    }
    close_arrays(&arrays);
    return result;
}

enum emd_status emd_hdf5_mend_arrays(struct emd_error *err)
{
    static bool done; /* the HDF5 thread's */
    if (done)
        return EMD_OK;
    const hsize_t one = 1;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    hid_t any = H5Tarray_create2(H5T_NATIVE_INT, 1, &one); /* for its class */
    if (any < 0 || H5Tregister(H5T_PERS_SOFT, "emdtools", any, any, convert_arrays) < 0)
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot register a conversion of arrays");
    else
        done = true;
    emd_hdf5_close(&any);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
