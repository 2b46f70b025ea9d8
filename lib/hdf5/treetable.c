/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h. An open-addressing hash table of rows, by the address in the source. */
#include "hdf5/treejob.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/fdfile.h"
#include "hdf5/guard.h"

static size_t hash_address(uint64_t address)
{
    return (size_t)((address * UINT64_C(0x9E3779B97F4A7C15)) >>
                    20); /* Knuth's multiplier, 64 bit */
}

uint32_t emd_job_find(const struct emd_job *job, uint64_t address)
{
    if (job->slot_count == 0)
        return EMD_NOBODY;
    const size_t mask = job->slot_count - 1;
    for (size_t slot = hash_address(address) & mask; job->slots[slot]; slot = (slot + 1) & mask)
        if (job->objects[job->slots[slot] - 1].src == address)
            return job->slots[slot] - 1;
    return EMD_NOBODY;
}

static void enter_slot(struct emd_job *job, uint32_t row)
{
    const size_t mask = job->slot_count - 1;
    size_t slot = hash_address(job->objects[row].src) & mask;
    while (job->slots[slot])
        slot = (slot + 1) & mask;
    job->slots[slot] = row + 1;
}

enum emd_status emd_job_add(struct emd_job *job, const struct emd_object *object, uint32_t *row,
                            struct emd_error *err)
{
    if (job->count == job->capacity) {
        const size_t capacity = job->capacity ? job->capacity * 2 : 256;
        if (capacity > EMD_NOBODY / 2)
            return emd_fail(err, EMD_E_UNSUPPORTED, "more than 2^31 objects");
        struct emd_object *objects = realloc(job->objects, capacity * sizeof *objects);
        if (!objects)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", capacity);
        job->objects = objects;
        uint32_t *slots = calloc(capacity * 2, sizeof *slots);
        if (!slots)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", capacity);
        job->capacity = capacity;
        free(job->slots);
        job->slots = slots;
        job->slot_count = capacity * 2;
        for (size_t i = 0; i < job->count; i++)
            enter_slot(job, (uint32_t)i);
    }
    *row = (uint32_t)job->count++;
    job->objects[*row] = *object;
    enter_slot(job, *row);
    return EMD_OK;
}

enum emd_status emd_job_keep_name(struct emd_job *job, const char *name, size_t *at,
                                  struct emd_error *err)
{
    const size_t n = strlen(name) + 1;
    if (n > job->names_size - job->names_used) {
        const size_t size = (job->names_size + n) * 2;
        char *names = realloc(job->names, size);
        if (!names)
            return emd_fail(err, EMD_E_MEMORY, "no memory for names");
        job->names = names;
        job->names_size = size;
    }
    *at = job->names_used;
    memcpy(job->names + job->names_used, name, n);
    job->names_used += n;
    return EMD_OK;
}

/* A path of the object in row 'at', in memory that lives until the next call. */
const char *emd_job_path(struct emd_job *job, uint32_t at)
{
    size_t n = 1;
    uint32_t row = at;
    for (; row != 0 && row != EMD_NOBODY; row = job->objects[row].parent)
        if (job->objects[row].parent != EMD_NOBODY)
            n += 1 + strlen(job->names + job->objects[row].name);
    if (row == EMD_NOBODY)
        return "(an object that no link leads to)";
    free(job->path);
    job->path = malloc(n + 1);
    if (!job->path)
        return "(out of memory for the path)";
    char *p = job->path + n;
    *p = '\0';
    for (row = at; row != 0; row = job->objects[row].parent) {
        const char *name = job->names + job->objects[row].name;
        const size_t length = strlen(name);
        p -= length;
        memcpy(p, name, length);
        *--p = '/';
    }
    if (at == 0)
        *--p = '/';
    memmove(job->path, p, strlen(p) + 1);
    return job->path;
}

/* Puts the object's path in front of an error; the text keeps room for the reason. */
enum emd_status emd_job_blame(struct emd_job *job, uint32_t row, enum emd_status status,
                              struct emd_error *err)
{
    const char *path = emd_job_path(job, row);
    if (strlen(path) > 400)
        return emd_fail_prefix(err, status, "...%s", path + strlen(path) - 400);
    return emd_fail_prefix(err, status, "%s", path);
}

void emd_job_remark(struct emd_job *job, uint32_t row, const char *format, ...)
{
    const struct emd_tree_options *options = job->options;
    char text[512];
    va_list args;
    if (!options->remark)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    options->remark(options->ctx, emd_job_path(job, row), text);
}

void emd_job_remark_lost(struct emd_job *job, uint32_t row, const char *what)
{
    const uint64_t lost = job->lost;
    job->lost = 0;
    if (lost > 0)
        emd_job_remark(job, row,
                       "%s%" PRIu64 " reference%s to objects that are gone %s written as null",
                       what, lost, lost == 1 ? "" : "s", lost == 1 ? "is" : "are");
}

enum emd_status emd_job_cancelled(struct emd_job *job, struct emd_error *err)
{
    const struct emd_tree_options *options = job->options;
    emd_guard_progress();
    if (options->cancelled && options->cancelled(options->ctx))
        return emd_fail(err, EMD_E_CANCELLED, "stopped on request");
    return EMD_OK;
}

enum emd_status emd_job_lose(struct emd_job *job, uint32_t row, const struct emd_loss *loss,
                             enum emd_status status, struct emd_error *error)
{
    if (!job->options->losses || job->stop || !emd_is_loss(status))
        return status;
    struct emd_loss whole = *loss;
    whole.object = job->objects[row].src;
    whole.path = (char *)emd_job_path(job, row);
    emd_fdfile_forgive_reads();
    return emd_losses_add(job->options->losses, &whole, error, error);
}

void emd_job_free_table(struct emd_job *job)
{
    free(job->path);
    free(job->names);
    free(job->slots);
    free(job->objects);
}
