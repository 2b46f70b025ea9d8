/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The node's loop, and what its parts know of each other. */
#ifndef EMD_TOOLS_EMDWATCH_NODE_H
#define EMD_TOOLS_EMDWATCH_NODE_H

#include "common/crew.h"
#include "repack/repack.h"
#include "watch/scan.h"
#include "watch/statefile.h"
#include "watch/watchlist.h"

struct emd_node_options {
    const char *source, *target;
    const char *const *patterns; /* NULL behind the last */
    struct emd_watch_settings watch;
    struct emd_repack_options repack;
    struct emd_crew_budget crew;
    bool once, json, frame_stats, quiet;
    const char *on_done, *on_failure; /* commands, or NULL; see monitor.h */
    const char *metrics;              /* file, or NULL */
};

/* The lock of a target folder that says who works on it, below it. */
#define EMD_NODE_LOCK ".emdwatch.lock.tmp"

/* A file that will not be done by itself: it failed, or did again and again. */
bool emd_node_is_stuck(const struct emd_watch_entry *entry);

/* Runs until a signal, or with 'once' until nothing is left to do; the exit code. */
int emd_node_run(const struct emd_node_options *options);

/* ---- processes that do what may block or crash (worker.c); each reports through a pipe ---- */

enum emd_report_kind {
    EMD_REPORT_FILE,     /* a scan saw: source, target, name, output */
    EMD_REPORT_FOLDER,   /* a scan reads a folder of a local file system: name */
    EMD_REPORT_TROUBLE,  /* a scan could not read: name, number = errno */
    EMD_REPORT_SCANNED,  /* the scan is over; number: all was seen */
    EMD_REPORT_CHECKED,  /* number: enum emd_output_state, name, output = why */
    EMD_REPORT_PROGRESS, /* number: bytes done */
    EMD_REPORT_WARNING,  /* name: text */
    EMD_REPORT_RESULT,   /* number: enum emd_watch_outcome, name = why, result */
    EMD_REPORT_CLEANED   /* number: temporary files removed */
};

struct emd_report {
    enum emd_report_kind kind;
    uint32_t name_bytes, output_bytes; /* follow the report, each with its NUL */
    int64_t number;
    struct emd_watch_id source, target;
    struct emd_repack_result result;
    double seconds;
};

/* Bodies of the processes; they write reports to 'fd' and return when they are done. */
void emd_worker_scan(const struct emd_node_options *options, int fd);
void emd_worker_check(const struct emd_node_options *options, const struct emd_watchlist *list,
                      int fd);
void emd_worker_clean(const struct emd_node_options *options, int fd);
void emd_worker_repack(const struct emd_node_options *options, const struct emd_watch_entry *entry,
                       unsigned threads, int fd);

/* DIR/NAME; the caller frees. Out of memory ends the program. */
char *emd_node_path(const char *folder, const char *name);

/* CLOCK_MONOTONIC, seconds. */
double emd_node_now(void);

#endif
