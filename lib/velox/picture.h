/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Pictures of a stack: a frame, a contact sheet of many, or a projection of them, as PNG.
 *
 * Threads: emd_picture_make belongs to the HDF5 thread; the rest is plain data. */
#ifndef EMD_VELOX_PICTURE_H
#define EMD_VELOX_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "velox/stack.h"

enum emd_picture_mode {
    EMD_PICTURE_FRAMES, /* one frame in full, several as a sheet of small ones with numbers */
    EMD_PICTURE_MAX,    /* the highest value of each pixel */
    EMD_PICTURE_MEAN
};

/* How values become grey: linear; logarithm; asinh, which is linear near the background and
 * logarithmic in the spots. */
enum emd_picture_scale { EMD_SCALE_ASINH, EMD_SCALE_LOG, EMD_SCALE_LINEAR };

enum { EMD_PICTURE_RINGS_MAX = 8 };

struct emd_picture_options {
    enum emd_picture_mode mode;
    enum emd_picture_scale scale;
    size_t first, last, step; /* frames from 0, last included, step >= 1 */
    size_t side;              /* a sheet's width and height stay within about this; 0: 2048 */
    double beam[2];           /* where the rings' centre is, pixels of the frame; NaN: the middle */
    size_t ring_count;        /* circles around the beam, in red; 0: none */
    double ring[EMD_PICTURE_RINGS_MAX]; /* radii in pixels of the frame */
    void *ctx;
    bool (*cancelled)(void *ctx); /* asked between frames; may be NULL */
};

struct emd_picture {
    size_t width, height;
    unsigned channels;     /* 1: grey, 3: red, green, blue */
    uint8_t *pixels;       /* [height][width][channels] */
    double beam_x, beam_y; /* centre of the rings, pixels of the frame (rings only) */
    float black, white;    /* values at the ends of the scale */
};

/* Reads the frames that the picture needs, one at a time. The caller frees with emd_picture_free.
 * Contrast is common to all frames of a picture: black at the 1st percentile, white at the 99.9th
 * (asinh and log: of the scaled values), whatever a few hot pixels say. */
enum emd_status emd_picture_make(const struct emd_stack *stack,
                                 const struct emd_picture_options *options,
                                 struct emd_picture *picture, struct emd_error *err);
void emd_picture_free(struct emd_picture *picture);

/* Writes a PNG; the stream stays open. */
enum emd_status emd_picture_write(const struct emd_picture *picture, FILE *stream,
                                  struct emd_error *err);

/* Radius in pixels at which resolution d (A) lies: distance x tan(2 asin(lambda / 2 d)) / pixel;
 * NaN if there is none. */
double emd_ring_radius(double d, double wavelength, double distance, double pixel_size);

#endif
