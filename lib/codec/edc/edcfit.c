/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Which pixels a fit is made of decides the result more than the number of taps: tiles are weighted
 * by their noise (dark background is predicted best by other weights than bright, and has more to
 * win), and pixels off the prediction by more than a few times the tile's deviation, the Bragg
 * spots, are left out. On Ceta frames weighting is worth 0.6 %, classes of intensity 0.4 %, the two
 * taps beyond the nearest four 0.1 % (2 % on frames without beam). All sums are integers and all
 * other arithmetic is in a fixed order, so that every SIMD level gives the same coefficients. */
#include "codec/edc/edcfit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLE_ROWS = 24,
    SAMPLE_PIXELS = 3 << 14, /* or more rows, of narrow frames */
    SET_PIXELS = 4500,       /* a set is worth fitting on no fewer */
    ROUNDS = 2,
    UNKNOWNS = EDC_TAPS + 1
};

size_t edc_lay_out_rows(uint8_t *base, uint32_t width, struct edc_rows *rows)
{
    const size_t lanes = edc_row_lanes(width);
    size_t at = 0;
    for (int d = 0; d < 4; d++)
        for (int phase = 0; phase < 2; phase++) {
            uint16_t *const half = edc_take(base, &at, lanes, sizeof *half);
            rows->pixels.row[d].half[phase] = half ? half + EDC_PAD : NULL;
        }
    rows->half[0] = ((size_t)width + 1) / 2;
    rows->half[1] = width / 2;
    for (int phase = 0; phase < 2; phase++)
        rows->tiles[phase] = (rows->half[phase] + EDC_TILE_LANES - 1) / EDC_TILE_LANES;
    return at;
}

/* Of the squares left by four taps, what the others must take off: half of it in nats a pixel, 0.01
 * bit. */
static const double TAPS_WORTH = 0.014;

/* Where a frame of few pixels, or of a flat set, starts from: the fit of an average camera. */
static const struct edc_set standard = {
    .coef = {{6300, 3600, 1900, 0, 0, 0, 4, 0}, {7500, 2300, 1400, 300, 0, 0, 4, 0}}};

/* Sums of one set and phase over tiles, weighted by tile. */
struct normal {
    double a[UNKNOWNS][UNKNOWNS], b[UNKNOWNS], y2;
    double pixels;
};

static void add_moments(struct normal *normal, const int32_t moments[EDC_MOMENTS], double weight)
{
    int m = 0;
    for (int i = 0; i < UNKNOWNS + 1; i++)
        for (int j = i; j < UNKNOWNS + 1; j++, m++) {
            if (i < UNKNOWNS && j < UNKNOWNS)
                normal->a[i][j] += weight * moments[m];
            else if (i < UNKNOWNS)
                normal->b[i] += weight * moments[m];
            else
                normal->y2 += weight * moments[m];
            if (i == EDC_TAPS && j == EDC_TAPS)
                normal->pixels += moments[m];
        }
}

/* Solves by elimination; a slight pull towards zero keeps flat frames solvable. few: only the first
 * taps and the bias are not 0. Returns the sum of squares that is left. */
static double solve(const struct normal *normal, bool few, double x[UNKNOWNS])
{
    struct normal copy = *normal, *const n = &copy;
    for (int t = EDC_FEW_TAPS; few && t < EDC_TAPS; t++) {
        for (int i = 0; i < UNKNOWNS; i++)
            n->a[i][t] = n->a[t][i] = i == t;
        n->b[t] = 0;
    }
    for (int i = 0; i < UNKNOWNS; i++) {
        n->a[i][i] = n->a[i][i] * (1 + 1e-6) + 1e-9;
        for (int j = 0; j < i; j++)
            n->a[i][j] = n->a[j][i];
    }
    for (int i = 0; i < UNKNOWNS; i++)
        for (int k = i + 1; k < UNKNOWNS; k++) {
            const double f = n->a[k][i] / n->a[i][i];
            for (int j = i; j < UNKNOWNS; j++)
                n->a[k][j] -= f * n->a[i][j];
            n->b[k] -= f * n->b[i];
        }
    for (int i = UNKNOWNS - 1; i >= 0; i--) {
        x[i] = n->b[i];
        for (int j = i + 1; j < UNKNOWNS; j++)
            x[i] -= n->a[i][j] * x[j];
        x[i] /= n->a[i][i];
    }
    double left = normal->y2;
    for (int i = 0; i < UNKNOWNS; i++)
        left -= normal->b[i] * x[i];
    return left;
}

/* Whether all taps are worth their time. */
static bool need_all_taps(struct normal (*normal)[2], unsigned sets)
{
    double gain = 0, pixels = 0, x[UNKNOWNS];
    for (unsigned s = 0; s < sets; s++)
        for (int phase = 0; phase < 2; phase++) {
            const struct normal *const n = &normal[s][phase];
            const double few = solve(n, true, x), all = solve(n, false, x);
            if (n->pixels < SET_PIXELS / 8.0 || all <= 0)
                continue;
            gain += n->pixels * (few / all - 1);
            pixels += n->pixels;
        }
    return gain > pixels * TAPS_WORTH;
}

static int16_t to_fixed(double value, double scale)
{
    const double v = floor(value * scale + 0.5);
    return (int16_t)(v > 32767 ? 32767 : v < -32767 ? -32767 : v);
}

