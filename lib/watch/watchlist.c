/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "watch/watchlist.h"

#include <stdlib.h>
#include <string.h>

enum { LOOKS = 3, PATIENCE = 10, VERDICTS = 2 };
/* Another try is at most this far away, and what is gone is remembered as long: a share that is
 * unmounted for a while comes back to what is known of it. Seconds. */
static const double longest = 3600;

bool emd_watch_id_equal(const struct emd_watch_id *a, const struct emd_watch_id *b)
{
    /* Some shares invent device and inode numbers anew at each mount or even look; what changes
     * places with another file has another time of change. */
    return (a->inode != 0) == (b->inode != 0) && a->size == b->size && a->mtime_s == b->mtime_s &&
           a->mtime_ns == b->mtime_ns && a->ctime_s == b->ctime_s && a->ctime_ns == b->ctime_ns;
}

const char *emd_watch_outcome_text(enum emd_watch_outcome outcome)
{
    switch (outcome) {
    case EMD_OUTCOME_DONE:
        return "done";
    case EMD_OUTCOME_UNWANTED:
        return "put off";
    case EMD_OUTCOME_CHANGED:
        return "changed";
    case EMD_OUTCOME_BUSY:
        return "busy";
    case EMD_OUTCOME_INCOMPLETE:
        return "incomplete";
    case EMD_OUTCOME_DOUBTFUL:
        return "doubtful";
    case EMD_OUTCOME_TROUBLE:
        return "trouble";
    case EMD_OUTCOME_TARGET:
        return "target";
    case EMD_OUTCOME_EMPTY:
        return "empty";
    case EMD_OUTCOME_DAMAGED:
        return "damaged";
    case EMD_OUTCOME_CONFLICT:
        return "conflict";
    }
    return "unknown";
}

char *emd_watch_output_name(const char *name)
{
    char *output = strdup(name);
    for (char *p = output; p && *p; p++)
        if (*p == ' ')
            *p = '_';
    return output;
}

void emd_watchlist_init(struct emd_watchlist *list, const struct emd_watch_settings *settings)
{
    memset(list, 0, sizeof *list);
    list->settings = *settings;
    list->hold = -1;
}

static void free_entry(struct emd_watch_entry *e)
{
    free(e->name);
    free(e->output);
    free(e->why);
    free(e);
}

void emd_watchlist_free(struct emd_watchlist *list)
{
    for (size_t i = 0; i < list->count; i++)
        free_entry(list->entry[i]);
    free(list->entry);
    free(list->bucket);
    memset(list, 0, sizeof *list);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash(const char *text)
{
    uint64_t h = 14695981039346656037u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

struct emd_watch_entry *emd_watchlist_find(const struct emd_watchlist *list, const char *name)
{
    if (list->buckets == 0)
        return NULL;
    struct emd_watch_entry *e = list->bucket[hash(name) % list->buckets];
    while (e && strcmp(e->name, name) != 0)
        e = e->next_hash;
    return e;
}

/* Puts all entries into 'buckets' lists; false: out of memory, nothing changed. */
static bool rehash(struct emd_watchlist *list, size_t buckets)
{
    struct emd_watch_entry **bucket = calloc(buckets, sizeof *bucket);
    if (!bucket)
        return false;
    free(list->bucket);
    list->bucket = bucket;
    list->buckets = buckets;
    for (size_t i = 0; i < list->count; i++) {
        struct emd_watch_entry *e = list->entry[i], **head = &bucket[hash(e->name) % buckets];
        e->next_hash = *head;
        *head = e;
    }
    return true;
}

static struct emd_watch_entry *add_entry(struct emd_watchlist *list, const char *name,
                                         const char *output)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct emd_watch_entry **grown = realloc(list->entry, capacity * sizeof *grown);
        if (!grown)
            return NULL;
        list->entry = grown;
        list->capacity = capacity;
    }
    if (list->buckets < list->count + 1 && !rehash(list, 2 * list->capacity))
        return NULL;
    struct emd_watch_entry *e = calloc(1, sizeof *e);
    if (!e || !(e->name = strdup(name)) || !(e->output = strdup(output))) {
        if (e)
            free_entry(e);
        return NULL;
    }
    struct emd_watch_entry **head = &list->bucket[hash(name) % list->buckets];
    e->next_hash = *head;
    *head = e;
    list->entry[list->count++] = e;
    list->in[e->state]++;
    list->names_changed = true;
    return e;
}

void emd_watchlist_set(struct emd_watchlist *list, struct emd_watch_entry *entry,
                       enum emd_watch_state state)
{
    list->in[entry->state]--;
    list->in[state]++;
    entry->state = state;
}

void emd_watchlist_begin(struct emd_watchlist *list)
{
    list->round++;
}

