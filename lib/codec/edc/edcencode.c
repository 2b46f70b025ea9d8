/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The encoder: chooses a model on a sample, turns the frame into symbols strip by strip, counts
 * them, and codes each strip; where that does not pay, shuffle and zstd, or the bytes as they are.
 *
 * What was tried and lost: prediction from the frame before (worse than none: the noise is new);
 * classes of tiles by trial instead of by their mean residual (under 0.1 %); Huffman codes (0.7 to
 * 1 % more bits). */
#include <stdlib.h>
#include <string.h>

#include "codec/edc/edccluster.h"
#include "codec/edc/edcfit.h"
#include "codec/edc/edcstream.h"
#include "codec/transpose8.h"

enum {
    STRIP_PIXELS = 1 << 19, /* a strip's coder states cost 256 bytes, 0.004 bit a pixel then */
    BYTES_STRIP = 1 << 20,  /* of what is no image */
    SAMPLE_STRIPS = 5,      /* where candidate models are compared, */
    SAMPLE_STRIP_ROWS = 8,  /* each so high */
    ZSTD_LEVEL = 1,
    OUTLIER = 5,            /* times the mean: no larger residual counts for a class */
    IMAGE_BYTES_MIN = 1024, /* below, a model costs more than it saves */
    WIDTH_MIN = 8,          /* rows are padded to 128 columns */
    SMALL_PLANE = 1 << 15,  /* pixels; smaller planes share a strip */
    SMALL_PIXELS = 1 << 16, /* so few are estimated badly, and coded twice in no time */
    COUNTING_PERCENT = 20,  /* of pixels that are 0: counting detectors */
    LARGE_PIXELS = 1 << 20  /* so many have symbols to spare for their tables, and take time */
};

/* A range of rows being turned into symbols. */
struct range {
    uint32_t plane, first, rows;
    uint32_t offset;
    uint8_t *classes;
    uint16_t *means;
    struct edc_hash *hash; /* of the rows' bytes, which follow each other; NULL: not asked for */
};

/* Buffers of the analysis; one block. Symbols and contexts are kept for the whole chunk. */
struct analysis {
    const struct edc_kernels *kernels;
    const struct edc_header *header;
    const void *chunk;
    size_t lanes; /* of a padded half row */
    size_t half_lanes;
    struct edc_rows rows;
    uint16_t *zero, *prediction[2], *line;
    uint16_t *residual; /* 8 rows of two halves */
    uint16_t *active;   /* 8 + 2 rows of two halves, padded */
    uint8_t *fraction;  /* 8 rows of two halves */
    uint8_t *set, *low, *identity;
    const uint8_t **identities;
    uint32_t *sums;
    uint16_t *lane_sums[2]; /* by phase */
    uint16_t *limits;
    int16_t thresholds[EDC_CLASSES][EDC_LOCAL_LEVELS - 1];
};

static size_t lay_out(uint8_t *base, uint32_t width, struct analysis *a)
{
    struct edc_rows *const rows = &a->rows;
    const size_t lanes = edc_row_lanes(width), tiles = edc_tiles_across(width);
    size_t at = edc_lay_out_rows(base, width, rows);
    a->zero = edc_take(base, &at, lanes, sizeof(uint16_t));
    a->prediction[0] = edc_take(base, &at, lanes, sizeof(uint16_t));
    a->prediction[1] = edc_take(base, &at, lanes, sizeof(uint16_t));
    a->line = edc_take(base, &at, 2 * lanes, sizeof(uint16_t));
    a->residual = edc_take(base, &at, lanes * 2 * EDC_TILE_ROWS, sizeof(uint16_t));
    a->active = edc_take(base, &at, lanes * 2 * (EDC_TILE_ROWS + 2), sizeof(uint16_t));
    a->fraction = edc_take(base, &at, lanes * 2 * EDC_TILE_ROWS, sizeof(uint8_t));
    a->set = edc_take(base, &at, tiles, sizeof(uint8_t));
    a->low = edc_take(base, &at, tiles, sizeof(uint8_t));
    a->identity = edc_take(base, &at, EDC_LOCAL_CONTEXTS, sizeof(uint8_t));
    a->identities = edc_take(base, &at, tiles, sizeof(const uint8_t *));
    a->sums = edc_take(base, &at, tiles, sizeof(uint32_t));
    a->lane_sums[0] = edc_take(base, &at, lanes, sizeof(uint16_t));
    a->lane_sums[1] = edc_take(base, &at, lanes, sizeof(uint16_t));
    a->limits = edc_take(base, &at, tiles, sizeof(uint16_t));
    a->lanes = lanes;
    a->half_lanes = lanes - (size_t)2 * EDC_PAD;
    return at;
}

/* What a model makes of the rows it has seen. */
struct outcome {
    uint32_t (*counts)[EDC_SYMBOLS]; /* by context; of classes that occur, others are not set */
    uint16_t *used;                  /* scratch: the contexts of those classes */
    bool occurs[EDC_CLASSES];
    uint64_t plane_bytes, extra_bytes;
    bool few;                         /* counts are of one row a tile (of EDC_CONTEXT_TILE only), */
    uint16_t (*most)[EDC_TILE_LANES]; /* and these the largest literals of all, by context, lane */
};

/* Where symbols, contexts, planes and extra bits of a range go. symbols and contexts: 2 half_lanes
 * a row. contexts may be NULL for EDC_CONTEXT_TILE. */
struct output {
    uint8_t *symbols, *contexts;
    uint8_t *planes, *extra, *extra_end; /* moved on */
};

/* The class whose mean |residual| is nearest: round(3 log2 S) + 12. */
static uint8_t class_of(uint64_t sum, uint64_t count)
{
    if (sum == 0)
        return 0;
    /* S + 0.02: a tile of almost only zeros still has a class of its own */
    const int64_t log =
        (int64_t)edc_log2((uint32_t)(sum * 64 + count)) - (int64_t)edc_log2((uint32_t)(count * 64));
    const int64_t c = ((log * 3 + 32768) >> 16) + 12;
    return (uint8_t)(c < 0 ? 0 : c >= EDC_CLASSES ? EDC_CLASSES - 1 : c);
}

/* Adds the symbols of a tile's half: n lanes of 'rows' rows, 'step' apart. Four tables in turn, so
 * that equal symbols in a row do not wait for each other; add_up_counts makes them one. */
