#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

void *emd_memory_new(size_t n)
{
    void *data = NULL;
    if (posix_memalign(&data, n < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE, n ? n : 1) != 0)
        return NULL;
    emd_memory_advise(data, n);
    return data;
}

void emd_memory_advise(void *data, size_t n)
{
#ifdef MADV_HUGEPAGE
    const size_t before = -(uintptr_t)data % HUGE_PAGE;
    if (n >= before + HUGE_PAGE) /* may fail: only slower */
        madvise((char *)data + before, (n - before) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)data;
    (void)n;
#endif
}
