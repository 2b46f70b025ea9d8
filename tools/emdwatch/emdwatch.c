/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdwatch: every complete movie of a folder, compressed into another one, for as long as it runs.
 * See docs/man/emdwatch.1. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/lockfile.h"
#include "base/safefile.h"
#include "common/jsontext.h"
#include "common/message.h"
#include "common/options.h"
#include "common/progress.h"
#include "node.h"
#include "repackoptions.h"

enum { MOST_PATTERNS = 32 };

/* ---- --status -------------------------------------------------------------------------------- */

enum kind { WAITING, RUNNING, DONE, FAILED, STUCK, KINDS };
static const char *const row[KINDS] = {"waiting", "running", "done", "failed", "stuck"};

struct status {
    const struct emd_node_options *options;
    struct emd_watchlist known;
    size_t count[KINDS];
    uint64_t bytes[KINDS], stored;
    struct json_object *files; /* with --json: those that are not done */
};

static bool is_done(const struct status *s, const char *name, const char *output,
                    const struct emd_watch_id *source, const struct emd_watch_id *target)
{
    if (target->inode == 0)
        return false;
    if (target->mtime_s == source->mtime_s && target->mtime_ns == source->mtime_ns)
        return true;
    /* file systems with coarse times: the provenance knows */
    char *in = emd_node_path(s->options->source, name);
    char *out = emd_node_path(s->options->target, output);
    const bool done = emd_repack_is_done(in, out);
    free(in);
    free(out);
    return done;
}

static bool is_running(const struct status *s, const char *output)
{
    char *path = emd_node_path(s->options->target, output);
    const bool running = emd_safefile_busy(path);
    free(path);
    return running;
}

static void show_file(const struct status *s, enum kind kind, const char *name, uint64_t bytes,
                      const char *why)
{
    if (s->files) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "status", json_object_new_string(row[kind]));
        json_object_object_add(o, "file", emd_json_text(name));
        json_object_object_add(o, "bytes", json_object_new_int64((int64_t)bytes));
        if (*why)
            json_object_object_add(o, "reason", emd_json_text(why));
        json_object_array_add(s->files, o);
        return;
    }
    printf("%-8s %10.1f MB  ", row[kind], (double)bytes / 1e6);
    emd_print_text(name);
    fputs(*why ? ": " : "", stdout);
    emd_print_text(why);
    putchar('\n');
}

static bool status_file(void *ctx, const char *name, const char *output,
                        const struct emd_watch_id *source, const struct emd_watch_id *target)
{
    struct status *s = ctx;
    const struct emd_watch_entry *e = emd_watchlist_find(&s->known, name);
    const bool same = e && e->source.size == source->size && e->source.mtime_s == source->mtime_s &&
                      e->source.mtime_ns == source->mtime_ns;
    enum kind kind = WAITING;
    if (same && ((e->state == EMD_WATCH_ASIDE && e->outcome != EMD_OUTCOME_EMPTY) ||
                 e->outcome == EMD_OUTCOME_CONFLICT))
        kind = FAILED;
    else if (is_done(s, name, output, source, target))
        kind = DONE;
    else if (is_running(s, output))
        kind = RUNNING;
    else if (same && emd_node_is_stuck(e))
        kind = STUCK;
    s->count[kind]++;
    s->bytes[kind] += source->size;
    if (kind == DONE)
        s->stored += target->size;
    else
        show_file(s, kind, name, source->size, same && e->why ? e->why : "");
    return true;
}

static bool status_trouble(void *ctx, const char *name, int error)
{
    (void)ctx;
    emd_message_error("%s: %s", *name ? name : "the source folder", strerror(error));
    return true;
}

static void print_table(const struct status *s, const struct emd_watch_totals *totals)
{
    printf("%-8s %8s %14s %14s %7s\n", "", "files", "MB", "MB stored", "ratio");
    for (enum kind i = WAITING; i < KINDS; i++) {
        printf("%-8s %8zu %14.1f", row[i], s->count[i], (double)s->bytes[i] / 1e6);
        if (i == DONE && s->stored > 0)
            printf(" %14.1f %7.2f", (double)s->stored / 1e6,
                   (double)s->bytes[i] / (double)s->stored);
        putchar('\n');
    }
    if (totals->seconds > 0)
        printf("so far   %8" PRIu64 " %14.1f %14.1f %7.2f   %.0f MB/s per file\n", totals->files,
               (double)totals->raw_bytes / 1e6, (double)totals->stored_bytes / 1e6,
               totals->stored_bytes ? (double)totals->raw_bytes / (double)totals->stored_bytes
                                    : 0.0,
               (double)totals->raw_bytes / 1e6 / totals->seconds);
}

