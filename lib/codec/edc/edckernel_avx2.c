/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* EDC's kernels for AVX2 with BMI2. */
#include <immintrin.h>

#include "base/simdtarget.h"
#include "codec/edc/edckernel.h"

EMD_BEGIN_TARGET(EMD_TARGET_AVX2)

#include "codec/edc/edcrans_scalar.h"
#include "codec/edc/edcvec_avx2.h"

#define XXH_VECTOR XXH_AVX2
#define EDC_KERNELS edc_kernels_avx2

/* For a mask of 8 lanes, where each takes its word from: its rank among the set bits. One nibble a
 * lane, by pdep: no table in the cache. */
static inline __m256i spread_order(unsigned mask)
{
    const uint64_t bytes = _pdep_u64(mask, UINT64_C(0x0101010101010101)) * 255;
    const uint64_t rank = _pdep_u64(UINT64_C(0x0706050403020100), bytes);
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)rank));
}

/* The lanes of the set bits, in order, moved up against lane 7. */
static inline __m256i gather_order(unsigned mask, unsigned count)
{
    const uint64_t bytes = _pdep_u64(mask, UINT64_C(0x0101010101010101)) * 255;
    const uint64_t lanes = _pext_u64(UINT64_C(0x0706050403020100), bytes);
    return _mm256_cvtepu8_epi32(
        _mm_cvtsi64_si128((long long)(count ? lanes << (64 - 8 * count) : 0)));
}

/* Scalar loads, inserted in memory order, as for AVX-512. */
static inline __m128i look_up_4(const uint32_t *table, const uint32_t index[4])
{
    __m128i e = _mm_cvtsi32_si128((int)table[index[0]]);
    e = _mm_insert_epi32(e, (int)table[index[1]], 1);
    e = _mm_insert_epi32(e, (int)table[index[2]], 2);
    return _mm_insert_epi32(e, (int)table[index[3]], 3);
}

/* Where the entries of 8 states are in their tables. */
static inline void put_index(uint32_t index[8], __m256i state, const uint8_t *table)
{
    const __m256i t = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)table));
    const __m256i slot = _mm256_and_si256(state, _mm256_set1_epi32(EDC_RANS_TOTAL - 1));
    _mm256_store_si256((__m256i *)index,
                       _mm256_or_si256(_mm256_slli_epi32(t, EDC_RANS_BITS), slot));
}

static inline const uint8_t *decode_8(const uint32_t *tables, const uint32_t index[8],
                                      __m256i *state, const uint8_t *p, __m256i *symbols)
{
    const __m256i e = _mm256_inserti128_si256(_mm256_castsi128_si256(look_up_4(tables, index)),
                                              look_up_4(tables, index + 4), 1);
    *symbols = _mm256_and_si256(e, _mm256_set1_epi32(255));
    const __m256i frequency =
        _mm256_and_si256(_mm256_srli_epi32(e, 8), _mm256_set1_epi32(EDC_RANS_TOTAL - 1));
    const __m256i x =
        _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(*state, EDC_RANS_BITS)),
                         _mm256_srli_epi32(e, 20));
    const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    const __m256i words = _mm256_permutevar8x32_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), spread_order(mask));
    *state = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), low);
    return p + 2 * __builtin_popcount(mask);
}

