# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdrepack: codecs, layouts, sources of other programs, budgets, names, exit codes, JSON, provenance, dry runs, --check."""

import ctypes
import glob
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

BIN = os.environ["EMDTOOLS_BIN"]
EMDREPACK = os.path.join(BIN, "emdrepack")
EMDSIM = os.path.join(BIN, "emdsim")
os.environ["HDF5_PLUGIN_PATH"] = os.environ["EMDTOOLS_PLUGINS"]


def emdrepack(*args, code=0, **options):
    run = subprocess.run([EMDREPACK, *map(str, args)], capture_output=True, text=True, check=False,
                         **options)
    if run.returncode != code:
        raise AssertionError(f"emdrepack {args}: exit {run.returncode}: {run.stderr}")
    return run


def movie(name, *options, size=64, frames=12):
    if not os.path.exists(name):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        subprocess.run([EMDSIM, "-q", "--size", str(size), "--frames", str(frames), *options, name],
                       check=True)
    return name


def stack(file):
    (group,) = file["Data/Image"].values()
    return group["Data"]


def pixels(name):
    with h5py.File(name, "r") as f:
        return stack(f)[:]


def digest(name):
    with open(name, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


class Codecs(unittest.TestCase):
    def test_every_codec_gives_the_same_pixels(self):
        source = movie("codecs.emd")
        expected = pixels(source)
        for codec in ("auto", "blosc", "blosc:5", "zstd", "zstd:-3", "gzip", "gzip:9", "bitshuffle",
                      "edc", "edc:1", "edc:3", "none"):
            with self.subTest(codec=codec):
                emdrepack("-q", "-f", "-c", codec, source, "packed.emd")
                np.testing.assert_array_equal(pixels("packed.emd"), expected)
                with h5py.File("packed.emd", "r") as f:
                    self.assertEqual(stack(f).chunks, (64, 64, 1))

    def test_filters_are_those_asked_for(self):
        source = movie("codecs.emd")
        ids = {"auto": [32001, 3], "blosc": [32001, 3], "zstd": [2, 32015], "gzip": [2, 1],
               "bitshuffle": [32008, 3], "edc": [33200], "none": []}
        for codec, expected in ids.items():
            emdrepack("-q", "-f", "-c", codec, source, "packed.emd")
            with h5py.File("packed.emd", "r") as f:
                plist = stack(f).id.get_create_plist()
                found = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
            self.assertEqual(found, expected, codec)

    def test_compressed_input_is_transcoded_both_ways(self):
        source = movie("codecs.emd")
        emdrepack("-q", "-f", "-c", "zstd", source, "first.emd")
        emdrepack("-q", "-f", "-c", "gzip", "first.emd", "second.emd")
        emdrepack("-q", "-f", "-c", "none", "second.emd", "third.emd")
        np.testing.assert_array_equal(pixels("third.emd"), pixels(source))
        run = emdrepack("-v", "-f", "-c", "gzip", "second.emd", "fourth.emd")
        self.assertIn("stored as wanted already", run.stderr)
        np.testing.assert_array_equal(pixels("fourth.emd"), pixels(source))

    def test_bad_codecs_are_usage_errors(self):
        for codec in ("lzma", "gzip:0", "gzip:x", "auto:3", "zstd:99", "", "none:1"):
            emdrepack("-c", codec, "a", "b", code=2)

    def test_types(self):
        for dtype in ("i16", "u16", "i32", "u8", "f32"):
            source = movie(f"type_{dtype}.emd", "--dtype", dtype, frames=3)
            for codec in ("auto", "gzip", "zstd", "edc"):
                emdrepack("-q", "-f", "-c", codec, source, "packed.emd")
                np.testing.assert_array_equal(pixels("packed.emd"), pixels(source))


class Layouts(unittest.TestCase):
    def test_layouts_become_frames(self):
        expected = pixels(movie("layout_frame.emd", size=300, frames=40))
        emdrepack("-q", "-f", "-c", "gzip", "--no-provenance", "layout_frame.emd", "frame.emd")
        with h5py.File("frame.emd", "r") as f:
            frames = [stack(f).id.read_direct_chunk((0, 0, i))[1] for i in range(40)]
        for layout in ("contiguous", "tile", "rows"):
            source = movie(f"layout_{layout}.emd", "--layout", layout, size=300, frames=40)
            for memory in ("1G", "12M", "6M"):
                with self.subTest(layout=layout, memory=memory):
                    emdrepack("-q", "-f", "-c", "gzip", "-m", memory, source, "packed.emd")
                    np.testing.assert_array_equal(pixels("packed.emd"), expected)
                    with h5py.File("packed.emd", "r") as f:
                        self.assertEqual(stack(f).chunks, (300, 300, 1))
                        for i, frame in enumerate(frames):
                            self.assertEqual(stack(f).id.read_direct_chunk((0, 0, i))[1], frame)

    def test_plan_is_said(self):
        source = movie("layout_contiguous.emd", "--layout", "contiguous", size=300, frames=40)
        run = emdrepack("-n", "-v", "-m", "1G", source, "nothing.emd")
        self.assertIn("gather: 1 block", run.stderr)
        run = emdrepack("-n", "-v", "-m", "6M", source, "nothing.emd")
        self.assertIn("strips", run.stderr)
        self.assertFalse(os.path.exists("nothing.emd"))

    def test_too_small_a_budget_says_what_works(self):
        source = movie("layout_contiguous.emd", "--layout", "contiguous", size=300, frames=40)
        run = emdrepack("-q", "-m", "64K", source, "nothing.emd", code=1)
        least = int(run.stderr.split("at least ")[1].split(" MiB")[0])
        self.assertFalse(os.path.exists("nothing.emd"))
        self.assertEqual(glob.glob("nothing.emd.*"), [])
        emdrepack("-q", "-f", "-m", f"{least}M", source, "something.emd")

    def test_chunk_shape_can_be_chosen(self):
        source = movie("codecs.emd")
        for shape in ((64, 64, 4), (16, 64, 12), (20, 30, 5)):
            emdrepack("-q", "-f", "--chunk", ",".join(map(str, shape)), source, "packed.emd")
            with h5py.File("packed.emd", "r") as f:
                self.assertEqual(stack(f).chunks, shape)
            np.testing.assert_array_equal(pixels("packed.emd"), pixels(source))
            emdrepack("-q", "-f", "-c", "none", "packed.emd", "back.emd")
            np.testing.assert_array_equal(pixels("back.emd"), pixels(source))

    def test_sparse_chunks_stay_unwritten(self):
        with h5py.File("sparse.h5", "w") as f:
            d = f.create_dataset("d", (100, 100, 8), "i2", chunks=(50, 100, 2), fillvalue=7)
            d[:50, :, 2:4] = np.arange(100 * 50 * 2).reshape(50, 100, 2)
        emdrepack("-q", "-f", "sparse.h5", "packed.h5")
        emdrepack("-q", "-f", "--chunk", "100,100,1", "sparse.h5", "frames.h5")
        for name, chunks in (("packed.h5", 1), ("frames.h5", 2)):
            with h5py.File(name, "r") as f, h5py.File("sparse.h5", "r") as g:
                self.assertEqual(f["d"].id.get_num_chunks(), chunks)
                np.testing.assert_array_equal(f["d"][:], g["d"][:])


class OtherPrograms(unittest.TestCase):
    """What instruments do not write."""

    def same(self, source):
        for codec in ("auto", "gzip", "none"):
            emdrepack("-q", "-f", "--verify", "file", "-c", codec, source, "packed.h5")
            emdrepack("-q", "--check", "packed.h5")
            with h5py.File(source, "r") as a, h5py.File("packed.h5", "r") as b:
                for name in a:
                    np.testing.assert_array_equal(a[name][:], b[name][:], (source, codec, name))
        emdrepack("-q", "--check", source)

    def test_edge_chunks_without_filters(self):
        with open("/proc/self/maps") as maps:
            path = next(line.split()[-1] for line in maps if "/libhdf5" in line and "_hl" not in line)
        set_options = ctypes.CDLL(path).H5Pset_chunk_opts
        set_options.argtypes = [ctypes.c_int64, ctypes.c_uint]
        data = np.random.default_rng(1).integers(0, 9, (300, 150)).astype("<u2")
        with h5py.File("edges.h5", "w", libver="latest") as f:
            for name, add in (("shuffle", lambda p: p.set_shuffle()),
                              ("gzip", lambda p: p.set_deflate(4)),
                              ("same as wanted", lambda p: (p.set_shuffle(), p.set_deflate(4))),
                              ("foreign", lambda p: p.set_scaleoffset(h5py.h5z.SO_INT, 0)),
                              ("many", lambda p: p.set_shuffle())):
                plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                plist.set_chunk((2, 4) if name == "many" else (64, 64))
                add(plist)
                dont_filter_partial_chunks = 2
                self.assertGreaterEqual(set_options(plist.id, dont_filter_partial_chunks), 0)
                made = h5py.h5d.create(f.id, name.encode(), h5py.h5t.STD_U16LE,
                                       h5py.h5s.create_simple(data.shape), plist)
                h5py.Dataset(made)[:] = data
        self.same("edges.h5")

    def test_never_written_behind_a_user_block(self):
        for size in 512, 1024:
            with h5py.File("block.h5", "w", userblock_size=size) as f:
                for width in 1, 4000:
                    h5py.h5d.create(f.id, b"never %d" % width, h5py.h5t.STD_U8LE,
                                    h5py.h5s.create_simple((400000 // width, width)))
                f["written"] = np.random.default_rng(2).integers(0, 99, (1000, 1000), "u1")
            self.same("block.h5")

    def test_growing_axis_behind_others(self):
        def corner(shape, chunk):
            return (slice(shape[0] - chunk[0], shape[0]), *map(slice, chunk[1:]))
        for number, (shape, chunk, most) in enumerate((
                ((64, 48), (16, 16), (64, None)), ((48, 64), (16, 16), (48, None)),
                ((32, 32, 5), (16, 16, 1), (32, 32, None)), ((8, 24, 8), (4, 8, 4), (8, None, 8)),
                ((64, 48), (16, 16), (None, 48)), ((16, 96), (16, 16), (16, None)))):
            with h5py.File(f"growing{number}.h5", "w", libver="latest") as f:
                for name, filters in (("plain", {}), ("gzip", {"compression": "gzip"})):
                    full = f.create_dataset(name, shape, "<u2", maxshape=most, chunks=chunk, **filters)
                    full[:] = np.random.default_rng(number).integers(0, 999, shape)
                    part = f.create_dataset(name + " part", shape, "<u2", maxshape=most, chunks=chunk,
                                            **filters)
                    part[corner(shape, chunk)] = 7
                texts = f.create_dataset("texts", shape, h5py.string_dtype(), maxshape=most,
                                         chunks=chunk)
                texts[corner(shape, chunk)] = "here"
            self.same(f"growing{number}.h5")

    def test_many_chunks_of_noise_stay_plain(self):
        noise = np.random.default_rng(3).integers(0, 256, (70 * 32, 70 * 32)).astype("u1")
        noise[:500] = 3
        with h5py.File("noise.h5", "w") as f:
            f.create_dataset("noise", data=noise, chunks=(32, 32))
        emdrepack("-q", "-f", "-c", "zstd", "noise.h5", "noise_zstd.h5")
        self.same("noise_zstd.h5")
        emdrepack("-q", "-f", "--chunk", "64,64", "noise_zstd.h5", "packed.h5")
        with h5py.File("packed.h5", "r") as f:
            np.testing.assert_array_equal(f["noise"][:], noise)

    def test_no_frames(self):
        with h5py.File("none.h5", "w") as f:
            f.create_dataset("none", (16, 16, 0), "<i2", chunks=(16, 16, 1), maxshape=(16, 16, None))
        self.same("none.h5")

    def test_huge_and_nearly_empty(self):
        text = h5py.string_dtype()
        with h5py.File("sparse.h5", "w") as f:
            f.create_dataset("texts", (1, 2 ** 60, 2), text, chunks=(1, 64, 2))[0, 0, 0] = "x"
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((1, 64))
            plist.set_scaleoffset(h5py.h5z.SO_INT, 0)
            made = h5py.h5d.create(f.id, b"foreign", h5py.h5t.STD_U16LE,
                                   h5py.h5s.create_simple((2 ** 50, 64)), plist)
            h5py.Dataset(made)[5] = 7
        emdrepack("-q", "--check", "sparse.h5", timeout=60)
        emdrepack("-q", "-f", "--verify", "file", "sparse.h5", "packed.h5", timeout=60)
        with h5py.File("packed.h5", "r") as f:
            self.assertEqual((f["texts"][0, 0, 0], f["foreign"][5, 0]), (b"x", 7))


class Determinism(unittest.TestCase):
    def test_same_bytes_whatever_the_threads(self):
        for layout in ("frame", "contiguous", "tile"):
            source = movie(f"same_{layout}.emd", "--layout", layout, size=256, frames=20)
            for codec in ("auto", "gzip", "zstd", "blosc", "edc"):
                sums = set()
                for threads in (1, 2, 5):
                    emdrepack("-q", "-f", "-j", threads, "-c", codec, source, "packed.emd")
                    sums.add(digest("packed.emd"))
                self.assertEqual(len(sums), 1, (layout, codec))


class ManyThreads(unittest.TestCase):
    def test_stacks_of_many_threads_are_no_damage(self):
        emdrepack("-q", "-f", "-j", 300, movie("codecs.emd"), "packed.emd")


class Names(unittest.TestCase):
    def test_folder_mode(self):
        source = movie("names/Camera Ceta 20230611 2324 670 mm.emd")
        out = fresh("names_out")
        emdrepack("-q", "-d", out, source)
        self.assertEqual(os.listdir(out), ["Camera_Ceta_20230611_2324_670_mm.emd"])
        run = emdrepack("-d", out, source)
        self.assertIn("skipped", run.stderr)
        os.utime(source)
        run = emdrepack("-d", out, source, code=1)
        self.assertIn("exists already", run.stderr)
        emdrepack("-q", "-f", "-d", out, source)
        out = fresh("names_out")
        emdrepack("-q", "--keep-names", source, out)  # an OUTPUT that is a folder means -d
        self.assertEqual(os.listdir(out), ["Camera Ceta 20230611 2324 670 mm.emd"])

    def test_colliding_names_are_refused(self):
        a, b = movie("names/a b.emd"), movie("names/a_b.emd")
        out = fresh("names_out")
        run = emdrepack("-d", out, a, b, code=1)
        self.assertIn(a, run.stderr)
        self.assertIn(b, run.stderr)
        self.assertEqual(os.listdir(out), [])

    def test_recursive_mirrors_folders(self):
        fresh("tree")
        for name in ("tree/one movie.emd", "tree/day 1/two.emd", "tree/.hidden/three.emd",
                     "tree/.four.emd"):
            movie(name)
        with open("tree/notes.txt", "w", encoding="ascii") as f:
            f.write("not a movie")
        out = fresh("tree_out")
        emdrepack("-q", "-r", "-d", out, "tree")
        found = sorted(os.path.relpath(os.path.join(d, n), out)
                       for d, _, names in os.walk(out) for n in names)
        self.assertEqual(found, ["day_1/two.emd", "one_movie.emd"])

    def test_outputs_inside_the_input_are_no_inputs(self):
        fresh("around")
        shutil.copy(movie("codecs.emd"), "around/a.emd")
        for _ in range(2):
            emdrepack("-q", "-r", "-d", "around/out", "around")
            self.assertEqual(os.listdir("around/out"), ["a.emd"])

    def test_one_failure_does_not_stop_the_others(self):
        good = movie("names/good.emd")
        with open("names/bad.emd", "wb") as f:
            f.write(b"no HDF5 in here" * 100)
        out = fresh("names_out")
        run = emdrepack("-d", out, "names/bad.emd", good, code=1)
        self.assertEqual(os.listdir(out), ["good.emd"])
        self.assertIn("bad.emd", run.stderr)


CASES = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "cases", "hdf5")


def case(name):
    path = os.path.join(CASES, name)
    if not os.path.exists(path):
        raise unittest.SkipTest(f"no {name} among the test data")
    return path


def filters(name):
    """Filter numbers by dataset."""
    found = {}

    def look(path, item):
        if isinstance(item, h5py.Dataset):
            plist = item.id.get_create_plist()
            found[path] = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]

    with h5py.File(name, "r") as f:
        f.visititems(look)
    return found


class WithoutPlugins(unittest.TestCase):
    """-c gzip and -c none: whatever it is, no plugin is needed afterwards."""

    def sources(self):
        blosc = {"compression": 32001, "compression_opts": (0, 0, 0, 0, 5, 1, 5)}
        zstd = {"compression": 32015}
        data = np.arange(40000) % 1000
        with h5py.File("plugins.h5", "w") as f:
            f.create_dataset("image", data=data.reshape(10, 40, 100), chunks=(1, 40, 100), **zstd)
            f.create_dataset("row", data=data, chunks=(4000,), **blosc)
            f.create_dataset("short_row", data=data[:300], chunks=(100,), **blosc)
            f.create_dataset("tiny", data=data[:8].astype("u1"), chunks=(4,), **zstd)
            f.create_dataset("text", data=data[:500].astype("S7"), chunks=(100,), **blosc)
            f.create_dataset("words", data=[f"word {i}" for i in range(300)], chunks=(100,), **zstd)
            f.create_dataset("unwritten", shape=(1000,), dtype="i4", chunks=(100,), **zstd)
            f.create_dataset("pairs", data=np.zeros(1000, [("a", "i4"), ("b", "S3")]), chunks=(100,),
                             **blosc)
            refs = f.create_dataset("refs", (50,), h5py.ref_dtype, chunks=(10,), **zstd)
            refs[...] = [f["image"].ref] * 50
            several = f.create_dataset("several", (60,), h5py.vlen_dtype("i2"), chunks=(20,), **blosc)
            for i in range(60):
                several[i] = np.arange(i)
            f["sub/again"] = f["row"]
        return "plugins.h5"

    def test_every_dataset_is_encoded_anew(self):
        source = self.sources()
        for codec in ("gzip", "gzip:9", "none"):
            with self.subTest(codec=codec):
                line = emdrepack("--json", "-f", "-c", codec, "--verify=file", source,
                                 "plain.h5").stdout
                self.assertEqual(json.loads(line)["need_plugin"], 0)
                for path, found in filters("plain.h5").items():
                    self.assertLess(max(found, default=0), 256, path)
                    if codec == "none":
                        self.assertEqual(found, [], path)
                with h5py.File(source, "r") as f, h5py.File("plain.h5", "r") as g:
                    for path in filters(source):
                        if path != "refs":
                            a, b = f[path][...], g[path][...]
                            self.assertTrue(all(map(np.array_equal, a, b)), path)
                    self.assertEqual(g[g["refs"][7]].name, "/image")

    def test_case(self):
        emdrepack("-q", "-f", "-c", "gzip", case("gzip_not_portable__n01_1d_blosc.h5"), "plain.h5")
        for path, found in filters("plain.h5").items():
            self.assertLess(max(found, default=0), 256, path)

    def test_rows_of_numbers_are_compressed(self):
        with h5py.File("rows.h5", "w") as f:
            f.create_dataset("row", data=np.arange(100000) % 1000, chunks=(10000,))
            f.create_dataset("few", data=np.arange(1000) % 10, chunks=(100,))
        for codec, number in (("auto", 32001), ("gzip", 1), ("edc", 33200), ("zstd", 32015)):
            emdrepack("-q", "-f", "-c", codec, "--verify=file", "rows.h5", "packed.h5")
            found = filters("packed.h5")
            self.assertIn(number, found["row"], codec)
            self.assertEqual(found["few"], [], codec)


class Larger(unittest.TestCase):
    """What is smaller as it is stays so, unless that is asked for."""

    def test_smaller_ones_are_kept(self):
        source = movie("larger.emd", size=256, frames=6)
        emdrepack("-q", "-f", "-c", "edc", source, "edc.emd")
        for codec in ("auto", "blosc", "zstd", "bitshuffle"):
            with self.subTest(codec=codec):
                run = emdrepack("--json", "-f", "-c", codec, "edc.emd", "again.emd")
                self.assertIn("/Data: kept as stored (edc)", run.stderr)
                self.assertIn("--recompress", run.stderr)
                self.assertGreater(json.loads(run.stdout)["kept"], 0)
                with h5py.File("again.emd", "r") as f:
                    self.assertEqual(stack(f).id.get_create_plist().get_filter(0)[0], 33200)
                np.testing.assert_array_equal(pixels("again.emd"), pixels(source))
        run = emdrepack("-f", "-c", "zstd", "--recompress", "edc.emd", "again.emd")
        self.assertIn("larger than the input", run.stderr)
        with h5py.File("again.emd", "r") as f:
            self.assertEqual(stack(f).id.get_create_plist().get_filter(1)[0], 32015)

    def test_no_plugin_weighs_more(self):
        emdrepack("-q", "-f", "-c", "edc", movie("larger.emd", size=256, frames=6), "edc.emd")
        run = emdrepack("-f", "-c", "gzip", "edc.emd", "again.emd")
        self.assertNotIn("kept as stored", run.stderr)
        with h5py.File("again.emd", "r") as f:
            self.assertEqual(stack(f).id.get_create_plist().get_filter(1)[0], 1)


class ChunkShapes(unittest.TestCase):
    def test_a_shape_that_does_not_fit_is_refused(self):
        source = movie("shapes.emd")
        for shape in ("32,32", "32,32,1,1", "32"):
            run = emdrepack("-f", "--chunk", shape, source, "never.emd", code=1)
            self.assertIn("do not fit its 3 (--chunk)", run.stderr)
            self.assertFalse(os.path.exists("never.emd"))
        emdrepack("-q", "-f", "--chunk", "32,64,1", source, "packed.emd")
        with h5py.File(source, "r") as f, h5py.File("packed.emd", "r") as g:
            self.assertEqual(stack(g).chunks, (32, 64, 1))
            (a,), (b,) = f["Data/Image"].values(), g["Data/Image"].values()
            self.assertEqual(a["Metadata"].chunks, b["Metadata"].chunks)
        run = emdrepack("-f", "--chunk", "32,640,1", source, "packed.emd")
        self.assertIn("dimension 2 has only 64 elements", run.stderr)

    def test_pictures(self):
        with h5py.File("pictures.h5", "w") as f:
            f["picture"] = np.arange(160000, dtype="i4").reshape(400, 400)
        emdrepack("-q", "-f", "--chunk", "100,100", "pictures.h5", "packed.h5")
        with h5py.File("packed.h5", "r") as g:
            self.assertEqual(g["picture"].chunks, (100, 100))


class Links(unittest.TestCase):
    """External links between files that -d gives other names."""

    def pair(self, folder, data="my run_data 1.h5", link=None):
        os.makedirs(os.path.dirname(os.path.join(folder, data)), exist_ok=True)
        master = os.path.join(folder, "my run_master.h5")
        with h5py.File(os.path.join(folder, data), "w") as f:
            f["data"] = np.arange(1000)
        with h5py.File(master, "w") as f:
            f["entry/first"] = h5py.ExternalLink(link or data, "/data")
            f["entry/gone"] = h5py.ExternalLink("no such file.h5", "/data")
        return master, os.path.join(folder, data)

    def reads(self, name):
        with h5py.File(name, "r") as f:
            np.testing.assert_array_equal(f["entry/first"][...], np.arange(1000))
            self.assertEqual(f["entry"].get("gone", getlink=True).filename, "no such file.h5")

    def test_links_follow_their_files(self):
        for verify in ("chunk", "file"):
            for jobs in (1, 2):
                master, data = self.pair(fresh("links"))
                out = fresh("links_out")
                run = emdrepack("--jobs", jobs, "--verify", verify, "-d", out, master, data)
                self.assertNotIn("warning", run.stderr)
                shutil.rmtree("links")
                self.reads("links_out/my_run_master.h5")

    def test_folders(self):
        self.pair(fresh("links"), "sub dir/data 1.h5")
        fresh("links_out")
        emdrepack("-q", "-r", "--pattern", "*.h5", "-d", "links_out", "links")
        os.rename("links", "links_away")
        self.reads("links_out/my_run_master.h5")
        os.rename("links_away", "links")
        emdrepack("-q", "-d", fresh("links_out"), "links/my run_master.h5",
                  "links/sub dir/data 1.h5")  # flattened
        shutil.rmtree("links")
        self.reads("links_out/my_run_master.h5")

    def test_an_earlier_run(self):
        master, data = self.pair(fresh("links"))
        out = fresh("links_out")
        run = emdrepack("-d", out, master)
        self.assertIn("/entry/first: leads to my run_data 1.h5", run.stderr)
        self.assertNotIn("no such file", run.stderr)
        emdrepack("-q", "-d", out, data)
        emdrepack("-q", "-f", "-d", out, master)
        shutil.rmtree("links")
        self.reads("links_out/my_run_master.h5")

    def test_kept_names_and_the_same_folder(self):
        master, data = self.pair(fresh("links"))
        emdrepack("-q", "--keep-names", "-d", fresh("links_out"), master, data)
        self.assertNotIn("warning", emdrepack(master, "links/copy.h5").stderr)
        self.reads("links/copy.h5")
        shutil.rmtree("links")
        self.reads("links_out/my run_master.h5")

    def test_case(self):
        names = [case(f"my run 7_{part}.h5") for part in ("master", "data_000001")]
        emdrepack("-q", "-d", fresh("links_out"), *names)
        with h5py.File("links_out/my_run_7_master.h5", "r") as f:
            self.assertEqual(f["entry/data/data_000001"].shape[0] > 0, True)


class UserAttributes(unittest.TestCase):
    def test_a_users_own_stays(self):
        values = ["a note", np.bytes_('{"codec": "mine"}'), 5, np.arange(3), '["version", "codec"]']
        with h5py.File("mine.h5", "w") as f:
            f["data"] = np.arange(100)
        for value in values:
            with self.subTest(value=value):
                with h5py.File("mine.h5", "r+") as f:
                    f.attrs["emdrepack"] = value
                source = "mine.h5"
                for target in ("copy.h5", "copy_of_copy.h5"):
                    emdrepack("-q", "-f", "--verify=file", source, target)
                    with h5py.File(target, "r") as f:
                        np.testing.assert_array_equal(f.attrs["emdrepack"], np.asarray(value))
                        record = json.loads(f.attrs["emdrepack.provenance"])
                        self.assertEqual(record["source"], source)
                        self.assertEqual(len(f.attrs), 2)
                    source = target
                emdrepack("-q", "-f", "--no-provenance", source, "bare.h5")
                with h5py.File("bare.h5", "r") as f:
                    self.assertEqual(list(f.attrs), ["emdrepack"])
                out = fresh("attr_out")
                emdrepack("-q", "-d", out, "mine.h5")
                self.assertIn("skipped", emdrepack("-d", out, "mine.h5").stderr)

    def test_case(self):
        name = case("user_attr__n05_user_attr.h5")
        emdrepack("-q", "-f", name, "copy.h5")
        with h5py.File(name, "r") as f, h5py.File("copy.h5", "r") as g:
            self.assertEqual(f.attrs["emdrepack"], g.attrs["emdrepack"])


class Jobs(unittest.TestCase):
    """Files at once: the same outputs and outcomes as one after another."""

    def sources(self):
        fresh("jobs")
        for i in range(6):
            layout = ("frame", "contiguous")[i % 2]
            movie(f"jobs/{i}.emd", "--layout", layout, "--seed", str(i + 1), size=128, frames=10)
        with open("jobs/2.emd", "wb") as f:
            f.write(b"no HDF5 in here" * 100)
        with open("jobs/4.emd", "r+b") as f:
            f.truncate(os.path.getsize("jobs/4.emd") - 1000)
        return "jobs"

    def test_same_as_one_after_another(self):
        source = self.sources()
        sums, reports = [], []
        for jobs, threads in ((1, 2), (2, 2), (4, 3), (8, 1)):
            out = fresh("jobs_out")
            run = emdrepack("--json", "-r", "--jobs", jobs, "-j", threads, "-c", "gzip", "-d", out,
                            source, code=1)
            sums.append({name: digest(os.path.join(out, name)) for name in os.listdir(out)})
            lines = [json.loads(line) for line in run.stdout.splitlines()]
            reports.append(sorted((r["file"], r["status"], r["frames"], r["stored_bytes"])
                                  for r in lines))
            self.assertIn("4 files done, 0 skipped, 2 failed", run.stderr)
            self.assertIn("emdrepack: failed: jobs/2.emd: not an HDF5 file", run.stderr)
        self.assertEqual(sorted(sums[0]), ["0.emd", "1.emd", "3.emd", "5.emd"])
        for other in sums[1:]:
            self.assertEqual(other, sums[0])
        for other in reports[1:]:
            self.assertEqual(other, reports[0])
        run = emdrepack("-r", "--jobs", "3", "-d", "jobs_out", source, code=1)
        self.assertIn("0 files done, 4 skipped, 2 failed", run.stderr)
        os.unlink("jobs/2.emd")
        emdrepack("-q", "-r", "--jobs", "3", "-d", "jobs_out", source, code=3)
        run = emdrepack("--check", "--jobs", "3", *(f"jobs_out/{name}" for name in sums[0]))
        self.assertIn("4 files sound, 0 not", run.stderr)

    def test_they_run_at_once_and_share_the_memory(self):
        """Each of two gets half of the threads and of the budget; the plan says so."""
        fresh("jobs_out")
        for i in range(2):
            movie(f"share/{i}.emd", "--layout", "contiguous", size=256, frames=40)
        run = emdrepack("-n", "-v", "-r", "--jobs", "2", "-j", "4", "-m", "16M", "-d", "jobs_out",
                        "share")
        self.assertEqual(run.stderr.count("1 pass, 2 threads, peak"), 4, run.stderr)
        self.assertIn("2 files planned, 0 skipped, 0 failed", run.stderr)
        for line in run.stderr.splitlines():
            if " peak " in line:
                self.assertLessEqual(float(line.split(" peak ")[1].split()[0]), 8)

    def test_a_process_that_dies_is_one_failure(self):
        fresh("jobs_out")
        for i in range(3):
            movie(f"dies/{i}.emd", size=512, frames=6)
        process = subprocess.Popen([EMDREPACK, "-r", "--jobs", "3", "-j", "3", "-c", "zstd:19", "-d",
                                    "jobs_out", "dies"], stderr=subprocess.PIPE, text=True)
        while not glob.glob("jobs_out/*.emd.[0-9a-f]*.tmp"):
            time.sleep(0.01)
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        _, stderr = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1, stderr)
        self.assertIn("its process ended with signal 9", stderr)
        self.assertIn("2 files done, 0 skipped, 1 failed", stderr)

    def test_interrupt_ends_all(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            out = fresh("jobs_out")
            for i in range(4):
                movie(f"stops/{i}.emd", size=512, frames=6)
            process = subprocess.Popen([EMDREPACK, "-q", "-r", "--jobs", "2", "-j", "2", "-c",
                                        "zstd:19", "-d", out, "stops"], stderr=subprocess.DEVNULL)
            while len(glob.glob("jobs_out/*.emd.[0-9a-f]*.tmp")) < 2:
                time.sleep(0.01)
            process.send_signal(number)
            self.assertEqual(process.wait(60), -number)
            self.assertEqual(os.listdir(out), [])


class Outcome(unittest.TestCase):
    def test_json(self):
        source = movie("codecs.emd")
        (line,) = emdrepack("--json", "-f", source, "packed.emd").stdout.splitlines()
        report = json.loads(line)
        self.assertEqual(report["status"], "done")
        self.assertEqual(report["frames"], 12)
        self.assertEqual(report["raw_bytes"], os.path.getsize(source))
        self.assertEqual(report["stored_bytes"], os.path.getsize("packed.emd"))
        self.assertAlmostEqual(report["ratio"], report["raw_bytes"] / report["stored_bytes"], 3)
        self.assertTrue(report["verified"])
        (line,) = emdrepack("--json", "-q", "absent.emd", "x.emd", code=1).stdout.splitlines()
        report = json.loads(line)
        self.assertEqual((report["status"], report["file"]), ("failed", "absent.emd"))
        self.assertIn("No such file", report["error"])

    def test_names_that_are_no_text(self):
        source = os.fsdecode(b"bad\x1b[m \xc2\x9b31m \xff.emd")
        shutil.copy(movie("codecs.emd"), source)
        run = subprocess.run([EMDREPACK, "-f", "--json", source, "packed.emd"], capture_output=True,
                             check=True)
        self.assertEqual(json.loads(run.stdout)["file"], "bad\x1b[m \x9b31m \\xff.emd")
        run = subprocess.run([EMDREPACK, "-f", source, "packed.emd"], capture_output=True, check=True)
        self.assertIn(rb"bad\x1b[m \xc2\x9b31m \xff.emd: ", run.stderr)

    def test_checksums(self):
        source = movie("codecs.emd")
        own = {"auto": False, "blosc": False, "bitshuffle": False, "zstd": True, "gzip": True,
               "edc": True, "none": True}
        for codec, has_own in own.items():
            for when, expected in (("", not has_own), ("=auto", not has_own), ("=always", True),
                                   ("=never", False), (None, not has_own)):
                options = () if when is None else ("--checksum" + when,)
                emdrepack("-q", "-f", "-c", codec, *options, source, "packed.emd")
                with h5py.File("packed.emd", "r") as f:
                    self.assertEqual(stack(f).fletcher32, expected, (codec, when))
                    if expected:
                        dcpl = stack(f).id.get_create_plist()
                        self.assertEqual(dcpl.get_filter(dcpl.get_nfilters() - 1)[0],
                                         h5py.h5z.FILTER_FLETCHER32)
                    np.testing.assert_array_equal(stack(f)[:], pixels(source), (codec, when))
                emdrepack("-q", "--check", "packed.emd")
        self.assertIn("+fletcher32", emdrepack("-n", source, "packed2.emd").stderr)
        emdrepack("--checksum=sometimes", source, "x.emd", code=2)

    def test_no_damage_passes_a_checksum(self):
        source = movie("codecs.emd")
        want = pixels(source)[:, :, 0]
        rng = np.random.default_rng(5)
        for codec in "auto", "bitshuffle":
            emdrepack("-q", "-f", "-c", codec, source, "packed.emd")
            with h5py.File("packed.emd", "r") as f, \
                    h5py.File("damaged.h5", "w", driver="core", backing_store=False) as g:
                _, chunk = stack(f).id.read_direct_chunk((0, 0, 0))
                data = h5py.h5d.create(g.id, b"x", stack(f).id.get_type(), stack(f).id.get_space(),
                                       stack(f).id.get_create_plist())
                refused = 0
                for round_ in range(300):
                    bad = bytearray(chunk)
                    at = int(rng.integers(len(bad)))
                    kind = round_ % 4
                    if kind == 0:
                        bad[at] ^= 1 << int(rng.integers(8))
                    elif kind == 1:
                        bad[at:at + 8] = rng.bytes(len(bad[at:at + 8]))
                    elif kind == 2:
                        bad = bad[:at + 1]
                    else:
                        bad[at:at + 512] = bytes(len(bad[at:at + 512]))
                    data.write_direct_chunk((0, 0, 0), bytes(bad))
                    try:
                        got = h5py.Dataset(data)[:, :, 0]
                    except OSError:
                        refused += 1
                    else:
                        np.testing.assert_array_equal(got, want, (codec, round_))
                self.assertGreater(refused, 290)
            with open("packed.emd", "rb") as f:
                whole = bytearray(f.read())
            whole[whole.find(chunk) + len(chunk) // 2] ^= 4
            with open("packed.emd", "wb") as f:
                f.write(whole)
            self.assertIn("fletcher32", emdrepack("--check", "packed.emd", code=1).stderr)

    def test_mode_and_time_are_kept(self):
        source = movie("kept.emd")
        os.chmod(source, 0o640)
        os.utime(source, ns=(10**18, 1234567890123456789))
        emdrepack("-q", "-f", source, "packed.emd")
        st = os.stat("packed.emd")
        self.assertEqual((st.st_mode & 0o777, st.st_mtime_ns), (0o640, 1234567890123456789))

    def test_provenance(self):
        source = movie("kept.emd")
        emdrepack("-q", "-f", "-c", "zstd:2", source, "packed.emd")
        with h5py.File("packed.emd", "r") as f:
            record = json.loads(f.attrs["emdrepack"])
        st = os.stat(source)
        self.assertEqual(record["codec"], "zstd:2")
        self.assertEqual((record["source"], record["size"]), (source, st.st_size))
        self.assertEqual(record["mtime"],
                         f"{st.st_mtime_ns // 10**9}.{st.st_mtime_ns % 10**9:09d}")
        emdrepack("-q", "-f", "-c", "none", "--no-provenance", "packed.emd", "plain.emd")
        with h5py.File("plain.emd", "r") as f:
            self.assertNotIn("emdrepack", f.attrs)

    def test_existing_output_stays(self):
        source = movie("codecs.emd")
        with open("precious.emd", "wb") as f:
            f.write(b"precious")
        run = emdrepack(source, "precious.emd", code=1)
        self.assertIn("-f replaces it", run.stderr)
        with open("precious.emd", "rb") as f:
            self.assertEqual(f.read(), b"precious")

    def test_output_must_not_be_the_input(self):
        source = movie("self.emd")
        before = digest(source)
        for name, make in (("self.emd", None), ("hard.emd", os.link), ("soft.emd", os.symlink)):
            if make:
                if os.path.lexists(name):
                    os.unlink(name)
                make(source, name)
            emdrepack("-f", source, name, code=1)
            self.assertEqual(digest(source), before)
            self.assertTrue(os.path.exists(name))
        left = "temp.emd.0123456789abcdef.tmp"  # as a dead run of this output leaves it
        shutil.copyfile(source, left)
        emdrepack(left, "temp.emd", code=1)
        self.assertEqual(digest(left), before)

    def test_bad_inputs(self):
        source = movie("codecs.emd")
        with open(source, "rb") as f:
            whole = f.read()
        for name, data, code in (("empty.emd", b"", 3), ("cut.emd", whole[:-1000], 3),
                                 ("text.emd", b"hello " * 200, 1)):
            with open(name, "wb") as f:
                f.write(data)
            run = emdrepack("-q", name, "never.emd", code=code)
            self.assertIn(name, run.stderr)
            self.assertFalse(os.path.exists("never.emd"))
            self.assertEqual(glob.glob("never.emd.*"), [])
        run = emdrepack("-q", "/dev/null", "never.emd", code=1)
        self.assertIn("not a regular file", run.stderr)

    def test_usage(self):
        for args in ((), ("one",), ("a", "b", "c"), ("-j", "0", "a", "b"), ("--jobs", "0", "a", "b"),
                     ("-m", "x", "a", "b"), ("--verify=maybe", "a", "b"), ("--chunk", "1,,2", "a", "b"), ("--nonsense",)):
            emdrepack(*args, code=2)
        self.assertIn("Usage", emdrepack("--help").stdout)
        self.assertIn("emdtools", emdrepack("--version").stdout)

    def test_quiet_in_a_pipe(self):
        source = movie("codecs.emd")
        run = emdrepack("-q", "-f", source, "packed.emd")
        self.assertEqual((run.stdout, run.stderr), ("", ""))
        run = emdrepack("-f", source, "packed.emd")
        self.assertEqual(run.stdout, "")
        self.assertEqual(len(run.stderr.splitlines()), 1)
        self.assertNotIn("\r", run.stderr)

    def test_closed_standard_streams_are_not_the_output(self):
        source = movie("codecs.emd")
        emdrepack("-q", "-f", source, "expected.emd")
        command = f"exec '{EMDREPACK}' -v -f --verify file {source} packed.emd <&- >&- 2>&-"
        subprocess.run(["sh", "-c", command], check=True)
        self.assertEqual(digest("packed.emd"), digest("expected.emd"))
        command = f"exec '{EMDREPACK}' -f --json {source} packed.emd >&-"
        run = subprocess.run(["sh", "-c", command], check=False, stderr=subprocess.PIPE)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"standard output", run.stderr)

    def test_interrupt_leaves_nothing(self):
        source = movie("long.emd", size=512, frames=200)
        before = digest(source)
        for number in (signal.SIGINT, signal.SIGTERM):
            fresh("interrupted")
            process = subprocess.Popen([EMDREPACK, "-q", "-j", "1", "-c", "zstd:19", source,
                                        "interrupted/out.emd"])
            while not glob.glob("interrupted/out.emd.[0-9a-f]*.tmp"):
                time.sleep(0.01)
            time.sleep(0.2)
            process.send_signal(number)
            self.assertEqual(process.wait(60), -number)
            self.assertEqual(os.listdir("interrupted"), [])
        self.assertEqual(digest(source), before)


class Check(unittest.TestCase):
    def test_sound_files(self):
        source = movie("codecs.emd")
        for codec in ("none", "gzip", "zstd", "blosc", "bitshuffle", "edc"):
            emdrepack("-q", "-f", "-c", codec, source, "packed.emd")
            emdrepack("--check", "packed.emd")

    def test_damage_is_found_and_named(self):
        source = movie("codecs.emd")
        for codec in ("gzip", "zstd", "edc"):
            emdrepack("-q", "-f", "-c", codec, source, "damaged.emd")
            with h5py.File("damaged.emd", "r") as f:
                d = stack(f)
                name = d.name
                places = [d.id.get_chunk_info(i) for i in (3, 7)]
            with open("damaged.emd", "r+b") as f:
                for place in places:
                    f.seek(place.byte_offset + place.size // 2)
                    byte = f.read(1)
                    f.seek(-1, os.SEEK_CUR)
                    f.write(bytes([byte[0] ^ 0x55]))
            run = emdrepack("--check", "damaged.emd", code=1)
            for place in places:
                corner = ",".join(map(str, place.chunk_offset))
                self.assertIn(f"{name}: chunk at ({corner})", run.stderr)
            run = emdrepack("-q", "-f", "-c", "blosc", "damaged.emd", "never.emd", code=1)
            self.assertIn("chunk at", run.stderr)
            self.assertEqual(glob.glob("never.emd*"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
