/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* lib/hdf5: filter lists, chunk lists, sources and the tree copy's callbacks. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "hdf5/arrays.h"
#include "hdf5/chunks.h"
#include "hdf5/fdfile.h"
#include "hdf5/filters.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "hdf5/tree.h"

enum { H = 40, W = 30, N = 7 };

static char folder[64], path[128], other[128];
static struct emd_error err;
static int16_t frames[H][W][N];

#define OK(call) ck_assert_msg((call) == EMD_OK, "%s", err.text)

static void setup(void)
{
    strcpy(folder, "/tmp/emd_hdf5_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.h5", folder);
    snprintf(other, sizeof other, "%s/b.h5", folder);
    unsigned x = 1;
    for (int i = 0; i < H * W * N; i++) {
        x = x * 1664525u + 1013904223u;
        (&frames[0][0][0])[i] = (int16_t)((int)(x >> 28) - 5);
    }
    err = (struct emd_error){EMD_OK, ""};
}

static void teardown(void)
{
    unlink(path);
    unlink(other);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* In the oldest format, which is not everywhere the default. */
static hid_t create_file(hsize_t user_block)
{
    hid_t list = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
    ck_assert_int_ge(H5Pset_userblock(list, user_block), 0);
    ck_assert_int_ge(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST), 0);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, list, access);
    ck_assert_int_ge(file, 0);
    H5Pclose(list);
    H5Pclose(access);
    return file;
}

static struct emd_pipeline make_pipeline(const char *first, const char *second)
{
    const char *const names[] = {first, second};
    struct emd_pipeline pipeline = {0};
    for (size_t i = 0; i < 2 && names[i]; i++) {
        pipeline.filter[pipeline.count].codec = emd_codec_by_name(names[i]);
        ck_assert_ptr_nonnull(pipeline.filter[pipeline.count].codec);
        if (pipeline.filter[pipeline.count].codec->id == EMD_FILTER_DEFLATE) {
            pipeline.filter[pipeline.count].cd_count = 1;
            pipeline.filter[pipeline.count].cd[0] = 4;
        }
        pipeline.filter[pipeline.count++].optional = strcmp(names[i], "blosc") != 0;
    }
    return pipeline;
}

static const hsize_t chunk_dims[3] = {H, W, 1};

/* A (H, W, N) int16 dataset with one frame a chunk; *pipeline becomes what is stored. */
static hid_t create_movie(hid_t file, struct emd_pipeline *pipeline, bool write)
{
    const hsize_t dims[3] = {H, W, N};
    struct emd_chunk_shape shape;
    hid_t space = H5Screate_simple(3, dims, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 3, chunk_dims);
    OK(emd_filters_chunk_shape(H5T_STD_I16LE, 3, chunk_dims, &shape, &err));
    OK(emd_filters_set(list, pipeline, &shape, &err));
    struct emd_pipeline once = *pipeline;
    OK(emd_filters_set(list, pipeline, &shape, &err));
    ck_assert(emd_pipeline_equal(&once, pipeline));
    hid_t data = H5Dcreate2(file, "movie", H5T_STD_I16LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    ck_assert_int_ge(data, 0);
    if (write)
        ck_assert_int_ge(H5Dwrite(data, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, frames),
                         0);
    H5Pclose(list);
    H5Sclose(space);
    return data;
}

static void check_movie(hid_t data)
{
    static int16_t back[H][W][N];
    memset(back, 1, sizeof back);
    ck_assert_int_ge(H5Dread(data, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, back), 0);
    ck_assert_mem_eq(back, frames, sizeof back);
}

static void frame_bytes(unsigned k, int16_t out[H][W])
{
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++)
            out[i][j] = frames[i][j][k];
}

static const struct {
    const char *first, *second;
} pipelines[] = {{NULL, NULL}, {"shuffle", "deflate"}, {"shuffle", "zstd"}, {"blosc", NULL}};
enum { PIPELINES = sizeof pipelines / sizeof pipelines[0] };

