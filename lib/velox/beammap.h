/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Inside of estimate.h: a frame as means of small blocks ("cells"), the radial profile around a
 * centre on it, the centre itself, and the shadow of a beam stop. Pure functions on buffers. */
#ifndef EMD_VELOX_BEAMMAP_H
#define EMD_VELOX_BEAMMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of rank k (from 0) of n; values left of it are not above it afterwards, those right of
 * it not below (C. A. R. Hoare 1961). No NaN. */
float emd_select_rank(float *values, size_t n, size_t k);

/* Sides of at most this many cells: a pixel of a 2048 frame is then an eighth of a cell, and a
 * least-squares fit finds a cell's fiftieth. */
enum { EMD_CELLS_SIDE = 256 };

struct emd_cells {
    size_t width, height; /* cells */
    size_t side;          /* pixels of a cell, each way */
    const float *value;   /* [height][width] means */
    const uint8_t *out;   /* [height][width]: not 0: left out; NULL: none */
};

/* Cells of a frame: their side, and how many of them; what is left over at the right and below does
 * not count. */
void emd_cells_plan(size_t height, size_t width, struct emd_cells *cells);

/* Means of a frame; not-finite pixels are left out. */
void emd_cells_fill(const struct emd_cells *plan, const float *frame, size_t frame_width,
                    float *to);

/* Level and scatter at distances from a centre, in cells. */
enum { EMD_PROFILE_MAX = 2 * EMD_CELLS_SIDE };
struct emd_profile {
    size_t bins;                     /* bin i: distances i .. i + 1 */
    double level[EMD_PROFILE_MAX];   /* median; NaN: too few cells */
    double scatter[EMD_PROFILE_MAX]; /* as a sigma */
    size_t count[EMD_PROFILE_MAX];
};

/* 'work': as many floats as cells. */
void emd_profile_fill(const struct emd_cells *cells, const double centre[2], float *work,
                      struct emd_profile *profile);
double emd_profile_at(const struct emd_profile *profile, double distance);

/* Centres are in cells, the centre of the first at 0.5. */

/* Where ranks depend on the distance most, within the inner seven tenths of the frame. */
void emd_centre_search(const struct emd_cells *cells, double centre[2]);

/* Improves a centre by the diffuse background; *sigma in cells, NaN (and the centre as it was)
 * where the background does not tell. What all cells of a column or a row have in common is the
 * camera's pattern and does not count. 'work': EMD_CENTRE_WORK times as many floats as cells. */
enum { EMD_CENTRE_WORK = 5 };
void emd_centre_refine(const struct emd_cells *cells, double centre[2], double *sigma, float *work);

/* The centroid of a direct beam near a centre; false: none is seen there. */
bool emd_centre_of_beam(const struct emd_cells *cells, const struct emd_profile *profile,
                        double centre[2], double *sigma);

/* Radius within which the direct beam, not the background, is what is seen, in cells. */
double emd_beam_reach(const struct emd_cells *cells);

/* Marks the shadow of a beam stop at the centre: mark[height][width], 1 inside and 2 where it is
 * full. False (and nothing is marked): there is none. */
bool emd_stop_find(const struct emd_cells *cells, const double centre[2],
                   const struct emd_profile *profile, double pedestal, uint8_t *mark);

/* The outline of what is marked, as at most 'most' corners in cells. Returns how many. */
size_t emd_stop_outline(const struct emd_cells *cells, const uint8_t *mark, size_t most,
                        double (*corner)[2]);

#endif
