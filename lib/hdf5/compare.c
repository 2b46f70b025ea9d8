/* See compare.h. A queue of pairs of objects, breadth first, opened by address; what is met again
 * by another link must be the same pair again. The values of a type are compared along a tree of
 * its parts, made once a dataset, since asking HDF5 about the type at every element would take
 * longer than reading it. */
#include "hdf5/compare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "hdf5/arena.h"
#include "hdf5/chunks.h"
#include "hdf5/h5call.h"

enum { DEFAULT_BUFFER = 4 << 20, NESTING_MAX = 64, MOST_BLOCKS = 1 << 16 };

#define NOBODY UINT32_MAX

struct pair {
    uint64_t address[2];
    uint32_t parent; /* pair of the group with its first link; NOBODY: the root */
    char *name;      /* of that link */
};

/* Pairs by the address on one side: row + 1, 0 empty; a power of two of slots. */
struct address_table {
    uint32_t *slot;
    size_t slots;
};

struct comparison {
    hid_t file[2];
    const struct emd_compare_options *options;
    struct pair *pair;
    size_t count, capacity;
    struct address_table table[2];
    void *buffer[2];
    struct emd_arena arena[2];
    size_t buffer_bytes;
};

/* ---- pairs ---- */

static size_t hash_address(uint64_t address)
{
    return (size_t)((address * UINT64_C(0x9E3779B97F4A7C15)) >> 20); /* Knuth's multiplier */
}

static uint32_t find_pair(const struct comparison *c, int side, uint64_t address)
{
    const struct address_table *t = &c->table[side];
    if (t->slots == 0)
        return NOBODY;
    for (size_t s = hash_address(address) & (t->slots - 1); t->slot[s];
         s = (s + 1) & (t->slots - 1))
        if (c->pair[t->slot[s] - 1].address[side] == address)
            return t->slot[s] - 1;
    return NOBODY;
}

static void enter_slot(struct comparison *c, int side, uint32_t row)
{
    struct address_table *t = &c->table[side];
    size_t s = hash_address(c->pair[row].address[side]) & (t->slots - 1);
    while (t->slot[s])
        s = (s + 1) & (t->slots - 1);
    t->slot[s] = row + 1;
}

static enum emd_status add_pair(struct comparison *c, const uint64_t address[2], uint32_t parent,
                                const char *name, struct emd_error *err)
{
    uint32_t known[2] = {find_pair(c, 0, address[0]), find_pair(c, 1, address[1])};
    if (known[0] != known[1])
        return emd_fail(err, EMD_E_VERIFY, "is a link to another object");
    if (known[0] != NOBODY)
        return EMD_OK;
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 256;
        struct pair *grown = realloc(c->pair, capacity * sizeof *grown);
        if (grown)
            c->pair = grown;
        for (int side = 0; side < 2 && grown; side++) {
            uint32_t *slot = calloc(capacity * 2, sizeof *slot);
            if (!slot) {
                grown = NULL;
                break;
            }
            free(c->table[side].slot);
            c->table[side] = (struct address_table){slot, capacity * 2};
            for (size_t i = 0; i < c->count; i++)
                enter_slot(c, side, (uint32_t)i);
        }
        if (!grown || capacity > NOBODY / 2)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", capacity);
        c->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    c->pair[c->count] = (struct pair){{address[0], address[1]}, parent, copy};
    for (int side = 0; side < 2; side++)
        enter_slot(c, side, (uint32_t)c->count);
    c->count++;
    return EMD_OK;
}

/* Puts the pair's path in front of an error; its end where it is long. */
static enum emd_status blame(const struct comparison *c, uint32_t row, enum emd_status status,
                             struct emd_error *err)
{
    char path[400];
    size_t at = sizeof path - 1;
    path[at] = '\0';
    for (; row != NOBODY && c->pair[row].parent != NOBODY; row = c->pair[row].parent) {
        size_t n = strlen(c->pair[row].name);
        if (n + 1 > at)
            break;
        at -= n;
        memcpy(path + at, c->pair[row].name, n);
        path[--at] = '/';
    }
    return emd_fail_prefix(err, status, "%s", path[at] ? path + at : "/");
}

/* ---- values ---- */

enum part_kind {
    PART_PLAIN,
    PART_STRING,
    PART_OBJECT,
    PART_REGION,
    PART_GROUP,
    PART_ARRAY,
    PART_SEQUENCE
};

