# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Faults around a repack: failing system calls, full disks, locks, permissions, sources that change,
outputs that must not be touched, stale and busy temporary files, signals. After each: the right exit
code, a message that names the file, the source untouched, nothing replaced, no temporary file."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

import deepcompare
import faultlib as fl
from faultlib import emdrepack, movie

PRECIOUS = b"precious"
# Layout and budget of each plan: chunks as they are, blocks in memory, strips in a temporary file.
PLANS = {"same grid": ("frame", "1G"), "gather": ("contiguous", "1G"), "strips": ("contiguous", "4M")}


class Faulty(unittest.TestCase):
    """A folder 'here' for outputs, and what must hold after any failure."""

    def setUp(self):
        fl.fresh("here")
        self.sources = {}

    def source(self, plan="same grid"):
        layout = PLANS[plan][0]
        name = movie(f"{layout}.emd", "--layout", layout, size=200, frames=40)
        self.sources[name] = fl.digest(name)
        return name

    def nothing_left(self, *allowed):
        self.assertEqual(sorted(os.listdir("here")), sorted(allowed))
        for name, digest in self.sources.items():
            self.assertEqual(fl.digest(name), digest, "the source was touched")

    def fails(self, source, *args, codes=(1,), says=None, **options):
        """emdrepack into here/out.emd fails, and leaves nothing."""
        run = emdrepack("-q", "-c", "gzip:1", *args, source, "here/out.emd", codes=codes, **options)
        self.assertIn(f"emdrepack: {source}: ", run.stderr)
        if says:
            self.assertIn(says, run.stderr)
        self.nothing_left()
        return run

    def succeeds(self, source, *args, **options):
        emdrepack("-q", "-f", "-c", "gzip:1", *args, source, "here/out.emd", codes=(0,), **options)
        self.assertIsNone(deepcompare.difference(source, "here/out.emd"))
        self.nothing_left("out.emd")

    def counted(self, source, call, part, *args):
        """How often a good run makes a call on files whose name contains 'part'."""
        emdrepack("-q", "-f", "-c", "gzip:1", *args, source, "here/out.emd", codes=(0,),
                  fault=f"{call}:1000000:EIO:{part}", log="calls.log")
        os.unlink("here/out.emd")
        with open("calls.log", encoding="ascii") as f:
            return int(f.read())

    @staticmethod
    def sample(count, most=12):
        """First, last and some between."""
        return sorted({1, count, *range(1, count, max(count // most, 1))})


class SystemCalls(Faulty):
    def test_reading_fails(self):
        for plan, (_, memory) in PLANS.items():
            source = self.source(plan)
            count = self.counted(source, "pread", source, "-m", memory)
            self.assertGreater(count, 10)
            for n in self.sample(count):
                with self.subTest(plan=plan, call=n, of=count):
                    self.fails(source, "-m", memory, fault=f"pread:{n}+:EIO:{source}")

    def test_writing_fails(self):
        for plan, (_, memory) in PLANS.items():
            source = self.source(plan)
            for error, text in (("ENOSPC", os.strerror(errno.ENOSPC)), ("EIO", None)):
                count = self.counted(source, "pwrite", fl.OUT_TEMPORARY, "-m", memory)
                self.assertGreater(count, 10)
                for n in self.sample(count, 6):
                    with self.subTest(plan=plan, error=error, call=n, of=count):
                        self.fails(source, "-m", memory, fault=f"pwrite:{n}+:{error}:{fl.OUT_TEMPORARY}",
                                   says=text)

    def test_a_single_failed_write_is_enough(self):
        source = self.source()
        count = self.counted(source, "pwrite", fl.OUT_TEMPORARY)
        for n in self.sample(count):
            with self.subTest(call=n, of=count):
                self.fails(source, fault=f"pwrite:{n}:EIO:{fl.OUT_TEMPORARY}")

    def test_spilling_fails(self):
        """The temporary file of the strips has no name: it is told by the folder."""
        source = self.source("strips")
        spilled = self.counted(source, "pwrite", "here/#", "-m", "4M")
        self.assertGreater(spilled, 3, "nothing was spilled: the budget is too large for this test")
        for n in self.sample(spilled, 3):
            self.fails(source, "-m", "4M", fault=f"pwrite:{n}:ENOSPC:here/#", says="temporary file")
        self.fails(source, "-m", "4M", fault="pread:2:EIO:here/#", says="temporary file")

    def test_a_damaged_spill_is_seen(self):
        source = self.source("strips")
        for n in (1, 3):
            self.fails(source, "-m", "4M", "--verify=none", fault=f"pwrite:{n}:flip:here/#",
                       says="temporary file")

    def test_synchronising_and_renaming_fail(self):
        source = self.source()
        self.fails(source, fault=f"fsync:1:EIO:{fl.OUT_TEMPORARY}", says="to the disk")
        self.fails(source, fault="rename:1:EIO:out.emd", says="rename")

    def test_a_folder_that_cannot_be_synchronised_is_said(self):
        """The output has its name by then, and is whole: it stays."""
        source = self.source()
        run = emdrepack("-q", source, "here/out.emd", codes=(1,), fault="fsync:2:EIO:here")
        self.assertIn("is written, but its folder cannot be synchronised", run.stderr)
        self.assertIsNone(deepcompare.difference(source, "here/out.emd"))
        self.nothing_left("out.emd")

    def test_rename_without_flags(self):
        """Where renameat2 is refused (NFS), a link does it, and an existing output still stays."""
        source = self.source()
        emdrepack("-q", source, "here/out.emd", codes=(0,), fault="rename:1:EINVAL:out.emd")
        self.nothing_left("out.emd")
        run = emdrepack("-q", source, "here/out.emd", codes=(1,), fault="rename:1:EINVAL:out.emd")
        self.assertIn("exists already", run.stderr)
        self.nothing_left("out.emd")

    def test_short_and_interrupted_calls_go_on(self):
        for plan, (_, memory) in PLANS.items():
            source = self.source(plan)
            for fault in ("pread:*1:short:", "pwrite:*1:short:.tmp", "pread:*2:EINTR:",
                          "pwrite:*2:EINTR:.tmp", "pread:*3:short:;pwrite:*2:short:;pread:*5:EINTR:"):
                with self.subTest(plan=plan, fault=fault):
                    self.succeeds(source, "-m", memory, fault=fault)

    def test_sources_that_end_early(self):
        """The kernel says 'end of file' where there was more: an error, never SIGBUS, and never the zeros
        that HDF5 takes for what lies behind an end of file."""
        for plan, (_, memory) in PLANS.items():
            source = self.source(plan)
            count = self.counted(source, "pread", source, "-m", memory)
            for calls, most in (("+", 5), ("", 9)):
                for n in self.sample(count, most):
                    with self.subTest(plan=plan, calls=f"{n}{calls}", of=count):
                        self.fails(source, "-m", memory, codes=(1, 3), fault=f"pread:{n}{calls}:eof:{source}")

    @unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "a sanitizer catches the crash")
    def test_hdf5_crashes_or_hangs(self):
        """Only the process that asked it dies, of a limit where it spins."""
        source = self.source()
        limited = ("sh", "-c", 'ulimit -St 2; exec "$@"', "sh")
        for fault, says in (("crash", "HDF5 crashes on it"), ("spin", "takes too long")):
            run = emdrepack("-q", source, "here/out.emd", fault=f"pread:3:{fault}:{source}", codes=(1,),
                            prefix=limited)
            self.assertIn(says, run.stderr)
            self.nothing_left()

    def test_turned_bits_on_the_way_to_the_disk(self):
        """--verify=file reads back what was written: every turned bit in the data is found."""
        for plan, (_, memory) in PLANS.items():
            source = self.source(plan)
            count = self.counted(source, "pwrite", fl.OUT_TEMPORARY, "-m", memory)
            found = 0
            for n in self.sample(count):
                with self.subTest(plan=plan, call=n, of=count):
                    run = emdrepack("-q", "-f", "-c", "zstd", "-m", memory, "--verify=file", source,
                                    "here/out.emd", codes=(0, 1), fault=f"pwrite:{n}:flip:{fl.OUT_TEMPORARY}")
                    if run.code == 0:  # in bytes that mean nothing, or that are written again
                        self.assertIsNone(deepcompare.difference(source, "here/out.emd"))
                        os.unlink("here/out.emd")
                    found += run.code
                    self.nothing_left()
            self.assertGreater(found, 3)


class FinishedFile(Faulty):
    """What is done with the output before it gets its name, with no option for it."""

    @unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "a sanitizer catches the crash")
    def test_hdf5_crashes_or_hangs_on_it(self):
        source = self.source()
        limited = ("sh", "-c", 'ulimit -St 2; exec "$@"', "sh")
        for fault, says in (("crash", "HDF5 crashes on it"), ("spin", "takes too long")):
            run = self.fails(source, fault=f"pread:2:{fault}:{fl.OUT_TEMPORARY}", prefix=limited,
                             says="the output, read back")
            self.assertIn(says, run.stderr)

    def test_it_replaces_nothing_then(self):
        source = self.source()
        with open("here/out.emd", "wb") as f:
            f.write(PRECIOUS)
        emdrepack("-q", "-f", source, "here/out.emd", codes=(1,),
                  fault=f"pwrite:1:flip:{fl.OUT_TEMPORARY};pwrite:2:flip:{fl.OUT_TEMPORARY}")
        with open("here/out.emd", "rb") as f:
            self.assertEqual(f.read(), PRECIOUS)

    def test_without_verification_it_is_not_opened(self):
        source = self.source()
        emdrepack("-q", "--verify=none", source, "here/out.emd", codes=(0,),
                  fault=f"pread:1:crash:{fl.OUT_TEMPORARY}")

    def test_turned_bits_in_all_but_bulk_data(self):
        """In a file of which little goes through the engine: every turned bit is seen or harmless, or
        in a chunk that was compared before it was written, where reading back sees it."""
        interop = os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests", "interop")
        subprocess.run([sys.executable, os.path.join(interop, "make_nasty.py"), "nasty.h5"],
                       check=True)
        compare = [sys.executable, os.path.join(interop, "deepdiff.py"), "--storage-may-differ",
                   "--ignore-root-attribute", "emdrepack", "nasty.h5", "here/out.emd"]
        self.sources["nasty.h5"] = fl.digest("nasty.h5")
        count = self.counted("nasty.h5", "pwrite", fl.OUT_TEMPORARY)
        found = 0
        for n in self.sample(count, 10):
            fault = f"pwrite:{n}:flip:{fl.OUT_TEMPORARY}"
            with self.subTest(call=n, of=count):
                run = emdrepack("-q", "-c", "gzip:1", "nasty.h5", "here/out.emd", codes=(0, 1),
                                fault=fault)
                if run.code == 0:
                    said = subprocess.run(compare, capture_output=True, text=True, check=False)
                    os.unlink("here/out.emd")
                    if said.returncode != 0:
                        self.fails("nasty.h5", "--verify=file", fault=fault)
                found += run.code
                self.nothing_left()
        self.assertGreater(found, 2)


class Disk(Faulty):
    @unittest.skipUnless(fl.is_root(), "mounting a small tmpfs needs root")
    def test_full(self):
        source = self.source()
        stacked = self.source("strips")
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", "here"],
                               check=False, capture_output=True, text=True)
        if mount.returncode != 0:
            self.skipTest(f"cannot mount: {mount.stderr}")
        try:
            for name, options in ((source, ()), (source, ("-c", "none")), (stacked, ("-m", "4M"))):
                self.fails(name, *options)
        finally:
            subprocess.run(["umount", "here"], check=True)

    def test_file_size_limit(self):
        source = self.source()
        self.fails(source, prefix=("prlimit", "--fsize=300000"), says=os.strerror(errno.EFBIG))


class Permissions(Faulty):
    """As a user without rights; root may do anything."""

    def prefix(self):
        if not fl.is_root():
            return ()
        if not shutil.which("setpriv"):
            self.skipTest("root, and no setpriv")
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        probe = subprocess.run([*prefix, fl.EMDREPACK, "--version"], capture_output=True, check=False)
        if probe.returncode != 0:
            self.skipTest("user nobody cannot run the tools of this build")
        return prefix

    def test_read_only_folder(self):
        source = self.source()
        prefix = self.prefix()
        os.chmod("here", 0o555)
        try:
            self.fails(os.path.abspath(source), prefix=prefix, says=os.strerror(errno.EACCES))
        finally:
            os.chmod("here", 0o755)

    def test_unreadable_source(self):
        source = self.source()
        prefix = self.prefix()
        os.chmod("here", 0o777)
        os.chmod(source, 0)
        try:
            self.fails(source, prefix=prefix, says=os.strerror(errno.EACCES))
        finally:
            os.chmod(source, 0o644)

    def test_mode_of_the_source_is_kept(self):
        source = self.source()
        os.chmod(source, 0o440)
        try:
            self.succeeds(source)
            self.assertEqual(os.stat("here/out.emd").st_mode & 0o777, 0o440)
        finally:
            os.chmod(source, 0o644)


class Locks(Faulty):
    def test_fcntl_writer(self):
        source = self.source()
        with open(source, "r+b") as f:
            fcntl.lockf(f, fcntl.LOCK_EX)
            self.fails(source, codes=(3,), says=f"locked for writing by process {os.getpid()}")
            fcntl.lockf(f, fcntl.LOCK_UN)
            self.succeeds(source)

    def test_flock_writer(self):
        source = self.source()
        with open(source, "r+b") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            self.fails(source, codes=(3,), says="locked for writing by another program")
            fcntl.flock(f, fcntl.LOCK_SH)
            self.succeeds(source)  # other readers do not matter

    def test_no_lock_is_held_on_the_source(self):
        """An instrument that wants its file back gets it, in the midst of a repack."""
        source = movie("slow.emd", size=512, frames=60)
        with subprocess.Popen([fl.EMDREPACK, "-q", "-j1", "-c", "zstd:19", source, "here/out.emd"]) as p:
            while not fl.temporary("here/out.emd"):
                time.sleep(0.01)
            with open(source, "r+b") as f:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(fl.TIMEOUT), -signal.SIGTERM)
        self.nothing_left()


