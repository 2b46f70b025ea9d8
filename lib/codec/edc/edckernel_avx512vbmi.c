/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* EDC's kernels for AVX-512 with VBMI and VBMI2 (Ice Lake, Zen 4): symbols of tiles are looked up
 * in registers.
 *
 * A table's 4096 slots are 64 buckets, and a byte permutation looks up one byte for each of 64
 * lanes: the rank of a bucket's first slot, and three places within where the next ranks begin. The
 * rare symbols lie close together at the end, in the last two buckets, which are there slot by slot
 * (struct edc_ranks). All 64 states of a row take part in each look-up, so the next one waits for
 * all of them: hence two strips at a time, step by step in turn, for a step is longer than what
 * processors look ahead.
 *
 * Tried and lost: gathers (a third slower, Sapphire Rapids; half as fast, Zen 4), and 16-bit
 * permutations, which do without VBMI but take twice as many. */
#include <immintrin.h>

#include "base/simdtarget.h"
#include "codec/edc/edckernel.h"

EMD_BEGIN_TARGET(EMD_TARGET_AVX512VBMI)

#include "codec/edc/edcrans_avx512.h"

#define XXH_VECTOR XXH_AVX512
#define EDC_KERNELS edc_kernels_avx512vbmi
#define EDC_DECODES_TOGETHER

/* Bytes of a in even places, of b in odd ones. */
static inline __m512i even_odd(__m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi32(a, b, _mm512_set1_epi16((short)0xFF00), 0xD8);
}

/* The lowest 16 bits of 32 states, those of 'even' in even places. */
static inline __m512i slots_of(__m512i even, __m512i odd)
{
    return _mm512_and_si512(_mm512_mask_blend_epi16(0xAAAAAAAA, even, _mm512_slli_epi32(odd, 16)),
                            _mm512_set1_epi16(EDC_RANS_TOTAL - 1));
}

/* a[i] or, for indices from 64 on, b[i - 64]. */
static inline __m512i look_up_bytes(const uint8_t *a, const uint8_t *b, __m512i index)
{
    return _mm512_permutex2var_epi8(_mm512_loadu_si512(a), index, _mm512_loadu_si512(b));
}

/* a[i mod 64] */
static inline __m512i look_up_words(const uint16_t *a, __m512i index)
{
    return _mm512_permutex2var_epi16(_mm512_loadu_si512(a), index, _mm512_loadu_si512(a + 32));
}

static inline __m512i add_if_from(__m512i rank, __m512i place, __m512i from)
{
    return _mm512_mask_sub_epi8(rank, _mm512_cmpge_epu8_mask(place, from), rank,
                                _mm512_set1_epi8(-1));
}

/* One reader and the 64 lanes that it is at. */
struct step {
    __m512i state[4];
    const uint8_t *p;
    const struct edc_ranks *a, *b; /* tables of the first and the second 32 lanes */
    __m512i slot_a, slot_b;        /* lanes of states 0 and 1 (2 and 3) in turn */
    __m512i bucket, place, rank, last;
    __m512i frequency_a, frequency_b, bias_a, bias_b;
};

/* By table look-up, where ranks do not tell. */
static __attribute__((noinline)) void look_up_64_lanes(struct step *x, const struct edc_reader *r,
                                                       const uint8_t *table, uint8_t *symbol)
{
    uint32_t index[EDC_RANS_LANES] __attribute__((aligned(64)));
    for (int v = 0; v < 4; v++)
        put_index(index + 16 * v, x->state[v], table + 16 * v);
    for (int v = 0; v < 4; v++)
        x->p = decode_16(&x->state[v], r->tables, index + 16 * v, x->p, symbol + 16 * v);
}

/* Each thing for all strips before the next: see above. */
#define EACH _Pragma("GCC unroll 2") for (int i = 0; i < count; i++)

