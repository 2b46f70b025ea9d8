/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See blankfilter.h. The rows are sorted once into buckets, one an experiment and one an image set
 * for its unindexed spots, so that hundreds of crystals in one table cost no more than one. */
#include "dials/blankfilter.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/pool.h"
#include "base/safefile.h"
#include "base/suffix.h"
#include "dials/expt.h"
#include "dials/frametable.h"
#include "dials/refl.h"

/* Far above any number of crystals; ids are looked up in a table of this size at most. */
enum { MOST_IDS = 1 << 20 };
/* One thread writes what the others read and filter: more of them would wait for it. Tables of less
 * than a piece or two for each are done before a thread has started. */
enum { MOST_THREADS = 4, BYTES_A_THREAD = 1 << 20 };

struct emd_blankfilter {
    struct emd_blankfilter_options options;
    char *expt_path, *refl_path;
    struct emd_expt *expt;
    struct emd_refl *refl;
    struct emd_pool *pool;
    struct emd_blank_report report;
    size_t rows, imagesets;
    double *z;
    uint64_t *flags;
    double *isigma; /* NaN: not usable; NULL: no such columns */
    bool any_prf;
    size_t *begin;     /* of each bucket in 'order', and the end of the last */
    uint32_t *order;   /* rows by bucket, in their order within each */
    bool has_imageset; /* the table has a column imageset_id */
    char **strings;    /* identifiers, which outlive the list that they are from */
    size_t string_count;
};

void emd_blankfilter_defaults(struct emd_blankfilter_options *options)
{
    *options = (struct emd_blankfilter_options){
        .phi_step = 2, .counts_loss = 0.1, .misigma_loss = 0.1, .min_images = 1};
}

const char *emd_blank_analysis_name(enum emd_blank_analysis analysis)
{
    static const char *const names[] = {"strong", "indexed", "integrated", "robust", "frames"};
    return names[analysis];
}

const struct emd_blank_report *emd_blankfilter_report(const struct emd_blankfilter *filter)
{
    return &filter->report;
}

void emd_blankfilter_free(struct emd_blankfilter *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->report.experiment_count && f->report.experiments; i++) {
        for (int a = 0; a < EMD_BLANK_ANALYSES; a++)
            emd_blanks_free(&f->report.experiments[i].blanks[a]);
        free(f->report.experiments[i].runs);
    }
    free(f->report.experiments);
    for (size_t i = 0; i < f->string_count; i++)
        free(f->strings[i]);
    free(f->strings);
    free(f->order);
    free(f->begin);
    free(f->isigma);
    free(f->flags);
    free(f->z);
    emd_pool_free(f->pool);
    emd_refl_close(f->refl);
    emd_expt_free(f->expt);
    free(f->refl_path);
    free(f->expt_path);
    free(f);
}

static enum emd_status no_memory(struct emd_error *err)
{
    emd_fail(err, EMD_E_MEMORY, "out of memory");
    return EMD_E_MEMORY;
}

/* A copy that lives as long as the filter; NULL without memory. */
static const char *keep_string(struct emd_blankfilter *f, const char *text)
{
    char **all = realloc(f->strings, (f->string_count + 1) * sizeof *all);
    if (all)
        f->strings = all;
    char *copy = all ? strdup(text) : NULL;
    if (copy)
        f->strings[f->string_count++] = copy;
    return copy;
}

/* --- reading ----------------------------------------------------------------------------------*/

static enum emd_status start_threads(struct emd_blankfilter *f, struct emd_error *err)
{
    uint64_t threads = emd_refl_bytes(f->refl) / BYTES_A_THREAD + 1;
    const unsigned cores = emd_cpu_count();
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    if (threads > cores)
        threads = cores;
    f->pool = emd_pool_new((unsigned)threads);
    return f->pool ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "cannot start threads");
}

