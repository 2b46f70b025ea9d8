/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "velox/structure.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "velox/exact.h"

enum { OPERATIONS_MAX = 192, ATOMS_MAX = 20000, COLUMNS_MAX = 64 };

/* x' = rotation x + shift */
struct operation {
    double rotation[3][3], shift[3];
};

struct reader {
    struct emd_structure *out; /* 'atom': those of the file, until the symmetry is applied */
    size_t capacity;
    bool cell[6];
    struct operation operation[OPERATIONS_MAX];
    size_t operations;
    locale_t c_locale;
    unsigned line;
    struct emd_error *err;
};

static enum emd_status fail(const struct reader *r, const char *what, const char *word)
{
    return emd_fail(r->err, EMD_E_FORMAT, "line %u: %s '%.40s'", r->line, what, word);
}

/* A number, with or without a standard uncertainty: "5.341(2)". */
static bool read_number(const struct reader *r, const char *text, double *value)
{
    char *end;
    *value = strtod_l(text, &end, r->c_locale);
    if (end == text || !isfinite(*value) || fabs(*value) > 1e6)
        return false;
    if (*end == '(')
        end += strspn(end + 1, "0123456789") + (strchr(end, ')') ? 2 : 1);
    return *end == '\0';
}

/* ---- symmetry -------------------------------------------------------------------------------- */

/* "-x+1/2": one row of an operation. *p moves behind it. */
static bool read_row(const char **p, double rotation[3], double *shift)
{
    bool something = false;
    rotation[0] = rotation[1] = rotation[2] = *shift = 0;
    for (;;) {
        while (isspace((unsigned char)**p))
            ++*p;
        double sign = 1;
        if (**p == '+' || **p == '-')
            sign = *(*p)++ == '-' ? -1 : 1;
        while (isspace((unsigned char)**p))
            ++*p;
        const int axis = tolower((unsigned char)**p) - 'x';
        if (axis >= 0 && axis < 3) {
            rotation[axis] += sign;
            ++*p;
        } else if (isdigit((unsigned char)**p)) {
            double value = 0, divisor = 1;
            for (; isdigit((unsigned char)**p) && value < 1e6; ++*p)
                value = 10 * value + (**p - '0');
            if (**p == '.')
                for (++*p; isdigit((unsigned char)**p) && divisor < 1e9; ++*p, divisor *= 10)
                    value = 10 * value + (**p - '0');
            value /= divisor;
            if (**p == '/') {
                double below = 0;
                for (++*p; isdigit((unsigned char)**p) && below < 1e6; ++*p)
                    below = 10 * below + (**p - '0');
                if (below == 0)
                    return false;
                value /= below;
            }
            *shift += sign * value;
        } else {
            return something && (**p == ',' || **p == '\0');
        }
        something = true;
    }
}

static enum emd_status add_operation(struct reader *r, const char *text)
{
    struct operation o = {.shift = {0}};
    const char *p = text;
    if (r->operations == OPERATIONS_MAX)
        return fail(r, "too many symmetry operations at", text);
    for (int i = 0; i < 3; i++) {
        if (!read_row(&p, o.rotation[i], &o.shift[i]) || (i < 2 ? *p != ',' : *p != '\0'))
            return fail(r, "not a symmetry operation:", text);
        p += i < 2;
    }
    r->operation[r->operations++] = o;
    return EMD_OK;
}

/* ---- atoms ----------------------------------------------------------------------------------- */

static enum emd_status append(struct emd_structure *s, size_t *capacity,
                              const struct emd_structure_atom *atom, struct emd_error *err)
{
    if (s->count == ATOMS_MAX)
        return emd_fail(err, EMD_E_FORMAT, "more than %d atoms in the cell", ATOMS_MAX);
    if (s->count == *capacity) {
        const size_t more = *capacity ? 2 * *capacity : 64;
        struct emd_structure_atom *grown = realloc(s->atom, more * sizeof *grown);
        if (!grown)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        s->atom = grown;
        *capacity = more;
    }
    s->atom[s->count++] = *atom;
    return EMD_OK;
}

/* "C", "C12", "CL1", "O2-": the element of a type or label. */
static const struct emd_scatterer *element_of(const char *text)
{
    char two[3] = "", one[2] = "";
    if (!isalpha((unsigned char)text[0]))
        return NULL;
    one[0] = two[0] = (char)toupper((unsigned char)text[0]);
    if (isalpha((unsigned char)text[1])) {
        two[1] = (char)tolower((unsigned char)text[1]);
        const struct emd_scatterer *e = emd_scatterer_find(two);
        if (e)
            return e;
    }
    return emd_scatterer_find(one);
}

