/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A mask of DIALS for one panel: the pixels that are not to be used.
 *
 * DIALS keeps masks as Python pickles of a tuple with one flex.bool per panel, true where a pixel
 * is used (dials.generate_mask writes them, lookup.mask of dials.import reads them). The pickle is
 * of protocol 3, which every Python 3 reads. Its state of a flex.bool (cctbx,
 * scitbx/array_family/flex_pickle_single_buffered.h) is the grid and a string: the number of
 * elements to base 256, led by the number of bytes it takes, and one '0' or '1' per element. */
#ifndef EMD_DIALS_MASKFILE_H
#define EMD_DIALS_MASKFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* What is not to be used: left_out[height][width] becomes 1 where the centre of a pixel lies within
 * the polygon (even-odd rule) of at least three corners x, y, in pixels from the corner of the
 * first pixel; elsewhere it stays. Returns how many pixels of the frame are 1 in the end. */
size_t emd_mask_polygon(const double (*corner)[2], size_t corners, size_t height, size_t width,
                        uint8_t *left_out);

/* The bytes of the mask file; the caller frees. NULL: out of memory, or sides of 0 or more than
 * 65535 pixels. */
char *emd_mask_encode(const uint8_t *left_out, size_t height, size_t width, size_t *length);

/* Writes the mask unless the file is that already: an unchanged one keeps its time. 'replace' false
 * and a file that is there: EMD_E_EXISTS. */
enum emd_status emd_mask_write(const char *path, const uint8_t *left_out, size_t height,
                               size_t width, bool replace, struct emd_error *err);

#endif
