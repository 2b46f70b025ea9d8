/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See blanksargs.h. One table has every parameter; options, PHIL names, --help and -c come from it.
 */
#include "emdblanks/blanksargs.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "common/message.h"
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
    const char *option; /* NULL: only as PHIL */
    const char *value;  /* what it takes, for --help */
    const char *key;    /* PHIL */
    const char *initial;
    const char *help; /* lines after the first are indented by --help */
} parameters[PARAMETERS] = {
    [PHI_STEP] = {"phi-step", "DEG", "phi_step", "2", "width of a bin in degrees"},
    [COUNTS_LOSS] = {"counts-loss", "F", "counts_fractional_loss", "0.1",
                     "a bin is blank with at most F times the spots of\nthe fullest bin"},
    [MISIGMA_LOSS] = {"misigma-loss", "F", "misigma_fractional_loss", "0.1",
                      "a bin is blank with at most F times the highest\nmean I/sigma"},
    [METHOD] = {"method", "METHOD", "method", "dials",
                "dials: bins as in dials.detect_blanks;\nrobust: strong spots image by image"},
    [FROM_FRAMES] = {"from-frames", "FILE", "from_frames", "None",
                     "also judge by the spots in FILE.frames.tsv"},
    [KEEP] = {"keep", "RUNS", "keep", "longest",
              "longest: the longest run of images that are not\nblank; all: every run, an "
              "experiment of its own"},
    [MIN_IMAGES] = {"min-images", "N", "min_images", "1", "drop runs of fewer images"},
    [MIN_REFLECTIONS] = {"min-reflections", "N", "min_total_reflections", "0",
                         "drop runs of fewer reflections"},
    [INPUT_EXPERIMENTS] = {NULL, NULL, "input.experiments", "None", "the experiment list"},
    [INPUT_REFLECTIONS] = {NULL, NULL, "input.reflections", "None", "the reflection table"},
    [OUTPUT_EXPERIMENTS] = {"output-experiments", "FILE", "output.experiments", "not_blank.expt",
                            "experiment list to write"},
    [OUTPUT_REFLECTIONS] = {"output-reflections", "FILE", "output.reflections", "not_blank.refl",
                            "reflection table to write; gzipped if its\nname ends in .gz"},
    [OUTPUT_LOG] = {"log", "FILE", "output.log", "None", "also write the report to FILE"},
    [OUTPUT_PLOT] = {"plot", "FILE.svg", "output.plot", "None",
                     "draw spots, I/sigma, thresholds, what is kept"},
};

static const char dials_log[] = "dials.filter_blanks.log";

/* Values of getopt's own behind those of the parameters. */
enum { OPT_FIRST = 256, OPT_JSON = OPT_FIRST + PARAMETERS, OPT_COUNT };

/* --- texts ------------------------------------------------------------------------------------*/

/* How a parameter begins: the name of the log depends on how the program is called. */
static const char *initial(const struct blanks_arguments *args, enum parameter_id id)
{
    return id == OUTPUT_LOG && strncmp(args->program, "dials.", 6) == 0 ? dials_log
                                                                        : parameters[id].initial;
}

