/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See blanksargs.h. One table has every parameter, another one the options; help and -c come from
 * them. */
#include "emdblanks/blanksargs.h"

#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/suffix.h"
#include "common/message.h"
#include "common/options.h"
#include "dials/phil.h"
#include "dials/textfile.h"

enum parameter_id {
    PHI_STEP,
    COUNTS_LOSS,
    MISIGMA_LOSS,
    METHOD,
    FROM_FRAMES,
    KEEP,
    MIN_IMAGES,
    MIN_REFLECTIONS,
    INPUT_EXPERIMENTS,
    INPUT_REFLECTIONS,
    OUTPUT_EXPERIMENTS,
    OUTPUT_REFLECTIONS,
    OUTPUT_LOG,
    OUTPUT_PLOT,
    PARAMETERS
};

/* Scopes follow each other, which -c relies on. */
static const struct parameter {
    const char *key; /* PHIL */
    const char *initial;
} parameters[PARAMETERS] = {
    [PHI_STEP] = {"phi_step", "2"},
    [COUNTS_LOSS] = {"counts_fractional_loss", "0.1"},
    [MISIGMA_LOSS] = {"misigma_fractional_loss", "0.1"},
    [METHOD] = {"method", "dials"},
    [FROM_FRAMES] = {"from_frames", "None"},
    [KEEP] = {"keep", "longest"},
    [MIN_IMAGES] = {"min_images", "1"},
    [MIN_REFLECTIONS] = {"min_total_reflections", "0"},
    [INPUT_EXPERIMENTS] = {"input.experiments", "None"},
    [INPUT_REFLECTIONS] = {"input.reflections", "None"},
    [OUTPUT_EXPERIMENTS] = {"output.experiments", "not_blank.expt"},
    [OUTPUT_REFLECTIONS] = {"output.reflections", "not_blank.refl"},
    [OUTPUT_LOG] = {"output.log", "None"},
    [OUTPUT_PLOT] = {"output.plot", "None"},
};

static const char dials_log[] = "dials.filter_blanks.log";

/* --- texts ------------------------------------------------------------------------------------*/

/* How a parameter begins: the name of the log depends on how the program is called. */
static const char *initial(const struct blanks_arguments *args, enum parameter_id id)
{
    return id == OUTPUT_LOG && strncmp(args->program, "dials.", 6) == 0 ? dials_log
                                                                        : parameters[id].initial;
}

static const char *keep_text(struct blanks_arguments *args, const char *value)
{
    char **all = realloc(args->texts, (args->text_count + 1) * sizeof *all);
    if (!all)
        return NULL;
    args->texts = all;
    return (args->texts[args->text_count] = strdup(value)) ? args->texts[args->text_count++] : NULL;
}

/* What the parameter is now: its last change, else how it began. */
static const char *current(const struct blanks_arguments *args, enum parameter_id id)
{
    for (size_t i = args->change_count; i-- > 0;)
        if (args->changes[i].key == parameters[id].key)
            return args->changes[i].value;
    return initial(args, id);
}

static void print_config(const struct blanks_arguments *args)
{
    size_t open = 0; /* length of the scope that is open */
    char text[EMD_PHIL_VALUE];
    for (enum parameter_id id = 0; id < PARAMETERS; id++) {
        const char *key = parameters[id].key, *dot = strchr(key, '.');
        const size_t scope = dot ? (size_t)(dot - key) : 0;
        if (open && (scope != open || strncmp(key, parameters[id - 1].key, open) != 0)) {
            puts("}");
            open = 0;
        }
        if (scope && !open) {
            printf("%.*s {\n", (int)scope, key);
            open = scope;
        }
        if (!emd_phil_quote(current(args, id), text, sizeof text))
            text[0] = '\0';
        printf("%s%s = %s\n", open ? "  " : "", dot ? dot + 1 : key, text);
    }
    if (open)
        puts("}");
}

/* --- setting ----------------------------------------------------------------------------------*/

static bool set_choice(const char *value, const char *first, const char *second, bool *is_second)
{
    *is_second = strcmp(value, second) == 0;
    return *is_second || strcmp(value, first) == 0;
}

