/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What emdwatch says: events on standard output, one line or JSON object each, and on a terminal a
 * line below them that shows what is going on. */
#ifndef EMD_TOOLS_EMDWATCH_JOURNAL_H
#define EMD_TOOLS_EMDWATCH_JOURNAL_H

#include "node.h"

struct emd_journal {
    bool json, quiet;
    /* The speed shown is that since the older one of two moments, which are some seconds apart. */
    struct {
        double time;
        uint64_t bytes;
    } mark[2];
};

/* 'file', 'why' and 'r' (of a file that is done) may be NULL. */
void emd_journal_event(const struct emd_journal *journal, const char *what, const char *file,
                       const char *why, const struct emd_report *r);

/* An event that needs no attention: not said when quiet. */
void emd_journal_news(const struct emd_journal *journal, const char *what, const char *file,
                      const char *why);

/* Files, at the end of a run. */
struct emd_journal_summary {
    size_t done, before, empty, failed, not_ready; /* 'before': finished when it began */
};
void emd_journal_summary(const struct emd_journal *journal,
                         const struct emd_journal_summary *summary);

struct emd_journal_now {
    size_t waiting, running, done, failed;
    uint64_t running_bytes, running_done; /* of the files that are running, and so far */
    uint64_t moved;                       /* all bytes so far, these included */
};
void emd_journal_show(struct emd_journal *journal, const struct emd_journal_now *now);

#endif
