/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See dataset.h. Decisions depend on the source alone (never on threads or budget, except for the
 * plan), so that the same source gives the same output everywhere. */
#include "repack/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "codec/auto.h"
#include "hdf5/fdfile.h"
#include "hdf5/filters.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/values.h"
#include "repack/box.h"
#include "velox/layout.h"

/* Chunks below this stay as they are: a filter's header would make them larger. */
static const size_t tiny_chunk_bytes = 512;
/* Contiguous data below this stay contiguous: a chunk index would cost more than it saves. */
static const size_t small_contiguous_bytes = (size_t)64 << 10;
/* Chunked rows of numbers below this stay as they are: there are many of them, and little in each.
 */
static const size_t small_row_bytes = (size_t)64 << 10;
/* A chunk of contiguous images: the largest frame in use (4096 x 4096 x 2 bytes) fits whole. */
static const size_t plane_bytes = (size_t)32 << 20;
/* HDF5's limit for a chunk. */
static const size_t most_chunk_bytes = UINT32_MAX;
/* Far above any image, far enough below 2^64 for sums of coordinates. */
static const uint64_t most_extent = (uint64_t)1 << 62;
/* Samples of 'auto': enough rows for stable statistics, small against a movie. */
enum { SAMPLES = 3, SALVAGE_TRIES = 8 };
static const size_t sample_bytes = (size_t)512 << 10;

/* True for integers, floats and compounds and arrays of them: data whose bytes mean the same in
 * every file. */
static bool is_numeric(hid_t type, int depth)
{
    bool numeric = false;
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
    case H5T_FLOAT:
    case H5T_BITFIELD:
    case H5T_ENUM:
        return true;
    case H5T_ARRAY: {
        hid_t base = H5Tget_super(type);
        numeric = base >= 0 && depth < 8 && is_numeric(base, depth + 1);
        emd_hdf5_close(&base);
        return numeric;
    }
    case H5T_COMPOUND: {
        int members = H5Tget_nmembers(type);
        numeric = members > 0 && depth < 8;
        for (int i = 0; i < members && numeric; i++) {
            hid_t member = H5Tget_member_type(type, (unsigned)i);
            numeric = member >= 0 && is_numeric(member, depth + 1);
            emd_hdf5_close(&member);
        }
        return numeric;
    }
    default:
        return false;
    }
}

/* Velox stacks frames on the last axis. */
static bool is_velox_stack(const char *path, unsigned rank)
{
    return rank == 3 && emd_velox_is_images(path);
}

uint64_t emd_dataset_frames(hid_t id, const char *path)
{
    hsize_t dims[H5S_MAX_RANK];
    uint64_t frames = 0;
    hid_t space = H5Dget_space(id);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    if (rank > 2) {
        frames = 1;
        if (is_velox_stack(path, (unsigned)rank))
            frames = dims[2];
        else
            for (int a = 0; a < rank - 2; a++)
                frames *= dims[a];
    }
    emd_hdf5_close(&space);
    return frames;
}

/* The largest contiguous range within the last two axes of at most plane_bytes. */
static void plane_chunk(const struct emd_plan_request *r, uint64_t *chunk)
{
    size_t bytes = r->item_size;
    for (unsigned a = r->rank; a-- > 0;) {
        uint64_t fit = plane_bytes / bytes;
        bool image_axis = a + 2 >= r->rank;
        chunk[a] = !image_axis || fit < 1 ? 1 : fit < r->dims[a] ? fit : r->dims[a];
        bytes *= (size_t)chunk[a];
    }
}

/* The chunk shape that the user wants; false where it is not meant for such a dataset. */
static enum emd_status given_chunk(struct emd_dataset *d, const struct emd_repack_options *options,
                                   const char *path, const hsize_t *most, uint64_t *chunk,
                                   bool *given, struct emd_error *err)
{
    const struct emd_plan_request *r = &d->request;
    *given = false;
    if (options->chunking != EMD_CHUNK_SHAPE || r->rank < 2 || emd_velox_is_metadata(path))
        return EMD_OK;
    if (options->chunk_rank != r->rank)
        return r->rank == 2 ? EMD_OK
                            : emd_fail(err, EMD_E_ARGUMENT,
                                       "chunks of %u dimensions do not fit its %u (--chunk)",
                                       options->chunk_rank, r->rank);
    for (unsigned a = 0; a < r->rank; a++) {
        const uint64_t limit = most[a] == H5S_UNLIMITED ? UINT32_MAX : most[a];
        chunk[a] = options->chunk[a] < limit ? options->chunk[a] : limit;
        if (options->chunk[a] > limit)
            snprintf(d->remark, sizeof d->remark,
                     "--chunk: its dimension %u has only %" PRIu64 " elements", a + 1, limit);
    }
    *given = true;
    const size_t bytes = emd_box_bytes(r->rank, chunk, r->item_size);
    if (bytes > most_chunk_bytes)
        return emd_fail(err, EMD_E_ARGUMENT,
                        "chunks of %zu bytes are more than HDF5 takes (--chunk)", bytes);
    return EMD_OK;
}

