#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Blank images found by emdblanks and by the published analysis, against simulated truth.

For every variant emdsim writes a movie of a rotating crystal with blank ends, holes or fading, DIALS
processes it (import, spots, index, refine twice, integrate), and the images called blank are compared
with the truth: an image is blank if its spots have at most a tenth of the full brightness, the
definition that the thresholds of the analysis have.

The published analysis is DIALS' own dials.util.detect_blanks with the rules of filter_blanks.py: an
image is blank if one of the three analyses says so. Precision: of the images called blank, how many
are. Recall: of the blank images, how many are called so. Lost: good images that the default, the
longest run, leaves out; with --keep all these are only those called blank wrongly.

Finished steps in --scratch are not repeated. Needs DIALS (Debian: dials python3-hdf5plugin).
"""

import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

import benchlib

# name: (options of emdsim beside size and frames, brightness of images as (first, last, factor))
FRAMES = 120
VARIANTS = {
    "no blanks": ([], []),
    "end": ([], [(97, 120, 0)]),
    "start": ([], [(1, 21, 0)]),
    "both ends": ([], [(1, 15, 0), (104, 120, 0)]),
    "hole": ([], [(50, 66, 0)]),
    "short hole": ([], [(60, 65, 0)]),
    "two holes": ([], [(29, 41, 0), (80, 96, 0)]),
    "last bin": ([], [(117, 120, 0)]),
    "half": ([], [(61, 120, 0)]),
    "ends and hole, 4 %": ([], [(1, 18, 0.04), (57, 66, 0), (91, 120, 0.04)]),
    "fading to 5 %": (["--fade", "0.05"], []),
    "fading to 30 %": (["--fade", "0.3"], []),
    "fading, then dead": (["--fade", "0.4"], [(90, 120, 0)]),
    "weak, end": (["--brightness", "0.35"], [(97, 120, 0)]),
    "weak, hole": (["--brightness", "0.35"], [(44, 59, 0)]),
    "step 0.7, ends": (["--step", "0.7"], [(1, 13, 0), (88, 120, 0)]),
}

PUBLISHED = """
import json, sys
from dials.array_family import flex
from dials.util import detect_blanks
from dxtbx.model.experiment_list import ExperimentListFactory
expt = ExperimentListFactory.from_json_file(sys.argv[1], check_format=False)[0]
refl = flex.reflection_table.from_file(sys.argv[2])
f, scan = refl.flags, expt.scan
blank = set()
def run(analysis, selection, loss):
    if selection.count(True) == 0 and analysis is not strong:
        return
    result = analysis(refl.select(selection), scan, phi_step=2, fractional_loss=loss)
    for first, last in result["blank_regions"]:
        blank.update(range(first + 1, last + 1))
strong = detect_blanks.blank_counts_analysis
run(strong, refl.get_flags(f.strong), 0.1)
run(lambda *a, **k: strong(*a, **k),
    refl.get_flags(f.indexed) & ~refl.get_flags(f.centroid_outlier), 0.1)
