# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""h5plugin-config in the source tree, the build tree, an installation, a moved one and behind a link;
in every shell that is there; and its doctor on healthy and broken set-ups."""

import fcntl
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = os.environ["EMDTOOLS_SOURCE_DIR"]
BUILD = os.environ["EMDTOOLS_BUILD_DIR"]
PLUGINS = os.environ["EMDTOOLS_PLUGINS"]
TOOL = os.path.join(BUILD, "bin", "h5plugin-config")


def clean_env(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("HDF5_")}
    env["EMDTOOLS_BUILD_DIR"] = BUILD
    env.update(more)
    return env


def run(*args, tool=TOOL, env=None, shell=None):
    command = ([shell] if shell else []) + [tool, *args]
    return subprocess.run(command, env=env or clean_env(), capture_output=True, text=True)


class Config(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="emd it's ")
        self.addCleanup(self.folder.cleanup)

    def path(self, *parts):
        return os.path.join(self.folder.name, *parts)

    def ok(self, *args, **kw):
        p = run(*args, **kw)
        self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout + p.stderr)
        return p.stdout

    def install(self):
        # Components: the other tools may not be built yet.
        for component in ("plugins", "dev"):
            subprocess.run(["cmake", "--install", BUILD, "--prefix", self.path("usr"),
                            "--component", component], check=True, stdout=subprocess.DEVNULL)
        return self.path("usr", "bin", "h5plugin-config")

    def test_places(self):
        version = self.ok("--version")
        self.assertRegex(version, r"^h5plugin-config \(emdtools\) \d+\.\d+\.\d+\n$")
        source = os.path.join(SOURCE, "h5plugin-config")
        for tool in (TOOL, source):
            self.assertEqual(self.ok("--plugindir", tool=tool), PLUGINS + "\n")
            self.assertEqual(self.ok("--version", tool=tool), version)
            p = subprocess.run(["sh", os.path.relpath(tool, BUILD), "--plugindir"], cwd=BUILD,
                               env=clean_env(CDPATH="/usr:/"), capture_output=True, text=True)
            self.assertEqual((p.stdout, p.stderr), (PLUGINS + "\n", ""))
        installed = self.install()
        link = self.path("link")
        os.symlink(installed, link)
        for tool in (installed, link):
            plugins = self.ok("--plugindir", tool=tool).rstrip("\n")
            self.assertTrue(plugins.startswith(self.path("usr") + "/"), plugins)
            self.assertIn("libh5zzstd.so", os.listdir(plugins))
            self.assertTrue(all(re.fullmatch(r"libh5z\w+\.so", f) for f in os.listdir(plugins)))
        os.unlink(link)
        os.rename(self.path("usr"), self.path("moved"))
        moved = self.path("moved", "bin", "h5plugin-config")
        self.assertTrue(self.ok("--plugindir", tool=moved).startswith(self.path("moved") + "/"))
        self.assertEqual(self.ok("--version", tool=moved), version)
        self.assertIn("32015", self.ok("--list", tool=moved))
        flags = self.ok("--cflags", tool=moved).split(" -I")[0]
        self.assertTrue(os.path.exists(os.path.join(flags[2:], "emdtools", "h5filters.h")), flags)

    def test_shells(self):
        moved = self.install()
        ours = self.ok("--plugindir", tool=moved).rstrip("\n")
        show = 'import os; print(os.environ["HDF5_PLUGIN_PATH"])'
        python = os.environ["EMDTOOLS_PYTHON"]
        scripts = {
            "sh": 'eval "$(%s --env sh)"; eval "$(%s --env sh)"; %s',
            "csh": "eval `%s --env csh`; eval `%s --env csh`; %s",
            "fish": "%s --env fish | source; %s --env fish | source; %s",
        }
        link = "/tmp/emd_h5plugin_config_%d" % os.getpid()
        os.symlink(moved, link)
        self.addCleanup(os.unlink, link)
        tried = []
        for shell, kind in (("dash", "sh"), ("bash", "sh"), ("zsh", "sh"), ("ksh", "sh"),
                            ("tcsh", "csh"), ("csh", "csh"), ("fish", "fish")):
            if not shutil.which(shell):
                continue
            tried.append(shell)
            script = scripts[kind] % (link, link, "%s -c '%s'" % (python, show))
            if kind != "csh":  # csh is started without its own files by -f
                command = [shell, "-c", script]
            else:
                command = [shell, "-f", "-c", script]
            for before in (None, "", "/a", "/a:/b c", "/a:" + ours):
                env = clean_env(HOME=self.folder.name)
                if before is not None:
                    env["HDF5_PLUGIN_PATH"] = before
                p = subprocess.run(command, env=env, capture_output=True, text=True)
                self.assertEqual((p.returncode, p.stderr), (0, ""), shell)
                got = p.stdout.rstrip("\n").split(":")
                self.assertEqual(got[0], ours, (shell, before))
                self.assertNotIn(ours, got[1:2], (shell, before))  # the second time added nothing
                if before:
                    self.assertEqual(got[1:], before.split(":"), shell)
                else:
                    self.assertTrue(all(os.path.isdir(d) for d in got), (shell, got))
        self.assertIn("bash", tried)

    def test_interpreters(self):
        for shell in ("dash", "bash", "ksh", "mksh", "busybox"):
            if shutil.which(shell):
                for args in (["--list"], ["--decode", "32001", "2", "2", "2", "100", "5", "2", "5"]):
                    self.assertEqual(self.ok(*args), run(*args, shell=shell).stdout, shell)

    def test_list(self):
        listed = {p["id"]: p for p in json.loads(self.ok("--list", "--json"))}
        for number, name in ((32001, "blosc"), (32015, "zstd"), (33200, "edc")):
            self.assertEqual(listed[number]["name"], name)
            self.assertTrue(os.path.exists(listed[number]["file"]))
            self.assertRegex(listed[number]["about"], r"^emdtools [\d.]+; .+; \w+$")

    def test_presets_with_h5repack(self):
        import h5py
        import numpy

        plain, packed = self.path("a.h5"), self.path("b.h5")
        data = numpy.arange(10000, dtype="<i2").reshape(10, 10, 100)
        with h5py.File(plain, "w") as f:
            f.create_dataset("x", data=data, chunks=(1, 10, 100))
        env = clean_env(HDF5_PLUGIN_PATH=PLUGINS)
        for preset in ("fast", "small", "portable"):
            options = self.ok("--h5repack", preset).split()
            p = subprocess.run(["h5repack", *options, plain, packed], env=env, capture_output=True,
                               text=True)
            self.assertEqual((p.returncode, p.stderr), (0, ""))
            code = ("import h5py, numpy\nwith h5py.File('%s', 'w') as f:\n    f.create_dataset('x', "
                    "data=numpy.arange(10000, dtype='<i2').reshape(10, 10, 100), chunks=(1, 10, 100), %s)"
                    % (self.path("c.h5").replace("'", "\\'"), self.ok("--h5py", preset).strip()))
            p = subprocess.run([os.environ["EMDTOOLS_PYTHON"], "-c", code], env=env,
                               capture_output=True, text=True)
            self.assertEqual((p.returncode, p.stderr), (0, ""))
            for made in (packed, self.path("c.h5")):
                p = subprocess.run(["h5diff", plain, made], env=env, capture_output=True, text=True)
                self.assertEqual((p.returncode, p.stdout + p.stderr), (0, ""))
                header = subprocess.run(["h5dump", "-pH", made], env=env, capture_output=True,
                                        text=True).stdout
                self.assertRegex(header, r"COMPRESSION DEFLATE|FILTER_ID 32001")
            os.unlink(packed)

    def test_decode(self):
        for args, text in (
            ("32015", "zstd: level 3"), ("32015 4294967291", "zstd: level -5"),
            ("32001 2 2 2 8388608 5 2 5",
             "blosc: filter version 2, format version 2, items of 2 bytes, chunks of 8388608 bytes, "
             "level 5, bit shuffle, zstd"),
            ("32001 2 2 2 8388608 5 2 9",
             "blosc: filter version 2, format version 2, items of 2 bytes, chunks of 8388608 bytes, "
             "level 5, bit shuffle, unknown (9)"),
            ("32008 0 4 2 0 2",
             "bitshuffle: bitshuffle version 0.4, items of 2 bytes, blocks of automatic size, lz4"),
            ("33200 1 2 3 2048 1024 1 2",
             "edc: parameters 1, items of 2 bytes, effort 2, signed, little-endian, "
             "frames of 2048 x 1024, 1 in a chunk"),
            ("33200 1 4 0 0 0 0 1", "edc: parameters 1, items of 4 bytes, effort 1, not as frames"),
            ("1 4", "deflate: level 4"), ("2 2", "shuffle: items of 2 bytes"), ("3", "fletcher32"),
            ("32029 1 2", "terse: 1 2"), ("4711 5", "filter 4711: 5"),
        ):
            self.assertEqual(self.ok("--decode", *args.split()), text + "\n")

    def test_usage(self):
        for args in ([], ["--nonsense"], ["--env", "powershell"], ["--h5repack"], ["--h5py", "best"],
                     ["--decode"], ["--decode", "x"], ["--decode", "1", "-3"], ["--list", "x"],
                     ["--plugindir", "x"], ["--decode", "1", "99999999999"]):
            p = run(*args)
            self.assertEqual((p.returncode, p.stdout), (2, ""), args)
            self.assertNotEqual(p.stderr, "")

    def make_file(self, name, filter_id, opts):
        path = self.path(name)
        code = ("import h5py, numpy, sys\nwith h5py.File(sys.argv[1], 'w') as f:\n    f.create_dataset("
                "'g/x', data=numpy.arange(4096, dtype='<i2').reshape(64, 64), chunks=(64, 64), "
                "compression=%d, compression_opts=%r)" % (filter_id, opts))
        subprocess.run([os.environ["EMDTOOLS_PYTHON"], "-c", code, path], check=True,
                       env=clean_env(HDF5_PLUGIN_PATH=PLUGINS))
        return path

    def test_doctor(self):
        path = self.make_file("z.h5", 32015, (3,))
        found = clean_env(HDF5_PLUGIN_PATH=PLUGINS)
        p = run("--doctor", path, env=found)
        self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout)
        self.assertIn("filter   32015  zstd        available, used by 1 dataset, first g/x", p.stdout)
        self.assertIn("can be read: a value of each of its 1 datasets was", p.stdout)
        self.assertEqual(run("--doctor", env=found).returncode, 0)
        with open(path, "rb") as writer: # whose lock neither matters nor is shared
            fcntl.flock(writer, fcntl.LOCK_EX)
            self.assertEqual(run("--doctor", path, env=found).returncode, 0)

        nothing = self.path("nothing")
        os.mkdir(nothing)
        p = run("--doctor", path, env=clean_env(HDF5_PLUGIN_PATH=nothing))
        self.assertEqual(p.returncode, 1)
        self.assertRegex(p.stdout, r"PROBLEM  filter 32015 \(zstd\) is not available.*emdtools has it")
        self.assertIn("which is not searched", p.stdout)

        p = run("--doctor", env=clean_env(HDF5_PLUGIN_PATH="/nowhere:" + PLUGINS))
        self.assertEqual((p.returncode, p.stderr), (1, ""))
        self.assertIn("PROBLEM  /nowhere does not exist", p.stdout)
        p = run("--doctor", env=clean_env(HDF5_PLUGIN_PATH=PLUGINS + ":/nowhere"))
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertIn("folder   /nowhere (does not exist)", p.stdout)

        p = run("--doctor", path, env=clean_env(HDF5_PLUGIN_PATH=PLUGINS, HDF5_PLUGIN_PRELOAD="::"))
        self.assertEqual(p.returncode, 1)
        self.assertIn("disables all plugins", p.stdout)
        self.assertRegex(p.stdout, r"PROBLEM  filter 32015 .*; unset HDF5_PLUGIN_PRELOAD")

        with open(os.path.join(nothing, "libbad.so"), "w") as f:
            f.write("no library")
        p = run("--doctor", env=clean_env(HDF5_PLUGIN_PATH=PLUGINS + ":" + nothing))
        self.assertEqual(p.returncode, 1)
        self.assertRegex(p.stdout, r"PROBLEM  libbad.so: cannot be loaded: .*(invalid ELF|too short)")

        shutil.copy(os.path.join(PLUGINS, "libh5zzstd.so"), os.path.join(nothing, "libbad.so"))
        p = run("--doctor", env=clean_env(HDF5_PLUGIN_PATH=PLUGINS + ":" + nothing))
        self.assertEqual(p.returncode, 0, p.stdout)
        self.assertRegex(p.stdout, r"32015  libbad.so +zstd \(shadowed")

        # Within a folder HDF5 goes by the folder's own order, and so does the doctor.
        for name in ("libzz.so", "libaa.so", "libmm.so.1"):
            shutil.copy(os.path.join(PLUGINS, "libh5zzstd.so"), os.path.join(nothing, name))
        p = run("--doctor", env=clean_env(HDF5_PLUGIN_PATH=nothing))
        order = [e.name for e in os.scandir(nothing)]
        self.assertEqual(re.findall(r"^  32015 +(\S+)", p.stdout, re.M), order)
        self.assertEqual(p.stdout.count("(shadowed"), len(order) - 1)

    @unittest.skipUnless(shutil.which("setpriv") or os.geteuid(), "root reads everything")
    def test_doctor_in_a_folder_without_permission(self):
        closed = self.path("closed")
        os.mkdir(closed, 0)
        os.chmod(self.folder.name, 0o755)
        nobody = [] if os.geteuid() else ["setpriv", "--reuid=65534", "--clear-groups"]
        p = subprocess.run([*nobody, TOOL, "--doctor"], capture_output=True, text=True,
                           env=clean_env(HDF5_PLUGIN_PATH=closed + ":" + PLUGINS))
        self.assertEqual((p.returncode, p.stderr), (1, ""), p.stdout)
        self.assertRegex(p.stdout, r"PROBLEM  .*/closed cannot be read; as the first entry")

    def test_doctor_asks_bitshuffle_for_zstd(self):
        """Debian 12's takes chunks with zstd inside for uncompressed ones, Debian 13's knows it."""
        others = glob.glob("/usr/lib/*/hdf5/serial/plugins/libh5bshuf.so")
        if not others:
            self.skipTest("Debian's bitshuffle is not installed")
        with open(others[0], "rb") as f:
            old = b"ZSTD_decompress" not in f.read()
        folder = self.path("others")
        os.mkdir(folder)
        os.symlink(others[0], os.path.join(folder, "libh5bshuf.so"))
        for name, compression, code in (("lz4.h5", 2, 0), ("zstd.h5", 3, int(old))):
            path = self.make_file(name, 32008, (0, compression))
            p = run("--doctor", path, env=clean_env(HDF5_PLUGIN_PATH=folder + ":" + PLUGINS))
            self.assertEqual((p.returncode, p.stderr), (code, ""), p.stdout)
            self.assertEqual("PROBLEM  g/x cannot be read: the bitshuffle plugin" in p.stdout, code)
            self.assertEqual("note     filter 32008 comes from a plugin of others" in p.stdout, code)
            p = run("--doctor", path, env=clean_env(HDF5_PLUGIN_PATH=PLUGINS + ":" + folder))
            self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout)

    def test_doctor_on_bad_files(self):
        found = clean_env(HDF5_PLUGIN_PATH=PLUGINS)
        path = self.make_file("z.h5", 32015, (3,))
        with open(path, "rb") as f:
            data = bytearray(f.read())
        at = data.find(b"\x28\xb5\x2f\xfd")
        data[at + 20] ^= 255
        with open(path, "wb") as f:
            f.write(data)
        p = run("--doctor", path, env=found)
        self.assertEqual(p.returncode, 1)
        self.assertIn("PROBLEM  g/x cannot be read: zstd: ", p.stdout)

        text = self.path("text")
        with open(text, "w") as f:
            f.write("hello")
        p = run("--doctor", text, env=found)
        self.assertEqual(p.returncode, 1)
        self.assertIn("not a HDF5 file", p.stdout)
        p = run("--doctor", self.path("absent"), env=found)
        self.assertEqual(p.returncode, 1)
        self.assertIn("absent: No such file or directory", p.stdout)

        with open(path, "wb") as f:
            f.write(data[:2000])
        p = run("--doctor", path, env=found)
        self.assertEqual(p.returncode, 1)
        self.assertIn("z.h5: truncated file", p.stdout)

    def test_doctor_asks_every_dataset(self):
        """Also the second one with the same filters, and what the file holds besides."""
        path = self.path("many.h5")
        code = ("import h5py, numpy, sys\nwith h5py.File(sys.argv[1], 'w') as f:\n"
                "    f['scalar'] = 1\n    f['text'] = 'text'\n    f['nothing'] = h5py.Empty('i2')\n"
                "    f.create_dataset('none', (0, 3), 'f4', maxshape=(None, 3))\n"
                "    f.create_dataset('unwritten', (8, 8), 'f4', chunks=(8, 8), compression=32015)\n"
                "    for name in 'ab':\n"
                "        f.create_dataset(name, data=numpy.arange(4096), chunks=(4096,), compression=32015)")
        subprocess.run([os.environ["EMDTOOLS_PYTHON"], "-c", code, path], check=True,
                       env=clean_env(HDF5_PLUGIN_PATH=PLUGINS))
        p = run("--doctor", path, env=clean_env(HDF5_PLUGIN_PATH=PLUGINS))
        self.assertEqual((p.returncode, p.stderr), (0, ""), p.stdout)
        self.assertIn("a value of each of its 7 datasets was", p.stdout)
        with open(path, "r+b") as f:
            data = f.read()
            f.seek(data.rfind(b"\x28\xb5\x2f\xfd") + 20)
            f.write(b"damage")
        p = run("--doctor", path, env=clean_env(HDF5_PLUGIN_PATH=PLUGINS))
        self.assertEqual(p.returncode, 1)
        self.assertRegex(p.stdout, r"PROBLEM  [ab] cannot be read: zstd: ")
        self.assertEqual(p.stdout.count("PROBLEM"), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