/* What HDF5 writes through the registered filters, our codecs read from the file, and back. */
START_TEST(filters_and_codecs_agree)
{
    struct emd_pipeline wanted = make_pipeline(pipelines[_i].first, pipelines[_i].second);
    hid_t file = create_file(0);
    hid_t data = create_movie(file, &wanted, true);
    H5Dclose(data);
    H5Fclose(file);

    struct emd_source *source;
    OK(emd_source_open(path, &source, &err));
    data = H5Dopen2(source->file, "movie", H5P_DEFAULT);
    hid_t list = H5Dget_create_plist(data);
    struct emd_pipeline stored;
    bool ours;
    OK(emd_filters_get(list, &stored, &ours, &err));
    ck_assert(ours);
    ck_assert(emd_pipeline_equal(&stored, &wanted));
    OK(emd_filters_available(list, &err));

    struct emd_chunk_list chunks;
    OK(emd_chunk_list_get(data, source, EMD_CHUNKS_BY_INDEX, 0, &chunks, &err));
    ck_assert_uint_eq(chunks.count, N);
    ck_assert(chunks.has_addresses);
    ck_assert_uint_eq(chunks.grid.chunk_bytes, sizeof(int16_t) * H * W);
    for (size_t i = 0; i < chunks.count; i++) {
        const struct emd_chunk *chunk = &chunks.chunk[i];
        static int16_t frame[H][W], back[H][W];
        unsigned char *bytes = malloc((size_t)chunk->bytes);
        ck_assert_uint_eq(chunk->index, i);
        ck_assert_int_eq(emd_pread_all(source->fd, bytes, (size_t)chunk->bytes, chunk->address), 0);
        OK(emd_pipeline_decode(&stored, chunk->mask, NULL, bytes, (size_t)chunk->bytes, back,
                               sizeof back, &err));
        frame_bytes((unsigned)i, frame);
        ck_assert_mem_eq(back, frame, sizeof back);
        free(bytes);
    }
    emd_chunk_list_free(&chunks);
    H5Pclose(list);
    H5Dclose(data);
    emd_source_close(source);
}
END_TEST

START_TEST(encoded_chunks_read_back)
{
    struct emd_pipeline pipeline = make_pipeline(pipelines[_i].first, pipelines[_i].second);
    hid_t file = create_file(0);
    hid_t data = create_movie(file, &pipeline, false);
    for (unsigned k = 0; k < N; k++) {
        static int16_t frame[H][W];
        frame_bytes(k, frame);
        const size_t room = emd_pipeline_bound(&pipeline, sizeof frame);
        unsigned char *bytes = malloc(room);
        size_t used;
        uint32_t mask;
        OK(emd_pipeline_encode(&pipeline, NULL, frame, sizeof frame, bytes, room, &used, &mask,
                               &err));
        const hsize_t offset[3] = {0, 0, k};
        ck_assert_int_ge(H5Dwrite_chunk(data, H5P_DEFAULT, mask, offset, used, bytes), 0);
        free(bytes);
    }
    check_movie(data);
    H5Dclose(data);
    H5Fclose(file);
}
END_TEST

START_TEST(damaged_chunk_is_an_error)
{
    struct emd_pipeline pipeline = make_pipeline(pipelines[_i].first, pipelines[_i].second);
    hid_t file = create_file(0);
    hid_t data = create_movie(file, &pipeline, true);
    static const unsigned char nonsense[100] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const hsize_t offset[3] = {0, 0, 3};
    ck_assert_int_ge(H5Dwrite_chunk(data, H5P_DEFAULT, 0, offset, sizeof nonsense, nonsense), 0);
    static int16_t back[H][W][N];
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    ck_assert_int_lt(H5Dread(data, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, back), 0);
    ck_assert_int_eq(emd_hdf5_fail(&err, EMD_E_CORRUPT, "reading"), EMD_E_CORRUPT);
    emd_hdf5_quiet_end(&quiet);
    ck_assert_ptr_nonnull(strstr(err.text, "reading: HDF5: "));
    H5Dclose(data);
    H5Fclose(file);
}
END_TEST

