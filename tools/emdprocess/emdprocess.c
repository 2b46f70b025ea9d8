/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdprocess: every movie of a project through DIALS, by a recipe. See docs/man/emdprocess.1. */
#include "emdprocess/emdprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "common/message.h"
#include "common/options.h"
#include "dials/textfile.h"
#include "emdprocess/conductor.h"
#include "emdprocess/merging.h"
#include "emdprocess/processreport.h"
#include "emdprocess/project.h"
#include "emdprocess/selection.h"
#include "emdprocess/setcell.h"
#include "emdprocess/slurmsubmit.h"
#include "emdprocess/surroundings.h"
#include "emdprocess/trialjob.h"

/* What DIALS makes good use of with one crystal. */
enum { CORES_OF_A_TASK = 4 };

struct arguments {
    struct process_options process;
    struct slurm_options slurm;
    struct emd_words wanted; /* crystals and movies */
    const char *recipe, *list, *one, *project, *init;
    char *dials, *trial;
    long frames_min, cores;
    size_t memory;
    bool dry_run, status, print, submit, cores_given, instrument, set_cell, yes;
};

/* ---- arguments ------------------------------------------------------------------------------- */

static bool add(struct emd_words *words, const char *text)
{
    if (emd_words_add(words, text, NULL) == EMD_OK)
        return true;
    emd_message_error("out of memory");
    return false;
}

static bool add_list(struct emd_words *words, const char *text)
{
    while (*text) {
        char name[128];
        size_t n = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < 127 ? n : 127), text);
        if (n > 0 && !add(words, name))
            return false;
        text += n + (text[n] == ',');
    }
    return true;
}

/* A path for after the change of folder; names that are no paths stay. */
static bool add_wanted(struct emd_words *words, const char *text)
{
    char *real = strchr(text, '/') || access(text, F_OK) == 0 ? realpath(text, NULL) : NULL;
    struct stat st;
    bool file = real && stat(real, &st) == 0 && S_ISREG(st.st_mode);
    const size_t n = strlen(text);
    char *copy = strdup(file ? real : text);
    /* "20230611_2324/", as a shell completes it */
    if (copy && !file && n > 1 && copy[n - 1] == '/')
        copy[n - 1] = '\0';
    bool ok = copy && add(words, copy);
    free(copy);
    free(real);
    return ok;
}

/* Crystals or movies, one per line; "-": from standard input. */
static enum emd_status read_list(struct emd_words *words, const char *path, struct emd_error *err)
{
    struct emd_textfile file = {0};
    bool ok = true;
    if (strcmp(path, "-") == 0) {
        char line[PATH_MAX + 2];
        while (ok && fgets(line, sizeof line, stdin)) {
            line[strcspn(line, "\r\n")] = '\0';
            ok = line[0] == '\0' || line[0] == '#' || add_wanted(words, line);
        }
        return ok ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, path, err);
    if (status == EMD_E_EMPTY)
        status = emd_fail(err, EMD_E_IO, "no such file");
    char *rest = file.text;
    for (char *line; status == EMD_OK && rest && ok && (line = strsep(&rest, "\n"));) {
        line[strcspn(line, "\r")] = '\0';
        ok = line[0] == '\0' || line[0] == '#' || add_wanted(words, line);
    }
    emd_textfile_free(&file);
    return status == EMD_OK && !ok ? emd_fail(err, EMD_E_MEMORY, "out of memory") : status;
}

static enum emd_status no_memory(struct emd_error *err)
{
    return emd_fail(err, EMD_E_MEMORY, "out of memory");
}

static enum emd_status take_setting(void *into, const struct emd_option *option, const char *value,
                                    struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    if (!strchr(value, '=') || value[0] == '=' || strcspn(value, "=") >= 64)
        return emd_fail(err, EMD_E_ARGUMENT, "not NAME=VALUE");
    return emd_words_add(&a->process.settings, value, err);
}

