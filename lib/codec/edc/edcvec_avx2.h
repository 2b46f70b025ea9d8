/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The vector layer of edckernel_impl.h for AVX2: 16 lanes. What each function does is said in
 * edcvec_scalar.h. */
#include <immintrin.h>
#include <stdint.h>

#define VL 16
typedef __m256i vec;

static inline vec v_load(const uint16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void v_store(uint16_t *p, vec a)
{
    _mm256_storeu_si256((__m256i *)p, a);
}

static inline vec v_load8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

static inline void v_store8(uint8_t *p, vec a)
{
    const __m256i packed = _mm256_packus_epi16(a, a);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}

static inline vec v_set(int a)
{
    return _mm256_set1_epi16((short)a);
}

static inline vec v_set_pair(uint32_t a)
{
    return _mm256_set1_epi32((int)a);
}

static inline vec v_add(vec a, vec b)
{
    return _mm256_add_epi16(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return _mm256_sub_epi16(a, b);
}

static inline vec v_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

static inline vec v_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

static inline vec v_adds(vec a, vec b)
{
    return _mm256_adds_epi16(a, b);
}

static inline vec v_mulhrs(vec a, vec b)
{
    return _mm256_mulhrs_epi16(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm256_min_epi16(a, b);
}

static inline vec v_max(vec a, vec b)
{
    return _mm256_max_epi16(a, b);
}

static inline vec v_minu(vec a, vec b)
{
    return _mm256_min_epu16(a, b);
}

static inline vec v_abs(vec a)
{
    return _mm256_abs_epi16(a);
}

static inline vec v_sll(vec a, int n)
{
    return _mm256_sll_epi16(a, _mm_cvtsi32_si128(n));
}

static inline vec v_srl(vec a, int n)
{
    return _mm256_srl_epi16(a, _mm_cvtsi32_si128(n));
}

static inline vec v_sra(vec a, int n)
{
    return _mm256_sra_epi16(a, _mm_cvtsi32_si128(n));
}

static inline vec v_count_gt(vec count, vec a, vec b)
{
    return _mm256_sub_epi16(count, _mm256_cmpgt_epi16(a, b));
}

/* Which lanes are -1, of 0 and -1. */
static inline uint32_t v_mask_bits(__m256i mask, int lane)
{
    const __m128i packed =
        _mm_packs_epi16(_mm256_castsi256_si128(mask), _mm256_extracti128_si256(mask, 1));
    return (uint32_t)_mm_movemask_epi8(packed) << lane;
}

static inline uint32_t v_bits_gt(vec a, int limit, int lane)
{
    return v_mask_bits(_mm256_cmpgt_epi16(a, _mm256_set1_epi16((short)limit)), lane);
}

static inline vec v_from_bits(uint32_t bits, int lane)
{
    const __m256i bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
                                          8192, 16384, (short)0x8000);
    return _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16((short)(bits >> lane)), bit), bit);
}

static inline vec v_add_where(vec a, uint32_t bits, int lane, vec b)
{
    return _mm256_add_epi16(a, _mm256_and_si256(v_from_bits(bits, lane), b));
}

static inline uint32_t v_to_bits(vec a, vec bit, int lane)
{
    return v_mask_bits(_mm256_cmpeq_epi16(_mm256_and_si256(a, bit), bit), lane);
}

typedef __m256i vacc;

static inline vacc v_acc_zero(void)
{
    return _mm256_setzero_si256();
}

static inline vacc v_mac(vacc acc, vec a, vec b)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
}

static inline int32_t v_acc_sum(vacc acc)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(acc), _mm256_extracti128_si256(acc, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
    return _mm_cvtsi128_si32(s);
}

static inline void v_acc_sum4(const vacc acc[4], int32_t sum[4])
{
    const __m256i both =
        _mm256_hadd_epi32(_mm256_hadd_epi32(acc[0], acc[1]), _mm256_hadd_epi32(acc[2], acc[3]));
    _mm_storeu_si128((__m128i *)sum, _mm_add_epi32(_mm256_castsi256_si128(both),
                                                   _mm256_extracti128_si256(both, 1)));
}

static inline uint32_t v_sum(vec a)
{
    return (uint32_t)v_acc_sum(_mm256_madd_epi16(a, _mm256_set1_epi16(1)));
}

static inline vec v_keep_le(vec a, vec x, vec limit)
{
    return _mm256_andnot_si256(_mm256_cmpgt_epi16(x, limit), a);
}

typedef struct {
    __m256i low, high;
} vmap32;

static inline vmap32 v_map32(const uint8_t *map)
{
    return (vmap32){_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)map)),
                    _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(map + 16)))};
}

/* The high byte of each lane looks up entry 0 and is cut off. */
static inline vec v_lookup32(vmap32 map, vec index)
{
    const __m256i low = _mm256_shuffle_epi8(map.low, index);
    const __m256i high = _mm256_shuffle_epi8(map.high, index);
    const __m256i is_high = _mm256_cmpgt_epi16(index, _mm256_set1_epi16(15));
    return _mm256_and_si256(_mm256_blendv_epi8(low, high, is_high), _mm256_set1_epi16(255));
}

static inline void v_split(const uint16_t *p, vec *even, vec *odd)
{
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0,
                                           1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    __m256i a = _mm256_shuffle_epi8(v_load(p), order);      /* e0 o0 e1 o1, 64 bits each */
    __m256i b = _mm256_shuffle_epi8(v_load(p + 16), order); /* e2 o2 e3 o3 */
    a = _mm256_permute4x64_epi64(a, 0xD8);                  /* e0 e1 o0 o1 */
    b = _mm256_permute4x64_epi64(b, 0xD8);
    *even = _mm256_permute2x128_si256(a, b, 0x20);
    *odd = _mm256_permute2x128_si256(a, b, 0x31);
}

static inline void v_join(uint16_t *p, vec even, vec odd)
{
    const __m256i low = _mm256_unpacklo_epi16(even, odd);
    const __m256i high = _mm256_unpackhi_epi16(even, odd);
    v_store(p, _mm256_permute2x128_si256(low, high, 0x20));
    v_store(p + 16, _mm256_permute2x128_si256(low, high, 0x31));
}
