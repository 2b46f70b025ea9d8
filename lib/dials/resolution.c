/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See resolution.h.
 *
 * The fit has two parameters and a few dozen points, so a plain Levenberg-Marquardt iteration is
 * enough; it starts where DIALS starts, to end in the same minimum where there are several. */
#include "dials/resolution.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static double s_of(double d)
{
    return 1 / (d * d);
}

static double cc_of(const struct emd_shell *shell)
{
    return shell->value[EMD_SHELL_CC_HALF];
}

/* Index of the first shell whose CC1/2 is not above the limit. */
static size_t first_below(const struct emd_merge_table *table, double limit)
{
    size_t i = 0;
    while (i < table->count && cc_of(&table->shells[i]) > limit)
        i++;
    return i;
}

static double middle_of(const struct emd_shell *shell)
{
    return (s_of(shell->value[EMD_SHELL_D_MAX]) + s_of(shell->value[EMD_SHELL_D_MIN])) / 2;
}

static double by_line(const struct emd_merge_table *table, double limit)
{
    size_t below = first_below(table, limit);
    if (below == 0)
        return NAN;
    const struct emd_shell *a = &table->shells[below - 1], *b = a + 1;
    if (below == table->count || isnan(cc_of(b)))
        return a->value[EMD_SHELL_D_MIN];
    double step = (cc_of(a) - limit) / (cc_of(a) - cc_of(b));
    return 1 / sqrt(middle_of(a) + step * (middle_of(b) - middle_of(a)));
}

struct points {
    size_t count;
    double *s, *cc, *weight; /* weight: 1/sigma^2 */
};

static bool take_points(const struct emd_merge_table *table, enum emd_fit_rule rule,
                        struct points *points)
{
    size_t usable = 0;
    double *numbers = table->count < SIZE_MAX / 3 / sizeof *numbers
                          ? malloc(3 * table->count * sizeof *numbers)
                          : NULL;
    *points = (struct points){0};
    if (!numbers)
        return false;
    *points = (struct points){0, numbers, numbers + table->count, numbers + 2 * table->count};
    for (size_t i = 0; i < table->count; i++) {
        const struct emd_shell *shell = &table->shells[i];
        double cc = cc_of(shell), sigma = 1;
        if (!isfinite(cc))
            continue;
        if (rule == EMD_FIT_SIGNIFICANT) {
            if (!shell->significant || !(cc > 0))
                continue;
            usable = 3;
        } else {
            double n = shell->pairs;
            if (!isfinite(n))
                n = shell->value[EMD_SHELL_UNIQUE];
            if (!isfinite(n))
                n = 0;
            usable += n > 3;
            sigma = n > 4 ? 1 / sqrt(n - 3) : 100;
        }
        points->s[points->count] = s_of(shell->value[EMD_SHELL_D_MIN]);
        points->cc[points->count] = cc;
        points->weight[points->count++] = 1 / (sigma * sigma);
    }
    return usable >= 3 && points->count > 0;
}

static double model(double s, double r, double s0)
{
    return 0.5 * (1 - tanh((s - s0) / r));
}

static double misfit(const struct points *points, double r, double s0)
{
    double sum = 0;
    for (size_t i = 0; i < points->count; i++) {
        double residual = points->cc[i] - model(points->s[i], r, s0);
        sum += points->weight[i] * residual * residual;
    }
    return sum;
}