static void count_tile(const uint8_t *symbol, size_t n, uint32_t rows, size_t step,
                       uint32_t (*counts)[EDC_SYMBOLS])
{
    for (uint32_t y = 0; y < rows; y++, symbol += step) {
        size_t i = 0;
        for (; i + 8 <= n; i += 8) {
            uint64_t eight;
            memcpy(&eight, symbol + i, 8);
            for (int j = 0; j < 8; j++)
                counts[j % 4][eight >> (8 * j) & 0xFF]++;
        }
        for (; i < n; i++)
            counts[0][symbol[i]]++;
    }
}

/* The same of one row of the tile, at a fraction of the cost, and of what is rare in all of them:
 * the symbols that are no literals. */
static void count_few(const struct edc_kernels *k, const uint8_t *symbol, size_t n, uint32_t rows,
                      uint32_t row, size_t step, uint32_t (*counts)[EDC_SYMBOLS],
                      uint16_t most[EDC_TILE_LANES])
{
    uint32_t escapes[EDC_TILE_ROWS];
    k->survey(symbol, n, rows, step, escapes, most);
    count_tile(symbol + row * step, n, 1, step, counts);
    escapes[row] = 0;
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t bits = escapes[y]; bits; bits &= bits - 1)
            counts[0][symbol[y * step + (size_t)__builtin_ctz(bits)]]++;
}

/* The counts of EDC_CONTEXT_TILE: entries 4 c to 4 c + 3 become entry c. Of literals of a row of
 * each tile, as much for its other rows; and symbols that may be in them have occurred. */
static void add_up_counts(enum edc_context context, struct outcome *outcome)
{
    uint32_t(*const counts)[EDC_SYMBOLS] = outcome->counts;
    for (size_t c = 0; context == EDC_CONTEXT_TILE && c < edc_map_size(context); c++) {
        if (!outcome->occurs[c / 2])
            continue;
        int most = 0;
        for (int lane = 0; outcome->few && lane < EDC_TILE_LANES; lane++)
            most = most > outcome->most[c][lane] ? most : outcome->most[c][lane];
        for (int s = 0; s < EDC_SYMBOLS; s++) {
            const uint32_t n = counts[4 * c][s] + counts[4 * c + 1][s] + counts[4 * c + 2][s] +
                               counts[4 * c + 3][s];
            const bool all = !outcome->few || s >= EDC_LITERALS;
            counts[c][s] = all ? n : n ? EDC_TILE_ROWS * n : most >= s;
        }
    }
}

/* The first tile of a class clears its counts: of the 46 classes of a small frame few occur, and
 * clearing all would take as long as counting. */
static void meet_class(enum edc_context context, struct outcome *outcome, unsigned scale_class)
{
    const size_t first = edc_map(context, scale_class, 0), n = 2 * edc_map_step(context);
    const size_t each = context == EDC_CONTEXT_TILE ? 4 : 1;
    if (outcome->occurs[scale_class])
        return;
    outcome->occurs[scale_class] = true;
    memset(outcome->counts + each * first, 0, each * n * sizeof *outcome->counts);
    if (outcome->few)
        memset(outcome->most + first, 0, n * sizeof *outcome->most);
}

/* Sums of |residual| over a row of tiles: by lane while its rows come, then by tile. */
static void clear_sums(const struct analysis *a)
{
    for (int phase = 0; phase < 2; phase++)
        memset(a->lane_sums[phase], 0, a->lanes * sizeof *a->lane_sums[phase]);
}

static void add_sums(const struct analysis *a, size_t across)
{
    memset(a->sums, 0, across * sizeof *a->sums);
    for (int phase = 0; phase < 2; phase++)
        a->kernels->tile_sums(a->rows.half[phase], a->lane_sums[phase], a->sums);
}

/* Turns a range of rows into symbols with the model (its sets and kind; tables are not needed).
 * False: the extra bits do not fit, so the range is not worth coding. */
static bool analyse(struct analysis *a, const struct edc_model *m, const struct range *range,
                    struct outcome *outcome, struct output *out)
{
    const struct edc_kernels *const k = a->kernels;
    const struct edc_header *const h = a->header;
    struct edc_rows *const rows = &a->rows;
    const size_t lanes = a->lanes, across = edc_tiles_across(h->width);
    const bool local = m->context == EDC_CONTEXT_LOCAL, values = m->context == EDC_CONTEXT_VALUES;
    const uint8_t *const planes_before = out->planes, *const extra_before = out->extra;
    struct edc_bit_writer extra = {.p = out->extra};
    uint16_t *const active = a->active + EDC_PAD;
    struct edc_predictor predictor;
    edc_prepare_sets(m, &predictor);

