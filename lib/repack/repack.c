/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See repack.h. One call is one struct repacker; the tree copy asks it about each dataset (choose)
 * and hands it those that it took (copy). */
#include "repack/repack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/safefile.h"
#include "hdf5/fdfile.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/rehearse.h"
#include "hdf5/source.h"
#include "hdf5/tree.h"
#include "hdf5/treehash.h"
#include "hdf5/visit.h"
#include "repack/contenthash.h"
#include "repack/dataset.h"
#include "repack/provenance.h"
#include "repack/verify.h"

struct repacker {
    const struct emd_repack_options *options;
    struct emd_pool *pool;
    struct emd_repack_result *result;
    struct emd_source *source;
    struct emd_safefile *file;
    char *folder; /* of the output */
    size_t budget;
    struct emd_dataset **dataset; /* chosen, in the order of choosing */
    size_t count, capacity, next;
    bool is_stack;    /* of the dataset that the result speaks of, ... */
    uint64_t largest; /* ... and its data bytes */
    uint64_t done_bytes, total_bytes;
    size_t list_bytes; /* of the chunk lists that are kept until their datasets are copied */
    uint64_t *changed; /* addresses of other datasets with chunks or filters of our choice */
    size_t changed_count, changed_capacity;
    const char *omit;         /* a provenance of the source, which is not carried over */
    const char *provenance;   /* the name of the output's */
    struct emd_losses losses; /* of a salvage */
    struct emd_avoid avoid;
    bool losses_missed; /* there was no memory for one */

    /* While a dataset is copied. */
    struct emd_dataset *current;
    const char *path;
    bool inspected;                /* the inspector sees its chunks */
    struct emd_element_hash *hash; /* of its elements; NULL: not wanted */
    hid_t src, dst, type;
    uint64_t pending; /* as emd_write_behind counts */
};

void emd_repack_defaults(struct emd_repack_options *options)
{
    memset(options, 0, sizeof *options);
    options->verify = EMD_VERIFY_CHUNK;
    options->chunking = EMD_CHUNK_AUTO;
    options->provenance = true;
    options->input_fd = options->output_folder = -1;
    emd_codec_choice_parse("auto", &options->codec, NULL);
}

size_t emd_repack_budget(const struct emd_repack_options *options, unsigned threads)
{
    /* A thread that encodes frames of 4096 x 4096 by edc takes 143 to 177 MiB: with 2 GiB in all,
     * 14 of 64 threads would work. */
    static const uint64_t least = UINT64_C(2) << 30, each = UINT64_C(192) << 20;
    if (options->memory)
        return options->memory;
    const uint64_t most = threads * each > least ? threads * each : least;
    const uint64_t quarter = emd_memory_size() / 4, budget = quarter < most ? quarter : most;
    return budget < SIZE_MAX ? (size_t)budget : SIZE_MAX;
}

void emd_repack_warn(const struct emd_repack_options *options, struct emd_repack_result *result,
                     const char *path, const char *text)
{
    enum { PATH_MOST = 400 };
    char whole[PATH_MOST + 1100];
    const size_t n = strlen(path);
    result->warnings++;
    if (!options->warning)
        return;
    if (n > PATH_MOST) /* its end, so that the text keeps its room */
        snprintf(whole, sizeof whole, "...%s: %.1024s", path + n - PATH_MOST, text);
    else
        snprintf(whole, sizeof whole, "%s: %.1024s", path, text);
    options->warning(options->ctx, whole);
}

/* Asked all the time that a repack takes. */
static bool is_cancelled(void *ctx)
{
    const struct repacker *r = ctx;
    if (r->file)
        emd_safefile_refresh(r->file);
    return r->options->cancelled && r->options->cancelled(r->options->ctx);
}

