/* Is a file safe to give to HDF5? A process of its own finds out.
 *
 * HDF5 1.10 trusts parts of a file that have no checksum: of 3600 random damages to small files, 18
 * made it crash, overrun its buffers or spin for ever, in its tables of links (avoided since) and
 * in the heaps of variable-length data. No check from outside covers all of its formats, so a
 * file's structure is first copied once, into memory, by a child process that may die of it: what a
 * real copy will ask of HDF5 except the raw data of plain datasets, which is our own codecs' work.
 */
#ifndef EMD_HDF5_REHEARSE_H
#define EMD_HDF5_REHEARSE_H

#include <stdbool.h>

#include "base/status.h"

struct emd_rehearse_options {
    unsigned seconds; /* before the child is taken for hanging; 0: 60 */
    bool (*cancelled)(void *ctx);
    void *ctx;
};

/* Opens 'path', copies its structure and small data into memory and forgets them, in a child
 * process (fork; no other thread may be inside HDF5 at the moment of the call). The failures are
 * those of emd_source_open and emd_tree_copy, and EMD_E_CORRUPT where HDF5 crashed or hung. Takes
 * about as long as copying the same structure: milliseconds for a movie. The child dies with its
 * parent, dumps no core, and neither runs exit handlers nor touches files that the parent has open.
 * 'options' NULL: defaults. */
enum emd_status emd_tree_rehearse(const char *path, const struct emd_rehearse_options *options,
                                  struct emd_error *err);

#endif
