/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Since 2.34 the C library runs a program's constructors; before, start-up code that was linked
 * into the program did, which today's linker does not add. This is it: the linker's --wrap sends
 * the call in the start-up code here. */
#include <stddef.h>

typedef void initialiser(int argc, char **argv, char **envp);
extern initialiser *__init_array_start[] __attribute__((visibility("hidden")));
extern initialiser *__init_array_end[] __attribute__((visibility("hidden")));
int __real___libc_start_main(int (*program)(int, char **, char **), int argc, char **argv,
                             initialiser *init, void (*fini)(void), void (*loader_fini)(void),
                             void *stack_end);
int __wrap___libc_start_main(int (*program)(int, char **, char **), int argc, char **argv,
                             initialiser *init, void (*fini)(void), void (*loader_fini)(void),
                             void *stack_end);

static void run_constructors(int argc, char **argv, char **envp)
{
    const size_t count = (size_t)(__init_array_end - __init_array_start);
    for (size_t i = 0; i < count; i++)
        __init_array_start[i](argc, argv, envp);
}

int __wrap___libc_start_main(int (*program)(int, char **, char **), int argc, char **argv,
                             initialiser *init, void (*fini)(void), void (*loader_fini)(void),
                             void *stack_end)
{
    return __real___libc_start_main(program, argc, argv, init ? init : run_constructors, fini,
                                    loader_fini, stack_end);
}
