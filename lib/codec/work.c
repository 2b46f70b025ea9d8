/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "codec/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/memory.h"

struct emd_work *emd_work_new(void)
{
    return calloc(1, sizeof(struct emd_work));
}

void emd_work_free(struct emd_work *work)
{
    if (!work)
        return;
    for (int i = 0; i < EMD_CONTEXT_COUNT; i++)
        if (work->context[i].data)
            work->context[i].free(work->context[i].data);
    for (int i = 0; i < EMD_SCRATCH_COUNT; i++)
        free(work->scratch[i].data);
    for (unsigned i = 0; work->helper && i + 1 < work->threads; i++)
        emd_work_free(work->helper[i]);
    free(work->helper);
    if (work->extra_free)
        work->extra_free(work->extra);
    free(work);
}

void emd_work_set_tune(struct emd_work *work, unsigned tune)
{
    work->tune = tune;
}

/* ---- threads for one chunk ---- */

void emd_work_set_threads(struct emd_work *work, unsigned threads)
{
    if (threads < 1)
        threads = 1;
    if (threads > EMD_WORK_THREADS_MAX)
        threads = EMD_WORK_THREADS_MAX;
    if (threads == work->threads)
        return;
    for (unsigned i = 0; work->helper && i + 1 < work->threads; i++)
        emd_work_free(work->helper[i]);
    free(work->helper);
    work->helper = threads > 1 ? calloc(threads - 1, sizeof(struct emd_work *)) : NULL;
    work->threads = threads > 1 && work->helper ? threads : 1;
}

unsigned emd_work_parts(const struct emd_work *work, size_t n)
{
    const size_t worth = n / ((size_t)128 << 10); /* a thread costs some 30 us */
    if (worth < 2 || work->threads < 2)
        return 1;
    return worth < work->threads ? (unsigned)worth : work->threads;
}

struct share {
    pthread_t thread;
    bool running;
    void *ctx;
    unsigned index;
    struct emd_work *work;
    enum emd_status (*part)(void *ctx, unsigned i, struct emd_work *work, struct emd_error *err);
    enum emd_status status;
    struct emd_error err;
};

static void *run_share(void *argument)
{
    struct share *s = argument;
    s->status = s->part(s->ctx, s->index, s->work, &s->err);
    return NULL;
}

enum emd_status emd_work_share(struct emd_work *work, unsigned parts, void *ctx,
                               enum emd_status (*part)(void *ctx, unsigned i, struct emd_work *work,
                                                       struct emd_error *err),
                               struct emd_error *err)
{
    struct share share[EMD_WORK_THREADS_MAX];
    sigset_t all, before;
    if (parts <= 1)
        return part(ctx, 0, work, err);
    /* Signals are for the host's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 1; i < parts; i++) {
        struct share *s = &share[i];
        if (!work->helper[i - 1])
            work->helper[i - 1] = emd_work_new();
        *s = (struct share){.ctx = ctx, .index = i, .work = work->helper[i - 1], .part = part};
        s->running = s->work && pthread_create(&s->thread, NULL, run_share, s) == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    enum emd_status status = part(ctx, 0, work, err);
    for (unsigned i = 1; i < parts; i++) {
        struct share *s = &share[i];
        if (s->running)
            pthread_join(s->thread, NULL);
        else if (s->work) /* no thread to be had: here, then, but with its own memory */
            run_share(s);
        else
            s->status = emd_fail(&s->err, EMD_E_MEMORY, "out of memory");
        if (status == EMD_OK && s->status != EMD_OK)
            status = emd_fail(err, s->status, "%s", s->err.text);
    }
    return status;
}

void *emd_work_scratch(struct emd_work *work, enum emd_scratch slot, size_t n)
{
    if (work->scratch[slot].size < n || !work->scratch[slot].data) {
        free(work->scratch[slot].data);
        work->scratch[slot].data = emd_memory_new(n);
        work->scratch[slot].size = work->scratch[slot].data ? n : 0;
    }
    return work->scratch[slot].data;
}

struct emd_work *emd_work_or_new(struct emd_work *given, struct emd_work **mine)
{
    *mine = given ? NULL : emd_work_new();
    return given ? given : *mine;
}
