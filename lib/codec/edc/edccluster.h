/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Which contexts share a frequency table. */
#ifndef EMD_EDC_CLUSTER_H
#define EMD_EDC_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/edc/edctables.h"

/* Groups 'contexts' histograms into at most EDC_TABLES_MAX tables where that saves more bits of
 * tables than it costs; map[i] is the table of context i (of an unused one: its neighbour's).
 * used: the contexts that may have counts, in rising order, 'candidates' of them; the histograms
 * of all others are not read. 'refine': also moves each context to the table that suits it best.
 * Returns the number of tables (0: nothing is used), or -1 without memory; *bits: the estimated
 * cost of symbols and tables, times 65536. */
int edc_cluster(size_t contexts, const uint16_t *used, size_t candidates,
                const uint32_t (*counts)[EDC_SYMBOLS], bool refine, uint8_t *map,
                struct edc_table tables[EDC_TABLES_MAX], uint64_t *bits);

#endif
