/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* One lattice is one cluster whatever its setting; other lattices and odd cells are told. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dials/lattice.h"

enum { COUNT = 60 };

static const double rad = 3.14159265358979323846 / 180;
static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

static struct emd_cell cell_of(const double value[6], char centring)
{
    struct emd_cell cell = {.centring = centring};
    memcpy(cell.value, value, sizeof cell.value);
    return cell;
}

static void axes_of(const double c[6], double m[3][3])
{
    const double ca = cos(c[3] * rad), cb = cos(c[4] * rad), cg = cos(c[5] * rad),
                 sg = sin(c[5] * rad);
    const double y = (ca - cb * cg) / sg;
    const double axes[3][3] = {{c[0], 0, 0},
                               {c[1] * cg, c[1] * sg, 0},
                               {c[2] * cb, c[2] * y, c[2] * sqrt(1 - cb * cb - y * y)}};
    memcpy(m, axes, sizeof axes);
}

static void cell_from(double m[3][3], double c[6])
{
    double dot[3][3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            dot[i][j] = m[i][0] * m[j][0] + m[i][1] * m[j][1] + m[i][2] * m[j][2];
    for (int i = 0; i < 3; i++) {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        c[i] = sqrt(dot[i][i]);
        c[3 + i] = acos(dot[j][k] / sqrt(dot[j][j] * dot[k][k])) / rad;
    }
}

/* Another cell of the same primitive lattice: axes permuted, turned round, and sheared. */
static void other_setting(const double from[6], double to[6], int shears)
{
    double m[3][3];
    axes_of(from, m);
    for (int n = 0; n < 3; n++) {
        const int i = (int)(uniform() * 3), j = (int)(uniform() * 3);
        for (int k = 0; k < 3; k++) {
            const double t = m[i][k];
            m[i][k] = m[j][k];
            m[j][k] = t;
        }
    }
    for (int i = 0; i < 3; i++)
        if (uniform() < 0.5)
            for (int k = 0; k < 3; k++)
                m[i][k] = -m[i][k];
    for (int n = 0; n < shears; n++) {
        const int i = (int)(uniform() * 3), j = (i + 1 + (int)(uniform() * 2)) % 3;
        for (int k = 0; k < 3; k++)
            m[i][k] += m[j][k];
    }
    cell_from(m, to);
}

static const double lattices[][6] = {{5.34, 6.46, 10.86, 90, 91.3, 90},
                                     {7, 7.02, 7.01, 90.02, 89.97, 90.01},
                                     {9.1, 10.2, 11.3, 80, 75, 70},
                                     {9.1, 10.2, 11.3, 91, 92, 90.1},
                                     {6, 6, 12, 90, 90, 120},
                                     {8, 8, 8, 60, 60, 60},
                                     {12.4, 12.5, 30.1, 89.9, 90.1, 60.1},
                                     {4.9, 4.91, 5.4, 89.99, 90.03, 119.9}};

START_TEST(any_setting)
{
    struct emd_cell cells[COUNT];
    const struct emd_cell *pointers[COUNT];
    struct emd_lattice_place place[COUNT];
    struct emd_lattice_summary summary;
    struct emd_error err;
    for (size_t l = 0; l < sizeof lattices / sizeof *lattices; l++) {
        for (int shears = 0; shears < 3; shears++) {
            for (int i = 0; i < COUNT; i++) {
                double noisy[6], cell[6];
                for (int k = 0; k < 6; k++)
                    noisy[k] =
                        lattices[l][k] + (uniform() - 0.5) * (k < 3 ? 0.002 * lattices[l][k] : 0.1);
                other_setting(noisy, cell, shears);
                cells[i] = cell_of(cell, 'P');
                pointers[i] = &cells[i];
            }
            ck_assert_int_eq(emd_lattice_group(pointers, COUNT, place, &summary, &err), EMD_OK);
            ck_assert_msg(summary.clusters == 1, "lattice %zu, %d shears: %zu clusters", l, shears,
                          summary.clusters);
            ck_assert_uint_eq(summary.cells, COUNT);
            for (int i = 1; i < COUNT; i++)
                for (int k = 0; k < 6; k++)
                    ck_assert(fabs(place[i].reduced[k] - place[0].reduced[k]) <
                              (k < 3 ? 0.01 * place[0].reduced[k] : 0.5));
            for (int i = 0; i < COUNT; i++)
                for (int k = 0; k < 6; k++)
                    ck_assert_msg(fabs(place[i].aligned[k] - summary.median[k]) <
                                      (k < 3 ? 0.01 * summary.median[k] : 0.5),
                                  "lattice %zu, %d shears, cell %d: value %d is %g, not %g", l,
                                  shears, i, k, place[i].aligned[k], summary.median[k]);
        }
    }
}
END_TEST

/* Centred cells, and the primitive ones that DIALS has before it knows the symmetry. */
START_TEST(centred)
{
    static const struct {
        char centring;
        double cell[6];
    } cases[] = {{'C', {20.1, 6.3, 11.2, 90, 104, 90}}, {'A', {20.1, 6.3, 11.2, 90, 104, 90}},
                 {'B', {7.1, 9.3, 11.2, 90, 90, 97}},   {'I', {8.2, 8.2, 13.3, 90, 90, 90}},
                 {'F', {10.1, 12.2, 14.3, 90, 90, 90}}, {'R', {9.3, 9.3, 21.4, 90, 90, 120}},
                 {'R', {9.3, 9.3, 9.3, 71, 71, 71}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct emd_cell cells[9];
        const struct emd_cell *pointers[9];
        struct emd_lattice_place place[9];
        struct emd_lattice_summary summary;
        struct emd_error err;
        double reduced[6];
        for (int i = 0; i < 9; i++) {
            pointers[i] = &cells[i];
            cells[i] = cell_of(cases[c].cell, cases[c].centring);
            if (i % 3 == 2) { /* three of nine are primitive, in any setting */
                double other[6];
                ck_assert(emd_lattice_reduce(&cells[i], reduced));
                other_setting(reduced, other, 1);
                cells[i] = cell_of(other, 'P');
            }
        }
        ck_assert_int_eq(emd_lattice_group(pointers, 9, place, &summary, &err), EMD_OK);
        ck_assert_msg(summary.clusters == 1, "%c: %zu clusters", cases[c].centring,
                      summary.clusters);
        for (int i = 0; i < 9; i++) {
            ck_assert(!place[i].outlier);
            for (int k = 0; k < 6; k++)
                ck_assert_msg(fabs(place[i].aligned[k] - cases[c].cell[k]) < 1e-3,
                              "%c: value %d of cell %d is %g, not %g", cases[c].centring, k, i,
                              place[i].aligned[k], cases[c].cell[k]);
        }
    }
}
END_TEST

START_TEST(odd_ones)
{
    struct emd_cell cells[COUNT];
    const struct emd_cell *pointers[COUNT];
    struct emd_lattice_place place[COUNT];
    struct emd_lattice_summary summary;
    struct emd_error err;
    for (int i = 0; i < COUNT; i++) {
        double c[6];
        for (int k = 0; k < 6; k++)
            c[k] = lattices[0][k] +
                   (k < 3 ? 0.004 * lattices[0][k] : 0.1) * (uniform() + uniform() - 1);
        cells[i] = cell_of(c, 'P');
        pointers[i] = &cells[i];
    }
    cells[5].value[2] *= 1.04; /* the same lattice, but far off */
    cells[6].value[0] *= 2;    /* a doubled axis: another lattice */
    cells[7] = cell_of(lattices[2], 'P');
    cells[8] = cell_of(lattices[2], 'P');
    cells[9].value[3] = 1; /* closes no cell */
    pointers[10] = NULL;
    ck_assert_int_eq(emd_lattice_group(pointers, COUNT, place, &summary, &err), EMD_OK);
    ck_assert_uint_eq(summary.clusters, 3);
    ck_assert_uint_eq(summary.cells, COUNT - 5);
    ck_assert(place[5].cluster == 1 && place[5].outlier);
    ck_assert_uint_eq(place[7].cluster, 2);
    ck_assert_uint_eq(place[8].cluster, 2);
    ck_assert(isnan(place[7].distance) && !place[7].outlier);
    ck_assert_uint_eq(place[6].cluster, 3);
    ck_assert(place[9].cluster == 0 && isnan(place[9].reduced[0]));
    ck_assert_uint_eq(place[10].cluster, 0);
    int outliers = 0;
    for (int i = 11; i < COUNT; i++)
        outliers += place[i].outlier;
    ck_assert_int_eq(outliers, 0);
}
END_TEST

START_TEST(few)
{
    struct emd_cell cells[4];
    const struct emd_cell *pointers[4];
    struct emd_lattice_place place[4];
    struct emd_lattice_summary summary;
    struct emd_error err;
    for (int i = 0; i < 4; i++) {
        cells[i] = cell_of(lattices[0], 'P');
        pointers[i] = &cells[i];
    }
    cells[3].value[0] *= 1.03;
    ck_assert_int_eq(emd_lattice_group(pointers, 4, place, &summary, &err), EMD_OK);
    ck_assert_uint_eq(summary.clusters, 1);
    for (int i = 0; i < 4; i++)
        ck_assert(isnan(place[i].distance) && !place[i].outlier);
    ck_assert_int_eq(emd_lattice_group(pointers, 0, place, &summary, &err), EMD_OK);
    ck_assert_uint_eq(summary.clusters, 0);
}
END_TEST

/* Needles, plates, and numbers that are none: refused, and quickly. */
START_TEST(nonsense)
{
    static const double cells[][6] = {{1e9, 1, 1, 90, 90, 90},       {NAN, 5, 5, 90, 90, 90},
                                      {5, 5, 5, 60, 60, 120},        {5, 5, 5, 170, 170, 170},
                                      {5, 5, 5, 0, 90, 90},          {5, 5, 5, 90, 90, 180},
                                      {99999, 0.2, 0.2, 90, 90, 90}, {5, 5, 5, 120, 120, 121},
                                      {INFINITY, 5, 5, 90, 90, 90},  {-5, 5, 5, 90, 90, 90}};
    double reduced[6];
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        struct emd_cell cell = cell_of(cells[i], 'P');
        ck_assert_msg(!emd_lattice_reduce(&cell, reduced), "cell %zu", i);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lattice");
    TCase *tests = tcase_create("lattice");
    tcase_add_test(tests, any_setting);
    tcase_add_test(tests, centred);
    tcase_add_test(tests, odd_ones);
    tcase_add_test(tests, few);
    tcase_add_test(tests, nonsense);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
