/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/stageplan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values of variables --------------------------------------------------------------------- */

struct values {
    const struct emd_recipe *recipe;
    const struct emd_plan_facts *facts;
    char up[256]; /* from the stage's folder to the project's: "../.." */
    bool neutral; /* nproc by its name */
    bool used_nproc, no_memory;
    char *buffer[2]; /* of the last values: built-in, variable */
    struct emd_words list;
};

static const char *keep(struct values *v, int which, char *text)
{
    free(v->buffer[which]);
    v->buffer[which] = text;
    v->no_memory |= !text;
    return text;
}

/* A path of the project as the stage sees it. */
static const char *project_path(struct values *v, const char *path)
{
    char *text = NULL;
    if (asprintf(&text, "%s%s%s", path[0] == '/' ? "" : v->up, path[0] == '/' ? "" : "/", path) < 0)
        text = NULL;
    return keep(v, 0, text);
}

static const char *builtin_value(struct values *v, const char *name)
{
    if (strcmp(name, "movie") == 0)
        return v->facts->movie[0] ? project_path(v, v->facts->movie) : "";
    if (strcmp(name, "project") == 0)
        return v->up;
    if (strcmp(name, "crystal") == 0)
        return v->facts->crystal;
    if (strcmp(name, "trial") == 0)
        return v->facts->trial;
    v->used_nproc = true;
    char *text = NULL;
    if (v->neutral)
        text = strdup("${nproc}");
    else if (asprintf(&text, "%u", v->facts->nproc) < 0)
        text = NULL;
    return keep(v, 0, text);
}

/* The text with its built-in variables in place; the recipe has checked it. */
static char *expand(struct values *v, const char *text)
{
    char *out = strdup("");
    while (*text && out) {
        char *grown = NULL;
        size_t plain = strcspn(text, "$");
        const char *close = text[plain] ? strchr(text + plain, '}') : NULL;
        if (text[plain] && text[plain + 1] == '$') {
            if (asprintf(&grown, "%s%.*s", out, (int)plain + 1, text) < 0)
                grown = NULL;
            text += plain + 2;
        } else if (close) {
            char name[64] = "";
            snprintf(name, sizeof name, "%.*s", (int)(close - text - plain - 2), text + plain + 2);
            const char *value = builtin_value(v, name);
            if (!value || asprintf(&grown, "%s%.*s%s", out, (int)plain, text, value) < 0)
                grown = NULL;
            text = close + 1;
        } else {
            if (asprintf(&grown, "%s%s", out, text) < 0)
                grown = NULL;
            text = "";
        }
        free(out);
        out = grown;
    }
    return out;
}

static const char *lookup(void *ctx, const char *name)
{
    struct values *v = ctx;
    if (emd_recipe_is_builtin(name))
        return builtin_value(v, name);
    const struct emd_recipe_variable *variable = emd_recipe_variable(v->recipe, name);
    if (!variable)
        return NULL;
    if (variable->value[0] == '\0' && strcmp(name, "mask") == 0 && v->facts->mask &&
        v->facts->mask[0])
        return project_path(v, v->facts->mask);
    return keep(v, 1, expand(v, variable->value));
}

/* The words of a list for one crystal, relative to its folder. */
static enum emd_status member_words(struct values *v, const struct emd_recipe_list *list,
                                    struct emd_words *words, struct emd_error *err)
{
    enum emd_status status = emd_words_split(list->files.text, lookup, NULL, v, words, err);
    return v->no_memory ? emd_fail(err, EMD_E_MEMORY, "out of memory") : status;
}

