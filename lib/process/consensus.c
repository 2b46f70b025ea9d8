/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/consensus.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/safefile.h"
#include "dials/exptsummary.h"
#include "dials/listrows.h"
#include "dials/textfile.h"

/* ---- symmetry -------------------------------------------------------------------------------- */

enum system { TRICLINIC, MONOCLINIC, ORTHORHOMBIC, TETRAGONAL, HEXAGONAL, CUBIC };

/* The Patterson groups (International Tables A, table 2.1.3.3), as cctbx writes them, and the space
 * group of their rotations. */
static const struct symmetry {
    const char *patterson, *rotations;
    enum system system;
} symmetries[] = {
    {"P -1", "P1", TRICLINIC},         {"P 1 2/m 1", "P2", MONOCLINIC},
    {"C 1 2/m 1", "C2", MONOCLINIC},   {"I 1 2/m 1", "I2", MONOCLINIC},
    {"A 1 2/m 1", "A2", MONOCLINIC},   {"P m m m", "P222", ORTHORHOMBIC},
    {"C m m m", "C222", ORTHORHOMBIC}, {"F m m m", "F222", ORTHORHOMBIC},
    {"I m m m", "I222", ORTHORHOMBIC}, {"P 4/m", "P4", TETRAGONAL},
    {"P 4/m m m", "P422", TETRAGONAL}, {"I 4/m", "I4", TETRAGONAL},
    {"I 4/m m m", "I422", TETRAGONAL}, {"P -3", "P3", HEXAGONAL},
    {"P -3 m 1", "P321", HEXAGONAL},   {"P -3 1 m", "P312", HEXAGONAL},
    {"R -3 :H", "R3:H", HEXAGONAL},    {"R -3 m :H", "R32:H", HEXAGONAL},
    {"P 6/m", "P6", HEXAGONAL},        {"P 6/m m m", "P622", HEXAGONAL},
    {"P m -3", "P23", CUBIC},          {"P m -3 m", "P432", CUBIC},
    {"I m -3", "I23", CUBIC},          {"I m -3 m", "I432", CUBIC},
    {"F m -3", "F23", CUBIC},          {"F m -3 m", "F432", CUBIC},
};

static const struct symmetry *find_symmetry(const char *patterson)
{
    for (size_t i = 0; i < sizeof symmetries / sizeof *symmetries; i++)
        if (strcmp(symmetries[i].patterson, patterson) == 0)
            return &symmetries[i];
    return NULL;
}

/* What the symmetry demands of a cell that was measured without it. */
static void constrain(enum system system, double c[6])
{
    double mean;
    if (system == TRICLINIC)
        return;
    if (system == MONOCLINIC) {
        c[3] = c[5] = 90;
        if (c[4] < 90)
            c[4] = 180 - c[4];
        return;
    }
    c[3] = c[4] = c[5] = 90;
    if (system == TETRAGONAL || system == HEXAGONAL) {
        c[0] = c[1] = (c[0] + c[1]) / 2;
    } else if (system == CUBIC) {
        mean = (c[0] + c[1] + c[2]) / 3;
        c[0] = c[1] = c[2] = mean;
    }
    if (system == HEXAGONAL)
        c[5] = 120;
}

/* ---- the crystals ---------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static bool is_chosen(const struct emd_list_row *row, const struct emd_words *crystals)
{
    const char *slash = strrchr(row->trial->path, '/');
    const size_t n = slash ? (size_t)(slash - row->trial->path) : 0;
    bool chosen = crystals->count == 0;
    for (size_t i = 0; i < crystals->count && !chosen; i++)
        chosen =
            strlen(crystals->word[i]) == n && strncmp(crystals->word[i], row->trial->path, n) == 0;
    return chosen && strncmp(row->trial->path, EMD_TRIAL_MERGED "/", sizeof EMD_TRIAL_MERGED) != 0;
}

/* The rows of the largest group, and the median of their reduced cells. */
static enum emd_status take_group(struct emd_list_rows *rows, const struct emd_words *crystals,
                                  struct emd_consensus *out, struct emd_error *err)
{
    const struct emd_cell **cells = calloc(rows->count + 1, sizeof *cells);
    struct emd_lattice_place *places = calloc(rows->count + 1, sizeof *places);
    double *values = calloc(rows->count + 1, sizeof *values);
    enum emd_status status =
        cells && places && values ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (is_chosen(&rows->rows[i], crystals))
            rows->rows[kept++] = rows->rows[i];
    rows->count = out->crystals = kept;
    for (size_t i = 0; i < kept && status == EMD_OK; i++)
        cells[i] = rows->rows[i].cell;
    if (status == EMD_OK)
        status = emd_lattice_group(cells, kept, places, &rows->lattice, err);
    if (status == EMD_OK) {
        out->lattices = rows->lattice.clusters;
        kept = 0;
        for (size_t i = 0; i < rows->count; i++)
            if (places[i].cluster == 1) {
                rows->rows[kept] = rows->rows[i];
                rows->rows[kept++].place = places[i];
            }
        rows->count = out->members = kept;
    }
    for (int k = 0; k < 6 && status == EMD_OK && kept > 0; k++) {
        for (size_t i = 0; i < kept; i++)
            values[i] = rows->rows[i].place.reduced[k];
        out->reduced[k] = median(values, kept);
    }
    free(values);
    free(places);
    free(cells);
    return status;
}

