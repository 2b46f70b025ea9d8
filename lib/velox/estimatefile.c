/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See estimatefile.h. */
#include "velox/estimatefile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"

enum { GROUP = 3 }; /* consecutive frames that say all that frames can say */
/* Without damage the largest sample takes seconds. All frames may take long. */
enum { SAMPLE_SECONDS = 60, FRAME_SECONDS = 2 };
/* Pixels that a sample reads where frames are not larger than that. */
#define SAMPLE_PIXELS ((size_t)24 << 20)
/* Stored otherwise than frame by frame, a frame can cost the whole movie: not beyond this. */
#define TOUCHED_BYTES_MAX ((double)(1 << 30))

/* Bytes of chunks that a group of consecutive frames touches. */
static double touched_bytes(const struct emd_stack *s)
{
    hsize_t chunk[EMD_RANK_MAX];
    hid_t dcpl = H5Dget_create_plist(s->dataset);
    const hid_t type = H5Dget_type(s->dataset);
    const double item = type >= 0 ? (double)H5Tget_size(type) : 8;
    double frames = (double)s->frames;
    if (type >= 0)
        H5Tclose(type);
    if (dcpl >= 0 && !s->frames_last)
        frames = 1; /* whole frames lie side by side or in chunks of few */
    if (dcpl >= 0 && H5Pget_layout(dcpl) == H5D_CHUNKED &&
        H5Pget_chunk(dcpl, EMD_RANK_MAX, chunk) == (int)s->rank)
        frames = s->frames_last ? (double)chunk[2] : s->rank > 2 ? (double)chunk[s->rank - 3] : 1;
    if (dcpl >= 0)
        H5Pclose(dcpl);
    return (double)s->height * (double)s->width * item * frames;
}

enum emd_status emd_estimate_stack(const struct emd_stack *s, double clip,
                                   struct emd_estimate *estimate, struct emd_estimator **estimator,
                                   struct emd_error *err)
{
    struct emd_estimator *e = NULL;
    float *frame[GROUP] = {NULL, NULL, NULL};
    const size_t pixels = s->height * s->width;
    const size_t group = s->frames < GROUP ? s->frames : GROUP;
    emd_estimate_clear(estimate);
    if (estimator)
        *estimator = NULL;
    if (s->kind == EMD_STACK_NONE || s->kind == EMD_STACK_COMPLEX || s->frames == 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "no images that can be looked at");
    const double touched = touched_bytes(s);
    if (touched > TOUCHED_BYTES_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "its frames are stored interleaved");
    enum emd_status status = emd_estimator_new(s->height, s->width, clip, &e, err);
    if (status != EMD_OK)
        return status;
    size_t groups = SAMPLE_PIXELS / (group * pixels);
    groups = groups < 1 ? 1 : groups > 16 ? 16 : groups;
    while (groups > 1 &&
           (groups * group > s->frames || (double)groups * touched > TOUCHED_BYTES_MAX))
        groups--;
    for (size_t i = 0; i < group && status == EMD_OK; i++) {
        frame[i] = malloc(pixels * sizeof *frame[i]);
        if (!frame[i])
            status = emd_fail(err, EMD_E_MEMORY, "no memory for a frame");
    }
    for (size_t g = 0; g < groups && status == EMD_OK; g++) {
        const size_t first = (s->frames - group) * (2 * g + 1) / (2 * groups);
        for (size_t i = 0; i < group && status == EMD_OK; i++)
            status = emd_stack_read(s, first + i, frame[i], err);
        if (status == EMD_OK)
            status = emd_estimator_add(e, (const float *const *)frame, group, err);
    }
    if (status == EMD_OK)
        status = emd_estimator_finish(e, estimate, err);
    for (size_t i = 0; i < GROUP; i++)
        free(frame[i]);
    if (status == EMD_OK && estimator)
        *estimator = e;
    else
        emd_estimator_free(e);
    return status;
}

/* Integers that are as large as their type allows are no counts. */
static double type_limit(const struct emd_stack *s)
{
    switch (s->kind) {
    case EMD_STACK_I8:
        return INT8_MAX;
    case EMD_STACK_U8:
        return UINT8_MAX;
    case EMD_STACK_I16:
        return INT16_MAX;
    case EMD_STACK_U16:
        return UINT16_MAX;
    case EMD_STACK_I32:
        return (double)INT32_MAX;
    case EMD_STACK_U32:
        return (double)UINT32_MAX;
    default:
        return HUGE_VAL;
    }
}

