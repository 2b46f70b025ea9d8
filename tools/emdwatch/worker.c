/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See node.h. A worker is a fork of the node: what it needs is in its memory already. A share that
 * hangs stops one worker and not the node, a file that crashes HDF5 costs one worker, and nothing
 * that HDF5 keeps adds up over months. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "common/message.h"
#include "common/signals.h"
#include "node.h"
#include "watch/complete.h"
#include "watch/frametable.h"

double emd_node_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

char *emd_node_path(const char *folder, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        emd_message_error("out of memory");
        exit(EMD_EXIT_FAILED);
    }
    return path;
}

static void send(int fd, struct emd_report *report, const char *name, const char *output)
{
    report->name_bytes = name ? (uint32_t)strlen(name) + 1 : 0;
    report->output_bytes = output ? (uint32_t)strlen(output) + 1 : 0;
    emd_crew_send(fd, report, sizeof *report);
    if (name)
        emd_crew_send(fd, name, report->name_bytes);
    if (output)
        emd_crew_send(fd, output, report->output_bytes);
}

/* ---- scan ------------------------------------------------------------------------------------ */

/* Reports of a scan are many and small: they are gathered. */
static bool scanned_file(void *ctx, const char *name, const char *output,
                         const struct emd_watch_id *source, const struct emd_watch_id *target)
{
    struct emd_report r = {.kind = EMD_REPORT_FILE,
                           .source = *source,
                           .target = *target,
                           .name_bytes = (uint32_t)strlen(name) + 1,
                           .output_bytes = (uint32_t)strlen(output) + 1};
    fwrite(&r, sizeof r, 1, ctx);
    fwrite(name, r.name_bytes, 1, ctx);
    fwrite(output, r.output_bytes, 1, ctx);
    return !ferror((FILE *)ctx);
}

static bool scanned_folder(void *ctx, const char *name)
{
    struct emd_report r = {.kind = EMD_REPORT_FOLDER, .name_bytes = (uint32_t)strlen(name) + 1};
    fwrite(&r, sizeof r, 1, ctx);
    fwrite(name, r.name_bytes, 1, ctx);
    return !ferror((FILE *)ctx);
}

static bool scanned_trouble(void *ctx, const char *name, int error)
{
    struct emd_report r = {
        .kind = EMD_REPORT_TROUBLE, .number = error, .name_bytes = (uint32_t)strlen(name) + 1};
    fwrite(&r, sizeof r, 1, ctx);
    fwrite(name, r.name_bytes, 1, ctx);
    return !ferror((FILE *)ctx);
}

/* A watch on a network folder would see only our own changes, and could hang the node. */
static bool can_be_watched(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool local = fd >= 0 && emd_is_local(fd);
    if (fd >= 0)
        close(fd);
    return local;
}

void emd_worker_scan(const struct emd_node_options *options, int fd)
{
    FILE *out = fdopen(fd, "w");
    if (!out)
        return;
    setvbuf(out, NULL, _IOFBF, 1 << 16);
    const struct emd_scan scan = {.source = options->source,
                                  .target = options->target,
                                  .patterns = options->patterns,
                                  .ctx = out,
                                  .file = scanned_file,
                                  .folder = can_be_watched(options->source) ? scanned_folder : NULL,
                                  .trouble = scanned_trouble};
    struct emd_report r = {.kind = EMD_REPORT_SCANNED};
    r.number = emd_scan_run(&scan);
    fwrite(&r, sizeof r, 1, out);
    fflush(out);
}

/* ---- check, clean ---------------------------------------------------------------------------- */

/* So many at a time: the node hears how it goes. */
enum { CHECKS = 256 };

void emd_worker_check(const struct emd_node_options *options, const struct emd_watchlist *list,
                      int fd)
{
    static struct emd_output output[CHECKS];
    const struct emd_watch_entry *entry[CHECKS];
    for (size_t i = 0, n = 0; i < list->count; i++) {
        const struct emd_watch_entry *e = list->entry[i];
        if (e->state == EMD_WATCH_CHECKING && e->missing < 0) {
            entry[n] = e;
            output[n++] = (struct emd_output){.input = emd_node_path(options->source, e->name),
                                              .path = emd_node_path(options->target, e->output)};
        }
        if (n < CHECKS && i + 1 < list->count)
            continue;
        emd_outputs_look(output, n);
        for (size_t k = 0; k < n; k++) {
            struct emd_report r = {.kind = EMD_REPORT_CHECKED,
                                   .number = output[k].state,
                                   .source = entry[k]->source,
                                   .target = entry[k]->target};
            send(fd, &r, entry[k]->name, output[k].why.text);
            free((char *)output[k].input);
            free((char *)output[k].path);
        }
        n = 0;
    }
}

void emd_worker_clean(const struct emd_node_options *options, int fd)
{
    struct emd_report r = {.kind = EMD_REPORT_CLEANED};
    r.number = (int64_t)emd_scan_clean(options->target, options->patterns, options->watch.settle);
    send(fd, &r, NULL, NULL);
}

