/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See rehearse.h. */
#include "hdf5/rehearse.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hdf5/chunks.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "hdf5/tree.h"
#include "hdf5/values.h"

/* Plain data are left out, and no space is allocated for them. */
static enum emd_status choose(void *ctx, hid_t src, const char *path, hid_t dcpl, bool *copies,
                              struct emd_error *err)
{
    (void)ctx;
    (void)path;
    struct emd_values values;
    hid_t type = H5Dget_type(src);
    enum emd_status status = emd_values_make(type, &values, err);
    emd_hdf5_close(&type);
    if (status != EMD_OK)
        return status;
    emd_values_free(&values);
    *copies = !values.variable && !values.references;
    if (*copies && H5Pget_layout(dcpl) != H5D_COMPACT &&
        H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_LATE) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
    return EMD_OK;
}

/* Walks the index of stored chunks once, as a salvage will. */
static enum emd_status salvage_walk(void *ctx, hid_t src, hid_t dst, const char *path,
                                    struct emd_error *err)
{
    static const struct emd_chunk_salvage salvage;
    struct emd_chunk_list chunks;
    (void)ctx;
    (void)dst;
    (void)path;
    (void)err;
    hid_t list = H5Dget_create_plist(src);
    if (H5Pget_layout(list) == H5D_CHUNKED &&
        emd_chunk_list_salvage(src, NULL, EMD_CHUNKS_BY_INDEX, 0, &salvage, &chunks, NULL) ==
            EMD_OK)
        emd_chunk_list_free(&chunks);
    emd_hdf5_close(&list);
    return EMD_OK;
}

/* Walks the index of stored chunks once. */
static enum emd_status walk(void *ctx, hid_t src, hid_t dst, const char *path,
                            struct emd_error *err)
{
    (void)ctx;
    (void)dst;
    enum emd_status status = EMD_OK;
    hid_t list = H5Dget_create_plist(src), space = H5Dget_space(src);
    hsize_t count;
    if (H5Pget_layout(list) == H5D_CHUNKED && H5Sget_simple_extent_npoints(space) > 0 &&
        H5Dget_num_chunks(src, space, &count) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "%s: cannot count the chunks", path);
    emd_hdf5_close(&space);
    emd_hdf5_close(&list);
    return status;
}

static enum emd_status rehearse(const char *path, int fd, struct emd_avoid *avoid,
                                struct emd_error *err)
{
    struct emd_losses losses = {.count = 0};
    const struct emd_tree_options options = {.choose = choose,
                                             .copy = avoid ? salvage_walk : walk,
                                             .losses = avoid ? &losses : NULL,
                                             .avoid = avoid};
    struct emd_source *source = NULL;
    hid_t dst = H5I_INVALID_HID;
    enum emd_status status = avoid ? emd_source_open_cut(fd, path, &source, err)
                                   : emd_source_open_fd(fd, path, &source, err);
    if (status == EMD_OK)
        status = emd_tree_create(source, -1, NULL, &dst, err);
    if (status == EMD_OK)
        status = emd_tree_copy(source->file, dst, &options, err);
    if (status == EMD_OK && !emd_hdf5_close(&dst))
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot finish the rehearsal");
    emd_source_close(source);
    emd_losses_free(&losses);
    return status;
}

struct question {
    const char *path;
    int fd;
    struct emd_avoid *avoid; /* shared with the parent */
};

static void work(void *ctx, void *answer)
{
    const struct question *question = ctx;
    struct emd_error *err = answer;
    err->status = rehearse(question->path, question->fd, question->avoid, err);
}

/* HDF5 has crashed: puts the object at hand on the list. False where that is no help. */
static bool avoid_current(struct emd_avoid *avoid)
{
    const uint64_t object = avoid->current;
    if (object == 0 || emd_avoid_has(avoid, object) ||
        avoid->count == sizeof avoid->object / sizeof avoid->object[0])
        return false;
    avoid->object[avoid->count++] = object;
    avoid->current = 0;
    return true;
}

enum emd_status emd_tree_rehearse(const char *path, const struct emd_rehearse_options *options,
                                  struct emd_error *err)
{
    static const struct emd_rehearse_options defaults;
    struct emd_error said = {EMD_OK, ""};
    if (!options)
        options = &defaults;
    struct question question = {.path = path, .fd = options->is_open ? options->fd : -1};
    struct stat st;
    if ((options->is_open ? fstat(options->fd, &st) : stat(path, &st)) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot open");
    const struct emd_guard guard = {.file_bytes = (uint64_t)st.st_size,
                                    .seconds = options->seconds,
                                    .work = work,
                                    .ctx = &question,
                                    .answer = &said,
                                    .answer_bytes = sizeof said,
                                    .cancelled = options->cancelled,
                                    .cancel_ctx = options->ctx};
    if (options->avoid) {
        void *shared = mmap(NULL, sizeof *question.avoid, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        question.avoid = shared;
    }
    enum emd_status status = emd_guard_run(&guard, err);
    while (status == EMD_E_CORRUPT && question.avoid && avoid_current(question.avoid))
        status = emd_guard_run(&guard, err);
    if (question.avoid) {
        *options->avoid = *question.avoid;
        munmap(question.avoid, sizeof *question.avoid);
    }
    if (status != EMD_OK || said.status == EMD_OK)
        return status;
    return emd_fail(err, said.status, "%s", said.text);
}
