/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See h5call.h. Property lists are closed by H5Idec_ref's general way, objects by their own
 * function: those remove the identifier even where the flush behind it fails. */
#include "hdf5/h5call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hdf5/fdfile.h"

/* HDF5's clean-up at exit follows the identifiers of files whose last flush failed (a full disk) to
 * memory that is freed already, and crashes (seen with 1.10.8). It has nothing to do for us: what
 * matters is closed before. It can only be asked away before HDF5 is used for the first time. */
__attribute__((constructor)) static void no_cleanup_at_exit(void)
{
    H5dont_atexit();
}

struct emd_hdf5_quiet emd_hdf5_quiet_begin(void)
{
    struct emd_hdf5_quiet quiet = {NULL, NULL};
    H5Eget_auto2(H5E_DEFAULT, &quiet.function, &quiet.data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return quiet;
}

void emd_hdf5_quiet_end(const struct emd_hdf5_quiet *quiet)
{
    H5Eset_auto2(H5E_DEFAULT, quiet->function, quiet->data);
}

/* The innermost record that says something: the first one, walking from where the error arose.
 * Records without text of their own are passed over. */
static herr_t keep_innermost(unsigned n, const H5E_error2_t *record, void *data)
{
    (void)n;
    const char **text = data;
    if (!*text && record->desc && *record->desc)
        *text = record->desc;
    return 0;
}

enum emd_status emd_hdf5_fail(struct emd_error *err, enum emd_status status, const char *format,
                              ...)
{
    const int failed = emd_fdfile_errno();
    if (failed)
        status = EMD_E_IO;
    if (!err)
        return status;
    char why[256] = "";
    const char *text = NULL;
    /* A copy of the stack: walking the live one would let H5Ewalk2 clear it. */
    hid_t stack = H5Eget_current_stack();
    if (stack >= 0) {
        H5Ewalk2(stack, H5E_WALK_UPWARD, keep_innermost, &text);
        if (failed)
            snprintf(why, sizeof why, "%s", strerror(failed));
        else if (text)
            snprintf(why, sizeof why, "HDF5: %s", text);
        H5Eclose_stack(stack);
    }
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    if (why[0])
        snprintf(err->text + used, sizeof err->text - used, ": %s", why);
    return status;
}

bool emd_hdf5_close(hid_t *id)
{
    hid_t old = *id;
    *id = H5I_INVALID_HID;
    if (old < 0)
        return true;
    switch (H5Iget_type(old)) {
    case H5I_FILE:
        return H5Fclose(old) >= 0;
    case H5I_GROUP:
        return H5Gclose(old) >= 0;
    case H5I_DATASET:
        return H5Dclose(old) >= 0;
    case H5I_DATATYPE:
        return H5Tclose(old) >= 0;
    case H5I_DATASPACE:
        return H5Sclose(old) >= 0;
    case H5I_ATTR:
        return H5Aclose(old) >= 0;
    default:
        return H5Idec_ref(old) >= 0;
    }
}

bool emd_hdf5_fit_buffers(hid_t transfer, size_t elements, size_t size)
{
    static const size_t whole = (size_t)1
                                << 20; /* HDF5's default, which may grow; others may not */
    /* What has another size in the file has at most twice that in memory, or the other way round:
     * 8 and 16 bytes for text of variable length. */
    const size_t each = size > SIZE_MAX / 4 ? SIZE_MAX / 2 : 4 * size + 16;
    const size_t room = elements > SIZE_MAX / each ? SIZE_MAX : elements * each;
    return H5Pset_buffer(transfer, room < whole ? room : whole, NULL, NULL) >= 0;
}

bool emd_hdf5_is_allocated(hid_t dataset)
{
    H5D_space_status_t space = H5D_SPACE_STATUS_NOT_ALLOCATED;
    return H5Dget_space_status(dataset, &space) >= 0 && space != H5D_SPACE_STATUS_NOT_ALLOCATED;
}

enum emd_status emd_hdf5_address(hid_t object, uint64_t *address, struct emd_error *err)
{
#if H5_VERSION_GE(1, 12, 0)
    H5O_info2_t info;
    haddr_t found;
    if (H5Oget_info3(object, &info, H5O_INFO_BASIC) < 0 ||
        H5VLnative_token_to_addr(object, info.token, &found) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot tell an object's address");
    *address = found;
#else
    H5O_info_t info;
#if H5_VERSION_GE(1, 10, 3)
    herr_t result = H5Oget_info2(object, &info, H5O_INFO_BASIC);
#else
    herr_t result = H5Oget_info(object, &info);
#endif
    if (result < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot tell an object's address");
    *address = info.addr;
#endif
    return EMD_OK;
}

hid_t emd_hdf5_open_address(hid_t file, uint64_t address)
{
#if H5_VERSION_GE(1, 12, 0)
    H5O_token_t token;
    if (H5VLnative_addr_to_token(file, address, &token) < 0)
        return H5I_INVALID_HID;
    return H5Oopen_by_token(file, token);
#else
    return H5Oopen_by_addr(file, address);
#endif
}
