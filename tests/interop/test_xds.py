# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""libemdtools-xds.so in a host that stands in for XDS, which cannot be installed here: every pixel of
every frame, from several threads, is h5py's plus the pedestal; and what emdinfo --xds writes."""

import os
import re
import subprocess
import unittest

import h5py
import numpy as np

BIN = os.environ["EMDTOOLS_BIN"]
LIBRARY = os.path.join(os.environ["EMDTOOLS_BUILD_DIR"], "xds/libemdtools-xds.so")
CODECS = ("none", "gzip", "zstd", "blosc", "bitshuffle", "bitshuffle:lz4", "edc", "auto")
UNREAD = -7777777


def run(*command, expect=0, **variables):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          env=dict(os.environ, **variables))
    if done.returncode != expect:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def tool(name, *arguments, expect=0):
    return run(os.path.join(BIN, name), *arguments, expect=expect)


def xds(name, expect=0, threads=4, pedestal=None):
    """(header words, frames that failed, pixels [frame][row][column])"""
    variables = {} if pedestal is None else {"EMDTOOLS_XDS_PEDESTAL": str(pedestal)}
    # The library brings our codecs: no plugin is needed.
    done = run(os.path.join(BIN, "xdshost"), LIBRARY, name, threads, "out.raw", expect=expect,
               HDF5_PLUGIN_PATH="/nonexistent", **variables)
    if expect:
        return done.stderr
    lines = done.stdout.splitlines()
    nx, ny, nbytes, qx, qy, frames = lines[0].split()
    assert nbytes == "4" and qx == qy
    pixels = np.fromfile("out.raw", "<i4").reshape(int(frames), int(ny), int(nx))
    return float(qx), [int(line) for line in lines[1:]], pixels


def movie_of(path):
    with h5py.File(path, "r") as f:
        group, = f["Data/Image"].values()
        return np.moveaxis(group["Data"][()], 2, 0)


def write(path, data, **options):
    """Frames first, as other programs write them."""
    with h5py.File(path, "w") as f:
        f.create_dataset("frames", data=data, **options)


