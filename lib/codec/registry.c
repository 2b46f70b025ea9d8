#include <string.h>

#include "codec/codec.h"
#include "codec/codecs.h"

static const struct emd_codec *const codecs[] = {
    &emd_codec_deflate, &emd_codec_shuffle, &emd_codec_fletcher32,
    &emd_codec_blosc,   &emd_codec_zstd,    NULL,
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

size_t emd_chunk_bytes(const struct emd_chunk_shape *shape)
{
    uint64_t bytes = shape->item_size;
    for (unsigned i = 0; i < shape->rank; i++)
        if (__builtin_mul_overflow(bytes, shape->dims[i], &bytes))
            return 0;
    return bytes <= SIZE_MAX ? (size_t)bytes : 0;
}