static void print_json(struct status *s, const struct emd_watch_totals *totals, bool all,
                       bool watched)
{
    struct json_object *o = emd_json_new("emdwatch");
    json_object_object_add(o, "event", json_object_new_string("status"));
    json_object_object_add(o, "watched", json_object_new_boolean(watched));
    json_object_object_add(o, "complete", json_object_new_boolean(all));
    for (enum kind i = WAITING; i < KINDS; i++) {
        struct json_object *sum = json_object_new_object();
        json_object_object_add(sum, "files", json_object_new_int64((int64_t)s->count[i]));
        json_object_object_add(sum, "bytes", json_object_new_int64((int64_t)s->bytes[i]));
        if (i == DONE)
            json_object_object_add(sum, "stored_bytes", json_object_new_int64((int64_t)s->stored));
        json_object_object_add(o, row[i], sum);
    }
    struct json_object *sum = json_object_new_object();
    json_object_object_add(sum, "files", json_object_new_int64((int64_t)totals->files));
    json_object_object_add(sum, "raw_bytes", json_object_new_int64((int64_t)totals->raw_bytes));
    json_object_object_add(sum, "stored_bytes",
                           json_object_new_int64((int64_t)totals->stored_bytes));
    json_object_object_add(sum, "seconds", json_object_new_double(totals->seconds));
    json_object_object_add(o, "totals", sum);
    json_object_object_add(o, "files", s->files);
    s->files = NULL;
    emd_json_print_line(o);
}

static int print_status(const struct emd_node_options *options)
{
    struct status s = {.options = options};
    struct emd_watch_totals totals;
    const struct emd_watch_settings none = {0};
    emd_watchlist_init(&s.known, &none);
    emd_statefile_read(options->target, &s.known, &totals);
    if (options->json)
        s.files = json_object_new_array();
    const struct emd_scan scan = {.source = options->source,
                                  .target = options->target,
                                  .patterns = options->patterns,
                                  .ctx = &s,
                                  .file = status_file,
                                  .trouble = status_trouble};
    const bool all = emd_scan_run(&scan);
    char *lock = emd_node_path(options->target, EMD_NODE_LOCK);
    const bool watched = emd_lockfile_held(AT_FDCWD, lock);
    free(lock);
    if (options->json)
        print_json(&s, &totals, all, watched);
    else
        print_table(&s, &totals);
    emd_watchlist_free(&s.known);
    return all && s.count[FAILED] == 0 && s.count[STUCK] == 0 ? EMD_EXIT_OK : EMD_EXIT_FAILED;
}

/* ---- --retry --------------------------------------------------------------------------------- */

/* A start looks again at all that failed; one that is running is told to. */
static int retry(const struct emd_node_options *options)
{
    char *lock = emd_node_path(options->target, EMD_NODE_LOCK);
    const pid_t pid = emd_lockfile_holder(AT_FDCWD, lock);
    const bool held = emd_lockfile_held(AT_FDCWD, lock);
    free(lock);
    if (pid > 0 && kill(pid, SIGUSR1) == 0)
        return EMD_EXIT_OK;
    if (held) {
        emd_message_error(
            "%s: the emdwatch that works on it cannot be told from here; send it USR1",
            options->target);
        return EMD_EXIT_FAILED;
    }
    emd_message_info("%s: no emdwatch works on it; the next one looks again at what failed",
                     options->target);
    return EMD_EXIT_OK;
}

/* ---- options --------------------------------------------------------------------------------- */

/* True if 'inner' is 'outer' or lies in it, also through a bind mount; both exist. */
static bool lies_in(const char *inner, const char *outer)
{
    struct stat at, above, top;
    int fd = open(inner, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool inside = false;
    if (stat(outer, &top) != 0 || fd < 0 || fstat(fd, &at) != 0)
        goto out;
    for (;;) {
        inside = at.st_dev == top.st_dev && at.st_ino == top.st_ino;
        const int parent = inside ? -1 : openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0)
            break;
        close(fd);
        fd = parent;
        if (fstat(fd, &above) != 0 ||
            (above.st_dev == at.st_dev && above.st_ino == at.st_ino)) /* the root */
            break;
        at = above;
    }
out:
    if (fd >= 0)
        close(fd);
    return inside;
}

