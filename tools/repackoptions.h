/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The options that emdrepack and emdwatch share. */
#ifndef EMD_TOOLS_REPACKOPTIONS_H
#define EMD_TOOLS_REPACKOPTIONS_H

#include "common/options.h"
#include "repack/repack.h"

/* Reads NAME[:LEVEL] into the struct emd_codec_choice at option->at. */
static inline enum emd_status emd_take_codec(void *into, const struct emd_option *option,
                                             const char *value, struct emd_error *err)
{
    void *field = (char *)into + option->at;
    return emd_codec_choice_parse(value, field, err);
}

/* clang-format off */
#define EMD_OPTION_CODEC(field, text)                                                              \
    {'c', "codec", "NAME[:LEVEL]", EMD_OPTION_CALL, .take = emd_take_codec, .at = (field),         \
     .complete = "words:auto blosc zstd gzip bitshuffle bitshuffle:lz4 edc none", .help = (text)}
#define EMD_OPTION_THREADS(field)                                                                  \
    {'j', "threads", "N", EMD_OPTION_LONG, .at = (field), .low = 1, .high = 1024,                  \
     .help = "busy threads in all (default: all cores)"}
#define EMD_OPTION_MEMORY(field)                                                                   \
    {'m', "memory", "SIZE", EMD_OPTION_SIZE, .at = (field),                                        \
     .complete = "words:256M 512M 1G 2G 4G",                                                       \
     .help = "memory budget in all, e.g. 512M (default: a quarter of the memory, at most 2G or 192M per thread)"}
#define EMD_OPTION_JOBS(field, text)                                                               \
    {0, "jobs", "N", EMD_OPTION_LONG, .at = (field), .low = 1, .high = 256, .help = (text)}
/* In the order of enum emd_verify. */
#define EMD_OPTION_VERIFY(field, text)                                                             \
    {0, "verify", "WHAT", EMD_OPTION_CHOICE, .at = (field), .words = "none|chunk|file",            \
     .help = (text)}
#define EMD_OPTION_FRAME_STATS(field)                                                              \
    {0, "frame-stats", NULL, EMD_OPTION_FLAG, .at = (field),                                       \
     .help = "also write NAME.frames.tsv: mean, maximum and spots of every image"}
/* clang-format on */

#endif
