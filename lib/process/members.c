/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/members.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dials/listselect.h"
#include "process/recipe.h"

static enum emd_status out_of_memory(struct emd_error *err)
{
    return emd_fail(err, EMD_E_MEMORY, "out of memory");
}

static bool is_listed(const struct emd_words *words, const char *name)
{
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->word[i], name) == 0)
            return true;
    return false;
}

/* The first file that a crystal does not have, or NULL. */
static const char *missing_file(const struct emd_members_request *request, const char *crystal)
{
    for (size_t i = 0; i < request->files->count; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s/%s", request->project, crystal, request->files->word[i]) < 0)
            return request->files->word[i];
        const bool there = access(path, R_OK) == 0;
        free(path);
        if (!there)
            return request->files->word[i];
    }
    return NULL;
}

/* Is the crystal taken because of this row? Else the reason. */
static bool judge(const struct emd_members_request *request, const struct emd_select *select,
                  const struct emd_list_settings *settings, const struct emd_list_row *row,
                  struct emd_member *m)
{
    const struct emd_trial *t = row->trial;
    char why[256];
    const char *missing;
    if (request->crystals->count > 0 && !is_listed(request->crystals, m->crystal)) {
        snprintf(m->reason, sizeof m->reason, "not in the list of crystals");
        return false;
    }
    if (t->outcome != EMD_OUTCOME_GOOD) {
        snprintf(m->reason, sizeof m->reason, "%s at %s: %.200s", emd_list_outcome_name(t->outcome),
                 emd_stage_name(t->stage), t->reason);
        return false;
    }
    if ((missing = missing_file(request, m->crystal))) {
        snprintf(m->reason, sizeof m->reason, "there is no %.200s", missing);
        return false;
    }
    if (select && !emd_list_row_matches(row, select, settings, why)) {
        const double *c = row->place.reduced;
        if (strncmp(why, "cluster ", 8) == 0 && row->place.cluster > 0)
            snprintf(m->reason, sizeof m->reason,
                     "%.150s (another lattice: %.3f %.3f %.3f %.2f %.2f %.2f)", why, c[0], c[1],
                     c[2], c[3], c[4], c[5]);
        else
            snprintf(m->reason, sizeof m->reason, "%s", why);
        return false;
    }
    m->reason[0] = '\0';
    return true;
}

/* The crystal's folder: the path of the trial without its last component; "" if it has none. */
static char *crystal_of(const struct emd_trial *trial)
{
    const char *slash = strrchr(trial->path, '/');
    return strndup(trial->path, slash ? (size_t)(slash - trial->path) : 0);
}

static enum emd_status add_member(struct emd_members *members, const struct emd_list_row *row,
                                  struct emd_member **out, struct emd_error *err)
{
    struct emd_member *m = &members->member[members->count];
    *m = (struct emd_member){.crystal = crystal_of(row->trial), .row = row};
    if (!m->crystal)
        return out_of_memory(err);
    /* What merged sets are made of are no merged sets. */
    if (m->crystal[0] == '\0' || strcmp(m->crystal, EMD_MERGED) == 0 ||
        strncmp(m->crystal, EMD_MERGED "/", sizeof EMD_MERGED) == 0) {
        free(m->crystal);
        *out = NULL;
        return EMD_OK;
    }
    members->count++;
    *out = m;
    return EMD_OK;
}

enum emd_status emd_members_select(const struct emd_members_request *request,
                                   struct emd_members *members, struct emd_error *err)
{
    struct emd_select *select = NULL;
    struct emd_list_settings *s = &members->settings;
    const bool chosen = request->crystals->count > 0;
    enum emd_status status = EMD_OK;
    *members = (struct emd_members){0};
    *s = (struct emd_list_settings){.folder = request->project,
                                    .trial = request->trial,
                                    .limit = 0.3,
                                    .what = EMD_TRIAL_FRAMES,
                                    .want_lattice = true};
    if (request->expression[0] && !chosen) {
        status = emd_list_select_parse(request->expression, s, &select, err);
        if (status != EMD_OK)
            return emd_fail_prefix(err, status, "select");
    }
    status = emd_list_rows_read(s, &members->rows, err);
    if (status == EMD_OK &&
        !(members->member = calloc(members->rows.count + 1, sizeof *members->member)))
        status = out_of_memory(err);
    struct emd_member *m = NULL;
    const struct emd_list_rows *rows = &members->rows;
    for (size_t i = 0; i < rows->count && status == EMD_OK; i++) {
        const struct emd_list_row *row = &rows->rows[i];
        const bool same = i > 0 && rows->rows[i - 1].trial == row->trial;
        if (!same)
            status = add_member(members, row, &m, err);
        if (status != EMD_OK || !m || m->taken)
            continue;
        char before[sizeof m->reason];
        memcpy(before, m->reason, sizeof before);
        m->taken = judge(request, select, s, row, m);
        if (m->taken) {
            m->row = row;
            members->taken++;
            status = emd_words_add(&members->folders, m->crystal, err);
        } else if (same) { /* the reason is that of the first lattice */
            memcpy(m->reason, before, sizeof before);
        }
    }
    for (size_t k = 0; k < request->crystals->count && status == EMD_OK; k++) {
        bool found = false;
        for (size_t i = 0; i < members->count && !found; i++)
            found = strcmp(members->member[i].crystal, request->crystals->word[k]) == 0;
        if (!found)
            status = emd_fail(err, EMD_E_ARGUMENT, "'%s' is no crystal with the trial %s",
                              request->crystals->word[k], request->trial);
    }
    emd_select_free(select);
    return status;
}

void emd_members_free(struct emd_members *members)
{
    for (size_t i = 0; i < members->count; i++)
        free(members->member[i].crystal);
    free(members->member);
    emd_list_rows_free(&members->rows);
    emd_words_free(&members->folders);
    *members = (struct emd_members){0};
}

/* A field of the table: no tab and no line end can stand in it. */
static void put_field(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
}

char *emd_members_table(const struct emd_members *members)
{
    static const enum emd_list_column_id columns[] = {
        EMD_LIST_RESOLUTION, EMD_LIST_CC_HALF, EMD_LIST_COMPLETENESS, EMD_LIST_MULTIPLICITY,
        EMD_LIST_KEPT,       EMD_LIST_IMAGES,  EMD_LIST_CLUSTER,      EMD_LIST_REDUCED};
    const size_t count = sizeof columns / sizeof *columns;
    char *text = NULL, buffer[EMD_LIST_BUFFER];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fputs("crystal\tused\treason", out);
    for (size_t c = 0; c < count; c++)
        fprintf(out, "\t%s", emd_list_column(columns[c])->key);
    fputc('\n', out);
    for (size_t i = 0; i < members->count; i++) {
        const struct emd_member *m = &members->member[i];
        put_field(out, m->crystal);
        fprintf(out, "\t%s\t", m->taken ? "yes" : "no");
        put_field(out, m->reason);
        for (size_t c = 0; c < count; c++) {
            fputc('\t', out);
            put_field(out, emd_list_text(m->row, columns[c], &members->settings, buffer));
        }
        fputc('\n', out);
    }
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