static enum emd_status take_list(void *into, const struct emd_option *option, const char *value,
                                 struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    a->list = value;
    return read_list(&a->wanted, value, err);
}

static enum emd_status take_one(void *into, const struct emd_option *option, const char *value,
                                struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    if (a->one)
        return emd_fail(err, EMD_E_ARGUMENT, "--one is given twice");
    a->one = value;
    return add_wanted(&a->wanted, value) ? EMD_OK : no_memory(err);
}

static enum emd_status take_dials(void *into, const struct emd_option *option, const char *value,
                                  struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    free(a->dials);
    a->dials = find_dials(value);
    return a->dials ? EMD_OK
                    : emd_fail(err, EMD_E_ARGUMENT,
                               "there is no dials.import in it, its bin/ or its build/bin/");
}

static enum emd_status take_time(void *into, const struct emd_option *option, const char *value,
                                 struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    return emd_duration_parse(value, &a->process.time_limit)
               ? EMD_OK
               : emd_fail(err, EMD_E_ARGUMENT, "not a time such as 90s, 30m or 2h");
}

static enum emd_status take_stages(void *into, const struct emd_option *option, const char *value,
                                   struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    return add_list(&a->process.stages, value) ? EMD_OK : no_memory(err);
}

static enum emd_status take_submit(void *into, const struct emd_option *option, const char *value,
                                   struct emd_error *err)
{
    struct arguments *a = into;
    int index;
    a->submit = true;
    return emd_options_word(value, option->words, &index, err);
}

static enum emd_status take_slurm(void *into, const struct emd_option *option, const char *value,
                                  struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    return emd_words_add(&a->slurm.sbatch, value, err);
}

static enum emd_status take_template(void *into, const struct emd_option *option, const char *value,
                                     struct emd_error *err)
{
    struct arguments *a = into;
    (void)option;
    a->slurm.template_path = realpath(value, NULL);
    return a->slurm.template_path ? EMD_OK : emd_fail(err, EMD_E_ARGUMENT, "%s", strerror(errno));
}

#define AT(field) offsetof(struct arguments, field)
/* Directories of crystals say which movie they are of. */
#define CRYSTALS "sh:ls -d */.movie | cut -d/ -f1"

