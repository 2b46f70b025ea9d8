/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* One look at a source folder: every file that matches, and the output that belongs to it. */
#ifndef EMD_WATCH_SCAN_H
#define EMD_WATCH_SCAN_H

#include "watch/watchlist.h"

struct emd_scan {
    const char *source, *target; /* folders */
    const char *const *patterns; /* of file names, NULL behind the last; see emd_scan_matches */
    void *ctx;
    /* A file, its output's name below the target, and what both are now. False stops the scan. */
    bool (*file)(void *ctx, const char *name, const char *output, const struct emd_watch_id *source,
                 const struct emd_watch_id *target);
    /* A folder that is about to be read, so that its changes can be watched; may be NULL. */
    bool (*folder)(void *ctx, const char *name);
    /* A folder (or file) that cannot be read; "" is the source folder itself. */
    bool (*trouble)(void *ctx, const char *name, int error);
};

/* Walks the source folder. Hidden names, names ending in ".tmp", the target folder (where it lies
 * inside the source) and links to folders are left out; links to files count as files. True if all
 * was seen. */
bool emd_scan_run(const struct emd_scan *scan);

/* Whether a name matches one of the patterns (fnmatch), whatever the case of its letters: cameras'
 * PCs write X.emd and X.EMD alike. */
bool emd_scan_matches(const char *const *patterns, const char *name);

/* Removes temporary files of dead processes below the target folder: those of outputs that match a
 * pattern, or of tables of frames, whose lock can be taken and which did not change for 'wait'
 * seconds. Returns how many. */
size_t emd_scan_clean(const char *target, const char *const *patterns, double wait);

#endif
