/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Far above any log, far below what would hurt a workstation. */
enum { SIZE_LIMIT = 1 << 30 };

static enum emd_status reserve(struct emd_textfile *file, size_t capacity, struct emd_error *err)
{
    if (capacity <= file->capacity)
        return EMD_OK;
    char *text = realloc(file->text, capacity);
    if (!text)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes of text", capacity);
    file->text = text;
    file->capacity = capacity;
    return EMD_OK;
}

static enum emd_status read_all(struct emd_textfile *file, int fd, const char *name,
                                struct emd_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "%s", name);
    if (!S_ISREG(st.st_mode))
        return emd_fail(err, EMD_E_UNSUPPORTED, "%s: not a regular file", name);
    if (st.st_size > SIZE_LIMIT)
        return emd_fail(err, EMD_E_UNSUPPORTED, "%s: larger than 1 GiB", name);
    /* One byte for the NUL and one so that an unchanged file ends with a read of 0. */
    enum emd_status status = reserve(file, (size_t)st.st_size + 2, err);
    if (status != EMD_OK)
        return status;
    for (;;) {
        size_t room = file->capacity - file->length - 1;
        if (room == 0) {
            if (file->capacity > SIZE_LIMIT)
                return emd_fail(err, EMD_E_UNSUPPORTED, "%s: larger than 1 GiB", name);
            status = reserve(file, file->capacity * 2, err);
            if (status != EMD_OK)
                return status;
            continue;
        }
        ssize_t n = read(fd, file->text + file->length, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return emd_fail_errno(err, EMD_E_IO, errno, "%s", name);
        if (n == 0)
            break;
        file->length += (size_t)n;
    }
    return EMD_OK;
}

enum emd_status emd_textfile_read(struct emd_textfile *file, int dirfd, const char *name,
                                  struct emd_error *err)
{
    file->length = 0;
    /* O_NONBLOCK: a FIFO of that name must not stop us. */
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int reason = errno;
        return emd_fail_errno(err, reason == ENOENT || reason == ENOTDIR ? EMD_E_EMPTY : EMD_E_IO,
                              reason, "%s", name);
    }
    enum emd_status status = read_all(file, fd, name, err);
    close(fd);
    if (status != EMD_OK)
        file->length = 0;
    if (file->capacity > 0)
        file->text[file->length] = '\0';
    return status;
}

void emd_textfile_free(struct emd_textfile *file)
{
    free(file->text);
    *file = (struct emd_textfile){0};
}
