/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See expt.h. A selection builds a new root object beside the old one: new lists of models, whose
 * entries are the old ones by reference or cut copies. */
#include "dials/expt.h"

#include <stdlib.h>
#include <string.h>

#include "dials/jsondoc.h"
#include "dials/scanslice.h"

/* The keys of an experiment that are indices into the list of the same name. */
static const char *const kinds[] = {"beam",    "detector", "goniometer",    "scan",
                                    "crystal", "profile",  "scaling_model", "imageset"};
enum { KINDS = sizeof kinds / sizeof *kinds, SCAN = 3, IMAGESET = 7 };

struct emd_expt {
    struct emd_jsondoc doc;
    struct json_object *experiments; /* within doc */
    size_t count;
    struct emd_expt_info *info;
    long (*model)[KINDS]; /* of each experiment; -1: none */
};

void emd_expt_free(struct emd_expt *expt)
{
    if (!expt)
        return;
    emd_jsondoc_release(&expt->doc);
    free(expt->info);
    free(expt->model);
    free(expt);
}

static struct json_object *model_list(const struct emd_expt *expt, size_t kind)
{
    return emd_json_member(expt->doc.root, kinds[kind], json_type_array);
}

static enum emd_status read_experiment(struct emd_expt *expt, size_t index, struct emd_error *err)
{
    struct json_object *experiment = json_object_array_get_idx(expt->experiments, index), *value;
    struct emd_expt_info *info = &expt->info[index];
    if (!json_object_is_type(experiment, json_type_object))
        return emd_fail(err, EMD_E_CORRUPT, "experiment %zu is no JSON object", index);
    value = emd_json_member(experiment, "identifier", json_type_string);
    info->identifier = value ? json_object_get_string(value) : "";
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct json_object *list = model_list(expt, kind);
        int64_t models = list ? (int64_t)json_object_array_length(list) : 0;
        expt->model[index][kind] = -1;
        if (!json_object_object_get_ex(experiment, kinds[kind], &value) || value == NULL)
            continue;
        if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
            json_object_get_int64(value) >= models)
            return emd_fail(err, EMD_E_CORRUPT, "experiment %zu has %s %s of %lld", index,
                            kinds[kind], json_object_get_string(value), (long long)models);
        expt->model[index][kind] = (long)json_object_get_int64(value);
    }
    long scan = expt->model[index][SCAN];
    info->has_scan = scan >= 0;
    if (info->has_scan) {
        value = json_object_array_get_idx(model_list(expt, SCAN), (size_t)scan);
        if (!json_object_is_type(value, json_type_object))
            return emd_fail(err, EMD_E_CORRUPT, "scan %ld is no JSON object", scan);
        enum emd_status status = emd_scan_read(value, &info->scan, err);
        if (status != EMD_OK)
            return emd_fail_prefix(err, status, "experiment %zu", index);
    }
    return EMD_OK;
}

/* Numbers the image sets by first use. */
static enum emd_status number_imagesets(struct emd_expt *expt, struct emd_error *err)
{
    struct json_object *list = model_list(expt, IMAGESET);
    size_t models = list ? json_object_array_length(list) : 0;
    int *number = malloc((models + 1) * sizeof *number);
    size_t *users = calloc(models + 1, sizeof *users);
    int next = 0;
    if (!number || !users) {
        free(number);
        free(users);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < models; i++)
        number[i] = -1;
    for (size_t i = 0; i < expt->count; i++) {
        long model = expt->model[i][IMAGESET];
        expt->info[i].imageset = -1;
        if (model < 0)
            continue;
        if (number[model] < 0)
            number[model] = next++;
        expt->info[i].imageset = number[model];
        users[model]++;
    }
    for (size_t i = 0; i < expt->count; i++) {
        long model = expt->model[i][IMAGESET];
        expt->info[i].sole = model < 0 ? expt->count == 1 : users[model] == 1;
    }
    free(number);
    free(users);
    return EMD_OK;
}

