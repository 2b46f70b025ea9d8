/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Which images of a scan are blank: the analysis of dials.detect_blanks
 * (dials/util/detect_blanks.py, unchanged from DIALS 3.8 to 3.30) on plain arrays, without its
 * defects.
 *
 * The scan is cut into bins of a whole number of images, at least 'phi_step' degrees wide. Counts:
 * a bin is blank if it has at most 'loss' times the spots of the fullest bin. I/sigma: it is blank
 * if the mean I/sigma of its reflections is at most 'loss' times the highest mean.
 *
 * On all input that DIALS analyses rightly the bins, values and blank images are the same, to the
 * last bit (the angles take dxtbx's way through radians because its rounding decides about the
 * number of bins). Deliberate differences:
 *   - a single blank bin at the end of the scan counts (DIALS overlooks it);
 *   - a scan shorter than a bin is one bin (DIALS stops);
 *   - spots outside the scan, or nowhere (NaN), are left out (DIALS stops);
 *   - the images of a bin are computed in whole numbers, so that rounding cannot add a neighbour;
 *   - a statistic whose highest value is not a positive number says nothing: no bin is blank by it
 *     (DIALS calls all of them blank when the highest mean is negative). */
#ifndef EMD_DIALS_BLANKS_H
#define EMD_DIALS_BLANKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "dials/scan.h"

/* The result of one analysis. z is in array coordinates: image n is [n - 1, n). */
struct emd_blanks {
    size_t used;      /* rows that counted */
    size_t images;    /* of the scan */
    long first;       /* number of its first image */
    size_t bins;      /* 1 .. images */
    double *value;    /* of each bin: spots, or mean I/sigma (0 without reflections) */
    bool *blank;      /* of each bin */
    double highest;   /* the largest value */
    double threshold; /* a bin is blank if its value is at most this */
    bool informative; /* false: 'highest' is no positive number, no bin is called blank */
};

/* Fill *out, whose arrays emd_blanks_free releases. 'z', 'weight' and 'isigma' have n entries;
 * without weights (NULL) every row counts once. The scan must not be a still. */
enum emd_status emd_blanks_counts(const struct emd_scan *scan, double phi_step, double loss,
                                  const double *z, const double *weight, size_t n,
                                  struct emd_blanks *out, struct emd_error *err);
enum emd_status emd_blanks_isigma(const struct emd_scan *scan, double phi_step, double loss,
                                  const double *z, const double *isigma, size_t n,
                                  struct emd_blanks *out, struct emd_error *err);

/* Another analysis of counts, image by image: the likeliest course of a two-state model in which
 * lit and blank images have Poisson-distributed numbers of spots. Every image is a bin. It finds
 * the ends of blank ranges to an image or two, where bins of 2 degrees are off by up to their
 * width, and follows fading crystals better. */
enum emd_status emd_blanks_robust(const struct emd_scan *scan, double phi_step, const double *z,
                                  size_t n, struct emd_blanks *out, struct emd_error *err);

void emd_blanks_free(struct emd_blanks *blanks);

/* Number of the first and last image that bin i touches, and its bounds in z. */
long emd_blanks_first(const struct emd_blanks *blanks, size_t bin);
long emd_blanks_last(const struct emd_blanks *blanks, size_t bin);
double emd_blanks_low(const struct emd_blanks *blanks, size_t bin);

/* The next run of blank bins from *bin on: numbers of its first and last image, and *bin moves
 * behind it; false if there is none. */
bool emd_blanks_region(const struct emd_blanks *blanks, size_t *bin, long *first, long *last);

#endif
