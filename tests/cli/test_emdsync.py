# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdsync: one per SRC and DST wherever it was started, several SRC into one DST, what is left behind by
whom, and when a file counts as copied. The way from emdwatch through ssh and a daemon is in
test_emdwatch.py."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
from waiting import wait_for  # noqa: E402

EMDSYNC = os.path.join(os.environ["EMDTOOLS_BIN"], "emdsync")
PATIENCE = 120
SLOW = ["--", "--bwlimit=500"]  # KiB/s
BIG = 3 << 20


def write(path, size=0, text=""):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as f:
        f.write(os.urandom(size) if size else text.encode())


def read(path):
    with open(path, "rb") as f:
        return f.read()


def tree(folder):
    return sorted(os.path.relpath(os.path.join(at, f), folder) for at, _, files in os.walk(folder) for f in files)


def emdsync(*arguments, code=0, **options):
    done = subprocess.run([EMDSYNC, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE,
                          **options)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: {done.returncode}, not {code}: {done.stdout} {done.stderr}")
    return done


class Sync(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir=".")
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder.name)
        self.children = []
        self.addCleanup(self.stop)

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            child.stdout.close()

    def start(self, *arguments, **options):
        """Runs it beside the test, in a process group of its own."""
        child = subprocess.Popen([EMDSYNC, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True,
                                 **options)
        self.children.append(child)
        return child

    def wait_for_transfer(self, dst, name):
        wait_for(lambda: any(name in f and f != name for f in tree(dst)), f"a transfer of {name}")

    def test_several_sources(self):
        write("a/a.emd", BIG)
        write("b/b.emd", BIG)
        write("b/sub/same.emd", 1000)
        write("dst/.other.emd.AbCdEf", text="of an rsync that is not ours")
        write("dst/sub/.other.emd.AbCdEf", text="this one, too")
        first = self.start("--once", "a/", "dst", *SLOW)
        self.wait_for_transfer("dst", "a.emd")
        second = self.start("--once", "b/", "dst", *SLOW)
        self.wait_for_transfer("dst", "b.emd")
        third = emdsync("--once", "b/sub/", "dst/more")
        self.assertIn("copied same.emd, 1000 bytes", third.stdout)
        for child in (first, second):
            self.assertEqual(child.wait(PATIENCE), 0)
        self.assertEqual(read("a/a.emd"), read("dst/a.emd"))
        self.assertEqual(read("b/b.emd"), read("dst/b.emd"))
        self.assertEqual(tree("dst"), [".other.emd.AbCdEf", "a.emd", "b.emd", "more/same.emd",
                                       "sub/.other.emd.AbCdEf", "sub/same.emd"])

    def test_one_of_a_kind(self):
        write("a/a.emd", BIG)
        os.symlink("a", "link")
        running = self.start("--interval", "3600", "a/", "dst", *SLOW)
        self.wait_for_transfer("dst", "a.emd")
        for source, dst in (("a/", "dst"), ("./a/", "dst/"), (os.path.abspath("a") + "/", os.path.abspath("dst")),
                            ("link/", "./dst")):
            said = emdsync("--once", source, dst, code=3).stderr
            self.assertIn("another emdsync", said)
        # another session: cron, systemd, su
        os.makedirs("elsewhere")
        emdsync("--once", "a/", "dst", code=3, env={"PATH": os.environ["PATH"], "HOME": "/", "TMPDIR": "elsewhere",
                                                    "XDG_RUNTIME_DIR": os.path.abspath("elsewhere")})
        private = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                   'mount -t tmpfs tmpfs /tmp && mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
        if not os.getcwd().startswith("/tmp") and \
                subprocess.run([*private, "true"], capture_output=True, check=False).returncode == 0:
            done = subprocess.run([*private, EMDSYNC, "--once", "a/", "dst"], capture_output=True, check=False)
            self.assertEqual(done.returncode, 3)
        # the directory itself is another matter than its content
        emdsync("--once", "a", "dst")
        self.assertEqual(read("a/a.emd"), read("dst/a/a.emd"))
        running.terminate()
        self.assertEqual(running.wait(PATIENCE), 0)
        self.assertIn("stopped", running.stdout.read())

    def test_killed(self):
        write("a/sub/a.emd", BIG)
        first = self.start("--once", "a/", "dst", *SLOW)
        self.wait_for_transfer("dst", "a.emd")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        write("dst/.emdsync-0123456789abcdef.0.tmp/a.emd.XXXXXX", text="of another source")
        # its rsync goes on: nobody may take its files for left-overs
        emdsync("--once", "a/", "dst", code=3)
        os.killpg(first.pid, signal.SIGKILL)
        # left-overs of another boot of this machine, or of a machine whose locks we do not see
        (mine,) = [f for f in os.listdir("dst") if f.endswith(".lock")]
        for name, age in (("old", 90000), ("young", 3600)):
            path = f"dst/{mine[:-len('.lock')]}.{name}.tmp"
            write(f"{path}/a.emd.XXXXXX", text="half")
            for f in (f"{path}/a.emd.XXXXXX", path):
                os.utime(f, (time.time() - age, time.time() - age))

        def free():
            done = subprocess.run([EMDSYNC, "--once", "-q", "a/", "dst"], capture_output=True, check=False)
            return done.returncode == 0
        wait_for(free, "the lock")
        self.assertEqual(read("a/sub/a.emd"), read("dst/sub/a.emd"))
        self.assertEqual(tree("dst"), [".emdsync-0123456789abcdef.0.tmp/a.emd.XXXXXX",
                                       f"{mine[:-len('.lock')]}.young.tmp/a.emd.XXXXXX", "sub/a.emd"])

    def test_interrupted_transfers_resume(self):
        write("a/sub/a.emd", BIG)
        first = self.start("--once", "a/", "dst", *SLOW)
        self.wait_for_transfer("dst", "a.emd")
        time.sleep(2)
        first.terminate()
        self.assertEqual(first.wait(PATIENCE), 0)
        (partial,) = tree("dst")
        self.assertRegex(partial, r"^sub/\.emdsync-[0-9a-f]{16}\.partial/a\.emd$")
        self.assertGreater(os.path.getsize(os.path.join("dst", partial)), 0)
        sent = emdsync("--once", "a/", "dst", "--", "--stats", "--no-whole-file").stdout
        self.assertIn("copied sub/a.emd", sent)
        matched = [line for line in sent.splitlines() if line.startswith("Matched data: ")]
        self.assertGreater(int(matched[0].split()[2].replace(",", "")), 0)
        self.assertEqual(tree("dst"), ["sub/a.emd"])
        self.assertEqual(read("a/sub/a.emd"), read("dst/sub/a.emd"))

    def test_copied_means_arrived(self):
        for name in ("a", "b", "c", "\u00e4 \\ #1"):
            write(f"src/{name}.emd", BIG // 4)
        write("src/d.emd", 100)
        write("dst/d.emd/x", text="in the way")
        child = self.start("--once", "src/", "dst", "--", "--bwlimit=1000", stderr=subprocess.DEVNULL)
        copied = []
        for line in child.stdout:
            if " copied " not in line:
                continue
            name = line.split(" copied ")[1].split(",")[0]
            self.assertEqual(read(f"src/{name}"), read(f"dst/{name}"))
            copied.append(name)
        self.assertEqual(child.wait(PATIENCE), 1)
        self.assertEqual(sorted(copied)[:3], ["a.emd", "b.emd", "c.emd"])
        self.assertNotIn("d.emd", copied)

    def fake_ssh(self):
        """Stands for ssh: the same machine is the other host."""
        write("ssh", text='#!/bin/sh\nshift\nexec sh -c "$*"\n')
        os.chmod("ssh", 0o755)
        return f"-e{os.path.abspath('ssh')}"

    def test_to_another_host(self):
        ssh, home = self.fake_ssh(), os.path.abspath("home")
        environment = dict(os.environ, HOME=home)
        write("src/a.emd", BIG)
        there = f"host:{os.path.abspath('dst')}"
        os.makedirs("dst")
        running = self.start("--interval", "3600", "src/", there, *SLOW, ssh, env=environment)
        self.wait_for_transfer("dst", "a.emd")
        emdsync("--once", "src/", there, "--", ssh, code=3, env=environment)
        self.assertIn("copied a.emd", running.stdout.readline())
        self.assertEqual(read("src/a.emd"), read("dst/a.emd"))
        running.terminate()
        self.assertEqual(running.wait(PATIENCE), 0)
        self.assertEqual(tree("home") + tree("dst"), ["a.emd"])

    def test_fsync(self):
        """Wherever rsync has it, and not elsewhere, also on the other side."""
        real = shutil.which("rsync")
        has_it = "--fsync" in subprocess.run([real, "--help"], capture_output=True, text=True, check=True).stdout
        write("bin/rsync", text=f'#!/bin/sh\necho "$@" >>"{os.path.abspath("log")}"\nexec {real} "$@"\n')
        write("old/rsync", text='#!/bin/sh\ncase "$*" in --help) echo old; exit ;; *--fsync*) exit 1 ;; esac\n'
                                f'exec {real} "$@"\n')
        os.chmod("bin/rsync", 0o755)
        os.chmod("old/rsync", 0o755)
        write("src/a.emd", 1000)
        emdsync("--once", "src/", "dst", env=dict(os.environ, PATH=f"{os.path.abspath('bin')}:{os.environ['PATH']}"))
        log = read("log").decode().splitlines()
        self.assertEqual(any("--fsync" in line for line in log[1:]), has_it)
        emdsync("--once", "src/", "dst2", env=dict(os.environ, PATH=f"{os.path.abspath('old')}:{os.environ['PATH']}"))
        there = f"host:{os.path.abspath('dst3')}"
        done = emdsync("--once", "src/", there, "--", self.fake_ssh(), f"--rsync-path={os.path.abspath('old/rsync')}",
                       env=dict(os.environ, HOME=os.path.abspath("home")))
        self.assertIn("copied a.emd", done.stdout)
        for dst in ("dst", "dst2", "dst3"):
            self.assertEqual(tree(dst), ["a.emd"])
        if has_it:
            self.assertIn("no --fsync", done.stderr)

    def test_hostile_lock(self):
        """What lies where the lock should be: nothing is overwritten, nothing hangs."""
        write("src/a.emd", 10)
        running = self.start("--interval", "3600", "src/", "dst")
        self.assertIn("copied a.emd", running.stdout.readline())
        (lock,) = [f for f in os.listdir("dst") if f.endswith(".lock")]
        running.terminate()
        running.wait(PATIENCE)
        write("precious", text="precious")
        os.symlink("../precious", f"dst/{lock}")
        emdsync("--once", "src/", "dst", code=1)
        self.assertEqual(read("precious"), b"precious")
        os.remove(f"dst/{lock}")
        os.mkfifo(f"dst/{lock}")
        emdsync("--once", "src/", "dst", code=1)

    def test_usage(self):
        write("src/a.emd", 10)
        for bad in (["nowhere", "dst"], ["", "dst"], ["src", ""], ["src"], ["src", "dst", "more"], ["-x", "src", "dst"],
                    ["src/raw", "dst"], ["--interval=x", "src", "dst"]):
            emdsync("--once", *bad, code=2)
        self.assertFalse(os.path.exists("dst"))

    def test_journal(self):
        """No second time stamp where standard output leads to the journal."""
        write("src/a.emd", 10)
        for i, wanted in enumerate((r"^copied a\.emd", r"^20\d\d-\d\d-\d\dT\S+ copied a\.emd")):
            with open("log", "w+", encoding="utf-8") as log:
                s = os.fstat(log.fileno())
                subprocess.run([EMDSYNC, "--once", "src/", f"dst{i}"], stdout=log, check=True,
                               env=dict(os.environ, JOURNAL_STREAM=f"{s.st_dev}:{s.st_ino + i}"))
                log.seek(0)
                self.assertRegex(log.read(), wanted)


if __name__ == "__main__":
    unittest.main()
