/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See beammap.h: the shadow of a beam stop.
 *
 * Dark is a cell that has less than six tenths of what its distance from the beam says, above the
 * pedestal, and surely so; far out, where single cells tell nothing, means of 5 x 5 must. What
 * hangs together with dark cells near the beam is the stop. A rod whose far end drowns in noise is
 * drawn out to the edge. */
#include "velox/beammap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* From the centre to the middle of a cell. */
static void offset(const struct emd_cells *c, size_t cell, const double centre[2], double *dx,
                   double *dy)
{
    const size_t x = cell % c->width, y = cell / c->width;
    *dx = (double)x + 0.5 - centre[0];
    *dy = (double)y + 0.5 - centre[1];
}

enum { SMALLEST = 9 }; /* cells: less is no stop */

/* What is to be seen at each distance if nothing is in the way: near the beam, where the stop hides
 * whole rings, at least what is seen a little farther out. */
static void expect(const struct emd_cells *c, const struct emd_profile *p, double *level)
{
    const double side = (double)(c->width > c->height ? c->width : c->height);
    const size_t near = (size_t)(0.08 * side), beyond = (size_t)(0.12 * side);
    double most = NAN;
    for (size_t i = p->bins; i-- > 0;) {
        level[i] = p->level[i];
        if (i <= beyond && !isnan(level[i]))
            most = most > level[i] ? most : level[i];
        if (i <= near && !(level[i] >= most))
            level[i] = most;
    }
}

static double mean_around(const struct emd_cells *c, size_t x, size_t y, size_t reach,
                          size_t *count)
{
    const size_t left = x > reach ? x - reach : 0, top = y > reach ? y - reach : 0;
    const size_t right = x + reach < c->width ? x + reach : c->width - 1,
                 bottom = y + reach < c->height ? y + reach : c->height - 1;
    double sum = 0;
    for (size_t v = top; v <= bottom; v++)
        for (size_t u = left; u <= right; u++)
            sum += (double)c->value[v * c->width + u];
    *count = (right - left + 1) * (bottom - top + 1);
    return sum / (double)*count;
}

static bool is_dark(const struct emd_cells *c, size_t x, size_t y, double expected, double scatter,
                    double pedestal)
{
    const double limit = pedestal + 0.6 * (expected - pedestal);
    const double v = (double)c->value[y * c->width + x];
    size_t count;
    if (v < limit && expected - v > 5 * scatter)
        return true;
    if (v > expected)
        return false;
    const double mean = mean_around(c, x, y, 2, &count);
    return mean < limit && expected - mean > 6 * scatter / sqrt((double)count);
}

/* Marks what hangs together with cell 'at' as 'label'. Returns how many cells. */
static size_t fill(const struct emd_cells *c, size_t at, uint8_t label, uint8_t *mark,
                   size_t *stack)
{
    size_t held = 0, count = 0;
    mark[at] = label;
    stack[held++] = at;
    while (held > 0) {
        at = stack[--held];
        const size_t x = at % c->width, y = at / c->width;
        count++;
        for (size_t v = y > 0 ? y - 1 : 0; v <= y + 1 && v < c->height; v++)
            for (size_t u = x > 0 ? x - 1 : 0; u <= x + 1 && u < c->width; u++)
                if (mark[v * c->width + u] == 1) {
                    mark[v * c->width + u] = label;
                    stack[held++] = v * c->width + u;
                }
    }
    return count;
}

/* Keeps of the dark cells the largest part that hangs together and comes near the beam. Returns
 * how many those are. */
static size_t keep_largest(const struct emd_cells *c, const double centre[2], double reach,
                           uint8_t *mark, size_t *stack)
{
    enum { LABELS = 200 };
    const size_t n = c->width * c->height;
    size_t most = 0;
    uint8_t best = 0, label = 2;
    for (size_t i = 0; i < n && label < LABELS; i++) {
        double dx, dy;
        offset(c, i, centre, &dx, &dy);
        if (mark[i] != 1 || hypot(dx, dy) >= reach)
            continue;
        const size_t count = fill(c, i, label, mark, stack);
        if (count > most) {
            most = count;
            best = label;
        }
        label++;
    }
    for (size_t i = 0; i < n; i++)
        mark[i] = best && mark[i] == best;
    return most;
}

