/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Whole small files (logs, JSON) in a buffer that is kept from file to file.
 *
 * read(), not mmap(): a log can shrink while DIALS rewrites it, and a mapping would turn that into
 * SIGBUS. */
#ifndef EMD_DIALS_TEXTFILE_H
#define EMD_DIALS_TEXTFILE_H

#include <stddef.h>

#include "base/status.h"

/* Starts as {0}; belongs to one thread. 'text' is NUL terminated behind 'length' bytes, and may
 * hold NULs. */
struct emd_textfile {
    char *text;
    size_t length, capacity;
};

/* Reads the file 'name' below the open folder 'dirfd' (or AT_FDCWD). EMD_E_EMPTY: there is no such
 * file; EMD_E_UNSUPPORTED: no regular file, or larger than 1 GiB. */
enum emd_status emd_textfile_read(struct emd_textfile *file, int dirfd, const char *name,
                                  struct emd_error *err);

void emd_textfile_free(struct emd_textfile *file);

#endif
