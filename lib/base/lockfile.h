/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A lock on a name in a folder, for as long as a process lives: a small file that says who holds
 * it.
 *
 * Two ways tell whether its holder lives, since neither does everywhere:
 *   - a lock of the kernel on the file (an open file description lock: it belongs to our descriptor
 *     and to its copies in children). It covers one byte far behind the content: on SMB locks are
 *     mandatory, and one on the content would keep ourselves from writing it.
 *   - the record in the file: process number and start time, its PID namespace, boot id and host,
 *     and the file's time, refreshed by emd_lockfile_check. Network shares may grant a lock to
 *     everybody ("nolock", "nobrl", sshfs), and a process of another container or machine cannot
 *     be asked for: its record counts until it has not been refreshed for two minutes, by the clock
 *     of the file's server.
 * On a local file system the kernel's lock decides; a process that is seen alive always does.
 *
 * Threads: a lock belongs to one thread at a time. */
#ifndef EMD_BASE_LOCKFILE_H
#define EMD_BASE_LOCKFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/status.h"

struct emd_lockfile;

/* Takes the lock 'name' in the open folder 'folder' (AT_FDCWD: 'name' is a path); the caller ends
 * it with emd_lockfile_release. 'note', a line or NULL, is kept in the record: what to tidy up
 * after us. EMD_E_BUSY: somebody holds it, and the text says only who ("process 7 on pc");
 * EMD_E_EXISTS: 'name' is something else, which is left as it is. */
enum emd_status emd_lockfile_take(int folder, const char *name, const char *note,
                                  struct emd_lockfile **lock, struct emd_error *err);

/* The note of a holder that died without releasing, "" if there is none. */
const char *emd_lockfile_left(const struct emd_lockfile *lock);

/* The descriptor that holds the kernel's lock: a child that keeps it open keeps the lock. */
int emd_lockfile_fd(const struct emd_lockfile *lock);

/* To be called now and then (it does something every few seconds): refreshes the record, and takes
 * the lock again where its file was deleted. EMD_E_BUSY: it is another's by now; EMD_E_IO: it can
 * neither be read nor made anew (the folder is gone, say). */
enum emd_status emd_lockfile_check(struct emd_lockfile *lock, struct emd_error *err);

/* Removes the file if it is still ours, and frees. NULL is allowed. */
void emd_lockfile_release(struct emd_lockfile *lock);

/* Whether somebody holds the lock. Looks only. */
bool emd_lockfile_held(int folder, const char *name);

/* Its number where that is a process that we can see and signal; else 0. */
pid_t emd_lockfile_holder(int folder, const char *name);

/* The kernel's lock on an open file that nobody else shall take, as described above: true if it is
 * ours now, or cannot be had on this file system. */
bool emd_lock_descriptor(int fd);

/* Sixteen hexadecimal digits that nobody else has. */
void emd_unique_id(char id[static 17]);

#endif
