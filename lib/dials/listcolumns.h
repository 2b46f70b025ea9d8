/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The columns of a list: what each is called, means, costs and holds. */
#ifndef EMD_DIALS_LISTCOLUMNS_H
#define EMD_DIALS_LISTCOLUMNS_H

#include "dials/listrows.h"

enum emd_list_kind { EMD_LIST_TEXT, EMD_LIST_NUMBER };

enum emd_list_column_id {
    EMD_LIST_PATH,
    EMD_LIST_CRYSTAL,
    EMD_LIST_RESOLUTION,
    EMD_LIST_METHOD,
    EMD_LIST_SUGGESTED,
    EMD_LIST_CELL,
    EMD_LIST_ESDS,
    EMD_LIST_A,
    EMD_LIST_B,
    EMD_LIST_C,
    EMD_LIST_ALPHA,
    EMD_LIST_BETA,
    EMD_LIST_GAMMA,
    EMD_LIST_VOLUME,
    EMD_LIST_REDUCED,
    EMD_LIST_CLUSTER,
    EMD_LIST_DISTANCE,
    EMD_LIST_SYMMETRY,
    EMD_LIST_SYMMETRY_COSYM,
    EMD_LIST_SYMMETRY_SYMMETRY,
    EMD_LIST_SPACE_GROUP,
    EMD_LIST_FRAMES,
    EMD_LIST_KEPT,
    EMD_LIST_IMAGES,
    EMD_LIST_COMPLETENESS,
    EMD_LIST_MULTIPLICITY,
    EMD_LIST_I_SIGMA,
    EMD_LIST_R_MERGE,
    EMD_LIST_R_MEAS,
    EMD_LIST_R_PIM,
    EMD_LIST_CC_HALF,
    EMD_LIST_CC_LOW,
    EMD_LIST_CC_HIGH,
    EMD_LIST_REFLECTIONS,
    EMD_LIST_UNIQUE,
    EMD_LIST_OUTCOME,
    EMD_LIST_STAGE,
    EMD_LIST_REASON,
    EMD_LIST_NOTE,
    EMD_LIST_DIALS,
    EMD_LIST_IMAGE,
    EMD_LIST_RATIO,
    EMD_LIST_COLUMNS
};

struct emd_list_column {
    const char *key, *title, *unit, *help;
    enum emd_list_kind kind;
    int decimals;   /* of a number */
    unsigned needs; /* EMD_TRIAL_... */
    bool lattice;   /* needs list_settings.want_lattice */
};

const struct emd_list_column *emd_list_column(enum emd_list_column_id id);

/* Reads "path,resolution,cell" or "all" (may be repeated names) into ids of 'capacity'; returns
 * their number, 0 with *unknown set to the offending name (points into 'unknown', of 64). */
size_t emd_list_columns_parse(const char *text, enum emd_list_column_id ids[], size_t capacity,
                              char unknown[64]);

/* Value of a number column, NaN if there is none. */
double emd_list_number(const struct emd_list_row *row, enum emd_list_column_id id);

/* Value of any column as text, "" if there is none: points to the row's own text or to 'buffer'. */
enum { EMD_LIST_BUFFER = 512 };
const char *emd_list_text(const struct emd_list_row *row, enum emd_list_column_id id,
                          const struct emd_list_settings *settings, char buffer[EMD_LIST_BUFFER]);

#endif
