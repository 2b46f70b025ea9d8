/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See filters.h. HDF5's filter callback is not told which filter it is, so each registered codec
 * needs a function of its own: a few slots, made by a macro, lead to one common body. */
#include "hdf5/filters.h"

#include <stdlib.h>
#include <string.h>

#include "hdf5/h5call.h"
#include "hdf5/values.h"

/* Filters below this number are HDF5's own and cannot be registered (H5Zpublic.h). */
enum { FIRST_FOREIGN_FILTER = H5Z_FILTER_RESERVED };

static const struct emd_codec *slot_codec[EMD_PIPELINE_MAX];

static size_t push_error(unsigned minor_is_read, const struct emd_error *err)
{
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_PLINE,
             minor_is_read ? H5E_READERROR : H5E_WRITEERROR, "%s", err->text);
    return 0;
}

/* The common body of the filter callbacks: 0 is failure and leaves the caller's buffer alone. */
static size_t run_codec(const struct emd_codec *codec, unsigned flags, size_t cd_count,
                        const unsigned cd[], size_t n, size_t *capacity, void **buffer)
{
    const bool reading = flags & H5Z_FLAG_REVERSE;
    struct emd_error err = {EMD_OK, ""};
    enum emd_status status = EMD_OK;
    size_t room = 0, used = 0;

    if (!reading)
        room = codec->bound(cd, cd_count, n);
    else if (codec->decoded_size)
        /* HDF5's chunks are smaller than 4 GiB. */
        status = codec->decoded_size(cd, cd_count, *buffer, n, UINT32_MAX, &room, &err);
    else
        status = emd_fail(&err, EMD_E_UNSUPPORTED, "%s does not tell decoded sizes", codec->name);
    if (status != EMD_OK)
        return push_error(reading, &err);

    void *result = H5allocate_memory(room ? room : 1, false);
    if (!result) {
        emd_fail(&err, EMD_E_MEMORY, "no memory for %zu bytes", room);
        return push_error(reading, &err);
    }
    if (reading)
        status = codec->decode(cd, cd_count, NULL, *buffer, n, result, room, &used, &err);
    else
        status = codec->encode(cd, cd_count, NULL, *buffer, n, result, room, &used, &err);
    if (status != EMD_OK || used == 0) {
        H5free_memory(result);
        if (status == EMD_OK)
            emd_fail(&err, EMD_E_CORRUPT, "%s: an empty chunk", codec->name);
        return push_error(reading, &err);
    }
    if (!reading && (flags & H5Z_FLAG_OPTIONAL) && used >= n) {
        H5free_memory(result); /* not smaller: HDF5 stores the chunk without this filter */
        return 0;
    }
    H5free_memory(*buffer);
    *buffer = result;
    *capacity = room;
    return used;
}

#define SLOT(i)                                                                                    \
    static size_t run_slot_##i(unsigned flags, size_t cd_count, const unsigned cd[], size_t n,     \
                               size_t *capacity, void **buffer)                                    \
    {                                                                                              \
        return run_codec(slot_codec[i], flags, cd_count, cd, n, capacity, buffer);                 \
    }                                                                                              \
    static htri_t can_apply_slot_##i(hid_t dcpl, hid_t type, hid_t space)                          \
    {                                                                                              \
        return can_apply(slot_codec[i], dcpl, type, space);                                        \
    }                                                                                              \
    static herr_t set_local_slot_##i(hid_t dcpl, hid_t type, hid_t space)                          \
    {                                                                                              \
        return set_local(slot_codec[i], dcpl, type, space);                                        \
    }

#define SLOT_ENTRY(i)                                                                              \
    {                                                                                              \
        run_slot_##i, can_apply_slot_##i, set_local_slot_##i                                       \
    }

