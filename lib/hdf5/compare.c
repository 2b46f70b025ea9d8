/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See compare.h. A queue of pairs of objects, breadth first, opened by address; what is met again
 * by another link must be the same pair again. One pass over the queue compares all but values that
 * hold references, which can be followed when all pairs are known: a second pass over the objects
 * that have some. */
#include "hdf5/compare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/arrays.h"
#include "hdf5/comparejob.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/treejob.h"

enum { DEFAULT_BUFFER = 4 << 20 };

#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
#define iterate_links H5Literate2
#define get_link_info H5Lget_info2
#else
typedef H5L_info_t link_info;
#define iterate_links H5Literate
#define get_link_info H5Lget_info
#endif

/* Puts the pair's path in front of a failure. */
static enum emd_status blame(const struct emd_comparison *c, uint32_t row, enum emd_status status,
                             struct emd_error *err)
{
    char path[400];
    emd_pair_path(c, row, path, sizeof path);
    return emd_fail_prefix(err, status, "%s", path);
}

/* Two lists, sorted, are walked together: the entries of the next name, NULL where one list does
 * not have it. False at the end of both. */
struct two_lists {
    struct emd_name_list list[2];
    size_t at[2];
};

static bool next_names(struct two_lists *lists, const struct emd_name *entry[2])
{
    for (int side = 0; side < 2; side++)
        entry[side] = lists->at[side] < lists->list[side].count
                          ? &lists->list[side].entry[lists->at[side]]
                          : NULL;
    if (entry[0] && entry[1]) {
        const int order = strcmp(entry[0]->name.text, entry[1]->name.text);
        if (order != 0)
            entry[order < 0 ? 1 : 0] = NULL;
    }
    for (int side = 0; side < 2; side++)
        lists->at[side] += entry[side] != NULL;
    return entry[0] || entry[1];
}

/* ---- attributes ---- */

/* Committed types are objects: the same one on both sides. *same false: they are not. */
static enum emd_status compare_committed(struct emd_comparison *c, uint32_t row, const char *name,
                                         const hid_t type[2], bool *same, struct emd_error *err)
{
    uint64_t address[2];
    const bool committed[2] = {H5Tcommitted(type[0]) > 0, H5Tcommitted(type[1]) > 0};
    *same = committed[0] == committed[1];
    if (!committed[0] || !committed[1])
        return EMD_OK;
    enum emd_status status = EMD_OK;
    for (int side = 0; side < 2 && status == EMD_OK; side++)
        status = emd_hdf5_address(type[side], &address[side], err);
    return status == EMD_OK ? emd_pair_add(c, address, row, name, same, err) : status;
}

static enum emd_status compare_attribute_values(struct emd_comparison *c, const hid_t attribute[2],
                                                const hid_t type[2], hid_t space,
                                                const struct emd_parts *parts, bool *same,
                                                struct emd_error *err)
{
    void *data[2] = {NULL, NULL};
    bool read[2] = {false, false};
    size_t bytes = 0;
    enum emd_status status = EMD_OK;
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count < 0 || __builtin_mul_overflow((size_t)count, parts->size, &bytes))
        return emd_fail(err, EMD_E_CORRUPT, "has an impossible size");
    for (int side = 0; side < 2 && status == EMD_OK && count > 0; side++) {
        data[side] = calloc(1, bytes);
        if (!data[side])
            status = emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", bytes);
        else if (H5Aread(attribute[side], type[side], data[side]) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read in the %s file",
                                   side ? "second" : "first");
        else
            read[side] = true;
    }
    *same = status != EMD_OK || count == 0 ||
            emd_parts_difference(c, parts, data[0], data[1], (size_t)count) == (size_t)count;
    for (int side = 0; side < 2; side++) {
        if (read[side] && parts->variable)
            H5Dvlen_reclaim(type[side], space, H5P_DEFAULT, data[side]);
        free(data[side]);
    }
    return status;
}

