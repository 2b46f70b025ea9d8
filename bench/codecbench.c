/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Measures codecs on raw frames, in memory, one frame a chunk:
 *
 *     codecbench [-t SECONDS] [-r ROUNDS] [-c CODEC] FRAME...
 *
 * FRAME is NAME.i2.WIDTH or NAME.u2.WIDTH, little-endian 16-bit pixels. One line for each codec and
 * frame on stdout: frame, codec, bits a pixel, MB of pixels a second encoded and decoded (the best
 * of all rounds; codecs take turns, so that a slow moment of the machine falls on all), tab
 * separated. -c: that codec only. Every decoded frame is compared with the original. */
#include <blosc.h>
#include <charls/charls.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#include "codec/edc/edc.h"
#include "codec/transpose8.h"

struct frame {
    const char *name;
    uint8_t *pixels;
    size_t n;
    uint32_t width, height;
    bool is_signed;
};

struct contestant {
    const char *name;
    size_t (*encode)(const struct frame *f, int option, uint8_t *dst, size_t capacity);
    bool (*decode)(const struct frame *f, int option, const uint8_t *src, size_t n, uint8_t *dst);
    int option;
};

static uint8_t *scratch; /* a shuffled frame */
static ZSTD_CCtx *cctx;
static ZSTD_DCtx *dctx;
static struct emd_edc_work *work;

static size_t zlib_encode(const struct frame *f, int level, uint8_t *dst, size_t capacity)
{
    uLongf size = capacity;
    emd_shuffle(2, f->pixels, scratch, f->n);
    return compress2(dst, &size, scratch, f->n, level) == Z_OK ? size : 0;
}

static bool zlib_decode(const struct frame *f, int level, const uint8_t *src, size_t n,
                        uint8_t *dst)
{
    uLongf size = f->n;
    (void)level;
    if (uncompress(scratch, &size, src, n) != Z_OK || size != f->n)
        return false;
    emd_unshuffle(2, scratch, dst, f->n);
    return true;
}

static size_t zstd_encode(const struct frame *f, int level, uint8_t *dst, size_t capacity)
{
    emd_shuffle(2, f->pixels, scratch, f->n);
    const size_t size = ZSTD_compressCCtx(cctx, dst, capacity, scratch, f->n, level);
    return ZSTD_isError(size) ? 0 : size;
}

static bool zstd_decode(const struct frame *f, int level, const uint8_t *src, size_t n,
                        uint8_t *dst)
{
    (void)level;
    if (ZSTD_decompressDCtx(dctx, scratch, f->n, src, n) != f->n)
        return false;
    emd_unshuffle(2, scratch, dst, f->n);
    return true;
}

/* Frames of a multiple of 8 pixels. */
static size_t bits_encode(const struct frame *f, int level, uint8_t *dst, size_t capacity)
{
    emd_bitshuffle(2, f->pixels, scratch, f->n / 2);
    const size_t size = ZSTD_compressCCtx(cctx, dst, capacity, scratch, f->n, level);
    return ZSTD_isError(size) ? 0 : size;
}

static bool bits_decode(const struct frame *f, int level, const uint8_t *src, size_t n,
                        uint8_t *dst)
{
    (void)level;
    if (ZSTD_decompressDCtx(dctx, scratch, f->n, src, n) != f->n)
        return false;
    emd_bitunshuffle(2, scratch, dst, f->n / 2);
    return true;
}

static size_t blosc_encode(const struct frame *f, int level, uint8_t *dst, size_t capacity)
{
    const int size =
        blosc_compress_ctx(level, BLOSC_BITSHUFFLE, 2, f->n, f->pixels, dst, capacity, "lz4", 0, 1);
    return size > 0 ? (size_t)size : 0;
}

static bool blosc_decode(const struct frame *f, int level, const uint8_t *src, size_t n,
                         uint8_t *dst)
{
    (void)level;
    (void)n;
    return blosc_decompress_ctx(src, dst, f->n, 1) == (int)f->n;
}

