/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* --set-cell: the cell and symmetry that most crystals agree on become settings of mP. */
#ifndef EMD_TOOLS_SETCELL_H
#define EMD_TOOLS_SETCELL_H

#include <stdbool.h>

#include "process/words.h"

/* Shows what the crystals (none: all) of a trial agree on and, with 'write', puts it into
 * emdprocess.conf of the project, the current folder. The exit code. */
int set_cell(const char *trial, const struct emd_words *crystals, bool write);

#endif
