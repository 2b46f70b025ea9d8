/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* UTF-8 in texts that may be anything: file names, logs. */
#ifndef EMD_BASE_UTF8_H
#define EMD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at 'text', of which at most 'n' are looked at; 0 if it is none (RFC 3629:
 * overlong forms and surrogates are none). A text that ends with a NUL is its own bound. */
size_t emd_utf8_length(const char *text, size_t n);

/* Whether the character at 'text' controls a terminal: below space, DEL, and U+0080 to U+009F,
 * which some obey. */
bool emd_utf8_is_control(const char *text);

/* The next character of a text as a terminal may see it, in 'shown': itself, or its bytes as \xNN
 * where it is a control character or none of UTF-8. Returns how many bytes of the text it is, 0 at
 * the end. */
size_t emd_utf8_show(const char *text, char shown[static 9]);

/* A copy of n bytes of text in which what is no UTF-8 is written as \xNN: JSON must be UTF-8, names
 * need not be. The caller frees; NULL: out of memory. */
char *emd_utf8_clean(const char *text, size_t n);

#endif
