# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdinfo's estimates against the truth of simulated movies: beam centre, pedestal, gain, and the
shadow of the beam stop, over doses, gains, offsets and sizes.

    python3 bench/estimate.py [--sizes 512,1024,2048]
"""

import json
import os
import subprocess

import numpy as np

import benchlib

CASES = ["", "--beam-centre {q},{h}", "--beam-stop", "--beam-stop={s},200 --beam-centre {q},{t} --drift 4,-3"]
NOISE = [(2, 2), (2, 12), (2, 60), (0.5, 12), (0.5, 60), (8, 12), (26, 2), (26, 12)]  # gain, dose


def inside(corners, size):
    y, x = np.mgrid[:size, :size] + 0.5
    found = np.zeros((size, size), bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):
        if y0 != y1:
            found ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return found


def shadow(truth, size):
    y, x = np.mgrid[:size, :size] + 0.5
    radius, angle = truth["beam_stop"]
    dx, dy = x - truth["beam_centre"][0], y - truth["beam_centre"][1]
    along = dx * np.cos(np.radians(angle)) + dy * np.sin(np.radians(angle))
    across = dy * np.cos(np.radians(angle)) - dx * np.sin(np.radians(angle))
    return ((along > 0) & (abs(across) < 0.6 * radius)) | (np.hypot(dx, dy) < radius)


def measure(args, work, size, table):
    movie, truth_name = os.path.join(work, "estimate.emd"), os.path.join(work, "estimate.json")
    for case in CASES:
        options = case.format(q=size // 4, h=size // 2, t=5 * size // 8, s=size // 32)
        for gain, dose in NOISE:
            subprocess.run([benchlib.emd_tool(args, "emdsim"), "-q", "-f", "--size", str(size), "--frames", str(args.frames),
                            "--gain", str(gain), "--dose", str(dose), "--omit", "gain", "--truth", truth_name,
                            *options.split(), movie], check=True)
            out = subprocess.run([benchlib.emd_tool(args, "emdinfo"), "--json", movie], check=True,
                                 stdout=subprocess.PIPE).stdout
            (found,) = json.loads(out)["images"]
            with open(truth_name, encoding="utf-8") as f:
                truth = json.load(f)
            centre, gain_found = found["beam_centre_px"], found["gain_pixels"]
            covered = extra = None
            if found["beam_stop_px"]:
                mark, true = inside(found["beam_stop_px"], size), shadow(truth, size)
                covered, extra = (float((mark & s).sum() / true.sum()) for s in (true, ~true))
            table.add(options or "-", float(gain), float(dose),
                      centre and float(np.hypot(*np.subtract(centre, truth["beam_centre"]))),
                      found["beam_centre_sigma_px"], found["pedestal"] - truth["pedestal"], found["pedestal_sigma"],
                      gain_found and gain_found / truth["gain"], covered, extra)


def main():
    parser = benchlib.parser(__doc__)
    parser.add_argument("--sizes", default="512,1024,2048", help="(%(default)s)")
    parser.add_argument("--frames", type=int, default=60, help="(%(default)s)")
    args = parser.parse_args()
    with benchlib.scratch_folder(args) as work:
        for size in map(int, args.sizes.split(",")):
            table = benchlib.Table("options", "gain", "dose", "centre off, px", "its sigma", "pedestal off",
                                   "its sigma", "gain / true", "stop covered", "too much")
            measure(args, work, size, table)
            benchlib.record(f"estimate: {size} x {size}", table, args, notes=[f"{args.frames} frames; read noise 1.5 counts"])


if __name__ == "__main__":
    main()
