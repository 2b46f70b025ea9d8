/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The frame codec: every kind of pixel and size comes back, every SIMD level writes the same bytes,
 * and damage is an error or harmless, never other data. The scalar kernels are the oracle. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "codec/codec.h"
#include "codec/edc/edcstream.h"

static const struct edc_kernels *levels[EMD_SIMD_LEVELS];
static int level_count;

static void find_levels(void)
{
    for (int level = EMD_SIMD_SCALAR; level < EMD_SIMD_LEVELS; level++) {
        const struct edc_kernels *const kernels = edc_kernels_of((enum emd_simd)level);
        if (kernels)
            levels[level_count++] = kernels;
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* About normal, mean 0, deviation 2. */
static int noise(uint64_t *state)
{
    const uint64_t r = next_random(state);
    return (int)(r & 3) + (int)(r >> 8 & 3) + (int)(r >> 16 & 3) + (int)(r >> 24 & 3) - 6;
}

enum picture {
    PICTURE_ZERO,
    PICTURE_CAMERA, /* slopes, noise, spots */
    PICTURE_BRIGHT, /* the same, coarse */
    PICTURE_COUNTS,
    PICTURE_BLOBS,
    PICTURE_RANDOM,
    PICTURE_EXTREMES,
    PICTURE_STRIPES,
    PICTURES
};

static int64_t pixel(enum picture picture, uint32_t x, uint32_t y, uint64_t *state)
{
    const uint64_t r = next_random(state) >> 20;
    switch (picture) {
    case PICTURE_CAMERA:
        return 40 + (int64_t)(x + 2 * y) / 7 + noise(state) +
               (r % 300 == 0 ? (int)(r >> 10 & 511) : 0);
    case PICTURE_BRIGHT:
        return 9000 + 30 * (int64_t)x + 90 * noise(state) + (r % 90 == 0 ? 20000 : 0);
    case PICTURE_COUNTS:
        return r % 11 == 0 ? 1 + (int64_t)(r >> 8 & 1) : 0;
    case PICTURE_BLOBS:
        return (x * 7 + y * 3) % 29 < 3 && (y / 3) % 4 == 1 ? (int64_t)(r & 63) : 0;
    case PICTURE_RANDOM:
        return (int64_t)r;
    case PICTURE_EXTREMES:
        return r & 1 ? INT64_C(0x7FFFFFFF) : -INT64_C(0x80000000) + (int64_t)(r & 2);
    case PICTURE_STRIPES:
        return (int64_t)((x & 3) * 1000 + (y & 1) * 77);
    default:
        return 0;
    }
}

static void put_item(uint8_t *p, unsigned size, bool big, int64_t value)
{
    for (unsigned i = 0; i < size; i++)
        p[big ? size - 1 - i : i] = (uint8_t)((uint64_t)value >> (8 * i));
}

static size_t draw(const struct emd_edc_params *p, enum picture picture, uint64_t seed,
                   uint8_t *out)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 77;
    for (uint32_t k = 0; k < p->planes; k++)
        for (uint32_t y = 0; y < p->height; y++)
            for (uint32_t x = 0; x < p->width; x++) {
                const size_t at = p->interleaved ? ((size_t)y * p->width + x) * p->planes + k
                                                 : ((size_t)k * p->height + y) * p->width + x;
                put_item(out + at * p->item_size, p->item_size, p->big_endian,
                         pixel(picture, x, y, &state));
            }
    return (size_t)p->planes * p->height * p->width * p->item_size;
}

/* Comparing accepts the pixels that were encoded, and no others. */
static void check_trip(const struct edc_kernels *level, unsigned threads, const uint8_t *stream,
                       size_t size, uint8_t *pixels, size_t n, size_t place)
{
    struct emd_error err;
    ck_assert_int_eq(edc_check_with(level, threads, NULL, stream, size, pixels, n, &err), EMD_OK);
    ck_assert_int_eq(edc_check_with(level, threads, NULL, stream, size, pixels, n + 1, &err),
                     EMD_E_VERIFY);
    if (n == 0)
        return;
    pixels[place] ^= 0x10;
    ck_assert_int_eq(edc_check_with(level, threads, NULL, stream, size, pixels, n, &err),
                     EMD_E_VERIFY);
    pixels[place] ^= 0x10;
}

/* Encodes with all levels, compares, decodes with all and with two threads. Returns the size. */
static size_t round_trip(const struct emd_edc_params *p, const uint8_t *src, size_t n)
{
    const size_t bound = emd_edc_bound(n);
    uint8_t *const first = malloc(bound), *const other = malloc(bound), *const back = malloc(n + 1);
    size_t size = 0, again, got;
    struct emd_error err;
    ck_assert(bound <= n + n / 1000 + 64);
    for (int i = 0; i < level_count; i++) {
        uint8_t *const out = i ? other : first;
        err.text[0] = 0;
        ck_assert_msg(edc_encode_with(levels[i], p, NULL, src, n, out, bound, &again, &err) ==
                          EMD_OK,
                      "%ux%u item %u: %s", p->width, p->height, p->item_size, err.text);
        ck_assert_uint_le(again, bound);
        if (i == 0)
            size = again;
        ck_assert_msg(again == size && memcmp(first, out, size) == 0,
                      "level %d differs at %ux%ux%u item %u", i, p->width, p->height, p->planes,
                      p->item_size);
    }
    for (int i = 0; i <= level_count; i++) {
        memset(back, 0xA5, n + 1);
        got = 0;
        ck_assert_msg(edc_decode_with(levels[i < level_count ? i : 0], i < level_count ? 1 : 2,
                                      NULL, first, size, back, n, &got, &err) == EMD_OK,
                      "%ux%u item %u: %s", p->width, p->height, p->item_size, err.text);
        ck_assert_uint_eq(got, n);
        ck_assert_msg(memcmp(back, src, n) == 0, "level %d decodes %ux%ux%u item %u wrongly", i,
                      p->width, p->height, p->planes, p->item_size);
        ck_assert_uint_eq(back[n], 0xA5);
        check_trip(levels[i < level_count ? i : 0], i < level_count ? 1 : 2, first, size, back, n,
                   n ? (n - 1) / (size_t)level_count * (size_t)i : 0);
    }
    free(first);
    free(other);
    free(back);
    return size;
}

/* All kinds of pixels. */
START_TEST(all_items)
{
    static uint8_t buffer[300 * 90 * 4];
    const enum picture picture = (enum picture)_i;
    const unsigned sizes[] = {1, 2, 4};
    for (int s = 0; s < 3; s++)
        for (int kind = 0; kind < 8; kind++) {
            const int effort = 1 + (kind + s + _i) % 3;
            const struct emd_edc_params p = {.item_size = sizes[s],
                                             .is_integer = true,
                                             .is_signed = kind & 1,
                                             .big_endian = kind & 2,
                                             .interleaved = kind & 4,
                                             .width = kind & 4 ? 100 : 150,
                                             .height = kind & 4 ? 60 : 90,
                                             .planes = kind & 4 ? 3 : 2,
                                             .effort = (enum emd_edc_effort)effort};
            const size_t n = draw(&p, picture, (uint64_t)(kind * 3 + s), buffer);
            round_trip(&p, buffer, n);
        }
}
END_TEST

/* All small sizes. */
START_TEST(all_sizes)
{
    static uint8_t buffer[70 * 70 * 2];
    for (uint32_t w = 1; w <= 70; w++)
        for (uint32_t h = 1; h <= 70; h += w % 8 ? 7 : 2) {
            const struct emd_edc_params p = {.item_size = 2,
                                             .is_integer = true,
                                             .is_signed = w & 1,
                                             .width = w,
                                             .height = h,
                                             .planes = 1,
                                             .effort = (enum emd_edc_effort)(1 + (w + h) % 3)};
            const size_t n =
                draw(&p, (enum picture)(_i ? 1 + (w * 3 + h) % (PICTURES - 1) : PICTURE_CAMERA),
                     w * 71 + h, buffer);
            round_trip(&p, buffer, n);
        }
}
END_TEST

/* Several strips, ragged widths. */
START_TEST(large)
{
    const struct emd_edc_params shapes[] = {
        {2, true, true, false, false, 2050, 600, 1, EMD_EDC_DEFAULT},
        {2, true, false, false, false, 1001, 1300, 1, EMD_EDC_BEST},
        {2, true, false, true, true, 260, 300, 4, EMD_EDC_DEFAULT},
        {4, true, true, false, false, 512, 512, 3, EMD_EDC_DEFAULT},
        {1, true, false, false, false, 70000, 20, 1, EMD_EDC_DEFAULT},
        {2, true, false, false, false, 40, 30, 50, EMD_EDC_FAST}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct emd_edc_params *const p = &shapes[i];
        uint8_t *const src = malloc((size_t)p->width * p->height * p->planes * p->item_size);
        const size_t n = draw(p, i % 2 ? PICTURE_COUNTS : PICTURE_CAMERA, i, src);
        const size_t size = round_trip(p, src, n);
        ck_assert_uint_lt(size, n * 3 / 4);
        free(src);
    }
}
END_TEST

/* Encodes a square of 16-bit pixels with every effort: none may be larger than the one below. */
static void check_efforts(const char *what, uint32_t side, bool is_signed, const uint8_t *src)
{
    const size_t n = (size_t)side * side * 2, bound = emd_edc_bound(n);
    uint8_t *const stream = malloc(bound);
    size_t size, before = SIZE_MAX;
    for (int effort = EMD_EDC_FAST; effort <= EMD_EDC_BEST; effort++) {
        const struct emd_edc_params p = {.item_size = 2,
                                         .is_integer = true,
                                         .is_signed = is_signed,
                                         .width = side,
                                         .height = side,
                                         .planes = 1,
                                         .effort = (enum emd_edc_effort)effort};
        ck_assert(emd_edc_encode(&p, NULL, src, n, stream, bound, &size, NULL) == EMD_OK);
        ck_assert_msg(size <= before, "%s, %u x %u: %zu bytes with effort %d, %zu with less", what,
                      side, side, size, effort, before);
        before = size;
    }
    free(stream);
}

START_TEST(more_effort)
{
    static const uint32_t sides[] = {24, 64, 128, 256, 512};
    static uint8_t buffer[512 * 512 * 2];
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++)
        for (int picture = 0; picture < PICTURES; picture++) {
            const struct emd_edc_params p = {
                .item_size = 2, .width = sides[i], .height = sides[i], .planes = 1};
            char what[32];
            draw(&p, (enum picture)picture, sides[i] + (unsigned)picture, buffer);
            snprintf(what, sizeof what, "picture %d", picture);
            check_efforts(what, sides[i], picture & 1, buffer);
        }
}
END_TEST

