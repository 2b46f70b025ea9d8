/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/codec: every codec and pipeline on all kinds of data, sizes and parameters; damaged and
 * forged input; the SIMD kernels against the scalar ones; other libraries' readers and writers. */
#include <blosc.h>
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>
#include <zstd.h>

#include "codec/auto.h"
#include "codec/codec.h"
#include "codec/pipeline.h"
#include "codec/transpose8.h"
#include "unit/codecdata.h"

/* For inner loops: Check's own macros write a record for every assertion that holds. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition);                                                        \
    } while (0)

/* malloc of exactly n bytes (never NULL), so that the address sanitizer sees any overrun. */
static uint8_t *get(size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    must(p);
    return p;
}

static const enum emd_simd simds[] = {EMD_SIMD_SCALAR, EMD_SIMD_SSE2,       EMD_SIMD_AVX2,
                                      EMD_SIMD_AVX512, EMD_SIMD_AVX512VBMI, EMD_SIMD_NEON};

/* ---- shuffles ---- */

static const size_t item_sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 200};

START_TEST(shuffle_of_every_kind)
{
    static const size_t counts[] = {0, 1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 1000, 4099};
    const size_t size = item_sizes[_i];
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (size_t rest = 0; rest < (size < 3 ? size : 3); rest++) {
            const size_t items = counts[c], n = items * size + rest;
            uint8_t *src = get(n), *want = get(n), *dst = get(n), *back = get(n);
            fill_data(DATA_RANDOM, src, n, n + 1);
            memcpy(want, src, n);
            for (size_t i = 0; i < items; i++)
                for (size_t p = 0; p < size; p++)
                    want[p * items + i] = src[i * size + p];
            for (size_t s = 0; s < sizeof simds / sizeof simds[0]; s++) {
                if (!emd_simd_available(simds[s]))
                    continue;
                emd_shuffle_with(simds[s], size, src, dst, n);
                ck_assert_mem_eq(dst, want, n);
                emd_unshuffle_with(simds[s], size, dst, back, n);
                ck_assert_mem_eq(back, src, n);
            }
            free(src), free(want), free(dst), free(back);
        }
}
END_TEST

START_TEST(bitshuffle_of_every_kind)
{
    static const size_t counts[] = {0, 8, 16, 24, 32, 56, 64, 72, 128, 1000, 4096, 4104};
    const size_t size = item_sizes[_i];
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        const size_t items = counts[c], n = items * size, row = items / 8;
        uint8_t *src = get(n), *want = calloc(n + 1, 1), *dst = get(n), *back = get(n);
        ck_assert_ptr_nonnull(want);
        fill_data(DATA_RANDOM, src, n, n + 1);
        for (size_t i = 0; i < items; i++)
            for (size_t p = 0; p < size; p++)
                for (size_t b = 0; b < 8; b++)
                    want[(p * 8 + b) * row + i / 8] |=
                        (uint8_t)((src[i * size + p] >> b & 1) << (i % 8));
        for (size_t s = 0; s < sizeof simds / sizeof simds[0]; s++) {
            if (!emd_simd_available(simds[s]))
                continue;
            emd_bitshuffle_with(simds[s], size, src, dst, items);
            ck_assert_mem_eq(dst, want, n);
            emd_bitunshuffle_with(simds[s], size, dst, back, items);
            ck_assert_mem_eq(back, src, n);
        }
        free(src), free(want), free(dst), free(back);
    }
}
END_TEST

/* ---- round trips ---- */

struct setting {
    unsigned id;
    size_t cd_count;
    unsigned cd[8];
    unsigned tune;
    bool has_checksum;
};

static const struct setting settings[] = {
    {EMD_FILTER_SHUFFLE, 1, {1}, 0, false},
    {EMD_FILTER_SHUFFLE, 1, {2}, 0, false},
    {EMD_FILTER_SHUFFLE, 1, {7}, 0, false},
    {EMD_FILTER_SHUFFLE, 1, {8}, 0, false},
    {EMD_FILTER_FLETCHER32, 0, {0}, 0, true},
    {EMD_FILTER_DEFLATE, 1, {0}, 0, true},
    {EMD_FILTER_DEFLATE, 1, {1}, 0, true},
    {EMD_FILTER_DEFLATE, 1, {4}, 0, true},
    {EMD_FILTER_DEFLATE, 1, {6}, 0, true},
    {EMD_FILTER_DEFLATE, 1, {9}, 0, true},
    {EMD_FILTER_ZSTD, 0, {0}, 0, true},
    {EMD_FILTER_ZSTD, 1, {(unsigned)-7}, 0, true},
    {EMD_FILTER_ZSTD, 1, {1}, 0, true},
    {EMD_FILTER_ZSTD, 1, {9}, 0, true},
    {EMD_FILTER_BITSHUFFLE, 3, {0, 4, 1}, 0, false},
    {EMD_FILTER_BITSHUFFLE, 4, {0, 4, 1, 8}, 0, false},
    {EMD_FILTER_BITSHUFFLE, 5, {0, 4, 1, 0, 2}, 0, false},
    {EMD_FILTER_BITSHUFFLE, 6, {0, 4, 1, 64, 3, 5}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 5, 0, 0}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 0, 1, 5}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 4, 0, 5, 1, 0}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 1, 1, 1}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 8, 0, 9, 2, 1}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 5, 2, 2}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 3, 0, 5, 1, 4}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 3, 1, 5}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 17, 0, 3, 2, 5}, 0, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 1, 0, 5}, 31, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 1, 1, 5}, 31, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 1, 2, 5}, 12, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 2, 0, 1, 1, 5}, 16 | EMD_TUNE_SPLIT | EMD_TUNE_NOISE, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 3, 0, 2, 2, 5}, 13, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 3, 0, 2, 1, 5}, 13 | EMD_TUNE_SPLIT, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 200, 0, 2, 1, 5}, 10 | EMD_TUNE_SPLIT, false},
    {EMD_FILTER_BLOSC, 7, {2, 2, 4, 0, 2, 1, 5}, 16 | EMD_TUNE_SPLIT | EMD_TUNE_NOISE, false},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static size_t encode(const struct setting *s, struct emd_work *work, const uint8_t *src, size_t n,
                     uint8_t **out)
{
    struct emd_error err = {0};
    const struct emd_codec *codec = emd_codec_by_id(s->id);
    ck_assert_ptr_nonnull(codec);
    size_t most = codec->bound(s->cd, s->cd_count, n), size = 0;
    *out = get(most);
    emd_work_set_tune(work, s->tune);
    enum emd_status status =
        codec->encode(s->cd, s->cd_count, work, src, n, *out, most, &size, &err);
    emd_work_set_tune(work, EMD_TUNE_AS_OTHERS);
    ck_assert_msg(status == EMD_OK, "%s of %zu bytes: %s", codec->name, n, err.text);
    ck_assert_uint_le(size, most);
    return size;
}

