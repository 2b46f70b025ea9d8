/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See metadata.h. */
#include "velox/metadata.h"

#include <json.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/median.h"

#define DEGREES 57.295779513082320877

/* json-c's own default; real documents use 5 levels. */
enum { DEPTH_MAX = 32 };

void emd_velox_metadata_clear(struct emd_velox_metadata *m)
{
    memset(m, 0, sizeof *m);
    m->alpha = m->beta = m->x = m->y = m->z = m->voltage = m->camera_length = NAN;
    m->magnification = m->exposure = m->dwell = m->screen_current = m->dose = NAN;
    m->electrons_per_count = m->saturation = m->counts_per_value = m->binning = m->gain = NAN;
    m->pixel_size[0] = m->pixel_size[1] = m->unbinned[0] = m->unbinned[1] = NAN;
}

/* The document, or NULL. */
static json_object *parse(const char *text, size_t n)
{
    json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return NULL;
    const size_t length = strnlen(text, n);
    json_object *root = NULL;
    if (length > 0 && length <= INT32_MAX)
        root = json_tokener_parse_ex(tokener, text, (int)length);
    if (json_tokener_get_error(tokener) != json_tokener_success ||
        !json_object_is_type(root, json_type_object)) {
        json_object_put(root);
        root = NULL;
    }
    json_tokener_free(tokener);
    return root;
}

/* A member of an object; NULL where 'object' is none or has no such key. */
static json_object *member(json_object *object, const char *key)
{
    json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, key, &value);
    return value;
}

static const char *as_text(json_object *value)
{
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static double as_number(json_object *value)
{
    if (json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int)) {
        const double number = json_object_get_double(value);
        return isfinite(number) ? number : NAN;
    }
    const char *text = as_text(value);
    char *end;
    if (!text || *text == '\0' || strspn(text, "+-.0123456789eE") != strlen(text))
        return NAN;
    const double number = strtod(text, &end);
    return *end == '\0' && isfinite(number) ? number : NAN;
}

static double number(json_object *object, const char *key)
{
    return as_number(member(object, key));
}

/* A whole number within [low, high], else 0: time stamps exceed what a double holds exactly only
 * beyond the year 2255. */
static int64_t whole(json_object *value, double low, double high)
{
    const double v = as_number(value);
    return v >= low && v <= high ? (int64_t)v : 0;
}

static double positive(double value)
{
    return value > 0 ? value : NAN;
}

static void keep_text(const char *from, char *to, size_t capacity)
{
    size_t n = 0;
    for (; from && from[n] && n + 1 < capacity; n++)
        to[n] = (unsigned char)from[n] < 0x20 || from[n] == 0x7f ? '?' : from[n];
    /* never half a character: UTF-8 continuation bytes at the cut go with their beginning */
    if (from && from[n] && ((unsigned char)from[n] & 0xc0) == 0x80) {
        while (n > 0 && ((unsigned char)to[n - 1] & 0xc0) == 0x80)
            n--;
        if (n > 0)
            n--;
    }
    to[n] = '\0';
}

static void text(json_object *object, const char *key, char *to, size_t capacity)
{
    keep_text(as_text(member(object, key)), to, capacity);
}

/* CustomProperties hold {"Detectors[BM-Ceta].TimeStamp": {"type": ..., "value": ...}}. */
static json_object *property(json_object *properties, const char *detector, const char *name)
{
    char key[128];
    snprintf(key, sizeof key, "Detectors[%s].%s", detector, name);
    return member(member(properties, key), "value");
}

/* The first property whose name speaks of a dose or fluence and whose value is a number. */
static void find_dose(json_object *properties, struct emd_velox_metadata *m)
{
    if (!json_object_is_type(properties, json_type_object))
        return;
    json_object_object_foreach(properties, key, value)
    {
        const bool speaks = strstr(key, "Dose") || strstr(key, "dose") || strstr(key, "Fluence");
        const double v = speaks ? number(value, "value") : NAN;
        if (isfinite(v)) {
            m->dose = v;
            keep_text(key, m->dose_unit, sizeof m->dose_unit);
            return;
        }
    }
}

/* The entry of "Detectors" that took the frame. */
static json_object *find_detector(json_object *detectors, const char *name)
{
    json_object *found = NULL;
    if (!json_object_is_type(detectors, json_type_object))
        return NULL;
    json_object_object_foreach(detectors, key, value)
    {
        const char *its_name = as_text(member(value, "DetectorName"));
        (void)key;
        if (its_name && strcmp(its_name, name) == 0)
            found = value;
    }
    return found;
}