static int by_sum(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Row y and the three above it (or the nearest that there are). */
static void load_rows(const struct edc_kernels *k, const struct edc_header *h, const void *chunk,
                      uint32_t plane, uint32_t y, uint32_t offset, struct edc_rows *rows,
                      uint16_t *line)
{
    for (uint32_t d = 0; d < 4; d++) {
        uint16_t *const *half = rows->pixels.row[d].half;
        const uint16_t *const row = edc_load_row(h, chunk, plane, y > d ? y - d : 0, offset, line);
        k->split(row, h->width, half[0], half[1]);
        for (int phase = 0; phase < 2; phase++)
            edc_pad(half[phase], rows->half[phase], half[0][0]);
    }
}

bool edc_fit(const struct edc_kernels *k, const struct edc_header *h, const void *chunk,
             const uint32_t *offsets, struct edc_model *model)
{
    struct edc_rows rows;
    const size_t tiles = (size_t)h->width / EDC_TILE_WIDTH; /* whole ones only */
    const size_t row_bytes = edc_lay_out_rows(NULL, h->width, &rows);
    const uint64_t all_rows = (uint64_t)h->height * h->planes;
    uint64_t sample = SAMPLE_PIXELS / (h->width ? h->width : 1);
    if (sample < SAMPLE_ROWS)
        sample = SAMPLE_ROWS;
    if (sample > all_rows)
        sample = all_rows;
    uint8_t *const memory = malloc(row_bytes + edc_row_lanes(h->width) * 2 * sizeof(uint16_t) +
                                   (size_t)sample * (tiles + 1) * sizeof(uint32_t));
    struct normal(*const normal)[2] = malloc(sizeof *normal * EDC_SETS);
    const bool ok = memory && normal;
    if (!ok)
        goto out;
    edc_clear(memory, row_bytes);
    edc_lay_out_rows(memory, h->width, &rows);
    uint16_t *const line = (uint16_t *)(void *)(memory + row_bytes);
    uint32_t *const sums = (uint32_t *)(void *)(line + edc_row_lanes(h->width) * 2);
    const uint32_t per_plane = (h->height + h->strip_rows - 1) / h->strip_rows;
    const uint16_t flip = h->flags & EDC_FLAG_SIGNED ? 0x8000 : 0;

    model->set_count = 1;
    for (int s = 0; s < EDC_SETS; s++)
        model->sets[s] = standard;
    for (int round = 0; round < ROUNDS && tiles; round++) {
        size_t count = 0;
        memset(normal, 0, sizeof *normal * EDC_SETS);
        /* Half of the rows are enough for a first look, if there are many. */
        for (uint64_t i = 0; i < sample; i += round == 0 && sample >= SAMPLE_ROWS ? 2 : 1) {
            const uint64_t row = (2 * i + 1) * all_rows / (2 * sample);
            const uint32_t plane = (uint32_t)(row / h->height), y = (uint32_t)(row % h->height);
            load_rows(k, h, chunk, plane, y, offsets[plane * per_plane + y / h->strip_rows], &rows,
                      line);
            for (size_t t = 0; t < tiles; t++) {
                const uint16_t *const above = rows.pixels.row[1].half[0] + t * EDC_TILE_LANES;
                uint32_t sum = 0;
                for (int lane = 0; lane < EDC_TILE_LANES; lane++)
                    sum += (uint16_t)(above[lane] ^ flip);
                sums[count++] = sum;
                unsigned s = 0;
                for (unsigned j = 0; j + 1 < model->set_count; j++)
                    s += sum >= model->intensity[j];
                for (int phase = 0; phase < 2; phase++) {
                    const struct edc_set *const set = round ? &model->sets[s] : NULL;
                    const size_t at = t * EDC_TILE_LANES;
                    int32_t moments[EDC_MOMENTS];
                    /* Mean deviation, the second time without the outliers. */
                    uint32_t d = k->deviation(&rows.pixels, phase, at, set, EDC_CLAMP);
                    d = k->deviation(&rows.pixels, phase, at, set, (int)(d * 4 / 32 + 2));
                    const double mean = d / 32.0 + 0.3;
                    k->moments(&rows.pixels, phase, at, set, (int)(d * 9 / 64 + 2), moments);
                    add_moments(&normal[s][phase], moments, 1 / (mean * mean));
                }
            }
        }
        const bool few = !need_all_taps(normal, model->set_count);
        for (unsigned s = 0; s < model->set_count; s++)
            for (int phase = 0; phase < 2; phase++) {
                double x[UNKNOWNS];
                if (normal[s][phase].pixels < SET_PIXELS / 8.0)
                    continue;
                solve(&normal[s][phase], few, x);
                int16_t *const coef = model->sets[s].coef[phase];
                for (int c = 0; c < EDC_TAPS; c++)
                    coef[c] = to_fixed(x[c], 32768);
                coef[EDC_TAPS] = to_fixed(x[EDC_TAPS], 8);
                coef[EDC_TAPS] = (int16_t)(coef[EDC_TAPS] + (coef[EDC_TAPS] < 32000 ? 4 : 0));
            }
        if (round == 0) {
            /* Sets by intensity, each for as many tiles of the sample. */
            unsigned sets = (unsigned)(sample * tiles * EDC_TILE_LANES / SET_PIXELS);
            sets = sets < 1 ? 1 : sets > 6 ? 6 : sets;
            qsort(sums, count, sizeof *sums, by_sum);
            for (unsigned s = 1; s < sets; s++)
                model->intensity[s - 1] = sums[count * s / sets];
            for (unsigned s = 1; s < sets; s++)
                model->sets[s] = model->sets[0];
            model->set_count = sets;
        }
    }
out:
    free(memory);
    free(normal);
    return ok;
}
