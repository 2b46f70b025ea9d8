/* What a movie is, as the writer of Velox files and its sources of pixels see it. */
#ifndef EMD_VELOX_MOVIE_H
#define EMD_VELOX_MOVIE_H

#include <stddef.h>
#include <stdint.h>

enum emd_pixel_type { EMD_PIXEL_I16, EMD_PIXEL_U16, EMD_PIXEL_I32, EMD_PIXEL_U8, EMD_PIXEL_F32 };

/* Bytes of a pixel. */
size_t emd_pixel_size(enum emd_pixel_type type);

/* How the dataset (height, width, frames) lies in the file. */
enum emd_movie_layout {
    EMD_LAYOUT_FRAME,      /* chunks (h, w, 1), as Velox writes */
    EMD_LAYOUT_CONTIGUOUS, /* no chunks: all frames of a pixel side by side */
    EMD_LAYOUT_TILE,       /* chunks 256 x 256 x 16 */
    EMD_LAYOUT_ROWS        /* chunks 1 x w x 64 */
};

/* The facts that go into the metadata. */
struct emd_movie {
    size_t width, height, frames;
    enum emd_pixel_type type;
    enum emd_movie_layout layout;
    const char *camera; /* "BM-Ceta" */
    double counts_per_electron;
    double voltage;       /* kV */
    double wavelength;    /* A */
    double camera_length; /* mm */
    double pixel_size;    /* mm, binned */
    double binning;       /* 4096 / width: not always a whole number */
    double exposure;      /* s a frame */
    int64_t start_time;   /* microseconds since 1970, UTC */
    const double *tilt;   /* [frames], degrees, as the stage reports it */
    uint64_t id;          /* what the names of the objects in the file are made from */
};

#endif
