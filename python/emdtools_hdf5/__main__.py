# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""python -m emdtools_hdf5: where the plugins are, and whether they work here."""

import argparse
import ctypes
import glob
import os
import sys

import _emdtools_hdf5_startup as startup
import emdtools_hdf5

NAMES = {emdtools_hdf5.BLOSC_ID: "blosc", emdtools_hdf5.BITSHUFFLE_ID: "bitshuffle",
         emdtools_hdf5.ZSTD_ID: "zstd", emdtools_hdf5.EDC_ID: "edc"}


class Doctor:
    def __init__(self):
        self.problems = 0

    def say(self, kind, text):
        print(f"{kind:<8} {text}")

    def problem(self, text):
        self.problems += 1
        self.say("PROBLEM", text)

    def plugins(self):
        folder = emdtools_hdf5.PLUGIN_PATH
        self.say("package", f"emdtools_hdf5 {emdtools_hdf5.__version__}, Python "
                            f"{sys.version.split()[0]}")
        self.say("folder", folder)
        files = sorted(glob.glob(os.path.join(folder, "libh5z*")))
        if len(files) != len(NAMES):
            self.problem(f"{folder}: {len(files)} plugins where {len(NAMES)} belong; install again")
        for file in files:
            try:
                about = ctypes.CDLL(file).emdtools_plugin_about
            except (OSError, AttributeError) as error:
                self.problem(f"{file}: cannot be loaded: {error}")
                continue
            text = ctypes.create_string_buffer(400)
            about(text, ctypes.c_size_t(len(text)))
            self.say("plugin", f"{os.path.basename(file)}: {text.value.decode()}")

    def environment(self):
        for name in ("HDF5_PLUGIN_PATH", "HDF5_PLUGIN_PRELOAD", "EMDTOOLS_HDF5"):
            if name in os.environ:
                self.say("set", f"{name}={os.environ[name]}")
        if os.environ.get("HDF5_PLUGIN_PRELOAD") == "::":
            self.problem("HDF5_PLUGIN_PRELOAD=:: disables all plugins; unset it")
        if os.environ.get("EMDTOOLS_HDF5") == "off":
            self.say("note", "EMDTOOLS_HDF5=off: only an import of emdtools_hdf5 and its register() "
                             "makes the plugins known")

    def libraries(self):
        """Imports the readers that are installed, and asks each HDF5 for our filters."""
        present = []
        for name in startup.READERS:
            try:
                __import__(name)
                present.append(name)
            except ImportError:
                continue
            except Exception as error:
                self.say("note", f"{name}: cannot be imported: {type(error).__name__}: {error}")
        self.say("readers", ", ".join(present) or "none of h5py, PyTables and netCDF4 is installed")
        emdtools_hdf5.register()
        for path in startup.loaded_libraries():
            library = ctypes.CDLL(path)
            numbers = [ctypes.c_uint() for _ in range(3)]
            library.H5get_libversion(*map(ctypes.byref, numbers))
            self.say("HDF5", ".".join(str(n.value) for n in numbers) + f" {path}")
            for number, name in NAMES.items():
                if library.H5Zfilter_avail(ctypes.c_int(number)) <= 0:
                    self.problem(f"{path}: filter {number} ({name}) is not available")
        if "h5py" in present:
            import h5py

            lost = [f"{number} ({name})" for number, name in NAMES.items()
                    if not h5py.h5z.filter_avail(number)]
            if lost:
                self.problem(f"h5py {h5py.__version__}: not available: {', '.join(lost)}")
            else:
                self.say("h5py", f"{h5py.__version__}: all {len(NAMES)} filters are available")

    def file(self, path):
        import h5py

        count = 0

        def look(name, item):
            nonlocal count
            if not isinstance(item, h5py.Dataset):
                return
            count += 1
            filters = item.id.get_create_plist()
            used = []
            for i in range(filters.get_nfilters()):
                number, _, _, text = filters.get_filter(i)
                used.append(f"{number} ({NAMES.get(number) or text.decode(errors='replace')})")
                if not h5py.h5z.filter_avail(number):
                    self.problem(f"/{name}: filter {used[-1]} is not available")
            if item.shape and item.size:
                try:
                    value = item[(0,) * item.ndim]
                    del value
                except Exception as error:
                    self.problem(f"/{name}: cannot be read: {error}")
                    return
            if used:
                self.say("data", f"/{name}: {', '.join(used)}")

        try:
            with h5py.File(path, "r") as f:
                f.visititems(look)
        except OSError as error:
            self.problem(f"{path}: cannot be opened: {error}")
            return
        if not self.problems:
            self.say("result", f"{path}: one value of each of its {count} datasets was read")


def main():
    parser = argparse.ArgumentParser(prog="python -m emdtools_hdf5", description=emdtools_hdf5.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--doctor", nargs="?", const="", metavar="FILE",
                        help="check libraries and filters and, with FILE, whether h5py reads it")
    parser.add_argument("--plugindir", action="store_true",
                        help="print the plugins' directory, for HDF5_PLUGIN_PATH of other programs")
    parser.add_argument("--version", action="version",
                        version=f"emdtools_hdf5 {emdtools_hdf5.__version__}")
    arguments = parser.parse_args()
    if arguments.plugindir:
        print(emdtools_hdf5.PLUGIN_PATH)
        return 0
    if arguments.doctor is None:
        parser.print_usage(sys.stderr)
        return 2
    doctor = Doctor()
    doctor.plugins()
    doctor.environment()
    doctor.libraries()
    if arguments.doctor:
        try:
            doctor.file(arguments.doctor)
        except ImportError as error:
            doctor.problem(f"{arguments.doctor}: {error}")
    return 1 if doctor.problems else 0


if __name__ == "__main__":
    sys.exit(main())
