/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/listcolumns.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct emd_list_column columns[EMD_LIST_COLUMNS] = {
    [EMD_LIST_PATH] = {"path", "Crystal", "", "folder of the trial", EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_CRYSTAL] = {"crystal", "No.", "", "number of the crystal within the trial",
                          EMD_LIST_NUMBER, 0, 0},
    [EMD_LIST_RESOLUTION] = {"resolution", "Resolution", "Å", "where CC1/2 falls to the limit",
                             EMD_LIST_NUMBER, 2, 0},
    [EMD_LIST_METHOD] = {"method", "Method", "", "how the resolution was found", EMD_LIST_TEXT, 0,
                         0},
    [EMD_LIST_SUGGESTED] = {"suggested", "Suggested", "Å",
                            "resolution that dials.scale suggested, if it did", EMD_LIST_NUMBER, 2,
                            0},
    [EMD_LIST_CELL] = {"cell", "Cell", "Å °", "a b c alpha beta gamma as DIALS printed them",
                       EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_ESDS] = {"esds", "Cell e.s.d.", "Å °", "standard uncertainties of the cell",
                       EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_A] = {"a", "a", "Å", "cell axis", EMD_LIST_NUMBER, 4, 0},
    [EMD_LIST_B] = {"b", "b", "Å", "cell axis", EMD_LIST_NUMBER, 4, 0},
    [EMD_LIST_C] = {"c", "c", "Å", "cell axis", EMD_LIST_NUMBER, 4, 0},
    [EMD_LIST_ALPHA] = {"alpha", "α", "°", "cell angle", EMD_LIST_NUMBER, 3, 0},
    [EMD_LIST_BETA] = {"beta", "β", "°", "cell angle", EMD_LIST_NUMBER, 3, 0},
    [EMD_LIST_GAMMA] = {"gamma", "γ", "°", "cell angle", EMD_LIST_NUMBER, 3, 0},
    [EMD_LIST_VOLUME] = {"volume", "Volume", "Å³", "of the cell", EMD_LIST_NUMBER, 1, 0},
    [EMD_LIST_REDUCED] = {"reduced", "Reduced cell", "Å °", "Niggli-reduced primitive cell",
                          EMD_LIST_TEXT, 0, 0, true},
    [EMD_LIST_CLUSTER] = {"cluster", "Lattice", "",
                          "lattices by number of crystals, 1 the most frequent", EMD_LIST_NUMBER, 0,
                          0, true},
    [EMD_LIST_DISTANCE] = {"cell_distance", "Distance", "σ",
                           "of the cell from the median of its lattice, in spreads",
                           EMD_LIST_NUMBER, 2, 0, true},
    [EMD_LIST_SYMMETRY] = {"symmetry", "Symmetry", "",
                           "best solution of dials.symmetry or cosym (--symmetry-from)",
                           EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_SYMMETRY_COSYM] = {"cosym", "cosym", "", "best solution of dials.cosym",
                                 EMD_LIST_TEXT, 0, EMD_TRIAL_COSYM},
    [EMD_LIST_SYMMETRY_SYMMETRY] = {"laue", "symmetry", "", "best solution of dials.symmetry",
                                    EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_SPACE_GROUP] = {"space_group", "Space group", "",
                              "that dials.symmetry recommends from absences", EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_FRAMES] = {"frames", "Images", "", "kept/recorded", EMD_LIST_TEXT, 0,
                         EMD_TRIAL_FRAMES},
    [EMD_LIST_KEPT] = {"kept", "Kept", "", "images kept", EMD_LIST_NUMBER, 0, EMD_TRIAL_FRAMES},
    [EMD_LIST_IMAGES] = {"images", "Recorded", "", "images recorded", EMD_LIST_NUMBER, 0,
                         EMD_TRIAL_FRAMES},
    [EMD_LIST_COMPLETENESS] = {"completeness", "Complete", "%", "overall completeness",
                               EMD_LIST_NUMBER, 1, 0},
    [EMD_LIST_MULTIPLICITY] = {"multiplicity", "Mult.", "", "overall multiplicity", EMD_LIST_NUMBER,
                               2, 0},
    [EMD_LIST_I_SIGMA] = {"i_sigma", "⟨I/σI⟩", "", "overall <I/sI>", EMD_LIST_NUMBER, 1, 0},
    [EMD_LIST_R_MERGE] = {"r_merge", "Rmerge", "", "overall", EMD_LIST_NUMBER, 3, 0},
    [EMD_LIST_R_MEAS] = {"r_meas", "Rmeas", "", "overall", EMD_LIST_NUMBER, 3, 0},
    [EMD_LIST_R_PIM] = {"r_pim", "Rpim", "", "overall", EMD_LIST_NUMBER, 3, 0},
    [EMD_LIST_CC_HALF] = {"cc_half", "CC½", "", "overall CC1/2", EMD_LIST_NUMBER, 3, 0},
    [EMD_LIST_CC_LOW] = {"cc_low", "CC½ low", "", "CC1/2 of the first shell", EMD_LIST_NUMBER, 3,
                         0},
    [EMD_LIST_CC_HIGH] = {"cc_high", "CC½ high", "", "CC1/2 of the last shell", EMD_LIST_NUMBER, 3,
                          0},
    [EMD_LIST_REFLECTIONS] = {"reflections", "Reflections", "", "observations", EMD_LIST_NUMBER, 0,
                              0},
    [EMD_LIST_UNIQUE] = {"unique", "Unique", "", "unique reflections", EMD_LIST_NUMBER, 0, 0},
    [EMD_LIST_OUTCOME] = {"outcome", "Outcome", "", "good, failed or unfinished", EMD_LIST_TEXT, 0,
                          0},
    [EMD_LIST_STAGE] = {"stage", "Stage", "", "the furthest that was begun", EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_REASON] = {"reason", "Reason", "", "why there are no merging statistics",
                         EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_NOTE] = {"note", "Note", "", "what makes the numbers doubtful", EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_DIALS] = {"dials", "DIALS", "", "version of DIALS", EMD_LIST_TEXT, 0, 0},
    [EMD_LIST_IMAGE] = {"image", "Movie", "", "image file", EMD_LIST_TEXT, 0, EMD_TRIAL_FRAMES},
    [EMD_LIST_RATIO] = {"ratio", "Ratio", "", "compression ratio of the movie", EMD_LIST_NUMBER, 2,
                        EMD_TRIAL_FRAMES},
};