    if (m->linear) {
        const uint16_t *row =
            edc_load_row(h, a->chunk, range->plane, range->first, range->offset, a->line);
        k->split(row, h->width, rows->pixels.row[0].half[0], rows->pixels.row[0].half[1]);
        for (size_t t = 0; t < across; t++) {
            const size_t at = t * EDC_TILE_LANES;
            const size_t n =
                rows->half[0] - at < EDC_TILE_LANES ? rows->half[0] - at : EDC_TILE_LANES;
            int64_t sum = 0; /* of signed distances from the first: right for both signs */
            const uint16_t *const pixel = rows->pixels.row[0].half[0] + at;
            for (size_t i = 0; i < n; i++)
                sum += (int16_t)(pixel[i] - pixel[0]);
            range->means[t] = (uint16_t)(pixel[0] + sum / (int64_t)n);
        }
        edc_virtual_rows(rows, range->means);
    }
    memset(a->active, 0, sizeof(uint16_t) * lanes * 4);
    for (uint32_t top = 0; top < range->rows; top += EDC_TILE_ROWS) {
        const uint32_t height =
            range->rows - top < EDC_TILE_ROWS ? range->rows - top : EDC_TILE_ROWS;
        uint8_t *const classes = range->classes + top / EDC_TILE_ROWS * across;
        if (m->linear)
            edc_choose_sets(m, rows, h->flags & EDC_FLAG_SIGNED, a->set);
        clear_sums(a);
        for (uint32_t y = 0; y < height; y++) {
            uint16_t *const *half = rows->pixels.row[0].half;
            const uint32_t at = range->first + top + y;
            const uint16_t *const pixels =
                edc_load_row(h, a->chunk, range->plane, at, range->offset, a->line);
            if (range->hash) /* while they are in the cache */
                k->hash_update(range->hash,
                               (const uint8_t *)a->chunk + ((size_t)range->plane * h->height + at) *
                                                               h->width * h->item_size,
                               (size_t)h->width * h->item_size);
            k->split(pixels, h->width, half[0], half[1]);
            for (int phase = 0; phase < 2; phase++) {
                const size_t n = rows->half[phase], place = (size_t)(2 * y) + (size_t)phase;
                const uint16_t *prediction = a->zero;
                const bool ahead = pixels != a->line && at + 1 < h->height;
                if (ahead)
                    edc_prefetch((const uint8_t *)(pixels + h->width), 2 * (size_t)h->width,
                                 2 * (unsigned)phase);
                edc_pad(half[phase], n, half[0][0]);
                if (m->linear) {
                    k->predict(&rows->pixels, phase, n, &predictor, a->set, a->prediction[phase],
                               local ? a->fraction + place * lanes : NULL);
                    prediction = a->prediction[phase];
                }
                if (ahead)
                    edc_prefetch((const uint8_t *)(pixels + h->width), 2 * (size_t)h->width,
                                 2 * (unsigned)phase + 1);
                k->residuals(n, half[phase], prediction, a->residual + place * lanes,
                             a->lane_sums[phase]);
                if (local || values) {
                    uint16_t *const row = active + (place + 4) * lanes;
                    k->activity(n, half[phase], prediction, m->fold, row);
                    edc_pad(row, n, 0);
                }
            }
            edc_advance(&rows->pixels, 4);
        }
        /* Classes: by the mean |residual| without the outliers. */
        memset(classes, 0, across);
        if (!values) {
            add_sums(a, across);
            for (size_t t = 0; t < across; t++) {
                const size_t left = h->width - t * EDC_TILE_WIDTH;
                const size_t count = (left < EDC_TILE_WIDTH ? left : EDC_TILE_WIDTH) * height;
                const uint64_t limit = (uint64_t)a->sums[t] * OUTLIER / count + 1;
                a->limits[t] = (uint16_t)(limit < EDC_CLAMP ? limit : EDC_CLAMP);
            }
            clear_sums(a);
            for (uint32_t y = 0; y < height; y++)
                for (int phase = 0; phase < 2; phase++)
                    k->clipped_sums(rows->half[phase],
                                    a->residual + ((size_t)(2 * y) + (size_t)phase) * lanes,
                                    a->limits, a->lane_sums[phase]);
            add_sums(a, across);
            for (size_t t = 0; t < across; t++) {
                const size_t left = h->width - t * EDC_TILE_WIDTH;
                const size_t count = (left < EDC_TILE_WIDTH ? left : EDC_TILE_WIDTH) * height;
                classes[t] = class_of(a->sums[t], count);
            }
        }
        for (size_t t = 0; t < across; t++) {
            a->low[t] = (uint8_t)edc_low_bits(classes[t]);
            meet_class(m->context, outcome, classes[t]);
        }
        for (uint32_t y = 0; y < height; y++)
            for (int phase = 0; phase < 2; phase++) {
                const size_t n = rows->half[phase], place = (size_t)(2 * y) + (size_t)phase;
                uint8_t *const symbols = out->symbols + ((size_t)(top * 2) + place) * a->half_lanes;
                uint8_t *const contexts =
                    out->contexts ? out->contexts + ((size_t)(top * 2) + place) * a->half_lanes
                                  : NULL;
                if ((size_t)(out->extra_end - extra.p) < 2 * n + 8)
                    return false;
                k->quantise(n, a->residual + place * lanes, m->fold, a->low, symbols, &out->planes,
                            &extra);
                if (local || values) {
                    struct edc_view view;
                    for (int d = 0; d < 3; d++)
                        for (int p = 0; p < 2; p++)
                            view.row[d].half[p] =
                                active +
                                ((size_t)(2 * y) + 4 + (size_t)p - (size_t)(2 * d)) * lanes;
                    if (local)
                        k->context_local(
                            &view, phase, n, (const int16_t(*)[EDC_LOCAL_LEVELS - 1]) a->thresholds,
                            classes, a->fraction + place * lanes, a->identities, contexts);
                    else
                        k->context_values(&view, phase, n, contexts);
                }
                for (size_t t = 0; (local || values) && t < rows->tiles[phase]; t++) {
                    const size_t at = t * EDC_TILE_LANES;
                    const size_t count = n - at < EDC_TILE_LANES ? n - at : EDC_TILE_LANES;
                    uint32_t(*const counts)[EDC_SYMBOLS] =
                        outcome->counts + edc_map(m->context, classes[t], phase);
                    for (size_t i = at; i < at + count; i++)
                        counts[contexts[i]][symbols[i]]++;
                }
            }
        for (int phase = 0; phase < 2 && !local && !values; phase++)
            for (size_t t = 0; t < rows->tiles[phase]; t++) {
                const size_t at = t * EDC_TILE_LANES, left = rows->half[phase] - at;
                const size_t n = left < EDC_TILE_LANES ? left : EDC_TILE_LANES;
                const size_t context = edc_map(m->context, classes[t], phase);
                const uint8_t *const symbols =
                    out->symbols + ((size_t)(top * 2) + (size_t)phase) * a->half_lanes + at;
                if (outcome->few)
                    count_few(k, symbols, n, height, (uint32_t)t % height, 2 * a->half_lanes,
                              outcome->counts + 4 * context, outcome->most[context]);
                else
                    count_tile(symbols, n, height, 2 * a->half_lanes,
                               outcome->counts + 4 * context);
            }
        if (local || values) /* the last two rows are those above the next */
            memmove(a->active, a->active + lanes * 2 * height, sizeof(uint16_t) * lanes * 4);
    }
    edc_flush_bits(&extra);
    out->extra = extra.p;
    outcome->plane_bytes += (uint64_t)(out->planes - planes_before);
    outcome->extra_bytes += (uint64_t)(out->extra - extra_before);
    return true;
}

/* --- the choice of a model ------------------------------------------------------------------- */

