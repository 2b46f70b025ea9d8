/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See simulate.h for the physics and the promise.
 *
 * The noise decides the speed: two random variates a pixel. Counts up to a mean of 32 come from
 * Walker's alias tables, one table for each of 321 means in a floating-point-like grid (32 steps an
 * octave; a random fraction picks between neighbouring means, so that the mean is exact); higher
 * means use a normal variate with the first Cornish-Fisher correction, whose error is then far
 * below one count. One 64-bit hash of the pixel's coordinates feeds it all. Lost against this:
 * inversion by search (3x slower), a sum of exact Poisson steps (10x), std-like generators with a
 * state (bytes then depend on the order in which rows are made). */
#include "velox/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "velox/exact.h"
#include "velox/metadata.h"

/* Mean electrons are unsigned fixed point with 16 fractional bits. */
#define MEAN_ONE 65536.0
enum {
    FINE_SHIFT = 8,         /* step of the grid of means below 2^-2 electrons: 2^-8 */
    OCTAVE_BITS = 5,        /* 32 steps an octave */
    TABLE_LIMIT = 32 << 16, /* means from here on are normal variates */
    TABLE_COUNT = (8 << OCTAVE_BITS) + 64 + 1,
    TABLE_BITS = 7, /* counts 0..127: a mean of 32 exceeds them once in 10^33 */
    TABLE_SIZE = 1 << TABLE_BITS
};
/* No pixel expects more: the sum of background and spots stays below 2^32. Twice any saturation. */
#define MEAN_MAX 30000.0

/* Camera values are integers of 1/16 count before the blur and 1/1024 after it, where the weights
 * (36 + 4 x 7) / 64 are the 0.6 and 0.1 of the recipe in binary, leaning towards the correlation of
 * 0.4 between neighbours that dark frames of a real Ceta show. */
enum { VALUE_BITS = 4, BLUR_CENTRE = 36, BLUR_SIDE = 7, BLUR_BITS = 6 };
enum { STRIP = 64 }; /* rows whose spots are drawn at a time: keeps the scratch in the L2 cache */
enum { SUBSTEPS = 8 };

#define EXCITATION_WIDTH 0.0035 /* 1/A: spots then last two to four frames of 0.6 degrees */
#define CETA_PIXEL 0.014        /* mm, unbinned; 4096 of them a side */
#define CETA_SIDE 4096.0
/* Pixel values from which a Ceta is no longer linear and where it clips: SaturationPoint and
 * MaxPossiblePixelValue of real metadata at binning 8, where a pixel is an average of the camera's.
 */
enum { CETA_SATURATION = 6204, CETA_MAX = 9686 };
#define SPOT_ELECTRONS 100.0 /* what counts as a spot in the truth */
/* Expected electrons of an average reflection at low resolution while fully excited, for a dose of
 * one electron a pixel, at 1024 pixels a side: makes DIALS find about as many spots as with data of
 * a good crystal. */
#define BRIGHTNESS 300.0

struct spot {
    float x, y;      /* pixels, centre of the first pixel at 0.5 */
    float electrons; /* expected */
};

struct reflection {
    double x, y, z;   /* 1/A at tilt 0, laboratory frame */
    double intensity; /* electrons, but for the excitation */
    int16_t h, k, l;
};

struct hot_pixel {
    uint32_t x, y;
    int32_t value; /* counts */
};

struct frame {
    struct spot *spots; /* by rising y */
    size_t count;
};

struct emd_sim {
    struct emd_sim_options o;
    struct emd_movie movie;
    double matrix[9];
    double wavelength;
    double spot_sigma; /* pixels */
    double brightness; /* electrons of an intensity of 1 */
    struct reflection *reflections;
    size_t reflection_count;
    struct frame *frames;
    double *scale, *tilt, *turn, *recorded, *electrons; /* turn: degrees within the frame */
    double *beam;                                       /* [frames][2]: pixels */
    size_t *spots;
    double *radial; /* [radial_count] mean electrons of the background, steps of 1/16 pixel */
    size_t radial_count;
    uint32_t *background; /* [height][width], mean electrons; NULL where the beam drifts */
    uint32_t *stop;  /* [height][width], share that passes the beam stop, 65536: all; or NULL */
    int32_t *column; /* [width]: pedestal, pattern and rounding, 1/1024 count */
    struct hot_pixel *hot;
    size_t hot_count;
    uint32_t *poisson; /* [TABLE_COUNT][TABLE_SIZE]: threshold << TABLE_BITS | alias */
    int16_t *normal;   /* [65536], 1/4096 */
    int16_t *noise;    /* [65536], 1/16 count */
    int32_t gain;      /* 1/16 count an electron */
    int32_t count_max; /* electrons: more would overflow the camera values */
    int32_t low, high; /* limits of the stored values, counts */
};

/* --- random numbers ---------------------------------------------------------------------------*/

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014, variant 13 of D. Stafford): a bijection in
 * which every input bit changes every output bit with probability near one half. */
static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#define GOLDEN 0x9e3779b97f4a7c15u /* 2^64 / golden ratio: SplitMix64's increment */

/* Independent streams: what a number is drawn for. */
enum stream { FOR_PIXELS = 1, FOR_ORIENTATION, FOR_ATOMS, FOR_TILT, FOR_COLUMNS, FOR_HOT };

static uint64_t stream_state(uint64_t seed, enum stream stream, uint64_t index)
{
    return mix(mix(mix(seed + GOLDEN) + (uint64_t)stream * GOLDEN) + index * GOLDEN);
}

static uint64_t next(uint64_t *state)
{
    return mix(*state += GOLDEN);
}

/* Uniform in [0, 1). */
static double uniform(uint64_t *state)
{
    return (double)(next(state) >> 11) * 0x1p-53;
}

/* Quantiles (i + 1/2) / 65536 of the normal distribution, by integrating its density: midpoint rule
 * with a step of 1/8192 from -5, linear in between. Good to 1e-4, which is below the table's own
 * resolution. */
