/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "codec/edc/edcstream.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"

static const uint8_t magic[4] = {'E', 'D', 'C', 0x1A};

const struct edc_kernels *edc_kernels_of(enum emd_simd level)
{
    if (!emd_simd_available(level))
        return NULL;
    switch (level) {
    case EMD_SIMD_SCALAR:
        return &edc_kernels_scalar;
#if defined(__x86_64__)
    case EMD_SIMD_AVX2:
        return &edc_kernels_avx2;
    case EMD_SIMD_AVX512:
        return &edc_kernels_avx512;
    case EMD_SIMD_AVX512VBMI:
        return &edc_kernels_avx512vbmi;
#elif defined(__aarch64__)
    case EMD_SIMD_NEON:
        return &edc_kernels_neon;
#endif
    default:
        return NULL;
    }
}

const struct edc_kernels *edc_kernels(void)
{
    const struct edc_kernels *const own = edc_kernels_of(emd_simd_level());
    return own ? own : &edc_kernels_scalar;
}

void edc_put_header(uint8_t *out, const struct edc_header *h)
{
    memcpy(out, magic, 4);
    out[4] = EDC_VERSION;
    out[5] = (uint8_t)h->item_size;
    out[6] = (uint8_t)h->flags;
    out[7] = 0;
    edc_put32(out + 8, h->width);
    edc_put32(out + 12, h->height);
    edc_put32(out + 16, h->planes);
    edc_put32(out + 20, h->strip_rows);
    edc_put64(out + 24, h->raw_bytes);
    edc_put32(out + 32, h->model_bytes);
    edc_put32(out + 36, h->strips);
}

uint32_t edc_strips_of(const struct edc_header *h)
{
    if (h->strip_rows == 0)
        return 0;
    uint64_t strips;
    if (h->flags & EDC_FLAG_BYTES)
        strips = h->raw_bytes / h->strip_rows + (h->raw_bytes % h->strip_rows != 0);
    else
        strips = (((uint64_t)h->height + h->strip_rows - 1) / h->strip_rows) * h->planes;
    return strips <= UINT32_MAX ? (uint32_t)strips : 0;
}

enum emd_status edc_get_header(const void *in, size_t n, struct edc_header *h,
                               struct emd_error *err)
{
    const uint8_t *const p = in;
    if (n < EDC_HEADER_BYTES || memcmp(p, magic, 4) != 0)
        return emd_fail(err, EMD_E_CORRUPT, "edc: %zu bytes do not begin with a header", n);
    if (p[4] != EDC_VERSION)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "edc: the data has format version %u, this decoder knows %d", p[4],
                        EDC_VERSION);
    h->item_size = p[5];
    h->flags = p[6];
    h->width = edc_get32(p + 8);
    h->height = edc_get32(p + 12);
    h->planes = edc_get32(p + 16);
    h->strip_rows = edc_get32(p + 20);
    h->raw_bytes = edc_get64(p + 24);
    h->model_bytes = edc_get32(p + 32);
    h->strips = edc_get32(p + 36);
    if (p[7] != 0 || h->flags > 31)
        return emd_fail(err, EMD_E_CORRUPT, "edc: unknown flags in the header");
    if (h->flags & EDC_FLAG_BYTES) {
        if (h->flags != EDC_FLAG_BYTES || h->width == 0 || h->height || h->planes || h->item_size ||
            h->model_bytes)
            return emd_fail(err, EMD_E_CORRUPT, "edc: inconsistent header");
    } else {
        /* The product of three 32-bit numbers and 4 may not fit 64 bits. */
        const uint64_t plane = (uint64_t)h->width * h->height;
        uint64_t bytes;
        if ((h->item_size != 1 && h->item_size != 2 && h->item_size != 4) || plane == 0 ||
            plane > INT32_MAX || h->planes == 0 || h->strip_rows % EDC_TILE_ROWS != 0 ||
            h->strip_rows > INT32_MAX /* sums with the height fit 32 bits */ ||
            __builtin_mul_overflow(plane * h->item_size, (uint64_t)h->planes, &bytes) ||
            bytes != h->raw_bytes || (h->flags & EDC_FLAG_MODEL) != (h->model_bytes ? 16 : 0))
            return emd_fail(err, EMD_E_CORRUPT, "edc: inconsistent header");
    }
    if (h->raw_bytes > SIZE_MAX / 4 || h->strip_rows == 0 || h->strips != edc_strips_of(h) ||
        (h->strips == 0 && h->raw_bytes))
        return emd_fail(err, EMD_E_CORRUPT, "edc: inconsistent header");
    const size_t left = n - EDC_HEADER_BYTES;
    if (h->model_bytes > left || h->strips > (left - h->model_bytes) / EDC_STRIP_ENTRY_BYTES)
        return emd_fail(err, EMD_E_CORRUPT, "edc: %zu bytes are too few for %u strips", n,
                        h->strips);
    return EMD_OK;
}

