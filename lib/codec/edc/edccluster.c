/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* How contexts share tables.
 *
 * A frame has up to 2944 contexts and room for 96 tables, each of which costs some 5 bits a symbol
 * to store. Contexts differ in scale more than in shape, so they are ordered by their mean symbol
 * and only neighbours in that order are ever merged: 'order' below is a line that is cut into runs.
 *
 *   1. rare neighbours become one group each, until no more than a few hundred are left;
 *   2. of all pairs of neighbours the one whose merging saves most bits is merged, again and again,
 *      while it saves any or there are too many groups for the format;
 *   3. 'refine' moves each context to the table that codes it with the fewest bits, twice.
 *
 * Step 2 takes as many rounds as there are groups. The best pair comes from a tournament tree: a
 * scan of all pairs in each round took 43 % of the time of encoding frames of 128 x 128. Merging
 * any two groups instead of neighbours saves less than 0.01 % and takes a hundred times as long. */
#include "codec/edc/edccluster.h"

#include <stdlib.h>
#include <string.h>

#include "codec/edc/edcstream.h"

/* Contexts that are too many for comparing each with all tables. */
enum { MANY = 512 };

/* Of many contexts, only tables near a context's own are tried: they are ordered, too. */
enum { REFINE_REACH = 4 };

/* Groups that step 1 leaves, about: for good, and for an estimate; fewer where few symbols cannot
 * pay for many tables. */
enum { FEW = 256, FEWER = 64, FEWEST = 8, SYMBOLS_EACH = 1024 };

/* In the map while it is made: a context without counts. */
enum { UNUSED = 0xFF };

/* A context that has counts. */
struct member {
    uint64_t key; /* mean symbol, times 65536 */
    uint64_t total;
    uint16_t context;
    uint16_t group;  /* its place in the line of groups */
    uint8_t symbols; /* above them all counts are 0 */
};

struct group {
    uint32_t counts[EDC_SYMBOLS];
    int symbols;   /* above them all counts are 0 */
    uint64_t bits; /* of its symbols and its table */
};

/* The line of groups while neighbours are merged, in one block of memory. */
struct line {
    size_t groups; /* at first; a group that was merged into the one before it is 'gone' */
    struct group *group;
    int64_t *gain; /* of merging a group with the one after it; INT64_MIN where there is none */
    uint16_t *next, *previous;
    uint16_t *winner; /* tournament tree: of node i's two children the one of more gain; the leaves
                         are at 'leaves' onwards. Of equals the earlier group wins. */
    size_t leaves;
    bool *gone;
};

/* Bits, times 65536, that coding these counts with their own frequencies takes, and storing the
 * table: measured, some 5 bits a symbol. */
static uint64_t bits_of(const uint32_t *counts, int symbols)
{
    uint64_t total = 0, saved = 0, table = 12;
    for (int s = 0; s < symbols; s++)
        if (counts[s]) {
            total += counts[s];
            saved += counts[s] * edc_log2(counts[s]);
            table += 5;
        }
    return total * edc_log2((uint32_t)total) - saved + (table << 16);
}

static int symbols_of(const uint32_t counts[EDC_SYMBOLS])
{
    int symbols = EDC_SYMBOLS;
    while (symbols > 0 && counts[symbols - 1] == 0)
        symbols--;
    return symbols;
}

static int64_t merge_gain(const struct group *a, const struct group *b)
{
    uint32_t sum[EDC_SYMBOLS];
    const int symbols = a->symbols > b->symbols ? a->symbols : b->symbols;
    for (int s = 0; s < symbols; s++)
        sum[s] = a->counts[s] + b->counts[s];
    return (int64_t)(a->bits + b->bits) - (int64_t)bits_of(sum, symbols);
}

static int by_key(const void *a, const void *b)
{
    const struct member *const x = a, *const y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->context < y->context ? -1 : 1;
}

/* The contexts that have counts, in the order of the line. Returns how many. */
static size_t find_members(const uint16_t *used, size_t candidates,
                           const uint32_t (*counts)[EDC_SYMBOLS], struct member *member,
                           uint64_t *all)
{
    size_t members = 0;
    *all = 0;
    for (size_t i = 0; i < candidates; i++) {
        const uint32_t *const n = counts[used[i]];
        uint64_t total = 0, sum = 0;
        const int symbols = symbols_of(n);
        if (symbols == 0)
            continue;
        for (int s = 0; s < symbols; s++) {
            total += n[s];
            sum += (uint64_t)n[s] * (unsigned)s;
        }
        *all += total;
        member[members++] = (struct member){.key = (sum << 16) / total,
                                            .total = total,
                                            .context = used[i],
                                            .symbols = (uint8_t)symbols};
    }
    qsort(member, members, sizeof *member, by_key);
    return members;
}

