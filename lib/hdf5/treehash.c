/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treehash.h and docs/content-hash.md. A queue of objects, breadth first, names in the order of
 * their bytes: so an object has the same number in every copy of the file, by which links and
 * references name it. Each object has a digest of its own; the file's is that of theirs. An object
 * that holds references waits until all are numbered. */
#include "hdf5/treehash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/arrays.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/treehashjob.h"

enum { DEFAULT_BUFFER = 4 << 20 };

/* ---- attributes ---- */

static enum emd_status add_attribute_values(struct emd_hashing *h, hid_t attribute, hid_t type,
                                            hid_t space, const struct emd_parts *parts,
                                            struct emd_error *err)
{
    unsigned char digest[EMD_HASH_BYTES], *data = NULL;
    size_t bytes;
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    enum emd_status status = EMD_OK;
    if (count < 0 || __builtin_mul_overflow((size_t)count, parts->size, &bytes))
        return emd_fail(err, EMD_E_CORRUPT, "has an impossible size");
    h->value.used = 0;
    if (count > 0) {
        data = calloc(1, bytes);
        if (!data)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", bytes);
        if (H5Aread(attribute, type, data) < 0) {
            free(data);
            return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
        }
    }
    for (size_t i = 0; i < (size_t)count && status == EMD_OK; i++)
        status = emd_hash_value(h, &h->value, parts->root, data + i * parts->size, err);
    if (parts->variable && data)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, data);
    free(data);
    emd_bytes_digest(&h->value, digest);
    emd_bytes_add(&h->record, digest, sizeof digest);
    return status;
}

/* Type and space of an attribute or dataset, and the parts of its elements, which the caller frees.
 * *wait: it holds references, and not all objects have their numbers yet. */
static enum emd_status add_description(struct emd_hashing *h, uint32_t row, hid_t type, hid_t space,
                                       struct emd_parts *parts, bool *wait, struct emd_error *err)
{
    if (type < 0 || space < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be inspected");
    enum emd_status status = emd_parts_make(type, parts, err);
    *wait = status == EMD_OK && parts->references && !h->table.last_pass;
    if (*wait)
        h->table.pair[row].deferred = true;
    if (status != EMD_OK || *wait)
        return status;
    status = emd_hash_type(&h->record, type, err);
    return status == EMD_OK ? emd_hash_space(&h->record, space, err) : status;
}

static enum emd_status add_attribute(struct emd_hashing *h, uint32_t row, hid_t object,
                                     const char *name, struct emd_error *err)
{
    struct emd_parts parts = {.size = 0};
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t stored = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
    hid_t type = stored < 0 ? H5I_INVALID_HID : H5Tcopy(stored);
    hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
    bool wait = false;
    enum emd_status status = add_description(h, row, type, space, &parts, &wait, err);
    if (status == EMD_OK && !wait)
        status = add_attribute_values(h, attribute, type, space, &parts, err);
    emd_parts_free(&parts);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    emd_hdf5_close(&stored);
    emd_hdf5_close(&attribute);
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "attribute '%.200s'", name);
}

static enum emd_status add_attributes(struct emd_hashing *h, uint32_t row, hid_t object,
                                      struct emd_error *err)
{
    struct emd_name_list list = {.count = 0};
    const char *omit = row == 0 ? h->options->omit_root_attribute : NULL;
    enum emd_status status = emd_list_attributes(object, h->table.names_limit[0], &list, err);
    size_t omitted = 0;
    for (size_t i = 0; i < list.count && status == EMD_OK; i++)
        omitted += omit && strcmp(list.entry[i].name.text, omit) == 0;
    emd_bytes_add_number(&h->record, list.count - omitted);
    for (size_t i = 0; i < list.count && status == EMD_OK; i++) {
        const char *name = list.entry[i].name.text;
        if (omit && strcmp(name, omit) == 0)
            continue;
        emd_bytes_add_string(&h->record, name, strlen(name));
        status = add_attribute(h, row, object, name, err);
    }
    emd_names_free(&list);
    return status;
}

/* ---- links ---- */