/* The type part of a chunk's shape. Types that carry addresses are left to the caller. */
static enum emd_status type_shape(hid_t type, struct emd_chunk_shape *shape, struct emd_error *err)
{
    shape->item_size = H5Tget_size(type);
    shape->base_size = shape->item_size;
    shape->item_class = EMD_ITEM_OTHER;
    shape->is_signed = false;
    shape->big_endian = false;
    if (shape->item_size == 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot tell an element's size");

    H5T_class_t class = H5Tget_class(type);
    hid_t base = H5I_INVALID_HID;
    if (class == H5T_ARRAY || class == H5T_ENUM) {
        base = H5Tget_super(type);
        size_t base_size = base >= 0 ? H5Tget_size(base) : 0;
        if (base_size == 0) {
            emd_hdf5_close(&base);
            return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look into a type");
        }
        if (class == H5T_ARRAY) {
            shape->base_size = base_size;
        } else {
            shape->item_class = EMD_ITEM_INTEGER;
            shape->is_signed = H5Tget_sign(base) == H5T_SGN_2;
        }
    } else if (class == H5T_INTEGER) {
        shape->item_class = EMD_ITEM_INTEGER;
        shape->is_signed = H5Tget_sign(type) == H5T_SGN_2;
    } else if (class == H5T_FLOAT) {
        shape->item_class = EMD_ITEM_FLOAT;
    }
    if (class == H5T_INTEGER || class == H5T_FLOAT || base >= 0) {
        H5T_order_t order = H5Tget_order(base >= 0 ? base : type);
        shape->big_endian = order == H5T_ORDER_BE;
        if (order != H5T_ORDER_LE && order != H5T_ORDER_BE && order != H5T_ORDER_NONE)
            shape->item_class = EMD_ITEM_OTHER; /* VAX and mixed orders */
    }
    emd_hdf5_close(&base);
    return EMD_OK;
}

static enum emd_status list_shape(hid_t dcpl, hid_t type, struct emd_chunk_shape *shape,
                                  struct emd_error *err)
{
    hsize_t chunk[EMD_RANK_MAX];
    int rank = H5Pget_chunk(dcpl, EMD_RANK_MAX, chunk);
    if (rank < 1 || rank > EMD_RANK_MAX)
        return emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "not a chunked dataset");
    shape->rank = (unsigned)rank;
    for (int i = 0; i < rank; i++)
        shape->dims[i] = chunk[i];
    return type_shape(type, shape, err);
}

/* The parameters that 'codec' wants to store with chunks of this list, from those that are there.
 */
