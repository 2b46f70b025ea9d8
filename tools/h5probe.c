/* What h5plugin-config needs a C program for: loading plugins, and asking the HDF5 library. Its
 * output is for that script: one line each, fields separated by tabs.
 *
 *   h5probe version          the version of the HDF5 library
 *   h5probe path             the folders that it searches for plugins
 *   h5probe plugins FOLDER   FILE ok ID NAME ABOUT, or FILE error TEXT, or FILE other TEXT for what
 *                            is no filter, in the order in which HDF5 looks at them: that of the
 *                            folder
 *   h5probe file FILE        filter ID yes|no WHERE for each filter of FILE's datasets;
 *                            read DATASET ok, or read DATASET error TEXT, for each kind of pipeline
 *                            (one element of one dataset is read) */
#define H5_USE_110_API /* the same calls with HDF5 1.14 */
#include <H5PLextern.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
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

enum { MAX_FILTERS = 64, MAX_PIPELINES = 64, MAX_PIPELINE = 8 };

struct survey {
    struct {
        H5Z_filter_t id;
        unsigned long datasets;
        char first[512];
    } filter[MAX_FILTERS];
    size_t filters;
    struct {
        H5Z_filter_t id[MAX_PIPELINE];
        int count;
        char dataset[512];
    } pipeline[MAX_PIPELINES];
    size_t pipelines;
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

static void note_pipeline(struct survey *s, const H5Z_filter_t *id, int count, const char *dataset)
{
    for (size_t i = 0; i < s->pipelines; i++)
        if (s->pipeline[i].count == count &&
            memcmp(s->pipeline[i].id, id, (size_t)count * sizeof *id) == 0)
            return;
    if (s->pipelines == MAX_PIPELINES)
        return;
    memcpy(s->pipeline[s->pipelines].id, id, (size_t)count * sizeof *id);
    s->pipeline[s->pipelines].count = count;
    snprintf(s->pipeline[s->pipelines].dataset, sizeof s->pipeline[0].dataset, "%s", dataset);
    s->pipelines++;
}

static herr_t visit(hid_t file, const char *name, const H5O_info_t *info, void *data)
{
    struct survey *s = data;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (dataset < 0)
        return 0;
    const hid_t plist = H5Dget_create_plist(dataset);
    const int count = plist < 0 ? 0 : H5Pget_nfilters(plist);
    H5Z_filter_t id[MAX_PIPELINE];
    for (int i = 0; i < count && i < MAX_PIPELINE; i++) {
        unsigned flags, config;
        size_t values = 0;
        id[i] = H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
        note_filter(s, id[i], name);
    }
    /* A dataset without chunks reads as fill values, whatever its filters. */
    if (count > 0 && count <= MAX_PIPELINE && H5Dget_storage_size(dataset) > 0)
        note_pipeline(s, id, count, name);
    if (plist >= 0)
        H5Pclose(plist);
    H5Dclose(dataset);
    return 0;
}

/* The innermost error is the one that says what happened. */
static herr_t innermost(unsigned n, const H5E_error2_t *error, void *text)
{
    (void)n;
    if (error->desc && error->desc[0])
        snprintf(text, 512, "%s", error->desc);
    return 0;
}

static bool read_one(hid_t file, const char *name)
{
    bool ok = false;
    hsize_t zero[H5S_MAX_RANK] = {0}, one[H5S_MAX_RANK];
    void *value = NULL;
    for (int i = 0; i < H5S_MAX_RANK; i++)
        one[i] = 1;
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    const hid_t single = H5Screate_simple(1, one, NULL);
    if (H5Tget_size(type) > 0)
        value = calloc(1, H5Tget_size(type));
    if (value && H5Sselect_hyperslab(space, H5S_SELECT_SET, zero, NULL, one, NULL) >= 0 &&
        H5Dread(dataset, type, single, space, H5P_DEFAULT, value) >= 0) {
        ok = true;
        H5Dvlen_reclaim(type, single, H5P_DEFAULT, value);
    }
    free(value);
    /* Closing clears the error stack that the caller wants to see. */
    const hid_t stack = ok ? -1 : H5Eget_current_stack();
    H5Sclose(single);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    if (stack >= 0)
        H5Eset_current_stack(stack);
    return ok;
}

static int show_file(const char *name)
{
    static struct survey s;
    const hid_t file = H5Fopen(name, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        printf("%s\n", H5Fis_hdf5(name) == 0 ? "not a HDF5 file" : "cannot be opened as HDF5");
        return EMD_EXIT_FAILED;
    }
    if (H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, visit, &s) < 0) {
        printf("its objects cannot be listed\n");
        H5Fclose(file);
        return EMD_EXIT_FAILED;
    }
    for (size_t i = 0; i < s.filters; i++) {
        printf("filter\t%d\t%s\t%lu dataset%s, first ", s.filter[i].id,
               H5Zfilter_avail(s.filter[i].id) > 0 ? "yes" : "no", s.filter[i].datasets,
               s.filter[i].datasets == 1 ? "" : "s");
        put_field(s.filter[i].first, '\n');
    }
    for (size_t i = 0; i < s.pipelines; i++) {
        char text[512] = "unknown error";
        const bool ok = read_one(file, s.pipeline[i].dataset);
        if (!ok)
            H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, innermost, text);
        printf("read\t");
        put_field(s.pipeline[i].dataset, '\t');
        printf("%s\t", ok ? "ok" : "error");
        put_field(ok ? "" : text, '\n');
    }
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
