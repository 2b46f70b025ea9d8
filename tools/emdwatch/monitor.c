/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See monitor.h. */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/safefile.h"
#include "common/message.h"

enum {
    WORDS = 64,    /* of a command, its added arguments included */
    LONGEST = 600, /* seconds that a command may take */
    AT_ONCE = 32   /* commands; more wait for their turn */
};

static void be_command(const char *command, const char *file, const char *about, const void *mask)
{
    char *words[WORDS], *text = strdup(command), *rest = NULL;
    size_t n = 0;
    for (char *word = text ? strtok_r(text, " \t", &rest) : NULL; word && n + 3 < WORDS;
         word = strtok_r(NULL, " \t", &rest))
        words[n++] = word;
    words[n] = (char *)(uintptr_t)file;
    words[n + 1] = (char *)(uintptr_t)about;
    words[n + 2] = NULL;
    const int null = open("/dev/null", O_RDONLY);
    if (n == 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        _exit(127);
    if (null > STDERR_FILENO)
        close(null);
    setpgid(0, 0);
    static const int defaults[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        signal(defaults[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    alarm(LONGEST); /* outlives exec */
    execvp(words[0], words);
    emd_message_error("%s: cannot be run: %s", words[0], strerror(errno));
    _exit(127);
}

void emd_monitor_run(struct emd_monitor *monitor, const char *command, const char *file,
                     const char *about, const void *mask)
{
    if (!command)
        return;
    while (monitor->count >= AT_ONCE) {
        if (waitpid(monitor->commands[0], NULL, 0) < 0 && errno == EINTR)
            continue;
        monitor->commands[0] = monitor->commands[--monitor->count];
    }
    if (!monitor->commands && !(monitor->commands = calloc(AT_ONCE, sizeof *monitor->commands)))
        return;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0)
        be_command(command, file, about, mask);
    if (pid > 0)
        monitor->commands[monitor->count++] = pid;
    else
        emd_message_warning("%s: cannot be run: %s", command, strerror(errno));
}

void emd_monitor_reap(struct emd_monitor *monitor, bool all)
{
    for (size_t i = 0; i < monitor->count;) {
        const pid_t ended = waitpid(monitor->commands[i], NULL, all ? 0 : WNOHANG);
        if (ended == 0)
            i++;
        else if (ended > 0 || errno != EINTR)
            monitor->commands[i] = monitor->commands[--monitor->count];
    }
    if (all) {
        free(monitor->commands);
        *monitor = (struct emd_monitor){.commands = NULL};
    }
}

static bool print_figures(FILE *f, const struct emd_monitor_figures *m)
{
    const struct {
        const char *state;
        size_t files;
    } state[] = {{"waiting", m->waiting},
                 {"running", m->running},
                 {"done", m->done},
                 {"failed", m->failed},
                 {"stuck", m->stuck}};
    fputs("# HELP emdwatch_files Movies below RAW by what is known of them.\n"
          "# TYPE emdwatch_files gauge\n",
          f);
    for (size_t i = 0; i < sizeof state / sizeof state[0]; i++)
        fprintf(f, "emdwatch_files{state=\"%s\"} %zu\n", state[i].state, state[i].files);
    fprintf(f,
            "# HELP emdwatch_done_files_total Movies compressed.\n"
            "# TYPE emdwatch_done_files_total counter\n"
            "emdwatch_done_files_total %" PRIu64 "\n"
            "# HELP emdwatch_raw_bytes_total Their bytes before.\n"
            "# TYPE emdwatch_raw_bytes_total counter\n"
            "emdwatch_raw_bytes_total %" PRIu64 "\n"
            "# HELP emdwatch_stored_bytes_total Their bytes after.\n"
            "# TYPE emdwatch_stored_bytes_total counter\n"
            "emdwatch_stored_bytes_total %" PRIu64 "\n"
            "# HELP emdwatch_work_seconds_total Time that was spent on them.\n"
            "# TYPE emdwatch_work_seconds_total counter\n"
            "emdwatch_work_seconds_total %.3f\n",
            m->files, m->raw_bytes, m->stored_bytes, m->seconds);
    fprintf(f,
            "# HELP emdwatch_raw_readable Whether RAW can be read.\n"
            "# TYPE emdwatch_raw_readable gauge\n"
            "emdwatch_raw_readable %d\n"
            "# HELP emdwatch_compressed_writable Whether COMPRESSED is there and can be written.\n"
            "# TYPE emdwatch_compressed_writable gauge\n"
            "emdwatch_compressed_writable %d\n"
            "# HELP emdwatch_last_scan_timestamp_seconds When RAW was last read as a whole.\n"
            "# TYPE emdwatch_last_scan_timestamp_seconds gauge\n"
            "emdwatch_last_scan_timestamp_seconds %.0f\n",
            !m->source_lost, !m->target_lost && !m->target_full, m->scanned);
    return !ferror(f);
}

enum emd_status emd_monitor_write(const char *path, const struct emd_monitor_figures *figures,
                                  struct emd_error *err)
{
    struct emd_safefile *file;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    bool printed = f && print_figures(f, figures);
    printed = f && fclose(f) == 0 && printed;
    enum emd_status status = printed ? emd_safefile_create(path, &file, err)
                                     : emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK && emd_pwrite_all(emd_safefile_fd(file), text, n, 0) != 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", path);
        emd_safefile_discard(file);
    } else if (status == EMD_OK) {
        status = emd_safefile_commit(&file, 1, true, err);
    }
    free(text);
    return status;
}
