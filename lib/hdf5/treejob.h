/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The inside of a tree copy, shared by its sources treetable.c (the table of objects), treecreate.c
 * (the new file and its formats), treefresh.c (what objects are created with), treeobject.c (empty
 * objects), treelink.c, treeattribute.c, treereference.c, treedata.c (raw data) and tree.c (the
 * passes over them). Private to lib/hdf5.
 *
 * Functions that take a row report failures of that object with its path in front, where that is
 * said; all others leave naming to their caller. */
#ifndef EMD_HDF5_TREEJOB_H
#define EMD_HDF5_TREEJOB_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hdf5/arena.h"
#include "hdf5/roster.h"
#include "hdf5/tree.h"
#include "hdf5/values.h"

/* One object of the source. */
struct emd_object {
    uint64_t src, dst; /* addresses */
    hobj_ref_t ref;    /* to the new object; 0 until somebody asks */
    size_t name;       /* of its first link, in the names */
    uint32_t parent;   /* row of the group with that link; EMD_NOBODY while no link was found */
    H5I_type_t type;
    bool copies; /* options->copy writes its data */
    bool gone;   /* a salvage could not make it */
    bool held;   /* made before a link to it was found, and kept alive by a count of its own */
};

#define EMD_NOBODY UINT32_MAX /* no row */

struct emd_job {
    hid_t src, dst; /* files */
    const struct emd_tree_options *options;
    size_t buffer_bytes, item_bytes;
    uint64_t src_size;
    size_t names_limit;     /* a name takes as many bytes in the file */
    bool shared_messages;   /* the source may keep types and attributes outside object headers */
    unsigned address_bytes; /* in the source */
    H5F_libver_t low, high; /* bounds of the destination */
    hid_t link_ascii, link_utf8;           /* creation lists by character set: of links, ... */
    hid_t attribute_ascii, attribute_utf8; /* ... and of attributes */

    bool walking;    /* the first pass: an object that is not in the table may still come */
    bool stop;       /* what failed is no fault of the source: no salvage goes on after it */
    unsigned making; /* objects that wait for others that their fill values refer to */
    uint64_t lost;   /* references written as null since they were last remarked upon */

    struct emd_object *objects;
    size_t count, capacity;
    uint32_t *slots; /* hash table of rows + 1 by source address, 0 empty */
    size_t slot_count;
    char *names; /* NUL terminated, one after the other */
    size_t names_used, names_size;

    void *buffer; /* buffer_bytes, made at need; larger for a single large item */
    size_t buffer_size;
    char *path; /* of the object at hand, made at need */
    struct emd_arena arena;
};

/* ---- treetable.c ---- */

/* Row of the object with this source address, or EMD_NOBODY. */
uint32_t emd_job_find(const struct emd_job *job, uint64_t address);

/* Appends a copy of *object. Rows stay, pointers into the table do not. */
enum emd_status emd_job_add(struct emd_job *job, const struct emd_object *object, uint32_t *row,
                            struct emd_error *err);

/* Keeps a link's name for paths; *at is for struct emd_object. */
enum emd_status emd_job_keep_name(struct emd_job *job, const char *name, size_t *at,
                                  struct emd_error *err);

/* A path of the object, in memory that lives until the next call. */
const char *emd_job_path(struct emd_job *job, uint32_t at);

/* Puts that path in front of an error; a long one is cut so that the reason keeps its room. */
enum emd_status emd_job_blame(struct emd_job *job, uint32_t row, enum emd_status status,
                              struct emd_error *err);

/* EMD_E_CANCELLED where the caller wants to stop. */
enum emd_status emd_job_cancelled(struct emd_job *job, struct emd_error *err);

