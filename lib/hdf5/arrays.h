/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A mended conversion of arrays for the HDF5 of this process.
 *
 * HDF5 1.10's own keeps one scratch buffer for all the arrays of a call. Where an array holds
 * compounds with variable-length members, each array but the last is then taken for the old value
 * of the next, and its strings and sequences are removed from the file that they were just written
 * to: they read as empty.
 *
 * Threads: the HDF5 thread (h5call.h). */
#ifndef EMD_HDF5_ARRAYS_H
#define EMD_HDF5_ARRAYS_H

#include "base/status.h"

/* Takes the place of HDF5's conversion, for such arrays only, at any depth of nesting. Cheap when
 * done already. */
enum emd_status emd_hdf5_mend_arrays(struct emd_error *err);

#endif
