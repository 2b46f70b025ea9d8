/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The language that chooses crystals: "resolution < 1.0 and cc_half > 0.9 and not path ~ '*bad*'".
 *
 *     comparisons   COLUMN < VALUE, also <=, >, >=, = (or ==), !=; of texts = and != compare whole
 *                   texts, ~ and !~ a shell pattern (* ? [...])
 *     combined by   not, and, or, in this order, and parentheses
 *
 * Values are numbers, words, or texts in quotes of either kind. A value that a crystal does not
 * have fulfils no comparison, not even !=: a crystal without a resolution is neither better nor
 * worse than 1 A. The module knows neither crystals nor their columns, so that every program that
 * has some can use the same language. */
#ifndef EMD_DIALS_SELECT_H
#define EMD_DIALS_SELECT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct emd_select_column {
    const char *name;
    bool number; /* else text */
};

struct emd_select;

/* Reads an expression over the columns. EMD_E_ARGUMENT: the text says what is wrong, where, and
 * which column was meant. The caller frees with emd_select_free. */
enum emd_status emd_select_parse(const char *text, const struct emd_select_column columns[],
                                 size_t count, struct emd_select **out, struct emd_error *err);
void emd_select_free(struct emd_select *select);

/* True if the expression looks at the column. */
bool emd_select_uses(const struct emd_select *select, size_t column);

/* A crystal's values: NaN and "" where it has none. Texts must stay valid until the next call. */
struct emd_select_row {
    double (*number)(const void *ctx, size_t column);
    const char *(*text)(const void *ctx, size_t column);
    const void *ctx;
};
bool emd_select_matches(const struct emd_select *select, const struct emd_select_row *row);

/* Which part of the expression the row does not fulfil, and the row's value: "resolution 1.62;
 * required: resolution < 1.5"; "" if it matches. */
void emd_select_unmet(const struct emd_select *select, const struct emd_select_row *row,
                      char text[static 256]);

#endif
