#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Boots a Debian with systemd in a container and sets the services up as the manual pages say; then all the
# mistakes that one makes there. As root:
#
#   tests/boot.sh FOLDER
#
# FOLDER/base, a system made by debootstrap, is kept for the next time (0.3 GB). Needs systemd-nspawn,
# debootstrap and a Debian mirror (EMDTOOLS_DEBIAN_MIRROR, default debootstrap's own); the build
# is EMDTOOLS_BUILD_DIR. Exit status: 0 all is right, 1 not, 77 cannot run here.
set -eu

say() { printf '%s\n' "boot.sh: $*" >&2; }
cannot() {
  say "$*"
  exit 77
}

# ---- in the booted system ----

fail() {
  echo "FAILED: $*"
  journalctl --no-pager -n 40
  exit 1
}

# wait_for SECONDS COMMAND...
wait_for() {
  left=$1
  shift
  while ! "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "waited in vain: $*"
    sleep 1
  done
}

# The commands of a manual page's section on systemd, as one would paste them.
paste() { # PAGE
  sed -n '/^\.SH SYSTEMD/,/^\.fi/p' "$(man_page "$1")" | sed '/^\./d; s/\\-/-/g'
}
man_page() { find / -xdev -path "*/man1/$1.1*" | head -n 1; }

# expect_failed UNIT TEXT: it has failed, once, and the journal says why.
expect_failed() {
  wait_for 60 systemctl is-failed --quiet "$1"
  [ "$(systemctl show -P NRestarts "$1")" -eq 0 ] || fail "$1 was restarted"
  journalctl --no-pager -u "$1" | grep -qF -- "$2" || fail "no word of '$2'"
  systemctl reset-failed "$1"
}

inside() {
  PATH=/usr/local/bin:$PATH
  mkdir -p /data/project/compressed /mnt/scope/project/raw /data/cluster
  cp /test/movie.emd "/mnt/scope/project/raw/a b.emd"

  paste emdwatch >/tmp/commands
  # shellcheck disable=SC2016 # the text says $settings
  etc=$(sed -n 's/.*> "\(.*\)\/$settings.watch"/\1/p' /tmp/commands)
  [ -d "$etc" ] || fail "no directory '$etc'"
  # shellcheck disable=SC1091 # the manual page's
  . /tmp/commands || fail "the commands of emdwatch(1)"
  # shellcheck disable=SC2154 # they set unit and settings
  systemctl is-active --quiet "emdwatch@$unit" || fail "emdwatch is not active"
  # a production setting would take minutes: shorter ones, and a user of its own
  useradd --system movies
  chown -R movies /data/project/compressed
  mkdir -p "/etc/systemd/system/emdwatch@$unit.service.d"
  printf '[Service]\nUser=movies\n' >"/etc/systemd/system/emdwatch@$unit.service.d/override.conf"
  # shellcheck disable=SC2154
  echo 'EMDWATCH_OPTIONS=--settle 0 --poll 0.5' >>"$etc/$settings.watch"
  systemctl daemon-reload
  systemctl restart "emdwatch@$unit" || fail "emdwatch as a user of its own"
  wait_for 60 test -s /data/project/compressed/a_b.emd
  [ "$(stat -c %U /data/project/compressed/a_b.emd)" = movies ] || fail "not the user's own output"
  wait_for 20 sh -c "journalctl --no-pager -o cat -u emdwatch@$unit | grep -q '^done a b.emd'"
  systemctl stop "emdwatch@$unit"
  systemctl is-failed --quiet "emdwatch@$unit" && fail "stopped is failed"
  echo "ok: emdwatch as documented, as a user of its own, one time stamp"

  paste emdsync | sed 's|SRC=[^ ]*|SRC=/data/project/compressed/|' >/tmp/commands
  # shellcheck disable=SC1091 # the manual page's
  . /tmp/commands || fail "the commands of emdsync(1)"
  wait_for 60 test -s /data/cluster/a_b.emd
  wait_for 20 sh -c "journalctl --no-pager -o cat -u emdsync@$unit | grep -q '^copied a_b.emd'"
  # a login does the same: refused, although the service has a /tmp of its own
  status=0
  emdsync --once /data/project/compressed/ /data/cluster || status=$?
  [ "$status" -eq 3 ] || fail "a second emdsync: $status"
  systemctl stop "emdsync@$unit"
  [ "$(ls -A /data/cluster)" = a_b.emd ] || fail "left behind: $(ls -A /data/cluster)"
  echo "ok: emdsync as documented, and refused beside the service"

  mkdir -p /data/more "/data/with space-x [1]"
  ! systemctl start emdwatch@data-more || wait_for 30 systemctl is-failed --quiet emdwatch@data-more
  expect_failed emdwatch@data-more.service "RAW is empty"
  ! systemctl start emdsync@data-more || wait_for 30 systemctl is-failed --quiet emdsync@data-more
  expect_failed emdsync@data-more.service "SRC is empty"
  echo "ok: no settings"
  printf 'RAW=/mnt/scope/project/raw\nEMDWATCH_OPTIONS=--bogus\n' >"$etc/data-more.watch"
  systemctl start emdwatch@data-more || :
  expect_failed emdwatch@data-more.service "--bogus"
  echo "ok: a misspelt option"
  echo RAW=/mnt/scope/project/raw >"$etc/data-nowhere.watch"
  systemctl start emdwatch@data-nowhere || :
  expect_failed emdwatch@data-nowhere.service "/data/nowhere"
  echo "ok: no COMPRESSED"
  echo RAW=/data/nowhere >"$etc/data-more.watch"
  systemctl start emdwatch@data-more || :
  expect_failed emdwatch@data-more.service "/data/nowhere"
  echo "ok: no RAW"
  echo SRC=/data/nowhere/ >"$etc/data-more.sync"
  systemctl start emdsync@data-more || :
  expect_failed emdsync@data-more.service "/data/nowhere/"
  echo "ok: no SRC"
  paste emdwatch | sed 's|/data/project/compressed|"/data/with space-x [1]"|' >/tmp/commands
  # shellcheck disable=SC1091 # the manual page's
  . /tmp/commands || fail "a directory with a space"
  echo 'EMDWATCH_OPTIONS=--settle 0 --poll 0.5' >>"$etc/$settings.watch"
  systemctl restart "emdwatch@$unit"
  wait_for 60 test -s "/data/with space-x [1]/a_b.emd"
  systemctl stop "emdwatch@$unit"
  echo "ok: a directory with a space"
  echo "all passed"
}