static void decide_chunk(const struct emd_dataset *d, enum emd_chunking how, uint64_t *chunk)
{
    const struct emd_plan_request *r = &d->request;
    if (d->frames_last) {
        chunk[0] = r->dims[0];
        chunk[1] = r->dims[1];
        chunk[2] = 1;
    } else if (how == EMD_CHUNK_FRAME && r->rank >= 2) {
        for (unsigned a = 0; a < r->rank; a++)
            chunk[a] = a + 2 >= r->rank ? r->dims[a] : 1;
    } else if (r->contiguous) {
        plane_chunk(r, chunk);
    } else {
        memcpy(chunk, r->source, r->rank * sizeof *chunk);
    }
    if (emd_box_bytes(r->rank, chunk, r->item_size) <= most_chunk_bytes)
        return;
    if (r->contiguous)
        plane_chunk(r, chunk);
    else
        memcpy(chunk, r->source, r->rank * sizeof *chunk);
}

/* Where the data of a contiguous dataset begin in the file. HDF5's answer is checked against what
 * HDF5 reads: with a user block, versions disagree on where addresses are counted from. */
static enum emd_status find_contiguous(const struct emd_source *source, hid_t id, hid_t type,
                                       bool salvage, struct emd_dataset *d, bool *found,
                                       struct emd_error *err)
{
    const struct emd_plan_request *r = &d->request;
    haddr_t offset = H5Dget_offset(id);
    *found = false;
    if (!emd_hdf5_is_allocated(id))
        return EMD_OK; /* never written */
    /* one row at the start, at most 4 KiB, is enough to tell places apart */
    uint64_t shape[EMD_RANK_MAX];
    hsize_t start[EMD_RANK_MAX] = {0}, count[EMD_RANK_MAX];
    size_t items = 4096 / r->item_size;
    if (items == 0)
        return EMD_OK;
    for (unsigned a = 0; a < r->rank; a++)
        shape[a] = 1;
    shape[r->rank - 1] = r->dims[r->rank - 1] < items ? r->dims[r->rank - 1] : items;
    for (unsigned a = 0; a < r->rank; a++)
        count[a] = shape[a];
    size_t n = emd_box_bytes(r->rank, shape, r->item_size);
    unsigned char by_hdf5[4096], by_us[4096];
    enum emd_status status = EMD_OK;
    hid_t space = H5Dget_space(id), memory = H5Screate_simple((int)r->rank, count, NULL);
    if (space < 0 || memory < 0 ||
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(id, type, memory, space, H5P_DEFAULT, by_hdf5) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
    emd_hdf5_close(&space);
    emd_hdf5_close(&memory);
    if (status != EMD_OK && salvage) {
        emd_fdfile_forgive_reads();
        return EMD_OK; /* the tree copy saves what there is */
    }
    const uint64_t places[] = {offset, offset + source->user_block};
    size_t whole = emd_box_bytes(r->rank, r->dims, r->item_size);
    for (size_t i = 0; i < 2 && status == EMD_OK && !*found; i++) {
        if (emd_pread_all(source->fd, by_us, n, places[i]) != 0 || memcmp(by_us, by_hdf5, n) != 0)
            continue;
        uint64_t size = (uint64_t)source->id.size;
        if (salvage && source->end > size)
            size = source->end;
        if (places[i] > size || whole > size - places[i])
            return emd_fail(err, EMD_E_INCOMPLETE,
                            "%zu bytes at %" PRIu64 " reach behind the end of the file", whole,
                            places[i]);
        d->data_address = places[i];
        *found = true;
    }
    return status;
}

/* Chunks that the index cannot tell, in a salvage. */
struct losing {
    struct emd_losses *losses;
    const struct emd_dataset *d;
    const char *path;
    enum emd_status status;
};

static void lose_chunk(void *ctx, const struct emd_chunk_grid *grid, uint64_t index,
                       const struct emd_error *why)
{
    struct losing *losing = ctx;
    uint64_t box[2 * EMD_RANK_MAX] = {0};
    const struct emd_loss loss = {.kind = EMD_LOSS_DATA,
                                  .object = losing->d->address,
                                  .path = (char *)losing->path,
                                  .rank = grid->rank,
                                  .box = box,
                                  .is_chunk = true};
    hsize_t start[EMD_RANK_MAX];
    if (index != EMD_CHUNK_NO_PLACE) {
        emd_chunk_offset(grid, index, start);
        for (unsigned a = 0; a < grid->rank; a++) {
            const uint64_t left = grid->dims[a] - start[a];
            box[a] = start[a];
            box[grid->rank + a] = left < grid->chunk[a] ? left : grid->chunk[a];
        }
    }
    if (losing->status == EMD_OK)
        losing->status = emd_losses_add(losing->losses, &loss, why, NULL);
}

static enum emd_status list_chunks(hid_t id, struct emd_source *source, const char *path,
                                   struct emd_losses *losses, struct emd_dataset *d,
                                   struct emd_error *err)
{
    struct losing losing = {losses, d, path, EMD_OK};
    const struct emd_chunk_salvage salvage = {lose_chunk, &losing};
    enum emd_status status = emd_hdf5_address(id, &d->address, err);
    if (status == EMD_OK)
        status = emd_chunk_list_salvage(id, source, EMD_CHUNKS_BY_INDEX, 0,
                                        losses ? &salvage : NULL, &d->chunks, err);
    if (status == EMD_OK && losing.status != EMD_OK)
        status = emd_fail(err, losing.status, "out of memory");
    return status;
}

/* A box of samples: where it lies in the dataset. */
struct sample_box {
    uint64_t origin[EMD_RANK_MAX], shape[EMD_RANK_MAX];
    size_t bytes;
};

/* Copies a box out of plain data that are stored row by row, in the longest runs that there are:
 * from memory at 'plain', or from the file at 'address'. 'origin' is the box's place in them,
 * 'extent' their own shape. */
static enum emd_status cut_box(const struct emd_plan_request *r, const uint64_t *extent,
                               const uint64_t *origin, const uint64_t *shape,
                               const unsigned char *plain, int fd, uint64_t address, void *data,
                               struct emd_error *err)
{
    unsigned char *to = data;
    uint64_t at[EMD_RANK_MAX] = {0};
    size_t run = r->item_size;
    unsigned inner = r->rank; /* axes from here on are within a run */
    while (inner > 0) {
        inner--;
        run *= (size_t)shape[inner];
        if (shape[inner] != extent[inner])
            break;
    }
    for (;;) {
        uint64_t offset = 0;
        for (unsigned a = 0; a < r->rank; a++)
            offset = offset * extent[a] + origin[a] + at[a];
        offset *= r->item_size;
        if (plain)
            memcpy(to, plain + offset, run);
        else if (emd_source_read(fd, to, run, address + offset, err) != EMD_OK)
            return err->status;
        to += run;
        unsigned axis = inner;
        while (axis > 0 && ++at[axis - 1] == shape[axis - 1])
            at[--axis] = 0;
        if (axis == 0)
            return EMD_OK;
    }
}

/* A stored chunk, decoded by our own codecs: a buffer of its own, NULL on failure. */
static unsigned char *decode_chunk(const struct emd_source *source, hid_t id,
                                   const struct emd_dataset *d, const struct emd_chunk *chunk,
                                   struct emd_error *err)
{
    const size_t n = (size_t)chunk->bytes, plain = d->chunks.grid.chunk_bytes;
    unsigned char *stored = malloc(n), *data = malloc(plain);
    uint32_t mask = chunk->mask;
    enum emd_status status = EMD_OK;
    if (!stored || !data)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else if (d->chunks.has_addresses)
        status = emd_source_read(source->fd, stored, n, chunk->address, err);
    else
        status = emd_chunk_read(id, &d->chunks.grid, chunk, stored, n, &mask, err);
    if (status == EMD_OK)
        status = emd_pipeline_decode(&d->source, mask, NULL, stored, n, data, plain, err);
    free(stored);
    if (status == EMD_OK)
        return data;
    hsize_t offset[EMD_RANK_MAX];
    uint64_t at[EMD_RANK_MAX];
    char place[256];
    emd_chunk_offset(&d->chunks.grid, chunk->index, offset);
    for (unsigned a = 0; a < d->request.rank; a++)
        at[a] = offset[a];
    emd_point_text(d->request.rank, at, place, sizeof place);
    emd_fail_prefix(err, status, "chunk at (%s)", place);
    free(data);
    return NULL;
}

/* What only HDF5 can decode is read by a child process, for HDF5 believes what a chunk says of
 * itself. */
struct foreign_read {
    hid_t id, type;
    unsigned rank;
    const struct sample_box *box;
};
struct foreign_answer {
    struct emd_error error;
    unsigned char data[];
};

static void read_foreign(void *ctx, void *answer)
{
    const struct foreign_read *f = ctx;
    struct foreign_answer *to = answer;
    hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX];
    for (unsigned a = 0; a < f->rank; a++) {
        start[a] = f->box->origin[a];
        count[a] = f->box->shape[a];
    }
    hid_t space = H5Dget_space(f->id), memory = H5Screate_simple((int)f->rank, count, NULL);
    to->error.status = EMD_OK;
    if (space < 0 || memory < 0 ||
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(f->id, f->type, memory, space, H5P_DEFAULT, to->data) < 0)
        emd_hdf5_fail(&to->error, EMD_E_CORRUPT, "cannot be read");
    emd_hdf5_close(&space);
    emd_hdf5_close(&memory);
}

