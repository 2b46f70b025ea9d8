/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdlist/listcolumns.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct list_column columns[LIST_COLUMNS] = {
    [LIST_PATH] = {"path", "Crystal", "", "folder of the trial", LIST_TEXT, 0, 0},
    [LIST_CRYSTAL] = {"crystal", "No.", "", "number of the crystal within the trial", LIST_NUMBER,
                      0, 0},
    [LIST_RESOLUTION] = {"resolution", "Resolution", "Å", "where CC1/2 falls to the limit",
                         LIST_NUMBER, 2, 0},
    [LIST_METHOD] = {"method", "Method", "", "how the resolution was found", LIST_TEXT, 0, 0},
    [LIST_SUGGESTED] = {"suggested", "Suggested", "Å",
                        "resolution that dials.scale suggested, if it did", LIST_NUMBER, 2, 0},
    [LIST_CELL] = {"cell", "Cell", "Å °", "a b c alpha beta gamma as DIALS printed them", LIST_TEXT,
                   0, 0},
    [LIST_ESDS] = {"esds", "Cell e.s.d.", "Å °", "standard uncertainties of the cell", LIST_TEXT, 0,
                   0},
    [LIST_A] = {"a", "a", "Å", "cell axis", LIST_NUMBER, 4, 0},
    [LIST_B] = {"b", "b", "Å", "cell axis", LIST_NUMBER, 4, 0},
    [LIST_C] = {"c", "c", "Å", "cell axis", LIST_NUMBER, 4, 0},
    [LIST_ALPHA] = {"alpha", "α", "°", "cell angle", LIST_NUMBER, 3, 0},
    [LIST_BETA] = {"beta", "β", "°", "cell angle", LIST_NUMBER, 3, 0},
    [LIST_GAMMA] = {"gamma", "γ", "°", "cell angle", LIST_NUMBER, 3, 0},
    [LIST_VOLUME] = {"volume", "Volume", "Å³", "of the cell", LIST_NUMBER, 1, 0},
    [LIST_REDUCED] = {"reduced", "Reduced cell", "Å °", "Niggli-reduced primitive cell", LIST_TEXT,
                      0, 0, true},
    [LIST_CLUSTER] = {"cluster", "Lattice", "",
                      "lattices by number of crystals, 1 the most frequent", LIST_NUMBER, 0, 0,
                      true},
    [LIST_DISTANCE] = {"cell_distance", "Distance", "σ",
                       "of the cell from the median of its lattice, in spreads", LIST_NUMBER, 2, 0,
                       true},
    [LIST_SYMMETRY] = {"symmetry", "Symmetry", "",
                       "best solution of dials.symmetry or cosym (--symmetry-from)", LIST_TEXT, 0,
                       0},
    [LIST_SYMMETRY_COSYM] = {"cosym", "cosym", "", "best solution of dials.cosym", LIST_TEXT, 0,
                             EMD_TRIAL_COSYM},
    [LIST_SYMMETRY_SYMMETRY] = {"laue", "symmetry", "", "best solution of dials.symmetry",
                                LIST_TEXT, 0, 0},
    [LIST_SPACE_GROUP] = {"space_group", "Space group", "",
                          "that dials.symmetry recommends from absences", LIST_TEXT, 0, 0},
    [LIST_FRAMES] = {"frames", "Images", "", "kept/recorded", LIST_TEXT, 0, EMD_TRIAL_FRAMES},
    [LIST_KEPT] = {"kept", "Kept", "", "images kept", LIST_NUMBER, 0, EMD_TRIAL_FRAMES},
    [LIST_IMAGES] = {"images", "Recorded", "", "images recorded", LIST_NUMBER, 0, EMD_TRIAL_FRAMES},
    [LIST_COMPLETENESS] = {"completeness", "Complete", "%", "overall completeness", LIST_NUMBER, 1,
                           0},
    [LIST_MULTIPLICITY] = {"multiplicity", "Mult.", "", "overall multiplicity", LIST_NUMBER, 2, 0},
    [LIST_I_SIGMA] = {"i_sigma", "⟨I/σI⟩", "", "overall <I/sI>", LIST_NUMBER, 1, 0},
    [LIST_R_MERGE] = {"r_merge", "Rmerge", "", "overall", LIST_NUMBER, 3, 0},
    [LIST_R_MEAS] = {"r_meas", "Rmeas", "", "overall", LIST_NUMBER, 3, 0},
    [LIST_R_PIM] = {"r_pim", "Rpim", "", "overall", LIST_NUMBER, 3, 0},
    [LIST_CC_HALF] = {"cc_half", "CC½", "", "overall CC1/2", LIST_NUMBER, 3, 0},
    [LIST_CC_LOW] = {"cc_low", "CC½ low", "", "CC1/2 of the first shell", LIST_NUMBER, 3, 0},
    [LIST_CC_HIGH] = {"cc_high", "CC½ high", "", "CC1/2 of the last shell", LIST_NUMBER, 3, 0},
    [LIST_REFLECTIONS] = {"reflections", "Reflections", "", "observations", LIST_NUMBER, 0, 0},
    [LIST_UNIQUE] = {"unique", "Unique", "", "unique reflections", LIST_NUMBER, 0, 0},
    [LIST_OUTCOME] = {"outcome", "Outcome", "", "good, failed or unfinished", LIST_TEXT, 0, 0},
    [LIST_STAGE] = {"stage", "Stage", "", "the furthest that was begun", LIST_TEXT, 0, 0},
    [LIST_REASON] = {"reason", "Reason", "", "why there are no merging statistics", LIST_TEXT, 0,
                     0},
    [LIST_NOTE] = {"note", "Note", "", "what makes the numbers doubtful", LIST_TEXT, 0, 0},
    [LIST_DIALS] = {"dials", "DIALS", "", "version of DIALS", LIST_TEXT, 0, 0},
    [LIST_IMAGE] = {"image", "Movie", "", "image file", LIST_TEXT, 0, EMD_TRIAL_FRAMES},
    [LIST_RATIO] = {"ratio", "Ratio", "", "compression ratio of the movie", LIST_NUMBER, 2,
                    EMD_TRIAL_FRAMES},
};

