/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/conductor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/message.h"
#include "emdprocess/merging.h"
#include "emdprocess/processreport.h"
#include "emdprocess/trialjob.h"

/* Memory is looked at so often, seconds: it costs some milliseconds a process of DIALS. */
static const double memory_interval = 3;
/* Above this part of the memory nothing new is started; above all of it something must go. */
static const double memory_full = 0.7;

struct conductor {
    const struct process_options *options;
    struct process_task *tasks;
    size_t task_count, next_task;
    unsigned nproc;
    struct trial_job **jobs; /* under way, in their order */
    size_t job_count;
    struct process_counts counts;
    int signals;
    int caught;     /* the signal that asks to stop, 0: none */
    unsigned asked; /* how often */
    double memory_looked, used_bytes, locks_looked;
};

/* ---- starting -------------------------------------------------------------------------------- */

static unsigned cores_of(const struct conductor *c, const struct trial_job *job)
{
    const struct emd_plan_stage *stage = &job->plan.stages[job->stage];
    const struct emd_recipe_variable *own = emd_recipe_variable(&job->recipe, "nproc");
    long wanted = c->nproc;
    if (!stage->uses_nproc)
        return 1;
    if (own && own->value[0] && !emd_parse_long(own->value, 1, 1024, &wanted))
        wanted = c->nproc;
    return wanted < (long)c->options->cores ? (unsigned)wanted : c->options->cores;
}

static size_t running(const struct conductor *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->job_count; i++)
        n += c->jobs[i]->state == JOB_RUNNING;
    return n;
}

static bool is_under_way(const struct trial_job *job)
{
    return job->state == JOB_READY || job->state == JOB_RUNNING;
}

/* The next crystal; false if there is none left. What is done already costs no place. */
static bool open_next(struct conductor *c)
{
    while (c->next_task < c->task_count && c->job_count < c->options->cores) {
        struct emd_error err;
        struct trial_job *job = calloc(1, sizeof *job);
        if (!job)
            return false;
        enum emd_status status =
            job_plan(c->options, &c->tasks[c->next_task++], c->nproc, job, &err);
        if (status == EMD_OK) {
            job_open(job);
        } else {
            job->state = JOB_FAILED;
            snprintf(job->reason, sizeof job->reason, "%.250s", err.text);
        }
        if (is_under_way(job)) {
            c->jobs[c->job_count++] = job;
            return true;
        }
        report_job(job, &c->counts);
        job_close(job);
        free(job);
    }
    return false;
}

static void close_ended(struct conductor *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->job_count; i++) {
        struct trial_job *job = c->jobs[i];
        if (is_under_way(job)) {
            c->jobs[kept++] = job;
            continue;
        }
        report_job(job, &c->counts);
        job_close(job);
        free(job);
    }
    c->job_count = kept;
}

static void start_what_fits(struct conductor *c)
{
    unsigned busy = 0;
    if (c->caught)
        return;
    for (size_t i = 0; i < c->job_count; i++)
        if (c->jobs[i]->state == JOB_RUNNING)
            busy += c->jobs[i]->alone ? c->options->cores : cores_of(c, c->jobs[i]);
    for (size_t i = 0; i < c->job_count || open_next(c); i++) {
        struct trial_job *job = c->jobs[i];
        while (job->state == JOB_READY) {
            const unsigned cores = cores_of(c, job);
            const bool others = running(c) > 0;
            if (others && (job->alone || busy + cores > c->options->cores ||
                           c->used_bytes > memory_full * c->options->memory))
                return;
            job_start(job);
            if (job->state == JOB_RUNNING)
                busy += job->alone ? c->options->cores : cores;
        }
    }
}

/* ---- guarding -------------------------------------------------------------------------------- */

static void watch_time(struct conductor *c)
{
    const double now = job_now();
    for (size_t i = 0; i < c->job_count; i++) {
        struct trial_job *job = c->jobs[i];
        if (job->state != JOB_RUNNING)
            continue;
        const double of_stage = job->plan.stages[job->stage].spec->time;
        const double limit = c->options->time_limit > 0 ? c->options->time_limit : of_stage;
        if (job->ending != END_NONE)
            job_end(job, job->ending); /* kills what does not listen */
        else if (limit > 0 && now - job->begun > limit)
            job_end(job, END_TIME);
    }
}

