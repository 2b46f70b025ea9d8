/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
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

/* What the metadata of a movie may lack. */
enum emd_movie_omit {
    EMD_OMIT_GAIN = 1,       /* CountsToElectrons, PixelValueToCameraCounts */
    EMD_OMIT_SATURATION = 2, /* SaturationPoint, MaxPossiblePixelValue */
    EMD_OMIT_DISTANCE = 4,   /* Optics.CameraLength, the pixel size in 1/m */
    EMD_OMIT_TILT = 8,       /* Stage.AlphaTilt */
    EMD_OMIT_VOLTAGE = 16,   /* Optics.AccelerationVoltage */
    EMD_OMIT_TIME = 32,      /* the time stamps of the frames */
    EMD_OMIT_EXPOSURE = 64   /* ExposureTime */
};

/* The facts that go into the metadata. */
struct emd_movie {
    size_t width, height, frames;
    enum emd_pixel_type type;
    enum emd_movie_layout layout;
    const char *camera;         /* "BM-Ceta" */
    double counts_per_electron; /* pixel value per electron */
    double pixel_to_counts;     /* PixelValueToCameraCounts: pixels of the camera in a pixel that is
                                   their average; 1 otherwise */
    double saturation;          /* highest linear pixel value; 0: not said */
    double max_pixel_value;     /* 0: not said */
    unsigned omit;              /* EMD_OMIT_* */
    double voltage;             /* kV */
    double wavelength;          /* A */
    double camera_length;       /* mm */
    double pixel_size;          /* mm, binned */
    double binning;             /* 4096 / width: not always a whole number */
    double exposure;            /* s a frame */
    int64_t start_time;         /* microseconds since 1970, UTC */
    const double *tilt;         /* [frames], degrees, as the stage reports it */
    uint64_t id;                /* what the names of the objects in the file are made from */
};

#endif
