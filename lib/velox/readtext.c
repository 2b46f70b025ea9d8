/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See readtext.h. */
#include "velox/readtext.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/chunks.h"
#include "hdf5/h5call.h"

/* The largest document believed: real ones have a few kB. */
#define TEXT_MAX ((size_t)16 << 20)
enum {
    ELEMENT_BYTES = 16, /* length (4), heap address (8), index in the heap (4) */
    COLLECTION_HEADER = 16,
    OBJECT_HEADER = 16,
    OBJECTS_MAX = 65536 /* of a collection: their indices have two bytes */
};

static uint64_t little_endian(const unsigned char *p, unsigned bytes)
{
    uint64_t v = 0;
    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

/* Finds object 'index' in the heap collection at 'address' (from the start of the file) and reads
 * 'length' bytes of it. */
static enum emd_status read_heap(const struct emd_source *source, uint64_t address, uint64_t index,
                                 size_t length, char *text, struct emd_error *err)
{
    unsigned char head[COLLECTION_HEADER];
    const uint64_t file_end = (uint64_t)source->id.size;
    if (address >= file_end || file_end - address < sizeof head)
        return emd_fail(err, EMD_E_CORRUPT, "a text lies behind the end of the file");
    enum emd_status status = emd_source_read(source->fd, head, sizeof head, address, err);
    if (status != EMD_OK)
        return status;
    const uint64_t size = little_endian(head + 8, 8);
    if (memcmp(head, "GCOL", 4) != 0 || head[4] != 1 || size < sizeof head ||
        size > file_end - address)
        return emd_fail(err, EMD_E_CORRUPT, "the heap of texts is damaged");
    uint64_t at = sizeof head;
    for (unsigned count = 0; count < OBJECTS_MAX && size - at >= OBJECT_HEADER; count++) {
        status = emd_source_read(source->fd, head, OBJECT_HEADER, address + at, err);
        if (status != EMD_OK)
            return status;
        const uint64_t its_index = little_endian(head, 2), bytes = little_endian(head + 8, 8);
        at += OBJECT_HEADER;
        if (its_index == 0) /* free space, always the last */
            break;
        if (bytes > size - at)
            return emd_fail(err, EMD_E_CORRUPT, "the heap of texts is damaged");
        if (its_index == index) {
            if (length > bytes)
                return emd_fail(err, EMD_E_CORRUPT, "a text is longer than its place in the heap");
            return emd_source_read(source->fd, text, length, address + at, err);
        }
        const uint64_t padded = (bytes + 7) & ~UINT64_C(7);
        if (padded > size - at)
            break;
        at += padded;
    }
    return emd_fail(err, EMD_E_CORRUPT, "a text is missing from its heap");
}

/* The stored element of a dataset of one variable-length string. */
static enum emd_status read_element(hid_t dataset, hid_t dcpl, const struct emd_source *source,
                                    unsigned char element[ELEMENT_BYTES], struct emd_error *err)
{
    if (H5Pget_layout(dcpl) == H5D_CONTIGUOUS) {
        const haddr_t offset = H5Dget_offset(dataset); /* from the start of the file */
        if (offset == HADDR_UNDEF || H5Dget_storage_size(dataset) != ELEMENT_BYTES)
            return emd_fail(err, EMD_E_EMPTY, "no text was written");
        return emd_source_read(source->fd, element, ELEMENT_BYTES, offset, err);
    }
    if (H5Pget_layout(dcpl) != H5D_CHUNKED || H5Pget_nfilters(dcpl) != 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "a text is stored in an unusual way");
    struct emd_chunk_list list;
    uint32_t mask;
    unsigned char *chunk = NULL;
    enum emd_status status = emd_chunk_list_get(dataset, NULL, EMD_CHUNKS_BY_INDEX, 0, &list, err);
    if (status != EMD_OK)
        return status;
    if (list.count == 0)
        status = emd_fail(err, EMD_E_EMPTY, "no text was written");
    else if (list.chunk[0].bytes < ELEMENT_BYTES || list.chunk[0].bytes > TEXT_MAX)
        status = emd_fail(err, EMD_E_CORRUPT, "a text's chunk has the wrong size");
    else if (!(chunk = malloc((size_t)list.chunk[0].bytes)))
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else
        status = emd_chunk_read(dataset, &list.grid, &list.chunk[0], chunk,
                                (size_t)list.chunk[0].bytes, &mask, err);
    if (status == EMD_OK && chunk)
        memcpy(element, chunk, ELEMENT_BYTES);
    free(chunk);
    emd_chunk_list_free(&list);
    return status;
}

static enum emd_status read_variable(hid_t dataset, const struct emd_source *source, char **text,
                                     size_t *n, struct emd_error *err)
{
    unsigned char element[ELEMENT_BYTES];
    hid_t dcpl = H5Dget_create_plist(dataset), fcpl = H5Fget_create_plist(source->file);
    size_t address_bytes = 0, length_bytes = 0;
    enum emd_status status = EMD_OK;
    if (dcpl < 0 || fcpl < 0 || H5Pget_sizes(fcpl, &address_bytes, &length_bytes) < 0 ||
        address_bytes != 8 || length_bytes != 8)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "addresses of %zu bytes", address_bytes);
    else
        status = read_element(dataset, dcpl, source, element, err);
    emd_hdf5_close(&fcpl);
    emd_hdf5_close(&dcpl);
    if (status != EMD_OK)
        return status;
    const size_t length = (size_t)little_endian(element, 4);
    const uint64_t address = little_endian(element + 4, 8);
    if (length == 0 || address == 0)
        return emd_fail(err, EMD_E_EMPTY, "no text was written");
    if (length > TEXT_MAX || address > (uint64_t)source->id.size)
        return emd_fail(err, EMD_E_CORRUPT, "a text of %zu bytes at %llu is damaged", length,
                        (unsigned long long)address);
    if (!(*text = malloc(length + 1)))
        return emd_fail(err, EMD_E_MEMORY, "no memory for a text");
    (*text)[length] = '\0';
    status = read_heap(source, source->user_block + address, little_endian(element + 12, 4), length,
                       *text, err);
    *n = strlen(*text);
    return status;
}

enum emd_status emd_read_text(const struct emd_source *source, const char *path, char **text,
                              size_t *n, struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    hid_t data = H5Dopen2(source->file, path, H5P_DEFAULT);
    hid_t type = data >= 0 ? H5Dget_type(data) : H5I_INVALID_HID;
    hid_t space = data >= 0 ? H5Dget_space(data) : H5I_INVALID_HID;
    *text = NULL;
    *n = 0;
    if (data < 0)
        status = emd_hdf5_fail(err, EMD_E_EMPTY, "no text %s", path);
    else if (type < 0 || space < 0 || H5Tget_class(type) != H5T_STRING ||
             H5Sget_simple_extent_npoints(space) != 1)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "%s is no text", path);
    else if (H5Tis_variable_str(type) > 0)
        status = read_variable(data, source, text, n, err);
    else if (H5Tget_size(type) > TEXT_MAX || !(*text = calloc(1, H5Tget_size(type) + 1)))
        status = emd_fail(err, EMD_E_CORRUPT, "%s is too long", path);
    else if (H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read %s", path);
    else
        *n = strlen(*text);
    if (status != EMD_OK) {
        free(*text);
        *text = NULL;
    }
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    emd_hdf5_close(&data);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
