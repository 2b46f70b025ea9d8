/* Whole reads and writes at an offset: what is short is an error, what is interrupted goes on. */
#ifndef EMD_BASE_FILE_H
#define EMD_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0, or -1 with errno; a file that ends before n bytes are read is ENODATA. */
int emd_pread_all(int fd, void *data, size_t n, uint64_t offset);
int emd_pwrite_all(int fd, const void *data, size_t n, uint64_t offset);

/* Whether an open file or folder lies on a disk of this very machine, whose kernel sees every
 * change and whose locks reach nobody else. What is not known to be so (CIFS, NFS, FUSE, ...) is
 * not. */
bool emd_is_local(int fd);

#endif
