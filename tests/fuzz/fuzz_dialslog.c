/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* All readers of DIALS' logs and JSON on the same bytes. A NUL divides log from scaled.json. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dials/dialslog.h"
#include "dials/exptsummary.h"
#include "dials/mergetable.h"
#include "dials/resolution.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void read_table(const char *text, size_t size)
{
    const char *nul = size > 0 ? memchr(text, '\0', size) : NULL;
    size_t log = nul ? (size_t)(nul - text) : size;
    struct emd_merge_table table;
    struct emd_error err;
    if (emd_merge_table_parse(text, log, &table, &err) != EMD_OK)
        return;
    check(table.count > 0);
    if (nul)
        emd_merge_table_refine(&table, nul + 1, size - log - 1, &err);
    for (int method = 0; method < 3; method++)
        for (int rule = 0; rule < 2; rule++) {
            double d = emd_resolution(&table, (enum emd_resolution_method)method, 0.3,
                                      (enum emd_fit_rule)rule);
            check(isnan(d) || d > 0);
        }
    emd_merge_table_free(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char out[24];
    struct emd_cells cells = {0};
    struct emd_expt_summary summary;
    read_table(text, size);
    if (emd_log_cells(text, size, &cells, NULL) == EMD_OK)
        for (size_t i = 0; i < cells.count; i++)
            emd_cell_volume(&cells.items[i]);
    free(cells.items);
    if (emd_log_version(text, size, out, sizeof out))
        emd_fit_rule_of(out);
    emd_log_symmetry(text, size, out, sizeof out);
    emd_log_failure(text, size, out, sizeof out);
    emd_log_last_line(text, size, out, sizeof out);
    if (emd_expt_summarise(text, size, &summary, NULL) == EMD_OK) {
        check(summary.ranges <= EMD_EXPT_RANGES && summary.images >= 0);
        free(summary.cells.items);
    }
    return 0;
}
