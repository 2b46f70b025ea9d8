/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The cell and the symmetry that most crystals agree on, for a second round of processing that
 * knows them.
 *
 * Of the largest group of equal lattices (dials/lattice.h) the symmetry that dials.symmetry found
 * most often; of the crystals that have it, the median of the cells in its conventional setting
 * (TRIAL/symmetrized.expt). Without symmetry, the median reduced cell. */
#ifndef EMD_PROCESS_CONSENSUS_H
#define EMD_PROCESS_CONSENSUS_H

#include "base/status.h"
#include "process/words.h"

enum { EMD_CONSENSUS_GROUPS = 8 };

struct emd_consensus {
    size_t crystals;      /* with the trial */
    size_t members;       /* of the largest group of lattices */
    size_t lattices;      /* groups */
    double reduced[6];    /* median reduced cell of the group */
    double cell[6];       /* median conventional cell, with the constraints of the symmetry */
    size_t cells;         /* of so many crystals */
    char space_group[16]; /* "P2": the rotations of the symmetry without inversion */
    struct {
        char symmetry[40];          /* "P 1 2/m 1" */
        size_t crystals;            /* of the group that have it */
    } groups[EMD_CONSENSUS_GROUPS]; /* most frequent first */
    size_t group_count;
};

/* 'trial': "P1/not_blank". 'crystals': these only, or none: all. EMD_E_EMPTY: no crystal has a
 * cell. EMD_E_UNSUPPORTED: a symmetry that is not one of the Patterson groups that DIALS writes. */
enum emd_status emd_consensus_find(const char *project, const char *trial,
                                   const struct emd_words *crystals, struct emd_consensus *out,
                                   struct emd_error *err);

/* Sets NAME = VALUE in the settings file: in its line, if it has one, else in a new one at the end.
 * Everything else stays as it is. The file is replaced as a whole, or not at all.
 * EMD_E_UNSUPPORTED: the line continues on the next one. */
struct emd_setting {
    const char *name, *value;
};
enum emd_status emd_settings_put(const char *path, const struct emd_setting settings[],
                                 size_t count, struct emd_error *err);

#endif
