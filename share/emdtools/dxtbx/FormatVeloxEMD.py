# Copyright emdtools developers; BSD-3-Clause, see LICENSE.
"""Velox EMD movies for DIALS: reads raw files and files compressed by emdrepack alike.

Works with dxtbx 3.11 and later. To use it, put this folder on PYTHONPATH (the entry point lies
beside this file), and HDF5_PLUGIN_PATH on the plugins if the file needs one:

    export PYTHONPATH=PREFIX/share/emdtools/dxtbx
    eval "$(h5plugin-config --env)"

Where a class called FormatVelox is installed as well, that one is used, unless the environment
variable EMDTOOLS_FORMAT is 1.

What the file does not say is guessed, and can be overridden at dials.import:
  - the beam hits the middle of the image (fast_slow_beam_centre);
  - the nominal camera length is the distance (distance);
  - the pedestal is 0 (panel.pedestal); the gain is the camera's own (panel.gain);
  - the rotation axis is vertical in the image (goniometer.axis).
"""

from __future__ import annotations

import json
import math
import os

import h5py
import numpy as np

from scitbx.array_family import flex

from dxtbx.format.FormatHDF5 import FormatHDF5
from dxtbx.format.Registry import get_format_class_index

try:  # brings filters that HDF5_PLUGIN_PATH may not have
    import hdf5plugin  # noqa: F401
except ImportError:
    pass

# Cameras by a part of their names: pixel in mm, pixels a side, saturation of an unbinned pixel.
# Ceta and Falcon: both saturate near 8000 counts and have pixels of 14 um, 4096 a side.
CAMERAS = {"ceta": (0.014, 4096, 8000.0), "falcon": (0.014, 4096, 8000.0)}
DEFAULT_CAMERA = (0.014, 4096, 65535.0)


