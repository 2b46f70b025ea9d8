/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See framestats.h. The kernels are plain C in framestats_kernel.h, compiled for the base level of
 * the architecture and, on x86-64, again for AVX2, where 16-bit pixels have their own sums. From
 * the cache they take half the time that memory takes to bring the pixels: the repacker shows them
 * a part of a frame as soon as it has been read.
 *
 * Tried and lost: median and MAD of the block (three times the cost), a histogram of the frame (one
 * pixel a cycle), mean and variance (a single spot of 1000 counts raises the threshold of its block
 * twice as far, and squares of 16 bits need 64-bit sums), noise from all rows (a third of the whole
 * cost for a standard deviation known to 3 % instead of 5 %). */
#include "velox/framestats.h"

#include <math.h>
#include <stdbool.h>

#include "base/cpu.h"
#include "base/simdtarget.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LEAST_EXCESS = 3 };

/* Six standard deviations over the mean downward deviation of a normal distribution,
 * E[max(mean - x, 0)] = sigma / sqrt(2 pi): 6 sqrt(2 pi) = 15.04. */
enum { SIX_SIGMA = 15 };

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Pixels of the rows that noise is taken from. */
static int64_t noise_pixels(size_t high, size_t wide)
{
    return (int64_t)((high - 1) / EMD_FRAMESTATS_NOISE_ROWS + 1) * (int64_t)wide;
}

/* How far above the mean a spot begins; 'below' is the sum of 'count' downward deviations. */
static int64_t threshold_above(int64_t below, int64_t count)
{
    return SIX_SIGMA * below / count + LEAST_EXCESS;
}

#if defined(__x86_64__)
#define AVX2 EMD_TARGET(EMD_TARGET_AVX2)

/* Blocks of whole width, 16-bit pixels: gcc widens them one vector at a time and adds up each row
 * by itself, which takes twice as long. Unsigned pixels become signed ones by 'flip' = 0x8000. */
AVX2 static inline __m256i load_signed(const unsigned char *row, size_t i, __m256i flip)
{
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)row + i), flip);
}

AVX2 static inline int32_t add_lanes_i32(__m256i v)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

enum { ROW_VECTORS = EMD_FRAMESTATS_COLUMNS / 16 };

/* Sum and maximum of the signed pixels. */
AVX2 static int32_t whole_sum(const unsigned char *block, size_t high, size_t stride, uint16_t flip,
                              int16_t *most)
{
    const __m256i flips = _mm256_set1_epi16((int16_t)flip), one = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256(), largest = load_signed(block, 0, flips);
    for (size_t r = 0; r < high; r++)
        for (size_t i = 0; i < ROW_VECTORS; i++) {
            const __m256i x = load_signed(block + r * stride, i, flips);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, one));
            largest = _mm256_max_epi16(largest, x);
        }
    /* one step finds the least of unsigned ones */
    const __m128i half =
        _mm_max_epi16(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    const __m128i turned = _mm_xor_si128(half, _mm_set1_epi16(INT16_MAX));
    *most = (int16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(turned)) ^ INT16_MAX);
    return add_lanes_i32(sum);
}

/* Sum of what the noise rows lie below the mean, which is signed, too. */
AVX2 static uint32_t whole_below(const unsigned char *block, size_t high, size_t stride,
                                 uint16_t flip, int16_t mean)
{
    const __m256i flips = _mm256_set1_epi16((int16_t)flip), one = _mm256_set1_epi16(1);
    const __m256i means = _mm256_set1_epi16(mean), middle = _mm256_set1_epi16(INT16_MIN);
    __m256i sum = _mm256_setzero_si256();
    uint32_t count = 0;
    for (size_t r = 0; r < high; r += EMD_FRAMESTATS_NOISE_ROWS) {
        for (size_t i = 0; i < ROW_VECTORS; i++) {
            const __m256i x = load_signed(block + r * stride, i, flips);
            /* 0 to 65535; less 32768 it is signed */
            const __m256i below = _mm256_sub_epi16(_mm256_max_epi16(means, x), x);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_xor_si256(below, middle), one));
        }
        count += EMD_FRAMESTATS_COLUMNS;
    }
    return (uint32_t)add_lanes_i32(sum) + count * 32768U;
}
#endif

#define TARGET
#define PIXEL int16_t
#define UPIXEL uint16_t
#define SUM int32_t
#define USUM uint32_t
#define KERNEL add_i16
#include "velox/framestats_kernel.h"
#undef KERNEL
#ifdef AVX2
#undef TARGET
#define TARGET AVX2
#define KERNEL add_i16_avx2
#define WHOLE_FLIP 0
#include "velox/framestats_kernel.h"
#undef KERNEL
#undef WHOLE_FLIP
#undef TARGET
#define TARGET
#endif
#undef PIXEL

#define PIXEL uint16_t
#define KERNEL add_u16
#include "velox/framestats_kernel.h"
#undef KERNEL
#ifdef AVX2
#undef TARGET
#define TARGET AVX2
#define KERNEL add_u16_avx2
#define WHOLE_FLIP 0x8000
#include "velox/framestats_kernel.h"
#undef KERNEL
#undef WHOLE_FLIP
#undef TARGET
#define TARGET
#endif
#undef PIXEL
#undef UPIXEL

