# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""kill -9 at any moment of a repack: the source is untouched, the final name is absent or complete,
and the next run succeeds, whatever the killed one left.

    test_kill.py TIMES      TIMES kills at random moments, and about half as many at chosen calls
"""

import os
import random
import subprocess
import sys
import time
import unittest

import deepcompare
import faultlib as fl

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 25
OPTIONS = ("-q", "-f", "-c", "gzip:1", "-m", "8M")


class Kill(unittest.TestCase):
    def setUp(self):
        fl.fresh("here")
        self.source = fl.movie("source.emd", "--layout", "contiguous", size=256, frames=60)
        self.before = fl.digest(self.source)

    def judge(self, old):
        """After a kill: the old output or a complete new one, then a run that ends well."""
        self.assertEqual(fl.digest(self.source), self.before, "the source was touched")
        left = sorted(os.listdir("here"))
        self.assertLessEqual({n for n in left if not n.endswith(".tmp")}, {"out.emd"})
        self.assertLessEqual(len(left), 3, left)  # a temporary file and its lock
        if "out.emd" in left:
            if fl.digest("here/out.emd") != old:
                self.assertIsNone(deepcompare.difference(self.source, "here/out.emd"))
        else:
            self.assertIsNone(old, "the old output is gone")
        # the process that works for a killed one dies with it, but not in the same instant
        while fl.emdrepack(*OPTIONS, self.source, "here/out.emd", codes=(0, 3)).code == 3:
            time.sleep(0.05)
        self.assertEqual(os.listdir("here"), ["out.emd"])

    def reset(self, keeps_old):
        """A fresh folder, with an older output in it or not; its digest."""
        fl.fresh("here")
        if not keeps_old:
            return None
        with open("here/out.emd", "wb") as f:
            f.write(b"old")
        return fl.digest("here/out.emd")

    def test_random_moments(self):
        chance = random.Random(4)
        begun = time.monotonic()
        fl.emdrepack(*OPTIONS, self.source, "here/out.emd", codes=(0,))
        whole = time.monotonic() - begun
        finished = 0
        for i in range(TIMES):
            old = self.reset(i % 2)
            with subprocess.Popen([fl.EMDREPACK, *OPTIONS, self.source, "here/out.emd"]) as p:
                time.sleep(chance.uniform(0, 1.1 * whole))
                p.kill()
                finished += p.wait() == 0
            with self.subTest(kill=i):
                self.judge(old)
        print(f"{TIMES} kills, {finished} of them too late", file=sys.stderr)
        self.assertLess(finished, TIMES)

    def test_before_system_calls(self):
        """The same at chosen places: around writes, fsync, rename."""
        places = ["fsync:1", "fsync:2", "rename:1"]
        counts = {}
        for call, part in (("pwrite", ""), ("pread", "source.emd")):
            fl.emdrepack(*OPTIONS, self.source, "here/out.emd", codes=(0,),
                         fault=f"{call}:1000000:EIO:{part}", log="calls.log")
            with open("calls.log", encoding="ascii") as f:
                counts[call] = int(f.read())
            step = max(counts[call] * 4 // TIMES, 1)
            places += [f"{call}:{n}" for n in range(1, counts[call] + 1, step)]
        for i, place in enumerate(places):
            old = self.reset(i % 2)
            with self.subTest(place=place):
                run = fl.emdrepack(*OPTIONS, self.source, "here/out.emd", fault=f"{place}:kill:")
                self.assertEqual(run.code, 1)  # of the file's own process; its parent cleans up
                self.judge(old)


def setUpModule():
    fl.work_in_own_folder(unittest.addModuleCleanup, in_memory=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