static enum emd_status add_link_value(struct emd_hashing *h, hid_t group,
                                      const struct emd_name *link, struct emd_error *err)
{
    const size_t n = (size_t)link->value;
    const char *file = NULL, *object = NULL;
    char *value = calloc(1, n + 1);
    enum emd_status status = EMD_OK;
    if (!value)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", n);
    if (n > 0 && H5Lget_val(group, link->name.text, value, n, H5P_DEFAULT) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
    } else if (link->kind == H5L_TYPE_SOFT) {
        emd_bytes_add_string(&h->record, value, strlen(value));
    } else if (link->kind != H5L_TYPE_EXTERNAL) {
        emd_bytes_add_string(&h->record, value, n);
    } else if (H5Lunpack_elink_val(value, n, NULL, &file, &object) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
    } else {
        if (h->options->rename_file)
            file = h->options->rename_file(h->options->ctx, NULL, file);
        emd_bytes_add_string(&h->record, file, strlen(file));
        emd_bytes_add_string(&h->record, object, strlen(object));
    }
    free(value);
    return status;
}

static enum emd_status add_links(struct emd_hashing *h, uint32_t row, hid_t group,
                                 struct emd_error *err)
{
    struct emd_name_list list = {.count = 0};
    enum emd_status status =
        emd_list_links(h->table.file[0], group, h->table.names_limit[0], &list, err);
    if (status == EMD_OK)
        emd_bytes_add_number(&h->record, list.count);
    for (size_t i = 0; i < list.count && status == EMD_OK; i++) {
        const struct emd_name *link = &list.entry[i];
        const uint64_t address[2] = {link->value, link->value};
        bool same;
        emd_bytes_add_string(&h->record, link->name.text, strlen(link->name.text));
        emd_bytes_add_number(&h->record, (uint64_t)link->kind);
        if (link->kind != H5L_TYPE_HARD) {
            status = add_link_value(h, group, link, err);
        } else {
            status = emd_pair_add(&h->table, address, row, link->name.text, &same, err);
            if (status == EMD_OK)
                emd_bytes_add_number(&h->record, emd_pair_find(&h->table, 0, address[0]));
        }
        if (status != EMD_OK)
            emd_fail_prefix(err, status, "link '%.200s'", link->name.text);
    }
    emd_names_free(&list);
    return status;
}

/* ---- objects ---- */

