/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/moviefacts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/safefile.h"
#include "dials/jsondoc.h"
#include "dials/textfile.h"
#include "emdprocess/surroundings.h"
#include "process/words.h"

/* Hidden, so that nobody takes it for a result. */
#define KEPT_NAME ".emdprocess-movie.json"
/* More than emdinfo has to say about any movie. */
enum { ANSWER_MAX = 64 << 20 };

static double number(struct json_object *o, const char *key)
{
    struct json_object *value;
    double v;
    return json_object_object_get_ex(o, key, &value) && emd_json_get_double(value, &v) &&
                   isfinite(v)
               ? v
               : NAN;
}

static void text(struct json_object *o, const char *key, char *out, size_t capacity)
{
    struct json_object *value = emd_json_member(o, key, json_type_string);
    snprintf(out, capacity, "%s", value ? json_object_get_string(value) : "");
}

/* An outline of which a corner cannot be read is none. */
static void take_stop(struct json_object *outline, struct movie_facts *f)
{
    const size_t n = outline ? json_object_array_length(outline) : 0;
    f->corners = 0;
    if (n < 3 || n > MOVIE_CORNERS_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        struct json_object *corner = json_object_array_get_idx(outline, i);
        if (!json_object_is_type(corner, json_type_array) || json_object_array_length(corner) != 2)
            return;
        for (size_t k = 0; k < 2; k++)
            if (!emd_json_get_double(json_object_array_get_idx(corner, k), &f->corner[i][k]) ||
                !(fabs(f->corner[i][k]) < 1e6))
                return;
    }
    f->corners = n;
}

static void take(struct json_object *image, struct movie_facts *f)
{
    struct json_object *tilt = emd_json_member(image, "tilt", json_type_object);
    struct json_object *beam = emd_json_member(image, "beam_centre_px", json_type_array);
    f->known = true;
    text(image, "instrument", f->instrument, sizeof f->instrument);
    text(image, "camera", f->camera, sizeof f->camera);
    f->width = number(image, "width");
    f->height = number(image, "height");
    f->frames = number(image, "frames");
    f->binning = number(image, "binning");
    f->wavelength = number(image, "wavelength_A");
    f->camera_length = number(image, "camera_length_mm");
    f->implied_length = number(image, "implied_distance_mm");
    f->gain = number(image, "gain");
    f->gain_pixels = number(image, "gain_pixels");
    f->gain_metadata = number(image, "gain_metadata");
    text(image, "gain_from", f->gain_from, sizeof f->gain_from);
    f->pedestal = number(image, "pedestal");
    for (size_t i = 0; beam && i < 2 && json_object_array_length(beam) == 2; i++)
        emd_json_get_double(json_object_array_get_idx(beam, i), &f->beam[i]);
    f->beam_sigma = number(image, "beam_centre_sigma_px");
    take_stop(emd_json_member(image, "beam_stop_px", json_type_array), f);
    f->saturation = number(image, "saturation");
    f->tilts = number(tilt, "known");
    f->step = number(tilt, "step_deg");
    f->first = number(tilt, "first_image");
    f->last = number(tilt, "last_image");
}

