/* Output files that appear complete or not at all.
 *
 * The bytes go into a temporary file OUTPUT.tmp in the target folder, which is locked while it is
 * in use; only a commit gives them their final name, after they are on the disk. All durability of
 * emdtools (temporary name, lock, fsync, rename, fsync of the folder) lives here.
 *
 * A temporary file of a dead process is replaced: its lock can be taken. Where the file system has
 * no locks, a small file OUTPUT.owner.tmp says host, process and start time instead.
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

/* The same with other permissions (of which the umask takes its part) than 0666 until
 * emd_safefile_set_attributes: a copy of what is private must not be readable while it grows. */
enum emd_status emd_safefile_create_with_mode(const char *path, mode_t mode,
                                              struct emd_safefile **out, struct emd_error *err);

/* Name and descriptor (open for reading and writing) of the temporary file, and the final name. */
const char *emd_safefile_temp(const struct emd_safefile *file);
int emd_safefile_fd(const struct emd_safefile *file);
const char *emd_safefile_path(const struct emd_safefile *file);

/* Permissions and times of 'like' for the finished file. Call it after the last write. */
enum emd_status emd_safefile_set_attributes(struct emd_safefile *file, const struct stat *like,
                                            struct emd_error *err);

/* Makes the content durable now, and asks the kernel to forget it, so that it is read back from the
 * disk where the file system can do so. */
enum emd_status emd_safefile_sync(struct emd_safefile *file, struct emd_error *err);

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

/* Removes what a dead process left for the output 'path', if anything; true if it removed a file.
 * A temporary file in use stays. */
bool emd_safefile_clean(const char *path);

#endif