static void decode_row(struct edc_reader *r, size_t n, const uint8_t *table, uint8_t *symbol)
{
    const uint32_t *const tables = r->tables;
    const uint8_t *p = r->p;
    uint32_t index[EDC_RANS_LANES] __attribute__((aligned(64)));
    __m256i state[8];
    size_t at = 0;
    /* Indices are stored long before they are loaded. */
    for (int v = 0; v < 8; v++) {
        state[v] = _mm256_loadu_si256((const __m256i *)(r->state + 8 * v));
        put_index(index + 8 * v, state[v], table + 8 * v);
    }
    /* eight steps of at most 16 bytes, each reading 16 */
    for (; at + 64 <= n && r->end - p >= 128; at += 64)
        for (int half = 0; half < 2; half++) {
            __m256i symbols[4];
            for (int u = 0; u < 4; u++) {
                const int v = 4 * half + u;
                p = decode_8(tables, index + 8 * v, &state[v], p, &symbols[u]);
                put_index(index + 8 * v, state[v], table + at + 64 + 8 * v);
            }
            const __m256i packed = _mm256_packus_epi16(_mm256_packus_epi32(symbols[0], symbols[1]),
                                                       _mm256_packus_epi32(symbols[2], symbols[3]));
            _mm256_storeu_si256(
                (__m256i *)(symbol + at + (size_t)32 * half),
                _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
        }
    r->p = p;
    for (int v = 0; v < 8; v++)
        _mm256_storeu_si256((__m256i *)(r->state + 8 * v), state[v]);
    decode_rest(r, at, n, table, symbol);
}

/* Unsigned numbers as floats, good to 2^-23. */
static inline __m256 to_float(__m256i x)
{
    const __m256 is_high = _mm256_castsi256_ps(_mm256_srai_epi32(x, 31));
    return _mm256_add_ps(_mm256_cvtepi32_ps(x), _mm256_and_ps(is_high, _mm256_set1_ps(0x1p32f)));
}

/* 8 lanes with their entries (frequency | start << 16); returns where the words now begin. */
static inline uint8_t *encode_8(__m256i *state, __m256i entry, uint8_t *p)
{
    const __m256i frequency = _mm256_and_si256(entry, _mm256_set1_epi32(0xFFFF));
    const __m256i start = _mm256_srli_epi32(entry, 16);
    /* state >= frequency << 20 */
    const __m256i high = _mm256_cmpgt_epi32(
        _mm256_add_epi32(_mm256_srli_epi32(*state, 32 - EDC_RANS_BITS), _mm256_set1_epi32(1)),
        frequency);
    const unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(high));
    const unsigned count = (unsigned)__builtin_popcount(mask);
    /* written so that they end at p; what lies below is written over later */
    const __m256i words = _mm256_and_si256(
        _mm256_permutevar8x32_epi32(*state, gather_order(mask, count)), _mm256_set1_epi32(0xFFFF));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x08);
    _mm_storeu_si128((__m128i *)(p - 16), _mm256_castsi256_si128(packed));
    const __m256i x = _mm256_blendv_epi8(*state, _mm256_srli_epi32(*state, 16), high);
    /* x / frequency is below 2^20, and this reciprocal too small by 2^-21: the quotient may be one
     * too low but never too high. */
    const __m256 inverse =
        _mm256_div_ps(_mm256_set1_ps(1.0f - 0x1p-21f), _mm256_cvtepi32_ps(frequency));
    const __m256i q = _mm256_cvttps_epi32(_mm256_mul_ps(to_float(x), inverse));
    const __m256i rest = _mm256_sub_epi32(x, _mm256_mullo_epi32(q, frequency));
    const __m256i within = _mm256_cmpgt_epi32(frequency, rest);
    const __m256i next =
        _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(q, EDC_RANS_BITS), start), rest);
    const __m256i one_more = _mm256_sub_epi32(_mm256_set1_epi32(EDC_RANS_TOTAL), frequency);
    *state = _mm256_add_epi32(next, _mm256_andnot_si256(within, one_more));
    return p - 2 * count;
}

static inline void encode_64(struct edc_writer *w, __m256i state[8], const uint8_t *table,
                             const uint8_t *symbol)
{
    uint32_t index[64] __attribute__((aligned(64)));
    uint32_t entry[64] __attribute__((aligned(64)));
    for (int v = 0; v < 8; v++) {
        const __m256i t = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(table + 8 * v)));
        const __m256i s = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(symbol + 8 * v)));
        _mm256_store_si256(
            (__m256i *)(index + 8 * v),
            _mm256_add_epi32(_mm256_mullo_epi32(t, _mm256_set1_epi32(EDC_ENCODER_STEP)), s));
    }
    look_up_64(w->tables->entry, index, entry);
    uint8_t *p = w->p;
    for (int v = 8; v-- > 0;)
        p = encode_8(&state[v], _mm256_load_si256((const __m256i *)(entry + 8 * v)), p);
    w->p = p;
}

