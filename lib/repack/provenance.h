/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Provenance: the attribute "emdrepack" of an output's root group ("emdrepack.provenance" where the
 * source has an "emdrepack" of its users), one JSON object that says which
 * file it was made from (name, folder, size, modification time), with which codec and version. All
 * that emdwatch knows of what is done follows from it; repack.h's emd_output_* ask it. */
#ifndef EMD_REPACK_PROVENANCE_H
#define EMD_REPACK_PROVENANCE_H

#include <hdf5.h>

#include "hdf5/source.h"

#define EMD_PROVENANCE_NAME "emdrepack"
#define EMD_PROVENANCE_OTHER_NAME "emdrepack.provenance" /* where users have an "emdrepack" */

/* For a source: *omit is the name of its own provenance, which is not carried over (NULL: it has
 * none; an attribute "emdrepack" that is not ours is the user's), *name that of the output's. */
void emd_provenance_names(hid_t source, const char **omit, const char **name);

enum emd_status emd_provenance_write(hid_t file, const char *name, const struct emd_source *source,
                                     const char *codec, struct emd_error *err);

#endif
