/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Writes a movie as Velox does: the same groups, datasets, types, chunks, fill settings and JSON
 * documents as version 8 of its file format (docs/velox.md; h5dump -p -H tells no difference but
 * the sizes). No object carries a time stamp, so that the same movie gives the same bytes. */
#ifndef EMD_VELOX_MOVIEFILE_H
#define EMD_VELOX_MOVIEFILE_H

#include <stdbool.h>

#include "base/pool.h"
#include "base/status.h"
#include "velox/movie.h"

/* Where the pixels come from. 'rows' puts rows first .. last - 1 of a frame (from 0) into 'out',
 * pixels side by side; it is called from any thread, 'work' (work_bytes, aligned) is the thread's.
 */
struct emd_movie_source {
    const void *ctx;
    size_t work_bytes;
    void (*rows)(const void *ctx, size_t frame, size_t first, size_t last, void *out, void *work);
};

/* Called on the calling thread, often; either may be NULL. */
struct emd_movie_observer {
    void *ctx;
    void (*progress)(void *ctx, double fraction);
    bool (*cancelled)(void *ctx);
};

/* Writes an HDF5 file into the open file 'fd' (for reading and writing; its content goes): that of
 * a safe file, to appear whole or not at all. Frames (frame layout) or bands of rows (others) are
 * made in parallel and written in order: memory is bounded by a few of them whatever the number of
 * frames (one row of all frames, where that is more). HDF5 is used by the calling thread only. */
enum emd_status emd_movie_write(int fd, const struct emd_movie *movie,
                                const struct emd_movie_source *source, struct emd_pool *pool,
                                const struct emd_movie_observer *observer, struct emd_error *err);

#endif
