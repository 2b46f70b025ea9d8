/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Recipes over several crystals (scope = project): one task, whose folder is merged/TRIAL, and the
 * crystals that go into it. */
#ifndef EMD_TOOLS_MERGING_H
#define EMD_TOOLS_MERGING_H

#include "emdprocess/trialjob.h"
#include "process/members.h"

struct merging {
    struct emd_members members;
    struct emd_crystal crystal; /* stands for the merged set */
    struct process_task task;
    struct emd_recipe recipe;
    struct emd_words crystals, files;
    char *trial;
};

/* The variables of a recipe over several crystals that say which of them: an expression, and names
 * separated by blanks or commas. */
#define MERGING_SELECT "select"
#define MERGING_CRYSTALS "crystals"

/* Chooses the crystals by recipe and settings. The caller frees with merging_free, also on
 * failure. The structure must not be moved. */
enum emd_status merging_make(const struct process_options *options, struct merging *merging,
                             struct emd_error *err);
void merging_free(struct merging *merging);

/* Notes the choice in the record and in merged/TRIAL/selection.tsv, where it is new. */
enum emd_status merging_note(struct trial_job *job, struct emd_error *err);

/* For people, on standard output: who is in it, and why the others are not. */
void merging_print(const struct emd_members *members);

#endif