/* The same of real and simulated frames, where the test data are. */
START_TEST(more_effort_frames)
{
    static const struct {
        const char *name;
        uint32_t width;
        bool is_signed;
    } frames[] = {{"ceta2k.i2.2048", 2048, true},     {"cetalow.i2.2048", 2048, true},
                  {"R_cetadark.i2.512", 512, true},   {"R_rayonix.u2.1920", 1920, false},
                  {"R_timepix.u2.512", 512, false},   {"falcon.u2.2048", 2048, false},
                  {"falconblob.u2.2048", 2048, false}};
    static const uint32_t sides[] = {64, 128, 256, 512};
    static uint8_t crop[512 * 512 * 2];
    const char *const data = getenv("EMDTOOLS_TEST_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/frames/%s", data ? data : "", frames[_i].name);
    FILE *const file = fopen(path, "rb");
    if (!file) {
        printf("skipped: no frame %s\n", frames[_i].name);
        return;
    }
    const uint32_t w = frames[_i].width;
    uint8_t *const pixels = malloc((size_t)w * w * 2);
    ck_assert_uint_eq(fread(pixels, (size_t)w * 2, w, file), w);
    fclose(file);
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++)
        for (uint32_t k = 0; k < 512 / sides[i]; k++) {
            const uint32_t x = (w - sides[i]) * k / 7 % (w - sides[i] + 1);
            const uint32_t y = (w - sides[i]) * (7 - k % 8) / 7;
            for (uint32_t row = 0; row < sides[i]; row++)
                memcpy(crop + (size_t)row * sides[i] * 2, pixels + ((size_t)(y + row) * w + x) * 2,
                       (size_t)sides[i] * 2);
            check_efforts(frames[_i].name, sides[i], frames[_i].is_signed, crop);
        }
    check_efforts(frames[_i].name, w, frames[_i].is_signed, pixels);
    free(pixels);
}
END_TEST

