/* Whether two HDF5 files hold the same: the check behind a copy of a tree (tree.h).
 *
 * Compared: groups and links by name (hard links to one object stay links to one object; soft and
 * external links by their targets, never followed), attributes, types, extents and their limits,
 * and all values; references by the objects and regions that they lead to, strings and sequences
 * by content, bytes between the members of a compound not at all. Storage (layout, chunks, filters,
 * addresses) may differ.
 *
 * Memory: about 150 bytes and its name for each object, and twice options->buffer_bytes.
 *
 * Threads: the HDF5 thread (h5call.h); the callbacks are called on it. */
#ifndef EMD_HDF5_COMPARE_H
#define EMD_HDF5_COMPARE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct emd_compare_options {
    void *ctx; /* for the callbacks */

    /* Called for each dataset, once, with both open and found to be of one type and extent.
     * 'address' is that of dataset 'a'. *compared (false at entry) tells whether its values have
     * been compared here. NULL: compare all values. */
    enum emd_status (*dataset)(void *ctx, uint64_t address, hid_t a, hid_t b, bool *compared,
                               struct emd_error *err);

    bool (*cancelled)(void *ctx);    /* may be NULL */
    size_t buffer_bytes;             /* for the values of one file; 0: 4 MiB */
    const char *omit_root_attribute; /* left out on either side; may be NULL */
};

/* EMD_E_VERIFY: they differ; the text names the object and says how. Any other failure: they could
 * not be compared. */
enum emd_status emd_tree_compare(hid_t a, hid_t b, const struct emd_compare_options *options,
                                 struct emd_error *err);

#endif
