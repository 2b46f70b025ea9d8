/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The lines of a list: one per crystal of a trial, read by several threads. */
#ifndef EMD_DIALS_LISTROWS_H
#define EMD_DIALS_LISTROWS_H

#include "dials/lattice.h"
#include "dials/resolution.h"
#include "dials/trial.h"

/* Whose word is taken for the symmetry, everywhere. */
enum emd_symmetry_from {
    EMD_SYMMETRY_SYMMETRY,   /* dials.symmetry's best solution, else cosym's: as list.sh has it */
    EMD_SYMMETRY_COSYM,      /* dials.cosym's, else symmetry's */
    EMD_SYMMETRY_SPACE_GROUP /* the space group that dials.symmetry recommends, else the first */
};

struct emd_list_settings {
    const char *folder, *trial;
    double limit; /* of CC1/2 */
    enum emd_resolution_method method;
    enum emd_symmetry_from symmetry_from;
    bool good_only;
    unsigned what; /* EMD_TRIAL_... */
    bool want_ratio, want_lattice;
    /* Compression ratio of a movie, NaN if unknown; NULL: of none. */
    double (*ratio)(const char *path);
};

struct emd_list_row {
    const struct emd_trial *trial;
    const struct emd_cell *cell;    /* NULL if there is none */
    size_t crystal, crystals;       /* number within the trial from 1, and how many there are */
    double resolution;              /* NaN: no answer */
    double ratio;                   /* raw / stored bytes of the movie; NaN if unknown */
    struct emd_lattice_place place; /* if it was wanted */
};

struct emd_list_rows {
    struct emd_trial *trials;
    double *ratios;
    size_t trial_count;
    struct emd_list_row *rows;
    size_t count;
    size_t hidden;                      /* by good_only */
    struct emd_lattice_summary lattice; /* if it was wanted */
    size_t unreadable;                  /* folders, of which this is the first */
    char first_unreadable[256];
};

/* Finds and reads everything. Folders that cannot be read are counted. On success the caller ends
 * it with emd_list_rows_free. */
enum emd_status emd_list_rows_read(const struct emd_list_settings *settings,
                                   struct emd_list_rows *rows, struct emd_error *err);
void emd_list_rows_free(struct emd_list_rows *rows);

/* The symmetry to show; "" if there is none. */
const char *emd_list_row_symmetry(const struct emd_list_row *row, enum emd_symmetry_from from);

/* What makes the row's numbers doubtful, "" if nothing: an overall multiplicity below 1.5, where
 * CC1/2 is of few pairs; what emdprocess warned of, as a camera length that is not calibrated. May
 * point into 'buffer'. */
enum { EMD_LIST_NOTE_SIZE = 400 };
const char *emd_list_row_note(const struct emd_list_row *row,
                              char buffer[static EMD_LIST_NOTE_SIZE]);

const char *emd_list_method_name(enum emd_resolution_method method);
const char *emd_list_outcome_name(enum emd_outcome outcome);

#endif
