# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""From the microscope to the table, with real DIALS: movies are written slowly into raw/, compressed
by emdwatch as they are finished, brought over by emdsync, processed by emdprocess, listed by emdlist.

Cells, blank images and reasons of failures are compared with what was simulated; a second run of
emdprocess does nothing; and emdprocess killed again and again comes to the same results.

With EMDTOOLS_E2E=full (the nightly run) there are more crystals and more kills.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

import dialslib as d

FULL = os.environ.get("EMDTOOLS_E2E") == "full"
KILLS = 20 if FULL else 4
SEED = int(os.environ.get("EMDTOOLS_E2E_SEED", time.time_ns() % 100000))
# Of glycine-like molecules, as in the published examples.
CELL = (5.34, 6.46, 10.86, 90, 91.3, 90)
PHI_STEP = 2  # degrees, of the blank analysis: two bins is how well it knows

# name in raw/: codec, options of emdsim, runs of images that emdblanks should keep (None: fails)
MOVIES = {
    "Camera Ceta 20260101 0101 618 mm.emd": (
        "edc", "--frames 75 --orientation 3 --seed 3 --blank 61:75", [(1, 60)]),
    "Camera Ceta 20260101 0202 618 mm.emd": (
        "blosc", "--frames 90 --orientation 5 --seed 5 --blank 29:40", [(1, 28), (41, 90)]),
    "Camera_Ceta_20260101_0303_618_mm.emd": (
        "edc", "--frames 60 --orientation 7 --seed 7 --step -1", [(1, 60)]),
    "Camera_Ceta_20260101_0404_618_mm.emd": ("blosc", "--frames 40 --seed 9 --no-crystal", None),
}
if FULL:
    MOVIES.update({
        "Camera_Ceta_20260101_0606_618_mm.emd": (
            "blosc", "--frames 100 --orientation 11 --seed 11 --blank 1:20", [(21, 100)]),
        "Camera_Ceta_20260101_0707_618_mm.emd": (
            "edc", "--size 1024 --frames 120 --orientation 13 --seed 13 --step 0.5 --blank 97:120",
            [(1, 96)]),
    })
# Its writer dies.
TRUNCATED = "Camera_Ceta_20260101_0505_618_mm.emd"
# How many processes integrate changes the numbers.
ONE = ("-D", "nproc=1")
MONOCLINIC = "unit_cell=" + ",".join(map(str, CELL))


def crystal_name(movie):
    return "_".join(movie.replace(" ", "_").split("_")[2:4])


def simulate():
    for name, (_, options, _) in MOVIES.items():
        d.run(d.tool("emdsim"), "-q", "--size", 512, "--step", 1, *options.split(), "--truth",
              f"made/{name}.json", f"made/{name}", quiet=True)
    shutil.copy(f"made/{next(iter(MOVIES))}", f"made/{TRUNCATED}")


def record_slowly(names):
    """Writes the movies into raw/, all at the same time, as cameras do: in pieces, under the final name."""
    pieces = 12
    files = [(open(f"made/{n}", "rb"), open(f"scope/lyso/raw/{n}", "wb", buffering=0),
              os.path.getsize(f"made/{n}") * (0.6 if n == TRUNCATED else 1)) for n in names]
    for i in range(pieces):
        for source, target, size in files:
            target.write(source.read(int(size * (i + 1) / pieces) - source.tell()))
        time.sleep(0.4)
    for source, target, _ in files:
        source.close()
        target.close()


def compress(codec, names):
    """emdwatch beside the writer; ends when what is complete is compressed."""
    raw, out = "scope/lyso/raw", "scope/lyso/compressed"

    def status():
        return d.run(d.tool("emdwatch"), "--status", raw, out, quiet=True)

    watch = subprocess.Popen([d.tool("emdwatch"), "-q", "-c", codec, "--poll", "0.5", "--settle", "2", raw, out])
    try:
        record_slowly(names)
        good = [f"{out}/{n.replace(' ', '_')}" for n in names if n != TRUNCATED]
        d.wait_for(lambda: all(map(os.path.exists, good)), status)
        if TRUNCATED in names:
            d.wait_for(lambda: "bytes that it should have" in status(), status)
    finally:
        watch.terminate()
        code = watch.wait(d.PATIENCE)
    assert code == 0, f"emdwatch: exit {code}"


def emdprocess(*options, code=0):
    out = d.run(d.tool("emdprocess"), "--json", *ONE, *options, code=code, cwd="work/lyso")
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def listed(trial):
    return {row["path"]: row for row in
            json.loads(d.run(d.tool("emdlist"), "--format", "json", trial, cwd="work/lyso"))}


def state(folder):
    """Every file with its time: what is written again shows."""
    return {os.path.join(at, f): os.stat(os.path.join(at, f), follow_symlinks=False).st_mtime_ns
            for at, _, files in os.walk(folder) for f in files}


def processes_below(folder):
    """Those that work in a folder."""
    folder, found = os.path.abspath(folder), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(folder):
                found.append(int(pid))
        except OSError:
            pass
    return found


