/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The image stacks of an HDF5 file, Velox or not, and reading frames from them.
 *
 * A stack is a dataset of numbers with at least two axes. In a Velox file those under /Data/Image
 * are (height, width, frames); elsewhere the last two axes are the image and the axes before them
 * count the frames. Any filter that HDF5 can read here is read, ours without HDF5_PLUGIN_PATH.
 *
 * Threads: the HDF5 thread (hdf5/h5call.h). */
#ifndef EMD_VELOX_STACK_H
#define EMD_VELOX_STACK_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "codec/codec.h"

enum emd_stack_kind {
    EMD_STACK_I8,
    EMD_STACK_U8,
    EMD_STACK_I16,
    EMD_STACK_U16,
    EMD_STACK_I32,
    EMD_STACK_U32,
    EMD_STACK_F32,
    EMD_STACK_F64,     /* and every other number, converted */
    EMD_STACK_COMPLEX, /* two floating-point numbers of one size: their modulus is shown */
    EMD_STACK_NONE     /* nothing that can be shown */
};

struct emd_stack {
    hid_t dataset;
    hid_t memory_type; /* of 'kind', in memory */
    enum emd_stack_kind kind;
    char type[32]; /* "int16", "float32", "complex64", "compound" */
    bool frames_last;
    size_t height, width, frames;
    unsigned rank;
    hsize_t dims[EMD_RANK_MAX];
};

/* Opens a dataset as a stack; 'velox': frames on the last of three axes. The caller closes it.
 * EMD_E_UNSUPPORTED: no stack. */
enum emd_status emd_stack_open(hid_t file, const char *path, bool velox, struct emd_stack *stack,
                               struct emd_error *err);
void emd_stack_close(struct emd_stack *stack);

/* Reads a frame (from 0) as floats, row by row: height x width of them, which the caller holds. */
enum emd_status emd_stack_read(const struct emd_stack *stack, size_t frame, float *pixels,
                               struct emd_error *err);

#endif
