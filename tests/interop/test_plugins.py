# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The plugins in the hosts of a Debian system: h5py, h5dump, h5repack; against Debian's own plugins
where these are installed. Bytes of chunks and cd_values are compared with other writers'."""

import glob
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

PLUGINS = os.environ["EMDTOOLS_PLUGINS"]
DEBIAN = (glob.glob("/usr/lib/*/hdf5/serial/plugins") + [""])[0]

# Runs in a process of its own, because HDF5 reads HDF5_PLUGIN_PATH once.
CHILD = r"""
import json, sys
import h5py, numpy as np

def image(dtype, shape, seed):
    r = np.random.default_rng(seed)
    d = np.dtype(dtype)
    if d.kind == "f":
        return r.normal(100, 5, shape).astype(d)
    if d.kind == "V":
        a = np.zeros(shape, d)
        a["a"] = r.poisson(20, shape)
        a["b"] = r.normal(0, 1, shape)
        return a
    return (r.poisson(60, shape) - (40 if d.kind == "i" else 0)).astype(d)

def write(job):
    with h5py.File(job["file"], "w", libver="earliest") as f:
        for k, s in enumerate(job["sets"]):
            data = image(eval(s["dtype"]), s["shape"], k)
            if s["optional"]:
                plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                plist.set_chunk(tuple(s["chunks"]))
                plist.set_filter(s["id"], h5py.h5z.FLAG_OPTIONAL, tuple(s["opts"]))
                t = h5py.h5t.py_create(np.dtype(eval(s["dtype"])), logical=True)
                d = h5py.h5d.create(f.id, str(k).encode(), t, h5py.h5s.create_simple(data.shape), plist)
                h5py.Dataset(d)[...] = data
            else:
                how = {"compression": s["id"], "compression_opts": tuple(s["opts"])} if s["id"] else {}
                f.create_dataset(str(k), data=data, chunks=tuple(s["chunks"]), **how,
                                 **s.get("more", {}))

def read(job):
    out = []
    with h5py.File(job["file"], "r") as f:
        for k, s in enumerate(job["sets"]):
            d = f[str(k)]
            want = image(eval(s["dtype"]), s["shape"], k)
            assert d.dtype == want.dtype and np.array_equal(d[...], want), s
            p = d.id.get_create_plist()
            n = p.get_nfilters()
            mask, raw = d.id.read_direct_chunk((0,) * d.ndim)
            out.append({"filters": [p.get_filter(i)[:3] for i in range(n)], "mask": mask,
                        "chunk": raw.hex()})
    return [{**o, "filters": [[f[0], f[1], list(f[2])] for f in o["filters"]]} for o in out]

job = json.loads(sys.argv[1])
print(json.dumps(write(job) if job["do"] == "write" else read(job)))
"""


def setting(filter_id, opts, dtype="'<i2'", shape=(4, 64, 64), chunks=(1, 64, 64), optional=False,
            **more):
    return {"id": filter_id, "opts": opts, "dtype": dtype, "shape": shape, "chunks": chunks,
            "optional": optional, "more": more}


TYPES = ["'u1'", "'<i2'", "'>u2'", "'<u4'", "'>i4'", "'<f4'", "'<f8'", "[('a', 'u1'), ('b', '<f4')]"]
ZSTD = [setting(32015, o, t) for t in TYPES for o in ([], [1], [9], [2**32 - 5])]
BLOSC = [setting(32001, [0, 0, 0, 0, level, shuffle, code], t)
         for t in TYPES for level in (1, 5, 9) for shuffle in (0, 1, 2) for code in (0, 1, 2, 4, 5)]
BLOSC += [setting(32001, [0, 0, 0, 0, 5, 1, 5], "'<i2'", (300, 300), (300, 300)),
          setting(32001, [0, 0, 0, 0, 5, 2, 5], "'<i2'", (1, 7), (1, 7)),
          setting(32001, [0, 0, 0, 0, 5], "'<i2'"), setting(32001, [], "'<i2'")]
