/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* TRIAL/emdprocess.json: what was done in a trial's folder, from which files, with which commands,
 * and how it ended. A stage counts as done only if this file says so and everything still fits, so
 * that no crash, no copy and no change of a parameter can pass off old results as new ones.
 *
 * A file is known by its size and time of change or, where the time differs, by a hash of its
 * content: a project that was copied to another machine is not processed again. Of files beyond 64
 * MiB samples are hashed.
 *
 * Threads: a record belongs to one thread. Processes: who writes a record has locked the
 * trial's folder; anybody may read it. */
#ifndef EMD_PROCESS_STAGERECORD_H
#define EMD_PROCESS_STAGERECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "process/stageplan.h"

#define EMD_RECORD_NAME "emdprocess.json"

struct emd_record;
struct json_object;

/* Reads the record of the trial in 'folder'; one that is missing or damaged is empty, and nothing
 * counts as done. The caller frees it. */
enum emd_status emd_record_open(const char *folder, struct emd_record **record,
                                struct emd_error *err);
void emd_record_free(struct emd_record *record);

/* The file as it was read could not be understood. */
bool emd_record_damaged(const struct emd_record *record);

/* Puts the stages in the plan's order and forgets those that the plan does not have. */
enum emd_status emd_record_arrange(struct emd_record *record, const struct emd_stageplan *plan,
                                   struct emd_error *err);

/* A fact about the trial as a whole: "recipe", "movie", ...; the value is copied. */
enum emd_status emd_record_set(struct emd_record *record, const char *key, const char *value,
                               struct emd_error *err);

/* The same for an object of facts, of which the record takes the reference; NULL removes it. */
void emd_record_set_object(struct emd_record *record, const char *key, struct json_object *value);
/* Valid until the record changes; NULL if there is none. */
struct json_object *emd_record_object(const struct emd_record *record, const char *key);

/* Writes the file, complete or not at all. */
enum emd_status emd_record_write(struct emd_record *record, struct emd_error *err);

enum emd_verdict {
    EMD_VERDICT_TODO,
    EMD_VERDICT_DONE,
    EMD_VERDICT_FAILED /* the same command failed with the same inputs, and would again */
};

/* Must this stage run? 'why' says, unless it is done: "it never ran", "indexed.expt has changed",
 * or the reason of the failure. */
enum emd_verdict emd_record_judge(const struct emd_record *record,
                                  const struct emd_plan_stage *stage, char why[static 256]);

/* The state as the file has it ("" if it has none): running, done, failed, stopped; and the reason.
 * Valid until the record changes. */
const char *emd_record_state(const struct emd_record *record, const char *stage);
const char *emd_record_reason(const struct emd_record *record, const char *stage);

/* The stage begins: its inputs are looked at and its state is "running". EMD_E_EMPTY: an input is
 * not there; the text names it. */
enum emd_status emd_record_begin(struct emd_record *record, const struct emd_plan_stage *stage,
                                 struct emd_error *err);

struct emd_stage_result {
    enum {
        EMD_STAGE_DONE,
        EMD_STAGE_FAILED, /* would fail again */
        EMD_STAGE_BROKEN, /* a time limit, a signal, a full disk: may go well the next time */
        EMD_STAGE_STOPPED /* on request */
    } state;
    size_t tried;           /* the command that ended it: an index into the stage's commands */
    const char *ending;     /* "exit code 1", "signal 9 (Killed)" */
    const char *reason;     /* "" if done */
    const char *last_lines; /* of its output, with line ends */
    const char *dials;      /* version, "" if unknown */
    double seconds, cpu_seconds;
    double peak_bytes;
};

/* The stage has ended. EMD_E_CHANGED: an input changed while it was read; the stage is recorded as
 * broken off. EMD_E_EMPTY: it is done but an output is not there; likewise. */
enum emd_status emd_record_end(struct emd_record *record, const struct emd_plan_stage *stage,
                               const struct emd_stage_result *result, struct emd_error *err);

/* Is 'name' in 'folder' an output of a stage that has not finished, or of one that comes after such
 * a stage and will run again? By the record there; false where there is none or it does not know
 * the file. 'failure' is "find_spots: the reason" if it will not come because that stage failed,
 * else "". */
bool emd_record_unfinished(const char *folder, const char *name, char failure[static 256]);

#endif
