# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdsim --structure: tables and CIFs, their intensities against the formula, and mistakes in them."""

import cmath
import json
import math
import os
import subprocess
import tempfile
import unittest

EMDSIM = os.path.join(os.environ["EMDTOOLS_BIN"], "emdsim")
# International Tables C, table 4.3.2.2
PENG = {"C": ((0.0893, 0.2563, 0.7570, 1.0487, 0.3575), (0.2465, 1.7100, 6.4094, 18.6113, 50.2523)),
        "O": ((0.0974, 0.2921, 0.6910, 0.6990, 0.2039), (0.2067, 1.3815, 4.6943, 12.7105, 32.4726))}
TABLE = """# two molecules
cell 5 6 7 90 100 90
symmetry -x, y+1/2, -z
C 0.1 0.2 0.3 0.02
O 0.4 0.05 0.65 0.03 0.5  # half of it
"""
CIF = """# made by hand
data_one
_cell_length_a 5.000(1)
_cell_length_b 6
_cell_length_c 7.0
_cell_angle_alpha 90
_cell_angle_beta 100.00(2)
_cell_angle_gamma 90
_publ_text
;
loop_ _cell_length_a 99
;
loop_
_symmetry_equiv_pos_site_id
_symmetry_equiv_pos_as_xyz
1 x,y,z
2 '-x, 1/2+y, -z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
_atom_site_occupancy
_atom_site_note
C1 C 0.1000(3) 0.2 0.3 0.02 1 "it's one"
O1 O2- .4 0.05 6.5e-1 0.03 0.5 ?
X1 C ? ? ? . . .
loop_
_atom_site_aniso_label
_atom_site_aniso_U_11
C1 0.02
data_two
_cell_length_a 50
"""


def intensities(path):
    """(h, k, l): intensity, and the cell."""
    with open(path, encoding="utf-8") as f:
        truth = json.load(f)
    return {tuple(r[:3]): r[3] for r in truth["intensities"]}, truth


class Structure(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=".")
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)

    def emdsim(self, text, *args, code=0):
        with open("s", "w", encoding="utf-8") as f:
            f.write(text)
        run = subprocess.run([EMDSIM, "-q", "-f", "--size", "64", "--frames", "2", "--resolution", "1", "--structure",
                              "s", "--truth", "t.json", *args, "o.emd"], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stderr

    def test_formula(self):
        self.emdsim(TABLE)
        found, truth = intensities("t.json")
        self.assertEqual(truth["cell"], [5, 6, 7, 90, 100, 90])
        atoms = [("C", 0.1, 0.2, 0.3, 0.02, 1), ("O", 0.4, 0.05, 0.65, 0.03, 0.5)]
        atoms += [(e, -x, y + 0.5, -z, u, n) for e, x, y, z, u, n in atoms]
        beta = math.radians(100)

        def f(element, s2):
            return sum(a * math.exp(-b * s2) for a, b in zip(*PENG[element]))
        norm = sum((n * f(e, 0.0625)) ** 2 for e, x, y, z, u, n in atoms)
        for (h, k, l), intensity in found.items():
            square = ((h / 5) ** 2 + (l / 7) ** 2 - 2 * h * l * math.cos(beta) / 35) / math.sin(beta) ** 2 + (k / 6) ** 2
            total = sum(n * f(e, square / 4) * math.exp(-8 * math.pi ** 2 * u * square / 4) *
                        cmath.exp(2j * math.pi * (h * x + k * y + l * z)) for e, x, y, z, u, n in atoms)
            self.assertAlmostEqual(intensity, abs(total) ** 2 / norm, delta=1e-5 * (1 + intensity))
        self.assertEqual(len(found), truth["reflections"])
        # the screw axis: absent, and equal
        self.assertTrue(all(i < 1e-9 for (h, k, l), i in found.items() if h == l == 0 and k % 2))
        self.assertTrue(all(abs(i - found[-h, k, -l]) < 1e-5 * (1 + i) for (h, k, l), i in found.items()))

    def test_cif_and_table_are_the_same(self):
        self.emdsim(TABLE)
        table = intensities("t.json")[0]
        for text in (CIF, CIF.replace("\n", "\r\n"), CIF.replace("_symmetry_equiv_pos_as_xyz",
                                                                 "_space_group_symop_operation_xyz")):
            self.emdsim(text)
            cif = intensities("t.json")[0]
            self.assertEqual(table.keys(), cif.keys())
            self.assertTrue(all(abs(table[i] - cif[i]) < 1e-5 * (1 + table[i]) for i in table))

    def test_special_positions_count_once(self):
        cell = "cell 5 5 5 90 90 90\n"
        self.emdsim(cell + "symmetry -x,-y,-z\nC 0 0.5 0 0\nO 0.1 0 0 0\n")
        once = intensities("t.json")[0]
        self.emdsim(cell + "C 0 0.5 0 0\nO 0.1 0 0 0\nO -0.1 0 0 0\n")
        twice = intensities("t.json")[0]
        self.assertTrue(all(abs(once[i] - twice[i]) < 1e-5 * (1 + once[i]) for i in once))

    def test_mistakes(self):
        cell, atom = "cell 5 5 5 90 90 90\n", "C 0 0 0 0\n"
        for text, part in (("", "no unit cell"), (cell, "no atoms"), (atom, "no unit cell"),
                           (cell + "Xx 0 0 0 0\n", "line 2: not an element: 'Xx'"),
                           (cell + "C 0 0 0\n", "line 2: not ELEMENT"), (cell + "C 0 0 a 0\n", "not three coordinates"),
                           (cell + "C 0 0 nan 0\n", "not three coordinates"), (cell + "C 0 0 0 -1\n", "out of range"),
                           (cell + "C 0 0 0 0 1.5\n", "out of range"), ("cell 5 5 5 90 90\n", "not the six numbers"),
                           ("cell 5 5 0 90 90 90\n" + atom, "impossible"),
                           (cell + "symmetry x,y\n" + atom, "not a symmetry operation: 'x,y'"),
                           (cell + "symmetry x,y,z+1/0\n" + atom, "not a symmetry operation"),
                           (cell + "symmetry x,y,w\n" + atom, "not a symmetry operation"),
                           (cell + "symmetry x,y,z,x\n" + atom, "not a symmetry operation"),
                           (cell + "symmetry x,y,z\n" * 193 + atom, "too many symmetry operations"),
                           (CIF.replace("C1 C 0.1000(3)", "C1 C 0.1x"), "not three coordinates"),
                           (CIF.replace("6\n", "six\n", 1), "not a number"),
                           (CIF.replace("? . . .", "? . ."), "the loop ends within a row"),
                           ("data_x\nloop_\n1 2\n", "a loop without names"), ("data_x\n;\nopen", "no unit cell"),
                           ("data_x\nloop_", "no unit cell"), ("data_x\n_cell_length_a", "not a number")):
            err = self.emdsim(text, code=1)
            self.assertIn(part, err, text)
            self.assertFalse(os.path.exists("o.emd"))
        self.assertIn("no unit cell with these angles",
                      self.emdsim("cell 5 5 5 30 30 150\n" + atom, code=2))
        self.assertIn("cannot read", self.emdsim("", "--structure", "none", code=1))
        self.assertIn("NUL", self.emdsim(cell + "\0", code=1))


if __name__ == "__main__":
    unittest.main()
