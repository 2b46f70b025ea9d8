#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# The units: systemd understands them, they are closed as tightly as they say, and the programs work
# where they can write to one folder only.
set -eu
bin=$EMDTOOLS_BIN
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not installed"; exit 77; }
mkdir "data x" "data x/compressed" raw
folder="$PWD/data x/compressed"
for tool in emdwatch emdsync; do
    # the programs as they are built, not as they will be installed
    sed "s|^ExecStart=\"[^\"]*/|ExecStart=\"$bin/|" "$EMDTOOLS_BUILD_DIR/share/systemd/$tool@.service" \
        >"$tool@.service"
    unit="$tool@$(systemd-escape -p "$folder").service"
    ln -s "$tool@.service" "$unit"
    systemd-analyze verify --man=no "./$unit" 2>said || { cat said; exit 1; }
    grep "$tool@" said && { echo "$tool: systemd complains"; exit 1; }
    # what is missing or wrong is a unit that fails, not one that is silently inactive or always restarted
    grep '^Condition' "$unit" && exit 1
    grep -q '^RestartPreventExitStatus=2 ' "$unit"
    grep -qx 'StartLimitBurst=10' "$unit"
    grep -qx 'ProtectSystem=strict' "$unit"
    grep -qx 'ReadWritePaths=%f' "$unit"
    # 0 is closed, 10 is open; 2.1 and 2.8 with systemd 252
    systemd-analyze security --offline=true --threshold=30 "./$unit" >said 2>&1 || {
        tail -1 said
        exit 1
    }
done

# A prefix with a space and what systemd takes for a specifier; the directory for settings comes with it.
mkdir project
cat >project/CMakeLists.txt <<EOF
cmake_minimum_required(VERSION 3.20)
project(emdtools VERSION 0.1.0 LANGUAGES NONE)
set(CMAKE_INSTALL_LIBDIR lib)
include(GNUInstallDirs)
include("$EMDTOOLS_SOURCE_DIR/cmake/EmdPaths.cmake")
add_subdirectory("$EMDTOOLS_SOURCE_DIR/share" share)
EOF
prefix="$PWD/pre fix %n"
cmake -S project -B project/build "-DCMAKE_INSTALL_PREFIX=$prefix" >/dev/null 2>&1
cmake --install project/build >/dev/null
[ -d "$prefix/etc/emdtools" ]
mkdir "$prefix/bin"
cp "$bin/emdwatch" "$bin/emdsync" "$prefix/bin"
for tool in emdwatch emdsync; do
    unit="$prefix/lib/systemd/system/$tool@$(systemd-escape -p "$folder").service"
    mv "$prefix/lib/systemd/system/$tool@.service" "$unit"
    systemd-analyze verify --man=no "$unit" 2>said || { cat said; exit 1; }
    grep "$tool@" said && exit 1
done

# A service's output leads to the journal, which has the time.
: >log
stream=$(stat -c %d:%i log)
JOURNAL_STREAM=$stream "$bin/emdwatch" --once --settle 0 raw out >>log
grep -q '^summary: ' log
JOURNAL_STREAM=1:2 "$bin/emdwatch" --once --settle 0 raw out | grep -q '^20[0-9T:+-]* summary: '
# Settings that are not there: wrong usage, which is not tried again.
for tool in emdwatch emdsync; do
    status=0
    "$bin/$tool" "" "$folder" 2>said || status=$?
    [ "$status" -eq 2 ] && grep -q 'settings file' said
done

[ "$(id -u)" -eq 0 ] || exit 0
"$bin/emdsim" -q --size 64 --frames 5 "raw/a b.emd"
mkdir cluster
# As ProtectSystem=strict and PrivateTmp do it: everything read-only but one directory and an empty one for temporary files.
strict() {
    # shellcheck disable=SC2016 # for the other shell
    unshare --mount --propagation private sh -euc '
        mount --bind "$1" "$1"
        mount -o remount,bind,ro /
        mount -t tmpfs tmpfs /run
        ! touch here 2>/dev/null
        folder=$1
        shift
        cd /
        "$@"' sh "$@"
}
strict "$folder" true 2>/dev/null || { echo "no mount namespaces here"; exit 0; }
strict "$folder" "$bin/emdwatch" --once --settle 0 --poll 0.05 --frame-stats -m 8M "$PWD/raw" "$folder"
[ -s "$folder/a_b.emd" ] && [ -s "$folder/a_b.frames.tsv" ]
TMPDIR=/run strict "$PWD/cluster" "$bin/emdsync" --once "$folder/" "$PWD/cluster"
cmp "$folder/a_b.emd" cluster/a_b.emd
