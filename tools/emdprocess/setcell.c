/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/setcell.h"

#include <stdio.h>
#include <string.h>

#include "common/message.h"
#include "process/consensus.h"

#define SETTINGS "emdprocess.conf"

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void show(const char *trial, const struct emd_consensus *c)
{
    const double *r = c->reduced;
    fputs("trial    ", stdout);
    emd_print_text(trial);
    printf(": %zu crystal%s, %zu lattice%s\n", c->crystals, plural(c->crystals), c->lattices,
           plural(c->lattices));
    printf("lattice  1: %zu crystal%s, median reduced cell %.4f %.4f %.4f %.3f %.3f %.3f\n",
           c->members, plural(c->members), r[0], r[1], r[2], r[3], r[4], r[5]);
    for (size_t i = 0; i < c->group_count; i++) {
        printf("symmetry ");
        emd_print_text(c->groups[i].symmetry);
        printf(": %zu crystal%s\n", c->groups[i].crystals, plural(c->groups[i].crystals));
    }
    if (c->group_count == 0)
        puts("symmetry not known: P1");
}

int set_cell(const char *trial, const struct emd_words *crystals, bool write)
{
    struct emd_consensus c;
    struct emd_error err = {0};
    char cell[160];
    enum emd_status status = emd_consensus_find(".", trial, crystals, &c, &err);
    if (status != EMD_OK) {
        emd_message_error("--set-cell: %s", err.text);
        return status == EMD_E_EMPTY ? EMD_EXIT_NOT_READY : emd_exit_for(status);
    }
    snprintf(cell, sizeof cell, "%.4f,%.4f,%.4f,%.5g,%.5g,%.5g", c.cell[0], c.cell[1], c.cell[2],
             c.cell[3], c.cell[4], c.cell[5]);
    const struct emd_setting settings[] = {{"mP.unit_cell", cell},
                                           {"mP.space_group", c.space_group}};
    const size_t count = sizeof settings / sizeof *settings;
    show(trial, &c);
    printf("cell     of %zu crystal%s with the first symmetry:\n", c.cells, plural(c.cells));
    for (size_t i = 0; i < count; i++)
        printf("%s = %s\n", settings[i].name, settings[i].value);
    if (!write) {
        emd_message_info(SETTINGS " is unchanged; --yes writes this to it");
        return EMD_EXIT_OK;
    }
    status = emd_settings_put(SETTINGS, settings, count, &err);
    if (status != EMD_OK) {
        emd_message_error("%s", err.text);
        return emd_exit_for(status);
    }
    emd_message_info("written to " SETTINGS);
    return EMD_EXIT_OK;
}
