/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See comparejob.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/comparejob.h"
#include "hdf5/guard.h"

static size_t hash_address(uint64_t address)
{
    return (size_t)((address * UINT64_C(0x9E3779B97F4A7C15)) >> 20); /* Knuth's multiplier */
}

uint32_t emd_pair_find(const struct emd_comparison *c, int side, uint64_t address)
{
    const struct emd_pair_index *t = &c->index[side];
    if (t->slots == 0)
        return EMD_NO_PAIR;
    for (size_t s = hash_address(address) & (t->slots - 1); t->slot[s];
         s = (s + 1) & (t->slots - 1))
        if (c->pair[t->slot[s] - 1].address[side] == address)
            return t->slot[s] - 1;
    return EMD_NO_PAIR;
}

static void enter_slot(struct emd_comparison *c, int side, uint32_t row)
{
    struct emd_pair_index *t = &c->index[side];
    size_t s = hash_address(c->pair[row].address[side]) & (t->slots - 1);
    while (t->slot[s])
        s = (s + 1) & (t->slots - 1);
    t->slot[s] = row + 1;
}

static enum emd_status grow_pairs(struct emd_comparison *c, struct emd_error *err)
{
    const size_t capacity = c->capacity ? c->capacity * 2 : 256;
    struct emd_pair *grown =
        capacity > EMD_NO_PAIR / 2 ? NULL : realloc(c->pair, capacity * sizeof *grown);
    if (!grown)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", capacity);
    c->pair = grown;
    c->capacity = capacity;
    for (int side = 0; side < 2; side++) {
        uint32_t *slot = calloc(capacity * 2, sizeof *slot);
        if (!slot)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", capacity);
        free(c->index[side].slot);
        c->index[side] = (struct emd_pair_index){slot, capacity * 2};
        for (size_t i = 0; i < c->count; i++)
            enter_slot(c, side, (uint32_t)i);
    }
    return EMD_OK;
}

/* Room for n more bytes; doubles. */
static bool grow_text(char **text, size_t used, size_t *size, size_t n)
{
    if (n <= *size - used)
        return true;
    size_t room = *size ? *size * 2 : 4096;
    while (room - used < n)
        room *= 2;
    char *grown = realloc(*text, room);
    if (!grown)
        return false;
    *text = grown;
    *size = room;
    return true;
}

enum emd_status emd_pair_add(struct emd_comparison *c, const uint64_t address[2], uint32_t parent,
                             const char *name, bool *same, struct emd_error *err)
{
    const uint32_t known[2] = {emd_pair_find(c, 0, address[0]), emd_pair_find(c, 1, address[1])};
    const size_t n = strlen(name) + 1;
    *same = known[0] == known[1];
    if (!*same || known[0] != EMD_NO_PAIR)
        return EMD_OK;
    if (c->count == c->capacity) {
        enum emd_status status = grow_pairs(c, err);
        if (status != EMD_OK)
            return status;
    }
    if (!grow_text(&c->names, c->names_used, &c->names_size, n))
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    memcpy(c->names + c->names_used, name, n);
    c->pair[c->count] = (struct emd_pair){
        .address = {address[0], address[1]}, .name = c->names_used, .parent = parent};
    c->names_used += n;
    for (int side = 0; side < 2; side++)
        enter_slot(c, side, (uint32_t)c->count);
    c->count++;
    return EMD_OK;
}

void emd_pairs_free(struct emd_comparison *c)
{
    free(c->pair);
    free(c->names);
    for (int side = 0; side < 2; side++)
        free(c->index[side].slot);
}

void emd_pair_path(const struct emd_comparison *c, uint32_t row, char *path, size_t size)
{
    size_t at = size - 1;
    path[at] = '\0';
    for (; row != EMD_NO_PAIR && c->pair[row].parent != EMD_NO_PAIR; row = c->pair[row].parent) {
        const char *name = c->names + c->pair[row].name;
        const size_t n = strlen(name);
        if (n + 1 + 3 > at) {
            at -= 3;
            memcpy(path + at, "...", 3);
            break;
        }
        at -= n;
        memcpy(path + at, name, n);
        path[--at] = '/';
    }
    if (!path[at])
        path[--at] = '/';
    memmove(path, path + at, size - at);
}

enum emd_status emd_differs(struct emd_comparison *c, uint32_t row, struct emd_error *err,
                            const char *format, ...)
{
    char path[400], what[600];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    emd_pair_path(c, row, path, sizeof path);
    c->differences++;
    if (!c->options->differs)
        return emd_fail(err, EMD_E_VERIFY, "%s: %s", path, what);
    c->options->differs(c->options->differs_ctx, path, what);
    if (c->options->most == 0 || c->differences < c->options->most)
        return EMD_OK;
    return emd_fail(err, EMD_E_VERIFY, "%s: %s", path, what);
}

enum emd_status emd_compare_cancelled(const struct emd_comparison *c, struct emd_error *err)
{
    if (c->options->cancelled && c->options->cancelled(c->options->ctx))
        return emd_fail(err, EMD_E_CANCELLED, "stopped on request");
    emd_guard_progress();
    return EMD_OK;
}

/* ---- lists of names ---- */

bool emd_name_add(struct emd_name_list *list, const char *name, const struct emd_name *entry)
{
    const size_t n = strlen(name) + 1;
    if (n > list->limit - list->used) {
        list->status =
            emd_fail(list->err, EMD_E_CORRUPT, "has names of more bytes than the file has");
        return false;
    }
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct emd_name *grown = realloc(list->entry, capacity * sizeof *grown);
        if (grown) {
            list->entry = grown;
            list->capacity = capacity;
        }
    }
    if (list->count == list->capacity || !grow_text(&list->names, list->used, &list->size, n)) {
        list->status = emd_fail(list->err, EMD_E_MEMORY, "no memory for %zu names", list->count);
        return false;
    }
    memcpy(list->names + list->used, name, n);
    list->entry[list->count] = *entry;
    list->entry[list->count++].name.at = list->used;
    list->used += n;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct emd_name *)a)->name.text, ((const struct emd_name *)b)->name.text);
}

static int by_order(const void *a, const void *b)
{
    const int64_t x = ((const struct emd_name *)a)->order, y = ((const struct emd_name *)b)->order;
    return x < y ? -1 : x > y;
}

void emd_names_sort(struct emd_name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        list->entry[i].name.text = list->names + list->entry[i].name.at;
    if (list->count > 1)
        qsort(list->entry, list->count, sizeof *list->entry, by_name);
}

void emd_names_free(struct emd_name_list *list)
{
    free(list->entry);
    free(list->names);
}

bool emd_names_same_order(struct emd_name_list *a, struct emd_name_list *b)
{
    if (a->count != b->count || a->count < 2)
        return true; /* what is missing was said */
    qsort(a->entry, a->count, sizeof *a->entry, by_order);
    qsort(b->entry, b->count, sizeof *b->entry, by_order);
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->entry[i].name.text, b->entry[i].name.text) != 0)
            return false;
    return true;
}
