/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* One crystal in one trial: what is done, what comes next, how it ended. Knows nothing of cores and
 * waiting; the conductor asks it for the next stage and tells it how that ended. */
#ifndef EMD_TOOLS_TRIALJOB_H
#define EMD_TOOLS_TRIALJOB_H

#include "base/lockfile.h"
#include "emdprocess/emdprocess.h"
#include "emdprocess/geometry.h"
#include "process/runcommand.h"
#include "process/stageplan.h"
#include "process/stagerecord.h"

enum job_state {
    JOB_READY,     /* 'stage' is to be started */
    JOB_RUNNING,   /* it is */
    JOB_DONE,      /* all stages, some of them just now */
    JOB_UNCHANGED, /* all stages, nothing was to do */
    JOB_FAILED,
    JOB_NOT_READY, /* busy, or waits for something that another run makes */
    JOB_STOPPED    /* on request */
};

/* What became of a stage in this run. */
enum job_stage { STAGE_OPEN, STAGE_FINE, STAGE_LOST /* failed, or waits for one that did */ };

/* Why a running stage is being ended. */
enum job_end {
    END_NONE,
    END_STOP,
    END_TIME,
    END_MEMORY,
    END_CROWDED, /* to be tried alone */
    END_LOST     /* another emdprocess has the trial: nothing of it is touched any more */
};

struct trial_job {
    const struct process_options *options;
    struct process_task *task;
    char *folder; /* CRYSTAL/TRIAL */
    struct emd_recipe recipe;
    struct geometry geometry;
    struct emd_stageplan plan;
    struct emd_record *record;
    struct emd_lockfile *lock;
    enum job_state state;
    size_t stage;   /* index into the plan */
    size_t attempt; /* of its alternatives */
    enum job_stage *fate;
    size_t stages_run; /* in this run */
    bool alone;        /* its memory needs the whole machine */

    /* while JOB_RUNNING */
    struct emd_run run;
    double begun, stage_begun, peak_bytes, bytes;
    enum job_end ending;
    double end_asked;
    long log_from; /* where the attempt's output begins */

    /* the failure that counts */
    char failed_stage[64], reason[256], log[300];
};

/* Reads recipe and settings of a crystal, or of a merged set. The caller frees *recipe in any case.
 */
enum emd_status job_settings(const struct process_options *options, const char *crystal,
                             struct emd_recipe *recipe, struct emd_error *err);

/* Makes the plan of a crystal: reads recipe and settings. The caller closes the job in any case. */
enum emd_status job_plan(const struct process_options *options, struct process_task *task,
                         unsigned nproc, struct trial_job *job, struct emd_error *err);

/* Claims the crystal's folder, locks the trial, reads its record and moves on to the first stage
 * that must run. job->state says what came of it. */
void job_open(struct trial_job *job);

/* For looking only: reads the record, without a lock. */
enum emd_status job_look(struct trial_job *job, struct emd_error *err);

/* Results in the trial's folder that emdprocess did not make: of the laboratory's scripts, say.
 * They are never overwritten; --force moves them aside. */
enum job_foreign {
    FOREIGN_NONE,
    FOREIGN_PART, /* not to the end */
    FOREIGN_WHOLE /* all that the recipe would make in the end */
};

/* 'text': one sentence about them, with what helps. */
enum job_foreign job_foreign(const struct trial_job *job, char text[static 512]);

/* Another process works on the trial. */
bool job_is_locked(const struct trial_job *job);

/* Starts the stage (JOB_READY). On failure the job has moved on or ended. */
void job_start(struct trial_job *job);

/* The command of the stage has ended; moves on. */
void job_ended(struct trial_job *job);

/* Asks the running stage to end. */
void job_end(struct trial_job *job, enum job_end why);

/* Another emdprocess has the trial's lock: the running stage is ended and leaves no trace. */
void job_lost(struct trial_job *job);

void job_close(struct trial_job *job);

/* The stage is among those of --stage. */
bool job_selects(const struct process_options *options, const char *stage);

/* Seconds of the monotonic clock. */
double job_now(void);

#endif
