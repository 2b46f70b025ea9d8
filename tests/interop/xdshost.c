/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Does what XDS does with a library given by LIB=, for tests:
 *
 *     xdshost LIBRARY NAME THREADS OUT
 *
 * writes a line "nx ny nbytes qx qy frames" to stdout and all frames to OUT as 32-bit integers;
 * those that cannot be read are full of -7777777, and their numbers follow on lines of their own.
 * Exit 1: the file cannot be opened. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INFO = 1024, THREADS_MAX = 16, UNREAD = -7777777 };

static void (*plugin_open)(const char *, int *, int *);
static void (*plugin_get_header)(int *, int *, int *, float *, float *, int *, int *, int *);
static void (*plugin_get_data)(int *, int *, int *, int *, int *, int *);
static void (*plugin_close)(int *);

static int nx, ny, frames;
static unsigned threads;
static int *pixels, *failed;

static void find(void *library, const char *name, void *function)
{
    void *const address = dlsym(library, name);
    if (!address) {
        fprintf(stderr, "no %s\n", name);
        exit(2);
    }
    memcpy(function, &address, sizeof address);
}

static void *read_some(void *first)
{
    int info[INFO];
    for (int frame = 1 + *(const int *)first; frame <= frames; frame += (int)threads) {
        int error = -999;
        int *const to = pixels + (size_t)(frame - 1) * (size_t)nx * (size_t)ny;
        plugin_get_data(&frame, &nx, &ny, to, info, &error);
        failed[frame - 1] = error;
        for (size_t i = 0; error != 0 && i < (size_t)nx * (size_t)ny; i++)
            to[i] = UNREAD;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int info[INFO], error = -999, nbytes = 0, first[THREADS_MAX];
    float qx = 0, qy = 0;
    pthread_t thread[THREADS_MAX];
    if (argc != 5)
        return 2;
    threads = (unsigned)atoi(argv[3]);
    void *const library = dlopen(argv[1], RTLD_NOW);
    if (!library || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "%s\n", library ? "threads" : dlerror());
        return 2;
    }
    find(library, "plugin_open", &plugin_open);
    find(library, "plugin_get_header", &plugin_get_header);
    find(library, "plugin_get_data", &plugin_get_data);
    find(library, "plugin_close", &plugin_close);
    plugin_open(argv[2], info, &error);
    if (error != 0)
        return 1;
    plugin_get_header(&nx, &ny, &nbytes, &qx, &qy, &frames, info, &error);
    if (error != 0)
        return 1;
    printf("%d %d %d %.5f %.5f %d\n", nx, ny, nbytes, (double)qx, (double)qy, frames);
    const size_t n = (size_t)nx * (size_t)ny;
    pixels = calloc(n * (size_t)frames + 1, sizeof *pixels);
    failed = calloc((size_t)frames + 1, sizeof *failed);
    if (!pixels || !failed)
        return 2;
    for (unsigned i = 0; i < threads; i++) {
        first[i] = (int)i;
        if (pthread_create(&thread[i], NULL, read_some, &first[i]) != 0)
            return 2;
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < frames; i++)
        if (failed[i] != 0)
            printf("%d\n", i + 1);
    /* Frames that are not there are errors, not crashes. */
    for (int frame = 0; frame <= frames + 1; frame += frames + 1) {
        error = 0;
        plugin_get_data(&frame, &nx, &ny, pixels, info, &error);
        if (error == 0)
            return 2;
    }
    FILE *const out = fopen(argv[4], "wb");
    if (!out || fwrite(pixels, sizeof *pixels, n * (size_t)frames, out) != n * (size_t)frames ||
        fclose(out) != 0)
        return 2;
    plugin_close(&error);
    free(pixels);
    free(failed);
    dlclose(library);
    return error == 0 ? 0 : 2;
}
