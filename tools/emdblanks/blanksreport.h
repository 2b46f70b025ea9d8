/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What emdblanks found, as text for people and for the log, and as JSON. */
#ifndef EMD_TOOLS_BLANKSREPORT_H
#define EMD_TOOLS_BLANKSREPORT_H

#include <stdio.h>

#include "emdblanks/blanksargs.h"

/* Analyses, blank images and runs; 'bins': also the value of every bin. */
void blanks_report_text(FILE *out, const struct emd_blank_report *report, bool bins);

/* The same, complete, on stdout. */
void blanks_report_json(const struct blanks_arguments *args, const struct emd_blank_report *report);

#endif
