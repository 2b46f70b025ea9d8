/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Memory for the variable-length values of one slice of data: a bounded heap of which everything is
 * given back at once. HDF5 takes its functions (H5Pset_vlen_mem_manager); a read that fails half
 * way loses nothing, and a file that claims gigabytes is refused. Private to lib/hdf5. */
#ifndef EMD_HDF5_ARENA_H
#define EMD_HDF5_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct emd_arena_block;
struct emd_arena {
    struct emd_arena_block *blocks; /* the newest first */
    size_t taken;                   /* bytes asked for since the last reset */
    size_t limit;
    bool refused; /* a request went beyond the limit */
};

/* Frees all values and sets a new limit. An arena of zeros is empty. */
void emd_arena_reset(struct emd_arena *arena, size_t limit);
void emd_arena_end(struct emd_arena *arena);

/* For HDF5: 'info' is the arena. The free function does nothing. */
void *emd_arena_alloc(size_t size, void *info);
void emd_arena_free(void *memory, void *info);

#endif
