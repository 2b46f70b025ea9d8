/* See tree.h. Two passes over a table of objects that is at the same time the queue of the walk:
 *
 *   1. breadth first through the groups: every object is created without a name and linked where
 * the source links it; committed types that a dataset needs are made when they are needed;
 *   2. over the table: attributes, then raw data. References can be translated now, for every
 * object has its new address.
 *
 * Objects are opened by address, never by path: deep trees cost no stack and no repeated look-ups,
 * and an object with many names is one row. H5Ocopy was tried and lost: it follows nothing it
 * should not, but it expands or breaks references and shared types across calls, re-allocates all
 * chunks itself and cannot change a dataset's storage. */
#include "hdf5/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "hdf5/arena.h"
#include "hdf5/chunks.h"
#include "hdf5/filters.h"
#include "hdf5/h5call.h"
#include "hdf5/roster.h"
#include "hdf5/values.h"

enum {
    DEFAULT_BUFFER = 8 << 20,
    LEAST_BUFFER = 64 << 10,
    /* A version 1 object header holds messages of less than 64 KiB; a larger attribute needs
     * version
     * 2. The size asked about leaves out name, type and space, which this leaves room for. */
    ATTRIBUTE_BYTES_V1 = 48 << 10,
    /* A version 1 header is searched from its start for each new attribute and ends at 65535. */
    ATTRIBUTES_V1 = 1000,
    /* HDF5's defaults (H5Pget_link_phase_change and others in the reference manual): version 1
     * headers and old groups know no others. */
    PHASE_COMPACT = 8,
    PHASE_DENSE = 6,
    EST_LINKS = 4,
    EST_NAME = 8
};

/* One object of the source. */
struct object {
    uint64_t src, dst; /* addresses */
    hobj_ref_t ref;    /* to the new object; 0 until somebody asks */
    size_t name;       /* of its first link, in the names */
    uint32_t parent;   /* row of the group with that link; NOBODY while no link was found */
    H5I_type_t type;
    bool copies; /* options->copy writes its data */
};

#define NOBODY UINT32_MAX

struct copy {
    hid_t src, dst; /* files */
    const struct emd_tree_options *options;
    size_t buffer_bytes, item_bytes;
    uint64_t src_size;
    size_t names_limit;     /* a name takes as many bytes in the file */
    H5F_libver_t low, high; /* bounds of the destination */
    hid_t link_ascii, link_utf8;

    struct object *objects;
    size_t count, capacity;
    uint32_t *slots; /* hash table of rows + 1 by source address, 0 empty */
    size_t slot_count;
    char *names; /* NUL terminated, one after the other */
    size_t names_used, names_size;

    void *buffer; /* buffer_bytes, made at need; larger for a single large item */
    size_t buffer_size;
    char *path; /* of the object at hand, made at need */
    uint32_t at;
    struct emd_arena arena;
};

/* ---- the table of objects ---- */

static size_t hash_address(uint64_t address)
{
    return (size_t)((address * UINT64_C(0x9E3779B97F4A7C15)) >>
                    20); /* Knuth's multiplier, 64 bit */
}

static uint32_t find_object(const struct copy *copy, uint64_t address)
{
    if (copy->slot_count == 0)
        return NOBODY;
    const size_t mask = copy->slot_count - 1;
    for (size_t slot = hash_address(address) & mask; copy->slots[slot]; slot = (slot + 1) & mask)
        if (copy->objects[copy->slots[slot] - 1].src == address)
            return copy->slots[slot] - 1;
    return NOBODY;
}

static void enter_slot(struct copy *copy, uint32_t row)
{
    const size_t mask = copy->slot_count - 1;
    size_t slot = hash_address(copy->objects[row].src) & mask;
    while (copy->slots[slot])
        slot = (slot + 1) & mask;
    copy->slots[slot] = row + 1;
}

static enum emd_status add_object(struct copy *copy, const struct object *object, uint32_t *row,
                                  struct emd_error *err)
{
    if (copy->count == copy->capacity) {
        const size_t capacity = copy->capacity ? copy->capacity * 2 : 256;
        if (capacity > NOBODY / 2)
            return emd_fail(err, EMD_E_UNSUPPORTED, "more than 2^31 objects");
        struct object *objects = realloc(copy->objects, capacity * sizeof *objects);
        if (!objects)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", capacity);
        copy->objects = objects;
        uint32_t *slots = calloc(capacity * 2, sizeof *slots);
        if (!slots)
            return emd_fail(err, EMD_E_MEMORY, "no memory for %zu objects", capacity);
        copy->capacity = capacity;
        free(copy->slots);
        copy->slots = slots;
        copy->slot_count = capacity * 2;
        for (size_t i = 0; i < copy->count; i++)
            enter_slot(copy, (uint32_t)i);
    }
    *row = (uint32_t)copy->count++;
    copy->objects[*row] = *object;
    enter_slot(copy, *row);
    return EMD_OK;
}

static enum emd_status keep_name(struct copy *copy, const char *name, size_t *at,
                                 struct emd_error *err)
{
    const size_t n = strlen(name) + 1;
    if (n > copy->names_size - copy->names_used) {
        const size_t size = (copy->names_size + n) * 2;
        char *names = realloc(copy->names, size);
        if (!names)
            return emd_fail(err, EMD_E_MEMORY, "no memory for names");
        copy->names = names;
        copy->names_size = size;
    }
    *at = copy->names_used;
    memcpy(copy->names + copy->names_used, name, n);
    copy->names_used += n;
    return EMD_OK;
}

/* A path of the object in row 'at', in memory that lives until the next call. */
static const char *path_of(struct copy *copy, uint32_t at)
{
    size_t n = 1;
    uint32_t row = at;
    for (; row != 0 && row != NOBODY; row = copy->objects[row].parent)
        if (copy->objects[row].parent != NOBODY)
            n += 1 + strlen(copy->names + copy->objects[row].name);
    if (row == NOBODY)
        return "(a datatype without a name)";
    free(copy->path);
    copy->path = malloc(n + 1);
    if (!copy->path)
        return "(out of memory for the path)";
    char *p = copy->path + n;
    *p = '\0';
    for (row = at; row != 0; row = copy->objects[row].parent) {
        const char *name = copy->names + copy->objects[row].name;
        const size_t length = strlen(name);
        p -= length;
        memcpy(p, name, length);
        *--p = '/';
    }
    if (at == 0)
        *--p = '/';
    memmove(copy->path, p, strlen(p) + 1);
    return copy->path;
}

/* Puts the object's path in front of an error; the text keeps room for the reason. */
static enum emd_status blame(struct copy *copy, uint32_t row, enum emd_status status,
                             struct emd_error *err)
{
    const char *path = path_of(copy, row);
    if (strlen(path) > 400)
        return emd_fail_prefix(err, status, "...%s", path + strlen(path) - 400);
    return emd_fail_prefix(err, status, "%s", path);
}

