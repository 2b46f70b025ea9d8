/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/base/pool: order, bounds on jobs in flight, failures, cancelling; run under TSan too. */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/pool.h"

enum { JOBS = 500, SLOTS = 5 };

struct trial {
    size_t fetched, delivered; /* calling thread only */
    size_t value[SLOTS];       /* what work left for deliver */
    atomic_uint running, most_running, most_thread;
    size_t fail_work, fail_deliver, fail_fetch, cancel_after;
    bool in_order;
};

static enum emd_status fetch(void *ctx, size_t job, unsigned slot, struct emd_error *err)
{
    struct trial *t = ctx;
    if (job != t->fetched++ || job >= t->delivered + SLOTS)
        t->in_order = false;
    t->value[slot] = job * 3;
    if (job == t->fail_fetch)
        return emd_fail(err, EMD_E_IO, "fetch %zu", job);
    return EMD_OK;
}

static enum emd_status work(void *ctx, size_t job, unsigned slot, unsigned thread,
                            struct emd_error *err)
{
    struct trial *t = ctx;
    unsigned running = atomic_fetch_add(&t->running, 1) + 1;
    unsigned most = atomic_load(&t->most_running);
    while (running > most && !atomic_compare_exchange_weak(&t->most_running, &most, running))
        ;
    most = atomic_load(&t->most_thread);
    while (thread > most && !atomic_compare_exchange_weak(&t->most_thread, &most, thread))
        ;
    if (job % 7 == 0)
        usleep(300); /* out of step on purpose */
    t->value[slot] += 1;
    atomic_fetch_sub(&t->running, 1);
    if (job == t->fail_work)
        return emd_fail(err, EMD_E_CORRUPT, "work %zu", job);
    return EMD_OK;
}

static enum emd_status deliver(void *ctx, size_t job, unsigned slot, struct emd_error *err)
{
    struct trial *t = ctx;
    if (job != t->delivered++ || t->value[slot] != job * 3 + 1)
        t->in_order = false;
    if (job == t->fail_deliver)
        return emd_fail(err, EMD_E_VERIFY, "deliver %zu", job);
    return EMD_OK;
}

static bool cancelled(void *ctx)
{
    struct trial *t = ctx;
    return t->delivered >= t->cancel_after;
}

static const struct trial plain = {.fail_work = SIZE_MAX,
                                   .fail_deliver = SIZE_MAX,
                                   .fail_fetch = SIZE_MAX,
                                   .cancel_after = SIZE_MAX,
                                   .in_order = true};

static enum emd_status run(struct trial *t, unsigned pool_threads, unsigned threads,
                           struct emd_error *err)
{
    struct emd_pool *pool = emd_pool_new(pool_threads);
    ck_assert_ptr_nonnull(pool);
    struct emd_pool_run r = {.count = JOBS,
                             .threads = threads,
                             .slots = SLOTS,
                             .ctx = t,
                             .fetch = fetch,
                             .work = work,
                             .deliver = deliver,
                             .cancelled = cancelled};
    enum emd_status status = emd_pool_run(pool, &r, err);
    ck_assert_uint_eq(atomic_load(&t->running), 0);
    emd_pool_free(pool);
    return status;
}

START_TEST(delivers_in_order)
{
    struct trial t = plain;
    ck_assert_int_eq(run(&t, (unsigned)_i, (unsigned)_i, NULL), EMD_OK);
    ck_assert(t.in_order);
    ck_assert_uint_eq(t.delivered, JOBS);
    ck_assert_uint_le(atomic_load(&t.most_running), (unsigned)_i);
}
END_TEST

START_TEST(keeps_to_the_threads_of_the_run)
{
    struct trial t = plain;
    ck_assert_int_eq(run(&t, 4, 2, NULL), EMD_OK);
    ck_assert_uint_le(atomic_load(&t.most_thread), 1);
}
END_TEST

START_TEST(first_failure_ends_the_run)
{
    struct emd_error err;
    struct trial t = plain;
    t.fail_work = 100;
    ck_assert_int_eq(run(&t, 3, 3, &err), EMD_E_CORRUPT);
    ck_assert_str_eq(err.text, "work 100");
    ck_assert_uint_le(t.delivered, 101 + SLOTS);
    t = plain;
    t.fail_deliver = 50;
    ck_assert_int_eq(run(&t, 3, 3, &err), EMD_E_VERIFY);
    t = plain;
    t.fail_fetch = 20;
    ck_assert_int_eq(run(&t, 3, 3, &err), EMD_E_IO);
}
END_TEST

START_TEST(cancels)
{
    struct trial t = plain;
    t.cancel_after = 10;
    ck_assert_int_eq(run(&t, 2, 2, NULL), EMD_E_CANCELLED);
    ck_assert_uint_eq(t.delivered, 10);
}
END_TEST

START_TEST(refuses_impossible_runs)
{
    struct emd_pool *pool = emd_pool_new(2);
    struct emd_pool_run r = {.count = 1, .threads = 3, .slots = 1, .work = work};
    ck_assert_int_eq(emd_pool_run(pool, &r, NULL), EMD_E_ARGUMENT);
    r.threads = 1;
    r.slots = 0;
    ck_assert_int_eq(emd_pool_run(pool, &r, NULL), EMD_E_ARGUMENT);
    r.slots = 1;
    r.count = 0;
    ck_assert_int_eq(emd_pool_run(pool, &r, NULL), EMD_OK);
    emd_pool_free(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, delivers_in_order, 1, 5);
    tcase_add_test(tc, keeps_to_the_threads_of_the_run);
    tcase_add_test(tc, first_failure_ends_the_run);
    tcase_add_test(tc, cancels);
    tcase_add_test(tc, refuses_impossible_runs);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