struct part {
    enum part_kind kind;
    size_t offset, size; /* in the parent's element */
    size_t count;        /* of an array */
    struct part *child, *next;
};

static void free_parts(struct part *part)
{
    while (part) {
        struct part *next = part->next;
        free_parts(part->child);
        free(part);
        part = next;
    }
}

/* The parts of a type as it lies in memory. */
static enum emd_status make_parts(hid_t type, unsigned depth, struct part **out,
                                  struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct part *part = *out = calloc(1, sizeof *part);
    if (!part)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    part->size = H5Tget_size(type);
    H5T_class_t class = H5Tget_class(type);
    if (part->size == 0 || class == H5T_NO_CLASS)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read");
    if (depth > NESTING_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "has more than %d types inside each other",
                        NESTING_MAX);
    if (class == H5T_STRING && H5Tis_variable_str(type) > 0) {
        part->kind = PART_STRING;
    } else if (class == H5T_REFERENCE) {
        if (H5Tequal(type, H5T_STD_REF_OBJ) > 0)
            part->kind = PART_OBJECT;
        else if (H5Tequal(type, H5T_STD_REF_DSETREG) > 0)
            part->kind = PART_REGION;
        else
            status = emd_fail(err, EMD_E_UNSUPPORTED, "has references of a kind not known here");
    } else if (class == H5T_VLEN || class == H5T_ARRAY) {
        hid_t base = H5Tget_super(type);
        part->kind = class == H5T_VLEN ? PART_SEQUENCE : PART_ARRAY;
        status = base < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read")
                          : make_parts(base, depth + 1, &part->child, err);
        emd_hdf5_close(&base);
        if (status == EMD_OK)
            part->count = part->size / part->child->size;
    } else if (class == H5T_COMPOUND) {
        part->kind = PART_GROUP;
        int members = H5Tget_nmembers(type);
        for (int i = 0; i < members && status == EMD_OK; i++) {
            struct part *child = NULL;
            hid_t member = H5Tget_member_type(type, (unsigned)i);
            status = member < 0
                         ? emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read")
                         : make_parts(member, depth + 1, &child, err);
            emd_hdf5_close(&member);
            if (child) {
                child->offset = H5Tget_member_offset(type, (unsigned)i);
                child->next = part->child;
                part->child = child;
                if (child->offset > part->size || child->size > part->size - child->offset)
                    status = emd_fail(err, EMD_E_CORRUPT, "has a member outside its compound");
            }
        }
    }
    /* An array of plain items is plain; so is a compound without gaps, but that is rare. */
    if (status == EMD_OK && part->kind == PART_ARRAY && part->child->kind == PART_PLAIN) {
        free_parts(part->child);
        part->child = NULL;
        part->kind = PART_PLAIN;
    }
    return status;
}

/* Both references lead to one pair. */
static enum emd_status compare_targets(struct comparison *c, H5R_type_t kind, const void *a,
                                       const void *b, struct emd_error *err)
{
    const void *reference[2] = {a, b};
    uint64_t address[2];
    enum emd_status status = EMD_OK;
    for (int side = 0; side < 2 && status == EMD_OK; side++) {
        hid_t target = H5Rdereference2(c->file[side], H5P_DEFAULT, kind, reference[side]);
        status = target < 0 ? emd_hdf5_fail(err, EMD_E_VERIFY, "has a reference that leads nowhere")
                            : emd_hdf5_address(target, &address[side], err);
        emd_hdf5_close(&target);
    }
    if (status != EMD_OK)
        return status;
    uint32_t row = find_pair(c, 0, address[0]);
    if (row == NOBODY || c->pair[row].address[1] != address[1])
        return emd_fail(err, EMD_E_VERIFY, "has a reference to another object");
    return EMD_OK;
}

