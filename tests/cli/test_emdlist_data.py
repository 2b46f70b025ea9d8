# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdlist on what DIALS wrote: the lines of the published list.sh, the tables of all versions."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

TOOL = os.path.join(os.environ["EMDTOOLS_BIN"], "emdlist")
DATA = os.path.join(os.environ["EMDTOOLS_TEST_DATA"], "dials")
if not os.path.isdir(DATA):
    print(f"skipped: no {DATA}")
    sys.exit(77)


def run(*args):
    return subprocess.run([TOOL, *args], check=True, stdout=subprocess.PIPE).stdout.decode()


def read(*path):
    with open(os.path.join(DATA, *path), encoding="utf-8") as f:
        return f.read()


# The lines of list.sh; its order is that of the folders, ours is by resolution.
for trial, name in (("P1", "list_P1.txt"), ("P1/not_blank", "list_P1_not_blank.txt")):
    expected = read("trials", name).splitlines()
    got = run("-C", os.path.join(DATA, "trials"), trial).splitlines()
    assert sorted(got) == sorted(expected), (got, expected)
    assert [float(l.split()[1]) for l in got] == sorted(float(l.split()[1]) for l in expected)

with tempfile.TemporaryDirectory(prefix="emdlist.") as work:
    def table_of(text):
        """The numbers of a table, read by eye and hand: split at blanks."""
        lines = text.splitlines()
        start = next(i for i, l in enumerate(lines) if l.split()[:2] == ["d_max", "d_min"])
        names, rows = lines[start].split(), []
        for l in lines[start + 1:]:
            if not l.strip():
                break
            tokens = l.split()
            if len(tokens) == len(names) - 1:
                tokens.insert(names.index("r_anom"), "nan")
            rows.append(dict(zip(names, tokens)))
        return rows

    logs = {"quartz": read("quartz", "dials.scale.log"), "fade": read("fade", "dials.scale.log"),
            "velox": read("velox", "dials.scale.log"), "kept": read("fade", "not_blank", "dials.scale.log"),
            "new": read("samples_merge_table_v3.13-3.30.txt"),
            "split": read("samples_merge_table_v3.13-3.30_r_splt_DUMMYVALUES.txt")}
    for name, log in logs.items():
        os.makedirs(os.path.join(work, name, "P1"))
        with open(os.path.join(work, name, "P1", "dials.scale.log"), "w", encoding="utf-8") as f:
            f.write(log)
    keys = {"d_max": "d_max", "d_min": "d_min", "#obs": "reflections", "#uniq": "unique", "mult.": "multiplicity",
            "%comp": "completeness", "<I>": "i_mean", "<I/sI>": "i_sigma", "r_mrg": "r_merge", "r_meas": "r_meas",
            "r_pim": "r_pim", "r_anom": "r_anom", "r_splt": "r_split", "cc1/2": "cc_half", "cc_ano": "cc_anom"}
    rows = {r["path"].split("/")[0]: r for r in json.loads(run("-C", work, "--format", "json", "P1"))}
    for name, log in logs.items():
        expected = table_of(log)
        assert len(rows[name]["shells"]) == len(expected) - 1 == 20, name
        for shell, row in zip(rows[name]["shells"], expected):
            for column, key in keys.items():
                text = row.get(column, "nan")
                assert shell["significant"] == row["cc1/2"].endswith("*")
                if text == "nan":
                    assert shell[key] is None, (name, key)
                else:
                    assert shell[key] == float(text.rstrip("*")), (name, key, shell[key], text)
        assert rows[name]["cc_half"] == float(expected[-1]["cc1/2"].rstrip("*"))
    assert rows["quartz"]["resolution"] == 0.63 and rows["split"]["resolution"] == 0.63

    # scaled.json gives the same shells with more digits.
    for name, parts in (("fade", ()), ("quartz", ()), ("velox", ()), ("kept", ("fade", "not_blank"))):
        shutil.copy(os.path.join(DATA, *(parts or (name,)), "scaled.json"), os.path.join(work, name, "P1"))
    exact = {r["path"].split("/")[0]: r for r in json.loads(run("-C", work, "--format", "json", "--method", "linear", "P1"))}
    for name in ("fade", "quartz", "velox", "kept"):
        with open(os.path.join(work, name, "P1", "scaled.json"), encoding="utf-8") as f:
            curve = json.load(f)["resolution_plots"]["cc_one_half"]["data"][0]
        for shell, cc, middle, rounded in zip(exact[name]["shells"], curve["y"], curve["x"], rows[name]["shells"]):
            assert abs(shell["cc_half"] - cc) < 1e-6
            assert abs((shell["d_max"] ** -2 + shell["d_min"] ** -2) / 2 - middle) < 1e-4
            assert abs(shell["d_min"] - rounded["d_min"]) < 0.00501
        # Shells of equal volume: the limits are evenly spaced in 1/d^3.
        cubes = [exact[name]["shells"][0]["d_max"] ** -3] + [s["d_min"] ** -3 for s in exact[name]["shells"]]
        steps = [b - a for a, b in zip(cubes, cubes[1:])]
        assert max(steps) - min(steps) < 1e-4 * max(steps), (name, steps)

    # Real folders: frames, stages, cells from any file.
    whole = {r["path"]: r for f in ("fade", "velox", "blank", "quartz", "multi")
             for r in json.loads(run("-C", DATA, "--format", "json", f))}
    assert whole["fade"]["frames"] == "120/120" and whole["fade"]["image"] == "/data/microed/fade/image.emd"
    assert whole["blank"]["outcome"] == "failed" and whole["blank"]["reason"] == "no spots found"
    assert whole["blank"]["stage"] == "index"
    assert abs(whole["quartz"]["a"] - 4.92) < 0.01 and whole["quartz"]["laue"] == "P -3 m 1"
    kept = json.loads(run("-C", DATA, "--format", "json", "fade/not_blank"))[0]
    assert kept["frames"] == "40/120" and kept["stage"] == "rescale", kept
    assert whole["velox"]["cosym"] == "P 1 2/m 1" and whole["velox"]["laue"] == "P -1"
print("ok")
