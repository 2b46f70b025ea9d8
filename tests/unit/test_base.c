/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/base and tools/common: status texts, safe files, number parsing. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lockfile.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/safefile.h"
#include "base/utf8.h"
#include "common/message.h"
#include "watch/scan.h"

static char folder[64];
static char path[128], lock[160];

static void setup(void)
{
    strcpy(folder, "/tmp/emd_base_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/out", folder);
    snprintf(lock, sizeof lock, "%s.lock.tmp", path);
}

static void teardown(void)
{
    unlink(path);
    unlink(lock);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else is left behind */
}

static bool exists(const char *name)
{
    struct stat st;
    return lstat(name, &st) == 0;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static char *get(const char *name)
{
    static char text[64];
    FILE *f = fopen(name, "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* Temporary files, locks aside; one of them in 'temp'. */
static char temp[400];
static int temporaries(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    size_t stem;
    while ((entry = readdir(dir)))
        if (emd_safefile_is_temporary(entry->d_name, &stem) && !strstr(entry->d_name, ".lock.")) {
            snprintf(temp, sizeof temp, "%s/%s", folder, entry->d_name);
            count++;
        }
    closedir(dir);
    return count;
}

static size_t clean(void)
{
    static const char *const patterns[] = {"*", NULL};
    return emd_scan_clean(folder, patterns, 0);
}

static struct emd_safefile *create(void)
{
    struct emd_safefile *file;
    struct emd_error err = {0};
    ck_assert_msg(emd_safefile_create(path, &file, &err) == EMD_OK, "%s", err.text);
    ck_assert_int_eq(write(emd_safefile_fd(file), "new", 3), 3);
    return file;
}

/* After a power cut a temporary file may be there without the lock that names it. */
START_TEST(state_files_are_cleaned)
{
    char state[4096], other[4096];
    snprintf(state, sizeof state, "%s/.emdwatch.json.0123456789abcdef.tmp", folder);
    snprintf(other, sizeof other, "%s/.other.json.0123456789abcdef.tmp", folder);
    put(state, "{}");
    put(other, "{}");
    ck_assert_uint_eq(clean(), 1);
    ck_assert(!exists(state) && exists(other));
    unlink(other);
}
END_TEST

START_TEST(commit_gives_the_final_name)
{
    struct emd_safefile *file = create();
    ck_assert(temporaries() == 1 && exists(lock) && !exists(path));
    ck_assert_int_eq(emd_safefile_commit(&file, 1, false, NULL), EMD_OK);
    ck_assert(temporaries() == 0 && !exists(lock));
    ck_assert_str_eq(get(path), "new");
}
END_TEST

START_TEST(discard_leaves_nothing)
{
    emd_safefile_discard(create());
    ck_assert(temporaries() == 0 && !exists(lock) && !exists(path));
}
END_TEST

START_TEST(synchronised_meanwhile)
{
    struct emd_safefile *file = create();
    emd_safefile_sync_begin(file);
    ck_assert_int_eq(emd_safefile_sync(file, NULL), EMD_OK);
    ck_assert_int_eq(write(emd_safefile_fd(file), "er", 2), 2);
    emd_safefile_sync_begin(file);
    emd_safefile_sync_begin(file); /* the first one is waited for */
    ck_assert_int_eq(emd_safefile_commit(&file, 1, false, NULL), EMD_OK);
    ck_assert_str_eq(get(path), "newer");
    unlink(path);
    file = create();
    emd_safefile_sync_begin(file);
    emd_safefile_discard(file);
    ck_assert(temporaries() == 0 && !exists(lock) && !exists(path));
}
END_TEST

/* What a process gets from its parent is the same afterwards, and still its own. */
START_TEST(memory_unshared)
{
    static char text[3 << 12] = "data";
    char *const heap = strdup("heap");
    const pid_t child = fork();
    if (child == 0) {
        emd_memory_unshare();
        const bool same = strcmp(text, "data") == 0 && strcmp(heap, "heap") == 0;
        heap[0] = text[0] = 'x';
        _exit(same ? 0 : 1);
    }
    int end;
    ck_assert(waitpid(child, &end, 0) == child && WIFEXITED(end) && WEXITSTATUS(end) == 0);
    ck_assert_str_eq(heap, "heap");
    ck_assert_str_eq(text, "data");
    free(heap);
}
END_TEST

START_TEST(existing_output_stays)
{
    struct emd_error err;
    put(path, "old");
    struct emd_safefile *file = create();
    ck_assert_int_eq(emd_safefile_commit(&file, 1, false, &err), EMD_E_EXISTS);
    ck_assert_str_eq(get(path), "old");
    ck_assert_int_eq(temporaries(), 0);
    file = create();
    ck_assert_int_eq(emd_safefile_commit(&file, 1, true, &err), EMD_OK);
    ck_assert_str_eq(get(path), "new");
}
END_TEST

START_TEST(live_temporary_is_busy)
{
    struct emd_safefile *file = create(), *second;
    struct emd_error err;
    ck_assert(emd_safefile_busy(path));
    ck_assert_int_eq(emd_safefile_create(path, &second, &err), EMD_E_BUSY);
    ck_assert_uint_eq(clean(), 0);
    ck_assert_int_eq(temporaries(), 1);
    unlink(lock); /* somebody tidied up too much: what is being written stays all the same */
    ck_assert_uint_eq(clean(), 0);
    ck_assert_int_eq(temporaries(), 1);
    emd_safefile_discard(file);
    ck_assert(!emd_safefile_busy(path));
}
END_TEST

START_TEST(dead_temporary_is_replaced)
{
    pid_t child = fork();
    if (child == 0) {
        struct emd_safefile *file;
        _exit(emd_safefile_create(path, &file, NULL) == EMD_OK ? 0 : 1); /* no clean-up */
    }
    int result;
    ck_assert_int_eq(waitpid(child, &result, 0), child);
    ck_assert_int_eq(result, 0);
    ck_assert(!emd_safefile_busy(path));
    ck_assert(temporaries() == 1 && exists(lock));
    struct emd_safefile *file = create();
    ck_assert_int_eq(temporaries(), 1);
    emd_safefile_discard(file);
    ck_assert_int_eq(temporaries(), 0);
    snprintf(temp, sizeof temp, "%s.0123456789abcdef.tmp", path);
    put(temp, "stale");
    ck_assert_uint_eq(clean(), 1);
    ck_assert(!exists(temp) && !exists(lock));
}
END_TEST

START_TEST(foreign_object_under_the_temporary_name_stays)
{
    struct emd_safefile *file;
    struct emd_error err;
    ck_assert_int_eq(symlink("/nonexistent", lock), 0);
    ck_assert_int_eq(emd_safefile_create(path, &file, &err), EMD_E_EXISTS);
    ck_assert(exists(lock));
    unlink(lock);
    put(lock, "not a lock");
    ck_assert_int_eq(emd_safefile_create(path, &file, &err), EMD_E_EXISTS);
    ck_assert_str_eq(get(lock), "not a lock");
    unlink(lock);
    ck_assert_int_eq(mkfifo(lock, 0600), 0);
    ck_assert_int_eq(emd_safefile_create(path, &file, &err), EMD_E_EXISTS);
}
END_TEST

START_TEST(several_are_committed_all_or_none)
{
    char second_path[128];
    struct emd_safefile *files[2];
    snprintf(second_path, sizeof second_path, "%s/second", folder);
    put(second_path, "old");
    files[0] = create();
    ck_assert_int_eq(emd_safefile_create(second_path, &files[1], NULL), EMD_OK);
    ck_assert_int_eq(emd_safefile_commit(files, 2, false, NULL), EMD_E_EXISTS);
    ck_assert(!exists(path) && temporaries() == 0);
    ck_assert_str_eq(get(second_path), "old");
    files[0] = create();
    ck_assert_int_eq(emd_safefile_create(second_path, &files[1], NULL), EMD_OK);
    ck_assert_int_eq(emd_safefile_commit(files, 2, true, NULL), EMD_OK);
    ck_assert_str_eq(get(path), "new");
    ck_assert_str_eq(get(second_path), "");
    unlink(second_path);
}
END_TEST

/* File systems without hard links, and renames that fail: the library calls these. */
static bool no_links;
static const char *unrenamable;

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    if (no_links) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    if (unrenamable && strncmp(from, unrenamable, strlen(unrenamable)) == 0 &&
        !strstr(from, ".old.")) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
}

START_TEST(old_outputs_survive_a_failed_commit)
{
    static const char *const failing[] = {"second.", "out."};
    char second_path[128];
    snprintf(second_path, sizeof second_path, "%s/second", folder);
    no_links = _i % 2;
    put(path, "old one");
    put(second_path, "old two");
    struct emd_safefile *files[2] = {create()};
    ck_assert_int_eq(emd_safefile_create(second_path, &files[1], NULL), EMD_OK);
    unrenamable = failing[_i / 2];
    const enum emd_status status = emd_safefile_commit(files, 2, true, NULL);
    unrenamable = NULL;
    ck_assert_int_eq(status, EMD_E_IO);
    ck_assert_str_eq(get(path), "old one");
    ck_assert_str_eq(get(second_path), "old two");
    no_links = false;
    unlink(second_path);
}
END_TEST

/* The folder that was opened is the one that is written, whatever its name leads to by then. */
START_TEST(an_exchanged_folder_leads_nowhere)
{
    char inner[128], moved[128], file_path[160], moved_path[160];
    snprintf(inner, sizeof inner, "%s/inner", folder);
    snprintf(moved, sizeof moved, "%s/moved", folder);
    snprintf(file_path, sizeof file_path, "%s/inner/x", folder);
    snprintf(moved_path, sizeof moved_path, "%s/moved/x", folder);
    ck_assert_int_eq(mkdir(inner, 0700), 0);
    struct emd_safefile *file;
    ck_assert_int_eq(emd_safefile_create(file_path, &file, NULL), EMD_OK);
    ck_assert(rename(inner, moved) == 0 && symlink("/nonexistent", inner) == 0);
    ck_assert_int_eq(emd_safefile_commit(&file, 1, false, NULL), EMD_OK);
    ck_assert(exists(moved_path));
    ck_assert(unlink(moved_path) == 0 && unlink(inner) == 0 && rmdir(moved) == 0);
}
END_TEST

START_TEST(long_names_have_shorter_temporaries)
{
    char name[256], long_path[400];
    for (size_t n = 230; n <= 255; n += 5) {
        struct emd_safefile *file;
        struct emd_error err = {0};
        memset(name, 'n', n);
        name[n] = '\0';
        snprintf(long_path, sizeof long_path, "%s/%s", folder, name);
        ck_assert_msg(emd_safefile_create(long_path, &file, &err) == EMD_OK, "%s", err.text);
        ck_assert(emd_safefile_busy(long_path));
        ck_assert_int_eq(emd_safefile_commit(&file, 1, false, NULL), EMD_OK);
        ck_assert(exists(long_path) && temporaries() == 0);
        unlink(long_path);
    }
}
END_TEST

static const char *record_of(const char *boot, const char *namespace, long pid)
{
    static char text[400];
    snprintf(text, sizeof text, "emdtools-lock 1 0123456789abcdef %ld 0 %s %s host note\n", pid,
             namespace, boot);
    return text;
}

/* On a local file system the kernel's lock decides, unless the process is seen alive. */
START_TEST(records_of_others)
{
    struct emd_lockfile *held, *second;
    char boot[64] = "", namespace[64] = "";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    ck_assert(f && fscanf(f, "%63s", boot) == 1);
    fclose(f);
    ck_assert_int_gt(readlink("/proc/self/ns/pid", namespace, sizeof namespace - 1), 0);

    put(lock, record_of(boot, namespace, (long)getppid()));
    ck_assert(emd_lockfile_held(AT_FDCWD, lock));
    ck_assert_int_eq(emd_lockfile_take(AT_FDCWD, lock, NULL, &held, NULL), EMD_E_BUSY);
    ck_assert_int_eq(emd_lockfile_holder(AT_FDCWD, lock), getppid());

    put(lock, record_of("another-boot", namespace, 1));
    ck_assert(!emd_lockfile_held(AT_FDCWD, lock));
    ck_assert_int_eq(emd_lockfile_take(AT_FDCWD, lock, "mine", &held, NULL), EMD_OK);
    ck_assert_str_eq(emd_lockfile_left(held), "note");
    ck_assert_int_eq(emd_lockfile_take(AT_FDCWD, lock, NULL, &second, NULL), EMD_E_BUSY);

    unlink(lock); /* deleted: taken again */
    ck_assert_int_eq(emd_lockfile_check(held, NULL), EMD_OK);
    ck_assert(exists(lock) && emd_lockfile_held(AT_FDCWD, lock));
    put(lock, record_of(boot, namespace, (long)getppid())); /* another's: lost, and left alone */
    ck_assert_int_eq(emd_lockfile_check(held, NULL), EMD_E_BUSY);
    emd_lockfile_release(held);
    ck_assert(exists(lock));
}
END_TEST

/* A share whose locks are granted to everybody, and on which processes cannot be asked for. */
static bool nobody_locks;

int fstatfs(int fd, struct statfs *fs)
{
    const int result = (int)syscall(SYS_fstatfs, fd, fs);
    if (nobody_locks)
        fs->f_type = 0x6969; /* NFS */
    return result;
}

START_TEST(records_count_where_locks_do_not)
{
    struct emd_lockfile *held;
    nobody_locks = true;
    put(lock, record_of("another-boot", "pid:[1]", 1));
    ck_assert(emd_lockfile_held(AT_FDCWD, lock));
    ck_assert_int_eq(emd_lockfile_take(AT_FDCWD, lock, NULL, &held, NULL), EMD_E_BUSY);
    const struct timespec old[2] = {{.tv_sec = time(NULL) - 600}, {.tv_sec = time(NULL) - 600}};
    ck_assert_int_eq(utimensat(AT_FDCWD, lock, old, 0), 0); /* not refreshed for long */
    ck_assert(!emd_lockfile_held(AT_FDCWD, lock));
    ck_assert_int_eq(emd_lockfile_take(AT_FDCWD, lock, NULL, &held, NULL), EMD_OK);
    emd_lockfile_release(held);
    ck_assert(!exists(lock));
    nobody_locks = false;
}
END_TEST

START_TEST(links_are_not_followed_beneath)
{
    char inner[128], away[128];
    snprintf(inner, sizeof inner, "%s/inner", folder);
    snprintf(away, sizeof away, "%s/away", folder);
    ck_assert(mkdir(inner, 0700) == 0 && symlink("inner", away) == 0);
    const int root = open(folder, O_RDONLY | O_DIRECTORY);
    int fd = emd_make_folder_beneath(root, "a/b/c/file");
    ck_assert_int_ge(fd, 0);
    close(fd);
    fd = emd_open_beneath(root, "a//b/c", O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_lt(emd_make_folder_beneath(root, "away/b/file"), 0);
    ck_assert_int_lt(emd_open_beneath(root, "away", O_RDONLY | O_DIRECTORY), 0);
    ck_assert_int_lt(emd_open_beneath(root, "a/../..", O_RDONLY | O_DIRECTORY), 0);
    ck_assert(unlinkat(root, "a/b/c", AT_REMOVEDIR) == 0 &&
              unlinkat(root, "a/b", AT_REMOVEDIR) == 0 && unlinkat(root, "a", AT_REMOVEDIR) == 0);
    ck_assert(rmdir(inner) == 0 && unlink(away) == 0);
    close(root);
}
END_TEST

START_TEST(private_while_it_is_written)
{
    struct emd_safefile *file;
    struct stat st;
    ck_assert_int_eq(emd_safefile_create_at(AT_FDCWD, path, 0600, &file, NULL), EMD_OK);
    ck_assert_int_eq(temporaries(), 1);
    ck_assert_int_eq(stat(temp, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    emd_safefile_discard(file);
}
END_TEST

START_TEST(removed_temporary_is_noticed)
{
    struct emd_safefile *file = create();
    ck_assert_int_eq(temporaries(), 1);
    unlink(temp);
    ck_assert_int_eq(emd_safefile_commit(&file, 1, false, NULL), EMD_E_IO);
    ck_assert(!exists(path));
}
END_TEST

START_TEST(sizes)
{
    size_t n = 7;
    ck_assert(emd_parse_size("1K", &n) && n == 1024);
    ck_assert(emd_parse_size("1.5m", &n) && n == 1572864);
    ck_assert(emd_parse_size("2G", &n) && n == (size_t)2 << 30);
    ck_assert(emd_parse_size("123", &n) && n == 123);
    ck_assert(emd_parse_size("1KB", &n) && n == 1024);
    ck_assert(emd_parse_size("2GiB", &n) && n == (size_t)2 << 30);
    ck_assert(emd_parse_size("1.5mib", &n) && n == 1572864);
    const char *bad[] = {"",    "K",   "-1",        "1B", "1KiBs", "1Ki", "1KBB",
                         "1 K", "1e3", "99999999T", "..", "0x10",  "nan"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!emd_parse_size(bad[i], &n), "'%s'", bad[i]);
}
END_TEST

START_TEST(numbers)
{
    double d;
    long l;
    ck_assert(emd_parse_double("-1.5e1", -20, 0, &d) && d == -15);
    ck_assert(!emd_parse_double("inf", -1e300, 1e300, &d) && !emd_parse_double("0x1", 0, 9, &d));
    ck_assert(emd_parse_long("12", 1, 12, &l) && l == 12);
    ck_assert(!emd_parse_long("13", 1, 12, &l) && !emd_parse_long("1x", 1, 12, &l));
}
END_TEST

START_TEST(error_texts)
{
    struct emd_error err;
    ck_assert_int_eq(emd_fail(&err, EMD_E_CORRUPT, "chunk %d", 3), EMD_E_CORRUPT);
    ck_assert_int_eq(emd_fail_prefix(&err, EMD_E_CORRUPT, "%s", "/Data"), EMD_E_CORRUPT);
    ck_assert_str_eq(err.text, "/Data: chunk 3");
    for (int s = EMD_OK; s <= EMD_E_EMPTY; s++)
        ck_assert_str_ne(emd_status_text((enum emd_status)s), "unknown status");
}
END_TEST

START_TEST(characters)
{
    ck_assert_uint_eq(emd_utf8_length("a", 1), 1);
    ck_assert_uint_eq(emd_utf8_length("\xc3\xa4", 2), 2);
    ck_assert_uint_eq(emd_utf8_length("\xe2\x82\xac", 3), 3);
    ck_assert_uint_eq(emd_utf8_length("\xf0\x9f\x98\x80", SIZE_MAX), 4);
    ck_assert_uint_eq(emd_utf8_length("\xc3\xa4", 1), 0); /* cut */
    ck_assert_uint_eq(emd_utf8_length("", 0), 0);
    ck_assert_uint_eq(emd_utf8_length("\xe2\x82", SIZE_MAX), 0);     /* the NUL ends it */
    ck_assert_uint_eq(emd_utf8_length("\xa4", SIZE_MAX), 0);         /* no beginning */
    ck_assert_uint_eq(emd_utf8_length("\xc0\xaf", SIZE_MAX), 0);     /* overlong */
    ck_assert_uint_eq(emd_utf8_length("\xe0\x9f\xbf", SIZE_MAX), 0); /* overlong */
    ck_assert_uint_eq(emd_utf8_length("\xed\xa0\x80", SIZE_MAX), 0); /* a surrogate */
    ck_assert_uint_eq(emd_utf8_length("\xf4\x90\x80\x80", SIZE_MAX), 0);
    ck_assert_uint_eq(emd_utf8_length("\xff", SIZE_MAX), 0);
}
END_TEST

START_TEST(texts_for_terminals_and_json)
{
    static const char text[] = "a\n\x1b[m\xc3\xa4\xc2\x9b\xff\xc3";
    char all[128] = "", shown[9];
    size_t at = 0;
    for (size_t n; (n = emd_utf8_show(text + at, shown)) > 0; at += n)
        strcat(all, shown);
    ck_assert_uint_eq(at, strlen(text));
    ck_assert_str_eq(all, "a\\x0a\\x1b[m\xc3\xa4\\xc2\\x9b\\xff\\xc3");
    char *clean = emd_utf8_clean(text, strlen(text));
    ck_assert_str_eq(clean, "a\n\x1b[m\xc3\xa4\xc2\x9b\\xff\\xc3");
    free(clean);
}
END_TEST

/* Writes folder/name, and notes it for removal. */
static char groups[8][160];
static size_t group_count;

static void put_group(const char *name, const char *text)
{
    char *file = groups[group_count++];
    snprintf(file, sizeof groups[0], "%s/%s", folder, name);
    for (char *slash = file + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(file, 0700);
        *slash = '/';
    }
    put(file, text);
}

static uint64_t group_limit(const char *membership)
{
    put(path, membership);
    return emd_memory_group_limit(path, folder);
}

START_TEST(memory_of_control_groups)
{
    put_group("slice/job/memory.max", "1000\n");
    put_group("slice/job/step/memory.max", "max\n");
    put_group("slice/memory.max", "5000\n");
    ck_assert_uint_eq(group_limit("0::/slice/job/step\n"), 1000); /* what is above holds below */
    ck_assert_uint_eq(group_limit("0::/slice/job\n"), 1000);
    ck_assert_uint_eq(group_limit("0::/slice\n"), 5000);
    ck_assert_uint_eq(group_limit("0::/slice/hidden/from/us\n"), 5000);
    ck_assert_uint_eq(group_limit("0::/\n"), UINT64_MAX);
    put_group("memory.max", "700\n"); /* a container sees its own group as the root */
    ck_assert_uint_eq(group_limit("0::/\n"), 700);
    ck_assert_uint_eq(group_limit("0::/not/ours\n"), 700);

    put_group("memory/m/memory.limit_in_bytes", "300\n");
    put_group("memory/memory.limit_in_bytes", "9223372036854771712\n"); /* version 1: none */
    ck_assert_uint_eq(group_limit("5:cpu,memory:/m\n2:pids:/m\n"), 300);
    ck_assert_uint_eq(group_limit("4:memory:/\n"), 9223372036854771712u);
    ck_assert_uint_eq(group_limit("4:nomemory:/m\n"), UINT64_MAX);
    ck_assert_uint_eq(group_limit("4:memory:/m\n0::/slice/job\n"), 300); /* both at once */
    ck_assert_uint_eq(group_limit("nonsense\n\n:\n0:"), UINT64_MAX);
    unlink(path);
    ck_assert_uint_eq(emd_memory_group_limit(path, folder), UINT64_MAX);

    ck_assert_uint_gt(emd_memory_size(), 0);
    for (size_t i = 0; i < group_count; i++) {
        unlink(groups[i]);
        for (char *slash; (slash = strrchr(groups[i], '/')) != groups[i] + strlen(folder);) {
            *slash = '\0';
            rmdir(groups[i]);
        }
    }
}
END_TEST

START_TEST(near_names)
{
    static const char *const names[] = {"resolution", "cc_half", "phi_step", "keep", "kept", "a"};
    static const struct {
        const char *text, *meant;
    } cases[] = {{"resolutoin", "resolution"},
                 {"RESOLUTION", "resolution"},
                 {"cchalf", "cc_half"},
                 {"cc-half", "cc_half"},
                 {"phi", "phi_step"},
                 {"kep", "kept"},
                 {"ke", NULL},
                 {"completeness", NULL},
                 {"", NULL},
                 {"x", NULL},
                 {"phi_stpe", "phi_step"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = emd_nearest(cases[i].text, names, sizeof names / sizeof *names);
        if (cases[i].meant)
            ck_assert_str_eq(found ? found : "(none)", cases[i].meant);
        else
            ck_assert_msg(!found, "%s: %s", cases[i].text, found ? found : "");
    }
    char endless[200];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    ck_assert_ptr_null(emd_nearest(endless, names, sizeof names / sizeof *names));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *safe = tcase_create("safefile"), *text = tcase_create("text"),
          *memory = tcase_create("memory");
    tcase_add_checked_fixture(safe, setup, teardown);
    tcase_add_test(safe, state_files_are_cleaned);
    tcase_add_test(safe, commit_gives_the_final_name);
    tcase_add_test(safe, discard_leaves_nothing);
    tcase_add_test(safe, synchronised_meanwhile);
    tcase_add_test(safe, memory_unshared);
    tcase_add_test(safe, existing_output_stays);
    tcase_add_test(safe, live_temporary_is_busy);
    tcase_add_test(safe, dead_temporary_is_replaced);
    tcase_add_test(safe, foreign_object_under_the_temporary_name_stays);
    tcase_add_test(safe, several_are_committed_all_or_none);
    tcase_add_loop_test(safe, old_outputs_survive_a_failed_commit, 0, 4);
    tcase_add_test(safe, private_while_it_is_written);
    tcase_add_test(safe, an_exchanged_folder_leads_nowhere);
    tcase_add_test(safe, long_names_have_shorter_temporaries);
    tcase_add_test(safe, records_of_others);
    tcase_add_test(safe, records_count_where_locks_do_not);
    tcase_add_test(safe, links_are_not_followed_beneath);
    tcase_add_test(safe, removed_temporary_is_noticed);
    tcase_add_test(text, sizes);
    tcase_add_test(text, numbers);
    tcase_add_test(text, error_texts);
    tcase_add_test(text, characters);
    tcase_add_test(text, near_names);
    tcase_add_test(text, texts_for_terminals_and_json);
    tcase_add_checked_fixture(memory, setup, teardown);
    tcase_add_test(memory, memory_of_control_groups);
    suite_add_tcase(suite, safe);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, text);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
