/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See lockfile.h. A file is taken over by moving it away and making a new one with O_EXCL: of two
 * who find the same dead record only one gets the name, also where locks mean nothing. */
#include "base/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

#define MAGIC "emdtools-lock"

enum {
    RECORD_BYTES = 1024,
    REFRESH = 15, /* seconds */
    STALE = 120,  /* seconds: eight refreshes, and a server that is restarted */
    ROUNDS = 20   /* each has lost a race against somebody who makes progress */
};

/* One line: "emdtools-lock 1 ID PID START PIDNS BOOT HOST NOTE". */
struct record {
    char id[17], namespace[40], boot[48], host[72], note[NAME_MAX + 1];
    long pid;
    unsigned long long started;
};

struct emd_lockfile {
    int folder, fd;
    char *name;
    struct record own;
    char left[NAME_MAX + 1];
    bool trusted; /* the kernel's lock decides */
    time_t looked;
};

enum answer { LOCKED, HELD, UNSUPPORTED };
enum life { ALIVE, GONE, UNKNOWN };

#ifdef F_OFD_SETLK
enum { SET_LOCK = F_OFD_SETLK, GET_LOCK = F_OFD_GETLK };
#else
enum { SET_LOCK = F_SETLK, GET_LOCK = F_GETLK };
#endif

/* The byte that is locked: behind any content, inside every off_t of 64 bits. */
static struct flock far_byte(void)
{
    return (struct flock){.l_type = F_WRLCK,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)(sizeof(off_t) > 4 ? INT64_C(1) << 62 : 1 << 30),
                          .l_len = 1};
}

static enum answer take_byte(int fd)
{
    struct flock lock = far_byte();
    if (fcntl(fd, SET_LOCK, &lock) == 0)
        return LOCKED;
    return errno == EAGAIN || errno == EACCES ? HELD : UNSUPPORTED;
}

bool emd_lock_descriptor(int fd)
{
    return take_byte(fd) != HELD;
}

void emd_unique_id(char id[static 17])
{
    static unsigned count;
    uint64_t value;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        value = ((uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec << 20) +
                ((uint64_t)getpid() << 40) + count++;
    }
    snprintf(id, 17, "%016" PRIx64, value);
}

/* ---- records --------------------------------------------------------------------------------- */

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

static void one_word(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ')
            *p = '_';
    if (!*text)
        strcpy(text, "-");
}

static void describe_self(struct record *r, const char *note)
{
    memset(r, 0, sizeof *r);
    emd_unique_id(r->id);
    r->pid = (long)getpid();
    r->started = start_time(r->pid);
    if (readlink("/proc/self/ns/pid", r->namespace, sizeof r->namespace - 1) < 0)
        r->namespace[0] = '\0';
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (f) {
        if (fgets(r->boot, sizeof r->boot, f))
            r->boot[strcspn(r->boot, "\n")] = '\0';
        fclose(f);
    }
    gethostname(r->host, sizeof r->host - 1);
    one_word(r->namespace);
    one_word(r->boot);
    one_word(r->host);
    snprintf(r->note, sizeof r->note, "%s", note ? note : "");
}

static int print_record(const struct record *r, char text[static RECORD_BYTES])
{
    return snprintf(text, RECORD_BYTES, MAGIC " 1 %s %ld %llu %s %s %s %s\n", r->id, r->pid,
                    r->started, r->namespace, r->boot, r->host, r->note);
}

/* 1: a record; 0: an empty file, of one who is just making it or has died of it; -1: no lock file
 * of ours, or it cannot be read. */
