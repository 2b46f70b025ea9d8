/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The kernels of edckernel.h, written once over the vector layers edcvec_*.h and included by one
 * source file a SIMD level, which defines EDC_KERNELS (the name of the set) and includes the
 * entropy coder's step for 64 lanes beforehand (edcrans_*.h): that is the only part whose shape
 * depends on the instructions there are. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#ifndef EDC_DECODES_TOGETHER
static void rans_decode(struct edc_reader *const reader[], int count, size_t n,
                        const uint8_t *const table[], uint8_t *const symbol[])
{
    for (int i = 0; i < count; i++)
        decode_row(reader[i], n, table[i], symbol[i]);
}
#endif

static void split(const uint16_t *row, size_t w, uint16_t *even, uint16_t *odd)
{
    size_t x = 0;
    for (; x + 2 * VL <= w; x += 2 * VL) {
        vec e, o;
        v_split(row + x, &e, &o);
        v_store(even + x / 2, e);
        v_store(odd + x / 2, o);
    }
    for (; x + 1 < w; x += 2) {
        even[x / 2] = row[x];
        odd[x / 2] = row[x + 1];
    }
    if (x < w)
        even[x / 2] = row[x];
}

static void join(const uint16_t *even, const uint16_t *odd, size_t w, uint16_t *row)
{
    size_t x = 0;
    for (; x + 2 * VL <= w; x += 2 * VL)
        v_join(row + x, v_load(even + x / 2), v_load(odd + x / 2));
    for (; x + 1 < w; x += 2) {
        row[x] = even[x / 2];
        row[x + 1] = odd[x / 2];
    }
    if (x < w)
        row[x] = even[x / 2];
}

/* Sum of two neighbours against twice the base. */
static inline vec pair(const uint16_t *a, const uint16_t *b, vec twice)
{
    return v_sub(v_add(v_load(a), v_load(b)), twice);
}

/* The base and the first 'taps' clamped taps (4 or all) of the VL lanes from i on. */
static ALWAYS_INLINE vec take_taps(const struct edc_view *view, int phase, size_t i,
                                   vec tap[EDC_TAPS], int taps)
{
    const uint16_t *const n_even = view->row[1].half[0] + i, *const n_odd =
                                                                 view->row[1].half[1] + i;
    const uint16_t *const nn_even = view->row[2].half[0] + i;
    const uint16_t *const nn_odd = view->row[2].half[1] + i;
    const uint16_t *const n3 = view->row[3].half[phase] + i;
    vec base, twice;
    if (phase == 0) {
        base = v_load(n_even);
        twice = v_add(base, base);
        tap[0] = pair(n_odd - 1, n_odd, twice);
        tap[1] = pair(n_even - 1, n_even + 1, twice);
        tap[2] = v_sub(v_load(nn_even), base);
        tap[3] = pair(nn_odd - 1, nn_odd, twice);
        if (taps > EDC_FEW_TAPS)
            tap[5] = pair(n_odd - 2, n_odd + 1, twice);
    } else {
        const uint16_t *const even = view->row[0].half[0] + i;
        const vec west = v_load(even);
        base = v_add(west, v_sra(v_sub(v_load(even + 1), west), 1));
        twice = v_add(base, base);
        tap[0] = v_sub(v_load(n_odd), base);
        tap[1] = pair(n_even, n_even + 1, twice);
        tap[2] = v_sub(v_load(nn_odd), base);
        tap[3] = pair(n_odd - 1, n_odd + 1, twice);
        if (taps > EDC_FEW_TAPS)
            tap[5] = pair(nn_even, nn_even + 1, twice);
    }
    if (taps > EDC_FEW_TAPS)
        tap[4] = v_sub(v_load(n3), base);
    const vec low = v_set(-EDC_CLAMP), high = v_set(EDC_CLAMP);
    for (int t = 0; t < taps; t++)
        tap[t] = v_max(v_min(tap[t], high), low);
    return base;
}

/* Eight times the distance of the prediction from the base. */
static ALWAYS_INLINE vec weigh_taps(const vec tap[EDC_TAPS], const vec coef[EDC_COEFS], int taps)
{
    vec sum = coef[EDC_TAPS];
    for (int t = 0; t < taps; t++)
        sum = v_adds(sum, v_mulhrs(v_sll(tap[t], 3), coef[t]));
    return sum;
}

/* Coefficients tile by tile: what runs of tiles with the same set would save, guessing their
 * lengths costs. 'restrict' lets compilers turn the plain C layer into vectors, too. */
