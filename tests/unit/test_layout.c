/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/repack without files: transpose, box scatter, strip store and plans, against plain loops. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repack/box.h"
#include "repack/plan.h"
#include "repack/strips.h"
#include "repack/transpose.h"

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t within(uint64_t low, uint64_t high)
{
    return low + next_random() % (high - low + 1);
}

START_TEST(transpose_equals_the_plain_loop)
{
    static const size_t items[] = {1, 2, 4, 8, 3, 12};
    for (int round = 0; round < 200; round++) {
        size_t item = items[round % 6], nx = within(0, 150), nk = within(1, 150);
        size_t stride = nk + within(0, 9), n = (nx * stride + 1) * item;
        unsigned char *src = malloc(n), *a = malloc(nx * nk * item + 1),
                      *b = malloc(nx * nk * item + 1);
        void **to_a = malloc(nk * sizeof *to_a), **to_b = malloc(nk * sizeof *to_b);
        for (size_t i = 0; i < n; i++)
            src[i] = (unsigned char)next_random();
        for (size_t k = 0; k < nk; k++) {
            to_a[k] = a + k * nx * item;
            to_b[k] = b + k * nx * item;
        }
        emd_transpose(item, src, stride, to_a, nx, nk);
        emd_transpose_scalar(item, src, stride, to_b, nx, nk);
        ck_assert_msg(memcmp(a, b, nx * nk * item) == 0, "item %zu, %zu x %zu", item, nx, nk);
        free(src);
        free(a);
        free(b);
        free(to_a);
        free(to_b);
    }
}
END_TEST

/* Value of the element at a point: its own number in the dataset. */
static uint32_t number_of(unsigned rank, const uint64_t *dims, const uint64_t *point)
{
    uint64_t n = 0;
    for (unsigned a = 0; a < rank; a++)
        n = n * dims[a] + point[a];
    return (uint32_t)n;
}

static void unravel(unsigned rank, const uint64_t *shape, uint64_t i, uint64_t *point)
{
    for (unsigned a = rank; a-- > 0;) {
        point[a] = i % shape[a];
        i /= shape[a];
    }
}

START_TEST(scatter_puts_every_element_in_its_place)
{
    for (int round = 0; round < 600; round++) {
        unsigned rank = (unsigned)within(1, 4);
        bool compact = round & 1, gaps = round & 2;
        uint64_t dims[4], chunk[4], origin[4], shape[4], count = 1;
        for (unsigned a = 0; a < rank; a++) {
            dims[a] = within(1, rank < 3 ? 70 : 14);
            chunk[a] = within(0, 2) ? within(1, dims[a] + 2) : 1;
            origin[a] = within(0, dims[a] - 1);
            shape[a] = within(1, dims[a] - origin[a] + 2); /* may hang over the edge */
            count *= shape[a];
        }
        struct emd_grid grid = {rank, 4, dims, chunk};
        uint32_t *src = malloc(count * 4);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t point[4];
            unravel(rank, shape, i, point);
            for (unsigned a = 0; a < rank; a++)
                point[a] += origin[a];
            src[i] = number_of(rank, dims, point);
        }
        struct emd_touched touched;
        emd_box_touched(&grid, origin, shape, &touched);
        void **dst = malloc(touched.total * sizeof *dst);
        uint64_t elements = 1;
        for (unsigned a = 0; a < rank; a++)
            elements *= chunk[a];
        for (size_t i = 0; i < touched.total; i++)
            dst[i] = memset(malloc(elements * 4), 0xee, elements * 4);
        struct emd_window window;
        memcpy(window.origin, origin, sizeof origin);
        memcpy(window.shape, shape, sizeof shape);
        for (size_t i = 0; i < touched.total; i++) /* some chunks are not asked for */
            if (gaps && within(0, 2) == 0) {
                free(dst[i]);
                dst[i] = NULL;
            }
        emd_box_scatter(&grid, src, origin, shape, compact ? &window : NULL, dst);
        for (size_t i = 0; i < touched.total; i++) {
            if (!dst[i])
                continue;
            uint64_t part[4], extent[4], chunk_origin[4];
            emd_box_part(&grid, &touched, i, origin, shape, part, extent);
            for (unsigned a = 0; a < rank; a++)
                chunk_origin[a] = part[a] / chunk[a] * chunk[a];
            for (uint64_t e = 0; e < elements; e++) {
                uint64_t point[4];
                const uint64_t *base = compact ? part : chunk_origin;
                uint64_t size = 1;
                for (unsigned a = 0; a < rank; a++)
                    size *= compact ? extent[a] : chunk[a];
                if (e >= size)
                    continue;
                unravel(rank, compact ? extent : chunk, e, point);
                bool inside = true;
                for (unsigned a = 0; a < rank; a++) {
                    point[a] += base[a];
                    inside = inside && point[a] >= part[a] && point[a] < part[a] + extent[a];
                }
                uint32_t expected = inside ? number_of(rank, dims, point) : 0xeeeeeeeeu;
                ck_assert_uint_eq(((uint32_t *)dst[i])[e], expected);
            }
            free(dst[i]);
        }
        free(dst);
        free(src);
    }
}
END_TEST