START_TEST(round_trips)
{
    static const size_t sizes[] = {0,   1,    2,    3,     7,     16,     127,   128,
                                   129, 1000, 4095, 65536, 66001, 131072, 300004};
    const struct setting *s = &settings[_i];
    const struct emd_codec *codec = emd_codec_by_id(s->id);
    struct emd_work *work = emd_work_new();
    for (int kind = 0; kind < DATA_KINDS; kind++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            const size_t n = sizes[k];
            uint8_t *src = get(n), *packed, *again, *back = get(n);
            struct emd_error err = {0};
            fill_data((enum data_kind)kind, src, n, n);
            size_t size = encode(s, work, src, n, &packed);
            ck_assert_uint_eq(encode(s, work, src, n, &again), size);
            ck_assert_mem_eq(packed, again, size);

            /* An exact copy, so that reading behind it would be noticed. */
            uint8_t *exact = get(size);
            memcpy(exact, packed, size);
            size_t out = 12345;
            for (int with = 0; with < 2; with++) {
                memset(back, 0xEE, n);
                ck_assert_msg(codec->decode(s->cd, s->cd_count, with ? work : NULL, exact, size,
                                            back, n, &out, &err) == EMD_OK,
                              "%s of %zu bytes: %s", codec->name, n, err.text);
                ck_assert_uint_eq(out, n);
                ck_assert_mem_eq(back, src, n);
            }
            if (codec->decoded_size) {
                ck_assert_int_eq(
                    codec->decoded_size(s->cd, s->cd_count, exact, size, n, &out, &err), EMD_OK);
                ck_assert_uint_eq(out, n);
                if (n > 0)
                    ck_assert_int_eq(
                        codec->decoded_size(s->cd, s->cd_count, exact, size, n - 1, &out, &err),
                        EMD_E_CORRUPT);
            }
            if (n > 0) { /* too little room: an error, and nothing written behind it */
                uint8_t *small = get(n - 1);
                ck_assert_int_eq(
                    codec->decode(s->cd, s->cd_count, work, exact, size, small, n - 1, &out, &err),
                    EMD_E_CORRUPT);
                free(small);
            }
            if (size > 0) {
                uint8_t *small = get(size - 1);
                emd_work_set_tune(work, s->tune);
                if (codec->encode(s->cd, s->cd_count, work, src, n, small, size - 1, &out, &err) ==
                    EMD_OK) /* by other means */
                    ck_assert_uint_lt(out, size);
                else
                    ck_assert_int_eq(err.status, EMD_E_BUDGET);
                emd_work_set_tune(work, EMD_TUNE_AS_OTHERS);
                free(small);
            }
            free(src), free(packed), free(again), free(back), free(exact);
        }
    emd_work_free(work);
}
END_TEST

/* ---- damage ---- */

static void check_damaged(const struct setting *s, struct emd_work *work, const uint8_t *data,
                          size_t size, const uint8_t *src, size_t n)
{
    const struct emd_codec *codec = emd_codec_by_id(s->id);
    struct emd_error err = {0};
    uint8_t *exact = get(size), *back = get(n);
    memcpy(exact, data, size);
    size_t out = 0;
    enum emd_status status =
        codec->decode(s->cd, s->cd_count, work, exact, size, back, n, &out, &err);
    if (status == EMD_OK) {
        must(out <= n);
        if (s->has_checksum && out == n)
            must(memcmp(back, src, n) == 0);
    } else {
        must(status == err.status);
        must(err.text[0] != '\0');
    }
    free(exact), free(back);
}

START_TEST(truncated_and_flipped)
{
    const struct setting *s = &settings[_i];
    struct emd_work *work = emd_work_new();
    for (int kind = 0; kind < DATA_KINDS; kind++)
        for (size_t n = 150; n <= 500; n += 350) {
            uint8_t *src = get(n), *packed;
            fill_data((enum data_kind)kind, src, n, n);
            size_t size = encode(s, work, src, n, &packed);
            for (size_t cut = 0; cut < size; cut++) {
                uint8_t *back = get(n);
                size_t out = 0;
                const struct emd_codec *codec = emd_codec_by_id(s->id);
                enum emd_status status =
                    codec->decode(s->cd, s->cd_count, work, packed, cut, back, n, &out, NULL);
                /* Fletcher's sums do not see missing zeros, shuffle sees nothing: sizes do. */
                must(status != EMD_OK || out != n);
                free(back);
                check_damaged(s, work, packed, cut, src, n);
            }
            for (size_t i = 0; i < size; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                    packed[i] ^= (uint8_t)(1u << bit);
                    check_damaged(s, work, packed, size, src, n);
                    packed[i] ^= (uint8_t)(1u << bit);
                }
            free(src), free(packed);
        }
    emd_work_free(work);
}
END_TEST

START_TEST(random_and_surplus_input)
{
    const struct setting *s = &settings[_i];
    const struct emd_codec *codec = emd_codec_by_id(s->id);
    struct emd_work *work = emd_work_new();
    uint64_t state = 88172645463325252u + (unsigned)_i;
    uint8_t src[1000], *packed, *longer, back[2000];
    size_t out = 0;
    fill_data(DATA_CAMERA, src, sizeof src, 1);
    size_t size = encode(s, work, src, sizeof src, &packed);
    longer = get(size + 1);
    memcpy(longer, packed, size);
    longer[size] = 0;
    enum emd_status status =
        codec->decode(s->cd, s->cd_count, work, longer, size + 1, back, sizeof back, &out, NULL);
    ck_assert(status != EMD_OK || out != sizeof src);
    for (int round = 0; round < 2000; round++) {
        size_t n = next_random(&state) % 100;
        uint8_t *junk = get(n);
        for (size_t i = 0; i < n; i++)
            junk[i] = (uint8_t)next_random(&state);
        /* Half of them begin as a real chunk does. */
        if (round % 2)
            memcpy(junk, packed, n < 20 ? n : 20);
        if (codec->decode(s->cd, s->cd_count, work, junk, n, back, sizeof back, &out, NULL) ==
            EMD_OK)
            ck_assert_uint_le(out, sizeof back);
        if (codec->decoded_size)
            codec->decoded_size(s->cd, s->cd_count, junk, n, sizeof back, &out, NULL);
        free(junk);
    }
    free(packed), free(longer);
    emd_work_free(work);
}
END_TEST

