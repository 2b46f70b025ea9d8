/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See safefile.h. */
#include "base/safefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lockfile.h"

static const char lock_end[] = ".lock.tmp", old_end[] = ".old.tmp", temp_end[] = ".tmp";

enum {
    ID = 16,                  /* digits of a unique name */
    LONGEST_END = 1 + ID + 4, /* ".0123456789abcdef.tmp" */
    REFRESH = 5               /* seconds between looks at the lock */
};

struct emd_safefile {
    int folder, fd;
    char *path;       /* final name, as the caller gave it */
    const char *name; /* its last part */
    char *stem;       /* of the temporary names */
    char *temp;       /* name in the folder */
    char *shown;      /* and with it, for messages */
    char *old;        /* while committed: where the output that is replaced is kept, or NULL */
    struct emd_lockfile *lock;
    time_t refreshed;
};

static char *concatenate(const char *a, const char *b)
{
    size_t n = strlen(a) + strlen(b) + 1;
    char *s = malloc(n);
    if (s)
        snprintf(s, n, "%s%s", a, b);
    return s;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static char *make_stem(const char *name)
{
    return emd_name_with_room(name, LONGEST_END);
}

static int open_folder_of(const char *path)
{
    const size_t n = (size_t)(last_part(path) - path);
    char *folder = n ? strndup(path, n) : strdup(".");
    /* O_PATH does for a folder that may not be read; its fsync is then left out */
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 && folder && errno == EACCES)
        fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int cause = folder ? errno : ENOMEM;
    free(folder);
    errno = cause;
    return fd;
}

static enum emd_status sync_content(struct emd_safefile *file, struct emd_error *err)
{
    return fsync(file->fd) == 0
               ? EMD_OK
               : emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s to the disk", file->shown);
}

static void release(struct emd_safefile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->old)
        unlinkat(file->folder, file->old, 0);
    emd_lockfile_release(file->lock);
    if (file->folder >= 0)
        close(file->folder);
    free(file->old);
    free(file->shown);
    free(file->temp);
    free(file->stem);
    free(file->path);
    free(file);
}

enum emd_status emd_safefile_create(const char *path, struct emd_safefile **out,
                                    struct emd_error *err)
{
    return emd_safefile_create_at(AT_FDCWD, path, 0666, out, err);
}

/* What the last writer of this output left, if it died. Its note is only believed where it names a
 * file that this output's writers make. */
static void remove_left(int folder, const char *stem, const struct emd_lockfile *lock)
{
    const char *left = emd_lockfile_left(lock);
    size_t n;
    if (emd_safefile_is_temporary(left, &n) && n == strlen(stem) && strncmp(left, stem, n) == 0)
        unlinkat(folder, left, 0);
}