START_TEST(strips_come_back_from_memory_and_file)
{
    enum { COUNT = 300 };
    struct emd_strips *strips;
    ck_assert_int_eq(emd_strips_new(COUNT, 20000, "/tmp", &strips, NULL), EMD_OK);
    for (int round = 0; round < 2; round++) {
        unsigned char data[300], buffer[300];
        for (size_t i = 0; i < COUNT; i++) {
            size_t n = (i * 37) % 300;
            memset(data, (int)(i + (size_t)round), n);
            ck_assert_int_eq(emd_strips_put(strips, i, data, n, NULL), EMD_OK);
        }
        ck_assert_uint_gt(emd_strips_spilled(strips), 0);
        for (size_t i = COUNT; i-- > 0;) {
            const void *got;
            size_t n = emd_strips_size(strips, i);
            ck_assert_uint_eq(n, (i * 37) % 300);
            ck_assert_int_eq(emd_strips_get(strips, i, buffer, &got, NULL), EMD_OK);
            memset(data, (int)(i + (size_t)round), n);
            ck_assert(memcmp(got, data, n) == 0);
        }
        emd_strips_reset(strips);
    }
    emd_strips_free(strips);
    struct emd_error err;
    ck_assert_int_eq(emd_strips_new(1, 0, "/nonexistent", &strips, &err), EMD_OK);
    ck_assert_int_eq(emd_strips_put(strips, 0, "x", 1, &err), EMD_E_IO);
    emd_strips_free(strips);
}
END_TEST

static size_t bound(size_t n)
{
    return n + n / 100 + 64;
}

static struct emd_plan_request movie(const uint64_t source[3], const uint64_t target[3],
                                     size_t budget)
{
    struct emd_plan_request r = {.rank = 3,
                                 .item_size = 2,
                                 .dims = {2048, 2048, 80},
                                 .contiguous = source == NULL,
                                 .verify = true,
                                 .strip_overhead = 16,
                                 .strip_work = 1 << 20,
                                 .target_work = 1 << 20,
                                 .threads = 2,
                                 .budget = budget};
    if (source) {
        memcpy(r.source, source, 3 * sizeof *source);
        r.chunks = (2048 / source[0]) * (2048 / source[1]) * ((80 + source[2] - 1) / source[2]);
    }
    memcpy(r.target, target, 3 * sizeof *target);
    r.verify_bytes = emd_box_bytes(3, r.target, 2);
    r.target_bound = bound(r.verify_bytes);
    return r;
}

static const uint64_t frame[3] = {2048, 2048, 1}, tile[3] = {256, 256, 16}, rows[3] = {1, 2048, 64};
static const size_t MiB = 1 << 20;