START_TEST(absurd_parameters)
{
    const struct emd_codec *codec = emd_codecs()[_i];
    struct emd_work *work = emd_work_new();
    static const unsigned values[] = {0, 1, 2, 3, 9, 10, 255, 256, 65536, 0x7FFFFFFF, 0xFFFFFFFF};
    enum { VALUES = sizeof values / sizeof values[0] };
    uint64_t state = 4711;
    uint8_t src[600];
    fill_data(DATA_CAMERA, src, sizeof src, 1);
    for (int round = 0; round < 3000; round++) {
        unsigned cd[EMD_CD_MAX];
        size_t count = next_random(&state) % (EMD_CD_MAX + 1), size = 0, out = 0;
        for (size_t i = 0; i < EMD_CD_MAX; i++)
            cd[i] = values[next_random(&state) % VALUES];
        if (codec->id == EMD_FILTER_ZSTD && count > 0 && (int)cd[0] > 9)
            cd[0] = 9; /* the highest levels are slow, and tested below */
        struct emd_error err = {0};
        size_t most = codec->bound(cd, count, sizeof src);
        uint8_t *dst = get(most), *back = get(sizeof src);
        enum emd_status status =
            codec->encode(cd, count, work, src, sizeof src, dst, most, &size, &err);
        codec->work_bytes(cd, count, sizeof src);
        if (status == EMD_OK) {
            ck_assert_int_eq(
                codec->decode(cd, count, work, dst, size, back, sizeof src, &out, &err), EMD_OK);
            ck_assert_uint_eq(out, sizeof src);
            ck_assert_mem_eq(back, src, sizeof src);
        } else {
            ck_assert_int_ne(err.text[0], '\0');
            codec->decode(cd, count, work, src, sizeof src, back, sizeof src, &out, &err);
        }
        free(dst), free(back);
    }
    emd_work_free(work);
}
END_TEST

START_TEST(zstd_levels_are_clamped)
{
    const struct emd_codec *codec = emd_codec_by_name("zstd");
    const unsigned levels[] = {22, 23, 0x7FFFFFFF, 0x80000000};
    uint8_t src[500], dst[1000], back[500];
    size_t size, out;
    fill_data(DATA_TEXT, src, sizeof src, 1);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        ck_assert_int_eq(
            codec->encode(&levels[i], 1, NULL, src, sizeof src, dst, sizeof dst, &size, NULL),
            EMD_OK);
        ck_assert_int_eq(
            codec->decode(&levels[i], 1, NULL, dst, size, back, sizeof back, &out, NULL), EMD_OK);
        ck_assert_mem_eq(src, back, sizeof src);
    }
}
END_TEST

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

START_TEST(blosc_forged_headers)
{
    const struct setting *s = &settings[_i];
    if (s->id != EMD_FILTER_BLOSC)
        return;
    struct emd_work *work = emd_work_new();
    static const uint32_t forged[] = {
        0, 1, 15, 16, 17, 127, 4096, 0x7FFFFFEF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF};
    enum { N = 70000, WORDS = 12 };
    uint8_t *src = get(N), *packed;
    fill_data(DATA_CAMERA, src, N, 1);
    size_t size = encode(s, work, src, N, &packed);
    for (size_t at = 4; at + 4 <= size && at < 4 * WORDS; at += 4)
        for (size_t f = 0; f < sizeof forged / sizeof forged[0]; f++) {
            uint8_t keep[4];
            memcpy(keep, packed + at, 4);
            store32(packed + at, forged[f]);
            check_damaged(s, work, packed, size, src, N);
            memcpy(packed + at, keep, 4);
        }
    free(src), free(packed);
    emd_work_free(work);
}
END_TEST

/* Bytes that belong to no block, behind the last one or before the first. */
START_TEST(blosc_surplus_bytes)
{
    enum { N = 70000 };
    const struct setting *s = &settings[_i];
    const struct emd_codec *codec = emd_codec_by_id(s->id);
    if (s->id != EMD_FILTER_BLOSC || s->cd[4] == 0 || s->cd[5] == 0) /* those are stored */
        return;
    uint8_t *src = get(N), *packed, *back = get(N);
    struct emd_work *work = emd_work_new();
    size_t out = 0;
    fill_data(DATA_CAMERA, src, N, 1);
    const size_t size = encode(s, work, src, N, &packed);
    ck_assert_uint_eq(packed[2] & 2, 0);
    const size_t block = load32(packed + 8), blocks = (N - 1) / block + 1, table = 16 + 4 * blocks;
    for (size_t more = 0; more < 3; more++)
        for (int in_front = 0; in_front < 2; in_front++) {
            uint8_t *forged = get(size + more);
            memset(forged, 0xEE, size + more);
            memcpy(forged, packed, in_front ? table : size);
            if (in_front)
                memcpy(forged + table + more, packed + table, size - table);
            store32(forged + 12, (uint32_t)(size + more));
            for (size_t i = 0; i < blocks && in_front; i++)
                store32(forged + 16 + 4 * i, load32(packed + 16 + 4 * i) + (uint32_t)more);
            ck_assert_int_eq(
                codec->decode(s->cd, s->cd_count, work, forged, size + more, back, N, &out, NULL),
                more ? EMD_E_CORRUPT : EMD_OK);
            free(forged);
        }
    free(src), free(packed), free(back);
    emd_work_free(work);
}
END_TEST

/* ---- other libraries ---- */

START_TEST(zlib_reads_ours)
{
    const struct emd_codec *codec = emd_codec_by_name("deflate");
    for (unsigned level = 0; level <= 9; level++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            for (size_t n = 0; n < 400000; n = n * 3 + 1) {
                uint8_t *src = get(n), *back = get(n);
                size_t most = codec->bound(&level, 1, n), size = 0;
                uint8_t *dst = get(most);
                fill_data((enum data_kind)kind, src, n, n);
                ck_assert_int_eq(codec->encode(&level, 1, NULL, src, n, dst, most, &size, NULL),
                                 EMD_OK);
                uLongf out = (uLongf)n;
                uLong used = (uLong)size;
                ck_assert_int_eq(uncompress2(back, &out, dst, &used), Z_OK);
                ck_assert_uint_eq(out, n);
                ck_assert_uint_eq(used, size);
                ck_assert_mem_eq(back, src, n);
                free(src), free(dst), free(back);
            }
}
END_TEST

START_TEST(we_read_zlib)
{
    const struct emd_codec *codec = emd_codec_by_name("deflate");
    const unsigned cd = 6;
    for (int level = 0; level <= 9; level++)
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            enum { N = 50000 };
            uint8_t *src = get(N), *back = get(N);
            uLongf size = compressBound(N);
            uint8_t *packed = get(size);
            size_t out;
            fill_data((enum data_kind)kind, src, N, 5);
            ck_assert_int_eq(compress2(packed, &size, src, N, level), Z_OK);
            ck_assert_int_eq(codec->decode(&cd, 1, NULL, packed, size, back, N, &out, NULL),
                             EMD_OK);
            ck_assert_uint_eq(out, N);
            ck_assert_mem_eq(back, src, N);
            free(src), free(packed), free(back);
        }
}
END_TEST

