#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""HDF5 filters on 2048 x 2048 int16 frames: ours against Debian's plugin of the same id, against the
least filter around libzstd (Debian has no zstd plugin), and against no filter. H5Dwrite and H5Dread
of whole frames in memory, on one thread, in processor time."""

import glob
import os
import re
import subprocess
import sys

import benchlib

DEBIAN = (glob.glob("/usr/lib/*/hdf5/serial/plugins") + [""])[0]
BLOSC = "32001 0 0 0 0 %d %d %d"

CONTESTANTS = [
    ("no filter", "ours", "0"),
    ("deflate 4 of HDF5", "ours", "shuffle 1 4"),
    ("zstd 1, ours", "ours", "32015 1"),
    ("zstd 1, libzstd alone", "ours", "plain 1"),
    ("shuffle + zstd 1, ours", "ours", "shuffle 32015 1"),
    ("shuffle + zstd 1, libzstd alone", "ours", "shuffle plain 1"),
    ("blosc byte shuffle + zstd 1, ours", "ours", BLOSC % (1, 1, 5)),
    ("blosc byte shuffle + zstd 1, Debian", "debian", BLOSC % (1, 1, 5)),
    ("blosc bit shuffle + zstd 5, ours", "ours", BLOSC % (5, 2, 5)),
    ("blosc bit shuffle + zstd 5, Debian", "debian", BLOSC % (5, 2, 5)),
    ("blosc bit shuffle + zstd 5 + fletcher32, ours", "ours", "checksum " + BLOSC % (5, 2, 5)),
    ("blosc bit shuffle + LZ4, ours", "ours", BLOSC % (5, 2, 1)),
    ("blosc bit shuffle + LZ4, Debian", "debian", BLOSC % (5, 2, 1)),
    ("bitshuffle + LZ4, ours", "ours", "32008 0 2"),
    ("bitshuffle + LZ4, Debian", "debian", "32008 0 2"),
    ("bitshuffle + zstd 1, ours", "ours", "32008 0 3 1"),
    ("edc, ours", "ours", "33200"),
]


def main():
    parser = benchlib.parser(__doc__)
    parser.add_argument("frames", nargs="*", help="files NAME.TYPE.WIDTH of 16-bit frames "
                        "(frames/ of EMDTOOLS_TEST_DATA)")
    parser.add_argument("--best", type=int, default=3, help="passes of each run (%(default)s)")
    args = parser.parse_args()
    frames = args.frames or sorted(glob.glob(benchlib.test_data(args, "frames", "*.2048")))
    if not frames:
        sys.exit("filters.py: no frames: name files, or set EMDTOOLS_TEST_DATA")
    tool = benchlib.emd_tool(args, "filterbench")
    folders = {"ours": os.path.join(args.build, "plugins"), "debian": DEBIAN}
    for path in frames:
        width = int(re.search(r"\.(\d+)$", path).group(1))
        height = os.path.getsize(path) // 2 // width
        got = {name: [] for name, _, _ in CONTESTANTS}
        for _ in range(args.rounds):
            for name, who, options in CONTESTANTS:
                env = dict(os.environ, HDF5_PLUGIN_PATH=folders[who])
                p = subprocess.run([tool, path, str(width), str(height), str(args.best),
                                    *options.split()], env=env, capture_output=True, text=True)
                if p.returncode == 0:
                    got[name].append([float(v) for v in p.stdout.split()])
        table = benchlib.Table("filter", "write MB/s", "read MB/s", "ratio")
        for name, _, _ in CONTESTANTS:
            if got[name]:
                table.add(name, *(max(column) for column in zip(*got[name])))
        benchlib.record("filters, " + os.path.basename(path), table, args,
                        notes=["best of %d interleaved rounds of %d passes over 8 frames" %
                               (args.rounds, args.best)])


if __name__ == "__main__":
    main()
