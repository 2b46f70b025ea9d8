/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A row of codecs as an HDF5 dataset applies them: shuffle then deflate, or blosc alone. */
#ifndef EMD_CODEC_PIPELINE_H
#define EMD_CODEC_PIPELINE_H

#include "codec/codec.h"

enum { EMD_PIPELINE_MAX = 8 };

struct emd_filter {
    const struct emd_codec *codec;
    bool optional; /* a chunk that it would make larger is stored without it */
    unsigned tune; /* enum emd_tune; not stored */
    size_t cd_count;
    unsigned cd[EMD_CD_MAX];
};

/* filter[0] is the first one when writing. count 0: plain chunks. */
struct emd_pipeline {
    size_t count;
    struct emd_filter filter[EMD_PIPELINE_MAX];
};

/* Whether datasets with these pipelines are stored alike: same filters, cd_values and options. */
bool emd_pipeline_equal(const struct emd_pipeline *a, const struct emd_pipeline *b);

/* Largest result of encode for a chunk of n bytes; 0 if that does not fit size_t. */
size_t emd_pipeline_bound(const struct emd_pipeline *pipeline, size_t n);

/* What encode, decode and their emd_work allocate inside for a chunk of n bytes. */
size_t emd_pipeline_work_bytes(const struct emd_pipeline *pipeline, size_t n);

/* Encodes the n bytes of a whole chunk (src stays as it is). *mask is HDF5's filter mask: bit i set
 * where filter i was left out because it is optional and made the data larger, or cannot treat such
 * data; an optional shuffle in front of a compressor that was left out is left out too.
 * capacity >= bound(n) never fails for room. 'work' may be NULL. */
enum emd_status emd_pipeline_encode(const struct emd_pipeline *pipeline, struct emd_work *work,
                                    const void *src, size_t n, void *dst, size_t capacity,
                                    size_t *out, uint32_t *mask, struct emd_error *err);

/* Decodes a stored chunk of n bytes to exactly chunk_bytes bytes; any other size is
 * EMD_E_CORRUPT. Bits of 'mask' beyond the last filter mean nothing, as in HDF5. */
enum emd_status emd_pipeline_decode(const struct emd_pipeline *pipeline, uint32_t mask,
                                    struct emd_work *work, const void *src, size_t n, void *dst,
                                    size_t chunk_bytes, struct emd_error *err);

/* Whether such a chunk decodes to the chunk_bytes bytes at 'expected', checksums included;
 * EMD_E_VERIFY where it decodes to anything else. 'room': emd_pipeline_check_bytes for decoded
 * data, NULL where that is 0. */
enum emd_status emd_pipeline_check(const struct emd_pipeline *pipeline, uint32_t mask,
                                   struct emd_work *work, const void *src, size_t n,
                                   const void *expected, size_t chunk_bytes, void *room,
                                   struct emd_error *err);
size_t emd_pipeline_check_bytes(const struct emd_pipeline *pipeline, size_t chunk_bytes);

#endif