static enum emd_status add_atom(struct reader *r, const char *element, const char *const place[3],
                                const char *u, double u_factor, const char *occupancy)
{
    struct emd_structure_atom a = {.element = element_of(element), .u = 0.03, .occupancy = 1};
    if (!a.element)
        return fail(r, "not an element:", element);
    if (!read_number(r, place[0], &a.x) || !read_number(r, place[1], &a.y) ||
        !read_number(r, place[2], &a.z))
        return fail(r, "not three coordinates of", element);
    if (u && !read_number(r, u, &a.u))
        return fail(r, "not a number:", u);
    a.u *= u ? u_factor : 1;
    if (occupancy && !read_number(r, occupancy, &a.occupancy))
        return fail(r, "not a number:", occupancy);
    if (a.u < 0 || a.u > 10 || a.occupancy <= 0 || a.occupancy > 1)
        return fail(r, "a displacement or occupancy out of range of", element);
    return append(r->out, &r->capacity, &a, r->err);
}

/* ---- the table ------------------------------------------------------------------------------- */

static size_t split(char *line, char *words[], size_t capacity)
{
    size_t n = 0;
    char *rest = line;
    for (char *word; n < capacity && (word = strtok_r(rest, " \t\r\n", &rest));)
        words[n++] = word;
    return n;
}

static enum emd_status read_table_line(struct reader *r, char *line)
{
    char *words[8];
    line[strcspn(line, "#")] = '\0';
    while (isspace((unsigned char)*line))
        line++;
    if (strncasecmp(line, "symmetry", 8) == 0 && isspace((unsigned char)line[8])) {
        line += 9 + strspn(line + 9, " \t");
        for (size_t n = strlen(line); n > 0 && isspace((unsigned char)line[n - 1]);)
            line[--n] = '\0';
        return add_operation(r, line);
    }
    const size_t n = split(line, words, 8);
    if (n == 0)
        return EMD_OK;
    if (strcasecmp(words[0], "cell") == 0) {
        for (size_t i = 0; i < 6; i++) {
            r->cell[i] = n == 7 && read_number(r, words[i + 1], &r->out->cell[i]);
            if (!r->cell[i])
                return fail(r, "not the six numbers of a", words[0]);
        }
        return EMD_OK;
    }
    if (n < 5 || n > 6)
        return fail(r, "not ELEMENT X Y Z U [OCCUPANCY]:", words[0]);
    return add_atom(r, words[0], (const char *const *)words + 1, words[4], 1,
                    n == 6 ? words[5] : NULL);
}

/* ---- the CIF --------------------------------------------------------------------------------- */

enum cif_column { LABEL, TYPE, X, Y, Z, U, B, OCCUPANCY, OPERATION, COLUMNS };
static const char *const column_names[COLUMNS][2] = {
    [LABEL] = {"_atom_site_label", ""},
    [TYPE] = {"_atom_site_type_symbol", ""},
    [X] = {"_atom_site_fract_x", ""},
    [Y] = {"_atom_site_fract_y", ""},
    [Z] = {"_atom_site_fract_z", ""},
    [U] = {"_atom_site_U_iso_or_equiv", ""},
    [B] = {"_atom_site_B_iso_or_equiv", ""},
    [OCCUPANCY] = {"_atom_site_occupancy", ""},
    [OPERATION] = {"_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"},
};
static const char *const cell_names[6] = {"_cell_length_a",   "_cell_length_b",
                                          "_cell_length_c",   "_cell_angle_alpha",
                                          "_cell_angle_beta", "_cell_angle_gamma"};

/* The tokens of a CIF, one after the other: words, quoted texts and text fields. */
struct cif {
    char *at;
    bool quoted;
    unsigned line;
    bool line_start;
};

static char *next_token(struct cif *c)
{
    for (;;) {
        while (isspace((unsigned char)*c->at)) {
            c->line_start = *c->at == '\n';
            c->line += *c->at++ == '\n';
        }
        if (*c->at != '#')
            break;
        c->at += strcspn(c->at, "\n");
    }
    c->quoted = false;
    if (*c->at == '\0')
        return NULL;
    char *token = c->at;
    if (*token == ';' && c->line_start) { /* up to a line that begins with another one */
        char *end = strstr(++token, "\n;");
        c->quoted = true;
        for (const char *p = token; end && p <= end; p++)
            c->line += *p == '\n';
        c->at = end ? end + 2 : token + strlen(token);
        if (end)
            *end = '\0';
        c->line_start = false;
        return token;
    }
    c->line_start = false;
    if (*token == '\'' || *token == '"') {
        const char quote = *token++;
        char *end = token;
        while (*end && *end != '\n' &&
               !(*end == quote && (end[1] == '\0' || isspace((unsigned char)end[1]))))
            end++;
        c->quoted = true;
        c->at = *end == quote ? end + 1 : end;
        if (*end == quote)
            *end = '\0';
        return token;
    }
    while (*c->at && !isspace((unsigned char)*c->at))
        c->at++;
    if (*c->at) { /* the blank that ends it is looked at before it becomes a NUL */
        c->line_start = *c->at == '\n';
        c->line += *c->at == '\n';
        *c->at++ = '\0';
    }
    return token;
}

