/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Runs a libFuzzer target without libFuzzer: over files (AFL: over stdin), and with -m N also over
 * N simple mutations of each file, which are the same in every run. Any compiler. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void run(const uint8_t *data, size_t size)
{
    /* a block of its own, so that sanitizers see reads behind the end */
    uint8_t *const exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void mutate(uint8_t *data, size_t *size)
{
    for (uint64_t edits = 1 + next_random() % 3; edits && *size; edits--) {
        const size_t at = next_random() % (next_random() % 2 ? *size : *size < 300 ? *size : 300);
        switch (next_random() % 5) {
        case 0:
            data[at] ^= (uint8_t)(1u << next_random() % 8);
            break;
        case 1:
            data[at] = (uint8_t)next_random();
            break;
        case 2:
            data[at] = next_random() % 2 ? 0xFF : 0;
            break;
        case 3:
            *size = at;
            break;
        default:
            data[at] = (uint8_t)(data[at] + (next_random() % 2 ? 1 : 255));
        }
    }
}

static int run_file(FILE *f, const char *name, long mutations)
{
    enum { MOST = 1 << 20 };
    static uint8_t original[MOST], work[MOST];
    const size_t size = fread(original, 1, MOST, f);
    if (ferror(f)) {
        perror(name);
        return 1;
    }
    run(original, size);
    for (long i = 0; i < mutations; i++) {
        size_t changed = size;
        memcpy(work, original, size);
        mutate(work, &changed);
        run(work, changed);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int at = 1, failed = 0;
    long mutations = 0;
    if (argc > 2 && strcmp(argv[1], "-m") == 0) {
        mutations = strtol(argv[2], NULL, 10);
        at = 3;
    }
    if (at == argc)
        return run_file(stdin, "stdin", mutations);
    for (; at < argc && !failed; at++) {
        FILE *const f = fopen(argv[at], "rb");
        if (!f) {
            perror(argv[at]);
            return 1;
        }
        failed = run_file(f, argv[at], mutations);
        fclose(f);
    }
    return failed;
}
