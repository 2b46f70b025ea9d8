/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdinfo --hash: the content hashes of files, and whether they are the recorded ones. */
#ifndef EMD_TOOLS_CONTENTHASHES_H
#define EMD_TOOLS_CONTENTHASHES_H

#include <stdbool.h>
#include <stddef.h>

/* One line per file on stdout, messages for what has none or another one than was recorded. The
 * exit code: the worst of them. */
int emd_print_hashes(char *const *files, size_t count, bool json, bool (*cancelled)(void *ctx));

#endif