START_TEST(zstd_frames)
{
    const struct emd_codec *codec = emd_codec_by_name("zstd");
    enum { N = 5000 };
    uint8_t src[N], packed[2 * N], back[N];
    size_t size, out;
    fill_data(DATA_TEXT, src, N, 1);
    ck_assert_int_eq(codec->encode(NULL, 0, NULL, src, N, packed, sizeof packed, &size, NULL),
                     EMD_OK);
    ck_assert_uint_eq(ZSTD_getFrameContentSize(packed, size), N);
    ck_assert_uint_eq(packed[4] & 4, 4); /* frame header descriptor: content checksum */
    ck_assert_uint_eq(ZSTD_decompress(back, N, packed, size), N);
    ck_assert_mem_eq(back, src, N);

    /* A frame without content size, as a streaming writer makes it. */
    ZSTD_CCtx *cctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, 0);
    size = ZSTD_compress2(cctx, packed, sizeof packed, src, N);
    ZSTD_freeCCtx(cctx);
    ck_assert_int_eq(codec->decoded_size(NULL, 0, packed, size, N, &out, NULL), EMD_OK);
    ck_assert_uint_eq(out, N);
    ck_assert_int_eq(codec->decoded_size(NULL, 0, packed, size, N - 1, &out, NULL), EMD_E_CORRUPT);
    ck_assert_int_eq(codec->decoded_size(NULL, 0, packed, size - 1, N, &out, NULL), EMD_E_CORRUPT);
    ck_assert_int_eq(codec->decode(NULL, 0, NULL, packed, size, back, N, &out, NULL), EMD_OK);
    ck_assert_uint_eq(out, N);
    ck_assert_mem_eq(back, src, N);

    /* Neither frames of zstd 0.6 nor skippable ones. */
    static const uint8_t old[] = {0x26, 0xB5, 0x2F, 0xFD, 0x4E, 0x11, 0xF9, 0xFB, 0x20};
    static const uint8_t skippable[] = {0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0};
    ck_assert_int_eq(codec->decode(NULL, 0, NULL, old, sizeof old, back, N, &out, NULL),
                     EMD_E_CORRUPT);
    ck_assert_int_eq(codec->decode(NULL, 0, NULL, skippable, sizeof skippable, back, N, &out, NULL),
                     EMD_E_CORRUPT);

    /* Two frames are more than a writer of this filter makes. */
    size_t first = ZSTD_compress(packed, sizeof packed, src, 100, 1);
    size = first + ZSTD_compress(packed + first, sizeof packed - first, src, 100, 1);
    ck_assert_int_eq(codec->decode(NULL, 0, NULL, packed, size, back, N, &out, NULL),
                     EMD_E_CORRUPT);
}
END_TEST

/* A chunk of nothing whose blocks claim to be huge: no memory is taken for them. */
START_TEST(blosc_of_nothing)
{
    const uint8_t chunk[] = {2, 1, 0x81, 2, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 16, 0, 0, 0};
    struct emd_work *work = emd_work_new();
    uint8_t back[1];
    size_t out = 1;
#ifndef __SANITIZE_ADDRESS__ /* which needs terabytes of addresses */
    const struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0); /* of this test's own process */
#endif
    ck_assert_int_eq(emd_codec_by_id(EMD_FILTER_BLOSC)
                         ->decode(NULL, 0, work, chunk, sizeof chunk, back, 0, &out, NULL),
                     EMD_OK);
    ck_assert_uint_eq(out, 0);
    emd_work_free(work);
}
END_TEST

START_TEST(c_blosc_reads_ours)
{
    const struct setting *s = &settings[_i];
    if (s->id != EMD_FILTER_BLOSC)
        return;
    struct emd_work *work = emd_work_new();
    for (int kind = 0; kind < DATA_KINDS; kind++)
        for (size_t n = 1; n < 600000; n = n * 5 + 2) {
            uint8_t *src = get(n), *back = get(n), *packed;
            fill_data((enum data_kind)kind, src, n, n);
            size_t size = encode(s, work, src, n, &packed);
            size_t bytes = 0;
            ck_assert_int_eq(blosc_cbuffer_validate(packed, size, &bytes), 0);
            ck_assert_uint_eq(bytes, n);
            ck_assert_int_eq(blosc_decompress_ctx(packed, back, n, 1), (int)n);
            ck_assert_mem_eq(back, src, n);
            free(src), free(packed), free(back);
        }
    emd_work_free(work);
}
END_TEST

START_TEST(we_read_c_blosc)
{
    static const char *const names[] = {"blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"};
    const struct emd_codec *codec = emd_codec_by_name("blosc");
    if (blosc_compname_to_compcode(names[_i]) < 0)
        return;
    for (int shuffle = 0; shuffle <= 2; shuffle++)
        for (size_t item = 1; item <= 20; item += item < 5 ? 1 : 3)
            for (size_t n = 1; n < 900000; n = n * 9 + 7)
                for (int kind = 1; kind < DATA_KINDS; kind++)
                    for (size_t block = 0; block <= 5000; block += 5000) {
                        uint8_t *src = get(n), *packed = get(n + BLOSC_MAX_OVERHEAD);
                        uint8_t *back = get(n);
                        struct emd_error err = {0};
                        size_t out = 0;
                        fill_data((enum data_kind)kind, src, n, n);
                        int size = blosc_compress_ctx(3, shuffle, item, n, src, packed,
                                                      n + BLOSC_MAX_OVERHEAD, names[_i], block, 1);
                        ck_assert_int_gt(size, 0);
                        ck_assert_msg(codec->decode(NULL, 0, NULL, packed, (size_t)size, back, n,
                                                    &out, &err) == EMD_OK,
                                      "%s, item %zu, %zu bytes: %s", names[_i], item, n, err.text);
                        ck_assert_uint_eq(out, n);
                        ck_assert_mem_eq(back, src, n);
                        free(src), free(packed), free(back);
                    }
}
END_TEST

