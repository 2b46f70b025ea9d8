/* See framestats.h. The kernels are plain C in framestats_kernel.h, compiled for the base level of
 * the architecture and, on x86-64, again for AVX2.
 *
 * Tried and lost: median and MAD of the block (three times the cost), a histogram of the frame (one
 * pixel a cycle), mean and variance (a single spot of 1000 counts raises the threshold of its block
 * twice as far, and squares of 16 bits need 64-bit sums), noise from all rows (a third of the whole
 * cost for a standard deviation known to 3 % instead of 5 %). */
#include "velox/framestats.h"

#include <math.h>
#include <stdbool.h>

#include "base/cpu.h"

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
#define AVX2 __attribute__((target("avx2")))
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
#include "velox/framestats_kernel.h"
#undef KERNEL
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
#include "velox/framestats_kernel.h"
#undef KERNEL
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