struct edc_strip edc_strip_at(const struct edc_header *h, uint32_t s)
{
    struct edc_strip strip = {0};
    if (h->flags & EDC_FLAG_BYTES) {
        strip.offset = (size_t)s * h->strip_rows;
        strip.bytes = (size_t)h->raw_bytes - strip.offset;
        if (strip.bytes > h->strip_rows)
            strip.bytes = h->strip_rows;
        return strip;
    }
    const uint32_t per_plane = (h->height + h->strip_rows - 1) / h->strip_rows;
    strip.plane = s / per_plane;
    strip.first = s % per_plane * h->strip_rows;
    strip.rows = h->height - strip.first;
    if (strip.rows > h->strip_rows)
        strip.rows = h->strip_rows;
    strip.bytes = (size_t)strip.rows * h->width * h->item_size;
    if (edc_is_scattered(h))
        strip.offset = ((size_t)strip.first * h->width * h->planes + strip.plane) * h->item_size;
    else
        strip.offset = ((size_t)strip.plane * h->height + strip.first) * h->width * h->item_size;
    return strip;
}

void edc_gather(const struct edc_header *h, const struct edc_strip *strip, const uint8_t *chunk,
                uint8_t *bytes)
{
    const uint8_t *p = chunk + strip->offset;
    const size_t step = (size_t)h->planes * h->item_size;
    for (size_t i = 0; i < strip->bytes; i += h->item_size, p += step)
        memcpy(bytes + i, p, h->item_size);
}

void edc_scatter(const struct edc_header *h, const struct edc_strip *strip, const uint8_t *bytes,
                 uint8_t *chunk)
{
    uint8_t *p = chunk + strip->offset;
    const size_t step = (size_t)h->planes * h->item_size;
    for (size_t i = 0; i < strip->bytes; i += h->item_size, p += step)
        memcpy(p, bytes + i, h->item_size);
}

/* --- side information ------------------------------------------------------------------------ */

struct side_models {
    struct edc_number_model classes[3], means, coefs, levels, map[2];
    struct edc_table_models tables;
    edc_bit_model described;
};

static void init_models(struct side_models *m)
{
    for (int i = 0; i < 3; i++)
        edc_number_init(&m->classes[i]);
    edc_number_init(&m->means);
    edc_number_init(&m->coefs);
    edc_number_init(&m->levels);
    for (int i = 0; i < 2; i++)
        edc_number_init(&m->map[i]);
    edc_table_models_init(&m->tables);
    m->described = EDC_BIT_EVEN;
}

/* The class expected of a tile, and how sure that is, from the tile to the left and that above (0
 * where there is none). */
static int expected_class(const uint8_t *classes, size_t tile, size_t across, bool first_row,
                          int *context)
{
    const bool first = tile % across == 0;
    const int west = first ? (first_row ? 12 : classes[tile - across]) : classes[tile - 1];
    const int north = first_row ? west : classes[tile - across];
    const int spread = abs(west - north);
    *context = spread > 2 ? 2 : spread > 0;
    return (west + north + 1) / 2;
}

static bool has_classes(const struct edc_model *m)
{
    return m->context != EDC_CONTEXT_VALUES;
}

/* Which contexts can occur: the classes that tiles have. */
static void find_classes(const struct edc_header *h, const struct edc_side *side,
                         const bool *described, bool present[EDC_CLASSES])
{
    memset(present, 0, EDC_CLASSES);
    for (uint32_t s = 0; s < h->strips; s++) {
        if (!described[s])
            continue;
        const size_t at = edc_tile_start(h, s);
        const size_t count = edc_tiles_down(edc_strip_at(h, s).rows) * edc_tiles_across(h->width);
        for (size_t t = at; t < at + count; t++)
            present[side->classes[t]] = true;
    }
}

