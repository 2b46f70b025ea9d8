/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Frequency tables: from counts, to and from the stream, and into the coder's look-up tables. */
#ifndef EMD_EDC_TABLES_H
#define EMD_EDC_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/edc/edcformat.h"
#include "codec/edc/edcside.h"

/* Sum EDC_RANS_TOTAL, each below it; 0 for symbols that do not occur. */
struct edc_table {
    uint16_t frequency[EDC_SYMBOLS];
};

/* 65536 log2(1 + i / 64) */
extern const uint32_t edc_log2_table[65];

/* 65536 log2(x), within 3 units; 0 for 0. */
static inline uint64_t edc_log2(uint32_t x)
{
    if (x == 0)
        return 0;
    const unsigned e = 31 - (unsigned)__builtin_clz(x);
    const uint32_t m = (x << (31 - e)) & 0x7FFFFFFF;
    const uint32_t i = m >> 25, rest = m >> 9 & 0xFFFF;
    const uint32_t low = edc_log2_table[i], high = edc_log2_table[i + 1];
    return ((uint64_t)e << 16) + low + ((uint64_t)(high - low) * rest >> 16);
}

/* The table that codes these counts with the fewest bits, nearly: frequencies have five significant
 * bits, those of the most frequent symbol aside. Without any counts the table stays as it is. */
void edc_normalise(const uint32_t counts[EDC_SYMBOLS], struct edc_table *table);

/* What adapts while the tables of a frame are stored. */
struct edc_table_models {
    struct edc_number_model top, count;
    edc_bit_model length[14][16];
};
void edc_table_models_init(struct edc_table_models *models);

void edc_put_table(struct edc_side_writer *w, struct edc_table_models *models,
                   const struct edc_table *table);
/* False if it is none. */
bool edc_get_table(struct edc_side_reader *r, struct edc_table_models *models,
                   struct edc_table *table);

/* Look-up tables of the coder. The encoder's first symbols are there twice again, for levels that
 * look up in registers. */
enum { EDC_SHORT_SYMBOLS = 64, EDC_ENCODER_STEP = 208 };
struct edc_encoder_table {
    uint32_t entry[80]; /* frequency | start << 16 */
    uint16_t frequency[EDC_SHORT_SYMBOLS], start[EDC_SHORT_SYMBOLS];
    uint8_t bytes[4][EDC_SHORT_SYMBOLS]; /* of the entries, the lowest first */
};
_Static_assert(sizeof(struct edc_encoder_table) == EDC_ENCODER_STEP * sizeof(uint32_t), "no gaps");
void edc_build_decoder(const struct edc_table *table, uint32_t slots[EDC_RANS_TOTAL]);
void edc_build_encoder(const struct edc_table *table, struct edc_encoder_table *encoder);

/* A decoder's table for looking up in registers. A symbol's rank is how many of those below it
 * occur; 64 ranks are told. rank: of the first slot of each bucket of 64 slots; next: the places
 * within where the three following ranks begin, 64 if elsewhere. EDC_RANK_LAST: the bucket is one
 * of the last two, slot by slot in 'last'. EDC_RANK_UNKNOWN: more ranks than can be told. */
enum { EDC_RANK_LAST = 0x80, EDC_RANK_UNKNOWN = 0x40 };
struct edc_ranks {
    uint8_t rank[64], next[3][64], last[128];
    uint8_t symbol[64]; /* by rank, as what follows */
    uint16_t frequency[64], start[64];
};
void edc_build_ranks(const struct edc_table *table, struct edc_ranks *ranks);

#endif
