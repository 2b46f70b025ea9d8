/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See source.h. The superblock is read here and not by HDF5, because HDF5 1.10 answers "truncated
 * file" for a file that is still growing only after it has tried to read it, gives one and the same
 * error for an empty file and for a picture, and takes a lock while it looks.
 *
 * The layout of superblocks 0 to 3 is section II.A of the HDF5 File Format Specification 3.0. */
#include "hdf5/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "hdf5/fdfile.h"
#include "hdf5/h5call.h"

static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

enum {
    /* Largest superblock with 8-byte addresses: version 1, up to the root symbol table entry. */
    SUPERBLOCK_BYTES = 8 + 20 + 4 * 8,
    FLAG_WRITE = 0x01, /* superblock 3: open for writing */
    FLAG_SWMR = 0x04   /* superblock 3: open for single writer, multiple readers */
};

enum emd_status emd_source_read(int fd, void *buffer, size_t n, uint64_t offset,
                                struct emd_error *err)
{
    if (emd_pread_all(fd, buffer, n, offset) == 0)
        return EMD_OK;
    if (errno == ENODATA)
        return emd_fail(err, EMD_E_INCOMPLETE, "the file ends before the %zu bytes at %" PRIu64, n,
                        offset);
    return emd_fail_errno(err, EMD_E_IO, errno, "cannot read %zu bytes at %" PRIu64, n, offset);
}

static uint64_t little_endian(const unsigned char *p, unsigned n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | p[n];
    return value;
}

/* Looks for the signature where HDF5 does: at 0, 512, 1024, 2048, ... */
static enum emd_status find_superblock(int fd, uint64_t size, uint64_t *at, struct emd_error *err)
{
    for (uint64_t offset = 0; offset + sizeof signature <= size;
         offset = offset ? offset * 2 : 512) {
        unsigned char bytes[sizeof signature];
        enum emd_status status = emd_source_read(fd, bytes, sizeof bytes, offset, err);
        if (status != EMD_OK)
            return status;
        if (memcmp(bytes, signature, sizeof signature) == 0) {
            *at = offset;
            return EMD_OK;
        }
        if (offset > UINT64_MAX / 4)
            break;
    }
    return emd_fail(err, EMD_E_FORMAT, "not an HDF5 file");
}

enum emd_status emd_superblock_read(int fd, uint64_t file_size, struct emd_superblock *superblock,
                                    struct emd_error *err)
{
    if (file_size == 0)
        return emd_fail(err, EMD_E_INCOMPLETE, "the file is empty");
    uint64_t at = 0;
    enum emd_status status = find_superblock(fd, file_size, &at, err);
    if (status != EMD_OK)
        return status;

    unsigned char bytes[SUPERBLOCK_BYTES] = {0};
    size_t n = file_size - at < sizeof bytes ? (size_t)(file_size - at) : sizeof bytes;
    status = emd_source_read(fd, bytes, n, at, err);
    if (status != EMD_OK)
        return status;

    unsigned version = n > 8 ? bytes[8] : 0;
    if (version > 3)
        return emd_fail(err, EMD_E_UNSUPPORTED, "HDF5 superblock version %u is not known here",
                        version);
    /* Where base address and end address stand, and how long an address is. */
    const unsigned width = version < 2 ? bytes[13] : bytes[9];
    const unsigned base_at = version == 0 ? 24 : version == 1 ? 28 : 12;
    const unsigned end_at = base_at + 2 * width;
    if (n < base_at || (width != 2 && width != 4 && width != 8) || n < end_at + width) {
        if (n < sizeof bytes)
            return emd_fail(err, EMD_E_INCOMPLETE, "the file ends inside its superblock");
        return emd_fail(err, EMD_E_CORRUPT, "the superblock has addresses of %u bytes", width);
    }
    const uint64_t base = little_endian(bytes + base_at, width);
    const uint64_t end = little_endian(bytes + end_at, width);
    /* The stored end counts from the start of the file as it was when the base address was written;
     * where a user block was put in front afterwards, both move along, as HDF5 does it. */
    if (end < base || end - base > INT64_MAX - at)
        return emd_fail(err, EMD_E_CORRUPT, "the superblock's addresses contradict each other");
    if (superblock) {
        superblock->version = version;
        superblock->user_block = at;
        superblock->end = at + (end - base);
        superblock->open_for_writing = version == 3 && (bytes[11] & (FLAG_WRITE | FLAG_SWMR));
    }
    if (at + (end - base) > file_size)
        return emd_fail(err, EMD_E_INCOMPLETE,
                        "the file has %" PRIu64 " of the %" PRIu64 " bytes that it should have",
                        file_size, at + (end - base));
    return EMD_OK;
}

enum emd_status emd_source_ask_lock(int fd, struct emd_error *err)
{
    /* Would a reader's lock be refused? Asking takes nothing. Where the file system cannot tell, it
     * cannot have such a lock either. */
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
        if (lock.l_pid > 0)
            return emd_fail(err, EMD_E_BUSY, "locked for writing by process %ld", (long)lock.l_pid);
        return emd_fail(err, EMD_E_BUSY, "locked for writing");
    }
    if (emd_is_local(fd)) {
        /* HDF5's own locks are flocks: a writer holds an exclusive one while the file is open. */
        if (flock(fd, LOCK_SH | LOCK_NB) == 0)
            flock(fd, LOCK_UN);
        else if (errno == EWOULDBLOCK)
            return emd_fail(err, EMD_E_BUSY, "locked for writing by another program");
    }
    return EMD_OK;
}

