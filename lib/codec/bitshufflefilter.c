/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5 filter 32008: bitshuffle, alone or with LZ4 or zstd.
 *
 * - cd_values: major and minor version (0.4: the first with zstd), item size, items of a block (0:
 *   automatic), compression 0, 2 (LZ4) or 3 (zstd), level of zstd; users give those from the fourth
 *   on.
 * - Chunk without compression: the items of each block bit shuffled, same size, no header.
 * - Chunk with compression: u64 bytes of the original, u32 bytes of a block, then for each block
 * u32 length and the compressed bit shuffled block. All integers are big-endian.
 * - Blocks: a multiple of 8 items each; the last one is cut to such a multiple, and the up to 7
 * items that are left follow as they are.
 *
 * (bshuf_h5filter.c and bitshuffle.c of bitshuffle 0.4 and 0.3.5; read to learn the format.) */
#include <lz4.h>
#include <stdio.h>
#include <string.h>
#include <zstd_errors.h>

#include "codec/codecs.h"
#include "codec/transpose8.h"
#include "codec/work.h"

enum { CD_MAJOR, CD_MINOR, CD_ITEM, CD_BLOCK, CD_MODE, CD_LEVEL, CD_MOST };

enum {
    MODE_NONE = 0,
    MODE_LZ4 = 2,
    MODE_ZSTD = 3,
    GROUP = 8, /* items that a bit shuffle treats at once */
    /* The automatic block, which others need not store: 8 KiB, at least 128 items. */
    AUTOMATIC_BYTES = 8192,
    AUTOMATIC_ITEMS = 128,
    HEADER = 8 + 4,
    DEFAULT_LEVEL = 3, /* what zstd makes of a level of 0, too */
    /* Bytes that one byte can stand for: LZ4 255, zstd 128 KiB in 4 bytes. */
    MOST_OF_A_BYTE = 32768
};

