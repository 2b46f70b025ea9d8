#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Runs the programs on real network shares (Samba, NFS 4.2, NFS 3 without locks), on vfat and on a disk
# that fails, in a virtual machine: no kernel of the host needs to know any of them. As root:
#
#   tests/netfs/run.sh FOLDER [CHECK...]
#
# FOLDER/base, a system made by debootstrap, and FOLDER/modules, Debian's kernel, are kept for the next
# time (0.7 GB). CHECK is the beginning of names of checks in guest.py; all of them without. Needs
# qemu-system-x86_64 (emulation is enough: half an hour on two cores), debootstrap, cpio and a Debian
# mirror (EMDTOOLS_DEBIAN_MIRROR, default debootstrap's own). Builds are found by EMDTOOLS_BIN
# and EMDTOOLS_PLUGINS. Prints a line per check. Exit status: 0 all passed, 1 not, 77 cannot run here.
set -eu

say() { printf '%s\n' "netfs: $*" >&2; }
cannot() {
  say "$*"
  exit 77
}

[ $# -gt 0 ] || {
  sed -n '4,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
[ "$(id -u)" -eq 0 ] || cannot "needs root: debootstrap makes a system"
[ "$(uname -m)" = x86_64 ] || cannot "needs an x86-64 machine"
for program in qemu-system-x86_64 debootstrap cpio dpkg-deb; do
  command -v "$program" >/dev/null || cannot "needs $program"
done
here=$(cd "$(dirname "$0")" && pwd)
bin=${EMDTOOLS_BIN-$here/../../build/bin}
plugins=${EMDTOOLS_PLUGINS-$here/../../build/plugins}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift

# The programs are linked with this system's libraries: the guest is of the same release.
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
packages=samba,cifs-utils,nfs-kernel-server,nfs-common,kmod,python3,procps,rsync,dmsetup,e2fsprogs
packages=$packages,dosfstools,util-linux,iproute2,hdf5-tools
if [ ! -e "$folder/base.cpio" ]; then
  say "making the guest's system (once)"
  rm -rf "$folder/modules"
  [ -e "$folder/debootstrapped" ] || {
    rm -rf "$folder/base"
    debootstrap --variant=minbase --include="$packages" "$release" "$folder/base" \
      ${EMDTOOLS_DEBIAN_MIRROR:+"$EMDTOOLS_DEBIAN_MIRROR"} >"$folder/debootstrap.log" 2>&1 ||
      cannot "debootstrap failed: $(tail -n 1 "$folder/debootstrap.log")"
    touch "$folder/debootstrapped"
  }
  cp /etc/resolv.conf "$folder/base/etc/"
  # shellcheck disable=SC2016 # for the other shell
  chroot "$folder/base" sh -euc '
    cd /tmp
    apt-get -qq update
    kernel=$(apt-cache depends linux-image-amd64 | sed -n "s/^ *Depends: //p" | head -n 1)
    apt-get -qq download "$kernel"' 2>&1 || cannot "the guest's kernel cannot be had"
  mkdir -p "$folder/modules"
  dpkg-deb -x "$folder"/base/tmp/linux-image-*.deb "$folder/modules"
  cp "$folder"/modules/boot/vmlinuz-* "$folder/vmlinuz"
  rm "$folder"/base/tmp/linux-image-*.deb
  # of the modules what the checks need, of the system nothing to read
  version=$(ls "$folder/modules/lib/modules")
  for part in fs net/sunrpc net/dns_resolver crypto lib arch drivers/md drivers/block; do
    from=$folder/modules/lib/modules/$version/kernel/$part
    to=$folder/base/lib/modules/$version/kernel/$part
    mkdir -p "${to%/*}"
    cp -a "$from" "$to"
  done
  cp "$folder/modules/lib/modules/$version"/modules.* "$folder/base/lib/modules/$version"
  chroot "$folder/base" depmod "$version"
  rm -rf "$folder/modules"
  (cd "$folder/base" && find . \( -path ./usr/share/doc -o -path ./usr/share/man -o \
    -path ./usr/share/locale -o -path './var/lib/apt/lists/*' -o -path './var/cache/apt/*' -o \
    -path './dev/*' -o -path './proc/*' \) -prune -o -print0 |
    cpio --quiet --null -o -H newc >"$folder/base.cpio.part")
  mv "$folder/base.cpio.part" "$folder/base.cpio"
fi

# What is new each time: programs, their libraries, movies, the checks. A second archive lies over the
# first one.
top=$folder/top
rm -rf "$top"
mkdir -p "$top/netfs/bin" "$top/netfs/plugins" "$top/netfs/movies"
for tool in emdrepack emdwatch emdinfo emdsync; do
  cp "$bin/$tool" "$top/netfs/bin"
done
cp "$plugins"/*.so* "$top/netfs/plugins"
cp "$here/guest.py" "$top/netfs"
ldd "$top"/netfs/bin/emdrepack "$top"/netfs/bin/emdwatch "$top"/netfs/bin/emdinfo \
  "$top"/netfs/plugins/*.so* 2>/dev/null | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u |
  while read -r library; do
    # /lib is a link in the guest, which an archive's folder of that name would replace
    case $library in /lib*) library=/usr$library ;; esac
    [ -e "$folder/base$library" ] || [ -e "$top$library" ] || {
      mkdir -p "$top${library%/*}"
      cp -L "$library" "$top$library"
    }
  done
for i in 0 1 2 3; do
  "$bin/emdsim" -q --size 192 --frames $((6 + i)) --seed $((i + 1)) "$top/netfs/movies/movie$i.emd"
done
"$bin/emdsim" -q --size 512 --frames 40 --seed 9 "$top/netfs/movies/long.emd"
printf '%s\n' "$@" >"$top/netfs/wanted"
cp "$here/init" "$top/init"
chmod 755 "$top/init"
(cd "$top" && find . -print0 | cpio --quiet --null -o -H newc --owner=+0:+0) >"$folder/top.cpio"
cat "$folder/base.cpio" "$folder/top.cpio" >"$folder/initrd"
rm -rf "$top" "$folder/top.cpio"

say "starting the guest"
: >"$folder/results"
trap 'rm -f "$folder/initrd"; [ -z "${follow-}" ] || kill "$follow" 2>/dev/null' EXIT
trap 'exit 1' INT TERM
tail -n +1 -f "$folder/results" &
follow=$!
accel=tcg,thread=multi
[ ! -w /dev/kvm ] || accel=kvm
nice -n 10 timeout "${EMDTOOLS_NETFS_SECONDS-7000}" qemu-system-x86_64 -accel "$accel" -cpu max -smp 2 \
  -m 3000 -display none -no-reboot -nic none -kernel "$folder/vmlinuz" -initrd "$folder/initrd" \
  -append "console=ttyS0 quiet loglevel=4 panic=-1 rdinit=/init" \
  -serial "file:$folder/console" -serial "file:$folder/results" || say "the guest ended with status $?"
sleep 1
grep -q '^passed [1-9]' "$folder/results" || {
  say "not all passed; the guest's console is $folder/console"
  exit 1
}
