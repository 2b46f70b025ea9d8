/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "repack/written.h"

#include <xxhash.h>

void emd_written_add(struct emd_written *written, uint64_t index, uint64_t bytes, uint32_t mask)
{
    const uint64_t chunk[3] = {index, bytes, mask};
    written->count++;
    written->sizes += XXH3_64bits(chunk, 2 * sizeof chunk[0]);
    written->masks += XXH3_64bits(chunk, sizeof chunk);
}
