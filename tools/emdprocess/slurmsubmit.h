/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* --submit slurm: the crystals as one job array (more where Slurm's limit asks for it). What a task
 * does is 'emdprocess --one CRYSTAL'; queueing, placement and limits are Slurm's. */
#ifndef EMD_TOOLS_SLURMSUBMIT_H
#define EMD_TOOLS_SLURMSUBMIT_H

#include "emdprocess/emdprocess.h"

struct slurm_options {
    const char *template_path; /* NULL: the shipped one */
    struct emd_words sbatch;   /* more options for sbatch */
    struct emd_words command;  /* emdprocess and what each task needs of our options */
    bool dry_run;
};

/* Submits all tasks; the exit code. */
int slurm_submit(const struct process_options *options, const struct slurm_options *slurm,
                 struct process_task *const tasks[], size_t count);

#endif
