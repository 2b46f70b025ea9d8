/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See lattice.h.
 *
 * A cluster has a reference cell. Another cell belongs to it if three of its short lattice vectors,
 * which span the whole lattice, have the lengths and angles of the reference's reduced basis; the
 * closest such basis then gives the cell in the reference's setting. Clusters are found by leaders:
 * the first cell that belongs to none is the reference of a new one; afterwards each cluster takes
 * as its reference the member whose printed cell is nearest to the median of the printed cells, and
 * everything is compared once more. That costs count x clusters comparisons, where all pairs would
 * cost the square of it. */
#include "dials/lattice.h"

#include <math.h>
#include <spglib.h>
#include <stdlib.h>
#include <string.h>

#include "base/median.h"

/* Each cell may be compared with each cluster: a folder of nonsense must not cost its square. */
enum { MOST_CLUSTERS = 500 };

static const double rad = 3.14159265358979323846 / 180;

struct lattice {
    bool ok;
    double reduced[3][3]; /* rows are vectors */
    double setting[3][3]; /* rows: the printed axes in terms of the reduced ones */
};

/* --- vectors ----------------------------------------------------------------------------------*/

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static double determinant(const double m[3][3])
{
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
           m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

/* out = a b; out is neither. */
static void multiply(const double a[3][3], const double b[3][3], double out[3][3])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
}

static void invert(const double m[3][3], double out[3][3])
{
    const double d = determinant(m);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const int a = (j + 1) % 3, b = (j + 2) % 3, c = (i + 1) % 3, e = (i + 2) % 3;
            out[i][j] = (m[a][c] * m[b][e] - m[a][e] * m[b][c]) / d;
        }
}

static void axes_of_cell(const double cell[6], double axes[3][3])
{
    const double ca = cos(cell[3] * rad), cb = cos(cell[4] * rad), cg = cos(cell[5] * rad);
    const double sg = sin(cell[5] * rad), y = (ca - cb * cg) / sg;
    memset(axes, 0, 9 * sizeof(double));
    axes[0][0] = cell[0];
    axes[1][0] = cell[1] * cg;
    axes[1][1] = cell[1] * sg;
    axes[2][0] = cell[2] * cb;
    axes[2][1] = cell[2] * y;
    axes[2][2] = cell[2] * sqrt(fmax(0, 1 - cb * cb - y * y));
}

static double angle(const double a[3], const double b[3])
{
    return acos(fmax(-1, fmin(1, dot(a, b) / sqrt(dot(a, a) * dot(b, b))))) / rad;
}

static void cell_of_axes(const double axes[3][3], double cell[6])
{
    for (int i = 0; i < 3; i++) {
        cell[i] = sqrt(dot(axes[i], axes[i]));
        cell[3 + i] = angle(axes[(i + 1) % 3], axes[(i + 2) % 3]);
    }
}

/* --- reduction --------------------------------------------------------------------------------*/

/* Rows: primitive vectors in terms of the centred axes (International Tables A, 5.1; R: hexagonal
 * axes, obverse). */