/* Fills everything behind 'doc', whose root is taken over. */
static enum emd_status build(struct emd_expt *expt, struct emd_error *err)
{
    struct json_object *id = emd_json_member(expt->doc.root, "__id__", json_type_string);
    expt->experiments = emd_json_member(expt->doc.root, "experiment", json_type_array);
    if (!expt->experiments || !id || strcmp(json_object_get_string(id), "ExperimentList") != 0)
        return emd_fail(err, EMD_E_FORMAT, "not a DIALS experiment list");
    expt->count = json_object_array_length(expt->experiments);
    expt->info = calloc(expt->count + 1, sizeof *expt->info);
    expt->model = calloc(expt->count + 1, sizeof *expt->model);
    if (!expt->info || !expt->model)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < expt->count; i++) {
        enum emd_status status = read_experiment(expt, i, err);
        if (status != EMD_OK)
            return status;
    }
    return number_imagesets(expt, err);
}

static enum emd_status finish(struct emd_expt *expt, enum emd_status status, struct emd_expt **out,
                              struct emd_error *err)
{
    if (status == EMD_OK)
        status = build(expt, err);
    if (status != EMD_OK) {
        emd_expt_free(expt);
        return status;
    }
    *out = expt;
    return EMD_OK;
}

enum emd_status emd_expt_read(const char *path, struct emd_expt **out, struct emd_error *err)
{
    struct emd_expt *expt = calloc(1, sizeof *expt);
    *out = NULL;
    if (!expt)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    return finish(expt, emd_jsondoc_read(path, &expt->doc, err), out, err);
}

enum emd_status emd_expt_parse(const char *text, size_t length, struct emd_expt **out,
                               struct emd_error *err)
{
    struct emd_expt *expt = calloc(1, sizeof *expt);
    *out = NULL;
    if (!expt)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    return finish(expt, emd_jsondoc_parse(text, length, &expt->doc, err), out, err);
}

size_t emd_expt_count(const struct emd_expt *expt)
{
    return expt->count;
}

const struct emd_expt_info *emd_expt_info(const struct emd_expt *expt, size_t index)
{
    return &expt->info[index];
}

enum emd_status emd_expt_text(const struct emd_expt *expt, char **text, size_t *length,
                              struct emd_error *err)
{
    return emd_jsondoc_text(&expt->doc, text, length, err);
}

/* --- selection --------------------------------------------------------------------------------*/

/* A model of the result: model 'index' of its kind, cut to images first..last of a scan (of
 * scan_first..scan_last), or whole (first > last). */
struct use {
    long index, first, last, scan_first, scan_last;
    struct json_object *model; /* a reference of ours */
    size_t order;              /* of the first slice that needs it */
    long number;               /* in the result */
};

struct selection {
    const struct emd_expt *expt;
    const struct emd_expt_slice *slices;
    size_t count;
    struct use *uses[KINDS];
    size_t used[KINDS];
    size_t (*use_of)[KINDS]; /* of each slice; SIZE_MAX: none */
};

static bool whole(const struct selection *s, size_t i)
{
    const struct emd_scan *scan = &s->expt->info[s->slices[i].index].scan;
    return s->slices[i].first == scan->first && s->slices[i].last == scan->last;
}

/* Old and new identifiers of the experiments that share this cut of this scan. */
static const char **renamed(const struct selection *s, const struct use *use, size_t *pairs)
{
    const char **names = malloc((2 * s->count + 1) * sizeof *names);
    *pairs = 0;
    for (size_t i = 0; names && i < s->count; i++) {
        const struct emd_expt_slice *slice = &s->slices[i];
        if (s->expt->model[slice->index][SCAN] != use->index || slice->first != use->first ||
            slice->last != use->last)
            continue;
        const char *old = s->expt->info[slice->index].identifier;
        names[2 * *pairs] = old;
        names[2 * (*pairs)++ + 1] = slice->identifier ? slice->identifier : old;
    }
    return names;
}