static bool same_blocks(hid_t a, hid_t b)
{
    H5S_sel_type kind = H5Sget_select_type(a);
    bool points = kind == H5S_SEL_POINTS;
    int rank = H5Sget_simple_extent_ndims(a);
    hssize_t n[2] = {points ? H5Sget_select_elem_npoints(a) : H5Sget_select_hyper_nblocks(a),
                     points ? H5Sget_select_elem_npoints(b) : H5Sget_select_hyper_nblocks(b)};
    if (rank < 1 || n[0] < 0 || n[0] != n[1])
        return false;
    if (n[0] > MOST_BLOCKS)
        return true; /* bounds and number must do */
    size_t bytes = (size_t)n[0] * (size_t)rank * (points ? 1 : 2) * sizeof(hsize_t);
    hsize_t *list[2] = {calloc(1, bytes + 1), calloc(1, bytes + 1)};
    bool same = list[0] && list[1];
    for (int side = 0; side < 2 && same; side++)
        same = (points ? H5Sget_select_elem_pointlist(side ? b : a, 0, (hsize_t)n[0], list[side])
                       : H5Sget_select_hyper_blocklist(side ? b : a, 0, (hsize_t)n[0],
                                                       list[side])) >= 0;
    same = same && memcmp(list[0], list[1], bytes) == 0;
    free(list[0]);
    free(list[1]);
    return same;
}

static enum emd_status compare_regions(struct comparison *c, const void *a, const void *b,
                                       struct emd_error *err)
{
    enum emd_status status = compare_targets(c, H5R_DATASET_REGION, a, b, err);
    if (status != EMD_OK)
        return status;
    hsize_t low[2][H5S_MAX_RANK] = {{0}}, high[2][H5S_MAX_RANK] = {{0}};
    hid_t space[2] = {H5Rget_region(c->file[0], H5R_DATASET_REGION, a),
                      H5Rget_region(c->file[1], H5R_DATASET_REGION, b)};
    bool same = space[0] >= 0 && space[1] >= 0 && H5Sextent_equal(space[0], space[1]) > 0 &&
                H5Sget_select_npoints(space[0]) == H5Sget_select_npoints(space[1]) &&
                H5Sget_select_type(space[0]) == H5Sget_select_type(space[1]);
    if (same && H5Sget_select_npoints(space[0]) > 0) {
        for (int side = 0; side < 2; side++)
            same = same && H5Sget_select_bounds(space[side], low[side], high[side]) >= 0;
        same = same && memcmp(low[0], low[1], sizeof low[0]) == 0 &&
               memcmp(high[0], high[1], sizeof high[0]) == 0;
        H5S_sel_type kind = H5Sget_select_type(space[0]);
        if (same && (kind == H5S_SEL_POINTS || kind == H5S_SEL_HYPERSLABS))
            same = same_blocks(space[0], space[1]);
    }
    emd_hdf5_close(&space[0]);
    emd_hdf5_close(&space[1]);
    return same ? EMD_OK : emd_fail(err, EMD_E_VERIFY, "has a reference to another region");
}

static enum emd_status compare_part(struct comparison *c, const struct part *part,
                                    const unsigned char *a, const unsigned char *b,
                                    struct emd_error *err)
{
    static const unsigned char null[sizeof(hdset_reg_ref_t) + sizeof(hobj_ref_t)];
    enum emd_status status = EMD_OK;
    bool same = true;
    switch (part->kind) {
    case PART_PLAIN:
        same = memcmp(a, b, part->size) == 0;
        break;
    case PART_STRING: {
        const char *text[2];
        memcpy(&text[0], a, sizeof text[0]);
        memcpy(&text[1], b, sizeof text[1]);
        same = text[0] && text[1] ? strcmp(text[0], text[1]) == 0 : text[0] == text[1];
        break;
    }
    case PART_OBJECT:
    case PART_REGION: {
        size_t n = part->kind == PART_OBJECT ? sizeof(hobj_ref_t) : sizeof(hdset_reg_ref_t);
        unsigned char reference[2][sizeof null];
        memcpy(reference[0], a, n);
        memcpy(reference[1], b, n);
        bool nulls[2] = {memcmp(a, null, n) == 0, memcmp(b, null, n) == 0};
        if (nulls[0] || nulls[1])
            same = nulls[0] == nulls[1];
        else if (part->kind == PART_OBJECT)
            status = compare_targets(c, H5R_OBJECT, reference[0], reference[1], err);
        else
            status = compare_regions(c, reference[0], reference[1], err);
        break;
    }
    case PART_GROUP:
        for (const struct part *child = part->child; child && status == EMD_OK; child = child->next)
            status = compare_part(c, child, a + child->offset, b + child->offset, err);
        break;
    case PART_ARRAY:
        for (size_t i = 0; i < part->count && status == EMD_OK; i++)
            status = compare_part(c, part->child, a + i * part->child->size,
                                  b + i * part->child->size, err);
        break;
    case PART_SEQUENCE: {
        hvl_t list[2];
        memcpy(&list[0], a, sizeof list[0]);
        memcpy(&list[1], b, sizeof list[1]);
        const unsigned char *p = list[0].p, *q = list[1].p;
        same = list[0].len == list[1].len && (list[0].len == 0 || (p && q));
        for (size_t i = 0; same && i < list[0].len && status == EMD_OK; i++)
            status = compare_part(c, part->child, p + i * part->child->size,
                                  q + i * part->child->size, err);
        break;
    }
    }
    return same ? status : emd_fail(err, EMD_E_VERIFY, "has other values");
}

