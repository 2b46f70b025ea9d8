/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See jsondoc.h. json-c parses; what it would change in silence (integers beyond 64 bits, unpaired
 * surrogates, a NUL in a key) is looked for before. Its own printer was no choice: its indented
 * style is not Python's, it escapes '/', and it writes what is not ASCII as it is. */
#include "dials/jsondoc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* DIALS nests six levels deep; json-c recurses when it frees. */
enum { DEEPEST = 64 };

/* --- reading ----------------------------------------------------------------------------------*/

static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Steps over a string that began before p. What is no JSON at all is left for the parser to say. */
static const char *check_string(const char *p, const char *end, struct emd_error *err)
{
    while (p < end && *p != '"') {
        if (*p++ != '\\' || p == end)
            continue;
        if (*p++ != 'u')
            continue;
        int unit = hex4(p, end);
        if (unit < 0)
            continue;
        p += 4;
        if (unit == 0) {
            emd_fail(err, EMD_E_UNSUPPORTED, "a string contains NUL");
            return NULL;
        }
        if (unit >= 0xd800 && unit < 0xe000) {
            int low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
            if (unit >= 0xdc00 || low < 0xdc00 || low >= 0xe000) {
                emd_fail(err, EMD_E_UNSUPPORTED, "a string contains half a surrogate pair");
                return NULL;
            }
            p += 6;
        }
    }
    return p < end ? p + 1 : p;
}

/* An integer of up to 18 digits always fits 64 bits. */
static enum emd_status check_tokens(const char *text, size_t length, struct emd_error *err)
{
    const char *p = text, *const end = text + length;
    while (p < end) {
        if (*p == '"') {
            p = check_string(p + 1, end, err);
            if (!p)
                return EMD_E_UNSUPPORTED;
        } else if ((*p >= '0' && *p <= '9') || *p == '-') {
            const char *start = p;
            bool negative = *p == '-';
            p += negative;
            while (p < end && *p >= '0' && *p <= '9')
                p++;
            size_t digits = (size_t)(p - start) - negative;
            bool integer = p == end || (*p != '.' && *p != 'e' && *p != 'E');
            if (integer && digits > 18)
                return emd_fail(err, EMD_E_UNSUPPORTED, "an integer of %zu digits", digits);
            if (integer && negative && digits == 1 && start[1] == '0')
                return emd_fail(err, EMD_E_UNSUPPORTED, "the integer -0");
            while (p < end && ((*p >= '0' && *p <= '9') || *p == '.' || *p == 'e' || *p == 'E' ||
                               *p == '+' || *p == '-'))
                p++;
        } else {
            p++;
        }
    }
    return EMD_OK;
}

/* The style of a text: Python's indent puts a line end behind the first bracket, and Python's ASCII
 * has DEL escaped too. */
static void find_style(const char *text, size_t length, struct emd_jsondoc *doc)
{
    doc->indent = 0;
    doc->newline = length > 0 && text[length - 1] == '\n';
    doc->ascii = true;
    for (size_t i = 0; i < length && doc->ascii; i++)
        doc->ascii = (unsigned char)text[i] < 0x7f;
    const char *p = text, *const end = text + length;
    while (p < end && *p != '{' && *p != '[')
        p++;
    if (p < end && ++p < end && *p == '\n')
        for (p++; p < end && *p == ' '; p++)
            doc->indent++;
}

static bool only_space(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!memchr(" \t\r\n", text[i], 4))
            return false;
    return true;
}

/* json-c 0.18 takes bytes above 127 for control characters when it is strict (its issue 875). */
enum { JSON_C_0_18 = 18 << 8 };

