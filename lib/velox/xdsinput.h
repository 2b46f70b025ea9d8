/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* XDS: its input file for a movie, and the names that it gives movies. (XDS' own documentation of
 * parameters and of coordinate systems.) Pure functions, but emd_xds_find_movie looks at files. */
#ifndef EMD_VELOX_XDSINPUT_H
#define EMD_VELOX_XDSINPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "velox/estimate.h"
#include "velox/info.h"

/* The file that XDS means by a name: itself if it is there; else for X_master.h5 and X_??????.h5
 * (or digits) the movie X.emd, X.h5 or X.hdf5. False: there is none, or its name is too long. */
bool emd_xds_find_movie(const char *name, char *path, size_t room);

/* The template that stands for a movie, absolute: "/data/X_??????.h5". The caller frees it.
 * EMD_E_UNSUPPORTED: a name that XDS could not be told (another suffix, spaces), or for which
 * emd_xds_find_movie would find another file. */
enum emd_status emd_xds_template(const char *path, char **text, struct emd_error *err);

struct emd_xds_movie {
    const struct emd_info_stack *stack;
    const struct emd_estimate *estimate; /* of its pixels; may be all unknown */
    const char *template, *library;
    int32_t pedestal; /* that the library adds */
};

/* The text of XDS.INP, which the caller frees. What the file does not say stands there as a usual
 * value with a remark. */
enum emd_status emd_xds_input(const struct emd_xds_movie *movie, char **text,
                              struct emd_error *err);

#endif
