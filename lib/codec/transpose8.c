/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See transpose8.h.
 *
 * All sizes that matter are powers of two, and a shuffle of 2^k bytes is k rounds of one step:
 * splitting a stream into its even and odd bytes. So only that step (and its inverse) exists for
 * each instruction set; items of 4, 8 and 16 bytes go through it in blocks that stay in the first
 * level cache. 2-byte camera pixels need one round and run at the speed of memory. Other item sizes
 * take the scalar way.
 *
 * Bit shuffle is the byte shuffle of a block followed by a bit transpose of each plane: with SSE2
 * and later by collecting sign bits (movemask), otherwise on 8 x 8 bits in a 64-bit word. */
#include "codec/transpose8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/simdtarget.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* Bytes of a block that goes through several rounds: with the halves of all rounds (twice as much)
 * well below 32 KiB of first level cache. */
enum { BLOCK = 8192 };

struct kernels {
    /* n pairs: even[i] = src[2i], odd[i] = src[2i + 1], and back. */
    void (*split)(const uint8_t *src, uint8_t *even, uint8_t *odd, size_t n);
    void (*merge)(const uint8_t *even, const uint8_t *odd, uint8_t *dst, size_t n);
    /* n bytes, n % 8 == 0: bit b of src[i] = bit i % 8 of rows[b * stride + i / 8]. */
    void (*bits)(const uint8_t *src, uint8_t *rows, size_t stride, size_t n);
    void (*unbits)(const uint8_t *rows, size_t stride, uint8_t *dst, size_t n);
};

/* ---- scalar: the oracle of the others, and their tails ---- */

static void split_scalar(const uint8_t *src, uint8_t *even, uint8_t *odd, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        even[i] = src[2 * i];
        odd[i] = src[2 * i + 1];
    }
}

static void merge_scalar(const uint8_t *even, const uint8_t *odd, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = even[i];
        dst[2 * i + 1] = odd[i];
    }
}

/* Transposes the 8 x 8 bits of x (byte = row, least significant first): Hacker's Delight, 7-3. */
static uint64_t transpose_bits(uint64_t x)
{
    uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAu;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCu;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0u;
    return x ^ t ^ (t << 28);
}

static void bits_scalar(const uint8_t *src, uint8_t *rows, size_t stride, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t x = 0;
        for (size_t k = 0; k < 8; k++)
            x |= (uint64_t)src[i + k] << (8 * k);
        x = transpose_bits(x);
        for (size_t b = 0; b < 8; b++)
            rows[b * stride + i / 8] = (uint8_t)(x >> (8 * b));
    }
}

static void unbits_scalar(const uint8_t *rows, size_t stride, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t x = 0;
        for (size_t b = 0; b < 8; b++)
            x |= (uint64_t)rows[b * stride + i / 8] << (8 * b);
        x = transpose_bits(x);
        for (size_t k = 0; k < 8; k++)
            dst[i + k] = (uint8_t)(x >> (8 * k));
    }
}

#if defined(__x86_64__)

/* ---- SSE2 ---- */

static void split_sse2(const uint8_t *src, uint8_t *even, uint8_t *odd, size_t n)
{
    const __m128i low = _mm_set1_epi16(0x00FF);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(src + 2 * i));
        __m128i b = _mm_loadu_si128((const __m128i *)(src + 2 * i + 16));
        _mm_storeu_si128((__m128i *)(even + i),
                         _mm_packus_epi16(_mm_and_si128(a, low), _mm_and_si128(b, low)));
        _mm_storeu_si128((__m128i *)(odd + i),
                         _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8)));
    }
    split_scalar(src + 2 * i, even + i, odd + i, n - i);
}

static void merge_sse2(const uint8_t *even, const uint8_t *odd, uint8_t *dst, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(even + i));
        __m128i b = _mm_loadu_si128((const __m128i *)(odd + i));
        _mm_storeu_si128((__m128i *)(dst + 2 * i), _mm_unpacklo_epi8(a, b));
        _mm_storeu_si128((__m128i *)(dst + 2 * i + 16), _mm_unpackhi_epi8(a, b));
    }
    merge_scalar(even + i, odd + i, dst + 2 * i, n - i);
}

static void bits_sse2(const uint8_t *src, uint8_t *rows, size_t stride, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(src + i));
        for (size_t b = 8; b-- > 0; v = _mm_add_epi8(v, v)) {
            uint16_t mask = (uint16_t)_mm_movemask_epi8(v);
            memcpy(rows + b * stride + i / 8, &mask, sizeof mask);
        }
    }
    bits_scalar(src + i, rows + i / 8, stride, n - i);
}

