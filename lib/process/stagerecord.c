/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/stagerecord.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/safefile.h"
#include "base/utf8.h"
#include "dials/jsondoc.h"
#include "dials/textfile.h"

/* Another number: a record that this program does not understand, nothing of which counts. */
enum { FORMAT = 1 };

struct emd_record {
    char *folder;
    int dirfd; /* of it, -1: it does not exist */
    struct json_object *root, *stages;
    bool damaged;
};

/* ---- marks of files -------------------------------------------------------------------------- */

enum { BLOCK = 1 << 20, BLOCKS = 64 };

struct mark {
    int64_t size, seconds, nanoseconds;
    uint64_t hash;
};

/* Whole files up to BLOCKS blocks, else as many blocks evenly spread, first and last included. */
static bool hash_file(int dirfd, const char *path, int64_t size, uint64_t *hash)
{
    bool ok = false;
    XXH3_state_t *state = XXH3_createState();
    char *block = malloc(BLOCK);
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (!state || !block || fd < 0)
        goto out;
    XXH3_64bits_reset(state);
    const bool whole = size <= (int64_t)BLOCK * BLOCKS;
    const int64_t count = whole ? (size + BLOCK - 1) / BLOCK : BLOCKS;
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = whole ? i * BLOCK : (size - BLOCK) / (BLOCKS - 1) * i;
        const size_t n = (size_t)(size - at < BLOCK ? size - at : BLOCK);
        if (emd_pread_all(fd, block, n, (uint64_t)at) != 0)
            goto out;
        XXH3_64bits_update(state, block, n);
    }
    *hash = XXH3_64bits_digest(state);
    ok = true;
out:
    if (fd >= 0)
        close(fd);
    free(block);
    XXH3_freeState(state);
    return ok;
}

static bool look_at(int dirfd, const char *path, struct mark *mark)
{
    struct stat st;
    if (dirfd < 0 || fstatat(dirfd, path, &st, 0) != 0 || !S_ISREG(st.st_mode))
        return false;
    *mark = (struct mark){
        .size = st.st_size, .seconds = st.st_mtim.tv_sec, .nanoseconds = st.st_mtim.tv_nsec};
    return true;
}

static struct json_object *new_text(const char *text, size_t length)
{
    char *clean = emd_utf8_clean(text, length);
    struct json_object *o = clean ? json_object_new_string(clean) : NULL;
    free(clean);
    return o;
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, new_text(text, strlen(text)));
}

/* Is 'recorded' what new_text made of 'text'? */
static bool same_text(const char *recorded, const char *text)
{
    struct json_object *o = new_text(text, strlen(text));
    bool same = o && strcmp(json_object_get_string(o), recorded) == 0;
    json_object_put(o);
    return same;
}

static struct json_object *new_texts(char *const *texts, size_t count)
{
    struct json_object *array = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        json_object_array_add(array, new_text(texts[i], strlen(texts[i])));
    return array;
}

static struct json_object *mark_to_json(const char *path, const struct mark *mark)
{
    char text[64];
    struct json_object *o = json_object_new_object();
    add_text(o, "path", path);
    json_object_object_add(o, "size", json_object_new_int64(mark->size));
    snprintf(text, sizeof text, "%" PRId64 ".%09" PRId64, mark->seconds, mark->nanoseconds);
    json_object_object_add(o, "mtime", json_object_new_string(text));
    snprintf(text, sizeof text, "%016" PRIx64, mark->hash);
    json_object_object_add(o, "xxh3", json_object_new_string(text));
    return o;
}

static const char *text_of(struct json_object *o, const char *key)
{
    struct json_object *value = emd_json_member(o, key, json_type_string);
    return value ? json_object_get_string(value) : "";
}

static struct json_object *array_of(struct json_object *o, const char *key)
{
    return emd_json_member(o, key, json_type_array);
}

static size_t length_of(struct json_object *array)
{
    return array ? json_object_array_length(array) : 0;
}

