/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What is known of every source file and what to do next: the memory of emdwatch, as a pure state
 * machine. No I/O and no clock: looks, outcomes and times (seconds of one monotonic clock) come
 * from outside.
 *
 *   NEW --output exists--> CHECKING --is finished--> DONE
 *    |                        |
 *    v                        v not finished           outcome of a run:
 *   WAITING --unchanged long enough--> due --> RUNNING --> DONE, ASIDE (until it changes),
 *    ^                                                     WAITING (for a while, or until it
 * settles)
 *    +---- any change of the source ----+
 *
 * Settled is a source whose size, times and inode were the same at three looks or more and for
 * 'settle' seconds. Suspicious files are accepted after ten times that. A damaged one is set
 * aside when two runs, some time apart, have found it so. */
#ifndef EMD_WATCH_WATCHLIST_H
#define EMD_WATCH_WATCHLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* What tells this state of a file from any other; all zero: there is none. Device and inode do not
 * count, see emd_watch_id_equal. */
struct emd_watch_id {
    uint64_t device, inode, size;
    int64_t mtime_s, ctime_s;
    int64_t mtime_ns, ctime_ns;
};

bool emd_watch_id_equal(const struct emd_watch_id *a, const struct emd_watch_id *b);

enum emd_watch_state {
    EMD_WATCH_NEW,
    EMD_WATCH_CHECKING, /* its output exists; is it finished? */
    EMD_WATCH_WAITING,
    EMD_WATCH_RUNNING,
    EMD_WATCH_DONE,
    EMD_WATCH_ASIDE, /* nothing to be done until it changes */
    EMD_WATCH_STATES
};

/* How a run ended. */
enum emd_watch_outcome {
    EMD_OUTCOME_DONE,
    EMD_OUTCOME_UNWANTED, /* not begun: the program drains */
    EMD_OUTCOME_CHANGED,  /* the source changed meanwhile: settles again */
    EMD_OUTCOME_BUSY,     /* locked or not readable: again later */
    EMD_OUTCOME_INCOMPLETE,
    EMD_OUTCOME_DOUBTFUL, /* complete, but odd: again when it has not changed for long */
    EMD_OUTCOME_TROUBLE,  /* reading or writing failed: again later */
    EMD_OUTCOME_TARGET,   /* the target is full or cannot be written: everything waits */
    EMD_OUTCOME_EMPTY,    /* a movie without frames */
    EMD_OUTCOME_DAMAGED,  /* no use without a change */
    EMD_OUTCOME_CONFLICT  /* the output's name is taken */
};

struct emd_watch_entry {
    char *name;   /* below the source folder */
    char *output; /* below the target folder */
    struct emd_watch_id source, target;
    enum emd_watch_state state;     /* changed by emd_watchlist_set only, which counts */
    enum emd_watch_outcome outcome; /* of the last run; DONE before the first */
    char *why;                      /* text of that, or NULL */
    double since;                   /* of the first look at this state of the source */
    unsigned looks;
    bool changed;      /* in the life of this list */
    bool replace;      /* the output is of an earlier state of the source */
    bool doubt_over;   /* odd, but unchanged for long */
    unsigned tries;    /* runs that asked to come again */
    unsigned verdicts; /* runs in a row that found it damaged */
    bool said;         /* its damage is known and was news once */
    bool seen;         /* by a look, and not only known from the state file */
    double retry;      /* not before */
    double missing;    /* since when it is gone; < 0: it is there */
    uint64_t round;    /* of the last look */
    struct emd_watch_entry *next_hash;
    struct emd_watch_entry *rival; /* another source of the same output */
};

struct emd_watch_settings {
    double settle; /* seconds; 0: one look is enough */
    double poll;   /* seconds; the first delay before another try */
};

struct emd_watchlist {
    struct emd_watch_settings settings;
    struct emd_watch_entry **entry; /* [count], in the order of their first look */
    size_t count, capacity;
    struct emd_watch_entry **bucket;
    size_t buckets;
    uint64_t round;
    bool names_changed;
    double hold; /* after EMD_OUTCOME_TARGET: nothing before; < 0: no hold */
    /* Entries in each state: what waits for nothing costs nothing, however many files are done. */
    size_t in[EMD_WATCH_STATES];
};

void emd_watchlist_init(struct emd_watchlist *list, const struct emd_watch_settings *settings);
void emd_watchlist_free(struct emd_watchlist *list);

/* A round of looks: begin, see for each source, end. 'clean' tells that every folder could be read:
 * only then is what was not seen gone, and forgotten after an hour. EMD_E_MEMORY. */
void emd_watchlist_begin(struct emd_watchlist *list);
enum emd_status emd_watchlist_see(struct emd_watchlist *list, const char *name, const char *output,
                                  const struct emd_watch_id *source,
                                  const struct emd_watch_id *target, double now,
                                  struct emd_error *err);
void emd_watchlist_end(struct emd_watchlist *list, bool clean, double now);

struct emd_watch_entry *emd_watchlist_find(const struct emd_watchlist *list, const char *name);

void emd_watchlist_set(struct emd_watchlist *list, struct emd_watch_entry *entry,
                       enum emd_watch_state state);

/* An entry that may run now, or NULL; the longest-known first. The caller sets it to RUNNING by
 * emd_watchlist_start. */
struct emd_watch_entry *emd_watchlist_due(struct emd_watchlist *list, double now);
void emd_watchlist_start(struct emd_watchlist *list, struct emd_watch_entry *entry);

/* The answer for an entry in state CHECKING. */
void emd_watchlist_checked(struct emd_watchlist *list, struct emd_watch_entry *entry, bool done,
                           bool ours, double now);

/* A run has ended. True if this is news: not the same outcome and reason as last time. 'why' may be
 * NULL. */
bool emd_watchlist_finish(struct emd_watchlist *list, struct emd_watch_entry *entry,
                          enum emd_watch_outcome outcome, const char *why, double now);

/* True while time alone can make an entry due: it settles, and has not been seen to change. */
bool emd_watchlist_settling(const struct emd_watchlist *list);

/* Tries everything again that failed: nothing is forgotten but the waiting. */
void emd_watchlist_retry(struct emd_watchlist *list);

/* "busy", "incomplete", ... */
const char *emd_watch_outcome_text(enum emd_watch_outcome outcome);

/* The relative path with its spaces as underscores; the caller frees. NULL: out of memory. */
char *emd_watch_output_name(const char *name);

#endif
