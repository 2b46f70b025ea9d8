/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/geometry.h"

#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dials/jsondoc.h"
#include "dials/maskfile.h"

/* Fewer images are no rotation. */
enum { IMAGES_MIN = 3 };
/* DIALS' background modelling fails for a gain that is wrong by more. */
static const double gain_tolerance = 1.5;

struct resolving {
    const struct emd_instruments *instruments;
    struct emd_instrument_key key;
    struct emd_recipe *recipe;
    struct geometry *out;
    struct emd_error *err;
    enum emd_status status;
};

enum emd_status geometry_read_instruments(struct emd_instruments *list, struct emd_error *err)
{
    static const char name[] = "emdtools/instruments.conf";
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *user = NULL;
    *list = (struct emd_instruments){0};
    if ((config && config[0] == '/' && asprintf(&user, "%s/%s", config, name) < 0) ||
        (!(config && config[0] == '/') && home && asprintf(&user, "%s/.config/%s", home, name) < 0))
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    const char *const paths[] = {name, user, "/etc/emdtools/instruments.conf"};
    enum emd_status status = EMD_OK;
    for (size_t i = 0; i < 3 && status == EMD_OK; i++) {
        status = paths[i] ? emd_instruments_read(paths[i], list, err) : EMD_OK;
        if (status == EMD_E_EMPTY)
            status = EMD_OK;
    }
    free(user);
    return status;
}

