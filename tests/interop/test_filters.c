/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The plugins behind HDF5 itself: damaged chunks, absurd parameters, types, creation lists that are
 * used again, and the filter functions from eight threads at once. HDF5 finds the plugins by
 * HDF5_PLUGIN_PATH; files live in memory. */
#include <H5PLextern.h>
#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <hdf5.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/codec.h"
#include "unit/codecdata.h"

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition);                                                        \
    } while (0)

struct setting {
    const char *name;
    H5Z_filter_t id;
    size_t count;
    unsigned cd[8];
    bool has_checksum;
};

static const struct setting settings[] = {
    {"zstd", EMD_FILTER_ZSTD, 1, {3}, true},
    {"blosc lz4", EMD_FILTER_BLOSC, 7, {0, 0, 0, 0, 5, 1, 1}, false},
    {"blosc zstd", EMD_FILTER_BLOSC, 7, {0, 0, 0, 0, 5, 2, 5}, false},
    {"blosclz", EMD_FILTER_BLOSC, 7, {0, 0, 0, 0, 5, 1, 0}, false},
    {"bitshuffle", EMD_FILTER_BITSHUFFLE, 0, {0}, false},
    {"bitshuffle lz4", EMD_FILTER_BITSHUFFLE, 2, {0, 2}, false},
    {"bitshuffle zstd", EMD_FILTER_BITSHUFFLE, 3, {0, 3, 1}, false},
    {"edc", EMD_FILTER_EDC, 0, {0}, true},
};
enum { SETTINGS = sizeof settings / sizeof settings[0], SIDE = 24, ITEMS = SIDE * SIDE };

static hid_t file;

