/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The encoder's linear predictors: least squares on a sample of rows. */
#ifndef EMD_EDC_FIT_H
#define EMD_EDC_FIT_H

#include "codec/edc/edcstream.h"

/* Fills the model's sets and intensity limits for this frame. offset: as for edc_load_row, by
 * strip. False: out of memory. */
bool edc_fit(const struct edc_kernels *kernels, const struct edc_header *header, const void *chunk,
             const uint32_t *offsets, struct edc_model *model);

/* Lays out padded rows in memory; NULL: only counts. Returns the bytes. */
size_t edc_lay_out_rows(uint8_t *base, uint32_t width, struct edc_rows *rows);

#endif
