/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/dials: JSON documents, slices of scans, reflection tables, and the analysis of blank images
 * on plain arrays. */
#include <check.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dials/blanks.h"
#include "dials/expt.h"
#include "dials/jsondoc.h"
#include "dials/refl.h"

/* --- JSON -------------------------------------------------------------------------------------*/

static enum emd_status round_trip(const char *text, char **out)
{
    struct emd_jsondoc doc;
    size_t length;
    enum emd_status status = emd_jsondoc_parse(text, strlen(text), &doc, NULL);
    if (status != EMD_OK)
        return status;
    ck_assert_int_eq(emd_jsondoc_text(&doc, out, &length, NULL), EMD_OK);
    ck_assert_uint_eq(strlen(*out), length);
    emd_jsondoc_release(&doc);
    return EMD_OK;
}

START_TEST(json_is_written_as_read)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"a\": [1, 1.0, 1e5, 1E+05, -0.0, NaN, Infinity, -Infinity, 1e400]}",
        "{\n  \"z\": [\n    1,\n    {}\n  ],\n  \"a\": null\n}\n",
        "{\n \"deep\": {\n  \"er\": []\n }\n}",
        "[\"\\u00e9 \\ud83d\\ude00 \\u007f \\\"\\\\\\n\\r\\t\\f\\b\\u001f/\"]",
        "[\"\xc3\xa9 \xf0\x9f\x98\x80 \x7f\"]",
        "[\"\x7f\"]",
        "[true, false, null, 9223372036854775, -999999999999999999]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *out;
        ck_assert_int_eq(round_trip(texts[i], &out), EMD_OK);
        ck_assert_str_eq(out, texts[i]);
        free(out);
    }
}
END_TEST

START_TEST(json_that_cannot_be_kept_is_refused)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[1,]",
                                        "{\"a\":1,}",
                                        "[1 2]",
                                        "['a']",
                                        "[nan]",
                                        "[01]",
                                        "[1] 2",
                                        "/**/[]",
                                        "[12345678901234567890123]",
                                        "[-0]",
                                        "[\"\\u0000\"]",
                                        "[\"\\ud800\"]",
                                        "[\"\\udc00x\"]",
                                        "[\"\\ud800\\u0041\"]",
                                        "[\"\xff\"]",
                                        "[\"open",
                                        "[\"\\"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *out;
        ck_assert_msg(round_trip(texts[i], &out) != EMD_OK, "%s", texts[i]);
    }
}
END_TEST

/* What Python 3 prints for the same numbers. */
START_TEST(numbers_are_written_as_python_does)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0.0"},
                 {-0.0, "-0.0"},
                 {8, "8.0"},
                 {0.1, "0.1"},
                 {1.0 / 3, "0.3333333333333333"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {-12.5, "-12.5"},
                 {1e15, "1000000000000000.0"},
                 {1e16, "1e+16"},
                 {123456789.125, "123456789.125"},
                 {0.0001, "0.0001"},
                 {0.00001, "1e-05"},
                 {1.5e-7, "1.5e-07"},
                 {DBL_MAX, "1.7976931348623157e+308"},
                 {5e-324, "5e-324"},
                 {1e22, "1e+22"},
                 {(double)NAN, "NaN"},
                 {(double)INFINITY, "Infinity"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_object *number = emd_json_new_double(cases[i].value);
        ck_assert_str_eq(json_object_to_json_string_ext(number, JSON_C_TO_STRING_PLAIN),
                         cases[i].text);
        json_object_put(number);
    }
}
END_TEST

/* --- experiment lists -------------------------------------------------------------------------*/

