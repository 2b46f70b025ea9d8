/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What every tool says and how it ends: "emdrepack: FILE: what: why" on stderr, results on stdout,
 * and the same exit codes everywhere. */
#ifndef EMD_TOOLS_MESSAGE_H
#define EMD_TOOLS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum emd_exit {
    EMD_EXIT_OK = 0,
    EMD_EXIT_FAILED = 1,
    EMD_EXIT_USAGE = 2,
    EMD_EXIT_NOT_READY = 3 /* input incomplete or busy, or nothing left to write */
};

/* Quiet tools still print errors. */
enum emd_verbosity { EMD_QUIET = 0, EMD_NORMAL = 1, EMD_VERBOSE = 2 };

/* Call first in main, before anything is opened; 'name' is the tool's own name, not argv[0]. */
void emd_message_init(const char *name, enum emd_verbosity verbosity);
void emd_message_set_verbosity(enum emd_verbosity verbosity);

/* One line each, "name: " in front and the newline added. A progress line on the terminal is
 * cleared first. Control characters and what is no UTF-8 are shown as \xNN, so that no file name
 * can play with a terminal. Thread safe. */
void emd_message_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void emd_message_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void emd_message_info(const char *format, ...) __attribute__((format(printf, 1, 2))); /* not -q */
void emd_message_verbose(const char *format, ...) __attribute__((format(printf, 1, 2))); /* -v */

/* A name or text on stdout, shown in the same way. */
void emd_print_text(const char *text);

/* The exit code that an error of lib/ stands for. */
enum emd_exit emd_exit_for(enum emd_status status);

/* Prints "Try 'NAME --help'." after the message; returns EMD_EXIT_USAGE. */
int emd_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "NAME (emdtools) VERSION" on stdout. */
void emd_print_version(void);

/* Ends a tool: flushes stdout and turns a failed write there (full disk, closed pipe) into
 * EMD_EXIT_FAILED with a message. Use as "return emd_finish(code);" in main. */
int emd_finish(int code);

/* "512M", "2GB", "1.5GiB", plain bytes; K, M, G, T are powers of 1024 however they are written, as
 * in xz. False if it is no size. */
bool emd_parse_size(const char *text, size_t *bytes);
/* A whole decimal number within [low, high]. */
bool emd_parse_long(const char *text, long low, long high, long *value);
/* A finite decimal number within [low, high], whatever the locale. */
bool emd_parse_double(const char *text, double low, double high, double *value);

#endif
