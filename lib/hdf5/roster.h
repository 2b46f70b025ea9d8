/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The names in a group or of an object's attributes, in the order in which they were made. Private
 * to lib/hdf5.
 *
 * HDF5 is asked in its native order only: for any other it makes a table of its own, which 1.10
 * frees uninitialised where a damaged file breaks the listing off. */
#ifndef EMD_HDF5_ROSTER_H
#define EMD_HDF5_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct emd_roster_entry {
    int64_t order;
    size_t name; /* where it starts in the names */
};
struct emd_roster {
    struct emd_roster_entry *entries;
    size_t count, capacity;
    char *names;
    size_t names_used, names_size;
    size_t limit; /* bytes of names that the file can hold */
};

/* A roster of zeros with a limit is empty. EMD_E_CORRUPT where the names exceed the limit: a
 * listing that goes round in circles. */
enum emd_status emd_roster_add(struct emd_roster *roster, const char *name, int64_t order,
                               struct emd_error *err);
const char *emd_roster_name(const struct emd_roster *roster, size_t i);

/* By 'order'. */
void emd_roster_sort(struct emd_roster *roster);
void emd_roster_free(struct emd_roster *roster);

#endif
