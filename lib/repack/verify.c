/* See verify.h. */
#include "repack/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/compare.h"
#include "hdf5/fdfile.h"
#include "hdf5/h5call.h"
#include "repack/box.h"

struct verifier {
    const struct emd_verification *verification;
    size_t next; /* datasets come in much the order in which they were copied */
};

static const struct emd_dataset *find_dataset(struct verifier *v, uint64_t address)
{
    for (size_t i = 0; i < v->verification->count; i++) {
        size_t at = (v->next + i) % v->verification->count;
        if (v->verification->dataset[at]->address == address) {
            v->next = at + 1;
            return v->verification->dataset[at];
        }
    }
    return NULL;
}

/* Reads the part of one chunk that lies inside the dataset and holds it against its hash. */
static enum emd_status verify_chunk(const struct emd_dataset *d, const struct emd_chunk_hash *chunk,
                                    hid_t id, hid_t type, hid_t space, unsigned char *buffer,
                                    struct emd_error *err)
{
    const struct emd_plan_request *r = &d->request;
    const struct emd_grid grid = {r->rank, r->item_size, r->dims, r->target};
    uint64_t origin[EMD_RANK_MAX], rest = chunk->index;
    hsize_t start[EMD_RANK_MAX], count[EMD_RANK_MAX], whole[EMD_RANK_MAX], zero[EMD_RANK_MAX] = {0};
    for (unsigned a = r->rank; a-- > 0;) {
        uint64_t chunks = (r->dims[a] + r->target[a] - 1) / r->target[a];
        origin[a] = rest % chunks * r->target[a];
        rest /= chunks;
        start[a] = origin[a];
        whole[a] = r->target[a];
        count[a] = r->dims[a] - origin[a] < r->target[a] ? r->dims[a] - origin[a] : r->target[a];
    }
    enum emd_status status = EMD_OK;
    hid_t memory = H5Screate_simple((int)r->rank, whole, NULL);
    if (memory < 0 || H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Sselect_hyperslab(memory, H5S_SELECT_SET, zero, NULL, count, NULL) < 0 ||
        H5Dread(id, type, memory, space, H5P_DEFAULT, buffer) < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be read back");
    else if (emd_box_hash(&grid, origin, buffer) != chunk->hash)
        status = emd_fail(err, EMD_E_VERIFY, "does not read back as it was written");
    emd_hdf5_close(&memory);
    return status == EMD_OK ? EMD_OK : emd_fail_prefix(err, status, "chunk %" PRIu64, chunk->index);
}

static enum emd_status verify_dataset(void *ctx, uint64_t address, hid_t a, hid_t b, bool *compared,
                                      struct emd_error *err)
{
    struct verifier *v = ctx;
    const struct emd_verification *job = v->verification;
    const struct emd_dataset *d = find_dataset(v, address);
    (void)a;
    if (!d || !d->request.hash)
        return EMD_OK;
    *compared = true;
    enum emd_status status = EMD_OK;
    hsize_t stored = 0;
    hid_t type = H5Dget_type(b), space = H5Dget_space(b);
    unsigned char *buffer =
        malloc(emd_box_bytes(d->request.rank, d->request.target, d->request.item_size));
    if (!buffer)
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
    else if (type < 0 || space < 0 || H5Dget_num_chunks(b, space, &stored) < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot be looked at");
    else if (stored != d->hashes)
        status = emd_fail(err, EMD_E_VERIFY, "has %" PRIu64 " chunks instead of %zu",
                          (uint64_t)stored, d->hashes);
    for (size_t i = 0; i < d->hashes && status == EMD_OK; i++) {
        if (job->cancelled && job->cancelled(job->ctx))
            status = emd_fail(err, EMD_E_CANCELLED, "stopped on request");
        else
            status = verify_chunk(d, &d->hash[i], b, type, space, buffer, err);
    }
    free(buffer);
    emd_hdf5_close(&space);
    emd_hdf5_close(&type);
    return status;
}

static bool ask_cancelled(void *ctx)
{
    const struct verifier *v = ctx;
    return v->verification->cancelled && v->verification->cancelled(v->verification->ctx);
}

enum emd_status emd_verify_file(const struct emd_verification *verification, struct emd_error *err)
{
    struct verifier v = {.verification = verification};
    const struct emd_compare_options options = {.ctx = &v,
                                                .dataset = verify_dataset,
                                                .cancelled = ask_cancelled,
                                                .omit_root_attribute =
                                                    verification->omit_root_attribute};
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    enum emd_status status = EMD_OK;
    hid_t file = H5I_INVALID_HID, access = emd_fdfile_access(verification->fd);
    /* No chunk cache: every chunk is read once. */
    if (access < 0 || H5Pset_cache(access, 0, 0, 0, 0) < 0)
        status = emd_hdf5_fail(err, EMD_E_MEMORY, "cannot set up HDF5");
    else if ((file = H5Fopen("output", H5F_ACC_RDONLY, access)) < 0)
        status = emd_hdf5_fail(err, EMD_E_VERIFY, "cannot open the finished file");
    else
        status = emd_tree_compare(verification->source, file, &options, err);
    emd_hdf5_close(&file);
    emd_hdf5_close(&access);
    emd_hdf5_quiet_end(&quiet);
    return status == EMD_OK || status == EMD_E_CANCELLED
               ? status
               : emd_fail_prefix(err, status, "the output, read back");
}
