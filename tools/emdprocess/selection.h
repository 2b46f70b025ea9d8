/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Which movies are processed, under which names, and why the others are not. */
#ifndef EMD_TOOLS_SELECTION_H
#define EMD_TOOLS_SELECTION_H

#include "emdprocess/emdprocess.h"

struct selection {
    struct emd_crystals crystals;
    struct process_task *tasks;
    size_t count, skipped;
    char **troubles; /* texts of the tasks */
    size_t trouble_count;
};

/* Looks at the movies below images/. 'wanted' (crystals, movies, or paths of movies; none: all)
 * must all be found; else EMD_E_ARGUMENT. Movies of less than 'frames_min' images and files that
 * are no movies are reported as skipped. The caller frees with selection_free, also on failure. */
enum emd_status selection_make(const struct process_options *options,
                               const struct emd_words *wanted, size_t frames_min,
                               struct selection *selection, struct emd_error *err);
void selection_free(struct selection *selection);

#endif
