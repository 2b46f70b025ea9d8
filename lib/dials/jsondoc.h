/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* JSON documents that are read, changed in places and written back as they were.
 *
 * DIALS writes its .expt files with Python's json module, either indented or on one line, with NaN
 * and Infinity as they are. What is read here and written again is the same text, byte for byte,
 * where nothing was changed: json-c keeps the text of floating point numbers, the order of keys is
 * kept, and the writer follows Python's conventions in the style that was found.
 *
 * The tree is json-c's; objects are shared by reference counts, so that a changed copy of a model
 * holds on to the unchanged arrays of the original instead of copying them. */
#ifndef EMD_DIALS_JSONDOC_H
#define EMD_DIALS_JSONDOC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct emd_jsondoc {
    struct json_object *root;
    unsigned indent; /* spaces a level; 0: everything on one line */
    bool ascii;      /* strings escape everything else, as Python does unless told otherwise */
    bool newline;    /* the text ends with one */
};

/* Parses strict JSON plus NaN, Infinity and -Infinity. What could not be written back as it was is
 * EMD_E_UNSUPPORTED: integers beyond 64 bits, unpaired surrogates, NUL in strings. The caller
 * releases with emd_jsondoc_release. */
enum emd_status emd_jsondoc_parse(const char *text, size_t length, struct emd_jsondoc *doc,
                                  struct emd_error *err);

/* The same for a regular file of at most 2 GiB, read once. */
enum emd_status emd_jsondoc_read(const char *path, struct emd_jsondoc *doc, struct emd_error *err);

void emd_jsondoc_release(struct emd_jsondoc *doc);

/* The text of the document in memory that the caller frees; *length without the final NUL. */
enum emd_status emd_jsondoc_text(const struct emd_jsondoc *doc, char **text, size_t *length,
                                 struct emd_error *err);

/* A number that is written as Python writes it: the fewest digits that read back the same. */
struct json_object *emd_json_new_double(double value);

/* Member 'key' if it is of this type, else NULL; not a new reference. */
struct json_object *emd_json_member(struct json_object *object, const char *key,
                                    enum json_type type);

/* True if 'value' is a number; integers count. */
bool emd_json_get_double(struct json_object *value, double *number);

#endif
