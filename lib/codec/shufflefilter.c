/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5's own filters 2 and 3: shuffle and Fletcher's checksum. Their formats: H5Zshuffle.c and
 * H5Zfletcher32.c, and the HDF5 file format specification, "Filter Pipeline message". */
#include <endian.h>
#include <string.h>

#include "codec/codecs.h"
#include "codec/transpose8.h"

static size_t same_size(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    return n;
}

static size_t no_work(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    (void)n;
    return 0;
}

static enum emd_status room(const char *name, size_t need, size_t capacity, struct emd_error *err)
{
    if (need <= capacity)
        return EMD_OK;
    return emd_fail(err, EMD_E_BUDGET, "%s: the result of %zu bytes does not fit %zu", name, need,
                    capacity);
}

/* ---- shuffle: cd_values = item size ---- */

static enum emd_status shuffle_set_local(const struct emd_chunk_shape *shape, const unsigned *user,
                                         size_t user_count, unsigned cd[EMD_CD_MAX],
                                         size_t *cd_count, struct emd_error *err)
{
    (void)user;
    (void)user_count;
    if (shape->item_size == 0 || shape->item_size > UINT32_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "shuffle: items of %zu bytes", shape->item_size);
    cd[0] = (unsigned)shape->item_size;
    *cd_count = 1;
    return EMD_OK;
}

static enum emd_status shuffle_code(bool forward, const unsigned *cd, size_t cd_count,
                                    const void *src, size_t n, void *dst, size_t capacity,
                                    size_t *out, struct emd_error *err)
{
    if (cd_count != 1 || cd[0] == 0)
        return emd_fail(err, EMD_E_ARGUMENT, "shuffle: needs the item size as its only parameter");
    if (room("shuffle", n, capacity, err) != EMD_OK)
        return forward ? EMD_E_BUDGET
                       : emd_fail(err, EMD_E_CORRUPT, "shuffle: %zu bytes where at most %zu belong",
                                  n, capacity);
    if (n > 0)
        (forward ? emd_shuffle : emd_unshuffle)(cd[0], src, dst, n);
    *out = n;
    return EMD_OK;
}

static enum emd_status shuffle_encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                                      const void *src, size_t n, void *dst, size_t capacity,
                                      size_t *out, struct emd_error *err)
{
    (void)work;
    return shuffle_code(true, cd, cd_count, src, n, dst, capacity, out, err);
}

static enum emd_status shuffle_decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                                      const void *src, size_t n, void *dst, size_t capacity,
                                      size_t *out, struct emd_error *err)
{
    (void)work;
    return shuffle_code(false, cd, cd_count, src, n, dst, capacity, out, err);
}

static enum emd_status shuffle_decoded_size(const unsigned *cd, size_t cd_count, const void *src,
                                            size_t n, size_t limit, size_t *out,
                                            struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    (void)src;
    if (n > limit)
        return emd_fail(err, EMD_E_CORRUPT, "shuffle: %zu bytes where at most %zu belong", n,
                        limit);
    *out = n;
    return EMD_OK;
}

const struct emd_codec emd_codec_shuffle = {
    .name = "shuffle",
    .id = EMD_FILTER_SHUFFLE,
    .description = "byte shuffle (part of HDF5)",
    .transform = true,
    .set_local = shuffle_set_local,
    .bound = same_size,
    .encode = shuffle_encode,
    .decoded_size = shuffle_decoded_size,
    .decode = shuffle_decode,
    .work_bytes = no_work,
};

/* ---- fletcher32: no cd_values; the data, then the checksum in little-endian order ---- */

enum { CHECKSUM = 4 };

/* Four numbers, each two words: compilers make good code of sixteen plain lanes only by luck. */
typedef uint32_t pairs __attribute__((vector_size(16)));

/* Modulo 65535; what is not zero never becomes zero. */
static inline uint64_t fold(uint64_t sum)
{
    return sum ? (sum - 1) % 65535 + 1 : 0;
}

/* Fletcher's two sums over big-endian 16-bit words, folded as HDF5 folds them, but not every
 * 360 words: the result is the same whenever it is done. Modulo 65535, swapping the bytes of a word
 * is multiplying it by 256: so the sums of the words as this machine reads them differ from those
 * wanted only by swapped bytes. Sixteen lanes, in vectors: in each lane a += word, b += a, so that
 * b counts the lane's words by their distance from the end of the run. */
