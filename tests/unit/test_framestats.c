/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/velox/framestats: every pixel type and SIMD level against the definition, written out. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "velox/framestats.h"

static const char *const levels[] = {"scalar", "sse2", "avx2", "avx512", "avx512vbmi", "neon"};
enum { LEVELS = sizeof levels / sizeof levels[0] };

/* Each test runs in a process of its own, where the level is not settled yet. */
static bool use_level(int i)
{
    setenv("EMDTOOLS_SIMD", levels[i], 1);
    return strcmp(emd_simd_name(emd_simd_level()), levels[i]) == 0;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static double pixel_at(enum emd_pixel_type type, const void *row, size_t x)
{
    switch (type) {
    case EMD_PIXEL_I16:
        return ((const int16_t *)row)[x];
    case EMD_PIXEL_U16:
        return ((const uint16_t *)row)[x];
    case EMD_PIXEL_I32:
        return ((const int32_t *)row)[x];
    case EMD_PIXEL_U8:
        return ((const uint8_t *)row)[x];
    case EMD_PIXEL_F32:
        return (double)((const float *)row)[x];
    }
    return 0;
}

/* The definition in framestats.h, pixel by pixel. */
static struct emd_framestats oracle(enum emd_pixel_type type, const unsigned char *data,
                                    size_t rows, size_t columns, size_t stride)
{
    struct emd_framestats s = {.max = -INFINITY};
    const bool real = type == EMD_PIXEL_F32;
    for (size_t y = 0; y < rows; y += EMD_FRAMESTATS_ROWS)
        for (size_t x = 0; x < columns; x += EMD_FRAMESTATS_COLUMNS) {
            const size_t y1 = y + EMD_FRAMESTATS_ROWS < rows ? y + EMD_FRAMESTATS_ROWS : rows;
            const size_t x1 =
                x + EMD_FRAMESTATS_COLUMNS < columns ? x + EMD_FRAMESTATS_COLUMNS : columns;
            double sum = 0, below = 0, count = 0, noise = 0;
            for (size_t r = y; r < y1; r++)
                for (size_t c = x; c < x1; c++) {
                    const double v = pixel_at(type, data + r * stride, c);
                    if (!isfinite(v))
                        continue;
                    sum += v;
                    count++;
                    s.max = v > s.max ? v : s.max;
                }
            if (count == 0)
                continue;
            const double mean = real ? sum / count : floor(sum / count);
            for (size_t r = y; r < y1; r++)
                for (size_t c = x; c < x1; c++) {
                    const double v = pixel_at(type, data + r * stride, c);
                    if ((r - y) % EMD_FRAMESTATS_NOISE_ROWS == 0) {
                        below += isfinite(v) && v < mean ? mean - v : 0;
                        noise++;
                    }
                }
            const double limit =
                real ? mean + 15.04 * below / noise : mean + floor(15 * below / noise) + 3;
            for (size_t r = y; r < y1; r++)
                for (size_t c = x; c < x1 && c + 1 < columns; c++) {
                    const double v = pixel_at(type, data + r * stride, c);
                    const double w = pixel_at(type, data + r * stride, c + 1);
                    s.spots += isfinite(v) && isfinite(w) && v > limit && w > limit;
                }
            s.pixels += (uint64_t)count;
            if (real)
                s.sum += sum;
            else
                s.total += (int64_t)sum;
        }
    return s;
}

static void put_pixel(enum emd_pixel_type type, unsigned char *row, size_t x, double v)
{
    switch (type) {
    case EMD_PIXEL_I16:
        ((int16_t *)(void *)row)[x] = (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
        break;
    case EMD_PIXEL_U16:
        ((uint16_t *)(void *)row)[x] = (uint16_t)(v < 0 ? 0 : v > 65535 ? 65535 : v);
        break;
    case EMD_PIXEL_I32:
        ((int32_t *)(void *)row)[x] = (int32_t)v;
        break;
    case EMD_PIXEL_U8:
        row[x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        break;
    case EMD_PIXEL_F32:
        ((float *)(void *)row)[x] = (float)v;
        break;
    }
}

/* Kinds of pictures: noise with spots, extremes, constants, everything at random. */
static double draw(unsigned kind, uint32_t *state)
{
    const double noise = (double)(next(state) % 17) + (double)(next(state) % 17) - 16;
    switch (kind) {
    case 0:
        return 20 + noise + (next(state) % 50 == 0 ? 500 : 0);
    case 1:
        return next(state) % 2 ? 2147483647.0 : -2147483648.0;
    case 2:
        return 7;
    case 3:
        return (double)next(state) * 256 - 2147483648.0;
    default:
        return -40 + noise / 4;
    }
}

START_TEST(definition)
{
    static const enum emd_pixel_type types[] = {EMD_PIXEL_I16, EMD_PIXEL_U16, EMD_PIXEL_I32,
                                                EMD_PIXEL_U8, EMD_PIXEL_F32};
    static const struct {
        size_t rows, columns;
    } shapes[] = {{1, 1}, {1, 2}, {8, 128}, {9, 129}, {7, 127}, {16, 256}, {33, 300}, {64, 513}};
    uint32_t state = 1;
    if (!use_level(_i))
        return;
    for (unsigned t = 0; t < 5; t++)
        for (unsigned i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            for (unsigned kind = 0; kind < 5; kind++) {
                const size_t rows = shapes[i].rows, columns = shapes[i].columns;
                const size_t stride = (columns + 3) * emd_pixel_size(types[t]);
                unsigned char *data = calloc(rows, stride);
                for (size_t y = 0; y < rows; y++)
                    for (size_t x = 0; x < columns; x++) {
                        /* spots are two pixels wide */
                        double v = draw(kind, &state);
                        if (x > 0 && kind == 0 && next(&state) % 2)
                            v = pixel_at(types[t], data + y * stride, x - 1);
                        put_pixel(types[t], data + y * stride, x, v);
                    }
                const struct emd_framestats want = oracle(types[t], data, rows, columns, stride);
                struct emd_framestats got = {0};
                emd_framestats_add(&got, types[t], data, rows, columns, stride);
                ck_assert_uint_eq(got.pixels, want.pixels);
                ck_assert_int_eq(got.total, want.total);
                ck_assert_double_eq_tol(got.sum, want.sum, 1e-9 * fabs(want.sum) + 1e-6);
                ck_assert(got.max == want.max);
                ck_assert_msg(got.spots == want.spots, "type %u shape %u kind %u: %lu, not %lu", t,
                              i, kind, (unsigned long)got.spots, (unsigned long)want.spots);
                free(data);
            }
}
END_TEST

START_TEST(reals_that_are_none)
{
    float image[16][200];
    struct emd_framestats stats = {0};
    for (unsigned y = 0; y < 16; y++)
        for (unsigned x = 0; x < 200; x++)
            image[y][x] = (float)((x * 7 + y * 3) % 5);
    image[3][5] = NAN;
    image[3][6] = INFINITY;
    image[3][7] = -INFINITY;
    image[9][150] = image[9][151] = 1000;
    emd_framestats_add(&stats, EMD_PIXEL_F32, image, 16, 200, sizeof image[0]);
    ck_assert_uint_eq(stats.pixels, 16 * 200 - 3);
    ck_assert(isfinite(emd_framestats_mean(&stats)));
    ck_assert(stats.max == 1000);
    ck_assert_uint_eq(stats.spots, 1);

    struct emd_framestats none = {0};
    const float nothing[2] = {NAN, NAN};
    emd_framestats_add(&none, EMD_PIXEL_F32, nothing, 1, 2, sizeof nothing);
    ck_assert_uint_eq(none.pixels, 0);
    ck_assert(isnan(emd_framestats_mean(&none)));
}
END_TEST

/* A hot pixel is no spot; a faint wide one is; a bright one does not hide its neighbour. */
START_TEST(what_is_a_spot)
{
    int16_t image[8][128];
    uint32_t state = 5;
    for (unsigned y = 0; y < 8; y++)
        for (unsigned x = 0; x < 128; x++)
            image[y][x] = (int16_t)(next(&state) % 9 + next(&state) % 9 - 40);
    struct emd_framestats stats = {0};
    emd_framestats_add(&stats, EMD_PIXEL_I16, image, 8, 128, sizeof image[0]);
    ck_assert_uint_eq(stats.spots, 0);
    image[2][20] = 8000;
    memset(&stats, 0, sizeof stats);
    emd_framestats_add(&stats, EMD_PIXEL_I16, image, 8, 128, sizeof image[0]);
    ck_assert_uint_eq(stats.spots, 0);
    ck_assert(stats.max == 8000);
    image[2][20] = -32;
    image[5][60] = image[5][61] = image[5][62] = 40;
    memset(&stats, 0, sizeof stats);
    emd_framestats_add(&stats, EMD_PIXEL_I16, image, 8, 128, sizeof image[0]);
    ck_assert_uint_eq(stats.spots, 2);
    image[6][100] = image[6][101] = 2000;
    memset(&stats, 0, sizeof stats);
    emd_framestats_add(&stats, EMD_PIXEL_I16, image, 8, 128, sizeof image[0]);
    ck_assert_uint_eq(stats.spots, 3);
}
END_TEST

START_TEST(parts_add_up)
{
    int32_t image[64][256];
    uint32_t state = 9;
    for (unsigned y = 0; y < 64; y++)
        for (unsigned x = 0; x < 256; x++)
            image[y][x] = (int32_t)draw(0, &state) + (y == 17 && x % 40 < 2 ? 5000 : 0);
    struct emd_framestats whole = {0}, parts = {0};
    emd_framestats_add(&whole, EMD_PIXEL_I32, image, 64, 256, sizeof image[0]);
    for (unsigned y = 0; y < 64; y += 16) {
        struct emd_framestats part = {0};
        emd_framestats_add(&part, EMD_PIXEL_I32, image[y], 16, 256, sizeof image[0]);
        emd_framestats_merge(&parts, &part);
    }
    ck_assert_int_eq(whole.total, parts.total);
    ck_assert_uint_eq(whole.spots, parts.spots);
    ck_assert_uint_eq(whole.pixels, parts.pixels);
    ck_assert(whole.max == parts.max);
    ck_assert_uint_ge(whole.spots, 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("framestats");
    TCase *tests = tcase_create("framestats");
    tcase_add_loop_test(tests, definition, 0, LEVELS);
    tcase_add_test(tests, reals_that_are_none);
    tcase_add_test(tests, what_is_a_spot);
    tcase_add_test(tests, parts_add_up);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
