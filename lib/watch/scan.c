/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See scan.h. One folder is open at a time and names are kept, so that depth costs no descriptors;
 * links to folders are not followed, so that there are no loops. */
#include "watch/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/safefile.h"
#include "base/suffix.h"
#include "watch/statefile.h"

struct names {
    char **name;
    size_t count, capacity;
};

static bool push(struct names *names, char *name)
{
    if (!name)
        return false;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 16;
        char **grown = realloc(names->name, capacity * sizeof *grown);
        if (!grown) {
            free(name);
            return false;
        }
        names->name = grown;
        names->capacity = capacity;
    }
    names->name[names->count++] = name;
    return true;
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
}

static char *join(const char *folder, const char *name)
{
    if (*folder == '\0')
        return strdup(name);
    char *path;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

bool emd_scan_matches(const char *const *patterns, const char *name)
{
    for (; *patterns; patterns++)
        if (fnmatch(*patterns, name, FNM_CASEFOLD) == 0)
            return true;
    return false;
}

static void set_id(struct emd_watch_id *id, const struct stat *st)
{
    *id = (struct emd_watch_id){.device = st->st_dev,
                                .inode = st->st_ino,
                                .size = (uint64_t)st->st_size,
                                .mtime_s = st->st_mtim.tv_sec,
                                .mtime_ns = st->st_mtim.tv_nsec,
                                .ctime_s = st->st_ctim.tv_sec,
                                .ctime_ns = st->st_ctim.tv_nsec};
}

static bool see_file(const struct emd_scan *scan, int target, const char *name,
                     const struct stat *st)
{
    struct emd_watch_id source, output = {0};
    struct stat out;
    char *output_name = emd_watch_output_name(name);
    if (!output_name)
        return false;
    set_id(&source, st);
    if (target >= 0 && fstatat(target, output_name, &out, AT_SYMLINK_NOFOLLOW) == 0)
        set_id(&output, &out);
    const bool go_on = scan->file(scan->ctx, name, output_name, &source, &output);
    free(output_name);
    return go_on;
}

/* The entries of one folder; folders in it go to 'todo'. */
static bool scan_folder(const struct emd_scan *scan, const char *folder, int source, int target,
                        const struct stat *target_stat, struct names *todo, bool *all)
{
    const int fd = emd_open_beneath(source, folder, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const int cause = errno;
    if (!dir && fd >= 0)
        close(fd);
    if (!dir) {
        *all = false;
        return scan->trouble(scan->ctx, folder, cause);
    }
    bool go_on = !scan->folder || scan->folder(scan->ctx, folder);
    while (go_on) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno != 0) {
                *all = false;
                go_on = scan->trouble(scan->ctx, folder, errno);
            }
            break;
        }
        if (entry->d_name[0] == '.')
            continue;
        const bool wanted = emd_scan_matches(scan->patterns, entry->d_name) &&
                            !emd_ends_with(entry->d_name, ".tmp");
        if (!wanted && entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
            continue;
        struct stat st;
        char *name = join(folder, entry->d_name);
        if (!name || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            /* gone since readdir is no trouble */
            if (!name || errno != ENOENT) {
                *all = false;
                go_on = scan->trouble(scan->ctx, name ? name : folder, name ? errno : ENOMEM);
            }
        } else if (S_ISDIR(st.st_mode)) {
            if (target_stat->st_nlink == 0 || st.st_dev != target_stat->st_dev ||
                st.st_ino != target_stat->st_ino) {
                *all = push(todo, name) && *all;
                name = NULL;
            }
        } else if (wanted &&
                   (S_ISREG(st.st_mode) ||
                    (S_ISLNK(st.st_mode) && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
                     S_ISREG(st.st_mode)))) {
            go_on = see_file(scan, target, name, &st);
        }
        free(name);
    }
    closedir(dir);
    return go_on;
}