/* One byte of the entries of 32 symbols: index[i] looks those from 16 i on up. */
static inline __m256i look_up_bytes(const uint8_t byte[EDC_SHORT_SYMBOLS], const __m256i index[4])
{
    __m256i found = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
        const __m128i *const part = (const __m128i *)(byte + 16 * i);
        found = _mm256_or_si256(
            found,
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(part)), index[i]));
    }
    return found;
}

/* 32 lanes of one table and its first symbols only: looked up in registers, byte by byte. */
static inline uint8_t *encode_32(__m256i state[4], const struct edc_encoder_table *table,
                                 __m256i symbol, uint8_t *p)
{
    /* so that unpacking brings the lanes back in order */
    const __m256i s =
        _mm256_permutevar8x32_epi32(symbol, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
    __m256i index[4]; /* bit 7, which yields 0, where the symbol is another's */
    for (int i = 0; i < 4; i++)
        index[i] = _mm256_adds_epu8(_mm256_sub_epi8(s, _mm256_set1_epi8((char)(16 * i))),
                                    _mm256_set1_epi8(0x70));
    const __m256i f0 = look_up_bytes(table->bytes[0], index);
    const __m256i f1 = look_up_bytes(table->bytes[1], index);
    const __m256i s0 = look_up_bytes(table->bytes[2], index);
    const __m256i s1 = look_up_bytes(table->bytes[3], index);
    const __m256i f_low = _mm256_unpacklo_epi8(f0, f1), f_high = _mm256_unpackhi_epi8(f0, f1);
    const __m256i s_low = _mm256_unpacklo_epi8(s0, s1), s_high = _mm256_unpackhi_epi8(s0, s1);
    p = encode_8(&state[3], _mm256_unpackhi_epi16(f_high, s_high), p);
    p = encode_8(&state[2], _mm256_unpacklo_epi16(f_high, s_high), p);
    p = encode_8(&state[1], _mm256_unpackhi_epi16(f_low, s_low), p);
    return encode_8(&state[0], _mm256_unpacklo_epi16(f_low, s_low), p);
}

static void rans_encode(struct edc_writer *w, size_t n, const uint8_t *table, const uint8_t *symbol)
{
    const size_t rest = n % EDC_RANS_LANES;
    encode_lanes(w, rest, table + (n - rest), symbol + (n - rest));
    __m256i state[8];
    for (int v = 0; v < 8; v++)
        state[v] = _mm256_loadu_si256((const __m256i *)(w->state + 8 * v));
    for (size_t at = n - rest; at > 0;) {
        at -= EDC_RANS_LANES;
        const __m256i low = _mm256_loadu_si256((const __m256i *)(symbol + at));
        const __m256i high = _mm256_loadu_si256((const __m256i *)(symbol + at + EDC_TILE_LANES));
        if (w->by_tile && _mm256_testz_si256(_mm256_or_si256(low, high),
                                             _mm256_set1_epi8((char)-EDC_SHORT_SYMBOLS))) {
            uint8_t *const p =
                encode_32(state + 4, &w->tables[table[at + EDC_TILE_LANES]], high, w->p);
            w->p = encode_32(state, &w->tables[table[at]], low, p);
        } else {
            encode_64(w, state, table + at, symbol + at);
        }
    }
    for (int v = 0; v < 8; v++)
        _mm256_storeu_si256((__m256i *)(w->state + 8 * v), state[v]);
}

#include "codec/edc/edckernel_impl.h"

EMD_END_TARGET
