# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The JSON of all tools: each object says its format, and docs/json.md explains every key."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import dialsfiles  # noqa: E402
import synthetic_trials  # noqa: E402

BIN = os.environ["EMDTOOLS_BIN"]
SOURCE = os.environ["EMDTOOLS_SOURCE_DIR"]


def sections():
    """Keys that the document explains: the common ones, and by tool."""
    with open(f"{SOURCE}/docs/json.md", encoding="utf-8") as f:
        parts = re.split(r"^## (\S+).*$", f.read(), flags=re.M)
    return {name: set(re.findall(r"`([A-Za-z_]+)`", text))
            for name, text in zip(parts[1::2], parts[2::2])}


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    return set()


class Json(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        self.known = sections()
        self.run_tool("emdsim", "-q", "--frames=12", "--size=64", "--truth", "truth.json", "a.emd")

    @staticmethod
    def run_tool(tool, *words, code=0):
        run = subprocess.run([os.path.join(BIN, tool), *words], capture_output=True, text=True, check=False)
        assert run.returncode == code, (tool, words, run.returncode, run.stderr)
        return run.stdout

    def check(self, tool, objects, also=()):
        self.assertTrue(objects, tool)
        for o in objects:
            self.assertEqual(next(iter(o)), "format")
            self.assertEqual(o["format"], f"{tool}/1")
            unknown = keys_of(o) - self.known["Common"] - self.known[tool] - set(also)
            self.assertFalse(unknown, f"{tool}: not in docs/json.md")

    def lines(self, tool, *words, code=0):
        return [json.loads(line) for line in self.run_tool(tool, *words, code=code).splitlines()]

    def test_emdsim(self):
        with open("truth.json", encoding="utf-8") as f:
            self.check("emdsim", [json.load(f)])

    def test_emdrepack(self):
        done = self.lines("emdrepack", "--json", "a.emd", "b.emd")
        self.check("emdrepack", done)
        self.assertEqual((done[0]["file"], done[0]["output"], done[0]["status"]), ("a.emd", "b.emd", "done"))
        self.check("emdrepack", self.lines("emdrepack", "--json", "--check", "b.emd"))
        self.check("emdrepack", self.lines("emdrepack", "--json", "--compare", "a.emd", "b.emd"))
        self.run_tool("emdsim", "-q", "--seed=2", "--frames=12", "--size=64", "c.emd")
        differs = self.lines("emdrepack", "--json", "--compare", "a.emd", "c.emd", code=1)
        self.check("emdrepack", differs)
        self.assertTrue(differs[0]["differences"])
        absent = self.lines("emdrepack", "--json", "absent.emd", "d.emd", code=1)
        self.check("emdrepack", absent)
        self.assertIn("No such file", absent[0]["error"])

    def test_emdinfo(self):
        self.check("emdinfo", self.lines("emdinfo", "--json", "a.emd"))
        failed = self.lines("emdinfo", "--json", "absent.emd", code=1)
        self.check("emdinfo", failed)
        self.check("emdinfo", self.lines("emdinfo", "--json", "--hash", "a.emd"))
        self.assertEqual(failed[0]["file"], "absent.emd")

    def test_emdwatch(self):
        os.mkdir("raw")
        os.rename("a.emd", "raw/a.emd")
        with open("raw/bad.emd", "w", encoding="utf-8"):
            pass
        events = self.lines("emdwatch", "--once", "--settle=0", "--poll=0.05", "--json", "raw", "out", code=3)
        self.check("emdwatch", events)
        self.assertIn("done", [e["event"] for e in events])
        self.check("emdwatch", self.lines("emdwatch", "--status", "--json", "raw", "out"))

    def test_emdprocess(self):
        os.mkdir("images")
        os.rename("a.emd", "images/20260101_1200_a.emd")
        with open("t.recipe", "w", encoding="utf-8") as f:
            f.write("stage one\n outputs = one.txt\n command = touch one.txt\n"
                    "stage two\n outputs = two.txt\n command = false\n")
        self.check("emdprocess", self.lines("emdprocess", "--json", "t", code=1))

    def test_emdblanks(self):
        z = [i / 4 for i in range(120)]
        dialsfiles.spots(z).write("in.refl")
        with open("in.expt", "w", encoding="utf-8") as f:
            json.dump(dialsfiles.experiments([dialsfiles.scan(last=60)]), f)
        for method in ("dials", "robust"):
            text = self.run_tool("emdblanks", "--json", "-n", "--method", method, "in.expt", "in.refl")
            self.check("emdblanks", [json.loads(text)])

    def test_emdlist(self):
        synthetic_trials.make(".", 3, seed=1)
        text = self.run_tool("emdlist", "--help")
        columns = [line.split()[0] for line in text.split("Columns:\n")[1].split("\n\n")[0].splitlines()]
        self.check("emdlist", json.loads(self.run_tool("emdlist", "--format", "json", "P1")), columns)

    def test_h5plugin_config(self):
        self.check("h5plugin-config", json.loads(self.run_tool("h5plugin-config", "--list", "--json")))


if __name__ == "__main__":
    unittest.main()