bool emd_scan_run(const struct emd_scan *scan)
{
    struct names todo = {0};
    struct stat target_stat = {0};
    bool all = push(&todo, strdup("")), go_on = true;
    const int source = open(scan->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int cause = errno;
    const int target = open(scan->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source < 0) {
        scan->trouble(scan->ctx, "", cause);
        go_on = false;
    }
    if (target >= 0 && fstat(target, &target_stat) != 0)
        memset(&target_stat, 0, sizeof target_stat);
    while (todo.count > 0 && go_on) {
        char *folder = todo.name[--todo.count];
        go_on = scan_folder(scan, folder, source, target, &target_stat, &todo, &all);
        free(folder);
    }
    free_names(&todo);
    if (source >= 0)
        close(source);
    if (target >= 0)
        close(target);
    return all && go_on;
}

/* Whether a temporary name belongs to an output (or its table) that we would make, or to the state
 * file: after a power cut the lock that names it may be empty. */
static bool is_ours(const char *name, const char *const *patterns)
{
    enum { SHORTENED = 200 }; /* a stem with a checksum is longer */
    size_t n;
    if (!emd_safefile_is_temporary(name, &n))
        return false;
    if (name[0] == '.')
        return n == strlen(EMD_STATE_NAME) && strncmp(name, EMD_STATE_NAME, n) == 0;
    char *stem = strndup(name, n);
    const bool ours =
        stem && (emd_scan_matches(patterns, stem) || emd_ends_with(stem, ".frames.tsv") ||
                 (n >= SHORTENED && strchr(stem, '~')));
    free(stem);
    return ours;
}

static size_t find_temporaries(int root, const char *const *patterns, struct names *found)
{
    struct names todo = {0};
    push(&todo, strdup(""));
    while (todo.count > 0) {
        char *folder = todo.name[--todo.count];
        const int fd = emd_open_beneath(root, folder, O_RDONLY | O_DIRECTORY);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir && fd >= 0)
            close(fd);
        const struct dirent *entry;
        while (dir && (entry = readdir(dir))) {
            struct stat st;
            const bool wanted = is_ours(entry->d_name, patterns);
            if (!wanted && entry->d_name[0] == '.')
                continue;
            if (!wanted && entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
                continue;
            if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
                continue;
            if (S_ISDIR(st.st_mode))
                push(&todo, join(folder, entry->d_name));
            else if (wanted && S_ISREG(st.st_mode))
                push(found, join(folder, entry->d_name));
        }
        if (dir)
            closedir(dir);
        free(folder);
    }
    free_names(&todo);
    return found->count;
}

/* The folder of a path below 'root', open, and the name in it. */
static int open_parent(int root, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    const int fd = folder ? emd_open_beneath(root, folder, O_RDONLY | O_DIRECTORY) : -1;
    free(folder);
    *name = slash ? slash + 1 : path;
    return fd;
}

static bool look(int root, const char *path, struct stat *st)
{
    const char *name;
    const int folder = open_parent(root, path, &name);
    const bool there = folder >= 0 && fstatat(folder, name, st, AT_SYMLINK_NOFOLLOW) == 0;
    if (folder >= 0)
        close(folder);
    return there;
}

static bool is_unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

size_t emd_scan_clean(const char *target, const char *const *patterns, double wait)
{
    struct names found = {0};
    struct stat *before = NULL, now;
    size_t removed = 0;
    const int root = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return 0;
    const size_t count = find_temporaries(root, patterns, &found);
    before = calloc(count + 1, sizeof *before);
    for (size_t i = 0; before && i < count; i++)
        look(root, found.name[i], &before[i]);
    if (before && count > 0 && wait > 0) {
        const struct timespec t = {.tv_sec = (time_t)wait,
                                   .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)};
        nanosleep(&t, NULL);
    }
    for (size_t i = 0; before && i < count; i++) {
        const char *name;
        const int folder = open_parent(root, found.name[i], &name);
        if (folder >= 0 && fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_unchanged(&before[i], &now) && emd_safefile_clean(folder, name))
            removed += !emd_ends_with(name, ".lock.tmp");
        if (folder >= 0)
            close(folder);
    }
    free(before);
    free_names(&found);
    close(root);
    return removed;
}
