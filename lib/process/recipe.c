/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See recipe.h. A line is a declaration ("set NAME = VALUE", "stage NAME", ...) or, below a stage,
 * one of its properties. Everything is checked here that can be without a crystal; what depends on
 * the values of variables is checked by the plan. */
#include "process/recipe.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "dials/textfile.h"
#include "process/words.h"

static const char *const builtin[] = {"movie", "crystal", "trial", "project", "nproc"};

/* What the shipped recipes declare: a settings file serves all of them. */
static const char *const common[] = {
    "pedestal",      "panel_gain",    "distance",      "beam_centre",  "axis",
    "trusted_range", "gain",          "d_min",         "pixel_size",   "d_min_integrate",
    "d_min_scale",   "d_min_rescale", "mask",          "space_group",  "unit_cell",
    "image_range",   "nbins",         "hkl_tolerance", "keep",         "max_lattices",
    "spots_max",     "from",          "select",        "crystals",     "cc_half",
    "d_max",         "filter",        "filter_mode",   "filter_group", "filter_cutoff",
    "model",         "decay",         "absorption",    "composition",  "wavelength"};

/* A megabyte of recipe is none. */
enum { SIZE_LIMIT = 1 << 20, COUNT_LIMIT = 1000 };

static bool is_among(const char *name, const char *const list[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}

bool emd_recipe_is_builtin(const char *name)
{
    return is_among(name, builtin, sizeof builtin / sizeof *builtin);
}

struct emd_recipe_variable *emd_recipe_variable(const struct emd_recipe *recipe, const char *name)
{
    for (size_t i = 0; i < recipe->variable_count; i++)
        if (strcmp(recipe->variables[i].name, name) == 0)
            return &recipe->variables[i];
    return NULL;
}

const struct emd_recipe_list *emd_recipe_list(const struct emd_recipe *recipe, const char *name)
{
    for (size_t i = 0; i < recipe->list_count; i++)
        if (strcmp(recipe->lists[i].name, name) == 0)
            return &recipe->lists[i];
    return NULL;
}

bool emd_duration_parse(const char *text, double *seconds)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].suffix) == 0) {
            *seconds = value * units[i].factor;
            return *seconds > 0 && *seconds < 1e9;
        }
    return false;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* The lines of a text, one after the other; a backslash at the end joins the next one. Comments and
 * empty lines are left out. */
struct reader {
    const char *at, *end;
    unsigned next, line; /* the line that comes next, the one that was read */
    char *text;          /* of the current line, trimmed */
    size_t capacity;
    struct emd_error *err;
};

static enum emd_status out_of_memory(struct emd_error *err)
{
    return emd_fail(err, EMD_E_MEMORY, "out of memory");
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

/* EMD_E_EMPTY: no more lines. */
static enum emd_status next_line(struct reader *r, char **line)
{
    size_t used = 0;
    bool joined = false;
    while (r->at < r->end) {
        const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
        size_t n = (size_t)((stop ? stop : r->end) - r->at);
        if (used + n + 2 > r->capacity) {
            size_t capacity = 2 * r->capacity + n + 128;
            char *grown = realloc(r->text, capacity);
            if (!grown)
                return out_of_memory(r->err);
            r->text = grown;
            r->capacity = capacity;
        }
        memcpy(r->text + used, r->at, n);
        used += n;
        r->text[used] = '\0';
        r->at += n + (stop != NULL);
        if (!joined)
            r->line = r->next;
        r->next++;
        if (memchr(r->text, '\0', used))
            return emd_fail(r->err, EMD_E_FORMAT, "line %u: no text: it contains a NUL", r->line);
        while (used > 0 && isspace((unsigned char)r->text[used - 1]))
            r->text[--used] = '\0';
        char *text = r->text;
        while (isspace((unsigned char)*text))
            text++;
        bool comment = *text == '#' || *text == '\0';
        if (!joined && comment) {
            used = 0;
            continue;
        }
        if (used > 0 && r->text[used - 1] == '\\') {
            r->text[used - 1] = ' ';
            joined = true;
            continue;
        }
        *line = trim(r->text);
        return EMD_OK;
    }
    if (joined)
        return emd_fail(r->err, EMD_E_FORMAT, "line %u: nothing follows the last backslash",
                        r->line);
    return EMD_E_EMPTY;
}

/* Splits "NAME = VALUE" in place. */
static bool split_assignment(char *line, char **name, char **value)
{
    char *equal = strchr(line, '=');
    if (!equal)
        return false;
    *equal = '\0';
    *name = trim(line);
    *value = trim(equal + 1);
    return true;
}

static bool is_name(const char *name, const char *more)
{
    if (*name == '\0' || strlen(name) >= 64)
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && !(*more && strchr(more, *p)))
            return false;
    return true;
}

