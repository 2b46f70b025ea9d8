/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdsim: a simulated MicroED movie in a Velox-like file. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "base/safefile.h"
#include "common/message.h"
#include "common/progress.h"
#include "common/signals.h"
#include "velox/moviefile.h"
#include "velox/simulate.h"

static const char help[] =
    "Usage: emdsim [OPTION]... OUT.emd\n"
    "Writes a Velox-like movie of a simulated rotating crystal.\n"
    "\n"
    "Movie:\n"
    "  --size N|WxH           pixels of a frame (1024)\n"
    "  --frames N             number of images (160)\n"
    "  --dtype TYPE           i16 (default), u16, i32, u8, f32\n"
    "  --layout LAYOUT        frame (default: chunks h,w,1), contiguous,\n"
    "                         tile (256,256,16), rows (1,w,64)\n"
    "  --seed N               noise and names (1); the same seed gives the same bytes\n"
    "\n"
    "Crystal:\n"
    "  --cell A,B,C,AL,BE,GA  unit cell in A and degrees (5.34,6.46,10.86,90,91.3,90)\n"
    "  --orientation N        a number for each random orientation (the seed)\n"
    "  --resolution A         reflections to this resolution (0.75)\n"
    "  --brightness F         factor for all spots (1)\n"
    "  --blank A:B,...        images without spots, counted from 1, inclusive\n"
    "  --scale A:B=F,...      factor for the spots of these images\n"
    "  --fade F               spots fall evenly to this fraction at the last image\n"
    "  --no-crystal           background only\n"
    "\n"
    "Microscope:\n"
    "  --start DEG            tilt of the first image (half the range below zero)\n"
    "  --step DEG             tilt from image to image, of either sign (0.6)\n"
    "  --jitter DEG           error of the recorded tilt (0.01)\n"
    "  --camera NAME          ceta (default) or falcon (counting, no noise)\n"
    "  --dose E               electrons per pixel and frame near the beam (12);\n"
    "                         0: beam off\n"
    "  --gain G               pixel value per electron, in sixteenths\n"
    "  --noise SIGMA          read noise in counts\n"
    "  --pedestal P           counts without beam\n"
    "  --distance MM          camera length (618)\n"
    "  --exposure S           seconds per frame (0.5)\n"
    "  --beam-centre X,Y      where the beam hits, in pixels; the centre of the first\n"
    "                         pixel is 0.5,0.5 (the middle of the frame)\n"
    "  --drift X,Y            pixels that the pattern moves, first to last image\n"
    "  --beam-stop[=R[,DEG]]  a disc of R pixels (1/40 of the width) on a rod that\n"
    "                         comes from DEG (60), counted from right towards down\n"
    "  --rest N[:M]           the stage stands still during the first N and the last\n"
    "                         M (N) images\n"
    "  --no-tilt              no tilts in the metadata; same as --omit tilt\n"
    "  --omit WHAT,...        leave out of the metadata: gain, saturation, distance,\n"
    "                         tilt, voltage, time, exposure\n"
    "\n"
    "General:\n"
    "  --truth FILE           also write what was simulated, as JSON\n"
    "  -f, --force            replace existing files\n"
    "  -j, --threads N        threads (all cores)\n"
    "  -q, --quiet            only errors\n"
    "      --help, --version\n";

