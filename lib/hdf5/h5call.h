/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* How this project calls HDF5: its errors as emd_error, its own printing off, one place for what
 * differs between versions 1.10.2 and 2.x.
 *
 * Threads: HDF5 is called by one thread only. The functions of lib/hdf5 are that thread's; what
 * they hand out for others (descriptors, addresses, pipelines) is plain data. */
#ifndef EMD_HDF5_H5CALL_H
#define EMD_HDF5_H5CALL_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#if !H5_VERSION_GE(1, 10, 2)
#error "emdtools needs HDF5 1.10.2 or newer (library version bounds, direct chunk reads)"
#endif

/* HDF5's automatic printing of errors, off between begin and end (for this thread). Pairs nest.
 *
 *     struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
 *     ...
 *     emd_hdf5_quiet_end(&quiet);
 *
 * Every public function of lib/hdf5 does so itself. */
struct emd_hdf5_quiet {
    H5E_auto2_t function;
    void *data;
};
struct emd_hdf5_quiet emd_hdf5_quiet_begin(void);
void emd_hdf5_quiet_end(const struct emd_hdf5_quiet *quiet);

/* emd_fail with the innermost useful text of HDF5's error stack added ("cannot open /a/b: HDF5:
 * required filter 'x' is not registered"). Call it before any other HDF5 function: each of them
 * clears the stack.
 *
 * Where the system refused a read or write (emd_fdfile_errno), the status is EMD_E_IO whatever
 * 'status' says, and the text ends with the system's reason: what HDF5 makes of it then is no
 * evidence of damage. */
enum emd_status emd_hdf5_fail(struct emd_error *err, enum emd_status status, const char *format,
                              ...) __attribute__((format(printf, 3, 4)));

/* Closes an identifier of any kind (file, object, type, space, property list) if it is one, and
 * sets it to H5I_INVALID_HID, for one clean-up label. False where HDF5 could not close it, which
 * for a written file or dataset means lost data; HDF5's error stack says why. */
bool emd_hdf5_close(hid_t *id);

/* Fits the conversion buffers of a transfer list to 'elements' elements of 'size' bytes in memory.
 * HDF5's own are 1 MiB each and cleared anew at each read and write of what is converted (text of
 * variable length, references): for a single value, hundreds of page faults. */
bool emd_hdf5_fit_buffers(hid_t transfer, size_t elements, size_t size);

/* Whether any raw data of a dataset have a place in the file. H5Dget_offset does not tell: for a
 * file with a user block, HDF5 1.10 adds its size to the undefined address. */
bool emd_hdf5_is_allocated(hid_t dataset);

/* The address of an object inside its file: what tells two links to one object from links to two
 * objects. 'object' is an open group, dataset or committed datatype. */
enum emd_status emd_hdf5_address(hid_t object, uint64_t *address, struct emd_error *err);

/* Opens an object of 'file' by that address; H5I_INVALID_HID on failure. */
hid_t emd_hdf5_open_address(hid_t file, uint64_t address);

#endif
