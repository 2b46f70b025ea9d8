/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A forward reader of JSON text that allocates nothing and parses only what it is asked for.
 *
 * DIALS' scaled.json is up to megabytes of plots of which a summary needs one hundredth, and there
 * are a thousand of them: building a tree (json-c) takes some 10 ms a file, stepping over the rest
 * takes well under one. It reads, it does not validate: what is skipped is only checked for
 * balanced brackets and closed strings. NaN and Infinity, which Python writes, are numbers.
 *
 * Any bytes are safe: nothing outside [text, text + length) is read, every call makes progress or
 * sets 'bad', and there is no recursion. Once 'bad' is set every call returns "nothing more".
 *
 *     for (emd_json_open(&j, '{'); emd_json_key(&j, key, sizeof key);)
 *         if (strcmp(key, "x") == 0 && emd_json_open(&j, '['))
 *             while (emd_json_item(&j))
 *                 emd_json_number(&j, &x);
 *         else
 *             emd_json_skip(&j); */
#ifndef EMD_DIALS_JSONSCAN_H
#define EMD_DIALS_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>

struct emd_json {
    const char *at, *end;
    bool bad; /* the text ended early or is no JSON */
};

void emd_json_init(struct emd_json *json, const char *text, size_t length);

/* First character of the next value ('{', '[', '"', '-', a digit, ...), without consuming it; 0 at
 * the end. */
char emd_json_peek(struct emd_json *json);

/* Consumes the bracket if the next value is such an object or array; else nothing is consumed. */
bool emd_json_open(struct emd_json *json, char bracket);

/* In an object: the next member's key (cut to capacity - 1 bytes, NUL terminated), its value comes
 * next; false at the end, with the closing bracket consumed. */
bool emd_json_key(struct emd_json *json, char *key, size_t capacity);

/* In an array: true if another element follows; false at the end, bracket consumed. */
bool emd_json_item(struct emd_json *json);

/* Consume one value whatever it is; true if it was a number or string, as asked for. Strings are
 * decoded to UTF-8 and cut to capacity - 1 bytes, never within a character; a NUL ends them. */
bool emd_json_number(struct emd_json *json, double *value);
bool emd_json_string(struct emd_json *json, char *text, size_t capacity);
void emd_json_skip(struct emd_json *json);

/* Consumes one value; of an array the first 'capacity' elements, NAN for what is no number. The
 * number of elements; 0 for what is no array. */
size_t emd_json_numbers(struct emd_json *json, double *out, size_t capacity);

#endif
