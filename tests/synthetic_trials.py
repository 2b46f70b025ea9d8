# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Folders of processed crystals, as DIALS 3.12 to 3.18 would leave them, from a random generator:
for the tests of emdlist, its benchmark and the picture in the README. Nothing in them was measured.

    python3 synthetic_trials.py FOLDER COUNT [SEED]
"""

import json
import math
import os
import random
import sys

HEADER = (" d_max  d_min   #obs  #uniq   mult.  %comp       <I>  <I/sI>"
          "    r_mrg   r_meas    r_pim   r_anom   cc1/2   cc_ano\n")
BANNER = "DIALS (2018) Acta Cryst. D74, 85-97. https://doi.org/10.1107/S2059798317017235\nDIALS %s\n"
CELL = (5.34, 6.46, 10.86, 90.0, 91.30, 90.0)


def edges(d_min, d_max=10.8, shells=20):
    """Limits of shells of equal volume in reciprocal space."""
    low, high = d_max ** -3, d_min ** -3
    return [(low + (high - low) * i / shells) ** (-1 / 3) for i in range(shells + 1)]


def merging(rng, resolution, d_min=0.70, strength=1.0, completeness=0.3):
    """Rows (d_max, d_min, obs, uniq, mult, comp, I, I/s, r_mrg, r_meas, r_pim, r_anom, cc, sig)."""
    limits = edges(d_min)
    r, rows = rng.uniform(0.25, 0.5), []
    s0 = 1 / resolution ** 2 - r * math.atanh(1 - 2 * 0.3)
    for d1, d2 in zip(limits, limits[1:]):
        s = 1 / d2 ** 2
        cc = 0.5 * (1 - math.tanh((s - s0) / r)) + rng.gauss(0, 0.02) * min(1.5, s)
        cc = min(0.9999, max(-0.3, cc))
        unique = rng.randint(25, 45)
        obs = int(unique * rng.uniform(1.75, 2.0))
        isigma = max(0.4, strength * 32 * math.exp(-1.15 * s * (resolution / 0.9) ** 2))
        merge = min(9, 0.04 + 0.6 / isigma)
        rows.append((d1, d2, obs, unique, obs / unique, 100 * completeness * rng.uniform(0.8, 1.2),
                     200 * math.exp(-1.6 * s), isigma, merge, merge * 1.41, merge, merge * 1.9, cc,
                     cc > 0.4))
    return rows


def table(rows):
    """The table of dials.scale.log."""
    def line(r):
        return ("%6.2f %6.2f %6d %6d   %5.2f %6.2f  %8.1f  %6.1f  % 7.3f  % 7.3f  % 7.3f  % 7.3f"
                "  % 5.3f%s  % 5.3f\n" % (r[:13] + ("*" if r[13] else "", 0.0)))
    obs, unique = sum(r[2] for r in rows), sum(r[3] for r in rows)
    mean = [sum(r[i] * r[3] for r in rows) / unique for i in range(len(rows[0]))]
    overall = (rows[0][0], rows[-1][1], obs, unique, obs / unique) + tuple(mean[5:13]) + (True,)
    banner = "\n            ----------Merging statistics by resolution bin----------           \n\n"
    return banner + HEADER + "".join(map(line, rows)) + line(overall) + "\n\n"


def scale_log(version, rows):
    steps = "".join(f"|  {i:5d} |   1434 |   {3.3 - i / 100:.4f} |\n" for i in range(160))
    return (BANNER % version + "The following parameters have been modified:\n\n" + steps +
            table(rows) + "Writing html report to dials.scale.html\n"
            "Saving the scaled experiments to scaled.expt\n"
            "Saving the scaled reflections to scaled.refl\n")


def with_esd(value, esd, decimals):
    return f"{value:.{decimals}f}({max(1, round(esd * 10 ** decimals))})"


def cell_line(cell):
    parts = [with_esd(v, 0.0006, 4) for v in cell[:3]] + [with_esd(v, 0.008, 3) for v in cell[3:]]
    return "    Unit cell: " + ", ".join(parts) + "\n"


def integrate_log(version, cell, images):
    row = ("|    0 | %7d |       12 |        0 |        0 |       0 |      12 |      12 |  3.75 |"
           "    10.71 |    10.64 |     0.95 |      0.16 |\n")
    return (BANNER % version + "Models for experiment 0\n\nCrystal:\n" + cell_line(cell) +
            "    Space group: P 1\n\n" + "".join(row % i for i in range(1, 2 * images)) +
            "Saving 1580 reflections to integrated.refl\n"
            "Saving the experiments to integrated.expt\n")


def expt(image, first, last, cell=None):
    model = {"__id__": "ExperimentList",
             "experiment": [{"__id__": "Experiment", "scan": 0, "imageset": 0}],
             "imageset": [{"__id__": "ImageSequence", "template": image,
                           "single_file_indices": list(range(last - first + 1))}],
             "scan": [{"image_range": [first, last], "oscillation": [0.0, 0.5],
                       "exposure_time": [0.5] * (last - first + 1),
                       "epochs": [0.5 * i for i in range(last - first + 1)]}],
             "crystal": []}
    if cell:
        ga = math.radians(cell[5])
        be = math.radians(cell[4])
        model["crystal"] = [{"real_space_a": [cell[0], 0, 0],
                             "real_space_b": [cell[1] * math.cos(ga), cell[1] * math.sin(ga), 0],
                             "real_space_c": [cell[2] * math.cos(be), 0, cell[2] * math.sin(be)]}]
    return json.dumps(model, indent=2)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def make_crystal(folder, trial, rng, version="3.12.1", name="movie"):
    """One crystal below 'folder': most are good, some fail on the way."""
    at = os.path.join(folder, trial)
    os.makedirs(at)
    images = rng.choice([100, 120, 120, 150])
    image = f"/data/microed/project/compressed/{name}.emd"

    def put(file, text):
        write(os.path.join(at, file), text)

    put("imported.expt", expt(image, 1, images))
    put("dials.import.log", BANNER % version + "Writing experiments to imported.expt\n")
    fate = rng.random()
    spots = 0 if fate < 0.04 else rng.randint(300, 2500)
    put("dials.find_spots.log", BANNER % version + f"Finding spots in image 1 to {images}...\n" +
        "".join(f"Found {rng.randint(0, 99)} strong pixels on image {i}\n" for i in range(1, images + 1)) +
        f"Saved {spots} reflections to strong.refl\n")
    if fate < 0.04:
        put("dials.index.log", BANNER % version)
        return
    if fate < 0.10:
        put("dials.index.log", BANNER % version + "Found max_cell: 14.3 Angstrom\n"
            "ERROR: No suitable lattice could be found.\n")
        return
    cell = tuple(v * rng.gauss(1, 0.0012) if i < 3 else v + rng.gauss(0, 0.07)
                 for i, v in enumerate(CELL))
    if rng.random() < 0.03:  # a wrong lattice
        cell = (cell[0] * 2, cell[1], cell[2] * 1.004, cell[3] + 1.5, cell[4], cell[5])
    put("dials.index.log", BANNER % version + "Refined crystal models:\nmodel 1\n" +
        cell_line(cell) * 3 + "Saving refined reflections to indexed.refl\n")
    put("indexed.expt", expt(image, 1, images, cell))
    if fate < 0.12:
        put("dials.integrate.log", BANNER % version + "Integrating block 1\n")
        return
    first = 1 + (rng.randint(5, 40) if rng.random() < 0.4 else 0)
    last = images - (rng.randint(5, 45) if rng.random() < 0.5 else 0)
    put("dials.integrate.log", integrate_log(version, cell, images))
    put("integrated.expt", expt(image, 1, images, cell))
    quality = min(1.9, 0.74 + rng.expovariate(5))
    rows = merging(rng, quality, strength=rng.uniform(0.6, 1.6),
                   completeness=0.42 * (last - first + 1) / images)
    put("dials.scale.log", scale_log(version, rows))
    put("scaled.expt", expt(image, first, last, cell))
    group = rng.choices(["P 1 2/m 1", "P -1", "P m m m"], [8, 3, 1])[0]
    put("dials.symmetry.log", BANNER % version + f"Best solution: {group}\nUnit cell: \n")
    put("dials.cosym.log", BANNER % version +
        f"Best solution: {'P 1 2/m 1' if rng.random() < 0.8 else group}\n")


def make(folder, count, seed=1, trial="P1"):
    rng = random.Random(seed)
    for i in range(count):
        day, minute = divmod(i * 7 + 605, 1440)
        name = f"202602{day % 28 + 1:02d}_{minute // 60:02d}{minute % 60:02d}"
        path = os.path.join(folder, name)
        if os.path.exists(path):
            path += f"_{i}"
        make_crystal(path, trial, rng, "3.12.1", os.path.basename(path))


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