/* JPEG-LS knows numbers without sign only. */
static void flip_sign(const struct frame *f, const uint8_t *from, uint8_t *to)
{
    for (size_t i = 0; i < f->n; i += 2) {
        to[i] = from[i];
        to[i + 1] = from[i + 1] ^ (f->is_signed ? 0x80 : 0);
    }
}

static size_t charls_encode(const struct frame *f, int option, uint8_t *dst, size_t capacity)
{
    const charls_frame_info info = {f->width, f->height, 16, 1};
    charls_jpegls_encoder *const encoder = charls_jpegls_encoder_create();
    size_t size = 0;
    (void)option;
    flip_sign(f, f->pixels, scratch);
    if (!encoder || charls_jpegls_encoder_set_frame_info(encoder, &info) ||
        charls_jpegls_encoder_set_destination_buffer(encoder, dst, capacity) ||
        charls_jpegls_encoder_encode_from_buffer(encoder, scratch, f->n, 0) ||
        charls_jpegls_encoder_get_bytes_written(encoder, &size))
        size = 0;
    charls_jpegls_encoder_destroy(encoder);
    return size;
}

static bool charls_decode(const struct frame *f, int option, const uint8_t *src, size_t n,
                          uint8_t *dst)
{
    charls_jpegls_decoder *const decoder = charls_jpegls_decoder_create();
    (void)option;
    const bool ok = decoder && !charls_jpegls_decoder_set_source_buffer(decoder, src, n) &&
                    !charls_jpegls_decoder_read_header(decoder) &&
                    !charls_jpegls_decoder_decode_to_buffer(decoder, scratch, f->n, 0);
    charls_jpegls_decoder_destroy(decoder);
    if (ok)
        flip_sign(f, scratch, dst);
    return ok;
}

static size_t edc_encode(const struct frame *f, int effort, uint8_t *dst, size_t capacity)
{
    const struct emd_edc_params p = {.item_size = 2,
                                     .is_integer = true,
                                     .is_signed = f->is_signed,
                                     .width = f->width,
                                     .height = f->height,
                                     .planes = 1,
                                     .effort = (enum emd_edc_effort)(effort % 10)};
    size_t size = 0;
    return emd_edc_encode(&p, work, f->pixels, f->n, dst, capacity, &size, NULL) == EMD_OK ? size
                                                                                           : 0;
}

/* Tens of the option: threads. */
static bool edc_decode(const struct frame *f, int option, const uint8_t *src, size_t n,
                       uint8_t *dst)
{
    size_t size = 0;
    return emd_edc_decode((unsigned)option / 10, work, src, n, dst, f->n, &size, NULL) == EMD_OK &&
           size == f->n;
}

static const struct contestant contestants[] = {
    {"shuffle+zlib 4", zlib_encode, zlib_decode, 4},
    {"shuffle+zstd 1", zstd_encode, zstd_decode, 1},
    {"bitshuffle+zstd 1", bits_encode, bits_decode, 1},
    {"bitshuffle+zstd 3", bits_encode, bits_decode, 3},
    {"blosc lz4 5", blosc_encode, blosc_decode, 5},
    {"JPEG-LS (CharLS)", charls_encode, charls_decode, 0},
    {"edc 1", edc_encode, edc_decode, 1},
    {"edc", edc_encode, edc_decode, 2},
    {"edc, 2 threads", edc_encode, edc_decode, 22},
    {"edc 3", edc_encode, edc_decode, 3},
};
enum { CONTESTANTS = sizeof contestants / sizeof contestants[0] };

