/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See stack.h. HDF5 reads the stored numbers as they are and we widen them to float: its own
 * conversion to float costs ten times as much. */
#include "velox/stack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/filters.h"
#include "hdf5/h5call.h"

/* A frame larger than this is not an image that somebody wants to look at. */
#define FRAME_PIXELS_MAX ((size_t)1 << 30)

/* Two floating-point members of one size: what Velox and h5py make of complex numbers. */
static bool is_complex(hid_t type)
{
    bool yes = H5Tget_class(type) == H5T_COMPOUND && H5Tget_nmembers(type) == 2;
    size_t size[2] = {0, 1};
    for (unsigned i = 0; i < 2 && yes; i++) {
        hid_t part = H5Tget_member_type(type, i);
        yes = part >= 0 && H5Tget_class(part) == H5T_FLOAT;
        size[i] = part >= 0 ? H5Tget_size(part) : 0;
        emd_hdf5_close(&part);
    }
    return yes && size[0] == size[1];
}

static hid_t complex_memory_type(hid_t type)
{
    hid_t memory = H5Tcreate(H5T_COMPOUND, 2 * sizeof(float));
    for (unsigned i = 0; i < 2 && memory >= 0; i++) {
        char *name = H5Tget_member_name(type, i);
        if (!name || H5Tinsert(memory, name, i * sizeof(float), H5T_NATIVE_FLOAT) < 0)
            emd_hdf5_close(&memory);
        H5free_memory(name);
    }
    return memory;
}

static void choose_kind(hid_t type, struct emd_stack *stack)
{
    const size_t size = H5Tget_size(type);
    const char *name = "opaque";
    stack->kind = EMD_STACK_NONE;
    stack->memory_type = H5I_INVALID_HID;
    switch (H5Tget_class(type)) {
    case H5T_INTEGER: {
        const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
        stack->kind = size == 1   ? (is_signed ? EMD_STACK_I8 : EMD_STACK_U8)
                      : size == 2 ? (is_signed ? EMD_STACK_I16 : EMD_STACK_U16)
                      : size == 4 ? (is_signed ? EMD_STACK_I32 : EMD_STACK_U32)
                                  : EMD_STACK_F64;
        snprintf(stack->type, sizeof stack->type, "%sint%zu", is_signed ? "" : "u", 8 * size);
        break;
    }
    case H5T_FLOAT:
        stack->kind = size == 4 ? EMD_STACK_F32 : EMD_STACK_F64;
        snprintf(stack->type, sizeof stack->type, "float%zu", 8 * size);
        break;
    case H5T_COMPOUND:
        name = "compound";
        if (is_complex(type)) {
            stack->kind = EMD_STACK_COMPLEX;
            snprintf(stack->type, sizeof stack->type, "complex%zu", 8 * size);
        }
        break;
    case H5T_STRING:
        name = "string";
        break;
    default:
        break;
    }
    const hid_t native[] = {
        [EMD_STACK_I8] = H5T_NATIVE_INT8,   [EMD_STACK_U8] = H5T_NATIVE_UINT8,
        [EMD_STACK_I16] = H5T_NATIVE_INT16, [EMD_STACK_U16] = H5T_NATIVE_UINT16,
        [EMD_STACK_I32] = H5T_NATIVE_INT32, [EMD_STACK_U32] = H5T_NATIVE_UINT32,
        [EMD_STACK_F32] = H5T_NATIVE_FLOAT, [EMD_STACK_F64] = H5T_NATIVE_DOUBLE};
    if (stack->kind == EMD_STACK_NONE)
        snprintf(stack->type, sizeof stack->type, "%s", name);
    else if (stack->kind == EMD_STACK_COMPLEX)
        stack->memory_type = complex_memory_type(type);
    else
        stack->memory_type = H5Tcopy(native[stack->kind]);
}

static bool fits(hsize_t height, hsize_t width)
{
    return height <= FRAME_PIXELS_MAX && width <= FRAME_PIXELS_MAX &&
           height * width <= FRAME_PIXELS_MAX;
}

static enum emd_status choose_axes(bool velox, struct emd_stack *stack, struct emd_error *err)
{
    const unsigned rank = stack->rank;
    const hsize_t *dims = stack->dims;
    if (rank < 2)
        return emd_fail(err, EMD_E_UNSUPPORTED, "not an image: %u axes", rank);
    stack->frames_last = velox && rank == 3;
    const hsize_t height = stack->frames_last ? dims[0] : dims[rank - 2];
    const hsize_t width = stack->frames_last ? dims[1] : dims[rank - 1];
    hsize_t frames = stack->frames_last ? dims[2] : 1;
    for (unsigned i = 0; !stack->frames_last && i + 2 < rank; i++)
        if (__builtin_mul_overflow(frames, dims[i], &frames))
            return emd_fail(err, EMD_E_UNSUPPORTED, "too many frames");
    if (!fits(height, width) || frames > SIZE_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "frames of %llu x %llu are too large",
                        (unsigned long long)height, (unsigned long long)width);
    stack->height = (size_t)height;
    stack->width = (size_t)width;
    stack->frames = (size_t)frames;
    return EMD_OK;
}