size_t edc_put_side(const struct edc_header *h, const struct edc_side *side, const bool *described,
                    uint8_t *out, size_t capacity)
{
    const struct edc_model *const m = &side->model;
    struct side_models models;
    struct edc_side_writer w;
    edc_side_write_init(&w, out, capacity);
    init_models(&models);
    edc_side_put_raw(&w, m->linear, 1);
    edc_side_put_raw(&w, m->context, 2);
    const size_t across = edc_tiles_across(h->width);
    if (m->linear) {
        edc_side_put_raw(&w, m->set_count, 4);
        for (unsigned i = 0; i + 1 < m->set_count; i++)
            edc_side_put_number(&w, &models.levels, m->intensity[i]);
        for (unsigned i = 0; i < m->set_count; i++)
            for (int phase = 0; phase < 2; phase++)
                for (int c = 0; c < EDC_COEFS; c++)
                    edc_side_put_signed(&w, &models.coefs, m->sets[i].coef[phase][c]);
    }
    for (uint32_t s = 0; s < h->strips; s++) {
        edc_side_put_bit(&w, &models.described, described[s]);
        if (!described[s])
            continue;
        if (m->linear) {
            int last = 0;
            for (size_t t = 0; t < across; t++) {
                const int mean = side->means[(size_t)s * across + t];
                edc_side_put_signed(&w, &models.means, mean - last);
                last = mean;
            }
        }
        if (!has_classes(m))
            continue;
        const size_t at = edc_tile_start(h, s), down = edc_tiles_down(edc_strip_at(h, s).rows);
        for (size_t t = 0; t < across * down; t++) {
            int context;
            const int expected =
                expected_class(side->classes + at, t, across, t < across, &context);
            edc_side_put_signed(&w, &models.classes[context], side->classes[at + t] - expected);
        }
    }
    edc_side_put_raw(&w, m->table_count, 7);
    for (unsigned t = 0; t < m->table_count; t++)
        edc_put_table(&w, &models.tables, &m->tables[t]);
    bool present[EDC_CLASSES];
    find_classes(h, side, described, present);
    const size_t step = edc_map_step(m->context);
    int last = 0;
    for (unsigned c = 0; c < EDC_CLASSES; c++)
        for (int phase = 0; phase < 2; phase++)
            for (size_t i = 0; present[c] && i < step; i++) {
                const int table = m->map[edc_map(m->context, c, phase) + i];
                edc_side_put_signed(&w, &models.map[phase], table - last);
                last = table;
            }
    const uint8_t *const end = edc_side_finish(&w);
    return end ? (size_t)(end - out) : 0;
}

bool edc_get_side(const struct edc_header *h, const uint8_t *in, size_t n, bool *described,
                  struct edc_side *side)
{
    struct edc_model *const m = &side->model;
    struct side_models models;
    struct edc_side_reader r;
    edc_side_read_init(&r, in, n);
    init_models(&models);
    memset(m->map, 0, sizeof m->map);
    m->linear = edc_side_get_raw(&r, 1) != 0;
    const uint32_t context = edc_side_get_raw(&r, 2);
    if (context > EDC_CONTEXT_VALUES)
        return false;
    m->context = (enum edc_context)context;
    m->fold = !m->linear && !(h->flags & EDC_FLAG_SIGNED);
    m->set_count = 0;
    const size_t across = edc_tiles_across(h->width);
    if (m->linear) {
        m->set_count = edc_side_get_raw(&r, 4);
        if (m->set_count < 1 || m->set_count > EDC_SETS)
            return false;
        for (unsigned i = 0; i + 1 < m->set_count; i++)
            m->intensity[i] = edc_side_get_number(&r, &models.levels);
        for (unsigned i = 0; i < m->set_count; i++)
            for (int phase = 0; phase < 2; phase++)
                for (int c = 0; c < EDC_COEFS; c++) {
                    const int32_t coef = edc_side_get_signed(&r, &models.coefs);
                    if (coef < -32767 || coef > 32767)
                        return false;
                    m->sets[i].coef[phase][c] = (int16_t)coef;
                }
    }
    for (uint32_t s = 0; s < h->strips; s++) {
        described[s] = edc_side_get_bit(&r, &models.described) != 0;
        if (!described[s])
            continue;
        if (m->linear) {
            int last = 0;
            for (size_t t = 0; t < across; t++) {
                last += edc_side_get_signed(&r, &models.means) & 0xFFFF;
                last &= 0xFFFF;
                side->means[(size_t)s * across + t] = (uint16_t)last;
            }
        }
        const size_t at = edc_tile_start(h, s), down = edc_tiles_down(edc_strip_at(h, s).rows);
        if (!has_classes(m)) {
            memset(side->classes + at, 0, across * down);
            continue;
        }
        for (size_t t = 0; t < across * down; t++) {
            int near;
            const int expected = expected_class(side->classes + at, t, across, t < across, &near);
            const int32_t delta = edc_side_get_signed(&r, &models.classes[near]);
            if (delta < -EDC_CLASSES || delta > EDC_CLASSES || expected + delta < 0 ||
                expected + delta >= EDC_CLASSES)
                return false;
            side->classes[at + t] = (uint8_t)(expected + delta);
        }
        if (r.overrun > 8) /* no need to make up the rest */
            return false;
    }
    m->table_count = edc_side_get_raw(&r, 7);
    if (m->table_count < 1 || m->table_count > EDC_TABLES_MAX)
        return false;
    for (unsigned t = 0; t < m->table_count; t++)
        if (!edc_get_table(&r, &models.tables, &m->tables[t]))
            return false;
    bool present[EDC_CLASSES];
    find_classes(h, side, described, present);
    const size_t step = edc_map_step(m->context);
    int last = 0;
    for (unsigned c = 0; c < EDC_CLASSES; c++)
        for (int phase = 0; phase < 2; phase++)
            for (size_t i = 0; present[c] && i < step; i++) {
                const int32_t delta = edc_side_get_signed(&r, &models.map[phase]);
                if (delta < -EDC_TABLES_MAX || delta > EDC_TABLES_MAX || last + delta < 0 ||
                    last + delta >= (int)m->table_count)
                    return false;
                last += delta;
                m->map[edc_map(m->context, c, phase) + i] = (uint8_t)last;
            }
    return edc_side_ok(&r);
}

