/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* A codec as an HDF5 filter plugin: each h5z*.c is this header and one line. */
#ifndef EMD_PLUGIN_FILTER_H
#define EMD_PLUGIN_FILTER_H

#include <H5PLextern.h>
#include <stdio.h>

#include "base/cpu.h"
#include "codec/codecs.h"
#include "host.h"

/* The three callbacks of H5Z_class2_t for a codec; 'caller' is the return address. */
htri_t emd_filter_can_apply(const struct emd_codec *codec, const void *caller, hid_t type);
herr_t emd_filter_set_local(const struct emd_codec *codec, const void *caller, hid_t plist,
                            hid_t type);
size_t emd_filter_run(const struct emd_codec *codec, const void *caller, unsigned flags,
                      size_t cd_count, const unsigned *cd, size_t n, size_t *buffer_size,
                      void **buffer);

/* For "h5plugin-config --list": name, version and libraries of this file. */
#define EMD_PLUGIN_ABOUT "emdtools_plugin_about"

/* The name in the class is stored with datasets: it holds no versions, so that files do not depend
 * on them. The codec's set_local is asked for in any case: it may refuse a type. */
#define EMD_PLUGIN(codec, filter_id, filter_name)                                                  \
    static htri_t can_apply(hid_t plist, hid_t type, hid_t space)                                  \
    {                                                                                              \
        (void)plist;                                                                               \
        (void)space;                                                                               \
        return emd_filter_can_apply(&(codec), __builtin_return_address(0), type);                  \
    }                                                                                              \
    static herr_t set_local(hid_t plist, hid_t type, hid_t space)                                  \
    {                                                                                              \
        (void)space;                                                                               \
        return emd_filter_set_local(&(codec), __builtin_return_address(0), plist, type);           \
    }                                                                                              \
    static size_t run(unsigned flags, size_t cd_count, const unsigned cd[], size_t n,              \
                      size_t *buffer_size, void **buffer)                                          \
    {                                                                                              \
        return emd_filter_run(&(codec), __builtin_return_address(0), flags, cd_count, cd, n,       \
                              buffer_size, buffer);                                                \
    }                                                                                              \
    H5PL_type_t H5PLget_plugin_type(void)                                                          \
    {                                                                                              \
        return H5PL_TYPE_FILTER;                                                                   \
    }                                                                                              \
    const void *H5PLget_plugin_info(void)                                                          \
    {                                                                                              \
        static const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, filter_id, 1,         1,             \
                                            filter_name,      can_apply, set_local, run};          \
        return &filter;                                                                            \
    }                                                                                              \
    H5PLUGIN_DLL void emdtools_plugin_about(char *text, size_t room);                              \
    void emdtools_plugin_about(char *text, size_t room)                                            \
    {                                                                                              \
        char libraries[200] = "";                                                                  \
        if ((codec).libraries)                                                                     \
            (codec).libraries(libraries, sizeof libraries);                                        \
        snprintf(text, room, "emdtools %s; %s; %s", EMDTOOLS_VERSION, libraries,                   \
                 emd_simd_name(emd_simd_level()));                                                 \
    }

#endif
