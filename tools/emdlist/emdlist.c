/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdlist: every crystal of a processing trial at a glance. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/safefile.h"
#include "common/message.h"
#include "dials/listcolumns.h"
#include "dials/listrows.h"
#include "dials/listselect.h"
#include "emdlist/listoutput.h"

static const char help_start[] =
    "Usage: emdlist [OPTION]... TRIAL\n"
    "Lists every crystal below the current directory that has the processing trial\n"
    "TRIAL (P1, P1/not_blank), best resolution first: name, resolution, unit cell and\n"
    "symmetry.\n"
    "\n"
    "Crystals:\n"
    "  -C, --directory DIR    look below DIR; paths are relative to it (.)\n"
    "      --good             leave out failed and unfinished crystals\n"
    "      --select EXPR      only crystals for which this holds, as in\n"
    "                         'resolution < 1.0 and cc_half > 0.9 and cluster = 1'\n"
    "      --sort KEY         order by a column, -KEY backwards (resolution)\n"
    "\n"
    "Values:\n"
    "      --cc X             CC1/2 at which the resolution is taken (0.3)\n"
    "      --method METHOD    shell (default): limit of the last shell above X;\n"
    "                         linear: interpolated between shells; fit: tanh fit\n"
    "                         as in DIALS\n"
    "      --symmetry-from SOURCE\n"
    "                         symmetry (default) or cosym: the program whose best\n"
    "                         solution is preferred; space_group: the recommended\n"
    "                         space group\n"
    "\n"
    "Output:\n"
    "      --format FORMAT    text (default), tsv, csv, json or html\n"
    "      --columns LIST     columns, separated by commas, or all\n"
    "      --print WHAT       names or paths alone, one per line, for other programs\n"
    "  -o, --output FILE      write to FILE, which appears complete or not at all\n"
    "  -q, --quiet            only errors\n"
    "      --help, --version\n"
    "\n"
    "Columns:\n";

enum format { FORMAT_TEXT, FORMAT_TSV, FORMAT_CSV, FORMAT_JSON, FORMAT_HTML };
enum option_code {
    OPT_GOOD = 256,
    OPT_SORT,
    OPT_CC,
    OPT_METHOD,
    OPT_SYMMETRY,
    OPT_FORMAT,
    OPT_COLUMNS,
    OPT_SELECT,
    OPT_PRINT,
    OPT_HELP,
    OPT_VERSION
};

static const struct option options[] = {{"directory", required_argument, NULL, 'C'},
                                        {"good", no_argument, NULL, OPT_GOOD},
                                        {"sort", required_argument, NULL, OPT_SORT},
                                        {"cc", required_argument, NULL, OPT_CC},
                                        {"method", required_argument, NULL, OPT_METHOD},
                                        {"symmetry-from", required_argument, NULL, OPT_SYMMETRY},
                                        {"format", required_argument, NULL, OPT_FORMAT},
                                        {"select", required_argument, NULL, OPT_SELECT},
                                        {"print", required_argument, NULL, OPT_PRINT},
                                        {"columns", required_argument, NULL, OPT_COLUMNS},
                                        {"output", required_argument, NULL, 'o'},
                                        {"quiet", no_argument, NULL, 'q'},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        {"version", no_argument, NULL, OPT_VERSION},
                                        {NULL, 0, NULL, 0}};

struct arguments {
    struct emd_list_settings settings;
    enum format format;
    enum emd_list_column_id columns[4 * EMD_LIST_COLUMNS];
    size_t column_count; /* 0: the format's own */
    enum emd_list_column_id sort;
    bool backwards;
    const char *output;
    const char *expression; /* NULL: all */
    struct emd_select *select;
    enum { PRINT_LIST, PRINT_NAMES, PRINT_PATHS } print;
};

static void print_help(void)
{
    fputs(help_start, stdout);
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++)
        printf("  %-14s %s%s%s%s\n", emd_list_column(id)->key, emd_list_column(id)->help,
               emd_list_column(id)->unit[0] ? " (" : "", emd_list_column(id)->unit,
               emd_list_column(id)->unit[0] ? ")" : "");
}

