/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See estimate.h. Statistics are of tiles of 32 x 32 pixels: small enough that the mean is one,
 * large enough for the covariances of neighbours.
 *
 * Tried and lost for the gain: variance of the differences alone (a blurring camera's is a third of
 * it), a correction from the autocorrelation of one frame (spots and fixed pattern are in it), the
 * variance of blocks of pixels (the same as the sum over distances, with ten times the scatter). */
#include "velox/estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/median.h"
#include "velox/beammap.h"

enum {
    TILE = 32,
    LAG = 3, /* pixels: farther than cameras blur noticeably at the binning of movies */
    LAGS = 2 * LAG + 1,
    CLASSES = (LAG + 1) * (LAG + 2) / 2, /* distances that no camera tells apart */
    GROUP = 3,                           /* frames */
    FRAMES = 48,
    BINS = 24, /* of equal shares, and the brightest again by halves */
    BINS_MAX = BINS + 6,
    PAIR_PIXELS = 1 << 20 /* of two frames that are looked at: enough for two percent */
};

struct tile {
    double mean;
    float covariance[CLASSES]; /* of one frame, of pixels (dx, dy) apart: distance_class() */
    double third;              /* third cumulant, of one frame; NaN: unknown */
};

struct emd_estimator {
    size_t height, width;
    double clip;
    struct emd_cells cells;
    float *map[FRAMES]; /* of each frame */
    size_t frames;
    struct tile *tile;
    size_t tiles, room;
    bool finished;
    /* what emd_estimator_frame needs */
    struct emd_estimate found;
    uint8_t *mark;
    float *combined, *work;
    double dark, bright, above; /* levels of the sample; 'above': dark less the pedestal */
    struct emd_profile profile;
};

void emd_estimate_clear(struct emd_estimate *e)
{
    memset(e, 0, sizeof *e);
    e->centre[0] = e->centre[1] = e->centre_sigma = NAN;
    e->pedestal = e->pedestal_sigma = e->gain = e->gain_sigma = NAN;
}

enum emd_status emd_estimator_new(size_t height, size_t width, double clip,
                                  struct emd_estimator **out, struct emd_error *err)
{
    *out = NULL;
    if (height < 64 || width < 64 || height > 65536 || width > 65536)
        return emd_fail(err, EMD_E_UNSUPPORTED, "frames of %zu x %zu pixels", width, height);
    struct emd_estimator *e = calloc(1, sizeof *e);
    if (!e)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    e->height = height;
    e->width = width;
    e->clip = clip;
    emd_cells_plan(height, width, &e->cells);
    const size_t n = e->cells.width * e->cells.height;
    e->mark = calloc(n, 1);
    e->combined = malloc(n * sizeof *e->combined);
    e->work = malloc(EMD_CENTRE_WORK * n * sizeof *e->work);
    if (!e->mark || !e->combined || !e->work) {
        emd_estimator_free(e);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    *out = e;
    return EMD_OK;
}

void emd_estimator_free(struct emd_estimator *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->frames; i++)
        free(e->map[i]);
    free(e->tile);
    free(e->mark);
    free(e->combined);
    free(e->work);
    free(e);
}

/* --- tiles ------------------------------------------------------------------------------------*/

/* 0 <= y <= x <= LAG, without regard of sign and order: y + x (x + 1) / 2. */
static size_t distance_class(int dx, int dy)
{
    const int a = abs(dx), b = abs(dy), x = a > b ? a : b, y = a > b ? b : a;
    return (size_t)(y + x * (x + 1) / 2);
}

/* A tile with a margin of zeros, so that no loop needs to look where it ends. */
enum { ROW = TILE + 2 * LAG };
struct window {
    float value[TILE + LAG][ROW]; /* the first pixel is value[0][LAG] */
    uint8_t ok[TILE + LAG][ROW];
    size_t count;
};

