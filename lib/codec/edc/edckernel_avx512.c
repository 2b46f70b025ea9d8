/* EDC's kernels for AVX-512 F, BW, DQ and VL (Skylake-X). */
#include "codec/edc/edckernel.h"
#include "codec/edc/edcrans_avx512.h"

#define EDC_KERNELS edc_kernels_avx512

#include "codec/edc/edckernel_impl.h"
