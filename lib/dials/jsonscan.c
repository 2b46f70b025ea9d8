/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See jsonscan.h. The one hot path is stepping over long arrays of numbers, which is a byte loop
 * over a 256-entry table; strings are stepped over with memchr. */
#include "dials/jsonscan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void emd_json_init(struct emd_json *json, const char *text, size_t length)
{
    json->at = text;
    json->end = text + length;
    json->bad = false;
}

static void give_up(struct emd_json *json)
{
    json->bad = true;
    json->at = json->end;
}

static void skip_space(struct emd_json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
        json->at++;
}

char emd_json_peek(struct emd_json *json)
{
    skip_space(json);
    return json->at < json->end ? *json->at : '\0';
}

bool emd_json_open(struct emd_json *json, char bracket)
{
    if (emd_json_peek(json) != bracket || json->bad)
        return false;
    json->at++;
    return true;
}

/* Steps over the separator before the next member or element; false at 'close', which is consumed,
 * and at the end of the text. */
static bool another(struct emd_json *json, char close)
{
    char c = emd_json_peek(json);
    if (c == ',') {
        json->at++;
        c = emd_json_peek(json);
    }
    if (c == close) {
        json->at++;
        return false;
    }
    if (c == '\0' || c == '}' || c == ']' || c == ',' || c == ':') {
        give_up(json);
        return false;
    }
    return true;
}

bool emd_json_item(struct emd_json *json)
{
    return another(json, ']');
}

bool emd_json_key(struct emd_json *json, char *key, size_t capacity)
{
    if (!another(json, '}'))
        return false;
    if (emd_json_peek(json) != '"' || !emd_json_string(json, key, capacity) ||
        emd_json_peek(json) != ':') {
        give_up(json);
        return false;
    }
    json->at++;
    return true;
}

/* The position behind the closing quote of the string that starts at 'p' (behind its opening
 * quote), NULL if it is not closed. */
static const char *string_end(const char *p, const char *end)
{
    while (p < end) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (!quote)
            return NULL;
        size_t backslashes = 0;
        while (quote - backslashes > p && quote[-(ptrdiff_t)backslashes - 1] == '\\')
            backslashes++;
        if (backslashes % 2 == 0)
            return quote + 1;
        p = quote + 1;
    }
    return NULL;
}

static bool is_structural(char c)
{
    return c == '"' || c == '[' || c == ']' || c == '{' || c == '}';
}

void emd_json_skip(struct emd_json *json)
{
    static const bool structural[256] = {
        ['"'] = true, ['['] = true, [']'] = true, ['{'] = true, ['}'] = true};
    skip_space(json);
    const char *p = json->at;
    const char *const end = json->end;
    size_t depth = 0;
    if (p < end && !is_structural(*p)) {
        while (p < end && !is_structural(*p) && *p != ',')
            p++;
        json->at = p;
        return;
    }
    while (p < end) {
        while (p < end && !structural[(unsigned char)*p])
            p++;
        if (p == end)
            break;
        char c = *p++;
        if (c == '"') {
            p = string_end(p, end);
            if (!p)
                break;
        } else if (c == '[' || c == '{') {
            depth++;
            continue;
        } else if (depth == 0) {
            break; /* a closing bracket where a value was due */
        } else {
            depth--;
        }
        if (depth == 0) {
            json->at = p;
            return;
        }
    }
    give_up(json);
}

bool emd_json_number(struct emd_json *json, double *value)
{
    skip_space(json);
    const char *start = json->at;
    emd_json_skip(json);
    size_t length = (size_t)(json->at - start);
    while (length > 0 && strchr(" \n\t\r", start[length - 1]))
        length--;
    /* Python writes doubles in at most 24 characters. */
    char text[40];
    if (json->bad || length == 0 || length >= sizeof text || is_structural(*start))
        return false;
    memcpy(text, start, length);
    text[length] = '\0';
    if (strcmp(text, "NaN") == 0) {
        *value = NAN;
        return true;
    }
    if (strcmp(text, "Infinity") != 0 && strcmp(text, "-Infinity") != 0 &&
        strspn(text, "+-.0123456789eE") != length)
        return false;
    char *rest;
    double v = strtod(text, &rest);
    if (*rest != '\0')
        return false;
    *value = v;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four hexadecimal digits at p, -1 if they are not. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static size_t put_utf8(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Decodes the escape at *p (behind the backslash) and steps over it. */
static size_t unescape(const char **p, const char *end, char out[4])
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = *(*p)++;
    if (c != 'u') {
        const char *known = c ? strchr(from, c) : NULL;
        out[0] = known ? to[known - from] : c;
        return 1;
    }
    int32_t unit = hex4(*p, end);
    if (unit < 0)
        return put_utf8(out, 0xfffd);
    *p += 4;
    uint32_t code = (uint32_t)unit;
    if (code >= 0xd800 && code < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        int32_t low = hex4(*p + 2, end);
        if (low >= 0xdc00 && low < 0xe000) {
            *p += 6;
            return put_utf8(out, 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)low - 0xdc00));
        }
    }
    return put_utf8(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
}

bool emd_json_string(struct emd_json *json, char *text, size_t capacity)
{
    if (capacity > 0)
        text[0] = '\0';
    if (emd_json_peek(json) != '"' || capacity == 0) {
        emd_json_skip(json);
        return false;
    }
    const char *p = json->at + 1;
    const char *after = string_end(p, json->end);
    if (!after) {
        give_up(json);
        return false;
    }
    const char *const close = after - 1;
    size_t used = 0;
    while (p < close) {
        char piece[4];
        size_t n = 1;
        if (*p == '\\' && p + 1 < close) {
            p++;
            n = unescape(&p, close, piece);
        } else {
            piece[0] = *p++;
            while (p < close && ((unsigned char)*p & 0xc0) == 0x80 && n < sizeof piece)
                piece[n++] = *p++;
        }
        if (piece[0] == '\0' || used + n >= capacity)
            break;
        memcpy(text + used, piece, n);
        used += n;
    }
    text[used] = '\0';
    json->at = after;
    return true;
}

size_t emd_json_numbers(struct emd_json *json, double *out, size_t capacity)
{
    size_t count = 0;
    if (!emd_json_open(json, '[')) {
        emd_json_skip(json);
        return 0;
    }
    while (emd_json_item(json)) {
        double value;
        if (!emd_json_number(json, &value))
            value = NAN;
        if (count < capacity)
            out[count] = value;
        count++;
    }
    return count;
}
