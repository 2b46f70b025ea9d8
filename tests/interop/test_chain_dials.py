# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The same results whatever other format classes are installed in DIALS: none; one called FormatVelox that
says 2000 mm and a gain of 26 of every file, as laboratories install it; one that raises. The movie has no
gain, pedestal or beam centre in its metadata, the beam is off the middle and behind a beam stop, whose
shadow emdprocess masks by itself.

In the default run as far as the spots, which must be the same to the bit, and one lattice from them; with
"full" (nightly) P1 and mP to the end, all three.
"""

import json
import os
import pickle
import subprocess
import sys
import unittest

import numpy as np

# dxtbx looks for classes when it is imported.
sys.path.insert(1, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "share", "emdtools", "dxtbx"))
os.environ["EMDTOOLS_FORMAT"] = "1"
import dialslib as d  # noqa: E402
import otherreaders  # noqa: E402
from dials.array_family import flex  # noqa: E402
from dxtbx.model.experiment_list import ExperimentListFactory  # noqa: E402

FULL = sys.argv[1:] == ["full"]
CELL = (5.34, 6.46, 10.86, 90, 91.3, 90)
SIZE, FRAMES = 512, 72 if FULL else 48
CENTRE, STOP = (250.5, 268.0), (16, 60)  # pixels; radius and the direction of the rod
READERS = {"alone": None, "guesses": otherreaders.GUESSES, "raises": otherreaders.RAISES}
CRYSTAL = "20260103_1512"
P1, MP = f"{CRYSTAL}/P1", f"{CRYSTAL}/mP"


def shadow(margin):
    """What the stop hides, the edge moved outwards by 'margin' pixels."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    angle = np.radians(STOP[1])
    dx, dy = x - CENTRE[0], y - CENTRE[1]
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return ((along > 0) & (abs(across) < 0.6 * STOP[0] + margin)) | (np.hypot(dx, dy) < STOP[0] + margin)