if [ "${1-}" = --inside ]; then
  inside
  exit
fi

# ---- outside ----

[ $# -eq 1 ] || {
  sed -n '4,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
[ "$(id -u)" -eq 0 ] || cannot "needs root: it makes a Debian system and boots it"
for program in debootstrap systemd-nspawn; do
  command -v "$program" >/dev/null || cannot "needs $program"
done
here=$(cd "$(dirname "$0")" && pwd)
build=${EMDTOOLS_BUILD_DIR-$here/../build}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
root=$folder/root
trap 'rm -rf "$root"' EXIT
trap 'exit 1' INT TERM
rm -rf "$root"
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
[ -e "$folder/made" ] || {
  rm -rf "$folder/base"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,rsync,passwd,procps "$release" "$folder/base" \
    ${EMDTOOLS_DEBIAN_MIRROR:+"$EMDTOOLS_DEBIAN_MIRROR"} >"$folder/debootstrap.log" 2>&1 ||
    cannot "debootstrap failed: $(tail -n 1 "$folder/debootstrap.log")"
  touch "$folder/made"
}
cp -a "$folder/base" "$root"
DESTDIR=$root cmake --install "$build" >/dev/null
mkdir "$root/test"
"$build/bin/emdsim" -q --size 64 --frames 5 "$root/test/movie.emd"
cp "$0" "$root/test/boot.sh"
ldd "$build/bin/emdwatch" "$build/bin/emdrepack" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u |
  while read -r library; do
    [ -e "$root$library" ] || cp -L "$library" "$root$library"
  done
cat >"$root/etc/systemd/system/boot-test.service" <<'UNIT'
[Unit]
Description=Test of the units
After=systemd-journald.service
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/bin/bash /test/boot.sh --inside
StandardOutput=file:/test/results
StandardError=file:/test/results
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s /etc/systemd/system/boot-test.service "$root/etc/systemd/system/multi-user.target.wants"
timeout 1200 systemd-nspawn --quiet --boot --register=no --keep-unit --directory="$root" \
  >"$folder/console" 2>&1 </dev/null || :
[ -s "$root/test/results" ] || cannot "cannot boot here: $(tail -n 3 "$folder/console" | tr '\n' ' ')"
cat "$root/test/results"
grep -qx 'all passed' "$root/test/results"
