/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The reader of a processed crystal, and that of per-frame statistics, on the files of a folder.
 * The input is cut at each byte 0xff, which no UTF-8 text has; the first byte of a piece says which
 * file the rest is: 'a', 'b', ... in P1, 'A', 'B', ... in P1/not_blank. */
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "dials/frametable.h"
#include "dials/resolution.h"
#include "dials/trial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
    "dials.scale.log",  "scaled.json",    "dials.integrate.log", "dials.refine.log",
    "dials.index.log",  "scaled.expt",    "integrated.expt",     "refined.expt",
    "indexed.expt",     "imported.expt",  "not_blank.expt",      "dials.symmetry.log",
    "dials.cosym.log",  "strong.refl",    "dials.import.log",    "dials.find_spots.log",
    "movie.frames.tsv", "emdprocess.json"};
enum { NAMES = sizeof names / sizeof *names, FRAMES = NAMES - 2 };

/* The folder of this process, and those of the trial: of the first component and the last. */
static char folder[] = "/dev/shm/fuzz_trial.XXXXXX";
static int root, trial[2];

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void remove_files(void)
{
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < NAMES; i++)
            unlinkat(trial[t], names[i], 0);
}

static void remove_folder(void)
{
    remove_files();
    unlinkat(root, "P1/not_blank", AT_REMOVEDIR);
    unlinkat(root, "P1", AT_REMOVEDIR);
    rmdir(folder);
}

static void make_folder(void)
{
    if (access("/dev/shm", W_OK) != 0) /* the same length */
        memcpy(folder, "/tmp/////", 9);
    check(mkdtemp(folder) != NULL);
    root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(mkdirat(root, "P1", 0777) == 0 && mkdirat(root, "P1/not_blank", 0777) == 0);
    trial[0] = openat(root, "P1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    trial[1] = openat(root, "P1/not_blank", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(trial[0] >= 0 && trial[1] >= 0);
    atexit(remove_folder);
}

static void make_file(const uint8_t *piece, size_t size)
{
    bool last = size > 0 && piece[0] >= 'A' && piece[0] < 'A' + NAMES;
    bool first = size > 0 && piece[0] >= 'a' && piece[0] < 'a' + NAMES;
    if (!first && !last)
        return;
    int fd = openat(trial[last], names[piece[0] - (last ? 'A' : 'a')],
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    check(fd >= 0 && emd_pwrite_all(fd, piece + 1, size - 1, 0) == 0);
    close(fd);
}

static void read_crystal(const char *name, unsigned what)
{
    struct emd_trial t;
    if (emd_trial_read(root, "P1", name, what, &t, NULL) != EMD_OK)
        return;
    check(t.stage < EMD_STAGES && t.images >= 0 && t.kept >= 0 && t.ranges <= EMD_EXPT_RANGES);
    if (t.outcome == EMD_OUTCOME_GOOD) {
        check(t.table.count > 0 && t.reason[0] == '\0');
        double d = emd_resolution(&t.table, EMD_RESOLUTION_FIT, 0.3, emd_fit_rule_of(t.version));
        check(isnan(d) || d > 0);
    } else {
        check(t.reason[0] != '\0');
    }
    emd_trial_free(&t);
}

static void read_frames(void)
{
    enum { IMAGES = 50 };
    char path[sizeof folder + 40];
    double spots[IMAGES];
    snprintf(path, sizeof path, "%s/P1/%s", folder, names[FRAMES]);
    if (emd_frametable_read(path, 3, IMAGES, spots, NULL) == EMD_OK)
        for (size_t i = 0; i < IMAGES; i++)
            check(isnan(spots[i]) || (spots[i] >= 0 && isfinite(spots[i])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    if (!made)
        make_folder();
    made = true;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, 0xff, size - at);
        size_t n = end ? (size_t)(end - data) - at : size - at;
        make_file(data + at, n);
        at += n + 1;
    }
    read_crystal("P1", 0);
    read_crystal("P1", EMD_TRIAL_ALL);
    read_crystal("P1/not_blank", EMD_TRIAL_ALL);
    read_frames();
    remove_files();
    return 0;
}
