/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See info.h. One visit of the file collects the names; details follow, dataset by dataset, so that
 * damage in one place costs only what it is about. */
#include "velox/info.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "hdf5/chunks.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "hdf5/visit.h"
#include "velox/layout.h"
#include "velox/readtext.h"
#include "velox/stack.h"

/* A JSON document, a metadata column: real ones have 60000 bytes. */
#define TEXT_MAX ((size_t)16 << 20)
/* Bounds of what is listed: a file with more is no movie. */
enum { STACKS_MAX = 1000, OPERATIONS_MAX = 1000, PROBLEMS_MAX = 100 };
/* Frames whose metadata are read. */
enum { FRAMES_MAX = 1000000 };
#define CHUNK_LIST_BYTES ((size_t)64 << 20)

struct names {
    char **path;
    size_t count, limit;
    bool failed;
};

struct gather {
    struct emd_info *info;
    struct names stacks, operations;
};

static void __attribute__((format(printf, 2, 3)))
add_problem(struct emd_info *info, const char *format, ...)
{
    char text[512], *copy;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char **more = info->problem_count < PROBLEMS_MAX
                      ? realloc(info->problem, (info->problem_count + 1) * sizeof *more)
                      : NULL;
    if (!more)
        return;
    info->problem = more;
    if ((copy = strdup(text)))
        info->problem[info->problem_count++] = copy;
}

static void add_name(struct names *names, const char *path)
{
    char **more = names->count < names->limit
                      ? realloc(names->path, (names->count + 1) * sizeof *more)
                      : NULL;
    if (!more) {
        names->failed = true;
        return;
    }
    names->path = more;
    const size_t n = strlen(path);
    if ((more[names->count] = malloc(n + 2))) {
        more[names->count][0] = '/';
        memcpy(more[names->count++] + 1, path, n + 1);
    }
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->path[i]);
    free(names->path);
}

/* --- small documents --------------------------------------------------------------------------*/

/* One of the names under which emdrepack leaves a JSON string on the root group. */
static bool read_provenance_at(hid_t file, const char *name, struct emd_info *info)
{
    bool found = false;
    hid_t attribute =
        H5Aexists(file, name) > 0 ? H5Aopen(file, name, H5P_DEFAULT) : H5I_INVALID_HID;
    hid_t type = attribute >= 0 ? H5Aget_type(attribute) : H5I_INVALID_HID;
    const size_t size = type >= 0 && H5Tget_class(type) == H5T_STRING &&
                                H5Tis_variable_str(type) == 0 &&
                                H5Aget_storage_size(attribute) == H5Tget_size(type)
                            ? H5Tget_size(type)
                            : 0;
    char *text = size > 0 && size <= TEXT_MAX ? calloc(1, size + 1) : NULL;
    if (text && H5Aread(attribute, type, text) >= 0) {
        char version[32], codec[32];
        emd_velox_string_parse(text, size, "version", version, sizeof version);
        emd_velox_string_parse(text, size, "codec", codec, sizeof codec);
        found = *version && *codec; /* else it is what a user calls by that name */
        if (found)
            snprintf(info->codec, sizeof info->codec, "emdrepack %s, codec %s", version, codec);
    }
    free(text);
    emd_hdf5_close(&type);
    emd_hdf5_close(&attribute);
    return found;
}

/* Who repacked the file. */
static void read_provenance(hid_t file, struct emd_info *info)
{
    if (!read_provenance_at(file, "emdrepack", info)) /* or there is a user's by that name */
        read_provenance_at(file, "emdrepack.provenance", info);
}

/* --- the visit --------------------------------------------------------------------------------*/

static enum emd_status visit_dataset(void *ctx, hid_t id, const char *path, struct emd_error *err)
{
    struct gather *g = ctx;
    const char *name = path + 1;
    (void)id;
    (void)err;
    if (!g->info->is_velox || emd_velox_is_images(name))
        add_name(&g->stacks, name);
    else if (strncmp(name, "Operations/", 11) == 0 && strchr(name + 11, '/'))
        add_name(&g->operations, name);
    return EMD_OK;
}