static void primitive_of(char centring, const double cell[6], double m[3][3])
{
    static const double p[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                        a[3][3] = {{1, 0, 0}, {0, .5, -.5}, {0, .5, .5}},
                        b[3][3] = {{.5, 0, -.5}, {0, 1, 0}, {.5, 0, .5}},
                        c[3][3] = {{.5, -.5, 0}, {.5, .5, 0}, {0, 0, 1}},
                        f[3][3] = {{0, .5, .5}, {.5, 0, .5}, {.5, .5, 0}},
                        i[3][3] = {{-.5, .5, .5}, {.5, -.5, .5}, {.5, .5, -.5}},
                        r[3][3] = {{2. / 3, 1. / 3, 1. / 3},
                                   {-1. / 3, 1. / 3, 1. / 3},
                                   {-1. / 3, -2. / 3, 1. / 3}};
    const bool hexagonal =
        fabs(cell[3] - 90) < 1 && fabs(cell[4] - 90) < 1 && fabs(cell[5] - 120) < 1;
    const double(*from)[3] = centring == 'A'                ? a
                             : centring == 'B'              ? b
                             : centring == 'C'              ? c
                             : centring == 'F'              ? f
                             : centring == 'I'              ? i
                             : centring == 'R' && hexagonal ? r
                                                            : p;
    memcpy(m, from, sizeof p);
}

static struct lattice reduce(const struct emd_cell *cell)
{
    struct lattice l = {.ok = false};
    double axes[3][3], primitive[3][3], vectors[3][3], columns[3][3], inverse[3][3];
    for (int i = 0; i < 6; i++)
        if (!(cell->value[i] > (i < 3 ? 0.1 : 5) && cell->value[i] < (i < 3 ? 1e5 : 175)))
            return l;
    axes_of_cell(cell->value, axes);
    /* Flat cells, and needles, are no crystals; spglib would loop over them for long. */
    const double volume = determinant(axes),
                 longest = fmax(fmax(cell->value[0], cell->value[1]), cell->value[2]);
    if (!(volume > 1e-3 * cell->value[0] * cell->value[1] * cell->value[2]) ||
        longest > 1000 * cbrt(volume))
        return l;
    primitive_of(cell->centring, cell->value, primitive);
    multiply(primitive, axes, vectors);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            columns[j][i] = vectors[i][j];
    /* The tolerance is for rounding alone: what is nearly equal by measurement is what matching
     * takes care of. */
    if (spg_niggli_reduce(columns, 1e-5) == 0 && spg_delaunay_reduce(columns, 1e-5) == 0)
        return l;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            l.reduced[i][j] = columns[j][i];
    if (!(fabs(determinant(l.reduced)) > 0))
        return l;
    invert(l.reduced, inverse);
    multiply(axes, inverse, l.setting);
    l.ok = true;
    return l;
}

bool emd_lattice_reduce(const struct emd_cell *cell, double reduced[6])
{
    const struct lattice l = reduce(cell);
    if (l.ok)
        cell_of_axes(l.reduced, reduced);
    return l.ok;
}

/* --- matching ---------------------------------------------------------------------------------*/

/* The 13 directions to the neighbours of a lattice point: of a reduced basis, all vectors that a
 * reduced basis of nearly the same lattice can have. */
enum { NEIGHBOURS = 13 };

static void neighbours(const double basis[3][3], double out[NEIGHBOURS][3])
{
    int n = 0;
    for (int h = 0; h <= 1; h++)
        for (int k = -1; k <= 1; k++)
            for (int l = -1; l <= 1; l++) {
                if (h == 0 && (k < 0 || (k == 0 && l <= 0)))
                    continue;
                for (int i = 0; i < 3; i++)
                    out[n][i] = h * basis[0][i] + k * basis[1][i] + l * basis[2][i];
                n++;
            }
}

/* Finds the basis of 'l' that is nearest to the reduced basis of 'ref', within the tolerances, and
 * gives its cell, and the whole cell in ref's setting. */
static bool match(const struct lattice *ref, const struct lattice *l, struct emd_lattice_place *p)
{
    double want[6], vectors[NEIGHBOURS][3], length[NEIGHBOURS], best = INFINITY;
    int fit[3][NEIGHBOURS], fits[3] = {0, 0, 0};
    const double volume = fabs(determinant(l->reduced));
    cell_of_axes(ref->reduced, want);
    neighbours(l->reduced, vectors);
    for (int v = 0; v < NEIGHBOURS; v++) {
        length[v] = sqrt(dot(vectors[v], vectors[v]));
        for (int i = 0; i < 3; i++)
            if (fabs(length[v] - want[i]) <= EMD_LATTICE_LENGTH * want[i])
                fit[i][fits[i]++] = v;
    }
    for (int a = 0; a < fits[0]; a++)
        for (int b = 0; b < fits[1]; b++)
            for (int c = 0; c < fits[2]; c++)
                for (int sign = 0; sign < 4; sign++) {
                    const int index[3] = {fit[0][a], fit[1][b], fit[2][c]};
                    double basis[3][3], cell[6], distance = 0;
                    bool near = true;
                    for (int i = 0; i < 3; i++) {
                        const double s = i > 0 && (sign >> (i - 1) & 1) ? -1 : 1;
                        for (int k = 0; k < 3; k++)
                            basis[i][k] = s * vectors[index[i]][k];
                    }
                    const double spanned = fabs(determinant(basis));
                    if (!(fabs(spanned - volume) < 0.01 * volume)) /* else they span a part of it */
                        continue;
                    cell_of_axes(basis, cell);
                    for (int i = 0; i < 6 && near; i++) {
                        const double off =
                            i < 3 ? (cell[i] - want[i]) / (EMD_LATTICE_LENGTH * want[i])
                                  : (cell[i] - want[i]) / EMD_LATTICE_ANGLE;
                        near = fabs(off) <= 1;
                        distance += off * off;
                    }
                    if (!near || distance >= best)
                        continue;
                    double axes[3][3];
                    best = distance;
                    multiply(ref->setting, basis, axes);
                    cell_of_axes(axes, p->aligned);
                    memcpy(p->reduced, cell, sizeof cell);
                }
    return isfinite(best);
}

/* --- groups -----------------------------------------------------------------------------------*/

struct groups {
    const struct emd_cell *const *cells;
    size_t count, clusters;
    struct emd_lattice_place *place;
    struct lattice *lattice;
    size_t *reference; /* of each cluster: a cell */
    double *scratch;
};

/* Every cell to the first cluster whose reference it matches; 'open': a new one if there is none.
 */
static void assign(struct groups *g)
{
    for (size_t i = 0; i < g->count; i++) {
        struct emd_lattice_place *p = &g->place[i];
        size_t c = 0;
        if (!g->lattice[i].ok)
            continue;
        while (c < g->clusters && !match(&g->lattice[g->reference[c]], &g->lattice[i], p))
            c++;
        if (c == g->clusters && c < MOST_CLUSTERS) {
            g->reference[g->clusters++] = i;
            match(&g->lattice[i], &g->lattice[i], p);
        }
        p->cluster = c < g->clusters ? c + 1 : 0;
    }
}

/* The member whose printed cell is nearest to the median of the printed cells. */
static size_t typical_member(struct groups *g, size_t cluster)
{
    double middle[6];
    size_t best = g->reference[cluster - 1];
    double least = INFINITY;
    for (int k = 0; k < 6; k++) {
        size_t n = 0;
        for (size_t i = 0; i < g->count; i++)
            if (g->place[i].cluster == cluster)
                g->scratch[n++] = g->cells[i]->value[k];
        middle[k] = emd_median(g->scratch, n);
    }
    for (size_t i = 0; i < g->count; i++) {
        double distance = 0;
        if (g->place[i].cluster != cluster)
            continue;
        for (int k = 0; k < 6; k++) {
            const double off = g->cells[i]->value[k] - middle[k];
            const double unit = k < 3 ? EMD_LATTICE_LENGTH * middle[k] : EMD_LATTICE_ANGLE;
            distance += off * off / (unit * unit);
        }
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

static size_t members(const struct groups *g, size_t cluster)
{
    size_t n = 0;
    for (size_t i = 0; i < g->count; i++)
        n += g->place[i].cluster == cluster;
    return n;
}

/* Numbers the clusters by size, the largest first; equal ones stay in the order of their cells. */
static void number_clusters(struct groups *g, size_t *size, size_t *order)
{
    for (size_t c = 0; c < g->clusters; c++)
        size[c] = members(g, c + 1);
    for (size_t c = 0; c < g->clusters; c++) {
        size_t before = 0;
        for (size_t o = 0; o < g->clusters; o++)
            before += o < c ? size[o] >= size[c] : size[o] > size[c];
        order[c] = before;
    }
    for (size_t i = 0; i < g->count; i++) {
        struct emd_lattice_place *p = &g->place[i];
        if (p->cluster == 0)
            continue;
        p->members = size[p->cluster - 1];
        p->cluster = order[p->cluster - 1] + 1;
    }
}

/* Median and 1.48 x median absolute deviation of one value of the aligned cells. */
static void spread_of(struct groups *g, size_t cluster, int k, double *middle, double *spread)
{
    size_t n = 0;
    for (size_t i = 0; i < g->count; i++)
        if (g->place[i].cluster == cluster)
            g->scratch[n++] = g->place[i].aligned[k];
    *middle = emd_median(g->scratch, n);
    for (size_t i = 0; i < n; i++)
        g->scratch[i] = fabs(g->scratch[i] - *middle);
    *spread = 1.4826 * emd_median(g->scratch, n);
}

/* The distances within a cluster. What is closer than 0.05 % of an axis or 0.02 degrees is equal to
 * what DIALS can tell, however small the spread; and n/(n - 0.8) corrects the spread of a few
 * (Croux and Rousseeuw, 1992). */
static void measure(struct groups *g, size_t cluster, size_t size)
{
    double middle[6], unit[6];
    for (int k = 0; k < 6; k++) {
        spread_of(g, cluster, k, &middle[k], &unit[k]);
        unit[k] *= (double)size / ((double)size - 0.8);
        unit[k] = fmax(unit[k], k < 3 ? 5e-4 * middle[k] : 0.02);
    }
    for (size_t i = 0; i < g->count; i++) {
        struct emd_lattice_place *p = &g->place[i];
        double sum = 0;
        if (p->cluster != cluster)
            continue;
        for (int k = 0; k < 6; k++) {
            const double off = (p->aligned[k] - middle[k]) / unit[k];
            sum += off * off;
        }
        p->distance = sqrt(sum);
        p->outlier = p->distance > EMD_LATTICE_FAR;
    }
}

enum emd_status emd_lattice_group(const struct emd_cell *const cells[], size_t count,
                                  struct emd_lattice_place out[],
                                  struct emd_lattice_summary *summary, struct emd_error *err)
{
    struct groups g = {.cells = cells, .count = count, .place = out};
    enum emd_status status = EMD_OK;
    size_t *numbers = calloc(3 * count + 1, sizeof *numbers);
    *summary = (struct emd_lattice_summary){0};
    g.lattice = calloc(count + 1, sizeof *g.lattice);
    g.scratch = calloc(count + 1, sizeof *g.scratch);
    if (!numbers || !g.lattice || !g.scratch) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    g.reference = numbers;
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct emd_lattice_place){.distance = NAN};
        for (int k = 0; k < 6; k++)
            out[i].reduced[k] = out[i].aligned[k] = NAN;
        if (cells[i])
            g.lattice[i] = reduce(cells[i]);
        if (g.lattice[i].ok)
            cell_of_axes(g.lattice[i].reduced, out[i].reduced);
    }
    assign(&g);
    for (size_t c = 0; c < g.clusters; c++)
        g.reference[c] = typical_member(&g, c + 1);
    assign(&g);
    number_clusters(&g, numbers + count, numbers + 2 * count);
    for (size_t c = 1; c <= g.clusters; c++) {
        const size_t size = members(&g, c);
        summary->clusters += size > 0;
        if (size >= EMD_LATTICE_FEW)
            measure(&g, c, size);
    }
    summary->cells = members(&g, 1);
    for (int k = 0; k < 6; k++)
        spread_of(&g, 1, k, &summary->median[k], &summary->spread[k]);
out:
    free(g.scratch);
    free(g.lattice);
    free(numbers);
    return status;
}