class Changes(Faulty):
    """What happens to the source while a slow repack is under way."""

    def change(self, action, says, codes=(3,), layout="frame"):
        source = f"changing_{layout}.emd"
        if os.path.exists(source):
            os.unlink(source)
        movie(source, "--layout", layout, size=512, frames=60)
        with subprocess.Popen([fl.EMDREPACK, "-q", "-j1", "-c", "zstd:19", source, "here/out.emd"],
                              stderr=subprocess.PIPE, text=True) as p:
            while not fl.is_growing("here/out.emd", 9999):
                self.assertIsNone(p.poll(), "it was too fast for this test")
                time.sleep(0.01)
            p.send_signal(signal.SIGSTOP)
            self.assertIsNone(p.poll(), "it was too fast for this test")
            action(source)
            p.send_signal(signal.SIGCONT)
            _, stderr = p.communicate(timeout=fl.TIMEOUT)
        self.assertIn(p.returncode, codes, stderr)
        self.assertIn(says, stderr)
        self.assertEqual(os.listdir("here"), [])

    def test_grows(self):
        def grow(name):
            with open(name, "ab") as f:
                f.write(bytes(4096))
        self.change(grow, "changed while it was read")

    def test_truncated(self):
        for layout in ("frame", "contiguous"):
            self.change(lambda name: os.truncate(name, 300000), "changing_", layout=layout)

    def test_rewritten_in_place(self):
        def rewrite(name):
            with open(name, "r+b") as f:
                f.seek(20 << 20)
                f.write(b"other")
        self.change(rewrite, "changed while it was read")

    def test_vanishes(self):
        self.change(os.unlink, "gone from its place")

    def test_replaced(self):
        def replace(name):
            shutil.copyfile(name, "other.emd")
            os.rename("other.emd", name)
        self.change(replace, "another file took its place")


