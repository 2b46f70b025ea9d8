/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "watch/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/safefile.h"

/* Of a hundred thousand movies, 40 MB. */
static const size_t most_bytes = (size_t)1 << 29;

/* JSON texts are UTF-8 and file names are not always: other bytes, and '%', are written as %XX. */
static char *encode_name(const char *name)
{
    char *text = malloc(3 * strlen(name) + 1), *p = text;
    for (; text && *name; name++) {
        const unsigned char c = (unsigned char)*name;
        if (c < 0x20 || c > 0x7e || c == '%')
            p += sprintf(p, "%%%02X", c);
        else
            *p++ = (char)c;
    }
    if (text)
        *p = '\0';
    return text;
}

static char *decode_name(const char *text)
{
    char *name = malloc(strlen(text) + 1), *p = name;
    while (name && *text) {
        unsigned value;
        if (*text == '%' && sscanf(text + 1, "%2x", &value) == 1 && value > 0 && text[1] &&
            text[2]) {
            *p++ = (char)value;
            text += 3;
        } else {
            *p++ = *text++;
        }
    }
    if (name)
        *p = '\0';
    return name;
}

static void boot_id(char id[64])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    id[0] = '\0';
    if (f && fgets(id, 64, f))
        id[strcspn(id, "\n")] = '\0';
    if (f)
        fclose(f);
}

static struct json_object *id_to_json(const struct emd_watch_id *id)
{
    const uint64_t numbers[] = {id->device,
                                id->inode,
                                id->size,
                                (uint64_t)id->mtime_s,
                                (uint64_t)id->mtime_ns,
                                (uint64_t)id->ctime_s,
                                (uint64_t)id->ctime_ns};
    struct json_object *o = json_object_new_array();
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_array_add(o, json_object_new_int64((int64_t)numbers[i]));
    return o;
}

static bool id_from_json(struct json_object *o, struct emd_watch_id *id)
{
    uint64_t n[7];
    if (!json_object_is_type(o, json_type_array) || json_object_array_length(o) != 7)
        return false;
    for (size_t i = 0; i < 7; i++)
        n[i] = (uint64_t)json_object_get_int64(json_object_array_get_idx(o, i));
    *id = (struct emd_watch_id){n[0],          n[1],          n[2],         (int64_t)n[3],
                                (int64_t)n[5], (int64_t)n[4], (int64_t)n[6]};
    return true;
}

/* Damage that is looked at once more is known all the same. */
static bool is_aside(const struct emd_watch_entry *e)
{
    return e->state == EMD_WATCH_ASIDE ||
           (e->state == EMD_WATCH_WAITING && e->outcome == EMD_OUTCOME_DAMAGED && e->said);
}

/* What is finished, and new, can be seen in the folders. */
static struct json_object *entry_to_json(const struct emd_watch_entry *e)
{
    struct json_object *o = json_object_new_object();
    char *name = encode_name(e->name);
    json_object_object_add(o, "name", json_object_new_string(name ? name : ""));
    free(name);
    json_object_object_add(o, "id", id_to_json(&e->source));
    json_object_object_add(o, "state",
                           json_object_new_string(e->state == EMD_WATCH_RUNNING ? "running"
                                                  : is_aside(e)                 ? "aside"
                                                                                : "waiting"));
    json_object_object_add(o, "outcome", json_object_new_int((int)e->outcome));
    json_object_object_add(o, "since", json_object_new_double(e->since));
    json_object_object_add(o, "looks", json_object_new_int64(e->looks));
    if (e->why) {
        char *why = encode_name(e->why);
        json_object_object_add(o, "why", json_object_new_string(why ? why : ""));
        free(why);
    }
    return o;
}

/* An entry at a time: as one document a hundred thousand files would take 200 MB. */
static bool print_all(FILE *f, const struct emd_watchlist *list,
                      const struct emd_watch_totals *totals)
{
    char boot[64];
    boot_id(boot);
    fprintf(f,
            "{\"version\": \"%s\", \"boot\": \"%s\", \"files\": %" PRIu64
            ", \"raw_bytes\": %" PRIu64 ", \"stored_bytes\": %" PRIu64 ", \"seconds\": %.3f,\n"
            "\"entries\": [",
            EMDTOOLS_VERSION, boot, totals->files, totals->raw_bytes, totals->stored_bytes,
            totals->seconds);
    const char *before = "\n";
    for (size_t i = 0; i < list->count; i++) {
        const struct emd_watch_entry *e = list->entry[i];
        if (e->state == EMD_WATCH_DONE || e->state == EMD_WATCH_CHECKING)
            continue;
        struct json_object *o = entry_to_json(e);
        const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE);
        fprintf(f, "%s%s", before, text ? text : "{}");
        before = ",\n";
        json_object_put(o);
    }
    fputs("\n]}\n", f);
    return !ferror(f);
}