static ALWAYS_INLINE void predict_tiles(const struct edc_view *view, int phase, size_t n,
                                        const struct edc_predictor *predictor, const uint8_t *set,
                                        int taps, uint16_t *restrict prediction,
                                        uint8_t *restrict fraction)
{
    const struct edc_view rows = *view;
    for (size_t at = 0; at < n; at += EDC_TILE_LANES) {
        const uint32_t *const c = predictor->coef[set[at / EDC_TILE_LANES]][phase];
        vec coef[EDC_COEFS];
        uint16_t sums[EDC_TILE_LANES];
        for (int t = 0; t < EDC_COEFS; t++)
            coef[t] = v_set_pair(c[t]);
        for (size_t i = at; i < at + EDC_TILE_LANES; i += VL) {
            vec tap[EDC_TAPS];
            const vec base = take_taps(&rows, phase, i, tap, taps);
            const vec sum = weigh_taps(tap, coef, taps);
            v_store(prediction + i, v_add(base, v_sra(sum, 3)));
            if (fraction)
                v_store(sums + (i - at), sum);
        }
        for (size_t i = at; fraction && i < at + EDC_TILE_LANES; i += VL)
            v_store8(fraction + i,
                     v_and(v_srl(v_load(sums + (i - at)), 1), v_set(EDC_FRACTIONS - 1)));
    }
}

static ALWAYS_INLINE void predict_phase(const struct edc_view *view, int phase, size_t n,
                                        const struct edc_predictor *predictor, const uint8_t *set,
                                        uint16_t *prediction, uint8_t *fraction)
{
    if (predictor->taps > EDC_FEW_TAPS)
        predict_tiles(view, phase, n, predictor, set, EDC_TAPS, prediction, fraction);
    else if (fraction)
        predict_tiles(view, phase, n, predictor, set, EDC_FEW_TAPS, prediction, fraction);
    else
        predict_tiles(view, phase, n, predictor, set, EDC_FEW_TAPS, prediction, NULL);
}

static void predict(const struct edc_view *view, int phase, size_t n,
                    const struct edc_predictor *predictor, const uint8_t *set, uint16_t *prediction,
                    uint8_t *fraction)
{
    if (phase == 0)
        predict_phase(view, 0, n, predictor, set, prediction, fraction);
    else
        predict_phase(view, 1, n, predictor, set, prediction, fraction);
}

/* Of the 32 lanes from 'at' on those below n, as bits. */
static inline uint32_t bits_below(size_t at, size_t n)
{
    return n - at >= 32 ? UINT32_MAX : (UINT32_C(1) << (n - at)) - 1;
}

/* 8 rows of 4095 are within 15 bits. */
static void residuals(size_t n, const uint16_t *value, const uint16_t *prediction,
                      uint16_t *restrict residual, uint16_t *restrict sums)
{
    const vec limit = v_set(EDC_CLAMP);
    for (size_t i = 0; i < n; i += VL) {
        const vec r = v_sub(v_load(value + i), v_load(prediction + i));
        v_store(residual + i, r);
        v_store(sums + i, v_add(v_load(sums + i), v_minu(v_abs(r), limit)));
    }
}

static void clipped_sums(size_t n, const uint16_t *residual, const uint16_t *limits,
                         uint16_t *restrict sums)
{
    for (size_t at = 0; at < n; at += EDC_TILE_LANES) {
        const vec limit = v_set(limits[at / EDC_TILE_LANES]);
        for (size_t i = at; i < at + EDC_TILE_LANES; i += VL)
            v_store(sums + i, v_add(v_load(sums + i), v_minu(v_abs(v_load(residual + i)), limit)));
    }
}

static void tile_sums(size_t n, const uint16_t *sums, uint32_t *totals)
{
    for (size_t at = 0; at < n; at += EDC_TILE_LANES) {
        uint32_t total = 0;
        for (size_t i = at; i < at + EDC_TILE_LANES && i < n; i += VL) {
            vec sum = v_load(sums + i);
            if (i + VL > n)
                sum = v_and(sum, v_from_bits(bits_below(i, n), 0));
            total += v_sum(sum);
        }
        totals[at / EDC_TILE_LANES] += total;
    }
}

/* A residual as a number without sign. */
static inline vec fold_residual(vec r, int k, bool fold)
{
    if (fold)
        return v_srl(r, k);
    const vec q = v_sra(r, k);
    return v_xor(v_add(q, q), v_sra(q, 15));
}

