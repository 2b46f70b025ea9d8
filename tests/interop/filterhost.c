/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A host of filter plugins for tests: writes or reads a dataset through a filter, with the HDF5
 * library that it is linked to, shared or static, or (with FILTERHOST_DLOPEN) with one that it
 * loads RTLD_LOCAL from a given path, as Python's modules do. filterhost [LIBRARY] write|read FILE
 * ID [VALUE...] Exit 0: done; 1: HDF5 or the plugin refused; 2: wrong data or wrong usage. */
#include <dlfcn.h>
#include <hdf5.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(X)                                                                               \
    X(H5open)                                                                                      \
    X(H5Fcreate)                                                                                   \
    X(H5Fopen)                                                                                     \
    X(H5Fclose)                                                                                    \
    X(H5Screate_simple)                                                                            \
    X(H5Pcreate)                                                                                   \
    X(H5Pset_chunk)                                                                                \
    X(H5Pset_filter)                                                                               \
    X(H5Dcreate2)                                                                                  \
    X(H5Dopen2)                                                                                    \
    X(H5Dwrite)                                                                                    \
    X(H5Dread)                                                                                     \
    X(H5Dclose)

#ifdef FILTERHOST_DLOPEN
#define DECLARE(name) __typeof__(&name) name##_f;
#define RESOLVE(name)                                                                              \
    symbol = dlsym(library, #name);                                                                \
    memcpy(&h.name##_f, &symbol, sizeof symbol);
#else
#define DECLARE(name) __typeof__(&name) name##_f;
#define RESOLVE(name) h.name##_f = name;
#endif

static struct host {
    FUNCTIONS(DECLARE)
    hid_t create_class, int16;
} h;

static int load(const char *path)
{
#ifdef FILTERHOST_DLOPEN
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol;
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 0;
    }
    FUNCTIONS(RESOLVE)
    h.H5open_f();
    h.create_class = *(hid_t *)dlsym(library, "H5P_CLS_DATASET_CREATE_ID_g");
    h.int16 = *(hid_t *)dlsym(library, "H5T_STD_I16LE_g");
#else
    (void)path;
    FUNCTIONS(RESOLVE)
    h.create_class = H5P_DATASET_CREATE;
    h.int16 = H5T_STD_I16LE;
#endif
    return 1;
}

/* H5F_ACC_RDONLY and H5F_ACC_TRUNC without the calls that these macros make. */
enum { SIDE = 200, READ_ONLY = 0, TRUNCATE = 2 };
static int16_t values[SIDE * SIDE], back[SIDE * SIDE];

static int write_file(const char *name, int id, size_t count, const unsigned *cd)
{
    const hsize_t dims[] = {SIDE, SIDE};
    hid_t file = h.H5Fcreate_f(name, TRUNCATE, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = h.H5Screate_simple_f(2, dims, NULL), list = h.H5Pcreate_f(h.create_class);
    h.H5Pset_chunk_f(list, 2, dims);
    if (h.H5Pset_filter_f(list, id, H5Z_FLAG_MANDATORY, count, cd) < 0)
        return 1;
    hid_t set = h.H5Dcreate2_f(file, "x", h.int16, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (set < 0 || h.H5Dwrite_f(set, h.int16, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0 ||
        h.H5Dclose_f(set) < 0 || h.H5Fclose_f(file) < 0)
        return 1;
    return 0;
}

static int read_file(const char *name)
{
    hid_t file = h.H5Fopen_f(name, READ_ONLY, H5P_DEFAULT);
    hid_t set = h.H5Dopen2_f(file, "x", H5P_DEFAULT);
    if (set < 0 || h.H5Dread_f(set, h.int16, H5S_ALL, H5S_ALL, H5P_DEFAULT, back) < 0)
        return 1;
    h.H5Dclose_f(set);
    h.H5Fclose_f(file);
    return memcmp(values, back, sizeof values) == 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *library = NULL;
    unsigned cd[20];
    size_t count = 0;
#ifdef FILTERHOST_DLOPEN
    library = argv[1];
    argv++;
    argc--;
#endif
    if (argc < 4 || argc > 20 || !load(library))
        return 2;
    for (int i = 0; i < SIDE * SIDE; i++)
        values[i] = (int16_t)(i * i % 251 - 20);
    for (int i = 4; i < argc; i++)
        cd[count++] = (unsigned)strtoul(argv[i], NULL, 10);
    if (strcmp(argv[1], "read") == 0)
        return read_file(argv[2]);
    return write_file(argv[2], atoi(argv[3]), count, cd);
}
