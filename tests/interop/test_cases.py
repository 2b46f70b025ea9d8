#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Copies of files of many kinds (make_cases.py, and the inputs that once failed) are equal: by deepdiff.py
and h5diff, read by h5py and h5dump; or they differ as they say they do.

  WORD...   only cases with one of these words in their names
  --full    with every codec, and beside h5repack: what it copies rightly we copy rightly
"""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# Our own plugins only: a filter that is not installed must stay so.
os.environ["HDF5_PLUGIN_PATH"] = os.environ["EMDTOOLS_PLUGINS"]

import deepdiff
import make_cases
from make_cases import EQUAL, LOST, REFUSED, Case

EMDREPACK = os.path.join(os.environ["EMDTOOLS_BIN"], "emdrepack")
DATA = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "cases", "hdf5")
FULL = "--full" in sys.argv
CODECS = ("auto", "gzip", "zstd", "bitshuffle", "edc", "none") if FULL else ("auto",)

# The inputs that once failed, as far as their right outcome is a copy.
KEPT = {
    "sohm__fill.h5": Case(None), "sohm__type.h5": Case(None), "real/h5stat_tsohm.h5": Case(None),
    "nested_vlen_array__array_of_compound_with_string.h5": Case(None),
    "nested_vlen_array__kind0_n2.h5": Case(None), "nested_vlen_array__kind0_n9.h5": Case(None),
    "real/compounds_array_vlen1.h5": Case(None), "matlab_cell_fill__null_fill.h5": Case(None),
    "real/test_v7.3_cell.mat": Case(None), "optional_filter__n03_optional_unknown.h5": Case(None),
    "undef_ref__data.h5": Case(None), "undef_ref__region_heap_undef.h5": Case(None),
    "wide_attr__name_30000.h5": Case(None), "wide_attr__root_1100.h5": Case(None),
    "dangling_refs__c25b_dimscale_deleted.h5": Case(None, LOST, ("/x", "REFERENCE_LIST", "1 reference")),
    "check_sound_but_lost__frames.h5": Case(None), "my run 7_data_000001.h5": Case(None),
}

failures = []


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300, check=False)


def in_child(work):
    """work() prints; a reader that crashes takes only its own process along. None, or what it printed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 1)
        code = 1
        try:
            code = work()
            sys.stdout.flush()
        except BaseException as error:  # pylint: disable=broad-except
            print("%s: %s" % (type(error).__name__, error), flush=True)
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, errors="replace") as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "the reader crashed with signal %d" % os.WTERMSIG(status)
    return text if text or status else None


def differences(source, target):
    """Where they differ, a line each; None where they do not."""
    def work():
        for text in deepdiff.compare(source, target, storage_may_differ=True,
                                     ignore_root_attributes=["emdrepack"]):
            print(text)
        return 0
    return in_child(work)


def check(name, case, source):
    """Returns whether all was right."""
    before = len(failures)
    for codec in CODECS:
        where = "%s, %s" % (name, codec)
        result = run(EMDREPACK, "-f", "--recompress", "-c", codec, "--verify=file" if FULL else "--verify=chunk", source, "copy.h5")
        missing = [word for word in case.words if word not in result.stderr]
        if missing:
            failures.append("%s: %s not said: %s" % (where, missing, result.stderr))
        warned = [line for line in result.stderr.splitlines()
                  if "warning" in line and "larger than the input" not in line]
        if case.outcome == EQUAL and not case.words and warned:
            failures.append("%s: warned: %s" % (where, result.stderr))
        if result.returncode != (case.outcome == REFUSED):
            failures.append("%s: exit %d: %s" % (where, result.returncode, result.stderr))
        if result.returncode != 0:
            continue
        found = differences(source, "copy.h5")
        if case.outcome == LOST:
            lines = (found or "").splitlines()
            if not lines or not all("'null'" in line for line in lines):
                failures.append("%s: references were not lost as expected: %s" % (where, found))
        elif found:
            failures.append("%s: %s" % (where, found[:2000]))
        check_tools(where, source)
    return len(failures) == before


def check_tools(where, source):
    """HDF5's own: what reads the source reads the copy."""
    if run("h5dump", "-H", "copy.h5").returncode != 0:
        failures.append("%s: h5dump -H fails" % where)
    if run("h5dump", source).returncode == 0 and run("h5dump", "copy.h5").returncode != 0:
        failures.append("%s: h5dump fails" % where)
    alike = run("h5diff", source, source)
    if FULL and alike.returncode == 0 and not alike.stdout and "/x: attribute" not in where:
        result = run("h5diff", "--exclude-attribute=/emdrepack", source, "copy.h5")
        if result.returncode == 2:
            failures.append("%s: h5diff: %s%s" % (where, result.stdout, result.stderr))


def check_floor(name, case, source):
    """h5repack's copy, which is never better than ours."""
    if os.path.exists("theirs.h5"):
        os.unlink("theirs.h5")
    good = run("h5repack", source, "theirs.h5").returncode == 0 and not differences(source, "theirs.h5")
    if good and case.outcome != EQUAL:
        failures.append("%s: h5repack makes an equal copy" % name)
    return good


def main():
    floor = right = count = 0
    only = [word for word in sys.argv[1:] if word[0] != "-"]
    cases = [(name, case, name + ".h5") for name, case in make_cases.CASES.items()]
    cases += [(name, case, os.path.join(DATA, name)) for name, case in KEPT.items()]
    kept = glob.glob(os.path.join(DATA, "*.h5"))
    for name, case, source in cases:
        if only and not any(word in name for word in only):
            continue
        if case.make:
            trouble = in_child(lambda c=case, s=source: c.make(s) or 0)
            if trouble:
                failures.append("%s: cannot be made: %s" % (name, trouble))
                continue
        elif not kept:
            continue
        count += 1
        right += check(name, case, source)
        if FULL:
            floor += check_floor(name, case, source)
    print("%d cases with %d codecs, %d right" % (count, len(CODECS), right))
    if FULL:
        print("h5repack: %d equal copies" % floor)
    for text in failures:
        print("FAILED:", text)
    if failures:
        return 1
    if not kept:
        print("no %s: only made cases were tested" % DATA)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
