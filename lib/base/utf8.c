/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t emd_utf8_length(const char *text, size_t n)
{
    const unsigned char *const s = (const unsigned char *)text;
    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    const size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > n)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return length;
}

bool emd_utf8_is_control(const char *text)
{
    const unsigned char *const s = (const unsigned char *)text;
    return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0);
}

size_t emd_utf8_show(const char *text, char shown[static 9])
{
    size_t n = emd_utf8_length(text, SIZE_MAX);
    if (*text == '\0') {
        n = 0;
        shown[0] = '\0';
    } else if (n == 0 || emd_utf8_is_control(text)) {
        n = n ? n : 1;
        for (size_t i = 0; i < n; i++)
            snprintf(shown + 4 * i, 5, "\\x%02x", (unsigned char)text[i]);
    } else {
        memcpy(shown, text, n);
        shown[n] = '\0';
    }
    return n;
}

char *emd_utf8_clean(const char *text, size_t n)
{
    char *const clean = malloc(4 * n + 1), *to = clean;
    for (size_t at = 0, length; clean && at < n; at += length) {
        length = emd_utf8_length(text + at, n - at);
        if (length > 0) {
            memcpy(to, text + at, length);
            to += length;
        } else {
            to += sprintf(to, "\\x%02x", (unsigned char)text[at]);
            length = 1;
        }
    }
    if (clean)
        *to = '\0';
    return clean;
}
