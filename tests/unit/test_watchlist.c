/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/watch: the state machine of emdwatch under a clock of ours, names, the state file. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "watch/statefile.h"
#include "watch/watchlist.h"

static struct emd_watchlist list;
static double now;
static const struct emd_watch_id none;
static const struct emd_watch_settings usual = {.settle = 180, .poll = 60};

static void setup(void)
{
    emd_watchlist_init(&list, &usual);
    now = 1000;
}

static void teardown(void)
{
    emd_watchlist_free(&list);
}

static struct emd_watch_id id(uint64_t size)
{
    return (struct emd_watch_id){.device = 1, .inode = 7, .size = size, .mtime_s = 5};
}

static struct emd_watch_entry *see(const char *name, uint64_t size, const struct emd_watch_id *out)
{
    const struct emd_watch_id source = id(size);
    char *output = emd_watch_output_name(name);
    ck_assert(emd_watchlist_see(&list, name, output, &source, out, now, NULL) == EMD_OK);
    free(output);
    return emd_watchlist_find(&list, name);
}

/* A round that sees one file. */
static struct emd_watch_entry *look(const char *name, uint64_t size, const struct emd_watch_id *out)
{
    emd_watchlist_begin(&list);
    struct emd_watch_entry *e = see(name, size, out);
    emd_watchlist_end(&list, true, now);
    return e;
}

START_TEST(settles_by_time_and_looks)
{
    struct emd_watch_entry *e = look("a", 10, &none);
    ck_assert_ptr_null(emd_watchlist_due(&list, now));
    now += 500; /* long, but only two looks */
    look("a", 10, &none);
    ck_assert_ptr_null(emd_watchlist_due(&list, now));
    now += 1;
    look("a", 10, &none);
    ck_assert_ptr_eq(emd_watchlist_due(&list, now), e);
    now += 60; /* it grows again: everything from the start */
    look("a", 11, &none);
    ck_assert_ptr_null(emd_watchlist_due(&list, now));
    for (int i = 0; i < 3; i++) {
        now += 59;
        look("a", 11, &none);
    }
    ck_assert_ptr_null(emd_watchlist_due(&list, now));
    now += 3;
    ck_assert_ptr_eq(emd_watchlist_due(&list, now), e);
    ck_assert(e->changed);
}
END_TEST

/* A source that is due. */
static struct emd_watch_entry *settled(const char *name)
{
    for (int i = 0; i < 4; i++) {
        look(name, 10, &none);
        now += 61;
    }
    struct emd_watch_entry *e = emd_watchlist_due(&list, now);
    ck_assert_ptr_nonnull(e);
    return e;
}

START_TEST(backs_off)
{
    struct emd_watch_entry *e = settled("a");
    double delay = 60;
    for (int i = 0; i < 12; i++) {
        emd_watchlist_start(&list, e);
        ck_assert_ptr_null(emd_watchlist_due(&list, now));
        /* said once, not at every try */
        ck_assert(emd_watchlist_finish(&list, e, EMD_OUTCOME_INCOMPLETE, "short", now) == (i == 0));
        ck_assert_ptr_null(emd_watchlist_due(&list, now + delay - 1));
        ck_assert_ptr_eq(emd_watchlist_due(&list, now + delay + 1), e);
        now += delay + 1;
        delay = delay * 2 < 3600 ? delay * 2 : 3600;
    }
}
END_TEST

START_TEST(failures_wait_for_a_change)
{
    struct emd_watch_entry *e = settled("a");
    emd_watchlist_start(&list, e);
    /* one look is no verdict: a second one some time later is */
    ck_assert(!emd_watchlist_finish(&list, e, EMD_OUTCOME_DAMAGED, "bad", now));
    ck_assert_ptr_null(emd_watchlist_due(&list, now));
    now += 61;
    ck_assert_ptr_eq(emd_watchlist_due(&list, now), e);
    emd_watchlist_start(&list, e);
    ck_assert(emd_watchlist_finish(&list, e, EMD_OUTCOME_DAMAGED, "bad", now));
    for (int i = 0; i < 100; i++) {
        now += 3600;
        look("a", 10, &none);
        ck_assert_ptr_null(emd_watchlist_due(&list, now));
    }
    emd_watchlist_retry(&list); /* asked for, or a new start */
    ck_assert_ptr_eq(emd_watchlist_due(&list, now), e);
    emd_watchlist_start(&list, e);
    ck_assert(!emd_watchlist_finish(&list, e, EMD_OUTCOME_DAMAGED, "bad", now));
    look("a", 12, &none);
    ck_assert_int_eq(e->state, EMD_WATCH_WAITING);
    ck_assert_ptr_null(e->why);
}
END_TEST