static int column_of(const char *name)
{
    for (int i = 0; i < COLUMNS; i++)
        if (strcasecmp(name, column_names[i][0]) == 0 ||
            (column_names[i][1][0] && strcasecmp(name, column_names[i][1]) == 0))
            return i;
    return -1;
}

static bool is_keyword(const struct cif *c, const char *token)
{
    return !c->quoted && (token[0] == '_' || strcasecmp(token, "loop_") == 0 ||
                          strncasecmp(token, "data_", 5) == 0);
}

static const char *value_in(char *const row[], const int place[COLUMNS], enum cif_column column)
{
    const char *value = place[column] < 0 ? NULL : row[place[column]];
    return value && strcmp(value, "?") != 0 && strcmp(value, ".") != 0 ? value : NULL;
}

static enum emd_status take_row(struct reader *r, char *const row[], const int place[COLUMNS])
{
    const char *operation = value_in(row, place, OPERATION);
    const char *xyz[3] = {value_in(row, place, X), value_in(row, place, Y),
                          value_in(row, place, Z)};
    const char *type = value_in(row, place, TYPE), *u = value_in(row, place, U),
               *b = value_in(row, place, B);
    static const double b_to_u = 1 / (8 * 3.14159265358979323846 * 3.14159265358979323846);
    if (operation)
        return add_operation(r, operation);
    if (!type)
        type = value_in(row, place, LABEL);
    if (!type || !xyz[0] || !xyz[1] || !xyz[2]) /* a dummy, or another loop */
        return EMD_OK;
    return add_atom(r, type, xyz, u ? u : b, u ? 1 : b_to_u, value_in(row, place, OCCUPANCY));
}

/* Behind "loop_". Returns the token behind it in *next. */
static enum emd_status read_loop(struct reader *r, struct cif *c, char **next)
{
    int place[COLUMNS];
    char *row[COLUMNS_MAX];
    size_t columns = 0, filled = 0;
    enum emd_status status = EMD_OK;
    char *token;
    memset(place, -1, sizeof place);
    while ((token = next_token(c)) && !c->quoted && token[0] == '_') {
        const int column = column_of(token);
        if (columns == COLUMNS_MAX)
            return fail(r, "too many columns in the loop at", token);
        if (column >= 0)
            place[column] = (int)columns;
        columns++;
    }
    for (; token && !is_keyword(c, token) && status == EMD_OK; token = next_token(c)) {
        if (columns == 0)
            return fail(r, "a loop without names at", token);
        row[filled++] = token;
        r->line = c->line;
        if (filled == columns) {
            status = take_row(r, row, place);
            filled = 0;
        }
    }
    if (status == EMD_OK && filled > 0)
        return fail(r, "the loop ends within a row before", token ? token : "the end");
    *next = token;
    return status;
}

static enum emd_status read_cif(struct reader *r, char *text)
{
    struct cif c = {.at = text, .line = 1, .line_start = true};
    enum emd_status status = EMD_OK;
    unsigned blocks = 0;
    char *token = next_token(&c);
    while (token && status == EMD_OK) {
        r->line = c.line;
        if (!c.quoted && strncasecmp(token, "data_", 5) == 0 && ++blocks > 1)
            break;
        if (!c.quoted && strcasecmp(token, "loop_") == 0) {
            status = read_loop(r, &c, &token);
            continue;
        }
        for (int i = 0; i < 6 && !c.quoted; i++)
            if (strcasecmp(token, cell_names[i]) == 0) {
                token = next_token(&c);
                r->cell[i] = token && read_number(r, token, &r->out->cell[i]);
                if (!r->cell[i])
                    return fail(r, "not a number:", token ? token : cell_names[i]);
                break;
            }
        token = next_token(&c);
    }
    return status;
}

/* ---- the cell -------------------------------------------------------------------------------- */

static double apart(double a, double b)
{
    const double d = a - b;
    return fabs(d - floor(d + 0.5));
}