static const struct emd_option option_table[] = {
    {'D', "define", "NAME=VALUE", EMD_OPTION_CALL, .take = take_setting, .repeatable = true,
     .complete = "words:pedestal= gain= distance= beam_centre= image_range= mask= d_min= "
                 "unit_cell= space_group= nproc=",
     .help = "set a variable of the recipe"},
    {0, "trial", "NAME", EMD_OPTION_TEXT, .at = AT(process.trial),
     .help = "name of the trial (default: of the recipe)"},
    {0, "list", "FILE", EMD_OPTION_CALL, .take = take_list, .complete = "file",
     .help = "crystals or movies, one per line"},
    {0, "one", "CRYSTAL", EMD_OPTION_CALL, .take = take_one, .complete = CRYSTALS,
     .help = "this crystal only"},
    {0, "frames-min", "N", EMD_OPTION_LONG, .at = AT(frames_min), .high = 1000000,
     .help = "leave out movies with fewer images (default 10)"},
    {0, "project", "DIR", EMD_OPTION_TEXT, .at = AT(project), .complete = "directory",
     .help = "the directory with images/ (default: here or above)"},
    {0, "dials", "DIR", EMD_OPTION_CALL, .take = take_dials, .complete = "directory",
     .help = "where DIALS is (default: on PATH)"},
    {.kind = EMD_OPTION_TITLE, .help = "Running"},
    {'j', "cores", "N", EMD_OPTION_LONG, .at = AT(cores), .low = 1, .high = 1024,
     .help = "cores in all (default: all)"},
    {'m', "memory", "SIZE", EMD_OPTION_SIZE, .at = AT(memory),
     .help = "memory in all (default: four fifths)"},
    {0, "time-limit", "TIME", EMD_OPTION_CALL, .take = take_time,
     .help = "for each stage: 90s, 30m, 2h"},
    {0, "stage", "NAME[,NAME]", EMD_OPTION_CALL, .take = take_stages, .repeatable = true,
     .complete = "list:import find_spots index refine_static refine integrate "
                 "check_indexing_symmetry scale filter_blanks symmetry rescale",
     .help = "only these stages"},
    {0, "force", NULL, EMD_OPTION_FLAG, .at = AT(process.force),
     .help = "run them even if they are done"},
    {0, "retry", NULL, EMD_OPTION_FLAG, .at = AT(process.retry),
     .help = "also repeat what failed and has not changed"},
    {0, "keep-going", NULL, EMD_OPTION_FLAG, .at = AT(process.keep_going),
     .help = "after a failure, go on with what does not need it"},
    {.kind = EMD_OPTION_TITLE, .help = "Other actions"},
    {'n', "dry-run", NULL, EMD_OPTION_FLAG, .at = AT(dry_run),
     .help = "print the commands that would run"},
    {0, "status", NULL, EMD_OPTION_FLAG, .at = AT(status),
     .help = "what is done, failed, running, waiting"},
    {0, "instrument", NULL, EMD_OPTION_FLAG, .at = AT(instrument),
     .help = "what is known of the instrument, and from where"},
    {0, "print-recipe", NULL, EMD_OPTION_FLAG, .at = AT(print),
     .help = "print the recipe, to be copied and changed"},
    {0, "set-cell", NULL, EMD_OPTION_FLAG, .at = AT(set_cell),
     .help = "show which cell and symmetry most crystals have"},
    {0, "yes", NULL, EMD_OPTION_FLAG, .at = AT(yes),
     .help = "and write them to emdprocess.conf, for mP"},
    {0, "init", "PROJECT", EMD_OPTION_TEXT, .at = AT(init),
     .help = "make the directories of a project"},
    {0, "submit", "SYSTEM", EMD_OPTION_CALL, .take = take_submit, .words = "slurm",
     .help = "slurm: as a Slurm job array, one task per crystal"},
    {0, "slurm", "OPTION", EMD_OPTION_CALL, .take = take_slurm, .repeatable = true,
     .help = "an option of sbatch: --slurm=--partition=long"},
    {0, "template", "FILE", EMD_OPTION_CALL, .take = take_template, .complete = "file",
     .help = "job script in place of the shipped one"},
    {.kind = EMD_OPTION_TITLE, .help = "General"},
    {0, "json", NULL, EMD_OPTION_FLAG, .at = AT(process.json), .help = "one JSON object per event"},
    {'q', "quiet", NULL, EMD_OPTION_FLAG, .at = AT(process.quiet), .help = "failures only"},
    {'v', "verbose", NULL, EMD_OPTION_FLAG, .at = AT(process.verbose), .help = "each stage"},
};

static const struct emd_program program = {
    .name = "emdprocess",
    .usage = "[OPTION]... RECIPE [CRYSTAL]...\n"
             "--init PROJECT\n"
             "--set-cell [--yes] RECIPE [CRYSTAL]...\n"
             "--instrument [MOVIE]...",
    .about =
        "Process the movies below images/ with DIALS, each in CRYSTAL/TRIAL/. Finished stages "
        "are skipped, interrupted ones are repeated. Shipped recipes: P1, mP, and merge, which "
        "makes one data set of the crystals, in merged/merge/.",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .exits = {NULL, "a crystal failed", NULL, "a crystal is not ready"},
    .first = "words:P1 mP merge",
    .operands = CRYSTALS,
};

