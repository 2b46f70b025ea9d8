/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5 filter 32001: one Blosc-1 chunk. All integers are little-endian; at byte
 *
 * - 0: u8, format version, 2
 * - 1: u8, version of the inner format, 1
 * - 2: u8, flags: 1 byte shuffle, 2 stored (no compression, no block table), 4 bit shuffle, 16
 * blocks are not split; bits 5-7 inner format: 0 BloscLZ, 1 LZ4, 2 Snappy, 3 zlib, 4 Zstandard
 * - 3: u8, item size
 * - 4: u32, bytes of the original
 * - 8: u32, bytes of a block
 * - 12: u32, bytes of the chunk, this header included
 * - 16: u32 for each block, where it starts
 *
 * A block is a row of streams (u32 length, bytes), one for each byte of an item if blocks are split
 * (never the short last block), else one; a length equal to the stream's original size means that
 * it is stored. (Blosc's README_HEADER.rst and blosc.c of c-blosc 1.21; read to learn the format.)
 *
 * LZ4 and zstd, the compressors that matter for frames, are encoded here: to the bytes of c-blosc
 * (the tests compare), or as emdrepack wishes (enum emd_tune). c-blosc allocates its buffers and a
 * zstd context anew for each call, its split mode is one variable for the process, its bit shuffle
 * knows no AVX-512, and its levels are all that it lets one tell zstd. It encodes the others.
 *
 * Decoding is ours, with the context and buffers of the thread, because c-blosc's reader trusts
 * headers more than a file deserves. BloscLZ and Snappy streams, which have no library interface of
 * their own here, go to c-blosc after the whole chunk's structure has been checked. */
#include <blosc.h>
#include <lz4.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zstd_errors.h>

#include "codec/codecs.h"
#include "codec/transpose8.h"
#include "codec/work.h"

enum {
    FILTER_VERSION = 2, /* of the registered HDF5 filter */
    FORMAT_VERSION = 2,
    HEADER = 16,
    FLAG_SHUFFLE = 1,
    FLAG_STORED = 2,
    FLAG_BITSHUFFLE = 4,
    FLAG_NOT_SPLIT = 16,
    MAX_SPLITS = 16,  /* streams a block; larger items are not split */
    MIN_STREAM = 128, /* bytes; blocks with shorter streams are not split */
    /* Bytes that one byte can stand for: zstd packs 128 KiB into 4 bytes, the others less. */
    MOST_OF_A_STREAM = 32768,
    /* The smallest table is 2^6; at 2^8 zstd 1.5 is fastest and within 0.1 % of its best. Matches
     * of less than 7 bytes cost more than the literals of a camera frame. */
    NOISE_HASH_LOG = 8,
    NOISE_MIN_MATCH = 7
};

enum { FORMAT_BLOSCLZ, FORMAT_LZ4, FORMAT_SNAPPY, FORMAT_ZLIB, FORMAT_ZSTD };

/* cd_values: filter version, format version, item size, chunk bytes, level, shuffle, compressor. */
enum {
    CD_ITEM = 2,
    CD_BYTES = 3,
    CD_LEVEL = 4,
    CD_SHUFFLE = 5,
    CD_COMPRESSOR = 6,
    CD_RESERVED = 4
};

static const char *const compressors[] = {BLOSC_BLOSCLZ_COMPNAME, BLOSC_LZ4_COMPNAME,
                                          BLOSC_LZ4HC_COMPNAME,   BLOSC_SNAPPY_COMPNAME,
                                          BLOSC_ZLIB_COMPNAME,    BLOSC_ZSTD_COMPNAME};
enum { COMPRESSORS = sizeof compressors / sizeof compressors[0] };

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, size_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* ---- parameters ---- */

static enum emd_status set_local(const struct emd_chunk_shape *shape, const unsigned *user,
                                 size_t user_count, unsigned cd[EMD_CD_MAX], size_t *cd_count,
                                 struct emd_error *err)
{
    size_t bytes = emd_chunk_bytes(shape);
    size_t item = shape->base_size;
    if (bytes == 0 || bytes > BLOSC_MAX_BUFFERSIZE)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "blosc: a chunk of %zu bytes (Blosc takes up to %d)", bytes,
                        BLOSC_MAX_BUFFERSIZE);
    if (item == 0 || item > BLOSC_MAX_TYPESIZE)
        item = 1;
    if (user_count > EMD_CD_MAX)
        return emd_fail(err, EMD_E_ARGUMENT, "blosc: %zu parameters are too many", user_count);
    for (size_t i = 0; i < user_count; i++)
        cd[i] = user[i];
    cd[0] = FILTER_VERSION;
    cd[1] = FORMAT_VERSION;
    cd[CD_ITEM] = (unsigned)item;
    cd[CD_BYTES] = (unsigned)bytes;
    *cd_count = user_count < CD_RESERVED ? CD_RESERVED : user_count;
    return EMD_OK;
}

