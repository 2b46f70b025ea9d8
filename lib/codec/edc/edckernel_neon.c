/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* EDC's kernels for NEON: every arm64. The entropy coder takes its lanes one after the other. */
#include "codec/edc/edckernel.h"

#define EDC_KERNELS edc_kernels_neon
#define EDC_CODES_LANE_BY_LANE

#include "codec/edc/edcrans_scalar.h"
#include "codec/edc/edcvec_neon.h"

#include "codec/edc/edckernel_impl.h"
