/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#ifndef EMD_DIALS_SCAN_H
#define EMD_DIALS_SCAN_H

#include <stdbool.h>

/* What a scan says, as dxtbx holds it (radians). */
struct emd_scan {
    long first, last;    /* image_range: numbers of the first and last image */
    double start, width; /* angle of the first image's beginning; of every image; rad */
    bool still;          /* no rotation: narrower than 1e-7 rad, dxtbx's limit, or no angles */
};

#endif