static void set_id(struct emd_source_id *id, const struct stat *st)
{
    id->device = st->st_dev;
    id->inode = st->st_ino;
    id->size = st->st_size;
    id->mtime = st->st_mtim;
    id->ctime = st->st_ctim;
}

static bool same_content(const struct emd_source_id *id, const struct stat *st)
{
    return id->size == st->st_size && id->mtime.tv_sec == st->st_mtim.tv_sec &&
           id->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

/* Some shares invent inode numbers anew at each look: there the time of the last change of the
 * inode, which no two files that change places have in common, must do. */
static bool same_file(const struct emd_source_id *id, const struct stat *st)
{
    return (id->device == st->st_dev && id->inode == st->st_ino) ||
           (id->ctime.tv_sec == st->st_ctim.tv_sec && id->ctime.tv_nsec == st->st_ctim.tv_nsec);
}

static enum emd_status open_hdf5(struct emd_source *source, bool cut, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hid_t access =
        cut ? emd_fdfile_access_cut(source->fd, source->end) : emd_fdfile_access(source->fd);
    /* HDF5 must not read more of contiguous data than it is asked for. */
    if (access < 0 || (cut && H5Pset_sieve_buf_size(access, 1) < 0))
        status = emd_hdf5_fail(err, EMD_E_MEMORY, "cannot set up HDF5");
    else if ((source->file = H5Fopen(source->path, H5F_ACC_RDONLY, access)) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "HDF5 cannot open the file");
    emd_hdf5_close(&access);
    return status;
}

static enum emd_status open_source(int fd, const char *path, bool cut, struct emd_source **out,
                                   struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status;
    *out = NULL;
    struct emd_source *source = calloc(1, sizeof *source);
    if (!source) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    source->file = H5I_INVALID_HID;
    source->fd = -1;
    source->path = strdup(path);
    if (!source->path) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    /* O_NONBLOCK: a pipe that nobody writes to must not stop us. It means nothing for files. */
    source->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0)
                         : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (source->fd < 0) {
        /* Network file systems answer so where a writer denies sharing. */
        bool busy = errno == EBUSY || errno == ETXTBSY || errno == EAGAIN;
        status = emd_fail_errno(err, busy ? EMD_E_BUSY : EMD_E_IO, errno, "cannot open");
        goto out;
    }
    struct stat st;
    if (fstat(source->fd, &st) != 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot look at the file");
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        status = emd_fail(err, EMD_E_IO, "not a regular file");
        goto out;
    }
    set_id(&source->id, &st);
    status = emd_source_ask_lock(source->fd, err);
    if (status != EMD_OK)
        goto out;

    struct emd_superblock superblock = {.end = 0};
    status = emd_superblock_read(source->fd, (uint64_t)st.st_size, &superblock, err);
    if (status == EMD_E_INCOMPLETE && cut && superblock.end > 0)
        status = EMD_OK;
    if (status != EMD_OK)
        goto out;
    source->superblock = superblock.version;
    source->user_block = superblock.user_block;
    source->end = superblock.end;
    if (superblock.open_for_writing) {
        status = emd_fail(err, EMD_E_BUSY,
                          "marked as open for writing; if no program writes it any more, "
                          "\"h5clear -s\" takes the mark away");
        goto out;
    }
    status = open_hdf5(source, cut, err);
out:
    if (status == EMD_OK)
        *out = source;
    else
        emd_source_close(source);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

enum emd_status emd_source_open(const char *path, struct emd_source **out, struct emd_error *err)
{
    return emd_source_open_fd(-1, path, out, err);
}

enum emd_status emd_source_open_fd(int fd, const char *path, struct emd_source **out,
                                   struct emd_error *err)
{
    return open_source(fd, path, false, out, err);
}

enum emd_status emd_source_open_cut(int fd, const char *path, struct emd_source **out,
                                    struct emd_error *err)
{
    return open_source(fd, path, true, out, err);
}

void emd_source_close(struct emd_source *source)
{
    if (!source)
        return;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    emd_hdf5_close(&source->file);
    if (source->fd >= 0)
        close(source->fd);
    free(source->path);
    free(source);
    emd_hdf5_quiet_end(&quiet);
}

enum emd_status emd_source_unchanged(const struct emd_source *source, struct emd_error *err)
{
    struct stat st;
    if (fstat(source->fd, &st) != 0)
        return emd_fail_errno(err, EMD_E_CHANGED, errno, "the file is no longer readable");
    if (!same_content(&source->id, &st))
        return emd_fail(err, EMD_E_CHANGED, "the file changed while it was read");
    if (stat(source->path, &st) != 0)
        return emd_fail_errno(err, EMD_E_CHANGED, errno, "the file is gone from its place");
    if (!same_content(&source->id, &st) || !same_file(&source->id, &st))
        return emd_fail(err, EMD_E_CHANGED, "another file took its place while it was read");
    return EMD_OK;
}
