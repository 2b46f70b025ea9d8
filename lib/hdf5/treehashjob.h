/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The inside of a content hash, shared by treehashtype.c (bytes that stand for types, spaces and
 * values), treehashdata.c (elements of datasets) and treehash.c (the walk). Private to lib/hdf5.
 *
 * A file is walked as if it were compared with itself: the tables of comparejob.h, first side. */
#ifndef EMD_HDF5_TREEHASHJOB_H
#define EMD_HDF5_TREEHASHJOB_H

#include "hdf5/comparejob.h"
#include "hdf5/treehash.h"

/* Bytes that grow; 'failed' once there was no memory. */
struct emd_bytes {
    unsigned char *data;
    size_t used, size;
    bool failed;
};

struct emd_hashing {
    struct emd_comparison table;
    const struct emd_tree_hash_options *options;
    unsigned char (*digest)[EMD_HASH_BYTES]; /* by row */
    size_t digests;
    struct emd_bytes record, value;
    void *buffer; /* for elements as they lie in memory */
    size_t buffer_size;
    size_t buffer_bytes; /* wanted */
    struct emd_arena arena;
};

/* ---- treehashtype.c ---- */

void emd_bytes_add(struct emd_bytes *bytes, const void *data, size_t n);
void emd_bytes_add_number(struct emd_bytes *bytes, uint64_t number); /* 8 bytes, little-endian */
void emd_bytes_add_string(struct emd_bytes *bytes, const void *data, size_t n);
void emd_bytes_digest(const struct emd_bytes *bytes, unsigned char digest[EMD_HASH_BYTES]);

enum emd_status emd_hash_type(struct emd_bytes *bytes, hid_t type, struct emd_error *err);
enum emd_status emd_hash_space(struct emd_bytes *bytes, hid_t space, struct emd_error *err);

/* One element of these parts, as it lies in memory. */
enum emd_status emd_hash_value(struct emd_hashing *h, struct emd_bytes *bytes,
                               const struct emd_part *part, const unsigned char *item,
                               struct emd_error *err);

/* ---- treehashdata.c ---- */

/* Appends fill value and data of a dataset. */
enum emd_status emd_hash_data(struct emd_hashing *h, uint32_t row, hid_t dataset, hid_t type,
                              hid_t space, const struct emd_parts *parts, struct emd_error *err);

#endif
