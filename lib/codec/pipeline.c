/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "codec/pipeline.h"

#include <string.h>

#include "codec/work.h"

bool emd_pipeline_equal(const struct emd_pipeline *a, const struct emd_pipeline *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct emd_filter *f = &a->filter[i], *g = &b->filter[i];
        if (f->codec != g->codec || f->optional != g->optional || f->cd_count != g->cd_count ||
            memcmp(f->cd, g->cd, f->cd_count * sizeof f->cd[0]) != 0)
            return false;
    }
    return true;
}

/* Largest size after each filter: size[0] = n, size[i + 1] after filter i where it is used. False
 * where that does not fit. */
static bool largest_sizes(const struct emd_pipeline *pipeline, uint32_t mask, size_t n,
                          size_t size[EMD_PIPELINE_MAX + 1])
{
    size[0] = n;
    for (size_t i = 0; i < pipeline->count; i++) {
        const struct emd_filter *f = &pipeline->filter[i];
        size[i + 1] = size[i];
        if (mask >> i & 1)
            continue;
        size_t most = f->codec->bound(f->cd, f->cd_count, size[i]);
        if (most == 0 && size[i] > 0)
            return false;
        /* An optional filter that is left out passes its input on. */
        if (most > size[i + 1])
            size[i + 1] = most;
    }
    return true;
}

size_t emd_pipeline_bound(const struct emd_pipeline *pipeline, size_t n)
{
    size_t size[EMD_PIPELINE_MAX + 1];
    return largest_sizes(pipeline, 0, n, size) ? size[pipeline->count] : 0;
}

size_t emd_pipeline_work_bytes(const struct emd_pipeline *pipeline, size_t n)
{
    size_t size[EMD_PIPELINE_MAX + 1], bytes = 0;
    if (!largest_sizes(pipeline, 0, n, size))
        return SIZE_MAX;
    for (size_t i = 0; i < pipeline->count; i++) {
        const struct emd_filter *f = &pipeline->filter[i];
        bytes += f->codec->work_bytes(f->cd, f->cd_count, size[i]);
        /* Two buffers at most lie between the filters, however many these are. */
        if (i == 1 || i == 2)
            bytes += size[i];
    }
    return bytes;
}

/* Whether nothing but trailers follows filter i, so that its result can lie in its final place. */
static bool is_last(const struct emd_pipeline *pipeline, size_t i)
{
    while (i + 1 < pipeline->count && pipeline->filter[i + 1].codec->trailer)
        i++;
    return i + 1 == pipeline->count;
}

enum { NOT_KEPT = EMD_PIPELINE_MAX };

enum emd_status emd_pipeline_encode(const struct emd_pipeline *pipeline, struct emd_work *work,
                                    const void *src, size_t n, void *dst, size_t capacity,
                                    size_t *out, uint32_t *mask, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_work *mine;
    size_t size[EMD_PIPELINE_MAX + 1];
    const unsigned char *data = src;
    size_t have = n;
    uint32_t left_out = 0;
    /* The shuffle whose input can be taken back if the compressor after it is left out. */
    size_t shuffle = NOT_KEPT;
    const unsigned char *before_shuffle = NULL;

    work = emd_work_or_new(work, &mine);
    if (!work)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (pipeline->count > EMD_PIPELINE_MAX || !largest_sizes(pipeline, 0, n, size)) {
        status = emd_fail(err, EMD_E_ARGUMENT, "chunks of %zu bytes are too large", n);
        goto out;
    }
    for (size_t i = 0; i < pipeline->count; i++) {
        const struct emd_filter *f = &pipeline->filter[i];
        const bool last = is_last(pipeline, i), append = f->codec->trailer && data == dst;
        unsigned char *to = dst;
        size_t room = capacity;
        /* Of three places (dst and two buffers) at most two hold what is still needed: what is
         * read, and what was there before the shuffle. dst is for the last result. */
        if (!last || (data == dst && !append) || before_shuffle == dst) {
            for (int slot = EMD_SCRATCH_PIPE_A; slot <= EMD_SCRATCH_PIPE_B; slot++) {
                const void *held = work->scratch[slot].data;
                if (held && (held == data || held == before_shuffle))
                    continue;
                to = emd_work_scratch(work, (enum emd_scratch)slot, size[i + 1]);
                room = size[i + 1];
                break;
            }
            if (!to) {
                status = emd_fail(err, EMD_E_MEMORY, "out of memory");
                goto out;
            }
        }
        size_t made = 0;
        work->tune = f->tune;
        status = f->codec->encode(f->cd, f->cd_count, work, data, have, to, room, &made, err);
        work->tune = EMD_TUNE_AS_OTHERS;
        if (f->optional && (status == EMD_E_UNSUPPORTED ||
                            (status == EMD_OK && !f->codec->transform && made > have))) {
            status = EMD_OK;
            left_out |= (uint32_t)1 << i;
            if (shuffle != NOT_KEPT) {
                left_out |= (uint32_t)1 << shuffle;
                data = before_shuffle;
            }
        } else if (status == EMD_OK) {
            if (f->codec->id == EMD_FILTER_SHUFFLE && f->optional) {
                shuffle = i;
                before_shuffle = data;
            } else {
                shuffle = NOT_KEPT;
                before_shuffle = NULL;
            }
            data = to;
            have = made;
            continue;
        }
        if (status != EMD_OK)
            goto out;
        shuffle = NOT_KEPT;
        before_shuffle = NULL;
    }
    if (data != dst) {
        if (have > capacity) {
            status = emd_fail(err, EMD_E_BUDGET, "%zu bytes do not fit %zu", have, capacity);
            goto out;
        }
        if (have > 0)
            memcpy(dst, data, have);
    }
    *out = have;
    *mask = left_out;
out:
    emd_work_free(mine);
    return status;
}

