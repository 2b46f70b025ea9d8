/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See elementhash.h and docs/content-hash.md.
 *
 * Why a sum of products of keys: a hash over bytes in their order wants them in one order, and a
 * Velox stack lies in its dataset as single pixels of all frames in turn, but travels frame by
 * frame. Here the key of a place is a product of keys of its coordinates: a run of a chunk along
 * whatever axis is multiplied by that axis's keys, and its sum once by the product of the others.
 *
 * Why 16-bit keys and sums modulo 2^32: that is PMADDWD, the cheapest multiplication there is for
 * 16-bit pixels; four lanes of it make the keys 64 bits wide. */
#include "codec/elementhash.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/simdtarget.h"
#include "codec/codec.h"

enum {
    LANES = EMD_ELEMENT_LANES,
    DIGIT = 4096,     /* keys of an axis: one for i mod 4096, one for i / 4096 */
    WORD_AXIS = 32,   /* the number of the axis of an element's words */
    PADDING = 64,     /* keys behind a row's last that a kernel may read */
    ROWS_AT_ONCE = 64 /* rows in one call of a kernel */
};

/* Adds 'rows' rows of n little-endian words, 'stride' bytes apart: each word, folded, times its
 * key, and the sum of each row times outer[row]. */
typedef void kernel(const unsigned char *words, size_t n, size_t rows, size_t stride,
                    const int16_t *const key[LANES], const uint32_t (*outer)[LANES],
                    uint32_t sum[LANES]);

struct axis {
    size_t count;    /* of keys in the table */
    int16_t *key;    /* [LANES][count + PADDING] */
    uint32_t *below; /* [LANES][count + 1]: sums of the first keys; NULL where the fill is zero */
};

struct emd_element_hash {
    unsigned rank;
    uint64_t dims[EMD_RANK_MAX];
    size_t item_size;
    struct emd_byte_run *run;
    size_t runs;
    bool dense;           /* the whole element is value */
    uint32_t fill[LANES]; /* the hash of the fill value as one element */
    bool has_fill;        /* it is not zero */
    struct axis axis[EMD_RANK_MAX];
    kernel *kernel;
    _Atomic uint32_t sum[LANES];
};

/* ---- keys ---------------------------------------------------------------------------------------
 */

/* Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): SplitMix64. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* Digit 0: of i mod 4096; 1: of i / 4096. Odd, so that no single change can go unseen. */
static int16_t key_of(unsigned axis, unsigned digit, uint64_t value, unsigned lane)
{
    const uint64_t bits = mix(value + ((uint64_t)(2 * axis + digit) << 56));
    return (int16_t)(uint16_t)((bits >> (16 * lane)) | 1);
}

static uint32_t high_key(unsigned axis, uint64_t i, unsigned lane)
{
    return i < DIGIT ? 1 : (uint32_t)(int32_t)key_of(axis, 1, i / DIGIT, lane);
}

/* Multiplies by the keys of coordinate i. */
static void times_key(const struct emd_element_hash *h, unsigned axis, uint64_t i,
                      uint32_t factor[LANES])
{
    const struct axis *a = &h->axis[axis];
    for (unsigned l = 0; l < LANES; l++) {
        const int16_t low = a->key[l * (a->count + PADDING) + i % DIGIT];
        factor[l] *= (uint32_t)(int32_t)low * high_key(axis, i, l);
    }
}

static void times_word_key(uint64_t word, uint32_t factor[LANES])
{
    for (unsigned l = 0; l < LANES; l++)
        factor[l] *=
            (uint32_t)(int32_t)key_of(WORD_AXIS, 0, word % DIGIT, l) * high_key(WORD_AXIS, word, l);
}

/* Sum of the low keys of i to i + n - 1, which lie in one range of 4096. */
static uint32_t sum_of_keys(const struct axis *a, uint64_t i, size_t n, unsigned lane)
{
    const uint32_t *below = a->below + lane * (a->count + 1) + i % DIGIT;
    return below[n] - below[0];
}

/* ---- kernels ------------------------------------------------------------------------------------
 */

/* Spreads the upper bits, whose multiples modulo 2^32 are few, into the lower ones: one to one. */
static int16_t fold(uint16_t word)
{
    return (int16_t)(uint16_t)(word ^ (word >> 8));
}

