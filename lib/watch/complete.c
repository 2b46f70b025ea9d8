/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See complete.h. HDF5 alone cannot tell a complete file from one that was given its final size
 * before its content: the copy of a movie that is three quarters done opens, and its last frames
 * are zeros. Each frame's metadata begin with '{' once they are written, and pixels of a camera are
 * never all zero; those of a counting detector may be, which is why zeros are only odd. */
#include "watch/complete.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "hdf5/chunks.h"
#include "hdf5/fdfile.h"
#include "hdf5/filters.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "hdf5/visit.h"
#include "velox/layout.h"

struct look {
    struct emd_source *source;
    bool velox_stack; /* at least one */
    bool any_frames;
    bool odd;
    struct emd_error oddity;
};

enum { SAMPLE_BYTES = 4096, READ_BYTES = 1 << 16 };

static bool all_zero(const unsigned char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Whether n bytes of the file are zeros. What cannot be read is not. */
static bool range_is_zero(int fd, uint64_t offset, uint64_t n)
{
    unsigned char *buffer = malloc(READ_BYTES);
    bool zero = buffer != NULL;
    while (zero && n > 0) {
        const size_t part = n < READ_BYTES ? (size_t)n : READ_BYTES;
        zero = emd_pread_all(fd, buffer, part, offset) == 0 && all_zero(buffer, part);
        offset += part;
        n -= part;
    }
    free(buffer);
    return zero;
}

/* A chunk is asked for its ends first: one that was written shows itself there. */
static bool chunk_is_zero(int fd, const struct emd_chunk *chunk)
{
    const uint64_t sample = chunk->bytes < SAMPLE_BYTES ? chunk->bytes : SAMPLE_BYTES;
    return range_is_zero(fd, chunk->address + chunk->bytes - sample, sample) &&
           range_is_zero(fd, chunk->address, sample) &&
           range_is_zero(fd, chunk->address, chunk->bytes);
}

static enum emd_status look_odd(struct look *look, const char *format, const char *path,
                                uint64_t number)
{
    if (!look->odd)
        emd_fail(&look->oddity, EMD_E_INCOMPLETE, format, path, number);
    look->odd = true;
    return EMD_OK;
}

/* Every column of a Velox stack's metadata holds a document. */
static enum emd_status look_at_metadata(struct look *look, const char *stack, uint64_t frames,
                                        struct emd_error *err)
{
    const size_t folder = (size_t)(strrchr(stack, '/') - stack) + 1;
    struct emd_chunk_list list = {0};
    enum emd_status status = EMD_OK;
    hid_t id = H5I_INVALID_HID, space = H5I_INVALID_HID, dcpl = H5I_INVALID_HID;
    hsize_t dims[2];
    char *path = malloc(folder + sizeof "Metadata");
    if (!path)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    memcpy(path, stack, folder);
    strcpy(path + folder, "Metadata");
    if (H5Lexists(look->source->file, path, H5P_DEFAULT) <= 0)
        goto out; /* not every writer has them */
    id = H5Dopen2(look->source->file, path, H5P_DEFAULT);
    space = id < 0 ? H5I_INVALID_HID : H5Dget_space(id);
    dcpl = id < 0 ? H5I_INVALID_HID : H5Dget_create_plist(id);
    if (dcpl < 0 || space < 0 || H5Sget_simple_extent_ndims(space) != 2 ||
        H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        goto out;
    if (dims[1] != frames)
        look_odd(look, "%s has %" PRIu64 " columns, which is not the number of frames", path,
                 dims[1]);
    if (H5Pget_layout(dcpl) != H5D_CHUNKED || H5Pget_nfilters(dcpl) != 0)
        goto out;
    status = emd_chunk_list_get(id, look->source, EMD_CHUNKS_BY_INDEX, 0, &list, err);
    for (size_t i = 0; status == EMD_OK && list.has_addresses && i < list.count; i++) {
        char first;
        if (list.grid.chunk[1] != 1 || list.grid.count[0] != 1)
            break; /* several documents in a chunk: not as the instrument writes them */
        status = emd_source_read(look->source->fd, &first, 1, list.chunk[i].address, err);
        if (status == EMD_OK && first == '\0')
            status = emd_fail(err, EMD_E_INCOMPLETE,
                              "the metadata of frame %" PRIu64 " are not written yet",
                              list.chunk[i].index + 1);
    }
out:
    emd_chunk_list_free(&list);
    emd_hdf5_close(&dcpl);
    emd_hdf5_close(&space);
    emd_hdf5_close(&id);
    free(path);
    return status;
}

static enum emd_status look_at_dataset(void *ctx, hid_t id, const char *path, struct emd_error *err)
{
    struct look *look = ctx;
    hsize_t dims[H5S_MAX_RANK];
    struct emd_chunk_list list = {0};
    enum emd_status status = EMD_OK;
    hid_t space = H5Dget_space(id), dcpl = H5Dget_create_plist(id);
    const int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    const H5D_layout_t layout = dcpl < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(dcpl);
    const bool stack = rank == 3 && emd_velox_is_images(path);
    if (rank < 0 || dcpl < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
        goto out;
    }
    if (stack) {
        look->velox_stack = true;
        look->any_frames = look->any_frames || (dims[0] > 0 && dims[1] > 0 && dims[2] > 0);
    }
    if (layout == H5D_CHUNKED) {
        status = emd_chunk_list_get(id, look->source, EMD_CHUNKS_BY_INDEX, 0, &list, err);
        if (status == EMD_E_UNSUPPORTED)
            status = EMD_OK; /* the repacker says more about it */
        if (status == EMD_OK && stack && list.count < list.grid.total)
            look_odd(look, "%s has %" PRIu64 " chunks that were never written", path,
                     list.grid.total - list.count);
        for (size_t i = 0; status == EMD_OK && stack && list.has_addresses && i < list.count; i++)
            if (chunk_is_zero(look->source->fd, &list.chunk[i]))
                look_odd(look, "%s: chunk %" PRIu64 " is all zeros", path, list.chunk[i].index + 1);
    } else if (layout == H5D_CONTIGUOUS && emd_hdf5_is_allocated(id)) {
        const haddr_t at = H5Dget_offset(id); /* from the start of the file */
        const hsize_t n = H5Dget_storage_size(id);
        const uint64_t size = (uint64_t)look->source->id.size;
        if (at > size || n > size - at)
            status = emd_fail(err, EMD_E_INCOMPLETE, "reaches behind the end of the file");
        /* all frames of a pixel lie side by side: the end comes last */
        const uint64_t tail = n < READ_BYTES ? n : READ_BYTES;
        if (status == EMD_OK && stack && n > 0 &&
            range_is_zero(look->source->fd, at + n - tail, tail))
            look_odd(look, "%s: the last %" PRIu64 " bytes are zeros", path, tail);
    }
    if (status == EMD_OK && stack)
        status = look_at_metadata(look, path, dims[2], err);
out:
    emd_chunk_list_free(&list);
    emd_hdf5_close(&dcpl);
    emd_hdf5_close(&space);
    return status;
}

/* Does the file begin or end with zeros where content belongs? */
static bool has_zero_ends(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size <= 0)
        return false;
    const uint64_t size = (uint64_t)st.st_size;
    const uint64_t n = size < SAMPLE_BYTES ? size : SAMPLE_BYTES;
    return range_is_zero(fd, 0, size < 8 ? size : 8) || range_is_zero(fd, size - n, n);
}

static enum emd_completeness judge(int fd, enum emd_status status)
{
    switch (status) {
    case EMD_E_BUSY:
        return EMD_COMPLETE_BUSY;
    case EMD_E_INCOMPLETE:
    case EMD_E_CHANGED:
        return EMD_COMPLETE_NOT;
    case EMD_E_IO:
        return EMD_COMPLETE_UNREADABLE;
    case EMD_E_MEMORY:
    case EMD_E_BUDGET:
        return EMD_COMPLETE_UNREADABLE;
    default:
        /* structures of zeros: the writer is not there yet */
        return has_zero_ends(fd) ? EMD_COMPLETE_NOT : EMD_COMPLETE_DAMAGED;
    }
}

static enum emd_completeness look_at(int fd, const char *path, struct emd_error *err)
{
    struct look look = {0};
    enum emd_completeness answer = EMD_COMPLETE;
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status == EMD_OK)
        status = emd_source_open_fd(fd, path, &look.source, err);
    if (status != EMD_OK)
        return judge(fd, status);
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    status = emd_visit_datasets(look.source->file, look_at_dataset, NULL, &look, err);
    emd_hdf5_quiet_end(&quiet);
    if (status != EMD_OK) {
        answer = judge(fd, status);
    } else if (look.velox_stack && !look.any_frames) {
        emd_fail(err, EMD_E_EMPTY, "a movie without frames");
        answer = EMD_COMPLETE_EMPTY;
    } else if (look.odd) {
        *err = look.oddity;
        answer = EMD_COMPLETE_ODD;
    } else if (look.source->end < (uint64_t)look.source->id.size) {
        emd_fail(err, EMD_E_INCOMPLETE, "%" PRIu64 " bytes follow the end of the HDF5 file",
                 (uint64_t)look.source->id.size - look.source->end);
        answer = EMD_COMPLETE_ODD;
    }
    /* what a share that fails hides is not missing */
    if (answer != EMD_COMPLETE_UNREADABLE && emd_fdfile_errno() != 0) {
        emd_fail_errno(err, EMD_E_IO, emd_fdfile_errno(), "cannot be read");
        answer = EMD_COMPLETE_UNREADABLE;
    }
    emd_source_close(look.source);
    return answer;
}

struct answer {
    enum emd_completeness completeness;
    struct emd_error error;
};

struct question {
    int fd;
    const char *path;
};

static void work(void *ctx, void *out)
{
    const struct question *question = ctx;
    struct answer *answer = out;
    answer->completeness = look_at(question->fd, question->path, &answer->error);
}

enum emd_completeness emd_complete_look(int fd, const char *path, struct emd_error *err)
{
    struct answer answer = {.error = {.status = EMD_OK}};
    struct stat st;
    struct question question = {.fd = fd >= 0 ? fd : emd_open_regular(AT_FDCWD, path, O_RDONLY),
                                .path = path};
    if (question.fd < 0 || fstat(question.fd, &st) != 0) {
        const int cause = errno;
        emd_fail_errno(err, EMD_E_IO, cause, "cannot open");
        return cause == EACCES || cause == EBUSY || cause == ETXTBSY ? EMD_COMPLETE_BUSY
                                                                     : EMD_COMPLETE_UNREADABLE;
    }
    const struct emd_guard guard = {.file_bytes = (uint64_t)st.st_size,
                                    .work = work,
                                    .ctx = &question,
                                    .answer = &answer,
                                    .answer_bytes = sizeof answer};
    const enum emd_status status = emd_guard_run(&guard, &answer.error);
    if (err)
        *err = answer.error;
    const enum emd_completeness completeness =
        status == EMD_OK ? answer.completeness : judge(question.fd, status);
    if (question.fd != fd)
        close(question.fd);
    return completeness;
}