struct parameters {
    unsigned item, level, shuffle, compressor;
};

static enum emd_status parse(const unsigned *cd, size_t cd_count, struct parameters *p,
                             struct emd_error *err)
{
    *p = (struct parameters){.item = 1, .level = 5, .shuffle = BLOSC_SHUFFLE};
    if (cd_count > CD_ITEM)
        p->item = cd[CD_ITEM];
    if (cd_count > CD_LEVEL)
        p->level = cd[CD_LEVEL];
    if (cd_count > CD_SHUFFLE)
        p->shuffle = cd[CD_SHUFFLE];
    if (cd_count > CD_COMPRESSOR)
        p->compressor = cd[CD_COMPRESSOR];
    if (p->item == 0 || p->item > BLOSC_MAX_TYPESIZE)
        return emd_fail(err, EMD_E_ARGUMENT, "blosc: item size %u is not 1 to %d", p->item,
                        BLOSC_MAX_TYPESIZE);
    if (p->level > 9)
        return emd_fail(err, EMD_E_ARGUMENT, "blosc: level %u is not 0 to 9", p->level);
    if (p->shuffle > BLOSC_BITSHUFFLE)
        return emd_fail(err, EMD_E_ARGUMENT, "blosc: shuffle %u is not 0 to 2", p->shuffle);
    if (p->compressor >= COMPRESSORS)
        return emd_fail(err, EMD_E_ARGUMENT, "blosc: compressor %u is not 0 to %d", p->compressor,
                        COMPRESSORS - 1);
    return EMD_OK;
}

static size_t bound(const unsigned *cd, size_t cd_count, size_t n)
{
    (void)cd;
    (void)cd_count;
    return n <= BLOSC_MAX_BUFFERSIZE ? n + HEADER : 0;
}

/* ---- encoding ---- */

/* Shuffles one block as Blosc does: bit shuffle only where the items of the block are a multiple of
 * eight; bytes after the last whole item stay. */
static const uint8_t *shuffle_block(unsigned flags, size_t item, const uint8_t *src, uint8_t *tmp,
                                    size_t n)
{
    if (flags & FLAG_SHUFFLE && item > 1) {
        emd_shuffle(item, src, tmp, n);
        return tmp;
    }
    if (flags & FLAG_BITSHUFFLE && n / item % 8 == 0 && n >= item) {
        size_t whole = n / item * item;
        emd_bitshuffle(item, src, tmp, n / item);
        memcpy(tmp + whole, src + whole, n - whole);
        return tmp;
    }
    return src;
}

/* zstd's level for a level of Blosc, as c-blosc maps them: 1, 3, ... 17, and the highest for 9. */
static int zstd_level(unsigned level)
{
    return level < 9 ? (int)(2 * level - 1) : ZSTD_maxCLevel();
}

/* How a chunk is cut into blocks, and these into streams. A short last block is never split. */
struct layout {
    size_t block, blocks;
    bool split;
};

