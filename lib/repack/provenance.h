/* Provenance: the attribute "emdrepack" of an output's root group, one JSON object that says which
 * file it was made from (name, folder, size, modification time), with which codec and version. All
 * that emdwatch knows of what is done follows from it; repack.h's emd_output_* ask it. */
#ifndef EMD_REPACK_PROVENANCE_H
#define EMD_REPACK_PROVENANCE_H

#include <hdf5.h>

#include "hdf5/source.h"

#define EMD_PROVENANCE_NAME "emdrepack"

enum emd_status emd_provenance_write(hid_t file, const struct emd_source *source, const char *codec,
                                     struct emd_error *err);

#endif
