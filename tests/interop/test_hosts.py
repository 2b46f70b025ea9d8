# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The plugins in hosts of every kind: linked to the shared HDF5, with one loaded RTLD_LOCAL, with a
renamed private copy of it, with a static one that exports its functions and one that does not. Each
writes and each reads what the others wrote; the last cannot find its own functions, so that writing
with a filter that needs them must fail with a reason, and reading must work."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BIN = os.environ["EMDTOOLS_BIN"]
PLUGINS = os.environ["EMDTOOLS_PLUGINS"]
FILTERS = {
    "zstd": ["32015", "3"],
    "blosc": ["32001", "0", "0", "0", "0", "5", "1", "5"],
    "bitshuffle": ["32008", "0", "2"],
    "edc": ["33200"],
}


def library_of(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return next(line.split()[2] for line in out.splitlines() if "libhdf5" in line)


class Hosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        shared = os.path.join(BIN, "filterhost")
        library = library_of(shared)
        cls.hosts = {"shared": [shared]}
        local = os.path.join(BIN, "filterhost_local")
        cls.hosts["local"] = [local, library]
        private = os.path.join(cls.folder.name, "libhdf5-5f3a.so")
        shutil.copy(library, private)
        if shutil.which("patchelf"):
            subprocess.run(["patchelf", "--set-soname", "libhdf5-5f3a.so", private], check=True)
        cls.hosts["private"] = [local, private]
        for kind in ("static", "static_exported"):
            program = os.path.join(BIN, "filterhost_" + kind)
            if os.path.exists(program):
                cls.hosts[kind] = [program]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_host(self, host, *args):
        env = dict(os.environ, HDF5_PLUGIN_PATH=PLUGINS)
        env.pop("EMDTOOLS_PLUGIN_VERBOSE", None)
        return subprocess.run([*self.hosts[host], *args], env=env, capture_output=True, text=True)

    def test_all_hosts(self):
        for name, options in FILTERS.items():
            if not os.path.exists(os.path.join(PLUGINS, "libh5z%s.so" % name)):
                continue
            for writer in self.hosts:
                path = os.path.join(self.folder.name, "%s-%s.h5" % (name, writer))
                p = self.run_host(writer, "write", path, *options)
                if writer == "static" and name != "zstd":
                    self.assertEqual(p.returncode, 1, (name, writer))
                    self.assertIn("emdtools filter %s" % name, p.stderr)
                    self.assertIn("does not export its functions", p.stderr)
                    continue
                self.assertEqual((p.returncode, p.stderr), (0, ""), (name, writer))
                for reader in self.hosts:
                    p = self.run_host(reader, "read", path, options[0])
                    self.assertEqual((p.returncode, p.stderr), (0, ""), (name, writer, reader))

    def test_all_kinds_are_there(self):
        self.assertTrue({"shared", "local", "private"} <= set(self.hosts))
        if glob.glob("/usr/lib/*/hdf5/serial/libhdf5.a"):
            self.assertIn("static", self.hosts)

    def test_no_second_hdf5(self):
        for plugin in glob.glob(os.path.join(PLUGINS, "*.so")):
            needed = subprocess.run(["objdump", "-p", plugin], capture_output=True, text=True,
                                    check=True).stdout
            self.assertNotIn("libhdf5", needed, plugin)
            exported = subprocess.run(["nm", "-D", "--defined-only", plugin], capture_output=True,
                                      text=True, check=True).stdout.split()[2::3]
            self.assertEqual(sorted(exported), ["H5PLget_plugin_info", "H5PLget_plugin_type",
                                                "emdtools_plugin_about"], plugin)


if __name__ == "__main__":
    if "asan" in os.environ.get("EMDTOOLS_SANITIZED", ""):
        print("plugins with a sanitizer cannot be loaded into other programs")
        sys.exit(77)
    unittest.main(verbosity=2)
