/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Code for one SIMD level within a source that is compiled for every machine of its architecture:
 *
 *     #include <immintrin.h>           before, for clang
 *     EMD_BEGIN_TARGET(EMD_TARGET_AVX2)
 *     ... functions
 *     EMD_END_TARGET
 *
 * The instructions are named in the source rather than in flags for each file, so that whoever
 * builds these sources in another way needs one set of flags. Each list is what
 * emd_simd_available() asks the processor for. */
#ifndef EMD_BASE_SIMDTARGET_H
#define EMD_BASE_SIMDTARGET_H

#define EMD_TARGET_AVX2 "avx2,bmi,bmi2,popcnt"
#define EMD_TARGET_AVX512 "avx512f,avx512bw,avx512dq,avx512vl," EMD_TARGET_AVX2
#define EMD_TARGET_AVX512VBMI "avx512vbmi,avx512vbmi2," EMD_TARGET_AVX512

#define EMD_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define EMD_BEGIN_TARGET(features)                                                                 \
    EMD_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define EMD_END_TARGET EMD_PRAGMA(clang attribute pop)
#else
#define EMD_BEGIN_TARGET(features) EMD_PRAGMA(GCC push_options) EMD_PRAGMA(GCC target(features))
#define EMD_END_TARGET EMD_PRAGMA(GCC pop_options)
#endif

/* For a single function. */
#define EMD_TARGET(features) __attribute__((target(features)))

#endif
