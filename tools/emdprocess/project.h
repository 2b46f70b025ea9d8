/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The folders of a project. */
#ifndef EMD_TOOLS_PROJECT_H
#define EMD_TOOLS_PROJECT_H

#include <stdbool.h>

/* --init: data/NAME/{raw,compressed} and work/NAME/ with its link and settings, under the current
 * folder; what exists stays. The exit code. */
int project_init(const char *name, bool quiet);

/* Makes the project's folder the current one: 'folder', or (NULL) the current one or the nearest
 * above that holds images/. False with a message. */
bool project_enter(const char *folder);

#endif
