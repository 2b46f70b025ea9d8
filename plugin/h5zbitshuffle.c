#include "filter.h"

EMD_PLUGIN(emd_codec_bitshuffle, EMD_FILTER_BITSHUFFLE, "bitshuffle")