static void quantise(size_t n, const uint16_t *residual, bool fold, const uint8_t *low,
                     uint8_t *symbol, uint8_t **planes, struct edc_bit_writer *extra)
{
    uint8_t *plane = *planes;
    const vec most = v_set(EDC_LITERALS);
    for (size_t at = 0; at < n; at += EDC_TILE_LANES) {
        const int k = low[at / EDC_TILE_LANES];
        const vec half = v_set(fold ? 0 : 1 << k >> 1);
        const uint32_t inside = bits_below(at, n); /* nothing of what lies behind the row's end */
        vec shifted[EDC_TILE_LANES / VL];
        uint32_t escapes = 0;
        for (int v = 0; v < EDC_TILE_LANES / VL; v++) {
            const size_t i = at + (size_t)(v * VL);
            shifted[v] = v_add(v_load(residual + i), half);
            const vec z = v_minu(fold_residual(shifted[v], k, fold), most);
            escapes |= v_bits_gt(z, EDC_LITERALS - 1, v * VL);
            v_store8(symbol + i, z);
        }
        vec bit = v_set(1);
        for (int j = 0; j < k; j++, plane += 4, bit = v_add(bit, bit)) {
            uint32_t bits = 0;
            for (int v = 0; v < EDC_TILE_LANES / VL; v++)
                bits |= v_to_bits(shifted[v], bit, v * VL);
            bits &= inside;
            memcpy(plane, &bits, 4);
        }
        escapes &= inside;
        if (escapes) {
            uint16_t z[EDC_TILE_LANES];
            for (int v = 0; v < EDC_TILE_LANES / VL; v++)
                v_store(z + v * VL, fold_residual(shifted[v], k, fold));
            for (; escapes; escapes &= escapes - 1) {
                const size_t i = (size_t)__builtin_ctz(escapes);
                symbol[at + i] = edc_escape(z[i], extra);
            }
        }
    }
    *planes = plane;
}

static void survey(const uint8_t *symbol, size_t n, uint32_t rows, size_t step,
                   uint32_t escapes[EDC_TILE_ROWS], uint16_t most[EDC_TILE_LANES])
{
    const vec last = v_set(EDC_LITERALS - 1);
    const uint32_t inside = bits_below(0, n);
    vec largest[EDC_TILE_LANES / VL];
    for (int v = 0; v < EDC_TILE_LANES / VL; v++)
        largest[v] = v_set(0);
    for (uint32_t y = 0; y < rows; y++, symbol += step) {
        uint32_t bits = 0;
        for (int v = 0; v < EDC_TILE_LANES / VL; v++) {
            const vec s = v_load8(symbol + v * VL);
            largest[v] = v_max(largest[v], v_keep_le(s, s, last));
            bits |= v_bits_gt(s, EDC_LITERALS - 1, v * VL);
        }
        escapes[y] = bits & inside;
    }
    for (int v = 0; v < EDC_TILE_LANES / VL; v++) {
        uint16_t *const lanes = most + v * VL;
        v_store(lanes, v_max(v_load(lanes), v_and(largest[v], v_from_bits(inside, v * VL))));
    }
}

static void restore(size_t n, const uint8_t *symbol, bool fold, const uint8_t *low,
                    const uint16_t *prediction, const uint8_t **planes,
                    struct edc_bit_reader *extra, uint16_t *value)
{
    const uint8_t *plane = *planes;
    const vec one = v_set(1);
    for (size_t at = 0; at < n; at += EDC_TILE_LANES) {
        const int k = low[at / EDC_TILE_LANES];
        const vec half = v_set(fold ? 0 : 1 << k >> 1);
        vec z[EDC_TILE_LANES / VL];
        uint32_t escapes = 0;
        for (int v = 0; v < EDC_TILE_LANES / VL; v++) {
            z[v] = v_load8(symbol + at + (size_t)(v * VL));
            escapes |= v_bits_gt(z[v], EDC_LITERALS - 1, v * VL);
        }
        escapes &= bits_below(at, n);
        if (escapes) {
            uint16_t whole[EDC_TILE_LANES];
            for (int v = 0; v < EDC_TILE_LANES / VL; v++)
                v_store(whole + v * VL, z[v]);
            for (; escapes; escapes &= escapes - 1) {
                const size_t i = (size_t)__builtin_ctz(escapes);
                whole[i] = edc_unescape(symbol[at + i], extra);
            }
            for (int v = 0; v < EDC_TILE_LANES / VL; v++)
                z[v] = v_load(whole + v * VL);
        }
        for (int v = 0; v < EDC_TILE_LANES / VL; v++) {
            vec r = z[v];
            if (!fold)
                r = v_xor(v_srl(r, 1), v_sub(v_set(0), v_and(r, one)));
            r = v_sll(r, k);
            vec bit = one;
            for (int j = 0; j < k; j++, bit = v_add(bit, bit)) {
                uint32_t bits;
                memcpy(&bits, plane + 4 * j, 4);
                r = v_add_where(r, bits, v * VL, bit);
            }
            const size_t i = at + (size_t)(v * VL);
            v_store(value + i, v_add(v_sub(r, half), v_load(prediction + i)));
        }
        plane += 4 * k;
    }
    *planes = plane;
}

