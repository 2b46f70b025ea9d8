/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See scanslice.h. Which entries belong to images and which to scan points is dxtbx's and DIALS'
 * rule (dxtbx/model, dials/util/slice.py), the same in all versions. */
#include "dials/scanslice.h"

#include <math.h>
#include <string.h>

#include "dials/jsondoc.h"

/* More images than any scan has; keeps what a hostile file can make us allocate in bounds. */
static const long most_images = 10 * 1000 * 1000;

/* scitbx converts with this very product and quotient; the rounding decides about bins. */
static double radians(double degrees)
{
    return degrees * (atan(1.0) / 45.0);
}

/* A new object with the members of 'object', shared. */
static struct json_object *shallow_copy(struct json_object *object)
{
    struct json_object *copy = json_object_new_object();
    if (!copy)
        return NULL;
    json_object_object_foreach(object, key, value)
    {
        if (json_object_object_add(copy, key, json_object_get(value)) != 0) {
            json_object_put(value);
            json_object_put(copy);
            return NULL;
        }
    }
    return copy;
}

/* A new array of the entries [from, to), shared. */
static struct json_object *cut_array(struct json_object *array, size_t from, size_t to)
{
    struct json_object *cut = json_object_new_array();
    for (size_t i = from; cut && i < to; i++) {
        struct json_object *value = json_object_get(json_object_array_get_idx(array, i));
        if (json_object_array_add(cut, value) != 0) {
            json_object_put(value);
            json_object_put(cut);
            return NULL;
        }
    }
    return cut;
}

/* Replaces (in place, so that the order of keys stays) or adds a member; takes 'value' over. */
static enum emd_status set_member(struct json_object *object, const char *key,
                                  struct json_object *value, struct emd_error *err)
{
    if (!value || json_object_object_add(object, key, value) != 0) {
        json_object_put(value);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    return EMD_OK;
}

static bool get_long(struct json_object *value, long low, long high, long *out)
{
    if (!json_object_is_type(value, json_type_int))
        return false;
    int64_t number = json_object_get_int64(value);
    *out = (long)number;
    return number >= low && number <= high;
}

/* --- scans ------------------------------------------------------------------------------------*/

enum emd_status emd_scan_read(struct json_object *scan, struct emd_scan *out, struct emd_error *err)
{
    struct json_object *range = emd_json_member(scan, "image_range", json_type_array);
    memset(out, 0, sizeof *out);
    if (!range || json_object_array_length(range) != 2 ||
        !get_long(json_object_array_get_idx(range, 0), INT32_MIN / 2, INT32_MAX / 2, &out->first) ||
        !get_long(json_object_array_get_idx(range, 1), INT32_MIN / 2, INT32_MAX / 2, &out->last))
        return emd_fail(err, EMD_E_CORRUPT, "a scan without a usable image_range");
    if (out->last < out->first || out->last - out->first >= most_images)
        return emd_fail(err, EMD_E_CORRUPT, "a scan of images %ld to %ld", out->first, out->last);
    size_t n = (size_t)(out->last - out->first + 1);

