/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* DIALS experiment lists (.expt): read, cut to some images of some experiments, written back.
 *
 * A list holds experiments, which are indices into lists of models (beam, detector, goniometer,
 * scan, crystal, profile, scaling_model, imageset). Models can be shared, so that cutting one
 * experiment changes copies only; experiments that shared a model and are cut alike share the copy.
 * Everything else, order of keys and numbers included, is written as it was read (jsondoc.h). Both
 * forms of scans, before and since dxtbx 3.18, keep their form. */
#ifndef EMD_DIALS_EXPT_H
#define EMD_DIALS_EXPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "dials/scan.h"

struct emd_expt;

struct emd_expt_info {
    const char *identifier; /* owned by the list; "" if there is none */
    bool has_scan;
    struct emd_scan scan; /* if has_scan */
    int imageset;         /* number of its image set, counted by first use as DIALS does, or -1 */
    bool sole;            /* no other experiment has this image set */
};

/* Reads and checks a file or a text; the caller frees with emd_expt_free. */
enum emd_status emd_expt_read(const char *path, struct emd_expt **out, struct emd_error *err);
enum emd_status emd_expt_parse(const char *text, size_t length, struct emd_expt **out,
                               struct emd_error *err);
void emd_expt_free(struct emd_expt *expt);

size_t emd_expt_count(const struct emd_expt *expt);
const struct emd_expt_info *emd_expt_info(const struct emd_expt *expt, size_t index);

/* One experiment of the result: images first..last of experiment 'index'. */
struct emd_expt_slice {
    size_t index;
    long first, last;       /* numbers as in image_range */
    const char *identifier; /* NULL: as it was */
};

/* Replaces the content by these experiments, in this order. Models that no experiment uses any
 * more are left out. Where all images of an experiment stay, its models stay untouched. On failure
 * the list is as before. */
enum emd_status emd_expt_select(struct emd_expt *expt, const struct emd_expt_slice *slices,
                                size_t count, struct emd_error *err);

/* The text of the list in memory that the caller frees. */
enum emd_status emd_expt_text(const struct emd_expt *expt, char **text, size_t *length,
                              struct emd_error *err);

#endif
