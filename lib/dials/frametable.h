/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Per-frame statistics that emdrepack and emdwatch write beside a movie: NAME.frames.tsv, a header
 * line with the names of the columns, of which 'image' (from 1) and 'spots' are read here. */
#ifndef EMD_DIALS_FRAMETABLE_H
#define EMD_DIALS_FRAMETABLE_H

#include <stddef.h>

#include "base/status.h"

/* The spots of images first .. first + n - 1 into 'spots'; images that are not in the table are
 * NaN. EMD_E_FORMAT: no such table, or none of these images is in it. */
enum emd_status emd_frametable_read(const char *path, long first, size_t n, double *spots,
                                    struct emd_error *err);

#endif
