/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* HDF5 on descriptors that we opened: a small virtual file driver.
 *
 * HDF5's own drivers open a file by its name, a second time and for themselves. Whoever may write
 * in the folder can exchange the file between our open and theirs; a lock that we hold hinders
 * their writes where locks are mandatory and belong to a handle (SMB); and the errno of a read that
 * failed is lost, so that a server that restarts looks like a damaged file. Here HDF5 gets a
 * descriptor: nothing is opened by name, nothing is locked, and what the system answered is kept.
 *
 * Only the file itself can be reached through it: external links and the sources of virtual
 * datasets, for which HDF5 passes its driver on to another name, are refused by the driver. (Raw
 * data in external files are opened by HDF5 past any driver: whoever reads data asks first.)
 *
 * Threads: the HDF5 thread (h5call.h). */
#ifndef EMD_HDF5_FDFILE_H
#define EMD_HDF5_FDFILE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

/* Access properties for H5Fopen or H5Fcreate on the open file 'fd', which must be a regular file,
 * open for reading, and for writing where HDF5 shall write; the name given to HDF5 is then only a
 * name, for messages. H5Fcreate with H5F_ACC_TRUNC empties the file. HDF5 works on a duplicate of
 * the descriptor: 'fd' may be closed any time after the file is open, and file locks of the
 * descriptor stay until both are. H5I_INVALID_HID on failure; the caller closes the list.
 *
 * Each opening is a file of its own for HDF5, also of one inode that is open already: that is safe
 * for reading only. */
hid_t emd_fdfile_access(int fd);

/* The same for reading what is left of a file that should have 'whole' bytes: HDF5 is told that it
 * has them, and what lies beyond its end cannot be read. */
hid_t emd_fdfile_access_cut(int fd, uint64_t whole);

/* What the system answered to the first read or write of such a file that failed: of the files that
 * are open, else of the last one closed, or whose opening failed, since emd_fdfile_access; 0 if all
 * went well. While it is not 0, HDF5's failures say nothing about the content of a file, and
 * what it found missing may be there. emd_hdf5_fail (h5call.h) asks this. */
int emd_fdfile_errno(void);

/* The same of files that were opened for writing, only. */
int emd_fdfile_output_errno(void);

/* Whoever goes on after a read of a source failed: forgets what files that are open for reading
 * only answered so far. */
void emd_fdfile_forgive_reads(void);

#endif