static void setup(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5Pset_fapl_core(access, 65536, 0);
    file = H5Fcreate("memory", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    must(file >= 0);
}

static void teardown(void)
{
    must(H5Fclose(file) >= 0);
}

/* HDF5's own filters beside the one that is tested. */
enum around { ALONE, SHUFFLE_BEFORE, SHUFFLE_BEHIND, AROUND_KINDS };

/* A creation list with one chunk of SIDE x SIDE. */
static hid_t list_with(const struct setting *s, unsigned flags, enum around around)
{
    const hsize_t chunk[] = {SIDE, SIDE};
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    must(H5Pset_chunk(list, 2, chunk) >= 0);
    if (around == SHUFFLE_BEFORE)
        must(H5Pset_shuffle(list) >= 0);
    if (around == SHUFFLE_BEHIND)
        must(H5Pset_fletcher32(list) >= 0);
    must(H5Pset_filter(list, s->id, flags, s->count, s->cd) >= 0);
    if (around == SHUFFLE_BEHIND)
        must(H5Pset_shuffle(list) >= 0);
    if (around == SHUFFLE_BEFORE)
        must(H5Pset_fletcher32(list) >= 0);
    return list;
}

static hid_t dataset_with(const char *name, hid_t type, hid_t list)
{
    const hsize_t dims[] = {SIDE, SIDE};
    hid_t space = H5Screate_simple(2, dims, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    H5Sclose(space);
    return set;
}

/* Reads the only chunk, from the file and not from the cache: through a dataset opened anew. */
static herr_t read_again(const char *name, hid_t type, void *values)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    herr_t result = H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    /* A failed read may leave nothing to close but the identifier. */
    H5Dclose(set);
    return result;
}

START_TEST(round_trips)
{
    const struct setting *s = &settings[_i % SETTINGS];
    const enum around around = (enum around)(_i / SETTINGS);
    int16_t values[ITEMS], back[ITEMS];
    for (int kind = 0; kind < DATA_KINDS; kind++)
        for (unsigned flags = 0; flags <= H5Z_FLAG_OPTIONAL; flags += H5Z_FLAG_OPTIONAL) {
            char name[32];
            snprintf(name, sizeof name, "%d %u", kind, flags);
            fill_data((enum data_kind)kind, values, sizeof values, 7);
            hid_t list = list_with(s, flags, around);
            hid_t set = dataset_with(name, H5T_STD_I16LE, list);
            ck_assert_msg(set >= 0, "%s", s->name);
            ck_assert_msg(H5Dwrite(set, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >=
                              0,
                          "%s", s->name);
            must(H5Dclose(set) >= 0);
            H5Pclose(list);
            memset(back, 1, sizeof back);
            must(read_again(name, H5T_NATIVE_INT16, back) >= 0);
            must(memcmp(values, back, sizeof back) == 0);
        }
}
END_TEST

/* Puts a chunk of our own making into dataset "x" and reads it. */
static herr_t read_chunk(const struct setting *s, const void *chunk, size_t n, int16_t *back)
{
    const hsize_t origin[] = {0, 0};
    hid_t set = H5Dopen2(file, "x", H5P_DEFAULT);
    must(set >= 0);
    ck_assert_msg(H5Dwrite_chunk(set, H5P_DEFAULT, 0, origin, n, chunk) >= 0, "%s", s->name);
    must(H5Dclose(set) >= 0);
    return read_again("x", H5T_NATIVE_INT16, back);
}

START_TEST(damaged_chunks)
{
    const struct setting *s = &settings[_i];
    const hsize_t origin[] = {0, 0};
    int16_t values[ITEMS], back[ITEMS];
    uint32_t mask;
    hsize_t size = 0;
    fill_data(DATA_CAMERA, values, sizeof values, 3);
    hid_t list = list_with(s, H5Z_FLAG_MANDATORY, ALONE);
    hid_t set = dataset_with("x", H5T_STD_I16LE, list);
    must(set >= 0);
    must(H5Dwrite(set, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    must(H5Dclose(set) >= 0);
    set = H5Dopen2(file, "x", H5P_DEFAULT);
    must(H5Dget_chunk_storage_size(set, origin, &size) >= 0);
    uint8_t *chunk = malloc(size), *damaged = malloc(size + 8);
    must(chunk && damaged);
    must(H5Dread_chunk(set, H5P_DEFAULT, origin, &mask, chunk) >= 0);
    H5Dclose(set);
    H5Pclose(list);

    const bool plain = size == sizeof values; /* bitshuffle alone: nothing but its size tells */
    for (size_t cut = 1; cut < size; cut++)
        ck_assert_msg(plain || read_chunk(s, chunk, cut, back) < 0, "%s, %zu bytes", s->name, cut);
    for (size_t more = 1; more <= 8; more += 7) {
        memcpy(damaged, chunk, size);
        memset(damaged + size, 0, 8);
        must(plain || read_chunk(s, damaged, size + more, back) < 0);
    }
    for (size_t i = 0; i < size; i++) {
        memcpy(damaged, chunk, size);
        damaged[i] ^= (uint8_t)(1u << i % 8);
        if (read_chunk(s, damaged, size, back) >= 0 && s->has_checksum)
            ck_assert_msg(memcmp(values, back, sizeof back) == 0, "%s, byte %zu", s->name, i);
    }
    static const uint32_t forged[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (size_t i = 0; i + 4 <= size && i < 64; i++)
        for (size_t f = 0; f < sizeof forged / sizeof forged[0]; f++) {
            memcpy(damaged, chunk, size);
            memcpy(damaged + i, &forged[f], 4);
            if (read_chunk(s, damaged, size, back) >= 0 && s->has_checksum)
                must(memcmp(values, back, sizeof back) == 0);
        }
    must(read_chunk(s, chunk, size, back) >= 0);
    must(memcmp(values, back, sizeof back) == 0);
    free(chunk);
    free(damaged);
}
END_TEST

/* Whatever a creator gives: a dataset cannot be made or written, or reads back as written. */
START_TEST(absurd_parameters)
{
    static const H5Z_filter_t ids[] = {EMD_FILTER_ZSTD, EMD_FILTER_BLOSC, EMD_FILTER_BITSHUFFLE,
                                       EMD_FILTER_EDC};
    static const unsigned odd[] = {0, 1, 2, 3, 5, 8, 9, 255, 256, 65536, 0x7FFFFFFF, 0xFFFFFFFF};
    uint64_t state = 99;
    int16_t values[ITEMS], back[ITEMS];
    fill_data(DATA_CAMERA, values, sizeof values, 3);
    for (int round = 0; round < 400; round++) {
        struct setting s = {.name = "odd", .id = ids[_i]};
        unsigned many[24];
        char name[32];
        const size_t count = next_random(&state) % 24;
        for (size_t i = 0; i < count; i++)
            many[i] = odd[next_random(&state) % (sizeof odd / sizeof odd[0])];
        if (s.id == EMD_FILTER_ZSTD && many[0] < 0x80000000 && many[0] > 9)
            many[0] = 9; /* the highest levels take their time */
        if (s.id == EMD_FILTER_BITSHUFFLE && count > 2)
            many[2] %= 10;
        snprintf(name, sizeof name, "r%d", round);
        hid_t list = list_with(&s, H5Z_FLAG_MANDATORY, ALONE);
        must(H5Pmodify_filter(list, s.id, H5Z_FLAG_MANDATORY, count, many) >= 0);
        hid_t set = dataset_with(name, H5T_STD_I16LE, list);
        if (set >= 0) {
            const bool written =
                H5Dwrite(set, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0 &&
                H5Dflush(set) >= 0;
            H5Dclose(set);
            if (written) {
                must(read_again(name, H5T_NATIVE_INT16, back) >= 0);
                must(memcmp(values, back, sizeof back) == 0);
            }
        }
        H5Pclose(list);
    }
}
END_TEST

START_TEST(list_used_again)
{
    const struct setting *s = &settings[_i];
    hid_t list = list_with(s, H5Z_FLAG_MANDATORY, ALONE);
    unsigned first[20], cd[20], flags, config;
    size_t first_count = 0;
    for (int round = 0; round < 5; round++) {
        char name[32];
        snprintf(name, sizeof name, "again %d", round);
        hid_t set = dataset_with(name, H5T_STD_I16LE, list);
        must(set >= 0);
        H5Pclose(list);
        list = H5Dget_create_plist(set); /* the next one is made with what this one stores */
        H5Dclose(set);
        size_t count = 20;
        must(H5Pget_filter_by_id2(list, s->id, &flags, &count, cd, 0, NULL, &config) >= 0);
        if (round == 0) {
            first_count = count;
            memcpy(first, cd, sizeof cd);
        }
        ck_assert_uint_eq(count, first_count);
        ck_assert_mem_eq(cd, first, count * sizeof cd[0]);
    }
    H5Pclose(list);
}
END_TEST

START_TEST(types)
{
    const struct setting *s = &settings[_i];
    hid_t list = list_with(s, H5Z_FLAG_MANDATORY, ALONE);
    const hsize_t three[] = {3};
    hid_t compound = H5Tcreate(H5T_COMPOUND, 11);
    must(H5Tinsert(compound, "a", 0, H5T_STD_U8LE) >= 0);
    must(H5Tinsert(compound, "b", 3, H5T_IEEE_F64LE) >= 0);
    hid_t array = H5Tarray_create2(H5T_STD_I16LE, 1, three);
    hid_t fixed = H5Tcopy(H5T_C_S1);
    must(H5Tset_size(fixed, 300) >= 0);
    const hid_t kinds[] = {H5T_STD_I16BE,  H5T_STD_U8LE, H5T_STD_I32BE, H5T_IEEE_F32BE,
                           H5T_IEEE_F64LE, compound,     array,         fixed};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        char name[32];
        const size_t size = H5Tget_size(kinds[k]) * ITEMS;
        uint8_t *values = malloc(size), *back = malloc(size);
        must(values && back);
        /* Equal types: nothing is converted, so any bytes are values (but not of floats). */
        fill_data(DATA_COUNTS, values, size, k + 1);
        snprintf(name, sizeof name, "type %zu", k);
        hid_t set = dataset_with(name, kinds[k], list);
        ck_assert_msg(set >= 0, "%s, type %zu", s->name, k);
        must(H5Dwrite(set, kinds[k], H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        must(H5Dclose(set) >= 0);
        must(read_again(name, kinds[k], back) >= 0);
        /* Padding of the compound is not kept by HDF5's conversion; it is no conversion here. */
        ck_assert_msg(memcmp(values, back, size) == 0, "%s, type %zu", s->name, k);
        free(values);
        free(back);
    }
    /* Variable-length data is refused where the filter must be applied. */
    hid_t vlen = H5Tvlen_create(H5T_NATIVE_INT), text = H5Tcopy(H5T_C_S1);
    must(H5Tset_size(text, H5T_VARIABLE) >= 0);
    must(dataset_with("vlen", vlen, list) < 0);
    must(dataset_with("text", text, list) < 0);
    H5Tclose(vlen);
    H5Tclose(text);
    H5Tclose(compound);
    H5Tclose(array);
    H5Tclose(fixed);
    H5Pclose(list);
}
END_TEST

START_TEST(one_item)
{
    const struct setting *s = &settings[_i];
    const hsize_t one[] = {1};
    hid_t space = H5Screate_simple(1, one, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    int16_t value = -5, back = 0;
    must(H5Pset_chunk(list, 1, one) >= 0);
    must(H5Pset_filter(list, s->id, H5Z_FLAG_MANDATORY, s->count, s->cd) >= 0);
    hid_t set = H5Dcreate2(file, "one", H5T_STD_I16LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    must(set >= 0);
    must(H5Dwrite(set, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, &value) >= 0);
    H5Dclose(set);
    must(read_again("one", H5T_NATIVE_INT16, &back) >= 0);
    ck_assert_int_eq(back, -5);
    H5Sclose(space);
    H5Pclose(list);
}
END_TEST

/* ---- the filter functions themselves, as a multi-threaded reader calls them ---- */

struct job {
    const H5Z_class2_t *filter;
    const struct setting *setting;
    unsigned seed;
};

static void *encode_and_decode(void *argument)
{
    const struct job *job = argument;
    const struct setting *s = job->setting;
    unsigned cd[8];
    size_t count = s->count;
    memcpy(cd, s->cd, sizeof cd);
    if (s->id == EMD_FILTER_BLOSC)
        cd[2] = 2;
    if (s->id == EMD_FILTER_BITSHUFFLE) { /* stored form */
        const unsigned stored[] = {0, 4, 2, 0, s->count > 1 ? s->cd[1] : 0, 1};
        memcpy(cd, stored, sizeof stored);
        count = 6;
    }
    for (unsigned round = 0; round < 30; round++) {
        size_t n = 2 * (100 + (job->seed * 7919 + round * 104729) % 40000);
        if (round == 0)
            n = 1200000;               /* worth more than one thread */
        if (s->id == EMD_FILTER_EDC) { /* stored form: frames of 50 signed columns */
            const unsigned stored[] = {1, 2, 3, 50, (unsigned)(n / 100), 1, 2};
            n = n / 100 * 100;
            memcpy(cd, stored, sizeof stored);
            count = 7;
        }
        uint8_t *want = malloc(n);
        void *buffer = malloc(n);
        size_t room = n;
        if (!want || !buffer)
            return (void *)"no memory";
        fill_data((enum data_kind)(round % DATA_KINDS), want, n, job->seed + round);
        memcpy(buffer, want, n);
        size_t size = job->filter->filter(0, count, cd, n, &room, &buffer);
        if (size > 0)
            size = job->filter->filter(H5Z_FLAG_REVERSE, count, cd, size, &room, &buffer);
        const bool same = size == n && memcmp(buffer, want, n) == 0;
        free(want);
        free(buffer);
        if (!same)
            return (void *)"wrong data";
    }
    return NULL;
}

START_TEST(eight_threads)
{
    static const char *const files[] = {"zstd", "blosc", "bitshuffle", "edc"};
    setenv("EMDTOOLS_PLUGIN_THREADS", _i ? "3" : "1", 1);
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/libh5z%s.so", getenv("HDF5_PLUGIN_PATH"), files[f]);
        void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL), *symbol;
        ck_assert_msg(handle != NULL, "%s", dlerror());
        const void *(*info)(void);
        symbol = dlsym(handle, "H5PLget_plugin_info");
        memcpy(&info, &symbol, sizeof symbol);
        const H5Z_class2_t *filter = info();
        for (int s = 0; s < SETTINGS; s++) {
            if (settings[s].id != filter->id)
                continue;
            pthread_t threads[8];
            struct job jobs[8];
            for (unsigned t = 0; t < 8; t++) {
                jobs[t] = (struct job){filter, &settings[s], t};
                must(pthread_create(&threads[t], NULL, encode_and_decode, &jobs[t]) == 0);
            }
            for (unsigned t = 0; t < 8; t++) {
                void *result = NULL;
                pthread_join(threads[t], &result);
                ck_assert_msg(!result, "%s: %s", settings[s].name, (const char *)result);
            }
        }
        dlclose(handle);
    }
}
END_TEST

/* Threads of this process, by /proc. */
static int count_threads(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    must(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* EMDTOOLS_PLUGIN_THREADS: whatever it says, the chunk in the file and the data read are the same;
 * no thread stays, a child can go on with it, and the plugins can be unloaded afterwards. */
START_TEST(inner_threads)
{
    enum { WIDTH = 1024 };
    static const char *const values[] = {"1", "2", "4", "0", "-3", "many", "1000000", ""};
    const struct setting *s = &settings[_i];
    const hsize_t chunk[] = {WIDTH, WIDTH}, origin[] = {0, 0};
    const size_t bytes = sizeof(int16_t) * WIDTH * WIDTH;
    int16_t *data = malloc(bytes), *back = malloc(bytes);
    void *first = malloc(2 * bytes), *stored = malloc(2 * bytes);
    hsize_t first_size = 0, size = 0;
    uint32_t mask;
    must(data && back && first && stored);
    fill_data(DATA_CAMERA, data, bytes, 3);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, chunk, NULL);
    must(H5Pset_chunk(list, 2, chunk) >= 0);
    must(H5Pset_filter(list, s->id, H5Z_FLAG_MANDATORY, s->count, s->cd) >= 0);
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        setenv("EMDTOOLS_PLUGIN_THREADS", values[v], 1);
        const char *const name = *values[v] ? values[v] : "default";
        hid_t set = H5Dcreate2(file, name, H5T_STD_I16LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
        must(H5Dwrite(set, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
        must(H5Dclose(set) >= 0);
        memset(back, 1, bytes);
        must(read_again(name, H5T_NATIVE_INT16, back) >= 0);
        must(memcmp(data, back, bytes) == 0);
        set = H5Dopen2(file, name, H5P_DEFAULT);
        must(H5Dget_chunk_storage_size(set, origin, &size) >= 0 && size <= 2 * bytes);
        must(H5Dread_chunk(set, H5P_DEFAULT, origin, &mask, stored) >= 0);
        H5Dclose(set);
        if (v == 0) {
            first_size = size;
            memcpy(first, stored, size);
        }
        ck_assert_msg(size == first_size && memcmp(first, stored, size) == 0, "%s, %s threads",
                      s->name, values[v]);
        ck_assert_int_eq(count_threads(), 1);
    }
    setenv("EMDTOOLS_PLUGIN_THREADS", "4", 1);
    const pid_t child = fork();
    must(child >= 0);
    if (child == 0)
        _exit(read_again("1", H5T_NATIVE_INT16, back) < 0 || memcmp(data, back, bytes) != 0);
    int status = 1;
    must(waitpid(child, &status, 0) == child);
    ck_assert_int_eq(status, 0);
    unsetenv("EMDTOOLS_PLUGIN_THREADS");
    H5Sclose(space);
    H5Pclose(list);
    free(data), free(back), free(first), free(stored);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("filters");
    TCase *t = tcase_create("hdf5");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, round_trips, 0, AROUND_KINDS * SETTINGS);
    tcase_add_loop_test(t, damaged_chunks, 0, SETTINGS);
    tcase_add_loop_test(t, absurd_parameters, 0, 4);
    tcase_add_loop_test(t, list_used_again, 0, SETTINGS);
    tcase_add_loop_test(t, types, 0, SETTINGS);
    tcase_add_loop_test(t, one_item, 0, SETTINGS);
    tcase_add_loop_test(t, inner_threads, 0, SETTINGS);
    suite_add_tcase(suite, t);
    t = tcase_create("threads");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, eight_threads, 0, 2);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
