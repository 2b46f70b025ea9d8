/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The columns of a list: what each is called, means, costs and holds. */
#ifndef EMD_TOOLS_LISTCOLUMNS_H
#define EMD_TOOLS_LISTCOLUMNS_H

#include "emdlist/listrows.h"

enum list_kind { LIST_TEXT, LIST_NUMBER };

enum list_column_id {
    LIST_PATH,
    LIST_CRYSTAL,
    LIST_RESOLUTION,
    LIST_METHOD,
    LIST_SUGGESTED,
    LIST_CELL,
    LIST_ESDS,
    LIST_A,
    LIST_B,
    LIST_C,
    LIST_ALPHA,
    LIST_BETA,
    LIST_GAMMA,
    LIST_VOLUME,
    LIST_REDUCED,
    LIST_CLUSTER,
    LIST_DISTANCE,
    LIST_SYMMETRY,
    LIST_SYMMETRY_COSYM,
    LIST_SYMMETRY_SYMMETRY,
    LIST_SPACE_GROUP,
    LIST_FRAMES,
    LIST_KEPT,
    LIST_IMAGES,
    LIST_COMPLETENESS,
    LIST_MULTIPLICITY,
    LIST_I_SIGMA,
    LIST_R_MERGE,
    LIST_R_MEAS,
    LIST_R_PIM,
    LIST_CC_HALF,
    LIST_CC_LOW,
    LIST_CC_HIGH,
    LIST_REFLECTIONS,
    LIST_UNIQUE,
    LIST_OUTCOME,
    LIST_STAGE,
    LIST_REASON,
    LIST_NOTE,
    LIST_DIALS,
    LIST_IMAGE,
    LIST_RATIO,
    LIST_COLUMNS
};

struct list_column {
    const char *key, *title, *unit, *help;
    enum list_kind kind;
    int decimals;   /* of a number */
    unsigned needs; /* EMD_TRIAL_... */
    bool lattice;   /* needs list_settings.want_lattice */
};

const struct list_column *list_column(enum list_column_id id);

/* Reads "path,resolution,cell" or "all" (may be repeated names) into ids of 'capacity'; returns
 * their number, 0 with *unknown set to the offending name (points into 'unknown', of 64). */
size_t list_columns_parse(const char *text, enum list_column_id ids[], size_t capacity,
                          char unknown[64]);

/* Value of a number column, NaN if there is none. */
double list_number(const struct list_row *row, enum list_column_id id);

/* Value of any column as text, "" if there is none: points to the row's own text or to 'buffer'. */
enum { LIST_BUFFER = 512 };
const char *list_text(const struct list_row *row, enum list_column_id id,
                      const struct list_settings *settings, char buffer[LIST_BUFFER]);

#endif
