/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/trialjob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/nearest.h"
#include "common/message.h"
#include "dials/dialslog.h"
#include "dials/textfile.h"
#include "emdprocess/merging.h"
#include "emdprocess/processreport.h"

double job_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool job_selects(const struct process_options *options, const char *stage)
{
    for (size_t i = 0; i < options->stages.count; i++)
        if (strcmp(options->stages.word[i], stage) == 0)
            return true;
    return options->stages.count == 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

enum emd_status job_settings(const struct process_options *options, const char *crystal,
                             struct emd_recipe *recipe, struct emd_error *err)
{
    char *path = NULL;
    enum emd_status status = emd_recipe_read(options->recipe_path, recipe, err);
    if (status == EMD_OK)
        status = emd_recipe_read_settings(recipe, options->trial, "emdprocess.conf", err);
    if (status == EMD_OK || status == EMD_E_EMPTY)
        status = asprintf(&path, "%s/emdprocess.conf", crystal) < 0
                     ? emd_fail(err, EMD_E_MEMORY, "out of memory")
                     : emd_recipe_read_settings(recipe, options->trial, path, err);
    free(path);
    if (status == EMD_E_EMPTY)
        status = EMD_OK;
    for (size_t i = 0; i < options->settings.count && status == EMD_OK; i++) {
        const char *text = options->settings.word[i], *equal = strchr(text, '=');
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(equal - text), text);
        status = emd_recipe_set(recipe, name, equal + 1, err);
        if (status != EMD_OK)
            status = emd_fail_prefix(err, status, "-D %s", text);
        else
            emd_recipe_variable(recipe, name)->from = "-D";
    }
    return status;
}

