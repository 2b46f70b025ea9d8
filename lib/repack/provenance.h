/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Provenance: the attribute "emdrepack" of an output's root group ("emdrepack.provenance" where the
 * source has an "emdrepack" of its users), one JSON object that says which
 * file it was made from (name, folder, size, modification time), with which codec and version. All
 * that emdwatch knows of what is done follows from it; repack.h's emd_output_* ask it. */
#ifndef EMD_REPACK_PROVENANCE_H
#define EMD_REPACK_PROVENANCE_H

#include <hdf5.h>

#include "hdf5/losses.h"
#include "hdf5/source.h"
#include "repack/repack.h"

struct json_object;

#define EMD_PROVENANCE_NAME "emdrepack"
#define EMD_PROVENANCE_OTHER_NAME "emdrepack.provenance" /* where users have an "emdrepack" */

/* For a source: *omit is the name of its own provenance, which is not carried over (NULL: it has
 * none; an attribute "emdrepack" that is not ours is the user's), *name that of the output's. */
void emd_provenance_names(hid_t source, const char **omit, const char **name);

/* 'hash' is the content hash, "" where there is none for the reason 'absent'. 'losses': what a
 * salvage left out (NULL: nothing); its first ones are listed under "salvage". What the source,
 * being salvaged itself, says there is carried over. */
enum emd_status emd_provenance_write(hid_t file, const char *name, const struct emd_source *source,
                                     const char *codec, const char *hash, const char *absent,
                                     const struct emd_losses *losses, struct emd_error *err);

/* One loss, as in the provenance and in --json: what (link, links,
 * attribute, attributes, comment, chunk, elements, data), object, link or attribute, offset and
 * shape, frame, why. NULL: out of memory. */
struct json_object *emd_loss_json(const struct emd_loss *loss);

/* The recorded content hash of a file, or why it has none. */
void emd_provenance_read_hash(hid_t file, struct emd_content_hash *content);

#endif
