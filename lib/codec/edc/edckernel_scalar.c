/* EDC's kernels in plain C: for every machine, and the oracle of the SIMD levels. */
#include "codec/edc/edckernel.h"
#include "codec/edc/edcrans_scalar.h"
#include "codec/edc/edcvec_scalar.h"

#define EDC_KERNELS edc_kernels_scalar

static void decode_row(struct edc_reader *r, size_t n, const uint8_t *table, uint8_t *symbol)
{
    size_t at = 0;
    for (; at + EDC_RANS_LANES <= n && r->end - r->p >= 2 * EDC_RANS_LANES + 2;
         at += EDC_RANS_LANES)
        decode_all_lanes(r, table + at, symbol + at);
    decode_rest(r, at, n, table, symbol);
}

static void rans_encode(struct edc_writer *w, size_t n, const uint8_t *table, const uint8_t *symbol)
{
    for (size_t at = n + (EDC_RANS_LANES - 1) - (n + EDC_RANS_LANES - 1) % EDC_RANS_LANES;
         at > 0;) {
        at -= EDC_RANS_LANES;
        encode_lanes(w, n - at < EDC_RANS_LANES ? n - at : EDC_RANS_LANES, table + at, symbol + at);
    }
}

#include "codec/edc/edckernel_impl.h"
