#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# fuzz_edc.sh decode|encode MUTATIONS: a fuzz target over all seeds and mutations of them.
set -eu
rm -rf corpus
"$EMDTOOLS_BIN/edcseeds" corpus
"$EMDTOOLS_BIN/fuzz_edc_$1_run" -m "$2" "corpus/$1"/*
rm -rf corpus
