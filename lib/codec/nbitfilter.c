/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5's filter 5, n-bit: of each number only the bits that its type says are significant. Read
 * only: the other bits are lost on the way, which is not for us to do.
 *
 * The parameters (H5Znbit.c) describe the type, depth first: their number, whether there is nothing
 * to do, elements in a chunk, then a description:
 *   atomic      1, size, order, precision, offset
 *   array       2, size, description of the base
 *   compound    3, size, members, then for each: offset, description
 *   other       4, size: taken as it is
 * Stored are the significant bits of each element one after another, the most significant first.
 * HDF5's own decoder (seen in 1.10 and 1.14) does not look how many bytes it has. */
#include <string.h>

#include "codec/bitreader.h"
#include "codec/codecs.h"

enum { COUNT, NOT_NEEDED, ELEMENTS, TYPE };
enum { ATOMIC = 1, ARRAY = 2, COMPOUND = 3, OTHER = 4 };
enum { DEPTH_MAX = 32 };

struct unpacking {
    const unsigned *cd;
    size_t cd_count, at; /* the next parameter */
    struct emd_bits bits;
    uint64_t left; /* bits that are not taken yet */
    enum { FINE, BAD_PARAMETERS, TRUNCATED } trouble;
};

static unsigned parameter(struct unpacking *u)
{
    if (u->at < u->cd_count)
        return u->cd[u->at++];
    u->trouble = BAD_PARAMETERS;
    return 0;
}

static bool take(struct unpacking *u, uint64_t bits)
{
    if (u->trouble == FINE && bits > u->left)
        u->trouble = TRUNCATED;
    if (u->trouble != FINE)
        return false;
    u->left -= bits;
    return true;
}

struct atomic {
    size_t size;
    unsigned order, precision, offset;
};

static struct atomic read_atomic(struct unpacking *u, size_t most)
{
    struct atomic a;
    a.size = parameter(u);
    a.order = parameter(u);
    a.precision = parameter(u);
    a.offset = parameter(u);
    if (u->trouble == FINE && (a.size == 0 || a.size > most || a.order > 1 || a.precision == 0 ||
                               a.precision > 8 * a.size || a.offset > 8 * a.size - a.precision))
        u->trouble = BAD_PARAMETERS;
    return a;
}

/* Significant bits from the highest byte down: the uppermost may have fewer than eight of them, and
 * the lowest has its at the top. */
static void unpack_atomic(struct unpacking *u, const struct atomic *a, unsigned char *to)
{
    if (!take(u, a->precision))
        return;
    for (unsigned high = a->offset + a->precision; high > a->offset;) {
        const size_t byte = (high - 1) / 8; /* counted from the lowest */
        const unsigned low = 8 * (unsigned)byte > a->offset ? 8 * (unsigned)byte : a->offset;
        const unsigned value = emd_bits_take(&u->bits, high - low) << low % 8;
        to[a->order == 0 ? byte : a->size - 1 - byte] = (unsigned char)value;
        high = low;
    }
}

static void unpack(struct unpacking *u, unsigned char *to, size_t most, int depth);

static void unpack_array(struct unpacking *u, unsigned char *to, size_t most, int depth)
{
    const size_t bytes = parameter(u), begin = u->at;
    if (begin + 1 >= u->cd_count || bytes > most) {
        u->trouble = BAD_PARAMETERS;
        return;
    }
    /* The base is described once, and that is read again for each element. */
    const size_t base = u->cd[begin + 1];
    if (base == 0 || bytes % base != 0) {
        u->trouble = BAD_PARAMETERS;
        return;
    }
    for (size_t done = 0; done < bytes && u->trouble == FINE; done += base) {
        u->at = begin;
        unpack(u, to + done, base, depth + 1);
    }
}

static void unpack_compound(struct unpacking *u, unsigned char *to, size_t most, int depth)
{
    const size_t bytes = parameter(u), members = parameter(u);
    if (bytes > most)
        u->trouble = BAD_PARAMETERS;
    for (size_t i = 0; i < members && u->trouble == FINE; i++) {
        const size_t offset = parameter(u);
        if (offset >= bytes)
            u->trouble = BAD_PARAMETERS;
        else
            unpack(u, to + offset, bytes - offset, depth + 1);
    }
}

/* One value at 'to', of at most 'most' bytes, by the description that comes next. */
static void unpack(struct unpacking *u, unsigned char *to, size_t most, int depth)
{
    const unsigned class = parameter(u);
    if (depth > DEPTH_MAX)
        u->trouble = BAD_PARAMETERS;
    if (u->trouble != FINE)
        return;
    if (class == ATOMIC) {
        const struct atomic a = read_atomic(u, most);
        unpack_atomic(u, &a, to);
    } else if (class == ARRAY) {
        unpack_array(u, to, most, depth);
    } else if (class == COMPOUND) {
        unpack_compound(u, to, most, depth);
    } else if (class == OTHER) {
        const size_t bytes = parameter(u);
        if (bytes > most)
            u->trouble = BAD_PARAMETERS;
        else if (take(u, 8 * (uint64_t)bytes))
            for (size_t i = 0; i < bytes; i++)
                to[i] = (unsigned char)emd_bits_take(&u->bits, 8);
    } else {
        u->trouble = BAD_PARAMETERS;
    }
}

static enum emd_status decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    unsigned char *to = dst;
    (void)work;
    if (cd_count < 2 || cd[COUNT] != cd_count ||
        (!cd[NOT_NEEDED] && (cd_count <= TYPE + 1 || cd[TYPE + 1] == 0)))
        return emd_fail(err, EMD_E_UNSUPPORTED, "nbit: parameters that HDF5 does not write");
    const uint64_t bytes = cd[NOT_NEEDED] ? n : (uint64_t)cd[ELEMENTS] * cd[TYPE + 1];
    if (bytes > capacity)
        return emd_fail(err, EMD_E_CORRUPT, "nbit: %llu bytes where at most %zu belong",
                        (unsigned long long)bytes, capacity);
    *out = (size_t)bytes;
    if (cd[NOT_NEEDED]) {
        memcpy(dst, src, n);
        return EMD_OK;
    }
    struct unpacking u = {
        .cd = cd, .cd_count = cd_count, .bits = {src, 8}, .left = 8 * (uint64_t)n};
    const size_t size = cd[TYPE + 1];
    memset(dst, 0, (size_t)bytes);
    for (size_t i = 0; i < cd[ELEMENTS] && u.trouble == FINE; i++) {
        u.at = TYPE;
        unpack(&u, to + i * size, size, 0);
    }
    if (u.trouble == BAD_PARAMETERS)
        return emd_fail(err, EMD_E_CORRUPT, "nbit: the parameters contradict each other");
    if (u.trouble == TRUNCATED)
        return emd_fail(err, EMD_E_CORRUPT, "nbit: a truncated chunk (%zu bytes)", n);
    return EMD_OK;
}

static size_t bound(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    return n < SIZE_MAX - 1 ? n + 1 : 0;
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
    return emd_fail(err, EMD_E_UNSUPPORTED, "nbit: read only");
}

static size_t work_bytes(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    (void)n;
    return 0;
}

const struct emd_codec emd_codec_nbit = {
    .name = "nbit",
    .id = EMD_FILTER_NBIT,
    .description = "n-bit (part of HDF5)",
    .reads_only = true,
    .bound = bound,
    .encode = encode,
    .decode = decode,
    .work_bytes = work_bytes,
};
