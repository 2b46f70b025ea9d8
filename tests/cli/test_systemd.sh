#!/bin/sh
# The units: systemd understands them, they are closed as tightly as they say, and the programs work
# where they can write to one folder only.
set -eu
bin=$EMDTOOLS_BIN
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not installed"; exit 77; }
mkdir "data x" "data x/compressed" raw
folder="$PWD/data x/compressed"
for tool in emdwatch emdsync; do
    # the programs as they are built, not as they will be installed
    sed "s|^ExecStart=[^ ]*/|ExecStart=$bin/|" "$EMDTOOLS_BUILD_DIR/share/systemd/$tool@.service" \
        >"$tool@.service"
    unit="$tool@$(systemd-escape -p "$folder").service"
    ln -s "$tool@.service" "$unit"
    systemd-analyze verify --man=no "./$unit" 2>said || { cat said; exit 1; }
    grep "$tool@" said && { echo "$tool: systemd complains"; exit 1; }
    grep -qx 'ProtectSystem=strict' "$unit"
    grep -qx 'ReadWritePaths=%f' "$unit"
    # 0 is closed, 10 is open; 2.1 and 2.8 with systemd 252
    systemd-analyze security --offline=true --threshold=30 "./$unit" >said 2>&1 || {
        tail -1 said
        exit 1
    }
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