/* Hands a remark about an object to the caller. */
void emd_job_remark(struct emd_job *job, uint32_t row, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says how many references of the object at hand were written as null; 'what' in front says which
 * ("" or an attribute). */
void emd_job_remark_lost(struct emd_job *job, uint32_t row, const char *what);

/* In a salvage: enters what failed for 'error' as a loss of the object in a row (*loss is kind,
 * name and box), so that the copy goes on, and returns EMD_OK. Else, or where it was no failure of
 * reading, returns 'status'. */
enum emd_status emd_job_lose(struct emd_job *job, uint32_t row, const struct emd_loss *loss,
                             enum emd_status status, struct emd_error *error);

void emd_job_free_table(struct emd_job *job);

/* ---- treecreate.c ---- */

/* Raises the destination's version bounds for the next object; reset goes back to the file's own.
 * Each change flushes the file. */
bool emd_job_set_bounds(struct emd_job *job, H5F_libver_t low, H5F_libver_t high);
void emd_job_reset_bounds(struct emd_job *job);

/* Whether an object has attributes or settings that a version 1 object header cannot hold. 'list'
 * is its creation list, 'shared_messages' as in struct emd_job. */
enum emd_status emd_tree_needs_new_header(hid_t object, hid_t list, bool shared_messages,
                                          bool *needs, struct emd_error *err);

/* Of the file: emd_job's shared_messages and address_bytes. */
enum emd_status emd_tree_look_at_file(hid_t file, bool *shared_messages, unsigned *address_bytes,
                                      struct emd_error *err);

/* Copies the properties of a group to a fresh creation list, of a group or (for the root group) of
 * a file. The list that HDF5 tells for an existing group cannot be used itself: it holds addresses
 * of its link storage, which HDF5 would believe of the new one. */
enum emd_status emd_tree_set_group_properties(hid_t of, hid_t list, struct emd_error *err);

/* ---- treefresh.c ---- */

/* Types, spaces and creation lists for the new file that hold nothing of the old one's storage. The
 * caller closes them. The type is one in memory, not committed; H5I_INVALID_HID on failure. */
hid_t emd_fresh_type(hid_t type);
hid_t emd_fresh_space(hid_t space);

/* 'of' is the source's list, 'type' a fresh one of the elements. References in a fill value lead to
 * the new file's objects, which are made at need. */
enum emd_status emd_fresh_dataset_list(struct emd_job *job, hid_t of, hid_t type, hid_t *list,
                                       struct emd_error *err);
enum emd_status emd_fresh_type_list(hid_t of, hid_t *list, struct emd_error *err);

/* ---- treeobject.c ---- */

/* Creates the counterpart of the open object 'src', without a name, and enters it in the table. The
 * caller links *dst (or uses it as a type) and closes it. 'parent' EMD_NOBODY: no link known. Names
 * the object where it fails. */
enum emd_status emd_job_make_object(struct emd_job *job, hid_t src, uint64_t address,
                                    uint32_t parent, const char *name, uint32_t *row, hid_t *dst,
                                    struct emd_error *err);

/* The type to create a dataset or attribute with: the new file's committed one where the source's
 * is committed, else a copy. The caller closes *dst. */
enum emd_status emd_job_map_type(struct emd_job *job, hid_t src, hid_t *dst, struct emd_error *err);

enum emd_status emd_job_copy_comment(hid_t src, hid_t dst, struct emd_error *err);

/* ---- treelink.c, treeattribute.c, treereference.c, treedata.c ---- */

/* Makes all links of the group in a row, and the objects that they are the first to reach. Names
 * what fails. */
enum emd_status emd_job_copy_links(struct emd_job *job, uint32_t row, struct emd_error *err);

/* Before the value of a user-defined link, or its size, is asked for. */
enum emd_status emd_hdf5_know_link_class(H5L_type_t id, struct emd_error *err);

/* All attributes of an open object. */
enum emd_status emd_job_copy_attributes(struct emd_job *job, uint32_t row, hid_t src, hid_t dst,
                                        struct emd_error *err);

/* Turns the references in elements of the source into references of the new file, in place. What
 * leads nowhere becomes null and is counted in job->lost. In the first pass (fill values) objects
 * that do not exist yet are made. */
enum emd_status emd_job_translate(struct emd_job *job, const struct emd_values *values,
                                  void *elements, size_t count, struct emd_error *err);

/* The raw data of a dataset, in slices of job->buffer_bytes. */
enum emd_status emd_job_copy_data(struct emd_job *job, uint32_t row, hid_t src, hid_t dst,
                                  struct emd_error *err);

/* A roster while one of HDF5's iterations fills it. */
struct emd_listing {
    struct emd_roster roster;
    enum emd_status status;
    struct emd_error *err;
};

#endif
