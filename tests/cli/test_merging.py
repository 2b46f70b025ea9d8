# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Recipes over several crystals (scope = project): who is selected and why the others are not, and
what runs again when crystals come, go and change.

The crystals are folders as DIALS leaves them (tests/synthetic_trials.py), the commands of the
recipe are shell. Real DIALS is in tests/interop/test_merge_dials.py.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
import synthetic_trials as synthetic  # noqa: E402

BIN = os.environ["EMDTOOLS_BIN"]
CELL = (5.34, 6.46, 10.86, 90.0, 91.3, 90.0)
FOREIGN = (7.1, 8.3, 9.4, 90.0, 90.0, 90.0)
RECIPE = """
scope = project
set from = P1
set select = cluster = 1 and not resolution > 1.5
set crystals =
set tail = end
trials = ${from}
list data = ${from}/data.txt

stage join
  command = sh -c 'echo join >> ../ran; cat "$@" > joined.txt' - ${data}
  inputs  = ${data}
  outputs = joined.txt

stage end
  command = sh -c 'echo end >> ../ran; cat joined.txt > end.txt; echo $1 >> end.txt' - ${tail}
  inputs  = joined.txt
  outputs = end.txt
"""


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def crystal(name, cell=CELL, resolution=0.9, fails=False, data=True, symmetry=None, conventional=None):
    """A crystal as P1 leaves it."""
    at = f"{name}/P1"
    os.makedirs(at)
    rng = random.Random(name)
    version = "3.12.1"
    write(f"{at}/imported.expt", synthetic.expt("/images/x.emd", 1, 60))
    if fails:
        write(f"{at}/dials.index.log", synthetic.BANNER % version + "ERROR: No suitable lattice could be found.\n")
        return
    write(f"{at}/dials.integrate.log", synthetic.integrate_log(version, cell, 60))
    write(f"{at}/dials.scale.log", synthetic.scale_log(version, synthetic.merging(rng, resolution)))
    write(f"{at}/scaled.expt", synthetic.expt("/images/x.emd", 1, 55, cell))
    if data:
        write(f"{at}/data.txt", f"{name}\n")
    if symmetry:
        write(f"{at}/dials.symmetry.log", synthetic.BANNER % version + f"Best solution: {symmetry}\nUnit cell: \n")
        write(f"{at}/symmetrized.expt", synthetic.expt("/images/x.emd", 1, 55, conventional or cell))


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=".")
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        os.mkdir("images")
        write("set.recipe", RECIPE)

    def run_tool(self, *args, code=0, tool="emdprocess", recipe="set"):
        run = subprocess.run([os.path.join(BIN, tool), *([recipe] if recipe else []),
                              *map(str, args)], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(run.returncode, code, f"{args}:\n{run.stdout}{run.stderr}")
        return run.stdout + run.stderr

    def ran(self):
        stages = read("merged/ran").split() if os.path.exists("merged/ran") else []
        if stages:
            os.unlink("merged/ran")
        return stages

    def joined(self):
        return read("merged/set/joined.txt").split()


class SetCell(Case):
    """emdprocess --set-cell."""

    def set_cell(self, *args, code=0):
        return self.run_tool("--set-cell", *args, code=code, recipe="P1")

    def settings(self):
        return dict(line.split(" = ") for line in read("emdprocess.conf").splitlines() if line.startswith("mP."))

    def test_monoclinic(self):
        mono = "P 1 2/m 1"
        crystal("a", symmetry=mono)
        crystal("b", (5.36, 6.46, 10.86, 90, 88.7, 90), symmetry=mono)  # the other setting
        crystal("c", (5.34, 6.48, 10.90, 90.1, 91.4, 90.2), symmetry=mono, conventional=(5.34, 6.48, 10.90, 90, 91.4, 90))
        crystal("d", symmetry="P -1", conventional=(9, 9, 9, 80, 80, 80))
        crystal("e", FOREIGN, symmetry="P m m m")
        crystal("f", fails=True)
        out = self.set_cell()
        for text in ("P1: 6 crystals, 2 lattices", "1: 4 crystals, median reduced cell 5.34", f"{mono}: 3 crystals",
                     "P -1: 1 crystal\n", "mP.space_group = P2\n", "is unchanged; --yes"):
            self.assertIn(text, out)
        self.assertFalse(os.path.exists("emdprocess.conf"))
        self.set_cell("--yes", "-n")
        self.assertFalse(os.path.exists("emdprocess.conf"))
        self.set_cell("--yes")
        self.assertEqual(self.settings(), {"mP.unit_cell": "5.3400,6.4600,10.8600,90,91.3,90", "mP.space_group": "P2"})
        # what else is there stays, and what was set is replaced
        write("emdprocess.conf", "# mine\ngain = 2 # not \\\n  three\n  mP.unit_cell=1,2,3,90,90,90\n"
              "mP.unit_cellar = no\nmP.d_min = 1")
        self.set_cell("--yes", "e")
        self.assertEqual(read("emdprocess.conf"),
                         "# mine\ngain = 2 # not \\\n  three\nmP.unit_cell = 7.1000,8.3000,9.4000,90,90,90\n"
                         "mP.unit_cellar = no\nmP.d_min = 1\nmP.space_group = P222\n")
        write("emdprocess.conf", "mP.unit_cell = 1,2,3, \\\n 90,90,90\n")
        self.assertIn("continues on the next one", self.set_cell("--yes", code=1))
        self.assertEqual(read("emdprocess.conf"), "mP.unit_cell = 1,2,3, \\\n 90,90,90\n")

    def test_triclinic_and_unknown(self):
        crystal("a", (5.0, 6.0, 7.0, 80.0, 85.0, 75.0))
        self.assertIn("symmetry not known: P1", self.set_cell("--yes"))
        self.assertEqual(self.settings()["mP.space_group"], "P1")
        crystal("b", (5.0, 6.0, 7.0, 80.0, 85.0, 75.0), symmetry="P 2 2 21")
        self.assertIn("'P 2 2 21' is not a known Patterson group", self.set_cell("--yes", code=1))

    def test_high_symmetry(self):
        crystal("a", (5.01, 4.99, 7.0, 90.1, 89.9, 90.0), symmetry="P 4/m m m")
        self.set_cell("--yes")
        self.assertEqual(self.settings(), {"mP.unit_cell": "5.0000,5.0000,7.0000,90,90,90", "mP.space_group": "P422"})

    def test_nothing_to_go_by(self):
        self.assertIn("no crystal with the trial P1 has a cell", self.set_cell(code=3))
        crystal("a", fails=True)
        self.set_cell("--yes", code=3)
        self.assertFalse(os.path.exists("emdprocess.conf"))
        self.assertIn("--yes is for --set-cell", self.run_tool("--yes", recipe="P1", code=2))


class Merging(Case):
    def test_selection_and_reasons(self):
        for name in ("20260101_0101", "20260101_0102", "20260101_0103"):
            crystal(name)
        crystal("20260101_0104", fails=True)
        crystal("20260101_0105", FOREIGN)
        crystal("20260101_0106", resolution=1.8)
        crystal("20260101_0107", data=False)
        out = self.run_tool()
        for line in ("20260101_0104: left out: failed at index: No suitable lattice could be found.",
                     "20260101_0105: left out: cluster 2; required: cluster = 1 (another lattice: 7.1",
                     "20260101_0106: left out: required: not resolution > 1.5",
                     "20260101_0107: left out: there is no P1/data.txt",
                     "merged/set: done", "4 crystals left out"):
            self.assertIn(line, out)
        self.assertEqual(self.joined(), ["20260101_0101", "20260101_0102", "20260101_0103"])
        # the same in the record, in a table, and by --status and --dry-run
        selection = json.loads(read("merged/set/emdprocess.json"))["selection"]
        self.assertEqual(selection["crystals"], self.joined())
        self.assertEqual([c["crystal"][-4:] for c in selection["left_out"]], ["0104", "0105", "0106", "0107"])
        self.assertEqual((selection["trial"], selection["select"]), ("P1", "cluster = 1 and not resolution > 1.5"))
        rows = [line.split("\t") for line in read("merged/set/selection.tsv").splitlines()]
        self.assertEqual(rows[0][:4], ["crystal", "used", "reason", "resolution"])
        self.assertEqual([row[1] for row in rows[1:]], ["yes"] * 3 + ["no"] * 4)
        self.assertTrue(all(len(row) == len(rows[0]) for row in rows))
        status = self.run_tool("--status")
        self.assertIn("done       merged/set\n           3 of 7 crystals: 20260101_0101, 20260101_0102, ", status)
        self.assertIn("left out: 20260101_0106: required: not resolution > 1.5", status)
        self.assertIn("3 crystals", self.run_tool("-n", "--force"))
        events = [json.loads(line) for line in self.run_tool("--json").splitlines()]
        self.assertEqual([e["event"] for e in events], ["left_out"] * 4 + ["crystal", "summary"])
        self.assertEqual(events[-2]["state"], "unchanged")

    def test_nothing_is_done_twice_and_no_more_than_needed(self):
        for name in ("a", "b"):
            crystal(name)
        self.run_tool()
        self.assertEqual(self.ran(), ["join", "end"])
        self.run_tool()
        self.assertEqual(self.ran(), [])
        self.run_tool("-D", "tail=other")
        self.assertEqual(self.ran(), ["end"])
        self.run_tool()
        self.assertEqual(self.ran(), ["end"])
        # touched, not changed
        os.utime("a/P1/data.txt", (1, 1))
        self.run_tool()
        self.assertEqual(self.ran(), [])
        # a new crystal
        crystal("c")
        self.assertIn("join: its command has changed", self.run_tool("-n"))
        self.run_tool()
        self.assertEqual(self.ran(), ["join", "end"])
        self.assertEqual(self.joined(), ["a", "b", "c"])
        # a changed one
        write("b/P1/data.txt", "changed\n")
        self.assertIn("its input ../../b/P1/data.txt has changed", self.run_tool("--status"))
        self.run_tool()
        self.assertEqual(self.ran(), ["join", "end"])
        self.assertEqual(self.joined(), ["a", "changed", "c"])
        # one that fails now: it goes, and nothing else happens to the others
        shutil.rmtree("c")
        crystal("c", fails=True)
        self.assertIn("c: left out: failed at index", self.run_tool())
        self.assertEqual(self.joined(), ["a", "changed"])
        self.ran()
        # one that is left out in any case changes the table only
        crystal("d", fails=True)
        self.run_tool()
        self.assertEqual(self.ran(), [])
        self.assertIn("\nd\tno\tfailed at index", read("merged/set/selection.tsv"))

    def test_explicit_lists_names_and_expressions(self):
        for name in ("a", "b", "c"):
            crystal(name)
        crystal("worse", resolution=1.8)
        self.run_tool("b", "worse/")
        self.assertEqual(self.joined(), ["b", "worse"])
        self.assertIn("c: left out: not in the list", self.run_tool("-D", "crystals=a, worse"))
        self.assertEqual(self.joined(), ["a", "worse"])
        self.assertIn("'x' is no crystal with the trial P1", self.run_tool("a", "x", code=2))
        self.run_tool("-D", "select=not name ~ b/*")
        self.assertEqual(self.joined(), ["a", "c", "worse"])
        self.assertIn("did you mean 'resolution'?", self.run_tool("-D", "select=resolutoin < 1", code=2))
        # another set beside the first
        self.run_tool("--trial", "two", "-D", "select=resolution < 1")
        self.assertEqual(read("merged/two/joined.txt").split(), ["a", "b", "c"])
        self.assertEqual(self.joined(), ["a", "c", "worse"])
        # settings of the project, and of this recipe alone
        write("emdprocess.conf", "set.crystals = c\nP1.gain = 2\ncrystals = a b\n")
        self.run_tool()
        self.assertEqual(self.joined(), ["c"])

    def test_nobody(self):
        self.assertIn("no crystal has the trial P1: process the crystals first", self.run_tool(code=3))
        self.assertFalse(os.path.exists("merged"))
        crystal("a", fails=True)
        self.assertIn("no crystal is selected: all 1 with the trial P1 are left out", self.run_tool(code=3))
        self.assertFalse(os.path.exists("merged"))
        self.assertIn("left out: a: failed at index", self.run_tool("--status"))
        # what is there already stays when nobody is selected
        shutil.rmtree("a")
        crystal("a")
        self.run_tool()
        self.run_tool("-D", "select=resolution < 0.1", code=3)
        self.assertEqual(self.joined(), ["a"])

    def test_merged_sets_are_no_crystals(self):
        crystal("a")
        crystal("merged")
        self.assertIn("1 done", self.run_tool())
        self.assertEqual(self.joined(), ["a"])
        subprocess.run([os.path.join(BIN, "emdsim"), "-q", "--size", "32", "--frames", "12",
                        "images/merged.emd"], check=True)
        write("one.recipe", "stage s\n command = touch o\n outputs = o\n")
        self.assertIn("merged_2/one", self.run_tool("-n", recipe="one"))

    def test_foreign_results(self):
        crystal("a")
        os.makedirs("merged/set")
        write("merged/set/joined.txt", "by hand\n")
        self.assertIn("which emdprocess did not make", self.run_tool(code=3))
        self.assertEqual(self.joined(), ["by", "hand"])

    def test_batch(self):
        crystal("a")
        crystal("b")
        out = self.run_tool("--submit", "slurm", "-n", "b")
        self.assertIn(" -D crystals=b ", out)
        self.assertIn("    1 merged\n", out)
        self.run_tool("--one", "merged", "-D", "crystals=b")
        self.assertEqual(self.joined(), ["b"])

    def test_a_hundred_crystals(self):
        """How long selecting and clustering takes is printed."""
        synthetic.make(".", 100)
        for name in os.listdir("."):
            if os.path.isdir(f"{name}/P1"):
                write(f"{name}/P1/data.txt", name)
        before = os.times()
        self.run_tool("--status")
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        print(f"100 crystals selected and clustered in {used:.3f} s of CPU time")


if __name__ == "__main__":
    unittest.main()
