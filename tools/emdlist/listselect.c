/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdlist/listselect.h"

#include <stdlib.h>
#include <string.h>

static struct emd_select_column columns[LIST_COLUMNS + 1];

static enum list_column_id id_of(size_t column)
{
    return column == LIST_COLUMNS ? LIST_PATH : (enum list_column_id)column;
}

enum emd_status list_select_parse(const char *text, struct list_settings *settings,
                                  struct emd_select **select, struct emd_error *err)
{
    for (enum list_column_id id = 0; id < LIST_COLUMNS; id++)
        columns[id] =
            (struct emd_select_column){list_column(id)->key, list_column(id)->kind == LIST_NUMBER};
    columns[LIST_COLUMNS] = (struct emd_select_column){"name", false};
    enum emd_status status = emd_select_parse(text, columns, LIST_COLUMNS + 1, select, err);
    for (enum list_column_id id = 0; id < LIST_COLUMNS && status == EMD_OK; id++) {
        if (!emd_select_uses(*select, (size_t)id))
            continue;
        settings->what |= list_column(id)->needs;
        settings->want_lattice |= list_column(id)->lattice;
        settings->want_ratio |= id == LIST_RATIO;
    }
    return status;
}

struct context {
    const struct list_row *row;
    const struct list_settings *settings;
    char *buffer;
};

static double number(const void *ctx, size_t column)
{
    const struct context *c = ctx;
    return list_number(c->row, id_of(column));
}

static const char *text(const void *ctx, size_t column)
{
    const struct context *c = ctx;
    return list_text(c->row, id_of(column), c->settings, c->buffer);
}

void list_rows_select(struct list_rows *rows, const struct emd_select *select,
                      const struct list_settings *settings)
{
    char buffer[LIST_BUFFER] = "";
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct context context = {&rows->rows[i], settings, buffer};
        const struct emd_select_row row = {number, text, &context};
        if (emd_select_matches(select, &row))
            rows->rows[kept++] = rows->rows[i];
    }
    rows->count = kept;
}

static void print(FILE *out, const struct list_rows *rows, const char *folder)
{
    const char *slash = folder[0] && folder[strlen(folder) - 1] != '/' ? "/" : "";
    for (size_t i = 0; i < rows->count; i++) {
        bool before = false;
        /* Several crystals of a trial can be apart in the order; there are few of them. */
        for (size_t k = 0; k < i && !before && rows->rows[i].crystals > 1; k++)
            before = rows->rows[k].trial == rows->rows[i].trial;
        if (!before)
            fprintf(out, "%s%s%s\n", folder, slash, rows->rows[i].trial->path);
    }
}

void list_print_names(FILE *out, const struct list_rows *rows)
{
    print(out, rows, "");
}

void list_print_paths(FILE *out, const struct list_rows *rows, const struct list_settings *settings)
{
    char *folder = realpath(settings->folder, NULL);
    print(out, rows, folder ? folder : settings->folder);
    free(folder);
}
