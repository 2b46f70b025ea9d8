# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""A simulated movie through DIALS: import to scale; cell, orientation, symmetry and blanks are found.

Skipped (exit 77) where DIALS is not installed: on Debian, apt-get install dials python3-hdf5plugin.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np

FRAMES, BLANK_FROM = 160, 125
CELL = (5.34, 6.46, 10.86, 90, 91.3, 90)


def run(*command, **keywords):
    start = time.monotonic()
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False, **keywords)
    print(f"{os.path.basename(command[0])}: {time.monotonic() - start:.0f} s", flush=True)
    if result.returncode != 0:
        sys.exit(f"{command}: exit {result.returncode}\n{result.stdout[-3000:]}")
    return result.stdout


def close(what, found, expected, tolerance):
    print(f"{what}: {found} (true: {expected})")
    if not np.allclose(found, expected, rtol=tolerance, atol=0):
        sys.exit(f"{what} is off by more than {100 * tolerance} %")


def main():
    if not shutil.which("dials.import"):
        print("skipped: DIALS is not installed")
        return 77
    for old in glob.glob("*.expt") + glob.glob("*.refl"):
        os.unlink(old)
    os.environ["PYTHONPATH"] = os.path.join(
        os.environ["EMDTOOLS_SOURCE_DIR"], "share", "emdtools", "dxtbx")
    run(os.path.join(os.environ["EMDTOOLS_BIN"], "emdsim"), "-f", "--size", 1024, "--frames", FRAMES,
        "--blank", f"{BLANK_FROM}:{FRAMES}", "--truth", "truth.json", "movie.emd")
    with open("truth.json", encoding="utf-8") as f:
        truth = json.load(f)

    run("dials.import", "movie.emd", "panel.pedestal=-40", "distance=618")
    run("dials.find_spots", "imported.expt", "gain=0.8", "max_separation=4", "nproc=2")
    run("dials.index", "imported.expt", "strong.refl", "detector.fix=distance")
    run("dials.refine", "indexed.expt", "indexed.refl", "scan_varying=False", "detector.fix=distance")
    run("dials.refine", "refined.expt", "refined.refl", "scan_varying=True", "detector.fix=distance")
    run("dials.integrate", "refined.expt", "refined.refl", "prediction.d_min=0.8",
        "profile.gaussian_rs.min_spots.overall=25", "nproc=2")
    blanks = run("dials.detect_blanks", "integrated.expt", "integrated.refl", "phi_step=2")
    # Reflections in blank images have no intensity: with them, symmetry mates disagree.
    run("dials.slice_sequence", "integrated.expt", "integrated.refl",
        f"image_range=1,{BLANK_FROM - 1}")
    (sliced,) = glob.glob("integrated_*.expt")
    run("dials.symmetry", sliced, sliced.replace(".expt", ".refl"))
    run("dials.scale", "symmetrized.expt", "symmetrized.refl")

    with open("integrated.expt", encoding="utf-8") as f:
        crystals = json.load(f)["crystal"]
    if len(crystals) != 1:
        sys.exit(f"{len(crystals)} crystals instead of one")
    real = np.array([crystals[0][f"real_space_{x}"] for x in "abc"])
    lengths = np.linalg.norm(real, axis=1)
    # Axes can point either way: in P 1, 88.7 degrees is as good as 91.3.
    angles = [np.degrees(np.arccos(-abs(real[i] @ real[j]) / lengths[i] / lengths[j]))
              for i, j in ((1, 2), (0, 2), (0, 1))]
    close("cell", np.round([*lengths, *angles], 3).tolist(), CELL, 0.005)

    # Indices of the truth in terms of what was found: a unimodular matrix of whole numbers, if the
    # orientation (and so tilt axis, direction and handedness) is right.
    relation = real @ np.array(truth["A_matrix"]).reshape(3, 3)
    print("relation to the true orientation:", np.round(relation, 2).tolist())
    if not np.allclose(relation, np.round(relation), atol=0.06) or \
            round(np.linalg.det(relation)) != 1:
        sys.exit("the orientation is not the true one")

    # What dials.detect_blanks finds: within two of its bins (2 degrees) of the truth.
    found = {int(a) for a in re.findall(r"Potential blank images: (\d+) -> \d+", blanks)}
    print("first images of blank ranges:", sorted(found))
    margin = 2 * 2 / truth["step"]
    if not found or any(abs(first - BLANK_FROM) > margin for first in found):
        sys.exit(f"the blank range does not begin near image {BLANK_FROM}")

    with open("dials.symmetry.log", encoding="utf-8") as f:
        if "Best solution: P 1 2/m 1" not in f.read():
            sys.exit("the symmetry is not P 1 2/m 1")
    with open("dials.scale.log", encoding="utf-8") as f:
        overall = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +\d+ .*$", f.read(), re.MULTILINE)[-1].split()
    half = float(overall[12].rstrip("*"))
    print("overall CC1/2:", half)
    if half < 0.95:
        sys.exit("CC1/2 is too low for a good crystal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
