/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What this process may use of the machine: SIMD instructions (the kernels of lib/codec and
 * lib/repack dispatch on them once, so that one binary runs on every machine of its architecture),
 * and cores. */
#ifndef EMD_BASE_CPU_H
#define EMD_BASE_CPU_H

#include <stdbool.h>

#include "base/status.h"

enum emd_simd {
    EMD_SIMD_SCALAR = 0, /* plain C: the oracle of all others */
    EMD_SIMD_SSE2,       /* every x86-64 */
    EMD_SIMD_AVX2,       /* with BMI, BMI2 and POPCNT (Haswell) */
    EMD_SIMD_AVX512,     /* F, BW, DQ, VL (Skylake-X) */
    EMD_SIMD_AVX512VBMI, /* and VBMI, VBMI2 (Ice Lake, Zen 4) */
    EMD_SIMD_NEON,       /* every arm64 */
    EMD_SIMD_LEVELS
};

/* Whether this machine has the level. */
bool emd_simd_available(enum emd_simd level);

/* The best level of this machine, or the one that the environment variable EMDTOOLS_SIMD names
 * (scalar, sse2, avx2, avx512, avx512vbmi, neon) if the machine has it. Thread safe; settled at the
 * first call. */
enum emd_simd emd_simd_level(void);

/* EMD_E_ARGUMENT where EMDTOOLS_SIMD names what this machine has not: for programs, which should
 * not go on with another level than the one asked for. Plugins, guests of other programs, do. */
enum emd_status emd_simd_check(struct emd_error *err);

/* "scalar", "sse2", ... */
const char *emd_simd_name(enum emd_simd level);

/* Cores that this process may run on, >= 1: under taskset or in a Slurm job fewer than there are.
 */
unsigned emd_cpu_count(void);

#endif
