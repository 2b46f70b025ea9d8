# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdblanks: what DIALS' logs say, every deliberate difference, complete slices, hostile input."""

import copy
import gzip
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
import dialsfiles as d  # noqa: E402

EMDBLANKS = os.path.join(os.environ["EMDTOOLS_BIN"], "emdblanks")
DATA = os.path.join(os.environ.get("EMDTOOLS_TEST_DATA", ""), "dials")
needs_data = unittest.skipUnless(os.path.isdir(DATA), "no DIALS samples here")


def emdblanks(*args, code=0, **keywords):
    run = subprocess.run([EMDBLANKS, *map(str, args)], capture_output=True, text=True, check=False, **keywords)
    if run.returncode != code:
        raise AssertionError(f"emdblanks {args}: exit {run.returncode}: {run.stdout}{run.stderr}")
    return run


def report(*args, code=0):
    return json.loads(emdblanks("--json", *args, code=code).stdout)


def load(name):
    with open(name, encoding="utf-8") as f:
        return json.load(f)


def content(name):
    with open(name, "rb") as f:
        return f.read()


def clear(*names):
    for name in names:
        if os.path.exists(name):
            os.unlink(name)


def steps(first, last, count):
    """'count' values of z spread evenly over images first .. last."""
    return [first - 1 + (last - first + 1) * (i + 0.5) / count for i in range(count)]


class Made(unittest.TestCase):
    """Runs on made-up pairs."""

    def setUp(self):
        clear("not_blank.expt", "not_blank.refl", "in.expt", "in.refl")

    def put(self, expt, table, indent=2):
        with open("in.expt", "w", encoding="utf-8") as f:
            json.dump(expt, f, indent=indent)
        table.write("in.refl")

    def run_on(self, expt, table, *args, code=0):
        self.put(expt, table)
        return report("in.expt", "in.refl", *args, code=code)

    def kept(self, result, experiment=0):
        return [(r["first"], r["last"]) for r in result["experiments"][experiment]["runs"]
                if r["kept"]]

    def runs(self, result, experiment=0):
        return [(r["first"], r["last"]) for r in result["experiments"][experiment]["runs"]]


def kept_z(name="not_blank.refl"):
    return [z for _, _, z in d.read(name).numbers("xyzobs.px.value", "<3d")]


@needs_data
class Samples(unittest.TestCase):
    def test_logs(self):
        """The lines of the DIALS logs, and rows and images as the published filter leaves them."""
        for name in ("fade", "velox", "quartz"):
            folder = os.path.join(DATA, name)
            out = emdblanks(f"{folder}/integrated.expt", f"{folder}/integrated.refl").stdout
            with open(f"{folder}/dials.detect_blanks.log", encoding="utf-8") as f:
                log = [x for x in f.read().splitlines() if x.startswith(("Analysis", "Potential"))]
            lines = [x for x in out.splitlines() if x.startswith(("Analysis", "Potential"))]
            self.assertEqual(lines, log, name)
            if os.path.exists(f"{folder}/not_blank.refl"):
                self.assertEqual(content("not_blank.refl"), content(f"{folder}/not_blank.refl"))
                theirs, ours = load(f"{folder}/not_blank.expt"), load("not_blank.expt")
                self.assertEqual(ours["scan"], theirs["scan"])
                self.assertEqual(ours["experiment"], theirs["experiment"])

    def test_bins(self):
        """The same bins and values as dials.detect_blanks, to the last bit."""
        for name in ("fade", "velox", "quartz"):
            folder = os.path.join(DATA, name)
            (ours,) = report("-n", f"{folder}/integrated.expt",
                             f"{folder}/integrated.refl")["experiments"]
            for kind, theirs in load(f"{folder}/blanks.json").items():
                bins = theirs["data"][0]
                self.assertEqual([b["value"] for b in ours[kind]["bins"]], bins["y"])
                self.assertEqual([b["blank"] for b in ours[kind]["bins"]], bins["blank"])
                self.assertEqual(ours[kind]["blank"],
                                 [[a + 1, b] for a, b in theirs["blank_regions"]])

    def test_start_angles(self):
        """Two start angles whose width per image rounds up and down: the bins of dials.detect_blanks."""
        cases = os.path.join(DATA, "..", "cases", "dials", "start_angle")
        if not os.path.isdir(cases):
            self.skipTest("no cases here")
        for name, bins, kept in (("db30", 11, (19, 102)), ("db60", 12, (21, 100))):
            (experiment,) = report("-n", f"{cases}/{name}/in.expt", f"{cases}/{name}/in.refl")["experiments"]
            dials = load(f"{cases}/{name}/blanks.json")
            for analysis in ("strong", "indexed", "integrated"):
                theirs = dials[analysis]["data"][0]
                self.assertEqual([(b["value"], b["blank"]) for b in experiment[analysis]["bins"]],
                                 list(zip(theirs["y"], theirs["blank"])), (name, analysis))
            self.assertEqual(len(experiment["strong"]["bins"]), bins)
            self.assertEqual([(r["first"], r["last"]) for r in experiment["runs"]], [kept])

    def test_multi(self):
        """Each of two experiments gives what it gives alone."""
        together = report("-n", f"{DATA}/multi/combined.expt", f"{DATA}/multi/combined.refl")
        for name, expt in zip(("velox", "fade"), together["experiments"]):
            (alone,) = report("-n", f"{DATA}/{name}/integrated.expt",
                              f"{DATA}/{name}/integrated.refl")["experiments"]
            for run in expt["runs"] + alone["runs"]:
                run.pop("experiment", None)
            self.assertEqual(expt, alone)

    def test_blank(self):
        clear("not_blank.expt", "not_blank.refl")
        run = emdblanks(f"{DATA}/blank/imported.expt", f"{DATA}/blank/strong.refl", code=3)
        self.assertIn("all images are blank", run.stderr)
        self.assertFalse(os.path.exists("not_blank.expt") or os.path.exists("not_blank.refl"))

    def test_nothing_changes(self):
        """Without blank images the pair is written as it was read, byte for byte."""
        for pair in ("velox/integrated", "quartz/integrated", "quartz/indexed"):
            emdblanks(f"{DATA}/{pair}.expt", f"{DATA}/{pair}.refl", "--counts-loss", 0,
                      "--misigma-loss", 0)
            self.assertEqual(content("not_blank.expt"), content(f"{DATA}/{pair}.expt"), pair)
            self.assertEqual(content("not_blank.refl"), content(f"{DATA}/{pair}.refl"), pair)

    def test_every_stage(self):
        for expt, refl in (("imported", "strong"), ("indexed", "indexed"), ("refined", "indexed"),
                           ("integrated", "integrated"), ("not_blank/scaled", "not_blank/scaled")):
            result = report(f"{DATA}/fade/{expt}.expt", f"{DATA}/fade/{refl}.refl")
            table, source = d.read("not_blank.refl"), d.read(f"{DATA}/fade/{refl}.refl")
            (run,) = [r for r in result["experiments"][0]["runs"] if r["kept"]]
            self.assertEqual((run["first"], run["last"]), (17, 56))
            z = [v[2] for v in source.numbers("xyzobs.px.value", "<3d")]
            expected = source.select(lambda i, z=z: 16 <= z[i] < 56)
            self.assertEqual(table.pack(), content("not_blank.refl"))
            self.assertEqual(table.pack(), expected.pack())
            self.assertEqual(load("not_blank.expt")["scan"][0]["image_range"], [17, 56])

    def test_new_scans(self):
        sample = f"{DATA}/samples_synthetic_v3.18+_integrated.expt"
        emdblanks(sample, f"{DATA}/fade/integrated.refl")
        old, new = load(sample), load("not_blank.expt")
        self.assertEqual(new["history"], old["history"])
        (scan,) = new["scan"]
        self.assertEqual(list(scan), list(old["scan"][0]))
        for key, values in old["scan"][0]["properties"].items():
            self.assertEqual(scan["properties"][key], values[16:56])
        self.assertEqual(new["crystal"][0]["A_at_scan_points"],
                         old["crystal"][0]["A_at_scan_points"][16:57])
        self.assertEqual(content("not_blank.expt").count(b"\n"), content(sample).count(b"\n"))

    def test_plot(self):
        clear("plot.svg")
        emdblanks("-n", "--plot", "plot.svg", f"{DATA}/multi/combined.expt",
                  f"{DATA}/multi/combined.refl")
        root = xml.etree.ElementTree.parse("plot.svg").getroot()
        text = "".join(root.itertext())
        for word in ("Experiment 0", "Experiment 1", "images 17-56: 504 reflections, kept"):
            self.assertIn(word, text)


