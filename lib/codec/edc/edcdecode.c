/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The decoder. What it reads is hostile: every length is checked before use, every table index is
 * below the number of tables by construction, and each strip's pixels are checked against their
 * checksum. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "codec/edc/edcstream.h"
#include "codec/transpose8.h"

/* One strip of the stream. */
struct strip_entry {
    enum edc_strip_mode mode;
    const uint8_t *data;
    size_t size;
    uint64_t checksum;
};

/* What all strips of a chunk share; read only while they are decoded. */
struct decoding {
    const struct edc_kernels *kernels;
    const struct edc_header *header;
    struct edc_side *side;
    struct strip_entry *entries;
    bool *described; /* by strip: whether it is in the side information */
    uint32_t *tables;
    struct edc_ranks *ranks;
    struct edc_predictor predictor;
    uint8_t *dst;            /* the chunk, or NULL: */
    const uint8_t *expected; /* what it should be, compared strip by strip */
    int16_t thresholds[EDC_CLASSES][EDC_LOCAL_LEVELS - 1];
    unsigned at_once;  /* strips that a thread takes, EDC_READERS at most */
    atomic_uint next;  /* strip to take */
    atomic_int failed; /* enum emd_status of the first failure */
};

/* A thread's: rows of the strips that it decodes side by side, and twice a strip's pixels. */
struct thread_memory {
    uint8_t *rows[EDC_READERS], *own, *second;
};

/* A row's buffers; one block of memory. */
struct decode_rows {
    struct edc_rows rows;
    uint16_t *prediction, *line;
    uint8_t *bytes; /* a row as it is in the chunk, for comparing */
    uint8_t *symbol, *table, *fraction, *context;
    uint8_t *set, *low;
    const uint8_t **map[2];
};

/* Lays the buffers out from 'base' (NULL: only counts). Returns the bytes. */
static size_t lay_out(uint8_t *base, uint32_t width, struct decode_rows *r)
{
    const size_t lanes = edc_row_lanes(width), tiles = edc_tiles_across(width);
    size_t at = 0;
    for (int d = 0; d < 4; d++)
        for (int phase = 0; phase < 2; phase++) {
            r->rows.pixels.row[d].half[phase] = edc_take(base, &at, lanes, sizeof(uint16_t));
            r->rows.activity.row[d].half[phase] = edc_take(base, &at, lanes, sizeof(uint16_t));
        }
    r->prediction = edc_take(base, &at, lanes, sizeof(uint16_t));
    r->line = edc_take(base, &at, 2 * lanes, sizeof(uint16_t));
    r->bytes = edc_take(base, &at, 2 * lanes, sizeof(uint32_t));
    r->symbol = edc_take(base, &at, lanes, sizeof(uint8_t));
    r->table = edc_take(base, &at, 2 * lanes, sizeof(uint8_t));
    r->fraction = edc_take(base, &at, lanes, sizeof(uint8_t));
    r->context = edc_take(base, &at, lanes, sizeof(uint8_t));
    r->set = edc_take(base, &at, tiles, sizeof(uint8_t));
    r->low = edc_take(base, &at, tiles, sizeof(uint8_t));
    r->map[0] = edc_take(base, &at, tiles, sizeof(const uint8_t *));
    r->map[1] = edc_take(base, &at, tiles, sizeof(const uint8_t *));
    return at;
}

static void set_up_rows(uint8_t *base, uint32_t width, struct decode_rows *r)
{
    edc_clear(base, lay_out(NULL, width, r));
    lay_out(base, width, r);
    r->rows.half[0] = ((size_t)width + 1) / 2;
    r->rows.half[1] = width / 2;
    for (int phase = 0; phase < 2; phase++) {
        r->rows.tiles[phase] = (r->rows.half[phase] + EDC_TILE_LANES - 1) / EDC_TILE_LANES;
        for (int d = 0; d < 4; d++) {
            r->rows.pixels.row[d].half[phase] += EDC_PAD;
            r->rows.activity.row[d].half[phase] += EDC_PAD;
        }
    }
}

