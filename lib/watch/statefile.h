/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* TARGET/.emdwatch.json: what cannot be seen in the folders. Which sources failed and why, since
 * when others are known, sums. Losing it costs nothing but another look at what failed. */
#ifndef EMD_WATCH_STATEFILE_H
#define EMD_WATCH_STATEFILE_H

#include "watch/watchlist.h"

#define EMD_STATE_NAME ".emdwatch.json"

struct emd_watch_totals {
    uint64_t files, raw_bytes, stored_bytes;
    double seconds; /* of work */
};

/* Writes it atomically. */
enum emd_status emd_statefile_write(const char *target, const struct emd_watchlist *list,
                                    const struct emd_watch_totals *totals, struct emd_error *err);

/* Puts what the file knows into an empty list, as if it had been seen; a file that is missing or
 * damaged says nothing. Failures of another version of emdtools, and waiting times of another boot,
 * do not count. */
void emd_statefile_read(const char *target, struct emd_watchlist *list,
                        struct emd_watch_totals *totals);

#endif
