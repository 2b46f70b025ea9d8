/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See losses.h. */
#include "hdf5/losses.h"

#include <stdlib.h>
#include <string.h>

#include "hdf5/fdfile.h"

bool emd_is_loss(enum emd_status status)
{
    switch (status) {
    case EMD_E_IO:
    case EMD_E_CORRUPT:
    case EMD_E_FORMAT:
    case EMD_E_INCOMPLETE:
    case EMD_E_UNSUPPORTED:
        return emd_fdfile_output_errno() == 0;
    default:
        return false;
    }
}

/* A reason without the path that is told anyway: of the object, or of what its link leads to. */
static const char *without_path(const char *text, const struct emd_loss *loss)
{
    const size_t n = strlen(loss->path), name = loss->name ? strlen(loss->name) : 0;
    if (strncmp(text, loss->path, n) != 0)
        return text;
    const char *rest = text + n;
    if (loss->kind == EMD_LOSS_LINK && rest[0] == '/')
        rest++;
    if (loss->kind == EMD_LOSS_LINK && strncmp(rest, loss->name, name) == 0)
        rest += name;
    return strncmp(rest, ": ", 2) == 0 ? rest + 2 : text;
}

static void free_loss(struct emd_loss *loss)
{
    free(loss->path);
    free(loss->name);
    free(loss->why);
    free(loss->box);
}

enum emd_status emd_losses_add(struct emd_losses *losses, const struct emd_loss *loss,
                               const struct emd_error *error, struct emd_error *err)
{
    if (losses->count == losses->capacity) {
        const size_t capacity = losses->capacity ? 2 * losses->capacity : 64;
        struct emd_loss *grown = realloc(losses->loss, capacity * sizeof *grown);
        if (!grown)
            return emd_fail(err, EMD_E_MEMORY, "out of memory for %zu losses", capacity);
        losses->loss = grown;
        losses->capacity = capacity;
    }
    const size_t corners = 2 * (size_t)loss->rank;
    struct emd_loss kept = *loss;
    kept.path = strdup(loss->path);
    kept.name = loss->name ? strdup(loss->name) : NULL;
    kept.why = strdup(without_path(error->text, loss));
    kept.box = corners ? malloc(corners * sizeof *kept.box) : NULL;
    kept.trouble = error->status == EMD_E_IO;
    if (!kept.path || !kept.why || (loss->name && !kept.name) || (corners && !kept.box)) {
        free_loss(&kept);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    if (corners)
        memcpy(kept.box, loss->box, corners * sizeof *kept.box);
    losses->loss[losses->count++] = kept;
    losses->settled = false;
    return EMD_OK;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_losses(const void *a, const void *b)
{
    const struct emd_loss *x = a, *y = b;
    int order = compare_numbers(x->object, y->object);
    if (order == 0)
        order = compare_numbers(x->kind, y->kind);
    if (order == 0 && x->name && y->name)
        order = strcmp(x->name, y->name);
    if (order == 0)
        order = compare_numbers(x->rank, y->rank);
    for (unsigned i = 0; order == 0 && i < 2 * x->rank; i++)
        order = compare_numbers(x->box[i], y->box[i]);
    return order;
}

void emd_losses_settle(struct emd_losses *losses)
{
    size_t kept = 0;
    if (losses->count > 1)
        qsort(losses->loss, losses->count, sizeof *losses->loss, compare_losses);
    for (size_t i = 0; i < losses->count; i++) {
        if (kept > 0 && compare_losses(&losses->loss[kept - 1], &losses->loss[i]) == 0)
            free_loss(&losses->loss[i]);
        else
            losses->loss[kept++] = losses->loss[i];
    }
    losses->count = kept;
    losses->settled = true;
}

/* The first loss that does not come before 'key'. */
static size_t lower_bound(const struct emd_losses *losses, const struct emd_loss *key)
{
    size_t low = 0, high = losses->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_losses(&losses->loss[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool emd_losses_have(const struct emd_losses *losses, enum emd_loss_kind kind, uint64_t object,
                     const char *name)
{
    const struct emd_loss key = {.kind = kind, .object = object, .name = (char *)name};
    if (!losses || losses->count == 0)
        return false;
    const size_t at = lower_bound(losses, &key);
    return at < losses->count && losses->loss[at].object == object &&
           losses->loss[at].kind == kind && (!name || strcmp(losses->loss[at].name, name) == 0);
}

const struct emd_loss *emd_losses_of_data(const struct emd_losses *losses, uint64_t object,
                                          size_t *count)
{
    const struct emd_loss key = {.kind = EMD_LOSS_DATA, .object = object};
    *count = 0;
    if (!losses || losses->count == 0)
        return NULL;
    const size_t first = lower_bound(losses, &key);
    while (first + *count < losses->count && losses->loss[first + *count].object == object)
        (*count)++; /* data are the last kind */
    return *count ? &losses->loss[first] : NULL;
}

void emd_losses_free(struct emd_losses *losses)
{
    for (size_t i = 0; i < losses->count; i++)
        free_loss(&losses->loss[i]);
    free(losses->loss);
    *losses = (struct emd_losses){.count = 0};
}

bool emd_avoid_has(const struct emd_avoid *avoid, uint64_t object)
{
    for (size_t i = 0; avoid && i < avoid->count; i++)
        if (avoid->object[i] == object)
            return true;
    return false;
}