static int parse_arguments(int argc, char **argv, struct arguments *a)
{
    const int code = emd_options_parse(&program, argc, argv, a);
    if (code >= 0)
        return code;
    if (a->cores > 0) {
        a->process.cores = (unsigned)a->cores;
        a->cores_given = true;
    }
    if (a->process.quiet)
        emd_message_set_verbosity(EMD_QUIET);
    else if (a->process.verbose)
        emd_message_set_verbosity(EMD_VERBOSE);
    if (a->init) {
        if (optind < argc)
            return emd_usage_error("--init takes nothing else");
        return -1;
    }
    if (optind == argc && !a->instrument)
        return emd_usage_error("no RECIPE given");
    /* P1 has all the variables. */
    a->recipe = a->instrument ? "P1" : argv[optind++];
    if (a->yes && !a->set_cell)
        return emd_usage_error("--yes is for --set-cell");
    if (a->one && optind < argc)
        return emd_usage_error("--one and more crystals");
    for (; optind < argc; optind++)
        if (!add_wanted(&a->wanted, argv[optind]))
            return EMD_EXIT_FAILED;
    if (a->list && a->wanted.count == 0) {
        emd_message_error("%s: no crystals in the list", a->list);
        return EMD_EXIT_NOT_READY;
    }
    return -1;
}

/* ---- the recipe ------------------------------------------------------------------------------ */

/* A file where the name says so, else PROJECT/NAME.recipe, else the shipped one; absolute. */
static char *find_recipe(const char *name)
{
    static const char suffix[] = ".recipe";
    const size_t n = strlen(name), m = sizeof suffix - 1;
    char *path = NULL, *real;
    if (strchr(name, '/') || (n > m && strcmp(name + n - m, suffix) == 0))
        return realpath(name, NULL);
    if (asprintf(&path, "%s%s", name, suffix) < 0)
        return NULL;
    real = realpath(path, NULL);
    free(path);
    if (real)
        return real;
    if (asprintf(&path, "recipes/%s%s", name, suffix) < 0)
        return NULL;
    real = shared_file(path);
    free(path);
    if (real && access(real, R_OK) != 0) {
        free(real);
        real = NULL;
    }
    return real;
}

static char *trial_of(const char *recipe_path)
{
    const char *slash = strrchr(recipe_path, '/');
    char *name = strdup(slash ? slash + 1 : recipe_path);
    if (name) {
        size_t n = strlen(name);
        if (n > 7 && strcmp(name + n - 7, ".recipe") == 0)
            name[n - 7] = '\0';
    }
    return name;
}

static bool is_trial_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 100;
}

static int print_file(const char *path)
{
    struct emd_textfile file = {0};
    struct emd_error err;
    if (emd_textfile_read(&file, AT_FDCWD, path, &err) != EMD_OK) {
        emd_message_error("%s", err.text);
        return EMD_EXIT_FAILED;
    }
    fwrite(file.text, 1, file.length, stdout);
    emd_textfile_free(&file);
    return EMD_EXIT_OK;
}

/* What can be wrong for all crystals is said once, before anything runs. */
static int check_recipe(const struct process_options *options, bool programs, bool *project)
{
    char any_name[] = ".any", any_movie[] = "images/any.emd";
    struct emd_crystal any = {.name = any_name, .movie = any_movie};
    struct process_task task = {.crystal = &any, .trouble = ""};
    struct trial_job job;
    struct emd_error err;
    int code = EMD_EXIT_OK;
    enum emd_status status = job_plan(options, &task, 1, &job, &err);
    if (status != EMD_OK) {
        if (status == EMD_E_MEMORY)
            emd_message_error("%s", err.text);
        else
            emd_usage_error("%s", err.text);
        code = status == EMD_E_MEMORY ? EMD_EXIT_FAILED : EMD_EXIT_USAGE;
    }
    *project = job.recipe.project;
    for (size_t i = 0; i < job.plan.count && code == EMD_EXIT_OK && programs; i++) {
        const struct emd_plan_stage *stage = &job.plan.stages[i];
        for (size_t k = 0; k < stage->command_count && code == EMD_EXIT_OK; k++) {
            const char *name = stage->commands[k].word[0];
            char *path =
                strchr(name, '/') ? strdup(name) : emd_run_find(name, options->environment);
            if (!path) {
                emd_message_error("%s: there is no such program on PATH%s", name,
                                  strncmp(name, "dials.", 6) == 0
                                      ? ": start from a shell of DIALS, or say where it is with "
                                        "--dials DIR"
                                      : "");
                code = EMD_EXIT_FAILED;
            }
            free(path);
        }
    }
    job_close(&job);
    return code;
}

