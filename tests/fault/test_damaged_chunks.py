# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Damage that HDF5 itself does not see: stored chunks that decode to less than a chunk (it then hands
out memory that is not theirs, or crashes), and an index of chunks that lists what no look-up finds
(a reader gets fill values). emdrepack must say damaged, in --check as in a repack, with any codec,
leave nothing behind and go on with the next file.

Generated: for each pipeline a sound file, which must pass and come out equal, and that file with one
chunk replaced by others of several wrong sizes. Also files of cases/hdf5, where there are any.
"""

import os
import struct
import subprocess
import sys
import unittest

import h5py
import numpy as np

import deepcompare
import faultlib as fl

CASES = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "cases", "hdf5")
CODECS = ("auto", "gzip", "none", "edc", "zstd", "blosc", "bitshuffle")
SHAPE, CHUNK = (24, 32, 6), (24, 32, 1)
DEFLATE, SHUFFLE, FLETCHER, SZIP, NBIT, SCALEOFFSET = 1, 2, 3, 4, 5, 6


def twelve_bits(base=h5py.h5t.STD_I16LE):
    """Numbers of which 12 bits count, for n-bit."""
    numbers = base.copy()
    numbers.set_precision(12)
    numbers.set_offset(1)
    return numbers


def pair():
    both = h5py.h5t.create(h5py.h5t.COMPOUND, 12)
    both.insert(b"a", 0, twelve_bits())
    both.insert(b"b", 4, h5py.h5t.array_create(twelve_bits(h5py.h5t.STD_U32BE), (2,)))
    return both


# name: filters in the order of writing, type, stored sizes that no chunk can have ("-n": shorter by n)
PIPELINES = {
    "plain": ((), None, ()),
    "gzip": (((DEFLATE, (4,)),), None, (1, 7, -1, -20)),
    "shuffle": (((SHUFFLE, ()),), None, (1, 2, 1535, -1, +2)),
    "shuffle_gzip": (((SHUFFLE, ()), (DEFLATE, (1,))), None, (1, -3)),
    "fletcher": (((FLETCHER, ()),), None, (1, 3, 4, 5, -1, -4)),
    "gzip_fletcher": (((DEFLATE, (1,)), (FLETCHER, ())), None, (1, 3, 4, -1)),
    "scaleoffset": (((SCALEOFFSET, (2, 0)),), None, (1, 4, 16, 20, 21, 25, 100, -2)),
    "scaleoffset_be": (((SCALEOFFSET, (2, 0)),), h5py.h5t.STD_U32BE, (16, 25, -2)),
    "scaleoffset_float": (((SCALEOFFSET, (0, 2)),), h5py.h5t.IEEE_F64LE, (16, 25, 200, -2)),
    "scaleoffset_gzip": (((SCALEOFFSET, (2, 0)), (DEFLATE, (1,))), None, (1, 9, -1)),
    "shuffle_scaleoffset": (((SHUFFLE, ()), (SCALEOFFSET, (2, 0))), None, (16, 25, -2)),
    "nbit": (((NBIT, ()),), twelve_bits(), (1, 3, 100, -2)),
    "nbit_be": (((NBIT, ()),), twelve_bits(h5py.h5t.STD_I64BE), (1, 3, 100, -2)),
    "nbit_gzip": (((NBIT, ()), (DEFLATE, (6,))), twelve_bits(), (1, 3, -1)),
    "nbit_compound": (((NBIT, ()),), pair(), (1, 3, 100, -2)),
    "zstd": (((SHUFFLE, ()), (32015, (1,))), None, (1, 3, -1)),
    "blosc": (((32001, (0, 0, 0, 0, 5, 1, 5)),), None, (1, 3, 15, 16, -1)),
    "bitshuffle": (((32008, (0, 3)),), None, (1, 3, 11, 12, -1)),
    "edc": (((33200, ()),), None, (1, 3, -1)),
}


def pixels(shape):
    return np.random.default_rng(3).poisson(200, size=shape)


def make(name, pipeline, latest=False):
    """A file with the given filters; the data."""
    filters, numbers, _ = PIPELINES[pipeline]
    with h5py.File(name, "w", libver="latest" if latest else ("earliest", "v108")) as f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(CHUNK)
        for number, values in filters:
            plist.set_filter(number, 0, values)
        dataset = h5py.h5d.create(f.id, b"Data", numbers or h5py.h5t.STD_I16LE,
                                  h5py.h5s.create_simple(SHAPE), plist)
        data = pixels(SHAPE)
        if numbers and numbers.get_class() == h5py.h5t.COMPOUND:
            both = np.zeros(SHAPE, h5py.Dataset(dataset).dtype)
            both["a"] = data
            both["b"] = data[..., None] + [0, 1]
            h5py.Dataset(dataset)[...] = both
        else:
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, data.astype("i4"))


def damage(name, size):
    """Replaces the third chunk by so many of its own bytes, or by so many fewer; whether it did."""
    with h5py.File(name, "r+") as f:
        dataset = f["Data"].id
        offset = (0, 0, 2)
        mask, stored = dataset.read_direct_chunk(offset)
        if size <= 0:
            size += len(stored)
        if size == len(stored):
            return False
        stored = (stored + b"\0" * 16)[:size]
        dataset.write_direct_chunk(offset, stored, mask)
    return True


def swap_keys(name, first, second):
    """Exchanges two entries of the leaf of a version 1 B-tree of chunks (signature TREE, type 1)."""
    with open(name, "rb") as f:
        data = bytearray(f.read())
    at = data.index(b"TREE\x01\x00")
    used = struct.unpack_from("<H", data, at + 6)[0]
    entry = 8 + 8 * (len(SHAPE) + 1) + 8  # size and mask, coordinates, address
    places = [at + 24 + i * entry for i in range(used)]
    a, b = (slice(places[i], places[i] + entry) for i in (first, second))
    data[a], data[b] = data[b], data[a]
    with open(name, "wb") as f:
        f.write(data)


class Sound(unittest.TestCase):
    def test_every_pipeline_is_read_as_hdf5_reads_it(self):
        for i, pipeline in enumerate(PIPELINES):
            make(f"sound/{pipeline}.h5", pipeline, latest=i % 2 == 1)
        names = sorted(f"sound/{p}.h5" for p in PIPELINES)
        fl.emdrepack("--check", "-q", *names, codes=(0,))
        for codec in ("auto", "none"):
            fl.fresh("out")
            fl.emdrepack("-q", "-c", codec, "-d", "out", *names, codes=(0,))
            for name in names:
                with self.subTest(name=name, codec=codec):
                    copy = os.path.join("out", os.path.basename(name))
                    self.assertIsNone(deepcompare.difference(name, copy))


class Damaged(unittest.TestCase):
    def refused(self, names, codecs, where="Data"):
        """--check and every codec say no to each file, name the dataset and leave nothing; a good
        file of the same call is done."""
        make("good.h5", "gzip")
        run = fl.emdrepack("--check", *names, "good.h5", codes=(1,))
        self.assertIn("good.h5: sound", run.stderr)
        for name in names:
            self.assertRegex(run.stderr, f"{name}: .*{where}")
        for codec in codecs:
            fl.fresh("out")
            run = fl.emdrepack("-c", codec, "-d", "out", *names, "good.h5", codes=(1,))
            for name in names:
                self.assertRegex(run.stderr, f"{name}: .*{where}")
            self.assertEqual(os.listdir("out"), ["good.h5"])

    def test_chunks_of_impossible_sizes(self):
        number = 0
        for i, (pipeline, (_, _, sizes)) in enumerate(PIPELINES.items()):
            bad = []
            for size in sizes:
                name = f"{pipeline}_{len(bad)}.h5"
                make(name, pipeline)
                if damage(name, size):
                    bad.append(name)
            number += len(bad)
            with self.subTest(pipeline=pipeline):
                if bad:
                    self.refused(bad, (CODECS[i % 7], CODECS[(i + 3) % 7]))
        self.assertGreater(number, 50)

    def test_index_out_of_order(self):
        for first, second in ((0, 1), (0, 5), (1, 4), (2, 3), (4, 5)):
            with self.subTest(swapped=(first, second)):
                make("bad.h5", "gzip")
                swap_keys("bad.h5", first, second)
                self.refused(["bad.h5"], CODECS[:1])

    def test_cases(self):
        if not os.path.isdir(CASES):
            self.skipTest("no cases/hdf5 among the test data")
        names = [n for n in sorted(os.listdir(CASES)) if n.startswith("short_chunk_crash__")]
        names += ["check_sound_but_lost__perm_021345.h5", "real/tmisc38a.h5"]
        for name in names:
            with self.subTest(case=name):
                local = os.path.basename(name)
                with open(os.path.join(CASES, name), "rb") as f, open(local, "wb") as g:
                    g.write(f.read())
                self.refused([local], CODECS[:2], where="")
        sound = os.path.join(CASES, "check_sound_but_lost__frames.h5")
        fl.emdrepack("--check", "-q", sound, codes=(0,))


class Batch(unittest.TestCase):
    def test_a_crash_is_one_failure(self):
        """A process that dies at any moment is one failed file of several, without --jobs, too."""
        for i in range(3):
            make(f"{i}.h5", "gzip")
        fl.fresh("out")
        for number in ("SEGV", "KILL", "ABRT"):
            fl.fresh("out")
            with subprocess.Popen([fl.EMDREPACK, "-c", "zstd:19", "-d", "out", "slow.h5", "1.h5"],
                                  stderr=subprocess.PIPE, text=True) as p:
                child = None
                while not (child and fl.temporary("out/slow.h5")) and p.poll() is None:
                    with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
                        child = f.read().split()
                self.assertIsNone(p.poll())
                subprocess.run(["kill", f"-{number}", child[0]], check=True)
                stderr = p.stderr.read()
                self.assertEqual(p.wait(), 1)
            self.assertIn("slow.h5: ", stderr)
            self.assertEqual(os.listdir("out"), ["1.h5"])


def setUpModule():
    fl.work_in_own_folder(unittest.addModuleCleanup, in_memory=True)
    os.mkdir("sound")
    with h5py.File("slow.h5", "w") as f:
        f.create_dataset("Data", data=pixels((512, 512, 16)).astype("u2"), chunks=(512, 512, 1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv, verbosity=2)