static enum emd_status no_stage(const struct emd_stageplan *plan, const char *name,
                                struct emd_error *err)
{
    const char *names[64];
    size_t count = 0;
    while (count < plan->count && count < 64) {
        names[count] = plan->stages[count].spec->name;
        count++;
    }
    const char *near = emd_nearest(name, names, count);
    return emd_fail(err, EMD_E_ARGUMENT, "the recipe has no stage '%s'%s%s%s", name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

enum emd_status job_plan(const struct process_options *options, struct process_task *task,
                         unsigned nproc, struct trial_job *job, struct emd_error *err)
{
    const char *crystal = task->crystal->name;
    *job = (struct trial_job){.options = options, .task = task, .run.fd = -1};
    if (asprintf(&job->folder, "%s/%s", crystal, options->trial) < 0) {
        job->folder = NULL;
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    enum emd_status status = job_settings(options, crystal, &job->recipe, err);
    if (status == EMD_OK && !job->recipe.project)
        status = geometry_resolve(&options->instruments, task->crystal->movie, crystal,
                                  &job->recipe, &job->geometry, err);
    if (job->geometry.trouble[0] && !task->trouble[0]) {
        snprintf(task->geometry_trouble, sizeof task->geometry_trouble, "%s",
                 job->geometry.trouble);
        task->trouble = task->geometry_trouble;
    }
    const struct emd_recipe_variable *own = emd_recipe_variable(&job->recipe, "nproc");
    long wanted;
    if (status == EMD_OK && own && own->value[0]) {
        if (!emd_parse_long(own->value, 1, 1024, &wanted))
            status =
                emd_fail(err, EMD_E_ARGUMENT, "nproc = %s is no number from 1 to 1024", own->value);
        else
            nproc = (unsigned)wanted;
    }
    const struct emd_plan_facts facts = {
        .movie = task->crystal->movie,
        .crystal = crystal,
        .trial = options->trial,
        .members = task->members ? &task->members->folders : NULL,
        .mask = job->geometry.mask,
        .nproc = nproc < options->cores ? nproc : options->cores,
    };
    if (status == EMD_OK)
        status = emd_stageplan_make(&job->recipe, &facts, &job->plan, err);
    if (status == EMD_OK && !(job->fate = calloc(job->plan.count + 1, sizeof *job->fate)))
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < options->stages.count && status == EMD_OK; i++)
        if (!emd_stageplan_find(&job->plan, options->stages.word[i]))
            status = no_stage(&job->plan, options->stages.word[i], err);
    return status;
}

static const struct emd_plan_stage *current(const struct trial_job *job)
{
    return &job->plan.stages[job->stage];
}

static void end_job(struct trial_job *job, enum job_state state, const char *stage,
                    const char *reason)
{
    job->state = state;
    snprintf(job->failed_stage, sizeof job->failed_stage, "%s", stage);
    emd_log_copy(reason, strlen(reason), job->reason, sizeof job->reason);
}

static char *lock_path(const struct trial_job *job)
{
    char *path = NULL;
    return asprintf(&path, "%s/.emdprocess-lock.tmp", job->folder) < 0 ? NULL : path;
}

bool job_is_locked(const struct trial_job *job)
{
    char *path = lock_path(job);
    bool locked = path && emd_lockfile_held(AT_FDCWD, path);
    free(path);
    return locked;
}

#define ASIDE "before-emdprocess"

static bool is_in_folder(const struct trial_job *job, const char *name)
{
    char *path = NULL;
    const bool there = asprintf(&path, "%s/%s", job->folder, name) >= 0 && access(path, F_OK) == 0;
    free(path);
    return there;
}

static bool is_needed(const struct emd_stageplan *plan, size_t stage)
{
    for (size_t i = stage + 1; i < plan->count; i++)
        for (size_t k = 0; k < plan->stages[i].need_count; k++)
            if (plan->stages[i].needs[k] == stage)
                return true;
    return false;
}

enum job_foreign job_foreign(const struct trial_job *job, char text[static 512])
{
    const char *found = NULL;
    bool whole = true;
    text[0] = '\0';
    if (is_in_folder(job, EMD_RECORD_NAME))
        return FOREIGN_NONE;
    for (size_t i = 0; i < job->plan.count; i++) {
        const struct emd_plan_stage *stage = &job->plan.stages[i];
        const bool last = !stage->spec->optional && !is_needed(&job->plan, i);
        for (size_t k = 0; k < stage->outputs.count; k++) {
            const bool there = is_in_folder(job, stage->outputs.word[k]);
            if (there && !found)
                found = stage->outputs.word[k];
            /* Of several outputs the first is what a stage is for; scripts may leave out others. */
            whole &= there || !last || k > 0;
        }
    }
    if (!found)
        return FOREIGN_NONE;
    if (whole)
        snprintf(text, 512,
                 "processed by other programs; --force moves their results into " ASIDE
                 "/ and begins anew");
    else
        snprintf(text, 512,
                 "the folder holds %.100s, which emdprocess did not make, and no final results: "
                 "--force moves all into " ASIDE "/ and begins anew",
                 found);
    return whole ? FOREIGN_WHOLE : FOREIGN_PART;
}

/* Moves all that lies in the trial's folder, but for the lock, into a folder below it. Nothing is
 * removed or overwritten. */
static enum emd_status move_aside(const struct trial_job *job, struct emd_error *err)
{
    char name[64] = ASIDE;
    enum emd_status status = EMD_OK;
    const int fd = open(job->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return emd_fail_errno(err, EMD_E_IO, errno, "%s", job->folder);
    }
    for (int n = 2; mkdirat(fd, name, 0777) != 0; n++) {
        if (errno != EEXIST) {
            status = emd_fail_errno(err, EMD_E_IO, errno, "%s/%s", job->folder, name);
            goto out;
        }
        snprintf(name, sizeof name, ASIDE "-%d", n);
    }
    for (struct dirent *entry; status == EMD_OK && (entry = readdir(dir));) {
        const char *from = entry->d_name;
        char *to = NULL;
        if (strcmp(from, ".") == 0 || strcmp(from, "..") == 0 ||
            strncmp(from, ".emdprocess-lock", 16) == 0 ||
            strncmp(from, ASIDE, sizeof ASIDE - 1) == 0)
            continue;
        if (asprintf(&to, "%s/%s", name, from) < 0)
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        else if (renameat(fd, from, fd, to) != 0)
            status = emd_fail_errno(err, EMD_E_IO, errno, "%s/%s", job->folder, from);
        free(to);
    }
    if (status == EMD_OK)
        emd_message_info("%s: what lay there is in %s/ now", job->folder, name);
out:
    closedir(dir);
    return status;
}

enum emd_status job_look(struct trial_job *job, struct emd_error *err)
{
    return emd_record_open(job->folder, &job->record, err);
}

/* The trouble of the movie itself: recorded, so that emdlist shows it; but not over results, which
 * a share that fails for a moment must not cost. */
static void record_trouble(struct trial_job *job, struct emd_error *err)
{
    const struct emd_plan_stage *first = &job->plan.stages[0];
    if (strcmp(emd_record_state(job->record, first->spec->name), "done") == 0)
        return;
    const struct emd_stage_result result = {.state = EMD_STAGE_BROKEN,
                                            .ending =
                                                job->task->not_ready ? "incomplete" : "not started",
                                            .reason = job->task->trouble,
                                            .last_lines = "",
                                            .dials = ""};
    emd_record_end(job->record, first, &result, err);
    if (emd_record_write(job->record, err) != EMD_OK)
        emd_message_error("%s: %s", job->folder, err->text);
}

static void advance(struct trial_job *job);

void job_open(struct trial_job *job)
{
    struct emd_error err = {0};
    char *path = NULL, text[512];
    const struct emd_members *members = job->task->members;
    enum emd_status status = EMD_OK;
    if (members && job->task->trouble[0]) {
        end_job(job, JOB_NOT_READY, "", job->task->trouble);
        return;
    }
    if (!members)
        status = emd_crystal_claim(".", job->task->crystal, &err);
    else if (mkdir(EMD_MERGED, 0777) != 0 && errno != EEXIST)
        status = emd_fail_errno(&err, EMD_E_IO, errno, "cannot create the folder " EMD_MERGED);
    if (status == EMD_OK && mkdir(job->folder, 0777) != 0 && errno != EEXIST)
        status = emd_fail_errno(&err, EMD_E_IO, errno, "cannot create the folder");
    if (status == EMD_OK && !(path = lock_path(job)))
        status = emd_fail(&err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK)
        status = emd_lockfile_take(AT_FDCWD, path, NULL, &job->lock, &err);
    free(path);
    if (status == EMD_E_BUSY) {
        end_job(job, JOB_NOT_READY, "", "another emdprocess works on it");
        return;
    }
    const enum job_foreign foreign = status == EMD_OK ? job_foreign(job, text) : FOREIGN_NONE;
    if (foreign != FOREIGN_NONE && job->options->force) {
        status = move_aside(job, &err);
    } else if (foreign != FOREIGN_NONE) {
        end_job(job, foreign == FOREIGN_WHOLE ? JOB_UNCHANGED : JOB_NOT_READY, "", text);
        return;
    }
    if (status == EMD_OK)
        status = job_look(job, &err);
    if (status == EMD_OK && emd_record_damaged(job->record))
        emd_message_warning("%s/%s is damaged: everything is done again", job->folder,
                            EMD_RECORD_NAME);
    if (status == EMD_OK)
        status = emd_record_arrange(job->record, &job->plan, &err);
    if (status == EMD_OK)
        status = emd_record_set(job->record, "recipe", job->options->recipe_path, &err);
    if (status == EMD_OK && !members)
        status = emd_record_set(job->record, "movie", job->task->crystal->movie, &err);
    if (status == EMD_OK && !members && !job->task->trouble[0])
        status = geometry_write_mask(&job->geometry, &err);
    if (status == EMD_OK && members)
        status = merging_note(job, &err);
    if (status != EMD_OK) {
        end_job(job, JOB_FAILED, "", err.text);
        return;
    }
    if (!members)
        movie_facts_keep(job->task->crystal->movie, job->task->crystal->name, &job->geometry.facts);
    for (size_t i = 0; i < job->geometry.warnings && !job->task->trouble[0]; i++)
        emd_message_verbose("%s: %s", job->folder, job->geometry.warning[i]);
    if (job->task->trouble[0]) {
        record_trouble(job, &err);
        end_job(job, job->task->not_ready ? JOB_NOT_READY : JOB_FAILED,
                job->plan.stages[0].spec->name, job->task->trouble);
        return;
    }
    job->stage = 0;
    advance(job);
}

void job_close(struct trial_job *job)
{
    emd_record_free(job->record);
    emd_lockfile_release(job->lock);
    emd_stageplan_free(&job->plan);
    emd_recipe_free(&job->recipe);
    geometry_free(&job->geometry);
    free(job->fate);
    free(job->folder);
    *job = (struct trial_job){.run.fd = -1};
}

/* ---- moving on ------------------------------------------------------------------------------- */

static bool waits_for_lost(const struct trial_job *job, const struct emd_plan_stage *stage)
{
    for (size_t i = 0; i < stage->need_count; i++)
        if (job->fate[stage->needs[i]] == STAGE_LOST)
            return true;
    return false;
}

/* The stage 'job->stage' failed. True if the crystal goes on with the next one. */
static bool survive(struct trial_job *job, const char *reason)
{
    const struct emd_recipe_stage *spec = current(job)->spec;
    job->fate[job->stage] = STAGE_LOST;
    if (spec->optional)
        return true;
    if (job->failed_stage[0] == '\0') {
        snprintf(job->failed_stage, sizeof job->failed_stage, "%.63s", spec->name);
        emd_log_copy(reason, strlen(reason), job->reason, sizeof job->reason);
        snprintf(job->log, sizeof job->log, "%.200s/emdprocess.%.64s.log", job->folder, spec->name);
    }
    return job->options->keep_going;
}

/* From 'job->stage' on: the first stage that must run, or the end. */
static void advance(struct trial_job *job)
{
    for (; job->stage < job->plan.count; job->stage++) {
        const struct emd_plan_stage *stage = current(job);
        char why[256];
        if (!job_selects(job->options, stage->spec->name))
            continue;
        if (waits_for_lost(job, stage)) {
            job->fate[job->stage] = STAGE_LOST;
            if (!stage->spec->optional && job->failed_stage[0] == '\0')
                survive(job, "it waits for an optional stage that failed");
            continue;
        }
        enum emd_verdict verdict = emd_record_judge(job->record, stage, why);
        if (job->options->force || (verdict == EMD_VERDICT_FAILED && job->options->retry))
            verdict = EMD_VERDICT_TODO;
        if (verdict == EMD_VERDICT_TODO) {
            emd_message_verbose("%s: %s: %s", job->folder, stage->spec->name,
                                why[0] ? why : "--force");
            job->state = JOB_READY;
            job->attempt = 0;
            return;
        }
        job->fate[job->stage] = STAGE_FINE;
        if (verdict == EMD_VERDICT_FAILED) {
            char text[300];
            snprintf(text, sizeof text, "%s (as before; --retry tries again)", why);
            if (!survive(job, text))
                break;
        }
    }
    job->state = job->failed_stage[0] ? JOB_FAILED : job->stages_run ? JOB_DONE : JOB_UNCHANGED;
}

static bool write_record(struct trial_job *job)
{
    struct emd_error err;
    if (emd_record_write(job->record, &err) == EMD_OK)
        return true;
    end_job(job, JOB_FAILED, current(job)->spec->name, err.text);
    return false;
}

static void remove_outputs(const struct trial_job *job, const struct emd_plan_stage *stage)
{
    for (size_t i = 0; i < stage->outputs.count; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s", job->folder, stage->outputs.word[i]) < 0)
            return;
        unlink(path);
        free(path);
    }
}

/* ---- the log --------------------------------------------------------------------------------- */

static char *log_path(const struct trial_job *job)
{
    char *path = NULL;
    return asprintf(&path, "%s/emdprocess.%s.log", job->folder, current(job)->spec->name) < 0
               ? NULL
               : path;
}

/* Appends a line; the first attempt begins anew. Where the output comes next, or -1. */
static long write_log(const struct trial_job *job, bool anew, const char *text)
{
    char *path = log_path(job);
    int fd =
        path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (anew ? O_TRUNC : 0), 0666)
             : -1;
    long at = -1;
    if (fd >= 0 && dprintf(fd, "%s\n", text) >= 0)
        at = (long)lseek(fd, 0, SEEK_END);
    if (fd >= 0)
        close(fd);
    free(path);
    return at;
}

/* What the attempt printed. */
static void read_log(const struct trial_job *job, struct emd_textfile *file, const char **text,
                     size_t *length)
{
    char *path = log_path(job);
    *text = "";
    *length = 0;
    if (path && emd_textfile_read(file, AT_FDCWD, path, NULL) == EMD_OK && file->text &&
        job->log_from >= 0 && (size_t)job->log_from <= file->length) {
        *text = file->text + job->log_from;
        *length = file->length - (size_t)job->log_from;
    }
    free(path);
}

/* The last lines of a text, at most five, without the empty ones. */
static char *last_lines(const char *text, size_t length)
{
    const char *from = text + length;
    int lines = 0;
    while (from > text && lines < 5) {
        const char *end = from;
        while (from > text && from[-1] != '\n')
            from--;
        lines += end - from > 0;
        if (lines < 5 && from > text)
            from--;
    }
    size_t n = (size_t)(text + length - from);
    if (n > 4000) {
        from += n - 4000;
        n = 4000;
    }
    return strndup(from, n);
}

/* ---- running --------------------------------------------------------------------------------- */

static void finish_stage(struct trial_job *job, const struct emd_stage_result *result);

/* A stage that could not even begin. */
static void fail_early(struct trial_job *job, const char *reason, bool not_ready)
{
    const struct emd_stage_result result = {.state = EMD_STAGE_BROKEN,
                                            .ending = "not started",
                                            .reason = reason,
                                            .last_lines = "",
                                            .dials = ""};
    finish_stage(job, &result);
    if (not_ready && job->state == JOB_FAILED)
        job->state = JOB_NOT_READY;
}

/* An input "../P1/strong.refl" is another trial's: is it there, and finished? *lost if it will not
 * come. */
static bool waits_for_trial(const struct trial_job *job, char text[static 600], bool *lost)
{
    const struct emd_plan_stage *stage = current(job);
    for (size_t i = 0; i < stage->inputs.count; i++) {
        const char *input = stage->inputs.word[i];
        char trial[128], failure[256], *folder = NULL, *path = NULL;
        size_t n = strncmp(input, "../", 3) == 0 ? strcspn(input + 3, "/") : 0;
        if (n == 0 || n >= sizeof trial || input[3 + n] == '\0' || strncmp(input + 3, "..", 2) == 0)
            continue;
        snprintf(trial, sizeof trial, "%.*s", (int)n, input + 3);
        if (asprintf(&folder, "%s/../%s", job->folder, trial) < 0)
            return false;
        if (asprintf(&path, "%s/%s", folder, input + 4 + n) < 0)
            path = NULL;
        bool missing = path && access(path, F_OK) != 0;
        bool unfinished = emd_record_unfinished(folder, input + 4 + n, failure) || missing;
        free(folder);
        free(path);
        *lost = failure[0] != '\0';
        if (unfinished && *lost) {
            snprintf(text, 600, "there is no %.200s: %.100s failed at %s", input, trial, failure);
            return true;
        }
        if (unfinished) {
            snprintf(text, 600, "its input %.200s is not %s: run 'emdprocess %.100s' first", input,
                     missing ? "there" : "finished", trial);
            return true;
        }
    }
    return false;
}

/* The folders of the stage and its outputs, below the trial's. */
static bool make_folders(const struct trial_job *job, const struct emd_plan_stage *stage)
{
    bool ok = true;
    for (size_t i = 0; i <= stage->outputs.count && ok; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s%s", job->folder,
                     i < stage->outputs.count ? stage->outputs.word[i] : stage->folder,
                     i < stage->outputs.count ? "" : "/") < 0)
            return false;
        for (char *p = strchr(path + strlen(job->folder) + 1, '/'); p && ok;
             p = strchr(p + 1, '/')) {
            *p = '\0';
            ok = mkdir(path, 0777) == 0 || errno == EEXIST;
            *p = '/';
        }
        free(path);
    }
    return ok;
}