static enum emd_status local_parameters(const struct emd_codec *codec, hid_t dcpl, hid_t type,
                                        unsigned *flags, unsigned cd[EMD_CD_MAX], size_t *count,
                                        struct emd_error *err)
{
    struct emd_chunk_shape shape;
    unsigned user[EMD_CD_MAX];
    size_t user_count = EMD_CD_MAX;
    if (H5Pget_filter_by_id2(dcpl, (H5Z_filter_t)codec->id, flags, &user_count, user, 0, NULL,
                             NULL) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the parameters of %s", codec->name);
    if (user_count > EMD_CD_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "%s has %zu parameters", codec->name, user_count);
    enum emd_status status = list_shape(dcpl, type, &shape, err);
    if (status == EMD_OK)
        status = emd_codec_set_local(codec, &shape, user, user_count, cd, count, err);
    return status;
}

static htri_t can_apply(const struct emd_codec *codec, hid_t dcpl, hid_t type, hid_t space)
{
    (void)space;
    unsigned flags = 0, cd[EMD_CD_MAX];
    size_t count;
    struct emd_error err = {EMD_OK, ""};
    enum emd_status status = local_parameters(codec, dcpl, type, &flags, cd, &count, &err);
    if (status == EMD_OK)
        return 1;
    push_error(0, &err);
    return status == EMD_E_UNSUPPORTED ? 0 : -1;
}

static herr_t set_local(const struct emd_codec *codec, hid_t dcpl, hid_t type, hid_t space)
{
    (void)space;
    unsigned flags = 0, cd[EMD_CD_MAX];
    size_t count;
    struct emd_error err = {EMD_OK, ""};
    enum emd_status status = local_parameters(codec, dcpl, type, &flags, cd, &count, &err);
    /* HDF5 ignores can_apply's no for an optional filter and comes here all the same. */
    if (status == EMD_E_UNSUPPORTED && (flags & H5Z_FLAG_OPTIONAL))
        return 0;
    if (status != EMD_OK) {
        push_error(0, &err);
        return -1;
    }
    return H5Pmodify_filter(dcpl, (H5Z_filter_t)codec->id, flags, count, cd);
}

SLOT(0)
SLOT(1)
SLOT(2)
SLOT(3)
SLOT(4)
SLOT(5)
SLOT(6)
SLOT(7)

static const struct {
    H5Z_func_t run;
    H5Z_can_apply_func_t can_apply;
    H5Z_set_local_func_t set_local;
} slots[] = {SLOT_ENTRY(0), SLOT_ENTRY(1), SLOT_ENTRY(2), SLOT_ENTRY(3),
             SLOT_ENTRY(4), SLOT_ENTRY(5), SLOT_ENTRY(6), SLOT_ENTRY(7)};
_Static_assert(sizeof slots / sizeof slots[0] == sizeof slot_codec / sizeof slot_codec[0],
               "a codec for each slot");

enum emd_status emd_hdf5_register_filters(struct emd_error *err)
{
    static bool done; /* the HDF5 thread's */
    if (done)
        return EMD_OK;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    size_t used = 0;
    for (const struct emd_codec *const *codec = emd_codecs(); *codec; codec++) {
        if ((*codec)->id < FIRST_FOREIGN_FILTER)
            continue;
        if (used == sizeof slots / sizeof slots[0]) {
            status = emd_fail(err, EMD_E_UNSUPPORTED, "more codecs than filter slots");
            goto out;
        }
        slot_codec[used] = *codec;
        const H5Z_class2_t class = {.version = H5Z_CLASS_T_VERS,
                                    .id = (H5Z_filter_t)(*codec)->id,
                                    .encoder_present = 1,
                                    .decoder_present = 1,
                                    .name = (*codec)->description,
                                    .can_apply = slots[used].can_apply,
                                    .set_local = slots[used].set_local,
                                    .filter = slots[used].run};
        if (H5Zregister(&class) < 0) {
            status =
                emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot register filter %s", (*codec)->name);
            goto out;
        }
        used++;
    }
    done = true;
out:
    emd_hdf5_quiet_end(&quiet);
    return status;
}

/* ---- stand-ins ---- */

struct stand_in {
    struct stand_in *next;
    H5Z_filter_t id;
    char name[]; /* HDF5 keeps the pointer */
};
static struct stand_in *stand_ins; /* the HDF5 thread's */
static bool stand_ins_pass;

static bool is_stand_in(H5Z_filter_t id)
{
    const struct stand_in *s = stand_ins;
    while (s && s->id != id)
        s = s->next;
    return s != NULL;
}

static size_t run_stand_in(unsigned flags, size_t cd_count, const unsigned cd[], size_t n,
                           size_t *capacity, void **buffer)
{
    (void)cd_count;
    (void)cd;
    (void)capacity;
    (void)buffer;
    if (stand_ins_pass && !(flags & H5Z_FLAG_REVERSE))
        return n;
    struct emd_error err = {EMD_OK, ""};
    emd_fail(&err, EMD_E_UNSUPPORTED, "its filter is not installed");
    return push_error(flags & H5Z_FLAG_REVERSE, &err);
}

enum emd_status emd_filters_stand_in(H5Z_filter_t id, const char *name, struct emd_error *err)
{
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status != EMD_OK || id < FIRST_FOREIGN_FILTER || id > H5Z_FILTER_MAX || is_stand_in(id))
        return status;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    const htri_t known = H5Zfilter_avail(id);
    if (known <= 0) {
        const size_t n = strlen(name) + 1;
        struct stand_in *s = malloc(sizeof *s + n);
        if (s)
            memcpy(s->name, name, n);
        const H5Z_class2_t class = {.version = H5Z_CLASS_T_VERS,
                                    .id = id,
                                    .encoder_present = 1,
                                    .decoder_present = 1,
                                    .name = s && n > 1 ? s->name : NULL,
                                    .filter = run_stand_in};
        if (!s) {
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        } else if (H5Zregister(&class) < 0) {
            status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot stand in for filter %d", id);
            free(s);
        } else {
            s->id = id;
            s->next = stand_ins;
            stand_ins = s;
        }
    }
    emd_hdf5_quiet_end(&quiet);
    return status;
}