static enum emd_status add_comment(struct emd_hashing *h, hid_t object, struct emd_error *err)
{
    const ssize_t n = H5Oget_comment(object, NULL, 0);
    if (n < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a comment that cannot be read");
    char *text = calloc(1, (size_t)n + 1);
    enum emd_status status = EMD_OK;
    if (!text)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else if (n > 0 && H5Oget_comment(object, text, (size_t)n + 1) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has a comment that cannot be read");
    else
        emd_bytes_add_string(&h->record, text, strlen(text));
    free(text);
    return status;
}

static enum emd_status add_dataset(struct emd_hashing *h, uint32_t row, hid_t dataset,
                                   struct emd_error *err)
{
    struct emd_parts parts = {.size = 0};
    hid_t stored = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hid_t type = stored < 0 ? H5I_INVALID_HID : H5Tcopy(stored);
    bool wait = false;
    enum emd_status status = add_description(h, row, type, space, &parts, &wait, err);
    if (status == EMD_OK && !wait)
        status = emd_hash_data(h, row, dataset, type, space, &parts, err);
    emd_parts_free(&parts);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    emd_hdf5_close(&stored);
    return status;
}

static enum emd_status add_object(struct emd_hashing *h, uint32_t row, hid_t object,
                                  struct emd_error *err)
{
    enum { GROUP = 1, DATASET, TYPE };
    const H5I_type_t kind = H5Iget_type(object);
    h->record.used = 0;
    emd_bytes_add_number(&h->record, kind == H5I_GROUP     ? GROUP
                                     : kind == H5I_DATASET ? DATASET
                                                           : TYPE);
    enum emd_status status = add_comment(h, object, err);
    if (status == EMD_OK && kind == H5I_GROUP)
        status = add_links(h, row, object, err);
    if (status == EMD_OK)
        status = add_attributes(h, row, object, err);
    /* one that waits is begun anew: its data are not read twice */
    if (status == EMD_OK && h->table.pair[row].deferred && !h->table.last_pass)
        return EMD_OK;
    if (status == EMD_OK && kind == H5I_DATATYPE)
        status = emd_hash_type(&h->record, object, err);
    if (status == EMD_OK && kind == H5I_DATASET)
        status = add_dataset(h, row, object, err);
    return status;
}

static enum emd_status grow_digests(struct emd_hashing *h, struct emd_error *err)
{
    const size_t count = h->table.capacity;
    if (count <= h->digests)
        return EMD_OK;
    void *grown = realloc(h->digest, count * sizeof *h->digest);
    if (!grown)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", count);
    h->digest = grown;
    h->digests = count;
    return EMD_OK;
}

static enum emd_status hash_object(struct emd_hashing *h, uint32_t row, struct emd_error *err)
{
    char path[400];
    enum emd_status status = emd_compare_cancelled(&h->table, err);
    if (status != EMD_OK)
        return status;
    hid_t object = emd_hdf5_open_address(h->table.file[0], h->table.pair[row].address[0]);
    if (object < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be opened");
    else
        status = add_object(h, row, object, err);
    emd_hdf5_close(&object);
    if (status == EMD_OK && (h->record.failed || h->value.failed))
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK)
        status = grow_digests(h, err);
    if (status == EMD_OK)
        emd_bytes_digest(&h->record, h->digest[row]);
    if (status == EMD_OK || status == EMD_E_CANCELLED)
        return status;
    emd_pair_path(&h->table, row, path, sizeof path);
    return emd_fail_prefix(err, status, "%s", path);
}

static enum emd_status start(struct emd_hashing *h, struct emd_error *err)
{
    uint64_t address[2] = {0, 0};
    hsize_t size = 0;
    bool same;
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status == EMD_OK)
        status = emd_hdf5_mend_arrays(err);
    if (status != EMD_OK)
        return status;
    hid_t root = H5Gopen2(h->table.file[0], "/", H5P_DEFAULT);
    if (root < 0 || H5Fget_filesize(h->table.file[0], &size) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot open the root group");
    else
        status = emd_hdf5_address(root, &address[0], err);
    address[1] = address[0];
    h->table.names_limit[0] = size < SIZE_MAX / 2 ? (size_t)size : SIZE_MAX / 2;
    emd_hdf5_close(&root);
    return status == EMD_OK ? emd_pair_add(&h->table, address, EMD_NO_PAIR, "", &same, err)
                            : status;
}

enum emd_status emd_tree_hash(hid_t file, const struct emd_tree_hash_options *options,
                              unsigned char hash[EMD_HASH_BYTES], struct emd_error *err)
{
    static const struct emd_tree_hash_options defaults;
    options = options ? options : &defaults;
    const struct emd_compare_options walk = {.ctx = options->ctx, .cancelled = options->cancelled};
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct emd_hashing h = {.table = {.file = {file, file}, .options = &walk},
                            .options = options,
                            .buffer_bytes =
                                options->buffer_bytes ? options->buffer_bytes : DEFAULT_BUFFER};
    struct emd_hashing *const job = &h;
    enum emd_status status = start(job, err);
    for (size_t i = 0; i < h.table.count && status == EMD_OK; i++)
        status = hash_object(job, (uint32_t)i, err);
    h.table.last_pass = true;
    for (size_t i = 0; i < h.table.count && status == EMD_OK; i++)
        if (h.table.pair[i].deferred)
            status = hash_object(job, (uint32_t)i, err);
    if (status == EMD_OK) {
        h.record.used = 0;
        emd_bytes_add_string(&h.record, EMD_HASH_NAME, strlen(EMD_HASH_NAME));
        emd_bytes_add(&h.record, h.digest, h.table.count * sizeof *h.digest);
        if (h.record.failed)
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        else
            emd_bytes_digest(&h.record, hash);
    }
    emd_pairs_free(&h.table);
    free(h.digest);
    free(h.record.data);
    free(h.value.data);
    free(h.buffer);
    emd_arena_end(&h.arena);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