/* The log of the import begins with where its numbers come from. False: there is nothing to say. */
static bool log_geometry(const struct trial_job *job)
{
    const struct geometry *g = &job->geometry;
    bool noted = false;
    for (size_t i = 0; i < g->count + g->warnings; i++) {
        char text[512];
        if (i >= g->count)
            snprintf(text, sizeof text, "# warning: %s", g->warning[i - g->count]);
        else if (g->item[i].value[0])
            snprintf(text, sizeof text, "# %s: %s, from %s", g->item[i].name, g->item[i].value,
                     g->item[i].from);
        else
            continue;
        write_log(job, !noted, text);
        noted = true;
    }
    return noted;
}

static void launch(struct trial_job *job)
{
    const struct emd_plan_stage *stage = current(job);
    struct emd_error err;
    char *folder = NULL, *log = log_path(job), *line = NULL;
    char *command = emd_words_join(&stage->commands[job->attempt]);
    if (!command || !log || asprintf(&line, "$ %s", command) < 0 ||
        asprintf(&folder, "%s/%s", job->folder, stage->folder) < 0) {
        fail_early(job, "out of memory", false);
        goto out;
    }
    remove_outputs(job, stage);
    const bool noted = job->stage == 0 && job->attempt == 0 && log_geometry(job);
    job->log_from = write_log(job, job->attempt == 0 && !noted, line);
    if (job->log_from < 0) {
        snprintf(err.text, sizeof err.text, "cannot write %s: %s", log, strerror(errno));
        fail_early(job, err.text, false);
        goto out;
    }
    const struct emd_run_request request = {.argv = stage->commands[job->attempt].word,
                                            .environment = job->options->environment,
                                            .folder = folder,
                                            .log = log,
                                            .keep = emd_lockfile_fd(job->lock)};
    if (emd_run_start(&request, &job->run, &err) != EMD_OK) {
        fail_early(job, err.text, false);
        goto out;
    }
    job->begun = job_now();
    job->ending = END_NONE;
    job->bytes = 0;
    job->state = JOB_RUNNING;
out:
    free(folder);
    free(log);
    free(line);
    free(command);
}

