/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A library for LD_PRELOAD that makes system calls fail on purpose. EMD_FAULT says what happens:
 *
 *   CALL:WHEN:WHAT:PART[;...]
 *
 *   CALL  pread pwrite write fsync rename (any kind of it) ftruncate futimens fchmod
 *         lock (fcntl's locks; "grant": granted whoever has them) statfs ("nfs": says it is NFS)
 *   WHEN  which of the matching calls, counted from 1 over all threads: "3" the third, "3+" from
 *         the third on, "*3" every third
 *   WHAT  an error (EIO ENOSPC EINTR EACCES EDQUOT EINVAL); "short": half the bytes are moved;
 *         "eof": nothing is; "flip": one bit in the middle of the written bytes is turned;
 *         "kill": the process dies at once, before the call; "term": it gets SIGTERM then;
 *         "crash", "spin", "oom": a process that it forked dies of SIGSEGV, uses its processor for
 *         ever, or is killed as by the kernel; "ERROR!" (as EIO!): that error in forked processes,
 * too PART  the file's name must contain this text, or match it if it has a '*'; "" any
 *
 * With EMD_FAULT_LOG the numbers of matching calls are written to that file at exit, so that a test
 * can go through all of them. A rule that cannot be understood ends the process: a test must not
 * pass because nothing was injected. */
#undef _FILE_OFFSET_BITS /* it would make pread64 of pread */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MOST_RULES = 8, MOST_FLIPPED = 1 << 26 };
enum action {
    ACT_NONE,
    ACT_ERROR,
    ACT_SHORT,
    ACT_EOF,
    ACT_FLIP,
    ACT_KILL,
    ACT_TERM,
    ACT_GRANT,
    ACT_NFS,
    ACT_CRASH, /* from here on: in forked processes */
    ACT_SPIN,
    ACT_OOM
};

struct rule {
    char call[16], part[64];
    unsigned long at;
    bool every, onwards, anywhere;
    enum action action;
    int error;
    atomic_ulong seen;
};

static struct rule rules[MOST_RULES];
static size_t rule_count;
static pid_t owner; /* the first process */

/* Most faults are for the process that does the work, not for the children that it forks: in
 * emdrepack, which has a process for each file, a child of the first one. */
static bool is_worker(void)
{
    static const char of_many[] = "emdrepack";
    return owner == (strcmp(program_invocation_short_name, of_many) == 0 ? getppid() : getpid());
}

static void give_up(const char *text)
{
    fprintf(stderr, "fault shim: %s\n", text);
    _exit(99);
}

static void parse_rule(const char *text)
{
    static const struct {
        const char *name;
        int error;
    } errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},
                  {"EACCES", EACCES}, {"EDQUOT", EDQUOT}, {"EINVAL", EINVAL},
                  {"ESTALE", ESTALE}, {"EPERM", EPERM},   {"ENOSYS", ENOSYS}};
    char when[24], what[16];
    struct rule *rule = &rules[rule_count];
    if (rule_count++ == MOST_RULES)
        give_up("too many rules");
    if (sscanf(text, "%15[^:]:%23[^:]:%15[^:]:%63[^;]", rule->call, when, what, rule->part) < 3)
        give_up("a rule is CALL:WHEN:WHAT:PART");
    rule->every = when[0] == '*';
    char *end;
    rule->at = strtoul(when + rule->every, &end, 10);
    rule->onwards = *end == '+';
    if (rule->at == 0 || end[rule->onwards] != '\0')
        give_up("cannot understand WHEN");
    if (strcmp(what, "short") == 0)
        rule->action = ACT_SHORT;
    else if (strcmp(what, "eof") == 0)
        rule->action = ACT_EOF;
    else if (strcmp(what, "flip") == 0)
        rule->action = ACT_FLIP;
    else if (strcmp(what, "kill") == 0)
        rule->action = ACT_KILL;
    else if (strcmp(what, "term") == 0)
        rule->action = ACT_TERM;
    else if (strcmp(what, "crash") == 0)
        rule->action = ACT_CRASH;
    else if (strcmp(what, "spin") == 0)
        rule->action = ACT_SPIN;
    else if (strcmp(what, "oom") == 0)
        rule->action = ACT_OOM;
    else if (strcmp(what, "grant") == 0)
        rule->action = ACT_GRANT;
    else if (strcmp(what, "nfs") == 0)
        rule->action = ACT_NFS;
    rule->anywhere =
        rule->action == ACT_GRANT || rule->action == ACT_NFS || what[strlen(what) - 1] == '!';
    what[strcspn(what, "!")] = '\0';
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(what, errors[i].name) == 0) {
            rule->action = ACT_ERROR;
            rule->error = errors[i].error;
        }
    if (rule->action == ACT_NONE)
        give_up("cannot understand WHAT");
}

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("EMD_FAULT");
    owner = getpid();
    while (text && *text) {
        char one[128];
        size_t n = strcspn(text, ";");
        if (n >= sizeof one)
            give_up("a rule is too long");
        memcpy(one, text, n);
        one[n] = '\0';
        parse_rule(one);
        text += n + (text[n] == ';');
    }
}