static void fill_instrument(json_object *instrument, struct emd_velox_metadata *m)
{
    char class[24], model[24], id[16];
    text(instrument, "Manufacturer", m->manufacturer, sizeof m->manufacturer);
    text(instrument, "ControlSoftwareVersion", m->software, sizeof m->software);
    text(instrument, "InstrumentClass", class, sizeof class);
    text(instrument, "InstrumentModel", model, sizeof model);
    text(instrument, "InstrumentId", id, sizeof id);
    if (strcmp(class, model) == 0)
        model[0] = '\0';
    snprintf(m->instrument, sizeof m->instrument, "%s%s%s%s%s", class, *class && *model ? " " : "",
             model, (*class || *model) && *id ? " " : "", id);
}

/* SaturationPoint is a pixel value (6204 beside a MaxPossiblePixelValue of 9686, of pixels that are
 * averages of 64); one above the largest possible value can only be in the camera's counts. */
static double saturation(json_object *properties, const struct emd_velox_metadata *m)
{
    const double point = positive(as_number(property(properties, m->detector, "SaturationPoint")));
    const double most =
        positive(as_number(property(properties, m->detector, "MaxPossiblePixelValue")));
    if (point > most)
        return m->counts_per_value > 1 ? fmin(point / m->counts_per_value, most) : most;
    return isfinite(point) ? point : most;
}

enum emd_status emd_velox_metadata_parse(const char *document, size_t n,
                                         struct emd_velox_metadata *m, struct emd_error *err)
{
    emd_velox_metadata_clear(m);
    if (strnlen(document, n) == 0)
        return emd_fail(err, EMD_E_EMPTY, "no metadata");
    json_object *root = parse(document, n);
    if (!root)
        return emd_fail(err, EMD_E_CORRUPT, "the metadata are not a JSON object");
    json_object *optics = member(root, "Optics"), *stage = member(root, "Stage");
    json_object *position = member(stage, "Position"), *result = member(root, "BinaryResult");
    json_object *properties = member(root, "CustomProperties");
    json_object *acquisition = member(root, "Acquisition"), *size = member(result, "PixelSize");
    m->alpha = number(stage, "AlphaTilt") * DEGREES;
    m->beta = number(stage, "BetaTilt") * DEGREES;
    m->x = number(position, "x") * 1e6;
    m->y = number(position, "y") * 1e6;
    m->z = number(position, "z") * 1e6;
    m->voltage = positive(number(optics, "AccelerationVoltage")) / 1000;
    m->camera_length = positive(number(optics, "CameraLength")) * 1000;
    m->magnification = positive(number(optics, "NominalMagnification"));
    m->screen_current = number(optics, "LastMeasuredScreenCurrent") * 1e9;
    m->dwell = positive(number(member(root, "Scan"), "DwellTime"));
    text(optics, "TemOperatingSubMode", m->mode, sizeof m->mode);
    text(result, "Detector", m->detector, sizeof m->detector);
    text(result, "Encoding", m->encoding, sizeof m->encoding);
    text(result, "PixelUnitX", m->pixel_unit, sizeof m->pixel_unit);
    m->bits = (unsigned)whole(member(result, "BitsPerPixel"), 1, 1024);
    m->pixel_size[0] = positive(number(size, "width"));
    m->pixel_size[1] = positive(number(size, "height"));
    size = member(result, "ImageSize");
    m->unbinned[0] = positive(number(size, "width"));
    m->unbinned[1] = positive(number(size, "height"));
    json_object *const detector = find_detector(member(root, "Detectors"), m->detector);
    m->exposure = positive(number(detector, "ExposureTime"));
    m->binning = positive(number(member(detector, "Binning"), "width"));
    m->electrons_per_count =
        positive(as_number(property(properties, m->detector, "CountsToElectrons")));
    m->counts_per_value =
        positive(as_number(property(properties, m->detector, "PixelValueToCameraCounts")));
    m->gain = positive(
        1 / (m->electrons_per_count * (isnan(m->counts_per_value) ? 1 : m->counts_per_value)));
    if (isinf(m->gain))
        m->gain = NAN;
    m->saturation = saturation(properties, m);
    m->time = whole(property(properties, m->detector, "TimeStamp"), 1, 9e15);
    m->started = whole(member(member(acquisition, "AcquisitionStartDatetime"), "DateTime"), 1, 9e9);
    find_dose(properties, m);
    fill_instrument(member(root, "Instrument"), m);
    json_object_put(root);
    return EMD_OK;
}