static bool worth_splitting(const struct parameters *p, size_t block)
{
    return p->item <= MAX_SPLITS && block / p->item >= MIN_STREAM;
}

/* c-blosc's choice (compute_blocksize and split_block in its blosc.c): by level, twice as much for
 * zstd, never split; LZ4's as large for each stream, within bounds. level > 0. */
static struct layout layout_of_others(const struct parameters *p, size_t n)
{
    static const uint8_t log[10] = {0, 14, 15, 16, 17, 17, 18, 18, 18, 18};
    enum { SMALL = 1 << 15, SPLIT_STREAM = 1 << 18, SPLIT_LEAST = 1 << 16, SPLIT_MOST = 1 << 20 };
    const bool zstd = p->compressor == BLOSC_ZSTD;
    struct layout l = {.block = n};
    if (n < p->item) {
        l.block = 1;
    } else if (n >= SMALL) {
        l.block = (size_t)1 << (log[p->level] + zstd + (zstd && p->level == 9));
    }
    if (!zstd && worth_splitting(p, l.block)) {
        l.block = (l.block < SPLIT_STREAM ? l.block : SPLIT_STREAM) * p->item;
        if (l.block < SPLIT_LEAST)
            l.block = SPLIT_LEAST;
        if (l.block > SPLIT_MOST)
            l.block = SPLIT_MOST;
    }
    if (l.block > n)
        l.block = n;
    if (l.block > p->item)
        l.block -= l.block % p->item;
    l.split = !zstd && worth_splitting(p, l.block);
    l.blocks = (n - 1) / l.block + 1;
    return l;
}

static struct layout layout_of_tune(const struct parameters *p, unsigned tune, size_t n)
{
    const size_t wanted = (size_t)1 << (tune & EMD_TUNE_BLOCK_LOG);
    /* Whole groups of eight items, as bit shuffle needs. */
    const size_t rounded = wanted > 8 * p->item ? wanted - wanted % (8 * p->item) : 8 * p->item;
    struct layout l = {.block = rounded < n ? rounded : n};
    l.split = tune & EMD_TUNE_SPLIT && p->shuffle == BLOSC_SHUFFLE && l.block % p->item == 0 &&
              worth_splitting(p, l.block);
    l.blocks = (n - 1) / l.block + 1;
    return l;
}

/* Some blocks in a row: the work of one thread. The first part writes to its place in the chunk,
 * where room may run short; the others to buffers of their own. */
struct encode_part {
    size_t first, end; /* blocks */
    uint8_t *made;
    size_t size;
    size_t wanted; /* room that would never have been short */
    bool full;
};

struct encode_job {
    const struct parameters *p;
    struct layout l;
    unsigned flags, tune;
    const uint8_t *src;
    size_t n;
    uint8_t *dst;
    size_t limit; /* bytes of the chunk at most */
    struct encode_part part[EMD_WORK_THREADS_MAX];
};

static ZSTD_CCtx *set_up_zstd(const struct parameters *p, struct emd_work *work, unsigned tune)
{
    ZSTD_CCtx *cctx = emd_work_cctx(work);
    if (cctx && tune) {
        ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);
        ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, zstd_level(p->level));
        if (tune & EMD_TUNE_NOISE) {
            ZSTD_CCtx_setParameter(cctx, ZSTD_c_hashLog, NOISE_HASH_LOG);
            ZSTD_CCtx_setParameter(cctx, ZSTD_c_minMatch, NOISE_MIN_MATCH);
        }
    }
    return cctx;
}