/* Everything a chunk's encoding needs, in one block of memory. */
struct encoding {
    const struct edc_kernels *kernels;
    struct edc_header header;
    const uint8_t *src;
    struct analysis analysis;
    struct edc_side side;
    struct outcome outcome;
    uint32_t *offsets;           /* by strip */
    bool *codable, *coded;       /* by strip: with any model, with this one */
    uint64_t *checksums;         /* by strip, of those that are coded, unless they are scattered */
    size_t *plane_at, *extra_at; /* by strip, and the ends */
    uint8_t *symbols, *contexts, *planes, *extra;
    size_t planes_size, extra_size;
    uint8_t *words; /* of one strip */
    size_t words_size;
    struct edc_encoder_table *encoder_tables;
};

/* Groups the contexts that occurred; as edc_cluster. */
static int share_tables(const struct outcome *outcome, enum edc_context context, bool refine,
                        uint8_t *map, struct edc_table *tables, uint64_t *bits)
{
    size_t used = 0;
    for (unsigned c = 0; c < EDC_CLASSES; c++)
        for (size_t i = 0; outcome->occurs[c] && i < 2 * edc_map_step(context); i++)
            outcome->used[used++] = (uint16_t)(edc_map(context, c, 0) + i);
    return edc_cluster(edc_map_size(context), outcome->used, used,
                       (const uint32_t(*)[EDC_SYMBOLS])outcome->counts, refine, map, tables, bits);
}

/* Estimated bits of the sampled rows with a model, times 65536; UINT64_MAX where it cannot. */
static uint64_t try_model(struct encoding *e, const struct edc_model *model, bool *failed)
{
    const struct edc_header *const h = &e->header;
    struct outcome outcome = {.counts = e->outcome.counts, .used = e->outcome.used};
    struct output out = {e->symbols, e->contexts, e->planes, e->extra, e->extra + e->extra_size};
    uint8_t map[sizeof model->map];
    uint64_t bits = UINT64_MAX;
    const uint64_t all_rows = (uint64_t)h->height * h->planes;
    const uint32_t per_plane = (h->height + h->strip_rows - 1) / h->strip_rows;
    uint64_t strips = (all_rows + SAMPLE_STRIP_ROWS - 1) / SAMPLE_STRIP_ROWS;
    if (strips > SAMPLE_STRIPS)
        strips = SAMPLE_STRIPS;
    uint64_t sampled = 0;
    for (uint64_t s = 0; s < strips; s++) {
        const uint64_t row = (2 * s + 1) * all_rows / (2 * strips);
        struct range range = {.plane = (uint32_t)(row / h->height),
                              .classes = e->side.classes,
                              .means = e->side.means};
        range.first = (uint32_t)(row % h->height) & ~(uint32_t)(EDC_TILE_ROWS - 1);
        range.rows = h->height - range.first;
        if (range.rows > SAMPLE_STRIP_ROWS)
            range.rows = SAMPLE_STRIP_ROWS;
        range.offset = e->offsets[range.plane * per_plane + range.first / h->strip_rows];
        out.symbols = e->symbols;
        out.contexts = e->contexts;
        out.planes = e->planes;
        out.extra = e->extra;
        if (!analyse(&e->analysis, model, &range, &outcome, &out))
            return UINT64_MAX;
        sampled += range.rows;
    }
    add_up_counts(model->context, &outcome);
    /* As if the whole chunk were like the sample: what tables cost weighs as much as it will. */
    const uint32_t scale = (uint32_t)(all_rows / (sampled ? sampled : 1));
    enum { HALF_A_NAT = 47274 }; /* 65536 / (2 ln 2) */
    for (size_t c = 0; c < edc_map_size(model->context); c++)
        for (int s = 0; outcome.occurs[c / (2 * edc_map_step(model->context))] && s < EDC_SYMBOLS;
             s++)
            outcome.counts[c][s] *= scale;
    struct edc_table *const tables = e->side.model.tables;
    const int count = share_tables(&outcome, model->context, model->context == EDC_CONTEXT_VALUES,
                                   map, tables, &bits);
    if (count < 0) {
        *failed = true;
        return UINT64_MAX;
    }
    /* Tables suit the sample better than the rest of the chunk: of each symbol's frequency that is
     * free to suit it, by half a nat of the sample (Akaike 1974). */
    uint64_t free_frequencies = 0;
    for (int t = 0; t < count; t++)
        for (int s = 1; s < EDC_SYMBOLS; s++)
            free_frequencies += tables[t].frequency[s] != 0;
    bits += free_frequencies * HALF_A_NAT * (scale - 1);
    return bits + ((outcome.plane_bytes + outcome.extra_bytes) * 8 * scale << 16);
}

/* Of the sampled pixels, those that are zero, in percent. */
static unsigned zero_percent(const struct encoding *e)
{
    const struct edc_header *const h = &e->header;
    const uint64_t all_rows = (uint64_t)h->height * h->planes;
    const uint64_t rows = all_rows < 32 ? all_rows : 32;
    uint64_t zeros = 0;
    for (uint64_t i = 0; i < rows; i++) {
        const uint64_t row = (2 * i + 1) * all_rows / (2 * rows);
        const uint16_t *const pixel =
            edc_load_row(h, e->src, (uint32_t)(row / h->height), (uint32_t)(row % h->height), 0,
                         e->analysis.line);
        for (uint32_t x = 0; x < h->width; x++)
            zeros += pixel[x] == 0;
    }
    return (unsigned)(zeros * 100 / (rows * h->width));
}

static bool is_large(const struct edc_header *h)
{
    return (uint64_t)h->width * h->height * h->planes >= LARGE_PIXELS;
}

/* Models that are worth a real try, by their estimates the better one first. */
struct choice {
    struct edc_model model[2];
    int count;
};

/* Estimates are of a sample and tell two models of a small image apart no better than by a percent:
 * then both are tried, so that more effort is never larger. */
static bool tries_both(const struct edc_header *h, enum emd_edc_effort effort)
{
    return effort >= EMD_EDC_BEST || (effort >= EMD_EDC_DEFAULT &&
                                      (uint64_t)h->width * h->height * h->planes <= SMALL_PIXELS);
}

