/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What a movie says of itself and what its pixels show, as emdinfo finds it: one place for all of
 * emdprocess. Looking at the pixels takes up to a second, so the answer is kept in the crystal's
 * folder until the movie changes. */
#ifndef EMD_TOOLS_MOVIEFACTS_H
#define EMD_TOOLS_MOVIEFACTS_H

#include <stdbool.h>
#include <stddef.h>

/* More than emdinfo gives. */
enum { MOVIE_CORNERS_MAX = 64 };

/* Numbers that are not known are NaN, texts "". */
struct movie_facts {
    bool known; /* emdinfo could read the movie */
    char instrument[64], camera[48];
    double width, height, frames;
    double binning;
    double wavelength;                    /* A, of the metadata's voltage */
    double camera_length, implied_length; /* mm: nominal; from the pixel size */
    double gain;        /* pixel value per electron; of the metadata unless the pixels contradict */
    char gain_from[16]; /* "metadata" or "pixels" */
    double gain_metadata, gain_pixels;
    double pedestal;            /* from the pixels */
    double beam[2], beam_sigma; /* from the pixels: fast, slow */
    size_t corners;             /* of a beam stop's shadow in the pixels; 0: none is seen */
    double corner[MOVIE_CORNERS_MAX][2]; /* x, y, around it, pixels */
    double saturation;                   /* pixel value */
    double tilts, step;                  /* images with a tilt; degrees per image */
    double first, last;                  /* images from 1 during which the stage turns */
    char *json;                          /* emdinfo's object of the image stack */
    bool fresh;                          /* not read from the kept answer */
};

/* Never fails: what cannot be found out is unknown. 'crystal' is the crystal's folder, which need
 * not exist. The caller frees with movie_facts_free. */
void movie_facts_read(const char *movie, const char *crystal, struct movie_facts *facts);
void movie_facts_free(struct movie_facts *facts);

/* Keeps a fresh answer in the crystal's folder. */
void movie_facts_keep(const char *movie, const char *crystal, struct movie_facts *facts);

#endif
