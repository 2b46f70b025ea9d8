/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treehashjob.h and docs/content-hash.md. Types are told by what HDF5 says of them rather than
 * by H5Tencode, whose bytes depend on the version that wrote them. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "hdf5/h5call.h"
#include "hdf5/treehashjob.h"

enum { NESTING_MAX = 64 };

/* What a reference to nothing stands for. */
static const uint64_t no_object = UINT64_MAX;

/* ---- bytes ---- */

void emd_bytes_add(struct emd_bytes *b, const void *data, size_t n)
{
    if (b->failed || n == 0)
        return;
    if (n > b->size - b->used) {
        const size_t size = n > SIZE_MAX / 2 - b->used ? 0 : 2 * (b->used + n);
        unsigned char *grown = size ? realloc(b->data, size) : NULL;
        if (!grown) {
            b->failed = true;
            return;
        }
        b->data = grown;
        b->size = size;
    }
    memcpy(b->data + b->used, data, n);
    b->used += n;
}

void emd_bytes_add_number(struct emd_bytes *b, uint64_t number)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(number >> (8 * i));
    emd_bytes_add(b, bytes, sizeof bytes);
}

void emd_bytes_add_string(struct emd_bytes *b, const void *data, size_t n)
{
    emd_bytes_add_number(b, n);
    emd_bytes_add(b, data, n);
}

void emd_bytes_digest(const struct emd_bytes *b, unsigned char digest[EMD_HASH_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(b->data, b->used));
    memcpy(digest, canonical.digest, EMD_HASH_BYTES);
}

/* ---- types ---- */

static enum emd_status unreadable_type(struct emd_error *err)
{
    return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read");
}

static enum emd_status add_type(struct emd_bytes *b, hid_t type, unsigned depth,
                                struct emd_error *err);

static enum emd_status add_base(struct emd_bytes *b, hid_t type, unsigned depth,
                                struct emd_error *err)
{
    hid_t base = H5Tget_super(type);
    enum emd_status status = base < 0 ? unreadable_type(err) : add_type(b, base, depth + 1, err);
    emd_hdf5_close(&base);
    return status;
}

static enum emd_status add_float(struct emd_bytes *b, hid_t type, struct emd_error *err)
{
    size_t field[5];
    if (H5Tget_fields(type, &field[0], &field[1], &field[2], &field[3], &field[4]) < 0)
        return unreadable_type(err);
    for (unsigned i = 0; i < 5; i++)
        emd_bytes_add_number(b, field[i]);
    emd_bytes_add_number(b, H5Tget_ebias(type));
    emd_bytes_add_number(b, (uint64_t)H5Tget_norm(type));
    return EMD_OK;
}

/* A member of a compound or an enumeration while they are put in order. */
struct member {
    char *name;
    size_t offset; /* compounds */
    unsigned number;
};