/* Step 1: neighbours become one group until each holds one of 'few' parts of all symbols (or is too
 * large to begin with). Returns the number of groups. */
static size_t group_rare(struct member *member, size_t members, uint64_t all, size_t few)
{
    const uint64_t rare = members > 2 * few ? all / few : 0;
    size_t groups = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < members; i++) {
        if (i > 0 && sum + member[i].total <= rare) {
            sum += member[i].total;
        } else {
            groups++;
            sum = member[i].total;
        }
        member[i].group = (uint16_t)(groups - 1);
    }
    return groups;
}

/* Lays out memory for a line of so many groups; NULL: only counts. Returns the bytes. */
static size_t line_lay_out(uint8_t *base, size_t groups, struct line *line)
{
    size_t at = 0;
    line->groups = groups;
    for (line->leaves = 1; line->leaves < groups;)
        line->leaves *= 2;
    line->group = edc_take(base, &at, groups, sizeof *line->group);
    line->gain = edc_take(base, &at, line->leaves, sizeof *line->gain);
    line->next = edc_take(base, &at, groups, sizeof *line->next);
    line->previous = edc_take(base, &at, groups, sizeof *line->previous);
    line->winner = edc_take(base, &at, 2 * line->leaves, sizeof *line->winner);
    line->gone = edc_take(base, &at, groups, sizeof *line->gone);
    return at;
}

static void play(struct line *line, size_t node)
{
    const uint16_t left = line->winner[2 * node], right = line->winner[2 * node + 1];
    line->winner[node] = line->gain[right] > line->gain[left] ? right : left;
}

/* A group's gain is another one. */
static void set_gain(struct line *line, size_t group, int64_t gain)
{
    line->gain[group] = gain;
    for (size_t node = (line->leaves + group) / 2; node > 0; node /= 2)
        play(line, node);
}

/* Fills a line that has memory. */
static void line_up(struct line *line, const struct member *member, size_t members,
                    const uint32_t (*counts)[EDC_SYMBOLS])
{
    memset(line->group, 0, line->groups * sizeof *line->group);
    memset(line->gone, 0, line->groups * sizeof *line->gone);
    for (size_t i = 0; i < members; i++)
        for (int s = 0; s < member[i].symbols; s++)
            line->group[member[i].group].counts[s] += counts[member[i].context][s];
    for (size_t i = 0; i < line->groups; i++) {
        struct group *const g = &line->group[i];
        g->symbols = symbols_of(g->counts);
        g->bits = bits_of(g->counts, g->symbols);
        line->next[i] = (uint16_t)(i + 1);
        line->previous[i] = (uint16_t)(i - 1); /* of the first one never asked for */
    }
    for (size_t i = 0; i < line->leaves; i++) {
        line->gain[i] =
            i + 1 < line->groups ? merge_gain(&line->group[i], &line->group[i + 1]) : INT64_MIN;
        line->winner[line->leaves + i] = (uint16_t)i;
    }
    for (size_t node = line->leaves - 1; node > 0; node--)
        play(line, node);
}

/* Step 2. */
static void merge_neighbours(struct line *line)
{
    for (size_t left = line->groups; left > 1; left--) {
        const size_t best = line->winner[1], other = line->next[best];
        if (line->gain[best] <= 0 && left <= EDC_TABLES_MAX)
            break;
        struct group *const a = &line->group[best], *const b = &line->group[other];
        for (int s = 0; s < b->symbols; s++)
            a->counts[s] += b->counts[s];
        a->symbols = a->symbols > b->symbols ? a->symbols : b->symbols;
        a->bits = a->bits + b->bits - (uint64_t)line->gain[best];
        line->gone[other] = true;
        set_gain(line, other, INT64_MIN);
        line->next[best] = line->next[other];
        int64_t gain = INT64_MIN;
        if (line->next[best] < line->groups) {
            line->previous[line->next[best]] = (uint16_t)best;
            gain = merge_gain(a, &line->group[line->next[best]]);
        }
        set_gain(line, best, gain);
        if (best > 0) {
            const size_t before = line->previous[best];
            set_gain(line, before, merge_gain(&line->group[before], a));
        }
    }
}

