/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See fdfile.h. The driver does what HDF5's "sec2" does, down to its features and free-space map,
 * so that files come out byte for byte as from it; the differences are those that fdfile.h names.
 * Callbacks that are left out (superblock data, locks, allocation, vectors) have defaults. */
#include "hdf5/fdfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/file.h"

enum {
    /* HDF5's class values: up to 255 its own, 512 and above registered with its authors. Between
     * them is room for what, like this driver, no file ever names. */
    CLASS_VALUE = 333
};

/* The driver's part of the access properties. HDF5 copies it with the list. */
struct parameters {
    int fd;
    uint64_t whole; /* the size that a cut file should have; 0: it is not cut */
};

struct fdfile {
    H5FD_t common; /* HDF5's; must come first */
    struct fdfile *next;
    int fd; /* our duplicate */
    haddr_t end_of_addresses, size;
    haddr_t whole; /* of a file that is cut: the size that HDF5 is told; else 0 */
    bool writable;
    int failed; /* errno of the first transfer that failed */
};

/* The HDF5 thread's: files that are open, and what remains of one that is not any more. */
static struct fdfile *files;
static int failed_before, output_failed_before;

static const haddr_t most = INT64_MAX; /* what an off_t holds */

static herr_t fail(struct fdfile *file, hid_t minor, const char *what)
{
    const int cause = errno;
    if (file->failed == 0)
        file->failed = cause;
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, minor, "%s: %s", what,
             strerror(cause));
    return -1;
}

static void refuse(const char *why)
{
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_FILE, H5E_CANTOPENFILE,
             "%s", why);
}

static H5FD_t *open_file(const char *name, unsigned flags, hid_t access, haddr_t maxaddr)
{
    (void)name;
    (void)maxaddr;
    /* Lists that HDF5 makes itself, for another name that this file mentions, have no parameters:
     * there is no 'fapl_get' below. */
    const struct parameters *parameters = H5Pget_driver_info(access);
    if (!parameters) {
        refuse("other files are not opened");
        return NULL;
    }
    struct fdfile *file = calloc(1, sizeof *file);
    if (!file) {
        refuse("out of memory");
        return NULL;
    }
    struct stat st;
    file->fd = fcntl(parameters->fd, F_DUPFD_CLOEXEC, 0);
    if (file->fd < 0 || ((flags & H5F_ACC_TRUNC) && ftruncate(file->fd, 0) != 0) ||
        fstat(file->fd, &st) != 0) {
        fail(file, H5E_CANTOPENFILE, "cannot open");
        failed_before = file->failed;
        if (file->fd >= 0)
            close(file->fd);
        free(file);
        return NULL;
    }
    file->size = (haddr_t)st.st_size;
    file->whole = parameters->whole > file->size ? parameters->whole : 0;
    file->writable = (fcntl(file->fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    file->next = files;
    files = file;
    return &file->common;
}

static herr_t close_file(H5FD_t *handle)
{
    struct fdfile *file = (struct fdfile *)handle, **at = &files;
    while (*at && *at != file)
        at = &(*at)->next;
    if (*at)
        *at = file->next;
    /* Network file systems tell here what became of writes. */
    const herr_t result = close(file->fd) == 0 ? 0 : fail(file, H5E_CANTCLOSEFILE, "cannot close");
    if (file->failed)
        failed_before = file->failed;
    if (file->failed && file->writable)
        output_failed_before = file->failed;
    free(file);
    return result;
}

/* Each opening is another file. HDF5 wants an order. */
static int compare_files(const H5FD_t *a, const H5FD_t *b)
{
    return (uintptr_t)a < (uintptr_t)b ? -1 : (uintptr_t)a > (uintptr_t)b;
}

/* Without H5FD_FEAT_POSIX_COMPAT_HANDLE, which makes HDF5 look at the file's name, too. */
static herr_t query(const H5FD_t *handle, unsigned long *flags)
{
    (void)handle;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_SUPPORTS_SWMR_IO;
#ifdef H5FD_FEAT_DEFAULT_VFD_COMPATIBLE
    *flags |= H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
#endif
    return 0;
}

static haddr_t get_end_of_addresses(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)type;
    return ((const struct fdfile *)handle)->end_of_addresses;
}

static herr_t set_end_of_addresses(H5FD_t *handle, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((struct fdfile *)handle)->end_of_addresses = address;
    return 0;
}

static haddr_t get_size(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)type;
    const struct fdfile *const file = (const struct fdfile *)handle;
    return file->whole ? file->whole : file->size;
}

static herr_t get_handle(H5FD_t *handle, hid_t access, void **descriptor)
{
    (void)access;
    *descriptor = &((struct fdfile *)handle)->fd;
    return 0;
}