static uint16_t load_word(const unsigned char *p)
{
    uint16_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap16(word);
#endif
    return word;
}

/* The oracle, and what compilers make vectors of where there is no other. */
static void add_scalar(const unsigned char *words, size_t n, size_t rows, size_t stride,
                       const int16_t *const key[LANES], const uint32_t (*outer)[LANES],
                       uint32_t sum[LANES])
{
    for (size_t r = 0; r < rows; r++) {
        const unsigned char *row = words + r * stride;
        for (unsigned l = 0; l < LANES; l++) {
            const int16_t *k = key[l];
            uint32_t total = 0;
            for (size_t i = 0; i < n; i++)
                total += (uint32_t)((int32_t)fold(load_word(row + 2 * i)) * k[i]);
            sum[l] += total * outer[r][l];
        }
    }
}

#ifdef __x86_64__
#include <immintrin.h>

/* Both: several rows together, since the keys, loaded once for all of them, would otherwise keep
 * the load ports busier than the multiplications. What is left of a row goes through a vector
 * filled up with zeros. */

EMD_BEGIN_TARGET(EMD_TARGET_AVX2)

enum { AVX2_WORDS = 16, AVX2_ROWS = 2 };

static inline __m256i fold_avx2(__m256i v)
{
    return _mm256_xor_si256(v, _mm256_srli_epi16(v, 8));
}

static inline void rows_avx2(const unsigned char *words, size_t n, const size_t rows, size_t stride,
                             const int16_t *const key[LANES], const uint32_t (*outer)[LANES],
                             __m256i total[LANES])
{
    __m256i part[AVX2_ROWS][LANES], v[AVX2_ROWS];
    for (size_t r = 0; r < rows; r++)
        for (unsigned l = 0; l < LANES; l++)
            part[r][l] = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + AVX2_WORDS <= n; i += AVX2_WORDS) {
        for (size_t r = 0; r < rows; r++)
            v[r] = fold_avx2(
                _mm256_loadu_si256((const __m256i *)(const void *)(words + r * stride + 2 * i)));
        for (unsigned l = 0; l < LANES; l++) {
            const __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(key[l] + i));
            for (size_t r = 0; r < rows; r++)
                part[r][l] = _mm256_add_epi32(part[r][l], _mm256_madd_epi16(v[r], k));
        }
    }
    for (size_t r = 0; r < rows && i < n; r++) {
        unsigned char rest[2 * AVX2_WORDS] = {0};
        memcpy(rest, words + r * stride + 2 * i, 2 * (n - i));
        v[r] = fold_avx2(_mm256_loadu_si256((const __m256i *)(const void *)rest));
        for (unsigned l = 0; l < LANES; l++) {
            const __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(key[l] + i));
            part[r][l] = _mm256_add_epi32(part[r][l], _mm256_madd_epi16(v[r], k));
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (unsigned l = 0; l < LANES; l++)
            total[l] = _mm256_add_epi32(
                total[l], _mm256_mullo_epi32(part[r][l], _mm256_set1_epi32((int)outer[r][l])));
}

static void add_avx2(const unsigned char *words, size_t n, size_t rows, size_t stride,
                     const int16_t *const key[LANES], const uint32_t (*outer)[LANES],
                     uint32_t sum[LANES])
{
    __m256i total[LANES];
    size_t r = 0;
    for (unsigned l = 0; l < LANES; l++)
        total[l] = _mm256_setzero_si256();
    for (; r + AVX2_ROWS <= rows; r += AVX2_ROWS)
        rows_avx2(words + r * stride, n, AVX2_ROWS, stride, key, outer + r, total);
    for (; r < rows; r++)
        rows_avx2(words + r * stride, n, 1, stride, key, outer + r, total);
    for (unsigned l = 0; l < LANES; l++) {
        uint32_t lane[8];
        memcpy(lane, &total[l], sizeof lane);
        for (unsigned i = 0; i < 8; i++)
            sum[l] += lane[i];
    }
}

EMD_END_TARGET

EMD_BEGIN_TARGET(EMD_TARGET_AVX512)

enum { AVX512_WORDS = 32, AVX512_ROWS = 4 };