/* ---- checks of values ------------------------------------------------------------------------ */

struct scope {
    const struct emd_recipe *recipe; /* NULL: built-in variables only */
    bool no_lists;
};

/* There is no one movie and no one crystal for a recipe over several. */
static bool is_of_crystal(const char *name)
{
    return strcmp(name, "movie") == 0 || strcmp(name, "crystal") == 0;
}

static const char *any_value(void *ctx, const char *name)
{
    const struct scope *scope = ctx;
    if (emd_recipe_is_builtin(name))
        return scope->recipe && scope->recipe->project && is_of_crystal(name) ? NULL : "x";
    return scope->recipe && emd_recipe_variable(scope->recipe, name) ? "x" : NULL;
}

static const struct emd_words *any_list(void *ctx, const char *name)
{
    static char word[] = "x";
    static char *list[] = {word, NULL};
    static const struct emd_words any = {.word = list, .count = 1};
    const struct scope *scope = ctx;
    return !scope->no_lists && scope->recipe && emd_recipe_list(scope->recipe, name) ? &any : NULL;
}

static enum emd_status check_words(const char *text, const struct emd_recipe *recipe, bool lists,
                                   struct emd_error *err)
{
    struct scope scope = {recipe, !lists};
    struct emd_words words = {0};
    enum emd_status status = emd_words_split(text, any_value, any_list, &scope, &words, err);
    emd_words_free(&words);
    return status;
}

