#!/bin/sh
# Builds and tests this tree in a folder with Debian 13 (HDF5 1.14), made by debootstrap. Run by hand
# as root:
#
#   tests/debian13.sh FOLDER [CTEST OPTION...]     default option: -LE nightly
#
# FOLDER is made if it is not there (about 2 GB in the end) and kept for the next time; its /src is
# replaced by the files that git knows here. Needs debootstrap and a Debian mirror
# (EMDTOOLS_DEBIAN_MIRROR, default http://deb.debian.org/debian). The tests see the data of
# EMDTOOLS_TEST_DATA read-only. Ends with ctest's status.
set -eu

say() { printf '%s\n' "debian13.sh: $*" >&2; }

# In the new system, with /src and /data in place.
inside() {
  cd /src
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  packages=
  # shellcheck disable=SC2013 # words, not lines
  for package in $(sed -n '/^\(build\|test\)_packages="/,/"$/p' setup.sh |
    sed 's/.*_packages="//; s/"$//'); do
    [ "$package" != libmsgpack-dev ] || package=libmsgpack-c-dev # its name since Debian 13
    if apt-cache policy "$package" | grep -q 'Candidate: [^(]'; then
      packages="$packages $package"
    else
      say "Debian 13 has no $package"
    fi
  done
  # shellcheck disable=SC2086 # a list of words
  apt-get -qq install -y --no-install-recommends $packages >/dev/null
  say "HDF5 $(dpkg-query -W -f '${Version}' libhdf5-dev)"
  cmake --preset release -DBUILD_TESTING=ON -DEMDTOOLS_WERROR=ON >/dev/null
  cmake --build --preset release
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
    chroot "$folder" sh /src/tests/debian13.sh --inside "$@"
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
"" | -*)
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

folder=$1
shift
[ $# -gt 0 ] || set -- -LE nightly
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
  debootstrap --variant=minbase trixie "$folder" \
    "${EMDTOOLS_DEBIAN_MIRROR-http://deb.debian.org/debian}" >&2
fi
folder=$(cd "$folder" && pwd)
exec unshare --mount --propagation private "$here/tests/debian13.sh" --outside "$folder" "$here" "$@"
