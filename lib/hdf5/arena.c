/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See arena.h. */
#include "hdf5/arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 64 << 10 }; /* an ordinary slice's strings in a few blocks */

struct emd_arena_block {
    struct emd_arena_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

static void free_blocks(struct emd_arena_block *block)
{
    while (block) {
        struct emd_arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void emd_arena_reset(struct emd_arena *arena, size_t limit)
{
    /* One block stays for the next slice. */
    struct emd_arena_block *keep = arena->blocks;
    if (keep && keep->size == BLOCK_BYTES) {
        free_blocks(keep->next);
        keep->next = NULL;
        keep->used = 0;
    } else {
        free_blocks(keep);
        arena->blocks = NULL;
    }
    arena->taken = 0;
    arena->limit = limit;
    arena->refused = false;
}

void emd_arena_end(struct emd_arena *arena)
{
    free_blocks(arena->blocks);
    arena->blocks = NULL;
}

void *emd_arena_alloc(size_t size, void *info)
{
    struct emd_arena *arena = info;
    const size_t align = alignof(max_align_t);
    const size_t left = arena->limit - arena->taken;
    if (size > left || size + (align - 1) > left) {
        arena->refused = true;
        return NULL;
    }
    const size_t room = (size + align - 1) / align * align;
    struct emd_arena_block *block = arena->blocks;
    if (!block || room > block->size - block->used) {
        size_t bytes = room > BLOCK_BYTES ? room : BLOCK_BYTES;
        block = malloc(sizeof *block + bytes);
        if (!block)
            return NULL;
        block->next = arena->blocks;
        block->size = bytes;
        block->used = 0;
        arena->blocks = block;
    }
    void *memory = block->bytes + block->used;
    block->used += room;
    arena->taken += room;
    return memory;
}

void emd_arena_free(void *memory, void *info)
{
    (void)memory;
    (void)info;
}
