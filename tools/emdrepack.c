/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdrepack: HDF5 movies compressed, everything else as it was. See docs/man/emdrepack.1. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/safefile.h"
#include "common/crew.h"
#include "common/jsontext.h"
#include "common/message.h"
#include "common/options.h"
#include "common/progress.h"
#include "common/signals.h"
#include "comparefiles.h"
#include "hdf5/losses.h"
#include "repack/provenance.h"
#include "repack/repack.h"
#include "repackoptions.h"
#include "watch/frametable.h"

/* One file to do, and how it went. */
struct job {
    char *input, *output;       /* output NULL with --check */
    const struct job_list *all; /* of this run */
    dev_t device;               /* of the input; inode 0: it could not be looked at */
    ino_t inode;
    enum { PENDING, DONE, SKIPPED, FAILED } state;
    enum emd_status status;
    char error[sizeof(((struct emd_error *)0)->text)];
    struct emd_repack_result result;
    double seconds;
    FILE *losses; /* --json --salvage: what the file's process could not save, an object per line */
    uint64_t told; /* losses so far */
};

/* Losses that are listed as text, of a file. */
enum { LOSSES_TOLD = 20 };

struct job_list {
    struct job *job;
    size_t count, capacity;
};

struct settings {
    struct emd_repack_options repack;
    const char *directory, *pattern;
    bool recursive, keep_names, check, compare, json, frame_stats;
    enum emd_verbosity verbosity;
    long threads, jobs, differences;
};

/* Seconds that a process has for an orderly end. */
static const double stop_patience = 0.5;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *need(void *memory)
{
    if (!memory) {
        emd_message_error("out of memory");
        exit(EMD_EXIT_FAILED);
    }
    return memory;
}

static void add_job(struct job_list *list, char *input, char *output)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->job = need(realloc(list->job, list->capacity * sizeof *list->job));
    }
    list->job[list->count++] = (struct job){.input = input, .output = output};
}

static char *join(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    char *path = need(malloc(n + strlen(name) + 2));
    sprintf(path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
    return path;
}

/* Name inside the target folder: the relative path with spaces as underscores. */
static char *output_name(const struct settings *settings, const char *relative)
{
    char *name = need(strdup(relative));
    for (char *p = name; *p && !settings->keep_names; p++)
        if (*p == ' ')
            *p = '_';
    char *path = join(settings->directory, name);
    free(name);
    return path;
}

/* Whether a folder is the one that outputs go to: what an earlier run left there is no input. */
static bool is_directory(const struct settings *settings, const struct stat *folder)
{
    struct stat st;
    return settings->directory && stat(settings->directory, &st) == 0 &&
           st.st_dev == folder->st_dev && st.st_ino == folder->st_ino;
}

/* Adds the matching files below 'folder'; 'relative' is its path below the argument. */
static bool add_folder(const struct settings *settings, struct job_list *list, const char *folder,
                       const char *relative)
{
    struct dirent **entry;
    int count = scandir(folder, &entry, NULL, alphasort);
    if (count < 0) {
        emd_message_error("%s: cannot read the folder: %s", folder, strerror(errno));
        return false;
    }
    bool ok = true;
    for (int i = 0; i < count; i++) {
        const char *name = entry[i]->d_name;
        if (name[0] != '.') {
            char *path = join(folder, name);
            char *below = *relative ? join(relative, name) : need(strdup(name));
            struct stat st;
            if (lstat(path, &st) != 0) {
                emd_message_error("%s: %s", path, strerror(errno));
                ok = false;
            } else if (S_ISDIR(st.st_mode)) {
                ok = (is_directory(settings, &st) || add_folder(settings, list, path, below)) && ok;
            } else if (fnmatch(settings->pattern, name, 0) == 0 &&
                       (S_ISREG(st.st_mode) ||
                        (S_ISLNK(st.st_mode) && stat(path, &st) == 0 && S_ISREG(st.st_mode)))) {
                add_job(list, need(strdup(path)),
                        settings->check ? NULL : output_name(settings, below));
            }
            free(path);
            free(below);
        }
        free(entry[i]);
    }
    free(entry);
    return ok;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Adds what an argument of -d or --check stands for. */
static bool add_argument(const struct settings *settings, struct job_list *list, const char *path)
{
    if (is_folder(path)) {
        if (settings->recursive)
            return add_folder(settings, list, path, "");
        emd_message_error("%s: is a folder; -r takes the files in it", path);
        return false;
    }
    char *copy = need(strdup(path));
    add_job(list, need(strdup(path)),
            settings->check ? NULL : output_name(settings, basename(copy)));
    free(copy);
    return true;
}

static int by_output(const void *a, const void *b)
{
    return strcmp((*(struct job *const *)a)->output, (*(struct job *const *)b)->output);
}

/* Two inputs of one output name, or an input where another one's temporary file would go. */
static bool outputs_collide(const struct job_list *list)
{
    bool collide = false;
    struct job **sorted = need(calloc(list->count + 1, sizeof *sorted));
    for (size_t i = 0; i < list->count; i++)
        sorted[i] = &list->job[i];
    qsort(sorted, list->count, sizeof *sorted, by_output);
    for (size_t i = 1; i < list->count; i++)
        if (strcmp(sorted[i - 1]->output, sorted[i]->output) == 0) {
            emd_message_error("%s and %s would both be written to %s", sorted[i - 1]->input,
                              sorted[i]->input, sorted[i]->output);
            collide = true;
        }
    free(sorted);
    return collide;
}

/* Makes the inputs known to each other. */
static void introduce(struct job_list *list)
{
    struct stat st;
    for (size_t i = 0; i < list->count; i++) {
        struct job *job = &list->job[i];
        job->all = list;
        if (stat(job->input, &st) == 0) {
            job->device = st.st_dev;
            job->inode = st.st_ino;
        }
    }
}

/* mkdir -p of the folder of 'path'. */
static bool make_folder_of(const char *path)
{
    char *folder = need(strdup(path));
    bool ok = true;
    for (char *p = folder + 1; ok && (p = strchr(p, '/')); p++) {
        *p = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            emd_message_error("%s: cannot create the folder: %s", folder, strerror(errno));
            ok = false;
        }
        *p = '/';
    }
    free(folder);
    return ok;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)total;
    emd_progress_update(done);
}

