/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See transpose.h.
 *
 * A transpose by single items moves 0.2 GB/s: every read or every write touches a new cache line.
 * Here tiles of 64 bytes by 64 bytes' worth of items are transposed in vector registers into a
 * small scratch (so that a power-of-two stride cannot evict its own lines) and leave it as whole
 * cache lines. Vectors are the compiler's own generic ones: the same source is SSE2 and NEON, both
 * always there on their architectures, so that no run-time dispatch is needed. */
#include "repack/transpose.h"

#include <stdint.h>
#include <string.h>

void emd_transpose_scalar(size_t item_size, const void *src, size_t stride, void *const dst[],
                          size_t nx, size_t nk)
{
    const unsigned char *from = src;
    for (size_t k = 0; k < nk; k++) {
        unsigned char *to = dst[k];
        for (size_t x = 0; x < nx; x++)
            memcpy(to + x * item_size, from + (x * stride + k) * item_size, item_size);
    }
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define EMD_HAVE_SHUFFLEVECTOR 1
#endif
#endif

#ifdef EMD_HAVE_SHUFFLEVECTOR

/* zip_low/high interleave the lower and upper halves of two vectors. A square of L vectors of L
 * lanes is transposed by log2 L rounds of out[2i], out[2i+1] = zip(in[i], in[i + L/2]). */
#define LOW_1 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_1 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define LOW_2 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_2 4, 12, 5, 13, 6, 14, 7, 15
#define LOW_4 0, 4, 1, 5
#define HIGH_4 2, 6, 3, 7
#define LOW_8 0, 2
#define HIGH_8 1, 3

#define DEFINE_TRANSPOSE(SIZE, TYPE, LOW, HIGH)                                                    \
    typedef TYPE vector_##SIZE __attribute__((vector_size(16)));                                   \
                                                                                                   \
    static inline void square_##SIZE(const unsigned char *src, size_t stride, unsigned char *dst,  \
                                     size_t dst_stride)                                            \
    {                                                                                              \
        enum { LANES = 16 / SIZE };                                                                \
        vector_##SIZE a[LANES], b[LANES];                                                          \
        for (int i = 0; i < LANES; i++)                                                            \
            memcpy(&a[i], src + (size_t)i * stride, 16);                                           \
        for (int round = LANES; round > 1; round /= 2) {                                           \
            for (int i = 0; i < LANES / 2; i++) {                                                  \
                b[2 * i] = __builtin_shufflevector(a[i], a[i + LANES / 2], LOW);                   \
                b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + LANES / 2], HIGH);              \
            }                                                                                      \
            memcpy(a, b, sizeof a);                                                                \
        }                                                                                          \
        for (int i = 0; i < LANES; i++)                                                            \
            memcpy(dst + (size_t)i * dst_stride, &a[i], 16);                                       \
    }                                                                                              \
                                                                                                   \
    static void transpose_##SIZE(const unsigned char *src, size_t stride, void *const dst[],       \
                                 size_t nx, size_t nk)                                             \
    {                                                                                              \
        enum { LANES = 16 / SIZE, TILE = 64 / SIZE };                                              \
        unsigned char scratch[TILE][64];                                                           \
        size_t whole_x = nx / TILE * TILE, whole_k = nk / LANES * LANES;                           \
        for (size_t x = 0; x < whole_x; x += TILE)                                                 \
            for (size_t k = 0; k < whole_k;) {                                                     \
                size_t rows = whole_k - k < TILE ? whole_k - k : TILE;                             \
                for (size_t i = 0; i < TILE; i += LANES)                                           \
                    for (size_t j = 0; j < rows; j += LANES)                                       \
                        square_##SIZE(src + ((x + i) * stride + k + j) * SIZE, stride * SIZE,      \
                                      &scratch[j][i * SIZE], 64);                                  \
                for (size_t j = 0; j < rows; j++)                                                  \
                    memcpy((unsigned char *)dst[k + j] + x * SIZE, scratch[j], 64);                \
                k += rows;                                                                         \
            }                                                                                      \
        for (size_t k = 0; k < nk; k++) {                                                          \
            unsigned char *to = dst[k];                                                            \
            for (size_t x = k < whole_k ? whole_x : 0; x < nx; x++)                                \
                memcpy(to + x * SIZE, src + (x * stride + k) * SIZE, SIZE);                        \
        }                                                                                          \
    }

DEFINE_TRANSPOSE(1, uint8_t, LOW_1, HIGH_1)
DEFINE_TRANSPOSE(2, uint16_t, LOW_2, HIGH_2)
DEFINE_TRANSPOSE(4, uint32_t, LOW_4, HIGH_4)
DEFINE_TRANSPOSE(8, uint64_t, LOW_8, HIGH_8)

#endif

void emd_transpose(size_t item_size, const void *src, size_t stride, void *const dst[], size_t nx,
                   size_t nk)
{
    switch (item_size) {
#ifdef EMD_HAVE_SHUFFLEVECTOR
    case 1:
        transpose_1(src, stride, dst, nx, nk);
        return;
    case 2:
        transpose_2(src, stride, dst, nx, nk);
        return;
    case 4:
        transpose_4(src, stride, dst, nx, nk);
        return;
    case 8:
        transpose_8(src, stride, dst, nx, nk);
        return;
#endif
    default:
        emd_transpose_scalar(item_size, src, stride, dst, nx, nk);
    }
}
