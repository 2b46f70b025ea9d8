/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Some of Debian's static libraries are not made for shared libraries. All that hinders it is their
 * use of stderr and stdout, variables of another library: there the names are changed to these
 * (EmdPortable.cmake). */
#include <stdio.h>

FILE *emd_portable_stderr, *emd_portable_stdout;

__attribute__((constructor)) static void set_streams(void)
{
    emd_portable_stderr = stderr;
    emd_portable_stdout = stdout;
}
