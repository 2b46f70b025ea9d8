/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The lines of a list: one a crystal, read by several threads. */
#ifndef EMD_TOOLS_LISTROWS_H
#define EMD_TOOLS_LISTROWS_H

#include "dials/lattice.h"
#include "dials/resolution.h"
#include "dials/trial.h"

/* Whose word is taken for the symmetry, everywhere. */
enum symmetry_from {
    SYMMETRY_SYMMETRY,   /* dials.symmetry's best solution, else cosym's: as list.sh has it */
    SYMMETRY_COSYM,      /* dials.cosym's, else symmetry's */
    SYMMETRY_SPACE_GROUP /* the space group that dials.symmetry recommends, else the first */
};

struct list_settings {
    const char *folder, *trial;
    double limit; /* of CC1/2 */
    enum emd_resolution_method method;
    enum symmetry_from symmetry_from;
    bool good_only;
    unsigned what; /* EMD_TRIAL_... */
    bool want_ratio, want_lattice;
};

struct list_row {
    const struct emd_trial *trial;
    const struct emd_cell *cell;    /* NULL if there is none */
    size_t crystal, crystals;       /* number within the trial from 1, and how many there are */
    double resolution;              /* NaN: no answer */
    double ratio;                   /* raw / stored bytes of the movie; NaN if unknown */
    struct emd_lattice_place place; /* if it was wanted */
};

struct list_rows {
    struct emd_trial *trials;
    double *ratios;
    size_t trial_count;
    struct list_row *rows;
    size_t count;
    size_t hidden;                      /* by good_only */
    struct emd_lattice_summary lattice; /* if it was wanted */
};

/* Finds and reads everything; warns of folders that cannot be read. On success the caller ends it
 * with list_rows_free. */
enum emd_status list_rows_read(const struct list_settings *settings, struct list_rows *rows,
                               struct emd_error *err);
void list_rows_free(struct list_rows *rows);

/* The symmetry to show; "" if there is none. */
const char *list_row_symmetry(const struct list_row *row, enum symmetry_from from);

/* What makes the row's numbers doubtful, "" if nothing: an overall multiplicity below 1.5, where
 * CC1/2 is of few pairs; what emdprocess warned of, as a camera length that is not calibrated. May
 * point into 'buffer'. */
enum { LIST_NOTE_SIZE = 400 };
const char *list_row_note(const struct list_row *row, char buffer[static LIST_NOTE_SIZE]);

const char *list_method_name(enum emd_resolution_method method);
const char *list_outcome_name(enum emd_outcome outcome);

/* raw / stored bytes of the largest dataset of an HDF5 file; NaN if it cannot be told. */
double list_image_ratio(const char *path);

#endif
