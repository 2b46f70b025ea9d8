/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/inspect.h"

#include <stdlib.h>
#include <string.h>

#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "velox/layout.h"
#include "velox/metadata.h"
#include "velox/readtext.h"
#include "velox/stack.h"

/* Far more than a movie has. */
enum { STACKS_MAX = 1000 };

struct answer {
    enum emd_status status;
    size_t frames;
    struct emd_error error;
};

/* Images of the largest stack of a Velox file. Its metadata are not read: there are hundreds of
 * movies to ask. */
static enum emd_status count_images(const struct emd_source *source, size_t *frames,
                                    struct emd_error *err)
{
    struct emd_error why;
    char *text, version[16];
    size_t n, largest = 0;
    H5G_info_t info;
    bool found = false;
    enum emd_status status = emd_read_text(source, "/Version", &text, &n, err);
    if (status != EMD_OK && status != EMD_E_EMPTY && status != EMD_E_UNSUPPORTED)
        return status;
    if (status == EMD_OK) {
        status = emd_velox_version_parse(text, n, version, &why);
        free(text);
    }
    if (status != EMD_OK)
        return emd_fail(err, EMD_E_FORMAT, "not a Velox movie");
    if (H5Gget_info_by_name(source->file, EMD_VELOX_IMAGES, &info, H5P_DEFAULT) < 0)
        return emd_fail(err, EMD_E_FORMAT, "it holds no images");
    for (hsize_t i = 0; i < info.nlinks && i < STACKS_MAX; i++) {
        char path[512] = EMD_VELOX_IMAGES "/";
        const size_t used = strlen(path), room = sizeof path - used - sizeof "/Data";
        struct emd_stack stack;
        if (H5Lget_name_by_idx(source->file, EMD_VELOX_IMAGES, H5_INDEX_NAME, H5_ITER_NATIVE, i,
                               path + used, room, H5P_DEFAULT) < 0)
            return emd_fail(err, EMD_E_CORRUPT, "its images cannot be listed");
        strcat(path, "/Data");
        if (emd_stack_open(source->file, path, true, &stack, &why) != EMD_OK)
            continue;
        const size_t size = stack.height * stack.width * stack.frames;
        if (!found || size > largest) {
            largest = size;
            *frames = stack.frames;
        }
        found = true;
        emd_stack_close(&stack);
    }
    return found ? EMD_OK : emd_fail(err, EMD_E_FORMAT, "it holds no images");
}

static void look(void *ctx, void *answer)
{
    struct answer *a = answer;
    struct emd_source *source = NULL;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    a->status = emd_source_open(ctx, &source, &a->error);
    if (a->status == EMD_OK)
        a->status = count_images(source, &a->frames, &a->error);
    emd_source_close(source);
    emd_hdf5_quiet_end(&quiet);
}

enum emd_status inspect_movie(const char *path, size_t *frames, struct emd_error *err)
{
    struct answer a = {0};
    const struct emd_guard guard = {
        .work = look, .ctx = (void *)path, .answer = &a, .answer_bytes = sizeof a};
    enum emd_status status = emd_guard_run(&guard, err);
    *frames = a.frames;
    if (status != EMD_OK || a.status == EMD_OK)
        return status;
    return emd_fail(err, a.status, "%s", a.error.text);
}
