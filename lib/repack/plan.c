/* See plan.h. Candidates are tried from the cheapest to the dearest, each with as many threads as
 * fit; the cost model is the peak alone, since every plan reads its source once. */
#include "repack/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Contiguous data are read in ranges of about this size: large against a disk's or share's latency,
 * small enough to stay in the second-level cache until it is transposed. */
static const size_t contiguous_band_bytes = (size_t)1 << 20;
/* Blocks below this are joined, so that starting and ending them does not show. */
static const size_t small_block_bytes = (size_t)32 << 20;
/* Strips above this only take memory from the store; much smaller ones cost calls and seeks. */
static const size_t good_strip_bytes = (size_t)64 << 10;
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

/* Threads and slots for a phase whose memory is fixed + threads * per_thread + slots * per_slot:
 * two slots a thread keep all busy while one result waits for its turn; fewer where memory is
 * short. False if not even one of each fits. */
static bool fit_threads(size_t budget, size_t fixed, size_t per_thread, size_t per_slot,
                        unsigned most, unsigned *threads, unsigned *slots, size_t *bytes)
{
    for (unsigned t = most; t >= 1; t--)
        for (unsigned s = t > 1 ? 2 * t : 1; s >= t; s--) {
            size_t n = add(fixed, add(mul(t, per_thread), mul(s, per_slot)));
            if (n <= budget) {
                *threads = t;
                *slots = s;
                *bytes = n;
                return true;
            }
        }
    *bytes = add(fixed, add(per_thread, per_slot));
    return false;
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
    *least = SIZE_MAX;
    if (fit_threads(r->budget, list_bytes(r, false), per_thread, per_slot, r->threads,
                    &plan->threads, &plan->slots, &plan->peak_bytes))
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

static bool plan_gather(const struct emd_plan_request *r, bool join, struct emd_plan *plan,
                        size_t *least)
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
    size_t targets = emd_plan_touched(r, plan->block, plan->block);
    /* The block itself, a flag and a number for each target chunk in it, the lists of chunks. */
    size_t fixed = add(block, add(mul(targets, 1 + sizeof(size_t)), list_bytes(r, true)));
    /* Reading: a band a thread, and where its parts go. Encoding: from the block itself. */
    size_t read_thread = add(add(reading_bytes(r), emd_plan_decodes(r) ? band : 0),
                             mul(emd_plan_touched(r, plan->block, plan->band), sizeof(void *)));
    size_t read_slot = emd_plan_fetch_unit(r);
    size_t encode_thread = add(r->target_work, r->verify_bytes);
    plan->kind = EMD_PLAN_GATHER;
    plan->blocks = grid_count(r->rank, r->dims, plan->block);
    plan->reads =
        r->contiguous ? mul(plan->blocks, grid_count(r->rank, extent, plan->band)) : r->chunks;
    for (unsigned t = r->threads; t >= 1; t--) {
        unsigned read_threads, encode_threads;
        size_t read_bytes, encode_bytes;
        bool reads = fit_threads(r->budget, fixed, read_thread, read_slot, t, &read_threads,
                                 &plan->read_slots, &read_bytes);
        bool encodes = fit_threads(r->budget, fixed, encode_thread, r->target_bound, t,
                                   &encode_threads, &plan->slots, &encode_bytes);
        plan->peak_bytes = read_bytes > encode_bytes ? read_bytes : encode_bytes;
        if (!reads || !encodes)
            break;
        if (read_threads == t && encode_threads == t) {
            plan->threads = t;
            return true;
        }
    }
    *least = plan->peak_bytes;
    return false;
}

