/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Commands that run beside us and never outlive us.
 *
 * Each command has a process group of its own and, in it, a keeper: a small fork of this process
 * that waits for the command. When the command has ended the keeper reports how, and kills what the
 * command left behind; when this process dies, of whatever, the keeper kills the group. (The
 * kernel's own death signal, PR_SET_PDEATHSIG, reaches only a direct child, and DIALS starts many.)
 *
 * Threads: the process must have one thread only, since it forks. SIGCHLD need not be watched: the
 * descriptor 'fd' becomes readable when a command has ended. */
#ifndef EMD_PROCESS_RUNCOMMAND_H
#define EMD_PROCESS_RUNCOMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

struct emd_run {
    pid_t group; /* of the keeper and of all that the command starts */
    int fd;
};

struct emd_run_request {
    char *const *argv; /* argv[0] is searched in the PATH of 'environment' */
    char *const *environment;
    const char *folder; /* to run in */
    const char *log;    /* standard output and errors are appended here; input is empty */
    int keep;           /* a descriptor that the keeper holds on to (a lock), or -1 */
};

struct emd_run_outcome {
    bool exited; /* with 'code'; else of the signal 'code' */
    int code;    /* -1: nobody knows, the keeper was killed */
    double cpu_seconds;
    double peak_bytes; /* of its largest process */
};

enum emd_status emd_run_start(const struct emd_run_request *request, struct emd_run *run,
                              struct emd_error *err);

/* Sends a signal to the command and all that it started. */
void emd_run_signal(const struct emd_run *run, int number);

/* Waits for the end, which has come if 'fd' is readable, and frees what the run holds. */
struct emd_run_outcome emd_run_finish(struct emd_run *run);

/* Memory (PSS: shared pages count in part) of all processes of each group, in bytes; 0 where the
 * system does not say. */
void emd_run_memory(const pid_t groups[], double bytes[], size_t count);

/* The file that 'name' stands for in the PATH of 'environment', which the caller frees; NULL: there
 * is none. */
char *emd_run_find(const char *name, char *const *environment);

#endif