void edc_local_thresholds(int16_t thresholds[EDC_CLASSES][EDC_LOCAL_LEVELS - 1])
{
    /* Class c stands for a mean |residual| of 2^((c - 12) / 3); the levels of activity, whose
     * weights add up to 14, begin at these eighths of it. */
    static const uint32_t third[3] = {64, 81, 102}; /* 64 * 2^(i/3) */
    static const uint32_t eighths[EDC_LOCAL_LEVELS - 1] = {3, 5, 6, 8, 10, 13, 18};
    for (unsigned c = 0; c < EDC_CLASSES; c++)
        for (int i = 0; i < EDC_LOCAL_LEVELS - 1; i++) {
            const uint32_t t =
                (uint32_t)(((uint64_t)third[c % 3] << (c / 3)) * 14 * eighths[i] >> 13);
            thresholds[c][i] = (int16_t)(t < 32767 ? t : 32767);
        }
}

/* --- rows ------------------------------------------------------------------------------------ */

static bool is_native(const struct edc_header *h, const void *chunk)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const bool swapped = h->flags & EDC_FLAG_BIG_ENDIAN;
#else
    const bool swapped = !(h->flags & EDC_FLAG_BIG_ENDIAN);
#endif
    return h->item_size == 2 && !swapped &&
           (!(h->flags & EDC_FLAG_INTERLEAVED) || h->planes == 1) && (uintptr_t)chunk % 2 == 0;
}

/* Byte of the first element of a row, and from one element to the next. */
static size_t row_place(const struct edc_header *h, uint32_t plane, uint32_t y, size_t *step)
{
    if (h->flags & EDC_FLAG_INTERLEAVED) {
        *step = (size_t)h->planes * h->item_size;
        return (size_t)y * h->width * *step + (size_t)plane * h->item_size;
    }
    *step = h->item_size;
    return ((size_t)plane * h->height + y) * h->width * *step;
}

