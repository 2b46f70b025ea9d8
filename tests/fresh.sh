#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# fresh.sh FOLDER COMMAND...: runs a test in an empty folder of its own. What it leaves there stays
# for a look until the next run.
folder=$1
shift
mkdir -p "$folder" && chmod -R u+rwx "$folder" && find "$folder" -mindepth 1 -delete &&
  cd "$folder" && exec "$@"
