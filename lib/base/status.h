/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* How every function of lib/ reports success and failure.
 *
 * A function that can fail returns an emd_status and takes, as its last parameter, a pointer to an
 * emd_error that the caller owns (or NULL). On failure the text there says what and why, for a
 * person; the caller adds the file's name and what to do. On success it is left as it was.
 * Nothing in lib/ prints or exits. */
#ifndef EMD_BASE_STATUS_H
#define EMD_BASE_STATUS_H

enum emd_status {
    EMD_OK = 0,
    EMD_E_ARGUMENT,    /* the caller asked for something impossible */
    EMD_E_MEMORY,      /* an allocation failed */
    EMD_E_BUDGET,      /* the memory budget is too small for the work; the text says what works */
    EMD_E_IO,          /* the system refused or broke off reading or writing */
    EMD_E_FORMAT,      /* not the format that it should be */
    EMD_E_CORRUPT,     /* the right format, but damaged */
    EMD_E_UNSUPPORTED, /* valid, but nothing that this build can carry over or decode */
    EMD_E_INCOMPLETE,  /* cut short or still being written */
    EMD_E_BUSY,        /* locked or in use by another process */
    EMD_E_CHANGED,     /* the source changed while it was read */
    EMD_E_EXISTS,      /* the output exists and may not be replaced */
    EMD_E_VERIFY,      /* what was written does not decode to what was read */
    EMD_E_CANCELLED,   /* stopped on request */
    EMD_E_EMPTY        /* nothing left to work on or to write */
};

/* Text of a failure. 'text' is always NUL terminated; cut short if it would not fit. */
struct emd_error {
    enum emd_status status;
    char text[1024];
};

/* A short English phrase for a status ("damaged data"), never NULL. */
const char *emd_status_text(enum emd_status status);

/* Sets *err (may be NULL) and returns 'status', so that a failing function can end with
 * "return emd_fail(err, EMD_E_CORRUPT, "chunk %zu is %zu bytes long", ...);". */
enum emd_status emd_fail(struct emd_error *err, enum emd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: ": " and strerror(errnum) follow the text. */
enum emd_status emd_fail_errno(struct emd_error *err, enum emd_status status, int errnum,
                               const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Puts "format: " before the text of *err: the caller's context for an error from below. */
enum emd_status emd_fail_prefix(struct emd_error *err, enum emd_status status, const char *format,
                                ...) __attribute__((format(printf, 3, 4)));

#endif