const uint16_t *edc_load_row(const struct edc_header *h, const void *chunk, uint32_t plane,
                             uint32_t y, uint32_t offset, uint16_t *row)
{
    size_t step;
    const uint8_t *p = (const uint8_t *)chunk + row_place(h, plane, y, &step);
    if (is_native(h, p))
        return (const uint16_t *)(const void *)p;
    const bool big = h->flags & EDC_FLAG_BIG_ENDIAN, sign = h->flags & EDC_FLAG_SIGNED;
    if (h->item_size == 1)
        for (uint32_t x = 0; x < h->width; x++, p += step)
            row[x] = sign ? (uint16_t)(int8_t)*p : *p;
    else if (h->item_size == 2)
        for (uint32_t x = 0; x < h->width; x++, p += step)
            row[x] = (uint16_t)(big ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
    else
        for (uint32_t x = 0; x < h->width; x++, p += step)
            row[x] = (uint16_t)((big ? (uint32_t)p[2] << 8 | p[3] : (uint32_t)p[1] << 8 | p[0]) -
                                offset);
    return row;
}

uint16_t *edc_row_target(const struct edc_header *h, void *chunk, uint32_t plane, uint32_t y,
                         uint16_t *row)
{
    size_t step;
    uint8_t *p = (uint8_t *)chunk + row_place(h, plane, y, &step);
    return is_native(h, p) ? (uint16_t *)(void *)p : row;
}

void edc_store_row(const struct edc_header *h, void *chunk, uint32_t plane, uint32_t y,
                   uint32_t offset, const uint16_t *row)
{
    size_t step;
    uint8_t *p = (uint8_t *)chunk + row_place(h, plane, y, &step);
    const bool big = h->flags & EDC_FLAG_BIG_ENDIAN;
    if (h->item_size == 1)
        for (uint32_t x = 0; x < h->width; x++, p += step)
            *p = (uint8_t)row[x];
    else if (h->item_size == 2)
        for (uint32_t x = 0; x < h->width; x++, p += step) {
            p[big] = (uint8_t)row[x];
            p[!big] = (uint8_t)(row[x] >> 8);
        }
    else
        for (uint32_t x = 0; x < h->width; x++, p += step) {
            const uint32_t v = row[x] + offset;
            for (int i = 0; i < 4; i++)
                p[big ? 3 - i : i] = (uint8_t)(v >> (8 * i));
        }
}

void edc_pad(uint16_t *half, size_t n, uint16_t empty)
{
    enum { REACH = 4 }; /* lanes beyond whole tiles, or a few more: predictions look at two */
    static const uint64_t each = UINT64_C(0x0001000100010001);
    const uint64_t first = each * (n ? half[0] : empty), last = each * (n ? half[n - 1] : empty);
    const size_t end = (n + EDC_TILE_LANES - 1) / EDC_TILE_LANES * EDC_TILE_LANES + REACH;
    memcpy(half - REACH, &first, sizeof first);
    for (size_t i = n; i < end; i += REACH)
        memcpy(half + i, &last, sizeof last);
}

void edc_virtual_rows(struct edc_rows *rows, const uint16_t *means)
{
    for (int d = 1; d < 4; d++)
        for (int phase = 0; phase < 2; phase++) {
            uint16_t *const half = rows->pixels.row[d].half[phase];
            for (size_t t = 0; t < rows->tiles[phase]; t++)
                for (size_t i = 0; i < EDC_TILE_LANES; i++)
                    half[t * EDC_TILE_LANES + i] = means[t];
            edc_pad(half, rows->half[phase], means[0]);
        }
}

void edc_advance(struct edc_view *view, int depth)
{
    const struct edc_row last = view->row[depth - 1];
    for (int d = depth - 1; d > 0; d--)
        view->row[d] = view->row[d - 1];
    view->row[0] = last;
}

void edc_prepare_sets(const struct edc_model *model, struct edc_predictor *predictor)
{
    predictor->taps = EDC_FEW_TAPS;
    for (unsigned s = 0; s < model->set_count; s++)
        for (int phase = 0; phase < 2; phase++)
            for (int c = 0; c < EDC_COEFS; c++) {
                const int16_t coef = model->sets[s].coef[phase][c];
                predictor->coef[s][phase][c] = (uint16_t)coef * UINT32_C(0x10001);
                if (coef && c >= EDC_FEW_TAPS && c < EDC_TAPS)
                    predictor->taps = EDC_TAPS;
            }
}

void edc_choose_sets(const struct edc_model *model, const struct edc_rows *rows, bool is_signed,
                     uint8_t *set)
{
    const uint16_t flip = is_signed ? 0x8000 : 0;
    const uint16_t *above = rows->pixels.row[1].half[0];
    for (size_t t = 0; t < rows->tiles[0]; t++, above += EDC_TILE_LANES) {
        uint32_t sum = 0;
        for (int i = 0; i < EDC_TILE_LANES; i++)
            sum += (uint16_t)(above[i] ^ flip);
        uint8_t s = 0;
        for (unsigned i = 0; i + 1 < model->set_count; i++)
            s = (uint8_t)(s + (sum >= model->intensity[i]));
        set[t] = s;
    }
}

/* --- memory ---------------------------------------------------------------------------------- */

struct emd_edc_work *emd_edc_work_new(void)
{
    return calloc(1, sizeof(struct emd_edc_work));
}

void emd_edc_work_free(struct emd_edc_work *work)
{
    if (!work)
        return;
    ZSTD_freeCCtx(work->cctx);
    ZSTD_freeDCtx(work->dctx);
    free(work->data);
    free(work);
}

void *edc_scratch(struct emd_edc_work *work, size_t n)
{
    if (work->size < n || !work->data || EDC_FENCE > 0) { /* a new one has no fences yet */
        free(work->data);
        work->data = emd_memory_new(n);
        work->size = work->data ? n : 0;
    }
    return work->data;
}