void job_start(struct trial_job *job)
{
    const struct emd_plan_stage *stage = current(job);
    struct emd_error err;
    char text[600];
    bool lost = false;
    job->stages_run++;
    job->stage_begun = job_now();
    job->peak_bytes = 0;
    if (waits_for_trial(job, text, &lost)) {
        fail_early(job, text, !lost);
        return;
    }
    if (!make_folders(job, stage)) {
        snprintf(text, sizeof text, "cannot create its folder: %s", strerror(errno));
        fail_early(job, text, false);
        return;
    }
    enum emd_status status = emd_record_begin(job->record, stage, &err);
    if (status != EMD_OK) {
        fail_early(job, err.text, false);
        return;
    }
    /* The record first: from here on nothing that lies there counts any more. */
    if (write_record(job))
        launch(job);
}

void job_end(struct trial_job *job, enum job_end why)
{
    const double now = job_now();
    if (job->ending == END_NONE) {
        job->ending = why;
        job->end_asked = now;
        emd_run_signal(&job->run, SIGTERM);
        emd_run_signal(&job->run, SIGCONT);
    } else if (now - job->end_asked > 5 || why == END_NONE) {
        emd_run_signal(&job->run, SIGKILL);
    }
}

static void end_lost(struct trial_job *job)
{
    end_job(job, JOB_NOT_READY, current(job)->spec->name,
            "another emdprocess has taken it over; what was running here was ended");
}

