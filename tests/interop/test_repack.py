#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdrepack on real Velox files, simulated movies and nasty files: with every codec nothing differs
but storage; h5diff, h5dump, h5repack and h5py read every result with only our plugins, and gzip and
blosc with only Debian's."""
import glob
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import h5py
import numpy

import deepdiff

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ["EMDTOOLS_BIN"]
EMDREPACK = os.path.join(BIN, "emdrepack")
OURS = os.environ["EMDTOOLS_PLUGINS"]
DEBIAN = "/usr/lib/x86_64-linux-gnu/hdf5/serial/plugins"
VELOX = sorted(glob.glob(os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "velox", "*.emd")))
CODECS = ("auto", "blosc", "zstd", "gzip", "bitshuffle", "bitshuffle:lz4", "edc", "none")

os.environ["HDF5_PLUGIN_PATH"] = OURS  # of this process, too


def run(*args, plugins=OURS, **options):
    result = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False,
                            errors="replace", env={**os.environ, "HDF5_PLUGIN_PATH": plugins},
                            **options)
    if result.returncode != 0:
        raise AssertionError(f"{args}: exit {result.returncode}: {result.stderr}{result.stdout}")
    return result


def simulated(name, *options):
    if not os.path.exists(name):
        run(os.path.join(BIN, "emdsim"), "-q", "--size", 128, "--frames", 9, *options, name)
    return name


class Faithful(unittest.TestCase):
    def same(self, source, *options):
        run(EMDREPACK, "-q", "-f", *options, source, "out.h5")
        found = deepdiff.compare(source, "out.h5", storage_may_differ=True,
                                 ignore_root_attributes=["emdrepack"])
        self.assertEqual(found[:5], [], (source, options))

    def every_codec(self, source):
        for codec in CODECS:
            with self.subTest(codec=codec):
                self.same(source, "-c", codec)
        self.same(source, "-c", "gzip", "-j", 1, "-m", "16M", "--verify=file")

    @unittest.skipUnless(VELOX, "no real Velox files here (EMDTOOLS_TEST_DATA)")
    def test_velox(self):
        for source in VELOX:
            with self.subTest(source=os.path.basename(source)):
                self.every_codec(source)

    def test_nasty(self):
        for options in ((), ("--libver", "latest"), ("--user-block", "0")):
            name = "nasty%d.h5" % len(options)
            run(sys.executable, os.path.join(HERE, "make_nasty.py"), name, *options)
            with self.subTest(options=options):
                self.every_codec(name)

    def test_simulated(self):
        for layout in ("frame", "contiguous", "tile", "rows"):
            for dtype in ("i16", "u8", "i32", "f32"):
                source = simulated(f"{layout}_{dtype}.emd", "--layout", layout, "--dtype", dtype)
                with self.subTest(source=source):
                    self.every_codec(source)

    def test_back_to_velox(self):
        """none restores what Velox wrote: nothing at all differs, storage included."""
        source = simulated("frame_i16.emd", "--layout", "frame", "--dtype", "i16")
        for codec in CODECS:
            run(EMDREPACK, "-q", "-f", "-c", codec, source, "packed.h5")
            run(EMDREPACK, "-q", "-f", "-c", "none", "--no-provenance", "packed.h5", "back.h5")
            self.assertEqual(deepdiff.compare(source, "back.h5"), [], codec)

    def test_what_is_not_looked_into_is_named(self):
        with h5py.File("virtual.h5", "w") as f:
            f["a"] = range(10)
            layout = h5py.VirtualLayout((10,), "i8")
            layout[:] = h5py.VirtualSource(f["a"])
            f.create_virtual_dataset("composed", layout)
        result = subprocess.run([EMDREPACK, "-q", "virtual.h5", "carried.h5"], capture_output=True,
                                text=True, check=False)
        self.assertEqual(result.returncode, 0)
        self.assertIn("/composed: a virtual dataset", result.stderr)
        self.assertEqual(deepdiff.compare("virtual.h5", "carried.h5",
                                          ignore_root_attributes=["emdrepack"]), [])


