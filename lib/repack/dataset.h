/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What is decided about one dataset before it is copied: whether it is image-like, its target
 * chunks, codec and plan. */
#ifndef EMD_REPACK_DATASET_H
#define EMD_REPACK_DATASET_H

#include <hdf5.h>

#include "codec/elementhash.h"
#include "hdf5/chunks.h"
#include "hdf5/losses.h"
#include "repack/move.h"
#include "repack/repack.h"
#include "repack/written.h"

/* A target chunk that was written: its number in the grid, and emd_box_hash of it. */
struct emd_chunk_hash {
    uint64_t index, hash;
};

struct emd_dataset {
    uint64_t address;             /* of the object in the source: its identity */
    bool is_stack;                /* three axes or more */
    bool frames_last;             /* a Velox image stack: (h, w, n) */
    struct emd_chunk_list chunks; /* chunked sources */
    uint64_t data_address;        /* contiguous sources */
    struct emd_pipeline source, target, strips;
    struct emd_chunk_shape shape; /* of the target's chunks */
    struct emd_plan_request request;
    struct emd_plan plan;
    int edc_saving;   /* with 'auto': percent that EDC would save on top, as far as samples tell */
    bool kept;        /* stored as in the source, which is smaller than the codec wanted would be */
    char remark[256]; /* what the user should be told, or "" */
    uint64_t data_bytes;         /* plain bytes that will be moved */
    void *fill;                  /* one element in the file's type, or NULL: zeros */
    struct emd_chunk_hash *hash; /* with request.hash: of the target chunks written so far */
    size_t hashes, hash_capacity;
    struct emd_written written; /* the target chunks so far */
    bool hashed;                /* 'content' is the hash of all its elements */
    uint32_t content[EMD_ELEMENT_LANES];
};

/* Frames of an open dataset of images: of a Velox stack its last axis, of others all axes before
 * the last two; 0 where there are fewer than three axes. */
uint64_t emd_dataset_frames(hid_t id, const char *path);

/* Looks at an open dataset of 'source'. *dataset stays NULL where the tree copy moves its data: not
 * numeric, too small, compact, never written. Otherwise the caller frees it. 'dcpl' (a copy of the
 * source's creation list) describes the target either way. With a codec of HDF5's own (gzip, none),
 * whatever needs a filter plugin gets that codec, however small it is and of whatever type; where a
 * plugin is not installed, *need_plugin is set. 'losses': NULL, or for a salvage the list that
 * chunks are added to which the index cannot tell. */
enum emd_status emd_dataset_decide(struct emd_source *source, hid_t id, const char *path,
                                   const struct emd_repack_options *options, unsigned threads,
                                   size_t budget, hid_t dcpl, struct emd_losses *losses,
                                   struct emd_dataset **dataset, bool *need_plugin,
                                   struct emd_error *err);
void emd_dataset_free(struct emd_dataset *dataset);

/* "blosc:1 byteshuffle": codec and parameters for people. */
void emd_pipeline_describe(const struct emd_pipeline *pipeline, char *text, size_t size);

#endif
