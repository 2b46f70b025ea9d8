/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdlist/listoutput.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Of a text that ends with a NUL. */
static size_t utf8_length(const unsigned char *s)
{
    return emd_utf8_length((const char *)s, SIZE_MAX);
}

static bool is_control(const unsigned char *s)
{
    return emd_utf8_is_control((const char *)s);
}

/* For people: control characters as \xNN. Returns the width in characters; out may be NULL. */
static size_t put_plain(FILE *out, const char *text)
{
    size_t width = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = utf8_length(s);
        if (is_control(s)) {
            for (size_t i = 0; i < n; i++, width += 4)
                if (out)
                    fprintf(out, "\\x%02x", s[i]);
        } else {
            if (out)
                fwrite(s, 1, n ? n : 1, out);
            width++;
        }
        s += n ? n : 1;
    }
    return width;
}

void list_write_classic(FILE *out, const struct emd_list_rows *rows,
                        const struct emd_list_settings *settings)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct emd_list_row *row = &rows->rows[i];
        const struct emd_trial *t = row->trial;
        put_plain(out, t->path);
        if (t->outcome != EMD_OUTCOME_GOOD) {
            fprintf(out, " -     %s at %s: ",
                    t->not_ready ? "not ready" : emd_list_outcome_name(t->outcome),
                    emd_stage_name(t->stage));
            put_plain(out, t->reason);
        } else {
            if (isnan(row->resolution))
                fputs(" -   ", out);
            else
                fprintf(out, " %.2f", row->resolution);
            fputs("     Unit cell: ", out);
            for (int k = 0; k < 6; k++)
                fprintf(out, "%s%s", k ? "  " : "", row->cell ? row->cell->text[k] : "-");
            const char *symmetry = emd_list_row_symmetry(row, settings->symmetry_from);
            fputs(" Best solution: ", out);
            put_plain(out, symmetry[0] ? symmetry : "-");
        }
        if (row->crystals > 1)
            fprintf(out, " (crystal %zu of %zu)", row->crystal, row->crystals);
        putc('\n', out);
    }
}

static void put_padded(FILE *out, const char *text, size_t width, bool right, bool last)
{
    size_t own = put_plain(NULL, text);
    int fill = (int)(width > own ? width - own : 0);
    if (right)
        fprintf(out, "%*s", fill, "");
    put_plain(out, text);
    if (!right && !last)
        fprintf(out, "%*s", fill, "");
}

void list_write_text(FILE *out, const struct emd_list_rows *rows,
                     const struct emd_list_settings *settings, const enum emd_list_column_id ids[],
                     size_t count)
{
    char buffer[EMD_LIST_BUFFER];
    size_t *widths = malloc((count ? count : 1) * sizeof *widths);
    for (size_t c = 0; c < count && widths; c++) {
        widths[c] = strlen(emd_list_column(ids[c])->key);
        for (size_t i = 0; i < rows->count; i++) {
            const char *text = emd_list_text(&rows->rows[i], ids[c], settings, buffer);
            size_t width = put_plain(NULL, text[0] ? text : "-");
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t i = 0; i <= rows->count; i++) {
        for (size_t c = 0; c < count; c++) {
            const struct emd_list_column *column = emd_list_column(ids[c]);
            const char *text =
                i == 0 ? column->key : emd_list_text(&rows->rows[i - 1], ids[c], settings, buffer);
            if (c)
                fputs("  ", out);
            /* Without memory for the widths the columns are only not aligned. */
            put_padded(out, text[0] ? text : "-", widths ? widths[c] : 0,
                       column->kind == EMD_LIST_NUMBER, c + 1 == count);
        }
        putc('\n', out);
    }
    free(widths);
}

/* A control character as \xNN; the bytes it took, 0 if there is none at s. */
static size_t put_control(FILE *out, const unsigned char *s)
{
    size_t n = is_control(s) ? utf8_length(s) : 0;
    for (size_t i = 0; i < n; i++)
        fprintf(out, "\\x%02x", s[i]);
    return n;
}

static void put_tsv(FILE *out, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = 1;
        if (*s == '\\')
            fputs("\\\\", out);
        else if (*s == '\t')
            fputs("\\t", out);
        else if (*s == '\n')
            fputs("\\n", out);
        else if ((n = put_control(out, s)) == 0)
            putc(*s, out);
        s += n ? n : 1;
    }
}

/* Spreadsheets take a text that begins like this for a formula, also after blanks. */
static bool looks_like_formula(const char *text)
{
    text += strspn(text, " ");
    return *text && strchr("=+-@\t\r\n", *text);
}

static void put_csv(FILE *out, const char *text, bool is_text)
{
    bool formula = is_text && looks_like_formula(text);
    bool quoted = formula || strpbrk(text, ",\"\r\n") || text[0] == ' ';
    if (quoted)
        putc('"', out);
    if (formula)
        putc('\'', out);
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = put_control(out, s);
        if (n == 0) {
            if (*s == '"')
                putc('"', out);
            putc(*s, out);
        }
        s += n ? n : 1;
    }
    if (quoted)
        putc('"', out);
}

