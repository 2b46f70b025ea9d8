/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The compression ratio of a movie: of its largest dataset, whatever wrote it. */
#include <math.h>

#include "emdlist/listoutput.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"
#include "hdf5/visit.h"

struct largest {
    double raw, stored;
};

static enum emd_status look_at_dataset(void *ctx, hid_t dataset, const char *path,
                                       struct emd_error *err)
{
    struct largest *largest = ctx;
    (void)path;
    (void)err;
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    double raw = 0;
    if (space >= 0 && type >= 0)
        raw = (double)H5Sget_simple_extent_npoints(space) * (double)H5Tget_size(type);
    if (raw > largest->raw) {
        largest->raw = raw;
        largest->stored = (double)H5Dget_storage_size(dataset);
    }
    emd_hdf5_close(&type);
    emd_hdf5_close(&space);
    return EMD_OK;
}

static void pass_over(void *ctx, const char *path, const struct emd_error *error)
{
    (void)ctx;
    (void)path;
    (void)error;
}

static void look(void *ctx, void *answer)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct emd_source *source = NULL;
    if (emd_source_open(ctx, &source, NULL) == EMD_OK)
        emd_visit_datasets(source->file, look_at_dataset, pass_over, answer, NULL);
    emd_source_close(source);
    emd_hdf5_quiet_end(&quiet);
}

double list_image_ratio(const char *path)
{
    struct largest largest = {0};
    const struct emd_guard guard = {
        .work = look, .ctx = (void *)path, .answer = &largest, .answer_bytes = sizeof largest};
    if (path[0] == '\0' || emd_guard_run(&guard, NULL) != EMD_OK)
        return NAN;
    return largest.stored > 0 ? largest.raw / largest.stored : NAN;
}