/* The table, or the one that DIALS_USE_GZIP_REFL put beside the name that was meant. */
static enum emd_status open_table(struct emd_blankfilter *f, struct emd_error *err)
{
    if (access(f->refl_path, F_OK) != 0 && errno == ENOENT) {
        const size_t n = strlen(f->refl_path) + sizeof ".gz";
        char *packed = malloc(n);
        if (!packed)
            return no_memory(err);
        snprintf(packed, n, "%s.gz", f->refl_path);
        if (access(packed, F_OK) == 0) {
            free(f->refl_path);
            f->refl_path = packed;
        } else {
            free(packed);
        }
    }
    enum emd_status status = emd_refl_open(f->refl_path, &f->refl, err);
    if (status == EMD_OK)
        f->report.gzipped = emd_refl_gzipped(f->refl);
    return status;
}

/* I/sigma of every row from profile fitting, or from summation where the table has only that. */
static enum emd_status read_isigma(struct emd_blankfilter *f, struct emd_error *err)
{
    const char *value = "intensity.prf.value", *variance = "intensity.prf.variance";
    if (!emd_refl_has(f->refl, value) || !emd_refl_has(f->refl, variance)) {
        value = "intensity.sum.value";
        variance = "intensity.sum.variance";
        if (!emd_refl_has(f->refl, value) || !emd_refl_has(f->refl, variance))
            return EMD_OK;
    }
    double *sigma = emd_memory_new((f->rows + 1) * sizeof *sigma);
    f->isigma = emd_memory_new((f->rows + 1) * sizeof *f->isigma);
    enum emd_status status = sigma && f->isigma ? EMD_OK : no_memory(err);
    if (status == EMD_OK)
        status = emd_refl_read_double(f->refl, value, 0, f->isigma, err);
    if (status == EMD_OK)
        status = emd_refl_read_double(f->refl, variance, 0, sigma, err);
    for (size_t i = 0; i < f->rows && status == EMD_OK; i++) {
        f->isigma[i] = sigma[i] > 0 ? f->isigma[i] / sqrt(sigma[i]) : NAN;
        if (!isfinite(f->isigma[i]))
            f->isigma[i] = NAN;
    }
    free(sigma);
    return status;
}

/* The experiment of every id: by identifier where the table has some, else by number. */
static enum emd_status map_ids(struct emd_blankfilter *f, int32_t **out, size_t *count,
                               struct emd_error *err)
{
    size_t n = emd_expt_count(f->expt), entries, named = 0, found = 0, size = n;
    const struct emd_refl_identifier *names = emd_refl_identifiers(f->refl, &entries);
    for (size_t i = 0; i < entries; i++) {
        if (names[i].id >= MOST_IDS)
            return emd_fail(err, EMD_E_CORRUPT, "experiment id %llu",
                            (unsigned long long)names[i].id);
        if (names[i].id >= size)
            size = (size_t)names[i].id + 1;
    }
    int32_t *map = malloc((size + 1) * sizeof *map);
    if (!map)
        return no_memory(err);
    for (size_t i = 0; i < size; i++)
        map[i] = -1;
    for (size_t i = 0; i < entries; i++) {
        size_t id = (size_t)names[i].id, e = id;
        if (*names[i].text == '\0')
            continue;
        named++;
        if (e >= n || strcmp(emd_expt_info(f->expt, e)->identifier, names[i].text) != 0)
            for (e = 0; e < n; e++)
                if (strcmp(emd_expt_info(f->expt, e)->identifier, names[i].text) == 0)
                    break;
        if (e < n) {
            map[id] = (int32_t)e;
            found++;
        }
    }
    if (found == 0) {
        f->report.identifiers_differ = named > 0;
        for (size_t i = 0; i < size; i++)
            map[i] = i < n ? (int32_t)i : -1;
    } else if (found < named) {
        free(map);
        return emd_fail(err, EMD_E_CORRUPT,
                        "%zu of its %zu experiments are not in the experiment list", named - found,
                        named);
    }
    *out = map;
    *count = size;
    return EMD_OK;
}

/* The columns of which each row's place is taken; NULL: there is none. */
struct places {
    struct emd_blankfilter *f;
    int32_t *id, *imageset;
};

enum { READ_Z, READ_ISIGMA, READ_FLAGS, READ_ID, READ_IMAGESET, READS };

