/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "repack/strips.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"

struct strip {
    uint64_t offset; /* in the memory, or in the file if in_file is set */
    size_t size;
    uint64_t hash; /* of what went to the file */
};

struct emd_strips {
    size_t count, capacity, used;
    unsigned char *memory;
    struct strip *strip;
    char *folder;
    int fd; /* -1 until something is spilled */
    uint64_t file_used, spilled;
};

/* Offsets of the file are told from those in memory by this bit. */
static const uint64_t in_file = (uint64_t)1 << 63;

enum emd_status emd_strips_new(size_t count, size_t memory, const char *folder,
                               struct emd_strips **out, struct emd_error *err)
{
    struct emd_strips *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    s->fd = -1;
    s->count = count;
    s->capacity = memory;
    s->strip = calloc(count ? count : 1, sizeof *s->strip);
    s->memory = malloc(memory ? memory : 1);
    s->folder = strdup(folder);
    if (s->strip && s->memory && s->folder)
        return EMD_OK;
    emd_strips_free(s);
    *out = NULL;
    return emd_fail(err, EMD_E_MEMORY, "out of memory for %zu strips and %zu bytes", count, memory);
}

void emd_strips_free(struct emd_strips *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->folder);
    free(s->memory);
    free(s->strip);
    free(s);
}

void emd_strips_reset(struct emd_strips *s)
{
    memset(s->strip, 0, s->count * sizeof *s->strip);
    s->used = 0;
    s->file_used = 0;
}

enum emd_status emd_strips_put(struct emd_strips *s, size_t i, const void *data, size_t n,
                               struct emd_error *err)
{
    s->strip[i].size = n;
    if (n <= s->capacity - s->used) {
        s->strip[i].offset = s->used;
        memcpy(s->memory + s->used, data, n);
        s->used += n;
        return EMD_OK;
    }
    if (s->fd < 0 && (s->fd = emd_open_unnamed(s->folder)) < 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot create a temporary file in %s",
                              s->folder);
    s->strip[i].offset = in_file | s->file_used;
    s->strip[i].hash = XXH3_64bits(data, n);
    if (emd_pwrite_all(s->fd, data, n, s->file_used) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot write the temporary file in %s",
                              s->folder);
    s->file_used += n;
    s->spilled += n;
    return EMD_OK;
}

size_t emd_strips_size(const struct emd_strips *s, size_t i)
{
    return s->strip[i].size;
}

enum emd_status emd_strips_get(const struct emd_strips *s, size_t i, void *buffer,
                               const void **data, struct emd_error *err)
{
    const struct strip *strip = &s->strip[i];
    if (!(strip->offset & in_file)) {
        *data = s->memory + strip->offset;
        return EMD_OK;
    }
    if (emd_pread_all(s->fd, buffer, strip->size, strip->offset & ~in_file) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot read the temporary file in %s",
                              s->folder);
    if (XXH3_64bits(buffer, strip->size) != strip->hash)
        return emd_fail(err, EMD_E_IO, "the temporary file in %s was damaged on the disk",
                        s->folder);
    *data = buffer;
    return EMD_OK;
}

uint64_t emd_strips_spilled(const struct emd_strips *s)
{
    return s->spilled;
}
