/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See zlibwriter.h.
 *
 * After a byte shuffle a camera frame is a plane of low bytes, noise that no match search shortens,
 * and a plane of high bytes, nearly constant with long runs. Both want good Huffman codes and
 * nothing else but runs; a search for matches costs nearly all of a compressor's time there, and
 * the chance matches that it finds cost more bits than the literals they replace. So each block of
 * the input gets its own Huffman codes and matches of distance 1 only, found eight bytes at a time.
 * A search for other matches starts where a sample of a block shows that they pay (text, tables,
 * repeated rows), and never where literals are cheap anyway.
 *
 * Measured on byte-shuffled frames of 2048 x 2048 x 16 bits, one core of a Zen 4, in bits a pixel
 * and MB/s of encoding (simulated Ceta / with low gain / Falcon counting; zlib 1.2.13 level 4 has
 * 7.41 at 62 / 6.13 / 0.99):
 *   this file                                 7.28 at 730 / 5.83 / 0.76
 *   ISA-L 2.30 level 1 (best of 0 to 3)       7.46 at 540 / 6.17 / 1.11; its bytes also depend on
 *                                             the processor
 *   libdeflate 1.14 level 1 (fastest)         7.38 at 180 / 6.11 / 1.02
 *   this file with a match search everywhere  7.37 at 520 / 5.92 / 0.91
 * Block sizes of 32 to 128 KiB differ by 0.1 % on these frames, but real counting detectors, which
 * vary across the frame, gain 5 % from 128 to 64 KiB and 1.5 % more from 64 to 32 KiB. Codes
 * limited to 11 bits, which fill a decoder's first table, decode no faster and cost 0.3 %.
 *
 * Formats: RFC 1950 (zlib), RFC 1951 (deflate). */
#include "codec/zlibwriter.h"

#include <libdeflate.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    BLOCK = 32768,         /* input bytes that share their codes; see above */
    SAMPLE = BLOCK / 16,   /* of them, looked at to decide on a search for matches */
    MIN_MATCH = 3,         /* this to WINDOW: RFC 1951, 3.2.5 */
    MAX_MATCH = 258,       /* */
    WINDOW = 32768,        /* */
    LITERALS = 256,        /* */
    END_OF_BLOCK = 256,    /* */
    SYMBOLS = 286,         /* literals, end of block, 29 lengths */
    DISTANCES = 30,        /* */
    PRECODES = 19,         /* RFC 1951, 3.2.7 */
    PRECODE_BITS = 7,      /* */
    DISTANCE_BITS = 15,    /* */
    SYMBOL_BITS = 14,      /* instead of 15: four literals and 7 pending bits fit 64 bits */
    STORED_MAX = 65535,    /* RFC 1951, 3.2.4 */
    STORED_OVERHEAD = 5,   /* bytes: 3 bits, padding, two lengths */
    ZLIB_OVERHEAD = 2 + 4, /* header and Adler-32 */
    SLACK = 16,            /* bytes that unaligned 8-byte writes may touch behind the data */
    HASH_BITS = 12,        /* 32 KiB of table: stays in the first level cache */
    MIN_RUN = 8,           /* shorter ones are not worth their three symbols */
    /* Matches are searched where an average literal costs more than 2.5 bits, and kept up while
     * they save a 32nd of the block. */
    SEARCH_ABOVE = 640, /* 1/256 bits */
    WORTH_SHIFT = 5,
    /* A match of distance d costs about 8 bits of symbols and log2(d) of extra bits. */
    MATCH_COST = 8,
    /* Every match replaces at least 8 bytes, but pieces of long ones are 255 or more. */
    MATCHES = BLOCK / 8 + 1
};

struct match {
    uint32_t literals; /* before it */
    uint16_t length, distance;
};

struct code {
    uint16_t bits[SYMBOLS]; /* as they lie in the stream: first bit lowest */
    uint8_t length[SYMBOLS];
};

struct state {
    size_t head[1 << HASH_BITS]; /* last position + 1 of an 8-byte hash */
    struct match match[MATCHES];
    uint32_t counts[4][LITERALS];
    uint32_t symbols[SYMBOLS], plain[SYMBOLS], distances[DISTANCES];
    struct code symbol, distance, pre;
    uint32_t literal[LITERALS]; /* bits, and length << 16 */
};

struct bits {
    uint64_t buffer;
    unsigned count; /* < 8 between two calls */
    uint8_t *at, *end;
};

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void store64(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof v);
}

