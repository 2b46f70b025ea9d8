# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Builds the plugins by CMake and packs them as the wheel emdtools-hdf5 (pyproject.toml).

EMDTOOLS_PORTABLE=1 in the environment makes a manylinux wheel (cmake/EmdPortable.cmake); otherwise it is
for this machine, linked to its libraries.
"""

import glob
import os
import platform
import re
import shutil
import subprocess

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py
from wheel.bdist_wheel import bdist_wheel

ROOT = os.path.dirname(os.path.abspath(__file__))
PORTABLE = os.environ.get("EMDTOOLS_PORTABLE") == "1"
GLIBC = (2, 28)
PLUGINS = ["h5zzstd", "h5zblosc", "h5zbitshuffle", "h5zedc"]
# Whose code a portable plugin contains: Debian's packages, for the licences.
CONTAINED = ["libzstd-dev", "liblz4-dev", "libblosc-dev", "libdeflate-dev", "libsnappy-dev", "zlib1g-dev",
             "libxxhash-dev", "libstdc++-12-dev"]


def version():
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        return re.search(r"^project\(emdtools VERSION ([0-9.]+)", file.read(), re.M)[1]


class BuildWithPlugins(build_py):
    def run(self):
        super().run()
        package = os.path.join(self.build_lib, "emdtools_hdf5")
        build = os.path.abspath(os.path.join(self.get_finalized_command("build").build_temp, "cmake"))
        subprocess.check_call([
            "cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            "-DEMDTOOLS_PLUGINS_ONLY=ON", f"-DEMDTOOLS_PORTABLE={'ON' if PORTABLE else 'OFF'}",
            f"-DEMDTOOLS_GLIBC={'.'.join(map(str, GLIBC))}"])
        subprocess.check_call(["cmake", "--build", build, "--target", *PLUGINS])
        folder = os.path.join(package, "plugins")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for file in glob.glob(os.path.join(build, "plugins", "libh5z*.so")):
            shutil.copy(file, folder)
            subprocess.check_call(["strip", "--strip-unneeded",
                                   os.path.join(folder, os.path.basename(file))])
        shutil.copy(os.path.join(ROOT, "share/emdtools/dxtbx/FormatVeloxEMD.py"), package)
        shutil.copy(os.path.join(ROOT, "python/emdtools_hdf5.pth"), self.build_lib)
        licences = os.path.join(package, "licenses")
        os.makedirs(licences, exist_ok=True)
        shutil.copy(os.path.join(ROOT, "LICENSE"), os.path.join(licences, "emdtools"))
        for name in CONTAINED if PORTABLE else []:
            shutil.copy(f"/usr/share/doc/{name}/copyright", os.path.join(licences, name))


class Wheel(bdist_wheel):
    """For any Python 3: the plugins know nothing of Python."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        system = f"manylinux_{GLIBC[0]}_{GLIBC[1]}" if PORTABLE else "linux"
        return "py3", "none", f"{system}_{platform.machine()}"


class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return True


setup(version=version(), distclass=BinaryDistribution, packages=["emdtools_hdf5"],
      py_modules=["_emdtools_hdf5_startup"], package_dir={"": "python"},
      cmdclass={"build_py": BuildWithPlugins, "bdist_wheel": Wheel})
