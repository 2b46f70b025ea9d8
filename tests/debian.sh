#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Builds and tests this tree in a Debian of another release or for another machine, in a folder made by
# debootstrap. Run by hand as root:
#
#   tests/debian.sh [-s SUITE] [-a ARCHITECTURE] FOLDER [CTEST OPTION...]
#
#   -s  bookworm (HDF5 1.10), trixie (1.14, the default) or sid (2.x)
#   -a  Debian's name of the machine; i386 runs on x86-64 as it is, arm64 and others need
#       qemu-user-static and binfmt-support and take an hour or two
#
# CTest's default option: -LE nightly; for an emulated machine better -L quick. FOLDER is made if it is
# not there (1 to 2 GB in the end) and kept for the next time; its /src is replaced by the files that git
# knows here. Needs debootstrap and a Debian mirror (EMDTOOLS_DEBIAN_MIRROR, default
# debootstrap's own). The tests see the data of EMDTOOLS_TEST_DATA read-only. Ends with
# ctest's status.
#
# FOLDER/src/build/fingerprints are the checksums of what emdsim and emdrepack write: the same for all
# architectures of a release.
set -eu

say() { printf '%s\n' "debian.sh: $*" >&2; }

# What is not worth its time where it is emulated, or whose processes are not like others there.
heavy="chromium chromium-driver slurm-wlm munge dials"

# In the new system, with /src and /data in place.
install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  packages=
  # shellcheck disable=SC2013 # words, not lines
  for package in $(sed -n '/^\(build\|test\)_packages="/,/"$/p' setup.sh |
    sed 's/.*_packages="//; s/"$//'); do
    if ! apt-cache policy "$package" | grep -q 'Candidate: [^(]'; then
      [ "$package" = libmsgpack-dev ] && package=libmsgpack-c-dev # its name since Debian 13
    fi
    case "$emulated $heavy " in
    "1 "*" $package "*) continue ;;
    esac
    if apt-cache policy "$package" | grep -q 'Candidate: [^(]'; then
      packages="$packages $package"
    else
      say "there is no package $package"
    fi
  done
  # shellcheck disable=SC2086 # a list of words
  apt-get -qq install -y --no-install-recommends $packages >/dev/null
}

# The files that every codec makes of a simulated movie and of real frames.
fingerprint() {
  folder=$(mktemp -d)
  build/bin/emdsim -q --size 512 --frames 12 "$folder/movie.emd"
  python3 - "$folder/frames.h5" /data/frames/*.?2.* <<'PYTHON'
import os, sys
import h5py, numpy
with h5py.File(sys.argv[1], "w") as f:
    for path in sys.argv[2:]:
        if os.path.exists(path):
            name, kind, width = os.path.basename(path).split(".")
            frames = numpy.fromfile(path, "<" + kind).reshape(-1, int(width), int(width))
            f.create_dataset(name, data=frames, chunks=(1, int(width), int(width)))
PYTHON
  for source in movie.emd frames.h5; do
    for codec in none gzip zstd blosc bitshuffle edc auto; do
      build/bin/emdrepack -q --no-provenance -c "$codec" "$folder/$source" "$folder/$codec-$source"
    done
  done
  (cd "$folder" && sha256sum -- *) >build/fingerprints
  rm -rf "$folder"
}

inside() {
  emulated=$1
  shift
  cd /src
  install_packages
  say "$(dpkg --print-architecture), HDF5 $(dpkg-query -W -f '${Version}' libhdf5-dev)," \
    "$(gcc --version | head -n 1)"
  cmake --preset release -DBUILD_TESTING=ON -DEMDTOOLS_WERROR=ON >/dev/null
  cmake --build --preset release
  fingerprint
  exec ctest --test-dir build --output-on-failure "$@"
}

# In a mount namespace of our own, so that nothing stays mounted however this ends.
outside() {
  folder=$1 here=$2
  shift 2
  mount -t proc proc "$folder/proc"
  mount --rbind /dev "$folder/dev"
  mount -t tmpfs tmpfs "$folder/tmp"
  mkdir -p "$folder/src" "$folder/data"
  cp /etc/resolv.conf "$folder/etc/resolv.conf"
  [ ! -d "${EMDTOOLS_TEST_DATA-}" ] || mount --bind -o ro "$EMDTOOLS_TEST_DATA" "$folder/data"
  find "$folder/src" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  git -C "$here" ls-files -z | tar -C "$here" --null -T - -cf - | tar -C "$folder/src" -xf -
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    HOME=/root EMDTOOLS_TEST_DATA=/data ${http_proxy:+http_proxy="$http_proxy"} \
    chroot "$folder" sh /src/tests/debian.sh --inside "$@"
}

case ${1-} in
--inside)
  shift
  inside "$@"
  ;;
--outside)
  shift
  outside "$@"
  ;;
esac

usage() {
  sed -n '4,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

suite=trixie native=$(dpkg --print-architecture) architecture=
while getopts s:a: option; do
  case $option in
  s) suite=$OPTARG ;;
  a) architecture=$OPTARG ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || usage
folder=$1
shift
[ $# -gt 0 ] || set -- -LE nightly
[ -n "$architecture" ] || architecture=$native
case $native-$architecture in
"$native-$native" | amd64-i386) emulated=0 ;;
*) emulated=1 ;;
esac
here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" -eq 0 ] || {
  say "must run as root: it makes a Debian system and changes root into it"
  exit 1
}
if [ ! -e "$folder/etc/debian_version" ]; then
  command -v debootstrap >/dev/null || {
    say "please install debootstrap"
    exit 1
  }
  debootstrap --variant=minbase --arch="$architecture" "$suite" "$folder" \
    ${EMDTOOLS_DEBIAN_MIRROR:+"$EMDTOOLS_DEBIAN_MIRROR"} >&2
fi
folder=$(cd "$folder" && pwd)
exec unshare --mount --propagation private "$here/tests/debian.sh" --outside "$folder" "$here" \
  "$emulated" "$@"
