# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The decoder written from the specification gives the C encoder's pixels back, bit for bit: of
small images of every kind, and of the test frames where they are."""

import glob
import importlib.util
import os
import shutil
import subprocess
import sys

try:
    import numpy  # noqa: F401
except ImportError:
    print("no NumPy")
    sys.exit(77)

path = os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "docs", "edc_reference.py")
spec = importlib.util.spec_from_file_location("edc_reference", path)
reference = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(reference)

frames = sorted(glob.glob(os.path.join(os.environ["EMDTOOLS_TEST_DATA"], "frames", "*.?2.*")))
shutil.rmtree("streams", ignore_errors=True)
subprocess.run([os.path.join(os.environ["EMDTOOLS_BIN"], "edcseeds"), "streams", *frames], check=True)

compared = modes = without_zstd = 0
for stream in sorted(glob.glob("streams/*.edc")):
    with open(stream, "rb") as f:
        data = f.read()
    with open(stream[:-4] + ".raw", "rb") as f:
        raw = f.read()
    try:
        decoded = reference.decode(data)
    except ImportError:
        without_zstd += 1
        continue
    assert decoded == raw, f"{stream} decodes to other bytes"
    compared += 1
    if data[6] & 16:
        modes += 1
        if len(data) > 1 << 14:
            continue
        # A changed state or word must not go unnoticed.
        damaged = bytearray(data)
        damaged[-(len(data) // 3)] ^= 4
        try:
            assert reference.decode(bytes(damaged)) == raw, f"{stream}: damage decodes"
        except reference.Damaged:
            pass
print(f"{compared} streams compared, {modes} of them modelled, {len(frames)} of them frames; "
      f"{without_zstd} need a zstd module")
shutil.rmtree("streams")
assert modes > 40
