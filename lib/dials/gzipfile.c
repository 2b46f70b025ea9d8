/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/gzipfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/file.h"

enum {
    IN_STEP = 1 << 16,
    OUT_STEP = 1 << 18,   /* large against a system call */
    GZIP_WINDOW = 15 + 16 /* zlib's way to say "gzip, not zlib" */
};
/* Of 1 to 9. Columns of doubles hardly gain from more: 9 takes eight times as long as 1 for 3 %. */
enum { LEVEL = 4 };

bool emd_is_gzip(const unsigned char *data, size_t n)
{
    return n >= 3 && data[0] == 0x1f && data[1] == 0x8b && data[2] == 8;
}

struct stream {
    int from, to;
    uint64_t size, read, written;
    unsigned char in[IN_STEP], out[OUT_STEP];
    z_stream z;
};

static enum emd_status start(int from, int to, struct stream **out, struct emd_error *err)
{
    struct stat st;
    struct stream *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    s->from = from;
    s->to = to;
    if (fstat(from, &st) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
    s->size = (uint64_t)st.st_size;
    return EMD_OK;
}

/* The next bytes of the file, if the stream has used those before. */
static enum emd_status refill(struct stream *s, struct emd_error *err)
{
    uint64_t rest = s->size - s->read;
    size_t n = rest < IN_STEP ? (size_t)rest : IN_STEP;
    if (s->z.avail_in > 0 || n == 0)
        return EMD_OK;
    if (emd_pread_all(s->from, s->in, n, s->read) != 0)
        return errno == ENODATA
                   ? emd_fail(err, EMD_E_CHANGED, "it became shorter while it was read")
                   : emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
    s->read += n;
    s->z.next_in = s->in;
    s->z.avail_in = (uInt)n;
    return EMD_OK;
}

/* Writes what the stream has put out and gives it the room again. */
static enum emd_status drain(struct stream *s, struct emd_error *err)
{
    size_t n = OUT_STEP - s->z.avail_out;
    if (emd_pwrite_all(s->to, s->out, n, s->written) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot write");
    s->written += n;
    s->z.next_out = s->out;
    s->z.avail_out = OUT_STEP;
    return EMD_OK;
}

/* What follows a member: another one, or zeros to the end of the file (tapes, fixed records).
 * *more is false at the end. */
static enum emd_status next_member(struct stream *s, bool *more, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    while (status == EMD_OK && (s->z.avail_in > 0 || s->read < s->size)) {
        status = refill(s, err);
        if (status != EMD_OK)
            return status;
        if (*s->z.next_in != 0)
            break;
        s->z.next_in++;
        s->z.avail_in--;
    }
    *more = s->z.avail_in > 0;
    if (*more && *s->z.next_in != 0x1f)
        return emd_fail(err, EMD_E_CORRUPT, "damaged: other bytes follow the gzip data");
    if (*more && inflateReset(&s->z) != Z_OK)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    return EMD_OK;
}

enum emd_status emd_gunzip(int from, int to, uint64_t most,
                           enum emd_status (*accept)(const unsigned char *data, size_t n,
                                                     struct emd_error *err),
                           struct emd_error *err)
{
    enum { FIRST = 4096 };
    struct stream *s;
    bool more = true;
    enum emd_status status = start(from, to, &s, err);
    if (status != EMD_OK)
        goto out;
    if (inflateInit2(&s->z, GZIP_WINDOW) != Z_OK) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    s->z.next_out = s->out;
    s->z.avail_out = OUT_STEP;
    while (more && status == EMD_OK) {
        if ((status = refill(s, err)) != EMD_OK)
            break;
        const uInt before = s->z.avail_in, room = s->z.avail_out;
        int result = inflate(&s->z, Z_NO_FLUSH);
        size_t have = OUT_STEP - s->z.avail_out;
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            status = emd_fail(err, result == Z_MEM_ERROR ? EMD_E_MEMORY : EMD_E_CORRUPT,
                              "damaged gzip data: %s", s->z.msg ? s->z.msg : zError(result));
        else if (result != Z_STREAM_END && s->z.avail_in == before && s->z.avail_out == room &&
                 s->read == s->size)
            status = emd_fail(err, EMD_E_CORRUPT, "cut short: the gzip data end too early");
        else if (s->written + have > most)
            status = emd_fail(err, EMD_E_UNSUPPORTED, "it inflates to more than %llu bytes",
                              (unsigned long long)most);
        if (status == EMD_OK && result == Z_STREAM_END)
            status = next_member(s, &more, err);
        if (status != EMD_OK)
            break;
        if (accept && (!more || have >= FIRST)) {
            status = accept(s->out, have < FIRST ? have : FIRST, err);
            accept = NULL;
        }
        if (status == EMD_OK && (!more || s->z.avail_out == 0))
            status = drain(s, err);
    }
    inflateEnd(&s->z);
out:
    free(s);
    return status;
}

enum emd_status emd_gzip(int from, int to, bool (*cancelled)(void *ctx), void *ctx,
                         struct emd_error *err)
{
    struct stream *s;
    int result = Z_OK;
    enum emd_status status = start(from, to, &s, err);
    if (status != EMD_OK)
        goto out;
    if (deflateInit2(&s->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    s->z.next_out = s->out;
    s->z.avail_out = OUT_STEP;
    while (status == EMD_OK && result != Z_STREAM_END) {
        if (cancelled && cancelled(ctx)) {
            status = emd_fail(err, EMD_E_CANCELLED, "stopped on request");
            break;
        }
        status = refill(s, err);
        if (status != EMD_OK)
            break;
        result = deflate(&s->z, s->read == s->size ? Z_FINISH : Z_NO_FLUSH);
        status = drain(s, err);
    }
    deflateEnd(&s->z);
out:
    free(s);
    return status;
}