static int check_folders(const struct emd_node_options *options, bool only_look, bool wait)
{
    struct stat st;
    if (stat(options->source, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return emd_usage_error("%s is not a folder", options->source);
    } else if (!wait || only_look) {
        /* A name that is not there is a wrong argument: a service that is restarted has it still.
         */
        const bool missing = errno == ENOENT || errno == ENOTDIR;
        emd_message_error("%s: cannot be read: %s%s", options->source, strerror(errno),
                          only_look ? "" : "; --wait waits for it");
        return missing ? EMD_EXIT_USAGE : EMD_EXIT_FAILED;
    }
    if (!only_look && mkdir(options->target, 0777) != 0 && errno != EEXIST) {
        emd_message_error("%s: cannot create the folder: %s", options->target, strerror(errno));
        return EMD_EXIT_FAILED;
    }
    if (stat(options->target, &st) != 0 || !S_ISDIR(st.st_mode)) {
        emd_message_error("%s: no such folder", options->target);
        return EMD_EXIT_FAILED;
    }
    if (lies_in(options->source, options->target))
        return emd_usage_error("%s lies in %s: outputs could land among the sources",
                               options->source, options->target);
    return -1;
}

struct arguments {
    struct emd_node_options node;
    const char *patterns[MOST_PATTERNS + 1];
    size_t pattern_count;
    bool status, retry, wait;
    long jobs, threads;
};

static enum emd_status take_pattern(void *into, const struct emd_option *option, const char *value,
                                    struct emd_error *err)
{
    struct arguments *args = into;
    (void)option;
    if (args->pattern_count == MOST_PATTERNS)
        return emd_fail(err, EMD_E_ARGUMENT, "more than %d patterns", MOST_PATTERNS);
    args->patterns[args->pattern_count++] = value;
    return EMD_OK;
}

#define AT(field) offsetof(struct arguments, field)

static const struct emd_option options[] = {
    {0, "pattern", "GLOB", EMD_OPTION_CALL, .take = take_pattern, .repeatable = true,
     .help = "file names to take, in either case; may be repeated (default *.emd)"},
    {0, "poll", "SECONDS", EMD_OPTION_DOUBLE, .at = AT(node.watch.poll), .low = 0.01, .high = 86400,
     .help = "how often to scan RAW (default 60)"},
    {0, "settle", "SECONDS", EMD_OPTION_DOUBLE, .at = AT(node.watch.settle), .high = 86400,
     .help = "how long a file must be unchanged (default 180)"},
    {0, "once", NULL, EMD_OPTION_FLAG, .at = AT(node.once),
     .help = "until nothing is left to do, then a summary"},
    {0, "wait", NULL, EMD_OPTION_FLAG, .at = AT(wait),
     .help = "wait for a RAW that is not there yet"},
    {0, "status", NULL, EMD_OPTION_FLAG, .at = AT(status),
     .help = "say what is waiting, running, done, failed and stuck"},
    {0, "retry", NULL, EMD_OPTION_FLAG, .at = AT(retry),
     .help = "have the running emdwatch retry what failed"},
    {0, "on-done", "COMMAND", EMD_OPTION_TEXT, .at = AT(node.on_done), .complete = "command",
     .help = "run COMMAND with a finished movie and its output"},
    {0, "on-failure", "COMMAND", EMD_OPTION_TEXT, .at = AT(node.on_failure), .complete = "command",
     .help = "run COMMAND with a failed movie and the reason"},
    {0, "metrics", "FILE", EMD_OPTION_TEXT, .at = AT(node.metrics), .complete = "file",
     .help = "keep figures for Prometheus in FILE"},
    EMD_OPTION_JOBS(AT(jobs), "files at a time, at most (default 8)"),
    EMD_OPTION_THREADS(AT(threads)),
    EMD_OPTION_MEMORY(AT(node.repack.memory)),
    EMD_OPTION_CODEC(AT(node.repack.codec), "as in emdrepack (default auto)"),
    EMD_OPTION_VERIFY(AT(node.repack.verify), "none, chunk (default) or file, as in emdrepack"),
    EMD_OPTION_FRAME_STATS(AT(node.frame_stats)),
    {0, "json", NULL, EMD_OPTION_FLAG, .at = AT(node.json), .help = "one JSON object per event"},
    {'q', "quiet", NULL, EMD_OPTION_FLAG, .at = AT(node.quiet),
     .help = "only what needs attention"},
};

static const struct emd_program program = {
    .name = "emdwatch",
    .usage = "[OPTION]... RAW COMPRESSED\n"
             "--status [--json] RAW COMPRESSED\n"
             "--retry RAW COMPRESSED",
    .about = "Compress every complete movie below RAW into COMPRESSED, directory for directory, as "
             "soon as it has been written.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .notes = "TERM finishes what is running, a second one aborts; HUP and USR1 scan at once and "
             "retry what failed.",
    .exits = {NULL, "failed (--status: or stuck)", NULL, "files not ready or in use"},
    .operands = "directory",
};

int main(int argc, char **argv)
{
    struct arguments args = {.node.watch = {.settle = 180, .poll = 60},
                             .patterns = {"*.emd"},
                             .jobs = 8,
                             .threads = emd_cpu_count()};
    struct emd_node_options *o = &args.node;
    emd_message_init("emdwatch", EMD_NORMAL);
    emd_repack_defaults(&o->repack);
    o->patterns = args.patterns;
    int code = emd_options_parse(&program, argc, argv, &args);
    if (code >= 0)
        return emd_finish(code);
    if (o->quiet)
        emd_message_set_verbosity(EMD_QUIET);
    if (argc - optind != 2)
        return emd_usage_error("need two directories, RAW and COMPRESSED");
    o->source = argv[optind];
    o->target = argv[optind + 1];
    if (*o->source == '\0' || *o->target == '\0')
        return emd_usage_error("%s is empty (as a service: set RAW=... in the settings file)",
                               *o->source ? "COMPRESSED" : "RAW");
    o->crew =
        (struct emd_crew_budget){.jobs = (unsigned)args.jobs,
                                 .threads = (unsigned)args.threads,
                                 .memory = emd_repack_budget(&o->repack, (unsigned)args.threads)};
    emd_progress_init(!o->quiet && !o->json);
    code = check_folders(o, args.status || args.retry, args.wait);
    if (code < 0)
        code = args.status ? print_status(o) : args.retry ? retry(o) : emd_node_run(o);
    return emd_finish(code);
}
