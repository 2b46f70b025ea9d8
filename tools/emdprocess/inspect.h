/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* How many images has a movie? Asked in a process of its own: HDF5 can crash or hang on a damaged
 * file. */
#ifndef EMD_TOOLS_INSPECT_H
#define EMD_TOOLS_INSPECT_H

#include <stddef.h>

#include "base/status.h"

/* The process must have one thread only. */
enum emd_status inspect_movie(const char *path, size_t *frames, struct emd_error *err);

#endif
