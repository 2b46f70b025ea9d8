/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/crystals.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/safefile.h"
#include "dials/textfile.h"
#include "process/recipe.h"

/* Deeper than any project; a bound for recursion. */
enum { DEPTH_MAX = 64 };

static enum emd_status out_of_memory(struct emd_error *err)
{
    return emd_fail(err, EMD_E_MEMORY, "out of memory");
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool all_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)p[i]))
            return false;
    return true;
}

static int two(const char *p)
{
    return 10 * (p[0] - '0') + (p[1] - '0');
}

/* YYYYMMDD, perhaps a separator, HHMM, perhaps seconds; not part of a longer number. */
static bool is_date(const char *p, char name[static 16])
{
    if (!all_digits(p, 8) || (two(p) != 19 && two(p) != 20))
        return false;
    const char *t = p + 8 + (p[8] && strchr("_ -T", p[8]) ? 1 : 0);
    if (!all_digits(t, 4))
        return false;
    size_t rest = strspn(t, "0123456789");
    if ((rest != 4 && rest != 6) || two(p + 4) < 1 || two(p + 4) > 12 || two(p + 6) < 1 ||
        two(p + 6) > 31 || two(t) > 23 || two(t + 2) > 59)
        return false;
    snprintf(name, 16, "%.8s_%.4s", p, t);
    return true;
}

char *emd_crystal_name(const char *movie)
{
    const char *slash = strrchr(movie, '/'), *base = slash ? slash + 1 : movie;
    char date[16];
    for (const char *p = base; *p; p++)
        if ((p == base || !isdigit((unsigned char)p[-1])) && is_date(p, date))
            return strdup(date);
    char *name = strdup(base);
    if (!name)
        return NULL;
    size_t n = strlen(name);
    if (n > 4 && strcasecmp(name + n - 4, ".emd") == 0)
        name[n - 4] = '\0';
    for (char *p = name; *p; p++)
        if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p))
            *p = '_';
    if (name[0] == '.')
        name[0] = '_';
    return name;
}

/* ---- finding --------------------------------------------------------------------------------- */

enum emd_status emd_crystals_add(struct emd_crystals *crystals, const char *movie,
                                 struct emd_error *err)
{
    if (crystals->count == crystals->capacity) {
        size_t capacity = crystals->capacity ? 2 * crystals->capacity : 64;
        struct emd_crystal *grown = realloc(crystals->crystal, capacity * sizeof *grown);
        if (!grown)
            return out_of_memory(err);
        crystals->crystal = grown;
        crystals->capacity = capacity;
    }
    struct emd_crystal *c = &crystals->crystal[crystals->count];
    *c = (struct emd_crystal){.movie = strdup(movie)};
    if (!c->movie)
        return out_of_memory(err);
    crystals->count++;
    return EMD_OK;
}

static bool is_movie(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && name[0] != '.' && strcasecmp(name + n - 4, ".emd") == 0;
}

struct search {
    struct emd_crystals *crystals;
    void (*trouble)(const char *path, int error);
    struct emd_error *err;
};

/* Takes 'fd'. Links to folders are followed at the top only. */
static enum emd_status walk(struct search *s, int fd, const char *path, int depth)
{
    enum emd_status status = EMD_OK;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return out_of_memory(s->err);
    }
    for (struct dirent *entry; status == EMD_OK && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        struct stat st;
        char *below = NULL;
        if (name[0] == '.' || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISLNK(st.st_mode) && (fstatat(fd, name, &st, 0) != 0 || S_ISDIR(st.st_mode)))
            continue;
        if (asprintf(&below, "%s/%s", path, name) < 0)
            return closedir(dir), out_of_memory(s->err);
        if (S_ISREG(st.st_mode) && is_movie(name)) {
            status = emd_crystals_add(s->crystals, below, s->err);
        } else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            int inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (inner >= 0)
                status = walk(s, inner, below, depth + 1);
            else if (s->trouble)
                s->trouble(below, errno);
        }
        free(below);
    }
    closedir(dir);
    return status;
}

static int by_movie(const void *a, const void *b)
{
    return strcmp(((const struct emd_crystal *)a)->movie, ((const struct emd_crystal *)b)->movie);
}

