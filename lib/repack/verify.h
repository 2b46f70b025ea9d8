/* Reads a finished file back, through HDF5 and its filters as any reader would, and compares it
 * with its source.
 *
 * What the engine moved is held against hashes that were taken from the source's data on their way
 * (so that the source is read once); everything else is read from both files. Holds for all that
 * emd_tree_compare compares. A layout change is hashed after its transposition, so that what is
 * shown is that the file gives back what the encoder was given; that the transposition is right is
 * what its tests are for. */
#ifndef EMD_REPACK_VERIFY_H
#define EMD_REPACK_VERIFY_H

#include <hdf5.h>

#include "repack/dataset.h"

struct emd_verification {
    hid_t source;
    int fd;                             /* the finished file, which HDF5 has closed */
    struct emd_dataset *const *dataset; /* those that the engine moved, with hashes */
    size_t count;
    const char *omit_root_attribute;
    void *ctx;
    bool (*cancelled)(void *ctx);
};

/* EMD_E_VERIFY: the file does not hold what the source does. */
enum emd_status emd_verify_file(const struct emd_verification *verification, struct emd_error *err);

#endif
