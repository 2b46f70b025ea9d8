/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Merging tables, logs, experiment lists and trials of DIALS. Tables here are pieces of what the
 * versions print; whole files are read by the command-line tests. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dials/dialslog.h"
#include "dials/exptsummary.h"
#include "dials/jsonscan.h"
#include "dials/mergetable.h"
#include "dials/resolution.h"
#include "dials/trial.h"

/* r_anom missing from one row, as 3.8 to 3.12 print it. */
static const char table_312[] =
    " d_max  d_min   #obs  #uniq   mult.  %comp       <I>  <I/sI>    r_mrg   r_meas    r_pim   "
    "r_anom   cc1/2   cc_ano\n"
    "  5.40   1.50     62     21    2.95 100.00     239.1    84.1    0.024    0.029    0.017    "
    "0.023   0.999*   0.112\n"
    "  1.50   1.19     11      4    2.75 100.00       9.1     3.6    0.614    0.769    0.454     "
    "0.334   0.000\n"
    "  5.40   1.19   1406    298    4.72 100.00      50.4    18.7    0.111    0.128    0.061    "
    "0.092   0.988*  -0.130\n"
    "\n\n\n            -------------Summary of merging statistics--------------           \n";

static const char table_before_anom[] =
    " d_max  d_min   #obs  #uniq   mult.  %comp       <I>  <I/sI>    r_mrg   r_meas    r_pim   "
    "cc1/2   cc_ano\n"
    " 72.29   4.85  35119   2123   16.54  90.96      99.1    35.1    0.125    0.129    0.027   "
    "0.998*   0.013\n"
    "  4.85   3.85  35008   2204   15.88  94.03      83.1    30.5    0.147    0.151    0.033   "
    "0.996*   0.027\n"
    " 72.29   3.85  35008   2204   15.88  94.03      83.1    30.5    0.147    0.151    0.033   "
    "0.997*   0.027\n";

static const char table_split[] =
    "  d_max  d_min  #obs  #uniq  mult.   %comp    <I>  <I/sI>  r_mrg  r_meas  r_pim  r_anom  "
    "r_splt  cc1/2   cc_ano\n"
    "   5.40   1.50    62     21   2.95  100.00  239.1    84.1  0.024   0.029  0.017    None   "
    "0.010  0.999*   0.112\n"
    "   1.50   1.19    58     17   3.41  100.00  187.8    55.7  0.042   0.050  0.026   0.047   "
    "0.020  0.250   0.284\n"
    "   5.40   1.19  1406    298   4.72  100.00   50.4    18.7  0.111   0.128  0.061   0.092   "
    "0.100  0.988*  -0.130\n";

static struct emd_merge_table parse(const char *text)
{
    struct emd_merge_table table;
    struct emd_error err;
    ck_assert_msg(emd_merge_table_parse(text, strlen(text), &table, &err) == EMD_OK, "%s",
                  err.text);
    return table;
}