static bool plan_strips(const struct emd_plan_request *r, struct emd_plan *plan, size_t *least)
{
    uint64_t extent[EMD_RANK_MAX], piece[EMD_RANK_MAX];
    size_t raw = emd_box_bytes(r->rank, r->target, r->item_size);
    plan->kind = EMD_PLAN_STRIPS;
    smallest_block(r, plan->block);
    clip(r, plan->block, extent);
    plan->blocks = grid_count(r->rank, r->dims, plan->block);
    uint64_t targets = grid_count(r->rank, extent, r->target);

    /* Bands from good strips downwards until everything fits. */
    for (size_t strip = good_strip_bytes;; strip /= 2) {
        bool smallest = true;
        if (r->contiguous) {
            size_t whole = emd_box_bytes(r->rank, extent, r->item_size);
            size_t wanted = targets > whole / strip ? whole : (size_t)targets * strip;
            size_t row = emd_box_bytes(r->rank - 1, extent + 1, r->item_size);
            /* whole rows where they are small: their strips are then rows of a frame */
            if (wanted < row && row <= r->budget / 16)
                wanted = row;
            contiguous_range(r, extent, wanted, plan->band);
            smallest = wanted / 2 <= r->item_size;
        } else {
            memcpy(plan->band, r->source, sizeof plan->band);
            for (unsigned a = 0; a < r->rank; a++) {
                for (unsigned b = 0; b < r->rank; b++)
                    piece[b] = plan->band[b] < r->target[b] ? plan->band[b] : r->target[b];
                size_t bytes = emd_box_bytes(r->rank, piece, r->item_size);
                uint64_t times = bytes < strip ? ceil_div(strip, bytes) : 1;
                uint64_t most =
                    ceil_div(extent[a] < r->target[a] ? extent[a] : r->target[a], plan->band[a]);
                times = times < most ? times : most;
                if (times > 1) {
                    plan->band[a] *= times;
                    smallest = false;
                }
            }
        }
        for (unsigned b = 0; b < r->rank; b++)
            piece[b] = plan->band[b] < r->target[b] ? plan->band[b] : r->target[b];
        size_t band = emd_box_bytes(r->rank, plan->band, r->item_size);
        size_t piece_bytes = emd_box_bytes(r->rank, piece, r->item_size);
        uint64_t bands = grid_count(r->rank, extent, plan->band);
        plan->reads = r->contiguous ? mul(plan->blocks, (size_t)bands) : r->chunks;
        plan->strips_per_block = mul((size_t)bands, (size_t)targets);
        size_t pieces = emd_plan_touched(r, plan->block, plan->band);
        size_t index = add(mul(plan->strips_per_block, strip_index_bytes),
                           add(mul((size_t)targets, 1 + sizeof(size_t)), list_bytes(r, true)));
        size_t stored = mul(pieces, add(add(piece_bytes, r->strip_overhead), sizeof(size_t)));
        /* Reading: source chunk or range as it is, the band cut into strips, and the strips packed
         * in a slot. Encoding: frame, verification, one stored strip, one plain strip. */
        size_t chunk = r->contiguous ? band : emd_box_bytes(r->rank, r->source, r->item_size);
        size_t chunks = 1; /* source chunks in a band */
        for (unsigned b = 0; b < r->rank && !r->contiguous; b++)
            chunks = mul(chunks, (size_t)(plan->band[b] / r->source[b]));
        size_t read_thread = add(
            add(reading_bytes(r), r->strip_work),
            add(emd_plan_decodes(r) ? chunk : 0, mul(pieces, add(piece_bytes, sizeof(void *)))));
        size_t read_slot = add(stored, mul(chunks, emd_plan_fetch_unit(r)));
        size_t encode_thread =
            add(add(raw, r->verify_bytes),
                add(add(add(piece_bytes, r->strip_overhead), piece_bytes),
                    r->target_work > r->strip_work ? r->target_work : r->strip_work));
        for (unsigned t = r->threads; t >= 1; t--) {
            unsigned read_threads, encode_threads;
            size_t read_bytes, encode_bytes;
            bool reads = fit_threads(r->budget, index, read_thread, read_slot, t, &read_threads,
                                     &plan->read_slots, &read_bytes);
            bool encodes = fit_threads(r->budget, index, encode_thread, r->target_bound, t,
                                       &encode_threads, &plan->slots, &encode_bytes);
            size_t peak = read_bytes > encode_bytes ? read_bytes : encode_bytes;
            plan->peak_bytes = peak;
            if (!reads || !encodes)
                break;
            if (read_threads == t && encode_threads == t) {
                plan->threads = t;
                plan->store_bytes = r->budget - peak;
                size_t whole = emd_box_bytes(r->rank, extent, r->item_size);
                if (plan->store_bytes > whole)
                    plan->store_bytes = whole;
                plan->peak_bytes = peak + plan->store_bytes;
                return true;
            }
        }
        if (smallest || strip <= r->item_size) {
            *least = plan->peak_bytes;
            return false;
        }
    }
}

enum emd_status emd_plan_make(const struct emd_plan_request *r, struct emd_plan *plan,
                              struct emd_error *err)
{
    size_t least = SIZE_MAX, other = SIZE_MAX;
    if (r->rank < 1 || r->rank > EMD_RANK_MAX || r->item_size == 0 || r->threads == 0)
        return emd_fail(err, EMD_E_ARGUMENT, "a plan needs rank, item size and threads");
    for (unsigned a = 0; a < r->rank; a++)
        if (r->dims[a] == 0 || r->target[a] == 0 || (!r->contiguous && r->source[a] == 0))
            return emd_fail(err, EMD_E_ARGUMENT, "a plan needs extents above zero");
    memset(plan, 0, sizeof *plan);
    bool same = true;
    for (unsigned a = 0; a < r->rank; a++)
        same = same && r->source[a] == r->target[a];
    if (r->contiguous ? is_contiguous_range(r, r->target) : same) {
        if (plan_same_grid(r, plan, &least))
            return EMD_OK;
    } else if (plan_gather(r, true, plan, &other) || plan_gather(r, false, plan, &other) ||
               plan_strips(r, plan, &least)) {
        return EMD_OK;
    }
    least = least < other ? least : other;
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
                 " reads of %s, 1 pass, strips kept in %.1f MiB and beyond that in one temporary "
                 "file, %u thread%s, peak %.1f MiB",
                 plan->blocks, plan->blocks == 1 ? "" : "s", block, plan->reads, band,
                 (double)plan->store_bytes / (1 << 20), plan->threads, plural, peak);
        break;
    }
}
