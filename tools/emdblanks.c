/* emdblanks: blank images removed from DIALS results. */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blanksplot.h"
#include "common/jsontext.h"
#include "common/message.h"
#include "common/signals.h"
#include "dials/blankfilter.h"

static const char help[] =
    "Usage: emdblanks [OPTION]... [KEY=VALUE]... EXPERIMENTS.expt REFLECTIONS.refl\n"
    "Removes blank images from DIALS results: finds them as dials.detect_blanks does and writes\n"
    "not_blank.expt and not_blank.refl with the images between them.\n"
    "\n"
    "Analysis:\n"
    "  --phi-step DEG          width of a bin (2)                  phi_step=\n"
    "  --counts-loss F         blank: spots <= F of the fullest bin (0.1)\n"
    "                                                              counts_fractional_loss=\n"
    "  --misigma-loss F        blank: mean I/sigma <= F of the best bin (0.1)\n"
    "                                                              misigma_fractional_loss=\n"
    "  --method dials|robust   bins as in DIALS (default), or the strong spots image by image\n"
    "  --from-frames FILE      also judge by the spots in FILE.frames.tsv\n"
    "\n"
    "What stays:\n"
    "  --keep longest|all      the longest run of images that are not blank (default), or every\n"
    "                          run as an experiment of its own\n"
    "  --min-images N          drop runs of fewer images (1)\n"
    "  --min-reflections N     drop runs of fewer reflections (0)  min_total_reflections=\n"
    "\n"
    "Output:\n"
    "  --output-experiments FILE  (not_blank.expt)                 output.experiments=\n"
    "  --output-reflections FILE  (not_blank.refl)                 output.reflections=\n"
    "  -n, --dry-run           only report\n"
    "      --json              report as JSON\n"
    "      --plot FILE.svg     draw counts, I/sigma, thresholds and what is kept\n"
    "  -q, --quiet             no report\n"
    "      --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 everything is blank (nothing is written).\n";

enum option_code {
    OPT_PHI_STEP = 256,
    OPT_COUNTS_LOSS,
    OPT_MISIGMA_LOSS,
    OPT_METHOD,
    OPT_FROM_FRAMES,
    OPT_KEEP,
    OPT_MIN_IMAGES,
    OPT_MIN_REFLECTIONS,
    OPT_EXPERIMENTS,
    OPT_REFLECTIONS,
    OPT_INPUT_EXPERIMENTS,
    OPT_INPUT_REFLECTIONS,
    OPT_JSON,
    OPT_PLOT,
    OPT_HELP,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"phi-step", required_argument, NULL, OPT_PHI_STEP},
    {"counts-loss", required_argument, NULL, OPT_COUNTS_LOSS},
    {"misigma-loss", required_argument, NULL, OPT_MISIGMA_LOSS},
    {"method", required_argument, NULL, OPT_METHOD},
    {"from-frames", required_argument, NULL, OPT_FROM_FRAMES},
    {"keep", required_argument, NULL, OPT_KEEP},
    {"min-images", required_argument, NULL, OPT_MIN_IMAGES},
    {"min-reflections", required_argument, NULL, OPT_MIN_REFLECTIONS},
    {"output-experiments", required_argument, NULL, OPT_EXPERIMENTS},
    {"output-reflections", required_argument, NULL, OPT_REFLECTIONS},
    {"dry-run", no_argument, NULL, 'n'},
    {"json", no_argument, NULL, OPT_JSON},
    {"plot", required_argument, NULL, OPT_PLOT},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {0}};

/* DIALS' way to say the same. */
static const struct {
    const char *key;
    int code;
} keys[] = {{"phi_step", OPT_PHI_STEP},
            {"counts_fractional_loss", OPT_COUNTS_LOSS},
            {"misigma_fractional_loss", OPT_MISIGMA_LOSS},
            {"min_total_reflections", OPT_MIN_REFLECTIONS},
            {"output.experiments", OPT_EXPERIMENTS},
            {"output.reflections", OPT_REFLECTIONS},
            {"input.experiments", OPT_INPUT_EXPERIMENTS},
            {"input.reflections", OPT_INPUT_REFLECTIONS}};

struct arguments {
    struct emd_blankfilter_options filter;
    const char *expt, *refl, *out_expt, *plot;
    const char *out_refl; /* NULL: by what was read */
    bool dry_run, json, quiet;
};