/* Sets one parameter; EMD_E_ARGUMENT says what the value is not. */
static enum emd_status set_parameter(struct blanks_arguments *args, enum parameter_id id,
                                     const char *text, struct emd_error *err)
{
    struct emd_blankfilter_options *f = &args->filter;
    const char *value = keep_text(args, text);
    struct blanks_change *changes =
        realloc(args->changes, (args->change_count + 1) * sizeof *changes);
    if (changes)
        args->changes = changes;
    if (!value || !changes)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    const char *path = strcmp(value, "None") == 0 ? NULL : value;
    const char *wanted = "a file name";
    bool ok = *value != '\0', second = false;
    switch (id) {
    case PHI_STEP: /* value_min=0 in DIALS; zero would be bins of nothing */
        ok = emd_parse_double(value, 1e-6, 1e6, &f->phi_step);
        wanted = "a positive number of degrees";
        break;
    case COUNTS_LOSS:
        ok = emd_parse_double(value, 0, 1, &f->counts_loss);
        wanted = "a number from 0 to 1";
        break;
    case MISIGMA_LOSS:
        ok = emd_parse_double(value, 0, 1, &f->misigma_loss);
        wanted = "a number from 0 to 1";
        break;
    case METHOD:
        ok = set_choice(value, "dials", "robust", &second);
        f->method = second ? EMD_METHOD_ROBUST : EMD_METHOD_DIALS;
        wanted = "dials or robust";
        break;
    case FROM_FRAMES:
        f->frames = path;
        break;
    case KEEP:
        ok = set_choice(value, "longest", "all", &second);
        f->keep = second ? EMD_KEEP_ALL : EMD_KEEP_LONGEST;
        wanted = "longest or all";
        break;
    case MIN_IMAGES:
        ok = emd_parse_long(value, 1, 1000000000, &f->min_images);
        wanted = "a positive whole number";
        break;
    case MIN_REFLECTIONS:
        ok = emd_parse_long(value, 0, 1000000000, &f->min_reflections);
        wanted = "a whole number";
        break;
    case INPUT_EXPERIMENTS:
        args->expt = path;
        break;
    case INPUT_REFLECTIONS:
        args->refl = path;
        break;
    case OUTPUT_EXPERIMENTS:
        args->out_expt = value;
        ok = ok && path;
        break;
    case OUTPUT_REFLECTIONS:
        args->out_refl = value;
        ok = ok && path;
        break;
    case OUTPUT_LOG:
        args->log = path;
        break;
    case OUTPUT_PLOT:
        args->plot = path;
        break;
    default:
        ok = false;
    }
    if (!ok)
        return emd_fail(err, EMD_E_ARGUMENT, "not %s", wanted);
    args->changes[args->change_count++] = (struct blanks_change){
        .key = parameters[id].key, .value = args->texts[args->text_count - 1]};
    return EMD_OK;
}

static int find_parameter(const char *name, size_t n, struct emd_error *err)
{
    const char *names[PARAMETERS];
    for (enum parameter_id id = 0; id < PARAMETERS; id++)
        names[id] = parameters[id].key;
    return emd_phil_find(name, n, names, PARAMETERS, err);
}

/* "key=value" with a key of DIALS' kind. A file of that name is a file, as in DIALS. */
static bool is_assignment(const char *argument)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    struct stat st;
    size_t n = strspn(argument, letters);
    return n > 0 && argument[n] == '=' && stat(argument, &st) != 0;
}

static bool set_assignment(struct blanks_arguments *args, const char *argument)
{
    struct emd_error err;
    size_t n = strcspn(argument, "=");
    int id = find_parameter(argument, n, &err);
    if (id < 0) {
        emd_usage_error("%s", err.text);
        return false;
    }
    const bool set = set_parameter(args, (enum parameter_id)id, argument + n + 1, &err) == EMD_OK;
    if (!set)
        emd_usage_error("%s=%s: %s", parameters[id].key, argument + n + 1, err.text);
    return set;
}

struct phil_file {
    struct blanks_arguments *args;
};

