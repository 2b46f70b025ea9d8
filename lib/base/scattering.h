/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Scattering of electrons by neutral atoms, H to Cf.
 *
 * Source of the five Gaussians: International Tables for Crystallography C, table 4.3.2.2 (Peng,
 * Ren, Dudarev & Whelan, Acta Cryst. A52 (1996) 257), for s = sin(theta) / lambda from 0 to 2 / A.
 * SHELX takes four Gaussians and a constant: these are least-squares fits to the five between s = 0
 * and 1.2 / A, off by less than 0.2 % of f(0) everywhere, and by less than 1.5 % of f(s). */
#ifndef EMD_BASE_SCATTERING_H
#define EMD_BASE_SCATTERING_H

#include <stddef.h>

struct emd_scatterer {
    char symbol[3];
    double a[5], b[5];             /* f(s) = sum of a exp(-b s^2), Angstrom */
    double shelx_a[4], shelx_b[4]; /* f(s) = sum of a exp(-b s^2) + shelx_c */
    double shelx_c;
    double weight; /* relative atomic mass; of the longest-lived isotope where there is no other */
    double
        radius; /* covalent, Angstrom: Cordero et al., Dalton Trans. (2008) 2832; 1.5 if unknown */
};

/* The element of this symbol ("C", "Cl"; case counts), or NULL. */
const struct emd_scatterer *emd_scatterer_find(const char *symbol);
/* The element of atomic number 1 to 98, or NULL. */
const struct emd_scatterer *emd_scatterer_at(size_t number);

#endif
