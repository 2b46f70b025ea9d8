/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Whole reads and writes at an offset: what is short is an error, what is interrupted goes on. */
#ifndef EMD_BASE_FILE_H
#define EMD_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What one read gives: bytes, 0 at the end of the file, or -1 with errno. */
ssize_t emd_pread_some(int fd, void *data, size_t n, uint64_t offset);

/* 0, or -1 with errno; a file that ends before n bytes are read is ENODATA. */
int emd_pread_all(int fd, void *data, size_t n, uint64_t offset);
int emd_pwrite_all(int fd, const void *data, size_t n, uint64_t offset);

/* Notes that 'bytes' more were written to fd and, every few MiB, starts the disk on what it has not
 * got yet, without waiting for it: the fsync at the end finds little left to do. '*pending' belongs
 * to the file and begins as 0.
 *
 * Tried: a thread of its own for this, or RWF_DONTCACHE, are no faster. Writing past the page cache
 * (O_DIRECT into reserved blocks, some at a time) saves a copy and up to a third of the time, but
 * whoever reads the file next then waits for the disk, and most files here are written by HDF5. */
void emd_write_behind(int fd, uint64_t *pending, uint64_t bytes);

/* A temporary file without a name in 'folder', open for reading and writing: it is gone when it is
 * closed, whatever happens. -1 with errno. */
int emd_open_unnamed(const char *folder);

/* Opens a file that must be a regular one: a pipe or device in its place neither blocks nor feeds
 * us. 'folder' and 'path' as for openat. -1 with errno; EINVAL: it is not a regular file. */
int emd_open_regular(int folder, const char *path, int flags);

/* Opens 'path' below the open folder 'root' without following any symbolic link, also of its
 * folders, and without leaving 'root'. -1 with errno; ELOOP: there is a link. */
int emd_open_beneath(int root, const char *path, int flags);

/* mkdir -p of the folder of 'path', below the open folder 'root' and without following links, and
 * opens it. -1 with errno. */
int emd_make_folder_beneath(int root, const char *path);

/* 'name', or, where it has no place for 'room' bytes more in a file name (NAME_MAX), its beginning
 * and a checksum of all of it. The caller frees; NULL: out of memory. */
char *emd_name_with_room(const char *name, size_t room);

/* The text of a regular file of at most 'most' bytes, NUL-terminated; the caller frees. NULL with
 * errno. */
char *emd_read_text_file(int folder, const char *path, size_t most, size_t *n);

/* Whether 'name' in 'folder' is the open file 'fd'. Inode numbers that some shares invent anew at
 * each look are made up for by type, size and times. */
bool emd_is_same_file(int folder, const char *name, int fd);

/* Whether an open file or folder lies on a disk of this very machine, whose kernel sees every
 * change and whose locks reach nobody else. What is not known to be so (CIFS, NFS, FUSE, ...) is
 * not. */
bool emd_is_local(int fd);

#endif
