/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Debian's libblosc.a is not made for shared libraries. All that hinders it is its use of stderr, a
 * variable of another library: there the name is changed to this one (EmdPortable.cmake). */
#include <stdio.h>

FILE *emd_blosc_stderr;

__attribute__((constructor)) static void set_stderr(void)
{
    emd_blosc_stderr = stderr;
}