/* Draws the outer half of a long shadow out to the edge. */
static void draw_out(const struct emd_cells *c, const double centre[2], uint8_t *mark)
{
    const size_t n = c->width * c->height;
    const double side = (double)(c->width > c->height ? c->width : c->height);
    double far = 0, sx = 0, sy = 0, across = 0;
    size_t count = 0;
    bool edge = false;
    for (size_t i = 0; i < n; i++) {
        const size_t x = i % c->width, y = i / c->width;
        if (!mark[i])
            continue;
        far = fmax(far, hypot((double)x + 0.5 - centre[0], (double)y + 0.5 - centre[1]));
        edge = edge || x == 0 || y == 0 || x + 1 == c->width || y + 1 == c->height;
    }
    if (edge || far < 0.12 * side)
        return;
    for (int pass = 0; pass < 2; pass++) {
        const double length = hypot(sx, sy);
        for (size_t i = 0; i < n; i++) {
            double dx, dy;
            offset(c, i, centre, &dx, &dy);
            if (!mark[i] || hypot(dx, dy) < far / 2)
                continue;
            if (pass == 0) {
                sx += dx;
                sy += dy;
                count++;
            } else {
                across += fabs(dy * sx - dx * sy) / length;
            }
        }
    }
    const double length = hypot(sx, sy);
    if (count == 0 || !(length > 0))
        return;
    sx /= length;
    sy /= length;
    across = 2 * across / (double)count + 0.5; /* half the width is twice the mean distance */
    for (size_t i = 0; i < n; i++) {
        double dx, dy;
        offset(c, i, centre, &dx, &dy);
        if (dx * sx + dy * sy > far / 2 && fabs(dy * sx - dx * sy) <= across)
            mark[i] = 1;
    }
}

/* One cell more all around; 2 where it was marked with all its neighbours before. */
static void widen(const struct emd_cells *c, uint8_t *mark, uint8_t *before)
{
    memcpy(before, mark, c->width * c->height);
    for (size_t y = 0; y < c->height; y++)
        for (size_t x = 0; x < c->width; x++) {
            size_t marked = 0, all = 0;
            for (size_t v = y > 0 ? y - 1 : 0; v <= y + 1 && v < c->height; v++)
                for (size_t u = x > 0 ? x - 1 : 0; u <= x + 1 && u < c->width; u++) {
                    marked += before[v * c->width + u] != 0;
                    all++;
                }
            mark[y * c->width + x] = marked == 0 ? 0 : marked == all ? 2 : 1;
        }
}

/* How much the level changes from one cell to the next: within a bin it does so, too. */
static double steepness(const double *level, size_t bin, size_t bins)
{
    const size_t low = bin > 0 ? bin - 1 : 0, high = bin + 1 < bins ? bin + 1 : bin;
    const double change = fabs(level[low] - level[high]);
    return isnan(change) ? 0 : change;
}

bool emd_stop_find(const struct emd_cells *c, const double centre[2], const struct emd_profile *p,
                   double pedestal, uint8_t *mark)
{
    const size_t n = c->width * c->height;
    const double side = (double)(c->width > c->height ? c->width : c->height);
    double level[EMD_PROFILE_MAX];
    size_t *stack = malloc((n + 1) * sizeof *stack);
    memset(mark, 0, n);
    if (!stack || isnan(pedestal)) {
        free(stack);
        return false;
    }
    expect(c, p, level);
    for (size_t y = 0; y < c->height; y++)
        for (size_t x = 0; x < c->width; x++) {
            const double r = hypot((double)x + 0.5 - centre[0], (double)y + 0.5 - centre[1]);
            const size_t bin = (size_t)r;
            /* where the stop hides the ring its own scatter says nothing: that a little farther out
             */
            const size_t at = bin < (size_t)(0.12 * side) ? (size_t)(0.12 * side) : bin;
            if (bin < p->bins && at < p->bins && !isnan(level[bin]) && !isnan(p->scatter[at]))
                mark[y * c->width + x] =
                    is_dark(c, x, y, level[bin],
                            p->scatter[at] + steepness(level, bin, p->bins) / 5, pedestal);
        }
    bool found = keep_largest(c, centre, fmax(0.06 * side, 3), mark, stack) >= SMALLEST;
    if (found) {
        draw_out(c, centre, mark);
        widen(c, mark, (uint8_t *)stack);
    } else {
        memset(mark, 0, n);
    }
    free(stack);
    return found;
}

