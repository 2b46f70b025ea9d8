/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5's filter 6, scale-offset: numbers as differences to the smallest, in as many bits as the
 * largest difference takes; floating-point numbers are first made decimal integers (which loses
 * what they have beyond that). Read only: what this project writes is lossless for every input.
 *
 * Stored (H5Zscaleoffset.c): the number of bits, u32 LE; the length of the smallest value (8); that
 * value, 8 bytes LE; zeros up to byte 21; then the differences, each so many bits, the most
 * significant first. All bits of an element set: the fill value, where there is one. HDF5's own
 * decoder (seen in 1.10 and 1.14) does not compare these claims with the bytes that it has, and so
 * takes from behind a short chunk whatever lies in memory there. */
#include <math.h>
#include <string.h>

#include "codec/bitreader.h"
#include "codec/codecs.h"

/* Places of the parameters, of which there are always 20. */
enum {
    SCALE_TYPE,
    SCALE_FACTOR,
    ELEMENTS,
    CLASS,
    SIZE,
    SIGN,
    ORDER,
    FILL_DEFINED,
    FILL,
    PARAMETERS = 20
};
enum { SCALE_DECIMAL = 0, SCALE_INTEGER = 2 };
enum { CLASS_INTEGER = 0, CLASS_FLOAT = 1 };
enum { HEADER = 21, VALUE_AT = 5 };

static uint64_t from_bytes(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | bytes[n];
    return value;
}

static void put(unsigned char *to, size_t size, bool big_endian, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        to[big_endian ? size - 1 - i : i] = (unsigned char)(value >> 8 * i);
}

/* The pattern of a floating-point number from its difference, rounded where HDF5 rounds. */
static uint64_t restore_float(size_t size, uint64_t difference, uint64_t smallest, int decimals)
{
    uint64_t pattern = 0;
    if (size == sizeof(float)) {
        const uint32_t low = (uint32_t)smallest;
        float least, value;
        uint32_t bits;
        memcpy(&least, &low, sizeof least);
        value = (float)(int32_t)difference / (float)pow(10.0, decimals);
        value += least;
        memcpy(&bits, &value, sizeof bits);
        pattern = bits;
    } else {
        double least, value;
        memcpy(&least, &smallest, sizeof least);
        value = (double)(int64_t)difference / pow(10.0, decimals);
        value += least;
        memcpy(&pattern, &value, sizeof pattern);
    }
    return pattern;
}

static bool is_valid(const unsigned *cd, size_t cd_count)
{
    if (cd_count != PARAMETERS || cd[SIGN] > 1 || cd[ORDER] > 1 || cd[FILL_DEFINED] > 1)
        return false;
    if (cd[CLASS] == CLASS_FLOAT)
        return cd[SCALE_TYPE] == SCALE_DECIMAL && (cd[SIZE] == 4 || cd[SIZE] == 8);
    return cd[CLASS] == CLASS_INTEGER && cd[SCALE_TYPE] == SCALE_INTEGER &&
           (cd[SIZE] == 1 || cd[SIZE] == 2 || cd[SIZE] == 4 || cd[SIZE] == 8);
}

/* As many bits as the type has were asked for: the filter does nothing. */
static bool does_nothing(const unsigned *cd)
{
    return cd[CLASS] == CLASS_INTEGER && cd[SCALE_FACTOR] == 8 * cd[SIZE];
}

static enum emd_status decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    const unsigned char *stored = src;
    unsigned char *to = dst;
    (void)work;
    if (!is_valid(cd, cd_count))
        return emd_fail(err, EMD_E_UNSUPPORTED, "scaleoffset: parameters that HDF5 does not write");
    const size_t size = cd[SIZE], bytes = does_nothing(cd) ? n : (size_t)cd[ELEMENTS] * size;
    if (bytes > capacity)
        return emd_fail(err, EMD_E_CORRUPT, "scaleoffset: %zu bytes where at most %zu belong",
                        bytes, capacity);
    *out = bytes;
    if (does_nothing(cd)) {
        memcpy(dst, src, n);
        return EMD_OK;
    }
    if (n < HEADER)
        return emd_fail(err, EMD_E_CORRUPT, "scaleoffset: a truncated header (%zu bytes)", n);
    const uint64_t bits = from_bytes(stored, 4);
    const size_t value_bytes = stored[4] < 8 ? stored[4] : 8;
    const uint64_t smallest = from_bytes(stored + VALUE_AT, value_bytes);
    if (bits > 8 * size)
        return emd_fail(err, EMD_E_CORRUPT, "scaleoffset: numbers of %u bits in %zu bytes",
                        (unsigned)bits, size);
    const uint64_t needed = ((uint64_t)cd[ELEMENTS] * bits + 7) / 8;
    if (n - HEADER < needed)
        return emd_fail(err, EMD_E_CORRUPT, "scaleoffset: truncated (%zu of %zu bytes)", n,
                        (size_t)needed + HEADER);
    struct emd_bits reader = {stored + HEADER, 8};
    const bool big_endian = cd[ORDER] == 1;
    if (bits == 8 * size) { /* plain numbers, in the order of the machine that wrote: LE by now */
        for (size_t i = 0; i < cd[ELEMENTS]; i++)
            put(to + i * size, size, big_endian, from_bytes(stored + HEADER + i * size, size));
        return EMD_OK;
    }
    const uint64_t missing = ((uint64_t)1 << bits) - 1;
    uint64_t fill = cd[FILL];
    if (size == 8)
        fill |= (uint64_t)cd[FILL + 1] << 32;
    for (size_t i = 0; i < cd[ELEMENTS]; i++) {
        const uint64_t difference = emd_bits_number(&reader, (unsigned)bits);
        uint64_t value;
        if (cd[FILL_DEFINED] && difference == missing)
            value = fill;
        else if (cd[CLASS] == CLASS_FLOAT)
            value = restore_float(size, difference, smallest, (int)cd[SCALE_FACTOR]);
        else
            value = difference + smallest;
        put(to + i * size, size, big_endian, value);
    }
    return EMD_OK;
}

static size_t bound(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    return n < SIZE_MAX - HEADER - 1 ? n + HEADER + 1 : 0;
}

static enum emd_status encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    (void)work;
    (void)src;
    (void)n;
    (void)dst;
    (void)capacity;
    (void)out;
    return emd_fail(err, EMD_E_UNSUPPORTED, "scaleoffset: read only");
}

static size_t work_bytes(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    (void)n;
    return 0;
}

const struct emd_codec emd_codec_scaleoffset = {
    .name = "scaleoffset",
    .id = EMD_FILTER_SCALEOFFSET,
    .description = "scale-offset (part of HDF5)",
    .reads_only = true,
    .bound = bound,
    .encode = encode,
    .decode = decode,
    .work_bytes = work_bytes,
};