static uint64_t load_big(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static void store_big(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = bytes; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
}

/* ---- parameters ---- */

struct parameters {
    size_t item, block; /* bytes of an item, items of a block */
    unsigned mode;
    int level;
};

static bool is_mode(unsigned mode)
{
    return mode == MODE_NONE || mode == MODE_LZ4 || mode == MODE_ZSTD;
}

static enum emd_status check_options(unsigned block, unsigned mode, struct emd_error *err)
{
    if (block % GROUP != 0)
        return emd_fail(err, EMD_E_ARGUMENT, "bitshuffle: blocks of %u items, no multiple of %d",
                        block, GROUP);
    if (!is_mode(mode))
        return emd_fail(err, EMD_E_ARGUMENT,
                        "bitshuffle: compression %u is not 0, 2 (LZ4) or 3 (zstd)", mode);
    return EMD_OK;
}

/* Users give up to three values, stored are three to six. Three that a user may have given (block,
 * compression, level) are taken for that. */
static enum emd_status set_local(const struct emd_chunk_shape *shape, const unsigned *user,
                                 size_t user_count, unsigned cd[EMD_CD_MAX], size_t *cd_count,
                                 struct emd_error *err)
{
    const bool given = user_count < CD_BLOCK ||
                       (user_count == CD_BLOCK && user[0] % GROUP == 0 && is_mode(user[1]));
    const size_t skip = given ? 0 : CD_BLOCK;
    if (user_count > CD_MOST)
        return emd_fail(err, EMD_E_ARGUMENT, "bitshuffle: %zu parameters are too many", user_count);
    if (shape->item_size == 0 || shape->item_size > UINT32_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "bitshuffle: items of %zu bytes", shape->item_size);
    unsigned options[CD_MOST - CD_BLOCK] = {0};
    const size_t count = user_count - skip;
    for (size_t i = 0; i < count; i++)
        options[i] = user[skip + i];
    enum emd_status status = check_options(options[0], options[1], err);
    if (status != EMD_OK)
        return status;
    cd[CD_MAJOR] = 0;
    cd[CD_MINOR] = 4;
    cd[CD_ITEM] = (unsigned)shape->item_size;
    for (size_t i = 0; i < count; i++)
        cd[CD_BLOCK + i] = options[i];
    *cd_count = CD_BLOCK + count;
    return EMD_OK;
}

static size_t automatic_block(size_t item)
{
    const size_t items = AUTOMATIC_BYTES / item / GROUP * GROUP;
    return items > AUTOMATIC_ITEMS ? items : AUTOMATIC_ITEMS;
}

static enum emd_status parse(const unsigned *cd, size_t cd_count, struct parameters *p,
                             struct emd_error *err)
{
    if (cd_count <= CD_ITEM || cd[CD_ITEM] == 0)
        return emd_fail(err, EMD_E_ARGUMENT, "bitshuffle: the item size is missing");
    const unsigned block = cd_count > CD_BLOCK ? cd[CD_BLOCK] : 0;
    *p = (struct parameters){.item = cd[CD_ITEM],
                             .block = block,
                             .mode = cd_count > CD_MODE ? cd[CD_MODE] : MODE_NONE,
                             .level = cd_count > CD_LEVEL ? (int)cd[CD_LEVEL] : DEFAULT_LEVEL};
    if (block == 0)
        p->block = automatic_block(p->item);
    if (p->level > ZSTD_maxCLevel())
        p->level = ZSTD_maxCLevel();
    return check_options(block, p->mode, err);
}

/* ---- blocks ---- */

/* Items of the block at 'start' of 'items' in all: 0 where only the raw rest follows. */
static size_t block_items(const struct parameters *p, size_t items, size_t start)
{
    const size_t left = items - start;
    return left >= p->block ? p->block : left / GROUP * GROUP;
}

/* Largest compressed form of a block of n bytes, with its length; 0 if there is none. */
static size_t block_bound(unsigned mode, size_t n)
{
    if (mode == MODE_ZSTD) {
        const size_t most = ZSTD_compressBound(n);
        return ZSTD_isError(most) ? 0 : most + 4;
    }
    return n <= LZ4_MAX_INPUT_SIZE ? (size_t)LZ4_compressBound((int)n) + 4 : 0;
}

static size_t bound(const unsigned *cd, size_t cd_count, size_t n)
{
    struct parameters p = {0};
    size_t most = n;
    if (parse(cd, cd_count, &p, NULL) != EMD_OK || p.mode == MODE_NONE)
        return n;
    const size_t bytes = n / p.item < p.block ? n : p.block * p.item;
    const size_t blocks = bytes ? n / bytes + 1 : 1, each = block_bound(p.mode, bytes);
    if (each == 0 || __builtin_mul_overflow(blocks, each, &most) || most > SIZE_MAX - HEADER - n)
        return 0;
    return HEADER + most + (GROUP - 1) * (p.item < n ? p.item : n);
}

static enum emd_status shuffle_only(bool forward, const struct parameters *p, const uint8_t *src,
                                    size_t n, uint8_t *dst, size_t capacity, size_t *out,
                                    struct emd_error *err)
{
    const size_t items = n / p->item;
    if (n > capacity)
        return emd_fail(err, forward ? EMD_E_BUDGET : EMD_E_CORRUPT,
                        "bitshuffle: %zu bytes where at most %zu belong", n, capacity);
    size_t start = 0, count;
    for (; (count = block_items(p, items, start)) > 0; start += count)
        (forward ? emd_bitshuffle : emd_bitunshuffle)(p->item, src + start * p->item,
                                                      dst + start * p->item, count);
    if (n > start * p->item)
        memcpy(dst + start * p->item, src + start * p->item, n - start * p->item);
    *out = n;
    return EMD_OK;
}

static enum emd_status compress_block(const struct parameters *p, ZSTD_CCtx *cctx,
                                      const uint8_t *src, size_t n, uint8_t *dst, size_t capacity,
                                      size_t *out, struct emd_error *err)
{
    size_t made = 0;
    if (p->mode == MODE_ZSTD) {
        made = ZSTD_compressCCtx(cctx, dst, capacity, src, n, p->level);
        if (ZSTD_isError(made)) {
            if (ZSTD_getErrorCode(made) == ZSTD_error_memory_allocation)
                return emd_fail(err, EMD_E_MEMORY, "bitshuffle: out of memory");
            made = 0;
        }
    } else if (n <= LZ4_MAX_INPUT_SIZE) {
        const int room = capacity < INT32_MAX ? (int)capacity : INT32_MAX;
        const int size = LZ4_compress_default((const char *)src, (char *)dst, (int)n, room);
        made = size > 0 ? (size_t)size : 0;
    }
    if (made == 0)
        return emd_fail(err, EMD_E_BUDGET, "bitshuffle: a block of %zu bytes does not fit %zu", n,
                        capacity);
    *out = made;
    return EMD_OK;
}

/* One part of a chunk in either direction: blocks 'first' to before 'end'. */
struct part {
    size_t first, end;
    size_t at;     /* decoding: where it begins in the chunk */
    uint8_t *made; /* encoding: the compressed blocks, and their bytes */
    size_t size;
};

struct job {
    const struct parameters *p;
    const uint8_t *src;
    uint8_t *dst;
    size_t items, capacity; /* items of the original; bytes that fit dst */
    struct part part[EMD_WORK_THREADS_MAX];
};

static size_t count_blocks(const struct parameters *p, size_t items)
{
    return items / p->block + (items % p->block >= GROUP);
}

static void cut(struct job *job, unsigned parts)
{
    const uint64_t blocks = count_blocks(job->p, job->items);
    for (unsigned i = 0; i < parts; i++)
        job->part[i] = (struct part){.first = (size_t)(blocks * i / parts),
                                     .end = (size_t)(blocks * (i + 1) / parts)};
}

static enum emd_status compress_part(void *ctx, unsigned i, struct emd_work *work,
                                     struct emd_error *err)
{
    struct job *job = ctx;
    const struct parameters *p = job->p;
    struct part *part = &job->part[i];
    const size_t most = (job->items < p->block ? job->items : p->block) * p->item;
    size_t room = job->capacity - HEADER, at = 0;
    uint8_t *tmp = emd_work_scratch(work, EMD_SCRATCH_FILTER, most);
    ZSTD_CCtx *cctx = p->mode == MODE_ZSTD ? emd_work_cctx(work) : NULL;
    part->made = job->dst + HEADER;
    if (i > 0) {
        room = (part->end - part->first) * block_bound(p->mode, most);
        part->made = emd_work_scratch(work, EMD_SCRATCH_PIPE_A, room);
    }
    if (!tmp || !part->made || (p->mode == MODE_ZSTD && !cctx))
        return emd_fail(err, EMD_E_MEMORY, "bitshuffle: out of memory");
    for (size_t block = part->first; block < part->end; block++) {
        const size_t start = block * p->block, count = block_items(p, job->items, start);
        size_t made = 0;
        if (room - at < 4)
            return emd_fail(err, EMD_E_BUDGET, "bitshuffle: the result does not fit %zu bytes",
                            job->capacity);
        emd_bitshuffle(p->item, job->src + start * p->item, tmp, count);
        enum emd_status status = compress_block(p, cctx, tmp, count * p->item, part->made + at + 4,
                                                room - at - 4, &made, err);
        if (status != EMD_OK)
            return status;
        store_big(part->made + at, made, 4);
        at += 4 + made;
    }
    part->size = at;
    return EMD_OK;
}

static enum emd_status compress(const struct parameters *p, struct emd_work *work,
                                const uint8_t *src, size_t n, uint8_t *dst, size_t capacity,
                                size_t *out, struct emd_error *err)
{
    struct job job = {p, src, dst, n / p->item, capacity, {{0}}};
    const unsigned parts = emd_work_parts(work, n);
    const size_t done = job.items / GROUP * GROUP * p->item; /* the rest follows raw */
    if (p->block > UINT32_MAX / p->item)
        return emd_fail(err, EMD_E_UNSUPPORTED, "bitshuffle: blocks of %zu items of %zu bytes",
                        p->block, p->item);
    if (capacity < HEADER)
        return emd_fail(err, EMD_E_BUDGET, "bitshuffle: no room");
    store_big(dst, n, 8);
    store_big(dst + 8, p->block * p->item, 4);
    cut(&job, parts);
    enum emd_status status = emd_work_share(work, parts, &job, compress_part, err);
    if (status != EMD_OK)
        return status;
    size_t at = HEADER + job.part[0].size;
    for (unsigned i = 1; i <= parts; i++) {
        const uint8_t *from = i < parts ? job.part[i].made : src + done;
        const size_t size = i < parts ? job.part[i].size : n - done;
        if (size > capacity - at)
            return emd_fail(err, EMD_E_BUDGET, "bitshuffle: the result does not fit %zu bytes",
                            capacity);
        if (size > 0)
            memcpy(dst + at, from, size);
        at += size;
    }
    *out = at;
    return EMD_OK;
}

static enum emd_status encode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    struct parameters p = {0};
    struct emd_work *mine = NULL;
    enum emd_status status = parse(cd, cd_count, &p, err);
    if (status != EMD_OK)
        return status;
    /* Others cannot read anything else. */
    if (n % p.item != 0)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "bitshuffle: %zu bytes are no whole number of items of %zu bytes", n,
                        p.item);
    if (p.mode == MODE_NONE)
        return shuffle_only(true, &p, src, n, dst, capacity, out, err);
    work = emd_work_or_new(work, &mine);
    status = work ? compress(&p, work, src, n, dst, capacity, out, err)
                  : emd_fail(err, EMD_E_MEMORY, "bitshuffle: out of memory");
    emd_work_free(mine);
    return status;
}