START_TEST(foreign_filters_are_not_ours)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    struct emd_pipeline pipeline;
    bool ours = false;
    OK(emd_filters_get(list, &pipeline, &ours, &err));
    ck_assert(ours);
    H5Pset_chunk(list, 3, chunk_dims);
    H5Pset_shuffle(list);
    H5Pset_filter(list, 400, H5Z_FLAG_OPTIONAL, 0, NULL); /* nobody's */
    OK(emd_filters_get(list, &pipeline, &ours, &err));
    ck_assert(!ours);
    ck_assert_uint_eq(pipeline.count, 0);
    H5Pclose(list);
}
END_TEST

START_TEST(shapes_of_types)
{
    struct emd_chunk_shape shape;
    const hsize_t two[2] = {4, 6};
    OK(emd_filters_chunk_shape(H5T_STD_U32BE, 2, two, &shape, &err));
    ck_assert(shape.item_class == EMD_ITEM_INTEGER && !shape.is_signed && shape.big_endian);
    ck_assert_uint_eq(shape.item_size, 4);
    ck_assert(shape.rank == 2 && shape.dims[0] == 4 && shape.dims[1] == 6);
    OK(emd_filters_chunk_shape(H5T_IEEE_F32LE, 2, two, &shape, &err));
    ck_assert(shape.item_class == EMD_ITEM_FLOAT && !shape.big_endian);

    const hsize_t three = 3;
    hid_t array = H5Tarray_create2(H5T_STD_I16LE, 1, &three);
    OK(emd_filters_chunk_shape(array, 2, two, &shape, &err));
    ck_assert(shape.item_class == EMD_ITEM_OTHER && shape.item_size == 6 && shape.base_size == 2);
    hid_t pair = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(pair, "r", 0, H5T_IEEE_F32LE);
    H5Tinsert(pair, "i", 4, H5T_IEEE_F32LE);
    OK(emd_filters_chunk_shape(pair, 2, two, &shape, &err));
    ck_assert(shape.item_class == EMD_ITEM_OTHER && shape.item_size == 8 && shape.base_size == 8);

    hid_t text = H5Tcopy(H5T_C_S1), holder = H5Tcreate(H5T_COMPOUND, 16);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tinsert(holder, "text", 0, text);
    const hid_t refused[] = {text, holder, H5T_STD_REF_OBJ};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        ck_assert_int_eq(emd_filters_chunk_shape(refused[i], 2, two, &shape, &err),
                         EMD_E_UNSUPPORTED);
    const hsize_t huge[2] = {UINT64_MAX / 2, 5};
    ck_assert_int_eq(emd_filters_chunk_shape(H5T_STD_I16LE, 2, huge, &shape, &err),
                     EMD_E_UNSUPPORTED);
    H5Tclose(holder);
    H5Tclose(text);
    H5Tclose(pair);
    H5Tclose(array);
}
END_TEST

