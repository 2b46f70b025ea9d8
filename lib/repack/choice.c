/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Codec names of command lines and what they stand for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repack/dataset.h"
#include "repack/repack.h"

/* What a name stands for: an optional byte shuffle, a codec, and where its level goes. */
struct preset {
    const char *name, *codec;
    bool shuffle;
    int low, high, standard; /* levels */
    size_t cd_count, level_at;
    unsigned cd[7];
};

/* Parameters as a user of each filter passes them (docs/filters.md). Blosc: compression level,
 * shuffle kind (2: bits), compressor (5: zstd). Bitshuffle: block size, compressor (3: zstd, 2:
 * LZ4), level. */
static const struct preset presets[] = {
    {"gzip", "deflate", true, 1, 9, 4, 1, 0, {4}},
    {"zstd", "zstd", true, -7, 22, 1, 1, 0, {1}},
    {"blosc", "blosc", false, 1, 9, 1, 7, 4, {0, 0, 0, 0, 1, 2, 5}},
    {"bitshuffle:lz4", "bitshuffle", false, 0, 0, 0, 5, 0, {0, 0, 0, 0, 2}},
    {"bitshuffle", "bitshuffle", false, 1, 22, 3, 6, 5, {0, 0, 0, 0, 3, 3}},
    {"edc", "edc", false, 1, 3, 2, 1, 0, {2}},
};

static enum emd_status add_filter(struct emd_pipeline *pipeline, const char *name,
                                  struct emd_error *err)
{
    const struct emd_codec *codec = emd_codec_by_name(name);
    if (!codec)
        return emd_fail(err, EMD_E_ARGUMENT, "this build has no codec '%s'", name);
    pipeline->filter[pipeline->count++] = (struct emd_filter){.codec = codec, .optional = true};
    return EMD_OK;
}

enum emd_status emd_codec_choice_parse(const char *text, struct emd_codec_choice *choice,
                                       struct emd_error *err)
{
    char name[32];
    size_t n = strcspn(text, ":");
    memset(choice, 0, sizeof *choice);
    if (strlen(text) >= sizeof choice->text || n >= sizeof name)
        return emd_fail(err, EMD_E_ARGUMENT, "no codec has such a long name");
    strcpy(choice->text, text);
    memcpy(name, text, n);
    name[n] = '\0';
    if (strcmp(name, "auto") == 0 || strcmp(name, "none") == 0) {
        if (text[n] != '\0')
            return emd_fail(err, EMD_E_ARGUMENT, "%s takes no level", name);
        choice->is_auto = name[0] == 'a';
        return EMD_OK;
    }
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        const struct preset *p = &presets[i];
        const bool takes_level = p->high != 0; /* else the whole text is its name */
        if (strcmp(takes_level ? name : text, p->name) != 0)
            continue;
        long level = p->standard;
        if (takes_level && text[n] == ':') {
            char *end;
            level = strtol(text + n + 1, &end, 10);
            if (end == text + n + 1 || *end != '\0' || level < p->low || level > p->high ||
                level == 0)
                return emd_fail(err, EMD_E_ARGUMENT, "%s takes a level from %d to %d", name, p->low,
                                p->high);
        }
        enum emd_status status = EMD_OK;
        if (p->shuffle)
            status = add_filter(&choice->pipeline, "shuffle", err);
        if (status == EMD_OK)
            status = add_filter(&choice->pipeline, p->codec, err);
        if (status != EMD_OK)
            return status;
        struct emd_filter *filter = &choice->pipeline.filter[choice->pipeline.count - 1];
        filter->cd_count = p->cd_count;
        memcpy(filter->cd, p->cd, p->cd_count * sizeof *p->cd);
        if (takes_level)
            filter->cd[p->level_at] = (unsigned)level;
        if (filter->codec->id == EMD_FILTER_BLOSC)
            filter->tune =
                19; /* blocks of 512 KiB: what auto.c measures as best with bit shuffle */
        return EMD_OK;
    }
    return emd_fail(
        err, EMD_E_ARGUMENT,
        "no codec of this name (auto, blosc, zstd, gzip, bitshuffle, bitshuffle:lz4, edc, none)");
}

void emd_pipeline_describe(const struct emd_pipeline *pipeline, char *text, size_t size)
{
    static const char *const blosc_shuffle[] = {"noshuffle", "byteshuffle", "bitshuffle"};
    static const char *const blosc_codec[] = {"blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"};
    size_t used = 0;
    snprintf(text, size, "none");
    for (size_t i = 0; i < pipeline->count && used < size; i++) {
        const struct emd_filter *f = &pipeline->filter[i];
        const char *plus = i ? "+" : "";
        int n;
        if (f->codec->id == EMD_FILTER_BLOSC && f->cd_count == 7 && f->cd[5] < 3 && f->cd[6] < 6)
            n = snprintf(text + used, size - used, "%sblosc-%s:%u %s", plus, blosc_codec[f->cd[6]],
                         f->cd[4], blosc_shuffle[f->cd[5]]);
        else if (f->codec->id == EMD_FILTER_BITSHUFFLE && f->cd_count > 4 && f->cd[4] == 2)
            n = snprintf(text + used, size - used, "%sbitshuffle-lz4", plus);
        else if (f->cd_count == 1 && f->codec->id != EMD_FILTER_SHUFFLE)
            n = snprintf(text + used, size - used, "%s%s:%d", plus, f->codec->name, (int)f->cd[0]);
        else
            n = snprintf(text + used, size - used, "%s%s", plus, f->codec->name);
        used += n > 0 ? (size_t)n : 0;
    }
}
