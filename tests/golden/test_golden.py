# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Samples that earlier encoders wrote decode to the same bytes, with every SIMD level, by the decoder that is
written from edc's specification, and as whole files; damaged ones are refused with what is wrong."""

import gzip
import hashlib
import importlib.util
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import golden  # noqa: E402

SOURCE, BIN = os.environ["EMDTOOLS_SOURCE_DIR"], os.environ["EMDTOOLS_BIN"]
FOLDER = os.path.join(SOURCE, "tests", "data", "golden")
LEVELS = ("scalar", "sse2", "avx2", "avx512", "avx512vbmi", "neon")


def sha(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def chunks(samples, level):
    """All streams with one SIMD level; False if this machine does not have it."""
    lines = [(codec, cd, size, os.path.join(FOLDER, name), f"out{i}") for i, (_, name, codec, cd, size, _) in enumerate(samples)]
    said = golden.ask(os.path.join(BIN, "goldensamples"), "decode", lines, {"EMDTOOLS_SIMD": level} if level else {})
    if said is None:
        return False
    for i, ((kind, name, _, _, size, expected), answer) in enumerate(zip(samples, said)):
        if kind == "bad":
            assert answer == expected, f"{name} ({level}): '{answer}', not '{expected}'"
            continue
        assert answer == "ok", f"{name} ({level}): {answer}"
        data = read(f"out{i}")
        os.unlink(f"out{i}")
        assert len(data) == int(size) and sha(data) == expected, f"{name} ({level}) decodes to other bytes"
    return True


def reference(samples):
    """edc by docs/edc_reference.py; how many."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        return 0
    spec = importlib.util.spec_from_file_location("edc_reference", os.path.join(SOURCE, "docs", "edc_reference.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    done = 0
    for kind, name, codec, _, _, expected in samples:
        if codec != "edc" or kind == "bad":
            continue
        try:
            assert sha(module.decode(read(os.path.join(FOLDER, name)))) == expected, name
            done += 1
        except ImportError:  # no zstd module
            pass
    return done


def files(samples):
    """Whole files: sound, and the same data when nothing is compressed any more; how many."""
    try:
        import h5py  # noqa: F401
    except ImportError:
        return 0
    for _, name, _, _, size, expected in samples:
        data = read(os.path.join(FOLDER, name))
        with open("packed.emd", "wb") as f:
            f.write(gzip.decompress(data) if name.endswith(".gz") else data)
        assert os.path.getsize("packed.emd") == int(size)
        subprocess.run([os.path.join(BIN, "emdrepack"), "-q", "--check", "packed.emd"], check=True)
        subprocess.run([os.path.join(BIN, "emdrepack"), "-q", "-f", "-c", "none", "packed.emd", "plain.emd"], check=True)
        assert golden.digest("plain.emd") == expected, name
    return len(samples)


def main():
    with open(os.path.join(FOLDER, "MANIFEST.tsv"), encoding="utf-8") as f:
        samples = [line.rstrip("\n").split("\t") for line in f]
    listed = {name for _, name, *_ in samples}
    there = {os.path.relpath(os.path.join(at, n), FOLDER) for at, _, names in os.walk(FOLDER) for n in names} - {"MANIFEST.tsv"}
    assert listed == there, listed ^ there
    streams = [s for s in samples if s[2] != "file"]
    assert len(streams) > 300 and sum(s[0] == "bad" for s in streams) > 30
    levels = []
    for level in (None, *LEVELS):
        if chunks(streams, level):
            levels.append(level or "default")
    assert "default" in levels and "scalar" in levels
    print(f"{len(streams)} streams with {', '.join(levels)}; {reference(streams)} by edc's reference; "
          f"{files([s for s in samples if s[2] == 'file'])} files")


main()
