/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/velox: metadata of any quality, tilts, rings, exact functions. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "velox/documents.h"
#include "velox/exact.h"
#include "velox/metadata.h"
#include "velox/picture.h"

static const double tilts[3] = {-10.5, -10, -9.5};
static const struct emd_movie movie = {.width = 1024,
                                       .height = 512,
                                       .frames = 3,
                                       .type = EMD_PIXEL_I16,
                                       .camera = "BM-Ceta",
                                       .counts_per_electron = 2,
                                       .voltage = 200,
                                       .wavelength = 0.0250793,
                                       .camera_length = 618,
                                       .pixel_size = 0.056,
                                       .binning = 4,
                                       .exposure = 0.25,
                                       .start_time = 1000000000,
                                       .tilt = tilts,
                                       .id = 42};

static char column[EMD_VELOX_METADATA_BYTES];

static enum emd_status parse(const char *text, struct emd_velox_metadata *m)
{
    return emd_velox_metadata_parse(text, strlen(text), m, NULL);
}

START_TEST(what_is_written_is_read)
{
    struct emd_velox_metadata m;
    emd_velox_frame_document(&movie, 1, column);
    ck_assert_int_eq(emd_velox_metadata_parse(column, sizeof column, &m, NULL), EMD_OK);
    ck_assert_double_eq_tol(m.alpha, -10, 1e-12);
    ck_assert_double_eq_tol(m.voltage, 200, 1e-12);
    ck_assert_double_eq_tol(m.camera_length, 618, 1e-9);
    ck_assert_double_eq_tol(m.exposure, 0.25, 1e-12);
    ck_assert_double_eq_tol(m.electrons_per_count, 0.5, 1e-9);
    ck_assert_double_eq_tol(m.gain, 2, 1e-9);
    ck_assert(m.unbinned[0] == 4096);
    ck_assert(m.unbinned[1] == 2048);
    ck_assert_int_eq(m.time, 1000000000 + 2 * 250000);
    ck_assert_int_eq(m.started, 1000);
    ck_assert_uint_eq(m.bits, 16);
    ck_assert_str_eq(m.detector, "BM-Ceta");
    ck_assert_str_eq(m.encoding, "Signed");
    ck_assert_str_eq(m.pixel_unit, "1/m");
    ck_assert_str_eq(m.instrument, "Simulator emdsim 0");
}
END_TEST

START_TEST(missing_and_odd_values_stay_unknown)
{
    struct emd_velox_metadata m;
    static const char *const harmless[] = {
        "{}",
        "{\"Stage\":null,\"Optics\":[],\"Detectors\":7,\"BinaryResult\":\"x\"}",
        "{\"Stage\":{\"AlphaTilt\":{}},\"CustomProperties\":[1,2]}",
        "{\"Stage\":{\"AlphaTilt\":\"nan\"},\"Optics\":{\"AccelerationVoltage\":\"-5\"}}",
        "{\"Stage\":{\"AlphaTilt\":\"1e999\"},\"Optics\":{\"AccelerationVoltage\":\"0x10\"}}",
        "{\"Stage\":{\"AlphaTilt\":\"\"},\"Optics\":{\"AccelerationVoltage\":true}}",
        "{\"Stage\":{\"AlphaTilt\":\"1.5 \"},\"Detectors\":{\"Detector-0\":null}}",
        ("{\"BinaryResult\":{\"Detector\":\"a\",\"BitsPerPixel\":\"1e300\"},"
         "\"CustomProperties\":{\"Detectors[a].TimeStamp\":{\"value\":\"-1\"}}}")};
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        ck_assert_int_eq(parse(harmless[i], &m), EMD_OK);
        ck_assert(isnan(m.alpha));
        ck_assert(isnan(m.voltage));
        ck_assert(isnan(m.exposure));
        ck_assert_int_eq(m.time, 0);
        ck_assert_uint_eq(m.bits, 0);
    }
    ck_assert_int_eq(
        parse("{\"Stage\":{\"AlphaTilt\":0.5},\"Optics\":{\"CameraLength\":\"1E0\"}}", &m), EMD_OK);
    ck_assert_double_eq_tol(m.alpha, 28.64788975654116, 1e-12);
    ck_assert_double_eq_tol(m.camera_length, 1000, 1e-12);
}
END_TEST

