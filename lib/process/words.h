/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* One line of text as the words of a command: quotes and ${variables}, no shell.
 *
 * Words are separated by blanks. In single quotes everything stands for itself; in double quotes
 * and outside, ${NAME} is replaced and a backslash takes the next character as it is. "$$" is a
 * dollar sign; any other "$" is an error, so that nothing looks like a shell that is none. A word
 * that uses a variable with an empty value is left out: "distance=${distance}" is an optional
 * parameter. ${NAME!} insists: if it is empty there is no command at all (EMD_E_EMPTY).
 *
 * A variable can be a list: "${inputs}", a word of its own, stands for all words of it, or none. */
#ifndef EMD_PROCESS_WORDS_H
#define EMD_PROCESS_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Starts as {0}; 'word' ends with a NULL once there is one word. */
struct emd_words {
    char **word;
    size_t count, capacity;
};

/* The value of a variable: NULL if there is none of that name, "" if it is empty. */
typedef const char *emd_lookup(void *ctx, const char *name);

/* The words of a list: NULL if there is no list of that name. Valid until the next call. */
typedef const struct emd_words *emd_lookup_list(void *ctx, const char *name);

/* Appends the words of 'text' to *words. 'lists' may be NULL: there are none. EMD_E_FORMAT: an open
 * quote, a stray "$", an unknown variable, a list within a word. EMD_E_EMPTY: a ${NAME!} is
 * empty. */
enum emd_status emd_words_split(const char *text, emd_lookup *lookup, emd_lookup_list *lists,
                                void *ctx, struct emd_words *words, struct emd_error *err);

/* Appends a copy. */
enum emd_status emd_words_add(struct emd_words *words, const char *text, struct emd_error *err);

/* The words as one line that a shell would take apart again; NULL without memory. The caller frees
 * it. */
char *emd_words_join(const struct emd_words *words);

void emd_words_free(struct emd_words *words);

#endif
