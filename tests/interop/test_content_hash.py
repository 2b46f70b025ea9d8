#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The content hash: the same by emdinfo and by docs/content_hash_reference.py, of a file, as recorded in its
repack, and of the repack, for every codec, layout and kind of file; another after any change of content.

  --full    every case of make_cases.py with every codec, every change: the others take some of them
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "docs"))

# Our own plugins only: a filter that is not installed must stay so.
os.environ["HDF5_PLUGIN_PATH"] = os.environ["EMDTOOLS_PLUGINS"]

import h5py
import numpy as np

import content_hash_reference as reference
import make_cases
import test_deepdiff
from test_compare import BIN, CASES, CODECS, STORAGE, movie, repack, stack

FULL = "--full" in sys.argv

# Changes that deepdiff sees and the hash does not cover, beside those of storage.
NOT_COVERED = {"link character set", "order of links", "order of attributes", "attribute character set",
               "an attribute's committed type", "limits"}
# Those that take away what a reference leads to.
REFERRED = {"committed to transient", "contiguous to chunked"}


def info(path, *options, code=0):
    run = subprocess.run([os.path.join(BIN, "emdinfo"), "--hash", *options, path], capture_output=True, text=True,
                         errors="replace", check=False, timeout=300)
    if code is not None and run.returncode != code:
        raise AssertionError(f"{path}: exit {run.returncode}: {run.stderr}")
    return run


def hash_of(path):
    line = info(path).stdout
    found, name = line.rstrip("\n").split("  ", 1)
    assert name == path and len(found) == 32, line
    return found


def recorded(path):
    with h5py.File(path) as f:
        name = "emdrepack.provenance" if "emdrepack.provenance" in f.attrs else "emdrepack"
        return json.loads(f.attrs[name])