static void forget_outcome(struct emd_watch_entry *e)
{
    free(e->why);
    e->why = NULL;
    e->outcome = EMD_OUTCOME_DONE;
    e->tries = 0;
    e->verdicts = 0;
    e->said = false;
    e->retry = 0;
    e->doubt_over = false;
}

void emd_watchlist_retry(struct emd_watchlist *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct emd_watch_entry *e = list->entry[i];
        if (e->state != EMD_WATCH_ASIDE && e->state != EMD_WATCH_WAITING)
            continue;
        /* conflicts and names that contradict each other are found again by looking */
        if (e->state == EMD_WATCH_ASIDE)
            emd_watchlist_set(
                list, e, e->outcome == EMD_OUTCOME_CONFLICT ? EMD_WATCH_NEW : EMD_WATCH_WAITING);
        e->tries = 0;
        e->verdicts = 0;
        e->retry = 0;
    }
}

enum emd_status emd_watchlist_see(struct emd_watchlist *list, const char *name, const char *output,
                                  const struct emd_watch_id *source,
                                  const struct emd_watch_id *target, double now,
                                  struct emd_error *err)
{
    static const struct emd_watch_id none;
    struct emd_watch_entry *e = emd_watchlist_find(list, name);
    bool is_new = !e;
    if (!e && !(e = add_entry(list, name, output)))
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    e->round = list->round;
    e->seen = true;
    e->missing = -1;
    if (is_new || !emd_watch_id_equal(&e->source, source)) {
        /* a failure is remembered for the content; a remounted share has other device numbers */
        const bool content = is_new || e->source.size != source->size ||
                             e->source.mtime_s != source->mtime_s ||
                             e->source.mtime_ns != source->mtime_ns;
        e->source = *source;
        e->since = now;
        e->looks = 1;
        e->changed = e->changed || (!is_new && content);
        if (e->state == EMD_WATCH_DONE || (content && e->state != EMD_WATCH_RUNNING))
            emd_watchlist_set(list, e, EMD_WATCH_NEW);
        if (content)
            forget_outcome(e);
    } else {
        e->looks++;
    }
    if (e->state != EMD_WATCH_RUNNING && !emd_watch_id_equal(&e->target, target)) {
        /* appeared, vanished or was replaced: what it is has to be asked again */
        const bool asks = e->state == EMD_WATCH_DONE || e->state == EMD_WATCH_WAITING ||
                          (e->state == EMD_WATCH_ASIDE && e->outcome == EMD_OUTCOME_CONFLICT);
        if (asks)
            emd_watchlist_set(list, e, EMD_WATCH_NEW);
    }
    if (e->state != EMD_WATCH_RUNNING)
        e->target = *target;
    if (e->state == EMD_WATCH_NEW) {
        emd_watchlist_set(
            list, e, emd_watch_id_equal(target, &none) ? EMD_WATCH_WAITING : EMD_WATCH_CHECKING);
        e->replace = false;
    }
    return EMD_OK;
}

static int by_output(const void *a, const void *b)
{
    const struct emd_watch_entry *x = *(struct emd_watch_entry *const *)a;
    const struct emd_watch_entry *y = *(struct emd_watch_entry *const *)b;
    int order = strcmp(x->output, y->output);
    return order ? order : strcmp(x->name, y->name);
}

/* Finds sources that want the same output. */
static void find_rivals(struct emd_watchlist *list)
{
    struct emd_watch_entry **sorted = malloc((list->count + 1) * sizeof *sorted);
    size_t n = 0;
    if (!sorted)
        return; /* names_changed stays: tried again */
    for (size_t i = 0; i < list->count; i++) {
        list->entry[i]->rival = NULL;
        if (list->entry[i]->missing < 0)
            sorted[n++] = list->entry[i];
    }
    qsort(sorted, n, sizeof(struct emd_watch_entry *), by_output);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1]->output, sorted[i]->output) == 0) {
            sorted[i]->rival = sorted[i - 1];
            if (!sorted[i - 1]->rival)
                sorted[i - 1]->rival = sorted[i];
        }
    free(sorted);
    list->names_changed = false;
}

void emd_watchlist_end(struct emd_watchlist *list, bool clean, double now)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct emd_watch_entry *e = list->entry[i];
        if (clean && e->round != list->round && e->missing < 0) {
            e->missing = now;
            list->names_changed = true;
        }
        if (e->missing >= 0 && now - e->missing > longest && e->state != EMD_WATCH_RUNNING) {
            list->in[e->state]--;
            free_entry(e);
            list->names_changed = true;
        } else {
            list->entry[kept++] = e;
        }
    }
    if (kept < list->count) {
        list->count = kept;
        /* the old lists name freed entries: they must go whatever happens */
        memset(list->bucket, 0, list->buckets * sizeof(struct emd_watch_entry *));
        for (size_t i = 0; i < kept; i++) {
            struct emd_watch_entry *e = list->entry[i];
            struct emd_watch_entry **head = &list->bucket[hash(e->name) % list->buckets];
            e->next_hash = *head;
            *head = e;
        }
    }
    for (size_t i = 0; i < list->count; i++)
        if (list->entry[i]->round == list->round && list->entry[i]->rival &&
            list->entry[i]->rival->missing >= 0)
            list->names_changed = true;
    if (list->names_changed)
        find_rivals(list);
}

