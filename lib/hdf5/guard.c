/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See guard.h. */
#include "hdf5/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

enum { DEFAULT_SECONDS = 60, POLL_MS = 100 };

/* The sanitizers' own tables would count as allocations. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What the child may allocate beyond its file's size: HDF5's caches and the copy's tables fit in it
 * many times. */
static const uint64_t memory_allowance = UINT64_C(1) << 30;

/* False where a limit as low was there already. */
static bool limit(int resource, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0 || (now.rlim_cur != RLIM_INFINITY && now.rlim_cur <= most))
        return false;
    now.rlim_cur = most;
    return setrlimit(resource, &now) == 0;
}

/* In the child: the seconds that it has, each time anew; 0 in any other process. */
static unsigned child_seconds;

static uint64_t processor_seconds(void)
{
    struct timespec used = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec;
}

void emd_guard_progress(void)
{
    static uint64_t told = UINT64_MAX; /* when the limit was set last */
    if (child_seconds == 0)
        return;
    const uint64_t now = processor_seconds();
    struct rlimit limits;
    if (now == told || getrlimit(RLIMIT_CPU, &limits) != 0)
        return;
    told = now;
    const rlim_t most = (rlim_t)now + 1 + child_seconds; /* the second that has begun */
    if (limits.rlim_cur == RLIM_INFINITY || limits.rlim_cur >= most)
        return;
    limits.rlim_cur =
        limits.rlim_max != RLIM_INFINITY && limits.rlim_max < most ? limits.rlim_max : most;
    setrlimit(RLIMIT_CPU, &limits);
}

/* What counts towards RLIMIT_DATA already: the stacks of the parent's threads are in it, 8 MiB
 * each. Sixth number of /proc/self/statm, in pages; 0 where there is none. */
static uint64_t data_in_use(void)
{
    char text[256];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *p = text;
    for (int field = 1; p && field < 6; field++)
        if ((p = strchr(p, ' ')))
            p++;
    return p ? (uint64_t)strtoull(p, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void run_child(const struct emd_guard *guard, pid_t parent, int fd)
{
    const unsigned seconds = guard->seconds ? guard->seconds : DEFAULT_SECONDS;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    emd_memory_unshare();
    /* The parent's handlers clean up what is the parent's; a crash shall be a plain death. */
    static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGSEGV,
                                   SIGBUS, SIGABRT, SIGFPE, SIGXCPU};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        signal(defaults[i], SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    limit(RLIMIT_CORE, 0);
    /* A lower limit of the user's own is one for all the work. */
    if (limit(RLIMIT_CPU, seconds))
        child_seconds = seconds;
    if (!SANITIZED)
        limit(RLIMIT_DATA, (rlim_t)(data_in_use() + memory_allowance + 4 * guard->file_bytes));
    /* The allocator's last words would go to the user's terminal. */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
    guard->work(guard->ctx, guard->answer);
    _exit(write(fd, guard->answer, guard->answer_bytes) == (ssize_t)guard->answer_bytes ? 0 : 1);
}

/* True when the whole answer has come; false where the child died before, or the caller cancelled.
 */
static bool await_answer(int fd, const struct emd_guard *guard, bool *cancelled)
{
    size_t got = 0;
    while (got < guard->answer_bytes) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        *cancelled = guard->cancelled && guard->cancelled(guard->cancel_ctx);
        if (*cancelled)
            return false;
        if (poll(&wait, 1, POLL_MS) <= 0)
            continue;
        ssize_t n = read(fd, (char *)guard->answer + got, guard->answer_bytes - got);
        if (n == 0)
            return false;
        if (n > 0)
            got += (size_t)n;
    }
    return true;
}

/* Signals that a process brings upon itself; SIGKILL is the kernel's that has no memory left. */
static bool is_crash(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGABRT || number == SIGFPE ||
           number == SIGILL || number == SIGTRAP || number == SIGSYS;
}

enum emd_status emd_guard_run(const struct emd_guard *guard, struct emd_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot start a process");
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0)
        run_child(guard, parent, ends[1]);
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot start a process");
    }
    bool cancelled = false;
    const bool answered = await_answer(ends[0], guard, &cancelled);
    close(ends[0]);
    if (cancelled)
        kill(child, SIGKILL);
    int end = 0;
    while (waitpid(child, &end, 0) < 0 && errno == EINTR)
        ;
    if (answered)
        return EMD_OK;
    if (cancelled)
        return emd_fail(err, EMD_E_CANCELLED, "stopped on request");
    if (!WIFSIGNALED(end))
        return emd_fail(err, EMD_E_CORRUPT, "the file is damaged: HDF5 breaks off on it");
    if (WTERMSIG(end) == SIGXCPU)
        return emd_fail(err, EMD_E_CORRUPT,
                        "takes too long: HDF5 came to no end within %u s over one of its objects",
                        guard->seconds ? guard->seconds : DEFAULT_SECONDS);
    if (!is_crash(WTERMSIG(end)))
        return emd_fail(err, EMD_E_IO, "the process that asked HDF5 was ended from outside (%s)",
                        strsignal(WTERMSIG(end)));
    return emd_fail(err, EMD_E_CORRUPT, "the file is damaged: HDF5 crashes on it (%s)",
                    strsignal(WTERMSIG(end)));
}
