# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdlist on folders made for the purpose: lines, tables, orders, failures, and hostile names."""

import csv
import html.parser
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
import synthetic_trials as synthetic

TOOL = os.path.join(os.environ["EMDTOOLS_BIN"], "emdlist")


def run(*args, code=0, cwd=None, text=True):
    p = subprocess.run([TOOL, *args], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == code, (args, p.returncode, p.stderr)
    return (p.stdout.decode() if text else p.stdout), p.stderr.decode()


def put(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    synthetic.write(os.path.join(os.fsencode(folder), os.fsencode(name)), text)


def good_crystal(folder, resolution, cell=synthetic.CELL, trial="P1", version="3.12.1", seed=1):
    at = os.path.join(folder, *trial.split("/"))
    rows = synthetic.merging(random.Random(seed), resolution)
    put(at, "dials.scale.log", synthetic.scale_log(version, rows))
    put(at, "dials.integrate.log", synthetic.integrate_log(version, cell, 10))
    put(at, "dials.symmetry.log", "Best solution: P -1\n")
    put(at, "dials.cosym.log", "Best solution: P 1 2/m 1\n")
    return rows


def expected_shell(rows, limit=0.3):
    answer = None
    for r in rows:
        if not float("%.3f" % r[12]) > limit:
            break
        answer = r[1]
    return "%.2f" % answer


def test_lines(work):
    rows = good_crystal(work + "/x/BAD one", 0.9)
    better = good_crystal(work + "/y/deep/er", 0.8, seed=2)
    put(work + "/z/P1", "dials.find_spots.log", "DIALS 3.20.0\nSaved 0 reflections to strong.refl\n")
    put(work + "/z/P1", "dials.index.log", "DIALS 3.20.0\n")
    put(work + "/w/P1", "dials.index.log", "Sorry: no \x1b[31mlattice\n")
    put(work + "/v/mP", "dials.scale.log", "not P1")
    out, _ = run("P1", cwd=work)
    cell = "     Unit cell: 5.3400  6.4600  10.8600  90.000  91.300  90.000 Best solution: P -1"
    assert out.splitlines() == [
        f"y/deep/er/P1 {expected_shell(better)}{cell}",
        f"x/BAD one/P1 {expected_shell(rows)}{cell}",
        "w/P1 -     failed at index: no ?[31mlattice",
        "z/P1 -     failed at index: no spots found"], out
    good, _ = run("--good", "-C", work, "P1")
    assert good.splitlines() == out.splitlines()[:2]
    cosym, _ = run("--good", "-C", work, "--symmetry-from", "cosym", "P1")
    assert cosym.count("P 1 2/m 1") == 2
    strict, _ = run("--good", "-C", work, "--cc", "0.8", "P1")
    assert float(strict.split()[1]) > float(good.split()[1])
    tsv, _ = run("-C", work, "--format", "tsv", "--columns", "path,symmetry,laue,stage,reason,dials", "--sort", "-path", "P1")
    assert [l.split("\t") for l in tsv.splitlines()] == [
        ["path", "symmetry", "laue", "stage", "reason", "dials"],
        ["z/P1", "", "", "index", "no spots found", "3.20.0"],
        ["y/deep/er/P1", "P -1", "P -1", "scale", "", "3.12.1"],
        ["x/BAD one/P1", "P -1", "P -1", "scale", "", "3.12.1"],
        ["w/P1", "", "", "index", "no ?[31mlattice", ""]], tsv


def test_one_symmetry(work):
    """Every format says the same, whatever the source."""
    good_crystal(work + "/a", 0.9)
    with open(work + "/a/P1/dials.symmetry.log", "a", encoding="utf-8") as f:
        f.write("Recommended space group: P 1 21 1\n")
    for source, symmetry in (("symmetry", "P -1"), ("cosym", "P 1 2/m 1"), ("space_group", "P 1 21 1"), (None, "P -1")):
        args = ["-C", work, *(["--symmetry-from", source] if source else []), "P1"]
        assert run(*args)[0].rstrip().endswith("Best solution: " + symmetry)
        for fmt in ("csv", "tsv"):
            out = run("--format", fmt, "--columns", "symmetry", *args)[0]
            assert out.split("\n")[1].strip() == symmetry, out
        (row,) = json.loads(run("--format", "json", *args)[0])
        assert (row["symmetry"], row["cosym"], row["laue"], row["space_group"]) == (symmetry, "P 1 2/m 1", "P -1", "P 1 21 1")
        page = run("--format", "html", *args)[0]
        assert f'"symmetry":"{symmetry}"' in page
    os.unlink(work + "/a/P1/dials.symmetry.log")  # none: the other's
    assert run("--symmetry-from", "space_group", "-C", work, "P1")[0].rstrip().endswith("P 1 2/m 1")


def test_reasons(work):
    """The clause that says why, without what DIALS puts before it in every error."""
    cases = {"a": ("AssertionError: Please report this error to dials-support@lists.sourceforge.net: Too few spots (8)", "Too few spots (8)"),
             "b": ("RuntimeError: Please report this error at https://github.com/dials/dials/issues or to "
                   "dials-user-group@jiscmail.ac.uk: no lattice: try fft1d", "no lattice: try fft1d"),
             "c": ("KeyError: ('Please report this error to dials-support@lists.sourceforge.net:', 'id', 3)", "id', 3"),
             "d": ("AssertionError: Please report this error to dials-support@lists.sourceforge.net:", "AssertionError"),
             "e": ("Sorry: No suitable lattice could be found.", "No suitable lattice could be found."),
             "f": ("RuntimeError: " + "Please report this error to x@y.z: " + "w" * 150, "w" * 150)}
    for name, (text, _) in cases.items():
        put(f"{work}/{name}/P1", "dials.index.log", "DIALS 3.12.1\n" + text + "\n")
        put(f"{work}/{name}2/P1", "emdprocess.json", json.dumps({"format": 1, "stages": [
            {"name": "import", "state": "done"}, {"name": "find_spots", "state": "done"},
            {"name": "index", "state": "failed", "reason": text, "lasting": True}]}))
    out = dict(l.split(" -     ") for l in run("-C", work, "P1")[0].splitlines())
    for name, (_, reason) in cases.items():
        assert out[f"{name}/P1"] == f"failed at index: {reason}", out[f"{name}/P1"]
        if not reason.startswith("No suit"):
            assert out[f"{name}2/P1"] == f"failed at index: {reason}", out[f"{name}2/P1"]


def test_incomplete_movies(work):
    for name, ending, reason in (("a", "incomplete", "the file is empty"), ("b", "incomplete", "incomplete: 3 of 9 frames"),
                                 ("c", "not started", "damaged")):
        put(f"{work}/{name}/P1", "emdprocess.json", json.dumps({"format": 1, "stages": [
            {"name": "import", "state": "failed", "ending": ending, "reason": reason, "lasting": False}]}))
    assert run("-C", work, "P1")[0].splitlines() == [
        "a/P1 -     not ready at import: incomplete: the file is empty",
        "b/P1 -     not ready at import: incomplete: 3 of 9 frames",
        "c/P1 -     failed at import: damaged"]


def test_files_in_one_folder(work):
    """A laboratory's script writes what is not blank beside the rest, under other names."""
    good_crystal(work + "/a", 1.2)
    rows = synthetic.merging(random.Random(5), 0.8)
    at = work + "/a/P1"
    put(at, "imported.expt", synthetic.expt("/x/m.emd", 1, 100))
    put(at, "dials.scale_not_blank.log", synthetic.scale_log("3.12.1", rows))
    put(at, "scaled_not_blank.expt", synthetic.expt("/x/m.emd", 11, 40))
    put(at, "dials.symmetry_not_blank.log", "Best solution: P 4/m\n")
    (row,) = json.loads(run("-C", work, "--format", "json", "P1/not_blank")[0])
    assert (row["outcome"], row["stage"], row["symmetry"], row["frames"]) == ("good", "rescale", "P 4/m", "30/100"), row
    assert "%.2f" % row["resolution"] == expected_shell(rows)
    (row,) = json.loads(run("-C", work, "--format", "json", "P1")[0])
    assert row["symmetry"] == "P -1" and "%.2f" % row["resolution"] != expected_shell(rows)
    put(at + "/not_blank", "dials.scale.log", synthetic.scale_log("3.12.1", synthetic.merging(random.Random(5), 1.4)))
    (row,) = json.loads(run("-C", work, "--format", "json", "P1/not_blank")[0])  # the folder comes first
    assert "%.2f" % row["resolution"] != expected_shell(rows)
    put(work + "/b/P1", "dials.scale_not_blank.log", "DIALS 3.12.1\nSorry: no reflections\n")
    assert "b/P1 -     failed at rescale: no reflections" in run("-C", work, "P1/not_blank")[0]


def test_lattices(work):
    """One lattice is one, whatever the setting; others and outliers are told."""
    rng = random.Random(3)
    for i in range(20):
        a, b, c, beta = (5.34 + rng.gauss(0, 0.004), 6.46 + rng.gauss(0, 0.004), 10.86 + rng.gauss(0, 0.008), 91.3 + rng.gauss(0, 0.03))
        cell = [(a, b, c, 90, beta, 90), (a, b, c, 90, 180 - beta, 90), (c, b, a, 90, beta, 90), (b, a, c, beta, 90, 90),
                (c, a, b, 90, 90, 180 - beta)][i % 5 if i > 8 else 0]
        good_crystal(f"{work}/{i:02}", 0.9, cell=cell)
    good_crystal(work + "/twice", 0.9, cell=(10.68, 6.46, 10.86, 90, 91.3, 90))
    good_crystal(work + "/far", 0.9, cell=(5.34, 6.46, 11.2, 90, 91.3, 90))
    rows = {r["path"].split("/")[0]: r for r in json.loads(run("-C", work, "--format", "json", "P1")[0])}
    assert {r["cluster"] for n, r in rows.items() if n != "twice"} == {1} and rows["twice"]["cluster"] == 2
    assert rows["far"]["cell_distance"] > 4.74 and rows["twice"]["cell_distance"] is None
    assert all(r["cell_distance"] < 4.74 for n, r in rows.items() if n not in ("far", "twice"))
    reduced = [[float(v) for v in r["reduced"].split()] for n, r in rows.items() if n not in ("far", "twice")]
    for column, width in zip(zip(*reduced), (0.05, 0.05, 0.1, 0.3, 0.3, 0.3)):
        assert max(column) - min(column) < width, column
    cases = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "cases", "dials", "cell_settings")
    if os.path.isdir(cases):
        rows = json.loads(run("-C", cases, "--format", "json", "P1")[0])
        assert len(rows) == 12 and all(r["cluster"] == 1 and r["cell_distance"] < 4.74 for r in rows)


def test_select(work):
    for name, resolution in (("a", 0.75), ("b", 0.9), ("x BAD", 0.95), ("d", 1.3)):
        good_crystal(f"{work}/{name}", resolution, cell=(5.34, 6.46, 10.86 if name != "d" else 12, 90, 91.3, 90))
    put(work + "/e/P1", "dials.index.log", "Sorry: no lattice\n")

    def chosen(expression, *more, code=0):
        return run("-C", work, "--select", expression, "--print", "names", *more, "P1", code=code)[0].splitlines()
    assert chosen("resolution < 1.0") == ["a/P1", "b/P1", "x BAD/P1"]
    assert chosen("resolution < 1.0 and not name ~ *BAD*") == ["a/P1", "b/P1"]
    assert chosen("cluster = 1", "--sort", "-resolution") == ["x BAD/P1", "b/P1", "a/P1"]
    assert chosen("outcome = failed and reason ~ '*lattice'") == ["e/P1"]
    assert chosen("cc_half > 2 or (stage = index)") == ["e/P1"]
    assert chosen("resolution < 0.1", code=3) == []
    rows = json.loads(run("-C", work, "--select", "path = b/P1", "--format", "json", "P1")[0])
    assert [r["path"] for r in rows] == ["b/P1"]
    out, _ = run("-C", work, "--select", "resolution < 0.8", "--print", "paths", "P1")
    assert out == os.path.realpath(work) + "/a/P1\n" and os.path.isdir(out.strip())
    # several crystals of one trial: once
    with open(work + "/a/P1/dials.integrate.log", "a", encoding="utf-8") as f:
        f.write(synthetic.cell_line((7, 8, 9, 90, 90, 90)))
    assert chosen("resolution < 0.8") == ["a/P1"]
    for expression, why in (("resolutoin < 1", "did you mean 'resolution'?"), ("resolution", "was expected at the end"), ("", "a column was expected")):
        assert why in run("-C", work, "--select", expression, "P1", code=2)[1]
    assert "names or paths" in run("-C", work, "--print", "words", "P1", code=2)[1]


def test_few_pairs(work):
    good_crystal(work + "/a", 0.9)
    rows = [r[:2] + (int(r[3] * 1.2), r[3], 1.2) + r[5:] for r in synthetic.merging(random.Random(5), 0.8)]
    put(work + "/b/P1", "dials.scale.log", synthetic.scale_log("3.12.1", rows))
    notes = dict(l.split("\t") for l in run("-C", work, "--format", "tsv", "--columns", "path,note", "P1")[0].splitlines()[1:])
    assert notes == {"a/P1": "", "b/P1": "low multiplicity: CC1/2 is of few pairs"}, notes


def test_nested(work):
    good_crystal(work + "/a", 1.2)
    rows = synthetic.merging(random.Random(5), 0.8)
    put(work + "/a/P1/not_blank", "dials.scale.log", synthetic.scale_log("3.12.1", rows))
    put(work + "/a/P1", "imported.expt", synthetic.expt("/x/m.emd", 1, 100))
    put(work + "/a/P1/not_blank", "scaled.expt", synthetic.expt("/x/m.emd", 11, 40))
    good_crystal(work + "/b", 1.0)
    out, _ = run("-C", work, "P1/not_blank")
    assert out.splitlines()[0].startswith(f"a/P1 {expected_shell(rows)}     Unit cell: 5.3400 "), out
    assert out.splitlines()[1] == "b/P1 -     unfinished at scale: filter_blanks has not run", out
    out, _ = run("-C", work, "--columns", "path,frames,image", "--good", "P1/not_blank")
    assert out.splitlines()[1].split() == ["a/P1", "30/100", "/x/m.emd"], out
    # a trial on the spots of another one, which has imported.expt
    os.rename(work + "/a/P1/imported.expt", work + "/a/P1/indexed.expt")
    assert run("-C", work, "--columns", "path,frames,image", "--good", "P1/not_blank")[0] == out
    # not_blank as a symbolic link to nowhere, a file where a folder should be, a loop
    os.symlink("nowhere", work + "/b/P1/not_blank")
    os.symlink("..", work + "/a/up")
    os.makedirs(work + "/c")
    put(work + "/c", "P1", "a file")
    out, _ = run("-C", work, "P1/not_blank")
    assert len(out.splitlines()) == 2


def test_several_crystals(work):
    good_crystal(work + "/a", 0.9)
    with open(work + "/a/P1/dials.integrate.log", "a", encoding="utf-8") as f:
        f.write(synthetic.cell_line((7, 8, 9, 90, 90, 90)))
        f.write(synthetic.cell_line((7, 8, 9, 90, 90, 90)))  # the same crystal in a second sweep
    out, _ = run("-C", work, "P1")
    lines = out.splitlines()
    assert len(lines) == 2 and lines[0].endswith("(crystal 1 of 2)") and lines[1].endswith("(crystal 2 of 2)")
    assert "7.0000  8.0000  9.0000" in lines[1]
    rows = json.loads(run("-C", work, "--format", "json", "P1")[0])
    assert [r["crystal"] for r in rows] == [1, 2] and rows[1]["a"] == 7
    assert abs(rows[1]["volume"] - 504) < 1e-6
    assert rows[0]["esds"][0] == 0.0006


def test_json(work):
    rows = good_crystal(work + "/a", 0.9)
    put(work + "/b/P1", "dials.import.log", "Writing experiments to imported.expt\n")
    a, b = json.loads(run("-C", work, "--format", "json", "P1")[0])
    assert a["path"] == "a/P1" and a["outcome"] == "good" and a["dials"] == "3.12.1"
    assert len(a["shells"]) == len(rows)
    for shell, row in zip(a["shells"], rows):
        assert abs(shell["cc_half"] - row[12]) < 6e-4 and shell["reflections"] == row[2]
        assert shell["significant"] == row[13]
    assert b["resolution"] is None and b["shells"] == [] and b["reason"] == "find_spots has not run"
    few = json.loads(run("-C", work, "--format", "json", "--columns", "path,a", "P1")[0])
    assert list(few[0]) == ["format", "path", "a", "shells"]


HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "<!--<script>", "a&amp;\"'`b",
           "=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", " =1", "line\nbreak\ttab\\", "esc\x1b[31m", "caf\u00e9 \U0001f600",
           "\u2028\u2029", "c1\u009b31m", "comma,semi;\"quote\""]