enum emd_status emd_jsondoc_parse(const char *text, size_t length, struct emd_jsondoc *doc,
                                  struct emd_error *err)
{
    memset(doc, 0, sizeof *doc);
    if (length > INT_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "more than 2 GiB of JSON");
    if (memchr(text, '\0', length))
        return emd_fail(err, EMD_E_FORMAT, "not JSON: it contains NUL bytes");
    enum emd_status status = check_tokens(text, length, err);
    if (status != EMD_OK)
        return status;
    struct json_tokener *tokener = json_tokener_new_ex(DEEPEST);
    if (!tokener)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    find_style(text, length, doc);
    int flags = JSON_TOKENER_VALIDATE_UTF8 | JSON_TOKENER_ALLOW_TRAILING_CHARS;
    if (doc->ascii || json_c_version_num() != JSON_C_0_18)
        flags |= JSON_TOKENER_STRICT;
    json_tokener_set_flags(tokener, flags);
    doc->root = json_tokener_parse_ex(tokener, text, (int)length);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    if (error == json_tokener_continue)
        status = emd_fail(err, EMD_E_CORRUPT, "the JSON text ends too early");
    else if (error != json_tokener_success)
        status = emd_fail(err, EMD_E_FORMAT, "not JSON: %s at byte %zu",
                          json_tokener_error_desc(error), end);
    else if (!only_space(text + end, length - end))
        status = emd_fail(err, EMD_E_FORMAT, "not JSON: more text follows at byte %zu", end);
    if (status != EMD_OK) {
        emd_jsondoc_release(doc);
        return status;
    }
    return EMD_OK;
}

enum emd_status emd_jsondoc_read(const char *path, struct emd_jsondoc *doc, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct stat st;
    char *text = NULL;
    memset(doc, 0, sizeof *doc);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot open");
    if (fstat(fd, &st) != 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > INT_MAX) {
        status = emd_fail(err, EMD_E_UNSUPPORTED, "not a regular file of at most 2 GiB");
        goto out;
    }
    size_t length = (size_t)st.st_size;
    text = malloc(length + 1);
    if (!text) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory for %zu bytes", length);
        goto out;
    }
    if (emd_pread_all(fd, text, length, 0) != 0) {
        status = errno == ENODATA ? emd_fail(err, EMD_E_CHANGED, "it became shorter while read")
                                  : emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
        goto out;
    }
    text[length] = '\0';
    status = emd_jsondoc_parse(text, length, doc, err);
out:
    free(text);
    close(fd);
    return status;
}

void emd_jsondoc_release(struct emd_jsondoc *doc)
{
    json_object_put(doc->root);
    doc->root = NULL;
}

/* --- writing ----------------------------------------------------------------------------------*/

struct buffer {
    char *data;
    size_t length, capacity;
    bool failed;
    unsigned indent;
    bool ascii;
};

static void put(struct buffer *b, const char *text, size_t n)
{
    if (b->failed)
        return;
    if (n > b->capacity - b->length) {
        size_t capacity = b->capacity * 2 + n + 4096;
        char *data = realloc(b->data, capacity);
        if (!data) {
            b->failed = true;
            return;
        }
        b->data = data;
        b->capacity = capacity;
    }
    memcpy(b->data + b->length, text, n);
    b->length += n;
}

static void put_text(struct buffer *b, const char *text)
{
    put(b, text, strlen(text));
}

static void put_break(struct buffer *b, unsigned level)
{
    static const char spaces[] = "                                ";
    put(b, "\n", 1);
    for (size_t n = (size_t)level * b->indent; n > 0 && !b->failed;) {
        size_t m = n < sizeof spaces - 1 ? n : sizeof spaces - 1;
        put(b, spaces, m);
        n -= m;
    }
}

/* One character of valid UTF-8 at p, of which there are n bytes; its length in *size. */
static unsigned long decode(const unsigned char *p, size_t n, size_t *size)
{
    unsigned long c = p[0];
    size_t want = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (want > n)
        want = 1;
    if (want > 1)
        c &= 0x7fUL >> want;
    for (size_t i = 1; i < want; i++)
        c = c << 6 | (p[i] & 0x3f);
    *size = want;
    return c;
}

