/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Where Velox keeps what in its files (docs/velox.md): the one answer to "is this a movie?", for
 * the repacker, the watcher and the readers alike.
 *
 *   /Data/Image/ID/Data       the images: height x width x frames
 *   /Data/Image/ID/Metadata   a JSON document per frame, in a column of bytes
 *
 * ID is one name (32 hexadecimal digits as the instrument writes them; any name is taken). */
#ifndef EMD_VELOX_LAYOUT_H
#define EMD_VELOX_LAYOUT_H

#include <stdbool.h>

#define EMD_VELOX_IMAGES "/Data/Image"

/* Paths from the root, with or without the '/' in front. */
bool emd_velox_is_images(const char *path);
bool emd_velox_is_metadata(const char *path);

#endif