enum emd_status emd_safefile_create_at(int folder, const char *path, mode_t mode,
                                       struct emd_safefile **out, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_safefile *file = calloc(1, sizeof *file);
    char id[ID + 1], *lock = NULL;
    struct emd_error why;
    *out = NULL;
    if (!file)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    emd_unique_id(id);
    file->fd = -1;
    file->folder = folder == AT_FDCWD ? open_folder_of(path) : fcntl(folder, F_DUPFD_CLOEXEC, 0);
    if (file->folder < 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot open the folder of %s", path);
        goto out;
    }
    file->path = strdup(path);
    file->name = file->path ? last_part(file->path) : NULL;
    file->stem = file->name ? make_stem(file->name) : NULL;
    lock = file->stem ? concatenate(file->stem, lock_end) : NULL;
    if (!lock || asprintf(&file->temp, "%s.%s%s", file->stem, id, temp_end) < 0)
        file->temp = NULL;
    if (!file->temp || asprintf(&file->shown, "%.*s%s", (int)(file->name - file->path), file->path,
                                file->temp) < 0)
        file->shown = NULL;
    if (!file->shown) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    status = emd_lockfile_take(file->folder, lock, file->temp, &file->lock, &why);
    if (status != EMD_OK) {
        status = status == EMD_E_BUSY
                     ? emd_fail(err, status, "another process is writing %s: %s", path, why.text)
                     : emd_fail(err, status, "%s: %s", file->shown, why.text);
        goto out;
    }
    remove_left(file->folder, file->stem, file->lock);
    file->fd =
        openat(file->folder, file->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (file->fd < 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot create %s", file->shown);
        goto out;
    }
    /* whoever tidies up sees that it is in use, also where the lock's file was deleted */
    emd_lock_descriptor(file->fd);
    *out = file;
    free(lock);
    return EMD_OK;
out:
    free(lock);
    release(file);
    return status;
}

const char *emd_safefile_temp(const struct emd_safefile *file)
{
    return file->shown;
}

int emd_safefile_fd(const struct emd_safefile *file)
{
    return file->fd;
}

const char *emd_safefile_path(const struct emd_safefile *file)
{
    return file->path;
}

int emd_safefile_folder(const struct emd_safefile *file)
{
    return file->folder;
}

void emd_safefile_refresh(struct emd_safefile *file)
{
    const time_t now = time(NULL);
    if (now - file->refreshed >= 0 && now - file->refreshed < REFRESH)
        return;
    file->refreshed = now;
    /* where the lock is another's by now, two write the same output, each into a file of its own */
    emd_lockfile_check(file->lock, NULL);
}

void emd_safefile_set_owner(struct emd_safefile *file, const struct stat *like,
                            struct emd_error *missing)
{
    if (missing)
        missing->text[0] = '\0';
    if (geteuid() == 0 && fchown(file->fd, like->st_uid, like->st_gid) != 0)
        emd_fail_errno(missing, EMD_E_IO, errno, "cannot set the owner");
    if (fchmod(file->fd, like->st_mode & 0777) != 0)
        emd_fail_errno(missing, EMD_E_IO, errno, "cannot set the mode");
}

void emd_safefile_set_attributes(struct emd_safefile *file, const struct stat *like,
                                 struct emd_error *missing)
{
    const struct timespec times[2] = {like->st_atim, like->st_mtim};
    emd_safefile_set_owner(file, like, missing);
    if (futimens(file->fd, times) != 0)
        emd_fail_errno(missing, EMD_E_IO, errno, "cannot set the time");
}

enum emd_status emd_safefile_sync(struct emd_safefile *file, struct emd_error *err)
{
    const enum emd_status status = sync_content(file, err);
    if (status == EMD_OK)
        posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED); /* only a wish */
    return status;
}

void emd_safefile_sync_begin(struct emd_safefile *file)
{
    /* Without a thread, which would be in the way of the forks that follow. */
#ifdef SYNC_FILE_RANGE_WRITE
    sync_file_range(file->fd, 0, 0,
                    SYNC_FILE_RANGE_WRITE); /* only a wish: fsync tells of failures */
#else
    (void)file;
#endif
}

