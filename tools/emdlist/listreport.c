/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The report: report.html with its style, script and data put in place of @STYLE@, @SCRIPT@, @DATA@
 * and @TITLE@. The data go into a <script type="application/json"> element, where nothing is
 * executed and only "</script" or "<!--" could end it: the JSON writer escapes every '<'. The page
 * builds itself from them with textContent and attributes, never with innerHTML. */
#include "emdlist/listreport.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "emdlist/listoutput.h"

static void put_numbers(FILE *out, const double *values, const int *decimals, int count)
{
    putc('[', out);
    for (int i = 0; i < count; i++) {
        if (i)
            putc(',', out);
        list_json_number(out, values[i], decimals[i]);
    }
    putc(']', out);
}

/* What a row's plots and details need beyond its columns. The order of a shell's numbers is known
 * to report.js (SHELL). */
static void put_details(FILE *out, const struct emd_list_row *row)
{
    static const enum emd_shell_column order[] = {
        EMD_SHELL_D_MAX,        EMD_SHELL_D_MIN,        EMD_SHELL_CC_HALF, EMD_SHELL_I_SIGMA,
        EMD_SHELL_COMPLETENESS, EMD_SHELL_MULTIPLICITY, EMD_SHELL_R_MEAS,  EMD_SHELL_R_PIM,
        EMD_SHELL_OBSERVATIONS, EMD_SHELL_UNIQUE};
    static const int decimals[] = {4, 4, 4, 2, 2, 2, 3, 3, 0, 0};
    enum { COUNT = sizeof order / sizeof *order };
    static const int esd_decimals[6] = {6, 6, 6, 6, 6, 6};
    const struct emd_trial *t = row->trial;
    fprintf(out, ",\"crystals\":%zu,\"stageNumber\":%d", row->crystals, (int)t->stage);
    if (row->cell) {
        fputs(",\"esdValues\":", out);
        put_numbers(out, row->cell->esd, esd_decimals, 6);
    }
    if (row->place.cluster > 0) {
        static const int aligned_decimals[6] = {4, 4, 4, 3, 3, 3};
        fprintf(out, ",\"far\":%s,\"aligned\":", row->place.outlier ? "true" : "false");
        put_numbers(out, row->place.aligned, aligned_decimals, 6);
    }
    if (t->images > 0)
        fprintf(out, ",\"recorded\":[%ld,%ld]", t->recorded.first, t->recorded.last);
    fputs(",\"ranges\":[", out);
    for (size_t i = 0; i < t->ranges; i++)
        fprintf(out, "%s[%ld,%ld]", i ? "," : "", t->range[i].first, t->range[i].last);
    fputs("],\"shells\":[", out);
    for (size_t i = 0; i < t->table.count; i++) {
        double values[COUNT];
        for (int c = 0; c < COUNT; c++)
            values[c] = t->table.shells[i].value[order[c]];
        if (i)
            putc(',', out);
        put_numbers(out, values, decimals, COUNT);
    }
    putc(']', out);
}

static void put_columns(FILE *out, const enum emd_list_column_id ids[], size_t count)
{
    fputs(",\"columns\":[", out);
    for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++) {
        const struct emd_list_column *c = emd_list_column(id);
        fputs(id ? ",{\"key\":" : "{\"key\":", out);
        list_json_string(out, c->key);
        fputs(",\"title\":", out);
        list_json_string(out, c->title);
        fputs(",\"unit\":", out);
        list_json_string(out, c->unit);
        fputs(",\"help\":", out);
        list_json_string(out, c->help);
        fprintf(out, ",\"number\":%s,\"decimals\":%d}",
                c->kind == EMD_LIST_NUMBER ? "true" : "false", c->decimals);
    }
    fputs("],\"shown\":[", out);
    for (size_t i = 0; i < count; i++) {
        if (i)
            putc(',', out);
        list_json_string(out, emd_list_column(ids[i])->key);
    }
    putc(']', out);
}

