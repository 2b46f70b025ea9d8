/* EDC's kernels for AVX-512 F, BW, DQ and VL (Skylake-X, Zen 4). */
#include "codec/edc/edckernel.h"
#include "codec/edc/edcrans_scalar.h"
#include "codec/edc/edcvec_avx512.h"

#define EDC_KERNELS edc_kernels_avx512

/* table[index] of two indices in each of two words. Kept in general registers until the last
 * moment: 5 % faster than by way of memory, where 64-byte loads wait for the stores, and 10 % than
 * gathers (Zen 4). */
static inline __m128i look_up_4(const uint32_t *table, uint64_t low, uint64_t high)
{
    const uint64_t a = table[(uint32_t)low] | (uint64_t)table[low >> 32] << 32;
    const uint64_t b = table[(uint32_t)high] | (uint64_t)table[high >> 32] << 32;
    return _mm_set_epi64x((long long)b, (long long)a);
}

static inline __m512i look_up_16(const uint32_t *table, const uint64_t index[8])
{
    const __m256i low =
        _mm256_inserti128_si256(_mm256_castsi128_si256(look_up_4(table, index[0], index[1])),
                                look_up_4(table, index[2], index[3]), 1);
    const __m256i high =
        _mm256_inserti128_si256(_mm256_castsi128_si256(look_up_4(table, index[4], index[5])),
                                look_up_4(table, index[6], index[7]), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline void decode_64(struct edc_reader *r, __m512i state[4], const uint8_t *table,
                             uint8_t *symbol)
{
    const __m512i slot_mask = _mm512_set1_epi32(EDC_RANS_TOTAL - 1);
    uint64_t index[32] __attribute__((aligned(64)));
    for (int v = 0; v < 4; v++) {
        const __m512i t = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(table + 16 * v)));
        _mm512_store_si512(index + 8 * v, _mm512_or_si512(_mm512_slli_epi32(t, EDC_RANS_BITS),
                                                          _mm512_and_si512(state[v], slot_mask)));
    }
    __asm__ volatile("" : : "r"(index) : "memory"); /* as look_up_64 */
    const uint8_t *p = r->p;
    for (int v = 0; v < 4; v++) {
        const __m512i e = look_up_16(r->tables, index + 8 * v);
        _mm_storeu_si128((__m128i *)(symbol + 16 * v), _mm512_cvtepi32_epi8(e));
        const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(e, 8), slot_mask);
        const __m512i x = _mm512_add_epi32(
            _mm512_mullo_epi32(frequency, _mm512_srli_epi32(state[v], EDC_RANS_BITS)),
            _mm512_srli_epi32(e, 20));
        const __mmask16 low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(EDC_RANS_LOW));
        const __m512i words = _mm512_maskz_expand_epi32(
            low, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)));
        state[v] = _mm512_mask_or_epi32(x, low, _mm512_slli_epi32(x, 16), words);
        p += 2 * __builtin_popcount(low);
    }
    r->p = p;
}

static void rans_decode(struct edc_reader *r, size_t n, const uint8_t *table, uint8_t *symbol)
{
    __m512i state[4];
    for (int v = 0; v < 4; v++)
        state[v] = _mm512_loadu_si512(r->state + 16 * v);
    size_t at = 0;
    /* four steps of at most 32 bytes, each reading 32 */
    for (; at + 64 <= n && r->end - r->p >= 128; at += 64)
        decode_64(r, state, table + at, symbol + at);
    for (int v = 0; v < 4; v++)
        _mm512_storeu_si512(r->state + 16 * v, state[v]);
    for (; at < n; at += EDC_RANS_LANES)
        decode_lanes(r, n - at < EDC_RANS_LANES ? n - at : EDC_RANS_LANES, table + at, symbol + at);
}

static inline void encode_64(struct edc_writer *w, __m512i state[4], const uint8_t *table,
                             const uint8_t *symbol)
{
    uint32_t index[64] __attribute__((aligned(64)));
    uint32_t entry[64] __attribute__((aligned(64)));
    for (int v = 0; v < 4; v++) {
        const __m512i t = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(table + 16 * v)));
        const __m512i s = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(symbol + 16 * v)));
        _mm512_store_si512(
            index + 16 * v,
            _mm512_add_epi32(_mm512_mullo_epi32(t, _mm512_set1_epi32(EDC_SYMBOLS)), s));
    }
    look_up_64(w->tables, index, entry);
    uint8_t *p = w->p;
    for (int v = 4; v-- > 0;) {
        const __m512i e = _mm512_load_si512(entry + 16 * v);
        const __m512i frequency = _mm512_and_si512(e, _mm512_set1_epi32(0xFFFF));
        const __mmask16 high =
            _mm512_cmpge_epu32_mask(state[v], _mm512_slli_epi32(frequency, 32 - EDC_RANS_BITS));
        const unsigned count = (unsigned)__builtin_popcount(high);
        p -= 2 * count;
        _mm256_mask_storeu_epi16(
            p, (__mmask16)((1u << count) - 1),
            _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(high, state[v])));
        const __m512i x = _mm512_mask_srli_epi32(state[v], high, state[v], 16);
        /* x < 2^20 frequency, and the reciprocal, after one step of Newton's, is good to 2^-22: so
         * the quotient is off by one at most. Half as long as a division. */
        const __m512 f = _mm512_cvtepu32_ps(frequency);
        __m512 inverse = _mm512_rcp14_ps(f);
        inverse = _mm512_mul_ps(inverse, _mm512_fnmadd_ps(f, inverse, _mm512_set1_ps(2.0f)));
        __m512i q = _mm512_cvttps_epu32(_mm512_mul_ps(_mm512_cvtepu32_ps(x), inverse));
        __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(q, frequency));
        const __mmask16 over = _mm512_cmplt_epi32_mask(rest, _mm512_setzero_si512());
        q = _mm512_mask_sub_epi32(q, over, q, _mm512_set1_epi32(1));
        rest = _mm512_mask_add_epi32(rest, over, rest, frequency);
        const __mmask16 under = _mm512_cmpge_epi32_mask(rest, frequency);
        q = _mm512_mask_add_epi32(q, under, q, _mm512_set1_epi32(1));
        rest = _mm512_mask_sub_epi32(rest, under, rest, frequency);
        state[v] = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(q, EDC_RANS_BITS), rest),
                                    _mm512_srli_epi32(e, 16));
    }
    w->p = p;
}

static void rans_encode(struct edc_writer *w, size_t n, const uint8_t *table, const uint8_t *symbol)
{
    const size_t rest = n % EDC_RANS_LANES;
    encode_lanes(w, rest, table + (n - rest), symbol + (n - rest));
    __m512i state[4];
    for (int v = 0; v < 4; v++)
        state[v] = _mm512_loadu_si512(w->state + 16 * v);
    for (size_t at = n - rest; at > 0; at -= EDC_RANS_LANES)
        encode_64(w, state, table + at - EDC_RANS_LANES, symbol + at - EDC_RANS_LANES);
    for (int v = 0; v < 4; v++)
        _mm512_storeu_si512(w->state + 16 * v, state[v]);
}

#include "codec/edc/edckernel_impl.h"
