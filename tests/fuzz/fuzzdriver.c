/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Runs a fuzz target over the files of a folder, without libFuzzer: each whole, cut at 64 places,
 * and with single bytes changed, in buffers of exactly their size. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    run(data, size);
    for (size_t i = 0; i < 64; i++)
        run(data, size * i / 64);
    uint32_t state = 1;
    for (size_t i = 0; i < 256 && size > 0; i++) {
        state = state * 1664525 + 1013904223; /* Numerical Recipes' generator: any will do */
        size_t at = (state >> 8) % size;
        uint8_t before = data[at];
        data[at] = (uint8_t)(state >> 3);
        run(data, size);
        data[at] = before;
    }
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        run_file(path);
        count++;
    }
    closedir(dir);
    printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