run(detect_blanks.blank_integrated_analysis, refl.get_flags(f.integrated), 0.1)
print(json.dumps([scan.get_image_range(), sorted(blank)]))
"""


def truth(options, ranges):
    """The blank images, from 1."""
    fade = float(options[options.index("--fade") + 1]) if "--fade" in options else 1.0
    factor = [1 + (fade - 1) * i / (FRAMES - 1) for i in range(FRAMES)]
    for first, last, scale in ranges:
        for i in range(first - 1, last):
            factor[i] *= scale
    return {i + 1 for i in range(FRAMES) if factor[i] <= 0.1}


def process(args, folder, number, options, ranges):
    """The movie and all steps of DIALS that are not done yet; the stages reached with their pairs of files."""
    os.makedirs(folder, exist_ok=True)
    env = dict(os.environ, PYTHONPATH=os.path.join(benchlib.SOURCE, "share", "emdtools", "dxtbx"))
    blank = ",".join(f"{a}:{b}" for a, b, s in ranges if s == 0)
    scale = ",".join(f"{a}:{b}={s}" for a, b, s in ranges if s > 0)
    sim = [os.path.abspath(benchlib.emd_tool(args, "emdsim")), "-f", "--size", args.size, "--frames",
           FRAMES, "--seed", args.seed + number, *(["--blank", blank] if blank else []),
           *(["--scale", scale] if scale else []), *options, "movie.emd"]
    if "--step" not in options:
        sim[1:1] = ["--step", "0.5"]
    steps = [
        ("movie.emd", sim),
        ("imported.expt", ["dials.import", "movie.emd", "panel.pedestal=-40", "distance=618"]),
        ("strong.refl", ["dials.find_spots", "imported.expt", "gain=0.8", "max_separation=4"]),
        ("indexed.expt", ["dials.index", "imported.expt", "strong.refl", "detector.fix=distance"]),
        ("refined1.expt", ["dials.refine", "indexed.expt", "indexed.refl", "scan_varying=False",
                           "detector.fix=distance", "output.experiments=refined1.expt",
                           "output.reflections=refined1.refl"]),
        ("refined.expt", ["dials.refine", "refined1.expt", "refined1.refl", "scan_varying=True",
                          "detector.fix=distance"]),
        ("integrated.expt", ["dials.integrate", "refined.expt", "refined.refl",
                             "prediction.d_min=0.8", "profile.gaussian_rs.min_spots.overall=25"]),
    ]
    pairs = []
    for output, command in steps:
        if not os.path.exists(os.path.join(folder, output)):
            if os.path.exists(os.path.join(folder, output + ".failed")):
                break
            command = [*shlex.split(args.wrap), *map(str, command)]
            run = subprocess.run(command, cwd=folder, env=env, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if run.returncode != 0:
                with open(os.path.join(folder, output + ".failed"), "wb") as f:
                    f.write(run.stdout)
                print(f"{folder}: {output}: {run.stdout.decode()[-300:]}", file=sys.stderr)
                break
        if output == "strong.refl":
            pairs.append(("strong", "imported.expt", "strong.refl"))
        if output == "integrated.expt":
            pairs.append(("integrated", "integrated.expt", "integrated.refl"))
            os.truncate(os.path.join(folder, "movie.emd"), 0)  # enough for the next time
    return pairs


def ours(args, pair, *options):
    """Image range, images called blank, images kept by default."""
    run = subprocess.run([benchlib.emd_tool(args, "emdblanks"), "-n", "--json", *options, *pair],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    (expt,) = json.loads(run.stdout)["experiments"]
    good, kept = set(), set()
    for r in expt["runs"]:
        images = range(r["first"], r["last"] + 1)
        good.update(images)
        if r["kept"]:
            kept.update(images)
    return (expt["first"], expt["last"]), set(range(expt["first"], expt["last"] + 1)) - good, kept


def published(pair):
    run = subprocess.run([benchlib.PYTHON, "-c", PUBLISHED, *pair], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=False)
    return set(json.loads(run.stdout)[1]) if run.returncode == 0 else None


def longest(images):
    """The longest run of consecutive numbers."""
    best, run = [], []
    for i in sorted(images):
        run = run + [i] if run and run[-1] == i - 1 else [i]
        best = max(best, run, key=len)
    return set(best)


def score(found, true):
    """Precision and recall; None where nothing was to be found or was found."""
    if found is None:
        return None, None
    hits = len(found & true)
    return (hits / len(found) if found else None), (hits / len(true) if true else None)


def compare(args, pair, options, ranges, methods, errors):
    """The cells of one row; adds to the errors of the published analysis, ours and the methods."""
    (first, last), blank, kept = ours(args, pair)
    scan = set(range(first, last + 1))
    true = truth(options, ranges) & scan
    good = scan - true
    theirs = published(pair)
    cells = [len(scan), len(true), *score(theirs, true)]
    if theirs is None:
        cells.append("stops")
    else:
        cells.append(len(good - longest(scan - theirs)))
        errors[0] += len(true ^ theirs)
    errors[1] += len(true ^ blank)
    cells += [*score(blank, true), len(good - kept), len(good & blank)]
    for i, m in enumerate(methods):
        _, blank, kept = ours(args, pair, *m)
        cells += [*score(blank, true), len(good & blank)]
        errors[2 + i] += len(true ^ blank)
    return cells


def main():
    p = benchlib.parser(__doc__, rounds=1)
    p.add_argument("--wrap", default="", help="put before every step, e.g. 'nice -n 19'")
    p.add_argument("--size", default="512", help="pixels of a frame (%(default)s)")
    p.add_argument("--seed", type=int, default=1, help="of the first variant (%(default)s): others are "
                   "other crystals; wants a --scratch of its own")
    p.add_argument("--variant", help="only those whose name contains this")
    p.add_argument("--jobs", type=int, default=1, help="variants at a time (%(default)s)")
    p.add_argument("--methods", default="--method robust", help="more options of emdblanks to compare, ';' between")
    args = p.parse_args()
    methods = [m.split() for m in args.methods.split(";") if m.strip()]
    errors = [0] * (2 + len(methods))
    table = benchlib.Table("variant", "images", "blank", "published P", "R", "lost", "emdblanks P",
                           "R", "lost", "lost, all",
                           *[x for m in methods for x in (" ".join(m) + " P", "R", "lost, all")])
    with benchlib.scratch_folder(args) as scratch, \
            concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        pairs = {}
        for number, (name, (options, ranges)) in enumerate(VARIANTS.items()):
            if not args.variant or args.variant in name:
                folder = os.path.join(scratch, f"{number:02d}")
                pairs[name] = (folder, pool.submit(process, args, folder, number, options, ranges))
        for name, (folder, pair) in pairs.items():
            options, ranges = VARIANTS[name]
            stages = pair.result()
            if len(stages) < 2:
                print(f"{name}: DIALS came to {[x[0] for x in stages]} only", file=sys.stderr)
            for stage, *pair in stages:
                table.add(f"{name}: {stage}", *compare(args, [os.path.join(folder, x) for x in pair],
                                                       options, ranges, methods, errors))
    table.add("errors (missed + wrong), all", None, None, None, None, errors[0], None, None, errors[1],
              None, *[x for e in errors[2:] for x in (None, None, e)])
    benchlib.record("blank images against the truth", table, args, notes=[
        "P, R: precision and recall of the images called blank; lost: good images left out by the "
        "default (longest run); lost, all: with --keep all",
        "truth: images at a tenth of the full brightness or less"])


if __name__ == "__main__":
    main()
