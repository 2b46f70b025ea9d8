/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See comparefiles.h. */
#include "comparefiles.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "common/jsontext.h"
#include "common/message.h"
#include "common/progress.h"

struct listing {
    const struct emd_compare_request *request;
    uint64_t count;
    struct json_object *list; /* with --json */
};

static void on_difference(void *ctx, const char *object, const char *what)
{
    struct listing *listing = ctx;
    listing->count++;
    if (listing->list) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "object", emd_json_text(object));
        json_object_object_add(o, "difference", emd_json_text(what));
        json_object_array_add(listing->list, o);
    } else {
        emd_message_error("%s: %s %s", listing->request->b, object, what);
    }
}

static const char *outcome(enum emd_status status)
{
    if (status == EMD_OK)
        return "equal";
    if (status == EMD_E_VERIFY)
        return "differs";
    return emd_exit_for(status) == EMD_EXIT_NOT_READY ? "not ready" : "failed";
}

static void print_json(const struct listing *listing, const struct emd_repack_result *result,
                       enum emd_status status, const struct emd_error *error)
{
    struct json_object *o = emd_json_new("emdrepack");
    const bool failed = status != EMD_OK && status != EMD_E_VERIFY;
    json_object_object_add(o, "status", json_object_new_string(outcome(status)));
    json_object_object_add(o, "error", failed ? emd_json_text(error->text) : NULL);
    json_object_object_add(o, "file", emd_json_text(listing->request->a));
    json_object_object_add(o, "other", emd_json_text(listing->request->b));
    json_object_object_add(o, "datasets", json_object_new_int64((int64_t)result->datasets));
    json_object_object_add(o, "differences", json_object_get(listing->list));
    emd_json_print_line(o);
}

int emd_compare_files(const struct emd_compare_request *request)
{
    struct emd_error error = {.status = EMD_OK};
    struct emd_repack_result result = {0};
    struct emd_repack_options options = request->options;
    struct listing listing = {.request = request,
                              .list = request->json ? json_object_new_array() : NULL};
    struct emd_pool *pool = emd_pool_new(request->threads);
    enum emd_status status;
    options.ctx = &listing;
    emd_progress_start(request->a, 0);
    if (pool)
        status = emd_repack_compare(request->a, request->b, &options, pool, on_difference,
                                    request->most, &result, &error);
    else
        status = emd_fail(&error, EMD_E_MEMORY, "cannot start %u threads", request->threads);
    emd_progress_end();
    emd_pool_free(pool);
    if (request->json)
        print_json(&listing, &result, status, &error);
    if (status == EMD_OK) {
        if (!request->json)
            emd_message_info("%s and %s are equal: %" PRIu64 " datasets and all else", request->a,
                             request->b, result.datasets);
    } else if (status != EMD_E_VERIFY) {
        emd_message_error("cannot compare: %s", error.text);
    } else if (!request->json && request->most > 0 && listing.count >= request->most) {
        emd_message_error("%s and %s differ; the first %" PRIu64 " differences are listed",
                          request->a, request->b, listing.count);
    } else if (!request->json) {
        emd_message_error("%s and %s differ: %" PRIu64 " difference%s", request->a, request->b,
                          listing.count, listing.count == 1 ? "" : "s");
    }
    json_object_put(listing.list);
    return status == EMD_E_VERIFY ? EMD_EXIT_FAILED : (int)emd_exit_for(status);
}