def _text(dataset):
    value = dataset[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(document, *path):
    """A finite number in nested dictionaries (Velox writes all of them as strings), or None."""
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return None
        document = document[key]
    try:
        value = float(document)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _frame_documents(group, count):
    """The JSON of each frame, {} where there is none or it cannot be read."""
    documents = [{} for _ in range(count)]
    metadata = group.get("Metadata")
    if not isinstance(metadata, h5py.Dataset) or metadata.ndim != 2:
        return documents
    for i in range(min(count, metadata.shape[1])):
        try:
            text = bytes(metadata[:, i]).split(b"\0", 1)[0]
            found = json.loads(text.decode("utf-8", "replace"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            documents[i] = found
    return documents


def fit_rotation(tilts):
    """(start, step) in degrees of a series of stage tilts with jitter, outliers and gaps (NaN):
    medians of the slopes over half the range, then of the intercepts. None: no rotation."""
    tilts = np.asarray(tilts, dtype=float)
    n = len(tilts)
    if n < 2 or np.isfinite(tilts).sum() < 2:
        return None
    half = max(n // 2, 1)
    slopes = (tilts[half:] - tilts[:-half]) / half
    slopes = slopes[np.isfinite(slopes)]
    if not len(slopes):  # every other frame is without a tilt
        known = np.flatnonzero(np.isfinite(tilts))
        slopes = np.diff(tilts[known]) / np.diff(known)
    step = float(np.median(slopes))
    start = float(np.nanmedian(tilts - step * np.arange(n)))
    return (start, step) if abs(step) > 1e-5 else None


class FormatVeloxEMD(FormatHDF5):
    """A stack of diffraction images on the last axis of /Data/Image/*/Data."""

    @staticmethod
    def understand(image_file):
        if not FormatHDF5.understand(image_file):
            return False
        if os.environ.get("EMDTOOLS_FORMAT") != "1" and "FormatVelox" in get_format_class_index():
            return False
        try:
            with h5py.File(image_file, "r") as file:
                version = json.loads(_text(file["Version"]))
                return version.get("format") == "Velox" and "Data/Image" in file
        except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError):
            return False

    def _start(self):
        super()._start()
        self._file = None
        self._owner = None
        file = self._handle()
        self._path = self._find_images(file)
        group = file[self._path]
        self._shape = group["Data"].shape  # (rows, columns, frames)
        self._floating = group["Data"].dtype.kind == "f"
        self._documents = _frame_documents(group, self._shape[2])
        self._first = next((d for d in self._documents if d), {})
        camera = self._first.get("BinaryResult", {})
        camera = str(camera.get("Detector", "")) if isinstance(camera, dict) else ""
        self._camera = camera
        pixel, side, saturation = DEFAULT_CAMERA
        for name, values in CAMERAS.items():
            if name in camera.lower():
                pixel, side, saturation = values
        side = _number(self._first, "BinaryResult", "ImageSize", "width") or side
        self._binning = side / self._shape[1] if side >= self._shape[1] else 1.0
        self._pixel = pixel * self._binning
        self._saturation = saturation * self._binning**2

    def _handle(self):
        """HDF5 handles must not cross a fork: every process has its own."""
        if self._file is None or self._owner != os.getpid():
            # Other format classes have opened the file with default settings, the lock's among
            # them, and HDF5 wants all openers to agree.
            self._file = h5py.File(self._image_file, "r")
            self._owner = os.getpid()
        return self._file

    @staticmethod
    def _find_images(file):
        """The camera's stack; if there are several, the one with the most pixels."""
        best, best_size = None, -1
        for name, group in file["Data/Image"].items():
            data = group.get("Data") if isinstance(group, h5py.Group) else None
            if not isinstance(data, h5py.Dataset) or data.ndim != 3 or data.dtype.kind not in "iuf":
                continue
            if data.size > best_size:
                best, best_size = f"Data/Image/{name}", data.size
        if best is None:
            raise ValueError("no images in this Velox file")
        return best

    def get_num_images(self):
        return self._shape[2]

    def get_goniometer(self, index=None):
        return self._goniometer_instance

    def get_image_file(self, index=None):
        return self._image_file

    def get_raw_data(self, index=None):
        frame = self._handle()[self._path]["Data"][:, :, index or 0]
        if self._floating:
            return flex.double(np.ascontiguousarray(frame, dtype=np.float64))
        if frame.dtype.itemsize == 4 and frame.dtype.kind == "u":
            frame = np.minimum(frame, np.iinfo(np.int32).max)
        return flex.int(np.ascontiguousarray(frame, dtype=np.int32))

    def _rotation(self):
        radians = [_number(d, "Stage", "AlphaTilt") for d in self._documents]
        return fit_rotation([math.nan if r is None else math.degrees(r) for r in radians])

    def _goniometer(self):
        """Scans always run forwards: a stage that turns backwards turns about the opposite axis."""
        rotation = self._rotation()
        axis = (0.0, 1.0, 0.0) if rotation and rotation[1] < 0 else (0.0, -1.0, 0.0)
        return self._goniometer_factory.known_axis(axis)

    def _exposures(self):
        exposure = None
        detectors = self._first.get("Detectors")
        for detector in detectors.values() if isinstance(detectors, dict) else ():
            if isinstance(detector, dict) and detector.get("DetectorName") == self._camera:
                exposure = _number(detector, "ExposureTime")
        return exposure or 0.0

    def _scan(self):
        count = self._shape[2]
        if count < 1:
            return None
        start, step = self._rotation() or (0.0, 0.0)
        if step < 0:
            start, step = -start, -step
        stamp = f"Detectors[{self._camera}].TimeStamp"
        stamps = [_number(d, "CustomProperties", stamp, "value") for d in self._documents]
        epochs = {i + 1: 0.0 if s is None else s * 1e-6 for i, s in enumerate(stamps)}
        return self._scan_factory.make_scan(
            (1, count), [self._exposures()] * count, (start, step), epochs, deg=True
        )

    def _detector(self):
        rows, columns, _ = self._shape
        length = _number(self._first, "Optics", "CameraLength")
        distance = length * 1000 if length and length > 0 else 2000.0
        to_electrons = _number(
            self._first, "CustomProperties", f"Detectors[{self._camera}].CountsToElectrons", "value"
        )
        detector = self._detector_factory.simple(
            "PAD",
            distance,
            (self._pixel * columns / 2, self._pixel * rows / 2),
            "+x",
            "-y",
            (self._pixel, self._pixel),
            (columns, rows),
            (-1000, self._saturation),
        )
        for panel in detector:
            panel.set_gain(1 / to_electrons if to_electrons and to_electrons > 0 else 1.0)
        return detector

    def _beam(self):
        volts = _number(self._first, "Optics", "AccelerationVoltage")
        if not volts or volts <= 0:
            volts = 200000.0
        # h / sqrt(2 m e V (1 + e V / 2 m c^2)) in Angstrom
        wavelength = 12.2642594 / math.sqrt(volts * (1 + 0.978475598e-6 * volts))
        model = {
            "sample_to_source": (0.0, 0.0, 1.0),
            "wavelength": wavelength,
            "polarization": (0, 1, 0),
            "polarization_fraction": 0.5,
        }
        try:  # dxtbx 3.16 and later tell electrons from X-rays
            from dxtbx.model.beam import Probe

            model["probe"] = Probe.electron
        except ImportError:
            pass
        return self._beam_factory.make_polarized_beam(**model)