static void fill_normal(int16_t *table)
{
    const double step = 1.0 / 8192, inverse_root = 0.39894228040143267794;
    double below = 2.8665157187919e-7; /* the integral up to -5 */
    size_t i = 0;
    for (int k = 0; k < 10 * 8192 && i < 65536; k++) {
        const double z = -5 + (k + 0.5) * step;
        const double part = inverse_root * emd_exact_exp(-z * z / 2) * step;
        for (; i < 65536 && ((double)i + 0.5) / 65536 <= below + part; i++) {
            const double q = z - step / 2 + step * (((double)i + 0.5) / 65536 - below) / part;
            table[i] = (int16_t)floor(q * 4096 + 0.5);
        }
        below += part;
    }
}

/* Walker's alias method with integer weights that sum to 2^32 (M. D. Vose 1991): entry k of a table
 * is chosen by 7 random bits and kept if the other 25 are below its threshold. */
static void fill_poisson(uint32_t *table, double mean)
{
    const double total = 4294967296.0, share = total / TABLE_SIZE;
    uint64_t weight[TABLE_SIZE], sum = 0;
    unsigned small[TABLE_SIZE] = {0}, large[TABLE_SIZE] = {0}, smalls = 0, larges = 0, mode = 0;
    double p = emd_exact_exp(-mean);
    for (unsigned k = 0; k < TABLE_SIZE; k++) {
        weight[k] = (uint64_t)floor(p * total + 0.5);
        sum += weight[k];
        if (weight[k] > weight[mode])
            mode = k;
        p = p * mean / (k + 1);
    }
    weight[mode] += (uint64_t)total - sum; /* what rounding lost or gained, modulo 2^64 */
    for (unsigned k = 0; k < TABLE_SIZE; k++) {
        if ((double)weight[k] < share)
            small[smalls++] = k;
        else
            large[larges++] = k;
    }
    while (smalls > 0 && larges > 0) {
        const unsigned s = small[--smalls], l = large[larges - 1];
        table[s] = (uint32_t)weight[s] << TABLE_BITS | l;
        weight[l] -= (uint64_t)share - weight[s];
        if ((double)weight[l] < share) {
            larges--;
            small[smalls++] = l;
        }
    }
    while (larges > 0) { /* exactly one share is left: kept always, so its alias is itself */
        const unsigned l = large[--larges];
        table[l] = (uint32_t)((uint64_t)share - 1) << TABLE_BITS | l;
    }
    while (smalls > 0) {
        const unsigned s = small[--smalls];
        table[s] = (uint32_t)((uint64_t)share - 1) << TABLE_BITS | s;
    }
}

/* The grid of means is a floating-point format: index = (mean >> shift) + 32 * (shift - 8), where
 * shift keeps mean >> shift below 64. */
static inline unsigned grid_shift(uint32_t mean)
{
    const unsigned top = 31u - (unsigned)__builtin_clz(mean | 1u << (FINE_SHIFT + OCTAVE_BITS));
    return top - OCTAVE_BITS;
}

static double grid_mean(unsigned index)
{
    unsigned shift = FINE_SHIFT;
    while (index >= 64) {
        index -= 32;
        shift++;
    }
    return (double)((uint64_t)index << shift) / MEAN_ONE;
}

/* --- crystal ----------------------------------------------------------------------------------*/