/* The files of a list: of one crystal after the other, as the stage sees them. */
static const struct emd_words *lookup_list(void *ctx, const char *name)
{
    struct values *v = ctx;
    const struct emd_recipe_list *list = emd_recipe_list(v->recipe, name);
    const size_t members = v->facts->members ? v->facts->members->count : 0;
    struct emd_words words = {0};
    if (!list)
        return NULL;
    emd_words_free(&v->list);
    v->no_memory |= member_words(v, list, &words, NULL) != EMD_OK;
    for (size_t i = 0; i < members && !v->no_memory; i++)
        for (size_t k = 0; k < words.count && !v->no_memory; k++) {
            char *path = NULL;
            if (asprintf(&path, "%s/%s/%s", v->up, v->facts->members->word[i], words.word[k]) < 0)
                path = NULL;
            v->no_memory |= !path || emd_words_add(&v->list, path, NULL) != EMD_OK;
            free(path);
        }
    emd_words_free(&words);
    return &v->list;
}

static void free_values(struct values *v)
{
    free(v->buffer[0]);
    free(v->buffer[1]);
    emd_words_free(&v->list);
}

enum emd_status emd_stageplan_trials(const struct emd_recipe *recipe,
                                     const struct emd_plan_facts *facts, char **trials,
                                     struct emd_error *err)
{
    struct values v = {.recipe = recipe, .facts = facts, .up = "../.."};
    struct emd_words words = {0};
    enum emd_status status = emd_words_split(recipe->trials.text, lookup, NULL, &v, &words, err);
    *trials = NULL;
    if (status == EMD_OK && !v.no_memory && words.count != 1)
        status = emd_fail(err, EMD_E_FORMAT, "not one name of a trial");
    if (status == EMD_OK && (v.no_memory || !(*trials = strdup(words.word[0]))))
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status != EMD_OK)
        status = emd_fail_prefix(err, status, "line %u: trials", recipe->trials.line);
    emd_words_free(&words);
    free_values(&v);
    return status;
}

enum emd_status emd_stageplan_member_files(const struct emd_recipe *recipe,
                                           const struct emd_plan_facts *facts,
                                           struct emd_words *files, struct emd_error *err)
{
    struct values v = {.recipe = recipe, .facts = facts, .up = "../.."};
    enum emd_status status = EMD_OK;
    *files = (struct emd_words){0};
    for (size_t i = 0; i < recipe->list_count && status == EMD_OK; i++)
        status = member_words(&v, &recipe->lists[i], files, err);
    free_values(&v);
    return status;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* folder/path without "." and "..", as far as that can be told from the text. */
static char *normal_path(const char *folder, const char *path)
{
    char *joined = NULL, *out = NULL;
    if (asprintf(&joined, "%s/%s", path[0] == '/' ? "" : folder, path) < 0)
        return NULL;
    out = malloc(strlen(joined) + 2);
    if (!out) {
        free(joined);
        return NULL;
    }
    size_t used = 0;
    bool absolute = path[0] == '/';
    if (absolute)
        out[used++] = '/';
    const size_t root = used;
    char *rest = joined;
    for (char *part; (part = strtok_r(rest, "/", &rest));) {
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0 && used > root) {
            size_t last = used;
            while (last > root && out[last - 1] != '/')
                last--;
            if (strncmp(out + last, "..", used - last) != 0 || used - last != 2) {
                used = last > root ? last - 1 : root;
                continue;
            }
        }
        if (strcmp(part, "..") == 0 && absolute)
            continue;
        size_t n = strlen(part);
        if (used > root)
            out[used++] = '/';
        memcpy(out + used, part, n);
        used += n;
    }
    out[used] = '\0';
    free(joined);
    return out;
}

static bool lies_outside(const char *path)
{
    return path[0] == '/' || path[0] == '\0' ||
           (strncmp(path, "..", 2) == 0 && (path[2] == '/' || path[2] == '\0'));
}

/* ---- one stage ------------------------------------------------------------------------------- */

static enum emd_status split(const struct emd_recipe_line *line, struct values *v,
                             struct emd_words *words, struct emd_error *err)
{
    if (!line->text)
        return EMD_OK;
    enum emd_status status = emd_words_split(line->text, lookup, lookup_list, v, words, err);
    if (v->no_memory)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "line %u", line->line);
}

