/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Runs the stages of many crystals side by side.
 *
 * One loop, one thread: it starts commands while cores and memory last, waits for their ends, for
 * signals and for time limits, and writes each trial's record. A stage that uses nproc takes that
 * many cores, any other takes one; crystals go on in their order, and none is overtaken by a later
 * one that needs less, so that nothing starves. */
#ifndef EMD_TOOLS_CONDUCTOR_H
#define EMD_TOOLS_CONDUCTOR_H

#include "emdprocess/emdprocess.h"

/* Processes all tasks; the exit code. On SIGINT, SIGTERM and SIGHUP everything is stopped, and
 * *signal_number says which came. */
int conductor_run(const struct process_options *options, struct process_task *tasks, size_t count,
                  size_t skipped, int *signal_number);

/* --dry-run: prints what would be done. --status: one line a crystal. */
int conductor_dry_run(const struct process_options *options, struct process_task *tasks,
                      size_t count);
int conductor_status(const struct process_options *options, struct process_task *tasks,
                     size_t count, size_t skipped);

/* Would anything run for this crystal? For submission; true if that cannot be told. */
bool conductor_has_work(const struct process_options *options, struct process_task *task);

#endif