static enum emd_status guard_foreign(const struct emd_source *source, hid_t id, hid_t type,
                                     unsigned rank, const struct sample_box *box, void *data,
                                     struct emd_error *err)
{
    const size_t n = sizeof(struct foreign_answer) + box->bytes;
    struct foreign_answer *answer = calloc(1, n);
    struct foreign_read f = {id, type, rank, box};
    const struct emd_guard guard = {.file_bytes = (uint64_t)source->id.size,
                                    .work = read_foreign,
                                    .ctx = &f,
                                    .answer = answer,
                                    .answer_bytes = n};
    enum emd_status status =
        answer ? emd_guard_run(&guard, err) : emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK && answer->error.status != EMD_OK)
        status = emd_fail(err, answer->error.status, "%s", answer->error.text);
    else if (status == EMD_OK)
        memcpy(data, answer->data, box->bytes);
    free(answer);
    return status;
}

/* Reads a box of the source in its own type, within 'chunk' where it is chunked. Never by HDF5's
 * own decoders in this process: of a chunk that decodes to less than it should, they hand out
 * memory that is not theirs. */
static enum emd_status read_box(const struct emd_source *source, hid_t id, hid_t type,
                                const struct emd_dataset *d, const struct emd_chunk *chunk,
                                const struct sample_box *box, void *data, struct emd_error *err)
{
    const struct emd_plan_request *r = &d->request;
    if (!chunk)
        return cut_box(r, r->dims, box->origin, box->shape, NULL, source->fd, d->data_address, data,
                       err);
    if (r->fetch == EMD_FETCH_DECODED)
        return guard_foreign(source, id, type, r->rank, box, data, err);
    hsize_t offset[EMD_RANK_MAX];
    uint64_t within[EMD_RANK_MAX];
    emd_chunk_offset(&d->chunks.grid, chunk->index, offset);
    for (unsigned a = 0; a < r->rank; a++)
        within[a] = box->origin[a] - offset[a];
    if (d->source.count == 0 && d->chunks.has_addresses)
        return cut_box(r, r->source, within, box->shape, NULL, source->fd, chunk->address, data,
                       err);
    unsigned char *plain = decode_chunk(source, id, d, chunk, err);
    if (!plain)
        return err->status;
    enum emd_status status = cut_box(r, r->source, within, box->shape, plain, -1, 0, data, err);
    free(plain);
    return status;
}

