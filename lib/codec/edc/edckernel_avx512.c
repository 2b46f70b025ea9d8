/* EDC's kernels for AVX-512 F, BW, DQ and VL (Skylake-X). */
#include "codec/edc/edckernel.h"
#include "codec/edc/edcrans_avx512.h"

#define EDC_KERNELS edc_kernels_avx512

static void rans_encode(struct edc_writer *w, size_t n, const uint8_t *table, const uint8_t *symbol)
{
    encode_row(w, n, table, symbol);
}

#include "codec/edc/edckernel_impl.h"