class Outputs(Faulty):
    def test_existing_output_stays(self):
        source = self.source()
        for name in ("file", "link"):
            if name == "file":
                with open("here/out.emd", "wb") as f:
                    f.write(PRECIOUS)
            else:
                os.rename("here/out.emd", "here/target")
                os.symlink("target", "here/out.emd")
            before = sorted(os.listdir("here"))
            run = emdrepack("-q", source, "here/out.emd", codes=(1,))
            self.assertIn("exists already", run.stderr)
            self.nothing_left(*before)
            with open("here/out.emd", "rb") as f:
                self.assertEqual(f.read(), PRECIOUS)

    def test_output_that_appears_meanwhile_stays(self):
        source = movie("slow.emd", size=512, frames=60)
        with subprocess.Popen([fl.EMDREPACK, "-q", "-j1", "-c", "zstd:19", source, "here/out.emd"],
                              stderr=subprocess.PIPE, text=True) as p:
            while not fl.temporary("here/out.emd"):
                time.sleep(0.01)
            with open("here/out.emd", "wb") as f:
                f.write(PRECIOUS)
            _, stderr = p.communicate(timeout=fl.TIMEOUT)
        self.assertEqual(p.returncode, 1, stderr)
        self.assertIn("exists already", stderr)
        with open("here/out.emd", "rb") as f:
            self.assertEqual(f.read(), PRECIOUS)
        self.nothing_left("out.emd")

    def test_failure_keeps_the_old_output(self):
        source = self.source()
        with open("here/out.emd", "wb") as f:
            f.write(PRECIOUS)
        for fault in (f"pwrite:5:EIO:{fl.OUT_TEMPORARY}", f"fsync:1:EIO:{fl.OUT_TEMPORARY}", "rename:1:EIO:out.emd",
                      "pread:20+:EIO:frame.emd"):
            emdrepack("-q", "-f", source, "here/out.emd", codes=(1,), fault=fault)
            with open("here/out.emd", "rb") as f:
                self.assertEqual(f.read(), PRECIOUS, fault)
            self.nothing_left("out.emd")

    def test_output_is_the_input(self):
        source = os.path.abspath(self.source())
        shutil.copyfile(source, "here/in.emd")
        os.link("here/in.emd", "here/hard.emd")
        os.symlink("in.emd", "here/soft.emd")
        os.symlink("../here", "here/around")
        before = fl.digest("here/in.emd")
        names = sorted(os.listdir("here"))
        for output in ("here/in.emd", "here/hard.emd", "here/soft.emd", "here/around/in.emd",
                       "./here//in.emd"):
            for force in ((), ("-f",)):
                emdrepack("-q", *force, "here/in.emd", output, codes=(1,))
                self.assertEqual(fl.digest("here/in.emd"), before, output)
                self.nothing_left(*names)

    def test_one_bad_file_does_not_stop_the_others(self):
        source = self.source()
        with open("bad.emd", "wb") as f:
            f.write(b"no HDF5" * 100)
        shutil.copyfile(source, "good.emd")
        run = emdrepack("-d", "here", "bad.emd", "absent.emd", "good.emd", codes=(1,))
        self.nothing_left("good.emd")
        last = run.stderr.splitlines()[-2:]
        self.assertTrue(all("failed: " in line for line in last), run.stderr)


