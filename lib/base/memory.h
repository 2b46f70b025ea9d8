/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Memory for buffers, and how much there is for this process. */
#ifndef EMD_BASE_MEMORY_H
#define EMD_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* At least n bytes of any content that begin on a cache line; free() frees them. Large ones begin
 * on a huge page and ask for such. NULL: out of memory. */
void *emd_memory_new(size_t n);

/* Asks for huge pages where they lie wholly within the n bytes, so that budgets hold: one page
 * fault in 2 MiB instead of one in 4 KiB. Without effect where the system has none. */
void emd_memory_advise(void *data, size_t n);

/* In a process that was forked just now: copies what it shares with its parent and is likely to
 * write to (the heap, the data of libraries) in one go, which costs a tenth of doing it fault by
 * fault. Without effect where the kernel cannot (before Linux 5.14). */
void emd_memory_unshare(void);

/* Bytes: what the machine has, or less where a control group (a container, a Slurm job, a systemd
 * service) allows less. */
uint64_t emd_memory_size(void);

/* The least limit of the memory control groups, version 1 or 2, that a process is in; UINT64_MAX if
 * there is none. 'membership' is its /proc/PID/cgroup, 'mount' where the groups are mounted
 * (/sys/fs/cgroup). Where a group's own folder is not to be seen, as in a container, what can be
 * seen of those above it counts. */
uint64_t emd_memory_group_limit(const char *membership, const char *mount);

#endif