/* Index of 'text' among the names, -1 if it is none of them. */
static int choice(const char *text, const char *const names[], int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

static int no_column(const char *option, const char *name)
{
    const char *names[EMD_LIST_COLUMNS];
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++)
        names[id] = emd_list_column(id)->key;
    const char *near = emd_nearest(name, names, EMD_LIST_COLUMNS);
    return near ? emd_usage_error("%s: no column '%s'; did you mean '%s'?", option, name, near)
                : emd_usage_error("%s: no column '%s'", option, name);
}

/* EMD_EXIT_OK to go on; else the exit code, with *stop set. */
static int parse_arguments(int argc, char **argv, struct arguments *a, bool *stop)
{
    static const char *const formats[] = {"text", "tsv", "csv", "json", "html"};
    static const char *const prints[] = {"names", "paths"};
    static const char *const methods[] = {"shell", "linear", "fit"};
    static const char *const sources[] = {"symmetry", "cosym", "space_group"};
    char unknown[64];
    int code, index;
    *stop = true;
    opterr = 0;
    while ((code = getopt_long(argc, argv, "C:o:q", options, NULL)) != -1) {
        switch (code) {
        case 'C':
            a->settings.folder = optarg;
            break;
        case 'o':
            a->output = optarg;
            break;
        case 'q':
            emd_message_set_verbosity(EMD_QUIET);
            break;
        case OPT_GOOD:
            a->settings.good_only = true;
            break;
        case OPT_SORT: {
            enum emd_list_column_id ids[EMD_LIST_COLUMNS];
            a->backwards = optarg[0] == '-';
            if (emd_list_columns_parse(optarg + a->backwards, ids, EMD_LIST_COLUMNS, unknown) != 1)
                return no_column("--sort", unknown);
            a->sort = ids[0];
            break;
        }
        case OPT_CC:
            if (!emd_parse_double(optarg, -1, 1, &a->settings.limit))
                return emd_usage_error("--cc %s: not a number from -1 to 1", optarg);
            break;
        case OPT_METHOD:
            if ((index = choice(optarg, methods, 3)) < 0)
                return emd_usage_error("--method %s: not shell, linear or fit", optarg);
            a->settings.method = (enum emd_resolution_method)index;
            break;
        case OPT_SYMMETRY:
            if ((index = choice(optarg, sources, 3)) < 0)
                return emd_usage_error("--symmetry-from %s: not symmetry, cosym or space_group",
                                       optarg);
            a->settings.symmetry_from = (enum emd_symmetry_from)index;
            break;
        case OPT_FORMAT:
            if ((index = choice(optarg, formats, 5)) < 0)
                return emd_usage_error("--format %s: not text, tsv, csv, json or html", optarg);
            a->format = (enum format)index;
            break;
        case OPT_COLUMNS:
            a->column_count = emd_list_columns_parse(
                optarg, a->columns, sizeof a->columns / sizeof *a->columns, unknown);
            if (a->column_count == 0)
                return no_column("--columns", unknown);
            break;
        case OPT_SELECT:
            a->expression = optarg;
            break;
        case OPT_PRINT:
            if ((index = choice(optarg, prints, 2)) < 0)
                return emd_usage_error("--print %s: not names or paths", optarg);
            a->print = index == 0 ? PRINT_NAMES : PRINT_PATHS;
            break;
        case OPT_HELP:
            print_help();
            return EMD_EXIT_OK;
        case OPT_VERSION:
            emd_print_version();
            return EMD_EXIT_OK;
        default:
            return emd_usage_error("%s: no such option, or its value is missing",
                                   argv[optind > 1 ? optind - 1 : 1]);
        }
    }
    if (optind + 1 != argc)
        return emd_usage_error(optind == argc ? "no TRIAL given" : "more than one TRIAL given");
    a->settings.trial = argv[optind];
    if (!emd_trial_name_valid(a->settings.trial))
        return emd_usage_error("'%s' is no name of a trial", a->settings.trial);
    *stop = false;
    return EMD_EXIT_OK;
}

