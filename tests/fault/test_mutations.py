#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Damaged small files through emdrepack: it says no, or what it writes is what HDF5 reads of the damaged file.

  test_mutations.py [--runs N | --seconds N] [--seed N] [--keep DIR] [FILE...]

Files that h5py makes, of many kinds, and those of the test data that are small are damaged in turn: bits
flipped, bytes set, blocks zeroed or repeated, stored chunks swapped, the end cut off; anywhere, and where
their structure lies. Each goes through emdrepack with one codec after the other. Then

- exit 0: the output equals what h5py reads of the damaged file, object by object (deepdiff.py); where
  h5py cannot read that, it cannot read the output either, for what is copied as it is stored;
- else there is a message, and neither an output nor a temporary file;
- emdrepack --check calls no file sound that h5py cannot read;
- nothing crashes or hangs.
"""

import argparse
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np

import faultlib as fl

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import deepdiff  # noqa: E402

CODECS = (None, "auto", "blosc", "zstd", "gzip", "bitshuffle", "edc", "none")
LARGEST = 60000
SAME, DIFFERENT, SOURCE_UNREADABLE, OUTPUT_UNREADABLE, LIMIT = range(5)


def make_files():
    """Small files of several formats and all storages; their names."""
    names = []
    rng = np.random.default_rng(5)
    for libver in ("earliest", "v108", "latest"):
        name = f"made_{libver}.h5"
        names.append(name)
        with h5py.File(name, "w", libver=(libver, "latest")) as f:
            g = f.create_group("Data/Image/a1")
            g.create_dataset("Data", data=rng.poisson(2, (16, 16, 9)).astype("u2"), chunks=(16, 16, 2),
                             compression="gzip")
            g.create_dataset("Metadata", data=rng.integers(0, 99, (300, 4), "u1"), chunks=(300, 1))
            f.create_dataset("sum", data=rng.poisson(9, (40, 60)).astype("i4"), chunks=(20, 20),
                             shuffle=True, fletcher32=True, maxshape=(None, None))
            f.create_dataset("grow", data=np.arange(3000, dtype="f4").reshape(30, 100),
                             chunks=(1, 100), maxshape=(None, 100), compression=1)
            f.create_dataset("flat", data=np.arange(20000, dtype="<f8").reshape(100, 200)[:20])
            f.create_dataset("bits", data=rng.integers(0, 200, (8, 64)), chunks=(4, 64),
                             scaleoffset=0)
            f.create_dataset("words", data=[b"a", b"bb", b""] * 5, dtype=h5py.string_dtype())
            f.create_dataset("pairs", data=np.zeros(7, [("x", "i2"), ("y", ">f8", (2,))]))
            f["words"].attrs["list"] = np.array(["x", "yy"], dtype=h5py.string_dtype())
            f["sum"].attrs["ref"] = f["words"].ref
            f["alias"] = f["sum"]
            f["soft"] = h5py.SoftLink("/nowhere")
            f["type"] = np.dtype("u4")
            for i in range(12):
                g.attrs[f"a{i}"] = i
    with h5py.File("made_many.h5", "w") as f:
        for i in range(40):
            f.create_dataset(f"g{i % 5}/d{i}", data=np.full((4,), i), chunks=(2,) if i % 2 else None)
    return names + ["made_many.h5"]


def chunks_of(name):
    """Where stored chunks lie: (offset, size)."""
    found = []

    def look(_, node):
        if isinstance(node, h5py.Dataset) and node.chunks and not node.is_virtual:
            for i in range(min(node.id.get_num_chunks(), 200)):
                info = node.id.get_chunk_info(i)
                found.append((info.byte_offset, info.size))

    try:
        with h5py.File(name) as f:
            f.visititems(look)
    except (OSError, RuntimeError, ValueError):
        pass
    return found


def mutate(data, chunks, rng):
    """A damaged copy, and how it was damaged."""
    data = bytearray(data)
    kind = rng.choice(("bits", "bits", "structure", "structure", "structure", "zero", "repeat", "cut", "swap",
                       "number"))
    in_chunk = [False] * len(data) if kind == "structure" else None
    if kind == "structure":
        for at, n in chunks:
            in_chunk[at:at + n] = [True] * len(in_chunk[at:at + n])
    if kind in ("bits", "structure"):
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            for _ in range(2000 if kind == "structure" else 0):
                if data[at] and not in_chunk[at]:
                    break
                at = rng.randrange(len(data))
            data[at] = rng.choice((data[at] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 255))
    elif kind == "zero":
        n, at = rng.choice((4, 16, 64, 512)), rng.randrange(len(data))
        data[at:at + n] = bytes(len(data[at:at + n]))
    elif kind == "repeat":
        n, at, other = rng.choice((8, 40, 256)), rng.randrange(len(data)), rng.randrange(len(data))
        piece = data[at:at + n]
        data[other:other + len(piece)] = piece[:len(data) - other]
    elif kind == "cut":
        data = data[:rng.randrange(1, len(data))]
    elif kind == "number":
        at = rng.randrange(len(data)) // 8 * 8
        number = rng.choice((0, 1, 2**32, 2**40, 2**63, 2**64 - 1, len(data), len(data) - 8))
        data[at:at + 8] = number.to_bytes(8, "little")[:len(data) - at]
    elif chunks:
        (a, n), (b, m) = rng.choice(chunks), rng.choice(chunks)
        one, two = bytes(data[a:a + n]), bytes(data[b:b + m])
        data[a:a + min(n, m)] = two[:min(n, m)]
        data[b:b + min(n, m)] = one[:min(n, m)]
    return bytes(data), kind


def readable(name):
    """Whether HDF5 reads every value for h5py; types that NumPy does not have do not count."""

    def take(get):
        try:
            get()
        except (OSError, RuntimeError, KeyError):
            raise
        except Exception:  # what h5py cannot make of a value that was read
            pass

    def look(_, node):
        for attribute in node.attrs:
            take(lambda attribute=attribute: node.attrs[attribute])
        if isinstance(node, h5py.Dataset) and not node.is_virtual:
            take(lambda: node[()])

    try:
        with h5py.File(name) as f:
            look("/", f)
            f.visititems(look)
        return True
    except Exception:
        return False


def in_child(seconds, work, *arguments):
    """What a function returns in a process of its own; LIMIT where that dies or hangs."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        sys.stdout.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        try:
            os._exit(work(*arguments))
        finally:
            os._exit(LIMIT)
    _, end = os.waitpid(child, 0)
    return os.WEXITSTATUS(end) if os.WIFEXITED(end) else LIMIT