static void warn(struct resolving *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void warn(struct resolving *r, const char *format, ...)
{
    va_list args;
    if (r->out->warnings == GEOMETRY_WARNINGS)
        return;
    va_start(args, format);
    vsnprintf(r->out->warning[r->out->warnings++], sizeof r->out->warning[0], format, args);
    va_end(args);
}

static void trouble(struct resolving *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first one counts. */
static void trouble(struct resolving *r, const char *format, ...)
{
    va_list args;
    if (r->out->trouble[0])
        return;
    va_start(args, format);
    vsnprintf(r->out->trouble, sizeof r->out->trouble, format, args);
    va_end(args);
}

static void note(struct resolving *r, const char *name, const char *value, const char *from)
{
    if (r->out->count == GEOMETRY_ITEMS)
        return;
    struct geometry_item *item = &r->out->item[r->out->count++];
    item->name = name;
    snprintf(item->value, sizeof item->value, "%s", value);
    snprintf(item->from, sizeof item->from, "%s", from);
}

/* Gives the variable a value, in which nothing is special. */
static void set(struct resolving *r, const char *name, const char *value, const char *from)
{
    char safe[512];
    size_t n = 0;
    for (const char *p = value; *p && n + 3 < sizeof safe; p++) {
        safe[n++] = *p;
        if (*p == '$')
            safe[n++] = '$';
    }
    safe[n] = '\0';
    if (r->status == EMD_OK)
        r->status = emd_recipe_set(r->recipe, name, safe, r->err);
    note(r, name, value, from);
}

/* The recipe has the variable and leaves it to us; what the user gives is noted. */
static bool is_open(struct resolving *r, const char *name)
{
    const struct emd_recipe_variable *v = emd_recipe_variable(r->recipe, name);
    if (v && v->value[0])
        note(r, name, v->value, v->from);
    return v && v->value[0] == '\0';
}

static const struct emd_instrument_setting *measured(struct resolving *r, const char *name)
{
    return emd_instruments_find(r->instruments, &r->key, name);
}

/* ---- one after the other --------------------------------------------------------------------- */

static void resolve_distance(struct resolving *r)
{
    const struct movie_facts *f = &r->out->facts;
    const struct emd_instrument_setting *s = measured(r, "distance");
    const char *const microscope = f->instrument[0] ? f->instrument : "this microscope";
    char value[32], implied[64] = "";
    if (!is_open(r, "distance"))
        return;
    if (s && isfinite(f->camera_length)) {
        set(r, "distance", s->value, s->from);
        return;
    }
    if (!isfinite(f->camera_length)) {
        if (f->known)
            trouble(r, "the camera length is unknown: give a distance in emdprocess.conf or by "
                       "-D distance=MM");
        note(r, "distance", "", "");
        return;
    }
    snprintf(value, sizeof value, "%.6g", f->camera_length);
    if (isfinite(f->implied_length))
        snprintf(implied, sizeof implied, "; the pixel size implies %.4g mm", f->implied_length);
    /* The reader takes it, too; here it can be seen. */
    set(r, "distance", value, "metadata (nominal)");
    warn(r,
         "distance: the nominal camera length of %s mm is not calibrated for %s%s; see "
         "emdtools-instruments(5)",
         value, microscope, implied);
}

/* Cells are proportional to it. */
static void resolve_wavelength(struct resolving *r)
{
    const struct movie_facts *f = &r->out->facts;
    char value[32];
    if (!is_open(r, "wavelength"))
        return;
    snprintf(value, sizeof value, "%.5f", f->wavelength);
    if (f->wavelength > 0)
        note(r, "wavelength", value, "metadata");
    else if (f->known)
        warn(r,
             "wavelength: no voltage is recorded, 200 kV is assumed: at 300 kV the cell comes out "
             "27 %% too long; give wavelength=0.01969");
}

static void resolve_gain(struct resolving *r)
{
    const struct movie_facts *f = &r->out->facts;
    const struct emd_instrument_setting *s = measured(r, "gain");
    char value[32];
    if (!emd_recipe_variable(r->recipe, "panel_gain"))
        return;
    if (is_open(r, "panel_gain")) {
        snprintf(value, sizeof value, "%.4g", f->gain);
        if (s) {
            set(r, "panel_gain", s->value, s->from);
        } else if (isfinite(f->gain)) {
            set(r, "panel_gain", value, f->gain_from);
            if (strcmp(f->gain_from, "metadata") != 0 && isfinite(f->gain_metadata))
                warn(r,
                     "panel_gain: the metadata say %.3g, but the noise of the pixels fits %.3g, "
                     "which is used",
                     f->gain_metadata, f->gain);
        } else {
            note(r, "panel_gain", "", "");
            if (f->known)
                warn(r, "panel_gain: no gain is recorded and none could be measured: 1 is used");
        }
    }
    const struct emd_recipe_variable *used = emd_recipe_variable(r->recipe, "panel_gain");
    const double shown = f->gain_pixels, gain = used ? strtod(used->value, NULL) : NAN;
    if (gain > 0 && shown > 0 && (gain / shown > gain_tolerance || shown / gain > gain_tolerance))
        warn(r, "panel_gain: %.3g is used, but the noise of the pixels fits a gain of %.3g", gain,
             shown);
}

static void resolve_pedestal(struct resolving *r)
{
    const struct movie_facts *f = &r->out->facts;
    const struct emd_instrument_setting *s = measured(r, "pedestal");
    char value[32];
    if (!is_open(r, "pedestal"))
        return;
    snprintf(value, sizeof value, "%.1f", f->pedestal);
    if (s) {
        set(r, "pedestal", s->value, s->from);
    } else if (isfinite(f->pedestal)) {
        set(r, "pedestal", value, "pixels");
    } else {
        note(r, "pedestal", "", "");
        if (f->known)
            warn(r, "pedestal: not known and not measured: 0 is used");
    }
}

static void resolve_beam(struct resolving *r)
{
    const struct movie_facts *f = &r->out->facts;
    char value[64];
    if (!is_open(r, "beam_centre"))
        return;
    if (isfinite(f->beam[0]) && isfinite(f->beam[1])) {
        snprintf(value, sizeof value, "%.2f,%.2f", f->beam[0], f->beam[1]);
        set(r, "beam_centre", value, "pixels");
    } else {
        note(r, "beam_centre", "", "");
    }
}

/* Axes are given for a tilt that increases. DIALS' scans always run forwards: where the stage turns
 * the other way, the axis is the opposite one, as in the reader. */
static void resolve_axis(struct resolving *r)
{
    struct emd_recipe_variable *v = emd_recipe_variable(r->recipe, "axis");
    const struct emd_instrument_setting *s = measured(r, "axis");
    char given[128], from[160], value[128];
    double axis[3];
    if (!v || (!v->value[0] && !s)) {
        if (v)
            note(r, "axis", r->out->facts.step < 0 ? "0,1,0" : "0,-1,0", "the reader");
        return;
    }
    snprintf(given, sizeof given, "%s", v->value[0] ? v->value : s->value);
    snprintf(from, sizeof from, "%s", v->value[0] ? v->from : s->from);
    if (sscanf(given, "%lf,%lf,%lf", &axis[0], &axis[1], &axis[2]) != 3) {
        r->status = emd_fail(r->err, EMD_E_ARGUMENT, "axis = %s is not X,Y,Z", given);
        return;
    }
    const double way = r->out->facts.step < 0 ? -1 : 1;
    snprintf(value, sizeof value, "%.10g,%.10g,%.10g", way * axis[0] + 0.0, way * axis[1] + 0.0,
             way * axis[2] + 0.0);
    set(r, "axis", value, from);
}

static void resolve_camera(struct resolving *r)
{
    const struct movie_facts *f = &r->out->facts;
    const struct emd_instrument_setting *saturation = measured(r, "saturation"),
                                        *pixel = measured(r, "pixel_size");
    char value[64];
    if (is_open(r, "trusted_range")) {
        if (saturation) {
            snprintf(value, sizeof value, "-1000,%s", saturation->value);
            set(r, "trusted_range", value, saturation->from);
        } else if (isfinite(f->saturation)) {
            snprintf(value, sizeof value, "-1000,%.10g", f->saturation);
            note(r, "trusted_range", value, "metadata");
        }
    }
    if (is_open(r, "pixel_size") && pixel && isfinite(f->binning)) {
        const double size = strtod(pixel->value, NULL) * f->binning;
        snprintf(value, sizeof value, "%.6g,%.6g", size, size);
        set(r, "pixel_size", value, pixel->from);
        /* DIALS keeps the corner of the detector, not the middle. */
        const struct emd_recipe_variable *beam = emd_recipe_variable(r->recipe, "beam_centre");
        if (beam && !beam->value[0]) {
            snprintf(value, sizeof value, "%.10g,%.10g", f->width / 2, f->height / 2);
            set(r, "beam_centre", value, "the middle of the image");
        }
    }
}

/* The mask of the project, the instrument's, or the shadow of a beam stop that the pixels show. */
static void resolve_mask(struct resolving *r, const char *crystal)
{
    const struct movie_facts *f = &r->out->facts;
    const struct emd_recipe_variable *v = emd_recipe_variable(r->recipe, "mask");
    const struct emd_instrument_setting *s = measured(r, "mask");
    const char *from = NULL;
    int n = 0;
    if (v && strcmp(v->value, "none") == 0) {
        note(r, "mask", "none", v->from);
        r->status = emd_recipe_set(r->recipe, "mask", "", r->err);
        return;
    }
    if (!is_open(r, "mask"))
        return;
    if (access("pixels.mask", R_OK) == 0) {
        n = snprintf(r->out->mask, sizeof r->out->mask, "pixels.mask");
        from = "project";
    } else if (s) {
        n = snprintf(r->out->mask, sizeof r->out->mask, "%s", s->value);
        from = s->from;
    } else if (f->corners > 0) {
        n = snprintf(r->out->mask, sizeof r->out->mask, "%s/beam_stop.mask", crystal);
        from = "pixels (shadow of the beam stop)";
        r->out->own_mask = true;
    }
    if (n < 0 || (size_t)n >= sizeof r->out->mask)
        r->status = emd_fail(r->err, EMD_E_UNSUPPORTED, "mask: its path is too long");
    if (from)
        note(r, "mask", r->out->mask, from);
}

enum emd_status geometry_write_mask(const struct geometry *g, struct emd_error *err)
{
    const struct movie_facts *f = &g->facts;
    if (!g->own_mask)
        return EMD_OK;
    /* No camera has more; emdinfo's numbers come from a file. */
    if (!(f->width >= 1 && f->width <= 65535 && f->height >= 1 && f->height <= 65535))
        return emd_fail(err, EMD_E_UNSUPPORTED, "%s: no mask of so many pixels", g->mask);
    const size_t width = (size_t)f->width, height = (size_t)f->height;
    uint8_t *left_out = calloc(height, width);
    if (!left_out)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    emd_mask_polygon(f->corner, f->corners, height, width, left_out);
    const enum emd_status status = emd_mask_write(g->mask, left_out, height, width, true, err);
    free(left_out);
    return status;
}

static void resolve_images(struct resolving *r)
{
    const struct movie_facts *f = &r->out->facts;
    const bool trimmed = f->known && (f->first > 1 || f->last < f->frames);
    double first = f->first, last = f->last;
    char value[64];
    if (!emd_recipe_variable(r->recipe, "image_range") || !f->known)
        return;
    if (!is_open(r, "image_range")) {
        const struct emd_recipe_variable *v = emd_recipe_variable(r->recipe, "image_range");
        if (sscanf(v->value, "%lf,%lf", &first, &last) != 2)
            return; /* DIALS will say what is wrong with it */
    } else if (trimmed && f->step != 0) {
        snprintf(value, sizeof value, "%.0f,%.0f", f->first, f->last);
        set(r, "image_range", value, "tilts (the stage is at rest outside)");
    }
    if (!(f->tilts > 0))
        trouble(r, "no stage tilts are recorded: the rotation is unknown");
    else if (f->tilts > 1 && !(fabs(f->step) > 0))
        trouble(r, "the stage does not turn: all tilts are the same");
    else if (last - first + 1 < IMAGES_MIN || f->tilts < IMAGES_MIN)
        trouble(r, "of %.0f image%s %.0f can be used, at least %d are needed%s", f->frames,
                f->frames == 1 ? "" : "s", fmin(last - first + 1, f->tilts), IMAGES_MIN,
                trimmed ? ": the stage is at rest in the others" : "");
}

/* The recipe's own d_min is for microscopes of which nothing is known. */
static void resolve_resolution(struct resolving *r)
{
    static const char *const parts[] = {"d_min_integrate", "d_min_scale", "d_min_rescale"};
    const struct emd_instrument_setting *s = measured(r, "d_min");
    const struct emd_recipe_variable *v = emd_recipe_variable(r->recipe, "d_min");
    if (!v)
        return;
    if (s && isfinite(r->key.length) && strcmp(v->from, EMD_FROM_RECIPE) == 0)
        set(r, "d_min", s->value, s->from);
    else
        is_open(r, "d_min");
    for (size_t i = 0; i < sizeof parts / sizeof *parts && r->status == EMD_OK; i++) {
        const struct emd_recipe_variable *part = emd_recipe_variable(r->recipe, parts[i]);
        if (part && !part->value[0])
            r->status = emd_recipe_set(r->recipe, parts[i], v->value, r->err);
        else if (part)
            note(r, parts[i], part->value, part->from);
    }
}

enum emd_status geometry_resolve(const struct emd_instruments *instruments, const char *movie,
                                 const char *crystal, struct emd_recipe *recipe,
                                 struct geometry *geometry, struct emd_error *err)
{
    *geometry = (struct geometry){0};
    movie_facts_read(movie, crystal, &geometry->facts);
    struct resolving r = {.instruments = instruments,
                          .key = {.instrument = geometry->facts.instrument,
                                  .camera = geometry->facts.camera,
                                  .binning = geometry->facts.binning,
                                  .length = geometry->facts.camera_length},
                          .recipe = recipe,
                          .out = geometry,
                          .err = err,
                          .status = EMD_OK};
    resolve_distance(&r);
    resolve_wavelength(&r);
    resolve_beam(&r);
    resolve_gain(&r);
    resolve_pedestal(&r);
    resolve_axis(&r);
    resolve_camera(&r);
    resolve_mask(&r, crystal);
    resolve_images(&r);
    resolve_resolution(&r);
    return r.status;
}

void geometry_free(struct geometry *geometry)
{
    movie_facts_free(&geometry->facts);
}

/* ---- what came of it ------------------------------------------------------------------------- */

void geometry_reader(const char *log, size_t length, char *name, size_t capacity)
{
    static const char key[] = "format: <class '";
    const char *p = memmem(log, length, key, sizeof key - 1);
    const char *end =
        p ? memchr(p + sizeof key - 1, '\'', length - (size_t)(p - log) - sizeof key + 1) : NULL;
    name[0] = '\0';
    if (!end)
        return;
    const char *start = end; /* "module.Class" */
    while (start > p + sizeof key - 1 && start[-1] != '.')
        start--;
    snprintf(name, capacity, "%.*s", (int)(end - start), start);
}

static double number_at(struct json_object *array, size_t i)
{
    double v = NAN;
    if (array && json_object_is_type(array, json_type_array) && i < json_object_array_length(array))
        emd_json_get_double(json_object_array_get_idx(array, i), &v);
    return v;
}

static struct json_object *first_of(struct json_object *o, const char *key)
{
    struct json_object *array = emd_json_member(o, key, json_type_array);
    return array && json_object_array_length(array) > 0 ? json_object_array_get_idx(array, 0)
                                                        : NULL;
}

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void cross(const double a[3], const double b[3], double out[3])
{
    for (size_t i = 0; i < 3; i++)
        out[i] = a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3];
}

static void vector(struct json_object *a, double v[3])
{
    for (size_t i = 0; i < 3; i++)
        v[i] = number_at(a, i);
}

/* A panel's vectors are relative to the detector's own frame, its "hierarchy": dials.import puts a
 * beam centre there. */
static void to_laboratory(struct json_object *hierarchy, double origin[3], double fast[3],
                          double slow[3])
{
    double zero[3], axes[3][3], *const vectors[] = {origin, fast, slow};
    if (!hierarchy)
        return;
    vector(emd_json_member(hierarchy, "origin", json_type_array), zero);
    vector(emd_json_member(hierarchy, "fast_axis", json_type_array), axes[0]);
    vector(emd_json_member(hierarchy, "slow_axis", json_type_array), axes[1]);
    cross(axes[0], axes[1], axes[2]);
    for (size_t k = 0; k < 3; k++) {
        double out[3];
        for (size_t i = 0; i < 3; i++)
            out[i] = (k == 0 ? zero[i] : 0) + vectors[k][0] * axes[0][i] +
                     vectors[k][1] * axes[1][i] + vectors[k][2] * axes[2][i];
        memcpy(vectors[k], out, sizeof out);
    }
}

static const struct geometry_item *item_of(const struct geometry *g, const char *name)
{
    for (size_t i = 0; i < g->count; i++)
        if (strcmp(g->item[i].name, name) == 0 && g->item[i].value[0])
            return &g->item[i];
    return NULL;
}

/* Who gave it, as far as it is not the reader itself. */
static const char *source_of(const struct geometry *g, const char *name)
{
    const struct geometry_item *item = item_of(g, name);
    return item ? item->from : "the reader";
}

static int text_length(struct json_object *o, const char *key)
{
    struct json_object *value = emd_json_member(o, key, json_type_string);
    return value ? json_object_get_string_len(value) : 0;
}

static void add(struct json_object *used, const struct geometry *g, const char *key,
                const char *variable, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* {"value": "618", "from": "emdprocess.conf"} */
static void add(struct json_object *used, const struct geometry *g, const char *key,
                const char *variable, const char *format, ...)
{
    char value[128];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "value", json_object_new_string(value));
    json_object_object_add(o, "from", json_object_new_string(source_of(g, variable)));
    json_object_object_add(used, key, o);
}

struct json_object *geometry_used(const struct geometry *g, const char *expt, const char *log,
                                  size_t log_length)
{
    struct emd_jsondoc doc;
    char reader[64];
    if (emd_jsondoc_read(expt, &doc, NULL) != EMD_OK)
        return NULL;
    struct json_object *used = NULL;
    struct json_object *panel = first_of(first_of(doc.root, "detector"), "panels"),
                       *goniometer = first_of(doc.root, "goniometer"),
                       *scan = first_of(doc.root, "scan");
    if (!panel)
        goto out;
    used = json_object_new_object();
    geometry_reader(log, log_length, reader, sizeof reader);
    json_object_object_add(used, "reader", json_object_new_string(reader));
    struct json_object *pixel = emd_json_member(panel, "pixel_size", json_type_array),
                       *range = emd_json_member(panel, "trusted_range", json_type_array), *value;
    double origin[3], fast[3], slow[3], gain = NAN, pedestal = NAN, normal[3], wavelength;
    vector(emd_json_member(panel, "origin", json_type_array), origin);
    vector(emd_json_member(panel, "fast_axis", json_type_array), fast);
    vector(emd_json_member(panel, "slow_axis", json_type_array), slow);
    to_laboratory(emd_json_member(first_of(doc.root, "detector"), "hierarchy", json_type_object),
                  origin, fast, slow);
    cross(fast, slow, normal);
    if (json_object_object_get_ex(panel, "gain", &value))
        emd_json_get_double(value, &gain);
    if (json_object_object_get_ex(panel, "pedestal", &value))
        emd_json_get_double(value, &pedestal);
    add(used, g, "distance_mm", "distance", "%.6g", fabs(dot(origin, normal)));
    if (json_object_object_get_ex(first_of(doc.root, "beam"), "wavelength", &value) &&
        emd_json_get_double(value, &wavelength))
        add(used, g, "wavelength_A", "wavelength", "%.5f", wavelength);
    add(used, g, "gain", "panel_gain", "%.4g", gain);
    add(used, g, "pedestal", "pedestal", "%.4g", pedestal);
    /* The beam travels along -z. */
    add(used, g, "beam_centre_px", "beam_centre", "%.2f,%.2f",
        -dot(origin, fast) / number_at(pixel, 0), -dot(origin, slow) / number_at(pixel, 1));
    add(used, g, "trusted_range", "trusted_range", "%.10g,%.10g", number_at(range, 0),
        number_at(range, 1));
    value = emd_json_member(goniometer, "rotation_axis", json_type_array);
    if (value)
        add(used, g, "axis", "axis", "%.6g,%.6g,%.6g", number_at(value, 0) + 0.0,
            number_at(value, 1) + 0.0, number_at(value, 2) + 0.0);
    value = emd_json_member(scan, "image_range", json_type_array);
    if (value)
        add(used, g, "images", "image_range", "%.0f,%.0f", number_at(value, 0),
            number_at(value, 1));
    const struct geometry_item *mask = item_of(g, "mask");
    if (mask && text_length(first_of(doc.root, "imageset"), "mask") > 0)
        add(used, g, "mask", "mask", "%.120s", mask->value);
    struct json_object *warnings = json_object_new_array();
    for (size_t i = 0; i < g->warnings; i++)
        json_object_array_add(warnings, json_object_new_string(g->warning[i]));
    json_object_object_add(used, "warnings", warnings);
out:
    emd_jsondoc_release(&doc);
    return used;
}

void geometry_describe(struct json_object *used, char *text, size_t capacity)
{
    static const struct {
        const char *key, *format;
    } parts[] = {{"distance_mm", "distance %s mm"},
                 {"gain", "gain %s"},
                 {"pedestal", "pedestal %s"},
                 {"beam_centre_px", "beam at %s"},
                 {"axis", "axis %s"},
                 {"trusted_range", "trusted %s"},
                 {"images", "images %s"},
                 {"mask", "mask %s"},
                 {"wavelength_A", "wavelength %s A"}};
    struct json_object *reader = emd_json_member(used, "reader", json_type_string);
    size_t n = (size_t)snprintf(text, capacity, "%s",
                                reader ? json_object_get_string(reader) : "unknown reader");
    for (size_t i = 0; i < sizeof parts / sizeof *parts && n < capacity; i++) {
        struct json_object *o = emd_json_member(used, parts[i].key, json_type_object),
                           *value = emd_json_member(o, "value", json_type_string),
                           *from = emd_json_member(o, "from", json_type_string);
        char part[200];
        if (!value)
            continue;
        const char *percent = strstr(parts[i].format, "%s");
        snprintf(part, sizeof part, "; %.*s%s%s (%s)", (int)(percent - parts[i].format),
                 parts[i].format, json_object_get_string(value), percent + 2,
                 from ? json_object_get_string(from) : "?");
        n += (size_t)snprintf(text + n, capacity - n, "%s", part);
    }
}
