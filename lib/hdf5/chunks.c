/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See chunks.h. What HDF5 tells is checked here before anyone computes with it. */
#include "hdf5/chunks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "hdf5/h5call.h"
#include "hdf5/values.h"

/* The 1.13 development releases have a H5Dchunk_iter that tells coordinates in chunks instead of
 * elements; the versions here tell elements. */
#if H5_VERSION_GE(1, 14, 0) || (H5_VERSION_GE(1, 12, 3) && !H5_VERSION_GE(1, 13, 0)) ||            \
    (H5_VERSION_GE(1, 10, 10) && !H5_VERSION_GE(1, 11, 0))
#define HAVE_CHUNK_ITER 1
#else
#define HAVE_CHUNK_ITER 0
#endif

enum {
    /* Chunks compared to find out where addresses count from; all alike in both places is likely
     * only for blank data. */
    PROBES_MAX = 32,
    /* Beyond this many stored chunks, H5Dget_chunk_info's walk from the start at each call takes
     * minutes. */
    INFO_PATIENCE = 100000,
    /* An extensible array (HDF5 1.10 and newer files) is walked place by place, stored or not: 2^28
     * of them take seconds. */
    ARRAY_PLACES_MAX = 1 << 28,
    /* Places that are asked one by one where the index cannot be walked: seconds. */
    PLACES_SALVAGED = 1 << 22
};

/* A grid this much larger than what is stored is not asked place by place. */
static const uint64_t sparse_factor = 64, sparse_floor = 1000000;