static enum emd_status choose_models(struct encoding *e, enum emd_edc_effort effort,
                                     struct choice *choice, struct emd_error *err)
{
    struct edc_model *const best = &choice->model[0], *const candidate = &choice->model[1];
    const bool is_signed = e->header.flags & EDC_FLAG_SIGNED;
    bool failed = false;
    memset(choice, 0, sizeof *choice);
    choice->count = 1;
    best->linear = true;
    best->context = EDC_CONTEXT_TILE;
    if (!edc_fit(e->kernels, &e->header, e->src, e->offsets, best))
        return emd_fail(err, EMD_E_MEMORY, "edc: out of memory");
    const struct edc_model linear = *best;
    const unsigned zeros = zero_percent(e);
    const bool counting = zeros >= COUNTING_PERCENT;
    if (effort < EMD_EDC_DEFAULT && !counting)
        return EMD_OK;
    /* Few pixels are coded fast whatever the effort; many zeros: counting detectors. */
    uint64_t cost = try_model(e, best, &failed);
    static const enum edc_context unpredicted[] = {EDC_CONTEXT_TILE, EDC_CONTEXT_VALUES};
    for (int i = 0; i < 2 && counting && !failed; i++) {
        *candidate = linear;
        candidate->linear = false;
        candidate->context = unpredicted[i];
        candidate->fold = !is_signed;
        const uint64_t bits = try_model(e, candidate, &failed);
        if (bits < cost) {
            cost = bits;
            *best = *candidate;
        }
    }
    if (effort >= EMD_EDC_DEFAULT && best->linear && !failed) {
        *candidate = linear;
        candidate->context = EDC_CONTEXT_LOCAL;
        const uint64_t bits = try_model(e, candidate, &failed);
        /* They take twice the time: they must be worth it, the more so where it counts. */
        const bool wins = bits < cost - cost / (is_large(&e->header) ? 80 : 100);
        if (tries_both(&e->header, effort) && (wins || effort >= EMD_EDC_BEST))
            choice->count = 2;
        else if (wins)
            *best = *candidate;
    }
    return failed ? emd_fail(err, EMD_E_MEMORY, "edc: out of memory") : EMD_OK;
}

/* --- strips ---------------------------------------------------------------------------------- */

/* 32-bit pixels: the least of the strip's, so that all others are less than 2^16 above it; taken
 * as signed or unsigned, whichever serves. False if neither does. */
static bool find_offset(const struct edc_header *h, const uint8_t *src,
                        const struct edc_strip *strip, uint32_t *offset)
{
    const bool big = h->flags & EDC_FLAG_BIG_ENDIAN;
    const size_t step = edc_is_scattered(h) ? (size_t)h->planes * 4 : 4;
    const uint8_t *p = src + strip->offset;
    uint32_t least = UINT32_MAX, most = 0;
    int32_t signed_least = INT32_MAX, signed_most = INT32_MIN;
    for (size_t i = 0; i < (size_t)strip->rows * h->width; i++, p += step) {
        const uint32_t v =
            big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                : edc_get32(p);
        least = v < least ? v : least;
        most = v > most ? v : most;
        signed_least = (int32_t)v < signed_least ? (int32_t)v : signed_least;
        signed_most = (int32_t)v > signed_most ? (int32_t)v : signed_most;
    }
    if (most - least <= UINT16_MAX)
        *offset = most <= UINT16_MAX ? 0 : least;
    else if ((int64_t)signed_most - signed_least <= UINT16_MAX)
        *offset = (uint32_t)signed_least;
    else
        return false;
    return true;
}

/* Writes a coded strip to dst; 0 if it does not fit into 'capacity'. */
static size_t code_strip(struct encoding *e, uint32_t s, uint8_t *dst, size_t capacity)
{
    const struct edc_header *const h = &e->header;
    const struct edc_model *const m = &e->side.model;
    const struct edc_strip strip = edc_strip_at(h, s);
    struct analysis *const a = &e->analysis;
    const size_t across = edc_tiles_across(h->width), half = a->half_lanes;
    const size_t row_at = (size_t)strip.plane * h->height + strip.first;
    const uint8_t *const symbols = e->symbols + row_at * 2 * half;
    const uint8_t *const contexts = e->contexts + row_at * 2 * half;
    const uint8_t *const classes = e->side.classes + edc_tile_start(h, s);
    uint8_t *const table = a->fraction; /* free by now */
    uint8_t *const words_end = e->words + e->words_size;
    struct edc_writer writer = {
        .p = words_end, .tables = e->encoder_tables, .by_tile = m->context == EDC_CONTEXT_TILE};
    for (int i = 0; i < EDC_RANS_LANES; i++)
        writer.state[i] = EDC_RANS_LOW;
    for (uint32_t y = strip.rows; y-- > 0;) {
        const uint8_t *const row_classes = classes + y / EDC_TILE_ROWS * across;
        for (int phase = 1; phase >= 0; phase--) {
            const size_t n = a->rows.half[phase], at = ((size_t)(2 * y) + (size_t)phase) * half;
            uint8_t *const row_table = table + (size_t)phase * a->lanes;
            if (m->context != EDC_CONTEXT_TILE) {
                for (size_t t = 0; t < a->rows.tiles[phase]; t++) {
                    const uint8_t *const map = m->map + edc_map(m->context, row_classes[t], phase);
                    const size_t end = (t + 1) * EDC_TILE_LANES < n ? (t + 1) * EDC_TILE_LANES : n;
                    for (size_t i = t * EDC_TILE_LANES; i < end; i++)
                        row_table[i] = map[contexts[at + i]];
                }
            } else if (y % EDC_TILE_ROWS == EDC_TILE_ROWS - 1 || y == strip.rows - 1) {
                for (size_t t = 0; t < a->rows.tiles[phase]; t++)
                    memset(row_table + t * EDC_TILE_LANES,
                           m->map[edc_map(m->context, row_classes[t], phase)], EDC_TILE_LANES);
            }
            e->kernels->encode(&writer, n, row_table, symbols + at);
        }
    }
    const size_t words = (size_t)(words_end - writer.p);
    const size_t planes = e->plane_at[s + 1] - e->plane_at[s];
    const size_t extra = e->extra_at[s + 1] - e->extra_at[s];
    const size_t offset_bytes = h->item_size == 4 ? 4 : 0;
    const size_t size = offset_bytes + 8 + (size_t)EDC_RANS_LANES * 4 + words + planes + extra;
    if (size > capacity)
        return 0;
    if (offset_bytes)
        edc_put32(dst, e->offsets[s]);
    dst += offset_bytes;
    edc_put32(dst, (uint32_t)words);
    edc_put32(dst + 4, (uint32_t)planes);
    dst += 8;
    for (int i = 0; i < EDC_RANS_LANES; i++, dst += 4)
        edc_put32(dst, writer.state[i]);
    memcpy(dst, writer.p, words);
    memcpy(dst + words, e->planes + e->plane_at[s], planes);
    memcpy(dst + words + planes, e->extra + e->extra_at[s], extra);
    return size;
}