/* The model of kind 'kind' for slice i: one that is there already, or a new one. */
static enum emd_status use_model(struct selection *s, size_t kind, size_t i, struct emd_error *err)
{
    const struct emd_expt_slice *slice = &s->slices[i];
    const struct emd_expt_info *info = &s->expt->info[slice->index];
    struct use want = {.index = s->expt->model[slice->index][kind], .last = -1, .order = i};
    struct json_object *cut = NULL;
    enum emd_status status = EMD_OK;
    s->use_of[i][kind] = SIZE_MAX;
    if (want.index < 0)
        return EMD_OK;
    struct json_object *model =
        json_object_array_get_idx(model_list(s->expt, kind), (size_t)want.index);
    if (!whole(s, i)) {
        want.first = slice->first;
        want.last = slice->last;
        want.scan_first = info->scan.first;
        want.scan_last = info->scan.last;
    }
    /* Models that do not depend on the images are compared below by what they became. */
    for (size_t u = 0; u < s->used[kind]; u++) {
        const struct use *have = &s->uses[kind][u];
        if (have->index == want.index && have->first == want.first && have->last == want.last &&
            have->scan_first == want.scan_first && have->scan_last == want.scan_last) {
            s->use_of[i][kind] = u;
            return EMD_OK;
        }
    }
    if (!whole(s, i)) {
        struct emd_scanslice range = {.first = info->scan.first,
                                      .n = (size_t)(info->scan.last - info->scan.first + 1),
                                      .from = (size_t)(slice->first - info->scan.first),
                                      .to = (size_t)(slice->last - info->scan.first + 1)};
        if (kind == SCAN) {
            size_t pairs;
            const char **names = renamed(s, &want, &pairs);
            if (!names)
                return emd_fail(err, EMD_E_MEMORY, "out of memory");
            status = emd_scanslice_scan(model, &range, names, pairs, &cut, err);
            free(names);
        } else {
            status = emd_scanslice_model(kinds[kind], model, &range, &cut, err);
        }
        if (status != EMD_OK)
            return emd_fail_prefix(err, status, "%s %ld cannot be cut", kinds[kind], want.index);
    }
    if (!cut && want.last >= want.first) {
        want.first = want.scan_first = want.scan_last = 0;
        want.last = -1;
        for (size_t u = 0; u < s->used[kind]; u++) {
            if (s->uses[kind][u].index == want.index && s->uses[kind][u].model == model) {
                s->use_of[i][kind] = u;
                return EMD_OK;
            }
        }
    }
    want.model = cut ? cut : json_object_get(model);
    s->use_of[i][kind] = s->used[kind];
    s->uses[kind][s->used[kind]++] = want;
    return EMD_OK;
}

