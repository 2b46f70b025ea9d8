/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The frames of a movie as 32-bit integers, for programs that read them from many threads.
 *
 * Chunks of our own codecs are read by pread and decoded outside HDF5's lock, each thread for
 * itself; all else (contiguous or foreign storage, chunks that were never written) is read by HDF5,
 * one thread at a time. */
#ifndef EMD_VELOX_FRAMES_H
#define EMD_VELOX_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The pixel of a floating-point movie that is not a number. */
#define EMD_FRAMES_NO_VALUE INT32_MIN

struct emd_frames;

struct emd_frames_shape {
    size_t width, height, frames;
    size_t item_size;    /* bytes of a pixel in the file */
    bool is_signed;      /* pixels can be negative */
    bool is_float;       /* pixels are rounded to the nearest integer */
    bool is_velox;       /* frames on the last axis */
    bool direct;         /* read outside HDF5's lock */
    double pixel_mm;     /* side of a pixel; NaN: unknown */
    const char *dataset; /* valid until emd_frames_close */
};

/* Opens a dataset of 'path', or its largest stack of images where 'dataset' is NULL. The caller
 * ends it with emd_frames_close. EMD_E_UNSUPPORTED: nothing that can be read as frames of numbers.
 */
enum emd_status emd_frames_open(const char *path, const char *dataset, struct emd_frames **frames,
                                struct emd_error *err);
void emd_frames_close(struct emd_frames *frames); /* NULL is allowed; no reader may be left */
void emd_frames_get_shape(const struct emd_frames *frames, struct emd_frames_shape *shape);

/* Reads frame 'index' (from 0), row by row: height x width numbers, which the caller holds. Values
 * beyond int32_t become its limits. Any thread, any number of them. A damaged chunk is an error of
 * the frames that it holds. */
enum emd_status emd_frames_read(struct emd_frames *frames, size_t index, int32_t *pixels,
                                struct emd_error *err);

/* What has to be added to all pixels so that no more than one in ten thousand is negative, from
 * three frames (the first, the middle, the last); 0 where pixels have no sign. The same for the
 * same file at each call. Frames that cannot be read are left out. */
enum emd_status emd_frames_pedestal(struct emd_frames *frames, int32_t *pedestal,
                                    struct emd_error *err);

#endif
