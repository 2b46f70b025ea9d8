/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See node.h. One loop over signals, pipes of the workers and hints of inotify; it owns the list
 * and the state file, and does nothing else that could block. The node holds no HDF5 and no
 * threads, so that fork is safe; workers die with it (PR_SET_PDEATHSIG). */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lockfile.h"
#include "common/crew.h"
#include "common/message.h"
#include "common/progress.h"
#include "common/signals.h"
#include "journal.h"
#include "monitor.h"

enum kind { SCAN, CHECK, CLEAN, REPACK };

/* A worker that says nothing for so long hangs: it keeps its place, but others may use its threads.
 * Seconds. */
static const double longest_silence = 60, shortest_silence = 2;
/* What says nothing for so long will not come back: it is killed, and the file tried again later.
 */
static const double hopeless_silence = 3600;
/* So many looks at outputs take long enough to be spoken of. */
enum { many_checks = 1000 };
/* How long an aborted worker may take to tidy up before it is killed. */
static const double abort_grace = 10;
/* Between looks at our lock, and between writings of the figures. */
static const double lock_interval = 5;

struct child {
    enum kind kind;
    pid_t pid;
    int fd;
    struct emd_watch_entry *entry; /* REPACK */
    unsigned threads;
    size_t files; /* CHECK: so many, if that is worth saying */
    double begun, heard;
    uint64_t done_bytes;
    bool stalled, has_result;
    struct emd_report result;
    char *why;
    unsigned char *data; /* read and not yet understood */
    size_t used, capacity;
    struct child *next;
};

struct node {
    const struct emd_node_options *options;
    struct emd_watchlist list;
    struct emd_watch_totals totals;
    struct emd_lockfile *lock;
    int target; /* the folder that we locked: it may be unmounted, or exchanged, later */
    bool lock_lost, cannot_fork;
    double lock_checked, measured, scan_time;
    struct emd_monitor monitor;
    struct child *children;
    sigset_t old_mask;
    int signals, hints; /* signalfd, inotify */
    double next_scan, last_scan, saved;
    bool dirty, scanned; /* state to be saved; at least one whole round */
    bool source_lost, target_lost, state_lost;
    char *trouble; /* folders that could not be read in the last round, a line around each */
    char *new_trouble;
    unsigned stops; /* signals that ask to stop */
    double aborted;
    uint64_t done, failed, moved; /* files, and the source bytes of those done */
    struct emd_journal journal;
};

/* ---- workers --------------------------------------------------------------------------------- */

static struct child *find_child(const struct node *node, enum kind kind)
{
    struct child *c = node->children;
    while (c && c->kind != kind)
        c = c->next;
    return c;
}

static void be_worker(struct node *node, const struct child *child)
{
    const int fd = child->fd;
    close(emd_lockfile_fd(node->lock)); /* the lock lives and dies with the node */
    close(node->signals);
    close(node->hints);
    emd_signals_init();
    signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C asks the node, which lets us finish */
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    sigprocmask(SIG_SETMASK, &node->old_mask, NULL);
    switch (child->kind) {
    case SCAN:
        emd_worker_scan(node->options, fd);
        break;
    case CHECK:
        emd_worker_check(node->options, &node->list, fd);
        break;
    case CLEAN:
        emd_worker_clean(node->options, fd);
        break;
    case REPACK:
        emd_worker_repack(node->options, child->entry, child->threads, fd);
        break;
    }
    _exit(EMD_EXIT_OK);
}

static bool start_child(struct node *node, enum kind kind, struct emd_watch_entry *entry,
                        unsigned threads)
{
    struct child *c = calloc(1, sizeof *c);
    if (!c)
        return false;
    *c = (struct child){.kind = kind, .entry = entry, .threads = threads};
    c->pid = emd_crew_fork(&c->fd);
    if (c->pid == 0)
        be_worker(node, c);
    if (c->pid < 0) {
        if (!node->cannot_fork)
            emd_message_error("cannot start a worker: %s", strerror(errno));
        node->cannot_fork = true;
        free(c);
        return false;
    }
    node->cannot_fork = false;
    c->begun = c->heard = emd_node_now();
    c->next = node->children;
    node->children = c;
    return true;
}

/* ---- what workers say ------------------------------------------------------------------------ */

