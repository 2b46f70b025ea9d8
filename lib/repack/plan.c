/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See plan.h. Candidates are tried from the cheapest to the dearest; the cost model is the peak
 * alone, since every plan reads its source once. */
#include "repack/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Contiguous data are read in ranges of about this size: large against a disk's or share's latency,
 * small enough to stay in the second-level cache until it is transposed. */
static const size_t contiguous_band_bytes = (size_t)1 << 20;
/* Blocks below this are joined, so that starting and ending them does not show. */
static const size_t small_block_bytes = (size_t)32 << 20;
/* The strips of a band of 80 frames then stay in the second-level cache, too (64 KiB took a tenth
 * more processor time); much smaller ones cost calls and seeks. */
static const size_t good_strip_bytes = (size_t)16 << 10;
/* Strips of noise shrink to half or less (see dataset.c): as many target chunks stay whole as leave
 * room for the strips of the others at that rate. Where it is not reached, strips are spilled. */
enum { strip_ratio = 2 };
/* Bookkeeping of one strip: offset, length and hash (see strips.c). */
static const size_t strip_index_bytes = 24;

/* Saturating arithmetic: a size that does not fit is simply too large for any budget. */
static size_t add(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

static size_t mul(size_t a, size_t b)
{
    size_t r;
    return __builtin_mul_overflow(a, b, &r) ? SIZE_MAX : r;
}

size_t emd_box_bytes(unsigned rank, const uint64_t *box, size_t item_size)
{
    size_t n = item_size;
    for (unsigned a = 0; a < rank; a++)
        n = mul(n, box[a] > SIZE_MAX ? SIZE_MAX : (size_t)box[a]);
    return n;
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static uint64_t round_up(uint64_t a, uint64_t b)
{
    uint64_t r;
    return __builtin_mul_overflow(ceil_div(a, b), b, &r) ? UINT64_MAX : r;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* Boxes of this size that cover an extent. */
static uint64_t grid_count(unsigned rank, const uint64_t *extent, const uint64_t *box)
{
    uint64_t n = 1;
    for (unsigned a = 0; a < rank; a++)
        if (__builtin_mul_overflow(n, ceil_div(extent[a], box[a]), &n))
            return UINT64_MAX;
    return n;
}

/* A target chunk is one contiguous range of a contiguous dataset if, behind its first axis longer
 * than 1, it spans every axis exactly. */
static bool is_contiguous_range(const struct emd_plan_request *r, const uint64_t *box)
{
    unsigned a = 0;
    while (a < r->rank && box[a] == 1)
        a++;
    for (a++; a < r->rank; a++)
        if (box[a] != r->dims[a])
            return false;
    return true;
}

/* The largest contiguous range of at most 'bytes' (at least one element): whole trailing axes, a
 * part of one axis, 1 before it. */
static void contiguous_range(const struct emd_plan_request *r, const uint64_t *extent, size_t bytes,
                             uint64_t *band)
{
    size_t n = r->item_size;
    unsigned a = r->rank;
    while (a-- > 0) {
        uint64_t fit = bytes / n;
        band[a] = fit < 1 ? 1 : fit < extent[a] ? fit : extent[a];
        n = mul(n, (size_t)band[a]);
        if (band[a] < extent[a])
            break;
    }
    for (unsigned b = 0; a < r->rank && b < a; b++)
        band[b] = 1;
}

/* What a plan's two phases take: fixed + threads * thread + slots * slot each. */
struct costs {
    size_t fixed;
    size_t read_thread, read_slot;     /* reading, decoding, scattering */
    size_t encode_thread, encode_slot; /* encoding, verifying */
};

/* Slots for a phase of 'threads' threads: two a thread keep all busy while one result waits for its
 * turn; fewer where memory is short. False if not even one a thread fits. */
static bool fit_slots(size_t budget, size_t fixed, size_t per_thread, size_t per_slot,
                      unsigned threads, unsigned *slots, size_t *bytes)
{
    for (*slots = threads > 1 ? 2 * threads : 1;; --*slots) {
        *bytes = add(fixed, add(mul(threads, per_thread), mul(*slots, per_slot)));
        if (*bytes <= budget || *slots == threads)
            return *bytes <= budget;
    }
}

/* Whether both phases fit with 'threads' threads; peak_bytes says what they take in any case. */
static bool fit_phases(const struct emd_plan_request *r, const struct costs *c, unsigned threads,
                       struct emd_plan *plan)
{
    size_t reading, encoding;
    bool reads = fit_slots(r->budget, c->fixed, c->read_thread, c->read_slot, threads,
                           &plan->read_slots, &reading);
    bool encodes = fit_slots(r->budget, c->fixed, c->encode_thread, c->encode_slot, threads,
                             &plan->slots, &encoding);
    plan->threads = threads;
    plan->peak_bytes = reading > encoding ? reading : encoding;
    return reads && encodes;
}

size_t emd_plan_fetch_unit(const struct emd_plan_request *r)
{
    if (r->fetch == EMD_FETCH_NONE)
        return 0;
    if (r->fetch == EMD_FETCH_STORED && r->source_stored > 0)
        return r->source_stored;
    return emd_box_bytes(r->rank, r->source, r->item_size);
}

bool emd_plan_decodes(const struct emd_plan_request *r)
{
    return r->fetch == EMD_FETCH_NONE || (r->fetch == EMD_FETCH_STORED && r->source_stored > 0);
}

/* What a thread needs to read and decode besides the decoded data: the stored chunk where it is not
 * in a slot, and what the decoders need. */
static size_t reading_bytes(const struct emd_plan_request *r)
{
    size_t stored = r->fetch == EMD_FETCH_NONE ? r->source_stored : 0;
    return add(stored, r->fetch == EMD_FETCH_DECODED ? 0 : r->source_work);
}

/* Lists of source chunks: 32 bytes a chunk as found, and once more as much while they are sorted by
 * place. Hashes of target chunks: 16 bytes each, in a list that grows by doubling. */
static size_t list_bytes(const struct emd_plan_request *r, bool placed)
{
    uint64_t targets = r->hash ? grid_count(r->rank, r->dims, r->target) : 0;
    if (r->hash && !placed && !r->contiguous)
        targets = r->chunks;
    return add(mul(r->chunks > SIZE_MAX ? SIZE_MAX : (size_t)r->chunks, placed ? 80 : 32),
               mul(targets > SIZE_MAX ? SIZE_MAX : (size_t)targets, 32));
}

size_t emd_plan_touched(const struct emd_plan_request *r, const uint64_t *block,
                        const uint64_t *box)
{
    size_t n = 1;
    for (unsigned a = 0; a < r->rank; a++) {
        uint64_t all = ceil_div(block[a], r->target[a]);
        bool aligned = box[a] % r->target[a] == 0 || r->target[a] % box[a] == 0;
        uint64_t most = aligned ? ceil_div(box[a], r->target[a]) : (box[a] - 1) / r->target[a] + 2;
        most = most < all ? most : all;
        n = mul(n, most > SIZE_MAX ? SIZE_MAX : (size_t)most);
    }
    return n;
}

size_t emd_plan_strips_a_band(const struct emd_plan_request *r, const struct emd_plan *plan)
{
    size_t touched = emd_plan_touched(r, plan->block, plan->band);
    size_t others = plan->targets - plan->resident;
    return touched < others ? touched : others;
}

static bool plan_same_grid(const struct emd_plan_request *r, struct emd_plan *plan, size_t *least)
{
    size_t raw = emd_box_bytes(r->rank, r->target, r->item_size);
    size_t per_thread = add(reading_bytes(r), r->target_work), per_slot = r->target_bound;
    if (r->copy_stored)
        per_slot = r->source_stored;
    else if (emd_plan_decodes(r))
        per_thread = add(per_thread, raw);
    per_thread = add(per_thread, r->verify_bytes);
    per_slot = add(per_slot, emd_plan_fetch_unit(r));
    plan->kind = EMD_PLAN_SAME_GRID;
    memcpy(plan->block, r->target, sizeof plan->block);
    memcpy(plan->band, r->target, sizeof plan->band);
    plan->blocks = grid_count(r->rank, r->dims, r->target);
    plan->reads = r->contiguous ? plan->blocks : r->chunks;
    for (plan->threads = r->threads; plan->threads >= 1; plan->threads--)
        if (fit_slots(r->budget, list_bytes(r, false), per_thread, per_slot, plan->threads,
                      &plan->slots, &plan->peak_bytes))
            return true;
    *least = plan->peak_bytes;
    return false;
}

/* The smallest box that both grids divide, clipped to the dataset in whole target chunks. */
static void smallest_block(const struct emd_plan_request *r, uint64_t *block)
{
    for (unsigned a = 0; a < r->rank; a++) {
        uint64_t whole = round_up(r->dims[a], r->target[a]), source;
        if (r->contiguous)
            source = a == 0 ? 1 : r->dims[a];
        else
            source = r->source[a];
        if (source >= r->dims[a] ||
            __builtin_mul_overflow(source / gcd(source, r->target[a]), r->target[a], &block[a]) ||
            block[a] > whole)
            block[a] = whole;
    }
}

/* Joins small blocks along the last axes first: neighbours in the file stay neighbours. */
static void join_blocks(const struct emd_plan_request *r, uint64_t *block)
{
    for (unsigned a = r->rank; a-- > 0;) {
        size_t bytes = emd_box_bytes(r->rank, block, r->item_size);
        uint64_t whole = round_up(r->dims[a], r->target[a]);
        uint64_t times = bytes < small_block_bytes ? small_block_bytes / (bytes ? bytes : 1) : 1;
        if (times <= 1)
            return;
        if (r->contiguous && a > 0)
            continue; /* spans these axes already */
        block[a] = times >= ceil_div(whole, block[a]) ? whole : block[a] * times;
        if (block[a] < whole)
            return;
    }
}

static void clip(const struct emd_plan_request *r, const uint64_t *block, uint64_t *extent)
{
    for (unsigned a = 0; a < r->rank; a++)
        extent[a] = block[a] < r->dims[a] ? block[a] : r->dims[a];
}

/* The whole block in memory. */
static bool plan_gather(const struct emd_plan_request *r, unsigned threads, bool join,
                        struct emd_plan *plan)
{
    uint64_t extent[EMD_RANK_MAX];
    smallest_block(r, plan->block);
    if (join)
        join_blocks(r, plan->block);
    size_t block = emd_box_bytes(r->rank, plan->block, r->item_size);
    clip(r, plan->block, extent);
    if (r->contiguous)
        contiguous_range(r, extent, contiguous_band_bytes, plan->band);
    else
        memcpy(plan->band, r->source, sizeof plan->band);
    size_t band = emd_box_bytes(r->rank, plan->band, r->item_size);
    plan->kind = EMD_PLAN_GATHER;
    plan->blocks = grid_count(r->rank, r->dims, plan->block);
    plan->reads =
        r->contiguous ? mul(plan->blocks, grid_count(r->rank, extent, plan->band)) : r->chunks;
    plan->targets = plan->resident = emd_plan_touched(r, plan->block, plan->block);
    plan->strips_per_block = 0;
    /* The block itself, a flag and a number for each target chunk in it, the lists of chunks.
     * Reading: a band a thread, and where its parts go. Encoding: from the block itself. */
    const struct costs costs = {
        .fixed = add(block, add(mul(plan->targets, 1 + sizeof(size_t)), list_bytes(r, true))),
        .read_thread = add(add(reading_bytes(r), emd_plan_decodes(r) ? band : 0),
                           mul(emd_plan_touched(r, plan->block, plan->band), sizeof(void *))),
        .read_slot = emd_plan_fetch_unit(r),
        .encode_thread = add(r->target_work, r->verify_bytes),
        .encode_slot = r->target_bound};
    return fit_phases(r, &costs, threads, plan);
}

/* The strip of a full band that belongs to one target chunk. */
static void strip_shape(const struct emd_plan_request *r, const uint64_t *band, uint64_t *shape)
{
    for (unsigned a = 0; a < r->rank; a++)
        shape[a] = band[a] < r->target[a] ? band[a] : r->target[a];
}

/* The band whose strips are of about 'strip' bytes. False if it cannot be smaller. */
static bool strips_band(const struct emd_plan_request *r, const uint64_t *extent, uint64_t targets,
                        size_t strip, uint64_t *band)
{
    uint64_t shape[EMD_RANK_MAX];
    bool smallest = true;
    if (r->contiguous) {
        size_t whole = emd_box_bytes(r->rank, extent, r->item_size);
        size_t wanted = targets > whole / strip ? whole : (size_t)targets * strip;
        size_t row = emd_box_bytes(r->rank - 1, extent + 1, r->item_size);
        /* whole rows where they are small: their strips are then rows of a frame */
        if (wanted < row && row <= r->budget / 16)
            wanted = row;
        contiguous_range(r, extent, wanted, band);
        return wanted / 2 > r->item_size;
    }
    memcpy(band, r->source, r->rank * sizeof *band);
    for (unsigned a = 0; a < r->rank; a++) {
        strip_shape(r, band, shape);
        size_t bytes = emd_box_bytes(r->rank, shape, r->item_size);
        uint64_t times = bytes < strip ? ceil_div(strip, bytes) : 1;
        uint64_t most = ceil_div(extent[a] < r->target[a] ? extent[a] : r->target[a], band[a]);
        times = times < most ? times : most;
        if (times > 1) {
            band[a] *= times;
            smallest = false;
        }
    }
    return !smallest;
}

/* What a plan with plan->resident target chunks in memory and strips of the others takes. */
static void strips_costs(const struct emd_plan_request *r, const struct emd_plan *plan,
                         struct costs *c)
{
    uint64_t shape[EMD_RANK_MAX];
    strip_shape(r, plan->band, shape);
    const size_t strip = emd_box_bytes(r->rank, shape, r->item_size);
    const size_t stored = add(strip, r->strip_overhead);
    const size_t strips = emd_plan_strips_a_band(r, plan);
    const size_t raw = emd_box_bytes(r->rank, r->target, r->item_size);
    const size_t work = r->target_work > r->strip_work ? r->target_work : r->strip_work;
    /* a source chunk, or a contiguous range */
    const size_t piece =
        emd_box_bytes(r->rank, r->contiguous ? plan->band : r->source, r->item_size);
    size_t pieces = 1; /* of a band */
    for (unsigned a = 0; a < r->rank && !r->contiguous; a++)
        pieces = mul(pieces, (size_t)(plan->band[a] / r->source[a]));
    /* The chunks in memory; a flag and a number for each target chunk, the lists of chunks. */
    c->fixed = add(mul(plan->resident, raw),
                   add(mul(plan->strips_per_block, strip_index_bytes),
                       add(mul(plan->targets, 1 + sizeof(size_t)), list_bytes(r, true))));
    /* Reading: source chunk or range as it is, where its parts go, the strips of a band; packed,
     * they are in a slot. */
    c->read_thread = add(add(reading_bytes(r), r->strip_work),
                         add(add(emd_plan_decodes(r) ? piece : 0,
                                 mul(emd_plan_touched(r, plan->block, plan->band), sizeof(void *))),
                             mul(strips, strip)));
    c->read_slot =
        add(mul(strips, add(stored, sizeof(size_t))), mul(pieces, emd_plan_fetch_unit(r)));
    /* Encoding: chunk, verification, one stored strip, one plain strip. */
    c->encode_thread = add(add(raw, r->verify_bytes), add(add(stored, strip), work));
    c->encode_slot = r->target_bound;
}

/* As many target chunks of a block in memory as leave room for strips of the others. */
static bool plan_strips(const struct emd_plan_request *r, unsigned threads, size_t strip,
                        struct emd_plan *plan, bool *smallest)
{
    uint64_t extent[EMD_RANK_MAX];
    struct costs costs;
    const size_t raw = emd_box_bytes(r->rank, r->target, r->item_size);
    plan->kind = EMD_PLAN_STRIPS;
    smallest_block(r, plan->block);
    clip(r, plan->block, extent);
    plan->blocks = grid_count(r->rank, r->dims, plan->block);
    plan->targets = emd_plan_touched(r, plan->block, plan->block);
    *smallest = !strips_band(r, extent, plan->targets, strip, plan->band);
    const size_t bands = (size_t)grid_count(r->rank, extent, plan->band);
    plan->reads = r->contiguous ? mul(plan->blocks, bands) : r->chunks;
    plan->resident = 0;
    plan->strips_per_block = mul(bands, plan->targets);
    strips_costs(r, plan, &costs);
    if (!fit_phases(r, &costs, threads, plan))
        return false;
    /* The fewer strips, the smaller the buffers for them: a few rounds until nothing more fits. */
    for (;;) {
        struct emd_plan next = *plan;
        size_t rest = mul(plan->targets - plan->resident, raw) / strip_ratio;
        size_t room = r->budget - plan->peak_bytes, each = raw - raw / strip_ratio;
        size_t more = room > rest ? (room - rest) / (each ? each : 1) : 0;
        size_t most = plan->targets - plan->resident;
        next.resident += more < most ? more : most;
        next.strips_per_block = mul(bands, next.targets - next.resident);
        strips_costs(r, &next, &costs);
        if (next.resident == plan->resident || !fit_phases(r, &costs, threads, &next))
            break;
        *plan = next;
    }
    size_t rest = mul(plan->targets - plan->resident, raw), room = r->budget - plan->peak_bytes;
    plan->store_bytes = rest < room ? rest : room;
    plan->peak_bytes += plan->store_bytes;
    if (plan->resident == plan->targets)
        plan->kind = EMD_PLAN_GATHER; /* with a smaller band than there */
    return true;
}

/* The block whole in memory, or as much of it as fits, with all threads, else with fewer; where
 * that is too much, with smaller strips. */
static bool plan_blocks(const struct emd_plan_request *r, struct emd_plan *plan, size_t *least)
{
    size_t gather = SIZE_MAX;
    for (size_t strip = good_strip_bytes;; strip /= 2) {
        bool smallest = true;
        for (unsigned t = r->threads; t >= 1; t--) {
            if (strip == good_strip_bytes &&
                (plan_gather(r, t, true, plan) || plan_gather(r, t, false, plan)))
                return true;
            if (strip == good_strip_bytes)
                gather = plan->peak_bytes;
            if (plan_strips(r, t, strip, plan, &smallest))
                return true;
        }
        if (smallest || strip <= r->item_size) {
            *least = gather < plan->peak_bytes ? gather : plan->peak_bytes;
            return false;
        }
    }
}

enum emd_status emd_plan_make(const struct emd_plan_request *r, struct emd_plan *plan,
                              struct emd_error *err)
{
    size_t least = SIZE_MAX;
    if (r->rank < 1 || r->rank > EMD_RANK_MAX || r->item_size == 0 || r->threads == 0)
        return emd_fail(err, EMD_E_ARGUMENT, "a plan needs rank, item size and threads");
    for (unsigned a = 0; a < r->rank; a++)
        if (r->dims[a] == 0 || r->target[a] == 0 || (!r->contiguous && r->source[a] == 0))
            return emd_fail(err, EMD_E_ARGUMENT, "a plan needs extents above zero");
    memset(plan, 0, sizeof *plan);
    bool same = true;
    for (unsigned a = 0; a < r->rank; a++)
        same = same && r->source[a] == r->target[a];
    const bool as_it_lies = r->contiguous ? is_contiguous_range(r, r->target) : same;
    if (as_it_lies ? plan_same_grid(r, plan, &least) : plan_blocks(r, plan, &least))
        return EMD_OK;
    return emd_fail(err, EMD_E_BUDGET,
                    "the memory budget of %zu MiB is too small: at least %zu MiB are needed",
                    r->budget >> 20, least == SIZE_MAX ? SIZE_MAX : (least >> 20) + 1);
}

static void box_text(unsigned rank, const uint64_t *box, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned a = 0; a < rank && used < size; a++) {
        int n = snprintf(text + used, size - used, "%s%" PRIu64, a ? "x" : "", box[a]);
        used += n > 0 ? (size_t)n : 0;
    }
}

void emd_plan_describe(const struct emd_plan_request *request, const struct emd_plan *plan,
                       char *text, size_t size)
{
    char block[128], band[128];
    box_text(request->rank, plan->block, block, sizeof block);
    box_text(request->rank, plan->band, band, sizeof band);
    double peak = (double)plan->peak_bytes / (1 << 20);
    const char *plural = plan->threads == 1 ? "" : "s";
    switch (plan->kind) {
    case EMD_PLAN_SAME_GRID:
        snprintf(text, size,
                 "same grid: %" PRIu64 " chunks of %s, %" PRIu64
                 " reads, 1 pass, %u thread%s, peak %.1f MiB",
                 plan->blocks, block, plan->reads, plan->threads, plural, peak);
        break;
    case EMD_PLAN_GATHER:
        snprintf(text, size,
                 "gather: %" PRIu64 " block%s of %s in memory, %" PRIu64
                 " reads of %s, 1 pass, %u thread%s, peak %.1f MiB",
                 plan->blocks, plan->blocks == 1 ? "" : "s", block, plan->reads, band,
                 plan->threads, plural, peak);
        break;
    case EMD_PLAN_STRIPS:
        snprintf(text, size,
                 "strips: %" PRIu64 " block%s of %s, %" PRIu64
                 " reads of %s, 1 pass, %zu of %zu chunks of a block in memory, strips of the "
                 "others in %.1f MiB and beyond that in one temporary file, %u thread%s, peak "
                 "%.1f MiB",
                 plan->blocks, plan->blocks == 1 ? "" : "s", block, plan->reads, band,
                 plan->resident, plan->targets, (double)plan->store_bytes / (1 << 20),
                 plan->threads, plural, peak);
        break;
    }
}
