/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* How a dataset travels from its source layout to its target chunks: a pure function, no I/O.
 *
 * Everything is a box of a C-order grid. The source is read in "bands" (one or several source
 * chunks, or a contiguous range of a contiguous dataset); each source chunk is read and decoded
 * exactly once. Three plans:
 *
 *   SAME_GRID  a target chunk is one source chunk (Velox), or one contiguous range of the file:
 *              jobs are chunks; read, encode, verify, write. Optimal.
 *   GATHER     a "block", the smallest box that both grids divide, fits the budget: its bands are
 *              read in parallel and scattered (transposed) into its target chunks, then these are
 *              encoded in parallel. Nothing is stored between.
 *   STRIPS     the block does not fit: only its first target chunks are gathered in memory. Of the
 *              others each band is cut into strips; these, lightly compressed, wait in memory or,
 *              beyond the budget, in one unlinked temporary file; then each of these target chunks
 *              is put together and encoded.
 *
 * peak_bytes counts every buffer that the run allocates; the run keeps to the plan's numbers. */
#ifndef EMD_REPACK_PLAN_H
#define EMD_REPACK_PLAN_H

#include "codec/codec.h"

enum emd_plan_kind { EMD_PLAN_SAME_GRID, EMD_PLAN_GATHER, EMD_PLAN_STRIPS };

/* Who reads source chunks: the workers by pread, or the calling thread through HDF5, which hands
 * them over as they are stored or, where only HDF5 knows the filters, decoded. */
enum emd_fetch { EMD_FETCH_NONE, EMD_FETCH_STORED, EMD_FETCH_DECODED };

struct emd_plan_request {
    unsigned rank;                 /* 1 .. EMD_RANK_MAX */
    size_t item_size;              /* bytes */
    uint64_t dims[EMD_RANK_MAX];   /* extent of the dataset, elements, all > 0 */
    bool contiguous;               /* else chunked: */
    uint64_t source[EMD_RANK_MAX]; /* source chunk */
    size_t source_stored;          /* largest stored source chunk if filtered, 0 if plain */
    size_t source_work;            /* bytes inside the source's decoders, a thread */
    enum emd_fetch fetch;
    uint64_t chunks;               /* source chunks that exist; 0 if contiguous */
    uint64_t target[EMD_RANK_MAX]; /* target chunk */
    size_t target_bound;           /* largest encoded target chunk */
    size_t target_work;            /* bytes inside the target's encoders and decoders, a thread */
    bool copy_stored;              /* same grid and same filters: stored bytes are copied */
    bool verify;                   /* each encoded chunk is decoded and compared, */
    size_t verify_bytes;           /* for which a thread needs so much: 0 to a chunk */
    bool hash;                     /* a hash of each target chunk is kept for later */
    size_t strip_overhead;         /* a stored strip is at most this much longer than plain */
    size_t strip_work;             /* bytes inside the strip codec, a thread */
    unsigned threads;              /* at most */
    size_t budget;                 /* bytes for all buffers */
};

struct emd_plan {
    enum emd_plan_kind kind;
    unsigned threads;             /* busy threads, as many as the budget allows */
    unsigned slots;               /* encoded chunks in flight */
    unsigned read_slots;          /* bands in flight (GATHER, STRIPS) */
    uint64_t block[EMD_RANK_MAX]; /* elements; a multiple of target (GATHER, STRIPS) */
    uint64_t band[EMD_RANK_MAX];  /* elements; a multiple of source if chunked */
    uint64_t blocks;              /* blocks in the dataset */
    uint64_t reads;               /* read operations in all */
    size_t targets;               /* target chunks of a whole block (GATHER, STRIPS), and ... */
    size_t resident;              /* ... how many of them, in C order, are gathered in memory */
    size_t strips_per_block;      /* STRIPS: bands x other target chunks of a block */
    size_t store_bytes;           /* STRIPS: memory for stored strips; the rest is spilled */
    size_t peak_bytes;            /* all buffers together */
};

/* EMD_E_BUDGET: no plan fits; the text says the least budget that does. */
enum emd_status emd_plan_make(const struct emd_plan_request *request, struct emd_plan *plan,
                              struct emd_error *err);

/* Most target chunks that a box at a multiple of its own size touches within a block. */
size_t emd_plan_touched(const struct emd_plan_request *request, const uint64_t *block,
                        const uint64_t *box);

/* Most strips that a band is cut into: of the target chunks that are not resident. */
size_t emd_plan_strips_a_band(const struct emd_plan_request *request, const struct emd_plan *plan);

/* Bytes of a source chunk in a slot of the calling thread's fetching; 0 with EMD_FETCH_NONE. */
size_t emd_plan_fetch_unit(const struct emd_plan_request *request);

/* Whether workers need a buffer for decoded source data (else it is in the slot already). */
bool emd_plan_decodes(const struct emd_plan_request *request);

/* Bytes of a box; SIZE_MAX if that does not fit. */
size_t emd_box_bytes(unsigned rank, const uint64_t *box, size_t item_size);

/* One line for people: "gather: 6 blocks of 2048x2048x16, 60 reads, 2 threads, peak 140 MiB". */
void emd_plan_describe(const struct emd_plan_request *request, const struct emd_plan *plan,
                       char *text, size_t size);

#endif
