/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "common/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "common/message.h"

unsigned emd_crew_threads(const struct emd_crew_budget *budget, unsigned running, unsigned busy,
                          size_t ready)
{
    if (ready == 0 || running >= budget->jobs || busy >= budget->threads)
        return 0;
    const size_t places = budget->jobs - running;
    const unsigned share = (budget->threads - busy) / (unsigned)(ready < places ? ready : places);
    return share ? share : 1;
}

size_t emd_crew_memory(const struct emd_crew_budget *budget, unsigned threads)
{
    return budget->memory / budget->threads * threads;
}

pid_t emd_crew_fork(int *fd)
{
    int ends[2];
    const pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    fflush(stdout);
    const pid_t pid = fork();
    const int error = errno;
    if (pid == 0) {
        close(ends[0]);
        *fd = ends[1];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(EMD_EXIT_FAILED);
        emd_memory_unshare();
        return 0;
    }
    close(ends[1]);
    *fd = ends[0];
    if (pid < 0) {
        close(ends[0]);
        errno = error;
    }
    return pid;
}

void emd_crew_send(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        const ssize_t written = write(fd, p, n);
        if (written < 0 && errno != EINTR)
            _exit(EMD_EXIT_FAILED);
        if (written > 0) {
            p += written;
            n -= (size_t)written;
        }
    }
}
