/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Crystal structures for the simulator, from a CIF or a small table, and what electrons they
 * diffract, kinematically.
 *
 * The table has a line per fact; # begins a comment:
 *
 *     cell A B C ALPHA BETA GAMMA      in Angstrom and degrees
 *     symmetry -x, y+1/2, -z           an operation; the identity need not be given
 *     ELEMENT X Y Z U [OCCUPANCY]      an atom: fractional, U isotropic in square Angstrom
 *
 * Of a CIF (a file with a line that begins with "data_") the first data block is read: _cell_*, the
 * loop with _symmetry_equiv_pos_as_xyz or _space_group_symop_operation_xyz, and the loop of
 * _atom_site_ with fract_x, _y, _z, type_symbol (else label), U_iso_or_equiv (else B_iso_or_equiv,
 * else 0.03) and occupancy. A space group without operations is P 1. */
#ifndef EMD_VELOX_STRUCTURE_H
#define EMD_VELOX_STRUCTURE_H

#include <stddef.h>

#include "base/scattering.h"
#include "base/status.h"

struct emd_structure_atom {
    const struct emd_scatterer *element;
    double x, y, z, u, occupancy;
};

/* All atoms of the cell: the symmetry has been applied, atoms on special positions stand once. */
struct emd_structure {
    double cell[6];
    struct emd_structure_atom *atom;
    size_t count;
    double norm; /* the sum of f(s)^2 at s = 0.25 / A: the scale of today's brightness */
};

/* Parses 'length' bytes, which a NUL follows. EMD_E_FORMAT: the text says what is wrong, and where.
 * The caller frees with emd_structure_free, also on failure. */
enum emd_status emd_structure_parse(const char *text, size_t length, struct emd_structure *out,
                                    struct emd_error *err);
void emd_structure_free(struct emd_structure *structure);

/* |F(hkl)|^2 / norm, with square = 1 / d^2 in 1/A^2. F = sum occupancy f(s) exp(-8 pi^2 U s^2)
 * exp(2 pi i (hx + ky + lz)), s^2 = square / 4. The same on every machine (exact.h). */
double emd_structure_intensity(const struct emd_structure *structure, int h, int k, int l,
                               double square);

#endif
