#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdblanks on a million reflections, with and without shoeboxes, against cp and DIALS' Python; and
on the samples.

cp copies emdblanks' output and waits until it is on the disk, as emdblanks does. DIALS' Python does
what the published filter does (read, three analyses, select the longest run, write) and does not
wait for the disk. Figures to reach: at most 1.5 times cp; 8 times (with shoeboxes) and 50 times
(without) faster than Python; memory below twice the file; samples below 20 ms.

The 50 cannot be had where writing the output takes more than a fiftieth of Python's time. Two more
contestants say how long that is: dd past the page cache (O_DIRECT, 4 MiB at a time), and cp that waits
for nothing.
"""

import os
import subprocess
import sys

import benchlib

# A movie of 1200 images, blank from 1001 on; rows in the order of Miller indices, so that those of an
# image are all over the table. The columns are those of an integrated.refl (or strong.refl).
MAKE = r"""
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import dialsfiles as d
rows, folder = int(sys.argv[2]), sys.argv[3]
images, last = 1200, 1000
rng = np.random.default_rng(1)
z = rng.uniform(0, images, rows)
lit = z < last
strong = lit & (rng.uniform(size=rows) < 0.3)
flags = np.where(strong, 0x324 | 1, 0x301).astype("<u8")
xyz = np.stack([rng.uniform(0, 2048, rows), rng.uniform(0, 2048, rows), z], axis=1)
intensity = np.where(lit, rng.exponential(300.0, rows), rng.normal(0, 5, rows))
numbers = {"double": lambda: rng.uniform(0, 9, rows), "vec3<double>": lambda: rng.uniform(size=(rows, 3)),
           "int": lambda: rng.integers(0, 99, rows).astype("<i4"), "int6": lambda:
           rng.integers(0, 99, (rows, 6)).astype("<i4"), "cctbx::miller::index<>": lambda:
           rng.integers(-9, 9, (rows, 3)).astype("<i4"), "bool": lambda: rng.integers(0, 2, rows).astype("u1"),
           "std::size_t": lambda: np.zeros(rows, "<u8")}
plain = [("background.mean", "double"), ("background.sum.value", "double"), ("bbox", "int6"),
         ("d", "double"), ("entering", "bool"), ("flags", "std::size_t"), ("id", "int"),
         ("imageset_id", "int"), ("intensity.prf.value", "double"),
         ("intensity.prf.variance", "double"), ("intensity.sum.value", "double"),
         ("intensity.sum.variance", "double"), ("lp", "double"),
         ("miller_index", "cctbx::miller::index<>"), ("num_pixels.background", "int"),
         ("panel", "std::size_t"), ("partial_id", "std::size_t"), ("partiality", "double"),
         ("profile.correlation", "double"), ("s1", "vec3<double>"), ("xyzcal.mm", "vec3<double>"),
         ("xyzcal.px", "vec3<double>"), ("xyzobs.mm.value", "vec3<double>"),
         ("xyzobs.mm.variance", "vec3<double>"), ("xyzobs.px.value", "vec3<double>"),
         ("xyzobs.px.variance", "vec3<double>"), ("zeta", "double")]
boxed = [("bbox", "int6"), ("flags", "std::size_t"), ("id", "int"), ("intensity.sum.value", "double"),
         ("intensity.sum.variance", "double"), ("n_signal", "int"), ("panel", "std::size_t"),
         ("shoebox", "Shoebox<>"), ("xyzobs.px.value", "vec3<double>"),
         ("xyzobs.px.variance", "vec3<double>")]
given = {"flags": flags, "xyzobs.px.value": xyz, "intensity.prf.value": intensity,
         "intensity.sum.value": intensity, "intensity.prf.variance": np.full(rows, 400.0),
         "intensity.sum.variance": np.full(rows, 400.0), "id": np.zeros(rows, "<i4"),
         "imageset_id": np.zeros(rows, "<i4")}
def shoeboxes():  # of 4 x 4 x 4 pixels: 797 bytes
    box = np.zeros(rows, [("panel", "<u4"), ("box", "<i4", 6), ("flag", "u1"), ("data", "<f4", 64),
                          ("mask", "<i4", 64), ("background", "<f4", 64)])
    box["box"] = [0, 4, 0, 4, 0, 4]
    box["flag"], box["mask"] = 1, 5
    box["data"] = rng.integers(0, 200, (rows, 64))
    return box
for name, columns in (("plain", plain), ("boxed", boxed)):
    with open(f"{folder}/{name}.refl", "wb") as f:
        f.write(d.array(3) + d.text("dials::af::reflection_table") + d.uint(1) + d.mapping(3) +
                d.text("identifiers") + d.mapping(1) + d.uint(0) + d.text("id-0") + d.text("nrows") +
                d.uint(rows) + d.text("data") + d.mapping(len(columns)))
        for column, kind in columns:
            data = given[column] if column in given else shoeboxes() if kind == "Shoebox<>" \
                else numbers[kind]()
            data = np.ascontiguousarray(data).tobytes()
            f.write(d.text(column) + d.array(2) + d.text(kind) + d.array(2) + d.uint(rows) +
                    d.binary_head(len(data)))
            f.write(data)
with open(f"{folder}/in.expt", "w") as f:
    json.dump(d.experiments([d.scan(last=images, width=0.1)]), f, indent=2)
