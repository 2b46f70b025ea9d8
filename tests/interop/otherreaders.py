# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Other format classes for Velox movies, made for the tests: what one meets beside ours in laboratories."""

import os
import tempfile

_OTHER = '''
import h5py
from scitbx.array_family import flex
from dxtbx.format.FormatHDF5 import FormatHDF5
class FormatVelox(FormatHDF5):
    @staticmethod
    def understand(image_file):
        with h5py.File(image_file, "r") as file:
            return "Version" in file
    def _start(self):
        START
        with h5py.File(self.get_image_file(), "r") as file:
            (group,) = file["Data/Image"].values()
            self._pixels = group["Data"][()]
    def get_num_images(self):
        return self._pixels.shape[2]
    def get_raw_data(self, index=None):
        return flex.int(self._pixels[:, :, index or 0].astype("int32"))
    def get_goniometer(self, index=None):
        return self._goniometer_factory.known_axis((0, -1, 0))
    def get_beam(self, index=None):
        return self._beam_factory.simple(0.02508)
    def get_detector(self, index=None):
        h, w, _ = self._pixels.shape
        detector = self._detector_factory.simple("PAD", 2000.0, (0.014 * w / 2, 0.014 * h / 2), "+x", "-y",
                                                 (0.014, 0.014), (w, h), (-1000, 8000))
        detector[0].set_gain(26)
        return detector
    def get_scan(self, index=None):
        n = self._pixels.shape[2]
        scan = self._scan_factory.make_scan((1, n), [0.0] * n, (0.0, 1.0), dict.fromkeys(range(1, n + 1), 0.0))
        return scan
    def get_image_file(self, index=None):
        return self._image_file
'''

# Guesses what the published class guesses: 2000 mm and a gain of 26, for every file.
GUESSES = _OTHER.replace("START", "pass")
# Fails while it reads, or already when it is asked.
RAISES = _OTHER.replace("START", "raise AttributeError('tostring')")
RAISES_AT_ONCE = _OTHER.replace('with h5py.File(image_file, "r") as file:\n            return',
                                'return [].tostring\n        if True:\n            return', 1)


def install(source, name="FormatVelox", base="FormatHDF5"):
    """A folder for PYTHONPATH in which a class is registered with dxtbx."""
    folder = tempfile.mkdtemp(dir=os.getcwd())
    with open(f"{folder}/OtherVelox.py", "w", encoding="utf-8") as f:
        f.write(source)
    os.mkdir(f"{folder}/other.egg-info")
    with open(f"{folder}/other.egg-info/entry_points.txt", "w", encoding="utf-8") as f:
        f.write(f"[dxtbx.format]\n{name}:{base} = OtherVelox:FormatVelox\n")
    with open(f"{folder}/other.egg-info/PKG-INFO", "w", encoding="utf-8") as f:
        f.write("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    return folder