static unsigned log2_floor(uint32_t v)
{
    return 31 - (unsigned)__builtin_clz(v);
}

static void put(struct bits *b, uint64_t value, unsigned n)
{
    b->buffer |= value << b->count;
    b->count += n;
}

static void flush(struct bits *b)
{
    store64(b->at, b->buffer);
    b->at += b->count >> 3;
    b->buffer >>= b->count & 56;
    b->count &= 7;
}

static void align(struct bits *b)
{
    b->count = (b->count + 7) & ~7u;
    flush(b);
}

/* ---- Huffman codes ---- */

static uint16_t reverse_bits(unsigned code, unsigned length)
{
    code = (code & 0x5555) << 1 | (code >> 1 & 0x5555);
    code = (code & 0x3333) << 2 | (code >> 2 & 0x3333);
    code = (code & 0x0F0F) << 4 | (code >> 4 & 0x0F0F);
    code = (code & 0x00FF) << 8 | (code >> 8 & 0x00FF);
    return (uint16_t)(code >> (16 - length));
}

struct leaf {
    uint32_t count;
    uint16_t symbol;
};

/* Sorts by count, which is at most 2^18; equal counts keep their order. */
static void sort_leaves(struct leaf *leaf, struct leaf *spare, unsigned n)
{
    enum { DIGIT = 9, VALUES = 1 << DIGIT };
    struct leaf *from = leaf, *to = spare;
    for (unsigned shift = 0; shift < 2 * DIGIT; shift += DIGIT) {
        uint16_t start[VALUES] = {0};
        for (unsigned i = 0; i < n; i++)
            start[from[i].count >> shift & (VALUES - 1)]++;
        unsigned sum = 0;
        for (unsigned v = 0; v < VALUES; v++) {
            unsigned here = start[v];
            start[v] = (uint16_t)sum;
            sum += here;
        }
        for (unsigned i = 0; i < n; i++)
            to[start[from[i].count >> shift & (VALUES - 1)]++] = from[i];
        from = spare;
        to = leaf;
    }
}

/* How many of the n >= 2 leaves, sorted by count, get a code of each length: Huffman's algorithm
 * with two queues, then over-long codes are shortened at the cost of the next shorter ones. */
static void code_lengths(const struct leaf *leaf, unsigned n, unsigned max_bits,
                         unsigned per[DISTANCE_BITS + 1])
{
    uint32_t weight[2 * SYMBOLS];
    uint16_t parent[2 * SYMBOLS];
    uint8_t depth[2 * SYMBOLS];
    unsigned next_leaf = 0, next_node = n, nodes = n;
    for (unsigned i = 0; i < n; i++)
        weight[i] = leaf[i].count;
    while (nodes < 2 * n - 1) {
        uint32_t sum = 0;
        for (int k = 0; k < 2; k++) {
            bool take_leaf =
                next_leaf < n && (next_node == nodes || weight[next_leaf] <= weight[next_node]);
            unsigned pick = take_leaf ? next_leaf++ : next_node++;
            sum += weight[pick];
            parent[pick] = (uint16_t)nodes;
        }
        weight[nodes++] = sum;
    }
    memset(per, 0, (DISTANCE_BITS + 1) * sizeof per[0]);
    depth[nodes - 1] = 0;
    for (unsigned i = nodes - 1; i-- > 0;) {
        /* Counts below 2^18 make no deeper tree than 26 (Fibonacci numbers). */
        depth[i] = (uint8_t)(depth[parent[i]] + 1);
        if (i < n)
            per[depth[i] < max_bits ? depth[i] : max_bits]++;
    }
    uint32_t used = 0;
    for (unsigned d = 1; d <= max_bits; d++)
        used += per[d] << (max_bits - d);
    for (; used > (uint32_t)1 << max_bits; used--) {
        unsigned d = max_bits - 1;
        while (per[d] == 0)
            d--;
        per[d]--;
        per[d + 1] += 2;
        per[max_bits]--;
    }
}

/* A complete code for the symbols with counts; where these are fewer than two, others get codes
 * too, because not every decoder takes an incomplete code. */