/* Lays out what all threads share; returns the bytes. */
static size_t lay_out_shared(uint8_t *base, const struct edc_header *h, struct decoding *d)
{
    size_t at = 0;
    d->entries = edc_take(base, &at, h->strips, sizeof *d->entries);
    d->described = edc_take(base, &at, h->strips, sizeof *d->described);
    if (h->flags & EDC_FLAG_MODEL) {
        d->side = edc_take(base, &at, 1, sizeof *d->side);
        uint8_t *const classes = edc_take(base, &at, edc_tiles_total(h), sizeof *classes);
        uint16_t *const means =
            edc_take(base, &at, (size_t)h->strips * edc_tiles_across(h->width), sizeof *means);
        if (base) {
            d->side->classes = classes;
            d->side->means = means;
        }
        d->tables = edc_take(base, &at, EDC_TABLES_MAX * EDC_RANS_TOTAL, sizeof *d->tables);
        d->ranks = edc_take(base, &at, EDC_TABLES_MAX, sizeof *d->ranks);
    }
    return at;
}

static size_t lay_out_thread(uint8_t *base, const struct edc_header *h, struct thread_memory *m)
{
    struct decode_rows unused;
    const size_t rows = h->flags & EDC_FLAG_BYTES ? 0 : lay_out(NULL, h->width, &unused);
    const size_t bytes = h->strips ? edc_strip_at(h, 0).bytes : 0; /* no other is longer */
    size_t at = 0;
    for (int i = 0; i < EDC_READERS; i++)
        m->rows[i] = edc_take(base, &at, rows, 1);
    m->own = edc_take(base, &at, bytes, 1);
    m->second = edc_take(base, &at, bytes, 1);
    return at;
}

size_t edc_decode_bytes(const struct edc_header *header, unsigned threads)
{
    struct decoding shared;
    struct thread_memory thread;
    return lay_out_shared(NULL, header, &shared) +
           lay_out_thread(NULL, header, &thread) * (threads > 1 ? threads : 1);
}

/* A coded strip on its way. */
struct coded_strip {
    struct decode_rows r;
    struct edc_reader reader;
    const uint8_t *planes, *planes_end;
    struct edc_bit_reader extra;
    struct edc_hash hash;
    const uint8_t *classes; /* of its tiles */
    uint32_t rows, offset;
    uint8_t *plain;          /* its pixels one after the other, or NULL: */
    const uint8_t *expected; /* compared with these */
};

/* Reads a strip's head: offset (32-bit pixels), bytes of words and planes, states; then follow
 * words, planes, extra bits. */
static enum emd_status open_coded(const struct decoding *d, uint32_t s, uint8_t *memory,
                                  uint8_t *plain, const uint8_t *expected, struct coded_strip *c)
{
    const struct edc_header *const h = d->header;
    const struct strip_entry *const entry = &d->entries[s];
    const size_t offset_bytes = h->item_size == 4 ? 4 : 0;
    const size_t head = offset_bytes + 8 + (size_t)EDC_RANS_LANES * 4;
    if (entry->size < head || !d->described[s])
        return EMD_E_CORRUPT;
    const uint8_t *p = entry->data;
    c->offset = offset_bytes ? edc_get32(p) : 0;
    p += offset_bytes;
    const size_t word_bytes = edc_get32(p), plane_bytes = edc_get32(p + 4);
    p += 8;
    const size_t body = entry->size - head;
    if (word_bytes > body || plane_bytes > body - word_bytes)
        return EMD_E_CORRUPT;
    c->reader = (struct edc_reader){
        .tables = d->tables,
        .ranks = d->side->model.context == EDC_CONTEXT_TILE ? d->ranks : NULL,
    };
    for (int i = 0; i < EDC_RANS_LANES; i++, p += 4)
        c->reader.state[i] = edc_get32(p);
    c->reader.p = p;
    c->reader.end = c->planes = p + word_bytes;
    c->planes_end = c->planes + plane_bytes;
    c->extra = (struct edc_bit_reader){.p = c->planes_end, .end = entry->data + entry->size};
    c->classes = d->side->classes + edc_tile_start(h, s);
    c->rows = edc_strip_at(h, s).rows;
    c->plain = plain;
    c->expected = expected;
    d->kernels->hash_start(&c->hash);
    set_up_rows(memory, h->width, &c->r);
    if (d->side->model.linear)
        edc_virtual_rows(&c->r.rows, d->side->means + (size_t)s * edc_tiles_across(h->width));
    return EMD_OK;
}

