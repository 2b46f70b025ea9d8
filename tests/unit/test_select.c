/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The language that chooses crystals. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dials/select.h"

static const struct emd_select_column columns[] = {{"path", false},
                                                   {"resolution", true},
                                                   {"cc_half", true},
                                                   {"symmetry", false},
                                                   {"cluster", true}};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* One crystal: a/P1, 0.85 A, CC1/2 0.95, P 1 2/m 1, no lattice. */
static double number(const void *ctx, size_t column)
{
    static const double values[COLUMNS] = {NAN, 0.85, 0.95, NAN, NAN};
    (void)ctx;
    return values[column];
}

static const char *text(const void *ctx, size_t column)
{
    static const char *const values[COLUMNS] = {"lab/a/P1", "", "", "P 1 2/m 1", ""};
    (void)ctx;
    return values[column];
}

START_TEST(choices)
{
    static const struct {
        const char *expression;
        bool chosen;
    } cases[] = {
        {"resolution < 1.0 and cc_half > 0.9", true},
        {"resolution<1.0 and cc_half>.96", false},
        {"resolution >= 0.85", true},
        {"resolution > 0.85", false},
        {"resolution <= 8.5e-1", true},
        {"resolution = 0.85", true},
        {"resolution == 0.85 AND NOT resolution != 0.85", true},
        {"cluster = 1", false},
        {"cluster != 1", false}, /* it has none */
        {"not cluster = 1", true},
        {"cluster = 1 or resolution < 1", true},
        {"cc_half > 2 or cc_half < 1 and resolution > 1", false}, /* and binds closer */
        {"(cc_half > 2 or cc_half < 1) and resolution < 1", true},
        {"not (resolution < 1)", false},
        {"not not resolution < 1", true},
        {"!(resolution < 1)", false},
        {"symmetry = 'P 1 2/m 1'", true},
        {"symmetry = \"P 1 2/m 1\"", true},
        {"symmetry != 'P -1'", true},
        {"symmetry ~ 'P*'", true},
        {"symmetry !~ 'P*'", false},
        {"path ~ *a*", true},
        {"path ~ *z*", false},
        {"(path = lab/a/P1)", true},
        {"  resolution<1", true},
    };
    const struct emd_select_row row = {.number = number, .text = text};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_select *select;
        struct emd_error err = {0};
        ck_assert_msg(emd_select_parse(cases[i].expression, columns, COLUMNS, &select, &err) ==
                          EMD_OK,
                      "%s: %s", cases[i].expression, err.text);
        ck_assert_msg(emd_select_matches(select, &row) == cases[i].chosen, "%s",
                      cases[i].expression);
        emd_select_free(select);
    }
}
END_TEST

START_TEST(mistakes)
{
    static const struct {
        const char *expression, *why;
    } cases[] = {
        {"", "a column was expected at the end"},
        {"resolutoin < 1", "no column 'resolutoin'; did you mean 'resolution'?"},
        {"cchalf > 0.9", "no column 'cchalf'; did you mean 'cc_half'?"},
        {"nonsense = 3", "no column 'nonsense'"},
        {"resolution", "one of < <= > >= = != ~ !~ was expected at the end"},
        {"resolution < ", "a number was expected at the end"},
        {"resolution < best", "a number was expected at 'best'"},
        {"resolution < 1.0x", "a number was expected at '1.0x'"},
        {"resolution < nan", "a number was expected at 'nan'"},
        {"resolution ~ 1", "resolution is a number: ~ is for texts"},
        {"symmetry < P", "symmetry is a text: = != ~ !~ are for texts"},
        {"symmetry = 'P 1", "a quote is not closed at ''P 1'"},
        {"resolution < 1 cc_half > 0.9", "'and' or 'or' was expected at 'cc_half > 0.9'"},
        {"(resolution < 1", "')' was expected at the end"},
        {"resolution < 1)", "'and' or 'or' was expected at ')'"},
        {"resolution < 1 and", "a column was expected at the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_select *select;
        struct emd_error err = {0};
        ck_assert_int_eq(emd_select_parse(cases[i].expression, columns, COLUMNS, &select, &err),
                         EMD_E_ARGUMENT);
        ck_assert_str_eq(err.text, cases[i].why);
    }
    /* Depth and length have ends. */
    char *deep = malloc(20001), *wide = malloc(40000);
    struct emd_select *select;
    struct emd_error err = {0};
    ck_assert(deep && wide);
    memset(deep, '(', 20000);
    deep[20000] = '\0';
    ck_assert_int_eq(emd_select_parse(deep, columns, COLUMNS, &select, &err), EMD_E_ARGUMENT);
    wide[0] = '\0';
    for (int i = 0; i < 600; i++)
        strcat(wide, "cc_half > 0.9 and ");
    strcat(wide, "cc_half > 0.9");
    ck_assert_int_eq(emd_select_parse(wide, columns, COLUMNS, &select, &err), EMD_E_ARGUMENT);
    ck_assert_str_eq(err.text, "the expression is too long");
    free(wide);
    free(deep);
}
END_TEST

START_TEST(columns_used)
{
    struct emd_select *select;
    ck_assert_int_eq(
        emd_select_parse("not (cc_half > 1 or path = a)", columns, COLUMNS, &select, NULL), EMD_OK);
    ck_assert(emd_select_uses(select, 0) && emd_select_uses(select, 2));
    ck_assert(!emd_select_uses(select, 1) && !emd_select_uses(select, 3));
    emd_select_free(select);
}
END_TEST

START_TEST(what_does_not_hold)
{
    static const struct {
        const char *expression, *unmet;
    } cases[] = {
        {"resolution < 1.0 and cc_half > 0.9", ""},
        {"resolution < 0.8", "resolution 0.85; required: resolution < 0.8"},
        {"resolution < 1 and cc_half > 0.96", "cc_half 0.95; required: cc_half > 0.96"},
        {"( resolution<.8 ) and cc_half > 2", "resolution 0.85; required: resolution<.8"},
        {"resolution < 1 and (cc_half > 0.9 and cc_half > 1 and cluster = 1)",
         "cc_half 0.95; required: cc_half > 1"},
        {"cluster = 1", "no cluster; required: cluster = 1"},
        {"symmetry = 'P -1' and cluster = 1", "symmetry P 1 2/m 1; required: symmetry = 'P -1'"},
        {"cc_half > 0 and not path ~ lab*", "required: not path ~ lab*"},
        {"cluster = 1 or resolution > 1 and cc_half > 0",
         "required: cluster = 1 or resolution > 1 and cc_half > 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_select *select;
        const struct emd_select_row row = {number, text, NULL};
        char unmet[256];
        ck_assert_int_eq(emd_select_parse(cases[i].expression, columns, COLUMNS, &select, NULL),
                         EMD_OK);
        emd_select_unmet(select, &row, unmet);
        ck_assert_str_eq(unmet, cases[i].unmet);
        ck_assert_int_eq(emd_select_matches(select, &row), unmet[0] == '\0');
        emd_select_free(select);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("select");
    TCase *tests = tcase_create("select");
    tcase_add_test(tests, choices);
    tcase_add_test(tests, mistakes);
    tcase_add_test(tests, columns_used);
    tcase_add_test(tests, what_does_not_hold);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