static void activity(size_t n, const uint16_t *value, const uint16_t *prediction, bool fold,
                     uint16_t *out)
{
    const vec most = v_set(EDC_ACTIVITY_MAX);
    for (size_t i = 0; i < n; i += VL) {
        const vec r = v_sub(v_load(value + i), v_load(prediction + i));
        v_store(out + i, v_minu(fold ? r : v_abs(r), most));
    }
}

/* Weighted |residual| around, weights 14 in all. */
static inline vec local_activity(const struct edc_view *a, int phase, size_t i)
{
    const uint16_t *const even = a->row[0].half[0] + i;
    const uint16_t *const n_even = a->row[1].half[0] + i, *const n_odd = a->row[1].half[1] + i;
    const uint16_t *const nn_even = a->row[2].half[0] + i, *const nn_odd = a->row[2].half[1] + i;
    vec near, two, one;
    if (phase == 0) {
        near = v_load(n_even);
        two = v_add(v_add(v_load(n_odd - 1), v_load(n_odd)), v_load(nn_even));
        one = v_add(v_add(v_load(n_even - 1), v_load(n_even + 1)),
                    v_add(v_load(nn_odd - 1), v_load(nn_odd)));
    } else {
        near = v_load(n_odd);
        two = v_add(v_add(v_load(even), v_load(even + 1)), v_load(nn_odd));
        one = v_add(v_add(v_load(n_even), v_load(n_even + 1)),
                    v_add(v_load(nn_even), v_load(nn_even + 1)));
    }
    return v_add(one, v_add(v_add(two, two), v_sll(near, 2)));
}

static void context_local(const struct edc_view *a, int phase, size_t n,
                          const int16_t (*thresholds)[EDC_LOCAL_LEVELS - 1],
                          const uint8_t *scale_class, const uint8_t *fraction,
                          const uint8_t *const *map, uint8_t *table)
{
    for (size_t at = 0; at < n; at += EDC_TILE_LANES) {
        const size_t tile = at / EDC_TILE_LANES;
        const int16_t *const threshold = thresholds[scale_class[tile]];
        const vmap32 lookup = v_map32(map[tile]);
        for (size_t i = at; i < at + EDC_TILE_LANES; i += VL) {
            const vec u = local_activity(a, phase, i);
            vec level = v_set(0);
            for (int t = 0; t < EDC_LOCAL_LEVELS - 1; t++)
                level = v_count_gt(level, u, v_set(threshold[t]));
            v_store8(table + i, v_lookup32(lookup, v_add(v_sll(level, 2), v_load8(fraction + i))));
        }
    }
}

static inline vec count_levels(vec u, const int16_t *threshold, int count)
{
    vec level = v_set(0);
    for (int t = 0; t < count; t++)
        level = v_count_gt(level, u, v_set(threshold[t]));
    return level;
}

static void context_values(const struct edc_view *a, int phase, size_t n, uint8_t *context)
{
    static const int16_t near[2][7] = {{0, 1, 4, 10, 24, 56, 128}, {0, 1, 3, 8, 20, 44, 100}};
    static const int16_t above[7] = {0, 1, 3, 7, 15, 31, 63};
    static const int16_t far[2][3] = {{0, 5, 25}, {2, 16, 80}};
    for (size_t i = 0; i < n; i += VL) {
        const uint16_t *const n_even = a->row[1].half[0] + i, *const n_odd = a->row[1].half[1] + i;
        vec first, north, third;
        if (phase == 0) {
            north = v_load(n_even);
            first = v_add(v_add(v_load(n_odd - 1), v_load(n_odd)), v_add(north, north));
            third = v_load(a->row[2].half[0] + i);
        } else {
            const uint16_t *const even = a->row[0].half[0] + i;
            north = v_load(n_odd);
            first = v_add(v_load(even), v_load(even + 1));
            third = v_add(v_add(v_load(n_even), v_load(n_even + 1)), v_add(north, north));
        }
        const vec a1 = count_levels(first, near[phase], 7), a2 = count_levels(north, above, 7);
        const vec a3 = count_levels(third, far[phase], 3);
        v_store8(context + i, v_add(v_sll(a1, 5), v_add(v_sll(a2, 2), a3)));
    }
}

