# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Makes the plugins of emdtools_hdf5 known to every HDF5 library of a Python process.

emdtools_hdf5.pth imports this module whenever Python starts, so it imports nothing itself and does
nothing but wait: once h5py, PyTables or netCDF4 has been imported, the HDF5 library that came with it
is told of the plugins' folder (H5PLprepend). No environment variable is set: HDF5_PLUGIN_PATH would
hide each library's own folder, and other programs would inherit it.

Prepended, not appended: HDF5 1.10 ends its search at the first folder that does not exist, and where
no plugin package is installed its own default is one. EMDTOOLS_HDF5=off switches all this off.
"""

import sys

READERS = ("h5py", "tables", "netCDF4")


def plugin_folder():
    import os

    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "emdtools_hdf5", "plugins")


def loaded_libraries():
    """The files of all HDF5 libraries in this process. One may be there twice, as in two wheels."""
    import os
    import re

    found = []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                path = line.rstrip("\n").partition("/")[2]
                name = os.path.basename(path)
                # libhdf5.so.200, libhdf5_serial.so.103, libhdf5-f95f0a8b.so.310.2.0; not _hl, _cpp
                if re.match(r"libhdf5(_serial|_openmpi|_mpich|-[0-9a-f]+)?\.so", name):
                    if "/" + path not in found:
                        found.append("/" + path)
    except OSError:
        pass
    return found


def _tell_library(path, folder):
    import ctypes

    library = ctypes.CDLL(path)  # it is loaded: this counts a user more
    size = ctypes.c_uint(0)
    if library.H5PLsize(ctypes.byref(size)) < 0:
        return
    library.H5PLget.argtypes = (ctypes.c_uint, ctypes.c_char_p, ctypes.c_size_t)
    library.H5PLget.restype = ctypes.c_ssize_t
    for i in range(size.value):
        room = library.H5PLget(i, None, 0)
        text = ctypes.create_string_buffer(max(room, 0) + 1)
        library.H5PLget(i, text, len(text))
        if text.value == folder:
            return
    library.H5PLprepend.argtypes = (ctypes.c_char_p,)
    library.H5PLprepend(folder)


def register():
    """Tells the HDF5 libraries that are loaded now; those that know already are left alone."""
    import os

    folder = os.fsencode(plugin_folder())
    h5py = sys.modules.get("h5py")
    h5pl = getattr(h5py, "h5pl", None)
    if h5pl is not None:  # also where its HDF5 has another name, or none
        if folder not in (h5pl.get(i) for i in range(h5pl.size())):
            h5pl.prepend(folder)
    for path in loaded_libraries():
        try:
            _tell_library(path, folder)
        except (OSError, AttributeError):  # replaced on disk since, or older than 1.10.1
            continue


class _Loader:
    """The module's own loader, and then register()."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        # Whoever asks the module for its loader gets its own.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            register()
        except Exception as error:  # a reader that cannot decompress is still a reader
            print(f"emdtools_hdf5: {type(error).__name__}: {error}", file=sys.stderr)


class _Finder:
    """First in sys.meta_path: lets the others find the readers, and waits for their import."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in READERS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is _Finder or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


def start():
    """Once a process: now for what is there, later for what comes."""
    import os

    if os.environ.get("EMDTOOLS_HDF5") == "off":
        return
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    if any(name in sys.modules for name in READERS):
        register()


start()
