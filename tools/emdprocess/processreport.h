/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What emdprocess says while it works: an event a line on standard output, as text or JSON, and on
 * a terminal one line of progress below. */
#ifndef EMD_TOOLS_PROCESSREPORT_H
#define EMD_TOOLS_PROCESSREPORT_H

#include "emdprocess/trialjob.h"

struct process_counts {
    size_t total, done, unchanged, failed, not_ready, stopped, skipped;
};

/* A movie that is no crystal to us. */
void report_skipped(const struct process_options *options, const char *movie, const char *why);

/* A crystal that does not go into the merged set. */
void report_left_out(const struct process_options *options, const char *crystal, const char *why);

/* A stage has ended (text: with --verbose only). */
void report_stage(const struct process_options *options, const char *crystal,
                  const struct emd_recipe_stage *stage, bool done, const char *reason,
                  const struct emd_stage_result *result);

/* A crystal has ended; counts it. */
void report_job(const struct trial_job *job, struct process_counts *counts);

void report_summary(const struct process_options *options, const struct process_counts *counts,
                    double seconds);

/* The line of progress; nothing in a pipe. 'jobs' are those under way. */
void report_progress(const struct process_options *options, const struct process_counts *counts,
                     struct trial_job *const jobs[], size_t count);
void report_progress_clear(void);

#endif