START_TEST(columns_are_found_by_name)
{
    struct emd_merge_table t = parse(table_312);
    ck_assert_uint_eq(t.count, 2);
    ck_assert(t.has_overall);
    ck_assert_double_eq(t.shells[0].value[EMD_SHELL_CC_HALF], 0.999);
    ck_assert_double_eq(t.shells[0].value[EMD_SHELL_R_ANOM], 0.023);
    ck_assert(t.shells[0].significant && !t.shells[1].significant);
    ck_assert_double_eq(t.shells[1].value[EMD_SHELL_CC_HALF], 0.334);
    ck_assert_double_eq(t.shells[1].value[EMD_SHELL_CC_ANOM], 0);
    ck_assert(isnan(t.shells[1].value[EMD_SHELL_R_ANOM]));
    ck_assert(isnan(t.shells[1].value[EMD_SHELL_R_SPLIT]));
    ck_assert_double_eq(t.overall.value[EMD_SHELL_CC_ANOM], -0.130);
    ck_assert_double_eq(t.overall.value[EMD_SHELL_OBSERVATIONS], 1406);
    emd_merge_table_free(&t);

    t = parse(table_before_anom);
    ck_assert_uint_eq(t.count, 2);
    ck_assert_double_eq(t.shells[1].value[EMD_SHELL_CC_HALF], 0.996);
    ck_assert(isnan(t.shells[1].value[EMD_SHELL_R_ANOM]));
    ck_assert_double_eq(t.overall.value[EMD_SHELL_CC_HALF], 0.997);
    emd_merge_table_free(&t);

    t = parse(table_split);
    ck_assert_uint_eq(t.count, 2);
    ck_assert_double_eq(t.shells[0].value[EMD_SHELL_CC_HALF], 0.999);
    ck_assert_double_eq(t.shells[0].value[EMD_SHELL_R_SPLIT], 0.010);
    ck_assert(isnan(t.shells[0].value[EMD_SHELL_R_ANOM]));
    ck_assert_double_eq(t.shells[1].value[EMD_SHELL_R_ANOM], 0.047);
    emd_merge_table_free(&t);
}
END_TEST

START_TEST(the_last_of_several_tables_counts)
{
    char *text;
    ck_assert_int_gt(asprintf(&text,
                              "%s\n d_max and d_min were changed\n%s\n"
                              "Resolution limit suggested from CC\xc2\xbd fit (limit "
                              "CC\xc2\xbd=0.3): 1.23\n",
                              table_before_anom, table_split),
                     0);
    struct emd_merge_table t = parse(text);
    ck_assert_double_eq(t.shells[0].value[EMD_SHELL_R_SPLIT], 0.010);
    ck_assert_double_eq(t.suggested, 1.23);
    emd_merge_table_free(&t);
    free(text);
}
END_TEST

START_TEST(a_table_cut_anywhere_is_read_as_far_as_it_goes)
{
    for (size_t n = 0; n < sizeof table_312; n++) {
        struct emd_merge_table t;
        char *cut = malloc(n + 1); /* exact size, for the address sanitizer */
        memcpy(cut, table_312, n);
        enum emd_status status = emd_merge_table_parse(cut, n, &t, NULL);
        ck_assert(status == EMD_OK || status == EMD_E_EMPTY);
        if (status == EMD_OK) {
            ck_assert_uint_ge(t.count, 1);
            ck_assert_uint_le(t.count, 2);
            emd_merge_table_free(&t);
        }
        free(cut);
    }
}
END_TEST

START_TEST(resolution_by_shell_and_line)
{
    struct emd_merge_table t = parse(table_split);
    double s0 = (1 / (5.40 * 5.40) + 1 / (1.5 * 1.5)) / 2;
    double s1 = (1 / (1.5 * 1.5) + 1 / (1.19 * 1.19)) / 2;
    double s = s0 + (0.999 - 0.3) / (0.999 - 0.25) * (s1 - s0);
    ck_assert_double_eq(emd_resolution(&t, EMD_RESOLUTION_SHELL, 0.3, EMD_FIT_WEIGHTED), 1.5);
    ck_assert_double_eq(emd_resolution(&t, EMD_RESOLUTION_SHELL, 0.2, EMD_FIT_WEIGHTED), 1.19);
    ck_assert_double_eq_tol(emd_resolution(&t, EMD_RESOLUTION_LINEAR, 0.3, EMD_FIT_WEIGHTED),
                            1 / sqrt(s), 1e-12);
    ck_assert_double_eq(emd_resolution(&t, EMD_RESOLUTION_LINEAR, 0.2, EMD_FIT_WEIGHTED), 1.19);
    /* At the limit counts as fallen, as list.sh has it. */
    ck_assert_double_eq(emd_resolution(&t, EMD_RESOLUTION_SHELL, 0.25, EMD_FIT_WEIGHTED), 1.5);
    ck_assert(isnan(emd_resolution(&t, EMD_RESOLUTION_SHELL, 0.9995, EMD_FIT_WEIGHTED)));
    ck_assert(isnan(emd_resolution(&t, EMD_RESOLUTION_LINEAR, 0.9995, EMD_FIT_WEIGHTED)));
    emd_merge_table_free(&t);
}
END_TEST

