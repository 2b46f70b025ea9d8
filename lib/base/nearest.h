/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The name that somebody meant who misspelt it: "did you mean ...?". */
#ifndef EMD_BASE_NEAREST_H
#define EMD_BASE_NEAREST_H

#include <stddef.h>

/* The one of 'count' names that is nearest to 'text' by omitted, added, changed and exchanged
 * letters, or that 'text' abbreviates alone; NULL if none is near enough to be meant (a third of
 * the letters may be wrong). Case does not count, nor do '-', '_' and '.' differ. Points into
 * 'names'. */
const char *emd_nearest(const char *text, const char *const names[], size_t count);

#endif