static enum emd_status read_part(void *ctx, size_t job, unsigned slot, unsigned thread,
                                 struct emd_error *err)
{
    struct places *p = ctx;
    struct emd_blankfilter *f = p->f;
    (void)slot;
    (void)thread;
    switch (job) {
    case READ_Z:
        return emd_refl_read_double(f->refl, "xyzobs.px.value", 2, f->z, err);
    case READ_ISIGMA:
        return read_isigma(f, err);
    case READ_FLAGS:
        return emd_refl_read_size(f->refl, "flags", f->flags, err);
    case READ_ID:
        return p->id ? emd_refl_read_int(f->refl, "id", p->id, err) : EMD_OK;
    default:
        return p->imageset ? emd_refl_read_int(f->refl, "imageset_id", p->imageset, err) : EMD_OK;
    }
}

/* Buckets: experiment e; unindexed spots of image set s at count + s; what belongs nowhere last. */
static enum emd_status sort_rows(struct emd_blankfilter *f, const struct places *places,
                                 struct emd_error *err)
{
    size_t n = emd_expt_count(f->expt), buckets = n + f->imagesets + 1, ids = 0;
    const int32_t *id = places->id, *imageset = places->imageset;
    int32_t *map = NULL;
    uint32_t *bucket_of = emd_memory_new((f->rows + 1) * sizeof *bucket_of);
    size_t *next = malloc(buckets * sizeof *next);
    f->order = emd_memory_new((f->rows + 1) * sizeof *f->order);
    f->begin = calloc(buckets + 2, sizeof *f->begin);
    enum emd_status status =
        bucket_of && next && f->order && f->begin ? map_ids(f, &map, &ids, err) : no_memory(err);
    if (status == EMD_OK && !id && n > 1)
        status =
            emd_fail(err, EMD_E_CORRUPT, "the table has no column 'id' for %zu experiments", n);
    for (size_t i = 0; i < f->rows && status == EMD_OK; i++) {
        size_t bucket = n + f->imagesets;
        int32_t row_id = id ? id[i] : 0;
        if (row_id >= 0) {
            if ((size_t)row_id >= ids || map[row_id] < 0)
                status = emd_fail(err, EMD_E_CORRUPT,
                                  "row %zu belongs to experiment %ld, which is not in the list", i,
                                  (long)row_id);
            else
                bucket = (size_t)map[row_id];
        } else {
            f->report.unindexed++;
            if (imageset && imageset[i] >= 0 && (size_t)imageset[i] < f->imagesets)
                bucket = n + (size_t)imageset[i];
            else if (!imageset && f->imagesets == 1)
                bucket = n;
            else
                f->report.unplaced++;
        }
        bucket_of[i] = (uint32_t)bucket;
        f->begin[bucket + 1]++;
    }
    if (status == EMD_OK) {
        for (size_t b = 0; b < buckets; b++) {
            f->begin[b + 1] += f->begin[b];
            next[b] = f->begin[b];
        }
        for (size_t i = 0; i < f->rows; i++)
            f->order[next[bucket_of[i]]++] = (uint32_t)i;
    }
    free(next);
    free(bucket_of);
    free(map);
    return status;
}

static enum emd_status read_rows(struct emd_blankfilter *f, struct emd_error *err)
{
    struct places places = {.f = f};
    bool has_id = emd_refl_has(f->refl, "id");
    if (emd_refl_rows(f->refl) > UINT32_MAX - 1)
        return emd_fail(err, EMD_E_UNSUPPORTED, "more than 2^32 rows");
    f->rows = (size_t)emd_refl_rows(f->refl);
    f->report.rows = f->rows;
    f->has_imageset = emd_refl_has(f->refl, "imageset_id");
    f->z = emd_memory_new((f->rows + 1) * sizeof *f->z);
    f->flags = emd_memory_new((f->rows + 1) * sizeof *f->flags);
    if (has_id)
        places.id = emd_memory_new((f->rows + 1) * sizeof *places.id);
    if (f->has_imageset)
        places.imageset = emd_memory_new((f->rows + 1) * sizeof *places.imageset);
    bool memory =
        f->z && f->flags && (places.id || !has_id) && (places.imageset || !f->has_imageset);
    const struct emd_pool_run run = {.count = READS,
                                     .threads = emd_pool_threads(f->pool),
                                     .slots = READS,
                                     .ctx = &places,
                                     .work = read_part};
    enum emd_status status = memory ? emd_pool_run(f->pool, &run, err) : no_memory(err);
    if (status == EMD_OK)
        status = sort_rows(f, &places, err);
    free(places.imageset);
    free(places.id);
    return status;
}

