#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdrepack --compare: equal is what every codec and layout made of a file, and nothing else is: each
change of test_deepdiff.py is seen unless it is one of storage."""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import h5py
import numpy as np

import test_deepdiff
from test_deepdiff import ALLOWED, CHANGES

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ["EMDTOOLS_BIN"]
CASES = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "cases", "hdf5")

# Changes that are none to a reader of values.
STORAGE = {"a filter mask", "allocation time", "chunks", "fill time", "filters", "layout",
           "link phase change", "space allocated", "the user block"}


CODECS = ("auto", "blosc", "zstd", "gzip", "none", "edc", "bitshuffle")


def compare(a, b, *options, code=None):
    run = subprocess.run([os.path.join(BIN, "emdrepack"), "--compare", *options, a, b],
                         capture_output=True, text=True, check=False, timeout=300)
    if code is not None and run.returncode != code:
        raise AssertionError(f"{a} {b}: exit {run.returncode}: {run.stderr}")
    return run


def repack(*args):
    subprocess.run([os.path.join(BIN, "emdrepack"), "-q", "-f", *args], check=True, timeout=300)


def movie(name, *options):
    subprocess.run([os.path.join(BIN, "emdsim"), "-q", "-f", "--size", "100", "--frames", "7",
                    *options, name], check=True)
    return name


def stack(f):
    group = f["Data/Image"]
    return group[next(iter(group))]["Data"]


class Equal(unittest.TestCase):
    def test_every_codec(self):
        source = movie("movie.emd")
        for codec in CODECS:
            repack("-c", codec, source, "out.emd")
            run = compare(source, "out.emd", code=0)
            self.assertIn("are equal", run.stderr)
            compare("out.emd", source, code=0)

    def test_h5diff_agrees(self):
        if not shutil.which("h5diff"):
            self.skipTest("no h5diff")
        source = movie("movie.emd")
        for codec in CODECS:
            with self.subTest(codec=codec):
                repack("-c", codec, "--no-provenance", source, "out.emd")
                subprocess.run(["h5diff", source, "out.emd"], check=True)

    def test_other_chunks_and_layouts(self):
        rng = np.random.default_rng(5)
        data = rng.integers(0, 60000, (90, 101, 23)).astype("<u2")
        shapes = [None, (90, 101, 1), (1, 101, 23), (16, 16, 16), (33, 7, 23), (90, 101, 23)]
        for i, chunks in enumerate(shapes):
            with h5py.File(f"layout{i}.h5", "w") as f:
                f.create_dataset("x", data=data, chunks=chunks,
                                 compression="gzip" if i % 2 else None, shuffle=bool(i % 2))
        for i in range(len(shapes)):
            for k in range(len(shapes)):
                compare(f"layout{i}.h5", f"layout{k}.h5", "-m", "64M", code=0)
        with h5py.File("layout2.h5", "r+") as f:
            f["x"][89, 100, 22] ^= 1
        for i in range(len(shapes)):
            if i != 2:
                run = compare(f"layout{i}.h5", "layout2.h5", code=1)
                self.assertIn("/x has 1 other value, the first at (89,100,22)", run.stderr)
                self.assertIn("(89,100,22)", compare("layout2.h5", f"layout{i}.h5", code=1).stderr)

    def test_what_was_never_written_is_the_fill_value(self):
        for name, written in (("sparse.h5", False), ("full.h5", True), ("other.h5", True)):
            with h5py.File(name, "w") as f:
                d = f.create_dataset("x", (64, 64, 64), "<i4", chunks=(16, 16, 16), fillvalue=7)
                d[20, 20, 20] = 9
                if written:
                    d[...] = d[...]
                if name == "other.h5":
                    d[63, 63, 63] = 0
        compare("sparse.h5", "full.h5", code=0)
        compare("full.h5", "sparse.h5", code=0)
        for a, b in (("sparse.h5", "other.h5"), ("other.h5", "sparse.h5")):
            self.assertIn("(63,63,63)", compare(a, b, code=1).stderr)

    def test_not_a_number_is_compared_by_its_bits(self):
        for name, bits in (("a.h5", 0x7fc00000), ("b.h5", 0x7fc00000), ("c.h5", 0x7fc00001)):
            with h5py.File(name, "w") as f:
                f["x"] = np.full(70000, bits, "<u4").view("<f4")
                f["few"] = np.full(3, bits, "<u4").view("<f4")
        compare("a.h5", "b.h5", code=0)
        compare("a.h5", "c.h5", code=1)

    @unittest.skipUnless(os.path.isdir(CASES), "no cases")
    def test_cases_and_their_copies(self):
        for name in sorted(os.listdir(CASES)):
            source = os.path.join(CASES, name)
            if name.startswith(("short_chunk", "check_sound", "my run")) or os.path.isdir(source):
                continue
            with self.subTest(name=name):
                repack(source, "out.h5")
                compare(source, "out.h5", code=0)


class Different(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        subprocess.run([sys.executable, os.path.join(HERE, "make_nasty.py"), "nasty.h5"], check=True)

    def test_a_file_and_itself(self):
        shutil.copy("nasty.h5", "same.h5")
        compare("nasty.h5", "same.h5", code=0)

    def test_every_change(self):
        for name, make, _ in CHANGES:
            with self.subTest(change=name):
                test_deepdiff.change("nasty.h5", make)
                run = compare("nasty.h5", "changed.h5")
                if name in STORAGE:
                    self.assertEqual(run.returncode, 0, run.stderr)
                else:
                    self.assertEqual(run.returncode, 1, run.stderr)
                    self.assertIn("differ", run.stderr)

    def test_storage_may_differ(self):
        for name, make in ALLOWED:
            with self.subTest(change=name):
                test_deepdiff.change("nasty.h5", make)
                run = compare("nasty.h5", "changed.h5", "--differences", "0")
                # references to a dataset that was replaced lead nowhere
                for line in run.stderr.splitlines()[:-1]:
                    self.assertIn("/references", line)

    def test_several_are_listed(self):
        for name in ("a.h5", "b.h5"):
            with h5py.File(name, "w") as f:
                for i in range(20):
                    f[f"x{i:02}"] = np.arange(5) + (name == "b.h5")
        run = compare("a.h5", "b.h5", code=1)
        self.assertEqual(run.stderr.count("has another value at (0)"), 10)
        self.assertIn("the first 10 differences", run.stderr)
        said = json.loads(compare("a.h5", "b.h5", "--json", "--differences", "0", code=1).stdout)
        self.assertEqual(said["status"], "differs")
        self.assertEqual(len(said["differences"]), 20)
        self.assertEqual(said["differences"][3]["object"], "/x03")
        said = json.loads(compare("a.h5", "a.h5", "--json", code=0).stdout)
        self.assertEqual((said["status"], said["error"], said["differences"]), ("equal", None, []))

    def test_own_provenance_is_ignored_and_others_attributes_are_not(self):
        source = movie("movie.emd")
        repack("-c", "zstd", source, "once.emd")
        repack("-c", "gzip", "once.emd", "twice.emd")
        compare("once.emd", "twice.emd", code=0)
        with h5py.File("once.emd", "r+") as f:
            f.attrs["note"] = "mine"
        self.assertIn("attribute 'note' is missing", compare("once.emd", source, code=1).stderr)
        with h5py.File("twice.emd", "r+") as f:
            f.attrs["emdrepack"] = "a user's own"
        compare(source, "twice.emd", code=1)

    def test_damage_is_no_difference(self):
        source = movie("movie.emd")
        repack("-c", "gzip", source, "out.emd")
        with h5py.File("out.emd") as f:
            chunk = stack(f).id.get_chunk_info(3)
        with open("out.emd", "r+b") as f:
            f.seek(chunk.byte_offset)
            f.write(b"\xff" * 64)
        for a, b in ((source, "out.emd"), ("out.emd", source)):
            run = compare(a, b, code=1)
            self.assertIn("cannot compare: ", run.stderr)
            self.assertIn("out.emd", run.stderr)
            said = json.loads(compare(a, b, "--json", code=1).stdout)
            self.assertEqual(said["status"], "failed")
        with open("cut.emd", "wb") as f, open(source, "rb") as whole:
            f.write(whole.read(100000))
        self.assertEqual(compare(source, "cut.emd").returncode, 3)
        self.assertEqual(compare(source, "nothing.emd").returncode, 1)

    def test_usage(self):
        self.assertEqual(compare("a", "b", "-d", ".").returncode, 2)
        run = subprocess.run([os.path.join(BIN, "emdrepack"), "--compare", "a"], check=False,
                             capture_output=True)
        self.assertEqual(run.returncode, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