START_TEST(no_json_is_said_so)
{
    struct emd_velox_metadata m;
    char deep[4096];
    ck_assert_int_eq(emd_velox_metadata_parse("", 0, &m, NULL), EMD_E_EMPTY);
    ck_assert_int_eq(emd_velox_metadata_parse("\0{}", 3, &m, NULL), EMD_E_EMPTY);
    static const char *const wrong[] = {"[]", "\"x\"", "{", "{\"a\":", "xyz", "{\"a\":1,,}", "7"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(parse(wrong[i], &m), EMD_E_CORRUPT);
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    ck_assert_int_eq(emd_velox_metadata_parse(deep, sizeof deep, &m, NULL), EMD_E_CORRUPT);
    ck_assert(isnan(m.alpha));
}
END_TEST

START_TEST(long_and_hostile_texts_are_cut)
{
    struct emd_velox_metadata m;
    char text[4096], *p = text;
    p += sprintf(p, "{\"BinaryResult\":{\"Detector\":\"\\u001b[31m");
    for (int i = 0; i < 500; i++)
        p += sprintf(p, "\xc3\xa4");
    sprintf(p, "\"}}");
    ck_assert_int_eq(parse(text, &m), EMD_OK);
    ck_assert_uint_lt(strlen(m.detector), sizeof m.detector);
    ck_assert_int_eq(m.detector[0], '?');
    const size_t n = strlen(m.detector);
    ck_assert_int_eq((unsigned char)m.detector[n - 1], 0xa4); /* no half character at the cut */
}
END_TEST

/* Every truncation and 20000 mutations of a real-looking document: no crash (run it under ASan), a
 * sane result. */
START_TEST(damaged_documents_are_harmless)
{
    struct emd_velox_metadata m;
    emd_velox_frame_document(&movie, 0, column);
    const size_t n = strlen(column);
    char *copy = malloc(n + 1);
    for (size_t i = 0; i < n; i += 3) {
        memcpy(copy, column, n + 1);
        emd_velox_metadata_parse(copy, i, &m, NULL);
        ck_assert(isnan(m.alpha)); /* an object that does not end is none */
    }
    unsigned state = 1;
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, column, n + 1);
        for (int k = 0; k < 3; k++) {
            state = state * 1664525 + 1013904223;
            copy[state % n] = (char)(state >> 24);
        }
        if (emd_velox_metadata_parse(copy, n, &m, NULL) != EMD_OK)
            ck_assert(isnan(m.alpha));
        ck_assert(!isinf(m.alpha) && !(m.voltage <= 0) && !(m.exposure <= 0));
        ck_assert_uint_lt(strlen(m.instrument), sizeof m.instrument);
    }
    free(copy);
}
END_TEST

