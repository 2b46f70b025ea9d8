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

#include "base/safefile.h"

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

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
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
static bool scan_folder(const struct emd_scan *scan, const char *folder, int target,
                        const struct stat *target_stat, struct names *todo, bool *all)
{
    char *path = *folder ? join(scan->source, folder) : strdup(scan->source);
    DIR *dir = path ? opendir(path) : NULL;
    const int cause = path ? errno : ENOMEM;
    free(path);
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
        const bool wanted =
            fnmatch(scan->pattern, entry->d_name, 0) == 0 && !ends_with(entry->d_name, ".tmp");
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
            if (st.st_dev != target_stat->st_dev || st.st_ino != target_stat->st_ino) {
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
    const int target = open(scan->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target >= 0 && fstat(target, &target_stat) != 0)
        memset(&target_stat, 0, sizeof target_stat);
    while (todo.count > 0 && go_on) {
        char *folder = todo.name[--todo.count];
        go_on = scan_folder(scan, folder, target, &target_stat, &todo, &all);
        free(folder);
    }
    free_names(&todo);
    if (target >= 0)
        close(target);
    return all && go_on;
}

/* "X" of "X.tmp" (and "X.owner.tmp") if X is a name that we give. */
static char *name_of_temp(const char *path, const char *pattern)
{
    static const char *const ends[] = {".owner.tmp", ".old.tmp", ".tmp"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (!ends_with(path, ends[i]))
            continue;
        char *name = strndup(path, strlen(path) - strlen(ends[i]));
        const char *last = name ? strrchr(name, '/') : NULL;
        if (last && last[1] != '.' &&
            (fnmatch(pattern, last + 1, 0) == 0 || ends_with(last, ".frames.tsv")))
            return name;
        free(name);
        return NULL;
    }
    return NULL;
}

size_t emd_scan_clean(const char *target, const char *pattern, double wait)
{
    struct names todo = {0}, found = {0};
    struct stat *before = NULL, st;
    size_t removed = 0;
    push(&todo, strdup(target));
    while (todo.count > 0) {
        char *folder = todo.name[--todo.count];
        DIR *dir = opendir(folder);
        const struct dirent *entry;
        while (dir && (entry = readdir(dir))) {
            if (entry->d_name[0] == '.')
                continue;
            char *path = join(folder, entry->d_name), *name = NULL;
            if (path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                push(&todo, path);
                path = NULL;
            } else if (path && S_ISREG(st.st_mode) && (name = name_of_temp(path, pattern))) {
                push(&found, name);
            }
            free(path);
        }
        if (dir)
            closedir(dir);
        free(folder);
    }
    before = calloc(found.count + 1, sizeof *before);
    for (size_t i = 0; before && i < found.count; i++) {
        char *temp;
        if (asprintf(&temp, "%s.tmp", found.name[i]) >= 0) {
            lstat(temp, &before[i]);
            free(temp);
        }
    }
    if (before && found.count > 0 && wait > 0) {
        const struct timespec t = {.tv_sec = (time_t)wait,
                                   .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)};
        nanosleep(&t, NULL);
    }
    for (size_t i = 0; before && i < found.count; i++) {
        char *temp;
        if (asprintf(&temp, "%s.tmp", found.name[i]) < 0)
            continue;
        if (lstat(temp, &st) == 0 && st.st_ino == before[i].st_ino &&
            st.st_size == before[i].st_size && st.st_mtim.tv_sec == before[i].st_mtim.tv_sec &&
            st.st_mtim.tv_nsec == before[i].st_mtim.tv_nsec && emd_safefile_clean(found.name[i]))
            removed++;
        free(temp);
    }
    free(before);
    free_names(&found);
    free_names(&todo);
    return removed;
}