enum emd_status emd_crystals_find(const char *project, const char *folder,
                                  struct emd_crystals *crystals,
                                  void (*trouble)(const char *path, int error),
                                  struct emd_error *err)
{
    struct search s = {crystals, trouble, err};
    int at = open(project, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = at < 0 ? -1 : openat(at, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int cause = errno;
    if (at >= 0)
        close(at);
    if (fd < 0)
        return emd_fail_errno(err, EMD_E_IO, cause, "cannot open the folder '%s'", folder);
    enum emd_status status = walk(&s, fd, folder, 0);
    if (crystals->count > 1)
        qsort(crystals->crystal, crystals->count, sizeof *crystals->crystal, by_movie);
    return status;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* The movie of a crystal's folder; NULL if it does not say. The caller frees it. */
static char *read_claim(const char *project, const char *name)
{
    struct emd_textfile file = {0};
    char *path = NULL, *movie = NULL;
    if (asprintf(&path, "%s/%s/%s", project, name, EMD_CLAIM_NAME) < 0)
        return NULL;
    if (emd_textfile_read(&file, AT_FDCWD, path, NULL) == EMD_OK && file.length > 0) {
        file.text[strcspn(file.text, "\n")] = '\0';
        movie = strdup(file.text);
    }
    emd_textfile_free(&file);
    free(path);
    return movie;
}

/* Names and movies of all folders of the project that say which is theirs. */
static enum emd_status read_claims(const char *project, struct emd_crystals *claims,
                                   struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    DIR *dir = opendir(project);
    if (!dir)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot open the folder '%s'", project);
    for (struct dirent *entry; status == EMD_OK && (entry = readdir(dir));) {
        char *movie = entry->d_name[0] == '.' ? NULL : read_claim(project, entry->d_name);
        if (!movie)
            continue;
        status = emd_crystals_add(claims, movie, err);
        if (status == EMD_OK && !(claims->crystal[claims->count - 1].name = strdup(entry->d_name)))
            status = out_of_memory(err);
        free(movie);
    }
    closedir(dir);
    return status;
}

static bool is_taken(const struct emd_crystals *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->crystal[i].name && strcmp(list->crystal[i].name, name) == 0)
            return true;
    return strcmp(name, "images") == 0 || strcmp(name, EMD_MERGED) == 0;
}

static enum emd_status find_name(struct emd_crystals *crystals, const struct emd_crystals *claims,
                                 struct emd_crystal *c, struct emd_error *err)
{
    char *base = emd_crystal_name(c->movie);
    for (unsigned i = 1; base; i++) {
        char *name = NULL;
        if ((i == 1 ? asprintf(&name, "%s", base) : asprintf(&name, "%s_%u", base, i)) < 0)
            break;
        if (!is_taken(claims, name) && !is_taken(crystals, name)) {
            c->name = name;
            free(base);
            return EMD_OK;
        }
        free(name);
    }
    free(base);
    return out_of_memory(err);
}

enum emd_status emd_crystals_name(const char *project, struct emd_crystals *crystals,
                                  struct emd_error *err)
{
    struct emd_crystals claims = {0};
    enum emd_status status = read_claims(project, &claims, err);
    for (size_t i = 0; i < crystals->count && status == EMD_OK; i++) {
        struct emd_crystal *c = &crystals->crystal[i];
        for (size_t j = 0; j < claims.count && !c->name; j++)
            if (strcmp(claims.crystal[j].movie, c->movie) == 0) {
                c->name = strdup(claims.crystal[j].name);
                c->claimed = true;
                status = c->name ? EMD_OK : out_of_memory(err);
            }
    }
    for (size_t i = 0; i < crystals->count && status == EMD_OK; i++)
        if (!crystals->crystal[i].name)
            status = find_name(crystals, &claims, &crystals->crystal[i], err);
    emd_crystals_free(&claims);
    return status;
}

enum emd_status emd_crystal_claim(const char *project, struct emd_crystal *crystal,
                                  struct emd_error *err)
{
    char *folder = NULL, *path = NULL, *text = NULL;
    struct emd_safefile *file = NULL;
    enum emd_status status = EMD_OK;
    if (crystal->claimed)
        return EMD_OK;
    if (asprintf(&folder, "%s/%s", project, crystal->name) < 0)
        return out_of_memory(err);
    if (asprintf(&path, "%s/%s", folder, EMD_CLAIM_NAME) < 0 ||
        asprintf(&text, "%s\n", crystal->movie) < 0) {
        status = out_of_memory(err);
        goto out;
    }
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot create the folder %s", folder);
        goto out;
    }
    status = emd_safefile_create(path, &file, err);
    if (status == EMD_OK && emd_pwrite_all(emd_safefile_fd(file), text, strlen(text), 0) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", path);
    if (status == EMD_OK) {
        status = emd_safefile_commit(&file, 1, false, err);
        file = NULL;
    }
    if (status == EMD_E_EXISTS) {
        char *movie = read_claim(project, crystal->name);
        status = movie && strcmp(movie, crystal->movie) == 0
                     ? EMD_OK
                     : emd_fail(err, EMD_E_BUSY, "the folder %s went to another movie meanwhile",
                                folder);
        free(movie);
    }
    crystal->claimed = status == EMD_OK;
out:
    emd_safefile_discard(file);
    free(folder);
    free(path);
    free(text);
    return status;
}

void emd_crystals_free(struct emd_crystals *crystals)
{
    for (size_t i = 0; i < crystals->count; i++) {
        free(crystals->crystal[i].name);
        free(crystals->crystal[i].movie);
    }
    free(crystals->crystal);
    *crystals = (struct emd_crystals){0};
}