/* --- arguments --------------------------------------------------------------------------------*/

/* Sets one option; 'name' is how the user called it. True, or false with a message. */
static bool set_option(struct arguments *args, int code, const char *name, const char *value)
{
    struct emd_blankfilter_options *f = &args->filter;
    bool ok = true;
    switch (code) {
    case OPT_PHI_STEP: /* value_min=0 in DIALS; zero would be bins of nothing */
        ok = emd_parse_double(value, 1e-6, 1e6, &f->phi_step);
        break;
    case OPT_COUNTS_LOSS:
        ok = emd_parse_double(value, 0, 1, &f->counts_loss);
        break;
    case OPT_MISIGMA_LOSS:
        ok = emd_parse_double(value, 0, 1, &f->misigma_loss);
        break;
    case OPT_METHOD:
        ok = strcmp(value, "dials") == 0 || strcmp(value, "robust") == 0;
        f->method = *value == 'r' ? EMD_METHOD_ROBUST : EMD_METHOD_DIALS;
        break;
    case OPT_FROM_FRAMES:
        f->frames = value;
        break;
    case OPT_KEEP:
        ok = strcmp(value, "longest") == 0 || strcmp(value, "all") == 0;
        f->keep = *value == 'a' ? EMD_KEEP_ALL : EMD_KEEP_LONGEST;
        break;
    case OPT_MIN_IMAGES:
        ok = emd_parse_long(value, 1, 1000000000, &f->min_images);
        break;
    case OPT_MIN_REFLECTIONS:
        ok = emd_parse_long(value, 0, 1000000000, &f->min_reflections);
        break;
    case OPT_EXPERIMENTS:
        args->out_expt = value;
        break;
    case OPT_REFLECTIONS:
        args->out_refl = value;
        break;
    case OPT_INPUT_EXPERIMENTS:
        args->expt = value;
        break;
    case OPT_INPUT_REFLECTIONS:
        args->refl = value;
        break;
    case OPT_PLOT:
        args->plot = value;
        break;
    default:
        return false;
    }
    if (!ok || *value == '\0') {
        emd_usage_error("%s: '%s' is no valid value", name, value);
        return false;
    }
    return true;
}

/* "key=value" with a key of DIALS' kind, as opposed to a file name with '=' in it. */
static bool is_assignment(const char *argument)
{
    size_t n = strspn(argument, "abcdefghijklmnopqrstuvwxyz_.");
    return n > 0 && argument[n] == '=';
}

static bool set_assignment(struct arguments *args, const char *argument)
{
    size_t n = strcspn(argument, "=");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].key) == n && memcmp(keys[i].key, argument, n) == 0)
            return set_option(args, keys[i].code, keys[i].key, argument + n + 1);
    emd_usage_error("%.*s: no such parameter", (int)n, argument);
    return false;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Files in any order if their names tell them apart, as DIALS takes them. */
static bool set_file(struct arguments *args, const char *path)
{
    const char **place = ends_with(path, ".refl") || ends_with(path, ".refl.gz") ? &args->refl
                         : ends_with(path, ".expt") || ends_with(path, ".json")  ? &args->expt
                         : !args->expt                                           ? &args->expt
                                                                                 : &args->refl;
    if (*place) {
        emd_usage_error("%s: one experiment list and one reflection table, please", path);
        return false;
    }
    *place = path;
    return true;
}

/* True if there is work to do; else *code is the exit status. */
static bool parse_arguments(int argc, char **argv, struct arguments *args, int *code)
{
    int c, index = 0;
    *code = EMD_EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "nq", long_options, &index)) != -1) {
        switch (c) {
        case 'n':
            args->dry_run = true;
            break;
        case 'q':
            args->quiet = true;
            emd_message_set_verbosity(EMD_QUIET);
            break;
        case OPT_JSON:
            args->json = true;
            break;
        case OPT_HELP:
            fputs(help, stdout);
            *code = EMD_EXIT_OK;
            return false;
        case OPT_VERSION:
            emd_print_version();
            *code = EMD_EXIT_OK;
            return false;
        case '?':
            fputs("Try 'emdblanks --help'.\n", stderr);
            return false;
        default: {
            char name[64];
            snprintf(name, sizeof name, "--%s", long_options[index].name);
            if (!set_option(args, c, name, optarg))
                return false;
        }
        }
    }
    for (int i = optind; i < argc; i++)
        if (!(is_assignment(argv[i]) ? set_assignment(args, argv[i]) : set_file(args, argv[i])))
            return false;
    if (!args->expt || !args->refl) {
        emd_usage_error("an experiment list (.expt) and a reflection table (.refl) are needed");
        return false;
    }
    return true;
}

