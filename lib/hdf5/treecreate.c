/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See treejob.h and tree.h. */
#include "hdf5/treejob.h"

#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "hdf5/fdfile.h"
#include "hdf5/h5call.h"

enum {
    /* A version 1 object header holds messages of less than 64 KiB; larger ones need version 2.
     * Some bytes are left for heads and padding. */
    ATTRIBUTE_BYTES_V1 = (64 << 10) - 256,
    /* A header with less than that cannot hold an attribute which is too large. */
    HEADER_BYTES_SMALL = 32 << 10,
    /* A version 1 header is searched from its start for each new attribute and ends at 65535. */
    ATTRIBUTES_V1 = 1000,
    /* HDF5's defaults (H5Pget_link_phase_change and others in the reference manual): version 1
     * headers and old groups know no others. */
    PHASE_COMPACT = 8,
    PHASE_DENSE = 6,
    EST_LINKS = 4,
    EST_NAME = 8
};

bool emd_job_set_bounds(struct emd_job *job, H5F_libver_t low, H5F_libver_t high)
{
    return H5Fset_libver_bounds(job->dst, low, high) >= 0;
}

void emd_job_reset_bounds(struct emd_job *job)
{
    emd_job_set_bounds(job, job->low, job->high);
}

/* Name, type, space and data of an attribute as version 1 stores them; a committed type is a link
 * only. */
static uint64_t attribute_bytes(hid_t attribute, const char *name, const H5A_info_t *info)
{
    size_t type_bytes = 0;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const int rank = space < 0 ? 0 : H5Sget_simple_extent_ndims(space);
    if (type >= 0 && H5Tcommitted(type) <= 0)
        H5Tencode(type, NULL, &type_bytes);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    return strlen(name) + type_bytes + 16 * (uint64_t)(rank > 0 ? rank : 0) + info->data_size;
}

static herr_t find_large_attribute(hid_t object, const char *name, const H5A_info_t *info,
                                   void *data)
{
    bool *large = data;
    *large = info->data_size > ATTRIBUTE_BYTES_V1;
    if (!*large) {
        hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
        *large = attribute >= 0 && attribute_bytes(attribute, name, info) > ATTRIBUTE_BYTES_V1;
        emd_hdf5_close(&attribute);
    }
    return *large ? H5_ITER_STOP : H5_ITER_CONT;
}

/* True where the header says already that no attribute is large: they lie in it, and it is small.
 */
static bool has_small_header(hid_t object)
{
    const uint64_t attribute_message = UINT64_C(1) << 12; /* IV.A.2.m of the file format */
#if H5_VERSION_GE(1, 12, 0)
    H5O_native_info_t info;
    if (H5Oget_native_info(object, &info, H5O_NATIVE_INFO_HDR) < 0)
        return false;
#elif H5_VERSION_GE(1, 10, 3)
    H5O_info_t info;
    if (H5Oget_info2(object, &info, H5O_INFO_HDR) < 0)
        return false;
#else
    H5O_info_t info;
    if (H5Oget_info(object, &info) < 0)
        return false;
#endif
    return info.hdr.space.total < HEADER_BYTES_SMALL &&
           (info.hdr.mesg.present & attribute_message) &&
           !(info.hdr.mesg.shared & attribute_message);
}

enum emd_status emd_tree_look_at_file(hid_t file, bool *shared_messages, unsigned *address_bytes,
                                      struct emd_error *err)
{
    unsigned indexes = 0;
    size_t address = 0, length = 0;
    hid_t list = H5Fget_create_plist(file);
    enum emd_status status = EMD_OK;
    if (list < 0 || H5Pget_shared_mesg_nindexes(list, &indexes) < 0 ||
        H5Pget_sizes(list, &address, &length) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the file");
    emd_hdf5_close(&list);
    *shared_messages = indexes > 0;
    *address_bytes = (unsigned)address;
    return status;
}

enum emd_status emd_tree_needs_new_header(hid_t object, hid_t list, bool shared_messages,
                                          bool *needs, struct emd_error *err)
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
    if (attributes > 0 && (shared_messages || !has_small_header(object)) &&
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

enum emd_status emd_tree_set_group_properties(hid_t of, hid_t list, struct emd_error *err)
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

static enum emd_status copy_user_block(const struct emd_source *source, int fd,
                                       struct emd_error *err)
{
    static unsigned char bytes[1 << 16]; /* the HDF5 thread's */
    enum emd_status status = EMD_OK;
    for (uint64_t at = 0; at < source->user_block && status == EMD_OK;) {
        uint64_t left = source->user_block - at;
        size_t n = left < sizeof bytes ? (size_t)left : sizeof bytes;
        status = emd_source_read(source->fd, bytes, n, at, err);
        if (status == EMD_OK && emd_pwrite_all(fd, bytes, n, at) != 0)
            status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write the user block");
        at += n;
    }
    return status;
}

enum emd_status emd_tree_create(const struct emd_source *source, int fd,
                                const struct emd_tree_file_options *options, hid_t *dst,
                                struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    const bool newest = options && options->newest_format;
    const bool in_memory = fd < 0;
    H5F_libver_t low = newest ? H5F_LIBVER_LATEST : H5F_LIBVER_EARLIEST;
    H5F_libver_t high = newest ? H5F_LIBVER_LATEST : H5F_LIBVER_V18;
    bool new_root = false, shared_messages = false;
    unsigned address_bytes;
    enum emd_status status = EMD_OK;
    *dst = H5I_INVALID_HID;
    hid_t access = in_memory ? H5Pcreate(H5P_FILE_ACCESS) : emd_fdfile_access(fd);
    hid_t list = H5Pcreate(H5P_FILE_CREATE);
    hid_t root = H5Gopen2(source->file, "/", H5P_DEFAULT);
    hid_t root_list = root >= 0 ? H5Gget_create_plist(root) : H5I_INVALID_HID;
    if (access < 0 || list < 0 || root_list < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the root group");
        goto out;
    }
    if (in_memory && H5Pset_fapl_core(access, 1 << 16, false) < 0) {
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot set up the new file");
        goto out;
    }
    status = emd_tree_set_group_properties(root_list, list, err);
    if (status == EMD_OK)
        status = emd_tree_look_at_file(source->file, &shared_messages, &address_bytes, err);
    if (status == EMD_OK)
        status = emd_tree_needs_new_header(root, root_list, shared_messages, &new_root, err);
    if (status != EMD_OK)
        goto out;
    /* The root group is made with the file: a version 2 header there means superblock 2. */
    if (H5Pset_userblock(list, source->user_block) < 0 ||
        H5Pset_libver_bounds(access, new_root && !newest ? H5F_LIBVER_V18 : low, high) < 0) {
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot set up the new file");
        goto out;
    }
    *dst = H5Fcreate("copy", H5F_ACC_TRUNC, list, access);
    if (*dst < 0) {
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot create the new file");
        goto out;
    }
    if (new_root && !newest && H5Fset_libver_bounds(*dst, low, high) < 0) {
        status = emd_hdf5_fail(err, EMD_E_UNSUPPORTED, "cannot set up the new file");
        goto out;
    }
    if (source->user_block > 0 && !in_memory)
        status = copy_user_block(source, fd, err);
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
