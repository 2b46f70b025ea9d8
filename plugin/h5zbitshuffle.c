/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "filter.h"

EMD_PLUGIN(emd_codec_bitshuffle, EMD_FILTER_BITSHUFFLE, "bitshuffle")