static enum emd_status take_definition(void *ctx, const char *name, const char *value, size_t line,
                                       struct emd_error *err)
{
    struct phil_file *file = ctx;
    struct emd_error why;
    int id = find_parameter(name, strlen(name), &why);
    if (id < 0)
        return emd_fail(err, EMD_E_ARGUMENT, "line %zu: %s", line, why.text);
    const enum emd_status status = set_parameter(file->args, (enum parameter_id)id, value, &why);
    return status == EMD_OK ? EMD_OK
                            : emd_fail(err, status, "line %zu: %s = %.200s: %.200s", line,
                                       parameters[id].key, value, why.text);
}

static bool read_phil(struct blanks_arguments *args, const char *path)
{
    struct emd_textfile file = {0};
    struct emd_error err;
    struct phil_file ctx = {args};
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, path, &err);
    if (status == EMD_E_EMPTY)
        emd_fail(&err, status, "no such file");
    if (status == EMD_OK)
        status = emd_phil_parse(file.text, file.length, take_definition, &ctx, &err);
    if (status != EMD_OK)
        emd_usage_error("%s: %s", path, err.text);
    emd_textfile_free(&file);
    return status == EMD_OK;
}

/* Files in any order if their names tell them apart, as DIALS takes them. */
static bool set_file(struct blanks_arguments *args, const char *path)
{
    if (emd_ends_with(path, ".phil") || emd_ends_with(path, ".eff") || emd_ends_with(path, ".def"))
        return read_phil(args, path);
    const bool table = emd_ends_with(path, ".refl") || emd_ends_with(path, ".refl.gz");
    const bool list = emd_ends_with(path, ".expt") || emd_ends_with(path, ".json");
    const enum parameter_id id =
        table || (!list && args->expt) ? INPUT_REFLECTIONS : INPUT_EXPERIMENTS;
    if (id == INPUT_REFLECTIONS ? args->refl : args->expt) {
        emd_usage_error("unexpected argument '%s': one experiment list and one reflection table "
                        "are taken",
                        path);
        return false;
    }
    struct emd_error err;
    if (set_parameter(args, id, path, &err) == EMD_OK)
        return true;
    emd_usage_error("%s: %s", path, err.text);
    return false;
}

/* --- options ----------------------------------------------------------------------------------*/

static enum emd_status take_parameter(void *into, const struct emd_option *option,
                                      const char *value, struct emd_error *err)
{
    return set_parameter(into, (enum parameter_id)option->number, value, err);
}

#define AT(field) offsetof(struct blanks_arguments, field)
/* An option that is a PHIL parameter, too; its name there and default are added to the help. */
#define PARAMETER(id, option, what, offered, text)                                                 \
    {                                                                                              \
        .name = option, .value = what, .kind = EMD_OPTION_CALL, .take = take_parameter,            \
        .number = id, .complete = offered, .help = text                                            \
    }
enum { PARAMETER_OPTIONS = 12, TITLES = 4, OPTIONS = PARAMETER_OPTIONS + TITLES + 5 };

static const struct emd_option options[OPTIONS] = {
    {.kind = EMD_OPTION_TITLE, .help = "Analysis"},
    PARAMETER(PHI_STEP, "phi-step", "DEG", NULL, "width of a bin in degrees"),
    PARAMETER(COUNTS_LOSS, "counts-loss", "F", NULL,
              "a bin is blank with at most F times the spots of the fullest bin"),
    PARAMETER(MISIGMA_LOSS, "misigma-loss", "F", NULL,
              "a bin is blank with at most F times the highest mean I/sigma"),
    PARAMETER(METHOD, "method", "METHOD", "words:dials robust",
              "dials: bins as in dials.detect_blanks; robust: strong spots image by image"),
    PARAMETER(FROM_FRAMES, "from-frames", "FILE", "file:tsv",
              "also judge by the spots in FILE.frames.tsv"),
    {.kind = EMD_OPTION_TITLE, .help = "What stays"},
    PARAMETER(KEEP, "keep", "RUNS", "words:longest all",
              "longest: the longest run of images that are not blank; all: every run, an "
              "experiment of its own"),
    PARAMETER(MIN_IMAGES, "min-images", "N", NULL, "drop runs of fewer images"),
    PARAMETER(MIN_REFLECTIONS, "min-reflections", "N", NULL, "drop runs of fewer reflections"),
    {.kind = EMD_OPTION_TITLE, .help = "Output"},
    PARAMETER(OUTPUT_EXPERIMENTS, "output-experiments", "FILE", "file", "experiment list to write"),
    PARAMETER(OUTPUT_REFLECTIONS, "output-reflections", "FILE", "file",
              "reflection table to write; gzipped if its name ends in .gz"),
    PARAMETER(OUTPUT_LOG, "log", "FILE", "file", "also write the report to FILE"),
    PARAMETER(OUTPUT_PLOT, "plot", "FILE.svg", "file:svg",
              "draw spots, I/sigma, thresholds, what is kept"),
    {.kind = EMD_OPTION_TITLE, .help = "General"},
    {'n', "dry-run", NULL, EMD_OPTION_FLAG, .at = AT(dry_run), .help = "only report"},
    {0, "json", NULL, EMD_OPTION_FLAG, .at = AT(json), .help = "report as JSON"},
    {'v', "verbose", NULL, EMD_OPTION_FLAG, .at = AT(verbose), .help = "report every bin"},
    {'q', "quiet", NULL, EMD_OPTION_FLAG, .at = AT(quiet), .help = "no report"},
    {'c', "show-config", NULL, EMD_OPTION_FLAG, .at = AT(show_config),
     .help = "print the parameters as PHIL and exit"},
};