/* Our encoder against c-blosc's, room for the result that runs short included. */
static void write_as_c_blosc(const unsigned *cd, struct emd_work *work, const uint8_t *src,
                             size_t n, size_t room)
{
    static const char *const names[] = {"blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"};
    const struct emd_codec *codec = emd_codec_by_name("blosc");
    uint8_t *want = get(room), *made = get(room);
    struct emd_error err = {0};
    const int size =
        blosc_compress_ctx((int)cd[4], (int)cd[5], cd[2], n, src, want, room, names[cd[6]], 0, 1);
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        size_t out = 0;
        emd_work_set_threads(work, threads);
        const enum emd_status status = codec->encode(cd, 7, work, src, n, made, room, &out, &err);
        ck_assert_msg(
            (size > 0) == (status == EMD_OK) && (size_t)size == out && memcmp(want, made, out) == 0,
            "%s level %u shuffle %u item %u, %zu bytes, room %zu, %u threads: %zu, not %d",
            names[cd[6]], cd[4], cd[5], cd[2], n, room, threads, out, size);
        ck_assert(status == EMD_OK || status == EMD_E_BUDGET);
    }
    free(want), free(made);
}

START_TEST(we_write_as_c_blosc)
{
    static const size_t sizes[] = {16, 128, 200, 1000, 32767, 32768, 300004, 700001};
    static const unsigned items[] = {1, 2, 4, 7, 16, 17, 255};
    enum { SIZES = sizeof sizes / sizeof sizes[0], MANY_BLOCKS = 2500000 };
    struct emd_work *work = emd_work_new();
    uint8_t *src = get(MANY_BLOCKS);
    unsigned cd[] = {2, 2, 0, 0, (unsigned)_i, 0, 0};
    for (cd[6] = BLOSC_LZ4; cd[6] <= BLOSC_ZSTD; cd[6] += BLOSC_ZSTD - BLOSC_LZ4)
        for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
            if (cd[6] == BLOSC_ZSTD && _i > 5 && i != 1)
                continue; /* slow */
            cd[2] = items[i];
            cd[5] = i % 3;
            memset(src, 0, MANY_BLOCKS);
            write_as_c_blosc(cd, work, src, MANY_BLOCKS, MANY_BLOCKS);
            for (size_t k = 0; k < SIZES; k++) {
                const size_t n = sizes[k];
                if (n > 40000 && (i != 1 || (_i != 1 && _i != 5)))
                    continue;
                for (cd[5] = 0; cd[5] <= 2; cd[5]++) {
                    for (int kind = 0; kind < DATA_KINDS; kind++) {
                        fill_data((enum data_kind)kind, src, n, n);
                        write_as_c_blosc(cd, work, src, n, n + BLOSC_MAX_OVERHEAD);
                    }
                    write_as_c_blosc(cd, work, src, n, n / 2);
                    /* Just about smaller than the original: zeros at one end or the other. */
                    for (size_t zeros = 16; zeros <= 256 && zeros < n; zeros *= 2) {
                        fill_data(DATA_RANDOM, src, n, zeros);
                        memset(zeros % 3 == 1 ? src : src + n - zeros, 0, zeros);
                        write_as_c_blosc(cd, work, src, n, n + BLOSC_MAX_OVERHEAD);
                        write_as_c_blosc(cd, work, src, n, n);
                    }
                }
            }
        }
    free(src);
    emd_work_free(work);
}
END_TEST

/* ---- parameters and registry ---- */

START_TEST(blosc_set_local)
{
    const struct emd_codec *codec = emd_codec_by_id(EMD_FILTER_BLOSC);
    struct emd_chunk_shape shape = {.item_class = EMD_ITEM_INTEGER,
                                    .item_size = 2,
                                    .base_size = 2,
                                    .rank = 3,
                                    .dims = {2048, 2048, 1}};
    const unsigned user[] = {0, 0, 0, 0, 5, 2, 5}, want[] = {2, 2, 2, 8388608, 5, 2, 5};
    unsigned cd[EMD_CD_MAX], again[EMD_CD_MAX];
    size_t count, count_again;
    ck_assert_int_eq(codec->set_local(&shape, user, 7, cd, &count, NULL), EMD_OK);
    ck_assert_uint_eq(count, 7);
    ck_assert_mem_eq(cd, want, sizeof want);
    ck_assert_int_eq(codec->set_local(&shape, cd, count, again, &count_again, NULL), EMD_OK);
    ck_assert_uint_eq(count_again, 7);
    ck_assert_mem_eq(again, want, sizeof want);
    ck_assert_int_eq(codec->set_local(&shape, NULL, 0, cd, &count, NULL), EMD_OK);
    ck_assert_uint_eq(count, 4);
    shape.item_size = 24; /* an array of three doubles */
    shape.base_size = 8;
    ck_assert_int_eq(codec->set_local(&shape, user, 7, cd, &count, NULL), EMD_OK);
    ck_assert_uint_eq(cd[2], 8);
    shape.base_size = 300;
    ck_assert_int_eq(codec->set_local(&shape, user, 7, cd, &count, NULL), EMD_OK);
    ck_assert_uint_eq(cd[2], 1);
    shape.dims[0] = 1 << 20;
    ck_assert_int_eq(codec->set_local(&shape, user, 7, cd, &count, NULL), EMD_E_UNSUPPORTED);
    shape.dims[0] = shape.dims[1] = UINT64_MAX / 2;
    ck_assert_uint_eq(emd_chunk_bytes(&shape), 0);
    ck_assert_int_eq(codec->set_local(&shape, user, 7, cd, &count, NULL), EMD_E_UNSUPPORTED);
}
END_TEST

START_TEST(bitshuffle_set_local)
{
    const struct emd_codec *codec = emd_codec_by_id(EMD_FILTER_BITSHUFFLE);
    const struct emd_chunk_shape shape = {.item_size = 2, .base_size = 2, .rank = 1, .dims = {64}};
    static const struct {
        size_t count, want_count;
        unsigned user[7], want[7];
    } cases[] = {{0, 3, {0}, {0, 4, 2}},
                 {2, 5, {0, 2}, {0, 4, 2, 0, 2}},
                 {3, 6, {64, 3, 9}, {0, 4, 2, 64, 3, 9}},
                 {3, 3, {0, 4, 4}, {0, 4, 2}}, /* stored with items of 4 bytes */
                 {5, 5, {0, 3, 4, 0, 2}, {0, 4, 2, 0, 2}}};
    unsigned cd[EMD_CD_MAX], again[EMD_CD_MAX];
    size_t count, count_again;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(codec->set_local(&shape, cases[i].user, cases[i].count, cd, &count, NULL),
                         EMD_OK);
        ck_assert_uint_eq(count, cases[i].want_count);
        ck_assert_mem_eq(cd, cases[i].want, count * sizeof cd[0]);
        ck_assert_int_eq(codec->set_local(&shape, cd, count, again, &count_again, NULL), EMD_OK);
        ck_assert_uint_eq(count_again, count);
        ck_assert_mem_eq(again, cd, count * sizeof cd[0]);
    }
    ck_assert_int_eq(codec->set_local(&shape, (unsigned[]){7, 2}, 2, cd, &count, NULL),
                     EMD_E_ARGUMENT);
    ck_assert_int_eq(codec->set_local(&shape, (unsigned[]){0, 1}, 2, cd, &count, NULL),
                     EMD_E_ARGUMENT);
    ck_assert_int_eq(codec->set_local(&shape, cases[0].user, 7, cd, &count, NULL), EMD_E_ARGUMENT);
}
END_TEST