START_TEST(selection_copies_what_is_cut_and_shares_the_rest)
{
    static const char list[] =
        "{\"__id__\": \"ExperimentList\", \"experiment\": [{\"identifier\": \"a\", \"beam\": 0, "
        "\"scan\": 0, \"crystal\": 1}, {\"identifier\": \"b\", \"beam\": 0, \"scan\": 0}], "
        "\"beam\": [{\"x\": 1}], \"scan\": [{\"image_range\": [5, 8], \"oscillation\": [1.5, "
        "0.25], \"epochs\": [0.0, 1.0, 2.0, 3.0], \"valid_image_ranges\": {\"b\": [[1, 6]]}}], "
        "\"crystal\": [{\"never\": \"used\"}, {\"A_at_scan_points\": [0, 1, 2, 3, 4]}]}";
    static const char expected[] =
        "{\"__id__\": \"ExperimentList\", \"experiment\": [{\"identifier\": \"b\", \"beam\": 0, "
        "\"scan\": 0}, {\"identifier\": \"a\", \"beam\": 0, \"scan\": 1, \"crystal\": 1}, "
        "{\"identifier\": \"c\", \"beam\": 0, \"scan\": 2}], "
        "\"beam\": [{\"x\": 1}], \"scan\": [{\"image_range\": [6, 7], \"oscillation\": [1.75, "
        "0.25], \"epochs\": [1.0, 2.0], \"valid_image_ranges\": {\"b\": [[6, 6]]}}, "
        "{\"image_range\": [5, 8], \"oscillation\": [1.5, 0.25], \"epochs\": [0.0, 1.0, 2.0, 3.0], "
        "\"valid_image_ranges\": {\"b\": [[1, 6]]}}, {\"image_range\": [8, 8], \"oscillation\": "
        "[2.25, 0.25], \"epochs\": [3.0], \"valid_image_ranges\": {}}], "
        "\"crystal\": [{\"never\": \"used\"}, {\"A_at_scan_points\": [0, 1, 2, 3, 4]}]}";
    static const struct emd_expt_slice slices[] = {
        {1, 6, 7, NULL}, {0, 5, 8, NULL}, {1, 8, 8, "c"}};
    struct emd_expt *expt;
    struct emd_error err = {0};
    char *text;
    size_t length;
    ck_assert_msg(emd_expt_parse(list, sizeof list - 1, &expt, &err) == EMD_OK, "%s", err.text);
    ck_assert(emd_expt_info(expt, 0)->imageset == -1 && emd_expt_info(expt, 0)->scan.first == 5);
    ck_assert_msg(emd_expt_select(expt, slices, 3, &err) == EMD_OK, "%s", err.text);
    ck_assert_int_eq(emd_expt_text(expt, &text, &length, NULL), EMD_OK);
    ck_assert_str_eq(text, expected);
    free(text);
    /* What cannot be done leaves the list as it was. */
    static const struct emd_expt_slice beyond = {0, 5, 9, NULL};
    ck_assert_int_eq(emd_expt_select(expt, &beyond, 1, &err), EMD_E_ARGUMENT);
    ck_assert_uint_eq(emd_expt_count(expt), 3);
    emd_expt_free(expt);
}
END_TEST

/* --- reflection tables ------------------------------------------------------------------------*/

enum { ROWS = 100000 };

/* A table with one column of each kind, larger than the buffer that it passes. */
static int make_table(void)
{
    static int32_t id[ROWS];
    static double xyz[ROWS][3];
    msgpack_sbuffer b;
    msgpack_packer p;
    msgpack_sbuffer_init(&b);
    msgpack_packer_init(&p, &b, msgpack_sbuffer_write);
    msgpack_pack_array(&p, 3);
    msgpack_pack_str_with_body(&p, "dials::af::reflection_table", 27);
    msgpack_pack_int(&p, 2);
    msgpack_pack_map(&p, 2); /* data before nrows, no identifiers */
    msgpack_pack_str_with_body(&p, "data", 4);
    msgpack_pack_map(&p, 3);
    msgpack_sbuffer boxes;
    msgpack_sbuffer_init(&boxes);
    for (int32_t i = 0; i < ROWS; i++) {
        const int32_t head[7] = {i, 0, i % 3, 0, 2, 0, 1};
        const char flag = (char)(i % 3);
        static const char pixels[4 * 12] = {1, 2, 3};
        id[i] = i;
        xyz[i][0] = xyz[i][1] = -1;
        xyz[i][2] = i + 0.25;
        msgpack_sbuffer_write(&boxes, (const char *)head, sizeof head);
        msgpack_sbuffer_write(&boxes, &flag, 1);
        msgpack_sbuffer_write(&boxes, pixels,
                              flag == 0 ? 0 : (size_t)(i % 3) * 2 * (flag == 1 ? 12 : 9));
    }
    const struct {
        const char *name, *type;
        const void *data;
        size_t size;
    } columns[] = {{"id", "int", id, sizeof id},
                   {"xyzobs.px.value", "vec3<double>", xyz, sizeof xyz},
                   {"shoebox", "Shoebox<>", boxes.data, boxes.size}};
    for (size_t i = 0; i < 3; i++) {
        msgpack_pack_str_with_body(&p, columns[i].name, strlen(columns[i].name));
        msgpack_pack_array(&p, 2);
        msgpack_pack_str_with_body(&p, columns[i].type, strlen(columns[i].type));
        msgpack_pack_array(&p, 2);
        msgpack_pack_int(&p, ROWS);
        msgpack_pack_bin_with_body(&p, columns[i].data, columns[i].size);
    }
    msgpack_pack_str_with_body(&p, "nrows", 5);
    msgpack_pack_int(&p, ROWS);
    int fd = memfd_create("table", MFD_CLOEXEC);
    ck_assert(fd >= 0 && write(fd, b.data, b.size) == (ssize_t)b.size);
    msgpack_sbuffer_destroy(&boxes);
    msgpack_sbuffer_destroy(&b);
    return fd;
}

