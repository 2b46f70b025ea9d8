/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* PHIL: definitions, scopes, comments, quotes, what is switched off; abbreviated names. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dials/phil.h"

static char seen[2000];

static enum emd_status take(void *ctx, const char *name, const char *value, size_t line,
                            struct emd_error *err)
{
    (void)ctx, (void)err;
    const size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%zu:%s=%s|", line, name, value);
    return EMD_OK;
}

static const char *parse(const char *text)
{
    static struct emd_error err;
    seen[0] = '\0';
    enum emd_status status = emd_phil_parse(text, strlen(text), take, NULL, &err);
    return status == EMD_OK ? seen : err.text;
}

START_TEST(definitions)
{
    static const struct {
        const char *text, *seen;
    } cases[] = {
        {"", ""},
        {"# only a comment", ""},
        {"phi_step=4", "1:phi_step=4|"},
        {"phi_step = 4 # degrees\n\nkeep=all", "1:phi_step=4|3:keep=all|"},
        {"a = 1; b = 2;c=3", "1:a=1|1:b=2|1:c=3|"},
        {"a = one   two\tthree\r\n", "1:a=one two three|"},
        {"output { log = x.log }", "1:output.log=x.log|"},
        {"output {\n log = x\n plot = y\n}\na=1", "2:output.log=x|3:output.plot=y|5:a=1|"},
        {"a { b { c = 1 } d = 2 }", "1:a.b.c=1|1:a.d=2|"},
        {"a.b { c.d = 1 }", "1:a.b.c.d=1|"},
        {"output\n  .help = \"x { y\"\n  .expert_level=1\n{ log = z }", "4:output.log=z|"},
        {"a = 'b # c' ; d = \"e ; f\"", "1:a=b # c|1:d=e ; f|"},
        {"a = \"say \\\"x\\\"\"", "1:a=say \"x\"|"},
        {"a = \"\"\"two\nlines\"\"\"\nb=1", "1:a=two\nlines|3:b=1|"},
        {"a = ''", "1:a=|"},
        {"a = 1 \\\n  2\nb=3", "1:a=1 2|3:b=3|"},
        {"a = 1\n  .type = int\n  .help = \"one\"\n          \"two\"\nb = 2", NULL},
        {"!a = 1\nb != 2\n!c { d = 3 }\ne = 4", "4:e=4|"},
        {"!c { d { e = 3 } f = 1 }\ng = 4", "2:g=4|"},
        {"keep = longest *all", "1:keep=all|"},
        {"keep = *longest *all", "1:keep=*longest *all|"},
        {"a = !x", "1:a=!x|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].seen)
            ck_assert_str_eq(parse(cases[i].text), cases[i].seen);
    /* libtbx joins strings that follow each other in lines of their own. */
    ck_assert_str_eq(parse(cases[16].text), "1:a=1|5:b=2|");
}
END_TEST

START_TEST(errors)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"a", "line 1: '=' or '{' was expected"},
        {"a = 1\nb\n", "line 3: '=' or '{' was expected"},
        {"a =", "line 1: a value is missing"},
        {"a = # nothing", "line 1: a value is missing"},
        {"a {", "line 1: a '{' is not closed"},
        {"}", "line 1: '}' closes nothing"},
        {"a = 'b\n", "line 1: a quote is not closed"},
        {"a = \"\"\"b\n\"\"", "line 1: a quote is not closed"},
        {"= 1", "line 1: a name was expected"},
        {"include scope x.y", "line 1: 'include' is not supported"},
        {".help", "line 1: '=' was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_str_eq(parse(cases[i].text), cases[i].why);
    char deep[200] = "";
    for (int i = 0; i < 40; i++)
        strcat(deep, "a {");
    ck_assert_str_eq(parse(deep), "line 1: too many scopes within scopes");
    char *wide = malloc(10000);
    ck_assert_ptr_nonnull(wide);
    memset(wide, 'a', 9999);
    wide[9999] = '\0';
    wide[2] = '=';
    ck_assert_str_eq(parse(wide), "line 1: the value is too long");
    wide[2] = 'a';
    wide[9000] = '=';
    ck_assert_str_eq(parse(wide), "line 1: the name is too long");
    free(wide);
}
END_TEST

START_TEST(abbreviations)
{
    static const char *const names[] = {"phi_step", "keep", "input.experiments",
                                        "output.experiments", "output.log"};
    static const struct {
        const char *name;
        int found;
        const char *why;
    } cases[] = {
        {"phi_step", 0, NULL},
        {"phi", 0, NULL},
        {"step", 0, NULL},
        {"log", 4, NULL},
        {"output.log", 4, NULL},
        {"output.exp", 3, NULL},
        {"put.log", 4, NULL},
        {"experiments", -1, "experiments: ambiguous: input.experiments, output.experiments"},
        {"phi_stpe", -1, "phi_stpe: unknown parameter; did you mean 'phi_step'?"},
        {"unheard_of", -1, "unheard_of: unknown parameter"},
        {"", -1, ": unknown parameter"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_error err = {0};
        ck_assert_int_eq(emd_phil_find(cases[i].name, strlen(cases[i].name), names, 5, &err),
                         cases[i].found);
        if (cases[i].why)
            ck_assert_str_eq(err.text, cases[i].why);
    }
}
END_TEST

START_TEST(quotes)
{
    char out[20];
    ck_assert(emd_phil_quote("a.expt", out, sizeof out));
    ck_assert_str_eq(out, "a.expt");
    ck_assert(emd_phil_quote("a b", out, sizeof out));
    ck_assert_str_eq(out, "\"a b\"");
    ck_assert(emd_phil_quote("a\"\\", out, sizeof out));
    ck_assert_str_eq(out, "\"a\\\"\\\\\"");
    ck_assert(emd_phil_quote("", out, sizeof out));
    ck_assert_str_eq(out, "\"\"");
    ck_assert(!emd_phil_quote("much too long for this", out, sizeof out));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("phil");
    TCase *tests = tcase_create("phil");
    tcase_add_test(tests, definitions);
    tcase_add_test(tests, errors);
    tcase_add_test(tests, abbreviations);
    tcase_add_test(tests, quotes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
