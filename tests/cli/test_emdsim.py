# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdsim: structure of the file, determinism, layouts, pixel types, options, failures."""

import glob
import hashlib
import json
import os
import re
import subprocess
import unittest

import h5py
import numpy as np

EMDSIM = os.path.join(os.environ["EMDTOOLS_BIN"], "emdsim")
DATA = os.environ.get("EMDTOOLS_TEST_DATA", "")
REAL = os.path.join(DATA, "velox", "ceta_diffraction_512_i2_v8.emd")


def emdsim(*args, code=0):
    run = subprocess.run([EMDSIM, *map(str, args)], capture_output=True, text=True, check=False)
    if run.returncode != code:
        raise AssertionError(f"emdsim {args}: exit {run.returncode}: {run.stderr}")
    return run


def image_group(file):
    (group,) = file["Data/Image"].values()
    return group


def pixels(name):
    with h5py.File(name, "r") as f:
        return image_group(f)["Data"][:]


def digest(name):
    with open(name, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Structure(unittest.TestCase):
    @unittest.skipUnless(os.path.exists(REAL), "no real Velox file here")
    def test_same_as_velox(self):
        """h5dump tells no difference from a real file but names and sizes."""
        emdsim("-f", "--size", 512, "--frames", 1, "velox.emd")

        def outline(name):
            text = subprocess.run(["h5dump", "-p", "-H", name], capture_output=True, text=True,
                                  check=True).stdout
            text = re.sub(r"[0-9a-f]{32}", "ID", text.replace(name, ""))
            return re.sub(r"(?<=\( )\d{4,}(?= \))|SIZE \d+", "N", text)

        self.assertEqual(outline("velox.emd"), outline(REAL))

    def test_documents(self):
        emdsim("-f", "--size", 64, "--frames", 3, "--step", -1.5, "--start", 20, "--jitter", 0,
               "documents.emd")
        with h5py.File("documents.emd", "r") as f:
            self.assertEqual(json.loads(f["Version"][0]), {"version": "8", "format": "Velox"})
            (operation,) = f["Operations/CameraInputOperation"].values()
            document = json.loads(operation[0])
            self.assertEqual(document["cameraName"], "BM-Ceta")
            group = image_group(f)
            self.assertEqual(f[document["dataPath"]], group)
            for path in re.findall(r'"(\\?/(?:Data|Features|Operations|Presentation)[^"]*)"',
                                   " ".join(d[0].decode() for d in self.strings(f))):
                self.assertIn(path.replace("\\/", "/"), f)
            self.assertEqual(group["Metadata"].shape, (60000, 3))
            self.assertEqual(list(group["FrameLookupTable"]), [0, 1, 2])
            for i in range(3):
                text = bytes(group["Metadata"][:, i])
                end = text.index(b"\0")
                self.assertEqual(text[end:].strip(b"\0"), b"")
                meta = json.loads(text[:end])
                tilt = np.degrees(float(meta["Stage"]["AlphaTilt"]))
                self.assertAlmostEqual(tilt, 20 - 1.5 * i, 9)
                self.assertEqual(meta["BinaryResult"]["ImageSize"]["width"], "4096")
                self.assertEqual(float(meta["Optics"]["AccelerationVoltage"]), 200000)
                stamp = meta["CustomProperties"]["Detectors[BM-Ceta].TimeStamp"]["value"]
                self.assertEqual(int(stamp), 1686312000000000 + 500000 * (i + 1))
            thumbnail = bytes(f["Thumbnail.jpg"][:])
        self.assertTrue(thumbnail.startswith(b"\xff\xd8") and thumbnail.endswith(b"\xff\xd9"))

    @staticmethod
    def strings(file):
        found = []
        file.visititems(lambda _, o: found.append(o) if getattr(o, "dtype", None) == object else None)
        return found

    def test_thumbnail_decodes(self):
        try:
            from PIL import Image
        except ImportError:
            self.skipTest("no Pillow here")
        import io

        emdsim("-f", "--size", 256, "--frames", 1, "thumbnail.emd")
        with h5py.File("thumbnail.emd", "r") as f:
            image = Image.open(io.BytesIO(bytes(f["Thumbnail.jpg"][:])))
        grey = np.asarray(image)
        self.assertEqual(grey.shape, (512, 512))
        self.assertGreater(grey[240:272, 240:272].mean(), grey[:32, :32].mean() + 100)

    def test_no_frames(self):
        emdsim("-f", "--size", 64, "--frames", 0, "none.emd")
        with h5py.File("none.emd", "r") as f:
            self.assertEqual(image_group(f)["Data"].shape, (64, 64, 0))
            self.assertEqual(image_group(f)["Metadata"].shape, (60000, 0))


class Determinism(unittest.TestCase):
    SMALL = ("--size", "200x130", "--frames", 21, "--dose", 40)

    def test_threads_do_not_matter(self):
        for layout in ("frame", "contiguous", "tile", "rows"):
            for threads in (1, 3):
                emdsim("-f", *self.SMALL, "--layout", layout, "-j", threads, f"j{threads}.emd")
            self.assertEqual(digest("j1.emd"), digest("j3.emd"), layout)

    def test_seed_matters(self):
        emdsim("-f", *self.SMALL, "s1.emd")
        emdsim("-f", *self.SMALL, "--seed", 2, "--orientation", 1, "s2.emd")
        a, b = pixels("s1.emd"), pixels("s2.emd")
        self.assertGreater(np.mean(a != b), 0.5)
        # The same crystal under other noise: the mean over all frames is alike.
        c = pixels("s1.emd").mean(2), pixels("s2.emd").mean(2)
        self.assertGreater(np.corrcoef(c[0].ravel(), c[1].ravel())[0, 1], 0.9)

    def test_layouts_hold_the_same_pixels(self):
        emdsim("-f", *self.SMALL, "frame.emd")
        frame = pixels("frame.emd")
        for layout, chunks in (("contiguous", None), ("tile", (130, 200, 16)),
                               ("rows", (1, 200, 64))):
            emdsim("-f", *self.SMALL, "--layout", layout, "other.emd")
            with h5py.File("other.emd", "r") as f:
                self.assertEqual(image_group(f)["Data"].chunks, chunks)
            np.testing.assert_array_equal(pixels("other.emd"), frame)
        emdsim("-f", "--size", "300x270", "--frames", 17, "--layout", "tile", "tiles.emd")
        emdsim("-f", "--size", "300x270", "--frames", 17, "frames.emd")
        np.testing.assert_array_equal(pixels("tiles.emd"), pixels("frames.emd"))

    def test_known_bytes(self):
        """Every machine must make these pixels: a change of the physics has to change this line."""
        emdsim("-f", "--size", 128, "--frames", 4, "--dose", 60, "--seed", 7, "known.emd")
        self.assertEqual(hashlib.sha256(pixels("known.emd").tobytes()).hexdigest()[:16], KNOWN)


KNOWN = "906c16ac3804eb43"


class Noise(unittest.TestCase):
    def test_counting_is_poisson(self):
        for dose in (0.5, 8, 25, 60, 400):
            emdsim("-f", "--size", 64, "--frames", 200, "--no-crystal", "--camera", "falcon",
                   "--dtype", "i32", "--dose", dose, "counts.emd")
            a = pixels("counts.emd").astype(float)
            mean, var = a.mean(2), a.var(2, ddof=1)
            expected = mean.sum() / mean.size
            # 64 x 64 x 200 samples: the standard error of the ratio is near sqrt(2 / 819200).
            self.assertAlmostEqual(var.mean() / expected, 1, delta=0.012, msg=f"dose {dose}")
            z = (a - mean[..., None]) / np.sqrt(np.maximum(mean, 1e-9))[..., None]
            self.assertAlmostEqual((z**3).mean() * np.sqrt(np.median(mean)), 1, delta=0.6,
                                   msg=f"dose {dose}")

    def test_dark_frame_is_like_a_real_one(self):
        """Without beam: sigma 1.7, entropy 2.8 bit, correlated neighbours, as a real Ceta."""
        emdsim("-f", "--size", 512, "--frames", 2, "--dose", 0, "--pedestal", -2, "dark.emd")
        a = pixels("dark.emd").astype(float)
        self.assertEqual(np.median(a), -2)
        frame = np.clip(a[..., 0], -12, 12)
        self.assertAlmostEqual(frame.std(), 1.7, delta=0.2)
        share = np.unique(frame, return_counts=True)[1] / frame.size
        self.assertAlmostEqual(-(share * np.log2(share)).sum(), 2.82, delta=0.15)
        noise = np.clip(a[..., 0] - a[..., 1], -20, 20)
        noise -= noise.mean()
        correlation = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
        self.assertAlmostEqual(correlation, 0.35, delta=0.08)


class Options(unittest.TestCase):
    def test_pixel_types(self):
        for name, dtype in (("i16", "<i2"), ("u16", "<u2"), ("i32", "<i4"), ("u8", "u1"),
                            ("f32", "<f4")):
            emdsim("-f", "--size", 64, "--frames", 3, "--dtype", name, "--layout", "tile", "t.emd")
            with h5py.File("t.emd", "r") as f:
                data = image_group(f)["Data"]
                self.assertEqual(data.dtype.str, np.dtype(dtype).str)
                self.assertGreater(data[:].std(), 1)
                self.assertTrue(np.isfinite(data[:]).all())

    def test_blanks_scale_and_truth(self):
        emdsim("-f", "--size", 256, "--frames", 20, "--blank", "3:5,20", "--scale", "7:9=0.5",
               "--truth", "truth.json", "blank.emd")
        emdsim("-f", "--size", 256, "--frames", 20, "--truth", "plain.json", "plain.emd")
        with open("truth.json", encoding="utf-8") as a, open("plain.json", encoding="utf-8") as b:
            truth, plain = json.load(a), json.load(b)
        electrons, all_electrons = np.array(truth["electrons"]), np.array(plain["electrons"])
        factor = np.ones(20)
        factor[[2, 3, 4, 19]] = 0
        factor[6:9] = 0.5
        np.testing.assert_allclose(electrons, all_electrons * factor, rtol=0.02)
        self.assertTrue({3, 4, 5, 20} <= set(truth["blank"]))
        cell = np.linalg.inv(np.array(truth["A_matrix"]).reshape(3, 3))
        np.testing.assert_allclose(np.linalg.norm(cell, axis=1), truth["cell"][:3], rtol=1e-6)

    def test_fade(self):
        emdsim("-f", "--size", 64, "--frames", 11, "--fade", 0.2, "--truth", "fade.json", "f.emd")
        emdsim("-f", "--size", 64, "--frames", 11, "--truth", "plain.json", "f.emd")
        with open("fade.json", encoding="utf-8") as a, open("plain.json", encoding="utf-8") as b:
            ratio = np.array(json.load(a)["electrons"]) / np.array(json.load(b)["electrons"])
        np.testing.assert_allclose(ratio, np.linspace(1, 0.2, 11), rtol=0.1)

    def test_usage_errors(self):
        for bad in (["--size", "15"], ["--size", "1e3"], ["--frames", "-1"], ["--blank", "5:3"],
                    ["--blank", "1:2=3"], ["--scale", "1:2"], ["--cell", "1,2,3"],
                    ["--dtype", "i64"], ["--layout", "x"], ["--camera", "k2"], ["--seed", "-1"],
                    ["--nonsense"], ["--fade", "2"], ["--fade", "nan"], ["-j", "0"]):
            run = emdsim(*bad, "usage.emd", code=2)
            self.assertIn("emdsim --help", run.stderr, bad)
        emdsim(code=2)
        emdsim("a.emd", "b.emd", code=2)
        emdsim("--blank", "1:500", "usage.emd", code=2)
        emdsim("--cell", "5,5,5,150,150,150", "usage.emd", code=2)
        emdsim("--cell", "900,900,900,90,90,90", "usage.emd", code=2)
        self.assertFalse(os.path.exists("usage.emd"))
        self.assertIn("--layout", emdsim("--help").stdout)
        self.assertRegex(emdsim("--version").stdout, r"^emdsim \(emdtools\) \d")


def documents(name):
    with h5py.File(name, "r") as f:
        columns = image_group(f)["Metadata"][:]
    return [json.loads(bytes(c).split(b"\0", 1)[0]) for c in columns.T]


def truth_of(name, *options):
    emdsim("-f", *options, "--truth", "geometry.json", name)
    with open("geometry.json", encoding="utf-8") as f:
        return json.load(f)


class Geometry(unittest.TestCase):
    def test_beam_and_drift(self):
        truth = truth_of("beam.emd", "--size", "300x200", "--frames", 5, "--beam-centre", "120.5,90",
                         "--drift", "8,-4", "--dose", 40, "--no-crystal")
        self.assertEqual(truth["beam_centre"], [120.5, 90])
        beams = np.reshape(truth["beam_centres"], (5, 2))
        np.testing.assert_allclose(beams[:, 0], [116.5, 118.5, 120.5, 122.5, 124.5])
        np.testing.assert_allclose(beams[:, 1], [92, 91, 90, 89, 88])
        y, x = np.mgrid[:200, :300] + 0.5
        for i, frame in enumerate(np.moveaxis(pixels("beam.emd").astype(float), 2, 0)):
            near = np.where(np.hypot(x - beams[i, 0], y - beams[i, 1]) < 12, frame + 40, 0)
            near = np.maximum(near - 1000, 0)
            self.assertAlmostEqual((near * x).sum() / near.sum(), beams[i, 0], delta=0.1)
            self.assertAlmostEqual((near * y).sum() / near.sum(), beams[i, 1], delta=0.1)

    def test_beam_stop(self):
        emdsim("-f", "--size", 256, "--frames", 8, "--beam-stop=12,90", "--dose", 60, "--noise", 0,
               "shadow.emd")
        mean = np.median(pixels("shadow.emd"), axis=2)
        self.assertLess(mean[120:136, 120:136].max(), -36)  # the disc
        self.assertLess(mean[250, 124:132].max(), -36)      # the rod, to the lower edge
        self.assertGreater(mean[105:112, 120:136].mean(), 20)

    def test_stage_at_rest(self):
        truth = truth_of("rest.emd", "--size", 64, "--frames", 12, "--step", 1, "--jitter", 0,
                         "--start", -20, "--rest", "4:2")
        self.assertEqual(truth["tilt"], [-20] * 5 + [-19, -18, -17, -16, -15, -14, -14])
        recorded = [np.degrees(float(d["Stage"]["AlphaTilt"])) for d in documents("rest.emd")]
        np.testing.assert_allclose(recorded, truth["tilt"], atol=1e-9)
        emdsim("-f", "--size", 64, "--frames", 5, "--rest", 3, "rest.emd", code=2)

    def test_metadata_of_a_binned_ceta(self):
        truth = truth_of("ceta.emd", "--size", 512, "--frames", 2, "--dose", 60, "--gain", 4)
        camera = {k.split(".", 1)[1]: float(v["value"])
                  for k, v in documents("ceta.emd")[1]["CustomProperties"].items()
                  if k.startswith("Detectors[BM-Ceta]")}
        self.assertEqual(camera["PixelValueToCameraCounts"], 64)
        self.assertAlmostEqual(camera["CountsToElectrons"] * 64, 1 / truth["gain"], 9)
        self.assertEqual(camera["SaturationPoint"], truth["saturation"])
        self.assertEqual(pixels("ceta.emd").max(), camera["MaxPossiblePixelValue"])

    def test_omissions(self):
        emdsim("-f", "--size", 64, "--frames", 1, "--no-tilt",
               "--omit", "gain,saturation,distance,voltage,time,exposure", "bare.emd")
        (bare,) = documents("bare.emd")
        text = json.dumps(bare)
        for word in ("AlphaTilt", "CountsToElectrons", "PixelValueToCameraCounts", "CameraLength",
                     "PixelSize", "AccelerationVoltage", "SaturationPoint", "MaxPossible",
                     "TimeStamp", "ExposureTime"):
            self.assertNotIn(word, text)
        emdsim("-f", "--size", 64, "--frames", 1, "full.emd")
        full = json.dumps(documents("full.emd"))
        self.assertIn("AlphaTilt", full)
        self.assertIn("PixelSize", full)

    def test_usage_errors(self):
        for bad in ("--beam-centre=5", "--beam-centre=-1,5", "--beam-centre=a,b", "--drift=1",
                    "--beam-stop=0", "--beam-stop=5,1000", "--rest=-1", "--rest=1:x",
                    "--omit=everything", "--beam-centre=70,5"):
            emdsim("-f", "--size", 64, "--frames", 2, bad, "usage.emd", code=2)


class Safety(unittest.TestCase):
    def test_existing_output_stays(self):
        with open("precious.emd", "w", encoding="ascii") as f:
            f.write("precious")
        emdsim("--size", 64, "--frames", 1, "precious.emd", code=1)
        with open("precious.emd", encoding="ascii") as f:
            self.assertEqual(f.read(), "precious")
        emdsim("-f", "--size", 64, "--frames", 1, "precious.emd")
        self.assertTrue(h5py.is_hdf5("precious.emd"))

    def test_failures_leave_nothing(self):
        emdsim("--frames", 1, "missing/folder/x.emd", code=1)
        emdsim("--frames", 1, "--truth", "missing/folder/x.json", "x.emd", code=1)
        self.assertFalse([n for n in os.listdir(".") if n.startswith("x.emd")])

    def test_signal_leaves_nothing(self):
        import signal
        import time

        run = subprocess.Popen([EMDSIM, "-f", "--size", "2048", "--frames", "2000", "stop.emd"])
        deadline = time.monotonic() + 30
        while not glob.glob("stop.emd.[0-9a-f]*.tmp") and time.monotonic() < deadline:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(30), -signal.SIGINT)
        self.assertFalse([n for n in os.listdir(".") if n.startswith("stop.emd")])


if __name__ == "__main__":
    unittest.main()
