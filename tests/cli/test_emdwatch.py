# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdwatch and emdsync with real writers, kills, full disks, odd names; see each test.

With EMDWATCH_CHURN=full (the nightly run) a thousand movies and fifty kills instead of a few, with
EMDWATCH_DAY=full 24 simulated hours instead of two.
"""

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
from waiting import wait_for  # noqa: E402

BIN = os.environ["EMDTOOLS_BIN"]
EMDWATCH, EMDSYNC, EMDSIM = (os.path.join(BIN, t) for t in ("emdwatch", "emdsync", "emdsim"))
# Every wait is for something that happens; this is only how long a hopeless one lasts.
PATIENCE = 120
CHURN = (1000, 50) if os.environ.get("EMDWATCH_CHURN") == "full" else (80, 6)
HOURS = 24 if os.environ.get("EMDWATCH_DAY") == "full" else 2
MINUTE = 0.1  # seconds of a simulated one
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"  # of h5py, unless a test wants it


def setUpModule():
    folder = tempfile.TemporaryDirectory(dir=".")
    unittest.addModuleCleanup(folder.cleanup)
    unittest.addModuleCleanup(os.chdir, os.getcwd())
    os.chdir(folder.name)
    for seed in range(6):
        subprocess.run([EMDSIM, "-q", "--size", "64", "--frames", str(3 + seed), "--seed", str(seed + 1),
                        f"movie{seed}.emd"], check=True)


def movie(i=0):
    return f"movie{i % 6}.emd"


def content(path):
    """Everything in a file: attributes and data of each object."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            value = item[()]
            found[name] = (item.shape, str(item.dtype),
                           value.tobytes() if item.dtype.kind != "O" else value.tolist())
        else:
            found[name] = sorted(item)

    with h5py.File(path, "r") as f:
        f.visititems(visit)
    return found


def tree(folder):
    return sorted(os.path.relpath(os.path.join(d, f), folder)
                  for d, _, files in os.walk(folder) for f in files)


def copies(folder):
    """What emdsync has copied: nothing of its own, which is hidden."""
    return [f for f in tree(folder) if not f.startswith(".")]


def outputs(folder):
    return [f for f in tree(folder) if not os.path.basename(f).startswith(".emdwatch")]


def once(raw, out, *options, code=0):
    run = subprocess.run([EMDWATCH, "--once", "--settle", "0", "--poll", "0.05", "-c", "gzip:1", "--json",
                          *options, raw, out], capture_output=True, text=True, check=False,
                         timeout=PATIENCE)
    if run.returncode != code:
        raise AssertionError(f"exit {run.returncode}, not {code}: {run.stdout}{run.stderr}")
    events = [json.loads(line) for line in run.stdout.splitlines()]
    # a loaded machine may make a worker wait for seconds, which is said
    return [e for e in events if e["event"] not in ("stalled", "going on")]


class Watch:
    """A running emdwatch; events are read from its output file."""

    def __init__(self, raw, out, *options, settle="0.3", prefix=()):
        self.log = tempfile.NamedTemporaryFile("r", dir=".", suffix=".log")
        with open(self.log.name, "w", encoding="utf-8") as f:
            self.process = subprocess.Popen(
                [*prefix, EMDWATCH, "--settle", settle, "--poll", "0.1", "-c", "gzip:1", "--json", *options,
                 raw, out], stdout=f, stderr=subprocess.STDOUT)

    def events(self, kind=None, file=None):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            lines = f.read().split("\n")[:-1]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [e for e in found if (kind is None or e["event"] == kind) and (file is None or e["file"] == file)]

    def wait(self, kind, file=None, count=1):
        return wait_for(lambda: len(self.events(kind, file)) >= count and self.events(kind, file),
                        f"{kind} {file}: {self.events()}")

    def polls(self, n=5):
        """Lets n polls pass."""
        for _ in range(n):
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        assert code == 0, (code, self.events())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.log.close()


class Case(unittest.TestCase):
    def setUp(self):
        for name in ("raw", "out", "dst"):
            shutil.rmtree(name, ignore_errors=True)
            os.mkdir(name)

    def assert_copied(self, source, output):
        want, got = content(source), content(output)
        self.assertEqual(want, got)

    def never_early(self, watch, name):
        """The movie is not done, and no output or temporary file is there."""
        self.assertEqual(watch.events("done", name), [])
        self.assertEqual(outputs("out"), [])


