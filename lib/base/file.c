#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

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