static void make_code(const uint32_t *counts, unsigned n, unsigned max_bits, struct code *code)
{
    struct leaf leaf[SYMBOLS], spare[SYMBOLS];
    unsigned used = 0, per[DISTANCE_BITS + 1], next[DISTANCE_BITS + 2];
    for (unsigned i = 0; i < n; i++)
        if (counts[i])
            leaf[used++] = (struct leaf){counts[i], (uint16_t)i};
    for (unsigned i = 0; used < 2; i++)
        if (!counts[i])
            leaf[used++] = (struct leaf){0, (uint16_t)i};
    memset(code->length, 0, n);
    sort_leaves(leaf, spare, used);
    code_lengths(leaf, used, max_bits, per);
    unsigned i = 0, first = 0;
    for (unsigned d = max_bits; d > 0; d--)
        for (unsigned k = 0; k < per[d]; k++)
            code->length[leaf[i++].symbol] = (uint8_t)d;
    for (unsigned d = 1; d <= max_bits; d++) {
        next[d] = first;
        first = (first + per[d]) << 1;
    }
    for (unsigned s = 0; s < n; s++)
        if (code->length[s])
            code->bits[s] = reverse_bits(next[code->length[s]]++, code->length[s]);
}

static size_t code_bits(const struct code *code, const uint32_t *counts, unsigned n)
{
    size_t bits = 0;
    for (unsigned i = 0; i < n; i++)
        bits += (size_t)counts[i] * code->length[i];
    return bits;
}

/* ---- lengths and distances (RFC 1951, 3.2.5) ---- */

struct extra {
    unsigned symbol, bits, value;
};

static struct extra length_symbol(unsigned length)
{
    unsigned l = length - MIN_MATCH;
    if (length == MAX_MATCH)
        return (struct extra){285, 0, 0};
    if (l < 8)
        return (struct extra){257 + l, 0, 0};
    unsigned e = log2_floor(l) - 2;
    return (struct extra){257 + 4 * e + (l >> e), e, l & ((1u << e) - 1)};
}

static struct extra distance_symbol(unsigned distance)
{
    unsigned d = distance - 1;
    if (d < 4)
        return (struct extra){d, 0, 0};
    unsigned e = log2_floor(d) - 1;
    return (struct extra){2 * e + (d >> e), e, d & ((1u << e) - 1)};
}

/* ---- matches ---- */

/* Bytes from b on that equal those from a on (a < b < end). */
static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
    const uint8_t *start = b;
    for (; end - b >= 8; a += 8, b += 8) {
        uint64_t x = load64(a) ^ load64(b);
        if (x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            return (size_t)(b - start) + ((unsigned)__builtin_clzll(x) >> 3);
#else
            return (size_t)(b - start) + ((unsigned)__builtin_ctzll(x) >> 3);
#endif
        }
    }
    while (b < end && *a == *b) {
        a++;
        b++;
    }
    return (size_t)(b - start);
}

static unsigned add_match(struct match *match, unsigned count, size_t literals, size_t length,
                          size_t distance)
{
    while (length > 0) {
        size_t take = length <= MAX_MATCH              ? length
                      : length < MAX_MATCH + MIN_MATCH ? MAX_MATCH - MIN_MATCH
                                                       : MAX_MATCH;
        match[count++] = (struct match){(uint32_t)literals, (uint16_t)take, (uint16_t)distance};
        literals = 0;
        length -= take;
    }
    return count;
}

/* Runs only. Looking every 4 bytes at 9 that are equal finds every run of 12 and some shorter ones;
 * finer steps find more, but no gain. */
static unsigned find_runs(struct state *s, const uint8_t *src, size_t start, size_t end)
{
    unsigned count = 0;
    size_t anchor = start;
    for (size_t at = start + 1; at + 8 <= end; at += 4) {
        if (load64(src + at) != load64(src + at - 1))
            continue;
        size_t from = at;
        while (from > anchor + 1 && src[from - 2] == src[at])
            from--;
        at += 8 + match_length(src + at + 7, src + at + 8, src + end);
        count = add_match(s->match, count, from - anchor, at - from, 1);
        anchor = at;
        at -= 3; /* with the step: the first place where a new run can be seen */
    }
    return count;
}

/* Runs and other matches. *saved = bits that the latter save by estimate. The longer nothing is
 * found, the larger the steps. */
