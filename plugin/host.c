/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ISO C has no way from void * to a function pointer; POSIX demands that this one works. */
static bool find(void *handle, const char *name, void *function)
{
    void *address = dlsym(handle, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

static bool find_all(struct emd_host *h)
{
    return find(h->handle, "H5Pget_filter_by_id2", &h->get_filter) &&
           find(h->handle, "H5Pmodify_filter", &h->modify_filter) &&
           find(h->handle, "H5Pget_chunk", &h->get_chunk) &&
           find(h->handle, "H5Tget_size", &h->type_size) &&
           find(h->handle, "H5Tget_class", &h->type_class) &&
           find(h->handle, "H5Tget_super", &h->type_super) &&
           find(h->handle, "H5Tclose", &h->type_close) &&
           find(h->handle, "H5Tget_sign", &h->type_sign) &&
           find(h->handle, "H5Tget_order", &h->type_order) &&
           find(h->handle, "H5Tdetect_class", &h->type_detect) &&
           find(h->handle, "H5Tis_variable_str", &h->type_is_variable) &&
           find(h->handle, "H5Epush2", &h->push) &&
           find(h->handle, "H5Eget_current_stack", &h->get_stack) &&
           find(h->handle, "H5Eset_current_stack", &h->set_stack) &&
           find(h->handle, "H5E_ERR_CLS_g", &h->error_class) &&
           find(h->handle, "H5E_PLINE_g", &h->error_major) &&
           find(h->handle, "H5E_CANTFILTER_g", &h->error_minor);
}

bool emd_host_bind(struct emd_host *host, const void *caller)
{
    Dl_info info;
    *host = (struct emd_host){0};
    if (!dladdr(caller, &info) || !info.dli_fname)
        return false;
    /* RTLD_NOLOAD: the library is there already. The main program is not found under its name. */
    host->handle = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (host->handle && find_all(host))
        return true;
    emd_host_release(host);
    host->handle = dlopen(NULL, RTLD_LAZY);
    /* The program's own functions, not those of some other libhdf5 that happens to be global. */
    Dl_info own;
    if (host->handle && find_all(host) && dladdr((const void *)host->error_class, &own) &&
        own.dli_fbase == info.dli_fbase)
        return true;
    emd_host_release(host);
    return false;
}

void emd_host_release(struct emd_host *host)
{
    if (host->handle)
        dlclose(host->handle);
    *host = (struct emd_host){0};
}

/* While a filter runs, HDF5 from 1.14.5 on ignores what is pushed on its stack, but not a stack put
 * in its place. (HDF5 2 puts the stack of before the call back in any case.) */
static void push(const struct emd_host *host, const char *filter, const char *function,
                 const char *line)
{
    const hid_t stack = host->get_stack();
    if (stack < 0)
        return;
    host->push(stack, filter, function, 0, *host->error_class, *host->error_major,
               *host->error_minor, "%s", line);
    host->set_stack(stack); /* and closes it */
}

void emd_host_report(const struct emd_host *host, const char *filter, const char *function,
                     const char *text)
{
    const char *verbose = getenv("EMDTOOLS_PLUGIN_VERBOSE");
    char line[1200];
    /* The codecs' own texts begin with their name already. */
    const size_t name = strlen(filter);
    const bool named = strncmp(text, filter, name) == 0 && text[name] == ':';
    snprintf(line, sizeof line, "%s%s%s", named ? "" : filter, named ? "" : ": ", text);
    if (host->push)
        push(host, filter, function, line);
    if (!host->push || (verbose && strcmp(verbose, "1") == 0))
        fprintf(stderr, "emdtools filter %s\n", line);
}
