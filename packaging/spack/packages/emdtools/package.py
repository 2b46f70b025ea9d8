# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Spack: copy packaging/spack into a repository of packages, put the source's address and checksum in.
from spack.package import *


class Emdtools(CMakePackage):
    """Compresses MicroED movies (EMD and other HDF5 files) without loss; HDF5 filter plugins; drives
    DIALS on them."""

    homepage = "FIXME: the project's page"
    url = "FIXME: address of emdtools-0.1.0.tar.gz"

    license("BSD-3-Clause")
    version("0.1.0", sha256="FIXME: checksum of the released source")

    depends_on("c", type="build")
    depends_on("cmake@3.20:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("hdf5@1.10:")
    depends_on("zstd")
    depends_on("c-blosc")
    depends_on("libdeflate")
    depends_on("zlib-api")
    depends_on("xxhash")
    depends_on("lz4")
    depends_on("json-c")
    depends_on("msgpack-c")
    depends_on("libpng")
    depends_on("spglib")

    generator("ninja")

    def cmake_args(self):
        return [self.define("BUILD_TESTING", False), self.define("EMDTOOLS_BENCH", False)]

    def setup_run_environment(self, env):
        env.prepend_path("HDF5_PLUGIN_PATH", join_path(self.prefix.lib, "emdtools", "plugins"))
        env.prepend_path("PYTHONPATH", join_path(self.prefix.share, "emdtools", "dxtbx"))
