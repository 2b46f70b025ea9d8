/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The vector layer of edckernel_impl.h, one lane wide: plain C for every machine, and the oracle of
 * the others. Lanes are 16 bits; all arithmetic but v_adds and v_mulhrs is modulo 2^16. */
#include <stdint.h>
#include <string.h>

#define VL 1
typedef uint16_t vec;

static inline vec v_load(const uint16_t *p)
{
    return *p;
}

static inline void v_store(uint16_t *p, vec a)
{
    *p = a;
}

static inline vec v_load8(const uint8_t *p)
{
    return *p;
}

/* Low bytes; the caller knows that nothing is lost. */
static inline void v_store8(uint8_t *p, vec a)
{
    *p = (uint8_t)a;
}

static inline vec v_set(int a)
{
    return (vec)a;
}

/* Two equal numbers of 16 bits. */
static inline vec v_set_pair(uint32_t a)
{
    return (vec)a;
}

static inline vec v_add(vec a, vec b)
{
    return (vec)(a + b);
}

static inline vec v_sub(vec a, vec b)
{
    return (vec)(a - b);
}

static inline vec v_and(vec a, vec b)
{
    return a & b;
}

static inline vec v_or(vec a, vec b)
{
    return a | b;
}

static inline vec v_xor(vec a, vec b)
{
    return a ^ b;
}

/* Signed, saturating. */
static inline vec v_adds(vec a, vec b)
{
    const int sum = (int16_t)a + (int16_t)b;
    return (vec)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

/* Signed (a * b + 2^14) >> 15. */
static inline vec v_mulhrs(vec a, vec b)
{
    return (vec)(((int16_t)a * (int16_t)b + (1 << 14)) >> 15);
}

/* Signed. */
static inline vec v_min(vec a, vec b)
{
    return (int16_t)a < (int16_t)b ? a : b;
}

static inline vec v_max(vec a, vec b)
{
    return (int16_t)a > (int16_t)b ? a : b;
}

static inline vec v_minu(vec a, vec b)
{
    return a < b ? a : b;
}

/* |a| of a signed lane; 32768 stays 32768. */
static inline vec v_abs(vec a)
{
    return (int16_t)a < 0 ? (vec)-a : a;
}

static inline vec v_sll(vec a, int n)
{
    return (vec)(a << n);
}

static inline vec v_srl(vec a, int n)
{
    return (vec)(a >> n);
}

static inline vec v_sra(vec a, int n)
{
    return (vec)((int16_t)a >> n);
}

/* count + 1 in the lanes where a > b (signed). */
static inline vec v_count_gt(vec count, vec a, vec b)
{
    return (vec)(count + ((int16_t)a > (int16_t)b));
}

/* Which lanes are above 'limit' (signed), from bit 'lane' on. */
static inline uint32_t v_bits_gt(vec a, int limit, int lane)
{
    return (uint32_t)((int16_t)a > limit) << lane;
}

/* Bits 'lane' onwards of 'bits' as lanes of 0 or -1. */
static inline vec v_from_bits(uint32_t bits, int lane)
{
    return (vec) - (bits >> lane & 1);
}

/* a + b in the lanes whose bits, 'lane' onwards of 'bits', are set. */
static inline vec v_add_where(vec a, uint32_t bits, int lane, vec b)
{
    return bits >> lane & 1 ? (vec)(a + b) : a;
}

/* Which lanes have the bit 'bit' (the same power of 2 in all lanes), from bit 'lane' on. */
static inline uint32_t v_to_bits(vec a, vec bit, int lane)
{
    return (uint32_t)((a & bit) != 0) << lane;
}

/* Sum of lanes below 2^15. */
static inline uint32_t v_sum(vec a)
{
    return a;
}

/* Sum of products of signed lanes. */
typedef int32_t vacc;

static inline vacc v_acc_zero(void)
{
    return 0;
}

static inline vacc v_mac(vacc acc, vec a, vec b)
{
    return acc + (int16_t)a * (int16_t)b;
}

/* The four sums. */
static inline void v_acc_sum4(const vacc acc[4], int32_t sum[4])
{
    memcpy(sum, acc, 4 * sizeof *sum);
}

/* a where signed |x| <= limit, else 0 */
static inline vec v_keep_le(vec a, vec x, vec limit)
{
    return (int16_t)x > (int16_t)limit ? 0 : a;
}

/* map[index], 32 bytes, index < 32 */
typedef const uint8_t *vmap32;

static inline vmap32 v_map32(const uint8_t *map)
{
    return map;
}

static inline vec v_lookup32(vmap32 map, vec index)
{
    return map[index];
}

/* 2 VL pixels of a row to VL even and VL odd ones, and back. */
static inline void v_split(const uint16_t *p, vec *even, vec *odd)
{
    *even = p[0];
    *odd = p[1];
}

static inline void v_join(uint16_t *p, vec even, vec odd)
{
    p[0] = even;
    p[1] = odd;
}