/* *out = bytes made, 0 if they do not fit. */
static enum emd_status encode_stream(const struct encode_job *job, ZSTD_CCtx *cctx,
                                     const uint8_t *src, size_t n, uint8_t *dst, size_t room,
                                     size_t *out, struct emd_error *err)
{
    *out = 0;
    if (!cctx) { /* LZ4, whose acceleration c-blosc takes from the level like this */
        const int size = LZ4_compress_fast((const char *)src, (char *)dst, (int)n, (int)room,
                                           10 - (int)job->p->level);
        *out = size > 0 ? (size_t)size : 0;
        return EMD_OK;
    }
    const size_t size = job->tune
                            ? ZSTD_compress2(cctx, dst, room, src, n)
                            : ZSTD_compressCCtx(cctx, dst, room, src, n, zstd_level(job->p->level));
    if (!ZSTD_isError(size))
        *out = size;
    else if (ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation)
        return emd_fail(err, EMD_E_MEMORY, "blosc: out of memory");
    return EMD_OK;
}

static enum emd_status encode_part(void *ctx, unsigned index, struct emd_work *work,
                                   struct emd_error *err)
{
    struct encode_job *job = ctx;
    struct encode_part *part = &job->part[index];
    const struct parameters *p = job->p;
    const struct layout *l = &job->l;
    const size_t table = HEADER + 4 * l->blocks, streams = l->split ? p->item : 1;
    size_t room = job->limit - table, at = 0;
    uint8_t *tmp = emd_work_scratch(work, EMD_SCRATCH_FILTER, l->block);
    ZSTD_CCtx *cctx = p->compressor == BLOSC_ZSTD ? set_up_zstd(p, work, job->tune) : NULL;
    part->made = job->dst + table;
    if (index > 0) {
        room = (part->end - part->first) * (l->block + 4 * streams);
        part->made = emd_work_scratch(work, EMD_SCRATCH_PIPE_A, room);
    }
    if (!tmp || !part->made || (p->compressor == BLOSC_ZSTD && !cctx))
        return emd_fail(err, EMD_E_MEMORY, "blosc: out of memory");
    for (size_t i = part->first; i < part->end; i++) {
        const size_t start = i * l->block;
        const size_t size = job->n - start < l->block ? job->n - start : l->block;
        const size_t count = size == l->block ? streams : 1, stream = size / count;
        const uint8_t *from = shuffle_block(job->flags, p->item, job->src + start, tmp, size);
        store32(job->dst + HEADER + 4 * i, at); /* from the part's beginning */
        for (size_t s = 0; s < count; s++, from += stream) {
            if (room - at < 4 + 1)
                goto full;
            const size_t left = room - at - 4;
            size_t made = 0;
            enum emd_status status = encode_stream(job, cctx, from, stream, part->made + at + 4,
                                                   left < stream ? left : stream, &made, err);
            if (status != EMD_OK)
                return status;
            if (made == 0 || made == stream) {
                if (left < stream)
                    goto full;
                memcpy(part->made + at + 4, from, stream);
                made = stream;
            }
            if (part->wanted < at + 4 + stream)
                part->wanted = at + 4 + stream;
            store32(part->made + at, made);
            at += 4 + made;
        }
    }
    part->size = at;
    return EMD_OK;
full:
    part->full = true;
    return EMD_OK;
}

/* Puts the parts together. False: the chunk is to be stored, or (*again) the parts were made with
 * more room than they have here, which one thread alone would have noticed. */
static bool join_parts(struct encode_job *job, unsigned parts, size_t *out, bool *again)
{
    size_t at = HEADER + 4 * job->l.blocks;
    *again = false;
    for (unsigned i = 0; i < parts; i++) {
        const struct encode_part *part = &job->part[i];
        if (part->full)
            return false;
        if (i > 0) {
            *again = part->wanted > job->limit - at;
            if (*again)
                return false;
            memcpy(job->dst + at, part->made, part->size);
        }
        for (size_t block = part->first; block < part->end; block++) {
            uint8_t *entry = job->dst + HEADER + 4 * block;
            store32(entry, at + load32(entry));
        }
        at += part->size;
    }
    *out = at;
    return true;
}