static void subtract_mean(struct window *w)
{
    double sum = 0;
    w->count = 0;
    for (int y = 0; y < TILE; y++) {
        float line = 0;
        unsigned count = 0;
        for (int x = LAG; x < LAG + TILE; x++) {
            line += w->ok[y][x] ? w->value[y][x] : 0;
            count += w->ok[y][x];
        }
        sum += (double)line;
        w->count += count;
    }
    const float mean = w->count > 0 ? (float)(sum / (double)w->count) : 0;
    for (int y = 0; y < TILE; y++)
        for (int x = LAG; x < LAG + TILE; x++)
            w->value[y][x] = w->ok[y][x] ? w->value[y][x] - mean : 0;
}

/* Leaves out pixels far above the others of the tile: hot ones, whose constant value would count as
 * electrons without noise, and strong reflections. The limit is so high that it takes next to no
 * counted electrons: twelve times the distance from the median to the lower sixth. */
static void leave_out_hot_pixels(const struct emd_estimator *e, const float *a, size_t top,
                                 size_t left, struct window *w)
{
    enum { EVERY = 8 }; /* a sample of the tile tells */
    float v[TILE * TILE / EVERY];
    size_t n = 0;
    for (size_t y = 0; y < TILE; y++)
        for (size_t x = y % EVERY; x < TILE; x += EVERY)
            v[n++] = a[(top + y) * e->width + left + x];
    const float middle = emd_select_rank(v, n, n / 2), low = emd_select_rank(v, n, n / 6);
    const float limit = middle + 12 * (middle - low > 1 ? middle - low : 1);
    for (size_t y = 0; y < TILE; y++)
        for (size_t x = 0; x < TILE; x++)
            w->ok[y][LAG + x] = a[(top + y) * e->width + left + x] <= limit;
}

/* Sizes of the sums of 3 x 3 pixels; their mean. */
static double sum_squares(const struct window *w, float sum[TILE][TILE])
{
    float column[TILE][ROW];
    double usual = 0;
    for (int y = 0; y < TILE; y++) {
        const float *above = w->value[y > 0 ? y - 1 : TILE]; /* the margin below is zero */
        for (int x = 0; x < ROW; x++)
            column[y][x] = above[x] + w->value[y][x] + w->value[y + 1][x];
    }
    for (int y = 0; y < TILE; y++) {
        float line = 0;
        for (int x = 0; x < TILE; x++) {
            const float *c = column[y] + LAG + x;
            sum[y][x] = fabsf(c[-1] + c[0] + c[1]);
            line += w->ok[y][LAG + x] ? sum[y][x] : 0;
        }
        usual += (double)line;
    }
    return usual / (double)w->count;
}

/* Leaves out what changed by more than noise does: a sum of 3 x 3 pixels that exceeds four times
 * its usual size is a reflection that came or went. */
static void leave_out_spots(struct window *w)
{
    float sum[TILE][TILE];
    for (int pass = 0; pass < 2; pass++) {
        subtract_mean(w);
        if (w->count < TILE * TILE / 2)
            return;
        /* 1.2533: from the mean deviation to the sigma of a normal distribution */
        const float limit = (float)(4 * 1.2533 * sum_squares(w, sum));
        bool any = false;
        for (int y = 0; y < TILE; y++)
            for (int x = 0; x < TILE; x++) {
                if (sum[y][x] <= limit)
                    continue;
                any = true;
                for (int v = y > 2 ? y - 2 : 0; v <= y + 2 && v < TILE; v++)
                    memset(&w->ok[v][LAG + x - 2], 0, 5); /* the margin is not ok anyway */
            }
        if (!any)
            return;
    }
    subtract_mean(w);
}

