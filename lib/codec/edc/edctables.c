/* How contexts share tables: they are ordered by their mean symbol, for most differ in scale only,
 * and neighbours are merged while a table costs more than it saves. Frequencies are stored with
 * five significant bits: what that loses (0.0001 bit a symbol) is less than the other bits would
 * take. */
#include "codec/edc/edctables.h"

#include <stdlib.h>
#include <string.h>

uint64_t edc_log2(uint32_t x)
{
    /* 65536 log2(1 + i / 64) */
    static const uint32_t table[65] = {
        0,     1466,  2909,  4331,  5732,  7112,  8473,  9814,  11136, 12440, 13727, 14996, 16248,
        17484, 18704, 19909, 21098, 22272, 23433, 24579, 25711, 26830, 27936, 29029, 30109, 31178,
        32234, 33279, 34312, 35334, 36346, 37346, 38336, 39316, 40286, 41246, 42196, 43137, 44068,
        44990, 45904, 46809, 47705, 48593, 49472, 50344, 51207, 52063, 52911, 53751, 54584, 55410,
        56229, 57040, 57845, 58643, 59434, 60219, 60997, 61769, 62534, 63294, 64047, 64794, 65536};
    if (x == 0)
        return 0;
    const unsigned e = 31 - (unsigned)__builtin_clz(x);
    const uint32_t m = (x << (31 - e)) & 0x7FFFFFFF;
    const uint32_t i = m >> 25, rest = m >> 9 & 0xFFFF;
    return ((uint64_t)e << 16) + table[i] + ((uint64_t)(table[i + 1] - table[i]) * rest >> 16);
}

uint64_t edc_entropy(const uint32_t counts[EDC_SYMBOLS])
{
    uint64_t total = 0, bits = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++)
        if (counts[s]) {
            total += counts[s];
            bits += counts[s] * edc_log2(counts[s]);
        }
    return total * edc_log2((uint32_t)total) - bits;
}

/* Of storing the table, times 65536: measured, some 5 bits a symbol. */
static uint64_t table_cost(const uint32_t counts[EDC_SYMBOLS])
{
    uint64_t bits = 12;
    for (int s = 0; s < EDC_SYMBOLS; s++)
        bits += counts[s] ? 5 : 0;
    return bits << 16;
}

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

static void normalise(const uint32_t counts[EDC_SYMBOLS], struct edc_table *table)
{
    const int top = largest(counts);
    uint64_t total = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++)
        total += counts[s];
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

/* Bits, times 65536, of the counts when coded with a table's costs. */
static uint64_t cross_entropy(const uint32_t counts[EDC_SYMBOLS], const uint32_t cost[EDC_SYMBOLS])
{
    uint64_t bits = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++)
        bits += (uint64_t)counts[s] * cost[s];
    return bits;
}

/* Contexts that are too many for comparing each with all tables. */
enum { MANY = 512 };

/* Groups that all pairs are compared of: for good, and for an estimate. */
enum { FEW = 256, FEWER = 64 };

static bool is_unused(const uint32_t counts[EDC_SYMBOLS])
{
    uint32_t any = 0;
    for (int s = 0; s < EDC_SYMBOLS; s++)
        any |= counts[s];
    return any == 0;
}

struct group {
    uint32_t counts[EDC_SYMBOLS];
    uint64_t bits; /* with its table */
    uint64_t key;  /* mean symbol */
    uint64_t total;
    size_t first; /* its first context */
};

static int by_key(const void *a, const void *b)
{
    const struct group *const *x = a, *const *y = b;
    if ((*x)->key != (*y)->key)
        return (*x)->key < (*y)->key ? -1 : 1;
    return (*x)->first < (*y)->first ? -1 : 1;
}

static int64_t merge_gain(const struct group *a, const struct group *b)
{
    uint32_t sum[EDC_SYMBOLS];
    for (int s = 0; s < EDC_SYMBOLS; s++)
        sum[s] = a->counts[s] + b->counts[s];
    return (int64_t)(a->bits + b->bits) - (int64_t)(edc_entropy(sum) + table_cost(sum));
}

/* Of many contexts, only tables near a context's own are tried: they are ordered, too. */
enum { REFINE_REACH = 4 };

/* Moves every context to the table that codes it with the fewest bits; false without memory. */
static bool refine_map(size_t contexts, const uint32_t (*counts)[EDC_SYMBOLS], uint8_t *map,
                       int count, struct edc_table *tables)
{
    uint32_t(*cost)[EDC_SYMBOLS] = malloc(sizeof *cost * (size_t)count);
    uint32_t(*sums)[EDC_SYMBOLS] = calloc((size_t)count, sizeof *sums);
    const bool ok = cost && sums;
    if (ok) {
        for (int t = 0; t < count; t++)
            for (int s = 0; s < EDC_SYMBOLS; s++)
                cost[t][s] =
                    tables[t].frequency[s]
                        ? (uint32_t)((EDC_RANS_BITS << 16) - edc_log2(tables[t].frequency[s]))
                        : 14u << 16; /* dearer than any that is there */
        for (size_t i = 0; i < contexts; i++) {
            if (is_unused(counts[i]))
                continue;
            uint64_t best = UINT64_MAX;
            const int reach = contexts > MANY ? REFINE_REACH : count;
            const int first = map[i] > reach ? map[i] - reach : 0;
            const int end = count - map[i] > reach ? map[i] + reach + 1 : count;
            for (int t = first; t < end; t++) {
                const uint64_t bits = cross_entropy(counts[i], cost[t]);
                if (bits < best) {
                    best = bits;
                    map[i] = (uint8_t)t;
                }
            }
            for (int s = 0; s < EDC_SYMBOLS; s++)
                sums[map[i]][s] += counts[i][s];
        }
        for (int t = 0; t < count; t++) {
            uint64_t any = 0;
            for (int s = 0; s < EDC_SYMBOLS; s++)
                any += sums[t][s];
            if (any)
                normalise(sums[t], &tables[t]);
        }
    }
    free(cost);
    free(sums);
    return ok;
}

