/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Is a movie complete? What can be told from the file itself, cheapest evidence first; that it does
 * not change any more is for the watcher to see. */
#ifndef EMD_WATCH_COMPLETE_H
#define EMD_WATCH_COMPLETE_H

#include <stdbool.h>

#include "base/status.h"

enum emd_completeness {
    EMD_COMPLETE,
    EMD_COMPLETE_ODD, /* all there, but not as an instrument writes it: frames of zeros only, other
                         counts of metadata than of frames, bytes behind the end. May be what a
                         writer left that had the file's size beforehand */
    EMD_COMPLETE_EMPTY, /* a movie without frames */
    EMD_COMPLETE_NOT,   /* cut short, or still being written */
    EMD_COMPLETE_BUSY,  /* locked, or may not be opened */
    EMD_COMPLETE_DAMAGED,
    EMD_COMPLETE_UNREADABLE /* reading failed */
};

/* 'fd' is the movie, open for reading, 'path' its name for messages; fd -1: opens 'path'. The text
 * of *err says why, unless the answer is EMD_COMPLETE. Reads little: the superblock, the objects,
 * where each chunk lies, the begin of each frame's metadata and samples of its pixels. In a process
 * of its own (hdf5/guard.h): a file that HDF5 crashes on is damaged. */
enum emd_completeness emd_complete_look(int fd, const char *path, struct emd_error *err);

#endif