static void add_trouble(struct node *node, const char *name, int error)
{
    char *line = NULL, *text = NULL;
    if (asprintf(&line, "\n%s\t%d\n", name, error) < 0)
        return;
    if (*name && !(node->trouble && strstr(node->trouble, line)))
        emd_journal_event(&node->journal, "unreadable", name, strerror(error), NULL);
    if (asprintf(&text, "%s%s", node->new_trouble ? node->new_trouble : "", line) >= 0) {
        free(node->new_trouble);
        node->new_trouble = text;
    }
    free(line);
    if (!*name && !node->source_lost) {
        emd_journal_event(&node->journal, "waiting", NULL, "the source folder cannot be read",
                          NULL);
        node->source_lost = true;
    }
}

static void tell_failure(struct node *node, const struct emd_watch_entry *e)
{
    char *path = emd_node_path(node->options->source, e->name);
    emd_monitor_run(&node->monitor, node->options->on_failure, path, e->why ? e->why : "",
                    &node->old_mask);
    free(path);
}

static void tell_done(struct node *node, const struct emd_watch_entry *e)
{
    char *path = emd_node_path(node->options->source, e->name);
    char *output = emd_node_path(node->options->target, e->output);
    emd_monitor_run(&node->monitor, node->options->on_done, path, output, &node->old_mask);
    free(output);
    free(path);
}

static void report_rivals(struct node *node)
{
    for (size_t i = 0; i < node->list.count; i++) {
        struct emd_watch_entry *e = node->list.entry[i];
        if (e->rival && e->rival->missing < 0 && e->state == EMD_WATCH_WAITING) {
            char *why;
            if (asprintf(&why, "%s and %s would both be written to %s; rename one", e->name,
                         e->rival->name, e->output) < 0)
                continue;
            if (emd_watchlist_finish(&node->list, e, EMD_OUTCOME_CONFLICT, why, emd_node_now())) {
                emd_journal_event(&node->journal, "conflict", e->name, why, NULL);
                tell_failure(node, e);
            }
            node->dirty = true;
            free(why);
        } else if (!e->rival && e->state == EMD_WATCH_ASIDE && e->outcome == EMD_OUTCOME_CONFLICT &&
                   e->why && strstr(e->why, "; rename one")) {
            emd_watchlist_set(&node->list, e, EMD_WATCH_NEW); /* the other one is gone */
        }
    }
}

static void end_scan(struct node *node, bool clean)
{
    const double now = emd_node_now();
    emd_watchlist_end(&node->list, clean, now);
    free(node->trouble);
    node->trouble = node->new_trouble;
    node->new_trouble = NULL;
    if (node->source_lost && clean) {
        emd_journal_news(&node->journal, "going on", NULL, "the source folder can be read again");
        node->source_lost = false;
    }
    report_rivals(node);
    node->scanned = true;
    if (clean)
        node->scan_time = (double)time(NULL);
    node->dirty = node->dirty || emd_watchlist_settling(&node->list);
}

bool emd_node_is_stuck(const struct emd_watch_entry *e)
{
    enum { OFTEN = 5 };
    return e->missing < 0 && e->state == EMD_WATCH_WAITING && e->tries >= OFTEN &&
           e->outcome == EMD_OUTCOME_TROUBLE;
}

static void checked(struct node *node, const char *name, const char *why,
                    const struct emd_report *r)
{
    struct emd_watch_entry *e = emd_watchlist_find(&node->list, name);
    if (!e || e->state != EMD_WATCH_CHECKING || !emd_watch_id_equal(&e->source, &r->source) ||
        !emd_watch_id_equal(&e->target, &r->target))
        return; /* changed while it was looked at: asked again */
    const bool unknown = r->number == EMD_OUTPUT_UNKNOWN;
    if (!unknown && r->number != EMD_OUTPUT_FOREIGN) {
        emd_watchlist_checked(&node->list, e, r->number == EMD_OUTPUT_DONE,
                              r->number == EMD_OUTPUT_OUTDATED, emd_node_now());
        return;
    }
    const enum emd_watch_outcome outcome = unknown ? EMD_OUTCOME_TROUBLE : EMD_OUTCOME_CONFLICT;
    if (emd_watchlist_finish(&node->list, e, outcome, why, emd_node_now())) {
        emd_journal_event(&node->journal, emd_watch_outcome_text(outcome), e->name, e->why, NULL);
        if (!unknown)
            tell_failure(node, e);
    }
    if (unknown)
        emd_watchlist_set(&node->list, e,
                          EMD_WATCH_NEW); /* nothing is done to it before the answer: asked again */
    node->dirty = true;
}