void job_lost(struct trial_job *job)
{
    if (job->state != JOB_RUNNING)
        end_lost(job);
    else if (job->ending != END_LOST) {
        job->ending = END_NONE;
        job_end(job, END_LOST);
    }
}

/* Records the end and moves on. */
static void finish_stage(struct trial_job *job, const struct emd_stage_result *result)
{
    const struct emd_plan_stage *stage = current(job);
    struct emd_error err = {0};
    enum emd_status status = emd_record_end(job->record, stage, result, &err);
    bool done = result->state == EMD_STAGE_DONE && status == EMD_OK;
    if (!done)
        remove_outputs(job, stage);
    if (!write_record(job))
        return;
    report_stage(job->options, job->task->crystal->name, stage->spec, done,
                 done               ? ""
                 : status != EMD_OK ? err.text
                                    : result->reason,
                 result);
    if (result->state == EMD_STAGE_STOPPED) {
        end_job(job, JOB_STOPPED, stage->spec->name, result->reason);
        return;
    }
    job->fate[job->stage] = STAGE_FINE;
    if (done || survive(job, status != EMD_OK ? err.text : result->reason)) {
        job->stage++;
        advance(job);
    } else {
        job->state = JOB_FAILED;
    }
}

static bool is_passing_trouble(const char *text)
{
    static const char *const signs[] = {"No space left on device", "MemoryError",
                                        "Cannot allocate memory",  "Disk quota exceeded",
                                        "Input/output error",      "Stale file handle"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strstr(text, signs[i]))
            return true;
    return false;
}