const struct emd_list_column *emd_list_column(enum emd_list_column_id id)
{
    return &columns[id];
}

size_t emd_list_columns_parse(const char *text, enum emd_list_column_id ids[], size_t capacity,
                              char unknown[64])
{
    size_t count = 0;
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        enum emd_list_column_id id = 0;
        while (id < EMD_LIST_COLUMNS &&
               (strlen(columns[id].key) != n || memcmp(columns[id].key, p, n) != 0))
            id++;
        bool all = n == 3 && memcmp(p, "all", 3) == 0;
        if (id == EMD_LIST_COLUMNS && !all) {
            snprintf(unknown, 64, "%.*s", (int)(n < 63 ? n : 63), p);
            return 0;
        }
        for (enum emd_list_column_id i = all ? 0 : id; i < (all ? EMD_LIST_COLUMNS : id + 1); i++)
            if (count < capacity)
                ids[count++] = i;
        if (p[n] == '\0')
            return count;
        p += n + 1;
    }
}

double emd_list_number(const struct emd_list_row *row, enum emd_list_column_id id)
{
    const struct emd_trial *t = row->trial;
    const struct emd_merge_table *table = &t->table;
    enum emd_shell_column overall;
    switch (id) {
    case EMD_LIST_CRYSTAL:
        return (double)row->crystal;
    case EMD_LIST_RESOLUTION:
        return row->resolution;
    case EMD_LIST_RATIO:
        return row->ratio;
    case EMD_LIST_KEPT:
        return t->kept > 0 ? (double)t->kept : NAN;
    case EMD_LIST_IMAGES:
        return t->images > 0 ? (double)t->images : NAN;
    case EMD_LIST_A:
    case EMD_LIST_B:
    case EMD_LIST_C:
    case EMD_LIST_ALPHA:
    case EMD_LIST_BETA:
    case EMD_LIST_GAMMA:
        return row->cell ? row->cell->value[id - EMD_LIST_A] : NAN;
    case EMD_LIST_VOLUME:
        return row->cell ? emd_cell_volume(row->cell) : NAN;
    case EMD_LIST_CLUSTER:
        return row->place.cluster ? (double)row->place.cluster : NAN;
    case EMD_LIST_DISTANCE:
        return row->place.distance;
    case EMD_LIST_CC_LOW:
        return table->count ? table->shells[0].value[EMD_SHELL_CC_HALF] : NAN;
    case EMD_LIST_CC_HIGH:
        return table->count ? table->shells[table->count - 1].value[EMD_SHELL_CC_HALF] : NAN;
    case EMD_LIST_SUGGESTED:
        return table->count ? table->suggested : NAN;
    case EMD_LIST_COMPLETENESS:
        overall = EMD_SHELL_COMPLETENESS;
        break;
    case EMD_LIST_MULTIPLICITY:
        overall = EMD_SHELL_MULTIPLICITY;
        break;
    case EMD_LIST_I_SIGMA:
        overall = EMD_SHELL_I_SIGMA;
        break;
    case EMD_LIST_R_MERGE:
        overall = EMD_SHELL_R_MERGE;
        break;
    case EMD_LIST_R_MEAS:
        overall = EMD_SHELL_R_MEAS;
        break;
    case EMD_LIST_R_PIM:
        overall = EMD_SHELL_R_PIM;
        break;
    case EMD_LIST_CC_HALF:
        overall = EMD_SHELL_CC_HALF;
        break;
    case EMD_LIST_REFLECTIONS:
        overall = EMD_SHELL_OBSERVATIONS;
        break;
    case EMD_LIST_UNIQUE:
        overall = EMD_SHELL_UNIQUE;
        break;
    default:
        return NAN;
    }
    return table->has_overall ? table->overall.value[overall] : NAN;
}

