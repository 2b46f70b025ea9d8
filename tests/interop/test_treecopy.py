#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The tree copy by itself: real and nasty files come out the same, twice the same bytes; what cannot
be carried over is named; sources that are not ready are told from sources that are wrong."""
import filecmp
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import h5py
import numpy as np

import deepdiff

HERE = os.path.dirname(os.path.abspath(__file__))
TREECOPY = os.path.join(os.environ["EMDTOOLS_BIN"], "treecopy")
DATA = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "velox")
failures = []


def fail(what):
    failures.append(what)
    print("FAILED:", what)


def check(condition, what):
    if not condition:
        fail(what)


def nasty(out, *options):
    subprocess.run([sys.executable, os.path.join(HERE, "make_nasty.py"), out, *options], check=True)


def copy(source, target, *options):
    return subprocess.run([TREECOPY, *options, source, target], stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=120)


def superblock(path, at=0):
    with open(path, "rb") as f:
        f.seek(at)
        return f.read(9)[8]


def check_copy(source, *options):
    result = copy(source, "copy.h5", *options)
    if result.returncode != 0:
        fail("%s %s: %s" % (source, options, result.stderr))
        return
    for difference in deepdiff.compare(source, "copy.h5")[:10]:
        fail("%s %s: %s" % (source, options, difference))
    check(copy(source, "again.h5", *options).returncode == 0 and
          filecmp.cmp("copy.h5", "again.h5", shallow=False),
          "%s %s: two copies differ" % (source, options))
    # A copy's copy has everything too, and no more.
    check(copy("copy.h5", "again.h5", *options).returncode == 0 and
          not deepdiff.compare(source, "again.h5"), "%s %s: the copy's copy" % (source, options))


def check_real():
    files = sorted(glob.glob(os.path.join(DATA, "*.emd")))
    for path in files:
        check_copy(path)
        result = subprocess.run(["h5diff", "-c", path, "copy.h5"], stdout=subprocess.PIPE, text=True)
        check(result.returncode == 0 and not result.stdout, "h5diff: %s" % result.stdout)
        check(superblock("copy.h5") == 0, "%s: a newer superblock than needed" % path)
    return len(files)


def check_nasty():
    nasty("early.h5")
    nasty("late.h5", "--libver", "latest", "--user-block", "512")
    nasty("plain.h5", "--libver", "latest", "--user-block", "0")
    for source in ("early.h5", "late.h5", "plain.h5"):
        check_copy(source)
    check_copy("early.h5", "--buffer", "65536")
    check_copy("late.h5", "--newest")
    check_copy("late.h5", "--rehearse")
    check_copy("early.h5", "--callbacks")
    check(superblock("copy.h5", 2048) == 2, "a large attribute on the root needs superblock 2")

    check(copy("early.h5", "copy.h5", "--omit", "a on the root").returncode == 0 and
          deepdiff.compare("early.h5", "copy.h5", ignore_root_attributes=["a on the root"]) == []
          and len(deepdiff.compare("early.h5", "copy.h5")) == 1, "an attribute to leave out")


def check_small_formats():
    """A single object that needs a newer format does not change the others."""
    with h5py.File("one.h5", "w", libver="latest") as f:
        f["data"] = np.arange(10)
        f["large"] = np.arange(3)
        f["large"].attrs["table"] = np.zeros(30000)
    check_copy("one.h5")
    check(superblock("copy.h5") == 0, "a large attribute of a dataset needs no new superblock")
    header = [h5py.h5o.get_info(h5py.File("copy.h5")[name].id).hdr.version
              for name in ("data", "large")]
    check(header == [1, 2], "object header versions %s" % header)


def check_wide_region():
    """A region beyond 2^32 elements needs a newer format of selections than the copy's."""
    with h5py.File("source.h5", "w", libver="latest") as f:
        far = (1 << 32) + 1
        wide = f.create_dataset("wide", (far + 10,), "i1", chunks=(1 << 20,))
        f.create_dataset("region", data=wide.regionref[far:far + 5], dtype=h5py.regionref_dtype)
    result = copy("source.h5", "copy.h5")
    check(result.returncode == 0 and not result.stderr, "a wide region: %s" % result)
    with h5py.File("copy.h5") as f:
        region = h5py.h5r.get_region(f["region"][()], f.id)
        check(region.get_select_bounds() == ((far,), (far + 4,)), "a wide region moved")


