/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What the pixels of a diffraction movie say about the camera and the beam: gain, pedestal, centre
 * of the beam, shadow of a beam stop. For movies whose metadata do not say it, and to check what
 * they say.
 *
 * Gain. Electrons are counted, so that the variance of a pixel in time is gain x (mean - pedestal)
 * beside the read noise; the camera's blur lowers it but only moves it to the covariances with the
 * neighbours, whose sum over all distances is kept (the power at zero frequency of the noise: J. R.
 * Janesick, Photon Transfer, 2007, for the line; for its blur e.g. R. R. Meyer and A. I. Kirkland,
 * Microsc. Res. Tech. 49, 2000). The gain is the slope of that sum against the mean. Spread in the
 * signal of single electrons is part of it, which is what DIALS' variance model wants.
 *
 * Pedestal. Read noise is symmetric, counted electrons are not: their third cumulant is
 * proportional to (mean - pedestal) and read noise adds nothing, which tells a constant background
 * from a pedestal where mean and variance cannot. Bounded by the darkest part from above and by the
 * pedestal without any read noise from below.
 *
 * Centre. Where the direct beam is seen, the centroid of it; else the centre around which the
 * diffuse background is the same in all directions: a search over the frame's inner part on ranks,
 * then least squares of the shift against the radial profile, without outliers, on means of small
 * blocks.
 *
 * Pixels are float, row by row; coordinates are pixels of the file with the centre of the first
 * at 0.5, as in DIALS. Any thread; an estimator belongs to one at a time. What cannot be told from
 * the pixels is NaN. */
#ifndef EMD_VELOX_ESTIMATE_H
#define EMD_VELOX_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum emd_centre_from { EMD_CENTRE_UNKNOWN, EMD_CENTRE_BEAM, EMD_CENTRE_BACKGROUND };

enum { EMD_STOP_CORNERS_MAX = 48 };

struct emd_estimate {
    double centre[2], centre_sigma; /* x (fast), y (slow), pixels */
    enum emd_centre_from centre_from;
    double pedestal, pedestal_sigma; /* pixel value without electrons */
    double gain, gain_sigma;         /* pixel value per electron */
    size_t corners;                  /* of the beam stop's shadow; 0: none found */
    double corner[EMD_STOP_CORNERS_MAX]
                 [2]; /* x, y, around it, pixels from the corner of the first */
    size_t frames;    /* that were looked at */
};

/* All unknown. */
void emd_estimate_clear(struct emd_estimate *estimate);

struct emd_estimator;

/* Frames need at least 64 x 64 pixels (EMD_E_UNSUPPORTED). Pixels of 'clip' and above are
 * saturated; infinity: none. The caller frees with emd_estimator_free. */
enum emd_status emd_estimator_new(size_t height, size_t width, double clip,
                                  struct emd_estimator **out, struct emd_error *err);
void emd_estimator_free(struct emd_estimator *estimator);

/* Adds one to three frames, consecutive ones of the movie: without two there is no gain, without
 * three no pedestal but the darkest part. At most 48 frames in all; more are ignored. */
enum emd_status emd_estimator_add(struct emd_estimator *estimator, const float *const frames[],
                                  size_t count, struct emd_error *err);

/* What the frames said. No more may be added. */
enum emd_status emd_estimator_finish(struct emd_estimator *estimator, struct emd_estimate *estimate,
                                     struct emd_error *err);

/* After emd_estimator_finish: centre and pedestal of any frame of the movie; NaN: cannot be told.
 */
enum emd_status emd_estimator_frame(struct emd_estimator *estimator, const float *frame,
                                    double centre[2], double *pedestal, struct emd_error *err);

#endif