/* Cuts a box to at most 'bytes' along its first long axis, a third of the way in: off the edge and
 * off the direct beam in the middle. */
static void crop(unsigned rank, size_t item_size, uint64_t *origin, uint64_t *shape, size_t bytes)
{
    for (unsigned a = 0; a < rank; a++) {
        size_t n = emd_box_bytes(rank, shape, item_size);
        if (n <= bytes)
            return;
        uint64_t keep = shape[a] / (n / bytes + 1);
        if (keep < 1)
            keep = 1;
        origin[a] += (shape[a] - keep) / 3;
        shape[a] = keep;
    }
}

/* Sample i of the data as target chunks will hold them, of a chunk 'shift' places on: a buffer of
 * its own, NULL on failure. */
static void *take_sample(const struct emd_source *source, hid_t id, hid_t type,
                         const struct emd_dataset *d, unsigned i, size_t shift,
                         struct emd_sample *sample, struct emd_error *err)
{
    const struct emd_plan_request *r = &d->request;
    const struct emd_grid target = {r->rank, r->item_size, r->dims, r->target};
    struct sample_box box = {.bytes = 0};
    const struct emd_chunk *chunk = NULL;
    uint64_t *origin = box.origin, *shape = box.shape;
    struct emd_window window;
    struct emd_touched touched;
    memcpy(shape, r->dims, sizeof box.shape);
    if (r->contiguous) {
        if (!d->frames_last) {
            origin[0] = r->dims[0] * (i + 1) / (SAMPLES + 1);
            shape[0] -= origin[0];
        }
    } else {
        chunk =
            &d->chunks.chunk[(d->chunks.count * (i + 1) / (SAMPLES + 1) + shift) % d->chunks.count];
        hsize_t offset[EMD_RANK_MAX];
        emd_chunk_offset(&d->chunks.grid, chunk->index, offset);
        for (unsigned a = 0; a < r->rank; a++) {
            origin[a] = offset[a];
            shape[a] =
                r->dims[a] - offset[a] < r->source[a] ? r->dims[a] - offset[a] : r->source[a];
        }
    }
    /* A part of one frame; where frames are interleaved, many must be read to get one. */
    emd_box_touched(&target, origin, shape, &touched);
    crop(r->rank, r->item_size, origin, shape,
         touched.count[r->rank - 1] > 1 ? 16 * sample_bytes : sample_bytes);
    emd_box_touched(&target, origin, shape, &touched);
    const size_t n = emd_box_bytes(r->rank, shape, r->item_size);
    size_t at = 0;
    unsigned char *whole = malloc(n), *parts = malloc(n);
    void **part = malloc(touched.total * sizeof *part);
    size_t *size = malloc(touched.total * sizeof *size);
    bool ok = whole && parts && part && size;
    box.bytes = n;
    if (!ok)
        emd_fail(err, EMD_E_MEMORY, "out of memory");
    ok = ok && read_box(source, id, type, d, chunk, &box, whole, err) == EMD_OK;
    memcpy(window.origin, origin, sizeof window.origin);
    memcpy(window.shape, shape, sizeof window.shape);
    for (size_t k = 0; ok && k < touched.total; k++) {
        uint64_t part_origin[EMD_RANK_MAX], part_shape[EMD_RANK_MAX];
        emd_box_part(&target, &touched, k, origin, shape, part_origin, part_shape);
        part[k] = parts + at;
        size[k] = emd_box_bytes(r->rank, part_shape, r->item_size);
        at += size[k];
    }
    if (ok) {
        emd_box_scatter(&target, whole, origin, shape, &window, part);
        size_t which = touched.total * (i + 1) / (SAMPLES + 1);
        *sample = (struct emd_sample){part[which],
                                      size[which] < sample_bytes ? size[which] : sample_bytes};
    } else {
        free(parts);
        parts = NULL;
    }
    free(size);
    free(part);
    free(whole);
    return parts;
}