/* Sum of products of a row with another, and how many pairs count. */
static double multiply_rows(const struct window *w, int y, int dy, int dx, bool whole,
                            unsigned *count)
{
    enum { WIDE = 8 }; /* sums side by side, for SIMD */
    const float *a = w->value[y] + LAG, *b = w->value[y + dy] + LAG + dx;
    float sum[WIDE] = {0};
    for (int x = 0; x < TILE; x += WIDE)
        for (int k = 0; k < WIDE; k++)
            sum[k] += a[x + k] * b[x + k];
    if (whole) {
        *count += (unsigned)(TILE - abs(dx));
    } else {
        const uint8_t *p = w->ok[y] + LAG, *q = w->ok[y + dy] + LAG + dx;
        unsigned both = 0;
        for (int x = 0; x < TILE; x++)
            both += p[x] & q[x];
        *count += both;
    }
    return (double)((sum[0] + sum[4]) + (sum[1] + sum[5]) + (sum[2] + sum[6]) + (sum[3] + sum[7]));
}

/* The covariances of a difference, for one frame: half of them. */
static void find_covariances(const struct window *w, struct tile *tile)
{
    const bool whole = w->count == TILE * TILE;
    double power = 0, total[CLASSES] = {0};
    unsigned members[CLASSES] = {0};
    for (int dy = 0; dy <= LAG; dy++)
        for (int dx = dy == 0 ? 0 : -LAG; dx <= LAG; dx++) {
            double sum = 0;
            unsigned count = 0;
            for (int y = 0; y + dy < TILE; y++)
                sum += multiply_rows(w, y, dy, dx, whole, &count);
            total[distance_class(dx, dy)] += count > 0 ? sum / count : 0;
            members[distance_class(dx, dy)]++;
            power += count > 0 ? (dy == 0 && dx == 0 ? 1 : 2) * sum / count : 0;
        }
    /* Taking off the mean took off its share, the whole power by the number of pixels, from each.
     */
    const double pixels = (double)w->count;
    const double share = power / (1 - (double)(LAGS * LAGS) / pixels) / pixels;
    for (size_t i = 0; i < CLASSES; i++)
        tile->covariance[i] = (float)((total[i] / members[i] + share) / 2);
}

static bool look_at_pair(const struct emd_estimator *e, const float *a, const float *b, size_t top,
                         size_t left, struct window *w, double *mean)
{
    double sum = 0;
    memset(w, 0, sizeof *w);
    for (size_t y = 0; y < TILE; y++) {
        const float *p = a + (top + y) * e->width + left, *q = b + (top + y) * e->width + left;
        for (size_t x = 0; x < TILE; x++) {
            if (!((double)p[x] < e->clip) || !((double)q[x] < e->clip) || !isfinite(p[x]) ||
                !isfinite(q[x]))
                return false;
            w->value[y][LAG + x] = q[x] - p[x];
        }
    }
    leave_out_hot_pixels(e, a, top, left, w);
    leave_out_spots(w);
    if (w->count < TILE * TILE / 2)
        return false;
    for (size_t y = 0; y < TILE; y++)
        for (size_t x = 0; x < TILE; x++)
            if (w->ok[y][LAG + x])
                sum += ((double)a[(top + y) * e->width + left + x] +
                        (double)b[(top + y) * e->width + left + x]) /
                       2;
    *mean = sum / (double)w->count;
    return true;
}

/* The third cumulant from three values of each pixel: 3/2 of the sum of cubes of the deviations
 * from their mean is its unbiased estimate (the k-statistic of three). Each frame's own level in
 * the tile is taken off before. */
static double third_of(const struct emd_estimator *e, const float *const f[GROUP], size_t top,
                       size_t left, const struct window *one, const struct window *two)
{
    double mean[GROUP] = {0}, sum = 0;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t y = 0; y < TILE; y++)
            for (size_t x = 0; x < TILE; x++) {
                const size_t at = (top + y) * e->width + left + x;
                if (!one->ok[y][LAG + x] || !two->ok[y][LAG + x])
                    continue;
                if (pass == 0) {
                    for (int k = 0; k < GROUP; k++)
                        mean[k] += (double)f[k][at];
                    count++;
                    continue;
                }
                const double a = (double)f[0][at] - mean[0], b = (double)f[1][at] - mean[1],
                             c = (double)f[2][at] - mean[2], m = (a + b + c) / 3;
                sum += (a - m) * (a - m) * (a - m) + (b - m) * (b - m) * (b - m) +
                       (c - m) * (c - m) * (c - m);
            }
        for (int k = 0; k < GROUP && pass == 0; k++)
            mean[k] /= (double)(count > 0 ? count : 1);
    }
    return count > TILE * TILE / 2 ? 1.5 * sum / (double)count : NAN;
}

