/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdblanks: blank images removed from DIALS results; also called dials.filter_blanks. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/safefile.h"
#include "common/message.h"
#include "common/signals.h"
#include "emdblanks/blanksargs.h"
#include "emdblanks/blanksplot.h"
#include "emdblanks/blanksreport.h"

/* The log in memory until the end: it appears complete, and a run that is stopped leaves the last
 * one as it was. */
struct log {
    FILE *out; /* NULL: none is wanted */
    char *text;
    size_t length;
};

static void warn(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* On stderr, and in the log. */
static void warn(struct log *log, const char *format, ...)
{
    char text[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    emd_message_warning("%s", text);
    if (log->out)
        fprintf(log->out, "warning: %s\n", text);
}

static int fail(struct log *log, enum emd_status status, const char *text)
{
    emd_message_error("%s", text);
    if (log->out)
        fprintf(log->out, "error: %s\n", text);
    return emd_exit_for(status);
}

static void warn_of(struct log *log, const struct blanks_arguments *args,
                    const struct emd_blank_report *report)
{
    uint64_t outside = 0, unusable = 0;
    for (size_t i = 0; i < report->experiment_count; i++) {
        const struct emd_blank_experiment *e = &report->experiments[i];
        outside += e->outside;
        unusable += e->unusable;
        for (int a = 0; a < EMD_BLANK_ANALYSES; a++)
            if (e->done[a] && !e->blanks[a].informative)
                warn(log,
                     "experiment %zu: the highest bin of the %s analysis is no positive number: "
                     "it says nothing",
                     i, emd_blank_analysis_name((enum emd_blank_analysis)a));
    }
    if (report->identifiers_differ)
        warn(log, "%s: its identifiers are not those of %s: taken by number", args->refl,
             args->expt);
    if (outside)
        warn(log, "%s: %" PRIu64 " reflections outside the scan are left out", args->refl, outside);
    if (unusable)
        warn(log,
             "%s: %" PRIu64 " integrated reflections without a positive variance are not in the "
             "I/sigma",
             args->refl, unusable);
    if (report->unplaced)
        warn(log, "%s: %" PRIu64 " unindexed spots of unknown image set are left out", args->refl,
             report->unplaced);
}

/* What DIALS' programs say first. */
static void begin_log(struct log *log, const struct blanks_arguments *args)
{
    if (!args->log || args->dry_run)
        return;
    log->out = open_memstream(&log->text, &log->length);
    if (!log->out)
        return;
    fprintf(log->out, "%s (emdtools) %s\n", args->program, EMDTOOLS_VERSION);
    if (args->change_count)
        fputs("The following parameters have been modified:\n\n", log->out);
    for (size_t i = 0; i < args->change_count; i++)
        fprintf(log->out, "%s = %s\n", args->changes[i].key, args->changes[i].value);
    putc('\n', log->out);
}

/* Writes the log; the exit status of the program then. */
static int end_log(struct log *log, const struct blanks_arguments *args, int code)
{
    struct emd_safefile *file = NULL;
    struct emd_error err;
    if (!log->out)
        return code;
    bool failed = fclose(log->out) != 0;
    enum emd_status status = failed ? emd_fail(&err, EMD_E_MEMORY, "out of memory") : EMD_OK;
    if (status == EMD_OK)
        status = emd_safefile_create(args->log, &file, &err);
    if (status == EMD_OK && emd_pwrite_all(emd_safefile_fd(file), log->text, log->length, 0) != 0) {
        status = emd_fail_errno(&err, EMD_E_IO, errno, "cannot write");
        emd_safefile_discard(file);
    } else if (status == EMD_OK) {
        status = emd_safefile_commit(&file, 1, true, &err);
    }
    free(log->text);
    if (status != EMD_OK) {
        emd_message_error("%s: %s", args->log, err.text);
        return code == EMD_EXIT_OK ? (int)emd_exit_for(status) : code;
    }
    return code;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return strcmp(a, b) == 0 ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Log and plot must replace neither what is read nor what is written. */
static bool side_files_ok(const struct blanks_arguments *args)
{
    const char *const side[] = {args->dry_run ? NULL : args->log, args->plot};
    const char *const others[] = {args->expt,     args->refl, args->out_expt,
                                  args->out_refl, args->plot, args->filter.frames};
    for (size_t i = 0; i < sizeof side / sizeof *side; i++)
        for (size_t k = 0; side[i] && k < sizeof others / sizeof *others; k++)
            if (others[k] && others[k] != side[i] && same_file(side[i], others[k])) {
                emd_usage_error("%s: the %s must not replace %s", side[i], i ? "plot" : "log",
                                others[k]);
                return false;
            }
    return true;
}

static bool is_cancelled(void *ctx)
{
    (void)ctx;
    return emd_signals_caught();
}

static int write_results(struct log *log, const struct blanks_arguments *args,
                         struct emd_blankfilter *filter)
{
    const struct emd_blank_report *report = emd_blankfilter_report(filter);
    struct emd_error err = {0};
    enum emd_status status = EMD_OK;
    if (args->plot && (status = blanksplot_write(report, args->plot, &err)) != EMD_OK)
        return fail(log, status, err.text);
    if (report->kept == 0) {
        char text[1200];
        snprintf(text, sizeof text,
                 "%s: all images are blank or in runs too short: nothing is written", args->refl);
        fail(log, EMD_E_EMPTY, text);
        return EMD_EXIT_NOT_READY;
    }
    if (args->dry_run)
        return EMD_EXIT_OK;
    status = emd_blankfilter_write(filter, args->out_expt, args->out_refl, &err);
    if (status != EMD_OK)
        return fail(log, status, err.text);
    if (log->out)
        fprintf(log->out, "Saving the experiments to %s\nSaving the reflections to %s\n",
                args->out_expt, args->out_refl);
    return EMD_EXIT_OK;
}

static int run(struct blanks_arguments *args)
{
    struct emd_blankfilter *filter = NULL;
    struct emd_error err = {0};
    struct log log = {0};
    int code;
    if (!side_files_ok(args))
        return EMD_EXIT_USAGE;
    begin_log(&log, args);
    enum emd_status status =
        emd_blankfilter_analyse(args->expt, args->refl, &args->filter, &filter, &err);
    if (status == EMD_OK) {
        const struct emd_blank_report *report = emd_blankfilter_report(filter);
        if (!args->out_refl)
            args->out_refl = report->gzipped ? "not_blank.refl.gz" : "not_blank.refl";
        warn_of(&log, args, report);
        if (args->json)
            blanks_report_json(args, report);
        else if (!args->quiet)
            blanks_report_text(stdout, report, args->verbose);
        if (log.out)
            blanks_report_text(log.out, report, args->verbose);
        code = write_results(&log, args, filter);
    } else {
        code = fail(&log, status, err.text);
    }
    emd_blankfilter_free(filter);
    return end_log(&log, args, code);
}

/* "dials.filter_blanks" if the program was called so. */
static const char *called_as(const char *argv0)
{
    static const char dials[] = "dials.filter_blanks";
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
    const char *name = slash ? slash + 1 : argv0;
    return name && strcmp(name, dials) == 0 ? dials : "emdblanks";
}

int main(int argc, char **argv)
{
    struct blanks_arguments args = {.program = called_as(argc > 0 ? argv[0] : NULL)};
    int code;
    emd_message_init(args.program, EMD_NORMAL);
    emd_blankfilter_defaults(&args.filter);
    bool work = blanks_arguments_parse(argc, argv, &args, &code);
    if (work) {
        emd_signals_init();
        args.filter.cancelled = is_cancelled;
        code = run(&args);
    }
    blanks_arguments_free(&args);
    code = emd_finish(code);
    if (work)
        emd_signals_reraise();
    return code;
}
