/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Files compressed by gzip, as DIALS writes reflection tables with DIALS_USE_GZIP_REFL.
 *
 * zlib, not libdeflate: it streams. A table of gigabytes never stands in memory, and input that
 * inflates to a thousand times its size stops at the limit. */
#ifndef EMD_DIALS_GZIPFILE_H
#define EMD_DIALS_GZIPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* True if these first bytes of a file are gzip's. */
bool emd_is_gzip(const unsigned char *data, size_t n);

/* Inflates the whole file 'from' (one or more members, zeros behind them) into 'to' from its
 * beginning. 'accept' is shown the first bytes (as many as there are, at most 4096) before anything
 * is written and can refuse them by an error; NULL: all is taken. EMD_E_CORRUPT: not gzip, cut
 * short, or a checksum is wrong. EMD_E_UNSUPPORTED: more than 'most' bytes. Both files are read and
 * written at offsets; their positions do not matter. */
enum emd_status emd_gunzip(int from, int to, uint64_t most,
                           enum emd_status (*accept)(const unsigned char *data, size_t n,
                                                     struct emd_error *err),
                           struct emd_error *err);

/* Deflates the whole file 'from' into 'to' from its beginning, as one gzip member without name and
 * time: the same input always gives the same bytes. 'cancelled' is asked between reads; may be
 * NULL. */
enum emd_status emd_gzip(int from, int to, bool (*cancelled)(void *ctx), void *ctx,
                         struct emd_error *err);

#endif