static bool is_settled(const struct emd_watchlist *list, const struct emd_watch_entry *e,
                       double now)
{
    return list->settings.settle <= 0 ||
           (e->looks >= LOOKS && now - e->since >= list->settings.settle);
}

struct emd_watch_entry *emd_watchlist_due(struct emd_watchlist *list, double now)
{
    /* after trouble with the target one file tries it for all */
    if (list->hold >= 0 && (now < list->hold || list->in[EMD_WATCH_RUNNING] > 0))
        return NULL;
    if (list->in[EMD_WATCH_WAITING] == 0)
        return NULL;
    for (size_t i = 0; i < list->count; i++) {
        struct emd_watch_entry *e = list->entry[i];
        const bool contested = e->rival && e->rival->missing < 0;
        if (e->state == EMD_WATCH_WAITING && e->seen && e->missing < 0 && !contested &&
            now >= e->retry && is_settled(list, e, now)) {
            e->doubt_over =
                list->settings.settle <= 0 || now - e->since >= PATIENCE * list->settings.settle;
            return e;
        }
    }
    return NULL;
}

void emd_watchlist_start(struct emd_watchlist *list, struct emd_watch_entry *entry)
{
    emd_watchlist_set(list, entry, EMD_WATCH_RUNNING);
}

void emd_watchlist_checked(struct emd_watchlist *list, struct emd_watch_entry *entry, bool done,
                           bool ours, double now)
{
    (void)now;
    entry->replace = ours;
    emd_watchlist_set(list, entry, done ? EMD_WATCH_DONE : EMD_WATCH_WAITING);
}

/* Seconds from one verdict to the next. */
static double second_look(const struct emd_watch_settings *settings)
{
    const double most = 60, least = 1;
    return settings->settle < least ? least : settings->settle > most ? most : settings->settle;
}

bool emd_watchlist_finish(struct emd_watchlist *list, struct emd_watch_entry *entry,
                          enum emd_watch_outcome outcome, const char *why, double now)
{
    bool news =
        entry->outcome != outcome || !entry->why != !why || (why && strcmp(entry->why, why) != 0);
    if (outcome != EMD_OUTCOME_DAMAGED)
        entry->verdicts = 0;
    double delay = list->settings.poll;
    for (unsigned i = 0; i < entry->tries && delay < longest; i++)
        delay *= 2;
    delay = delay < longest ? delay : longest;
    if (news) {
        free(entry->why);
        entry->why = why ? strdup(why) : NULL;
    }
    entry->outcome = outcome;
    emd_watchlist_set(list, entry, EMD_WATCH_WAITING);
    switch (outcome) {
    case EMD_OUTCOME_DONE:
        /* the next look learns the new output's identity, and asks */
        list->hold = -1;
        emd_watchlist_set(list, entry, EMD_WATCH_DONE);
        entry->tries = 0;
        return true;
    case EMD_OUTCOME_UNWANTED:
        break;
    case EMD_OUTCOME_CHANGED:
        entry->since = now;
        entry->looks = 0;
        entry->changed = true;
        break;
    case EMD_OUTCOME_BUSY:
    case EMD_OUTCOME_INCOMPLETE:
    case EMD_OUTCOME_TROUBLE:
        entry->tries++;
        entry->retry = now + delay;
        break;
    case EMD_OUTCOME_DOUBTFUL:
        entry->retry = entry->since + PATIENCE * list->settings.settle;
        break;
    case EMD_OUTCOME_TARGET:
        list->hold = now + list->settings.poll;
        break;
    case EMD_OUTCOME_DAMAGED:
        /* a share that has hiccups can show anything once: not said before it was seen twice */
        entry->said = entry->said && !news;
        news = false;
        if (++entry->verdicts >= VERDICTS) {
            emd_watchlist_set(list, entry, EMD_WATCH_ASIDE);
            news = !entry->said;
            entry->said = true;
        } else {
            entry->retry = now + second_look(&list->settings);
        }
        break;
    case EMD_OUTCOME_EMPTY:
    case EMD_OUTCOME_CONFLICT:
        emd_watchlist_set(list, entry, EMD_WATCH_ASIDE);
        break;
    }
    return news;
}

bool emd_watchlist_settling(const struct emd_watchlist *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct emd_watch_entry *e = list->entry[i];
        if (e->missing < 0 && e->state == EMD_WATCH_WAITING && !e->changed && e->tries == 0 &&
            e->outcome != EMD_OUTCOME_DOUBTFUL && e->outcome != EMD_OUTCOME_TARGET)
            return true;
    }
    return false;
}