/* Within 'limit' of the prediction; *error = value - prediction. */
static inline vec tile_error(const struct edc_view *view, int phase, size_t i, vec tap[EDC_TAPS],
                             vec *y, const struct edc_set *set)
{
    const vec base = take_taps(view, phase, i, tap, EDC_TAPS);
    *y = v_sub(v_load(view->row[0].half[phase] + i), base);
    if (!set)
        return *y;
    vec coef[EDC_COEFS];
    for (int t = 0; t < EDC_COEFS; t++)
        coef[t] = v_set(set->coef[phase][t]);
    return v_sub(*y, v_sra(weigh_taps(tap, coef, EDC_TAPS), 3));
}

enum { WIDEST = 32768 / 3 };

static void moments(const struct edc_view *view, int phase, size_t at, const struct edc_set *set,
                    int limit, int32_t out[EDC_MOMENTS])
{
    vacc acc[EDC_MOMENTS];
    for (int m = 0; m < EDC_MOMENTS; m++)
        acc[m] = v_acc_zero();
    const vec most = v_set(limit), clamp = v_set(EDC_CLAMP);
    for (size_t i = at; i < at + EDC_TILE_LANES; i += VL) {
        vec column[EDC_TAPS + 2], y;
        vec error = v_minu(v_abs(tile_error(view, phase, i, column, &y, set)), v_set(32767));
        /* A spot next to a pixel is as bad as one in it: taps may be three times as far off. */
        vec widest = v_set(0);
        for (int t = 0; t < EDC_TAPS; t++)
            widest = v_max(widest, v_abs(column[t]));
        error = v_max(error, v_mulhrs(widest, v_set(WIDEST)));
        column[EDC_TAPS] = v_set(1);
        column[EDC_TAPS + 1] = v_max(v_min(y, clamp), v_set(-EDC_CLAMP));
        for (int c = 0; c < EDC_TAPS + 2; c++)
            column[c] = v_keep_le(column[c], error, most);
        int m = 0;
        for (int a = 0; a < EDC_TAPS + 2; a++)
            for (int b = a; b < EDC_TAPS + 2; b++, m++)
                acc[m] = v_mac(acc[m], column[a], column[b]);
    }
    for (int m = 0; m < EDC_MOMENTS; m += 4)
        v_acc_sum4(acc + m, out + m);
}

static uint32_t deviation(const struct edc_view *view, int phase, size_t at,
                          const struct edc_set *set, int limit)
{
    uint32_t sum = 0;
    for (size_t i = at; i < at + EDC_TILE_LANES; i += VL) {
        vec tap[EDC_TAPS], y;
        sum += v_sum(v_minu(v_abs(tile_error(view, phase, i, tap, &y, set)), v_set(limit)));
    }
    return sum;
}

static uint64_t checksum(const void *data, size_t n)
{
    return XXH3_64bits(data, n);
}

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct edc_hash), "room for the state of a checksum");

static void hash_start(struct edc_hash *hash)
{
    XXH3_INITSTATE((XXH3_state_t *)(void *)hash);
    XXH3_64bits_reset((XXH3_state_t *)(void *)hash);
}

static void hash_update(struct edc_hash *hash, const void *data, size_t n)
{
    XXH3_64bits_update((XXH3_state_t *)(void *)hash, data, n);
}

static uint64_t hash_end(const struct edc_hash *hash)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)hash);
}

const struct edc_kernels EDC_KERNELS = {
    .split = split,
    .join = join,
    .predict = predict,
    .residuals = residuals,
    .clipped_sums = clipped_sums,
    .tile_sums = tile_sums,
    .quantise = quantise,
    .survey = survey,
    .restore = restore,
    .activity = activity,
    .context_local = context_local,
    .context_values = context_values,
    .decode = rans_decode,
    .encode = rans_encode,
    .moments = moments,
    .deviation = deviation,
    .checksum = checksum,
    .hash_start = hash_start,
    .hash_update = hash_update,
    .hash_end = hash_end,
};
