/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "codec/edc/edcside.h"

enum { RENORMALISE = 1 << 24 };

void edc_number_init(struct edc_number_model *model)
{
    for (int i = 0; i < 33; i++)
        model->length[i] = model->second[i] = EDC_BIT_EVEN;
}

void edc_side_write_init(struct edc_side_writer *w, uint8_t *out, size_t capacity)
{
    *w = (struct edc_side_writer){.p = out, .end = out + capacity, .range = UINT32_MAX};
}

static void put_byte(struct edc_side_writer *w, uint8_t byte)
{
    if (w->p < w->end)
        *w->p++ = byte;
    else
        w->full = true;
}

/* Bytes of 0xFF are held back until it is known whether a carry runs through them. */
static void shift_low(struct edc_side_writer *w)
{
    if (w->low < 0xFF000000u || w->low > UINT32_MAX) {
        const uint8_t carry = (uint8_t)(w->low >> 32);
        if (w->started)
            put_byte(w, (uint8_t)(w->cache + carry));
        for (; w->pending; w->pending--)
            put_byte(w, (uint8_t)(0xFF + carry));
        w->cache = (uint8_t)(w->low >> 24);
        w->started = true;
    } else {
        w->pending++;
    }
    w->low = (w->low & 0x00FFFFFF) << 8;
}

void edc_side_put_bit(struct edc_side_writer *w, edc_bit_model *model, int bit)
{
    const uint32_t bound = (w->range >> 16) * *model;
    if (bit) {
        w->low += bound;
        w->range -= bound;
        *model = (edc_bit_model)(*model - (*model >> EDC_BIT_RATE));
    } else {
        w->range = bound;
        *model = (edc_bit_model)(*model + ((65536u - *model) >> EDC_BIT_RATE));
    }
    while (w->range < RENORMALISE) {
        w->range <<= 8;
        shift_low(w);
    }
}

void edc_side_put_raw(struct edc_side_writer *w, uint32_t value, unsigned bits)
{
    for (unsigned i = bits; i-- > 0;) {
        edc_bit_model even = EDC_BIT_EVEN;
        edc_side_put_bit(w, &even, value >> i & 1);
    }
}

void edc_side_put_number(struct edc_side_writer *w, struct edc_number_model *model, uint32_t value)
{
    const unsigned length = value ? 32 - (unsigned)__builtin_clz(value) : 0;
    for (unsigned i = 0; i < 32; i++) {
        edc_side_put_bit(w, &model->length[i], i < length);
        if (i == length)
            break;
    }
    if (length >= 2) {
        edc_side_put_bit(w, &model->second[length], value >> (length - 2) & 1);
        edc_side_put_raw(w, value & ((1u << (length - 2)) - 1), length - 2);
    }
}

void edc_side_put_signed(struct edc_side_writer *w, struct edc_number_model *model, int32_t value)
{
    edc_side_put_number(w, model, (uint32_t)value << 1 ^ (value < 0 ? UINT32_MAX : 0));
}

uint8_t *edc_side_finish(struct edc_side_writer *w)
{
    for (int i = 0; i < 5; i++)
        shift_low(w);
    return w->full ? NULL : w->p;
}

static uint8_t take_byte(struct edc_side_reader *r)
{
    if (r->p < r->end)
        return *r->p++;
    r->overrun++;
    return 0;
}

void edc_side_read_init(struct edc_side_reader *r, const uint8_t *in, size_t n)
{
    *r = (struct edc_side_reader){.p = in, .end = in + n, .range = UINT32_MAX};
    for (int i = 0; i < 4; i++)
        r->code = r->code << 8 | take_byte(r);
}

int edc_side_get_bit(struct edc_side_reader *r, edc_bit_model *model)
{
    const uint32_t bound = (r->range >> 16) * *model;
    const int bit = r->code >= bound;
    if (bit) {
        r->code -= bound;
        r->range -= bound;
        *model = (edc_bit_model)(*model - (*model >> EDC_BIT_RATE));
    } else {
        r->range = bound;
        *model = (edc_bit_model)(*model + ((65536u - *model) >> EDC_BIT_RATE));
    }
    while (r->range < RENORMALISE) {
        r->range <<= 8;
        r->code = r->code << 8 | take_byte(r);
    }
    return bit;
}

uint32_t edc_side_get_raw(struct edc_side_reader *r, unsigned bits)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bits; i++) {
        edc_bit_model even = EDC_BIT_EVEN;
        value = value << 1 | (uint32_t)edc_side_get_bit(r, &even);
    }
    return value;
}

uint32_t edc_side_get_number(struct edc_side_reader *r, struct edc_number_model *model)
{
    unsigned length = 0;
    while (length < 32 && edc_side_get_bit(r, &model->length[length]))
        length++;
    if (length < 2)
        return length;
    const uint32_t top = 2 | (uint32_t)edc_side_get_bit(r, &model->second[length]);
    return top << (length - 2) | edc_side_get_raw(r, length - 2);
}

int32_t edc_side_get_signed(struct edc_side_reader *r, struct edc_number_model *model)
{
    const uint32_t value = edc_side_get_number(r, model);
    return (int32_t)(value >> 1 ^ (0u - (value & 1)));
}

bool edc_side_ok(const struct edc_side_reader *r)
{
    return r->p == r->end && r->overrun == 0;
}