static enum emd_status make_files(const struct emd_recipe_line *line, struct values *v,
                                  const char *folder, bool inside, struct emd_words *files,
                                  struct emd_error *err)
{
    enum emd_status status = split(line, v, files, err);
    for (size_t i = 0; i < files->count && status == EMD_OK; i++) {
        char *path = normal_path(folder, files->word[i]);
        if (!path)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        free(files->word[i]);
        files->word[i] = path;
        if (inside && lies_outside(path))
            status = emd_fail(err, EMD_E_FORMAT,
                              "line %u: the output '%s' does not lie in the trial's folder",
                              line->line, path);
    }
    return status;
}

static enum emd_status make_commands(struct values *v, struct emd_plan_stage *stage,
                                     struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    const struct emd_recipe_stage *spec = stage->spec;
    for (size_t k = 0; k < spec->command_count && status == EMD_OK; k++) {
        struct emd_words neutral = {0};
        const size_t i = stage->command_count++;
        v->used_nproc = false;
        status = split(&spec->commands[k], v, &stage->commands[i], err);
        if (status == EMD_E_EMPTY) { /* a variable that it insists on is empty */
            emd_words_free(&stage->commands[i]);
            stage->command_count--;
            status = EMD_OK;
            continue;
        }
        stage->uses_nproc |= v->used_nproc;
        v->neutral = true;
        if (status == EMD_OK)
            status = split(&spec->commands[k], v, &neutral, err);
        v->neutral = false;
        if (status == EMD_OK && neutral.count == 0)
            status = emd_fail(err, EMD_E_FORMAT, "line %u: nothing is left of the command",
                              spec->commands[k].line);
        if (status == EMD_OK && !(stage->texts[i] = emd_words_join(&neutral)))
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        emd_words_free(&neutral);
    }
    if (status == EMD_OK && stage->command_count == 0)
        status = emd_fail(err, EMD_E_ARGUMENT,
                          "line %u: all commands of '%s' insist on variables that are empty",
                          spec->line, spec->name);
    return status;
}

static enum emd_status make_stage(const struct emd_recipe *recipe,
                                  const struct emd_plan_facts *facts,
                                  const struct emd_recipe_stage *spec, struct emd_plan_stage *stage,
                                  struct emd_error *err)
{
    struct values v = {.recipe = recipe, .facts = facts, .up = "../.."};
    enum emd_status status = EMD_OK;
    *stage = (struct emd_plan_stage){.spec = spec};
    stage->folder = normal_path("", spec->folder.text ? spec->folder.text : "");
    if (!stage->folder)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (stage->folder[0] && lies_outside(stage->folder))
        return emd_fail(err, EMD_E_FORMAT, "line %u: the folder does not lie in the trial's",
                        spec->folder.line);
    for (const char *p = stage->folder; *p && strlen(v.up) + 4 < sizeof v.up;) {
        strcat(v.up, "/..");
        p += strcspn(p, "/");
        p += *p == '/';
    }
    status = make_files(&spec->inputs, &v, stage->folder, false, &stage->inputs, err);
    if (status == EMD_OK)
        status = make_files(&spec->outputs, &v, stage->folder, true, &stage->outputs, err);
    if (status == EMD_OK && stage->outputs.count == 0)
        status = emd_fail(err, EMD_E_FORMAT, "line %u: nothing is left of the outputs",
                          spec->outputs.line);
    if (status == EMD_OK)
        status = make_commands(&v, stage, err);
    free_values(&v);
    return status;
}

/* ---- the graph ------------------------------------------------------------------------------- */

static bool contains(const struct emd_words *words, const char *text)
{
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->word[i], text) == 0)
            return true;
    return false;
}

