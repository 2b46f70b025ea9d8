/* JSON as the tools write it: names and messages, and values on stdout. */
#ifndef EMD_TOOLS_JSONTEXT_H
#define EMD_TOOLS_JSONTEXT_H

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* A string of any bytes: what is no UTF-8 is written as \xNN. NULL, which is null, where memory is
 * short. */
static inline struct json_object *emd_json_text(const char *text)
{
    char *clean = emd_utf8_clean(text, strlen(text));
    struct json_object *o = clean ? json_object_new_string(clean) : NULL;
    free(clean);
    return o;
}

/* Writes it on stdout, all on one line that it does not end, and frees it. */
static inline void emd_json_print(struct json_object *o)
{
    fputs(
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        stdout);
    json_object_put(o);
}

/* The same, and ends the line. */
static inline void emd_json_print_line(struct json_object *o)
{
    emd_json_print(o);
    putchar('\n');
}

#endif
