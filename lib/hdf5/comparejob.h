/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The inside of a comparison, shared by comparetable.c (pairs of objects, lists of names),
 * comparevalues.c (elements), comparedata.c (datasets) and compare.c (the walk over both trees).
 * Private to lib/hdf5.
 *
 * A difference is not a failure: functions that find one say so by emd_differs and return what it
 * returns, EMD_OK where the caller wants to hear of more. */
#ifndef EMD_HDF5_COMPAREJOB_H
#define EMD_HDF5_COMPAREJOB_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hdf5/arena.h"
#include "hdf5/compare.h"

#define EMD_NO_PAIR UINT32_MAX

/* Two objects that must be the same. */
struct emd_pair {
    uint64_t address[2];
    size_t name;     /* of the first link that leads here, in the names */
    uint32_t parent; /* the group with that link; EMD_NO_PAIR: the root */
    bool deferred;   /* holds references: compared when all pairs are known */
};

/* Pairs by their address on one side: row + 1, 0 empty; a power of two of slots. */
struct emd_pair_index {
    uint32_t *slot;
    size_t slots;
};

struct emd_comparison {
    hid_t file[2];
    const struct emd_compare_options *options;
    bool last_pass; /* references can be followed */
    uint64_t differences;
    size_t names_limit[2]; /* bytes of names that a file can hold */

    struct emd_pair *pair;
    size_t count, capacity;
    struct emd_pair_index index[2];
    char *names; /* NUL terminated, one after the other */
    size_t names_used, names_size;

    void *buffer[2];
    size_t buffer_bytes, buffer_size;
    struct emd_arena arena[2]; /* for variable-length values */
};

/* ---- comparetable.c ---- */

uint32_t emd_pair_find(const struct emd_comparison *c, int side, uint64_t address);

/* Enters two objects that a link of the same name leads to. *same false: one of them is known
 * already as the partner of another object. */
enum emd_status emd_pair_add(struct emd_comparison *c, const uint64_t address[2], uint32_t parent,
                             const char *name, bool *same, struct emd_error *err);
void emd_pairs_free(struct emd_comparison *c);

/* A path of a pair; of a very long one its end. */
void emd_pair_path(const struct emd_comparison *c, uint32_t row, char *path, size_t size);

/* Reports a difference of a pair: EMD_OK, or EMD_E_VERIFY with its text where the comparison ends
 * with it. */
enum emd_status emd_differs(struct emd_comparison *c, uint32_t row, struct emd_error *err,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));

/* EMD_E_CANCELLED where the caller wants to stop. */
enum emd_status emd_compare_cancelled(const struct emd_comparison *c, struct emd_error *err);

/* Links of a group, or attributes of an object. */
struct emd_name {
    union {
        size_t at; /* in the names, while the list is made */
        const char *text;
    } name;
    int64_t order;
    uint64_t value; /* links: address of the object, or bytes of the value */
    int kind, cset;
};
struct emd_name_list {
    struct emd_name *entry;
    size_t count, capacity;
    char *names;
    size_t used, size, limit;
    bool ordered; /* the order of creation was tracked */
    enum emd_status status;
    struct emd_error *err;
};
bool emd_name_add(struct emd_name_list *list, const char *name, const struct emd_name *entry);
void emd_names_sort(struct emd_name_list *list); /* ends the making of the list */
void emd_names_free(struct emd_name_list *list);

/* Whether the names that both lists hold were created in the same order. Changes the lists' own
 * order. */
bool emd_names_same_order(struct emd_name_list *a, struct emd_name_list *b);

/* Links of a group of 'file', and attributes of an object, sorted by name. */
enum emd_status emd_list_links(hid_t file, hid_t group, size_t limit, struct emd_name_list *list,
                               struct emd_error *err);
enum emd_status emd_list_attributes(hid_t object, size_t limit, struct emd_name_list *list,
                                    struct emd_error *err);

/* ---- comparevalues.c ---- */

enum emd_part_kind {
    EMD_PART_PLAIN,
    EMD_PART_STRING,
    EMD_PART_OBJECT,
    EMD_PART_REGION,
    EMD_PART_GROUP,
    EMD_PART_ARRAY,
    EMD_PART_SEQUENCE
};
/* A part of an element; members of a compound by their offsets. */
struct emd_part {
    enum emd_part_kind kind;
    size_t offset, size; /* in the parent's element */
    size_t count;        /* of an array */
    struct emd_part *child, *next;
};
/* Blocks of a region beyond which its bounds and the number of its elements must do. */
enum { EMD_MOST_BLOCKS = 1 << 16 };
struct emd_parts {
    size_t size; /* bytes of an element in memory */
    bool variable, references;
    bool singly; /* one element a read: see comparevalues.c */
    struct emd_part *root;
};
/* The parts of a type as it lies in memory. */
enum emd_status emd_parts_make(hid_t type, struct emd_parts *parts, struct emd_error *err);
void emd_parts_free(struct emd_parts *parts);

/* What a reference is: null; undefined (an address of ones); gone, for an object that no link
 * leads to any more (whether its bytes are still there is an accident); or one of the pairs. */
enum emd_target { EMD_TARGET_NULL, EMD_TARGET_UNDEFINED, EMD_TARGET_GONE, EMD_TARGET_PAIR };
enum emd_target emd_find_target(const struct emd_comparison *c, int side, H5R_type_t kind,
                                const void *reference, size_t n, uint32_t *row);

/* The first of 'count' elements that differs; 'count' where none does. */
size_t emd_parts_difference(const struct emd_comparison *c, const struct emd_parts *parts,
                            const void *a, const void *b, size_t count);

/* ---- comparedata.c ---- */

enum emd_status emd_compare_dataset(struct emd_comparison *c, uint32_t row, hid_t a, hid_t b,
                                    struct emd_error *err);
bool emd_compare_extents(hid_t a, hid_t b);

#endif