    struct json_object *properties = emd_json_member(scan, "properties", json_type_object);
    struct json_object *angles =
        emd_json_member(properties ? properties : scan, "oscillation", json_type_array);
    out->still = true;
    if (!angles)
        return EMD_OK;
    double start, next;
    size_t entries = json_object_array_length(angles);
    if (entries == 0 || !emd_json_get_double(json_object_array_get_idx(angles, 0), &start))
        return emd_fail(err, EMD_E_CORRUPT, "a scan with a damaged oscillation");
    out->start = radians(start);
    if (!properties) {
        if (entries != 2 || !emd_json_get_double(json_object_array_get_idx(angles, 1), &next))
            return emd_fail(err, EMD_E_CORRUPT, "a scan with a damaged oscillation");
        out->width = radians(next);
    } else if (entries != n) {
        return emd_fail(err, EMD_E_CORRUPT, "a scan of %zu images with the angles of %zu", n,
                        entries);
    } else if (n > 1) {
        if (!emd_json_get_double(json_object_array_get_idx(angles, 1), &next))
            return emd_fail(err, EMD_E_CORRUPT, "a scan with a damaged oscillation");
        out->width = radians(next) - out->start;
    } else {
        struct json_object *width =
            emd_json_member(properties, "oscillation_width", json_type_array);
        if (width && json_object_array_length(width) == 1 &&
            emd_json_get_double(json_object_array_get_idx(width, 0), &next))
            out->width = radians(next);
    }
    if (!isfinite(out->start) || !isfinite(out->width))
        return emd_fail(err, EMD_E_CORRUPT, "a scan whose oscillation is not finite");
    out->still = fabs(out->width) < 1e-7;
    return EMD_OK;
}

/* Cuts the list 'key' of 'object', which is a copy of ours, if it is there. */
static enum emd_status cut_member(struct json_object *object, const char *key, size_t entries,
                                  size_t from, size_t to, struct emd_error *err)
{
    struct json_object *list = emd_json_member(object, key, json_type_array);
    if (!list)
        return EMD_OK;
    if (json_object_array_length(list) != entries)
        return emd_fail(err, EMD_E_CORRUPT, "'%s' has %zu entries, not %zu", key,
                        (size_t)json_object_array_length(list), entries);
    return set_member(object, key, cut_array(list, from, to), err);
}

/* The ranges of one experiment, cut to images [first, last]; NULL if none is left or on no memory.
 */
static struct json_object *cut_ranges(struct json_object *ranges, long first, long last)
{
    struct json_object *out = NULL;
    size_t n = json_object_is_type(ranges, json_type_array) ? json_object_array_length(ranges) : 0;
    for (size_t i = 0; i < n; i++) {
        struct json_object *range = json_object_array_get_idx(ranges, i);
        long low, high;
        if (!json_object_is_type(range, json_type_array) || json_object_array_length(range) != 2 ||
            !get_long(json_object_array_get_idx(range, 0), INT32_MIN, INT32_MAX, &low) ||
            !get_long(json_object_array_get_idx(range, 1), INT32_MIN, INT32_MAX, &high))
            continue;
        low = low < first ? first : low;
        high = high > last ? last : high;
        if (low > high)
            continue;
        if (!out)
            out = json_object_new_array();
        struct json_object *pair = json_object_new_array();
        if (!out || !pair || json_object_array_add(pair, json_object_new_int64(low)) != 0 ||
            json_object_array_add(pair, json_object_new_int64(high)) != 0 ||
            json_object_array_add(out, pair) != 0) {
            json_object_put(pair);
            json_object_put(out);
            return NULL;
        }
    }
    return out;
}

static enum emd_status cut_valid_ranges(struct json_object *scan, long first, long last,
                                        const char *const *identifiers, size_t count,
                                        struct emd_error *err)
{
    struct json_object *old = emd_json_member(scan, "valid_image_ranges", json_type_object);
    if (!old || json_object_object_length(old) == 0)
        return EMD_OK;
    struct json_object *ranges = json_object_new_object();
    enum emd_status status = ranges ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    json_object_object_foreach(old, key, value)
    {
        bool known = false;
        for (size_t i = 0; i <= count && status == EMD_OK; i++) {
            const char *name = key;
            if (i < count && strcmp(identifiers[2 * i], key) == 0) {
                name = identifiers[2 * i + 1];
                known = true;
            } else if (i < count || known) {
                continue;
            }
            struct json_object *cut = cut_ranges(value, first, last);
            if (cut)
                status = set_member(ranges, name, cut, err);
        }
    }
    if (status == EMD_OK)
        return set_member(scan, "valid_image_ranges", ranges, err);
    json_object_put(ranges);
    return status;
}

/* The form since dxtbx 3.18: lists with an entry an image, whatever they are called. */
static enum emd_status cut_properties(struct json_object *scan, const struct emd_scanslice *slice,
                                      double width, struct emd_error *err)
{
    struct json_object *old = emd_json_member(scan, "properties", json_type_object);
    struct json_object *properties = shallow_copy(old);
    if (!properties)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    enum emd_status status = EMD_OK;
    json_object_object_foreach(old, key, value)
    {
        if (status != EMD_OK)
            break;
        if (!json_object_is_type(value, json_type_array))
            status = emd_fail(err, EMD_E_CORRUPT, "the property '%s' of a scan is no list", key);
        else
            status = cut_member(properties, key, slice->n, slice->from, slice->to, err);
    }
    /* One image has no difference of angles to tell its width by: dxtbx wants it said. */
    if (status == EMD_OK && slice->to - slice->from == 1 && width != 0 &&
        !emd_json_member(properties, "oscillation_width", json_type_array)) {
        struct json_object *list = json_object_new_array();
        struct json_object *number = emd_json_new_double(width);
        if (!list || !number || json_object_array_add(list, number) != 0) {
            json_object_put(number);
            json_object_put(list);
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        } else {
            status = set_member(properties, "oscillation_width", list, err);
        }
    }
    if (status == EMD_OK)
        return set_member(scan, "properties", properties, err);
    json_object_put(properties);
    return status;
}

/* The difference of two angles of a list, without the noise of radians: 5.5 - 5.0 is 0.5. */
static double width_in_degrees(struct json_object *scan, size_t n)
{
    struct json_object *list = emd_json_member(
        emd_json_member(scan, "properties", json_type_object), "oscillation", json_type_array);
    double a = 0, b = 0;
    if (!list || n < 2 || !emd_json_get_double(json_object_array_get_idx(list, 0), &a) ||
        !emd_json_get_double(json_object_array_get_idx(list, 1), &b))
        return 0;
    return b - a;
}

/* The form up to dxtbx 3.17. Its lists may have one entry for all images. */
static enum emd_status cut_old_scan(struct json_object *scan, const struct emd_scanslice *slice,
                                    struct emd_error *err)
{
    struct json_object *old = emd_json_member(scan, "oscillation", json_type_array);
    if (old && slice->from > 0) {
        double start, width;
        struct json_object *pair;
        if (json_object_array_length(old) != 2 ||
            !emd_json_get_double(json_object_array_get_idx(old, 0), &start) ||
            !emd_json_get_double(json_object_array_get_idx(old, 1), &width))
            return emd_fail(err, EMD_E_CORRUPT, "a scan with a damaged oscillation");
        pair = json_object_new_array();
        struct json_object *number = emd_json_new_double(start + (double)slice->from * width);
        if (!pair || !number || json_object_array_add(pair, number) != 0) {
            json_object_put(number);
            json_object_put(pair);
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
        if (json_object_array_add(pair, json_object_get(json_object_array_get_idx(old, 1))) != 0) {
            json_object_put(pair);
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
        enum emd_status status = set_member(scan, "oscillation", pair, err);
        if (status != EMD_OK)
            return status;
    }
    static const char *const lists[] = {"exposure_time", "epochs"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct json_object *list = emd_json_member(scan, lists[i], json_type_array);
        if (!list || (slice->n != 1 && json_object_array_length(list) <= 1))
            continue;
        enum emd_status status = cut_member(scan, lists[i], slice->n, slice->from, slice->to, err);
        if (status != EMD_OK)
            return status;
    }
    return EMD_OK;
}

enum emd_status emd_scanslice_scan(struct json_object *scan, const struct emd_scanslice *slice,
                                   const char *const *identifiers, size_t count,
                                   struct json_object **out, struct emd_error *err)
{
    long first = slice->first + (long)slice->from, last = slice->first + (long)slice->to - 1;
    double width = width_in_degrees(scan, slice->n);
    enum emd_status status;
    struct json_object *copy = shallow_copy(scan), *range = json_object_new_array();
    if (!copy || !range || json_object_array_add(range, json_object_new_int64(first)) != 0 ||
        json_object_array_add(range, json_object_new_int64(last)) != 0) {
        json_object_put(range);
        json_object_put(copy);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    status = set_member(copy, "image_range", range, err);
    if (status == EMD_OK)
        status = emd_json_member(copy, "properties", json_type_object)
                     ? cut_properties(copy, slice, width, err)
                     : cut_old_scan(copy, slice, err);
    if (status == EMD_OK)
        status = cut_valid_ranges(copy, first, last, identifiers, count, err);
    if (status != EMD_OK) {
        json_object_put(copy);
        return status;
    }
    *out = copy;
    return EMD_OK;
}

/* --- models that depend on the scan -----------------------------------------------------------*/

enum rule {
    POINTS,        /* an entry a scan point */
    IMAGES,        /* a list has an entry an image, anything else is for all images */
    IMAGES_IF_FIT, /* the same, but lists of another length count something else and stay */
};

/* 'images' lists the files of an image set without template; 'single_file_indices' the frames of a
 * movie in one file, which the published filter leaves uncut: then they are those of the movie. */
static const struct {
    const char *kind, *key;
    enum rule rule;
} rules[] = {
    {"crystal", "A_at_scan_points", POINTS},
    {"crystal", "B_covariance_at_scan_points", POINTS},
    {"beam", "s0_at_scan_points", POINTS},
    {"goniometer", "setting_rotation_at_scan_points", POINTS},
    {"profile", "sigma_b", IMAGES},
    {"profile", "sigma_m", IMAGES},
    {"imageset", "single_file_indices", IMAGES_IF_FIT},
    {"imageset", "images", IMAGES_IF_FIT},
};

enum emd_status emd_scanslice_model(const char *kind, struct json_object *model,
                                    const struct emd_scanslice *slice, struct json_object **out,
                                    struct emd_error *err)
{
    struct json_object *copy = NULL;
    enum emd_status status = EMD_OK;
    *out = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && status == EMD_OK; i++) {
        struct json_object *list;
        if (strcmp(rules[i].kind, kind) != 0 ||
            !(list = emd_json_member(model, rules[i].key, json_type_array)))
            continue;
        size_t length = json_object_array_length(list);
        if (length == 0 || (rules[i].rule == IMAGES_IF_FIT && length != slice->n))
            continue;
        if (!copy && !(copy = shallow_copy(model))) {
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
            break;
        }
        size_t extra = rules[i].rule == POINTS;
        status =
            cut_member(copy, rules[i].key, slice->n + extra, slice->from, slice->to + extra, err);
    }
    if (status != EMD_OK) {
        json_object_put(copy);
        return status;
    }
    *out = copy;
    return EMD_OK;
}