class Shares(Faulty):
    """What network file systems do."""

    def test_trouble_is_not_damage(self):
        """A read that fails inside HDF5, here or in the child process that rehearses, says nothing
        about the file."""
        source = self.source()
        for error in ("EIO", "ESTALE"):
            for n in (1, 3, 5, 8, 12, 20):
                with self.subTest(error=error, read=n):
                    run = self.fails(source, fault=f"pread:{n}+:{error}!:{source}")
                    self.assertNotIn("damaged", run.stderr)
                    self.assertIn(os.strerror(getattr(errno, error)), run.stderr)

    def test_a_kill_from_outside_is_not_damage(self):
        source = self.source()
        run = self.fails(source, fault=f"pread:3:oom:{source}")
        self.assertNotIn("damaged", run.stderr)
        self.assertIn("from outside", run.stderr)

    def test_attributes_that_cannot_be_set(self):
        source = self.source()
        for fault, says in (("futimens:1+:EPERM:out", "time"), ("futimens:1+:ENOSYS:out", "time"),
                            ("fchmod:1+:EINVAL:out", "mode"), ("fchmod:1+:EPERM:out", "mode")):
            fl.fresh("here")
            run = emdrepack(source, "here/out.emd", codes=(0,), fault=fault)
            self.assertIn(f"here/out.emd: cannot set the {says}: ", run.stderr, fault)
            self.nothing_left("out.emd")

    def test_a_second_writer_where_locks_are_granted_to_everybody(self):
        source = self.source()
        slow = movie("slow.emd", size=512, frames=60)
        env = dict(os.environ, LD_PRELOAD=fl.SHIM, EMD_FAULT="lock:1+:grant:;statfs:1+:nfs:")
        with subprocess.Popen([fl.EMDREPACK, "-q", "-j1", "-c", "zstd:19", slow, "here/out.emd"],
                              env=env) as p:
            while not fl.is_growing("here/out.emd", 9999):
                time.sleep(0.01)
            name = fl.temporary("here/out.emd")
            commands = [[]]
            if fl.is_root() and shutil.which("unshare"):
                commands.append(["unshare", "--pid", "--fork", "--mount-proc"])
            for prefix in commands:
                run = emdrepack("-q", source, "here/out.emd", codes=(3,), prefix=prefix, env=env)
                self.assertIn("another process is writing", run.stderr)
            self.assertEqual(fl.temporary("here/out.emd"), name)
            self.assertEqual(p.wait(fl.TIMEOUT), 0)
        self.nothing_left("out.emd")
        emdrepack("-q", "--check", "here/out.emd", codes=(0,))


