/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdrepack --compare: whether two files hold the same, said to people or as JSON. */
#ifndef EMD_TOOLS_COMPAREFILES_H
#define EMD_TOOLS_COMPAREFILES_H

#include <stdbool.h>
#include <stdint.h>

#include "repack/repack.h"

struct emd_compare_request {
    const char *a, *b;
    struct emd_repack_options options; /* memory, cancelled, progress */
    unsigned threads;
    uint64_t most; /* differences listed; 0: all */
    bool json;
};

/* The exit code: EMD_EXIT_OK if they are equal; EMD_EXIT_FAILED if they differ or cannot be
 * compared, which the messages tell apart. */
int emd_compare_files(const struct emd_compare_request *request);

#endif