static void on_note(void *ctx, const char *text)
{
    emd_message_verbose("%s: %s", ((struct job *)ctx)->input, text);
}

/* ---- external links between files that are copied under other names ---------------------------
 */

/* How 'from', a file, is to name the file 'to': both are paths from the same place. */
static void relative_name(const char *from, const char *to, char *text, size_t size)
{
    size_t same = 0, used = 0;
    for (size_t i = 0; from[i] && from[i] == to[i]; i++)
        if (from[i] == '/')
            same = i + 1;
    text[0] = '\0';
    for (const char *p = from + same; (p = strchr(p, '/')) && used + 3 < size; p++)
        used += (size_t)snprintf(text + used, size - used, "../");
    snprintf(text + used, size - used, "%s", to + same);
}

/* The file 'name' in the folder of the file 'beside'; the caller frees it. */
static char *neighbour(const char *beside, const char *name)
{
    char *copy = need(strdup(beside)), *path = join(dirname(copy), name);
    free(copy);
    return path;
}

static const struct job *find_input(const struct job_list *all, const struct stat *st)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->job[i].inode == st->st_ino && all->job[i].device == st->st_dev)
            return &all->job[i];
    return NULL;
}

/* A link leads to a file beside its own. Where that is copied in the same run, the copy's link
 * leads to the copy, whatever that is called; also where an earlier run has copied it. */
static const char *on_file_name(void *ctx, const char *path, const char *file)
{
    static char changed[PATH_MAX]; /* of the process's one thread that uses HDF5 */
    const struct job *job = ctx, *other;
    struct stat from, to;
    const char *result = file;
    if (file[0] == '/' || strlen(file) >= sizeof changed)
        return file;
    char *source = neighbour(job->input, file), *target = neighbour(job->output, file);
    const bool there = stat(target, &to) == 0;
    if (stat(source, &from) != 0)
        goto out; /* it leads nowhere in the source */
    if (there && to.st_dev == from.st_dev && to.st_ino == from.st_ino)
        goto out; /* beside the source */
    if ((other = find_input(job->all, &from))) {
        relative_name(job->output, other->output, changed, sizeof changed);
        result = changed;
        goto out;
    }
    if (there)
        goto out;
    snprintf(changed, sizeof changed, "%s", file);
    for (char *p = changed; *p; p++)
        *p = *p == ' ' ? '_' : *p;
    free(target);
    target = neighbour(job->output, changed);
    if (stat(target, &to) == 0)
        result = changed;
    else if (path)
        emd_message_warning("%s: %s: leads to %s, which is not copied along and is not beside %s",
                            job->input, path, file, job->output);
out:
    free(source);
    free(target);
    return result;
}

static void on_warning(void *ctx, const char *text)
{
    emd_message_warning("%s: %s", ((struct job *)ctx)->input, text);
}

static bool on_cancelled(void *ctx)
{
    (void)ctx;
    return emd_signals_caught();
}

static void on_damage(void *ctx, const char *object, const char *why)
{
    emd_message_error("%s: %s: %s", ((struct job *)ctx)->input, object, why);
}