def judge(source, output):
    try:
        found = deepdiff.compare(source, output, storage_may_differ=True,
                                 ignore_root_attributes=["emdrepack", "emdrepack.provenance"],
                                 any_link_count=True)
        if found:
            with open("difference.txt", "w", encoding="utf-8", errors="backslashreplace") as f:
                f.write("\n".join(map(str, found))[:600])
            return DIFFERENT
        return SAME
    except Exception as error:
        with open("difference.txt", "w", encoding="utf-8", errors="backslashreplace") as f:
            f.write(str(error)[:600])
    if readable(source):
        return OUTPUT_UNREADABLE
    return SOURCE_UNREADABLE if not readable(output) else DIFFERENT


def run_tool(*arguments):
    run = subprocess.run([fl.EMDREPACK, *arguments], capture_output=True, timeout=600,
                         check=False)  # HDF5 has 60 s of processor time over one object
    return run.returncode, (run.stdout + run.stderr).decode(errors="replace")


def one_run(codec):
    """What is wrong with how damaged.h5 was treated, or None; and what became of it."""
    for old in glob.glob("out.h5*") + ["difference.txt"]:
        if os.path.exists(old):
            os.remove(old)
    try:
        code, said = run_tool("-q", *(("-c", codec) if codec else ()), "damaged.h5", "out.h5")
    except subprocess.TimeoutExpired:
        return "emdrepack hangs", "hang"
    left = glob.glob("out.h5*") + glob.glob(".out.h5*")
    if code not in (0, 1, 3):
        return f"exit {code}: {said}", "crash"
    if code != 0:
        if left or not said.strip():
            return f"exit {code}, left {left}: {said}", "refused"
        outcome = "refused"
    else:
        verdict = in_child(60, judge, "damaged.h5", "out.h5")
        if verdict == DIFFERENT and "to objects that are gone" in said:
            verdict = SAME  # null, which was said
        if verdict in (DIFFERENT, OUTPUT_UNREADABLE) or left != ["out.h5"]:
            text = ""
            if os.path.exists("difference.txt"):
                with open("difference.txt", encoding="utf-8") as f:
                    text = f.read()
            return f"exit 0, left {left}, verdict {verdict}: {said} {text}", "copied"
        outcome = ("copied", "", "copied, h5py reads neither", "", "copied, h5py dies")[verdict]
    try:
        code, said = run_tool("-q", "--check", "damaged.h5")
    except subprocess.TimeoutExpired:
        return "--check hangs", "hang"
    if code not in (0, 1, 3):
        return f"--check: exit {code}: {said}", "crash"
    if code == 0 and "not checked" not in said and \
            in_child(60, lambda: SAME if readable("damaged.h5") else DIFFERENT) == DIFFERENT:
        return f"--check calls it sound, h5py cannot read it: {said}", outcome
    return None, outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0, help="instead of --runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this run alone")
    parser.add_argument("--keep", help="folder for the files that fail")
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    keep = os.path.abspath(args.keep) if args.keep else None
    files = [os.path.abspath(f) for f in args.files]
    with fl.tempfile.TemporaryDirectory(prefix="mutations.", dir=".") as folder:
        os.chdir(folder)
        try:
            return go(args, files, keep)
        finally:
            os.chdir("..")


def go(args, files, keep):
    if not files:
        files = make_files()
        data = os.environ.get("EMDTOOLS_TEST_DATA", "")
        real = sorted(glob.glob(os.path.join(data, "cases", "hdf5", "**", "*.h*5"), recursive=True))
        if args.seconds:  # the quick run does not depend on what other data there are
            files += [f for f in real if os.path.getsize(f) < LARGEST]
    originals = []
    for name in files:
        with open(name, "rb") as f:
            originals.append((name, f.read(), chunks_of(name)))
    counts, failures, run = {}, [], 0
    end = time.monotonic() + args.seconds
    while time.monotonic() < end if args.seconds else run < args.runs:
        if args.only is not None:
            run = args.only
        rng = random.Random(args.seed * 1000003 + run)
        name, data, chunks = originals[run % len(originals)]
        damaged, kind = mutate(data, chunks, rng)
        with open("damaged.h5", "wb") as f:
            f.write(damaged)
        codec = CODECS[(run // len(originals)) % len(CODECS)]
        wrong, outcome = one_run(codec)
        counts[outcome] = counts.get(outcome, 0) + 1
        if wrong:
            failures.append(f"run {run} ({name}, {kind}, -c {codec}): {wrong}")
            if keep:
                os.makedirs(keep, exist_ok=True)
                shutil.copy("damaged.h5", os.path.join(keep, f"run{run}.h5"))
        if args.only is not None:
            break
        run += 1
    return fl.tell(counts, failures)


if __name__ == "__main__":
    sys.exit(main())
