/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See trial.h.
 *
 * A good crystal costs three or four small files (the logs of scale, integrate and symmetry); only
 * where there are no merging statistics are the earlier stages looked at, from the last one back.
 * Where emdprocess did the work, its record (a few kilobytes) is read first.
 */
#include "dials/trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dials/jsonscan.h"
#include "dials/textfile.h"

/* Deeper than any project; a bound for recursion. */
enum { DEPTH_MAX = 64 };

static const struct {
    const char *name, *log;
    const char *output;   /* the file that the stage leaves when it is done */
    const char *farewell; /* how the log's line begins when it is done */
} stages[EMD_STAGES] = {
    [EMD_STAGE_NONE] = {"none", NULL, NULL, NULL},
    [EMD_STAGE_IMPORT] = {"import", "dials.import.log", "imported.expt", "Writing experiments to "},
    [EMD_STAGE_FIND_SPOTS] = {"find_spots", "dials.find_spots.log", "strong.refl", "Saved "},
    [EMD_STAGE_INDEX] = {"index", "dials.index.log", "indexed.expt", "Saving refined reflections "},
    [EMD_STAGE_REFINE] = {"refine", "dials.refine.log", "refined.expt",
                          "Saving refined experiments "},
    [EMD_STAGE_INTEGRATE] = {"integrate", "dials.integrate.log", "integrated.expt",
                             "Saving the experiments to "},
    [EMD_STAGE_SCALE] = {"scale", "dials.scale.log", "scaled.expt", "Saving the scaled "},
    [EMD_STAGE_BLANKS] = {"filter_blanks", "dials.filter_blanks.log", "not_blank.expt", NULL},
    [EMD_STAGE_RESCALE] = {"rescale", "dials.scale.log", "scaled.expt", "Saving the scaled "},
};

const char *emd_stage_name(enum emd_stage stage)
{
    return stages[stage < EMD_STAGES ? stage : EMD_STAGE_NONE].name;
}

bool emd_trial_name_valid(const char *trial)
{
    const char *p = trial;
    for (;;) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        if (p[n] == '\0')
            return true;
        p += n + 1;
    }
}

static bool add_path(struct emd_trial_list *list, size_t *capacity, char *path)
{
    if (list->count == *capacity) {
        size_t larger = *capacity ? *capacity * 2 : 64;
        char **paths = realloc(list->paths, larger * sizeof *paths);
        if (!paths)
            return false;
        list->paths = paths;
        *capacity = larger;
    }
    list->paths[list->count++] = path;
    return true;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", name) < 0)
        return NULL;
    return path;
}

struct search {
    struct emd_trial_list *list;
    size_t capacity;
    char first[256]; /* first component of the trial */
    struct emd_error *err;
};