class Plans(unittest.TestCase):
    def plans(self, source, *options):
        """A budget in MiB for each kind of plan."""
        budgets = {}
        for mib in range(2, 30):
            result = subprocess.run([EMDREPACK, "-n", "-v", "-m", f"{mib}M", *options, source, "no.h5"],
                                    capture_output=True, text=True, check=False)
            if result.returncode != 0:
                self.assertIn("too small", result.stderr)
            for kept, of in re.findall(r"(\d+) of (\d+) chunks of a block", result.stderr):
                self.assertLess(int(kept), int(of))
                budgets["strips of all" if int(kept) == 0 else "strips of some"] = mib
            if "gather: " in result.stderr:
                budgets["gather"] = mib
        return budgets

    def same_from_every_plan(self, source, *options):
        """The output has the same bytes with each, whatever fits memory."""
        options = ("-c", "gzip:1", "-j", "1", *options)
        run(EMDREPACK, "-q", "-f", *options, source, "whole.h5")
        with h5py.File(source) as f, h5py.File("whole.h5") as g:
            stacks = []
            f.visit(lambda name: stacks.append(name) if getattr(f[name], "ndim", 0) == 3 else None)
            for name in stacks:
                self.assertTrue(numpy.array_equal(f[name][()], g[name][()]), name)
        self.assertEqual(len(stacks), 1)
        with open("whole.h5", "rb") as f:
            whole = f.read()
        budgets = self.plans(source, *options)
        self.assertEqual(sorted(budgets), ["gather", "strips of all", "strips of some"])
        for plan, mib in budgets.items():
            run(EMDREPACK, "-q", "-f", "-m", f"{mib}M", *options, source, "out.h5")
            with open("out.h5", "rb") as f:
                self.assertEqual(f.read(), whole, f"{plan} in {mib} MiB")

    def test_movies(self):
        for layout in ("contiguous", "rows"):
            source = simulated(f"plans_{layout}.emd", "--layout", layout, "--size", 512, "--frames", 40)
            with self.subTest(layout):
                self.same_from_every_plan(source)

    def test_gaps_and_edges(self):
        """Chunks that were never written, a fill value, extents that no chunk divides."""
        values = numpy.random.default_rng(1).integers(-20, 90, (300, 333, 71)).astype("i2")
        with h5py.File("gaps.h5", "w") as f:
            f.create_dataset("stack", values.shape, "i2", chunks=(7, 333, 60), fillvalue=-5)
            for row in range(0, 300, 7):
                if row % 3:
                    f["stack"][row:row + 7, :, :60] = values[row:row + 7, :, :60]
        for chunk in ("300,333,1", "64,100,5"):
            with self.subTest(chunk):
                self.same_from_every_plan("gaps.h5", "--chunk", chunk)


class Readers(unittest.TestCase):
    def readable(self, source, packed, plugins):
        run("h5diff", source, packed, plugins=plugins)
        with h5py.File(source) as f:
            (group,) = list(f["Data/Image"].values())[:1]
            data = group["Data"].name
            corner = group["Data"][:2, :4, 0]
        text = run("h5dump", "-y", "-w", "0", "-d", data, "-s", "0,0,0", "-c", "2,4,1", packed,
                   plugins=plugins).stdout
        block = text.split("DATA {")[1].split("}")[0].replace(",", " ").split()
        self.assertEqual([int(v) for v in block], [int(v) for v in corner.flat])
        run("h5repack", "-f", "NONE", packed, "unpacked.h5", plugins=plugins)
        run("h5diff", packed, "unpacked.h5", plugins=plugins)
        program = ("import h5py, sys\n"
                   "with h5py.File(sys.argv[1]) as a, h5py.File(sys.argv[2]) as b:\n"
                   "    assert (a[sys.argv[3]][:] == b[sys.argv[3]][:]).all()\n")
        run("/usr/bin/python3", "-c", program, source, packed, data, plugins=plugins)

    def test_with_our_plugins(self):
        source = simulated("readers.emd")
        for codec in CODECS:
            with self.subTest(codec=codec):
                run(EMDREPACK, "-q", "-f", "--no-provenance", "-c", codec, source, "packed.emd",
                    plugins="/nonexistent")
                self.readable(source, "packed.emd", OURS)

    def test_bitshuffle_lz4(self):
        """As neggia, durin and jHDF know it: one filter, its own five parameters, no level."""
        source = simulated("readers.emd")
        run(EMDREPACK, "-q", "-f", "-c", "bitshuffle:lz4", "--checksum=never", source, "packed.emd")
        with h5py.File("packed.emd") as f:
            (group,) = list(f["Data/Image"].values())[:1]
            filters = group["Data"].id.get_create_plist()
            self.assertEqual(filters.get_nfilters(), 1)
            self.assertEqual(filters.get_filter(0)[0::2], (32008, (0, 4, 2, 0, 2)))
        for codec in ("bitshuffle:lz4:3", "bitshuffle:lz", "bitshuffle:"):
            with self.assertRaises(AssertionError):
                run(EMDREPACK, "-q", "-f", "-c", codec, source, "packed.emd")

    @unittest.skipUnless(glob.glob(os.path.join(DEBIAN, "*blosc*")),
                         "Debian's hdf5-filter-plugin-blosc-serial is not installed")
    def test_with_debian_only(self):
        source = simulated("readers.emd")
        bitshuffle = ["bitshuffle:lz4"] if os.path.exists(os.path.join(DEBIAN, "libh5bshuf.so")) else []
        for codec in ("auto", "blosc", "gzip", "none", *bitshuffle):
            with self.subTest(codec=codec):
                run(EMDREPACK, "-q", "-f", "--no-provenance", "-c", codec, source, "packed.emd",
                    plugins="/nonexistent")
                self.readable(source, "packed.emd", DEBIAN)


if __name__ == "__main__":
    unittest.main(verbosity=2)
