/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What others learn from emdwatch besides its messages: commands that are run when a movie is done
 * or has failed, and a file of figures for Prometheus. */
#ifndef EMD_TOOLS_EMDWATCH_MONITOR_H
#define EMD_TOOLS_EMDWATCH_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

struct emd_monitor {
    pid_t *commands; /* that are running */
    size_t count;
};

/* Runs 'command', words separated by spaces, with the arguments 'file' and 'about' added: no shell,
 * nothing on standard input, standard output to standard error. It is ended after ten minutes. The
 * signal mask is that of 'mask' (a sigset_t). 'command' NULL: nothing. */
void emd_monitor_run(struct emd_monitor *monitor, const char *command, const char *file,
                     const char *about, const void *mask);

/* Forgets commands that have ended; 'all' waits for the rest. Frees, then. */
void emd_monitor_reap(struct emd_monitor *monitor, bool all);

struct emd_monitor_figures {
    size_t waiting, running, done, failed, stuck; /* files now */
    uint64_t files, raw_bytes, stored_bytes;      /* done since the state file was begun */
    double seconds;                               /* of work on them */
    bool source_lost, target_lost, target_full;
    double scanned; /* seconds since the epoch of the last whole look at RAW, 0: none */
};

/* Writes them in Prometheus' text format, for node_exporter's textfile collector, so that the file
 * is old or new and never half. */
enum emd_status emd_monitor_write(const char *path, const struct emd_monitor_figures *figures,
                                  struct emd_error *err);

#endif