static const char *cell_text(const struct emd_cell *cell, char buffer[EMD_LIST_BUFFER])
{
    snprintf(buffer, EMD_LIST_BUFFER, "%s %s %s %s %s %s", cell->text[0], cell->text[1],
             cell->text[2], cell->text[3], cell->text[4], cell->text[5]);
    return buffer;
}

static const char *esd_text(const struct emd_cell *cell, char buffer[EMD_LIST_BUFFER])
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int i = 0; i < 6; i++) {
        const char *gap = i ? " " : "";
        int n = isnan(cell->esd[i])
                    ? snprintf(buffer + used, EMD_LIST_BUFFER - used, "%s-", gap)
                    : snprintf(buffer + used, EMD_LIST_BUFFER - used, "%s%.6g", gap, cell->esd[i]);
        used += (size_t)n;
    }
    return buffer;
}

const char *emd_list_text(const struct emd_list_row *row, enum emd_list_column_id id,
                          const struct emd_list_settings *settings, char buffer[EMD_LIST_BUFFER])
{
    const struct emd_trial *t = row->trial;
    switch (id) {
    case EMD_LIST_PATH:
        return t->path;
    case EMD_LIST_METHOD:
        return isnan(row->resolution) ? "" : emd_list_method_name(settings->method);
    case EMD_LIST_CELL:
        return row->cell ? cell_text(row->cell, buffer) : "";
    case EMD_LIST_ESDS:
        return row->cell ? esd_text(row->cell, buffer) : "";
    case EMD_LIST_SYMMETRY:
        return emd_list_row_symmetry(row, settings->symmetry_from);
    case EMD_LIST_SYMMETRY_COSYM:
        return t->cosym;
    case EMD_LIST_SYMMETRY_SYMMETRY:
        return t->symmetry;
    case EMD_LIST_SPACE_GROUP:
        return t->space_group;
    case EMD_LIST_REDUCED:
        if (row->place.cluster == 0)
            return "";
        snprintf(buffer, EMD_LIST_BUFFER, "%.3f %.3f %.3f %.2f %.2f %.2f", row->place.reduced[0],
                 row->place.reduced[1], row->place.reduced[2], row->place.reduced[3],
                 row->place.reduced[4], row->place.reduced[5]);
        return buffer;
    case EMD_LIST_NOTE:
        return emd_list_row_note(row, buffer);
    case EMD_LIST_FRAMES:
        if (t->images <= 0)
            return "";
        if (t->kept > 0)
            snprintf(buffer, EMD_LIST_BUFFER, "%ld/%ld", t->kept, t->images);
        else
            snprintf(buffer, EMD_LIST_BUFFER, "-/%ld", t->images);
        return buffer;
    case EMD_LIST_OUTCOME:
        return emd_list_outcome_name(t->outcome);
    case EMD_LIST_STAGE:
        return emd_stage_name(t->stage);
    case EMD_LIST_REASON:
        return t->reason;
    case EMD_LIST_DIALS:
        return t->version;
    case EMD_LIST_IMAGE:
        return t->image;
    default:
        break;
    }
    double value = emd_list_number(row, id);
    if (isnan(value))
        return "";
    snprintf(buffer, EMD_LIST_BUFFER, "%.*f", columns[id].decimals, value);
    return buffer;
}