/* Is the file what the mark says? */
static bool fits(int dirfd, const char *path, struct json_object *mark, const char **trouble)
{
    struct mark now;
    char text[64];
    struct json_object *size = emd_json_member(mark, "size", json_type_int);
    *trouble = "is not there any more";
    if (!look_at(dirfd, path, &now))
        return false;
    *trouble = "has changed";
    if (!size || json_object_get_int64(size) != now.size)
        return false;
    snprintf(text, sizeof text, "%" PRId64 ".%09" PRId64, now.seconds, now.nanoseconds);
    if (strcmp(text, text_of(mark, "mtime")) == 0)
        return true;
    if (!hash_file(dirfd, path, now.size, &now.hash))
        return false;
    snprintf(text, sizeof text, "%016" PRIx64, now.hash);
    return strcmp(text, text_of(mark, "xxh3")) == 0;
}

/* Marks of all files; NULL if one is not there, which *missing names. */
static struct json_object *mark_files(int dirfd, const struct emd_words *files,
                                      const char **missing)
{
    struct json_object *marks = json_object_new_array();
    for (size_t i = 0; i < files->count; i++) {
        struct mark mark;
        if (!look_at(dirfd, files->word[i], &mark) ||
            !hash_file(dirfd, files->word[i], mark.size, &mark.hash)) {
            *missing = files->word[i];
            json_object_put(marks);
            return NULL;
        }
        json_object_array_add(marks, mark_to_json(files->word[i], &mark));
    }
    return marks;
}

/* ---- the file -------------------------------------------------------------------------------- */

static struct json_object *empty_root(void)
{
    struct json_object *root = json_object_new_object();
    json_object_object_add(root, "format", json_object_new_int(FORMAT));
    json_object_object_add(root, "emdtools", json_object_new_string(EMDTOOLS_VERSION));
    json_object_object_add(root, "stages", json_object_new_array());
    return root;
}

static bool parse(const struct emd_textfile *file, struct emd_record *record)
{
    struct emd_jsondoc doc;
    if (file->length == 0 || emd_jsondoc_parse(file->text, file->length, &doc, NULL) != EMD_OK)
        return false;
    struct json_object *format = emd_json_member(doc.root, "format", json_type_int);
    record->stages = array_of(doc.root, "stages");
    if (!format || json_object_get_int(format) != FORMAT || !record->stages) {
        emd_jsondoc_release(&doc);
        return false;
    }
    record->root = doc.root;
    return true;
}

enum emd_status emd_record_open(const char *folder, struct emd_record **out, struct emd_error *err)
{
    struct emd_textfile file = {0};
    struct emd_record *record = calloc(1, sizeof *record);
    enum emd_status status = EMD_OK;
    *out = NULL;
    if (!record || !(record->folder = strdup(folder))) {
        free(record);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    record->dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (record->dirfd >= 0)
        status = emd_textfile_read(&file, record->dirfd, EMD_RECORD_NAME, err);
    else if (errno != ENOENT)
        status = emd_fail_errno(err, EMD_E_IO, errno, "%s", folder);
    else
        status = EMD_E_EMPTY;
    if (status == EMD_OK && !parse(&file, record))
        record->damaged = true;
    if (status == EMD_E_EMPTY)
        status = EMD_OK;
    if (!record->root) {
        record->root = empty_root();
        record->stages = array_of(record->root, "stages");
    }
    emd_textfile_free(&file);
    if (status != EMD_OK)
        emd_record_free(record);
    else
        *out = record;
    return status;
}

void emd_record_free(struct emd_record *record)
{
    if (!record)
        return;
    if (record->dirfd >= 0)
        close(record->dirfd);
    json_object_put(record->root);
    free(record->folder);
    free(record);
}

bool emd_record_damaged(const struct emd_record *record)
{
    return record->damaged;
}

static struct json_object *find(const struct emd_record *record, const char *stage)
{
    for (size_t i = 0; i < length_of(record->stages); i++) {
        struct json_object *o = json_object_array_get_idx(record->stages, i);
        if (strcmp(text_of(o, "name"), stage) == 0)
            return o;
    }
    return NULL;
}

enum emd_status emd_record_arrange(struct emd_record *record, const struct emd_stageplan *plan,
                                   struct emd_error *err)
{
    struct json_object *stages = json_object_new_array();
    if (!stages)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < plan->count; i++) {
        struct json_object *o = find(record, plan->stages[i].spec->name);
        if (o) {
            json_object_array_add(stages, json_object_get(o));
            continue;
        }
        o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(plan->stages[i].spec->name));
        json_object_object_add(o, "state", json_object_new_string(""));
        json_object_array_add(stages, o);
    }
    json_object_object_add(record->root, "stages", stages);
    record->stages = stages;
    return EMD_OK;
}

