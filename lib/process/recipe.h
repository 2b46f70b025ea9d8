/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Recipes: the stages of a processing run as a short text that people read, copy and change. The
 * format is documented in docs/man/emdprocess-recipe.5; here is what becomes of it. */
#ifndef EMD_PROCESS_RECIPE_H
#define EMD_PROCESS_RECIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "dials/trial.h"

/* A line of a stage, as written, and where it stands. */
struct emd_recipe_line {
    char *text; /* NULL: not given */
    unsigned line;
};

#define EMD_FROM_RECIPE "recipe"

struct emd_recipe_variable {
    char *name, *value;
    const char *from; /* who gave the value: EMD_FROM_RECIPE, "emdprocess.conf", "-D"; static */
    bool required;    /* must not stay empty */
    unsigned line;
};

enum { EMD_COMMANDS_MAX = 16 };

struct emd_recipe_stage {
    char *name;
    unsigned line;
    /* tried in this order until one succeeds */
    struct emd_recipe_line commands[EMD_COMMANDS_MAX];
    size_t command_count;
    struct emd_recipe_line folder, inputs, outputs, reject;
    double time;   /* seconds, 0: no limit */
    bool optional; /* its failure stops nothing */
    bool timed, has_optional;
};

/* "list NAME = FILES": of each selected crystal, relative to its folder. */
struct emd_recipe_list {
    char *name;
    struct emd_recipe_line files;
};

struct emd_recipe {
    char *description;
    /* "scope = project": runs once, over selected crystals, in MERGED/TRIAL; 'trials' says which of
     * their trials are listed and selected from. */
    bool project, has_scope;
    struct emd_recipe_line trials;
    struct emd_recipe_list *lists;
    size_t list_count;
    struct emd_recipe_variable *variables;
    size_t variable_count;
    struct emd_recipe_stage *stages;
    size_t stage_count;
};

/* Parses a recipe. EMD_E_FORMAT, with the line in the text: unknown words, stages or variables that
 * are given twice, variables that are used and not declared, stages without a command. The caller
 * frees with emd_recipe_free, also on failure. */
enum emd_status emd_recipe_parse(const char *text, size_t length, struct emd_recipe *recipe,
                                 struct emd_error *err);
enum emd_status emd_recipe_read(const char *path, struct emd_recipe *recipe, struct emd_error *err);
void emd_recipe_free(struct emd_recipe *recipe);

/* Variables that every command may use and no recipe declares: movie, crystal (not with scope =
 * project), trial, project, nproc. */
bool emd_recipe_is_builtin(const char *name);

/* The folder of what recipes over several crystals make. */
#define EMD_MERGED EMD_TRIAL_MERGED

/* NULL: not declared. */
const struct emd_recipe_list *emd_recipe_list(const struct emd_recipe *recipe, const char *name);
struct emd_recipe_variable *emd_recipe_variable(const struct emd_recipe *recipe, const char *name);

/* Gives a variable another value, which may use the built-in ones. EMD_E_ARGUMENT: the recipe has
 * no such variable ("nproc" is always one), or the value is malformed. 'from' is the caller's to
 * change. */
enum emd_status emd_recipe_set(struct emd_recipe *recipe, const char *name, const char *value,
                               struct emd_error *err);

/* Takes the lines "NAME = VALUE" of a settings file. A name that the recipe does not declare must
 * be one of those that the shipped recipes know; "TRIAL.NAME = VALUE" counts for the recipe of that
 * trial only, behind the plain ones. EMD_E_EMPTY: there is no such file. */
enum emd_status emd_recipe_read_settings(struct emd_recipe *recipe, const char *trial,
                                         const char *path, struct emd_error *err);

/* "90", "90s", "30m", "2h", "1d" in seconds; false if it is none of these. */
bool emd_duration_parse(const char *text, double *seconds);

#endif
