/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What the JSON document of a frame says.
 *
 * Any bytes are safe: what is missing, of another type, not finite or absurd stays unknown (NaN, 0,
 * ""). Velox writes all numbers as strings; real numbers are taken as well. Text is kept with its
 * control characters replaced by '?'.
 *
 * Pure functions on buffers; any thread. The process' LC_NUMERIC must be "C" (nobody in emdtools
 * calls setlocale). */
#ifndef EMD_VELOX_METADATA_H
#define EMD_VELOX_METADATA_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct emd_velox_metadata {
    double alpha, beta;         /* stage tilts, degrees */
    double x, y, z;             /* stage position, micrometres */
    double voltage;             /* kV */
    double camera_length;       /* mm */
    double magnification;       /* nominal */
    double exposure;            /* s, of the detector that took the frame */
    double dwell;               /* s a pixel, scanning */
    double screen_current;      /* nA */
    double dose;                /* as the file has it, see dose_unit */
    double electrons_per_count; /* Detectors[...].CountsToElectrons, counts of the camera */
    double counts_per_value;    /* Detectors[...].PixelValueToCameraCounts: a binned pixel may be an
                                   average of the camera's; NaN: not said */
    double gain;                /* pixel value per electron: 1 / (electrons_per_count x
                                   counts_per_value) */
    double pixel_size[2];       /* width, height, in pixel_unit */
    double binning;             /* of the detector that took the frame */
    double unbinned[2];         /* BinaryResult.ImageSize: width, height before binning */
    double saturation;          /* as a pixel value of the file, from here on it means nothing */
    int64_t started;            /* seconds since 1970, UTC, of the acquisition; 0: unknown */
    int64_t time;               /* microseconds since 1970, UTC, of the frame; 0: unknown */
    unsigned bits;              /* a pixel; 0: unknown */
    char detector[48];          /* "BM-Ceta" */
    char encoding[16];          /* "Signed", "Unsigned", "Float" */
    char pixel_unit[16];        /* "1/m", "m" */
    char dose_unit[64];         /* the key that the dose was found under */
    char instrument[64];        /* "Titan Themis 3678": class, model, id */
    char manufacturer[48];
    char software[32]; /* version of the microscope's server */
    char mode[48];     /* "Diffraction", "BrightField" */
};

/* All fields unknown. */
void emd_velox_metadata_clear(struct emd_velox_metadata *metadata);

/* Parses a document of at most n bytes that ends there or at a NUL. EMD_E_EMPTY: nothing but NULs;
 * EMD_E_CORRUPT: no JSON object (or one nested deeper than 32 levels); *metadata is clear then. */
enum emd_status emd_velox_metadata_parse(const char *text, size_t n,
                                         struct emd_velox_metadata *metadata,
                                         struct emd_error *err);

/* "8" from the text of /Version, if it is the one of a Velox file: EMD_E_FORMAT otherwise. */
enum emd_status emd_velox_version_parse(const char *text, size_t n, char version[16],
                                        struct emd_error *err);

/* The string under a key of a small JSON document (/Info's applicationVersion, an operation's
 * cameraName), made printable; "" if it is not there. */
void emd_velox_string_parse(const char *text, size_t n, const char *key, char *value,
                            size_t capacity);

/* A steady rotation through the tilts of a movie, robust against jitter, outliers and unknown ones:
 * the median of the slopes over half the range, then of the intercepts.
 *
 * The stage may stand still at the beginning and at the end: frames 'first' to 'last' are those
 * during which it turns, that is, whose tilt differs from the next one's by at least half a step
 * (over more frames where steps are as small as the jitter); the fit is theirs alone. A single
 * frame at rest is left in: that is what a late start looks like. */
struct emd_tilt_fit {
    double start, step; /* degrees at the frame 'first', and from frame to frame; NaN: no tilts
                           known; step 0: does not turn */
    double end;         /* at the frame 'last' */
    size_t first, last; /* frames from 0, inclusive; 0 and n - 1 where the stage never rests */
    size_t known;       /* frames with a tilt */
    size_t outliers;    /* known ones in the range farther off than six times the usual scatter (and
                           5 % of a step, and 0.01 degrees): 'limit' */
    double limit;       /* degrees */
};
enum emd_status emd_tilt_fit(const double *tilt, size_t n, struct emd_tilt_fit *fit,
                             struct emd_error *err);

/* Side of a pixel of the known cameras (Ceta and Falcon, 14 um unbinned) in mm; NaN: unknown. */
double emd_camera_pixel(const struct emd_velox_metadata *metadata, double binning);

/* The distance in mm at which the camera's pixels (known ones: Ceta and Falcon, 14 um unbinned) are
 * as large as the metadata say of the image, in reciprocal metres; NaN: unknown. It is the
 * microscope's calibration, which can differ from the nominal camera length by a third. */
double emd_implied_distance(const struct emd_velox_metadata *metadata, double binning);

/* Relativistic wavelength of electrons in angstroms; NaN for no voltage. */
double emd_electron_wavelength(double kilovolts);

#endif