void emd_filters_end_stand_ins(void)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct stand_in **at = &stand_ins;
    while (*at) {
        struct stand_in *s = *at;
        if (H5Zunregister(s->id) < 0) {
            at = &s->next; /* in use: it stays one that decodes nothing */
            continue;
        }
        *at = s->next;
        free(s);
    }
    emd_hdf5_quiet_end(&quiet);
}

void emd_filters_let_stand_ins_pass(bool pass)
{
    stand_ins_pass = pass;
}

enum emd_status emd_filters_get(hid_t dcpl, struct emd_pipeline *pipeline, bool *ours,
                                struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    memset(pipeline, 0, sizeof *pipeline);
    *ours = true;
    int count = H5Pget_layout(dcpl) == H5D_CHUNKED ? H5Pget_nfilters(dcpl) : 0;
    if (count < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read a filter list");
        goto out;
    }
    if (count > EMD_PIPELINE_MAX)
        *ours = false;
    for (int i = 0; i < count && *ours; i++) {
        struct emd_filter *filter = &pipeline->filter[i];
        unsigned flags = 0;
        filter->cd_count = EMD_CD_MAX;
        H5Z_filter_t id =
            H5Pget_filter2(dcpl, (unsigned)i, &flags, &filter->cd_count, filter->cd, 0, NULL, NULL);
        if (id < 0) {
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read a filter list");
            goto out;
        }
        filter->codec = emd_codec_by_id((unsigned)id);
        filter->optional = flags & H5Z_FLAG_OPTIONAL;
        *ours = filter->codec && filter->cd_count <= EMD_CD_MAX;
    }
    pipeline->count = (size_t)count;
out:
    if (status != EMD_OK || !*ours)
        memset(pipeline, 0, sizeof *pipeline);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

enum emd_status emd_filters_set(hid_t dcpl, struct emd_pipeline *pipeline,
                                const struct emd_chunk_shape *shape, struct emd_error *err)
{
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status != EMD_OK)
        return status;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    if (H5Pget_nfilters(dcpl) > 0 && H5Premove_filter(dcpl, H5Z_FILTER_ALL) < 0) {
        status = emd_hdf5_fail(err, EMD_E_ARGUMENT, "cannot take filters off a list");
        goto out;
    }
    for (size_t i = 0; i < pipeline->count; i++) {
        struct emd_filter *filter = &pipeline->filter[i];
        unsigned cd[EMD_CD_MAX];
        size_t count = 0;
        status = emd_codec_set_local(filter->codec, shape, filter->cd, filter->cd_count, cd, &count,
                                     err);
        if (status != EMD_OK)
            goto out;
        memcpy(filter->cd, cd, count * sizeof cd[0]);
        filter->cd_count = count;
        if (H5Pset_filter(dcpl, (H5Z_filter_t)filter->codec->id,
                          filter->optional ? H5Z_FLAG_OPTIONAL : H5Z_FLAG_MANDATORY, count,
                          cd) < 0) {
            status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "HDF5 does not take filter %s",
                                   filter->codec->name);
            goto out;
        }
    }
out:
    emd_hdf5_quiet_end(&quiet);
    return status;
}