/* Bytes of the samples in a pipeline; 0 where it cannot be told. */
static size_t packed_bytes(const struct emd_pipeline *pipeline, const struct emd_sample *sample)
{
    size_t total = 0;
    for (unsigned i = 0; i < SAMPLES; i++) {
        size_t room = emd_pipeline_bound(pipeline, sample[i].size), size;
        uint32_t mask;
        void *out = room ? malloc(room) : NULL;
        enum emd_status status =
            out ? emd_pipeline_encode(pipeline, NULL, sample[i].data, sample[i].size, out, room,
                                      &size, &mask, NULL)
                : EMD_E_MEMORY;
        free(out);
        if (status != EMD_OK)
            return 0;
        total += size;
    }
    return total;
}

/* How many percent smaller EDC makes whole rows of the samples than 'auto' does. */
static int edc_saving(const struct emd_dataset *d, const struct emd_chunk_shape *chunk,
                      const struct emd_sample *sample)
{
    const struct emd_plan_request *r = &d->request;
    const uint64_t width = d->frames_last ? r->dims[1] : r->dims[r->rank - 1];
    const size_t row = (size_t)width * r->item_size;
    struct emd_sample rows[SAMPLES];
    struct emd_chunk_shape shape = *chunk;
    struct emd_pipeline edc = {.count = 1, .filter[0].codec = emd_codec_by_name("edc")};
    struct emd_filter *filter = &edc.filter[0];
    if (!filter->codec || chunk->item_class != EMD_ITEM_INTEGER || row > sample[0].size)
        return 0;
    shape.rank = 2;
    shape.dims[0] = sample[0].size / row;
    shape.dims[1] = width;
    for (unsigned i = 0; i < SAMPLES; i++) {
        rows[i] = (struct emd_sample){sample[i].data, emd_chunk_bytes(&shape)};
        if (sample[i].size < rows[i].size)
            return 0;
    }
    if (emd_codec_set_local(filter->codec, &shape, NULL, 0, filter->cd, &filter->cd_count, NULL) !=
        EMD_OK)
        return 0;
    size_t by_auto = packed_bytes(&d->target, rows), by_edc = packed_bytes(&edc, rows);
    return by_edc > 0 && by_edc < by_auto ? (int)(100 - 100 * by_edc / by_auto) : 0;
}

/* Where no samples can be read. */
static enum emd_status choose_blindly(struct emd_dataset *d, struct emd_error *err)
{
    struct emd_codec_choice blosc;
    const enum emd_status status = emd_codec_choice_parse("blosc", &blosc, err);
    if (status == EMD_OK)
        d->target = blosc.pipeline;
    return status;
}

/* The pipeline of 'auto', from samples a quarter, half and three quarters through the data. */
static enum emd_status choose_auto(const struct emd_source *source, hid_t id, hid_t type,
                                   bool compare, bool salvage, struct emd_dataset *d,
                                   const struct emd_chunk_shape *chunk, struct emd_error *err)
{
    const unsigned tries = salvage && d->chunks.count > 0 ? SALVAGE_TRIES : 1;
    void *data[SAMPLES] = {NULL};
    struct emd_sample sample[SAMPLES];
    struct emd_error failure = {.status = EMD_OK};
    enum emd_status status = EMD_OK;
    for (unsigned i = 0; i < SAMPLES && status == EMD_OK; i++) {
        for (unsigned k = 0; k < tries && !data[i]; k++)
            data[i] = take_sample(source, id, type, d, i, k, &sample[i], &failure);
        if (!data[i])
            status = emd_fail(err, failure.status, "%s", failure.text);
    }
    if (status != EMD_OK && status != EMD_E_MEMORY && salvage)
        status = choose_blindly(d, err);
    else if (status == EMD_OK) {
        d->target.count = 1;
        status = emd_auto_choose(chunk, sample, SAMPLES, NULL, &d->target.filter[0], err);
    }
    if (status == EMD_OK && compare && data[SAMPLES - 1])
        d->edc_saving = edc_saving(d, chunk, sample);
    for (unsigned i = 0; i < SAMPLES; i++)
        free(data[i]);
    return status;
}

/* Blosc takes chunks below 2 GiB only. */
static enum emd_status choose_for_large(size_t bytes, struct emd_dataset *d, struct emd_error *err)
{
    struct emd_codec_choice zstd;
    const enum emd_status status = emd_codec_choice_parse("zstd", &zstd, err);
    if (status == EMD_OK) {
        d->target = zstd.pipeline;
        snprintf(d->remark, sizeof d->remark,
                 "chunks of %zu bytes are too large for blosc; zstd is used", bytes);
    }
    return status;
}

/* Removes a byte shuffle that has nothing to do. */
static void drop_idle_shuffle(struct emd_pipeline *pipeline, size_t item_size)
{
    if (item_size > 1 || pipeline->count == 0 ||
        pipeline->filter[0].codec->id != EMD_FILTER_SHUFFLE)
        return;
    pipeline->count--;
    memmove(pipeline->filter, pipeline->filter + 1, pipeline->count * sizeof *pipeline->filter);
}

/* Appends fletcher32 where that is wanted. */
static void add_checksum(struct emd_pipeline *pipeline, enum emd_checksum when)
{
    const struct emd_codec *last =
        pipeline->count > 0 ? pipeline->filter[pipeline->count - 1].codec : NULL;
    if (when == EMD_CHECKSUM_ALWAYS || (when == EMD_CHECKSUM_AUTO && last && !last->checksum))
        pipeline->filter[pipeline->count++] =
            (struct emd_filter){.codec = emd_codec_by_id(EMD_FILTER_FLETCHER32)};
}