/* What the tiles that begin in row y decide. */
static enum emd_status begin_tiles(const struct decoding *d, struct coded_strip *c, uint32_t y)
{
    const struct edc_model *const m = &d->side->model;
    const uint32_t width = d->header->width;
    const size_t across = edc_tiles_across(width), lanes = edc_row_lanes(width);
    const uint8_t *const classes = c->classes + y / EDC_TILE_ROWS * across;
    struct decode_rows *const r = &c->r;
    size_t row_planes = 0;
    if (m->linear)
        edc_choose_sets(m, &r->rows, d->header->flags & EDC_FLAG_SIGNED, r->set);
    for (size_t t = 0; t < across; t++) {
        r->low[t] = (uint8_t)edc_low_bits(classes[t]);
        for (int phase = 0; phase < 2; phase++) {
            r->map[phase][t] = m->map + edc_map(m->context, classes[t], phase);
            if (t < r->rows.tiles[phase])
                row_planes += (size_t)r->low[t] * 4;
            if (m->context == EDC_CONTEXT_TILE)
                memset(r->table + (size_t)phase * lanes + t * EDC_TILE_LANES, r->map[phase][t][0],
                       EDC_TILE_LANES);
        }
    }
    const uint32_t rows = c->rows - y < EDC_TILE_ROWS ? c->rows - y : EDC_TILE_ROWS;
    return (size_t)(c->planes_end - c->planes) < row_planes * rows ? EMD_E_CORRUPT : EMD_OK;
}

/* Where a row of the strip is compared with, or goes. */
static const uint8_t *far_row(const struct decoding *d, const struct coded_strip *c, uint32_t y)
{
    const size_t row_bytes = (size_t)d->header->width * d->header->item_size;
    return (c->plain ? c->plain : c->expected) + y * row_bytes;
}

/* Predictions and tables of a half row. */
static void model_half(const struct decoding *d, struct coded_strip *c, uint32_t y, int phase)
{
    const struct edc_kernels *const k = d->kernels;
    const struct edc_model *const m = &d->side->model;
    const struct edc_header *const h = d->header;
    struct decode_rows *const r = &c->r;
    const size_t n = r->rows.half[phase], row_bytes = (size_t)h->width * h->item_size;
    const bool local = m->context == EDC_CONTEXT_LOCAL;
    uint8_t *const table = r->table + (size_t)phase * edc_row_lanes(h->width);
    edc_prefetch(far_row(d, c, y), row_bytes, 2 * (unsigned)phase); /* on its way until needed */
    if (m->linear)
        k->predict(&r->rows.pixels, phase, n, &d->predictor, r->set, r->prediction,
                   local ? r->fraction : NULL);
    if (local) {
        k->context_local(&r->rows.activity, phase, n,
                         (const int16_t(*)[EDC_LOCAL_LEVELS - 1]) d->thresholds,
                         c->classes + y / EDC_TILE_ROWS * edc_tiles_across(h->width), r->fraction,
                         r->map[phase], table);
    } else if (m->context == EDC_CONTEXT_VALUES) {
        const uint8_t *const map = r->map[phase][0];
        k->context_values(&r->rows.activity, phase, n, r->context);
        for (size_t i = 0; i < n; i++)
            table[i] = map[r->context[i]];
    }
    edc_prefetch(far_row(d, c, y), row_bytes, 2 * (unsigned)phase + 1);
}