/* ---- AVX2 ---- */

#define AVX2 EMD_TARGET(EMD_TARGET_AVX2)

AVX2 static void split_avx2(const uint8_t *src, uint8_t *even, uint8_t *odd, size_t n)
{
    const __m256i low = _mm256_set1_epi16(0x00FF);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(src + 2 * i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(src + 2 * i + 32));
        /* The pack works within 128-bit halves: put its quarters in order. */
        __m256i e = _mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
        __m256i o = _mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));
        _mm256_storeu_si256((__m256i *)(even + i), _mm256_permute4x64_epi64(e, 0xD8));
        _mm256_storeu_si256((__m256i *)(odd + i), _mm256_permute4x64_epi64(o, 0xD8));
    }
    split_sse2(src + 2 * i, even + i, odd + i, n - i);
}

AVX2 static void merge_avx2(const uint8_t *even, const uint8_t *odd, uint8_t *dst, size_t n)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(even + i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(odd + i));
        __m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
        _mm256_storeu_si256((__m256i *)(dst + 2 * i), _mm256_permute2x128_si256(lo, hi, 0x20));
        _mm256_storeu_si256((__m256i *)(dst + 2 * i + 32), _mm256_permute2x128_si256(lo, hi, 0x31));
    }
    merge_sse2(even + i, odd + i, dst + 2 * i, n - i);
}

AVX2 static void bits_avx2(const uint8_t *src, uint8_t *rows, size_t stride, size_t n)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(src + i));
        for (size_t b = 8; b-- > 0; v = _mm256_add_epi8(v, v)) {
            uint32_t mask = (uint32_t)_mm256_movemask_epi8(v);
            memcpy(rows + b * stride + i / 8, &mask, sizeof mask);
        }
    }
    bits_sse2(src + i, rows + i / 8, stride, n - i);
}

AVX2 static void unbits_avx2(const uint8_t *rows, size_t stride, uint8_t *dst, size_t n)
{
    /* Byte j of the result tests bit j % 8 of byte j / 8 of a row's four bytes. */
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i select = _mm256_set1_epi64x((long long)0x8040201008040201u);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i v = _mm256_setzero_si256();
        for (size_t b = 0; b < 8; b++) {
            int32_t row;
            memcpy(&row, rows + b * stride + i / 8, sizeof row);
            __m256i t = _mm256_shuffle_epi8(_mm256_set1_epi32(row), spread);
            t = _mm256_cmpeq_epi8(_mm256_and_si256(t, select), select);
            v = _mm256_or_si256(v, _mm256_and_si256(t, _mm256_set1_epi8((char)(1 << b))));
        }
        _mm256_storeu_si256((__m256i *)(dst + i), v);
    }
    unbits_scalar(rows + i / 8, stride, dst + i, n - i);
}

/* ---- AVX-512 ---- */

#define AVX512 EMD_TARGET(EMD_TARGET_AVX512)

AVX512 static void split_avx512(const uint8_t *src, uint8_t *even, uint8_t *odd, size_t n)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512i a = _mm512_loadu_si512(src + 2 * i);
        _mm256_storeu_si256((__m256i *)(even + i), _mm512_cvtepi16_epi8(a));
        _mm256_storeu_si256((__m256i *)(odd + i), _mm512_cvtepi16_epi8(_mm512_srli_epi16(a, 8)));
    }
    split_sse2(src + 2 * i, even + i, odd + i, n - i);
}

AVX512 static void merge_avx512(const uint8_t *even, const uint8_t *odd, uint8_t *dst, size_t n)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512i a = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(even + i)));
        __m512i b = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(odd + i)));
        _mm512_storeu_si512(dst + 2 * i, _mm512_or_si512(a, _mm512_slli_epi16(b, 8)));
    }
    merge_sse2(even + i, odd + i, dst + 2 * i, n - i);
}

AVX512 static void bits_avx512(const uint8_t *src, uint8_t *rows, size_t stride, size_t n)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i v = _mm512_loadu_si512(src + i);
        for (size_t b = 8; b-- > 0; v = _mm512_add_epi8(v, v)) {
            uint64_t mask = _cvtmask64_u64(_mm512_movepi8_mask(v));
            memcpy(rows + b * stride + i / 8, &mask, sizeof mask);
        }
    }
    bits_avx2(src + i, rows + i / 8, stride, n - i);
}