const struct list_column *list_column(enum list_column_id id)
{
    return &columns[id];
}

size_t list_columns_parse(const char *text, enum list_column_id ids[], size_t capacity,
                          char unknown[64])
{
    size_t count = 0;
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        enum list_column_id id = 0;
        while (id < LIST_COLUMNS &&
               (strlen(columns[id].key) != n || memcmp(columns[id].key, p, n) != 0))
            id++;
        bool all = n == 3 && memcmp(p, "all", 3) == 0;
        if (id == LIST_COLUMNS && !all) {
            snprintf(unknown, 64, "%.*s", (int)(n < 63 ? n : 63), p);
            return 0;
        }
        for (enum list_column_id i = all ? 0 : id; i < (all ? LIST_COLUMNS : id + 1); i++)
            if (count < capacity)
                ids[count++] = i;
        if (p[n] == '\0')
            return count;
        p += n + 1;
    }
}

double list_number(const struct list_row *row, enum list_column_id id)
{
    const struct emd_trial *t = row->trial;
    const struct emd_merge_table *table = &t->table;
    enum emd_shell_column overall;
    switch (id) {
    case LIST_CRYSTAL:
        return (double)row->crystal;
    case LIST_RESOLUTION:
        return row->resolution;
    case LIST_RATIO:
        return row->ratio;
    case LIST_KEPT:
        return t->kept > 0 ? (double)t->kept : NAN;
    case LIST_IMAGES:
        return t->images > 0 ? (double)t->images : NAN;
    case LIST_A:
    case LIST_B:
    case LIST_C:
    case LIST_ALPHA:
    case LIST_BETA:
    case LIST_GAMMA:
        return row->cell ? row->cell->value[id - LIST_A] : NAN;
    case LIST_VOLUME:
        return row->cell ? emd_cell_volume(row->cell) : NAN;
    case LIST_CLUSTER:
        return row->place.cluster ? (double)row->place.cluster : NAN;
    case LIST_DISTANCE:
        return row->place.distance;
    case LIST_CC_LOW:
        return table->count ? table->shells[0].value[EMD_SHELL_CC_HALF] : NAN;
    case LIST_CC_HIGH:
        return table->count ? table->shells[table->count - 1].value[EMD_SHELL_CC_HALF] : NAN;
    case LIST_SUGGESTED:
        return table->count ? table->suggested : NAN;
    case LIST_COMPLETENESS:
        overall = EMD_SHELL_COMPLETENESS;
        break;
    case LIST_MULTIPLICITY:
        overall = EMD_SHELL_MULTIPLICITY;
        break;
    case LIST_I_SIGMA:
        overall = EMD_SHELL_I_SIGMA;
        break;
    case LIST_R_MERGE:
        overall = EMD_SHELL_R_MERGE;
        break;
    case LIST_R_MEAS:
        overall = EMD_SHELL_R_MEAS;
        break;
    case LIST_R_PIM:
        overall = EMD_SHELL_R_PIM;
        break;
    case LIST_CC_HALF:
        overall = EMD_SHELL_CC_HALF;
        break;
    case LIST_REFLECTIONS:
        overall = EMD_SHELL_OBSERVATIONS;
        break;
    case LIST_UNIQUE:
        overall = EMD_SHELL_UNIQUE;
        break;
    default:
        return NAN;
    }
    return table->has_overall ? table->overall.value[overall] : NAN;
}

