/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See provenance.h. */
#include "repack/provenance.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/utf8.h"
#include "hdf5/fdfile.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/treehash.h"
#include "repack/repack.h"

/* One process looks at so many outputs: starting it takes longer than a look. */
enum { LOOKS_AT_ONCE = 64 };

/* Bytes for the list of what a salvage left out: an attribute holds 64 KiB. */
enum { MOST_OF_LOSSES = 24 << 10 };

static const char hash_name_key[] = "hash_name", hash_key[] = "hash", absent_key[] = "no_hash";

/* Modification time as the provenance says it: exact, and a text, since JSON numbers may not be. */
static void mtime_text(const struct timespec *mtime, char text[48])
{
    snprintf(text, 48, "%" PRId64 ".%09ld", (int64_t)mtime->tv_sec, mtime->tv_nsec);
}

static char *file_name(const char *path)
{
    char *copy = strdup(path), *name = copy ? strdup(basename(copy)) : NULL;
    free(copy);
    return name;
}

/* Where the file lies, without links; NULL if that cannot be told. */
static char *file_folder(const char *path)
{
    char *copy = strdup(path), *folder = copy ? realpath(dirname(copy), NULL) : NULL;
    free(copy);
    return folder;
}

/* Text of a file, which need not be UTF-8, as JSON text, which must. */
static struct json_object *new_text(const char *text)
{
    char *clean = emd_utf8_clean(text, strlen(text));
    struct json_object *o = clean ? json_object_new_string(clean) : NULL;
    free(clean);
    return o;
}

static struct json_object *new_numbers(const uint64_t *number, unsigned count)
{
    struct json_object *list = json_object_new_array();
    for (unsigned i = 0; list && i < count; i++)
        json_object_array_add(list, json_object_new_int64((int64_t)number[i]));
    return list;
}

struct json_object *emd_loss_json(const struct emd_loss *loss)
{
    static const char *const kinds[] = {
        [EMD_LOSS_LINK] = "link",           [EMD_LOSS_LINKS] = "links",
        [EMD_LOSS_ATTRIBUTE] = "attribute", [EMD_LOSS_ATTRIBUTES] = "attributes",
        [EMD_LOSS_COMMENT] = "comment",     [EMD_LOSS_DATA] = "data"};
    const char *what = loss->rank == 0 ? kinds[loss->kind] : loss->is_chunk ? "chunk" : "elements";
    struct json_object *o = json_object_new_object();
    if (!o)
        return NULL;
    json_object_object_add(o, "what", json_object_new_string(what));
    json_object_object_add(o, "object", new_text(loss->path));
    if (loss->kind == EMD_LOSS_LINK)
        json_object_object_add(o, "link", new_text(loss->name));
    if (loss->kind == EMD_LOSS_ATTRIBUTE)
        json_object_object_add(o, "attribute", new_text(loss->name));
    if (loss->rank > 0) {
        json_object_object_add(o, "offset", new_numbers(loss->box, loss->rank));
        json_object_object_add(o, "shape", new_numbers(loss->box + loss->rank, loss->rank));
    }
    if (loss->frames > 0) {
        json_object_object_add(o, "frame", json_object_new_int64((int64_t)loss->frame));
        json_object_object_add(o, "frames", json_object_new_int64((int64_t)loss->frames));
    }
    json_object_object_add(o, "why", new_text(loss->why));
    if (loss->trouble)
        json_object_object_add(o, "retry", json_object_new_boolean(true));
    return o;
}

/* What is missing: how much, and of it as much as an attribute holds. */
static struct json_object *salvage_json(const struct emd_losses *losses)
{
    struct json_object *o = json_object_new_object(), *list = json_object_new_array();
    size_t used = 0;
    if (!o || !list) {
        json_object_put(o);
        json_object_put(list);
        return NULL;
    }
    for (size_t i = 0; i < losses->count; i++) {
        struct json_object *loss = emd_loss_json(&losses->loss[i]);
        used += loss ? strlen(json_object_to_json_string_ext(loss, JSON_C_TO_STRING_PLAIN)) : 0;
        if (!loss || used > MOST_OF_LOSSES) {
            json_object_put(loss);
            break;
        }
        json_object_array_add(list, loss);
    }
    json_object_object_add(o, "lost", json_object_new_int64((int64_t)losses->count));
    json_object_object_add(o, "list", list);
    return o;
}

static struct json_object *read_provenance(hid_t file);

