/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A recipe for one crystal: the stages in the order in which they run, with their commands as words
 * and their files, and which stage waits for which. A pure function of its arguments: no file is
 * looked at. */
#ifndef EMD_PROCESS_STAGEPLAN_H
#define EMD_PROCESS_STAGEPLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "process/recipe.h"
#include "process/words.h"

/* What the built-in variables stand for. Paths are absolute or relative to the project's folder; in
 * commands they appear relative to the folder of the stage, so that a project can be moved. */
struct emd_plan_facts {
    const char *movie, *crystal,
        *trial;                      /* of a recipe over several crystals: "", EMD_MERGED, ... */
    const struct emd_words *members; /* the folders of these crystals; NULL: none */
    const char *mask; /* for a variable 'mask' that is empty; NULL or "": it stays so */
    unsigned nproc;
};

struct emd_plan_stage {
    const struct emd_recipe_stage *spec; /* of the recipe, which must stay */
    char *folder;                        /* below the trial's, "" for itself */
    struct emd_words commands[EMD_COMMANDS_MAX];
    /* The same as single lines, with nproc by its name: how many cores there are changes no result
     * and must not make anything be done again. */
    char *texts[EMD_COMMANDS_MAX];
    size_t command_count;
    struct emd_words inputs, outputs; /* relative to the trial's folder, or absolute */
    bool uses_nproc;
    size_t *needs; /* stages that make our inputs: indices below ours */
    size_t need_count;
};

struct emd_stageplan {
    struct emd_plan_stage *stages;
    size_t count;
};

/* EMD_E_FORMAT (with the line of the recipe): stages that wait for each other in a circle, two that
 * write one file, outputs outside the trial's folder. EMD_E_ARGUMENT: a required variable is empty.
 * The caller frees with emd_stageplan_free, also on failure. */
enum emd_status emd_stageplan_make(const struct emd_recipe *recipe,
                                   const struct emd_plan_facts *facts, struct emd_stageplan *plan,
                                   struct emd_error *err);
/* The one word of 'trials' of a recipe over several crystals, with its variables in place; the
 * caller frees it. EMD_E_FORMAT: it is not one word. */
enum emd_status emd_stageplan_trials(const struct emd_recipe *recipe,
                                     const struct emd_plan_facts *facts, char **trials,
                                     struct emd_error *err);
/* The files of all lists of the recipe, each once, relative to the folder of any crystal. The
 * caller frees *files in any case. */
enum emd_status emd_stageplan_member_files(const struct emd_recipe *recipe,
                                           const struct emd_plan_facts *facts,
                                           struct emd_words *files, struct emd_error *err);

void emd_stageplan_free(struct emd_stageplan *plan);

/* The stage of this name, or NULL. */
const struct emd_plan_stage *emd_stageplan_find(const struct emd_stageplan *plan, const char *name);

#endif