/* The number in "Saved 1242 reflections to strong.refl"; 0: there is none. */
static long saved_reflections(const char *text, size_t length)
{
    const char *line;
    long count = 0;
    return emd_log_line(text, length, "Saved ", &line, NULL) &&
                   sscanf(line, "Saved %ld reflections", &count) == 1
               ? count
               : 0;
}

/* With a gain that is wrong by two, dials.find_spots takes hundreds of thousands of pieces of noise
 * for spots, and dials.index finds a lattice in them. */
static bool is_noise(const struct trial_job *job, const char *text, size_t length,
                     char reason[static 256])
{
    /* Patterns of large cells have a spot in some 2,000 pixels, noise one in about 100. A few are
     * few in the smallest image, too. */
    static const double pixels_per_spot = 1000, few = 20;
    const struct movie_facts *f = &job->geometry.facts;
    const struct emd_recipe_variable *most = emd_recipe_variable(&job->recipe, "spots_max"),
                                     *range = emd_recipe_variable(&job->recipe, "image_range");
    const long spots = saved_reflections(text, length);
    double images = f->frames, first, last,
           limit = fmax(few, f->width * f->height / pixels_per_spot);
    if (strcmp(current(job)->commands[job->attempt].word[0], "dials.find_spots") != 0)
        return false;
    if (range && sscanf(range->value, "%lf,%lf", &first, &last) == 2 && last >= first)
        images = last - first + 1;
    if (most && most->value[0])
        limit = strtod(most->value, NULL);
    if (!(images > 0 && limit > 0) || (double)spots <= limit * images)
        return false;
    snprintf(
        reason, 256,
        "%ld spots in %.0f images, %.0f per image: noise, not diffraction; the gain of the panel "
        "may be wrong (panel_gain; spots_max allows more)",
        spots, images, (double)spots / images);
    return true;
}

