/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See beammap.h: cells, profiles and centres.
 *
 * Tried and lost: the centroid of all that is bright (half the shift of a beam that is off the
 * middle), Friedel symmetry by autocorrelation (needs the far side of the pattern, which a beam a
 * quarter of the frame off does not have; Friedel mates are equal only near the axis), means
 * instead of medians in the profile (one strong reflection pulls a ring). */
#include "velox/beammap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

float emd_select_rank(float *v, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        const float pivot = v[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i >= j)
                break;
            const float swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    return v[k];
}

/* The upper one of an even number. */
static double median_of(float *values, size_t n)
{
    return n > 0 ? (double)emd_select_rank(values, n, n / 2) : NAN;
}

void emd_cells_plan(size_t height, size_t width, struct emd_cells *cells)
{
    const size_t longest = width > height ? width : height;
    const size_t side = (longest + EMD_CELLS_SIDE - 1) / EMD_CELLS_SIDE;
    *cells = (struct emd_cells){.side = side, .width = width / side, .height = height / side};
}

/* The sum of what is finite. */
static float careful_sum(const float *from, size_t side, size_t stride, size_t *count)
{
    float sum = 0;
    *count = 0;
    for (size_t r = 0; r < side; r++)
        for (size_t k = 0; k < side; k++) {
            const bool ok = fabsf(from[r * stride + k]) < 1e30F; /* false of NaN */
            sum += ok ? from[r * stride + k] : 0;
            *count += ok;
        }
    return sum;
}

void emd_cells_fill(const struct emd_cells *plan, const float *frame, size_t frame_width, float *to)
{
    const size_t side = plan->side, all = side * side;
    for (size_t y = 0; y < plan->height; y++) {
        for (size_t x = 0; x < plan->width; x++) {
            const float *from = frame + y * side * frame_width + x * side;
            size_t count = all;
            float sum = 0;
            for (size_t r = 0; r < side; r++)
                for (size_t k = 0; k < side; k++)
                    sum += from[r * frame_width + k];
            if (!(fabsf(sum) < 1e30F))
                sum = careful_sum(from, side, frame_width, &count);
            to[y * plan->width + x] = count > 0 ? sum / (float)count : 0;
        }
    }
}

static bool is_out(const struct emd_cells *c, size_t i)
{
    return c->out && c->out[i];
}

void emd_profile_fill(const struct emd_cells *c, const double centre[2], float *work,
                      struct emd_profile *p)
{
    size_t start[EMD_PROFILE_MAX + 1] = {0};
    memset(p, 0, sizeof *p);
    for (int pass = 0; pass < 2; pass++) {
        size_t i = 0;
        for (size_t y = 0; y < c->height; y++) {
            const double dy = (double)y + 0.5 - centre[1];
            for (size_t x = 0; x < c->width; x++, i++) {
                const double dx = (double)x + 0.5 - centre[0];
                const size_t bin = (size_t)sqrt(dx * dx + dy * dy);
                if (bin >= EMD_PROFILE_MAX || is_out(c, i))
                    continue;
                if (pass == 1)
                    work[start[bin] + p->count[bin]] = c->value[i];
                p->count[bin]++;
                p->bins = bin >= p->bins ? bin + 1 : p->bins;
            }
        }
        if (pass == 1)
            break;
        for (size_t bin = 0; bin < EMD_PROFILE_MAX; bin++) {
            start[bin + 1] = start[bin] + p->count[bin];
            p->count[bin] = 0;
        }
    }
    for (size_t bin = 0; bin < p->bins; bin++) {
        float *v = work + start[bin];
        const size_t n = p->count[bin];
        p->level[bin] = p->scatter[bin] = NAN;
        if (n < 3)
            continue;
        p->level[bin] = median_of(v, n);
        for (size_t k = 0; k < n; k++)
            v[k] = fabsf(v[k] - (float)p->level[bin]);
        /* 1.4826: from the median of absolute deviations to the sigma of a normal distribution. */
        p->scatter[bin] = 1.4826 * median_of(v, n);
    }
}