/* Items of several bytes: any number of them, but whole ones only. */
START_TEST(bitshuffle_items)
{
    const struct emd_codec *codec = emd_codec_by_id(EMD_FILTER_BITSHUFFLE);
    static const size_t counts[] = {1, 7, 8, 9, 100, 127, 128, 4095, 4096, 4103, 9000};
    for (unsigned item = 2; item <= 300; item = item < 20 ? item + 1 : item * 2)
        for (unsigned mode = 0; mode <= 3; mode += mode ? 1 : 2)
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
                const unsigned cd[] = {0, 4, item, c % 2 ? 0 : 64, mode, 1};
                const size_t n = counts[c] * item, most = codec->bound(cd, 6, n);
                uint8_t *src = get(n), *dst = get(most), *back = get(n);
                size_t size, out;
                fill_data(DATA_CAMERA, src, n, n);
                must(codec->encode(cd, 6, NULL, src, n, dst, most, &size, NULL) == EMD_OK);
                must(codec->decode(cd, 6, NULL, dst, size, back, n, &out, NULL) == EMD_OK);
                must(out == n && memcmp(src, back, n) == 0);
                must(codec->encode(cd, 6, NULL, src, n - 1, dst, most, &size, NULL) ==
                     EMD_E_UNSUPPORTED);
                free(src), free(dst), free(back);
            }
}
END_TEST

START_TEST(registry)
{
    for (size_t i = 0; emd_codecs()[i]; i++) {
        const struct emd_codec *codec = emd_codecs()[i];
        ck_assert_ptr_eq(emd_codec_by_id(codec->id), codec);
        ck_assert_ptr_eq(emd_codec_by_name(codec->name), codec);
        ck_assert(codec->bound && codec->encode && codec->decode && codec->work_bytes);
    }
    ck_assert_ptr_null(emd_codec_by_id(4));
    ck_assert_ptr_null(emd_codec_by_name(""));
}
END_TEST

/* HDF5's own checksum of a few buffers, taken from files that HDF5 1.10.8 wrote. */
START_TEST(fletcher_known_sums)
{
    const struct emd_codec *codec = emd_codec_by_id(EMD_FILTER_FLETCHER32);
    /* Sums of words by hand: sum1 = 0x0102 + 0x0300 = 0x0402, sum2 = 0x0102 + 0x0402 = 0x0504. */
    const uint8_t three[] = {1, 2, 3}, want[] = {1, 2, 3, 0x02, 0x04, 0x04, 0x05};
    uint8_t out[70004], *ones = get(70000);
    size_t size;
    ck_assert_int_eq(codec->encode(NULL, 0, NULL, three, 3, out, sizeof out, &size, NULL), EMD_OK);
    ck_assert_uint_eq(size, 7);
    ck_assert_mem_eq(out, want, 7);
    /* All words 0xFFFF = 0 modulo 65535, folded to 0xFFFF. */
    memset(ones, 0xFF, 70000);
    ck_assert_int_eq(codec->encode(NULL, 0, NULL, ones, 70000, out, sizeof out, &size, NULL),
                     EMD_OK);
    ck_assert_mem_eq(out + 70000, "\xFF\xFF\xFF\xFF", 4);
    /* The plain definition. */
    for (size_t n = 0; n < 3000; n += 37) {
        uint64_t a = 0, b = 0;
        fill_data(DATA_RANDOM, ones, 3000, n + 1);
        for (size_t i = 0; i < n; i += 2) {
            a += (uint64_t)ones[i] << 8 | (i + 1 < n ? ones[i + 1] : 0);
            a = (a & 0xFFFF) + (a >> 16);
            b += a;
            b = (b & 0xFFFF) + (b >> 16);
        }
        ck_assert_int_eq(codec->encode(NULL, 0, NULL, ones, n, out, sizeof out, &size, NULL),
                         EMD_OK);
        ck_assert_uint_eq(out[n] | out[n + 1] << 8, a);
        ck_assert_uint_eq(out[n + 2] | out[n + 3] << 8, b);
    }
    free(ones);
}
END_TEST

/* ---- pipelines ---- */

static struct emd_filter filter(unsigned id, bool optional, unsigned cd)
{
    struct emd_filter f = {.codec = emd_codec_by_id(id), .optional = optional};
    f.cd_count = id == EMD_FILTER_FLETCHER32 ? 0 : 1;
    f.cd[0] = cd;
    return f;
}

static void pipeline_trip(const struct emd_pipeline *p, const uint8_t *src, size_t n,
                          uint32_t want_mask, size_t *stored)
{
    struct emd_error err = {0};
    struct emd_work *work = emd_work_new();
    size_t most = emd_pipeline_bound(p, n), size = 0;
    uint8_t *dst = get(most), *back = get(n), *exact;
    uint32_t mask = 99;
    ck_assert_msg(emd_pipeline_encode(p, work, src, n, dst, most, &size, &mask, &err) == EMD_OK,
                  "%s", err.text);
    ck_assert_uint_eq(mask, want_mask);
    exact = get(size);
    memcpy(exact, dst, size);
    ck_assert_msg(emd_pipeline_decode(p, mask, work, exact, size, back, n, &err) == EMD_OK, "%s",
                  err.text);
    ck_assert_mem_eq(back, src, n);
    ck_assert_msg(emd_pipeline_decode(p, mask, NULL, exact, size, back, n, &err) == EMD_OK, "%s",
                  err.text);
    ck_assert_mem_eq(back, src, n);
    uint8_t *room = emd_pipeline_check_bytes(p, n) ? get(emd_pipeline_check_bytes(p, n)) : NULL;
    ck_assert_msg(emd_pipeline_check(p, mask, work, exact, size, src, n, room, &err) == EMD_OK,
                  "%s", err.text);
    back[n - 1] ^= 1;
    ck_assert_int_eq(emd_pipeline_check(p, mask, work, exact, size, back, n, room, &err),
                     EMD_E_VERIFY);
    free(room);
    uint8_t *other = get(n + 1);
    ck_assert_int_ne(emd_pipeline_decode(p, mask, work, exact, size, other, n + 1, &err), EMD_OK);
    ck_assert_int_ne(emd_pipeline_decode(p, mask, work, exact, size, other, n - 1, &err), EMD_OK);
    *stored = size;
    ck_assert_uint_gt(emd_pipeline_work_bytes(p, n) + 1, 0);
    free(dst), free(back), free(exact), free(other);
    emd_work_free(work);
}

