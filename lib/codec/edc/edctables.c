/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Frequencies are stored with five significant bits: what that loses (0.0001 bit a symbol) is less
 * than the other bits would take. */
#include "codec/edc/edctables.h"

#include <string.h>

const uint32_t edc_log2_table[65] = {
    0,     1466,  2909,  4331,  5732,  7112,  8473,  9814,  11136, 12440, 13727, 14996, 16248,
    17484, 18704, 19909, 21098, 22272, 23433, 24579, 25711, 26830, 27936, 29029, 30109, 31178,
    32234, 33279, 34312, 35334, 36346, 37346, 38336, 39316, 40286, 41246, 42196, 43137, 44068,
    44990, 45904, 46809, 47705, 48593, 49472, 50344, 51207, 52063, 52911, 53751, 54584, 55410,
    56229, 57040, 57845, 58643, 59434, 60219, 60997, 61769, 62534, 63294, 64047, 64794, 65536};

/* f with five significant bits, rounded down. */
static unsigned round_frequency(unsigned f)
{
    if (f < 32)
        return f;
    const unsigned drop = 27 - (unsigned)__builtin_clz(f);
    return f >> drop << drop;
}

static int largest(const uint32_t counts[EDC_SYMBOLS])
{
    int best = 0;
    for (int s = 1; s < EDC_SYMBOLS; s++)
        if (counts[s] > counts[best])
            best = s;
    return best;
}

void edc_normalise(const uint32_t counts[EDC_SYMBOLS], struct edc_table *table)
{
    const int top = largest(counts);
    uint64_t total = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++)
        total += counts[s];
    if (total == 0)
        return;
    unsigned sum = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++) {
        table->frequency[s] = 0;
        if (counts[s] == 0 || s == top)
            continue;
        const unsigned f = (unsigned)((uint64_t)counts[s] * (EDC_RANS_TOTAL * 2) / total);
        unsigned exact = (f + 1) / 2;
        if (exact >= 32) { /* round to nearest */
            const unsigned drop = 27 - (unsigned)__builtin_clz(exact);
            exact += 1u << drop >> 1;
        }
        table->frequency[s] = (uint16_t)(exact < 1 ? 1 : round_frequency(exact));
        sum += table->frequency[s];
    }
    /* A state of 32 bits cannot hold a certain symbol: leave one slot to another. */
    if (sum == 0) {
        table->frequency[top == 0 ? 1 : 0] = 1;
        sum = 1;
    }
    /* Many rare symbols may have pushed the most frequent one below the others, even out. */
    while (sum >= EDC_RANS_TOTAL ||
           EDC_RANS_TOTAL - sum <
               (unsigned)((uint64_t)counts[top] * EDC_RANS_TOTAL / total) * 7 / 8) {
        int most = -1;
        for (int s = 0; s < EDC_SYMBOLS; s++)
            if (s != top && table->frequency[s] > 1 &&
                (most < 0 || table->frequency[s] > table->frequency[most]))
                most = s;
        if (most < 0)
            break;
        const unsigned f = round_frequency((unsigned)table->frequency[most] - 1);
        sum -= table->frequency[most] - f;
        table->frequency[most] = (uint16_t)f;
    }
    table->frequency[top] = (uint16_t)(EDC_RANS_TOTAL - sum);
}

void edc_table_models_init(struct edc_table_models *m)
{
    edc_number_init(&m->top);
    edc_number_init(&m->count);
    for (int c = 0; c < 14; c++)
        for (int i = 0; i < 16; i++)
            m->length[c][i] = EDC_BIT_EVEN;
}

/* Bits of a frequency: 0 for 0, 12 for 2048 and more. */
static unsigned length_of(unsigned f)
{
    return f ? 32 - (unsigned)__builtin_clz(f) : 0;
}

/* The context of a length: the mean of the two before. */
static unsigned context_of(const unsigned length[EDC_SYMBOLS], int s)
{
    return s < 2 ? 13 : (length[s - 1] + length[s - 2] + 1) / 2;
}

