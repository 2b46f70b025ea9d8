# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Damaged sources: cut short, tail zeroed, bits turned. emdrepack may refuse them or copy what HDF5
reads of them; it must not crash, hang, take memory without bound, or succeed with other data.

    test_bad_input.py STEP OFFSETS FLIPS
        STEP     every STEP-th 4 KiB boundary
        OFFSETS  truncations and zeroed tails at random offsets
        FLIPS    turned bytes, in all
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import unittest

import h5py
import faultlib as fl

STEP, OFFSETS, FLIPS = (int(a) for a in sys.argv[1:4]) if len(sys.argv) > 3 else (16, 100, 300)
HERE = os.path.dirname(os.path.abspath(__file__))
# Address space of a run: far above what a file of 1 MB needs with a budget of 64 MB (measured:
# 0.3 GB), far below this machine's memory. ASan reserves terabytes and has its own limit.
MOST_MEMORY = 2 << 30
SANITIZED = os.environ.get("EMDTOOLS_SANITIZE", "") != ""


def limit_memory():
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def repack(source, *options):
    return fl.emdrepack("-q", "-f", "-j", "2", "-m", "64M", "-c", "gzip:1", *options, source,
                        "out.emd", codes=(0, 1, 3), preexec_fn=limit_memory)


def sources():
    """Files with everything in them: simulated ones in all layouts, packed ones, real ones."""
    names = {
        "frame": fl.movie("frame.emd", size=96, frames=8),
        "contiguous": fl.movie("contiguous.emd", "--layout", "contiguous", size=96, frames=8),
        "tile": fl.movie("tile.emd", "--layout", "tile", size=96, frames=20),
    }
    for codec in ("gzip", "blosc", "zstd"):
        name = f"packed_{codec}.emd"
        fl.emdrepack("-q", "-f", "-c", codec, "frame.emd", name, codes=(0,))
        names[codec] = name
    for real in ("ceta_stack_3x3x2_i2_v8.emd", "complex_fft_v8.emd"):
        path = os.path.join(fl.DATA, real)
        if os.path.exists(path):
            names[real] = shutil.copyfile(path, real)
    return names


def metadata_bytes(name):
    """Offsets of the bytes that are not in any dataset's raw data: what steers HDF5."""
    raw = []

    def visit(_, item):
        if isinstance(item, h5py.Dataset):
            if item.chunks:
                for i in range(item.id.get_num_chunks()):
                    info = item.id.get_chunk_info(i)
                    raw.append((info.byte_offset, info.size))
            elif item.id.get_offset() is not None:
                raw.append((item.id.get_offset(), item.id.get_storage_size()))

    with h5py.File(name, "r") as f:
        f.visititems(visit)
    taken = bytearray(os.path.getsize(name))
    for offset, size in raw:
        taken[offset:offset + size] = b"\1" * size
    return [i for i, t in enumerate(taken) if not t]


def compare(pairs):
    """Answers of deepcompare.py, which may itself be brought down by what it reads."""
    answers = []
    while len(answers) < len(pairs):
        rest = pairs[len(answers):]
        run = subprocess.run([sys.executable, os.path.join(HERE, "deepcompare.py"),
                              *[name for pair in rest for name in pair]],
                             capture_output=True, text=True, check=False, timeout=600,
                             preexec_fn=limit_memory)
        answers += run.stdout.splitlines()
        if run.returncode < 0:
            answers.append(f"h5py crashed ({run.returncode})")
        elif len(answers) < len(pairs):
            raise AssertionError(run.stderr)
    return answers


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.names = sources()

    def damaged(self, name, data):
        with open("bad.emd", "wb") as f:
            f.write(data)
        for left in ("out.emd", "out.emd.lock.tmp"):
            if os.path.exists(left):
                os.unlink(left)
        run = repack("bad.emd")
        self.assertFalse(fl.temporary("out.emd") or os.path.exists("out.emd.lock.tmp"), name)
        self.assertEqual(os.path.exists("out.emd"), run.code == 0, name)
        if run.code != 0:
            self.assertIn("bad.emd: ", run.stderr)
        with open("bad.emd", "rb") as f:
            self.assertEqual(f.read(), data, "the source was touched")
        return run

    def test_truncated(self):
        """A complete HDF5 file is as long as it says: shorter ones are incomplete, always."""
        chance = random.Random(1)
        for name, path in self.names.items():
            with open(path, "rb") as f:
                whole = f.read()
            # Written by HDF5, these files end where their allocations end, or a little later.
            cuts = list(range(0, len(whole) - 4096, 4096 * STEP))
            cuts += [chance.randrange(len(whole) - 4096) for _ in range(OFFSETS // 4)]
            for cut in cuts:
                run = self.damaged(name, whole[:cut])
                self.assertIn(run.code, (1, 3) if cut < 8 else (3,), f"{name} cut at {cut}")

    def judge(self, cases, whole):
        """Successes must have copied what HDF5 reads of the damaged source, or all that was there
        before the damage: emdrepack finds chunks that a damaged index hides from HDF5's search."""
        answers = compare([(bad, out) for _, bad, out in cases])
        for (what, bad, out), answer in zip(cases, answers):
            with self.subTest(what=what):
                if answer != "same":
                    self.assertEqual(compare([(whole, out)]), ["same"], f"{what}: {answer}")
            os.unlink(bad)
            os.unlink(out)

    def test_zeroed_tail(self):
        """Of the right size, but its end was never written, as after a crash of the writer."""
        chance = random.Random(2)
        for name, path in self.names.items():
            with open(path, "rb") as f:
                whole = f.read()
            cases = []
            for i in range(max(OFFSETS // 8, 4)):
                cut = chance.randrange(len(whole))
                run = self.damaged(name, whole[:cut] + bytes(len(whole) - cut))
                if run.code == 0:
                    os.rename("bad.emd", f"bad{i}.emd")
                    os.rename("out.emd", f"out{i}.emd")
                    cases.append((f"{name} zeroed from {cut}", f"bad{i}.emd", f"out{i}.emd"))
            self.judge(cases, path)

    def test_turned_bytes(self):
        """Three of four in what steers HDF5, the rest anywhere."""
        chance = random.Random(3)
        each = FLIPS // len(self.names) + 1
        codes = {}
        for name, path in self.names.items():
            with open(path, "rb") as f:
                whole = f.read()
            steering = metadata_bytes(path)
            cases = []
            for i in range(each):
                at = chance.choice(steering) if i % 4 else chance.randrange(len(whole))
                data = bytearray(whole)
                data[at] ^= chance.randrange(1, 256)
                with self.subTest(f"{name}, byte {at} is {data[at]}"):
                    run = self.damaged(f"{name}, byte {at}", bytes(data))
                    codes[run.code] = codes.get(run.code, 0) + 1
                    if run.code == 0:
                        os.rename("bad.emd", f"bad{i}.emd")
                        os.rename("out.emd", f"out{i}.emd")
                        cases.append((f"{name}, byte {at} is {data[at]}", f"bad{i}.emd",
                                      f"out{i}.emd"))
            self.judge(cases, path)
        print("exit codes:", codes, file=sys.stderr)


def setUpModule():
    fl.work_in_own_folder(unittest.addModuleCleanup, in_memory=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