static enum emd_status check_outputs(const struct emd_stageplan *plan, struct emd_error *err)
{
    for (size_t i = 0; i < plan->count; i++)
        for (size_t k = 0; k < plan->stages[i].outputs.count; k++) {
            const char *output = plan->stages[i].outputs.word[k];
            for (size_t j = 0; j < i; j++)
                if (contains(&plan->stages[j].outputs, output))
                    return emd_fail(err, EMD_E_FORMAT,
                                    "line %u: '%s' is an output of '%s' (line %u) already",
                                    plan->stages[i].spec->outputs.line, output,
                                    plan->stages[j].spec->name, plan->stages[j].spec->outputs.line);
        }
    return EMD_OK;
}

/* Does 'stage' read what 'from' writes? */
static bool reads_from(const struct emd_plan_stage *stage, const struct emd_plan_stage *from)
{
    for (size_t i = 0; i < stage->inputs.count; i++)
        if (contains(&from->outputs, stage->inputs.word[i]))
            return true;
    return false;
}

/* Each round takes the first stage of the recipe whose inputs are all made. */
static enum emd_status sort_stages(struct emd_stageplan *plan, struct emd_error *err)
{
    for (size_t done = 0; done < plan->count; done++) {
        size_t next = done;
        for (; next < plan->count; next++) {
            bool waits = false;
            for (size_t j = done; j < plan->count && !waits; j++)
                waits = reads_from(&plan->stages[next], &plan->stages[j]);
            if (!waits)
                break;
        }
        if (next == plan->count)
            return emd_fail(err, EMD_E_FORMAT,
                            "line %u: the stage '%s' waits for its own outputs, by itself or in a "
                            "circle of stages",
                            plan->stages[done].spec->line, plan->stages[done].spec->name);
        struct emd_plan_stage stage = plan->stages[next];
        memmove(plan->stages + done + 1, plan->stages + done, (next - done) * sizeof stage);
        plan->stages[done] = stage;
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct emd_plan_stage *stage = &plan->stages[i];
        stage->needs = calloc(i + 1, sizeof *stage->needs);
        if (!stage->needs)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        for (size_t j = 0; j < i; j++)
            if (reads_from(stage, &plan->stages[j]))
                stage->needs[stage->need_count++] = j;
    }
    return EMD_OK;
}

enum emd_status emd_stageplan_make(const struct emd_recipe *recipe,
                                   const struct emd_plan_facts *facts, struct emd_stageplan *plan,
                                   struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    *plan = (struct emd_stageplan){0};
    for (size_t i = 0; i < recipe->variable_count; i++)
        if (recipe->variables[i].required && recipe->variables[i].value[0] == '\0')
            return emd_fail(err, EMD_E_ARGUMENT,
                            "the recipe needs a value of '%s': give it in emdprocess.conf or by "
                            "-D %s=VALUE",
                            recipe->variables[i].name, recipe->variables[i].name);
    plan->stages = calloc(recipe->stage_count + 1, sizeof *plan->stages);
    if (!plan->stages)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < recipe->stage_count && status == EMD_OK; i++) {
        plan->count = i + 1;
        status = make_stage(recipe, facts, &recipe->stages[i], &plan->stages[i], err);
    }
    if (status == EMD_OK)
        status = check_outputs(plan, err);
    return status == EMD_OK ? sort_stages(plan, err) : status;
}

void emd_stageplan_free(struct emd_stageplan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct emd_plan_stage *s = &plan->stages[i];
        free(s->folder);
        for (size_t j = 0; j < s->command_count; j++) {
            emd_words_free(&s->commands[j]);
            free(s->texts[j]);
        }
        emd_words_free(&s->inputs);
        emd_words_free(&s->outputs);
        free(s->needs);
    }
    free(plan->stages);
    *plan = (struct emd_stageplan){0};
}

const struct emd_plan_stage *emd_stageplan_find(const struct emd_stageplan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->stages[i].spec->name, name) == 0)
            return &plan->stages[i];
    return NULL;
}