/* ---- decoding ---- */

/* Replaces the block of the parameters by that of the chunk. */
static enum emd_status parse_header(struct parameters *p, const uint8_t *src, size_t n,
                                    size_t limit, size_t *bytes, struct emd_error *err)
{
    if (n < HEADER)
        return emd_fail(err, EMD_E_CORRUPT, "bitshuffle: %zu bytes are no whole header", n);
    const uint64_t claimed = load_big(src, 8), block = load_big(src + 8, 4);
    if (claimed > limit || claimed / MOST_OF_A_BYTE > n)
        return emd_fail(err, EMD_E_CORRUPT,
                        "bitshuffle: a chunk of %zu bytes claims %llu where at most %zu belong", n,
                        (unsigned long long)claimed, limit);
    if (claimed % p->item != 0)
        return emd_fail(err, EMD_E_CORRUPT,
                        "bitshuffle: %llu bytes are no whole number of items of %zu bytes",
                        (unsigned long long)claimed, p->item);
    if (block == 0 || block % p->item != 0 || block / p->item % GROUP != 0)
        return emd_fail(err, EMD_E_CORRUPT, "bitshuffle: blocks of %llu bytes of items of %zu",
                        (unsigned long long)block, p->item);
    p->block = (size_t)(block / p->item);
    *bytes = (size_t)claimed;
    return EMD_OK;
}

