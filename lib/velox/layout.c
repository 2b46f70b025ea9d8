/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "velox/layout.h"

#include <string.h>

/* Whether a path is /Data/Image/ID/ and 'member'. */
static bool is_member(const char *path, const char *member)
{
    static const char prefix[] = EMD_VELOX_IMAGES "/";
    const size_t absolute = path[0] == '/' ? 0 : 1, n = sizeof prefix - 1 - absolute;
    if (strncmp(path, prefix + absolute, n) != 0)
        return false;
    const char *slash = strchr(path + n, '/');
    return slash && slash > path + n && strcmp(slash + 1, member) == 0;
}

bool emd_velox_is_images(const char *path)
{
    return is_member(path, "Data");
}

bool emd_velox_is_metadata(const char *path)
{
    return is_member(path, "Metadata");
}