static unsigned find_matches(struct state *s, const uint8_t *src, size_t start, size_t end,
                             unsigned literal_cost, size_t *saved)
{
    unsigned count = 0, misses = 0;
    size_t anchor = start;
    *saved = 0;
    for (size_t at = start + 1; at + 8 <= end;) {
        const uint64_t v = load64(src + at);
        size_t *head = &s->head[v * 0x9E3779B97F4A7C15u >> (64 - HASH_BITS)];
        size_t before = *head, length = 0, distance = 1, from = at;
        *head = at + 1;
        if (load64(src + at - 1) == v)
            length = 8 + match_length(src + at + 7, src + at + 8, src + end);
        else if (before > 0 && at - before < WINDOW && load64(src + before - 1) == v) {
            /* Places of a sample, not yet reached, have wrapped around to huge distances. */
            distance = at - before + 1;
            length = 8 + match_length(src + before + 7, src + at + 8, src + end);
        }
        if (length > 0) {
            while (from > anchor && from > distance && src[from - 1] == src[from - 1 - distance]) {
                from--;
                length++;
            }
            size_t gain = length * literal_cost / 256;
            unsigned cost = MATCH_COST + log2_floor((uint32_t)distance);
            if (gain > cost) {
                if (distance > 1)
                    *saved += gain - cost;
                count = add_match(s->match, count, from - anchor, length, distance);
                at = anchor = from + length;
                misses = 0;
                continue;
            }
        }
        at += 1 + (misses++ >> 5);
    }
    return count;
}

/* ---- blocks ---- */

static void count_literals(struct state *s, const uint8_t *p, size_t n)
{
    memset(s->counts, 0, sizeof s->counts);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t v = load64(p + i);
        s->counts[0][v & 255]++;
        s->counts[1][v >> 8 & 255]++;
        s->counts[2][v >> 16 & 255]++;
        s->counts[3][v >> 24 & 255]++;
        s->counts[0][v >> 32 & 255]++;
        s->counts[1][v >> 40 & 255]++;
        s->counts[2][v >> 48 & 255]++;
        s->counts[3][v >> 56]++;
    }
    for (; i < n; i++)
        s->counts[0][p[i]]++;
    for (i = 0; i < LITERALS; i++)
        s->plain[i] = s->counts[0][i] + s->counts[1][i] + s->counts[2][i] + s->counts[3][i];
    memset(s->plain + LITERALS, 0, sizeof s->plain - LITERALS * sizeof s->plain[0]);
    s->plain[END_OF_BLOCK] = 1;
}

/* Symbol counts of block p with its matches, from those of all its literals. Returns the extra
 * bits. */
static size_t count_symbols(struct state *s, const uint8_t *p, unsigned matches)
{
    size_t extra_bits = 0;
    memcpy(s->symbols, s->plain, sizeof s->symbols);
    memset(s->distances, 0, sizeof s->distances);
    for (unsigned i = 0; i < matches; i++) {
        const struct match *m = &s->match[i];
        p += m->literals;
        if (m->distance == 1)
            s->symbols[*p] -= m->length;
        else
            for (unsigned k = 0; k < m->length; k++)
                s->symbols[p[k]]--;
        p += m->length;
        struct extra l = length_symbol(m->length), d = distance_symbol(m->distance);
        s->symbols[l.symbol]++;
        s->distances[d.symbol]++;
        extra_bits += l.bits + d.bits;
    }
    return extra_bits;
}

/* The code lengths of a block, run-length coded (RFC 1951, 3.2.7). */
struct header {
    unsigned symbols, distances, precodes, count;
    uint8_t precode[SYMBOLS + DISTANCES], extra[SYMBOLS + DISTANCES];
    size_t bits;
};

static const uint8_t precode_order[PRECODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                11, 4,  12, 3, 13, 2, 14, 1, 15};

static unsigned precode_extra_bits(unsigned precode)
{
    return precode < 16 ? 0 : precode == 16 ? 2 : precode == 17 ? 3 : 7;
}