/* ---- submission ------------------------------------------------------------------------------ */

static int submit(struct arguments *a, struct selection *s)
{
    struct process_options *p = &a->process;
    struct emd_words *command = &a->slurm.command;
    struct process_task **tasks = calloc(s->count + 1, sizeof(struct process_task *));
    char text[64], self[PATH_MAX];
    size_t count = 0;
    snprintf(self, sizeof self, "%.4000s/emdprocess", own_folder());
    bool ok = tasks && add(command, self) && add(command, "--trial") && add(command, p->trial);
    for (size_t i = 0; i < p->settings.count && ok; i++)
        ok = add(command, "-D") && add(command, p->settings.word[i]);
    for (size_t i = 0; i < p->stages.count && ok; i++)
        ok = add(command, "--stage") && add(command, p->stages.word[i]);
    snprintf(text, sizeof text, "%ld", a->frames_min);
    ok = ok && add(command, "--frames-min") && add(command, text);
    if (a->dials)
        ok = ok && add(command, "--dials") && add(command, a->dials);
    if (a->memory > 0) {
        snprintf(text, sizeof text, "%zu", a->memory);
        ok = ok && add(command, "--memory") && add(command, text);
        snprintf(text, sizeof text, "--mem=%zuM", (a->memory >> 20) + 1);
        ok = ok && add(&a->slurm.sbatch, text);
    }
    if (p->time_limit > 0) {
        snprintf(text, sizeof text, "%.0f", p->time_limit);
        ok = ok && add(command, "--time-limit") && add(command, text);
    }
    static const char *const flags[] = {"--force", "--retry", "--keep-going", "--json"};
    const bool given[] = {p->force, p->retry, p->keep_going, p->json};
    for (size_t i = 0; i < sizeof flags / sizeof *flags && ok; i++)
        ok = !given[i] || add(command, flags[i]);
    ok = ok && add(command, p->recipe_path);
    for (size_t i = 0; i < s->count && ok; i++) {
        if (s->tasks[i].trouble[0])
            emd_message_warning("%s: not submitted: %s",
                                p->project ? s->tasks[i].crystal->name : s->tasks[i].crystal->movie,
                                s->tasks[i].trouble);
        else if (conductor_has_work(p, &s->tasks[i]))
            tasks[count++] = &s->tasks[i];
    }
    int code = EMD_EXIT_FAILED;
    if (!ok)
        emd_message_error("out of memory");
    else if (count == 0)
        code = (emd_message_info("nothing to submit: %zu crystals are done or failed for good "
                                 "(--retry submits these too)",
                                 s->count),
                EMD_EXIT_OK);
    else
        code = slurm_submit(p, &a->slurm, tasks, count);
    free(tasks);
    return code;
}

/* ---- the instrument -------------------------------------------------------------------------- */

static enum emd_status show_instrument(const struct process_options *options,
                                       struct process_task *task, struct emd_error *err)
{
    struct trial_job job;
    enum emd_status status = job_plan(options, task, 1, &job, err);
    const struct movie_facts *f = &job.geometry.facts;
    if (status == EMD_OK) {
        emd_print_text(task->crystal->movie);
        printf(": %s, %s", f->instrument[0] ? f->instrument : "unknown microscope",
               f->camera[0] ? f->camera : "unknown camera");
        if (f->binning > 0)
            printf(", binning %g", f->binning);
        if (f->camera_length > 0)
            printf(", camera length %g mm", f->camera_length);
        putchar('\n');
    }
    for (size_t i = 0; i < job.geometry.count && status == EMD_OK; i++) {
        const struct geometry_item *item = &job.geometry.item[i];
        printf("  %-15s ", item->name);
        emd_print_text(item->value[0] ? item->value : "-");
        printf("%*s ", (int)(strlen(item->value) < 20 ? 20 - strlen(item->value) : 0), "");
        emd_print_text(item->value[0] ? item->from : "not known");
        putchar('\n');
    }
    for (size_t i = 0; i < job.geometry.warnings && status == EMD_OK; i++) {
        fputs("  warning: ", stdout);
        emd_print_text(job.geometry.warning[i]);
        putchar('\n');
    }
    if (status == EMD_OK && task->trouble[0]) {
        fputs("  cannot be processed: ", stdout);
        emd_print_text(task->trouble);
        putchar('\n');
    }
    job_close(&job);
    return status;
}

