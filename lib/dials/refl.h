/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* DIALS reflection tables (.refl): opened, single columns read, written with some of the rows.
 *
 * The format is MessagePack, ["dials::af::reflection_table", version, {"identifiers": {id: text},
 * "nrows": N, "data": {column: [type, [N, binary]]}}], with binary columns of little-endian structs
 * (dials/array_family/reflection_table_msgpack_adapter.h). Versions 1 and 2 (from DIALS 3.29) are
 * known and kept.
 *
 * A table is never in memory as a whole: opening walks over the heads of the columns, reading a
 * column streams it, writing passes every column once through a small buffer. Tables of gigabytes
 * need the memory of a few vectors of numbers. All offsets and lengths are checked against the
 * file's size when it is opened, those of shoeboxes when they are passed. The file is not mapped:
 * one that shrinks meanwhile is an error, not a signal.
 *
 * Tables compressed by gzip (DIALS_USE_GZIP_REFL) are inflated once, into a temporary file without
 * a name in $TMPDIR or /tmp. Tables in HDF5 (DIALS_USE_H5), pickled ones and other kinds of files
 * are EMD_E_FORMAT with a text that names them.
 *
 * Threads: columns may be read by several threads at a time. */
#ifndef EMD_DIALS_REFL_H
#define EMD_DIALS_REFL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"

/* Bits of the column 'flags' (dials/array_family/reflection_table.h). */
enum emd_refl_flag {
    EMD_REFL_INDEXED = 1 << 2,
    EMD_REFL_STRONG = 1 << 5,
    EMD_REFL_INTEGRATED_SUM = 1 << 8,
    EMD_REFL_INTEGRATED_PRF = 1 << 9,
    EMD_REFL_INTEGRATED = 3 << 8, /* both bits */
    EMD_REFL_CENTROID_OUTLIER = 1 << 17
};

struct emd_refl;

struct emd_refl_identifier {
    uint64_t id;
    const char *text;
};

/* Opens a file, or takes over an open descriptor (closed by emd_refl_close, even on failure). */
enum emd_status emd_refl_open(const char *path, struct emd_refl **out, struct emd_error *err);
enum emd_status emd_refl_open_fd(int fd, struct emd_refl **out, struct emd_error *err);
void emd_refl_close(struct emd_refl *refl);

unsigned emd_refl_version(const struct emd_refl *refl);
uint64_t emd_refl_rows(const struct emd_refl *refl);
uint64_t emd_refl_bytes(const struct emd_refl *refl); /* size of the file, not compressed */
bool emd_refl_gzipped(const struct emd_refl *refl);   /* the file is compressed by gzip */

/* Identifiers of experiments by id; *count can be 0. */
const struct emd_refl_identifier *emd_refl_identifiers(const struct emd_refl *refl, size_t *count);

/* True if the table has the column, of whatever type. */
bool emd_refl_has(const struct emd_refl *refl, const char *column);

/* Reads a whole column into 'out', emd_refl_rows() long. The column must exist and have the type
 * "int"; "std::size_t"; "double", or component 0..2 of "vec3<double>". */
enum emd_status emd_refl_read_int(const struct emd_refl *refl, const char *column, int32_t *out,
                                  struct emd_error *err);
enum emd_status emd_refl_read_size(const struct emd_refl *refl, const char *column, uint64_t *out,
                                   struct emd_error *err);
enum emd_status emd_refl_read_double(const struct emd_refl *refl, const char *column,
                                     unsigned component, double *out, struct emd_error *err);

/* What to write. */
#define EMD_REFL_DROP INT32_MIN
struct emd_refl_selection {
    const int32_t *id;       /* of each row: its new id (-1: unindexed), or EMD_REFL_DROP */
    const int32_t *imageset; /* of each row: its new imageset_id; NULL: as it was */
    uint64_t kept;           /* rows that are not dropped */
    const struct emd_refl_identifier *identifiers; /* of the new table, by ascending id */
    size_t identifier_count;                       /* only written if the table had any */
    bool (*cancelled)(void *ctx);                  /* asked between writes; may be NULL */
    void *ctx;
};

/* Writes the table with these rows, in their order, from the beginning of 'fd', with the threads of
 * the pool; compressed by gzip if 'gzip'. The columns 'id' and 'imageset_id' are renumbered where
 * they exist, all else is copied. EMD_E_UNSUPPORTED: a column that cannot be split into rows.
 * EMD_E_CHANGED: the source changed meanwhile. EMD_E_CANCELLED. */
enum emd_status emd_refl_write(struct emd_refl *refl, const struct emd_refl_selection *selection,
                               int fd, bool gzip, struct emd_pool *pool, struct emd_error *err);

#endif
