#include "filter.h"

EMD_PLUGIN(emd_codec_zstd, EMD_FILTER_ZSTD, "zstd")