/* Two attributes of one name; *what is their difference, NULL where there is none. */
static enum emd_status compare_attribute(struct emd_comparison *c, uint32_t row,
                                         const hid_t object[2], const char *name, const char **what,
                                         struct emd_error *err)
{
    struct emd_parts parts = {.size = 0};
    hid_t attribute[2], stored[2], type[2], space[2];
    bool same = true;
    enum emd_status status = EMD_OK;
    for (int side = 0; side < 2; side++) {
        attribute[side] = H5Aopen(object[side], name, H5P_DEFAULT);
        stored[side] = attribute[side] < 0 ? H5I_INVALID_HID : H5Aget_type(attribute[side]);
        type[side] = stored[side] < 0 ? H5I_INVALID_HID : H5Tcopy(stored[side]);
        space[side] = attribute[side] < 0 ? H5I_INVALID_HID : H5Aget_space(attribute[side]);
        if (type[side] < 0 || space[side] < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be inspected in the %s file",
                                   side ? "second" : "first");
    }
    if (status == EMD_OK)
        status = emd_parts_make(type[0], &parts, err);
    if (status != EMD_OK)
        goto out;
    if (parts.references && !c->last_pass)
        c->pair[row].deferred = true;
    if (parts.references != c->last_pass)
        goto out;
    status = compare_committed(c, row, name, stored, &same, err);
    if (status != EMD_OK)
        goto out;
    if (!same || H5Tequal(type[0], type[1]) <= 0)
        *what = "has another type";
    else if (!emd_compare_extents(space[0], space[1]))
        *what = "has another extent";
    else if (H5Sget_simple_extent_type(space[0]) != H5S_NULL) {
        status = compare_attribute_values(c, attribute, type, space[0], &parts, &same, err);
        *what = same ? NULL : "has another value";
    }
out:
    emd_parts_free(&parts);
    for (int side = 0; side < 2; side++) {
        emd_hdf5_close(&space[side]);
        emd_hdf5_close(&type[side]);
        emd_hdf5_close(&stored[side]);
        emd_hdf5_close(&attribute[side]);
    }
    return status;
}

static herr_t list_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
    struct emd_name_list *list = data;
    const struct emd_name entry = {.order = info->corder_valid ? (int64_t)info->corder : 0,
                                   .cset = (int)info->cset};
    (void)object;
    list->ordered = list->ordered && info->corder_valid;
    return emd_name_add(list, name, &entry) ? H5_ITER_CONT : H5_ITER_ERROR;
}

/* After the iteration: the names that there are, sorted, also where it broke off. list->status
 * stays EMD_OK where it was HDF5 that failed. */
static enum emd_status end_list(struct emd_name_list *list, herr_t listed, const char *what,
                                struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    if (listed < 0 && list->status != EMD_OK)
        status = list->status;
    else if (listed < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has %s that cannot be listed", what);
    emd_names_sort(list);
    return status;
}

enum emd_status emd_list_attributes(hid_t object, size_t limit, struct emd_name_list *list,
                                    struct emd_error *err)
{
    *list = (struct emd_name_list){.limit = limit, .ordered = true, .err = err};
    const herr_t listed =
        H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_attribute, list);
    return end_list(list, listed, "attributes", err);
}

/* Whether the copy is known to lack something of the first object of a pair. */
static bool is_lost(const struct emd_comparison *c, uint32_t row, enum emd_loss_kind kind,
                    const char *name)
{
    return emd_losses_have(c->options->losses, kind, c->pair[row].address[0], name);
}

static enum emd_status list_attributes(const struct emd_comparison *c, uint32_t row,
                                       const hid_t object[2], struct two_lists *lists,
                                       struct emd_error *err)
{
    for (int side = 0; side < 2; side++) {
        struct emd_name_list *list = &lists->list[side];
        const enum emd_status status =
            emd_list_attributes(object[side], c->names_limit[side], list, err);
        if (status != EMD_OK &&
            (side != 0 || list->status != EMD_OK || !is_lost(c, row, EMD_LOSS_ATTRIBUTES, NULL)))
            return status;
    }
    return EMD_OK;
}

static enum emd_status compare_attributes(struct emd_comparison *c, uint32_t row,
                                          const hid_t object[2], struct emd_error *err)
{
    struct two_lists lists = {.at = {0, 0}};
    const struct emd_name *entry[2];
    enum emd_status status = list_attributes(c, row, object, &lists, err);
    while (status == EMD_OK && next_names(&lists, entry)) {
        const char *what = NULL, *name = entry[entry[0] ? 0 : 1]->name.text;
        for (int side = 0; side < 2 && row == 0; side++) {
            const char *omit = c->options->omit_root_attribute[side];
            if (omit && strcmp(name, omit) == 0)
                entry[side] = NULL;
        }
        if ((!entry[0] && !entry[1]) || is_lost(c, row, EMD_LOSS_ATTRIBUTE, name) ||
            (!entry[1] && is_lost(c, row, EMD_LOSS_ATTRIBUTES, NULL)))
            continue;
        if (!entry[0] || !entry[1])
            what = c->last_pass ? NULL : entry[0] ? "is missing" : "is additional";
        else if (entry[0]->cset != entry[1]->cset && !c->last_pass)
            what = "has a name of another character set";
        else
            status = compare_attribute(c, row, object, name, &what, err);
        if (status != EMD_OK)
            emd_fail_prefix(err, status, "attribute '%.200s'", name);
        else if (what)
            status = emd_differs(c, row, err, "attribute '%.200s' %s", name, what);
    }
    if (status == EMD_OK && !c->last_pass && row != 0 && lists.list[0].ordered &&
        lists.list[1].ordered && !emd_names_same_order(&lists.list[0], &lists.list[1]))
        status = emd_differs(c, row, err, "has attributes in another order of creation");
    emd_names_free(&lists.list[0]);
    emd_names_free(&lists.list[1]);
    return status;
}