/* A movie need not belong to the project. */
static int instrument(struct arguments *a)
{
    struct process_options *p = &a->process;
    struct selection selection = {0};
    struct emd_error err = {0};
    enum emd_status status = EMD_OK;
    for (size_t i = 0; i < a->wanted.count && status == EMD_OK; i++) {
        char *name = emd_crystal_name(a->wanted.word[i]);
        struct emd_crystal crystal = {.name = name, .movie = a->wanted.word[i]};
        struct process_task task = {.crystal = &crystal, .trouble = ""};
        if (access(a->wanted.word[i], R_OK) != 0)
            status = emd_fail_errno(&err, EMD_E_IO, errno, "%s", a->wanted.word[i]);
        else if (!name)
            status = emd_fail(&err, EMD_E_MEMORY, "out of memory");
        else
            status = show_instrument(p, &task, &err);
        free(name);
    }
    if (a->wanted.count == 0)
        status = selection_make(p, &a->wanted, (size_t)a->frames_min, &selection, &err);
    for (size_t i = 0; i < selection.count && status == EMD_OK; i++)
        status = show_instrument(p, &selection.tasks[i], &err);
    if (status != EMD_OK)
        emd_message_error("%s", err.text);
    selection_free(&selection);
    return status == EMD_OK ? EMD_EXIT_OK : EMD_EXIT_FAILED;
}

/* ---- main ------------------------------------------------------------------------------------ */

/* Crystals on the command line are the list of the recipe's variable; the folder of merged sets is
 * none, but what --one is given in a batch job. */
static enum emd_status take_crystals(struct arguments *a, struct emd_error *err)
{
    char *setting = NULL;
    size_t size = 0, named = 0;
    FILE *out = open_memstream(&setting, &size);
    if (!out)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    fputs(MERGING_CRYSTALS "=", out);
    for (size_t i = 0; i < a->wanted.count; i++)
        if (strcmp(a->wanted.word[i], EMD_MERGED) != 0)
            fprintf(out, "%s%s", named++ ? " " : "", a->wanted.word[i]);
    enum emd_status status =
        fclose(out) == 0 ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK && named > 0)
        status = emd_words_add(&a->process.settings, setting, err);
    free(setting);
    return status;
}

/* A recipe over several crystals. */
static int merge(struct arguments *a, int *signal_number)
{
    struct process_options *p = &a->process;
    struct emd_error err = {0};
    struct merging merging = {0};
    int code;
    enum emd_status status = take_crystals(a, &err);
    if (status == EMD_OK)
        status = merging_make(p, &merging, &err);
    const struct emd_members *members = &merging.members;
    if (status != EMD_OK) {
        emd_message_error("%s", err.text);
        code = emd_exit_for(status);
    } else if (a->status) {
        code = conductor_status(p, &merging.task, 1, 0);
    } else if (a->submit) {
        struct selection one = {.tasks = &merging.task, .count = 1};
        a->slurm.dry_run = a->dry_run;
        if (!a->cores_given)
            p->cores = CORES_OF_A_TASK;
        code = submit(a, &one);
    } else if (a->dry_run) {
        code = conductor_dry_run(p, &merging.task, 1);
    } else {
        for (size_t i = 0; i < members->count; i++)
            if (!members->member[i].taken)
                report_left_out(p, members->member[i].crystal, members->member[i].reason);
        code = conductor_run(p, &merging.task, 1, members->count - members->taken, signal_number);
    }
    merging_free(&merging);
    return code;
}

