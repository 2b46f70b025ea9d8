/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The codecs, for the registry and the plugins. */
#ifndef EMD_CODEC_CODECS_H
#define EMD_CODEC_CODECS_H

#include "codec/codec.h"

extern const struct emd_codec emd_codec_deflate;
extern const struct emd_codec emd_codec_shuffle;
extern const struct emd_codec emd_codec_fletcher32;
extern const struct emd_codec emd_codec_nbit;
extern const struct emd_codec emd_codec_scaleoffset;
extern const struct emd_codec emd_codec_blosc;
extern const struct emd_codec emd_codec_bitshuffle;
extern const struct emd_codec emd_codec_zstd;
extern const struct emd_codec emd_codec_edc;

#endif
