/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Every dataset of a file, once, whatever links lead to it. Groups are opened by their addresses:
 * deep trees cost no stack and no repeated walks from the root, as H5Ovisit's do. */
#ifndef EMD_HDF5_VISIT_H
#define EMD_HDF5_VISIT_H

#include <hdf5.h>

#include "base/status.h"

/* Calls 'each' for each dataset, open, with one path of it, breadth first. A failure of 'each' ends
 * the visit and is returned with the path in front. An object that cannot be opened goes to
 * 'broken' if that is not NULL, else it ends the visit. Memory: as the table of tree.h. The HDF5
 * thread only. */
enum emd_status emd_visit_datasets(hid_t file,
                                   enum emd_status (*each)(void *ctx, hid_t dataset,
                                                           const char *path, struct emd_error *err),
                                   void (*broken)(void *ctx, const char *path,
                                                  const struct emd_error *error),
                                   void *ctx, struct emd_error *err);

#endif
