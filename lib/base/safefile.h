/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Output files that appear complete or not at all.
 *
 * The bytes go into a temporary file of a name that nobody else has (OUTPUT.<16 digits>.tmp) in the
 * target folder; only a commit gives them their final name, after they are on the disk: a rename
 * can move only our own file. All durability of emdtools (temporary name, fsync, rename, fsync of
 * the folder) lives here. The folder is opened once, and every name is one in that folder: a folder
 * that is exchanged meanwhile leads nowhere else.
 *
 * One process at a time writes an output: OUTPUT.lock.tmp (lockfile.h) says which, and which
 * temporary file is its own. What a dead process left is removed by the next one. Where a name with
 * such an ending would be too long, its end is replaced by a checksum.
 *
 * Threads: an emd_safefile belongs to one thread at a time. */
#ifndef EMD_BASE_SAFEFILE_H
#define EMD_BASE_SAFEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/status.h"

struct emd_safefile;

/* Creates the temporary file for 'path', empty, and takes its lock. The caller ends it with
 * emd_safefile_commit or emd_safefile_discard. EMD_E_BUSY: another process is writing it. */
enum emd_status emd_safefile_create(const char *path, struct emd_safefile **out,
                                    struct emd_error *err);

/* The same in the open folder 'folder' (AT_FDCWD: that of 'path'), of which 'path' names a file
 * (what stands before its last '/' is for messages only), and with other permissions (of which the
 * umask takes its part) than 0666 until emd_safefile_set_attributes: a copy of what is private must
 * not be readable while it grows. */
enum emd_status emd_safefile_create_at(int folder, const char *path, mode_t mode,
                                       struct emd_safefile **out, struct emd_error *err);

/* The temporary file's name, for messages, its descriptor (open for reading and writing), and the
 * final name. Nobody opens the file by name. */
const char *emd_safefile_temp(const struct emd_safefile *file);
int emd_safefile_fd(const struct emd_safefile *file);
const char *emd_safefile_path(const struct emd_safefile *file);

/* The open folder of the file, valid as long as the file. */
int emd_safefile_folder(const struct emd_safefile *file);

/* To be called now and then by who takes longer than seconds: see emd_lockfile_check. Does
 * something every few seconds only. */
void emd_safefile_refresh(struct emd_safefile *file);

/* Permissions of 'like' for the finished file, and, for root, its owner; and with the times, too.
 * Call it after the last write. File systems that have none of them refuse: the file is good all
 * the same, and *missing (may be NULL) becomes a text that says what could not be set and why, else
 * "". */
void emd_safefile_set_owner(struct emd_safefile *file, const struct stat *like,
                            struct emd_error *missing);
void emd_safefile_set_attributes(struct emd_safefile *file, const struct stat *like,
                                 struct emd_error *missing);

/* Makes the content durable now, and asks the kernel to forget it, so that it is read back from the
 * disk where the file system can do so. */
enum emd_status emd_safefile_sync(struct emd_safefile *file, struct emd_error *err);

/* Asks the system to begin writing the content to the disk, while the caller reads the file; what
 * becomes of it is told by emd_safefile_sync or the commit. Call it after the last write. */
void emd_safefile_sync_begin(struct emd_safefile *file);

/* Makes the content durable and gives all 'count' files their final names, then makes the names
 * durable. Several files are committed all or none. With 'replace' false an existing output is
 * EMD_E_EXISTS and stays. On failure no final name has changed and every temporary file is gone;
 * the one exception is a folder that cannot be synchronised, which the text says. Frees the files
 * either way. */
enum emd_status emd_safefile_commit(struct emd_safefile *const files[], size_t count, bool replace,
                                    struct emd_error *err);

/* Removes the temporary file and frees. NULL is allowed. */
void emd_safefile_discard(struct emd_safefile *file);

/* A process is writing the output 'path' now. Looks only: nothing is made, locked or removed. */
bool emd_safefile_busy(const char *path);

/* Removes what a dead process left of the output 'path', if anything. */
void emd_safefile_clean_output(const char *path);

/* Whether a name is one of those that are given here to files that vanish: *stem is then the length
 * of what stands for the output in it (for most names: the output's name). */
bool emd_safefile_is_temporary(const char *name, size_t *stem);

/* Removes 'name', a temporary name in the open folder, if its process is dead; true if so. What is
 * being written stays. */
bool emd_safefile_clean(int folder, const char *name);

#endif