static void print_help(const struct blanks_arguments *args)
{
    static const struct {
        enum parameter_id first;
        const char *title;
    } groups[] = {{PHI_STEP, "Analysis"}, {KEEP, "What stays"}, {INPUT_EXPERIMENTS, "Output"}};
    size_t group = 0;
    printf("Usage: %s [OPTION]... [PARAMETER=VALUE]... [FILE.phil]...\n"
           "         EXPERIMENTS.expt REFLECTIONS.refl\n"
           "Remove blank images from DIALS results: find them as dials.detect_blanks does,\n"
           "and write not_blank.expt and not_blank.refl with the images between them.\n"
           "Every long option is also a PHIL parameter, the name behind it; parameters can\n"
           "be abbreviated, and stand in .phil files.\n",
           args->program);
    for (enum parameter_id id = 0; id < PARAMETERS; id++) {
        const struct parameter *p = &parameters[id];
        char left[64];
        if (group < sizeof groups / sizeof *groups && groups[group].first == id)
            printf("\n%s:\n", groups[group++].title);
        if (!p->option)
            continue;
        snprintf(left, sizeof left, "--%s %s", p->option, p->value);
        printf("  %-29s", left);
        for (const char *line = p->help;;) {
            const size_t n = strcspn(line, "\n");
            printf("%.*s\n", (int)n, line);
            if (line[n] == '\0')
                break;
            line += n + 1;
            printf("  %-29s", "");
        }
        const char *from = initial(args, id);
        printf("  %-29s%s%s%s%s\n", "", p->key, strcmp(from, "None") == 0 ? "" : " (",
               strcmp(from, "None") == 0 ? "" : from, strcmp(from, "None") == 0 ? "" : ")");
    }
    puts("  -n, --dry-run                only report\n"
         "      --json                   report as JSON\n"
         "  -v, --verbose                report every bin\n"
         "  -q, --quiet                  no report\n"
         "\n"
         "  -c, --show-config            print the parameters as PHIL and exit\n"
         "  -h, --help\n"
         "      --version\n"
         "\n"
         "Exit status: 0 done, 1 failed, 2 wrong usage, 3 everything is blank (nothing is\n"
         "written).");
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

/* Sets one parameter; 'name' is how the user called it. True, or false with a message. */
static bool set_parameter(struct blanks_arguments *args, enum parameter_id id, const char *name,
                          const char *text)
{
    struct emd_blankfilter_options *f = &args->filter;
    const char *value = keep_text(args, text);
    struct blanks_change *changes =
        realloc(args->changes, (args->change_count + 1) * sizeof *changes);
    if (changes)
        args->changes = changes;
    if (!value || !changes) {
        emd_message_error("out of memory");
        return false;
    }
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
    if (!ok) {
        emd_usage_error("%s: invalid value '%s': %s is needed", name, value, wanted);
        return false;
    }
    args->changes[args->change_count++] = (struct blanks_change){
        .key = parameters[id].key, .value = args->texts[args->text_count - 1]};
    return true;
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
    return set_parameter(args, (enum parameter_id)id, parameters[id].key, argument + n + 1);
}

struct phil_file {
    struct blanks_arguments *args;
    const char *path;
};

static enum emd_status take_definition(void *ctx, const char *name, const char *value, size_t line,
                                       struct emd_error *err)
{
    struct phil_file *file = ctx;
    char where[1024];
    struct emd_error why;
    int id = find_parameter(name, strlen(name), &why);
    if (id < 0)
        return emd_fail(err, EMD_E_ARGUMENT, "line %zu: %s", line, why.text);
    snprintf(where, sizeof where, "%s: line %zu: %s", file->path, line, parameters[id].key);
    /* Said already: nothing is left to say. */
    return set_parameter(file->args, (enum parameter_id)id, where, value)
               ? EMD_OK
               : emd_fail(err, EMD_E_ARGUMENT, "%s", "");
}

static bool read_phil(struct blanks_arguments *args, const char *path)
{
    struct emd_textfile file = {0};
    struct emd_error err;
    struct phil_file ctx = {args, path};
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, path, &err);
    if (status == EMD_E_EMPTY)
        emd_fail(&err, status, "no such file");
    if (status == EMD_OK)
        status = emd_phil_parse(file.text, file.length, take_definition, &ctx, &err);
    if (status != EMD_OK && err.text[0] != '\0')
        emd_usage_error("%s: %s", path, err.text);
    emd_textfile_free(&file);
    return status == EMD_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Files in any order if their names tell them apart, as DIALS takes them. */
static bool set_file(struct blanks_arguments *args, const char *path)
{
    if (ends_with(path, ".phil") || ends_with(path, ".eff") || ends_with(path, ".def"))
        return read_phil(args, path);
    const bool table = ends_with(path, ".refl") || ends_with(path, ".refl.gz");
    const bool list = ends_with(path, ".expt") || ends_with(path, ".json");
    const enum parameter_id id =
        table || (!list && args->expt) ? INPUT_REFLECTIONS : INPUT_EXPERIMENTS;
    if (id == INPUT_REFLECTIONS ? args->refl : args->expt) {
        emd_usage_error("unexpected argument '%s': one experiment list and one reflection table "
                        "are taken",
                        path);
        return false;
    }
    return set_parameter(args, id, parameters[id].key, path);
}

static void unknown_option(const char *option)
{
    const char *names[PARAMETERS + 8];
    size_t count = 0;
    static const char *const others[] = {"dry-run",     "json", "verbose", "quiet",
                                         "show-config", "help", "version"};
    for (enum parameter_id id = 0; id < PARAMETERS; id++)
        if (parameters[id].option)
            names[count++] = parameters[id].option;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        names[count++] = others[i];
    const char *near = strncmp(option, "--", 2) == 0 ? emd_nearest(option + 2, names, count) : NULL;
    if (near)
        emd_usage_error("%s: unknown option, or a value is missing; did you mean '--%s'?", option,
                        near);
    else
        emd_usage_error("%s: unknown option, or a value is missing", option);
}

bool blanks_arguments_parse(int argc, char **argv, struct blanks_arguments *args, int *code)
{
    struct option options[PARAMETERS + 8] = {{0}};
    size_t count = 0;
    bool config = false;
    int c;
    *code = EMD_EXIT_USAGE;
    for (enum parameter_id id = 0; id < PARAMETERS; id++)
        if (parameters[id].option)
            options[count++] = (struct option){parameters[id].option, required_argument, NULL,
                                               OPT_FIRST + (int)id};
    options[count++] = (struct option){"dry-run", no_argument, NULL, 'n'};
    options[count++] = (struct option){"json", no_argument, NULL, OPT_JSON};
    options[count++] = (struct option){"verbose", no_argument, NULL, 'v'};
    options[count++] = (struct option){"quiet", no_argument, NULL, 'q'};
    options[count++] = (struct option){"show-config", no_argument, NULL, 'c'};
    options[count++] = (struct option){"help", no_argument, NULL, 'h'};
    options[count++] = (struct option){"version", no_argument, NULL, 'V'};
    args->log = strcmp(initial(args, OUTPUT_LOG), "None") == 0 ? NULL : initial(args, OUTPUT_LOG);
    args->out_expt = parameters[OUTPUT_EXPERIMENTS].initial;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "nqvchV", options, NULL)) != -1) {
        switch (c) {
        case 'n':
            args->dry_run = true;
            break;
        case 'q':
            args->quiet = true;
            emd_message_set_verbosity(EMD_QUIET);
            break;
        case 'v':
            args->verbose = true;
            break;
        case 'c':
            config = true;
            break;
        case OPT_JSON:
            args->json = true;
            break;
        case 'h':
            print_help(args);
            *code = EMD_EXIT_OK;
            return false;
        case 'V':
            emd_print_version();
            *code = EMD_EXIT_OK;
            return false;
        case '?':
            unknown_option(argv[optind > 1 ? optind - 1 : 1]);
            return false;
        default: {
            const enum parameter_id id = (enum parameter_id)(c - OPT_FIRST);
            char name[64];
            snprintf(name, sizeof name, "--%s", parameters[id].option);
            if (!set_parameter(args, id, name, optarg))
                return false;
        }
        }
    }
    for (int i = optind; i < argc; i++)
        if (!(is_assignment(argv[i]) ? set_assignment(args, argv[i]) : set_file(args, argv[i])))
            return false;
    if (config) {
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
