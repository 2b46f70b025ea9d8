# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdrepack --salvage: of a damaged file everything is copied but what is damaged, and that is listed.

For each kind of damage: what the list names reads as the fill value in the output, and everything else
reads as it was before the damage; exit 1; the source is untouched; without --salvage there is no output.
"""

import json
import os
import struct
import subprocess
import sys
import unittest

import h5py
import numpy as np

import faultlib as fl

# HDF5 itself loses some memory wherever it fails to open an object; here it does so in our process.
with open("hdf5.supp", "w", encoding="ascii") as suppressions:
    suppressions.write("leak:libhdf5\n")
os.environ["LSAN_OPTIONS"] = f"suppressions={os.path.abspath('hdf5.supp')}:print_suppressions=0"

FRAMES = 150  # more than one leaf of the old index of chunks
STACK, ROWS, PLAIN, WORDS = "/Data/Image/x/Data", "/rows", "/plain", "/words"
HEADER = {"earliest": b"\x01\x00", "latest": b"OHDR"}


def contents():
    rng = np.random.default_rng(11)
    return {
        STACK: rng.poisson(3, (24, 20, FRAMES)).astype("u2"),
        ROWS: rng.poisson(9, (40, 30, 10)).astype("i4"),
        PLAIN: np.arange(120000, dtype="f8").reshape(100, 1200),
        "/line": np.arange(5000, dtype="i2") * 3,
        "/tiny": np.arange(60, dtype="u1"),
        WORDS: np.array([b"word %d" % i for i in range(400)], dtype=object),
    }


def make(name, libver="earliest", fill=None):
    """A file of all storages; /plain comes last in it, for cutting."""
    data = contents()
    with h5py.File(name, "w", libver=(libver, "latest")) as f:
        f.attrs["kept"] = 7
        f.create_dataset(STACK, data=data[STACK], chunks=(24, 20, 1), compression="gzip",
                         fletcher32=True, fillvalue=fill)
        f[STACK].attrs["unit"] = "counts"
        f[STACK].attrs["long"] = np.array(["a", "bc"], dtype=h5py.string_dtype())
        f.create_dataset(ROWS, data=data[ROWS], chunks=(8, 30, 10), compression="gzip", shuffle=True)
        f.create_dataset("/line", data=data["/line"])
        f.create_dataset("/tiny", data=data["/tiny"], chunks=(20,), compression="gzip")
        f.create_dataset(WORDS, data=data[WORDS], dtype=h5py.string_dtype(), chunks=(100,))
        f.flush()
        f.create_dataset(PLAIN, data=data[PLAIN])
    return data


def chunk(name, path, number):
    with h5py.File(name) as f:
        return f[path].id.get_chunk_info(number)


def patch(name, at, data):
    with open(name, "r+b") as f:
        f.seek(at)
        f.write(data)


def read(name):
    with open(name, "rb") as f:
        return f.read()


class Salvage(unittest.TestCase):
    def salvage(self, name, *options, codes=(1,), fault=None):
        """The losses."""
        before, out = fl.digest(name), "out.h5"
        for old in (out, "none.h5"):
            if os.path.exists(old):
                os.remove(old)
        if fault is None:
            plain = fl.emdrepack(*options, name, "none.h5", codes=(1, 3))
            self.assertFalse(os.path.exists("none.h5"), plain.stderr)
        run = fl.emdrepack("--salvage", "--json", *options, name, out, codes=codes, fault=fault)
        self.assertEqual(fl.digest(name), before, "the source has changed")
        self.assertEqual([f for f in os.listdir(".") if f.endswith(".tmp")], [])
        result = json.loads(run.stdout)
        if run.code == 1 and result["status"] == "failed":
            self.assertFalse(os.path.exists(out))
            return result
        self.assertEqual(result["status"], "salvaged" if result["lost"] else "done", run.stderr)
        self.assertEqual(run.code, 1 if result["lost"] else 0)
        self.assertEqual(len(result["losses"]), result["lost"])
        self.assertEqual(result["verified"], result["lost"] == 0)
        with h5py.File(out) as f:
            noted = json.loads(f.attrs["emdrepack"])
        self.assertEqual("salvage" in noted, result["lost"] > 0)
        if result["lost"]:
            self.assertEqual(noted["salvage"]["lost"], result["lost"])
            self.assertEqual(noted["salvage"]["list"],
                             result["losses"][:len(noted["salvage"]["list"])])
            for loss in result["losses"][:15]:
                self.assertIn(loss["object"], run.stderr)
        return result

    def judge(self, data, result, fill=0, gone=()):
        """The output holds all data but those that the list names."""
        with h5py.File("out.h5") as f:
            for path, values in data.items():
                if path in gone:
                    self.assertNotIn(path, f)
                    continue
                want = values.copy()
                for loss in result["losses"]:
                    if loss["object"] != path or "attribute" in loss:
                        continue
                    empty = b"" if path == WORDS else fill
                    if "offset" not in loss:
                        want[...] = empty
                    else:
                        box = tuple(slice(a, a + n)
                                    for a, n in zip(loss["offset"], loss["shape"]))
                        want[box] = empty
                got = f[path][...]
                self.assertEqual(got.dtype, want.dtype)
                self.assertTrue(np.array_equal(got, want), f"{path} of {result['losses']}")

    def boxes(self, result, path=STACK):
        return [loss["offset"] for loss in result["losses"] if loss["object"] == path]

    def test_sound(self):
        data = make("in.h5")
        run = fl.emdrepack("--salvage", "--json", "-f", "in.h5", "out.h5", codes=(0,))
        result = json.loads(run.stdout)
        self.assertEqual((result["status"], result["lost"], result["losses"]), ("done", 0, []))
        self.assertTrue(result["verified"])
        self.judge(data, result)
        os.remove("out.h5")

    def test_chunks(self):
        """A filter that fails, a wrong checksum, in all ways that a chunk can travel."""
        for libver in ("earliest", "latest"):
            data = make("in.h5", libver, fill=5)
            for number, at in ((3, 30), (77, 0), (149, -1)):  # inside, the header, the checksum
                info = chunk("in.h5", STACK, number)
                patch("in.h5", info.byte_offset + at % info.size, b"\x5a\xa5"[:1 if at < 0 else 2])
            for options in (("-c", "auto"), ("-c", "none"), ("-c", "zstd", "--verify=none"),
                            ("-c", "gzip", "--verify=file"),
                            ("-c", "gzip:4", "--checksum=always", "--verify=none")):
                with self.subTest(libver=libver, options=options):
                    result = self.salvage("in.h5", *options)
                    self.assertEqual(self.boxes(result), [[0, 0, 3], [0, 0, 77], [0, 0, 149]])
                    self.assertEqual([loss["frame"] for loss in result["losses"]], [4, 78, 150])
                    self.judge(data, result, fill=5)

    def test_left_unwritten(self):
        make("in.h5")
        patch("in.h5", chunk("in.h5", STACK, 9).byte_offset + 8, bytes(8))
        self.salvage("in.h5", "-c", "gzip")
        with h5py.File("out.h5") as f:
            self.assertEqual(f[STACK].id.get_num_chunks(), FRAMES - 1)

    def test_other_chunks(self):
        """Where chunks change their shape, what was lost is filled, in memory and through strips."""
        data = make("in.h5")
        first = chunk("in.h5", ROWS, 2)
        patch("in.h5", first.byte_offset + first.size // 2, bytes(40))
        for options in (("--chunk", "40,30,1"), ("--chunk", "40,7,3"), ("--chunk", "8,30,1")):
            with self.subTest(options=options):
                result = self.salvage("in.h5", "-c", "gzip", *options)
                self.assertEqual(self.boxes(result, ROWS), [[16, 0, 0]])
                self.assertEqual(len(result["losses"]), 1)
                self.judge(data, result)
        result = self.salvage("in.h5", "-c", "gzip", "--chunk", "8,30,1")
        with h5py.File("out.h5") as f:  # chunks of nothing but lost elements are not written
            self.assertEqual(f[ROWS].id.get_num_chunks(), 40)

    def test_strips(self):
        """The same where memory is short, so that most of a block waits outside."""
        data = {ROWS: np.random.default_rng(1).poisson(9, (400, 300, 10)).astype("i4")}
        with h5py.File("in.h5", "w") as f:
            f.create_dataset(ROWS, data=data[ROWS], chunks=(80, 300, 10), compression="gzip")
        patch("in.h5", chunk("in.h5", ROWS, 3).byte_offset + 999, bytes(40))
        for memory in ("7M", "100M"):
            result = self.salvage("in.h5", "-c", "gzip", "--chunk", "400,300,1", "-j", "1", "-m",
                                  memory)
            self.assertEqual(self.boxes(result, ROWS), [[240, 0, 0]])
            self.assertEqual((result["losses"][0]["frame"], result["losses"][0]["frames"]),
                             (241, 80))
            self.judge(data, result)

    def test_cut(self):
        """A file that ends too early, at many places."""
        data = make("whole.h5")
        whole = read("whole.h5")
        with h5py.File("whole.h5") as f:
            plain = f[PLAIN].id.get_offset()
            late = sorted(f[STACK].id.get_chunk_info(i).byte_offset for i in range(FRAMES))[-1]
        for keep in (plain + 400003, plain + 8, plain, plain - 1, late + 10, late - 4000):
            for codec in ("gzip", "none"):
                with self.subTest(keep=keep, codec=codec):
                    with open("in.h5", "wb") as f:
                        f.write(whole[:keep])
                    result = self.salvage("in.h5", "-c", codec)
                    self.assertNotEqual(result["status"], "failed", result["error"])
                    lost = {loss["object"].rstrip("/") + "/" + loss["link"] if "link" in loss else
                            loss["object"] for loss in result["losses"]}
                    self.assertIn(PLAIN, lost)
                    if keep > plain + 8 and codec == "gzip":
                        self.assertEqual(lost, {PLAIN})
                    self.judge_cut(data, keep, plain, result)

    def judge_cut(self, data, keep, plain, result):
        """Contiguous data are kept up to the last whole element before the end."""
        with h5py.File("out.h5") as f:
            n = max(0, keep - plain) // 8
            if PLAIN in f:
                got = f[PLAIN][...].ravel()
                self.assertTrue(np.array_equal(got[:n], data[PLAIN].ravel()[:n]))
                self.assertFalse(got[n:].any())
            for path in (STACK, ROWS, "/line"):
                listed = [loss for loss in result["losses"] if loss["object"] == path]
                if path in f and not listed:
                    self.assertTrue(np.array_equal(f[path][...], data[path]))

    def old_index(self, name):
        """The leaves of the old index of chunks of /Data/Image/x/Data, with their first keys."""
        whole = read(name)
        found, at = [], whole.find(b"TREE\x01\x00")
        while at >= 0:
            key = struct.unpack_from("<II4Q", whole, at + 24)
            used = struct.unpack_from("<H", whole, at + 6)[0]
            if key[4] < FRAMES and key[2:4] == (0, 0) and key[1] == 0 and used > 5:
                found.append((at, key[4], used))
            at = whole.find(b"TREE\x01\x00", at + 1)
        return sorted(found, key=lambda leaf: leaf[1])

    def test_index(self):
        """A leaf of the index is gone: its chunks are listed, the others are there."""
        data = make("in.h5")
        leaves = self.old_index("in.h5")
        self.assertGreater(len(leaves), 1)
        at, first, used = leaves[1]
        patch("in.h5", at, b"tree")
        result = self.salvage("in.h5", "-c", "gzip")
        self.assertEqual(self.boxes(result), [[0, 0, i] for i in range(first, first + used)])
        self.judge(data, result)

    def test_index_entries(self):
        """An entry says another size, another place in the file, or none at all."""
        for at_key, at_child, value in ((0, None, struct.pack("<I", 7)),
                                        (0, None, struct.pack("<I", 0)),
                                        (0, None, struct.pack("<I", 1 << 30)),
                                        (None, 0, struct.pack("<Q", 1 << 40)),
                                        (None, 0, struct.pack("<Q", 0))):
            with self.subTest(value=value):
                data = make("in.h5")
                at, first, _ = self.old_index("in.h5")[1]
                entry = at + 24 + 5 * 48  # keys of 40 bytes and children of 8 take turns
                patch("in.h5", entry + (at_key if at_child is None else 40 + at_child), value)
                result = self.salvage("in.h5", "-c", "gzip")
                self.assertEqual(self.boxes(result), [[0, 0, first + 5]], result["losses"])
                self.judge(data, result)

    def test_small_data(self):
        """Small datasets, which the engine does not touch: by chunk, and strings one by one."""
        data = make("in.h5")
        info = chunk("in.h5", "/tiny", 1)
        patch("in.h5", info.byte_offset + 3, b"\xff\x00\xff")
        result = self.salvage("in.h5", "-c", "gzip")
        self.assertEqual(self.boxes(result, "/tiny"), [[20]])
        self.judge(data, result)
        # one collection of the global heap
        whole = read("in.h5")
        at = whole.rfind(b"GCOL", 0, whole.find(b"word 250"))
        patch("in.h5", at, b"gcol")
        result = self.salvage("in.h5", "-c", "gzip")
        lost = [loss for loss in result["losses"] if loss["object"] == WORDS]
        self.assertGreater(len(lost), 0)
        self.assertLess(len(lost), 400)
        self.judge(data, result)

    def test_objects(self):
        """A dataset or an attribute of which the header cannot be read: left out and named."""
        data = make("in.h5", "latest")
        with h5py.File("in.h5") as f:
            header = h5py.h5o.get_info(f["/line"].id).addr
        patch("in.h5", header + 8, b"\xff\xff\xff\xff")
        result = self.salvage("in.h5", "-c", "gzip")
        self.assertEqual([(loss["object"], loss.get("link")) for loss in result["losses"]],
                         [("/", "line")])
        self.judge(data, result, gone=("/line",))
        # strings of an attribute, in the global heap
        data = make("in.h5", "earliest")
        whole = read("in.h5")
        name = whole.find(b"long\x00")
        self.assertGreater(name, 0)
        heap = [i for i in range(0, len(whole) - 4) if whole[i:i + 4] == b"GCOL"]
        for at in heap:
            patch("in.h5", at, b"gcol")
        result = self.salvage("in.h5", "-c", "gzip")
        self.assertIn((STACK, "long"),
                      [(loss["object"], loss.get("attribute")) for loss in result["losses"]])
        with h5py.File("out.h5") as f:
            self.assertEqual(f.attrs["kept"], 7)
            self.assertNotIn("long", f[STACK].attrs)

    def test_disk(self):
        """A disk that fails now and then: what it says about each place is no damage of the file."""
        data = make("in.h5")
        fl.emdrepack("--salvage", "-f", "-j", "1", "in.h5", "out.h5", codes=(0,),
                     fault="pread:999999:EIO:in.h5", log="calls")
        with open("calls") as f:
            calls = int(f.read().split()[-1])
        salvaged = 0
        for at in sorted({*range(1, calls, max(1, calls // 12)), calls - 3, calls - 60}):
            with self.subTest(at=at):
                result = self.salvage("in.h5", "-c", "gzip", "-j", "1", codes=(0, 1),
                                      fault=f"pread:{at}:EIO:in.h5")
                if result["status"] == "failed":
                    self.assertIn("Input/output error", result["error"])
                    continue
                for loss in result["losses"]:
                    self.assertTrue(loss["retry"], loss)
                salvaged += result["lost"] > 0
                with h5py.File("out.h5") as f:
                    gone = [path for path in data if path not in f]
                    if gone:
                        self.assertIn("link", [loss["what"] for loss in result["losses"]])
                self.judge(data, result, gone=gone)
        self.assertGreater(salvaged, 5)

    def test_full_disk(self):
        """What cannot be written is no loss of the source."""
        make("in.h5")
        patch("in.h5", chunk("in.h5", STACK, 9).byte_offset + 8, bytes(8))
        for when in ("1", "2", "5", "9"):
            run = fl.emdrepack("--salvage", "-c", "none", "in.h5", "full.h5", codes=(1,),
                               fault=f"pwrite:{when}+:ENOSPC:full.h5")
            self.assertFalse(os.path.exists("full.h5"), run.stderr)
            self.assertIn("No space left", run.stderr)

    def test_what_is_salvaged_is_not_done(self):
        make("in.h5")
        patch("in.h5", chunk("in.h5", STACK, 9).byte_offset + 8, bytes(8))
        fl.fresh("to")
        fl.emdrepack("--salvage", "-d", "to", "in.h5", codes=(1,))
        run = fl.emdrepack("-d", "to", "in.h5", codes=(1,))
        self.assertNotIn("skipped", run.stderr + run.stdout)
        run = fl.emdrepack("--salvage", "-d", "to", "in.h5", codes=(1,))
        self.assertIn("exists already", run.stderr)
        fl.emdrepack("--salvage", "-f", "-d", "to", "in.h5", codes=(1,))
        # a copy of the salvaged file still says so
        fl.emdrepack("to/in.h5", "again.h5", codes=(0,))
        with h5py.File("again.h5") as f:
            self.assertEqual(json.loads(f.attrs["emdrepack"])["source_salvage"]["lost"], 1)
        os.remove("again.h5")

    def test_usage(self):
        make("in.h5")
        for options in (("--check", "in.h5"), ("--compare", "in.h5", "in.h5"),
                        ("-n", "in.h5", "x.h5"), ("--frame-stats", "in.h5", "x.h5")):
            fl.emdrepack("--salvage", *options, codes=(2,))
        run = fl.emdrepack("--salvage", "-f", "in.h5", "in.h5", codes=(1,))
        self.assertIn("is the input itself", run.stderr)


def setUpModule():
    fl.work_in_own_folder(unittest.addModuleCleanup)


if __name__ == "__main__":
    unittest.main()
