/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Whether two HDF5 files hold the same: the check behind a copy of a tree (tree.h).
 *
 * Compared: groups and links by name (hard links to one object stay links to one object; soft,
 * external and user-defined links by their values, never followed), attributes, types (committed
 * ones as objects), extents and their limits, fill values, comments, orders of creation where they
 * are tracked, and all values; references by the objects and regions that they lead to (one that
 * leads to nothing is the same as a null one), strings and sequences by content, bytes between the
 * members of a compound only where stored chunks are compared as they are. Data that lie in other
 * files (virtual datasets, external raw data) are compared by where they lie, if both files say the
 * same; else they are read. Storage (layout, chunks, filters, addresses) may differ.
 *
 * The two files go through the same calls of HDF5 here, and a fault of HDF5 itself in a call can
 * hide in both. So these are other calls, or the same on other amounts, than the copy makes: names
 * are listed rather than looked up, stored chunks are compared undecoded, and elements that HDF5
 * converts wrongly in groups are read one by one.
 *
 * Time and memory grow with the number of objects: about 40 bytes and its name for each, the names
 * in one group, and twice options->buffer_bytes or the largest stored chunk. Depth of nesting costs
 * no stack.
 *
 * Threads: the HDF5 thread (h5call.h); the callbacks are called on it. */
#ifndef EMD_HDF5_COMPARE_H
#define EMD_HDF5_COMPARE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hdf5/losses.h"

/* Two open datasets that were found to be of one type and extent. */
struct emd_compare_pair {
    uint64_t address; /* of dataset 'a' in its file */
    hid_t a, b;
    bool translated; /* holds variable-length values or references */
};

struct emd_compare_options {
    void *ctx; /* for the callbacks */

    /* Called once for each pair of datasets. *compared (false at entry) tells whether their values
     * have been compared here; a text in 'difference' ("" at entry) is a difference to report.
     * NULL: compare all values. */
    enum emd_status (*dataset)(void *ctx, const struct emd_compare_pair *pair, bool *compared,
                               char *difference, size_t size, struct emd_error *err);

    /* Called for each difference; after 'most' of them (0: no limit) the comparison ends. NULL: it
     * ends with the first one. */
    void (*differs)(void *ctx, const char *path, const char *what);
    void *differs_ctx; /* its own */
    uint64_t most;

    bool (*cancelled)(void *ctx); /* may be NULL */
    size_t buffer_bytes;          /* for the values of one file; 0: 4 MiB */

    /* An attribute of the root group that is left out of each file; NULL: none. */
    const char *omit_root_attribute[2];

    /* As in tree.h: the file that an external link of 'b' shall lead to where that of 'a' leads to
     * 'file'; 'path' is NULL. NULL: the same. */
    const char *(*rename_file)(void *ctx, const char *path, const char *file);

    /* 'b' is a salvaged copy of 'a' that lacks these (settled): they are not compared. NULL: none.
     */
    const struct emd_losses *losses;
};

/* EMD_E_VERIFY: they differ; the text names the object and says how, in the case of the last
 * difference that was reported. Any other failure: they could not be compared. */
enum emd_status emd_tree_compare(hid_t a, hid_t b, const struct emd_compare_options *options,
                                 struct emd_error *err);

#endif