/* --- report -----------------------------------------------------------------------------------*/

static void print_experiment(const struct emd_blank_experiment *e)
{
    for (int a = 0; a < EMD_BLANK_ANALYSES; a++) {
        /* DIALS reports the strong ones always, the others if there are any. */
        if (e->analysed[a] == 0 && (a != EMD_BLANK_STRONG || e->done[EMD_BLANK_ROBUST]))
            continue;
        if (a == EMD_BLANK_ROBUST)
            printf("Analysis of %" PRIu64 " strong reflections by image:\n", e->analysed[a]);
        else if (a == EMD_BLANK_FRAMES)
            printf("Analysis of %" PRIu64 " frames:\n", e->analysed[a]);
        else
            printf("Analysis of %" PRIu64 " %s reflections:\n", e->analysed[a],
                   emd_blank_analysis_name((enum emd_blank_analysis)a));
        long first, last;
        for (size_t bin = 0; e->done[a] && emd_blanks_region(&e->blanks[a], &bin, &first, &last);)
            printf("Potential blank images: %ld -> %ld\n", first, last);
    }
    for (size_t i = 0; i < e->run_count; i++)
        printf("%s images: %ld -> %ld (%" PRIu64 " reflections)\n",
               e->runs[i].kept ? "Kept" : "Left out", e->runs[i].first, e->runs[i].last,
               e->runs[i].rows);
    if (e->run_count == 0)
        puts("No image is kept.");
}

static void print_report(const struct emd_blank_report *report)
{
    for (size_t i = 0; i < report->experiment_count; i++) {
        const struct emd_blank_experiment *e = &report->experiments[i];
        if (report->experiment_count > 1)
            printf("Experiment %zu, images %ld -> %ld:\n", i, e->first, e->last);
        print_experiment(e);
    }
}

static void put_json_string(const char *text)
{
    emd_json_print(emd_json_text(text));
}

/* JSON has no word for what the sum of huge intensities can become. */
static void put_json_number(double value)
{
    if (isfinite(value))
        printf("%.17g", value);
    else
        fputs("null", stdout);
}

static void put_json_analysis(const struct emd_blank_experiment *e, enum emd_blank_analysis a)
{
    const struct emd_blanks *b = &e->blanks[a];
    printf("{\"reflections\": %" PRIu64 ", \"threshold\": ", e->analysed[a]);
    put_json_number(b->informative ? b->threshold : 0);
    fputs(", \"bins\": [", stdout);
    for (size_t i = 0; i < b->bins; i++) {
        printf("%s{\"first\": %ld, \"last\": %ld, \"value\": ", i ? ", " : "",
               emd_blanks_first(b, i), emd_blanks_last(b, i));
        put_json_number(b->value[i]);
        printf(", \"blank\": %s}", b->blank[i] ? "true" : "false");
    }
    fputs("], \"blank\": [", stdout);
    long first, last;
    const char *comma = "";
    for (size_t bin = 0; emd_blanks_region(b, &bin, &first, &last); comma = ", ")
        printf("%s[%ld, %ld]", comma, first, last);
    fputs("]}", stdout);
}