/* "chunk at (0,0,5), frame 6", where a loss is one of data. */
static void describe_box(const struct emd_loss *loss, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, loss->is_chunk ? "chunk at (" : "elements from (");
    for (unsigned a = 0; a < loss->rank && used + 48 < size; a++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%" PRIu64, a ? "," : "", loss->box[a]);
    used += (size_t)snprintf(text + used, size - used, ")");
    if (!loss->is_chunk && used + 24 * loss->rank < size) {
        used += (size_t)snprintf(text + used, size - used, " of shape (");
        for (unsigned a = 0; a < loss->rank; a++)
            used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, a ? "," : "",
                                     loss->box[loss->rank + a]);
        used += (size_t)snprintf(text + used, size - used, ")");
    }
    if (loss->frames == 1)
        snprintf(text + used, size - used, ", frame %" PRIu64, loss->frame);
    else if (loss->frames > 1)
        snprintf(text + used, size - used, ", frames %" PRIu64 " to %" PRIu64, loss->frame,
                 loss->frame + loss->frames - 1);
}

/* What is missing, in words. */
static void describe_loss(const struct emd_loss *loss, char *text, size_t size)
{
    static const char *const whole[] = {
        [EMD_LOSS_LINK] = "link",           [EMD_LOSS_LINKS] = "some of its links",
        [EMD_LOSS_ATTRIBUTE] = "attribute", [EMD_LOSS_ATTRIBUTES] = "some of its attributes",
        [EMD_LOSS_COMMENT] = "its comment", [EMD_LOSS_DATA] = "all its data"};
    if (loss->kind == EMD_LOSS_DATA && loss->rank > 0)
        describe_box(loss, text, size);
    else if (loss->name)
        snprintf(text, size, "%s '%.200s'", whole[loss->kind], loss->name);
    else
        snprintf(text, size, "%s", whole[loss->kind]);
}

