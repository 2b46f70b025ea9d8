#include "codec/work.h"

#include <stdlib.h>

struct emd_work *emd_work_new(void)
{
    return calloc(1, sizeof(struct emd_work));
}

void emd_work_free(struct emd_work *work)
{
    if (!work)
        return;
    for (int i = 0; i < EMD_CONTEXT_COUNT; i++)
        if (work->context[i].data)
            work->context[i].free(work->context[i].data);
    for (int i = 0; i < EMD_SCRATCH_COUNT; i++)
        free(work->scratch[i].data);
    if (work->extra_free)
        work->extra_free(work->extra);
    free(work);
}

void emd_work_set_tune(struct emd_work *work, unsigned tune)
{
    work->tune = tune;
}

void *emd_work_scratch(struct emd_work *work, enum emd_scratch slot, size_t n)
{
    if (work->scratch[slot].size < n || !work->scratch[slot].data) {
        if (n > SIZE_MAX - 63)
            return NULL;
        size_t size = n ? (n + 63) & ~(size_t)63 : 64;
        free(work->scratch[slot].data);
        work->scratch[slot].data = aligned_alloc(64, size);
        work->scratch[slot].size = work->scratch[slot].data ? size : 0;
    }
    return work->scratch[slot].data;
}

struct emd_work *emd_work_or_new(struct emd_work *given, struct emd_work **mine)
{
    *mine = given ? NULL : emd_work_new();
    return given ? given : *mine;
}
