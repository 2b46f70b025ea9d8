/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What a program or plugin needs to run with an older glibc than the one it is built with
 * (oldglibc.py), linked into each of them and visible nowhere else. */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- functions that older releases have under other names ---- */

/* Before glibc 2.33 the stat family was inline code over these, whose first argument is the layout
 * of struct stat: 1 for the one of 64-bit x86, 0 for that of 64-bit Arm. */
#ifdef __aarch64__
enum { LAYOUT = 0 };
#else
enum { LAYOUT = 1 };
#endif
int __xstat64(int layout, const char *path, struct stat64 *out);
int __lxstat64(int layout, const char *path, struct stat64 *out);
int __fxstat64(int layout, int fd, struct stat64 *out);
int __fxstatat64(int layout, int dir, const char *path, struct stat64 *out, int flags);

#define ALIAS(name, of, ...) int name(__VA_ARGS__) __attribute__((alias(#of)))

static int old_stat(const char *path, struct stat64 *out)
{
    return __xstat64(LAYOUT, path, out);
}

static int old_lstat(const char *path, struct stat64 *out)
{
    return __lxstat64(LAYOUT, path, out);
}

static int old_fstat(int fd, struct stat64 *out)
{
    return __fxstat64(LAYOUT, fd, out);
}

static int old_fstatat(int dir, const char *path, struct stat64 *out, int flags)
{
    return __fxstatat64(LAYOUT, dir, path, out, flags);
}

ALIAS(stat64, old_stat, const char *path, struct stat64 *out);
ALIAS(lstat64, old_lstat, const char *path, struct stat64 *out);
ALIAS(fstat64, old_fstat, int fd, struct stat64 *out);
ALIAS(fstatat64, old_fstatat, int dir, const char *path, struct stat64 *out, int flags);
/* The same on 64-bit machines. */
ALIAS(stat, old_stat, const char *path, struct stat *out);
ALIAS(lstat, old_lstat, const char *path, struct stat *out);
ALIAS(fstat, old_fstat, int fd, struct stat *out);
ALIAS(fstatat, old_fstatat, int dir, const char *path, struct stat *out, int flags);

pid_t gettid(void) /* since 2.30 */
{
    return (pid_t)syscall(SYS_gettid);
}

/* What the static libstdc++, which Snappy needs, knows of newer releases. Threads may be about. */
char __libc_single_threaded = 0;

/* Where is the unwinder's table for this address? Asked when an exception is thrown: memory ran
 * out. There is none, so the process ends, as it would anyway, since C functions do not catch it.
 */
int _dl_find_object(void *address, void *result);
int _dl_find_object(void *address, void *result)
{
    (void)address;
    (void)result;
    return -1;
}