/* In huge pages, as the filters have their output. */
static void *new_buffer(size_t n)
{
    enum { HUGE_PAGE = 2 << 20 };
    void *buffer = NULL;
    if (posix_memalign(&buffer, HUGE_PAGE, n) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(buffer, n & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
    return buffer;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* only: the one contestant's name, or NULL */
static int measure(const struct frame *f, int rounds, double seconds, const char *only)
{
    const size_t capacity = f->n * 2 + 4096;
    uint8_t *const packed = new_buffer(capacity), *const back = new_buffer(f->n);
    double encode[CONTESTANTS], decode[CONTESTANTS];
    size_t size[CONTESTANTS];
    int failed = packed && back ? 0 : 1;
    for (int c = 0; c < CONTESTANTS; c++)
        encode[c] = decode[c] = 1e9;
    for (int round = 0; round < rounds && !failed; round++)
        for (int c = 0; c < CONTESTANTS && !failed; c++) {
            const struct contestant *const who = &contestants[c];
            if (only && strcmp(only, who->name) != 0)
                continue;
            const double end = now() + seconds / rounds / (only ? 1 : CONTESTANTS);
            do {
                const double start = now();
                size[c] = who->encode(f, who->option, packed, capacity);
                const double half = now();
                memset(back, 0xA5, f->n);
                const double again = now();
                const bool ok = size[c] && who->decode(f, who->option, packed, size[c], back);
                const double stop = now();
                if (!ok || memcmp(back, f->pixels, f->n) != 0) {
                    fprintf(stderr, "codecbench: %s: %s does not bring it back\n", f->name,
                            who->name);
                    failed = 1;
                    break;
                }
                if (half - start < encode[c])
                    encode[c] = half - start;
                if (stop - again < decode[c])
                    decode[c] = stop - again;
            } while (now() < end);
        }
    for (int c = 0; c < CONTESTANTS && !failed; c++) {
        if (only && strcmp(only, contestants[c].name) != 0)
            continue;
        printf("%s\t%s\t%.4f\t%.0f\t%.0f\n", f->name, contestants[c].name,
               (double)size[c] * 8 / ((double)f->n / 2), (double)f->n / encode[c] / 1e6,
               (double)f->n / decode[c] / 1e6);
    }
    fflush(stdout);
    free(packed);
    free(back);
    return failed;
}

int main(int argc, char **argv)
{
    double seconds = 6;
    const char *only = NULL;
    int rounds = 3, failed = 0, at = 1;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (strcmp(argv[at], "-t") == 0)
            seconds = atof(argv[at + 1]);
        else if (strcmp(argv[at], "-r") == 0)
            rounds = atoi(argv[at + 1]);
        else if (strcmp(argv[at], "-c") == 0)
            only = argv[at + 1];
    }
    cctx = ZSTD_createCCtx();
    dctx = ZSTD_createDCtx();
    work = emd_edc_work_new();
    for (; at < argc && !failed; at++) {
        const char *const slash = strrchr(argv[at], '/'), *const base =
                                                              slash ? slash + 1 : argv[at];
        static char name[64];
        char type;
        struct frame f = {.name = name};
        FILE *const file = fopen(argv[at], "rb");
        if (!file || sscanf(base, "%63[^.].%c2.%u", name, &type, &f.width) != 3 || f.width == 0) {
            fprintf(stderr, "codecbench: %s: no frame\n", argv[at]);
            return 1;
        }
        fseek(file, 0, SEEK_END);
        f.n = (size_t)ftell(file);
        rewind(file);
        f.is_signed = type == 'i';
        f.height = (uint32_t)(f.n / 2 / f.width);
        f.pixels = new_buffer(f.n);
        scratch = new_buffer(f.n);
        if (!f.pixels || !scratch || fread(f.pixels, 1, f.n, file) != f.n) {
            fprintf(stderr, "codecbench: %s: cannot be read\n", argv[at]);
            return 1;
        }
        fclose(file);
        failed = measure(&f, rounds, seconds, only);
        free(f.pixels);
        free(scratch);
    }
    ZSTD_freeCCtx(cctx);
    ZSTD_freeDCtx(dctx);
    emd_edc_work_free(work);
    return failed;
}
