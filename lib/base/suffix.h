/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* How a name ends. */
#ifndef EMD_BASE_SUFFIX_H
#define EMD_BASE_SUFFIX_H

#include <stdbool.h>
#include <string.h>

/* Whether 'text' ends with 'end', which may be all of it. */
static inline bool emd_ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

#endif
