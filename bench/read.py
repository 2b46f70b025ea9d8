#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Reading a simulated movie through h5py, frame by frame: as it is, and as emdrepack's codecs leave it.

One process a file and round, which reads every frame twice: as an array of its own (data[:, :, i])
and into one that is there already (read_direct), which spares h5py clearing it. Interleaved rounds,
page cache warm, best of the rounds. 'of codec': as a share of what the codec alone does with the same
frames in memory, with one thread. 'edc, 2 threads': the plugin uses two for a chunk
(EMDTOOLS_PLUGIN_THREADS).
"""

import os
import subprocess

import benchlib

READER = """
import sys, time, h5py, numpy
def stack(group):
    for item in group.values():
        found = stack(item) if isinstance(item, h5py.Group) else item
        if found is not None and found.ndim == 3 and found.size > 1 << 16:
            return found
with h5py.File(sys.argv[1], "r") as f:
    data = stack(f)
    for i in range(min(data.shape[2], int(sys.argv[2]))):
        data[:, :, i].tofile(sys.argv[3] % i)
    frames = range(0 if int(sys.argv[2]) else data.shape[2])
    array = data[:, :, :1]
    start = time.perf_counter()
    for i in frames:
        data[:, :, i]
    half = time.perf_counter()
    for i in frames:
        data.read_direct(array, numpy.s_[:, :, i:i + 1])
    end = time.perf_counter()
    print(*(data.nbytes / seconds / 1e6 for seconds in (half - start, end - half)))
"""


TWO = "edc, 2 threads"


def read(path, args, dump=0, name="", threads=1):
    env = dict(benchlib.plugin_environment(args), EMDTOOLS_PLUGIN_THREADS=str(threads))
    run = subprocess.run([benchlib.PYTHON, "-c", READER, path, str(dump), name], check=True,
                         stdout=subprocess.PIPE, text=True, env=env)
    return [float(rate) for rate in run.stdout.split()]


def main():
    parser = benchlib.parser(__doc__)
    parser.add_argument("--movie", default="2048x80", metavar="SIDExFRAMES")
    parser.add_argument("--codecs", default="none,gzip,zstd,blosc,bitshuffle,edc:1,edc",
                        metavar="CODEC[:LEVEL],...")
    args = parser.parse_args()
    side, frames = (int(n) for n in args.movie.split("x"))
    emdrepack, codecbench = (benchlib.emd_tool(args, n) for n in ("emdrepack", "codecbench"))
    best, size, codec_rate = {}, {}, {}
    with benchlib.scratch_folder(args) as folder:
        movie = os.path.join(folder, f"{args.movie}.frame.emd")
        if not os.path.exists(movie):
            subprocess.run([benchlib.emd_tool(args, "emdsim"), "-q", "--size", str(side), "--frames",
                            str(frames), movie], check=True)
        codecs = args.codecs.split(",")
        files = {c: os.path.join(folder, f"read.{c.replace(':', '-')}.emd") for c in codecs}
        for codec, path in files.items():
            subprocess.run([emdrepack, "-q", "-f", "-c", codec, movie, path], check=True,
                           env=benchlib.plugin_environment(args))
            size[codec] = os.path.getsize(path)
            benchlib.warm(path)
        if "edc" in files:
            files[TWO], size[TWO] = files["edc"], size["edc"]
        read(movie, args, 2, os.path.join(folder, f"movie%d.i2.{side}"))
        frame = os.path.join(folder, f"movie1.i2.{side}")
        for _ in range(args.rounds):
            for codec, path in files.items():
                rates = read(path, args, threads=2 if codec == TWO else 1)
                best[codec] = [max(pair) for pair in zip(best.get(codec, rates), rates)]
            for codec, name in (("edc:1", "edc 1"), ("edc", "edc")):
                line = subprocess.run([codecbench, "-t", "0.5", "-r", "1", "-c", name, frame],
                                      check=True, stdout=subprocess.PIPE, text=True).stdout
                codec_rate[codec] = max(codec_rate.get(codec, 0), float(line.split("\t")[4]))
        for path in set(files.values()):
            os.unlink(path)
    table = benchlib.Table("file", "MB/s", "raw/size", "x gzip", "x none", "of codec", "read_direct MB/s",
                           "of codec")
    raw = 2 * side * side * frames

    def share(rate, codec):
        alone = codec_rate.get("edc" if codec == TWO else codec)
        return f"{100 * rate / alone:.0f} %" if alone else None

    for codec in files:
        rate, direct = best[codec]
        table.add(codec, rate, raw / size[codec],
                  rate / best["gzip"][0] if "gzip" in best else None,
                  rate / best["none"][0] if "none" in best else None,
                  share(rate, codec), direct, share(direct, codec))
    benchlib.record(f"reading through h5py: {side} x {side} x {frames} int16", table, args,
                    [f"best of {args.rounds} interleaved rounds, page cache warm, a process each"])


if __name__ == "__main__":
    main()
