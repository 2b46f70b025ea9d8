/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The movies of a project and the folders of their crystals.
 *
 * PROJECT/images/ (a link to the compressed movies, folders in it are searched too) holds movies;
 * PROJECT/YYYYMMDD_HHMM/ is a crystal, named after date and time in the movie's name, or the
 * movie's name without ".emd" where there is none. What wants a name that is taken gets NAME_2,
 * NAME_3. PROJECT/CRYSTAL/.movie names the movie: once given, a name stays, whichever movies come
 * and go. */
#ifndef EMD_PROCESS_CRYSTALS_H
#define EMD_PROCESS_CRYSTALS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define EMD_CLAIM_NAME ".movie"

struct emd_crystal {
    char *name;   /* of the folder, one component; NULL: not named yet */
    char *movie;  /* relative to the project's folder, or absolute */
    bool claimed; /* the folder says that it is this movie's */
};

struct emd_crystals {
    struct emd_crystal *crystal;
    size_t count, capacity;
};

/* The name that a movie asks for: "Camera_Ceta_20230611_2324_670_mm.emd" -> "20230611_2324". NULL
 * without memory; the caller frees it. */
char *emd_crystal_name(const char *movie);

/* Adds all movies (*.emd, not hidden) below 'project'/'folder', sorted by their paths, which begin
 * with 'folder'. Folders that cannot be read are reported through 'trouble' (may be NULL). */
enum emd_status emd_crystals_find(const char *project, const char *folder,
                                  struct emd_crystals *crystals,
                                  void (*trouble)(const char *path, int error),
                                  struct emd_error *err);

/* Adds one movie. */
enum emd_status emd_crystals_add(struct emd_crystals *crystals, const char *movie,
                                 struct emd_error *err);

/* Names all: those that have a folder keep its name, the others get free ones in their order. */
enum emd_status emd_crystals_name(const char *project, struct emd_crystals *crystals,
                                  struct emd_error *err);

/* Makes the crystal's folder and notes its movie. EMD_E_BUSY: the name went to another movie
 * meanwhile. */
enum emd_status emd_crystal_claim(const char *project, struct emd_crystal *crystal,
                                  struct emd_error *err);

void emd_crystals_free(struct emd_crystals *crystals);

#endif
