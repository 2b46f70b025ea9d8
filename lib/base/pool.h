/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* An ordered worker pool: jobs run on several threads, their results come back in order.
 *
 * A run has jobs 0 .. count-1. Each passes through up to three callbacks:
 *   fetch    on the calling thread, in job order (for input that only one thread may touch);
 *   work     on any thread, jobs in parallel;
 *   deliver  on the calling thread, in job order (for the one thread that owns HDF5).
 * The calling thread delivers what is ready, fetches ahead, and works itself when there is nothing
 * better to do: a pool of N threads keeps N threads busy in all, and a pool of one starts none.
 *
 * Memory is bounded by slots: job i uses slot i % slots, and is not begun before job i - slots has
 * been delivered. The callbacks keep their buffers by slot (what lives from fetch to deliver) or by
 * thread (scratch of work). */
#ifndef EMD_BASE_POOL_H
#define EMD_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct emd_pool;

/* A pool of 'threads' >= 1 threads, the caller's included. NULL if threads cannot be started.
 * Between runs its threads hold no lock, so that the process may fork. */
struct emd_pool *emd_pool_new(unsigned threads);
void emd_pool_free(struct emd_pool *pool);
unsigned emd_pool_threads(const struct emd_pool *pool);

struct emd_pool_run {
    size_t count;     /* jobs */
    unsigned threads; /* threads that may work, the caller's (thread 0) included: <= the pool's */
    unsigned slots;   /* jobs in flight, >= 1 */
    void *ctx;        /* for the callbacks */
    enum emd_status (*fetch)(void *ctx, size_t job, unsigned slot, struct emd_error *err);
    enum emd_status (*work)(void *ctx, size_t job, unsigned slot, unsigned thread,
                            struct emd_error *err);
    enum emd_status (*deliver)(void *ctx, size_t job, unsigned slot, struct emd_error *err);
    bool (*cancelled)(void *ctx); /* asked on the calling thread between steps; may be NULL */
};

/* Runs all jobs; 'fetch' and 'deliver' may be NULL. The first failure (in job order among those
 * seen) stops the run and is returned; running jobs are waited for, so that no callback is under
 * way after the return. */
enum emd_status emd_pool_run(struct emd_pool *pool, const struct emd_pool_run *run,
                             struct emd_error *err);

#endif