/* Where the kernel's locks do not reach, a lock counts for as long as its record is refreshed. */
static void watch_locks(struct conductor *c)
{
    static const double interval = 5;
    const double now = job_now();
    if (now - c->locks_looked < interval)
        return;
    c->locks_looked = now;
    for (size_t i = 0; i < c->job_count; i++) {
        struct trial_job *job = c->jobs[i];
        if (job->lock && (job->state == JOB_RUNNING || job->state == JOB_READY) &&
            emd_lockfile_check(job->lock, NULL) == EMD_E_BUSY)
            job_lost(job);
    }
}

/* The sum must stay below --memory: if it does not, the youngest stage has to wait until it is
 * alone, and one that is alone has failed. */
static void watch_memory(struct conductor *c)
{
    const double now = job_now();
    pid_t groups[1024];
    double bytes[1024];
    struct trial_job *jobs[1024], *youngest = NULL;
    size_t n = 0;
    if (now - c->memory_looked < memory_interval)
        return;
    c->memory_looked = now;
    for (size_t i = 0; i < c->job_count && n < 1024; i++)
        if (c->jobs[i]->state == JOB_RUNNING) {
            jobs[n] = c->jobs[i];
            groups[n++] = c->jobs[i]->run.group;
        }
    emd_run_memory(groups, bytes, n);
    c->used_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        jobs[i]->bytes = bytes[i];
        if (bytes[i] > jobs[i]->peak_bytes)
            jobs[i]->peak_bytes = bytes[i];
        c->used_bytes += bytes[i];
        if (!youngest || jobs[i]->begun > youngest->begun)
            youngest = jobs[i];
    }
    if (c->used_bytes > c->options->memory && youngest && youngest->ending == END_NONE)
        job_end(youngest, n > 1 ? END_CROWDED : END_MEMORY);
}

