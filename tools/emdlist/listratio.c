/* The compression ratio of a movie: of its largest dataset, whatever wrote it. */
#include <hdf5.h>
#include <math.h>

#include "emdlist/listrows.h"

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

double list_image_ratio(const char *path)
{
    struct largest largest = {0};
    if (path[0] == '\0')
        return NAN;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0)
        return NAN;
#if H5_VERSION_GE(1, 12, 0)
    H5Ovisit3(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, &largest, H5O_INFO_BASIC);
#else
    H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, &largest, H5O_INFO_BASIC);
#endif
    H5Fclose(file);
    return largest.stored > 0 ? largest.raw / largest.stored : NAN;
}
