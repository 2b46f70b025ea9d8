/* Fuzz target for the codec EMD_FUZZ_CODEC, in both directions.
 *
 * Input: one byte of choices, three bytes for cd_values and tuning, then the data. Damaged chunks
 * must give an error or at most the bytes that fit; whatever is encoded must decode to itself.
 *
 * With clang and -DEMDTOOLS_FUZZ=ON this is a libFuzzer target. Elsewhere fuzzmain.c drives it. */
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CHOICES = 4, LARGEST = 1 << 16 };

static struct emd_work *work;

static void check(bool condition)
{
    if (!condition)
        abort();
}

/* Parameters of every kind that a file may hold, mostly sensible ones. */
static size_t parameters(const struct emd_codec *codec, const uint8_t *choice, unsigned *cd)
{
    const unsigned a = choice[1], b = choice[2], c = choice[3];
    const struct emd_chunk_shape shape = {.item_class = EMD_ITEM_INTEGER,
                                          .item_size = 1u << (a & 3),
                                          .base_size = 1u << (a & 3),
                                          .is_signed = a & 4,
                                          .big_endian = a & 8,
                                          .rank = 3,
                                          .dims = {1 + b % 40, 1 + c % 70, 1 + a / 64}};
    unsigned user[EMD_CD_MAX] = {0};
    size_t user_count = 0, count = 0;
    switch (codec->id) {
    case EMD_FILTER_DEFLATE:
        user[user_count++] = a % 11;
        break;
    case EMD_FILTER_ZSTD:
        if (a < 200)
            user[user_count++] = a % 23 - 11u;
        break;
    case EMD_FILTER_BLOSC:
        user[4] = b % 11;
        user[5] = b / 11 % 4;
        user[6] = c % 7;
        user_count = 7;
        break;
    case EMD_FILTER_BITSHUFFLE:
        user[0] = b % 9 * 8;
        user[1] = c % 4;
        user[2] = c / 4 % 10;
        user_count = 3;
        break;
    default:
        break;
    }
    if (!codec->set_local ||
        codec->set_local(&shape, user, user_count, cd, &count, NULL) != EMD_OK) {
        memcpy(cd, user, sizeof user);
        count = user_count;
    }
    if (codec->id == EMD_FILTER_BLOSC && a & 16)
        cd[2] = 1 + a / 32;
    return count;
}

static void decode(const struct emd_codec *codec, const unsigned *cd, size_t cd_count,
                   const uint8_t *data, size_t n, size_t capacity)
{
    size_t size = 0, out = 0;
    uint8_t *exact = malloc(n ? n : 1), *dst = malloc(capacity ? capacity : 1);
    check(exact && dst);
    memcpy(exact, data, n);
    const bool sized = codec->decoded_size &&
                       codec->decoded_size(cd, cd_count, exact, n, capacity, &size, NULL) == EMD_OK;
    if (sized)
        check(size <= capacity);
    if (codec->decode(cd, cd_count, work, exact, n, dst, capacity, &out, NULL) == EMD_OK) {
        check(out <= capacity);
        if (codec->decoded_size)
            check(sized && out == size);
    }
    free(exact);
    free(dst);
}

static void round_trip(const struct emd_codec *codec, const unsigned *cd, size_t cd_count,
                       const uint8_t *data, size_t n)
{
    size_t size = 0, out = 0;
    const size_t most = codec->bound(cd, cd_count, n);
    uint8_t *dst = malloc(most ? most : 1), *back = malloc(n ? n : 1);
    check(dst && back);
    if (codec->encode(cd, cd_count, work, data, n, dst, most, &size, NULL) == EMD_OK) {
        check(size <= most);
        check(codec->decode(cd, cd_count, work, dst, size, back, n, &out, NULL) == EMD_OK);
        check(out == n && memcmp(back, data, n) == 0);
    }
    free(dst);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct emd_codec *codec = emd_codec_by_name(EMD_FUZZ_CODEC);
    unsigned cd[EMD_CD_MAX] = {0};
    check(codec != NULL);
    if (!work)
        check((work = emd_work_new()) != NULL);
    if (n < CHOICES)
        return 0;
    const size_t cd_count = parameters(codec, data, cd);
    const uint8_t choice = data[0];
    data += CHOICES;
    n -= CHOICES;
    if (choice & 1) {
        emd_work_set_tune(work, choice & 2 ? (choice >> 2 & 3) + 9u + (choice & 0x60) : 0);
        round_trip(codec, cd, cd_count, data, n);
        emd_work_set_tune(work, EMD_TUNE_AS_OTHERS);
    } else {
        decode(codec, cd, cd_count, data, n, choice & 2 ? LARGEST : (size_t)choice * 8);
    }
    return 0;
}