static void print_json(const struct arguments *args, const struct emd_blank_report *report)
{
    const struct emd_blankfilter_options *o = &args->filter;
    printf("{\"phi_step\": %.17g, \"counts_fractional_loss\": %.17g, "
           "\"misigma_fractional_loss\": %.17g,\n \"rows\": %" PRIu64 ", \"kept_rows\": %" PRIu64
           ", \"kept_experiments\": %zu,\n \"experiments\": [",
           o->phi_step, o->counts_loss, o->misigma_loss, report->rows, report->kept_rows,
           report->kept);
    for (size_t i = 0; i < report->experiment_count; i++) {
        const struct emd_blank_experiment *e = &report->experiments[i];
        printf("%s\n  {\"identifier\": ", i ? "," : "");
        put_json_string(e->identifier);
        printf(", \"first\": %ld, \"last\": %ld, \"rows\": %" PRIu64 ", \"outside_scan\": %" PRIu64
               ", \"unusable\": %" PRIu64,
               e->first, e->last, e->rows, e->outside, e->unusable);
        for (int a = 0; a < EMD_BLANK_ANALYSES; a++) {
            if (!e->done[a])
                continue;
            printf(",\n   \"%s\": ", emd_blank_analysis_name((enum emd_blank_analysis)a));
            put_json_analysis(e, (enum emd_blank_analysis)a);
        }
        fputs(",\n   \"runs\": [", stdout);
        for (size_t r = 0; r < e->run_count; r++) {
            const struct emd_blank_run *run = &e->runs[r];
            printf("%s{\"first\": %ld, \"last\": %ld, \"reflections\": %" PRIu64 ", \"kept\": %s",
                   r ? ", " : "", run->first, run->last, run->rows, run->kept ? "true" : "false");
            if (run->kept) {
                printf(", \"experiment\": %zu, \"identifier\": ", run->experiment);
                put_json_string(run->identifier);
            }
            putchar('}');
        }
        fputs("]}", stdout);
    }
    puts("\n ]}");
}

static void warn(const struct arguments *args, const struct emd_blank_report *report)
{
    uint64_t outside = 0, unusable = 0;
    for (size_t i = 0; i < report->experiment_count; i++) {
        const struct emd_blank_experiment *e = &report->experiments[i];
        outside += e->outside;
        unusable += e->unusable;
        for (int a = 0; a < EMD_BLANK_ANALYSES; a++)
            if (e->done[a] && !e->blanks[a].informative)
                emd_message_warning("experiment %zu: the highest bin of the %s analysis is no "
                                    "positive number: it says nothing",
                                    i, emd_blank_analysis_name((enum emd_blank_analysis)a));
    }
    if (report->identifiers_differ)
        emd_message_warning("%s: its identifiers are not those of %s: taken by number", args->refl,
                            args->expt);
    if (outside)
        emd_message_warning("%s: %" PRIu64 " reflections outside the scan are left out", args->refl,
                            outside);
    if (unusable)
        emd_message_warning("%s: %" PRIu64 " integrated reflections without a positive variance "
                            "are not in the I/sigma",
                            args->refl, unusable);
    if (report->unplaced)
        emd_message_warning("%s: %" PRIu64 " unindexed spots of unknown image set are left out",
                            args->refl, report->unplaced);
}

static bool is_cancelled(void *ctx)
{
    (void)ctx;
    return emd_signals_caught();
}

int main(int argc, char **argv)
{
    struct arguments args = {.out_expt = "not_blank.expt"};
    struct emd_blankfilter *filter = NULL;
    struct emd_error err = {0};
    int code;
    emd_message_init("emdblanks", EMD_NORMAL);
    emd_blankfilter_defaults(&args.filter);
    if (!parse_arguments(argc, argv, &args, &code))
        return emd_finish(code);
    emd_signals_init();
    args.filter.cancelled = is_cancelled;

    enum emd_status status =
        emd_blankfilter_analyse(args.expt, args.refl, &args.filter, &filter, &err);
    if (status != EMD_OK) {
        emd_message_error("%s", err.text);
        return emd_finish(emd_exit_for(status));
    }
    const struct emd_blank_report *report = emd_blankfilter_report(filter);
    if (!args.out_refl)
        args.out_refl = report->gzipped ? "not_blank.refl.gz" : "not_blank.refl";
    warn(&args, report);
    if (args.json)
        print_json(&args, report);
    else if (!args.quiet)
        print_report(report);
    code = EMD_EXIT_OK;
    if (args.plot && (status = blanksplot_write(report, args.plot, &err)) != EMD_OK) {
        emd_message_error("%s", err.text);
        code = emd_exit_for(status);
    } else if (report->kept == 0) {
        emd_message_error("%s: all images are blank or in runs too short: nothing is written",
                          args.refl);
        code = EMD_EXIT_NOT_READY;
    } else if (!args.dry_run) {
        status = emd_blankfilter_write(filter, args.out_expt, args.out_refl, &err);
        if (status != EMD_OK) {
            emd_message_error("%s", err.text);
            code = emd_exit_for(status);
        }
    }
    emd_blankfilter_free(filter);
    code = emd_finish(code);
    emd_signals_reraise();
    return code;
}