static void multiply(const double a[9], const double b[9], double out[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

/* Reciprocal basis vectors as columns, from real ones with a along x and b in the xy plane; volume
 * in *volume, <= 0 if there is no such cell. */
static void reciprocal_basis(const double cell[6], double basis[9], double *volume)
{
    double sa, ca, sb, cb, sg, cg;
    emd_exact_sincos_degrees(cell[3], &sa, &ca);
    emd_exact_sincos_degrees(cell[4], &sb, &cb);
    emd_exact_sincos_degrees(cell[5], &sg, &cg);
    const double square = 1 - ca * ca - cb * cb - cg * cg + 2 * ca * cb * cg;
    *volume = 0;
    if (!(square > 0) || !(sg > 0))
        return;
    *volume = cell[0] * cell[1] * cell[2] * sqrt(square);
    const double a[3] = {cell[0], 0, 0};
    const double b[3] = {cell[1] * cg, cell[1] * sg, 0};
    const double c[3] = {cell[2] * cb, cell[2] * (ca - cb * cg) / sg,
                         *volume / (cell[0] * cell[1] * sg)};
    const double *const pairs[3][2] = {{b, c}, {c, a}, {a, b}};
    for (int j = 0; j < 3; j++) {
        const double *u = pairs[j][0], *v = pairs[j][1];
        basis[j] = (u[1] * v[2] - u[2] * v[1]) / *volume;
        basis[3 + j] = (u[2] * v[0] - u[0] * v[2]) / *volume;
        basis[6 + j] = (u[0] * v[1] - u[1] * v[0]) / *volume;
    }
}

/* A uniformly distributed rotation (K. Shoemake 1992). */
static void random_rotation(uint64_t orientation, double u[9])
{
    uint64_t state = stream_state(orientation, FOR_ORIENTATION, 1);
    const double t = uniform(&state);
    double s1, c1, s2, c2;
    emd_exact_sincos_turns(uniform(&state), &s1, &c1);
    emd_exact_sincos_turns(uniform(&state), &s2, &c2);
    const double r1 = sqrt(1 - t), r2 = sqrt(t);
    const double x = s1 * r1, y = c1 * r1, z = s2 * r2, w = c2 * r2;
    const double rotation[9] = {
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
        2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
    memcpy(u, rotation, sizeof rotation);
}

struct atom {
    double x, y, z, weight;
};

/* Light atoms, about one for 18 A^3, at most 24 (more would only slow down and look the same). The
 * structure depends on nothing but its size: every simulated crystal of a cell is of one compound.
 * The screw axis of P 2_1 doubles them where the cell is monoclinic with unique axis b. */
static size_t make_atoms(const struct emd_sim_options *o, double volume, struct atom atoms[48])
{
    const bool screw = o->cell[3] == 90 && o->cell[5] == 90;
    const double fit = volume / 18 / (screw ? 2 : 1);
    const size_t unique = fit < 4 ? 4 : fit > 24 ? 24 : (size_t)fit;
    uint64_t state = stream_state(0, FOR_ATOMS, 0);
    size_t n = 0;
    for (size_t i = 0; i < unique; i++) {
        struct atom a;
        a.x = uniform(&state);
        a.y = uniform(&state);
        a.z = uniform(&state);
        a.weight = 0.6 + 0.8 * uniform(&state); /* between carbon and something heavier */
        atoms[n++] = a;
        if (screw)
            atoms[n++] = (struct atom){-a.x, a.y + 0.5, -a.z, a.weight};
    }
    return n;
}

static double squared_structure_factor(const struct atom *atoms, size_t count, int h, int k, int l)
{
    double re = 0, im = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double s, c;
        emd_exact_sincos_turns(h * atoms[i].x + k * atoms[i].y + l * atoms[i].z, &s, &c);
        re += atoms[i].weight * c;
        im += atoms[i].weight * s;
        norm += atoms[i].weight * atoms[i].weight;
    }
    return (re * re + im * im) / norm;
}

static enum emd_status make_reflections(struct emd_sim *sim, struct emd_error *err)
{
    const struct emd_sim_options *o = &sim->o;
    struct atom atoms[48];
    double basis[9], rotation[9], volume;
    size_t capacity = 0;
    reciprocal_basis(o->cell, basis, &volume);
    if (!(volume > 1))
        return emd_fail(err, EMD_E_ARGUMENT, "there is no unit cell with these angles");
    random_rotation(o->orientation, rotation);
    multiply(rotation, basis, sim->matrix);
    /* A sphere of radius 1 / d_min holds about 4/3 pi V / d_min^3 reflections. */
    const double expected = 4.19 * volume / (o->d_min * o->d_min * o->d_min);
    if (expected > 4e6)
        return emd_fail(err, EMD_E_ARGUMENT,
                        "about %.0f reflections to %g A in this cell are more than 4 million: "
                        "lower the resolution",
                        expected, o->d_min);
    const size_t atom_count = o->structure ? 0 : make_atoms(o, volume, atoms);
    const int hmax = (int)(o->cell[0] / o->d_min), kmax = (int)(o->cell[1] / o->d_min),
              lmax = (int)(o->cell[2] / o->d_min);
    const double size = (double)o->width / 1024;
    const double factor = o->brightness * o->dose * BRIGHTNESS * size * size;
    sim->brightness = factor;
    const double limit = 1 / (o->d_min * o->d_min);
    for (int h = -hmax; h <= hmax && o->crystal; h++) {
        for (int k = -kmax; k <= kmax; k++) {
            for (int l = -lmax; l <= lmax; l++) {
                const double *m = sim->matrix;
                const double x = m[0] * h + m[1] * k + m[2] * l;
                const double y = m[3] * h + m[4] * k + m[5] * l;
                const double z = m[6] * h + m[7] * k + m[8] * l;
                const double square = x * x + y * y + z * z;
                if (square > limit || (h == 0 && k == 0 && l == 0))
                    continue;
                if (sim->reflection_count == capacity) {
                    capacity = capacity ? 2 * capacity : 4096;
                    struct reflection *more =
                        realloc(sim->reflections, capacity * sizeof *sim->reflections);
                    if (!more)
                        return emd_fail(err, EMD_E_MEMORY, "no memory for the reflections");
                    sim->reflections = more;
                }
                /* exp(-2 B sin^2 theta / lambda^2) with B = 2 A^2, of intensities. */
                const double intensity =
                    o->structure ? factor * emd_structure_intensity(o->structure, h, k, l, square)
                                 : factor * emd_exact_exp(-square) *
                                       squared_structure_factor(atoms, atom_count, h, k, l);
                sim->reflections[sim->reflection_count++] =
                    (struct reflection){x, y, z, intensity, (int16_t)h, (int16_t)k, (int16_t)l};
            }
        }
    }
    return EMD_OK;
}

static int compare_spots(const void *a, const void *b)
{
    const float x = ((const struct spot *)a)->y, y = ((const struct spot *)b)->y;
    return (x > y) - (x < y);
}

/* Work of the pool: all spots of one frame. */
static enum emd_status make_spots(void *ctx, size_t job, unsigned slot, unsigned thread,
                                  struct emd_error *err)
{
    struct emd_sim *const sim = ctx;
    struct frame *const frame = &sim->frames[job];
    const struct emd_sim_options *o = &sim->o;
    const double lambda = sim->wavelength, per_pixel = o->distance / sim->movie.pixel_size;
    const double turn = sim->turn[job], *const beam = sim->beam + 2 * job;
    double s[SUBSTEPS], c[SUBSTEPS], s_mid, c_mid;
    size_t capacity = 0;
    (void)slot;
    (void)thread;
    for (int i = 0; i < SUBSTEPS; i++)
        emd_exact_sincos_degrees(sim->tilt[job] + turn * (i + 0.5) / SUBSTEPS, &s[i], &c[i]);
    emd_exact_sincos_degrees(sim->tilt[job] + turn / 2, &s_mid, &c_mid);
    const double half_turn = fabs(turn) / 2 * 0.017453292519943295;
    for (size_t i = 0; i < sim->reflection_count; i++) {
        const struct reflection *r = &sim->reflections[i];
        const double square = r->x * r->x + r->y * r->y + r->z * r->z;
        /* |s0 + r|^2 = 1/lambda^2 - 2 z / lambda + r^2: the error is near r^2 lambda / 2 - z. */
        const double touch = square * lambda / 2, reach = 4.2 * EXCITATION_WIDTH;
        if (fabs(touch - (r->x * s_mid + r->z * c_mid)) > reach + half_turn * sqrt(square))
            continue;
        double sum = 0, x = 0, y = 0;
        for (int k = 0; k < SUBSTEPS; k++) {
            /* (0, -1, 0) as axis: x' = x cos - z sin, z' = x sin + z cos. */
            const double rx = r->x * c[k] - r->z * s[k], rz = r->x * s[k] + r->z * c[k];
            if (fabs(touch - rz) > reach)
                continue;
            const double sz = rz - 1 / lambda;
            const double length = sqrt(rx * rx + r->y * r->y + sz * sz);
            const double e = (length - 1 / lambda) / EXCITATION_WIDTH;
            const double weight = emd_exact_exp(-e * e / 2);
            sum += weight;
            x += weight * rx / -sz;
            y -= weight * r->y / -sz;
        }
        const double electrons = r->intensity * sim->scale[job] * sum / SUBSTEPS;
        if (!(electrons > 0.1))
            continue;
        x = x / sum * per_pixel + beam[0];
        y = y / sum * per_pixel + beam[1];
        if (!(x > 0 && y > 0 && x < (double)o->width && y < (double)o->height))
            continue;
        if (frame->count == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            struct spot *more = realloc(frame->spots, capacity * sizeof *more);
            if (!more)
                return emd_fail(err, EMD_E_MEMORY, "no memory for the spots");
            frame->spots = more;
        }
        frame->spots[frame->count++] = (struct spot){(float)x, (float)y, (float)electrons};
        sim->electrons[job] += electrons;
        sim->spots[job] += electrons >= SPOT_ELECTRONS;
    }
    if (frame->count > 1)
        qsort(frame->spots, frame->count, sizeof *frame->spots, compare_spots);
    return EMD_OK;
}

/* --- background and camera
 * ----------------------------------------------------------------------*/

static uint32_t fixed_mean(double mean)
{
    return (uint32_t)((mean < MEAN_MAX ? mean : MEAN_MAX) * MEAN_ONE + 0.5);
}

/* Inelastic scattering, a ring and the direct beam; lengths in pixels at 1024 a side. */
static double background_mean(const struct emd_sim_options *o, double radius)
{
    const double ring = (radius - 190) / 40, beam = radius / 5;
    return o->dose * (emd_exact_exp(-radius / 220) + 0.12 * emd_exact_exp(-ring * ring / 2) + 0.05 +
                      200 * emd_exact_exp(-beam * beam / 2));
}

/* One row of the background around a beam. The mean depends on the radius only: a table of 1/16
 * pixel steps (of a frame of 1024 pixels), linear in between. */
static void background_row(const struct emd_sim *sim, const double beam[2], size_t y,
                           uint32_t *restrict row)
{
    const double unit = 1024 / (double)sim->o.width, dy = (double)y + 0.5 - beam[1];
    const double *table = sim->radial;
    for (size_t x = 0; x < sim->o.width; x++) {
        const double dx = (double)x + 0.5 - beam[0];
        const double at = sqrt(dx * dx + dy * dy) * unit * 16;
        const size_t i = (size_t)at;
        row[x] = fixed_mean(table[i] + (table[i + 1] - table[i]) * (at - (double)i));
    }
}

static enum emd_status make_background(struct emd_sim *sim, struct emd_error *err)
{
    const struct emd_sim_options *o = &sim->o;
    const double unit = 1024 / (double)o->width, width = (double)o->width,
                 height = (double)o->height;
    const bool drifts = o->drift[0] != 0 || o->drift[1] != 0;
    /* The farthest that a pixel can be from a beam within the frame, and the drift. */
    const double reach =
        sqrt(width * width + height * height) + fabs(o->drift[0]) + fabs(o->drift[1]);
    const double middle[2] = {sim->o.beam[0], sim->o.beam[1]};
    sim->radial_count = (size_t)(reach * unit * 16) + 3;
    sim->radial = malloc(sim->radial_count * sizeof *sim->radial);
    if (!drifts)
        sim->background = malloc(o->width * o->height * sizeof *sim->background);
    if (!sim->radial || (!drifts && !sim->background))
        return emd_fail(err, EMD_E_MEMORY, "no memory for the background");
    for (size_t i = 0; i < sim->radial_count; i++)
        sim->radial[i] = background_mean(o, (double)i / 16);
    for (size_t y = 0; y < o->height && !drifts; y++)
        background_row(sim, middle, y, sim->background + y * o->width);
    return EMD_OK;
}

/* The shadow of a disc before the beam and of its rod, three fifths as wide, to the edge; its rim
 * is one pixel soft. Nothing passes but what the camera's blur carries in. */
static enum emd_status make_stop(struct emd_sim *sim, struct emd_error *err)
{
    const struct emd_sim_options *o = &sim->o;
    double sine, cosine;
    if (!(o->stop_radius > 0))
        return EMD_OK;
    sim->stop = malloc(o->width * o->height * sizeof *sim->stop);
    if (!sim->stop)
        return emd_fail(err, EMD_E_MEMORY, "no memory for the beam stop");
    emd_exact_sincos_degrees(o->stop_angle, &sine, &cosine);
    for (size_t y = 0; y < o->height; y++) {
        for (size_t x = 0; x < o->width; x++) {
            const double dx = (double)x + 0.5 - o->beam[0], dy = (double)y + 0.5 - o->beam[1];
            const double along = dx * cosine + dy * sine, across = fabs(dy * cosine - dx * sine);
            double outside = sqrt(dx * dx + dy * dy) - o->stop_radius;
            if (along > 0 && across - 0.6 * o->stop_radius < outside)
                outside = across - 0.6 * o->stop_radius;
            const double share = outside + 0.5;
            sim->stop[y * o->width + x] = (uint32_t)((share < 0   ? 0
                                                      : share > 1 ? 1
                                                                  : share) *
                                                     MEAN_ONE);
        }
    }
    return EMD_OK;
}

static int compare_hot(const void *a, const void *b)
{
    const struct hot_pixel *p = a, *q = b;
    return p->y != q->y ? (p->y > q->y) - (p->y < q->y) : (p->x > q->x) - (p->x < q->x);
}

/* Gain, noise, limits; the fixed pattern (columns of 0.7 counts, hot pixels: one in 4096). */
static enum emd_status make_camera(struct emd_sim *sim, struct emd_error *err)
{
    static const struct {
        int32_t low, high;
    } range[] = {[EMD_PIXEL_I16] = {-32768, 32767},
                 [EMD_PIXEL_U16] = {0, 65535},
                 [EMD_PIXEL_I32] = {-1000000, 1000000},
                 [EMD_PIXEL_U8] = {0, 255},
                 [EMD_PIXEL_F32] = {-1000000, 1000000}};
    const struct emd_sim_options *o = &sim->o;
    const bool real = o->camera == EMD_CAMERA_CETA;
    sim->poisson = malloc(TABLE_COUNT * TABLE_SIZE * sizeof *sim->poisson);
    sim->normal = malloc(65536 * sizeof *sim->normal);
    sim->noise = malloc(65536 * sizeof *sim->noise);
    sim->column = malloc(o->width * sizeof *sim->column);
    sim->hot_count = real ? o->width * o->height / 4096 : 0;
    sim->hot = malloc((sim->hot_count + 1) * sizeof *sim->hot);
    if (!sim->poisson || !sim->normal || !sim->noise || !sim->column || !sim->hot)
        return emd_fail(err, EMD_E_MEMORY, "no memory for the camera");
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        fill_poisson(sim->poisson + (size_t)i * TABLE_SIZE, grid_mean(i));
    fill_normal(sim->normal);
    /* The blur lowers the noise by the root of the sum of its squared weights. */
    const double blur = real ? sqrt(BLUR_CENTRE * BLUR_CENTRE + 4 * BLUR_SIDE * BLUR_SIDE) / 64 : 1;
    for (size_t i = 0; i < 65536; i++)
        sim->noise[i] = (int16_t)floor(sim->normal[i] * (o->noise / blur) / 256 + 0.5);
    sim->gain = (int32_t)floor(o->gain * (1 << VALUE_BITS) + 0.5);
    sim->count_max = 1000000 * (1 << VALUE_BITS) / sim->gain;
    sim->low = range[o->type].low;
    sim->high = range[o->type].high;
    if (real && sim->high > CETA_MAX)
        sim->high = CETA_MAX;
    if (real) {
        sim->movie.max_pixel_value = sim->high;
        sim->movie.saturation = sim->high > CETA_SATURATION ? CETA_SATURATION : sim->high - 1;
    }
    uint64_t state = stream_state(o->seed, FOR_COLUMNS, 0);
    for (size_t x = 0; x < o->width; x++) {
        const double pattern = real ? 0.7 * sim->normal[next(&state) >> 48] / 4096.0 : 0;
        sim->column[x] = (int32_t)floor((o->pedestal + pattern) * 1024 + 0.5) + 512;
    }
    state = stream_state(o->seed, FOR_HOT, 0);
    for (size_t i = 0; i < sim->hot_count; i++) {
        sim->hot[i].x = (uint32_t)(next(&state) % o->width);
        sim->hot[i].y = (uint32_t)(next(&state) % o->height);
        /* 50 to 3700 counts, evenly in the logarithm */
        sim->hot[i].value = (int32_t)(50 * emd_exact_exp(4.3 * uniform(&state)));
    }
    qsort(sim->hot, sim->hot_count, sizeof *sim->hot, compare_hot);
    return EMD_OK;
}

/* Draws the spots of a frame into the mean electrons of rows first .. last - 1. */
static void draw_spots(const struct emd_sim *sim, size_t frame, size_t first, size_t last,
                       uint32_t *rows)
{
    enum { REACH_MAX = 64 };
    const double sigma = sim->spot_sigma, norm = 1 / (2 * 3.14159265358979323846 * sigma * sigma);
    const long reach = (long)(4 * sigma) + 1;
    const struct frame *f = &sim->frames[frame];
    const long width = (long)sim->o.width;
    for (size_t i = 0; i < f->count; i++) {
        const struct spot *spot = &f->spots[i];
        const long cx = (long)spot->x, cy = (long)spot->y;
        if (cy + reach < (long)first)
            continue;
        if (cy - reach >= (long)last)
            break;
        double profile[2 * REACH_MAX + 1] = {0};
        for (long k = -reach; k <= reach; k++) {
            const double d = ((double)(cx + k) + 0.5 - spot->x) / sigma;
            profile[k + reach] = emd_exact_exp(-d * d / 2);
        }
        const long top = cy - reach > (long)first ? cy - reach : (long)first;
        const long bottom = cy + reach < (long)last - 1 ? cy + reach : (long)last - 1;
        const long left = cx - reach > 0 ? cx - reach : 0;
        const long right = cx + reach < width - 1 ? cx + reach : width - 1;
        for (long y = top; y <= bottom; y++) {
            const double d = ((double)y + 0.5 - spot->y) / sigma;
            const double height = spot->electrons * norm * emd_exact_exp(-d * d / 2);
            uint32_t *row = rows + (size_t)(y - (long)first) * sim->o.width;
            for (long x = left; x <= right; x++) {
                const double sum = row[x] + height * profile[x - cx + reach] * MEAN_ONE;
                row[x] = (uint32_t)(sum < MEAN_MAX * MEAN_ONE ? sum : MEAN_MAX * MEAN_ONE);
            }
        }
    }
}

/* Electrons counted where 'mean' are expected, from 32 random bits and a random fraction. */
static inline int32_t count_electrons(const struct emd_sim *sim, uint32_t mean, uint64_t bits)
{
    if (mean < TABLE_LIMIT) {
        const unsigned shift = grid_shift(mean);
        /* bits 48.. are a fraction of the grid's step: at most 16 of them are needed */
        const uint32_t fraction = (uint32_t)(bits >> 48) >> (16 - shift);
        const uint32_t index = ((mean + fraction) >> shift) + ((shift - FINE_SHIFT) << OCTAVE_BITS);
        const uint32_t random = (uint32_t)bits, slot = random & (TABLE_SIZE - 1);
        const uint32_t entry = sim->poisson[((size_t)index << TABLE_BITS) + slot];
        const uint32_t keep = 0u - (uint32_t)(random >> TABLE_BITS < entry >> TABLE_BITS);
        return (int32_t)((slot & keep) | (entry & (TABLE_SIZE - 1) & ~keep));
    }
    const double m = mean / MEAN_ONE, z = sim->normal[bits & 0xffff] / 4096.0;
    const double n = m + sqrt(m) * z + (z * z - 1) / 6;
    return n < sim->count_max ? (int32_t)(n + 0.5) : sim->count_max;
}

/* One row of camera values before the blur, 1/16 count. 'spots' is scratch afterwards. */
static void expose_row(const struct emd_sim *sim, size_t frame, size_t y, uint32_t *restrict spots,
                       uint32_t *restrict drifted, int32_t *restrict values)
{
    const size_t width = sim->o.width;
    const uint32_t *background = drifted;
    uint64_t state = stream_state(sim->o.seed, FOR_PIXELS, (uint64_t)frame << 16 | y);
    if (sim->background)
        background = sim->background + y * width;
    else
        background_row(sim, sim->beam + 2 * frame, y, drifted);
    if (sim->stop) { /* the part before the stop is what is left of both; below 2^32 as before */
        const uint32_t *const stop = sim->stop + y * width;
        for (size_t x = 0; x < width; x++) {
            const uint64_t all = (uint64_t)background[x] + spots[x];
            drifted[x] = 0;
            spots[x] = (uint32_t)(all * stop[x] >> 16);
        }
        background = drifted;
    }
    for (size_t x = 0; x < width; x++) {
        const uint64_t bits = mix(state += GOLDEN);
        uint32_t mean = background[x] + spots[x];
        const int32_t n = count_electrons(sim, mean, bits);
        values[x] = n * sim->gain + sim->noise[(bits >> 32) & 0xffff];
    }
}

static void read_out(const struct emd_sim *sim, const int32_t *restrict above,
                     const int32_t *restrict row, const int32_t *restrict below,
                     int32_t *restrict out)
{
    const size_t width = sim->o.width;
    const int32_t *restrict column = sim->column;
    if (sim->o.camera == EMD_CAMERA_FALCON) {
        for (size_t x = 0; x < width; x++)
            out[x] = row[x] * (1 << BLUR_BITS) + column[x];
        return;
    }
    for (size_t x = 0; x < width; x++) /* row[-1] and row[width] repeat the edge */
        out[x] = BLUR_CENTRE * row[x] +
                 BLUR_SIDE * (row[x - 1] + row[x + 1] + above[x] + below[x]) + column[x];
}

#define STORE(type, low, high)                                                                     \
    do {                                                                                           \
        type *restrict to = out;                                                                   \
        for (size_t x = 0; x < width; x++) {                                                       \
            const int32_t v = row[x] >> 10;                                                        \
            to[x] = (type)(v < (low) ? (low) : v > (high) ? (high) : v);                           \
        }                                                                                          \
    } while (0)

static void store_row(const struct emd_sim *sim, const int32_t *restrict row, void *restrict out)
{
    const size_t width = sim->o.width;
    const int32_t low = sim->low, high = sim->high;
    switch (sim->o.type) {
    case EMD_PIXEL_I16:
        STORE(int16_t, low, high);
        break;
    case EMD_PIXEL_U16:
        STORE(uint16_t, low, high);
        break;
    case EMD_PIXEL_I32:
        STORE(int32_t, low, high);
        break;
    case EMD_PIXEL_U8:
        STORE(uint8_t, low, high);
        break;
    case EMD_PIXEL_F32: {
        float *restrict to = out;
        for (size_t x = 0; x < width; x++) { /* gain-corrected images are not whole counts */
            const float v = (float)(row[x] - 512) / 1024;
            to[x] = v > (float)high ? (float)high : v;
        }
    }
    }
}

static size_t row_stride(const struct emd_sim *sim)
{
    return sim->o.width + 2;
}

size_t emd_sim_work_bytes(const struct emd_sim *sim)
{
    return (STRIP + 2) * sim->o.width * sizeof(uint32_t) +
           (3 * row_stride(sim) + sim->o.width) * sizeof(int32_t) + sim->o.width * sizeof(uint32_t);
}

static void add_hot_pixels(const struct emd_sim *sim, size_t *next_hot, size_t y, int32_t *row)
{
    while (*next_hot < sim->hot_count && sim->hot[*next_hot].y < y)
        ++*next_hot;
    for (; *next_hot < sim->hot_count && sim->hot[*next_hot].y == y; ++*next_hot) {
        const struct hot_pixel *hot = &sim->hot[*next_hot];
        row[hot->x] += hot->value * 1024;
    }
}

void emd_sim_rows(const struct emd_sim *sim, size_t frame, size_t first, size_t last, void *out,
                  void *work)
{
    const size_t width = sim->o.width, height = sim->o.height, stride = row_stride(sim);
    const size_t row_bytes = width * emd_pixel_size(sim->o.type);
    uint32_t *const spots = work;
    int32_t *const values = (int32_t *)(spots + (STRIP + 2) * width) + 1;
    int32_t *const sum = values - 1 + 3 * stride;
    uint32_t *const drifted = (uint32_t *)(sum + width);
    size_t hot = 0;
    for (size_t top = first; top < last; top += STRIP) {
        const size_t bottom = top + STRIP < last ? top + STRIP : last;
        /* The blur needs a row above and below: made again by both neighbours, equal bit by bit. */
        const size_t from = top > 0 ? top - 1 : 0, to = bottom < height ? bottom + 1 : height;
        memset(spots, 0, (to - from) * width * sizeof *spots);
        draw_spots(sim, frame, from, to, spots);
        size_t made = from;
        for (size_t y = top; y < bottom; y++) {
            const size_t upper = y > 0 ? y - 1 : 0, lower = y + 1 < height ? y + 1 : y;
            for (; made <= lower; made++) {
                int32_t *row = values + made % 3 * stride;
                expose_row(sim, frame, made, spots + (made - from) * width, drifted, row);
                row[-1] = row[0];
                row[width] = row[width - 1];
            }
            read_out(sim, values + upper % 3 * stride, values + y % 3 * stride,
                     values + lower % 3 * stride, sum);
            add_hot_pixels(sim, &hot, y, sum);
            store_row(sim, sum, (char *)out + (y - first) * row_bytes);
        }
    }
}

/* --- set-up -----------------------------------------------------------------------------------*/

size_t emd_pixel_size(enum emd_pixel_type type)
{
    switch (type) {
    case EMD_PIXEL_U8:
        return 1;
    case EMD_PIXEL_I16:
    case EMD_PIXEL_U16:
        return 2;
    default:
        return 4;
    }
}

void emd_sim_set_camera(struct emd_sim_options *options, enum emd_sim_camera camera,
                        enum emd_pixel_type type)
{
    options->camera = camera;
    options->type = type;
    options->gain = camera == EMD_CAMERA_CETA ? 2 : 1;
    options->noise = camera == EMD_CAMERA_CETA ? 1.5 : 0;
    options->pedestal = 0;
    if (camera == EMD_CAMERA_CETA) /* unsigned images carry an offset that keeps noise above zero */
        options->pedestal = type == EMD_PIXEL_U16 ? 100 : type == EMD_PIXEL_U8 ? 10 : -40;
}

void emd_sim_defaults(struct emd_sim_options *options)
{
    *options = (struct emd_sim_options){
        .width = 1024,
        .height = 1024,
        .frames = 160,
        .start = -48,
        .step = 0.6,
        .jitter = 0.01,
        .cell = {5.34, 6.46, 10.86, 90, 91.3, 90},
        .d_min = 0.75,
        .crystal = true,
        .orientation = 1,
        .fade = 1,
        .dose = 12,
        .brightness = 1,
        .voltage = 200,
        .distance = 618,
        .exposure = 0.5,
        .beam = {NAN, NAN},
        .stop_angle = 60,
        .seed = 1,
    };
    emd_sim_set_camera(options, EMD_CAMERA_CETA, EMD_PIXEL_I16);
}

static enum emd_status check_range(double value, double low, double high, const char *what,
                                   struct emd_error *err)
{
    if (value >= low && value <= high)
        return EMD_OK;
    return emd_fail(err, EMD_E_ARGUMENT, "%s is %g, not within %g and %g", what, value, low, high);
}

static enum emd_status check_options(const struct emd_sim_options *o, struct emd_error *err)
{
    const struct {
        double value, low, high;
        const char *what;
    } checks[] = {
        {(double)o->width, 16, 8192, "the width"},
        {(double)o->height, 16, 8192, "the height"},
        {(double)o->frames, 0, 100000, "the number of frames"},
        {o->start, -100000, 100000, "the first tilt"},
        {o->step, -10, 10, "the step"},
        {o->jitter, 0, 10, "the jitter"},
        {o->cell[0], 2, 1000, "cell axis a"},
        {o->cell[1], 2, 1000, "cell axis b"},
        {o->cell[2], 2, 1000, "cell axis c"},
        {o->cell[3], 20, 160, "cell angle alpha"},
        {o->cell[4], 20, 160, "cell angle beta"},
        {o->cell[5], 20, 160, "cell angle gamma"},
        {o->d_min, 0.3, 100, "the resolution"},
        {o->fade, 0, 1, "the fading"},
        {o->dose, 0, 1000, "the dose"},
        {o->brightness, 0, 1000, "the brightness"},
        {o->gain, 0.0625, 100, "the gain"},
        {o->beam[0], 0, (double)o->width, "the beam centre's x"},
        {o->beam[1], 0, (double)o->height, "the beam centre's y"},
        {o->drift[0], -8192, 8192, "the drift in x"},
        {o->drift[1], -8192, 8192, "the drift in y"},
        {o->stop_radius, 0, 8192, "the radius of the beam stop"},
        {o->stop_angle, -360, 360, "the angle of the beam stop"},
        {(double)o->rest[0], 0, (double)o->frames, "the number of first images at rest"},
        {(double)o->rest[1], 0, (double)(o->frames - o->rest[0]),
         "the number of last images at rest"},
        {o->noise, 0, 100, "the noise"},
        {o->pedestal, -10000, 10000, "the pedestal"},
        {o->voltage, 50, 1000, "the voltage"},
        {o->distance, 10, 100000, "the distance"},
        {o->exposure, 0.0001, 1000, "the exposure"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        enum emd_status status =
            check_range(checks[i].value, checks[i].low, checks[i].high, checks[i].what, err);
        if (status != EMD_OK)
            return status;
    }
    for (size_t i = 0; i < o->scale_count; i++) {
        const struct emd_sim_scale *s = &o->scale[i];
        if (s->first < 1 || s->first > s->last || s->last > o->frames)
            return emd_fail(err, EMD_E_ARGUMENT, "images %zu:%zu are not within 1:%zu", s->first,
                            s->last, o->frames);
        enum emd_status status = check_range(s->factor, 0, 1000, "the factor of images", err);
        if (status != EMD_OK)
            return status;
    }
    return EMD_OK;
}

static enum emd_status make_frames(struct emd_sim *sim, struct emd_pool *pool,
                                   struct emd_error *err)
{
    const struct emd_sim_options *o = &sim->o;
    const size_t n = o->frames + 1; /* never empty */
    sim->frames = calloc(n, sizeof *sim->frames);
    sim->scale = calloc(n, sizeof *sim->scale);
    sim->tilt = calloc(n, sizeof *sim->tilt);
    sim->turn = calloc(n, sizeof *sim->turn);
    sim->beam = calloc(2 * n, sizeof *sim->beam);
    sim->recorded = calloc(n, sizeof *sim->recorded);
    sim->electrons = calloc(n, sizeof *sim->electrons);
    sim->spots = calloc(n, sizeof *sim->spots);
    if (!sim->frames || !sim->scale || !sim->tilt || !sim->turn || !sim->beam || !sim->recorded ||
        !sim->electrons || !sim->spots)
        return emd_fail(err, EMD_E_MEMORY, "no memory for the frames");
    uint64_t state = stream_state(o->seed, FOR_TILT, 0);
    for (size_t i = 0; i < o->frames; i++) {
        const double along = o->frames > 1 ? (double)i / (double)(o->frames - 1) : 0;
        const size_t moving = o->frames - o->rest[0] - o->rest[1];
        const size_t moved = i < o->rest[0] ? 0 : i - o->rest[0];
        const bool rests = i < o->rest[0] || moved >= moving;
        sim->tilt[i] = o->start + o->step * (double)(moved < moving ? moved : moving);
        sim->turn[i] = rests ? 0 : o->step;
        sim->beam[2 * i] = o->beam[0] + o->drift[0] * (along - 0.5);
        sim->beam[2 * i + 1] = o->beam[1] + o->drift[1] * (along - 0.5);
        sim->recorded[i] = sim->tilt[i] + o->jitter * (2 * uniform(&state) - 1);
        sim->scale[i] = 1 - along * (1 - o->fade);
    }
    for (size_t k = 0; k < o->scale_count; k++)
        for (size_t i = o->scale[k].first - 1; i < o->scale[k].last; i++)
            sim->scale[i] *= o->scale[k].factor;
    const struct emd_pool_run run = {.count = o->frames,
                                     .threads = emd_pool_threads(pool),
                                     .slots = 4 * emd_pool_threads(pool),
                                     .ctx = sim,
                                     .work = make_spots};
    return emd_pool_run(pool, &run, err);
}

enum emd_status emd_sim_new(const struct emd_sim_options *given, struct emd_pool *pool,
                            struct emd_sim **out, struct emd_error *err)
{
    struct emd_sim_options copy = *given, *const options = &copy;
    *out = NULL;
    if (isnan(copy.beam[0]))
        copy.beam[0] = (double)copy.width / 2;
    if (isnan(copy.beam[1]))
        copy.beam[1] = (double)copy.height / 2;
    enum emd_status status = check_options(options, err);
    if (status != EMD_OK)
        return status;
    copy.gain = floor(copy.gain * (1 << VALUE_BITS) + 0.5) / (1 << VALUE_BITS);
    struct emd_sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    sim->o = *options;
    sim->wavelength = emd_electron_wavelength(options->voltage);
    const double size = (double)options->width / 1024;
    sim->spot_sigma = 1.3 * size < 0.8 ? 0.8 : 1.3 * size;
    sim->movie = (struct emd_movie){
        .width = options->width,
        .height = options->height,
        .frames = options->frames,
        .type = options->type,
        .camera = options->camera == EMD_CAMERA_CETA ? "BM-Ceta" : "BM-Falcon",
        .counts_per_electron = options->gain,
        .pixel_to_counts = 1,
        .omit = options->omit,
        .voltage = options->voltage,
        .wavelength = sim->wavelength,
        .camera_length = options->distance,
        .binning = CETA_SIDE / (double)options->width,
        .pixel_size = CETA_PIXEL * CETA_SIDE / (double)options->width,
        .exposure = options->exposure,
        .start_time = INT64_C(1686312000000000), /* 2023-06-09 12:00 UTC, for want of a clock that
                                                    would change the bytes */
        .id = stream_state(options->seed, FOR_PIXELS, UINT64_MAX),
    };
    if (options->camera == EMD_CAMERA_CETA) /* a pixel is the average of the camera's pixels */
        sim->movie.pixel_to_counts = floor(sim->movie.binning * sim->movie.binning + 0.5) > 1
                                         ? floor(sim->movie.binning * sim->movie.binning + 0.5)
                                         : 1;
    if ((status = make_reflections(sim, err)) != EMD_OK ||
        (status = make_frames(sim, pool, err)) != EMD_OK ||
        (status = make_background(sim, err)) != EMD_OK ||
        (status = make_stop(sim, err)) != EMD_OK || (status = make_camera(sim, err)) != EMD_OK) {
        emd_sim_free(sim);
        return status;
    }
    sim->movie.tilt = sim->recorded;
    *out = sim;
    return EMD_OK;
}

void emd_sim_free(struct emd_sim *sim)
{
    if (!sim)
        return;
    for (size_t i = 0; sim->frames && i < sim->o.frames; i++)
        free(sim->frames[i].spots);
    free(sim->frames);
    free(sim->reflections);
    free(sim->scale);
    free(sim->tilt);
    free(sim->turn);
    free(sim->beam);
    free(sim->radial);
    free(sim->stop);
    free(sim->recorded);
    free(sim->electrons);
    free(sim->spots);
    free(sim->background);
    free(sim->column);
    free(sim->hot);
    free(sim->poisson);
    free(sim->normal);
    free(sim->noise);
    free(sim);
}

const struct emd_movie *emd_sim_movie(const struct emd_sim *sim)
{
    return &sim->movie;
}

void emd_sim_get_truth(const struct emd_sim *sim, struct emd_sim_truth *truth)
{
    *truth = (struct emd_sim_truth){.wavelength = sim->wavelength,
                                    .reflections = sim->reflection_count,
                                    .tilt = sim->tilt,
                                    .beam = sim->beam,
                                    .electrons = sim->electrons,
                                    .spots = sim->spots};
    memcpy(truth->matrix, sim->matrix, sizeof truth->matrix);
}

struct emd_sim_reflection emd_sim_get_reflection(const struct emd_sim *sim, size_t i)
{
    const struct reflection *r = &sim->reflections[i];
    return (struct emd_sim_reflection){
        .h = r->h,
        .k = r->k,
        .l = r->l,
        .intensity = sim->brightness > 0 ? r->intensity / sim->brightness : 0};
}
