/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What a summary wants from a DIALS .expt file: cells, scans and the image file. Both forms of the
 * file (dxtbx up to 3.17 and from 3.18 on) agree in these. */
#ifndef EMD_DIALS_EXPTSUMMARY_H
#define EMD_DIALS_EXPTSUMMARY_H

#include <stddef.h>

#include "dials/dialslog.h"

/* First and last image, inclusive, as DIALS counts them (usually from 1). */
struct emd_image_range {
    long first, last;
};

enum { EMD_EXPT_RANGES = 32 };

struct emd_expt_summary {
    struct emd_cells cells; /* one a crystal model, from real_space_a, _b, _c; free(cells.items) */
    long images;            /* of all scans together */
    struct emd_image_range range[EMD_EXPT_RANGES]; /* the first scans' */
    size_t ranges;
    char image[1024]; /* template or first image of the first image set; "" if there is none */
};

/* EMD_E_FORMAT: not an experiment list. On success the caller frees summary->cells.items. */
enum emd_status emd_expt_summarise(const char *json, size_t length,
                                   struct emd_expt_summary *summary, struct emd_error *err);

#endif