/* Without --columns: what each format shows. */
static void choose_columns(struct arguments *a)
{
    static const enum emd_list_column_id table[] = {
        EMD_LIST_PATH,     EMD_LIST_CRYSTAL, EMD_LIST_RESOLUTION,   EMD_LIST_CELL,
        EMD_LIST_SYMMETRY, EMD_LIST_FRAMES,  EMD_LIST_COMPLETENESS, EMD_LIST_MULTIPLICITY,
        EMD_LIST_I_SIGMA,  EMD_LIST_R_MEAS,  EMD_LIST_CC_HALF,      EMD_LIST_REFLECTIONS,
        EMD_LIST_OUTCOME,  EMD_LIST_STAGE,   EMD_LIST_REASON};
    static const enum emd_list_column_id page[] = {
        EMD_LIST_PATH,    EMD_LIST_RESOLUTION,   EMD_LIST_CELL,    EMD_LIST_SYMMETRY,
        EMD_LIST_FRAMES,  EMD_LIST_COMPLETENESS, EMD_LIST_I_SIGMA, EMD_LIST_R_MEAS,
        EMD_LIST_CC_HALF, EMD_LIST_OUTCOME};
    if (a->column_count == 0 && (a->format == FORMAT_TSV || a->format == FORMAT_CSV)) {
        memcpy(a->columns, table, sizeof table);
        a->column_count = sizeof table / sizeof *table;
    } else if (a->column_count == 0 && a->format == FORMAT_HTML) {
        memcpy(a->columns, page, sizeof page);
        a->column_count = sizeof page / sizeof *page;
    } else if (a->column_count == 0 && a->format == FORMAT_JSON) {
        for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++)
            if (id != EMD_LIST_RATIO) /* opens every movie: only when asked for */
                a->columns[a->column_count++] = id;
    }
    struct emd_list_settings *s = &a->settings;
    for (size_t i = 0; i < a->column_count; i++) {
        s->what |= emd_list_column(a->columns[i])->needs;
        s->want_ratio |= a->columns[i] == EMD_LIST_RATIO;
        s->want_lattice |= emd_list_column(a->columns[i])->lattice;
    }
    s->want_lattice |= emd_list_column(a->sort)->lattice || a->format == FORMAT_HTML;
    s->what |= emd_list_column(a->sort)->needs;
    s->want_ratio |= a->sort == EMD_LIST_RATIO;
    if (s->method != EMD_RESOLUTION_SHELL)
        s->what |= EMD_TRIAL_SHELLS;
    if (s->symmetry_from == EMD_SYMMETRY_COSYM)
        s->what |= EMD_TRIAL_COSYM;
    if (a->format == FORMAT_HTML)
        s->what |= EMD_TRIAL_FRAMES | EMD_TRIAL_COSYM;
}

/* qsort has no argument of its own. */
static const struct arguments *sorting;

static int compare_rows(const void *pa, const void *pb)
{
    const struct emd_list_row *a = pa, *b = pb;
    const enum emd_list_column_id key = sorting->sort;
    char abuf[EMD_LIST_BUFFER], bbuf[EMD_LIST_BUFFER];
    int order = 0;
    if (emd_list_column(key)->kind == EMD_LIST_NUMBER) {
        double x = emd_list_number(a, key), y = emd_list_number(b, key);
        if (isnan(x) || isnan(y)) {
            if (isnan(x) != isnan(y))
                return isnan(x) ? 1 : -1; /* at the end either way */
        } else {
            order = x < y ? -1 : x > y;
        }
    } else {
        order = strcmp(emd_list_text(a, key, &sorting->settings, abuf),
                       emd_list_text(b, key, &sorting->settings, bbuf));
    }
    if (order == 0) {
        order = strcmp(a->trial->path, b->trial->path);
        if (order == 0)
            order = a->crystal < b->crystal ? -1 : a->crystal > b->crystal;
        return order;
    }
    return sorting->backwards ? -order : order;
}