static void on_lost(void *ctx, const struct emd_loss *loss)
{
    struct job *job = ctx;
    char what[1024];
    if (job->losses) {
        struct json_object *o = need(emd_loss_json(loss));
        fprintf(job->losses, "%s\n",
                json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
    }
    if (job->told++ >= LOSSES_TOLD)
        return;
    describe_loss(loss, what, sizeof what);
    emd_message_error("%s: not saved: %s: %s: %s%s", job->input, loss->path, what, loss->why,
                      loss->trouble ? " (the disk or the network failed: try again)" : "");
}

/* One file, with a table of its frames beside the output if that is wanted. */
static enum emd_status repack(const struct settings *settings, struct job *job,
                              struct emd_repack_options *options, struct emd_pool *pool,
                              struct emd_error *error)
{
    if (!settings->frame_stats || options->dry_run)
        return emd_repack_file(job->input, job->output, options, pool, &job->result, error);
    struct emd_frametable *table = NULL;
    struct stat st;
    char *path = need(emd_frametable_path(job->output));
    enum emd_status status = EMD_OK;
    if (!options->replace && lstat(path, &st) == 0)
        status = emd_fail(error, EMD_E_EXISTS, "%s exists already; -f replaces it", path);
    if (status == EMD_OK)
        status = emd_frametable_new(AT_FDCWD, path, &table, error);
    if (status == EMD_OK) {
        options->inspector = emd_frametable_inspector(table);
        status = emd_repack_file(job->input, job->output, options, pool, &job->result, error);
    }
    emd_frametable_free(table);
    free(path);
    return status;
}

static void run_job(const struct settings *settings, struct job *job, struct emd_pool *pool)
{
    struct emd_error error = {.status = EMD_OK};
    struct emd_repack_options options = settings->repack;
    struct stat st;
    options.ctx = job;
    options.progress = on_progress;
    options.note = on_note;
    options.warning = on_warning;
    options.cancelled = on_cancelled;
    options.lost = on_lost;
    options.rename_file = settings->check ? NULL : on_file_name;
    double begun = now();
    emd_progress_start(job->input, stat(job->input, &st) == 0 ? (uint64_t)st.st_size : 0);
    if (settings->check) {
        job->status = emd_repack_check(job->input, &options, pool, on_damage, &job->result, &error);
    } else if (settings->directory && !options.replace &&
               emd_repack_is_done(job->input, job->output)) {
        job->state = SKIPPED;
    } else if (settings->directory && !options.dry_run && !make_folder_of(job->output)) {
        job->status = emd_fail(&error, EMD_E_IO, "the output's folder cannot be created");
    } else {
        job->status = repack(settings, job, &options, pool, &error);
    }
    emd_progress_end();
    if (job->losses)
        fflush(job->losses);
    job->seconds = now() - begun;
    if (job->state == PENDING)
        job->state = job->status == EMD_OK ? DONE : FAILED;
    snprintf(job->error, sizeof job->error, "%s", job->status == EMD_OK ? "" : error.text);
}

static const char *state_text(const struct settings *settings, const struct job *job)
{
    if (job->state == FAILED)
        return emd_exit_for(job->status) == EMD_EXIT_NOT_READY ? "not ready" : "failed";
    if (job->state == SKIPPED)
        return "skipped";
    if (job->result.lost > 0)
        return "salvaged";
    return settings->repack.dry_run ? "planned" : "done";
}

static double ratio(uint64_t raw, uint64_t stored)
{
    return stored ? (double)raw / (double)stored : 0;
}

/* Rounded for people: three decimals say enough, and keep the line short. */
static struct json_object *number(double value)
{
    char text[64];
    snprintf(text, sizeof text, "%.3f", value);
    return json_object_new_double_s(value, text);
}

/* What the file's process could not save. */
static struct json_object *read_losses(FILE *file)
{
    struct json_object *list = need(json_object_new_array());
    char *line = NULL;
    size_t size = 0;
    rewind(file);
    while (getline(&line, &size, file) > 0) {
        struct json_object *loss = json_tokener_parse(line);
        if (loss)
            json_object_array_add(list, loss);
    }
    free(line);
    return list;
}

static void print_json(const struct settings *settings, const struct job *job)
{
    struct json_object *o = need(emd_json_new("emdrepack"));
    const struct emd_repack_result *r = &job->result;
    json_object_object_add(o, "status", json_object_new_string(state_text(settings, job)));
    json_object_object_add(o, "error", job->error[0] ? emd_json_text(job->error) : NULL);
    json_object_object_add(o, "file", emd_json_text(job->input));
    json_object_object_add(o, "output", job->output ? emd_json_text(job->output) : NULL);
    json_object_object_add(o, "frames", json_object_new_int64((int64_t)r->frames));
    json_object_object_add(o, "raw_bytes", json_object_new_int64((int64_t)r->raw_bytes));
    json_object_object_add(o, "stored_bytes", json_object_new_int64((int64_t)r->stored_bytes));
    json_object_object_add(o, "ratio", number(ratio(r->raw_bytes, r->stored_bytes)));
    json_object_object_add(o, "seconds", number(job->seconds));
    json_object_object_add(o, "codec", json_object_new_string(r->codec));
    json_object_object_add(o, "verified", json_object_new_boolean(r->verified));
    json_object_object_add(o, "kept", json_object_new_int64((int64_t)r->kept));
    json_object_object_add(o, "need_plugin", json_object_new_int64((int64_t)r->need_plugin));
    json_object_object_add(o, "unchecked", json_object_new_int64((int64_t)r->unchecked));
    json_object_object_add(o, "warnings", json_object_new_int64((int64_t)r->warnings));
    json_object_object_add(o, "lost", json_object_new_int64((int64_t)r->lost));
    if (job->losses && job->state == DONE)
        json_object_object_add(o, "losses", read_losses(job->losses));
    emd_json_print_line(o);
    fflush(stdout);
}

static void report(const struct settings *settings, const struct job *job)
{
    const struct emd_repack_result *r = &job->result;
    if (settings->json)
        print_json(settings, job);
    if (job->state == DONE && r->lost > LOSSES_TOLD)
        emd_message_error("%s: and %" PRIu64 " more losses, which --json lists", job->input,
                          r->lost - LOSSES_TOLD);
    if (job->state == DONE && r->lost > 0)
        emd_message_error("%s: %" PRIu64 " loss%s, the rest is in %s; keep the damaged file until "
                          "all tries to read it are over",
                          job->input, r->lost, r->lost == 1 ? "" : "es", job->output);
    if (job->state == FAILED)
        emd_message_error("%s: %s", job->input, job->error);
    else if (job->state == SKIPPED)
        emd_message_info("%s: skipped: %s is finished already", job->input, job->output);
    else if (settings->json || r->lost > 0)
        return;
    else if (settings->check && r->unchecked > 0)
        emd_message_info("%s: no damage found in what could be checked; %" PRIu64 " of %" PRIu64
                         " datasets were not checked",
                         job->input, r->unchecked, r->datasets);
    else if (settings->check)
        emd_message_info("%s: sound, %" PRIu64 " datasets", job->input, r->datasets);
    else if (settings->repack.dry_run)
        emd_message_info("%s: would be written to %s with %s", job->input, job->output, r->codec);
    else
        emd_message_info("%s: %" PRIu64 " frame%s, %.1f -> %.1f MB, ratio %.2f, %s, %.2f s, "
                         "%.0f MB/s",
                         job->input, r->frames, r->frames == 1 ? "" : "s",
                         (double)r->raw_bytes / 1e6, (double)r->stored_bytes / 1e6,
                         ratio(r->raw_bytes, r->stored_bytes), r->codec, job->seconds,
                         job->seconds > 0 ? (double)r->raw_bytes / 1e6 / job->seconds : 0.0);
}

/* Says how a file went, and what that makes of the exit code. */
static void finish_job(const struct settings *settings, const struct job *job, int *code)
{
    report(settings, job);
    /* failed outweighs not ready outweighs done */
    const int exit_code =
        job->state == DONE && job->result.lost > 0 ? EMD_EXIT_FAILED : emd_exit_for(job->status);
    if (exit_code != EMD_EXIT_OK && *code != EMD_EXIT_FAILED)
        *code = exit_code == EMD_EXIT_NOT_READY ? EMD_EXIT_NOT_READY : EMD_EXIT_FAILED;
}

/* A process, and the file that it does. */
struct member {
    pid_t pid;
    int fd;
    unsigned threads;
    struct job *job;
    struct job result; /* as the process sends it, so far 'got' bytes */
    size_t got;
};

_Noreturn static void be_member(const struct settings *settings,
                                const struct emd_crew_budget *budget, const struct member *member)
{
    struct settings own = *settings;
    struct emd_pool *pool = emd_pool_new(member->threads);
    if (budget->jobs > 1)
        emd_progress_init(false);
    own.repack.memory = emd_crew_memory(budget, member->threads);
    if (pool)
        run_job(&own, member->job, pool);
    emd_pool_free(pool);
    emd_crew_send(member->fd, member->job, sizeof *member->job);
    exit(EMD_EXIT_OK); /* a sanitizer looks for leaks here */
}

/* Starts the next file if there is room; false if there is none, or nothing left. */
static bool start_member(const struct settings *settings, const struct emd_crew_budget *budget,
                         struct job_list *list, size_t *next, struct member *crew, unsigned running)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < running; i++)
        busy += crew[i].threads;
    struct member *m = &crew[running];
    const unsigned threads = emd_crew_threads(budget, running, busy, list->count - *next);
    if (threads == 0)
        return false;
    *m = (struct member){.threads = threads, .job = &list->job[*next]};
    if (settings->json && settings->repack.salvage)
        m->job->losses = need(tmpfile());
    m->pid = emd_crew_fork(&m->fd);
    if (m->pid == 0)
        be_member(settings, budget, m);
    (*next)++;
    if (m->pid < 0) {
        m->job->state = FAILED;
        m->job->status = EMD_E_MEMORY;
        snprintf(m->job->error, sizeof m->job->error, "cannot start a process: %s",
                 strerror(errno));
    }
    return true;
}