enum option_code {
    OPT_SIZE = 256,
    OPT_FRAMES,
    OPT_DTYPE,
    OPT_LAYOUT,
    OPT_SEED,
    OPT_CELL,
    OPT_ORIENTATION,
    OPT_RESOLUTION,
    OPT_BRIGHTNESS,
    OPT_BLANK,
    OPT_SCALE,
    OPT_FADE,
    OPT_NO_CRYSTAL,
    OPT_START,
    OPT_STEP,
    OPT_JITTER,
    OPT_CAMERA,
    OPT_DOSE,
    OPT_GAIN,
    OPT_NOISE,
    OPT_PEDESTAL,
    OPT_DISTANCE,
    OPT_EXPOSURE,
    OPT_BEAM_CENTRE,
    OPT_DRIFT,
    OPT_BEAM_STOP,
    OPT_REST,
    OPT_NO_TILT,
    OPT_OMIT,
    OPT_TRUTH,
    OPT_HELP,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"size", required_argument, NULL, OPT_SIZE},
    {"frames", required_argument, NULL, OPT_FRAMES},
    {"dtype", required_argument, NULL, OPT_DTYPE},
    {"layout", required_argument, NULL, OPT_LAYOUT},
    {"seed", required_argument, NULL, OPT_SEED},
    {"cell", required_argument, NULL, OPT_CELL},
    {"orientation", required_argument, NULL, OPT_ORIENTATION},
    {"resolution", required_argument, NULL, OPT_RESOLUTION},
    {"brightness", required_argument, NULL, OPT_BRIGHTNESS},
    {"blank", required_argument, NULL, OPT_BLANK},
    {"scale", required_argument, NULL, OPT_SCALE},
    {"fade", required_argument, NULL, OPT_FADE},
    {"no-crystal", no_argument, NULL, OPT_NO_CRYSTAL},
    {"start", required_argument, NULL, OPT_START},
    {"step", required_argument, NULL, OPT_STEP},
    {"jitter", required_argument, NULL, OPT_JITTER},
    {"camera", required_argument, NULL, OPT_CAMERA},
    {"dose", required_argument, NULL, OPT_DOSE},
    {"gain", required_argument, NULL, OPT_GAIN},
    {"noise", required_argument, NULL, OPT_NOISE},
    {"pedestal", required_argument, NULL, OPT_PEDESTAL},
    {"distance", required_argument, NULL, OPT_DISTANCE},
    {"exposure", required_argument, NULL, OPT_EXPOSURE},
    {"beam-centre", required_argument, NULL, OPT_BEAM_CENTRE},
    {"drift", required_argument, NULL, OPT_DRIFT},
    {"beam-stop", optional_argument, NULL, OPT_BEAM_STOP},
    {"rest", required_argument, NULL, OPT_REST},
    {"no-tilt", no_argument, NULL, OPT_NO_TILT},
    {"omit", required_argument, NULL, OPT_OMIT},
    {"truth", required_argument, NULL, OPT_TRUTH},
    {"force", no_argument, NULL, 'f'},
    {"threads", required_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0}};

struct arguments {
    struct emd_sim_options sim;
    enum emd_movie_layout layout;
    struct emd_sim_scale *scale;
    const char *output, *truth;
    bool stop; /* --beam-stop; the radius in 'sim', 0: by the width */
    long threads;
    bool force, quiet;
};

static bool is_cancelled(void *ctx)
{
    (void)ctx;
    return emd_signals_caught();
}

static void show_progress(void *ctx, double fraction)
{
    const double *bytes = ctx; /* of all pixels */
    emd_progress_update((uint64_t)(*bytes * fraction));
}

/* --- arguments --------------------------------------------------------------------------------*/

static bool parse_size(const char *text, size_t *width, size_t *height)
{
    char copy[32];
    long w, h;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    char *x = strchr(copy, 'x');
    if (x)
        *x = '\0';
    if (!emd_parse_long(copy, 16, 8192, &w) || !emd_parse_long(x ? x + 1 : copy, 16, 8192, &h))
        return false;
    *width = (size_t)w;
    *height = (size_t)h;
    return true;
}

static bool parse_cell(const char *text, double cell[6])
{
    char copy[256], *rest = copy;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    for (int i = 0; i < 6; i++) {
        const char *item = strsep(&rest, ",");
        if (!item || !emd_parse_double(item, 1, 1000, &cell[i]))
            return false;
    }
    return rest == NULL;
}

