/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "common/message.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/utf8.h"

static const char *tool_name = "emdtools";
static enum emd_verbosity level = EMD_NORMAL;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Where a standard stream is closed, the next file that is opened would take its place, and
 * messages would end up in it. A descriptor that can do nothing keeps the place, so that using the
 * stream fails as before. */
static void keep_places(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(EMD_EXIT_FAILED);
}

void emd_message_init(const char *name, enum emd_verbosity verbosity)
{
    keep_places();
    struct emd_error err;
    tool_name = name;
    level = verbosity;
    if (emd_simd_check(&err) != EMD_OK) {
        emd_message_error("%s", err.text);
        exit(EMD_EXIT_USAGE);
    }
}

void emd_message_set_verbosity(enum emd_verbosity verbosity)
{
    level = verbosity;
}

static void print_line(const char *kind, const char *format, va_list args)
{
    char text[4096];
    vsnprintf(text, sizeof text, format, args);
    char line[4 * sizeof text + 64]; /* in one piece: other processes write there, too */
    char *to = line;
    if (isatty(STDERR_FILENO))
        to += sprintf(to, "\r\033[K");
    to += snprintf(to, 48, "%s: %s", tool_name, kind);
    char shown[9];
    for (size_t at = 0, n; (n = emd_utf8_show(text + at, shown)) > 0; at += n)
        to = stpcpy(to, shown);
    *to++ = '\n';
    pthread_mutex_lock(&mutex);
    fwrite(line, 1, (size_t)(to - line), stderr);
    pthread_mutex_unlock(&mutex);
}

void emd_message_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void emd_message_warning(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("warning: ", format, args);
    va_end(args);
}

void emd_message_info(const char *format, ...)
{
    if (level < EMD_NORMAL)
        return;
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void emd_message_verbose(const char *format, ...)
{
    if (level < EMD_VERBOSE)
        return;
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void emd_print_text(const char *text)
{
    char shown[9];
    for (size_t at = 0, n; (n = emd_utf8_show(text + at, shown)) > 0; at += n)
        fputs(shown, stdout);
}

enum emd_exit emd_exit_for(enum emd_status status)
{
    switch (status) {
    case EMD_OK:
        return EMD_EXIT_OK;
    case EMD_E_INCOMPLETE:
    case EMD_E_BUSY:
    case EMD_E_CHANGED:
    case EMD_E_EMPTY:
        return EMD_EXIT_NOT_READY;
    case EMD_E_ARGUMENT:
        return EMD_EXIT_USAGE;
    default:
        return EMD_EXIT_FAILED;
    }
}

int emd_usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
    fprintf(stderr, "Try '%s --help'.\n", tool_name);
    return EMD_EXIT_USAGE;
}

void emd_print_version(void)
{
    printf("%s (emdtools) %s\n", tool_name, EMDTOOLS_VERSION);
}

int emd_finish(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        emd_message_error("standard output: cannot write: %s", strerror(errno));
        return code == EMD_EXIT_OK ? EMD_EXIT_FAILED : code;
    }
    return code;
}

bool emd_parse_double(const char *text, double low, double high, double *value)
{
    char *end;
    if (*text == '\0' || strspn(text, "+-.0123456789eE") != strlen(text))
        return false;
    errno = 0;
    double v = strtod(text, &end);
    if (*end != '\0' || errno != 0 || !isfinite(v) || v < low || v > high)
        return false;
    *value = v;
    return true;
}

bool emd_parse_long(const char *text, long low, long high, long *value)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || v < low || v > high)
        return false;
    *value = v;
    return true;
}

bool emd_parse_size(const char *text, size_t *bytes)
{
    static const char units[] = "KMGT";
    size_t digits = strspn(text, "0123456789.");
    if (digits == 0 || digits > 30)
        return false;
    char number[32];
    memcpy(number, text, digits);
    number[digits] = '\0';
    double scale = 1;
    const char *suffix = text + digits;
    if (*suffix) {
        const char *unit = strchr(units, *suffix >= 'a' ? *suffix - 'a' + 'A' : *suffix);
        if (!unit ||
            (suffix[1] && strcasecmp(suffix + 1, "B") != 0 && strcasecmp(suffix + 1, "iB") != 0))
            return false;
        for (const char *u = units; u <= unit; u++)
            scale *= 1024;
    }
    double v;
    /* 2^62 bytes: far above any memory, far below overflow. */
    if (!emd_parse_double(number, 0, 4611686018427387904.0 / scale, &v))
        return false;
    *bytes = (size_t)(v * scale);
    return true;
}
