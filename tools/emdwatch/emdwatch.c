/* emdwatch: every complete movie of a folder, compressed into another one, for as long as it runs.
 * See docs/man/emdwatch.1. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "common/message.h"
#include "common/progress.h"
#include "node.h"

static const char usage[] =
    "Usage: emdwatch [OPTION]... RAW COMPRESSED\n"
    "       emdwatch --status RAW COMPRESSED\n"
    "Compress every complete movie below RAW into COMPRESSED, folder for folder, as\n"
    "soon as it has been written.\n"
    "\n"
    "      --pattern GLOB        file names to take (default *.emd)\n"
    "      --poll SECONDS        look at RAW so often (default 60)\n"
    "      --settle SECONDS      a file must not have changed for so long (default 180)\n"
    "      --once                until nothing is left to do, then a summary: for cron\n"
    "      --status              say what is waiting, running, done and failed\n"
    "      --jobs N              files at a time, at most (default 8)\n"
    "  -j, --threads N           busy threads in all (default: all cores)\n"
    "  -m, --memory SIZE         memory budget in all (default: a quarter of the\n"
    "                            memory, at most 2G)\n"
    "  -c, --codec NAME[:LEVEL]  as in emdrepack (default auto)\n"
    "      --verify WHAT         none, chunk (default) or file, as in emdrepack\n"
    "      --frame-stats         also write NAME.frames.tsv: mean, maximum and spots of\n"
    "                            every image\n"
    "      --json                one JSON object an event\n"
    "  -q, --quiet               only what needs attention\n"
    "      --help, --version\n"
    "\n"
    "TERM finishes what is running, a second one aborts; HUP and USR1 look at once.\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 files not ready or in use.\n";

/* ---- --status -------------------------------------------------------------------------------- */

struct status {
    const struct emd_node_options *options;
    struct emd_watchlist known;
    size_t count[4]; /* waiting, running, done, failed */
    uint64_t bytes[4], stored;
};

static const char *const row[] = {"waiting", "running", "done", "failed"};

static bool status_file(void *ctx, const char *name, const char *output,
                        const struct emd_watch_id *source, const struct emd_watch_id *target)
{
    struct status *s = ctx;
    const struct emd_watch_entry *e = emd_watchlist_find(&s->known, name);
    const bool same = e && e->source.size == source->size && e->source.mtime_s == source->mtime_s &&
                      e->source.mtime_ns == source->mtime_ns;
    unsigned kind = 0;
    const char *why = "";
    bool done = target->inode != 0 && target->mtime_s == source->mtime_s &&
                target->mtime_ns == source->mtime_ns;
    if (!done && target->inode != 0) {
        /* file systems with coarse times: the provenance knows */
        char *in = emd_node_path(s->options->source, name);
        char *out = emd_node_path(s->options->target, output);
        done = emd_repack_is_done(in, out);
        free(in);
        free(out);
    }
    if (same && (e->state == EMD_WATCH_ASIDE || e->outcome == EMD_OUTCOME_CONFLICT)) {
        kind = 3;
        why = e->why ? e->why : "";
    } else if (done) {
        kind = 2;
    } else if (same && e->state == EMD_WATCH_RUNNING) {
        kind = 1;
    } else if (same && e->why) {
        why = e->why;
    }
    s->count[kind]++;
    s->bytes[kind] += source->size;
    if (kind == 2)
        s->stored += target->size;
    if (kind != 2) {
        printf("%-8s %10.1f MB  ", row[kind], (double)source->size / 1e6);
        emd_print_text(name);
        fputs(*why ? ": " : "", stdout);
        emd_print_text(why);
        putchar('\n');
    }
    return true;
}

static bool status_trouble(void *ctx, const char *name, int error)
{
    (void)ctx;
    emd_message_error("%s: %s", *name ? name : "the source folder", strerror(error));
    return true;
}

