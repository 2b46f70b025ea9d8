# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The Python package emdtools-hdf5 in processes in which nothing is set: h5py reads every codec.

Without an argument the package is laid out as a wheel lays it out, with the plugins of this build. With
"wheel" it is built, as wheel and as source package, installed into a virtual environment on top of the
system's h5py and DIALS, and DIALS finds spots with it, too. With "old", also under an older glibc, in
a Debian 11 made by debootstrap (needs root and a mirror)."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ["EMDTOOLS_SOURCE_DIR"]
BIN = os.environ["EMDTOOLS_BIN"]
PLUGINS = os.environ["EMDTOOLS_PLUGINS"]
PYTHON = os.environ["EMDTOOLS_PYTHON"]
CODECS = ("none", "gzip", "zstd", "blosc", "bitshuffle", "bitshuffle:lz4", "edc")
MODE = sys.argv.pop(1) if len(sys.argv) > 1 else "tree"
OLD_DEBIAN = "bullseye"

READ = """
import sys, numpy
def frames(path):
    with h5py.File(path, "r") as f:
        found = []
        f.visititems(lambda n, d: found.append(d[()]) if n.startswith("Data/Image/") and
                     n.endswith("/Data") else None)
        assert len(found) == 1
        return found[0]
raw = frames("none.emd")
for codec in sys.argv[1:]:
    assert numpy.array_equal(frames(codec + ".emd"), raw), codec
"""


def environment(**variables):
    clean = {k: v for k, v in os.environ.items()
             if not k.startswith(("HDF5_", "PYTHON", "EMDTOOLS_"))}
    return dict(clean, PYTHONDONTWRITEBYTECODE="1", **variables)


def run(command, expect=0, **variables):
    done = subprocess.run(command, capture_output=True, text=True, env=environment(**variables))
    if done.returncode != expect:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def lay_out(folder):
    """As a wheel would be installed there."""
    shutil.copytree(os.path.join(SOURCE, "python"), folder, ignore=shutil.ignore_patterns("*.md"))
    shutil.copytree(PLUGINS, os.path.join(folder, "emdtools_hdf5/plugins"))
    return [PYTHON, "-c", f"import site; site.addsitedir({folder!r})\n"]


def build(out):
    """The wheel and the source package, by setup.py as setup.sh calls it."""
    copy = os.path.join(out, "source")
    files = run(["git", "-C", SOURCE, "ls-files", "-z", "--cached", "--others",
                 "--exclude-standard"]).split("\0")
    for name in filter(None, files):
        if os.path.exists(os.path.join(SOURCE, name)) and not name.startswith("tests/"):
            os.makedirs(os.path.dirname(os.path.join(copy, name)), exist_ok=True)
            shutil.copy2(os.path.join(SOURCE, name), os.path.join(copy, name))
    run(["sh", os.path.join(copy, "setup.sh"), "wheel"])
    return sorted(glob.glob(os.path.join(copy, "dist/*")))


def movies():
    size, frames = ("256", "8") if MODE == "tree" else ("512", "60")
    run([os.path.join(BIN, "emdsim"), "-q", "--size", size, "--frames", frames, "--step", "1",
         "--seed", "7", "movie.emd"])
    for codec in CODECS:
        run([os.path.join(BIN, "emdrepack"), "-q", "-c", codec, "movie.emd", codec + ".emd"])


def read_all(start, *before, **variables):
    """Runs READ in a fresh process, after the imports 'before'."""
    code = "\n".join([*before, READ])
    if len(start) == 1:
        return run([*start, "-c", code, *CODECS], **variables)
    return run([*start[:-1], start[-1] + code, *CODECS], **variables)


