# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""DIALS' results are the same from the uncompressed movie and from each codec, and our dxtbx format
class says what is in the file: shape, tilts, pedestal, gain, whatever is missing."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
import unittest
import unittest.mock

import dialslib as d
import h5py
import numpy as np

sys.path.insert(0, d.DXTBX)
from FormatVeloxEMD import FormatVeloxEMD, fit_rotation  # noqa: E402

CODECS = ("none", "gzip", "zstd", "blosc", "bitshuffle", "edc")
INTEGRATED = ("none", "edc")
ENVIRONMENT = dict(os.environ, PYTHONPATH=d.DXTBX)


def simulate(name, *options):
    d.run(d.tool("emdsim"), "-f", "-q", *options, name, quiet=True)
    return name


def dials(codec, *command):
    d.run(*command, cwd=codec, env=ENVIRONMENT)


class Codecs(unittest.TestCase):
    def test_same_results(self):
        simulate("movie.emd", "--size", 512, "--frames", 60, "--step", 1, "--orientation", 7, "--seed", 7)
        for codec in CODECS:
            os.mkdir(codec)
            d.run(d.tool("emdrepack"), "-q", "-c", codec, "movie.emd", f"{codec}/movie.emd")
            dials(codec, "dials.import", "movie.emd", "panel.pedestal=-40")
            dials(codec, "dials.find_spots", "imported.expt", "gain=0.8", "max_separation=4", "nproc=2")
            if codec in INTEGRATED:
                dials(codec, "dials.index", "imported.expt", "strong.refl", "detector.fix=distance")
                dials(codec, "dials.integrate", "indexed.expt", "indexed.refl", "prediction.d_min=0.8",
                      "profile.gaussian_rs.min_spots.overall=25", "nproc=2")
        for codec in CODECS[1:]:
            names = ["imported.expt", "strong.refl"]
            if codec in INTEGRATED:
                names += ["indexed.expt", "indexed.refl", "integrated.expt", "integrated.refl"]
            for name in names:
                if name.endswith(".refl"):
                    d.assert_same_tables(f"none/{name}", f"{codec}/{name}")
                else:
                    d.assert_same_models(f"none/{name}", f"{codec}/{name}", movie="movie.emd")
        self.assertGreater(d.table("none/integrated.refl")[0], 500)


