/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The vector layer of edckernel_impl.h for AVX-512 (F, BW, DQ, VL): 32 lanes. What each function
 * does is said in edcvec_scalar.h. */
#include <immintrin.h>
#include <stdint.h>

#define VL 32
typedef __m512i vec;

static inline vec v_load(const uint16_t *p)
{
    return _mm512_loadu_si512(p);
}

static inline void v_store(uint16_t *p, vec a)
{
    _mm512_storeu_si512(p, a);
}

static inline vec v_load8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)p));
}

static inline void v_store8(uint8_t *p, vec a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi16_epi8(a));
}

static inline vec v_set(int a)
{
    return _mm512_set1_epi16((short)a);
}

static inline vec v_set_pair(uint32_t a)
{
    return _mm512_set1_epi32((int)a);
}

static inline vec v_add(vec a, vec b)
{
    return _mm512_add_epi16(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return _mm512_sub_epi16(a, b);
}

static inline vec v_and(vec a, vec b)
{
    return _mm512_and_si512(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm512_or_si512(a, b);
}

static inline vec v_xor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

static inline vec v_adds(vec a, vec b)
{
    return _mm512_adds_epi16(a, b);
}

static inline vec v_mulhrs(vec a, vec b)
{
    return _mm512_mulhrs_epi16(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm512_min_epi16(a, b);
}

static inline vec v_max(vec a, vec b)
{
    return _mm512_max_epi16(a, b);
}

static inline vec v_minu(vec a, vec b)
{
    return _mm512_min_epu16(a, b);
}

static inline vec v_abs(vec a)
{
    return _mm512_abs_epi16(a);
}

static inline vec v_sll(vec a, int n)
{
    return _mm512_sll_epi16(a, _mm_cvtsi32_si128(n));
}

static inline vec v_srl(vec a, int n)
{
    return _mm512_srl_epi16(a, _mm_cvtsi32_si128(n));
}

static inline vec v_sra(vec a, int n)
{
    return _mm512_sra_epi16(a, _mm_cvtsi32_si128(n));
}

static inline vec v_count_gt(vec count, vec a, vec b)
{
    return _mm512_mask_add_epi16(count, _mm512_cmpgt_epi16_mask(a, b), count, _mm512_set1_epi16(1));
}

static inline uint32_t v_bits_gt(vec a, int limit, int lane)
{
    return (uint32_t)_mm512_cmpgt_epi16_mask(a, _mm512_set1_epi16((short)limit)) << lane;
}

static inline vec v_from_bits(uint32_t bits, int lane)
{
    return _mm512_movm_epi16((__mmask32)(bits >> lane));
}

static inline vec v_add_where(vec a, uint32_t bits, int lane, vec b)
{
    return _mm512_mask_add_epi16(a, (__mmask32)(bits >> lane), a, b);
}

static inline uint32_t v_to_bits(vec a, vec bit, int lane)
{
    return (uint32_t)_mm512_test_epi16_mask(a, bit) << lane;
}

typedef __m512i vacc;

static inline vacc v_acc_zero(void)
{
    return _mm512_setzero_si512();
}

static inline vacc v_mac(vacc acc, vec a, vec b)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
}

static inline int32_t v_acc_sum(vacc acc)
{
    return _mm512_reduce_add_epi32(acc);
}

static inline __m512i v_add_pairs(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

static inline void v_acc_sum4(const vacc acc[4], int32_t sum[4])
{
    const __m512i a = v_add_pairs(acc[0], acc[2]), b = v_add_pairs(acc[1], acc[3]);
    const __m512i four = v_add_pairs(a, b); /* all four in each 128 bits */
    const __m256i two =
        _mm256_add_epi32(_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64(four, 1));
    _mm_storeu_si128((__m128i *)sum,
                     _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1)));
}

static inline uint32_t v_sum(vec a)
{
    return (uint32_t)v_acc_sum(_mm512_madd_epi16(a, _mm512_set1_epi16(1)));
}

static inline vec v_keep_le(vec a, vec x, vec limit)
{
    return _mm512_maskz_mov_epi16(_mm512_cmple_epi16_mask(x, limit), a);
}

typedef __m512i vmap32;

/* The bytes widened to words: one vpermw looks 32 entries up. */
static inline vmap32 v_map32(const uint8_t *map)
{
    return v_load8(map);
}

static inline vec v_lookup32(vmap32 map, vec index)
{
    return _mm512_permutexvar_epi16(index, map);
}

static inline vec edc_even_order(void)
{
    vec a = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14,
                             13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_add_epi16(a, a);
}

static inline void v_split(const uint16_t *p, vec *even, vec *odd)
{
    const vec order = edc_even_order(), a = v_load(p), b = v_load(p + 32);
    *even = _mm512_permutex2var_epi16(a, order, b);
    *odd = _mm512_permutex2var_epi16(a, _mm512_add_epi16(order, _mm512_set1_epi16(1)), b);
}

static inline void v_join(uint16_t *p, vec even, vec odd)
{
    /* 64-bit pieces of the interleaved 128-bit lanes, back in order */
    const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    v_store(p, _mm512_permutex2var_epi64(low, first, high));
    v_store(p + 32, _mm512_permutex2var_epi64(low, second, high));
}
