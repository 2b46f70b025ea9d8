#include "filter.h"

EMD_PLUGIN(emd_codec_blosc, EMD_FILTER_BLOSC, "blosc")
