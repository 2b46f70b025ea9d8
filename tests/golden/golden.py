# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""What the golden samples' test and their maker share."""

import hashlib
import os
import subprocess


def ask(program, what, lines, env):
    """The answers of goldensamples, a line each."""
    text = "".join(" ".join(map(str, line)) + "\n" for line in lines)
    run = subprocess.run([program, what], input=text, capture_output=True, text=True, check=False,
                         env={**os.environ, **env})
    if run.returncode == 3:
        return None  # no such SIMD level here
    if run.returncode != 0:
        raise RuntimeError(f"goldensamples: exit {run.returncode}: {run.stderr}")
    answers = run.stdout.splitlines()
    assert len(answers) == len(lines), (len(answers), len(lines))
    return answers


def digest(path):
    """SHA-256 of all datasets of an HDF5 file, by name: shape, type and values."""
    import h5py
    import numpy
    total = hashlib.sha256()

    def visit(name, node):
        if isinstance(node, h5py.Dataset):
            value = node[()]
            kind = str(node.dtype) if node.dtype.kind != "O" else "text"
            total.update(f"{name} {node.shape} {kind}\n".encode())
            if node.dtype.kind == "O":
                for text in numpy.ravel(value):
                    total.update(bytes(text) if isinstance(text, bytes) else str(text).encode())
            else:
                total.update(numpy.ascontiguousarray(value).tobytes())
    with h5py.File(path, "r") as f:
        f.visititems(visit)
    return total.hexdigest()