static enum emd_status read_scans(struct emd_blankfilter *f, struct emd_error *err)
{
    size_t n = emd_expt_count(f->expt);
    if (n == 0)
        return emd_fail(err, EMD_E_EMPTY, "no experiments in the list");
    f->report.experiments = calloc(n, sizeof *f->report.experiments);
    if (!f->report.experiments)
        return no_memory(err);
    f->report.experiment_count = n;
    for (size_t i = 0; i < n; i++) {
        const struct emd_expt_info *info = emd_expt_info(f->expt, i);
        struct emd_blank_experiment *e = &f->report.experiments[i];
        if (!info->has_scan || info->scan.still)
            return emd_fail(err, EMD_E_UNSUPPORTED,
                            "experiment %zu has no rotation: blank images are told by the scan", i);
        e->identifier = keep_string(f, info->identifier);
        if (!e->identifier)
            return no_memory(err);
        e->first = info->scan.first;
        e->last = info->scan.last;
        e->start = info->scan.start / (atan(1.0) / 45.0);
        e->width = info->scan.width / (atan(1.0) / 45.0);
        if (info->imageset >= 0 && (size_t)info->imageset >= f->imagesets)
            f->imagesets = (size_t)info->imageset + 1;
    }
    if (f->imagesets == 0 && n == 1)
        f->imagesets = 1;
    return EMD_OK;
}

/* --- analysis ---------------------------------------------------------------------------------*/

static bool in_analysis(const struct emd_blankfilter *f, uint32_t row,
                        enum emd_blank_analysis analysis)
{
    uint64_t flags = f->flags[row];
    switch (analysis) {
    case EMD_BLANK_STRONG:
    case EMD_BLANK_ROBUST:
        return (flags & EMD_REFL_STRONG) == EMD_REFL_STRONG;
    case EMD_BLANK_INDEXED:
        return (flags & EMD_REFL_INDEXED) && !(flags & EMD_REFL_CENTROID_OUTLIER);
    default:
        return (flags & EMD_REFL_INTEGRATED) == EMD_REFL_INTEGRATED;
    }
}

/* Vectors for the rows of an analysis, and which analyses are under way. */
struct analyses {
    struct emd_blankfilter *f;
    enum emd_blank_analysis first;
    size_t count;
    struct scratch {
        double *z, *isigma;
    } scratch[MOST_THREADS];
};

/* Runs one analysis of experiment i on its rows. */
static enum emd_status analyse_rows(struct emd_blankfilter *f, size_t i,
                                    enum emd_blank_analysis analysis, const struct scratch *scratch,
                                    struct emd_error *err)
{
    const struct emd_expt_info *info = emd_expt_info(f->expt, i);
    struct emd_blank_experiment *e = &f->report.experiments[i];
    size_t n = 0, experiments = emd_expt_count(f->expt);
    size_t buckets[2] = {i, experiments + (size_t)(info->imageset < 0 ? 0 : info->imageset)};
    bool strong = analysis == EMD_BLANK_STRONG || analysis == EMD_BLANK_ROBUST;
    bool more = strong && info->sole && f->imagesets > 0;
    for (int b = 0; b < 1 + more; b++) {
        for (size_t k = f->begin[buckets[b]]; k < f->begin[buckets[b] + 1]; k++) {
            uint32_t row = f->order[k];
            if (!in_analysis(f, row, analysis))
                continue;
            e->analysed[analysis]++;
            if (analysis == EMD_BLANK_INTEGRATED) {
                if (!f->isigma || isnan(f->isigma[row])) {
                    e->unusable++;
                    continue;
                }
                scratch->isigma[n] = f->isigma[row];
            }
            if (f->z[row] >= (double)(e->first - 1) && f->z[row] <= (double)e->last)
                scratch->z[n++] = f->z[row];
        }
    }
    e->done[analysis] = n > 0;
    if (n == 0)
        return EMD_OK;
    if (analysis == EMD_BLANK_ROBUST)
        return emd_blanks_robust(&info->scan, f->options.phi_step, scratch->z, n,
                                 &e->blanks[analysis], err);
    return analysis == EMD_BLANK_INTEGRATED
               ? emd_blanks_isigma(&info->scan, f->options.phi_step, f->options.misigma_loss,
                                   scratch->z, scratch->isigma, n, &e->blanks[analysis], err)
               : emd_blanks_counts(&info->scan, f->options.phi_step, f->options.counts_loss,
                                   scratch->z, NULL, n, &e->blanks[analysis], err);
}

