/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>
#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

/* Linux moves at most 0x7ffff000 bytes a call; smaller steps also keep signals lively. */
static const size_t most_at_once = (size_t)1 << 30;

ssize_t emd_pread_some(int fd, void *data, size_t n, uint64_t offset)
{
    ssize_t got;
    do {
        got = pread(fd, data, n < most_at_once ? n : most_at_once, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got;
}

int emd_pread_all(int fd, void *data, size_t n, uint64_t offset)
{
    unsigned char *to = data;
    while (n > 0) {
        const ssize_t got = emd_pread_some(fd, to, n, offset);
        if (got < 0)
            return -1;
        if (got == 0) {
            errno = ENODATA;
            return -1;
        }
        to += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

int emd_pwrite_all(int fd, const void *data, size_t n, uint64_t offset)
{
    const unsigned char *from = data;
    while (n > 0) {
        ssize_t put = pwrite(fd, from, n < most_at_once ? n : most_at_once, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            if (put == 0)
                errno = EIO;
            return -1;
        }
        from += put;
        offset += (uint64_t)put;
        n -= (size_t)put;
    }
    return 0;
}

void emd_write_behind(int fd, uint64_t *pending, uint64_t bytes)
{
#ifdef SYNC_FILE_RANGE_WRITE
    static const uint64_t step = (uint64_t)16 << 20;
    *pending += bytes;
    if (*pending >= step) {
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        *pending = 0;
    }
#else
    (void)fd;
    (void)pending;
    (void)bytes;
#endif
}

bool emd_is_local(int fd)
{
    static const unsigned long known[] = {
        /* magic numbers: statfs(2) */
        0xEF53,     /* ext2, ext3, ext4 */
        0x58465342, /* xfs */
        0x9123683E, /* btrfs */
        0x01021994, /* tmpfs */
        0x794C7630, /* overlay */
        0xF2F52010, /* f2fs */
        0x2FC12FC1, /* zfs */
        0xCA451A4E, /* bcachefs */
    };
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if ((unsigned long)fs.f_type == known[i])
            return true;
    return false;
}

int emd_open_regular(int folder, const char *path, int flags)
{
    struct stat st;
    const int fd = openat(folder, path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

/* One name after the other, for kernels (before 5.6) and sandboxes without openat2. */
static int open_stepwise(int root, const char *path, int flags)
{
    char name[NAME_MAX + 1];
    int folder = fcntl(root, F_DUPFD_CLOEXEC, 0), fd = -1;
    while (folder >= 0) {
        while (*path == '/')
            path++;
        const size_t n = strcspn(path, "/");
        const bool last = path[n + strspn(path + n, "/")] == '\0';
        if (n >= sizeof name || (n == 2 && memcmp(path, "..", 2) == 0)) {
            errno = n == 2 ? EXDEV : ENAMETOOLONG;
            break;
        }
        memcpy(name, n ? path : ".", n ? n : 2);
        name[n ? n : 1] = '\0';
        fd = openat(folder, name, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
        /* a link that should be a folder */
        struct stat st;
        if (fd < 0 && errno == ENOTDIR && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
        if (fd < 0 || last)
            break;
        close(folder);
        folder = fd;
        path += n;
    }
    const int cause = errno;
    if (folder >= 0)
        close(folder);
    errno = cause;
    return fd;
}

int emd_open_beneath(int root, const char *path, int flags)
{
#ifdef SYS_openat2
    const struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    const long fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return (int)fd;
#endif
    return open_stepwise(root, path, flags);
}

int emd_make_folder_beneath(int root, const char *path)
{
    char name[NAME_MAX + 1];
    const char *const last = strrchr(path, '/');
    int folder = fcntl(root, F_DUPFD_CLOEXEC, 0);
    while (folder >= 0 && last && path < last) {
        const size_t n = strcspn(path, "/");
        int next = -1;
        if (n == 0) {
            path++;
            continue;
        }
        if (n >= sizeof name) {
            errno = ENAMETOOLONG;
        } else {
            memcpy(name, path, n);
            name[n] = '\0';
            if (mkdirat(folder, name, 0777) == 0 || errno == EEXIST)
                next = emd_open_beneath(folder, name, O_RDONLY | O_DIRECTORY);
        }
        const int cause = errno;
        close(folder);
        errno = cause;
        folder = next;
        path += n;
    }
    return folder;
}

char *emd_name_with_room(const char *name, size_t room)
{
    enum { DIGITS = 16 };
    char *text;
    const size_t n = strlen(name);
    if (n + room <= NAME_MAX)
        return strdup(name);
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    size_t keep = NAME_MAX - room - 1 - DIGITS;
    while (keep > 0 && ((unsigned char)name[keep] & 0xc0) == 0x80)
        keep--; /* not inside a character */
    return asprintf(&text, "%.*s~%016" PRIx64, (int)keep, name, sum) < 0 ? NULL : text;
}

char *emd_read_text_file(int folder, const char *path, size_t most, size_t *n)
{
    struct stat st;
    char *text = NULL;
    const int fd = emd_open_regular(folder, path, O_RDONLY);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > most)
        errno = EFBIG;
    else if ((text = malloc((size_t)st.st_size + 1)) &&
             emd_pread_all(fd, text, (size_t)st.st_size, 0) == 0)
        text[ *n = (size_t)st.st_size] = '\0';
    else {
        free(text);
        text = NULL;
    }
    const int cause = errno;
    close(fd);
    errno = cause;
    return text;
}

bool emd_is_same_file(int folder, const char *name, int fd)
{
    struct stat a, b;
    if (fstat(fd, &a) != 0 || fstatat(folder, name, &b, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return true;
    return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_size == b.st_size &&
           a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
           a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

int emd_open_unnamed(const char *folder)
{
#ifdef O_TMPFILE
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
#endif
    char name[4096];
    if (snprintf(name, sizeof name, "%s/.emdtools-XXXXXX.tmp", folder) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int named = mkostemps(name, 4, O_CLOEXEC);
    if (named >= 0)
        unlink(name);
    return named;
}