/* Some chunks of a (rows, 8) grid of (1, 4) chunks, written last first. */
static hid_t create_sparse(hid_t file, hsize_t rows, unsigned every)
{
    const hsize_t dims[2] = {rows, 8}, chunk[2] = {1, 4};
    hid_t space = H5Screate_simple(2, dims, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 2, chunk);
    hid_t data = H5Dcreate2(file, "sparse", H5T_STD_U16LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    ck_assert_int_ge(data, 0);
    for (hsize_t row = rows; row-- > 0;) {
        const uint16_t values[4] = {(uint16_t)row, 1, 2, (uint16_t)(row * 7)};
        const hsize_t offset[2] = {row, row % 2 * 4};
        if (row % every == 0)
            ck_assert_int_ge(H5Dwrite_chunk(data, H5P_DEFAULT, 0, offset, sizeof values, values),
                             0);
    }
    H5Pclose(list);
    H5Sclose(space);
    return data;
}

/* With and without user block, with and without addresses (enough chunks for both ways of looking
 * them up in an old HDF5). */
static const struct {
    hsize_t user_block, rows;
    unsigned every;
} grids[] = {{0, 50, 3}, {1024, 50, 3}, {0, EMD_CHUNKS_INFO_MAX + 50, 1}, {512, 9000, 2}};
enum { GRIDS = sizeof grids / sizeof grids[0] };

START_TEST(stored_chunks_are_found)
{
    hid_t file = create_file(grids[_i].user_block);
    H5Dclose(create_sparse(file, grids[_i].rows, grids[_i].every));
    H5Fclose(file);
    struct emd_source *source;
    OK(emd_source_open(path, &source, &err));
    ck_assert_uint_eq(source->user_block, grids[_i].user_block);
    hid_t data = H5Dopen2(source->file, "sparse", H5P_DEFAULT);
    struct emd_chunk_list chunks, ordered;
    OK(emd_chunk_list_get(data, source, EMD_CHUNKS_BY_INDEX, 0, &chunks, &err));
    const size_t count = (size_t)((grids[_i].rows + grids[_i].every - 1) / grids[_i].every);
    ck_assert_uint_eq(chunks.count, count);
    if (grids[_i].rows <= EMD_CHUNKS_INFO_MAX)
        ck_assert(chunks.has_addresses);
    for (size_t i = 0; i < count; i++) {
        const struct emd_chunk *chunk = &chunks.chunk[i];
        const uint64_t row = i * grids[_i].every;
        uint16_t values[4];
        uint32_t mask = 1;
        hsize_t offset[EMD_RANK_MAX];
        ck_assert_uint_eq(chunk->index, row * 2 + row % 2);
        emd_chunk_offset(&chunks.grid, chunk->index, offset);
        ck_assert(offset[0] == row && offset[1] == row % 2 * 4);
        if (chunks.has_addresses)
            ck_assert_int_eq(emd_pread_all(source->fd, values, sizeof values, chunk->address), 0);
        else
            OK(emd_chunk_read(data, &chunks.grid, chunk, values, sizeof values, &mask, &err));
        ck_assert_uint_eq(values[0], (uint16_t)row);
        ck_assert_uint_eq(values[3], (uint16_t)(row * 7));
    }
    ck_assert_int_eq(
        emd_chunk_read(data, &chunks.grid, &chunks.chunk[0], NULL, 7, &(uint32_t){0}, &err),
        EMD_E_BUDGET);

    OK(emd_chunk_list_get(data, source, EMD_CHUNKS_BY_ADDRESS, 0, &ordered, &err));
    ck_assert_uint_eq(ordered.count, count);
    for (size_t i = 1; i < count && ordered.has_addresses; i++)
        ck_assert_uint_lt(ordered.chunk[i - 1].address, ordered.chunk[i].address);
    emd_chunk_list_free(&ordered);

    ck_assert_int_eq(emd_chunk_list_get(data, source, EMD_CHUNKS_BY_INDEX,
                                        (count - 1) * sizeof *ordered.chunk, &ordered, &err),
                     EMD_E_BUDGET);
    ck_assert_ptr_null(ordered.chunk);
    emd_chunk_list_free(&chunks);
    H5Dclose(data);
    emd_source_close(source);
}
END_TEST

START_TEST(grids_of_other_layouts)
{
    struct emd_chunk_grid grid;
    const hsize_t dims[2] = {3, 4};
    hid_t file = create_file(0), space = H5Screate_simple(2, dims, NULL);
    hid_t data =
        H5Dcreate2(file, "plain", H5T_STD_U16LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_eq(emd_chunk_grid_get(data, &grid, &err), EMD_E_ARGUMENT);
    ck_assert(!emd_hdf5_is_allocated(data));
    H5Dclose(data);
    H5Sclose(space);
    H5Fclose(file);
}
END_TEST

/* ---- tree ---- */

static enum emd_status choose_zstd(void *ctx, hid_t src, const char *name, hid_t dcpl, bool *copies,
                                   struct emd_error *e)
{
    struct emd_chunk_shape shape;
    hid_t type = H5Dget_type(src);
    struct emd_pipeline pipeline = make_pipeline("shuffle", "zstd");
    ck_assert_str_eq(name, "/movie");
    ck_assert(!*copies);
    ++*(int *)ctx;
    enum emd_status status = emd_filters_chunk_shape(type, 3, chunk_dims, &shape, e);
    if (status == EMD_OK)
        status = emd_filters_set(dcpl, &pipeline, &shape, e);
    H5Tclose(type);
    return status;
}

static enum emd_status choose_none(void *ctx, hid_t src, const char *name, hid_t dcpl, bool *copies,
                                   struct emd_error *e)
{
    (void)src;
    (void)dcpl;
    ++*(int *)ctx;
    return emd_fail(e, EMD_E_BUDGET, "%s: no", name + (*copies ? 1 : 0));
}

static bool always(void *ctx)
{
    ++*(int *)ctx;
    return true;
}

static void create_tree(const struct emd_source *source, hid_t *file)
{
    const int fd = open(other, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    OK(emd_tree_create(source, fd, NULL, file, &err));
    close(fd);
}

static enum emd_status copy_tree(const struct emd_tree_options *options)
{
    struct emd_source *source;
    hid_t dst;
    OK(emd_source_open(path, &source, &err));
    create_tree(source, &dst);
    enum emd_status status = emd_tree_copy(source->file, dst, options, &err);
    ck_assert_int_eq(H5Fget_obj_count(source->file, H5F_OBJ_ALL), 1);
    ck_assert_int_eq(H5Fget_obj_count(dst, H5F_OBJ_ALL), 1);
    ck_assert(emd_hdf5_close(&dst));
    if (status == EMD_OK)
        OK(emd_source_unchanged(source, &err));
    emd_source_close(source);
    return status;
}

START_TEST(chosen_filters_are_used)
{
    int calls = 0;
    struct emd_pipeline plain = {0}, stored;
    bool ours;
    hid_t file = create_file(0);
    H5Dclose(create_movie(file, &plain, true));
    H5Fclose(file);
    OK(copy_tree(&(struct emd_tree_options){.ctx = &calls, .choose = choose_zstd}));
    ck_assert_int_eq(calls, 1);
    file = H5Fopen(other, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t data = H5Dopen2(file, "movie", H5P_DEFAULT), list = H5Dget_create_plist(data);
    OK(emd_filters_get(list, &stored, &ours, &err));
    ck_assert(ours && stored.count == 2 && stored.filter[1].codec->id == EMD_FILTER_ZSTD);
    check_movie(data);
    H5Pclose(list);
    H5Dclose(data);
    H5Fclose(file);
}
END_TEST

START_TEST(callbacks_can_stop_the_copy)
{
    int calls = 0;
    struct emd_pipeline plain = {0};
    hid_t file = create_file(0);
    H5Dclose(create_movie(file, &plain, true));
    H5Fclose(file);
    ck_assert_int_eq(copy_tree(&(struct emd_tree_options){.ctx = &calls, .choose = choose_none}),
                     EMD_E_BUDGET);
    ck_assert_int_eq(calls, 1);
    ck_assert_ptr_nonnull(strstr(err.text, "/movie: no"));
    ck_assert_int_eq(copy_tree(&(struct emd_tree_options){.ctx = &calls, .cancelled = always}),
                     EMD_E_CANCELLED);
    ck_assert_int_eq(calls, 2);
}
END_TEST

/* Arrays of compounds with a string and a sequence, in arrays of compounds: values of many
 * elements, in a dataset and in an attribute, as they come out of a copy. */
enum { OUTER = 3, INNER = 2, ELEMENTS = 5 };
struct leaf {
    char *text;
    hvl_t numbers;
};
struct branch {
    int number;
    struct leaf leaf[INNER];
};
struct tree {
    struct branch branch[OUTER];
};

static hid_t tree_type(void)
{
    const hsize_t inner = INNER, outer = OUTER;
    hid_t text = H5Tcopy(H5T_C_S1), numbers = H5Tvlen_create(H5T_NATIVE_INT);
    H5Tset_size(text, H5T_VARIABLE);
    hid_t leaf = H5Tcreate(H5T_COMPOUND, sizeof(struct leaf));
    H5Tinsert(leaf, "text", HOFFSET(struct leaf, text), text);
    H5Tinsert(leaf, "numbers", HOFFSET(struct leaf, numbers), numbers);
    hid_t leaves = H5Tarray_create2(leaf, 1, &inner);
    hid_t branch = H5Tcreate(H5T_COMPOUND, sizeof(struct branch));
    H5Tinsert(branch, "number", HOFFSET(struct branch, number), H5T_NATIVE_INT);
    H5Tinsert(branch, "leaf", HOFFSET(struct branch, leaf), leaves);
    hid_t branches = H5Tarray_create2(branch, 1, &outer);
    hid_t tree = H5Tcreate(H5T_COMPOUND, sizeof(struct tree));
    H5Tinsert(tree, "branch", 0, branches);
    hid_t *const done[] = {&text, &numbers, &leaf, &leaves, &branch, &branches};
    for (size_t i = 0; i < sizeof done / sizeof done[0]; i++)
        H5Tclose(*done[i]);
    return tree;
}

static void check_trees(const struct tree *trees)
{
    for (int i = 0; i < ELEMENTS * OUTER * INNER; i++) {
        char text[32];
        const struct branch *branch = &trees[i / INNER / OUTER].branch[i / INNER % OUTER];
        const struct leaf *leaf = &branch->leaf[i % INNER];
        snprintf(text, sizeof text, "leaf %d", i);
        ck_assert_int_eq(branch->number, i / INNER);
        ck_assert_str_eq(leaf->text, text);
        ck_assert_uint_eq(leaf->numbers.len, (size_t)(i % 4));
        for (int k = 0; k < i % 4; k++)
            ck_assert_int_eq(((const int *)leaf->numbers.p)[k], 100 * i + k);
    }
}

START_TEST(nested_sequences_are_kept)
{
    static struct tree trees[ELEMENTS];
    static char text[ELEMENTS * OUTER * INNER][32];
    static int numbers[ELEMENTS * OUTER * INNER][4];
    struct emd_source *source;
    const hsize_t n = ELEMENTS;
    for (int i = 0; i < ELEMENTS * OUTER * INNER; i++) {
        struct branch *branch = &trees[i / INNER / OUTER].branch[i / INNER % OUTER];
        snprintf(text[i], sizeof text[i], "leaf %d", i);
        for (int k = 0; k < 4; k++)
            numbers[i][k] = 100 * i + k;
        branch->number = i / INNER;
        branch->leaf[i % INNER] = (struct leaf){text[i], {(size_t)(i % 4), numbers[i]}};
    }
    OK(emd_hdf5_mend_arrays(&err)); /* or the source would have lost them already */
    hid_t file = create_file(0), type = tree_type(), space = H5Screate_simple(1, &n, NULL);
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    hid_t data = H5Dcreate2(file, "d", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t attribute = H5Acreate2(root, "a", type, space, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, trees), 0);
    ck_assert_int_ge(H5Awrite(attribute, type, trees), 0);
    H5Aclose(attribute);
    H5Dclose(data);
    H5Gclose(root);
    H5Fclose(file);

    OK(emd_source_open(path, &source, &err));
    create_tree(source, &file);
    OK(emd_tree_copy(source->file, file, NULL, &err));
    emd_source_close(source);
    H5Fclose(file);

    file = H5Fopen(other, H5F_ACC_RDONLY, H5P_DEFAULT);
    data = H5Dopen2(file, "d", H5P_DEFAULT);
    attribute = H5Aopen(file, "a", H5P_DEFAULT);
    static struct tree found[ELEMENTS];
    for (int i = 0; i < 2; i++) {
        memset(found, 0, sizeof found);
        ck_assert_int_ge(i ? H5Aread(attribute, type, found)
                           : H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, found),
                         0);
        check_trees(found);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, found);
    }
    H5Aclose(attribute);
    H5Dclose(data);
    H5Fclose(file);
    H5Sclose(space);
    H5Tclose(type);
}
END_TEST

static void spin(void *ctx, void *answer)
{
    const bool *progress = ctx;
    struct timespec used = {0};
    while (used.tv_sec < 2) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        if (*progress)
            emd_guard_progress();
    }
    *(int *)answer = 1;
}

/* Only what stands still runs out of time. */
START_TEST(work_that_goes_on_may_take_long)
{
    bool progress = _i == 1;
    int answer = 0;
    const struct emd_guard guard = {.seconds = 1,
                                    .work = spin,
                                    .ctx = &progress,
                                    .answer = &answer,
                                    .answer_bytes = sizeof answer};
    const enum emd_status status = emd_guard_run(&guard, &err);
    ck_assert_int_eq(status, progress ? EMD_OK : EMD_E_CORRUPT);
    ck_assert_int_eq(answer, progress);
    if (!progress)
        ck_assert_ptr_nonnull(strstr(err.text, "takes too long"));
}
END_TEST

START_TEST(changed_source_is_noticed)
{
    H5Fclose(create_file(0));
    struct emd_source *source;
    OK(emd_source_open(path, &source, &err));
    OK(emd_source_unchanged(source, &err));
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert_int_eq(emd_source_unchanged(source, &err), EMD_E_CHANGED);
    H5Fclose(create_file(0));
    ck_assert_int_eq(emd_source_unchanged(source, &err), EMD_E_CHANGED);
    ck_assert_int_eq(rename(other, path), 0);
    OK(emd_source_unchanged(source, &err));
    int fd = open(path, O_WRONLY | O_APPEND);
    ck_assert_int_eq(write(fd, "", 1), 1);
    close(fd);
    ck_assert_int_eq(emd_source_unchanged(source, &err), EMD_E_CHANGED);
    emd_source_close(source);
}
END_TEST

/* The name may belong to another file by now: what was opened is what is read and written. */
START_TEST(hdf5_uses_the_open_descriptor)
{
    struct emd_pipeline plain = {0};
    hid_t file = create_file(0);
    H5Dclose(create_movie(file, &plain, true));
    H5Fclose(file);
    int in = open(path, O_RDONLY), out = open(other, O_RDWR | O_CREAT, 0600);
    ck_assert(unlink(path) == 0 && symlink("/dev/null", path) == 0);
    ck_assert(unlink(other) == 0 && symlink("a.h5", other) == 0);
    hid_t access = emd_fdfile_access(in), copy_access = emd_fdfile_access(out);
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    hid_t copy = H5Fcreate(other, H5F_ACC_TRUNC, H5P_DEFAULT, copy_access);
    close(in); /* HDF5 has its own */
    ck_assert(file >= 0 && copy >= 0);
    hid_t data = H5Dopen2(file, "movie", H5P_DEFAULT);
    check_movie(data);
    H5Dclose(data);
    ck_assert_int_ge(H5Ocopy(file, "movie", copy, "movie", H5P_DEFAULT, H5P_DEFAULT), 0);
    ck_assert(emd_hdf5_close(&file) && emd_hdf5_close(&copy));
    copy = H5Fopen(other, H5F_ACC_RDONLY, copy_access);
    data = H5Dopen2(copy, "movie", H5P_DEFAULT);
    check_movie(data);
    H5Dclose(data);
    H5Fclose(copy);
    H5Pclose(access);
    H5Pclose(copy_access);
    close(out);
    ck_assert_int_eq(emd_fdfile_errno(), 0);
}
END_TEST

START_TEST(other_files_are_not_opened)
{
    hid_t file = H5Fcreate(other, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    file = create_file(0);
    ck_assert_int_ge(H5Lcreate_external(other, "/", file, "away", H5P_DEFAULT, H5P_DEFAULT), 0);
    H5Fclose(file);
    struct emd_source *source;
    OK(emd_source_open(path, &source, &err));
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    ck_assert_int_lt(H5Gopen2(source->file, "away", H5P_DEFAULT), 0);
    ck_assert_int_eq(emd_hdf5_fail(&err, EMD_E_CORRUPT, "no"), EMD_E_CORRUPT);
    emd_hdf5_quiet_end(&quiet);
    emd_source_close(source);
}
END_TEST

/* A descriptor that cannot be read, or not be written, stands for a disk or server that fails. */
START_TEST(trouble_is_not_damage)
{
    H5Fclose(create_file(0));
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    int fd = open(path, O_WRONLY);
    hid_t access = emd_fdfile_access(fd);
    ck_assert_int_lt(H5Fopen(path, H5F_ACC_RDONLY, access), 0);
    ck_assert_int_eq(emd_hdf5_fail(&err, EMD_E_CORRUPT, "cannot open"), EMD_E_IO);
    ck_assert_str_eq(err.text, "cannot open: Bad file descriptor");
    ck_assert_int_eq(emd_fdfile_errno(), EBADF);
    H5Pclose(access);
    close(fd);

    fd = open(path, O_RDONLY);
    access = emd_fdfile_access(fd);
    ck_assert_int_eq(emd_fdfile_errno(), 0);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    ck_assert_int_lt(file, 0);
    ck_assert_int_eq(emd_hdf5_fail(NULL, EMD_E_CORRUPT, "cannot write"), EMD_E_IO);
    ck_assert_int_eq(emd_fdfile_errno(), EINVAL);
    H5Pclose(access);
    close(fd);

    fd = open(path, O_RDONLY);
    access = emd_fdfile_access(fd);
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(emd_fdfile_errno(), 0);
    H5Fclose(file);
    H5Pclose(access);
    close(fd);
    emd_hdf5_quiet_end(&quiet);
}
END_TEST

/* Every length of a small file: never complete before its end. */
START_TEST(truncation_is_seen_at_every_byte)
{
    struct emd_superblock superblock;
    hid_t file = create_file((hsize_t)_i * 512);
    struct emd_pipeline plain = {0};
    H5Dclose(create_movie(file, &plain, true));
    H5Fclose(file);
    int fd = open(path, O_RDWR);
    const off_t size = lseek(fd, 0, SEEK_END);
    OK(emd_superblock_read(fd, (uint64_t)size, &superblock, &err));
    ck_assert(superblock.version == 0 && superblock.end == (uint64_t)size);
    ck_assert_uint_eq(superblock.user_block, (uint64_t)_i * 512);
    for (off_t n = size - 1; n >= 0; n--) {
        enum emd_status status = emd_superblock_read(fd, (uint64_t)n, &superblock, &err);
        /* Before the signature there is nothing to tell it from another format. */
        if (n == 0 || n >= (off_t)(_i * 512 + 8))
            ck_assert_int_eq(status, EMD_E_INCOMPLETE);
        else
            ck_assert_int_eq(status, EMD_E_FORMAT);
    }
    close(fd);
}
END_TEST

int main(void)
{
    /* No plugin of this machine may help. */
    setenv("HDF5_PLUGIN_PRELOAD", "::", 1);
    Suite *suite = suite_create("hdf5");
    TCase *tcase = tcase_create("hdf5");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, filters_and_codecs_agree, 0, PIPELINES);
    tcase_add_loop_test(tcase, encoded_chunks_read_back, 0, PIPELINES);
    tcase_add_loop_test(tcase, damaged_chunk_is_an_error, 1, PIPELINES);
    tcase_add_test(tcase, foreign_filters_are_not_ours);
    tcase_add_test(tcase, shapes_of_types);
    tcase_add_loop_test(tcase, stored_chunks_are_found, 0, GRIDS);
    tcase_add_test(tcase, grids_of_other_layouts);
    tcase_add_test(tcase, chosen_filters_are_used);
    tcase_add_test(tcase, callbacks_can_stop_the_copy);
    tcase_add_test(tcase, nested_sequences_are_kept);
    tcase_add_loop_test(tcase, work_that_goes_on_may_take_long, 0, 2);
    tcase_add_test(tcase, changed_source_is_noticed);
    tcase_add_test(tcase, hdf5_uses_the_open_descriptor);
    tcase_add_test(tcase, other_files_are_not_opened);
    tcase_add_test(tcase, trouble_is_not_damage);
    tcase_add_loop_test(tcase, truncation_is_seen_at_every_byte, 0, 3);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
