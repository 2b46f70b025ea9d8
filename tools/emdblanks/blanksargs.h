/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The command line of emdblanks: options, and PHIL parameters as DIALS' programs take them. */
#ifndef EMD_TOOLS_BLANKSARGS_H
#define EMD_TOOLS_BLANKSARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "dials/blankfilter.h"

/* A parameter that differs from its default, for the log. */
struct blanks_change {
    const char *key;
    char *value;
};

struct blanks_arguments {
    struct emd_blankfilter_options filter;
    const char *program; /* "emdblanks", or "dials.filter_blanks" if it was called so */
    const char *expt, *refl, *out_expt, *plot;
    const char *out_refl; /* NULL: by what was read */
    const char *log;      /* NULL: none */
    bool dry_run, json, quiet, verbose, show_config;
    char **texts; /* all values, which the others point into */
    size_t text_count;
    struct blanks_change *changes;
    size_t change_count;
};

/* True if there is work to do; else *code is the exit status, and help, version, configuration or a
 * message was printed. The caller ends it with blanks_arguments_free either way. */
bool blanks_arguments_parse(int argc, char **argv, struct blanks_arguments *args, int *code);
void blanks_arguments_free(struct blanks_arguments *args);

#endif