static void put_string(struct buffer *b, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    char escape[24];
    put(b, "\"", 1);
    for (size_t i = 0; i < n && !b->failed;) {
        size_t plain = i;
        while (plain < n && p[plain] >= 0x20 && p[plain] != '"' && p[plain] != '\\' &&
               (p[plain] < 0x7f || !b->ascii))
            plain++;
        put(b, text + i, plain - i);
        i = plain;
        if (i == n)
            break;
        static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
        const char *known = strchr(from, p[i]);
        if (p[i] && known) {
            escape[0] = '\\';
            escape[1] = to[known - from];
            put(b, escape, 2);
            i++;
            continue;
        }
        size_t size;
        const unsigned c = (unsigned)decode(p + i, n - i, &size);
        if (c < 0x10000)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else
            snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                     0xdc00 + ((c - 0x10000) & 0x3ff));
        put_text(b, escape);
        i += size;
    }
    put(b, "\"", 1);
}

/* As deep as the parser allows, and one level for each changed model: recursion is bounded. */
static void put_value(struct buffer *b, struct json_object *value, unsigned level)
{
    switch (json_object_get_type(value)) {
    case json_type_object: {
        bool first = true;
        put(b, "{", 1);
        json_object_object_foreach(value, key, member)
        {
            if (!first)
                put_text(b, b->indent ? "," : ", ");
            if (b->indent)
                put_break(b, level + 1);
            first = false;
            put_string(b, key, strlen(key));
            put(b, ": ", 2);
            put_value(b, member, level + 1);
        }
        if (b->indent && !first)
            put_break(b, level);
        put(b, "}", 1);
        break;
    }
    case json_type_array: {
        size_t n = json_object_array_length(value);
        put(b, "[", 1);
        for (size_t i = 0; i < n; i++) {
            if (i > 0)
                put_text(b, b->indent ? "," : ", ");
            if (b->indent)
                put_break(b, level + 1);
            put_value(b, json_object_array_get_idx(value, i), level + 1);
        }
        if (b->indent && n > 0)
            put_break(b, level);
        put(b, "]", 1);
        break;
    }
    case json_type_string:
        put_string(b, json_object_get_string(value), (size_t)json_object_get_string_len(value));
        break;
    default: { /* null, booleans, and numbers in their own words */
        const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
        if (text)
            put_text(b, text);
        else
            b->failed = true;
    }
    }
}

enum emd_status emd_jsondoc_text(const struct emd_jsondoc *doc, char **text, size_t *length,
                                 struct emd_error *err)
{
    struct buffer b = {.indent = doc->indent, .ascii = doc->ascii};
    put_value(&b, doc->root, 0);
    if (doc->newline)
        put(&b, "\n", 1);
    put(&b, "", 1);
    if (b.failed) {
        free(b.data);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    *text = b.data;
    *length = b.length - 1;
    return EMD_OK;
}

/* --- numbers and members ----------------------------------------------------------------------*/

struct json_object *emd_json_new_double(double value)
{
    /* Python's repr: the shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
     */
    char digits[40], text[64];
    int precision = 1;
    if (!isfinite(value))
        return json_object_new_double_s(value, isnan(value) ? "NaN"
                                               : value > 0  ? "Infinity"
                                                            : "-Infinity");
    do
        snprintf(digits, sizeof digits, "%.*e", precision - 1, value);
    while (strtod(digits, NULL) != value && ++precision <= 17);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        int mantissa = (int)(strchr(digits, 'e') - digits);
        snprintf(text, sizeof text, "%.*se%s%02d", mantissa, digits, exponent < 0 ? "-" : "+",
                 abs(exponent));
    } else {
        int decimals = precision - 1 - exponent;
        snprintf(text, sizeof text, "%.*f", decimals > 1 ? decimals : 1, value);
    }
    return json_object_new_double_s(value, text);
}

struct json_object *emd_json_member(struct json_object *object, const char *key,
                                    enum json_type type)
{
    struct json_object *value;
    if (!json_object_is_type(object, json_type_object) ||
        !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
        return NULL;
    return value;
}

bool emd_json_get_double(struct json_object *value, double *number)
{
    if (!json_object_is_type(value, json_type_double) && !json_object_is_type(value, json_type_int))
        return false;
    *number = json_object_get_double(value);
    return true;
}
