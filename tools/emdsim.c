/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdsim: a simulated MicroED movie in a Velox-like file. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/pool.h"
#include "base/safefile.h"
#include "common/message.h"
#include "common/options.h"
#include "common/progress.h"
#include "common/signals.h"
#include "velox/moviefile.h"
#include "velox/simulate.h"

struct arguments {
    struct emd_sim_options sim; /* NaN: as the camera and the number of images ask for */
    enum emd_movie_layout layout;
    struct emd_sim_scale *scale;
    const char *output, *truth, *structure;
    bool stop;     /* --beam-stop; the radius in 'sim', 0: by the width */
    bool oriented; /* --orientation */
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

static enum emd_status wrong(struct emd_error *err, const char *wanted)
{
    return emd_fail(err, EMD_E_ARGUMENT, "not %s", wanted);
}

/* "N" or "WxH" */
static enum emd_status take_size(void *into, const struct emd_option *option, const char *text,
                                 struct emd_error *err)
{
    struct arguments *args = into;
    char copy[32];
    long w, h;
    (void)option;
    snprintf(copy, sizeof copy, "%s", text);
    char *x = strchr(copy, 'x');
    if (x)
        *x = '\0';
    if (!emd_parse_long(copy, 16, 8192, &w) || !emd_parse_long(x ? x + 1 : copy, 16, 8192, &h) ||
        strlen(text) >= sizeof copy)
        return wrong(err, "N or WxH from 16 to 8192");
    args->sim.width = (size_t)w;
    args->sim.height = (size_t)h;
    return EMD_OK;
}

static enum emd_status take_cell(void *into, const struct emd_option *option, const char *text,
                                 struct emd_error *err)
{
    struct arguments *args = into;
    char copy[256], *rest = copy;
    (void)option;
    snprintf(copy, sizeof copy, "%s", text);
    for (int i = 0; i < 6; i++) {
        const char *item = strsep(&rest, ",");
        if (!item || !emd_parse_double(item, 1, 1000, &args->sim.cell[i]))
            return wrong(err, "six positive numbers with commas between them");
    }
    return rest == NULL ? EMD_OK : wrong(err, "six positive numbers with commas between them");
}

/* "A:B" or "A" */
static bool parse_images(char *text, struct emd_sim_scale *range)
{
    long first, last;
    char *colon = strchr(text, ':');
    if (colon)
        *colon = '\0';
    if (!emd_parse_long(text, 1, 100000, &first) ||
        !emd_parse_long(colon ? colon + 1 : text, first, 100000, &last))
        return false;
    range->first = (size_t)first;
    range->last = (size_t)last;
    return true;
}

/* --blank: "A:B,C,D:E" with the factor 0; --scale: "A:B=F,..." */
static enum emd_status take_ranges(void *into, const struct emd_option *option, const char *text,
                                   struct emd_error *err)
{
    struct arguments *args = into;
    const bool factors = option->number != 0;
    char *copy = strdup(text), *next = copy;
    enum emd_status status = copy ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (char *item; status == EMD_OK && (item = strsep(&next, ",")) != NULL;) {
        struct emd_sim_scale range = {0, 0, 0};
        char *factor = item;
        char *images = strsep(&factor, "=");
        if ((factor != NULL) != factors || !parse_images(images, &range) ||
            (factors && !emd_parse_double(factor, 0, 1000, &range.factor))) {
            status = wrong(err, factors ? "A:B=F with images from 1 and a factor up to 1000"
                                        : "A:B with images from 1");
            break;
        }
        struct emd_sim_scale *more =
            realloc(args->scale, (args->sim.scale_count + 1) * sizeof *more);
        if (!more) {
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
            break;
        }
        args->scale = more;
        args->scale[args->sim.scale_count++] = range;
    }
    free(copy);
    return status;
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

static enum emd_status take_pair(void *into, const struct emd_option *option, const char *text,
                                 struct emd_error *err)
{
    void *field = (char *)into + option->at;
    double *pair = field;
    return parse_pair(text, option->low, option->high, pair)
               ? EMD_OK
               : emd_fail(err, EMD_E_ARGUMENT, "not X,Y from %g to %g", option->low, option->high);
}

/* "R", "R,DEG" or nothing */
static enum emd_status take_stop(void *into, const struct emd_option *option, const char *text,
                                 struct emd_error *err)
{
    struct arguments *args = into;
    double pair[2] = {0, args->sim.stop_angle};
    (void)option;
    args->stop = true;
    if (!text)
        return EMD_OK;
    if (!(strchr(text, ',') ? parse_pair(text, -8192, 8192, pair)
                            : emd_parse_double(text, 1, 8192, &pair[0])) ||
        pair[0] < 1 || pair[1] < -360 || pair[1] > 360)
        return wrong(err, "a radius from 1 to 8192, or R,DEG");
    args->sim.stop_radius = pair[0];
    args->sim.stop_angle = pair[1];
    return EMD_OK;
}

/* "N" or "N:M" */
static enum emd_status take_rest(void *into, const struct emd_option *option, const char *text,
                                 struct emd_error *err)
{
    struct arguments *args = into;
    char copy[80];
    long first, last;
    (void)option;
    snprintf(copy, sizeof copy, "%s", text);
    char *colon = strchr(copy, ':');
    if (colon)
        *colon = '\0';
    if (!emd_parse_long(copy, 0, 100000, &first) ||
        !emd_parse_long(colon ? colon + 1 : copy, 0, 100000, &last))
        return wrong(err, "N or N:M images");
    args->sim.rest[0] = (size_t)first;
    args->sim.rest[1] = (size_t)last;
    return EMD_OK;
}

/* In the order of enum emd_movie_omit. */
#define OMITTED "gain|saturation|distance|tilt|voltage|time|exposure"

/* "gain,distance" */
static enum emd_status take_omit(void *into, const struct emd_option *option, const char *text,
                                 struct emd_error *err)
{
    struct arguments *args = into;
    char copy[128], *rest = copy;
    (void)option;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *item; (item = strsep(&rest, ",")) != NULL;) {
        int index;
        const enum emd_status status = emd_options_word(item, OMITTED, &index, err);
        if (status != EMD_OK)
            return status;
        args->sim.omit |= 1U << index;
    }
    return EMD_OK;
}

static enum emd_status take_no_tilt(void *into, const struct emd_option *option, const char *text,
                                    struct emd_error *err)
{
    return take_omit(into, option, text ? text : "tilt", err);
}

static enum emd_status take_seed(void *into, const struct emd_option *option, const char *text,
                                 struct emd_error *err)
{
    struct arguments *args = into;
    char *end;
    errno = 0;
    const uint64_t seed = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
        return wrong(err, "a whole number");
    if (option->number) {
        args->sim.orientation = seed;
        args->oriented = true;
    } else {
        args->sim.seed = seed;
    }
    return EMD_OK;
}

#define AT(field) offsetof(struct arguments, field)
#define TITLE(text)                                                                                \
    {                                                                                              \
        .kind = EMD_OPTION_TITLE, .help = text                                                     \
    }
#define NUMBER(option, unit, least, most, field, text)                                             \
    {                                                                                              \
        .name = option, .value = unit, .kind = EMD_OPTION_DOUBLE, .low = least, .high = most,      \
        .at = AT(sim.field), .help = text                                                          \
    }
#define CALL(option, what, function, text)                                                         \
    {                                                                                              \
        .name = option, .value = what, .kind = EMD_OPTION_CALL, .take = function, .help = text     \
    }

static const struct emd_option options[] = {
    TITLE("Movie"),
    {0, "size", "N|WxH", EMD_OPTION_CALL, .take = take_size, .complete = "words:512 1024 2048 4096",
     .help = "pixels of a frame (default 1024)"},
    {0, "frames", "N", EMD_OPTION_COUNT, .at = AT(sim.frames), .high = 100000,
     .help = "number of images (default 160)"},
    {0, "dtype", "TYPE", EMD_OPTION_CHOICE, .at = AT(sim.type), .words = "i16|u16|i32|u8|f32",
     .help = "i16 (default), u16, i32, u8, f32"},
    {0, "layout", "LAYOUT", EMD_OPTION_CHOICE, .at = AT(layout),
     .words = "frame|contiguous|tile|rows",
     .help = "frame (default: chunks h,w,1), contiguous, tile (256,256,16), rows (1,w,64)"},
    CALL("seed", "N", take_seed, "noise and names (default 1); the same seed gives the same bytes"),
    TITLE("Crystal"),
    CALL("cell", "A,B,C,AL,BE,GA", take_cell,
         "unit cell in A and degrees (default 5.34,6.46,10.86,90,91.3,90)"),
    {0, "structure", "FILE", EMD_OPTION_TEXT, .at = AT(structure), .complete = "file:cif",
     .help = "cell, symmetry and atoms from a CIF or a table (default: random light atoms)"},
    {0, "orientation", "N", EMD_OPTION_CALL, .take = take_seed, .number = 1,
     .help = "a number for each random orientation (default: the seed)"},
    NUMBER("resolution", "A", 0.3, 100, d_min, "reflections to this resolution (default 0.75)"),
    NUMBER("brightness", "F", 0, 1000, brightness, "factor for all spots (default 1)"),
    {0, "blank", "A:B,...", EMD_OPTION_CALL, .take = take_ranges, .repeatable = true,
     .help = "images without spots, counted from 1, inclusive"},
    {0, "scale", "A:B=F,...", EMD_OPTION_CALL, .take = take_ranges, .number = 1, .repeatable = true,
     .help = "factor for the spots of these images"},
    NUMBER("fade", "F", 0, 1, fade, "spots fall evenly to this fraction at the last image"),
    {0, "no-crystal", NULL, EMD_OPTION_CLEAR, .at = AT(sim.crystal), .help = "background only"},
    TITLE("Microscope"),
    NUMBER("start", "DEG", -100000, 100000, start,
           "tilt of the first image (default: half the range below zero)"),
    NUMBER("step", "DEG", -10, 10, step, "tilt from image to image, of either sign (default 0.6)"),
    NUMBER("jitter", "DEG", 0, 10, jitter, "error of the recorded tilt (default 0.01)"),
    {0, "camera", "NAME", EMD_OPTION_CHOICE, .at = AT(sim.camera), .words = "ceta|falcon",
     .help = "ceta (default) or falcon (counting, no noise)"},
    NUMBER("dose", "E", 0, 1000, dose,
           "electrons per pixel and frame near the beam (default 12); 0: beam off"),
    NUMBER("gain", "G", 0.0625, 100, gain, "pixel value per electron, in sixteenths"),
    NUMBER("noise", "SIGMA", 0, 100, noise, "read noise in counts"),
    NUMBER("pedestal", "P", -10000, 10000, pedestal, "counts without beam"),
    NUMBER("distance", "MM", 10, 100000, distance, "camera length (default 618)"),
    NUMBER("exposure", "S", 0.0001, 1000, exposure, "seconds per frame (default 0.5)"),
    {0, "beam-centre", "X,Y", EMD_OPTION_CALL, .at = AT(sim.beam), .high = 8192, .take = take_pair,
     .help = "where the beam hits, in pixels; the centre of the first pixel is 0.5,0.5 (default: "
             "the middle of the frame)"},
    {0, "drift", "X,Y", EMD_OPTION_CALL, .at = AT(sim.drift), .low = -8192, .high = 8192,
     .take = take_pair, .help = "pixels that the pattern moves, first to last image"},
    CALL(
        "beam-stop", "[R[,DEG]]", take_stop,
        "a disc of R pixels (default 1/40 of the width) on a rod that comes from DEG (default 60), "
        "counted from right towards down"),
    CALL("rest", "N[:M]", take_rest,
         "the stage stands still during the first N and the last M (default N) images"),
    CALL("no-tilt", NULL, take_no_tilt, "no tilts in the metadata; same as --omit tilt"),
    {0, "omit", "WHAT,...", EMD_OPTION_CALL, .take = take_omit, .repeatable = true,
     .complete = "list:gain saturation distance tilt voltage time exposure",
     .help = "leave out of the metadata: gain, saturation, distance, tilt, voltage, time, "
             "exposure"},
    TITLE("General"),
    {0, "truth", "FILE", EMD_OPTION_TEXT, .at = AT(truth), .complete = "file",
     .help = "also write what was simulated, as JSON"},
    {'f', "force", NULL, EMD_OPTION_FLAG, .at = AT(force), .help = "replace existing files"},
    {'j', "threads", "N", EMD_OPTION_LONG, .at = AT(threads), .low = 1, .high = 1024,
     .help = "threads (default: all cores)"},
    {'q', "quiet", NULL, EMD_OPTION_FLAG, .at = AT(quiet), .help = "only errors"},
};

static const struct emd_program program = {
    .name = "emdsim",
    .usage = "[OPTION]... OUT.emd",
    .about = "Write a Velox-like movie of a simulated rotating crystal.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .operands = "file:emd",
};

/* What the camera and the number of images stand for, except where an option said otherwise. */
static void fill_in(struct arguments *args)
{
    struct emd_sim_options *const sim = &args->sim;
    const double gain = sim->gain, noise = sim->noise, pedestal = sim->pedestal;
    const size_t rest = sim->rest[0] + sim->rest[1];
    emd_sim_set_camera(sim, sim->camera, sim->type);
    sim->gain = isnan(gain) ? sim->gain : gain;
    sim->noise = isnan(noise) ? sim->noise : noise;
    sim->pedestal = isnan(pedestal) ? sim->pedestal : pedestal;
    if (args->stop && sim->stop_radius == 0)
        sim->stop_radius = (double)sim->width / 40;
    if (isnan(sim->start))
        sim->start = -sim->step * (double)(sim->frames > rest ? sim->frames - rest : 0) / 2;
    if (!args->oriented)
        sim->orientation = sim->seed;
    sim->scale = args->scale;
}

/* -1 to go on, else the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *args)
{
    emd_sim_defaults(&args->sim);
    args->sim.start = args->sim.gain = args->sim.noise = args->sim.pedestal = NAN;
    args->threads = emd_cpu_count();
    const int code = emd_options_parse(&program, argc, argv, args);
    if (code >= 0)
        return code;
    if (optind + 1 != argc)
        return emd_usage_error(optind == argc ? "no output file given"
                                              : "more than one output file given");
    args->output = argv[optind];
    if (args->truth && strcmp(args->truth, args->output) == 0)
        return emd_usage_error("the movie and its truth have the same name");
    if (args->quiet)
        emd_message_set_verbosity(EMD_QUIET);
    fill_in(args);
    return -1;
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
            "{\n  \"format\": \"emdsim/1\",\n  \"emdsim\": \"%s\",\n  \"seed\": %" PRIu64
            ",\n  \"orientation\": %" PRIu64 ",\n"
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
    /* More would be a file to itself. */
    if (truth.reflections <= 50000) {
        fputs("  \"intensities\": [", f);
        for (size_t i = 0; i < truth.reflections; i++) {
            const struct emd_sim_reflection r = emd_sim_get_reflection(sim, i);
            fprintf(f, "%s[%d, %d, %d, %.6g]", i ? ", " : "", r.h, r.k, r.l, r.intensity);
        }
        fputs("],\n", f);
    }
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

/* The structure and its cell. */
static enum emd_status read_structure(struct arguments *args, struct emd_structure *structure,
                                      struct emd_error *err)
{
    enum { BYTES_MAX = 1 << 24 };
    size_t length;
    char *text = emd_read_text_file(AT_FDCWD, args->structure, BYTES_MAX, &length);
    enum emd_status status = text ? emd_structure_parse(text, length, structure, err)
                                  : emd_fail(err, EMD_E_IO, "cannot read: %s", strerror(errno));
    free(text);
    if (status != EMD_OK)
        return emd_fail_prefix(err, status, "%s", args->structure);
    memcpy(args->sim.cell, structure->cell, sizeof args->sim.cell);
    args->sim.structure = structure;
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
    emd_message_init("emdsim", EMD_NORMAL);
    const int code = parse_arguments(argc, argv, &args);
    if (code >= 0) {
        free(args.scale);
        return emd_finish(code);
    }
    emd_signals_init();
    emd_progress_init(!args.quiet);
    struct emd_structure structure = {0};
    enum emd_status status = EMD_OK;
    if (args.structure)
        status = read_structure(&args, &structure, &err);
    if (status != EMD_OK) {
        emd_message_error("%s", err.text);
    } else {
        status = simulate(&args, &err);
        if (status != EMD_OK)
            emd_message_error("%s: %s", args.output, err.text);
    }
    free(args.scale);
    emd_structure_free(&structure);
    emd_signals_reraise();
    return emd_finish((int)emd_exit_for(status));
}