static enum emd_status encode_here(const struct parameters *p, struct emd_work *work,
                                   const uint8_t *src, size_t n, uint8_t *dst, size_t capacity,
                                   size_t *out, struct emd_error *err)
{
    const unsigned tune = p->compressor == BLOSC_ZSTD && work->tune & EMD_TUNE_BLOCK_LOG
                              ? work->tune
                              : EMD_TUNE_AS_OTHERS;
    struct encode_job job = {.p = p, .tune = tune, .src = src, .n = n, .dst = dst};
    job.l = tune ? layout_of_tune(p, tune, n) : layout_of_others(p, n);
    job.limit = capacity < n + HEADER ? capacity : n + HEADER;
    job.flags = (p->compressor == BLOSC_ZSTD ? FORMAT_ZSTD : FORMAT_LZ4) << 5;
    if (!job.l.split)
        job.flags |= FLAG_NOT_SPLIT;
    if (p->shuffle == BLOSC_SHUFFLE)
        job.flags |= FLAG_SHUFFLE;
    if (p->shuffle == BLOSC_BITSHUFFLE)
        job.flags |= FLAG_BITSHUFFLE;
    bool again = HEADER + 4 * job.l.blocks <= job.limit;
    unsigned parts = emd_work_parts(work, n);
    if (parts > job.l.blocks)
        parts = (unsigned)job.l.blocks;
    for (; again; parts = 1) {
        const uint64_t blocks = job.l.blocks;
        for (unsigned i = 0; i < parts; i++)
            job.part[i] = (struct encode_part){.first = (size_t)(blocks * i / parts),
                                               .end = (size_t)(blocks * (i + 1) / parts)};
        enum emd_status status = emd_work_share(work, parts, &job, encode_part, err);
        if (status != EMD_OK)
            return status;
        if (join_parts(&job, parts, out, &again))
            goto made;
    }
    if (capacity < n + HEADER)
        return emd_fail(err, EMD_E_BUDGET, "blosc: the result does not fit %zu bytes", capacity);
    job.flags |= FLAG_STORED;
    memcpy(dst + HEADER, src, n);
    *out = n + HEADER;
made:
    dst[0] = FORMAT_VERSION;
    dst[1] = 1;
    dst[2] = (uint8_t)job.flags;
    dst[3] = (uint8_t)p->item;
    store32(dst + 4, n);
    store32(dst + 8, job.l.block);
    store32(dst + 12, *out);
    return EMD_OK;
}

/* One split mode for the whole process, c-blosc's own default, whatever another user of the library
 * may have set before: the same chunk gives the same bytes. */
static void fix_split_mode(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&done))
        blosc_set_splitmode(BLOSC_FORWARD_COMPAT_SPLIT);
}

static enum emd_status encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    struct parameters p = {0};
    enum emd_status status = parse(cd, cd_count, &p, err);
    if (status != EMD_OK)
        return status;
    if (n > BLOSC_MAX_BUFFERSIZE)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "blosc: a chunk of %zu bytes (Blosc takes up to %d)", n,
                        BLOSC_MAX_BUFFERSIZE);
    if ((p.compressor == BLOSC_LZ4 || p.compressor == BLOSC_ZSTD) && p.level > 0 &&
        n >= MIN_STREAM) {
        struct emd_work *mine;
        work = emd_work_or_new(work, &mine);
        status = work ? encode_here(&p, work, src, n, dst, capacity, out, err)
                      : emd_fail(err, EMD_E_MEMORY, "blosc: out of memory");
        emd_work_free(mine);
        return status;
    }
    const char *name = compressors[p.compressor];
    if (blosc_compname_to_compcode(name) < 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "blosc: the installed c-blosc has no %s", name);
    fix_split_mode();
    int size = blosc_compress_ctx((int)p.level, (int)p.shuffle, p.item, n, src, dst,
                                  capacity < (size_t)BLOSC_MAX_BUFFERSIZE + HEADER
                                      ? capacity
                                      : (size_t)BLOSC_MAX_BUFFERSIZE + HEADER,
                                  name, 0, 1);
    if (size < 0)
        return emd_fail(err, EMD_E_MEMORY, "blosc: c-blosc fails with code %d", size);
    if (size == 0)
        return emd_fail(err, EMD_E_BUDGET, "blosc: the result does not fit %zu bytes", capacity);
    *out = (size_t)size;
    return EMD_OK;
}