static void take_signals(struct conductor *c)
{
    struct signalfd_siginfo info;
    while (read(c->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (c->asked++ == 0) {
            c->caught = (int)info.ssi_signo;
            report_progress_clear();
            emd_message_info("stopping (%s)", strsignal(c->caught));
        }
        for (size_t i = 0; i < c->job_count; i++)
            if (c->jobs[i]->state == JOB_RUNNING)
                job_end(c->jobs[i], c->jobs[i]->ending == END_NONE ? END_STOP : END_NONE);
    }
}

static void wait_for_something(struct conductor *c, struct pollfd *polled)
{
    size_t n = 0;
    polled[n++] = (struct pollfd){.fd = c->signals, .events = POLLIN};
    for (size_t i = 0; i < c->job_count; i++)
        if (c->jobs[i]->state == JOB_RUNNING)
            polled[n++] = (struct pollfd){.fd = c->jobs[i]->run.fd, .events = POLLIN};
    if (poll(polled, n, 500) <= 0)
        return;
    for (size_t i = 0; i < c->job_count; i++)
        for (size_t k = 1; k < n; k++)
            if (c->jobs[i]->state == JOB_RUNNING && polled[k].fd == c->jobs[i]->run.fd &&
                polled[k].revents) {
                job_ended(c->jobs[i]);
                break;
            }
    if (polled[0].revents)
        take_signals(c);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* HUP only where it is not ignored (nohup). */
static int watch_signals(sigset_t *old)
{
    sigset_t set;
    struct sigaction hup;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, old);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* So many cores for a stage that can use several: all of them while the crystals are few. */
static unsigned share_of(unsigned cores, size_t crystals)
{
    size_t share = crystals > 0 ? cores / crystals : cores;
    return share > 1 ? (unsigned)share : 1;
}

static int exit_code(const struct process_counts *counts)
{
    return counts->failed > 0      ? EMD_EXIT_FAILED
           : counts->not_ready > 0 ? EMD_EXIT_NOT_READY
                                   : EMD_EXIT_OK;
}

int conductor_run(const struct process_options *options, struct process_task *tasks, size_t count,
                  size_t skipped, int *signal_number)
{
    struct conductor c = {.options = options,
                          .tasks = tasks,
                          .task_count = count,
                          .nproc = share_of(options->cores, count),
                          .counts = {.total = count, .skipped = skipped}};
    sigset_t old;
    const double begun = job_now();
    struct pollfd *polled = calloc(options->cores + 1, sizeof *polled);
    c.jobs = calloc(options->cores + 1, sizeof *c.jobs);
    c.signals = watch_signals(&old);
    if (!polled || !c.jobs || c.signals < 0) {
        emd_message_error("cannot begin: %s", strerror(errno));
        free(polled);
        free(c.jobs);
        return EMD_EXIT_FAILED;
    }
    for (;;) {
        start_what_fits(&c);
        close_ended(&c);
        if (running(&c) == 0) {
            if (c.caught)
                break;
            if (c.job_count == 0 && c.next_task == count)
                break;
            if (c.job_count == 0)
                continue; /* all that were opened had ended at once */
        }
        report_progress(options, &c.counts, c.jobs, c.job_count);
        wait_for_something(&c, polled);
        watch_time(&c);
        watch_locks(&c);
        watch_memory(&c);
    }
    for (size_t i = 0; i < c.job_count; i++) {
        if (c.jobs[i]->state == JOB_READY)
            c.jobs[i]->state = JOB_STOPPED;
        report_job(c.jobs[i], &c.counts);
        job_close(c.jobs[i]);
        free(c.jobs[i]);
    }
    c.counts.stopped += count - c.next_task;
    report_progress_clear();
    report_summary(options, &c.counts, job_now() - begun);
    close(c.signals);
    sigprocmask(SIG_SETMASK, &old, NULL);
    free(polled);
    free(c.jobs);
    *signal_number = c.caught;
    return exit_code(&c.counts);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* The stages that would run, by the record and by what would have run before them. */
static void foresee(struct trial_job *job, bool *would_run, enum emd_verdict *verdicts,
                    char (*why)[256])
{
    for (size_t i = 0; i < job->plan.count; i++) {
        const struct emd_plan_stage *stage = &job->plan.stages[i];
        verdicts[i] = emd_record_judge(job->record, stage, why[i]);
        would_run[i] = verdicts[i] == EMD_VERDICT_TODO || job->options->force ||
                       (verdicts[i] == EMD_VERDICT_FAILED && job->options->retry);
        if (would_run[i] && verdicts[i] != EMD_VERDICT_TODO)
            snprintf(why[i], 256, job->options->force ? "--force" : "--retry");
        for (size_t k = 0; k < stage->need_count && !would_run[i]; k++)
            if (would_run[stage->needs[k]]) {
                would_run[i] = true;
                snprintf(why[i], 256, "%.100s runs again",
                         job->plan.stages[stage->needs[k]].spec->name);
            }
        would_run[i] &= job_selects(job->options, stage->spec->name);
    }
}

struct foresight {
    bool *would_run;
    enum emd_verdict *verdicts;
    char (*why)[256];
};

/* Plans a crystal and looks at its record; false with a message. */
static bool look(const struct process_options *options, struct process_task *task, size_t count,
                 struct trial_job *job, struct foresight *f)
{
    struct emd_error err;
    enum emd_status status = job_plan(options, task, share_of(options->cores, count), job, &err);
    if (status == EMD_OK)
        status = job_look(job, &err);
    if (status == EMD_OK) {
        f->would_run = calloc(job->plan.count, sizeof *f->would_run);
        f->verdicts = calloc(job->plan.count, sizeof *f->verdicts);
        f->why = calloc(job->plan.count, sizeof *f->why);
        if (!f->would_run || !f->verdicts || !f->why)
            status = emd_fail(&err, EMD_E_MEMORY, "out of memory");
    }
    if (status == EMD_OK)
        foresee(job, f->would_run, f->verdicts, f->why);
    else
        emd_message_error("%s: %s", task->crystal->name, err.text);
    return status == EMD_OK;
}

static void end_look(struct trial_job *job, struct foresight *f)
{
    free(f->would_run);
    free(f->verdicts);
    free(f->why);
    *f = (struct foresight){0};
    job_close(job);
}

bool conductor_has_work(const struct process_options *options, struct process_task *task)
{
    struct trial_job job;
    struct foresight f = {0};
    char foreign[512];
    bool work = !look(options, task, 1, &job, &f), blocked = false;
    for (size_t i = 0; i < job.plan.count && f.would_run && !work && !blocked; i++) {
        work = f.would_run[i];
        blocked = f.verdicts[i] == EMD_VERDICT_FAILED && !job.plan.stages[i].spec->optional &&
                  !options->keep_going;
    }
    work &= !job_is_locked(&job) &&
            (options->force || !f.would_run || job_foreign(&job, foreign) == FOREIGN_NONE);
    end_look(&job, &f);
    return work;
}

int conductor_dry_run(const struct process_options *options, struct process_task *tasks,
                      size_t count)
{
    int code = EMD_EXIT_OK;
    for (size_t t = 0; t < count; t++) {
        struct trial_job job;
        struct foresight f = {0};
        if (!look(options, &tasks[t], count, &job, &f)) {
            code = EMD_EXIT_FAILED;
            end_look(&job, &f);
            continue;
        }
        char foreign[512] = "";
        const char *trouble = tasks[t].trouble;
        if (!trouble[0] && !options->force && job_foreign(&job, foreign) != FOREIGN_NONE)
            trouble = foreign;
        printf("%s  (", job.folder);
        if (tasks[t].members)
            printf("%zu crystals", tasks[t].members->taken);
        else
            emd_print_text(tasks[t].crystal->movie);
        puts(tasks[t].trouble[0] ? "): cannot be processed:" : ")");
        if (tasks[t].members)
            merging_print(tasks[t].members);
        if (trouble[0]) {
            fputs("    ", stdout);
            emd_print_text(trouble);
            putchar('\n');
        }
        for (size_t i = 0; i < job.plan.count && !trouble[0]; i++) {
            const struct emd_plan_stage *stage = &job.plan.stages[i];
            if (f.would_run[i]) {
                printf("  %s: ", stage->spec->name);
                emd_print_text(f.why[i]);
                putchar('\n');
                for (size_t k = 0; k < stage->command_count; k++) {
                    char *line = emd_words_join(&stage->commands[k]);
                    fputs(k ? "    or " : "    ", stdout);
                    emd_print_text(line ? line : "");
                    putchar('\n');
                    free(line);
                }
            } else if (f.verdicts[i] == EMD_VERDICT_FAILED) {
                printf("  %s: failed: ", stage->spec->name);
                emd_print_text(f.why[i]);
                putchar('\n');
                if (!stage->spec->optional)
                    break;
            }
        }
        end_look(&job, &f);
    }
    return code;
}

/* What DIALS' import made of the movie, and what is doubtful about it. */
static void print_geometry(const struct trial_job *job)
{
    struct json_object *used = emd_record_object(job->record, "geometry");
    char text[1024];
    if (used) {
        geometry_describe(used, text, sizeof text);
        fputs("           ", stdout);
        emd_print_text(text);
        putchar('\n');
    }
    for (size_t i = 0; i < job->geometry.warnings; i++) {
        fputs("           warning: ", stdout);
        emd_print_text(job->geometry.warning[i]);
        putchar('\n');
    }
}

int conductor_status(const struct process_options *options, struct process_task *tasks,
                     size_t count, size_t skipped)
{
    struct process_counts counts = {.total = count, .skipped = skipped};
    int code = EMD_EXIT_OK;
    for (size_t t = 0; t < count; t++) {
        struct trial_job job;
        struct foresight f = {0};
        const char *state = "done", *stage = "", *why = "";
        char foreign_text[512];
        if (!look(options, &tasks[t], count, &job, &f)) {
            code = EMD_EXIT_FAILED;
            end_look(&job, &f);
            continue;
        }
        const bool locked = job_is_locked(&job);
        bool begun = false;
        for (size_t i = 0; i < job.plan.count; i++)
            begun |= emd_record_state(job.record, job.plan.stages[i].spec->name)[0] != '\0';
        for (size_t i = 0; i < job.plan.count && !*stage; i++) {
            const struct emd_recipe_stage *spec = job.plan.stages[i].spec;
            const char *recorded = emd_record_state(job.record, spec->name);
            const bool lost =
                f.verdicts[i] == EMD_VERDICT_FAILED || strcmp(recorded, "failed") == 0;
            if ((!f.would_run[i] && !lost) || (lost && spec->optional))
                continue;
            stage = spec->name;
            why = lost ? emd_record_reason(job.record, spec->name) : f.why[i];
            state = locked ? "running" : lost ? "failed" : begun ? "unfinished" : "waiting";
        }
        const enum job_foreign foreign = job_foreign(&job, foreign_text);
        if (foreign != FOREIGN_NONE) {
            state = foreign == FOREIGN_WHOLE ? "done" : "not ready";
            stage = "";
            why = foreign_text;
        } else if (tasks[t].trouble[0]) {
            state = tasks[t].not_ready ? "not ready" : "failed";
            why = tasks[t].trouble;
        } else if (locked) {
            state = "running";
            why = "";
        }
        counts.failed += strcmp(state, "failed") == 0;
        counts.done += strcmp(state, "done") == 0;
        printf("%-10s ", state);
        emd_print_text(job.folder);
        if (*stage)
            printf(" %s", stage);
        if (*why) {
            fputs(": ", stdout);
            emd_print_text(why);
        }
        putchar('\n');
        if (tasks[t].members)
            merging_print(tasks[t].members);
        else
            print_geometry(&job);
        end_look(&job, &f);
    }
    if (options->project)
        return code;
    printf("%zu crystals: %zu done, %zu failed, %zu to do; %zu movies skipped\n", count,
           counts.done, counts.failed, count - counts.done - counts.failed, skipped);
    return code;
}