START_TEST(trouble_between_two_verdicts)
{
    struct emd_watch_entry *e = settled("a");
    static const enum emd_watch_outcome outcomes[] = {EMD_OUTCOME_DAMAGED, EMD_OUTCOME_TROUBLE,
                                                      EMD_OUTCOME_DAMAGED};
    for (size_t i = 0; i < 3; i++) {
        emd_watchlist_start(&list, e);
        emd_watchlist_finish(&list, e, outcomes[i], "why", now);
        ck_assert_int_eq(e->state, EMD_WATCH_WAITING);
        now += 3600;
    }
}
END_TEST

START_TEST(doubts_end_after_ten_times_the_settle_time)
{
    struct emd_watch_entry *e = settled("a");
    ck_assert(!e->doubt_over);
    emd_watchlist_start(&list, e);
    emd_watchlist_finish(&list, e, EMD_OUTCOME_DOUBTFUL, "zeros", now);
    ck_assert_ptr_null(emd_watchlist_due(&list, 1000 + 1799));
    ck_assert_ptr_eq(emd_watchlist_due(&list, 1000 + 1801), e);
    ck_assert(e->doubt_over);
}
END_TEST

START_TEST(a_bad_target_holds_everything_but_one_try)
{
    look("a", 10, &none);
    struct emd_watch_entry *a, *b;
    for (int i = 0; i < 4; i++) {
        emd_watchlist_begin(&list);
        a = see("a", 10, &none);
        b = see("b", 10, &none);
        emd_watchlist_end(&list, true, now);
        now += 100;
    }
    emd_watchlist_start(&list, a);
    ck_assert_ptr_eq(emd_watchlist_due(&list, now), b);
    emd_watchlist_finish(&list, a, EMD_OUTCOME_TARGET, "full", now);
    ck_assert_ptr_null(emd_watchlist_due(&list, now + 59));
    now += 61;
    ck_assert_ptr_eq(emd_watchlist_due(&list, now), a);
    emd_watchlist_start(&list, a);
    ck_assert_ptr_null(emd_watchlist_due(&list, now));
    emd_watchlist_finish(&list, a, EMD_OUTCOME_DONE, NULL, now);
    ck_assert_ptr_eq(emd_watchlist_due(&list, now), b);
}
END_TEST

START_TEST(outputs_are_asked_when_they_change)
{
    const struct emd_watch_id out = {.inode = 3, .size = 4},
                              renumbered = {.device = 2, .inode = 9, .size = 4},
                              other = {.inode = 4, .size = 4, .ctime_ns = 1};
    struct emd_watch_entry *e = look("a", 10, &out);
    ck_assert_int_eq(e->state, EMD_WATCH_CHECKING);
    emd_watchlist_checked(&list, e, true, false, now);
    ck_assert_int_eq(e->state, EMD_WATCH_DONE);
    look("a", 10, &out);
    ck_assert_int_eq(e->state, EMD_WATCH_DONE);
    look("a", 10, &renumbered); /* a share that invents numbers */
    ck_assert_int_eq(e->state, EMD_WATCH_DONE);
    look("a", 10, &other);
    ck_assert_int_eq(e->state, EMD_WATCH_CHECKING);
    emd_watchlist_checked(&list, e, false, true, now);
    ck_assert(e->replace);
    look("a", 10, &none); /* removed: to be made again */
    ck_assert_int_eq(e->state, EMD_WATCH_WAITING);
    ck_assert(!e->replace);
}
END_TEST

START_TEST(rivals)
{
    for (int i = 0; i < 4; i++) {
        emd_watchlist_begin(&list);
        see("a b", 1, &none);
        see("a_b", 2, &none);
        see("c", 3, &none);
        emd_watchlist_end(&list, true, now);
        now += 100;
    }
    struct emd_watch_entry *x = emd_watchlist_find(&list, "a b");
    struct emd_watch_entry *y = emd_watchlist_find(&list, "a_b");
    ck_assert_ptr_eq(x->rival, y);
    ck_assert_ptr_eq(y->rival, x);
    ck_assert_str_eq(emd_watchlist_due(&list, now)->name, "c");
    emd_watchlist_begin(&list); /* one is renamed */
    see("a_b", 2, &none);
    see("c", 3, &none);
    emd_watchlist_end(&list, true, now);
    ck_assert_ptr_null(y->rival);
}
END_TEST

