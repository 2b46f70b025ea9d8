/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What became of one crystal in one processing trial, from the folder that DIALS left behind.
 *
 * Layout: WORK/.../CRYSTAL/TRIAL, where TRIAL is one component ("P1") or more ("P1/not_blank": the
 * run after blank images were removed). The merging statistics come from TRIAL; the cell, the
 * symmetry and the name under which the crystal is listed ("CRYSTAL/P1") from TRIAL or, where it
 * has none, from its first component.
 *
 * merged/NAME is a data set of several crystals, made by a recipe of emdprocess: one line with one
 * cell, that of dials.two_theta_refine, called "merged/NAME".
 *
 * Where the folder TRIAL of two components ("P1/not_blank") is not there, its files can stand in
 * the first one under names of their own, as another laboratory's script has them:
 * "dials.scale_not_blank.log", "scaled_not_blank.expt". */
#ifndef EMD_DIALS_TRIAL_H
#define EMD_DIALS_TRIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "dials/dialslog.h"
#include "dials/exptsummary.h"
#include "dials/mergetable.h"

/* The first component of what is a merged set. */
#define EMD_TRIAL_MERGED "merged"

/* The main line of processing. Symmetry analyses are side branches and are no stages here. */
enum emd_stage {
    EMD_STAGE_NONE, /* the folder holds nothing of DIALS */
    EMD_STAGE_IMPORT,
    EMD_STAGE_FIND_SPOTS,
    EMD_STAGE_INDEX,
    EMD_STAGE_REFINE,
    EMD_STAGE_INTEGRATE,
    EMD_STAGE_SCALE,
    EMD_STAGE_BLANKS,  /* only in a TRIAL of more than one component: its input was made */
    EMD_STAGE_RESCALE, /* likewise: scaled in TRIAL itself */
    EMD_STAGES
};

/* "find_spots"; never NULL. */
const char *emd_stage_name(enum emd_stage stage);

enum emd_outcome {
    EMD_OUTCOME_GOOD,      /* has merging statistics */
    EMD_OUTCOME_FAILED,    /* a program said so, or there was nothing to work on */
    EMD_OUTCOME_UNFINISHED /* stopped, running, interrupted, or the movie is incomplete */
};

/* Which files are worth opening. */
enum {
    EMD_TRIAL_SHELLS = 1, /* scaled.json, for exact shells */
    EMD_TRIAL_FRAMES = 2, /* .expt files, for images and the movie's name */
    EMD_TRIAL_COSYM = 4,  /* dials.cosym.log even where there is a dials.symmetry.log */
    EMD_TRIAL_ALL = 7
};

struct emd_trial {
    char *path; /* of the crystal and the first component, relative to the root; bytes as on disk */
    enum emd_stage stage; /* the furthest that was begun; the last of all if 'outcome' is good */
    enum emd_outcome outcome;
    bool not_ready;               /* unfinished: its movie was not complete when it was looked at */
    char reason[256];             /* "" if good */
    struct emd_merge_table table; /* if good */
    struct emd_cells cells;       /* one a crystal; may be empty */
    char symmetry[40], cosym[40]; /* best solutions of the two programs, "" if there is none */
    char space_group[40]; /* that dials.symmetry recommends, by absences; "" if it does not */
    char warning[256];    /* the first that emdprocess recorded of the geometry, or "" */
    char version[40];     /* of DIALS, "" if unknown */
    long images;          /* recorded; 0 if unknown, as without EMD_TRIAL_FRAMES */
    long kept;            /* scaled; 0 if unknown */
    struct emd_image_range recorded;
    struct emd_image_range range[EMD_EXPT_RANGES]; /* kept */
    size_t ranges;
    char image[1024]; /* the movie, as the .expt names it; "" if unknown */
};

/* True for a name that can be looked for: components of at least one byte, none of them "." or
 * "..", not absolute. */
bool emd_trial_name_valid(const char *trial);

/* Relative paths ("20230609_1245/P1", bytes as on disk) of all folders below 'root', at any depth,
 * whose last component is the first one of 'trial', sorted. Symbolic links are followed for that
 * component only. Folders that cannot be read are skipped and counted. The caller frees each path
 * and the list. */
struct emd_trial_list {
    char **paths;
    size_t count, unreadable;
    char first_unreadable[256];
};
enum emd_status emd_trials_find(const char *root, const char *trial, struct emd_trial_list *list,
                                struct emd_error *err);
void emd_trial_list_free(struct emd_trial_list *list);

/* Reads what is known of the crystal at 'path' (from emd_trials_find) below the folder 'rootfd'.
 * Damaged, missing or unreadable files make a crystal that failed or is unfinished, with the
 * reason; an error is returned for lack of memory only. On success the caller frees *out with
 * emd_trial_free. Several threads may read different trials. */
enum emd_status emd_trial_read(int rootfd, const char *path, const char *trial, unsigned what,
                               struct emd_trial *out, struct emd_error *err);

void emd_trial_free(struct emd_trial *trial);

#endif
