/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Moves the data of one dataset as its plan says. Knows files and codecs; what must go
 * through HDF5 (the output, and sources that only HDF5 can decode) goes through two callbacks on
 * the calling thread. */
#ifndef EMD_REPACK_MOVE_H
#define EMD_REPACK_MOVE_H

#include "base/pool.h"
#include "codec/pipeline.h"
#include "hdf5/chunks.h"
#include "repack/plan.h"

/* A target chunk as it is to be stored. */
struct emd_encoded {
    const void *data;
    size_t size;
    uint32_t mask;
    uint64_t hash; /* emd_box_hash of the plain chunk, with request->hash; else 0 */
};

struct emd_move {
    const struct emd_plan_request *request;
    const struct emd_plan *plan;

    /* Source: a descriptor that is only read with pread, and ... */
    int fd;
    uint64_t address;              /* contiguous: of the first element */
    const struct emd_chunk *chunk; /* chunked: those that exist, by index */
    size_t chunk_count;
    const struct emd_pipeline *source_pipeline; /* chunked; empty with EMD_FETCH_DECODED */
    const void *fill;                           /* one element; NULL: zeros */

    /* Target. */
    const struct emd_pipeline *target_pipeline;
    const struct emd_pipeline *strip_pipeline; /* of the STRIPS plan */
    const char *spill_folder;

    void *ctx;
    /* A source chunk through HDF5, as request->fetch says: chunk->bytes stored bytes (chunk->mask
     * is right from then on), or the whole decoded chunk; n is that size. */
    enum emd_status (*fetch)(void *ctx, const struct emd_chunk *chunk, const uint64_t *origin,
                             void *data, size_t n, struct emd_error *err);
    /* An encoded target chunk. Called in a fixed order. NULL: nothing is encoded. */
    enum emd_status (*write)(void *ctx, const uint64_t *origin, const struct emd_encoded *chunk,
                             struct emd_error *err);
    /* If not NULL: what cannot be read and decoded goes here instead of ending the run: a source
     * chunk at 'origin' of 'shape' elements (cut at the dataset's edge), which is then as if it had
     * never been written, or of contiguous data the box in which elements cannot be read, which are
     * filled with 'fill'. EMD_E_IO: the disk or the network failed. One call at a time, from any
     * thread; with SAME_GRID in the order of the chunks. */
    void (*damaged)(void *ctx, const uint64_t *origin, const uint64_t *shape,
                    const struct emd_error *error);
    /* If not NULL: looks at each target chunk while it lies plain in memory, at its bytes from
     * 'begin' to 'end', all of them once, upwards. Any thread, chunks in any order; with
     * request->copy_stored only where it is verified. Parts other than the whole are multiples of
     * 'inspect_unit' bytes (but for the last), so that they are seen while they are in the cache;
     * 0: the whole chunk. */
    void (*inspect)(void *ctx, const uint64_t *origin, const void *raw, size_t begin, size_t end);
    size_t inspect_unit;
    void (*progress)(void *ctx, uint64_t bytes); /* plain bytes done since the last call */
    bool (*cancelled)(void *ctx);
};

/* Chunks that were never written stay unwritten where a target chunk consists of nothing else; the
 * rest of it is filled with 'fill'. */
enum emd_status emd_move_run(const struct emd_move *move, struct emd_pool *pool,
                             struct emd_error *err);

#endif