static void understand(struct node *node, struct child *c, const struct emd_report *r,
                       const char *name, const char *output)
{
    switch (r->kind) {
    case EMD_REPORT_FILE:
        if (emd_watchlist_see(&node->list, name, output, &r->source, &r->target, emd_node_now(),
                              NULL) != EMD_OK)
            emd_message_error("out of memory");
        break;
    case EMD_REPORT_FOLDER: {
        /* known ones stay as they are; where the kernel has no watches left, polling does */
        char *path = emd_node_path(node->options->source, name);
        inotify_add_watch(node->hints, path, IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR);
        free(path);
        break;
    }
    case EMD_REPORT_TROUBLE:
        add_trouble(node, name, (int)r->number);
        break;
    case EMD_REPORT_SCANNED:
        c->has_result = true;
        end_scan(node, r->number != 0);
        break;
    case EMD_REPORT_CHECKED:
        checked(node, name, output, r);
        break;
    case EMD_REPORT_PROGRESS:
        c->done_bytes = (uint64_t)r->number;
        break;
    case EMD_REPORT_WARNING:
        emd_journal_event(&node->journal, "warning", c->entry ? c->entry->name : NULL, name, NULL);
        break;
    case EMD_REPORT_RESULT:
        c->result = *r;
        c->has_result = true;
        free(c->why);
        c->why = name ? strdup(name) : NULL;
        break;
    case EMD_REPORT_CLEANED:
        if (r->number > 0) {
            char text[64];
            snprintf(text, sizeof text, "%" PRId64 " temporary files of dead runs", r->number);
            emd_journal_news(&node->journal, "removed", NULL, text);
        }
        break;
    }
}

/* Takes whole reports from what has been read. */
static void parse(struct node *node, struct child *c)
{
    size_t at = 0;
    struct emd_report r;
    while (c->used - at >= sizeof r) {
        memcpy(&r, c->data + at, sizeof r);
        const size_t whole = sizeof r + r.name_bytes + r.output_bytes;
        if (c->used - at < whole)
            break;
        const char *name = (const char *)c->data + at + sizeof r;
        understand(node, c, &r, r.name_bytes ? name : NULL,
                   r.output_bytes ? name + r.name_bytes : NULL);
        at += whole;
    }
    memmove(c->data, c->data + at, c->used - at);
    c->used -= at;
}

static void finish_repack(struct node *node, struct child *c, int wait_status)
{
    struct emd_watch_entry *e = c->entry;
    struct emd_report *r = &c->result;
    const char *why = c->why;
    char text[128];
    enum emd_watch_outcome outcome = (enum emd_watch_outcome)r->number;
    if (!c->has_result) {
        /* a file that crashes the reader is damaged; a killed worker says nothing about the file */
        const int signal_number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
        const bool crash = signal_number == SIGSEGV || signal_number == SIGBUS ||
                           signal_number == SIGABRT || signal_number == SIGFPE ||
                           signal_number == SIGILL;
        outcome = node->aborted > 0 ? EMD_OUTCOME_UNWANTED
                  : crash           ? EMD_OUTCOME_DAMAGED
                                    : EMD_OUTCOME_TROUBLE;
        snprintf(text, sizeof text, "the worker ended with %s %d",
                 signal_number ? "signal" : "code",
                 signal_number ? signal_number : WEXITSTATUS(wait_status));
        why = text;
    }
    const bool held = node->list.hold >= 0;
    const bool is_news = emd_watchlist_finish(&node->list, e, outcome, why, emd_node_now());
    node->dirty = true;
    if (outcome == EMD_OUTCOME_DONE) {
        if (held)
            emd_journal_news(&node->journal, "going on", NULL,
                             "the target folder can be written again");
        node->done++;
        node->moved += e->source.size;
        node->totals.files++;
        node->totals.raw_bytes += r->result.raw_bytes;
        node->totals.stored_bytes += r->result.stored_bytes;
        node->totals.seconds += r->seconds;
        if (!node->options->quiet)
            emd_journal_event(&node->journal, "done", e->name, NULL, r);
        tell_done(node, e);
    } else if (outcome == EMD_OUTCOME_TARGET) {
        if (!held)
            emd_journal_event(&node->journal, "waiting", e->name, why, NULL);
    } else if (is_news && outcome != EMD_OUTCOME_UNWANTED) {
        const bool bad = outcome == EMD_OUTCOME_DAMAGED || outcome == EMD_OUTCOME_TROUBLE ||
                         outcome == EMD_OUTCOME_CONFLICT;
        if (bad || !node->options->quiet)
            emd_journal_event(&node->journal, emd_watch_outcome_text(outcome), e->name, why, NULL);
        if (outcome == EMD_OUTCOME_DAMAGED || outcome == EMD_OUTCOME_CONFLICT)
            tell_failure(node, e);
    }
    node->failed += is_news && (outcome == EMD_OUTCOME_DAMAGED || outcome == EMD_OUTCOME_CONFLICT);
}

