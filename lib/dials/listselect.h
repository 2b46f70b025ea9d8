/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The language of select.h over the columns of a list: what emdlist and emdprocess select by. */
#ifndef EMD_DIALS_LISTSELECT_H
#define EMD_DIALS_LISTSELECT_H

#include "dials/listcolumns.h"
#include "dials/select.h"

/* Reads an expression over the columns of a list, and "name", which is the path. What the columns
 * need is added to the settings. The caller frees with emd_select_free. */
enum emd_status emd_list_select_parse(const char *text, struct emd_list_settings *settings,
                                      struct emd_select **select, struct emd_error *err);

/* Does the row match? If not, 'why' says which part of the expression does not hold. */
bool emd_list_row_matches(const struct emd_list_row *row, const struct emd_select *select,
                          const struct emd_list_settings *settings, char why[static 256]);

/* Keeps the rows that match, in their order. */
void emd_list_rows_select(struct emd_list_rows *rows, const struct emd_select *select,
                          const struct emd_list_settings *settings);

#endif