enum emd_status emd_record_set(struct emd_record *record, const char *key, const char *value,
                               struct emd_error *err)
{
    struct json_object *text = new_text(value, strlen(value));
    if (!text)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    json_object_object_add(record->root, key, text);
    return EMD_OK;
}

void emd_record_set_object(struct emd_record *record, const char *key, struct json_object *value)
{
    if (value)
        json_object_object_add(record->root, key, value);
    else
        json_object_object_del(record->root, key);
}

struct json_object *emd_record_object(const struct emd_record *record, const char *key)
{
    return emd_json_member(record->root, key, json_type_object);
}

enum emd_status emd_record_write(struct emd_record *record, struct emd_error *err)
{
    struct emd_safefile *file = NULL;
    char *path = NULL;
    size_t n;
    json_object_object_add(record->root, "emdtools", json_object_new_string(EMDTOOLS_VERSION));
    const char *text = json_object_to_json_string_length(
        record->root,
        JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE | JSON_C_TO_STRING_SPACED, &n);
    if (!text || asprintf(&path, "%s/%s", record->folder, EMD_RECORD_NAME) < 0)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    enum emd_status status = emd_safefile_create(path, &file, err);
    if (status == EMD_OK && (emd_pwrite_all(emd_safefile_fd(file), text, n, 0) != 0 ||
                             emd_pwrite_all(emd_safefile_fd(file), "\n", 1, n) != 0))
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", emd_safefile_temp(file));
    if (status == EMD_OK) {
        status = emd_safefile_commit(&file, 1, true, err);
        file = NULL;
    }
    emd_safefile_discard(file);
    free(path);
    return status;
}

/* ---- stages ---------------------------------------------------------------------------------- */

const char *emd_record_state(const struct emd_record *record, const char *stage)
{
    return text_of(find(record, stage), "state");
}

const char *emd_record_reason(const struct emd_record *record, const char *stage)
{
    return text_of(find(record, stage), "reason");
}

static size_t tried_of(struct json_object *o)
{
    struct json_object *tried = emd_json_member(o, "tried", json_type_int);
    int64_t value = tried ? json_object_get_int64(tried) : 0;
    return value > 0 ? (size_t)value : 0;
}

/* The first 'count' commands are the recorded ones. */
static bool same_commands(struct json_object *o, const struct emd_plan_stage *stage, size_t count)
{
    struct json_object *commands = array_of(o, "commands");
    if (count > stage->command_count || count > length_of(commands))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct json_object *text = json_object_array_get_idx(commands, i);
        if (!json_object_is_type(text, json_type_string) ||
            !same_text(json_object_get_string(text), stage->texts[i]))
            return false;
    }
    return true;
}