/* The value of a variable is one word, whatever is in it; it may use built-in variables. */
static enum emd_status check_value(const char *value, struct emd_error *err)
{
    struct scope scope = {0};
    for (const char *p = strchr(value, '$'); p; p = strchr(p + 2, '$')) {
        const char *close = p[1] == '{' ? strchr(p, '}') : NULL;
        char name[64];
        if (p[1] == '$')
            continue;
        if (!close || (size_t)(close - p - 2) >= sizeof name)
            return emd_fail(err, EMD_E_FORMAT, "a '$' must be ${NAME}, or $$ for the character");
        memcpy(name, p + 2, (size_t)(close - p - 2));
        name[close - p - 2] = '\0';
        if (!any_value(&scope, name))
            return emd_fail(err, EMD_E_FORMAT,
                            "the value uses '%s'; values may use movie, crystal, trial, project "
                            "and nproc only",
                            name);
        p = close - 1;
    }
    return EMD_OK;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static enum emd_status add_variable(struct emd_recipe *recipe, const char *name, const char *value,
                                    unsigned line, struct emd_error *err)
{
    struct emd_recipe_variable *v = emd_recipe_variable(recipe, name);
    if (!is_name(name, ""))
        return emd_fail(err, EMD_E_FORMAT, "'%s' is no name: letters, digits and _", name);
    if (emd_recipe_is_builtin(name) && strcmp(name, "nproc") != 0)
        return emd_fail(err, EMD_E_FORMAT, "'%s' is set by emdprocess itself", name);
    if (emd_recipe_list(recipe, name))
        return emd_fail(err, EMD_E_FORMAT, "'%s' is a list already", name);
    if (v)
        return emd_fail(err, EMD_E_FORMAT, "'%s' is set in line %u already", name, v->line);
    enum emd_status status = check_value(value, err);
    if (status != EMD_OK)
        return status;
    if (recipe->variable_count >= COUNT_LIMIT)
        return emd_fail(err, EMD_E_FORMAT, "more than %d variables", COUNT_LIMIT);
    v = realloc(recipe->variables, (recipe->variable_count + 1) * sizeof *v);
    if (!v)
        return out_of_memory(err);
    recipe->variables = v;
    v += recipe->variable_count++;
    *v = (struct emd_recipe_variable){
        .name = strdup(name), .value = strdup(value), .from = EMD_FROM_RECIPE, .line = line};
    return v->name && v->value ? EMD_OK : out_of_memory(err);
}

static enum emd_status add_stage(struct emd_recipe *recipe, const char *name, unsigned line,
                                 struct emd_error *err)
{
    if (!is_name(name, "-"))
        return emd_fail(err, EMD_E_FORMAT, "'%s' is no name of a stage: letters, digits, _ and -",
                        name);
    for (size_t i = 0; i < recipe->stage_count; i++)
        if (strcmp(recipe->stages[i].name, name) == 0)
            return emd_fail(err, EMD_E_FORMAT, "the stage '%s' is in line %u already", name,
                            recipe->stages[i].line);
    if (recipe->stage_count >= COUNT_LIMIT)
        return emd_fail(err, EMD_E_FORMAT, "more than %d stages", COUNT_LIMIT);
    struct emd_recipe_stage *s = realloc(recipe->stages, (recipe->stage_count + 1) * sizeof *s);
    if (!s)
        return out_of_memory(err);
    recipe->stages = s;
    s += recipe->stage_count++;
    *s = (struct emd_recipe_stage){.name = strdup(name), .line = line};
    return s->name ? EMD_OK : out_of_memory(err);
}

static enum emd_status set_line(struct emd_recipe_line *to, const char *name, const char *value,
                                unsigned line, struct emd_error *err)
{
    if (to->text)
        return emd_fail(err, EMD_E_FORMAT, "'%s' is given in line %u already", name, to->line);
    to->text = strdup(value);
    to->line = line;
    return to->text ? EMD_OK : out_of_memory(err);
}

static enum emd_status add_list(struct emd_recipe *recipe, const char *name, const char *value,
                                unsigned line, struct emd_error *err)
{
    if (!is_name(name, ""))
        return emd_fail(err, EMD_E_FORMAT, "'%s' is no name: letters, digits and _", name);
    if (emd_recipe_is_builtin(name) || emd_recipe_variable(recipe, name) ||
        emd_recipe_list(recipe, name))
        return emd_fail(err, EMD_E_FORMAT, "there is a '%s' already", name);
    if (recipe->list_count >= COUNT_LIMIT)
        return emd_fail(err, EMD_E_FORMAT, "more than %d lists", COUNT_LIMIT);
    struct emd_recipe_list *list = realloc(recipe->lists, (recipe->list_count + 1) * sizeof *list);
    if (!list)
        return out_of_memory(err);
    recipe->lists = list;
    list += recipe->list_count++;
    *list = (struct emd_recipe_list){.name = strdup(name)};
    return list->name ? set_line(&list->files, name, value, line, err) : out_of_memory(err);
}

static enum emd_status set_property(struct emd_recipe_stage *stage, const char *name,
                                    const char *value, unsigned line, struct emd_error *err)
{
    if (*value == '\0')
        return emd_fail(err, EMD_E_FORMAT, "'%s' has no value", name);
    if (strcmp(name, "command") == 0 || strcmp(name, "or") == 0) {
        bool first = name[0] == 'c';
        if (first && stage->command_count > 0)
            return emd_fail(err, EMD_E_FORMAT,
                            "'command' is given in line %u already; alternatives begin with 'or'",
                            stage->commands[0].line);
        if (!first && stage->command_count == 0)
            return emd_fail(err, EMD_E_FORMAT, "'or' must follow a 'command'");
        if (stage->command_count == EMD_COMMANDS_MAX)
            return emd_fail(err, EMD_E_FORMAT, "more than %d alternatives", EMD_COMMANDS_MAX);
        return set_line(&stage->commands[stage->command_count++], name, value, line, err);
    }
    if (strcmp(name, "inputs") == 0)
        return set_line(&stage->inputs, name, value, line, err);
    if (strcmp(name, "outputs") == 0)
        return set_line(&stage->outputs, name, value, line, err);
    if (strcmp(name, "folder") == 0)
        return set_line(&stage->folder, name, value, line, err);
    if (strcmp(name, "reject") == 0)
        return set_line(&stage->reject, name, value, line, err);
    if (strcmp(name, "time") == 0) {
        if (stage->timed)
            return emd_fail(err, EMD_E_FORMAT, "'time' is given twice");
        stage->timed = true;
        return emd_duration_parse(value, &stage->time)
                   ? EMD_OK
                   : emd_fail(err, EMD_E_FORMAT, "'%s' is no time such as 90s, 30m or 2h", value);
    }
    if (strcmp(name, "optional") == 0) {
        if (stage->has_optional)
            return emd_fail(err, EMD_E_FORMAT, "'optional' is given twice");
        stage->has_optional = true;
        stage->optional = strcmp(value, "yes") == 0;
        return stage->optional || strcmp(value, "no") == 0
                   ? EMD_OK
                   : emd_fail(err, EMD_E_FORMAT, "'optional' is yes or no, not '%s'", value);
    }
    return emd_fail(err, EMD_E_FORMAT,
                    "'%s' is unknown; a stage has command, or, inputs, outputs, folder, reject, "
                    "time and optional",
                    name);
}

/* "WORD rest": the rest if the line begins with the word. */
static char *after(char *line, const char *word)
{
    size_t n = strlen(word);
    return strncmp(line, word, n) == 0 && isspace((unsigned char)line[n]) ? trim(line + n) : NULL;
}

static enum emd_status parse_line(struct emd_recipe *recipe, char *line, unsigned number,
                                  struct emd_error *err)
{
    char *rest, *name, *value;
    if ((rest = after(line, "stage")) && *rest != '=')
        return add_stage(recipe, rest, number, err);
    if ((rest = after(line, "require")) && *rest != '=') {
        struct emd_recipe_variable *v = emd_recipe_variable(recipe, rest);
        if (!v)
            return emd_fail(err, EMD_E_FORMAT, "'%s' is not set above", rest);
        v->required = true;
        return EMD_OK;
    }
    if ((rest = after(line, "set")) && *rest != '=') {
        if (!split_assignment(rest, &name, &value))
            return emd_fail(err, EMD_E_FORMAT, "'set' needs NAME = VALUE");
        if (recipe->stage_count > 0)
            return emd_fail(err, EMD_E_FORMAT, "'set' must stand before the first stage");
        return add_variable(recipe, name, value, number, err);
    }
    if ((rest = after(line, "list")) && *rest != '=') {
        if (!split_assignment(rest, &name, &value))
            return emd_fail(err, EMD_E_FORMAT, "'list' needs NAME = FILES");
        if (recipe->stage_count > 0)
            return emd_fail(err, EMD_E_FORMAT, "'list' must stand before the first stage");
        return add_list(recipe, name, value, number, err);
    }
    if (!split_assignment(line, &name, &value))
        return emd_fail(err, EMD_E_FORMAT,
                        "'%.40s' is not understood: set NAME = VALUE, list NAME = FILES, "
                        "require NAME, stage NAME, or NAME = VALUE",
                        line);
    if (recipe->stage_count > 0)
        return set_property(&recipe->stages[recipe->stage_count - 1], name, value, number, err);
    if (strcmp(name, "scope") == 0) {
        if (recipe->has_scope)
            return emd_fail(err, EMD_E_FORMAT, "'scope' is given twice");
        recipe->has_scope = true;
        recipe->project = strcmp(value, "project") == 0;
        return recipe->project || strcmp(value, "crystal") == 0
                   ? EMD_OK
                   : emd_fail(err, EMD_E_FORMAT, "'scope' is crystal or project, not '%s'", value);
    }
    if (strcmp(name, "trials") == 0)
        return set_line(&recipe->trials, name, value, number, err);
    if (strcmp(name, "description") != 0)
        return emd_fail(err, EMD_E_FORMAT,
                        "'%s' stands before the first stage; variables are given as "
                        "set NAME = VALUE",
                        name);
    if (recipe->description)
        return emd_fail(err, EMD_E_FORMAT, "'description' is given twice");
    recipe->description = strdup(value);
    return recipe->description ? EMD_OK : out_of_memory(err);
}

static enum emd_status check_line(const struct emd_recipe *recipe,
                                  const struct emd_recipe_line *line, bool lists,
                                  struct emd_error *err)
{
    if (!line->text)
        return EMD_OK;
    enum emd_status status = check_words(line->text, recipe, lists, err);
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "line %u", line->line);
}

