/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdprocess/slurmsubmit.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/message.h"
#include "emdprocess/surroundings.h"
#include "process/runcommand.h"

/* Slurm's default MaxArraySize is 1001: indices up to 1000. */
enum { ARRAY_MAX = 1000 };

/* The crystals of one array, one a line. */
static bool write_list(const char *path, struct process_task *const tasks[], size_t count)
{
    FILE *f = fopen(path, "we");
    bool ok = f != NULL;
    for (size_t i = 0; i < count && ok; i++)
        ok = fprintf(f, "%s\n", tasks[i]->crystal->name) >= 0;
    if (f)
        ok = fclose(f) == 0 && ok;
    if (!ok)
        emd_message_error("%s: cannot write: %s", path, strerror(errno));
    return ok;
}

static bool add(struct emd_words *words, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool add(struct emd_words *words, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    bool ok = n >= 0 && emd_words_add(words, text, NULL) == EMD_OK;
    if (n >= 0)
        free(text);
    return ok;
}

static int run_sbatch(const struct emd_words *words)
{
    int wait_status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execvp(words->word[0], words->word);
        emd_message_error("%s: %s: is Slurm installed on this machine?", words->word[0],
                          strerror(errno));
        _exit(127);
    }
    while (child > 0 && waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
        ;
    if (child > 0 && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
        return EMD_EXIT_OK;
    if (child > 0 && WIFEXITED(wait_status)) /* with --wait that of a task */
        emd_message_error("sbatch: exit code %d", WEXITSTATUS(wait_status));
    else
        emd_message_error("sbatch did not run to its end");
    return EMD_EXIT_FAILED;
}

static int submit_some(const struct process_options *options, const struct slurm_options *slurm,
                       const char *template_path, const char *list,
                       struct process_task *const tasks[], size_t count)
{
    struct emd_words words = {0};
    char here[PATH_MAX];
    int code = EMD_EXIT_FAILED;
    if (!getcwd(here, sizeof here)) {
        emd_message_error("the project's folder has no name: %s", strerror(errno));
        return EMD_EXIT_FAILED;
    }
    bool ok = add(&words, "sbatch") && add(&words, "--array=1-%zu", count) &&
              add(&words, "--chdir=%s", here) && add(&words, "--output=slurm/%%A_%%a.out") &&
              add(&words, "--job-name=%s", options->trial) &&
              add(&words, "--cpus-per-task=%u", options->cores);
    for (size_t i = 0; i < slurm->sbatch.count && ok; i++)
        ok = add(&words, "%s", slurm->sbatch.word[i]);
    ok = ok && add(&words, "%s", template_path) && add(&words, "%s", list);
    for (size_t i = 0; i < slurm->command.count && ok; i++)
        ok = add(&words, "%s", slurm->command.word[i]);
    char *line = ok ? emd_words_join(&words) : NULL;
    if (!line) {
        emd_message_error("out of memory");
    } else if (slurm->dry_run) {
        printf("%s\n", line);
        for (size_t i = 0; i < count; i++)
            printf("    %zu %s\n", i + 1, tasks[i]->crystal->name);
        code = EMD_EXIT_OK;
    } else if (write_list(list, tasks, count)) {
        emd_message_verbose("%s", line);
        code = run_sbatch(&words);
    }
    free(line);
    emd_words_free(&words);
    return code;
}

int slurm_submit(const struct process_options *options, const struct slurm_options *slurm,
                 struct process_task *const tasks[], size_t count)
{
    char *shipped = slurm->template_path ? NULL : shared_file("slurm/emdprocess.sbatch");
    const char *template_path = slurm->template_path ? slurm->template_path : shipped;
    const time_t now = time(NULL);
    char stamp[32], list[PATH_MAX];
    struct tm tm;
    int code = EMD_EXIT_OK;
    if (!template_path || access(template_path, R_OK) != 0) {
        emd_message_error("%s: cannot read the template of the job",
                          template_path ? template_path : "emdprocess.sbatch");
        free(shipped);
        return EMD_EXIT_FAILED;
    }
    if (!slurm->dry_run && mkdir("slurm", 0777) != 0 && errno != EEXIST) {
        emd_message_error("slurm: cannot create the folder: %s", strerror(errno));
        free(shipped);
        return EMD_EXIT_FAILED;
    }
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", localtime_r(&now, &tm));
    for (size_t i = 0; i < count && code == EMD_EXIT_OK; i += ARRAY_MAX) {
        snprintf(list, sizeof list, "slurm/%.100s-%s-%ld-%zu.crystals", options->trial, stamp,
                 (long)getpid(), i / ARRAY_MAX + 1);
        code = submit_some(options, slurm, template_path, list, tasks + i,
                           count - i < ARRAY_MAX ? count - i : ARRAY_MAX);
    }
    free(shipped);
    return code;
}