__attribute__((destructor)) static void finish(void)
{
    const char *name = getenv("EMD_FAULT_LOG");
    FILE *log = name && is_worker() ? fopen(name, "w") : NULL;
    for (size_t i = 0; log && i < rule_count; i++)
        fprintf(log, "%lu\n", atomic_load(&rules[i].seen));
    if (log)
        fclose(log);
}

static bool has_part(const char *name, const char *part)
{
    return strchr(part, '*') ? fnmatch(part, name, 0) == 0 : strstr(name, part) != NULL;
}

/* What is to happen to this call; 'name' NULL: the file is known by its descriptor. */
static const struct rule *match(const char *call, int fd, const char *name)
{
    char link[64], target[PATH_MAX] = "";
    const bool own = is_worker();
    for (size_t i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->call, call) != 0 ||
            (!rule->anywhere && own == (rule->action >= ACT_CRASH)))
            continue;
        if (!name && rule->part[0]) {
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            ssize_t n = readlink(link, target, sizeof target - 1);
            target[n > 0 ? n : 0] = '\0';
        }
        if (!has_part(name ? name : target, rule->part))
            continue;
        unsigned long number = atomic_fetch_add(&rule->seen, 1) + 1;
        bool now = rule->every     ? number % rule->at == 0
                   : rule->onwards ? number >= rule->at
                                   : number == rule->at;
        if (!now)
            continue;
        if (rule->action == ACT_KILL || rule->action == ACT_OOM)
            kill(getpid(), SIGKILL);
        if (rule->action == ACT_TERM)
            kill(getpid(), SIGTERM);
        if (rule->action == ACT_CRASH)
            raise(SIGSEGV);
        while (rule->action == ACT_SPIN)
            atomic_fetch_add(&rule->seen, 1);
        return rule;
    }
    return NULL;
}

static void *next(const char *symbol)
{
    void *found = dlsym(RTLD_NEXT, symbol);
    if (!found)
        give_up("a system call is missing");
    return found;
}

/* The bytes to move, or -1 with errno. */
static ssize_t cut(const struct rule *rule, size_t n)
{
    if (rule && rule->action == ACT_ERROR) {
        errno = rule->error;
        return -1;
    }
    if (rule && rule->action == ACT_EOF)
        return 0;
    return rule && rule->action == ACT_SHORT && n > 1 ? (ssize_t)(n / 2) : (ssize_t)n;
}

/* The bytes to write: the caller's, or a copy with a bit turned, which the caller frees. */
static void *turned(const struct rule *rule, const void *data, size_t n)
{
    if (!rule || rule->action != ACT_FLIP || n == 0 || n > MOST_FLIPPED)
        return NULL;
    unsigned char *copy = malloc(n);
    if (!copy)
        give_up("out of memory");
    memcpy(copy, data, n);
    copy[n / 2] ^= 0x10;
    return copy;
}

typedef ssize_t pread_function(int, void *, size_t, off64_t);
typedef ssize_t pwrite_function(int, const void *, size_t, off64_t);
typedef ssize_t write_function(int, const void *, size_t);
typedef int ftruncate_function(int, off64_t);