static enum emd_status keep_tile(struct emd_estimator *e, struct tile tile, struct emd_error *err)
{
    if (e->tiles == e->room) {
        const size_t room = e->room ? 2 * e->room : 4096;
        struct tile *more = realloc(e->tile, room * sizeof *more);
        if (!more)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        e->tile = more;
        e->room = room;
    }
    e->tile[e->tiles++] = tile;
    return EMD_OK;
}

static enum emd_status add_tiles(struct emd_estimator *e, const float *const f[], size_t count,
                                 struct emd_error *err)
{
    const size_t across = e->width / TILE, down = e->height / TILE, all = across * down;
    /* A step that shares no factor with the tiles of a row goes everywhere. */
    size_t step = all / (PAIR_PIXELS / (TILE * TILE)) + 1;
    while (step > 1 && across % step == 0)
        step++;
    enum emd_status status = EMD_OK;
    for (size_t i = 0; i < all && status == EMD_OK; i += step) {
        const size_t top = i / across * TILE, left = i % across * TILE;
        struct window w[2];
        struct tile tile[2];
        bool ok[2] = {false, false};
        for (size_t k = 0; k + 1 < count; k++) {
            ok[k] = look_at_pair(e, f[k], f[k + 1], top, left, &w[k], &tile[k].mean);
            if (!ok[k])
                continue;
            find_covariances(&w[k], &tile[k]);
            tile[k].third = NAN;
        }
        if (ok[0] && ok[1])
            tile[0].third = third_of(e, f, top, left, &w[0], &w[1]);
        for (size_t k = 0; k < 2 && status == EMD_OK; k++)
            if (ok[k])
                status = keep_tile(e, tile[k], err);
    }
    return status;
}

enum emd_status emd_estimator_add(struct emd_estimator *e, const float *const frames[],
                                  size_t count, struct emd_error *err)
{
    if (e->finished || count == 0 || count > GROUP)
        return emd_fail(err, EMD_E_ARGUMENT, "%zu frames at once", count);
    if (e->frames + count > FRAMES)
        return EMD_OK;
    for (size_t i = 0; i < count; i++) {
        float *map = malloc(e->cells.width * e->cells.height * sizeof *map);
        if (!map)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        emd_cells_fill(&e->cells, frames[i], e->width, map);
        e->map[e->frames++] = map;
    }
    return add_tiles(e, frames, count, err);
}

/* --- gain and pedestal ------------------------------------------------------------------------*/

static int compare_tiles(const void *a, const void *b)
{
    const double x = ((const struct tile *)a)->mean, y = ((const struct tile *)b)->mean;
    return (x > y) - (x < y);
}

struct point {
    double x, y, sigma;
};

/* Of each tile, something to compare with its mean. */
typedef double tile_value(const struct tile *tile, size_t which);

/* The sum of the covariances over all distances up to 'reach', each way. */
static double power_of(const struct tile *tile, size_t reach)
{
    const int most = (int)reach;
    double sum = 0;
    for (int dy = -most; dy <= most; dy++)
        for (int dx = -most; dx <= most; dx++)
            sum += (double)tile->covariance[distance_class(dx, dy)];
    return sum;
}

static double farthest_of(const struct tile *tile, size_t reach)
{
    return power_of(tile, reach) - power_of(tile, reach - 1);
}

static double covariance_of(const struct tile *tile, size_t which)
{
    return (double)tile->covariance[which];
}

static double third_cumulant_of(const struct tile *tile, size_t which)
{
    (void)which;
    return tile->third;
}