/* Bits, times 65536, of the counts when coded with a table's costs. */
static uint64_t cross_entropy(const uint32_t *counts, const uint32_t *cost, int symbols)
{
    uint64_t bits = 0;
    for (int s = 0; s < symbols; s++)
        bits += (uint64_t)counts[s] * cost[s];
    return bits;
}

/* Step 3, once; false without memory. */
static bool refine_map(size_t contexts, const struct member *member, size_t members,
                       const uint32_t (*counts)[EDC_SYMBOLS], uint8_t *map, int count,
                       struct edc_table *tables)
{
    uint32_t(*cost)[EDC_SYMBOLS] = malloc(sizeof *cost * (size_t)count);
    uint32_t(*sums)[EDC_SYMBOLS] = calloc((size_t)count, sizeof *sums);
    const bool ok = cost && sums;
    const int reach = contexts > MANY ? REFINE_REACH : count;
    for (int t = 0; ok && t < count; t++)
        for (int s = 0; s < EDC_SYMBOLS; s++)
            cost[t][s] = tables[t].frequency[s]
                             ? (uint32_t)((EDC_RANS_BITS << 16) - edc_log2(tables[t].frequency[s]))
                             : 14u << 16; /* dearer than any that is there */
    for (size_t i = 0; ok && i < members; i++) {
        const uint32_t *const n = counts[member[i].context];
        uint8_t *const table = &map[member[i].context];
        const int first = *table > reach ? *table - reach : 0;
        const int end = count - *table > reach ? *table + reach + 1 : count;
        uint64_t best = UINT64_MAX;
        for (int t = first; t < end; t++) {
            const uint64_t bits = cross_entropy(n, cost[t], member[i].symbols);
            if (bits < best) {
                best = bits;
                *table = (uint8_t)t;
            }
        }
        for (int s = 0; s < member[i].symbols; s++)
            sums[*table][s] += n[s];
    }
    for (int t = 0; ok && t < count; t++)
        edc_normalise(sums[t], &tables[t]); /* one without counts stays */
    free(cost);
    free(sums);
    return ok;
}

/* Each group that is left gets a table, each context the table of its group. */
static int make_tables(const struct line *line, const struct member *member, size_t members,
                       uint8_t *map, struct edc_table tables[EDC_TABLES_MAX], uint64_t *bits)
{
    int count = 0;
    for (size_t i = 0, at = 0; i < line->groups; i++) {
        if (!line->gone[i]) {
            *bits += line->group[i].bits;
            edc_normalise(line->group[i].counts, &tables[count++]);
        }
        for (; at < members && member[at].group == i; at++)
            map[member[at].context] = (uint8_t)(count - 1);
    }
    return count;
}

int edc_cluster(size_t contexts, const uint16_t *used, size_t candidates,
                const uint32_t (*counts)[EDC_SYMBOLS], bool refine, uint8_t *map,
                struct edc_table tables[EDC_TABLES_MAX], uint64_t *bits)
{
    int result = -1;
    uint64_t all;
    struct line line;
    uint8_t *memory = NULL;
    struct member *const member = malloc(sizeof *member * (candidates + 1));
    memset(map, UNUSED, contexts);
    *bits = 0;
    if (!member)
        goto out;
    const size_t members = find_members(used, candidates, counts, member, &all);
    const size_t most = refine ? FEW : FEWER, paid = (size_t)(all / SYMBOLS_EACH);
    const size_t few = paid < FEWEST ? FEWEST : paid < most ? paid : most;
    const size_t groups = group_rare(member, members, all, few);
    memory = malloc(line_lay_out(NULL, groups, &line));
    if (!memory)
        goto out;
    line_lay_out(memory, groups, &line);
    line_up(&line, member, members, counts);
    merge_neighbours(&line);
    result = make_tables(&line, member, members, map, tables, bits);
    for (int round = 0; refine && result > 1 && round < 2; round++)
        if (!refine_map(contexts, member, members, counts, map, result, tables)) {
            result = -1;
            goto out;
        }
    /* Unused contexts repeat their neighbour, which costs nothing to store. */
    for (size_t i = 0; i < contexts; i++)
        if (map[i] == UNUSED)
            map[i] = i > 0 ? map[i - 1] : 0;
out:
    free(memory);
    free(member);
    return result;
}
