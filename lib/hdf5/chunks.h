/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Where the stored chunks of a chunked dataset lie, so that worker threads can pread them outside
 * HDF5's lock.
 *
 * Finding them: H5Dchunk_iter where this HDF5 has it (1.10.10, 1.12.3, 1.14); else
 * H5Dget_chunk_info, which starts from the first chunk at each call, for up to EMD_CHUNKS_INFO_MAX
 * chunks; beyond that, and where HDF5 lists wrong coordinates, the grid is asked chunk by chunk
 * what is stored, and the list has no addresses: read with emd_chunk_read. Addresses in a file with
 * a user block are counted from different places by different versions of HDF5: one chunk is read
 * both ways and compared before any is trusted.
 *
 * Threads: making a list and emd_chunk_read belong to the HDF5 thread (h5call.h); a finished list
 * is plain data. */
#ifndef EMD_HDF5_CHUNKS_H
#define EMD_HDF5_CHUNKS_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "codec/codec.h"
#include "hdf5/source.h"

enum { EMD_CHUNKS_INFO_MAX = 4000 };

#define EMD_CHUNK_NO_ADDRESS UINT64_MAX

/* The grid of a chunked dataset. */
struct emd_chunk_grid {
    unsigned rank;                /* 1 to 32 */
    hsize_t dims[EMD_RANK_MAX];   /* of the dataset now, elements */
    hsize_t chunk[EMD_RANK_MAX];  /* of a chunk */
    uint64_t count[EMD_RANK_MAX]; /* chunks along each axis: ceil(dims / chunk) */
    uint64_t total;               /* product of the counts */
    size_t item_size;             /* bytes of an element in the file; 0 where it has
 variable-length parts: HDF5 does not tell their size there */
    size_t chunk_bytes;           /* of a decoded chunk; 0 where item_size is */
    bool plain_edges;             /* chunks that reach over the edge are stored without filters */
};

/* One stored chunk, 32 bytes. */
struct emd_chunk {
    uint64_t index;   /* place in the grid, row-major (last axis fastest) */
    uint64_t address; /* from the start of the file, for pread; or EMD_CHUNK_NO_ADDRESS */
    uint64_t bytes;   /* stored, > 0; with no filters exactly chunk_bytes */
    uint32_t mask;    /* bit i set: filter i was left out; all set at a plain edge. Not known
                         where there are no addresses: emd_chunk_read tells */
};

struct emd_chunk_list {
    struct emd_chunk_grid grid;
    size_t count;            /* chunks that are stored; the others were never written */
    struct emd_chunk *chunk; /* freed by emd_chunk_list_free */
    bool has_addresses;      /* of all chunks, or of none */
};

enum emd_chunk_order { EMD_CHUNKS_BY_INDEX, EMD_CHUNKS_BY_ADDRESS };

/* EMD_E_ARGUMENT where the dataset is not chunked; EMD_E_CORRUPT or EMD_E_UNSUPPORTED for a grid
 * beyond 2^63 chunks or chunks beyond size_t. */
enum emd_status emd_chunk_grid_get(hid_t dataset, struct emd_chunk_grid *grid,
                                   struct emd_error *err);

/* Lists the stored chunks of 'dataset', which belongs to source->file. 'source' NULL: no addresses
 * are wanted (and none checked against the file). Order by address falls back to by index where
 * there are none.
 *
 * 'limit_bytes' bounds the list's memory (32 bytes a chunk, once more while it is made):
 * EMD_E_BUDGET beyond; 0: no limit but the number of chunks that the file can hold.
 * EMD_E_INCOMPLETE: a chunk lies behind the end of the file. EMD_E_CORRUPT: sizes, coordinates or
 * counts that cannot be, the same chunk twice. *list is empty after a failure. */
enum emd_status emd_chunk_list_get(hid_t dataset, struct emd_source *source,
                                   enum emd_chunk_order order, size_t limit_bytes,
                                   struct emd_chunk_list *list, struct emd_error *err);
void emd_chunk_list_free(struct emd_chunk_list *list);

/* For a salvage. A chunk that the index tells nonsense of, or that the index is too damaged to
 * find, goes to 'lost' (may be NULL) instead of ending the listing, and is not on the list. 'index'
 * is its place in the grid, EMD_CHUNK_NO_PLACE where that is not known. */
#define EMD_CHUNK_NO_PLACE UINT64_MAX
struct emd_chunk_salvage {
    void (*lost)(void *ctx, const struct emd_chunk_grid *grid, uint64_t index,
                 const struct emd_error *why);
    void *ctx;
};
enum emd_status emd_chunk_list_salvage(hid_t dataset, struct emd_source *source,
                                       enum emd_chunk_order order, size_t limit_bytes,
                                       const struct emd_chunk_salvage *salvage,
                                       struct emd_chunk_list *list, struct emd_error *err);

/* Element coordinates of a chunk's first corner, for H5Dwrite_chunk and H5Dread_chunk. */
void emd_chunk_offset(const struct emd_chunk_grid *grid, uint64_t index, hsize_t *offset);

/* Reads one stored chunk's bytes as they are, by HDF5. 'capacity' must be at least chunk->bytes,
 * else EMD_E_BUDGET; a chunk that changed its size since it was listed is EMD_E_CHANGED. *mask as
 * in struct emd_chunk. */
enum emd_status emd_chunk_read(hid_t dataset, const struct emd_chunk_grid *grid,
                               const struct emd_chunk *chunk, void *buffer, size_t capacity,
                               uint32_t *mask, struct emd_error *err);

#endif