"""

PUBLISHED = """
import sys
from dials.array_family import flex
from dials.util import detect_blanks
from dxtbx.model.experiment_list import ExperimentListFactory
expts = ExperimentListFactory.from_json_file(sys.argv[1], check_format=False)
refl = flex.reflection_table.from_file(sys.argv[2])
f, scan = refl.flags, expts[0].scan
strong, integrated = refl.get_flags(f.strong), refl.get_flags(f.integrated)
indexed = refl.get_flags(f.indexed) & ~refl.get_flags(f.centroid_outlier)
results = [detect_blanks.blank_counts_analysis(refl.select(strong), scan, phi_step=2,
                                               fractional_loss=0.1)]
if indexed.count(True):
    results.append(detect_blanks.blank_counts_analysis(refl.select(indexed), scan, phi_step=2,
                                                       fractional_loss=0.1))
if integrated.count(True) and "intensity.prf.value" in refl:
    results.append(detect_blanks.blank_integrated_analysis(refl.select(integrated), scan, phi_step=2,
                                                           fractional_loss=0.1))
good = [True] * scan.get_num_images()
for result in results:
    for first, last in result["blank_regions"]:
        good[first:last] = [False] * (last - first)
best, start = (0, 0), None
for i, g in enumerate(good + [False]):
    if g and start is None:
        start = i
    elif not g and start is not None:
        best, start = max(best, (start, i), key=lambda r: r[1] - r[0]), None
z = refl["xyzobs.px.value"].parts()[2]
refl.select((z >= best[0]) & (z < best[1])).as_file(sys.argv[4])
expts[0].scan = scan[best[0]:best[1]]
expts.as_file(sys.argv[3])
"""


def compare(args, scratch, name, table):
    tool = benchlib.emd_tool(args, "emdblanks")
    expt, refl = f"{scratch}/in.expt", f"{scratch}/{name}.refl"
    size = os.path.getsize(refl)

    def tool_to(out):
        return [tool, "-q", expt, refl, f"output.experiments={out}.expt",
                f"output.reflections={out}.refl"]

    subprocess.run(tool_to(f"{scratch}/{name}_model"), check=True)
    model = f"{scratch}/{name}_model.refl"
    for path in (refl, model):
        benchlib.warm(path)
    runs = [benchlib.Run("emdblanks", tool_to(f"{scratch}/ours"), output=f"{scratch}/ours.refl"),
            benchlib.Run("cp + fsync", ["cp", model, f"{scratch}/copy.refl"],
                         output=f"{scratch}/copy.refl", sync=True),
            benchlib.Run("dd, O_DIRECT + fsync", ["dd", "bs=4M", "oflag=direct", "conv=fsync",
                                                  f"if={model}", f"of={scratch}/direct.refl"],
                         output=f"{scratch}/direct.refl"),
            benchlib.Run("cp, no fsync", ["cp", model, f"{scratch}/lazy.refl"],
                         output=f"{scratch}/lazy.refl"),
            benchlib.Run("DIALS Python", [benchlib.PYTHON, "-c", PUBLISHED, expt, refl,
                                          f"{scratch}/theirs.expt", f"{scratch}/theirs.refl"],
                         output=f"{scratch}/theirs.refl")]
    results = benchlib.interleave(runs, args.rounds, slow=("DIALS Python",) if args.rounds > 3 else ())
    if "DIALS Python" in results:
        if subprocess.run(["cmp", "-s", f"{scratch}/ours.refl", f"{scratch}/theirs.refl"],
                          check=False).returncode != 0:
            sys.exit(f"{name}: emdblanks and DIALS write different tables")
    for run in runs:
        if run.name not in results:
            continue
        r = results[run.name]
        table.add(f"{name} ({size / 1e6:.0f} MB): {run.name}", r.wall, r.cpu, r.rss / 2**20,
                  r.size / 1e6, 1 / benchlib.paired_ratio(results["cp + fsync"], r),
                  benchlib.paired_ratio(results["DIALS Python"], r)
                  if "DIALS Python" in results else None)


def main():
    p = benchlib.parser(__doc__)
    p.add_argument("--rows", type=int, default=1000000)
    p.add_argument("--samples", help="folder (dials/ of EMDTOOLS_TEST_DATA)")
    args = p.parse_args()
    samples = args.samples or benchlib.test_data(args, "dials")
    table = benchlib.Table("contestant", "wall s", "CPU s", "peak MiB", "output MB", "x cp",
                           "x faster than Python")
    with benchlib.scratch_folder(args) as scratch:
        if not os.path.exists(f"{scratch}/in.expt"):
            subprocess.run([benchlib.PYTHON, "-c", MAKE, os.path.join(benchlib.SOURCE, "tests"),
                            str(args.rows), scratch], check=True)
        for name in ("boxed", "plain"):
            compare(args, scratch, name, table)
        runs = [benchlib.Run(name, [benchlib.emd_tool(args, "emdblanks"), "-q",
                                    f"{samples}/{name}/integrated.expt",
                                    f"{samples}/{name}/integrated.refl",
                                    f"output.experiments={scratch}/s.expt",
                                    f"output.reflections={scratch}/s.refl"],
                             output=f"{scratch}/s.refl")
                for name in ("fade", "velox", "quartz") if os.path.isdir(f"{samples}/{name}")]
        for name, r in benchlib.interleave(runs, 4 * args.rounds).items():
            table.add(f"sample {name}", r.wall, r.cpu, r.rss / 2**20, r.size / 1e6, None, None)
    benchlib.record("blank images of a million reflections", table, args,
                    notes=["page cache warm; 'x cp': wall time in units of cp + fsync of the output"])


if __name__ == "__main__":
    main()