/* Linear between the middles of the bins. */
double emd_profile_at(const struct emd_profile *p, double distance)
{
    const double at = distance - 0.5;
    if (p->bins == 0)
        return NAN;
    const size_t low = at > 0 ? (size_t)at : 0;
    const size_t i = low < p->bins ? low : p->bins - 1, k = i + 1 < p->bins ? i + 1 : i;
    if (isnan(p->level[i]))
        return p->level[k];
    if (isnan(p->level[k]))
        return p->level[i];
    const double t = at - (double)i;
    return p->level[i] + (p->level[k] - p->level[i]) * (t < 0 ? 0 : t > 1 ? 1 : t);
}

double emd_beam_reach(const struct emd_cells *c)
{
    /* Three hundredths of the frame: six sigma of a usual direct beam. */
    const double reach = 0.03 * (double)(c->width > c->height ? c->width : c->height);
    return reach < 3 ? 3 : reach;
}

/* --- search -----------------------------------------------------------------------------------*/

enum { COARSE = 64 };

struct ranked {
    float value;
    unsigned index;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    return p->value != q->value ? (p->value > q->value) - (p->value < q->value)
                                : (p->index > q->index) - (p->index < q->index);
}

/* How much of the ranks' spread is explained by the distance from a point. Each ring costs what it
 * would explain of mere noise. */
static double explained(const float *rank, size_t width, size_t height, double x0, double y0)
{
    double sum[2 * COARSE] = {0}, total = 0;
    unsigned count[2 * COARSE] = {0};
    for (size_t y = 0; y < height; y++) {
        const double dy = (double)y + 0.5 - y0;
        for (size_t x = 0; x < width; x++) {
            const double dx = (double)x + 0.5 - x0;
            const size_t bin = (size_t)sqrt(dx * dx + dy * dy);
            sum[bin] += (double)rank[y * width + x];
            count[bin]++;
        }
    }
    /* ranks lie evenly in -0.5 .. 0.5: their variance is 1/12 */
    for (size_t i = 0; i < 2 * COARSE; i++)
        if (count[i] > 0)
            total += sum[i] * sum[i] / count[i] - 1.0 / 12;
    return total;
}

void emd_centre_search(const struct emd_cells *c, double centre[2])
{
    const size_t longest = c->width > c->height ? c->width : c->height;
    const size_t bin = (longest + COARSE - 1) / COARSE;
    const size_t width = c->width / bin, height = c->height / bin, n = width * height;
    struct ranked order[COARSE * COARSE] = {{0, 0}};
    float rank[COARSE * COARSE] = {0};
    double best = -HUGE_VAL;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            double sum = 0;
            for (size_t k = 0; k < bin * bin; k++)
                sum += (double)c->value[(y * bin + k / bin) * c->width + x * bin + k % bin];
            order[y * width + x] = (struct ranked){(float)sum, (unsigned)(y * width + x)};
        }
    qsort(order, n, sizeof *order, compare_ranked);
    for (size_t i = 0; i < n; i++)
        rank[order[i].index] = ((float)i + 0.5F) / (float)n - 0.5F;
    double x0 = (double)width / 2, y0 = (double)height / 2;
    for (double y = 0.15 * (double)height; y <= 0.85 * (double)height; y += 2)
        for (double x = 0.15 * (double)width; x <= 0.85 * (double)width; x += 2) {
            const double score = explained(rank, width, height, x, y);
            if (score > best) {
                best = score;
                x0 = x;
                y0 = y;
            }
        }
    const double cx = x0, cy = y0;
    for (double y = cy - 1.5; y <= cy + 1.5; y += 0.5)
        for (double x = cx - 1.5; x <= cx + 1.5; x += 0.5) {
            const double score = explained(rank, width, height, x, y);
            if (score > best) {
                best = score;
                x0 = x;
                y0 = y;
            }
        }
    centre[0] = x0 * (double)bin;
    centre[1] = y0 * (double)bin;
}

