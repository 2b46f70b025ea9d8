# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Peak memory stays within the budget: VmHWM of emdrepack is at most -m SIZE + 64 MiB, whatever the
plan, the codec, the number of threads and of frames; and where emdrepack says that SIZE is too small,
the size that it asks for is enough.

    test_memory.py sample|all
"""

import itertools
import os
import re
import subprocess
import sys
import unittest

import faultlib as fl
from faultlib import movie

ALL = sys.argv[1:2] == ["all"]
SLACK = 64 << 20
MIB = 1 << 20
LAYOUTS = ("frame", "contiguous", "tile", "rows")
CODECS = ("auto", "blosc", "zstd", "zstd:19", "gzip", "bitshuffle", "edc", "none")
# Size, frames: a movie; many small frames; few large ones; a single one.
MOVIES = {"movie": (512, 100), "many": (32, 5000), "large": (2048, 6), "single": (2048, 1)}


def codecs():
    """Those that this build has."""
    probe = movie("probe.emd", size=64, frames=2)
    return [c for c in CODECS
            if fl.emdrepack("-q", "-n", "-c", c, probe, "nothing.emd").code == 0]


def peak(*args):
    """Exit code, peak resident bytes and messages. A child's peak is never told below its parent's
    size, so this script stays small: no h5py here."""
    child = subprocess.Popen([fl.EMDREPACK, *map(str, args)], stderr=subprocess.PIPE, text=True)
    stderr = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stderr.close()
    return child.returncode, usage.ru_maxrss * 1024, stderr


class Memory(unittest.TestCase):
    def within(self, source, codec, budget, threads, *options):
        args = ["-q", "-f", "-c", codec, "-m", budget, "-j", threads, *options, source, "out.emd"]
        code, used, stderr = peak(*args)
        said = f"{' '.join(map(str, args))}: {used / MIB:.0f} MiB"
        if code == 1 and "too small" in stderr:
            least = int(re.search(r"at least (\d+) MiB", stderr).group(1)) * MIB
            self.assertGreater(least, budget, stderr)
            code, used, stderr = peak("-q", "-f", "-c", codec, "-m", least, "-j", threads, *options,
                                      source, "out.emd")
            said += f", then {used / MIB:.0f} MiB with {least / MIB:.0f} MiB"
            budget = least
        self.assertEqual(code, 0, f"{said}: {stderr}")
        self.assertLessEqual(used, budget + SLACK, said)

    def test_budgets_hold(self):
        if ALL:
            cases = [(m, layout, codec, budget, threads) for m, layout, codec, budget, threads
                     in itertools.product(MOVIES, LAYOUTS, codecs(), (8, 32, 128), (1, 2, 16))
                     # 3 MB/s: where its tables are largest, and most of them
                     if codec != "zstd:19" or (m == "movie" and budget != 8 and threads != 2)]
        else:
            # Each pair of plan and codec once or more, the rest in turn.
            turns = zip(itertools.cycle(MOVIES), itertools.cycle((8, 32, 128)),
                        itertools.cycle((1, 2, 16, 4, 3)))
            cases = [(m, layout, codec, budget, threads)
                     for (layout, codec), (m, budget, threads)
                     in zip(itertools.product(LAYOUTS, codecs()), turns)
                     if codec != "zstd:19"]
        for kind, layout, codec, budget, threads in cases:
            size, frames = MOVIES[kind]
            source = movie(f"{kind}_{layout}.emd", "--layout", layout, size=size, frames=frames)
            with self.subTest(movie=kind, layout=layout, codec=codec, budget=budget, threads=threads):
                self.within(source, codec, budget * MIB, threads)

    def test_reading_back_too(self):
        for layout in LAYOUTS if ALL else ("frame", "contiguous"):
            source = movie(f"large_{layout}.emd", "--layout", layout, size=2048, frames=6)
            for codec in ("gzip", "auto"):
                with self.subTest(layout=layout, codec=codec):
                    self.within(source, codec, 32 * MIB, 2, "--verify=file")

    def test_compressed_sources(self):
        source = movie("movie_frame.emd", size=512, frames=100)
        for codec in ("gzip", "blosc", "zstd"):
            fl.emdrepack("-q", "-f", "-c", codec, source, "packed.emd", codes=(0,))
            for target, options in (("none", ()), ("gzip", ("--chunk", "64,512,100"))):
                with self.subTest(source=codec, target=target):
                    self.within("packed.emd", target, 16 * MIB, 4, *options)

    def test_frames_do_not_matter(self):
        """Ten times the frames take no more: what grows is the list of chunks, 100 bytes each."""
        used = []
        for frames in (20, 200):
            source = movie(f"long_{frames}.emd", size=256, frames=frames)
            code, rss, stderr = peak("-q", "-f", "-c", "gzip", "-m", 64 * MIB, "-j", 2, source,
                                     "out.emd")
            self.assertEqual(code, 0, stderr)
            used.append(rss)
        self.assertLess(used[1], used[0] + 4 * MIB)


    def test_many_datasets(self):
        """The budget is for all of two hundred datasets together; HDF5 keeps 30 MiB of them."""
        make = ("import h5py\n"
                "with h5py.File('many.h5', 'w') as f:\n"
                "    for i in range(200):\n"
                "        f.create_dataset(f'd{i}', (16 * 300, 16), 'i2', chunks=(16, 16))[:] = i + 1\n")
        subprocess.run([sys.executable, "-c", make], check=True)
        code, used, stderr = peak("-q", "-f", "-c", "gzip", "-m", 4 * MIB, "-j", 2, "many.h5", "out.emd")
        os.unlink("many.h5")
        self.assertEqual(code, 0, stderr)
        self.assertLessEqual(used, 4 * MIB + SLACK)


def setUpModule():
    fl.work_in_own_folder(unittest.addModuleCleanup, in_memory=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