class Differences(Made):
    """Where the published filter is wrong; each comment says what it does."""

    def test_lone_last_bin(self):
        # A single blank bin at the end is overlooked.
        result = self.run_on(d.experiments([d.scan(last=60)]), d.spots(steps(1, 56, 280)))
        self.assertEqual(result["experiments"][0]["strong"]["blank"], [[57, 60]])
        self.assertEqual(self.kept(result), [(1, 56)])

    def test_short_wedge(self):
        # A scan shorter than one bin stops it.
        result = self.run_on(d.experiments([d.scan(last=3)]), d.spots(steps(1, 3, 20)))
        self.assertEqual(self.kept(result), [(1, 3)])
        result = self.run_on(d.experiments([d.scan(last=1)]), d.spots(steps(1, 1, 5)))
        self.assertEqual(self.kept(result), [(1, 1)])

    def test_unindexed(self):
        # Rows with id -1 stop it. Here they count as strong spots and stay where their image does.
        z = steps(1, 40, 200) + steps(1, 60, 30)
        ids = [0] * 200 + [-1] * 30
        flags = [d.STRONG | d.INDEXED] * 200 + [d.STRONG] * 30
        result = self.run_on(d.experiments([d.scan(last=60)]), d.spots(z, ids=ids, flags=flags))
        self.assertEqual(result["experiments"][0]["strong"]["reflections"], 230)
        self.assertEqual(self.kept(result), [(1, 40)])
        table = d.read("not_blank.refl")
        self.assertEqual(table.numbers("id", "<i").count((-1,)), 20)
        self.assertEqual(len(table), 220)

    def test_empty_experiment(self):
        # An experiment without reflections stops it; the others must keep ids that fit.
        expt = d.experiments([d.scan(), d.scan(), d.scan()])
        table = d.spots(steps(1, 60, 240) * 2, ids=[0] * 240 + [2] * 240, imageset=[0] * 240 +
                        [2] * 240, identifiers={0: "id-0", 2: "id-2"})
        result = self.run_on(expt, table)
        self.assertEqual([self.kept(result, i) for i in range(3)], [[(1, 60)], [], [(1, 60)]])
        out, table = load("not_blank.expt"), d.read("not_blank.refl")
        self.assertEqual([e["identifier"] for e in out["experiment"]], ["id-0", "id-2"])
        self.assertEqual([e["crystal"] for e in out["experiment"]], [0, 1])
        self.assertEqual([len(out[k]) for k in ("crystal", "scan", "imageset")], [2, 2, 2])
        self.assertEqual([x["template"] for x in out["imageset"]], ["/data/0.emd", "/data/2.emd"])
        self.assertEqual(table.identifiers, {0: "id-0", 1: "id-2"})
        for column in ("id", "imageset_id"):
            self.assertEqual(table.numbers(column, "<i"), [(0,)] * 240 + [(1,)] * 240)

    def test_everything_blank(self):
        # Empty files and exit 0.
        run = emdblanks  # rows exist, but none on any image of the scan
        self.put(d.experiments([d.scan(last=60)]), d.spots([100.5, 200.5]))
        self.assertIn("all images are blank", run("in.expt", "in.refl", code=3).stderr)
        self.assertFalse(os.path.exists("not_blank.refl"))

    def test_first_image(self):
        # Regions are taken as indices from 0 though the scan starts elsewhere.
        result = self.run_on(d.experiments([d.scan(first=101, last=160)]),
                             d.spots(steps(121, 160, 200)))
        self.assertEqual(self.kept(result), [(121, 160)])
        out = load("not_blank.expt")
        self.assertEqual(out["scan"][0]["image_range"], [121, 160])
        self.assertEqual(out["scan"][0]["oscillation"], [10.0, 0.5])
        self.assertEqual(out["imageset"][0]["single_file_indices"], list(range(120, 160)))

    def test_outside_scan(self):
        # Spots outside the scan stop it.
        z = steps(1, 40, 200) + [-3.0, 60.5, 1e9, -1e300, float("nan"), float("inf")]
        result = self.run_on(d.experiments([d.scan(last=60)]), d.spots(z))
        self.assertEqual(result["experiments"][0]["outside_scan"], 6)
        self.assertEqual(self.kept(result), [(1, 40)])
        self.assertEqual(len(d.read("not_blank.refl")), 200)

    def test_negative_maximum(self):
        # When the best mean I/sigma is negative, all bins are below a tenth of it.
        result = self.run_on(d.experiments([d.scan(last=60)]),
                             d.spots(steps(1, 60, 240), isigma=-0.5))
        self.assertEqual(self.kept(result), [(1, 60)])
        self.assertIn("says nothing", emdblanks("-n", "in.expt", "in.refl").stderr)

    def test_variance(self):
        # Zero variance makes the mean of its bin NaN or infinite, and so the threshold.
        n = 240
        variance = [0.0 if i % 7 == 0 else -1.0 if i % 7 == 1 else 4.0 for i in range(n)]
        isigma = [10.0 if i < 160 else 0.1 for i in range(n)]
        result = self.run_on(d.experiments([d.scan(last=60)]),
                             d.spots(steps(1, 60, n), isigma=isigma, variance=variance))
        self.assertEqual(result["experiments"][0]["unusable"], 70)
        self.assertEqual(self.kept(result), [(1, 40)])

    def test_whole_images(self):
        # Bounds of bins are computed in floating point: 7/13 of an image too far is one too many.
        for images in (61, 59, 127, 130, 99, 83):
            for width in (0.5, 0.3, 0.7, 0.11):
                result = self.run_on(d.experiments([d.scan(last=images, width=width)]),
                                     d.spots(steps(1, images, 10 * images)))
                bins = result["experiments"][0]["strong"]["bins"]
                n = len(bins)
                for i, b in enumerate(bins):
                    self.assertEqual(b["first"], i * images // n + 1)
                    self.assertEqual(b["last"], -(-(i + 1) * images // n))

    def test_runs_outside_the_longest(self):
        # Good frames outside the longest run are lost.
        z = steps(1, 20, 100) + steps(31, 60, 150) + steps(71, 80, 50)
        expt = d.experiments([d.scan(last=80)])
        expt["scan"][0]["valid_image_ranges"] = {"id-0": [[1, 40], [50, 80]], "other": [[1, 5]]}
        table = d.spots(z, imageset=0, identifiers={0: "id-0"})
        result = self.run_on(expt, table, "--phi-step", 1, "--keep", "all")
        self.assertEqual(self.kept(result), [(1, 20), (31, 60), (71, 80)])
        out, table = load("not_blank.expt"), d.read("not_blank.refl")
        names = [e["identifier"] for e in out["experiment"]]
        self.assertEqual(names[0], "id-0")
        self.assertEqual(len(set(names)), 3)
        self.assertEqual(table.identifiers, dict(enumerate(names)))
        self.assertEqual(table.numbers("id", "<i"), [(0,)] * 100 + [(1,)] * 150 + [(2,)] * 50)
        self.assertEqual(table.numbers("imageset_id", "<i"), table.numbers("id", "<i"))
        self.assertEqual([s["image_range"] for s in out["scan"]], [[1, 20], [31, 60], [71, 80]])
        self.assertEqual([s["valid_image_ranges"] for s in out["scan"]],
                         [{"id-0": [[1, 20]], "other": [[1, 5]]},
                          {names[1]: [[31, 40], [50, 60]]}, {names[2]: [[71, 80]]}])
        self.assertEqual([len(c["A_at_scan_points"]) for c in out["crystal"]], [21, 31, 11])
        self.assertEqual(len(out["beam"]), 1)
        first = content("not_blank.expt") + content("not_blank.refl")
        emdblanks("in.expt", "in.refl", "--phi-step", 1, "--keep", "all")
        self.assertEqual(content("not_blank.expt") + content("not_blank.refl"), first)

        result = report("in.expt", "in.refl", "--phi-step", 1, "--keep=all", "--min-images", 15)
        self.assertEqual(self.kept(result), [(1, 20), (31, 60)])
        result = report("in.expt", "in.refl", "phi_step=1", "--keep=all", "--min-reflections", 101)
        self.assertEqual(self.kept(result), [(31, 60)])
        result = report("in.expt", "in.refl", "phi_step=1", "min_total_reflections=101")
        self.assertEqual(self.kept(result), [(31, 60)])
        emdblanks("in.expt", "in.refl", "phi_step=1", "--min-reflections", 1000, code=3)


class Slices(Made):
    def test_all_models(self):
        """Everything with an entry an image or a scan point is cut, all else is as it was."""
        n = 60
        expt = d.experiments([d.scan(last=n, batch_offset=7)])
        points = list(range(n + 1))
        expt["crystal"][0]["B_covariance_at_scan_points"] = [[p] * 81 for p in points]
        expt["beam"][0]["s0_at_scan_points"] = [[0, 0, p] for p in points]
        expt["goniometer"][0]["setting_rotation_at_scan_points"] = [[p] * 9 for p in points]
        expt["profile"] = [{"__id__": "gaussian_rs", "sigma_b": list(range(n)),
                            "sigma_m": list(range(n)), "n_sigma": 3.0}]
        expt["experiment"][0]["profile"] = 0
        self.run_on(expt, d.spots(steps(21, 48, 140)))
        expected = copy.deepcopy(expt)
        expected["scan"] = [d.scan(first=21, last=48, start=10.0, batch_offset=7)]
        expected["scan"][0]["exposure_time"] = expt["scan"][0]["exposure_time"][20:48]
        expected["scan"][0]["epochs"] = expt["scan"][0]["epochs"][20:48]
        for kind, key, more in (("crystal", "A_at_scan_points", 1), ("beam", "s0_at_scan_points", 1),
                                ("crystal", "B_covariance_at_scan_points", 1),
                                ("goniometer", "setting_rotation_at_scan_points", 1),
                                ("profile", "sigma_b", 0), ("profile", "sigma_m", 0),
                                ("imageset", "single_file_indices", 0)):
            expected[kind][0][key] = expt[kind][0][key][20:48 + more]
        with open("expected.expt", "w", encoding="utf-8") as f:
            json.dump(expected, f, indent=2)
        self.assertEqual(content("not_blank.expt").decode(), content("expected.expt").decode())

    def test_new_form(self):
        expt = d.experiments([d.scan(last=60, new=True, start=-20.0)])
        expt["scan"][0]["properties"]["temperature"] = list(range(60))
        self.run_on(expt, d.spots(steps(21, 48, 140), version=2))
        scan = load("not_blank.expt")["scan"][0]
        for key, values in expt["scan"][0]["properties"].items():
            self.assertEqual(scan["properties"][key], values[20:48])
        self.assertNotIn("oscillation", scan)
        self.assertEqual(d.read("not_blank.refl").version, 2)

    def test_one_image(self):
        expt = d.experiments([d.scan(last=5, new=True, width=2.5)])
        self.run_on(expt, d.spots(steps(3, 3, 9)))
        properties = load("not_blank.expt")["scan"][0]["properties"]
        self.assertEqual(properties["oscillation"], [5.0])
        self.assertEqual(properties["oscillation_width"], [2.5])
        shutil.copy("not_blank.expt", "one.expt")
        shutil.copy("not_blank.refl", "one.refl")
        self.assertEqual(self.kept(report("one.expt", "one.refl")), [(3, 3)])

    def test_shared_models(self):
        """Two lattices on one scan with different blank ends: copies; alike: still shared."""
        share = ("beam", "detector", "goniometer", "scan", "imageset")
        expt = d.experiments([d.scan(last=60), d.scan(last=60)], share=share)
        z = steps(1, 40, 200) + steps(21, 60, 200) + [5.5, 30.5, 55.5]
        ids = [0] * 200 + [1] * 200 + [-1] * 3
        self.run_on(expt, d.spots(z, ids=ids, imageset=0))
        out, table = load("not_blank.expt"), d.read("not_blank.refl")
        self.assertEqual([s["image_range"] for s in out["scan"]], [[1, 40], [21, 60]])
        self.assertEqual([e["scan"] for e in out["experiment"]], [0, 1])
        self.assertEqual([len(x["single_file_indices"]) for x in out["imageset"]], [40, 40])
        self.assertEqual([len(out[k]) for k in ("beam", "detector", "goniometer")], [1, 1, 1])
        self.assertEqual(table.numbers("imageset_id", "<i"),
                         [(0,)] * 200 + [(1,)] * 200 + [(0,), (0,), (1,)])
        self.assertEqual(table.numbers("id", "<i")[-3:], [(-1,)] * 3)

        self.run_on(expt, d.spots(steps(1, 40, 200) * 2, ids=[0] * 200 + [1] * 200, imageset=0))
        out = load("not_blank.expt")
        self.assertEqual([e["scan"] for e in out["experiment"]], [0, 0])
        self.assertEqual([len(out[k]) for k in ("scan", "imageset", "crystal")], [1, 1, 2])

    def test_identifiers(self):
        """Rows belong to experiments by identifier, whatever their numbers."""
        expt = d.experiments([d.scan(last=60), d.scan(last=60)])
        z = steps(1, 40, 200) + steps(21, 60, 200)
        table = d.spots(z, ids=[4] * 200 + [2] * 200, identifiers={4: "id-0", 2: "id-1"})
        result = self.run_on(expt, table)
        self.assertEqual([self.kept(result, i) for i in (0, 1)], [[(1, 40)], [(21, 60)]])
        table = d.read("not_blank.refl")
        self.assertEqual(table.numbers("id", "<i"), [(0,)] * 200 + [(1,)] * 200)
        self.assertEqual(table.identifiers, {0: "id-0", 1: "id-1"})
        # Of another list altogether: by number, with a warning.
        self.put(expt, d.spots(z, ids=[0] * 200 + [1] * 200, identifiers={0: "x", 1: "y"}))
        self.assertIn("taken by number", emdblanks("in.expt", "in.refl").stderr)
        self.assertEqual(d.read("not_blank.refl").identifiers, {0: "id-0", 1: "id-1"})
        # Of half another list: no guess.
        self.put(expt, d.spots(z, ids=[0] * 200 + [1] * 200, identifiers={0: "id-0", 1: "y"}))
        emdblanks("in.expt", "in.refl", code=1)

    def test_text_is_kept(self):
        """Numbers, NaN, order of keys, style and escapes: only what changed differs."""
        text = json.dumps(d.experiments([d.scan(last=60)]))
        text = text.replace('"gain": 1.0', '"z": NaN, "gain": 1.000E+00, "a": [-Infinity, 1e400, '
                            '-0.0, 12345678901234567, 1e-7], "name2": "\\u00e9\\ud83d\\ude00\\u007f'
                            ' \\"\\\\/\\n", "e": {}, "f": [], "n": null, "t": true')
        for style in (text, json.dumps(json.loads(text), indent=2), text + "\n",
                      json.dumps(json.loads(text), ensure_ascii=False)):
            with open("in.expt", "w", encoding="utf-8") as f:
                f.write(style)
            d.spots(steps(1, 60, 240)).write("in.refl")
            emdblanks("in.expt", "in.refl")
            self.assertEqual(content("not_blank.expt").decode(), style)

    def test_columns(self):
        """All types, unknown ones that split evenly, shoeboxes of every form, no rows."""
        z = steps(1, 60, 300)
        table = d.spots(z, version=2)
        boxes = [(0, 1 + i % 5, 0, 2, i % 4, i % 4 + i % 3) for i in range(300)]
        table.columns["shoebox"] = ("Shoebox<>", [d.shoebox(i, boxes[i], i % 3, i)
                                                  for i in range(300)])
        table.columns["frames"] = ("FrameSlicedShoebox<>", [
            struct.pack("<I", i % 7) + bytes([i % 256]) * (53 * (i % 7)) for i in range(300)])
        table.columns["future"] = ("vec5<float>", [bytes([i % 256] * 20) for i in range(300)])
        table.columns["m"] = ("mat3<double>", [bytes([i % 256] * 72) for i in range(300)])
        table.columns["b"] = ("bool", [bytes([i % 2]) for i in range(300)])
        table.columns["h"] = ("cctbx::miller::index<>", [bytes([i % 256] * 12) for i in range(300)])
        table.columns["v"] = ("vec2<double>", [bytes([i % 256] * 16) for i in range(300)])
        table.columns["x"] = ("int6", [bytes([i % 256] * 24) for i in range(300)])
        self.put(d.experiments([d.scan(last=60)]), table)
        emdblanks("in.expt", "in.refl")
        self.assertEqual(d.read("not_blank.refl").columns, table.columns)
        for i in range(300):  # strong but on 21 .. 40
            if not 20 <= z[i] < 40:
                table.columns["flags"][1][i] = bytes(8)
        table.write("in.refl")
        emdblanks("in.expt", "in.refl")
        self.assertEqual(d.read("not_blank.refl").columns,
                         table.select(lambda i: 20 <= z[i] < 40).columns)


class Robust(Made):
    def test_single_images(self):
        """Ends of blank ranges to the image, where bins are off by up to their width."""
        z = steps(1, 27, 27 * 6) + steps(35, 90, 56 * 6)
        result = self.run_on(d.experiments([d.scan(last=101)]), d.spots(z), "--method", "robust",
                             "--keep", "all")
        self.assertEqual(self.kept(result), [(1, 27), (35, 90)])
        self.assertNotIn("strong", result["experiments"][0])
        out = emdblanks("-n", "--method=robust", "in.expt", "in.refl").stdout
        self.assertIn("Analysis of 498 strong reflections by image:\n"
                      "Potential blank images: 28 -> 34\n", out)

    def test_few_spots(self):
        """Single images without a spot are no evidence; without strong spots DIALS' way is left."""
        result = self.run_on(d.experiments([d.scan(last=60)]), d.spots(steps(1, 60, 40)),
                             "--method", "robust")
        self.assertEqual(self.kept(result), [(1, 60)])
        table = d.spots(steps(1, 40, 200), flags=d.INTEGRATED)
        result = self.run_on(d.experiments([d.scan(last=60)]), table, "--method", "robust")
        self.assertEqual(self.kept(result), [(1, 42)])
        self.assertIn("integrated", result["experiments"][0])


class Frames(Made):
    def test_evidence(self):
        expt, table = d.experiments([d.scan(last=60)]), d.spots(steps(1, 60, 300))
        with open("movie.frames.tsv", "w", encoding="utf-8") as f:
            f.write("image\ttilt_deg\tmean\tmax\tspots\n")
            for i in range(1, 71):
                f.write(f"{i}\t{0.5 * i:.2f}\t10.0\t200\t{30 if i <= 44 else 1}\n")
        result = self.run_on(expt, table, "--from-frames", "movie.frames.tsv")
        self.assertEqual(result["experiments"][0]["frames"]["blank"], [[45, 60]])
        self.assertEqual(self.kept(result), [(1, 44)])
        with open("bad.frames.tsv", "w", encoding="utf-8") as f:
            f.write("image\tmean\n1\t2\n")
        with open("short.frames.tsv", "w", encoding="utf-8") as f:
            f.write("image\tmean\tspots\n1\t2\n")
        for bad in ("bad.frames.tsv", "short.frames.tsv", "absent.frames.tsv", "in.refl"):
            self.assertIn(bad, emdblanks("in.expt", "in.refl", "--from-frames", bad, code=1).stderr)


class Arguments(Made):
    def setUp(self):
        super().setUp()
        self.put(d.experiments([d.scan(last=60)]), d.spots(steps(1, 40, 200)))

    def test_dials_style(self):
        clear("a.expt", "a.refl")
        emdblanks("in.refl", "in.expt", "output.experiments=a.expt", "output.reflections=a.refl",
                  "phi_step=3", "counts_fractional_loss=0.2", "misigma_fractional_loss=0.05")
        self.assertTrue(os.path.exists("a.expt") and os.path.exists("a.refl"))
        self.assertFalse(os.path.exists("not_blank.expt"))
        result = report("-n", "input.experiments=in.expt", "input.reflections=in.refl",
                        "phi_step=3", "counts_fractional_loss=0.2", "misigma_fractional_loss=0.05")
        self.assertEqual((result["phi_step"], result["counts_fractional_loss"],
                          result["misigma_fractional_loss"]), (3, 0.2, 0.05))
        self.assertEqual(len(result["experiments"][0]["strong"]["bins"]), 10)

    def test_usage(self):
        for args in ([], ["in.expt"], ["in.expt", "in.refl", "x.refl"], ["--phi-step", "0"],
                     ["--keep", "some"], ["phi_step=abc"], ["no_such_key=1"], ["--counts-loss=2"],
                     ["--min-images", "0"], ["--nonsense"], ["output.experiments="]):
            run = emdblanks("in.expt", "in.refl", *args, code=2) if args[:1] and (
                "=" in args[0] or args[0].startswith("--")) else emdblanks(*args, code=2)
            self.assertIn("emdblanks", run.stderr)
        self.assertIn("Usage", emdblanks("--help").stdout)
        self.assertIn("emdtools", emdblanks("--version").stdout)

    def test_dry_run_and_quiet(self):
        self.assertIn("Kept images: 1 -> 40 (200 reflections)",
                      emdblanks("-n", "in.expt", "in.refl").stdout)
        self.assertFalse(os.path.exists("not_blank.expt"))
        run = emdblanks("-q", "in.expt", "in.refl")
        self.assertEqual(run.stdout + run.stderr, "")

    def test_inputs_are_safe(self):
        before = content("in.expt"), content("in.refl")
        for out in (("in.expt", "b.refl"), ("a.expt", "in.refl"), ("in.refl", "in.expt"),
                    ("same", "same")):
            emdblanks("in.expt", "in.refl", f"output.experiments={out[0]}",
                      f"output.reflections={out[1]}", code=2)
        self.assertEqual((content("in.expt"), content("in.refl")), before)

    def test_both_or_neither(self):
        """If one of the two cannot be written, the other is not there or as it was."""
        os.makedirs("folder.refl", exist_ok=True)
        clear("a.expt")
        emdblanks("in.expt", "in.refl", "output.experiments=a.expt",
                  "output.reflections=folder.refl", code=1)
        self.assertFalse(os.path.exists("a.expt"))
        with open("a.expt", "w", encoding="utf-8") as f:
            f.write("old")
        emdblanks("in.expt", "in.refl", "output.experiments=a.expt",
                  "output.reflections=absent/b.refl", code=1)
        emdblanks("in.expt", "in.refl", "output.experiments=a.expt",
                  "output.reflections=folder.refl", code=1)
        self.assertEqual(content("a.expt"), b"old")
        self.assertEqual([n for n in os.listdir(".") if ".tmp" in n], [])


    def test_stopped(self):
        """A signal while the table is written: no temporary file, the old pair, death of the signal."""
        expt, table = d.experiments([d.scan(last=60)]), d.spots(steps(1, 40, 400))
        self.put(expt, table)
        emdblanks("-q", "in.expt", "in.refl")
        old = content("not_blank.expt"), content("not_blank.refl")
        self.put(expt, d.spots(steps(1, 40, 300)))
        shim = os.path.join(os.environ["EMDTOOLS_BUILD_DIR"], "tests", "fault_shim.so")
        before = sorted(os.listdir())
        run = emdblanks("-q", "in.expt", "in.refl", code=-signal.SIGTERM,
                        env=dict(os.environ, LD_PRELOAD=shim, EMD_FAULT="pwrite:2:term:*not_blank.refl.[0-9a-f]*.tmp",
                                 ASAN_OPTIONS="verify_asan_link_order=0"))
        self.assertIn("stopped on request", run.stderr)
        self.assertEqual(sorted(os.listdir()), before)
        self.assertEqual((content("not_blank.expt"), content("not_blank.refl")), old)


FILTER = os.path.join(os.environ["EMDTOOLS_BIN"], "dials.filter_blanks")


class AsInDials(Made):
    """Called dials.filter_blanks: PHIL parameters and files, DIALS' options, a log."""

    OUTPUTS = ("a.expt", "a.refl", "dials.filter_blanks.log", "b.log", "my.phil", "x=y.refl", "p.svg")

    def setUp(self):
        super().setUp()
        clear(*self.OUTPUTS)
        self.put(d.experiments([d.scan(last=120)]), d.spots(steps(31, 60, 200) + steps(91, 105, 100)))

    def dials(self, *args, code=0, program=FILTER):
        run = subprocess.run([program, *args], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run

    def phil(self, text):
        with open("my.phil", "w", encoding="utf-8") as f:
            f.write(text)

    def config(self, *args, program=FILTER):
        return self.dials("-c", *args, program=program).stdout

    def test_as_users_type_it(self):
        run = self.dials("in.expt", "in.refl", "phi_step=4", "output.experiments=a.expt", "output.reflections=a.refl")
        self.assertTrue(os.path.exists("a.expt") and os.path.exists("a.refl"))
        with open("dials.filter_blanks.log", encoding="utf-8") as f:
            log = f.read()
        self.assertIn("The following parameters have been modified:", log)
        for line in ("phi_step = 4", "output.experiments = a.expt", "input.reflections = in.refl",
                     "Saving the experiments to a.expt", "Saving the reflections to a.refl"):
            self.assertIn(line + "\n", log)
        self.assertIn(run.stdout, log)

    def test_log(self):
        self.dials("in.expt", "in.refl", "output.log=b.log")
        self.assertTrue(os.path.exists("b.log") and not os.path.exists("dials.filter_blanks.log"))
        clear("b.log")
        self.dials("in.expt", "in.refl", "output.log=None")
        self.dials("in.expt", "in.refl", "-n")
        emdblanks("in.expt", "in.refl")
        self.assertFalse(os.path.exists("dials.filter_blanks.log"))
        emdblanks("in.expt", "in.refl", "--log", "b.log")
        self.assertTrue(os.path.exists("b.log"))
        self.dials("in.expt", "nowhere.refl", code=1)
        self.assertIn("error: nowhere.refl: cannot open", content("dials.filter_blanks.log").decode())

    def test_side_files_replace_nothing(self):
        before = content("in.refl"), content("in.expt")
        os.symlink("in.refl", "b.log")
        for args in (["output.log=in.refl"], ["output.log=b.log"], ["output.plot=in.expt"],
                     ["output.log=a.refl", "output.reflections=a.refl"], ["output.log=p.svg", "output.plot=p.svg"]):
            self.assertIn("must not replace", self.dials("in.expt", "in.refl", *args, code=2).stderr)
        self.assertEqual(before, (content("in.refl"), content("in.expt")))
        self.assertFalse(os.path.exists("a.refl"))

    def test_files(self):
        self.phil("# mine\nphi_step = 4 # degrees\noutput {\n  experiments = a.expt\n"
                  "    .help = \"x\"\n}\noutput.reflections = 'a.refl'; keep = longest *all\n!min_images = 9\n")
        self.dials("in.expt", "my.phil", "in.refl")
        self.assertTrue(os.path.exists("a.expt") and os.path.exists("a.refl"))
        self.assertEqual(len(load("a.expt")["experiment"]), 2)
        self.assertIn("phi_step = 3\n", self.config("my.phil", "phi_step=3"))  # the last one holds
        for text, why in (("phi_step = 4\nphy_step = 3", "my.phil: line 2: phy_step: unknown parameter; "
                                                         "did you mean 'phi_step'?"),
                          ("output {\n log = x", "is not closed"), ("phi_step = wide", "my.phil: line 1: phi_step"),
                          ("\0\1", "my.phil: line 1"), ("include file x", "include")):
            self.phil(text)
            run = self.dials("in.expt", "in.refl", "my.phil", code=2)
            self.assertIn(why, run.stderr)
            self.assertEqual(run.stderr.count("\n"), 2, run.stderr)
        self.assertIn("no such file", self.dials("nowhere.phil", code=2).stderr)

    def test_configuration(self):
        """What -c prints is a file that gives the same configuration."""
        args = ["phi_step=3", "output.experiments=a b\"c.expt", "keep=all", "log=None"]
        text = self.config(*args)
        self.phil(text)
        self.assertEqual(self.config("my.phil"), text)
        self.assertIn("log = dials.filter_blanks.log", self.config())
        self.assertIn("log = None", self.config(program=EMDBLANKS))

    def test_abbreviations(self):
        for name, line in (("phi=5", "phi_step = 5"), ("step=5", "phi_step = 5"), ("misigma=0.3", "misigma_fractional_loss = 0.3"),
                           ("counts_frac=0.3", "counts_fractional_loss = 0.3"), ("output.exp=x", "experiments = x"),
                           ("min_total=7", "min_total_reflections = 7"), ("plot=x", "plot = x")):
            self.assertIn(line + "\n", self.config(name))
        for name, why in (("experiments=x", "ambiguous: input.experiments, output.experiments"),
                          ("fractional_loss=0.2", "ambiguous: counts_fractional_loss, misigma_fractional_loss"),
                          ("phi_stpe=2", "did you mean 'phi_step'?"), ("PHI_STEP=2", "did you mean 'phi_step'?"),
                          ("nonsense=2", "nonsense: unknown parameter")):
            self.assertIn(why, self.dials(name, code=2).stderr)
        self.assertIn("did you mean '--phi-step'?", self.dials("--phi-stepp", "2", code=2).stderr)

    def test_options(self):
        self.assertIn("Usage: dials.filter_blanks", self.dials("-h").stdout)
        self.assertIn("Usage: emdblanks", self.dials("-h", program=EMDBLANKS).stdout)
        self.assertLessEqual(max(map(len, self.dials("-h").stdout.splitlines())), 80)
        self.assertIn("images 1 -> 4: 0 blank", self.dials("-v", "in.expt", "in.refl").stdout)
        self.assertNotIn("images 1 -> 4: 0", self.dials("in.expt", "in.refl").stdout)
        self.assertTrue(self.dials("nowhere.expt", "in.refl", code=1).stderr.startswith("dials.filter_blanks: "))

    def test_file_named_like_a_parameter(self):
        shutil.copy("in.refl", "x=y.refl")
        self.dials("in.expt", "x=y.refl")


class Gzipped(Made):
    """Tables as DIALS writes them with DIALS_USE_GZIP_REFL; other forms are named."""

    def setUp(self):
        super().setUp()
        clear("not_blank.refl.gz", "in.refl.gz", "a.refl", "a.refl.gz", "plain.refl", "bad.refl")
        table = d.spots(steps(1, 40, 400))
        table.columns["shoebox"] = ("Shoebox<>", [d.shoebox(0, (0, 2, 0, 2, 0, 2), 1)] * 400)
        self.put(d.experiments([d.scan(last=60)]), table)
        self.plain = content("in.refl")
        emdblanks("in.expt", "in.refl", "--output-reflections", "plain.refl")

    def write(self, name, data):
        with open(name, "wb") as f:
            f.write(data)

    def test_same_table(self):
        self.write("in.refl.gz", gzip.compress(self.plain))
        emdblanks("in.expt", "in.refl.gz")
        self.assertFalse(os.path.exists("not_blank.refl"))
        packed = content("not_blank.refl.gz")
        self.assertEqual(gzip.decompress(packed), content("plain.refl"))
        emdblanks("in.expt", "in.refl.gz")
        self.assertEqual(content("not_blank.refl.gz"), packed)  # same input, same bytes

    def test_form_by_name(self):
        """The name of the output says its form, as it does to DIALS; that of the input does not."""
        os.rename("in.refl", "other.refl")
        self.write("in.refl.gz", gzip.compress(self.plain))
        emdblanks("in.expt", "in.refl")  # there is only in.refl.gz
        self.assertEqual(gzip.decompress(content("not_blank.refl.gz")), content("plain.refl"))
        emdblanks("in.expt", "in.refl", "--output-reflections=a.refl")
        self.assertEqual(content("a.refl"), content("plain.refl"))
        emdblanks("in.expt", "other.refl", "--output-reflections=a.refl.gz")
        self.assertEqual(gzip.decompress(content("a.refl.gz")), content("plain.refl"))
        self.write("other.refl", gzip.compress(self.plain))
        emdblanks("in.expt", "other.refl", "--output-reflections=a.refl")
        self.assertEqual(content("a.refl"), content("plain.refl"))

    def test_members(self):
        half = len(self.plain) // 2
        parts = gzip.compress(self.plain[:half]) + gzip.compress(self.plain[half:])
        for data in (parts, parts + b"\0" * 100000, gzip.compress(b"") + parts):
            self.write("in.refl", data)
            emdblanks("in.expt", "in.refl", "--output-reflections=a.refl")
            self.assertEqual(content("a.refl"), content("plain.refl"))

    def test_damaged(self):
        packed = bytearray(gzip.compress(self.plain))
        cases = [(packed[:n], "cut short") for n in (5, 12, len(packed) // 2, len(packed) - 1)]
        cases += [(packed + b"more", "other bytes follow"), (packed[:-5] + b"x" + packed[-4:], "gzip data"),
                  (gzip.compress(b""), "empty"), (gzip.compress(b"x" * 5000), "not a reflection table"),
                  (gzip.compress(self.plain[:-10]), "cut short"), (packed[:10] + b"\xff" * 40, "gzip data")]
        for data, why in cases:
            self.write("bad.refl", data)
            clear("not_blank.expt", "not_blank.refl.gz")
            run = emdblanks("in.expt", "bad.refl", code=1)
            self.assertIn(f"bad.refl: {why}" if why == "cut short" else why, run.stderr)
            self.assertFalse(os.path.exists("not_blank.expt") or os.path.exists("not_blank.refl.gz"))

    def test_bombs_are_not_inflated(self):
        """What is no table is refused by its first bytes."""
        self.write("bad.refl", gzip.compress(b"\0" * (1 << 28), 1))
        run = subprocess.run(["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh", EMDBLANKS, "in.expt", "bad.refl"],
                             capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, "not a reflection table" in run.stderr), (1, True), run.stderr)

    def test_no_room(self):
        self.write("in.refl", gzip.compress(self.plain))
        run = emdblanks("in.expt", "in.refl", code=1, env={**os.environ, "TMPDIR": "/nowhere"})
        self.assertIn("temporary file in /nowhere", run.stderr)

    def test_other_forms(self):
        for data, name in ((b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "DIALS_USE_H5"), (b"\x80\x05\x95" + b"\0" * 100, "DIALS_USE_PICKLE"),
                           (b"\x80\x02cdials_array", "DIALS_USE_PICKLE"), (b"BZh91AY", "bunzip2"),
                           (content("in.expt"), "JSON"), (b"hello", "not a reflection table")):
            for packed in (data, gzip.compress(data)):
                self.write("bad.refl", packed)
                self.assertIn(name, emdblanks("in.expt", "bad.refl", code=1).stderr)

    def test_cases(self):
        cases = os.path.join(DATA, "..", "cases", "dials")
        if not os.path.isdir(cases):
            self.skipTest("no cases here")
        expt = f"{cases}/gzip_refl/in.expt"
        emdblanks(expt, f"{cases}/gzip_refl/gz.refl.gz")
        self.write("a.refl", gzip.decompress(content("not_blank.refl.gz")))
        self.assertEqual(len(d.read("a.refl")), 80)
        self.assertIn("DIALS_USE_H5", emdblanks(expt, f"{cases}/other_refl/h5.refl", code=1).stderr)
        self.assertIn("DIALS_USE_PICKLE", emdblanks(expt, f"{cases}/other_refl/pk.refl", code=1).stderr)


class Hostile(Made):
    def fails(self, expt=None, refl=None, code=1):
        clear("not_blank.expt", "not_blank.refl")
        if expt is not None:
            with open("bad.expt", "wb") as f:
                f.write(expt)
        if refl is not None:
            with open("bad.refl", "wb") as f:
                f.write(refl)
        run = subprocess.run([EMDBLANKS, "bad.expt" if expt is not None else "in.expt",
                              "bad.refl" if refl is not None else "in.refl"],
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        self.assertIn("bad.", run.stderr)
        self.assertFalse(os.path.exists("not_blank.expt") or os.path.exists("not_blank.refl"))
        return run.stderr

    def setUp(self):
        super().setUp()
        table = d.spots(steps(1, 40, 40))
        table.columns["shoebox"] = ("Shoebox<>", [d.shoebox(0, (0, 2, 0, 2, 0, 2), 1)] * 40)
        self.put(d.experiments([d.scan(last=60)]), table)
        self.table = table
        self.expt = d.experiments([d.scan(last=60)])

    def test_truncated(self):
        data, text = content("in.refl"), content("in.expt")
        for n in (0, 1, 5, 30, 60, 200, len(data) // 2, len(data) - 1):
            self.fails(refl=data[:n])
        self.fails(refl=data + b"\0")
        for n in (0, 1, 100, len(text) // 2, len(text) - 1):
            self.fails(expt=text[:n])

    def test_shoeboxes_that_lie(self):
        data = self.table.pack()
        at = data.index(b"Shoebox<>")
        row = data.index(struct.pack("<I6i", 0, 0, 2, 0, 2, 0, 2), at)
        for change in (struct.pack("<I6iB", 0, 0, 2**31 - 1, 0, 2**31 - 1, 0, 2**31 - 1, 1),
                       struct.pack("<I6iB", 0, -2**31, 2**31 - 1, -2**31, 2**31 - 1, 0, 2, 2),
                       struct.pack("<I6iB", 0, 2, 0, 0, 2, 0, 2, 1),
                       struct.pack("<I6iB", 0, 0, 2, 0, 2, 0, 2, 3),
                       struct.pack("<I6iB", 0, 0, 2, 0, 2, 0, 2, 0),
                       struct.pack("<I6iB", 0, 0, 2, 0, 2, 0, 3, 1),
                       struct.pack("<I6iB", 0, 0, 9, 0, 9, 0, 9, 1)):
            self.assertIn("shoebox", self.fails(refl=data[:row] + change + data[row + 29:]))

    def test_counts_that_lie(self):
        data = self.table.pack()
        nrows = data.index(b"\xa5nrows") + 6
        for n in (b"\x29", b"\xcf" + b"\xff" * 8, b"\xce\x7f\xff\xff\xff"):
            self.fails(refl=data[:nrows] + n + data[nrows + 1:])
        column = data.index(b"\xa5flags")
        self.fails(refl=data[:column] + data[column:].replace(b"\x92\x28", b"\x92\x27", 1))
        self.fails(refl=data.replace(b"\xabstd::size_t", b"\xabstd::string"))
        self.fails(refl=data.replace(b"\xa6double", b"\xa6doublf").replace(
            b"\xacvec3<double>", b"\xacvec3<doublf>"))
        self.fails(refl=data.replace(b"reflection_table\x01", b"reflection_table\x03"))
        self.fails(refl=data.replace(b"reflection_table", b"reflection_tabla"))
        odd = copy.deepcopy(self.table)
        odd.columns["odd"] = ("strange", [b"abc"] * 39 + [b"ab"])
        self.assertIn("odd", self.fails(refl=odd.pack()))
        odd.columns["odd"] = ("std::string", [b"x" * 32] * 40)
        self.assertIn("odd", self.fails(refl=odd.pack()))
        odd.columns["odd"] = ("nothing", [b""] * 40)
        self.assertIn("odd", self.fails(refl=odd.pack()))

    def test_huge_and_tiny_numbers(self):
        """Sums that overflow, and means that are hardly above zero: valid JSON, a plot that ends."""
        for isigma in (1.7e308, 5e-324):
            table = d.spots(steps(1, 60, 240), isigma=isigma, variance=1.0)
            (experiment,) = self.run_on(self.expt, table)["experiments"]
            value = experiment["integrated"]["bins"][0]["value"]
            self.assertEqual(value, None if isigma > 1 else isigma)
            self.assertEqual([(r["first"], r["last"]) for r in experiment["runs"]], [(1, 60)])
            clear("plot.svg")
            subprocess.run(["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh", EMDBLANKS, "-n", "-q", "--plot",
                            "plot.svg", "in.expt", "in.refl"], check=True)
            xml.etree.ElementTree.parse("plot.svg")

    def test_wrong_tables(self):
        for change in ("flags", "xyzobs.px.value"):
            table = copy.deepcopy(self.table)
            del table.columns[change]
            self.assertIn(change, self.fails(refl=table.pack()))
        table = copy.deepcopy(self.table)
        table.columns["id"] = ("double", [struct.pack("<d", 0)] * 40)
        self.fails(refl=table.pack())
        table.add("id", "int", "<i", [3] * 40)
        self.assertIn("experiment 3", self.fails(refl=table.pack()))

    def test_wrong_lists(self):
        def changed(change):
            expt = copy.deepcopy(self.expt)
            change(expt)
            return json.dumps(expt).encode()

        for change in (
                lambda e: e.pop("experiment"),
                lambda e: e.update(__id__="DataBlock"),
                lambda e: e["experiment"][0].update(scan=1),
                lambda e: e["experiment"][0].update(scan=-1),
                lambda e: e["experiment"][0].update(scan="0"),
                lambda e: e["experiment"][0].pop("scan"),
                lambda e: e["scan"].__setitem__(0, 5),
                lambda e: e["scan"][0].pop("image_range"),
                lambda e: e["scan"][0].update(image_range=[1, 2**31]),
                lambda e: e["scan"][0].update(image_range=[1, 1000000000]),
                lambda e: e["scan"][0].update(image_range=[9, 3]),
                lambda e: e["scan"][0].update(image_range=[1.5, 3]),
                lambda e: e["scan"][0].update(oscillation=[0.0]),
                lambda e: e["scan"][0].update(oscillation=["a", "b"]),
                lambda e: e["scan"][0].update(oscillation=[0.0, 0.0]),
                lambda e: e["scan"][0].update(oscillation=[0.0, float("nan")]),
                lambda e: e["scan"][0].update(epochs=[1.0] * 17),
                lambda e: e["crystal"][0]["A_at_scan_points"].pop(),
                lambda e: e["scan"][0].update(batch_offset=10**30)):
            self.fails(expt=changed(change))
        text = json.dumps(self.expt)
        for bad in (text + "x", text.replace('"id-0"', '"\\ud800"'), "[" * 100000, '{"a":' * 5000,
                    text.replace('"id-0"', '"a\\u0000b"'), text.replace("0.5", "0.5.5"),
                    text.replace(" null", " nulL"), "null", "[]", "3"):
            self.fails(expt=bad.encode())
        self.fails(expt=text.encode().replace(b"id-0", b"\xff\xfe"))
        self.fails(expt=text.encode().replace(b"id-0", b"\0"))


if __name__ == "__main__":
    unittest.main(verbosity=1)
