/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
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

/* An object that says first what it is: "format": "emdrepack/1". docs/json.md explains the keys;
 * the number grows when one of them changes its meaning or goes away. NULL where memory is short.
 */
static inline struct json_object *emd_json_new(const char *tool)
{
    char format[64];
    struct json_object *o = json_object_new_object();
    snprintf(format, sizeof format, "%s/%d", tool, 1);
    if (o)
        json_object_object_add(o, "format", json_object_new_string(format));
    return o;
}

/* Writes it on stdout, all on one line that it does not end, and frees it. Control characters that
 * JSON allows as they are (U+0080 to U+009F, DEL) are escaped, too: some terminals obey them. */
static inline void emd_json_print(struct json_object *o)
{
    const char *p =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    for (; p && *p; p++) {
        const unsigned char next = (unsigned char)p[1];
        if ((unsigned char)*p == 0xc2 && next >= 0x80 && next < 0xa0)
            printf("\\u%04x", (unsigned char)*++p);
        else if (*p == 0x7f)
            fputs("\\u007f", stdout);
        else
            putchar(*p);
    }
    json_object_put(o);
}

/* The same, and ends the line. */
static inline void emd_json_print_line(struct json_object *o)
{
    emd_json_print(o);
    putchar('\n');
}

#endif
