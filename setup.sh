#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# From a fresh Debian 12 to working tools:
#   ./setup.sh demo      install what is needed, build, compress a simulated movie, read it back
#   ./setup.sh test      install what the tests need, build, run the tests
#   ./setup.sh build     install what is needed and build into build/
#   ./setup.sh sanitize  unit tests and damaged input again under ASan, UBSan and TSan
#   ./setup.sh nightly [REGEX]   the long tests, which "test" leaves out: hours, root, a Debian mirror
#   ./setup.sh netfs     the tests on Samba, NFS, vfat and failing disks, in a virtual machine
#   ./setup.sh lint      clang-format, clang-tidy, cppcheck, shellcheck
#   ./setup.sh packages  Debian packages in build-deb/: plugins, tools, what programs compile with
#   ./setup.sh wheel     Python package in dist/: plugins for h5py, format class for DIALS; and its source
#   ./setup.sh tarball   tools and plugins in dist/, to unpack anywhere; they need glibc 2.28 and nothing else
#   ./setup.sh install [PREFIX]   build and install (default /usr/local)
set -eu
cd "$(dirname "$0")"

# Every package that the project uses, in one place.
build_packages="gcc libc6-dev cmake ninja-build pkg-config libhdf5-dev libzstd-dev libblosc-dev
  libdeflate-dev zlib1g-dev libxxhash-dev liblz4-dev libjson-c-dev libmsgpack-dev libpng-dev libsymspg-dev"
# Debian 13 renamed one of them.
msgpack=libmsgpack-dev
! grep -qx 'ID=debian' /etc/os-release ||
  [ "$(sed -n 's/^VERSION_ID="\([0-9]*\)"/\1/p' /etc/os-release)" = 12 ] || msgpack=libmsgpack-c-dev
demo_packages="hdf5-tools python3-h5py"
test_packages="check hdf5-tools python3-h5py python3-numpy python3-hdf5plugin python3-xxhash
  hdf5-filter-plugin-blosc-serial hdf5-filter-plugin util-linux procps file
  csh tcsh fish zsh dash shellcheck rsync openssh-server binutils bitshuffle python3-scipy dials
  chromium chromium-driver slurm-wlm munge"
lint_packages="clang-format clang-tidy cppcheck shellcheck"
netfs_packages="qemu-system-x86 debootstrap cpio dpkg util-linux"
# What is linked in where nothing but glibc may be needed.
portable_packages="libsnappy-dev libstdc++-12-dev libaec-dev python3 binutils"
wheel_packages="$portable_packages python3-setuptools python3-wheel python3-pip"
packaging_packages="dpkg-dev file"
nightly_packages="debootstrap systemd systemd-container environment-modules python3-yaml python3-wheel python3-pip"
sanitize_packages="clang libclang-rt-14-dev check python3-h5py"

say() { printf '%s\n' "setup.sh: $*" >&2; }

# install PACKAGE...: by apt, with sudo when not root; what is there already is left alone.
install_packages() {
  missing=
  for package; do
    [ "$package" != libmsgpack-dev ] || package=$msgpack
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || {
    say "please install:$missing"
    exit 1
  }
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  say "installing:$missing"
  $sudo apt-get -qq -o DPkg::Lock::Timeout=600 update
  # shellcheck disable=SC2086 # a list of words
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 \
    install -y --no-install-recommends $missing >/dev/null
}

# build PRESET [CMAKE OPTION...]
build() {
  preset=$1
  shift
  cmake --preset "$preset" "$@" >/dev/null
  cmake --build --preset "$preset"
}

# The demonstration: a movie is made, compressed, and read by programs that know nothing of us.
demo() {
  # shellcheck disable=SC2086
  install_packages $build_packages $demo_packages
  build release -DBUILD_TESTING=OFF -DEMDTOOLS_BENCH=OFF
  folder=$(mktemp -d "${TMPDIR:-/tmp}/emdtools-demo.XXXXXX")
  trap 'rm -rf "$folder"' EXIT
  trap 'exit 1' INT TERM
  movie=$folder/movie.emd packed=$folder/movie_packed.emd
  say "a crystal in the beam: 1024 x 1024 pixels, 160 frames"
  build/bin/emdsim --size 1024 --frames 160 --blank 125:160 -q "$movie"
  say "packing"
  build/bin/emdrepack -q --json "$movie" "$packed" >"$folder/report.json"
  HDF5_PLUGIN_PATH=$(sh build/bin/h5plugin-config --plugindir)
  export HDF5_PLUGIN_PATH
  data=$(h5dump -n 1 "$packed" | sed -n 's, *dataset *\(/Data/Image/[0-9a-f]*/Data\)$,\1,p')
  say "h5dump reads a corner of frame 80 through HDF5_PLUGIN_PATH=$HDF5_PLUGIN_PATH"
  h5dump -d "$data" -s 0,0,79 -c 2,8,1 "$packed" | sed -n '/(0,0/,/(1,7/p'
  say "h5py compares every frame"
  /usr/bin/python3 - "$movie" "$packed" "$data" "$folder/report.json" <<'PYTHON'
import json, sys
import h5py, numpy
movie, packed, name, report = sys.argv[1:]
with h5py.File(movie, "r") as a, h5py.File(packed, "r") as b:
    frames = a[name].shape[2]
    for i in range(frames):
        assert numpy.array_equal(a[name][:, :, i], b[name][:, :, i]), f"frame {i + 1} differs"
r = json.load(open(report))
print("%8s %12s %12s %7s %9s %8s" % ("frames", "raw MB", "packed MB", "ratio", "seconds", "MB/s"))
print("%8d %12.1f %12.1f %7.2f %9.2f %8.0f" % (
    frames, r["raw_bytes"] / 1e6, r["stored_bytes"] / 1e6, r["ratio"], r["seconds"],
    r["raw_bytes"] / 1e6 / r["seconds"]))
print("identical: %d frames, codec %s" % (frames, r["codec"]))
PYTHON
}

