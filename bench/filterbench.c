/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Writes and reads frames through one HDF5 filter, in memory, and prints
 *   write MB/s, read MB/s, raw bytes / stored bytes
 * of raw data, in processor time (one thread in memory, so what else runs matters little), and the
 * best of the rounds.
 *   filterbench FRAMES WIDTH HEIGHT ROUNDS [shuffle] [checksum] ID [VALUE...]   (ID 0: no filter)
 *   filterbench FRAMES WIDTH HEIGHT ROUNDS [shuffle] plain LEVEL     (zstd by libzstd alone)
 * FRAMES is a file of 16-bit frames; they are repeated until there are 8 or more. The plugin is
 * what HDF5 finds by HDF5_PLUGIN_PATH. */
#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

struct result {
    double write, read; /* seconds, best */
    double ratio;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const char *what)
{
    fprintf(stderr, "filterbench: %s\n", what);
    exit(1);
}

static void keep_best(double *best, double seconds)
{
    if (*best == 0 || seconds < *best)
        *best = seconds;
}

static void run_hdf5(const int16_t *frames, int16_t *back, size_t count, const hsize_t frame[3],
                     hid_t list, struct result *result)
{
    const hsize_t dims[] = {count, frame[1], frame[2]};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), cache = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_fapl_core(access, (size_t)64 << 20, 0);
    H5Pset_chunk_cache(cache, 0, 0, 1); /* every chunk goes through the filter at once */
    hid_t file = H5Fcreate("bench", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hid_t space = H5Screate_simple(3, dims, NULL), memory = H5Screate_simple(3, frame, NULL);
    hid_t set = H5Dcreate2(file, "x", H5T_STD_I16LE, space, H5P_DEFAULT, list, cache);
    if (set < 0)
        stop("the filter cannot be used");
    for (int pass = 0; pass < 2; pass++) {
        const double start = now();
        for (hsize_t i = 0; i < count; i++) {
            const hsize_t at[] = {i, 0, 0};
            const size_t offset = (size_t)(i * frame[1] * frame[2]);
            H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, frame, NULL);
            if ((pass == 0
                     ? H5Dwrite(set, H5T_STD_I16LE, memory, space, H5P_DEFAULT, frames + offset)
                     : H5Dread(set, H5T_STD_I16LE, memory, space, H5P_DEFAULT, back + offset)) < 0)
                stop(pass == 0 ? "writing failed" : "reading failed");
        }
        keep_best(pass == 0 ? &result->write : &result->read, now() - start);
    }
    const size_t bytes = count * (size_t)(frame[1] * frame[2]) * sizeof frames[0];
    if (memcmp(frames, back, bytes) != 0)
        stop("wrong data");
    result->ratio = (double)bytes / (double)H5Dget_storage_size(set);
    H5Dclose(set);
    H5Sclose(space);
    H5Sclose(memory);
    H5Pclose(access);
    H5Pclose(cache);
    H5Fclose(file);
}

/* The least that a zstd filter can be: libzstd, malloc and free. */
static size_t plain_zstd(unsigned flags, size_t cd_count, const unsigned *cd, size_t n,
                         size_t *room, void **buffer)
{
    static ZSTD_CCtx *cctx;
    static ZSTD_DCtx *dctx;
    const bool reverse = flags & H5Z_FLAG_REVERSE;
    if (!cctx) {
        cctx = ZSTD_createCCtx();
        dctx = ZSTD_createDCtx();
    }
    const size_t most =
        reverse ? (size_t)ZSTD_getFrameContentSize(*buffer, n) : ZSTD_compressBound(n);
    void *out = malloc(most);
    if (!cctx || !dctx || !out)
        stop("out of memory");
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, cd_count > 0 ? (int)cd[0] : 3);
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1);
    const size_t size = reverse ? ZSTD_decompressDCtx(dctx, out, most, *buffer, n)
                                : ZSTD_compress2(cctx, out, most, *buffer, n);
    if (ZSTD_isError(size))
        stop("libzstd failed");
    free(*buffer);
    *buffer = out;
    *room = most;
    return size;
}

int main(int argc, char **argv)
{
    struct result result = {0};
    if (argc < 6)
        stop("FRAMES WIDTH HEIGHT ROUNDS [shuffle] [checksum] ID [VALUE...] | [shuffle] plain "
             "LEVEL");
    const hsize_t frame[] = {1, (hsize_t)atol(argv[3]), (hsize_t)atol(argv[2])};
    const int rounds = atoi(argv[4]);
    const size_t bytes = (size_t)(frame[1] * frame[2]) * 2;
    FILE *f = fopen(argv[1], "rb");
    if (!f || bytes == 0 || fseek(f, 0, SEEK_END) != 0)
        stop("no frames");
    const long length = ftell(f);
    const size_t in_file = length > 0 ? (size_t)length / bytes : 0;
    const size_t count = in_file > 0 ? (8 + in_file - 1) / in_file * in_file : 0;
    int16_t *frames = malloc(count * bytes + 1), *back = malloc(count * bytes + 1);
    rewind(f);
    if (!frames || !back || count == 0 || fread(frames, bytes, in_file, f) != in_file)
        stop("no whole frame");
    fclose(f);
    for (size_t i = in_file; i < count; i++)
        memcpy(frames + i * bytes / 2, frames + (i - in_file) * bytes / 2, bytes);
    memset(back, 1, count * bytes);
    const bool shuffle = strcmp(argv[5], "shuffle") == 0;
    const bool checksum = argc > 6 && strcmp(argv[5 + shuffle], "checksum") == 0;
    const int first = 5 + shuffle + checksum;
    unsigned cd[20];
    size_t values = 0;
    if (first >= argc)
        stop("no filter id");
    H5Z_filter_t id = atoi(argv[first]);
    if (strcmp(argv[first], "plain") == 0) {
        const H5Z_class2_t plain = {H5Z_CLASS_T_VERS, 32015, 1, 1, "zstd", NULL, NULL, plain_zstd};
        id = plain.id;
        if (H5Zregister(&plain) < 0)
            stop("the filter cannot be registered");
    }
    for (int i = first + 1; i < argc && values < 20; i++)
        cd[values++] = (unsigned)strtoul(argv[i], NULL, 10);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 3, frame);
    if (shuffle)
        H5Pset_shuffle(list);
    if (id == 1)
        H5Pset_deflate(list, values > 0 ? cd[0] : 4);
    else if (id != 0 && H5Pset_filter(list, id, H5Z_FLAG_MANDATORY, values, cd) < 0)
        stop("no such filter");
    if (checksum)
        H5Pset_fletcher32(list);
    for (int i = 0; i < rounds; i++)
        run_hdf5(frames, back, count, frame, list, &result);
    const double megabytes = (double)(count * bytes) / 1e6;
    printf("%.1f %.1f %.4f\n", megabytes / result.write, megabytes / result.read, result.ratio);
    free(frames);
    free(back);
    return 0;
}
