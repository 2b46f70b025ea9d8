/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/listselect.h"

#include <stdlib.h>
#include <string.h>

static struct emd_select_column columns[EMD_LIST_COLUMNS + 1];

static enum emd_list_column_id id_of(size_t column)
{
    return column == EMD_LIST_COLUMNS ? EMD_LIST_PATH : (enum emd_list_column_id)column;
}

enum emd_status emd_list_select_parse(const char *text, struct emd_list_settings *settings,
                                      struct emd_select **select, struct emd_error *err)
{
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++)
        columns[id] = (struct emd_select_column){emd_list_column(id)->key,
                                                 emd_list_column(id)->kind == EMD_LIST_NUMBER};
    columns[EMD_LIST_COLUMNS] = (struct emd_select_column){"name", false};
    enum emd_status status = emd_select_parse(text, columns, EMD_LIST_COLUMNS + 1, select, err);
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS && status == EMD_OK; id++) {
        if (!emd_select_uses(*select, (size_t)id))
            continue;
        settings->what |= emd_list_column(id)->needs;
        settings->want_lattice |= emd_list_column(id)->lattice;
        settings->want_ratio |= id == EMD_LIST_RATIO;
    }
    return status;
}

struct context {
    const struct emd_list_row *row;
    const struct emd_list_settings *settings;
    char *buffer;
};

static double number(const void *ctx, size_t column)
{
    const struct context *c = ctx;
    return emd_list_number(c->row, id_of(column));
}

static const char *text(const void *ctx, size_t column)
{
    const struct context *c = ctx;
    return emd_list_text(c->row, id_of(column), c->settings, c->buffer);
}

bool emd_list_row_matches(const struct emd_list_row *row, const struct emd_select *select,
                          const struct emd_list_settings *settings, char why[static 256])
{
    char buffer[EMD_LIST_BUFFER] = "";
    const struct context context = {row, settings, buffer};
    const struct emd_select_row values = {number, text, &context};
    const bool matches = emd_select_matches(select, &values);
    why[0] = '\0';
    if (!matches)
        emd_select_unmet(select, &values, why);
    return matches;
}

void emd_list_rows_select(struct emd_list_rows *rows, const struct emd_select *select,
                          const struct emd_list_settings *settings)
{
    char buffer[EMD_LIST_BUFFER] = "";
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct context context = {&rows->rows[i], settings, buffer};
        const struct emd_select_row row = {number, text, &context};
        if (emd_select_matches(select, &row))
            rows->rows[kept++] = rows->rows[i];
    }
    rows->count = kept;
}
