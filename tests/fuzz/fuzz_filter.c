/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Fuzz target for the plugins' callbacks, with the codec that the input chooses and under a real
 * HDF5 library, which gets the errors: memory handed over and taken back as HDF5 does, parameters
 * from property lists.
 *
 * Input: as in fuzz_codec.c. Built and driven like the codecs' targets. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "fuzzparam.h"

#if defined(__SANITIZE_ADDRESS__)
#define EMD_FUZZ_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMD_FUZZ_ASAN 1
#endif
#endif
#ifdef EMD_FUZZ_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool condition)
{
    if (!condition)
        abort();
}

/* An address inside libhdf5, as a return address is. */
static const void *caller;

/* A buffer as HDF5 hands it over: it may be larger than its contents, which only sanitizers see. */
static void *buffer_of(const uint8_t *data, size_t n, size_t spare)
{
    uint8_t *buffer = malloc(n + spare ? n + spare : 1);
    check(buffer != NULL);
    memcpy(buffer, data, n);
    ASAN_POISON_MEMORY_REGION(buffer + n, spare);
    return buffer;
}

/* Runs the filter on a copy; on success *out is the new buffer and its first bytes are all there.
 */
static size_t run(const struct emd_codec *codec, unsigned flags, const unsigned *cd,
                  size_t cd_count, const uint8_t *data, size_t n, size_t spare, uint8_t **out)
{
    void *const before = buffer_of(data, n, spare);
    void *buffer = before;
    size_t room = n + spare;
    const size_t size = emd_filter_run(codec, caller, flags, cd_count, cd, n, &room, &buffer);
    *out = NULL;
    if (size == 0) {
        check(buffer == before && room == n + spare && memcmp(before, data, n) == 0);
        free(before);
        return 0;
    }
    check(room >= size && buffer != NULL);
    *out = buffer_of(buffer, size, 0);
    free(buffer);
    return size;
}

static size_t not_called(unsigned flags, size_t cd_count, const unsigned *cd, size_t n,
                         size_t *room, void **buffer)
{
    (void)flags, (void)cd_count, (void)cd, (void)n, (void)room, (void)buffer;
    return 0;
}

/* The parameters that HDF5 stores for a dataset of the input's shape; 0 where it is refused. */
static size_t from_list(const struct emd_codec *codec, const uint8_t *choice, unsigned *cd)
{
    static const hid_t *const types[] = {&H5T_STD_U8LE_g, &H5T_STD_I16LE_g, &H5T_IEEE_F32BE_g,
                                         &H5T_STD_I64BE_g};
    const struct emd_chunk_shape shape = fuzz_shape(choice);
    const hid_t type = *types[choice[1] & 3];
    unsigned user[EMD_CD_MAX], flags = 0, config;
    size_t count = EMD_CD_MAX;
    hsize_t dims[3];
    for (int i = 0; i < 3; i++)
        dims[i] = shape.dims[i];
    const H5Z_class2_t filter = {
        H5Z_CLASS_T_VERS, (H5Z_filter_t)codec->id, 1, 1, codec->name, NULL, NULL, not_called};
    check(H5Zregister(&filter) >= 0);
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    check(list >= 0 && H5Pset_chunk(list, 3, dims) >= 0);
    const size_t user_count = fuzz_user_values(codec, choice, user);
    check(H5Pset_filter(list, filter.id, H5Z_FLAG_OPTIONAL, user_count, user) >= 0);
    if (emd_filter_can_apply(codec, caller, type) <= 0 ||
        emd_filter_set_local(codec, caller, list, type) < 0)
        count = 0;
    else
        check(H5Pget_filter_by_id2(list, filter.id, &flags, &count, cd, 0, NULL, &config) >= 0 &&
              count <= EMD_CD_MAX && flags == H5Z_FLAG_OPTIONAL);
    H5Pclose(list);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    unsigned cd[EMD_CD_MAX] = {0};
    uint8_t *out, *back;
    if (!caller) {
        caller = dlsym(RTLD_DEFAULT, "H5open");
        check(caller != NULL && H5open() >= 0 && H5Eset_auto2(H5E_DEFAULT, NULL, NULL) >= 0);
    }
    if (n < CHOICES)
        return 0;
    const uint8_t choice = data[0];
    const struct emd_codec *codec = fuzz_codec_of(choice);
    const size_t cd_count =
        choice & 0x80 ? from_list(codec, data, cd) : fuzz_parameters(codec, data, cd);
    const size_t spare = choice & 0x40 ? 64 : 0;
    const unsigned flags = choice & 2 ? H5Z_FLAG_OPTIONAL : 0;
    data += CHOICES;
    n -= CHOICES;
    if (!(choice & 1)) {
        run(codec, flags | H5Z_FLAG_REVERSE, cd, cd_count, data, n, spare, &out);
        free(out);
    } else if (n > 0) {
        const size_t size = run(codec, flags, cd, cd_count, data, n, spare, &out);
        if (size > 0) {
            check(run(codec, flags | H5Z_FLAG_REVERSE, cd, cd_count, out, size, spare, &back) ==
                      n &&
                  memcmp(back, data, n) == 0);
            free(back);
        }
        free(out);
    }
    H5Eclear2(H5E_DEFAULT);
    return 0;
}