/* What is no image of integers, or not of the size that was said. */
START_TEST(bytes)
{
    static uint8_t buffer[100000];
    uint64_t state = 5;
    for (size_t i = 0; i < sizeof buffer; i++)
        buffer[i] = (uint8_t)(i % 8 == 7 ? next_random(&state) : i % 8 * 3);
    for (unsigned item = 1; item < 300; item += 41)
        for (size_t n = 0; n < sizeof buffer; n = n * 3 + 1) {
            const struct emd_edc_params p = {.item_size = item,
                                             .width = 10,
                                             .height = 10,
                                             .planes = 1,
                                             .effort = EMD_EDC_DEFAULT};
            round_trip(&p, buffer, n);
        }
    const struct emd_edc_params wrong = {.item_size = 2,
                                         .is_integer = true,
                                         .width = 100,
                                         .height = 100,
                                         .planes = 1,
                                         .effort = EMD_EDC_DEFAULT};
    round_trip(&wrong, buffer, 20001);
    round_trip(&wrong, buffer, 3);
}
END_TEST

/* Every truncation and every single-byte flip of a stream: an error, or the very same pixels. */
static void damage(const struct emd_edc_params *p, enum picture picture)
{
    static uint8_t src[64 * 1024], stream[80 * 1024], broken[80 * 1024], back[64 * 1024 + 64];
    const size_t n = draw(p, picture, 3, src);
    size_t size, got;
    struct emd_edc_work *const work = emd_edc_work_new();
    const struct edc_kernels *const best = levels[level_count - 1];
    ck_assert(edc_encode_with(best, p, work, src, n, stream, sizeof stream, &size, NULL) == EMD_OK);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *const exact = malloc(cut + 1); /* sanitizers see what reads past its end */
        memcpy(exact, stream, cut);
        if (edc_decode_with(best, 1, work, exact, cut, back, n, &got, NULL) == EMD_OK)
            ck_abort_msg("cut to %zu of %zu bytes", cut, size);
        if (edc_check_with(best, 1, work, exact, cut, src, n, NULL) == EMD_OK)
            ck_abort_msg("cut to %zu of %zu bytes, compared", cut, size);
        free(exact);
    }
    memcpy(broken, stream, size);
    broken[size] = 0;
    ck_assert(edc_decode_with(best, 1, work, broken, size + 1, back, n, &got, NULL) != EMD_OK);
    ck_assert(edc_decode_with(best, 1, work, broken, size, back, n - 1, &got, NULL) != EMD_OK);
    for (size_t at = 0; at < size; at++)
        for (int flip = 0; flip < 2; flip++) {
            broken[at] ^= flip ? 0xFF : (uint8_t)(1 << at % 8);
            got = 0;
            const bool decodes = edc_decode_with(best, 1, work, broken, size, back, sizeof back,
                                                 &got, NULL) == EMD_OK;
            if (decodes)
                ck_assert_msg(got == n && memcmp(back, src, n) == 0, "byte %zu flipped", at);
            ck_assert_msg((edc_check_with(best, 1, work, broken, size, src, n, NULL) == EMD_OK) ==
                              decodes,
                          "byte %zu flipped", at);
            broken[at] = stream[at];
        }
    /* Strips of so many rows that their sum with the height, as 32 bits, begins again at 0. */
    for (uint32_t rows = 8; rows <= 256; rows += 8) {
        const uint32_t wrapped = 0 - rows;
        for (int i = 0; i < 4; i++)
            broken[20 + i] = (uint8_t)(wrapped >> (8 * i));
        if (edc_decode_with(best, 1, work, broken, size, back, n, &got, NULL) == EMD_OK)
            ck_assert(got == n && memcmp(back, src, n) == 0);
    }
    emd_edc_work_free(work);
}

