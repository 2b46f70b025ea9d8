/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* emdins: SHELX instructions with scattering factors of electrons. See docs/man/emdins.1. */
#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/safefile.h"
#include "common/message.h"
#include "common/options.h"
#include "dials/shelxins.h"
#include "dials/textfile.h"

struct arguments {
    const char *composition, *output;
    long units;
    bool force;
};

#define AT(member) offsetof(struct arguments, member)

static const struct emd_option options[] = {
    {'c', "composition", "FORMULA", EMD_OPTION_TEXT, .at = AT(composition),
     .help = "of one formula unit, as in C2H5NO2; required"},
    {'z', "units", "N", EMD_OPTION_LONG, .at = AT(units), .low = 1, .high = 10000,
     .help = "formula units in the cell (default: as many as its volume holds)"},
    {'o', "output", "FILE", EMD_OPTION_TEXT, .at = AT(output), .complete = "file",
     .help = "write to FILE (default: standard output)"},
    {'f', "force", NULL, EMD_OPTION_FLAG, .at = AT(force), .help = "replace an existing FILE"},
};

static const struct emd_program program = {
    .name = "emdins",
    .usage = "[OPTION]... -c FORMULA FILE.ins",
    .about = "Make SHELX instructions for electron diffraction from those that dials.export "
             "format=shelx writes: with the composition, and with scattering factors of electrons.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .operands = "file:ins",
};

static enum emd_status write_output(const struct arguments *a, const char *text,
                                    struct emd_error *err)
{
    struct emd_safefile *file;
    if (!a->output) {
        fputs(text, stdout);
        return EMD_OK;
    }
    enum emd_status status = emd_safefile_create(a->output, &file, err);
    if (status != EMD_OK)
        return status;
    if (emd_pwrite_all(emd_safefile_fd(file), text, strlen(text), 0) != 0) {
        emd_safefile_discard(file);
        return emd_fail(err, EMD_E_IO, "cannot write");
    }
    return emd_safefile_commit(&file, 1, a->force, err);
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    struct emd_textfile file = {0};
    struct emd_error err = {0};
    char *text = NULL;
    emd_message_init("emdins", EMD_NORMAL);
    int code = emd_options_parse(&program, argc, argv, &a);
    if (code < 0 && optind + 1 != argc)
        code = emd_usage_error(optind == argc ? "no FILE given" : "more than one FILE given");
    if (code < 0 && !a.composition)
        code = emd_usage_error("no --composition given");
    if (code >= 0)
        return emd_finish(code);
    const char *input = argv[optind];
    enum emd_status status = emd_textfile_read(&file, AT_FDCWD, input, &err);
    if (status == EMD_E_EMPTY)
        status = emd_fail(&err, EMD_E_IO, "no such file");
    if (status == EMD_OK)
        status = emd_shelx_ins(file.text ? file.text : "", a.composition, (unsigned)a.units, &text,
                               &err);
    if (status == EMD_E_ARGUMENT) {
        code = emd_usage_error("--composition %s: %s", a.composition, err.text);
    } else if (status != EMD_OK) {
        emd_message_error("%s: %s", input, err.text);
        code = EMD_EXIT_FAILED;
    } else {
        status = write_output(&a, text, &err);
        code = status == EMD_OK ? EMD_EXIT_OK : EMD_EXIT_FAILED;
        if (status != EMD_OK)
            emd_message_error("%s: %s", a.output, err.text);
    }
    free(text);
    emd_textfile_free(&file);
    return emd_finish(code);
}