static const char *cell_text(const struct emd_cell *cell, char buffer[LIST_BUFFER])
{
    snprintf(buffer, LIST_BUFFER, "%s %s %s %s %s %s", cell->text[0], cell->text[1], cell->text[2],
             cell->text[3], cell->text[4], cell->text[5]);
    return buffer;
}

static const char *esd_text(const struct emd_cell *cell, char buffer[LIST_BUFFER])
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int i = 0; i < 6; i++) {
        const char *gap = i ? " " : "";
        int n = isnan(cell->esd[i])
                    ? snprintf(buffer + used, LIST_BUFFER - used, "%s-", gap)
                    : snprintf(buffer + used, LIST_BUFFER - used, "%s%.6g", gap, cell->esd[i]);
        used += (size_t)n;
    }
    return buffer;
}

const char *list_text(const struct list_row *row, enum list_column_id id,
                      const struct list_settings *settings, char buffer[LIST_BUFFER])
{
    const struct emd_trial *t = row->trial;
    switch (id) {
    case LIST_PATH:
        return t->path;
    case LIST_METHOD:
        return isnan(row->resolution) ? "" : list_method_name(settings->method);
    case LIST_CELL:
        return row->cell ? cell_text(row->cell, buffer) : "";
    case LIST_ESDS:
        return row->cell ? esd_text(row->cell, buffer) : "";
    case LIST_SYMMETRY:
        return list_row_symmetry(row, settings->symmetry_from);
    case LIST_SYMMETRY_COSYM:
        return t->cosym;
    case LIST_SYMMETRY_SYMMETRY:
        return t->symmetry;
    case LIST_SPACE_GROUP:
        return t->space_group;
    case LIST_REDUCED:
        if (row->place.cluster == 0)
            return "";
        snprintf(buffer, LIST_BUFFER, "%.3f %.3f %.3f %.2f %.2f %.2f", row->place.reduced[0],
                 row->place.reduced[1], row->place.reduced[2], row->place.reduced[3],
                 row->place.reduced[4], row->place.reduced[5]);
        return buffer;
    case LIST_NOTE:
        return list_row_note(row, buffer);
    case LIST_FRAMES:
        if (t->images <= 0)
            return "";
        if (t->kept > 0)
            snprintf(buffer, LIST_BUFFER, "%ld/%ld", t->kept, t->images);
        else
            snprintf(buffer, LIST_BUFFER, "-/%ld", t->images);
        return buffer;
    case LIST_OUTCOME:
        return list_outcome_name(t->outcome);
    case LIST_STAGE:
        return emd_stage_name(t->stage);
    case LIST_REASON:
        return t->reason;
    case LIST_DIALS:
        return t->version;
    case LIST_IMAGE:
        return t->image;
    default:
        break;
    }
    double value = list_number(row, id);
    if (isnan(value))
        return "";
    snprintf(buffer, LIST_BUFFER, "%.*f", columns[id].decimals, value);
    return buffer;
}
