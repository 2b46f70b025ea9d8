/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See values.h. A tree of the parts that lead to references; plain parts are not in it, so that
 * elements without references cost nothing. Recursion is bounded by NESTING_MAX; HDF5 itself
 * recurses when it decodes such a type. */
#include "hdf5/values.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/h5call.h"

enum { NESTING_MAX = 64 };

enum node_kind { NODE_OBJECT, NODE_REGION, NODE_COMPOUND, NODE_ARRAY, NODE_SEQUENCE };

struct emd_value_node {
    enum node_kind kind;
    size_t offset;                /* in the parent's element */
    size_t count;                 /* elements of an array */
    size_t stride;                /* bytes of an element of an array or sequence */
    struct emd_value_node *child; /* first */
    struct emd_value_node *next;  /* sibling */
};

static void free_nodes(struct emd_value_node *node)
{
    while (node) {
        struct emd_value_node *next = node->next;
        free_nodes(node->child);
        free(node);
        node = next;
    }
}

static enum emd_status new_node(enum node_kind kind, struct emd_value_node **out,
                                struct emd_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    (*out)->kind = kind;
    return EMD_OK;
}

static enum emd_status look_into(struct emd_values *values, hid_t type, unsigned depth,
                                 struct emd_value_node **out, struct emd_error *err);

static enum emd_status look_into_reference(struct emd_values *values, hid_t type,
                                           struct emd_value_node **out, struct emd_error *err)
{
    enum emd_status status;
    size_t size = H5Tget_size(type);
    if (H5Tequal(type, H5T_STD_REF_OBJ) > 0 && size == sizeof(hobj_ref_t))
        status = new_node(NODE_OBJECT, out, err);
    else if (H5Tequal(type, H5T_STD_REF_DSETREG) > 0 && size == sizeof(hdset_reg_ref_t))
        status = new_node(NODE_REGION, out, err);
    else
        status = emd_fail(err, EMD_E_UNSUPPORTED,
                          "new-style references (H5T_STD_REF) cannot be carried over");
    values->references = true;
    return status;
}