/* The recorded files are the stage's, and unchanged. */
static bool same_files(const struct emd_record *record, struct json_object *marks,
                       const struct emd_words *files, const char *what, char why[static 256])
{
    if (length_of(marks) != files->count) {
        snprintf(why, 256, "it has other %ss now", what);
        return false;
    }
    for (size_t i = 0; i < files->count; i++) {
        struct json_object *mark = json_object_array_get_idx(marks, i);
        const char *trouble;
        if (!same_text(text_of(mark, "path"), files->word[i])) {
            snprintf(why, 256, "it has other %ss now", what);
            return false;
        }
        if (!fits(record->dirfd, files->word[i], mark, &trouble)) {
            snprintf(why, 256, "its %s %s %s", what, files->word[i], trouble);
            return false;
        }
    }
    return true;
}

enum emd_verdict emd_record_judge(const struct emd_record *record,
                                  const struct emd_plan_stage *stage, char why[static 256])
{
    struct json_object *o = find(record, stage->spec->name);
    const char *state = text_of(o, "state");
    const bool done = strcmp(state, "done") == 0, failed = strcmp(state, "failed") == 0;
    struct json_object *lasting = emd_json_member(o, "lasting", json_type_boolean);
    why[0] = '\0';
    if (*state == '\0')
        snprintf(why, 256, "it never ran");
    else if (strcmp(state, "running") == 0)
        snprintf(why, 256, "it was broken off");
    else if (strcmp(state, "stopped") == 0)
        snprintf(why, 256, "it was stopped");
    else if (!done && !failed)
        snprintf(why, 256, "the record is not understood");
    else if (failed && !(lasting && json_object_get_boolean(lasting)))
        snprintf(why, 256, "it failed: %.200s", text_of(o, "reason"));
    else if (!same_commands(o, stage, done ? tried_of(o) + 1 : stage->command_count) ||
             (failed && length_of(array_of(o, "commands")) != stage->command_count))
        snprintf(why, 256, "its command has changed");
    if (why[0] || !same_files(record, array_of(o, "inputs"), &stage->inputs, "input", why))
        return EMD_VERDICT_TODO;
    if (failed) {
        snprintf(why, 256, "%.250s", text_of(o, "reason"));
        return EMD_VERDICT_FAILED;
    }
    return same_files(record, array_of(o, "outputs"), &stage->outputs, "output", why)
               ? EMD_VERDICT_DONE
               : EMD_VERDICT_TODO;
}

static void time_text(char text[40])
{
    const time_t t = time(NULL);
    struct tm tm;
    strftime(text, 40, "%Y-%m-%dT%H:%M:%S%z", localtime_r(&t, &tm));
}

enum emd_status emd_record_begin(struct emd_record *record, const struct emd_plan_stage *stage,
                                 struct emd_error *err)
{
    char now[40], host[128] = "";
    const char *missing = "";
    struct json_object *o = find(record, stage->spec->name), *inputs;
    if (!o)
        return emd_fail(err, EMD_E_ARGUMENT, "the record does not know the stage");
    if (record->dirfd < 0)
        record->dirfd = open(record->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    inputs = mark_files(record->dirfd, &stage->inputs, &missing);
    if (!inputs)
        return emd_fail(err, EMD_E_EMPTY, "its input %s is not there", missing);
    static const char *const old[] = {"tried",       "outputs",    "seconds", "cpu_seconds",
                                      "peak_memory", "ending",     "reason",  "lasting",
                                      "dials",       "last_lines", "optional"};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        json_object_object_del(o, old[i]);
    time_text(now);
    gethostname(host, sizeof host - 1);
    json_object_object_add(o, "state", json_object_new_string("running"));
    json_object_object_add(o, "begun", json_object_new_string(now));
    json_object_object_add(o, "host", json_object_new_string(host));
    json_object_object_add(o, "optional", json_object_new_boolean(stage->spec->optional));
    json_object_object_add(o, "commands", new_texts(stage->texts, stage->command_count));
    json_object_object_add(o, "inputs", inputs);
    json_object_object_add(o, "makes", new_texts(stage->outputs.word, stage->outputs.count));
    return EMD_OK;
}

static struct json_object *new_seconds(double seconds)
{
    char text[32];
    snprintf(text, sizeof text, "%.3f", seconds);
    return json_object_new_double_s(seconds, text);
}

static void add_lines(struct json_object *o, const char *lines)
{
    struct json_object *array = json_object_new_array();
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        json_object_array_add(array, new_text(lines, n));
        lines += n + (lines[n] != '\0');
    }
    json_object_object_add(o, "last_lines", array);
}