def run_all(*options, readers=READERS):
    """emdprocess in the projects of these readers, side by side, each with one core."""
    environment = {name: os.environ.get(name) for name in ("PATH", "HOME", "LANG", "TMPDIR")}
    environment = {name: value for name, value in environment.items() if value}
    running = {}
    for name in readers:
        source = READERS[name]
        path = {"PYTHONPATH": otherreaders.install(source)} if source else {}
        running[name] = subprocess.Popen(
            [d.tool("emdprocess"), "-v", "-j", "1", "--project", name, "-D", "nproc=1", *options],
            env=dict(environment, **path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for name, process in running.items():
        out, _ = process.communicate()
        print(f"--- {name}\n{out}", flush=True)
        if process.returncode != 0:
            raise AssertionError(f"{name}: exit {process.returncode}")


def cell_of(path):
    """Angles above 90: axes can point either way."""
    crystal = ExperimentListFactory.from_json_file(path, check_format=False)[0].crystal
    cell = crystal.get_unit_cell().parameters()
    return np.array([*cell[:3], *(max(x, 180 - x) for x in cell[3:])])


def listed(project, trial):
    (row,) = json.loads(d.run(d.tool("emdlist"), "--format", "json", trial, cwd=project, quiet=True))
    return row


class Chain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        d.run(d.tool("emdsim"), "-q", "--size", SIZE, "--frames", FRAMES, "--step", 0.75 if FULL else 1, "--seed", 3,
              "--gain", 3, "--beam-centre", f"{CENTRE[0]},{CENTRE[1]}", f"--beam-stop={STOP[0]},{STOP[1]}",
              "--omit", "gain", "movie.emd")
        for name in READERS:
            os.makedirs(f"{name}/images")
            os.link("movie.emd", f"{name}/images/Camera_Ceta_{CRYSTAL}_618_mm.emd")
            with open(f"{name}/emdprocess.conf", "w", encoding="utf-8") as f:
                f.write("distance = 618\nmP.unit_cell = " + ",".join(map(str, CELL)) + "\n")
        if FULL:
            run_all("P1")
            run_all("mP")
        else:
            run_all("--stage", "import,find_spots", "P1")
            run_all("--stage", "index", "P1", readers=["alone"])

    def test_1_same(self):
        """Models and spots to the bit, cells and resolution within noise; and right."""
        models = d.models(f"alone/{P1}/imported.expt", "movie")
        for name in READERS:
            with self.subTest(name):
                with open(f"{name}/{P1}/emdprocess.json", encoding="utf-8") as f:
                    used = json.load(f)["geometry"]
                self.assertEqual(used["reader"], "FormatVeloxEMD")
                self.assertEqual(used["gain"]["from"], "pixels")
                self.assertLess(abs(float(used["gain"]["value"]) / 3 - 1), 0.15)
                self.assertLess(abs(float(used["pedestal"]["value"]) + 40), 2)
                for found, true in zip(used["beam_centre_px"]["value"].split(","), CENTRE):
                    self.assertLess(abs(float(found) - true), 2)
                other = d.models(f"{name}/{P1}/imported.expt", "movie")
                self.assertEqual(other["detector"], models["detector"])
                self.assertEqual(other["scan"], models["scan"])
                d.assert_same_tables(f"alone/{P1}/strong.refl", f"{name}/{P1}/strong.refl")
                lattices = [f"{P1}/integrated.expt", f"{MP}/integrated.expt"] if FULL else [f"{P1}/indexed.expt"]
                for path in lattices if FULL or name == "alone" else ():
                    cell = cell_of(f"{name}/{path}")
                    print(name, path, cell.round(4), flush=True)
                    self.assertLess(abs(cell / cell_of(f"alone/{path}") - 1).max(), 5e-4)
                    self.assertLess(abs(cell / CELL - 1).max(), 0.005)

    @unittest.skipUnless(FULL, "nightly")
    def test_2_resolution(self):
        for trial in ("P1", "P1/not_blank", "mP", "mP/not_blank"):
            rows = {name: listed(name, trial) for name in READERS}
            for name, row in rows.items():
                print(name, trial, row["resolution"], row["cc_half"], row["outcome"], flush=True)
                self.assertEqual(row["outcome"], "good")
                self.assertLess(abs(row["resolution"] - rows["alone"]["resolution"]), 0.02)
                self.assertLess(abs(row["cc_half"] - rows["alone"]["cc_half"]), 0.02)

    def test_3_beam_stop(self):
        """The mask covers the shadow and little else; DIALS reads it, and takes nothing from behind it."""
        with open(f"alone/{CRYSTAL}/beam_stop.mask", "rb") as f:
            (panel,) = pickle.load(f)
        used = panel.as_numpy_array()
        self.assertEqual(used.shape, (SIZE, SIZE))
        self.assertLess(used[shadow(-3)].mean(), 0.02)
        self.assertGreater(used[~shadow(8)].mean(), 0.995)
        # dials.generate_mask makes the same of the outline but for pixels that the edge cuts.
        d.run(d.tool("emdinfo"), "--mask", "stop.phil", "movie.emd")
        environment = dict(os.environ, PYTHONPATH=d.DXTBX)
        d.run("dials.generate_mask", f"alone/{P1}/imported.expt", "stop.phil", "output.mask=theirs.mask",
              env=environment)
        with open("theirs.mask", "rb") as f:
            (theirs,) = pickle.load(f)
        # They also leave out what the trusted range excludes in the first image: nothing here.
        self.assertLess((theirs.as_numpy_array() != used).sum(), 0.02 * (~used).sum() + 20)
        (expt,) = ExperimentListFactory.from_json_file(f"alone/{P1}/imported.expt")
        self.assertTrue(expt.imageset.external_lookup.mask.filename.endswith(f"{CRYSTAL}/beam_stop.mask"))
        self.assertTrue((expt.imageset.external_lookup.mask.data.tile(0).data().as_numpy_array() == used).all())
        tables = ["strong.refl"] + ["integrated.refl"] * FULL
        for name in tables:
            table = flex.reflection_table.from_file(f"alone/{P1}/{name}")
            if name == "integrated.refl":
                table = table.select(table.get_flags(table.flags.integrated_sum))
            x, y, _ = (v.as_numpy_array() for v in table["xyzobs.px.value"].parts())
            inside = ~used[np.clip(y.astype(int), 0, SIZE - 1), np.clip(x.astype(int), 0, SIZE - 1)]
            print(name, len(table), "of them behind the stop:", inside.sum(), flush=True)
            self.assertGreater(len(table), 100)
            self.assertEqual(inside.sum(), 0)
        status = d.run(d.tool("emdprocess"), "--project", "alone", "--status", "P1", quiet=True)
        self.assertIn(f"mask {CRYSTAL}/beam_stop.mask (pixels (shadow of the beam stop))", status)


if __name__ == "__main__":
    unittest.main(verbosity=1, argv=sys.argv[:1])