static int by_offset(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static enum emd_status add_member(struct emd_bytes *b, hid_t type, const struct member *m,
                                  bool compound, size_t value_bytes, void *value, unsigned depth,
                                  struct emd_error *err)
{
    emd_bytes_add_string(b, m->name, strlen(m->name));
    if (!compound) {
        if (H5Tget_member_value(type, m->number, value) < 0)
            return unreadable_type(err);
        emd_bytes_add_string(b, value, value_bytes);
        return EMD_OK;
    }
    emd_bytes_add_number(b, m->offset);
    hid_t of = H5Tget_member_type(type, m->number);
    enum emd_status status = of < 0 ? unreadable_type(err) : add_type(b, of, depth + 1, err);
    emd_hdf5_close(&of);
    return status;
}

/* Of a compound by offset, of an enumeration by name: HDF5 may have sorted either. */
static enum emd_status add_members(struct emd_bytes *b, hid_t type, bool compound, unsigned depth,
                                   struct emd_error *err)
{
    const int count = H5Tget_nmembers(type);
    const size_t value_bytes = H5Tget_size(type);
    enum emd_status status = EMD_OK;
    if (count < 0 || value_bytes == 0)
        return unreadable_type(err);
    struct member *member = calloc((size_t)count + 1, sizeof *member);
    void *value = calloc(1, compound ? 1 : value_bytes);
    if (!member || !value)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (int i = 0; i < count && status == EMD_OK; i++) {
        member[i].number = (unsigned)i;
        member[i].name = H5Tget_member_name(type, (unsigned)i);
        member[i].offset = compound ? H5Tget_member_offset(type, (unsigned)i) : 0;
        if (!member[i].name)
            status = unreadable_type(err);
    }
    emd_bytes_add_number(b, (uint64_t)count);
    if (status == EMD_OK)
        qsort(member, (size_t)count, sizeof *member, compound ? by_offset : by_name);
    for (int i = 0; i < count && status == EMD_OK; i++)
        status = add_member(b, type, &member[i], compound, value_bytes, value, depth, err);
    for (int i = 0; member && i < count; i++)
        H5free_memory(member[i].name);
    free(member);
    free(value);
    return status;
}

static enum emd_status add_array(struct emd_bytes *b, hid_t type, unsigned depth,
                                 struct emd_error *err)
{
    hsize_t dims[H5S_MAX_RANK];
    const int rank = H5Tget_array_ndims(type);
    if (rank < 1 || rank > H5S_MAX_RANK || H5Tget_array_dims2(type, dims) < 0)
        return unreadable_type(err);
    emd_bytes_add_number(b, (uint64_t)rank);
    for (int i = 0; i < rank; i++)
        emd_bytes_add_number(b, dims[i]);
    return add_base(b, type, depth, err);
}

static enum emd_status add_type(struct emd_bytes *b, hid_t type, unsigned depth,
                                struct emd_error *err)
{
    const H5T_class_t class = H5Tget_class(type);
    const size_t size = H5Tget_size(type);
    if (depth > NESTING_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "has more than %d types inside each other",
                        NESTING_MAX);
    if (class == H5T_NO_CLASS || size == 0)
        return unreadable_type(err);
    emd_bytes_add_number(b, (uint64_t) class);
    switch (class) {
    case H5T_INTEGER:
    case H5T_FLOAT:
    case H5T_TIME:
    case H5T_BITFIELD:
        emd_bytes_add_number(b, size);
        emd_bytes_add_number(b, (uint64_t)H5Tget_order(type));
        emd_bytes_add_number(b, H5Tget_precision(type));
        emd_bytes_add_number(b, (uint64_t)H5Tget_offset(type));
        if (class == H5T_INTEGER)
            emd_bytes_add_number(b, (uint64_t)H5Tget_sign(type));
        return class == H5T_FLOAT ? add_float(b, type, err) : EMD_OK;
    case H5T_STRING: {
        const bool variable = H5Tis_variable_str(type) > 0;
        emd_bytes_add_number(b, variable ? 0 : size);
        emd_bytes_add_number(b, (uint64_t)H5Tget_strpad(type));
        emd_bytes_add_number(b, (uint64_t)H5Tget_cset(type));
        return EMD_OK;
    }
    case H5T_OPAQUE: {
        char *tag = H5Tget_tag(type);
        emd_bytes_add_number(b, size);
        emd_bytes_add_string(b, tag ? tag : "", tag ? strlen(tag) : 0);
        H5free_memory(tag);
        return EMD_OK;
    }
    case H5T_COMPOUND:
        emd_bytes_add_number(b, size);
        return add_members(b, type, true, depth, err);
    case H5T_REFERENCE:
        emd_bytes_add_number(b, H5Tequal(type, H5T_STD_REF_OBJ) > 0 ? 0 : 1);
        return EMD_OK;
    case H5T_ENUM: {
        enum emd_status status = add_base(b, type, depth, err);
        return status == EMD_OK ? add_members(b, type, false, depth, err) : status;
    }
    case H5T_VLEN:
        return add_base(b, type, depth, err);
    case H5T_ARRAY:
        return add_array(b, type, depth, err);
    default:
        return emd_fail(err, EMD_E_UNSUPPORTED, "has a type of a class that has no hash");
    }
}

enum emd_status emd_hash_type(struct emd_bytes *b, hid_t type, struct emd_error *err)
{
    return add_type(b, type, 0, err);
}

enum emd_status emd_hash_space(struct emd_bytes *b, hid_t space, struct emd_error *err)
{
    hsize_t dims[H5S_MAX_RANK];
    const H5S_class_t class = H5Sget_simple_extent_type(space);
    if (class == H5S_NO_CLASS)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has an extent that cannot be read");
    emd_bytes_add_number(b, (uint64_t) class);
    if (class != H5S_SIMPLE)
        return EMD_OK;
    const int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    if (rank < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has an extent that cannot be read");
    emd_bytes_add_number(b, (uint64_t)rank);
    for (int i = 0; i < rank; i++)
        emd_bytes_add_number(b, dims[i]);
    return EMD_OK;
}

/* ---- values ---- */

/* Points or blocks of a region's selection; of very many, their number must do. */
static enum emd_status add_blocks(struct emd_bytes *b, hid_t space, int rank, struct emd_error *err)
{
    const bool points = H5Sget_select_type(space) == H5S_SEL_POINTS;
    const hssize_t n =
        points ? H5Sget_select_elem_npoints(space) : H5Sget_select_hyper_nblocks(space);
    if (n < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a region that cannot be read");
    emd_bytes_add_number(b, (uint64_t)n);
    if (n == 0 || n > EMD_MOST_BLOCKS)
        return EMD_OK;
    const size_t numbers = (size_t)n * (size_t)rank * (points ? 1 : 2);
    hsize_t *list = calloc(numbers, sizeof *list);
    enum emd_status status = EMD_OK;
    if (!list)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else if ((points ? H5Sget_select_elem_pointlist(space, 0, (hsize_t)n, list)
                     : H5Sget_select_hyper_blocklist(space, 0, (hsize_t)n, list)) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has a region that cannot be read");
    for (size_t i = 0; i < numbers && status == EMD_OK; i++)
        emd_bytes_add_number(b, list[i]);
    free(list);
    return status;
}

static enum emd_status add_region(const struct emd_hashing *h, struct emd_bytes *b,
                                  const void *reference, struct emd_error *err)
{
    hsize_t corner[2][H5S_MAX_RANK];
    hid_t space = H5Rget_region(h->table.file[0], H5R_DATASET_REGION, reference);
    const H5S_sel_type kind = space < 0 ? H5S_SEL_ERROR : H5Sget_select_type(space);
    const hssize_t count = space < 0 ? -1 : H5Sget_select_npoints(space);
    const int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    enum emd_status status = EMD_OK;
    if (count < 0 || rank < 0 ||
        (count > 0 && H5Sget_select_bounds(space, corner[0], corner[1]) < 0)) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has a region that cannot be read");
    } else {
        emd_bytes_add_number(b, (uint64_t)kind);
        emd_bytes_add_number(b, (uint64_t)count);
        for (int i = 0; i < 2 * rank && count > 0; i++)
            emd_bytes_add_number(b, corner[i / rank][i % rank]);
        if (count > 0 && (kind == H5S_SEL_POINTS || kind == H5S_SEL_HYPERSLABS))
            status = add_blocks(b, space, rank, err);
    }
    emd_hdf5_close(&space);
    return status;
}

static enum emd_status add_reference(struct emd_hashing *h, struct emd_bytes *b,
                                     const struct emd_part *part, const unsigned char *item,
                                     struct emd_error *err)
{
    const bool region = part->kind == EMD_PART_REGION;
    unsigned char reference[sizeof(hdset_reg_ref_t) + sizeof(hobj_ref_t)] = {0};
    const size_t n = region ? sizeof(hdset_reg_ref_t) : sizeof(hobj_ref_t);
    uint32_t row;
    memcpy(reference, item, n);
    if (emd_find_target(&h->table, 0, region ? H5R_DATASET_REGION : H5R_OBJECT, reference, n,
                        &row) != EMD_TARGET_PAIR) {
        emd_bytes_add_number(b, no_object);
        return EMD_OK;
    }
    emd_bytes_add_number(b, row);
    return region ? add_region(h, b, reference, err) : EMD_OK;
}

static enum emd_status add_items(struct emd_hashing *h, struct emd_bytes *b,
                                 const struct emd_part *part, const unsigned char *items,
                                 size_t count, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    for (size_t i = 0; i < count && status == EMD_OK; i++)
        status = emd_hash_value(h, b, part, items + i * part->size, err);
    return status;
}

enum emd_status emd_hash_value(struct emd_hashing *h, struct emd_bytes *b,
                               const struct emd_part *part, const unsigned char *item,
                               struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    switch (part->kind) {
    case EMD_PART_PLAIN:
        emd_bytes_add(b, item, part->size);
        break;
    case EMD_PART_STRING: {
        const char *text;
        memcpy(&text, item, sizeof text);
        emd_bytes_add_string(b, text, text ? strlen(text) : 0);
        break;
    }
    case EMD_PART_OBJECT:
    case EMD_PART_REGION:
        status = add_reference(h, b, part, item, err);
        break;
    case EMD_PART_GROUP:
        for (const struct emd_part *child = part->child; child && status == EMD_OK;
             child = child->next)
            status = emd_hash_value(h, b, child, item + child->offset, err);
        break;
    case EMD_PART_ARRAY:
        status = add_items(h, b, part->child, item, part->count, err);
        break;
    case EMD_PART_SEQUENCE: {
        hvl_t list;
        memcpy(&list, item, sizeof list);
        const size_t n = list.p ? list.len : 0;
        emd_bytes_add_number(b, n);
        if (part->child->kind == EMD_PART_PLAIN)
            emd_bytes_add(b, list.p, n * part->child->size);
        else
            status = add_items(h, b, part->child, list.p, n, err);
        break;
    }
    }
    return status == EMD_OK && b->failed ? emd_fail(err, EMD_E_MEMORY, "out of memory") : status;
}
