/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The statistics of integer pixels, included by framestats.c once for each type and SIMD level:
 *   KERNEL    name of the function
 *   TARGET    function attribute of the level, or nothing
 *   PIXEL     type of a pixel; UPIXEL: unsigned, of the same width
 *   SUM       signed type that holds the sum of a block; USUM: unsigned, of its deviations
 *   WHOLE_FLIP  where whole_sum and whole_below do the blocks of whole width, their 'flip'
 * Plain loops over one block, in the level-1 cache after the first, that compilers turn into
 * vectors. Most blocks of a diffraction pattern hold no spot: their maximum says so, and the third
 * loop is left out. */
TARGET static void KERNEL(struct emd_framestats *stats, const unsigned char *pixels, size_t rows,
                          size_t columns, size_t stride)
{
    for (size_t y = 0; y < rows; y += EMD_FRAMESTATS_ROWS) {
        const size_t high = rows - y < EMD_FRAMESTATS_ROWS ? rows - y : EMD_FRAMESTATS_ROWS;
        for (size_t x = 0; x < columns; x += EMD_FRAMESTATS_COLUMNS) {
            const size_t left = columns - x;
            const size_t wide = left < EMD_FRAMESTATS_COLUMNS ? left : EMD_FRAMESTATS_COLUMNS;
            const unsigned char *block = pixels + y * stride + x * sizeof(PIXEL);
            const int64_t count = (int64_t)(high * wide);
            SUM total = 0;
            PIXEL most = *(const PIXEL *)(const void *)block;
            size_t rows_left = high;
#ifdef WHOLE_FLIP
            if (wide == EMD_FRAMESTATS_COLUMNS) {
                int16_t largest;
                total =
                    whole_sum(block, high, stride, WHOLE_FLIP, &largest) + (SUM)count * WHOLE_FLIP;
                most = (PIXEL)(largest ^ (int16_t)WHOLE_FLIP);
                rows_left = 0;
            }
#endif
            for (size_t r = 0; r < rows_left; r++) {
                const PIXEL *row = (const PIXEL *)(const void *)(block + r * stride);
                for (size_t c = 0; c < wide; c++) {
                    total += row[c];
                    most = row[c] > most ? row[c] : most;
                }
            }
            stats->total += total;
            if (stats->pixels == 0 || (double)most > stats->max)
                stats->max = (double)most;
            stats->pixels += (uint64_t)count;
            const PIXEL mean = (PIXEL)floor_divide((int64_t)total, count);
            if ((int64_t)most - mean <= LEAST_EXCESS)
                continue;
            USUM below = 0;
#ifdef WHOLE_FLIP
            if (rows_left == 0)
                below = whole_below(block, high, stride, WHOLE_FLIP,
                                    (int16_t)((UPIXEL)mean ^ WHOLE_FLIP));
#endif
            for (size_t r = 0; r < rows_left; r += EMD_FRAMESTATS_NOISE_ROWS) {
                const PIXEL *row = (const PIXEL *)(const void *)(block + r * stride);
                for (size_t c = 0; c < wide; c++) {
                    const PIXEL low = row[c] < mean ? row[c] : mean;
                    below += (UPIXEL)((UPIXEL)mean - (UPIXEL)low);
                }
            }
            const int64_t limit = mean + threshold_above((int64_t)below, noise_pixels(high, wide));
            if (limit >= most)
                continue;
            const PIXEL above = (PIXEL)limit; /* between mean and most: it fits */
            uint32_t spots = 0;
            for (size_t r = 0; r < high; r++) {
                const PIXEL *row = (const PIXEL *)(const void *)(block + r * stride);
                const size_t pairs = wide < left ? wide : wide - 1;
                for (size_t c = 0; c < pairs; c++)
                    spots += (uint32_t)((row[c] > above) & (row[c + 1] > above));
            }
            stats->spots += spots;
        }
    }
}
