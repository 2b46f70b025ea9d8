#include "filter.h"

EMD_PLUGIN(emd_codec_edc, EMD_FILTER_EDC, "edc")
