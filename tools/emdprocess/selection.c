/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/selection.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/message.h"
#include "emdprocess/inspect.h"
#include "emdprocess/processreport.h"

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_same_file(const char *a, const char *b)
{
    char x[PATH_MAX], y[PATH_MAX];
    return realpath(a, x) && realpath(b, y) && strcmp(x, y) == 0;
}

/* 'wanted' is NAME or NAME_2, NAME_3, ... */
static bool asks_for(const char *wanted, const char *name)
{
    const size_t n = strlen(name);
    if (strncmp(wanted, name, n) != 0)
        return false;
    const char *rest = wanted + n;
    return *rest == '\0' ||
           (rest[0] == '_' && rest[1] && strspn(rest + 1, "0123456789") == strlen(rest + 1));
}

/* Could the movie be the wanted one, whatever its crystal will be called? */
static bool may_be(const char *wanted, const char *movie)
{
    char *name = emd_crystal_name(movie);
    bool may = (name && asks_for(wanted, name)) || strcmp(wanted, base_of(movie)) == 0 ||
               (strchr(wanted, '/') && is_same_file(wanted, movie));
    /* All that share a name with a wanted movie count: they are numbered together. */
    char *other = emd_crystal_name(wanted);
    may = may || (name && other && strcmp(name, other) == 0);
    free(name);
    free(other);
    return may;
}

static bool is_wanted(const char *wanted, const struct emd_crystal *c)
{
    return strcmp(wanted, c->name) == 0 || strcmp(wanted, base_of(c->movie)) == 0 ||
           strcmp(wanted, c->movie) == 0 || (strchr(wanted, '/') && is_same_file(wanted, c->movie));
}

static void drop(struct emd_crystals *list, size_t i)
{
    free(list->crystal[i].movie);
    free(list->crystal[i].name);
    memmove(&list->crystal[i], &list->crystal[i + 1], (--list->count - i) * sizeof *list->crystal);
}

static void report_trouble(const char *path, int error)
{
    emd_message_warning("%s: cannot look into the folder: %s", path, strerror(error));
}

struct finding {
    char *trouble; /* NULL: none */
    bool not_ready;
};

/* Looks into each movie and drops those that are no crystals. 'findings' go along. */
static enum emd_status look_into(const struct process_options *options, size_t frames_min,
                                 struct selection *s, struct finding *findings,
                                 struct emd_error *err)
{
    for (size_t i = 0; i < s->crystals.count;) {
        const char *movie = s->crystals.crystal[i].movie;
        struct emd_error why;
        size_t frames;
        char text[128];
        enum emd_status status = inspect_movie(movie, &frames, &why);
        findings[i] = (struct finding){0};
        text[0] = '\0';
        if (status == EMD_E_FORMAT || status == EMD_E_UNSUPPORTED)
            snprintf(text, sizeof text, "%.120s", why.text);
        else if (status == EMD_OK && frames < frames_min)
            snprintf(text, sizeof text, "%zu image%s, fewer than %zu (--frames-min)", frames,
                     frames == 1 ? "" : "s", frames_min);
        if (text[0]) {
            report_skipped(options, movie, text);
            drop(&s->crystals, i);
            s->skipped++;
            continue;
        }
        if (status != EMD_OK) {
            findings[i].trouble = strdup(why.text);
            findings[i].not_ready = status == EMD_E_INCOMPLETE || status == EMD_E_BUSY;
            if (!findings[i].trouble)
                return emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
        i++;
    }
    return EMD_OK;
}

enum emd_status selection_make(const struct process_options *options,
                               const struct emd_words *wanted, size_t frames_min,
                               struct selection *s, struct emd_error *err)
{
    struct emd_crystals *list = &s->crystals;
    struct finding *findings = NULL;
    *s = (struct selection){0};
    enum emd_status status = emd_crystals_find(".", "images", list, report_trouble, err);
    for (size_t i = 0; i < list->count && wanted->count > 0;) {
        bool may = false;
        for (size_t k = 0; k < wanted->count && !may; k++)
            may = may_be(wanted->word[k], list->crystal[i].movie);
        if (may)
            i++;
        else
            drop(list, i);
    }
    findings = calloc(list->count + 1, sizeof *findings);
    s->tasks = calloc(list->count + 1, sizeof *s->tasks);
    s->troubles = calloc(list->count + 1, sizeof *s->troubles);
    if (status == EMD_OK && (!findings || !s->tasks || !s->troubles))
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK)
        status = look_into(options, frames_min, s, findings, err);
    if (status == EMD_OK)
        status = emd_crystals_name(".", list, err);
    for (size_t k = 0; k < wanted->count && status == EMD_OK; k++) {
        bool found = false;
        for (size_t i = 0; i < list->count; i++)
            found |= is_wanted(wanted->word[k], &list->crystal[i]);
        if (!found)
            status = emd_fail(err, EMD_E_ARGUMENT,
                              "'%s' is no crystal: no movie below images/ has that name",
                              wanted->word[k]);
    }
    for (size_t i = 0; i < list->count && status == EMD_OK; i++) {
        bool take = wanted->count == 0;
        for (size_t k = 0; k < wanted->count && !take; k++)
            take = is_wanted(wanted->word[k], &list->crystal[i]);
        if (!take)
            continue;
        struct process_task *task = &s->tasks[s->count++];
        task->crystal = &list->crystal[i];
        task->trouble = "";
        if (findings[i].trouble) {
            task->trouble = s->troubles[s->trouble_count++] = findings[i].trouble;
            task->not_ready = findings[i].not_ready;
            findings[i].trouble = NULL;
        }
    }
    for (size_t i = 0; findings && i < list->count; i++)
        free(findings[i].trouble);
    free(findings);
    return status;
}

void selection_free(struct selection *s)
{
    for (size_t i = 0; i < s->trouble_count; i++)
        free(s->troubles[i]);
    free(s->troubles);
    free(s->tasks);
    emd_crystals_free(&s->crystals);
    *s = (struct selection){0};
}
