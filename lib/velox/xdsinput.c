/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See xdsinput.h. */
#include "velox/xdsinput.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const suffixes[] = {".emd", ".h5", ".hdf5"};
enum { SUFFIXES = sizeof suffixes / sizeof *suffixes };

/* ---- names ---- */

static bool ends_with(const char *text, size_t n, const char *end)
{
    const size_t k = strlen(end);
    return n >= k && memcmp(text + n - k, end, k) == 0;
}

/* Length of X in X_master.h5, X_??????.h5, X_000001.h5; 0: another name. */
static size_t stem_length(const char *name)
{
    size_t n = strlen(name);
    if (ends_with(name, n, "_master.h5"))
        return n - strlen("_master.h5");
    if (!ends_with(name, n, ".h5"))
        return 0;
    n -= strlen(".h5");
    const size_t end = n;
    while (n > 0 && (name[n - 1] == '?' || isdigit((unsigned char)name[n - 1])))
        n--;
    return n > 1 && n < end && name[n - 1] == '_' ? n - 1 : 0;
}

bool emd_xds_find_movie(const char *name, char *path, size_t room)
{
    int n = snprintf(path, room, "%s", name);
    if (n < 0 || (size_t)n >= room)
        return false;
    if (access(path, F_OK) == 0)
        return true;
    const size_t stem = stem_length(name);
    for (size_t i = 0; i < SUFFIXES && stem > 0; i++) {
        n = snprintf(path, room, "%.*s%s", (int)stem, name, suffixes[i]);
        if (n > 0 && (size_t)n < room && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* Whether XDS could be told this name: its lines have words between spaces, '!' begins a remark,
 * and
 * '?' stands for digits. */
static bool is_sayable(const char *path)
{
    for (const char *p = path; *p; p++)
        if (isspace((unsigned char)*p) || *p == '!' || *p == '?' || (unsigned char)*p < ' ')
            return false;
    return true;
}

enum emd_status emd_xds_template(const char *path, char **text, struct emd_error *err)
{
    char *whole = realpath(path, NULL), found[PATH_MAX];
    enum emd_status status = EMD_OK;
    size_t n = whole ? strlen(whole) : 0, stem = 0;
    *text = NULL;
    if (!whole)
        return emd_fail(err, EMD_E_IO, "cannot be inspected");
    for (size_t i = 0; i < SUFFIXES && stem == 0; i++)
        if (ends_with(whole, n, suffixes[i]))
            stem = n - strlen(suffixes[i]);
    if (stem == 0 || !is_sayable(whole))
        status = emd_fail(err, EMD_E_UNSUPPORTED,
                          "XDS cannot read a file of this name: rename it, or make a link, without "
                          "spaces, '?' and '!', that ends with .emd, .h5 or .hdf5");
    else if (asprintf(text, "%.*s_??????.h5", (int)stem, whole) < 0) {
        *text = NULL;
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    } else {
        char *master = NULL;
        if (asprintf(&master, "%.*s_master.h5", (int)stem, whole) < 0)
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        else if (!emd_xds_find_movie(master, found, sizeof found) || strcmp(found, whole) != 0)
            status = emd_fail(err, EMD_E_UNSUPPORTED,
                              "XDS would read %s instead: rename one of them", found);
        free(master);
    }
    if (status != EMD_OK) {
        free(*text);
        *text = NULL;
    }
    free(whole);
    return status;
}

/* ---- XDS.INP ---- */

static double or_else(double value, double usual)
{
    return isfinite(value) && value > 0 ? value : usual;
}

/* A line with a number; 'known' false: with a remark. */
static void put_number(FILE *out, const char *name, double value, int digits, bool known,
                       const char *remark)
{
    fprintf(out, "%s= %.*f%s%s\n", name, digits, value,
            known ? "" : " ! not in the file: ", known ? "" : remark);
}

static void put_detector(FILE *out, const struct emd_xds_movie *m)
{
    const struct emd_info_stack *s = m->stack;
    const struct emd_velox_metadata *meta = &s->first;
    const struct emd_estimate *e = m->estimate;
    const double pixel = emd_camera_pixel(meta, s->binning);
    const double implied = emd_implied_distance(meta, s->binning);
    const bool centre = isfinite(e->centre[0]) && isfinite(e->centre[1]);
    /* The largest value of the type where nothing is said. */
    const double most = strcmp(s->type, "int8") == 0     ? INT8_MAX
                        : strcmp(s->type, "uint8") == 0  ? UINT8_MAX
                        : strcmp(s->type, "int16") == 0  ? INT16_MAX
                        : strcmp(s->type, "uint16") == 0 ? UINT16_MAX
                                                         : INT32_MAX;
    const double overload = fmin(or_else(meta->saturation, most), most) + m->pedestal;
    fprintf(out, "\nDETECTOR= EIGER  MINIMUM_VALID_PIXEL_VALUE= 0  OVERLOAD= %.0f\n",
            fmin(overload, INT32_MAX));
    fprintf(out, "SENSOR_THICKNESS= 0.0  AIR= 0.0\n");
    fprintf(out, "NX= %zu  NY= %zu  QX= %.5f  QY= %.5f%s\n", s->width, s->height,
            or_else(pixel, 0.014), or_else(pixel, 0.014),
            isfinite(pixel) ? "" : " ! camera not known: a guess");
    fprintf(out, "DIRECTION_OF_DETECTOR_X-AXIS= 1 0 0\nDIRECTION_OF_DETECTOR_Y-AXIS= 0 1 0\n");
    /* XDS counts from the centre of the first pixel, which is 1. */
    fprintf(out, "ORGX= %.2f  ORGY= %.2f%s\n",
            centre ? e->centre[0] + 0.5 : (double)s->width / 2 + 0.5,
            centre ? e->centre[1] + 0.5 : (double)s->height / 2 + 0.5,
            centre ? "" : " ! not found: the middle");
    put_number(out, "DETECTOR_DISTANCE", or_else(meta->camera_length, 1000), 2,
               isfinite(meta->camera_length), "a guess");
    if (isfinite(implied) && isfinite(meta->camera_length) &&
        fabs(implied / meta->camera_length - 1) > 0.01)
        fprintf(out, "!DETECTOR_DISTANCE= %.2f ! what the calibration of the pixel size implies\n",
                implied);
    fprintf(out, "TRUSTED_REGION= 0.0 1.42\n");
}

static void put_rotation(FILE *out, const struct emd_info_stack *s)
{
    const struct emd_tilt_fit *t = &s->tilt;
    const bool turns = t->known > 0 && isfinite(t->step) && t->step != 0;
    const double step = turns ? t->step : 1;
    const size_t first = turns ? t->first + 1 : 1, last = turns ? t->last + 1 : s->frames;
    const size_t background = last - first < 9 ? last : first + 9;
    fprintf(out, "\nDATA_RANGE= %zu %zu\nSPOT_RANGE= %zu %zu\nBACKGROUND_RANGE= %zu %zu\n", first,
            last, first, last, first, background);
    if (turns && (t->first > 0 || t->last + 1 < s->frames))
        fprintf(out, "! outside these frames the stage is at rest\n");
    /* Scans run forwards: a stage that turns backwards turns about the opposite axis. The axis is
     * the one that the format class for DIALS says, whose y is up where XDS' is down. */
    fprintf(out, "ROTATION_AXIS= 0 %s 0%s\n", step < 0 ? "-1" : "1",
            " ! vertical in the image: see the microscope's calibration");
    put_number(out, "OSCILLATION_RANGE", fabs(step), 5, turns, "a guess");
    fprintf(out, "STARTING_FRAME= %zu  STARTING_ANGLE= %.4f\n", first,
            !turns     ? 0.0
            : step < 0 ? -t->start
                       : t->start);
}

enum emd_status emd_xds_input(const struct emd_xds_movie *m, char **text, struct emd_error *err)
{
    const struct emd_velox_metadata *meta = &m->stack->first;
    const double wavelength = emd_electron_wavelength(meta->voltage);
    size_t n = 0;
    *text = NULL;
    FILE *out = open_memstream(text, &n);
    if (!out)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    fprintf(out,
            "! XDS.INP for %s, by emdinfo %s\n"
            "! %s adds %d to all pixels, because XDS ignores negative ones.\n"
            "JOB= XYCORR INIT COLSPOT IDXREF DEFPIX INTEGRATE CORRECT\n\n"
            "NAME_TEMPLATE_OF_DATA_FRAMES= %s\nLIB= %s\n",
            m->stack->path, EMDTOOLS_VERSION, "The library", (int)m->pedestal, m->template,
            m->library);
    put_detector(out, m);
    put_rotation(out, m->stack);
    fprintf(out, "\nX-RAY_WAVELENGTH= %.6f%s\n", isfinite(wavelength) ? wavelength : 0.025079,
            isfinite(wavelength) ? "" : " ! not in the file: 200 kV");
    fprintf(out, "INCIDENT_BEAM_DIRECTION= 0 0 1\nFRACTION_OF_POLARIZATION= 0.5\n"
                 "POLARIZATION_PLANE_NORMAL= 0 1 0\n\n"
                 "SPACE_GROUP_NUMBER= 0\nUNIT_CELL_CONSTANTS= 0 0 0 0 0 0\n"
                 "INCLUDE_RESOLUTION_RANGE= 50 0.7\nFRIEDEL'S_LAW= TRUE\n");
    const bool failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(*text);
        *text = NULL;
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    return EMD_OK;
}