static void on_broken(void *ctx, const char *path, const struct emd_error *error)
{
    const struct gather *g = ctx;
    add_problem(g->info, "%s: %s", path, error->text);
}

/* --- storage ----------------------------------------------------------------------------------*/

static void name_filters(hid_t dcpl, struct emd_info_stack *s)
{
    const int count = H5Pget_nfilters(dcpl);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        char name[64] = "", parameter[24] = "";
        unsigned flags, cd[8] = {0};
        size_t cd_count = 8;
        const H5Z_filter_t id =
            H5Pget_filter2(dcpl, (unsigned)i, &flags, &cd_count, cd, sizeof name - 1, name, NULL);
        const struct emd_codec *codec = id >= 0 ? emd_codec_by_id((unsigned)id) : NULL;
        if (id == EMD_FILTER_DEFLATE && cd_count > 0)
            snprintf(parameter, sizeof parameter, " %u", cd[0]);
        else if (!codec)
            snprintf(parameter, sizeof parameter, " (%d)", (int)id);
        for (char *p = name; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                *p = '?';
        const int n =
            snprintf(s->filters + used, sizeof s->filters - used, "%s%s%s", used ? ", " : "",
                     codec   ? codec->name
                     : *name ? name
                             : "filter",
                     parameter);
        if (n < 0 || (size_t)n >= sizeof s->filters - used)
            break;
        used += (size_t)n;
    }
}

static void count_chunks(hid_t dataset, struct emd_info *info, struct emd_info_stack *s)
{
    struct emd_chunk_list list;
    struct emd_error err;
    const enum emd_status status =
        emd_chunk_list_get(dataset, NULL, EMD_CHUNKS_BY_INDEX, CHUNK_LIST_BYTES, &list, &err);
    if (status == EMD_E_BUDGET)
        return; /* too many to list: not worth a word */
    if (status != EMD_OK) {
        add_problem(info, "%s: %s", s->path, err.text);
        return;
    }
    s->chunks = list.grid.total;
    s->chunks_stored = list.count;
    s->stored_bytes = 0;
    for (size_t i = 0; i < list.count; i++)
        s->stored_bytes += list.chunk[i].bytes;
    emd_chunk_list_free(&list);
    if (s->chunks_stored < s->chunks)
        add_problem(info, "%s: %llu of %llu chunks were never written", s->path,
                    (unsigned long long)(s->chunks - s->chunks_stored),
                    (unsigned long long)s->chunks);
}

static void read_storage(const struct emd_stack *stack, struct emd_info *info,
                         struct emd_info_stack *s)
{
    static const char *const layouts[] = {"compact", "contiguous", "chunked", "virtual"};
    struct emd_error err;
    hid_t dcpl = H5Dget_create_plist(stack->dataset), type = H5Dget_type(stack->dataset);
    const H5D_layout_t layout = dcpl >= 0 ? H5Pget_layout(dcpl) : H5D_LAYOUT_ERROR;
    const size_t item = type >= 0 ? H5Tget_size(type) : 0;
    s->layout = layout >= 0 && layout < 4 ? layouts[layout] : "unknown";
    s->rank = stack->rank;
    memcpy(s->dims, stack->dims, sizeof s->dims);
    s->raw_bytes = (uint64_t)stack->height * stack->width;
    if (__builtin_mul_overflow(s->raw_bytes, stack->frames, &s->raw_bytes) ||
        __builtin_mul_overflow(s->raw_bytes, item, &s->raw_bytes))
        s->raw_bytes = 0;
    s->readable = stack->kind != EMD_STACK_NONE;
    if (layout == H5D_CHUNKED) {
        H5Pget_chunk(dcpl, EMD_RANK_MAX, s->chunk);
        name_filters(dcpl, s);
        if (emd_filters_available(dcpl, &err) != EMD_OK) {
            s->readable = false;
            add_problem(info, "%s: %s", s->path, err.text);
        }
        count_chunks(stack->dataset, info, s);
    } else {
        s->stored_bytes = H5Dget_storage_size(stack->dataset);
    }
    emd_hdf5_close(&type);
    emd_hdf5_close(&dcpl);
}