START_TEST(rows_of_a_large_table_are_selected)
{
    struct emd_refl *refl, *out;
    struct emd_error err = {0};
    int32_t *id = malloc(ROWS * sizeof *id), *found = malloc(ROWS * sizeof *found);
    double *z = malloc(ROWS * sizeof *z);
    struct emd_refl_selection s = {.id = id};
    struct emd_pool *pool = emd_pool_new(3);
    int fd = memfd_create("out", MFD_CLOEXEC);
    ck_assert_msg(emd_refl_open_fd(make_table(), &refl, &err) == EMD_OK, "%s", err.text);
    ck_assert_uint_eq(emd_refl_rows(refl), ROWS);
    ck_assert_uint_eq(emd_refl_version(refl), 2);
    for (int32_t i = 0; i < ROWS; i++) {
        id[i] = i % 7 == 0 || i > ROWS / 2 ? EMD_REFL_DROP : ROWS - i;
        s.kept += id[i] != EMD_REFL_DROP;
    }
    ck_assert_msg(emd_refl_write(refl, &s, fd, false, pool, &err) == EMD_OK, "%s", err.text);
    ck_assert_msg(emd_refl_open_fd(fd, &out, &err) == EMD_OK, "%s", err.text);
    ck_assert_uint_eq(emd_refl_rows(out), s.kept);
    ck_assert_int_eq(emd_refl_read_int(out, "id", found, &err), EMD_OK);
    ck_assert_int_eq(emd_refl_read_double(out, "xyzobs.px.value", 2, z, &err), EMD_OK);
    for (int32_t i = 0, k = 0; i < ROWS; i++) {
        if (id[i] == EMD_REFL_DROP)
            continue;
        ck_assert(found[k] == id[i] && z[k] == i + 0.25);
        k++;
    }
    /* Its shoeboxes split into as many rows again. */
    for (uint64_t i = 0; i < s.kept; i++)
        id[i] = 0;
    fd = memfd_create("again", MFD_CLOEXEC);
    ck_assert_msg(emd_refl_write(out, &s, fd, false, pool, &err) == EMD_OK, "%s", err.text);
    close(fd);
    ck_assert_int_eq(emd_refl_read_size(out, "id", (uint64_t *)(void *)z, &err), EMD_E_CORRUPT);
    ck_assert_int_eq(emd_refl_read_int(out, "absent", found, &err), EMD_E_CORRUPT);
    emd_refl_close(out);
    emd_refl_close(refl);
    emd_pool_free(pool);
    free(z);
    free(found);
    free(id);
}
END_TEST

START_TEST(table_that_changes_meanwhile_is_refused)
{
    struct emd_refl *refl;
    struct emd_error err = {0};
    int fd = make_table(), source = dup(fd), out = memfd_create("out", MFD_CLOEXEC);
    int32_t *id = calloc(ROWS, sizeof *id);
    const struct emd_refl_selection s = {.id = id, .kept = ROWS};
    struct emd_pool *pool = emd_pool_new(1);
    ck_assert_int_eq(emd_refl_open_fd(fd, &refl, &err), EMD_OK);
    ck_assert_int_eq(ftruncate(source, 1 << 20), 0); /* no SIGBUS: nothing is mapped */
    ck_assert_int_eq(emd_refl_write(refl, &s, out, false, pool, &err), EMD_E_CHANGED);
    emd_refl_close(refl);
    emd_pool_free(pool);
    close(source);
    close(out);
    free(id);
}
END_TEST

/* --- analysis ---------------------------------------------------------------------------------*/

static struct emd_scan make_scan(long first, long last, double width)
{
    return (struct emd_scan){
        .first = first, .last = last, .width = width * (atan(1.0) / 45.0), .start = 0.3};
}

