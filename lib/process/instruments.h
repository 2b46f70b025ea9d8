/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Instrument files: what a laboratory has measured of its microscopes and cameras, once, instead of
 * typing it in every project. The format is documented in docs/man/emdtools-instruments.5:
 *
 *     [Talos Arctica*, BM-Ceta]
 *     distance.670 = 618
 *     axis = 0,-1,0
 *
 * A section holds for movies whose microscope and camera fit its shell patterns, and, with a third
 * word, whose binning is that number. Of several that fit, the first that gives a value counts, so
 * that files are read from the most special to the most general. */
#ifndef EMD_PROCESS_INSTRUMENTS_H
#define EMD_PROCESS_INSTRUMENTS_H

#include <stddef.h>

#include "base/status.h"

struct emd_instrument_setting {
    char *instrument, *camera; /* patterns */
    double binning;            /* 0: any */
    char *name;                /* "axis", "distance" */
    double length;             /* nominal camera length in mm that it is for, 0: any */
    char *value;
    char *from; /* "FILE:LINE" */
};

/* Starts as {0}. */
struct emd_instruments {
    struct emd_instrument_setting *item;
    size_t count;
};

/* Appends the settings of a file. EMD_E_EMPTY: there is none; EMD_E_FORMAT, with the line. */
enum emd_status emd_instruments_read(const char *path, struct emd_instruments *list,
                                     struct emd_error *err);
enum emd_status emd_instruments_parse(const char *text, size_t length, const char *path,
                                      struct emd_instruments *list, struct emd_error *err);
void emd_instruments_free(struct emd_instruments *list);

/* What is asked about: names as the metadata have them, NaN for unknown numbers. */
struct emd_instrument_key {
    const char *instrument, *camera;
    double binning, length;
};

/* The value of 'name' for a movie, NULL if no section gives it. Lengths fit within 0.5 %. */
const struct emd_instrument_setting *emd_instruments_find(const struct emd_instruments *list,
                                                          const struct emd_instrument_key *key,
                                                          const char *name);

#endif
