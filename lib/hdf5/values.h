/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What lies inside the elements of a type that means nothing outside its file: variable-length data
 * and references. Private to lib/hdf5.
 *
 * Threads: the HDF5 thread (h5call.h). */
#ifndef EMD_HDF5_VALUES_H
#define EMD_HDF5_VALUES_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct emd_value_node;
struct emd_values {
    size_t size;                 /* bytes of one element in memory */
    bool variable;               /* variable-length sequences or strings, anywhere inside */
    bool references;             /* references of the old kinds, anywhere inside */
    struct emd_value_node *root; /* the way to the references; NULL where there are none */
};

/* Looks into 'type' as it lies in memory. EMD_E_UNSUPPORTED: new-style references, or more than 64
 * types inside each other; EMD_E_CORRUPT: members outside their compound. emd_values_free ends it;
 * after a failure there is nothing to free. */
enum emd_status emd_values_make(hid_t type, struct emd_values *values, struct emd_error *err);
void emd_values_free(struct emd_values *values);

/* Calls 'object' or 'region' for each reference in 'count' elements, which it changes in place. */
struct emd_value_actions {
    void *ctx;
    enum emd_status (*object)(void *ctx, hobj_ref_t *reference, struct emd_error *err);
    enum emd_status (*region)(void *ctx, hdset_reg_ref_t *reference, struct emd_error *err);
};
enum emd_status emd_values_visit(const struct emd_values *values, void *elements, size_t count,
                                 const struct emd_value_actions *actions, struct emd_error *err);

#endif
