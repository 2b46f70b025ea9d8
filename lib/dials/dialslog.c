/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/dialslog.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More crystals than anybody finds in one movie; a bound for the search for equal ones. */
enum { CELLS_MAX = 1000 };

static const double radian = 3.14159265358979323846 / 180;

double emd_cell_volume(const struct emd_cell *cell)
{
    const double *v = cell->value;
    double a = cos(v[3] * radian), b = cos(v[4] * radian), c = cos(v[5] * radian);
    double square = 1 - a * a - b * b - c * c + 2 * a * b * c;
    return square > 0 ? v[0] * v[1] * v[2] * sqrt(square) : NAN;
}

enum emd_status emd_cells_add(struct emd_cells *cells, const struct emd_cell *cell,
                              struct emd_error *err)
{
    if (cells->count == cells->capacity) {
        size_t larger = cells->capacity ? cells->capacity * 2 : 2;
        struct emd_cell *items = realloc(cells->items, larger * sizeof *items);
        if (!items)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu unit cells", larger);
        cells->items = items;
        cells->capacity = larger;
    }
    cells->items[cells->count++] = *cell;
    return EMD_OK;
}

void emd_log_copy(const char *from, size_t length, char *out, size_t capacity)
{
    size_t n = 0;
    while (n < length && n + 1 < capacity) {
        out[n] = (unsigned char)from[n] < 0x20 || from[n] == 0x7f ? '?' : from[n];
        n++;
    }
    /* Not within a character. */
    if (n < length)
        while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
            n--;
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

static const char *line_start(const char *text, const char *p)
{
    while (p > text && p[-1] != '\n')
        p--;
    return p;
}

/* The end of [p, end) without trailing blanks. */
static const char *trimmed(const char *p, const char *end)
{
    while (end > p && (end[-1] == '\r' || end[-1] == ' '))
        end--;
    return end;
}

static const char *line_end(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return trimmed(p, newline ? newline : end);
}

static const char *find(const char *p, const char *end, const char *key)
{
    return p < end ? memmem(p, (size_t)(end - p), key, strlen(key)) : NULL;
}

bool emd_log_line(const char *text, size_t length, const char *start, const char **line,
                  size_t *line_length)
{
    const char *const end = text + length;
    bool found = false;
    for (const char *hit = find(text, end, start); hit; hit = find(hit + 1, end, start)) {
        if (hit > text && hit[-1] != '\n')
            continue;
        found = true;
        if (line)
            *line = hit;
        if (line_length)
            *line_length = (size_t)(line_end(hit, end) - hit);
    }
    return found;
}

/* One value "10.8601(7)" at *p, which moves behind it. */
static bool parse_value(const char **p, const char *end, double *value, double *esd,
                        char text[static 16])
{
    size_t n = 0, decimals = 0;
    bool point = false;
    while (*p < end && (isdigit((unsigned char)**p) || **p == '.')) {
        if (n + 1 >= 16 || (**p == '.' && point))
            return false;
        point |= **p == '.';
        decimals += point && **p != '.';
        text[n++] = *(*p)++;
    }
    text[n] = '\0';
    if (n <= point)
        return false;
    *value = strtod(text, NULL);
    *esd = NAN;
    if (*p < end && **p == '(') {
        const char *q = *p + 1;
        double digits = 0;
        while (q < end && isdigit((unsigned char)*q) && digits < 1e9)
            digits = digits * 10 + (*q++ - '0');
        if (q == end || *q != ')' || q == *p + 1)
            return false;
        *esd = digits * pow(10, -(double)decimals);
        *p = q + 1;
    }
    return true;
}

char emd_centring_of(const char *symbol)
{
    symbol += strspn(symbol, " -");
    return *symbol && strchr("ABCFIR", *symbol) ? *symbol : 'P';
}

/* The centring of the space group that is printed in the line behind a cell. */
static char centring_behind(const char *p, const char *end)
{
    static const char key[] = "Space group: ";
    char symbol[8];
    const char *newline = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    if (!newline)
        return 'P';
    p = newline + 1;
    while (p < end && *p == ' ')
        p++;
    if ((size_t)(end - p) < sizeof key + sizeof symbol || memcmp(p, key, sizeof key - 1) != 0)
        return 'P';
    memcpy(symbol, p + sizeof key - 1, sizeof symbol - 1);
    symbol[sizeof symbol - 1] = '\0';
    return emd_centring_of(symbol);
}

bool emd_cell_parse(const char *text, size_t length, struct emd_cell *cell)
{
    const char *p = text, *const end = text + length;
    cell->centring = 'P';
    for (int i = 0; i < 6; i++) {
        while (p < end && (*p == ' ' || *p == '(' || (i > 0 && *p == ',')))
            p++;
        if (!parse_value(&p, end, &cell->value[i], &cell->esd[i], cell->text[i]))
            return false;
        if (!(cell->value[i] > 0 && cell->value[i] < (i < 3 ? 1e6 : 180)))
            return false;
    }
    return true;
}

static bool same_cell(const struct emd_cell *a, const struct emd_cell *b)
{
    for (int i = 0; i < 6; i++) {
        bool same_esd = a->esd[i] == b->esd[i] || (isnan(a->esd[i]) && isnan(b->esd[i]));
        if (strcmp(a->text[i], b->text[i]) != 0 || !same_esd)
            return false;
    }
    return true;
}

enum emd_status emd_log_cells(const char *text, size_t length, struct emd_cells *cells,
                              struct emd_error *err)
{
    static const char key[] = "Unit cell: ", models[] = "Refined crystal models:";
    const char *const end = text + length;
    const char *from = text;
    for (const char *hit = find(text, end, models); hit; hit = find(hit + 1, end, models))
        from = hit;
    const size_t first = cells->count;
    for (const char *hit = find(from, end, key); hit && cells->count < CELLS_MAX;
         hit = find(hit + 1, end, key)) {
        struct emd_cell cell;
        const char *value = hit + sizeof key - 1;
        /* In front only blanks: "Reference Unit cell: ..." is not ours. */
        const char *p = hit;
        while (p > from && p[-1] == ' ')
            p--;
        if ((p > from && p[-1] != '\n') ||
            !emd_cell_parse(value, (size_t)(line_end(value, end) - value), &cell))
            continue;
        cell.centring = centring_behind(value, end);
        bool known = false;
        for (size_t i = first; i < cells->count && !known; i++)
            known = same_cell(&cells->items[i], &cell);
        if (known)
            continue;
        enum emd_status status = emd_cells_add(cells, &cell, err);
        if (status != EMD_OK)
            return status;
    }
    return EMD_OK;
}

bool emd_log_version(const char *text, size_t length, char *out, size_t capacity)
{
    static const char key[] = "DIALS ";
    const char *const end = text + length;
    /* It is among the first lines, behind the citation "DIALS (2018) Acta Cryst. ..." and possibly
     * warnings of Python. */
    for (const char *hit = find(text, end, key); hit; hit = find(hit + 1, end, key)) {
        const char *version = hit + sizeof key - 1;
        if ((hit > text && hit[-1] != '\n') || version == end || !isdigit((unsigned char)*version))
            continue;
        emd_log_copy(version, (size_t)(line_end(version, end) - version), out, capacity);
        return true;
    }
    return false;
}

bool emd_log_symmetry(const char *text, size_t length, char *out, size_t capacity)
{
    static const char key[] = "Best solution: ";
    const char *line;
    size_t n;
    if (!emd_log_line(text, length, key, &line, &n) || n <= sizeof key - 1)
        return false;
    emd_log_copy(line + sizeof key - 1, n - (sizeof key - 1), out, capacity);
    return true;
}

bool emd_log_space_group(const char *text, size_t length, char *out, size_t capacity)
{
    static const char key[] = "Recommended space group: ";
    const char *line;
    size_t n;
    if (!emd_log_line(text, length, key, &line, &n) || n <= sizeof key - 1)
        return false;
    emd_log_copy(line + sizeof key - 1, n - (sizeof key - 1), out, capacity);
    return true;
}

void emd_failure_reason(char *reason)
{
    /* "... to dials-support@lists.sourceforge.net: TEXT" until DIALS 3.20, then "... at URL or to
     * dials-user-group@jiscmail.ac.uk: TEXT"; with several arguments both are a tuple. */
    char *begin = strstr(reason, "Please report this error");
    char *address = begin ? strchr(begin, '@') : NULL;
    char *rest = begin ? strchr(address ? address : begin, ':') : NULL;
    if (!begin)
        return;
    if (rest) {
        rest++;
        rest += strspn(rest, " '\",");
    }
    size_t n = rest ? strlen(rest) : 0;
    const bool tuple = begin > reason && strchr("('\"", begin[-1]);
    while (tuple && n > 0 && strchr("')\"", rest[n - 1]))
        n--;
    if (n > 0) {
        memmove(reason, rest, n);
    } else {
        n = (size_t)(begin - reason);
        while (n > 0 && strchr(" :('\"", reason[n - 1]))
            n--;
    }
    reason[n] = '\0';
}

/* Is this line a failure, and how many bytes of it are only the mark? */
static bool is_failure(const char *line, size_t n, size_t *mark)
{
    static const char *const marks[] = {
        "Sorry: ", "ERROR: ", "ERROR:", "CRITICAL: ", "FATAL: ", "Error: "};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t m = strlen(marks[i]);
        if (n > m && memcmp(line, marks[i], m) == 0) {
            *mark = m;
            return true;
        }
    }
    /* A Python exception: "RuntimeError: text", "dials.algorithms.indexing.DialsIndexError: text",
     * "dials.util.Sorry: text", or the name alone. */
    size_t name = 0;
    while (name < n &&
           (isalnum((unsigned char)line[name]) || line[name] == '_' || line[name] == '.'))
        name++;
    bool named = (name > 5 && memcmp(line + name - 5, "Error", 5) == 0) ||
                 (name > 6 && memcmp(line + name - 6, ".Sorry", 6) == 0);
    *mark = 0;
    return named && (name == n || line[name] == ':');
}

bool emd_log_failure(const char *text, size_t length, char *out, size_t capacity)
{
    const char *const end = text + length;
    bool found = false;
    for (const char *p = text; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline ? newline : end;
        size_t n = (size_t)(trimmed(p, stop) - p), mark;
        if (n > 0 && is_failure(p, n, &mark)) {
            /* The clause that counts is the last: it must not be cut off first. */
            char whole[1024];
            emd_log_copy(p + mark, n - mark, whole, sizeof whole);
            emd_failure_reason(whole);
            emd_log_copy(whole, strlen(whole), out, capacity);
            found = out[0] != '\0';
        }
        p = newline ? newline + 1 : end;
    }
    return found;
}

bool emd_log_last_line(const char *text, size_t length, char *out, size_t capacity)
{
    const char *end = text + length;
    while (end > text) {
        const char *start = line_start(text, end);
        const char *p = start;
        while (p < end && !isalpha((unsigned char)*p))
            p++;
        if (p < end) {
            while (start < end && *start == ' ')
                start++;
            emd_log_copy(start, (size_t)(trimmed(start, end) - start), out, capacity);
            return true;
        }
        end = start > text ? start - 1 : text;
    }
    return false;
}