static enum emd_status check_stage(const struct emd_recipe *recipe,
                                   const struct emd_recipe_stage *stage, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    if (stage->command_count == 0)
        return emd_fail(err, EMD_E_FORMAT, "line %u: the stage '%s' has no command", stage->line,
                        stage->name);
    if (!stage->outputs.text)
        return emd_fail(err, EMD_E_FORMAT,
                        "line %u: the stage '%s' has no outputs, so that nobody could tell "
                        "whether it is done",
                        stage->line, stage->name);
    for (size_t i = 0; i < stage->command_count && status == EMD_OK; i++)
        status = check_line(recipe, &stage->commands[i], true, err);
    if (status == EMD_OK)
        status = check_line(recipe, &stage->inputs, true, err);
    if (status == EMD_OK)
        status = check_line(recipe, &stage->outputs, false, err);
    return status;
}

/* What a recipe over several crystals needs, and only it may have. */
static enum emd_status check_scope(const struct emd_recipe *recipe, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    const struct emd_recipe_line *trials = &recipe->trials;
    if (!recipe->project && (trials->text || recipe->list_count > 0))
        return emd_fail(err, EMD_E_FORMAT, "line %u: '%s' needs 'scope = project'",
                        trials->text ? trials->line : recipe->lists[0].files.line,
                        trials->text ? "trials" : "list");
    if (!recipe->project)
        return EMD_OK;
    if (!trials->text || trials->text[0] == '\0')
        return emd_fail(err, EMD_E_FORMAT,
                        "'scope = project' needs 'trials = TRIAL': which trials of the crystals "
                        "are taken");
    status = check_line(recipe, trials, false, err);
    for (size_t i = 0; i < recipe->list_count && status == EMD_OK; i++)
        status = check_line(recipe, &recipe->lists[i].files, false, err);
    for (size_t i = 0; i < recipe->variable_count && status == EMD_OK; i++)
        if (strstr(recipe->variables[i].value, "${movie}") ||
            strstr(recipe->variables[i].value, "${crystal}"))
            status = emd_fail(err, EMD_E_FORMAT,
                              "line %u: there is no movie and no crystal with 'scope = project'",
                              recipe->variables[i].line);
    return status;
}

