#include "watch/statefile.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/safefile.h"

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
                                                  : e->state == EMD_WATCH_ASIDE ? "aside"
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

enum emd_status emd_statefile_write(const char *target, const struct emd_watchlist *list,
                                    const struct emd_watch_totals *totals, struct emd_error *err)
{
    char boot[64], *path = NULL;
    struct emd_safefile *file = NULL;
    enum emd_status status = EMD_OK;
    boot_id(boot);
    struct json_object *o = json_object_new_object(), *entries = json_object_new_array();
    json_object_object_add(o, "version", json_object_new_string(EMDTOOLS_VERSION));
    json_object_object_add(o, "boot", json_object_new_string(boot));
    json_object_object_add(o, "files", json_object_new_int64((int64_t)totals->files));
    json_object_object_add(o, "raw_bytes", json_object_new_int64((int64_t)totals->raw_bytes));
    json_object_object_add(o, "stored_bytes", json_object_new_int64((int64_t)totals->stored_bytes));
    json_object_object_add(o, "seconds", json_object_new_double(totals->seconds));
    for (size_t i = 0; i < list->count; i++)
        if (list->entry[i]->state != EMD_WATCH_DONE && list->entry[i]->state != EMD_WATCH_CHECKING)
            json_object_array_add(entries, entry_to_json(list->entry[i]));
    json_object_object_add(o, "entries", entries);
    size_t n;
    const char *text = json_object_to_json_string_length(
        o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
    if (!text || asprintf(&path, "%s/%s", target, EMD_STATE_NAME) < 0) {
        path = NULL;
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    if (status == EMD_OK)
        status = emd_safefile_create(path, &file, err);
    if (status == EMD_OK && write(emd_safefile_fd(file), text, n) != (ssize_t)n)
        status = emd_fail(err, EMD_E_IO, "cannot write %s", emd_safefile_temp(file));
    if (status == EMD_OK) {
        status = emd_safefile_commit(&file, 1, true, err);
        file = NULL;
    }
    emd_safefile_discard(file);
    free(path);
    json_object_put(o);
    return status;
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
    if (output && *name &&
        emd_watchlist_see(list, name, output, &id, &none, since, NULL) == EMD_OK) {
        struct emd_watch_entry *e = emd_watchlist_find(list, name);
        e->looks = (unsigned)get_number(o, "looks");
        if (aside) {
            /* who has the output's name may have changed meanwhile: that is asked again */
            if (outcome != EMD_OUTCOME_CONFLICT)
                e->state = EMD_WATCH_ASIDE;
            e->outcome = (enum emd_watch_outcome)outcome;
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
    char boot[64], *path;
    struct json_object *entries, *value;
    memset(totals, 0, sizeof *totals);
    if (asprintf(&path, "%s/%s", target, EMD_STATE_NAME) < 0)
        return;
    struct json_object *o = json_object_from_file(path);
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
}