/* After the import: was it our reader, and what did it make of the movie? False with the reason. */
static bool check_import(struct trial_job *job, const char *text, size_t length,
                         char reason[static 256])
{
    const struct emd_plan_stage *stage = current(job);
    char reader[64], *path = NULL;
    geometry_reader(text, length, reader, sizeof reader);
    if (!reader[0] || stage->outputs.count == 0)
        return true; /* no import */
    if (strcmp(reader, GEOMETRY_READER) != 0) {
        snprintf(reason, 256,
                 "the movie was read by %s, not by " GEOMETRY_READER
                 ": DIALS does not search PYTHONPATH for format classes",
                 reader);
        return false;
    }
    if (asprintf(&path, "%s/%s", job->folder, stage->outputs.word[0]) >= 0) {
        emd_record_set_object(job->record, "geometry",
                              geometry_used(&job->geometry, path, text, length));
        free(path);
    }
    return true;
}

/* Ends the attempt as it went, or begins the next one. */
static void judge_attempt(struct trial_job *job, const struct emd_run_outcome *o,
                          const char *ending, const char *text, size_t length)
{
    const struct emd_plan_stage *stage = current(job);
    const struct emd_recipe_stage *spec = stage->spec;
    char reason[256] = "", dials[64] = "";
    const char *line;
    size_t line_length;
    struct emd_stage_result result = {.state = EMD_STAGE_DONE,
                                      .tried = job->attempt,
                                      .ending = ending,
                                      .reason = reason,
                                      .dials = dials,
                                      .seconds = job_now() - job->stage_begun,
                                      .cpu_seconds = o->cpu_seconds,
                                      .peak_bytes = job->peak_bytes};
    emd_log_version(text, length, dials, sizeof dials);
    if (job->ending == END_STOP) {
        result.state = EMD_STAGE_STOPPED;
        snprintf(reason, sizeof reason, "stopped on request");
    } else if (job->ending == END_TIME) {
        result.state = EMD_STAGE_BROKEN;
        snprintf(reason, sizeof reason, "stopped at its time limit after %.0f s",
                 job_now() - job->begun);
    } else if (job->ending == END_MEMORY) {
        result.state = EMD_STAGE_BROKEN;
        snprintf(reason, sizeof reason, "stopped: it used %.1f GB of memory (--memory)",
                 job->bytes / 1e9);
    } else if (!o->exited) {
        result.state = EMD_STAGE_BROKEN;
        if (o->code < 0)
            snprintf(reason, sizeof reason, "killed from outside");
        else
            snprintf(reason, sizeof reason, "died of signal %d (%s)", o->code, strsignal(o->code));
    } else if (o->code != 0) {
        if (!emd_log_failure(text, length, reason, sizeof reason) &&
            !emd_log_last_line(text, length, reason, sizeof reason))
            snprintf(reason, sizeof reason, "%s", ending);
        result.state = is_passing_trouble(reason) ? EMD_STAGE_BROKEN : EMD_STAGE_FAILED;
    } else if (spec->reject.text &&
               emd_log_line(text, length, spec->reject.text, &line, &line_length)) {
        emd_log_copy(line, line_length, reason, sizeof reason);
        result.state = EMD_STAGE_FAILED;
    } else if (is_noise(job, text, length, reason) || !check_import(job, text, length, reason)) {
        result.state = EMD_STAGE_FAILED;
    }
    if ((result.state == EMD_STAGE_FAILED || (result.state == EMD_STAGE_BROKEN && !o->exited &&
                                              job->ending == END_NONE && o->code > 0)) &&
        job->attempt + 1 < stage->command_count) {
        emd_message_verbose("%s: %s: %s; trying the next command", job->folder, spec->name, reason);
        job->attempt++;
        launch(job);
        return;
    }
    char *last = last_lines(text, length);
    result.last_lines = last ? last : "";
    finish_stage(job, &result);
    free(last);
}