static enum emd_status ask_cancelled(struct copy *copy, struct emd_error *err)
{
    const struct emd_tree_options *options = copy->options;
    if (options->cancelled && options->cancelled(options->ctx))
        return emd_fail(err, EMD_E_CANCELLED, "stopped on request");
    return EMD_OK;
}

/* ---- version bounds ---- */

static bool set_bounds(struct copy *copy, H5F_libver_t low, H5F_libver_t high)
{
    return H5Fset_libver_bounds(copy->dst, low, high) >= 0;
}

static void reset_bounds(struct copy *copy)
{
    set_bounds(copy, copy->low, copy->high);
}

static herr_t find_large_attribute(hid_t object, const char *name, const H5A_info_t *info,
                                   void *data)
{
    (void)object;
    (void)name;
    *(bool *)data = info->data_size > ATTRIBUTE_BYTES_V1;
    return *(bool *)data ? H5_ITER_STOP : H5_ITER_CONT;
}

/* Whether an object has attributes or settings that a version 1 object header cannot hold. 'list'
 * is its creation list. */
static enum emd_status needs_new_header(hid_t object, hid_t list, bool *needs,
                                        struct emd_error *err)
{
    *needs = false;
    int attributes;
#if H5_VERSION_GE(1, 12, 0)
    H5O_info2_t info;
    if (H5Oget_info3(object, &info, H5O_INFO_NUM_ATTRS) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot count the attributes");
    attributes = info.num_attrs > INT32_MAX ? INT32_MAX : (int)info.num_attrs;
#else
    attributes = H5Aget_num_attrs(object);
    if (attributes < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot count the attributes");
#endif
    if (attributes > ATTRIBUTES_V1) {
        *needs = true;
        return EMD_OK;
    }
    if (attributes > 0 &&
        H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, find_large_attribute, needs) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot list the attributes");

    unsigned compact = PHASE_COMPACT, dense = PHASE_DENSE;
    if (H5Pget_attr_phase_change(list, &compact, &dense) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
    *needs |= compact != PHASE_COMPACT || dense != PHASE_DENSE;
    if (H5Pisa_class(list, H5P_GROUP_CREATE) > 0) {
        unsigned links = EST_LINKS, name_bytes = EST_NAME;
        if (H5Pget_link_phase_change(list, &compact, &dense) < 0 ||
            H5Pget_est_link_info(list, &links, &name_bytes) < 0)
            return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
        *needs |= compact != PHASE_COMPACT || dense != PHASE_DENSE || links != EST_LINKS ||
                  name_bytes != EST_NAME;
    }
    return EMD_OK;
}

/* ---- making the destination ---- */

/* The properties of a group, on a fresh list (a file's creation list carries those of the root
 * group): the list that HDF5 tells for an existing group holds addresses of its link storage, which
 * HDF5 would believe of the new one. */
static enum emd_status set_group_properties(hid_t of, hid_t list, struct emd_error *err)
{
    unsigned flags, compact, dense, links, name_bytes;
    if (H5Pget_link_creation_order(of, &flags) < 0 || H5Pset_link_creation_order(list, flags) < 0 ||
        H5Pget_attr_creation_order(of, &flags) < 0 || H5Pset_attr_creation_order(list, flags) < 0 ||
        H5Pget_link_phase_change(of, &compact, &dense) < 0 ||
        H5Pset_link_phase_change(list, compact, dense) < 0 ||
        H5Pget_attr_phase_change(of, &compact, &dense) < 0 ||
        H5Pset_attr_phase_change(list, compact, dense) < 0 ||
        H5Pget_est_link_info(of, &links, &name_bytes) < 0 ||
        H5Pset_est_link_info(list, links, name_bytes) < 0 ||
        H5Pset_obj_track_times(list, false) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot carry over a group's properties");
    return EMD_OK;
}

static enum emd_status copy_user_block(const struct emd_source *source, const char *path,
                                       struct emd_error *err)
{
    static unsigned char bytes[1 << 16]; /* the HDF5 thread's */
    enum emd_status status = EMD_OK;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot write the user block");
    for (uint64_t at = 0; at < source->user_block && status == EMD_OK;) {
        uint64_t left = source->user_block - at;
        size_t n = left < sizeof bytes ? (size_t)left : sizeof bytes;
        status = emd_source_read(source->fd, bytes, n, at, err);
        if (status == EMD_OK && emd_pwrite_all(fd, bytes, n, at) != 0)
            status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write the user block");
        at += n;
    }
    if (close(fd) != 0 && status == EMD_OK)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write the user block");
    return status;
}

enum emd_status emd_tree_create(const struct emd_source *source, const char *path,
                                const struct emd_tree_file_options *options, hid_t *dst,
                                struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    const bool newest = options && options->newest_format;
    const bool in_memory = options && options->in_memory;
    H5F_libver_t low = newest ? H5F_LIBVER_LATEST : H5F_LIBVER_EARLIEST;
    H5F_libver_t high = newest ? H5F_LIBVER_LATEST : H5F_LIBVER_V18;
    bool new_root = false;
    enum emd_status status = EMD_OK;
    *dst = H5I_INVALID_HID;
    hid_t access = emd_hdf5_file_access();
    hid_t list = H5Pcreate(H5P_FILE_CREATE);
    hid_t root = H5Gopen2(source->file, "/", H5P_DEFAULT);
    hid_t root_list = root >= 0 ? H5Gget_create_plist(root) : H5I_INVALID_HID;
    if (access < 0 || list < 0 || root_list < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the root group");
        goto out;
    }
    if (in_memory && H5Pset_fapl_core(access, 1 << 20, false) < 0) {
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot set up the new file");
        goto out;
    }
    status = set_group_properties(root_list, list, err);
    if (status == EMD_OK)
        status = needs_new_header(root, root_list, &new_root, err);
    if (status != EMD_OK)
        goto out;
    /* The root group is made with the file: a version 2 header there means superblock 2. */
    if (H5Pset_userblock(list, source->user_block) < 0 ||
        H5Pset_libver_bounds(access, new_root && !newest ? H5F_LIBVER_V18 : low, high) < 0) {
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot set up the new file");
        goto out;
    }
    *dst = H5Fcreate(path, H5F_ACC_TRUNC, list, access);
    if (*dst < 0) {
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot create the new file");
        goto out;
    }
    if (new_root && !newest && H5Fset_libver_bounds(*dst, low, high) < 0) {
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot set up the new file");
        goto out;
    }
    if (source->user_block > 0 && !in_memory)
        status = copy_user_block(source, path, err);
out:
    emd_hdf5_close(&root_list);
    emd_hdf5_close(&root);
    emd_hdf5_close(&list);
    emd_hdf5_close(&access);
    if (status != EMD_OK)
        emd_hdf5_close(dst);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

/* ---- references ---- */

/* Row of the object with this source address, which must be part of the tree. */
static enum emd_status referenced_row(struct copy *copy, uint64_t address, uint32_t *row,
                                      struct emd_error *err)
{
    *row = find_object(copy, address);
    if (*row == NOBODY)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "a reference to an object that no link of the file reaches");
    return EMD_OK;
}

static enum emd_status translate_object(void *ctx, hobj_ref_t *reference, struct emd_error *err)
{
    struct copy *copy = ctx;
    if (*reference == 0 || *reference == HADDR_UNDEF)
        return EMD_OK; /* null */
    /* HDF5 stores the object's address; only what is not found so is worth opening. */
    uint32_t row = find_object(copy, *reference);
    if (row == NOBODY) {
        hid_t object = H5Rdereference2(copy->src, H5P_DEFAULT, H5R_OBJECT, reference);
        if (object < 0)
            return emd_hdf5_fail(err, EMD_E_CORRUPT, "a reference to an object that is gone");
        uint64_t address;
        enum emd_status status = emd_hdf5_address(object, &address, err);
        emd_hdf5_close(&object);
        if (status == EMD_OK)
            status = referenced_row(copy, address, &row, err);
        if (status != EMD_OK)
            return status;
    }
    struct object *object = &copy->objects[row];
    if (object->ref == 0) {
        hid_t target = emd_hdf5_open_address(copy->dst, object->dst);
        herr_t made = target < 0 ? -1 : H5Rcreate(&object->ref, target, ".", H5R_OBJECT, -1);
        enum emd_status status =
            made < 0 ? emd_hdf5_fail(err, EMD_E_IO, "cannot make a reference") : EMD_OK;
        emd_hdf5_close(&target);
        if (status != EMD_OK)
            return status;
    }
    *reference = object->ref;
    return EMD_OK;
}

static enum emd_status translate_region(void *ctx, hdset_reg_ref_t *reference,
                                        struct emd_error *err)
{
    struct copy *copy = ctx;
    static const hdset_reg_ref_t null;
    if (memcmp(reference, &null, sizeof null) == 0)
        return EMD_OK;
    enum emd_status status = EMD_OK;
    uint64_t address;
    uint32_t row;
    hid_t target = H5I_INVALID_HID;
    hid_t space = H5Rget_region(copy->src, H5R_DATASET_REGION, reference);
    hid_t object = H5Rdereference2(copy->src, H5P_DEFAULT, H5R_DATASET_REGION, reference);
    if (space < 0 || object < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "a region reference to a dataset that is gone");
        goto out;
    }
    status = emd_hdf5_address(object, &address, err);
    if (status == EMD_OK)
        status = referenced_row(copy, address, &row, err);
    if (status != EMD_OK)
        goto out;
    target = emd_hdf5_open_address(copy->dst, copy->objects[row].dst);
    memset(reference, 0, sizeof *reference);
    if (target < 0 || H5Rcreate(reference, target, ".", H5R_DATASET_REGION, space) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot make a region reference");
out:
    emd_hdf5_close(&target);
    emd_hdf5_close(&object);
    emd_hdf5_close(&space);
    return status;
}

static enum emd_status translate(struct copy *copy, const struct emd_values *values, void *elements,
                                 size_t count, struct emd_error *err)
{
    const struct emd_value_actions actions = {copy, translate_object, translate_region};
    return emd_values_visit(values, elements, count, &actions, err);
}

/* ---- datatypes ---- */

static enum emd_status make_object(struct copy *copy, hid_t src, uint64_t address, uint32_t parent,
                                   const char *name, uint32_t *row, hid_t *dst,
                                   struct emd_error *err);

/* The type to create a dataset or attribute with: the new file's committed one where the source's
 * is committed, else a copy. The caller closes *dst. */
static enum emd_status map_type(struct copy *copy, hid_t src, hid_t *dst, struct emd_error *err)
{
    *dst = H5I_INVALID_HID;
    htri_t committed = H5Tcommitted(src);
    if (committed < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at a datatype");
    if (!committed) {
        *dst = H5Tcopy(src);
        return *dst < 0 ? emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot copy a datatype") : EMD_OK;
    }
    uint64_t address;
    enum emd_status status = emd_hdf5_address(src, &address, err);
    if (status != EMD_OK)
        return status;
    uint32_t row = find_object(copy, address);
    if (row == NOBODY)
        /* Named later by a link, or never: the object that uses it keeps it alive. */
        return make_object(copy, src, address, NOBODY, NULL, &row, dst, err);
    if (copy->objects[row].type != H5I_DATATYPE)
        return emd_fail(err, EMD_E_CORRUPT, "a committed datatype is another kind of object");
    *dst = emd_hdf5_open_address(copy->dst, copy->objects[row].dst);
    return *dst < 0 ? emd_hdf5_fail(err, EMD_E_IO, "cannot open the new datatype") : EMD_OK;
}

/* ---- creating objects ---- */

static enum emd_status copy_comment(hid_t src, hid_t dst, struct emd_error *err)
{
    char small[256];
    char *comment = small;
    enum emd_status status = EMD_OK;
    ssize_t n = H5Oget_comment(src, small, sizeof small);
    if (n == 0)
        return EMD_OK;
    if (n < 0 || n > 65536) /* a message of an object header */
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read its comment");
    if ((size_t)n >= sizeof small) {
        comment = malloc((size_t)n + 1);
        if (!comment)
            return emd_fail(err, EMD_E_MEMORY, "out of memory");
        if (H5Oget_comment(src, comment, (size_t)n + 1) != n)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read its comment");
        comment[n] = '\0';
    }
    if (status == EMD_OK && H5Oset_comment(dst, comment) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write its comment");
    if (comment != small)
        free(comment);
    return status;
}

static enum emd_status make_group(struct copy *copy, hid_t src, hid_t *dst, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    bool raise = false;
    hid_t of = H5Gget_create_plist(src), list = H5Pcreate(H5P_GROUP_CREATE);
    if (of < 0 || list < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
        goto out;
    }
    status = set_group_properties(of, list, err);
    if (status == EMD_OK && copy->low < H5F_LIBVER_V18)
        status = needs_new_header(src, list, &raise, err);
    if (status != EMD_OK)
        goto out;
    if (raise && !set_bounds(copy, H5F_LIBVER_V18, copy->high)) {
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot raise the format's version");
        goto out;
    }
    *dst = H5Gcreate_anon(copy->dst, list, H5P_DEFAULT);
    if (*dst < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot create the group");
out:
    if (raise)
        reset_bounds(copy);
    emd_hdf5_close(&list);
    emd_hdf5_close(&of);
    return status;
}

static enum emd_status make_type(struct copy *copy, hid_t src, hid_t *dst, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    bool raise = false;
    hid_t list = H5Tget_create_plist(src);
    hid_t type = H5Tcopy(src);
    if (list < 0 || type < 0 || H5Pset_obj_track_times(list, false) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the datatype");
        goto out;
    }
    if (copy->low < H5F_LIBVER_V18)
        status = needs_new_header(src, list, &raise, err);
    if (status != EMD_OK)
        goto out;
    if (raise && !set_bounds(copy, H5F_LIBVER_V18, copy->high)) {
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot raise the format's version");
        goto out;
    }
    if (H5Tcommit_anon(copy->dst, type, list, H5P_DEFAULT) < 0) {
        /* A kind of type newer than the bounds. */
        raise = true;
        if (!set_bounds(copy, copy->low, H5F_LIBVER_LATEST) ||
            H5Tcommit_anon(copy->dst, type, list, H5P_DEFAULT) < 0) {
            status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot commit the datatype");
            goto out;
        }
    }
    *dst = type;
    type = H5I_INVALID_HID;
out:
    if (raise)
        reset_bounds(copy);
    emd_hdf5_close(&type);
    emd_hdf5_close(&list);
    return status;
}

/* An early allocation that did not happen: only an empty dataset can say so. */
static enum emd_status check_never_allocated(hid_t src, struct emd_error *err)
{
    hid_t space = H5Dget_space(src);
    const hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    emd_hdf5_close(&space);
    return points == 0 ? EMD_OK : emd_fail(err, EMD_E_CORRUPT, "its data were never allocated");
}

/* Refuses what would make HDF5 write far more than the source holds, or lies elsewhere. */
static enum emd_status check_layout(struct copy *copy, hid_t src, hid_t list, struct emd_error *err)
{
    H5D_alloc_time_t alloc;
    H5D_layout_t layout = H5Pget_layout(list);
    int external = layout == H5D_CONTIGUOUS ? H5Pget_external_count(list) : 0;
    if (layout == H5D_LAYOUT_ERROR || external < 0 || H5Pget_alloc_time(list, &alloc) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
    if (layout == H5D_VIRTUAL)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "a virtual dataset: its data lie in other datasets");
    if (external > 0)
        return emd_fail(err, EMD_E_UNSUPPORTED, "its data lie in %d other files", external);
    if (layout == H5D_CONTIGUOUS) {
        /* Counted from the start of the file, but by 1.10 from before a user block where there is
         * no address: is_allocated knows. */
        const haddr_t at = H5Dget_offset(src);
        const hsize_t bytes = H5Dget_storage_size(src);
        const bool allocated = emd_hdf5_is_allocated(src);
        if (allocated && (bytes > copy->src_size || at > copy->src_size - bytes))
            return emd_fail(err, EMD_E_INCOMPLETE, "its data lie behind the end of the file");
        if (!allocated && alloc == H5D_ALLOC_TIME_EARLY)
            return check_never_allocated(src, err);
    }
    if (layout == H5D_CHUNKED && alloc == H5D_ALLOC_TIME_EARLY) {
        /* All chunks are there, or HDF5 would make up the missing ones. */
        struct emd_chunk_grid grid;
        hsize_t stored = 0;
        enum emd_status status = emd_chunk_grid_get(src, &grid, err);
        if (status != EMD_OK)
            return status;
        hid_t space = H5Dget_space(src);
        if (grid.total > 0 && H5Dget_num_chunks(src, space, &stored) < 0)
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot count the chunks");
        else if (stored != grid.total)
            status =
                emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " of its %" PRIu64 " chunks were allocated",
                         (uint64_t)stored, grid.total);
        emd_hdf5_close(&space);
        return status;
    }
    return emd_filters_available(list, err);
}

/* Fill values with references would need objects that do not exist yet. */
static enum emd_status check_fill(hid_t list, hid_t type, struct emd_error *err)
{
    H5D_fill_value_t defined;
    struct emd_values values;
    if (H5Pfill_value_defined(list, &defined) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the fill value");
    enum emd_status status = emd_values_make(type, &values, err);
    if (status != EMD_OK)
        return status;
    if (values.references && defined == H5D_FILL_VALUE_USER_DEFINED)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "a fill value with references");
    emd_values_free(&values);
    return status;
}

static enum emd_status make_dataset(struct copy *copy, hid_t src, uint32_t row, hid_t *dst,
                                    bool *copies, struct emd_error *err)
{
    const struct emd_tree_options *options = copy->options;
    enum emd_status status;
    bool raise = false;
    hid_t dst_type = H5I_INVALID_HID;
    hid_t type = H5Dget_type(src), space = H5Dget_space(src), list = H5Dget_create_plist(src);
    if (type < 0 || space < 0 || list < 0 || H5Pset_obj_track_times(list, false) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the dataset");
        goto out;
    }
    status = check_layout(copy, src, list, err);
    if (status == EMD_OK)
        status = check_fill(list, type, err);
    if (status == EMD_OK)
        status = map_type(copy, type, &dst_type, err);
    if (status != EMD_OK)
        goto out;
    /* Leaving edge chunks unfiltered needs the newest layout: they are filtered like the others. */
    unsigned chunk_options = 0;
    if (H5Pget_layout(list) == H5D_CHUNKED && (H5Pget_chunk_opts(list, &chunk_options) < 0 ||
                                               (chunk_options && H5Pset_chunk_opts(list, 0) < 0))) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read creation properties");
        goto out;
    }
    if (options->choose) {
        status = options->choose(options->ctx, src, path_of(copy, row), list, copies, err);
        if (status != EMD_OK)
            goto out;
    }
    if (copy->low < H5F_LIBVER_V18)
        status = needs_new_header(src, list, &raise, err);
    if (status != EMD_OK)
        goto out;
    if (raise && !set_bounds(copy, H5F_LIBVER_V18, copy->high)) {
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot raise the format's version");
        goto out;
    }
    *dst = H5Dcreate_anon(copy->dst, dst_type, space, list, H5P_DEFAULT);
    if (*dst < 0) {
        struct emd_error first = {EMD_OK, ""};
        emd_hdf5_fail(&first, EMD_E_UNSUPPORTED, "cannot create the dataset");
        /* A kind of type or space newer than the bounds. */
        H5F_libver_t low = raise ? H5F_LIBVER_V18 : copy->low;
        raise = true;
        if (set_bounds(copy, low, H5F_LIBVER_LATEST))
            *dst = H5Dcreate_anon(copy->dst, dst_type, space, list, H5P_DEFAULT);
        if (*dst < 0)
            status = emd_fail(err, EMD_E_UNSUPPORTED, "%s", first.text);
    }
out:
    if (raise)
        reset_bounds(copy);
    emd_hdf5_close(&dst_type);
    emd_hdf5_close(&list);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    return status;
}

/* Creates the counterpart of the open object 'src', without a name, and enters it in the table.
 * The caller links *dst (or uses it as a type) and closes it. 'parent' NOBODY: no link known. */
static enum emd_status make_object(struct copy *copy, hid_t src, uint64_t address, uint32_t parent,
                                   const char *name, uint32_t *row, hid_t *dst,
                                   struct emd_error *err)
{
    struct object object = {.src = address, .parent = parent, .type = H5Iget_type(src)};
    enum emd_status status = EMD_OK;
    *dst = H5I_INVALID_HID;
    if (name)
        status = keep_name(copy, name, &object.name, err);
    if (status == EMD_OK)
        status = add_object(copy, &object, row, err);
    if (status != EMD_OK)
        return status;

    uint64_t new_address = 0;
    bool copies = false;
    switch (object.type) {
    case H5I_GROUP:
        status = make_group(copy, src, dst, err);
        break;
    case H5I_DATATYPE:
        status = make_type(copy, src, dst, err);
        break;
    case H5I_DATASET:
        status = make_dataset(copy, src, *row, dst, &copies, err);
        break;
    default:
        status = emd_fail(err, EMD_E_UNSUPPORTED, "an object of an unknown kind");
        break;
    }
    if (status == EMD_OK)
        status = emd_hdf5_address(*dst, &new_address, err);
    if (status == EMD_OK)
        status = copy_comment(src, *dst, err);
    if (status != EMD_OK) {
        emd_hdf5_close(dst);
        return blame(copy, *row, status, err);
    }
    copy->objects[*row].dst = new_address; /* the table may have moved meanwhile */
    copy->objects[*row].copies = copies;
    return EMD_OK;
}

/* ---- links ---- */

#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
#define iterate_links H5Literate2
#define get_link_info H5Lget_info2
#else
typedef H5L_info_t link_info;
#define iterate_links H5Literate
#define get_link_info H5Lget_info
#endif

/* The group whose links are being copied. */
struct linking {
    struct copy *copy;
    uint32_t row;
    hid_t src, dst;
    struct emd_error *err;
};

static enum emd_status link_hard(struct linking *linking, const char *name, const link_info *info,
                                 hid_t list, bool *named)
{
    struct copy *copy = linking->copy;
    struct emd_error *err = linking->err;
    enum emd_status status = EMD_OK;
    uint64_t address;
    hid_t src = H5I_INVALID_HID, dst = H5I_INVALID_HID;
#if H5_VERSION_GE(1, 12, 0)
    haddr_t told;
    if (H5VLnative_token_to_addr(linking->src, info->u.token, &told) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot follow it");
    address = told;
#else
    address = info->u.address;
#endif
    uint32_t row = find_object(copy, address);
    if (row == NOBODY) {
        src = emd_hdf5_open_address(copy->src, address);
        if (src < 0) {
            status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot open what it leads to");
            goto out;
        }
        status = make_object(copy, src, address, linking->row, name, &row, &dst, err);
        if (status != EMD_OK) {
            *named = true;
            goto out;
        }
    } else {
        if (copy->objects[row].parent == NOBODY && row != 0) {
            size_t at = 0;
            status = keep_name(copy, name, &at, err);
            if (status != EMD_OK)
                goto out;
            copy->objects[row].name = at;
            copy->objects[row].parent = linking->row;
        }
        dst = emd_hdf5_open_address(copy->dst, copy->objects[row].dst);
    }
    if (dst < 0 || H5Olink(dst, linking->dst, name, list, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the link");
out:
    emd_hdf5_close(&dst);
    emd_hdf5_close(&src);
    return status;
}

static enum emd_status link_by_value(struct linking *linking, const char *name,
                                     const link_info *info, hid_t list)
{
    struct emd_error *err = linking->err;
    const size_t n = info->u.val_size;
    if (n == 0 || n > 65536 * 2) /* two messages' worth: path and file name */
        return emd_fail(err, EMD_E_CORRUPT, "it claims a value of %zu bytes", n);
    char *value = calloc(1, n + 1);
    if (!value)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    enum emd_status status = EMD_OK;
    const char *file = NULL, *object = NULL;
    if (H5Lget_val(linking->src, name, value, n, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read it");
    else if (info->type == H5L_TYPE_SOFT) {
        if (H5Lcreate_soft(value, linking->dst, name, list, H5P_DEFAULT) < 0)
            status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the soft link");
    } else if (H5Lunpack_elink_val(value, n, NULL, &file, &object) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the external link");
    else if (H5Lcreate_external(file, object, linking->dst, name, list, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot make the external link");
    free(value);
    return status;
}

static enum emd_status copy_link(struct linking *linking, const char *name)
{
    struct copy *copy = linking->copy;
    struct emd_error *err = linking->err;
    link_info info;
    bool named = false;
    enum emd_status status = ask_cancelled(copy, err);
    if (status != EMD_OK)
        return status;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strchr(name, '/'))
        status = emd_fail(err, EMD_E_CORRUPT, "a name that no path can say");
    else if (get_link_info(linking->src, name, &info, H5P_DEFAULT) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look it up");
    else {
        hid_t list = info.cset == H5T_CSET_UTF8 ? copy->link_utf8 : copy->link_ascii;
        if (info.type == H5L_TYPE_HARD)
            status = link_hard(linking, name, &info, list, &named);
        else if (info.type == H5L_TYPE_SOFT || info.type == H5L_TYPE_EXTERNAL)
            status = link_by_value(linking, name, &info, list);
        else
            status =
                emd_fail(err, EMD_E_UNSUPPORTED, "a user-defined link of class %d", (int)info.type);
    }
    if (status != EMD_OK && !named) {
        emd_fail_prefix(err, status, "link '%.200s'", name);
        blame(copy, linking->row, status, err);
    }
    return status;
}

/* A roster while HDF5 fills it. */
struct listing {
    struct emd_roster roster;
    enum emd_status status;
    struct emd_error *err;
};

static herr_t list_link(hid_t group, const char *name, const link_info *info, void *data)
{
    (void)group;
    struct listing *listing = data;
    listing->status =
        emd_roster_add(&listing->roster, name, info->corder_valid ? info->corder : 0, listing->err);
    return listing->status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

static enum emd_status copy_links(struct copy *copy, uint32_t row, struct emd_error *err)
{
    struct linking linking = {.copy = copy, .row = row, .err = err};
    struct listing listing = {.roster = {.limit = copy->names_limit}, .err = err};
    enum emd_status status = EMD_OK;
    linking.src = emd_hdf5_open_address(copy->src, copy->objects[row].src);
    linking.dst = emd_hdf5_open_address(copy->dst, copy->objects[row].dst);
    if (linking.src < 0 || linking.dst < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot open the group again");
    else if (iterate_links(linking.src, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_link, &listing) <
             0)
        status = listing.status != EMD_OK
                     ? listing.status
                     : emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot list the links");
    if (status != EMD_OK) {
        blame(copy, row, status, err);
        goto out;
    }
    emd_roster_sort(&listing.roster);
    for (size_t i = 0; i < listing.roster.count && status == EMD_OK; i++)
        status = copy_link(&linking, emd_roster_name(&listing.roster, i));
out:
    emd_roster_free(&listing.roster);
    emd_hdf5_close(&linking.dst);
    emd_hdf5_close(&linking.src);
    return status;
}

/* ---- attributes ---- */

static enum emd_status copy_attribute_value(struct copy *copy, hid_t src, hid_t dst, hid_t type,
                                            hid_t space, struct emd_error *err)
{
    enum emd_status status;
    struct emd_values values = {0};
    uint64_t bytes;
    void *data = NULL;
    hid_t memory = H5Tcopy(type);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (memory < 0 || count < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at its type");
        goto out;
    }
    status = emd_values_make(memory, &values, err);
    if (status != EMD_OK || count == 0)
        goto out;
    if (__builtin_mul_overflow((uint64_t)count, (uint64_t)values.size, &bytes) ||
        bytes > copy->item_bytes) {
        status = emd_fail(err, EMD_E_CORRUPT, "it claims to be larger than the file");
        goto out;
    }
    data = calloc(1, (size_t)bytes);
    if (!data) {
        status = emd_fail(err, EMD_E_MEMORY, "no memory for %" PRIu64 " bytes", bytes);
        goto out;
    }
    if (H5Aread(src, memory, data) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read it");
        goto out;
    }
    status = translate(copy, &values, data, (size_t)count, err);
    if (status == EMD_OK && H5Awrite(dst, memory, data) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write it");
    if (values.variable)
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, data);
out:
    free(data);
    emd_values_free(&values);
    emd_hdf5_close(&memory);
    return status;
}

static enum emd_status copy_attribute(struct copy *copy, hid_t object, hid_t new_object,
                                      const char *name, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hid_t dst = H5I_INVALID_HID, dst_type = H5I_INVALID_HID;
    hid_t src = H5Aopen(object, name, H5P_DEFAULT);
    hid_t type = src >= 0 ? H5Aget_type(src) : H5I_INVALID_HID;
    hid_t space = src >= 0 ? H5Aget_space(src) : H5I_INVALID_HID;
    hid_t list = src >= 0 ? H5Aget_create_plist(src) : H5I_INVALID_HID;
    if (type < 0 || space < 0 || list < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at it");
        goto out;
    }
    status = map_type(copy, type, &dst_type, err);
    if (status != EMD_OK)
        goto out;
    dst = H5Acreate2(new_object, name, dst_type, space, list, H5P_DEFAULT);
    if (dst < 0) {
        struct emd_error first = {EMD_OK, ""};
        emd_hdf5_fail(&first, EMD_E_UNSUPPORTED, "cannot create it");
        if (set_bounds(copy, copy->low, H5F_LIBVER_LATEST))
            dst = H5Acreate2(new_object, name, dst_type, space, list, H5P_DEFAULT);
        reset_bounds(copy);
        if (dst < 0) {
            status = emd_fail(err, EMD_E_UNSUPPORTED, "%s", first.text);
            goto out;
        }
    }
    if (H5Sget_simple_extent_type(space) != H5S_NULL)
        status = copy_attribute_value(copy, src, dst, type, space, err);
out:
    if (!emd_hdf5_close(&dst) && status == EMD_OK)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write it");
    emd_hdf5_close(&dst_type);
    emd_hdf5_close(&list);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    emd_hdf5_close(&src);
    if (status != EMD_OK)
        emd_fail_prefix(err, status, "attribute '%.200s'", name);
    return status;
}

static herr_t list_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
    (void)object;
    struct listing *listing = data;
    listing->status = emd_roster_add(&listing->roster, name,
                                     info->corder_valid ? (int64_t)info->corder : 0, listing->err);
    return listing->status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

static enum emd_status copy_attributes(struct copy *copy, uint32_t row, hid_t src, hid_t dst,
                                       struct emd_error *err)
{
    struct listing listing = {.roster = {.limit = copy->names_limit}, .err = err};
    const char *omit = row == 0 ? copy->options->omit_root_attribute : NULL;
    enum emd_status status = EMD_OK;
    if (H5Aiterate2(src, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_attribute, &listing) < 0) {
        status = listing.status != EMD_OK
                     ? listing.status
                     : emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot list the attributes");
        goto out;
    }
    /* Where no order was tracked, the native one is that of their making as long as they lie in the
     * object's header. */
    emd_roster_sort(&listing.roster);
    for (size_t i = 0; i < listing.roster.count && status == EMD_OK; i++) {
        const char *name = emd_roster_name(&listing.roster, i);
        if (!omit || strcmp(name, omit) != 0)
            status = copy_attribute(copy, src, dst, name, err);
    }
out:
    emd_roster_free(&listing.roster);
    return status;
}

/* ---- raw data ---- */

static enum emd_status need_buffer(struct copy *copy, size_t bytes, const char *what,
                                   struct emd_error *err)
{
    if (bytes <= copy->buffer_size)
        return EMD_OK;
    if (bytes > copy->buffer_bytes && bytes > copy->item_bytes)
        return emd_fail(err, EMD_E_BUDGET, "%s of %zu bytes", what, bytes);
    free(copy->buffer);
    copy->buffer_size = 0;
    copy->buffer = malloc(bytes);
    if (!copy->buffer)
        return emd_fail(err, EMD_E_MEMORY, "no memory for %s of %zu bytes", what, bytes);
    copy->buffer_size = bytes;
    return EMD_OK;
}

/* Gives back what a single large item took. */
static void shrink_buffer(struct copy *copy)
{
    if (copy->buffer_size > copy->buffer_bytes) {
        free(copy->buffer);
        copy->buffer = NULL;
        copy->buffer_size = 0;
    }
}

/* A dataset whose values are being moved. */
struct moving {
    struct copy *copy;
    hid_t src, dst;
    hid_t memory;     /* type in memory */
    hid_t file_space; /* of the source, which is the destination's too */
    hid_t transfer;   /* variable-length data go to the arena */
    struct emd_values values;
    int rank;
};

/* Moves the box at 'start' of 'count' elements an axis, in one piece. EMD_E_BUDGET: what it refers
 * to does not fit 'limit' bytes. */
static enum emd_status move_box(struct moving *m, const hsize_t *start, const hsize_t *count,
                                size_t elements, size_t limit, struct emd_error *err)
{
    struct copy *copy = m->copy;
    enum emd_status status;
    const size_t bytes = elements * m->values.size;
    hsize_t n = elements;
    hid_t memory_space = H5Screate_simple(1, &n, NULL);
    if (memory_space < 0 || (m->rank > 0 && H5Sselect_hyperslab(m->file_space, H5S_SELECT_SET,
                                                                start, NULL, count, NULL) < 0)) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot select elements");
        goto out;
    }
    status = need_buffer(copy, bytes, "an element", err);
    if (status != EMD_OK)
        goto out;
    memset(copy->buffer, 0, bytes);
    emd_arena_reset(&copy->arena, limit);
    if (H5Dread(m->src, m->memory, memory_space, m->file_space, m->transfer, copy->buffer) < 0) {
        status = copy->arena.refused
                     ? emd_fail(err, EMD_E_BUDGET, "a variable-length value of more than %zu bytes",
                                limit)
                     : emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read its data");
        goto out;
    }
    status = translate(copy, &m->values, copy->buffer, elements, err);
    if (status == EMD_OK &&
        H5Dwrite(m->dst, m->memory, memory_space, m->file_space, H5P_DEFAULT, copy->buffer) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write its data");
out:
    emd_hdf5_close(&memory_space);
    return status;
}

/* Moves a box in pieces of at most 'most' elements: whole inner axes as far as they fit, then a run
 * along one axis, one step along the outer ones. Variable-length values that do not fit make the
 * pieces smaller, down to one element. */
static enum emd_status move_pieces(struct moving *m, const hsize_t *start, const hsize_t *count,
                                   size_t most, struct emd_error *err)
{
    struct copy *copy = m->copy;
    hsize_t at[EMD_RANK_MAX] = {0}, part[EMD_RANK_MAX], first[EMD_RANK_MAX];
    for (int i = 0; i < m->rank; i++)
        if (count[i] == 0)
            return EMD_OK;
    for (;;) {
        /* The piece at 'at' (within the box): grow it from the last axis. An axis that the walk
         * stands inside of is not whole, so that the axes before it stay one step. */
        size_t elements = 1;
        bool whole = true;
        for (int i = m->rank - 1; i >= 0; i--) {
            hsize_t left = count[i] - at[i];
            part[i] = 1;
            if (whole) {
                const size_t fit = most / elements;
                part[i] = left < fit ? left : (hsize_t)(fit ? fit : 1);
                whole = part[i] == count[i];
            }
            elements *= (size_t)part[i];
            first[i] = start[i] + at[i];
        }
        enum emd_status status = ask_cancelled(copy, err);
        if (status != EMD_OK)
            return status;
        status = move_box(m, first, part, elements,
                          elements > 1 ? copy->buffer_bytes : copy->item_bytes, err);
        if (status == EMD_E_BUDGET && elements > 1) {
            most = elements / 2;
            continue;
        }
        if (status != EMD_OK)
            return status;
        int axis = m->rank - 1;
        for (; axis >= 0; axis--) {
            at[axis] += part[axis];
            if (at[axis] < count[axis])
                break;
            at[axis] = 0;
        }
        if (axis < 0)
            return EMD_OK;
    }
}

/* Whether stored chunks mean the same in both files: same chunks, same filters and parameters. */
static bool same_storage(hid_t src_list, hid_t dst_list)
{
    hsize_t a[EMD_RANK_MAX], b[EMD_RANK_MAX];
    unsigned partial = 0;
    if (H5Pget_layout(src_list) != H5D_CHUNKED || H5Pget_layout(dst_list) != H5D_CHUNKED ||
        H5Pget_chunk_opts(src_list, &partial) < 0 || partial != 0)
        return false;
    int rank = H5Pget_chunk(src_list, EMD_RANK_MAX, a);
    if (rank < 1 || rank > EMD_RANK_MAX || H5Pget_chunk(dst_list, EMD_RANK_MAX, b) != rank ||
        memcmp(a, b, (size_t)rank * sizeof a[0]) != 0)
        return false;
    int filters = H5Pget_nfilters(src_list);
    if (filters < 0 || H5Pget_nfilters(dst_list) != filters)
        return false;
    for (int i = 0; i < filters; i++) {
        enum { MOST = 64 };
        unsigned flags[2], cd[2][MOST] = {{0}, {0}};
        size_t n[2] = {MOST, MOST};
        H5Z_filter_t id[2] = {
            H5Pget_filter2(src_list, (unsigned)i, &flags[0], &n[0], cd[0], 0, NULL, NULL),
            H5Pget_filter2(dst_list, (unsigned)i, &flags[1], &n[1], cd[1], 0, NULL, NULL)};
        if (id[0] < 0 || id[0] != id[1] || n[0] != n[1] || n[0] > MOST ||
            memcmp(cd[0], cd[1], sizeof cd[0]) != 0)
            return false;
    }
    return true;
}

static enum emd_status copy_stored_chunks(struct moving *m, const struct emd_chunk_list *chunks,
                                          struct emd_error *err)
{
    struct copy *copy = m->copy;
    for (size_t i = 0; i < chunks->count; i++) {
        const struct emd_chunk *chunk = &chunks->chunk[i];
        hsize_t offset[EMD_RANK_MAX];
        uint32_t mask = 0;
        enum emd_status status = ask_cancelled(copy, err);
        if (status == EMD_OK && chunk->bytes > copy->src_size)
            status = emd_fail(err, EMD_E_CORRUPT, "a chunk larger than the file");
        if (status == EMD_OK)
            status = need_buffer(copy, (size_t)chunk->bytes, "a chunk", err);
        if (status == EMD_OK)
            status = emd_chunk_read(m->src, &chunks->grid, chunk, copy->buffer, copy->buffer_size,
                                    &mask, err);
        if (status != EMD_OK)
            return status;
        emd_chunk_offset(&chunks->grid, chunk->index, offset);
        if (H5Dwrite_chunk(m->dst, H5P_DEFAULT, mask, offset, (size_t)chunk->bytes, copy->buffer) <
            0)
            return emd_hdf5_fail(err, EMD_E_IO, "cannot write a chunk");
    }
    return EMD_OK;
}

static enum emd_status move_chunked(struct moving *m, hid_t src_list, size_t most,
                                    struct emd_error *err)
{
    struct copy *copy = m->copy;
    struct emd_chunk_list chunks = {0};
    hid_t dst_list = H5Dget_create_plist(m->dst);
    enum emd_status status =
        emd_chunk_list_get(m->src, NULL, EMD_CHUNKS_BY_INDEX, copy->item_bytes, &chunks, err);
    if (status != EMD_OK)
        goto out;
    /* Plain chunks larger than the buffer need not be taken whole. */
    const bool large =
        H5Pget_nfilters(src_list) == 0 && chunks.grid.chunk_bytes > copy->buffer_bytes;
    if (!m->values.variable && !m->values.references && !large && dst_list >= 0 &&
        same_storage(src_list, dst_list)) {
        status = copy_stored_chunks(m, &chunks, err);
        goto out;
    }
    for (size_t i = 0; i < chunks.count && status == EMD_OK; i++) {
        const struct emd_chunk_grid *grid = &chunks.grid;
        hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX];
        emd_chunk_offset(grid, chunks.chunk[i].index, start);
        for (unsigned k = 0; k < grid->rank; k++)
            count[k] = grid->dims[k] - start[k] < grid->chunk[k] ? grid->dims[k] - start[k]
                                                                 : grid->chunk[k];
        status = move_pieces(m, start, count, most, err);
    }
out:
    emd_chunk_list_free(&chunks);
    emd_hdf5_close(&dst_list);
    return status;
}

static enum emd_status copy_data(struct copy *copy, hid_t src, hid_t dst, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct moving m = {.copy = copy, .src = src, .dst = dst};
    hid_t type = H5Dget_type(src), list = H5Dget_create_plist(src);
    m.memory = type >= 0 ? H5Tcopy(type) : H5I_INVALID_HID;
    m.file_space = H5Dget_space(src);
    m.transfer = H5Pcreate(H5P_DATASET_XFER);
    const H5S_class_t kind =
        m.file_space >= 0 ? H5Sget_simple_extent_type(m.file_space) : H5S_NO_CLASS;
    if (m.memory < 0 || list < 0 || kind == H5S_NO_CLASS || m.transfer < 0 ||
        H5Pset_vlen_mem_manager(m.transfer, emd_arena_alloc, &copy->arena, emd_arena_free,
                                &copy->arena) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the dataset");
        goto out;
    }
    const hssize_t points = H5Sget_simple_extent_npoints(m.file_space);
    if (kind == H5S_NULL || points == 0)
        goto out;
    status = emd_values_make(m.memory, &m.values, err);
    if (status != EMD_OK)
        goto out;
    m.rank = H5Sget_simple_extent_ndims(m.file_space);
    hsize_t start[EMD_RANK_MAX] = {0}, dims[EMD_RANK_MAX];
    if (points < 0 || m.rank < 0 || m.rank > EMD_RANK_MAX ||
        H5Sget_simple_extent_dims(m.file_space, dims, NULL) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at its dataspace");
        goto out;
    }
    const size_t most = copy->buffer_bytes / m.values.size ? copy->buffer_bytes / m.values.size : 1;
    if (H5Pget_layout(list) == H5D_CHUNKED)
        status = move_chunked(&m, list, most, err);
    else if (H5Pget_layout(list) == H5D_COMPACT || emd_hdf5_is_allocated(src))
        status = move_pieces(&m, start, dims, most, err);
out:
    emd_values_free(&m.values);
    shrink_buffer(copy);
    emd_arena_reset(&copy->arena, 0);
    emd_hdf5_close(&m.transfer);
    emd_hdf5_close(&m.file_space);
    emd_hdf5_close(&m.memory);
    emd_hdf5_close(&list);
    emd_hdf5_close(&type);
    return status;
}

/* ---- the two passes ---- */

static enum emd_status add_root(struct copy *copy, struct emd_error *err)
{
    struct object object = {.parent = NOBODY, .type = H5I_GROUP};
    uint32_t row;
    hid_t src = H5Gopen2(copy->src, "/", H5P_DEFAULT);
    hid_t dst = H5Gopen2(copy->dst, "/", H5P_DEFAULT);
    enum emd_status status;
    if (src < 0 || dst < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot open the root group");
    else if ((status = emd_hdf5_address(src, &object.src, err)) == EMD_OK &&
             (status = emd_hdf5_address(dst, &object.dst, err)) == EMD_OK &&
             (status = add_object(copy, &object, &row, err)) == EMD_OK)
        status = copy_comment(src, dst, err);
    emd_hdf5_close(&dst);
    emd_hdf5_close(&src);
    return status;
}

/* Attributes and data of one object. */
static enum emd_status fill_object(struct copy *copy, uint32_t row, struct emd_error *err)
{
    const struct emd_tree_options *options = copy->options;
    enum emd_status status = ask_cancelled(copy, err);
    if (status != EMD_OK)
        return status;
    hid_t src = emd_hdf5_open_address(copy->src, copy->objects[row].src);
    hid_t dst = emd_hdf5_open_address(copy->dst, copy->objects[row].dst);
    bool named = false;
    if (src < 0 || dst < 0) {
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot open the object again");
        goto out;
    }
    status = copy_attributes(copy, row, src, dst, err);
    if (status != EMD_OK || copy->objects[row].type != H5I_DATASET)
        goto out;
    if (copy->objects[row].copies) {
        named = true; /* the callback was told the path */
        status = options->copy(options->ctx, src, dst, path_of(copy, row), err);
    } else {
        status = copy_data(copy, src, dst, err);
    }
out:
    if (!emd_hdf5_close(&dst) && status == EMD_OK)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot write the object");
    emd_hdf5_close(&src);
    if (status != EMD_OK && status != EMD_E_CANCELLED && !named)
        return blame(copy, row, status, err);
    return status;
}

static enum emd_status read_bounds(struct copy *copy, struct emd_error *err)
{
    hid_t access = H5Fget_access_plist(copy->dst);
    enum emd_status status = EMD_OK;
    if (access < 0 || H5Pget_libver_bounds(access, &copy->low, &copy->high) < 0)
        status = emd_hdf5_fail(err, EMD_E_ARGUMENT, "cannot look at the new file");
    emd_hdf5_close(&access);
    return status;
}

enum emd_status emd_tree_copy(hid_t src_file, hid_t dst_file,
                              const struct emd_tree_options *options, struct emd_error *err)
{
    static const struct emd_tree_options defaults;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    hsize_t size = 0;
    struct copy copy = {.src = src_file,
                        .dst = dst_file,
                        .options = options ? options : &defaults,
                        .link_ascii = H5Pcreate(H5P_LINK_CREATE),
                        .link_utf8 = H5Pcreate(H5P_LINK_CREATE)};
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status != EMD_OK)
        goto out;
    if (copy.link_ascii < 0 || copy.link_utf8 < 0 ||
        H5Pset_char_encoding(copy.link_ascii, H5T_CSET_ASCII) < 0 ||
        H5Pset_char_encoding(copy.link_utf8, H5T_CSET_UTF8) < 0 ||
        H5Fget_filesize(src_file, &size) < 0) {
        status = emd_hdf5_fail(err, EMD_E_ARGUMENT, "cannot look at the file");
        goto out;
    }
    copy.src_size = size;
    copy.names_limit = size < SIZE_MAX ? (size_t)size : SIZE_MAX;
    copy.buffer_bytes = copy.options->buffer_bytes ? copy.options->buffer_bytes : DEFAULT_BUFFER;
    if (copy.buffer_bytes < LEAST_BUFFER)
        copy.buffer_bytes = LEAST_BUFFER;
    copy.item_bytes = copy.options->item_bytes ? copy.options->item_bytes : (size_t)size;
    status = read_bounds(&copy, err);
    if (status == EMD_OK)
        status = add_root(&copy, err);
    for (size_t i = 0; i < copy.count && status == EMD_OK; i++)
        if (copy.objects[i].type == H5I_GROUP)
            status = copy_links(&copy, (uint32_t)i, err);
    /* Types without a name may join the table while attributes that use them are made. */
    for (size_t i = 0; i < copy.count && status == EMD_OK; i++)
        status = fill_object(&copy, (uint32_t)i, err);
out:
    emd_arena_end(&copy.arena);
    free(copy.path);
    free(copy.buffer);
    free(copy.names);
    free(copy.slots);
    free(copy.objects);
    emd_hdf5_close(&copy.link_utf8);
    emd_hdf5_close(&copy.link_ascii);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
