#include "base/memory.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

void *emd_memory_new(size_t n)
{
    void *data = NULL;
    if (posix_memalign(&data, n < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE, n ? n : 1) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (n >= HUGE_PAGE) /* may fail: only slower */
        madvise(data, n & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
    return data;
}