static enum emd_status look_into_compound(struct emd_values *values, hid_t type, unsigned depth,
                                          struct emd_value_node **out, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_value_node *parts = NULL;
    const size_t size = H5Tget_size(type);
    int count = H5Tget_nmembers(type);
    if (count < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look into a compound type");
    for (int i = 0; i < count && status == EMD_OK; i++) {
        struct emd_value_node *part = NULL;
        hid_t member = H5Tget_member_type(type, (unsigned)i);
        if (member < 0) {
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look into a compound type");
            break;
        }
        const size_t offset = H5Tget_member_offset(type, (unsigned)i);
        const size_t member_size = H5Tget_size(member);
        if (offset > size || member_size > size - offset)
            status = emd_fail(err, EMD_E_CORRUPT,
                              "a compound type has a member outside its %zu bytes", size);
        else
            status = look_into(values, member, depth + 1, &part, err);
        emd_hdf5_close(&member);
        if (part) {
            part->offset = offset;
            part->next = parts;
            parts = part;
        }
    }
    if (status == EMD_OK && parts) {
        status = new_node(NODE_COMPOUND, out, err);
        if (*out) {
            (*out)->child = parts;
            parts = NULL;
        }
    }
    free_nodes(parts);
    return status;
}

static enum emd_status look_into_array(struct emd_values *values, hid_t type, H5T_class_t class,
                                       unsigned depth, struct emd_value_node **out,
                                       struct emd_error *err)
{
    struct emd_value_node *inner = NULL;
    hid_t base = H5Tget_super(type);
    const size_t stride = base >= 0 ? H5Tget_size(base) : 0;
    enum emd_status status;
    if (stride == 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look into an array type");
    else
        status = look_into(values, base, depth + 1, &inner, err);
    emd_hdf5_close(&base);
    if (status == EMD_OK && inner) {
        status = new_node(class == H5T_ARRAY ? NODE_ARRAY : NODE_SEQUENCE, out, err);
        if (*out) {
            (*out)->child = inner;
            (*out)->stride = stride;
            /* As many as fit, whatever the dims claim. */
            (*out)->count = class == H5T_ARRAY ? H5Tget_size(type) / stride : 0;
            inner = NULL;
        }
    }
    free_nodes(inner);
    return status;
}

/* A damaged kind (neither sequence nor string) passes for a sequence, and HDF5 1.10 would then
 * treat memory as if it were the file. Only the encoded type shows it: two bytes of H5Tencode's
 * own, then the datatype message (section IV.A.2.d of the file format), whose second byte holds the
 * kind. */
static enum emd_status check_sequence(hid_t type, struct emd_error *err)
{
    enum { CLASS_AT = 2, KIND_AT = 3, LOW_BITS = 0x0f, CLASS_VLEN = 9, KIND_SEQUENCE = 0 };
    size_t n = 0;
    unsigned char *code = NULL;
    if (H5Tencode(type, NULL, &n) >= 0 && n > KIND_AT)
        code = malloc(n);
    const bool good = code && H5Tencode(type, code, &n) >= 0 &&
                      (code[CLASS_AT] & LOW_BITS) == CLASS_VLEN &&
                      (code[KIND_AT] & LOW_BITS) == KIND_SEQUENCE;
    free(code);
    return good ? EMD_OK : emd_fail(err, EMD_E_CORRUPT, "a damaged variable-length type");
}

/* *out: what leads to references inside 'type', or NULL. */
static enum emd_status look_into(struct emd_values *values, hid_t type, unsigned depth,
                                 struct emd_value_node **out, struct emd_error *err)
{
    enum emd_status status;
    *out = NULL;
    if (depth > NESTING_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "more than %d types inside each other",
                        NESTING_MAX);
    H5T_class_t class = H5Tget_class(type);
    switch (class) {
    case H5T_NO_CLASS:
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "a type of no known class");
    case H5T_STRING:
        values->variable |= H5Tis_variable_str(type) > 0;
        return EMD_OK;
    case H5T_REFERENCE:
        return look_into_reference(values, type, out, err);
    case H5T_COMPOUND:
        return look_into_compound(values, type, depth, out, err);
    case H5T_VLEN:
        values->variable = true;
        status = check_sequence(type, err);
        if (status != EMD_OK)
            return status;
        return look_into_array(values, type, class, depth, out, err);
    case H5T_ARRAY:
        return look_into_array(values, type, class, depth, out, err);
    default:
        return EMD_OK;
    }
}

enum emd_status emd_values_make(hid_t type, struct emd_values *values, struct emd_error *err)
{
    memset(values, 0, sizeof *values);
    hid_t memory = H5Tcopy(type); /* also of a type that lies in a file */
    values->size = memory >= 0 ? H5Tget_size(memory) : 0;
    enum emd_status status;
    if (values->size == 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot tell an element's size");
    else
        status = look_into(values, memory, 0, &values->root, err);
    emd_hdf5_close(&memory);
    return status;
}

void emd_values_free(struct emd_values *values)
{
    free_nodes(values->root);
    values->root = NULL;
}

static enum emd_status visit(const struct emd_value_node *node, unsigned char *element,
                             const struct emd_value_actions *actions, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    size_t count = node->count;
    unsigned char *items = element;
    switch (node->kind) {
    case NODE_OBJECT: {
        hobj_ref_t reference; /* members of compounds may lie anywhere */
        memcpy(&reference, element, sizeof reference);
        status = actions->object(actions->ctx, &reference, err);
        memcpy(element, &reference, sizeof reference);
        break;
    }
    case NODE_REGION: {
        hdset_reg_ref_t reference;
        memcpy(&reference, element, sizeof reference);
        status = actions->region(actions->ctx, &reference, err);
        memcpy(element, &reference, sizeof reference);
        break;
    }
    case NODE_COMPOUND:
        for (const struct emd_value_node *part = node->child; part && status == EMD_OK;
             part = part->next)
            status = visit(part, element + part->offset, actions, err);
        break;
    case NODE_SEQUENCE: {
        hvl_t sequence;
        memcpy(&sequence, element, sizeof sequence);
        items = sequence.p;
        count = items ? sequence.len : 0;
    }
        /* fall through */
    case NODE_ARRAY:
        for (size_t i = 0; i < count && status == EMD_OK; i++)
            status = visit(node->child, items + i * node->stride, actions, err);
        break;
    }
    return status;
}

enum emd_status emd_values_visit(const struct emd_values *values, void *elements, size_t count,
                                 const struct emd_value_actions *actions, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    for (size_t i = 0; values->root && i < count && status == EMD_OK; i++)
        status = visit(values->root, (unsigned char *)elements + i * values->size, actions, err);
    return status;
}