START_TEST(velox_is_recognised)
{
    char version[16];
    const char *right = "{\n \"version\": \"11\",\n \"format\": \"Velox\"\n}\n";
    ck_assert_int_eq(emd_velox_version_parse(right, strlen(right), version, NULL), EMD_OK);
    ck_assert_str_eq(version, "11");
    static const char *const wrong[] = {
        "", "{}", "{\"format\":\"Berkeley\"}", "{\"format\":1}", "{\"version\":\"8\"}", "Velox"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(emd_velox_version_parse(wrong[i], strlen(wrong[i]), version, NULL),
                         EMD_E_FORMAT);
}
END_TEST

START_TEST(tilts_are_fitted_in_spite_of_outliers)
{
    double tilt[150];
    struct emd_tilt_fit fit;
    unsigned state = 7;
    for (int i = 0; i < 150; i++) {
        state = state * 1664525 + 1013904223;
        tilt[i] = 40 - 0.5 * i + 0.004 * ((double)(state >> 8) / 8388608 - 1);
    }
    ck_assert_int_eq(emd_tilt_fit(tilt, 150, &fit, NULL), EMD_OK);
    ck_assert_double_eq_tol(fit.step, -0.5, 1e-4);
    ck_assert_double_eq_tol(fit.start, 40, 0.01);
    ck_assert_double_eq_tol(fit.end, -34.5, 0.01);
    ck_assert_uint_eq(fit.outliers, 0);
    tilt[3] = 90;
    tilt[77] = 0;
    tilt[100] = NAN;
    tilt[149] = -60;
    ck_assert_int_eq(emd_tilt_fit(tilt, 150, &fit, NULL), EMD_OK);
    ck_assert_double_eq_tol(fit.step, -0.5, 1e-3);
    ck_assert_uint_eq(fit.outliers, 3);
    ck_assert_uint_eq(fit.known, 149);
}
END_TEST

START_TEST(few_tilts_are_no_problem)
{
    struct emd_tilt_fit fit;
    double none[4] = {NAN, NAN, NAN, NAN}, one[2] = {NAN, 3}, two[2] = {1, 3},
           still[4] = {5, 5, 5, 5};
    double sparse[6] = {0, NAN, NAN, NAN, 4, NAN};
    ck_assert_int_eq(emd_tilt_fit(NULL, 0, &fit, NULL), EMD_OK);
    ck_assert(isnan(fit.step) && isnan(fit.start) && isnan(fit.end));
    emd_tilt_fit(none, 4, &fit, NULL);
    ck_assert(isnan(fit.step) && fit.known == 0);
    emd_tilt_fit(one, 2, &fit, NULL);
    ck_assert(fit.step == 0 && fit.start == 3 && fit.known == 1);
    emd_tilt_fit(two, 2, &fit, NULL);
    ck_assert(fit.step == 2 && fit.start == 1 && fit.end == 3);
    emd_tilt_fit(still, 4, &fit, NULL);
    ck_assert(fit.step == 0 && fit.start == 5 && fit.outliers == 0);
    emd_tilt_fit(sparse, 6, &fit, NULL);
    ck_assert_double_eq_tol(fit.step, 1, 1e-12);
}
END_TEST

/* 'before' and 'behind' frames at rest around a movie of n: the ramp begins with frame 'before'. */
static void ramp(double *tilt, int n, int before, int behind, double start, double step,
                 double jitter)
{
    unsigned state = 11;
    for (int i = 0; i < n; i++) {
        int k = i - before;
        k = k < 0 ? 0 : k > n - before - behind ? n - before - behind : k;
        state = state * 1664525 + 1013904223;
        tilt[i] = start + step * k + jitter * ((double)(state >> 8) / 8388608 - 1);
    }
}

START_TEST(a_stage_at_rest_is_found_at_both_ends)
{
    static const struct {
        int n, before, behind;
        double step, jitter;
    } cases[] = {{12, 4, 4, 1, 0},         {60, 7, 7, 0.6, 0.01},   {60, 14, 0, -0.6, 0.01},
                 {60, 0, 14, 0.6, 0.01},   {150, 0, 0, -0.5, 0.01}, {150, 100, 30, 0.5, 0.02},
                 {600, 50, 20, 0.02, 0.01}};
    double tilt[600];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int n = cases[i].n, before = cases[i].before, behind = cases[i].behind;
        struct emd_tilt_fit fit;
        ramp(tilt, n, before, behind, -20, cases[i].step, cases[i].jitter);
        ck_assert_int_eq(emd_tilt_fit(tilt, (size_t)n, &fit, NULL), EMD_OK);
        /* Exact, but where many frames are needed to tell movement from jitter. */
        const int slack = fabs(cases[i].step) > 5 * cases[i].jitter ? 0 : 3;
        ck_assert_int_le(abs((int)fit.first - before), slack);
        ck_assert_int_le(abs((int)fit.last - (n - 1 - behind)), slack);
        ck_assert_double_eq_tol(fit.step, cases[i].step, 0.01 * fabs(cases[i].step));
        ck_assert_double_eq_tol(fit.start, -20 + cases[i].step * ((int)fit.first - before),
                                0.02 + slack * fabs(cases[i].step));
        ck_assert_uint_eq(fit.outliers, 0);
    }
    /* An outlier at rest is no movement; one frame at rest is no rest. */
    struct emd_tilt_fit fit;
    ramp(tilt, 60, 7, 7, -20, 0.6, 0.01);
    tilt[2] = 30;
    tilt[57] = NAN;
    emd_tilt_fit(tilt, 60, &fit, NULL);
    ck_assert_uint_eq(fit.first, 7);
    ck_assert_uint_eq(fit.last, 52);
    ramp(tilt, 60, 0, 0, 5, 0, 0.02);
    emd_tilt_fit(tilt, 60, &fit, NULL);
    ck_assert(fit.step == 0 && fit.first == 0 && fit.last == 59);
    ck_assert_double_eq_tol(fit.start, 5, 0.01);
    ramp(tilt, 60, 1, 1, -20, 0.6, 0.01);
    emd_tilt_fit(tilt, 60, &fit, NULL);
    ck_assert_uint_eq(fit.first, 0);
    ck_assert_uint_eq(fit.last, 59);
}
END_TEST

