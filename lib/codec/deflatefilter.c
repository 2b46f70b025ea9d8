/* HDF5 filter 1: one zlib stream (RFC 1950) a chunk; cd_values = level, 0 to 9. */
#include <isa-l/igzip_lib.h>
#include <string.h>

#include "codec/codecs.h"
#include "codec/work.h"

static enum emd_status level_of(const unsigned *cd, size_t cd_count, int *level,
                                struct emd_error *err)
{
    if (cd_count != 1 || cd[0] > 9)
        return emd_fail(err, EMD_E_ARGUMENT, "deflate: needs a level of 0 to 9");
    *level = (int)cd[0];
    return EMD_OK;
}

static size_t bound(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    size_t extra = n / 16384 * 5 + 64;
    return n <= SIZE_MAX - extra ? n + extra : 0;
}

static enum emd_status encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    int level = 0;
    struct emd_work *mine = NULL;
    enum emd_status status = level_of(cd, cd_count, &level, err);
    if (status != EMD_OK)
        return status;
    work = emd_work_or_new(work, &mine);
    if (level > 0 && level < 6 && n < UINT32_MAX && capacity < UINT32_MAX) {
        struct isal_zstream z;
        uint8_t *state =
            work ? emd_work_scratch(work, EMD_SCRATCH_BITS, ISAL_DEF_LVL1_DEFAULT) : NULL;
        if (!state) {
            status = emd_fail(err, EMD_E_MEMORY, "deflate: out of memory");
            goto out;
        }
        isal_deflate_stateless_init(&z);
        z.level = 1;
        z.level_buf = state;
        z.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
        z.gzip_flag = IGZIP_ZLIB;
        z.end_of_stream = 1;
        z.next_in = (uint8_t *)(uintptr_t)src;
        z.avail_in = (uint32_t)n;
        z.next_out = dst;
        z.avail_out = (uint32_t)capacity;
        int result = isal_deflate_stateless(&z);
        if (result != COMP_OK)
            status = emd_fail(err, EMD_E_BUDGET, "deflate: code %d", result);
        else
            *out = z.total_out;
    } else {
        struct libdeflate_compressor *deflater = work ? emd_work_deflater(work, level) : NULL;
        if (!deflater) {
            status = emd_fail(err, EMD_E_MEMORY, "deflate: out of memory");
            goto out;
        }
        size_t size = libdeflate_zlib_compress(deflater, src, n, dst, capacity);
        if (size == 0)
            status =
                emd_fail(err, EMD_E_BUDGET, "deflate: the result does not fit %zu bytes", capacity);
        else
            *out = size;
    }
out:
    emd_work_free(mine);
    return status;
}

static enum emd_status decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    static const char *const causes[] = {"", "damaged data", "fewer bytes than expected",
                                         "more bytes than expected"};
    enum emd_status status = EMD_OK;
    struct emd_work *mine;
    size_t used = 0, size = 0;
    work = emd_work_or_new(work, &mine);
    struct libdeflate_decompressor *inflater = work ? emd_work_inflater(work) : NULL;
    if (!inflater) {
        status = emd_fail(err, EMD_E_MEMORY, "deflate: out of memory");
        goto out;
    }
    enum libdeflate_result result =
        libdeflate_zlib_decompress_ex(inflater, src, n, dst, capacity, &used, &size);
    if (result != LIBDEFLATE_SUCCESS)
        status = emd_fail(err, EMD_E_CORRUPT, "deflate: %zu bytes for a chunk of at most %zu: %s",
                          n, capacity, causes[result]);
    else if (used != n)
        status = emd_fail(err, EMD_E_CORRUPT, "deflate: %zu bytes follow the stream of %zu bytes",
                          n - used, used);
    else
        *out = size;
out:
    emd_work_free(mine);
    return status;
}

static size_t work_bytes(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    (void)n;
    return (size_t)1 << 20;
}

const struct emd_codec emd_codec_deflate = {
    .name = "deflate",
    .id = EMD_FILTER_DEFLATE,
    .description = "deflate (part of HDF5)",
    .bound = bound,
    .encode = encode,
    .decode = decode,
    .work_bytes = work_bytes,
};
