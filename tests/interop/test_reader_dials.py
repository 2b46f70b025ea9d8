# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The class that reads movies in DIALS, beside other classes for the same files: FormatVelox as
laboratories install it (it says 2000 mm and a gain of 26 of every file), one that raises, and one that
cannot read. What emdprocess and what typed commands get; filters that are not there; warnings.

Only dials.import runs here. Skipped (exit 77) where DIALS is not installed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import otherreaders

if not shutil.which("dials.import"):
    print("skipped: DIALS is not installed")
    sys.exit(77)

BIN = os.environ["EMDTOOLS_BIN"]
DXTBX = os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "share", "emdtools", "dxtbx")
PLUGINS = os.path.join(BIN, "..", "plugins")

CASES = {"guesses": otherreaders.GUESSES, "raises": otherreaders.RAISES,
         "raises at once": otherreaders.RAISES_AT_ONCE}


class Reader(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(dir=".")
        cls.addClassCleanup(folder.cleanup)
        cls.addClassCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        subprocess.run([os.path.join(BIN, "emdsim"), "-q", "--size", "64", "--frames", "12", "movie.emd"],
                       check=True)

    def dials_import(self, movie, *folders, code=0, **env):
        """(output, panel) of dials.import with these folders on PYTHONPATH."""
        if os.path.exists("imported.expt"):
            os.unlink("imported.expt")
        path = {"PYTHONPATH": ":".join(folders), "HDF5_PLUGIN_PATH": PLUGINS}
        run = subprocess.run(["dials.import", movie], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False, env=dict(os.environ, **dict(path, **env)))
        self.assertEqual(run.returncode != 0, code != 0, run.stdout)
        if code:
            return run.stdout, None
        with open("imported.expt", encoding="utf-8") as f:
            panel = json.load(f)["detector"][0]["panels"][0]
        panel["gain"] = round(panel["gain"], 6)
        return run.stdout, panel

    def test_beside_others(self):
        for case, source in CASES.items():
            with self.subTest(case):
                folder = otherreaders.install(source)
                out, panel = self.dials_import("movie.emd", folder, DXTBX, EMDTOOLS_FORMAT="1")
                self.assertIn("FormatVeloxEMD'", out)
                self.assertEqual((panel["gain"], -panel["origin"][2]), (2, 618))
                # By hand, a class that reads the file has it; a broken one does not.
                out, panel = self.dials_import("movie.emd", folder, DXTBX)
                if case == "guesses":
                    self.assertIn("FormatVelox'", out)
                    self.assertEqual((panel["gain"], -panel["origin"][2]), (26, 2000))
                else:
                    self.assertIn("FormatVeloxEMD'", out)
                    self.assertIn("FormatVelox cannot read it (AttributeError", out)

    def test_whatever_its_name(self):
        """A class that would be tried first, by its name or its place."""
        for name, base in (("FormatAAA", "Format"), ("FormatAAA", "FormatHDF5")):
            folder = otherreaders.install(CASES["raises"], name, base)
            out, panel = self.dials_import("movie.emd", folder, DXTBX, EMDTOOLS_FORMAT="1")
            self.assertIn("FormatVeloxEMD'", out)
            self.assertEqual(panel["gain"], 2)

    def test_through_emdprocess(self):
        folder = otherreaders.install(CASES["guesses"])
        os.makedirs("project/images")
        shutil.copy("movie.emd", "project/images/c.emd")
        env = dict(os.environ, PYTHONPATH=folder, EMDTOOLS_FORMAT="0", DIALS_USE_H5="1")
        out = subprocess.run([os.path.join(BIN, "emdprocess"), "--project", "project", "--stage", "import", "P1"],
                             env=env, capture_output=True, text=True, check=True)
        with open("project/c/P1/emdprocess.json", encoding="utf-8") as f:
            used = json.load(f)["geometry"]
        self.assertEqual(used["reader"], "FormatVeloxEMD", out)
        self.assertEqual(used["distance_mm"]["value"], "618")
        self.assertEqual(used["gain"], {"value": "2", "from": "metadata"})

    def test_missing_filter(self):
        subprocess.run([os.path.join(BIN, "emdrepack"), "-q", "-c", "edc", "movie.emd", "packed.emd"], check=True)
        out, panel = self.dials_import("packed.emd", DXTBX)
        self.assertEqual(panel["gain"], 2)
        out, _ = self.dials_import("packed.emd", DXTBX, code=1, HDF5_PLUGIN_PATH="/nonexistent")
        self.assertIn("33200", out)
        self.assertIn("h5plugin-config --doctor", out)

    def test_warnings(self):
        subprocess.run([os.path.join(BIN, "emdsim"), "-q", "--size", "64", "--frames", "30", "--rest", "6:4",
                        "--omit", "gain,distance,voltage", "bare.emd"], check=True)
        out, panel = self.dials_import("bare.emd", DXTBX)
        self.assertIn("the stage turns in images 7 to 26 only: import with image_range=7,26", out)
        self.assertIn("no camera length is recorded, 2000 mm assumed", out)
        self.assertIn("no gain is recorded, 1 assumed", out)
        self.assertIn("no voltage is recorded, 200 kV assumed", out)
        self.assertEqual(panel["gain"], 1)


if __name__ == "__main__":
    unittest.main(verbosity=1)