/* The pixels of a half row whose symbols are there. */
static void restore_half(const struct decoding *d, struct coded_strip *c, int phase)
{
    const struct edc_kernels *const k = d->kernels;
    const struct edc_model *const m = &d->side->model;
    struct edc_rows *const rows = &c->r.rows;
    const size_t n = rows->half[phase];
    uint16_t *const value = rows->pixels.row[0].half[phase];
    k->restore(n, c->r.symbol, m->fold, c->r.low, c->r.prediction, &c->planes, &c->extra, value);
    edc_pad(value, n, rows->pixels.row[0].half[0][0]);
    if (m->context != EDC_CONTEXT_TILE) {
        uint16_t *const active = rows->activity.row[0].half[phase];
        k->activity(n, value, c->r.prediction, m->fold, active);
        edc_pad(active, n, 0);
    }
}

/* A whole row: stored or compared. */
static enum emd_status finish_row(const struct decoding *d, struct coded_strip *c, uint32_t y)
{
    const struct edc_kernels *const k = d->kernels;
    struct edc_rows *const rows = &c->r.rows;
    struct edc_header row = *d->header; /* on its own */
    row.flags &= ~(unsigned)EDC_FLAG_INTERLEAVED;
    const size_t row_bytes = (size_t)row.width * row.item_size;
    uint8_t *const bytes = c->plain ? c->plain + y * row_bytes : c->r.bytes;
    uint16_t *const target = edc_row_target(&row, bytes, 0, 0, c->r.line);
    k->join(rows->pixels.row[0].half[0], rows->pixels.row[0].half[1], row.width, target);
    if (target == c->r.line)
        edc_store_row(&row, bytes, 0, 0, c->offset, c->r.line);
    /* while they are in the cache */
    k->hash_update(&c->hash, bytes, row_bytes);
    edc_advance(&rows->pixels, 4);
    edc_advance(&rows->activity, 3);
    return c->plain || memcmp(bytes, far_row(d, c, y), row_bytes) == 0 ? EMD_OK : EMD_E_VERIFY;
}

/* Whether everything was used up as it should be, and the pixels are those that were coded. */
static enum emd_status close_coded(const struct decoding *d, const struct coded_strip *c,
                                   uint64_t checksum)
{
    if (c->reader.bad || c->extra.bad || c->reader.p != c->reader.end ||
        c->planes != c->planes_end || c->extra.p != c->extra.end || c->extra.count >= 8)
        return EMD_E_CORRUPT;
    for (int i = 0; i < EDC_RANS_LANES; i++)
        if (c->reader.state[i] != EDC_RANS_LOW)
            return EMD_E_CORRUPT;
    return d->kernels->hash_end(&c->hash) == checksum ? EMD_OK : EMD_E_CORRUPT;
}

/* Decodes the coded strips from s on, 'count' of them, whose pixels follow each other at 'plain' or
 * 'expected', row by row side by side: an entropy coder waits for its own states most of the time,
 * and so they wait together. */