enum emd_status emd_chunk_grid_get(hid_t dataset, struct emd_chunk_grid *grid,
                                   struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    memset(grid, 0, sizeof *grid);
    hid_t dcpl = H5Dget_create_plist(dataset);
    hid_t space = H5Dget_space(dataset);
    hid_t type = H5Dget_type(dataset);
    if (dcpl < 0 || space < 0 || type < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the dataset");
        goto out;
    }
    if (H5Pget_layout(dcpl) != H5D_CHUNKED) {
        status = emd_fail(err, EMD_E_ARGUMENT, "not a chunked dataset");
        goto out;
    }
    int rank = H5Pget_chunk(dcpl, EMD_RANK_MAX, grid->chunk);
    if (rank < 1 || rank > EMD_RANK_MAX || H5Sget_simple_extent_ndims(space) != rank ||
        H5Sget_simple_extent_dims(space, grid->dims, NULL) != rank) {
        status = emd_fail(err, EMD_E_CORRUPT, "chunks and dataspace differ in rank");
        goto out;
    }
    grid->rank = (unsigned)rank;
    struct emd_values values;
    status = emd_values_make(type, &values, err);
    if (status != EMD_OK)
        goto out;
    emd_values_free(&values);
    grid->item_size = values.variable ? 0 : values.size;
    uint64_t bytes = values.size;
    grid->total = 1;
    for (unsigned i = 0; i < grid->rank; i++) {
        if (grid->chunk[i] == 0) {
            status = emd_fail(err, EMD_E_CORRUPT, "a chunk has no extent");
            goto out;
        }
        grid->count[i] = grid->dims[i] / grid->chunk[i] + (grid->dims[i] % grid->chunk[i] != 0);
        if (__builtin_mul_overflow(grid->total, grid->count[i], &grid->total) ||
            grid->total > INT64_MAX) {
            /* Zero along a later axis would still make it empty: nobody has that many either way.
             */
            status = emd_fail(err, EMD_E_UNSUPPORTED, "a grid of more than 2^63 chunks");
            goto out;
        }
        if (__builtin_mul_overflow(bytes, grid->chunk[i], &bytes)) {
            status = emd_fail(err, EMD_E_CORRUPT, "chunks larger than HDF5 allows");
            goto out;
        }
    }
    if (bytes == 0 || bytes > SIZE_MAX) {
        status = emd_fail(err, EMD_E_UNSUPPORTED, "chunks of %" PRIu64 " bytes", bytes);
        goto out;
    }
    grid->chunk_bytes = values.variable ? 0 : (size_t)bytes;
    unsigned options;
    if (H5Pget_chunk_opts(dcpl, &options) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the dataset");
    else
        grid->plain_edges = options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS;
out:
    emd_hdf5_close(&type);
    emd_hdf5_close(&space);
    emd_hdf5_close(&dcpl);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

void emd_chunk_offset(const struct emd_chunk_grid *grid, uint64_t index, hsize_t *offset)
{
    for (unsigned i = grid->rank; i-- > 0;) {
        offset[i] = index % grid->count[i] * grid->chunk[i];
        index /= grid->count[i];
    }
}

/* The filters that a chunk was stored without: HDF5's own mask does not tell of plain edges. */
static uint32_t left_out(const struct emd_chunk_grid *grid, const hsize_t *offset, uint32_t mask)
{
    for (unsigned i = 0; i < grid->rank && grid->plain_edges; i++)
        if (grid->dims[i] - offset[i] < grid->chunk[i])
            return UINT32_MAX;
    return mask;
}

void emd_chunk_list_free(struct emd_chunk_list *list)
{
    free(list->chunk);
    memset(list, 0, sizeof *list);
}

/* A list while it is being made. */
struct listing {
    struct emd_chunk_list *list;
    size_t capacity;
    bool filtered;
    uint64_t file_size;                      /* UINT64_MAX where the file is not known */
    const struct emd_chunk_salvage *salvage; /* NULL: the first fault ends it */
    enum emd_status status;
    struct emd_error *err;
};

/* A chunk that cannot be used: the end of the listing, or one that a salvage does without. */
static enum emd_status lose_chunk(const struct listing *listing, uint64_t index,
                                  enum emd_status status, struct emd_error *why)
{
    if (!listing->salvage || (status != EMD_E_CORRUPT && status != EMD_E_INCOMPLETE))
        return status;
    if (listing->salvage->lost)
        listing->salvage->lost(listing->salvage->ctx, &listing->list->grid, index, why);
    return EMD_OK;
}

/* Takes one stored chunk, after checking all that is said about it; *place is its place as far as
 * that is known. */
static enum emd_status check_and_add(struct listing *listing, const hsize_t *offset, uint32_t mask,
                                     haddr_t address, uint64_t bytes, uint64_t *place)
{
    struct emd_chunk_list *list = listing->list;
    const struct emd_chunk_grid *grid = &list->grid;
    uint64_t index = 0;
    *place = EMD_CHUNK_NO_PLACE;
    for (unsigned i = 0; i < grid->rank; i++) {
        if (offset[i] % grid->chunk[i] != 0 || offset[i] / grid->chunk[i] >= grid->count[i])
            return emd_fail(listing->err, EMD_E_CORRUPT,
                            "a stored chunk lies outside the dataset's grid");
        index = index * grid->count[i] + offset[i] / grid->chunk[i];
    }
    *place = index;
    if (list->count == listing->capacity)
        return emd_fail(listing->err, EMD_E_CORRUPT, "more chunks than the file says it has");
    if (bytes == 0 ||
        (!listing->filtered && grid->chunk_bytes != 0 && bytes != grid->chunk_bytes) ||
        bytes > UINT32_MAX)
        return emd_fail(listing->err, EMD_E_CORRUPT,
                        "chunk %" PRIu64 " is stored in %" PRIu64 " bytes, a plain one has %zu",
                        index, bytes, grid->chunk_bytes);
    if (address == HADDR_UNDEF && list->has_addresses)
        return emd_fail(listing->err, EMD_E_CORRUPT, "chunk %" PRIu64 " has no address", index);
    if (address != HADDR_UNDEF &&
        (address > listing->file_size || bytes > listing->file_size - address))
        return emd_fail(listing->err, EMD_E_INCOMPLETE,
                        "chunk %" PRIu64 " lies behind the end of the file", index);
    list->chunk[list->count++] = (struct emd_chunk){
        .index = index,
        .address = list->has_addresses ? address : EMD_CHUNK_NO_ADDRESS,
        .bytes = bytes,
        .mask = left_out(grid, offset, mask),
    };
    return EMD_OK;
}

static enum emd_status add_chunk(struct listing *listing, const hsize_t *offset, uint32_t mask,
                                 haddr_t address, uint64_t bytes)
{
    uint64_t place;
    const enum emd_status status = check_and_add(listing, offset, mask, address, bytes, &place);
    return status == EMD_OK ? EMD_OK : lose_chunk(listing, place, status, listing->err);
}

#if HAVE_CHUNK_ITER
static int take_iterated(const hsize_t *offset, unsigned mask, haddr_t address, hsize_t bytes,
                         void *data)
{
    struct listing *listing = data;
    listing->status = add_chunk(listing, offset, mask, address, bytes);
    return listing->status == EMD_OK ? H5_ITER_CONT : H5_ITER_ERROR;
}

static enum emd_status list_all(hid_t dataset, hid_t space, struct listing *listing)
{
    (void)space;
    if (H5Dchunk_iter(dataset, H5P_DEFAULT, take_iterated, listing) < 0 &&
        listing->status == EMD_OK)
        return emd_hdf5_fail(listing->err, EMD_E_CORRUPT, "cannot list the chunks");
    return listing->status;
}
#else
static enum emd_status list_all(hid_t dataset, hid_t space, struct listing *listing)
{
    for (size_t i = 0; i < listing->capacity; i++) {
        hsize_t offset[EMD_RANK_MAX], bytes = 0;
        unsigned mask = 0;
        haddr_t address = HADDR_UNDEF;
        if (H5Dget_chunk_info(dataset, space, i, offset, &mask, &address, &bytes) < 0)
            return emd_hdf5_fail(listing->err, EMD_E_CORRUPT, "cannot look up chunk %zu", i);
        enum emd_status status = add_chunk(listing, offset, mask, address, bytes);
        if (status != EMD_OK)
            return status;
    }
    return EMD_OK;
}
#endif

/* What is listed must also be what a reader gets, who looks chunks up by their coordinates: in an
 * index whose keys are out of order, some are not found and read as fill values. A look-up that
 * finds something has found those very coordinates, since both keys around it are compared. */
static enum emd_status find_listed(hid_t dataset, const struct listing *listing)
{
    struct emd_chunk_list *list = listing->list;
    size_t kept = 0;
    enum emd_status status = EMD_OK;
    for (size_t i = 0; i < list->count && status == EMD_OK; i++) {
        const struct emd_chunk chunk = list->chunk[i];
        hsize_t offset[EMD_RANK_MAX], bytes = 0;
        emd_chunk_offset(&list->grid, chunk.index, offset);
        if (H5Dget_chunk_storage_size(dataset, offset, &bytes) < 0 || bytes != chunk.bytes)
            status = lose_chunk(listing, chunk.index,
                                emd_fail(listing->err, EMD_E_CORRUPT,
                                         "the index of chunks is damaged: chunk %" PRIu64
                                         " is listed but not found",
                                         chunk.index),
                                listing->err);
        else
            list->chunk[kept++] = chunk;
    }
    if (status == EMD_OK)
        list->count = kept;
    return status;
}

/* Whether the last look-up failed in the index, or did nothing but find the place empty. */
static herr_t is_from_below(unsigned n, const H5E_error2_t *record, void *data)
{
    (void)n;
    if (record->maj_num != H5E_DATASET && record->maj_num != H5E_ARGS)
        *(bool *)data = true;
    return 0;
}

static bool lookup_broke(void)
{
    bool broke = false;
    hid_t stack = H5Eget_current_stack();
    if (stack < 0)
        return true;
    H5Ewalk2(stack, H5E_WALK_UPWARD, is_from_below, &broke);
    H5Eclose_stack(stack);
    return broke;
}

/* Asks each place of the grid. 1.10 answers for an empty place with a failure, newer ones with size
 * zero; that all chunks were found is seen from their number. */
static enum emd_status list_by_place(hid_t dataset, struct listing *listing)
{
    const struct emd_chunk_grid *grid = &listing->list->grid;
    listing->list->has_addresses = false;
    for (uint64_t index = 0; index < grid->total && listing->list->count < listing->capacity;
         index++) {
        hsize_t offset[EMD_RANK_MAX], bytes = 0;
        emd_chunk_offset(grid, index, offset);
        enum emd_status status = EMD_OK;
        if (H5Dget_chunk_storage_size(dataset, offset, &bytes) < 0) {
            if (listing->salvage && lookup_broke())
                status = lose_chunk(listing, index,
                                    emd_hdf5_fail(listing->err, EMD_E_CORRUPT,
                                                  "the index of chunks is damaged here"),
                                    listing->err);
        } else if (bytes > 0) {
            status = add_chunk(listing, offset, 0, HADDR_UNDEF, bytes);
        }
        if (status != EMD_OK)
            return status;
    }
    return EMD_OK;
}

/* Where a dataset can grow along one axis, newer files number the chunks as if that axis were the
 * first. Their lists, also a search by coordinates, forget this and tell wrong coordinates (seen
 * with 1.10.8); looking up a single place is right. */
static bool coordinates_are_wrong(hid_t dataset, hid_t space, const struct emd_chunk_grid *grid)
{
    H5D_chunk_index_t index;
    hsize_t most[EMD_RANK_MAX];
    bool several = false; /* chunks along an axis before the growing one */
    if (H5Dget_chunk_index_type(dataset, &index) < 0 || index != H5D_CHUNK_IDX_EARRAY ||
        H5Sget_simple_extent_dims(space, NULL, most) < 0)
        return false;
    for (unsigned i = 0; i < grid->rank && most[i] != H5S_UNLIMITED; i++)
        several = several || most[i] > grid->chunk[i];
    return several;
}

static int compare_index(const void *a, const void *b)
{
    const struct emd_chunk *p = a, *q = b;
    return p->index < q->index ? -1 : p->index > q->index;
}

static int compare_address(const void *a, const void *b)
{
    const struct emd_chunk *p = a, *q = b;
    if (p->address != q->address)
        return p->address < q->address ? -1 : 1;
    return compare_index(a, b);
}

static bool same_bytes(int fd, const unsigned char *bytes, size_t n, uint64_t offset)
{
    unsigned char there[16384];
    for (size_t done = 0; done < n;) {
        size_t part = n - done < sizeof there ? n - done : sizeof there;
        if (emd_pread_all(fd, there, part, offset + done) != 0 ||
            memcmp(there, bytes + done, part) != 0)
            return false;
        done += part;
    }
    return true;
}

/* Drops the chunks of which several have one place. The list is sorted by place. */
static enum emd_status drop_repeated(const struct listing *listing)
{
    struct emd_chunk_list *list = listing->list;
    size_t kept = 0;
    enum emd_status status = EMD_OK;
    for (size_t i = 0, n; i < list->count && status == EMD_OK; i += n) {
        const struct emd_chunk chunk = list->chunk[i];
        for (n = 1; i + n < list->count && list->chunk[i + n].index == chunk.index;)
            n++;
        if (n > 1)
            status = lose_chunk(listing, chunk.index,
                                emd_fail(listing->err, EMD_E_CORRUPT,
                                         "chunk %" PRIu64 " is stored twice", chunk.index),
                                listing->err);
        else
            list->chunk[kept++] = chunk;
    }
    if (status == EMD_OK)
        list->count = kept;
    return status;
}

/* Settles where the addresses of a file with a user block are counted from, if these chunks can
 * tell: a chunk read by HDF5 must be found at one of the two places and not at the other. */
static enum emd_status probe_base(hid_t dataset, struct emd_source *source,
                                  const struct emd_chunk_list *list, bool salvage,
                                  struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    unsigned char *bytes = NULL;
    size_t step = list->count / PROBES_MAX + 1;
    for (size_t i = 0; i < list->count && source->base == EMD_BASE_UNKNOWN; i += step) {
        const struct emd_chunk *chunk = &list->chunk[i];
        unsigned char *more = realloc(bytes, (size_t)chunk->bytes);
        if (!more) {
            status = emd_fail(err, EMD_E_MEMORY, "out of memory");
            break;
        }
        bytes = more;
        uint32_t mask;
        status =
            emd_chunk_read(dataset, &list->grid, chunk, bytes, (size_t)chunk->bytes, &mask, err);
        if (status != EMD_OK && status != EMD_E_MEMORY && salvage) {
            status = EMD_OK; /* another one may tell */
            continue;
        }
        if (status != EMD_OK)
            break;
        const size_t n = (size_t)chunk->bytes;
        bool at_file = same_bytes(source->fd, bytes, n, chunk->address);
        bool at_superblock = same_bytes(source->fd, bytes, n, chunk->address + source->user_block);
        if (at_file && !at_superblock)
            source->base = EMD_BASE_FILE;
        else if (at_superblock && !at_file)
            source->base = EMD_BASE_SUPERBLOCK;
        else if (!at_file)
            source->base = EMD_BASE_NEITHER;
    }
    free(bytes);
    return status;
}

/* Turns HDF5's addresses into file offsets, or drops them all. */
static enum emd_status settle_addresses(hid_t dataset, struct emd_source *source,
                                        const struct listing *listing)
{
    struct emd_chunk_list *list = listing->list;
    size_t kept = 0;
    if (source->base == EMD_BASE_UNKNOWN && source->user_block == 0)
        source->base = EMD_BASE_FILE;
    if (source->base == EMD_BASE_UNKNOWN) {
        enum emd_status status =
            probe_base(dataset, source, list, listing->salvage != NULL, listing->err);
        if (status != EMD_OK)
            return status;
    }
    list->has_addresses = source->base == EMD_BASE_FILE || source->base == EMD_BASE_SUPERBLOCK;
    const uint64_t shift = source->base == EMD_BASE_SUPERBLOCK ? source->user_block : 0;
    for (size_t i = 0; i < list->count; i++) {
        struct emd_chunk chunk = list->chunk[i];
        enum emd_status status = EMD_OK;
        bool there = true;
        if (!list->has_addresses)
            chunk.address = EMD_CHUNK_NO_ADDRESS;
        else if ((chunk.address += shift) + chunk.bytes > (uint64_t)source->id.size) {
            there = false;
            status = lose_chunk(listing, chunk.index,
                                emd_fail(listing->err, EMD_E_INCOMPLETE,
                                         "chunk %" PRIu64 " lies behind the end of the file",
                                         chunk.index),
                                listing->err);
        }
        if (status != EMD_OK)
            return status;
        if (there)
            list->chunk[kept++] = chunk;
    }
    list->count = kept;
    return EMD_OK;
}

/* How many chunks are stored, by HDF5's count. */
static enum emd_status count_chunks(hid_t dataset, hid_t space, const struct emd_chunk_grid *grid,
                                    uint64_t limit, hsize_t *count, struct emd_error *err)
{
    *count = 0;
    if (grid->total == 0)
        return EMD_OK;
    H5D_chunk_index_t index;
    if (grid->total > ARRAY_PLACES_MAX && H5Dget_chunk_index_type(dataset, &index) >= 0 &&
        index == H5D_CHUNK_IDX_EARRAY)
        return emd_fail(err, EMD_E_UNSUPPORTED,
                        "a growing grid of %" PRIu64 " chunks cannot be walked", grid->total);
    if (H5Dget_num_chunks(dataset, space, count) < 0)
        return emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot count the chunks");
    if (*count > grid->total)
        return emd_fail(err, EMD_E_CORRUPT, "%" PRIu64 " chunks are stored, the grid has %" PRIu64,
                        (uint64_t)*count, grid->total);
    if (*count > limit)
        return emd_fail(err, EMD_E_BUDGET, "a list of %" PRIu64 " chunks takes %" PRIu64 " bytes",
                        (uint64_t)*count, (uint64_t)*count * sizeof(struct emd_chunk));
    return EMD_OK;
}

enum emd_status emd_chunk_list_get(hid_t dataset, struct emd_source *source,
                                   enum emd_chunk_order order, size_t limit_bytes,
                                   struct emd_chunk_list *list, struct emd_error *err)
{
    return emd_chunk_list_salvage(dataset, source, order, limit_bytes, NULL, list, err);
}

enum emd_status emd_chunk_list_salvage(hid_t dataset, struct emd_source *source,
                                       enum emd_chunk_order order, size_t limit_bytes,
                                       const struct emd_chunk_salvage *salvage,
                                       struct emd_chunk_list *list, struct emd_error *err)
{
    struct emd_error local = {EMD_OK, ""};
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    bool broken = false; /* the index cannot be walked */
    memset(list, 0, sizeof *list);
    err = err ? err : &local; /* a salvage hands it on */
    hid_t dcpl = H5I_INVALID_HID, space = H5I_INVALID_HID;
    enum emd_status status = emd_chunk_grid_get(dataset, &list->grid, err);
    if (status != EMD_OK)
        goto out;
    dcpl = H5Dget_create_plist(dataset);
    space = H5Dget_space(dataset);
    if (dcpl < 0 || space < 0) {
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look at the dataset");
        goto out;
    }
    /* A stored chunk takes a byte of the file at least; so a claimed number has a bound. */
    uint64_t limit = limit_bytes ? limit_bytes / sizeof *list->chunk : SIZE_MAX / 64;
    if (source && (uint64_t)source->id.size < limit)
        limit = (uint64_t)source->id.size;
    hsize_t count;
    status = count_chunks(dataset, space, &list->grid, limit, &count, err);
    if (status == EMD_E_CORRUPT && salvage && list->grid.total <= PLACES_SALVAGED) {
        broken = true;
        count = list->grid.total;
        status = EMD_OK;
    }
    if (status != EMD_OK || count == 0)
        goto out;
    list->chunk = malloc((size_t)count * sizeof *list->chunk);
    if (!list->chunk) {
        status = emd_fail(err, EMD_E_MEMORY, "no memory for a list of %" PRIu64 " chunks",
                          (uint64_t)count);
        goto out;
    }
    struct listing listing = {.list = list,
                              .capacity = (size_t)count,
                              .filtered = H5Pget_nfilters(dcpl) > 0,
                              .file_size = source ? (uint64_t)source->id.size : UINT64_MAX,
                              .salvage = salvage,
                              .status = EMD_OK,
                              .err = err};
    list->has_addresses = source != NULL;
    const uint64_t places = count > UINT64_MAX / sparse_factor ? UINT64_MAX : count * sparse_factor;
    const bool sparse = list->grid.total > places && list->grid.total > sparse_floor;
    const bool wrong = coordinates_are_wrong(dataset, space, &list->grid);
#if HAVE_CHUNK_ITER
    const bool can_list = true;
#else
    const bool can_list = count <= EMD_CHUNKS_INFO_MAX || (sparse && count <= INFO_PATIENCE);
#endif
    if (can_list && !wrong && !broken) {
        status = list_all(dataset, space, &listing);
        if (status == EMD_OK)
            status = find_listed(dataset, &listing);
        if (status == EMD_E_CORRUPT && salvage && count <= list->grid.total &&
            list->grid.total <= PLACES_SALVAGED) {
            struct emd_chunk *more =
                realloc(list->chunk, (size_t)list->grid.total * sizeof *list->chunk);
            list->chunk = more ? more : list->chunk;
            listing.capacity = more ? (size_t)list->grid.total : 0;
            listing.status = EMD_OK;
            list->count = 0;
            status = list_by_place(dataset, &listing);
        }
    } else if (!sparse || broken) {
        status = list_by_place(dataset, &listing);
    } else {
        status = emd_fail(err, EMD_E_UNSUPPORTED,
                          "%" PRIu64 " chunks scattered over a grid of %" PRIu64
                          " are too many for this version of HDF5",
                          (uint64_t)count, list->grid.total);
    }
    if (status != EMD_OK)
        goto out;
    /* Places of such an array beyond the extent, as some writers leave them, cannot be told from
     * others: what no reader finds is no data. */
    if (list->count != count && !wrong && !salvage) {
        status = emd_fail(err, EMD_E_CORRUPT, "%zu of %" PRIu64 " stored chunks were found",
                          list->count, (uint64_t)count);
        goto out;
    }
    qsort(list->chunk, list->count, sizeof *list->chunk, compare_index);
    status = drop_repeated(&listing);
    if (status == EMD_OK && source && list->has_addresses)
        status = settle_addresses(dataset, source, &listing);
    if (status == EMD_OK && list->has_addresses && order == EMD_CHUNKS_BY_ADDRESS)
        qsort(list->chunk, list->count, sizeof *list->chunk, compare_address);
out:
    emd_hdf5_close(&space);
    emd_hdf5_close(&dcpl);
    if (status != EMD_OK)
        emd_chunk_list_free(list);
    emd_hdf5_quiet_end(&quiet);
    return status;
}

enum emd_status emd_chunk_read(hid_t dataset, const struct emd_chunk_grid *grid,
                               const struct emd_chunk *chunk, void *buffer, size_t capacity,
                               uint32_t *mask, struct emd_error *err)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    hsize_t offset[EMD_RANK_MAX], bytes = 0;
    emd_chunk_offset(grid, chunk->index, offset);
    /* H5Dread_chunk of 1.x writes whatever is stored, unasked. */
    if (H5Dget_chunk_storage_size(dataset, offset, &bytes) < 0)
        status = emd_hdf5_fail(err, EMD_E_CORRUPT, "cannot look up chunk %" PRIu64, chunk->index);
    else if (bytes != chunk->bytes)
        status =
            emd_fail(err, EMD_E_CHANGED, "chunk %" PRIu64 " has %" PRIu64 " bytes, it had %" PRIu64,
                     chunk->index, (uint64_t)bytes, chunk->bytes);
    else if (bytes > capacity)
        status = emd_fail(err, EMD_E_BUDGET, "chunk %" PRIu64 " has %" PRIu64 " bytes",
                          chunk->index, (uint64_t)bytes);
    else if (H5Dread_chunk(dataset, H5P_DEFAULT, offset, mask, buffer) < 0)
        status = emd_hdf5_fail(err, EMD_E_IO, "cannot read chunk %" PRIu64, chunk->index);
    else
        *mask = left_out(grid, offset, *mask);
    emd_hdf5_quiet_end(&quiet);
    return status;
}
