/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Merging statistics by resolution shell, as dials.scale reports them.
 *
 * Two sources: the table of dials.scale.log (rounded; every version from 3.8 to 3.30: columns are
 * found by the NAMES in the table's header) and scaled.json, which adds what the log rounds away:
 * CC1/2 at full precision, the exact limits of the shells and the number of pairs behind a CC1/2.
 */
#ifndef EMD_DIALS_MERGETABLE_H
#define EMD_DIALS_MERGETABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum emd_shell_column {
    EMD_SHELL_D_MAX, /* Angstrom */
    EMD_SHELL_D_MIN,
    EMD_SHELL_OBSERVATIONS,
    EMD_SHELL_UNIQUE,
    EMD_SHELL_MULTIPLICITY,
    EMD_SHELL_COMPLETENESS, /* per cent */
    EMD_SHELL_I_MEAN,
    EMD_SHELL_I_SIGMA,
    EMD_SHELL_R_MERGE,
    EMD_SHELL_R_MEAS,
    EMD_SHELL_R_PIM,
    EMD_SHELL_R_ANOM,
    EMD_SHELL_R_SPLIT,
    EMD_SHELL_CC_HALF,
    EMD_SHELL_CC_ANOM,
    EMD_SHELL_COLUMNS
};

struct emd_shell {
    double value[EMD_SHELL_COLUMNS]; /* NaN: not in this table or row */
    bool significant;                /* CC1/2 above its critical value at p = 0.01: the "*" */
    double pairs;                    /* reflections behind CC1/2; NaN unless read from JSON */
};

struct emd_merge_table {
    struct emd_shell *shells; /* from low to high resolution */
    size_t count;
    struct emd_shell overall; /* all NaN in a table that is cut short */
    bool has_overall;
    double suggested; /* "Resolution limit suggested from CC1/2 fit", NaN if not there */
    bool exact;       /* improved by scaled.json */
};

/* Reads the last merging table of the text of a dials.scale.log. EMD_E_EMPTY: it has none, or one
 * without rows. On success the caller frees *table. Any bytes are safe. */
enum emd_status emd_merge_table_parse(const char *text, size_t length,
                                      struct emd_merge_table *table, struct emd_error *err);

/* Improves a table from the log by the text of the scaled.json of the same run. EMD_E_FORMAT, with
 * the table unchanged, if the file is none or does not agree with the table. */
enum emd_status emd_merge_table_refine(struct emd_merge_table *table, const char *json,
                                       size_t length, struct emd_error *err);

void emd_merge_table_free(struct emd_merge_table *table);

/* Number of pairs n for which a correlation coefficient of 'critical' is just significant at the
 * one-sided level p (0 < p < 0.5) by Student's t with n - 2 degrees of freedom; NaN if there is
 * none between 3 and ten million. */
double emd_pairs_from_critical(double critical, double p);

#endif
