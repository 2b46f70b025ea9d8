/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Where each number of the experiment comes from. For every variable of the recipe that a recipe, a
 * settings file or -D leaves empty, the first of these that gives a value: the instrument files
 * (emdtools-instruments(5)), the movie's metadata, its pixels. What is given to DIALS' import
 * stands in its command; what the reader takes from the metadata itself is left to it. */
#ifndef EMD_TOOLS_GEOMETRY_H
#define EMD_TOOLS_GEOMETRY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "emdprocess/moviefacts.h"
#include "process/instruments.h"
#include "process/recipe.h"

struct json_object;

enum { GEOMETRY_ITEMS = 16, GEOMETRY_WARNINGS = 6 };

struct geometry_item {
    const char *name; /* of the variable */
    char value[256];  /* "" if nobody knows */
    char from[160];   /* "emdprocess.conf", "instruments.conf:12", "metadata", "pixels" */
};

struct geometry {
    struct movie_facts facts;
    struct geometry_item item[GEOMETRY_ITEMS];
    size_t count;
    char warning[GEOMETRY_WARNINGS][256];
    size_t warnings;
    char mask[256];    /* for a variable 'mask' that is empty, relative to the project; "": none */
    bool own_mask;     /* 'mask' is to be made from the beam stop's shadow (geometry_write_mask) */
    char trouble[256]; /* why the movie cannot be processed at all, "" if it can */
};

/* Reads the instrument files of the project (the current folder), the user and the machine. */
enum emd_status geometry_read_instruments(struct emd_instruments *list, struct emd_error *err);

/* Fills the empty variables of 'recipe' for the movie of a crystal. The caller frees with
 * geometry_free in any case. */
enum emd_status geometry_resolve(const struct emd_instruments *instruments, const char *movie,
                                 const char *crystal, struct emd_recipe *recipe,
                                 struct geometry *geometry, struct emd_error *err);
void geometry_free(struct geometry *geometry);

/* Makes the mask of the beam stop where it is wanted, in the crystal's folder, which exists; an
 * unchanged one is left alone. */
enum emd_status geometry_write_mask(const struct geometry *geometry, struct emd_error *err);

/* What DIALS' import made of it, for the record of the trial: the class that read the movie (from
 * the import's output), and distance, gain, pedestal, axis, trusted range, beam centre and images
 * from the models, with where they come from. NULL if 'expt' is not an imported movie. The caller
 * puts the object. */
struct json_object *geometry_used(const struct geometry *geometry, const char *expt,
                                  const char *log, size_t log_length);

/* The same in one line of text: "FormatVeloxEMD; distance 618 mm (emdprocess.conf); ..." */
void geometry_describe(struct json_object *used, char *text, size_t capacity);

/* The class in the output of dials.import, "" if it names none. */
void geometry_reader(const char *log, size_t length, char *name, size_t capacity);
#define GEOMETRY_READER "FormatVeloxEMD"

#endif