/* How often each symmetry was found; the most frequent first, at equal numbers the first one. */
static void count_symmetries(const struct emd_list_rows *rows, struct emd_consensus *out)
{
    for (size_t i = 0; i < rows->count; i++) {
        const char *symmetry = emd_list_row_symmetry(&rows->rows[i], EMD_SYMMETRY_SYMMETRY);
        size_t k = 0;
        if (symmetry[0] == '\0')
            continue;
        while (k < out->group_count && strcmp(out->groups[k].symmetry, symmetry) != 0)
            k++;
        if (k == EMD_CONSENSUS_GROUPS)
            continue;
        if (k == out->group_count) {
            out->group_count++;
            snprintf(out->groups[k].symmetry, sizeof out->groups[k].symmetry, "%s", symmetry);
        }
        out->groups[k].crystals++;
    }
    for (size_t i = 1; i < out->group_count; i++)
        for (size_t k = i; k > 0 && out->groups[k].crystals > out->groups[k - 1].crystals; k--) {
            const __typeof__(out->groups[0]) group = out->groups[k];
            out->groups[k] = out->groups[k - 1];
            out->groups[k - 1] = group;
        }
}

/* The conventional cell of a crystal, as dials.symmetry left it. */
static bool read_cell(const char *project, const struct emd_list_row *row, struct emd_cell *cell)
{
    struct emd_textfile file = {0};
    struct emd_expt_summary summary;
    char *path = NULL;
    bool found = false;
    if (asprintf(&path, "%s/%s/symmetrized.expt", project, row->trial->path) < 0)
        return false;
    if (emd_textfile_read(&file, AT_FDCWD, path, NULL) == EMD_OK && file.text &&
        emd_expt_summarise(file.text, file.length, &summary, NULL) == EMD_OK) {
        found = row->crystal <= summary.cells.count;
        if (found)
            *cell = summary.cells.items[row->crystal - 1];
        free(summary.cells.items);
    }
    emd_textfile_free(&file);
    free(path);
    return found;
}

static enum emd_status conventional_cell(const char *project, const struct emd_list_rows *rows,
                                         struct emd_consensus *out, struct emd_error *err)
{
    struct emd_cell *cells = calloc(rows->count + 1, sizeof *cells);
    const struct emd_cell **list = calloc(rows->count + 1, sizeof *list);
    struct emd_lattice_place *places = calloc(rows->count + 1, sizeof *places);
    struct emd_lattice_summary summary = {0};
    enum emd_status status =
        cells && list && places ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    size_t count = 0;
    for (size_t i = 0; i < rows->count && status == EMD_OK; i++) {
        const char *symmetry = emd_list_row_symmetry(&rows->rows[i], EMD_SYMMETRY_SYMMETRY);
        if (strcmp(symmetry, out->groups[0].symmetry) == 0 &&
            read_cell(project, &rows->rows[i], &cells[count])) {
            list[count] = &cells[count];
            count++;
        }
    }
    if (status == EMD_OK)
        status = emd_lattice_group(list, count, places, &summary, err);
    if (status == EMD_OK && summary.cells == 0)
        status = emd_fail(err, EMD_E_EMPTY, "no crystal has a symmetrized.expt with a cell");
    if (status == EMD_OK) {
        memcpy(out->cell, summary.median, sizeof out->cell);
        out->cells = summary.cells;
    }
    free(places);
    free(list);
    free(cells);
    return status;
}

