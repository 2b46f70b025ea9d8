# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdblanks against DIALS: the same analysis bit for bit, the same rows and models as DIALS selects,
and outputs that DIALS' programs read.

Skipped (exit 77) where DIALS or the samples are missing: on Debian, apt-get install dials.
"""

import glob
import json
import os
import random
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
import dialsfiles as d  # noqa: E402

DATA = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "dials")
EMDBLANKS = os.path.join(os.environ["EMDTOOLS_BIN"], "emdblanks")
if not shutil.which("dials.scale") or not os.path.isdir(DATA):
    print("skipped: DIALS is not installed" if os.path.isdir(DATA) else "skipped: no samples")
    sys.exit(77)

from dials.array_family import flex  # noqa: E402
from dials.util import detect_blanks  # noqa: E402
from dxtbx.model.experiment_list import ExperimentListFactory  # noqa: E402


def emdblanks(*args):
    return subprocess.run([EMDBLANKS, *map(str, args)], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def run(*command):
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{command}: exit {result.returncode}\n{result.stdout[-3000:]}")
    return result.stdout


def load(expt):
    return ExperimentListFactory.from_json_file(expt, check_format=False)


def clear(*patterns):
    for pattern in patterns:
        for name in glob.glob(pattern):
            os.unlink(name)


class Analysis(unittest.TestCase):
    def test_random_scans(self):
        """Bins, values and blank bins of random scans and spots; regions, but for DIALS' two faults:
        a lone last bin, and bounds that rounding moved by an image."""
        rng = random.Random(1)
        compared = 0
        for _ in range(150):
            first = rng.choice([1, 1, 9, 57])
            images = rng.randint(2, 200)
            width = rng.choice([0.1, 0.15, 0.2, 0.3, 1 / 3, 0.4, 0.5, 0.6, 0.7, 1, 1.2, 0.0286,
                                rng.uniform(0.02, 3)])
            step = rng.choice([2, 2, 1, 3, 0.5, 5, rng.uniform(0.1, 10)])
            last = first + images - 1
            hole = rng.randint(0, images), rng.randint(0, images // 2)
            z = [rng.uniform(first - 1, last) if rng.random() < 0.8 else
                 float(rng.randint(first - 1, last)) for _ in range(rng.randint(1, 400))]
            z = [x for x in z if not hole[0] <= x - first + 1 <= sum(hole)] or [first - 0.5]
            table = d.spots(z, isigma=[rng.gauss(rng.choice([0, 5]), 3) for _ in z],
                            variance=[rng.uniform(0.1, 99) for _ in z], identifiers={0: "id-0"})
            table.write("random.refl")
            with open("random.expt", "w", encoding="utf-8") as f:
                json.dump(d.experiments([d.scan(first, last, rng.uniform(-99, 99), width)]), f)
            (ours,) = json.loads(emdblanks("-n", "--json", "random.expt", "random.refl",
                                           "--phi-step", repr(step)))["experiments"]
            refl, (expt,) = flex.reflection_table.from_file("random.refl"), load("random.expt")
            for kind, analysis in (("strong", detect_blanks.blank_counts_analysis),
                                   ("integrated", detect_blanks.blank_integrated_analysis)):
                try:
                    theirs = analysis(refl, expt.scan, phi_step=step, fractional_loss=0.1)
                except RuntimeError:  # shorter than a bin
                    continue
                bins = theirs["data"][0]
                self.assertEqual([b["value"] for b in ours[kind]["bins"]], list(bins["y"]))
                if max(bins["y"]) <= 0:
                    continue
                compared += 1
                blank = list(bins["blank"])
                self.assertEqual([b["blank"] for b in ours[kind]["bins"]], blank)
                if blank[-1] and not any(blank[-2:-1]):
                    theirs["blank_regions"].append((last - 1, last))
                for (a, b), (x, y) in zip(ours[kind]["blank"], theirs["blank_regions"]):
                    self.assertTrue(a - (x + 1) in (0, 1) and y - b in (0, 1) or b == y == last)
                self.assertEqual(len(ours[kind]["blank"]), len(theirs["blank_regions"]))
        self.assertGreater(compared, 250)


class Selection(unittest.TestCase):
    def same_table(self, refl, expected):
        self.assertEqual(sorted(refl.keys()), sorted(expected.keys()))
        self.assertEqual(refl.as_msgpack(), expected.as_msgpack())

    def test_tables(self):
        """flex reads the table that flex selects."""
        for pair, images in (("fade/integrated", (16, 56)), ("fade/indexed", (16, 56)),
                             ("velox/integrated", (8, 92)), ("quartz/integrated", (0, 100)),
                             ("fade/not_blank/scaled", (16, 56))):
            source = flex.reflection_table.from_file(f"{DATA}/{pair}.refl")
            emdblanks(f"{DATA}/{pair}.expt", f"{DATA}/{pair}.refl")
            z = source["xyzobs.px.value"].parts()[2]
            self.same_table(flex.reflection_table.from_file("not_blank.refl"),
                            source.select((z >= images[0]) & (z < images[1])))

    def test_several(self):
        source = flex.reflection_table.from_file(f"{DATA}/multi/combined.refl")
        emdblanks(f"{DATA}/multi/combined.expt", f"{DATA}/multi/combined.refl")
        z, i = source["xyzobs.px.value"].parts()[2], source["id"]
        expected = source.select((i == 0) | ((z >= 16) & (z < 56)))
        refl = flex.reflection_table.from_file("not_blank.refl")
        expected["imageset_id"] = expected["id"]  # combine_experiments left all of them at 0
        self.same_table(refl, expected)
        refl.assert_experiment_identifiers_are_consistent(load("not_blank.expt"))

    def test_models(self):
        """dials.slice_sequence of the same images makes the same models."""
        clear("integrated_*.expt", "integrated_*.refl")
        pair = (f"{DATA}/fade/integrated.expt", f"{DATA}/fade/integrated.refl")
        run("dials.slice_sequence", *pair, "image_range=17,56")
        emdblanks(*pair)
        (theirs,), (ours,) = load("integrated_17_56.expt"), load("not_blank.expt")
        self.assertEqual(ours.scan, theirs.scan)
        self.assertEqual(ours.scan.to_dict(), theirs.scan.to_dict())
        self.assertEqual(ours.crystal, theirs.crystal)
        self.assertEqual(ours.crystal.num_scan_points, 41)
        for i in range(41):
            for a, b in zip(ours.crystal.get_A_at_scan_point(i), theirs.crystal.get_A_at_scan_point(i)):
                self.assertAlmostEqual(a, b, places=14)
        for model in ("beam", "detector", "goniometer"):
            self.assertEqual(getattr(ours, model), getattr(theirs, model))
        self.assertEqual(ours.identifier, theirs.identifier)
        self.assertEqual(ours.profile.to_dict(), theirs.profile.to_dict())
        self.same_table(flex.reflection_table.from_file("not_blank.refl"),
                        flex.reflection_table.from_file("integrated_17_56.refl"))


class Programs(unittest.TestCase):
    def check_programs(self, expt, refl, count):
        out = run("dials.show", expt, refl)
        self.assertIn("A sampled at", out)
        run("dials.report", expt, refl, "output.html=report.html", "output.json=None")
        clear("symmetrized.*", "scaled.*")
        run("dials.symmetry", expt, refl)
        run("dials.scale", "symmetrized.expt", "symmetrized.refl")
        self.assertEqual(len(load("scaled.expt")), count)
        run("dials.export", "scaled.expt", "scaled.refl", "format=mtz", "intensity=scale")
        run("dials.plot_scan_varying_model", expt, "output.directory=plots")

    def test_longest(self):
        emdblanks(f"{DATA}/fade/integrated.expt", f"{DATA}/fade/integrated.refl")
        self.check_programs("not_blank.expt", "not_blank.refl", 1)
        # What is scaled already is cut, and can be scaled again.
        emdblanks("scaled.expt", "scaled.refl", "--counts-loss", 0.6,
                  "output.experiments=cut.expt", "output.reflections=cut.refl")
        self.assertLess(len(load("cut.expt")[0].scan), len(load("scaled.expt")[0].scan))
        run("dials.scale", "cut.expt", "cut.refl", "output.experiments=again.expt",
            "output.reflections=again.refl")

    def test_all_runs(self):
        emdblanks("--keep", "all", f"{DATA}/fade/integrated.expt", f"{DATA}/fade/integrated.refl",
                  "output.experiments=all.expt", "output.reflections=all.refl")
        expts = load("all.expt")
        self.assertEqual([e.scan.get_image_range() for e in expts], [(17, 56), (65, 92)])
        self.assertEqual([e.imageset.get_array_range() for e in expts], [(16, 56), (64, 92)])
        flex.reflection_table.from_file(
            "all.refl").assert_experiment_identifiers_are_consistent(expts)
        self.check_programs("all.expt", "all.refl", 2)

    def test_combine(self):
        for name in ("fade", "velox"):
            emdblanks(f"{DATA}/{name}/integrated.expt", f"{DATA}/{name}/integrated.refl",
                      f"output.experiments={name}.expt", f"output.reflections={name}.refl")
        clear("combined.*")
        run("dials.combine_experiments", "fade.expt", "fade.refl", "velox.expt", "velox.refl")
        self.assertEqual([len(e.scan) for e in load("combined.expt")], [40, 84])

    def test_before_integration(self):
        emdblanks(f"{DATA}/fade/indexed.expt", f"{DATA}/fade/indexed.refl",
                  "output.experiments=early.expt", "output.reflections=early.refl")
        run("dials.refine", "early.expt", "early.refl", "scan_varying=False",
            "detector.fix=distance", "output.experiments=refined.expt")
        self.assertEqual(load("refined.expt")[0].scan.get_image_range(), (17, 56))


if __name__ == "__main__":
    unittest.main(verbosity=1)