START_TEST(pipelines)
{
    enum { N = 40000 };
    uint8_t *camera = get(N), *noise = get(N);
    size_t stored;
    fill_data(DATA_CAMERA, camera, N, 1);
    fill_data(DATA_RANDOM, noise, N, 1);

    struct emd_pipeline p = {.count = 0};
    pipeline_trip(&p, camera, N, 0, &stored);
    ck_assert_uint_eq(stored, N);

    p = (struct emd_pipeline){2, {filter(EMD_FILTER_SHUFFLE, true, 2), filter(1, true, 4)}};
    pipeline_trip(&p, camera, N, 0, &stored);
    ck_assert_uint_lt(stored, N * 3 / 5);
    pipeline_trip(&p, noise, N, 3, &stored); /* both left out */
    ck_assert_uint_eq(stored, N);

    p.filter[0].optional = false; /* HDF5 expects it on every chunk */
    pipeline_trip(&p, noise, N, 2, &stored);
    ck_assert_uint_eq(stored, N);
    p.filter[1].optional = false;
    pipeline_trip(&p, noise, N, 0, &stored);
    ck_assert_uint_gt(stored, N);

    p = (struct emd_pipeline){
        4,
        {filter(EMD_FILTER_FLETCHER32, false, 0), filter(EMD_FILTER_SHUFFLE, true, 2),
         filter(EMD_FILTER_ZSTD, true, 1), filter(EMD_FILTER_FLETCHER32, true, 0)}};
    pipeline_trip(&p, camera, N, 0, &stored);
    pipeline_trip(&p, noise, N, 6, &stored);
    ck_assert_uint_eq(stored, N + 8);

    p = (struct emd_pipeline){
        2, {filter(EMD_FILTER_EDC, true, 2), filter(EMD_FILTER_FLETCHER32, true, 0)}};
    ck_assert_uint_eq(emd_pipeline_check_bytes(&p, N), 0);
    pipeline_trip(&p, camera, N, 0, &stored);
    pipeline_trip(&p, noise, N, 1, &stored);
    ck_assert_uint_eq(stored, N + 4);

    p = (struct emd_pipeline){0};
    for (; p.count < EMD_PIPELINE_MAX; p.count++)
        p.filter[p.count] = filter(p.count % 2 ? EMD_FILTER_DEFLATE : EMD_FILTER_SHUFFLE, true, 2);
    for (size_t i = 1; i < EMD_PIPELINE_MAX; i += 2) {
        uint32_t left_out = 0;
        /* What one deflate made no second one makes smaller. */
        for (size_t k = 2; k < EMD_PIPELINE_MAX; k++)
            left_out |= (uint32_t)1 << k;
        pipeline_trip(&p, camera, N, left_out, &stored);
    }
    free(camera), free(noise);
}
END_TEST

START_TEST(pipeline_equality)
{
    struct emd_pipeline a = {2, {filter(EMD_FILTER_SHUFFLE, true, 2), filter(1, true, 4)}}, b = a;
    ck_assert(emd_pipeline_equal(&a, &b));
    b.filter[1].tune = 31; /* not stored */
    ck_assert(emd_pipeline_equal(&a, &b));
    b.filter[1].cd[0] = 5;
    ck_assert(!emd_pipeline_equal(&a, &b));
    b = a;
    b.filter[0].optional = false;
    ck_assert(!emd_pipeline_equal(&a, &b));
    b = a;
    b.count = 1;
    ck_assert(!emd_pipeline_equal(&a, &b));
}
END_TEST

START_TEST(pipeline_with_wrong_mask)
{
    enum { N = 5000 };
    uint8_t src[N], dst[2 * N], back[N];
    struct emd_pipeline p = {2, {filter(EMD_FILTER_SHUFFLE, true, 2), filter(1, true, 4)}};
    size_t size;
    uint32_t mask;
    fill_data(DATA_CAMERA, src, N, 1);
    ck_assert_int_eq(emd_pipeline_encode(&p, NULL, src, N, dst, sizeof dst, &size, &mask, NULL),
                     EMD_OK);
    ck_assert_int_eq(emd_pipeline_decode(&p, 2, NULL, dst, size, back, N, NULL), EMD_E_CORRUPT);
    ck_assert_int_eq(emd_pipeline_decode(&p, 0xFFFFFFFC, NULL, dst, size, back, N, NULL), EMD_OK);
    ck_assert_mem_eq(back, src, N);
    /* Too little room for the result. */
    ck_assert_int_eq(emd_pipeline_encode(&p, NULL, src, N, dst, size - 1, &size, &mask, NULL),
                     EMD_E_BUDGET);
}
END_TEST

/* ---- automatic choice ---- */

START_TEST(automatic_choice)
{
    enum { SIDE = 512, N = SIDE * SIDE * 2 };
    const struct emd_chunk_shape shape = {.item_class = EMD_ITEM_INTEGER,
                                          .item_size = 2,
                                          .base_size = 2,
                                          .is_signed = true,
                                          .rank = 3,
                                          .dims = {SIDE, SIDE, 1}};
    struct emd_filter filter[DATA_KINDS], again;
    uint8_t *data = get(N), *packed = get(N + 100), *back = get(N);
    const struct emd_sample samples[] = {{data, N}, {data, N / 2}};
    for (int kind = 0; kind < DATA_KINDS; kind++) {
        struct emd_error err = {0};
        fill_data((enum data_kind)kind, data, N, 9);
        ck_assert_msg(emd_auto_choose(&shape, samples, 2, NULL, &filter[kind], &err) == EMD_OK,
                      "%s", err.text);
        ck_assert_int_eq(emd_auto_choose(&shape, samples, 2, NULL, &again, &err), EMD_OK);
        ck_assert_mem_eq(&again.cd, &filter[kind].cd, 7 * sizeof again.cd[0]);
        ck_assert_uint_eq(again.tune, filter[kind].tune);
        ck_assert_uint_eq(filter[kind].cd_count, 7);
        ck_assert_uint_eq(filter[kind].cd[6], 5);

        const struct emd_pipeline p = {1, {filter[kind]}};
        size_t size;
        uint32_t mask;
        ck_assert_int_eq(
            emd_pipeline_encode(&p, NULL, data, N, packed, N + 100, &size, &mask, &err), EMD_OK);
        ck_assert_int_eq(emd_pipeline_decode(&p, mask, NULL, packed, size, back, N, &err), EMD_OK);
        ck_assert_mem_eq(back, data, N);
    }
    /* Values that straddle zero want bit shuffle, one-signed noise wants byte shuffle. */
    ck_assert_uint_eq(filter[DATA_SIGNED].cd[5], 2);
    ck_assert_uint_eq(filter[DATA_CAMERA].cd[5], 1);
    ck_assert_int_eq(emd_auto_choose(&shape, NULL, 0, NULL, &again, NULL), EMD_OK);
    free(data), free(packed), free(back);
}
END_TEST