def other_library():
    """A second HDF5 library, which is a file and has a name of its own, as in wheels."""
    maps = run([PYTHON, "-c", "import h5py; print(open('/proc/self/maps').read())"])
    path = next(line.split()[-1] for line in maps.splitlines()
                if os.path.basename(line.split()[-1]).startswith("libhdf5_serial.so"))
    private = os.path.abspath("libhdf5-5f3a0b1c.so")
    shutil.copy(path, private)
    return private


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        movies()
        if MODE == "tree":
            cls.python = lay_out(os.path.abspath("site"))
            return
        cls.files = build(os.path.abspath("build"))
        cls.wheel = next(f for f in cls.files if f.endswith(".whl"))
        run([PYTHON, "-m", "venv", "--system-site-packages", "--without-pip", "env"])
        cls.python = [os.path.abspath("env/bin/python")]
        run([*cls.python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", cls.wheel])

    def python_code(self, code, *arguments, expect=0, **variables):
        start = self.python
        command = [*start, "-c", code] if len(start) == 1 else [*start[:-1], start[-1] + code]
        return run([*command, *arguments], expect, **variables)

    def test_nothing_set(self):
        read_all(self.python, "import h5py")

    def test_fails_without(self):
        """What is tested is the package: without it the same process fails."""
        with self.assertRaises(AssertionError):
            read_all(self.python, "import h5py", EMDTOOLS_HDF5="off", HDF5_PLUGIN_PATH="/dev/null")
        with self.assertRaises(AssertionError):
            read_all([PYTHON], "import h5py")

    def test_orders_of_import(self):
        for before in (["import emdtools_hdf5, h5py"], ["import h5py, emdtools_hdf5"],
                       ["import hdf5plugin, h5py, emdtools_hdf5"],
                       ["import emdtools_hdf5, h5py, hdf5plugin"],
                       ["import h5py, hdf5plugin"],
                       ["import importlib", "h5py = importlib.import_module('h5py')"],
                       ["import h5py", "import importlib; importlib.reload(h5py)"]):
            read_all(self.python, *before)
        # Switched off, it is the import and register() that count.
        read_all(self.python, "import h5py, emdtools_hdf5; emdtools_hdf5.register()",
                 EMDTOOLS_HDF5="off")

    def test_others_plugins(self):
        other = "/usr/lib/x86_64-linux-gnu/hdf5/serial/plugins"
        for path in ("/nonexistent", "/nonexistent:" + other, other, ""):
            read_all(self.python, "import h5py", HDF5_PLUGIN_PATH=path)

    def test_two_libraries(self):
        private = other_library()
        code = f"""
import ctypes, h5py, emdtools_hdf5, _emdtools_hdf5_startup as startup
other = ctypes.CDLL({private!r})
assert other._handle != ctypes.CDLL(None)._handle
emdtools_hdf5.register()
emdtools_hdf5.register()
assert len(startup.loaded_libraries()) == 2, startup.loaded_libraries()
folder = emdtools_hdf5.PLUGIN_PATH.encode()
for path in startup.loaded_libraries():
    library = ctypes.CDLL(path)
    n, text = ctypes.c_uint(), ctypes.create_string_buffer(4096)
    library.H5PLsize(ctypes.byref(n))
    folders = []
    for i in range(n.value):
        library.H5PLget(ctypes.c_uint(i), text, ctypes.c_size_t(4096))
        folders.append(text.value)
    assert folders.count(folder) == 1, folders
    for number in (32001, 32008, 32015, 33200):
        assert library.H5Zfilter_avail(ctypes.c_int(number)) == 1, (path, number)
"""
        read_all(self.python, code)

    def test_write(self):
        self.python_code("""
import h5py, numpy, emdtools_hdf5 as e
rng = numpy.random.default_rng(1)
frames = rng.poisson(3, (4, 128, 128)).astype("<i2")
filters = [e.Edc(), e.Edc(effort=1), e.Zstd(), e.Zstd(clevel=-5), e.Blosc(), e.Blosc("zstd", 9, 2),
           e.Blosc("snappy", 5, 1), e.Blosc("blosclz"), e.Bitshuffle(), e.Bitshuffle(64, "zstd", 7),
           e.Bitshuffle(cname="none")]
with h5py.File("written.h5", "w") as f:
    for i, one in enumerate(filters):
        f.create_dataset(f"a{i}", data=frames, chunks=(1, 128, 128), compression=one)
        f.create_dataset(f"b{i}", data=frames, chunks=(1, 128, 128), **one)
with h5py.File("written.h5", "r") as f:
    for i, one in enumerate(filters):
        for name in (f"a{i}", f"b{i}"):
            assert f[name].id.get_create_plist().get_filter(0)[0] == one.filter_id
            assert numpy.array_equal(f[name][()], frames), (name, one)
            if "none" not in repr(one) and one.filter_options != (0, 0):
                assert f[name].id.get_storage_size() < frames.nbytes
for bad in (lambda: e.Edc(effort=4), lambda: e.Blosc("lzma"), lambda: e.Bitshuffle(3),
            lambda: e.Zstd(23), lambda: e.Blosc(clevel=10)):
    try:
        bad()
    except ValueError:
        continue
    raise AssertionError("accepted")
""")

    def test_as_hdf5plugin(self):
        """The same arguments, the same parameters in the file; and its reader reads ours."""
        self.python_code("""
import hdf5plugin as h, emdtools_hdf5 as e, h5py
for ours, theirs in ((e.Blosc(), h.Blosc()), (e.Blosc("zstd", 3, 2), h.Blosc("zstd", 3, 2)),
                     (e.Zstd(), h.Zstd()), (e.Bitshuffle(), h.Bitshuffle())):
    assert ours.filter_id == theirs.filter_id
    assert tuple(ours.filter_options) == tuple(theirs.filter_options), (ours, theirs.filter_options)
""")

    def test_doctor(self):
        doctor = "import runpy, sys; sys.argv[0] = 'emdtools_hdf5'; " \
                 "runpy.run_module('emdtools_hdf5', run_name='__main__')"
        out = self.python_code(doctor, "--doctor", "edc.emd")
        self.assertIn("all 4 filters are available", out)
        self.assertIn("33200 (edc)", out)
        self.assertIn("result ", out)
        self.assertNotIn("PROBLEM", out)
        out = self.python_code(doctor, "--doctor", expect=1, HDF5_PLUGIN_PRELOAD="::")
        self.assertIn("disables all plugins", out)
        shutil.copy("edc.emd", "bad.emd")
        os.truncate("bad.emd", os.path.getsize("bad.emd") // 2)
        self.assertIn("PROBLEM", self.python_code(doctor, "--doctor", "bad.emd", expect=1))
        folder = self.python_code(doctor, "--plugindir").strip()
        self.assertTrue(glob.glob(os.path.join(folder, "libh5zedc.so")), folder)

    @unittest.skipIf(MODE == "tree", "needs an installed package")
    def test_wheel(self):
        self.assertIn("-py3-none-manylinux_2_28_", self.wheel)
        folder = run([*self.python, "-m", "emdtools_hdf5", "--plugindir"]).strip()
        check = os.path.join(SOURCE, "cmake/portable/oldglibc.py")
        run([PYTHON, check, "check", "2.28", *glob.glob(folder + "/*.so")])
        with self.assertRaises(AssertionError):  # what the check is for
            run([PYTHON, check, "check", "2.28", *glob.glob(PLUGINS + "/*.so")])

    @unittest.skipIf(MODE == "tree", "needs an installed package")
    def test_source_package(self):
        source = next(f for f in self.files if f.endswith(".tar.gz"))
        run([PYTHON, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w",
             "native", source])
        wheel, = glob.glob("native/*-linux_*.whl")
        run([PYTHON, "-m", "venv", "--system-site-packages", "--without-pip", "env2"])
        python = os.path.abspath("env2/bin/python")
        run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel])
        read_all([python], "import h5py")

    @unittest.skipIf(MODE == "tree" or not shutil.which("dials.import"), "needs DIALS and the wheel")
    def test_dials(self):
        # Debian's DIALS runs with the system's Python alone, not in a virtual environment.
        user = {"PYTHONUSERBASE": os.path.abspath("user")}
        run([PYTHON, "-m", "pip", "install", "-q", "--user", "--break-system-packages", "--no-deps",
             "--no-index", self.wheel], **user)
        for codec in ("none", "edc", "blosc"):
            os.makedirs("dials-" + codec)
            for command in (["dials.import", os.path.abspath(codec + ".emd"), "panel.pedestal=-40",
                             "output.log=None", f"output.experiments=dials-{codec}/imported.expt"],
                            ["dials.find_spots", f"dials-{codec}/imported.expt", "nproc=2",
                             "output.log=None", f"output.reflections=dials-{codec}/strong.refl"]):
                run(command, **user)
        import dialslib

        for codec in ("edc", "blosc"):
            dialslib.assert_same_tables("dials-none/strong.refl", f"dials-{codec}/strong.refl")
        self.assertGreater(dialslib.table("dials-none/strong.refl")[0], 100)

    @unittest.skipIf(MODE != "old", "only when asked for")
    def test_older_glibc(self):
        root = os.environ.get("EMDTOOLS_OLD_DEBIAN") or os.path.abspath("old")
        if not os.path.exists(os.path.join(root, "usr/bin/python3")):
            run(["debootstrap", "--variant=minbase", "--include=python3-h5py,python3-pip", OLD_DEBIAN,
                 root, *filter(None, [os.environ.get("EMDTOOLS_DEBIAN_MIRROR")])])
        with tempfile.TemporaryDirectory(dir=os.path.join(root, "tmp")) as folder:
            for file in [self.wheel, *(c + ".emd" for c in CODECS)]:
                shutil.copy(file, folder)
            with open(os.path.join(folder, "read.py"), "w") as script:
                script.write("import h5py\n" + READ)
            inside = "/tmp/" + os.path.basename(folder)
            run(["chroot", root, "sh", "-ec",
                 f"cd {inside}; python3 -m pip install -q --no-deps --no-index --force-reinstall *.whl; "
                 f"ldd --version | head -n 1; python3 read.py {' '.join(CODECS)}; "
                 "python3 -m emdtools_hdf5 --doctor edc.emd"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
