/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Experiment lists: what is read is written as a text that reads and writes the same again, and so
 * is any cut of it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dials/expt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void write_and_read(const struct emd_expt *expt)
{
    char *text, *twice;
    size_t length, same;
    struct emd_expt *again;
    struct emd_error err;
    check(emd_expt_text(expt, &text, &length, &err) == EMD_OK);
    check(emd_expt_parse(text, length, &again, &err) == EMD_OK);
    check(emd_expt_count(again) == emd_expt_count(expt));
    check(emd_expt_text(again, &twice, &same, &err) == EMD_OK);
    check(length == same && memcmp(text, twice, length) == 0);
    emd_expt_free(again);
    free(text);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 16 };
    struct emd_expt_slice slices[2 * MOST];
    struct emd_expt *expt;
    struct emd_error err;
    size_t count = 0;
    if (emd_expt_parse((const char *)data, size, &expt, &err) != EMD_OK)
        return 0;
    write_and_read(expt);
    for (size_t i = 0; i < emd_expt_count(expt) && i < MOST; i++) {
        const struct emd_expt_info *info = emd_expt_info(expt, i);
        long n = info->scan.last - info->scan.first + 1;
        if (!info->has_scan || n > 1000)
            continue;
        slices[count++] =
            (struct emd_expt_slice){i, info->scan.first + n / 3, info->scan.last - n / 4, NULL};
        slices[count++] = (struct emd_expt_slice){i, info->scan.first, info->scan.first, "new"};
        if (i % 2)
            slices[count - 1].last = info->scan.last;
    }
    if (emd_expt_select(expt, slices, count, &err) == EMD_OK) {
        check(emd_expt_count(expt) == count);
        for (size_t i = 0; i < count; i++)
            check(emd_expt_info(expt, i)->scan.first == slices[i].first &&
                  emd_expt_info(expt, i)->scan.last == slices[i].last);
        write_and_read(expt);
    }
    emd_expt_free(expt);
    return 0;
}
