# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdins: SHELX instructions. The scattering factors are compared with cctbx in tests/interop."""

import os
import subprocess
import tempfile
import unittest

EMDINS = os.path.join(os.environ["EMDTOOLS_BIN"], "emdins")
STUB = ("TITL 3 in P121\nCELL  0.02508   5.3421   6.4620  10.8640   90.000   88.697   90.000\n"
        "ZERR    2.000   0.0004   0.0004   0.0008    0.000    0.007    0.000\nLATT -1\nSYMM -X,Y,-Z\n")


class Ins(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=".")
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        self.write("in.ins", STUB)

    def write(self, path, text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def ins(self, *args, code=0):
        run = subprocess.run([EMDINS, *args], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stdout + run.stderr

    def unit(self, *args):
        return next(line for line in self.ins(*args, "in.ins").splitlines() if line.startswith("UNIT"))

    def test_text(self):
        lines = self.ins("-c", "N O2 C2 H5", "in.ins").splitlines()
        self.assertEqual([line.split()[0] for line in lines[:7]],
                         ["TITL", "CELL", "ZERR", "LATT", "SYMM", "REM", "SFAC"])
        self.assertEqual([line.split()[1] for line in lines if line.startswith("SFAC")], ["C", "H", "N", "O"])
        self.assertEqual(lines[2].split(), ["ZERR", "4", "0.0004", "0.0004", "0.0008", "0.000", "0.007", "0.000"])
        self.assertEqual(lines[-4:], ["UNIT 8 20 4 8", "TREF", "HKLF 4", "END"])
        # f(0) of carbon is 2.5 A
        words = " ".join(lines[6:9]).replace("=", " ").split()
        self.assertAlmostEqual(sum(float(w) for w in words[2:10:2]) + float(words[10]), 2.509, delta=0.01)
        self.assertTrue(all(len(line) <= 80 for line in lines))

    def test_units_of_the_cell(self):
        self.assertEqual(self.unit("-c", "C2H5NO2", "-z", "2"), "UNIT 4 10 2 4")
        self.assertEqual(self.unit("-c", "C100"), "UNIT 200")  # never fewer than the operations
        self.assertEqual(self.unit("-c", "C0.5N1.25", "-z", "4"), "UNIT 2 5")
        self.write("in.ins", STUB.replace("LATT -1", "LATT 7"))  # C centred, centrosymmetric: 8 operations
        self.assertEqual(self.unit("-c", "CH4"), "UNIT 24 96")

    def test_mistakes(self):
        for formula in ("", "c2", "Xx", "C0", "C1.2.3", "C.5", "C5.", "C-1", "C1e3", "C99999999", "2H"):
            self.assertIn("--composition", self.ins("-c", formula, "in.ins", code=2))
        self.assertIn("no --composition", self.ins("in.ins", code=2))
        for text in ("", "TITL x\n", STUB.replace("5.3421", "x"), STUB.replace("90.000", "190.000"),
                     STUB.replace("LATT -1", "LATT 9"), STUB + "SYMM x\n" * 200):
            self.write("bad.ins", text)
            self.assertIn("not SHELX instructions", self.ins("-c", "C", "bad.ins", code=1))
        self.assertIn("no such file", self.ins("-c", "C", "none.ins", code=1))

    def test_output(self):
        self.ins("-c", "C", "-o", "out.ins", "in.ins")
        self.assertIn("out.ins", self.ins("-c", "N", "-o", "out.ins", "in.ins", code=1))
        with open("out.ins", encoding="utf-8") as f:
            self.assertIn("SFAC C ", f.read())
        self.ins("-c", "N", "-f", "-o", "out.ins", "in.ins")
        with open("out.ins", encoding="utf-8") as f:
            self.assertIn("SFAC N ", f.read())


if __name__ == "__main__":
    unittest.main()
