/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/project.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/message.h"

static const char settings[] =
    "# Settings of this project for emdprocess: NAME = VALUE, for all recipes, or\n"
    "# RECIPE.NAME = VALUE for one. A file of the same form in a crystal's folder counts\n"
    "# for that crystal, -D NAME=VALUE on the command line for everything.\n"
    "# emdprocess-recipe(5) explains each name.\n"
    "#\n"
    "# pedestal = -40\n"
    "# gain = 0.8\n"
    "# distance = 618\n"
    "# beam_centre = 512,512\n"
    "# d_min = 0.8\n"
    "# mP.unit_cell = 5.34,6.46,10.86,90,91.3,90\n";

static bool make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return true;
    emd_message_error("%s: cannot create the folder: %s", path, strerror(errno));
    return false;
}

static bool make_settings(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return true;
    bool ok = fd >= 0 && write(fd, settings, sizeof settings - 1) == (ssize_t)sizeof settings - 1;
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    if (!ok)
        emd_message_error("%s: cannot write: %s", path, strerror(errno));
    return ok;
}

int project_init(const char *name, bool quiet)
{
    static const char *const folders[] = {"data", "data/%s", "data/%s/raw", "data/%s/compressed",
                                          "work", "work/%s"};
    char path[PATH_MAX], target[PATH_MAX];
    if (*name == '\0' || *name == '.' || *name == '-' || strchr(name, '/') || strlen(name) > 200)
        return emd_usage_error("--init '%s': not a name for a project", name);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const char *rest = strstr(folders[i], "%s");
        if (rest)
            snprintf(path, sizeof path, "%.*s%s%s", (int)(rest - folders[i]), folders[i], name,
                     rest + 2);
        else
            snprintf(path, sizeof path, "%s", folders[i]);
        if (!make_folder(path))
            return EMD_EXIT_FAILED;
    }
    snprintf(path, sizeof path, "work/%s/images", name);
    snprintf(target, sizeof target, "../../data/%s/compressed", name);
    if (symlink(target, path) != 0 && errno != EEXIST) {
        emd_message_error("%s: cannot create the link: %s", path, strerror(errno));
        return EMD_EXIT_FAILED;
    }
    snprintf(path, sizeof path, "work/%s/emdprocess.conf", name);
    if (!make_settings(path))
        return EMD_EXIT_FAILED;
    if (!quiet)
        printf("data/%s/raw         for what Velox writes\n"
               "data/%s/compressed  for emdwatch or emdrepack\n"
               "work/%s             here: emdprocess P1\n",
               name, name, name);
    return EMD_EXIT_OK;
}

static bool holds_images(void)
{
    struct stat st;
    return stat("images", &st) == 0 && S_ISDIR(st.st_mode);
}

bool project_enter(const char *folder)
{
    struct stat here, root;
    if (folder) {
        if (chdir(folder) != 0) {
            emd_message_error("%s: %s", folder, strerror(errno));
            return false;
        }
        if (holds_images())
            return true;
        emd_message_error("%s: no project: it has no folder images/ (see --init)", folder);
        return false;
    }
    while (!holds_images()) {
        if (stat(".", &here) != 0 || stat("/", &root) != 0 || chdir("..") != 0 ||
            (here.st_ino == root.st_ino && here.st_dev == root.st_dev)) {
            emd_message_error("not in a project: neither here nor above is a folder images/ (see "
                              "--init and --project)");
            return false;
        }
    }
    return true;
}