#define PIXEL uint8_t
#define UPIXEL uint8_t
#define KERNEL add_u8
#include "velox/framestats_kernel.h"
#undef KERNEL
#undef PIXEL
#undef UPIXEL
#undef SUM
#undef USUM

#define PIXEL int32_t
#define UPIXEL uint32_t
#define SUM int64_t
#define USUM uint64_t
#define KERNEL add_i32
#include "velox/framestats_kernel.h"
#undef KERNEL

/* Sums of reals run in this many lanes, which are added in order: the same bits however wide the
 * vectors are. */
enum { LANES = 8 };

static double add_lanes(const double lane[LANES])
{
    double sum = 0;
    for (unsigned i = 0; i < LANES; i++)
        sum += lane[i];
    return sum;
}

static void add_block_f32(struct emd_framestats *stats, const unsigned char *block, size_t high,
                          size_t wide, size_t pairs, size_t stride)
{
    double sum[LANES] = {0}, below[LANES] = {0};
    uint64_t count = 0, spots = 0;
    float most = -INFINITY;
    for (size_t r = 0; r < high; r++) {
        const float *row = (const float *)(const void *)(block + r * stride);
        for (size_t c = 0; c < wide; c++) {
            const bool finite = isfinite(row[c]);
            sum[c % LANES] += finite ? row[c] : 0;
            most = finite && row[c] > most ? row[c] : most;
            count += finite;
        }
    }
    if (count == 0)
        return;
    const double total = add_lanes(sum), mean = total / (double)count;
    for (size_t r = 0; r < high; r += EMD_FRAMESTATS_NOISE_ROWS) {
        const float *row = (const float *)(const void *)(block + r * stride);
        for (size_t c = 0; c < wide; c++)
            below[c % LANES] += isfinite(row[c]) && row[c] < mean ? mean - row[c] : 0;
    }
    const double above = mean + 15.04 * add_lanes(below) / (double)noise_pixels(high, wide);
    for (size_t r = 0; above < most && r < high; r++) {
        const float *row = (const float *)(const void *)(block + r * stride);
        for (size_t c = 0; c < pairs; c++)
            spots +=
                isfinite(row[c]) && isfinite(row[c + 1]) && row[c] > above && row[c + 1] > above;
    }
    const struct emd_framestats part = {.pixels = count, .sum = total, .max = most, .spots = spots};
    emd_framestats_merge(stats, &part);
}

static void add_f32(struct emd_framestats *stats, const unsigned char *pixels, size_t rows,
                    size_t columns, size_t stride)
{
    for (size_t y = 0; y < rows; y += EMD_FRAMESTATS_ROWS) {
        const size_t high = rows - y < EMD_FRAMESTATS_ROWS ? rows - y : EMD_FRAMESTATS_ROWS;
        for (size_t x = 0; x < columns; x += EMD_FRAMESTATS_COLUMNS) {
            const size_t left = columns - x;
            const size_t wide = left < EMD_FRAMESTATS_COLUMNS ? left : EMD_FRAMESTATS_COLUMNS;
            add_block_f32(stats, pixels + y * stride + x * sizeof(float), high, wide,
                          wide < left ? wide : wide - 1, stride);
        }
    }
}

void emd_framestats_add(struct emd_framestats *stats, enum emd_pixel_type type, const void *pixels,
                        size_t rows, size_t columns, size_t stride)
{
    if (rows == 0 || columns == 0)
        return;
#ifdef AVX2
    const bool avx2 = emd_simd_level() >= EMD_SIMD_AVX2;
#endif
    switch (type) {
    case EMD_PIXEL_I16:
#ifdef AVX2
        if (avx2) {
            add_i16_avx2(stats, pixels, rows, columns, stride);
            return;
        }
#endif
        add_i16(stats, pixels, rows, columns, stride);
        return;
    case EMD_PIXEL_U16:
#ifdef AVX2
        if (avx2) {
            add_u16_avx2(stats, pixels, rows, columns, stride);
            return;
        }
#endif
        add_u16(stats, pixels, rows, columns, stride);
        return;
    case EMD_PIXEL_I32:
        add_i32(stats, pixels, rows, columns, stride);
        return;
    case EMD_PIXEL_U8:
        add_u8(stats, pixels, rows, columns, stride);
        return;
    case EMD_PIXEL_F32:
        add_f32(stats, pixels, rows, columns, stride);
        return;
    }
}

void emd_framestats_merge(struct emd_framestats *stats, const struct emd_framestats *part)
{
    if (part->pixels == 0)
        return;
    if (stats->pixels == 0 || part->max > stats->max)
        stats->max = part->max;
    stats->pixels += part->pixels;
    stats->total += part->total;
    stats->sum += part->sum;
    stats->spots += part->spots;
}

double emd_framestats_mean(const struct emd_framestats *stats)
{
    /* one of the two sums is zero: pixels are integers or reals */
    return stats->pixels ? ((double)stats->total + stats->sum) / (double)stats->pixels : NAN;
}
