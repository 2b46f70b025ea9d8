#include "emdprocess/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "velox/metadata.h"
#include "velox/readtext.h"
#include "velox/stack.h"

/* Far more than a file on a slow share takes. */
enum { MILLISECONDS = 120000, STACKS_MAX = 1000 };

struct answer {
    enum emd_status status;
    size_t frames;
    struct emd_error error;
};

/* Images of the largest stack of a Velox file. Its metadata are not read: there are hundreds of
 * movies to ask. */
static enum emd_status count_images(const struct emd_source *source, size_t *frames,
                                    struct emd_error *err)
{
    struct emd_error why;
    char *text, version[16];
    size_t n, largest = 0;
    H5G_info_t info;
    bool found = false;
    enum emd_status status = emd_read_text(source, "/Version", &text, &n, err);
    if (status != EMD_OK && status != EMD_E_EMPTY && status != EMD_E_UNSUPPORTED)
        return status;
    if (status == EMD_OK) {
        status = emd_velox_version_parse(text, n, version, &why);
        free(text);
    }
    if (status != EMD_OK)
        return emd_fail(err, EMD_E_FORMAT, "not a Velox movie");
    if (H5Gget_info_by_name(source->file, "/Data/Image", &info, H5P_DEFAULT) < 0)
        return emd_fail(err, EMD_E_FORMAT, "it holds no images");
    for (hsize_t i = 0; i < info.nlinks && i < STACKS_MAX; i++) {
        char path[512] = "/Data/Image/";
        const size_t used = strlen(path), room = sizeof path - used - sizeof "/Data";
        struct emd_stack stack;
        if (H5Lget_name_by_idx(source->file, "/Data/Image", H5_INDEX_NAME, H5_ITER_NATIVE, i,
                               path + used, room, H5P_DEFAULT) < 0)
            return emd_fail(err, EMD_E_CORRUPT, "its images cannot be listed");
        strcat(path, "/Data");
        if (emd_stack_open(source->file, path, true, &stack, &why) != EMD_OK)
            continue;
        const size_t size = stack.height * stack.width * stack.frames;
        if (!found || size > largest) {
            largest = size;
            *frames = stack.frames;
        }
        found = true;
        emd_stack_close(&stack);
    }
    return found ? EMD_OK : emd_fail(err, EMD_E_FORMAT, "it holds no images");
}

static void look(const char *path, struct answer *a)
{
    struct emd_source *source = NULL;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    a->status = emd_source_open(path, &source, &a->error);
    if (a->status == EMD_OK)
        a->status = count_images(source, &a->frames, &a->error);
    emd_source_close(source);
    emd_hdf5_quiet_end(&quiet);
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
