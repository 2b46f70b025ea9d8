/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* What a salvage had to leave out of a copy, because the source is damaged there.
 *
 * Whoever copies adds to the list; the comparison of the finished file (compare.h) leaves out what
 * is on it, and nothing else; users are told it. Threads: one at a time. */
#ifndef EMD_HDF5_LOSSES_H
#define EMD_HDF5_LOSSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum emd_loss_kind {
    EMD_LOSS_LINK,       /* of the group 'object', by name, with what it leads to */
    EMD_LOSS_LINKS,      /* the group's list of links breaks off: some are missing */
    EMD_LOSS_ATTRIBUTE,  /* of the object, by name */
    EMD_LOSS_ATTRIBUTES, /* the object's list of attributes breaks off */
    EMD_LOSS_COMMENT,
    EMD_LOSS_DATA /* of a dataset: a box of elements, which read as the fill value */
};

struct emd_loss {
    enum emd_loss_kind kind;
    uint64_t object; /* its address in the source */
    char *path;      /* of the object */
    char *name;      /* of a link or attribute, else NULL */
    char *why;
    unsigned rank;          /* DATA: 0: all elements; else of the box, ... */
    uint64_t *box;          /* ... its first corner, and then its extent */
    bool is_chunk;          /* the box is a stored chunk */
    uint64_t frame, frames; /* of a stack of images: the first frame that it touches, from 1, and
                               how many; 0 where that is not said */
    bool trouble; /* the disk or the network failed, not the file: another try may read it */
};

struct emd_losses {
    struct emd_loss *loss;
    size_t count, capacity;
    bool settled;
};

/* Whether a failure to read part of a source is a loss that a salvage goes on after. Failures to
 * write, and those of memory or of what was asked for, are none. The HDF5 thread's. */
bool emd_is_loss(enum emd_status status);

/* Adds a copy of *loss with the reason of *error ('why' and 'trouble' of *loss are not looked at; a
 * path in front of the reason is left out). */
enum emd_status emd_losses_add(struct emd_losses *losses, const struct emd_loss *loss,
                               const struct emd_error *error, struct emd_error *err);

/* Sorts them by object, and drops what is said twice. Before the questions below. */
void emd_losses_settle(struct emd_losses *losses);

/* 'losses' may be NULL. 'name' NULL where the kind has none. */
bool emd_losses_have(const struct emd_losses *losses, enum emd_loss_kind kind, uint64_t object,
                     const char *name);

/* The losses of data of a dataset: *count of them from the result on. */
const struct emd_loss *emd_losses_of_data(const struct emd_losses *losses, uint64_t object,
                                          size_t *count);

void emd_losses_free(struct emd_losses *losses);

/* Objects that HDF5 does not survive, found out by a child process (rehearse.h): they are not
 * touched. Plain data, in memory that parent and child share. */
struct emd_avoid {
    uint64_t current; /* the object at hand */
    size_t count;
    uint64_t object[64];
};
bool emd_avoid_has(const struct emd_avoid *avoid, uint64_t object);

#endif
