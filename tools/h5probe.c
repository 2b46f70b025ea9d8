/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What h5plugin-config needs a C program for: loading plugins, and asking the HDF5 library. Its
 * output is for that script: one line each, fields separated by tabs.
 *
 *   h5probe version          the version of the HDF5 library
 *   h5probe path             the folders that it searches for plugins
 *   h5probe plugins FOLDER   FILE ok ID NAME ABOUT, or FILE error TEXT, or FILE other TEXT for what
 *                            is no filter, in the order in which HDF5 looks at them: that of the
 *                            folder
 *   h5probe file FILE        filter ID yes|no WHERE for each filter of FILE's datasets; bad DATASET
 *                            TEXT for each of which no element can be read; datasets COUNT. Why
 *                            FILE cannot be opened, and exit 1 */
#define H5_USE_110_API /* the same calls with HDF5 1.14 */
#include <H5PLextern.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/message.h"

/* A field: tabs and newlines of the text would look like separators. */
static void put_field(const char *text, char end)
{
    for (; *text; text++)
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    putchar(end);
}

/* ---- version, path ---- */

static int show_version(void)
{
    unsigned major, minor, release;
    if (H5get_libversion(&major, &minor, &release) < 0)
        return EMD_EXIT_FAILED;
    printf("%u.%u.%u\n", major, minor, release);
    return EMD_EXIT_OK;
}

static int show_path(void)
{
    unsigned count = 0;
    if (H5PLsize(&count) < 0)
        return EMD_EXIT_FAILED;
    for (unsigned i = 0; i < count; i++) {
        char folder[4096];
        if (H5PLget(i, folder, sizeof folder) > 0)
            put_field(folder, '\n');
    }
    return EMD_EXIT_OK;
}

/* ---- plugins ---- */

static void load_plugin(const char *file)
{
    typedef const void *info_function(void);
    typedef H5PL_type_t type_function(void);
    typedef void about_function(char *text, size_t room);
    info_function *info = NULL;
    type_function *type = NULL;
    about_function *about = NULL;
    char text[256] = "";
    void *handle = dlopen(file, RTLD_LAZY | RTLD_LOCAL); /* as HDF5 does */
    put_field(file, '\t');
    if (!handle) {
        const char *why = dlerror();
        printf("error\t");
        put_field(why ? why : "unknown error", '\n');
        return;
    }
    void *symbol = dlsym(handle, "H5PLget_plugin_type");
    memcpy(&type, &symbol, sizeof symbol);
    symbol = dlsym(handle, "H5PLget_plugin_info");
    memcpy(&info, &symbol, sizeof symbol);
    symbol = dlsym(handle, "emdtools_plugin_about");
    memcpy(&about, &symbol, sizeof symbol);
    if (!info || !type) {
        printf("other\tnot a HDF5 plugin\n");
        return;
    }
    if (type() != H5PL_TYPE_FILTER) {
        printf("other\ta plugin, but not a filter\n");
        return;
    }
    const H5Z_class2_t *filter = info();
    if (about)
        about(text, sizeof text);
    printf("ok\t%d\t", filter->id);
    put_field(filter->name ? filter->name : "", '\t');
    put_field(text, '\n');
}

/* In a process of its own: a plugin that crashes is an answer, too. */
static bool load_apart(const char *file)
{
    int state;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        load_plugin(file);
        fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &state, 0) != child) {
        emd_message_error("cannot start a process");
        return false;
    }
    if (WIFSIGNALED(state)) {
        put_field(file, '\t');
        printf("error\tcrashes when it is loaded (signal %d)\n", WTERMSIG(state));
    }
    return true;
}

/* HDF5 takes the first plugin with the id that it needs, in the order of readdir. */
static int show_plugins(const char *folder)
{
    const struct dirent *entry;
    int code = EMD_EXIT_OK;
    DIR *dir = opendir(folder);
    if (!dir) {
        emd_message_error("%s: %s", folder, strerror(errno));
        return EMD_EXIT_FAILED;
    }
    while (code == EMD_EXIT_OK && (entry = readdir(dir))) {
        char file[8192];
        if (strncmp(entry->d_name, "lib", 3) != 0 || !strstr(entry->d_name, ".so"))
            continue;
        snprintf(file, sizeof file, "%s/%s", folder, entry->d_name);
        if (!load_apart(file))
            code = EMD_EXIT_FAILED;
    }
    closedir(dir);
    return code;
}

