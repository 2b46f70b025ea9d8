/* See rehearse.h. */
#include "hdf5/rehearse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "hdf5/tree.h"
#include "hdf5/values.h"

enum { DEFAULT_SECONDS = 60, POLL_MS = 100 };

/* The sanitizers' own tables would count as allocations. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What the child may allocate beyond its file's size: HDF5's caches and the copy's tables fit in it
 * many times. */
static const uint64_t memory_allowance = UINT64_C(1) << 30;

/* Plain data are left out, and no space is allocated for them. */
static enum emd_status choose(void *ctx, hid_t src, const char *path, hid_t dcpl, bool *copies,
                              struct emd_error *err)
{
    (void)ctx;
    (void)path;
    struct emd_values values;
    hid_t type = H5Dget_type(src);
    enum emd_status status = emd_values_make(type, &values, err);
    emd_hdf5_close(&type);
    if (status != EMD_OK)
        return status;
    emd_values_free(&values);
    *copies = !values.variable && !values.references;
    if (*copies && H5Pget_layout(dcpl) != H5D_COMPACT &&
        H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_LATE) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
    return EMD_OK;
}

/* Walks the index of stored chunks once. */
static enum emd_status walk(void *ctx, hid_t src, hid_t dst, const char *path,
                            struct emd_error *err)
{
    (void)ctx;
    (void)dst;
    enum emd_status status = EMD_OK;
    hid_t list = H5Dget_create_plist(src), space = H5Dget_space(src);
    hsize_t count;
    if (H5Pget_layout(list) == H5D_CHUNKED && H5Sget_simple_extent_npoints(space) > 0 &&
        H5Dget_num_chunks(src, space, &count) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "%s: cannot count the chunks", path);
    emd_hdf5_close(&space);
    emd_hdf5_close(&list);
    return status;
}

static enum emd_status rehearse(const char *path, struct emd_error *err)
{
    static const struct emd_tree_file_options in_memory = {.in_memory = true};
    static const struct emd_tree_options options = {.choose = choose, .copy = walk};
    struct emd_source *source = NULL;
    hid_t dst = H5I_INVALID_HID;
    enum emd_status status = emd_source_open(path, &source, err);
    if (status == EMD_OK)
        status = emd_tree_create(source, "rehearsal", &in_memory, &dst, err);
    if (status == EMD_OK)
        status = emd_tree_copy(source->file, dst, &options, err);
    if (status == EMD_OK && !emd_hdf5_close(&dst))
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot finish the rehearsal");
    emd_source_close(source);
    return status;
}

static void limit(int resource, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(resource, &now) == 0 && (now.rlim_cur == RLIM_INFINITY || now.rlim_cur > most)) {
        now.rlim_cur = most;
        setrlimit(resource, &now);
    }
}

/* What counts towards RLIMIT_DATA already: the stacks of the parent's threads are in it, 8 MiB
 * each. Sixth number of /proc/self/statm, in pages; 0 where there is none. */
static uint64_t data_in_use(void)
{
    char text[256];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *p = text;
    for (int field = 1; p && field < 6; field++)
        if ((p = strchr(p, ' ')))
            p++;
    return p ? (uint64_t)strtoull(p, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void run_child(const char *path, pid_t parent, int answer, uint64_t file_size)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    /* The parent's handlers clean up what is the parent's; a crash shall be a plain death. */
    static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        signal(defaults[i], SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    limit(RLIMIT_CORE, 0);
    if (!SANITIZED)
        limit(RLIMIT_DATA, (rlim_t)(data_in_use() + memory_allowance + 4 * file_size));
    /* The allocator's last words would go to the user's terminal. */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDERR_FILENO);

    struct emd_error err = {EMD_OK, ""};
    err.status = rehearse(path, &err);
    _exit(write(answer, &err, sizeof err) == (ssize_t)sizeof err ? 0 : 1);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for the child's answer, all of it; false with *status and *err set where none comes. */
static bool await_answer(int answer, const struct emd_rehearse_options *options,
                         struct emd_error *said, enum emd_status *status, struct emd_error *err)
{
    const int64_t end = now_ms() + 1000 * (options->seconds ? options->seconds : DEFAULT_SECONDS);
    size_t got = 0;
    *status = EMD_OK;
    while (got < sizeof *said) {
        struct pollfd wait = {.fd = answer, .events = POLLIN};
        if (options->cancelled && options->cancelled(options->ctx)) {
            *status = emd_fail(err, EMD_E_CANCELLED, "stopped on request");
            return false;
        }
        if (now_ms() > end) {
            *status = emd_fail(err, EMD_E_CORRUPT, "the file is damaged: HDF5 hangs on it");
            return false;
        }
        if (poll(&wait, 1, POLL_MS) <= 0)
            continue;
        ssize_t n = read(answer, (char *)said + got, sizeof *said - got);
        if (n == 0)
            return false; /* it died */
        if (n > 0)
            got += (size_t)n;
    }
    said->text[sizeof said->text - 1] = '\0';
    return true;
}

enum emd_status emd_tree_rehearse(const char *path, const struct emd_rehearse_options *options,
                                  struct emd_error *err)
{
    static const struct emd_rehearse_options defaults;
    enum emd_status status = EMD_OK;
    struct emd_error said = {EMD_OK, ""};
    struct stat st;
    int ends[2];
    if (!options)
        options = &defaults;
    if (stat(path, &st) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot open");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot start a rehearsal");
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0)
        run_child(path, parent, ends[1], (uint64_t)st.st_size);
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot start a rehearsal");
    }
    const bool answered = await_answer(ends[0], options, &said, &status, err);
    close(ends[0]);
    if (!answered && status != EMD_OK)
        kill(child, SIGKILL);
    int end = 0;
    while (waitpid(child, &end, 0) < 0 && errno == EINTR)
        ;
    if (answered)
        return said.status == EMD_OK ? EMD_OK : emd_fail(err, said.status, "%s", said.text);
    if (status == EMD_OK)
        status = WIFSIGNALED(end)
                     ? emd_fail(err, EMD_E_CORRUPT, "the file is damaged: HDF5 crashes on it (%s)",
                                strsignal(WTERMSIG(end)))
                     : emd_fail(err, EMD_E_CORRUPT, "the file is damaged: HDF5 breaks off on it");
    return status;
}
