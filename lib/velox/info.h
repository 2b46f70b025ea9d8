/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What is in an EMD file: everything that emdinfo shows, gathered without reading the pixels.
 *
 * Threads: the HDF5 thread (hdf5/h5call.h). */
#ifndef EMD_VELOX_INFO_H
#define EMD_VELOX_INFO_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "codec/codec.h"
#include "velox/metadata.h"

struct emd_info_frame {
    double alpha; /* degrees, NaN: unknown */
    int64_t time; /* microseconds since 1970, 0: unknown */
};

struct emd_info_stack {
    char *path; /* of the dataset: "/Data/Image/ID/Data" */
    char type[32];
    size_t height, width, frames;
    char camera[48]; /* the name in the file's operations, "" if none points here */

    /* storage */
    const char *layout; /* "chunked", "contiguous", "compact", "virtual" */
    unsigned rank;
    hsize_t dims[EMD_RANK_MAX], chunk[EMD_RANK_MAX];
    char filters[160]; /* "shuffle, deflate 4"; "" for none */
    bool readable;     /* all its filters are at hand */
    uint64_t raw_bytes, stored_bytes;
    uint64_t chunks, chunks_stored; /* 0 of 0 unless chunked */

    /* metadata, of Velox files only */
    size_t columns;                  /* of the dataset Metadata */
    size_t documents;                /* frames with readable metadata */
    struct emd_velox_metadata first; /* of the first readable frame */
    double binning;                  /* as it says, else unbinned / width; NaN: unknown */
    struct emd_info_frame *frame;    /* [frame_count]: the frames, at most a million of them */
    size_t frame_count;
    struct emd_tilt_fit tilt;
};

struct emd_info {
    char *path;
    uint64_t file_bytes;
    bool is_velox;
    char version[16];     /* of the file format: "8" */
    char application[64]; /* "2.11.0.899-a76a8cdaaf" */
    char codec[96];       /* what repacked it ("emdrepack 0.1.0 edc"), "" if nothing did */
    size_t stack_count;
    struct emd_info_stack *stack; /* largest first */
    size_t problem_count;
    char **problem; /* sentences */
};

/* Gathers all about 'path'; the caller frees with emd_info_free. A file that cannot be opened
 * (EMD_E_IO, EMD_E_FORMAT, EMD_E_INCOMPLETE, ...; see hdf5/source.h) is a failure; damage inside
 * is a problem. */
enum emd_status emd_info_read(const char *path, struct emd_info *info, struct emd_error *err);
void emd_info_free(struct emd_info *info);

/* The text of a frame's metadata (from 0), NUL terminated, which the caller frees; *n without the
 * NUL. EMD_E_EMPTY: there is none. 'group' is the stack's dataset path. */
enum emd_status emd_info_document(hid_t file, const char *stack_path, size_t frame, char **text,
                                  size_t *n, struct emd_error *err);

#endif