/* HDF5 opens external raw data itself, whatever file a movie names: a picture of it would be one of
 * any file that its reader may read. */
static enum emd_status refuse_other_files(hid_t dataset, const char *path, struct emd_error *err)
{
    hid_t list = H5Dget_create_plist(dataset);
    const int external = list < 0 ? -1 : H5Pget_external_count(list);
    const H5D_layout_t layout = list < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(list);
    emd_hdf5_close(&list);
    if (external < 0 || layout == H5D_LAYOUT_ERROR)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the layout of %s", path);
    if (external > 0 || layout == H5D_VIRTUAL)
        return emd_fail(err, EMD_E_UNSUPPORTED, "the data of %s are in other files: not read",
                        path);
    return EMD_OK;
}

enum emd_status emd_stack_open(hid_t file, const char *path, bool velox, struct emd_stack *stack,
                               struct emd_error *err)
{
    enum emd_status status = emd_hdf5_register_filters(err);
    if (status != EMD_OK)
        return status;
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    hid_t space = H5I_INVALID_HID, type = H5I_INVALID_HID;
    *stack = (struct emd_stack){.memory_type = H5I_INVALID_HID};
    stack->dataset = H5Dopen2(file, path, H5P_DEFAULT);
    if (stack->dataset < 0) {
        status = emd_hdf5_fail(err, EMD_E_ARGUMENT, "cannot open the dataset %s", path);
        goto out;
    }
    if ((status = refuse_other_files(stack->dataset, path, err)) != EMD_OK)
        goto out;
    space = H5Dget_space(stack->dataset);
    type = H5Dget_type(stack->dataset);
    const int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    if (type < 0 || rank < 0 || rank > EMD_RANK_MAX ||
        H5Sget_simple_extent_dims(space, stack->dims, NULL) < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read shape and type of %s", path);
        goto out;
    }
    stack->rank = (unsigned)rank;
    choose_kind(type, stack);
    status = choose_axes(velox, stack, err);
out:
    emd_hdf5_close(&type);
    emd_hdf5_close(&space);
    if (status != EMD_OK)
        emd_stack_close(stack);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

void emd_stack_close(struct emd_stack *stack)
{
    emd_hdf5_close(&stack->memory_type);
    emd_hdf5_close(&stack->dataset);
}

#define WIDEN(type)                                                                                \
    for (size_t i = 0; i < n; i++)                                                                 \
        to[i] = (float)((const type *)from)[i];                                                    \
    break

static void widen(enum emd_stack_kind kind, const void *restrict from, size_t n, float *restrict to)
{
    switch (kind) {
    case EMD_STACK_I8:
        WIDEN(int8_t);
    case EMD_STACK_U8:
        WIDEN(uint8_t);
    case EMD_STACK_I16:
        WIDEN(int16_t);
    case EMD_STACK_U16:
        WIDEN(uint16_t);
    case EMD_STACK_I32:
        WIDEN(int32_t);
    case EMD_STACK_U32:
        WIDEN(uint32_t);
    case EMD_STACK_F32:
        WIDEN(float);
    case EMD_STACK_F64:
        WIDEN(double);
    case EMD_STACK_COMPLEX:
        for (size_t i = 0; i < n; i++)
            to[i] = hypotf(((const float *)from)[2 * i], ((const float *)from)[2 * i + 1]);
        break;
    case EMD_STACK_NONE:
        break;
    }
}

enum emd_status emd_stack_read(const struct emd_stack *stack, size_t frame, float *pixels,
                               struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    hsize_t start[EMD_RANK_MAX] = {0}, count[EMD_RANK_MAX];
    if (stack->kind == EMD_STACK_NONE)
        return emd_fail(err, EMD_E_UNSUPPORTED, "elements of type %s are no pixels", stack->type);
    if (frame >= stack->frames)
        return emd_fail(err, EMD_E_ARGUMENT, "there is no image %zu among %zu", frame + 1,
                        stack->frames);
    if (stack->height == 0 || stack->width == 0)
        return EMD_OK;
    memcpy(count, stack->dims, sizeof count);
    if (stack->frames_last) {
        start[2] = frame;
        count[2] = 1;
    } else {
        for (unsigned i = stack->rank - 2; i-- > 0;) {
            start[i] = frame % stack->dims[i];
            frame /= stack->dims[i];
            count[i] = 1;
        }
    }
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    const size_t n = stack->height * stack->width;
    /* The same rank in memory as in the file: otherwise HDF5 walks element by element. */
    hid_t space = H5Dget_space(stack->dataset);
    hid_t memory = H5Screate_simple((int)stack->rank, count, NULL);
    void *raw = malloc(n * H5Tget_size(stack->memory_type));
    if (!raw)
        status = emd_fail(err, EMD_E_MEMORY, "no memory for a frame");
    else if (space < 0 || memory < 0 ||
             H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
             H5Dread(stack->dataset, stack->memory_type, memory, space, H5P_DEFAULT, raw) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot read the image");
    else
        widen(stack->kind, raw, n, pixels);
    free(raw);
    emd_hdf5_close(&memory);
    emd_hdf5_close(&space);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
