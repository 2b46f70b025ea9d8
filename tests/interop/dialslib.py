# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""What the tests with DIALS share: a quiet environment, waiting, and results that can be compared.

Importing it ends the test as skipped (exit 77) where DIALS is not installed: on Debian,
apt-get install dials python3-hdf5plugin.
"""

import json
import os
import shutil
import subprocess
import sys
import time

if not shutil.which("dials.import"):
    print("skipped: DIALS is not installed")
    sys.exit(77)

from dials.array_family import flex  # noqa: E402

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
from waiting import wait_for  # noqa: E402,F401

BIN = os.environ["EMDTOOLS_BIN"]
DXTBX = os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "share", "emdtools", "dxtbx")
# Every wait is for something that happens; this is only how long a hopeless one lasts.
PATIENCE = 120


def tool(name):
    return os.path.join(BIN, name)


def run(*command, code=0, quiet=False, **keywords):
    """Output of a command, both streams; any other exit code is a failure."""
    start = time.monotonic()
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False, **keywords)
    if not quiet:
        print(f"{time.monotonic() - start:6.1f} s  {' '.join(os.path.basename(str(c)) for c in command)}",
              flush=True)
    if result.returncode != code:
        raise AssertionError(f"{command}: exit {result.returncode}, not {code}\n{result.stdout[-3000:]}")
    return result.stdout


def table(path):
    """Rows, and each column as bytes; without the identifiers, which DIALS draws at random."""
    refl = flex.reflection_table.from_file(path)
    for key in list(refl.experiment_identifiers().keys()):
        del refl.experiment_identifiers()[key]
    columns = {}
    for name in refl.keys():
        one = flex.reflection_table()
        one[name] = refl[name]
        columns[name] = one.as_msgpack()
    return refl.nrows(), columns


def assert_same_tables(a, b):
    """Equal column by column, to the bit."""
    (rows, ours), (others, theirs) = table(a), table(b)
    if rows != others or sorted(ours) != sorted(theirs):
        raise AssertionError(f"{a}, {b}: {rows} and {others} rows; columns {sorted(ours)}, {sorted(theirs)}")
    different = [name for name in ours if ours[name] != theirs[name]]
    if different:
        raise AssertionError(f"{a}, {b}: these columns differ: {different}")


def models(path, movie=None):
    """An experiment list as JSON without what DIALS draws at random; with 'movie', also without the
    name of the movie."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for i, experiment in enumerate(json.loads(text)["experiment"]):
        if experiment["identifier"]:
            text = text.replace(experiment["identifier"], f"identifier {i}")
    document = json.loads(text)
    document.pop("history", None)  # with dates
    if movie:
        for imageset in document["imageset"]:
            imageset["template"] = movie
    return document


def assert_same_models(a, b, movie=None):
    ours, theirs = models(a, movie), models(b, movie)
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            raise AssertionError(f"{a}, {b}: '{key}' differs:\n{ours.get(key)}\n{theirs.get(key)}"[:3000])