START_TEST(saturation_is_a_pixel_value)
{
    static const struct {
        const char *properties;
        double saturation;
    } cases[] = {
        {"\"Detectors[C].SaturationPoint\":{\"value\":\"6204\"},"
         "\"Detectors[C].MaxPossiblePixelValue\":{\"value\":\"9686\"},"
         "\"Detectors[C].PixelValueToCameraCounts\":{\"value\":\"64\"}",
         6204},
        {"\"Detectors[C].SaturationPoint\":{\"value\":\"512000\"},"
         "\"Detectors[C].MaxPossiblePixelValue\":{\"value\":\"9686\"},"
         "\"Detectors[C].PixelValueToCameraCounts\":{\"value\":\"64\"}",
         8000},
        {"\"Detectors[C].MaxPossiblePixelValue\":{\"value\":\"9686\"}", 9686},
        {"\"Detectors[C].SaturationPoint\":{\"value\":\"8425\"}", 8425},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        struct emd_velox_metadata m;
        const int n = snprintf(text, sizeof text,
                               "{\"BinaryResult\":{\"Detector\":\"C\"},\"CustomProperties\":{%s}}",
                               cases[i].properties);
        ck_assert_int_eq(emd_velox_metadata_parse(text, (size_t)n, &m, NULL), EMD_OK);
        ck_assert_double_eq_tol(m.saturation, cases[i].saturation, 1e-9);
    }
}
END_TEST

START_TEST(exact_functions_agree_with_libm)
{
    for (double x = -700; x < 700; x += 0.37)
        ck_assert_double_eq_tol(emd_exact_exp(x) / exp(x), 1, 1e-14);
    ck_assert(emd_exact_exp(-1000) == 0);
    for (double t = -3; t < 3; t += 0.00173) {
        double s, c;
        emd_exact_sincos_turns(t, &s, &c);
        ck_assert_double_eq_tol(s, sin(6.283185307179586 * t), 1e-14);
        ck_assert_double_eq_tol(c, cos(6.283185307179586 * t), 1e-14);
    }
    double s, c;
    emd_exact_sincos_degrees(90, &s, &c);
    ck_assert(s == 1 && c == 0);
}
END_TEST

START_TEST(rings_and_wavelengths)
{
    ck_assert_double_eq_tol(emd_electron_wavelength(200), 0.0250793, 1e-6);
    ck_assert_double_eq_tol(emd_electron_wavelength(300), 0.0196875, 1e-6);
    ck_assert(isnan(emd_electron_wavelength(NAN)));
    /* small angles: distance x lambda / d */
    ck_assert_double_eq_tol(emd_ring_radius(1, 0.0250793, 618, 0.056), 618 * 0.0250793 / 0.056,
                            0.1);
    ck_assert(isnan(emd_ring_radius(0, 0.025, 618, 0.056)));
    ck_assert(isnan(emd_ring_radius(0.001, 0.025, 618, 0.056)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("velox");
    TCase *tests = tcase_create("velox");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, missing_and_odd_values_stay_unknown);
    tcase_add_test(tests, no_json_is_said_so);
    tcase_add_test(tests, long_and_hostile_texts_are_cut);
    tcase_add_test(tests, damaged_documents_are_harmless);
    tcase_add_test(tests, velox_is_recognised);
    tcase_add_test(tests, tilts_are_fitted_in_spite_of_outliers);
    tcase_add_test(tests, few_tilts_are_no_problem);
    tcase_add_test(tests, a_stage_at_rest_is_found_at_both_ends);
    tcase_add_test(tests, saturation_is_a_pixel_value);
    tcase_add_test(tests, exact_functions_agree_with_libm);
    tcase_add_test(tests, rings_and_wavelengths);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