/* ---- file ---- */

/* More kinds of filters than there are in a file: HDF5 knows a few dozen in all. */
enum { MAX_FILTERS = 64 };

enum { WHY = 512 }; /* room for a text that says why */
enum { BITSHUFFLE = 32008, BITSHUFFLE_ZSTD = 3 };

struct survey {
    struct {
        H5Z_filter_t id;
        unsigned long datasets;
        char first[512];
    } filter[MAX_FILTERS];
    size_t filters;
    unsigned long datasets;
};

static void note_filter(struct survey *s, H5Z_filter_t id, const char *dataset)
{
    size_t i = 0;
    while (i < s->filters && s->filter[i].id != id)
        i++;
    if (i == MAX_FILTERS)
        return;
    if (i == s->filters) {
        s->filters++;
        s->filter[i].id = id;
        snprintf(s->filter[i].first, sizeof s->filter[i].first, "%s", dataset);
    }
    s->filter[i].datasets++;
}

static herr_t survey(hid_t file, const char *name, const H5O_info_t *info, void *data)
{
    struct survey *s = data;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    s->datasets++;
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t plist = dataset < 0 ? H5I_INVALID_HID : H5Dget_create_plist(dataset);
    const int count = plist < 0 ? 0 : H5Pget_nfilters(plist);
    for (int i = 0; i < count; i++) {
        unsigned flags, config;
        size_t values = 0;
        note_filter(s, H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, &config),
                    name);
    }
    H5Pclose(plist);
    H5Dclose(dataset);
    return 0;
}

/* Bitshuffle before version 0.4, which Debian 12 has, takes chunks with zstd inside for
 * uncompressed ones and gives wrong data or crashes. So it gets a chunk whose content is known: 16
 * bytes of 0xFF, as one block of a zstd frame with one run (docs/filters.md, RFC 8878). */