/* ---- decoding ---- */

struct header {
    unsigned flags, format;
    size_t item, bytes, block, blocks;
};

static enum emd_status parse_header(const uint8_t *src, size_t n, size_t limit, struct header *h,
                                    struct emd_error *err)
{
    if (n < HEADER)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: %zu bytes are no whole header", n);
    if (src[0] == 0 || src[0] > FORMAT_VERSION)
        return emd_fail(err, src[0] ? EMD_E_UNSUPPORTED : EMD_E_CORRUPT,
                        "blosc: format version %u is not 1 or 2", src[0]);
    size_t size = load32(src + 12);
    *h = (struct header){.flags = src[2],
                         .format = src[2] >> 5,
                         .item = src[3],
                         .bytes = load32(src + 4),
                         .block = load32(src + 8)};
    if (size != n)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: the header says %zu bytes, there are %zu", size,
                        n);
    if (h->bytes > BLOSC_MAX_BUFFERSIZE || h->bytes > limit || h->bytes / MOST_OF_A_STREAM > n)
        return emd_fail(err, EMD_E_CORRUPT,
                        "blosc: the header claims %zu bytes where at most %zu belong", h->bytes,
                        limit);
    if (h->item == 0)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: item size 0");
    if (h->flags & FLAG_SHUFFLE && h->flags & FLAG_BITSHUFFLE)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: byte and bit shuffle at once");
    if (h->flags & FLAG_STORED) {
        if (n - HEADER != h->bytes)
            return emd_fail(err, EMD_E_CORRUPT, "blosc: %zu stored bytes where %zu belong",
                            n - HEADER, h->bytes);
        return EMD_OK;
    }
    if (h->format > FORMAT_ZSTD)
        return emd_fail(err, EMD_E_UNSUPPORTED, "blosc: unknown inner format %u", h->format);
    if (h->bytes == 0) {
        h->block = 0; /* of no meaning, and nothing to allocate for */
        return EMD_OK;
    }
    if (h->block == 0 || h->block > h->bytes)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: blocks of %zu bytes in a chunk of %zu",
                        h->block, h->bytes);
    h->blocks = (h->bytes - 1) / h->block + 1;
    if (h->blocks > (n - HEADER) / 4)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: %zu blocks in %zu bytes", h->blocks, n);
    return EMD_OK;
}

/* Where block i lies in the original and in the chunk, and its streams. */
struct block {
    size_t start, size; /* in the original */
    size_t at;          /* of the first stream's length */
    size_t streams, stream;
};

static struct block block_of(const struct header *h, const uint8_t *src, size_t i)
{
    const size_t start = i * h->block, left = h->bytes - start;
    const bool split = !(h->flags & FLAG_NOT_SPLIT) && h->item <= MAX_SPLITS &&
                       h->block / h->item >= MIN_STREAM && left >= h->block;
    struct block b = {.start = start, .size = left < h->block ? left : h->block};
    b.at = load32(src + HEADER + 4 * i);
    b.streams = split ? h->item : 1;
    b.stream = b.size / b.streams;
    return b;
}

/* Checks all places and lengths, on which decoding then relies. The blocks lie there in any order
 * (c-blosc's threads finish as they may) but without gaps: whatever else the chunk holds is damage.
 */
