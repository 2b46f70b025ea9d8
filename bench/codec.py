#!/usr/bin/env python3
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


def measure(args, tool, frames, simd):
    env = dict(os.environ, EMDTOOLS_SIMD=simd) if simd else None
    run = subprocess.run([tool, "-t", str(args.seconds), "-r", str(args.rounds), *frames],
                         env=env, stdout=subprocess.PIPE, check=True, text=True)
    rows = []
    for line in run.stdout.splitlines():
        frame, codec, bits, encode, decode = line.split("\t")
        rows.append((frame, codec, float(bits), float(encode), float(decode)))
    return rows


def main():
    parser = benchlib.parser(__doc__, rounds=3)
    parser.add_argument("--frames", help="folder (frames/ of EMDTOOLS_TEST_DATA)")
    parser.add_argument("--seconds", type=float, default=5, help="a frame (%(default)s)")
    parser.add_argument("--simd", nargs="*", default=["avx512", "avx2", "scalar"],
                        help="EDC on ceta2k with these, too (%(default)s)")
    args = parser.parse_args()
    tool = benchlib.emd_tool(args, "codecbench")
    folder = args.frames or benchlib.test_data(args, "frames")
    frames = sorted(glob.glob(os.path.join(folder, "*.?2.*")))
    if not frames:
        sys.exit(f"codec.py: no frames in {folder}")
    rows = measure(args, tool, frames, None)
    names = list(dict.fromkeys(r[0] for r in rows))
    codecs = list(dict.fromkeys(r[1] for r in rows))
    cell = {(r[0], r[1]): r for r in rows}

    bits = benchlib.Table("codec, bits a pixel", *names)
    speed = benchlib.Table("codec, MB/s encode / decode", *names)
    for codec in codecs:
        found = [cell[name, codec] for name in names]
        bits.add(codec, *[f"{r[2]:.3f}" for r in found])
        speed.add(codec, *[f"{r[3]:.0f} / {r[4]:.0f}" for r in found])
    one = [f for f in frames if os.path.basename(f).startswith("ceta2k.")] or frames[:1]
    for simd in args.simd:
        for r in measure(args, tool, one, simd):
            if r[1] == "edc":
                speed.add(f"edc, {simd}", *[f"{r[3]:.0f} / {r[4]:.0f}" if n == r[0] else None
                                            for n in names])
    benchlib.record("Frame codecs: size", bits, args)
    benchlib.record("Frame codecs: speed", speed, args,
                    ["one core but for '2 threads' (decode only); best of the rounds"])


if __name__ == "__main__":
    main()