#define EXPORT __attribute__((visibility("default")))

/* A file's place has 32 bits in the plain calls of 32-bit machines: all of them go on to those
 * of 64. */
EXPORT ssize_t pread64(int fd, void *data, size_t n, off64_t offset)
{
    ssize_t part = cut(match("pread", fd, NULL), n);
    return part > 0 ? ((pread_function *)next("pread64"))(fd, data, (size_t)part, offset) : part;
}

EXPORT ssize_t pread(int fd, void *data, size_t n, off_t offset)
{
    return pread64(fd, data, n, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
{
    const struct rule *rule = match("pwrite", fd, NULL);
    ssize_t part = cut(rule, n);
    if (part <= 0)
        return part;
    void *copy = turned(rule, data, n);
    part = ((pwrite_function *)next("pwrite64"))(fd, copy ? copy : data, (size_t)part, offset);
    int cause = errno;
    free(copy);
    errno = cause;
    return part;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    return pwrite64(fd, data, n, offset);
}

EXPORT ssize_t write(int fd, const void *data, size_t n)
{
    ssize_t part = cut(match("write", fd, NULL), n);
    return part > 0 ? ((write_function *)next("write"))(fd, data, (size_t)part) : part;
}

static int refuse(const struct rule *rule)
{
    if (!rule || rule->action != ACT_ERROR)
        return 0;
    errno = rule->error;
    return -1;
}

EXPORT int fsync(int fd)
{
    return refuse(match("fsync", fd, NULL)) ? -1 : ((int (*)(int))next("fsync"))(fd);
}

EXPORT int ftruncate64(int fd, off64_t size)
{
    return refuse(match("ftruncate", fd, NULL))
               ? -1
               : ((ftruncate_function *)next("ftruncate64"))(fd, size);
}

EXPORT int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

EXPORT int rename(const char *from, const char *to)
{
    return refuse(match("rename", -1, to))
               ? -1
               : ((int (*)(const char *, const char *))next("rename"))(from, to);
}

EXPORT int renameat2(int from_folder, const char *from, int to_folder, const char *to,
                     unsigned flags)
{
    return refuse(match("rename", -1, to))
               ? -1
               : ((int (*)(int, const char *, int, const char *, unsigned))next("renameat2"))(
                     from_folder, from, to_folder, to, flags);
}

EXPORT int futimens(int fd, const struct timespec times[2])
{
    return refuse(match("futimens", fd, NULL))
               ? -1
               : ((int (*)(int, const struct timespec *))next("futimens"))(fd, times);
}

EXPORT int fchmod(int fd, mode_t mode)
{
    return refuse(match("fchmod", fd, NULL)) ? -1
                                             : ((int (*)(int, mode_t))next("fchmod"))(fd, mode);
}

EXPORT int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return refuse(match("rename", -1, to)) ? -1
                                           : ((int (*)(int, const char *, int, const char *))next(
                                                 "renameat"))(from_folder, from, to_folder, to);
}

EXPORT int fcntl64(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *); /* an int fits in it, too */
    va_end(args);
    const bool sets = command == F_OFD_SETLK || command == F_SETLK;
    const bool asks = command == F_OFD_GETLK || command == F_GETLK;
    const struct rule *rule = sets || asks ? match("lock", fd, NULL) : NULL;
    if (refuse(rule))
        return -1;
    if (rule && rule->action == ACT_GRANT) {
        if (asks)
            ((struct flock64 *)argument)->l_type = F_UNLCK;
        return 0;
    }
    return ((int (*)(int, int, ...))next("fcntl64"))(fd, command, argument);
}

EXPORT int fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fcntl64(fd, command, argument);
}

EXPORT int fstatfs64(int fd, struct statfs64 *fs)
{
    const int result = ((int (*)(int, struct statfs64 *))next("fstatfs64"))(fd, fs);
    const struct rule *rule = match("statfs", fd, NULL);
    if (rule && rule->action == ACT_NFS)
        fs->f_type = 0x6969;
    return result;
}
