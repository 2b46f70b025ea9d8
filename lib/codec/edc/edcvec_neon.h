/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The vector layer of edckernel_impl.h for NEON (every arm64): 8 lanes. What each function does is
 * said in edcvec_scalar.h. */
#include <arm_neon.h>
#include <stdint.h>

#define VL 8
typedef uint16x8_t vec;

static inline int16x8_t v_signed(vec a)
{
    return vreinterpretq_s16_u16(a);
}

static inline vec v_unsigned(int16x8_t a)
{
    return vreinterpretq_u16_s16(a);
}

static inline vec v_load(const uint16_t *p)
{
    return vld1q_u16(p);
}

static inline void v_store(uint16_t *p, vec a)
{
    vst1q_u16(p, a);
}

static inline vec v_load8(const uint8_t *p)
{
    return vmovl_u8(vld1_u8(p));
}

static inline void v_store8(uint8_t *p, vec a)
{
    vst1_u8(p, vmovn_u16(a));
}

static inline vec v_set(int a)
{
    return vdupq_n_u16((uint16_t)a);
}

static inline vec v_set_pair(uint32_t a)
{
    return vreinterpretq_u16_u32(vdupq_n_u32(a));
}

static inline vec v_add(vec a, vec b)
{
    return vaddq_u16(a, b);
}

static inline vec v_sub(vec a, vec b)
{
    return vsubq_u16(a, b);
}

static inline vec v_and(vec a, vec b)
{
    return vandq_u16(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return vorrq_u16(a, b);
}

static inline vec v_xor(vec a, vec b)
{
    return veorq_u16(a, b);
}

static inline vec v_adds(vec a, vec b)
{
    return v_unsigned(vqaddq_s16(v_signed(a), v_signed(b)));
}

/* -32768 times itself saturates, unlike elsewhere; a is never as low. */
static inline vec v_mulhrs(vec a, vec b)
{
    return v_unsigned(vqrdmulhq_s16(v_signed(a), v_signed(b)));
}

static inline vec v_min(vec a, vec b)
{
    return v_unsigned(vminq_s16(v_signed(a), v_signed(b)));
}

static inline vec v_max(vec a, vec b)
{
    return v_unsigned(vmaxq_s16(v_signed(a), v_signed(b)));
}

static inline vec v_minu(vec a, vec b)
{
    return vminq_u16(a, b);
}

static inline vec v_abs(vec a)
{
    return v_unsigned(vabsq_s16(v_signed(a)));
}

/* Shifts to the right are to the left by a negative number. */
static inline vec v_sll(vec a, int n)
{
    return vshlq_u16(a, vdupq_n_s16((int16_t)n));
}

static inline vec v_srl(vec a, int n)
{
    return vshlq_u16(a, vdupq_n_s16((int16_t)-n));
}

static inline vec v_sra(vec a, int n)
{
    return v_unsigned(vshlq_s16(v_signed(a), vdupq_n_s16((int16_t)-n)));
}

static inline vec v_count_gt(vec count, vec a, vec b)
{
    return vsubq_u16(count, vcgtq_s16(v_signed(a), v_signed(b)));
}

static inline vec v_lane_bits(void)
{
    static const uint16_t bits[VL] = {1, 2, 4, 8, 16, 32, 64, 128};
    return vld1q_u16(bits);
}

/* Which lanes are -1, of 0 and -1. */
static inline uint32_t v_mask_bits(vec mask, int lane)
{
    return (uint32_t)vaddvq_u16(vandq_u16(mask, v_lane_bits())) << lane;
}

static inline uint32_t v_bits_gt(vec a, int limit, int lane)
{
    return v_mask_bits(vcgtq_s16(v_signed(a), vdupq_n_s16((int16_t)limit)), lane);
}

static inline vec v_from_bits(uint32_t bits, int lane)
{
    return vtstq_u16(vdupq_n_u16((uint16_t)(bits >> lane)), v_lane_bits());
}

static inline vec v_add_where(vec a, uint32_t bits, int lane, vec b)
{
    return vaddq_u16(a, vandq_u16(v_from_bits(bits, lane), b));
}

static inline uint32_t v_to_bits(vec a, vec bit, int lane)
{
    return v_mask_bits(vtstq_u16(a, bit), lane);
}

static inline uint32_t v_sum(vec a)
{
    return vaddlvq_u16(a);
}

typedef int32x4_t vacc;

static inline vacc v_acc_zero(void)
{
    return vdupq_n_s32(0);
}

static inline vacc v_mac(vacc acc, vec a, vec b)
{
    acc = vmlal_s16(acc, vget_low_s16(v_signed(a)), vget_low_s16(v_signed(b)));
    return vmlal_high_s16(acc, v_signed(a), v_signed(b));
}

static inline void v_acc_sum4(const vacc acc[4], int32_t sum[4])
{
    vst1q_s32(sum, vpaddq_s32(vpaddq_s32(acc[0], acc[1]), vpaddq_s32(acc[2], acc[3])));
}

static inline vec v_keep_le(vec a, vec x, vec limit)
{
    return vbicq_u16(a, vcgtq_s16(v_signed(x), v_signed(limit)));
}

typedef uint8x16x2_t vmap32;

static inline vmap32 v_map32(const uint8_t *map)
{
    return (vmap32){{vld1q_u8(map), vld1q_u8(map + 16)}};
}

/* The high byte of each lane looks up entry 0 and is cut off. */
static inline vec v_lookup32(vmap32 map, vec index)
{
    const uint8x16_t found = vqtbl2q_u8(map, vreinterpretq_u8_u16(index));
    return vandq_u16(vreinterpretq_u16_u8(found), vdupq_n_u16(255));
}

static inline void v_split(const uint16_t *p, vec *even, vec *odd)
{
    const uint16x8x2_t both = vld2q_u16(p);
    *even = both.val[0];
    *odd = both.val[1];
}

static inline void v_join(uint16_t *p, vec even, vec odd)
{
    vst2q_u16(p, (uint16x8x2_t){{even, odd}});
}
