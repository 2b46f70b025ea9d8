/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The estimates of estimate.h from a movie in a file. */
#ifndef EMD_VELOX_ESTIMATEFILE_H
#define EMD_VELOX_ESTIMATEFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "velox/estimate.h"
#include "velox/stack.h"

/* From a bounded sample of a stack (groups of three frames, at most 24 million pixels
 * where a frame does not have more), on the HDF5 thread. EMD_E_UNSUPPORTED: not such images, or so
 * stored that a sample would cost as much as the whole movie. 'estimator' may be NULL; otherwise it
 * is the caller's for emd_estimator_frame. */
enum emd_status emd_estimate_stack(const struct emd_stack *stack, double clip,
                                   struct emd_estimate *estimate, struct emd_estimator **estimator,
                                   struct emd_error *err);

enum emd_gain_from { EMD_GAIN_UNKNOWN, EMD_GAIN_METADATA, EMD_GAIN_PIXELS };

struct emd_gain {
    double value; /* pixel value per electron; NaN: unknown */
    enum emd_gain_from from;
    bool contradicted; /* metadata and pixels differ by more than a factor of 1.5, surely */
};

/* The gain to work with: what the metadata say, unless the pixels contradict; else that of the
 * pixels. NaN: the metadata do not say. */
struct emd_gain emd_gain_choose(double metadata, const struct emd_estimate *estimate);

struct emd_frame_estimate {
    double centre[2], pedestal; /* as in struct emd_estimate */
};

struct emd_estimate_request {
    const char *path, *dataset; /* of a Velox file */
    double clip;                /* saturated from here on; NaN: at the limit of the type */
    size_t frame_count;         /* of the first frames, each for itself; 0: none. Reads them all */
    bool (*cancelled)(void *ctx); /* may be NULL */
    void *cancel_ctx;
};

/* The same in a process of its own (hdf5/guard.h), since HDF5 may crash on pixels that are damaged.
 * 'frame': [frame_count]. On a failure *estimate is clear. */
enum emd_status emd_estimate_file(const struct emd_estimate_request *request,
                                  struct emd_estimate *estimate, struct emd_frame_estimate *frame,
                                  struct emd_error *err);

#endif