class EndToEnd(unittest.TestCase):
    """The tests run in the order of their names, each on what the one before left."""

    @classmethod
    def setUpClass(cls):
        # Nothing but emdprocess may tell DIALS where our plugins and our reader are.
        for name in ("HDF5_PLUGIN_PATH", "PYTHONPATH"):
            os.environ.pop(name, None)
        for folder in ("made", "scope/lyso/raw", "scope/lyso/compressed"):
            os.makedirs(folder)
        simulate()

    def test_1_to_the_cluster(self):
        for codec in ("edc", "blosc"):
            names = [n for n, m in MOVIES.items() if m[0] == codec]
            compress(codec, names + [TRUNCATED] * (codec == "edc"))
        status = d.run(d.tool("emdwatch"), "--status", "scope/lyso/raw", "scope/lyso/compressed")
        line = next(line for line in status.splitlines() if TRUNCATED in line)
        self.assertRegex(line, "has [0-9]+ of the [0-9]+ bytes")

        d.run(d.tool("emdprocess"), "--init", "lyso")
        d.run(d.tool("emdsync"), "--once", "-q", "scope/lyso", "data")
        self.assertEqual(sorted(os.listdir("data/lyso/compressed")), sorted(n.replace(" ", "_") for n in MOVIES))
        self.assertEqual(os.listdir("data/lyso/raw"), [])
        for name, (codec, _, _) in MOVIES.items():
            packed = f"data/lyso/compressed/{name.replace(' ', '_')}"
            self.assertLess(os.path.getsize(packed), 0.5 * os.path.getsize(f"made/{name}"))
            self.assertIn(codec, d.run(d.tool("emdinfo"), packed, quiet=True))

    def check_results(self, trial):
        rows = listed(f"{trial}/not_blank")
        self.assertEqual(sorted(rows), sorted(f"{crystal_name(n)}/{trial}" for n in MOVIES))
        for name, (_, _, kept) in MOVIES.items():
            crystal = crystal_name(name)
            if not kept:
                continue
            row = rows[f"{crystal}/{trial}"]
            self.assertEqual(row["outcome"], "good", row)
            # Axes can point either way: in P 1, 88.7 degrees is as good as 91.3.
            found = [row[x] for x in "abc"] + [max(row[x], 180 - row[x]) for x in ("alpha", "beta", "gamma")]
            for value, true in zip(found, CELL):
                self.assertLess(abs(value / true - 1), 0.005, row["cell"])
            with open(f"made/{name}.json", encoding="utf-8") as f:
                step = abs(json.load(f)["step"])
            # From fewer degrees DIALS cannot tell it from P m m m, and dials.symmetry alone not always from P -1.
            if sum(b - a + 1 for a, b in kept) * step >= 60:
                self.assertIn("P 1 2/m 1", (row["laue"], row["cosym"]), row)
            folder = f"work/lyso/{crystal}/{trial}"
            with open(f"{folder}/not_blank.expt", encoding="utf-8") as f:
                found = sorted(tuple(scan["image_range"]) for scan in json.load(f)["scan"])
            print(f"{crystal}/{trial}: {row['cell']}; images {found}, true {kept}", flush=True)
            self.assertEqual(len(found), len(kept))
            for ours, true in zip(found, kept):
                for image, true_image in zip(ours, true):
                    self.assertLessEqual(abs(image - true_image), 2 * PHI_STEP / step)
            self.assertEqual(row["kept"], sum(last - first + 1 for first, last in found))

        bad = next(rows[f"{crystal_name(n)}/{trial}"] for n, m in MOVIES.items() if not m[2])
        self.assertEqual(bad["outcome"], "failed")
        self.assertIn(bad["stage"], ("find_spots", "index"))
        self.assertRegex(bad["reason"], "spots|lattice")

    def test_2_P1(self):
        emdprocess("P1", code=1)
        self.check_results("P1")

    def test_3_mP(self):
        emdprocess("-D", MONOCLINIC, "mP", code=1)
        self.check_results("mP")

    def test_4_nothing_to_do(self):
        before = state("work/lyso")
        for trial, options in (("P1", []), ("mP", ["-D", MONOCLINIC])):
            events = emdprocess(*options, trial, code=1)
            self.assertEqual([e for e in events if e["event"] == "stage"], [])
        self.assertEqual(state("work/lyso"), before)

    def test_5_killed(self):
        rng = random.Random(SEED)
        names = [crystal_name(n) for n, m in MOVIES.items() if m[2]]
        crystals = names if FULL else names[2:]
        command = [d.tool("emdprocess"), "-q", *ONE, "--trial", "again", "P1", *crystals]
        with open(f"work/lyso/{crystals[0]}/P1/emdprocess.json", encoding="utf-8") as f:
            seconds = sum(s["seconds"] for s in json.load(f)["stages"]) * len(crystals)
        for number in range(KILLS):
            process = subprocess.Popen(command, cwd="work/lyso")
            try:
                pause = rng.uniform(0, 2 * seconds / KILLS)
                process.wait(pause)
                self.assertEqual(process.returncode, 0)
                break
            except subprocess.TimeoutExpired:
                print(f"kill {number + 1} after {pause:.1f} s (EMDTOOLS_E2E_SEED={SEED})", flush=True)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            for crystal in crystals:
                folder = f"work/lyso/{crystal}/again"
                d.wait_for(lambda at=folder: not processes_below(at),
                           lambda at=folder: f"{processes_below(at)} live on")
        d.run(*command, cwd="work/lyso")
        for crystal in crystals:
            self.same_results(f"work/lyso/{crystal}/P1", f"work/lyso/{crystal}/again")

    def same_results(self, a, b):
        def results(folder):
            return sorted(os.path.relpath(os.path.join(at, f), folder) for at, _, files in os.walk(folder)
                          for f in files if f.endswith((".expt", ".refl")))

        self.assertEqual(results(a), results(b))
        for name in results(a):
            same = d.assert_same_tables if name.endswith(".refl") else d.assert_same_models
            same(f"{a}/{name}", f"{b}/{name}")


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2, failfast=True))