static enum emd_status decode_coded(const struct decoding *d, uint32_t s, int count,
                                    const struct thread_memory *memory, uint8_t *plain,
                                    const uint8_t *expected)
{
    const size_t lanes = edc_row_lanes(d->header->width);
    struct coded_strip strip[EDC_READERS], *c[EDC_READERS];
    struct edc_reader *reader[EDC_READERS];
    const uint8_t *table[EDC_READERS];
    uint8_t *symbol[EDC_READERS];
    enum emd_status status = EMD_OK;
    for (int i = 0; i < count && status == EMD_OK; i++) {
        const size_t before = edc_strip_at(d->header, s).bytes * (size_t)i;
        status = open_coded(d, s + (uint32_t)i, memory->rows[i], plain ? plain + before : NULL,
                            expected ? expected + before : NULL, &strip[i]);
    }
    for (uint32_t y = 0; status == EMD_OK; y++) {
        int left = 0; /* the last strip of a plane may be shorter */
        for (int i = 0; i < count; i++)
            if (y < strip[i].rows)
                c[left++] = &strip[i];
        if (left == 0)
            break;
        for (int i = 0; i < left && y % EDC_TILE_ROWS == 0 && status == EMD_OK; i++)
            status = begin_tiles(d, c[i], y);
        for (int phase = 0; phase < 2 && status == EMD_OK; phase++) {
            for (int i = 0; i < left; i++) {
                model_half(d, c[i], y, phase);
                reader[i] = &c[i]->reader;
                table[i] = c[i]->r.table + (size_t)phase * lanes;
                symbol[i] = c[i]->r.symbol;
            }
            d->kernels->decode(reader, left, c[0]->r.rows.half[phase], table, symbol);
            for (int i = 0; i < left; i++)
                restore_half(d, c[i], phase);
        }
        for (int i = 0; i < left && status == EMD_OK; i++)
            status = finish_row(d, c[i], y);
    }
    for (int i = 0; i < count && status == EMD_OK; i++)
        status = close_coded(d, &strip[i], d->entries[s + (uint32_t)i].checksum);
    return status;
}

/* Decodes the strips from s on, 'count' of them; more than one are coded and in one piece each. */
static enum emd_status decode_some(const struct decoding *d, struct emd_edc_work *work, uint32_t s,
                                   int count, const struct thread_memory *memory)
{
    const struct edc_header *const h = d->header;
    const struct strip_entry *const entry = &d->entries[s];
    const struct edc_strip strip = edc_strip_at(h, s);
    const bool scattered = edc_is_scattered(h);
    uint8_t *const second = memory->second;
    uint8_t *const plain = scattered || d->expected ? memory->own : d->dst + strip.offset;
    const uint8_t *pixels = plain, *expected = NULL;
    if (entry->mode == EDC_STRIP_ZSTD) {
        if (!work->dctx)
            work->dctx = ZSTD_createDCtx();
        if (!work->dctx)
            return EMD_E_MEMORY;
        const size_t size =
            ZSTD_decompressDCtx(work->dctx, second, strip.bytes, entry->data, entry->size);
        if (ZSTD_isError(size) || size != strip.bytes)
            return EMD_E_CORRUPT;
        emd_unshuffle(h->flags & EDC_FLAG_BYTES ? h->width : h->item_size, second, plain,
                      strip.bytes);
    } else if (entry->mode == EDC_STRIP_RAW) {
        if (entry->size != strip.bytes)
            return EMD_E_CORRUPT;
        pixels = entry->data;
    }
    if (d->expected && scattered) {
        edc_gather(h, &strip, d->expected, second);
        expected = second;
    } else if (d->expected) {
        expected = d->expected + strip.offset;
    }
    if (entry->mode == EDC_STRIP_CODED) {
        const enum emd_status status =
            decode_coded(d, s, count, memory, expected ? NULL : plain, expected);
        if (status != EMD_OK)
            return status;
    } else if (expected && memcmp(pixels, expected, strip.bytes) != 0) {
        return EMD_E_VERIFY;
    } else if (d->kernels->checksum(pixels, strip.bytes) != entry->checksum) {
        return EMD_E_CORRUPT;
    }
    if (!expected && scattered)
        edc_scatter(h, &strip, pixels, d->dst);
    else if (!expected && pixels != plain)
        memcpy(plain, pixels, strip.bytes);
    return EMD_OK;
}

/* Takes strips until there are none. */
static void decode_strips(struct decoding *d, struct emd_edc_work *work,
                          const struct thread_memory *memory)
{
    const uint32_t strips = d->header->strips;
    const bool whole = !edc_is_scattered(d->header);
    while (atomic_load(&d->failed) == EMD_OK) {
        const uint32_t first = atomic_fetch_add(&d->next, d->at_once);
        if (first >= strips)
            break;
        const uint32_t end = strips - first > d->at_once ? first + d->at_once : strips;
        for (uint32_t s = first, count; s < end; s += count) {
            count = 0;
            while (whole && s + count < end && d->entries[s + count].mode == EDC_STRIP_CODED)
                count++;
            count += count == 0;
            const enum emd_status status = decode_some(d, work, s, (int)count, memory);
            if (status != EMD_OK) {
                atomic_store(&d->failed, (int)status);
                return;
            }
        }
    }
}

