/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Reads Velox's JSON documents: datasets of one string, nearly always of variable length.
 *
 * HDF5 (seen with 1.10.8) believes what a damaged global heap says about the length of a string and
 * reads behind its memory. Whether a file is a Velox file at all is the first thing that is asked
 * of a file that may be half written: so the string is taken from the heap here, with every length
 * checked. Source of the format: HDF5 File Format Specification 3.0, III.E and IV.A.2.d (global
 * heap, variable-length elements).
 *
 * Threads: the HDF5 thread (hdf5/h5call.h). */
#ifndef EMD_VELOX_READTEXT_H
#define EMD_VELOX_READTEXT_H

#include <stddef.h>

#include "base/status.h"
#include "hdf5/source.h"

/* The string of the dataset 'path', NUL terminated, which the caller frees; *n without the NUL.
 * EMD_E_EMPTY: there is no such dataset, or nothing was written. EMD_E_UNSUPPORTED: not one string,
 * or stored as Velox never does (filters, addresses that are not 8 bytes). EMD_E_CORRUPT: damaged.
 */
enum emd_status emd_read_text(const struct emd_source *source, const char *path, char **text,
                              size_t *n, struct emd_error *err);

#endif