/* The lengths of all its blocks have been checked. */
static enum emd_status decompress_part(void *ctx, unsigned i, struct emd_work *work,
                                       struct emd_error *err)
{
    const struct job *job = ctx;
    const struct parameters *p = job->p;
    const struct part *part = &job->part[i];
    const size_t most = (job->items < p->block ? job->items : p->block) * p->item;
    const uint8_t *src = job->src + part->at;
    uint8_t *tmp = emd_work_scratch(work, EMD_SCRATCH_FILTER, most);
    ZSTD_DCtx *dctx = p->mode == MODE_ZSTD ? emd_work_dctx(work) : NULL;
    if (!tmp || (p->mode == MODE_ZSTD && !dctx))
        return emd_fail(err, EMD_E_MEMORY, "bitshuffle: out of memory");
    for (size_t block = part->first; block < part->end; block++) {
        const size_t start = block * p->block, count = block_items(p, job->items, start);
        const size_t size = count * p->item, packed = (size_t)load_big(src, 4);
        bool ok = false;
        src += 4;
        if (p->mode == MODE_ZSTD)
            ok = ZSTD_decompressDCtx(dctx, tmp, size, src, packed) == size;
        else if (packed <= INT32_MAX && size <= INT32_MAX)
            ok = LZ4_decompress_safe((const char *)src, (char *)tmp, (int)packed, (int)size) ==
                 (int)size;
        if (!ok)
            return emd_fail(err, EMD_E_CORRUPT, "bitshuffle: the block of item %zu is damaged",
                            start);
        emd_bitunshuffle(p->item, tmp, job->dst + start * p->item, count);
        src += packed;
    }
    return EMD_OK;
}

