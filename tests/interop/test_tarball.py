# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The tarball: unpacked into a directory with a space in its name, and by an environment module; and
with an older glibc, in a Debian 11 made by debootstrap (needs root and a mirror). Also the recipes of
packaging/: that they can be parsed."""

import ast
import glob
import os
import shutil
import subprocess
import tempfile
import unittest

SOURCE = os.environ["EMDTOOLS_SOURCE_DIR"]
PYTHON = os.environ["EMDTOOLS_PYTHON"]
TOOLS = ("emdrepack", "emdwatch", "emdprocess", "emdblanks", "emdlist", "emdinfo", "emdsim", "emdsync",
         "h5plugin-config")
# Everything that a user does with a movie, in one go.
USE = """set -e
eval "$(h5plugin-config --env sh)"
emdsim -q --size 256 --frames 12 movie.emd
for codec in gzip zstd blosc bitshuffle edc; do
  emdrepack -q -c $codec movie.emd $codec.emd
  emdrepack --compare -q movie.emd $codec.emd
done
emdinfo edc.emd | grep -q 256
h5plugin-config --doctor edc.emd | grep -q '^result'
h5plugin-config --list | grep -c emdtools | grep -qx 4
h5plugin-config --doctor bitshuffle.emd | grep -q '^result'
"""


def run(command, **variables):
    clean = {k: v for k, v in os.environ.items()
             if not k.startswith(("HDF5_", "PYTHON", "EMDTOOLS_"))}
    done = subprocess.run(command, capture_output=True, text=True, env=dict(clean, **variables))
    if done.returncode:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Tarball(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run(["sh", os.path.join(SOURCE, "setup.sh"), "tarball"])
        cls.tarball, = glob.glob(os.path.join(SOURCE, "dist/emdtools-*-linux-*.tar.gz"))
        os.mkdir("any where")
        run(["tar", "-C", "any where", "-xf", cls.tarball])
        cls.prefix, = glob.glob(os.path.abspath("any where/emdtools-*"))

    def test_unpacked(self):
        os.makedirs("use")
        path = os.path.join(self.prefix, "bin") + ":/usr/bin:/bin"
        for tool in TOOLS:
            self.assertIn("0.1.0", run([tool, "--version"], PATH=path))
        run(["sh", "-c", "cd use;" + USE], PATH=path)
        self.assertTrue(os.path.exists(os.path.join(self.prefix, "share/man/man1/emdrepack.1")))

    def test_modules(self):
        """Without a space: Environment Modules 5 has none in its paths."""
        os.mkdir("apps")
        run(["tar", "-C", "apps", "-xf", self.tarball])
        prefix, = glob.glob(os.path.abspath("apps/emdtools-*"))
        tried = 0
        for init in ("/usr/share/modules/init/sh", "/etc/profile.d/modules.sh",
                     "/usr/share/lmod/lmod/init/sh"):
            if not os.path.exists(init):
                continue
            tried += 1
            out = run(["bash", "-c", f". {init}; module use {prefix}/share/modulefiles; "
                       "module load emdtools; type -P emdrepack; echo $HDF5_PLUGIN_PATH; echo $PYTHONPATH;"
                       "module unload emdtools; type -P emdrepack || echo gone"])
            self.assertEqual(out.split(), [prefix + "/bin/emdrepack", prefix + "/lib/emdtools/plugins",
                                           prefix + "/share/emdtools/dxtbx", "gone"], init)
        if not tried:
            self.skipTest("neither environment-modules nor lmod is installed")

    def test_older_glibc(self):
        if os.geteuid() or not shutil.which("debootstrap"):
            self.skipTest("needs root and debootstrap")
        root = os.environ.get("EMDTOOLS_OLD_DEBIAN") or os.path.abspath("old")
        if not os.path.exists(os.path.join(root, "usr/bin/python3")):
            run(["debootstrap", "--variant=minbase", "--include=python3-h5py,python3-pip", "bullseye", root,
                 *filter(None, [os.environ.get("EMDTOOLS_DEBIAN_MIRROR")])])
        with tempfile.TemporaryDirectory(dir=os.path.join(root, "tmp")) as folder:
            run(["tar", "-C", folder, "--strip-components=1", "-xf", self.tarball])
            inside = "/tmp/" + os.path.basename(folder)
            run([shutil.which("chroot", path="/usr/sbin:/sbin"), root, "sh", "-c", f"mkdir {inside}/use; cd {inside}/use; {USE}"],
                PATH=inside + "/bin:/usr/sbin:/usr/bin:/bin")

    def test_recipes(self):
        folder = os.path.join(SOURCE, "packaging")
        for name in ("spack/packages/emdtools/package.py", "easybuild/emdtools-0.1.0-GCCcore-12.3.0.eb"):
            with open(os.path.join(folder, name)) as file:
                ast.parse(file.read(), name)
        with open(os.path.join(folder, "conda/meta.yaml")) as file:
            text = file.read()
        run([PYTHON, "-c", "import sys, yaml; yaml.safe_load(sys.argv[1])", text])


if __name__ == "__main__":
    unittest.main(verbosity=2)
