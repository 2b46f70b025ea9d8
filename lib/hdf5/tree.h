/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Copies everything of an HDF5 file into a new one: objects, links, attributes, types, data.
 *
 * What survives, besides values: groups and hard links (an object reached by several paths stays
 * one object; cycles), soft and external links, names and their character sets, creation orders
 * (the order; gaps left by deletions close), attributes of every type, size and number, committed
 * datatypes shared by datasets and attributes (also one that no link reaches any more, as long as
 * something uses it), object and region references (old kind, also inside compound, array and
 * variable-length types) translated to the new file, variable-length data, every type and byte
 * order as it is, dataspaces with their limits, fill values, fill and allocation times, layout
 * classes, filters with their parameters and masks, chunks never written and space never allocated,
 * phase-change settings, object comments, the user block.
 *
 * What does not, being storage or nondeterministic: object time stamps; shared-message tables, file
 * space strategy, B-tree and address sizes of the file; the chunk index kind; the option to leave
 * partial edge chunks unfiltered. Nothing of the source's storage gets into the new file: what
 * objects are created with is made anew (treefresh.c).
 *
 * What is carried over without looking into it, with a remark: chunks of filters that are not
 * installed (as they are stored), virtual datasets and external raw data (names as they are; the
 * data stay in the other files). User-defined links are carried over with their bytes. References
 * to objects that are gone, or that no link leads to, become null, with a remark; undefined ones
 * stay undefined.
 *
 * What is refused by name: new-style references (H5T_STD_REF); link names that no path can say
 * (with a slash, or "."); variable-length data and references behind a filter that is not
 * installed; a fill value that refers to its own dataset, and more than 64 that refer to each
 * other; filters of more than 256 parameters; types nested deeper than 64 levels.
 *
 * A salvage (options->losses) leaves out what cannot be read and lists it instead of failing.
 *
 * Soft and external links are copied, never followed. What a virtual dataset without a fixed extent
 * is made of may be opened by HDF5, which asks it for its extent.
 *
 * Memory: about 64 bytes and its name for each object of the source, the names in one group, the
 * attribute at hand, and options->buffer_bytes for raw data; what a file claims is checked against
 * its size before it is allocated. Depth of nesting costs no stack. The output depends on the
 * source's content alone: two copies are byte-identical.
 *
 * Threads: the HDF5 thread (h5call.h); the callbacks are called on it. */
#ifndef EMD_HDF5_TREE_H
#define EMD_HDF5_TREE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "hdf5/losses.h"
#include "hdf5/source.h"

struct emd_tree_file_options {
    /* false: readable by HDF5 1.8 and where possible older (bounds EARLIEST..V18; a single object
     * that needs more gets it). true: the newest formats of the linked HDF5. */
    bool newest_format;
};

/* Makes an empty HDF5 file of the open file 'fd' (for reading and writing; its content goes), with
 * the user block, the creation properties and the comment-free root group that the source's content
 * asks for; the caller closes *dst. HDF5 writes through 'fd' (fdfile.h). 'fd' -1: a file in memory
 * that is gone when it is closed, without the user block's content: for a rehearsal (rehearse.h).
 * 'options' NULL: defaults. */
enum emd_status emd_tree_create(const struct emd_source *source, int fd,
                                const struct emd_tree_file_options *options, hid_t *dst,
                                struct emd_error *err);

struct emd_tree_options {
    void *ctx; /* for the callbacks */

    /* Called once for each dataset, before it is created. 'dcpl' is the destination's creation
     * list, a copy of the source's without time stamps: the callback may change chunk shape and
     * filters (layout class too). *copies (false at entry) tells whether 'copy' will write the raw
     * data; otherwise the tree writes it. 'path' is one path of the object, "/a/b", valid during
     * the call. No HDF5 object may be left open. Any failure stops the copy and is its result.
     * NULL: change nothing. */
    enum emd_status (*choose)(void *ctx, hid_t src_dataset, const char *path, hid_t dcpl,
                              bool *copies, struct emd_error *err);

    /* Called, after all objects exist, for each dataset that 'choose' answered *copies for, once,
     * in a fixed order. It writes the raw data. */
    enum emd_status (*copy)(void *ctx, hid_t src_dataset, hid_t dst_dataset, const char *path,
                            struct emd_error *err);

    /* Told what the copy cannot hold as the source does, or holds without looking into it, in words
     * for people: references to objects that are gone, chunks of filters that are not installed,
     * data that lie in other files. 'path' as above. May be NULL. */
    void (*remark)(void *ctx, const char *path, const char *text);

    /* The name to store where an external link at 'path' leads to 'file': itself, or another that
     * lives until the next call (a neighbour that is copied under another name). 'path' NULL: asked
     * again, to compare. May be NULL. */
    const char *(*rename_file)(void *ctx, const char *path, const char *file);

    /* Asked between objects and between slices of data; true ends with EMD_E_CANCELLED. May be
     * NULL. */
    bool (*cancelled)(void *ctx);

    /* Bytes for the tree's own copying of raw data, at least 64 KiB; 0: 8 MiB. One stored chunk,
     * one element or one variable-length value that is larger than this is taken whole where it is
     * no larger than 'item_bytes' (0: the size of the source file), else EMD_E_BUDGET. */
    size_t buffer_bytes;
    size_t item_bytes;

    /* An attribute of this name on the root group is left out (NULL: none): room for a new one. */
    const char *omit_root_attribute;

    /* A salvage: what cannot be read is left out of the copy and added here. The smallest unit is
     * what HDF5 reads at once: a stored chunk, an element of other data, an attribute, a link with
     * all that it alone leads to. Elements that are left out read as the fill value. A source
     * opened by emd_source_open_cut. NULL: the first failure ends the copy. */
    struct emd_losses *losses;

    /* Objects that are left out as well, and where the object at hand is noted; may be NULL. */
    struct emd_avoid *avoid;
};

/* Copies all of src_file (open for reading) to dst_file (from emd_tree_create). 'options' NULL:
 * defaults. On failure the destination holds a part only and is to be discarded; what went wrong is
 * named with its path in the source. Filters are those of emd_hdf5_register_filters (filters.h),
 * which this calls, and HDF5's plugins. */
enum emd_status emd_tree_copy(hid_t src_file, hid_t dst_file,
                              const struct emd_tree_options *options, struct emd_error *err);

#endif
