# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""From movies of several crystals to one data set, with real DIALS: emdprocess P1, then merge.

A dead crystal and one of another compound are left out with the right reasons; the statistics are
those of the same commands run by hand; the intensities are those that were simulated; what is
exported can be read.
"""

import json
import math
import os
import shutil
import unittest

import dialslib as d

# Small and bright: what takes time is DIALS.
SIZE = ("--size", 384, "--step", 1.5, "--frames", 40, "--brightness", 2)
CELL = (5.34, 6.46, 10.86, 90, 91.3, 90)
CRYSTALS = {"0103": 3, "0105": 5, "0107": 7}
NAMES = [f"20260101_{minute}" for minute in CRYSTALS]
FOREIGN, DEAD = "20260101_0121", "20260101_0120"
ONE = ("-D", "nproc=1")


def movie(minute):
    return f"project/images/Camera_Ceta_20260101_{minute}_618_mm.emd"


def emdprocess(*options, code=0):
    return d.run(d.tool("emdprocess"), *ONE, *options, code=code, cwd="project")


def merged(name):
    return os.path.join("project", "merged", "merge", name)


def statistics(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


class Merge(unittest.TestCase):
    """In the order of their names: each goes on where the one before ended."""

    @classmethod
    def setUpClass(cls):
        for name in ("HDF5_PLUGIN_PATH", "PYTHONPATH"):
            os.environ.pop(name, None)
        os.makedirs("project/images")
        for minute, n in CRYSTALS.items():
            d.run(d.tool("emdsim"), "-q", *SIZE, "--orientation", n, "--seed", n, movie(minute), quiet=True)
        d.run(d.tool("emdsim"), "-q", *SIZE, "--orientation", 21, "--seed", 21, "--cell", "7.1,8.3,9.4,90,90,90",
              movie("0121"), quiet=True)
        d.run(d.tool("emdsim"), "-q", *SIZE, "--frames", 12, "--seed", 20, "--no-crystal", movie("0120"), quiet=True)
        emdprocess("P1", code=1)  # the dead one fails

    def test_1_merge(self):
        out = emdprocess("-D", "composition=C2H5NO2", "merge")
        self.assertIn(f"{DEAD}: left out: failed at ", out)
        self.assertIn(f"{FOREIGN}: left out: cluster 2; required: cluster = 1 (another lattice: 7.1", out)
        self.assertIn("merged/merge: done", out)
        with open(merged("emdprocess.json"), encoding="utf-8") as f:
            self.assertEqual(json.load(f)["selection"]["crystals"], NAMES)
        rows = json.loads(d.run(d.tool("emdlist"), "--format", "json", "merged/merge", cwd="project"))
        self.assertEqual([r["path"] for r in rows], ["merged/merge"])
        row = rows[0]
        self.assertEqual((row["outcome"], row["symmetry"]), ("good", "P 1 2/m 1"))
        for key, value in zip("abc", CELL):
            self.assertAlmostEqual(row[key], value, delta=0.005 * value)
        print({key: row[key] for key in ("resolution", "completeness", "multiplicity", "cc_half", "r_pim")})
        self.assertGreater(row["cc_half"], 0.95)
        single = json.loads(d.run(d.tool("emdlist"), "--format", "json", "P1/not_blank", cwd="project"))
        self.assertGreater(row["completeness"], max(r["completeness"] for r in single if r["path"][:13] in NAMES))

    def test_2_nothing_is_done_twice(self):
        before = os.stat(merged("scaled.refl")).st_mtime_ns
        same = ("-D", "composition=C2H5NO2", "merge")
        self.assertIn("0 done, 1 unchanged", emdprocess("-v", *same))
        self.assertIn("done       merged/merge", emdprocess("--status", *same))
        self.assertEqual(os.stat(merged("scaled.refl")).st_mtime_ns, before)

    def test_3_exports(self):
        from iotbx import mtz
        from iotbx.reflection_file_reader import any_reflection_file
        merge = mtz.object(merged("merged.mtz"))
        self.assertIn("IMEAN", merge.column_labels())
        self.assertGreater(mtz.object(merged("unmerged.mtz")).n_reflections(), merge.n_reflections())
        shelx = any_reflection_file(merged("shelx.hkl") + "=hklf4").as_miller_arrays()
        self.assertGreater(shelx[0].size(), merge.n_reflections())
        self.assertEqual(len([f for f in os.listdir(merged("xds_ascii")) if f.endswith(".HKL")]), len(NAMES))
        for name in ("dials.ins", "scaled.cif", "cell.cif"):
            self.assertGreater(os.path.getsize(merged(name)), 100)

        with open(merged("shelx.ins"), encoding="utf-8") as f:
            lines = f.read().splitlines()
        self.assertEqual([line.split()[1] for line in lines if line.startswith("SFAC")], ["C", "H", "N", "O"])
        self.assertIn("UNIT 8 20 4 8", lines)

    def test_3_scattering_factors(self):
        """Those of cctbx, from the same table."""
        from cctbx.eltbx import e_scattering
        worst = 0
        for name in ("H", "Li", "C", "N", "O", "Na", "P", "S", "Cl", "K", "Fe", "Br", "I", "Pt", "U"):
            text = d.run(d.tool("emdins"), "-c", name, merged("dials.ins"), quiet=True)
            words = text.split("SFAC")[1].replace("=", " ").split()[1:10]
            a, b, c = [float(w) for w in words[0:8:2]], [float(w) for w in words[1:8:2]], float(words[8])
            gaussian = e_scattering.ito_vol_c_2011_table_4_3_2_2_entry_as_gaussian(name)
            for i in range(121):
                s = i / 100
                f = sum(x * math.exp(-y * s * s) for x, y in zip(a, b)) + c
                worst = max(worst, abs(f / gaussian.at_stol(s) - 1))
        print(f"scattering factors: off by at most {100 * worst:.2f} %")
        self.assertLess(worst, 0.015)

    def test_4_by_hand(self):
        """The same commands, typed."""
        shutil.rmtree("hand", ignore_errors=True)
        os.mkdir("hand")
        inputs = [f"../project/{name}/P1/not_blank.{kind}" for name in NAMES for kind in ("expt", "refl")]
        d.run("dials.cosym", *inputs, cwd="hand")
        d.run("dials.two_theta_refine", "symmetrized.expt", "symmetrized.refl", cwd="hand")
        with open(merged("resolution.phil"), encoding="utf-8") as f:
            limit = f.read().strip()
        d.run("dials.scale", "refined_cell.expt", "symmetrized.refl", limit, "filtering.method=deltacchalf",
              "filtering.deltacchalf.mode=image_group", "json=scaled.json", cwd="hand")
        d.assert_same_tables(merged("scaled.refl"), "hand/scaled.refl")
        ours, theirs = statistics(merged("scaled.json")), statistics("hand/scaled.json")
        self.assertEqual(ours["scaling_tables"] if "scaling_tables" in ours else next(iter(ours.values())),
                         theirs["scaling_tables"] if "scaling_tables" in theirs else next(iter(theirs.values())))

    def test_5_one_less(self):
        """Another list repeats everything; what was merged before is merged again the same way."""
        emdprocess("merge", "--trial", "two", *NAMES[:2])
        rows = json.loads(d.run(d.tool("emdlist"), "--format", "json", "merged/two", cwd="project"))
        self.assertEqual(rows[0]["outcome"], "good")
        self.assertIn("2 of 5 crystals", emdprocess("--status", "--trial", "two", "merge", *NAMES[:2]))


if __name__ == "__main__":
    unittest.main()