static int print_status(const struct emd_node_options *options)
{
    struct status s = {.options = options};
    struct emd_watch_totals totals;
    const struct emd_watch_settings none = {0};
    emd_watchlist_init(&s.known, &none);
    emd_statefile_read(options->target, &s.known, &totals);
    /* who runs now is not known to a reader of a state that says so after a crash: it is a hint */
    for (size_t i = 0; i < s.known.count; i++) {
        struct emd_watch_entry *e = s.known.entry[i];
        struct stat st;
        char *output = emd_node_path(options->target, e->output), *temp;
        if (asprintf(&temp, "%s.tmp", output) >= 0) {
            if (e->state != EMD_WATCH_ASIDE && stat(temp, &st) == 0)
                e->state = EMD_WATCH_RUNNING;
            free(temp);
        }
        free(output);
    }
    const struct emd_scan scan = {.source = options->source,
                                  .target = options->target,
                                  .pattern = options->pattern,
                                  .ctx = &s,
                                  .file = status_file,
                                  .trouble = status_trouble};
    const bool all = emd_scan_run(&scan);
    printf("%-8s %8s %14s %14s %7s\n", "", "files", "MB", "MB stored", "ratio");
    for (unsigned i = 0; i < 4; i++) {
        printf("%-8s %8zu %14.1f", row[i], s.count[i], (double)s.bytes[i] / 1e6);
        if (i == 2 && s.stored > 0)
            printf(" %14.1f %7.2f", (double)s.stored / 1e6, (double)s.bytes[i] / (double)s.stored);
        putchar('\n');
    }
    if (totals.seconds > 0)
        printf("so far   %8" PRIu64 " %14.1f %14.1f %7.2f   %.0f MB/s a file\n", totals.files,
               (double)totals.raw_bytes / 1e6, (double)totals.stored_bytes / 1e6,
               totals.stored_bytes ? (double)totals.raw_bytes / (double)totals.stored_bytes : 0.0,
               (double)totals.raw_bytes / 1e6 / totals.seconds);
    emd_watchlist_free(&s.known);
    return all ? EMD_EXIT_OK : EMD_EXIT_FAILED;
}

/* ---- options --------------------------------------------------------------------------------- */

/* True if 'inner' is 'outer' or lies in it; both exist. */
static bool lies_in(const char *inner, const char *outer)
{
    char a[PATH_MAX], b[PATH_MAX];
    if (!realpath(inner, a) || !realpath(outer, b))
        return false;
    const size_t n = strlen(b);
    return strncmp(a, b, n) == 0 && (a[n] == '\0' || a[n] == '/' || n == 1);
}

static int check_folders(const struct emd_node_options *options, bool status)
{
    struct stat st;
    if (stat(options->source, &st) == 0 && !S_ISDIR(st.st_mode))
        return emd_usage_error("%s is not a folder", options->source);
    if (!status && mkdir(options->target, 0777) != 0 && errno != EEXIST) {
        emd_message_error("%s: cannot create the folder: %s", options->target, strerror(errno));
        return EMD_EXIT_FAILED;
    }
    if (stat(options->target, &st) != 0 || !S_ISDIR(st.st_mode)) {
        emd_message_error("%s: no such folder", options->target);
        return EMD_EXIT_FAILED;
    }
    if (lies_in(options->source, options->target))
        return emd_usage_error("%s lies in %s: outputs could land among the sources",
                               options->source, options->target);
    return -1;
}

