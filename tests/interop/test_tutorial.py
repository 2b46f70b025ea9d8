# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""docs/tutorial.md: all its shell blocks, in order, in one shell, in an empty folder, from an installed
emdtools; and what the text promises."""

import json
import os
import re
import subprocess
import sys

import dialslib as d


def main():
    prefix = os.path.abspath("prefix")
    d.run("cmake", "--install", os.environ["EMDTOOLS_BUILD_DIR"], "--prefix", prefix, quiet=True)
    with open(os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "docs", "tutorial.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```sh\n(.*?)^```$", f.read(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8, f"{len(blocks)} blocks"
    os.mkdir("empty")
    env = dict(os.environ, PATH=f"{prefix}/bin:{os.environ['PATH']}")
    for name in ("HDF5_PLUGIN_PATH", "PYTHONPATH"):
        env.pop(name, None)
    print(d.run("sh", "-exc", "\n".join(blocks), cwd="empty", env=env, quiet=True), flush=True)
    work = "empty/work/glycine"
    for trial in ("P1", "mP"):
        rows = json.loads(subprocess.run([d.tool("emdlist"), "-C", work, "--format", "json", f"{trial}/not_blank"],
                                         stdout=subprocess.PIPE, check=True).stdout)
        assert [r["outcome"] for r in rows] == ["good"] * 2, rows
        assert {r["path"][:13]: r["images"] for r in rows} == {"20260101_0101": 75, "20260101_0303": 60}, rows
        assert all(56 <= r["kept"] <= 64 for r in rows), rows
    with open(f"{work}/20260101_0101/P1/imported.expt", encoding="utf-8") as f:
        assert json.load(f)["imageset"][0]["mask"].endswith("pixels.mask")
    for made in ("empty/sheet.png", f"{work}/report.html", "empty/cluster/glycine/compressed"):
        assert os.path.exists(made), made
    assert not os.path.exists("empty/cluster/glycine/raw")
    return 0


if __name__ == "__main__":
    sys.exit(main())