static inline __m512i fold_avx512(__m512i v)
{
    return _mm512_xor_si512(v, _mm512_srli_epi16(v, 8));
}

static inline void rows_avx512(const unsigned char *words, size_t n, const size_t rows,
                               size_t stride, const int16_t *const key[LANES],
                               const uint32_t (*outer)[LANES], __m512i total[LANES])
{
    __m512i part[AVX512_ROWS][LANES], v[AVX512_ROWS];
    for (size_t r = 0; r < rows; r++)
        for (unsigned l = 0; l < LANES; l++)
            part[r][l] = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + AVX512_WORDS <= n; i += AVX512_WORDS) {
        for (size_t r = 0; r < rows; r++)
            v[r] = fold_avx512(_mm512_loadu_si512(words + r * stride + 2 * i));
        for (unsigned l = 0; l < LANES; l++) {
            const __m512i k = _mm512_loadu_si512(key[l] + i);
            for (size_t r = 0; r < rows; r++)
                part[r][l] = _mm512_add_epi32(part[r][l], _mm512_madd_epi16(v[r], k));
        }
    }
    if (i < n) {
        const __mmask32 rest = (__mmask32)((UINT64_C(1) << (n - i)) - 1);
        for (size_t r = 0; r < rows; r++)
            v[r] = fold_avx512(_mm512_maskz_loadu_epi16(rest, words + r * stride + 2 * i));
        for (unsigned l = 0; l < LANES; l++) {
            const __m512i k = _mm512_loadu_si512(key[l] + i);
            for (size_t r = 0; r < rows; r++)
                part[r][l] = _mm512_add_epi32(part[r][l], _mm512_madd_epi16(v[r], k));
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (unsigned l = 0; l < LANES; l++)
            total[l] = _mm512_add_epi32(
                total[l], _mm512_mullo_epi32(part[r][l], _mm512_set1_epi32((int)outer[r][l])));
}

static void add_avx512(const unsigned char *words, size_t n, size_t rows, size_t stride,
                       const int16_t *const key[LANES], const uint32_t (*outer)[LANES],
                       uint32_t sum[LANES])
{
    __m512i total[LANES];
    size_t r = 0;
    for (unsigned l = 0; l < LANES; l++)
        total[l] = _mm512_setzero_si512();
    for (; r + AVX512_ROWS <= rows; r += AVX512_ROWS)
        rows_avx512(words + r * stride, n, AVX512_ROWS, stride, key, outer + r, total);
    for (; r < rows; r++)
        rows_avx512(words + r * stride, n, 1, stride, key, outer + r, total);
    for (unsigned l = 0; l < LANES; l++) {
        uint32_t
            lane[16]; /* _mm512_reduce_add_epi32 adds signed numbers, which must not overflow */
        memcpy(lane, &total[l], sizeof lane);
        for (unsigned i = 0; i < 16; i++)
            sum[l] += lane[i];
    }
}

EMD_END_TARGET
#endif

static kernel *kernel_of(enum emd_simd level)
{
    switch (level) {
#ifdef __x86_64__
    case EMD_SIMD_AVX2:
        return add_avx2;
    case EMD_SIMD_AVX512:
    case EMD_SIMD_AVX512VBMI:
        return add_avx512;
#endif
    default:
        return add_scalar;
    }
}

/* ---- words of elements --------------------------------------------------------------------------
 */

/* Where the bytes of an element's words lie, one word after the other. */
struct word_walk {
    const struct emd_element_hash *hash;
    size_t run, at; /* the next byte */
};

/* Offset of the next value byte, or SIZE_MAX behind the last. */
static size_t next_byte(struct word_walk *walk)
{
    const struct emd_element_hash *h = walk->hash;
    while (walk->run < h->runs && walk->at == h->run[walk->run].size) {
        walk->run++;
        walk->at = 0;
    }
    return walk->run == h->runs ? SIZE_MAX : h->run[walk->run].offset + walk->at++;
}

/* Takes one word of each of n elements; 'stride' is a constant where it is inlined. */
static inline void take_words(const unsigned char *from, size_t stride, size_t n,
                              unsigned char *words)
{
    for (size_t i = 0; i < n; i++) {
        words[2 * i] = from[i * stride];
        words[2 * i + 1] = from[i * stride + 1];
    }
}

static void gather_words(const unsigned char *item, size_t low, size_t high, size_t stride,
                         size_t n, unsigned char *words)
{
    if (high == low + 1 && stride == 4) {
        take_words(item + low, 4, n, words);
    } else if (high == low + 1 && stride == 8) {
        take_words(item + low, 8, n, words);
    } else if (high == low + 1) {
        take_words(item + low, stride, n, words);
    } else {
        for (size_t i = 0; i < n; i++) {
            words[2 * i] = item[i * stride + low];
            words[2 * i + 1] = high == SIZE_MAX ? 0 : item[i * stride + high];
        }
    }
}

/* Adds n elements along an axis from coordinate i on, 'stride' bytes apart. 'factor': the product
 * of all other coordinates' keys. */
static void add_elements(const struct emd_element_hash *h, const unsigned char *item, unsigned axis,
                         uint64_t i, size_t n, size_t stride, const uint32_t factor[LANES],
                         uint32_t sum[LANES])
{
    unsigned char words[2 * DIGIT];
    const struct axis *a = &h->axis[axis];
    while (n > 0) {
        const size_t left = DIGIT - (size_t)(i % DIGIT), part = n < left ? n : left;
        const int16_t *key[LANES];
        struct word_walk walk = {.hash = h};
        size_t low, high;
        for (unsigned l = 0; l < LANES; l++)
            key[l] = a->key + l * (a->count + PADDING) + i % DIGIT;
        for (uint64_t word = 0; (low = next_byte(&walk)) != SIZE_MAX; word++) {
            uint32_t outer[1][LANES];
            memcpy(outer[0], factor, sizeof outer[0]);
            for (unsigned l = 0; l < LANES; l++)
                outer[0][l] *= high_key(axis, i, l);
            times_word_key(word, outer[0]);
            high = next_byte(&walk);
            gather_words(item, low, high, stride, part, words);
            h->kernel(words, part, 1, 0, key, (const uint32_t(*)[LANES])outer, sum);
        }
        item += part * stride;
        i += part;
        n -= part;
    }
}

/* The one element of a scalar. */
static void add_scalar_element(const struct emd_element_hash *h, const unsigned char *item,
                               uint32_t sum[LANES])
{
    struct word_walk walk = {.hash = h};
    size_t low;
    for (uint64_t word = 0; (low = next_byte(&walk)) != SIZE_MAX; word++) {
        uint32_t factor[LANES] = {1, 1, 1, 1};
        const size_t high = next_byte(&walk);
        const unsigned value = item[low] | (high == SIZE_MAX ? 0U : (unsigned)item[high] << 8);
        times_word_key(word, factor);
        for (unsigned l = 0; l < LANES; l++)
            sum[l] += (uint32_t)(int32_t)fold((uint16_t)value) * factor[l];
    }
}

/* ---- chunks -------------------------------------------------------------------------------------
 */

/* A part of a chunk whose rows differ in one coordinate only. */
struct slab {
    const unsigned char *first; /* row */
    unsigned inner;             /* the axis of a row */
    uint64_t inner_from;
    size_t inner_n;   /* elements of a row inside the dataset */
    size_t row_bytes; /* and padding */
    uint64_t from;    /* coordinate of the first row on axis inner - 1 */
    size_t rows;
    uint32_t factor[LANES]; /* keys of all other coordinates */
};

static void add_words(const struct emd_element_hash *h, const struct slab *s, uint32_t sum[LANES])
{
    const struct axis *a = &h->axis[s->inner];
    uint32_t outer[ROWS_AT_ONCE][LANES];
    for (size_t r = 0, rows; r < s->rows; r += rows) {
        rows = s->rows - r < ROWS_AT_ONCE ? s->rows - r : ROWS_AT_ONCE;
        for (size_t at = 0, n; at < s->inner_n; at += n) {
            const uint64_t i = s->inner_from + at;
            const size_t left = DIGIT - (size_t)(i % DIGIT);
            const int16_t *key[LANES];
            n = s->inner_n - at < left ? s->inner_n - at : left;
            for (unsigned l = 0; l < LANES; l++)
                key[l] = a->key + l * (a->count + PADDING) + i % DIGIT;
            for (size_t k = 0; k < rows; k++) {
                memcpy(outer[k], s->factor, sizeof outer[k]);
                if (s->inner > 0)
                    times_key(h, s->inner - 1, s->from + r + k, outer[k]);
                times_word_key(0, outer[k]);
                for (unsigned l = 0; l < LANES; l++)
                    outer[k][l] *= high_key(s->inner, i, l);
            }
            h->kernel(s->first + r * s->row_bytes + 2 * at, n, rows, s->row_bytes, key,
                      (const uint32_t(*)[LANES])outer, sum);
        }
    }
}

/* Takes away what as many fill values would have added. */
static void take_fill(const struct emd_element_hash *h, const struct slab *s, uint32_t sum[LANES])
{
    for (size_t r = 0; r < s->rows; r++) {
        uint32_t factor[LANES];
        memcpy(factor, s->factor, sizeof factor);
        if (s->inner > 0)
            times_key(h, s->inner - 1, s->from + r, factor);
        for (size_t at = 0, n; at < s->inner_n; at += n) {
            const uint64_t i = s->inner_from + at;
            const size_t left = DIGIT - (size_t)(i % DIGIT);
            n = s->inner_n - at < left ? s->inner_n - at : left;
            for (unsigned l = 0; l < LANES; l++)
                sum[l] -= h->fill[l] * factor[l] * high_key(s->inner, i, l) *
                          sum_of_keys(&h->axis[s->inner], i, n, l);
        }
    }
}

static void add_slab(const struct emd_element_hash *h, const struct slab *s, uint32_t sum[LANES])
{
    enum { SHORT = 16 }; /* elements below which another axis is worth a look */
    uint32_t factor[LANES];
    if (h->dense && h->item_size == 2 && s->inner_n >= SHORT) {
        add_words(h, s, sum);
    } else if (s->inner_n < SHORT && s->rows > s->inner_n) {
        for (size_t x = 0; x < s->inner_n; x++) { /* along the other axis */
            memcpy(factor, s->factor, sizeof factor);
            times_key(h, s->inner, s->inner_from + x, factor);
            add_elements(h, s->first + x * h->item_size, s->inner - 1, s->from, s->rows,
                         s->row_bytes, factor, sum);
        }
    } else {
        for (size_t r = 0; r < s->rows; r++) {
            memcpy(factor, s->factor, sizeof factor);
            if (s->inner > 0)
                times_key(h, s->inner - 1, s->from + r, factor);
            add_elements(h, s->first + r * s->row_bytes, s->inner, s->inner_from, s->inner_n,
                         h->item_size, factor, sum);
        }
    }
    if (h->has_fill)
        take_fill(h, s, sum);
}

/* The last axis along which a chunk has more than one element: its rows. */
static unsigned inner_axis(const struct emd_element_hash *h, const uint64_t *shape)
{
    unsigned inner = h->rank - 1;
    while (inner > 0 && shape[inner] == 1)
        inner--;
    return inner;
}

size_t emd_element_hash_unit(const struct emd_element_hash *h, const uint64_t *shape)
{
    return h->rank == 0 ? h->item_size : h->item_size * (size_t)shape[inner_axis(h, shape)];
}

/* The slab from row number 'row' of a chunk on, of at most 'most' rows. False where it lies outside
 * the dataset; s->rows are then the rows to skip. */
static bool find_slab(const struct emd_element_hash *h, const uint64_t *origin,
                      const uint64_t *shape, const unsigned char *chunk, size_t row, size_t most,
                      struct slab *s)
{
    const unsigned inner = inner_axis(h, shape);
    uint64_t rest = row;
    bool inside = true;
    s->inner = inner;
    s->row_bytes = emd_element_hash_unit(h, shape);
    s->first = chunk + row * s->row_bytes;
    s->inner_from = origin[inner];
    const uint64_t width = h->dims[inner] - origin[inner];
    s->inner_n = (size_t)(width < shape[inner] ? width : shape[inner]);
    s->rows = 1;
    for (unsigned l = 0; l < LANES; l++)
        s->factor[l] = 1;
    for (unsigned a = inner + 1; a < h->rank; a++)
        times_key(h, a, origin[a], s->factor);
    for (unsigned a = inner; a-- > 0;) {
        const uint64_t within = rest % shape[a], at = origin[a] + within;
        rest /= shape[a];
        if (at >= h->dims[a])
            inside = false;
        if (a + 1 == inner) {
            const uint64_t end =
                inside && h->dims[a] - origin[a] < shape[a] ? h->dims[a] - origin[a] : shape[a];
            s->from = at;
            s->rows = (size_t)(end - within) < most ? (size_t)(end - within) : most;
        } else if (at < h->dims[a]) {
            times_key(h, a, at, s->factor);
        }
    }
    return inside;
}

void emd_element_hash_add(struct emd_element_hash *h, const uint64_t *origin, const uint64_t *shape,
                          const void *chunk, size_t begin, size_t end)
{
    uint32_t sum[LANES] = {0};
    if (h->rank == 0) {
        add_scalar_element(h, chunk, sum);
        for (unsigned l = 0; l < LANES; l++)
            sum[l] -= h->fill[l];
    } else {
        const size_t unit = emd_element_hash_unit(h, shape), last = end / unit;
        struct slab s;
        for (size_t row = begin / unit; row < last; row += s.rows)
            if (find_slab(h, origin, shape, chunk, row, last - row, &s))
                add_slab(h, &s, sum);
    }
    for (unsigned l = 0; l < LANES; l++)
        atomic_fetch_add_explicit(&h->sum[l], sum[l], memory_order_relaxed);
}

void emd_element_hash_get(const struct emd_element_hash *h, uint32_t lane[LANES])
{
    for (unsigned l = 0; l < LANES; l++)
        lane[l] = atomic_load(&h->sum[l]);
}

/* ---- making -------------------------------------------------------------------------------------
 */

static bool make_axis(struct axis *axis, unsigned number, uint64_t extent, bool sums)
{
    const size_t count = extent < DIGIT ? (size_t)extent : DIGIT;
    axis->count = count;
    axis->key = calloc(LANES * (count + PADDING), sizeof *axis->key);
    axis->below = sums ? calloc(LANES * (count + 1), sizeof *axis->below) : NULL;
    if (!axis->key || (sums && !axis->below))
        return false;
    for (unsigned l = 0; l < LANES; l++) {
        int16_t *key = axis->key + l * (count + PADDING);
        uint32_t *below = sums ? axis->below + l * (count + 1) : NULL;
        for (size_t i = 0; i < count; i++) {
            key[i] = key_of(number, 0, i, l);
            if (below)
                below[i + 1] = (uint32_t)(below[i] + (uint32_t)(int32_t)key[i]);
        }
    }
    return true;
}

enum emd_status emd_element_hash_new(const struct emd_element_layout *layout,
                                     struct emd_element_hash **hash, struct emd_error *err)
{
    const struct emd_byte_run whole = {0, layout->item_size};
    const size_t runs = layout->runs ? layout->runs : 1;
    struct emd_element_hash *h = *hash = calloc(1, sizeof *h);
    bool ok = h && (h->run = malloc(runs * sizeof *h->run)) != NULL;
    if (ok) {
        memcpy(h->run, layout->runs ? layout->run : &whole, runs * sizeof *h->run);
        h->runs = runs;
        h->rank = layout->rank;
        h->item_size = layout->item_size;
        h->dense = runs == 1 && h->run[0].offset == 0 && h->run[0].size == layout->item_size;
        h->kernel = kernel_of(emd_simd_level());
        if (layout->fill)
            add_scalar_element(h, layout->fill, h->fill);
        for (unsigned l = 0; l < LANES; l++)
            h->has_fill = h->has_fill || h->fill[l] != 0;
    }
    for (unsigned a = 0; ok && a < layout->rank; a++) {
        h->dims[a] = layout->dims[a];
        ok = make_axis(&h->axis[a], a, layout->dims[a], h->has_fill);
    }
    if (ok)
        return EMD_OK;
    emd_element_hash_free(h);
    *hash = NULL;
    return emd_fail(err, EMD_E_MEMORY, "out of memory");
}

void emd_element_hash_free(struct emd_element_hash *hash)
{
    if (!hash)
        return;
    for (unsigned a = 0; a < hash->rank; a++) {
        free(hash->axis[a].key);
        free(hash->axis[a].below);
    }
    free(hash->run);
    free(hash);
}
