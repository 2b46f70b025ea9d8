/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Writes EDC streams of every kind into a folder, for fuzzing and for the reference decoder:
 *
 *     edcseeds FOLDER [FRAME ...]
 *
 * NAME.edc is a stream and NAME.raw what it decodes to; decode/NAME and encode/NAME are seeds of
 * the fuzz targets. FRAMEs (NAME.i2.WIDTH or NAME.u2.WIDTH: little-endian pixels) are added whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/edc/edc.h"

static uint64_t state = 1234567;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20);
}

static void put_file(const char *folder, const char *name, const char *suffix, const void *head,
                     size_t head_size, const void *data, size_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    FILE *const f = fopen(path, "wb");
    if (!f || fwrite(head, 1, head_size, f) != head_size || fwrite(data, 1, size, f) != size ||
        fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static void put_stream(const char *folder, const char *name, const struct emd_edc_params *p,
                       const uint8_t *raw, size_t n, bool seeds)
{
    const size_t bound = emd_edc_bound(n);
    uint8_t *const stream = malloc(bound);
    struct emd_error err;
    size_t size = 0;
    if (!stream || emd_edc_encode(p, NULL, raw, n, stream, bound, &size, &err) != EMD_OK) {
        fprintf(stderr, "edcseeds: %s: %s\n", name, stream ? err.text : "out of memory");
        exit(1);
    }
    put_file(folder, name, ".edc", "", 0, stream, size);
    put_file(folder, name, ".raw", "", 0, raw, n);
    if (seeds) {
        char sub[4096];
        const uint8_t head[5] = {(uint8_t)((p->item_size == 4 ? 2 : p->item_size - 1) |
                                           (p->is_integer ? 4 : 0) | (p->is_signed ? 8 : 0) |
                                           (p->big_endian ? 16 : 0) | (p->interleaved ? 32 : 0)),
                                 (uint8_t)(p->width - 1), (uint8_t)(p->height - 1),
                                 (uint8_t)(p->planes - 1), (uint8_t)(p->effort - 1)};
        snprintf(sub, sizeof sub, "%s/decode", folder);
        put_file(sub, name, "", "", 1, stream, size); /* a NUL: all the room */
        snprintf(sub, sizeof sub, "%s/encode", folder);
        put_file(sub, name, "", head, sizeof head, raw, n);
    }
    free(stream);
}

static int64_t pixel(int picture, uint32_t x, uint32_t y)
{
    const uint32_t r = next_random();
    switch (picture) {
    case 0: /* a camera */
        return 20 + (x + y) / 9 + (r & 7) + (r >> 8 & 7) + (r % 211 == 0 ? r >> 20 : 0);
    case 1: /* counts */
        return r % 13 == 0;
    case 2: /* blobs */
        return (x * 5 + y) % 23 < 3 && y % 9 < 3 ? r & 127 : 0;
    case 3: /* noise */
        return r;
    case 4: /* bright */
        return 3000 + 20 * x + (r & 1023) - (r % 97 == 0 ? 3000 : 0);
    default: /* dark, around zero */
        return (int64_t)(r & 3) + (r >> 4 & 3) - 3;
    }
}

int main(int argc, char **argv)
{
    static uint8_t raw[1 << 16];
    char sub[4096];
    if (argc < 2) {
        fputs("usage: edcseeds FOLDER [FRAME ...]\n", stderr);
        return 2;
    }
    const char *const subs[] = {"", "/decode", "/encode"};
    for (int i = 0; i < 3; i++) {
        snprintf(sub, sizeof sub, "%s%s", argv[1], subs[i]);
        mkdir(sub, 0777);
    }
    const struct {
        uint32_t width, height, planes;
        bool interleaved;
    } shapes[] = {{40, 30, 1, false}, {65, 20, 1, false}, {9, 700, 1, false},
                  {900, 1, 1, false}, {33, 17, 3, true},  {31, 33, 2, false}};
    for (int picture = 0; picture < 6; picture++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (unsigned item = 1; item <= 4; item *= 2) {
                const struct emd_edc_params p = {
                    .item_size = item,
                    .is_integer = true,
                    .is_signed = picture == 5 || (s & 1),
                    .big_endian = s % 3 == 1,
                    .interleaved = shapes[s].interleaved,
                    .width = shapes[s].width,
                    .height = shapes[s].height,
                    .planes = shapes[s].planes,
                    .effort = (enum emd_edc_effort)(1 + (s + item + (size_t)picture) % 3)};
                size_t n = 0;
                for (uint32_t y = 0; y < p.height; y++)
                    for (uint32_t x = 0; x < p.width * p.planes; x++) {
                        const int64_t v = pixel(picture, x, y);
                        for (unsigned b = 0; b < item; b++)
                            raw[n++] =
                                (uint8_t)((uint64_t)v >> (8 * (p.big_endian ? item - 1 - b : b)));
                    }
                char name[64];
                snprintf(name, sizeof name, "p%d-%ux%ux%u-%u", picture, p.width, p.height, p.planes,
                         item);
                put_stream(argv[1], name, &p, raw, n, true);
            }
    const struct emd_edc_params bytes = {
        .item_size = 8, .width = 1, .height = 1, .planes = 1, .effort = EMD_EDC_DEFAULT};
    for (size_t i = 0; i < 3000; i++)
        raw[i] = (uint8_t)(i % 8 > 4 ? next_random() : i % 8);
    put_stream(argv[1], "bytes", &bytes, raw, 3000, true);
    put_stream(argv[1], "nothing", &bytes, raw, 0, true);

    for (int i = 2; i < argc; i++) {
        const char *const slash = strrchr(argv[i], '/'), *const base = slash ? slash + 1 : argv[i];
        char name[64], type;
        unsigned width;
        FILE *const f = fopen(argv[i], "rb");
        if (!f || sscanf(base, "%63[^.].%c2.%u", name, &type, &width) != 3 || width == 0) {
            fprintf(stderr, "edcseeds: %s: no frame\n", argv[i]);
            return 1;
        }
        struct stat st;
        if (fstat(fileno(f), &st) != 0 || st.st_size <= 0)
            return 1;
        const size_t n = (size_t)st.st_size;
        uint8_t *const frame = malloc(n);
        if (!frame || fread(frame, 1, n, f) != n)
            return 1;
        const struct emd_edc_params p = {.item_size = 2,
                                         .is_integer = true,
                                         .is_signed = type == 'i',
                                         .width = width,
                                         .height = (uint32_t)(n / 2 / width),
                                         .planes = 1,
                                         .effort = EMD_EDC_DEFAULT};
        put_stream(argv[1], name, &p, frame, n, false);
        free(frame);
        fclose(f);
    }
    return 0;
}
