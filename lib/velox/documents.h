/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The JSON documents and the thumbnail inside a Velox file, as text and bytes. */
#ifndef EMD_VELOX_DOCUMENTS_H
#define EMD_VELOX_DOCUMENTS_H

#include <stddef.h>

#include "velox/movie.h"

/* Bytes of one column of the dataset Metadata in this version of the format. */
enum { EMD_VELOX_METADATA_BYTES = 60000 };

/* Fills 'column' with the metadata of a frame, NUL padded. */
void emd_velox_frame_document(const struct emd_movie *movie, size_t frame,
                              char column[EMD_VELOX_METADATA_BYTES]);

/* The 32 hexadecimal digits that name object 'number' of the movie. */
void emd_velox_object_name(const struct emd_movie *movie, unsigned number, char name[33]);

/* A greyscale JPEG of side x side cells, drawn as squares of 8 x 8 pixels: baseline JPEG with
 * nothing but mean values, so that it needs neither a transform nor a library. 'grey' holds the
 * cells row by row. Returns the bytes written, at most EMD_THUMBNAIL_MAX(side). */
#define EMD_THUMBNAIL_MAX(side) (512 + 4 * (size_t)(side) * (side))
size_t emd_velox_thumbnail(const unsigned char *grey, unsigned side, unsigned char *jpeg);

#endif
