/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "journal.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/jsontext.h"
#include "common/message.h"
#include "common/progress.h"

/* Seconds between the moments of which the speed shown is that since the last but one. */
static const double mark_interval = 5;

static void time_text(char text[40])
{
    const time_t t = time(NULL);
    struct tm tm;
    strftime(text, 40, "%Y-%m-%dT%H:%M:%S%z", localtime_r(&t, &tm));
}

/* systemd's journal has a time stamp of its own. JOURNAL_STREAM (systemd.exec(5)) names the device
 * and inode of the stream that leads there, so that output redirected elsewhere keeps ours. */
static bool leads_to_journal(void)
{
    static int known = -1;
    if (known < 0) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        struct stat st;
        known = stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
                fstat(STDOUT_FILENO, &st) == 0 && st.st_dev == (dev_t)device &&
                st.st_ino == (ino_t)inode;
    }
    return known;
}

static struct json_object *new_json(const char *now, const char *what)
{
    struct json_object *o = emd_json_new("emdwatch");
    json_object_object_add(o, "time", json_object_new_string(now));
    json_object_object_add(o, "event", json_object_new_string(what));
    return o;
}

void emd_journal_event(const struct emd_journal *journal, const char *what, const char *file,
                       const char *why, const struct emd_report *r)
{
    char now[40];
    time_text(now);
    emd_progress_end();
    const double raw = r ? (double)r->result.raw_bytes : 0;
    const double stored = r ? (double)r->result.stored_bytes : 0;
    const double ratio = stored > 0 ? raw / stored : 0;
    const double speed = r && r->seconds > 0 ? raw / 1e6 / r->seconds : 0;
    if (journal->json) {
        struct json_object *o = new_json(now, what);
        json_object_object_add(o, "file", file ? emd_json_text(file) : NULL);
        if (why)
            json_object_object_add(o, "reason", emd_json_text(why));
        if (r) {
            json_object_object_add(o, "frames", json_object_new_int64((int64_t)r->result.frames));
            json_object_object_add(o, "raw_bytes", json_object_new_int64((int64_t)raw));
            json_object_object_add(o, "stored_bytes", json_object_new_int64((int64_t)stored));
            json_object_object_add(o, "ratio", json_object_new_double(ratio));
            json_object_object_add(o, "seconds", json_object_new_double(r->seconds));
            json_object_object_add(o, "mb_per_s", json_object_new_double(speed));
            json_object_object_add(o, "codec", json_object_new_string(r->result.codec));
        }
        emd_json_print_line(o);
    } else {
        if (!leads_to_journal())
            printf("%s ", now);
        fputs(what, stdout);
        if (file) {
            putchar(' ');
            emd_print_text(file);
        }
        if (why) {
            fputs(": ", stdout);
            emd_print_text(why);
        }
        if (r)
            printf(": %" PRIu64 " frames, %.1f -> %.1f MB, ratio %.2f, %.2f s, %.0f MB/s, %s",
                   r->result.frames, raw / 1e6, stored / 1e6, ratio, r->seconds, speed,
                   r->result.codec);
        putchar('\n');
    }
    fflush(stdout);
}

void emd_journal_news(const struct emd_journal *journal, const char *what, const char *file,
                      const char *why)
{
    if (!journal->quiet)
        emd_journal_event(journal, what, file, why, NULL);
}

void emd_journal_summary(const struct emd_journal *journal, const struct emd_journal_summary *s)
{
    if (journal->quiet)
        return;
    if (journal->json) {
        const struct {
            const char *key;
            size_t files;
        } number[] = {{"done", s->done},
                      {"finished_before", s->before},
                      {"empty", s->empty},
                      {"failed", s->failed},
                      {"not_ready", s->not_ready}};
        char now[40];
        time_text(now);
        struct json_object *o = new_json(now, "summary");
        for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
            json_object_object_add(o, number[i].key,
                                   json_object_new_int64((int64_t)number[i].files));
        emd_json_print_line(o);
        return;
    }
    char text[160];
    snprintf(text, sizeof text,
             "%zu files done, %zu finished before, %zu empty, %zu failed, %zu not ready", s->done,
             s->before, s->empty, s->failed, s->not_ready);
    emd_journal_event(journal, "summary", NULL, text, NULL);
}

void emd_journal_show(struct emd_journal *journal, const struct emd_journal_now *now)
{
    char what[128], right[64] = "";
    const double time = emd_node_now();
    if (time - journal->mark[1].time >= mark_interval) {
        journal->mark[0] = journal->mark[1];
        journal->mark[1].time = time;
        journal->mark[1].bytes = now->moved;
    }
    snprintf(what, sizeof what, "%zu waiting, %zu running, %zu done, %zu failed", now->waiting,
             now->running, now->done, now->failed);
    if (now->running_bytes > 0) {
        /* A run that broke off takes its bytes back. */
        const double since = time - journal->mark[0].time;
        const double bytes =
            now->moved > journal->mark[0].bytes ? (double)(now->moved - journal->mark[0].bytes) : 0;
        snprintf(right, sizeof right, " %3.0f %% %6.0f MB/s",
                 100 * (double)now->running_done / (double)now->running_bytes,
                 since > 0 ? bytes / 1e6 / since : 0);
    }
    emd_progress_show(what, right);
}
