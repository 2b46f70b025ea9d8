/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdlist: every crystal of a processing trial at a glance. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/safefile.h"
#include "common/message.h"
#include "common/options.h"
#include "dials/listcolumns.h"
#include "dials/listrows.h"
#include "dials/listselect.h"
#include "emdlist/listoutput.h"

enum format { FORMAT_TEXT, FORMAT_TSV, FORMAT_CSV, FORMAT_JSON, FORMAT_HTML };
struct arguments {
    struct emd_list_settings settings;
    enum format format;
    enum emd_list_column_id columns[4 * EMD_LIST_COLUMNS];
    size_t column_count; /* 0: the format's own */
    enum emd_list_column_id sort;
    bool backwards, quiet;
    const char *output;
    const char *expression; /* NULL: all */
    struct emd_select *select;
    enum { PRINT_NAMES, PRINT_PATHS, PRINT_LIST } print; /* the first two as --print has them */
};

/* --- arguments --------------------------------------------------------------------------------*/

static void print_columns(void)
{
    puts("\nColumns:");
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++)
        printf("  %-14s %s%s%s%s\n", emd_list_column(id)->key, emd_list_column(id)->help,
               emd_list_column(id)->unit[0] ? " (" : "", emd_list_column(id)->unit,
               emd_list_column(id)->unit[0] ? ")" : "");
}

static enum emd_status no_column(const char *name, struct emd_error *err)
{
    const char *names[EMD_LIST_COLUMNS];
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++)
        names[id] = emd_list_column(id)->key;
    const char *near = emd_nearest(name, names, EMD_LIST_COLUMNS);
    return near ? emd_fail(err, EMD_E_ARGUMENT, "no column '%s'; did you mean '%s'?", name, near)
                : emd_fail(err, EMD_E_ARGUMENT, "no column '%s'", name);
}

static enum emd_status take_sort(void *into, const struct emd_option *option, const char *value,
                                 struct emd_error *err)
{
    struct arguments *a = into;
    enum emd_list_column_id ids[EMD_LIST_COLUMNS];
    char unknown[64];
    (void)option;
    a->backwards = value[0] == '-';
    if (emd_list_columns_parse(value + a->backwards, ids, EMD_LIST_COLUMNS, unknown) != 1)
        return no_column(unknown, err);
    a->sort = ids[0];
    return EMD_OK;
}

static enum emd_status take_columns(void *into, const struct emd_option *option, const char *value,
                                    struct emd_error *err)
{
    struct arguments *a = into;
    char unknown[64];
    (void)option;
    a->column_count =
        emd_list_columns_parse(value, a->columns, sizeof a->columns / sizeof *a->columns, unknown);
    return a->column_count ? EMD_OK : no_column(unknown, err);
}

#define AT(field) offsetof(struct arguments, field)

/* The words of the last two are columns, which emdlist knows when it runs. */
static const struct emd_option options[] = {
    {.kind = EMD_OPTION_TITLE, .help = "Crystals"},
    {'C', "directory", "DIR", EMD_OPTION_TEXT, .at = AT(settings.folder), .complete = "directory",
     .help = "look below DIR; paths are relative to it (default: here)"},
    {0, "good", NULL, EMD_OPTION_FLAG, .at = AT(settings.good_only),
     .help = "leave out failed and unfinished crystals"},
    {0, "select", "EXPR", EMD_OPTION_TEXT, .at = AT(expression),
     .help = "only crystals for which this holds, as in\n'resolution < 1.0 and cc_half > 0.9 and "
             "cluster = 1'"},
    {0, "sort", "KEY", EMD_OPTION_CALL, .take = take_sort,
     .help = "order by a column, -KEY backwards (default resolution)"},
    {.kind = EMD_OPTION_TITLE, .help = "Values"},
    {0, "cc", "X", EMD_OPTION_DOUBLE, .at = AT(settings.limit), .low = -1, .high = 1,
     .help = "CC1/2 at which the resolution is taken (default 0.3)"},
    {0, "method", "METHOD", EMD_OPTION_CHOICE, .at = AT(settings.method),
     .words = "shell|linear|fit",
     .help = "shell (default): limit of the last shell above X; linear: interpolated between "
             "shells; fit: tanh fit as in DIALS"},
    {0, "symmetry-from", "SOURCE", EMD_OPTION_CHOICE, .at = AT(settings.symmetry_from),
     .words = "symmetry|cosym|space_group",
     .help = "symmetry (default) or cosym: the program whose best solution is preferred; "
             "space_group: the recommended space group"},
    {.kind = EMD_OPTION_TITLE, .help = "Output"},
    {0, "format", "FORMAT", EMD_OPTION_CHOICE, .at = AT(format), .words = "text|tsv|csv|json|html",
     .help = "text (default), tsv, csv, json or html"},
    {0, "columns", "LIST", EMD_OPTION_CALL, .take = take_columns,
     .help = "columns, separated by commas, or all"},
    {0, "print", "WHAT", EMD_OPTION_CHOICE, .at = AT(print), .words = "names|paths",
     .help = "names or paths alone, one per line, for other programs"},
    {'o', "output", "FILE", EMD_OPTION_TEXT, .at = AT(output), .complete = "file",
     .help = "write to FILE, which appears complete or not at all"},
    {'q', "quiet", NULL, EMD_OPTION_FLAG, .at = AT(quiet), .help = "only errors"},
};
enum { OPTIONS = sizeof options / sizeof *options };

/* -1 to go on, else the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *a)
{
    struct emd_option all[OPTIONS];
    char words[EMD_LIST_COLUMNS * 16] = "list:", list[sizeof words + 8];
    size_t used = strlen(words);
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS && used < sizeof words; id++)
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", id ? " " : "",
                                 emd_list_column(id)->key);
    snprintf(list, sizeof list, "%s all", words);
    memcpy(all, options, sizeof all);
    for (size_t i = 0; i < OPTIONS; i++)
        if (all[i].take)
            all[i].complete = all[i].take == take_columns ? list : words;
    const struct emd_program program = {
        .name = "emdlist",
        .usage = "[OPTION]... TRIAL",
        .about = "List every crystal below the current directory that has the processing trial "
                 "TRIAL (P1, P1/not_blank), best resolution first: name, resolution, unit cell "
                 "and symmetry.",
        .options = all,
        .option_count = OPTIONS,
        .more_help = print_columns,
        .exits = {NULL, NULL, NULL, "no crystal has the trial or fulfils --select"},
        .operands = "sh:ls -d */*/ | cut -d/ -f2 | sort -u | head -n 200",
    };
    const int code = emd_options_parse(&program, argc, argv, a);
    if (code >= 0)
        return code;
    if (a->quiet)
        emd_message_set_verbosity(EMD_QUIET);
    if (optind + 1 != argc)
        return emd_usage_error(optind == argc ? "no TRIAL given" : "more than one TRIAL given");
    a->settings.trial = argv[optind];
    if (!emd_trial_name_valid(a->settings.trial))
        return emd_usage_error("'%s': invalid name of a trial", a->settings.trial);
    return -1;
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
                          .sort = EMD_LIST_RESOLUTION,
                          .print = PRINT_LIST};
    struct emd_list_rows rows;
    struct emd_error err;
    emd_message_init("emdlist", EMD_NORMAL);
    int code = parse_arguments(argc, argv, &a);
    if (code >= 0)
        return emd_finish(code);
    code = EMD_EXIT_OK;
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
