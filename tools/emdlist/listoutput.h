/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Lists as text, tables and JSON. All functions write to 'out' and leave its errors to the caller;
 * no byte of a path can break out of its field. */
#ifndef EMD_TOOLS_LISTOUTPUT_H
#define EMD_TOOLS_LISTOUTPUT_H

#include <stdio.h>

#include "dials/listcolumns.h"

/* The line of list.sh. */
void list_write_classic(FILE *out, const struct emd_list_rows *rows,
                        const struct emd_list_settings *settings);

/* Aligned columns with a heading. */
void list_write_text(FILE *out, const struct emd_list_rows *rows,
                     const struct emd_list_settings *settings, const enum emd_list_column_id ids[],
                     size_t count);

/* ',' : RFC 4180, with an apostrophe before texts that a spreadsheet would take for a formula;
 * '\t': one line a row whatever is in it, backslash escapes. */
void list_write_separated(FILE *out, const struct emd_list_rows *rows,
                          const struct emd_list_settings *settings,
                          const enum emd_list_column_id ids[], size_t count, char separator);

/* An array of objects; columns as keys, and "shells". Valid UTF-8 whatever the paths, and safe
 * within a <script> element: '<', '>' and '&' are escaped. */
void list_write_json(FILE *out, const struct emd_list_rows *rows,
                     const struct emd_list_settings *settings, const enum emd_list_column_id ids[],
                     size_t count);

/* The report: a page that needs nothing but itself. */
void list_write_html(FILE *out, const struct emd_list_rows *rows,
                     const struct emd_list_settings *settings, const enum emd_list_column_id ids[],
                     size_t count);

/* The trials of the rows, each once, one per line as bytes: below the folder that was looked in, or
 * with it in front. */
void list_print_names(FILE *out, const struct emd_list_rows *rows);
void list_print_paths(FILE *out, const struct emd_list_rows *rows,
                      const struct emd_list_settings *settings);

/* raw / stored bytes of the largest dataset of an HDF5 file; NaN if it cannot be told. */
double list_image_ratio(const char *path);

/* Building stones of JSON. */
void list_json_string(FILE *out, const char *text);
void list_json_number(FILE *out, double value, int decimals); /* null for NaN */

#endif
