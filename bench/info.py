#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdinfo on a movie of 2048 x 2048 x 150 frames, as Velox writes it and repacked: the text, a contact
sheet of some 16 frames, a single frame, the projections.

Figures to reach: the text in under 50 ms, the sheet in under 1 s.
"""

import os
import subprocess

import benchlib


def main():
    p = benchlib.parser(__doc__)
    p.add_argument("--size", type=int, default=2048, help="pixels of a frame (%(default)s)")
    p.add_argument("--frames", type=int, default=150, help="(%(default)s)")
    args = p.parse_args()
    tool = benchlib.emd_tool(args, "emdinfo")
    env = benchlib.plugin_environment(args)
    table = benchlib.Table("contestant", "wall s", "CPU s", "peak MiB", "picture MB")
    with benchlib.scratch_folder(args) as work:
        raw = os.path.join(work, f"raw{args.size}x{args.frames}.emd")
        packed = os.path.join(work, f"auto{args.size}x{args.frames}.emd")
        if not os.path.exists(raw):
            subprocess.run([benchlib.emd_tool(args, "emdsim"), "--size", str(args.size), "--frames",
                            str(args.frames), raw], check=True)
        if not os.path.exists(packed):
            subprocess.run([benchlib.emd_tool(args, "emdrepack"), "-q", raw, packed], check=True, env=env)
        png = os.path.join(work, "picture.png")
        step = max(1, (args.frames - 1) // 15)
        pictures = {"sheet of 16 frames": ["--frames", f"1:{1 + 15 * step}:{step}"],
                    "one frame": ["--frames", "1:1"], "--max": ["--max"], "--mean": ["--mean"]}
        runs = []
        for name, path in (("raw", raw), ("repacked", packed)):
            benchlib.warm(path)
            runs.append(benchlib.Run(f"{name}: text", [tool, path], env=env))
            runs.append(benchlib.Run(f"{name}: --json", [tool, "--json", path], env=env))
            for what, options in pictures.items():
                runs.append(benchlib.Run(f"{name}: {what}", [tool, "--png", png, *options, path],
                                         output=png, env=env))
        for name, r in benchlib.interleave(runs, args.rounds).items():
            table.add(name, r.wall, r.cpu, r.rss / 2**20, r.size / 1e6 or None)
        sizes = " and ".join(f"{os.path.getsize(x) / 1e6:.0f} MB" for x in (raw, packed))
    benchlib.record(f"info: {args.size} x {args.size} x {args.frames}", table, args,
                    notes=[f"page cache warm; the files have {sizes}"])


if __name__ == "__main__":
    main()