static enum emd_status compare_elements(struct comparison *c, const struct part *part,
                                        const void *a, const void *b, size_t count,
                                        struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    if (part->kind == PART_PLAIN)
        return memcmp(a, b, count * part->size) == 0
                   ? EMD_OK
                   : emd_fail(err, EMD_E_VERIFY, "has other values");
    for (size_t i = 0; i < count && status == EMD_OK; i++)
        status = compare_part(c, part, (const unsigned char *)a + i * part->size,
                              (const unsigned char *)b + i * part->size, err);
    return status;
}

/* A dataset's or attribute's type in memory, not committed. */
static hid_t memory_type(hid_t type)
{
    return type < 0 ? H5I_INVALID_HID : H5Tcopy(type);
}

/* ---- datasets ---- */

/* One pair of datasets while their values are compared. */
struct reading {
    struct comparison *c;
    hid_t dataset[2], type[2], space[2], transfer[2];
    struct part *part;
    int rank;
};

/* *refused: variable-length values did not fit the arena. */
static enum emd_status compare_box(struct reading *r, const hsize_t *start, const hsize_t *count,
                                   size_t elements, size_t limit, bool *refused,
                                   struct emd_error *err)
{
    struct comparison *c = r->c;
    enum emd_status status = EMD_OK;
    const hsize_t n = elements;
    hid_t memory = H5Screate_simple(1, &n, NULL);
    *refused = false;
    for (int side = 0; side < 2 && status == EMD_OK; side++) {
        memset(c->buffer[side], 0, elements * r->part->size);
        emd_arena_reset(&c->arena[side], limit);
        if (memory < 0 || (r->rank > 0 && H5Sselect_hyperslab(r->space[side], H5S_SELECT_SET, start,
                                                              NULL, count, NULL) < 0))
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot select elements");
        else if (H5Dread(r->dataset[side], r->type[side], memory, r->space[side], r->transfer[side],
                         c->buffer[side]) < 0) {
            *refused = c->arena[side].refused;
            status = emd_hdf5_fail(err, side ? EMD_E_VERIFY : EMD_E_CORRUPT,
                                   side ? "cannot be read back" : "cannot be read");
        }
    }
    if (status == EMD_OK)
        status = compare_elements(c, r->part, c->buffer[0], c->buffer[1], elements, err);
    emd_hdf5_close(&memory);
    return status;
}

/* The box of 'dims' elements at 'origin', in pieces of whole inner axes as far as they fit, a run
 * along one axis, one step along the outer ones. */
static enum emd_status compare_pieces(struct reading *r, const hsize_t *origin, const hsize_t *dims,
                                      struct emd_error *err)
{
    struct comparison *c = r->c;
    hsize_t at[EMD_RANK_MAX] = {0}, part[EMD_RANK_MAX], start[EMD_RANK_MAX];
    size_t most = c->buffer_bytes / r->part->size;
    most = most ? most : 1;
    for (;;) {
        size_t elements = 1;
        bool whole = true;
        for (int i = r->rank - 1; i >= 0; i--) {
            hsize_t left = dims[i] - at[i], fit = whole ? most / elements : 1;
            fit = fit ? fit : 1;
            part[i] = left < fit ? left : fit;
            start[i] = origin[i] + at[i];
            whole = whole && part[i] == dims[i];
            elements *= (size_t)part[i];
        }
        if (c->options->cancelled && c->options->cancelled(c->options->ctx))
            return emd_fail(err, EMD_E_CANCELLED, "stopped on request");
        bool refused;
        enum emd_status status = compare_box(
            r, start, part, elements, elements > 1 ? c->buffer_bytes : SIZE_MAX / 2, &refused, err);
        if (refused && elements > 1) {
            most = elements / 2;
            continue;
        }
        if (status != EMD_OK)
            return status;
        int axis = r->rank - 1;
        for (; axis >= 0; axis--) {
            at[axis] += part[axis];
            if (at[axis] < dims[axis])
                break;
            at[axis] = 0;
        }
        if (axis < 0)
            return EMD_OK;
    }
}