START_TEST(the_fit_finds_a_curve_that_is_there)
{
    enum { SHELLS = 20 };
    const double r = 0.31, s0 = 1.07;
    struct emd_shell shells[SHELLS];
    for (int rule = EMD_FIT_SIGNIFICANT; rule <= EMD_FIT_WEIGHTED; rule++) {
        for (int i = 0; i < SHELLS; i++) {
            double s = 0.1 * (i + 1);
            shells[i] = (struct emd_shell){.significant = true, .pairs = 50 + i};
            shells[i].value[EMD_SHELL_D_MIN] = 1 / sqrt(s);
            shells[i].value[EMD_SHELL_CC_HALF] = 0.5 * (1 - tanh((s - s0) / r));
        }
        struct emd_merge_table t = {.shells = shells, .count = SHELLS};
        double fitted_r, fitted_s0;
        ck_assert(emd_resolution_fit(&t, rule, &fitted_r, &fitted_s0));
        ck_assert_double_eq_tol(fitted_r, r, 1e-9);
        ck_assert_double_eq_tol(fitted_s0, s0, 1e-9);
        /* DIALS interpolates between the shells' limits, so the answer is near the curve's. */
        double s = s0 + r * atanh(1 - 2 * 0.3);
        ck_assert_double_eq_tol(emd_resolution(&t, EMD_RESOLUTION_FIT, 0.3, rule), 1 / sqrt(s),
                                2e-3);
        t.count = 0;
        ck_assert(isnan(emd_resolution(&t, EMD_RESOLUTION_FIT, 0.3, rule)));
    }
}
END_TEST

START_TEST(the_rule_of_the_fit_follows_the_version)
{
    ck_assert_int_eq(emd_fit_rule_of("3.12"), EMD_FIT_SIGNIFICANT);
    ck_assert_int_eq(emd_fit_rule_of("3.8.0-0-gabc"), EMD_FIT_SIGNIFICANT);
    ck_assert_int_eq(emd_fit_rule_of("3.16.1"), EMD_FIT_SIGNIFICANT);
    ck_assert_int_eq(emd_fit_rule_of("3.17.0"), EMD_FIT_WEIGHTED);
    ck_assert_int_eq(emd_fit_rule_of("3.dev.276"), EMD_FIT_WEIGHTED);
    ck_assert_int_eq(emd_fit_rule_of("4.0"), EMD_FIT_WEIGHTED);
    ck_assert_int_eq(emd_fit_rule_of(""), EMD_FIT_WEIGHTED);
}
END_TEST

