/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Unit cells as lattices: compared whatever their setting, grouped, and odd ones found.
 *
 * One lattice has many cells: axes permuted, angles acute or obtuse (beta 88.7 or 91.3), centred or
 * given primitive. Each cell is made primitive by its centring and reduced (Niggli, by spglib);
 * near the borders of reduction, where noise chooses among several reduced cells, all bases of the
 * shortest vectors are tried, so that there is no jump (Andrews and Bernstein, Acta Cryst. A44
 * (1988) 1009, on why one reduced cell alone is no distance). */
#ifndef EMD_DIALS_LATTICE_H
#define EMD_DIALS_LATTICE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "dials/dialslog.h"

/* Two cells are of one lattice if axes agree within 5 % and angles within 2 degrees: what
 * dials.cosym and dials.symmetry allow. */
#define EMD_LATTICE_LENGTH 0.05
#define EMD_LATTICE_ANGLE 2.0
/* Below so many cells of a lattice their spread says nothing and none is an outlier. */
#define EMD_LATTICE_FEW 5
/* Outliers are farther away than all but a thousandth of cells that scatter normally: the square
 * root of chi square with 6 degrees of freedom at 0.999. */
#define EMD_LATTICE_FAR 4.74

/* The Niggli-reduced primitive cell. False if the cell closes no lattice. */
bool emd_lattice_reduce(const struct emd_cell *cell, double reduced[6]);

struct emd_lattice_place {
    size_t cluster;    /* from 1, the largest; 0: there is no cell, none that closes, or
                        * 500 other lattices came first */
    size_t members;    /* of the cluster */
    double reduced[6]; /* NaN without a cluster, as all that follows */
    double aligned[6]; /* the cell in the setting that most of its cluster have */
    double distance;   /* from the medians of the cluster's aligned cells, in robust standard
                        * deviations of all six values; NaN in clusters of a few */
    bool outlier;      /* farther than EMD_LATTICE_FAR */
};

/* Medians and spreads (1.48 x median absolute deviation, as measured) of the aligned cells of the
 * largest cluster. */
struct emd_lattice_summary {
    size_t clusters, cells; /* and how many cells the largest has */
    double median[6], spread[6];
};

/* Groups the cells (entries may be NULL); out[i] is about cells[i]. One thread. */
enum emd_status emd_lattice_group(const struct emd_cell *const cells[], size_t count,
                                  struct emd_lattice_place out[],
                                  struct emd_lattice_summary *summary, struct emd_error *err);

#endif
