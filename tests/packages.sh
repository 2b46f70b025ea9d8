#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Builds the Debian packages and tries them in a clean Debian 12: installed with apt, used without
# any variable, with Debian's own plugins beside them, upgraded, purged. As root:
#
#   tests/packages.sh FOLDER
#
# FOLDER/base, a system made by debootstrap, and FOLDER/build are kept for the next time (0.7 GB);
# everything else is removed. Needs debootstrap and a Debian mirror (EMDTOOLS_DEBIAN_MIRROR, default
# debootstrap's own). Exit 77: cannot run here.
set -eu

say() { printf '%s\n' "packages.sh: $*" >&2; }
fail() {
  say "FAILED: $*"
  exit 1
}

# ---- in the new system ----

our_packages="emdtools-dev emdtools emdtools-hdf5-plugins"

install() { apt-get -qq install -y --no-install-recommends "$@" >/dev/null; }

# What dpkg says about our files that is not right.
check_files() {
  # shellcheck disable=SC2086
  wrong=$(dpkg --verify $our_packages)
  [ -z "$wrong" ] || fail "dpkg --verify: $wrong"
}

# Everything that a user of the packages would try first; no variable is set.
use() {
  cd /tmp
  emdsim -q -f --size 256 --frames 12 movie.emd
  data=$(h5dump -n 1 movie.emd | sed -n 's, *dataset *\(/Data/Image/[0-9a-f]*/Data\)$,\1,p')
  h5dump -d "$data" -o plain.txt movie.emd >/dev/null
  for codec in auto blosc zstd bitshuffle edc gzip; do
    emdrepack -q -f -c "$codec" movie.emd "$codec.emd"
    h5dump -d "$data" -o "$codec.txt" "$codec.emd" >/dev/null || fail "h5dump of $codec"
    cmp -s plain.txt "$codec.txt" || fail "h5dump reads other values from $codec"
    h5plugin-config --doctor "$codec.emd" >doctor.txt || fail "$codec: $(cat doctor.txt)"
  done
  python3 - "$data" auto blosc zstd bitshuffle edc gzip <<'PYTHON'
import sys
import h5py, numpy
want = h5py.File("movie.emd")[sys.argv[1]][:]
for codec in sys.argv[2:]:
    assert numpy.array_equal(h5py.File(codec + ".emd")[sys.argv[1]][:], want), codec
with h5py.File("own.h5", "w") as f:
    f.create_dataset("x", data=want, chunks=(256, 256, 1), compression=32015)
assert numpy.array_equal(h5py.File("own.h5")["x"][:], want)
PYTHON
  [ "$(h5plugin-config --list | wc -l)" -eq 4 ] || fail "h5plugin-config --list"
}

# Which file serves a filter: what h5py has loaded after reading.
loaded() {
  python3 - "$1" <<'PYTHON'
import sys
import h5py
with h5py.File(sys.argv[1]) as f:
    next(iter(f["Data/Image"].values()))["Data"][:, :, 0]
for line in open("/proc/self/maps"):
    if "plugins/lib" in line:
        print(line.split()[-1])
        break
PYTHON
}

# Debian's blosc and bitshuffle, whose plugins have the same ids as ours.
beside_debians() {
  install hdf5-filter-plugin-blosc-serial bitshuffle
  check_files
  h5plugin-config --doctor | grep -E '^  320' >&2 || :
  for codec in blosc bitshuffle; do
    case $codec in blosc) id=32001 ;; *) id=32008 ;; esac
    first=$(h5plugin-config --doctor | sed -n "s/^  $id  *\([^ ]*\) .*/\1/p" | head -n 1)
    got=$(loaded "$codec.emd" 2>&1 | tail -n 1)
    say "$codec: first in the folder is $first; h5py without variables: $got"
    # Only ours knows zstd inside bitshuffle: Debian's gives an error, wrong data, or crashes.
    case $codec,$first,$got in
    *,libh5z*,*/libh5z* | blosc,libH5Zblosc*,*/libH5Zblosc*) ;;
    bitshuffle,libh5bshuf*,*)
      ! h5plugin-config --doctor "$codec.emd" >/dev/null || fail "the doctor trusts $first" ;;
    blosc,libblosc_filter*,*) ;;
    *) fail "$codec is read by $got, expected $first" ;;
    esac
    got=$(eval "$(h5plugin-config --env sh)" && loaded "$codec.emd")
    case $got in
    */libh5z$codec.so) ;;
    *) fail "with h5plugin-config --env, $codec is read by $got" ;;
    esac
  done
  apt-get -qq purge -y hdf5-filter-plugin-blosc-serial bitshuffle >/dev/null
  check_files
}