static enum emd_status decompress(const struct parameters *p, struct emd_work *work,
                                  const uint8_t *src, size_t n, uint8_t *dst, size_t bytes,
                                  struct emd_error *err)
{
    struct job job = {p, src, dst, bytes / p->item, bytes, {{0}}};
    const unsigned parts = emd_work_parts(work, bytes);
    size_t at = HEADER, start = 0;
    cut(&job, parts);
    for (unsigned i = 0; i < parts; i++) {
        job.part[i].at = at;
        for (size_t block = job.part[i].first; block < job.part[i].end; block++) {
            start = block * p->block;
            const size_t packed = n - at < 4 ? SIZE_MAX : (size_t)load_big(src + at, 4);
            if (n - at < 4 || packed > n - at - 4)
                return emd_fail(err, EMD_E_CORRUPT,
                                "bitshuffle: the block of item %zu is cut short", start);
            at += 4 + packed;
            start += block_items(p, job.items, start);
        }
    }
    const size_t rest = bytes - start * p->item;
    if (n - at != rest)
        return emd_fail(err, EMD_E_CORRUPT,
                        "bitshuffle: %zu bytes follow the blocks instead of %zu", n - at, rest);
    if (rest > 0)
        memcpy(dst + start * p->item, src + at, rest);
    return emd_work_share(work, parts, &job, decompress_part, err);
}

static enum emd_status decoded_size(const unsigned *cd, size_t cd_count, const void *src, size_t n,
                                    size_t limit, size_t *out, struct emd_error *err)
{
    struct parameters p = {0};
    enum emd_status status = parse(cd, cd_count, &p, err);
    if (status != EMD_OK)
        return status;
    if (p.mode != MODE_NONE)
        return parse_header(&p, src, n, limit, out, err);
    if (n > limit)
        return emd_fail(err, EMD_E_CORRUPT, "bitshuffle: %zu bytes where at most %zu belong", n,
                        limit);
    *out = n;
    return EMD_OK;
}

static enum emd_status decode(const unsigned *cd, size_t cd_count, struct emd_work *work,
                              const void *src, size_t n, void *dst, size_t capacity, size_t *out,
                              struct emd_error *err)
{
    struct parameters p = {0};
    struct emd_work *mine = NULL;
    size_t bytes = 0;
    enum emd_status status = parse(cd, cd_count, &p, err);
    if (status != EMD_OK)
        return status;
    if (p.mode == MODE_NONE) {
        if (n % p.item != 0)
            return emd_fail(err, EMD_E_CORRUPT,
                            "bitshuffle: %zu bytes are no whole number of items of %zu bytes", n,
                            p.item);
        return shuffle_only(false, &p, src, n, dst, capacity, out, err);
    }
    if ((status = parse_header(&p, src, n, capacity, &bytes, err)) != EMD_OK)
        return status;
    work = emd_work_or_new(work, &mine);
    status = work ? decompress(&p, work, src, n, dst, bytes, err)
                  : emd_fail(err, EMD_E_MEMORY, "bitshuffle: out of memory");
    if (status == EMD_OK)
        *out = bytes;
    emd_work_free(mine);
    return status;
}

static size_t work_bytes(const unsigned *cd, size_t cd_count, size_t n)
{
    struct parameters p = {0};
    if (parse(cd, cd_count, &p, NULL) != EMD_OK || p.mode == MODE_NONE)
        return 0;
    const size_t block = n / p.item < p.block ? n : p.block * p.item;
    const unsigned level[] = {(unsigned)p.level};
    return block + 64 +
           (p.mode == MODE_ZSTD ? emd_codec_zstd.work_bytes(level, 1, block)
                                : 16384 /* LZ4's table */);
}

static void libraries(char *text, size_t room)
{
    snprintf(text, room, "lz4 %s, zstd %s", LZ4_versionString(), ZSTD_versionString());
}

const struct emd_codec emd_codec_bitshuffle = {
    .name = "bitshuffle",
    .id = EMD_FILTER_BITSHUFFLE,
    .description = "bitshuffle, LZ4, Zstandard",
    .set_local = set_local,
    .bound = bound,
    .encode = encode,
    .decoded_size = decoded_size,
    .decode = decode,
    .libraries = libraries,
    .work_bytes = work_bytes,
};