static enum emd_status analyse_part(void *ctx, size_t job, unsigned slot, unsigned thread,
                                    struct emd_error *err)
{
    struct analyses *a = ctx;
    size_t i = job / a->count;
    (void)slot;
    if (a->f->report.experiments[i].done[EMD_BLANK_ROBUST])
        return EMD_OK;
    return analyse_rows(a->f, i, (enum emd_blank_analysis)(a->first + job % a->count),
                        &a->scratch[thread], err);
}

/* The analyses first, first + 1, ... of all experiments, but of those that the robust one has. */
static enum emd_status run_analyses(struct analyses *a, enum emd_blank_analysis first, size_t count,
                                    struct emd_error *err)
{
    unsigned threads = emd_pool_threads(a->f->pool);
    const struct emd_pool_run run = {.count = a->f->report.experiment_count * count,
                                     .threads = threads,
                                     .slots = 4 * threads,
                                     .ctx = a,
                                     .work = analyse_part};
    a->first = first;
    a->count = count;
    return emd_pool_run(a->f->pool, &run, err);
}

static enum emd_status analyse_all(struct emd_blankfilter *f, struct emd_error *err)
{
    struct analyses a = {.f = f};
    unsigned threads = emd_pool_threads(f->pool);
    enum emd_status status = EMD_OK;
    for (unsigned t = 0; t < threads && status == EMD_OK; t++) {
        a.scratch[t].z = emd_memory_new((f->rows + 1) * sizeof *a.scratch[t].z);
        a.scratch[t].isigma = emd_memory_new((f->rows + 1) * sizeof *a.scratch[t].isigma);
        if (!a.scratch[t].z || !a.scratch[t].isigma)
            status = no_memory(err);
    }
    if (status == EMD_OK && f->options.method == EMD_METHOD_ROBUST)
        status = run_analyses(&a, EMD_BLANK_ROBUST, 1, err);
    if (status == EMD_OK)
        status = run_analyses(&a, EMD_BLANK_STRONG, 3, err);
    for (unsigned t = 0; t < threads; t++) {
        free(a.scratch[t].z);
        free(a.scratch[t].isigma);
    }
    return status;
}

static enum emd_status analyse_frames(struct emd_blankfilter *f, size_t i, struct emd_error *err)
{
    const struct emd_expt_info *info = emd_expt_info(f->expt, i);
    struct emd_blank_experiment *e = &f->report.experiments[i];
    size_t images = (size_t)(e->last - e->first + 1), n = 0;
    double *spots = malloc(images * sizeof *spots), *z = malloc(images * sizeof *z);
    enum emd_status status = spots && z ? EMD_OK : no_memory(err);
    if (status == EMD_OK)
        status = emd_frametable_read(f->options.frames, e->first, images, spots, err);
    if (status != EMD_OK)
        emd_fail_prefix(err, status, "%s", f->options.frames);
    for (size_t k = 0; k < images && status == EMD_OK; k++) {
        if (isnan(spots[k]))
            continue;
        z[n] = (double)e->first - 0.5 + (double)k;
        spots[n++] = spots[k];
    }
    if (status == EMD_OK && n > 0) {
        e->done[EMD_BLANK_FRAMES] = true;
        e->analysed[EMD_BLANK_FRAMES] = n;
        status = emd_blanks_counts(&info->scan, f->options.phi_step, f->options.counts_loss, z,
                                   spots, n, &e->blanks[EMD_BLANK_FRAMES], err);
    }
    free(spots);
    free(z);
    return status;
}

