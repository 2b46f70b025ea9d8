/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include <string.h>

#include "codec/codec.h"
#include "codec/codecs.h"

static const struct emd_codec *const codecs[] = {
    &emd_codec_deflate,     &emd_codec_shuffle,
    &emd_codec_fletcher32,  &emd_codec_nbit,
    &emd_codec_scaleoffset, &emd_codec_blosc,
    &emd_codec_bitshuffle,  &emd_codec_zstd,
    &emd_codec_edc,         NULL,
};

const struct emd_codec *const *emd_codecs(void)
{
    return codecs;
}

const struct emd_codec *emd_codec_by_id(unsigned id)
{
    for (size_t i = 0; codecs[i]; i++)
        if (codecs[i]->id == id)
            return codecs[i];
    return NULL;
}

const struct emd_codec *emd_codec_by_name(const char *name)
{
    for (size_t i = 0; codecs[i]; i++)
        if (strcmp(codecs[i]->name, name) == 0)
            return codecs[i];
    return NULL;
}
enum emd_status emd_codec_set_local(const struct emd_codec *codec,
                                    const struct emd_chunk_shape *shape, const unsigned *user,
                                    size_t user_count, unsigned cd[EMD_CD_MAX], size_t *cd_count,
                                    struct emd_error *err)
{
    if (codec->set_local)
        return codec->set_local(shape, user, user_count, cd, cd_count, err);
    if (user_count > EMD_CD_MAX)
        return emd_fail(err, EMD_E_UNSUPPORTED, "%s: %zu parameters are too many", codec->name,
                        user_count);
    for (size_t i = 0; i < user_count; i++)
        cd[i] = user[i];
    *cd_count = user_count;
    return EMD_OK;
}
