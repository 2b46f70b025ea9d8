/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Fuzz target: any bytes into the EDC decoder, through the interface that the filter uses, and into
 * the comparison that emdrepack verifies with. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses how much room there is: too little is a case, too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct emd_work *work;
    static uint8_t *room;
    enum { MOST = 1 << 17 };
    const struct emd_codec *const edc = emd_codec_by_id(EMD_FILTER_EDC);
    size_t claimed = 0, got = 0;
    if (size < 1)
        return 0;
    if (!work)
        work = emd_work_new();
    if (!room)
        room = malloc(MOST);
    if (!work || !room)
        abort();
    const size_t capacity = data[0] == 0 ? MOST : (size_t)data[0] * 257;
    const enum emd_status sized =
        edc->decoded_size(NULL, 0, data + 1, size - 1, capacity, &claimed, NULL);
    const enum emd_status status =
        edc->decode(NULL, 0, work, data + 1, size - 1, room, capacity, &got, NULL);
    if (status == EMD_OK && (sized != EMD_OK || got != claimed || got > capacity))
        abort();
    if (sized == EMD_OK) {
        const bool same =
            edc->check(NULL, 0, work, data + 1, size - 1, room, claimed, NULL) == EMD_OK;
        if (same != (status == EMD_OK))
            abort();
    }
    if (status == EMD_OK && got > 0) {
        room[got / 2] ^= 1;
        if (edc->check(NULL, 0, work, data + 1, size - 1, room, got, NULL) != EMD_E_VERIFY)
            abort();
    }
    return 0;
}
