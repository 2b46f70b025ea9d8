# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Velox EMD movies for DIALS: reads raw files and files compressed by emdrepack alike.

Works with dxtbx 3.11 and later. To use it, put this folder on PYTHONPATH (the entry point lies
beside this file), and HDF5_PLUGIN_PATH on the plugins if the file needs one:

    export PYTHONPATH=PREFIX/share/emdtools/dxtbx
    eval "$(h5plugin-config --env)"

dxtbx tries the classes in the order of their names. Ours is registered under a name that comes
first, so that no other class, whatever it does, is tried before it. Where a class called
FormatVelox is installed as well and can read the file, ours leaves the file to it, unless the
environment variable EMDTOOLS_FORMAT is 1, as it is in the commands of emdprocess.

What the file does not say is guessed with a warning, and can be overridden at dials.import:
  - the beam hits the middle of the image (fast_slow_beam_centre);
  - the nominal camera length is the distance (distance);
  - the pedestal is 0 (panel.pedestal); the gain is the camera's own (panel.gain);
  - the rotation axis is vertical in the image (goniometer.axis);
  - where the stage stands still at the beginning or the end, the images during which it turns are
    named (image_range); the oscillation is theirs.
"""

from __future__ import annotations

import json
import logging
import math
import os

import h5py
import numpy as np

from scitbx.array_family import flex

from dxtbx.format.FormatHDF5 import FormatHDF5
from dxtbx.format.Registry import get_format_class_for, get_format_class_index

try:  # brings filters that HDF5_PLUGIN_PATH may not have
    import hdf5plugin  # noqa: F401
except ImportError:
    pass

try:  # DIALS prints what it says, without a traceback
    from dials.util import Sorry
except ImportError:
    Sorry = RuntimeError

logger = logging.getLogger("dxtbx.format.FormatVeloxEMD")

# Cameras by a part of their names: pixel in mm, pixels per side, saturation of an unbinned pixel.
# Ceta and Falcon: both saturate near 8000 counts and have pixels of 14 um, 4096 per side.
CAMERAS = {"ceta": (0.014, 4096, 8000.0), "falcon": (0.014, 4096, 8000.0)}
DEFAULT_CAMERA = (0.014, 4096, 65535.0)

# Files that were offered to FormatVelox, by name, size and time of change: can it read them?
_others = {}
# Files whose first image could be read.
_checked = set()
# Warnings that were given: dxtbx makes many instances of a class.
_warned = set()


def _warn(file, text):
    if (file, text) not in _warned:
        _warned.add((file, text))
        logger.warning("%s: %s", file, text)


def _other_reads(image_file):
    """Is a class called FormatVelox installed, and does it read this file? It must give an image and
    all models, not only say that it understands: one that is broken raises here, not in dxtbx."""
    if "FormatVelox" not in get_format_class_index():
        return False
    try:
        state = os.stat(image_file)
        key = (os.fspath(image_file), state.st_size, state.st_mtime_ns)
    except OSError:
        return False
    if key not in _others:
        _others[key] = False  # also while it is tried
        try:
            other = get_format_class_for("FormatVelox")
            if other.understand(image_file):
                instance = other(image_file)
                models = (instance.get_detector(), instance.get_beam(), instance.get_scan(),
                          instance.get_goniometer())
                image = instance.get_raw_data(0)
                _others[key] = all(m is not None for m in models) and image is not None
        except Exception as error:  # whatever it does wrong
            _warn(image_file, f"FormatVelox cannot read it ({type(error).__name__}: {error}); "
                              "FormatVeloxEMD does")
    return _others[key]


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


def jitter(tilts):
    """The scatter of single tilts, by the lower quartile of their second differences: each wrong tilt
    spoils three of them."""
    second = np.abs(tilts[:-2] - 2 * tilts[1:-1] + tilts[2:])
    second = np.sort(second[np.isfinite(second)])
    return 3.138 * float(second[len(second) // 4]) / math.sqrt(6) if len(second) else 0.0


def find_rest(tilts):
    """(first, last), from 0 and inclusive: the images during which the stage turns, where it stands
    still at the beginning and the end. lib/velox/metadata.c does the same and says why."""
    n = len(tilts)
    whole = (0, n - 1)
    known = np.flatnonzero(np.isfinite(tilts))
    if len(known) < 2:
        return whole
    filled = np.array(tilts, dtype=float)
    inner = np.arange(known[0], known[-1] + 1)
    filled[inner] = np.interp(inner, known, filled[known])
    medians = np.median([filled[:-2], filled[1:-1], filled[2:]], axis=0)
    filled[1:-1] = np.where(np.isfinite(medians), medians, filled[1:-1])
    steps = np.abs(np.diff(filled))
    steps = np.sort(steps[np.isfinite(steps)])
    steps = steps[steps > steps[int(0.9 * (len(steps) - 1))] / 2]
    step = float(np.median(steps)) if len(steps) else 0.0
    if step < 1e-5:
        return whole
    noise = jitter(tilts)
    lag = 1
    while lag * step < 8 * noise and lag < n // 8:
        lag += 1
    slopes = (filled[lag:] - filled[:-lag]) / lag
    if np.sum(slopes < -step / 2) > np.sum(slopes > step / 2):
        slopes = -slopes
    moving = np.flatnonzero(~np.isfinite(slopes) | ((slopes > step / 2) & (slopes < 3 * step)))
    if not len(moving) or (moving[-1] + lag - moving[0]) * step < 8 * noise:
        return whole
    resting = np.abs(slopes) <= step / 2
    first, last = int(moving[0]), int(moving[-1])
    return (
        first + lag // 2 if resting[:first].sum() > 1 else 0,
        last + lag // 2 if resting[last + 1 :].sum() > 1 else n - 1,
    )


def fit_rotation(tilts):
    """(start, step) in degrees of a series of stage tilts with jitter, outliers and gaps (NaN):
    medians of the slopes over half the range during which the stage turns, then of the intercepts.
    'start' is where the first image would lie if it turned from there on. None: no rotation."""
    tilts = np.asarray(tilts, dtype=float)
    if len(tilts) < 2 or np.isfinite(tilts).sum() < 2:
        return None
    first, last = find_rest(tilts)
    turning = tilts[first : last + 1]
    half = max(len(turning) // 2, 1)
    slopes = (turning[half:] - turning[:-half]) / half
    slopes = slopes[np.isfinite(slopes)]
    if not len(slopes):  # every other frame is without a tilt
        known = np.flatnonzero(np.isfinite(turning))
        if len(known) < 2:
            return None
        slopes = np.diff(turning[known]) / np.diff(known)
    step = float(np.median(slopes))
    starts = turning - step * np.arange(first, last + 1)
    start = float(np.nanmedian(starts))
    scatter = 6 * 1.4826 * float(np.nanmedian(np.abs(starts - start)))
    # What stays within its own scatter all the way is at rest.
    least = max(scatter, 8 * jitter(tilts)) / max(last - first, 1)
    return (start, step) if abs(step) > max(1e-5, least) else None


class FormatVeloxEMD(FormatHDF5):
    """A stack of diffraction images on the last axis of /Data/Image/*/Data."""

    @staticmethod
    def understand(image_file):
        if not FormatHDF5.understand(image_file):
            return False
        try:
            with h5py.File(image_file, "r") as file:
                version = json.loads(_text(file["Version"]))
                ours = version.get("format") == "Velox" and "Data/Image" in file
        except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError):
            return False
        return ours and (os.environ.get("EMDTOOLS_FORMAT") == "1" or not _other_reads(image_file))

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
        binning = self._of_detector("Binning", "width")
        if not binning or binning < 1:
            binning = side / self._shape[1] if side >= self._shape[1] else 1.0
        self._pixel = pixel * binning
        self._saturation = self._saturated(saturation * binning**2, group["Data"].dtype)
        self._check_filters(group["Data"])

    def _of_detector(self, *path):
        """A number of the detector that took the images."""
        detectors = self._first.get("Detectors")
        for detector in detectors.values() if isinstance(detectors, dict) else ():
            if isinstance(detector, dict) and detector.get("DetectorName") == self._camera:
                return _number(detector, *path)
        return None

    def _property(self, name):
        """A custom property of the detector, if it is positive."""
        key = f"Detectors[{self._camera}].{name}"
        value = _number(self._first, "CustomProperties", key, "value")
        return value if value and value > 0 else None

    def _saturated(self, usual, dtype):
        """The pixel value from which on nothing can be trusted. SaturationPoint is a pixel value; one
        above the largest possible can only be in the camera's counts. 'usual' is the sum over the
        pixels that were binned; where a pixel is their average, the camera says so."""
        point = self._property("SaturationPoint")
        most = self._property("MaxPossiblePixelValue")
        counts = self._property("PixelValueToCameraCounts") or 1.0
        if point and most and point > most:
            point = min(point / counts, most) if counts > 1 else most
        value = point or most or usual / counts
        return min(value, np.iinfo(dtype).max - 1) if dtype.kind in "iu" else value

    def _check_filters(self, data):
        """Without the filters of a compressed movie only the pixels are missing, and dials.import
        never reads any: say it here, not hours later in dials.find_spots."""
        pipeline = data.id.get_create_plist()
        for i in range(pipeline.get_nfilters()):
            number, _, _, name = pipeline.get_filter(i)
            if not h5py.h5z.filter_avail(number):
                name = name.decode("utf-8", "replace") or "?"
                raise Sorry(
                    f"{self._image_file}: the images are compressed by a filter that HDF5 does not "
                    f"find here: {number} ({name}); 'h5plugin-config --doctor' says what is missing"
                )
        if self._shape[2] > 0 and pipeline.get_nfilters() > 0 and self._image_file not in _checked:
            try:
                data[:, :, 0]
            except (OSError, RuntimeError) as error:
                raise Sorry(
                    f"{self._image_file}: image 1 cannot be read: {error}; 'h5plugin-config "
                    "--doctor' tests the filters, 'emdrepack --check' the file"
                ) from error
            _checked.add(self._image_file)

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
            raise Sorry("no images in this Velox file")
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
        tilts = [math.nan if r is None else math.degrees(r) for r in radians]
        first, last = find_rest(np.asarray(tilts, dtype=float)) if tilts else (0, -1)
        rotation = fit_rotation(tilts)
        if rotation is None:
            _warn(self._image_file, "the stage does not turn, or its tilts are not recorded")
        elif (first, last) != (0, len(tilts) - 1):
            _warn(
                self._image_file,
                f"the stage turns in images {first + 1} to {last + 1} only: "
                f"import with image_range={first + 1},{last + 1}",
            )
        return rotation

    def _goniometer(self):
        """Scans always run forwards: a stage that turns backwards turns about the opposite axis."""
        rotation = self._rotation()
        axis = (0.0, 1.0, 0.0) if rotation and rotation[1] < 0 else (0.0, -1.0, 0.0)
        return self._goniometer_factory.known_axis(axis)

    def _exposures(self):
        return self._of_detector("ExposureTime") or 0.0

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
        if not length or length <= 0:
            _warn(self._image_file, "no camera length is recorded, 2000 mm assumed: give distance=")
        # One pixel value is so many counts of the camera, and one count so many electrons.
        to_electrons = self._property("CountsToElectrons")
        counts = self._property("PixelValueToCameraCounts") or 1.0
        if not to_electrons:
            _warn(self._image_file, "no gain is recorded, 1 assumed: give panel.gain=")
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
            panel.set_gain(1 / (to_electrons * counts) if to_electrons else 1.0)
        return detector

    def _beam(self):
        volts = _number(self._first, "Optics", "AccelerationVoltage")
        if not volts or volts <= 0:
            volts = 200000.0
            _warn(self._image_file, "no voltage is recorded, 200 kV assumed: give geometry.beam.wavelength=")
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
