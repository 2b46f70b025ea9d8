/* See safefile.h. The lock is an open file description lock (F_OFD_SETLK): it belongs to our
 * descriptor, so that neither HDF5's own opening and closing of the same file by name nor another
 * thread can drop it, which a classic POSIX lock would suffer. */
#include "base/safefile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct emd_safefile {
    char *path;  /* final name */
    char *temp;  /* path + ".tmp" */
    char *owner; /* path + ".owner.tmp" */
    bool owned;  /* and that file exists, since locks do not work here */
    char *old;   /* while committed: where the output that is replaced is kept, or NULL */
    int fd;
};

enum lock_result { LOCK_TAKEN, LOCK_HELD, LOCK_UNSUPPORTED };
#ifdef F_OFD_SETLK
enum { SET_LOCK = F_OFD_SETLK, GET_LOCK = F_OFD_GETLK };
#else
enum { SET_LOCK = F_SETLK, GET_LOCK = F_GETLK };
#endif

static char *concatenate(const char *a, const char *b)
{
    size_t n = strlen(a) + strlen(b) + 1;
    char *s = malloc(n);
    if (s)
        snprintf(s, n, "%s%s", a, b);
    return s;
}

static enum lock_result take_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, SET_LOCK, &lock) == 0)
        return LOCK_TAKEN;
    return errno == EAGAIN || errno == EACCES ? LOCK_HELD : LOCK_UNSUPPORTED;
}