static uint32_t fletcher32(const uint8_t *data, size_t n)
{
    enum { LANES = 16, ROWS = 180 }; /* b of a lane <= 65535 * ROWS (ROWS + 1) / 2 < 2^30 */
    uint64_t sum1 = 0, sum2 = 0;
    size_t words = n / 2;
    while (words >= LANES) {
        const size_t rows = words / LANES < ROWS ? words / LANES : ROWS;
        pairs a[4] = {{0}}, b[4] = {{0}}; /* low halves, low halves, high halves, high halves */
        for (size_t r = 0; r < rows; r++, data += 2 * LANES) {
            pairs word[2];
            memcpy(word, data, sizeof word);
            a[0] += word[0] & 0xFFFF;
            a[1] += word[1] & 0xFFFF;
            a[2] += word[0] >> 16;
            a[3] += word[1] >> 16;
            for (int i = 0; i < 4; i++)
                b[i] += a[i];
        }
        sum2 += sum1 * (rows * LANES);
        for (int l = 0; l < LANES; l++) {
            /* Word w of row r stands LANES (rows - r) - w from the end. */
            const unsigned high = l / 8, first = BYTE_ORDER == LITTLE_ENDIAN ? high : !high;
            const uint64_t w = l % 8 * 2u + first, lane1 = a[l / 4][l % 4], lane2 = b[l / 4][l % 4];
            sum1 += lane1;
            sum2 += lane2 * LANES - lane1 * w;
        }
        sum1 = fold(sum1);
        sum2 = fold(sum2);
        words -= rows * LANES;
    }
    for (; words > 0; words--, data += 2) {
        uint16_t word;
        memcpy(&word, data, sizeof word);
        sum1 += word;
        sum2 += sum1;
    }
    if (n % 2) {
        const uint8_t last[2] = {data[0], 0};
        uint16_t word;
        memcpy(&word, last, sizeof word);
        sum1 += word;
        sum2 += sum1;
    }
    return (uint32_t)be16toh((uint16_t)fold(sum2)) << 16 | be16toh((uint16_t)fold(sum1));
}

static size_t fletcher_bound(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    return n <= SIZE_MAX - CHECKSUM ? n + CHECKSUM : 0;
}

static enum emd_status fletcher_encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                                       const void *src, size_t n, void *dst, size_t capacity,
                                       size_t *out, struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    (void)work;
    if (n > SIZE_MAX - CHECKSUM || room("fletcher32", n + CHECKSUM, capacity, err) != EMD_OK)
        return EMD_E_BUDGET;
    uint32_t sum = fletcher32(src, n);
    uint8_t *end = (uint8_t *)dst + n;
    if (n > 0 && dst != src)
        memcpy(dst, src, n);
    for (int i = 0; i < CHECKSUM; i++)
        end[i] = (uint8_t)(sum >> (8 * i));
    *out = n + CHECKSUM;
    return EMD_OK;
}

static enum emd_status fletcher_decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                                       const void *src, size_t n, void *dst, size_t capacity,
                                       size_t *out, struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    (void)work;
    if (n < CHECKSUM || n - CHECKSUM > capacity)
        return emd_fail(err, EMD_E_CORRUPT, "fletcher32: %zu bytes cannot hold at most %zu", n,
                        capacity);
    n -= CHECKSUM;
    const uint8_t *end = (const uint8_t *)src + n;
    uint32_t stored = 0, sum = fletcher32(src, n);
    for (int i = 0; i < CHECKSUM; i++)
        stored |= (uint32_t)end[i] << (8 * i);
    /* HDF5 before 1.6.3 wrote the bytes of each half swapped on little-endian machines, and reads
     * them to this day. */
    uint32_t swapped = (sum & 0x00FF00FF) << 8 | (sum >> 8 & 0x00FF00FF);
    if (stored != sum && stored != swapped)
        return emd_fail(err, EMD_E_CORRUPT, "fletcher32: checksum %08x, but the data give %08x",
                        (unsigned)stored, (unsigned)sum);
    if (n > 0 && dst != src)
        memcpy(dst, src, n);
    *out = n;
    return EMD_OK;
}

static enum emd_status fletcher_decoded_size(const unsigned *cd, size_t cd_count, const void *src,
                                             size_t n, size_t limit, size_t *out,
                                             struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    (void)src;
    if (n < CHECKSUM || n - CHECKSUM > limit)
        return emd_fail(err, EMD_E_CORRUPT, "fletcher32: %zu bytes cannot hold at most %zu", n,
                        limit);
    *out = n - CHECKSUM;
    return EMD_OK;
}

const struct emd_codec emd_codec_fletcher32 = {
    .name = "fletcher32",
    .id = EMD_FILTER_FLETCHER32,
    .description = "Fletcher's checksum (part of HDF5)",
    .transform = true,
    .checksum = true,
    .trailer = true,
    .bound = fletcher_bound,
    .encode = fletcher_encode,
    .decoded_size = fletcher_decoded_size,
    .decode = fletcher_decode,
    .work_bytes = no_work,
};