int main(int argc, char **argv)
{
    enum { PATTERN = 256, POLL, SETTLE, ONCE, STATUS, JOBS, VERIFY, STATS, JSON, HELP, VERSION };
    static const struct option long_options[] = {{"pattern", required_argument, NULL, PATTERN},
                                                 {"poll", required_argument, NULL, POLL},
                                                 {"settle", required_argument, NULL, SETTLE},
                                                 {"once", no_argument, NULL, ONCE},
                                                 {"status", no_argument, NULL, STATUS},
                                                 {"jobs", required_argument, NULL, JOBS},
                                                 {"threads", required_argument, NULL, 'j'},
                                                 {"memory", required_argument, NULL, 'm'},
                                                 {"codec", required_argument, NULL, 'c'},
                                                 {"verify", required_argument, NULL, VERIFY},
                                                 {"frame-stats", no_argument, NULL, STATS},
                                                 {"json", no_argument, NULL, JSON},
                                                 {"quiet", no_argument, NULL, 'q'},
                                                 {"help", no_argument, NULL, HELP},
                                                 {"version", no_argument, NULL, VERSION},
                                                 {NULL, 0, NULL, 0}};
    struct emd_node_options o = {.pattern = "*.emd", .watch = {.settle = 180, .poll = 60}};
    struct emd_error error;
    bool status = false;
    long jobs = 8, threads = emd_cpu_count();
    int option;
    emd_message_init("emdwatch", EMD_NORMAL);
    emd_repack_defaults(&o.repack);
    while ((option = getopt_long(argc, argv, "j:m:c:q", long_options, NULL)) != -1) {
        switch (option) {
        case PATTERN:
            o.pattern = optarg;
            break;
        case POLL:
            if (!emd_parse_double(optarg, 0.01, 86400, &o.watch.poll))
                return emd_usage_error("--poll %s: not a number of seconds", optarg);
            break;
        case SETTLE:
            if (!emd_parse_double(optarg, 0, 86400, &o.watch.settle))
                return emd_usage_error("--settle %s: not a number of seconds", optarg);
            break;
        case ONCE:
            o.once = true;
            break;
        case STATUS:
            status = true;
            break;
        case JOBS:
            if (!emd_parse_long(optarg, 1, 256, &jobs))
                return emd_usage_error("--jobs %s: not a number from 1 to 256", optarg);
            break;
        case 'j':
            if (!emd_parse_long(optarg, 1, 1024, &threads))
                return emd_usage_error("--threads %s: not a number from 1 to 1024", optarg);
            break;
        case 'm':
            if (!emd_parse_size(optarg, &o.repack.memory) || o.repack.memory == 0)
                return emd_usage_error("--memory %s: not a size such as 512M or 2G", optarg);
            break;
        case 'c':
            if (emd_codec_choice_parse(optarg, &o.repack.codec, &error) != EMD_OK)
                return emd_usage_error("--codec %s: %s", optarg, error.text);
            break;
        case VERIFY:
            if (strcmp(optarg, "none") == 0)
                o.repack.verify = EMD_VERIFY_NONE;
            else if (strcmp(optarg, "chunk") == 0)
                o.repack.verify = EMD_VERIFY_CHUNK;
            else if (strcmp(optarg, "file") == 0)
                o.repack.verify = EMD_VERIFY_FILE;
            else
                return emd_usage_error("--verify %s: not none, chunk or file", optarg);
            break;
        case STATS:
            o.frame_stats = true;
            break;
        case JSON:
            o.json = true;
            break;
        case 'q':
            o.quiet = true;
            emd_message_set_verbosity(EMD_QUIET);
            break;
        case HELP:
            fputs(usage, stdout);
            return emd_finish(EMD_EXIT_OK);
        case VERSION:
            emd_print_version();
            return emd_finish(EMD_EXIT_OK);
        default:
            fputs("Try 'emdwatch --help'.\n", stderr);
            return EMD_EXIT_USAGE;
        }
    }
    if (argc - optind != 2)
        return emd_usage_error("need two folders, RAW and COMPRESSED");
    o.source = argv[optind];
    o.target = argv[optind + 1];
    if (*o.source == '\0' || *o.target == '\0')
        return emd_usage_error("%s is empty (as a service: set RAW=... in the settings file)",
                               *o.source ? "COMPRESSED" : "RAW");
    o.crew = (struct emd_crew_budget){.jobs = (unsigned)jobs,
                                      .threads = (unsigned)threads,
                                      .memory = emd_repack_budget(&o.repack)};
    emd_progress_init(!o.quiet && !o.json);
    int code = check_folders(&o, status);
    if (code < 0)
        code = status ? print_status(&o) : emd_node_run(&o);
    return emd_finish(code);
}
