#include "repack/visit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5/h5call.h"

struct visit {
    enum emd_status (*each)(void *ctx, hid_t dataset, const char *path, struct emd_error *err);
    void (*broken)(void *ctx, const char *path, const struct emd_error *error);
    void *ctx;
    enum emd_status status;
    struct emd_error *err;
};

#if H5_VERSION_GE(1, 12, 0)
typedef H5O_info1_t object_info;
#define visit_objects H5Ovisit1
#else
typedef H5O_info_t object_info;
#define visit_objects H5Ovisit
#endif

static herr_t visit_object(hid_t group, const char *name, const object_info *info, void *ctx)
{
    struct visit *v = ctx;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    char *path = malloc(strlen(name) + 2);
    if (!path) {
        v->status = emd_fail(v->err, EMD_E_MEMORY, "out of memory");
        return -1;
    }
    sprintf(path, "/%s", name);
    hid_t id = H5Dopen2(group, name, H5P_DEFAULT);
    if (id < 0) {
        struct emd_error error;
        v->status = emd_hdf5_fail(&error, EMD_E_CORRUPT, "cannot be opened");
        if (v->broken) {
            v->broken(v->ctx, path, &error);
            v->status = EMD_OK;
        } else {
            emd_fail(v->err, v->status, "%s: %s", path, error.text);
        }
    } else {
        v->status = v->each(v->ctx, id, path, v->err);
        if (v->status != EMD_OK)
            emd_fail_prefix(v->err, v->status, "%s", path);
    }
    free(path);
    emd_hdf5_close(&id);
    return v->status == EMD_OK ? 0 : -1;
}

enum emd_status emd_visit_datasets(hid_t file,
                                   enum emd_status (*each)(void *ctx, hid_t dataset,
                                                           const char *path, struct emd_error *err),
                                   void (*broken)(void *ctx, const char *path,
                                                  const struct emd_error *error),
                                   void *ctx, struct emd_error *err)
{
    struct visit visit = {.each = each, .broken = broken, .ctx = ctx, .err = err};
    struct emd_hdf5_quiet quiet = emd_hdf5_quiet_begin();
    if (visit_objects(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &visit) < 0 &&
        visit.status == EMD_OK)
        visit.status = emd_hdf5_fail(err, EMD_E_CORRUPT, "the tree of objects cannot be read");
    emd_hdf5_quiet_end(&quiet);
    return visit.status;
}