enum emd_status emd_velox_version_parse(const char *document, size_t n, char version[16],
                                        struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    json_object *root = parse(document, n);
    const char *format = as_text(member(root, "format"));
    json_object *value = member(root, "version");
    version[0] = '\0';
    if (!format || strcmp(format, "Velox") != 0)
        status = emd_fail(err, EMD_E_FORMAT, "not a Velox file");
    else if (json_object_is_type(value, json_type_int))
        snprintf(version, 16, "%lld", (long long)json_object_get_int64(value));
    else
        keep_text(as_text(value), version, 16);
    json_object_put(root);
    return status;
}

void emd_velox_string_parse(const char *document, size_t n, const char *key, char *value,
                            size_t capacity)
{
    json_object *root = parse(document, n);
    text(root, key, value, capacity);
    json_object_put(root);
}

/* --- tilts ------------------------------------------------------------------------------------*/

/* The slopes between frames 'lag' apart, in degrees per frame; their number. */
static size_t slopes(const double *tilt, size_t n, size_t lag, double *out)
{
    size_t count = 0;
    for (size_t i = 0; i + lag < n; i++)
        if (isfinite(tilt[i]) && isfinite(tilt[i + lag]))
            out[count++] = (tilt[i + lag] - tilt[i]) / (double)lag;
    return count;
}

/* Gaps between known tilts closed by straight lines; what lies before the first and behind the last
 * stays unknown. */
static void close_gaps(const double *tilt, size_t n, double *out)
{
    size_t last = n;
    for (size_t i = 0; i < n; i++) {
        out[i] = tilt[i];
        if (!isfinite(tilt[i]))
            continue;
        for (size_t k = last + 1; last < n && k < i; k++)
            out[k] = tilt[last] + (tilt[i] - tilt[last]) * (double)(k - last) / (double)(i - last);
        last = i;
    }
}

/* Single outliers gone: each value is the median of itself and its neighbours, which leaves ramps
 * and rests as they are. */
static void drop_outliers(double *tilt, size_t n)
{
    double before = n > 0 ? tilt[0] : 0;
    for (size_t i = 1; i + 1 < n; i++) {
        const double a = before, b = tilt[i], c = tilt[i + 1];
        before = b;
        if (isfinite(a) && isfinite(b) && isfinite(c))
            tilt[i] = fmax(fmin(a, b), fmin(fmax(a, b), c));
    }
}

/* The size of a step while the stage turns: of the steps between neighbours, those above half of
 * their 90th percentile; so a tenth of the frames may turn and a tenth may be outliers. */
static double moving_step(double *steps, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        steps[i] = fabs(steps[i]);
    if (count == 0)
        return 0;
    qsort(steps, count, sizeof *steps, emd_compare_doubles);
    const double limit = steps[(size_t)(0.9 * (double)(count - 1))] / 2;
    for (size_t i = 0; i < count; i++)
        if (steps[i] > limit)
            steps[kept++] = steps[i];
    return kept > 0 ? emd_median(steps, kept) : 0;
}

/* Scatter of single tilts: second differences vanish at rest and in a steady rotation, and are
 * sqrt(6) times as wide as what they are made of. Their lower quartile, since each wrong tilt
 * spoils three of them; 3.138: from there to the sigma of a normal distribution. */
static double jitter(const double *tilt, size_t n, double *work)
{
    size_t count = 0;
    for (size_t i = 0; i + 2 < n; i++) {
        const double second = tilt[i] - 2 * tilt[i + 1] + tilt[i + 2];
        if (isfinite(second))
            work[count++] = fabs(second);
    }
    if (count == 0)
        return 0;
    emd_median(work, count); /* sorts */
    return 3.138 * work[count / 4] / sqrt(6);
}

/* Finds where the stage begins and stops to turn. 'filled' and 'work' have room for n. */
static void find_rest(const double *tilt, size_t n, double noise, double *filled, double *work,
                      struct emd_tilt_fit *fit)
{
    close_gaps(tilt, n, filled);
    drop_outliers(filled, n);
    const double step = moving_step(work, slopes(filled, n, 1, work));
    size_t lag = 1, first = n, last = 0;
    if (step < 1e-5)
        return;
    /* Half a step must be four times the scatter, or noise would be taken for movement. */
    while ((double)lag * step < 8 * noise && lag < n / 8)
        lag++;
    const size_t count = slopes(filled, n, lag, work);
    size_t up = 0, down = 0;
    for (size_t i = 0; i < count; i++) {
        up += work[i] > step / 2;
        down += work[i] < -step / 2;
    }
    const double way = down > up ? -1 : 1;
    size_t before = 0, behind = 0; /* steps at rest */
    for (size_t i = 0; i + lag < n; i++) {
        const double slope = (filled[i + lag] - filled[i]) / (double)lag * way;
        /* What is unknown may turn; what jumps there and back is an outlier. */
        const bool moves = !isfinite(slope) || (slope > step / 2 && slope < 3 * step);
        const bool rests = fabs(slope) <= step / 2;
        if (moves && first == n)
            first = i;
        before += rests && first == n;
        behind += rests;
        if (moves) {
            last = i;
            behind = 0;
        }
    }
    /* So must the whole way. */
    if (first == n || (double)(last + lag - first) * step < 8 * noise)
        return;
    fit->first = before > 1 ? first + lag / 2 : 0;
    fit->last = behind > 1 ? last + lag / 2 : n - 1;
}

