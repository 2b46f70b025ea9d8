/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "base/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

void *emd_memory_new(size_t n)
{
    void *data = NULL;
    if (posix_memalign(&data, n < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE, n ? n : 1) != 0)
        return NULL;
    emd_memory_advise(data, n);
    return data;
}

void emd_memory_advise(void *data, size_t n)
{
#ifdef MADV_HUGEPAGE
    const size_t before = -(uintptr_t)data % HUGE_PAGE;
    if (n >= before + HUGE_PAGE) /* may fail: only slower */
        madvise((char *)data + before, (n - before) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)data;
    (void)n;
#endif
}

void emd_memory_unshare(void)
{
    /* MADV_POPULATE_WRITE, which the C library's headers may be too old to know. */
    enum { POPULATE = 23 };
    /* Larger ones are stacks of threads and buffers: mostly not there, or not for the child. */
    static const size_t most = (size_t)1 << 20, most_heap = (size_t)4 << 20;
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    while (f && getline(&line, &room, f) > 0) {
        unsigned long begin, end;
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &begin, &end, mode) != 3 || strcmp(mode, "rw-p") != 0 ||
            strstr(line, "[stack"))
            continue;
        if (end - begin <= (strstr(line, "[heap]") ? most_heap : most))
            madvise((void *)begin, end - begin, POPULATE);
    }
    if (f)
        fclose(f);
    free(line);
}

/* The number in a limit's file; UINT64_MAX for "max" and where there is none. Version 1 says "no
 * limit" as a number above any memory. */
static uint64_t read_limit(const char *path)
{
    unsigned long long limit;
    FILE *f = fopen(path, "re");
    bool found = f && fscanf(f, "%llu", &limit) == 1;
    if (f)
        fclose(f);
    return found ? limit : UINT64_MAX;
}

/* The least limit of a group and all above it: each holds for all below it. 'group' is cut. */
static uint64_t least_limit(const char *mount, const char *controller, char *group,
                            const char *name)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s%s%s/%s", mount, controller, group, name) <
            (int)sizeof path) {
            uint64_t limit = read_limit(path);
            least = limit < least ? limit : least;
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Whether a comma-separated list has this word. */
static bool lists(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* A line is "number:controllers:/group"; version 2 has number 0 and no controllers. */
uint64_t emd_memory_group_limit(const char *membership, const char *mount)
{
    uint64_t least = UINT64_MAX;
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen(membership, "re");
    while (f && getline(&line, &room, f) > 0) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        uint64_t limit = UINT64_MAX;
        if (controllers[1] == '\0')
            limit = least_limit(mount, "", group, "memory.max");
        else if (lists(controllers + 1, "memory"))
            limit = least_limit(mount, "/memory", group, "memory.limit_in_bytes");
        least = limit < least ? limit : least;
    }
    if (f)
        fclose(f);
    free(line);
    return least;
}

uint64_t emd_memory_size(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const uint64_t limit = emd_memory_group_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    const uint64_t machine = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    return machine < limit ? machine : limit;
}
