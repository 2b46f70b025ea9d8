/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* EDC: lossless compression of electron-diffraction frames (docs/edc-format.md).
 *
 * For images of 8-, 16- and 32-bit integers: two-phase linear prediction and 64-way interleaved
 * rANS, all of it in SIMD; anything else is byte-shuffled and given to zstd. The stream holds a
 * checksum of the pixels: damage is an error, never data. The same input gives the same bytes on
 * every machine, with every SIMD level and any number of threads.
 *
 * All functions are re-entrant and safe for any bytes; see codec/codec.h for the shared contract.
 */
#ifndef EMD_CODEC_EDC_EDC_H
#define EMD_CODEC_EDC_EDC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum emd_edc_effort {
    EMD_EDC_FAST = 1, /* contexts by tile only */
    EMD_EDC_DEFAULT =
        2,           /* local contexts where they save more than 1 % (1.25 of a million pixels) */
    EMD_EDC_BEST = 3 /* local contexts where they save anything; zstd is always tried, too */
};

/* One chunk: 'planes' images of width x height. */
struct emd_edc_params {
    unsigned item_size; /* bytes of an element */
    bool is_integer;    /* false: shuffle and zstd */
    bool is_signed;
    bool big_endian;
    bool interleaved; /* all planes of a pixel lie together: (height, width, planes) */
    uint32_t width, height, planes;
    enum emd_edc_effort effort;
};

/* Scratch memory that a thread keeps from chunk to chunk; NULL is allowed everywhere. */
struct emd_edc_work;
struct emd_edc_work *emd_edc_work_new(void);
void emd_edc_work_free(struct emd_edc_work *work);

/* Largest result of encode for n bytes: n + n / 1000 + 64 at most. 0: does not fit size_t. */
size_t emd_edc_bound(size_t n);

/* Encodes n bytes; where n is not what the parameters say they are coded without a model. *out <=
 * emd_edc_bound(n); a smaller capacity that does not suffice is EMD_E_BUDGET. */
enum emd_status emd_edc_encode(const struct emd_edc_params *params, struct emd_edc_work *work,
                               const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                               struct emd_error *err);

/* Decoded size, from the header; more than 'limit' is EMD_E_CORRUPT. */
enum emd_status emd_edc_decoded_size(const void *src, size_t n, size_t limit, size_t *out,
                                     struct emd_error *err);

/* Decodes to exactly *out <= capacity bytes. The stream says all that is needed; 'threads' strips
 * are decoded at a time. */
enum emd_status emd_edc_decode(unsigned threads, struct emd_edc_work *work, const void *src,
                               size_t n, void *dst, size_t capacity, size_t *out,
                               struct emd_error *err);

/* Decodes as emd_edc_decode does, checksums included, and compares row by row with the 'size' bytes
 * at 'expected' instead of storing: EMD_E_VERIFY where it decodes to anything else. */
enum emd_status emd_edc_check(unsigned threads, struct emd_edc_work *work, const void *src,
                              size_t n, const void *expected, size_t size, struct emd_error *err);

/* Bytes that encode, decode or check allocate for chunks of n bytes. */
size_t emd_edc_work_bytes(const struct emd_edc_params *params, size_t n, unsigned threads);

#endif
