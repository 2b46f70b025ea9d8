/* Names and messages in JSON. */
#ifndef EMD_TOOLS_JSONTEXT_H
#define EMD_TOOLS_JSONTEXT_H

#include <json-c/json.h>
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

#endif
