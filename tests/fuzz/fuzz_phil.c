/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* PHIL of any bytes: parsed; what it defines is found and quoted, and read back as it was. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dials/phil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static enum emd_status same(void *ctx, const char *name, const char *value, size_t line,
                            struct emd_error *err)
{
    (void)line, (void)err;
    check(strcmp(name, "x") == 0 && strcmp(value, ctx) == 0);
    return EMD_OK;
}

static enum emd_status take(void *ctx, const char *name, const char *value, size_t line,
                            struct emd_error *err)
{
    static const char *const names[] = {"phi_step", "keep", "output.log", "output.experiments"};
    char text[2 * EMD_PHIL_VALUE + 8] = "x=";
    char copy[EMD_PHIL_VALUE];
    (void)ctx;
    check(strlen(name) < EMD_PHIL_NAME && strlen(value) < EMD_PHIL_VALUE && line > 0);
    const int found = emd_phil_find(name, strlen(name), names, 4, err);
    check(found >= -1 && found < 4 && (found >= 0 || err->text[0] != '\0'));
    check(emd_phil_quote(value, text + 2, sizeof text - 2));
    strcpy(copy, value);
    /* One line holds no line's end, which -c never has to write either. */
    if (!strpbrk(value, "\n"))
        check(emd_phil_parse(text, strlen(text), same, copy, err) == EMD_OK);
    return EMD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct emd_error err = {0};
    enum emd_status status = emd_phil_parse((const char *)data, size, take, NULL, &err);
    check(status == EMD_OK || err.text[0] != '\0');
    return 0;
}