/* --- outline ----------------------------------------------------------------------------------*/

static bool marked(const struct emd_cells *c, const uint8_t *mark, long x, long y)
{
    return x >= 0 && y >= 0 && x < (long)c->width && y < (long)c->height &&
           mark[(size_t)y * c->width + (size_t)x];
}

/* Douglas and Peucker 1973: keeps the corner farthest from the line between two kept ones. */
static void keep_corners(double (*point)[2], size_t first, size_t last, double tolerance,
                         uint8_t *keep)
{
    double most = tolerance;
    size_t found = 0;
    const double dx = point[last][0] - point[first][0], dy = point[last][1] - point[first][1];
    const double length = hypot(dx, dy);
    for (size_t i = first + 1; i < last; i++) {
        const double px = point[i][0] - point[first][0], py = point[i][1] - point[first][1];
        const double off = length > 0 ? fabs(px * dy - py * dx) / length : hypot(px, py);
        if (off > most) {
            most = off;
            found = i;
        }
    }
    if (found > 0) {
        keep[found] = 1;
        keep_corners(point, first, found, tolerance, keep);
        keep_corners(point, found, last, tolerance, keep);
    }
}

size_t emd_stop_outline(const struct emd_cells *c, const uint8_t *mark, size_t most,
                        double (*corner)[2])
{
    static const long step[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
    const size_t n = c->width * c->height, room = 4 * n + 5;
    size_t first = 0, count = 0, kept = 0;
    while (first < n && !mark[first])
        first++;
    double(*point)[2] = malloc(room * sizeof *point);
    uint8_t *keep = malloc(room);
    if (first == n || !point || !keep || most < 4)
        goto out;
    /* Along the edges of the cells, what is marked at the right hand: begins at the upper left
     * corner of the first cell, to the right. */
    const long x0 = (long)(first % c->width), y0 = (long)(first / c->width);
    long x = x0, y = y0;
    int way = 0;
    do {
        point[count][0] = (double)x;
        point[count++][1] = (double)y;
        x += step[way][0];
        y += step[way][1];
        /* the two cells ahead, left and right of the way */
        static const long ahead[4][2][2] = {
            {{0, -1}, {0, 0}}, {{0, 0}, {-1, 0}}, {{-1, 0}, {-1, -1}}, {{-1, -1}, {0, -1}}};
        const bool left = marked(c, mark, x + ahead[way][0][0], y + ahead[way][0][1]);
        const bool right = marked(c, mark, x + ahead[way][1][0], y + ahead[way][1][1]);
        if (left)
            way = (way + 3) % 4;
        else if (!right)
            way = (way + 1) % 4;
    } while ((x != x0 || y != y0 || way != 0) && count + 1 < room);
    point[count][0] = point[0][0]; /* closed */
    point[count][1] = point[0][1];
    for (double tolerance = 0.75; tolerance < 100; tolerance *= 1.5) {
        /* the corner farthest from the first splits the ring */
        size_t half = 0;
        double far = -1;
        memset(keep, 0, count + 1);
        for (size_t i = 0; i < count; i++) {
            const double off = hypot(point[i][0] - point[0][0], point[i][1] - point[0][1]);
            if (off > far) {
                far = off;
                half = i;
            }
        }
        keep[0] = keep[half] = 1;
        keep_corners(point, 0, half, tolerance, keep);
        keep_corners(point, half, count, tolerance, keep);
        kept = 0;
        for (size_t i = 0; i < count; i++)
            kept += keep[i];
        if (kept <= most)
            break;
    }
    if (kept > most) {
        kept = 0;
        goto out;
    }
    kept = 0;
    for (size_t i = 0; i < count; i++)
        if (keep[i]) {
            corner[kept][0] = point[i][0];
            corner[kept++][1] = point[i][1];
        }
out:
    free(point);
    free(keep);
    return kept;
}
