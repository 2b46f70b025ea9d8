#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Two builds of emdtools against each other: is the new one slower anywhere?

    compare.py OLD NEW     build folders, such as that of the last release and 'build'

Short jobs (repacking large and small frames, reading them through h5py, checking a file) run in
interleaved pairs, each time in the other order. For each job: CPU time and wall time of the new build in
units of the old one, as the median of the pairs' own ratios and the interval that it lies in with a
confidence of 90 %; the sizes of the outputs likewise. CPU time is what tells on a machine that is not
idle. Exit status 1: the new build is slower by more than --tolerance beyond doubt, or an output is larger.
"""

import os
import sys

import benchlib
from benchlib import Run

READ = ("import sys,h5py\n"
        "with h5py.File(sys.argv[1]) as f:\n"
        "    d = []\n"
        "    f.visititems(lambda n, o: d.append(o) if getattr(o, 'ndim', 0) == 3 else None)\n"
        "    for i in range(d[0].shape[2]):\n"
        "        d[0][:, :, i]\n")


def arguments():
    p = benchlib.parser(__doc__, rounds=7)
    p.add_argument("old", metavar="OLD")
    p.add_argument("new", metavar="NEW")
    p.add_argument("--movies", default="1024x40,128x400", metavar="SIDExFRAMES,...")
    p.add_argument("--codecs", default="edc,auto,gzip", metavar="CODEC[:LEVEL],...")
    p.add_argument("--threads", "-j", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--tolerance", type=float, default=3, metavar="PERCENT")
    p.add_argument("--memory", default="/dev/shm", help="folder for the files (%(default)s)")
    args = p.parse_args()
    args.build = args.new
    return args


class Side:
    """One of the two builds."""

    def __init__(self, args, which, folder):
        self.name = which
        self.build = getattr(args, which)
        self.tool = os.path.join(self.build, "bin", "emdrepack")
        if not os.access(self.tool, os.X_OK):
            sys.exit(f"compare.py: {self.tool} is not built")
        self.env = dict(os.environ, HDF5_PLUGIN_PATH=os.path.join(self.build, "plugins"))
        self.folder = folder

    def repack(self, source, codec, threads, keep=None):
        target = keep or os.path.join(self.folder, f"{self.name}.emd")
        argv = [self.tool, "-q", "-f", "-c", codec, "-j", str(threads), source, target]
        return Run(self.name, argv, output=target, env=self.env)

    def read(self, path):
        return Run(self.name, [benchlib.PYTHON, "-c", READ, path], env=self.env)

    def check(self, path):
        return Run(self.name, [self.tool, "-q", "--check", path], env=self.env)


def jobs(args, sides, folder):
    """(name, the two runs) of each job."""
    emdsim = benchlib.emd_tool(args, "emdsim")
    for movie in args.movies.split(","):
        side, frames = movie.split("x")
        source = os.path.join(folder, f"{movie}.emd")
        if not os.path.exists(source):
            Run("", [emdsim, "-q", "--size", side, "--frames", frames, source]).measure()
        for codec in args.codecs.split(","):
            yield f"{movie} {codec}", [s.repack(source, codec, args.threads) for s in sides]
        packed = os.path.join(folder, f"{movie}.edc.emd")
        sides[0].repack(source, "edc", args.threads, packed).measure()
        yield f"{movie} edc, h5py", [s.read(packed) for s in sides]
        yield f"{movie} edc, --check", [s.check(packed) for s in sides]


def interval_text(base, other, what):
    interval = benchlib.paired_interval(base, other, what)
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-"


def main():
    args = arguments()
    table = benchlib.Table("job", "CPU s", "CPU new/old", "90 %", "wall new/old", "90 %", "size new/old")
    worse = []
    with benchlib.scratch_folder(args, args.memory) as folder:
        sides = [Side(args, which, folder) for which in ("old", "new")]
        for name, runs in jobs(args, sides, folder):
            r = benchlib.interleave(runs, args.rounds, warmup=True, rotate=True)
            if len(r) < 2:
                worse.append(f"{name}: failed")
                continue
            old, new = r["old"], r["new"]
            size = new.size / old.size if old.size else None
            # how many times faster 'old' is: the time of 'new' in its units
            table.add(name, new.cpu, f"{benchlib.paired_ratio(new, old, 'cpu'):.3f}",
                      interval_text(new, old, "cpu"), f"{benchlib.paired_ratio(new, old):.3f}",
                      interval_text(new, old, "wall"), f"{size:.5f}" if size else None)
            sure = benchlib.paired_interval(new, old, "cpu")
            if sure and sure[0] > 1 + args.tolerance / 100:
                worse.append(f"{name}: CPU time {100 * (sure[0] - 1):.0f} % more at least")
            # the record of where a file came from may differ by a few bytes
            if size and new.size > old.size + 64:
                worse.append(f"{name}: {new.size - old.size} bytes more")
    benchlib.record("two builds", table, args,
                    [f"{args.rounds} interleaved pairs, -j {args.threads}, in {args.memory}",
                     f"old: {os.path.abspath(args.old)}", f"new: {os.path.abspath(args.new)}"])
    for line in worse:
        print(f"worse: {line}", file=sys.stderr)
    sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
