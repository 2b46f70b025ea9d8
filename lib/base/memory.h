/* Memory for buffers. */
#ifndef EMD_BASE_MEMORY_H
#define EMD_BASE_MEMORY_H

#include <stddef.h>

/* At least n bytes of any content that begin on a cache line; free() frees them. Large ones begin
 * on a huge page and ask for such. NULL: out of memory. */
void *emd_memory_new(size_t n);

/* Asks for huge pages where they lie wholly within the n bytes, so that budgets hold: one page
 * fault in 2 MiB instead of one in 4 KiB. Without effect where the system has none. */
void emd_memory_advise(void *data, size_t n);

#endif
