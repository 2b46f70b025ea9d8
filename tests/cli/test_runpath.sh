#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# No program or plugin looks for libraries in the current folder: an empty entry of a library path
# means just that, and so does a relative one.
set -eu
command -v readelf >/dev/null || { echo "readelf is not installed"; exit 77; }
checked=0
for file in "$EMDTOOLS_BIN"/* "$EMDTOOLS_PLUGINS"/*.so; do
    readelf -h "$file" >/dev/null 2>&1 || continue
    checked=$((checked + 1))
    path=$(readelf -dW "$file" | sed -n 's/.*R[UN]*PATH) .*\[\(.*\)\]$/\1/p')
    [ -n "$path" ] || continue
    case ":$path:" in
    *::*) echo "$file: empty entry in its library path: $path"; exit 1 ;;
    esac
    printf '%s\n' "$path" | tr : '\n' | grep -v '^[/$]' && {
        echo "$file: relative entry in its library path: $path"
        exit 1
    }
done
[ "$checked" -ge 8 ] || { echo "only $checked programs found"; exit 1; }