/* Decodes to dst; or, with 'expected', compares, and needs dst only where the last codec cannot. */
static enum emd_status decode_or_check(const struct emd_pipeline *pipeline, uint32_t mask,
                                       struct emd_work *work, const void *src, size_t n, void *dst,
                                       const void *expected, size_t chunk_bytes,
                                       struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_work *mine;
    size_t size[EMD_PIPELINE_MAX + 1];
    const unsigned char *data = src;
    size_t have = n, first = 0;
    int slot = EMD_SCRATCH_PIPE_A;

    work = emd_work_or_new(work, &mine);
    if (!work)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (pipeline->count > EMD_PIPELINE_MAX || !largest_sizes(pipeline, mask, chunk_bytes, size)) {
        status = emd_fail(err, EMD_E_ARGUMENT, "chunks of %zu bytes are too large", chunk_bytes);
        goto out;
    }
    while (first < pipeline->count && mask >> first & 1)
        first++;
    for (size_t i = pipeline->count; i-- > 0;) {
        const struct emd_filter *f = &pipeline->filter[i];
        if (mask >> i & 1)
            continue;
        if (i == first && expected && f->codec->check) {
            status =
                f->codec->check(f->cd, f->cd_count, work, data, have, expected, chunk_bytes, err);
            goto out;
        }
        unsigned char *to = dst;
        if (f->codec->trailer && (i != first || expected)) {
            to = (unsigned char *)data; /* stays as it is */
        } else if (i != first) {
            to = emd_work_scratch(work, (enum emd_scratch)slot, size[i]);
            slot = slot == EMD_SCRATCH_PIPE_A ? EMD_SCRATCH_PIPE_B : EMD_SCRATCH_PIPE_A;
        }
        if (!to) {
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
            goto out;
        }
        size_t made = 0;
        status = f->codec->decode(f->cd, f->cd_count, work, data, have, to, size[i], &made, err);
        if (status != EMD_OK)
            goto out;
        data = to;
        have = made;
    }
    if (have != chunk_bytes)
        status = emd_fail(err, EMD_E_CORRUPT, "the chunk decodes to %zu bytes instead of %zu", have,
                          chunk_bytes);
    else if (expected && have > 0 && memcmp(data, expected, have) != 0)
        status = emd_fail(err, EMD_E_VERIFY, "decodes to other data");
    else if (!expected && data == src && have > 0)
        memcpy(dst, src, have);
out:
    emd_work_free(mine);
    return status;
}

enum emd_status emd_pipeline_decode(const struct emd_pipeline *pipeline, uint32_t mask,
                                    struct emd_work *work, const void *src, size_t n, void *dst,
                                    size_t chunk_bytes, struct emd_error *err)
{
    return decode_or_check(pipeline, mask, work, src, n, dst, NULL, chunk_bytes, err);
}

enum emd_status emd_pipeline_check(const struct emd_pipeline *pipeline, uint32_t mask,
                                   struct emd_work *work, const void *src, size_t n,
                                   const void *expected, size_t chunk_bytes, void *room,
                                   struct emd_error *err)
{
    return decode_or_check(pipeline, mask, work, src, n, room, expected, chunk_bytes, err);
}

size_t emd_pipeline_check_bytes(const struct emd_pipeline *pipeline, size_t chunk_bytes)
{
    /* Whichever of several is left out, the last one to decode must not need room. */
    for (size_t i = 0; i < pipeline->count; i++)
        if (!pipeline->filter[i].codec->check && !pipeline->filter[i].codec->trailer)
            return chunk_bytes;
    return 0;
}