/* Sizes, layout and place of the source. *image tells whether it is to be encoded; 'must': however
 * small it is. */
static enum emd_status look_at_source(struct emd_source *source, hid_t id, hid_t type,
                                      const char *path, hid_t dcpl,
                                      const struct emd_repack_options *options, bool must,
                                      struct emd_losses *losses, struct emd_dataset *d,
                                      hsize_t *most, bool *image, struct emd_error *err)
{
    struct emd_plan_request *r = &d->request;
    hsize_t dims[EMD_RANK_MAX];
    enum emd_status status = EMD_OK;
    *image = false;
    hid_t space = H5Dget_space(id);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (rank < 1 || H5Sget_simple_extent_type(space) != H5S_SIMPLE ||
        H5Sget_simple_extent_dims(space, dims, most) < 0) {
        emd_hdf5_close(&space);
        return EMD_OK; /* scalar or null */
    }
    emd_hdf5_close(&space);
    r->rank = (unsigned)rank;
    r->item_size = H5Tget_size(type);
    for (unsigned a = 0; a < r->rank; a++)
        if ((r->dims[a] = dims[a]) == 0 || dims[a] > most_extent)
            return EMD_OK;
    if (r->item_size == 0)
        return EMD_OK;
    switch (H5Pget_layout(dcpl)) {
    case H5D_CONTIGUOUS:
        r->contiguous = true;
        d->data_bytes = emd_box_bytes(r->rank, r->dims, r->item_size);
        if (r->rank < 2 || d->data_bytes < small_contiguous_bytes || d->data_bytes == SIZE_MAX ||
            (!options->codec.is_auto && options->codec.pipeline.count == 0) ||
            H5Pget_external_count(dcpl) > 0)
            return EMD_OK;
        return find_contiguous(source, id, type, losses != NULL, d, image, err);
    case H5D_CHUNKED: {
        bool ours;
        status = emd_filters_get(dcpl, &d->source, &ours, err);
        if (status == EMD_OK)
            status = list_chunks(id, source, path, losses, d, err);
        if (losses && (status == EMD_E_CORRUPT || status == EMD_E_IO))
            return EMD_OK; /* the tree copy finds the same, and enters it as a loss */
        if (status != EMD_OK)
            return status;
        for (unsigned a = 0; a < r->rank; a++)
            r->source[a] = d->chunks.grid.chunk[a];
        for (size_t i = 0; i < d->chunks.count && d->source.count > 0; i++)
            if (d->chunks.chunk[i].bytes > r->source_stored)
                r->source_stored = (size_t)d->chunks.chunk[i].bytes;
        if (!ours && emd_filters_available(dcpl, NULL) != EMD_OK)
            return EMD_OK; /* what cannot be decoded is for the tree copy to carry over or refuse */
        if (!ours)
            r->fetch = EMD_FETCH_DECODED;
        else if (!d->chunks.has_addresses)
            r->fetch = EMD_FETCH_STORED;
        r->chunks = d->chunks.count;
        r->source_work = emd_pipeline_work_bytes(&d->source, d->chunks.grid.chunk_bytes);
        d->data_bytes = d->chunks.count * d->chunks.grid.chunk_bytes;
        *image =
            d->chunks.count > 0 && (must || (d->chunks.grid.chunk_bytes >= tiny_chunk_bytes &&
                                             (r->rank > 1 || d->data_bytes >= small_row_bytes)));
        return EMD_OK;
    }
    default:
        return EMD_OK;
    }
}

/* The fill value in the file's own type; none, zero and undefined are zeros. */
static enum emd_status get_fill(hid_t dcpl, hid_t type, struct emd_dataset *d,
                                struct emd_error *err)
{
    H5D_fill_value_t defined;
    if (H5Pfill_value_defined(dcpl, &defined) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a fill value that cannot be read");
    if (defined != H5D_FILL_VALUE_USER_DEFINED)
        return EMD_OK;
    d->fill = calloc(1, d->request.item_size);
    if (!d->fill)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (H5Pget_fill_value(dcpl, type, d->fill) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "has a fill value that cannot be read");
    return EMD_OK;
}

/* Strips live for seconds: the fastest codec that still halves noise. Blosc with bit shuffle and
 * LZ4 at level 1 (cd_values: docs/filters.md). */
static void decide_strips(struct emd_dataset *d)
{
    struct emd_plan_request *r = &d->request;
    const unsigned item = r->item_size < 256 ? (unsigned)r->item_size : 1;
    d->strips = (struct emd_pipeline){.count = 1,
                                      .filter[0] = {.codec = emd_codec_by_id(EMD_FILTER_BLOSC),
                                                    .cd_count = 7,
                                                    .cd = {2, 2, item, 0, 1, 2, 1}}};
    const size_t n = (size_t)1 << 20; /* the overhead of Blosc is a header, whatever the size */
    r->strip_overhead = emd_pipeline_bound(&d->strips, n) - n;
    r->strip_work = emd_pipeline_work_bytes(&d->strips, n);
}

/* ---- filters that need a plugin -----------------------------------------------------------------
 */

static bool has_plugin(const struct emd_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->count; i++)
        if (pipeline->filter[i].codec->id >= H5Z_FILTER_RESERVED)
            return true;
    return false;
}