START_TEST(damaged)
{
    struct emd_edc_params p = {.item_size = 2,
                               .is_integer = true,
                               .width = 70,
                               .height = 40,
                               .planes = 1,
                               .effort = EMD_EDC_BEST};
    const enum picture pictures[] = {PICTURE_CAMERA, PICTURE_COUNTS, PICTURE_BLOBS, PICTURE_BRIGHT,
                                     PICTURE_STRIPES};
    damage(&p, pictures[_i]);
    p.effort = EMD_EDC_FAST;
    p.item_size = 4;
    damage(&p, pictures[_i]);
    p.interleaved = true;
    p.planes = 3;
    p.item_size = 1;
    damage(&p, pictures[_i]);
}
END_TEST

/* Frequencies that fall off about as 2^(-s / slope), with gaps. */
static void make_table(unsigned slope, uint64_t *state, struct edc_table *table)
{
    unsigned sum = 0;
    memset(table, 0, sizeof *table);
    for (unsigned s = 1; s < EDC_SYMBOLS; s++) {
        const unsigned octaves = s / slope, most = 600;
        const unsigned f = octaves < 16 ? (unsigned)(next_random(state) % most) >> octaves : 0;
        if (sum + f + 1 >= EDC_RANS_TOTAL || next_random(state) % 8 == 0)
            continue;
        table->frequency[s] = (uint16_t)(f + (slope < 8));
        sum += table->frequency[s];
    }
    table->frequency[0] = (uint16_t)(EDC_RANS_TOTAL - sum);
}

