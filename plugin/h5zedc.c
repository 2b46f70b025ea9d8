/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "filter.h"

EMD_PLUGIN(emd_codec_edc, EMD_FILTER_EDC, "edc (emdtools)")