static ALWAYS_INLINE void decode_tiles(struct edc_reader *const reader[], const int count, size_t n,
                                       const uint8_t *const table[], uint8_t *const symbol[])
{
    /* Bytes of a register stand for lanes 0, 32, 16, 48, 1, 33, ... */
    static const uint8_t in_order[64] = {
        0,  4,  8,  12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 2,  6,  10, 14, 18, 22,
        26, 30, 34, 38, 42, 46, 50, 54, 58, 62, 1,  5,  9,  13, 17, 21, 25, 29, 33, 37, 41, 45,
        49, 53, 57, 61, 3,  7,  11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 51, 55, 59, 63};
    const __m512i order = _mm512_loadu_si512(in_order), low_half = _mm512_set1_epi32(0xFFFF);
    const __m512i second = _mm512_set1_epi16(0x4000); /* odd bytes are of the second table */
    struct step x[EDC_READERS];
    size_t at = 0;
    EACH
    {
        x[i].p = reader[i]->p;
        for (int v = 0; v < 4; v++)
            x[i].state[v] = _mm512_loadu_si512(reader[i]->state + 16 * v);
    }
    for (; at + EDC_RANS_LANES <= n; at += EDC_RANS_LANES) {
        bool enough = true; /* four times at most 32 bytes */
        EACH enough &= reader[i]->end - x[i].p >= 128;
        if (!enough)
            break;
        EACH
        {
            x[i].a = &reader[i]->ranks[table[i][at]];
            x[i].b = &reader[i]->ranks[table[i][at + EDC_TILE_LANES]];
        }
        EACH
        {
            x[i].slot_a = slots_of(x[i].state[0], x[i].state[1]);
            x[i].slot_b = slots_of(x[i].state[2], x[i].state[3]);
        }
        EACH x[i].bucket = _mm512_or_si512(
            even_odd(_mm512_srli_epi16(x[i].slot_a, 6), _mm512_slli_epi16(x[i].slot_b, 2)), second);
        EACH x[i].place = even_odd(x[i].slot_a, _mm512_slli_epi16(x[i].slot_b, 8));
        EACH x[i].rank = look_up_bytes(x[i].a->rank, x[i].b->rank, x[i].bucket);
        EACH x[i].last = even_odd(look_up_bytes(x[i].a->last, x[i].a->last + 64, x[i].place),
                                  look_up_bytes(x[i].b->last, x[i].b->last + 64, x[i].place));
        EACH x[i].place = _mm512_and_si512(x[i].place, _mm512_set1_epi8(63));
        for (int k = 0; k < 3; k++)
            EACH x[i].rank =
                add_if_from(x[i].rank, x[i].place,
                            look_up_bytes(x[i].a->next[k], x[i].b->next[k], x[i].bucket));
        EACH x[i].rank = _mm512_mask_mov_epi8(x[i].rank, _mm512_movepi8_mask(x[i].rank), x[i].last);
        __m512i any = x[0].rank;
        EACH any = _mm512_or_si512(any, x[i].rank);
        if (_mm512_test_epi8_mask(any, _mm512_set1_epi8(EDC_RANK_UNKNOWN)) != 0) {
            EACH look_up_64_lanes(&x[i], reader[i], table[i] + at, symbol[i] + at);
            continue;
        }
        EACH
        {
            x[i].frequency_a = look_up_words(x[i].a->frequency, x[i].rank);
            x[i].bias_a = _mm512_sub_epi16(x[i].slot_a, look_up_words(x[i].a->start, x[i].rank));
        }
        EACH
        {
            const __m512i rank = _mm512_srli_epi16(x[i].rank, 8);
            x[i].frequency_b = look_up_words(x[i].b->frequency, rank);
            x[i].bias_b = _mm512_sub_epi16(x[i].slot_b, look_up_words(x[i].b->start, rank));
        }
        EACH x[i].p = renew_states(&x[i].state[0], _mm512_and_si512(x[i].frequency_a, low_half),
                                   _mm512_and_si512(x[i].bias_a, low_half), x[i].p);
        EACH x[i].p = renew_states(&x[i].state[1], _mm512_srli_epi32(x[i].frequency_a, 16),
                                   _mm512_srli_epi32(x[i].bias_a, 16), x[i].p);
        EACH x[i].p = renew_states(&x[i].state[2], _mm512_and_si512(x[i].frequency_b, low_half),
                                   _mm512_and_si512(x[i].bias_b, low_half), x[i].p);
        EACH x[i].p = renew_states(&x[i].state[3], _mm512_srli_epi32(x[i].frequency_b, 16),
                                   _mm512_srli_epi32(x[i].bias_b, 16), x[i].p);
        EACH _mm512_storeu_si512(
            symbol[i] + at,
            _mm512_permutexvar_epi8(order, look_up_bytes(x[i].a->symbol, x[i].b->symbol,
                                                         _mm512_or_si512(x[i].rank, second))));
    }
    EACH
    {
        reader[i]->p = x[i].p;
        for (int v = 0; v < 4; v++)
            _mm512_storeu_si512(reader[i]->state + 16 * v, x[i].state[v]);
        decode_rest(reader[i], at, n, table[i], symbol[i]);
    }
}

