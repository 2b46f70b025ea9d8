/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/merging.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/safefile.h"
#include "common/jsontext.h"
#include "common/message.h"
#include "dials/listcolumns.h"
#include "dials/textfile.h"
#include "process/stageplan.h"

static const char *value_of(const struct emd_recipe *recipe, const char *name)
{
    const struct emd_recipe_variable *v = emd_recipe_variable(recipe, name);
    return v ? v->value : "";
}

/* "A, B C": A, B and C. */
static enum emd_status split_names(const char *text, struct emd_words *words, struct emd_error *err)
{
    static const char blanks[] = " \t,";
    enum emd_status status = EMD_OK;
    while (*(text += strspn(text, blanks)) && status == EMD_OK) {
        const size_t n = strcspn(text, blanks);
        char *name = strndup(text, n);
        status =
            name ? emd_words_add(words, name, err) : emd_fail(err, EMD_E_MEMORY, "out of memory");
        free(name);
        text += n;
    }
    return status;
}

enum emd_status merging_make(const struct process_options *options, struct merging *m,
                             struct emd_error *err)
{
    static char name[] = EMD_MERGED, no_movie[] = "";
    *m = (struct merging){.crystal = {.name = name, .movie = no_movie}};
    m->task = (struct process_task){.crystal = &m->crystal, .trouble = ""};
    const struct emd_plan_facts facts = {
        .movie = "", .crystal = EMD_MERGED, .trial = options->trial, .nproc = 1};
    enum emd_status status = job_settings(options, EMD_MERGED, &m->recipe, err);
    if (status == EMD_OK)
        status = emd_stageplan_trials(&m->recipe, &facts, &m->trial, err);
    if (status == EMD_OK && !emd_trial_name_valid(m->trial))
        status = emd_fail(err, EMD_E_ARGUMENT, "'%s' is no name of a trial", m->trial);
    if (status == EMD_OK)
        status = emd_stageplan_member_files(&m->recipe, &facts, &m->files, err);
    if (status == EMD_OK)
        status = split_names(value_of(&m->recipe, MERGING_CRYSTALS), &m->crystals, err);
    const struct emd_members_request request = {.project = ".",
                                                .trial = m->trial,
                                                .expression = value_of(&m->recipe, MERGING_SELECT),
                                                .crystals = &m->crystals,
                                                .files = &m->files};
    if (status == EMD_OK)
        status = emd_members_select(&request, &m->members, err);
    if (status != EMD_OK)
        return status;
    m->task.members = &m->members;
    if (m->members.taken == 0) {
        char *text = m->task.geometry_trouble;
        const size_t size = sizeof m->task.geometry_trouble;
        if (m->members.count > 0)
            snprintf(text, size,
                     "no crystal is selected: all %zu with the trial %.100s are left out",
                     m->members.count, m->trial);
        else
            snprintf(text, size, "no crystal has the trial %.100s: process the crystals first",
                     m->trial);
        m->task.trouble = text;
        m->task.not_ready = true;
    }
    return EMD_OK;
}

void merging_free(struct merging *m)
{
    emd_members_free(&m->members);
    emd_recipe_free(&m->recipe);
    emd_words_free(&m->crystals);
    emd_words_free(&m->files);
    free(m->trial);
    *m = (struct merging){0};
}

/* ---- the record ------------------------------------------------------------------------------ */

#define SELECTION_NAME "selection.tsv"

static struct json_object *selection_object(const struct trial_job *job)
{
    const struct emd_members *members = job->task->members;
    struct json_object *o = json_object_new_object(), *used = json_object_new_array(),
                       *left = json_object_new_array();
    for (size_t i = 0; i < members->count; i++) {
        const struct emd_member *m = &members->member[i];
        if (m->taken) {
            json_object_array_add(used, emd_json_text(m->crystal));
            continue;
        }
        struct json_object *out = json_object_new_object();
        json_object_object_add(out, "crystal", emd_json_text(m->crystal));
        json_object_object_add(out, "reason", emd_json_text(m->reason));
        json_object_array_add(left, out);
    }
    json_object_object_add(o, "trial", emd_json_text(members->settings.trial));
    json_object_object_add(o, "select", emd_json_text(value_of(&job->recipe, MERGING_SELECT)));
    json_object_object_add(o, "crystals", used);
    json_object_object_add(o, "left_out", left);
    return o;
}

static enum emd_status write_table(const char *path, const char *table, struct emd_error *err)
{
    struct emd_safefile *file = NULL;
    enum emd_status status = emd_safefile_create(path, &file, err);
    if (status != EMD_OK)
        return status;
    if (emd_pwrite_all(emd_safefile_fd(file), table, strlen(table), 0) != 0) {
        emd_safefile_discard(file);
        return emd_fail(err, EMD_E_IO, "cannot write %s", path);
    }
    return emd_safefile_commit(&file, 1, true, err);
}

enum emd_status merging_note(struct trial_job *job, struct emd_error *err)
{
    struct json_object *now = selection_object(job),
                       *before = emd_record_object(job->record, "selection");
    struct emd_textfile file = {0};
    char *table = emd_members_table(job->task->members), *path = NULL;
    enum emd_status status = EMD_OK;
    if (!table || asprintf(&path, "%s/" SELECTION_NAME, job->folder) < 0) {
        json_object_put(now);
        free(table);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    const bool same = emd_textfile_read(&file, AT_FDCWD, path, NULL) == EMD_OK && file.text &&
                      strcmp(file.text, table) == 0;
    if (!same)
        status = write_table(path, table, err);
    if (before && json_object_equal(before, now)) {
        json_object_put(now);
    } else {
        emd_record_set_object(job->record, "selection", now);
        if (status == EMD_OK)
            status = emd_record_write(job->record, err);
    }
    emd_textfile_free(&file);
    free(table);
    free(path);
    return status;
}

/* ---- for people ------------------------------------------------------------------------------ */

void merging_print(const struct emd_members *members)
{
    printf("           %zu of %zu crystals", members->taken, members->count);
    for (size_t i = 0, n = 0; i < members->count; i++)
        if (members->member[i].taken) {
            fputs(n++ ? ", " : ": ", stdout);
            emd_print_text(members->member[i].crystal);
        }
    putchar('\n');
    for (size_t i = 0; i < members->count; i++)
        if (!members->member[i].taken) {
            fputs("           left out: ", stdout);
            emd_print_text(members->member[i].crystal);
            fputs(": ", stdout);
            emd_print_text(members->member[i].reason);
            putchar('\n');
        }
}
