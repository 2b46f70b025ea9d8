/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A source file, opened without disturbing whoever writes it, and looked at before HDF5 does.
 *
 * HDF5 itself reports a file that is still growing, empty or cut short as one and the same failure,
 * or not at all; here each has its own status. Nothing is ever written, and no lock is left behind.
 *
 * Threads: opening, closing and 'file' belong to the HDF5 thread (h5call.h); 'fd' may be used with
 * pread by any thread while the source is open. */
#ifndef EMD_HDF5_SOURCE_H
#define EMD_HDF5_SOURCE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/status.h"

/* What tells this state of a file from any other. */
struct emd_source_id {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec mtime;
    struct timespec ctime; /* not compared by emd_source_unchanged: a new hard link changes it */
};

/* Where the addresses that HDF5 tells for chunks are counted from; see chunks.h. */
enum emd_address_base {
    EMD_BASE_UNKNOWN = 0,
    EMD_BASE_FILE,
    EMD_BASE_SUPERBLOCK,
    EMD_BASE_NEITHER
};

struct emd_source {
    hid_t file; /* HDF5 on 'fd', read only (fdfile.h) */
    int fd;     /* read only */
    struct emd_source_id id;
    uint64_t user_block; /* bytes before the superblock: 0, 512, 1024, 2048, ... */
    uint64_t end;        /* end of HDF5's allocations, counted from the start of the file; a closed
                            complete file is this long, some writers leave it longer */
    unsigned superblock; /* version 0 to 3 */
    char *path;
    enum emd_address_base base; /* chunks.h's: settled once a file */
};

/* Opens 'path'; the caller ends it with emd_source_close.
 *   EMD_E_IO          cannot be opened or read, not a regular file
 *   EMD_E_INCOMPLETE  empty, or shorter than its own end-of-allocation
 *   EMD_E_FORMAT      not HDF5
 *   EMD_E_BUSY        write-locked by another process (F_GETLK asks, which takes nothing; flock is
 *                     tried for an instant on local file systems only), or marked in the file as
 *                     open for writing or SWMR (superblock 3)
 *   EMD_E_CORRUPT     the superblock contradicts itself, or HDF5 cannot open it */
enum emd_status emd_source_open(const char *path, struct emd_source **source,
                                struct emd_error *err);

/* The same for a file that the caller has opened for reading (and closes: this takes a duplicate);
 * 'path' is then a name for messages and for emd_source_unchanged. fd -1: opens 'path'. */
enum emd_status emd_source_open_fd(int fd, const char *path, struct emd_source **source,
                                   struct emd_error *err);

/* The same for a salvage: a file that is shorter than it should be is opened, too (unless it ends
 * before its superblock does); HDF5 cannot read then what lies beyond its end. */
enum emd_status emd_source_open_cut(int fd, const char *path, struct emd_source **source,
                                    struct emd_error *err);

/* NULL is allowed. */
void emd_source_close(struct emd_source *source);

/* EMD_OK while device, inode, size and mtime, both of the open file and of what its path names now,
 * are those of the opening; else EMD_E_CHANGED. */
enum emd_status emd_source_unchanged(const struct emd_source *source, struct emd_error *err);

/* What the first bytes of a file say, without HDF5: the checks of emd_source_open up to and
 * including the superblock, on an open descriptor. For watchers. All pointers but 'fd' may be NULL
 * where not wanted. */
struct emd_superblock {
    unsigned version;
    uint64_t user_block;
    uint64_t end;
    bool open_for_writing; /* superblock 3: a writer has it open, or died */
};
enum emd_status emd_superblock_read(int fd, uint64_t file_size, struct emd_superblock *superblock,
                                    struct emd_error *err);

/* EMD_E_BUSY while another process holds a write lock; takes no lock over a network. */
enum emd_status emd_source_ask_lock(int fd, struct emd_error *err);

/* Reads exactly n bytes at 'offset', whatever the kernel returns in pieces. EMD_E_INCOMPLETE where
 * the file ends before. */
enum emd_status emd_source_read(int fd, void *buffer, size_t n, uint64_t offset,
                                struct emd_error *err);

#endif