enum emd_status emd_statefile_write(const char *target, const struct emd_watchlist *list,
                                    const struct emd_watch_totals *totals, struct emd_error *err)
{
    char *path = NULL;
    struct emd_safefile *file = NULL;
    if (asprintf(&path, "%s/%s", target, EMD_STATE_NAME) < 0)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    enum emd_status status = emd_safefile_create(path, &file, err);
    free(path);
    if (status != EMD_OK)
        return status;
    const int fd = fcntl(emd_safefile_fd(file), F_DUPFD_CLOEXEC, 0);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f && fd >= 0)
        close(fd);
    const bool printed = f && print_all(f, list, totals);
    if (f && fclose(f) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", emd_safefile_temp(file));
    else if (!printed)
        status = emd_fail(err, EMD_E_IO, "cannot write %s", emd_safefile_temp(file));
    if (status != EMD_OK) {
        emd_safefile_discard(file);
        return status;
    }
    return emd_safefile_commit(&file, 1, true, err);
}

static int64_t get_number(struct json_object *o, const char *key)
{
    struct json_object *value;
    return json_object_object_get_ex(o, key, &value) ? json_object_get_int64(value) : 0;
}

static const char *get_text(struct json_object *o, const char *key)
{
    struct json_object *value;
    return json_object_object_get_ex(o, key, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

/* Only what a scan sees is ever worked on; other names are not even kept. */
static bool is_below(const char *name)
{
    for (const char *p = name; p; p = strchr(p, '/')) {
        p += *p == '/' && p > name;
        const size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += n;
        if (!*p)
            break;
    }
    return *name != '\0';
}

static void read_entry(struct json_object *o, struct emd_watchlist *list, bool same_boot,
                       bool same_version)
{
    static const struct emd_watch_id none;
    struct json_object *value;
    struct emd_watch_id id;
    const char *state = get_text(o, "state");
    const int64_t outcome = get_number(o, "outcome");
    const bool aside = same_version && strcmp(state, "aside") == 0 && outcome >= EMD_OUTCOME_DONE &&
                       outcome <= EMD_OUTCOME_CONFLICT;
    if (!json_object_object_get_ex(o, "id", &value) || !id_from_json(value, &id) ||
        (!aside && !same_boot))
        return;
    char *name = decode_name(get_text(o, "name"));
    char *output = name ? emd_watch_output_name(name) : NULL;
    double since =
        json_object_object_get_ex(o, "since", &value) ? json_object_get_double(value) : 0;
    if (output && is_below(name) &&
        emd_watchlist_see(list, name, output, &id, &none, since, NULL) == EMD_OK) {
        struct emd_watch_entry *e = emd_watchlist_find(list, name);
        e->looks = (unsigned)get_number(o, "looks");
        e->seen = false;
        if (aside) {
            /* who has the output's name may have changed meanwhile: that is asked again */
            if (outcome != EMD_OUTCOME_CONFLICT)
                emd_watchlist_set(list, e, EMD_WATCH_ASIDE);
            e->outcome = (enum emd_watch_outcome)outcome;
            e->said = outcome == EMD_OUTCOME_DAMAGED;
        }
        if (json_object_object_get_ex(o, "why", &value))
            e->why = decode_name(get_text(o, "why"));
    }
    free(output);
    free(name);
}

void emd_statefile_read(const char *target, struct emd_watchlist *list,
                        struct emd_watch_totals *totals)
{
    char boot[64], *path, *text;
    struct json_object *entries, *value;
    size_t n;
    memset(totals, 0, sizeof *totals);
    if (asprintf(&path, "%s/%s", target, EMD_STATE_NAME) < 0)
        return;
    text = emd_read_text_file(AT_FDCWD, path, most_bytes, &n);
    struct json_object *o = text ? json_tokener_parse(text) : NULL;
    free(text);
    free(path);
    boot_id(boot);
    const bool same_boot = *boot && strcmp(get_text(o, "boot"), boot) == 0;
    const bool same_version = strcmp(get_text(o, "version"), EMDTOOLS_VERSION) == 0;
    totals->files = (uint64_t)get_number(o, "files");
    totals->raw_bytes = (uint64_t)get_number(o, "raw_bytes");
    totals->stored_bytes = (uint64_t)get_number(o, "stored_bytes");
    if (json_object_object_get_ex(o, "seconds", &value))
        totals->seconds = json_object_get_double(value);
    emd_watchlist_begin(list);
    if (json_object_object_get_ex(o, "entries", &entries) &&
        json_object_is_type(entries, json_type_array))
        for (size_t i = 0; i < json_object_array_length(entries); i++)
            read_entry(json_object_array_get_idx(entries, i), list, same_boot, same_version);
    json_object_put(o);
#ifdef __GLIBC__
    malloc_trim(0); /* the document of a hundred thousand files took 200 MB */
#endif
}