static int read_record(int fd, struct record *r)
{
    char text[RECORD_BYTES] = "";
    int at = 0;
    memset(r, 0, sizeof *r);
    const ssize_t n = emd_pread_some(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return (int)n;
    if (strlen(text) != (size_t)n ||
        sscanf(text, MAGIC " 1 %16[0-9a-f] %ld %llu %39s %47s %71s %n", r->id, &r->pid, &r->started,
               r->namespace, r->boot, r->host, &at) != 6 ||
        at == 0)
        return -1;
    snprintf(r->note, sizeof r->note, "%s", text + at);
    r->note[strcspn(r->note, "\n")] = '\0';
    return 1;
}

static enum life life_of(const struct record *r)
{
    struct record self;
    describe_self(&self, NULL);
    if (self.boot[0] == '-' || self.namespace[0] == '-' || strcmp(self.boot, r->boot) != 0 ||
        strcmp(self.namespace, r->namespace) != 0 || r->pid <= 0)
        return UNKNOWN;
    if (kill((pid_t)r->pid, 0) != 0 && errno == ESRCH)
        return GONE;
    const unsigned long long started = start_time(r->pid);
    return r->started && started && r->started != started ? GONE : ALIVE;
}

/* The clock of the folder's server: that of a file made just now. */
static time_t server_now(int folder, const char *name)
{
    char id[17], *probe;
    struct stat st;
    time_t now = time(NULL);
    emd_unique_id(id);
    if (asprintf(&probe, "%.200s.%s.tmp", name, id) < 0)
        return now;
    const int fd = openat(folder, probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (fstat(fd, &st) == 0)
            now = st.st_mtime;
        close(fd);
        unlinkat(folder, probe, 0);
    }
    free(probe);
    return now;
}

static enum emd_status say_busy(const struct record *r, struct emd_error *err)
{
    if (r->pid > 0)
        return emd_fail(err, EMD_E_BUSY, "process %ld on %s", r->pid, r->host);
    return emd_fail(err, EMD_E_BUSY, "an unknown process");
}

static int open_existing(int folder, const char *name, int access)
{
    return openat(folder, name, access | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Whether the file that has the name now holds this record. */
static bool is_record(int folder, const char *name, const struct record *r)
{
    struct record found;
    const int fd = open_existing(folder, name, O_RDONLY);
    const bool same = fd >= 0 && read_record(fd, &found) == 1 && strcmp(found.id, r->id) == 0;
    if (fd >= 0)
        close(fd);
    return same;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Moves a dead record out of the way; false where another took its place meanwhile. */
static bool move_away(int folder, const char *name, const struct record *dead)
{
    char id[17], *aside;
    struct record moved;
    bool right = false;
    emd_unique_id(id);
    if ((dead->id[0] && !is_record(folder, name, dead)) ||
        asprintf(&aside, "%.200s.%s.tmp", name, id) < 0)
        return false;
    if (renameat(folder, name, folder, aside) == 0) {
        const int fd = open_existing(folder, aside, O_RDONLY);
        right = fd >= 0 && read_record(fd, &moved) >= 0 && strcmp(moved.id, dead->id) == 0;
        if (fd >= 0)
            close(fd);
        if (!right)
            linkat(folder, aside, folder, name, 0); /* a living one's: back to its place */
        unlinkat(folder, aside, 0);
    }
    free(aside);
    return right;
}

/* The file exists. EMD_OK: its holder was dead, and it is out of the way (or gone). */
static enum emd_status look_at_existing(struct emd_lockfile *lock, struct emd_error *err)
{
    struct record r = {.pid = 0};
    struct stat st;
    enum emd_status status = EMD_OK;
    const int fd = open_existing(lock->folder, lock->name, O_RDWR);
    if (fd < 0 && (errno == ELOOP || errno == EISDIR))
        return emd_fail(err, EMD_E_EXISTS, "%s is not a lock of emdtools; move it away",
                        lock->name);
    if (fd < 0)
        return errno == ENOENT ? EMD_OK
                               : emd_fail_errno(err, EMD_E_IO, errno, "cannot open %s", lock->name);
    if (fstat(fd, &st) != 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot look at %s", lock->name);
        goto out;
    }
    const int found = S_ISREG(st.st_mode) && st.st_nlink <= 1 ? read_record(fd, &r) : -1;
    if (found < 0) {
        status =
            emd_fail(err, EMD_E_EXISTS, "%s is not a lock of emdtools; move it away", lock->name);
        goto out;
    }
    const enum answer answer = take_byte(fd);
    const enum life life = found ? life_of(&r) : UNKNOWN;
    const bool by_time = life == UNKNOWN && !(answer == LOCKED && emd_is_local(fd));
    if (answer == HELD || life == ALIVE ||
        (by_time && server_now(lock->folder, lock->name) - st.st_mtime < STALE)) {
        status = say_busy(&r, err);
    } else if (move_away(lock->folder, lock->name, &r) && r.note[0]) {
        memcpy(lock->left, r.note, sizeof lock->left);
    }
out:
    close(fd);
    return status;
}

/* 1: taken; 0: lost a race, or the name exists; -1: failed. */
static int make_file(struct emd_lockfile *lock, struct emd_error *err)
{
    char text[RECORD_BYTES];
    const int n = print_record(&lock->own, text);
    lock->fd =
        openat(lock->folder, lock->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (lock->fd < 0 && errno == EEXIST)
        return 0;
    if (lock->fd < 0) {
        emd_fail_errno(err, EMD_E_IO, errno, "cannot create %s", lock->name);
        return -1;
    }
    const enum answer answer = take_byte(lock->fd);
    lock->trusted = answer == LOCKED && emd_is_local(lock->fd);
    const bool written = emd_pwrite_all(lock->fd, text, (size_t)n, 0) == 0;
    const int cause = errno;
    /* Between creation and lock somebody may have taken it for a dead one's. Without a record (a
     * full disk) the kernel's lock must do. */
    const bool full = !written && (cause == ENOSPC || cause == EDQUOT);
    if (answer != HELD &&
        (written ? is_record(lock->folder, lock->name, &lock->own) : full && lock->trusted)) {
        lock->looked = time(NULL);
        return 1;
    }
    close(lock->fd);
    lock->fd = -1;
    if (answer == HELD || written)
        return 0;
    unlinkat(lock->folder, lock->name, 0);
    emd_fail_errno(err, EMD_E_IO, cause, "cannot write %s", lock->name);
    return -1;
}

static enum emd_status take(struct emd_lockfile *lock, struct emd_error *err)
{
    for (int round = 0; round < ROUNDS; round++) {
        const int made = make_file(lock, err);
        if (made != 0)
            return made > 0 ? EMD_OK : EMD_E_IO;
        const enum emd_status status = look_at_existing(lock, err);
        if (status != EMD_OK)
            return status;
    }
    return emd_fail(err, EMD_E_BUSY, "%s is contended by other processes", lock->name);
}

enum emd_status emd_lockfile_take(int folder, const char *name, const char *note,
                                  struct emd_lockfile **out, struct emd_error *err)
{
    struct emd_lockfile *lock = calloc(1, sizeof *lock);
    enum emd_status status;
    *out = NULL;
    if (!lock)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    lock->fd = -1;
    lock->folder = folder == AT_FDCWD ? AT_FDCWD : fcntl(folder, F_DUPFD_CLOEXEC, 0);
    lock->name = strdup(name);
    describe_self(&lock->own, note);
    if (!lock->name)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else if (folder != AT_FDCWD && lock->folder < 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot lock");
    else
        status = take(lock, err);
    if (status == EMD_OK)
        *out = lock;
    else
        emd_lockfile_release(lock);
    return status;
}

const char *emd_lockfile_left(const struct emd_lockfile *lock)
{
    return lock->left;
}

int emd_lockfile_fd(const struct emd_lockfile *lock)
{
    return lock->fd;
}

enum emd_status emd_lockfile_check(struct emd_lockfile *lock, struct emd_error *err)
{
    struct record r = {.pid = 0};
    const int fd = open_existing(lock->folder, lock->name, O_RDONLY);
    const int cause = errno;
    const int found = fd >= 0 ? read_record(fd, &r) : -1;
    if (fd >= 0)
        close(fd);
    if (found == 1 && strcmp(r.id, lock->own.id) == 0) {
        const time_t now = time(NULL);
        if (!lock->trusted && (now - lock->looked >= REFRESH || now < lock->looked)) {
            futimens(lock->fd, NULL);
            lock->looked = now;
        }
        return EMD_OK;
    }
    if (found == 0 && lock->trusted)
        return EMD_OK; /* made on a full disk */
    if (fd >= 0)
        return say_busy(&r, err);
    if (cause != ENOENT)
        return emd_fail_errno(err, EMD_E_IO, cause, "cannot open %s", lock->name);
    /* deleted by somebody who tidied up: the old descriptor goes when the new one is there */
    const int old = lock->fd;
    const enum emd_status status = take(lock, err);
    if (status == EMD_OK && old >= 0)
        close(old);
    else if (status != EMD_OK)
        lock->fd = old;
    return status;
}

void emd_lockfile_release(struct emd_lockfile *lock)
{
    if (!lock)
        return;
    if (lock->fd >= 0) {
        struct record r;
        const int fd = open_existing(lock->folder, lock->name, O_RDONLY);
        const int found = fd >= 0 ? read_record(fd, &r) : -1;
        if ((found == 1 && strcmp(r.id, lock->own.id) == 0) || (found == 0 && lock->trusted))
            unlinkat(lock->folder, lock->name, 0);
        if (fd >= 0)
            close(fd);
        close(lock->fd);
    }
    if (lock->folder >= 0)
        close(lock->folder);
    free(lock->name);
    free(lock);
}

bool emd_lockfile_held(int folder, const char *name)
{
    struct record r;
    struct stat st;
    struct flock lock = far_byte();
    bool held = false;
    const int fd = open_existing(folder, name, O_RDONLY);
    if (fd < 0)
        return false;
    const bool asked = fcntl(fd, GET_LOCK, &lock) == 0;
    const int found = read_record(fd, &r);
    if (asked && lock.l_type != F_UNLCK) {
        held = true;
    } else if (found >= 0 && fstat(fd, &st) == 0) {
        const enum life life = found ? life_of(&r) : UNKNOWN;
        held = life == ALIVE || (life == UNKNOWN && !(asked && emd_is_local(fd)) &&
                                 time(NULL) - st.st_mtime < STALE);
    }
    close(fd);
    return held;
}

pid_t emd_lockfile_holder(int folder, const char *name)
{
    struct record r = {.pid = 0};
    const int fd = open_existing(folder, name, O_RDONLY);
    const bool seen = fd >= 0 && read_record(fd, &r) == 1 && life_of(&r) == ALIVE;
    if (fd >= 0)
        close(fd);
    return seen ? (pid_t)r.pid : 0;
}
