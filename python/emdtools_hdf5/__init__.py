# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""HDF5 filters of emdtools: edc, zstd, blosc and bitshuffle, for h5py, PyTables, netCDF4 and DIALS.

Once the package is installed, files with these filters can be read, whether or not it is imported. It
is imported to write:

    import h5py, emdtools_hdf5

    with h5py.File("movie.h5", "w") as f:
        f.create_dataset("frames", data=frames, chunks=(1, 2048, 2048),
                         compression=emdtools_hdf5.Edc())

or, as with h5py's own filters, create_dataset(..., **emdtools_hdf5.Zstd(clevel=5)).

"python -m emdtools_hdf5 --doctor [FILE]" says which libraries and filters there are, and whether a
file can be read.
"""

from importlib.metadata import PackageNotFoundError, version as _version

import _emdtools_hdf5_startup as _startup

try:
    __version__ = _version("emdtools-hdf5")
except PackageNotFoundError:  # not installed
    __version__ = "unknown"

BLOSC_ID = 32001
BITSHUFFLE_ID = 32008
ZSTD_ID = 32015
EDC_ID = 33200

PLUGIN_PATH = _startup.plugin_folder()

try:
    from h5py.filters import FilterRefBase as _Base
except ImportError:
    from collections.abc import Mapping

    class _Base(Mapping):
        """As h5py's, for where there is no h5py: the arguments of create_dataset."""

        filter_id = None
        filter_options = ()

        @property
        def _kwargs(self):
            return {"compression": self.filter_id, "compression_opts": self.filter_options}

        def __getitem__(self, key):
            return self._kwargs[key]

        def __len__(self):
            return len(self._kwargs)

        def __iter__(self):
            return iter(self._kwargs)


def register():
    """Makes the plugins known to every HDF5 library that this process has loaded. Needed only for a
    library that came with neither h5py, PyTables nor netCDF4."""
    _startup.register()


def _choice(name, value, known):
    if value not in known:
        raise ValueError(f"{name} {value!r} is not one of {', '.join(map(repr, known))}")
    return known[value]


def _number(name, value, least, most):
    if not least <= int(value) <= most:
        raise ValueError(f"{name} {value} is not within {least} to {most}")
    return int(value)


class _Filter(_Base):
    def __repr__(self):
        return f"{type(self).__name__}{tuple(self.filter_options)}"


class Edc(_Filter):
    """Frames of counting and integrating detectors: integers of 1, 2 or 4 bytes; chunks of one or a
    few frames. effort: 1 (fast), 2 (the default) or 3 (smallest)."""

    filter_id = EDC_ID

    def __init__(self, effort=2):
        self.filter_options = (_number("effort", effort, 1, 3),)


class Zstd(_Filter):
    """Zstandard. clevel: -131072 to 22; negative ones are faster."""

    filter_id = ZSTD_ID

    def __init__(self, clevel=3):
        self.filter_options = (_number("clevel", clevel, -131072, 22) & 0xFFFFFFFF,)


class Blosc(_Filter):
    """Blosc 1. cname: blosclz, lz4, lz4hc, snappy, zlib or zstd; clevel: 0 to 9; shuffle: NOSHUFFLE,
    SHUFFLE or BITSHUFFLE."""

    NOSHUFFLE, SHUFFLE, BITSHUFFLE = 0, 1, 2
    filter_id = BLOSC_ID
    _compressors = {"blosclz": 0, "lz4": 1, "lz4hc": 2, "snappy": 3, "zlib": 4, "zstd": 5}

    def __init__(self, cname="lz4", clevel=5, shuffle=SHUFFLE):
        compressor = _choice("cname", cname, self._compressors)
        self.filter_options = (0, 0, 0, 0, _number("clevel", clevel, 0, 9),
                               _number("shuffle", shuffle, 0, 2), compressor)


class Bitshuffle(_Filter):
    """Bit shuffle and compression. nelems: items of a block, a multiple of 8, 0 for a good number;
    cname: none, lz4 or zstd; clevel: of zstd."""

    filter_id = BITSHUFFLE_ID
    _compressors = {"none": 0, "lz4": 2, "zstd": 3}

    def __init__(self, nelems=0, cname="lz4", clevel=3):
        if nelems < 0 or nelems % 8:
            raise ValueError(f"nelems {nelems} is not a multiple of 8")
        compressor = _choice("cname", cname, self._compressors)
        self.filter_options = (nelems, compressor)
        if cname == "zstd":
            self.filter_options += (_number("clevel", clevel, -131072, 22) & 0xFFFFFFFF,)
