/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Chooses how to compress a dataset, by trying on a few of its chunks. */
#ifndef EMD_CODEC_AUTO_H
#define EMD_CODEC_AUTO_H

#include "codec/pipeline.h"

struct emd_sample {
    const void *data;
    size_t size; /* of a whole chunk */
};

/* Fills *filter with blosc-zstd (readable wherever DIALS, hdf5plugin or PyTables is) and the
 * shuffle, level, block size and splitting that make the samples smallest, where smaller has to be
 * worth its time: the candidates and their handicaps stand at the top of auto.c. Depends on the
 * samples' bytes only, not on the machine's speed. One to three chunks from different places are
 * enough. The time is that of compressing each sample about five times. 'work' may be NULL. Fails
 * only for lack of memory or where set_local of blosc does. */
enum emd_status emd_auto_choose(const struct emd_chunk_shape *shape,
                                const struct emd_sample *samples, size_t count,
                                struct emd_work *work, struct emd_filter *filter,
                                struct emd_error *err);

#endif