/* Runs of images that are not blank, with their rows. */
static enum emd_status find_runs(struct emd_blankfilter *f, size_t i, struct emd_error *err)
{
    struct emd_blank_experiment *e = &f->report.experiments[i];
    size_t images = (size_t)(e->last - e->first + 1);
    unsigned char *blank = calloc(images, 1);
    uint64_t *rows = calloc(images, sizeof *rows);
    enum emd_status status = blank && rows ? EMD_OK : no_memory(err);
    bool evidence = e->done[EMD_BLANK_ROBUST] || e->done[EMD_BLANK_STRONG] ||
                    e->done[EMD_BLANK_INDEXED] || e->done[EMD_BLANK_INTEGRATED];
    if (status != EMD_OK)
        goto out;
    if (!evidence)
        memset(blank, 1, images);
    for (int a = 0; a < EMD_BLANK_ANALYSES; a++) {
        const struct emd_blanks *b = &e->blanks[a];
        for (size_t bin = 0; e->done[a] && bin < b->bins; bin++)
            if (b->blank[bin])
                memset(blank + (emd_blanks_first(b, bin) - e->first), 1,
                       (size_t)(emd_blanks_last(b, bin) - emd_blanks_first(b, bin) + 1));
    }
    for (size_t k = f->begin[i]; k < f->begin[i + 1]; k++) {
        double z = f->z[f->order[k]];
        if (z >= (double)(e->first - 1) && z < (double)e->last)
            rows[(size_t)(z - (double)(e->first - 1))]++;
        else
            e->outside++;
    }
    e->rows = f->begin[i + 1] - f->begin[i];
    for (size_t k = 0; k < images; k++)
        e->run_count += !blank[k] && (k == 0 || blank[k - 1]);
    e->runs = calloc(e->run_count + 1, sizeof *e->runs);
    if (!e->runs) {
        status = no_memory(err);
        goto out;
    }
    struct emd_blank_run *run = e->runs - 1;
    for (size_t k = 0; k < images; k++) {
        if (blank[k])
            continue;
        if (k == 0 || blank[k - 1])
            (++run)->first = e->first + (long)k;
        run->last = e->first + (long)k;
        run->rows += rows[k];
    }
out:
    free(rows);
    free(blank);
    return status;
}

/* --- choice -----------------------------------------------------------------------------------*/

/* A UUID (RFC 9562, version 8) from an identifier and a range of images, that nobody else has. */
static const char *derive_identifier(struct emd_blankfilter *f, const char *from, long first,
                                     long last)
{
    char text[40], *seed = malloc(strlen(from) + 100);
    bool taken = true;
    if (!seed)
        return NULL;
    int length = sprintf(seed, "%s images %ld-%ld", from, first, last);
    for (unsigned n = 0; taken; n++) {
        XXH128_hash_t h = XXH3_128bits_withSeed(seed, (size_t)length, n);
        snprintf(text, sizeof text, "%08lx-%04lx-8%03lx-%04lx-%012llx",
                 (unsigned long)(h.high64 >> 32), (unsigned long)(h.high64 >> 16 & 0xffff),
                 (unsigned long)(h.high64 & 0xfff),
                 (unsigned long)(0x8000 | (h.low64 >> 48 & 0x3fff)),
                 (unsigned long long)(h.low64 & 0xffffffffffffULL));
        taken = false;
        for (size_t i = 0; i < f->string_count && !taken; i++)
            taken = strcmp(f->strings[i], text) == 0;
    }
    free(seed);
    return keep_string(f, text);
}

static enum emd_status choose_runs(struct emd_blankfilter *f, struct emd_error *err)
{
    for (size_t i = 0; i < f->report.experiment_count; i++) {
        struct emd_blank_experiment *e = &f->report.experiments[i];
        struct emd_blank_run *longest = NULL;
        for (struct emd_blank_run *run = e->runs; run < e->runs + e->run_count; run++) {
            if (run->last - run->first + 1 < f->options.min_images ||
                run->rows < (uint64_t)f->options.min_reflections)
                continue;
            run->kept = f->options.keep == EMD_KEEP_ALL;
            if (!longest || run->last - run->first > longest->last - longest->first)
                longest = run;
        }
        if (longest)
            longest->kept = true;
        bool first = true;
        for (struct emd_blank_run *run = e->runs; run < e->runs + e->run_count; run++) {
            if (!run->kept)
                continue;
            run->experiment = f->report.kept++;
            run->identifier = e->identifier;
            if (!first && *e->identifier)
                run->identifier = derive_identifier(f, e->identifier, run->first, run->last);
            if (!run->identifier)
                return no_memory(err);
            first = false;
            f->report.kept_rows += run->rows;
        }
    }
    return EMD_OK;
}