/* --- least squares ----------------------------------------------------------------------------*/

struct normal {
    double xx, xy, yy, xr, yr, sum, count;
};

struct terms {
    float *weight, *gx, *gy, *off; /* [cells] */
};

/* What each cell says of the shift: it should be what its distance says. Cells farther than four
 * sigma from it are spots or shadows and do not count. */
static void fill_terms(const struct emd_cells *c, const double centre[2],
                       const struct emd_profile *p, struct terms *t)
{
    const double inner = emd_beam_reach(c);
    size_t i = 0;
    for (size_t y = 0; y < c->height; y++) {
        const double dy = (double)y + 0.5 - centre[1];
        for (size_t x = 0; x < c->width; x++, i++) {
            const double dx = (double)x + 0.5 - centre[0], r = sqrt(dx * dx + dy * dy);
            const size_t bin = (size_t)r;
            t->weight[i] = t->gx[i] = t->gy[i] = t->off[i] = 0;
            if (r < inner || bin + 3 >= p->bins || is_out(c, i) || !(p->scatter[bin] > 0) ||
                p->count[bin] < 8)
                continue;
            const double slope = (emd_profile_at(p, r + 2) - emd_profile_at(p, r - 2)) / 4;
            const double sigma = p->scatter[bin];
            const double off = (double)c->value[i] - emd_profile_at(p, r);
            if (!(fabs(off) < 4 * sigma) || isnan(slope))
                continue;
            const double tukey = 1 - off * off / (16 * sigma * sigma);
            t->weight[i] = (float)(tukey * tukey / (sigma * sigma));
            /* the cell's value falls by slope x cos if the centre moves towards it */
            t->gx[i] = (float)(-slope * dx / r);
            t->gy[i] = (float)(-slope * dy / r);
            t->off[i] = (float)off;
        }
    }
}

/* Takes off its mean along each of 'lines' lines of 'length' cells. */
static void centre_lines(const struct terms *t, size_t lines, size_t length, size_t line_step,
                         size_t step)
{
    for (size_t k = 0; k < lines; k++) {
        double w = 0, gx = 0, gy = 0, off = 0;
        for (size_t n = 0, i = k * line_step; n < length; n++, i += step) {
            w += (double)t->weight[i];
            gx += (double)(t->weight[i] * t->gx[i]);
            gy += (double)(t->weight[i] * t->gy[i]);
            off += (double)(t->weight[i] * t->off[i]);
        }
        if (!(w > 0))
            continue;
        const float mx = (float)(gx / w), my = (float)(gy / w), mo = (float)(off / w);
        for (size_t n = 0, i = k * line_step; n < length; n++, i += step) {
            t->gx[i] -= mx;
            t->gy[i] -= my;
            t->off[i] -= mo;
        }
    }
}

/* The equations for the shift. */
static void gather(const struct emd_cells *c, const double centre[2], const struct emd_profile *p,
                   float *work, struct normal *n)
{
    const size_t cells = c->width * c->height;
    struct terms t = {work, work + cells, work + 2 * cells, work + 3 * cells};
    *n = (struct normal){.count = 0};
    fill_terms(c, centre, p, &t);
    for (int sweep = 0; sweep < 2; sweep++) {
        centre_lines(&t, c->width, c->height, 1, c->width);
        centre_lines(&t, c->height, c->width, c->width, 1);
    }
    for (size_t i = 0; i < cells; i++) {
        const double w = (double)t.weight[i], gx = (double)t.gx[i], gy = (double)t.gy[i],
                     off = (double)t.off[i];
        if (!(w > 0))
            continue;
        n->xx += w * gx * gx;
        n->xy += w * gx * gy;
        n->yy += w * gy * gy;
        n->xr += w * gx * off;
        n->yr += w * gy * off;
        n->sum += w * off * off;
        n->count++;
    }
}