/* "A:B,C,D:E" with the factor 0, or "A:B=F,..." */
static bool parse_ranges(char *text, bool factors, struct arguments *args)
{
    for (char *item; (item = strsep(&text, ",")) != NULL;) {
        struct emd_sim_scale range = {0, 0, 0};
        long first, last;
        char *rest = item;
        char *images = strsep(&rest, "=");
        if ((rest != NULL) != factors ||
            (factors && !emd_parse_double(rest, 0, 1000, &range.factor)))
            return false;
        char *colon = strchr(images, ':');
        if (colon)
            *colon = '\0';
        if (!emd_parse_long(images, 1, 100000, &first) ||
            !emd_parse_long(colon ? colon + 1 : images, first, 100000, &last))
            return false;
        range.first = (size_t)first;
        range.last = (size_t)last;
        struct emd_sim_scale *more =
            realloc(args->scale, (args->sim.scale_count + 1) * sizeof *more);
        if (!more)
            return false;
        args->scale = more;
        args->scale[args->sim.scale_count++] = range;
    }
    return true;
}

/* "X,Y" */
static bool parse_pair(const char *text, double low, double high, double pair[2])
{
    char copy[80];
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    char *comma = strchr(copy, ',');
    if (!comma)
        return false;
    *comma = '\0';
    return emd_parse_double(copy, low, high, &pair[0]) &&
           emd_parse_double(comma + 1, low, high, &pair[1]);
}

/* "R", "R,DEG" or nothing */
static bool parse_stop(const char *text, struct arguments *args)
{
    double pair[2] = {0, args->sim.stop_angle};
    args->stop = true;
    if (!text)
        return true;
    if (strchr(text, ',') ? !parse_pair(text, -8192, 8192, pair)
                          : !emd_parse_double(text, 1, 8192, &pair[0]))
        return false;
    args->sim.stop_radius = pair[0];
    args->sim.stop_angle = pair[1];
    return pair[0] >= 1 && pair[1] >= -360 && pair[1] <= 360;
}

/* "N" or "N:M" */
static bool parse_rest(const char *text, size_t rest[2])
{
    char copy[80];
    long first, last;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    char *colon = strchr(copy, ':');
    if (colon)
        *colon = '\0';
    if (!emd_parse_long(copy, 0, 100000, &first) ||
        !emd_parse_long(colon ? colon + 1 : copy, 0, 100000, &last))
        return false;
    rest[0] = (size_t)first;
    rest[1] = (size_t)last;
    return true;
}

static int find_name(const char *text, const char *const names[]);

/* "gain,distance" */
static bool parse_omit(const char *text, unsigned *omit)
{
    /* in the order of enum emd_movie_omit */
    static const char *const names[] = {"gain",    "saturation", "distance", "tilt",
                                        "voltage", "time",       "exposure", NULL};
    char copy[128], *rest = copy;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    for (char *item; (item = strsep(&rest, ",")) != NULL;) {
        const int found = find_name(item, names);
        if (found < 0)
            return false;
        *omit |= 1U << found;
    }
    return true;
}

