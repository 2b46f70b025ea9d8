/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/surroundings.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *own_folder(void)
{
    static char folder[PATH_MAX];
    if (folder[0] == '\0') {
        ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
        folder[n > 0 ? n : 0] = '\0';
        char *slash = strrchr(folder, '/');
        if (slash)
            *slash = '\0';
    }
    return folder;
}

static char *below(const char *path)
{
    char *joined = NULL;
    return asprintf(&joined, "%s%s%s", path[0] == '/' ? "" : own_folder(),
                    path[0] == '/' ? "" : "/", path) < 0
               ? NULL
               : joined;
}

static bool in_build_tree(void)
{
    char *cache = below("../CMakeCache.txt");
    bool found = cache && access(cache, F_OK) == 0;
    free(cache);
    return found;
}

/* The real path, or the one given where it does not exist. Takes and gives an allocation. */
static char *resolved(char *path)
{
    char *real = path ? realpath(path, NULL) : NULL;
    if (!real)
        return path;
    free(path);
    return real;
}

char *shared_file(const char *name)
{
    char *path = NULL, *folder = below(in_build_tree() ? "../share" : EMDTOOLS_BIN_TO_SHARE);
    if (!folder || asprintf(&path, "%s/emdtools/%s", folder, name) < 0)
        path = NULL;
    free(folder);
    return resolved(path);
}

static char *plugin_folder(void)
{
    return resolved(below(in_build_tree() ? "../plugins" : EMDTOOLS_BIN_TO_PLUGINS));
}

/* HDF5's own plugin folders, which HDF5_PLUGIN_PATH replaces: h5probe asks the library. */
static void add_default_plugins(char *path, size_t capacity)
{
    char *probe =
        below(in_build_tree() ? "../libexec/h5probe" : EMDTOOLS_BIN_TO_LIBEXEC "/h5probe");
    char *command = NULL, line[PATH_MAX];
    FILE *f = NULL;
    if (probe && access(probe, X_OK) == 0 && !strchr(probe, '\'') &&
        asprintf(&command, "unset HDF5_PLUGIN_PATH; '%s' path 2>/dev/null", probe) >= 0)
        f = popen(command, "re");
    while (f && fgets(line, sizeof line, f)) {
        struct stat st;
        line[strcspn(line, "\n")] = '\0';
        size_t used = strlen(path);
        if (stat(line, &st) == 0 && S_ISDIR(st.st_mode) && used + strlen(line) + 2 < capacity)
            snprintf(path + used, capacity - used, ":%s", line);
    }
    if (f)
        pclose(f);
    free(command);
    free(probe);
}

char *find_dials(const char *folder)
{
    static const char *const places[] = {"", "/bin", "/build/bin"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = NULL, *program = NULL;
        if (asprintf(&path, "%s%s", folder, places[i]) < 0)
            return NULL;
        bool found = asprintf(&program, "%s/dials.import", path) >= 0 && access(program, X_OK) == 0;
        free(program);
        if (found)
            return resolved(path);
        free(path);
    }
    return NULL;
}

/* Is 'folder' one of the entries of 'list'? */
static bool lists(const char *list, const char *folder)
{
    const size_t n = strlen(folder);
    for (const char *p = list; *p; p += *p == ':') {
        size_t length = strcspn(p, ":");
        if (length == n && memcmp(p, folder, n) == 0)
            return true;
        p += length;
    }
    return false;
}

/* LIST:FOLDER, without empty entries: an empty one would be the current folder. */
static bool append(const char *name, const char *folder)
{
    const char *list = getenv(name);
    char *value = NULL;
    if (!list || !*list)
        return setenv(name, folder, 1) == 0;
    if (lists(list, folder))
        return true;
    const bool colon = list[strlen(list) - 1] == ':';
    if (asprintf(&value, "%s%s%s", list, colon ? "" : ":", folder) < 0)
        return false;
    bool ok = setenv(name, value, 1) == 0;
    free(value);
    return ok;
}

/* FOLDER:LIST */
static bool prepend(const char *name, const char *folder)
{
    const char *list = getenv(name);
    char *value = NULL;
    if (!list || !*list)
        return setenv(name, folder, 1) == 0;
    if (asprintf(&value, "%s:%s", folder, list) < 0)
        return false;
    bool ok = setenv(name, value, 1) == 0;
    free(value);
    return ok;
}

/* DIALS_USE_GZIP_REFL, DIALS_USE_H5, DIALS_USE_PICKLE and their like change what every program
 * writes, and the next one of a recipe may not expect it. */
static bool drop_dials_switches(void)
{
    extern char **environ;
    static const char prefix[] = "DIALS_USE_";
    for (char **entry = environ; *entry;) {
        char name[128];
        const size_t n = strcspn(*entry, "=");
        if (strncmp(*entry, prefix, sizeof prefix - 1) != 0 || n >= sizeof name) {
            entry++;
            continue;
        }
        memcpy(name, *entry, n);
        name[n] = '\0';
        if (unsetenv(name) != 0)
            return false;
        entry = environ; /* it has moved */
    }
    return true;
}

static bool set_plugin_path(void)
{
    char *plugins = plugin_folder();
    const char *given = getenv("HDF5_PLUGIN_PATH");
    bool ok = plugins != NULL;
    if (ok && given && *given) {
        ok = append("HDF5_PLUGIN_PATH", plugins);
    } else if (ok) {
        char path[8192];
        snprintf(path, sizeof path, "%s", plugins);
        add_default_plugins(path, sizeof path);
        ok = setenv("HDF5_PLUGIN_PATH", path, 1) == 0;
    }
    free(plugins);
    return ok;
}

char **command_environment(const char *dials)
{
    extern char **environ;
    const char *path = getenv("PATH");
    char *front = NULL, *format = shared_file("dxtbx");
    bool ok = format != NULL;
    if (ok && dials) {
        ok = asprintf(&front, "%s:%s", dials, path ? path : "/usr/local/bin:/usr/bin:/bin") >= 0 &&
             setenv("PATH", front, 1) == 0;
        if (ok)
            free(front);
    }
    ok = ok && append("PATH", own_folder()) && prepend("PYTHONPATH", format) && set_plugin_path() &&
         drop_dials_switches() && setenv("EMDTOOLS_FORMAT", "1", 1) == 0 &&
         setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1) == 0 && setenv("OMP_NUM_THREADS", "1", 0) == 0;
    free(format);
    return ok ? environ : NULL;
}