static enum emd_status get_buffers(struct comparison *c, size_t item, struct emd_error *err)
{
    size_t bytes = item > c->buffer_bytes ? item : c->buffer_bytes;
    if (c->buffer[0] && item <= c->buffer_bytes)
        return EMD_OK;
    for (int side = 0; side < 2; side++) {
        free(c->buffer[side]);
        c->buffer[side] = malloc(bytes);
        if (!c->buffer[side])
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", bytes);
    }
    return EMD_OK;
}

/* Chunk by chunk, of those that are stored: the same ones on both sides. What was never written has
 * no values of its own, and HDF5 1.10 cannot read variable-length fill values from a file that it
 * may not write. */
static enum emd_status compare_chunks(struct reading *r, struct emd_error *err)
{
    struct emd_chunk_list list[2] = {{.count = 0}, {.count = 0}};
    const struct emd_chunk_grid *grid = &list[0].grid;
    enum emd_status status = EMD_OK;
    for (int side = 0; side < 2 && status == EMD_OK; side++)
        status =
            emd_chunk_list_get(r->dataset[side], NULL, EMD_CHUNKS_BY_INDEX, 0, &list[side], err);
    if (status == EMD_OK &&
        (list[0].count != list[1].count ||
         memcmp(grid->chunk, list[1].grid.chunk, grid->rank * sizeof grid->chunk[0]) != 0))
        status = emd_fail(err, EMD_E_VERIFY, "has other chunks");
    for (size_t i = 0; i < list[0].count && status == EMD_OK; i++) {
        hsize_t origin[EMD_RANK_MAX], extent[EMD_RANK_MAX];
        if (list[0].chunk[i].index != list[1].chunk[i].index) {
            status = emd_fail(err, EMD_E_VERIFY, "has other chunks");
            break;
        }
        emd_chunk_offset(grid, list[0].chunk[i].index, origin);
        for (unsigned a = 0; a < grid->rank; a++) {
            hsize_t left = grid->dims[a] - origin[a];
            extent[a] = left < grid->chunk[a] ? left : grid->chunk[a];
        }
        status = compare_pieces(r, origin, extent, err);
    }
    for (int side = 0; side < 2; side++)
        emd_chunk_list_free(&list[side]);
    return status;
}