static int compare_uses(const void *a, const void *b)
{
    const struct use *x = *(struct use *const *)a, *y = *(struct use *const *)b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static enum emd_status append(struct json_object *array, struct json_object *value,
                              struct emd_error *err)
{
    if (json_object_array_add(array, value) != 0) {
        json_object_put(value);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    return EMD_OK;
}

/* The new list of a kind: in the order of the old one, copies of one model together; models that
 * no experiment ever used stay. */
static enum emd_status new_list(struct selection *s, size_t kind, struct json_object **out,
                                struct emd_error *err)
{
    struct json_object *old = model_list(s->expt, kind), *list = json_object_new_array();
    size_t n = json_object_array_length(old), used = s->used[kind], next = 0;
    struct use **sorted = malloc((used + 1) * sizeof *sorted);
    char *was_used = calloc(n + 1, 1);
    enum emd_status status = EMD_OK;
    long number = 0;
    if (!list || !sorted || !was_used) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    for (size_t u = 0; u < used; u++)
        sorted[u] = &s->uses[kind][u];
    qsort(sorted, used, sizeof *sorted, compare_uses);
    for (size_t i = 0; i < s->expt->count; i++)
        if (s->expt->model[i][kind] >= 0)
            was_used[s->expt->model[i][kind]] = 1;
    for (size_t m = 0; m < n && status == EMD_OK; m++) {
        if (!was_used[m]) {
            status = append(list, json_object_get(json_object_array_get_idx(old, m)), err);
            number++;
        }
        for (; next < used && sorted[next]->index == (long)m && status == EMD_OK; next++) {
            sorted[next]->number = number++;
            status = append(list, json_object_get(sorted[next]->model), err);
        }
    }
out:
    free(sorted);
    free(was_used);
    if (status != EMD_OK)
        json_object_put(list);
    else
        *out = list;
    return status;
}

static enum emd_status new_experiment(const struct selection *s, size_t i, struct json_object **out,
                                      struct emd_error *err)
{
    struct json_object *old = json_object_array_get_idx(s->expt->experiments, s->slices[i].index);
    struct json_object *experiment = json_object_new_object();
    if (!experiment)
        goto memory;
    json_object_object_foreach(old, key, value)
    {
        struct json_object *fresh = NULL;
        if (strcmp(key, "identifier") == 0 && s->slices[i].identifier)
            fresh = json_object_new_string(s->slices[i].identifier);
        for (size_t kind = 0; kind < KINDS && !fresh; kind++)
            if (strcmp(key, kinds[kind]) == 0 && s->use_of[i][kind] != SIZE_MAX)
                fresh = json_object_new_int64(s->uses[kind][s->use_of[i][kind]].number);
        if (!fresh)
            fresh = json_object_get(value);
        if (json_object_object_add(experiment, key, fresh) != 0) {
            json_object_put(fresh);
            goto memory;
        }
    }
    *out = experiment;
    return EMD_OK;
memory:
    json_object_put(experiment);
    return emd_fail(err, EMD_E_MEMORY, "out of memory");
}

/* The new root: the members of the old one in their order, some of them replaced. */
static enum emd_status new_root(struct selection *s, struct json_object **out,
                                struct emd_error *err)
{
    struct json_object *root = json_object_new_object(), *list = NULL;
    enum emd_status status = root ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    json_object_object_foreach(s->expt->doc.root, key, value)
    {
        if (status == EMD_OK && json_object_object_add(root, key, json_object_get(value)) != 0) {
            json_object_put(value);
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
    }
    for (size_t kind = 0; kind < KINDS && status == EMD_OK; kind++) {
        if (!model_list(s->expt, kind))
            continue;
        status = new_list(s, kind, &list, err);
        if (status == EMD_OK && json_object_object_add(root, kinds[kind], list) != 0) {
            json_object_put(list);
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
    }
    struct json_object *experiments = json_object_new_array();
    if (status == EMD_OK && !experiments)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t i = 0; i < s->count && status == EMD_OK; i++) {
        struct json_object *experiment = NULL;
        status = new_experiment(s, i, &experiment, err);
        if (status == EMD_OK)
            status = append(experiments, experiment, err);
    }
    if (status == EMD_OK && json_object_object_add(root, "experiment", experiments) == 0) {
        *out = root;
        return EMD_OK;
    }
    json_object_put(experiments);
    json_object_put(root);
    return status != EMD_OK ? status : emd_fail(err, EMD_E_MEMORY, "out of memory");
}

enum emd_status emd_expt_select(struct emd_expt *expt, const struct emd_expt_slice *slices,
                                size_t count, struct emd_error *err)
{
    struct selection s = {.expt = expt, .slices = slices, .count = count};
    struct emd_expt fresh = {.doc = expt->doc};
    enum emd_status status = EMD_OK;
    fresh.doc.root = NULL;
    s.use_of = calloc(count + 1, sizeof *s.use_of);
    if (!s.use_of)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (size_t kind = 0; kind < KINDS && status == EMD_OK; kind++) {
        s.uses[kind] = calloc(count + 1, sizeof **s.uses);
        if (!s.uses[kind])
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count && status == EMD_OK; i++) {
        if (slices[i].index >= expt->count || !expt->info[slices[i].index].has_scan ||
            slices[i].first < expt->info[slices[i].index].scan.first ||
            slices[i].last > expt->info[slices[i].index].scan.last ||
            slices[i].first > slices[i].last)
            status = emd_fail(err, EMD_E_ARGUMENT, "slice %zu is not within its scan", i);
        for (size_t kind = 0; kind < KINDS && status == EMD_OK; kind++)
            status = use_model(&s, kind, i, err);
    }
    if (status == EMD_OK)
        status = new_root(&s, &fresh.doc.root, err);
    if (status == EMD_OK)
        status = build(&fresh, err);
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t u = 0; u < s.used[kind]; u++)
            json_object_put(s.uses[kind][u].model);
        free(s.uses[kind]);
    }
    free(s.use_of);
    struct emd_expt old = status == EMD_OK ? *expt : fresh;
    if (status == EMD_OK)
        *expt = fresh;
    emd_jsondoc_release(&old.doc);
    free(old.info);
    free(old.model);
    return status;
}