/* What is looked up in registers is what the slots say, or is said to be unknown, which is rare. */
START_TEST(ranks)
{
    static uint32_t slots[EDC_RANS_TOTAL];
    uint64_t state = 0x9E3779B97F4A7C15u;
    for (unsigned slope = 1; slope < 40; slope++) {
        struct edc_table table;
        struct edc_ranks r;
        unsigned unknown = 0;
        make_table(slope, &state, &table);
        edc_build_decoder(&table, slots);
        edc_build_ranks(&table, &r);
        for (unsigned slot = 0; slot < EDC_RANS_TOTAL; slot++) {
            const unsigned bucket = slot / 64, place = slot % 64;
            unsigned rank = r.rank[bucket];
            for (int k = 0; k < 3; k++)
                rank += place >= r.next[k][bucket];
            if (rank & EDC_RANK_LAST)
                rank = r.last[slot % 128];
            if (rank & EDC_RANK_UNKNOWN) {
                unknown++;
                continue;
            }
            ck_assert_uint_lt(rank, 64);
            ck_assert_uint_eq(r.symbol[rank], slots[slot] & 0xFF);
            ck_assert_uint_eq(r.frequency[rank], slots[slot] >> 8 & 0xFFF);
            ck_assert_uint_eq(slot - r.start[rank], slots[slot] >> 20);
        }
        ck_assert_uint_lt(unknown, slope < 8 ? 512 : 2048);
    }
}
END_TEST

/* A state for a symbol of that frequency: at the edges of a quotient, where approximations of it
 * break, or anywhere. */
static uint32_t make_state(uint32_t frequency, uint64_t *state)
{
    const uint64_t r = next_random(state);
    const uint32_t quotients = UINT32_C(1) << (32 - EDC_RANS_BITS);
    const uint32_t q = r & 1 ? (uint32_t)(r >> 32) % quotients : quotients - 1 - (r >> 32) % 4;
    uint32_t x = frequency * q; /* below 2^32, as is what the frequency adds */
    if (r & 2)
        x = (uint32_t)(r >> 16);
    else if (r & 4)
        x += frequency - 1;
    else if (r & 8)
        x += (uint32_t)(r >> 40) % frequency;
    return x < EDC_RANS_LOW ? x + EDC_RANS_LOW : x;
}

/* Every frequency with states at and between the edges: all levels divide as integers do. */
START_TEST(divisions)
{
    enum { LANES = EDC_RANS_LANES };
    static struct edc_encoder_table encoders[3];
    static uint8_t words[2][2 * LANES + 64];
    uint64_t state = 0x2545F4914F6CDD1Du;
    for (unsigned f = 1; f < EDC_RANS_TOTAL; f++) {
        uint8_t symbols[LANES], tables[LANES];
        struct edc_writer start = {.tables = encoders, .by_tile = f % 2};
        const uint8_t rare = f % 3 ? 1 : EDC_LITERALS + 20; /* not looked up in registers */
        struct edc_table table = {.frequency = {(uint16_t)f}};
        table.frequency[rare] = (uint16_t)(EDC_RANS_TOTAL - f);
        edc_build_encoder(&table, &encoders[2]);
        for (int i = 0; i < LANES; i++) {
            symbols[i] = next_random(&state) % 4 ? 0 : rare;
            tables[i] = 2;
            start.state[i] = make_state(table.frequency[symbols[i]], &state);
        }
        struct edc_writer scalar = start;
        scalar.p = words[0] + sizeof words[0];
        levels[0]->encode(&scalar, LANES, tables, symbols);
        for (int k = 1; k < level_count; k++) {
            struct edc_writer writer = start;
            writer.p = words[1] + sizeof words[1];
            levels[k]->encode(&writer, LANES, tables, symbols);
            const size_t n = (size_t)(words[1] + sizeof words[1] - writer.p);
            ck_assert_mem_eq(writer.state, scalar.state, sizeof writer.state);
            ck_assert_uint_eq(n, words[0] + sizeof words[0] - scalar.p);
            ck_assert_mem_eq(writer.p, scalar.p, n);
        }
    }
}
END_TEST