static bool bin_part(const struct emd_estimator *e, size_t from, size_t to, tile_value *value,
                     size_t which, double *work, struct point *bin)
{
    size_t n = 0;
    for (size_t k = from; k < to; k++) {
        const double v = value(&e->tile[k], which);
        if (!isnan(v))
            work[n++] = v;
    }
    if (n < 8)
        return false;
    const double middle = emd_median(work, n);
    size_t kept = 0;
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        work[k] = fabs(work[k] - middle);
    const double sigma = 1.4826 * emd_median(work, n);
    /* the median itself would be 3 % low: sums of squares are not symmetric */
    for (size_t k = from; k < to; k++) {
        const double v = value(&e->tile[k], which);
        if (fabs(v - middle) <= 2.5 * sigma) { /* false of NaN */
            sum += v;
            kept++;
        }
    }
    *bin = (struct point){e->tile[(from + to) / 2].mean, sum / (double)kept,
                          sigma / sqrt((double)kept)};
    return sigma > 0;
}

/* Means, without outliers, of equal shares of the tiles, by rising mean; the brightest share, where
 * the means go far apart, is parted again and again. Returns how many. */
static size_t bin_tiles(const struct emd_estimator *e, tile_value *value, size_t which,
                        double *work, struct point bin[BINS_MAX])
{
    const size_t count = e->tiles / 20 < BINS ? e->tiles / 20 : BINS;
    size_t bins = 0, from = 0;
    for (size_t i = 0; i < count; i++) {
        size_t to = e->tiles * (i + 1) / count;
        while (i + 1 == count && to - from >= 40 && bins + 1 < BINS_MAX) {
            const size_t half = (from + to) / 2;
            bins += bin_part(e, from, half, value, which, work, &bin[bins]);
            from = half;
        }
        bins += bin_part(e, from, to, value, which, work, &bin[bins]);
        from = to;
    }
    return bins;
}

struct line {
    double slope, offset; /* y = offset + slope (x - about) */
    double about;
    double slope_sigma, offset_sigma;
};

/* Weighted least squares; points off by more than four sigma (of the points' own scatter where that
 * is larger than they say) go out one after the other, as long as half of them stay. */
static bool fit_line(struct point *p, size_t n, struct line *line)
{
    const size_t least = n / 2 > 4 ? n / 2 : 4;
    for (;;) {
        double s = 0, sx = 0, sxx = 0, sxy = 0, sy = 0, chi = 0, worst = 0;
        size_t which = n;
        if (n < 4)
            return false;
        for (size_t i = 0; i < n; i++) {
            s += 1 / (p[i].sigma * p[i].sigma);
            sx += p[i].x / (p[i].sigma * p[i].sigma);
            sy += p[i].y / (p[i].sigma * p[i].sigma);
        }
        line->about = sx / s;
        for (size_t i = 0; i < n; i++) {
            const double w = 1 / (p[i].sigma * p[i].sigma), dx = p[i].x - line->about;
            sxx += w * dx * dx;
            sxy += w * dx * p[i].y;
        }
        if (!(sxx > 0))
            return false;
        line->slope = sxy / sxx;
        line->offset = sy / s;
        for (size_t i = 0; i < n; i++) {
            const double off =
                fabs(p[i].y - line->offset - line->slope * (p[i].x - line->about)) / p[i].sigma;
            chi += off * off;
            if (off > worst) {
                worst = off;
                which = i;
            }
        }
        const double scale = fmax(1, sqrt(chi / (double)(n - 2)));
        line->slope_sigma = scale / sqrt(sxx);
        line->offset_sigma = scale / sqrt(s);
        if (worst < 4 || n <= least)
            return isfinite(line->slope) && isfinite(line->offset);
        p[which] = p[--n];
    }
}

