/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *emd_status_text(enum emd_status status)
{
    switch (status) {
    case EMD_OK:
        return "success";
    case EMD_E_ARGUMENT:
        return "invalid argument";
    case EMD_E_MEMORY:
        return "out of memory";
    case EMD_E_BUDGET:
        return "memory budget too small";
    case EMD_E_IO:
        return "input/output error";
    case EMD_E_FORMAT:
        return "wrong format";
    case EMD_E_CORRUPT:
        return "damaged data";
    case EMD_E_UNSUPPORTED:
        return "not supported";
    case EMD_E_INCOMPLETE:
        return "incomplete";
    case EMD_E_BUSY:
        return "in use";
    case EMD_E_CHANGED:
        return "changed while it was read";
    case EMD_E_EXISTS:
        return "exists already";
    case EMD_E_VERIFY:
        return "verification failed";
    case EMD_E_CANCELLED:
        return "cancelled";
    case EMD_E_EMPTY:
        return "nothing left";
    }
    return "unknown status";
}

static void set_text(struct emd_error *err, enum emd_status status, const char *format,
                     va_list args)
{
    err->status = status;
    vsnprintf(err->text, sizeof err->text, format, args);
}

enum emd_status emd_fail(struct emd_error *err, enum emd_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        set_text(err, status, format, args);
        va_end(args);
    }
    return status;
}

enum emd_status emd_fail_errno(struct emd_error *err, enum emd_status status, int errnum,
                               const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        set_text(err, status, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(errnum));
    }
    return status;
}

enum emd_status emd_fail_prefix(struct emd_error *err, enum emd_status status, const char *format,
                                ...)
{
    if (err) {
        char below[sizeof err->text];
        memcpy(below, err->text, sizeof below);
        va_list args;
        va_start(args, format);
        set_text(err, status, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", below);
    }
    return status;
}
