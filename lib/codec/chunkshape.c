/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "codec/codec.h"

size_t emd_chunk_bytes(const struct emd_chunk_shape *shape)
{
    uint64_t bytes = shape->item_size;
    for (unsigned i = 0; i < shape->rank; i++)
        if (__builtin_mul_overflow(bytes, shape->dims[i], &bytes))
            return 0;
    return bytes <= SIZE_MAX ? (size_t)bytes : 0;
}