static void make_header(struct state *s, struct header *h)
{
    uint8_t length[SYMBOLS + DISTANCES];
    uint32_t counts[PRECODES] = {0};
    for (h->symbols = SYMBOLS; h->symbols > 257 && !s->symbol.length[h->symbols - 1];)
        h->symbols--;
    for (h->distances = DISTANCES; h->distances > 1 && !s->distance.length[h->distances - 1];)
        h->distances--;
    memcpy(length, s->symbol.length, h->symbols);
    memcpy(length + h->symbols, s->distance.length, h->distances);
    const unsigned n = h->symbols + h->distances;
    h->count = 0;
    for (unsigned i = 0, run; i < n; i += run) {
        const unsigned value = length[i];
        for (run = 1; i + run < n && length[i + run] == value;)
            run++;
        unsigned left = run;
        if (value > 0) { /* 16 repeats what stands before it */
            h->precode[h->count] = (uint8_t)value;
            h->extra[h->count++] = 0;
            left--;
        }
        while (left > 0) {
            const unsigned most = value ? 6 : 138;
            unsigned take = left < most ? left : most, precode = value, least = take;
            if (take < 3)
                take = 1;
            else if (value > 0)
                precode = 16, least = 3;
            else
                precode = take < 11 ? 17 : 18, least = take < 11 ? 3 : 11;
            h->precode[h->count] = (uint8_t)precode;
            h->extra[h->count++] = (uint8_t)(precode < 16 ? 0 : take - least);
            left -= take;
        }
    }
    for (unsigned i = 0; i < h->count; i++)
        counts[h->precode[i]]++;
    make_code(counts, PRECODES, PRECODE_BITS, &s->pre);
    for (h->precodes = PRECODES; h->precodes > 4 && !s->pre.length[precode_order[h->precodes - 1]];)
        h->precodes--;
    h->bits = 3 + 5 + 5 + 4 + 3 * h->precodes;
    for (unsigned i = 0; i < h->count; i++)
        h->bits += s->pre.length[h->precode[i]] + precode_extra_bits(h->precode[i]);
}

static void put_header(const struct state *s, const struct header *h, bool last, struct bits *b)
{
    put(b, last, 1);
    put(b, 2, 2); /* dynamic codes */
    put(b, h->symbols - 257, 5);
    put(b, h->distances - 1, 5);
    put(b, h->precodes - 4, 4);
    flush(b);
    for (unsigned i = 0; i < h->precodes; i++) {
        put(b, s->pre.length[precode_order[i]], 3);
        flush(b);
    }
    for (unsigned i = 0; i < h->count; i++) {
        put(b, s->pre.bits[h->precode[i]], s->pre.length[h->precode[i]]);
        put(b, h->extra[i], precode_extra_bits(h->precode[i]));
        flush(b);
    }
}

static void put_literals(const uint32_t *literal, const uint8_t *p, size_t n, struct bits *b)
{
    uint64_t buffer = b->buffer;
    unsigned count = b->count;
    uint8_t *at = b->at;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32_t c0 = literal[p[i]], c1 = literal[p[i + 1]];
        const uint32_t c2 = literal[p[i + 2]], c3 = literal[p[i + 3]];
        /* Two pairs that do not wait for each other. */
        const uint64_t low = (c0 & 0xFFFF) | (uint64_t)(c1 & 0xFFFF) << (c0 >> 16);
        const uint64_t high = (c2 & 0xFFFF) | (uint64_t)(c3 & 0xFFFF) << (c2 >> 16);
        const unsigned low_count = (c0 >> 16) + (c1 >> 16);
        buffer |= (low | high << low_count) << count;
        count += low_count + (c2 >> 16) + (c3 >> 16);
        store64(at, buffer);
        at += count >> 3;
        buffer >>= count & 56;
        count &= 7;
    }
    *b = (struct bits){buffer, count, at, b->end};
    for (; i < n; i++) {
        put(b, literal[p[i]] & 0xFFFF, literal[p[i]] >> 16);
        flush(b);
    }
}

static void put_symbols(struct state *s, const uint8_t *p, size_t n, unsigned matches,
                        struct bits *b)
{
    const uint8_t *end = p + n;
    for (unsigned i = 0; i < LITERALS; i++)
        s->literal[i] = s->symbol.bits[i] | (uint32_t)s->symbol.length[i] << 16;
    for (unsigned i = 0; i < matches; i++) {
        const struct match *m = &s->match[i];
        put_literals(s->literal, p, m->literals, b);
        p += m->literals + m->length;
        /* 14 + 5 + 15 + 13 + 7 pending bits fit. */
        struct extra l = length_symbol(m->length), d = distance_symbol(m->distance);
        put(b, s->symbol.bits[l.symbol], s->symbol.length[l.symbol]);
        put(b, l.value, l.bits);
        put(b, s->distance.bits[d.symbol], s->distance.length[d.symbol]);
        put(b, d.value, d.bits);
        flush(b);
    }
    put_literals(s->literal, p, (size_t)(end - p), b);
    put(b, s->symbol.bits[END_OF_BLOCK], s->symbol.length[END_OF_BLOCK]);
    flush(b);
}