static void find_gain(const struct emd_estimator *e, double *work, struct emd_estimate *out)
{
    struct point bin[BINS_MAX];
    struct line line;
    size_t reach = LAG, bins = bin_tiles(e, farthest_of, reach, work, bin);
    /* where the blur does not reach as far, those distances would only add noise */
    if (!fit_line(bin, bins, &line) || line.slope < 3 * line.slope_sigma)
        reach--;
    bins = bin_tiles(e, power_of, reach, work, bin);
    if (!fit_line(bin, bins, &line) || !(line.slope > 0) || line.slope_sigma > 0.25 * line.slope)
        return;
    out->gain = line.slope;
    out->gain_sigma = line.slope_sigma;
}

/* The sum of the cubes of the camera's point spread, whose own sum is 1. The covariances of counted
 * electrons are its autocorrelation; their transform is the square of its transform, which of a
 * camera that only blurs is positive. NaN: unknown. */
static double cubes_of_spread(const struct emd_estimator *e, double *work)
{
    enum { SIDE = 16 };
    float slope[CLASSES];
    double transform[SIDE][SIDE], sum = 0, cubes = 0;
    for (size_t i = 0; i < CLASSES; i++) {
        struct point bin[BINS_MAX];
        struct line line;
        const size_t bins = bin_tiles(e, covariance_of, i, work, bin);
        if (!fit_line(bin, bins, &line))
            return NAN;
        /* what is lost in noise would only add noise */
        slope[i] = fabs(line.slope) > 2 * line.slope_sigma ? (float)line.slope : 0;
    }
    const double turn = 6.283185307179586 / SIDE;
    for (int v = 0; v < SIDE; v++)
        for (int u = 0; u < SIDE; u++) {
            double t = 0;
            for (int dy = -LAG; dy <= LAG; dy++)
                for (int dx = -LAG; dx <= LAG; dx++)
                    t += (double)slope[distance_class(dx, dy)] * cos(turn * (u * dx + v * dy));
            transform[v][u] = t > 0 ? sqrt(t) : 0;
        }
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double t = 0;
            for (int v = 0; v < SIDE; v++)
                for (int u = 0; u < SIDE; u++)
                    t += transform[v][u] * cos(turn * (u * x + v * y));
            sum += t;
            cubes += t * t * t;
        }
    return sum > 0 ? cubes / (sum * sum * sum) : NAN;
}

/* The mean of a normal distribution that is cut off outside low .. high. */
static double truncated_mean(double mean, double sigma, double low, double high, double *spread)
{
    enum { STEPS = 400 };
    double s = 0, sx = 0, sxx = 0, most = -HUGE_VAL;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < STEPS; i++) {
            const double x = low + (high - low) * (i + 0.5) / STEPS, z = (x - mean) / sigma;
            if (pass == 0) {
                most = fmax(most, -z * z / 2);
                continue;
            }
            const double w = exp(-z * z / 2 - most);
            s += w;
            sx += w * x;
            sxx += w * x * x;
        }
    *spread = sqrt(fmax(0, sxx / s - sx / s * (sx / s)));
    return sx / s;
}

/* Of 'x', how much the darkest part lies above the pedestal: 0 .. what it would be if all of its
 * noise were electrons'; small against the contrast, a priori (scattering falls off: exponential
 * with a tenth of it); and what the third cumulants say. */