/* Removes what a process left that could not do it itself. */
static void clean_after(const struct job *job)
{
    if (!job->output)
        return;
    char *table = need(emd_frametable_path(job->output));
    emd_safefile_clean_output(job->output);
    emd_safefile_clean_output(table);
    free(table);
}

static bool is_crash(int end)
{
    const int killer = WIFSIGNALED(end) ? WTERMSIG(end) : 0;
    return killer == SIGSEGV || killer == SIGBUS || killer == SIGABRT || killer == SIGFPE ||
           killer == SIGILL;
}

/* The process of a file has ended, and said how it went or not. */
static void end_member(struct member *m)
{
    struct job *job = m->job;
    int end = 0;
    close(m->fd);
    while (waitpid(m->pid, &end, 0) < 0 && errno == EINTR)
        ;
    if (m->got == sizeof m->result && WIFEXITED(end) && WEXITSTATUS(end) == EMD_EXIT_OK) {
        m->result.input = job->input;
        m->result.output = job->output;
        m->result.all = job->all;
        m->result.losses = job->losses;
        *job = m->result;
    }
    if (job->state != PENDING)
        return;
    clean_after(job);
    job->state = FAILED;
    job->status = EMD_E_MEMORY;
    if (m->got == sizeof m->result && WIFEXITED(end) && WEXITSTATUS(end) == EMD_EXIT_OK)
        snprintf(job->error, sizeof job->error, "cannot start %u threads", m->threads);
    else if (emd_signals_caught())
        snprintf(job->error, sizeof job->error, "stopped on request");
    else if (is_crash(end))
        snprintf(job->error, sizeof job->error, "damaged: reading it crashes HDF5 (%s)",
                 strsignal(WTERMSIG(end)));
    else
        snprintf(job->error, sizeof job->error, "its process ended with %s %d",
                 WIFSIGNALED(end) ? "signal" : "code",
                 WIFSIGNALED(end) ? WTERMSIG(end) : WEXITSTATUS(end));
}