size_t emd_edc_bound(size_t n)
{
    /* plan_strips sees to it that the table of strips is no longer */
    return n > SIZE_MAX / 4 ? 0 : n + EDC_HEADER_BYTES + EDC_STRIP_ENTRY_BYTES + n / 1024;
}

static void plan_strips(const struct emd_edc_params *p, size_t n, struct edc_header *h)
{
    uint64_t bytes = 0;
    memset(h, 0, sizeof *h);
    h->raw_bytes = n;
    const uint64_t plane = (uint64_t)p->width * p->height;
    if (p->is_integer && (p->item_size == 1 || p->item_size == 2 || p->item_size == 4) && plane &&
        p->width >= WIDTH_MIN && plane <= INT32_MAX && p->planes && n >= IMAGE_BYTES_MIN &&
        !__builtin_mul_overflow(plane * p->item_size, (uint64_t)p->planes, &bytes) && bytes == n &&
        plane * p->planes <= INT32_MAX) {
        h->item_size = p->item_size;
        h->flags = (p->is_signed ? EDC_FLAG_SIGNED : 0u) |
                   (p->big_endian && p->item_size > 1 ? EDC_FLAG_BIG_ENDIAN : 0u) |
                   (p->interleaved && p->planes > 1 ? EDC_FLAG_INTERLEAVED : 0u);
        h->width = p->width;
        h->height = p->height;
        h->planes = p->planes;
        if (!(h->flags & EDC_FLAG_INTERLEAVED) && p->planes > 1 && plane < SMALL_PLANE &&
            plane * p->planes <= INT32_MAX) { /* one under the other */
            h->height *= h->planes;
            h->planes = 1;
        }
        const uint64_t rows = (STRIP_PIXELS + p->width - 1) / p->width;
        const uint64_t all = ((uint64_t)h->height + EDC_TILE_ROWS - 1) / EDC_TILE_ROWS;
        uint64_t tiles = (rows + EDC_TILE_ROWS - 1) / EDC_TILE_ROWS;
        if (tiles > all)
            tiles = all;
        h->strip_rows = (uint32_t)(tiles * EDC_TILE_ROWS);
        h->strips = edc_strips_of(h);
        /* Many small planes: the table of strips must stay within what raw data may grow by. */
        if (h->strips &&
            (uint64_t)h->strips * EDC_STRIP_ENTRY_BYTES <= EDC_STRIP_ENTRY_BYTES + n / 1024 &&
            edc_strip_at(h, 0).bytes < 1u << 29)
            return;
        memset(h, 0, sizeof *h);
        h->raw_bytes = n;
    }
    h->flags = EDC_FLAG_BYTES;
    h->width = p->item_size ? p->item_size : 1;
    h->strip_rows = BYTES_STRIP / h->width * h->width;
    if (h->strip_rows == 0)
        h->strip_rows = BYTES_STRIP;
    h->strips = edc_strips_of(h);
}

/* Lays out the memory of an image's encoding from 'base' (NULL: only counts). */
static size_t lay_out_encoding(uint8_t *base, struct encoding *e)
{
    const struct edc_header *const h = &e->header;
    size_t at = lay_out(base, h->width, &e->analysis);
    const size_t rows = (size_t)h->height * h->planes, half = e->analysis.half_lanes;
    const size_t tiles = edc_tiles_across(h->width), tile_rows = rows + EDC_TILE_ROWS;
    const size_t strip_pixels = (size_t)edc_strip_at(h, 0).rows * h->width;
    e->offsets = edc_take(base, &at, (size_t)h->strips, sizeof(uint32_t));
    e->codable = edc_take(base, &at, (size_t)h->strips, sizeof(bool));
    e->coded = edc_take(base, &at, (size_t)h->strips, sizeof(bool));
    e->checksums = edc_take(base, &at, (size_t)h->strips, sizeof(uint64_t));
    e->plane_at = edc_take(base, &at, (size_t)h->strips + 1, sizeof(size_t));
    e->extra_at = edc_take(base, &at, (size_t)h->strips + 1, sizeof(size_t));
    e->side.classes = edc_take(base, &at, edc_tiles_total(h) + tiles * 2, sizeof(uint8_t));
    e->side.means = edc_take(base, &at, (size_t)h->strips * tiles, sizeof(uint16_t));
    e->outcome.counts = edc_take(base, &at, (size_t)EDC_CLASSES * 2 * EDC_LOCAL_CONTEXTS,
                                 sizeof *e->outcome.counts);
    e->outcome.used = edc_take(base, &at, edc_map_size(EDC_CONTEXT_LOCAL), sizeof *e->outcome.used);
    e->outcome.most = edc_take(base, &at, edc_map_size(EDC_CONTEXT_TILE), sizeof *e->outcome.most);
    e->encoder_tables = edc_take(base, &at, EDC_TABLES_MAX, sizeof *e->encoder_tables);
    e->symbols = edc_take(base, &at, rows * 2 * half + 64, sizeof(uint8_t));
    e->contexts = edc_take(base, &at, rows * 2 * half + 64, sizeof(uint8_t));
    /* ten planes at most; extra bits of half the pixels at most, else the frame is noise */
    e->planes_size = tile_rows * tiles * 2 * 10 * 4;
    e->planes = edc_take(base, &at, e->planes_size, sizeof(uint8_t));
    e->extra_size = rows * h->width + (size_t)h->width * 4 + 4096;
    e->extra = edc_take(base, &at, e->extra_size, sizeof(uint8_t));
    e->words_size = strip_pixels * 2 + 256;
    uint8_t *const words = edc_take(base, &at, e->words_size + 64, 1);
    e->words = words ? words + 64 : NULL;
    return at;
}

/* Zeroed rows, which come first, and the constants of the analysis. */
static void set_up_analysis(struct encoding *e, uint8_t *base)
{
    struct analysis *const a = &e->analysis;
    edc_clear(base, lay_out(NULL, e->header.width, a));
    lay_out(base, e->header.width, a);
    a->kernels = e->kernels;
    a->header = &e->header;
    a->chunk = e->src;
    edc_local_thresholds(a->thresholds);
    for (int i = 0; i < EDC_LOCAL_CONTEXTS; i++)
        a->identity[i] = (uint8_t)i;
    for (size_t t = 0; t < edc_tiles_across(e->header.width); t++)
        a->identities[t] = a->identity;
}

