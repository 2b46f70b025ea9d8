/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "base/nearest.h"

#include <string.h>

enum { LONGEST = 63 };

static char plain(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' || c == '.' ? '_' : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: Levenshtein's distance, with exchanged neighbours as one mistake. Three
 * rows of the table are enough. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][LONGEST + 1], *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            const char x = plain(a[i - 1]), y = plain(b[j - 1]);
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == plain(b[j - 2]) && y == plain(a[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[m];
}

static int begins(const char *text, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (name[i] == '\0' || plain(text[i]) != plain(name[i]))
            return 0;
    return 1;
}

const char *emd_nearest(const char *text, const char *const names[], size_t count)
{
    const size_t n = strlen(text);
    const char *best = NULL, *longer = NULL;
    size_t lowest = n < 6 ? 2 : n / 3 + 1, abbreviated = 0; /* one mistake more than is allowed */
    if (n < 2 || n > LONGEST)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const size_t m = strlen(names[i]);
        if (m == 0 || m > LONGEST)
            continue;
        if (begins(text, n, names[i])) {
            longer = names[i];
            abbreviated++;
        }
        const size_t d = distance(text, n, names[i], m);
        if (d < lowest) {
            lowest = d;
            best = names[i];
        }
    }
    return abbreviated == 1 ? longer : best;
}
