/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/frametable.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns of the header: the place of a name, or -1. */
static int find_name(const char *header, const char *name)
{
    size_t length = strlen(name);
    for (int i = 0;; i++) {
        size_t n = strcspn(header, "\t\r\n");
        if (n == length && memcmp(header, name, n) == 0)
            return i;
        if (header[n] != '\t')
            return -1;
        header += n + 1;
    }
}

/* The number in column 'index' of a line. */
static int get_number(const char *line, int index, double *value)
{
    for (; index > 0; index--) {
        line = strchr(line, '\t');
        if (!line)
            return -1;
        line++;
    }
    char *end;
    *value = strtod(line, &end);
    return end == line || (*end && !strchr("\t\r\n", *end)) || !isfinite(*value) ? -1 : 0;
}

enum emd_status emd_frametable_read(const char *path, long first, size_t n, double *spots,
                                    struct emd_error *err)
{
    char line[1024];
    size_t found = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot open");
    enum emd_status status = EMD_OK;
    for (size_t i = 0; i < n; i++)
        spots[i] = NAN;
    int image = -1, spot = -1;
    if (fgets(line, sizeof line, f)) {
        image = find_name(line, "image");
        spot = find_name(line, "spots");
    }
    if (image < 0 || spot < 0)
        status = emd_fail(err, EMD_E_FORMAT, "no table with the columns 'image' and 'spots'");
    for (size_t row = 2; status == EMD_OK && fgets(line, sizeof line, f); row++) {
        double number, value;
        if (line[strspn(line, " \r\n")] == '\0')
            continue;
        if (get_number(line, image, &number) != 0 || get_number(line, spot, &value) != 0 ||
            value < 0) {
            status = emd_fail(err, EMD_E_CORRUPT, "line %zu is damaged", row);
        } else if (number >= (double)first && number < (double)first + (double)n) {
            spots[(size_t)(number - (double)first)] = value;
            found++;
        }
    }
    if (status == EMD_OK && ferror(f))
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
    if (status == EMD_OK && found == 0)
        status = emd_fail(err, EMD_E_FORMAT, "none of the images %ld to %ld is in it", first,
                          first + (long)n - 1);
    fclose(f);
    return status;
}
