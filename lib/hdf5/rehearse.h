/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Is a file safe to give to HDF5? Its structure is first copied once, into memory, by a child
 * process that may die of it (guard.h): what a real copy will ask of HDF5 except the raw data of
 * plain datasets, which is our own codecs' work. */
#ifndef EMD_HDF5_REHEARSE_H
#define EMD_HDF5_REHEARSE_H

#include <stdbool.h>

#include "base/status.h"
#include "hdf5/losses.h"

struct emd_rehearse_options {
    unsigned seconds; /* as in guard.h */
    bool is_open;     /* 'fd' is the file, open for reading; else 'path' is opened */
    int fd;
    struct emd_avoid *avoid; /* not NULL: for a salvage; see below */
    bool (*cancelled)(void *ctx);
    void *ctx;
};

/* Opens 'path', copies its structure and small data into memory and forgets them, in a child
 * process. The failures are those of emd_source_open, emd_tree_copy and emd_guard_run. Takes about
 * as long as copying the same structure: milliseconds for a movie. 'options' NULL: defaults.
 *
 * For a salvage, what cannot be read is no failure, and an object on which HDF5 crashes or hangs is
 * put on the list 'avoid' (empty at entry), which a copy must leave out; the failure is returned
 * where that does not help. */
enum emd_status emd_tree_rehearse(const char *path, const struct emd_rehearse_options *options,
                                  struct emd_error *err);

#endif
