/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A fast writer of zlib streams (RFC 1950, RFC 1951) for shuffled camera frames. */
#ifndef EMD_CODEC_ZLIBWRITER_H
#define EMD_CODEC_ZLIBWRITER_H

#include <stddef.h>

/* Bytes of working memory that emd_zlib_write needs, for any n. */
size_t emd_zlib_state_bytes(void);

/* Largest result for n bytes; 0 if that does not fit size_t. */
size_t emd_zlib_bound(size_t n);

/* Writes the n bytes of src as one zlib stream and returns its length, or 0 if capacity is too
 * small (never if it is at least the bound). 'state' is of any content, 8-byte aligned. The bytes
 * depend on src and n only. */
size_t emd_zlib_write(void *state, const void *src, size_t n, void *dst, size_t capacity);

#endif