/* Where the pixels of each strip count from; strips that cannot be coded. */
static void find_offsets(struct encoding *e)
{
    const struct edc_header *const h = &e->header;
    for (uint32_t s = 0; s < h->strips; s++) {
        const struct edc_strip strip = edc_strip_at(h, s);
        e->offsets[s] = 0;
        e->codable[s] = h->item_size < 4 || find_offset(h, e->src, &strip, &e->offsets[s]);
    }
}

/* Analyses the whole image with a model; then strips that are 'coded' have symbols, classes and
 * counts, and e->side.model has tables. */
static enum emd_status build_model(struct encoding *e, const struct edc_model *model,
                                   enum emd_edc_effort effort, struct emd_error *err)
{
    struct edc_header *const h = &e->header;
    struct edc_model *const m = &e->side.model;
    struct output out = {NULL, NULL, e->planes, e->extra, e->extra + e->extra_size};
    struct edc_hash hash;
    *m = *model;
    memcpy(e->coded, e->codable, h->strips * sizeof *e->coded);
    memset(e->outcome.occurs, 0, sizeof e->outcome.occurs);
    e->outcome.few = m->context == EDC_CONTEXT_TILE && is_large(h) && effort < EMD_EDC_BEST;
    for (uint32_t s = 0; s < h->strips; s++) {
        e->plane_at[s] = (size_t)(out.planes - e->planes);
        e->extra_at[s] = (size_t)(out.extra - e->extra);
        if (!e->coded[s])
            continue;
        const struct edc_strip strip = edc_strip_at(h, s);
        const size_t row_at = (size_t)strip.plane * h->height + strip.first;
        const struct range range = {strip.plane,
                                    strip.first,
                                    strip.rows,
                                    e->offsets[s],
                                    e->side.classes + edc_tile_start(h, s),
                                    e->side.means + (size_t)s * edc_tiles_across(h->width),
                                    edc_is_scattered(h) ? NULL : &hash};
        e->kernels->hash_start(&hash);
        out.symbols = e->symbols + row_at * 2 * e->analysis.half_lanes;
        out.contexts = e->contexts + row_at * 2 * e->analysis.half_lanes;

        if (!analyse(&e->analysis, m, &range, &e->outcome, &out))
            e->coded[s] = false; /* its counts stay: they only make the tables a little worse */
        e->checksums[s] = e->kernels->hash_end(&hash);
    }
    e->plane_at[h->strips] = (size_t)(out.planes - e->planes);
    e->extra_at[h->strips] = (size_t)(out.extra - e->extra);
    uint64_t bits;
    add_up_counts(m->context, &e->outcome);
    const int tables = share_tables(&e->outcome, m->context, m->context != EDC_CONTEXT_TILE, m->map,
                                    m->tables, &bits);
    if (tables < 0)
        return emd_fail(err, EMD_E_MEMORY, "edc: out of memory");
    m->table_count = (unsigned)tables;
    for (int t = 0; t < tables; t++)
        edc_build_encoder(&m->tables[t], &e->encoder_tables[t]);
    return EMD_OK;
}

/* Buffers for one strip: as it is, shuffled, compressed. */
struct trial {
    uint8_t *plain, *shuffled, *packed;
    size_t packed_size;
};

