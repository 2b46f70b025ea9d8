/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* EDC's kernels in plain C: for every machine, and the oracle of the SIMD levels. */
#include "codec/edc/edckernel.h"

#define EDC_KERNELS edc_kernels_scalar
#define EDC_CODES_LANE_BY_LANE

#include "codec/edc/edcrans_scalar.h"
#include "codec/edc/edcvec_scalar.h"

#include "codec/edc/edckernel_impl.h"
