/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* SIGINT, SIGTERM and SIGHUP ask the work to stop: handlers only set a flag, the work sees it,
 * removes its temporary files on the usual way out, and the tool then dies of the same signal, so
 * that a shell's loop stops too. */
#ifndef EMD_TOOLS_SIGNALS_H
#define EMD_TOOLS_SIGNALS_H

#include <stdbool.h>

/* Installs the handlers (a signal that was ignored on entry stays ignored) and ignores SIGPIPE and
 * SIGXFSZ, which then show as failed writes. */
void emd_signals_init(void);

/* True once a signal has come. Safe from any thread. */
bool emd_signals_caught(void);

/* If a signal has come: dies of it (does not return). Call last. */
void emd_signals_reraise(void);

#endif