enum emd_status emd_recipe_parse(const char *text, size_t length, struct emd_recipe *recipe,
                                 struct emd_error *err)
{
    struct reader r = {.at = text, .end = text + length, .next = 1, .err = err};
    enum emd_status status = EMD_OK;
    char *line;
    memset(recipe, 0, sizeof *recipe);
    if (length > SIZE_LIMIT)
        return emd_fail(err, EMD_E_FORMAT, "more than 1 MiB: no recipe");
    while (status == EMD_OK && (status = next_line(&r, &line)) == EMD_OK) {
        status = parse_line(recipe, line, r.line, err);
        if (status != EMD_OK)
            status = emd_fail_prefix(err, status, "line %u", r.line);
    }
    if (status == EMD_E_EMPTY)
        status = recipe->stage_count > 0 ? EMD_OK : emd_fail(err, EMD_E_FORMAT, "it has no stages");
    if (status == EMD_OK)
        status = check_scope(recipe, err);
    for (size_t i = 0; i < recipe->stage_count && status == EMD_OK; i++)
        status = check_stage(recipe, &recipe->stages[i], err);
    free(r.text);
    return status;
}

enum emd_status emd_recipe_read(const char *path, struct emd_recipe *recipe, struct emd_error *err)
{
    struct emd_textfile file = {0};
    memset(recipe, 0, sizeof *recipe);
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, path, err);
    if (status == EMD_OK) {
        status = emd_recipe_parse(file.text ? file.text : "", file.length, recipe, err);
        if (status != EMD_OK)
            status = emd_fail_prefix(err, status, "%s", path);
    }
    emd_textfile_free(&file);
    return status;
}

static void free_line(struct emd_recipe_line *line)
{
    free(line->text);
    line->text = NULL;
}

void emd_recipe_free(struct emd_recipe *recipe)
{
    for (size_t i = 0; i < recipe->variable_count; i++) {
        free(recipe->variables[i].name);
        free(recipe->variables[i].value);
    }
    for (size_t i = 0; i < recipe->stage_count; i++) {
        struct emd_recipe_stage *s = &recipe->stages[i];
        free(s->name);
        for (size_t j = 0; j < s->command_count; j++)
            free_line(&s->commands[j]);
        free_line(&s->folder);
        free_line(&s->inputs);
        free_line(&s->outputs);
        free_line(&s->reject);
    }
    for (size_t i = 0; i < recipe->list_count; i++) {
        free(recipe->lists[i].name);
        free_line(&recipe->lists[i].files);
    }
    free_line(&recipe->trials);
    free(recipe->lists);
    free(recipe->variables);
    free(recipe->stages);
    free(recipe->description);
    memset(recipe, 0, sizeof *recipe);
}

