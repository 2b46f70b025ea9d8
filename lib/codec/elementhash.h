/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The hash of a dataset's elements that the content hash of a file is made of: docs/content-hash.md
 * defines it. It is a sum, modulo 2^32 in four lanes, of each 16-bit word of the elements times the
 * product of a key for each of its coordinates. So elements may come in any order, in chunks of any
 * shape and from any thread, no two passes over them are needed, and a row costs about as much as
 * reading it from a level-2 cache. Elements that are the fill value add nothing, so that chunks
 * that were never written need not come. */
#ifndef EMD_CODEC_ELEMENTHASH_H
#define EMD_CODEC_ELEMENTHASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { EMD_ELEMENT_LANES = 4 };

/* Bytes of an element that belong to its value; between them lie holes of a compound. */
struct emd_byte_run {
    size_t offset, size;
};

struct emd_element_layout {
    unsigned rank; /* 0 to EMD_RANK_MAX; 0: one element */
    const uint64_t *dims;
    size_t item_size;
    const struct emd_byte_run *run; /* upwards; count 0: the whole element */
    size_t runs;
    const void *fill; /* one element; NULL: zeros */
};

struct emd_element_hash;

/* What 'layout' points to is copied. The caller frees *hash. */
enum emd_status emd_element_hash_new(const struct emd_element_layout *layout,
                                     struct emd_element_hash **hash, struct emd_error *err);
void emd_element_hash_free(struct emd_element_hash *hash);

/* Bytes of a row of a chunk: parts of it that are added are multiples of so many. */
size_t emd_element_hash_unit(const struct emd_element_hash *hash, const uint64_t *shape);

/* Adds those elements of bytes 'begin' to 'end' of the chunk at 'origin', of 'shape' elements in C
 * order, that lie inside the dataset; 'chunk' is its first byte. Each element must be added once,
 * or never where it is the fill value. Any thread. */
void emd_element_hash_add(struct emd_element_hash *hash, const uint64_t *origin,
                          const uint64_t *shape, const void *chunk, size_t begin, size_t end);

void emd_element_hash_get(const struct emd_element_hash *hash, uint32_t lane[EMD_ELEMENT_LANES]);

#endif