static bool same_inode(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Start time of a process in clock ticks since boot, 0 if unknown: tells a process from a later one
 * of the same number (field 22 of /proc/PID/stat, counted after the name's closing parenthesis). */
static unsigned long long start_time(long pid)
{
    char name[64], line[1024];
    snprintf(name, sizeof name, "/proc/%ld/stat", pid);
    FILE *f = fopen(name, "re");
    if (!f)
        return 0;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    const char *p = strrchr(line, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* True if the owner file ("HOST PID START") names a process of this host that is gone. */
static bool owner_is_gone(const char *owner)
{
    char here[256] = "", line[320];
    FILE *f = fopen(owner, "re");
    if (!f)
        return false;
    bool read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    char *space = read ? strchr(line, ' ') : NULL, *end;
    if (!space)
        return false;
    *space = '\0';
    gethostname(here, sizeof here - 1);
    long pid = strtol(space + 1, &end, 10);
    unsigned long long started = strtoull(end, NULL, 10);
    if (strcmp(line, here) != 0 || pid <= 0)
        return false;
    if (kill((pid_t)pid, 0) != 0)
        return errno == ESRCH;
    return started != 0 && start_time(pid) != started;
}

static bool write_owner(const char *owner)
{
    char host[256] = "", text[320];
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "%s %ld %llu\n", host, (long)getpid(),
                     start_time((long)getpid()));
    int fd = open(owner, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, (size_t)n) == n;
    if (close(fd) != 0 || !ok) {
        unlink(owner);
        return false;
    }
    return true;
}

/* Removes a temporary file that nobody uses. LOCK_TAKEN: it is gone; LOCK_HELD: in use;
 * LOCK_UNSUPPORTED: cannot be told. */
static enum lock_result remove_stale(const char *temp, const char *owner)
{
    struct stat st;
    if (lstat(temp, &st) != 0)
        return errno == ENOENT ? LOCK_TAKEN : LOCK_UNSUPPORTED;
    if (!S_ISREG(st.st_mode))
        return LOCK_HELD; /* not a file of ours: never touched */
    int fd = open(temp, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? LOCK_TAKEN : LOCK_UNSUPPORTED;
    enum lock_result lock = take_lock(fd);
    if (lock == LOCK_UNSUPPORTED && owner_is_gone(owner))
        lock = LOCK_TAKEN;
    if (lock == LOCK_TAKEN && same_inode(fd, temp)) {
        if (unlink(temp) != 0 && errno != ENOENT)
            lock = LOCK_UNSUPPORTED;
        unlink(owner);
    }
    close(fd);
    return lock;
}

bool emd_safefile_busy(const char *path)
{
    char *temp = concatenate(path, ".tmp"), *owner = concatenate(path, ".owner.tmp");
    int fd = temp && owner ? open(temp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool busy = false;
    if (fd >= 0) {
        busy = fcntl(fd, GET_LOCK, &lock) == 0 ? lock.l_type != F_UNLCK : !owner_is_gone(owner);
        close(fd);
    }
    free(temp);
    free(owner);
    return busy;
}

bool emd_safefile_clean(const char *path)
{
    char *temp = concatenate(path, ".tmp"), *owner = concatenate(path, ".owner.tmp");
    struct stat st;
    bool removed = temp && owner && lstat(temp, &st) == 0 &&
                   remove_stale(temp, owner) == LOCK_TAKEN && lstat(temp, &st) != 0;
    free(temp);
    free(owner);
    return removed;
}

static void release(struct emd_safefile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->owned)
        unlink(file->owner);
    if (file->old)
        unlink(file->old);
    free(file->old);
    free(file->owner);
    free(file->temp);
    free(file->path);
    free(file);
}

enum emd_status emd_safefile_create(const char *path, struct emd_safefile **out,
                                    struct emd_error *err)
{
    return emd_safefile_create_with_mode(path, 0666, out, err);
}

enum emd_status emd_safefile_create_with_mode(const char *path, mode_t mode,
                                              struct emd_safefile **out, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_safefile *file = calloc(1, sizeof *file);
    *out = NULL;
    if (!file)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    file->fd = -1;
    file->path = strdup(path);
    file->temp = concatenate(path, ".tmp");
    file->owner = concatenate(path, ".owner.tmp");
    if (!file->path || !file->temp || !file->owner) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    /* Each round either ends or has lost a race against another process that makes progress. */
    for (int round = 0; round < 100; round++) {
        file->fd = open(file->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (file->fd < 0 && errno == EEXIST) {
            switch (remove_stale(file->temp, file->owner)) {
            case LOCK_TAKEN:
                continue;
            case LOCK_HELD:
                status = emd_fail(err, EMD_E_BUSY, "another process is writing %s", file->temp);
                goto out;
            case LOCK_UNSUPPORTED:
                status = emd_fail(err, EMD_E_BUSY,
                                  "%s exists and this file system cannot tell whether it is in "
                                  "use; remove it if no emdtools program is running",
                                  file->temp);
                goto out;
            }
        }
        if (file->fd < 0) {
            status = emd_fail_errno(err, EMD_E_IO, errno, "cannot create %s", file->temp);
            goto out;
        }
        enum lock_result lock = take_lock(file->fd);
        if (lock == LOCK_UNSUPPORTED) {
            unlink(file->owner); /* of a dead process: its temporary file is gone already */
            file->owned = write_owner(file->owner);
            if (!file->owned) {
                status = emd_fail_errno(err, EMD_E_IO, errno, "cannot create %s", file->owner);
                unlink(file->temp);
                goto out;
            }
        }
        /* Between creation and lock another process may have taken it for stale. */
        if (lock != LOCK_HELD && same_inode(file->fd, file->temp)) {
            *out = file;
            return EMD_OK;
        }
        close(file->fd);
        file->fd = -1;
    }
    status = emd_fail(err, EMD_E_BUSY, "%s is contended by other processes", file->temp);
out:
    release(file);
    return status;
}

const char *emd_safefile_temp(const struct emd_safefile *file)
{
    return file->temp;
}

int emd_safefile_fd(const struct emd_safefile *file)
{
    return file->fd;
}

const char *emd_safefile_path(const struct emd_safefile *file)
{
    return file->path;
}

enum emd_status emd_safefile_set_attributes(struct emd_safefile *file, const struct stat *like,
                                            struct emd_error *err)
{
    const struct timespec times[2] = {like->st_atim, like->st_mtim};
    /* Shares without permissions refuse fchmod; a readable copy matters more than its mode. */
    if (fchmod(file->fd, like->st_mode & 0777) != 0 && errno != EPERM && errno != ENOSYS &&
        errno != EOPNOTSUPP)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot set the mode of %s", file->temp);
    if (futimens(file->fd, times) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot set the time of %s", file->temp);
    return EMD_OK;
}

enum emd_status emd_safefile_sync(struct emd_safefile *file, struct emd_error *err)
{
    if (fsync(file->fd) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s to the disk", file->temp);
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED); /* only a wish */
    return EMD_OK;
}

/* rename that never replaces: 0, or -1 with errno (EEXIST if the target is there). */
static int rename_new(const char *from, const char *to)
{
    struct stat st;
#ifdef RENAME_NOREPLACE
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -1;
#endif
    if (link(from, to) == 0)
        return unlink(from);
    if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP && errno != EINVAL &&
        errno != EMLINK)
        return -1;
    /* No links either (some shares): our lock or owner file keeps other emdtools away. */
    if (lstat(to, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

static int sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return -1;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    int cause = errno;
    close(fd);
    errno = cause;
    return result == 0 || cause == EINVAL || cause == ENOTSUP ? 0 : -1;
}

/* An existing output that a multi-file commit may have to put back: PATH.old.tmp, a hard link, or
 * the output itself moved away where the file system has no links. */
static enum emd_status keep_old(struct emd_safefile *file, struct emd_error *err)
{
    struct stat st;
    if (lstat(file->path, &st) != 0 || S_ISDIR(st.st_mode))
        return EMD_OK; /* a folder is never replaced: renaming over it fails */
    char *old = concatenate(file->path, ".old.tmp");
    if (!old)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    unlink(old);
    if (link(file->path, old) == 0 || rename(file->path, old) == 0) {
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
    if (file->old && rename(file->old, file->path) != 0) {
        free(file->old);
        file->old = NULL;
    } else if (!file->old && renamed) {
        unlink(file->path);
    }
}

enum emd_status emd_safefile_commit(struct emd_safefile *const files[], size_t count, bool replace,
                                    struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    size_t renamed = 0;
    for (size_t i = 0; i < count && status == EMD_OK; i++) {
        if (!same_inode(files[i]->fd, files[i]->temp))
            status = emd_fail(err, EMD_E_IO, "%s was removed or replaced by another program",
                              files[i]->temp);
        else if (fsync(files[i]->fd) != 0)
            status =
                emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s to the disk", files[i]->temp);
    }
    for (size_t i = 0; i < count && status == EMD_OK; i++) {
        if (replace && count > 1 && (status = keep_old(files[i], err)) != EMD_OK)
            break;
        if ((replace ? rename(files[i]->temp, files[i]->path)
                     : rename_new(files[i]->temp, files[i]->path)) != 0) {
            bool exists = errno == EEXIST;
            status = exists ? emd_fail(err, EMD_E_EXISTS, "%s exists already", files[i]->path)
                            : emd_fail_errno(err, EMD_E_IO, errno, "cannot rename %s to %s",
                                             files[i]->temp, files[i]->path);
            break;
        }
        renamed++;
    }
    if (status == EMD_OK) {
        for (size_t i = 0; i < count && status == EMD_OK; i++)
            if (sync_folder(files[i]->path) != 0)
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
    if (same_inode(file->fd, file->temp))
        unlink(file->temp);
    release(file);
}
