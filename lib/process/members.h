/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Which crystals of a project go into a merged set, and why the others do not.
 *
 * The candidates are the crystals that have the trial (as emdlist lists them). A crystal is taken
 * if its processing came to merging statistics, it has the files that are needed, and the
 * expression (dials/select.h over dials/listcolumns.h) holds for it or for one of its lattices; an
 * explicit list takes the place of the expression. */
#ifndef EMD_PROCESS_MEMBERS_H
#define EMD_PROCESS_MEMBERS_H

#include "dials/listrows.h"
#include "process/words.h"

struct emd_members_request {
    const char *project;              /* its folder */
    const char *trial;                /* "P1/not_blank" */
    const char *expression;           /* "": all that are good */
    const struct emd_words *crystals; /* folders of crystals; none: the expression chooses */
    const struct emd_words *files;    /* that each must have, relative to its folder */
};

struct emd_member {
    char *crystal;                  /* its folder, relative to the project */
    const struct emd_list_row *row; /* the lattice that was taken, else the first */
    bool taken;
    char reason[320]; /* why it is left out, "" if it is taken */
};

struct emd_members {
    struct emd_member *member; /* by name */
    size_t count, taken;
    struct emd_list_settings settings;
    struct emd_list_rows rows;
    struct emd_words folders; /* of those that are taken */
};

/* EMD_E_ARGUMENT: a mistake in the expression, a name of the explicit list that no crystal with the
 * trial has. The caller frees with emd_members_free, also on failure. 'request' and its texts must
 * stay as long as the members. */
enum emd_status emd_members_select(const struct emd_members_request *request,
                                   struct emd_members *members, struct emd_error *err);
void emd_members_free(struct emd_members *members);

/* The choice as a table, tab-separated with a heading: crystal, used, reason, and the values that
 * it can be judged by. NULL without memory; the caller frees it. */
char *emd_members_table(const struct emd_members *members);

#endif