/* Waits until processes say something; those that are done leave the crew. */
static unsigned hear_crew(const struct settings *settings, struct member *crew, unsigned running,
                          int *code)
{
    /* made anew each time: the processes, which are forked from here, look for leaks */
    struct pollfd *fds = need(calloc(running, sizeof *fds));
    for (unsigned i = 0; i < running; i++)
        fds[i] = (struct pollfd){.fd = crew[i].fd, .events = POLLIN};
    /* not for ever: a signal may come just before the wait */
    if (poll(fds, running, 100) <= 0) {
        free(fds);
        return running;
    }
    unsigned left = 0;
    for (unsigned i = 0; i < running; i++) {
        struct member *m = &crew[i];
        const size_t room = sizeof m->result - m->got;
        ssize_t n = 1;
        if (fds[i].revents) {
            n = room ? read(m->fd, (char *)&m->result + m->got, room) : 0;
            m->got += n > 0 ? (size_t)n : 0;
        }
        if (n > 0 || (n < 0 && errno == EINTR)) {
            crew[left++] = *m;
        } else {
            end_member(m);
            finish_job(settings, m->job, code);
            if (m->job->losses)
                fclose(m->job->losses);
            m->job->losses = NULL;
        }
    }
    free(fds);
    return left;
}

/* Passes a request to stop on to the processes: not every signal reached them, too. Who is deep
 * inside a codec or HDF5 does not hear it, and is killed when its time is over. */
static void stop_crew(const struct member *crew, unsigned running, double *asked)
{
    const bool first = *asked < 0;
    if (!emd_signals_caught())
        return;
    if (first)
        *asked = now();
    else if (now() - *asked < stop_patience)
        return;
    for (unsigned i = 0; i < running; i++)
        kill(crew[i].pid, first ? SIGTERM : SIGKILL);
}

/* Each file in a process of its own, --jobs of them side by side: a file on which HDF5 crashes is
 * one failure among others. */
static int run_files(const struct settings *settings, struct job_list *list)
{
    const size_t jobs = (size_t)settings->jobs < list->count ? (size_t)settings->jobs : list->count;
    const struct emd_crew_budget budget = {
        .jobs = jobs ? (unsigned)jobs : 1,
        .threads = (unsigned)settings->threads,
        .memory = emd_repack_budget(&settings->repack, (unsigned)settings->threads)};
    struct member *crew = need(calloc(budget.jobs, sizeof *crew));
    unsigned running = 0;
    size_t next = 0;
    int code = EMD_EXIT_OK;
    double asked = -1;
    for (;;) {
        while (!emd_signals_caught() &&
               start_member(settings, &budget, list, &next, crew, running)) {
            if (crew[running].pid > 0)
                running++;
            else
                finish_job(settings, crew[running].job, &code);
        }
        if (running == 0)
            break;
        stop_crew(crew, running, &asked);
        running = hear_crew(settings, crew, running, &code);
    }
    free(crew);
    return code;
}

/* What many files came to; the failed ones once more, where they are not overlooked. */
static void summarise(const struct settings *settings, const struct job_list *list, double seconds)
{
    uint64_t raw = 0, stored = 0;
    size_t done = 0, skipped = 0, failed = 0, partly = 0, salvaged = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct job *job = &list->job[i];
        done += job->state == DONE && job->result.lost == 0;
        salvaged += job->state == DONE && job->result.lost > 0;
        partly += job->state == DONE && job->result.unchecked > 0;
        skipped += job->state == SKIPPED;
        failed += job->state == FAILED;
        if (job->state == DONE) {
            raw += job->result.raw_bytes;
            stored += job->result.stored_bytes;
        }
    }
    if (settings->check && partly > 0)
        emd_message_info(
            "%zu file%s sound, %zu not checked whole, %zu damaged or unreadable, %.1f s",
            done - partly, done - partly == 1 ? "" : "s", partly, failed, seconds);
    else if (settings->check)
        emd_message_info("%zu file%s sound, %zu not, %.1f s", done, done == 1 ? "" : "s", failed,
                         seconds);
    else if (settings->repack.dry_run)
        emd_message_info("%zu file%s planned, %zu skipped, %zu failed", done, done == 1 ? "" : "s",
                         skipped, failed);
    else
        emd_message_info("%zu file%s done, %zu skipped, %zu failed: %.1f -> %.1f MB, ratio %.2f, "
                         "%.1f s, %.0f MB/s",
                         done, done == 1 ? "" : "s", skipped, failed, (double)raw / 1e6,
                         (double)stored / 1e6, ratio(raw, stored), seconds,
                         seconds > 0 ? (double)raw / 1e6 / seconds : 0.0);
    if (salvaged > 0)
        emd_message_error("%zu file%s salvaged with losses", salvaged, salvaged == 1 ? "" : "s");
    if (failed > 1 || (failed > 0 && list->count > 20))
        for (size_t i = 0; i < list->count; i++)
            if (list->job[i].state == FAILED)
                emd_message_error("failed: %s: %s", list->job[i].input, list->job[i].error);
}

