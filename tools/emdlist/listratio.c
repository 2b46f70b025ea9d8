/* The compression ratio of a movie: of its largest dataset, whatever wrote it. */
#include <math.h>

#include "emdlist/listrows.h"
#include "hdf5/guard.h"
#include "hdf5/h5call.h"
#include "hdf5/source.h"

/* The names without a version mean one or the other, as HDF5 was configured. */
#if H5_VERSION_GE(1, 12, 0)
typedef H5O_info2_t object_info;
#else
typedef H5O_info_t object_info;
#endif

struct largest {
    double raw, stored;
};

static herr_t visit(hid_t object, const char *name, const object_info *info, void *data)
{
    struct largest *largest = data;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    hid_t dataset = H5Dopen2(object, name, H5P_DEFAULT);
    if (dataset < 0)
        return 0;
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    double raw = 0;
    if (space >= 0 && type >= 0)
        raw = (double)H5Sget_simple_extent_npoints(space) * (double)H5Tget_size(type);
    if (raw > largest->raw) {
        largest->raw = raw;
        largest->stored = (double)H5Dget_storage_size(dataset);
    }
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    H5Dclose(dataset);
    return 0;
}

static void look(void *ctx, void *answer)
{
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    struct emd_source *source = NULL;
    if (emd_source_open(ctx, &source, NULL) == EMD_OK)
#if H5_VERSION_GE(1, 12, 0)
        H5Ovisit3(source->file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, answer, H5O_INFO_BASIC);
#else
        H5Ovisit2(source->file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, answer, H5O_INFO_BASIC);
#endif
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
