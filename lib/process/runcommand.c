/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/runcommand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- finding --------------------------------------------------------------------------------- */

static const char *path_of(char *const *environment)
{
    for (char *const *e = environment; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            return *e + 5;
    return "/usr/local/bin:/usr/bin:/bin";
}

static bool can_run(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *emd_run_find(const char *name, char *const *environment)
{
    if (strchr(name, '/'))
        return can_run(name) ? strdup(name) : NULL;
    for (const char *p = path_of(environment);; p++) {
        size_t n = strcspn(p, ":");
        char *path = NULL;
        if (asprintf(&path, "%.*s%s%s", (int)n, p, n ? "/" : "./", name) < 0)
            return NULL;
        if (can_run(path))
            return path;
        free(path);
        p += n;
        if (*p == '\0')
            return NULL;
    }
}

/* ---- the keeper ------------------------------------------------------------------------------ */

static void close_others(int a, int b)
{
    int low = a < b ? a : b, high = a < b ? b : a;
#ifdef SYS_close_range
    if ((low <= 3 || syscall(SYS_close_range, 3u, (unsigned)low - 1, 0u) == 0) &&
        (high <= low + 1 ||
         syscall(SYS_close_range, (unsigned)low + 1, (unsigned)high - 1, 0u) == 0) &&
        syscall(SYS_close_range, (unsigned)high + 1, ~0u, 0u) == 0)
        return;
#endif
    const long most = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < (most > 0 && most < 65536 ? most : 65536); fd++)
        if (fd != low && fd != high)
            close(fd);
}

static void complain(const char *what)
{
    const char *why = strerror(errno);
    dprintf(STDERR_FILENO, "Error: cannot start: %s: %s\n", what, why);
    _exit(127);
}

/* Where memory is short for all, the kernel shall rather end a command than us. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    if (fd >= 0) {
        ssize_t ignored = write(fd, "500", 3);
        (void)ignored;
        close(fd);
    }
}

/* The command itself; never returns. 'program' was found before. */
static void run_command(const struct emd_run_request *request, const char *program, pid_t keeper)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper)
        _exit(127);
    for (int i = 1; i < NSIG; i++)
        if (i != SIGHUP) /* nohup stays nohup */
            signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    int log = open(request->log, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0666);
    if (null < 0 || log < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        complain(request->log);
    if (chdir(request->folder) != 0)
        complain(request->folder);
    close_others(2, 2);
    offer_to_oom_killer();
    execve(program, request->argv, request->environment);
    complain(program);
}

/* Waits for the command, tells, and takes the rest of the group along; never returns. */
static void keep(const struct emd_run_request *request, const char *program, int report,
                 pid_t parent)
{
    sigset_t all, awaited;
    setpgid(0, 0);
    signal(SIGCHLD, SIG_DFL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != parent)
        _exit(1);
    /* A pipe that nobody reads any more must not matter. */
    close_others(report, request->keep >= 0 ? request->keep : report);
    prctl(PR_SET_NAME, "emdprocess-run");
    const pid_t self = getpid();
    const pid_t command = fork();
    if (command == 0)
        run_command(request, program, self);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGUSR1);
    while (command > 0) {
        int wait_status;
        struct rusage used;
        siginfo_t info;
        if (waitpid(command, &wait_status, WNOHANG) == command) {
            getrusage(RUSAGE_CHILDREN, &used);
            struct emd_run_outcome o = {
                .exited = WIFEXITED(wait_status),
                .code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : WTERMSIG(wait_status),
                .cpu_seconds = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                               1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec),
                .peak_bytes = 1024 * (double)used.ru_maxrss};
            ssize_t ignored = write(report, &o, sizeof o);
            (void)ignored;
            break;
        }
        if (sigwaitinfo(&awaited, &info) == SIGUSR1)
            break;
    }
    kill(-self, SIGKILL);
    _exit(1);
}

enum emd_status emd_run_start(const struct emd_run_request *request, struct emd_run *run,
                              struct emd_error *err)
{
    int ends[2];
    char *program = emd_run_find(request->argv[0], request->environment);
    if (!program)
        return emd_fail(err, EMD_E_EMPTY, "there is no program %s on PATH", request->argv[0]);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        free(program);
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot start %s", request->argv[0]);
    }
    const pid_t parent = getpid();
    run->group = fork();
    if (run->group == 0)
        keep(request, program, ends[1], parent);
    const int cause = errno;
    close(ends[1]);
    free(program);
    if (run->group < 0) {
        close(ends[0]);
        return emd_fail_errno(err, EMD_E_IO, cause, "cannot start %s", request->argv[0]);
    }
    setpgid(run->group, run->group); /* whoever comes first: signals need the group at once */
    run->fd = ends[0];
    return EMD_OK;
}

void emd_run_signal(const struct emd_run *run, int number)
{
    kill(-run->group, number);
}

struct emd_run_outcome emd_run_finish(struct emd_run *run)
{
    struct emd_run_outcome o = {.code = -1};
    size_t used = 0;
    while (used < sizeof o) {
        ssize_t n = read(run->fd, (char *)&o + used, sizeof o - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    if (used < sizeof o)
        o = (struct emd_run_outcome){.code = -1};
    close(run->fd);
    run->fd = -1;
    /* What a killed keeper left; until it is waited for, its number stays its group's. */
    emd_run_signal(run, SIGKILL);
    while (waitpid(run->group, NULL, 0) < 0 && errno == EINTR)
        ;
    return o;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t read_proc(const char *pid, const char *name, char *text, size_t capacity)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, capacity - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Field 5 of /proc/PID/stat, behind the name in parentheses. */
static pid_t group_of(const char *pid)
{
    char text[1024];
    if (read_proc(pid, "stat", text, sizeof text) == 0)
        return -1;
    const char *p = strrchr(text, ')');
    for (int field = 2; p && field < 5; field++)
        p = strchr(p + 1, ' ');
    return p ? (pid_t)strtol(p, NULL, 10) : -1;
}

static double memory_of(const char *pid)
{
    char text[4096];
    read_proc(pid, "smaps_rollup", text, sizeof text);
    const char *p = strstr(text, "\nPss:");
    if (p)
        return 1024 * strtod(p + 5, NULL);
    /* before Linux 4.14 */
    char *end = text;
    if (read_proc(pid, "statm", text, sizeof text) == 0)
        return 0;
    strtoull(text, &end, 10);
    return (double)strtoull(end, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

void emd_run_memory(const pid_t groups[], double bytes[], size_t count)
{
    memset(bytes, 0, count * sizeof *bytes);
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        const pid_t group = group_of(entry->d_name);
        for (size_t i = 0; i < count; i++)
            if (groups[i] == group)
                bytes[i] += memory_of(entry->d_name);
    }
    if (dir)
        closedir(dir);
}