static void rans_decode(struct edc_reader *const reader[], int count, size_t n,
                        const uint8_t *const table[], uint8_t *const symbol[])
{
    if (!reader[0]->ranks)
        for (int i = 0; i < count; i++)
            decode_row(reader[i], n, table[i], symbol[i]);
    else if (count == 1)
        decode_tiles(reader, 1, n, table, symbol);
    else
        decode_tiles(reader, EDC_READERS, n, table, symbol);
}

/* 32 lanes of states 0 and 1; frequencies and starts are of their lanes in turn. */
static inline uint8_t *encode_32_in_turn(__m512i state[2], __m512i frequency, __m512i start,
                                         uint8_t *p)
{
    static const uint16_t low_words[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                           22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42,
                                           44, 46, 48, 50, 52, 54, 56, 58, 60, 62};
    const __m512i low_half = _mm512_set1_epi32(0xFFFF);
    const __m512i f[2] = {_mm512_and_si512(frequency, low_half), _mm512_srli_epi32(frequency, 16)};
    const __m512i s[2] = {_mm512_and_si512(start, low_half), _mm512_srli_epi32(start, 16)};
    const __mmask16 high[2] = {too_high(state[0], f[0]), too_high(state[1], f[1])};
    const __mmask32 both = _mm512_kunpackw(high[1], high[0]);
    const unsigned count = (unsigned)__builtin_popcount(both);
    const __m512i words =
        _mm512_permutex2var_epi16(state[0], _mm512_loadu_si512(low_words), state[1]);
    p -= 2 * count;
    _mm512_mask_storeu_epi16(p, _bzhi_u32(UINT32_MAX, count),
                             _mm512_maskz_compress_epi16(both, words));
    for (int v = 0; v < 2; v++)
        state[v] = take_symbol(state[v], high[v], f[v], s[v]);
    return p;
}

static void encode_tiles(struct edc_writer *w, size_t n, const uint8_t *table,
                         const uint8_t *symbol)
{
    /* Words 0, 1, 2, ... take the symbols of lanes 0, 16, 1, 17, ...; their high bytes are not
     * looked at. */
    static const uint8_t in_turn[64] = {
        0,  0,  16, 16, 1,  1,  17, 17, 2,  2,  18, 18, 3,  3,  19, 19, 4,  4,  20, 20, 5,  5,
        21, 21, 6,  6,  22, 22, 7,  7,  23, 23, 8,  8,  24, 24, 9,  9,  25, 25, 10, 10, 26, 26,
        11, 11, 27, 27, 12, 12, 28, 28, 13, 13, 29, 29, 14, 14, 30, 30, 15, 15, 31, 31};
    const __m512i order_a = _mm512_loadu_si512(in_turn);
    const __m512i order_b = _mm512_add_epi8(order_a, _mm512_set1_epi8(EDC_TILE_LANES));
    const size_t rest = n % EDC_RANS_LANES;
    encode_lanes(w, rest, table + (n - rest), symbol + (n - rest));
    __m512i state[4];
    for (int v = 0; v < 4; v++)
        state[v] = _mm512_loadu_si512(w->state + 16 * v);
    for (size_t at = n - rest; at > 0;) {
        at -= EDC_RANS_LANES;
        const __m512i s = _mm512_loadu_si512(symbol + at);
        if (_mm512_cmpge_epu8_mask(s, _mm512_set1_epi8(EDC_SHORT_SYMBOLS)) != 0) {
            encode_64(w, state, table + at, symbol + at);
            continue;
        }
        const struct edc_encoder_table *const a = &w->tables[table[at]];
        const struct edc_encoder_table *const b = &w->tables[table[at + EDC_TILE_LANES]];
        const __m512i symbol_a = _mm512_permutexvar_epi8(order_a, s);
        const __m512i symbol_b = _mm512_permutexvar_epi8(order_b, s);
        uint8_t *const p = encode_32_in_turn(state + 2, look_up_words(b->frequency, symbol_b),
                                             look_up_words(b->start, symbol_b), w->p);
        w->p = encode_32_in_turn(state, look_up_words(a->frequency, symbol_a),
                                 look_up_words(a->start, symbol_a), p);
    }
    for (int v = 0; v < 4; v++)
        _mm512_storeu_si512(w->state + 16 * v, state[v]);
}

static void rans_encode(struct edc_writer *w, size_t n, const uint8_t *table, const uint8_t *symbol)
{
    (w->by_tile ? encode_tiles : encode_row)(w, n, table, symbol);
}

#include "codec/edc/edckernel_impl.h"

EMD_END_TARGET
