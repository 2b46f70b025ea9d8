/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The store of a layout change that does not fit memory: strips go in one after another and come
 * out in any order. They lie in memory up to a limit and beyond it in one temporary file that has
 * no name, so that nothing is left behind however the program ends. What comes back from that file
 * is checked against a hash: it is the one place where data lie on a disk without any other check.
 * Keeping strips plain as long as the rest would fit compressed was tried: a tenth less processor
 * time, no less time, twice the memory.
 *
 * Threads: put from one thread; get from any number after the last put. */
#ifndef EMD_REPACK_STRIPS_H
#define EMD_REPACK_STRIPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct emd_strips;

/* A store for strips 0 .. count-1, 'memory' bytes of them in memory; the temporary file, if one is
 * needed, is made in 'folder'. */
enum emd_status emd_strips_new(size_t count, size_t memory, const char *folder,
                               struct emd_strips **out, struct emd_error *err);
void emd_strips_free(struct emd_strips *strips);

/* Forgets all strips, keeps memory and file. */
void emd_strips_reset(struct emd_strips *strips);

/* Stores strip i; each once. */
enum emd_status emd_strips_put(struct emd_strips *strips, size_t i, const void *data, size_t n,
                               struct emd_error *err);

/* Size of strip i, 0 if it was never put. */
size_t emd_strips_size(const struct emd_strips *strips, size_t i);

/* Strip i: *data points into memory of the store, or at 'buffer' (emd_strips_size bytes), into
 * which it was read. */
enum emd_status emd_strips_get(const struct emd_strips *strips, size_t i, void *buffer,
                               const void **data, struct emd_error *err);

/* Bytes that went to the temporary file so far. */
uint64_t emd_strips_spilled(const struct emd_strips *strips);

#endif