/* ---- repack ---------------------------------------------------------------------------------- */

struct run {
    int fd;
    double reported;
};

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct run *run = ctx;
    const double now = emd_node_now();
    (void)total;
    if (now - run->reported < 0.2)
        return;
    run->reported = now;
    struct emd_report r = {.kind = EMD_REPORT_PROGRESS, .number = (int64_t)done};
    send(run->fd, &r, NULL, NULL);
}

static void on_warning(void *ctx, const char *text)
{
    const struct run *run = ctx;
    struct emd_report r = {.kind = EMD_REPORT_WARNING};
    send(run->fd, &r, text, NULL);
}

static bool on_cancelled(void *ctx)
{
    (void)ctx;
    return emd_signals_caught();
}

/* The output's folder, made if need be, below the target, which must exist. Whoever owns folders
 * there must not lead us elsewhere: links are not followed. -1: *err says why. */
static int make_folder(const struct emd_node_options *options, const char *output,
                       struct emd_error *err)
{
    const int target = open(options->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int folder = target < 0 ? -1 : emd_make_folder_beneath(target, output);
    if (folder >= 0 && faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        const int refused = errno;
        close(folder);
        folder = -1;
        errno = refused;
    }
    const int cause = errno;
    if (target >= 0)
        close(target);
    if (folder < 0 && (cause == ELOOP || cause == ENOTDIR))
        emd_fail(err, EMD_E_EXISTS,
                 "a folder of the output %s/%s is a link or a file; move it away", options->target,
                 output);
    else if (folder < 0)
        emd_fail_errno(err, EMD_E_IO, cause, "cannot make the folder of %s/%s", options->target,
                       output);
    return folder;
}

/* Opens a movie below the source folder. Its folders must not be links; it may be one itself where
 * that gives nobody more than he has: the link's owner must own the movie, or be root or ourselves.
 * Else a user could have root publish what he may not read. -1: *err says why. */
static int open_movie(const struct emd_node_options *options, const char *name,
                      struct emd_error *err)
{
    struct stat link, movie;
    const char *const slash = strrchr(name, '/'), *const last = slash ? slash + 1 : name;
    char *parent = slash ? strndup(name, (size_t)(slash - name)) : strdup("");
    const int source = open(options->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int folder =
        source < 0 || !parent ? -1 : emd_open_beneath(source, parent, O_RDONLY | O_DIRECTORY);
    int fd = -1, cause = errno;
    if (folder >= 0) {
        fd = emd_open_regular(folder, last, O_RDONLY | O_NOFOLLOW);
        cause = errno;
    }
    if (fd < 0 && cause == ELOOP && folder >= 0 &&
        fstatat(folder, last, &link, AT_SYMLINK_NOFOLLOW) == 0) {
        fd = emd_open_regular(folder, last, O_RDONLY);
        cause = errno;
        if (fd >= 0 && (fstat(fd, &movie) != 0 || (link.st_uid != movie.st_uid &&
                                                   link.st_uid != geteuid() && link.st_uid != 0))) {
            close(fd);
            fd = -1;
            cause = ELOOP;
        }
    }
    if (folder >= 0)
        close(folder);
    if (source >= 0)
        close(source);
    free(parent);
    if (fd >= 0)
        return fd;
    if (cause == ELOOP)
        emd_fail(err, EMD_E_UNSUPPORTED, "a link to another user's file is not followed");
    else if (cause == EINVAL)
        emd_fail(err, EMD_E_IO, "not a regular file");
    else
        emd_fail_errno(
            err, cause == EACCES || cause == EBUSY || cause == ETXTBSY ? EMD_E_BUSY : EMD_E_IO,
            cause, "cannot open");
    return -1;
}

/* Whether a failure is the target's and not the file's: it will be the next file's too. */
static bool target_failed(const struct emd_node_options *options, const struct emd_error *error,
                          uint64_t raw_bytes)
{
    const int causes[] = {ENOSPC, EDQUOT, EROFS};
    struct statvfs fs;
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (strstr(error->text, strerror(causes[i])))
            return true;
    return statvfs(options->target, &fs) != 0 ||
           (uint64_t)fs.f_bavail * fs.f_frsize < raw_bytes / 4;
}

static enum emd_watch_outcome outcome_of(const struct emd_node_options *options,
                                         const struct emd_error *error, uint64_t raw_bytes)
{
    switch (error->status) {
    case EMD_OK:
        return EMD_OUTCOME_DONE;
    case EMD_E_CANCELLED:
        return EMD_OUTCOME_UNWANTED;
    case EMD_E_CHANGED:
        return EMD_OUTCOME_CHANGED;
    case EMD_E_BUSY:
        return EMD_OUTCOME_BUSY;
    case EMD_E_INCOMPLETE:
        return EMD_OUTCOME_INCOMPLETE;
    case EMD_E_EXISTS:
        return EMD_OUTCOME_CONFLICT;
    case EMD_E_EMPTY:
        return EMD_OUTCOME_EMPTY;
    case EMD_E_IO:
        return target_failed(options, error, raw_bytes) ? EMD_OUTCOME_TARGET : EMD_OUTCOME_TROUBLE;
    case EMD_E_MEMORY:
    case EMD_E_BUDGET:
    case EMD_E_VERIFY:
        return EMD_OUTCOME_TROUBLE;
    default:
        return EMD_OUTCOME_DAMAGED;
    }
}

/* A table of frames whose output never came: what a dead run left. */
static void remove_orphan(int folder, const char *table)
{
    char line[sizeof EMD_FRAMETABLE_HEADER] = "";
    const char *slash = strrchr(table, '/'), *name = slash ? slash + 1 : table;
    const int fd = emd_open_regular(folder, name, O_RDONLY | O_NOFOLLOW);
    if (fd >= 0 && emd_pread_all(fd, line, sizeof line - 1, 0) == 0 &&
        strcmp(line, EMD_FRAMETABLE_HEADER) == 0)
        unlinkat(folder, name, 0);
    if (fd >= 0)
        close(fd);
}

static enum emd_watch_outcome repack(const struct emd_node_options *options,
                                     const struct emd_watch_entry *entry, int movie, int folder,
                                     const char *input, const char *output, unsigned threads,
                                     struct run *run, struct emd_repack_result *result,
                                     struct emd_error *error)
{
    struct emd_repack_options repack = options->repack;
    struct emd_frametable *table = NULL;
    if (options->frame_stats) {
        char *path = emd_frametable_path(output);
        if (path && !entry->replace)
            remove_orphan(folder, path);
        error->status = path ? emd_frametable_new(folder, path, &table, error)
                             : emd_fail(error, EMD_E_MEMORY, "out of memory");
        free(path);
        if (error->status != EMD_OK)
            return EMD_OUTCOME_TROUBLE;
        repack.inspector = emd_frametable_inspector(table);
    }
    repack.input_fd = movie;
    repack.output_folder = folder;
    repack.ctx = run;
    repack.progress = on_progress;
    repack.warning = on_warning;
    repack.cancelled = on_cancelled;
    repack.replace = entry->replace;
    repack.memory = emd_crew_memory(&options->crew, threads);
    struct emd_pool *pool = emd_pool_new(threads);
    if (pool)
        error->status = emd_repack_file(input, output, &repack, pool, result, error);
    else
        emd_fail(error, EMD_E_MEMORY, "cannot start %u threads", threads);
    emd_pool_free(pool);
    emd_frametable_free(table);
    return outcome_of(options, error, entry->source.size);
}

static enum emd_watch_outcome outcome_of_look(enum emd_completeness completeness,
                                              const struct emd_watch_entry *entry)
{
    switch (completeness) {
    case EMD_COMPLETE:
        return EMD_OUTCOME_DONE;
    case EMD_COMPLETE_ODD:
        return entry->doubt_over ? EMD_OUTCOME_DONE : EMD_OUTCOME_DOUBTFUL;
    case EMD_COMPLETE_EMPTY:
        return EMD_OUTCOME_EMPTY;
    case EMD_COMPLETE_NOT:
        return EMD_OUTCOME_INCOMPLETE;
    case EMD_COMPLETE_BUSY:
        return EMD_OUTCOME_BUSY;
    case EMD_COMPLETE_DAMAGED:
        return EMD_OUTCOME_DAMAGED;
    case EMD_COMPLETE_UNREADABLE:
        break;
    }
    return EMD_OUTCOME_TROUBLE;
}

void emd_worker_repack(const struct emd_node_options *options, const struct emd_watch_entry *entry,
                       unsigned threads, int fd)
{
    struct emd_report r = {.kind = EMD_REPORT_RESULT};
    struct emd_error error = {.status = EMD_OK};
    struct run run = {.fd = fd, .reported = 0};
    const double begun = emd_node_now();
    char *input = emd_node_path(options->source, entry->name);
    char *output = emd_node_path(options->target, entry->output);
    int folder = -1;
    const int movie = open_movie(options, entry->name, &error);
    r.number = movie < 0 ? outcome_of(options, &error, 0)
                         : outcome_of_look(emd_complete_look(movie, input, &error), entry);
    if (r.number == EMD_OUTCOME_DONE) {
        error = (struct emd_error){.status = EMD_OK};
        folder = make_folder(options, entry->output, &error);
        if (folder < 0)
            r.number = error.status == EMD_E_EXISTS ? EMD_OUTCOME_CONFLICT : EMD_OUTCOME_TARGET;
        else
            r.number = repack(options, entry, movie, folder, input, output, threads, &run,
                              &r.result, &error);
    }
    if (folder >= 0)
        close(folder);
    if (movie >= 0)
        close(movie);
    r.seconds = emd_node_now() - begun;
    send(fd, &r, r.number == EMD_OUTCOME_DONE ? NULL : error.text, NULL);
    free(input);
    free(output);
}
