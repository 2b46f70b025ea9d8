/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Facts from the logs of DIALS programs, version 3.8 to 3.30.
 *
 * All functions take any bytes, never read outside [text, text + length), and allocate only where
 * they say so. Texts that they return are cut to the space given, NUL terminated, and free of
 * control characters. */
#ifndef EMD_DIALS_DIALSLOG_H
#define EMD_DIALS_DIALSLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* A unit cell: a, b, c in Angstrom, alpha, beta, gamma in degrees. */
struct emd_cell {
    double value[6];
    double esd[6];    /* standard uncertainty; NaN where none is given */
    char text[6][16]; /* the value as it was printed, without the uncertainty */
    char centring;    /* 'P', 'A', 'B', 'C', 'F', 'I' or 'R', of the space group; 'P' if unknown */
};

/* The centring that a space group's symbol begins with, Hermann-Mauguin ("C 1 2/m 1") or Hall
 * ("-C 2y"). */
char emd_centring_of(const char *symbol);

/* Cubic Angstrom; NaN for angles that close no cell. */
double emd_cell_volume(const struct emd_cell *cell);

/* A growing list of cells; starts as {0}, ends with free(cells). */
struct emd_cells {
    struct emd_cell *items;
    size_t count, capacity;
};
enum emd_status emd_cells_add(struct emd_cells *cells, const struct emd_cell *cell,
                              struct emd_error *err);

/* Reads "5.3418(6), 6.4597(5), 10.86, 90, 88.70(9), 90": true if all six are there. */
bool emd_cell_parse(const char *text, size_t length, struct emd_cell *cell);

/* Adds the cells that a log prints for its final models, one a crystal: from dials.integrate.log
 * all of "Unit cell: ...", from dials.index.log (and dials.refine.log) those behind the last
 * "Refined crystal models:". A crystal that several sweeps share is printed for each, with the same
 * digits, and is added once. At most a thousand are kept. */
enum emd_status emd_log_cells(const char *text, size_t length, struct emd_cells *cells,
                              struct emd_error *err);

/* "DIALS 3.12.1-0-g1234567" -> "3.12.1-0-g1234567". */
bool emd_log_version(const char *text, size_t length, char *out, size_t capacity);

/* The last "Best solution: P 1 2/m 1" of dials.symmetry.log or dials.cosym.log. */
bool emd_log_symmetry(const char *text, size_t length, char *out, size_t capacity);

/* The space group that dials.symmetry recommends from systematic absences: "Recommended space
 * group: P 1 21 1". */
bool emd_log_space_group(const char *text, size_t length, char *out, size_t capacity);

/* Takes out of a reason what DIALS puts into every one of its own errors ("AssertionError: Please
 * report this error to ...: Too few spots (8)"): what is left is the last clause, or the error's
 * name where there is none. */
void emd_failure_reason(char *reason);

/* The last line that says that the program failed: "Sorry: ...", "ERROR: ...", "SomeError: ...".
 * The mark itself ("Sorry: ") is left out where the rest speaks for itself, and so is what
 * emd_failure_reason takes out. */
bool emd_log_failure(const char *text, size_t length, char *out, size_t capacity);

/* The last line with a letter in it. */
bool emd_log_last_line(const char *text, size_t length, char *out, size_t capacity);

/* True if the log has a line that starts with 'start'; the line follows in *line, *line_length
 * (both may be NULL). The last such line counts. */
bool emd_log_line(const char *text, size_t length, const char *start, const char **line,
                  size_t *line_length);

/* Copies a piece of text: cut, control characters as '?', trailing blanks removed. */
void emd_log_copy(const char *from, size_t length, char *out, size_t capacity);

#endif