START_TEST(gone_and_forgotten)
{
    struct emd_watch_entry *e = look("a", 10, &none);
    emd_watchlist_begin(&list);
    emd_watchlist_end(&list, false, now += 10); /* a folder could not be read */
    ck_assert(e->missing < 0);
    emd_watchlist_begin(&list);
    emd_watchlist_end(&list, true, now += 10);
    ck_assert(e->missing >= 0);
    look("a", 10, &none); /* back: known */
    ck_assert(e->missing < 0);
    ck_assert_double_eq(e->since, 1000);
    emd_watchlist_begin(&list);
    emd_watchlist_end(&list, true, now += 10);
    emd_watchlist_begin(&list);
    emd_watchlist_end(&list, true, now += 3700);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_ptr_null(emd_watchlist_find(&list, "a"));
}
END_TEST

START_TEST(many_names)
{
    char name[32];
    for (int round = 0; round < 3; round++) {
        emd_watchlist_begin(&list);
        for (int i = 0; i < 5000; i++) {
            snprintf(name, sizeof name, "folder/%d.emd", i * 7919 % 5000);
            see(name, (uint64_t)i, &none);
        }
        emd_watchlist_end(&list, true, now);
    }
    ck_assert_uint_eq(list.count, 5000);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "folder/%d.emd", i);
        ck_assert_str_eq(emd_watchlist_find(&list, name)->name, name);
    }
}
END_TEST

START_TEST(state_survives)
{
    char folder[] = "/tmp/emd_state_XXXXXX", path[64];
    struct emd_watch_totals totals = {.files = 3, .raw_bytes = 12, .stored_bytes = 5, .seconds = 2};
    struct emd_error err = {0};
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%s", folder, EMD_STATE_NAME);
    static const char odd[] = "a \"b\"\n\xff%41/\xc3\xa9.emd";
    struct emd_watch_entry *e = settled(odd);
    for (int i = 0; i < 2; i++) {
        emd_watchlist_start(&list, e);
        emd_watchlist_finish(&list, e, EMD_OUTCOME_DAMAGED, "bad \xff thing", now);
    }
    ck_assert_msg(emd_statefile_write(folder, &list, &totals, &err) == EMD_OK, "%s", err.text);
    emd_watchlist_free(&list);
    emd_watchlist_init(&list, &usual);
    memset(&totals, 0, sizeof totals);
    emd_statefile_read(folder, &list, &totals);
    ck_assert_uint_eq(totals.files, 3);
    e = emd_watchlist_find(&list, odd);
    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(e->state, EMD_WATCH_ASIDE);
    ck_assert_int_eq(e->outcome, EMD_OUTCOME_DAMAGED);
    ck_assert_str_eq(e->why, "bad \xff thing");
    emd_watchlist_retry(&list);
    ck_assert_ptr_null(emd_watchlist_due(&list, now + 1e6)); /* not before it is seen */
    emd_watchlist_set(&list, e, EMD_WATCH_ASIDE);
    look(odd, 10, &none);
    ck_assert_int_eq(e->state, EMD_WATCH_ASIDE);
    look(odd, 11, &none);
    ck_assert_int_eq(e->state, EMD_WATCH_WAITING);

    /* rubbish in its place is as good as nothing */
    static const char *const rubbish[] = {
        "",
        "{",
        "[]",
        "{\"entries\":[1,{},{\"name\":\"x\"}]}",
        "{\"entries\":[{\"name\":\"../x.emd\",\"id\":[1,1,1,1,1,1,1],"
        "\"state\":\"waiting\",\"since\":1}]}",
        "{\"entries\":7,\"files\":\"x\",\"version\":{}}"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        FILE *f = fopen(path, "w");
        fputs(rubbish[i], f);
        fclose(f);
        emd_watchlist_free(&list);
        emd_watchlist_init(&list, &usual);
        emd_statefile_read(folder, &list, &totals);
        ck_assert_uint_eq(list.count, 0);
    }
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch");
    TCase *tests = tcase_create("watchlist");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, settles_by_time_and_looks);
    tcase_add_test(tests, backs_off);
    tcase_add_test(tests, failures_wait_for_a_change);
    tcase_add_test(tests, trouble_between_two_verdicts);
    tcase_add_test(tests, doubts_end_after_ten_times_the_settle_time);
    tcase_add_test(tests, a_bad_target_holds_everything_but_one_try);
    tcase_add_test(tests, outputs_are_asked_when_they_change);
    tcase_add_test(tests, rivals);
    tcase_add_test(tests, gone_and_forgotten);
    tcase_add_test(tests, many_names);
    tcase_add_test(tests, state_survives);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