/* Whether the codec is one that every HDF5 has: gzip or none. */
static bool is_plain_codec(const struct emd_repack_options *options)
{
    return !options->codec.is_auto && !has_plugin(&options->codec.pipeline);
}

static bool needs_plugin(hid_t dcpl)
{
    const int count = H5Pget_layout(dcpl) == H5D_CHUNKED ? H5Pget_nfilters(dcpl) : 0;
    for (int i = 0; i < count; i++) {
        unsigned flags = 0;
        size_t cd_count = 0;
        if (H5Pget_filter2(dcpl, (unsigned)i, &flags, &cd_count, NULL, 0, NULL, NULL) >=
            H5Z_FILTER_RESERVED)
            return true;
    }
    return false;
}

/* Gives a dataset that the tree copy writes by HDF5 (variable-length data, references) or that has
 * no data a filter list without plugins. */
static enum emd_status set_plain_filters(hid_t dcpl, const struct emd_repack_options *options,
                                         struct emd_error *err)
{
    const struct emd_pipeline *pipeline = &options->codec.pipeline;
    bool ok = H5Premove_filter(dcpl, H5Z_FILTER_ALL) >= 0;
    for (size_t i = 0; i < pipeline->count && ok; i++)
        if (pipeline->filter[i].codec->id == EMD_FILTER_DEFLATE)
            ok = H5Pset_deflate(dcpl, pipeline->filter[i].cd[0]) >= 0;
    return ok ? EMD_OK : emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot have other filters");
}

/* ---- what would become larger -------------------------------------------------------------------
 */

/* How many percent larger the target's codec makes sample chunks than they are stored now; 0 or
 * less: not larger. Chunks are the same in both. */
static enum emd_status growth(const struct emd_source *source, hid_t id,
                              const struct emd_dataset *d, int *percent, struct emd_error *err)
{
    const size_t plain = d->chunks.grid.chunk_bytes, room = d->request.target_bound;
    uint64_t before = 0, after = 0;
    enum emd_status status = EMD_OK;
    unsigned char *packed = malloc(room);
    *percent = 0;
    if (!packed)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (unsigned i = 0; i < SAMPLES && status == EMD_OK; i++) {
        const struct emd_chunk *chunk = &d->chunks.chunk[d->chunks.count * (i + 1) / (SAMPLES + 1)];
        unsigned char *data = decode_chunk(source, id, d, chunk, err);
        size_t size = 0;
        uint32_t mask;
        if (!data) {
            status = err->status;
            break;
        }
        status =
            emd_pipeline_encode(&d->target, NULL, data, plain, packed, room, &size, &mask, err);
        before += chunk->bytes;
        after += size;
        free(data);
    }
    free(packed);
    if (status == EMD_OK && after > before)
        *percent = (int)((100 * (after - before) + before - 1) / before);
    return status;
}

/* Leaves a dataset as it is stored where its new form would be larger, unless that was asked for:
 * in so many words, by its chunks or checksum, or by a codec that needs no plugin where the old one
 * does. */
static enum emd_status keep_if_smaller(const struct emd_source *source, hid_t id, hid_t dcpl,
                                       const struct emd_repack_options *options,
                                       struct emd_dataset *d, struct emd_error *err)
{
    const struct emd_plan_request *r = &d->request;
    char now[64], wanted[64];
    int percent = 0;
    if (options->recompress || options->chunking != EMD_CHUNK_AUTO ||
        options->checksum == EMD_CHECKSUM_ALWAYS || r->contiguous ||
        r->fetch == EMD_FETCH_DECODED || d->source.count == 0 || d->target.count == 0 ||
        memcmp(r->source, r->target, r->rank * sizeof *r->target) != 0 ||
        emd_pipeline_equal(&d->source, &d->target) ||
        (is_plain_codec(options) && has_plugin(&d->source)))
        return EMD_OK;
    enum emd_status status = growth(source, id, d, &percent, err);
    if (status != EMD_OK && status != EMD_E_MEMORY && options->salvage)
        return EMD_OK; /* of damaged chunks nothing can be told */
    if (status != EMD_OK || percent <= 0)
        return status;
    emd_pipeline_describe(&d->source, now, sizeof now);
    emd_pipeline_describe(&d->target, wanted, sizeof wanted);
    snprintf(d->remark, sizeof d->remark,
             "kept as stored (%s): %s would be %d %% larger (--recompress insists)", now, wanted,
             percent);
    d->kept = true;
    d->target = d->source;
    return emd_filters_set(dcpl, &d->target, &d->shape, err);
}