/* ---- values ---------------------------------------------------------------------------------- */

static enum emd_status no_variable(const struct emd_recipe *recipe, const char *name,
                                   struct emd_error *err)
{
    const char *names[64] = {"nproc"};
    size_t count = 1;
    for (size_t i = 0; i < recipe->variable_count && count < 64; i++)
        names[count++] = recipe->variables[i].name;
    const char *near = emd_nearest(name, names, count);
    return emd_fail(err, EMD_E_ARGUMENT, "the recipe has no variable '%s'%s%s%s", name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

enum emd_status emd_recipe_set(struct emd_recipe *recipe, const char *name, const char *value,
                               struct emd_error *err)
{
    struct emd_recipe_variable *v = emd_recipe_variable(recipe, name);
    if (!v && strcmp(name, "nproc") == 0)
        return add_variable(recipe, name, value, 0, err);
    if (!v)
        return no_variable(recipe, name, err);
    enum emd_status status = check_value(value, err);
    if (status != EMD_OK)
        return status;
    char *copy = strdup(value);
    if (!copy)
        return out_of_memory(err);
    free(v->value);
    v->value = copy;
    return EMD_OK;
}

static enum emd_status take_setting(struct emd_recipe *recipe, const char *name, const char *value,
                                    bool of_trial, struct emd_error *err)
{
    if (emd_recipe_variable(recipe, name) || strcmp(name, "nproc") == 0) {
        enum emd_status status = emd_recipe_set(recipe, name, value, err);
        struct emd_recipe_variable *v = emd_recipe_variable(recipe, name);
        if (v)
            v->from = "emdprocess.conf";
        return status;
    }
    if (!of_trial && is_among(name, common, sizeof common / sizeof *common))
        return check_value(value, err);
    return emd_fail(err, EMD_E_FORMAT, "there is no variable '%s'%s", name,
                    of_trial ? " in this recipe"
                             : "; one of a single recipe is given as RECIPE.NAME = VALUE");
}

/* One round over the lines: the plain names, or those of the trial. */
static enum emd_status settings_round(struct emd_recipe *recipe, const char *trial,
                                      const char *text, size_t length, bool of_trial,
                                      struct emd_error *err)
{
    struct reader r = {.at = text, .end = text + length, .next = 1, .err = err};
    struct emd_words seen = {0};
    enum emd_status status;
    char *line, *name, *value;
    while ((status = next_line(&r, &line)) == EMD_OK) {
        if (!split_assignment(line, &name, &value)) {
            status = emd_fail(err, EMD_E_FORMAT, "line %u: not NAME = VALUE", r.line);
            break;
        }
        for (size_t i = 0; i < seen.count && status == EMD_OK; i++)
            if (strcmp(seen.word[i], name) == 0)
                status = emd_fail(err, EMD_E_FORMAT, "'%s' is given twice", name);
        if (status == EMD_OK)
            status = emd_words_add(&seen, name, err);
        char *dot = strchr(name, '.');
        if (dot)
            *dot = '\0';
        bool concerns = dot ? of_trial && strcmp(name, trial) == 0 : !of_trial;
        if (concerns && status == EMD_OK)
            status = take_setting(recipe, dot ? dot + 1 : name, value, of_trial, err);
        if (status != EMD_OK) {
            status = emd_fail_prefix(err, status, "line %u", r.line);
            break;
        }
    }
    free(r.text);
    emd_words_free(&seen);
    return status == EMD_E_EMPTY ? EMD_OK : status;
}

enum emd_status emd_recipe_read_settings(struct emd_recipe *recipe, const char *trial,
                                         const char *path, struct emd_error *err)
{
    struct emd_textfile file = {0};
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, path, err);
    for (int of_trial = 0; of_trial < 2 && status == EMD_OK; of_trial++) {
        status = settings_round(recipe, trial, file.text ? file.text : "", file.length,
                                of_trial == 1, err);
        if (status != EMD_OK)
            status = emd_fail_prefix(err, status, "%s", path);
    }
    emd_textfile_free(&file);
    return status;
}
