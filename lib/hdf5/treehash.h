/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The content hash of a file: of all that it holds, and of nothing of how it is stored.
 * docs/content-hash.md defines it.
 *
 * Time and memory grow with the number of objects: about 60 bytes and its name for each, the names
 * in one group, options->buffer_bytes and what an attribute takes. Depth of nesting costs no stack.
 *
 * Threads: the HDF5 thread (h5call.h); the callbacks are called on it. */
#ifndef EMD_HDF5_TREEHASH_H
#define EMD_HDF5_TREEHASH_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "codec/elementhash.h"

enum { EMD_HASH_BYTES = 16 };

/* The name and version of the definition. */
#define EMD_HASH_NAME "emdtools-content-1"

struct emd_tree_hash_options {
    void *ctx; /* for the callbacks */

    /* Called for each dataset with elements that hold neither variable-length values nor
     * references: *known (false at entry) tells that 'lane' is their hash. 'layout' is what
     * emd_element_hash_new takes, with the fill value. NULL, or not known: they are read by HDF5.
     */
    enum emd_status (*dataset)(void *ctx, uint64_t address, hid_t dataset, hid_t type,
                               const struct emd_element_layout *layout,
                               uint32_t lane[EMD_ELEMENT_LANES], bool *known,
                               struct emd_error *err);

    bool (*cancelled)(void *ctx); /* may be NULL */
    size_t buffer_bytes;          /* 0: 4 MiB */

    /* An attribute of the root group that is left out; NULL: none. */
    const char *omit_root_attribute;

    /* The file that an external link counts as leading to where it leads to 'file'; 'path' is NULL.
     * NULL: the same. */
    const char *(*rename_file)(void *ctx, const char *path, const char *file);
};

/* EMD_E_UNSUPPORTED: there is no such hash of this file, as the text says: filters that are not
 * installed, data in other files, kinds of references not known here. */
enum emd_status emd_tree_hash(hid_t file, const struct emd_tree_hash_options *options,
                              unsigned char hash[EMD_HASH_BYTES], struct emd_error *err);

/* The values of an element of 'type', which holds no variable-length values or references: its
 * runs, upwards, and whether that is all of it. For emd_element_hash_new; the caller frees *run. */
enum emd_status emd_tree_hash_runs(hid_t type, struct emd_byte_run **run, size_t *runs,
                                   struct emd_error *err);

#endif
