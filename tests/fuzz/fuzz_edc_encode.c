/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Fuzz target: any pixels as any image through encoder and decoder; all SIMD levels must write the
 * same bytes, and the pixels must come back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/edc/edcstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 5, MOST = 1 << 14 };
    static uint8_t first[MOST * 2], other[MOST * 2], back[MOST];
    static struct emd_edc_work *work;
    if (size < HEAD || size - HEAD > MOST)
        return 0;
    if (!work)
        work = emd_edc_work_new();
    const size_t n = size - HEAD;
    struct emd_edc_params p = {.item_size = 1u << (data[0] & 3),
                               .is_integer = data[0] & 4,
                               .is_signed = data[0] & 8,
                               .big_endian = data[0] & 16,
                               .interleaved = data[0] & 32,
                               .width = data[1] + 1u,
                               .height = data[2] + 1u,
                               .planes = data[3] % 7 + 1u,
                               .effort = (enum emd_edc_effort)(data[4] % 3 + 1)};
    /* Mostly whole images. */
    const size_t row = (size_t)p.item_size * p.width * p.planes;
    if (data[4] & 128 && n >= row)
        p.height = (uint32_t)(n / row);
    const size_t used = data[4] & 128 && n >= row ? row * p.height : n;
    size_t length = 0;
    for (int level = EMD_SIMD_SCALAR; level < EMD_SIMD_LEVELS; level++) {
        const struct edc_kernels *const kernels = edc_kernels_of((enum emd_simd)level);
        size_t written = 0, got = 0;
        uint8_t *const out = level == EMD_SIMD_SCALAR ? first : other;
        if (!kernels)
            continue;
        if (edc_encode_with(kernels, &p, work, data + HEAD, used, out, emd_edc_bound(used),
                            &written, NULL) != EMD_OK)
            abort();
        if (level == EMD_SIMD_SCALAR)
            length = written;
        if (written != length || memcmp(first, out, length) != 0)
            abort();
        if (edc_decode_with(kernels, 1, work, first, length, back, used, &got, NULL) != EMD_OK ||
            got != used || memcmp(back, data + HEAD, used) != 0)
            abort();
    }
    return 0;
}