class Format(unittest.TestCase):
    """emdtools' own reader, asked as dxtbx asks it."""

    def open(self, name):
        self.assertTrue(FormatVeloxEMD.understand(name))
        return FormatVeloxEMD(name)

    def edit(self, name, change):
        """Changes the JSON of each frame: change(frame number, document) gives the new one, or None."""
        with h5py.File(name, "r+") as file:
            (group,) = file["Data/Image"].values()
            for i in range(group["Metadata"].shape[1]):
                column = group["Metadata"][:, i]
                text = change(i, json.loads(bytes(column).split(b"\0")[0]))
                column[:] = 0
                if text is not None:
                    data = json.dumps(text).encode()
                    column[:len(data)] = np.frombuffer(data, np.uint8)
                group["Metadata"][:, i] = column

    def test_shapes_and_types(self):
        for dtype in ("i16", "u16", "i32", "u8", "f32"):
            name = simulate("shape.emd", "--size", "96x48", "--frames", 4, "--dtype", dtype)
            movie = self.open(name)
            with h5py.File(name, "r") as file:
                (group,) = file["Data/Image"].values()
                frames = group["Data"][()]
            self.assertEqual(frames.shape, (48, 96, 4))
            self.assertEqual(movie.get_num_images(), 4)
            self.assertEqual(movie.get_detector()[0].get_image_size(), (96, 48))
            for i in range(4):
                self.assertTrue(np.array_equal(movie.get_raw_data(i).as_numpy_array(), frames[:, :, i]))

    def test_every_codec(self):
        name = simulate("codec.emd", "--size", 64, "--frames", 3)
        frame = self.open(name).get_raw_data(2).as_numpy_array()
        for codec in CODECS:
            d.run(d.tool("emdrepack"), "-f", "-q", "-c", codec, name, "packed.emd", quiet=True)
            self.assertTrue(np.array_equal(self.open("packed.emd").get_raw_data(2).as_numpy_array(), frame))

    def test_tilts(self):
        for step in ("0.6", "-0.6"):
            name = simulate("tilt.emd", "--size", 32, "--frames", 50, f"--step={step}")
            movie = self.open(name)
            start, width = movie.get_scan().get_oscillation()
            axis = movie.get_goniometer().get_rotation_axis()
            self.assertAlmostEqual(width, 0.6, delta=0.002)
            self.assertAlmostEqual(start, -15, delta=0.1)
            self.assertEqual(axis[1] < 0, step == "0.6")

        def spoil(i, document):  # outliers, gaps, no number
            if i % 7 == 3:
                document["Stage"]["AlphaTilt"] = "1.2"
            elif i % 11 == 5:
                document["Stage"]["AlphaTilt"] = "NaN"
            elif i == 20:
                del document["Stage"]
            return document

        name = simulate("spoilt.emd", "--size", 32, "--frames", 50)
        self.edit(name, spoil)
        start, width = self.open(name).get_scan().get_oscillation()
        self.assertAlmostEqual(width, 0.6, delta=0.01)
        self.assertAlmostEqual(start, -15, delta=0.3)
        self.assertIsNone(fit_rotation([0.5] * 20))
        self.assertIsNone(fit_rotation([1.0]))
        self.assertIsNone(fit_rotation([float("nan")] * 5))

    def test_missing_metadata(self):
        nothing = [lambda i, _: None, lambda i, _: [], lambda i, _: {}, lambda i, _: {"Optics": 3, "Stage": []}]
        for number, change in enumerate(nothing):
            name = simulate(f"bare{number}.emd", "--size", 32, "--frames", 12)
            self.edit(name, change)
            movie = self.open(name)
            self.assertEqual(movie.get_num_images(), 12)
            self.assertEqual(movie.get_scan().get_image_range(), (1, 12))
            self.assertGreater(movie.get_detector()[0].get_distance(), 0)
            self.assertAlmostEqual(movie.get_beam().get_wavelength(), 0.02508, delta=1e-4)
        name = simulate("none.emd", "--size", 32, "--frames", 12)
        with h5py.File(name, "r+") as file:
            (group,) = file["Data/Image"].values()
            del group["Metadata"]
        self.assertEqual(self.open(name).get_num_images(), 12)

    def test_cameras(self):
        for camera in ("ceta", "falcon"):
            movie = self.open(simulate("camera.emd", "--size", 64, "--frames", 12, "--camera", camera))
            panel = movie.get_detector()[0]
            self.assertGreater(panel.get_gain(), 0)
            self.assertAlmostEqual(panel.get_pixel_size()[0], 0.014 * 4096 / 64)
            self.assertLess(panel.get_trusted_range()[0], -40)  # below the pedestal
        d.run("dials.import", "camera.emd", "panel.pedestal=-64", "panel.gain=3", env=ENVIRONMENT)
        panel = d.models("imported.expt")["detector"][0]["panels"][0]
        self.assertEqual((panel["pedestal"], panel["gain"]), (-64, 3))

    def test_electrons(self):
        """From dxtbx 3.16 on a beam says what it is made of: asked for there, and only there."""
        from dxtbx.model import beam
        name = simulate("probe.emd", "--size", 32, "--frames", 2)
        make = beam.BeamFactory.make_polarized_beam
        asked = []

        def record(**model):
            asked.append(model.pop("probe", None))
            return make(**model)

        with unittest.mock.patch.object(beam.BeamFactory, "make_polarized_beam", record):
            self.open(name)
            electron = beam.Probe.electron if hasattr(beam, "Probe") else None
            probe = types.SimpleNamespace(electron="electron")
            with unittest.mock.patch.object(beam, "Probe", probe, create=True):
                self.open(name)
        self.assertEqual(asked, [electron, "electron"])

    def test_several_images(self):
        """A survey image beside the movie: the movie is taken."""
        name = simulate("several.emd", "--size", 32, "--frames", 12)
        with h5py.File(name, "r+") as file:
            other = file.create_group("Data/Image/00000000000000000000000000000000")
            other.create_dataset("Data", data=np.zeros((16, 16, 1), np.int16))
            file.create_group("Data/Image/zzz")
        movie = self.open(name)
        self.assertEqual((movie.get_num_images(), movie.get_detector()[0].get_image_size()), (12, (32, 32)))

    def test_not_ours(self):
        with h5py.File("other.emd", "w") as file:
            file["Data/Image/x/Data"] = np.zeros((4, 4, 4))
        self.assertFalse(FormatVeloxEMD.understand("other.emd"))

    def install(self, env, how):
        """The one line of docs/dials.md that has 'how' in it."""
        with open(os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "docs", "dials.md"), encoding="utf-8") as f:
            (line,) = (x.strip() for x in f if "emdtools.pth" in x and how in x)
        shutil.copytree(d.DXTBX, "prefix/share/emdtools/dxtbx", dirs_exist_ok=True)
        line = re.sub("^python3", os.environ["EMDTOOLS_PYTHON"], line)
        subprocess.run(line.replace("PREFIX", os.path.abspath("prefix")), shell=True, check=True, env=env)

    def test_other_prefix(self):
        """As in conda: a Python of its own, with DIALS in its site-packages and as dials.python."""
        simulate("conda.emd", "--size", 64, "--frames", 12)
        subprocess.run([os.environ["EMDTOOLS_PYTHON"], "-m", "venv", "--without-pip", "conda"], check=True)
        python = os.path.abspath("conda/bin/python")
        ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
        self.assertTrue(site.startswith(os.path.abspath("conda")), site)
        with open(f"{site}/theirs.pth", "w", encoding="utf-8") as f:
            f.write(os.path.dirname(os.path.dirname(h5py.__file__)) + "\n")
        os.symlink("python", "conda/bin/dials.python")
        os.symlink(f"{sys.prefix}/lib/cctbx", "conda/lib/cctbx")  # where Debian's cctbx looks for its settings
        env = dict(os.environ, PATH=f"{os.path.abspath('conda/bin')}:{os.environ['PATH']}", PYTHONNOUSERSITE="1")
        env.pop("PYTHONPATH", None)
        find = ("import importlib.metadata as m; "  # as well as by pkg_resources, which dxtbx uses
                "print(*[e.load().__name__ for e in m.entry_points(group='dxtbx.format') "
                "if e.value.startswith('FormatVeloxEMD:')], '.')")
        self.assertEqual(d.run("dials.python", "-c", find, env=env).split(), ["."])
        self.install(env, "dials.python")
        self.assertEqual(d.run("dials.python", "-c", find, env=env).split(), ["FormatVeloxEMD", "."])
        d.run("dials.python", "-m", "dials.command_line.dials_import", "conda.emd",
              "output.experiments=conda.expt", env=env)
        self.assertEqual(d.models("conda.expt")["scan"][0]["image_range"], [1, 12])

    def test_yields(self):
        """To an installed FormatVelox, unless asked; by the one line that docs/dials.md shows."""
        simulate("movie2.emd", "--size", 64, "--frames", 12)
        site = os.path.abspath("base")
        env = dict(os.environ, PYTHONUSERBASE=site)
        env.pop("PYTHONPATH", None)
        python = os.environ["EMDTOOLS_PYTHON"]
        self.install(env, "getusersitepackages")
        d.run("dials.import", "movie2.emd", "output.experiments=found.expt", env=env)

        os.makedirs("theirs/theirs.egg-info")
        with open("theirs/theirs.egg-info/entry_points.txt", "w", encoding="utf-8") as f:
            f.write("[dxtbx.format]\nFormatVelox:FormatHDF5 = theirs:FormatVelox\n")
        with open("theirs/theirs.egg-info/PKG-INFO", "w", encoding="utf-8") as f:
            f.write("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
        with open("theirs/theirs.py", "w", encoding="utf-8") as f:
            f.write("from FormatVeloxEMD import FormatVeloxEMD\n\n\nclass FormatVelox(FormatVeloxEMD):\n"
                    "    @staticmethod\n    def understand(image_file):\n        return True\n")
        ask = ("from dxtbx.format.Registry import get_format_class_for_file as f; "
               "print(f('movie2.emd').__name__)")
        env["PYTHONPATH"] = os.path.abspath("theirs")
        self.assertEqual(d.run(python, "-c", ask, env=env).split()[-1], "FormatVelox")
        env["EMDTOOLS_FORMAT"] = "1"
        code = "from FormatVeloxEMD import FormatVeloxEMD as F; print(F.understand('movie2.emd'))"
        self.assertEqual(d.run(python, "-c", code, env=env).split()[-1], "True")
        del env["EMDTOOLS_FORMAT"]
        self.assertEqual(d.run(python, "-c", code, env=env).split()[-1], "False")


if __name__ == "__main__":
    unittest.main(verbosity=2)