static bool bitshuffle_knows_zstd(void)
{
    static const unsigned char chunk[] = {0,    0,    0,    0,  0,    0, 0,  16,   0,
                                          0,    0,    16,   0,  0,    0, 10, 0x28, 0xB5,
                                          0x2F, 0xFD, 0x20, 16, 0x83, 0, 0,  0xFF};
    enum { ITEMS = 8 };
    const hsize_t dims[] = {ITEMS}, zero[] = {0};
    const unsigned values[] = {0, BITSHUFFLE_ZSTD};
    short data[ITEMS] = {0};
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_fapl_core(access, 1 << 16, 0);
    H5Pset_chunk(plist, 1, dims);
    H5Pset_filter(plist, BITSHUFFLE, H5Z_FLAG_MANDATORY, 2, values);
    const hid_t file = H5Fcreate("bitshuffle", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    const hid_t space = H5Screate_simple(1, dims, NULL);
    const hid_t dataset =
        H5Dcreate2(file, "x", H5T_STD_I16LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    bool right = H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, zero, sizeof chunk, chunk) >= 0 &&
                 H5Dread(dataset, H5T_STD_I16LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    for (int i = 0; i < ITEMS; i++)
        right = right && data[i] == -1;
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
    H5Pclose(plist);
    H5Pclose(access);
    return right;
}

static bool is_bitshuffled_zstd(hid_t dataset)
{
    unsigned flags, config, values[20] = {0};
    size_t count = sizeof values / sizeof values[0];
    const hid_t plist = H5Dget_create_plist(dataset);
    const bool found =
        H5Pget_filter_by_id2(plist, BITSHUFFLE, &flags, &count, values, 0, NULL, &config) >= 0;
    H5Pclose(plist);
    return found && values[4] == BITSHUFFLE_ZSTD;
}

/* The innermost error is the one that says what happened. */
static herr_t innermost(unsigned n, const H5E_error2_t *error, void *why)
{
    (void)n;
    if (error->desc && error->desc[0])
        snprintf(why, WHY, "%s", error->desc);
    return 0;
}

/* To be asked before any other call, which would clear the error stack. */
static void explain(char why[WHY])
{
    snprintf(why, WHY, "unknown error");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, innermost, why);
}

static bool read_element(hid_t dataset, hid_t type, hid_t space, char why[WHY])
{
    const hsize_t zero[H5S_MAX_RANK] = {0};
    hsize_t one[H5S_MAX_RANK];
    const int rank = H5Sget_simple_extent_ndims(space);
    for (int i = 0; i < H5S_MAX_RANK; i++)
        one[i] = 1;
    const size_t size = H5Tget_size(type);
    void *value = size > 0 ? calloc(1, size) : NULL;
    const hid_t single = H5Screate_simple(rank, one, NULL);
    const bool ok =
        value && single >= 0 &&
        (rank == 0 || H5Sselect_hyperslab(space, H5S_SELECT_SET, zero, NULL, one, NULL) >= 0) &&
        H5Dread(dataset, type, single, space, H5P_DEFAULT, value) >= 0;
    if (ok)
        H5Dvlen_reclaim(type, single, H5P_DEFAULT, value);
    else
        explain(why);
    free(value);
    H5Sclose(single);
    return ok;
}

static herr_t try_dataset(hid_t file, const char *name, const H5O_info_t *info, void *data)
{
    char why[WHY];
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    const bool *bitshuffle_fails = data;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    bool ok =
        dataset >= 0 && (type = H5Dget_type(dataset)) >= 0 && (space = H5Dget_space(dataset)) >= 0;
    if (!ok)
        explain(why);
    else if (*bitshuffle_fails && !(ok = !is_bitshuffled_zstd(dataset)))
        snprintf(
            why, WHY,
            "the bitshuffle plugin that HDF5 finds knows no zstd: it gives wrong data or crashes");
    else if (H5Dget_storage_size(dataset) > 0 && H5Sget_simple_extent_npoints(space) > 0)
        ok = read_element(dataset, type, space, why);
    if (!ok) {
        printf("bad\t");
        put_field(name, '\t');
        put_field(why, '\n');
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    return 0;
}

/* Says why there is nothing to be read. */
static int refuse(const char *why)
{
    put_field(why, '\n');
    return EMD_EXIT_FAILED;
}

static int show_file(const char *name)
{
    static struct survey s;
    char why[WHY];
    const int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return refuse(strerror(errno));
    close(fd);
    if (H5Fis_hdf5(name) <= 0)
        return refuse("not a HDF5 file");
    const hid_t file = H5Fopen(name, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0 || H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, survey, &s) < 0) {
        explain(why);
        return refuse(why);
    }
    for (size_t i = 0; i < s.filters; i++) {
        printf("filter\t%d\t%s\t%lu dataset%s, first ", s.filter[i].id,
               H5Zfilter_avail(s.filter[i].id) > 0 ? "yes" : "no", s.filter[i].datasets,
               s.filter[i].datasets == 1 ? "" : "s");
        put_field(s.filter[i].first, '\n');
    }
    bool bitshuffle_fails = H5Zfilter_avail(BITSHUFFLE) > 0 && !bitshuffle_knows_zstd();
    H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, try_dataset, &bitshuffle_fails);
    printf("datasets\t%lu\n", s.datasets);
    H5Fclose(file);
    return EMD_EXIT_OK;
}

int main(int argc, char **argv)
{
    emd_message_init("h5probe", EMD_NORMAL);
    /* A look at a file must not disturb whoever writes it. */
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (argc == 2 && strcmp(argv[1], "version") == 0)
        return emd_finish(show_version());
    if (argc == 2 && strcmp(argv[1], "path") == 0)
        return emd_finish(show_path());
    if (argc == 3 && strcmp(argv[1], "plugins") == 0)
        return emd_finish(show_plugins(argv[2]));
    if (argc == 3 && strcmp(argv[1], "file") == 0)
        return emd_finish(show_file(argv[2]));
    emd_message_error("this program serves h5plugin-config");
    return EMD_EXIT_USAGE;
}
