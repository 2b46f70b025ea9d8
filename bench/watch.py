#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""What emdwatch costs when nothing happens, and what --frame-stats costs while it works.

    watch.py [idle] [stats]

idle   --files movies that are all done lie in ten folders: processor time of emdwatch and its
       processes a poll. The movies are links to one, which to emdwatch are as good as any.
stats  emdrepack with and without --frame-stats in interleaved rounds.
"""

import os
import subprocess
import sys
import time

import benchlib
from benchlib import Run


def arguments():
    p = benchlib.parser(__doc__)
    p.add_argument("modes", nargs="*", default=["idle", "stats"], metavar="MODE")
    p.add_argument("--files", type=int, default=10000)
    p.add_argument("--polls", type=int, default=40, help="seconds, and polls, of watching")
    p.add_argument("--movies", default="1024x160,2048x80", metavar="SIDExFRAMES,...")
    p.add_argument("--codecs", default="auto,gzip")
    args = p.parse_args()
    if not set(args.modes) <= {"idle", "stats"}:
        p.error("a mode is idle or stats")
    return args


def simulate(args, path, side, frames):
    subprocess.run([benchlib.emd_tool(args, "emdsim"), "-q", "-f", "--size", str(side), "--frames",
                    str(frames), path], check=True)
    return path


def cpu_seconds(pid):
    """Of a process and all children that it has waited for."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_idle(args, folder):
    emdwatch = benchlib.emd_tool(args, "emdwatch")
    raw, out = os.path.join(folder, "raw"), os.path.join(folder, "out")
    movie = simulate(args, os.path.join(folder, "movie.emd"), 64, 2)
    packed = os.path.join(folder, "packed.emd")
    subprocess.run([benchlib.emd_tool(args, "emdrepack"), "-q", "-f", movie, packed], check=True)
    for i in range(args.files):
        for top, file in ((raw, movie), (out, packed)):
            name = os.path.join(top, str(i % 10), f"{i}.emd")
            os.makedirs(os.path.dirname(name), exist_ok=True)
            os.link(file, name)
    table = benchlib.Table("10 folders", "CPU ms a poll", "resident MiB", "first look s")
    begun = time.monotonic()
    node = subprocess.Popen([emdwatch, "--poll", "1", "--settle", "1", raw, out],
                            stdout=subprocess.PIPE, text=True)
    try:
        # the first look asks each output what it is: one process for all, longer than any scan
        quiet, seen = 0, set()
        while quiet < 3:
            time.sleep(2)
            with open(f"/proc/{node.pid}/task/{node.pid}/children", encoding="ascii") as f:
                alive = set(f.read().split())
            quiet = 0 if alive & seen else quiet + 1
            seen = alive
        first = time.monotonic() - begun
        before = cpu_seconds(node.pid)
        time.sleep(args.polls)
        used = cpu_seconds(node.pid) - before
        table.add(f"{args.files} files", 1000 * used / args.polls, resident(node.pid) / 2**20, first)
    finally:
        node.terminate()
        said = node.communicate()[0]
    if " done " in said:
        sys.exit(f"watch.py: it was not idle: {said[:300]}")
    benchlib.record("watch: an idle poll", table, args,
                    [f"a poll a second for {args.polls} s; local disk, page cache warm"])


def measure_stats(args, folder):
    emdrepack = benchlib.emd_tool(args, "emdrepack")
    for movie in args.movies.split(","):
        side, frames = (int(n) for n in movie.split("x"))
        source = simulate(args, os.path.join(folder, f"{movie}.emd"), side, frames)
        benchlib.warm(source)
        target = os.path.join(folder, "packed.emd")
        runs = []
        for codec in args.codecs.split(","):
            for options in ((), ("--frame-stats",)):
                runs.append(Run(" ".join((codec, *options)),
                                [emdrepack, "-q", "-f", "-c", codec, *options, source, target],
                                output=target))
        results = benchlib.interleave(runs, args.rounds, warmup=True)
        table = benchlib.Table("contestant", "wall s", "CPU s", "wall, with / without",
                               "CPU, with / without", "spread")
        for codec in args.codecs.split(","):
            plain, stats = results[codec], results[f"{codec} --frame-stats"]
            table.add(plain.name, plain.wall, plain.cpu, None, None, f"{100 * plain.spread:.0f} %")
            table.add(stats.name, stats.wall, stats.cpu, benchlib.paired_ratio(stats, plain),
                      benchlib.paired_ratio(stats, plain, "cpu"), f"{100 * stats.spread:.0f} %")
        benchlib.record(f"watch: --frame-stats, {movie} int16", table, args,
                        [f"{args.rounds} interleaved rounds, page cache warm"])


def main():
    args = arguments()
    for mode in args.modes:
        with benchlib.scratch_folder(args) as folder:
            {"idle": measure_idle, "stats": measure_stats}[mode](args, folder)


if __name__ == "__main__":
    main()