static void note(const struct repacker *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(const struct repacker *r, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (!r->options->note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->options->note(r->options->ctx, text);
}

static const char *rename_file(void *ctx, const char *path, const char *file)
{
    const struct repacker *r = ctx;
    return r->options->rename_file ? r->options->rename_file(r->options->ctx, path, file) : file;
}

static void remark(void *ctx, const char *path, const char *text)
{
    struct repacker *r = ctx;
    emd_repack_warn(r->options, r->result, path, text);
}

/* Remembers a dataset that is left to the tree copy with other chunks or filters. */
static enum emd_status keep_changed(struct repacker *r, hid_t id, hid_t dcpl, struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    hid_t list = H5Dget_create_plist(id);
    const bool same = list >= 0 && emd_filters_same(list, dcpl);
    emd_hdf5_close(&list);
    if (!same && r->changed_count == r->changed_capacity) {
        const size_t capacity = r->changed_capacity ? 2 * r->changed_capacity : 64;
        uint64_t *grown = realloc(r->changed, capacity * sizeof *grown);
        if (!grown) {
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        } else {
            r->changed = grown;
            r->changed_capacity = capacity;
        }
    }
    if (!same && status == EMD_OK)
        status = emd_hdf5_address(id, &r->changed[r->changed_count++], err);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

static enum emd_status choose(void *ctx, hid_t id, const char *path, hid_t dcpl, bool *copies,
                              struct emd_error *err)
{
    struct repacker *r = ctx;
    struct emd_dataset *d;
    bool need_plugin;
    uint64_t frames = emd_dataset_frames(id, path);
    if (frames > r->result->frames)
        r->result->frames = frames;
    enum emd_status status =
        emd_dataset_decide(r->source, id, path, r->options, emd_pool_threads(r->pool), r->budget,
                           dcpl, r->options->salvage ? &r->losses : NULL, &d, &need_plugin, err);
    if (status != EMD_OK)
        return status;
    r->result->need_plugin += need_plugin;
    if (!d)
        return keep_changed(r, id, dcpl, err);
    r->result->kept += d->kept;
    if (d->remark[0])
        emd_repack_warn(r->options, r->result, path, d->remark);
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 16;
        struct emd_dataset **grown = realloc(r->dataset, capacity * sizeof *grown);
        if (!grown) {
            emd_dataset_free(d);
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
        r->dataset = grown;
        r->capacity = capacity;
    }
    r->dataset[r->count++] = d;
    *copies = true;
    r->total_bytes += d->data_bytes;
    r->result->data_bytes += d->data_bytes;
    r->result->datasets++;
    /* A plan counts one list of chunks. Those of many datasets are made again when they are needed.
     */
    const size_t list_bytes = d->chunks.count * sizeof *d->chunks.chunk;
    if (list_bytes > r->budget / 32 - r->list_bytes)
        emd_chunk_list_free(&d->chunks);
    else
        r->list_bytes += list_bytes;
    char codec[64], plan[512];
    emd_pipeline_describe(&d->target, codec, sizeof codec);
    emd_plan_describe(&d->request, &d->plan, plan, sizeof plan);
    note(r, "%s: %s; %s", path, d->request.copy_stored ? "stored as wanted already" : codec, plan);
    if (!r->options->memory && d->plan.threads < d->request.threads &&
        d->plan.blocks > d->plan.threads) {
        char text[128];
        snprintf(text, sizeof text, "memory for %u of %u threads (%zu MiB); -m allows more",
                 d->plan.threads, d->request.threads, r->budget >> 20);
        emd_repack_warn(r->options, r->result, path, text);
    }
    if (d->edc_saving >= 5)
        note(r, "%s: '-c edc' would make it about %d %% smaller", path, d->edc_saving);
    /* the result speaks of the largest stack of images, or of the largest dataset if there is none
     */
    if (d->is_stack > r->is_stack || (d->is_stack == r->is_stack && d->data_bytes > r->largest)) {
        r->is_stack = d->is_stack;
        r->largest = d->data_bytes;
        snprintf(r->result->codec, sizeof r->result->codec, "%s", codec);
    }
    return EMD_OK;
}

/* What the engine could not read. */
static void on_damage(void *ctx, const uint64_t *origin, const uint64_t *shape,
                      const struct emd_error *error)
{
    struct repacker *r = ctx;
    const unsigned rank = r->current->request.rank;
    struct emd_error why = *error;
    uint64_t box[2 * EMD_RANK_MAX];
    const struct emd_loss loss = {.kind = EMD_LOSS_DATA,
                                  .object = r->current->address,
                                  .path = (char *)r->path,
                                  .rank = rank,
                                  .box = box,
                                  .is_chunk = !r->current->request.contiguous};
    memcpy(box, origin, rank * sizeof *box);
    memcpy(box + rank, shape, rank * sizeof *box);
    /* the engine names the chunk, which the loss does in its own way */
    const char *rest =
        strncmp(error->text, "chunk at (", 10) == 0 ? strstr(error->text, "): ") : NULL;
    if (rest)
        snprintf(why.text, sizeof why.text, "%s", rest + 3);
    if (emd_losses_add(&r->losses, &loss, &why, NULL) != EMD_OK)
        r->losses_missed = true;
}

static enum emd_status fetch_stored(struct repacker *r, const struct emd_chunk *chunk, void *data,
                                    size_t n, struct emd_error *err)
{
    uint32_t mask;
    const enum emd_status status =
        emd_chunk_read(r->src, &r->current->chunks.grid, chunk, data, n, &mask, err);
    if (status == EMD_OK)
        r->current->chunks.chunk[chunk - r->current->chunks.chunk].mask = mask;
    return status;
}

/* Decoded by HDF5: the part inside the dataset; the rest of an edge chunk is never seen. */
static enum emd_status fetch_decoded(struct repacker *r, const uint64_t *origin, void *data,
                                     size_t n, struct emd_error *err)
{
    const struct emd_plan_request *q = &r->current->request;
    hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX], whole[EMD_RANK_MAX], zero[EMD_RANK_MAX] = {0};
    for (unsigned a = 0; a < q->rank; a++) {
        uint64_t left = q->dims[a] - origin[a];
        start[a] = origin[a];
        whole[a] = q->source[a];
        count[a] = left < q->source[a] ? left : q->source[a];
    }
    memset(data, 0, n);
    enum emd_status status = EMD_OK;
    hid_t space = H5Dget_space(r->src), memory = H5Screate_simple((int)q->rank, whole, NULL);
    if (space < 0 || memory < 0 ||
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Sselect_hyperslab(memory, H5S_SELECT_SET, zero, NULL, count, NULL) < 0 ||
        H5Dread(r->src, r->type, memory, space, H5P_DEFAULT, data) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read");
    emd_hdf5_close(&space);
    emd_hdf5_close(&memory);
    return status;
}

static enum emd_status fetch_chunk(void *ctx, const struct emd_chunk *chunk, const uint64_t *origin,
                                   void *data, size_t n, struct emd_error *err)
{
    struct repacker *r = ctx;
    const enum emd_status status = r->current->request.fetch == EMD_FETCH_STORED
                                       ? fetch_stored(r, chunk, data, n, err)
                                       : fetch_decoded(r, origin, data, n, err);
    if (status != EMD_OK && r->options->salvage)
        emd_fdfile_forgive_reads();
    return status;
}

static uint64_t target_index(const struct emd_plan_request *q, const uint64_t *origin)
{
    uint64_t index = 0;
    for (unsigned a = 0; a < q->rank; a++)
        index = index * ((q->dims[a] + q->target[a] - 1) / q->target[a]) + origin[a] / q->target[a];
    return index;
}

static enum emd_status keep_hash(struct emd_dataset *d, uint64_t index, uint64_t hash,
                                 struct emd_error *err)
{
    if (d->hashes == d->hash_capacity) {
        size_t capacity = d->hash_capacity ? 2 * d->hash_capacity : 256;
        struct emd_chunk_hash *grown = realloc(d->hash, capacity * sizeof *grown);
        if (!grown)
            return emd_fail(err, EMD_E_MEMORY, "out of memory for %zu hashes", capacity);
        d->hash = grown;
        d->hash_capacity = capacity;
    }
    d->hash[d->hashes++] = (struct emd_chunk_hash){index, hash};
    return EMD_OK;
}

static enum emd_status write_chunk(void *ctx, const uint64_t *origin,
                                   const struct emd_encoded *chunk, struct emd_error *err)
{
    struct repacker *r = ctx;
    hsize_t offset[EMD_RANK_MAX];
    for (unsigned a = 0; a < r->current->request.rank; a++)
        offset[a] = origin[a];
    if (H5Dwrite_chunk(r->dst, H5P_DEFAULT, chunk->mask, offset, chunk->size, chunk->data) < 0)
        return emd_hdf5_fail(err, EMD_E_IO, "cannot be written");
    emd_write_behind(emd_safefile_fd(r->file), &r->pending, chunk->size);
    const uint64_t index = target_index(&r->current->request, origin);
    emd_written_add(&r->current->written, index, chunk->size, chunk->mask);
    return r->current->request.hash ? keep_hash(r->current, index, chunk->hash, err) : EMD_OK;
}

static void inspect(void *ctx, const uint64_t *origin, const void *raw, size_t begin, size_t end)
{
    const struct repacker *r = ctx;
    if (r->hash)
        emd_element_hash_add(r->hash, origin, r->current->request.target, raw, begin, end);
    if (r->inspected)
        r->options->inspector->chunk(r->options->inspector->ctx, origin, raw, begin, end);
}

/* For the hash of the elements of a dataset on their way. Its chunks all come by if they are
 * decoded. */
static enum emd_status begin_hash(struct repacker *r, const struct emd_dataset *d,
                                  struct emd_error *err)
{
    struct emd_element_layout layout = {.rank = d->request.rank,
                                        .dims = d->request.dims,
                                        .item_size = d->request.item_size,
                                        .fill = d->fill};
    struct emd_byte_run *run;
    r->hash = NULL;
    if (!r->options->provenance || (d->request.copy_stored && !d->request.verify))
        return EMD_OK;
    enum emd_status status = emd_tree_hash_runs(r->type, &run, &layout.runs, err);
    if (status != EMD_OK)
        return status;
    layout.run = run;
    status = emd_element_hash_new(&layout, &r->hash, err);
    free(run);
    return status;
}

static void end_hash(struct repacker *r, struct emd_dataset *d, bool complete)
{
    d->hashed = r->hash && complete;
    if (d->hashed)
        emd_element_hash_get(r->hash, d->content);
    emd_element_hash_free(r->hash);
    r->hash = NULL;
}

/* Parts of chunks that both the inspector (0: whole chunks) and the hash take. */
static size_t common_unit(const struct repacker *r, size_t inspected)
{
    const size_t unit =
        r->hash ? emd_element_hash_unit(r->hash, r->current->request.target) : inspected;
    if (!r->inspected)
        return unit;
    return unit > 0 && inspected % unit == 0 ? inspected : 0;
}

/* Whether the inspector wants to see this dataset. */
static bool is_inspected(const struct repacker *r, const struct emd_dataset *d, const char *path,
                         size_t *unit)
{
    const struct emd_repack_stack stack = {path, d->frames_last, &d->shape, d->request.dims};
    return r->options->inspector && d->is_stack &&
           r->options->inspector->begin(r->options->inspector->ctx, &stack, unit);
}

static void on_progress(void *ctx, uint64_t bytes)
{
    struct repacker *r = ctx;
    r->done_bytes += bytes;
    if (r->options->progress)
        r->options->progress(r->options->ctx, r->done_bytes, r->total_bytes);
}

/* The decision for a dataset; datasets are copied in much the order in which they were chosen. */
static struct emd_dataset *find_dataset(struct repacker *r, uint64_t address)
{
    for (size_t i = 0; i < r->count; i++) {
        size_t at = (r->next + i) % r->count;
        if (r->dataset[at]->address == address) {
            r->next = at + 1;
            return r->dataset[at];
        }
    }
    return NULL;
}

static enum emd_status copy(void *ctx, hid_t src, hid_t dst, const char *path,
                            struct emd_error *err)
{
    struct repacker *r = ctx;
    uint64_t address;
    enum emd_status status = emd_hdf5_address(src, &address, err);
    if (status != EMD_OK)
        return status;
    struct emd_dataset *d = find_dataset(r, address);
    if (!d)
        return emd_fail(err, EMD_E_CORRUPT, "%s: moved while it was copied", path);
    const bool kept = d->chunks.chunk || d->request.chunks == 0;
    static const struct emd_chunk_salvage known; /* what the index cannot tell was entered before */
    if (!kept)
        status = emd_chunk_list_salvage(src, r->source, EMD_CHUNKS_BY_INDEX, 0,
                                        r->options->salvage ? &known : NULL, &d->chunks, err);
    if (status == EMD_OK && d->chunks.count != d->request.chunks)
        status = emd_fail(err, EMD_E_CHANGED, "has another number of chunks than before");
    if (status != EMD_OK)
        return emd_fail_prefix(err, status, "%s", path);
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    size_t inspect_unit = 0;
    r->current = d;
    r->path = path;
    r->src = src;
    r->dst = dst;
    r->type = H5Dget_type(src);
    r->inspected = is_inspected(r, d, path, &inspect_unit);
    status = r->type < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "has a type that cannot be read")
                         : begin_hash(r, d, err);
    const struct emd_move move = {.request = &d->request,
                                  .plan = &d->plan,
                                  .fd = r->source->fd,
                                  .address = d->data_address,
                                  .chunk = d->chunks.chunk,
                                  .chunk_count = d->chunks.count,
                                  .source_pipeline = &d->source,
                                  .fill = d->fill,
                                  .target_pipeline = &d->target,
                                  .strip_pipeline = &d->strips,
                                  .spill_folder = r->folder,
                                  .ctx = r,
                                  .fetch = fetch_chunk,
                                  .write = write_chunk,
                                  .damaged = r->options->salvage ? on_damage : NULL,
                                  .inspect = r->inspected || r->hash ? inspect : NULL,
                                  .inspect_unit = common_unit(r, inspect_unit),
                                  .progress = on_progress,
                                  .cancelled = is_cancelled};
    if (status == EMD_OK)
        status = emd_move_run(&move, r->pool, err);
    if (status == EMD_OK && r->losses_missed)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    end_hash(r, d, status == EMD_OK);
    emd_hdf5_close(&r->type);
    emd_hdf5_quiet_end(&quiet);
    if (kept)
        r->list_bytes -= d->chunks.count * sizeof *d->chunks.chunk;
    emd_chunk_list_free(&d->chunks);
    return status == EMD_OK || status == EMD_E_CANCELLED ? status
                                                         : emd_fail_prefix(err, status, "%s", path);
}

/* Refuses outputs that would touch the source or replace what may not be replaced. */
static enum emd_status check_output(const struct repacker *r, const char *output,
                                    struct emd_error *err)
{
    struct stat st;
    size_t stem;
    const char *const slash = strrchr(r->source->path, '/'), *const last = strrchr(output, '/');
    const char *const input = slash ? slash + 1 : r->source->path;
    const char *const name = last ? last + 1 : output;
    /* what a dead run left, and a new one for this output removes */
    if (emd_safefile_is_temporary(input, &stem) && strncmp(input, name, stem) == 0)
        return emd_fail(err, EMD_E_EXISTS,
                        "the input has the name of a temporary file of the output %s; rename it",
                        output);
    if (stat(output, &st) == 0) {
        if (st.st_dev == r->source->id.device && st.st_ino == r->source->id.inode)
            return emd_fail(err, EMD_E_EXISTS, "the output %s is the input itself", output);
        if (S_ISDIR(st.st_mode))
            return emd_fail(err, EMD_E_EXISTS, "the output %s is a folder", output);
    }
    if (lstat(output, &st) == 0 && !r->options->replace)
        return emd_fail(err, EMD_E_EXISTS, "the output %s exists already; -f replaces it", output);
    return EMD_OK;
}

/* A plain copy needs the source's size; how much a codec saves is not known before. */
static enum emd_status check_space(const struct repacker *r, struct emd_error *err)
{
    struct statvfs fs;
    bool plain = !r->options->codec.is_auto && r->options->codec.pipeline.count == 0;
    if (!plain || statvfs(r->folder, &fs) != 0)
        return EMD_OK;
    uint64_t space = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (space >= (uint64_t)r->source->id.size)
        return EMD_OK;
    return emd_fail(err, EMD_E_IO, "%" PRIu64 " MB are needed in %s, %" PRIu64 " are free",
                    (uint64_t)r->source->id.size / 1000000, r->folder, space / 1000000);
}

/* Dry runs: asks about every dataset of the source. */
static enum emd_status plan_dataset(void *ctx, hid_t id, const char *path, struct emd_error *err)
{
    struct repacker *r = ctx;
    bool copies = false;
    hid_t dcpl = H5Dget_create_plist(id);
    enum emd_status status = dcpl < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot be read")
                                      : choose(r, id, path, dcpl, &copies, err);
    emd_hdf5_close(&dcpl);
    return status;
}

/* Which frames of a stack a loss takes something from. */
static void set_frames(struct repacker *r, struct emd_loss *loss)
{
    const struct emd_dataset *d = find_dataset(r, loss->object);
    if (!d || !d->is_stack || loss->rank != d->request.rank)
        return;
    const uint64_t *start = loss->box, *extent = loss->box + loss->rank;
    uint64_t first = 0, last = 0;
    for (unsigned a = 0; a < loss->rank; a++)
        if (extent[a] == 0)
            return;
    if (d->frames_last) {
        first = start[2];
        last = start[2] + extent[2] - 1;
    }
    for (unsigned a = 0; !d->frames_last && a + 2 < loss->rank; a++) {
        first = first * d->request.dims[a] + start[a];
        last = last * d->request.dims[a] + start[a] + extent[a] - 1;
    }
    loss->frame = first + 1;
    loss->frames = last - first + 1;
}

/* All that the output lacks is known now. */
static void settle_losses(struct repacker *r)
{
    emd_losses_settle(&r->losses);
    for (size_t i = 0; i < r->losses.count; i++)
        if (r->losses.loss[i].kind == EMD_LOSS_DATA)
            set_frames(r, &r->losses.loss[i]);
    r->result->lost = r->losses.count;
}

static int by_address(const void *a, const void *b)
{
    const struct emd_dataset *x = *(struct emd_dataset *const *)a;
    const struct emd_dataset *y = *(struct emd_dataset *const *)b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* Datasets by address, while the content is hashed. */
struct content_hash {
    struct repacker *r;
    struct emd_dataset **sorted;
    struct emd_content_reader reader;
};

static enum emd_status hash_dataset(void *ctx, uint64_t address, hid_t dataset, hid_t type,
                                    const struct emd_element_layout *layout,
                                    uint32_t lane[EMD_ELEMENT_LANES], bool *known,
                                    struct emd_error *err)
{
    const struct content_hash *c = ctx;
    struct emd_dataset key = {.address = address}, *wanted = &key;
    struct emd_dataset *const *found =
        c->r->count == 0
            ? NULL
            : bsearch(&wanted, c->sorted, c->r->count, sizeof(struct emd_dataset *), by_address);
    (void)type;
    if (!found)
        return emd_content_dataset(&c->reader, dataset, layout, lane, known, err);
    if (!(*found)->hashed)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "its chunks were copied without being decoded (--verify=none)");
    memcpy(lane, (*found)->content, sizeof(*found)->content);
    *known = true;
    return EMD_OK;
}

static const char *rename_quietly(void *ctx, const char *path, const char *file)
{
    const struct content_hash *c = ctx;
    return rename_file(c->r, path, file);
}

static bool is_hash_cancelled(void *ctx)
{
    const struct content_hash *c = ctx;
    return is_cancelled(c->r);
}

/* The content hash, of the values that were read. Where there is none, 'absent' says why. */
static enum emd_status hash_content(struct repacker *r, char *absent, size_t size,
                                    struct emd_error *err)
{
    unsigned char hash[EMD_HASH_BYTES];
    struct content_hash c = {.r = r,
                             .sorted = malloc((r->count + 1) * sizeof(struct emd_dataset *)),
                             .reader = {.options = r->options,
                                        .pool = r->pool,
                                        .source = r->source,
                                        .cancelled = is_cancelled,
                                        .ctx = r}};
    const struct emd_tree_hash_options options = {.ctx = &c,
                                                  .dataset = hash_dataset,
                                                  .cancelled = is_hash_cancelled,
                                                  .omit_root_attribute = r->omit,
                                                  .rename_file = rename_quietly};
    struct emd_error why = {EMD_OK, ""};
    if (r->losses.count > 0) {
        snprintf(absent, size, "something could not be read, and is not in this copy (--salvage)");
        free(c.sorted);
        return EMD_OK;
    }
    if (!c.sorted)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < r->count; i++)
        c.sorted[i] = r->dataset[i];
    if (r->count > 1)
        qsort(c.sorted, r->count, sizeof(struct emd_dataset *), by_address);
    const enum emd_status status = emd_tree_hash(r->source->file, &options, hash, &why);
    free(c.sorted);
    if (status == EMD_OK) {
        emd_content_text(hash, r->result->content_hash);
        return EMD_OK;
    }
    if (status == EMD_E_CANCELLED || status == EMD_E_MEMORY || status == EMD_E_IO)
        return emd_fail(err, status, "%s", why.text);
    snprintf(absent, size, "%.200s", why.text);
    note(r, "no content hash: %s", why.text);
    return EMD_OK;
}

/* The finished temporary file, closed by HDF5. */
static enum emd_status write_file(struct repacker *r, struct emd_error *err)
{
    const struct emd_tree_options options = {.ctx = r,
                                             .choose = choose,
                                             .copy = copy,
                                             .remark = remark,
                                             .rename_file = rename_file,
                                             .cancelled = is_cancelled,
                                             .omit_root_attribute = r->omit,
                                             .losses = r->options->salvage ? &r->losses : NULL,
                                             .avoid = r->options->salvage ? &r->avoid : NULL};
    char absent[256] = "";
    hid_t file = H5I_INVALID_HID;
    enum emd_status status = emd_tree_create(r->source, emd_safefile_fd(r->file), NULL, &file, err);
    if (status == EMD_OK)
        status = emd_tree_copy(r->source->file, file, &options, err);
    settle_losses(r);
    if (status == EMD_OK && r->options->provenance)
        status = hash_content(r, absent, sizeof absent, err);
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    if (status == EMD_OK && r->options->provenance)
        status = emd_provenance_write(file, r->provenance, r->source, r->options->codec.text,
                                      r->result->content_hash, absent, &r->losses, err);
    if (status == EMD_OK && H5Fflush(file, H5F_SCOPE_LOCAL) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write %s", emd_safefile_temp(r->file));
    if (!emd_hdf5_close(&file) && status == EMD_OK)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot close %s", emd_safefile_temp(r->file));
    emd_hdf5_quiet_end(&quiet);
    return status;
}

static int compare_addresses(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Opens the finished temporary file anew and compares it with the source. */
static enum emd_status verify_file(struct repacker *r, struct emd_error *err)
{
    const bool all = r->options->verify == EMD_VERIFY_FILE;
    const struct emd_verification verification = {
        .source = r->source,
        .fd = emd_safefile_fd(r->file),
        .dataset = r->dataset,
        .count = r->count,
        .changed = r->changed,
        .changed_count = r->changed_count,
        .all = all,
        .omit_root_attribute = {r->omit, r->options->provenance ? r->provenance : r->omit},
        .rename_file = rename_file,
        .losses = &r->losses,
        .ctx = r,
        .cancelled = is_cancelled};
    enum emd_status status = EMD_OK;
    note(r, all ? "reading the output back" : "comparing the output's structure and small data");
    if (r->changed_count > 1)
        qsort(r->changed, r->changed_count, sizeof *r->changed, compare_addresses);
    if (all) /* from the disk */
        status = emd_safefile_sync(r->file, err);
    else /* what the disk has not got yet, it gets while the structure is compared */
        emd_safefile_sync_begin(r->file);
    return status == EMD_OK ? emd_verify_file(&verification, err) : status;
}

/* What cannot be foreseen dataset by dataset: chunks of another shape, a file of many small parts.
 */
static void say_growth(const struct repacker *r)
{
    char text[128];
    const struct emd_repack_result *result = r->result;
    const bool plain = !r->options->codec.is_auto && r->options->codec.pipeline.count == 0;
    /* a provenance and the like */
    const uint64_t slack = (16 << 10) + result->raw_bytes / 100;
    if (plain || result->stored_bytes < result->raw_bytes + slack)
        return;
    snprintf(text, sizeof text, "the output is %.1f %% larger than the input",
             100.0 * (double)(result->stored_bytes - result->raw_bytes) /
                 (double)result->raw_bytes);
    emd_repack_warn(r->options, r->result, "/", text);
}

enum emd_status emd_repack_file(const char *input, const char *output,
                                const struct emd_repack_options *options, struct emd_pool *pool,
                                struct emd_repack_result *result, struct emd_error *err)
{
    struct repacker r = {.options = options,
                         .pool = pool,
                         .result = result,
                         .budget = emd_repack_budget(options, emd_pool_threads(pool))};
    const struct emd_repack_inspector *inspector = options->inspector;
    struct emd_safefile *companion = NULL;
    struct stat st;
    memset(result, 0, sizeof *result);
    snprintf(result->codec, sizeof result->codec, "%s", options->codec.text);
    const struct emd_rehearse_options rehearsal = {.cancelled = is_cancelled,
                                                   .ctx = &r,
                                                   .avoid = options->salvage ? &r.avoid : NULL,
                                                   .is_open = options->input_fd >= 0,
                                                   .fd = options->input_fd};
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status == EMD_OK)
        status = emd_tree_rehearse(input, &rehearsal, err);
    if (status == EMD_OK)
        status = options->salvage ? emd_source_open_cut(options->input_fd, input, &r.source, err)
                                  : emd_source_open_fd(options->input_fd, input, &r.source, err);
    if (status != EMD_OK)
        goto out;
    result->raw_bytes = (uint64_t)r.source->id.size;
    emd_provenance_names(r.source->file, &r.omit, &r.provenance);
    char *copy_of_output = strdup(output);
    r.folder = copy_of_output ? strdup(dirname(copy_of_output)) : NULL;
    free(copy_of_output);
    if (!r.folder) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    status = check_output(&r, output, err);
    if (status == EMD_OK)
        status = check_space(&r, err);
    if (status == EMD_OK && options->dry_run) {
        status = emd_visit_datasets(r.source->file, plan_dataset, NULL, &r, err);
        goto out;
    }
    if (status == EMD_OK && fstat(r.source->fd, &st) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot ask for the source's mode");
    if (status == EMD_OK) /* writable for us whatever the source is */
        status =
            emd_safefile_create_at(options->output_folder >= 0 ? options->output_folder : AT_FDCWD,
                                   output, (st.st_mode & 0666) | 0600, &r.file, err);
    if (status == EMD_OK)
        status = write_file(&r, err);
    if (status == EMD_OK && options->verify != EMD_VERIFY_NONE)
        status = verify_file(&r, err);
    if (status == EMD_OK)
        status = emd_source_unchanged(r.source, err);
    if (status == EMD_OK && fstat(r.source->fd, &st) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot ask for the source's mode");
    if (status == EMD_OK) {
        struct emd_error missing;
        emd_safefile_set_attributes(r.file, &st, &missing);
        if (missing.text[0])
            emd_repack_warn(options, result, output, missing.text);
    }
    const struct stat like = st;
    if (status == EMD_OK && fstat(emd_safefile_fd(r.file), &st) == 0)
        result->stored_bytes = (uint64_t)st.st_size;
    if (status == EMD_OK && inspector && inspector->finish)
        status = inspector->finish(inspector->ctx, r.source, &companion, err);
    if (status == EMD_OK && companion)
        emd_safefile_set_owner(companion, &like, NULL);
    if (status == EMD_OK) {
        /* the output last: whoever sees it finds its companion */
        struct emd_safefile *const files[] = {companion, r.file};
        const size_t first = companion ? 0 : 1;
        status = emd_safefile_commit(files + first, 2 - first, options->replace, err);
        r.file = companion = NULL; /* freed either way */
        result->verified =
            status == EMD_OK && options->verify != EMD_VERIFY_NONE && r.losses.count == 0;
        for (size_t i = 0; i < r.losses.count && status == EMD_OK && options->lost; i++)
            options->lost(options->ctx, &r.losses.loss[i]);
        if (status == EMD_OK)
            say_growth(&r);
    }
out:
    emd_safefile_discard(companion);
    emd_safefile_discard(r.file);
    for (size_t i = 0; i < r.count; i++)
        emd_dataset_free(r.dataset[i]);
    free(r.dataset);
    free(r.changed);
    emd_losses_free(&r.losses);
    emd_source_close(r.source);
    free(r.folder);
    return status;
}