void emd_centre_refine(const struct emd_cells *c, double centre[2], double *sigma, float *work)
{
    enum { STEPS = 25 };
    const double start[2] = {centre[0], centre[1]};
    struct emd_profile profile;
    struct normal n;
    *sigma = NAN;
    for (int step = 0; step < STEPS; step++) {
        emd_profile_fill(c, centre, work, &profile);
        gather(c, centre, &profile, work + c->width * c->height, &n);
        const double determinant = n.xx * n.yy - n.xy * n.xy;
        if (!(determinant > 1e-12 * n.xx * n.yy) || n.count < 50)
            break;
        double move[2] = {(n.yy * n.xr - n.xy * n.yr) / determinant,
                          (n.xx * n.yr - n.xy * n.xr) / determinant};
        const double far = hypot(move[0], move[1]);
        if (far > 4) { /* the profile's slope does not hold that far */
            move[0] *= 4 / far;
            move[1] *= 4 / far;
        }
        centre[0] += move[0];
        centre[1] += move[1];
        /* Four times what independent cells would give: they share the blur and the pattern, and
         * differ from the truth by that much in bench/estimate.py. */
        *sigma = 4 * sqrt((n.xx + n.yy) / 2 / determinant * (n.sum / n.count));
        if (centre[0] < 0 || centre[1] < 0 || centre[0] > (double)c->width ||
            centre[1] > (double)c->height) {
            *sigma = NAN;
            break;
        }
        if (far < 0.005)
            break;
    }
    /* A centre that is not better known than a twentieth of the frame is not known. */
    if (!(*sigma < 0.05 * (double)c->width)) {
        *sigma = NAN;
        centre[0] = start[0];
        centre[1] = start[1];
    }
}

/* --- direct beam ------------------------------------------------------------------------------*/

bool emd_centre_of_beam(const struct emd_cells *c, const struct emd_profile *p, double centre[2],
                        double *sigma)
{
    const double reach = emd_beam_reach(c);
    const size_t ring = (size_t)reach + 1;
    if (ring + 2 >= p->bins)
        return false;
    const double level = p->level[ring], scatter = p->scatter[ring];
    /* the lowest level of the profile stands for the pedestal here */
    double low = level;
    for (size_t i = ring; i < p->bins; i++)
        low = p->level[i] < low ? p->level[i] : low;
    double x0 = centre[0], y0 = centre[1];
    double peak = 0, weight = 0;
    for (int step = 0; step < 12; step++) {
        double top = -HUGE_VAL, sx = 0, sy = 0;
        weight = 0;
        for (int pass = 0; pass < 2; pass++) {
            for (size_t y = 0; y < c->height; y++) {
                const double dy = (double)y + 0.5 - y0;
                if (fabs(dy) > reach)
                    continue;
                for (size_t x = 0; x < c->width; x++) {
                    const double dx = (double)x + 0.5 - x0;
                    if (dx * dx + dy * dy > reach * reach || is_out(c, y * c->width + x))
                        continue;
                    const double v = (double)c->value[y * c->width + x] - level;
                    if (pass == 0) {
                        top = v > top ? v : top;
                    } else if (v > top / 5) {
                        weight += v - top / 5;
                        sx += (v - top / 5) * ((double)x + 0.5);
                        sy += (v - top / 5) * ((double)y + 0.5);
                    }
                }
            }
            /* a beam is several times as bright as the background around it, and no noise */
            if (pass == 0 && !(top > 3 * (level - low) && top > 20 * scatter))
                return false;
        }
        peak = top;
        const double move = hypot(sx / weight - x0, sy / weight - y0);
        x0 = sx / weight;
        y0 = sy / weight;
        if (move < 0.001)
            break;
    }
    if (!(peak > 0) || hypot(x0 - centre[0], y0 - centre[1]) > 2 * reach)
        return false;
    centre[0] = x0;
    centre[1] = y0;
    /* Of a blob of cells that are that much brighter than their scatter; never better than a
     * fiftieth of a cell: the beam's own shape. */
    *sigma = hypot(0.02, scatter / peak * sqrt(weight / peak));
    return true;
}
