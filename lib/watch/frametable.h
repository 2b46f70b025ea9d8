/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* NAME.frames.tsv: what a repack saw of each image while its pixels passed through memory, one line
 * an image: number (from 1), tilt, mean, maximum, spot-like pixels (velox/framestats.h). */
#ifndef EMD_WATCH_FRAMETABLE_H
#define EMD_WATCH_FRAMETABLE_H

#include "base/status.h"
#include "repack/repack.h"

/* First line of the file. */
#define EMD_FRAMETABLE_HEADER "image\ttilt_deg\tmean\tmax\tspots\n"

struct emd_frametable;

/* A table of the movie in one file; it fills itself through emd_frametable_inspector and is
 * committed by the repacker together with the output. Of several stacks of images in the file it
 * describes the one with most pixels; no file appears where there is none of a type that
 * framestats.h knows. 'folder' and 'path' are those of emd_safefile_create_at for the table. */
enum emd_status emd_frametable_new(int folder, const char *path, struct emd_frametable **out,
                                   struct emd_error *err);
void emd_frametable_free(struct emd_frametable *table);

/* For emd_repack_options.inspector; belongs to the table. */
const struct emd_repack_inspector *emd_frametable_inspector(struct emd_frametable *table);

/* "dir/NAME.frames.tsv" for "dir/NAME.emd" (a long NAME is shortened); the caller frees. NULL: out
 * of memory. */
char *emd_frametable_path(const char *output);

#endif
