/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The command line of a tool, from one table: parsing, --help, -h, -V, completions and "did you
 * mean". getopt_long does the reading, so that options can be abbreviated, combined and ended with
 * "--" as everywhere. argp and popt were looked at: neither completes, suggests, nor knows ranges.
 */
#ifndef EMD_TOOLS_OPTIONS_H
#define EMD_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* What an option's value is, and the type of the field that takes it. */
enum emd_option_kind {
    EMD_OPTION_TITLE,  /* no option: 'help' is the heading of those that follow */
    EMD_OPTION_FLAG,   /* bool: true */
    EMD_OPTION_CLEAR,  /* bool: false */
    EMD_OPTION_SET,    /* an enum or int: 'number' */
    EMD_OPTION_TEXT,   /* const char *: the argument itself */
    EMD_OPTION_LONG,   /* long from low to high */
    EMD_OPTION_COUNT,  /* size_t from low to high */
    EMD_OPTION_DOUBLE, /* double from low to high */
    EMD_OPTION_SIZE,   /* size_t: a number of bytes above 0, "512M" */
    EMD_OPTION_CHOICE, /* an enum or int: the index of the word among 'words' */
    EMD_OPTION_CALL    /* 'take' reads it */
};

struct emd_option {
    char letter;       /* '\0': none */
    const char *name;  /* without the "--"; NULL: a letter alone */
    const char *value; /* "SIZE", which is needed; "[WHEN]", which may follow a '='; NULL: none */
    enum emd_option_kind kind;
    size_t at; /* offset of the field in the tool's own struct, emd_options_parse's 'into' */
    double low, high;
    int number;
    const char *words; /* "auto|always|never"; a value that may be left out is the first one then */
    /* CALL. EMD_E_ARGUMENT is a usage error; err->text says what the value is not. */
    enum emd_status (*take)(void *into, const struct emd_option *option, const char *value,
                            struct emd_error *err);
    /* What a shell offers as value, if not 'words': "file", "file:emd,h5" (by their suffixes),
     * "directory", "command", "words:a b", "list:a b" (separated by commas) or "sh:COMMAND", whose
     * lines are the words; quotes, dollar signs and backslashes are not possible in it. */
    const char *complete;
    bool repeatable;
    const char *help; /* wrapped to 80 columns; '\n' begins a line. NULL: not in --help */
};

struct emd_program {
    const char *name;
    const char *alias; /* of the same completions; NULL: none */
    const char *usage; /* a line per form, without the program's name; one after a space goes on */
    const char *about; /* wrapped; '\n' begins a line */
    const struct emd_option *options;
    size_t option_count;
    void (*more_help)(void); /* printed behind the options; may be NULL */
    const char *notes;       /* behind that; may be NULL */
    const char *exits[4];    /* by enum emd_exit; NULL: 1 "failed", 2 "wrong usage", 3 none */
    const char *operands;    /* as emd_option.complete */
    const char *first;       /* the first operand, if it is of another kind */
};

/* Reads the options into the struct 'into', which holds the defaults; argv is reordered, and its
 * operands begin at getopt's optind. Returns -1 to go on; else the exit code: help, version or a
 * message was printed. Besides the table's own there are -h, --help, -V, --version and
 * --completions=SHELL (bash, zsh, fish), which stands alone and is not in the help. */
int emd_options_parse(const struct emd_program *program, int argc, char **argv, void *into);

/* Prints the completions of a shell; false if there are none for it. */
bool emd_options_complete(const struct emd_program *program, const char *shell);

/* The column up to which help is written. */
enum { EMD_HELP_COLUMNS = 80 };

/* Prints text from column 'indent' on, wrapped; the cursor stands there already. */
void emd_options_wrap(const char *text, size_t indent);

/* The index of 'text' among the words "none|chunk|file"; EMD_E_ARGUMENT names them and the nearest
 * one. */
enum emd_status emd_options_word(const char *text, const char *words, int *index,
                                 struct emd_error *err);

#endif