/* ---- threads for one chunk ---- */

/* More than one thread gives the same bytes and the same data, and finds the same damage. */
START_TEST(threads_within_a_chunk)
{
    enum { N = 1200005, HELPERS = 3 };
    static const unsigned threads[HELPERS] = {2, 4, 5};
    const struct setting *s = &settings[_i];
    const struct emd_codec *codec = emd_codec_by_id(s->id);
    if (s->id != EMD_FILTER_BLOSC && s->id != EMD_FILTER_BITSHUFFLE)
        return; /* a single stream */
    struct emd_work *one = emd_work_new(), *many = emd_work_new();
    const size_t n = N;
    uint8_t *src = get(n), *packed, *again, *back = get(n);
    fill_data(DATA_CAMERA, src, n, 11);
    const size_t size = encode(s, one, src, n, &packed);
    for (int i = 0; i < HELPERS; i++) {
        size_t out = 0;
        emd_work_set_threads(many, threads[i]);
        ck_assert_uint_eq(encode(s, many, src, n, &again), size);
        must(memcmp(packed, again, size) == 0);
        memset(back, 0xEE, n);
        must(codec->decode(s->cd, s->cd_count, many, packed, size, back, n, &out, NULL) == EMD_OK);
        must(out == n && memcmp(back, src, n) == 0);
        uint64_t state = 5;
        for (int round = 0; round < 20; round++) {
            const size_t at = next_random(&state) % size, cut = round % 2 ? at : size;
            struct emd_error err[2] = {{.status = EMD_OK}};
            again[at] ^= 0x55;
            for (int w = 0; w < 2; w++)
                err[w].status = codec->decode(s->cd, s->cd_count, w ? many : one, again, cut, back,
                                              n, &out, &err[w]);
            again[at] ^= 0x55;
            must(err[0].status == err[1].status);
            must(strcmp(err[0].text, err[1].text) == 0);
        }
        free(again);
    }
    emd_work_free(one);
    emd_work_free(many);
    free(src), free(packed), free(back);
}
END_TEST

/* The linker puts this in the place of pthread_create: a system may have no more threads to give.
 */
static unsigned threads_to_be_had = UINT_MAX;
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument)
{
    if (threads_to_be_had == 0)
        return EAGAIN;
    threads_to_be_had--;
    return __real_pthread_create(thread, attributes, start, argument);
}

/* Fewer threads than wanted change nothing. */
START_TEST(threads_that_cannot_be_had)
{
    enum { N = 1200005, WANTED = 5 };
    const struct setting *s = &settings[_i];
    const struct emd_codec *codec = emd_codec_by_id(s->id);
    struct emd_work *one = emd_work_new(), *many = emd_work_new();
    uint8_t *src = get(N), *packed, *again, *back = get(N);
    fill_data(DATA_CAMERA, src, N, 12);
    const size_t size = encode(s, one, src, N, &packed);
    emd_work_set_threads(many, WANTED);
    for (unsigned had = 0; had < WANTED - 1; had++) {
        size_t out = 0;
        threads_to_be_had = had;
        ck_assert_uint_eq(encode(s, many, src, N, &again), size);
        must(memcmp(packed, again, size) == 0);
        threads_to_be_had = had;
        memset(back, 0xEE, N);
        must(codec->decode(s->cd, s->cd_count, many, packed, size, back, N, &out, NULL) == EMD_OK);
        must(out == N && memcmp(back, src, N) == 0);
        free(again);
    }
    emd_work_free(one);
    emd_work_free(many);
    free(src), free(packed), free(back);
}
END_TEST

int main(void)
{
    const int sizes = sizeof item_sizes / sizeof item_sizes[0];
    int codecs = 0;
    while (emd_codecs()[codecs])
        codecs++;
    Suite *suite = suite_create("codec");
    TCase *t = tcase_create("shuffles");
    tcase_add_loop_test(t, shuffle_of_every_kind, 0, sizes);
    tcase_add_loop_test(t, bitshuffle_of_every_kind, 0, sizes);
    suite_add_tcase(suite, t);
    t = tcase_create("codecs");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, random_and_surplus_input, 0, SETTINGS);
    tcase_add_loop_test(t, absurd_parameters, 0, codecs);
    tcase_add_test(t, zstd_levels_are_clamped);
    tcase_add_loop_test(t, blosc_forged_headers, 0, SETTINGS);
    tcase_add_loop_test(t, blosc_surplus_bytes, 0, SETTINGS);
    tcase_add_test(t, blosc_set_local);
    tcase_add_test(t, bitshuffle_set_local);
    tcase_add_test(t, bitshuffle_items);
    tcase_add_test(t, registry);
    tcase_add_test(t, fletcher_known_sums);
    suite_add_tcase(suite, t);
    t = tcase_create("threads");
    tcase_set_tags(t, "threads");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, threads_within_a_chunk, 0, SETTINGS);
    tcase_add_loop_test(t, threads_that_cannot_be_had, 0, SETTINGS);
    suite_add_tcase(suite, t);
    t = tcase_create("long");
    tcase_set_tags(t, "long");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, round_trips, 0, SETTINGS);
    tcase_add_loop_test(t, truncated_and_flipped, 0, SETTINGS);
    suite_add_tcase(suite, t);
    t = tcase_create("others");
    tcase_set_tags(t, "long");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, zlib_reads_ours);
    tcase_add_test(t, we_read_zlib);
    tcase_add_test(t, zstd_frames);
    tcase_add_test(t, blosc_of_nothing);
    tcase_add_loop_test(t, c_blosc_reads_ours, 0, SETTINGS);
    tcase_add_loop_test(t, we_read_c_blosc, 0, 6);
    tcase_add_loop_test(t, we_write_as_c_blosc, 0, 10);
    suite_add_tcase(suite, t);
    t = tcase_create("pipelines");
    tcase_add_test(t, pipelines);
    tcase_add_test(t, pipeline_equality);
    tcase_add_test(t, pipeline_with_wrong_mask);
    suite_add_tcase(suite, t);
    t = tcase_create("auto");
    tcase_add_test(t, automatic_choice);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
