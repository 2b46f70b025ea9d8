/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See contenthashes.h. */
#include "contenthashes.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "common/jsontext.h"
#include "common/message.h"
#include "hdf5/treehash.h"
#include "repack/repack.h"

enum agreement { NOTHING_RECORDED, AGREES, DIFFERS };

static enum agreement compare(const struct emd_content_hash *content)
{
    if (!content->recorded[0] || strcmp(content->recorded_name, EMD_HASH_NAME) != 0)
        return NOTHING_RECORDED;
    return strcmp(content->recorded, content->hash) == 0 ? AGREES : DIFFERS;
}

static json_object *text_or_null(const char *text)
{
    return *text ? emd_json_text(text) : NULL;
}

static void print_json(const char *path, enum emd_status status, const struct emd_error *err,
                       const struct emd_content_hash *content)
{
    json_object *o = emd_json_new("emdinfo"), *agrees = NULL;
    const enum agreement found = compare(content);
    const bool failed = status != EMD_OK;
    if (!failed && found != NOTHING_RECORDED)
        agrees = json_object_new_boolean(found == AGREES);
    json_object_object_add(o, "file", emd_json_text(path));
    json_object_object_add(o, "status",
                           emd_json_text(failed             ? emd_status_text(status)
                                         : found == DIFFERS ? "differs"
                                                            : "ok"));
    if (failed)
        json_object_object_add(o, "error", emd_json_text(err->text));
    json_object_object_add(o, "hash_name", emd_json_text(EMD_HASH_NAME));
    json_object_object_add(o, "hash", text_or_null(content->hash));
    json_object_object_add(o, "recorded", text_or_null(content->recorded));
    json_object_object_add(o, "recorded_name", text_or_null(content->recorded_name));
    json_object_object_add(o, "not_recorded", text_or_null(content->absent));
    json_object_object_add(o, "agrees", agrees);
    emd_json_print_line(o);
}

/* What is to be said about a hash beside itself; the exit code. */
static int evaluate(const char *path, const struct emd_content_hash *content)
{
    if (compare(content) == DIFFERS) {
        emd_message_error(
            "%s: the content is not what was recorded when the file was written (%s); "
            "compare it with its source or a backup",
            path, content->recorded);
        return EMD_EXIT_FAILED;
    }
    if (content->absent[0])
        emd_message_info("%s: no hash was recorded: %s", path, content->absent);
    else if (content->recorded_name[0] && strcmp(content->recorded_name, EMD_HASH_NAME) != 0)
        emd_message_info("%s: the recorded hash is of another definition, %s: not compared", path,
                         content->recorded_name);
    return EMD_EXIT_OK;
}

int emd_print_hashes(char *const *files, size_t count, bool json, bool (*cancelled)(void *ctx))
{
    struct emd_repack_options options;
    struct emd_pool *pool = emd_pool_new(emd_cpu_count());
    int code = EMD_EXIT_OK;
    emd_repack_defaults(&options);
    options.cancelled = cancelled;
    if (!pool) {
        emd_message_error("cannot start %u threads", emd_cpu_count());
        return EMD_EXIT_FAILED;
    }
    for (size_t i = 0; i < count && !cancelled(NULL); i++) {
        struct emd_error err = {EMD_OK, ""};
        struct emd_content_hash content;
        const enum emd_status status = emd_repack_hash(files[i], &options, pool, &content, &err);
        int own;
        if (json)
            print_json(files[i], status, &err, &content);
        if (status == EMD_OK) {
            if (!json) {
                printf("%s  ", content.hash);
                emd_print_text(files[i]);
                putchar('\n');
            }
            own = evaluate(files[i], &content);
        } else {
            emd_message_error("%s: %s%s", files[i],
                              status == EMD_E_UNSUPPORTED ? "no content hash: " : "", err.text);
            own = (int)emd_exit_for(status);
        }
        if (own != EMD_EXIT_OK && code != EMD_EXIT_FAILED)
            code = own;
    }
    emd_pool_free(pool);
    return code;
}