static int process(struct arguments *a, int *signal_number)
{
    struct process_options *p = &a->process;
    struct selection selection;
    struct emd_error err = {0};
    int code = check_recipe(p, !a->dry_run && !a->status && !a->submit, &p->project);
    if (code != EMD_EXIT_OK)
        return code;
    if (p->project)
        return merge(a, signal_number);
    enum emd_status status = selection_make(p, &a->wanted, (size_t)a->frames_min, &selection, &err);
    if (status != EMD_OK) {
        emd_message_error("%s", err.text);
        code = emd_exit_for(status);
    } else if (a->status) {
        code = conductor_status(p, selection.tasks, selection.count, selection.skipped);
    } else if (a->submit) {
        a->slurm.dry_run = a->dry_run;
        if (!a->cores_given) /* this machine's number means nothing there */
            p->cores = CORES_OF_A_TASK;
        code = submit(a, &selection);
    } else if (a->dry_run) {
        code = conductor_dry_run(p, selection.tasks, selection.count);
    } else {
        code = conductor_run(p, selection.tasks, selection.count, selection.skipped, signal_number);
    }
    selection_free(&selection);
    return code;
}

static int prepare(struct arguments *a)
{
    struct process_options *p = &a->process;
    struct emd_error err;
    /* A path counts from where we are now; the project's own recipes are looked for below. */
    const bool now = a->print || strchr(a->recipe, '/');
    char *path = now ? find_recipe(a->recipe) : NULL;
    if (!(a->print && path) && !(a->instrument && a->wanted.count > 0 && !a->project) &&
        !project_enter(a->project)) {
        free(path);
        return EMD_EXIT_FAILED;
    }
    if (!path)
        path = find_recipe(a->recipe);
    if (!path)
        return emd_usage_error("there is no recipe '%s': neither %s.recipe in the project's folder "
                               "nor a shipped one (P1, mP, merge)",
                               a->recipe, a->recipe);
    p->recipe_path = path;
    if (!p->trial)
        p->trial = a->trial = trial_of(path);
    if (!p->trial || !is_trial_name(p->trial))
        return emd_usage_error("'%s' is no name of a trial", p->trial ? p->trial : "");
    enum emd_status status = geometry_read_instruments(&p->instruments, &err);
    if (status != EMD_OK) {
        emd_message_error("%s", err.text);
        return status == EMD_E_FORMAT ? EMD_EXIT_USAGE : EMD_EXIT_FAILED;
    }
    p->memory = a->memory > 0 ? (double)a->memory : 0.8 * (double)emd_memory_size();
    p->environment = command_environment(a->dials);
    if (!p->environment) {
        emd_message_error("out of memory");
        return EMD_EXIT_FAILED;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct arguments a = {.frames_min = 10};
    int signal_number = 0;
    emd_message_init("emdprocess", EMD_NORMAL);
    a.process.cores = emd_cpu_count();
    int code = parse_arguments(argc, argv, &a);
    if (code < 0 && a.init)
        code = project_init(a.init, a.process.quiet);
    if (code < 0)
        code = prepare(&a);
    if (code < 0)
        code = a.print        ? print_file(a.process.recipe_path)
               : a.instrument ? instrument(&a)
               : a.set_cell   ? set_cell(a.process.trial, &a.wanted, a.yes && !a.dry_run)
                              : process(&a, &signal_number);
    emd_words_free(&a.wanted);
    emd_words_free(&a.process.settings);
    emd_words_free(&a.process.stages);
    emd_instruments_free(&a.process.instruments);
    emd_words_free(&a.slurm.sbatch);
    emd_words_free(&a.slurm.command);
    free((char *)a.process.recipe_path);
    free((char *)a.slurm.template_path);
    free(a.dials);
    free(a.trial);
    code = emd_finish(code);
    if (signal_number) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
    return code;
}
