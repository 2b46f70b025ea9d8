#!/usr/bin/python3
"""emdrepack on real Velox files, simulated movies and nasty files: with every codec nothing differs
but storage; h5diff, h5dump, h5repack and h5py read every result with only our plugins, and gzip and
blosc with only Debian's."""
import glob
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import h5py

import deepdiff

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ["EMDTOOLS_BIN"]
EMDREPACK = os.path.join(BIN, "emdrepack")
OURS = os.environ["EMDTOOLS_PLUGINS"]
DEBIAN = "/usr/lib/x86_64-linux-gnu/hdf5/serial/plugins"
VELOX = sorted(glob.glob(os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "velox", "*.emd")))
CODECS = ("auto", "blosc", "zstd", "gzip", "bitshuffle", "edc", "none")

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

    def test_what_cannot_be_carried_over_is_named(self):
        with h5py.File("virtual.h5", "w") as f:
            f["a"] = range(10)
            layout = h5py.VirtualLayout((10,), "i8")
            layout[:] = h5py.VirtualSource(f["a"])
            f.create_virtual_dataset("composed", layout)
        result = subprocess.run([EMDREPACK, "-q", "virtual.h5", "never.h5"], capture_output=True,
                                text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("/composed", result.stderr)
        self.assertFalse(os.path.exists("never.h5"))


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

    @unittest.skipUnless(glob.glob(os.path.join(DEBIAN, "*blosc*")),
                         "Debian's hdf5-filter-plugin-blosc-serial is not installed")
    def test_with_debian_only(self):
        source = simulated("readers.emd")
        for codec in ("auto", "blosc", "gzip", "none"):
            with self.subTest(codec=codec):
                run(EMDREPACK, "-q", "-f", "--no-provenance", "-c", codec, source, "packed.emd",
                    plugins="/nonexistent")
                self.readable(source, "packed.emd", DEBIAN)


if __name__ == "__main__":
    unittest.main(verbosity=2)
