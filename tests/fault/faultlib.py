# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""What the fault tests share: running emdrepack under adverse conditions and judging what it left."""

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

BIN = os.environ["EMDTOOLS_BIN"]
EMDREPACK = os.path.join(BIN, "emdrepack")
EMDSIM = os.path.join(BIN, "emdsim")
SHIM = os.path.join(os.environ["EMDTOOLS_BUILD_DIR"], "tests", "fault_shim.so")
DATA = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "velox")
# The shim comes before the sanitizer's own library; leaks are looked for as usual.
os.environ["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")

# What a sanitizer, a failed assertion or a fatal signal leaves on stderr.
CRASH_MARKS = ("AddressSanitizer", "runtime error", "LeakSanitizer", "ThreadSanitizer", "Assertion",
               "HDF5-DIAG")
# A repack of the small files of these tests takes well under a second; this is a hang.
TIMEOUT = 120


class Outcome:
    def __init__(self, run):
        self.code = run.returncode
        self.stderr = run.stderr
        self.stdout = run.stdout


def emdrepack(*args, fault=None, log=None, prefix=(), codes=None, timeout=TIMEOUT, **options):
    """Runs emdrepack, with an injected fault if wanted. A hang, a crash by signal or a sanitizer's
    report is always a failure; so is an exit code that is not one of 'codes'."""
    env = dict(options.pop("env", os.environ))
    if fault:
        env.update(LD_PRELOAD=SHIM, EMD_FAULT=fault)
        if log:
            env["EMD_FAULT_LOG"] = log
    command = [*prefix, EMDREPACK, *map(str, args)]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False,
                         timeout=timeout, env=env, **options)
    said = f"{' '.join(command)} (fault {fault}): exit {run.returncode}: {run.stderr}"
    killed = fault is not None and ":kill:" in fault and run.returncode == -9
    if (run.returncode < 0 and not killed) or run.returncode == 99:
        raise AssertionError(said)
    for mark in CRASH_MARKS:
        if mark in run.stderr:
            raise AssertionError(said)
    if codes is not None and run.returncode not in codes:
        raise AssertionError(said)
    return Outcome(run)


# A fault's PART: the temporary file of out.emd, and not its lock.
OUT_TEMPORARY = "*out.emd.[0-9a-f]*.tmp"


def movie(name, *options, size=64, frames=12):
    """A simulated movie, made once."""
    if not os.path.exists(name):
        subprocess.run([EMDSIM, "-q", "--size", str(size), "--frames", str(frames), *options, name],
                       check=True)
    return name


def temporary(output):
    """The temporary file of an output that is being written, or None."""
    found = glob.glob(glob.escape(output) + ".[0-9a-f]*.tmp")
    return found[0] if found else None


def is_growing(output, least=1):
    """Whether so many bytes of an output are written to its temporary file."""
    try:
        name = temporary(output)
        return name is not None and os.path.getsize(name) >= least
    except FileNotFoundError:
        return False


def digest(name):
    with open(name, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def work_in_own_folder(add_cleanup, in_memory=False):
    """A temporary folder as the current one, for setUpModule; in memory for the thousands of runs
    whose fsyncs would else be all that takes time."""
    shm = in_memory and os.access("/dev/shm", os.W_OK)
    folder = tempfile.TemporaryDirectory(prefix="emdfault.", dir="/dev/shm" if shm else ".")
    add_cleanup(folder.cleanup)
    add_cleanup(os.chdir, os.getcwd())
    os.chdir(folder.name)


def is_root():
    return os.geteuid() == 0


def skip_all(why):
    """Ends the script as a skipped test."""
    print(why, file=sys.stderr)
    sys.exit(77)


def tell(counts, failures):
    """Prints how often runs of damaged files had each outcome, and what failed; the exit status."""
    for outcome in sorted(counts):
        print("%6d %s" % (counts[outcome], outcome))
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0