enum emd_status emd_record_end(struct emd_record *record, const struct emd_plan_stage *stage,
                               const struct emd_stage_result *result, struct emd_error *err)
{
    static const char *const names[] = {"done", "failed", "failed", "stopped"};
    struct json_object *o = find(record, stage->spec->name);
    enum emd_status status = EMD_OK;
    const char *reason = result->reason;
    char why[300] = "";
    int state = result->state;
    if (!o)
        return emd_fail(err, EMD_E_ARGUMENT, "the record does not know the stage");
    if (state == EMD_STAGE_DONE) {
        char text[256];
        const char *missing;
        struct json_object *outputs = mark_files(record->dirfd, &stage->outputs, &missing);
        if (!outputs) {
            snprintf(why, sizeof why, "its output %s is not there", missing);
            status = EMD_E_EMPTY;
        } else {
            json_object_object_add(o, "outputs", outputs);
            if (!same_files(record, array_of(o, "inputs"), &stage->inputs, "input", text)) {
                snprintf(why, sizeof why, "%s while it ran", text);
                status = EMD_E_CHANGED;
            }
        }
        if (status != EMD_OK) {
            state = status == EMD_E_EMPTY ? EMD_STAGE_FAILED : EMD_STAGE_BROKEN;
            reason = why;
            emd_fail(err, status, "%s", why);
        }
    }
    json_object_object_add(o, "state", json_object_new_string(names[state]));
    json_object_object_add(o, "tried", json_object_new_int64((int64_t)result->tried));
    json_object_object_add(o, "seconds", new_seconds(result->seconds));
    json_object_object_add(o, "cpu_seconds", new_seconds(result->cpu_seconds));
    json_object_object_add(o, "peak_memory", json_object_new_int64((int64_t)result->peak_bytes));
    add_text(o, "ending", result->ending);
    if (*result->dials)
        add_text(o, "dials", result->dials);
    if (state != EMD_STAGE_DONE) {
        add_text(o, "reason", reason);
        json_object_object_add(o, "lasting", json_object_new_boolean(state == EMD_STAGE_FAILED));
        add_lines(o, result->last_lines);
    }
    return status;
}

static bool makes(struct json_object *stage, const char *name)
{
    struct json_object *files = array_of(stage, "makes");
    for (size_t i = 0; i < length_of(files); i++) {
        struct json_object *path = json_object_array_get_idx(files, i);
        if (json_object_is_type(path, json_type_string) &&
            same_text(json_object_get_string(path), name))
            return true;
    }
    return false;
}

bool emd_record_unfinished(const char *folder, const char *name, char failure[static 256])
{
    struct emd_record *record;
    bool behind = false, unfinished = false, found = false;
    failure[0] = '\0';
    if (emd_record_open(folder, &record, NULL) != EMD_OK)
        return false;
    for (size_t i = 0; i < length_of(record->stages) && !found; i++) {
        struct json_object *o = json_object_array_get_idx(record->stages, i);
        struct json_object *optional = emd_json_member(o, "optional", json_type_boolean);
        bool done = strcmp(text_of(o, "state"), "done") == 0;
        found = makes(o, name);
        if (!done && (found || !optional || !json_object_get_boolean(optional))) {
            if (!behind && strcmp(text_of(o, "state"), "failed") == 0)
                snprintf(failure, 256, "%.60s: %.180s", text_of(o, "name"), text_of(o, "reason"));
            behind = true;
        }
        unfinished = found && behind;
    }
    if (!unfinished)
        failure[0] = '\0';
    emd_record_free(record);
    return unfinished;
}
