/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/processreport.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/jsontext.h"
#include "common/message.h"

/* ---- JSON ------------------------------------------------------------------------------------ */

/* An object of pairs of key and text, up to a NULL key. */
static struct json_object *event(const char *name, ...)
{
    char now[40];
    const time_t t = time(NULL);
    struct tm tm;
    va_list args;
    struct json_object *o = emd_json_new("emdprocess");
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S%z", localtime_r(&t, &tm));
    json_object_object_add(o, "time", json_object_new_string(now));
    json_object_object_add(o, "event", json_object_new_string(name));
    va_start(args, name);
    for (const char *key; (key = va_arg(args, const char *));)
        json_object_object_add(o, key, emd_json_text(va_arg(args, const char *)));
    va_end(args);
    return o;
}

static void add_number(struct json_object *o, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.3f", value);
    json_object_object_add(o, key, json_object_new_double_s(value, text));
}

static void add_count(struct json_object *o, const char *key, size_t value)
{
    json_object_object_add(o, key, json_object_new_int64((int64_t)value));
}

static void print_event(struct json_object *o)
{
    report_progress_clear();
    emd_json_print_line(o);
    fflush(stdout);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void print_line(const char *first, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print_line(const char *first, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    report_progress_clear();
    emd_print_text(first);
    emd_print_text(text);
    putchar('\n');
    fflush(stdout);
}

void report_skipped(const struct process_options *options, const char *movie, const char *why)
{
    if (options->json)
        print_event(event("skipped", "file", movie, "reason", why, (char *)NULL));
    else if (!options->quiet)
        print_line(movie, ": skipped: %s", why);
}

void report_left_out(const struct process_options *options, const char *crystal, const char *why)
{
    if (options->json)
        print_event(event("left_out", "crystal", crystal, "trial", options->trial, "reason", why,
                          (char *)NULL));
    else if (!options->quiet)
        print_line(crystal, ": left out: %s", why);
}

void report_stage(const struct process_options *options, const char *crystal,
                  const struct emd_recipe_stage *stage, bool done, const char *reason,
                  const struct emd_stage_result *result)
{
    const char *state = done ? "done" : result->state == EMD_STAGE_STOPPED ? "stopped" : "failed";
    if (options->json) {
        struct json_object *o = event("stage", "crystal", crystal, "trial", options->trial, "stage",
                                      stage->name, "state", state, "reason", reason, (char *)NULL);
        json_object_object_add(o, "optional", json_object_new_boolean(stage->optional));
        add_number(o, "seconds", result->seconds);
        add_number(o, "cpu_seconds", result->cpu_seconds);
        print_event(o);
    } else if (options->verbose) {
        print_line(crystal, "/%s: %s: %s after %.1f s%s%s%s", options->trial, stage->name, state,
                   result->seconds, reason[0] ? ": " : "", reason,
                   !done && stage->optional ? " (optional)" : "");
    }
}

void report_job(const struct trial_job *job, struct process_counts *counts)
{
    const struct process_options *options = job->options;
    const char *crystal = job->task->crystal->name, *state = "";
    size_t *count = NULL;
    switch (job->state) {
    case JOB_DONE:
        state = "done";
        count = &counts->done;
        break;
    case JOB_UNCHANGED:
        state = "unchanged";
        count = &counts->unchanged;
        break;
    case JOB_NOT_READY:
        state = "not ready";
        count = &counts->not_ready;
        break;
    case JOB_STOPPED:
        state = "stopped";
        count = &counts->stopped;
        break;
    default:
        state = "failed";
        count = &counts->failed;
        break;
    }
    ++*count;
    if (options->json) {
        print_event(event("crystal", "crystal", crystal, "trial", options->trial, "file",
                          job->task->crystal->movie, "state", state, "stage", job->failed_stage,
                          "reason", job->reason, (char *)NULL));
        return;
    }
    const bool remark = job->state == JOB_UNCHANGED && job->reason[0] && !options->quiet;
    if (job->state == JOB_UNCHANGED ? !options->verbose && !remark
                                    : options->quiet && job->state == JOB_DONE)
        return;
    if (job->state == JOB_DONE || (job->state == JOB_UNCHANGED && !job->reason[0]))
        print_line(crystal, "/%s: %s", options->trial, state);
    else
        print_line(crystal, "/%s: %s%s%s%s%s", options->trial, state,
                   job->failed_stage[0] ? " at " : "", job->failed_stage,
                   job->reason[0] ? ": " : "", job->reason);
}

void report_summary(const struct process_options *options, const struct process_counts *counts,
                    double seconds)
{
    if (options->json) {
        struct json_object *o = event("summary", "trial", options->trial, (char *)NULL);
        add_count(o, "crystals", counts->total);
        add_count(o, "done", counts->done);
        add_count(o, "unchanged", counts->unchanged);
        add_count(o, "failed", counts->failed);
        add_count(o, "not_ready", counts->not_ready);
        add_count(o, "stopped", counts->stopped);
        add_count(o, "skipped", counts->skipped);
        add_number(o, "seconds", seconds);
        print_event(o);
        return;
    }
    if (options->quiet)
        return;
    char text[300];
    int n = snprintf(text, sizeof text, "%zu done, %zu unchanged, %zu failed", counts->done,
                     counts->unchanged, counts->failed);
    if (counts->not_ready > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %zu not ready", counts->not_ready);
    if (counts->stopped > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %zu stopped", counts->stopped);
    if (counts->skipped > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "; %zu %s", counts->skipped,
                      options->project ? "crystals left out" : "movies skipped");
    if (options->project)
        print_line("", "%s: %s; %.0f s", options->trial, text, seconds);
    else
        print_line("", "%s: %zu crystals: %s; %.0f s", options->trial, counts->total, text,
                   seconds);
}

/* ---- progress -------------------------------------------------------------------------------- */

static bool shown;

void report_progress_clear(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
}

void report_progress(const struct process_options *options, const struct process_counts *counts,
                     struct trial_job *const jobs[], size_t count)
{
    static double drawn;
    const double now = job_now();
    if (options->quiet || options->json || !isatty(STDERR_FILENO) || (shown && now - drawn < 0.5))
        return;
    drawn = now;
    struct winsize size = {.ws_col = 80};
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    size_t room = size.ws_col > 20 ? size.ws_col - 1 : 79;
    char text[1024];
    if (room >= sizeof text)
        room = sizeof text - 1;
    const size_t ended = counts->done + counts->unchanged + counts->failed + counts->not_ready;
    size_t n =
        (size_t)snprintf(text, sizeof text, "%s: %zu/%zu", options->trial, ended, counts->total);
    if (counts->failed > 0)
        n += (size_t)snprintf(text + n, sizeof text - n, ", %zu failed", counts->failed);
    for (size_t i = 0; i < count && n < room; i++) {
        const struct trial_job *j = jobs[i];
        if (j->state == JOB_RUNNING)
            n += (size_t)snprintf(text + n, sizeof text - n, " | %s %s %.0f s",
                                  j->task->crystal->name, j->plan.stages[j->stage].spec->name,
                                  now - j->begun);
    }
    text[n < room ? n : room] = '\0';
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    shown = true;
}