/* ---- options ----------------------------------------------------------------------------------
 */

static enum emd_status take_chunk(void *into, const struct emd_option *option, const char *text,
                                  struct emd_error *err)
{
    struct emd_repack_options *options = &((struct settings *)into)->repack;
    (void)option;
    options->chunk_rank = 0;
    if (strcmp(text, "auto") == 0 || strcmp(text, "frame") == 0) {
        options->chunking = text[0] == 'a' ? EMD_CHUNK_AUTO : EMD_CHUNK_FRAME;
        return EMD_OK;
    }
    options->chunking = EMD_CHUNK_SHAPE;
    for (;;) {
        char part[24];
        size_t n = strcspn(text, ",");
        long value;
        if (n == 0 || n >= sizeof part || options->chunk_rank == EMD_RANK_MAX)
            break;
        memcpy(part, text, n);
        part[n] = '\0';
        if (!emd_parse_long(part, 1, INT_MAX, &value))
            break;
        options->chunk[options->chunk_rank++] = (uint64_t)value;
        if (text[n] == '\0')
            return EMD_OK;
        text += n + 1;
    }
    return emd_fail(err, EMD_E_ARGUMENT, "not auto, frame or a shape such as 512,512,1");
}

#define AT(field) offsetof(struct settings, field)

static const struct emd_option options[] = {
    EMD_OPTION_CODEC(AT(repack.codec), "auto (default), blosc, zstd, gzip, none, or another codec "
                                       "of 'h5plugin-config --list'"),
    {'d', "directory", "DIR", EMD_OPTION_TEXT, .at = AT(directory), .complete = "directory",
     .help =
         "write into DIR under the inputs' own names, spaces turned into underscores; skip what "
         "is done already"},
    {'r', "recursive", NULL, EMD_OPTION_FLAG, .at = AT(recursive),
     .help = "inputs may be directories: their *.emd files, mirrored"},
    {0, "pattern", "GLOB", EMD_OPTION_TEXT, .at = AT(pattern),
     .help = "file names that -r takes (default *.emd)"},
    {0, "keep-names", NULL, EMD_OPTION_FLAG, .at = AT(keep_names), .help = "keep spaces in names"},
    {0, "chunk", "SHAPE", EMD_OPTION_CALL, .take = take_chunk, .complete = "words:auto frame",
     .help = "auto (default), frame, or h,w,n"},
    EMD_OPTION_JOBS(AT(jobs), "files at once, at most (default 1)"),
    EMD_OPTION_THREADS(AT(threads)),
    EMD_OPTION_MEMORY(AT(repack.memory)),
    /* in the order of enum emd_checksum */
    {0, "checksum", "[WHEN]", EMD_OPTION_CHOICE, .at = AT(repack.checksum),
     .words = "auto|always|never",
     .help = "fletcher32 behind each chunk: auto (default: where the codec has no checksum), "
             "always, never"},
    EMD_OPTION_VERIFY(AT(repack.verify),
                      "none, chunk (default: compare each chunk before it is written and all else "
                      "in the finished file) or file (and read the chunks back, too)"),
    EMD_OPTION_FRAME_STATS(AT(frame_stats)),
    {0, "no-provenance", NULL, EMD_OPTION_CLEAR, .at = AT(repack.provenance),
     .help = "leave no 'emdrepack' attribute in the output"},
    {0, "recompress", NULL, EMD_OPTION_FLAG, .at = AT(repack.recompress),
     .help = "encode anew also what becomes larger by it"},
    {0, "salvage", NULL, EMD_OPTION_FLAG, .at = AT(repack.salvage),
     .help = "of damaged files copy what can be read, list what cannot, and exit with 1"},
    {'f', "force", NULL, EMD_OPTION_FLAG, .at = AT(repack.replace),
     .help = "replace existing outputs"},
    {'n', "dry-run", NULL, EMD_OPTION_FLAG, .at = AT(repack.dry_run),
     .help = "say what would be done; with -v how"},
    {0, "check", NULL, EMD_OPTION_FLAG, .at = AT(check),
     .help = "decode every chunk of FILEs and say what is damaged"},
    {0, "compare", NULL, EMD_OPTION_FLAG, .at = AT(compare),
     .help = "say whether two files hold the same, whatever their storage: may the first one be "
             "deleted?"},
    {0, "differences", "N", EMD_OPTION_LONG, .at = AT(differences), .high = INT_MAX,
     .help = "list the first N differences (default 10; 0: all)"},
    {0, "json", NULL, EMD_OPTION_FLAG, .at = AT(json),
     .help = "one JSON object per file on standard output"},
    {'q', "quiet", NULL, EMD_OPTION_SET, .at = AT(verbosity), .number = EMD_QUIET,
     .help = "only errors"},
    {'v', "verbose", NULL, EMD_OPTION_SET, .at = AT(verbosity), .number = EMD_VERBOSE,
     .help = "say more"},
};