enum emd_status emd_tilt_fit(const double *tilt, size_t n, struct emd_tilt_fit *fit,
                             struct emd_error *err)
{
    double *const work = malloc((2 * n + 1) * sizeof *work);
    const double *const all = tilt;
    size_t count = 0;
    *fit = (struct emd_tilt_fit){.start = NAN, .step = NAN, .end = NAN, .last = n > 0 ? n - 1 : 0};
    if (!work)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++)
        fit->known += isfinite(tilt[i]) != 0;
    const double noise = jitter(tilt, n, work);
    find_rest(tilt, n, noise, work + n, work, fit);
    const size_t first = fit->first, frames = n > 0 ? fit->last - first + 1 : 0;
    const size_t half = frames / 2 > 0 ? frames / 2 : 1;
    tilt = n > 0 ? tilt + first : tilt;
    count = slopes(tilt, frames, half, work);
    if (count == 0 && fit->known > 1) { /* too many gaps: neighbours among the known */
        size_t last = frames;
        for (size_t i = 0; i < frames; i++) {
            if (!isfinite(tilt[i]))
                continue;
            if (last < frames)
                work[count++] = (tilt[i] - tilt[last]) / (double)(i - last);
            last = i;
        }
    }
    fit->step = count > 0 ? emd_median(work, count) : fit->known > 0 ? 0 : NAN;
    /* A stage at rest reads 1e-5 degrees up and down. */
    if (fabs(fit->step) < 1e-5)
        fit->step = 0;
    count = 0;
    for (size_t i = 0; i < frames; i++)
        if (isfinite(tilt[i]))
            work[count++] = tilt[i] - fit->step * (double)i;
    fit->start = emd_median(work, count);
    fit->end = n > 0 ? fit->start + fit->step * (double)(frames - 1) : NAN;
    for (size_t i = 0; i < count; i++)
        work[i] = fabs(work[i] - fit->start);
    fit->limit = 6 * 1.4826 * emd_median(work, count);
    /* What stays within its own scatter all the way is at rest. */
    if (fabs(fit->step) * (double)(frames - 1) < fmax(fit->limit, 8 * noise)) {
        fit->step = 0;
        fit->first = 0;
        fit->last = n - 1;
        count = 0;
        for (size_t i = 0; i < n; i++)
            if (isfinite(all[i]))
                work[count++] = all[i];
        fit->start = fit->end = emd_median(work, count);
        for (size_t i = 0; i < count; i++)
            work[i] = fabs(work[i] - fit->start);
        fit->limit = 6 * 1.4826 * emd_median(work, count);
    }
    fit->limit = fmax(fit->limit, fmax(0.05 * fabs(fit->step), 0.01));
    for (size_t i = 0; i < count; i++)
        fit->outliers += work[i] > fit->limit;
    free(work);
    return EMD_OK;
}

double emd_electron_wavelength(double kilovolts)
{
    /* h / sqrt(2 m e V (1 + e V / 2 m c^2)), CODATA values. */
    const double volts = kilovolts * 1000;
    return volts > 0 ? 12.2642594 / sqrt(volts * (1 + 0.978475598e-6 * volts)) : NAN;
}

double emd_camera_pixel(const struct emd_velox_metadata *m, double binning)
{
    const bool known = strcasestr(m->detector, "ceta") || strcasestr(m->detector, "falcon");
    return known ? 0.014 * binning : NAN;
}

double emd_implied_distance(const struct emd_velox_metadata *m, double binning)
{
    const double wavelength = emd_electron_wavelength(m->voltage); /* A */
    if (strcmp(m->pixel_unit, "1/m") != 0)
        return NAN;
    return emd_camera_pixel(m, binning) / (wavelength * 1e-10 * m->pixel_size[0]);
}
