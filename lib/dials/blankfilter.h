/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Blank images removed from a pair of DIALS files: the library behind emdblanks.
 *
 * emd_blankfilter_analyse reads both files and finds, experiment by experiment, which images are
 * blank and which runs of images to keep; emd_blankfilter_write writes the two files with these.
 *
 * Rules:
 *   - Rows belong to experiments by the identifiers of the table, or by number where it has none.
 *   - An image is blank if one analysis calls it so: of the strong spots, of the indexed ones that
 *     are no centroid outliers, of I/sigma of the integrated ones (blanks.h), of the per-frame
 *     statistics if given. An analysis without rows says nothing; an experiment without rows
 *     within its scan is all blank.
 *   - Unindexed spots (id -1) count as strong spots of the experiment to which their image set
 *     belongs alone, and stay if their image does in any experiment of their image set.
 *   - I/sigma is that of reflections with a finite intensity and a positive variance.
 *   - A row stays if the z of xyzobs.px.value lies within a kept run: first - 1 <= z < last.
 *   - The first kept run of an experiment keeps its identifier, others get one derived from it and
 *     their images: the same input always gives the same files. */
#ifndef EMD_DIALS_BLANKFILTER_H
#define EMD_DIALS_BLANKFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "dials/blanks.h"

enum emd_blank_method {
    EMD_METHOD_DIALS, /* the three analyses of DIALS */
    EMD_METHOD_ROBUST /* emd_blanks_robust of the strong spots in their place, if there are any */
};

enum emd_blank_keep { EMD_KEEP_LONGEST, EMD_KEEP_ALL };

struct emd_blankfilter_options {
    double phi_step;     /* degrees, > 0 */
    double counts_loss;  /* 0 .. 1 */
    double misigma_loss; /* 0 .. 1 */
    enum emd_blank_method method;
    enum emd_blank_keep keep;
    long min_images;              /* shorter runs are dropped; at least 1 */
    long min_reflections;         /* runs with fewer rows are dropped */
    const char *frames;           /* path of a frames.tsv, or NULL */
    bool (*cancelled)(void *ctx); /* asked while the table is written; may be NULL */
    void *ctx;
};

/* The defaults of DIALS: 2 degrees, 0.1, 0.1, longest, no minimum. */
void emd_blankfilter_defaults(struct emd_blankfilter_options *options);

enum emd_blank_analysis {
    EMD_BLANK_STRONG,
    EMD_BLANK_INDEXED,
    EMD_BLANK_INTEGRATED,
    EMD_BLANK_ROBUST, /* of the strong spots again */
    EMD_BLANK_FRAMES,
    EMD_BLANK_ANALYSES
};

/* "strong", "indexed", ... */
const char *emd_blank_analysis_name(enum emd_blank_analysis analysis);

struct emd_blank_run {
    long first, last; /* image numbers */
    uint64_t rows;    /* reflections on them */
    bool kept;
    size_t experiment;      /* its number in the result, if kept */
    const char *identifier; /* in the result, if kept */
};

struct emd_blank_experiment {
    const char *identifier;
    long first, last;                             /* images of the scan */
    double start, width;                          /* oscillation, degrees */
    uint64_t rows;                                /* of this experiment */
    uint64_t outside;                             /* of these, not within the scan */
    uint64_t unusable;                            /* integrated, but without I/sigma */
    bool done[EMD_BLANK_ANALYSES];                /* the analysis had rows, and was asked for */
    uint64_t analysed[EMD_BLANK_ANALYSES];        /* rows, as DIALS counts them */
    struct emd_blanks blanks[EMD_BLANK_ANALYSES]; /* if done */
    size_t run_count;                             /* runs of images that are not blank */
    struct emd_blank_run *runs;
};

struct emd_blank_report {
    size_t experiment_count;
    struct emd_blank_experiment *experiments;
    uint64_t rows, kept_rows; /* of the table */
    uint64_t unindexed;       /* rows with id -1 */
    uint64_t unplaced;        /* of these, without an image set that is known: left out */
    size_t kept;              /* experiments of the result; 0: everything is blank */
    bool gzipped;             /* the table was compressed by gzip */
    bool identifiers_differ;  /* the table's do not name the experiments: taken by number */
};

struct emd_blankfilter;

/* Errors name the file at fault. Where there is no file 'refl' but one with .gz behind its name, as
 * DIALS_USE_GZIP_REFL makes, that is read. The caller frees with emd_blankfilter_free. */
enum emd_status emd_blankfilter_analyse(const char *expt, const char *refl,
                                        const struct emd_blankfilter_options *options,
                                        struct emd_blankfilter **out, struct emd_error *err);
const struct emd_blank_report *emd_blankfilter_report(const struct emd_blankfilter *filter);

/* Writes both files or none, replacing what is there; the table is compressed by gzip if its name
 * ends with ".gz", which is how DIALS tells when it reads. EMD_E_EMPTY: nothing is kept. The inputs
 * must not be named as outputs (EMD_E_ARGUMENT). Once only. */
enum emd_status emd_blankfilter_write(struct emd_blankfilter *filter, const char *expt,
                                      const char *refl, struct emd_error *err);
void emd_blankfilter_free(struct emd_blankfilter *filter);

#endif