/* ---- links ---- */

struct listing {
    struct emd_name_list list;
    hid_t file;
};

static herr_t list_link(hid_t group, const char *name, const link_info *info, void *data)
{
    struct listing *listing = data;
    struct emd_name entry = {.order = info->corder_valid ? info->corder : 0,
                             .kind = (int)info->type,
                             .cset = (int)info->cset};
    listing->list.ordered = listing->list.ordered && info->corder_valid;
    if (info->type > H5L_TYPE_EXTERNAL) { /* told wrongly while its class is not known */
        link_info known;
        listing->list.status = emd_hdf5_know_link_class(info->type, listing->list.err);
        if (listing->list.status != EMD_OK || get_link_info(group, name, &known, H5P_DEFAULT) < 0)
            return H5_ITER_ERROR;
        entry.value = known.u.val_size;
    } else if (info->type != H5L_TYPE_HARD) {
        entry.value = info->u.val_size;
    } else {
#if H5_VERSION_GE(1, 12, 0)
        haddr_t address;
        if (H5VLnative_token_to_addr(listing->file, info->u.token, &address) < 0)
            return H5_ITER_ERROR;
        entry.value = address;
#else
        entry.value = info->u.address;
#endif
    }
    return emd_name_add(&listing->list, name, &entry) ? H5_ITER_CONT : H5_ITER_ERROR;
}

enum emd_status emd_list_links(hid_t file, hid_t group, size_t limit, struct emd_name_list *list,
                               struct emd_error *err)
{
    struct listing listing = {.list = {.limit = limit, .ordered = true, .err = err}, .file = file};
    const herr_t listed =
        iterate_links(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_link, &listing);
    *list = listing.list;
    return end_list(list, listed, "links", err);
}

static enum emd_status list_links(const struct emd_comparison *c, uint32_t row,
                                  const hid_t group[2], struct two_lists *lists,
                                  struct emd_error *err)
{
    for (int side = 0; side < 2; side++) {
        struct emd_name_list *list = &lists->list[side];
        const enum emd_status status =
            emd_list_links(c->file[side], group[side], c->names_limit[side], list, err);
        if (status != EMD_OK &&
            (side != 0 || list->status != EMD_OK || !is_lost(c, row, EMD_LOSS_LINKS, NULL)))
            return status;
    }
    return EMD_OK;
}

/* Whether external links lead to the same, the file of which may have another name now. */
static bool same_external(const struct emd_compare_options *options, char *const value[2],
                          const size_t n[2])
{
    const char *file[2], *object[2];
    if (H5Lunpack_elink_val(value[0], n[0], NULL, &file[0], &object[0]) < 0 ||
        H5Lunpack_elink_val(value[1], n[1], NULL, &file[1], &object[1]) < 0)
        return false;
    return strcmp(options->rename_file(options->ctx, NULL, file[0]), file[1]) == 0 &&
           strcmp(object[0], object[1]) == 0;
}

static enum emd_status compare_link_values(const struct emd_comparison *c, const hid_t group[2],
                                           const struct emd_name *entry[2], bool *same,
                                           struct emd_error *err)
{
    const size_t n[2] = {(size_t)entry[0]->value, (size_t)entry[1]->value};
    const bool renamed = entry[0]->kind == H5L_TYPE_EXTERNAL && c->options->rename_file;
    *same = n[0] == n[1] || renamed;
    if (!*same)
        return EMD_OK;
    char *value[2] = {calloc(1, n[0] + 1), calloc(1, n[1] + 1)};
    enum emd_status status = EMD_OK;
    if (!value[0] || !value[1])
        status = emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", n[0]);
    for (int side = 0; side < 2 && status == EMD_OK && n[side] > 0; side++)
        if (H5Lget_val(group[side], entry[side]->name.text, value[side], n[side], H5P_DEFAULT) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read in the %s file",
                                   side ? "second" : "first");
    *same = status == EMD_OK &&
            (renamed ? same_external(c->options, value, n) : memcmp(value[0], value[1], n[0]) == 0);
    free(value[0]);
    free(value[1]);
    return status;
}