AVX512 static void unbits_avx512(const uint8_t *rows, size_t stride, uint8_t *dst, size_t n)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i v = _mm512_setzero_si512();
        for (size_t b = 0; b < 8; b++) {
            uint64_t row;
            memcpy(&row, rows + b * stride + i / 8, sizeof row);
            v = _mm512_mask_add_epi8(v, _cvtu64_mask64(row), v, _mm512_set1_epi8((char)(1 << b)));
        }
        _mm512_storeu_si512(dst + i, v);
    }
    unbits_avx2(rows + i / 8, stride, dst + i, n - i);
}

#elif defined(__aarch64__)

static void split_neon(const uint8_t *src, uint8_t *even, uint8_t *odd, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint8x16x2_t v = vld2q_u8(src + 2 * i);
        vst1q_u8(even + i, v.val[0]);
        vst1q_u8(odd + i, v.val[1]);
    }
    split_scalar(src + 2 * i, even + i, odd + i, n - i);
}

static void merge_neon(const uint8_t *even, const uint8_t *odd, uint8_t *dst, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint8x16x2_t v = {{vld1q_u8(even + i), vld1q_u8(odd + i)}};
        vst2q_u8(dst + 2 * i, v);
    }
    merge_scalar(even + i, odd + i, dst + 2 * i, n - i);
}

#endif

static const struct kernels *kernels_of(enum emd_simd simd)
{
    static const struct kernels scalar = {split_scalar, merge_scalar, bits_scalar, unbits_scalar};
#if defined(__x86_64__)
    static const struct kernels sse2 = {split_sse2, merge_sse2, bits_sse2, unbits_scalar};
    static const struct kernels avx2 = {split_avx2, merge_avx2, bits_avx2, unbits_avx2};
    static const struct kernels avx512 = {split_avx512, merge_avx512, bits_avx512, unbits_avx512};
    switch (simd) {
    case EMD_SIMD_SSE2:
        return &sse2;
    case EMD_SIMD_AVX2:
        return &avx2;
    case EMD_SIMD_AVX512:
    case EMD_SIMD_AVX512VBMI:
        return &avx512;
    default:
        return &scalar;
    }
#elif defined(__aarch64__)
    static const struct kernels neon = {split_neon, merge_neon, bits_scalar, unbits_scalar};
    return simd == EMD_SIMD_NEON ? &neon : &scalar;
#else
    (void)simd;
    return &scalar;
#endif
}

/* ---- any item size ---- */

static bool is_fast_size(size_t size)
{
    return size >= 2 && size <= 16 && (size & (size - 1)) == 0;
}

/* n items of 'size' bytes (a power of two, all of them at most BLOCK bytes) to the planes first,
 * first + step, ... that lie 'stride' bytes apart. */
static void split_planes(const struct kernels *k, size_t size, const uint8_t *src, size_t n,
                         uint8_t *dst, size_t stride, size_t first, size_t step)
{
    uint8_t half[BLOCK];
    if (size == 2) {
        k->split(src, dst + first * stride, dst + (first + step) * stride, n);
        return;
    }
    size_t bytes = n * size / 2;
    k->split(src, half, half + bytes, bytes);
    split_planes(k, size / 2, half, n, dst, stride, first, 2 * step);
    split_planes(k, size / 2, half + bytes, n, dst, stride, first + step, 2 * step);
}

static void merge_planes(const struct kernels *k, size_t size, const uint8_t *src, size_t stride,
                         size_t first, size_t step, uint8_t *dst, size_t n)
{
    uint8_t half[BLOCK];
    if (size == 2) {
        k->merge(src + first * stride, src + (first + step) * stride, dst, n);
        return;
    }
    size_t bytes = n * size / 2;
    merge_planes(k, size / 2, src, stride, first, 2 * step, half, n);
    merge_planes(k, size / 2, src, stride, first + step, 2 * step, half + bytes, n);
    k->merge(half, half + bytes, dst, bytes);
}

/* Items first .. first + n of a buffer to their planes: dst[p * stride + i] is byte p of item i. */
static void shuffle_items(const struct kernels *k, size_t size, const uint8_t *src, size_t n,
                          uint8_t *dst, size_t stride)
{
    if (size == 1) {
        memcpy(dst, src, n);
    } else if (size == 2) {
        k->split(src, dst, dst + stride, n);
    } else if (is_fast_size(size)) {
        const size_t step = BLOCK / size;
        for (size_t i = 0; i < n; i += step)
            split_planes(k, size, src + i * size, n - i < step ? n - i : step, dst + i, stride, 0,
                         1);
    } else {
        for (size_t i = 0; i < n; i++)
            for (size_t p = 0; p < size; p++)
                dst[p * stride + i] = src[i * size + p];
    }
}

