/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Byte and bit shuffles: the bytes of all items regrouped by their place within the item, so that
 * what changes slowly from item to item lies together.
 *
 * Shuffle: plane p (of item_size planes) holds byte p of every item. Bit shuffle: plane p is again
 * eight planes, one for each bit, least significant first; bit i % 8 of byte i / 8 of such a plane
 * belongs to item i. These are HDF5's, Blosc's and bitshuffle's layouts.
 *
 * All functions are total: any item_size >= 1 and any n. Buffers do not overlap and need no
 * alignment. The results are the same on every machine. */
#ifndef EMD_CODEC_TRANSPOSE8_H
#define EMD_CODEC_TRANSPOSE8_H

#include <stddef.h>

#include "base/cpu.h"

/* n bytes; what remains after the last whole item is copied. */
void emd_shuffle(size_t item_size, const void *src, void *dst, size_t n);
void emd_unshuffle(size_t item_size, const void *src, void *dst, size_t n);

/* The same with the given instructions, for the tests. The machine must have them. */
void emd_shuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst, size_t n);
void emd_unshuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst, size_t n);

/* Exactly 'items' items; items % 8 must be 0. */
void emd_bitshuffle(size_t item_size, const void *src, void *dst, size_t items);
void emd_bitunshuffle(size_t item_size, const void *src, void *dst, size_t items);
void emd_bitshuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst,
                         size_t items);
void emd_bitunshuffle_with(enum emd_simd simd, size_t item_size, const void *src, void *dst,
                           size_t items);

#endif
