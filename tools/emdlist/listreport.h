/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The parts of the report page, made from report.html, report.css and report.js at build time. */
#ifndef EMD_TOOLS_LISTREPORT_H
#define EMD_TOOLS_LISTREPORT_H

extern const char report_html[], report_css[], report_js[];

#endif