enum emd_status emd_consensus_find(const char *project, const char *trial,
                                   const struct emd_words *crystals, struct emd_consensus *out,
                                   struct emd_error *err)
{
    const struct emd_list_settings settings = {.folder = project, .trial = trial, .limit = 0.3};
    struct emd_list_rows rows;
    *out = (struct emd_consensus){0};
    enum emd_status status = emd_list_rows_read(&settings, &rows, err);
    if (status != EMD_OK)
        return status;
    status = take_group(&rows, crystals, out, err);
    if (status == EMD_OK && out->members == 0)
        status = emd_fail(err, EMD_E_EMPTY, "no crystal with the trial %s has a cell", trial);
    if (status == EMD_OK)
        count_symmetries(&rows, out);
    const struct symmetry *symmetry =
        out->group_count > 0 ? find_symmetry(out->groups[0].symmetry) : &symmetries[0];
    if (status == EMD_OK && !symmetry)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "'%s' is not a known Patterson group",
                          out->groups[0].symmetry);
    if (status == EMD_OK && symmetry->system == TRICLINIC) {
        memcpy(out->cell, out->reduced, sizeof out->cell);
        out->cells = out->members;
    } else if (status == EMD_OK) {
        status = conventional_cell(project, &rows, out, err);
    }
    if (status == EMD_OK) {
        constrain(symmetry->system, out->cell);
        snprintf(out->space_group, sizeof out->space_group, "%s", symmetry->rotations);
    }
    emd_list_rows_free(&rows);
    return status;
}

/* ---- settings -------------------------------------------------------------------------------- */

/* Is it "NAME = ..."? */
static bool sets(const char *line, size_t length, const char *name)
{
    const char *end = line + length;
    const size_t n = strlen(name);
    while (line < end && isspace((unsigned char)*line))
        line++;
    if ((size_t)(end - line) < n || strncmp(line, name, n) != 0)
        return false;
    for (line += n; line < end && isspace((unsigned char)*line);)
        line++;
    return line < end && *line == '=';
}

static bool continues(const char *line, size_t length)
{
    while (length > 0 && isspace((unsigned char)line[length - 1]))
        length--;
    return length > 0 && line[length - 1] == '\\';
}

/* The text with the setting in it; NULL: *status says why. The caller frees it. */
static char *put_setting(const char *text, const struct emd_setting *setting,
                         enum emd_status *status, struct emd_error *err)
{
    char *out = NULL;
    size_t size = 0;
    bool done = false, joined = false;
    FILE *f = open_memstream(&out, &size);
    if (!f) {
        *status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        return NULL;
    }
    for (const char *line = text; *line && *status == EMD_OK;) {
        const size_t n = strcspn(line, "\n");
        const bool comment = line[strspn(line, " \t\r")] == '#';
        const bool found = !joined && sets(line, n, setting->name);
        if (found && continues(line, n))
            *status = emd_fail(err, EMD_E_UNSUPPORTED,
                               "the line of %s continues on the next one: change it by hand",
                               setting->name);
        if (!found)
            fwrite(line, 1, n, f);
        else if (!done)
            fprintf(f, "%s = %s", setting->name, setting->value);
        if (!found || !done)
            fputc('\n', f);
        done |= found;
        joined = (joined || !comment) && continues(line, n);
        line += n + (line[n] == '\n');
    }
    if (!done)
        fprintf(f, "%s = %s\n", setting->name, setting->value);
    if (fclose(f) != 0 && *status == EMD_OK)
        *status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (*status == EMD_OK)
        return out;
    free(out);
    return NULL;
}

enum emd_status emd_settings_put(const char *path, const struct emd_setting settings[],
                                 size_t count, struct emd_error *err)
{
    struct emd_textfile file = {0};
    struct emd_safefile *safe = NULL;
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, path, err);
    if (status == EMD_E_EMPTY) /* there is none */
        status = EMD_OK;
    char *text = status == EMD_OK ? strdup(file.text ? file.text : "") : NULL;
    if (status == EMD_OK && !text)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK && strlen(text) != file.length)
        status = emd_fail(err, EMD_E_FORMAT, "no text: it contains a NUL");
    emd_textfile_free(&file);
    for (size_t i = 0; i < count && status == EMD_OK; i++) {
        char *next = put_setting(text, &settings[i], &status, err);
        free(text);
        text = next;
    }
    if (status == EMD_OK)
        status = emd_safefile_create(path, &safe, err);
    if (status == EMD_OK && emd_pwrite_all(emd_safefile_fd(safe), text, strlen(text), 0) != 0)
        status = emd_fail(err, EMD_E_IO, "cannot write");
    if (status == EMD_OK) {
        status = emd_safefile_commit(&safe, 1, true, err);
        safe = NULL;
    }
    emd_safefile_discard(safe);
    free(text);
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "%s", path);
}
