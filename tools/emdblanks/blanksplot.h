/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The plot of emdblanks: an SVG picture of what the analyses saw and what was kept. */
#ifndef EMD_TOOLS_BLANKSPLOT_H
#define EMD_TOOLS_BLANKSPLOT_H

#include "base/status.h"
#include "dials/blankfilter.h"

/* Writes the file, replacing an old one. */
enum emd_status blanksplot_write(const struct emd_blank_report *report, const char *path,
                                 struct emd_error *err);

#endif
