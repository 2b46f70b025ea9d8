/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/maskfile.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/median.h"
#include "base/safefile.h"

/* Cameras have far fewer; opcodes with four bytes hold their product. */
enum { SIDE_MAX = 65535 };

size_t emd_mask_polygon(const double (*corner)[2], size_t corners, size_t height, size_t width,
                        uint8_t *left_out)
{
    double *crossing = malloc((corners + 1) * sizeof *crossing);
    size_t count = 0;
    for (size_t y = 0; crossing && corners >= 3 && y < height; y++) {
        const double at = (double)y + 0.5;
        size_t n = 0;
        /* Where the edges cross the row's middle: between pairs of crossings it is inside. An end
         * on the very line belongs to the edge below it only, so that no corner counts twice. */
        for (size_t i = 0; i < corners; i++) {
            const double *a = corner[i], *b = corner[(i + 1) % corners];
            if ((a[1] > at) != (b[1] > at))
                crossing[n++] = a[0] + (at - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
        }
        qsort(crossing, n, sizeof *crossing, emd_compare_doubles);
        for (size_t i = 0; i + 1 < n; i += 2) {
            const double from = fmax(ceil(crossing[i] - 0.5), 0),
                         to = fmin(ceil(crossing[i + 1] - 0.5), (double)width);
            if (to > from)
                memset(left_out + y * width + (size_t)from, 1, (size_t)(to - from));
        }
    }
    free(crossing);
    for (size_t i = 0; i < height * width; i++)
        count += left_out[i] != 0;
    return count;
}

/* ---- the pickle ------------------------------------------------------------------------------ */

struct text {
    char *bytes;
    size_t length;
};

static void put(struct text *t, const void *bytes, size_t n)
{
    memcpy(t->bytes + t->length, bytes, n);
    t->length += n;
}

static void put_byte(struct text *t, unsigned byte)
{
    t->bytes[t->length++] = (char)byte;
}

/* BININT and BINBYTES hold their numbers in four bytes, the lowest first. */
static void put_number(struct text *t, unsigned opcode, size_t value)
{
    put_byte(t, opcode);
    for (int i = 0; i < 4; i++)
        put_byte(t, (unsigned)(value >> (8 * i)) & 255);
}

/* The tuple (height, width). */
static void put_sides(struct text *t, size_t height, size_t width)
{
    put_number(t, 'J', height);
    put_number(t, 'J', width);
    put_byte(t, 0x86); /* TUPLE2 */
}

char *emd_mask_encode(const uint8_t *left_out, size_t height, size_t width, size_t *length)
{
    static const char boolean[] = "cscitbx_array_family_flex_ext\nbool\n",
                      grid[] = "cscitbx_array_family_flex_ext\ngrid\n";
    unsigned digits = 0;
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX)
        return NULL;
    const size_t n = height * width;
    if (n > INT32_MAX)
        return NULL;
    struct text t = {.bytes = malloc(n + sizeof boolean + sizeof grid + 100)};
    if (!t.bytes)
        return NULL;
    while (n >> (8 * digits))
        digits++;
    put(&t, "\x80\x03", 2); /* protocol 3 */
    /* bool(), an empty array, ... */
    put(&t, boolean, sizeof boolean - 1);
    put(&t, ")R", 2);
    /* ... with the state (grid((0, 0), (height, width), True), elements): the grid has its focus as
     * a state of its own. */
    put(&t, grid, sizeof grid - 1);
    put_sides(&t, 0, 0);
    put_sides(&t, height, width);
    put(&t, "\x88\x87R", 3); /* NEWTRUE TUPLE3 REDUCE */
    put_sides(&t, height, width);
    put(&t, "b", 1); /* BUILD */
    put_number(&t, 'B', 1 + digits + n);
    put_byte(&t, digits + 1);
    for (unsigned i = 0; i < digits; i++)
        put_byte(&t, (unsigned)(n >> (8 * i)) & 255);
    for (size_t i = 0; i < n; i++)
        put_byte(&t, left_out[i] ? '0' : '1');
    put(&t,
        "\x86"
        "b\x85.",
        4); /* TUPLE2 BUILD TUPLE1 STOP */
    *length = t.length;
    return t.bytes;
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool is_the_same(const char *path, const char *bytes, size_t length)
{
    struct stat st;
    const int fd = emd_open_regular(AT_FDCWD, path, O_RDONLY);
    char *found = NULL;
    bool same = fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= 0 && (size_t)st.st_size == length &&
                (found = malloc(length)) && emd_pread_all(fd, found, length, 0) == 0 &&
                memcmp(found, bytes, length) == 0;
    free(found);
    if (fd >= 0)
        close(fd);
    return same;
}

enum emd_status emd_mask_write(const char *path, const uint8_t *left_out, size_t height,
                               size_t width, bool replace, struct emd_error *err)
{
    struct emd_safefile *file = NULL;
    size_t length = 0;
    char *bytes = emd_mask_encode(left_out, height, width, &length);
    enum emd_status status = EMD_OK;
    if (!bytes)
        return emd_fail(err, EMD_E_MEMORY, "%s: no memory for a mask of %zu x %zu pixels", path,
                        width, height);
    /* Several trials of a crystal share one, and can begin at the same time. */
    for (int attempt = 0; attempt < 100; attempt++) {
        if (replace && is_the_same(path, bytes, length))
            goto out;
        status = emd_safefile_create(path, &file, err);
        if (status != EMD_E_BUSY || !replace)
            break;
        nanosleep(&(const struct timespec){.tv_nsec = 100000000}, NULL);
    }
    if (status == EMD_OK && emd_pwrite_all(emd_safefile_fd(file), bytes, length, 0) != 0) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write %s", path);
        emd_safefile_discard(file);
    } else if (status == EMD_OK) {
        status = emd_safefile_commit(&file, 1, replace, err);
    }
out:
    free(bytes);
    return status;
}
