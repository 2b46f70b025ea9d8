/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See pool.h. One mutex and one condition: jobs here take milliseconds, so neither is ever busy. */
#include "base/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum slot_state { SLOT_EMPTY, SLOT_READY, SLOT_RUNNING, SLOT_DONE };

struct slot {
    enum slot_state state;
};

struct emd_pool {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t *thread; /* workers 1 .. threads-1 */
    unsigned threads, started, ready;
    bool quit;

    /* The run under way; NULL between runs. All below is guarded by the mutex. */
    const struct emd_pool_run *run;
    struct slot *slot;
    unsigned slot_capacity;
    size_t next_fetch;   /* first job not yet fetched */
    size_t next_work;    /* first job not yet begun */
    size_t next_deliver; /* first job not yet delivered */
    unsigned running;
    bool failed;
    size_t failed_job;
    struct emd_error error;
};

static void note_failure(struct emd_pool *pool, size_t job, const struct emd_error *error)
{
    if (!pool->failed || job < pool->failed_job) {
        pool->failed = true;
        pool->failed_job = job;
        pool->error = *error;
    }
}

/* Begins the next job if there is one; the mutex is held on entry and exit, not meanwhile. */
static bool work_once(struct emd_pool *pool, unsigned thread)
{
    const struct emd_pool_run *run = pool->run;
    if (!run || pool->failed || thread >= run->threads || pool->next_work >= pool->next_fetch)
        return false;
    size_t job = pool->next_work++;
    unsigned slot = (unsigned)(job % run->slots);
    pool->slot[slot].state = SLOT_RUNNING;
    pool->running++;
    pthread_mutex_unlock(&pool->mutex);
    struct emd_error error = {.status = EMD_OK};
    enum emd_status status = run->work(run->ctx, job, slot, thread, &error);
    pthread_mutex_lock(&pool->mutex);
    pool->running--;
    pool->slot[slot].state = SLOT_DONE;
    if (status != EMD_OK) {
        error.status = status;
        note_failure(pool, job, &error);
    }
    pthread_cond_broadcast(&pool->changed);
    return true;
}

struct worker_argument {
    struct emd_pool *pool;
    unsigned thread;
};

static void *worker_main(void *argument)
{
    struct worker_argument self = *(struct worker_argument *)argument;
    free(argument);
    pthread_mutex_lock(&self.pool->mutex);
    self.pool->ready++;
    pthread_cond_broadcast(&self.pool->changed);
    while (!self.pool->quit)
        if (!work_once(self.pool, self.thread))
            pthread_cond_wait(&self.pool->changed, &self.pool->mutex);
    pthread_mutex_unlock(&self.pool->mutex);
    return NULL;
}

struct emd_pool *emd_pool_new(unsigned threads)
{
    struct emd_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->changed, NULL);
    pool->threads = threads ? threads : 1;
    pool->thread = calloc(pool->threads, sizeof *pool->thread);
    for (unsigned i = 1; pool->thread && i < pool->threads; i++) {
        struct worker_argument *argument = malloc(sizeof *argument);
        if (!argument)
            break;
        *argument = (struct worker_argument){pool, i};
        if (pthread_create(&pool->thread[i], NULL, worker_main, argument) != 0) {
            free(argument);
            break;
        }
        pool->started++;
    }
    if (!pool->thread || pool->started + 1 != pool->threads) {
        emd_pool_free(pool);
        return NULL;
    }
    /* An idle pool holds no lock of any library: the caller may fork. */
    pthread_mutex_lock(&pool->mutex);
    while (pool->ready < pool->started)
        pthread_cond_wait(&pool->changed, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    return pool;
}

void emd_pool_free(struct emd_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->quit = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 1; i <= pool->started; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->slot);
    free(pool->thread);
    free(pool);
}

unsigned emd_pool_threads(const struct emd_pool *pool)
{
    return pool->threads;
}

/* One step of the calling thread, best first: deliver, fetch, work, wait. */
static void caller_step(struct emd_pool *pool)
{
    const struct emd_pool_run *run = pool->run;
    struct emd_error error = {.status = EMD_OK};
    unsigned slot = (unsigned)(pool->next_deliver % run->slots);
    if (pool->slot[slot].state == SLOT_DONE) {
        size_t job = pool->next_deliver;
        if (run->deliver) {
            pthread_mutex_unlock(&pool->mutex);
            enum emd_status status = run->deliver(run->ctx, job, slot, &error);
            pthread_mutex_lock(&pool->mutex);
            if (status != EMD_OK) {
                error.status = status;
                note_failure(pool, job, &error);
            }
        }
        pool->slot[slot].state = SLOT_EMPTY;
        pool->next_deliver++;
        return;
    }
    if (pool->next_fetch < run->count && pool->next_fetch < pool->next_deliver + run->slots) {
        size_t job = pool->next_fetch;
        slot = (unsigned)(job % run->slots);
        enum emd_status status = EMD_OK;
        if (run->fetch) {
            pthread_mutex_unlock(&pool->mutex);
            status = run->fetch(run->ctx, job, slot, &error);
            pthread_mutex_lock(&pool->mutex);
        }
        if (status != EMD_OK) {
            error.status = status;
            note_failure(pool, job, &error);
        }
        pool->slot[slot].state = SLOT_READY;
        pool->next_fetch++;
        pthread_cond_broadcast(&pool->changed);
        return;
    }
    if (!work_once(pool, 0))
        pthread_cond_wait(&pool->changed, &pool->mutex);
}

enum emd_status emd_pool_run(struct emd_pool *pool, const struct emd_pool_run *run,
                             struct emd_error *err)
{
    if (run->slots == 0 || run->threads == 0 || run->threads > pool->threads)
        return emd_fail(err, EMD_E_ARGUMENT, "a pool run needs slots and at most %u threads",
                        pool->threads);
    if (run->count == 0)
        return EMD_OK;
    pthread_mutex_lock(&pool->mutex);
    if (run->slots > pool->slot_capacity) {
        struct slot *grown = realloc(pool->slot, run->slots * sizeof *grown);
        if (!grown) {
            pthread_mutex_unlock(&pool->mutex);
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
        pool->slot = grown;
        pool->slot_capacity = run->slots;
    }
    memset(pool->slot, 0, pool->slot_capacity * sizeof *pool->slot);
    pool->next_fetch = pool->next_work = pool->next_deliver = 0;
    pool->failed = false;
    pool->run = run;
    while (pool->next_deliver < run->count && !pool->failed) {
        caller_step(pool);
        if (run->cancelled && run->cancelled(run->ctx)) {
            struct emd_error error;
            emd_fail(&error, EMD_E_CANCELLED, "stopped on request");
            note_failure(pool, 0, &error);
        }
    }
    while (pool->running > 0)
        pthread_cond_wait(&pool->changed, &pool->mutex);
    pool->run = NULL;
    enum emd_status status = EMD_OK;
    if (pool->failed) {
        status = pool->error.status;
        if (err)
            *err = pool->error;
    }
    pthread_mutex_unlock(&pool->mutex);
    return status;
}
