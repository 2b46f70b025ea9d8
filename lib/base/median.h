/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Doubles in order, and the one in the middle. */
#ifndef EMD_BASE_MEDIAN_H
#define EMD_BASE_MEDIAN_H

#include <stddef.h>

/* For qsort: ascending; the values are no NaN. */
int emd_compare_doubles(const void *a, const void *b);

/* Sorts the values; the median, of two in the middle their mean, NaN if there are none. */
double emd_median(double *values, size_t n);

#endif