enum emd_status emd_provenance_write(hid_t file, const char *name_of_attribute,
                                     const struct emd_source *source, const char *codec,
                                     const char *hash, const char *absent,
                                     const struct emd_losses *losses, struct emd_error *err)
{
    char mtime[48], *name = file_name(source->path), *folder = file_folder(source->path);
    struct json_object *o = json_object_new_object();
    if (!o || !name) {
        free(name);
        free(folder);
        json_object_put(o);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    mtime_text(&source->id.mtime, mtime);
    json_object_object_add(o, "version", json_object_new_string(EMDTOOLS_VERSION));
    json_object_object_add(o, "codec", json_object_new_string(codec));
    json_object_object_add(o, "source", json_object_new_string(name));
    if (folder)
        json_object_object_add(o, "folder", json_object_new_string(folder));
    json_object_object_add(o, "size", json_object_new_int64(source->id.size));
    json_object_object_add(o, "mtime", json_object_new_string(mtime));
    struct json_object *old = read_provenance(source->file), *lacking;
    if (old && json_object_object_get_ex(old, "salvage", &lacking))
        json_object_object_add(o, "source_salvage", json_object_get(lacking));
    else if (old && json_object_object_get_ex(old, "source_salvage", &lacking))
        json_object_object_add(o, "source_salvage", json_object_get(lacking));
    json_object_put(old);
    if (losses && losses->count > 0)
        json_object_object_add(o, "salvage", salvage_json(losses));
    if (*hash) {
        json_object_object_add(o, hash_name_key, json_object_new_string(EMD_HASH_NAME));
        json_object_object_add(o, hash_key, json_object_new_string(hash));
    } else {
        json_object_object_add(o, absent_key, json_object_new_string(absent));
    }
    const char *text =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    enum emd_status status = EMD_OK;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    if (type < 0 || space < 0 || H5Tset_size(type, strlen(text)) < 0 ||
        H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
        (attribute = H5Acreate2(file, name_of_attribute, type, space, H5P_DEFAULT, H5P_DEFAULT)) <
            0 ||
        H5Awrite(attribute, type, text) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write the attribute %s", name_of_attribute);
    emd_hdf5_close(&attribute);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    json_object_put(o);
    free(name);
    free(folder);
    return status;
}

/* The provenance in an attribute of this name, or NULL; the caller puts it. */
static struct json_object *read_attribute(hid_t file, const char *name)
{
    static const char *const keys[] = {"version", "codec", "source", "size", "mtime"};
    struct json_object *o = NULL;
    if (H5Aexists(file, name) <= 0)
        return NULL;
    hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
    hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
    size_t n = type < 0 ? 0 : H5Tget_size(type);
    if (n > 0 && n < 65536 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
        H5Aget_storage_size(attribute) == n) {
        char *text = calloc(1, n + 1);
        if (text && H5Aread(attribute, type, text) >= 0)
            o = json_tokener_parse(text);
        free(text);
    }
    emd_hdf5_close(&type);
    emd_hdf5_close(&attribute);
    /* what users call so is theirs */
    bool ours = json_object_is_type(o, json_type_object);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && ours; i++)
        ours = json_object_object_get_ex(o, keys[i], NULL);
    if (!ours) {
        json_object_put(o);
        o = NULL;
    }
    return o;
}

static struct json_object *read_provenance(hid_t file)
{
    struct json_object *o = read_attribute(file, EMD_PROVENANCE_NAME);
    return o ? o : read_attribute(file, EMD_PROVENANCE_OTHER_NAME);
}

void emd_provenance_names(hid_t source, const char **omit, const char **name)
{
    static const char *const names[] = {EMD_PROVENANCE_NAME, EMD_PROVENANCE_OTHER_NAME};
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    *omit = NULL;
    for (size_t i = 0; i < 2 && !*omit; i++) {
        struct json_object *o = read_attribute(source, names[i]);
        *omit = o ? names[i] : NULL;
        json_object_put(o);
    }
    const bool taken = H5Aexists(source, EMD_PROVENANCE_NAME) > 0 &&
                       (!*omit || strcmp(*omit, EMD_PROVENANCE_NAME) != 0);
    *name = taken ? EMD_PROVENANCE_OTHER_NAME : EMD_PROVENANCE_NAME;
    emd_hdf5_quiet_end(&quiet);
}

/* ---- what an output is ----------------------------------------------------------------------- */

static const char *get_text(struct json_object *o, const char *key)
{
    struct json_object *value;
    return json_object_object_get_ex(o, key, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

/* Whether both are the same time, one of them perhaps as a file system or a server with coarser
 * times shows it: a share can be mounted in another way. */
static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    const long x = a->tv_nsec, y = b->tv_nsec;
    if (a->tv_sec != b->tv_sec)
        return false;
    for (long unit = 1; unit <= 1000000000; unit *= 10)
        if (x - x % unit == y - y % unit)
            return x == y || x % unit == 0 || y % unit == 0;
    return false;
}

void emd_provenance_read_hash(hid_t file, struct emd_content_hash *content)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct json_object *o = read_provenance(file);
    if (o) {
        snprintf(content->recorded, sizeof content->recorded, "%s", get_text(o, hash_key));
        snprintf(content->recorded_name, sizeof content->recorded_name, "%s",
                 get_text(o, hash_name_key));
        snprintf(content->absent, sizeof content->absent, "%s", get_text(o, absent_key));
    }
    json_object_put(o);
    emd_hdf5_quiet_end(&quiet);
}

static bool is_state(struct json_object *provenance, const struct stat *st)
{
    struct json_object *size;
    struct timespec mtime = {0};
    int64_t seconds;
    if (!json_object_object_get_ex(provenance, "size", &size) ||
        json_object_get_int64(size) != st->st_size ||
        sscanf(get_text(provenance, "mtime"), "%" SCNd64 ".%9ld", &seconds, &mtime.tv_nsec) != 2)
        return false;
    mtime.tv_sec = (time_t)seconds;
    return is_same_time(&mtime, &st->st_mtim);
}

/* Whether it is the machine that refuses, and not the file. */
static bool is_trouble(enum emd_status status)
{
    return status == EMD_E_IO || status == EMD_E_BUSY || status == EMD_E_MEMORY;
}

static void compare(struct emd_output *output, struct json_object *provenance,
                    const struct stat *input)
{
    char *name = file_name(output->input), *folder = file_folder(output->input);
    const char *old_name = get_text(provenance, "source");
    const char *old_folder = get_text(provenance, "folder");
    struct json_object *lacking = NULL;
    if (provenance)
        json_object_object_get_ex(provenance, "salvage", &lacking);
    if (!name || !folder) {
        output->state = EMD_OUTPUT_UNKNOWN;
        emd_fail(&output->why, EMD_E_IO, "cannot tell where %s lies", output->input);
    } else if (lacking) {
        emd_fail(&output->why, EMD_E_EXISTS,
                 "%s is what was salvaged of %s/%s when it was damaged; move it away", output->path,
                 old_folder, old_name);
    } else if (is_state(provenance, input)) {
        output->state = EMD_OUTPUT_DONE;
    } else if (strcmp(old_name, name) == 0 && strcmp(old_folder, folder) == 0) {
        output->state = EMD_OUTPUT_OUTDATED;
    } else if (*old_name) {
        emd_fail(&output->why, EMD_E_EXISTS,
                 "%s was made from %s%s%s, not from %s/%s; move it away", output->path, old_folder,
                 *old_folder ? "/" : "", old_name, folder, name);
    } else {
        emd_fail(&output->why, EMD_E_EXISTS, "%s exists and was not made from %s/%s; move it away",
                 output->path, folder, name);
    }
    free(name);
    free(folder);
}

static void look(struct emd_output *output)
{
    struct stat st;
    struct emd_source *file;
    output->state = EMD_OUTPUT_FOREIGN;
    if (lstat(output->path, &st) != 0 && errno == ENOENT) {
        output->state = EMD_OUTPUT_ABSENT;
    } else if (stat(output->input, &st) != 0) {
        output->state = EMD_OUTPUT_UNKNOWN;
        emd_fail_errno(&output->why, EMD_E_IO, errno, "cannot look at %s", output->input);
    } else if (emd_source_open(output->path, &file, &output->why) != EMD_OK) {
        if (is_trouble(output->why.status))
            output->state = EMD_OUTPUT_UNKNOWN;
        emd_fail_prefix(&output->why, output->why.status, "%s was not made from %s; move it away",
                        output->path, output->input);
    } else {
        struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
        struct json_object *provenance = read_provenance(file->file);
        if (emd_fdfile_errno() != 0) {
            output->state = EMD_OUTPUT_UNKNOWN;
            emd_fail_errno(&output->why, EMD_E_IO, emd_fdfile_errno(), "cannot read %s",
                           output->path);
        } else {
            compare(output, provenance, &st);
        }
        json_object_put(provenance);
        emd_hdf5_quiet_end(&quiet);
        emd_source_close(file);
    }
}

static void look_at_all(void *ctx, void *answer)
{
    const size_t *count = ctx;
    struct emd_output *output = answer;
    for (size_t i = 0; i < *count; i++)
        look(&output[i]);
}

static enum emd_status look_guarded(struct emd_output *output, size_t count, struct emd_error *err)
{
    /* the answer's pointers are the parent's own */
    const struct emd_guard guard = {.work = look_at_all,
                                    .ctx = &count,
                                    .answer = output,
                                    .answer_bytes = count * sizeof *output};
    return emd_guard_run(&guard, err);
}

void emd_outputs_look(struct emd_output *output, size_t count)
{
    for (size_t at = 0; at < count; at += LOOKS_AT_ONCE) {
        const size_t n = count - at < LOOKS_AT_ONCE ? count - at : LOOKS_AT_ONCE;
        if (look_guarded(output + at, n, NULL) == EMD_OK)
            continue;
        for (size_t i = at; i < at + n; i++) { /* one of them killed it */
            struct emd_error why;
            if (look_guarded(output + i, 1, &why) == EMD_OK)
                continue;
            output[i].state = is_trouble(why.status) ? EMD_OUTPUT_UNKNOWN : EMD_OUTPUT_FOREIGN;
            emd_fail(&output[i].why, why.status, "%s was not made from %s: %s; move it away",
                     output[i].path, output[i].input, why.text);
        }
    }
}

bool emd_repack_is_done(const char *input, const char *path)
{
    struct emd_output output = {.input = input, .path = path};
    emd_outputs_look(&output, 1);
    return output.state == EMD_OUTPUT_DONE;
}
