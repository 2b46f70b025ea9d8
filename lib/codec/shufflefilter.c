/* HDF5's own filters 2 and 3: shuffle and Fletcher's checksum. Their formats: H5Zshuffle.c and
 * H5Zfletcher32.c, and the HDF5 file format specification, "Filter Pipeline message". */
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

/* Fletcher's two sums over big-endian 16-bit words, modulo 65535, as HDF5 folds them: a sum that is
 * not zero never becomes zero, but 65535. HDF5 folds every 360 words; the result is the same
 * whenever it is done. Sixteen lanes let the compiler use vectors: in each lane a += word, b += a,
 * so that b counts the lane's words by their distance from the end of the run. */
static uint32_t fletcher32(const uint8_t *data, size_t n)
{
    enum { LANES = 16, ROWS = 180 }; /* b of a lane <= 65535 * ROWS (ROWS + 1) / 2 < 2^30 */
    uint64_t sum1 = 0, sum2 = 0;
    size_t words = n / 2;
    while (words >= LANES) {
        uint32_t a[LANES] = {0}, b[LANES] = {0};
        size_t rows = words / LANES < ROWS ? words / LANES : ROWS;
        for (size_t r = 0; r < rows; r++, data += 2 * LANES)
            for (size_t l = 0; l < LANES; l++) {
                a[l] += (uint32_t)data[2 * l] << 8 | data[2 * l + 1];
                b[l] += a[l];
            }
        sum2 += sum1 * (rows * LANES);
        for (size_t l = 0; l < LANES; l++) {
            /* Word l of row r stands LANES (rows - r) - l from the end. */
            sum1 += a[l];
            sum2 += (uint64_t)b[l] * LANES - (uint64_t)a[l] * l;
        }
        /* Folding keeps zero zero and everything else above zero. */
        sum1 = sum1 ? (sum1 - 1) % 65535 + 1 : 0;
        sum2 = sum2 ? (sum2 - 1) % 65535 + 1 : 0;
        words -= rows * LANES;
    }
    for (; words > 0; words--, data += 2) {
        sum1 += (uint32_t)data[0] << 8 | data[1];
        sum2 += sum1;
    }
    if (n % 2) {
        sum1 += (uint32_t)data[0] << 8;
        sum2 += sum1;
    }
    sum1 = sum1 ? (sum1 - 1) % 65535 + 1 : 0;
    sum2 = sum2 ? (sum2 - 1) % 65535 + 1 : 0;
    return (uint32_t)(sum2 << 16 | sum1);
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
    if (n > 0)
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
    if (n > 0)
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
    .bound = fletcher_bound,
    .encode = fletcher_encode,
    .decoded_size = fletcher_decoded_size,
    .decode = fletcher_decode,
    .work_bytes = no_work,
};