/* rename that never replaces: 0, or -1 with errno (EEXIST if the target is there). */
static int rename_new(int folder, const char *from, const char *to)
{
    struct stat st;
#ifdef RENAME_NOREPLACE
    if (renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -1;
#endif
    if (linkat(folder, from, folder, to, 0) == 0)
        return unlinkat(folder, from, 0);
    if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP && errno != EINVAL &&
        errno != EMLINK)
        return -1;
    /* No links either (some shares): our lock keeps other emdtools away. */
    if (fstatat(folder, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(folder, from, folder, to);
}

static int sync_folder(int folder)
{
    if (fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EBADF)
        return 0;
    return -1;
}

/* An existing output that a multi-file commit may have to put back: OUTPUT.old.tmp, a hard link, or
 * the output itself moved away where the file system has no links. */
static enum emd_status keep_old(struct emd_safefile *file, struct emd_error *err)
{
    struct stat st;
    if (fstatat(file->folder, file->name, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(st.st_mode))
        return EMD_OK; /* a folder is never replaced: renaming over it fails */
    char *old = concatenate(file->stem, old_end);
    if (!old)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    unlinkat(file->folder, old, 0);
    if (linkat(file->folder, file->name, file->folder, old, 0) == 0 ||
        renameat(file->folder, file->name, file->folder, old) == 0) {
        file->old = old;
        return EMD_OK;
    }
    free(old);
    return emd_fail_errno(err, EMD_E_IO, errno, "cannot keep the old %s", file->path);
}

/* Undoes what a commit did to the final name. An old output that cannot be put back stays where it
 * is kept. */
static void take_back(struct emd_safefile *file, bool renamed)
{
    if (file->old && renameat(file->folder, file->old, file->folder, file->name) != 0) {
        free(file->old);
        file->old = NULL;
    } else if (!file->old && renamed) {
        unlinkat(file->folder, file->name, 0);
    }
}

static enum emd_status make_ready(struct emd_safefile *file, struct emd_error *err)
{
    if (!emd_is_same_file(file->folder, file->temp, file->fd))
        return emd_fail(err, EMD_E_IO, "%s was removed or replaced by another program",
                        file->shown);
    return sync_content(file, err);
}

static enum emd_status give_name(struct emd_safefile *file, bool replace, struct emd_error *err)
{
    if ((replace ? renameat(file->folder, file->temp, file->folder, file->name)
                 : rename_new(file->folder, file->temp, file->name)) == 0)
        return EMD_OK;
    if (errno == EEXIST)
        return emd_fail(err, EMD_E_EXISTS, "%s exists already", file->path);
    return emd_fail_errno(err, EMD_E_IO, errno, "cannot rename %s to %s", file->shown, file->path);
}

enum emd_status emd_safefile_commit(struct emd_safefile *const files[], size_t count, bool replace,
                                    struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    size_t renamed = 0;
    for (size_t i = 0; i < count && status == EMD_OK; i++)
        status = make_ready(files[i], err);
    for (size_t i = 0; i < count && status == EMD_OK; i++) {
        if (replace && count > 1)
            status = keep_old(files[i], err);
        if (status == EMD_OK)
            status = give_name(files[i], replace, err);
        renamed += status == EMD_OK;
    }
    if (status == EMD_OK) {
        for (size_t i = 0; i < count && status == EMD_OK; i++)
            if (sync_folder(files[i]->folder) != 0)
                status = emd_fail_errno(err, EMD_E_IO, errno,
                                        "%s is written, but its folder cannot be synchronised",
                                        files[i]->path);
    } else {
        for (size_t i = 0; i < count; i++)
            take_back(files[i], i < renamed);
    }
    for (size_t i = 0; i < count; i++) {
        if (i < renamed)
            release(files[i]);
        else
            emd_safefile_discard(files[i]);
    }
    return status;
}

void emd_safefile_discard(struct emd_safefile *file)
{
    if (!file)
        return;
    unlinkat(file->folder, file->temp, 0); /* nobody else gives this name */
    release(file);
}

bool emd_safefile_busy(const char *path)
{
    const size_t n = (size_t)(last_part(path) - path);
    char *stem = make_stem(path + n), *lock = NULL;
    const bool busy = stem && asprintf(&lock, "%.*s%s%s", (int)n, path, stem, lock_end) >= 0 &&
                      emd_lockfile_held(AT_FDCWD, lock);
    free(lock);
    free(stem);
    return busy;
}

bool emd_safefile_is_temporary(const char *name, size_t *stem)
{
    const size_t n = strlen(name), locks = sizeof lock_end - 1;
    if (n > locks && strcmp(name + n - locks, lock_end) == 0) {
        *stem = n - locks;
        return true;
    }
    if (n <= LONGEST_END || strcmp(name + n - 4, temp_end) != 0 || name[n - LONGEST_END] != '.')
        return false;
    for (size_t i = n - LONGEST_END + 1; i < n - 4; i++)
        if (!strchr("0123456789abcdef", name[i]))
            return false;
    *stem = n - LONGEST_END;
    return true;
}

void emd_safefile_clean_output(const char *path)
{
    struct emd_lockfile *lock = NULL;
    const int folder = open_folder_of(path);
    char *stem = make_stem(last_part(path)), *lock_name = stem ? concatenate(stem, lock_end) : NULL;
    struct stat st;
    if (lock_name && folder >= 0 && fstatat(folder, lock_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        emd_lockfile_take(folder, lock_name, NULL, &lock, NULL) == EMD_OK)
        remove_left(folder, stem, lock);
    emd_lockfile_release(lock);
    if (folder >= 0)
        close(folder);
    free(lock_name);
    free(stem);
}

bool emd_safefile_clean(int folder, const char *name)
{
    size_t stem;
    char *lock_name = NULL;
    struct emd_lockfile *lock = NULL;
    bool removed = false;
    if (!emd_safefile_is_temporary(name, &stem) ||
        asprintf(&lock_name, "%.*s%s", (int)stem, name, lock_end) < 0)
        return false;
    if (emd_lockfile_take(folder, lock_name, NULL, &lock, NULL) == EMD_OK) {
        /* a temporary file whose lock was deleted may be in use all the same */
        const int fd = emd_open_regular(folder, name, O_RDWR | O_NOFOLLOW);
        if (strcmp(name, lock_name) == 0)
            removed = true; /* by the release */
        else if (fd >= 0 && emd_lock_descriptor(fd))
            removed = unlinkat(folder, name, 0) == 0;
        if (fd >= 0)
            close(fd);
    }
    emd_lockfile_release(lock);
    free(lock_name);
    return removed;
}
