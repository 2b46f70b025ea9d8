/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* libemdtools-xds.so: the movies of emdtools, and any HDF5 stack of images, for XDS.
 *
 *     NAME_TEMPLATE_OF_DATA_FRAMES= /data/movie_??????.h5
 *     LIB= /usr/lib/emdtools/libemdtools-xds.so
 *
 * XDS (version of 2017 and later) loads the library and calls the four functions below, all
 * arguments by reference: plugin_open once a process, plugin_get_data from several threads. (The
 * interface is described on XDS' page about LIB=, and by the sources of the two public libraries,
 * neggia and durin.) It makes the file's name of the template: for movie_??????.h5 it asks for
 * movie_master.h5, which is movie.emd, movie.h5 or movie.hdf5 here unless there is a file of that
 * name.
 *
 * XDS ignores negative pixels, so that the noise of a camera around zero would lose its lower half:
 * a pedestal is added, the smallest that leaves one pixel in ten thousand below zero, found from
 * three frames of the file; EMDTOOLS_XDS_PEDESTAL is another number. What is negative after that,
 * or not a number, is -1: not measured. */
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "velox/frames.h"
#include "velox/xdsinput.h"

enum { INFO = 1024 };
/* XDS stops with the number; the text is on stderr. */
enum { CANNOT_OPEN = -4, NO_FILE = -2, CANNOT_READ = -1 };

#define EXPORT __attribute__((visibility("default")))

EXPORT void plugin_open(const char *name, int info[INFO], int *error);
EXPORT void plugin_get_header(int *nx, int *ny, int *nbytes, float *qx, float *qy, int *frames,
                              int info[INFO], int *error);
EXPORT void plugin_get_data(int *frame, int *nx, int *ny, int *data, int info[INFO], int *error);
EXPORT void plugin_close(int *error);

static struct emd_frames *movie;
static struct emd_frames_shape shape;
static int32_t pedestal;
static char path[PATH_MAX];

static void describe(int info[INFO])
{
    memset(info, 0, INFO * sizeof *info);
    info[0] = 0; /* maker: none that XDS knows */
    sscanf(EMDTOOLS_VERSION, "%d.%d.%d", &info[1], &info[2], &info[3]);
}

static void complain(const char *what, const char *why)
{
    fprintf(stderr, "emdtools-xds: %s: %s\n", what, why);
}

/* The pedestal that the environment gives; false: none. */
static bool given_pedestal(int32_t *value)
{
    const char *const text = getenv("EMDTOOLS_XDS_PEDESTAL");
    char *end = NULL;
    if (!text || !*text)
        return false;
    const long number = strtol(text, &end, 10);
    if (*end || number < 0 || number > 1000000) {
        complain("EMDTOOLS_XDS_PEDESTAL", "not a number from 0 to 1000000: ignored");
        return false;
    }
    *value = (int32_t)number;
    return true;
}

void plugin_open(const char *name, int info[INFO], int *error)
{
    struct emd_error err = {EMD_OK, ""};
    int closed = 0;
    plugin_close(&closed);
    describe(info);
    *error = NO_FILE;
    if (!emd_xds_find_movie(name, path, sizeof path)) {
        complain(name, "no such file, nor a movie of this name (.emd, .h5, .hdf5)");
        return;
    }
    *error = CANNOT_OPEN;
    if (emd_frames_open(path, NULL, &movie, &err) != EMD_OK ||
        (!given_pedestal(&pedestal) && emd_frames_pedestal(movie, &pedestal, &err) != EMD_OK)) {
        complain(path, err.text);
        plugin_close(&closed);
        return;
    }
    emd_frames_get_shape(movie, &shape);
    *error = 0;
}

void plugin_get_header(int *nx, int *ny, int *nbytes, float *qx, float *qy, int *frames,
                       int info[INFO], int *error)
{
    *error = CANNOT_OPEN;
    if (!movie || shape.width > INT_MAX || shape.height > INT_MAX || shape.frames > INT_MAX)
        return;
    describe(info);
    *nx = (int)shape.width;
    *ny = (int)shape.height;
    *nbytes = (int)sizeof(int32_t);
    *qx = *qy = isfinite(shape.pixel_mm) ? (float)shape.pixel_mm : 0;
    *frames = (int)shape.frames;
    *error = 0;
}

void plugin_get_data(int *frame, int *nx, int *ny, int *data, int info[INFO], int *error)
{
    struct emd_error err = {EMD_OK, ""};
    char what[PATH_MAX + 32];
    describe(info);
    *error = CANNOT_READ;
    if (!movie || *frame < 1 || (size_t)*frame > shape.frames || *nx != (int)shape.width ||
        *ny != (int)shape.height) {
        complain(path, "XDS asks for a frame that the movie does not have");
        return;
    }
    if (emd_frames_read(movie, (size_t)*frame - 1, data, &err) != EMD_OK) {
        snprintf(what, sizeof what, "%s: frame %d", path, *frame);
        complain(what, err.text);
        return;
    }
    const size_t n = shape.width * shape.height;
    for (size_t i = 0; i < n; i++) {
        const int32_t v = data[i];
        data[i] = v == EMD_FRAMES_NO_VALUE || v < -pedestal ? -1
                  : v > INT32_MAX - pedestal                ? INT32_MAX
                                                            : v + pedestal;
    }
    *error = 0;
}

void plugin_close(int *error)
{
    emd_frames_close(movie);
    movie = NULL;
    *error = 0;
}
