/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Where emdtools is installed, and the environment in which commands of a recipe run. */
#ifndef EMD_TOOLS_SURROUNDINGS_H
#define EMD_TOOLS_SURROUNDINGS_H

#include "process/words.h"

/* The folder of this program, links followed; "" if the system does not say. */
const char *own_folder(void);

/* A file of share/emdtools ("recipes/P1.recipe"), in the installation or the build tree; the caller
 * frees the path. It need not exist. */
char *shared_file(const char *name);

/* The environment of this process, changed for DIALS:
 *   PATH              'dials' (a folder with DIALS' programs, or NULL) in front, ours at the end
 *   HDF5_PLUGIN_PATH  the plugins of emdtools; behind what is given, or before HDF5's own folder
 *   PYTHONPATH        the format class for Velox files in front
 *   EMDTOOLS_FORMAT   1: it reads the movies, whatever other class is installed
 *   HDF5_USE_FILE_LOCKING  FALSE: movies are only read, also on shares without locks
 *   DIALS_USE_*       removed: they change the files that DIALS writes
 *   OMP_NUM_THREADS   1 unless given: the cores are shared out by nproc
 * NULL without memory. It lasts as long as the process. */
char **command_environment(const char *dials);

/* The folder of DIALS' programs in what the user calls DIALS: DIR, DIR/bin, DIR/build/bin; NULL if
 * there are none. The caller frees it. */
char *find_dials(const char *folder);

#endif