static enum emd_status compare_values(struct reading *r, struct emd_error *err)
{
    struct comparison *c = r->c;
    hsize_t dims[EMD_RANK_MAX] = {0}, origin[EMD_RANK_MAX] = {0};
    /* Space that was never allocated has no values of its own. */
    if (H5Sget_simple_extent_type(r->space[0]) == H5S_NULL ||
        H5Sget_simple_extent_npoints(r->space[0]) == 0 || !emd_hdf5_is_allocated(r->dataset[0]))
        return EMD_OK;
    enum emd_status status = make_parts(r->type[0], 0, &r->part, err);
    if (status == EMD_OK)
        status = get_buffers(c, r->part->size, err);
    if (status != EMD_OK)
        return status;
    r->rank = H5Sget_simple_extent_ndims(r->space[0]);
    if (r->rank < 0 || r->rank > EMD_RANK_MAX ||
        H5Sget_simple_extent_dims(r->space[0], dims, NULL) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at its dataspace");
    hid_t list = H5Dget_create_plist(r->dataset[0]);
    const bool chunked = list >= 0 && H5Pget_layout(list) == H5D_CHUNKED;
    emd_hdf5_close(&list);
    return chunked ? compare_chunks(r, err) : compare_pieces(r, origin, dims, err);
}

static bool same_extent(hid_t a, hid_t b)
{
    return H5Sget_simple_extent_type(a) == H5Sget_simple_extent_type(b) &&
           (H5Sget_simple_extent_type(a) != H5S_SIMPLE || H5Sextent_equal(a, b) > 0);
}

static enum emd_status compare_datasets(struct comparison *c, uint32_t row, hid_t a, hid_t b,
                                        struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    bool compared = false;
    struct reading r = {.c = c, .dataset = {a, b}};
    for (int side = 0; side < 2; side++) {
        hid_t type = H5Dget_type(r.dataset[side]);
        r.type[side] = memory_type(type);
        emd_hdf5_close(&type);
        r.space[side] = H5Dget_space(r.dataset[side]);
        r.transfer[side] = H5Pcreate(H5P_DATASET_XFER);
        if (r.type[side] < 0 || r.space[side] < 0 || r.transfer[side] < 0 ||
            H5Pset_vlen_mem_manager(r.transfer[side], emd_arena_alloc, &c->arena[side],
                                    emd_arena_free, &c->arena[side]) < 0)
            status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be looked at");
    }
    if (status == EMD_OK && H5Tequal(r.type[0], r.type[1]) <= 0)
        status = emd_fail(err, EMD_E_VERIFY, "has another type");
    if (status == EMD_OK && !same_extent(r.space[0], r.space[1]))
        status = emd_fail(err, EMD_E_VERIFY, "has another extent");
    if (status == EMD_OK && c->options->dataset)
        status =
            c->options->dataset(c->options->ctx, c->pair[row].address[0], a, b, &compared, err);
    if (status == EMD_OK && !compared)
        status = compare_values(&r, err);
    free_parts(r.part);
    for (int side = 0; side < 2; side++) {
        emd_arena_reset(&c->arena[side], 0);
        emd_hdf5_close(&r.transfer[side]);
        emd_hdf5_close(&r.space[side]);
        emd_hdf5_close(&r.type[side]);
    }
    return status;
}

/* ---- attributes ---- */

struct attributes {
    struct comparison *c;
    uint32_t row;
    hid_t other;
    size_t count;
    enum emd_status status;
    struct emd_error *err;
};

static bool is_omitted(const struct attributes *job, const char *name)
{
    const char *omit = job->c->options->omit_root_attribute;
    return job->row == 0 && omit && strcmp(name, omit) == 0;
}

static enum emd_status compare_attribute_values(struct comparison *c, const hid_t attribute[2],
                                                const hid_t type[2], hid_t space,
                                                struct emd_error *err)
{
    struct part *part = NULL;
    void *data[2] = {NULL, NULL};
    bool read[2] = {false, false};
    size_t bytes = 0;
    hssize_t count = H5Sget_simple_extent_npoints(space);
    enum emd_status status = make_parts(type[0], 0, &part, err);
    if (status == EMD_OK && (count < 0 || __builtin_mul_overflow(count, part->size, &bytes)))
        status = emd_fail(err, EMD_E_CORRUPT, "has an impossible size");
    for (int side = 0; side < 2 && status == EMD_OK && count > 0; side++) {
        data[side] = calloc(1, bytes);
        if (!data[side])
            status = emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", bytes);
        else if (H5Aread(attribute[side], type[side], data[side]) < 0)
            status = emd_hdf5_fail(err, side ? EMD_E_VERIFY : EMD_E_CORRUPT, "cannot be read");
        else
            read[side] = true;
    }
    if (status == EMD_OK && count > 0)
        status = compare_elements(c, part, data[0], data[1], (size_t)count, err);
    for (int side = 0; side < 2; side++) {
        if (read[side] && (H5Tdetect_class(type[side], H5T_VLEN) > 0 ||
                           H5Tdetect_class(type[side], H5T_STRING) > 0))
            H5Dvlen_reclaim(type[side], space, H5P_DEFAULT, data[side]);
        free(data[side]);
    }
    free_parts(part);
    return status;
}

static herr_t compare_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
    struct attributes *job = data;
    struct emd_error *err = job->err;
    enum emd_status status = EMD_OK;
    (void)info;
    if (is_omitted(job, name))
        return H5_ITER_CONT;
    job->count++;
    hid_t attribute[2] = {H5Aopen(object, name, H5P_DEFAULT), H5I_INVALID_HID};
    if (H5Aexists(job->other, name) > 0)
        attribute[1] = H5Aopen(job->other, name, H5P_DEFAULT);
    hid_t type[2], space[2];
    for (int side = 0; side < 2; side++) {
        hid_t stored = attribute[side] < 0 ? H5I_INVALID_HID : H5Aget_type(attribute[side]);
        type[side] = memory_type(stored);
        emd_hdf5_close(&stored);
        space[side] = attribute[side] < 0 ? H5I_INVALID_HID : H5Aget_space(attribute[side]);
    }
    if (attribute[1] < 0)
        status = emd_fail(err, EMD_E_VERIFY, "is missing");
    else if (type[0] < 0 || type[1] < 0 || space[0] < 0 || space[1] < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be looked at");
    else if (H5Tequal(type[0], type[1]) <= 0 || !same_extent(space[0], space[1]))
        status = emd_fail(err, EMD_E_VERIFY, "has another type or extent");
    else if (H5Sget_simple_extent_type(space[0]) != H5S_NULL)
        status = compare_attribute_values(job->c, attribute, type, space[0], err);
    for (int side = 0; side < 2; side++) {
        emd_hdf5_close(&space[side]);
        emd_hdf5_close(&type[side]);
        emd_hdf5_close(&attribute[side]);
    }
    if (status != EMD_OK)
        emd_fail_prefix(err, status, "attribute '%.200s'", name);
    job->status = status;
    return status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

static herr_t count_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
    struct attributes *job = data;
    (void)object;
    (void)info;
    job->count += !is_omitted(job, name);
    return H5_ITER_CONT;
}

static enum emd_status compare_attributes(struct comparison *c, uint32_t row, hid_t a, hid_t b,
                                          struct emd_error *err)
{
    struct attributes job = {.c = c, .row = row, .other = b, .err = err}, other = job;
    if (H5Aiterate2(a, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, compare_attribute, &job) < 0)
        return job.status != EMD_OK
                   ? job.status
                   : emd_hdf5_fail(err, EMD_E_CORRUPT, "has attributes that cannot be listed");
    if (H5Aiterate2(b, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, count_attribute, &other) < 0)
        return emd_hdf5_fail(err, EMD_E_VERIFY, "has attributes that cannot be listed");
    if (job.count != other.count)
        return emd_fail(err, EMD_E_VERIFY, "has %zu attributes instead of %zu", other.count,
                        job.count);
    return EMD_OK;
}

/* ---- links ---- */

#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
#define get_link_info H5Lget_info2
#define iterate_links H5Literate2
#else
typedef H5L_info_t link_info;
#define get_link_info H5Lget_info
#define iterate_links H5Literate
#endif

struct links {
    struct comparison *c;
    uint32_t row;
    hid_t other;
    enum emd_status status;
    struct emd_error *err;
};

static enum emd_status compare_hard(struct links *job, hid_t group, const char *name,
                                    struct emd_error *err)
{
    const hid_t from[2] = {group, job->other};
    uint64_t address[2];
    enum emd_status status = EMD_OK;
    for (int side = 0; side < 2 && status == EMD_OK; side++) {
        hid_t object = H5Oopen(from[side], name, H5P_DEFAULT);
        status = object < 0 ? emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be opened")
                            : emd_hdf5_address(object, &address[side], err);
        emd_hdf5_close(&object);
    }
    return status == EMD_OK ? add_pair(job->c, address, job->row, name, err) : status;
}

static enum emd_status compare_link_values(struct links *job, hid_t group, const char *name,
                                           size_t bytes, struct emd_error *err)
{
    char *value[2] = {calloc(1, bytes + 1), calloc(1, bytes + 1)};
    enum emd_status status = EMD_OK;
    if (!value[0] || !value[1])
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else if (H5Lget_val(group, name, value[0], bytes, H5P_DEFAULT) < 0 ||
             H5Lget_val(job->other, name, value[1], bytes, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "is a link that cannot be read");
    else if (memcmp(value[0], value[1], bytes) != 0)
        status = emd_fail(err, EMD_E_VERIFY, "is a link to another target");
    free(value[0]);
    free(value[1]);
    return status;
}

static herr_t compare_link(hid_t group, const char *name, const link_info *info, void *data)
{
    struct links *job = data;
    struct emd_error *err = job->err;
    link_info other;
    enum emd_status status;
    if (H5Lexists(job->other, name, H5P_DEFAULT) <= 0 ||
        get_link_info(job->other, name, &other, H5P_DEFAULT) < 0)
        status = emd_fail(err, EMD_E_VERIFY, "is missing");
    else if (other.type != info->type || other.cset != info->cset)
        status = emd_fail(err, EMD_E_VERIFY, "is another kind of link");
    else if (info->type == H5L_TYPE_HARD)
        status = compare_hard(job, group, name, err);
    else if (other.u.val_size != info->u.val_size)
        status = emd_fail(err, EMD_E_VERIFY, "is a link to another target");
    else
        status = compare_link_values(job, group, name, info->u.val_size, err);
    if (status != EMD_OK)
        emd_fail_prefix(err, status, "'%.200s'", name);
    job->status = status;
    return status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

static enum emd_status compare_groups(struct comparison *c, uint32_t row, hid_t a, hid_t b,
                                      struct emd_error *err)
{
    struct links job = {.c = c, .row = row, .other = b, .err = err};
    H5G_info_t info[2];
    if (H5Gget_info(a, &info[0]) < 0 || H5Gget_info(b, &info[1]) < 0)
        return emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be looked at");
    if (iterate_links(a, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, compare_link, &job) < 0)
        return job.status != EMD_OK
                   ? job.status
                   : emd_hdf5_fail(err, EMD_E_CORRUPT, "has links that cannot be listed");
    if (info[0].nlinks != info[1].nlinks)
        return emd_fail(err, EMD_E_VERIFY, "has %" PRIu64 " links instead of %" PRIu64,
                        (uint64_t)info[1].nlinks, (uint64_t)info[0].nlinks);
    return EMD_OK;
}

/* ---- the walk ---- */

static enum emd_status open_pair(const struct comparison *c, uint32_t row, hid_t object[2],
                                 struct emd_error *err)
{
    for (int side = 0; side < 2; side++)
        object[side] = emd_hdf5_open_address(c->file[side], c->pair[row].address[side]);
    if (object[0] < 0 || object[1] < 0)
        return emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be opened");
    if (H5Iget_type(object[0]) != H5Iget_type(object[1]))
        return emd_fail(err, EMD_E_VERIFY, "is another kind of object");
    return EMD_OK;
}

/* All links of the tree first: values may refer to any object. */
static enum emd_status compare_object(struct comparison *c, uint32_t row, bool links,
                                      struct emd_error *err)
{
    hid_t object[2];
    enum emd_status status = open_pair(c, row, object, err);
    if (status == EMD_OK && c->options->cancelled && c->options->cancelled(c->options->ctx))
        status = emd_fail(err, EMD_E_CANCELLED, "stopped on request");
    const H5I_type_t kind = status == EMD_OK ? H5Iget_type(object[0]) : H5I_BADID;
    if (links && kind == H5I_GROUP)
        status = compare_groups(c, row, object[0], object[1], err);
    if (!links && status == EMD_OK)
        status = compare_attributes(c, row, object[0], object[1], err);
    if (!links && status == EMD_OK && kind == H5I_DATASET)
        status = compare_datasets(c, row, object[0], object[1], err);
    if (!links && status == EMD_OK && kind == H5I_DATATYPE && H5Tequal(object[0], object[1]) <= 0)
        status = emd_fail(err, EMD_E_VERIFY, "is another type");
    emd_hdf5_close(&object[0]);
    emd_hdf5_close(&object[1]);
    return status == EMD_OK || status == EMD_E_CANCELLED ? status : blame(c, row, status, err);
}

enum emd_status emd_tree_compare(hid_t a, hid_t b, const struct emd_compare_options *options,
                                 struct emd_error *err)
{
    static const struct emd_compare_options defaults;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct comparison c = {.file = {a, b}, .options = options ? options : &defaults};
    c.buffer_bytes = c.options->buffer_bytes ? c.options->buffer_bytes : DEFAULT_BUFFER;
    uint64_t address[2];
    enum emd_status status = EMD_OK;
    for (int side = 0; side < 2 && status == EMD_OK; side++) {
        hid_t root = H5Gopen2(c.file[side], "/", H5P_DEFAULT);
        status = root < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot open the root group")
                          : emd_hdf5_address(root, &address[side], err);
        emd_hdf5_close(&root);
    }
    if (status == EMD_OK)
        status = add_pair(&c, address, NOBODY, "", err);
    for (size_t i = 0; i < c.count && status == EMD_OK; i++)
        status = compare_object(&c, (uint32_t)i, true, err);
    for (size_t i = 0; i < c.count && status == EMD_OK; i++)
        status = compare_object(&c, (uint32_t)i, false, err);
    for (size_t i = 0; i < c.count; i++)
        free(c.pair[i].name);
    free(c.pair);
    for (int side = 0; side < 2; side++) {
        free(c.table[side].slot);
        free(c.buffer[side]);
        emd_arena_end(&c.arena[side]);
    }
    emd_hdf5_quiet_end(&quiet);
    return status;
}
