/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* treecopy [options] SOURCE COPY: the tree copy of lib/hdf5 by itself, for tests.
 *
 * Options: --buffer BYTES, --newest, --omit NAME, --rehearse (ask emd_tree_rehearse
 * first), --callbacks (a 'choose' that looks at every
 * dataset and a 'copy' that moves the plain numeric ones by H5Dread and H5Dwrite, whole). Remarks
 * go to stderr. Exit: 0 done; 1 an error, "STATUS: text" on stderr; 3 the same for busy and
 * incomplete sources. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hdf5/h5call.h"
#include "hdf5/rehearse.h"
#include "hdf5/source.h"
#include "hdf5/tree.h"

static enum emd_status choose(void *ctx, hid_t src, const char *path, hid_t dcpl, bool *copies,
                              struct emd_error *err)
{
    (void)ctx;
    (void)err;
    hid_t type = H5Dget_type(src), space = H5Dget_space(src);
    H5T_class_t class = H5Tget_class(type);
    *copies = path[0] == '/' && H5Pget_layout(dcpl) == H5D_CONTIGUOUS &&
              (class == H5T_INTEGER || class == H5T_FLOAT) &&
              H5Sget_simple_extent_npoints(space) > 0 && emd_hdf5_is_allocated(src);
    H5Sclose(space);
    H5Tclose(type);
    return EMD_OK;
}

static enum emd_status copy(void *ctx, hid_t src, hid_t dst, const char *path,
                            struct emd_error *err)
{
    (void)ctx;
    hid_t type = H5Dget_type(src);
    void *data = malloc(H5Dget_storage_size(src));
    enum emd_status status = EMD_OK;
    if (!data || H5Dread(src, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0 ||
        H5Dwrite(dst, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "%s: cannot copy", path);
    free(data);
    H5Tclose(type);
    return status;
}

static enum emd_status make_file(const char *path, int *fd, struct emd_error *err)
{
    *fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return *fd >= 0 ? EMD_OK : emd_fail_errno(err, EMD_E_IO, errno, "cannot create the copy");
}

static void remark(void *ctx, const char *path, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s: %s\n", path, text);
}

int main(int argc, char **argv)
{
    int fd = -1;
    struct emd_tree_options options = {.remark = remark};
    struct emd_tree_file_options file_options = {0};
    bool rehearse = false;
    int arg = 1;
    for (; arg < argc && strncmp(argv[arg], "--", 2) == 0; arg++) {
        if (strcmp(argv[arg], "--newest") == 0) {
            file_options.newest_format = true;
        } else if (strcmp(argv[arg], "--rehearse") == 0) {
            rehearse = true;
        } else if (strcmp(argv[arg], "--callbacks") == 0) {
            options.choose = choose;
            options.copy = copy;
        } else if (strcmp(argv[arg], "--buffer") == 0 && arg + 1 < argc) {
            options.buffer_bytes = strtoull(argv[++arg], NULL, 0);
        } else if (strcmp(argv[arg], "--omit") == 0 && arg + 1 < argc) {
            options.omit_root_attribute = argv[++arg];
        } else {
            break;
        }
    }
    if (argc - arg != 2) {
        fprintf(stderr, "usage: treecopy [--buffer BYTES] [--newest] [--omit NAME] [--rehearse] "
                        "[--callbacks] "
                        "SOURCE COPY\n");
        return 2;
    }
    struct emd_source *source = NULL;
    struct emd_error err = {EMD_OK, ""};
    hid_t dst = H5I_INVALID_HID;
    enum emd_status status = EMD_OK;
    if (rehearse)
        status = emd_tree_rehearse(argv[arg], &(struct emd_rehearse_options){.seconds = 5}, &err);
    if (status == EMD_OK)
        status = emd_source_open(argv[arg], &source, &err);
    if (status == EMD_OK)
        status = make_file(argv[arg + 1], &fd, &err);
    if (status == EMD_OK)
        status = emd_tree_create(source, fd, &file_options, &dst, &err);
    if (status == EMD_OK)
        status = emd_tree_copy(source->file, dst, &options, &err);
    if (status == EMD_OK)
        status = emd_source_unchanged(source, &err);
    if (status == EMD_OK && H5Fget_obj_count(source->file, H5F_OBJ_ALL | H5F_OBJ_LOCAL) != 1) {
        status = EMD_E_ARGUMENT;
        strcpy(err.text, "objects of the source are left open");
    }
    if (status == EMD_OK && H5Fget_obj_count(dst, H5F_OBJ_ALL | H5F_OBJ_LOCAL) != 1) {
        status = EMD_E_ARGUMENT;
        strcpy(err.text, "objects of the copy are left open");
    }
    if (!emd_hdf5_close(&dst) && status == EMD_OK)
        status = emd_hdf5_fail(&err, EMD_E_IO, "cannot close the copy");
    emd_source_close(source);
    if (fd >= 0)
        close(fd);
    if (status == EMD_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", emd_status_text(status), err.text);
    return status == EMD_E_BUSY || status == EMD_E_INCOMPLETE || status == EMD_E_CHANGED ? 3 : 1;
}