static void report_checked(const struct node *node, const struct child *c)
{
    char text[96];
    if (c->files == 0 || node->stops)
        return;
    snprintf(text, sizeof text, "%zu files with an output in %.1f s", c->files,
             emd_node_now() - c->begun);
    emd_journal_news(&node->journal, "checked", NULL, text);
}

static void end_child(struct node *node, struct child *c)
{
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    for (struct child **p = &node->children; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    if (c->kind == REPACK)
        finish_repack(node, c, status);
    if (c->kind == SCAN && !c->has_result)
        end_scan(node, false); /* killed: what it did not see is not gone */
    if (c->kind == CHECK)
        report_checked(node, c);
    close(c->fd);
    free(c->data);
    free(c->why);
    free(c);
}

/* False: the worker is done. */
static bool hear(struct node *node, struct child *c)
{
    if (c->capacity - c->used < 65536) {
        unsigned char *grown = realloc(c->data, c->capacity + 65536);
        if (!grown)
            return true; /* another time */
        c->data = grown;
        c->capacity += 65536;
    }
    const ssize_t n = read(c->fd, c->data + c->used, c->capacity - c->used);
    if (n < 0)
        return errno == EINTR;
    c->used += (size_t)n;
    c->heard = emd_node_now();
    if (c->stalled)
        emd_journal_news(&node->journal, "going on", c->entry ? c->entry->name : NULL,
                         "the worker moves again");
    c->stalled = false;
    parse(node, c);
    return n > 0;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void say_busy(const struct emd_node_options *options, const struct emd_error *holder)
{
    emd_message_error("%s: another emdwatch, %s, works on this folder", options->target,
                      holder->text);
}

/* Whether the target is still the folder that we locked, and ours. A lock file that somebody
 * deleted there is made anew; in another folder of that name (a share that is not mounted any more)
 * nothing is made. */
static bool target_is_there(struct node *node)
{
    struct stat a, b;
    struct emd_error error = {.status = EMD_OK};
    const bool same = fstat(node->target, &a) == 0 && stat(node->options->target, &b) == 0 &&
                      a.st_dev == b.st_dev && (a.st_ino == b.st_ino || !emd_is_local(node->target));
    char *path = emd_node_path(node->options->target, EMD_NODE_LOCK);
    const bool there =
        (same || access(path, F_OK) == 0) && emd_lockfile_check(node->lock, &error) == EMD_OK;
    free(path);
    node->lock_checked = emd_node_now();
    if (error.status == EMD_E_BUSY || error.status == EMD_E_EXISTS) {
        if (error.status == EMD_E_BUSY)
            say_busy(node->options, &error);
        else
            emd_message_error("%s: %s", node->options->target, error.text);
        node->lock_lost = true;
        return false;
    }
    if (there == node->target_lost) {
        emd_journal_event(
            &node->journal, there ? "going on" : "waiting", NULL,
            there ? "the target folder is back" : "the target folder is not there any more", NULL);
        node->target_lost = !there;
    }
    return there;
}

static void save_state(struct node *node)
{
    struct emd_error error;
    node->saved = emd_node_now();
    if (!target_is_there(node))
        return;
    if (emd_statefile_write(node->options->target, &node->list, &node->totals, &error) != EMD_OK) {
        if (!node->state_lost)
            emd_message_warning("%s/%s: %s", node->options->target, EMD_STATE_NAME, error.text);
        node->state_lost = true;
        return;
    }
    node->state_lost = false;
    node->dirty = false;
}

static void start_repacks(struct node *node)
{
    const struct emd_node_options *o = node->options;
    unsigned running = 0, used = 0;
    size_t ready = node->list.in[EMD_WATCH_WAITING];
    const double now = emd_node_now();
    for (const struct child *c = node->children; c; c = c->next)
        if (c->kind == REPACK) {
            running++;
            used += c->stalled ? 0 : c->threads;
        }
    if (node->stops || !node->scanned || running >= o->crew.jobs || used >= o->crew.threads ||
        !emd_watchlist_due(&node->list, now) || !target_is_there(node))
        return;
    for (;;) {
        struct emd_watch_entry *e = emd_watchlist_due(&node->list, now);
        const unsigned share = e ? emd_crew_threads(&o->crew, running, used, ready) : 0;
        if (share == 0)
            return;
        emd_watchlist_start(&node->list, e);
        if (!start_child(node, REPACK, e, share)) {
            emd_watchlist_finish(&node->list, e, EMD_OUTCOME_TROUBLE, "cannot start a worker", now);
            return;
        }
        running++;
        used += share;
        ready -= ready > 0;
    }
}

static void write_figures(struct node *node)
{
    struct emd_error error;
    struct emd_monitor_figures m = {.files = node->totals.files,
                                    .raw_bytes = node->totals.raw_bytes,
                                    .stored_bytes = node->totals.stored_bytes,
                                    .seconds = node->totals.seconds,
                                    .source_lost = node->source_lost,
                                    .target_lost = node->target_lost,
                                    .target_full = node->list.hold >= 0,
                                    .scanned = node->scan_time};
    node->measured = emd_node_now();
    if (!node->options->metrics)
        return;
    for (size_t i = 0; i < node->list.count; i++) {
        const struct emd_watch_entry *e = node->list.entry[i];
        const bool stuck = emd_node_is_stuck(e);
        if (e->missing >= 0)
            continue;
        m.stuck += stuck;
        m.failed += e->state == EMD_WATCH_ASIDE && e->outcome != EMD_OUTCOME_EMPTY;
        m.running += e->state == EMD_WATCH_RUNNING;
        m.done += e->state == EMD_WATCH_DONE;
        m.waiting += !stuck && (e->state == EMD_WATCH_WAITING || e->state == EMD_WATCH_NEW ||
                                e->state == EMD_WATCH_CHECKING);
    }
    if (emd_monitor_write(node->options->metrics, &m, &error) != EMD_OK)
        emd_message_warning("%s: %s", node->options->metrics, error.text);
}

static void watch_for_stalls(struct node *node)
{
    const double settle = node->options->watch.settle;
    const double silence = settle < shortest_silence  ? shortest_silence
                           : settle > longest_silence ? longest_silence
                                                      : settle;
    for (struct child *c = node->children; c; c = c->next) {
        const double silent = emd_node_now() - c->heard;
        /* cleaning begins with waiting whether a file is left alone */
        if (silent > hopeless_silence + (c->kind == CLEAN ? settle : 0))
            kill(c->pid, SIGKILL);
        if (!c->stalled && c->kind != CLEAN && silent > silence) {
            c->stalled = true;
            emd_journal_event(&node->journal, "stalled", c->entry ? c->entry->name : NULL,
                              c->kind == REPACK ? "no progress; others go on"
                                                : "a folder does not answer; waiting for it",
                              NULL);
        }
    }
}

static void show(struct node *node)
{
    struct emd_journal_now now = {
        .done = (size_t)node->done, .failed = (size_t)node->failed, .moved = node->moved};
    for (const struct child *c = node->children; c; c = c->next)
        if (c->kind == REPACK) {
            now.running++;
            now.running_done += c->done_bytes;
            now.running_bytes += c->entry->source.size;
        }
    now.moved += now.running_done;
    now.waiting = node->list.in[EMD_WATCH_WAITING];
    emd_journal_show(&node->journal, &now);
}

static void take_signals(struct node *node)
{
    struct signalfd_siginfo info;
    while (read(node->signals, &info, sizeof info) == sizeof info) {
        switch (info.ssi_signo) {
        case SIGHUP:
        case SIGUSR1:
            node->next_scan = 0;
            emd_watchlist_retry(&node->list);
            break;
        case SIGTERM:
        case SIGINT:
            if (++node->stops == 1) {
                emd_journal_news(&node->journal, "stopping", NULL,
                                 "running files are finished; again to abort");
                for (const struct child *c = node->children; c; c = c->next)
                    if (c->kind != REPACK || c->stalled)
                        kill(c->pid, SIGKILL);
            } else if (node->aborted <= 0) {
                node->aborted = emd_node_now();
                for (const struct child *c = node->children; c; c = c->next)
                    kill(c->pid, SIGTERM);
            }
            break;
        default:
            break;
        }
    }
}

/* Something happened in a folder: the next look comes earlier, but not at every write. */
static void take_hints(struct node *node)
{
    char events[4096];
    while (read(node->hints, events, sizeof events) > 0)
        ;
    const double least = node->options->watch.poll < 1 ? node->options->watch.poll : 1;
    if (node->next_scan > node->last_scan + least)
        node->next_scan = node->last_scan + least;
}

static size_t needing_check(const struct node *node)
{
    size_t n = 0;
    for (size_t i = 0; i < node->list.count && node->list.in[EMD_WATCH_CHECKING] > 0; i++)
        n += node->list.entry[i]->state == EMD_WATCH_CHECKING && node->list.entry[i]->missing < 0;
    return n;
}

/* Asks what outputs are that were there before: all of them after a start, which is said. */
static void start_check(struct node *node)
{
    const size_t n = needing_check(node);
    if (n == 0 || !start_child(node, CHECK, NULL, 0) || n < many_checks)
        return;
    char text[64];
    snprintf(text, sizeof text, "%zu files with an output", n);
    emd_journal_news(&node->journal, "checking", NULL, text);
    find_child(node, CHECK)->files = n;
}

/* --once: nothing more can come of waiting. */
static bool is_over(const struct node *node)
{
    if (node->cannot_fork && !node->children)
        return true;
    if (!node->scanned || node->children || needing_check(node) > 0)
        return false;
    return node->source_lost || node->target_lost || !emd_watchlist_settling(&node->list);
}

static void wait_for_events(struct node *node)
{
    size_t n = 2;
    struct child *c;
    for (c = node->children; c; c = c->next)
        n++;
    struct pollfd *fds = calloc(n, sizeof *fds);
    struct child **who = calloc(n, sizeof(struct child *));
    if (!fds || !who) {
        free(fds);
        free(who);
        return;
    }
    fds[0] = (struct pollfd){.fd = node->signals, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = node->hints, .events = POLLIN};
    n = 2;
    for (c = node->children; c; c = c->next, n++) {
        fds[n] = (struct pollfd){.fd = c->fd, .events = POLLIN};
        who[n] = c;
    }
    const double now = emd_node_now();
    double wait = node->next_scan - now;
    if (find_child(node, SCAN))
        wait = 1;
    if (wait > lock_interval)
        wait = lock_interval;
    if (node->children && wait > 0.5)
        wait = 0.5;
    if (node->dirty && wait > node->saved + 1 - now)
        wait = node->saved + 1 - now;
    for (size_t i = 0; i < node->list.count && node->list.in[EMD_WATCH_WAITING] > 0; i++) {
        const struct emd_watch_entry *e = node->list.entry[i];
        if (e->state == EMD_WATCH_WAITING && e->retry > now && e->retry - now < wait)
            wait = e->retry - now;
    }
    if (wait < 0.001)
        wait = 0.001;
    if (poll(fds, n, (int)(wait * 1000) + 1) > 0) {
        if (fds[0].revents)
            take_signals(node);
        if (fds[1].revents)
            take_hints(node);
        for (size_t i = 2; i < n; i++)
            if (fds[i].revents && !hear(node, who[i]))
                end_child(node, who[i]);
    }
    free(fds);
    free(who);
}

static void run(struct node *node)
{
    start_child(node, CLEAN, NULL, 0);
    for (;;) {
        const double now = emd_node_now();
        if (node->stops && !node->children)
            return;
        if (node->aborted > 0 && now - node->aborted > abort_grace)
            for (const struct child *c = node->children; c; c = c->next)
                kill(c->pid, SIGKILL);
        if (!node->stops) {
            if (now >= node->next_scan && !find_child(node, SCAN)) {
                emd_watchlist_begin(&node->list);
                start_child(node, SCAN, NULL, 0);
                node->last_scan = now;
                node->next_scan = now + node->options->watch.poll;
            }
            if (!find_child(node, SCAN) && !find_child(node, CHECK))
                start_check(node);
            start_repacks(node);
            if (node->options->once && is_over(node))
                return;
        }
        if (now - node->lock_checked >= lock_interval)
            target_is_there(node);
        if (node->lock_lost && node->aborted <= 0) {
            /* what runs writes into files of its own; but two of us would do everything twice */
            node->stops += 2;
            node->aborted = now;
            for (const struct child *c = node->children; c; c = c->next)
                kill(c->pid, SIGTERM);
        }
        if (now - node->measured >= lock_interval)
            write_figures(node);
        emd_monitor_reap(&node->monitor, false);
        if (node->dirty && now - node->saved >= 1)
            save_state(node);
        watch_for_stalls(node);
        show(node);
        wait_for_events(node);
    }
}

/* What --once came to. */
static int summarise(const struct node *node)
{
    struct emd_journal_summary sum = {.done = (size_t)node->done};
    for (size_t i = 0; i < node->list.count; i++) {
        const struct emd_watch_entry *e = node->list.entry[i];
        if (e->missing >= 0)
            continue;
        sum.before += e->state == EMD_WATCH_DONE;
        sum.empty += e->state == EMD_WATCH_ASIDE && e->outcome == EMD_OUTCOME_EMPTY;
        sum.failed += e->state == EMD_WATCH_ASIDE && e->outcome != EMD_OUTCOME_EMPTY;
        sum.not_ready += e->state == EMD_WATCH_WAITING || e->state == EMD_WATCH_NEW;
    }
    sum.before -= sum.before < sum.done ? sum.before : sum.done;
    emd_journal_summary(&node->journal, &sum);
    if (sum.failed > 0 || node->source_lost || node->target_lost || node->trouble ||
        node->list.hold >= 0 || node->cannot_fork)
        return EMD_EXIT_FAILED;
    return sum.not_ready > 0 ? EMD_EXIT_NOT_READY : EMD_EXIT_OK;
}

int emd_node_run(const struct emd_node_options *options)
{
    struct node node = {.options = options,
                        .journal = {.json = options->json, .quiet = options->quiet}};
    struct emd_error error;
    sigset_t mask;
    int code = EMD_EXIT_OK;
    emd_watchlist_init(&node.list, &options->watch);
    char *lock = emd_node_path(options->target, EMD_NODE_LOCK);
    const enum emd_status status = emd_lockfile_take(AT_FDCWD, lock, NULL, &node.lock, &error);
    free(lock);
    node.target = open(options->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (status != EMD_OK) {
        if (status == EMD_E_BUSY)
            say_busy(options, &error);
        else
            emd_message_error("%s: %s", options->target, error.text);
        return emd_exit_for(status);
    }
    sigemptyset(&mask);
    const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        sigaddset(&mask, taken[i]);
    sigprocmask(SIG_BLOCK, &mask, &node.old_mask);
    signal(SIGPIPE, SIG_IGN);
    node.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (node.signals < 0) {
        emd_message_error("cannot wait for signals: %s", strerror(errno));
        emd_lockfile_release(node.lock);
        return EMD_EXIT_FAILED;
    }
    node.hints = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    emd_statefile_read(options->target, &node.list, &node.totals);
    emd_watchlist_retry(&node.list); /* a new start looks again at what failed */
    run(&node);
    if (!node.lock_lost)
        save_state(&node);
    write_figures(&node);
    emd_monitor_reap(&node.monitor, true);
    if (options->once)
        code = summarise(&node);
    if (node.aborted > 0 || node.lock_lost)
        code = EMD_EXIT_FAILED;
    emd_progress_end();
    close(node.signals);
    if (node.hints >= 0)
        close(node.hints);
    free(node.trouble);
    free(node.new_trouble);
    emd_watchlist_free(&node.list);
    emd_lockfile_release(node.lock);
    if (node.target >= 0)
        close(node.target);
    return code;
}
