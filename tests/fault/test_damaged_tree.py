#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Damaged files through the tree copy: an error, or a copy that equals what HDF5 reads of the damaged
file (but for counts of links, which are counted anew); no crash, no hang, no unbounded memory.

  test_damaged_tree.py [--runs N] [--seed N] [--file FILE]... [--keep DIR]

Three kinds of damage in turn: 1 to 4 bytes flipped anywhere, bytes flipped where the file has
structure, the end cut off. The copy is rehearsed first, as emdrepack does it: HDF5 itself may crash or
hang on a damaged file.
"""
import argparse
import glob
import os
import random
import resource
import shutil
import signal
import subprocess
import sys

import faultlib as fl

HERE = os.path.dirname(os.path.abspath(__file__))
INTEROP = os.path.join(HERE, "..", "interop")
TREECOPY = os.path.join(os.environ["EMDTOOLS_BIN"], "treecopy")
MEMORY = 1 << 30
SECONDS = 20


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if "asan" not in os.environ.get("EMDTOOLS_BIN", ""):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY, MEMORY))


def damage(data, rng, kind):
    data = bytearray(data)
    if kind == 2:
        return bytes(data[:rng.randrange(len(data))])
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        for _ in range(1000 if kind == 1 else 0):
            if data[at]:
                break
            at = rng.randrange(len(data))
        data[at] = rng.choice([data[at] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 0xff])
    return bytes(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--compare", type=int, default=1, metavar="K",
                        help="compare every K-th copy (default 1: all; 0: none)")
    parser.add_argument("--no-rehearsal", dest="rehearse", action="store_false",
                        help="copy at once: shows what HDF5 makes of such files")
    parser.add_argument("--keep", help="folder for the files that HDF5 dies of")
    args = parser.parse_args()

    files = list(args.file)
    if not files:
        for libver in ("earliest", "latest"):
            out = "small_%s.h5" % libver
            subprocess.run([sys.executable, os.path.join(INTEROP, "make_nasty.py"), out, "--small",
                            "--libver", libver, "--user-block", "0"], check=True)
            files.append(out)
        real = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "velox")
        files += [f for f in sorted(glob.glob(os.path.join(real, "*.emd")))
                  if os.path.getsize(f) < 250000]
    originals = [open(f, "rb").read() for f in files]
    rng = random.Random(args.seed)
    counts, compared = {}, 0
    failures = []
    for run in range(args.runs):
        which = run % len(files)
        data = damage(originals[which], rng, run // len(files) % 3)
        with open("damaged.h5", "wb") as f:
            f.write(data)
        if os.path.exists("copy.h5"):
            os.remove("copy.h5")
        try:
            result = subprocess.run([TREECOPY] + (["--rehearse"] if args.rehearse else []) +
                                    ["damaged.h5", "copy.h5"], stderr=subprocess.PIPE,
                                    timeout=SECONDS, preexec_fn=limits)
            code = result.returncode
        except subprocess.TimeoutExpired:
            code = "hang"
        if code in (1, 3):
            outcome = "error"
            if not result.stderr.strip():
                failures.append("run %d: no message" % run)
        elif code == 0:
            outcome = "copied"
            compared += 1
            if not args.compare or compared % args.compare:
                counts[outcome] = counts.get(outcome, 0) + 1
                continue
            try:
                diff = subprocess.run([sys.executable, os.path.join(INTEROP, "deepdiff.py"),
                                       "--any-link-count", "damaged.h5", "copy.h5"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                                      preexec_fn=limits)
                if diff.returncode == 1:
                    failures.append("run %d: %s" % (run, diff.stdout.decode()[:500]))
                elif diff.returncode != 0:
                    outcome = "copied, h5py cannot compare"
            except subprocess.TimeoutExpired:
                outcome = "copied, h5py hangs"
        else:
            outcome = "HDF5 hangs" if code == "hang" else "dies of " + (
                signal.Signals(-code).name if code < 0 else str(code))
            if args.rehearse:
                failures.append("run %d (%s): %s" % (run, files[which], outcome))
            if args.keep:
                shutil.copy("damaged.h5", os.path.join(args.keep, "run%d.h5" % run))
        counts[outcome] = counts.get(outcome, 0) + 1
    return fl.tell(counts, failures)


if __name__ == "__main__":
    sys.exit(main())