static void put_lattice(FILE *out, const struct emd_lattice_summary *lattice)
{
    static const int decimals[6] = {5, 5, 5, 4, 4, 4};
    fprintf(out,
            ",\"lattice\":{\"clusters\":%zu,\"cells\":%zu,\"few\":%d,\"limit\":%.2f,\"median\":",
            lattice->clusters, lattice->cells, EMD_LATTICE_FEW, EMD_LATTICE_FAR);
    put_numbers(out, lattice->median, decimals, 6);
    fputs(",\"spread\":", out);
    put_numbers(out, lattice->spread, decimals, 6);
    putc('}', out);
}

static void put_data(FILE *out, const struct emd_list_rows *rows,
                     const struct emd_list_settings *settings, const enum emd_list_column_id ids[],
                     size_t count)
{
    char buffer[EMD_LIST_BUFFER], when[32] = "";
    char *folder = realpath(settings->folder, NULL);
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &utc);
    fputs("{\"trial\":", out);
    list_json_string(out, settings->trial);
    fputs(",\"folder\":", out);
    list_json_string(out, folder ? folder : settings->folder);
    free(folder);
    fputs(",\"made\":", out);
    list_json_string(out, when);
    fputs(",\"version\":", out);
    list_json_string(out, EMDTOOLS_VERSION);
    fputs(",\"limit\":", out);
    list_json_number(out, settings->limit, 6);
    fputs(",\"method\":", out);
    list_json_string(out, emd_list_method_name(settings->method));
    fprintf(out, ",\"hidden\":%zu,\"goal\":%d,\"stages\":[", rows->hidden,
            strchr(settings->trial, '/') ? EMD_STAGE_RESCALE : EMD_STAGE_SCALE);
    for (enum emd_stage s = 0; s < EMD_STAGES; s++) {
        if (s)
            putc(',', out);
        list_json_string(out, emd_stage_name(s));
    }
    putc(']', out);
    put_columns(out, ids, count);
    put_lattice(out, &rows->lattice);
    fputs(",\"rows\":[", out);
    for (size_t i = 0; i < rows->count; i++) {
        const struct emd_list_row *row = &rows->rows[i];
        fputs(i ? ",\n{" : "\n{", out);
        for (enum emd_list_column_id id = 0; id < EMD_LIST_COLUMNS; id++) {
            const struct emd_list_column *c = emd_list_column(id);
            if (id)
                putc(',', out);
            list_json_string(out, c->key);
            putc(':', out);
            if (c->kind == EMD_LIST_NUMBER)
                list_json_number(out, emd_list_number(row, id), c->decimals);
            else
                list_json_string(out, emd_list_text(row, id, settings, buffer));
        }
        put_details(out, row);
        putc('}', out);
    }
    fputs("\n]}", out);
}

static void put_html_text(FILE *out, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        /* ASCII only: whatever else a name holds is in the data, as valid UTF-8. */
        if (*s < 0x20 || *s >= 0x7f || strchr("<>&\"'", *s))
            putc('_', out);
        else
            putc(*s, out);
    }
}

void list_write_html(FILE *out, const struct emd_list_rows *rows,
                     const struct emd_list_settings *settings, const enum emd_list_column_id ids[],
                     size_t count)
{
    for (const char *p = report_html; *p;) {
        size_t n = strcspn(p, "@");
        fwrite(p, 1, n, out);
        p += n;
        if (strncmp(p, "@STYLE@", 7) == 0) {
            fputs(report_css, out);
            p += 7;
        } else if (strncmp(p, "@SCRIPT@", 8) == 0) {
            fputs(report_js, out);
            p += 8;
        } else if (strncmp(p, "@DATA@", 6) == 0) {
            put_data(out, rows, settings, ids, count);
            p += 6;
        } else if (strncmp(p, "@TITLE@", 7) == 0) {
            put_html_text(out, settings->trial);
            p += 7;
        } else if (*p) {
            putc(*p++, out);
        }
    }
}