# What cannot be carried over, and the words that must say so.
REFUSED = {
    "bad-name": ["/group", "th/ng", "name"],
}

# What is carried over, and the words of the remark about it, if there is one.
REMARKED = {
    "virtual": ["/group/thing", "virtual", "1 other dataset"],
    "virtual-pattern": ["/group/thing", "virtual", "1 other dataset"],
    "external-data": ["/group/thing", "1 other file"],
    "user-link": [],
    "dangling-reference": ["/group/thing", "1 reference", "gone", "null"],
    "dangling-region": ["/group", "'thing'", "1 reference", "gone", "null"],
    "unlinked-reference": ["/group", "'thing'", "1 reference", "gone", "null"],
    "fill-reference": [],
    "unknown-filter": ["/group/thing", "31999", "deflate", "1 chunk is copied"],
    "deep": [],
}
# What deepdiff may find then: a reference that is null.
LOST = ("dangling-reference", "dangling-region", "unlinked-reference")


def check_refused():
    for part, words in REFUSED.items():
        nasty("refused.h5", "--only", part)
        result = copy("refused.h5", "copy.h5")
        check(result.returncode == 1 and all(word in result.stderr for word in words),
              "%s: %s" % (part, result))


def check_remarked():
    for part, words in REMARKED.items():
        nasty("source.h5", "--only", part)
        if part == "external-data":
            np.arange(10, dtype="<i8").tofile("source.h5.raw")
        result = copy("source.h5", "copy.h5")
        check(result.returncode == 0 and all(word in result.stderr for word in words) and
              bool(result.stderr) == bool(words), "%s: %s" % (part, result))
        found = deepdiff.compare("source.h5", "copy.h5")
        check(len(found) == (part in LOST) and all("'null'" in text for text in found),
              "%s: %s" % (part, found))


def check_sources():
    with open("empty.h5", "w"):
        pass
    with open("text.h5", "w") as f:
        f.write("no HDF5 in here\n" * 1000)
    os.makedirs("folder.h5", exist_ok=True)
    if not os.path.exists("pipe.h5"):
        os.mkfifo("pipe.h5")
    with h5py.File("good.h5", "w") as f:
        f["data"] = np.arange(1000)
    with open("good.h5", "rb") as f:
        data = f.read()
    with open("short.h5", "wb") as f:
        f.write(data[:-1])
    with open("head.h5", "wb") as f:
        f.write(data[:30])
    with open("long.h5", "wb") as f:
        f.write(data + bytes(1000))
    for name, code, words in (("empty", 3, "empty"), ("text", 1, "not an HDF5 file"),
                              ("folder", 1, "not a regular file"), ("pipe", 1, "not a regular file"),
                              ("missing", 1, "No such file"), ("short", 3, "of the"),
                              ("head", 3, "superblock"), ("good", 0, ""), ("long", 0, "")):
        result = copy(name + ".h5", "copy.h5")
        check(result.returncode == code and words in result.stderr, "%s: %s" % (name, result))

    # A live writer, with HDF5's own lock; then one with a lock as network servers map it.
    writer = "import h5py, sys; f = h5py.File('good.h5', 'r+'); print(flush=True); sys.stdin.read()"
    lock = ("import fcntl, sys; f = open('good.h5', 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); "
            "print(flush=True); sys.stdin.read()")
    swmr = ("import h5py, sys; f = h5py.File('swmr.h5', 'w', libver='latest'); f['a'] = 1; "
            "f.swmr_mode = True; print(flush=True); sys.stdin.read()")
    for name, program, words in (("good", writer, "locked"), ("good", lock, "by process"),
                                 ("swmr", swmr, "")):
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            result = copy(name + ".h5", "copy.h5")
            check(result.returncode == 3 and words in result.stderr,
                  "%s being written: %s" % (name, result))
            if name == "swmr":
                process.kill()  # the writer dies: the mark stays in the file
            process.stdin.close()
    result = copy("swmr.h5", "copy.h5")
    check(result.returncode == 3 and "h5clear" in result.stderr, "a dead writer: %s" % result)
    check(copy("good.h5", "copy.h5").returncode == 0, "no lock is left")


def main():
    real = check_real()
    check_nasty()
    check_wide_region()
    check_small_formats()
    check_refused()
    check_remarked()
    check_sources()
    print("%d real files, %d failures" % (real, len(failures)))
    if failures:
        return 1
    if not real:
        print("no real files under EMDTOOLS_TEST_DATA: only made ones were tested")
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