enum emd_status emd_blankfilter_analyse(const char *expt, const char *refl,
                                        const struct emd_blankfilter_options *options,
                                        struct emd_blankfilter **out, struct emd_error *err)
{
    struct emd_blankfilter *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f)
        return no_memory(err);
    f->options = *options;
    f->expt_path = strdup(expt);
    f->refl_path = strdup(refl);
    enum emd_status status = f->expt_path && f->refl_path ? EMD_OK : no_memory(err);
    if (status == EMD_OK) {
        status = emd_expt_read(expt, &f->expt, err);
        if (status == EMD_OK)
            status = read_scans(f, err);
        if (status != EMD_OK)
            emd_fail_prefix(err, status, "%s", expt);
    }
    if (status == EMD_OK) {
        status = open_table(f, err);
        if (status == EMD_OK)
            status = start_threads(f, err);
        if (status == EMD_OK)
            status = read_rows(f, err);
        if (status != EMD_OK)
            emd_fail_prefix(err, status, "%s", f->refl_path);
    }
    if (status == EMD_OK && options->frames && f->imagesets > 1)
        status = emd_fail(err, EMD_E_ARGUMENT,
                          "%s: the statistics are of one movie, the experiments of %zu",
                          options->frames, f->imagesets);
    if (status == EMD_OK)
        status = analyse_all(f, err);
    for (size_t i = 0; i < f->report.experiment_count && status == EMD_OK; i++) {
        if (status == EMD_OK && options->frames)
            status = analyse_frames(f, i, err);
        if (status == EMD_OK)
            status = find_runs(f, i, err);
    }
    if (status == EMD_OK)
        status = choose_runs(f, err);
    if (status != EMD_OK) {
        emd_blankfilter_free(f);
        return status;
    }
    *out = f;
    return EMD_OK;
}

/* --- writing ----------------------------------------------------------------------------------*/

/* The kept run of experiment e on which z lies, or NULL. */
static const struct emd_blank_run *run_of(const struct emd_blank_experiment *e, double z)
{
    for (const struct emd_blank_run *run = e->runs; run < e->runs + e->run_count; run++)
        if (run->kept && z >= (double)(run->first - 1) && z < (double)run->last)
            return run;
    return NULL;
}

/* New id and image set of every row that belongs to an experiment; f->expt is the new list. */
static void place_rows(struct emd_blankfilter *f, int32_t *id, int32_t *imageset)
{
    size_t n = f->report.experiment_count;
    f->report.kept_rows = 0;
    for (size_t i = 0; i < f->rows; i++)
        id[i] = EMD_REFL_DROP;
    for (size_t e = 0; e < n; e++) {
        for (size_t k = f->begin[e]; k < f->begin[e + 1]; k++) {
            uint32_t row = f->order[k];
            const struct emd_blank_run *run = run_of(&f->report.experiments[e], f->z[row]);
            if (!run)
                continue;
            id[row] = (int32_t)run->experiment;
            imageset[row] = emd_expt_info(f->expt, run->experiment)->imageset;
            f->report.kept_rows++;
        }
    }
}

/* The same for unindexed spots, which need the experiments of their image set. 'sets' are the old
 * image sets of the experiments. */
