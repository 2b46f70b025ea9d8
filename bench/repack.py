#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdrepack against what it replaces, on simulated movies.

    repack.py [codecs]     every codec against the frame-by-frame h5py script (repack_h5py.py),
                           h5repack (--slow), cp with fsync and zstd -1 -T2
    repack.py layouts      contiguous, tiled and row-wise sources under memory budgets, against the
                           same movie in Velox's own layout
    repack.py checksum     the codecs that get fletcher32 with it and without
    repack.py threads      one thread against two, in a folder of --memory (tmpfs)
    repack.py verify       what comparing the finished file costs of a repack, and --compare against
                           reading both files, in a folder of --memory (tmpfs)
    repack.py hash         what the content hash and the verification cost of a repack, in CPU time of
                           paired runs, in a folder of --memory (tmpfs)

The movies are made by emdsim once and read into the page cache. All contestants run in interleaved
rounds; ratios are medians of the rounds' own ratios. emdrepack's times include its verification (as
named) and its fsync, those of cp and zstd an fsync; the script and h5repack do none.
"""

import os
import statistics
import subprocess
import time

import benchlib
from benchlib import Run

CODECS = ["auto", "edc", "blosc", "zstd", "bitshuffle", "gzip", "none"]
SCRIPT = os.path.join(benchlib.BENCH, "repack_h5py.py")
UNLIMITED = "1024G"


def arguments():
    p = benchlib.parser(__doc__)
    p.add_argument("mode", nargs="?", default="codecs",
                   choices=["codecs", "layouts", "checksum", "threads", "verify", "hash"])
    p.add_argument("--movies", default="1024x160,2048x80", metavar="SIDExFRAMES,...")
    p.add_argument("--codecs", default=",".join(CODECS), metavar="CODEC[:LEVEL],...")
    p.add_argument("--layouts", default="contiguous,tile,rows")
    p.add_argument("--budgets", default="128M,256M,512M,unlimited", metavar="SIZE,...")
    p.add_argument("--threads", "-j", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--memory", default="/dev/shm", help="folder on tmpfs, for threads")
    p.add_argument("--slow", action="store_true", help="h5repack as well, one round")
    args = p.parse_args()
    args.codecs = args.codecs.split(",")
    return args


class Bench:
    def __init__(self, args, folder):
        self.args = args
        self.folder = folder
        self.emdsim = benchlib.emd_tool(args, "emdsim")
        self.emdrepack = benchlib.emd_tool(args, "emdrepack")
        self.env = benchlib.plugin_environment(args)
        self.notes = []

    def movie(self, side, frames, layout="frame"):
        """Path of a simulated movie, made if it is not there, and in the page cache."""
        path = os.path.join(self.folder, f"{side}x{frames}.{layout}.emd")
        if not os.path.exists(path):
            subprocess.run([self.emdsim, "-q", "--size", str(side), "--frames", str(frames),
                            "--layout", layout, path], check=True)
        benchlib.warm(path)
        return path

    def output(self, name):
        return os.path.join(self.folder, name)

    def repack(self, name, source, codec, *options):
        """A run of emdrepack. One output for all: a round removes it before it starts."""
        target = self.output("out.emd")
        argv = [self.emdrepack, "-q", "-f", "-c", codec, "-j", self.args.threads, *options, source,
                target]
        return Run(name, map(str, argv), output=target, env=self.env)

    def known_codecs(self):
        """Those of --codecs that this emdrepack has; the others are noted."""
        probe = self.output("probe.emd")
        subprocess.run([self.emdsim, "-q", "-f", "--size", "64", "--frames", "2", probe], check=True)
        known = []
        for codec in self.args.codecs:
            try:
                self.repack(codec, probe, codec).measure()
                known.append(codec)
            except benchlib.BenchError as e:
                self.notes.append(f"left out: emdrepack -c {codec} ({str(e).splitlines()[0][-120:]})")
        os.unlink(probe)
        return known

    def measure(self, runs, slow=()):
        results = benchlib.interleave(runs, self.args.rounds, slow)
        for run in runs:
            if run.output and os.path.exists(run.output):
                os.unlink(run.output)
        return results


def add_rows(table, results, raw, faster=None, slower=None):
    """Beside contestants whose names are given: how many times faster, and how many times slower."""
    for name, r in results.items():
        ratios = []
        if faster:
            ratios.append(benchlib.paired_ratio(results[faster], r) if faster in results else None)
        if slower:
            ratios.append(benchlib.paired_ratio(r, results[slower]) if slower in results else None)
        table.add(name, r.wall, raw / r.wall / 1e6, r.cpu, r.rss / 2**20, r.size / 1e6,
                  raw / r.size, *ratios, f"{100 * r.spread:.0f} %")


def columns(*ratios):
    return ("contestant", "wall s", "MB/s", "CPU s", "peak MiB", "size MB", "raw/size", *ratios,
            "spread")


def compare_codecs(bench, side, frames):
    source = bench.movie(side, frames)
    raw = 2 * side * side * frames
    script, h5, cp, zst = (bench.output(n) for n in ("script.emd", "h5.emd", "cp.emd", "out.zst"))
    runs = [Run("h5py script, zlib 4", [benchlib.PYTHON, SCRIPT, source, script], output=script)]
    for codec in bench.known_codecs():
        runs.append(bench.repack(f"emdrepack {codec}", source, codec))
        if codec == "gzip":
            runs.append(bench.repack("emdrepack gzip, no verify", source, codec, "--verify=none"))
    runs.append(Run("cp + fsync", ["cp", source, cp], output=cp, sync=True))
    runs.append(Run("zstd -1 -T2 + fsync", ["zstd", "-q", "-f", "-1", "-T2", source, "-o", zst],
                    output=zst, sync=True))
    slow = []
    if bench.args.slow:
        h5repack = ["h5repack", "-f", "SHUF", "-f", "GZIP=4", source, h5]
        frame = dict(os.environ, H5TOOLS_BUFSIZE=str(max(1, 2 * side * side >> 20)))  # MiB
        runs.append(Run("h5repack", h5repack, output=h5))
        runs.append(Run("h5repack, buffer of a frame", h5repack, output=h5, env=frame))
        slow = ["h5repack", "h5repack, buffer of a frame"]
    results = bench.measure(runs, slow)
    table = benchlib.Table(*columns("x faster", "x cp"))
    add_rows(table, results, raw, "h5py script, zlib 4", "cp + fsync")
    benchlib.record(
        f"repack codecs: {side} x {side} x {frames} int16", table, bench.args,
        [f"{bench.args.rounds} interleaved rounds, page cache warm, -j {bench.args.threads}; "
         "x faster: median of the rounds' ratios to the script; x cp: the time in units of cp + fsync",
         *(["h5repack: one round"] if slow else []), *bench.notes])


def compare_layouts(bench, side, frames):
    raw = 2 * side * side * frames
    codec = "gzip"
    base = "frame, unlimited"
    runs = [bench.repack(base, bench.movie(side, frames), codec, "-m", UNLIMITED)]
    for layout in bench.args.layouts.split(","):
        source = bench.movie(side, frames, layout)
        for budget in bench.args.budgets.split(","):
            size = UNLIMITED if budget == "unlimited" else budget
            runs.append(bench.repack(f"{layout}, {budget}", source, codec, "-m", size))
    slow = []
    if bench.args.slow:
        source = bench.movie(side, frames, "contiguous")
        script, h5 = bench.output("script.emd"), bench.output("h5.emd")
        runs.append(Run("contiguous, h5py script", [benchlib.PYTHON, SCRIPT, source, script],
                        output=script))
        stack = stack_path(source)  # named in each: global filters would leave it as it is
        runs.append(Run("contiguous, h5repack",
                        ["h5repack", "-f", f"{stack}:SHUF", "-f", f"{stack}:GZIP=4", "-l",
                         f"{stack}:CHUNK={side}x{side}x1", source, h5], output=h5))
        slow = ["contiguous, h5py script", "contiguous, h5repack"]
    results = bench.measure(runs, slow)
    table = benchlib.Table(*columns("x slower"))
    add_rows(table, results, raw, slower=base)
    benchlib.record(
        f"repack layouts: {side} x {side} x {frames} int16, codec {codec}", table, bench.args,
        [f"{bench.args.rounds} interleaved rounds, page cache warm, -j {bench.args.threads}; "
         "x slower: median of the rounds' ratios to the frame layout"])


def stack_path(source):
    """/Data/Image/ID/Data, asked of h5ls so that this process stays small."""
    text = subprocess.run(["h5ls", "-r", source], stdout=subprocess.PIPE, check=True).stdout.decode()
    return next(line.split()[0] for line in text.splitlines()
                if line.startswith("/Data/Image/") and line.split()[0].endswith("/Data"))


def compare_checksum(bench, side, frames):
    raw = 2 * side * side * frames
    source = bench.movie(side, frames)
    runs = [bench.repack(f"{codec}, {what}", source, codec, f"--checksum={when}")
            for codec in ("auto", "blosc", "bitshuffle")
            for when, what in (("never", "without"), ("auto", "fletcher32"))]
    results = bench.measure(runs)
    table = benchlib.Table(*columns("x slower"))
    for codec in ("auto", "blosc", "bitshuffle"):
        pair = {name: r for name, r in results.items() if name.startswith(codec + ",")}
        add_rows(table, pair, raw, slower=f"{codec}, without")
    benchlib.record(f"repack checksum: {side} x {side} x {frames} int16", table, bench.args,
                    [f"{bench.args.rounds} interleaved rounds, page cache warm, "
                     f"-j {bench.args.threads}"])


def compare_threads(bench, side, frames):
    raw = 2 * side * side * frames
    source = bench.movie(side, frames)
    for codec in bench.known_codecs():
        runs = []
        for threads in sorted({1, bench.args.threads}):
            target = bench.output("out.emd")
            runs.append(Run(f"{codec} -j {threads}",
                            [bench.emdrepack, "-q", "-f", "-c", codec, "-j", str(threads), source,
                             target], output=target, env=bench.env))
        results = bench.measure(runs)
        table = benchlib.Table(*columns("x faster"))
        add_rows(table, results, raw, f"{codec} -j 1")
        benchlib.record(f"repack threads: {side} x {side} x {frames} int16, codec {codec}", table,
                        bench.args, [f"{bench.args.rounds} interleaved rounds on tmpfs"])


def timed(argv, note, env):
    """Seconds of a run in all, and from the line that contains 'note' to its end."""
    begun, noted = time.monotonic(), None
    with subprocess.Popen(argv, stderr=subprocess.PIPE, env=env, text=True) as run:
        for line in run.stderr:
            if note in line:
                noted = time.monotonic()
    if run.returncode or noted is None:
        raise benchlib.BenchError(f"{argv}: exit {run.returncode}, or '{note}' was not said")
    end = time.monotonic()
    return end - begun, end - noted


def compare_verify(bench, side, frames):
    source, target = bench.movie(side, frames), bench.output("out.emd")
    raw = 2 * side * side * frames
    table = benchlib.Table("codec", "wall s", "finished file s", "share %")
    for codec in ("auto", "gzip", "edc"):
        argv = [bench.emdrepack, "-v", "-f", "-c", codec, "-j", str(bench.args.threads), source, target]
        rounds = [timed(argv, "comparing the output", bench.env) for _ in range(bench.args.rounds)]
        wall, part = (statistics.median(r[i] for r in rounds) for i in (0, 1))
        table.add(codec, wall, f"{part:.4f}",
                  f"{100 * statistics.median(p / w for w, p in rounds):.2f}")
    benchlib.record(
        f"repack verify: {side} x {side} x {frames} int16", table, bench.args,
        [f"{bench.args.rounds} rounds on tmpfs; finished file: from its comparison to the end of the "
         "program, so that commit and exit are in it; share: median of the rounds' own"])
    bench.repack("target", source, "auto").measure()
    runs = [Run("cat both", ["cat", source, target]),
            Run("emdrepack --check both", [bench.emdrepack, "-q", "--check", source, target]),
            Run("emdrepack --compare", [bench.emdrepack, "-q", "-j", str(bench.args.threads),
                                        "--compare", source, target])]
    results = benchlib.interleave(runs, bench.args.rounds, ())
    os.unlink(target)
    table = benchlib.Table("contestant", "wall s", "MB/s", "CPU s", "peak MiB", "x --check")
    for name, r in results.items():
        table.add(name, r.wall, raw / r.wall / 1e6, r.cpu, r.rss / 2**20,
                  benchlib.paired_ratio(r, results["emdrepack --check both"]))
    benchlib.record(f"repack compare: {side} x {side} x {frames} int16 and its copy", table, bench.args,
                    [f"{bench.args.rounds} interleaved rounds on tmpfs"])


def compare_hash(bench, side, frames):
    source = bench.movie(side, frames)
    raw = 2 * side * side * frames
    variants = (("default", ()), ("no hash", ("--no-provenance",)), ("no verification", ("--verify=none",)),
                ("neither", ("--no-provenance", "--verify=none")))
    for codec in ("auto", "edc", "gzip"):
        runs = [bench.repack(name, source, codec, *options) for name, options in variants]
        results = bench.measure(runs)
        table = benchlib.Table("contestant", "wall s", "CPU s", "x CPU of default")
        for name, r in results.items():
            table.add(name, r.wall, r.cpu, f"{benchlib.paired_ratio(r, results['default'], 'cpu'):.4f}")
        benchlib.record(f"repack hash: {side} x {side} x {frames} int16, codec {codec}", table, bench.args,
                        [f"{bench.args.rounds} interleaved rounds on tmpfs, -j {bench.args.threads}"])
    hashing = [Run("emdinfo --hash", [benchlib.emd_tool(bench.args, "emdinfo"), "--hash", source], env=bench.env),
               Run("cat", ["cat", source])]
    results = benchlib.interleave(hashing, bench.args.rounds, ())
    table = benchlib.Table("contestant", "wall s", "MB/s", "CPU s", "peak MiB")
    for name, r in results.items():
        table.add(name, r.wall, raw / r.wall / 1e6, r.cpu, r.rss / 2**20)
    benchlib.record(f"emdinfo --hash: {side} x {side} x {frames} int16", table, bench.args,
                    [f"{bench.args.rounds} interleaved rounds on tmpfs"])


def main():
    args = arguments()
    compare = {"codecs": compare_codecs, "layouts": compare_layouts, "checksum": compare_checksum,
               "threads": compare_threads, "verify": compare_verify, "hash": compare_hash}
    with benchlib.scratch_folder(args, args.memory if args.mode in ("threads", "verify", "hash") else None) as folder:
        for movie in args.movies.split(","):
            side, frames = (int(n) for n in movie.split("x"))
            compare[args.mode](Bench(args, folder), side, frames)


if __name__ == "__main__":
    main()
