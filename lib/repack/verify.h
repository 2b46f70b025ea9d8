/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Opens a finished file anew, as any reader would, and compares it with its source.
 *
 * Everything but the bulk of the data is read from both files: objects, links, types, extents,
 * attributes, filters, and all values that the engine did not move (hdf5/compare.h). Of what it
 * moved, each chunk was decoded and compared before it was written; here the finished file must
 * list these chunks with the sizes and filter masks that were written, inside the file. With 'all'
 * they are also read back, through HDF5 and its filters, and held against hashes that were taken
 * from the source's data on their way (so that the source is read once). A layout change is hashed
 * after its transposition, so that what is shown is that the file gives back what the encoder was
 * given; that the transposition is right is what its tests are for.
 *
 * In a child process (hdf5/guard.h): a file on which HDF5 crashes is no output. */
#ifndef EMD_REPACK_VERIFY_H
#define EMD_REPACK_VERIFY_H

#include <hdf5.h>

#include "hdf5/source.h"
#include "repack/dataset.h"

struct emd_verification {
    const struct emd_source *source;
    int fd;                             /* the finished file, which HDF5 has closed */
    struct emd_dataset *const *dataset; /* those that the engine moved; with 'all' with hashes */
    size_t count;
    const uint64_t *changed; /* source addresses, ascending, of other datasets whose filters or
                                chunks are not the source's */
    size_t changed_count;
    bool all;
    const char *omit_root_attribute[2]; /* of the source, of the finished file; may be NULL */
    void *ctx;
    const char *(*rename_file)(void *ctx, const char *path, const char *file); /* as in tree.h */
    const struct emd_losses *losses; /* of a salvage, settled; NULL: none */
    bool (*cancelled)(void *ctx);
};

/* EMD_E_VERIFY: the file does not hold what the source does, or cannot be read. */
enum emd_status emd_verify_file(const struct emd_verification *verification, struct emd_error *err);

#endif