run_tests() {
  # shellcheck disable=SC2086
  install_packages $build_packages $test_packages
  build release -DBUILD_TESTING=ON -DEMDTOOLS_WERROR=ON
  ctest --test-dir build -LE nightly -j "$(nproc)" --output-on-failure
}

sanitize() {
  # shellcheck disable=SC2086
  install_packages $build_packages $test_packages $sanitize_packages
  build asan
  # Not again what is about processes, locks and signals rather than memory.
  ctest --test-dir build-asan -L 'quick|fault' -LE nightly -j "$(nproc)" --output-on-failure \
    -E 'emdwatch|emdsync|fault_injection|fault_kill|fault_emdprocess'
  build tsan
  ctest --test-dir build-tsan -L threads -LE nightly -j "$(nproc)" --output-on-failure
}

# Those of Samba and NFS are the last ones: they take the machine for themselves.
nightly() {
  # shellcheck disable=SC2086
  install_packages $build_packages $test_packages $netfs_packages $packaging_packages $nightly_packages
  build release -DBUILD_TESTING=ON
  ctest --test-dir build -L nightly -LE netfs ${1:+-R "$1"} --output-on-failure
  [ -n "${1-}" ] || ctest --test-dir build -L netfs --output-on-failure
}

netfs() {
  # shellcheck disable=SC2086
  install_packages $build_packages $netfs_packages
  build release
  EMDTOOLS_BIN=$PWD/build/bin EMDTOOLS_PLUGINS=$PWD/build/plugins sh tests/netfs/run.sh build/netfs "$@"
}

# A wheel for all Linux systems with glibc 2.28 or newer, and the source package.
wheel() {
  # shellcheck disable=SC2086
  install_packages $build_packages $wheel_packages
  rm -rf build/lib build/python-egg
  mkdir -p build/python-egg dist
  rm -f dist/emdtools[_-]hdf5-*
  EMDTOOLS_PORTABLE=1 /usr/bin/python3 setup.py -q egg_info --egg-base build/python-egg \
    build --build-base build/python bdist_wheel --bdist-dir build/python/wheel --dist-dir dist \
    sdist --dist-dir dist
  ls -l dist/emdtools[_-]hdf5-*
}

# What a cluster without root unpacks: programs that find their files from where they are.
tarball() {
  # shellcheck disable=SC2086
  install_packages $build_packages $portable_packages
  build portable
  name=emdtools-$(sed -n 's/^project(emdtools VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
  package=$name-linux-$(uname -m)
  folder=build-portable/package/$package
  rm -rf build-portable/package
  cmake --install build-portable --strip --prefix "$PWD/$folder" >/dev/null
  # Units for systemd would name a place that is not known yet.
  rm -rf "${folder:?}/lib/systemd" "${folder:?}/etc"
  mkdir -p "$folder/share/modulefiles/emdtools" "$folder/share/doc/emdtools/licenses"
  cp packaging/modules/emdtools "$folder/share/modulefiles/emdtools/${name#emdtools-}"
  cp LICENSE README.md NEWS.md "$folder/share/doc/emdtools"
  for library in $build_packages libsnappy-dev libstdc++-12-dev libaec-dev; do
    [ ! -f "/usr/share/doc/$library/copyright" ] ||
      cp "/usr/share/doc/$library/copyright" "$folder/share/doc/emdtools/licenses/$library"
  done
  # shellcheck disable=SC2046 # names of ours, without spaces
  /usr/bin/python3 cmake/portable/oldglibc.py check 2.28 \
    $(find "$folder/bin" "$folder/libexec" "$folder/lib" -type f -exec sh -c \
      'head -c 4 "$1" | grep -q ELF' _ {} \; -print)
  mkdir -p dist
  tar -C build-portable/package --sort=name --owner=0 --group=0 --numeric-owner -cf - "$package" |
    gzip -9n >"dist/$package.tar.gz"
  ls -l "dist/$package.tar.gz"
}

lint() {
  # shellcheck disable=SC2086
  install_packages $build_packages $test_packages $lint_packages
  cmake --preset release -DBUILD_TESTING=ON >/dev/null
  sh cmake/lint.sh build
}

case ${1-} in
demo) demo ;;
test) run_tests ;;
build)
  # shellcheck disable=SC2086
  install_packages $build_packages
  build release -DBUILD_TESTING=OFF -DEMDTOOLS_BENCH=OFF
  ;;
sanitize) sanitize ;;
nightly) nightly "${2-}" ;;
netfs)
  shift
  netfs "$@"
  ;;
lint) lint ;;
packages)
  # shellcheck disable=SC2086
  install_packages $build_packages $packaging_packages
  build deb
  cpack --config build-deb/CPackConfig.cmake -B build-deb >/dev/null
  ls build-deb/*.deb
  ;;
wheel) wheel ;;
tarball) tarball ;;
install)
  # shellcheck disable=SC2086
  install_packages $build_packages
  build release -DBUILD_TESTING=OFF -DEMDTOOLS_BENCH=OFF -DCMAKE_INSTALL_PREFIX="${2:-/usr/local}"
  cmake --install build
  ;;
*)
  sed -n '4,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