class Writers(Case):
    def finish(self, watch, name, reference):
        watch.wait("done", name)
        watch.polls()
        self.assertEqual(len(watch.events("done", name)), 1)
        self.assertEqual(outputs("out"), [name])
        self.assert_copied(reference, os.path.join("out", name))

    def test_grows_slowly(self):
        with open(movie(3), "rb") as f:
            data = f.read()
        with Watch("raw", "out") as w, open("raw/a.emd", "wb") as f:
            step = (len(data) - 1) // 4
            for i in range(4):
                f.write(data[i * step:(i + 1) * step])
                f.flush()
                # longer than settling takes: only the content says that it is not complete
                w.wait("incomplete", "a.emd") if i == 0 else w.polls(7)
                self.never_early(w, "a.emd")
            f.write(data[4 * step:])
            f.flush()
            self.finish(w, "a.emd", movie(3))

    def test_hdf5_writer(self):
        """Frames are appended through HDF5 without any lock, and the file looks complete at each
        pause: only its changes within the settle time tell."""
        with Watch("raw", "out", settle="2") as w:
            f = h5py.File("raw/a.emd", "w")
            d = f.create_dataset("Data/Image/x/Data", (64, 64, 0), "i2", maxshape=(64, 64, None),
                                 chunks=(64, 64, 1))
            for i in range(8):
                d.resize(i + 1, 2)
                d[:, :, i] = i + 1
                f.flush()
                w.polls(4)
                self.never_early(w, "a.emd")
            f.close()
            self.finish(w, "a.emd", "raw/a.emd")

    def test_locks(self):
        for take in (lambda f: fcntl.lockf(f, fcntl.LOCK_EX), lambda f: fcntl.flock(f, fcntl.LOCK_EX)):
            with self.subTest():
                self.setUp()
                with Watch("raw", "out") as w, open("raw/a.emd", "wb") as f:
                    take(f)
                    with open(movie(1), "rb") as g:
                        f.write(g.read())
                    f.flush()
                    w.wait("busy", "a.emd")
                    w.polls()
                    self.never_early(w, "a.emd")
                    f.close()
                    self.finish(w, "a.emd", movie(1))

    def test_renames(self):
        with Watch("raw", "out") as w:
            with open(movie(2), "rb") as g, open("raw/a.emd.part", "wb") as f:
                data = g.read()
                f.write(data[:1000])
                f.flush()
                w.polls(8)
                f.write(data[1000:])
            w.polls(8)
            self.never_early(w, "a.emd")
            os.rename("raw/a.emd.part", "raw/a.emd")
            self.finish(w, "a.emd", movie(2))

    def test_preallocates(self):
        """The size is right from the start, the tail is zeros for long."""
        with open(movie(5), "rb") as g:
            data = g.read()
        with Watch("raw", "out") as w, open("raw/a.emd", "r+b" if os.path.exists("raw/a.emd") else "w+b") as f:
            f.truncate(len(data))
            w.wait("incomplete", "a.emd")
            for part in range(1, 4):
                f.seek(0)
                f.write(data[:part * len(data) // 4])
                f.flush()
                w.polls(7)
                self.never_early(w, "a.emd")
            f.seek(0)
            f.write(data)
            f.flush()
            self.finish(w, "a.emd", movie(5))

    def test_dies(self):
        with open(movie(4), "rb") as g:
            data = g.read()
        with open("raw/cut.emd", "wb") as f:
            f.write(data[:len(data) // 2])
        with open("raw/zeros.emd", "wb") as f:
            f.write(data[:len(data) // 2].ljust(len(data), b"\0"))
        open("raw/nothing.emd", "wb").close()
        shutil.copy(movie(0), "raw/good.emd")
        with Watch("raw", "out") as w:
            for name in ("cut.emd", "zeros.emd", "nothing.emd"):
                w.wait("incomplete", name)
            w.wait("done", "good.emd")
            w.polls(20)
            for name in ("cut.emd", "zeros.emd", "nothing.emd"):
                self.assertEqual(len(w.events(file=name)), 1, w.events())
            self.assertEqual(outputs("out"), ["good.emd"])

    def test_changes_while_it_is_copied(self):
        shutil.copy(movie(0), "raw/a.emd")
        with Watch("raw", "out") as w:
            w.wait("done", "a.emd")
            shutil.copy(movie(5), "raw/a.emd")
            w.wait("done", "a.emd", 2)
            w.polls()
            self.assert_copied(movie(5), "out/a.emd")


class Reports(Case):
    def test_empty_and_damaged_are_said_once(self):
        subprocess.run([EMDSIM, "-q", "--size", "64", "--frames", "0", "raw/empty.emd"], check=True)
        with open("raw/text.emd", "w", encoding="ascii") as f:
            f.write("not a movie")
        shutil.copy(movie(1), "raw/good.emd")
        with Watch("raw", "out") as w:
            w.wait("empty", "empty.emd")
            w.wait("damaged", "text.emd")
            w.wait("done", "good.emd")
            w.polls(10)
        with Watch("raw", "out") as w:  # and not again after a restart
            w.polls(12)
            self.assertEqual(w.events("empty") + w.events("damaged") + w.events("done"), [])
            shutil.copy(movie(2), "raw/text.emd")
            w.wait("done", "text.emd")
        self.assertEqual(outputs("out"), ["good.emd", "text.emd"])
        run = subprocess.run([EMDWATCH, "--status", "raw", "out"], capture_output=True, text=True, check=True)
        self.assertRegex(run.stdout, r"(?m)^done +2 ")
        self.assertRegex(run.stdout, r"(?m)^failed +0 ")
        self.assertIn("empty.emd: a movie without frames", run.stdout)

    def test_once_and_exit_codes(self):
        shutil.copy(movie(0), "raw/a.emd")
        events = once("raw", "out")
        self.assertEqual([e["event"] for e in events], ["done", "summary"])
        self.assertEqual(events[0]["frames"], 3)
        self.assertGreater(events[0]["ratio"], 1)
        counts = {"done": 1, "finished_before": 0, "empty": 0, "failed": 0, "not_ready": 0}
        self.assertEqual(counts | events[1], events[1])
        (summary,) = once("raw", "out")
        self.assertEqual(summary["event"], "summary")
        self.assertEqual((summary["done"], summary["finished_before"]), (0, 1))
        with open(movie(0), "rb") as f, open("raw/b.emd", "wb") as g:
            g.write(f.read(5000))
        once("raw", "out", code=3)
        run = subprocess.run([EMDWATCH, "--status", "raw", "out"], capture_output=True, text=True, check=True)
        self.assertIn("b.emd: the file has 5000 of the", run.stdout)
        with open("raw/c.emd", "w", encoding="ascii") as g:
            g.write("text")
        once("raw", "out", code=1)
        for bad in (["raw"], ["raw", "out", "more"], ["--jobs", "0", "raw", "out"], ["raw/a.emd", "out"],
                    ["--settle", "x", "raw", "out"], ["out/..", "out/../.."], ["raw", "raw"]):
            run = subprocess.run([EMDWATCH, "--once", *bad], capture_output=True, check=False)
            self.assertEqual(run.returncode, 2, bad)

    def test_frame_stats(self):
        shutil.copy(movie(1), "raw/a b.emd")
        with open("out/a_b.frames.tsv", "w", encoding="ascii") as f:  # of a dead run
            f.write("image\ttilt_deg\tmean\tmax\tspots\n1\t")
        once("raw", "out", "--frame-stats")
        self.assertEqual(outputs("out"), ["a_b.emd", "a_b.frames.tsv"])
        with open("out/a_b.frames.tsv", encoding="ascii") as f:
            self.assertEqual(len(f.readlines()), 1 + 4)


@unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "a sanitizer catches the crash")
class Crashes(Case):
    """HDF5 1.10 crashes on some damaged files. That is the file's end, not the node's."""

    shim = os.path.join(os.environ["EMDTOOLS_BUILD_DIR"], "tests", "fault_shim.so")

    def prefix(self, rule):
        return ("env", f"LD_PRELOAD={self.shim}", f"EMD_FAULT={rule}")

    def test_source(self):
        for name in ("bad.emd", "good.emd"):
            shutil.copy(movie(0), f"raw/{name}")
        with open("raw/bad.emd", "ab") as f:  # zeros at its end would look unfinished
            f.write(b"\1" * 5000)
        with Watch("raw", "out", prefix=self.prefix("pread:3:crash:raw/bad.emd")) as w:
            (event,) = w.wait("damaged", "bad.emd")
            self.assertIn("HDF5 crashes on it", event["reason"])
            w.wait("done", "good.emd")
            shutil.copy(movie(1), "raw/later.emd")
            w.wait("done", "later.emd")
            w.polls(10)
            self.assertEqual(len(w.events("damaged")), 1)
        self.assertEqual(outputs("out"), ["good.emd", "later.emd"])

    def test_hang(self):
        """It spins on others: their processor time is limited."""
        for name in ("bad.emd", "good.emd"):
            shutil.copy(movie(0), f"raw/{name}")
        with open("raw/bad.emd", "ab") as f:  # zeros at its end would look unfinished
            f.write(b"\1" * 5000)
        limited = ("sh", "-c", 'ulimit -St 2; exec "$@"', "sh")
        with Watch("raw", "out", prefix=(*limited, *self.prefix("pread:3:spin:raw/bad.emd"))) as w:
            w.wait("done", "good.emd")
            (event,) = w.wait("damaged", "bad.emd")
            self.assertIn("takes too long", event["reason"])
        with Watch("raw", "out", prefix=(*limited, *self.prefix("pread:1:spin:out/good.emd"))) as w:
            (event,) = w.wait("conflict", "good.emd")
            self.assertIn("takes too long", event["reason"])
            w.wait("done", "bad.emd")  # looked at again after a restart
        self.assertEqual(outputs("out"), ["bad.emd", "good.emd"])

    def test_output(self):
        """Nor is it with a damaged file in an output's place: that one stays, and is named."""
        for name in ("bad.emd", "good.emd"):
            shutil.copy(movie(0), f"raw/{name}")
        once("raw", "out")
        os.utime("out/good.emd", (1, 1))
        with Watch("raw", "out", prefix=self.prefix("pread:1:crash:out/bad.emd")) as w:
            (event,) = w.wait("conflict", "bad.emd")
            self.assertIn("move it away", event["reason"])
            shutil.copy(movie(1), "raw/later.emd")
            w.wait("done", "later.emd")
            self.assertEqual([e["file"] for e in w.events("done")], ["later.emd"])
        os.utime("out/bad.emd", (1, 1))
        run = subprocess.run([*self.prefix("pread:1:crash:out/bad.emd"), EMDWATCH, "--status", "raw", "out"],
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertRegex(run.stdout, r"(?m)^done +2 ")
        self.assertRegex(run.stdout, r"(?m)^failed +1 ")


class Names(Case):
    def test_odd_names(self):
        names = ["a b/c  d.emd", "quote'\"`$x.emd", "new\nline.emd", "Ünïcode 電子.emd", "-leading.emd",
                 "deep/" * 30 + "x.emd", "semi;colon&.emd", "%41.emd"]
        if sys.getfilesystemencoding() == "utf-8":
            names.append(os.fsdecode(b"byte\xff.emd"))
        for i, name in enumerate(names):
            os.makedirs(os.path.dirname(os.path.join("raw", name)), exist_ok=True)
            shutil.copy(movie(i), os.path.join("raw", name))
        for hidden in (".hidden.emd", "x.emd.tmp", "other.txt"):
            shutil.copy(movie(0), os.path.join("raw", hidden))
        os.mkdir("raw/.trash")
        shutil.copy(movie(0), "raw/.trash/x.emd")
        os.symlink("..", "raw/a b/loop")
        os.symlink(".", "raw/self")
        os.symlink("nowhere", "raw/dangling.emd")
        os.mkdir("raw/folder.emd")
        os.mkfifo("raw/pipe.emd")
        run = subprocess.run([EMDWATCH, "--once", "--settle", "0", "-c", "gzip:1", "raw", "out"], check=True,
                             capture_output=True, timeout=PATIENCE)
        self.assertEqual(len(run.stdout.splitlines()), len(names) + 1)  # no name breaks a line
        self.assertEqual(outputs("out"), sorted(n.replace(" ", "_") for n in names))
        for i, name in enumerate(names):
            self.assert_copied(movie(i), os.path.join("out", name.replace(" ", "_")))
        once("raw", "out")

    def test_names_cannot_play_with_a_terminal(self):
        for name in (b"a b\x1b[m\xc2\x9b.emd", b"a_b\x1b[m\xc2\x9b.emd"):
            shutil.copy(movie(0), b"raw/" + name)
        for options in (("--once", "--settle", "0"), ("--status",)):
            run = subprocess.run([EMDWATCH, *options, "raw", "out"], capture_output=True, check=False,
                                 timeout=PATIENCE)
            self.assertIn(rb"a b\x1b[m\xc2\x9b.emd: a b\x1b", run.stdout)
            self.assertIn(b"rename one", run.stdout)
            self.assertNotIn(b"\x1b", run.stdout)
            self.assertNotIn(b"\x9b", run.stdout)

    def test_two_sources_of_one_name(self):
        shutil.copy(movie(0), "raw/a b.emd")
        shutil.copy(movie(1), "raw/a_b.emd")
        shutil.copy(movie(2), "raw/c.emd")
        events = once("raw", "out", code=1)
        conflicts = [e for e in events if e["event"] == "conflict"]
        self.assertEqual(len(conflicts), 2)
        for e in conflicts:
            self.assertIn("a b.emd", e["reason"])
            self.assertIn("a_b.emd", e["reason"])
        self.assertEqual(outputs("out"), ["c.emd"])
        os.rename("raw/a_b.emd", "raw/d.emd")
        once("raw", "out")
        self.assertEqual(outputs("out"), ["a_b.emd", "c.emd", "d.emd"])

    def test_what_others_made_stays(self):
        shutil.copy(movie(0), "raw/a.emd")
        shutil.copy(movie(1), "out/a.emd")
        before = content("out/a.emd")
        (conflict, _) = once("raw", "out", code=1)
        self.assertEqual(conflict["event"], "conflict")
        self.assertEqual(content("out/a.emd"), before)
        os.remove("out/a.emd")
        once("raw", "out")
        self.assert_copied(movie(0), "out/a.emd")

    def test_another_source_of_the_same_target(self):
        """A movie of the same name from elsewhere does not replace the first one's output."""
        os.makedirs("raw/day")
        shutil.copy(movie(0), "raw/day/a.emd")
        once("raw", "out")
        for f in (f"elsewhere/day/{n}.emd" for n in "ab"):
            os.makedirs(os.path.dirname(f), exist_ok=True)
            shutil.copy(movie(1), f)
        self.addCleanup(shutil.rmtree, "elsewhere", ignore_errors=True)
        before = content("out/day/a.emd")
        conflict, *_ = [e for e in once("elsewhere", "out", code=1) if e["event"] == "conflict"]
        self.assertIn(os.path.realpath("raw/day/a.emd"), conflict["reason"])
        self.assertIn(os.path.realpath("elsewhere/day/a.emd"), conflict["reason"])
        self.assertEqual(content("out/day/a.emd"), before)
        self.assert_copied(movie(1), "out/day/b.emd")
        self.assertEqual([e["event"] for e in once("raw", "out")], ["summary"])
        os.remove("out/day/a.emd")
        once("elsewhere", "out")
        self.assert_copied(movie(1), "out/day/a.emd")
        shutil.copy(movie(2), "elsewhere/day/a.emd")  # its own source changes
        once("elsewhere", "out")
        self.assert_copied(movie(2), "out/day/a.emd")

    def test_a_share_under_another_path(self):
        """Another place, other inodes and coarser times do not make another movie of it."""
        shutil.copy(movie(0), "raw/a.emd")
        os.utime("raw/a.emd", ns=(1, 1700000000123456789))
        once("raw", "out")
        before = os.stat("out/a.emd")
        for ns in (1700000000123456789, 1700000000123456700, 1700000000123000000, 1700000000000000000):
            with tempfile.TemporaryDirectory(dir=".") as share:
                shutil.copy(movie(0), f"{share}/a.emd")
                os.utime(f"{share}/a.emd", ns=(1, ns))
                self.assertEqual([e["event"] for e in once(share, "out")], ["summary"])
                os.utime(f"{share}/a.emd", ns=(1, ns + 10**9))
                self.assertEqual([e["event"] for e in once(share, "out", code=1)], ["conflict", "summary"])
        self.assertEqual(os.stat("out/a.emd").st_ino, before.st_ino)

    def test_an_output_in_use(self):
        """One that cannot be looked at now is no conflict: it is asked again."""
        shutil.copy(movie(0), "raw/a.emd")
        once("raw", "out")
        with open("out/a.emd", "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            once("raw", "out", code=3)
            w = Watch("raw", "out")
            w.wait("trouble", "a.emd")
        with w:
            shutil.copy(movie(1), "raw/a.emd")
            w.wait("done", "a.emd")
            self.assert_copied(movie(1), "out/a.emd")
            self.assertEqual(w.events("conflict"), [])

    def test_target_inside_the_source(self):
        shutil.copy(movie(0), "raw/a.emd")
        once("raw", "raw/compressed")
        once("raw", "raw/compressed")
        self.assertEqual(outputs("raw/compressed"), ["a.emd"])


class Trouble(Case):
    def test_two_instances(self):
        with Watch("raw", "out") as w:
            lock = "out/.emdwatch.lock.tmp"
            wait_for(lambda: os.path.exists(lock) and os.path.getsize(lock) > 0, "the lock")
            run = subprocess.run([EMDWATCH, "--once", "raw", "out"], capture_output=True, text=True,
                                 check=False)
            self.assertEqual(run.returncode, 3)
            self.assertIn(f"another emdwatch, process {w.process.pid} ", run.stderr)
            os.mkdir("raw2")  # nor one from another folder into the same
            run = subprocess.run([EMDWATCH, "--once", "raw2", "out"], capture_output=True, text=True,
                                 check=False)
            os.rmdir("raw2")
            self.assertEqual(run.returncode, 3)
            self.assertIn("another emdwatch", run.stderr)
            w.process.kill()
            w.process.wait()
        once("raw", "out")

    def test_temps(self):
        """Those of dead runs go; those in use, and what is not ours, stay."""
        number = "0123456789abcdef"
        for name in (f"dead.emd.{number}.tmp", f"live.emd.{number}.tmp", "notes.tmp", "mine.emd.tmp",
                     f"photo.jpg.{number}.tmp"):
            with open(os.path.join("out", name), "w", encoding="ascii") as f:
                f.write("x")
        with open(f"out/live.emd.{number}.tmp", "r+", encoding="ascii") as live:
            fcntl.lockf(live, fcntl.LOCK_EX)
            once("raw", "out")
            self.assertEqual(outputs("out"), [f"live.emd.{number}.tmp", "mine.emd.tmp", "notes.tmp",
                                              f"photo.jpg.{number}.tmp"])

    def test_somebody_tidies_up(self):
        """find OUT -name '*.tmp' -delete takes the lock's file away: it is made anew."""
        with Watch("raw", "out") as w:
            lock = "out/.emdwatch.lock.tmp"
            wait_for(lambda: os.path.exists(lock) and os.path.getsize(lock) > 0, "the lock")
            subprocess.run(["find", "out", "-name", "*.tmp", "-delete"], check=True)
            shutil.copy(movie(0), "raw/a.emd")
            w.wait("done", "a.emd")
            wait_for(lambda: os.path.exists(lock), "the lock again")
            self.assertEqual(subprocess.run([EMDWATCH, "--once", "raw", "out"], capture_output=True,
                                            check=False).returncode, 3)
            # another's: this one ends, and leaves it alone
            os.remove(lock)
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
                boot = f.read().strip()
            space = os.readlink("/proc/self/ns/pid")
            with open(lock, "w", encoding="ascii") as f:
                f.write(f"emdtools-lock 1 0123456789abcdef {os.getpid()} 0 {space} {boot} here \n")
            self.assertEqual(w.process.wait(PATIENCE), 1)
            self.assertTrue(os.path.exists(lock))
        os.remove(lock)

    def shimmed(self, rules):
        return ("env", f"LD_PRELOAD={Crashes.shim}", f"EMD_FAULT={rules}")

    @unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "the shim comes before the sanitizer")
    def test_locks_that_everybody_gets(self):
        """NFS with nolock, SMB with nobrl, sshfs: a second emdwatch is refused all the same."""
        rules = self.shimmed("lock:1+:grant:;statfs:1+:nfs:")
        with Watch("raw", "out", prefix=rules) as w:
            lock = "out/.emdwatch.lock.tmp"
            wait_for(lambda: os.path.exists(lock) and os.path.getsize(lock) > 0, "the lock")
            prefixes = [()]
            if os.geteuid() == 0 and shutil.which("unshare"):
                prefixes.append(("unshare", "--pid", "--fork", "--mount-proc"))
            for prefix in prefixes:
                run = subprocess.run([*prefix, *rules, EMDWATCH, "--once", "raw", "out"],
                                     capture_output=True, text=True, check=False, timeout=PATIENCE)
                self.assertEqual(run.returncode, 3, run.stderr)
                self.assertIn("another emdwatch", run.stderr)
            shutil.copy(movie(0), "raw/a.emd")
            w.wait("done", "a.emd")

    @unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "the shim comes before the sanitizer")
    def test_hiccups_are_no_verdict(self):
        """Reads that fail for a while, in whatever process, and the kernel's killer."""
        for name in ("a.emd", "good.emd"):
            shutil.copy(movie(0), f"raw/{name}")
        with open("raw/a.emd", "ab") as f:  # zeros at its end would look unfinished
            f.write(b"\1" * 5000)
        for rule in ("pread:1+:EIO!:raw/a.emd", "pread:4+:ESTALE!:raw/a.emd", "pread:6+:EIO!:raw/a.emd",
                     "pread:3:oom:raw/a.emd"):
            with self.subTest(rule=rule):
                shutil.rmtree("out")
                os.mkdir("out")
                with Watch("raw", "out", prefix=self.shimmed(rule)) as w:
                    w.wait("trouble", "a.emd")
                    w.wait("done", "good.emd")
                    self.assertEqual(w.events("damaged") + w.events("conflict"), [])
                with Watch("raw", "out") as w:
                    w.wait("done", "a.emd")
                with Watch("raw", "out", prefix=self.shimmed(rule.replace("raw/", "out/"))) as w:
                    w.polls(20)
                    self.assertEqual(w.events("damaged") + w.events("conflict"), [])

    def test_damage_is_looked_at_again(self):
        """After a restart and when asked; it is repeated only if it is something else."""
        with open(movie(0), "rb") as f:
            data = f.read()
        with open("raw/a.emd", "wb") as f:
            f.write(b"no HDF5 file" + b"\1" * (len(data) - 12))
        os.utime("raw/a.emd", ns=(1, 10**18))
        with Watch("raw", "out") as w:
            w.wait("damaged", "a.emd")
            before = os.stat("raw/a.emd")
            with open("raw/a.emd", "r+b") as f:  # what the server shows again is the same file
                f.write(data)
            os.utime("raw/a.emd", ns=(1, 10**18))
            self.assertEqual(os.stat("raw/a.emd").st_size, before.st_size)
            subprocess.run([EMDWATCH, "--retry", "raw", "out"], check=True)
            w.wait("done", "a.emd")

    def test_source_comes_and_goes(self):
        shutil.copy(movie(0), "raw/a.emd")
        with Watch("raw", "out") as w:
            w.wait("done", "a.emd")
            os.rename("raw", "gone")
            w.wait("waiting")
            w.polls(10)
            self.assertEqual(len(w.events("waiting")), 1)
            os.rename("gone", "raw")
            w.wait("going on")
            shutil.copytree("raw", "raw/new")
            w.wait("done", "new/a.emd")
            shutil.rmtree("raw/new")
            os.rename("out", "lost")
            os.mkdir("out")  # an empty mount point
            shutil.copy(movie(1), "raw/b.emd")
            w.polls(20)
            self.assertEqual(tree("out"), [])
            os.rmdir("out")
            os.rename("lost", "out")
            w.wait("done", "b.emd")
        shutil.rmtree("gone", ignore_errors=True)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
    def test_permissions(self):
        os.makedirs("raw/secret")
        shutil.copy(movie(0), "raw/secret/a.emd")
        shutil.copy(movie(1), "raw/b.emd")
        shutil.copy(movie(2), "raw/unreadable.emd")
        os.chmod("raw/unreadable.emd", 0)
        os.chmod("raw/secret", 0)
        os.chmod(".", 0o755)
        parent = os.path.abspath(".")
        while parent != "/":  # the test's folders lie where only root may go
            if not os.stat(parent).st_mode & 0o001:
                self.skipTest(f"{parent} is closed to others")
            parent = os.path.dirname(parent)
        os.chown("out", 65534, 65534)
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        with Watch("raw", "out", prefix=prefix) as w:
            w.wait("done", "b.emd")
            w.wait("unreadable", "secret")
            w.wait("busy", "unreadable.emd")
            w.polls(10)
            self.assertEqual(len(w.events("unreadable")), 1)
            os.chmod("raw/secret", 0o755)
            w.wait("done", "secret/a.emd")
            os.chmod("out", 0o555)
            shutil.copy(movie(3), "raw/d.emd")
            w.wait("waiting", "d.emd")
            os.chmod("out", 0o755)
            w.wait("done", "d.emd")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to mount a tmpfs")
    def test_full_disk(self):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", "out"], check=False).returncode:
            self.skipTest("cannot mount a tmpfs")
        try:
            with open("out/ballast", "wb") as f:
                f.write(bytes(900 << 10))
            subprocess.run([EMDSIM, "-q", "--size", "256", "--frames", "6", "raw/a.emd"], check=True)
            shutil.copy("raw/a.emd", "raw/b.emd")
            with Watch("raw", "out", "-c", "none") as w:
                w.wait("waiting")
                w.polls(15)
                self.assertEqual(len(w.events("waiting")), 1)
                self.assertEqual(outputs("out"), ["ballast"])
                os.remove("out/ballast")
                subprocess.run(["mount", "-o", "remount,size=20m", "out"], check=True)
                w.wait("done", "a.emd")
                w.wait("done", "b.emd")
                w.wait("going on")
            self.assertEqual(outputs("out"), ["a.emd", "b.emd"])
            self.assert_copied("raw/a.emd", "out/b.emd")
        finally:
            subprocess.run(["umount", "-l", "out"], check=True)

    def workers(self, pid):
        """Processes that the node has forked for repacking hold a source open."""
        found = []
        for p in os.listdir("/proc"):
            try:
                with open(f"/proc/{p}/stat", encoding="ascii", errors="replace") as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(p))
            except (OSError, ValueError, IndexError):
                pass
        return found

    def stop_worker(self, w):
        """Stops the process that repacks the big file."""
        def stopped():
            for pid in self.workers(w.process.pid):
                try:
                    fds = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
                except OSError:
                    continue
                if any(fd.endswith("big.emd") for fd in fds):
                    os.kill(pid, signal.SIGSTOP)
                    return pid
            return None
        return wait_for(stopped, "a worker")

    def test_a_stalled_file_stops_no_other(self):
        subprocess.run([EMDSIM, "-q", "--size", "1024", "--frames", "30", "raw/big.emd"], check=True)
        with Watch("raw", "out", "-j", "1", "-c", "gzip:9") as w:
            pid = self.stop_worker(w)
            shutil.copy(movie(0), "raw/small.emd")
            w.wait("stalled", "big.emd")
            w.wait("done", "small.emd")
            os.kill(pid, signal.SIGCONT)
            w.wait("done", "big.emd")

    def test_signals(self):
        subprocess.run([EMDSIM, "-q", "--size", "1024", "--frames", "30", "raw/big.emd"], check=True)
        with Watch("raw", "out", "-c", "gzip:9") as w:
            pid = self.stop_worker(w)
            w.process.terminate()  # one: what runs is finished
            w.wait("stopping")
            os.kill(pid, signal.SIGCONT)
            self.assertEqual(w.process.wait(PATIENCE), 0)
            self.assertEqual(outputs("out"), ["big.emd"])
        os.remove("out/big.emd")
        with Watch("raw", "out", "-c", "gzip:9") as w:
            pid = self.stop_worker(w)
            w.process.terminate()
            w.wait("stopping")
            w.process.terminate()  # two: aborted, cleanly
            time.sleep(0.2)
            os.kill(pid, signal.SIGCONT)
            self.assertEqual(w.process.wait(PATIENCE), 1)
            self.assertEqual(outputs("out"), [])
        shutil.copy(movie(0), "raw/s.emd")
        with Watch("raw", "out", "--poll", "3600", settle="0") as w:
            w.wait("done", "s.emd")
            shutil.copy(movie(1), "raw/t.emd")
            for number in (signal.SIGHUP, signal.SIGUSR1):
                w.process.send_signal(number)
            w.wait("done", "t.emd")

    def test_hints_wake_earlier(self):
        """On a local disk a new file is seen long before the next poll."""
        if subprocess.run(["stat", "-f", "-c", "%T", "raw"], capture_output=True, text=True,
                          check=True).stdout.strip() not in ("ext2/ext3", "xfs", "btrfs", "tmpfs", "overlayfs"):
            self.skipTest("not a local disk")
        os.mkdir("raw/sub")
        shutil.copy(movie(0), "raw/a.emd")
        with Watch("raw", "out", "--poll", "3600", settle="0") as w:
            w.wait("done", "a.emd")
            shutil.copy(movie(1), "raw/sub/b.emd")
            w.wait("done", "sub/b.emd")

    @unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "a sanitizer keeps freed memory")
    def test_nothing_leaks(self):
        for i in range(20):
            shutil.copy(movie(i), f"raw/{i}.emd")

        def usage(pid):
            with open(f"/proc/{pid}/statm", encoding="ascii") as f:
                resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            return resident, len(os.listdir(f"/proc/{pid}/fd"))

        with Watch("raw", "out", "--poll", "0.01", settle="0.03") as w:
            w.wait("done", count=20)
            time.sleep(1)
            before = usage(w.process.pid)
            for i in range(20, 40):  # a few hundred polls, and work between them
                shutil.copy(movie(i), f"raw/{i}.emd")
                time.sleep(0.1)
            w.wait("done", count=40)
            time.sleep(2)
            resident, descriptors = usage(w.process.pid)
            wait_for(lambda: usage(w.process.pid)[1] <= before[1] + 2, f"{descriptors} descriptors")
            self.assertLess(resident, before[0] + (2 << 20))


class Hostile(Case):
    """Folders that belong to others."""

    def test_special_files_do_not_block(self):
        shutil.copy(movie(0), "raw/a.emd")
        for name in (".emdwatch.json", "a.frames.tsv"):
            for make in ("mkfifo", "ln -s /dev/zero"):
                subprocess.run(["rm", "-rf", "out"], check=True)
                os.mkdir("out")
                subprocess.run([*make.split(), f"out/{name}"], check=True)
                run = subprocess.run([EMDWATCH, "--once", "--settle", "0", "--poll", "0.1", "--frame-stats",
                                      "raw", "out"], capture_output=True, check=False, timeout=PATIENCE)
                self.assertEqual(run.returncode, 0 if name[0] == "." else 1, (name, make, run))
        for make in ("mkfifo", "ln -s /dev/zero", "mkdir"):
            subprocess.run(["rm", "-rf", "out"], check=True)
            os.mkdir("out")
            subprocess.run([*make.split(), "out/.emdwatch.lock.tmp"], check=True)
            run = subprocess.run([EMDWATCH, "--once", "raw", "out"], capture_output=True, check=False,
                                 timeout=PATIENCE)
            self.assertEqual(run.returncode, 1, (make, run))
            self.assertIn(b"move it away", run.stderr)

    def test_names_come_from_the_scan_only(self):
        os.makedirs("secret", exist_ok=True)
        self.addCleanup(shutil.rmtree, "secret")
        shutil.copy(movie(0), "secret/x.emd")
        st = os.stat("secret/x.emd")
        ids = [st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns // 10**9, st.st_mtime_ns % 10**9,
               st.st_ctime_ns // 10**9, st.st_ctime_ns % 10**9]
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            boot = f.read().strip()
        entries = [{"name": name, "id": ids, "state": "waiting", "outcome": 0, "since": 0, "looks": 9}
                   for name in ("../secret/x.emd", "/etc/x.emd", "gone.emd")]
        version = subprocess.run([EMDWATCH, "--version"], capture_output=True, text=True,
                                 check=True).stdout.split()[-1]
        with open("out/.emdwatch.json", "w", encoding="ascii") as f:
            json.dump({"version": version, "boot": boot, "entries": entries}, f)
        os.mkdir("raw/closed")
        once("raw", "out")
        self.assertEqual(outputs("out"), [])
        self.assertEqual(os.listdir("secret"), ["x.emd"])

    def test_links_in_the_target_are_not_followed(self):
        os.makedirs("elsewhere", exist_ok=True)
        self.addCleanup(shutil.rmtree, "elsewhere")
        os.makedirs("raw/sub/deep")
        shutil.copy(movie(0), "raw/sub/deep/a.emd")
        os.symlink("../elsewhere", "out/sub")
        (event, _) = once("raw", "out", code=1)
        self.assertEqual(event["event"], "conflict")
        self.assertIn("is a link or a file; move it away", event["reason"])
        self.assertEqual(os.listdir("elsewhere"), [])

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_links_to_files_of_others(self):
        os.makedirs("private", exist_ok=True)
        self.addCleanup(shutil.rmtree, "private")
        for name, owner in (("victim", 1001), ("own", 1002)):
            shutil.copy(movie(0), f"private/{name}.emd")
            os.chown(f"private/{name}.emd", owner, owner)
            os.symlink(f"../private/{name}.emd", f"raw/{name}.emd")
            os.lchown(f"raw/{name}.emd", 1002, 1002)
        events = once("raw", "out", code=1)
        self.assertEqual([e["file"] for e in events if e["event"] == "done"], ["own.emd"])
        (event,) = [e for e in events if e.get("file") == "victim.emd"]
        self.assertIn("not followed", event["reason"])
        self.assertEqual(outputs("out"), ["own.emd"])

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_modes_and_owners_follow_the_movie(self):
        shutil.copy(movie(0), "raw/a.emd")
        os.chmod("raw/a.emd", 0o640)
        os.chown("raw/a.emd", 1001, 1002)
        once("raw", "out", "--frame-stats")
        for name in ("a.emd", "a.frames.tsv"):
            st = os.stat(f"out/{name}")
            self.assertEqual((st.st_mode & 0o777, st.st_uid, st.st_gid), (0o640, 1001, 1002), name)

    def test_long_names(self):
        for n in (236, 240, 251):
            shutil.copy(movie(0), f"raw/{'x' * n}.emd")
        once("raw", "out", "--frame-stats")
        self.assertEqual(len([f for f in outputs("out") if f.endswith(".emd")]), 3)
        self.assertEqual(len([f for f in outputs("out") if f.endswith(".frames.tsv")]), 3)

    def test_few_descriptors(self):
        """Too few for anything: that is said, and ends."""
        shutil.copy(movie(0), "raw/a.emd")
        for n in range(4, 14):
            run = subprocess.run(["sh", "-c", f'ulimit -n {n}; exec "$@"', "sh", EMDWATCH, "--once", "--settle",
                                  "0", "--poll", "0.1", "raw", "out"], capture_output=True, text=True,
                                 check=False, timeout=PATIENCE)
            self.assertTrue(run.returncode == 0 or run.stderr or "trouble" in run.stdout, (n, run))
        once("raw", "out")

    def test_folders(self):
        run = subprocess.run([EMDWATCH, "raww", "out"], capture_output=True, text=True, check=False,
                             timeout=PATIENCE)
        self.assertEqual(run.returncode, 2)
        self.assertIn("--wait waits for it", run.stderr)
        with Watch("later", "out", "--wait") as w:
            w.wait("waiting")
            os.mkdir("later")
            self.addCleanup(shutil.rmtree, "later")
            shutil.copy(movie(0), "later/a.emd")
            w.wait("done", "a.emd")

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "needs root and unshare")
    def test_a_target_that_is_the_source(self):
        run = subprocess.run(["unshare", "--mount", "sh", "-c", "mount --bind raw out && exec \"$0\" --once raw out",
                              EMDWATCH], capture_output=True, text=True, check=False, timeout=PATIENCE)
        if "mount" in run.stderr:
            self.skipTest("cannot mount here")
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertIn("lies in", run.stderr)


class Monitoring(Case):
    def test_status(self):
        shutil.copy(movie(0), "raw/a.emd")
        os.chmod("raw/a.emd", 0o600)
        once("raw", "out")

        def status():
            run = subprocess.run([EMDWATCH, "--status", "--json", "raw", "out"], capture_output=True, text=True,
                                 check=False, timeout=PATIENCE)
            return run.returncode, json.loads(run.stdout)

        code, report = status()
        self.assertEqual((code, report["done"]["files"], report["watched"], report["files"]), (0, 1, False, []))
        shutil.copy(movie(1), "out/b.emd")
        shutil.copy(movie(0), "raw/b.emd")
        with Watch("raw", "out") as w:
            w.wait("conflict", "b.emd")
            self.assertTrue(status()[1]["watched"])
        code, report = status()
        self.assertEqual((code, report["failed"]["files"], report["files"][0]["file"]), (1, 1, "b.emd"))

    def test_commands(self):
        """They get words, not a shell's line, whatever a name holds."""
        name = "a $(touch x); 'b\".emd"
        shutil.copy(movie(0), f"raw/{name}")
        with open("raw/bad.emd", "wb") as f:
            f.write(b"\1" * 5000)
        with open("hook", "w", encoding="ascii") as f:
            f.write('#!/bin/sh\nkind=$1\nshift\nprintf "%s\\n" "$@" >"$kind.said"\n')
        os.chmod("hook", 0o755)
        hook = os.path.abspath("hook")
        if " " in hook:
            self.skipTest("a space in the folder's name")
        once("raw", "out", "--on-done", f"{hook} done", "--on-failure", f"{hook} failed", "--metrics", "m.prom",
             code=1)
        with open("done.said", encoding="utf-8") as f:
            self.assertEqual(f.read(), f"raw/{name}\nout/{name.replace(' ', '_')}\n")
        with open("failed.said", encoding="utf-8") as f:
            self.assertEqual(f.read().splitlines()[0], "raw/bad.emd")
        self.assertFalse(os.path.exists("x"))
        with open("m.prom", encoding="ascii") as f:
            figures = f.read()
        for line in ('emdwatch_files{state="done"} 1', 'emdwatch_files{state="failed"} 1',
                     "emdwatch_done_files_total 1", "emdwatch_raw_readable 1"):
            self.assertIn(line + "\n", figures)

    def test_patterns(self):
        for name in ("a.EMD", "b.Emd", "c.h5", "d.txt"):
            shutil.copy(movie(0), f"raw/{name}")
        once("raw", "out")
        self.assertEqual(outputs("out"), ["a.EMD", "b.Emd"])
        once("raw", "out", "--pattern", "*.h5", "--pattern", "d.*")
        self.assertEqual(outputs("out"), ["a.EMD", "b.Emd", "c.h5", "d.txt"])


@unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "a sanitizer keeps freed memory")
class Day(Case):
    """A day at the microscope, a simulated minute a poll: a movie every ten minutes, one in fifty
    without frames, one in fifty damaged; a growing one, a lock and a lost share now and then; old
    ones are moved away. The node must not grow, nor keep descriptors or processes."""

    def usage(self, pid):
        with open(f"/proc/{pid}/statm", encoding="ascii") as f:
            resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            children = len(f.read().split())
        return resident, len(os.listdir(f"/proc/{pid}/fd")), children

    def arrive(self, number):
        name = f"raw/day/{number}.emd"
        if number % 50 == 20:
            subprocess.run([EMDSIM, "-q", "--size", "64", "--frames", "0", name], check=True)
        elif number % 50 == 40:
            with open(name, "w", encoding="ascii") as f:
                f.write("not a movie")
        else:
            with open(movie(number), "rb") as f, open(name, "wb") as g:
                data = f.read()
                g.write(data[:len(data) // 2])
                g.flush()
                time.sleep(3 * MINUTE)
                g.write(data[len(data) // 2:])

    def test_day(self):
        os.mkdir("raw/day")
        used, movies = [], 0
        with Watch("raw", "out", "--poll", str(MINUTE), "--jobs", "4", settle=str(3 * MINUTE)) as w:
            begun = time.monotonic()
            for minute in range(60 * HOURS):
                time.sleep(max(begun + minute * MINUTE - time.monotonic(), 0))
                if minute % 10 == 0:
                    self.arrive(movies)
                    movies += 1
                if minute % 120 == 70:  # the share is away for ten minutes
                    os.rename("raw", "away")
                    time.sleep(10 * MINUTE)
                    os.rename("away", "raw")
                if minute % 60 == 59:
                    for name in os.listdir("raw/day"):  # what is old goes
                        if int(name[:-4]) < movies - 30:
                            os.remove(f"raw/day/{name}")
                    used.append(self.usage(w.process.pid))
            expected = sum(i % 50 not in (20, 40) for i in range(movies))
            w.wait("done", count=expected)
            wait_for(lambda: self.usage(w.process.pid)[2] <= 1, "no process is left over")
            self.assertEqual(len({e["file"] for e in w.events("done")}), expected)
            self.assertEqual(len(w.events("done")), expected)
            self.assertEqual(len(w.events("empty")), sum(i % 50 == 20 for i in range(movies)))
            self.assertEqual(len(w.events("damaged")), sum(i % 50 == 40 for i in range(movies)))
        resident, descriptors, _ = zip(*used)
        first = max(1, HOURS // 6)  # by then every kind of thing has happened once
        print(f"{HOURS} hours, {movies} movies: resident KiB {[r >> 10 for r in resident]}, "
              f"descriptors {descriptors}", file=sys.stderr)
        self.assertLess(max(resident[first:]), max(resident[:first]) + (1 << 20))
        self.assertLessEqual(max(descriptors), min(descriptors) + 8)  # of a scan and four workers


class Churn(Case):
    def test_kills(self):
        """Movies come at random times while emdwatch is killed and started again."""
        movies, kills = CHURN
        rng = random.Random(7)
        done, w = [], None
        arrivals = sorted(rng.random() for _ in range(movies))
        pause = 0.5
        total = pause * kills
        begun, next_movie = time.monotonic(), 0
        for kill in range(kills):
            w = Watch("raw", "out", settle="0.1")
            while time.monotonic() - begun < (kill + 1) * pause:
                while next_movie < movies and arrivals[next_movie] * total < time.monotonic() - begun:
                    folder = f"raw/s {next_movie % 7}"
                    os.makedirs(folder, exist_ok=True)
                    shutil.copy(movie(next_movie), f"{folder}/{next_movie}.emd")
                    next_movie += 1
                time.sleep(rng.random() * 0.02)
            w.process.kill()
            w.process.wait()
            done += [e["file"] for e in w.events("done")]
            w.log.close()
        for i in range(next_movie, movies):
            os.makedirs(f"raw/s {i % 7}", exist_ok=True)
            shutil.copy(movie(i), f"raw/s {i % 7}/{i}.emd")
        with Watch("raw", "out", settle="0.1") as w:
            made = 0
            while made < movies:  # as long as it goes on, a slow machine may take its time
                made = wait_for(lambda: (n := len([f for f in outputs("out") if f.endswith(".emd")])) > made and n,
                                f"more than {made} outputs")
            wait_for(lambda: not [f for f in outputs("out") if f.endswith(".tmp")], "no temps")
            done += [e["file"] for e in w.events("done")]
        self.assertEqual(len(outputs("out")), movies)
        self.assertEqual(len(done), len(set(done)), "a movie was done twice")
        expected = [content(movie(i)) for i in range(6)]
        for i in range(movies):
            self.assertEqual(content(f"out/s_{i % 7}/{i}.emd"), expected[i % 6])


class Sync(Case):
    def test_local(self):
        os.makedirs("out/raw")
        for name in ("a.emd", "raw/b.emd", "c.emd.tmp", ".emdwatch.json"):
            shutil.copy(movie(0), os.path.join("out", name))
        run = subprocess.run([EMDSYNC, "--once", "out/", "dst"], capture_output=True, text=True, check=True)
        self.assertEqual(copies("dst"), ["a.emd"])
        self.assertIn("copied a.emd", run.stdout)
        self.assertEqual(subprocess.run([EMDSYNC, "--once", "-q", "out/", "dst"], capture_output=True,
                                        check=True).stdout, b"")

    def test_failures_and_usage(self):
        nowhere = ["nowhere:out", "dst", "--", "-e", "false"]
        self.assertEqual(subprocess.run([EMDSYNC, "--once", *nowhere], capture_output=True,
                                        check=False).returncode, 1)
        patient = subprocess.Popen([EMDSYNC, "--interval", "08", *nowhere],
                                   stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        with patient, self.assertRaises(subprocess.TimeoutExpired):
            while b"failed: nowhere" not in patient.stderr.readline():
                pass
            try:
                patient.wait(2)
            finally:
                patient.terminate()
        for bad in ([], ["x"], ["a", "b", "c"], ["--interval", "x", "a", "b"], ["--bad", "a", "b"],
                    ["out/raw", "dst"]):
            self.assertEqual(subprocess.run([EMDSYNC, *bad], capture_output=True, check=False).returncode, 2)

    def test_one_instance_and_stop(self):
        shutil.copy(movie(0), "out/a.emd")
        first = subprocess.Popen([EMDSYNC, "--interval", "3600", "out/", "dst"], stdout=subprocess.PIPE)
        wait_for(lambda: os.path.exists("dst/a.emd"), "the first copy")
        self.assertEqual(subprocess.run([EMDSYNC, "--once", "out/", "dst"], capture_output=True,
                                        check=False).returncode, 3)
        first.terminate()
        out, _ = first.communicate(timeout=PATIENCE)
        self.assertEqual(first.returncode, 0)
        self.assertIn(b"stopped", out)

    def check_pipeline(self, source, dst, *options):
        with Watch("raw", "out", "--frame-stats") as w:
            sync = subprocess.Popen([EMDSYNC, "--interval", "0.2", source, dst, *options], stdout=subprocess.DEVNULL)
            try:
                for i in range(6):
                    shutil.copy(movie(i), f"raw/m {i}.emd")
                    # whatever appears under its final name can be read, every frame
                    for name in copies("dst"):
                        if name.endswith(".emd"):
                            with h5py.File(os.path.join("dst", name), "r") as f:
                                (group,) = f["Data/Image"].values()
                                for k in range(group["Data"].shape[2]):
                                    self.assertGreater(np.ptp(group["Data"][:, :, k]), 0)
                    time.sleep(0.2)
                w.wait("done", count=6)
                wait_for(lambda: len(copies("dst")) == 12, "all files at the destination")
            finally:
                sync.terminate()
                sync.wait(PATIENCE)
        for i in range(6):
            self.assert_copied(movie(i), f"dst/m_{i}.emd")

    def test_pipeline_local(self):
        self.check_pipeline("out/", "dst")

    def test_pipeline_daemon(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        with open("rsyncd.conf", "w", encoding="ascii") as f:
            f.write(f"use chroot = no\nport = {port}\naddress = 127.0.0.1\n"
                    f"[movies]\npath = {os.path.abspath('out')}\nread only = yes\n")
            if os.geteuid() == 0:
                f.write("uid = 0\ngid = 0\n")
        daemon = subprocess.Popen(["rsync", "--daemon", "--no-detach", "--config=rsyncd.conf"])
        try:
            def listening():
                with socket.socket() as s:
                    return s.connect_ex(("127.0.0.1", port)) == 0
            wait_for(listening, "the daemon")
            self.check_pipeline(f"rsync://127.0.0.1:{port}/movies/", "dst")
        finally:
            daemon.terminate()
            daemon.wait(PATIENCE)

    def test_pipeline_ssh(self):
        sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        if not sshd or not shutil.which("ssh"):
            self.skipTest("openssh-server is not installed")
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{key}.key"], check=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        here = os.path.abspath(".")
        with open("sshd.conf", "w", encoding="ascii") as f:
            f.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {here}/host.key\nPidFile none\n"
                    f"AuthorizedKeysFile {here}/user.key.pub\nStrictModes no\nUsePAM no\n"
                    "PasswordAuthentication no\nPermitRootLogin prohibit-password\n")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # sshd wants it, whatever its configuration
        with open("sshd.log", "w", encoding="ascii") as log:
            daemon = subprocess.Popen([sshd, "-D", "-e", "-f", f"{here}/sshd.conf"], stderr=log)
        ssh = (f"ssh -q -p {port} -i {here}/user.key -F none -o BatchMode=yes -o IdentitiesOnly=yes "
               f"-o UserKnownHostsFile={here}/known -o StrictHostKeyChecking=no")
        try:
            def answers():
                return daemon.poll() is not None or subprocess.run(
                    [*ssh.split(), "127.0.0.1", "true"], stdin=subprocess.DEVNULL, check=False).returncode == 0
            for _ in range(100):
                if answers():
                    break
                time.sleep(0.1)
            if daemon.poll() is not None or not answers():
                with open("sshd.log", encoding="utf-8", errors="replace") as log:
                    self.skipTest(f"sshd cannot be used here: {log.read()[-300:]}")
            self.check_pipeline(f"127.0.0.1:{here}/out/", "dst", "--", "-e", ssh)
        finally:
            daemon.terminate()
            daemon.wait(PATIENCE)

    def test_cut_off_transfers_stay_hidden(self):
        with open("out/big.emd", "wb") as f:
            f.write(os.urandom(4 << 20))
        sync = subprocess.Popen([EMDSYNC, "--once", "out/", "dst", "--", "--bwlimit=1000"],
                                stdout=subprocess.DEVNULL)
        wait_for(lambda: [f for f in tree("dst") if "/big.emd." in f], "the transfer")
        time.sleep(0.3)
        sync.terminate()
        sync.wait(PATIENCE)
        self.assertFalse(os.path.exists("dst/big.emd"))
        subprocess.run([EMDSYNC, "--once", "-q", "out/", "dst"], check=True)
        self.assertEqual(copies("dst"), ["big.emd"])
        with open("out/big.emd", "rb") as f, open("dst/big.emd", "rb") as g:
            self.assertEqual(f.read(), g.read())


if __name__ == "__main__":
    unittest.main()
