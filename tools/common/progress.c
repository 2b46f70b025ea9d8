/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "common/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

static bool shown;
static char name[256];
static uint64_t total_bytes;
static double started, drawn;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void emd_progress_init(bool wanted)
{
    shown = wanted && isatty(STDERR_FILENO);
}

static void set_name(const char *what)
{
    char visible[9], *to = name;
    for (size_t n;
         to + sizeof visible <= name + sizeof name && (n = emd_utf8_show(what, visible)) > 0;
         what += n)
        to = stpcpy(to, visible);
    *to = '\0';
}

void emd_progress_start(const char *what, uint64_t total)
{
    set_name(what);
    total_bytes = total;
    started = now();
    drawn = 0;
}

/* Whether it is time to draw; the caller then does. */
static bool is_due(void)
{
    if (!shown)
        return false;
    const double t = now();
    if (t - drawn < 0.1)
        return false;
    drawn = t;
    return true;
}

static void draw(const char *right)
{
    struct winsize size = {.ws_col = 80};
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    int room = (int)(size.ws_col ? size.ws_col : 80) - (int)strlen(right) - 1;
    /* A long name keeps its end: that is where the file's own name is. */
    const char *shown_name = name;
    int length = (int)strlen(name);
    if (room < 8)
        room = 8;
    if (length > room)
        for (shown_name += length - room;
             (*shown_name & 0xc0) == 0x80;) /* not inside a character */
            shown_name++;
    fprintf(stderr, "\r%s%s\033[K", shown_name, right);
    fflush(stderr);
}

void emd_progress_update(uint64_t done)
{
    if (!is_due())
        return;
    double seconds = drawn - started, rate = seconds > 0 ? (double)done / seconds : 0;
    char right[96];
    if (total_bytes > 0 && rate > 0) {
        double left = done < total_bytes ? (double)(total_bytes - done) / rate : 0;
        snprintf(right, sizeof right, " %3.0f %% %6.0f MB/s  %d:%02d left",
                 100.0 * (double)(done < total_bytes ? done : total_bytes) / (double)total_bytes,
                 rate / 1e6, (int)(left / 60), (int)left % 60);
    } else {
        snprintf(right, sizeof right, " %6.0f MB/s", rate / 1e6);
    }
    draw(right);
}

void emd_progress_show(const char *what, const char *right)
{
    if (!is_due())
        return;
    set_name(what);
    draw(right);
}

void emd_progress_end(void)
{
    if (shown && drawn > 0) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    drawn = 0;
}
