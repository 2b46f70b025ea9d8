/* Memory for buffers. */
#ifndef EMD_BASE_MEMORY_H
#define EMD_BASE_MEMORY_H

#include <stddef.h>

/* At least n bytes of any content that begin on a cache line; free() frees them. Large ones come in
 * huge pages where the system has them: one page fault in 2 MiB instead of one in 4 KiB. None of
 * these reaches past the n bytes, so that budgets hold. NULL: out of memory. */
void *emd_memory_new(size_t n);

#endif