/* Adjacent groups of the order become one until each holds one of 'few' parts of all symbols (or is
 * too large to begin with): what is left is few enough for comparing all pairs again and again.
 * Returns how many there are; into[i] is where the i-th of the order went. */
static size_t merge_rare(struct group **order, size_t used, uint64_t total, size_t few,
                         uint16_t *into)
{
    const uint64_t rare = used > 2 * few ? total / few : 0;
    size_t left = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < used; i++) {
        struct group *const g = order[i];
        if (i > 0 && sum + g->total <= rare) {
            struct group *const last = order[left - 1];
            for (int s = 0; s < EDC_SYMBOLS; s++)
                last->counts[s] += g->counts[s];
            sum += g->total;
        } else {
            order[left++] = g;
            sum = g->total;
        }
        into[i] = (uint16_t)(left - 1);
    }
    return left;
}

int edc_cluster(size_t contexts, const uint32_t (*counts)[EDC_SYMBOLS], bool refine, uint8_t *map,
                struct edc_table tables[EDC_TABLES_MAX], uint64_t *bits)
{
    int result = -1;
    size_t used = 0;
    struct group *groups = malloc(sizeof *groups * (contexts + 1));
    struct group **order = malloc(sizeof(struct group *) * (contexts + 1));
    /* Of the group at each place of the order: the gain of merging it with the next one, and the
     * places of its neighbours; INT64_MIN where there is no next one or no group any more. */
    int64_t *gain = malloc(sizeof *gain * (contexts + 1));
    size_t *next = malloc(sizeof *next * (contexts + 1));
    size_t *previous = malloc(sizeof *previous * (contexts + 1));
    bool *gone = calloc(contexts + 1, sizeof *gone);
    uint16_t *into =
        malloc(sizeof *into * (contexts + 1)); /* of the context at a place: its group */
    size_t *context_at = malloc(sizeof *context_at * (contexts + 1));
    uint64_t all = 0;
    if (!groups || !order || !gain || !next || !previous || !gone || !into || !context_at)
        goto out;
    for (size_t i = 0; i < contexts; i++) {
        struct group *const g = &groups[used];
        uint64_t total = 0, sum = 0;
        if (is_unused(counts[i]))
            continue;
        for (int s = 0; s < EDC_SYMBOLS; s++) {
            total += counts[i][s];
            sum += (uint64_t)counts[i][s] * (unsigned)s;
        }
        memcpy(g->counts, counts[i], sizeof g->counts);
        g->key = (sum << 16) / total;
        g->total = total;
        g->first = i;
        all += total;
        order[used] = g;
        used++;
    }
    qsort(order, used, sizeof *order, by_key);
    const size_t members = used;
    for (size_t i = 0; i < members; i++)
        context_at[i] = order[i]->first;
    used = merge_rare(order, members, all, refine ? FEW : FEWER, into);
    for (size_t i = 0; i < used; i++)
        order[i]->bits = edc_entropy(order[i]->counts) + table_cost(order[i]->counts);
    for (size_t i = 0; i < used; i++) {
        next[i] = i + 1;
        previous[i] = i - 1; /* of the first one never asked for */
        gain[i] = i + 1 < used ? merge_gain(order[i], order[i + 1]) : INT64_MIN;
    }
    for (size_t left = used; left > 1; left--) {
        size_t best = 0;
        for (size_t i = 1; i < used; i++)
            if (gain[i] > gain[best])
                best = i;
        if (gain[best] <= 0 && left <= EDC_TABLES_MAX)
            break;
        struct group *const a = order[best];
        const size_t other = next[best];
        for (int s = 0; s < EDC_SYMBOLS; s++)
            a->counts[s] += order[other]->counts[s];
        a->bits = edc_entropy(a->counts) + table_cost(a->counts);
        next[best] = next[other];
        gone[other] = true;
        gain[other] = INT64_MIN;
        gain[best] = INT64_MIN;
        if (next[best] < used) {
            previous[next[best]] = best;
            gain[best] = merge_gain(a, order[next[best]]);
        }
        if (best > 0)
            gain[previous[best]] = merge_gain(order[previous[best]], a);
    }
    memset(map, 0, contexts);
    *bits = 0;
    result = 0;
    for (size_t i = 0; i < used; i = next[i]) {
        *bits += order[i]->bits;
        normalise(order[i]->counts, &tables[result++]);
    }
    int table = -1;
    size_t place = 0;
    for (size_t i = 0; i < used; i++) { /* groups are runs of the order */
        if (!gone[i])
            table++;
        for (; place < members && into[place] == i; place++)
            map[context_at[place]] = (uint8_t)table;
    }
    if (refine && result > 1)
        for (int round = 0; round < 2; round++)
            if (!refine_map(contexts, counts, map, result, tables)) {
                result = -1;
                goto out;
            }
    /* Unused contexts repeat their neighbour, which costs nothing to store. */
    uint8_t last = 0;
    for (size_t i = 0; i < contexts; i++) {
        if (!is_unused(counts[i]))
            last = map[i];
        map[i] = last;
    }
out:
    free(groups);
    free(order);
    free(gain);
    free(next);
    free(previous);
    free(gone);
    free(into);
    free(context_at);
    return result;
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
