#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# What emdlist replaces, as a laboratory writes it: find, awk, grep and sed once a crystal.
# Usage: list_shell.sh FOLDER TRIAL
cd "$1" || exit 1
trial=$2
find . -type d -name "$trial" | sed 's,^\./,,' | sort | while read -r dir; do
    log=$dir/dials.scale.log
    [ -f "$log" ] || continue
    resolution=$(awk '/d_max +d_min/ { table = 1; next }
                      table && NF < 13 { exit }
                      table { cc = $13; sub(/\*/, "", cc); if (cc > 0.3) d = $2; else exit }
                      END { print d }' "$log")
    [ -n "$resolution" ] || continue
    cell=$(grep 'Unit cell: ' "$dir/dials.integrate.log" | head -n 1 | sed 's/([0-9]*)//g; s/,/ /g')
    symmetry=$(grep 'Best solution' "$dir/dials.symmetry.log" | tail -n 1)
    printf '%s %s %s %s\n' "$dir" "$resolution" "$cell" "$symmetry"
done | sort -k2,2n -k1,1
