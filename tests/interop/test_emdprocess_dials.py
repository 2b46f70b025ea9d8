# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdprocess with DIALS: the shipped recipes on a simulated crystal and on a movie without one; resumed
after kills with the same results.

Skipped (exit 77) where DIALS is not installed: on Debian, apt-get install dials python3-hdf5plugin.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ["EMDTOOLS_BIN"]
CELL = (5.34, 6.46, 10.86, 90, 91.3, 90)
FRAMES, BLANK_FROM, STEP = 72, 61, 0.75

if not shutil.which("dials.import"):
    print("skipped: DIALS is not installed")
    sys.exit(77)

DXTBX = os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "share", "emdtools", "dxtbx")
sys.path.insert(0, DXTBX)
from dials.array_family import flex  # noqa: E402
from dxtbx.model.experiment_list import ExperimentListFactory  # noqa: E402


def tool(name, *args, code=0):
    start = time.monotonic()
    run = subprocess.run([os.path.join(BIN, name), *map(str, args)], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    print(f"{name} {' '.join(map(str, args))}: {time.monotonic() - start:.0f} s", flush=True)
    if run.returncode != code:
        raise AssertionError(f"{name} {args}: exit {run.returncode}, not {code}\n{run.stdout}")
    return run.stdout


def record(trial):
    with open(f"{trial}/emdprocess.json", encoding="utf-8") as f:
        return {s["name"]: s for s in json.load(f)["stages"]}


def table(trial):
    """All columns of the scaled reflections, as text."""
    t = flex.reflection_table.from_file(f"{trial}/not_blank/scaled.refl")
    return {name: [str(x) for x in t[name]] for name in t.keys()}


class Project(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(dir=".")
        cls.addClassCleanup(folder.cleanup)
        cls.addClassCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        tool("emdprocess", "--init", "demo")
        data = "data/demo/compressed"
        tool("emdsim", "-q", "--size", 512, "--frames", FRAMES, "--step", STEP, "--seed", 3,
             "--blank", f"{BLANK_FROM}:{FRAMES}", f"{data}/Camera_Ceta_20260103_1512_620_mm.emd")
        # beam off: not a single spot
        tool("emdsim", "-q", "--size", 512, "--frames", 12, "--no-crystal", "--dose", 0, "--noise", 0,
             f"{data}/Camera_Ceta_20260103_1520_620_mm.emd")
        os.chdir("work/demo")
        with open("emdprocess.conf", "w", encoding="utf-8") as f:
            # nproc: the blocks of integration depend on it
            f.write("distance = 618\nnproc = 1\nmP.unit_cell = " + ",".join(map(str, CELL)) + "\n")
        tool("emdprocess", "P1", code=1)

    def check_cell(self, expt):
        (crystal,) = ExperimentListFactory.from_json_file(expt, check_format=False).crystals()
        found = list(crystal.get_unit_cell().parameters())
        # Axes can point either way: in P 1, 88.7 degrees is as good as 91.3.
        found[3:] = [max(x, 180 - x) for x in found[3:]]
        for a, b in zip(found, CELL):
            self.assertLess(abs(a - b), 0.005 * b, found)
        return crystal

    def test_1_p1(self):
        good, bad = "20260103_1512/P1", "20260103_1520/P1"
        self.check_cell(f"{good}/integrated.expt")
        stages = record(good)
        self.assertEqual({s["state"] for s in stages.values()}, {"done"})
        self.assertTrue(stages["scale"]["dials"])
        (expt,) = ExperimentListFactory.from_json_file(f"{good}/not_blank/scaled.expt", check_format=False)
        first, last = expt.scan.get_image_range()
        margin = 2 * 2 / STEP  # two bins of two degrees
        self.assertLessEqual(first, 1 + margin)
        self.assertLessEqual(abs(last - (BLANK_FROM - 1)), margin)
        self.assertEqual(record(bad)["find_spots"]["state"], "failed")
        listed = tool("emdlist", "P1/not_blank")
        self.assertRegex(listed, "20260103_1512/P1 .*Best solution: P 1 2/m 1")
        self.assertRegex(listed, "20260103_1520/P1 .*failed at find_spots: no spots found")

    def test_2_again(self):
        before = os.stat("20260103_1512/P1/emdprocess.json").st_mtime_ns
        out = tool("emdprocess", "P1", code=1)
        self.assertIn("2 crystals: 0 done, 1 unchanged, 1 failed", out)
        self.assertIn("as before", out)
        self.assertEqual(os.stat("20260103_1512/P1/emdprocess.json").st_mtime_ns, before)
        self.assertEqual(re.findall(r"^  (\w+):", tool("emdprocess", "-n", "-D", "d_min=0.9", "P1",
                                                       "20260103_1512"), re.MULTILINE),
                         ["integrate", "check_indexing_symmetry", "scale", "filter_blanks", "symmetry", "rescale"])

    def test_3_mp(self):
        out = tool("emdprocess", "mP", code=1)
        self.assertIn("20260103_1512/mP: done", out)
        self.assertIn("20260103_1520/mP: failed at index: there is no ../P1/strong.refl: "
                      "P1 failed at find_spots: Saved 0 reflections", out)
        crystal = self.check_cell("20260103_1512/mP/not_blank/scaled.expt")
        self.assertEqual(str(crystal.get_space_group().info()), "P 1 2 1")

    def test_4_killed(self):
        """kill -9 at random moments: the same results in the end."""
        shutil.copytree(".", "../again", symlinks=True,
                        ignore=lambda d, names: [n for n in names if n.startswith("2026")])
        want = table("20260103_1512/P1")
        os.chdir("../again")
        self.addCleanup(os.chdir, "../demo")
        rng = random.Random(7)
        for _ in range(6):
            process = subprocess.Popen([os.path.join(BIN, "emdprocess"), "-q", "P1", "20260103_1512"])
            try:
                process.wait(rng.uniform(2, 14))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            print("killed", flush=True)
        tool("emdprocess", "P1", "20260103_1512")
        self.assertEqual(table("20260103_1512/P1"), want)

    def test_5_image_range_and_mask(self):
        """A part of the images, with a mask, as far as the spots."""
        (full,) = ExperimentListFactory.from_json_file("20260103_1512/P1/imported.expt")
        os.chdir("20260103_1512")
        subprocess.run(["dials.generate_mask", "P1/imported.expt", "untrusted.circle=256,256,60",
                        "output.mask=../pixels.mask"], check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, PYTHONPATH=DXTBX))
        os.chdir("..")
        self.addCleanup(os.unlink, "pixels.mask")
        with open("20260103_1512/emdprocess.conf", "w", encoding="utf-8") as f:
            f.write("part.image_range = 11,30\n")
        tool("emdprocess", "--trial", "part", "--stage", "import,find_spots", "P1", "20260103_1512")
        (expt,) = ExperimentListFactory.from_json_file("20260103_1512/part/imported.expt")
        self.assertEqual(expt.scan.get_image_range(), (11, 30))
        self.assertAlmostEqual(expt.scan.get_oscillation()[0],
                               full.scan.get_oscillation()[0] + 10 * full.scan.get_oscillation()[1], 6)
        self.assertTrue((expt.imageset.get_raw_data(0)[0] == full.imageset.get_raw_data(10)[0]).all_eq(True))
        spots = flex.reflection_table.from_file("20260103_1512/part/strong.refl")
        x, y, z = spots["xyzobs.px.value"].parts()
        self.assertGreater(len(spots), 20)
        self.assertTrue(min(z) >= 10 and max(z) <= 30)
        self.assertTrue(min((a - 256) ** 2 + (b - 256) ** 2 for a, b in zip(x, y)) > 55 ** 2)


if __name__ == "__main__":
    unittest.main(verbosity=1)