/* The target's chunks, filters and plan; 'dcpl' follows. */
static enum emd_status decide_target(const struct emd_source *source, hid_t id, const char *path,
                                     hid_t type, const hsize_t *most,
                                     const struct emd_repack_options *options, unsigned threads,
                                     size_t budget, hid_t dcpl, struct emd_dataset *d,
                                     struct emd_error *err)
{
    struct emd_plan_request *r = &d->request;
    hsize_t chunk[EMD_RANK_MAX];
    bool given;
    enum emd_status status = given_chunk(d, options, path, most, r->target, &given, err);
    if (status != EMD_OK)
        return status;
    if (!given)
        decide_chunk(d, options->chunking, r->target);
    for (unsigned a = 0; a < r->rank; a++)
        chunk[a] = r->target[a];
    status = emd_filters_chunk_shape(type, r->rank, chunk, &d->shape, err);
    if (status != EMD_OK)
        return status;
    const size_t bytes = emd_chunk_bytes(&d->shape);
    if (options->codec.is_auto && emd_codec_by_id(EMD_FILTER_BLOSC)->bound(NULL, 0, bytes) > 0)
        status = choose_auto(source, id, type, options->note != NULL, options->salvage, d,
                             &d->shape, err);
    else if (options->codec.is_auto)
        status = choose_for_large(bytes, d, err);
    else
        d->target = options->codec.pipeline;
    if (status != EMD_OK)
        return status;
    if (emd_pipeline_bound(&d->target, bytes) == 0)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "chunks of %zu bytes are too large for %s; '-c zstd' takes them, or make "
                        "them smaller with --chunk",
                        bytes, options->codec.text);
    drop_idle_shuffle(&d->target, r->item_size);
    add_checksum(&d->target, options->checksum);
    if (r->contiguous &&
        (H5Pset_layout(dcpl, H5D_CHUNKED) < 0 || H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_INCR) < 0))
        return emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot be chunked");
    if (H5Pset_chunk(dcpl, (int)r->rank, chunk) < 0)
        return emd_hdf5_fail(err, EMD_E_ARGUMENT, "cannot have such chunks");
    status = emd_filters_set(dcpl, &d->target, &d->shape, err);
    if (status != EMD_OK)
        return status;
    r->target_bound = emd_pipeline_bound(&d->target, bytes);
    if (r->target_bound > 0)
        status = keep_if_smaller(source, id, dcpl, options, d, err);
    if (status != EMD_OK)
        return status;
    r->target_bound = emd_pipeline_bound(&d->target, bytes);
    r->target_work = emd_pipeline_work_bytes(&d->target, bytes);
    if (r->target_bound == 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "chunks of %zu bytes are too large", bytes);
    r->copy_stored = !r->contiguous && r->fetch != EMD_FETCH_DECODED && d->source.count > 0 &&
                     memcmp(r->source, r->target, r->rank * sizeof *r->target) == 0 &&
                     emd_pipeline_equal(&d->source, &d->target);
    /* an inspector sees the chunks that are copied as they are only when they are decoded */
    r->verify = options->verify != EMD_VERIFY_NONE ||
                (r->copy_stored && (options->inspector || options->salvage));
    if (r->verify) /* what is copied is decoded for the inspector and the hash */
        r->verify_bytes = r->copy_stored ? bytes : emd_pipeline_check_bytes(&d->target, bytes);
    r->hash = options->verify == EMD_VERIFY_FILE;
    decide_strips(d);
    r->threads = threads;
    r->budget = budget;
    return emd_plan_make(r, &d->plan, err);
}

/* Whether a dataset's bytes mean the same in every file. */
static bool is_flat(hid_t type)
{
    struct emd_values values;
    if (emd_values_make(type, &values, NULL) != EMD_OK)
        return false;
    emd_values_free(&values);
    return !values.variable && !values.references;
}

enum emd_status emd_dataset_decide(struct emd_source *source, hid_t id, const char *path,
                                   const struct emd_repack_options *options, unsigned threads,
                                   size_t budget, hid_t dcpl, struct emd_losses *losses,
                                   struct emd_dataset **dataset, bool *need_plugin,
                                   struct emd_error *err)
{
    hsize_t most[EMD_RANK_MAX];
    bool image = false;
    *dataset = NULL;
    *need_plugin = false;
    struct emd_dataset *d = calloc(1, sizeof *d);
    if (!d)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    hid_t type = H5Dget_type(id);
    enum emd_status status = EMD_OK;
    const bool must = is_plain_codec(options) && needs_plugin(dcpl);
    if (type < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read");
    else if (is_numeric(type, 0) || (must && is_flat(type)))
        status = look_at_source(source, id, type, path, dcpl, options, must, losses, d, most,
                                &image, err);
    if (status == EMD_OK && image) {
        d->frames_last = is_velox_stack(path, d->request.rank);
        d->is_stack = d->request.rank > 2;
        status = emd_hdf5_address(id, &d->address, err);
        if (status == EMD_OK)
            status = get_fill(dcpl, type, d, err);
        if (status == EMD_OK)
            status =
                decide_target(source, id, path, type, most, options, threads, budget, dcpl, d, err);
    } else if (status == EMD_OK && must) {
        *need_plugin = emd_filters_missing(dcpl, NULL) != 0;
        if (!*need_plugin)
            status = set_plain_filters(dcpl, options, err);
    }
    emd_hdf5_close(&type);
    emd_hdf5_quiet_end(&quiet);
    if (status == EMD_OK && image)
        *dataset = d;
    else
        emd_dataset_free(d);
    return status;
}

void emd_dataset_free(struct emd_dataset *d)
{
    if (!d)
        return;
    emd_chunk_list_free(&d->chunks);
    free(d->fill);
    free(d->hash);
    free(d);
}