struct helper {
    struct decoding *decoding;
    struct thread_memory memory;
    pthread_t thread;
    bool running;
};

static void *run_helper(void *argument)
{
    const struct helper *const helper = argument;
    struct emd_edc_work work = {0};
    decode_strips(helper->decoding, &work, &helper->memory);
    ZSTD_freeDCtx(work.dctx);
    return NULL;
}

/* Reads the table of strips; false if it does not add up to the stream. */
static bool read_entries(const struct edc_header *h, const uint8_t *src, size_t n,
                         struct strip_entry *entries)
{
    const uint8_t *p = src + EDC_HEADER_BYTES;
    size_t at = EDC_HEADER_BYTES + (size_t)h->strips * EDC_STRIP_ENTRY_BYTES + h->model_bytes;
    for (uint32_t s = 0; s < h->strips; s++, p += EDC_STRIP_ENTRY_BYTES) {
        const uint32_t word = edc_get32(p);
        const uint32_t mode = word >> 30;
        entries[s].size = word & 0x3FFFFFFF;
        entries[s].checksum = edc_get64(p + 4);
        if (mode > EDC_STRIP_CODED || entries[s].size > n - at)
            return false;
        entries[s].mode = (enum edc_strip_mode)mode;
        entries[s].data = src + at;
        at += entries[s].size;
    }
    return at == n;
}

/* The header of a stream of at most 'limit' pixel bytes, and how many they are. */
static enum emd_status get_sized_header(const void *src, size_t n, size_t limit,
                                        struct edc_header *header, size_t *size,
                                        struct emd_error *err)
{
    const enum emd_status status = edc_get_header(src, n, header, err);
    if (status != EMD_OK)
        return status;
    if (header->raw_bytes > limit)
        return emd_fail(err, EMD_E_CORRUPT,
                        "edc: the header claims %llu bytes where at most %zu belong",
                        (unsigned long long)header->raw_bytes, limit);
    *size = (size_t)header->raw_bytes;
    return EMD_OK;
}

enum emd_status emd_edc_decoded_size(const void *src, size_t n, size_t limit, size_t *out,
                                     struct emd_error *err)
{
    struct edc_header header;
    return get_sized_header(src, n, limit, &header, out, err);
}

enum { THREADS_MAX = 64 };

enum emd_status emd_edc_decode(unsigned threads, struct emd_edc_work *work, const void *src,
                               size_t n, void *dst, size_t capacity, size_t *out,
                               struct emd_error *err)
{
    return edc_decode_with(edc_kernels(), threads, work, src, n, dst, capacity, out, err);
}

enum emd_status emd_edc_check(unsigned threads, struct emd_edc_work *work, const void *src,
                              size_t n, const void *expected, size_t size, struct emd_error *err)
{
    return edc_check_with(edc_kernels(), threads, work, src, n, expected, size, err);
}

/* To dst, or where that is NULL compared with 'expected'. */
static enum emd_status decode_stream(const struct edc_kernels *kernels, unsigned threads,
                                     struct emd_edc_work *work, const void *src, size_t n,
                                     const struct edc_header *h, void *dst, const void *expected,
                                     struct emd_error *err)
{
    enum emd_status status;
    struct emd_edc_work *mine = NULL;
    const struct edc_header header = *h;
    struct helper helpers[THREADS_MAX] = {{0}};
    if (!work)
        work = mine = emd_edc_work_new();
    if (threads < 1 || header.strips < 2)
        threads = 1;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    if (threads > header.strips && header.strips)
        threads = header.strips;