static bool fit(const struct points *points, enum emd_fit_rule rule, double *r_out, double *s0_out)
{
    /* DIALS' starting values. */
    double r = rule == EMD_FIT_SIGNIFICANT ? 1 : 0.2, s0 = rule == EMD_FIT_SIGNIFICANT ? 1 : 0.4;
    double lambda = 1e-3, now = misfit(points, r, s0);
    for (int iteration = 0; iteration < 2000 && lambda < 1e12; iteration++) {
        double a = 0, b = 0, c = 0, g = 0, h = 0;
        for (size_t i = 0; i < points->count; i++) {
            double z = (points->s[i] - s0) / r, t = tanh(z);
            double slope = 0.5 * (1 - t * t) / r; /* of the model along s0 */
            double w = points->weight[i];
            double residual = points->cc[i] - 0.5 * (1 - t);
            a += w * slope * z * slope * z;
            b += w * slope * z * slope;
            c += w * slope * slope;
            g += w * slope * z * residual;
            h += w * slope * residual;
        }
        double aa = a * (1 + lambda) + 1e-300, cc = c * (1 + lambda) + 1e-300;
        double determinant = aa * cc - b * b;
        double dr = (g * cc - h * b) / determinant, ds = (h * aa - g * b) / determinant;
        double trial = r + dr != 0 ? misfit(points, r + dr, s0 + ds) : INFINITY;
        if (isfinite(trial) && trial <= now) {
            bool done = fabs(dr) <= 1e-12 * fabs(r) && fabs(ds) <= 1e-12 * fabs(s0);
            r += dr;
            s0 += ds;
            now = trial;
            lambda = lambda > 1e-14 ? lambda / 10 : lambda;
            if (done)
                break;
        } else {
            lambda *= 10;
        }
    }
    *r_out = r;
    *s0_out = s0;
    return isfinite(r) && isfinite(s0) && r != 0;
}

bool emd_resolution_fit(const struct emd_merge_table *table, enum emd_fit_rule rule, double *r,
                        double *s0)
{
    struct points points;
    bool ok = take_points(table, rule, &points) && fit(&points, rule, r, s0);
    free(points.s);
    return ok;
}

static double by_fit(const struct emd_merge_table *table, double limit, enum emd_fit_rule rule)
{
    struct points points;
    double r, s0, d = NAN;
    if (!take_points(table, rule, &points) || !fit(&points, rule, &r, &s0))
        goto out;
    double lowest = INFINITY, highest = 0;
    for (size_t i = 0; i < points.count; i++) {
        lowest = fmin(lowest, points.cc[i]);
        highest = fmax(highest, points.s[i]);
    }
    if (lowest > limit) {
        d = 1 / sqrt(highest);
        goto out;
    }
    /* DIALS goes from high to low resolution; a model that falls has one crossing. */
    for (size_t i = points.count; i-- > 1;) {
        double y0 = model(points.s[i], r, s0), y1 = model(points.s[i - 1], r, s0);
        if ((y0 - limit) * (y1 - limit) < 0) {
            double s = points.s[i] + (limit - y0) * (points.s[i - 1] - points.s[i]) / (y1 - y0);
            d = 1 / sqrt(s);
            break;
        }
    }
out:
    free(points.s);
    return d;
}

double emd_resolution(const struct emd_merge_table *table, enum emd_resolution_method method,
                      double limit, enum emd_fit_rule rule)
{
    if (table->count == 0)
        return NAN;
    if (method == EMD_RESOLUTION_LINEAR)
        return by_line(table, limit);
    if (method == EMD_RESOLUTION_FIT)
        return by_fit(table, limit, rule);
    size_t below = first_below(table, limit);
    return below == 0 ? NAN : table->shells[below - 1].value[EMD_SHELL_D_MIN];
}

enum emd_fit_rule emd_fit_rule_of(const char *dials_version)
{
    char *rest;
    unsigned long major = strtoul(dials_version, &rest, 10);
    if (rest == dials_version || *rest != '.')
        return EMD_FIT_WEIGHTED;
    const char *minor_text = rest + 1;
    unsigned long minor = strtoul(minor_text, &rest, 10);
    if (rest == minor_text) /* "3.dev" */
        return EMD_FIT_WEIGHTED;
    /* "Improve cc1/2 fit for resolution estimation on noisy data", September 2023 */
    return major < 3 || (major == 3 && minor < 17) ? EMD_FIT_SIGNIFICANT : EMD_FIT_WEIGHTED;
}