static bool is_addressable(haddr_t address, size_t n)
{
    return address <= most && n <= most - address;
}

/* What is read of a cut file: data must be there whole. Structure is read ahead of, a little beyond
 * what is used, and knows by itself what it is, so that its beginning must be there. */
static bool is_cut_off(const struct fdfile *file, H5FD_mem_t type, haddr_t address, size_t n)
{
    if (!file->whole)
        return false;
    return type == H5FD_MEM_DRAW ? address > file->size || n > file->size - address
                                 : address >= file->size;
}

/* Behind the end of the file, inside HDF5's addresses, are zeros. An end before that which the file
 * had when it was opened is trouble: a share that hiccups, or somebody who cuts it. */
static herr_t read_file(H5FD_t *handle, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t n,
                        void *buffer)
{
    struct fdfile *const file = (struct fdfile *)handle;
    unsigned char *to = buffer;
    (void)transfer;
    if (!is_addressable(address, n)) {
        refuse("an address beyond any file");
        return -1;
    }
    if (is_cut_off(file, type, address, n)) {
        refuse("beyond the end of the file");
        return -1;
    }
    while (n > 0) {
        const ssize_t got = emd_pread_some(file->fd, to, n, address);
        if (got < 0)
            return fail(file, H5E_READERROR, "file read failed");
        if (got == 0 && address < file->size) {
            errno = EIO;
            return fail(file, H5E_READERROR, "the file ends too early");
        }
        if (got == 0)
            break;
        to += got;
        address += (haddr_t)got;
        n -= (size_t)got;
    }
    memset(to, 0, n);
    return 0;
}

static herr_t write_file(H5FD_t *handle, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t n,
                         const void *buffer)
{
    struct fdfile *const file = (struct fdfile *)handle;
    (void)type;
    (void)transfer;
    if (!is_addressable(address, n)) {
        refuse("an address beyond any file");
        return -1;
    }
    if (emd_pwrite_all(file->fd, buffer, n, address) != 0)
        return fail(file, H5E_WRITEERROR, "file write failed");
    if (address + n > file->size)
        file->size = address + n;
    return 0;
}

static herr_t truncate_file(H5FD_t *handle, hid_t transfer, hbool_t closing)
{
    struct fdfile *const file = (struct fdfile *)handle;
    (void)transfer;
    (void)closing;
    if (file->end_of_addresses == file->size)
        return 0;
    if (ftruncate(file->fd, (off_t)file->end_of_addresses) != 0)
        return fail(file, H5E_SEEKERROR, "cannot set the file's size");
    file->size = file->end_of_addresses;
    return 0;
}

static hid_t driver(void)
{
    static const H5FD_class_t class = {
#if H5_VERSION_GE(1, 14, 0)
        .version = H5FD_CLASS_VERSION,
        .value = (H5FD_class_value_t)CLASS_VALUE,
#endif
        .name = "emd_fd",
        .maxaddr = INT64_MAX,
        .fc_degree = H5F_CLOSE_WEAK,
        .fapl_size = sizeof(struct parameters),
        .open = open_file,
        .close = close_file,
        .cmp = compare_files,
        .query = query,
        .get_eoa = get_end_of_addresses,
        .set_eoa = set_end_of_addresses,
        .get_eof = get_size,
        .get_handle = get_handle,
        .read = read_file,
        .write = write_file,
        .truncate = truncate_file,
        .fl_map = H5FD_FLMAP_DICHOTOMY,
    };
    static hid_t id = H5I_INVALID_HID;
    if (id < 0 || H5Iis_valid(id) <= 0)
        id = H5FDregister(&class);
    return id;
}

hid_t emd_fdfile_access(int fd)
{
    return emd_fdfile_access_cut(fd, 0);
}

hid_t emd_fdfile_access_cut(int fd, uint64_t whole)
{
    const struct parameters parameters = {fd, whole};
    const hid_t id = driver();
    hid_t access = id < 0 ? H5I_INVALID_HID : H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && H5Pset_driver(access, id, &parameters) < 0) {
        H5Pclose(access);
        access = H5I_INVALID_HID;
    }
    failed_before = output_failed_before = 0;
    return access;
}

int emd_fdfile_errno(void)
{
    for (const struct fdfile *file = files; file; file = file->next)
        if (file->failed)
            return file->failed;
    return failed_before;
}

int emd_fdfile_output_errno(void)
{
    for (const struct fdfile *file = files; file; file = file->next)
        if (file->failed && file->writable)
            return file->failed;
    return output_failed_before;
}

void emd_fdfile_forgive_reads(void)
{
    for (struct fdfile *file = files; file; file = file->next)
        if (!file->writable)
            file->failed = 0;
    failed_before = output_failed_before;
}