static void find_pedestal(const struct emd_estimator *e, double *work, struct emd_estimate *out)
{
    struct point power[BINS_MAX], third[BINS_MAX];
    struct line line;
    const size_t bins = bin_tiles(e, power_of, LAG, work, power);
    if (bins == 0)
        return;
    const double dark = power[0].x, contrast = power[bins - 1].x - dark;
    double high = fmax(0.5, contrast), x = 0, sigma = HUGE_VAL;
    if (out->gain > 0)
        high = (fmax(0, power[0].y) + 3 * power[0].sigma) / out->gain;
    const double prior = fmax(0.1 * contrast, 0.05);
    const double slope = out->gain * out->gain * cubes_of_spread(e, work);
    const size_t thirds = bin_tiles(e, third_cumulant_of, 0, work, third);
    if (slope > 0 && fit_line(third, thirds, &line)) {
        /* The slope as measured, and as gain and blur have it, good to a twentieth; then where the
         * line meets zero. */
        const double sigma_known = hypot(0.05, 2 * out->gain_sigma / out->gain) * slope;
        const double a = 1 / (line.slope_sigma * line.slope_sigma),
                     b = 1 / (sigma_known * sigma_known);
        const double best = (a * line.slope + b * slope) / (a + b), best_sigma = 1 / sqrt(a + b);
        if (best > 3 * best_sigma) {
            const double below = line.offset / best;
            x = dark - line.about + below;
            sigma = hypot(line.offset_sigma, below * best_sigma) / best;
        }
    }
    if (!(sigma < 10 * high)) {
        x = 0;
        sigma = fmax(10 * high, 1e-3);
    }
    /* A normal distribution times an exponential is a normal one, shifted. */
    const double shifted = x - sigma * sigma / prior;
    double spread;
    const double above = high > 0 ? truncated_mean(shifted, sigma, 0, high, &spread) : (spread = 0);
    out->pedestal = dark - above;
    out->pedestal_sigma = hypot(spread, power[0].sigma / fmax(out->gain, 1));
}

/* --- all --------------------------------------------------------------------------------------*/

/* The median of all frames for each cell: spots come and go, the background stays. */
static void combine(struct emd_estimator *e)
{
    const size_t n = e->cells.width * e->cells.height;
    float v[FRAMES];
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < e->frames; k++)
            v[k] = e->map[k][i];
        e->combined[i] = emd_select_rank(v, e->frames, (e->frames - 1) / 2);
    }
}

/* Means of the profile where it is darkest and brightest, of cells of one frame: what the frame's
 * pedestal is told from. */
static void find_levels(const struct emd_estimator *e, const struct emd_profile *p, double *dark,
                        double *bright)
{
    double level[EMD_PROFILE_MAX] = {0};
    size_t n = 0;
    const size_t inner = (size_t)emd_beam_reach(&e->cells) + 1;
    for (size_t i = inner; i < p->bins; i++)
        if (!isnan(p->level[i]) && p->count[i] >= 48)
            level[n++] = p->level[i];
    qsort(level, n, sizeof *level, emd_compare_doubles);
    const size_t share = n / 8 + 1;
    *dark = *bright = NAN;
    if (n < 8)
        return;
    *dark = *bright = 0;
    for (size_t i = 0; i < share; i++) {
        *dark += level[i] / (double)share;
        *bright += level[n - 1 - i] / (double)share;
    }
}

static double stop_level(const struct emd_estimator *e)
{
    const size_t n = e->cells.width * e->cells.height;
    size_t count = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        if (e->mark[i] == 2) {
            sum += (double)e->combined[i];
            count++;
        }
    return count >= 4 ? sum / (double)count : NAN;
}

/* Whether the background falls off by more than cells of the same distance differ: otherwise it is
 * the camera's pattern that was fitted. */
static bool stands_out(const struct emd_estimator *e)
{
    const struct emd_profile *p = &e->profile;
    double scatter[EMD_PROFILE_MAX] = {0}, dark, bright;
    size_t n = 0;
    for (size_t i = 0; i < p->bins; i++)
        if (p->count[i] >= 48 && !isnan(p->scatter[i]))
            scatter[n++] = p->scatter[i];
    find_levels(e, p, &dark, &bright);
    return bright - dark > 2 * emd_median(scatter, n);
}