class Temporaries(Faulty):
    def test_of_a_dead_process_is_replaced(self):
        source = self.source()
        slow = movie("slow.emd", size=512, frames=60)
        with subprocess.Popen([fl.EMDREPACK, "-q", "-j1", "-c", "zstd:19", slow, "here/out.emd"]) as p:
            while not fl.is_growing("here/out.emd", 9999):
                time.sleep(0.01)
            p.kill()
        self.assertEqual(len(os.listdir("here")), 2)  # and its lock
        # The process of the file is killed by the kernel when its parent is gone, a moment later.
        deadline = time.monotonic() + fl.TIMEOUT
        while emdrepack("-q", "-c", "gzip:1", source, "here/out.emd", codes=(0, 3)).code == 3:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.nothing_left("out.emd")

    def test_of_a_live_process_stays(self):
        source = self.source()
        slow = movie("slow.emd", size=512, frames=60)
        with subprocess.Popen([fl.EMDREPACK, "-q", "-j1", "-c", "zstd:19", slow, "here/out.emd"]) as p:
            while not fl.is_growing("here/out.emd", 9999):
                time.sleep(0.01)
            name = fl.temporary("here/out.emd")
            run = emdrepack("-q", source, "here/out.emd", codes=(3,))
            self.assertIn("another process is writing", run.stderr)
            self.assertEqual(fl.temporary("here/out.emd"), name)
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.wait(fl.TIMEOUT), -signal.SIGINT)
        self.nothing_left()

    def test_that_is_no_file_of_ours_stays(self):
        source = self.source()
        os.symlink("elsewhere", "here/out.emd.lock.tmp")
        emdrepack("-q", source, "here/out.emd", codes=(1,))
        self.nothing_left("out.emd.lock.tmp")
        self.assertTrue(os.path.islink("here/out.emd.lock.tmp"))
        os.unlink("here/out.emd.lock.tmp")
        for make in ("mkfifo", "mkdir", "ln -s /dev/zero"):
            subprocess.run([*make.split(), "here/out.emd.lock.tmp"], check=True)
            emdrepack("-q", source, "here/out.emd", codes=(1,), timeout=20)
            self.nothing_left("out.emd.lock.tmp")
            subprocess.run(["rm", "-r", "here/out.emd.lock.tmp"], check=True)

    def test_signals(self):
        source = movie("slow.emd", size=512, frames=60)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with subprocess.Popen([fl.EMDREPACK, "-q", "-c", "zstd:19", source, "here/out.emd"]) as p:
                while not fl.temporary("here/out.emd"):
                    time.sleep(0.01)
                p.send_signal(number)
                self.assertEqual(p.wait(fl.TIMEOUT), -number)
            self.nothing_left()


def setUpModule():
    fl.work_in_own_folder(unittest.addModuleCleanup, in_memory=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv, verbosity=2)
