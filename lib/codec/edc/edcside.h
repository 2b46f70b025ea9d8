/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A small adaptive binary range coder for what describes a frame: classes, tables, coefficients.
 *
 * Subbotin's carry handling as used by LZMA; a probability is 16 bits and moves by 1/16 a bit, for
 * there is little data to learn from. Slow (some 3 ns a bit) and good: it codes under 0.1 % of the
 * bits of a frame. */
#ifndef EMD_EDC_SIDE_H
#define EMD_EDC_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint16_t edc_bit_model; /* probability of a 0, of 65536 */
enum { EDC_BIT_EVEN = 32768, EDC_BIT_RATE = 4 };

/* Numbers: the length in unary, the bit below the highest by length, the others as they are. */
struct edc_number_model {
    edc_bit_model length[33], second[33];
};
void edc_number_init(struct edc_number_model *model);

struct edc_side_writer {
    uint8_t *p, *end;
    uint64_t low;
    uint32_t range, pending;
    uint8_t cache;
    bool started, full; /* full: the output did not fit */
};

struct edc_side_reader {
    const uint8_t *p, *end;
    uint32_t range, code;
    unsigned overrun; /* zeros read behind the end */
};

void edc_side_write_init(struct edc_side_writer *w, uint8_t *out, size_t capacity);
void edc_side_put_bit(struct edc_side_writer *w, edc_bit_model *model, int bit);
void edc_side_put_raw(struct edc_side_writer *w, uint32_t value, unsigned bits);
void edc_side_put_number(struct edc_side_writer *w, struct edc_number_model *model, uint32_t value);
void edc_side_put_signed(struct edc_side_writer *w, struct edc_number_model *model, int32_t value);
/* Ends the stream; returns the end of what was written, NULL if it did not fit. */
uint8_t *edc_side_finish(struct edc_side_writer *w);

/* The reader never fails: behind the end it reads zeros, which edc_side_ok tells. */
void edc_side_read_init(struct edc_side_reader *r, const uint8_t *in, size_t n);
int edc_side_get_bit(struct edc_side_reader *r, edc_bit_model *model);
uint32_t edc_side_get_raw(struct edc_side_reader *r, unsigned bits);
uint32_t edc_side_get_number(struct edc_side_reader *r, struct edc_number_model *model);
int32_t edc_side_get_signed(struct edc_side_reader *r, struct edc_number_model *model);
/* All bytes were read and no more. */
bool edc_side_ok(const struct edc_side_reader *r);

#endif
