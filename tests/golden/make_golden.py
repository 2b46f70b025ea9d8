# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Writes tests/data/golden with today's encoders. Run once per format, never to make a test pass: samples
that are there already must go on decoding to the same bytes.

    EMDTOOLS_BIN=build/bin /usr/bin/python3 tests/golden/make_golden.py FOLDER

FOLDER/MANIFEST.tsv: kind (good, bad), file, codec, cd_values, bytes of the decoded chunk, SHA-256 of it or
what the error says. Codec "file" is a whole HDF5 file; its hash is golden.digest()'s.
"""

import gzip
import hashlib
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile

import golden

BIN = os.environ["EMDTOOLS_BIN"]
rng = random.Random(20261130)


def tool(name, *args, **keywords):
    subprocess.run([os.path.join(BIN, name), *args], check=True, **keywords)


def images():
    """Small inputs for the chunk codecs: name, item size, bytes."""
    def pixels(count, item, value):
        return b"".join((value(i) & ((1 << 8 * item) - 1)).to_bytes(item, "little") for i in range(count))
    yield "camera", 2, pixels(64 * 48, 2, lambda i: 20 + i // 700 + rng.randrange(12) + (rng.randrange(3000) if i % 211 == 0 else 0))
    yield "dark", 2, pixels(50 * 33, 2, lambda i: rng.randrange(5) - 2)
    yield "counts", 1, pixels(61 * 37, 1, lambda i: int(rng.random() < 0.06))
    yield "wide", 4, pixels(40 * 25, 4, lambda i: int(1e6 * (1 + math.sin(i / 50))))
    yield "doubles", 8, pixels(500, 8, lambda i: i * 1000003 + rng.randrange(1 << 20))
    yield "odd", 3, bytes(rng.randrange(8) for _ in range(1001))
    yield "constant", 2, b"\7\0" * 3000
    yield "noise", 2, bytes(rng.randrange(256) for _ in range(2500))
    yield "one", 1, b"\x2a"


def settings(item):
    for level in (0, 1, 6, 9):
        yield "deflate", (level,)
    for level in (1, 3, 19):
        yield "zstd", (level,)
    yield "zstd", (2 ** 32 - 7,)
    yield "shuffle", (item,)
    yield "fletcher32", ()
    for block in (0, 64):
        yield "bitshuffle", (0, 4, item, block)
        yield "bitshuffle", (0, 4, item, block, 2)
        yield "bitshuffle", (0, 4, item, block, 3, 5)
    for compressor in (0, 1, 2, 4, 5):
        for shuffle in (0, 1, 2):
            yield "blosc", (2, 2, item, 0, 5, shuffle, compressor)
    yield "blosc", (2, 2, item, 0, 0, 1, 5)


def main():
    folder = os.path.abspath(sys.argv[1])
    lines = []
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        for sub in ("edc", "chunk", "bad", "file"):
            os.makedirs(os.path.join(folder, sub), exist_ok=True)
        # edc: every picture, shape, item size, byte order, sign and effort that the seeds have
        tool("edcseeds", "seeds")
        for name in sorted(os.listdir("seeds")):
            if name.endswith(".edc"):
                with open(f"seeds/{name[:-4]}.raw", "rb") as f:
                    raw = f.read()
                shutil.copy(f"seeds/{name}", f"{folder}/edc/{name}")
                lines.append(("good", f"edc/{name}", "edc", "-", len(raw), hashlib.sha256(raw).hexdigest()))
        # the other codecs
        wanted = []
        for name, item, raw in images():
            with open(f"{name}.raw", "wb") as f:
                f.write(raw)
            for codec, cd in settings(item):
                values = ",".join(map(str, cd)) or "-"
                out = f"chunk/{name}-{codec}-{values.replace(',', '.')}"
                wanted.append((codec, values, len(raw), f"{name}.raw", os.path.join(folder, out), out, raw))
        answer = golden.ask(os.path.join(BIN, "goldensamples"), "encode", [w[:5] for w in wanted], {})
        for (codec, values, size, _, _, out, raw), said in zip(wanted, answer):
            if said == "ok":
                lines.append(("good", out, codec, values, size, hashlib.sha256(raw).hexdigest()))
            else:
                print(f"{out}: {said}", file=sys.stderr)
        # what must not decode: cut short, changed, claims too much, goes on
        bad = []
        for stem, codec, values, size in (("edc/p0-40x30x1-2.edc", "edc", "-", 2400), ("edc/p1-65x20x1-1.edc", "edc", "-", 1300),
                                          ("chunk/camera-zstd-3", "zstd", "3", 6144), ("chunk/camera-deflate-6", "deflate", "6", 6144),
                                          ("chunk/camera-blosc-2.2.2.0.5.1.5", "blosc", "2,2,2,0,5,1,5", 6144),
                                          ("chunk/camera-blosc-2.2.2.0.5.2.1", "blosc", "2,2,2,0,5,2,1", 6144),
                                          ("chunk/camera-bitshuffle-0.4.2.0.2", "bitshuffle", "0,4,2,0,2", 6144),
                                          ("chunk/camera-bitshuffle-0.4.2.0.3.5", "bitshuffle", "0,4,2,0,3,5", 6144),
                                          ("chunk/camera-fletcher32--", "fletcher32", "-", 6144)):
            with open(os.path.join(folder, stem), "rb") as f:
                data = f.read()
            changed = bytearray(data)
            changed[len(data) // 2] ^= 0x10
            for kind, content in (("half", data[:len(data) // 2]), ("short", data[:-1]), ("longer", data + b"\0"), ("empty", b""),
                                  ("changed", bytes(changed)), ("start", bytes([data[0] ^ 0xFF]) + data[1:])):
                out = f"bad/{os.path.basename(stem)}-{kind}"
                with open(os.path.join(folder, out), "wb") as f:
                    f.write(content)
                bad.append((codec, values, size, os.path.join(folder, out), "x", out))
        for (codec, values, size, path, _, out), said in zip(bad, golden.ask(os.path.join(BIN, "goldensamples"), "decode",
                                                                            [b[:5] for b in bad], {})):
            if said == "ok":  # formats without a checksum cannot tell a changed byte
                os.unlink(path)
            else:
                lines.append(("bad", out, codec, values, size, said))
        # whole files
        tool("emdsim", "--size", "48", "--frames", "3", "-q", "movie.emd")
        hash_ = golden.digest("movie.emd")
        for codec in ("zstd", "gzip", "blosc", "bitshuffle", "edc", "none"):
            tool("emdrepack", "-q", "--no-provenance", "-c", codec, "movie.emd", "packed.emd")
            with open("packed.emd", "rb") as f:
                data = f.read()
            os.unlink("packed.emd")
            if codec == "none":  # 250 kB of blanks
                with open(f"{folder}/file/{codec}.emd.gz", "wb") as f:
                    f.write(gzip.compress(data, mtime=0))
                lines.append(("good", f"file/{codec}.emd.gz", "file", "-", len(data), hash_))
                continue
            with open(f"{folder}/file/{codec}.emd", "wb") as f:
                f.write(data)
            lines.append(("good", f"file/{codec}.emd", "file", "-", len(data), hash_))
    with open(os.path.join(folder, "MANIFEST.tsv"), "w", encoding="utf-8") as f:
        for line in lines:
            f.write("\t".join(map(str, line)) + "\n")


main()
