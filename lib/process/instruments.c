/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/instruments.h"

#include <ctype.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dials/textfile.h"

/* How many numbers, separated by commas, a value has; 0: any text. */
static const struct {
    const char *name;
    int numbers;
    bool by_length, positive;
} names[] = {{"distance", 1, true, true},    {"d_min", 1, true, true},
             {"axis", 3, false, false},      {"gain", 1, false, true},
             {"pedestal", 1, false, false},  {"saturation", 1, false, true},
             {"pixel_size", 1, false, true}, {"mask", 0, false, false}};

enum { SETTINGS_MAX = 10000 };

struct section {
    char instrument[128], camera[128];
    double binning;
    bool open;
};

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

static bool read_numbers(const char *text, int count, bool positive)
{
    for (int i = 0; i < count; i++) {
        char *end;
        const double value = strtod(text, &end);
        if (end == text || !isfinite(value) || (positive && value <= 0))
            return false;
        while (isspace((unsigned char)*end))
            end++;
        if (*end != (i + 1 < count ? ',' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

/* "[INSTRUMENT, CAMERA]" or "[INSTRUMENT, CAMERA, BINNING]" */
static enum emd_status open_section(char *line, struct section *section, struct emd_error *err)
{
    const size_t n = strlen(line);
    if (line[n - 1] != ']')
        return emd_fail(err, EMD_E_FORMAT, "a section is [INSTRUMENT, CAMERA]");
    line[n - 1] = '\0';
    char *rest = line + 1;
    const char *instrument = trim(strsep(&rest, ","));
    const char *camera = rest ? trim(strsep(&rest, ",")) : "";
    *section = (struct section){.open = true};
    if (rest) {
        rest = trim(rest);
        if (!read_numbers(rest, 1, true))
            return emd_fail(err, EMD_E_FORMAT, "'%s' is not a binning", rest);
        section->binning = strtod(rest, NULL);
    }
    if (!*instrument || !*camera || strlen(instrument) >= sizeof section->instrument ||
        strlen(camera) >= sizeof section->camera)
        return emd_fail(err, EMD_E_FORMAT, "a section is [INSTRUMENT, CAMERA]; * stands for all");
    strcpy(section->instrument, instrument);
    strcpy(section->camera, camera);
    return EMD_OK;
}

/* A mask lies beside the file that names it. */
static char *value_of(const char *name, const char *value, const char *path)
{
    char *out = NULL;
    const char *slash = strrchr(path, '/');
    if (strcmp(name, "mask") != 0 || value[0] == '/' || !slash)
        return strdup(value);
    return asprintf(&out, "%.*s/%s", (int)(slash - path), path, value) < 0 ? NULL : out;
}

static enum emd_status add_setting(char *line, const struct section *section, const char *path,
                                   unsigned number, struct emd_instruments *list,
                                   struct emd_error *err)
{
    char *equal = strchr(line, '=');
    if (!equal)
        return emd_fail(err, EMD_E_FORMAT, "not NAME = VALUE");
    if (!section->open)
        return emd_fail(err, EMD_E_FORMAT, "it belongs to no section [INSTRUMENT, CAMERA]");
    *equal = '\0';
    char *name = trim(line), *dot = strchr(name, '.');
    const char *value = trim(equal + 1);
    size_t which = 0;
    if (dot)
        *dot = '\0';
    while (which < sizeof names / sizeof *names && strcmp(names[which].name, name) != 0)
        which++;
    if (which == sizeof names / sizeof *names)
        return emd_fail(err, EMD_E_FORMAT,
                        "'%s' is unknown; there are distance.LENGTH, d_min.LENGTH, axis, gain, "
                        "pedestal, saturation, pixel_size and mask",
                        name);
    if (names[which].by_length != (dot != NULL) || (dot && !read_numbers(dot + 1, 1, true)))
        return emd_fail(err, EMD_E_FORMAT,
                        names[which].by_length ? "'%s' needs a nominal length: %s.670 = ..."
                                               : "'%s' is the same for all lengths: %s = ...",
                        name, name);
    if (!*value || !read_numbers(value, names[which].numbers, names[which].positive))
        return emd_fail(err, EMD_E_FORMAT, "'%s': invalid value '%s'", name, value);
    if (list->count >= SETTINGS_MAX)
        return emd_fail(err, EMD_E_FORMAT, "more than %d settings", SETTINGS_MAX);
    struct emd_instrument_setting *more = realloc(list->item, (list->count + 1) * sizeof *more);
    if (!more)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    list->item = more;
    struct emd_instrument_setting *s = &list->item[list->count++];
    *s = (struct emd_instrument_setting){.instrument = strdup(section->instrument),
                                         .camera = strdup(section->camera),
                                         .binning = section->binning,
                                         .name = strdup(name),
                                         .length = dot ? strtod(dot + 1, NULL) : 0,
                                         .value = value_of(name, value, path)};
    if (asprintf(&s->from, "%s:%u", path, number) < 0)
        s->from = NULL;
    return s->instrument && s->camera && s->name && s->value && s->from
               ? EMD_OK
               : emd_fail(err, EMD_E_MEMORY, "out of memory");
}

enum emd_status emd_instruments_parse(const char *text, size_t length, const char *path,
                                      struct emd_instruments *list, struct emd_error *err)
{
    struct section section = {.open = false};
    enum emd_status status = EMD_OK;
    const char *const end = text + length;
    unsigned number = 0;
    for (const char *p = text; p < end && status == EMD_OK;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const size_t n = (size_t)((newline ? newline : end) - p);
        char *copy = strndup(p, n);
        if (!copy)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        number++;
        char *line = trim(copy);
        if (strlen(copy) < n && memchr(p, '\0', n))
            status = emd_fail(err, EMD_E_FORMAT, "it contains a NUL");
        else if (*line == '[')
            status = open_section(line, &section, err);
        else if (*line && *line != '#')
            status = add_setting(line, &section, path, number, list, err);
        free(copy);
        p = newline ? newline + 1 : end;
    }
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "%s: line %u", path, number);
}

enum emd_status emd_instruments_read(const char *path, struct emd_instruments *list,
                                     struct emd_error *err)
{
    struct emd_textfile file = {0};
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, path, err);
    if (status == EMD_OK && file.text)
        status = emd_instruments_parse(file.text, file.length, path, list, err);
    emd_textfile_free(&file);
    return status;
}

void emd_instruments_free(struct emd_instruments *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->item[i].instrument);
        free(list->item[i].camera);
        free(list->item[i].name);
        free(list->item[i].value);
        free(list->item[i].from);
    }
    free(list->item);
    *list = (struct emd_instruments){0};
}

static bool fits(const char *pattern, const char *name)
{
    return fnmatch(pattern, name, FNM_CASEFOLD) == 0;
}

const struct emd_instrument_setting *emd_instruments_find(const struct emd_instruments *list,
                                                          const struct emd_instrument_key *key,
                                                          const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct emd_instrument_setting *s = &list->item[i];
        if (strcmp(s->name, name) == 0 && fits(s->instrument, key->instrument) &&
            fits(s->camera, key->camera) && (s->binning == 0 || s->binning == key->binning) &&
            (s->length == 0 || fabs(key->length - s->length) <= 0.005 * s->length))
            return s;
    }
    return NULL;
}
