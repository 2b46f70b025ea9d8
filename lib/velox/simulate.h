/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A simulated MicroED experiment: the pixels of a rotating crystal on a blurring, noisy camera.
 *
 * Physics. Electrons of 'voltage' travel along -z; the crystal turns about (0, -1, 0); a reflection
 * r at the current tilt is excited by exp(-(error / width)^2 / 2), error = |s0 + r| - 1 / lambda,
 * averaged over sub-steps of the frame; its spot is a Gaussian where s0 + r meets the detector (x
 * to the right, y downwards). Intensities are |F|^2 of a structure that is given (structure.h), or
 * of random light atoms (with their mates of P 2_1 where the cell allows it) with a Gaussian
 * fall-off. Underneath lie the inelastic background, a ring of amorphous ice and the direct beam.
 * Every pixel counts Poisson-distributed electrons; the camera multiplies by its gain, adds read
 * noise, blurs, adds a pedestal, a fixed pattern of columns and hot pixels, and saturates.
 *
 * Promise: a pixel depends on the options alone; not on threads, the order of calls, the compiler,
 * SIMD or libm: its random numbers are a hash of (seed, frame, row, column), the noise is integer
 * arithmetic on tables, and the tables come from exact.h. */
#ifndef EMD_VELOX_SIMULATE_H
#define EMD_VELOX_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"
#include "velox/movie.h"
#include "velox/structure.h"

enum emd_sim_camera {
    EMD_CAMERA_CETA,  /* CMOS with scintillator: gain, blur, read noise, pedestal */
    EMD_CAMERA_FALCON /* counting: electrons as they are */
};

/* A factor for the Bragg intensities of some images. */
struct emd_sim_scale {
    size_t first, last; /* images from 1, inclusive */
    double factor;      /* 0: blank */
};

struct emd_sim_options {
    size_t width, height; /* 16 .. 8192 */
    size_t frames;        /* 0 .. 100000 */
    double start, step;   /* degrees; step of either sign */
    double jitter;        /* degrees: how far the recorded tilt strays from the true one */
    double cell[6];       /* A, degrees */
    double d_min;         /* A: reflections to here */
    bool crystal;         /* false: background only */
    /* Instead of random atoms; 'cell' must be its cell. NULL: random ones. Stays the caller's. */
    const struct emd_structure *structure;
    uint64_t orientation; /* a number for each random orientation */
    double fade;          /* Bragg intensity at the last image relative to the first, 0..1 */
    const struct emd_sim_scale *scale; /* applied one after the other */
    size_t scale_count;
    enum emd_sim_camera camera;
    enum emd_pixel_type type;
    double dose;       /* electrons a pixel and frame near the beam: 0 .. 1000 */
    double brightness; /* of the Bragg spots; 1 is a good crystal */
    double gain;       /* counts an electron, rounded to sixteenths */
    double noise;      /* read noise as seen in the image, counts; 0 .. 100 */
    double pedestal;   /* counts */
    double voltage;    /* kV */
    double distance;   /* mm */
    double exposure;   /* s a frame */
    double beam[2];    /* x, y where the beam hits the detector, pixels, the centre of the first at
                          0.5 (as in DIALS); NaN: the middle of the frame */
    double drift[2]; /* x, y by which the whole pattern moves from the first to the last image, the
                        beam being at 'beam' half-way, pixels */
    double stop_radius; /* of the beam stop, a disc on a rod before 'beam', pixels; 0: none */
    double stop_angle;  /* where the rod comes from, degrees from x (right) towards y (down) */
    size_t rest[2]; /* images at the beginning and the end during which the stage stands still */
    unsigned omit;  /* EMD_OMIT_* (velox/movie.h): what the metadata do not say */
    uint64_t seed;
};

/* A Talos-like microscope with a Ceta, 1024 x 1024 x 160 of 0.6 degrees. emd_sim_set_camera sets
 * gain, noise and pedestal to what the camera and the pixel type ask for. */
void emd_sim_defaults(struct emd_sim_options *options);
void emd_sim_set_camera(struct emd_sim_options *options, enum emd_sim_camera camera,
                        enum emd_pixel_type type);

struct emd_sim;

/* Prepares everything but the pixels, on the pool's threads. EMD_E_ARGUMENT names an option that is
 * out of its range. The caller frees *out with emd_sim_free. */
enum emd_status emd_sim_new(const struct emd_sim_options *options, struct emd_pool *pool,
                            struct emd_sim **out, struct emd_error *err);
void emd_sim_free(struct emd_sim *sim);

/* The facts for the file; its arrays belong to the simulation. The layout is left to the caller. */
const struct emd_movie *emd_sim_movie(const struct emd_sim *sim);

/* Rows first .. last - 1 of a frame (from 0), pixels side by side, into 'out'. 'work' is scratch of
 * emd_sim_work_bytes(), one for each thread; otherwise any thread may call it at any time. */
size_t emd_sim_work_bytes(const struct emd_sim *sim);
void emd_sim_rows(const struct emd_sim *sim, size_t frame, size_t first, size_t last, void *out,
                  void *work);

/* The truth that a data reduction should find. */
struct emd_sim_reflection {
    int h, k, l;
    double intensity; /* |F|^2 on an arbitrary scale, the same for all crystals of a structure */
};

struct emd_sim_truth {
    double matrix[9];        /* rows: A = U B in 1/A at tilt 0: r = A h, laboratory frame above */
    double wavelength;       /* A */
    size_t reflections;      /* in the sphere to d_min; 0 without a crystal */
    const double *tilt;      /* [frames]: true tilt at the start of each frame, degrees */
    const double *beam;      /* [frames][2]: x, y of the beam, pixels */
    const double *electrons; /* [frames]: expected electrons in Bragg spots */
    const size_t *spots;     /* [frames]: number of spots of at least 100 electrons */
};
void emd_sim_get_truth(const struct emd_sim *sim, struct emd_sim_truth *truth);

/* Reflection i of the truth's. */
struct emd_sim_reflection emd_sim_get_reflection(const struct emd_sim *sim, size_t i);

#endif