static void unshuffle_items(const struct kernels *k, size_t size, const uint8_t *src, size_t stride,
                            uint8_t *dst, size_t n)
{
    if (size == 1) {
        memcpy(dst, src, n);
    } else if (size == 2) {
        k->merge(src, src + stride, dst, n);
    } else if (is_fast_size(size)) {
        const size_t step = BLOCK / size;
        for (size_t i = 0; i < n; i += step)
            merge_planes(k, size, src + i, stride, 0, 1, dst + i * size,
                         n - i < step ? n - i : step);
    } else {
        for (size_t i = 0; i < n; i++)
            for (size_t p = 0; p < size; p++)
                dst[i * size + p] = src[p * stride + i];
    }
}

void emd_shuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst, size_t n)
{
    size_t items = n / item_size, whole = items * item_size;
    if (items)
        shuffle_items(kernels_of(simd), item_size, src, items, dst, items);
    if (n > whole)
        memcpy((uint8_t *)dst + whole, (const uint8_t *)src + whole, n - whole);
}

void emd_unshuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst, size_t n)
{
    size_t items = n / item_size, whole = items * item_size;
    if (items)
        unshuffle_items(kernels_of(simd), item_size, src, items, dst, items);
    if (n > whole)
        memcpy((uint8_t *)dst + whole, (const uint8_t *)src + whole, n - whole);
}

/* Items of a bit shuffle that go through the byte shuffle at once: a multiple of 64, so that all
 * but the last block fill whole vectors. */
static size_t bit_step(size_t item_size)
{
    size_t step = BLOCK / item_size & ~(size_t)63;
    return step ? step : 64;
}

/* Items beyond this size are shuffled a byte plane at a time: the planes of a block of 64 items
 * would not fit the buffer on the stack. */
enum { LARGEST_BLOCKED = BLOCK / 64 };

void emd_bitshuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst,
                         size_t items)
{
    const struct kernels *k = kernels_of(simd);
    const uint8_t *s = src;
    uint8_t *d = dst, planes[BLOCK];
    const size_t row = items / 8, step = bit_step(item_size);
    for (size_t i = 0; i < items; i += step) {
        size_t n = items - i < step ? items - i : step;
        if (item_size <= LARGEST_BLOCKED)
            shuffle_items(k, item_size, s + i * item_size, n, planes, n);
        for (size_t p = 0; p < item_size; p++) {
            const uint8_t *plane = planes + p * n;
            if (item_size > LARGEST_BLOCKED) {
                for (size_t j = 0; j < n; j++)
                    planes[j] = s[(i + j) * item_size + p];
                plane = planes;
            }
            k->bits(plane, d + p * 8 * row + i / 8, row, n);
        }
    }
}

void emd_bitunshuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst,
                           size_t items)
{
    const struct kernels *k = kernels_of(simd);
    const uint8_t *s = src;
    uint8_t *d = dst, planes[BLOCK];
    const size_t row = items / 8, step = bit_step(item_size);
    for (size_t i = 0; i < items; i += step) {
        size_t n = items - i < step ? items - i : step;
        for (size_t p = 0; p < item_size; p++) {
            bool blocked = item_size <= LARGEST_BLOCKED;
            k->unbits(s + p * 8 * row + i / 8, row, blocked ? planes + p * n : planes, n);
            for (size_t j = 0; j < n && !blocked; j++)
                d[(i + j) * item_size + p] = planes[j];
        }
        if (item_size <= LARGEST_BLOCKED)
            unshuffle_items(k, item_size, planes, n, d + i * item_size, n);
    }
}

void emd_shuffle(size_t item_size, const void *src, void *dst, size_t n)
{
    emd_shuffle_with(emd_simd_level(), item_size, src, dst, n);
}

void emd_unshuffle(size_t item_size, const void *src, void *dst, size_t n)
{
    emd_unshuffle_with(emd_simd_level(), item_size, src, dst, n);
}

void emd_bitshuffle(size_t item_size, const void *src, void *dst, size_t items)
{
    emd_bitshuffle_with(emd_simd_level(), item_size, src, dst, items);
}

void emd_bitunshuffle(size_t item_size, const void *src, void *dst, size_t items)
{
    emd_bitunshuffle_with(emd_simd_level(), item_size, src, dst, items);
}
