/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/listrows.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/pool.h"

/* Reading a crystal takes some 50 us warm; a thread is worth it for a few dozen of them. More than
 * eight only fight over the directory locks of one file system. */
enum { CRYSTALS_A_THREAD = 32, THREADS_MAX = 8 };

const char *emd_list_method_name(enum emd_resolution_method method)
{
    static const char *const names[] = {"shell", "linear", "fit"};
    return names[method];
}

const char *emd_list_outcome_name(enum emd_outcome outcome)
{
    static const char *const names[] = {"good", "failed", "unfinished"};
    return names[outcome];
}

const char *emd_list_row_symmetry(const struct emd_list_row *row, enum emd_symmetry_from from)
{
    const struct emd_trial *t = row->trial;
    const char *first = t->symmetry[0] ? t->symmetry : t->cosym;
    const char *preferred = from == EMD_SYMMETRY_COSYM         ? t->cosym
                            : from == EMD_SYMMETRY_SPACE_GROUP ? t->space_group
                                                               : first;
    return preferred[0] ? preferred : first;
}

const char *emd_list_row_note(const struct emd_list_row *row,
                              char buffer[static EMD_LIST_NOTE_SIZE])
{
    /* Half of the reflections or more were measured once and are in no pair. */
    const double least = 1.5;
    const struct emd_merge_table *table = &row->trial->table;
    const double m = table->has_overall ? table->overall.value[EMD_SHELL_MULTIPLICITY] : NAN;
    const char *few = m < least ? "low multiplicity: CC1/2 is of few pairs" : "";
    const char *warning = row->trial->warning;
    if (!few[0] || !warning[0])
        return few[0] ? few : warning;
    snprintf(buffer, EMD_LIST_NOTE_SIZE, "%s; %s", few, warning);
    return buffer;
}

struct reader {
    const struct emd_trial_list *list;
    const struct emd_list_settings *settings;
    struct emd_trial *trials;
    int rootfd;
};

static enum emd_status read_trial(void *ctx, size_t job, unsigned slot, unsigned thread,
                                  struct emd_error *err)
{
    struct reader *r = ctx;
    (void)slot, (void)thread;
    return emd_trial_read(r->rootfd, r->list->paths[job], r->settings->trial, r->settings->what,
                          &r->trials[job], err);
}

static enum emd_status read_all(struct reader *r, struct emd_error *err)
{
    const size_t count = r->list->count, worthwhile = 1 + count / CRYSTALS_A_THREAD;
    unsigned threads = emd_cpu_count() < THREADS_MAX ? emd_cpu_count() : THREADS_MAX;
    if (threads > worthwhile)
        threads = (unsigned)worthwhile;
    struct emd_pool *pool = emd_pool_new(threads);
    if (!pool)
        return emd_fail(err, EMD_E_MEMORY, "cannot start threads");
    const struct emd_pool_run run = {.count = count,
                                     .threads = threads,
                                     .slots = threads * CRYSTALS_A_THREAD,
                                     .ctx = r,
                                     .work = read_trial};
    enum emd_status status = emd_pool_run(pool, &run, err);
    emd_pool_free(pool);
    return status;
}

/* One row a crystal; a trial without a cell has one row as well. */
static enum emd_status make_rows(const struct emd_list_settings *settings,
                                 struct emd_list_rows *rows, struct emd_error *err)
{
    size_t total = 1; /* room for one more: never an empty allocation */
    for (size_t i = 0; i < rows->trial_count; i++)
        total += rows->trials[i].cells.count ? rows->trials[i].cells.count : 1;
    rows->rows = total < SIZE_MAX / sizeof *rows->rows ? malloc(total * sizeof *rows->rows) : NULL;
    if (!rows->rows)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu crystals", total);
    for (size_t i = 0; i < rows->trial_count; i++) {
        const struct emd_trial *trial = &rows->trials[i];
        bool good = trial->outcome == EMD_OUTCOME_GOOD;
        if (settings->good_only && !good) {
            rows->hidden++;
            continue;
        }
        size_t crystals = trial->cells.count ? trial->cells.count : 1;
        double resolution = good ? emd_resolution(&trial->table, settings->method, settings->limit,
                                                  emd_fit_rule_of(trial->version))
                                 : NAN;
        for (size_t c = 0; c < crystals; c++)
            rows->rows[rows->count++] =
                (struct emd_list_row){.trial = trial,
                                      .cell = trial->cells.count ? &trial->cells.items[c] : NULL,
                                      .crystal = c + 1,
                                      .crystals = crystals,
                                      .resolution = resolution,
                                      .ratio = rows->ratios ? rows->ratios[i] : NAN};
    }
    return EMD_OK;
}

/* Every cell's place among the lattices of the list. */
static enum emd_status group_lattices(struct emd_list_rows *rows, struct emd_error *err)
{
    const struct emd_cell **cells = calloc(rows->count + 1, sizeof *cells);
    struct emd_lattice_place *places = calloc(rows->count + 1, sizeof *places);
    enum emd_status status =
        cells && places ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < rows->count && status == EMD_OK; i++)
        cells[i] = rows->rows[i].cell;
    if (status == EMD_OK)
        status = emd_lattice_group(cells, rows->count, places, &rows->lattice, err);
    for (size_t i = 0; i < rows->count && status == EMD_OK; i++)
        rows->rows[i].place = places[i];
    free(places);
    free(cells);
    return status;
}

enum emd_status emd_list_rows_read(const struct emd_list_settings *settings,
                                   struct emd_list_rows *rows, struct emd_error *err)
{
    struct emd_trial_list list;
    *rows = (struct emd_list_rows){0};
    enum emd_status status = emd_trials_find(settings->folder, settings->trial, &list, err);
    if (status != EMD_OK)
        return status;
    rows->unreadable = list.unreadable;
    memcpy(rows->first_unreadable, list.first_unreadable, sizeof rows->first_unreadable);
    struct reader r = {.list = &list, .settings = settings};
    r.rootfd = open(settings->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r.rootfd < 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot open the folder");
        goto out;
    }
    rows->trials = calloc(list.count ? list.count : 1, sizeof *rows->trials);
    if (!rows->trials) {
        status = emd_fail(err, EMD_E_MEMORY, "no memory for %zu crystals", list.count);
        goto out;
    }
    rows->trial_count = list.count;
    r.trials = rows->trials;
    if ((status = read_all(&r, err)) != EMD_OK)
        goto out;
    if (settings->want_ratio && settings->ratio) {
        rows->ratios = malloc((list.count ? list.count : 1) * sizeof *rows->ratios);
        if (!rows->ratios) {
            status = emd_fail(err, EMD_E_MEMORY, "no memory for %zu crystals", list.count);
            goto out;
        }
        for (size_t i = 0; i < list.count; i++)
            rows->ratios[i] = settings->ratio(rows->trials[i].image);
    }
    status = make_rows(settings, rows, err);
    if (status == EMD_OK && settings->want_lattice)
        status = group_lattices(rows, err);
out:
    if (r.rootfd >= 0)
        close(r.rootfd);
    emd_trial_list_free(&list);
    if (status != EMD_OK)
        emd_list_rows_free(rows);
    return status;
}

void emd_list_rows_free(struct emd_list_rows *rows)
{
    for (size_t i = 0; i < rows->trial_count; i++)
        emd_trial_free(&rows->trials[i]);
    free(rows->trials);
    free(rows->ratios);
    free(rows->rows);
    *rows = (struct emd_list_rows){0};
}