START_TEST(pairs_follow_from_the_critical_value)
{
    /* t.ppf(0.99, n - 2) of scipy 1.10, as t / sqrt(n - 2 + t^2) */
    static const struct {
        int n;
        double critical;
    } known[] = {{3, 0.9995065603657312},    {4, 0.9799999999134779},   {5, 0.9343329934002135},
                 {10, 0.7154592453895682},   {32, 0.40932685072785613}, {100, 0.23236241792497936},
                 {1000, 0.07355790208159263}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        ck_assert_double_eq(emd_pairs_from_critical(known[i].critical, 0.01), known[i].n);
    ck_assert(isnan(emd_pairs_from_critical(0, 0.01)));
    ck_assert(isnan(emd_pairs_from_critical(1, 0.01)));
    ck_assert(isnan(emd_pairs_from_critical(NAN, 0.01)));
}
END_TEST

START_TEST(json_makes_the_table_exact)
{
    static const char json[] =
        "{\"0\": {\"resolution_plots\": {\"cc_one_half\": {\"data\": [{\"x\": [0.24, 0.5750], "
        "\"y\": [0.99912, 0.25049]}, {\"y\": [0.5, null]}, {}]}}, "
        "\"scaling_tables\": {\"cc_half_significance_level\": 0.01}}}";
    struct emd_merge_table t = parse(table_split);
    ck_assert_int_eq(emd_merge_table_refine(&t, json, sizeof json - 1, NULL), EMD_OK);
    ck_assert(t.exact);
    ck_assert_double_eq(t.shells[0].value[EMD_SHELL_CC_HALF], 0.99912);
    ck_assert_double_eq_tol(t.shells[1].value[EMD_SHELL_D_MIN], 1.19, 0.005);
    ck_assert_double_eq_tol(t.shells[0].value[EMD_SHELL_D_MIN], 1.5, 0.005);
    double edge = 1 / pow(t.shells[0].value[EMD_SHELL_D_MIN], 2);
    double top = 1 / pow(t.shells[1].value[EMD_SHELL_D_MIN], 2);
    ck_assert_double_eq_tol((edge + top) / 2, 0.5750, 1e-12);
    /* Another run's file changes nothing. */
    static const char other[] =
        "{\"resolution_plots\": {\"cc_one_half\": {\"data\": [{\"x\": [0.24, "
        "0.5750], \"y\": [0.5, 0.1]}]}}}";
    struct emd_merge_table before = parse(table_split);
    ck_assert_int_eq(emd_merge_table_refine(&before, other, sizeof other - 1, NULL), EMD_E_FORMAT);
    ck_assert_double_eq(before.shells[0].value[EMD_SHELL_CC_HALF], 0.999);
    emd_merge_table_free(&before);
    for (size_t n = 0; n < sizeof json; n++) {
        char *cut = malloc(n + 1);
        memcpy(cut, json, n);
        before = parse(table_split);
        emd_merge_table_refine(&before, cut, n, NULL);
        emd_merge_table_free(&before);
        free(cut);
    }
    emd_merge_table_free(&t);
}
END_TEST

START_TEST(json_strings_numbers_and_nonsense)
{
    static const char text[] = "{ \"a\\u00e9\\ud83d\\ude00\\n\" : [1, -2.5e3, NaN, \"x\", {\"b\": "
                               "[[]]}, Infinity], \"c\": \"\\\\\\\"\", \"d\": true}";
    struct emd_json j;
    char key[32], value[8];
    double v;
    emd_json_init(&j, text, sizeof text - 1);
    ck_assert(emd_json_open(&j, '{'));
    ck_assert(emd_json_key(&j, key, sizeof key));
    ck_assert_str_eq(key, "a\xc3\xa9\xf0\x9f\x98\x80\n");
    ck_assert(emd_json_open(&j, '['));
    ck_assert(emd_json_item(&j) && emd_json_number(&j, &v));
    ck_assert_double_eq(v, 1);
    ck_assert(emd_json_item(&j) && emd_json_number(&j, &v));
    ck_assert_double_eq(v, -2500);
    ck_assert(emd_json_item(&j) && emd_json_number(&j, &v) && isnan(v));
    ck_assert(emd_json_item(&j) && !emd_json_number(&j, &v));
    ck_assert(emd_json_item(&j) && !emd_json_string(&j, value, sizeof value));
    ck_assert(emd_json_item(&j) && emd_json_number(&j, &v) && isinf(v));
    ck_assert(!emd_json_item(&j));
    ck_assert(emd_json_key(&j, key, sizeof key) && emd_json_string(&j, value, sizeof value));
    ck_assert_str_eq(value, "\\\"");
    ck_assert(emd_json_key(&j, key, sizeof key));
    emd_json_skip(&j);
    ck_assert(!emd_json_key(&j, key, sizeof key) && !j.bad);
    /* Any nonsense ends. */
    static const char *const nonsense[] = {"",        "{",        "[",     "[[[[",   "{\"a\"",
                                           "{\"a\":", "{\"a\":}", "[,]",   "[1,,2]", "]",
                                           "\"",      "[\"\\",    "{1:2}", "[1}",    "{]"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        emd_json_init(&j, nonsense[i], strlen(nonsense[i]));
        int calls = 0;
        if (emd_json_open(&j, '{'))
            while (emd_json_key(&j, key, sizeof key) && calls++ < 100)
                emd_json_skip(&j);
        else if (emd_json_open(&j, '['))
            while (emd_json_item(&j) && calls++ < 100)
                emd_json_number(&j, &v);
        else
            emd_json_skip(&j);
        ck_assert_int_lt(calls, 10);
    }
    /* A cut falls between characters. */
    char small[4];
    emd_json_init(&j, "\"ab\xc3\xa9\"", 6);
    ck_assert(emd_json_string(&j, small, sizeof small));
    ck_assert_str_eq(small, "ab");
}
END_TEST

START_TEST(cells_of_logs)
{
    static const char integrate[] = "Crystal:\n    Unit cell: 5.3418(6), 6.4597(5), 10.8601(7), "
                                    "89.999(5), 88.700(9), 90\n"
                                    "    Unit cell: 5.35, 6.45, 10.9(2), 90.0, 88.7, 90.0\n"
                                    "    Unit cell: 5.35, 6.45, 10.9(2), 90.0, 88.7, 90.0\n"
                                    "Unit cell: \n"
                                    "Reference Unit cell: 1, 2, 3, 90, 90, 90\n"
                                    "    Unit cell: 5.35, 6.45\n";
    struct emd_cells cells = {0};
    ck_assert_int_eq(emd_log_cells(integrate, sizeof integrate - 1, &cells, NULL), EMD_OK);
    ck_assert_uint_eq(cells.count, 2);
    ck_assert_str_eq(cells.items[0].text[2], "10.8601");
    ck_assert_double_eq_tol(cells.items[0].esd[0], 0.0006, 1e-12);
    ck_assert(isnan(cells.items[0].esd[5]));
    ck_assert_double_eq_tol(cells.items[1].esd[2], 0.2, 1e-12);
    ck_assert_double_eq_tol(emd_cell_volume(&cells.items[1]),
                            5.35 * 6.45 * 10.9 * sin(88.7 * acos(-1) / 180), 1e-9);
    free(cells.items);

    static const char index[] = "    Unit cell: 1, 2, 3, 90, 90, 90\nRefined crystal models:\n"
                                "    Unit cell: 4, 5, 6, 90, 90, 90\nRefined crystal models:\n"
                                "model 1\n    Unit cell: 7, 8, 9, 90, 90, 90\n"
                                "model 2\n    Unit cell: 7, 8, 10, 90, 90, 90\n";
    cells = (struct emd_cells){0};
    ck_assert_int_eq(emd_log_cells(index, sizeof index - 1, &cells, NULL), EMD_OK);
    ck_assert_uint_eq(cells.count, 2);
    ck_assert_str_eq(cells.items[1].text[2], "10");
    free(cells.items);
}
END_TEST

START_TEST(a_hostile_log_is_read_in_bounds)
{
    /* Very many rows, and as many cells on one line and on their own, end soon. */
    enum { COUNT = 20000 };
    static const char row[] = "2 1 0.9\n", cell[] = "    Unit cell: %d, 2, 3, 90, 90, 90%c";
    size_t length = 0;
    char *text = malloc((size_t)COUNT * 48);
    length += (size_t)sprintf(text, "d_max d_min cc1/2\n");
    for (int i = 0; i < COUNT; i++, length += sizeof row - 1)
        memcpy(text + length, row, sizeof row - 1);
    struct emd_merge_table t;
    ck_assert_int_eq(emd_merge_table_parse(text, length, &t, NULL), EMD_OK);
    ck_assert_uint_le(t.count, 1001);
    emd_resolution(&t, EMD_RESOLUTION_FIT, 0.3, EMD_FIT_SIGNIFICANT);
    emd_merge_table_free(&t);
    for (int line = 0; line < 2; line++) {
        struct emd_cells cells = {0};
        length = 0;
        for (int i = 0; i < COUNT; i++)
            length += (size_t)sprintf(text + length, cell, i + 1, line ? '\n' : ' ');
        ck_assert_int_eq(emd_log_cells(text, length, &cells, NULL), EMD_OK);
        ck_assert_uint_eq(cells.count, line ? 1000 : 1);
        free(cells.items);
    }
    free(text);
}
END_TEST

START_TEST(words_of_logs)
{
    static const char log[] =
        "DIALS (2018) Acta Cryst. D74, 85-97.\nWARN: x\nDIALS 3.12.1-0-gabc\r\nBest solution: P 1\n"
        "Best solution: P 1 2/m 1\nUnit cell: \nSaving 5\nERROR: one\n"
        "dials.algorithms.indexing.DialsIndexError: No suitable lattice\x1b[31m could be found.\n"
        "+----+\n\n";
    char text[64];
    ck_assert(emd_log_version(log, sizeof log - 1, text, sizeof text));
    ck_assert_str_eq(text, "3.12.1-0-gabc");
    ck_assert(emd_log_symmetry(log, sizeof log - 1, text, sizeof text));
    ck_assert_str_eq(text, "P 1 2/m 1");
    char failure[128];
    ck_assert(emd_log_failure(log, sizeof log - 1, failure, sizeof failure));
    ck_assert_str_eq(failure, "dials.algorithms.indexing.DialsIndexError: No suitable "
                              "lattice?[31m could be found.");
    ck_assert(emd_log_last_line(log, sizeof log - 1, failure, sizeof failure));
    ck_assert(strncmp(failure, "dials.algorithms", 16) == 0);
    ck_assert(!emd_log_failure("CC\xc2\xbd resolution filter failed with the following error:\n"
                               "Error model details:\n",
                               70, text, sizeof text));
    ck_assert(!emd_log_version("DIALS x", 7, text, sizeof text));
    static const char report[] = "AssertionError: Please report this error to "
                                 "dials-support@lists.sourceforge.net: Too few spots (8)\n";
    ck_assert(emd_log_failure(report, sizeof report - 1, text, sizeof text));
    ck_assert_str_eq(text, "Too few spots (8)");
    static const char bare[] = "AssertionError: Please report this error to dials@x:\n";
    ck_assert(emd_log_failure(bare, sizeof bare - 1, text, sizeof text));
    ck_assert_str_eq(text, "AssertionError");
    ck_assert(emd_log_failure("Sorry: no way\n", 14, text, sizeof text));
    ck_assert_str_eq(text, "no way");
}
END_TEST

START_TEST(experiments_are_summarised)
{
    static const char expt[] =
        "{\"__id__\": \"ExperimentList\", \"imageset\": [{\"template\": \"/a/b \\u00e9.emd\"}], "
        "\"crystal\": [{\"real_space_a\": [5, 0, 0], \"real_space_b\": [0, 6, 0], "
        "\"real_space_c\": [-1, 0, 10], \"B\": [[1]]}], "
        "\"scan\": [{\"image_range\": [17, 56]}, {\"image_range\": [60, 61]}]}";
    struct emd_expt_summary s;
    ck_assert_int_eq(emd_expt_summarise(expt, sizeof expt - 1, &s, NULL), EMD_OK);
    ck_assert_int_eq(s.images, 42);
    ck_assert_uint_eq(s.ranges, 2);
    ck_assert_int_eq(s.range[1].first, 60);
    ck_assert_str_eq(s.image, "/a/b \xc3\xa9.emd");
    ck_assert_uint_eq(s.cells.count, 1);
    ck_assert_double_eq_tol(s.cells.items[0].value[4], 90 + atan(0.1) * 180 / acos(-1), 1e-9);
    ck_assert_str_eq(s.cells.items[0].text[0], "5.0000");
    free(s.cells.items);
    for (size_t n = 0; n < sizeof expt - 2; n++) {
        char *cut = malloc(n + 1);
        memcpy(cut, expt, n);
        ck_assert_int_ne(emd_expt_summarise(cut, n, &s, NULL), EMD_OK);
        free(cut);
    }
    ck_assert_int_eq(emd_expt_summarise("{}", 2, &s, NULL), EMD_E_FORMAT);
}
END_TEST

static char folder[] = "/tmp/emd_test_trial.XXXXXX";

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    for (char *p = full + strlen(folder) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        ck_assert(mkdir(full, 0777) == 0 || errno == EEXIST);
        *p = '/';
    }
    if (!text)
        return;
    FILE *f = fopen(full, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static struct emd_trial read_trial(const char *path, const char *trial)
{
    struct emd_trial t;
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(emd_trial_read(fd, path, trial, EMD_TRIAL_ALL, &t, NULL), EMD_OK);
    close(fd);
    return t;
}

START_TEST(trials_are_found_and_judged)
{
    char command[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    put("a/P1/dials.scale.log", table_312);
    put("a/P1/not_blank/", NULL);
    put("deep/er/BAD one/P1/dials.find_spots.log",
        "DIALS 3.20.0\nFinding spots in image 1 to 120...\nSaved 0 reflections to strong.refl\n");
    put("deep/er/BAD one/P1/dials.index.log", "DIALS 3.20.0\n\n");
    put("c/P1/dials.index.log", "DIALS 3.8\nSaving refined reflections to x\n");
    put("d/P1/dials.integrate.log", "DIALS 3.8\nRuntimeError: out of luck\n");
    put("e/P1/", NULL);
    put("f/mP/dials.scale.log", table_312);
    put("g/P1/dials.refine.log", "DIALS 3.8\nsome words\n---\n");
    /* emdprocess' record counts more than what lies there */
    put("h/mP/dials.scale.log", table_312);
    put("h/mP/emdprocess.json",
        "{\"format\": 1, \"x\": [{}], \"stages\": [{\"name\": \"import\", \"state\": \"done\"},"
        "{\"name\": \"check\", \"optional\": true, \"state\": \"failed\", \"reason\": \"no\"},"
        "{\"name\": \"refine_static\", \"optional\": false, \"state\": \"failed\","
        " \"reason\": \"out of time\"}, {\"name\": \"scale\", \"state\": \"done\"}]}");
    put("i/mP/dials.scale.log", table_312);
    put("i/mP/emdprocess.json",
        "{\"stages\": [{\"name\": \"scale\", \"state\": \"done\"},"
        "{\"name\": \"filter_blanks\", \"state\": \"failed\", \"reason\": \"all blank\"}]}");
    put("j/mP/emdprocess.json", "{\"stages\": [{\"name\": \"index\", \"state\": \"running\"}]}");
    put("l/mP/emdprocess.json",
        "{\"stages\": [{\"name\": \"index\", \"state\": \"failed\", \"reason\": \" \"}]}");
    put("k/mP/dials.scale.log", table_312);
    put("k/mP/emdprocess.json", "{\"stages\": [{\"name\": \"index\", \"state\": ");

    struct emd_trial_list list;
    ck_assert_int_eq(emd_trials_find(folder, "P1/not_blank", &list, NULL), EMD_OK);
    static const char *const expected[] = {"a/P1", "c/P1", "d/P1", "deep/er/BAD one/P1",
                                           "e/P1", "g/P1"};
    ck_assert_uint_eq(list.count, 6);
    for (size_t i = 0; i < list.count; i++)
        ck_assert_str_eq(list.paths[i], expected[i]);
    emd_trial_list_free(&list);

    struct emd_trial t = read_trial("a/P1", "P1");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_GOOD);
    ck_assert_int_eq(t.stage, EMD_STAGE_SCALE);
    ck_assert_uint_eq(t.table.count, 2);
    emd_trial_free(&t);
    t = read_trial("a/P1", "P1/not_blank");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_UNFINISHED);
    ck_assert_int_eq(t.stage, EMD_STAGE_SCALE);
    emd_trial_free(&t);
    t = read_trial("deep/er/BAD one/P1", "P1");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_FAILED);
    ck_assert_int_eq(t.stage, EMD_STAGE_INDEX);
    ck_assert_str_eq(t.reason, "no spots found");
    ck_assert_str_eq(t.version, "3.20.0");
    ck_assert_int_eq(t.images, 120);
    emd_trial_free(&t);
    t = read_trial("c/P1", "P1");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_UNFINISHED);
    ck_assert_str_eq(t.reason, "refine has not run");
    emd_trial_free(&t);
    t = read_trial("d/P1", "P1");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_FAILED);
    ck_assert_int_eq(t.stage, EMD_STAGE_INTEGRATE);
    ck_assert_str_eq(t.reason, "RuntimeError: out of luck");
    emd_trial_free(&t);
    t = read_trial("e/P1", "P1");
    ck_assert_int_eq(t.stage, EMD_STAGE_NONE);
    emd_trial_free(&t);
    t = read_trial("g/P1", "P1");
    ck_assert_str_eq(t.reason, "no result; the log ends: some words");
    emd_trial_free(&t);
    t = read_trial("h/mP", "mP");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_FAILED);
    ck_assert_int_eq(t.stage, EMD_STAGE_REFINE);
    ck_assert_str_eq(t.reason, "refine_static: out of time");
    emd_trial_free(&t);
    t = read_trial("i/mP", "mP");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_GOOD);
    emd_trial_free(&t);
    t = read_trial("i/mP", "mP/not_blank");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_FAILED);
    ck_assert_int_eq(t.stage, EMD_STAGE_BLANKS);
    ck_assert_str_eq(t.reason, "all blank");
    emd_trial_free(&t);
    t = read_trial("j/mP", "mP");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_UNFINISHED);
    ck_assert_str_eq(t.reason, "running or interrupted");
    emd_trial_free(&t);
    t = read_trial("l/mP", "mP");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_FAILED);
    ck_assert_str_eq(t.reason, "no reason recorded");
    emd_trial_free(&t);
    t = read_trial("k/mP", "mP");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_GOOD);
    emd_trial_free(&t);
    t = read_trial("nowhere/P1", "P1");
    ck_assert_int_eq(t.outcome, EMD_OUTCOME_UNFINISHED);
    emd_trial_free(&t);

    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(names_of_trials)
{
    ck_assert(emd_trial_name_valid("P1") && emd_trial_name_valid("P1/not_blank"));
    static const char *const bad[] = {"", "/P1", "P1/", "..", "P1/../x", ".", "P1//x", "P1/."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!emd_trial_name_valid(bad[i]), "%s", bad[i]);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("dialslog");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, columns_are_found_by_name);
    tcase_add_test(t, the_last_of_several_tables_counts);
    tcase_add_test(t, a_table_cut_anywhere_is_read_as_far_as_it_goes);
    tcase_add_test(t, resolution_by_shell_and_line);
    tcase_add_test(t, the_fit_finds_a_curve_that_is_there);
    tcase_add_test(t, the_rule_of_the_fit_follows_the_version);
    tcase_add_test(t, pairs_follow_from_the_critical_value);
    tcase_add_test(t, json_makes_the_table_exact);
    tcase_add_test(t, json_strings_numbers_and_nonsense);
    tcase_add_test(t, cells_of_logs);
    tcase_add_test(t, a_hostile_log_is_read_in_bounds);
    tcase_add_test(t, words_of_logs);
    tcase_add_test(t, experiments_are_summarised);
    tcase_add_test(t, trials_are_found_and_judged);
    tcase_add_test(t, names_of_trials);
    Suite *s = suite_create("dialslog");
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