    struct decoding decoding = {
        .kernels = kernels, .header = &header, .dst = dst, .expected = expected};
    struct thread_memory memory;
    const size_t shared = lay_out_shared(NULL, &header, &decoding);
    const size_t each = lay_out_thread(NULL, &header, &memory);
    uint8_t *const block = work ? edc_scratch(work, shared + each * threads) : NULL;
    if (!block) {
        status = emd_fail(err, EMD_E_MEMORY, "edc: out of memory");
        goto out;
    }
    lay_out_shared(block, &header, &decoding);
    lay_out_thread(block + shared, &header, &memory);
    if (!read_entries(&header, src, n, decoding.entries)) {
        status = emd_fail(err, EMD_E_CORRUPT, "edc: the strips do not add up to %zu bytes", n);
        goto out;
    }
    memset(decoding.described, 0, header.strips);
    if (header.flags & EDC_FLAG_MODEL) {
        const struct edc_model *const model = &decoding.side->model;
        const uint8_t *const stored =
            (const uint8_t *)src + EDC_HEADER_BYTES + (size_t)header.strips * EDC_STRIP_ENTRY_BYTES;
        if (!edc_get_side(&header, stored, header.model_bytes, decoding.described, decoding.side)) {
            status = emd_fail(err, EMD_E_CORRUPT, "edc: the model is damaged");
            goto out;
        }
        for (unsigned t = 0; t < model->table_count; t++) {
            edc_build_decoder(&model->tables[t], decoding.tables + (size_t)t * EDC_RANS_TOTAL);
            edc_build_ranks(&model->tables[t], &decoding.ranks[t]);
        }
        edc_prepare_sets(model, &decoding.predictor);
    }
    decoding.at_once = header.strips / threads >= EDC_READERS ? EDC_READERS : 1;
    edc_local_thresholds(decoding.thresholds);
    /* Signals are for the host's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    if (threads > 1)
        pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned t = 1; t < threads; t++) {
        helpers[t].decoding = &decoding;
        lay_out_thread(block + shared + each * t, &header, &helpers[t].memory);
        helpers[t].running = pthread_create(&helpers[t].thread, NULL, run_helper, &helpers[t]) == 0;
    }
    if (threads > 1)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    decode_strips(&decoding, work, &memory);
    for (unsigned t = 1; t < threads; t++)
        if (helpers[t].running)
            pthread_join(helpers[t].thread, NULL);
    status = (enum emd_status)atomic_load(&decoding.failed);
    if (status == EMD_E_MEMORY)
        emd_fail(err, status, "edc: out of memory");
    else if (status == EMD_E_VERIFY)
        emd_fail(err, status, "edc: decodes to other data");
    else if (status != EMD_OK)
        emd_fail(err, status, "edc: the data is damaged");
out:
    emd_edc_work_free(mine);
    return status;
}

enum emd_status edc_decode_with(const struct edc_kernels *kernels, unsigned threads,
                                struct emd_edc_work *work, const void *src, size_t n, void *dst,
                                size_t capacity, size_t *out, struct emd_error *err)
{
    struct edc_header header;
    size_t size = 0;
    enum emd_status status = get_sized_header(src, n, capacity, &header, &size, err);
    if (status == EMD_OK)
        status = decode_stream(kernels, threads, work, src, n, &header, dst, NULL, err);
    if (status == EMD_OK)
        *out = size;
    return status;
}

enum emd_status edc_check_with(const struct edc_kernels *kernels, unsigned threads,
                               struct emd_edc_work *work, const void *src, size_t n,
                               const void *expected, size_t size, struct emd_error *err)
{
    struct edc_header header;
    size_t claimed = 0;
    enum emd_status status = get_sized_header(src, n, SIZE_MAX, &header, &claimed, err);
    if (status != EMD_OK)
        return status;
    if (claimed != size)
        return emd_fail(err, EMD_E_VERIFY, "edc: decodes to %zu bytes instead of %zu", claimed,
                        size);
    return decode_stream(kernels, threads, work, src, n, &header, NULL, expected, err);
}