def by_reference(path):
    """The reference's, in a process of its own: h5py crashes on some. None where it has none."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, reference.content_hash(path).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text if len(text) == 32 else None


class Same(unittest.TestCase):
    def check_copy(self, source, copy):
        found = hash_of(source)
        said = recorded(copy)
        self.assertEqual((said["hash_name"], said["hash"]), ("emdtools-content-1", found))
        self.assertEqual(hash_of(copy), found)
        result = json.loads(info(copy, "--json").stdout)
        self.assertEqual((result["status"], result["agrees"], result["hash"]), ("ok", True, found))
        return found

    def test_every_codec(self):
        source = movie("movie.emd")
        found = by_reference(source)
        for codec in CODECS:
            for verify in ("chunk", "none") if FULL else ("chunk",):
                with self.subTest(codec=codec, verify=verify):
                    repack("-c", codec, "--verify=" + verify, source, "out.emd")
                    self.assertEqual(self.check_copy(source, "out.emd"), found)

    def test_every_simd_level(self):
        source = movie("movie.emd")
        found = by_reference(source)
        for level in ("scalar", "sse2", "avx2", "avx512", "avx512vbmi", "neon"):
            run = subprocess.run([os.path.join(BIN, "emdinfo"), "--hash", source], capture_output=True, text=True,
                                 check=False, env=dict(os.environ, EMDTOOLS_SIMD=level))
            if run.returncode == 0:
                self.assertEqual(run.stdout.split()[0], found, level)

    def test_every_layout(self):
        data = np.random.default_rng(3).integers(-900, 30000, (70, 61, 19))
        shapes = [None, (70, 61, 1), (1, 61, 19), (16, 16, 16), (33, 7, 19), (70, 61, 19), (1, 1, 19), (70, 2, 2)]
        shapes = shapes if FULL else shapes[::2] + [(70, 61, 1)]
        for kind in ("<u2", "u1", "<f4", ">f8", "c8") if FULL else ("<i2", "u1"):
            found = None
            for i, chunks in enumerate(shapes):
                with h5py.File("layout.h5", "w", libver="latest" if i % 2 else "earliest") as f:
                    f.create_dataset("x", data=data.astype(kind), chunks=chunks, shuffle=bool(chunks and i % 2),
                                     compression="gzip" if chunks and i % 2 else None)
                found = found or by_reference("layout.h5")
                with self.subTest(kind=kind, chunks=chunks):
                    self.assertEqual(hash_of("layout.h5"), found)
            repack("-c", "gzip", "--chunk", "9,61,4", "-m", "64M", "layout.h5", "out.h5")
            self.assertEqual(self.check_copy("layout.h5", "out.h5"), found)

    def test_long_rows_and_odd_elements(self):
        rng = np.random.default_rng(4)
        holes = np.zeros(300, {"names": ["a", "b"], "formats": ["<i4", "u1"], "offsets": [3, 9], "itemsize": 13})
        holes["a"], holes["b"] = rng.integers(0, 9999, 300), rng.integers(0, 9, 300)
        for name, data in (("u2", rng.integers(0, 65536, 9001).astype("<u2")),
                           ("wide", rng.integers(0, 255, (3, 8200)).astype("u1")),
                           ("deep", rng.integers(0, 255, (8300, 2)).astype("<i2")),
                           ("triple", rng.integers(0, 255, (50, 9)).astype("u1").view("V3")),
                           ("holes", holes), ("scalar", np.float32(3)), ("empty", np.zeros((0, 5)))):
            with h5py.File("x.h5", "w") as f:
                f["x"] = data
            with self.subTest(name=name):
                self.assertEqual(hash_of("x.h5"), by_reference("x.h5"))

    def test_what_was_never_written_is_the_fill_value(self):
        hashes = set()
        for name, written in (("sparse.h5", False), ("full.h5", True)):
            with h5py.File(name, "w") as f:
                d = f.create_dataset("x", (64, 64, 20), "<i4", chunks=(16, 16, 20), fillvalue=7)
                d[20, 20, 2] = 9
                t = f.create_dataset("t", (9,), h5py.string_dtype(), chunks=(2,))
                t[3] = "text"
                if written:
                    d[...] = d[...]
                    t[...] = t[...]
            repack(name, "out.h5")
            hashes.add(self.check_copy(name, "out.h5"))
            hashes.add(by_reference(name))
        self.assertEqual(len(hashes), 1)

    def test_h5repack(self):
        if not shutil.which("h5repack"):
            self.skipTest("no h5repack")
        source = movie("movie.emd")
        repack("-c", "auto", source, "out.emd")
        with h5py.File(source) as f:
            path = stack(f).name
        for options in (["-f", "GZIP=1"], ["-l", "CONTI", "-f", "NONE"], ["-L"], ["-l", path + ":CHUNK=32x32x2"]):
            subprocess.run(["h5repack", *options, "out.emd", "theirs.emd"], check=True)
            with self.subTest(options=options):
                self.assertEqual(hash_of("theirs.emd"), hash_of(source))

    def check_kind(self, source, codec):
        """Whether the hash of a file of some kind was compared, and with the reference's."""
        if subprocess.run([os.path.join(BIN, "emdrepack"), "-q", "-f", "--recompress", "-c", codec, source, "copy.h5"],
                          capture_output=True, check=False, timeout=300).returncode:
            return False, False
        own, said = info(source, code=None), recorded("copy.h5")
        if own.returncode:
            self.assertIn("no content hash", own.stderr)
            self.assertIn("no_hash", said)
            self.assertIn("no content hash", info("copy.h5", code=1).stderr)
            return False, False
        self.assertEqual(said.get("hash"), own.stdout.split()[0])
        self.assertEqual(hash_of("copy.h5"), said["hash"])
        theirs = by_reference(source)
        if theirs:
            self.assertEqual(theirs, said["hash"])
        return True, theirs is not None

    def test_kinds_of_files(self):
        cases = sorted(make_cases.CASES.items())[::1 if FULL else 11]
        files = [(name, case.make, name + ".h5") for name, case in cases]
        files += [(os.path.basename(p), None, p)
                  for p in sorted(glob.glob(os.path.join(CASES, "*.h5")))[::1 if FULL else 9]]
        compared = referred = 0
        for name, make, source in files:
            child = os.fork() if make else None
            if child == 0:
                try:
                    make(source)
                finally:
                    os._exit(0)
            if make:
                os.waitpid(child, 0)
            for codec in CODECS if FULL else ("auto",):
                with self.subTest(name=name, codec=codec):
                    found = self.check_kind(source, codec)
                    compared += found[0]
                    referred += found[1]
        self.assertGreater(compared, len(files) // 2)
        self.assertGreater(referred, len(files) // 3)

    def test_renamed_external_links(self):
        os.makedirs("in", exist_ok=True)
        for name in ("a", "b"):
            with h5py.File(f"in/{name} 1.h5", "w") as f:
                f["x"] = np.arange(7)
                f["other"] = h5py.ExternalLink("a 1.h5", "/x")
        repack("-d", "out", "in/a 1.h5", "in/b 1.h5")
        self.assertEqual(len(os.listdir("out")), 2)
        for path in glob.glob("out/*"):
            self.assertEqual(json.loads(info(path, "--json").stdout)["agrees"], True)


class Other(unittest.TestCase):
    def test_every_change(self):
        """Of test_deepdiff.py's: all but storage and what the document leaves out."""
        subprocess.run([sys.executable, os.path.join(HERE, "make_nasty.py"), "nasty.h5"], check=True)
        before = hash_of("nasty.h5")
        repack("nasty.h5", "copy.h5")
        self.assertEqual(hash_of("copy.h5"), before)
        for name, change, _ in test_deepdiff.CHANGES[::1 if FULL else 4]:
            with self.subTest(change=name):
                test_deepdiff.change("nasty.h5", change)
                if name in (STORAGE | NOT_COVERED) - REFERRED:
                    self.assertEqual(hash_of("changed.h5"), before)
                else:
                    self.assertNotEqual(hash_of("changed.h5"), before)
        for name, change in test_deepdiff.ALLOWED:
            with self.subTest(change=name):
                test_deepdiff.change("nasty.h5", change)
                self.assertEqual(hash_of("changed.h5") == before, name not in REFERRED)

    def test_a_single_bit(self):
        source = movie("movie.emd")
        repack("-c", "none", source, "out.emd")
        before = hash_of("out.emd")
        for place in ((0, 0, 0), (99, 99, 6), (50, 17, 3)):
            shutil.copy("out.emd", "changed.emd")
            with h5py.File("changed.emd", "r+") as f:
                stack(f)[place] = stack(f)[place] ^ -32768
            run = info("changed.emd", code=1)
            self.assertNotIn(before, run.stdout)
            self.assertIn("changed.emd: the content is not what was recorded", run.stderr)
            self.assertIn(before, run.stderr)
            result = json.loads(info("changed.emd", "--json", code=1).stdout)
            self.assertEqual((result["status"], result["agrees"], result["recorded"]), ("differs", False, before))

    def test_frames_and_pixels_moved(self):
        hashes = set()
        data = np.random.default_rng(1).integers(0, 99, (40, 40, 6)).astype("<i2")
        for order in ([0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]):
            for changed in (data[:, :, order], data[:, :, order].transpose(1, 0, 2), np.roll(data[:, :, order], 1, 0),
                            data[:, :, order] ^ -32768):
                with h5py.File("x.h5", "w") as f:
                    f["x"] = changed
                hashes.add(hash_of("x.h5"))
        self.assertEqual(len(hashes), 12)

    def test_what_cannot_be_read(self):
        self.assertIn("absent.h5", info("absent.h5", code=1).stderr)
        source = movie("movie.emd")
        info(source, "--tilt", code=2)
        os.truncate(source, os.path.getsize(source) - 5000)
        self.assertEqual(json.loads(info(source, "--json", code=3).stdout)["hash"], None)

    def test_copied_without_being_decoded(self):
        source = movie("movie.emd")
        repack("-c", "zstd", source, "once.emd")
        repack("-c", "zstd", "--verify=none", "once.emd", "twice.emd")
        self.assertIn("without being decoded", recorded("twice.emd")["no_hash"])
        run = info("twice.emd")
        self.assertIn("no hash was recorded", run.stderr)
        self.assertEqual(run.stdout.split()[0], hash_of(source))

    def test_values_of_user_defined_links(self):
        for name in ("65", "200"):
            make_cases.CASES["user_link_" + name].make("user.h5")
            with open("user.h5", "rb") as f:
                data = f.read()
            os.rename("user.h5", f"user{name}.h5")
            self.assertTrue(data)
        self.assertNotEqual(hash_of("user65.h5"), hash_of("user200.h5"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + [a for a in sys.argv[1:] if a != "--full"])