/* Shuffle and zstd of n bytes into trial->packed; 0 if that does not get below 'limit'. */
static size_t zstd_strip(struct emd_edc_work *work, size_t item, const uint8_t *bytes, size_t n,
                         const struct trial *trial, size_t limit)
{
    if (!work->cctx)
        work->cctx = ZSTD_createCCtx();
    if (!work->cctx)
        return 0;
    emd_shuffle(item, bytes, trial->shuffled, n);
    ZSTD_CCtx_reset(work->cctx, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(work->cctx, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    const size_t size = ZSTD_compress2(work->cctx, trial->packed, limit, trial->shuffled, n);
    return ZSTD_isError(size) || size >= limit ? 0 : size;
}

/* Whether zstd may beat 'coded' bytes for the strip's n: a look at a piece of it. */
static bool zstd_may_win(struct emd_edc_work *work, size_t item, const uint8_t *bytes, size_t n,
                         size_t coded, const struct trial *trial)
{
    enum { PIECE = 1 << 14 };
    if (n < 4 * PIECE)
        return true;
    const size_t at = n / 2 / (item * 2) * (item * 2);
    size_t limit = (size_t)((uint64_t)coded * PIECE / n) * 5 / 4 + 64;
    if (limit > trial->packed_size)
        limit = trial->packed_size;
    return zstd_strip(work, item, bytes + at, PIECE, trial, limit) != 0;
}

/* Writes one strip in the shortest way; EMD_E_BUDGET if none fits. */
static enum emd_status put_strip(struct encoding *e, struct emd_edc_work *work,
                                 enum emd_edc_effort effort, const struct trial *trial, uint32_t s,
                                 uint8_t *dst, size_t capacity, uint8_t *entry, size_t *out,
                                 bool *coded)
{
    const struct edc_header *const h = &e->header;
    const struct edc_strip strip = edc_strip_at(h, s);
    const size_t item = h->flags & EDC_FLAG_BYTES ? h->width : h->item_size, n = strip.bytes;
    const uint8_t *raw = e->src + strip.offset;
    enum edc_strip_mode mode = EDC_STRIP_RAW;
    size_t size = n;
    if (edc_is_scattered(h)) {
        edc_gather(h, &strip, e->src, trial->plain);
        raw = trial->plain;
    }
    if (h->model_bytes && e->coded[s]) {
        const size_t c = code_strip(e, s, dst, capacity);
        if (c && c < size) {
            size = c;
            mode = EDC_STRIP_CODED;
        }
    }
    /* zstd wins on what repeats itself: looked for where little or much was left. */
    if ((size < n / 16 || size > n / 16 * 13 || effort >= EMD_EDC_BEST) &&
        zstd_may_win(work, item, raw, n, size, trial)) {
        const size_t limit = size < trial->packed_size ? size : trial->packed_size;
        const size_t z = zstd_strip(work, item, raw, n, trial, limit);
        if (z && z <= capacity) {
            memcpy(dst, trial->packed, z);
            size = z;
            mode = EDC_STRIP_ZSTD;
        }
    }
    if (mode == EDC_STRIP_RAW) {
        if (n > capacity)
            return EMD_E_BUDGET;
        memcpy(dst, raw, n);
    }
    edc_put32(entry, (uint32_t)size | (uint32_t)mode << 30);
    edc_put64(entry + 4, h->item_size && e->coded[s] && !edc_is_scattered(h)
                             ? e->checksums[s]
                             : e->kernels->checksum(raw, n));
    *out = size;
    *coded |= mode == EDC_STRIP_CODED;
    return EMD_OK;
}

/* Writes the stream, with a model where there is one; EMD_E_BUDGET if it does not fit. */
static enum emd_status put_stream(struct encoding *e, struct emd_edc_work *work,
                                  enum emd_edc_effort effort, const struct trial *trial,
                                  bool with_model, uint8_t *dst, size_t capacity, size_t *out)
{
    struct edc_header *const h = &e->header;
    const size_t model_at = EDC_HEADER_BYTES + (size_t)h->strips * EDC_STRIP_ENTRY_BYTES;
    size_t at = model_at;
    bool coded = false;
    if (at > capacity)
        return EMD_E_BUDGET;
    h->model_bytes = 0;
    h->flags &= ~(unsigned)EDC_FLAG_MODEL;
    if (with_model) {
        h->model_bytes = (uint32_t)edc_put_side(h, &e->side, e->coded, dst + at, capacity - at);
        if (h->model_bytes == 0)
            return EMD_E_BUDGET;
        h->flags |= EDC_FLAG_MODEL;
        at += h->model_bytes;
    }
    for (uint32_t s = 0; s < h->strips; s++) {
        size_t size;
        uint8_t *const entry = dst + EDC_HEADER_BYTES + (size_t)s * EDC_STRIP_ENTRY_BYTES;
        const enum emd_status status =
            put_strip(e, work, effort, trial, s, dst + at, capacity - at, entry, &size, &coded);
        if (status != EMD_OK)
            return status;
        at += size;
    }
    if (with_model && !coded) { /* it was for nothing */
        memmove(dst + model_at, dst + model_at + h->model_bytes, at - model_at - h->model_bytes);
        at -= h->model_bytes;
        h->model_bytes = 0;
        h->flags &= ~(unsigned)EDC_FLAG_MODEL;
    }
    edc_put_header(dst, h);
    *out = at;
    return EMD_OK;
}

enum emd_status emd_edc_encode(const struct emd_edc_params *p, struct emd_edc_work *work,
                               const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                               struct emd_error *err)
{
    return edc_encode_with(edc_kernels(), p, work, src, n, dst, capacity, out, err);
}

enum emd_status edc_encode_with(const struct edc_kernels *kernels, const struct emd_edc_params *p,
                                struct emd_edc_work *work, const void *src, size_t n, void *dst,
                                size_t capacity, size_t *out, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_edc_work *mine = NULL;
    struct encoding e = {.kernels = kernels, .src = src};
    struct edc_header *const h = &e.header;
    const size_t bound = emd_edc_bound(n);
    if (bound == 0)
        return emd_fail(err, EMD_E_ARGUMENT, "edc: %zu bytes are too many", n);
    if (!work)
        work = mine = emd_edc_work_new();
    plan_strips(p, n, h);
    const bool image = !(h->flags & EDC_FLAG_BYTES);
    const size_t strip_bytes = h->strips ? edc_strip_at(h, 0).bytes : 0;
    const size_t image_bytes = image ? lay_out_encoding(NULL, &e) : 0;
    struct trial trial = {.packed_size = ZSTD_compressBound(strip_bytes)};
    const size_t spare_bytes = image && tries_both(h, p->effort) ? bound : 0;
    uint8_t *const base =
        work ? edc_scratch(work, image_bytes + strip_bytes * 2 + trial.packed_size + spare_bytes)
             : NULL;
    if (!base) {
        status = emd_fail(err, EMD_E_MEMORY, "edc: out of memory");
        goto out;
    }
    trial.plain = base + image_bytes;
    trial.shuffled = trial.plain + strip_bytes;
    trial.packed = trial.shuffled + strip_bytes;
    uint8_t *const spare = trial.packed + trial.packed_size;
    struct choice choice = {.count = 0};
    if (image) {
        lay_out_encoding(base, &e);
        set_up_analysis(&e, base);
        find_offsets(&e);
        status = choose_models(&e, p->effort, &choice, err);
        if (status != EMD_OK)
            goto out;
    }
    status = EMD_E_BUDGET;
    size_t room = capacity < bound ? capacity : bound;
    for (int i = 0; i < choice.count; i++) {
        const enum emd_status built = build_model(&e, &choice.model[i], p->effort, err);
        if (built != EMD_OK) {
            status = built;
            goto out;
        }
        if (!e.side.model.table_count)
            continue; /* no strip is coded */
        if (put_stream(&e, work, p->effort, &trial, true, i ? spare : dst, room, out) == EMD_OK) {
            status = EMD_OK;
            if (i)
                memcpy(dst, spare, *out);
            room = *out - 1; /* the next one must be smaller */
        }
    }
    if (status == EMD_E_BUDGET)
        status = put_stream(&e, work, p->effort, &trial, false, dst, room, out);
    if (status != EMD_OK)
        emd_fail(err, status, "edc: the result exceeds %zu bytes", capacity);
out:
    emd_edc_work_free(mine);
    return status;
}

size_t emd_edc_work_bytes(const struct emd_edc_params *p, size_t n, unsigned threads)
{
    struct encoding e = {0};
    plan_strips(p, n, &e.header);
    const bool image = !(e.header.flags & EDC_FLAG_BYTES);
    const size_t strip = e.header.strips ? edc_strip_at(&e.header, 0).bytes : 0;
    const size_t spare = image && tries_both(&e.header, p->effort) ? emd_edc_bound(n) : 0;
    const size_t encode =
        (image ? lay_out_encoding(NULL, &e) : 0) + 3 * strip + (strip >> 7) + spare;
    if (image)
        e.header.flags |= EDC_FLAG_MODEL;
    const size_t decode = edc_decode_bytes(&e.header, threads);
    const size_t most = encode > decode ? encode : decode;
    return most + ((size_t)2 << 20); /* zstd's contexts at level 1, clusters of contexts */
}