static bool is_folder(int dirfd, const char *name, unsigned char type, bool follow)
{
    struct stat st;
    if (type == DT_DIR)
        return true;
    if (type != DT_UNKNOWN && !(type == DT_LNK && follow))
        return false;
    return fstatat(dirfd, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static void count_unreadable(struct emd_trial_list *list, const char *path)
{
    if (list->unreadable++ == 0)
        emd_log_copy(path, strlen(path), list->first_unreadable, sizeof list->first_unreadable);
}

/* Takes 'fd'. */
static enum emd_status walk(struct search *search, int fd, const char *path, int depth)
{
    enum emd_status status = EMD_OK;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        count_unreadable(search->list, path);
        return EMD_OK;
    }
    for (struct dirent *entry; status == EMD_OK && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        bool wanted = strcmp(name, search->first) == 0;
        if (!is_folder(fd, name, entry->d_type, wanted) || (!wanted && depth >= DEPTH_MAX))
            continue;
        char *below = join(path, name);
        if (!below || (wanted && !add_path(search->list, &search->capacity, below))) {
            free(below);
            status = emd_fail(search->err, EMD_E_MEMORY, "no memory for the list of crystals");
        } else if (!wanted) {
            int inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (inner >= 0)
                status = walk(search, inner, below, depth + 1);
            else if (errno != ENOENT)
                count_unreadable(search->list, below);
            free(below);
        }
    }
    closedir(dir);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum emd_status emd_trials_find(const char *root, const char *trial, struct emd_trial_list *list,
                                struct emd_error *err)
{
    struct search search = {.list = list, .err = err};
    *list = (struct emd_trial_list){0};
    size_t n = strcspn(trial, "/");
    if (!emd_trial_name_valid(trial) || n >= sizeof search.first)
        return emd_fail(err, EMD_E_ARGUMENT, "'%s' is no name of a trial", trial);
    memcpy(search.first, trial, n);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot open the folder");
    enum emd_status status = walk(&search, fd, "", 0);
    if (status != EMD_OK)
        emd_trial_list_free(list);
    else if (list->count > 1)
        qsort(list->paths, list->count, sizeof *list->paths, compare_paths);
    return status;
}

void emd_trial_list_free(struct emd_trial_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct emd_trial_list){0};
}

/* One reading: the folders, first component first, and a buffer. */
struct reading {
    int first, last; /* equal if the trial has one component; last is -1 if it is not there */
    bool nested;
    bool merged;        /* a set of several crystals, in one folder */
    const char *suffix; /* of nested: the second component if it is the last, else NULL */
    struct emd_textfile file;
    struct emd_trial *out;
    struct emd_error *err;
    bool no_memory;
};

/* "dials.scale.log" of TRIAL/not_blank as it is called where it stands in TRIAL itself:
 * "dials.scale_not_blank.log". False if it cannot stand there. */
static bool suffixed(const struct reading *r, int dirfd, const char *name, char out[static 256])
{
    const char *dot = strrchr(name, '.');
    if (!r->suffix || dirfd != r->last || !dot)
        return false;
    const int n = snprintf(out, 256, "%.*s_%s%s", (int)(dot - name), name, r->suffix, dot);
    return n > 0 && n < 256;
}

static bool load(struct reading *r, int dirfd, const char *name)
{
    struct emd_error err;
    char other[256];
    if (dirfd < 0 || faccessat(dirfd, name, F_OK, 0) != 0) {
        if (!suffixed(r, dirfd, name, other))
            return false;
        dirfd = r->first;
        name = other;
    }
    enum emd_status status = emd_textfile_read(&r->file, dirfd, name, &err);
    if (status == EMD_E_MEMORY)
        r->no_memory = true;
    else if (status != EMD_OK && status != EMD_E_EMPTY && r->out->reason[0] == '\0')
        emd_log_copy(err.text, strlen(err.text), r->out->reason, sizeof r->out->reason);
    return status == EMD_OK;
}

/* In TRIAL, else in its first component. */
static bool load_either(struct reading *r, const char *name)
{
    return load(r, r->last, name) || (r->nested && load(r, r->first, name));
}

static void read_table(struct reading *r, unsigned what)
{
    struct emd_trial *out = r->out;
    if (!load(r, r->last, "dials.scale.log"))
        return;
    emd_log_version(r->file.text, r->file.length, out->version, sizeof out->version);
    enum emd_status status = emd_merge_table_parse(r->file.text, r->file.length, &out->table, NULL);
    r->no_memory |= status == EMD_E_MEMORY;
    if (status != EMD_OK)
        return;
    out->outcome = EMD_OUTCOME_GOOD;
    out->stage = r->nested ? EMD_STAGE_RESCALE : EMD_STAGE_SCALE;
    if ((what & EMD_TRIAL_SHELLS) &&
        (load(r, r->last, "scaled.json") || load(r, r->last, "dials.scale.json")))
        emd_merge_table_refine(&out->table, r->file.text, r->file.length, NULL);
}

static void take_cells(struct reading *r, int dirfd, const char *log)
{
    if (r->out->cells.count == 0 && load(r, dirfd, log))
        r->no_memory |=
            emd_log_cells(r->file.text, r->file.length, &r->out->cells, r->err) != EMD_OK;
}

/* Reads an .expt; its cells where there are none yet. True if it was one. */
static bool take_expt(struct reading *r, int dirfd, const char *name,
                      struct emd_expt_summary *summary)
{
    if (!load(r, dirfd, name))
        return false;
    enum emd_status status = emd_expt_summarise(r->file.text, r->file.length, summary, NULL);
    r->no_memory |= status == EMD_E_MEMORY;
    if (status != EMD_OK)
        return false;
    if (r->out->cells.count == 0) {
        r->out->cells = summary->cells;
    } else {
        free(summary->cells.items);
    }
    summary->cells = (struct emd_cells){0};
    return true;
}

static void read_cells(struct reading *r)
{
    static const char *const logs[] = {"dials.integrate.log", "dials.refine.log",
                                       "dials.index.log"};
    static const char *const expts[] = {"scaled.expt", "integrated.expt", "refined.expt",
                                        "indexed.expt"};
    struct emd_expt_summary summary;
    if (r->merged)
        take_cells(r, r->last, "dials.two_theta_refine.log");
    for (size_t i = 0; i < sizeof logs / sizeof *logs && !r->merged; i++) {
        take_cells(r, r->last, logs[i]);
        if (r->nested)
            take_cells(r, r->first, logs[i]);
    }
    for (size_t i = 0; i < sizeof expts / sizeof *expts && r->out->cells.count == 0; i++)
        if (!(take_expt(r, r->last, expts[i], &summary) && r->out->cells.count > 0) && r->nested)
            take_expt(r, r->first, expts[i], &summary);
    struct emd_cells *cells = &r->out->cells;
    if (r->merged && cells->count > 1) { /* the refined one comes last */
        cells->items[0] = cells->items[cells->count - 1];
        cells->count = 1;
    }
}

static void read_symmetry(struct reading *r, unsigned what)
{
    struct emd_trial *out = r->out;
    if (load_either(r, "dials.symmetry.log")) {
        emd_log_symmetry(r->file.text, r->file.length, out->symmetry, sizeof out->symmetry);
        emd_log_space_group(r->file.text, r->file.length, out->space_group,
                            sizeof out->space_group);
    }
    if ((out->symmetry[0] == '\0' || (what & EMD_TRIAL_COSYM)) && load_either(r, "dials.cosym.log"))
        emd_log_symmetry(r->file.text, r->file.length, out->cosym, sizeof out->cosym);
}

/* "Finding spots in image 1 to 120..."; the text ends with a NUL. */
static bool spotfinder_range(const char *text, size_t length, struct emd_image_range *range)
{
    static const char key[] = "Finding spots in image ", middle[] = " to ";
    const char *line;
    if (!emd_log_line(text, length, key, &line, NULL))
        return false;
    char *rest;
    const char *number = line + sizeof key - 1;
    range->first = strtol(number, &rest, 10);
    if (rest == number || strncmp(rest, middle, sizeof middle - 1) != 0)
        return false;
    number = rest + sizeof middle - 1;
    range->last = strtol(number, &rest, 10);
    /* Far above any movie, and no sum of them overflows. */
    const long limit = 1000000000;
    return rest != number && range->first > -limit && range->first <= range->last &&
           range->last < limit;
}

static void read_frames(struct reading *r)
{
    static const char *const results[] = {"scaled.expt", "integrated.expt", "refined.expt",
                                          "indexed.expt"};
    struct emd_trial *out = r->out;
    struct emd_expt_summary summary;
    if (take_expt(r, r->first, "imported.expt", &summary)) {
        out->images = summary.images;
        out->recorded = summary.range[0];
        memcpy(out->image, summary.image, sizeof out->image);
    } else if (load(r, r->first, "dials.find_spots.log")) {
        struct emd_image_range seen;
        if (spotfinder_range(r->file.text, r->file.length, &seen)) {
            out->recorded = seen;
            out->images = seen.last - seen.first + 1;
        }
    } else if (take_expt(r, r->first, "indexed.expt", &summary) && summary.ranges > 0) {
        /* A trial on another one's spots; several lattices share the images. */
        out->recorded = summary.range[0];
        out->images = summary.range[0].last - summary.range[0].first + 1;
    }
    bool found = false;
    for (size_t i = 0; i < sizeof results / sizeof *results && !found; i++) {
        found = take_expt(r, r->last, results[i], &summary);
        if (!found && i == 0 && r->nested)
            found = take_expt(r, r->first, "not_blank.expt", &summary);
        if (!found && r->nested)
            found = i > 0 && take_expt(r, r->first, results[i], &summary);
    }
    if (found) {
        out->kept = summary.images;
        out->ranges = summary.ranges;
        memcpy(out->range, summary.range, sizeof out->range);
        if (out->image[0] == '\0')
            memcpy(out->image, summary.image, sizeof out->image);
    }
}

static bool exists(const struct reading *r, int dirfd, const char *name)
{
    char other[256];
    if (!name)
        return false;
    return (dirfd >= 0 && faccessat(dirfd, name, F_OK, 0) == 0) ||
           (suffixed(r, dirfd, name, other) && faccessat(r->first, other, F_OK, 0) == 0);
}

/* A result; tables can be compressed (DIALS_USE_GZIP_REFL). */
static bool has_result(const struct reading *r, int dirfd, const char *name)
{
    char packed[64];
    return exists(r, dirfd, name) ||
           (name && snprintf(packed, sizeof packed, "%s.gz", name) < (int)sizeof packed &&
            exists(r, dirfd, packed));
}

static bool found_no_spots(struct reading *r)
{
    const char *line;
    size_t n;
    return load(r, r->first, "dials.find_spots.log") &&
           emd_log_line(r->file.text, r->file.length, "Saved ", &line, &n) && n > 8 &&
           memcmp(line, "Saved 0 ", 8) == 0;
}

static void set_outcome(struct emd_trial *out, enum emd_outcome outcome, const char *text)
{
    out->outcome = outcome;
    emd_log_copy(text, strlen(text), out->reason, sizeof out->reason);
    if (out->reason[0] == '\0')
        snprintf(out->reason, sizeof out->reason, "no reason recorded");
}

/* How far a stage got, by its log and its result in the folder. */
struct progress {
    bool begun, done;
    char failure[200], last_line[120];
};

static struct progress look_at(struct reading *r, int dirfd, enum emd_stage stage)
{
    struct progress p = {0};
    bool result = has_result(r, dirfd, stages[stage].output), farewell = false, failed = false;
    if (load(r, dirfd, stages[stage].log)) {
        const char *text = r->file.text;
        size_t n = r->file.length;
        p.begun = true;
        farewell =
            stages[stage].farewell && emd_log_line(text, n, stages[stage].farewell, NULL, NULL);
        failed = emd_log_failure(text, n, p.failure, sizeof p.failure);
        emd_log_last_line(text, n, p.last_line, sizeof p.last_line);
    } else if (r->file.length == 0 && exists(r, dirfd, stages[stage].log)) {
        p.begun = true;
    }
    p.begun |= result;
    p.done = farewell || (result && !failed);
    return p;
}

/* Without merging statistics: how far did it come, and what stopped it? */
static void judge(struct reading *r)
{
    struct emd_trial *out = r->out;
    const enum emd_stage goal = r->nested ? EMD_STAGE_RESCALE : EMD_STAGE_SCALE;
    struct progress p = {0};
    enum emd_stage stage = goal;
    for (; stage > EMD_STAGE_NONE; stage--) {
        p = look_at(r, stage == EMD_STAGE_RESCALE ? r->last : r->first, stage);
        if (p.begun)
            break;
    }
    out->stage = stage;
    char text[320];
    if (out->reason[0] != '\0') { /* a file that could not be read */
        out->outcome = EMD_OUTCOME_UNFINISHED;
    } else if (stage == EMD_STAGE_NONE) {
        set_outcome(out, EMD_OUTCOME_UNFINISHED, "nothing of DIALS in the folder");
    } else if (!p.done && p.failure[0] != '\0') {
        set_outcome(out, EMD_OUTCOME_FAILED, p.failure);
    } else if ((!p.done || stage == EMD_STAGE_FIND_SPOTS) && stage <= EMD_STAGE_INDEX &&
               found_no_spots(r)) {
        set_outcome(out, EMD_OUTCOME_FAILED, "no spots found");
    } else if (!p.done) {
        snprintf(text, sizeof text, "no result%s%s", p.last_line[0] ? "; the log ends: " : "",
                 p.last_line);
        set_outcome(out, EMD_OUTCOME_UNFINISHED, text);
    } else if (stage == goal) {
        set_outcome(out, EMD_OUTCOME_UNFINISHED, "dials.scale.log has no merging statistics");
    } else {
        snprintf(text, sizeof text, "%s has not run", emd_stage_name(stage + 1));
        set_outcome(out, EMD_OUTCOME_UNFINISHED, text);
    }
}

/* A stage of emdprocess' record. */
struct recorded {
    char name[64], state[16], ending[32], reason[200];
    bool optional;
};

static void read_recorded(struct emd_json *j, struct recorded *stage)
{
    char key[32];
    *stage = (struct recorded){0};
    if (!emd_json_open(j, '{')) {
        emd_json_skip(j);
        return;
    }
    while (emd_json_key(j, key, sizeof key)) {
        if (strcmp(key, "name") == 0) {
            emd_json_string(j, stage->name, sizeof stage->name);
        } else if (strcmp(key, "state") == 0) {
            emd_json_string(j, stage->state, sizeof stage->state);
        } else if (strcmp(key, "reason") == 0) {
            emd_json_string(j, stage->reason, sizeof stage->reason);
        } else if (strcmp(key, "ending") == 0) {
            emd_json_string(j, stage->ending, sizeof stage->ending);
        } else if (strcmp(key, "optional") == 0) {
            stage->optional = emd_json_peek(j) == 't';
            emd_json_skip(j);
        } else {
            emd_json_skip(j);
        }
    }
}

/* "refine" and "refine_static" are refinement; what is none of ours is part of what came before. */
static enum emd_stage stage_of(const char *name, enum emd_stage before)
{
    for (enum emd_stage s = EMD_STAGES - 1; s > EMD_STAGE_NONE; s--)
        if (strncmp(name, stages[s].name, strlen(stages[s].name)) == 0)
            return s;
    return before;
}

/* "geometry": {"warnings": ["distance: the nominal camera length ...", ...]}: the first of them. */
static void read_geometry(struct emd_json *j, struct emd_trial *out)
{
    char key[32];
    while (emd_json_key(j, key, sizeof key)) {
        if (strcmp(key, "warnings") != 0 || !emd_json_open(j, '[')) {
            emd_json_skip(j);
            continue;
        }
        while (emd_json_item(j)) {
            char text[sizeof out->warning] = "";
            emd_json_string(j, text, sizeof text);
            if (out->warning[0] == '\0')
                emd_log_copy(text, strlen(text), out->warning, sizeof out->warning);
        }
    }
}

/* emdprocess says more than what lies in the folder: which stage failed and why, even where results
 * of an earlier run still lie there. True if it did not come to the merging statistics. */
static bool read_record(struct reading *r)
{
    const enum emd_stage goal = r->nested ? EMD_STAGE_RESCALE : EMD_STAGE_SCALE;
    struct emd_trial *out = r->out;
    enum emd_stage stage = EMD_STAGE_IMPORT;
    struct recorded found = {0};
    struct emd_json j;
    char key[32];
    bool stopped = false, scaled = false;
    if (!load(r, r->first, "emdprocess.json"))
        return false;
    emd_json_init(&j, r->file.text, r->file.length);
    if (!emd_json_open(&j, '{'))
        return false;
    while (emd_json_key(&j, key, sizeof key)) {
        if (strcmp(key, "geometry") == 0 && emd_json_open(&j, '{')) {
            read_geometry(&j, out);
            continue;
        }
        if (stopped || strcmp(key, "stages") != 0 || !emd_json_open(&j, '[')) {
            emd_json_skip(&j);
            continue;
        }
        while (emd_json_item(&j)) {
            if (stopped || scaled) {
                emd_json_skip(&j);
                continue;
            }
            read_recorded(&j, &found);
            stage = r->merged ? EMD_STAGE_SCALE : stage_of(found.name, stage);
            /* What comes behind the statistics of a merged set is exported from it. */
            scaled =
                r->merged && strcmp(found.name, "scale") == 0 && strcmp(found.state, "done") == 0;
            stopped = stage <= goal && !found.optional &&
                      (strcmp(found.state, "failed") == 0 || strcmp(found.state, "running") == 0 ||
                       strcmp(found.state, "stopped") == 0);
        }
    }
    if (!stopped)
        return false;
    /* A movie that is still being written, or was left so: emdprocess did not start, and will look
     * at it again. */
    const bool incomplete = strcmp(found.ending, "incomplete") == 0;
    const bool failed = found.state[0] == 'f' && !incomplete;
    const bool other = strcmp(found.name, stages[stage].name) != 0;
    char text[320];
    out->stage = stage;
    out->not_ready = incomplete;
    emd_failure_reason(found.reason);
    if (failed && stage <= EMD_STAGE_INDEX && found_no_spots(r))
        snprintf(text, sizeof text, "no spots found");
    else if (incomplete)
        snprintf(text, sizeof text, "%s%s",
                 strncmp(found.reason, "incomplete", 10) == 0 ? "" : "incomplete: ", found.reason);
    else
        snprintf(text, sizeof text, "%s%s%s", other ? found.name : "", other ? ": " : "",
                 failed                  ? found.reason
                 : found.state[0] == 'r' ? "running or interrupted"
                                         : "stopped on request");
    set_outcome(out, failed ? EMD_OUTCOME_FAILED : EMD_OUTCOME_UNFINISHED, text);
    return true;
}

static void read_version(struct reading *r)
{
    struct emd_trial *out = r->out;
    for (enum emd_stage s = EMD_STAGE_SCALE; s > EMD_STAGE_NONE && out->version[0] == '\0'; s--)
        if (load(r, r->first, stages[s].log))
            emd_log_version(r->file.text, r->file.length, out->version, sizeof out->version);
}

static bool is_merged(const char *trial)
{
    return strncmp(trial, EMD_TRIAL_MERGED "/", sizeof EMD_TRIAL_MERGED) == 0;
}

/* The first component's folder itself, and what is below it. */
static bool open_folders(struct reading *r, int rootfd, const char *path, const char *trial)
{
    const char *rest = trial + strcspn(trial, "/");
    r->merged = is_merged(trial);
    r->nested = *rest == '/' && !r->merged;
    r->first = openat(rootfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->first < 0) {
        char text[64];
        snprintf(text, sizeof text, "cannot open the folder: %s", strerror(errno));
        set_outcome(r->out, EMD_OUTCOME_UNFINISHED, text);
        return false;
    }
    if (r->merged) {
        const int set = openat(r->first, rest + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const int error = errno;
        close(r->first);
        r->first = r->last = set;
        if (set < 0) {
            char text[64];
            snprintf(text, sizeof text, "cannot open the folder: %s", strerror(error));
            set_outcome(r->out, EMD_OUTCOME_UNFINISHED, text);
        }
        return set >= 0;
    }
    r->last = r->nested ? openat(r->first, rest + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : r->first;
    r->suffix = r->nested && !strchr(rest + 1, '/') ? rest + 1 : NULL;
    return true;
}

enum emd_status emd_trial_read(int rootfd, const char *path, const char *trial, unsigned what,
                               struct emd_trial *out, struct emd_error *err)
{
    struct reading r = {.first = -1, .last = -1, .out = out, .err = err};
    *out = (struct emd_trial){.outcome = EMD_OUTCOME_UNFINISHED};
    if (!is_merged(trial))
        out->path = strdup(path);
    else if (asprintf(&out->path, "%s/%s", path, trial + sizeof EMD_TRIAL_MERGED) < 0)
        out->path = NULL;
    r.no_memory = !out->path;
    if (!r.no_memory && open_folders(&r, rootfd, path, trial)) {
        const bool judged = read_record(&r);
        if (!judged)
            read_table(&r, what);
        if (out->outcome != EMD_OUTCOME_GOOD) {
            if (!judged)
                judge(&r);
            if (out->version[0] == '\0')
                read_version(&r);
        }
        char reason[sizeof out->reason];
        memcpy(reason, out->reason, sizeof reason);
        read_cells(&r);
        read_symmetry(&r, what);
        if (what & EMD_TRIAL_FRAMES)
            read_frames(&r);
        /* A side file that cannot be read is no reason. */
        memcpy(out->reason, reason, sizeof reason);
        if (out->outcome == EMD_OUTCOME_GOOD)
            out->reason[0] = '\0';
    }
    if (r.last >= 0 && r.last != r.first)
        close(r.last);
    if (r.first >= 0)
        close(r.first);
    emd_textfile_free(&r.file);
    if (r.no_memory) {
        emd_trial_free(out);
        return emd_fail(err, EMD_E_MEMORY, "no memory for the crystal's files");
    }
    return EMD_OK;
}

void emd_trial_free(struct emd_trial *trial)
{
    free(trial->path);
    free(trial->cells.items);
    emd_merge_table_free(&trial->table);
    trial->path = NULL;
    trial->cells = (struct emd_cells){0};
}