/* --- metadata ---------------------------------------------------------------------------------*/

struct columns {
    hid_t data, space, memory;
    size_t rows, count;
    char *text; /* [rows + 1], the last one read */
};

static void close_columns(struct columns *c)
{
    emd_hdf5_close(&c->memory);
    emd_hdf5_close(&c->space);
    emd_hdf5_close(&c->data);
    free(c->text);
    c->text = NULL;
}

/* Opens the dataset Metadata beside a stack. EMD_E_EMPTY: there is none. */
static enum emd_status open_columns(hid_t file, const char *stack_path, struct columns *c,
                                    struct emd_error *err)
{
    const size_t n = strlen(stack_path);
    hsize_t dims[EMD_RANK_MAX] = {0};
    *c = (struct columns){H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID, 0, 0, NULL};
    char *path = malloc(n + sizeof "Metadata");
    if (!path)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    memcpy(path, stack_path, n + 1);
    char *slash = strrchr(path, '/');
    strcpy(slash ? slash + 1 : path, "Metadata");
    const bool exists = H5Lexists(file, path, H5P_DEFAULT) > 0;
    hid_t access = exists ? H5Pcreate(H5P_DATASET_ACCESS) : H5I_INVALID_HID;
    /* Columns may share a compressed chunk: keep it decoded from one column to the next. */
    if (access >= 0 && H5Pset_chunk_cache(access, 521, TEXT_MAX, 1) >= 0)
        c->data = H5Dopen2(file, path, access);
    emd_hdf5_close(&access);
    free(path);
    if (c->data < 0)
        return emd_fail(err, EMD_E_EMPTY, "no metadata");
    hid_t type = H5Dget_type(c->data);
    c->space = H5Dget_space(c->data);
    const bool right = type >= 0 && c->space >= 0 && H5Tget_class(type) == H5T_INTEGER &&
                       H5Tget_size(type) == 1 && H5Sget_simple_extent_ndims(c->space) == 2 &&
                       H5Sget_simple_extent_dims(c->space, dims, NULL) == 2;
    emd_hdf5_close(&type);
    if (!right || dims[0] == 0 || dims[0] > TEXT_MAX) {
        close_columns(c);
        return emd_fail(err, EMD_E_CORRUPT, "the metadata have an unknown shape");
    }
    c->rows = (size_t)dims[0];
    c->count = (size_t)dims[1];
    dims[1] = 1;
    c->memory = H5Screate_simple(2, dims, NULL); /* another rank would cost ten times as much */
    c->text = calloc(1, c->rows + 1);
    if (c->memory < 0 || !c->text) {
        close_columns(c);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    return EMD_OK;
}

static enum emd_status read_column(struct columns *c, size_t frame, struct emd_error *err)
{
    const hsize_t start[2] = {0, frame}, count[2] = {c->rows, 1};
    if (frame >= c->count)
        return emd_fail(err, EMD_E_EMPTY, "no metadata for image %zu", frame + 1);
    if (H5Sselect_hyperslab(c->space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(c->data, H5T_NATIVE_UINT8, c->memory, c->space, H5P_DEFAULT, c->text) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the metadata of image %zu",
                             frame + 1);
    return EMD_OK;
}

enum emd_status emd_info_document(hid_t file, const char *stack_path, size_t frame, char **text,
                                  size_t *n, struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct columns c;
    enum emd_status status = open_columns(file, stack_path, &c, err);
    *text = NULL;
    if (status == EMD_OK && c.text) {
        status = read_column(&c, frame, err);
        *n = strlen(c.text);
        if (status == EMD_OK && *n == 0)
            status = emd_fail(err, EMD_E_EMPTY, "no metadata for image %zu", frame + 1);
        if (status == EMD_OK) {
            *text = c.text;
            c.text = NULL;
        }
        close_columns(&c);
    }
    emd_hdf5_quiet_end(&quiet);
    return status;
}

static enum emd_status read_metadata(hid_t file, struct emd_info *info, struct emd_info_stack *s,
                                     struct emd_error *err)
{
    const size_t frames = s->frames < FRAMES_MAX ? s->frames : FRAMES_MAX;
    struct columns c;
    struct emd_error why;
    size_t unreadable = 0, first_unreadable = 0;
    double *tilt = malloc((frames + 1) * sizeof *tilt);
    s->frame = malloc((frames + 1) * sizeof *s->frame);
    if (!tilt || !s->frame) {
        free(tilt);
        return emd_fail(err, EMD_E_MEMORY, "no memory for the metadata");
    }
    s->frame_count = frames;
    for (size_t i = 0; i < frames; i++)
        s->frame[i] = (struct emd_info_frame){NAN, 0};
    const enum emd_status opened = open_columns(file, s->path, &c, &why);
    if (opened == EMD_OK && c.text) {
        s->columns = c.count;
        if (s->columns != s->frames)
            add_problem(info, "%s: %zu images, but metadata of %zu", s->path, s->frames,
                        s->columns);
        for (size_t i = 0; i < frames && i < c.count; i++) {
            struct emd_velox_metadata m;
            enum emd_status status = read_column(&c, i, &why);
            if (status == EMD_OK)
                status = emd_velox_metadata_parse(c.text, c.rows, &m, &why);
            if (status != EMD_OK) {
                if (unreadable++ == 0)
                    first_unreadable = i + 1;
                continue;
            }
            if (s->documents++ == 0)
                s->first = m;
            s->frame[i] = (struct emd_info_frame){m.alpha, m.time};
        }
        close_columns(&c);
    } else {
        add_problem(info, "%s: %s", s->path, why.text);
    }
    if (unreadable > 0)
        add_problem(info, "%s: metadata of %zu images cannot be read, image %zu the first: %s",
                    s->path, unreadable, first_unreadable, why.text);
    for (size_t i = 0; i < frames; i++)
        tilt[i] = s->frame[i].alpha;
    const enum emd_status status = emd_tilt_fit(tilt, frames, &s->tilt, err);
    s->binning =
        isfinite(s->first.binning) ? s->first.binning : s->first.unbinned[0] / (double)s->width;
    free(tilt);
    return status;
}

/* The cameras of the operations that made the stacks. */
static void name_cameras(const struct emd_source *source, const struct names *operations,
                         struct emd_info *info)
{
    for (size_t i = 0; i < operations->count; i++) {
        char camera[48], path[160], *text;
        size_t n;
        if (emd_read_text(source, operations->path[i], &text, &n, NULL) != EMD_OK)
            continue;
        emd_velox_string_parse(text, n, "cameraName", camera, sizeof camera);
        emd_velox_string_parse(text, n, "dataPath", path, sizeof path);
        free(text);
        const size_t length = strlen(path);
        for (size_t k = 0; k < info->stack_count && length > 0 && *camera; k++)
            if (strncmp(info->stack[k].path, path, length) == 0 &&
                info->stack[k].path[length] == '/')
                memcpy(info->stack[k].camera, camera, sizeof camera);
    }
}

/* --- all --------------------------------------------------------------------------------------*/

static enum emd_status add_stack(hid_t file, const char *path, struct emd_info *info,
                                 struct emd_error *err)
{
    struct emd_stack stack;
    struct emd_error why;
    enum emd_status status = emd_stack_open(file, path, info->is_velox, &stack, &why);
    if (status == EMD_E_UNSUPPORTED)
        return EMD_OK;
    if (status != EMD_OK) {
        add_problem(info, "%s: %s", path, why.text);
        return EMD_OK;
    }
    if (stack.kind == EMD_STACK_NONE && !info->is_velox) {
        emd_stack_close(&stack);
        return EMD_OK;
    }
    struct emd_info_stack *s = &info->stack[info->stack_count];
    *s = (struct emd_info_stack){.height = stack.height,
                                 .width = stack.width,
                                 .frames = stack.frames,
                                 .binning = NAN,
                                 .tilt = {.start = NAN, .step = NAN, .end = NAN}};
    emd_velox_metadata_clear(&s->first);
    memcpy(s->type, stack.type, sizeof s->type);
    s->path = strdup(path);
    status = s->path ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    info->stack_count++;
    if (status == EMD_OK) {
        read_storage(&stack, info, s);
        if (s->frames == 0)
            add_problem(info, "%s: no images", path);
        if (info->is_velox)
            status = read_metadata(file, info, s, err);
    }
    emd_stack_close(&stack);
    return status;
}

static int compare_stacks(const void *a, const void *b)
{
    const struct emd_info_stack *p = a, *q = b;
    if (p->raw_bytes != q->raw_bytes)
        return p->raw_bytes < q->raw_bytes ? 1 : -1;
    return strcmp(p->path, q->path);
}

static enum emd_status gather(const struct emd_source *source, struct gather *g,
                              struct emd_error *err)
{
    struct emd_info *info = g->info;
    struct emd_error why;
    const hid_t file = source->file;
    char *text;
    size_t n;
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status != EMD_OK)
        return status;
    status = emd_read_text(source, "/Version", &text, &n, &why);
    if (status == EMD_OK) {
        info->is_velox = emd_velox_version_parse(text, n, info->version, &why) == EMD_OK;
        free(text);
    } else if (status != EMD_E_EMPTY && status != EMD_E_UNSUPPORTED) {
        add_problem(info, "/Version: %s", why.text);
    }
    if (info->is_velox && emd_read_text(source, "/Info", &text, &n, NULL) == EMD_OK) {
        emd_velox_string_parse(text, n, "applicationVersion", info->application,
                               sizeof info->application);
        free(text);
    }
    status = EMD_OK;
    read_provenance(file, info);
    if (emd_visit_datasets(file, visit_dataset, on_broken, g, NULL) != EMD_OK)
        add_problem(info, "the tree of objects is damaged");
    if (g->stacks.failed)
        add_problem(info, "more than %d images: not all are listed", STACKS_MAX);
    info->stack = calloc(g->stacks.count + 1, sizeof *info->stack);
    if (!info->stack)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < g->stacks.count && status == EMD_OK; i++)
        status = add_stack(file, g->stacks.path[i], info, err);
    if (status != EMD_OK)
        return status;
    qsort(info->stack, info->stack_count, sizeof *info->stack, compare_stacks);
    name_cameras(source, &g->operations, info);
    if (info->stack_count == 0)
        add_problem(info, "no images");
    return EMD_OK;
}

enum emd_status emd_info_read(const char *path, struct emd_info *info, struct emd_error *err)
{
    struct emd_source *source = NULL;
    struct gather g = {
        .info = info, .stacks = {.limit = STACKS_MAX}, .operations = {.limit = OPERATIONS_MAX}};
    *info = (struct emd_info){.path = strdup(path)};
    if (!info->path)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = emd_source_open(path, &source, err);
    if (status == EMD_OK) {
        info->file_bytes = (uint64_t)source->id.size;
        status = gather(source, &g, err);
    }
    emd_source_close(source);
    emd_hdf5_quiet_end(&quiet);
    free_names(&g.stacks);
    free_names(&g.operations);
    if (status != EMD_OK)
        emd_info_free(info);
    return status;
}

void emd_info_free(struct emd_info *info)
{
    for (size_t i = 0; i < info->stack_count; i++) {
        free(info->stack[i].path);
        free(info->stack[i].frame);
    }
    for (size_t i = 0; i < info->problem_count; i++)
        free(info->problem[i]);
    free(info->stack);
    free(info->problem);
    free(info->path);
    *info = (struct emd_info){.path = NULL};
}