static enum emd_status compare_links(struct emd_comparison *c, uint32_t row, const hid_t group[2],
                                     struct emd_error *err)
{
    struct two_lists lists = {.at = {0, 0}};
    const struct emd_name *entry[2];
    enum emd_status status = list_links(c, row, group, &lists, err);
    while (status == EMD_OK && next_names(&lists, entry)) {
        const char *what = NULL, *name = entry[entry[0] ? 0 : 1]->name.text;
        bool same = true;
        if (is_lost(c, row, EMD_LOSS_LINK, name) ||
            (!entry[1] && is_lost(c, row, EMD_LOSS_LINKS, NULL)))
            continue;
        if (!entry[0] || !entry[1]) {
            what = entry[0] ? "is missing" : "is additional";
        } else if (entry[0]->kind != entry[1]->kind) {
            what = "is a link of another kind";
        } else if (entry[0]->cset != entry[1]->cset) {
            what = "has a name of another character set";
        } else if (entry[0]->kind == H5L_TYPE_HARD) {
            const uint64_t address[2] = {entry[0]->value, entry[1]->value};
            status = emd_pair_add(c, address, row, name, &same, err);
            what = same ? NULL : "is a link to another object";
        } else {
            status = compare_link_values(c, group, entry, &same, err);
            what = same ? NULL : "is a link to another target";
        }
        if (status != EMD_OK)
            emd_fail_prefix(err, status, "link '%.200s'", name);
        else if (what)
            status = emd_differs(c, row, err, "'%.200s' %s", name, what);
    }
    if (status == EMD_OK && lists.list[0].ordered && lists.list[1].ordered &&
        !emd_names_same_order(&lists.list[0], &lists.list[1]))
        status = emd_differs(c, row, err, "has links in another order of creation");
    emd_names_free(&lists.list[0]);
    emd_names_free(&lists.list[1]);
    return status;
}

/* ---- the walk ---- */

