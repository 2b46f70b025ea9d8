/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What the parts of emdprocess share. All paths are relative to the project's folder, which is the
 * current one. */
#ifndef EMD_TOOLS_EMDPROCESS_H
#define EMD_TOOLS_EMDPROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "process/crystals.h"
#include "process/instruments.h"
#include "process/recipe.h"
#include "process/words.h"

struct emd_members;

struct process_options {
    const char *recipe_path; /* absolute */
    const char *trial;
    struct emd_words settings; /* NAME=VALUE, in their order */
    struct emd_words stages;   /* those to look at; none: all */
    unsigned cores;
    double memory;     /* bytes in all */
    double time_limit; /* seconds a stage, 0: as the recipe says */
    bool project;      /* the recipe is over several crystals */
    bool force, keep_going, retry, json, quiet, verbose;
    char **environment; /* of the commands */
    struct emd_instruments instruments;
};

/* A crystal that is to be processed, or why it cannot be. */
struct process_task {
    struct emd_crystal *crystal;
    const char *trouble; /* of its movie, "" if there is none */
    /* Of a recipe over several crystals: these, and 'crystal' stands for the merged set. Else NULL.
     */
    const struct emd_members *members;
    char geometry_trouble[256]; /* storage of such a trouble */
    bool not_ready;             /* the trouble may go away by itself */
};

#endif