BITSHUFFLE = [setting(32008, o, t) for t in TYPES for o in ([], [0], [64], [0, 2], [128, 2], [0, 0])]
BITSHUFFLE += [setting(32008, [0, 2], t, (3, 1003), (2, 1003)) for t in TYPES]
BITSHUFFLE_ZSTD = [setting(32008, o, t) for t in TYPES for o in ([0, 3], [0, 3, 9], [64, 3, 2**32 - 5])]
MIXED = [setting(i, o, "'<i2'", shuffle=True, fletcher32=True)
         for i, o in ((32015, [3]), (32001, [0, 0, 0, 0, 1, 0, 5]), (32008, [0, 2]))]


class Plugins(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "a.h5")

    def tearDown(self):
        self.folder.cleanup()

    def run_with(self, path, command, **kw):
        env = dict(os.environ, HDF5_PLUGIN_PATH=path, EMDTOOLS_PLUGIN_VERBOSE="1")
        return subprocess.run(command, env=env, capture_output=True, text=True, **kw)

    def child(self, path, do, sets, file=None):
        job = {"do": do, "file": file or self.file, "sets": sets}
        p = self.run_with(path, [sys.executable, "-c", CHILD, json.dumps(job)])
        self.assertEqual(p.returncode, 0, p.stderr)
        return json.loads(p.stdout)

    def test_round_trips(self):
        for sets in (ZSTD, BLOSC, BITSHUFFLE, BITSHUFFLE_ZSTD, MIXED):
            self.child(PLUGINS, "write", sets)
            for s, got in zip(sets, self.child(PLUGINS, "read", sets)):
                used = [f for f in got["filters"] if f[0] == s["id"]]
                self.assertEqual(len(used), 1)
                if s["id"] == 32015:
                    self.assertEqual(used[0][2], s["opts"])

    def test_blosc_parameters(self):
        sets = [setting(32001, [0, 0, 0, 0, 5, 2, 5])]
        self.child(PLUGINS, "write", sets)
        got = self.child(PLUGINS, "read", sets)[0]["filters"][0]
        self.assertEqual(got[2], [2, 2, 2, 8192, 5, 2, 5])

    @unittest.skipUnless(importlib.util.find_spec("hdf5plugin"), "no python3-hdf5plugin")
    def test_hdf5plugin_writes_and_reads_with_ours(self):
        # Debian's brings no plugins of its own: it knows the parameters, HDF5 finds ours.
        code = """if True:
            import sys
            import h5py, numpy as np, hdf5plugin as p
            a = np.random.default_rng(1).poisson(50, (4, 64, 64)).astype("<i2")
            settings = [p.Blosc(cname=c, clevel=3, shuffle=s) for c in ("lz4", "zlib", "zstd")
                        for s in (p.Blosc.NOSHUFFLE, p.Blosc.SHUFFLE, p.Blosc.BITSHUFFLE)]
            settings += [p.Bitshuffle(), p.Bitshuffle(nelems=64, lz4=False), p.Zstd(), p.Zstd(clevel=9)]
            with h5py.File(sys.argv[1], "w") as f:
                for k, how in enumerate(settings):
                    f.create_dataset(str(k), data=a, chunks=(1, 64, 64), **how)
            with h5py.File(sys.argv[1]) as f:
                for k, how in enumerate(settings):
                    assert np.array_equal(f[str(k)][:], a), dict(how)
            loaded = open("/proc/self/maps").read()
            assert all("libh5z%s.so" % n in loaded for n in ("blosc", "bitshuffle", "zstd")), loaded
        """
        p = self.run_with(PLUGINS, [sys.executable, "-c", code, self.file])
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_optional_incompressible(self):
        # A chunk of 7 int16 grows, so it is stored as it is.
        sets = [setting(i, o, "'<i2'", (1, 7), (1, 7), True)
                for i, o in ((32015, [3]), (32001, [0, 0, 0, 0, 5, 1, 5]))]
        self.child(PLUGINS, "write", sets)
        for got in self.child(PLUGINS, "read", sets):
            self.assertEqual(got["mask"], 1)

    @unittest.skipUnless(glob.glob(DEBIAN + "/libH5Zblosc.so"), "no hdf5-filter-plugin-blosc-serial")
    def test_debian_blosc(self):
        theirs = os.path.join(self.folder.name, "b.h5")
        self.child(PLUGINS, "write", BLOSC)
        self.child(DEBIAN, "write", BLOSC, theirs)
        ours_by_them = self.child(DEBIAN, "read", BLOSC)
        theirs_by_us = self.child(PLUGINS, "read", BLOSC, theirs)
        # The same library writes both: the same parameters and the same bytes.
        for s, a, b in zip(BLOSC, ours_by_them, theirs_by_us):
            self.assertEqual(a["filters"], b["filters"], s)
            self.assertEqual(a["mask"], b["mask"], s)
            self.assertEqual(a["chunk"], b["chunk"], s)

    @unittest.skipUnless(glob.glob(DEBIAN + "/libh5bshuf.so"), "no bitshuffle package")
    def test_debian_bitshuffle(self):
        theirs = os.path.join(self.folder.name, "b.h5")
        # Debian's build has no zstd; of items that are no multiple of 8 it keeps the rest, as we do.
        self.child(PLUGINS, "write", BITSHUFFLE)
        self.child(DEBIAN, "write", BITSHUFFLE, theirs)
        ours_by_them = self.child(DEBIAN, "read", BITSHUFFLE)
        theirs_by_us = self.child(PLUGINS, "read", BITSHUFFLE, theirs)
        for s, a, b in zip(BITSHUFFLE, ours_by_them, theirs_by_us):
            self.assertEqual(a["filters"][0][2][2:], b["filters"][0][2][2:], s)  # but the version
            self.assertEqual((a["mask"], a["chunk"]), (b["mask"], b["chunk"]), s)

    def test_h5repack_and_h5dump(self):
        plain, packed = self.file, os.path.join(self.folder.name, "p.h5")
        sets = [setting(None, [])]
        self.child(PLUGINS, "write", sets)
        for ud in ("UD=32015,0,1,3", "UD=32001,0,7,0,0,0,0,5,1,5", "UD=32008,0,2,0,2"):
            p = self.run_with(PLUGINS, ["h5repack", "-f", ud, plain, packed])
            self.assertEqual((p.returncode, p.stderr), (0, ""), p.stderr)
            p = self.run_with(PLUGINS, ["h5dump", "-p", "-d", "/0", packed])
            self.assertEqual((p.returncode, p.stderr), (0, ""), p.stderr)
            self.assertIn("FILTER_ID " + ud[3:8], p.stdout)
            p = self.run_with(PLUGINS, ["h5diff", plain, packed])
            self.assertEqual((p.returncode, p.stdout + p.stderr), (0, ""))
            os.unlink(packed)

    def test_errors_are_told(self):
        sets = [setting(32015, [3], "'<i2'")]
        self.child(PLUGINS, "write", sets)
        raw = bytes.fromhex(self.child(PLUGINS, "read", sets)[0]["chunk"])
        with open(self.file, "rb") as f:
            data = bytearray(f.read())
        at = data.find(raw)
        data[at + len(raw) // 2] ^= 4
        with open(self.file, "wb") as f:
            f.write(data)
        p = self.run_with(PLUGINS, ["h5dump", "-d", "/0", self.file])
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("emdtools filter zstd: ", p.stderr)
        # On the error stack as well.
        p = self.run_with(PLUGINS, ["h5dump", "--enable-error-stack", "-d", "/0", self.file])
        self.assertRegex(p.stderr, r"(?s)#0\d+: zstd line 0 in decode\(\): zstd: \d+ bytes")


if __name__ == "__main__":
    unittest.main(verbosity=2)