/* The same options, with the parameters' names and defaults in the help's 'texts'. */
static void explain(const struct blanks_arguments *args, struct emd_option all[OPTIONS],
                    char texts[OPTIONS][256])
{
    for (size_t i = 0; i < OPTIONS; i++) {
        all[i] = options[i];
        if (options[i].take != take_parameter)
            continue;
        const enum parameter_id id = (enum parameter_id)options[i].number;
        const char *from = initial(args, id);
        const bool none = strcmp(from, "None") == 0;
        snprintf(texts[i], sizeof texts[i], none ? "%s\n%s%s" : "%s\n%s (%s)", options[i].help,
                 parameters[id].key, none ? "" : from);
        all[i].help = texts[i];
    }
}

bool blanks_arguments_parse(int argc, char **argv, struct blanks_arguments *args, int *code)
{
    struct emd_option all[OPTIONS];
    char texts[OPTIONS][256];
    const struct emd_program program = {
        .name = args->program,
        .alias = strcmp(args->program, "emdblanks") == 0 ? "dials.filter_blanks" : NULL,
        .usage = "[OPTION]... [PARAMETER=VALUE]... [FILE.phil]...\n"
                 "        EXPERIMENTS.expt REFLECTIONS.refl",
        .about = "Remove blank images from DIALS results: find them as dials.detect_blanks does, "
                 "and write not_blank.expt and not_blank.refl with the images between them. Every "
                 "long option is also a PHIL parameter, the name below it; parameters can be "
                 "abbreviated, and stand in .phil files.",
        .options = all,
        .option_count = OPTIONS,
        .exits = {NULL, NULL, NULL, "everything is blank (nothing is written)"},
        .operands = "file:expt,refl,refl.gz,phil",
    };
    explain(args, all, texts);
    args->log = strcmp(initial(args, OUTPUT_LOG), "None") == 0 ? NULL : initial(args, OUTPUT_LOG);
    args->out_expt = parameters[OUTPUT_EXPERIMENTS].initial;
    *code = emd_options_parse(&program, argc, argv, args);
    if (*code >= 0)
        return false;
    *code = EMD_EXIT_USAGE;
    if (args->quiet)
        emd_message_set_verbosity(EMD_QUIET);
    for (int i = optind; i < argc; i++)
        if (!(is_assignment(argv[i]) ? set_assignment(args, argv[i]) : set_file(args, argv[i])))
            return false;
    if (args->show_config) {
        print_config(args);
        *code = EMD_EXIT_OK;
        return false;
    }
    if (!args->expt || !args->refl) {
        emd_usage_error("an experiment list (.expt) and a reflection table (.refl) are needed");
        return false;
    }
    return true;
}

void blanks_arguments_free(struct blanks_arguments *args)
{
    for (size_t i = 0; i < args->text_count; i++)
        free(args->texts[i]);
    free(args->texts);
    free(args->changes);
}
