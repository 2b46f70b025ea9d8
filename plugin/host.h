/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The HDF5 library that is calling a plugin.
 *
 * A plugin must not be linked to one libhdf5: in a host with a bundled, renamed or static one (a
 * Python wheel, say) that would bring in a second library, whose identifiers mean nothing to the
 * first. Nor may it hope that the names are global: some hosts load their libhdf5 RTLD_LOCAL. So
 * each callback finds the library that its return address lies in. Nothing is kept: two libraries
 * in one process may share a plugin, and callbacks that need more than the data are rare (a new
 * dataset, an error). */
#ifndef EMD_PLUGIN_HOST_H
#define EMD_PLUGIN_HOST_H

#include <hdf5.h>
#include <stdbool.h>

/* The functions of the host that plugins use. Only types and enum constants come from hdf5.h here;
 * calling anything by name would need the library at link time. */
struct emd_host {
    void *handle;
    herr_t (*get_filter)(hid_t plist, H5Z_filter_t id, unsigned *flags, size_t *cd_count,
                         unsigned *cd, size_t name_room, char *name, unsigned *config);
    herr_t (*modify_filter)(hid_t plist, H5Z_filter_t id, unsigned flags, size_t cd_count,
                            const unsigned *cd);
    int (*get_chunk)(hid_t plist, int max_rank, hsize_t *dims);
    size_t (*type_size)(hid_t type);
    H5T_class_t (*type_class)(hid_t type);
    hid_t (*type_super)(hid_t type);
    herr_t (*type_close)(hid_t type);
    H5T_sign_t (*type_sign)(hid_t type);
    H5T_order_t (*type_order)(hid_t type);
    htri_t (*type_detect)(hid_t type, H5T_class_t cls);
    htri_t (*type_is_variable)(hid_t type);
    herr_t (*push)(hid_t stack, const char *file, const char *function, unsigned line, hid_t cls,
                   hid_t major, hid_t minor, const char *format, ...);
    hid_t (*get_stack)(void);
    herr_t (*set_stack)(hid_t stack);
    const hid_t *error_class, *error_major, *error_minor; /* variables of the library */
};

/* Binds to the library that 'caller', a return address, lies in. False: its functions cannot be
 * found (a program with a static libhdf5 that does not export them). Release in either case. */
bool emd_host_bind(struct emd_host *host, const void *caller);
void emd_host_release(struct emd_host *host);

/* Reports an error: on the error stack of the host, and on stderr if EMDTOOLS_PLUGIN_VERBOSE is 1
 * or there is no host to tell. */
void emd_host_report(const struct emd_host *host, const char *filter, const char *function,
                     const char *text);

#endif
