/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/codec/elementhash: every SIMD level, element size, chunk shape and order of parts against the
 * definition in docs/content-hash.md, written out. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "codec/elementhash.h"

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

/* ---- the definition ---- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static uint32_t digit(unsigned axis, unsigned which, uint64_t value, unsigned lane)
{
    const uint64_t bits = mix(value + ((uint64_t)(2 * axis + which) << 56)) >> (16 * lane);
    return (uint32_t)(int32_t)(int16_t)(uint16_t)(bits | 1);
}

static uint32_t key(unsigned axis, uint64_t i, unsigned lane)
{
    return digit(axis, 0, i % 4096, lane) * (i < 4096 ? 1 : digit(axis, 1, i / 4096, lane));
}

static uint32_t folded(const struct emd_element_layout *l, const unsigned char *item, size_t word)
{
    unsigned char value[64] = {0};
    size_t n = 0;
    for (size_t r = 0; r < l->runs; r++)
        for (size_t i = 0; i < l->run[r].size; i++)
            value[n++] = item[l->run[r].offset + i];
    const unsigned w = value[2 * word] | (unsigned)value[2 * word + 1] << 8;
    return (uint32_t)(int32_t)(int16_t)(uint16_t)(w ^ (w >> 8));
}

static void oracle(const struct emd_element_layout *l, const unsigned char *data, uint32_t lane[4])
{
    const unsigned char none[64] = {0}, *fill = l->fill ? l->fill : none;
    size_t count = 1, bytes = 0;
    memset(lane, 0, 4 * sizeof *lane);
    for (unsigned a = 0; a < l->rank; a++)
        count *= (size_t)l->dims[a];
    for (size_t r = 0; r < l->runs; r++)
        bytes += l->run[r].size;
    for (size_t i = 0; i < count; i++)
        for (size_t w = 0; w < (bytes + 1) / 2; w++)
            for (unsigned k = 0; k < 4; k++) {
                uint32_t product = folded(l, data + i * l->item_size, w) - folded(l, fill, w);
                size_t rest = i;
                for (unsigned a = l->rank; a-- > 0;) {
                    product *= key(a, rest % l->dims[a], k);
                    rest /= (size_t)l->dims[a];
                }
                lane[k] += product * key(32, w, k);
            }
}

/* ---- chunks ---- */

/* Cuts one chunk out of the data; what lies outside the dataset is not to be looked at. */
static void cut(const struct emd_element_layout *l, const unsigned char *data,
                const uint64_t *origin, const uint64_t *shape, unsigned char *chunk)
{
    size_t count = 1;
    for (unsigned a = 0; a < l->rank; a++)
        count *= (size_t)shape[a];
    for (size_t i = 0; i < count; i++) {
        size_t rest = i, at = 0, factor = 1;
        bool inside = true;
        for (unsigned a = l->rank; a-- > 0;) {
            const uint64_t x = origin[a] + rest % shape[a];
            inside = inside && x < l->dims[a];
            at += (size_t)x * factor;
            factor *= (size_t)l->dims[a];
            rest /= (size_t)shape[a];
        }
        if (inside)
            memcpy(chunk + i * l->item_size, data + at * l->item_size, l->item_size);
        else
            memset(chunk + i * l->item_size, 0xA5, l->item_size);
    }
}

/* Adds all chunks, each in parts of 'units' units. */
static void add_chunks(struct emd_element_hash *hash, const struct emd_element_layout *l,
                       const unsigned char *data, const uint64_t *shape, size_t units)
{
    uint64_t origin[32] = {0};
    size_t bytes = l->item_size;
    for (unsigned a = 0; a < l->rank; a++)
        bytes *= (size_t)shape[a];
    unsigned char *chunk = malloc(bytes);
    for (bool more = true; more;) {
        const size_t step = units * emd_element_hash_unit(hash, shape);
        cut(l, data, origin, shape, chunk);
        for (size_t at = 0; at < bytes; at += step)
            emd_element_hash_add(hash, origin, shape, chunk, at,
                                 at + step < bytes ? at + step : bytes);
        more = false;
        for (unsigned a = l->rank; a-- > 0 && !more;) {
            origin[a] += shape[a];
            more = origin[a] < l->dims[a];
            if (!more)
                origin[a] = 0;
        }
    }
    free(chunk);
}

