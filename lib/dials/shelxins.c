/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/shelxins.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scattering.h"
#include "dials/dialslog.h"

enum { ELEMENTS = 32, COUNT_MAX = 100000 };

struct element {
    const struct emd_scatterer *atom;
    double count; /* of the formula unit */
};

struct composition {
    struct element element[ELEMENTS];
    size_t count;
};

/* ---- the composition ------------------------------------------------------------------------- */

/* SHELX wants carbon and hydrogen first; the others by their symbols. */
static int compare_elements(const void *pa, const void *pb)
{
    const char *a = ((const struct element *)pa)->atom->symbol,
               *b = ((const struct element *)pb)->atom->symbol;
    const int x = strcmp(a, "C") == 0 ? 0 : strcmp(a, "H") == 0 ? 1 : 2;
    const int y = strcmp(b, "C") == 0 ? 0 : strcmp(b, "H") == 0 ? 1 : 2;
    return x != y ? x - y : strcmp(a, b);
}

static bool read_count(const char **p, double *count)
{
    char text[16];
    size_t n = strspn(*p, "0123456789.");
    *count = 1;
    if (n == 0)
        return true;
    if (n >= sizeof text || (*p)[0] == '.' || (*p)[n - 1] == '.')
        return false;
    memcpy(text, *p, n);
    text[n] = '\0';
    *p += n;
    /* Without strtod, whose point depends on the locale. */
    char *dot = strchr(text, '.');
    double value = 0, part = 1;
    for (const char *c = text; *c; c++) {
        if (*c == '.' && c != dot)
            return false;
        if (*c == '.')
            continue;
        value = 10 * value + (*c - '0');
        part *= dot && c > dot ? 10 : 1;
    }
    *count = value / part;
    return *count > 0 && *count <= COUNT_MAX;
}

static enum emd_status parse_composition(const char *text, struct composition *c,
                                         struct emd_error *err)
{
    *c = (struct composition){0};
    for (const char *p = text;;) {
        char symbol[3] = "";
        double count;
        while (isspace((unsigned char)*p))
            p++;
        if (*p == '\0')
            break;
        const char *at = p;
        if (!isupper((unsigned char)*p))
            return emd_fail(err, EMD_E_ARGUMENT, "an element was expected at '%.20s'", at);
        symbol[0] = *p++;
        if (islower((unsigned char)*p))
            symbol[1] = *p++;
        const struct emd_scatterer *atom = emd_scatterer_find(symbol);
        if (!atom)
            return emd_fail(err, EMD_E_ARGUMENT, "'%s' is not an element with known scattering",
                            symbol);
        if (!read_count(&p, &count))
            return emd_fail(err, EMD_E_ARGUMENT, "not a number of atoms at '%.20s'", at);
        size_t k = 0;
        while (k < c->count && c->element[k].atom != atom)
            k++;
        if (k == ELEMENTS)
            return emd_fail(err, EMD_E_ARGUMENT, "more than %d elements", ELEMENTS);
        if (k == c->count)
            c->element[c->count++] = (struct element){atom, 0};
        c->element[k].count += count;
    }
    if (c->count == 0)
        return emd_fail(err, EMD_E_ARGUMENT, "no elements");
    qsort(c->element, c->count, sizeof *c->element, compare_elements);
    return EMD_OK;
}

/* ---- the stub -------------------------------------------------------------------------------- */

struct stub {
    struct emd_cell cell;
    bool has_cell;
    int lattice;         /* of LATT */
    unsigned operations; /* in the cell, all of them */
};

static bool is_card(const char *line, const char *name)
{
    return strncasecmp(line, name, 4) == 0 && isspace((unsigned char)line[4]);
}

