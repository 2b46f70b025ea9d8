/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Slices of the models in a DIALS experiment list: what depends on the images of a scan, cut to
 * some of them. Each function returns a new model (one reference, the caller's) that shares what
 * did not change with the original, which stays as it is.
 *
 * A scan of n images is cut to [from, to) of them, 0 <= from < to <= n. Lists with one entry an
 * image are cut to the same; lists with one entry a scan point, of which there are n + 1 (the
 * boundaries of the images), to [from, to]. A list of any other length cannot be cut: that is
 * EMD_E_CORRUPT. */
#ifndef EMD_DIALS_SCANSLICE_H
#define EMD_DIALS_SCANSLICE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "dials/scan.h"

struct emd_scanslice {
    long first;      /* number of the scan's first image */
    size_t n;        /* its images */
    size_t from, to; /* those that stay */
};

/* Reads 'image_range' and the oscillation in both forms: of dxtbx up to 3.17 ("oscillation": start
 * and width) and since ("properties": the start of each image). */
enum emd_status emd_scan_read(struct json_object *scan, struct emd_scan *out,
                              struct emd_error *err);

/* The scan in the form that it has. 'identifiers' are pairs of old and new keys (pairs of them,
 * 2 x count strings) of valid_image_ranges; keys that are not among them stay. */
enum emd_status emd_scanslice_scan(struct json_object *scan, const struct emd_scanslice *slice,
                                   const char *const *identifiers, size_t count,
                                   struct json_object **out, struct emd_error *err);

/* A crystal, beam, goniometer, profile or imageset ('kind', the key of its list); *out is NULL if
 * nothing in the model depends on the images. */
enum emd_status emd_scanslice_model(const char *kind, struct json_object *model,
                                    const struct emd_scanslice *slice, struct json_object **out,
                                    struct emd_error *err);

#endif
