/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The resolution at which CC1/2 falls to a limit, by three methods. */
#ifndef EMD_DIALS_RESOLUTION_H
#define EMD_DIALS_RESOLUTION_H

#include <stdbool.h>

#include "dials/mergetable.h"

enum emd_resolution_method {
    EMD_RESOLUTION_SHELL,  /* d_min of the last shell before CC1/2 is at or below the limit */
    EMD_RESOLUTION_LINEAR, /* where the line between the middles (in 1/d^2) of the last shell above
                            * and the first one at or below the limit crosses it */
    EMD_RESOLUTION_FIT     /* (1 - tanh((s - s0)/r))/2 fitted to CC1/2 against s = 1/d_min^2 */
};

/* How DIALS fits (dials.util.resolution_analysis): until 3.16 the shells whose CC1/2 is positive
 * and significant, all with the same weight; from 3.17 on all shells, weighted by the standard
 * error 1/sqrt(n - 3) of n pairs (100 for n <= 4). Either way the fit is evaluated at the shells'
 * limits and interpolated linearly between them. */
enum emd_fit_rule { EMD_FIT_SIGNIFICANT, EMD_FIT_WEIGHTED };

/* d in Angstrom where CC1/2 falls to 'limit'; the table's own d_min if it never does; NaN if there
 * is no answer: the first shell is below already, or the fit failed as DIALS' does. 'rule' is for
 * the fit only. Where a table has no numbers of pairs, the unique reflections stand for them. */
double emd_resolution(const struct emd_merge_table *table, enum emd_resolution_method method,
                      double limit, enum emd_fit_rule rule);

/* Parameters of the fit: false if it cannot be made. */
bool emd_resolution_fit(const struct emd_merge_table *table, enum emd_fit_rule rule, double *r,
                        double *s0);

/* The rule of a version of DIALS ("3.12", "3.18.1-0-gabc"); the weighted one if it is unknown. */
enum emd_fit_rule emd_fit_rule_of(const char *dials_version);

#endif