void edc_put_table(struct edc_side_writer *w, struct edc_table_models *m,
                   const struct edc_table *table)
{
    unsigned length[EDC_SYMBOLS];
    int top = 0, count = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++) {
        length[s] = length_of(table->frequency[s]);
        if (table->frequency[s]) {
            count = s + 1;
            if (table->frequency[s] > table->frequency[top])
                top = s;
        }
    }
    /* The decoder gives the rest to 'top', which must be the one whose bits were not rounded. */
    for (int s = 0; s < EDC_SYMBOLS; s++)
        if (round_frequency(table->frequency[s]) != table->frequency[s])
            top = s;
    edc_side_put_number(w, &m->top, (uint32_t)top);
    edc_side_put_number(w, &m->count, (uint32_t)count);
    length[top] = 12;
    for (int s = 0; s < count; s++) {
        if (s == top)
            continue;
        edc_bit_model *const tree = m->length[context_of(length, s)];
        unsigned node = 1;
        for (int bit = 3; bit >= 0; bit--) {
            const int b = (int)(length[s] >> bit & 1);
            edc_side_put_bit(w, &tree[node], b);
            node = node * 2 + (unsigned)b;
        }
        if (length[s] >= 2) {
            const unsigned low = length[s] - 1, stored = low < 4 ? low : 4;
            edc_side_put_raw(w, (table->frequency[s] & ((1u << low) - 1)) >> (low - stored),
                             stored);
        }
    }
}

bool edc_get_table(struct edc_side_reader *r, struct edc_table_models *m, struct edc_table *table)
{
    unsigned length[EDC_SYMBOLS], sum = 0;
    memset(table, 0, sizeof *table);
    const uint32_t top = edc_side_get_number(r, &m->top);
    const uint32_t count = edc_side_get_number(r, &m->count);
    if (count > EDC_SYMBOLS || top >= count)
        return false;
    length[top] = 12;
    for (int s = 0; s < (int)count; s++) {
        if (s == (int)top)
            continue;
        edc_bit_model *const tree = m->length[context_of(length, s)];
        unsigned node = 1;
        for (int bit = 0; bit < 4; bit++)
            node = node * 2 + (unsigned)edc_side_get_bit(r, &tree[node]);
        length[s] = node - 16;
        if (length[s] > 12)
            return false;
        if (length[s] == 0)
            continue;
        const unsigned low = length[s] - 1, stored = low < 4 ? low : 4;
        const unsigned f = 1u << low | edc_side_get_raw(r, stored) << (low - stored);
        table->frequency[s] = (uint16_t)f;
        sum += f;
    }
    if (sum < 1 || sum >= EDC_RANS_TOTAL)
        return false;
    table->frequency[top] = (uint16_t)(EDC_RANS_TOTAL - sum);
    return true;
}

void edc_build_decoder(const struct edc_table *table, uint32_t slots[EDC_RANS_TOTAL])
{
    uint32_t at = 0;
    for (uint32_t s = 0; s < EDC_SYMBOLS; s++) {
        const uint32_t f = table->frequency[s];
        for (uint32_t bias = 0; bias < f; bias++)
            slots[at++] = s | f << 8 | bias << 20;
    }
}

void edc_build_encoder(const struct edc_table *table, struct edc_encoder_table *encoder)
{
    uint32_t start = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++) {
        encoder->entry[s] = table->frequency[s] | start << 16;
        if (s < EDC_SHORT_SYMBOLS) {
            encoder->frequency[s] = table->frequency[s];
            encoder->start[s] = (uint16_t)start;
            for (int i = 0; i < 4; i++)
                encoder->bytes[i][s] = (uint8_t)(encoder->entry[s] >> (8 * i));
        }
        start += table->frequency[s];
    }
}

void edc_build_ranks(const struct edc_table *table, struct edc_ranks *ranks)
{
    enum { BUCKET = 64, LAST = EDC_RANS_TOTAL - (int)sizeof ranks->last };
    uint8_t found[BUCKET] = {0}; /* of the places, by bucket */
    unsigned slot = 0, rank = 0;
    memset(ranks, 0, sizeof *ranks);
    memset(ranks->next, BUCKET, sizeof ranks->next);
    for (unsigned s = 0; s < EDC_SYMBOLS; s++) {
        const unsigned f = table->frequency[s], end = slot + f, b = slot / BUCKET;
        if (f == 0)
            continue;
        const uint8_t told = (uint8_t)(rank < 64 ? rank : EDC_RANK_UNKNOWN);
        if (rank < 64) {
            ranks->symbol[rank] = (uint8_t)s;
            ranks->frequency[rank] = (uint16_t)f;
            ranks->start[rank] = (uint16_t)slot;
        }
        if (slot % BUCKET) {
            if (told != EDC_RANK_UNKNOWN && found[b] < 3)
                ranks->next[found[b]++][b] = (uint8_t)(slot % BUCKET);
            else
                ranks->rank[b] |= EDC_RANK_UNKNOWN;
        }
        for (unsigned i = (slot + BUCKET - 1) / BUCKET; i * BUCKET < end; i++)
            ranks->rank[i] = told;
        for (unsigned i = slot < LAST ? LAST : slot; i < end; i++)
            ranks->last[i - LAST] = told;
        slot = end;
        rank++;
    }
    for (unsigned b = LAST / BUCKET; b < 64; b++)
        ranks->rank[b] = EDC_RANK_LAST;
}
