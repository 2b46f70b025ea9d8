/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/exptsummary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dials/jsonscan.h"

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static bool cell_of_axes(double axis[3][3], struct emd_cell *cell)
{
    double length[3];
    for (int i = 0; i < 3; i++) {
        length[i] = sqrt(dot(axis[i], axis[i]));
        if (!(length[i] > 0 && length[i] < 1e6))
            return false;
        cell->value[i] = length[i];
    }
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        double cosine = dot(axis[j], axis[k]) / (length[j] * length[k]);
        cell->value[3 + i] = acos(fmax(-1, fmin(1, cosine))) * 180 / 3.14159265358979323846;
    }
    for (int i = 0; i < 6; i++) {
        cell->esd[i] = NAN;
        snprintf(cell->text[i], sizeof cell->text[i], i < 3 ? "%.4f" : "%.3f", cell->value[i]);
    }
    return true;
}

static enum emd_status read_crystal(struct emd_json *json, struct emd_cells *cells,
                                    struct emd_error *err)
{
    char key[32], hall[40] = "";
    double axis[3][3];
    int axes = 0;
    if (!emd_json_open(json, '{')) {
        emd_json_skip(json);
        return EMD_OK;
    }
    while (emd_json_key(json, key, sizeof key)) {
        bool is_axis = strncmp(key, "real_space_", 11) == 0 && key[11] >= 'a' && key[11] <= 'c' &&
                       key[12] == '\0';
        if (strcmp(key, "space_group_hall_symbol") == 0)
            emd_json_string(json, hall, sizeof hall);
        else if (!is_axis)
            emd_json_skip(json);
        else if (emd_json_numbers(json, axis[key[11] - 'a'], 3) == 3)
            axes |= 1 << (key[11] - 'a');
    }
    struct emd_cell cell = {.centring = emd_centring_of(hall)};
    return axes == 7 && cell_of_axes(axis, &cell) ? emd_cells_add(cells, &cell, err) : EMD_OK;
}

static void read_scan(struct emd_json *json, struct emd_expt_summary *summary)
{
    char key[32];
    double range[2];
    if (!emd_json_open(json, '{')) {
        emd_json_skip(json);
        return;
    }
    while (emd_json_key(json, key, sizeof key)) {
        if (strcmp(key, "image_range") != 0) {
            emd_json_skip(json);
        } else if (emd_json_numbers(json, range, 2) == 2 && fabs(range[0]) < 1e9 &&
                   fabs(range[1]) < 1e9 && range[0] <= range[1]) {
            struct emd_image_range r = {(long)range[0], (long)range[1]};
            summary->images += r.last - r.first + 1;
            if (summary->ranges < EMD_EXPT_RANGES)
                summary->range[summary->ranges++] = r;
        }
    }
}

static void read_imageset(struct emd_json *json, char *image, size_t capacity)
{
    char key[32];
    if (!emd_json_open(json, '{')) {
        emd_json_skip(json);
        return;
    }
    while (emd_json_key(json, key, sizeof key)) {
        bool images = strcmp(key, "images") == 0 && image[0] == '\0';
        if (strcmp(key, "template") == 0) {
            emd_json_string(json, image, capacity);
        } else if (images && emd_json_open(json, '[')) {
            while (emd_json_item(json)) {
                if (image[0] == '\0')
                    emd_json_string(json, image, capacity);
                else
                    emd_json_skip(json);
            }
        } else {
            emd_json_skip(json);
        }
    }
}

enum emd_status emd_expt_summarise(const char *text, size_t length,
                                   struct emd_expt_summary *summary, struct emd_error *err)
{
    struct emd_json json;
    char key[32], id[32] = "";
    enum emd_status status = EMD_OK;
    *summary = (struct emd_expt_summary){0};
    emd_json_init(&json, text, length);
    if (!emd_json_open(&json, '{'))
        return emd_fail(err, EMD_E_FORMAT, "not an experiment list");
    while (emd_json_key(&json, key, sizeof key)) {
        if (strcmp(key, "__id__") == 0) {
            emd_json_string(&json, id, sizeof id);
            continue;
        }
        bool crystal = strcmp(key, "crystal") == 0, scan = strcmp(key, "scan") == 0;
        bool imageset = strcmp(key, "imageset") == 0;
        if (!(crystal || scan || imageset) || !emd_json_open(&json, '[')) {
            emd_json_skip(&json);
            continue;
        }
        while (emd_json_item(&json)) {
            if (crystal && status == EMD_OK)
                status = read_crystal(&json, &summary->cells, err);
            else if (scan)
                read_scan(&json, summary);
            else if (summary->image[0] == '\0')
                read_imageset(&json, summary->image, sizeof summary->image);
            else
                emd_json_skip(&json);
        }
    }
    if (status == EMD_OK && (json.bad || strcmp(id, "ExperimentList") != 0))
        status = emd_fail(err, EMD_E_FORMAT,
                          json.bad ? "damaged or cut short" : "not an experiment list");
    if (status != EMD_OK) {
        free(summary->cells.items);
        *summary = (struct emd_expt_summary){0};
    }
    return status;
}