/* All atoms by all operations; those that fall together are one. */
static enum emd_status fill_cell(struct reader *r)
{
    static const double together = 1e-3; /* of an axis */
    struct emd_structure all = {0};
    size_t capacity = 0;
    enum emd_status status = EMD_OK;
    memcpy(all.cell, r->out->cell, sizeof all.cell);
    for (size_t i = 0; i < r->out->count && status == EMD_OK; i++) {
        const struct emd_structure_atom *from = &r->out->atom[i];
        const double v[3] = {from->x, from->y, from->z};
        const size_t first = all.count;
        for (size_t k = 0; k < r->operations && status == EMD_OK; k++) {
            const struct operation *o = &r->operation[k];
            double w[3];
            bool known = false;
            for (int j = 0; j < 3; j++)
                w[j] = o->rotation[j][0] * v[0] + o->rotation[j][1] * v[1] +
                       o->rotation[j][2] * v[2] + o->shift[j];
            for (size_t m = first; m < all.count && !known; m++)
                known = apart(w[0], all.atom[m].x) < together &&
                        apart(w[1], all.atom[m].y) < together &&
                        apart(w[2], all.atom[m].z) < together;
            struct emd_structure_atom atom = *from;
            atom.x = w[0] - floor(w[0]);
            atom.y = w[1] - floor(w[1]);
            atom.z = w[2] - floor(w[2]);
            if (!known)
                status = append(&all, &capacity, &atom, r->err);
        }
    }
    free(r->out->atom);
    *r->out = all;
    return status;
}

static double form_factor(const struct emd_scatterer *e, double s_squared)
{
    double f = 0;
    for (int i = 0; i < 5; i++)
        f += e->a[i] * emd_exact_exp(-e->b[i] * s_squared);
    return f;
}

static bool is_identity(const struct operation *o)
{
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            if (o->shift[i] != 0 || o->rotation[i][k] != (i == k))
                return false;
    return true;
}

static enum emd_status finish(struct reader *r)
{
    static const struct operation identity = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, {0, 0, 0}};
    bool has_identity = false;
    for (int i = 0; i < 6; i++)
        if (!r->cell[i] || r->out->cell[i] <= 0 || (i > 2 && r->out->cell[i] >= 180))
            return emd_fail(r->err, EMD_E_FORMAT, "no unit cell, or an impossible one");
    if (r->out->count == 0)
        return emd_fail(r->err, EMD_E_FORMAT, "no atoms");
    for (size_t i = 0; i < r->operations; i++)
        has_identity |= is_identity(&r->operation[i]);
    if (!has_identity) {
        if (r->operations == OPERATIONS_MAX)
            return emd_fail(r->err, EMD_E_FORMAT, "too many symmetry operations");
        r->operation[r->operations++] = identity;
    }
    enum emd_status status = fill_cell(r);
    for (size_t i = 0; i < r->out->count; i++) {
        const struct emd_structure_atom *a = &r->out->atom[i];
        const double f = a->occupancy * form_factor(a->element, 0.0625);
        r->out->norm += f * f;
    }
    return status;
}

enum emd_status emd_structure_parse(const char *text, size_t length, struct emd_structure *out,
                                    struct emd_error *err)
{
    *out = (struct emd_structure){0};
    if (strlen(text) != length)
        return emd_fail(err, EMD_E_FORMAT, "no text: it contains a NUL");
    struct reader *r = calloc(1, sizeof *r);
    char *copy = strdup(text);
    enum emd_status status = EMD_OK;
    if (r)
        *r = (struct reader){
            .out = out, .err = err, .c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0)};
    if (!r || !copy || !r->c_locale) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    } else if (strncasecmp(copy, "data_", 5) == 0 || strstr(copy, "\ndata_")) {
        status = read_cif(r, copy);
    } else {
        char *rest = copy;
        for (char *line; status == EMD_OK && (line = strsep(&rest, "\n"));) {
            r->line++;
            status = read_table_line(r, line);
        }
    }
    if (status == EMD_OK)
        status = finish(r);
    if (r && r->c_locale)
        freelocale(r->c_locale);
    free(copy);
    free(r);
    return status;
}

void emd_structure_free(struct emd_structure *structure)
{
    free(structure->atom);
    *structure = (struct emd_structure){0};
}

double emd_structure_intensity(const struct emd_structure *structure, int h, int k, int l,
                               double square)
{
    static const double eight_pi_squared = 8 * 3.14159265358979323846 * 3.14159265358979323846;
    const struct emd_scatterer *last = NULL;
    double re = 0, im = 0, f = 0;
    for (size_t i = 0; i < structure->count; i++) {
        const struct emd_structure_atom *a = &structure->atom[i];
        double s, c;
        if (a->element != last)
            f = form_factor(a->element, square / 4);
        last = a->element;
        const double g = a->occupancy * f * emd_exact_exp(-eight_pi_squared * a->u * square / 4);
        emd_exact_sincos_turns(h * a->x + k * a->y + l * a->z, &s, &c);
        re += g * c;
        im += g * s;
    }
    return (re * re + im * im) / structure->norm;
}