struct emd_gain emd_gain_choose(double metadata, const struct emd_estimate *e)
{
    const double tolerated = 1.5; /* what DIALS' background model and spot finder forgive */
    struct emd_gain gain = {metadata, EMD_GAIN_METADATA, false};
    const double low = e->gain - 2 * e->gain_sigma, high = e->gain + 2 * e->gain_sigma;
    gain.contradicted = metadata > high * tolerated || metadata * tolerated < low;
    if (isnan(metadata) || gain.contradicted) {
        gain.value = e->gain;
        gain.from = isnan(e->gain) ? EMD_GAIN_UNKNOWN : EMD_GAIN_PIXELS;
    }
    return gain;
}

struct answer {
    struct emd_error error;
    struct emd_estimate estimate;
    struct emd_frame_estimate frame[];
};

struct question {
    const struct emd_estimate_request *request;
    struct answer *answer;
};

static enum emd_status read_frames(const struct emd_stack *s, size_t count,
                                   struct emd_estimator *estimator, struct emd_frame_estimate *to,
                                   struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    float *frame = malloc(s->height * s->width * sizeof *frame);
    if (!frame)
        return emd_fail(err, EMD_E_MEMORY, "no memory for a frame");
    for (size_t i = 0; i < count && i < s->frames && status == EMD_OK; i++) {
        status = emd_stack_read(s, i, frame, err);
        if (status == EMD_OK)
            status = emd_estimator_frame(estimator, frame, to[i].centre, &to[i].pedestal, err);
    }
    free(frame);
    return status;
}

/* In the child. */
static void work(void *ctx, void *unused)
{
    const struct question *q = ctx;
    const struct emd_estimate_request *r = q->request;
    struct answer *a = q->answer;
    struct emd_source *source = NULL;
    struct emd_stack stack = {.dataset = H5I_INVALID_HID, .memory_type = H5I_INVALID_HID};
    struct emd_estimator *estimator = NULL;
    (void)unused;
    enum emd_status status = emd_source_open(r->path, &source, &a->error);
    if (status == EMD_OK)
        status = emd_stack_open(source->file, r->dataset, true, &stack, &a->error);
    if (status == EMD_OK) {
        const double limit = type_limit(&stack);
        status = emd_estimate_stack(&stack, r->clip < limit ? r->clip : limit, &a->estimate,
                                    &estimator, &a->error);
    }
    if (status == EMD_OK)
        status = read_frames(&stack, r->frame_count, estimator, a->frame, &a->error);
    a->error.status = status;
    emd_estimator_free(estimator);
    emd_stack_close(&stack);
    emd_source_close(source);
}

enum emd_status emd_estimate_file(const struct emd_estimate_request *request,
                                  struct emd_estimate *estimate, struct emd_frame_estimate *frame,
                                  struct emd_error *err)
{
    const size_t bytes = sizeof(struct answer) + request->frame_count * sizeof *frame;
    struct answer *answer = calloc(1, bytes);
    emd_estimate_clear(estimate);
    if (!answer)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    emd_estimate_clear(&answer->estimate);
    for (size_t i = 0; i < request->frame_count; i++)
        answer->frame[i] = (struct emd_frame_estimate){{NAN, NAN}, NAN};
    struct question question = {request, answer};
    const size_t seconds = SAMPLE_SECONDS + FRAME_SECONDS * request->frame_count;
    struct stat st;
    const struct emd_guard guard = {.file_bytes =
                                        stat(request->path, &st) == 0 ? (uint64_t)st.st_size : 0,
                                    .seconds = seconds < 86400 ? (unsigned)seconds : 86400,
                                    .work = work,
                                    .ctx = &question,
                                    .answer = answer,
                                    .answer_bytes = bytes,
                                    .cancelled = request->cancelled,
                                    .cancel_ctx = request->cancel_ctx};
    enum emd_status status = emd_guard_run(&guard, err);
    if (status == EMD_OK) {
        *estimate = answer->estimate;
        if (request->frame_count > 0)
            memcpy(frame, answer->frame, request->frame_count * sizeof *frame);
        status = answer->error.status;
        if (status != EMD_OK && err)
            *err = answer->error;
    }
    free(answer);
    return status;
}