static const struct emd_program program = {
    .name = "emdrepack",
    .usage = "[OPTION]... INPUT OUTPUT\n"
             "[OPTION]... -d DIR INPUT...\n"
             "--check FILE...\n"
             "--compare FILE FILE",
    .about = "Copy HDF5 files (Velox EMD movies above all) with their image data compressed and "
             "everything else as it is.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = {NULL, NULL, NULL, "input incomplete or in use"},
    .operands = "file:emd,h5,hdf5",
};

/* -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct settings *settings)
{
    const int code = emd_options_parse(&program, argc, argv, settings);
    emd_message_set_verbosity(settings->verbosity);
    if (settings->verbosity == EMD_QUIET)
        emd_progress_init(false);
    return code;
}

/* --compare: the exit code. */
static int compare(const struct settings *settings, int count, char **arguments)
{
    if (count != 2)
        return emd_usage_error("--compare needs two files");
    if (settings->check || settings->directory || settings->repack.dry_run || settings->recursive)
        return emd_usage_error("--compare writes nothing: it goes with -j, -m, --differences, "
                               "--json, -q and -v only");
    struct emd_compare_request request = {.a = arguments[0],
                                          .b = arguments[1],
                                          .options = settings->repack,
                                          .threads = settings->threads ? (unsigned)settings->threads
                                                                       : emd_cpu_count(),
                                          .most = (uint64_t)settings->differences,
                                          .json = settings->json};
    request.options.progress = on_progress;
    request.options.cancelled = on_cancelled;
    return emd_compare_files(&request);
}

static int collect_jobs(int count, char **arguments, struct settings *settings,
                        struct job_list *list)
{
    bool ok = true;
    if (settings->check) {
        if (count < 1)
            return emd_usage_error("--check needs a file");
    } else if (!settings->directory) {
        if (count != 2)
            return emd_usage_error("need INPUT and OUTPUT, or -d DIR and INPUTs");
        if (is_folder(arguments[1])) {
            settings->directory = arguments[1];
            count = 1;
        } else if (is_folder(arguments[0])) {
            return emd_usage_error("%s is a folder: -r -d DIR takes the files in it", arguments[0]);
        } else {
            add_job(list, need(strdup(arguments[0])), need(strdup(arguments[1])));
            return -1;
        }
    } else if (count < 1) {
        return emd_usage_error("-d needs an INPUT");
    }
    for (int i = 0; i < count; i++)
        ok = add_argument(settings, list, arguments[i]) && ok;
    if (ok && list->count == 0)
        emd_message_warning("no file matches %s", settings->pattern);
    return ok ? -1 : EMD_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .pattern = "*.emd", .jobs = 1, .differences = 10, .verbosity = EMD_NORMAL};
    struct job_list list = {0};
    emd_message_init("emdrepack", EMD_NORMAL);
    emd_progress_init(true);
    emd_signals_init();
    emd_repack_defaults(&settings.repack);
    int code = parse_options(argc, argv, &settings);
    if (code < 0 && settings.repack.salvage &&
        (settings.check || settings.compare || settings.frame_stats || settings.repack.dry_run))
        code = emd_usage_error("--salvage goes with neither --check, --compare, --frame-stats nor "
                               "--dry-run");
    if (code < 0 && settings.compare)
        code = compare(&settings, argc - optind, argv + optind);
    if (code < 0)
        code = collect_jobs(argc - optind, argv + optind, &settings, &list);
    if (code >= 0)
        goto out;
    if (!settings.check && outputs_collide(&list)) {
        code = EMD_EXIT_FAILED;
        goto out;
    }
    if (settings.threads == 0)
        settings.threads = emd_cpu_count();
    introduce(&list);
    const double begun = now();
    code = run_files(&settings, &list);
    if (list.count > 1)
        summarise(&settings, &list, now() - begun);
out:
    for (size_t i = 0; i < list.count; i++) {
        free(list.job[i].input);
        free(list.job[i].output);
    }
    free(list.job);
    code = emd_finish(code);
    emd_signals_reraise();
    return code;
}
