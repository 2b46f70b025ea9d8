/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The elements of datasets for the content hash (hdf5/treehash.h), read by our own decoders: in
 * parallel where there are many. */
#ifndef EMD_REPACK_CONTENTHASH_H
#define EMD_REPACK_CONTENTHASH_H

#include <hdf5.h>

#include "hdf5/source.h"
#include "hdf5/treehash.h"
#include "repack/repack.h"

struct emd_content_reader {
    const struct emd_repack_options *options;
    struct emd_pool *pool;
    struct emd_source *source;
    void *ctx; /* of the callbacks, which may be NULL */
    bool (*cancelled)(void *ctx);
    void (*progress)(void *ctx, uint64_t bytes);
};

/* The hash of a dataset's elements, as emd_tree_hash_options asks for it. */
enum emd_status emd_content_dataset(const struct emd_content_reader *reader, hid_t dataset,
                                    const struct emd_element_layout *layout,
                                    uint32_t lane[EMD_ELEMENT_LANES], bool *known,
                                    struct emd_error *err);

/* 32 hexadecimal digits. */
void emd_content_text(const unsigned char hash[EMD_HASH_BYTES], char text[EMD_CONTENT_HASH_TEXT]);

#endif