/* Through the interface that the filter and emdrepack use. */
START_TEST(codec)
{
    const struct emd_codec *const edc = emd_codec_by_name("edc");
    ck_assert_ptr_nonnull(edc);
    ck_assert_ptr_eq(emd_codec_by_id(EMD_FILTER_EDC), edc);
    const struct {
        unsigned rank;
        uint64_t dims[3];
        unsigned width, height, planes, flags;
    } cases[] = {
        {3, {60, 80, 1}, 80, 60, 1, 3},  {3, {1, 60, 80}, 80, 60, 1, 3},
        {3, {60, 80, 4}, 80, 60, 4, 11}, {3, {4, 60, 80}, 80, 60, 4, 3},
        {2, {60, 80}, 80, 60, 1, 3},     {1, {4800}, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct emd_chunk_shape shape = {.item_class = EMD_ITEM_INTEGER,
                                        .item_size = 2,
                                        .base_size = 2,
                                        .is_signed = true,
                                        .rank = cases[i].rank};
        memcpy(shape.dims, cases[i].dims, sizeof cases[i].dims);
        unsigned cd[EMD_CD_MAX], again[EMD_CD_MAX];
        size_t count, same;
        ck_assert(edc->set_local(&shape, NULL, 0, cd, &count, NULL) == EMD_OK);
        ck_assert_uint_eq(count, 7);
        ck_assert(edc->set_local(&shape, cd, count, again, &same, NULL) == EMD_OK);
        ck_assert(same == count && memcmp(cd, again, count * sizeof *cd) == 0);
        ck_assert_uint_eq(cd[2], cases[i].flags);
        ck_assert_uint_eq(cd[3], cases[i].width);
        ck_assert_uint_eq(cd[4], cases[i].height);
        ck_assert_uint_eq(cd[5], cases[i].planes);

        const size_t n = emd_chunk_bytes(&shape), bound = edc->bound(cd, count, n);
        uint16_t *const src = malloc(n), *const back = malloc(n);
        uint8_t *const stream = malloc(bound);
        uint64_t state = i + 1;
        for (size_t x = 0; x < n / 2; x++)
            src[x] = (uint16_t)noise(&state);
        size_t size, got;
        struct emd_work *const work = emd_work_new();
        ck_assert(edc->encode(cd, count, work, src, n, stream, bound, &size, NULL) == EMD_OK);
        ck_assert(edc->decoded_size(cd, count, stream, size, n, &got, NULL) == EMD_OK);
        ck_assert_uint_eq(got, n);
        ck_assert(edc->decoded_size(cd, count, stream, size, n - 1, &got, NULL) == EMD_E_CORRUPT);
        ck_assert(edc->decode(NULL, 0, work, stream, size, back, n, &got, NULL) == EMD_OK);
        ck_assert(got == n && memcmp(src, back, n) == 0);
        ck_assert(edc->encode(cd, count, work, src, n, stream, size - 1, &got, NULL) != EMD_OK);
        emd_work_free(work);
        free(src);
        free(back);
        free(stream);
    }
    const struct emd_chunk_shape any = {
        .item_class = EMD_ITEM_FLOAT, .item_size = 4, .base_size = 4, .rank = 2, .dims = {9, 9}};
    unsigned cd[EMD_CD_MAX];
    size_t count;
    const unsigned bad[2] = {9, 1};
    ck_assert(edc->set_local(&any, bad, 1, cd, &count, NULL) == EMD_E_ARGUMENT);
    ck_assert(edc->set_local(&any, bad, 2, cd, &count, NULL) == EMD_E_ARGUMENT);
    ck_assert(edc->set_local(&any, bad + 1, 1, cd, &count, NULL) == EMD_OK);
    ck_assert_uint_eq(cd[6], 1);
    ck_assert_uint_eq(cd[2], 0);
}
END_TEST

int main(void)
{
    find_levels();
    Suite *const suite = suite_create("edc");
    TCase *const tcase = tcase_create("edc");
    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, all_items, 0, PICTURES);
    tcase_add_loop_test(tcase, all_sizes, 0, 2);
    tcase_add_test(tcase, large);
    tcase_add_test(tcase, more_effort);
    tcase_add_loop_test(tcase, more_effort_frames, 0, 7);
    tcase_add_test(tcase, bytes);
    tcase_add_loop_test(tcase, damaged, 0, 5);
    tcase_add_test(tcase, ranks);
    tcase_add_test(tcase, divisions);
    tcase_add_test(tcase, codec);
    suite_add_tcase(suite, tcase);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