static void write_list(FILE *out, const struct emd_list_rows *rows, const struct arguments *a)
{
    const struct emd_list_settings *s = &a->settings;
    if (a->print == PRINT_NAMES) {
        list_print_names(out, rows);
        return;
    }
    if (a->print == PRINT_PATHS) {
        list_print_paths(out, rows, s);
        return;
    }
    switch (a->format) {
    case FORMAT_TEXT:
        if (a->column_count == 0)
            list_write_classic(out, rows, s);
        else
            list_write_text(out, rows, s, a->columns, a->column_count);
        break;
    case FORMAT_TSV:
    case FORMAT_CSV:
        list_write_separated(out, rows, s, a->columns, a->column_count,
                             a->format == FORMAT_CSV ? ',' : '\t');
        break;
    case FORMAT_JSON:
        list_write_json(out, rows, s, a->columns, a->column_count);
        break;
    case FORMAT_HTML:
        list_write_html(out, rows, s, a->columns, a->column_count);
        break;
    }
}

static enum emd_status write_file(const struct emd_list_rows *rows, const struct arguments *a,
                                  struct emd_error *err)
{
    struct emd_safefile *file;
    enum emd_status status = emd_safefile_create(a->output, &file, err);
    if (status != EMD_OK)
        return status;
    int fd = dup(emd_safefile_fd(file));
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool failed = !out;
    int reason = errno;
    if (out) {
        write_list(out, rows, a);
        failed = ferror(out) != 0;
        failed |= fclose(out) != 0;
        reason = errno;
    } else if (fd >= 0) {
        close(fd);
    }
    if (failed) {
        emd_safefile_discard(file);
        return emd_fail_errno(err, EMD_E_IO, reason, "cannot write");
    }
    return emd_safefile_commit(&file, 1, true, err);
}

int main(int argc, char **argv)
{
    struct arguments a = {.settings = {.folder = ".", .limit = 0.3, .ratio = list_image_ratio},
                          .sort = EMD_LIST_RESOLUTION};
    struct emd_list_rows rows;
    struct emd_error err;
    bool stop;
    emd_message_init("emdlist", EMD_NORMAL);
    int code = parse_arguments(argc, argv, &a, &stop);
    if (stop)
        return emd_finish(code);
    choose_columns(&a);
    enum emd_status status = EMD_OK;
    if (a.expression)
        status = emd_list_select_parse(a.expression, &a.settings, &a.select, &err);
    if (status != EMD_OK)
        return emd_finish(emd_usage_error("--select: %s", err.text));
    status = emd_list_rows_read(&a.settings, &rows, &err);
    if (status != EMD_OK) {
        emd_select_free(a.select);
        emd_message_error("%s: %s", a.settings.folder, err.text);
        return emd_finish(status == EMD_E_ARGUMENT ? EMD_EXIT_USAGE : EMD_EXIT_FAILED);
    }
    if (rows.unreadable > 0)
        emd_message_warning("%s: cannot be read%s", rows.first_unreadable,
                            rows.unreadable > 1 ? ", and others" : "");
    sorting = &a;
    if (rows.count > 1)
        qsort(rows.rows, rows.count, sizeof *rows.rows, compare_rows);
    if (rows.trial_count == 0) {
        emd_message_error("%s: no crystal has the trial %s", a.settings.folder, a.settings.trial);
        code = EMD_EXIT_NOT_READY;
    } else if (a.select) {
        const size_t before = rows.count;
        emd_list_rows_select(&rows, a.select, &a.settings);
        if (rows.count == 0) {
            emd_message_error("none of %zu crystals fulfils --select", before);
            code = EMD_EXIT_NOT_READY;
        }
    }
    emd_select_free(a.select);
    if (a.output) {
        status = write_file(&rows, &a, &err);
        if (status != EMD_OK) {
            emd_message_error("%s: %s", a.output, err.text);
            code = EMD_EXIT_FAILED;
        }
    } else {
        write_list(stdout, &rows, &a);
    }
    emd_list_rows_free(&rows);
    return emd_finish(code);
}