static bool put_stored(const uint8_t *p, size_t n, bool last, struct bits *b)
{
    if ((size_t)(b->end - b->at) < n + STORED_OVERHEAD + SLACK)
        return false;
    put(b, last, 3);
    align(b);
    put(b, n, 16);
    put(b, ~n & 0xFFFF, 16);
    flush(b);
    memcpy(b->at, p, n);
    b->at += n;
    return true;
}

/* Writes src[start, end), 1 to BLOCK bytes. *search: whether to search for matches, kept from block
 * to block. False: no room. */
static bool put_block(struct state *s, const uint8_t *src, size_t start, size_t end, bool last,
                      bool *search, struct bits *b)
{
    const uint8_t *p = src + start;
    const size_t n = end - start;
    struct header h;
    size_t saved = 0;

    count_literals(s, p, n);
    make_code(s->plain, SYMBOLS, SYMBOL_BITS, &s->symbol);
    size_t bits = code_bits(&s->symbol, s->plain, END_OF_BLOCK + 1);
    const unsigned literal_cost = (unsigned)(bits * 256 / n);
    if (literal_cost <= SEARCH_ABOVE) {
        *search = false;
    } else if (!*search) {
        size_t sample = n < SAMPLE ? n : SAMPLE;
        find_matches(s, src, start, start + sample, literal_cost, &saved);
        *search = saved >= sample * literal_cost / 256 >> WORTH_SHIFT;
    }
    unsigned matches = *search ? find_matches(s, src, start, end, literal_cost, &saved)
                               : find_runs(s, src, start, end);
    if (*search)
        *search = saved >= bits >> WORTH_SHIFT;
    if (matches > 0) {
        const struct code plain = s->symbol;
        const size_t extra = count_symbols(s, p, matches);
        make_code(s->symbols, SYMBOLS, SYMBOL_BITS, &s->symbol);
        make_code(s->distances, DISTANCES, DISTANCE_BITS, &s->distance);
        const size_t with = extra + code_bits(&s->symbol, s->symbols, SYMBOLS) +
                            code_bits(&s->distance, s->distances, DISTANCES);
        if (with < bits) {
            bits = with;
        } else {
            s->symbol = plain;
            matches = 0;
        }
    }
    if (matches == 0) {
        memset(s->distances, 0, sizeof s->distances);
        make_code(s->distances, DISTANCES, DISTANCE_BITS, &s->distance);
    }
    make_header(s, &h);
    if (h.bits + bits >= 8 * (n + STORED_OVERHEAD))
        return put_stored(p, n, last, b);
    if ((size_t)(b->end - b->at) < (b->count + h.bits + bits) / 8 + 1 + SLACK)
        return false;
    put_header(s, &h, last, b);
    put_symbols(s, p, n, matches, b);
    return true;
}

size_t emd_zlib_state_bytes(void)
{
    return sizeof(struct state);
}

size_t emd_zlib_bound(size_t n)
{
    const size_t extra = (n / BLOCK + 1) * (STORED_OVERHEAD + 1) + ZLIB_OVERHEAD + SLACK;
    return n <= SIZE_MAX - extra ? n + extra : 0;
}

size_t emd_zlib_write(void *state, const void *src, size_t n, void *dst, size_t capacity)
{
    _Static_assert((int)BLOCK <= (int)STORED_MAX, "a block can be stored");
    struct state *s = state;
    struct bits b = {.at = dst, .end = (uint8_t *)dst + capacity};
    bool search = false;
    if (capacity < ZLIB_OVERHEAD + SLACK)
        return 0;
    put(&b, 0x5E78, 16); /* 32 KiB window, fast level; a multiple of 31 read the other way round */
    memset(s->head, 0, sizeof s->head);
    if (n == 0)
        put(&b, 3, 10); /* last block, fixed codes, end of block */
    flush(&b);
    for (size_t start = 0; start < n; start += BLOCK) {
        const size_t end = n - start > BLOCK ? start + BLOCK : n;
        if (!put_block(s, src, start, end, end == n, &search, &b))
            return 0;
    }
    align(&b);
    if (b.end - b.at < 4)
        return 0;
    const uint32_t adler = libdeflate_adler32(1, src, n);
    for (int i = 0; i < 4; i++)
        *b.at++ = (uint8_t)(adler >> (24 - 8 * i));
    return (size_t)(b.at - (uint8_t *)dst);
}
