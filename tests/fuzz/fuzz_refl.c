/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The reader and writer of reflection tables: whatever opens is read, filtered and written, and
 * what was written must open again with the rows that were kept. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "dials/refl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void read_columns(struct emd_refl *refl, size_t rows)
{
    uint64_t *out = calloc(rows + 1, sizeof *out);
    check(out != NULL);
    emd_refl_read_int(refl, "id", (int32_t *)out, NULL);
    emd_refl_read_size(refl, "flags", out, NULL);
    emd_refl_read_double(refl, "intensity.prf.value", 0, (double *)out, NULL);
    emd_refl_read_double(refl, "xyzobs.px.value", 2, (double *)out, NULL);
    free(out);
}

static void filter(struct emd_refl *refl, size_t rows, unsigned pattern)
{
    struct emd_refl *again;
    struct emd_error err;
    size_t count;
    int32_t *id = calloc(rows + 1, sizeof *id);
    struct emd_refl_selection s = {.id = id, .imageset = pattern & 1 ? id : NULL};
    static struct emd_pool *pool;
    if (!pool)
        pool = emd_pool_new(2);
    check(id != NULL && pool != NULL);
    for (size_t i = 0; i < rows; i++) {
        id[i] = pattern >> i % 8 & 1 ? (int32_t)(i % 3) - 1 : EMD_REFL_DROP;
        s.kept += id[i] != EMD_REFL_DROP;
    }
    s.identifiers = emd_refl_identifiers(refl, &count);
    s.identifier_count = count;
    int fd = memfd_create("out", MFD_CLOEXEC);
    check(fd >= 0);
    if (emd_refl_write(refl, &s, fd, emd_refl_gzipped(refl), pool, &err) == EMD_OK) {
        check(emd_refl_open_fd(fd, &again, &err) == EMD_OK);
        check(emd_refl_rows(again) == s.kept && emd_refl_version(again) == emd_refl_version(refl));
        emd_refl_close(again);
    } else {
        close(fd);
    }
    free(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct emd_refl *refl;
    struct emd_error err;
    int fd = memfd_create("in", MFD_CLOEXEC);
    check(fd >= 0 && emd_pwrite_all(fd, data, size, 0) == 0);
    if (emd_refl_open_fd(fd, &refl, &err) != EMD_OK)
        return 0;
    size_t rows = (size_t)emd_refl_rows(refl);
    check(rows <= emd_refl_bytes(refl)); /* every row has a byte at least */
    read_columns(refl, rows);
    filter(refl, rows, 0xff);
    filter(refl, rows, 0xd2);
    filter(refl, rows, 0);
    emd_refl_close(refl);
    return 0;
}