void list_write_separated(FILE *out, const struct emd_list_rows *rows,
                          const struct emd_list_settings *settings,
                          const enum emd_list_column_id ids[], size_t count, char separator)
{
    char buffer[EMD_LIST_BUFFER];
    for (size_t i = 0; i <= rows->count; i++) {
        for (size_t c = 0; c < count; c++) {
            const struct emd_list_column *column = emd_list_column(ids[c]);
            const char *text =
                i == 0 ? column->key : emd_list_text(&rows->rows[i - 1], ids[c], settings, buffer);
            if (c)
                putc(separator, out);
            if (separator == ',')
                put_csv(out, text, column->kind == EMD_LIST_TEXT);
            else
                put_tsv(out, text);
        }
        fputs(separator == ',' ? "\r\n" : "\n", out);
    }
}

void list_json_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = utf8_length(s);
        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        } else if (*s == '"' || *s == '\\') {
            fprintf(out, "\\%c", *s);
        } else if (*s < 0x20 || *s == 0x7f || *s == '<' || *s == '>' || *s == '&') {
            fprintf(out, "\\u%04x", *s);
        } else if (n == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] & 0xfe) == 0xa8) {
            fprintf(out, "\\u20%02x", s[2] - 0x80); /* U+2028, U+2029: line ends in JavaScript */
        } else {
            fwrite(s, 1, n, out);
        }
        s += n;
    }
    putc('"', out);
}

void list_json_number(FILE *out, double value, int decimals)
{
    char text[64];
    if (!isfinite(value)) {
        fputs("null", out);
        return;
    }
    snprintf(text, sizeof text, "%.*f", decimals, value);
    if (strchr(text, '.')) {
        size_t n = strlen(text);
        while (text[n - 1] == '0')
            text[--n] = '\0';
        if (text[n - 1] == '.')
            text[n - 1] = '\0';
    }
    fputs(strcmp(text, "-0") == 0 ? "0" : text, out);
}

static const struct {
    const char *key;
    int decimals;
} shell_keys[EMD_SHELL_COLUMNS] = {
    [EMD_SHELL_D_MAX] = {"d_max", 6},
    [EMD_SHELL_D_MIN] = {"d_min", 6},
    [EMD_SHELL_OBSERVATIONS] = {"reflections", 0},
    [EMD_SHELL_UNIQUE] = {"unique", 0},
    [EMD_SHELL_MULTIPLICITY] = {"multiplicity", 2},
    [EMD_SHELL_COMPLETENESS] = {"completeness", 2},
    [EMD_SHELL_I_MEAN] = {"i_mean", 2},
    [EMD_SHELL_I_SIGMA] = {"i_sigma", 2},
    [EMD_SHELL_R_MERGE] = {"r_merge", 3},
    [EMD_SHELL_R_MEAS] = {"r_meas", 3},
    [EMD_SHELL_R_PIM] = {"r_pim", 3},
    [EMD_SHELL_R_ANOM] = {"r_anom", 3},
    [EMD_SHELL_R_SPLIT] = {"r_split", 3},
    [EMD_SHELL_CC_HALF] = {"cc_half", 6},
    [EMD_SHELL_CC_ANOM] = {"cc_anom", 3},
};

static void put_shells(FILE *out, const struct emd_merge_table *table)
{
    fputs(",\"shells\":[", out);
    for (size_t i = 0; i < table->count; i++) {
        const struct emd_shell *shell = &table->shells[i];
        fputs(i ? ",{" : "{", out);
        for (int c = 0; c < EMD_SHELL_COLUMNS; c++) {
            fprintf(out, "%s\"%s\":", c ? "," : "", shell_keys[c].key);
            list_json_number(out, shell->value[c], shell_keys[c].decimals);
        }
        fprintf(out, ",\"significant\":%s}", shell->significant ? "true" : "false");
    }
    putc(']', out);
}

static void put_esds(FILE *out, const struct emd_cell *cell)
{
    putc('[', out);
    for (int k = 0; cell && k < 6; k++) {
        if (k)
            putc(',', out);
        list_json_number(out, cell->esd[k], 7);
    }
    putc(']', out);
}

void list_write_json(FILE *out, const struct emd_list_rows *rows,
                     const struct emd_list_settings *settings, const enum emd_list_column_id ids[],
                     size_t count)
{
    char buffer[EMD_LIST_BUFFER];
    putc('[', out);
    for (size_t i = 0; i < rows->count; i++) {
        const struct emd_list_row *row = &rows->rows[i];
        fprintf(out, "%s\n{\"format\":\"emdlist/1\"", i ? "," : "");
        for (size_t c = 0; c < count; c++) {
            const struct emd_list_column *column = emd_list_column(ids[c]);
            putc(',', out);
            list_json_string(out, column->key);
            putc(':', out);
            if (column->kind == EMD_LIST_NUMBER)
                list_json_number(out, emd_list_number(row, ids[c]), column->decimals);
            else if (ids[c] == EMD_LIST_ESDS)
                put_esds(out, row->cell);
            else
                list_json_string(out, emd_list_text(row, ids[c], settings, buffer));
        }
        put_shells(out, &row->trial->table);
        putc('}', out);
    }
    fputs(rows->count ? "\n]\n" : "]\n", out);
}

static void print_trials(FILE *out, const struct emd_list_rows *rows, const char *folder)
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

void list_print_names(FILE *out, const struct emd_list_rows *rows)
{
    print_trials(out, rows, "");
}

void list_print_paths(FILE *out, const struct emd_list_rows *rows,
                      const struct emd_list_settings *settings)
{
    char *folder = realpath(settings->folder, NULL);
    print_trials(out, rows, folder ? folder : settings->folder);
    free(folder);
}
