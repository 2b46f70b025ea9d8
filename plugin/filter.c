/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See filter.h. HDF5 hands over a malloc'ed buffer that the filter replaces by its own; on failure
 * it returns 0 and leaves everything as it was. */
#include "filter.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/memory.h"

/* ---- working memory, kept from call to call ---- */

/* Contexts of idle threads. A thread's own would need a destructor, which may run after HDF5 has
 * unloaded the plugin; these are freed when that happens. */
enum { IDLE = 16 };
static struct emd_work *idle[IDLE];
static size_t idle_count;
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;

static struct emd_work *take_work(void)
{
    struct emd_work *work = NULL;
    pthread_mutex_lock(&idle_lock);
    if (idle_count > 0)
        work = idle[--idle_count];
    pthread_mutex_unlock(&idle_lock);
    return work ? work : emd_work_new();
}

static void give_back(struct emd_work *work)
{
    pthread_mutex_lock(&idle_lock);
    if (idle_count < IDLE) {
        idle[idle_count++] = work;
        work = NULL;
    }
    pthread_mutex_unlock(&idle_lock);
    emd_work_free(work);
}

__attribute__((destructor)) static void free_idle(void)
{
    while (idle_count > 0)
        emd_work_free(idle[--idle_count]);
}

/* Threads for one chunk: EMDTOOLS_PLUGIN_THREADS, or as many as the process has cores, up to four.
 * HDF5 calls filters under its lock, one chunk at a time, so a reader's own threads cannot decode:
 * two threads here raise a reader from 1.2 to 1.7 GB/s at no more CPU time, also where two readers
 * share two cores. A frame of 2048 x 2048 has eight strips; beyond four threads little is won. */
static unsigned threads_wanted(void)
{
    enum { ENOUGH = 4 };
    const char *const text = getenv("EMDTOOLS_PLUGIN_THREADS");
    const unsigned cores = emd_cpu_count();
    if (!text || !*text)
        return cores < ENOUGH ? cores : ENOUGH;
    const long threads = strtol(text, NULL, 10);
    return threads < 1                      ? 1
           : threads > EMD_WORK_THREADS_MAX ? EMD_WORK_THREADS_MAX
                                            : (unsigned)threads;
}

/* ---- errors ---- */

static void report(const struct emd_codec *codec, const void *caller, const char *function,
                   const char *text)
{
    struct emd_host host;
    emd_host_bind(&host, caller);
    emd_host_report(&host, codec->name, function, text);
    emd_host_release(&host);
}

/* ---- callbacks ---- */

htri_t emd_filter_can_apply(const struct emd_codec *codec, const void *caller, hid_t type)
{
    struct emd_host host;
    htri_t result = 1;
    if (emd_host_bind(&host, caller) &&
        (host.type_detect(type, H5T_VLEN) > 0 || host.type_is_variable(type) > 0)) {
        /* Chunks of such data hold only references into a heap that no filter sees. */
        emd_host_report(&host, codec->name, "can_apply",
                        "variable-length data cannot be compressed by a filter");
        result = 0;
    }
    emd_host_release(&host);
    return result;
}

static enum emd_status describe(const struct emd_host *h, hid_t plist, hid_t type,
                                struct emd_chunk_shape *shape, struct emd_error *err)
{
    hsize_t dims[EMD_RANK_MAX];
    const int rank = h->get_chunk(plist, EMD_RANK_MAX, dims);
    const H5T_class_t cls = h->type_class(type);
    const size_t size = h->type_size(type);
    *shape = (struct emd_chunk_shape){.item_class = EMD_ITEM_OTHER, .item_size = size};
    shape->base_size = size;
    if (rank < 0 || rank > EMD_RANK_MAX || size == 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "the dataset has no chunks, or an unknown type");
    if (cls == H5T_ARRAY) {
        const hid_t base = h->type_super(type);
        if (base >= 0) {
            if (h->type_size(base) > 0)
                shape->base_size = h->type_size(base);
            h->type_close(base);
        }
    } else if (cls == H5T_INTEGER) {
        shape->item_class = EMD_ITEM_INTEGER;
        shape->is_signed = h->type_sign(type) == H5T_SGN_2;
        shape->big_endian = h->type_order(type) == H5T_ORDER_BE;
    } else if (cls == H5T_FLOAT) {
        shape->item_class = EMD_ITEM_FLOAT;
        shape->big_endian = h->type_order(type) == H5T_ORDER_BE;
    }
    shape->rank = (unsigned)rank;
    for (int i = 0; i < rank; i++)
        shape->dims[i] = dims[i];
    return EMD_OK;
}

