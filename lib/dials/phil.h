/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* PHIL, the parameter language of DIALS (libtbx.phil), as far as parameters are given in it:
 *
 *     phi_step = 4            # a comment
 *     output {
 *       experiments = "a b.expt"
 *         .help = "attributes of definitions are passed over"
 *     }
 *     output.reflections = b.refl; keep = *longest all
 *
 * Values may be quoted by ' or ", also three of them over several lines, and go on in the next line
 * behind a backslash; "name !=", "!name =" and "!scope {" are switched off; "*word" among others is
 * the word that is chosen. "include" is refused: nothing else is read. */
#ifndef EMD_DIALS_PHIL_H
#define EMD_DIALS_PHIL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { EMD_PHIL_NAME = 256, EMD_PHIL_VALUE = 4096 }; /* the longest, with the NUL */

/* One definition: its name with its scopes ("output.log"), its value (words joined by single
 * blanks, quotes removed), and the line of the text. Errors end the parsing and are returned. */
typedef enum emd_status emd_phil_take(void *ctx, const char *name, const char *value, size_t line,
                                      struct emd_error *err);

/* Calls 'take' for every definition of the text, which needs no NUL. EMD_E_FORMAT: the text is no
 * PHIL, the error names the line. */
enum emd_status emd_phil_parse(const char *text, size_t length, emd_phil_take *take, void *ctx,
                               struct emd_error *err);

/* The index in 'names' of the parameter that 'name' (n bytes) means on a command line: its whole
 * name; else, as libtbx does, the only one that ends with it behind a dot, else has it at the
 * beginning of a component, else has it anywhere. -1 with *err (EMD_E_ARGUMENT) if none or several
 * are equally good; the text names these, or the nearest one. */
int emd_phil_find(const char *name, size_t n, const char *const names[], size_t count,
                  struct emd_error *err);

/* Writes 'value' as PHIL needs it into 'out': quoted if it is not a plain word. False if there is
 * no room. */
bool emd_phil_quote(const char *value, char *out, size_t size);

#endif
