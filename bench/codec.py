#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Frame codecs side by side: bits a pixel, and MB/s of pixels encoded and decoded by one core.

All frames of a folder (NAME.i2.WIDTH, NAME.u2.WIDTH), one frame a chunk, in memory; best of
interleaved rounds. --simd repeats EDC's rows with narrower instructions. The figures to beat are
those of the same frames measured with a prototype and an estimate of the entropy (docs).
"""

import glob
import os
import subprocess
import sys

import benchlib


def measure(args, tool, frames, simd, best):
    """One round: best[frame, codec] is bits a pixel and the highest speeds so far."""
    env = dict(os.environ, EMDTOOLS_SIMD=simd) if simd else None
    only = ["-c", "edc"] if simd else []
    run = subprocess.run([tool, "-t", str(args.seconds / args.rounds), "-r", "1", *only, *frames],
                         env=env, stdout=subprocess.PIPE, check=True, text=True)
    for line in run.stdout.splitlines():
        frame, codec, *numbers = line.split("\t")
        bits, encode, decode = map(float, numbers)
        key = frame, f"{codec}, {simd}" if simd else codec
        _, encode_before, decode_before = best.get(key, (bits, 0, 0))
        best[key] = bits, max(encode, encode_before), max(decode, decode_before)


def main():
    parser = benchlib.parser(__doc__, rounds=6)
    parser.add_argument("--frames", help="folder (frames/ of EMDTOOLS_TEST_DATA)")
    parser.add_argument("--seconds", type=float, default=5, help="a frame, all rounds together (%(default)s)")
    parser.add_argument("--simd", nargs="*", default=["avx512", "avx2", "scalar"],
                        help="EDC on ceta2k with these, too (%(default)s)")
    args = parser.parse_args()
    tool = benchlib.emd_tool(args, "codecbench")
    folder = args.frames or benchlib.test_data(args, "frames")
    frames = sorted(glob.glob(os.path.join(folder, "*.?2.*")))
    if not frames:
        sys.exit(f"codec.py: no frames in {folder}")
    one = [f for f in frames if os.path.basename(f).startswith("ceta2k.")] or frames[:1]
    best = {}
    # Round by round over all frames: a minute in which the machine is slow spoils no frame's figures.
    for _ in range(args.rounds):
        measure(args, tool, frames, None, best)
        for simd in args.simd:
            measure(args, tool, one, simd, best)
    names = list(dict.fromkeys(frame for frame, _ in best))

    bits = benchlib.Table("codec, bits a pixel", *names)
    speed = benchlib.Table("codec, MB/s encode / decode", *names)
    for codec in dict.fromkeys(codec for _, codec in best):
        found = [best.get((name, codec)) for name in names]
        if all(found):
            bits.add(codec, *[f"{r[0]:.3f}" for r in found])
        speed.add(codec, *[f"{r[1]:.0f} / {r[2]:.0f}" if r else None for r in found])
    benchlib.record("Frame codecs: size", bits, args)
    benchlib.record("Frame codecs: speed", speed, args,
                    ["one core but for '2 threads' (decode only); best of the rounds"])


if __name__ == "__main__":
    main()
