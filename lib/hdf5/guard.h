/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A question to HDF5 about a file that may be damaged, asked by a process of its own.
 *
 * HDF5 1.10 trusts parts of a file that have no checksum: of 3600 random damages to small files, 18
 * made it crash, overrun its buffers or spin for ever. No check from outside covers all of its
 * formats, so whoever must survive lets a child process ask. */
#ifndef EMD_HDF5_GUARD_H
#define EMD_HDF5_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct emd_guard {
    uint64_t file_bytes; /* size of the file in question, which says how much memory is
                            reasonable; 0: its raw data are not looked at */
    unsigned seconds; /* of processor time without emd_guard_progress, after which HDF5 is taken for
                         hanging; 0: 60. A share that does not answer takes none */
    void (*work)(void *ctx, void *answer); /* in the child: fills the answer */
    void *ctx;
    void *answer; /* plain data, no pointers into the child */
    size_t answer_bytes;
    bool (*cancelled)(void *ctx); /* in the parent; may be NULL */
    void *cancel_ctx;
};

/* Runs guard->work in a child process and brings its answer back (fork; no other thread may be
 * inside HDF5 at the moment of the call). EMD_E_CORRUPT where HDF5 crashed, took too long over one
 * thing or too much memory, EMD_E_CANCELLED, EMD_E_IO where no answer came for other reasons: a
 * signal from outside (the kernel short of memory, an administrator) says nothing about the file.
 * The child dies with its parent, dumps no core, and neither runs exit handlers nor touches files
 * that the parent has open. */
enum emd_status emd_guard_run(const struct emd_guard *guard, struct emd_error *err);

/* Says that the work goes on: its time begins anew, so that large files may take long and only what
 * stands still is given up. Called where each call means something new that is done (an object, a
 * slice of data), of which a file can hold no more than its size allows. Cheap; outside a guarded
 * child it does nothing. */
void emd_guard_progress(void);

#endif
