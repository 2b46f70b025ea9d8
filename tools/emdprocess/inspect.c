#include "emdprocess/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "velox/info.h"

/* Far more than a file on a slow share takes. */
enum { MILLISECONDS = 120000 };

struct answer {
    enum emd_status status;
    size_t frames;
    struct emd_error error;
};

static void look(const char *path, struct answer *a)
{
    struct emd_info info;
    a->status = emd_info_read(path, &info, &a->error);
    if (a->status != EMD_OK)
        return;
    if (!info.is_velox || info.stack_count == 0)
        a->status = emd_fail(&a->error, EMD_E_FORMAT,
                             info.is_velox ? "it holds no images" : "not a Velox movie");
    else
        a->frames = info.stack[0].frames;
    emd_info_free(&info);
}

enum emd_status inspect_movie(const char *path, size_t *frames, struct emd_error *err)
{
    struct answer a = {0};
    int ends[2];
    size_t used = 0;
    *frames = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot start a process");
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &none);
        look(path, &a);
        ssize_t ignored = write(ends[1], &a, sizeof a); /* less than a pipe holds */
        (void)ignored;
        _exit(0);
    }
    const int cause = errno;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return emd_fail_errno(err, EMD_E_IO, cause, "cannot start a process");
    }
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    bool hangs = false;
    while (used < sizeof a && !hangs) {
        int n = poll(&ready, 1, MILLISECONDS);
        if (n < 0 && errno == EINTR)
            continue;
        hangs = n == 0;
        ssize_t got = hangs ? 0 : read(ends[0], (char *)&a + used, sizeof a - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    if (hangs)
        kill(child, SIGKILL);
    close(ends[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (hangs)
        return emd_fail(err, EMD_E_BUSY, "no answer for %d s", MILLISECONDS / 1000);
    if (used < sizeof a)
        return emd_fail(err, EMD_E_CORRUPT, "HDF5 crashes on it");
    *frames = a.frames;
    return a.status == EMD_OK ? EMD_OK : emd_fail(err, a.status, "%s", a.error.text);
}
