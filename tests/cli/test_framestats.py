# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdrepack --frame-stats: the table against numpy, whatever the layout, the threads and the codec."""

import os
import shutil
import subprocess
import tempfile
import unittest

import h5py
import numpy as np

BIN = os.environ["EMDTOOLS_BIN"]


def run(tool, *args, code=0):
    done = subprocess.run([os.path.join(BIN, tool), *map(str, args)], capture_output=True,
                          text=True, check=False)
    if done.returncode != code:
        raise AssertionError(f"{tool} {args}: exit {done.returncode}: {done.stderr}")
    return done


def read(name):
    with open(name, encoding="ascii") as f:
        header, *lines = f.read().splitlines()
    assert header == "image\ttilt_deg\tmean\tmax\tspots", header
    return np.array([[float(v) for v in line.split("\t")] for line in lines])


def pixels(name):
    with h5py.File(name, "r") as f:
        (group,) = f["Data/Image"].values()
        return group["Data"][:]


def setUpModule():
    folder = tempfile.TemporaryDirectory(dir=".")
    unittest.addModuleCleanup(folder.cleanup)
    unittest.addModuleCleanup(os.chdir, os.getcwd())
    os.chdir(folder.name)


class FrameStats(unittest.TestCase):
    def test_values(self):
        for dtype in ("i16", "u16", "i32", "u8", "f32"):
            with self.subTest(dtype=dtype):
                run("emdsim", "-q", "-f", "--size", 300, "--frames", 9, "--jitter", 0, "--start", -2,
                    "--step", 0.5, "--dtype", dtype, "movie.emd")
                run("emdrepack", "-q", "-f", "--frame-stats", "movie.emd", "packed.emd")
                table, data = read("packed.frames.tsv"), pixels("movie.emd")
                np.testing.assert_array_equal(table[:, 0], np.arange(1, 10))
                np.testing.assert_allclose(table[:, 1], -2 + 0.5 * np.arange(9), atol=1e-4)
                np.testing.assert_allclose(table[:, 2], data.mean((0, 1), dtype=float), atol=6e-4)
                np.testing.assert_allclose(table[:, 3], data.max((0, 1)), rtol=1e-7)

    def test_blank_images_have_fewer_spots(self):
        run("emdsim", "-q", "-f", "--size", 512, "--frames", 12, "--blank", "7:12", "movie.emd")
        run("emdrepack", "-q", "-f", "--frame-stats", "movie.emd", "packed.emd")
        spots = read("packed.frames.tsv")[:, 4]
        self.assertGreater(spots[:6].min(), 1.3 * spots[6:].max())

    def test_same_bytes_whatever_the_way(self):
        # a frame is read, and looked at, in more than one part
        run("emdsim", "-q", "-f", "--size", 404, "--frames", 20, "movie.emd")
        run("emdrepack", "-q", "-f", "--frame-stats", "movie.emd", "packed.emd")
        with open("packed.frames.tsv", "rb") as f:
            expected = f.read()
        # frames taken from other layouts, by other plans and threads, or copied as they are stored
        ways = [("movie.emd", "-j", 1), ("movie.emd", "-j", 5, "-c", "none"),
                ("packed.emd", "--verify", "none"), ("packed.emd", "-c", "zstd")]
        for layout in ("contiguous", "tile", "rows"):
            name = f"{layout}.emd"
            run("emdsim", "-q", "-f", "--size", 404, "--frames", 20, "--layout", layout, name)
            ways += [(name,), (name, "-m", "12M", "-j", 3)]
        for source, *options in ways:
            with self.subTest(source=source, options=options):
                run("emdrepack", "-q", "-f", "--frame-stats", *options, source, "again.emd")
                with open("again.frames.tsv", "rb") as f:
                    self.assertEqual(f.read(), expected)

    def test_chunks_of_tiles_and_many_frames(self):
        run("emdsim", "-q", "-f", "--size", 320, "--frames", 20, "movie.emd")
        data = pixels("movie.emd")
        for chunk in ("64,320,7", "48,50,3", "320,320,20"):
            run("emdrepack", "-q", "-f", "--frame-stats", "--chunk", chunk, "movie.emd", "tiles.emd")
            table = read("tiles.frames.tsv")
            np.testing.assert_allclose(table[:, 2], data.mean((0, 1), dtype=float), atol=6e-4)
            np.testing.assert_array_equal(table[:, 3], data.max((0, 1)))

    def test_stacks_with_frames_first(self):
        data = np.random.default_rng(1).poisson(20, (6, 90, 110)).astype(np.uint16)
        with h5py.File("first.h5", "w") as f:
            f.create_dataset("entry/data", data=data, chunks=(1, 90, 110))
        run("emdrepack", "-q", "-f", "--frame-stats", "first.h5", "out.emd")
        table = read("out.frames.tsv")
        np.testing.assert_allclose(table[:, 2], data.mean((1, 2)), atol=6e-4)
        self.assertTrue(np.isnan(table[:, 1]).all())

    def test_nothing_to_look_at(self):
        with h5py.File("small.h5", "w") as f:
            f["x"] = np.arange(10)
        run("emdrepack", "-q", "-f", "--frame-stats", "small.h5", "small_out.emd")
        self.assertFalse(os.path.exists("small_out.frames.tsv"))

    def test_existing_table_is_not_replaced(self):
        run("emdsim", "-q", "-f", "--size", 64, "--frames", 2, "movie.emd")
        shutil.rmtree("out", ignore_errors=True)
        os.mkdir("out")
        with open("out/movie.frames.tsv", "w", encoding="ascii") as f:
            f.write("mine")
        run("emdrepack", "-q", "--frame-stats", "-d", "out", "movie.emd", code=1)
        self.assertEqual(os.listdir("out"), ["movie.frames.tsv"])
        run("emdrepack", "-q", "-f", "--frame-stats", "-d", "out", "movie.emd")
        self.assertEqual(len(read("out/movie.frames.tsv")), 2)


if __name__ == "__main__":
    unittest.main()