static enum emd_status compare_comments(struct emd_comparison *c, uint32_t row,
                                        const hid_t object[2], struct emd_error *err)
{
    const ssize_t n[2] = {H5Oget_comment(object[0], NULL, 0), H5Oget_comment(object[1], NULL, 0)};
    if (is_lost(c, row, EMD_LOSS_COMMENT, NULL))
        return EMD_OK;
    if (n[0] < 0 || n[1] < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a comment that cannot be read");
    if (n[0] == 0 && n[1] == 0)
        return EMD_OK;
    bool same = n[0] == n[1];
    char *text[2] = {calloc(1, (size_t)n[0] + 1), calloc(1, (size_t)n[1] + 1)};
    for (int side = 0; side < 2 && same; side++)
        same = text[side] && H5Oget_comment(object[side], text[side], (size_t)n[side] + 1) >= 0;
    same = same && strcmp(text[0], text[1]) == 0;
    free(text[0]);
    free(text[1]);
    return same ? EMD_OK : emd_differs(c, row, err, "has another comment");
}

/* Whether orders of creation are kept. */
static enum emd_status compare_tracking(struct emd_comparison *c, uint32_t row, H5I_type_t kind,
                                        const hid_t object[2], struct emd_error *err)
{
    unsigned links[2] = {0, 0}, attributes[2] = {0, 0};
    enum emd_status status = EMD_OK;
    if (kind != H5I_GROUP)
        return EMD_OK;
    for (int side = 0; side < 2; side++) {
        hid_t list = H5Gget_create_plist(object[side]);
        if (list < 0 || H5Pget_link_creation_order(list, &links[side]) < 0 ||
            H5Pget_attr_creation_order(list, &attributes[side]) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has properties that cannot be read");
        emd_hdf5_close(&list);
    }
    if (status == EMD_OK && (links[0] != links[1] || attributes[0] != attributes[1]))
        return emd_differs(c, row, err, "keeps orders of creation in another way");
    return status;
}

static enum emd_status compare_kinds(struct emd_comparison *c, uint32_t row, H5I_type_t kind,
                                     const hid_t object[2], struct emd_error *err)
{
    bool same = true;
    enum emd_status status = EMD_OK;
    if (kind == H5I_GROUP && !c->last_pass)
        return compare_links(c, row, object, err);
    if (kind == H5I_DATATYPE && !c->last_pass && H5Tequal(object[0], object[1]) <= 0)
        return emd_differs(c, row, err, "is another type");
    if (kind != H5I_DATASET)
        return EMD_OK;
    if (!c->last_pass) {
        hid_t type[2] = {H5Dget_type(object[0]), H5Dget_type(object[1])};
        status = type[0] < 0 || type[1] < 0
                     ? emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read")
                     : compare_committed(c, row, "(type)", type, &same, err);
        emd_hdf5_close(&type[0]);
        emd_hdf5_close(&type[1]);
    }
    if (status == EMD_OK && !same)
        return emd_differs(c, row, err, "has another type");
    return status == EMD_OK ? emd_compare_dataset(c, row, object[0], object[1], err) : status;
}

static enum emd_status compare_object(struct emd_comparison *c, uint32_t row, struct emd_error *err)
{
    hid_t object[2];
    enum emd_status status = emd_compare_cancelled(c, err);
    if (status != EMD_OK)
        return status;
    for (int side = 0; side < 2; side++)
        object[side] = emd_hdf5_open_address(c->file[side], c->pair[row].address[side]);
    const H5I_type_t kind = object[0] < 0 ? H5I_BADID : H5Iget_type(object[0]);
    bool named = false; /* a difference carries its path */
    if (object[0] < 0 || object[1] < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be opened in the %s file",
                               object[0] < 0 ? "first" : "second");
    else if (kind != H5Iget_type(object[1]))
        status = emd_differs(c, row, err, "is another kind of object");
    else {
        if (!c->last_pass)
            status = compare_comments(c, row, object, err);
        if (status == EMD_OK && !c->last_pass)
            status = compare_tracking(c, row, kind, object, err);
        if (status == EMD_OK)
            status = compare_attributes(c, row, object, err);
        if (status == EMD_OK)
            status = compare_kinds(c, row, kind, object, err);
    }
    named = status == EMD_E_VERIFY;
    emd_hdf5_close(&object[0]);
    emd_hdf5_close(&object[1]);
    return status == EMD_OK || status == EMD_E_CANCELLED || named ? status
                                                                  : blame(c, row, status, err);
}

static enum emd_status start(struct emd_comparison *c, struct emd_error *err)
{
    uint64_t address[2];
    bool same;
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status == EMD_OK)
        status = emd_hdf5_mend_arrays(err);
    for (int side = 0; side < 2 && status == EMD_OK; side++) {
        hsize_t size = 0;
        hid_t root = H5Gopen2(c->file[side], "/", H5P_DEFAULT);
        if (root < 0 || H5Fget_filesize(c->file[side], &size) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot open the root group");
        else
            status = emd_hdf5_address(root, &address[side], err);
        c->names_limit[side] = size < SIZE_MAX / 2 ? (size_t)size : SIZE_MAX / 2;
        emd_hdf5_close(&root);
    }
    return status == EMD_OK ? emd_pair_add(c, address, EMD_NO_PAIR, "", &same, err) : status;
}

enum emd_status emd_tree_compare(hid_t a, hid_t b, const struct emd_compare_options *options,
                                 struct emd_error *err)
{
    static const struct emd_compare_options defaults;
    struct emd_error local = {
        .status = EMD_OK}; /* the last difference is needed, whether the caller wants it or not */
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct emd_comparison c = {.file = {a, b}, .options = options ? options : &defaults};
    err = err ? err : &local;
    c.buffer_bytes = c.options->buffer_bytes ? c.options->buffer_bytes : DEFAULT_BUFFER;
    enum emd_status status = start(&c, err);
    for (size_t i = 0; i < c.count && status == EMD_OK; i++)
        status = compare_object(&c, (uint32_t)i, err);
    c.last_pass = true;
    for (size_t i = 0; i < c.count && status == EMD_OK; i++)
        if (c.pair[i].deferred)
            status = compare_object(&c, (uint32_t)i, err);
    if (status == EMD_OK && c.differences > 0)
        status = emd_fail(err, EMD_E_VERIFY, "%" PRIu64 " difference%s", c.differences,
                          c.differences == 1 ? "" : "s");
    emd_pairs_free(&c);
    for (int side = 0; side < 2; side++) {
        free(c.buffer[side]);
        emd_arena_end(&c.arena[side]);
    }
    emd_hdf5_quiet_end(&quiet);
    return status;
}
