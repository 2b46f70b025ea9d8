/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See exact.h. Degrees of the series: the first term left out is below 2^-56 of the result on the
 * reduced interval. */
#include "velox/exact.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define PI 3.14159265358979323846
#define LN2_HIGH 0.693147180369123816490e0 /* ln 2, low bits zero: n * LN2_HIGH is exact */
#define LN2_LOW 1.90821492927058770002e-10

/* 2^n for normal results. */
static double power_of_two(int n)
{
    const uint64_t bits = (uint64_t)(n + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

double emd_exact_exp(double x)
{
    if (x < -708)
        return 0;
    if (x > 709)
        return HUGE_VAL;
    const double n = floor(x / (LN2_HIGH + LN2_LOW) + 0.5);
    const double r = (x - n * LN2_HIGH) - n * LN2_LOW; /* |r| <= 0.347 */
    double sum = 1;
    for (int k = 15; k >= 1; k--)
        sum = 1 + sum * r / k;
    return sum * power_of_two((int)n);
}

/* Sine and cosine of x, |x| <= pi / 4. */
static void series(double x, double *sine, double *cosine)
{
    const double xx = x * x;
    double s = 1, c = 1;
    for (int k = 18; k >= 2; k -= 2) {
        s = 1 - s * xx / (k * (k + 1));
        c = 1 - c * xx / (k * (k - 1));
    }
    *sine = x * s;
    *cosine = c;
}

void emd_exact_sincos_turns(double t, double *sine, double *cosine)
{
    const double quarter = floor(t * 4 + 0.5);
    double s, c;
    series((t - quarter / 4) * (2 * PI), &s, &c);
    switch ((int)(quarter - 4 * floor(quarter / 4))) {
    case 0:
        *sine = s;
        *cosine = c;
        break;
    case 1:
        *sine = c;
        *cosine = -s;
        break;
    case 2:
        *sine = -s;
        *cosine = -c;
        break;
    default:
        *sine = -c;
        *cosine = s;
    }
}

void emd_exact_sincos_degrees(double degrees, double *sine, double *cosine)
{
    emd_exact_sincos_turns(degrees / 360, sine, cosine);
}