class Xds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tool("emdsim", "-q", "--size", 256, "--frames", 20, "--step", 0.6, "movie.emd")
        cls.raw = movie_of("movie.emd").astype(np.int64)

    def check(self, name, expected, pedestal):
        _, failed, pixels = xds(name, pedestal=pedestal)
        self.assertEqual(failed, [])
        shifted = expected.astype(np.int64) + pedestal
        shifted = np.where(shifted < 0, -1, np.minimum(shifted, 2**31 - 1))
        self.assertTrue(np.array_equal(pixels, shifted), name)

    def test_codecs(self):
        for codec in CODECS:
            tool("emdrepack", "-q", "-c", codec, "movie.emd", codec + ".emd")
            for threads in (1, 4):
                qx, failed, pixels = xds(codec + "_master.h5", threads=threads)
                self.assertEqual((qx, failed), (0.224, []))
                pedestal = int(pixels[0, 0, 0] - self.raw[0, 0, 0])
                shifted = self.raw + pedestal
                self.assertTrue(np.array_equal(pixels, np.where(shifted < 0, -1, shifted)), codec)
                self.assertLess((shifted < 0).mean(), 2e-4)
                self.assertGreater(pedestal, 0)

    def test_chunks(self):
        """Chunks of several frames, of parts of frames, of both; none."""
        for i, options in enumerate(({"chunks": (3, 64, 256)}, {"chunks": (1, 100, 70)},
                                     {"chunks": (7, 50, 256), "compression": "gzip", "shuffle": True},
                                     {"chunks": None})):
            write(f"chunks{i}.h5", self.raw.astype("<i2"), **options)
            self.check(f"chunks{i}_??????.h5", self.raw, 100)

    def test_types(self):
        rng = np.random.default_rng(1)
        for kind in ("|i1", "|u1", "<u2", "<i4", "<u4", ">i2", ">u4"):
            limits = np.iinfo(kind)
            data = rng.integers(limits.min, limits.max, (3, 33, 65), dtype=np.dtype(kind).newbyteorder("="),
                                endpoint=True)
            write("types.h5", data.astype(kind), chunks=(1, 33, 65), compression="gzip")
            clipped = np.clip(data.astype(np.int64), -2**31, 2**31 - 1)
            for pedestal in (0, 50):
                self.check("types.h5", clipped, pedestal)

    def test_floats(self):
        data = np.array([[[1.4, 1.6, -3.5, np.nan, np.inf, -np.inf, 1e20, 0.0]]], dtype="<f4")
        data = np.repeat(data, 4, 1)
        write("floats.h5", data, chunks=(1, 4, 8))
        _, failed, pixels = xds("floats.h5", pedestal=10)
        self.assertEqual(failed, [])
        self.assertEqual(pixels[0, 0].tolist(), [11, 12, 6, -1, 2**31 - 1, -1, 2**31 - 1, 10])

    def test_chunk_never_written(self):
        with h5py.File("holes.h5", "w") as f:
            d = f.create_dataset("frames", (4, 32, 32), "<i2", chunks=(1, 32, 32), fillvalue=9)
            d[1] = 5
        _, failed, pixels = xds("holes.h5", pedestal=0)
        self.assertEqual((failed, pixels[:, 0, 0].tolist()), ([], [9, 5, 9, 9]))

    def test_damage(self):
        for codec in ("edc", "gzip", "zstd"):
            path = f"damage-{codec}.emd"
            tool("emdrepack", "-q", "-c", codec, "movie.emd", path)
            with h5py.File(path, "r") as f:
                group, = f["Data/Image"].values()
                found = [group["Data"].id.get_chunk_info(i) for i in range(20)]
                chunk = next(c for c in found if c.chunk_offset == (0, 0, 6))
            with open(path, "r+b") as f:
                f.seek(chunk.byte_offset + chunk.size // 2)
                f.write(bytes(b ^ 0xFF for b in b"0123456789"))
            _, failed, pixels = xds(path, pedestal=100)
            self.assertEqual(failed, [7], codec)
            self.assertTrue((pixels[6] == UNREAD).all())
            self.assertTrue(np.array_equal(np.delete(pixels, 6, 0),
                                           np.maximum(np.delete(self.raw, 6, 0) + 100, -1)))

    def test_names(self):
        os.makedirs("names.h5_", exist_ok=True)
        write("names.h5_/a.h5", np.full((1, 8, 8), 1, "<u2"))
        write("names.h5_/b.hdf5", np.full((1, 8, 8), 2, "<u2"))
        write("names.h5_/c_master.h5", np.full((1, 8, 8), 3, "<u2"))
        write("names.h5_/c.h5", np.full((1, 8, 8), 4, "<u2"))
        for name, value in (("a_master.h5", 1), ("a_??????.h5", 1), ("a_000001.h5", 1), ("a.h5", 1),
                            ("b_??????.h5", 2), ("b_master.h5", 2), ("c_master.h5", 3)):
            self.assertEqual(xds("names.h5_/" + name)[2][0, 0, 0], value, name)
        for name in ("none_master.h5", "_??????.h5", "a", "a_.h5", "x" * 5000 + "_master.h5"):
            self.assertIn("emdtools-xds: ", xds("names.h5_/" + name, expect=1))
        with open("names.h5_/junk.h5", "wb") as f:
            f.write(b"no HDF5 file at all" * 100)
        self.assertIn("emdtools-xds: ", xds("names.h5_/junk.h5", expect=1))
        with h5py.File("names.h5_/empty.h5", "w"):
            pass
        self.assertIn("no images", xds("names.h5_/empty.h5", expect=1))

    def test_input_file(self):
        text = tool("emdinfo", "--xds", "movie.emd").stdout
        values = {}
        for line in text.splitlines():
            for name, value in re.findall(r"([A-Z_'-]+)= ((?:[^ !=]+ ?)+?)(?= |$|!)",
                                          line.split("!")[0]):
                values[name] = value.strip()
        self.assertEqual(values["NX"], "256")
        self.assertAlmostEqual(float(values["OSCILLATION_RANGE"]), 0.6, delta=0.02)
        self.assertEqual(values["LIB"], os.path.realpath(LIBRARY))
        template = values["NAME_TEMPLATE_OF_DATA_FRAMES"]
        self.assertEqual(template, os.path.realpath("movie.emd")[:-4] + "_??????.h5")
        # The library shifts by what the file says, and OVERLOAD counts it.
        pedestal = int(re.search(r"adds (\d+) to all", text)[1])
        pixels = xds(template.replace("??????", "master"))[2]
        self.assertEqual(int(pixels[3, 5, 7] - self.raw[3, 5, 7]), pedestal)
        self.assertGreater(int(values["OVERLOAD"]), pedestal)
        self.assertAlmostEqual(float(values["X-RAY_WAVELENGTH"]), 0.02508, 4)
        self.assertTrue(all(len(line) < 250 for line in text.splitlines()))

    def test_input_file_refused(self):
        for name in ("with space.emd", "what?.emd", "movie.data"):
            tool("emdsim", "-f", "-q", "--size", 64, "--frames", 2, name)
            self.assertIn("rename it", tool("emdinfo", "--xds", name, expect=1).stderr)
        tool("emdsim", "-f", "-q", "--size", 64, "--frames", 2, "twice.h5")
        tool("emdsim", "-f", "-q", "--size", 64, "--frames", 2, "twice.emd")
        self.assertIn("instead", tool("emdinfo", "--xds", "twice.h5", expect=1).stderr)
        tool("emdinfo", "--xds", "twice.emd")
        tool("emdinfo", "--xds", "twice.emd", "movie.emd", expect=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
