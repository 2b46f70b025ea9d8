/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* EDC's kernels for AVX-512 F, BW, DQ and VL (Skylake-X). */
#include <immintrin.h>

#include "base/simdtarget.h"
#include "codec/edc/edckernel.h"

EMD_BEGIN_TARGET(EMD_TARGET_AVX512)

#include "codec/edc/edcrans_avx512.h"

#define XXH_VECTOR XXH_AVX512
#define EDC_KERNELS edc_kernels_avx512

static void rans_encode(struct edc_writer *w, size_t n, const uint8_t *table, const uint8_t *symbol)
{
    encode_row(w, n, table, symbol);
}

#include "codec/edc/edckernel_impl.h"

EMD_END_TARGET
