/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* SHELX instructions (.ins) for data of electrons: the stub that dials.export format=shelx writes
 * (TITL, CELL, ZERR, LATT, SYMM), with the composition, and with scattering factors of electrons in
 * place of SHELX's own, which are of X-rays (SFAC with four Gaussians and a constant: the SHELXL
 * manual). */
#ifndef EMD_DIALS_SHELXINS_H
#define EMD_DIALS_SHELXINS_H

#include "base/status.h"

/* The whole text. 'composition' is of one formula unit ("C2H5NO2", blanks are allowed); 'units' of
 * them are in the cell, 0: as many as the volume holds, 18 A^3 per atom but hydrogen, and the
 * number of symmetry operations divides. EMD_E_ARGUMENT: the composition; EMD_E_FORMAT: the stub.
 * The caller frees *out. */
enum emd_status emd_shelx_ins(const char *stub, const char *composition, unsigned units, char **out,
                              struct emd_error *err);

#endif