/* The state of the movie by which a kept answer is known. */
static bool mark_of(const char *movie, char mark[static 128])
{
    struct stat st;
    if (stat(movie, &st) != 0)
        return false;
    snprintf(mark, 128, "%" PRId64 " %" PRId64 ".%09ld " EMDTOOLS_VERSION " 3", (int64_t)st.st_size,
             (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return true;
}

static char *kept_path(const char *crystal)
{
    char *path = NULL;
    return asprintf(&path, "%s/" KEPT_NAME, crystal) < 0 ? NULL : path;
}

static bool read_kept(const char *crystal, const char *mark, struct movie_facts *f)
{
    struct emd_textfile file = {0};
    struct emd_jsondoc doc = {0};
    char *path = kept_path(crystal), found[128] = "";
    bool ok = path && emd_textfile_read(&file, AT_FDCWD, path, NULL) == EMD_OK && file.length > 0 &&
              emd_jsondoc_parse(file.text, file.length, &doc, NULL) == EMD_OK;
    if (ok) {
        struct json_object *image = emd_json_member(doc.root, "image", json_type_object);
        text(doc.root, "movie", found, sizeof found);
        ok = image && strcmp(found, mark) == 0;
        if (ok)
            take(image, f);
        emd_jsondoc_release(&doc);
    }
    emd_textfile_free(&file);
    free(path);
    return ok;
}

/* All that a command prints, or NULL. */
static char *output_of(const char *command, size_t *length)
{
    FILE *f = popen(command, "re");
    char *out = NULL;
    size_t used = 0, capacity = 0;
    while (f && used < ANSWER_MAX) {
        if (used + 65536 > capacity) {
            char *grown = realloc(out, capacity = 2 * capacity + 131072);
            if (!grown)
                break;
            out = grown;
        }
        const size_t n = fread(out + used, 1, capacity - used - 1, f);
        used += n;
        if (n == 0)
            break;
    }
    if (f)
        pclose(f);
    if (out)
        out[used] = '\0';
    *length = used;
    return out;
}

static void ask(const char *movie, struct movie_facts *f)
{
    struct emd_words words = {0};
    struct emd_jsondoc doc = {0};
    char *program = NULL, *line = NULL, *command = NULL, *answer = NULL;
    size_t n = 0;
    if (asprintf(&program, "%s/emdinfo", own_folder()) < 0)
        program = NULL;
    if (program && emd_words_add(&words, program, NULL) == EMD_OK &&
        emd_words_add(&words, "--json", NULL) == EMD_OK &&
        emd_words_add(&words, "--", NULL) == EMD_OK && emd_words_add(&words, movie, NULL) == EMD_OK)
        line = emd_words_join(&words);
    if (line && asprintf(&command, "%s 2>/dev/null </dev/null", line) >= 0)
        answer = output_of(command, &n);
    if (answer && n > 0 && emd_jsondoc_parse(answer, n, &doc, NULL) == EMD_OK) {
        struct json_object *images = emd_json_member(doc.root, "images", json_type_array);
        struct json_object *image = images && json_object_array_length(images) > 0
                                        ? json_object_array_get_idx(images, 0)
                                        : NULL;
        if (image && json_object_is_type(image, json_type_object)) {
            take(image, f);
            f->json = strdup(json_object_to_json_string_ext(image, JSON_C_TO_STRING_PLAIN));
            f->fresh = f->json != NULL;
        }
        emd_jsondoc_release(&doc);
    }
    free(answer);
    free(command);
    free(line);
    free(program);
    emd_words_free(&words);
}

void movie_facts_read(const char *movie, const char *crystal, struct movie_facts *f)
{
    char mark[128];
    *f = (struct movie_facts){.beam = {NAN, NAN}};
    take(NULL, f);
    f->known = false;
    if (mark_of(movie, mark) && !read_kept(crystal, mark, f))
        ask(movie, f);
}

void movie_facts_keep(const char *movie, const char *crystal, struct movie_facts *f)
{
    struct emd_safefile *file = NULL;
    struct emd_error err;
    char mark[128], *path = kept_path(crystal), *content = NULL;
    if (f->fresh && path && mark_of(movie, mark) &&
        asprintf(&content, "{\"movie\":\"%s\",\"image\":%s}\n", mark, f->json) >= 0 &&
        emd_safefile_create(path, &file, &err) == EMD_OK) {
        /* Only a saving of time: what goes wrong is found out anew the next time. */
        if (emd_pwrite_all(emd_safefile_fd(file), content, strlen(content), 0) == 0) {
            emd_safefile_commit(&file, 1, true, &err);
            file = NULL;
        }
        emd_safefile_discard(file);
    }
    f->fresh = false;
    free(content);
    free(path);
}

void movie_facts_free(struct movie_facts *f)
{
    free(f->json);
    f->json = NULL;
}