START_TEST(plans_are_the_cheapest_that_fit)
{
    struct emd_plan plan;
    struct emd_plan_request r = movie(frame, frame, 512 * MiB);
    ck_assert_int_eq(emd_plan_make(&r, &plan, NULL), EMD_OK);
    ck_assert_int_eq(plan.kind, EMD_PLAN_SAME_GRID);
    ck_assert_uint_eq(plan.reads, 80);
    ck_assert_uint_eq(plan.threads, 2);

    r = movie(NULL, frame, 2048 * MiB);
    ck_assert_int_eq(emd_plan_make(&r, &plan, NULL), EMD_OK);
    ck_assert_int_eq(plan.kind, EMD_PLAN_GATHER);
    ck_assert_uint_eq(plan.blocks, 1);

    r = movie(NULL, frame, 256 * MiB);
    ck_assert_int_eq(emd_plan_make(&r, &plan, NULL), EMD_OK);
    ck_assert_int_eq(plan.kind, EMD_PLAN_STRIPS);
    ck_assert_uint_eq(plan.resident, 0); /* strips of all take more */
    ck_assert_uint_gt(plan.store_bytes, 100 * MiB);

    r = movie(tile, frame, 512 * MiB);
    ck_assert_int_eq(emd_plan_make(&r, &plan, NULL), EMD_OK);
    ck_assert_int_eq(plan.kind, EMD_PLAN_GATHER);
    ck_assert_uint_eq(plan.blocks, 5);
    ck_assert_uint_eq(plan.block[2], 16);
    ck_assert_uint_eq(plan.reads, 8 * 8 * 5);

    r = movie(rows, frame, 512 * MiB);
    ck_assert_int_eq(emd_plan_make(&r, &plan, NULL), EMD_OK);
    ck_assert_int_eq(plan.kind, EMD_PLAN_STRIPS);
    ck_assert_uint_eq(plan.reads, 2048 * 2);
    ck_assert_uint_eq(plan.targets, 64);
    ck_assert_uint_gt(plan.resident, 40); /* 64 frames take 512 MiB */
    ck_assert_uint_lt(plan.resident, 64);
    ck_assert_uint_ge(plan.store_bytes, (64 - plan.resident) * 8 * MiB / 2);

    /* frames that lie one behind the other need no transpose */
    const uint64_t plane[3] = {1, 2048, 80};
    r = movie(NULL, plane, 64 * MiB);
    ck_assert_int_eq(emd_plan_make(&r, &plan, NULL), EMD_OK);
    ck_assert_int_eq(plan.kind, EMD_PLAN_SAME_GRID);
}
END_TEST

START_TEST(plans_keep_to_the_budget_or_say_what_works)
{
    static const uint64_t *const sources[] = {frame, tile, rows, NULL};
    for (int s = 0; s < 4; s++)
        for (size_t budget = 64 << 10; budget <= 4096 * MiB; budget += budget / 2) {
            struct emd_plan plan;
            struct emd_error err;
            struct emd_plan_request r = movie(sources[s], frame, budget);
            enum emd_status status = emd_plan_make(&r, &plan, &err);
            if (status == EMD_OK) {
                ck_assert_uint_le(plan.peak_bytes, budget);
                ck_assert_uint_ge(plan.threads, 1);
                ck_assert_uint_ge(plan.slots, 1);
                continue;
            }
            ck_assert_int_eq(status, EMD_E_BUDGET);
            const char *least = strstr(err.text, "at least ");
            ck_assert_ptr_nonnull(least);
            r.budget = (size_t)strtoull(least + 9, NULL, 10) * MiB;
            ck_assert_uint_gt(r.budget, budget);
            ck_assert_int_eq(emd_plan_make(&r, &plan, NULL), EMD_OK);
        }
}
END_TEST

START_TEST(plans_survive_absurd_sizes)
{
    for (int round = 0; round < 20000; round++) {
        struct emd_plan plan;
        struct emd_plan_request r = {.rank = (unsigned)within(1, 6),
                                     .item_size = within(1, 64),
                                     .contiguous = within(0, 1),
                                     .verify_bytes = within(0, 1) * within(1, 1 << 20),
                                     .fetch = (enum emd_fetch)within(0, 2),
                                     .source_stored = within(0, 1 << 20),
                                     .chunks = within(0, 5000),
                                     .strip_overhead = 16,
                                     .target_bound = within(1, 1 << 20),
                                     .threads = (unsigned)within(1, 16),
                                     .budget = (size_t)1 << within(10, 40)};
        for (unsigned a = 0; a < r.rank; a++) {
            r.dims[a] = within(1, (uint64_t)1 << within(0, 62));
            r.source[a] = within(1, (uint64_t)1 << within(0, 40));
            r.target[a] = within(0, 1) ? 1 : within(1, (uint64_t)1 << within(0, 31));
        }
        if (emd_plan_make(&r, &plan, NULL) == EMD_OK)
            ck_assert_uint_le(plan.peak_bytes, r.budget);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layout");
    TCase *tc = tcase_create("layout");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, transpose_equals_the_plain_loop);
    tcase_add_test(tc, scatter_puts_every_element_in_its_place);
    tcase_add_test(tc, strips_come_back_from_memory_and_file);
    tcase_add_test(tc, plans_are_the_cheapest_that_fit);
    tcase_add_test(tc, plans_keep_to_the_budget_or_say_what_works);
    tcase_add_test(tc, plans_survive_absurd_sizes);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
