/* UTF-8 in texts that may be anything: file names, logs. */
#ifndef EMD_BASE_UTF8_H
#define EMD_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the character at 'text', of which at most 'n' are looked at; 0 if it is none (RFC 3629:
 * overlong forms and surrogates are none). A text that ends with a NUL is its own bound. */
size_t emd_utf8_length(const char *text, size_t n);

#endif