herr_t emd_filter_set_local(const struct emd_codec *codec, const void *caller, hid_t plist,
                            hid_t type)
{
    struct emd_host host;
    struct emd_chunk_shape shape;
    struct emd_error err = {.text = ""};
    enum emd_status status = EMD_OK;
    unsigned user[EMD_CD_MAX] = {0}, cd[EMD_CD_MAX] = {0}, flags = 0, config;
    size_t user_count = EMD_CD_MAX, cd_count = 0;
    const H5Z_filter_t id = (H5Z_filter_t)codec->id;
    if (!codec->set_local)
        return 0;
    if (!emd_host_bind(&host, caller)) {
        emd_host_report(&host, codec->name, "set_local",
                        "the HDF5 library of this program does not export its functions, so data "
                        "can be read but not written with this filter");
        return -1;
    }
    if (host.get_filter(plist, id, &flags, &user_count, user, 0, NULL, &config) < 0)
        status = emd_fail(&err, EMD_E_ARGUMENT, "no parameters of the filter");
    else if (user_count > EMD_CD_MAX)
        status = emd_fail(&err, EMD_E_ARGUMENT, "%zu parameters are too many", user_count);
    else
        status = describe(&host, plist, type, &shape, &err);
    if (status == EMD_OK)
        status = codec->set_local(&shape, user, user_count, cd, &cd_count, &err);
    if (status == EMD_OK && host.modify_filter(plist, id, flags, cd_count, cd) < 0)
        status = emd_fail(&err, EMD_E_ARGUMENT, "the parameters cannot be stored");
    emd_host_release(&host);
    if (status != EMD_OK)
        report(codec, caller, "set_local", err.text);
    return status == EMD_OK ? 0 : -1;
}

/* For a decoded chunk of n bytes, which HDF5 will free(). Blocks of this size come from the kernel,
 * which zeroes them, and go back to it, at first; but glibc learns from each that is freed: smaller
 * ones are then cut from its heap, of which it keeps up to twice as much. Asking for half as much
 * again, which is never touched, makes that enough for a chunk as it is stored, decoded, and the
 * caller's own copy: the next chunks find memory that is there, which saves a tenth of the time of
 * reading a movie. Blocks of more than 32 MiB always go back. */
static void *new_buffer(size_t n)
{
    enum { FROM_KERNEL = 128 << 10, ALWAYS = 32 << 20 };
    if (n < FROM_KERNEL || n > ALWAYS / 3 * 2)
        return emd_memory_new(n);
    void *const buffer = malloc(n + n / 2);
    if (buffer)
        emd_memory_advise(buffer, n);
    return buffer;
}

/* Largest chunk of HDF5 before 2.0, and enough room for what filters in front of this one add. */
static const size_t largest_chunk = sizeof(size_t) > 4 ? ((size_t)1 << 32) + 65536 : SIZE_MAX / 2;

static enum emd_status decode(const struct emd_codec *codec, struct emd_work *work,
                              const unsigned *cd, size_t cd_count, const void *src, size_t n,
                              void **out, size_t *size, struct emd_error *err)
{
    size_t expected = 0;
    enum emd_status status =
        codec->decoded_size(cd, cd_count, src, n, largest_chunk, &expected, err);
    if (status != EMD_OK)
        return status;
    *out = new_buffer(expected);
    if (!*out)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", expected);
    return codec->decode(cd, cd_count, work, src, n, *out, expected, size, err);
}

static enum emd_status encode(const struct emd_codec *codec, struct emd_work *work,
                              const unsigned *cd, size_t cd_count, const void *src, size_t n,
                              void **out, size_t *size, struct emd_error *err)
{
    const size_t bound = codec->bound(cd, cd_count, n);
    if (bound == 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "a chunk of %zu bytes is too large", n);
    *out = malloc(bound);
    if (!*out)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %zu bytes", bound);
    return codec->encode(cd, cd_count, work, src, n, *out, bound, size, err);
}

size_t emd_filter_run(const struct emd_codec *codec, const void *caller, unsigned flags,
                      size_t cd_count, const unsigned *cd, size_t n, size_t *buffer_size,
                      void **buffer)
{
    const bool reverse = flags & H5Z_FLAG_REVERSE;
    struct emd_error err = {.text = ""};
    enum emd_status status;
    void *out = NULL;
    size_t size = 0;
    if (n == 0 || n > *buffer_size || !*buffer) {
        report(codec, caller, reverse ? "decode" : "encode", "a chunk without data");
        return 0;
    }
    struct emd_work *work = take_work();
    if (!work) {
        report(codec, caller, reverse ? "decode" : "encode", "out of memory");
        return 0;
    }
    emd_work_set_threads(work, threads_wanted());
    status = (reverse ? decode : encode)(codec, work, cd, cd_count, *buffer, n, &out, &size, &err);
    give_back(work);
    if (status != EMD_OK || size == 0) {
        free(out);
        report(codec, caller, reverse ? "decode" : "encode",
               status != EMD_OK ? err.text : "a chunk of 0 bytes");
        return 0;
    }
    if (!reverse && size > n && flags & H5Z_FLAG_OPTIONAL) {
        free(out); /* stored as it is */
        return 0;
    }
    free(*buffer);
    *buffer = out;
    /* What was allocated may be more; HDF5 only needs it to be no less than the data. */
    *buffer_size = size;
    return size;
}