static enum emd_status check_blocks(const struct header *h, const uint8_t *src, size_t n,
                                    struct emd_error *err)
{
    const size_t table = HEADER + 4 * h->blocks;
    uint64_t filled = table;
    for (size_t i = 0; i < h->blocks; i++) {
        struct block b = block_of(h, src, i);
        if (b.at < table || b.at > n)
            return emd_fail(err, EMD_E_CORRUPT, "blosc: block %zu starts at %zu of %zu bytes", i,
                            b.at, n);
        if (b.stream * b.streams != b.size)
            return emd_fail(err, EMD_E_CORRUPT, "blosc: a block of %zu bytes split into %zu",
                            b.size, b.streams);
        for (size_t s = 0; s < b.streams; s++) {
            if (n - b.at < 4)
                return emd_fail(err, EMD_E_CORRUPT, "blosc: block %zu is cut short", i);
            const size_t size = load32(src + b.at), left = n - b.at - 4;
            if (size > left)
                return emd_fail(err, EMD_E_CORRUPT,
                                "blosc: a stream of %zu bytes in block %zu, %zu are left", size, i,
                                left);
            b.at += 4 + size;
            filled += 4 + size;
        }
    }
    if (filled != n)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: blocks for %llu of %zu bytes",
                        (unsigned long long)filled, n);
    return EMD_OK;
}

static bool decode_stream(unsigned format, struct emd_work *work, const uint8_t *src, size_t n,
                          uint8_t *dst, size_t size)
{
    switch (format) {
    case FORMAT_LZ4:
        return n <= INT32_MAX && size <= INT32_MAX &&
               LZ4_decompress_safe((const char *)src, (char *)dst, (int)n, (int)size) == (int)size;
    case FORMAT_ZLIB: {
        struct libdeflate_decompressor *inflater = emd_work_inflater(work);
        size_t used = 0;
        return inflater &&
               libdeflate_zlib_decompress_ex(inflater, src, n, dst, size, &used, NULL) ==
                   LIBDEFLATE_SUCCESS &&
               used == n;
    }
    case FORMAT_ZSTD: {
        ZSTD_DCtx *dctx = emd_work_dctx(work);
        return dctx && ZSTD_decompressDCtx(dctx, dst, size, src, n) == size;
    }
    default:
        return false;
    }
}

/* Blocks 'first' to before 'end' of a chunk whose blocks have been checked. */
static enum emd_status decode_blocks(const struct header *h, size_t first, size_t end,
                                     struct emd_work *work, const uint8_t *src, uint8_t *dst,
                                     struct emd_error *err)
{
    const bool bits = h->flags & FLAG_BITSHUFFLE, bytes = h->flags & FLAG_SHUFFLE && h->item > 1;
    uint8_t *tmp = NULL;
    if ((bits || bytes) && !(tmp = emd_work_scratch(work, EMD_SCRATCH_FILTER, h->block)))
        return emd_fail(err, EMD_E_MEMORY, "blosc: out of memory");
    for (size_t i = first; i < end; i++) {
        struct block b = block_of(h, src, i);
        const size_t items = b.size / h->item;
        const bool unbits = bits && items % 8 == 0 && items > 0;
        uint8_t *to = bytes || unbits ? tmp : dst + b.start;
        for (size_t s = 0; s < b.streams; s++) {
            const uint8_t *const data = src + b.at + 4;
            const size_t size = load32(src + b.at);
            b.at += 4 + size;
            if (size == b.stream)
                memcpy(to + s * b.stream, data, size);
            else if (!decode_stream(h->format, work, data, size, to + s * b.stream, b.stream))
                return emd_fail(err, EMD_E_CORRUPT, "blosc: stream %zu of block %zu is damaged", s,
                                i);
        }
        if (bytes) {
            emd_unshuffle(h->item, tmp, dst + b.start, b.size);
        } else if (unbits) {
            size_t whole = items * h->item;
            emd_bitunshuffle(h->item, tmp, dst + b.start, items);
            memcpy(dst + b.start + whole, tmp + whole, b.size - whole);
        }
    }
    return EMD_OK;
}