static enum emd_status read_stub(const char *text, struct stub *stub, struct emd_error *err)
{
    static const unsigned points[] = {1, 1, 2, 3, 4, 2, 2, 2}; /* of P I R F A B C, from 1 */
    unsigned symmetry = 1;
    double lambda;
    *stub = (struct stub){.lattice = 1};
    for (const char *line = text; *line; line += line[0] == '\n') {
        double *v = stub->cell.value;
        if (is_card(line, "CELL"))
            stub->has_cell = sscanf(line + 5, "%lf %lf %lf %lf %lf %lf %lf", &lambda, &v[0], &v[1],
                                    &v[2], &v[3], &v[4], &v[5]) == 7;
        else if (is_card(line, "LATT"))
            stub->lattice = (int)strtol(line + 5, NULL, 10);
        else if (is_card(line, "SYMM"))
            symmetry++;
        line += strcspn(line, "\n");
    }
    const int kind = abs(stub->lattice);
    if (!stub->has_cell || kind < 1 || kind > 7 || symmetry > 96 ||
        !(emd_cell_volume(&stub->cell) > 1))
        return emd_fail(err, EMD_E_FORMAT, "not SHELX instructions with a cell and a lattice");
    stub->operations = symmetry * points[kind] * (stub->lattice > 0 ? 2 : 1);
    return EMD_OK;
}

/* Formula units in the cell. */
static unsigned estimate_units(const struct stub *stub, const struct composition *c)
{
    const double per_atom = 18; /* A^3, in organic crystals */
    double atoms = 0;
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->element[i].atom->symbol, "H") != 0)
            atoms += c->element[i].count;
    if (atoms == 0)
        atoms = c->element[0].count;
    const double fit = emd_cell_volume(&stub->cell) / (per_atom * atoms) / stub->operations;
    const double times = fmin(fmax(round(fit), 1), 1000);
    return (unsigned)times * stub->operations;
}

/* ---- the text -------------------------------------------------------------------------------- */

static void put_sfac(FILE *out, const struct emd_scatterer *e)
{
    fprintf(out, "SFAC %-2s %9.5f %9.5f %9.5f %9.5f =\n", e->symbol, e->shelx_a[0], e->shelx_b[0],
            e->shelx_a[1], e->shelx_b[1]);
    fprintf(out, "     %9.5f %9.5f %9.5f %9.5f =\n", e->shelx_a[2], e->shelx_b[2], e->shelx_a[3],
            e->shelx_b[3]);
    /* no anomalous scattering, no absorption */
    fprintf(out, "     %9.5f 0.0 0.0 0.0 %.2f %.3f\n", e->shelx_c, e->radius, e->weight);
}

static void put_stub(FILE *out, const char *text, unsigned units)
{
    for (const char *line = text; *line; line += line[0] == '\n') {
        const size_t n = strcspn(line, "\n");
        char *end;
        if (is_card(line, "ZERR")) { /* the first number is that of the formula units */
            strtod(line + 5, &end);
            fprintf(out, "ZERR %8u%.*s\n", units, (int)(n - (size_t)(end - line)), end);
        } else if (is_card(line, "TITL") || is_card(line, "CELL") || is_card(line, "LATT") ||
                   is_card(line, "SYMM")) {
            fprintf(out, "%.*s\n", (int)n, line);
        }
        line += n;
    }
}

enum emd_status emd_shelx_ins(const char *stub_text, const char *composition, unsigned units,
                              char **out, struct emd_error *err)
{
    struct composition c;
    struct stub stub;
    size_t size = 0;
    *out = NULL;
    enum emd_status status = parse_composition(composition, &c, err);
    if (status == EMD_OK)
        status = read_stub(stub_text, &stub, err);
    if (status != EMD_OK)
        return status;
    if (units == 0)
        units = estimate_units(&stub, &c);
    FILE *f = open_memstream(out, &size);
    if (!f)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    put_stub(f, stub_text, units);
    fputs("REM Scattering factors of electrons: fits to International Tables C, 4.3.2.2\n", f);
    for (size_t i = 0; i < c.count; i++)
        put_sfac(f, c.element[i].atom);
    fputs("UNIT", f);
    for (size_t i = 0; i < c.count; i++)
        fprintf(f, " %.10g", c.element[i].count * units);
    fputs("\nTREF\nHKLF 4\nEND\n", f);
    if (fclose(f) != 0) {
        free(*out);
        *out = NULL;
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    return EMD_OK;
}
