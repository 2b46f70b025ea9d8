/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Elementary functions that give the same bits on every machine.
 *
 * C's libm may differ in the last place between systems and versions; the simulator promises the
 * same bytes everywhere. These use only IEEE double + - * / and floor, in a fixed order (the
 * library is compiled with -ffp-contract=off), and are accurate to a few units in the last place.
 *
 * Source: Taylor series after the usual range reductions. Pure functions. */
#ifndef EMD_VELOX_EXACT_H
#define EMD_VELOX_EXACT_H

/* e^x; 0 below about -708, infinity above about 709. */
double emd_exact_exp(double x);

/* Sine and cosine of 2 pi t; |t| < 2^30. */
void emd_exact_sincos_turns(double t, double *sine, double *cosine);

/* The same for degrees. */
void emd_exact_sincos_degrees(double degrees, double *sine, double *cosine);

#endif
