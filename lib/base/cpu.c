/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "base/cpu.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[EMD_SIMD_LEVELS] = {"scalar", "sse2",       "avx2",
                                                   "avx512", "avx512vbmi", "neon"};

bool emd_simd_available(enum emd_simd level)
{
    switch (level) {
    case EMD_SIMD_SCALAR:
        return true;
#if defined(__x86_64__)
    case EMD_SIMD_SSE2:
        return true;
    case EMD_SIMD_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
               __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    case EMD_SIMD_AVX512:
        return emd_simd_available(EMD_SIMD_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    case EMD_SIMD_AVX512VBMI:
        return emd_simd_available(EMD_SIMD_AVX512) && __builtin_cpu_supports("avx512vbmi") &&
               __builtin_cpu_supports("avx512vbmi2");
#elif defined(__aarch64__)
    case EMD_SIMD_NEON:
        return true;
#endif
    default:
        return false;
    }
}

/* The level that EMDTOOLS_SIMD names; -1: none that this machine has. */
static int forced_level(const char *forced)
{
    for (int level = 0; level < EMD_SIMD_LEVELS; level++)
        if (strcmp(forced, names[level]) == 0 && emd_simd_available((enum emd_simd)level))
            return level;
    return -1;
}

static enum emd_simd detect(void)
{
    const char *const forced = getenv("EMDTOOLS_SIMD");
    int level = forced ? forced_level(forced) : -1;
    if (level < 0)
        for (level = EMD_SIMD_LEVELS - 1; !emd_simd_available((enum emd_simd)level);)
            level--;
    return (enum emd_simd)level;
}

enum emd_status emd_simd_check(struct emd_error *err)
{
    const char *const forced = getenv("EMDTOOLS_SIMD");
    char known[128];
    size_t at = 0;
    if (!forced || !*forced || forced_level(forced) >= 0)
        return EMD_OK;
    for (int level = 0; level < EMD_SIMD_LEVELS; level++)
        if (emd_simd_available((enum emd_simd)level))
            at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", at ? ", " : "",
                                   names[level]);
    return emd_fail(err, EMD_E_ARGUMENT,
                    "EMDTOOLS_SIMD: '%s' is no level of this machine, which has %s", forced, known);
}

enum emd_simd emd_simd_level(void)
{
    static atomic_int settled = -1; /* racing threads store the same value */
    int level = atomic_load_explicit(&settled, memory_order_relaxed);
    if (level < 0) {
        level = (int)detect();
        atomic_store_explicit(&settled, level, memory_order_relaxed);
    }
    return (enum emd_simd)level;
}

const char *emd_simd_name(enum emd_simd level)
{
    return names[level];
}

unsigned emd_cpu_count(void)
{
#ifdef CPU_COUNT
    cpu_set_t mine; /* fails on machines of more than 1024 cores */
    if (sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_COUNT(&mine) > 0)
        return (unsigned)CPU_COUNT(&mine);
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}