static void find_centre(struct emd_estimator *e, struct emd_estimate *out)
{
    struct emd_cells c = e->cells;
    double centre[2], sigma = NAN, beam[2], beam_sigma;
    bool stop = false;
    c.value = e->combined;
    emd_centre_search(&c, centre);
    for (int round = 0; round < 3; round++) {
        c.out = stop ? e->mark : NULL;
        emd_centre_refine(&c, centre, &sigma, e->work);
        emd_profile_fill(&c, centre, e->work, &e->profile);
        if (round == 2 || (round == 1 && !stop))
            break;
        c.out = NULL;
        stop = emd_stop_find(&c, centre, &e->profile, out->pedestal, e->mark);
        if (stop && stop_level(e) < out->pedestal)
            out->pedestal = stop_level(e);
    }
    if (!stands_out(e))
        sigma = NAN;
    if (isnan(sigma))
        stop = false;
    if (stop)
        out->corners = emd_stop_outline(&c, e->mark, EMD_STOP_CORNERS_MAX, out->corner);
    else
        memset(e->mark, 0, c.width * c.height);
    memcpy(beam, centre, sizeof beam);
    c.out = stop ? e->mark : NULL;
    if (emd_centre_of_beam(&c, &e->profile, beam, &beam_sigma)) {
        memcpy(centre, beam, sizeof beam);
        sigma = beam_sigma;
        out->centre_from = EMD_CENTRE_BEAM;
    } else if (!isnan(sigma)) {
        out->centre_from = EMD_CENTRE_BACKGROUND;
    }
    if (out->centre_from != EMD_CENTRE_UNKNOWN) {
        const double side = (double)c.side;
        out->centre[0] = centre[0] * side;
        out->centre[1] = centre[1] * side;
        out->centre_sigma = sigma * side;
        for (size_t i = 0; i < out->corners; i++) {
            out->corner[i][0] *= side;
            out->corner[i][1] *= side;
        }
    }
}

enum emd_status emd_estimator_finish(struct emd_estimator *e, struct emd_estimate *out,
                                     struct emd_error *err)
{
    emd_estimate_clear(out);
    out->frames = e->frames;
    e->finished = true;
    if (e->frames == 0)
        return EMD_OK;
    double *work = malloc((e->tiles + 1) * sizeof *work);
    if (!work)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (e->tiles > 0)
        qsort(e->tile, e->tiles, sizeof *e->tile, compare_tiles);
    find_gain(e, work, out);
    find_pedestal(e, work, out);
    free(work);
    combine(e);
    find_centre(e, out);
    find_levels(e, &e->profile, &e->dark, &e->bright);
    if (isnan(out->pedestal)) /* of one frame: its darkest part */
        out->pedestal = e->dark;
    e->above = e->dark - out->pedestal;
    e->found = *out;
    return EMD_OK;
}

enum emd_status emd_estimator_frame(struct emd_estimator *e, const float *frame, double centre[2],
                                    double *pedestal, struct emd_error *err)
{
    struct emd_cells c = e->cells;
    struct emd_profile profile;
    double sigma, dark, bright;
    centre[0] = centre[1] = *pedestal = NAN;
    if (!e->finished)
        return emd_fail(err, EMD_E_ARGUMENT, "no movie was looked at");
    if (e->found.centre_from == EMD_CENTRE_UNKNOWN)
        return EMD_OK;
    emd_cells_fill(&c, frame, e->width, e->combined);
    c.value = e->combined;
    c.out = e->found.corners > 0 ? e->mark : NULL;
    double at[2] = {e->found.centre[0] / (double)c.side, e->found.centre[1] / (double)c.side};
    emd_profile_fill(&c, at, e->work, &profile);
    find_levels(e, &profile, &dark, &bright);
    /* What is above the pedestal in the darkest part goes with the contrast. */
    *pedestal = dark - e->above * fmax(0, (bright - dark) / (e->bright - e->dark));
    if (isinf(*pedestal))
        *pedestal = NAN;
    if (e->found.centre_from == EMD_CENTRE_BEAM) {
        if (!emd_centre_of_beam(&c, &profile, at, &sigma))
            return EMD_OK;
    } else {
        emd_centre_refine(&c, at, &sigma, e->work);
        if (isnan(sigma))
            return EMD_OK;
    }
    centre[0] = at[0] * (double)c.side;
    centre[1] = at[1] * (double)c.side;
    return EMD_OK;
}