class Text(html.parser.HTMLParser):
    """Elements of a page, with the text of scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def parse_page(page):
    parser = Text()
    parser.feed(page)
    return parser


def test_hostile_names(work):
    good_crystal(work + "/plain", 0.9)
    clean = parse_page(run("-C", work, "--format", "html", "P1")[0])
    names = list(HOSTILE)
    for name in names:
        at = os.path.join(work, name)
        try:
            good_crystal(at.replace("/", "\u2215") if "/" in name else at, 0.9)
        except OSError:
            pass
    for name in HOSTILE:  # "/" cannot be in a name, but makes folders
        good_crystal(os.path.join(work, name), 0.9)
    os.makedirs(os.fsencode(work) + b"/bad\xff\xc3utf/P1")
    put(os.path.join(work, "reason", "P1"), "dials.index.log", "Sorry: </script><script>alert(3)</script> =1\n")
    put(os.path.join(work, "image", "P1"), "imported.expt", synthetic.expt("</script><b>.emd", 1, 9))
    page = run("-C", work, "--format", "html", "P1")[0]
    got = parse_page(page)
    assert [t for t in got.tags] == [t for t in clean.tags], "a name became part of the page"
    assert "<" not in got.scripts[0] and "\u2028" not in got.scripts[0]
    data = json.loads(got.scripts[0])
    paths = {r["path"] for r in data["rows"]}
    assert len(data["rows"]) == len(paths) > len(HOSTILE)
    for name in HOSTILE:
        assert name + "/P1" in paths or name.replace("/", "\u2215") + "/P1" in paths, name
    assert "bad\ufffd\ufffdutf/P1" in paths
    as_json = json.loads(run("-C", work, "--format", "json", "P1")[0])
    assert {r["path"] for r in as_json} == paths
    # One line a crystal, nothing for a terminal to obey.
    for format in ([], ["--columns", "path,reason"], ["--format", "tsv"], ["--format", "csv"]):
        raw = run("-C", work, *format, "P1", text=False)[0]
        lines = raw.split(b"\n")[:-1]
        assert len(lines) == len(paths) + (1 if format else 0), format
        assert b"\x1b" not in raw and b"\xc2\x9b" not in raw
    rows = list(csv.reader(io.StringIO(run("-C", work, "--format", "csv", "P1", text=False)[0].decode("utf-8", "replace"), newline="")))
    assert all(len(r) == len(rows[0]) for r in rows)
    for r in rows[1:]:
        for field, key in zip(r, rows[0]):
            number = key not in ("path", "cell", "symmetry", "frames", "outcome", "stage", "reason")
            assert number or not field.lstrip(" ")[:1] in ("=", "+", "-", "@"), field
    assert any(r[0] == "'=cmd|' /C calc'!A0/P1" for r in rows)
    assert any(r[0] == 'comma,semi;"quote"/P1' for r in rows)


def test_damaged_files(work):
    """Logs cut anywhere, and random bytes under every name, never stop the list."""
    rng = random.Random(3)
    good_crystal(work + "/a", 0.9)
    with open(work + "/a/P1/dials.scale.log", "rb") as f:
        whole = f.read()
    for i, cut in enumerate(rng.sample(range(len(whole)), 40)):
        at = f"{work}/cut{i}/P1"
        os.makedirs(at)
        with open(at + "/dials.scale.log", "wb") as f:
            f.write(whole[:cut])
    for i in range(10):
        at = f"{work}/noise{i}/P1"
        os.makedirs(at)
        for name in ("dials.scale.log", "dials.integrate.log", "scaled.json", "imported.expt", "scaled.expt", "dials.cosym.log"):
            with open(f"{at}/{name}", "wb") as f:
                f.write(rng.randbytes(rng.randint(0, 5000)))
    os.makedirs(work + "/fifo/P1")
    os.mkfifo(work + "/fifo/P1/dials.scale.log")
    for method in ("shell", "linear", "fit"):
        out, _ = run("-C", work, "--method", method, "--format", "json", "P1")
        assert len(json.loads(out)) == 52


def test_ratio(work):
    """The movie is opened, and only where the column is asked for."""
    good_crystal(work + "/a", 0.9)
    good_crystal(work + "/b", 0.9)
    good_crystal(work + "/c", 0.9)
    put(work + "/a/P1", "imported.expt", synthetic.expt(work + "/movie.emd", 1, 4))
    put(work + "/b/P1", "imported.expt", synthetic.expt(work + "/nowhere.emd", 1, 4))
    put(work, "text.emd", "no HDF5")
    put(work + "/c/P1", "imported.expt", synthetic.expt(work + "/text.emd", 1, 4))
    try:
        import h5py
        import numpy
    except ImportError:
        print("without h5py: no ratio")
        return
    with h5py.File(work + "/movie.emd", "w") as f:
        f["small"] = numpy.arange(10)
        data = f.create_dataset("Data/Image/x/Data", (64, 64, 4), "i2", chunks=(64, 64, 1), compression="gzip")
        data[...] = numpy.arange(64 * 64 * 4, dtype="i2").reshape(64, 64, 4) % 50
        expected = data.size * 2 / data.id.get_storage_size()
    rows = {r["path"]: r for r in json.loads(run("-C", work, "--format", "json", "--columns", "path,ratio,image", "P1")[0])}
    assert abs(rows["a/P1"]["ratio"] - expected) < 0.006, (rows, expected)
    assert rows["b/P1"]["ratio"] is None and rows["c/P1"]["ratio"] is None
    assert "ratio" not in json.loads(run("-C", work, "--format", "json", "P1")[0])[0]


def test_options(work):
    good_crystal(work + "/a", 0.9)
    run(code=2)
    run("P1", "P2", code=2)
    for bad in (["--columns", "nonsense"], ["--columns", ""], ["--sort", "nonsense"], ["--cc", "x"], ["--cc", "1.5"],
                ["--method", "spline"], ["--format", "xml"], ["--symmetry-from", "both"], ["--columns", "path,resolutoin"], ["--nonsense"]):
        out, err = run(*bad, "-C", work, "P1", code=2)
        assert out == "" and err.startswith("emdlist: "), bad
    for trial in ("..", "/P1", "P1/", "P1/../x", ""):
        run("-C", work, trial, code=2)
    out, err = run("-C", work, "mP", code=3)
    assert out == "" and "no crystal has the trial mP" in err
    _, err = run("-C", work + "/nowhere", "P1", code=1)
    assert "No such file" in err
    assert run("--version")[0].startswith("emdlist (emdtools) ")
    assert "cc_half" in run("--help")[0]
    out, _ = run("-C", work, "-o", work + "/report.html", "--format", "html", "P1")
    with open(work + "/report.html", encoding="utf-8") as f:
        page = f.read()
    assert out == "" and page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    # Nothing of the page points outside it.
    for tag, attributes in parse_page(page).tags:
        assert not {"src", "srcset", "action"} & set(attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#")
    _, err = run("-C", work, "-o", work + "/no/such/folder.html", "P1", code=1)
    assert "folder.html" in err
    full = subprocess.run([TOOL, "-C", work, "P1"], stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE)
    assert full.returncode == 1 and b"cannot write" in full.stderr


def test_documents(work):
    """Help, man page and completions know all columns."""
    text = run("--help")[0]
    columns = [l.split()[0] for l in text.split("Columns:\n")[1].split("\n\n")[0].splitlines()]
    assert len(columns) > 30
    pages = [os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "docs", "man", "emdlist.1")]
    pages += [os.path.join(os.environ["EMDTOOLS_BUILD_DIR"], "completions", *parts)
              for parts in (("bash", "emdlist"), ("zsh", "_emdlist"), ("fish", "emdlist.fish"))]
    for path in pages:
        with open(path, encoding="utf-8") as f:
            words = set(re.findall(r"[a-z0-9_]+", f.read().replace("\\-", "-")))
        assert not set(columns) - words, (path, set(columns) - words)


def test_many(work):
    """More crystals than threads take at once; the order does not depend on them."""
    synthetic.make(work, 150, seed=7)
    first, _ = run("-C", work, "P1")
    assert len(first.splitlines()) == 150
    assert all(run("-C", work, "P1")[0] == first for _ in range(3))
    numbers = [float(l.split()[1]) for l in first.splitlines() if l.split()[1] != "-"]
    assert numbers == sorted(numbers) and 100 < len(numbers) < 150


if __name__ == "__main__":
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory(prefix="emdlist.") as folder:
                test(folder)
            print("ok", name)