struct decode_job {
    const struct header *h;
    const uint8_t *src;
    uint8_t *dst;
    unsigned parts;
};

static enum emd_status decode_part(void *ctx, unsigned i, struct emd_work *work,
                                   struct emd_error *err)
{
    const struct decode_job *job = ctx;
    const uint64_t blocks = job->h->blocks;
    return decode_blocks(job->h, blocks * i / job->parts, blocks * (i + 1) / job->parts, work,
                         job->src, job->dst, err);
}

/* BloscLZ and Snappy. */
static enum emd_status decode_with_library(const struct header *h, const uint8_t *src, uint8_t *dst,
                                           int threads, struct emd_error *err)
{
    const char *name = compressors[h->format == FORMAT_SNAPPY ? BLOSC_SNAPPY : BLOSC_BLOSCLZ];
    if (blosc_compname_to_compcode(name) < 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "blosc: the installed c-blosc has no %s", name);
    int size = blosc_decompress_ctx(src, dst, h->bytes, threads);
    if (size < 0 || (size_t)size != h->bytes)
        return emd_fail(err, EMD_E_CORRUPT, "blosc: a %s stream is damaged (code %d)", name, size);
    return EMD_OK;
}

static enum emd_status decoded_size(const unsigned *cd, size_t cd_count, const void *src, size_t n,
                                    size_t limit, size_t *out, struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    struct header h = {0};
    enum emd_status status = parse_header(src, n, limit, &h, err);
    if (status == EMD_OK)
        *out = h.bytes;
    return status;
}

static enum emd_status decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    (void)cd;
    (void)cd_count;
    struct header h = {0};
    struct emd_work *mine = NULL;
    enum emd_status status = parse_header(src, n, capacity, &h, err);
    if (status == EMD_OK && !(h.flags & FLAG_STORED))
        status = check_blocks(&h, src, n, err);
    if (status != EMD_OK)
        return status;
    if (h.flags & FLAG_STORED) {
        if (h.bytes > 0)
            memcpy(dst, (const uint8_t *)src + HEADER, h.bytes);
    } else if (h.format == FORMAT_BLOSCLZ || h.format == FORMAT_SNAPPY) {
        const int threads = work ? (int)emd_work_parts(work, h.bytes) : 1;
        status = decode_with_library(&h, src, dst, threads, err);
    } else if (!(work = emd_work_or_new(work, &mine))) {
        status = emd_fail(err, EMD_E_MEMORY, "blosc: out of memory");
    } else {
        struct decode_job job = {&h, src, dst, emd_work_parts(work, h.bytes)};
        status = emd_work_share(work, job.parts, &job, decode_part, err);
    }
    if (status == EMD_OK)
        *out = h.bytes;
    emd_work_free(mine);
    return status;
}

static size_t work_bytes(const unsigned *cd, size_t cd_count, size_t n)
{
    struct parameters p = {0};
    size_t context = 0;
    if (parse(cd, cd_count, &p, NULL) == EMD_OK && p.compressor == BLOSC_ZSTD && p.level > 0) {
        const unsigned level[] = {(unsigned)zstd_level(p.level)};
        context = emd_codec_zstd.work_bytes(level, 1, n);
    }
    /* Our shuffled block, or c-blosc's two and a little more. */
    return context + 3 * n + 65536;
}

static void libraries(char *text, size_t room)
{
    snprintf(text, room, "c-blosc %s (%s), lz4 %s, zstd %s", blosc_get_version_string(),
             blosc_list_compressors(), LZ4_versionString(), ZSTD_versionString());
}

const struct emd_codec emd_codec_blosc = {
    .name = "blosc",
    .id = EMD_FILTER_BLOSC,
    .description = "Blosc",
    .set_local = set_local,
    .bound = bound,
    .encode = encode,
    .decoded_size = decoded_size,
    .decode = decode,
    .libraries = libraries,
    .work_bytes = work_bytes,
};