static void check(const struct emd_element_layout *l, const uint64_t *shape)
{
    struct emd_element_hash *hash;
    uint32_t expected[4], found[4], state = 7;
    size_t bytes = l->item_size;
    for (unsigned a = 0; a < l->rank; a++)
        bytes *= (size_t)l->dims[a];
    unsigned char *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)next(&state);
    oracle(l, data, expected);
    for (size_t units = 1; units < 9; units += 3) {
        ck_assert_int_eq(emd_element_hash_new(l, &hash, NULL), EMD_OK);
        add_chunks(hash, l, data, shape, units);
        emd_element_hash_get(hash, found);
        ck_assert_mem_eq(found, expected, sizeof found);
        emd_element_hash_free(hash);
    }
    free(data);
}

START_TEST(definition)
{
    static const uint64_t dims[3] = {11, 70, 5};
    static const uint64_t shapes[][3] = {{11, 70, 1}, {11, 70, 5}, {1, 70, 5}, {8, 33, 1},
                                         {5, 7, 4},   {1, 1, 5},   {11, 1, 1}, {64, 64, 16}};
    static const unsigned char fill[16] = {1, 200, 3, 4, 255, 6, 7, 8, 9, 10, 11, 12, 13};
    static const struct emd_byte_run holes[] = {{1, 3}, {6, 1}, {8, 4}};
    if (!use_level(_i))
        return;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t size = 1; size <= 13; size += size < 4 ? 1 : 3)
            for (int filled = 0; filled < 2; filled++) {
                const struct emd_byte_run whole = {0, size};
                check(&(struct emd_element_layout){3, dims, size, &whole, 1, filled ? fill : NULL},
                      shapes[s]);
                if (size == 13)
                    check(
                        &(struct emd_element_layout){3, dims, size, holes, 3, filled ? fill : NULL},
                        shapes[s]);
            }
}
END_TEST

/* Beyond 4096 on an axis, along rows and across them. */
START_TEST(long_axes)
{
    static const struct {
        uint64_t dims[2], shape[2];
    } kind[] = {{{3, 9001}, {2, 5000}}, {{3, 9001}, {3, 9001}}, {{8300, 2}, {8300, 2}},
                {{8300, 2}, {4095, 1}}, {{1, 4096}, {1, 4096}}, {{4097, 33}, {100, 33}}};
    static const uint16_t fill = 0xfffe;
    const struct emd_byte_run whole = {0, 2};
    if (!use_level(_i))
        return;
    for (size_t i = 0; i < sizeof kind / sizeof kind[0]; i++)
        check(&(struct emd_element_layout){2, kind[i].dims, 2, &whole, 1, i % 2 ? &fill : NULL},
              kind[i].shape);
}
END_TEST

START_TEST(scalars)
{
    static const unsigned char item[7] = {1, 2, 3, 4, 5, 250, 7}, fill[7] = {9};
    static const uint64_t none[1];
    const struct emd_byte_run whole = {0, 7};
    const struct emd_element_layout layout = {0, none, 7, &whole, 1, fill};
    struct emd_element_hash *hash;
    uint32_t expected[4], found[4];
    oracle(&layout, item, expected);
    ck_assert_int_eq(emd_element_hash_new(&layout, &hash, NULL), EMD_OK);
    emd_element_hash_add(hash, none, none, item, 0, 7);
    emd_element_hash_get(hash, found);
    ck_assert_mem_eq(found, expected, sizeof found);
    emd_element_hash_free(hash);
}
END_TEST

/* What is the fill value adds nothing. */
START_TEST(fill_adds_nothing)
{
    static const uint64_t dims[2] = {50, 60}, shape[2] = {50, 60}, zero[2] = {0};
    static const uint16_t fill = 1234;
    const struct emd_element_layout layout = {
        .rank = 2, .dims = dims, .item_size = 2, .fill = &fill};
    struct emd_element_hash *hash;
    uint16_t data[50 * 60];
    uint32_t found[4];
    for (size_t i = 0; i < 50 * 60; i++)
        data[i] = fill;
    ck_assert_int_eq(emd_element_hash_new(&layout, &hash, NULL), EMD_OK);
    emd_element_hash_add(hash, zero, shape, data, 0, sizeof data);
    emd_element_hash_get(hash, found);
    for (unsigned l = 0; l < 4; l++)
        ck_assert_uint_eq(found[l], 0);
    emd_element_hash_free(hash);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("elementhash");
    TCase *tests = tcase_create("elementhash");
    tcase_add_loop_test(tests, definition, 0, LEVELS);
    tcase_add_loop_test(tests, long_axes, 0, LEVELS);
    tcase_add_test(tests, scalars);
    tcase_add_test(tests, fill_adds_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
