/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See comparejob.h. The values of a type are compared along a tree of its parts, made once a
 * dataset or attribute, since asking HDF5 about the type at every element would take longer than
 * reading it. */
#include <stdlib.h>
#include <string.h>

#include "hdf5/comparejob.h"
#include "hdf5/h5call.h"

enum { NESTING_MAX = 64 };

static void free_part(struct emd_part *part)
{
    while (part) {
        struct emd_part *next = part->next;
        free_part(part->child);
        free(part);
        part = next;
    }
}

static enum emd_status make_part(hid_t type, unsigned depth, struct emd_part **out,
                                 struct emd_error *err);

/* Puts a member in its place by offset; 'last' is where the one before went: most come in order. */
static struct emd_part *insert_part(struct emd_part *parent, struct emd_part *child,
                                    struct emd_part *last)
{
    struct emd_part **at = last && last->offset <= child->offset ? &last->next : &parent->child;
    while (*at && (*at)->offset <= child->offset)
        at = &(*at)->next;
    child->next = *at;
    *at = child;
    return child;
}

static enum emd_status make_members(hid_t type, unsigned depth, struct emd_part *part,
                                    struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    const int members = H5Tget_nmembers(type);
    struct emd_part *last = NULL;
    if (members < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read");
    for (int i = 0; i < members && status == EMD_OK; i++) {
        struct emd_part *child = NULL;
        hid_t member = H5Tget_member_type(type, (unsigned)i);
        status = member < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read")
                            : make_part(member, depth + 1, &child, err);
        emd_hdf5_close(&member);
        if (child) {
            child->offset = H5Tget_member_offset(type, (unsigned)i);
            last = insert_part(part, child, last);
            if (child->offset > part->size || child->size > part->size - child->offset)
                status = emd_fail(err, EMD_E_CORRUPT, "has a member outside its compound");
        }
    }
    return status;
}

static enum emd_status make_items(hid_t type, unsigned depth, struct emd_part *part,
                                  struct emd_error *err)
{
    hid_t base = H5Tget_super(type);
    enum emd_status status =
        base < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read")
                 : make_part(base, depth + 1, &part->child, err);
    emd_hdf5_close(&base);
    if (status != EMD_OK)
        return status;
    part->count = part->size / part->child->size;
    if (part->kind == EMD_PART_ARRAY && part->child->kind == EMD_PART_PLAIN) {
        /* an array of plain items is plain */
        free_part(part->child);
        part->child = NULL;
        part->kind = EMD_PART_PLAIN;
    }
    return EMD_OK;
}

/* The parts of a type as it lies in memory. */
static enum emd_status make_part(hid_t type, unsigned depth, struct emd_part **out,
                                 struct emd_error *err)
{
    struct emd_part *part = *out = calloc(1, sizeof *part);
    if (!part)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    const H5T_class_t class = H5Tget_class(type);
    part->size = H5Tget_size(type);
    if (part->size == 0 || class == H5T_NO_CLASS)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read");
    if (depth > NESTING_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "has more than %d types inside each other",
                        NESTING_MAX);
    if (class == H5T_VLEN || class == H5T_ARRAY) {
        part->kind = class == H5T_VLEN ? EMD_PART_SEQUENCE : EMD_PART_ARRAY;
        return make_items(type, depth, part, err);
    }
    if (class == H5T_COMPOUND) {
        part->kind = EMD_PART_GROUP;
        return make_members(type, depth, part, err);
    }
    if (class == H5T_STRING && H5Tis_variable_str(type) > 0)
        part->kind = EMD_PART_STRING;
    else if (class == H5T_REFERENCE && H5Tequal(type, H5T_STD_REF_OBJ) > 0)
        part->kind = EMD_PART_OBJECT;
    else if (class == H5T_REFERENCE && H5Tequal(type, H5T_STD_REF_DSETREG) > 0)
        part->kind = EMD_PART_REGION;
    else if (class == H5T_REFERENCE)
        return emd_fail(err, EMD_E_UNSUPPORTED, "has references of a kind not known here");
    return EMD_OK;
}

/* What is inside. 'compound': the part lies in an array, directly or not, and in a compound in it.
 * HDF5 1.10 mixes up variable-length values there when it converts several elements at a time. The
 * copy has its own way around that (arrays.h); here such elements are read one at a time, so that
 * the two do not rely on the same thing. */
static void survey(const struct emd_part *part, bool array, bool compound, struct emd_parts *found)
{
    for (; part; part = part->next) {
        const bool variable = part->kind == EMD_PART_STRING || part->kind == EMD_PART_SEQUENCE;
        found->variable |= variable;
        found->references |= part->kind == EMD_PART_OBJECT || part->kind == EMD_PART_REGION;
        found->singly |= variable && compound;
        if (part->child)
            survey(part->child, array || part->kind == EMD_PART_ARRAY,
                   compound || (array && part->kind == EMD_PART_GROUP), found);
    }
}

enum emd_status emd_parts_make(hid_t type, struct emd_parts *parts, struct emd_error *err)
{
    *parts = (struct emd_parts){.size = 0};
    enum emd_status status = make_part(type, 0, &parts->root, err);
    if (status == EMD_OK) {
        parts->size = parts->root->size;
        survey(parts->root, false, false, parts);
    }
    return status;
}

void emd_parts_free(struct emd_parts *parts)
{
    free_part(parts->root);
    *parts = (struct emd_parts){.size = 0};
}

/* ---- references ---- */

enum emd_target emd_find_target(const struct emd_comparison *c, int side, H5R_type_t kind,
                                const void *reference, size_t n, uint32_t *row)
{
    static const unsigned char null[sizeof(hdset_reg_ref_t) + sizeof(hobj_ref_t)];
    uint64_t address;
    *row = EMD_NO_PAIR;
    if (memcmp(reference, null, n) == 0)
        return EMD_TARGET_NULL;
    memcpy(&address, reference, sizeof address);
    if (address == HADDR_UNDEF)
        return EMD_TARGET_UNDEFINED;
    if (kind == H5R_OBJECT) /* that is the object's address */
        *row = emd_pair_find(c, side, address);
    if (*row != EMD_NO_PAIR)
        return EMD_TARGET_PAIR;
    hid_t target = H5Rdereference2(c->file[side], H5P_DEFAULT, kind, reference);
    if (target >= 0 && emd_hdf5_address(target, &address, NULL) == EMD_OK)
        *row = emd_pair_find(c, side, address);
    emd_hdf5_close(&target);
    return *row == EMD_NO_PAIR ? EMD_TARGET_GONE : EMD_TARGET_PAIR;
}

/* A copy has null where the original's object is gone. */
static bool same_targets(const struct emd_comparison *c, H5R_type_t kind, const void *a,
                         const void *b, size_t n, enum emd_target *which)
{
    uint32_t row[2];
    const enum emd_target x = emd_find_target(c, 0, kind, a, n, &row[0]);
    const enum emd_target y = emd_find_target(c, 1, kind, b, n, &row[1]);
    *which = x;
    if (x == EMD_TARGET_PAIR || y == EMD_TARGET_PAIR)
        return x == y && row[0] == row[1];
    const bool nowhere[2] = {x == EMD_TARGET_NULL || x == EMD_TARGET_GONE,
                             y == EMD_TARGET_NULL || y == EMD_TARGET_GONE};
    return nowhere[0] == nowhere[1];
}

static bool same_blocks(hid_t a, hid_t b)
{
    const bool points = H5Sget_select_type(a) == H5S_SEL_POINTS;
    const int rank = H5Sget_simple_extent_ndims(a);
    hssize_t n[2] = {points ? H5Sget_select_elem_npoints(a) : H5Sget_select_hyper_nblocks(a),
                     points ? H5Sget_select_elem_npoints(b) : H5Sget_select_hyper_nblocks(b)};
    if (rank < 1 || n[0] < 0 || n[0] != n[1])
        return false;
    if (n[0] > EMD_MOST_BLOCKS)
        return true;
    const size_t bytes = (size_t)n[0] * (size_t)rank * (points ? 1 : 2) * sizeof(hsize_t);
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

static bool same_regions(const struct emd_comparison *c, const void *a, const void *b)
{
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
        const H5S_sel_type kind = H5Sget_select_type(space[0]);
        if (same && (kind == H5S_SEL_POINTS || kind == H5S_SEL_HYPERSLABS))
            same = same_blocks(space[0], space[1]);
    }
    emd_hdf5_close(&space[0]);
    emd_hdf5_close(&space[1]);
    return same;
}

static bool same_references(const struct emd_comparison *c, const struct emd_part *part,
                            const unsigned char *a, const unsigned char *b)
{
    const bool region = part->kind == EMD_PART_REGION;
    const size_t n = region ? sizeof(hdset_reg_ref_t) : sizeof(hobj_ref_t);
    unsigned char reference[2][sizeof(hdset_reg_ref_t) + sizeof(hobj_ref_t)] = {{0}};
    enum emd_target kind;
    memcpy(reference[0], a, n);
    memcpy(reference[1], b, n);
    return same_targets(c, region ? H5R_DATASET_REGION : H5R_OBJECT, reference[0], reference[1], n,
                        &kind) &&
           (!region || kind != EMD_TARGET_PAIR || same_regions(c, reference[0], reference[1]));
}

/* ---- elements ---- */

static bool same_part(const struct emd_comparison *c, const struct emd_part *part,
                      const unsigned char *a, const unsigned char *b)
{
    switch (part->kind) {
    case EMD_PART_PLAIN:
        break;
    case EMD_PART_STRING: {
        const char *text[2];
        memcpy(&text[0], a, sizeof text[0]);
        memcpy(&text[1], b, sizeof text[1]);
        return text[0] && text[1] ? strcmp(text[0], text[1]) == 0 : text[0] == text[1];
    }
    case EMD_PART_OBJECT:
    case EMD_PART_REGION:
        return same_references(c, part, a, b);
    case EMD_PART_GROUP:
        for (const struct emd_part *child = part->child; child; child = child->next)
            if (!same_part(c, child, a + child->offset, b + child->offset))
                return false;
        return true;
    case EMD_PART_ARRAY:
        for (size_t i = 0; i < part->count; i++)
            if (!same_part(c, part->child, a + i * part->child->size, b + i * part->child->size))
                return false;
        return true;
    case EMD_PART_SEQUENCE: {
        hvl_t list[2];
        memcpy(&list[0], a, sizeof list[0]);
        memcpy(&list[1], b, sizeof list[1]);
        const unsigned char *p = list[0].p, *q = list[1].p;
        if (list[0].len != list[1].len || (list[0].len > 0 && (!p || !q)))
            return false;
        if (part->child->kind == EMD_PART_PLAIN)
            return list[0].len == 0 || memcmp(p, q, list[0].len * part->child->size) == 0;
        for (size_t i = 0; i < list[0].len; i++)
            if (!same_part(c, part->child, p + i * part->child->size, q + i * part->child->size))
                return false;
        return true;
    }
    }
    return memcmp(a, b, part->size) == 0;
}

size_t emd_parts_difference(const struct emd_comparison *c, const struct emd_parts *parts,
                            const void *a, const void *b, size_t count)
{
    const unsigned char *p = a, *q = b;
    if (!parts->variable && !parts->references && memcmp(a, b, count * parts->size) == 0)
        return count;
    for (size_t i = 0; i < count; i++)
        if (!same_part(c, parts->root, p + i * parts->size, q + i * parts->size))
            return i;
    return count;
}
