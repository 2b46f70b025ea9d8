/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Between HDF5's filter lists and our codecs (codec/pipeline.h).
 *
 * Threads: the HDF5 thread (h5call.h). The filters that HDF5 calls in-process are re-entrant. */
#ifndef EMD_HDF5_FILTERS_H
#define EMD_HDF5_FILTERS_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "codec/pipeline.h"

/* Registers every codec of ours that HDF5 does not have built in (blosc, zstd, edc, ...) with the
 * HDF5 of this process, so that files with them are written and read without HDF5_PLUGIN_PATH:
 * H5Dcreate refuses a mandatory filter that it does not know, even for direct chunk writes.
 * Cheap when done already. */
enum emd_status emd_hdf5_register_filters(struct emd_error *err);

/* The filters of a dataset-creation list. *ours false: at least one is not a codec of ours (or has
 * more parameters or filters than we keep), *pipeline is then empty and the caller reads by
 * H5Dread. No filters at all, or a list that is not chunked: ours, count 0. */
enum emd_status emd_filters_get(hid_t dcpl, struct emd_pipeline *pipeline, bool *ours,
                                struct emd_error *err);

/* Replaces the filters of a chunked dataset-creation list by 'pipeline'. The codecs' set_local is
 * called first, so that *pipeline holds afterwards the very parameters that the file will store and
 * that the caller encodes with. The same pipeline gives the same list when called again. */
enum emd_status emd_filters_set(hid_t dcpl, struct emd_pipeline *pipeline,
                                const struct emd_chunk_shape *shape, struct emd_error *err);

/* What a chunk of 'rank' dims of elements of 'type' holds. Complex and other composed types are
 * EMD_ITEM_OTHER. EMD_E_UNSUPPORTED: variable-length or reference data (inside compounds too),
 * whose stored bytes mean nothing outside their file; ranks and sizes beyond HDF5's limits. */
enum emd_status emd_filters_chunk_shape(hid_t type, unsigned rank, const hsize_t *chunk,
                                        struct emd_chunk_shape *shape, struct emd_error *err);

/* Parameters of a filter, at most: H5Pget_filter2 takes more for a count that nobody set. */
enum { EMD_FILTER_CD_MOST = 256 };

/* Filters that are not installed. HDF5 takes no filter that it does not know into a list, although
 * chunks can be copied as they are stored; a stand-in makes the list possible. It decodes and
 * encodes nothing: whoever needs a chunk's values gets an error, and emd_filters_available still
 * says no.
 *
 * emd_filters_stand_in does nothing where 'id' is installed. 'name' is stored with the list, "" for
 * none. emd_filters_end_stand_ins takes them all away again; no dataset with such a filter may be
 * open for writing then. */
enum emd_status emd_filters_stand_in(H5Z_filter_t id, const char *name, struct emd_error *err);
void emd_filters_end_stand_ins(void);

/* While true, stand-ins pass data on as they are: for H5Dcreate with early allocation, which
 * encodes chunks of fill values that are all overwritten by stored ones. */
void emd_filters_let_stand_ins_pass(bool pass);

/* The filters of a list that are not installed, as bits of a chunk's mask: a chunk whose mask has
 * them all was stored without them and can be read. 'why' names the first; may be NULL. */
uint32_t emd_filters_missing(hid_t dcpl, struct emd_error *why);

/* Whether two lists have the same filters with the same flags and parameters. */
bool emd_filters_same(hid_t a, hid_t b);

/* Fails with EMD_E_UNSUPPORTED, naming filter and number, where a filter of the list cannot be used
 * for reading here. */
enum emd_status emd_filters_available(hid_t dcpl, struct emd_error *err);

#endif