START_TEST(bins_follow_dials)
{
    const struct emd_scan scan = make_scan(9, 28, 0.5);
    const double z[] = {8, 8.5, 11.999, 12, 16, 27.9, 28, 7.99, 28.01, (double)NAN};
    struct emd_blanks b;
    ck_assert_int_eq(emd_blanks_counts(&scan, 2, 0.5, z, NULL, 10, &b, NULL), EMD_OK);
    ck_assert_uint_eq(b.bins, 5);
    ck_assert_uint_eq(b.used, 7);
    static const double counts[] = {3, 1, 1, 0, 2};
    for (size_t i = 0; i < 5; i++)
        ck_assert(b.value[i] == counts[i] && b.blank[i] == (counts[i] <= 1.5));
    size_t bin = 0;
    long first, last;
    ck_assert(emd_blanks_region(&b, &bin, &first, &last) && first == 13 && last == 24);
    ck_assert(!emd_blanks_region(&b, &bin, &first, &last));
    emd_blanks_free(&b);
}
END_TEST

START_TEST(bins_touch_whole_images)
{
    /* 20 images of 0.7 degrees, 2 degrees a bin: 3 images, 20 / 3 rounds to 7 bins. */
    const struct emd_scan scan = make_scan(1, 20, 0.7);
    const double z[] = {0.5, 19.5};
    struct emd_blanks b;
    ck_assert_int_eq(emd_blanks_counts(&scan, 2, 0.1, z, NULL, 2, &b, NULL), EMD_OK);
    ck_assert_uint_eq(b.bins, 7);
    static const long bounds[7][2] = {{1, 3},   {3, 6},   {6, 9},  {9, 12},
                                      {12, 15}, {15, 18}, {18, 20}};
    for (size_t i = 0; i < 7; i++)
        ck_assert(emd_blanks_first(&b, i) == bounds[i][0] &&
                  emd_blanks_last(&b, i) == bounds[i][1]);
    emd_blanks_free(&b);
}
END_TEST

START_TEST(isigma_without_signal_says_nothing)
{
    const struct emd_scan scan = make_scan(1, 20, 0.5);
    const double z[] = {1, 5, 9, 13, 17}, low[] = {-1, -3, -2, -1, -2}, one[] = {0, 0, 5, 0, -9};
    struct emd_blanks b;
    ck_assert_int_eq(emd_blanks_isigma(&scan, 2, 0.1, z, low, 5, &b, NULL), EMD_OK);
    ck_assert(!b.informative && b.highest == -1);
    for (size_t i = 0; i < b.bins; i++)
        ck_assert(!b.blank[i]);
    emd_blanks_free(&b);
    ck_assert_int_eq(emd_blanks_isigma(&scan, 2, 0.1, z, one, 5, &b, NULL), EMD_OK);
    ck_assert(b.informative && b.bins == 4 && b.blank[0] && !b.blank[1] && b.blank[2]);
    emd_blanks_free(&b);
}
END_TEST

START_TEST(extremes_of_scans_and_steps)
{
    struct emd_blanks b;
    const double z[] = {0.5};
    static const struct {
        long last;
        double width, step;
        size_t bins;
    } cases[] = {{1, 0.5, 2, 1},      {3, 0.5, 2, 1},   {4, 0.5, 2, 1},
                 {1000, 0.5, 1e6, 1}, {10, 5, 2, 10},   {10, -0.5, 2, 2},
                 {10, 0.5, 1e-6, 10}, {10, 1e-5, 2, 1}, {1000, 0.02, 2, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct emd_scan scan = make_scan(1, cases[i].last, cases[i].width);
        ck_assert_int_eq(emd_blanks_counts(&scan, cases[i].step, 0.1, z, NULL, 1, &b, NULL),
                         EMD_OK);
        ck_assert_uint_eq(b.bins, cases[i].bins);
        emd_blanks_free(&b);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blanks");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, json_is_written_as_read);
    tcase_add_test(tc, json_that_cannot_be_kept_is_refused);
    tcase_add_test(tc, numbers_are_written_as_python_does);
    tcase_add_test(tc, selection_copies_what_is_cut_and_shares_the_rest);
    tcase_add_test(tc, rows_of_a_large_table_are_selected);
    tcase_add_test(tc, table_that_changes_meanwhile_is_refused);
    tcase_add_test(tc, bins_follow_dials);
    tcase_add_test(tc, bins_touch_whole_images);
    tcase_add_test(tc, isigma_without_signal_says_nothing);
    tcase_add_test(tc, extremes_of_scans_and_steps);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
