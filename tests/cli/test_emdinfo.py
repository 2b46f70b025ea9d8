# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdinfo: on real Velox files, simulated, compressed and damaged ones; h5py is the judge."""

import glob
import json
import os
import struct
import subprocess
import unittest
import zlib

import h5py
import numpy as np

BIN = os.environ["EMDTOOLS_BIN"]
REAL = sorted(glob.glob(os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "velox", "*.emd")))
# A plugin path without plugins: what emdinfo reads it reads by itself.
ENVIRONMENT = dict(os.environ, HDF5_PLUGIN_PATH="/nonexistent")


def run(tool, *args, code=0):
    result = subprocess.run([os.path.join(BIN, tool), *map(str, args)], capture_output=True,
                            check=False, env=ENVIRONMENT)
    if result.returncode != code:
        raise AssertionError(f"{tool} {args}: exit {result.returncode}: {result.stderr.decode()}")
    return result.stdout.decode()


def info(path, *args):
    return json.loads(run("emdinfo", "--json", *args, path))


def movie(name, *args):
    run("emdsim", "-q", "-f", "--size", 128, "--frames", 12, *args, name)
    return name


def read_png(path):
    """(height, width[, 3]) array of an 8-bit PNG without row filters, checksums checked."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels = 8, b""
    while at < len(data):
        (n,) = struct.unpack(">I", data[at:at + 4])
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + n]
        assert struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8
        elif kind == b"IDAT":
            pixels += body
        at += 12 + n
    channels = 3 if colour == 2 else 1
    rows = np.frombuffer(zlib.decompress(pixels), np.uint8).reshape(height, width * channels + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels).squeeze(-1 if channels == 1 else ())


@unittest.skipUnless(REAL, "no real files here")
class RealFiles(unittest.TestCase):
    def test_all_are_described(self):
        for path in REAL:
            with self.subTest(os.path.basename(path)), h5py.File(path, "r") as f:
                found = info(path)
                self.assertEqual(found["bytes"], os.path.getsize(path))
                self.assertEqual(found["problems"], [])
                velox = "Version" in f and b"Velox" in f["Version"][0]
                self.assertEqual(found["velox"], velox)
                if velox:
                    self.assertEqual(found["version"], json.loads(f["Version"][0])["version"])
                    paths = {f"/Data/Image/{k}/Data" for k in f["Data/Image"]}
                    self.assertEqual({s["dataset"] for s in found["images"]}, paths)
                self.assertTrue(found["images"])
                for s in found["images"]:
                    data = f[s["dataset"]]
                    self.assertEqual(s["storage"]["shape"], list(data.shape))
                    self.assertEqual(s["storage"]["chunk"],
                                     list(data.chunks) if data.chunks else None)
                    self.assertEqual(s["storage"]["raw_bytes"], data.size * data.dtype.itemsize)
                    self.assertEqual(s["storage"]["stored_bytes"], data.id.get_storage_size())
                    self.assertTrue(s["storage"]["readable"])
                    if velox:
                        self.check_metadata(data.parent, s)
                self.assertIn(os.path.basename(path), run("emdinfo", path))

    def check_metadata(self, group, found):
        texts = [bytes(group["Metadata"][:, i]).split(b"\0")[0]
                 for i in range(group["Metadata"].shape[1])]
        first = json.loads(texts[0])
        self.assertEqual(found["storage"]["metadata_readable"], len(texts))
        self.assertAlmostEqual(found["voltage_kV"],
                               float(first["Optics"]["AccelerationVoltage"]) / 1000)
        self.assertAlmostEqual(found["camera_length_mm"],
                               float(first["Optics"]["CameraLength"]) * 1000)
        self.assertAlmostEqual(found["tilt"]["start_deg"],
                               np.degrees(float(first["Stage"]["AlphaTilt"])), 2)
        self.assertEqual(found["camera"], first["BinaryResult"]["Detector"])

    def test_metadata_are_printed_as_they_are(self):
        for path in REAL:
            with h5py.File(path, "r") as f:
                if "Version" not in f:
                    continue
                name = info(path)["images"][0]["dataset"]
                column = bytes(f[name].parent["Metadata"][:, 0]).split(b"\0")[0]
            text = run("emdinfo", "--metadata", 1, path)
            self.assertEqual(text.rstrip("\n"), column.decode().rstrip("\n"))

    def test_one_table(self):
        lines = run("emdinfo", *REAL).splitlines()
        self.assertEqual(len(lines), len(REAL) + 1)
        for path, line in zip(REAL, lines[1:]):
            self.assertTrue(line.endswith(path))

    def test_pictures(self):
        for path in REAL:
            with self.subTest(os.path.basename(path)):
                s = info(path)["images"][0]
                run("emdinfo", "-q", "-f", "--png", "real.png", path)
                self.assertEqual(read_png("real.png").shape, (s["height"], s["width"]))


class Movies(unittest.TestCase):
    def test_movie(self):
        path = movie("movie.emd", "--step", -1.5, "--start", 20, "--jitter", 0.001)
        s = info(path)["images"][0]
        self.assertEqual((s["width"], s["height"], s["frames"]), (128, 128, 12))
        self.assertAlmostEqual(s["tilt"]["start_deg"], 20, 2)
        self.assertAlmostEqual(s["tilt"]["step_deg"], -1.5, 3)
        self.assertAlmostEqual(s["tilt"]["end_deg"], 3.5, 2)
        self.assertEqual(s["tilt"]["outliers"], 0)
        self.assertEqual(s["camera"], "BM-Ceta")
        self.assertEqual(s["binning"], 32)
        self.assertEqual(s["exposure_s"], 0.5)
        text = run("emdinfo", path)
        for part in ("20.00 to 3.50 deg", "12 of 128 x 128 int16", "chunked 128 x 128 x 1",
                     "2023-06-09 12:00:00 UTC", "200 kV"):
            self.assertIn(part, text)

    def test_tilt_table(self):
        path = movie("tilt.emd")
        with h5py.File(path, "r+") as f:
            (group,) = f["Data/Image"].values()
            tilts = []
            for i in range(12):
                text = json.loads(bytes(group["Metadata"][:, i]).split(b"\0")[0])
                tilts.append(np.degrees(float(text["Stage"]["AlphaTilt"])))
                if i == 4:
                    text["Stage"]["AlphaTilt"] = "1"
                if i == 7:
                    del text["Stage"]
                new = np.zeros(60000, np.uint8)
                raw = json.dumps(text).encode()
                new[:len(raw)] = np.frombuffer(raw, np.uint8)
                group["Metadata"][:, i] = new
        rows = [line.split("\t") for line in run("emdinfo", "--tilt", path).splitlines()]
        self.assertEqual(rows[0][:4], ["image", "alpha_deg", "time_s", "note"])
        self.assertEqual([r[0] for r in rows[1:]], [str(i) for i in range(1, 13)])
        for i, row in enumerate(rows[1:]):
            if i == 4:
                self.assertEqual((row[1], row[3]), ("57.295780", "outlier"))
            elif i == 7:
                self.assertEqual((row[1], row[3]), ("-", ""))
            else:
                self.assertAlmostEqual(float(row[1]), tilts[i], 5)
                self.assertEqual(row[3], "")
            self.assertAlmostEqual(float(row[2]), 1686312000 + 0.5 * (i + 1), 5)

    def test_compressed_movies_without_plugins(self):
        raw = movie("raw.emd")
        run("emdinfo", "-q", "-f", "--png", "raw.png", raw)
        for codec in ("gzip", "blosc", "zstd"):
            run("emdrepack", "-q", "-f", "-c", codec, raw, "packed.emd")
            s = info("packed.emd")["images"][0]
            self.assertTrue(s["storage"]["readable"])
            self.assertGreater(s["storage"]["ratio"], 2)
            self.assertIn({"gzip": "deflate"}.get(codec, codec), s["storage"]["filters"])
            run("emdinfo", "-q", "-f", "--png", "packed.png", "packed.emd")
            np.testing.assert_array_equal(read_png("packed.png"), read_png("raw.png"))
            self.assertIn("emdrepack", info("packed.emd")["repacked"])

    def test_problems_are_found(self):
        path = movie("problem.emd")
        with h5py.File(path, "r+") as f:
            (group,) = f["Data/Image"].values()
            group["Data"].resize((128, 128, 14))
            group["Metadata"][:5, 2] = 0x7b
        problems = " ".join(info(path)["problems"])
        for part in ("14 images, but metadata of 12", "2 of 14 chunks were never written",
                     "metadata of 1 images cannot be read, image 3 the first"):
            self.assertIn(part, problems)
        self.assertIn("PROBLEM", run("emdinfo", path))
        with open(path, "rb") as f:
            data = f.read()
        with open("short.emd", "wb") as f:
            f.write(data[:len(data) // 2])
        with open("empty.emd", "wb") as f:
            pass
        with open("text.emd", "wb") as f:
            f.write(b"no HDF5" * 1000)
        run("emdinfo", "short.emd", code=3)
        run("emdinfo", "empty.emd", code=3)
        run("emdinfo", "text.emd", code=1)
        run("emdinfo", "absent.emd", code=1)
        lines = run("emdinfo", "--json", path, "short.emd", code=3).splitlines()
        self.assertEqual([json.loads(x)["status"] for x in lines], ["ok", "incomplete"])

    def test_unknown_filter_is_named(self):
        with h5py.File("filter.h5", "w") as f:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((4, 8, 8))
            plist.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, ())
            h5py.h5d.create(f.id, b"stack", h5py.h5t.NATIVE_INT16,
                            h5py.h5s.create_simple((4, 8, 8)), plist)
        found = info("filter.h5")
        self.assertFalse(found["images"][0]["storage"]["readable"])
        self.assertIn("32099", " ".join(found["problems"]))

    def test_damage_never_crashes(self):
        path = movie("whole.emd")
        with open(path, "rb") as f:
            data = bytearray(f.read())
        random = np.random.default_rng(1)
        for _ in range(60):
            bad = bytearray(data)
            for at in random.integers(0, 40000, 8):
                bad[at] = random.integers(0, 256)
            with open("bad.emd", "wb") as f:
                f.write(bad)
            result = subprocess.run([os.path.join(BIN, "emdinfo"), "bad.emd"], capture_output=True,
                                    check=False, timeout=60)
            self.assertIn(result.returncode, (0, 1, 3))


class Estimates(unittest.TestCase):
    """What emdinfo says of the pixels against what emdsim put into them. Tolerances: centre 1 pixel,
    2 with a beam stop; pedestal 2 counts; gain 15 %."""

    # options of emdsim, whether there is a beam stop
    MOVIES = (("--dose 12", False),
              ("--dose 60 --beam-centre 380,200", False),
              ("--dose 2 --beam-centre 130,140 --gain 8 --pedestal 30 --step 2", False),
              ("--dose 12 --beam-stop --beam-centre 380,150 --drift 3,-2 --gain 4", True),
              ("--dose 20 --beam-stop=20,-150 --gain 26 --no-crystal", True),
              ("--dose 40 --beam-stop=8,200 --gain 0.5 --seed 5", True),
              ("--dose 20 --camera falcon --dtype u16 --beam-centre 200.5,300", False),
              ("--dose 25 --dtype u16 --gain 10", False))

    def test_against_the_truth(self):
        for options, stop in self.MOVIES:
            with self.subTest(options):
                run("emdsim", "-q", "-f", "--size", 512, "--frames", 18, *options.split(), "--omit",
                    "gain", "--truth", "truth.json", "estimate.emd")
                with open("truth.json", encoding="utf-8") as f:
                    truth = json.load(f)
                (found,) = info("estimate.emd")["images"]
                self.assertIsNone(found["estimate_error"])
                off = np.hypot(*np.subtract(found["beam_centre_px"], truth["beam_centre"]))
                self.assertLess(off, 2 if stop else 1)
                self.assertLess(found["beam_centre_sigma_px"], 1)
                self.assertEqual(found["beam_centre_from"], "background" if stop else "beam")
                self.assertAlmostEqual(found["pedestal"], truth["pedestal"], delta=2)
                self.assertEqual(found["gain_from"], "pixels")
                self.assertAlmostEqual(found["gain"] / truth["gain"], 1, delta=0.15)
                self.assertEqual(found["beam_stop_px"] is not None, stop)
                if stop:
                    self.check_outline(found["beam_stop_px"], truth)

    def check_outline(self, corners, truth):
        """Most of the shadow is inside, and little else."""
        y, x = np.mgrid[:512, :512] + 0.5
        radius, angle = truth["beam_stop"]
        dx, dy = x - truth["beam_centre"][0], y - truth["beam_centre"][1]
        turn = np.radians(angle)
        rod = (dx * np.cos(turn) + dy * np.sin(turn) > 0) & \
            (abs(dy * np.cos(turn) - dx * np.sin(turn)) < 0.6 * radius)
        shadow = rod | (np.hypot(dx, dy) < radius)
        inside = np.zeros_like(shadow)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):  # even-odd rule
            if y0 != y1:
                inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        self.assertGreater((shadow & inside).sum() / shadow.sum(), 0.9)
        self.assertLess((inside & ~shadow).sum() / shadow.sum(), 0.8)

    def test_metadata_and_pixels_disagree(self):
        movie("gain.emd", "--size", 256, "--frames", 24, "--dose", 25)
        (found,) = info("gain.emd")["images"]
        self.assertEqual((found["gain_from"], found["gain_contradicted"]), ("metadata", False))
        self.assertAlmostEqual(found["gain"], 2, 6)
        with h5py.File("gain.emd", "r+") as f:
            (group,) = f["Data/Image"].values()
            for i in range(group["Metadata"].shape[1]):
                text = bytes(group["Metadata"][:, i]).split(b"\0", 1)[0]
                text = text.replace(b'"value":"256"', b'"value":"64"')
                group["Metadata"][:, i] = np.frombuffer(text.ljust(60000, b"\0"), np.uint8)
        (found,) = info("gain.emd")["images"]
        self.assertAlmostEqual(found["gain_metadata"], 8, 6)
        self.assertEqual((found["gain_from"], found["gain_contradicted"]), ("pixels", True))
        self.assertAlmostEqual(found["gain"] / 2, 1, delta=0.2)
        self.assertIn("WARNING", run("emdinfo", "gain.emd"))

    def test_each_frame(self):
        run("emdsim", "-q", "-f", "--size", 256, "--frames", 9, "--drift", "12,-6", "--truth",
            "drift.json", "drift.emd")
        with open("drift.json", encoding="utf-8") as f:
            truth = np.reshape(json.load(f)["beam_centres"], (9, 2))
        rows = [line.split("\t") for line in run("emdinfo", "--tilt", "drift.emd").splitlines()]
        self.assertEqual(rows[0][4:], ["beam_x_px", "beam_y_px", "pedestal"])
        found = np.array([row[4:] for row in rows[1:]], float)
        np.testing.assert_allclose(found[:, :2], truth, atol=0.5)
        np.testing.assert_allclose(found[:, 2], -40, atol=2)
        rows = [line.split("\t") for line in
                run("emdinfo", "--tilt", "--no-pixels", "drift.emd").splitlines()]
        self.assertEqual(rows[1][4:], ["-", "-", "-"])

    def test_nothing_to_be_seen(self):
        movie("dark.emd", "--size", 256, "--dose", 0)
        (found,) = info("dark.emd")["images"]
        self.assertIsNone(found["beam_centre_px"])
        self.assertIsNone(found["gain_pixels"])
        self.assertAlmostEqual(found["pedestal"], -40, delta=2)
        for size, frames in ((64, 1), (64, 2), (100, 0), (40, 3), ("300x70", 3)):
            movie("odd.emd", "--size", size, "--frames", frames)
            (found,) = info("odd.emd")["images"]
            self.assertEqual(found["frames"], frames)
        (found,) = info("dark.emd", "--no-pixels")["images"]
        self.assertIsNone(found["pedestal"])

    def test_mask(self):
        movie("stop.emd", "--size", 256, "--dose", 20, "--beam-stop=10,90")
        run("emdinfo", "-f", "--mask", "mask.phil", "stop.emd")
        with open("mask.phil", encoding="utf-8") as f:
            text = f.read()
        numbers = [float(n) for n in text.split("polygon =")[1].split("\n")[0].split()]
        self.assertEqual(numbers, [n for c in info("stop.emd")["images"][0]["beam_stop_px"]
                                   for n in c])
        run("emdinfo", "--mask", "mask.phil", "stop.emd", code=1)  # it exists
        # A mask of DIALS: the shadow on a disc and a rod that comes from below.
        run("emdinfo", "--mask", "stop.mask", "stop.emd")
        run("emdinfo", "--mask", "stop.mask", "stop.emd", code=1)
        run("emdinfo", "-f", "--mask", "stop.mask", "stop.emd")
        with open("stop.mask", "rb") as f:
            used = np.frombuffer(f.read()[-4 - 256 * 256:-4], np.uint8).reshape(256, 256) == ord("1")
        self.assertFalse(used[120:136, 120:136].any() or used[200:, 126:130].any())
        self.assertTrue(used[:100].all() and used[:, :90].all())
        self.assertGreater(used.mean(), 0.9)
        movie("free.emd", "--size", 256)
        run("emdinfo", "--mask", "none.phil", "free.emd", code=1)
        self.assertFalse(os.path.exists("none.phil"))


class Pictures(unittest.TestCase):
    def test_frame_is_monotonic_and_robust(self):
        path = movie("frame.emd")
        with h5py.File(path, "r") as f:
            (group,) = f["Data/Image"].values()
            frames = group["Data"][:].astype(float)
        for scale in ("asinh", "log", "linear"):
            run("emdinfo", "-q", "-f", "--png", "f.png", "--frames", 5, "--scale", scale, path)
            grey = read_png("f.png").astype(int)
            order = np.argsort(frames[..., 4].ravel(), kind="stable")
            self.assertTrue((np.diff(grey.ravel()[order]) >= 0).all(), scale)
            self.assertEqual((grey.min(), grey.max()), (0, 255))
            if scale != "linear":
                self.assertGreater(len(np.unique(grey)), 15)

    def test_projections(self):
        path = movie("projection.emd")
        with h5py.File(path, "r") as f:
            (group,) = f["Data/Image"].values()
            frames = group["Data"][:].astype(float)
        for option, expected in (("--max", frames[..., 1:10:3].max(2)),
                                 ("--mean", frames[..., 1:10:3].mean(2))):
            run("emdinfo", "-q", "-f", "--png", "p.png", option, "--frames", "2:10:3", path)
            grey = read_png("p.png").astype(int).ravel()
            self.assertTrue((np.diff(grey[np.argsort(expected.ravel(), kind="stable")]) >= 0).all())

    def test_contact_sheet(self):
        path = movie("sheet.emd", "--blank", "7:12")
        run("emdinfo", "-q", "-f", "--png", "s.png", "--frames", "1:12", path)
        self.assertEqual(read_png("s.png").shape, (3 * 132 - 4, 4 * 132 - 4))

    def test_rings(self):
        path = movie("rings.emd", "--size", 512)
        run("emdinfo", "-q", "-f", "--png", "r.png", "--rings", 618, path)
        colours = read_png("r.png").astype(int)
        y, x = np.nonzero((colours[..., 0] == 255) & (colours[..., 1] == 64))
        radii = np.hypot(x + 0.5 - 256, y + 0.5 - 256)
        pixel = 0.014 * 8
        for d in (2, 1.5, 1):
            radius = 618 * np.tan(2 * np.arcsin(0.0250793 / 2 / d)) / pixel
            self.assertGreater((abs(radii - radius) < 2.5).sum(), 4 * radius)
        run("emdinfo", "-q", "-f", "--png", "r.png", "--rings", 0, path)
        movie("off.emd", "--size", 512, "--beam-centre", "180,330")
        run("emdinfo", "-q", "-f", "--png", "r.png", "--rings", 618, "off.emd")
        colours = read_png("r.png").astype(int)
        y, x = np.nonzero((colours[..., 0] == 255) & (colours[..., 1] == 64))
        radii = np.hypot(x + 0.5 - 180, y + 0.5 - 330)
        self.assertGreater((abs(radii - radius) < 2.5).sum(), 4 * radius)

    def test_plain_stacks(self):
        stack = np.arange(5 * 40 * 50, dtype=np.float64).reshape(5, 40, 50)
        stack[0, 0, 0] = np.nan
        with h5py.File("plain.h5", "w") as f:
            f["a/stack"] = stack
            f["image"] = (stack[1] + 1).astype(">i4")
            f["text"] = "nothing to see"
            f["list"] = np.arange(100)
        self.assertEqual({s["dataset"]: s["frames"] for s in info("plain.h5")["images"]},
                         {"/a/stack": 5, "/image": 1})
        run("emdinfo", "-q", "-f", "--png", "p.png", "--dataset", "/a/stack", "--frames", 3,
            "plain.h5")
        grey = read_png("p.png").astype(int)
        self.assertEqual(grey.shape, (40, 50))
        self.assertTrue((np.diff(grey.ravel()) >= 0).all())
        run("emdinfo", "-q", "-f", "--png", "p.png", "--dataset", "/list", "plain.h5", code=1)
        run("emdinfo", "-q", "-f", "--png", "p.png", "--dataset", "/no", "plain.h5", code=2)

    def test_existing_picture_stays(self):
        path = movie("keep.emd")
        with open("keep.png", "w", encoding="ascii") as f:
            f.write("precious")
        run("emdinfo", "--png", "keep.png", path, code=1)
        with open("keep.png", encoding="ascii") as f:
            self.assertEqual(f.read(), "precious")
        run("emdinfo", "--png", "other.png", "--frames", "11:13", path, code=2)
        self.assertFalse(glob.glob("other.png*"))


class Usage(unittest.TestCase):
    def test_errors(self):
        path = movie("usage.emd")
        for bad in ([], ["--png"], ["--json", "--tilt", path], ["--frames", "1", path],
                    ["--png", "x.png", "--frames", "3:1", path], ["--metadata=0", path],
                    ["--png", "x.png", "--scale", "x", path], ["--png", "x.png", path, path],
                    ["--png", "x.png", "--frames", "1:2:3:4", path], ["--nonsense", path]):
            run("emdinfo", *bad, code=2)
        said = subprocess.run([os.path.join(BIN, "emdinfo"), "--png", "x.png", "--frames", "3:1", path],
                              capture_output=True, check=False, env=ENVIRONMENT).stderr
        self.assertIn(b"--frames 3:1: the last image is before the first one", said)
        self.assertIn("--png", run("emdinfo", "--help"))
        self.assertIn("emdinfo (emdtools)", run("emdinfo", "--version"))

    def test_unknown_simd_level(self):
        for level in "avx9", "neon" if os.uname().machine == "x86_64" else "avx2":
            result = subprocess.run([os.path.join(BIN, "emdinfo"), "--version"], check=False,
                                    capture_output=True, env=dict(ENVIRONMENT, EMDTOOLS_SIMD=level))
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"EMDTOOLS_SIMD: '{level}' is no level of this machine".encode(),
                          result.stderr)

    def test_control_characters_do_not_reach_the_terminal(self):
        name = movie("evil\x1b[31m.emd")
        self.assertNotIn("\x1b", run("emdinfo", name))
        self.assertNotIn("\x1b", run("emdinfo", name, name))


if __name__ == "__main__":
    unittest.main()
