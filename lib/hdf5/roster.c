/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See roster.h. */
#include "hdf5/roster.h"

#include <stdlib.h>
#include <string.h>

enum emd_status emd_roster_add(struct emd_roster *roster, const char *name, int64_t order,
                               struct emd_error *err)
{
    const size_t n = strlen(name) + 1;
    if (n > roster->limit - roster->names_used)
        return emd_fail(err, EMD_E_CORRUPT, "more names than the file can hold");
    if (roster->count == roster->capacity) {
        const size_t capacity = roster->capacity ? roster->capacity * 2 : 64;
        struct emd_roster_entry *entries =
            realloc(roster->entries, capacity * sizeof *roster->entries);
        if (!entries)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu names", capacity);
        roster->entries = entries;
        roster->capacity = capacity;
    }
    if (n > roster->names_size - roster->names_used) {
        const size_t size = (roster->names_size + n) * 2;
        char *names = realloc(roster->names, size);
        if (!names)
            return emd_fail(err, EMD_E_MEMORY, "no memory for names");
        roster->names = names;
        roster->names_size = size;
    }
    memcpy(roster->names + roster->names_used, name, n);
    roster->entries[roster->count++] =
        (struct emd_roster_entry){.order = order, .name = roster->names_used};
    roster->names_used += n;
    return EMD_OK;
}

const char *emd_roster_name(const struct emd_roster *roster, size_t i)
{
    return roster->names + roster->entries[i].name;
}

static int compare_order(const void *a, const void *b)
{
    const struct emd_roster_entry *p = a, *q = b;
    if (p->order != q->order)
        return p->order < q->order ? -1 : 1;
    return p->name < q->name ? -1 : p->name > q->name; /* as it was listed */
}

void emd_roster_sort(struct emd_roster *roster)
{
    if (roster->count > 1)
        qsort(roster->entries, roster->count, sizeof *roster->entries, compare_order);
}

void emd_roster_free(struct emd_roster *roster)
{
    free(roster->entries);
    free(roster->names);
    *roster = (struct emd_roster){0};
}
