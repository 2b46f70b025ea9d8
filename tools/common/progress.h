/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* One line of progress on a terminal: what, percent, rate and time left. Silent in a pipe. */
#ifndef EMD_TOOLS_PROGRESS_H
#define EMD_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Shows progress only if 'wanted' and stderr is a terminal. */
void emd_progress_init(bool wanted);

/* Begins a new thing of 'total' bytes (0: unknown), named 'what'. */
void emd_progress_start(const char *what, uint64_t total);

/* Bytes done so far; redraws at most ten times a second. */
void emd_progress_update(uint64_t done);

/* A line of other words, instead of start and update: what on the left, 'right' on the right. */
void emd_progress_show(const char *what, const char *right);

/* Clears the line. */
void emd_progress_end(void);

#endif