void job_ended(struct trial_job *job)
{
    struct emd_textfile file = {0};
    const char *text;
    size_t length;
    char ending[80], line[160];
    struct emd_run_outcome o = emd_run_finish(&job->run);
    if (o.peak_bytes > job->peak_bytes)
        job->peak_bytes = o.peak_bytes;
    if (o.exited)
        snprintf(ending, sizeof ending, "exit code %d", o.code);
    else if (o.code < 0)
        snprintf(ending, sizeof ending, "killed");
    else
        snprintf(ending, sizeof ending, "signal %d (%s)", o.code, strsignal(o.code));
    /* What ended well just before it was to be ended has ended well. */
    if (o.exited && o.code == 0 && job->ending != END_LOST)
        job->ending = END_NONE;
    if (job->ending == END_LOST) {
        end_lost(job);
        return;
    }
    if (job->ending == END_CROWDED) {
        emd_message_info("%s: %s needs more memory than is left: it waits until it is alone",
                         job->folder, current(job)->spec->name);
        job->alone = true;
        job->state = JOB_READY;
        return;
    }
    read_log(job, &file, &text, &length);
    snprintf(line, sizeof line, "# %s after %.1f s", ending, job_now() - job->begun);
    write_log(job, false, line);
    judge_attempt(job, &o, ending, text, length);
    emd_textfile_free(&file);
}
