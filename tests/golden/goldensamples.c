/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Golden samples (tests/data/golden): streams as a codec once wrote them.
 *
 *     goldensamples decode < LIST     lines "CODEC CD,CD,... BYTES FILE OUTPUT": decodes each FILE,
 *                                     of BYTES bytes, into OUTPUT; prints "ok", or the error
 *     goldensamples encode < LIST     the same lines: encodes FILE into OUTPUT and prints the
 * cd_values
 *
 * The list comes from test_golden.py and make_golden.py; cd "-" is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "codec/codec.h"

enum { MOST = 1 << 22 };

static size_t read_file(const char *path, unsigned char *data)
{
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(data, 1, MOST, f) : 0;
    if (!f || ferror(f)) {
        perror(path);
        exit(2);
    }
    fclose(f);
    return n;
}

static void write_file(const char *path, const unsigned char *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) {
        perror(path);
        exit(2);
    }
}

static size_t parse_values(const char *text, unsigned *cd)
{
    size_t count = 0;
    while (*text >= '0' && *text <= '9' && count < EMD_CD_MAX) {
        char *end;
        cd[count++] = (unsigned)strtoul(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    return count;
}

int main(int argc, char **argv)
{
    static unsigned char from[MOST], to[2 * MOST];
    char codec_name[32], values[512], path[1024], output[1024];
    size_t bytes;
    const bool encode = argc == 2 && strcmp(argv[1], "encode") == 0;
    if (!encode && (argc != 2 || strcmp(argv[1], "decode") != 0)) {
        fputs("usage: goldensamples decode|encode < LIST\n", stderr);
        return 2;
    }
    const char *level = getenv("EMDTOOLS_SIMD");
    if (level && strcmp(emd_simd_name(emd_simd_level()), level) != 0) {
        fprintf(stderr, "goldensamples: this machine has no %s\n", level);
        return 3;
    }
    while (scanf("%31s %511s %zu %1023s %1023s", codec_name, values, &bytes, path, output) == 5) {
        const struct emd_codec *codec = emd_codec_by_name(codec_name);
        unsigned cd[EMD_CD_MAX];
        const size_t count = parse_values(values, cd), n = read_file(path, from);
        size_t size = 0;
        struct emd_error err = {0};
        enum emd_status status;
        if (!codec || bytes > MOST) {
            fprintf(stderr, "goldensamples: %s %zu: no such codec, or too large\n", codec_name,
                    bytes);
            return 2;
        }
        status = encode ? codec->encode(cd, count, NULL, from, n, to, sizeof to, &size, &err)
                        : codec->decode(cd, count, NULL, from, n, to, bytes, &size, &err);
        if (status != EMD_OK) {
            printf("%s\n", err.text);
            continue;
        }
        if (!encode && codec->trailer) /* it looks only: what is before the trailer is the data */
            memcpy(to, from, size);
        write_file(output, to, size);
        puts("ok");
    }
    return 0;
}