static bool parse_seed(const char *text, uint64_t *seed)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* Index of 'text' among the NULL-terminated names, -1 if it is none of them. */
static int find_name(const char *text, const char *const names[])
{
    for (int i = 0; names[i]; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

/* True if the program goes on; otherwise *code is its exit code. */
static bool parse_arguments(int argc, char **argv, struct arguments *args, int *code)
{
    static const char *const types[] = {"i16", "u16", "i32", "u8", "f32", NULL};
    static const char *const layouts[] = {"frame", "contiguous", "tile", "rows", NULL};
    static const char *const cameras[] = {"ceta", "falcon", NULL};
    struct emd_sim_options *const sim = &args->sim;
    const struct {
        int code;
        double low, high, *value;
    } numbers[] = {
        {OPT_RESOLUTION, 0.3, 100, &sim->d_min},
        {OPT_BRIGHTNESS, 0, 1000, &sim->brightness},
        {OPT_FADE, 0, 1, &sim->fade},
        {OPT_START, -100000, 100000, &sim->start},
        {OPT_STEP, -10, 10, &sim->step},
        {OPT_JITTER, 0, 10, &sim->jitter},
        {OPT_DOSE, 0, 1000, &sim->dose},
        {OPT_GAIN, 0.0625, 100, &sim->gain},
        {OPT_NOISE, 0, 100, &sim->noise},
        {OPT_PEDESTAL, -10000, 10000, &sim->pedestal},
        {OPT_DISTANCE, 10, 100000, &sim->distance},
        {OPT_EXPOSURE, 0.0001, 1000, &sim->exposure},
    };
    double camera_values[OPT_PEDESTAL - OPT_GAIN + 1];
    bool given[OPT_VERSION + 1 - OPT_SIZE] = {false};
    int option;
    long number;
    emd_sim_defaults(sim);
    args->threads = emd_cpu_count();
    *code = EMD_EXIT_OK;
    while ((option = getopt_long(argc, argv, "fj:q", long_options, NULL)) != -1) {
        bool ok = true;
        int found = 0;
        if (option >= OPT_SIZE)
            given[option - OPT_SIZE] = true;
        switch (option) {
        case OPT_SIZE:
            ok = parse_size(optarg, &sim->width, &sim->height);
            break;
        case OPT_FRAMES:
            if ((ok = emd_parse_long(optarg, 0, 100000, &number)))
                sim->frames = (size_t)number;
            break;
        case OPT_DTYPE:
            if ((ok = (found = find_name(optarg, types)) >= 0))
                sim->type = (enum emd_pixel_type)found;
            break;
        case OPT_LAYOUT:
            if ((ok = (found = find_name(optarg, layouts)) >= 0))
                args->layout = (enum emd_movie_layout)found;
            break;
        case OPT_CAMERA:
            if ((ok = (found = find_name(optarg, cameras)) >= 0))
                sim->camera = (enum emd_sim_camera)found;
            break;
        case OPT_SEED:
            ok = parse_seed(optarg, &sim->seed);
            break;
        case OPT_ORIENTATION:
            ok = parse_seed(optarg, &sim->orientation);
            break;
        case OPT_CELL:
            ok = parse_cell(optarg, sim->cell);
            break;
        case OPT_BLANK:
        case OPT_SCALE: {
            char *copy = strdup(optarg);
            ok = copy && parse_ranges(copy, option == OPT_SCALE, args);
            free(copy);
            break;
        }
        case OPT_NO_CRYSTAL:
            sim->crystal = false;
            break;
        case OPT_BEAM_CENTRE:
            ok = parse_pair(optarg, 0, 8192, sim->beam);
            break;
        case OPT_DRIFT:
            ok = parse_pair(optarg, -8192, 8192, sim->drift);
            break;
        case OPT_BEAM_STOP:
            ok = parse_stop(optarg, args);
            break;
        case OPT_REST:
            ok = parse_rest(optarg, sim->rest);
            break;
        case OPT_NO_TILT:
            sim->omit |= EMD_OMIT_TILT;
            break;
        case OPT_OMIT:
            ok = parse_omit(optarg, &sim->omit);
            break;
        case OPT_TRUTH:
            args->truth = optarg;
            break;
        case 'f':
            args->force = true;
            break;
        case 'j':
            ok = emd_parse_long(optarg, 1, 1024, &args->threads);
            break;
        case 'q':
            emd_message_set_verbosity(EMD_QUIET);
            args->quiet = true;
            break;
        case OPT_HELP:
            fputs(help, stdout);
            return false;
        case OPT_VERSION:
            emd_print_version();
            return false;
        case '?':
            fprintf(stderr, "Try 'emdsim --help'.\n");
            *code = EMD_EXIT_USAGE;
            return false;
        default:
            for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
                if (numbers[i].code == option)
                    ok =
                        emd_parse_double(optarg, numbers[i].low, numbers[i].high, numbers[i].value);
        }
        if (!ok) {
            const char *name = "";
            for (const struct option *o = long_options; o->name; o++)
                if (o->val == option)
                    name = o->name;
            *code = emd_usage_error("invalid value '%s' for --%s", optarg, name);
            return false;
        }
    }
    if (optind + 1 != argc) {
        *code = emd_usage_error(optind == argc ? "no output file given"
                                               : "more than one output file given");
        return false;
    }
    args->output = argv[optind];
    if (args->truth && strcmp(args->truth, args->output) == 0) {
        *code = emd_usage_error("the movie and its truth have the same name");
        return false;
    }
    /* What the camera stands for, except where an option said otherwise. */
    camera_values[0] = sim->gain;
    camera_values[OPT_NOISE - OPT_GAIN] = sim->noise;
    camera_values[OPT_PEDESTAL - OPT_GAIN] = sim->pedestal;
    emd_sim_set_camera(sim, sim->camera, sim->type);
    if (given[OPT_GAIN - OPT_SIZE])
        sim->gain = camera_values[0];
    if (given[OPT_NOISE - OPT_SIZE])
        sim->noise = camera_values[OPT_NOISE - OPT_GAIN];
    if (given[OPT_PEDESTAL - OPT_SIZE])
        sim->pedestal = camera_values[OPT_PEDESTAL - OPT_GAIN];
    if (args->stop && sim->stop_radius == 0)
        sim->stop_radius = (double)sim->width / 40;
    const size_t rest = sim->rest[0] + sim->rest[1];
    if (!given[OPT_START - OPT_SIZE])
        sim->start = -sim->step * (double)(sim->frames > rest ? sim->frames - rest : 0) / 2;
    if (!given[OPT_ORIENTATION - OPT_SIZE])
        sim->orientation = sim->seed;
    sim->scale = args->scale;
    return true;
}

/* --- the truth --------------------------------------------------------------------------------*/

static void put_numbers(FILE *f, const char *name, const double *values, size_t count)
{
    fprintf(f, "  \"%s\": [", name);
    for (size_t i = 0; i < count; i++)
        fprintf(f, "%s%.10g", i ? ", " : "", values[i]);
    fputs("],\n", f);
}

static enum emd_status write_truth(const struct arguments *args, const struct emd_sim *sim,
                                   const struct emd_safefile *file, struct emd_error *err)
{
    const struct emd_sim_options *o = &args->sim;
    struct emd_sim_truth truth;
    emd_sim_get_truth(sim, &truth);
    const int fd = dup(emd_safefile_fd(file));
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        if (fd >= 0)
            close(fd);
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", args->truth);
    }
    fprintf(f,
            "{\n  \"emdsim\": \"%s\",\n  \"seed\": %" PRIu64 ",\n  \"orientation\": %" PRIu64 ",\n"
            "  \"crystal\": %s,\n  \"width\": %zu,\n  \"height\": %zu,\n  \"frames\": %zu,\n",
            EMDTOOLS_VERSION, o->seed, o->orientation, o->crystal ? "true" : "false", o->width,
            o->height, o->frames);
    fprintf(f,
            "  \"step\": %.10g,\n  \"distance\": %.10g,\n  \"pixel_size\": %.10g,\n"
            "  \"wavelength\": %.10g,\n  \"pedestal\": %.10g,\n  \"gain\": %.10g,\n"
            "  \"reflections\": %zu,\n",
            o->step, o->distance, emd_sim_movie(sim)->pixel_size, truth.wavelength, o->pedestal,
            emd_sim_movie(sim)->counts_per_electron, truth.reflections);
    fprintf(f, "  \"saturation\": %.10g,\n  \"beam_stop\": [%.10g, %.10g],\n",
            emd_sim_movie(sim)->saturation, o->stop_radius, o->stop_angle);
    if (o->frames > 0) { /* half-way between the first and the last image */
        const double *first = truth.beam, *last = truth.beam + 2 * (o->frames - 1);
        const double middle[2] = {(first[0] + last[0]) / 2, (first[1] + last[1]) / 2};
        put_numbers(f, "beam_centre", middle, 2);
    }
    put_numbers(f, "beam_centres", truth.beam, 2 * o->frames);
    put_numbers(f, "cell", o->cell, 6);
    put_numbers(f, "A_matrix", truth.matrix, 9);
    put_numbers(f, "tilt", truth.tilt, o->frames);
    put_numbers(f, "electrons", truth.electrons, o->frames);
    fputs("  \"spots\": [", f);
    for (size_t i = 0; i < o->frames; i++)
        fprintf(f, "%s%zu", i ? ", " : "", truth.spots[i]);
    fputs("],\n  \"blank\": [", f);
    const char *comma = "";
    for (size_t i = 0; i < o->frames; i++) {
        if (truth.spots[i] == 0) {
            fprintf(f, "%s%zu", comma, i + 1);
            comma = ", ";
        }
    }
    fputs("]\n}\n", f);
    const bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", args->truth);
    return EMD_OK;
}

/* --- main -------------------------------------------------------------------------------------*/

static void rows_of_sim(const void *ctx, size_t frame, size_t first, size_t last, void *out,
                        void *work)
{
    emd_sim_rows(ctx, frame, first, last, out, work);
}

/* Says early what a commit would only find out in the end. */
static enum emd_status refuse_existing(const struct arguments *args, struct emd_error *err)
{
    const char *const names[] = {args->output, args->truth};
    struct stat st;
    for (size_t i = 0; i < 2 && !args->force; i++)
        if (names[i] && lstat(names[i], &st) == 0)
            return emd_fail(err, EMD_E_EXISTS, "%s exists already (--force replaces it)", names[i]);
    return EMD_OK;
}

static enum emd_status simulate(const struct arguments *args, struct emd_error *err)
{
    struct emd_safefile *files[2] = {NULL, NULL};
    struct emd_sim *sim = NULL;
    struct emd_pool *pool = emd_pool_new((unsigned)args->threads);
    enum emd_status status = pool ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "cannot start threads");
    if (status != EMD_OK || (status = refuse_existing(args, err)) != EMD_OK ||
        (status = emd_sim_new(&args->sim, pool, &sim, err)) != EMD_OK ||
        (status = emd_safefile_create(args->output, &files[0], err)) != EMD_OK ||
        (args->truth && (status = emd_safefile_create(args->truth, &files[1], err)) != EMD_OK))
        goto out;
    struct emd_movie movie = *emd_sim_movie(sim);
    movie.layout = args->layout;
    const struct emd_movie_source source = {
        .ctx = sim, .work_bytes = emd_sim_work_bytes(sim), .rows = rows_of_sim};
    double bytes = (double)movie.width * (double)movie.height * (double)movie.frames *
                   (double)emd_pixel_size(movie.type);
    const struct emd_movie_observer observer = {
        .ctx = &bytes, .progress = show_progress, .cancelled = is_cancelled};
    emd_progress_start(args->output, (uint64_t)bytes);
    status = emd_movie_write(emd_safefile_fd(files[0]), &movie, &source, pool, &observer, err);
    emd_progress_end();
    if (status == EMD_OK && args->truth)
        status = write_truth(args, sim, files[1], err);
    if (status == EMD_OK) {
        status = emd_safefile_commit(files, args->truth ? 2 : 1, args->force, err);
        files[0] = files[1] = NULL;
    }
out:
    emd_safefile_discard(files[0]);
    emd_safefile_discard(files[1]);
    emd_sim_free(sim);
    emd_pool_free(pool);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments args = {.threads = 1};
    struct emd_error err = {EMD_OK, ""};
    int code;
    emd_message_init("emdsim", EMD_NORMAL);
    if (!parse_arguments(argc, argv, &args, &code)) {
        free(args.scale);
        return emd_finish(code);
    }
    emd_signals_init();
    emd_progress_init(!args.quiet);
    const enum emd_status status = simulate(&args, &err);
    free(args.scale);
    if (status != EMD_OK)
        emd_message_error("%s: %s", args.output, err.text);
    emd_signals_reraise();
    return emd_finish((int)emd_exit_for(status));
}
