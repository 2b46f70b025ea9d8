/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Filter ids and parameters for programs that write with the plugins of emdtools (or with any other
 * plugins of these filters) through HDF5's own functions:
 *
 *     const unsigned zstd[] = {3};
 *     H5Pset_filter(dcpl, EMD_H5Z_ZSTD, H5Z_FLAG_OPTIONAL, 1, zstd);
 *     const unsigned blosc[] = EMD_H5Z_BLOSC_VALUES(5, EMD_BLOSC_BITSHUFFLE, EMD_BLOSC_ZSTD);
 *     H5Pset_filter(dcpl, EMD_H5Z_BLOSC, H5Z_FLAG_OPTIONAL, 7, blosc);
 *
 * Nothing has to be linked: HDF5 finds the plugins by HDF5_PLUGIN_PATH (h5plugin-config --env). The
 * meaning of every value: filters.md in the documentation folder. */
#ifndef EMDTOOLS_H5FILTERS_H
#define EMDTOOLS_H5FILTERS_H

#define EMD_H5Z_BLOSC 32001
#define EMD_H5Z_BITSHUFFLE 32008
#define EMD_H5Z_ZSTD 32015
#define EMD_H5Z_EDC 33200

/* Blosc: 7 values; the first four are found from the dataset. Levels 0 to 9. */
#define EMD_H5Z_BLOSC_VALUES(level, shuffle, compressor)                                           \
    {                                                                                              \
        0, 0, 0, 0, (level), (shuffle), (compressor)                                               \
    }
enum { EMD_BLOSC_NOSHUFFLE, EMD_BLOSC_SHUFFLE, EMD_BLOSC_BITSHUFFLE };
enum {
    EMD_BLOSC_BLOSCLZ,
    EMD_BLOSC_LZ4,
    EMD_BLOSC_LZ4HC,
    EMD_BLOSC_SNAPPY,
    EMD_BLOSC_ZLIB,
    EMD_BLOSC_ZSTD
};

/* bitshuffle: items of a block (0: chosen by the filter), compression, and zstd's level. */
enum { EMD_BITSHUFFLE_NONE = 0, EMD_BITSHUFFLE_LZ4 = 2, EMD_BITSHUFFLE_ZSTD = 3 };

#endif
