/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* --select and --print: some of the crystals, for people and for other programs. */
#ifndef EMD_TOOLS_LISTSELECT_H
#define EMD_TOOLS_LISTSELECT_H

#include <stdio.h>

#include "dials/select.h"
#include "emdlist/listcolumns.h"

/* Reads an expression over the columns of a list, and "name", which is the path. What the columns
 * need is added to the settings. The caller frees with emd_select_free. */
enum emd_status list_select_parse(const char *text, struct list_settings *settings,
                                  struct emd_select **select, struct emd_error *err);

/* Keeps the rows that match, in their order. */
void list_rows_select(struct list_rows *rows, const struct emd_select *select,
                      const struct list_settings *settings);

/* The trials of the rows, each once, one per line as bytes: below the folder that was looked in, or
 * with it in front. */
void list_print_names(FILE *out, const struct list_rows *rows);
void list_print_paths(FILE *out, const struct list_rows *rows,
                      const struct list_settings *settings);

#endif