enum emd_status emd_filters_chunk_shape(hid_t type, unsigned rank, const hsize_t *chunk,
                                        struct emd_chunk_shape *shape, struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    if (rank < 1 || rank > EMD_RANK_MAX) {
        status = emd_fail(err, EMD_E_UNSUPPORTED, "a chunk of rank %u", rank);
        goto out;
    }
    struct emd_values values;
    status = emd_values_make(type, &values, err);
    if (status != EMD_OK)
        goto out;
    emd_values_free(&values);
    if (values.variable || values.references) {
        status = emd_fail(err, EMD_E_UNSUPPORTED,
                          "variable-length and reference data have no meaning outside their file");
        goto out;
    }
    shape->rank = rank;
    for (unsigned i = 0; i < rank; i++)
        shape->dims[i] = chunk[i];
    status = type_shape(type, shape, err);
    if (status == EMD_OK && emd_chunk_bytes(shape) == 0)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "chunks larger than the address space");
out:
    emd_hdf5_quiet_end(&quiet);
    return status;
}

/* Whether HDF5 can decode with this filter here; a stand-in does not count. */
static bool is_installed(H5Z_filter_t id)
{
    unsigned config = 0;
    return !is_stand_in(id) && H5Zfilter_avail(id) > 0 && H5Zget_filter_info(id, &config) >= 0 &&
           (config & H5Z_FILTER_CONFIG_DECODE_ENABLED);
}

enum emd_status emd_filters_available(hid_t dcpl, struct emd_error *err)
{
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status != EMD_OK)
        return status;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    int count = H5Pget_layout(dcpl) == H5D_CHUNKED ? H5Pget_nfilters(dcpl) : 0;
    for (int i = 0; i < count && status == EMD_OK; i++) {
        char name[80] = "";
        unsigned flags = 0;
        size_t cd_count = 0;
        H5Z_filter_t id =
            H5Pget_filter2(dcpl, (unsigned)i, &flags, &cd_count, NULL, sizeof name - 1, name, NULL);
        if (id < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read a filter list");
        else if (!is_installed(id))
            status = emd_fail(err, EMD_E_UNSUPPORTED,
                              "filter %d (%s) is not available; is its plugin in HDF5_PLUGIN_PATH?",
                              (int)id, name[0] ? name : "no name");
    }
    emd_hdf5_quiet_end(&quiet);
    return status;
}

uint32_t emd_filters_missing(hid_t dcpl, struct emd_error *why)
{
    uint32_t missing = 0;
    if (emd_filters_available(dcpl, why) == EMD_OK)
        return 0;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    const int count = H5Pget_nfilters(dcpl);
    for (int i = 0; i < count && i < 32; i++) {
        unsigned flags = 0;
        size_t cd_count = 0;
        H5Z_filter_t id = H5Pget_filter2(dcpl, (unsigned)i, &flags, &cd_count, NULL, 0, NULL, NULL);
        if (!is_installed(id))
            missing |= UINT32_C(1) << i;
    }
    emd_hdf5_quiet_end(&quiet);
    return missing;
}

/* Filter i of a list with all its parameters, which the caller frees; NULL on failure. */
static unsigned *get_filter(hid_t list, unsigned i, H5Z_filter_t *id, unsigned *flags, size_t *n)
{
    *n = 0;
    *id = H5Pget_filter2(list, i, flags, n, NULL, 0, NULL, NULL);
    unsigned *cd = *id < 0 ? NULL : calloc(*n + 1, sizeof *cd);
    if (cd && *n > 0 && H5Pget_filter2(list, i, flags, n, cd, 0, NULL, NULL) < 0) {
        free(cd);
        cd = NULL;
    }
    return cd;
}

bool emd_filters_same(hid_t a, hid_t b)
{
    const int count = H5Pget_nfilters(a);
    bool same = count >= 0 && H5Pget_nfilters(b) == count;
    for (int i = 0; i < count && same; i++) {
        H5Z_filter_t id[2];
        unsigned flags[2];
        size_t n[2];
        unsigned *cd[2] = {get_filter(a, (unsigned)i, &id[0], &flags[0], &n[0]),
                           get_filter(b, (unsigned)i, &id[1], &flags[1], &n[1])};
        same = cd[0] && cd[1] && id[0] == id[1] && flags[0] == flags[1] && n[0] == n[1] &&
               memcmp(cd[0], cd[1], n[0] * sizeof *cd[0]) == 0;
        free(cd[0]);
        free(cd[1]);
    }
    return same;
}
