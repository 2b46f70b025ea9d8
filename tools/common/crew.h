/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Several files at once within one budget of threads and memory. HDF5 has one global state, so each
 * file gets a process of its own, a fork that says through a pipe how it goes. */
#ifndef EMD_TOOLS_CREW_H
#define EMD_TOOLS_CREW_H

#include <stddef.h>
#include <sys/types.h>

struct emd_crew_budget {
    unsigned jobs, threads; /* processes and threads, at most */
    size_t memory;          /* bytes */
};

/* Threads for one more process, while 'running' of them use 'busy' threads and 'ready' files wait,
 * this one included: a thread each where there are many files, all of them for a single one. 0: it
 * has to wait. */
unsigned emd_crew_threads(const struct emd_crew_budget *budget, unsigned running, unsigned busy,
                          size_t ready);

/* The memory that goes with so many threads. */
size_t emd_crew_memory(const struct emd_crew_budget *budget, unsigned threads);

/* fork with a pipe: 0 in the child, which writes to *fd and dies with its parent, the child's
 * number in the parent, which reads from *fd; -1 with errno. The caller must have no threads. */
pid_t emd_crew_fork(int *fd);

/* Writes all of it; ends the process where nobody reads any more. */
void emd_crew_send(int fd, const void *data, size_t n);

#endif