static void place_unindexed(struct emd_blankfilter *f, const int *sets, int32_t *id,
                            int32_t *imageset)
{
    size_t n = f->report.experiment_count;
    for (size_t e = 0; e < n; e++) {
        size_t bucket = n + (size_t)(sets[e] < 0 ? 0 : sets[e]);
        if (sets[e] < 0 && n > 1)
            continue;
        for (size_t k = f->begin[bucket]; k < f->begin[bucket + 1]; k++) {
            uint32_t row = f->order[k];
            const struct emd_blank_run *run =
                id[row] == EMD_REFL_DROP ? run_of(&f->report.experiments[e], f->z[row]) : NULL;
            if (!run)
                continue;
            id[row] = -1;
            imageset[row] = emd_expt_info(f->expt, run->experiment)->imageset;
            f->report.kept_rows++;
        }
    }
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static enum emd_status write_pair(struct emd_blankfilter *f,
                                  const struct emd_refl_selection *selection,
                                  struct emd_safefile *const files[2], struct emd_error *err)
{
    char *text = NULL;
    size_t length = 0;
    enum emd_status status = emd_expt_text(f->expt, &text, &length, err);
    if (status == EMD_OK && emd_pwrite_all(emd_safefile_fd(files[0]), text, length, 0) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write");
    free(text);
    if (status != EMD_OK)
        return emd_fail_prefix(err, status, "%s", emd_safefile_path(files[0]));
    status = emd_refl_write(f->refl, selection, emd_safefile_fd(files[1]),
                            emd_ends_with(emd_safefile_path(files[1]), ".gz"), f->pool, err);
    if (status != EMD_OK)
        emd_fail_prefix(err, status, "%s", f->refl_path);
    return status;
}

enum emd_status emd_blankfilter_write(struct emd_blankfilter *f, const char *expt, const char *refl,
                                      struct emd_error *err)
{
    size_t n = f->report.experiment_count, kept = f->report.kept;
    if (kept == 0)
        return emd_fail(err, EMD_E_EMPTY, "all images are blank");
    if (same_file(expt, f->expt_path) || same_file(expt, f->refl_path) ||
        same_file(refl, f->expt_path) || same_file(refl, f->refl_path))
        return emd_fail(err, EMD_E_ARGUMENT, "the output must not replace the input");
    if (strcmp(expt, refl) == 0 || same_file(expt, refl))
        return emd_fail(err, EMD_E_ARGUMENT, "both outputs are the same file");

    struct emd_expt_slice *slices = calloc(kept, sizeof *slices);
    struct emd_refl_identifier *names = calloc(kept, sizeof *names);
    int *sets = calloc(n, sizeof *sets);
    int32_t *id = emd_memory_new((f->rows + 1) * sizeof *id);
    int32_t *imageset = emd_memory_new((f->rows + 1) * sizeof *imageset);
    struct emd_safefile *files[2] = {NULL, NULL};
    enum emd_status status = EMD_OK;
    if (!slices || !names || !sets || !id || !imageset) {
        status = no_memory(err);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        const struct emd_blank_experiment *e = &f->report.experiments[i];
        sets[i] = emd_expt_info(f->expt, i)->imageset;
        for (const struct emd_blank_run *run = e->runs; run < e->runs + e->run_count; run++) {
            if (!run->kept)
                continue;
            slices[run->experiment] = (struct emd_expt_slice){
                .index = i, .first = run->first, .last = run->last, .identifier = run->identifier};
            names[run->experiment].id = run->experiment;
            names[run->experiment].text = run->identifier;
        }
    }
    status = emd_expt_select(f->expt, slices, kept, err);
    if (status != EMD_OK) {
        emd_fail_prefix(err, status, "%s", f->expt_path);
        goto out;
    }
    place_rows(f, id, imageset);
    place_unindexed(f, sets, id, imageset);
    struct emd_refl_selection selection = {.id = id,
                                           .imageset = f->has_imageset ? imageset : NULL,
                                           .kept = f->report.kept_rows,
                                           .identifiers = names,
                                           .identifier_count = kept,
                                           .cancelled = f->options.cancelled,
                                           .ctx = f->options.ctx};
    status = emd_safefile_create(expt, &files[0], err);
    if (status == EMD_OK)
        status = emd_safefile_create(refl, &files[1], err);
    if (status == EMD_OK)
        status = write_pair(f, &selection, files, err);
    if (status == EMD_OK) {
        status = emd_safefile_commit(files, 2, true, err);
        files[0] = files[1] = NULL;
    }
out:
    emd_safefile_discard(files[0]);
    emd_safefile_discard(files[1]);
    free(imageset);
    free(id);
    free(sets);
    free(names);
    free(slices);
    return status;
}