inside() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  install hdf5-tools python3-h5py systemd procps gcc libc6-dev pkg-config
  say "installing release 1"
  install /debs/*-1_*.deb
  check_files
  for file in /usr/share/man/man1/emdrepack.1.gz /usr/share/man/man1/h5plugin-config.1.gz \
    /usr/share/bash-completion/completions/emdrepack /usr/share/zsh/vendor-completions/_emdwatch \
    /usr/share/fish/vendor_completions.d/emdlist.fish \
    /usr/lib/systemd/system/emdwatch@.service /usr/share/doc/emdtools/copyright; do
    [ -s "$file" ] || fail "$file is missing"
  done
  [ -d /etc/emdtools ] || fail "/etc/emdtools is missing"
  for unit in emdwatch emdsync; do
    systemd-analyze --man=no verify /usr/lib/systemd/system/$unit@.service ||
      fail "systemd-analyze of $unit@.service"
  done
  use
  printf '#include <emdtools/h5filters.h>\nint main(void) { return !H5open(); }\n' >/tmp/a.c
  # shellcheck disable=SC2046
  gcc $(pkg-config --cflags emdtools-plugins) -include hdf5.h /tmp/a.c -o /tmp/a.out \
    $(pkg-config --libs emdtools-plugins) || fail "a program with emdtools-dev"
  beside_debians

  say "upgrading to release 2"
  # shellcheck disable=SC2086
  dpkg -L $our_packages | sort -u >/tmp/files.txt
  mkdir -p /etc/systemd/system/multi-user.target.wants
  ln -s /usr/lib/systemd/system/emdwatch@.service \
    /etc/systemd/system/multi-user.target.wants/emdwatch@x.service
  install /debs/*-2_*.deb
  dpkg-query -W -f '${Package} ${Version}\n' emdtools emdtools-hdf5-plugins >&2
  check_files
  use
  [ -L /etc/systemd/system/multi-user.target.wants/emdwatch@x.service ] ||
    fail "the upgrade disabled a unit"

  say "purging"
  # shellcheck disable=SC2086
  apt-get -qq purge -y $our_packages >/dev/null
  rm -rf /tmp/*.emd /tmp/*.h5
  while read -r path; do
    if [ ! -d "$path" ] || [ -L "$path" ]; then
      if [ -e "$path" ] || [ -L "$path" ]; then fail "$path is left behind"; fi
    elif [ "$path" != /. ] && ! dpkg -S "$path" >/dev/null 2>&1; then
      fail "the folder $path is left behind"
    fi
  done </tmp/files.txt
  left=$(find / -xdev \( -name '*emdtools*' -o -name 'emdwatch*' -o -name 'libh5z*' \) \
    -not -path '/debs*' -not -path '/proc/*')
  [ -z "$left" ] || fail "left behind: $left"
}

# ---- outside ----

# In a mount namespace of our own, so that nothing stays mounted however this ends.
outside() {
  mount -t proc proc "$1/proc"
  mount -t tmpfs tmpfs "$1/tmp"
  mount --rbind /dev "$1/dev"
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    HOME=/root ${http_proxy:+http_proxy="$http_proxy"} chroot "$1" sh /debs/packages.sh --inside
}

case ${1-} in
--inside) inside && exit ;;
--outside) outside "$2" ;;
"" | -*)
  sed -n '4,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" -eq 0 ] || {
  say "needs root: it makes a Debian system and changes root into it"
  exit 77
}
for program in debootstrap dpkg-shlibdeps file unshare; do
  command -v $program >/dev/null || {
    say "needs $program"
    exit 77
  }
done
mkdir -p "$1"
folder=$(cd "$1" && pwd)
root=$folder/root
trap 'rm -rf "$root" "$folder/debs"' EXIT
trap 'exit 1' INT TERM
rm -rf "$root" "$folder/debs"
if [ ! -e "$folder/base/etc/debian_version" ]; then
  debootstrap --variant=minbase bookworm "$folder/base" \
    ${EMDTOOLS_DEBIAN_MIRROR:+"$EMDTOOLS_DEBIAN_MIRROR"} >&2
fi
cd "$here"
for release in 1 2; do
  cmake --preset deb -B "$folder/build" -DEMDTOOLS_PACKAGE_RELEASE=$release >/dev/null
  cmake --build "$folder/build" >/dev/null
  (cd "$folder/build" && cpack -B "$folder/debs" >/dev/null)
done
cp -a "$folder/base" "$root"
mkdir "$root/debs"
cp "$folder"/debs/*.deb tests/packages.sh "$root/debs"
cp /etc/resolv.conf "$root/etc/resolv.conf"
for package in "$folder"/debs/*-1_*.deb; do
  dpkg-deb -f "$package" Package Depends Installed-Size >&2
done
unshare --mount --propagation private "$here/tests/packages.sh" --outside "$root"
say "ok"
