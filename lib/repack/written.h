/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What was written of a dataset's chunks, in constant memory: their number, and sums of hashes of
 * (place, stored size) and of (place, stored size, filter mask), which do not depend on the order.
 * The finished file must list the same. */
#ifndef EMD_REPACK_WRITTEN_H
#define EMD_REPACK_WRITTEN_H

#include <stdint.h>

struct emd_written {
    uint64_t count, sizes, masks;
};

/* 'index': the chunk's place in the grid, row-major. */
void emd_written_add(struct emd_written *written, uint64_t index, uint64_t bytes, uint32_t mask);

#endif
