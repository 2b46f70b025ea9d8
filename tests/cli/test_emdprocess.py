# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdprocess with recipes of small shell commands: what runs, what does not run again, what survives.

Real DIALS is in tests/interop/test_emdprocess_dials.py. Crystals are tiny simulated movies.
"""

import fcntl
import functools
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
import waiting  # noqa: E402

BIN = os.environ["EMDTOOLS_BIN"]
EMDPROCESS, EMDSIM, EMDLIST = (os.path.join(BIN, t) for t in ("emdprocess", "emdsim", "emdlist"))
# Every wait is for something that happens; this is only how long a hopeless one lasts.
PATIENCE = 60
wait_for = functools.partial(waiting.wait_for, patience=PATIENCE)
KILLS = int(os.environ.get("EMDPROCESS_KILLS", "12"))

# Each stage notes that it ran. 'two' and 'three' need 'one', 'four' needs both.
RECIPE = """
description = four stages
set text = a
set number = 1
set pause = 0
set last = 4

stage one
  command = sh -c 'echo one >> ../ran; sleep $2; echo $1 > one.txt' - ${text} ${pause}
  inputs  = ${movie}
  outputs = one.txt

stage two
  command = sh -c 'echo two >> ../ran; sleep $2; cat one.txt > two.txt; echo $1 >> two.txt' - ${number} ${pause}
  inputs  = one.txt
  outputs = two.txt

stage three
  folder  = sub
  command = sh -c 'echo three >> ../../ran; sleep $1; cat ../one.txt > three.txt' - ${pause}
  inputs  = ../one.txt
  outputs = three.txt

stage four
  command = sh -c 'echo four >> ../ran; sleep $2; cat two.txt sub/three.txt > four.txt; echo $1 >> four.txt' \\
            - ${last} ${pause}
  inputs  = two.txt sub/three.txt
  outputs = four.txt
"""


def setUpModule():
    folder = tempfile.TemporaryDirectory(dir=".")
    unittest.addModuleCleanup(folder.cleanup)
    unittest.addModuleCleanup(os.chdir, os.getcwd())
    os.chdir(folder.name)
    for frames in (3, 12):
        subprocess.run([EMDSIM, "-q", "--size", "32", "--frames", str(frames), f"movie{frames}.emd"],
                       check=True)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def alive(pid):
    """Runs, and is no zombie."""
    try:
        return not re.search(r"^State:\s+Z", read(f"/proc/{pid}/status"), re.MULTILINE)
    except OSError:
        return False


class Case(unittest.TestCase):
    def setUp(self):
        self.root = os.getcwd()
        self.addCleanup(os.chdir, self.root)
        shutil.rmtree("p", ignore_errors=True)
        os.mkdir("p")
        os.mkdir("p/images")
        os.chdir("p")
        write("test.recipe", RECIPE)

    def movie(self, name, frames=12):
        os.makedirs(os.path.dirname(f"images/{name}"), exist_ok=True)
        shutil.copy(f"{self.root}/movie{frames}.emd", f"images/{name}")

    def run_tool(self, *args, code=0, recipe="test", tool=EMDPROCESS, **keywords):
        run = subprocess.run([tool, *map(str, args), *([recipe] if recipe else [])],
                             capture_output=True, text=True, check=False, timeout=PATIENCE, **keywords)
        if run.returncode != code:
            raise AssertionError(f"{args}: exit {run.returncode}, not {code}:\n{run.stdout}{run.stderr}")
        return run.stdout + run.stderr

    def start(self, *args, recipe="test"):
        process = subprocess.Popen([EMDPROCESS, *map(str, args), recipe], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def ran(self, crystal="c"):
        """The stages that ran since the last call."""
        path = f"{crystal}/ran"
        stages = read(path).split() if os.path.exists(path) else []
        if stages:
            os.unlink(path)
        return stages

    def stage(self, name, crystal="c", trial="test"):
        stages = json.loads(read(f"{crystal}/{trial}/emdprocess.json"))["stages"]
        return next(s for s in stages if s["name"] == name)

    def recipe(self, *stages, head=""):
        """A recipe of stages (name, script[, more lines]) that write NAME.txt."""
        text = head + "\n"
        for name, script, *more in stages:
            text += f"stage {name}\n outputs = {name}.txt\n command = sh -c '{script}'\n"
            text += "".join(f" {line}\n" for line in more)
        write("test.recipe", text)


class Running(Case):
    def test_again_and_changed(self):
        self.movie("c.emd")
        self.assertIn("test: 1 crystals: 1 done", self.run_tool())
        self.assertEqual(self.ran(), ["one", "two", "three", "four"])
        self.assertEqual(read("c/test/four.txt"), "a\n1\na\n4\n")
        self.assertIn("1 unchanged", self.run_tool())
        self.assertEqual(self.ran(), [])
        self.run_tool("-D", "number=2")
        self.assertEqual(self.ran(), ["two", "four"])
        self.assertEqual(read("c/test/four.txt"), "a\n2\na\n4\n")
        self.run_tool("-D", "number=2", "-D", "last=5")
        self.assertEqual(self.ran(), ["four"])
        # The same content from another command: what depends on it stays.
        self.run_tool("-D", "number=2", "-D", "last=5", "-D", "text= a")
        self.assertEqual(self.ran(), ["one"])
        self.run_tool("-D", "number=2", "-D", "last=5", "-D", "text=b")
        self.assertEqual(self.ran(), ["one", "two", "three", "four"])
        # Cores are no reason, neither are times.
        os.utime("c/test/one.txt", (1, 1))
        self.run_tool("-D", "number=2", "-D", "last=5", "-D", "text=b", "-j", "1")
        self.assertEqual(self.ran(), [])
        os.unlink("c/test/two.txt")
        self.run_tool("-D", "number=2", "-D", "last=5", "-D", "text=b")
        self.assertEqual(self.ran(), ["two"])
        write("c/test/sub/three.txt", "by hand\n")
        self.run_tool("-D", "number=2", "-D", "last=5", "-D", "text=b")
        self.assertEqual(self.ran(), ["three"])

    def test_moved_project_and_new_movie(self):
        self.movie("c.emd")
        self.run_tool()
        self.ran()
        os.chdir("..")
        shutil.rmtree("q", ignore_errors=True)
        shutil.copytree("p", "q")  # new times
        os.chdir("q")
        self.run_tool()
        self.assertEqual(self.ran(), [])
        with open("images/c.emd", "ab") as f:
            f.write(b"x")
        self.run_tool()
        self.assertEqual(self.ran(), ["one"])

    def test_settings(self):
        for name in ("c.emd", "d.emd"):
            self.movie(name)
        write("emdprocess.conf", "# ours\ntest.text = conf\ntest.number = 7\nother.text = no\n")
        os.mkdir("d")
        write("d/emdprocess.conf", "test.text = ${crystal}\n")
        self.run_tool("-D", "last=9")
        self.assertEqual(read("c/test/four.txt"), "conf\n7\nconf\n9\n")
        self.assertEqual(read("d/test/four.txt"), "d\n7\nd\n9\n")
        self.run_tool("-D", "text=x", "-D", "text=y")
        self.assertEqual(read("d/test/four.txt"), "y\n7\ny\n4\n")
        self.assertIn("no variable 'colour'", self.run_tool("-D", "colour=red", code=2))
        write("emdprocess.conf", "test.colour = red\n")
        self.assertIn("emdprocess.conf: line 1: there is no variable 'colour'", self.run_tool(code=2))
        write("emdprocess.conf", "")
        write("d/emdprocess.conf", "nonsense\n")  # concerns one crystal only
        out = self.run_tool("-D", "text=z", code=1)
        self.assertIn("d/test: failed: d/emdprocess.conf: line 1: not NAME = VALUE", out)
        self.assertIn("c/test: done", out)

    def test_recipe_errors(self):
        self.movie("c.emd")
        write("test.recipe", "stage a\n command = x\n inputs = b\n outputs = a\n"
                             "stage b\n command = x\n inputs = a\n outputs = b\n")
        self.assertIn("line 1: the stage 'a' waits for its own outputs", self.run_tool(code=2))
        write("test.recipe", "stage a\n command = x ${y}\n outputs = a\n")
        self.assertIn("test.recipe: line 2: there is no variable 'y'", self.run_tool(code=2))
        self.recipe(("one", "true"))
        text = read("test.recipe").replace("sh -c", "no-such-program -c")
        write("test.recipe", text)
        self.assertIn("no-such-program: there is no such program on PATH", self.run_tool(code=1))
        self.assertFalse(os.path.exists("c"))
        self.assertIn("there is no recipe 'nothing'", self.run_tool(recipe="nothing", code=2))

    def test_alternatives(self):
        self.movie("c.emd")
        self.recipe(("one", "echo half > one.txt; echo RuntimeError: bad >&2; exit 5",
                     "or = sh -c 'test ! -e one.txt && echo good > one.txt'",
                     "or = sh -c 'echo never > one.txt'"))
        self.run_tool()
        self.assertEqual(read("c/test/one.txt"), "good\n")
        self.assertEqual(self.stage("one")["tried"], 1)
        log = read("c/test/emdprocess.one.log")
        self.assertRegex(log, r"\$ sh -c [^\n]*half[^\n]*\nRuntimeError: bad\n# exit code 5 after [^\n]*\n"
                              r"\$ sh -c [^\n]*good[^\n]*\n# exit code 0 after")
        self.assertIn("1 unchanged", self.run_tool())

    def test_failures(self):
        for name in ("bad.emd", "good.emd"):
            self.movie(name)
        self.recipe(("one", "echo x >> ../ran; echo bla; echo Sorry: no spots; echo ok; "
                            "test $0 = good && echo 1 > one.txt' ${crystal} '"),
                    ("two", "echo y >> ../ran; cat one.txt > two.txt", "inputs = one.txt"))
        out = self.run_tool(code=1)
        self.assertIn("bad/test: failed at one: no spots", out)
        self.assertIn("good/test: done", out)
        self.assertIn("2 crystals: 1 done, 0 unchanged, 1 failed", out)
        record = self.stage("one", "bad")
        self.assertEqual((record["state"], record["ending"], record["reason"]),
                         ("failed", "exit code 1", "no spots"))
        self.assertEqual(record["last_lines"], ["bla", "Sorry: no spots", "ok"])
        self.assertEqual(self.ran("bad"), ["x"])
        # It would fail again; that is said, but not done.
        self.assertIn("bad/test: failed at one: no spots (as before; --retry", self.run_tool(code=1))
        self.assertEqual(self.ran("bad"), [])
        self.run_tool("--retry", code=1)
        self.assertEqual(self.ran("bad"), ["x"])
        text = read("test.recipe").replace("ok;", "ok 2;")
        write("test.recipe", text)
        self.run_tool(code=1)
        self.assertEqual(self.ran("bad"), ["x"])

    def test_broken_off_is_repeated(self):
        self.movie("c.emd")
        for script, reason in (("kill -11 $$", "died of signal 11"),
                               ("echo OSError: [Errno 28] No space left on device; exit 1",
                                "No space left on device"),
                               ("true", "its output one.txt is not there")):
            self.recipe(("one", "echo x >> ../ran; " + script))
            self.assertIn(reason, self.run_tool(code=1))
            self.assertEqual(self.ran(), ["x"])
            self.run_tool(code=1)
            self.assertEqual(self.ran(), [] if script == "true" else ["x"])

    def test_optional_and_keep_going(self):
        self.movie("c.emd")
        self.recipe(("one", "echo 1 > one.txt"),
                    ("side", "exit 3", "optional = yes", "inputs = one.txt"),
                    ("child", "exit 0", "optional = yes", "inputs = side.txt"),
                    ("end", "echo 1 > end.txt", "inputs = one.txt"))
        self.assertIn("1 done", self.run_tool())
        self.assertEqual(self.stage("side")["state"], "failed")
        self.assertEqual(self.stage("child")["state"], "")
        self.assertIn("1 unchanged", self.run_tool())
        text = read("test.recipe").replace(" optional = yes\n", "")
        write("test.recipe", text)
        self.assertIn("failed at side", self.run_tool("--force", code=1))
        self.assertNotEqual(self.stage("end")["state"], "running")
        os.unlink("c/test/end.txt")
        self.assertIn("failed at side", self.run_tool("--keep-going", code=1))
        self.assertTrue(os.path.exists("c/test/end.txt"))

    def test_reject(self):
        self.movie("c.emd")
        self.recipe(("one", "echo 1 > one.txt; echo Saved 0 reflections", "reject = Saved 0 "))
        self.assertIn("failed at one: Saved 0 reflections", self.run_tool(code=1))
        self.assertFalse(os.path.exists("c/test/one.txt"))

    def test_stages_and_force(self):
        self.movie("c.emd")
        self.run_tool("--stage", "one,two")
        self.assertEqual(self.ran(), ["one", "two"])
        self.run_tool("--stage", "two", "--force")
        self.assertEqual(self.ran(), ["two"])
        self.run_tool()
        self.assertEqual(self.ran(), ["three", "four"])
        self.run_tool("--force")
        self.assertEqual(self.ran(), ["one", "two", "three", "four"])
        self.assertIn("no stage 'six'", self.run_tool("--stage", "six", code=2))

    def test_environment(self):
        self.movie("c.emd")
        os.mkdir("dials")
        os.mkdir("dials/bin")
        write("dials/bin/dials.import", "#!/bin/sh\necho ours\n")
        os.chmod("dials/bin/dials.import", 0o755)
        self.recipe(("one", "env > one.txt; dials.import >> one.txt"))
        env = {k: v for k, v in os.environ.items() if k not in ("HDF5_PLUGIN_PATH", "PYTHONPATH")}
        self.run_tool("--dials", "dials", env=env)
        found = dict(line.split("=", 1) for line in read("c/test/one.txt").splitlines() if "=" in line)
        plugins = os.path.realpath(os.path.join(BIN, "..", "plugins"))
        self.assertEqual(found["HDF5_PLUGIN_PATH"].split(":")[0], plugins)
        self.assertTrue(os.path.exists(os.path.join(found["PYTHONPATH"], "FormatVeloxEMD.py")))
        self.assertEqual(found["EMDTOOLS_FORMAT"], "1")
        self.assertEqual(found["HDF5_USE_FILE_LOCKING"], "FALSE")
        self.assertTrue(read("c/test/one.txt").endswith("ours\n"))
        env.update(HDF5_PLUGIN_PATH="/mine", PYTHONPATH="/also", HDF5_USE_FILE_LOCKING="TRUE",
                   EMDTOOLS_FORMAT="0", DIALS_USE_H5="1", DIALS_USE_GZIP_REFL="1", DIALS_USE_PICKLE="1")
        self.run_tool("--dials", "dials/bin", "--force", env=env)
        self.assertIn(f"HDF5_PLUGIN_PATH=/mine:{plugins}\n", read("c/test/one.txt"))
        found = dict(line.split("=", 1) for line in read("c/test/one.txt").splitlines() if "=" in line)
        ours, also = found["PYTHONPATH"].split(":")
        self.assertEqual((os.path.basename(ours), also), ("dxtbx", "/also"))
        self.assertEqual((found["EMDTOOLS_FORMAT"], found["HDF5_USE_FILE_LOCKING"]), ("1", "FALSE"))
        self.assertEqual([name for name in found if name.startswith("DIALS_USE_")], [])
        self.assertIn("there is no dials.import", self.run_tool("--dials", "images", code=2))

    def test_other_trial_first(self):
        self.movie("c.emd")
        write("second.recipe", "stage one\n command = cp ../test/two.txt one.txt\n"
                               " inputs = ../test/two.txt\n outputs = one.txt\n")
        out = self.run_tool(recipe="second", code=3)
        self.assertIn("../test/two.txt is not there: run 'emdprocess test' first", out)
        self.run_tool()
        self.assertIn("1 done", self.run_tool(recipe="second"))
        self.run_tool("-D", "number=8")
        self.assertIn("1 done", self.run_tool(recipe="second"))
        self.assertEqual(read("c/second/one.txt"), "a\n8\n")
        process = self.start("-D", "number=9", "-D", "pause=100")
        wait_for(lambda: self.stage("one")["state"] == "running", "one")
        self.assertIn("two.txt is not finished: run 'emdprocess test' first",
                      self.run_tool("--force", recipe="second", code=3))
        process.terminate()
        process.wait()
        # What failed there will not come.
        write("test.recipe", RECIPE.replace("cat one.txt >", "echo Sorry: broken; exit 4;"))
        self.run_tool(code=1)
        self.assertIn("c/second: failed at one: there is no ../test/two.txt: test failed at two: broken",
                      self.run_tool("--force", recipe="second", code=1))

    def test_foreign_results(self):
        self.movie("c.emd")
        os.makedirs("c/test")
        write("c/test/two.txt", "precious")
        self.assertIn("holds two.txt, which emdprocess did not make", self.run_tool(code=3))
        self.assertIn("not ready  c/test: the folder holds two.txt", self.run_tool("--status"))
        self.assertNotIn("sh -c", self.run_tool("-n"))
        self.assertEqual(read("c/test/two.txt"), "precious")
        self.run_tool("--trial", "mine")
        self.assertTrue(os.path.exists("c/mine/four.txt"))
        for folder in ("", "-2"):
            self.run_tool("--force")
            self.assertNotEqual(read("c/test/two.txt"), "precious")
            # Nothing is lost, and our own results are overwritten as ever.
            self.assertEqual(read(f"c/test/before-emdprocess{folder}/two.txt"), "precious")
            self.run_tool("--force")
            self.assertEqual(os.path.exists("c/test/before-emdprocess-2"), folder == "-2")
            os.unlink("c/test/emdprocess.json")
            for name in ("one.txt", "four.txt"):
                os.unlink(f"c/test/{name}")
            write("c/test/two.txt", "precious")


    def test_foreign_to_the_end(self):
        """What scripts have processed counts as done, is listed, and is taken by other trials; never changed."""
        self.movie("c.emd")
        os.makedirs("c/test")
        for name in ("one.txt", "four.txt"):
            write(f"c/test/{name}", "precious")
        for _ in range(2):
            out = self.run_tool()
            self.assertIn("c/test: unchanged: processed by other programs; --force moves", out)
            self.assertIn("0 done, 1 unchanged, 0 failed", out)
        self.assertEqual(sorted(os.listdir("c/test")), ["four.txt", "one.txt"])
        self.assertEqual(self.ran(), [])
        self.assertIn("done       c/test: processed by other programs", self.run_tool("--status"))
        self.assertNotIn("sh -c", self.run_tool("-n"))
        write("next.recipe", "stage five\n command = cp ../test/one.txt five.txt\n inputs = ../test/one.txt\n"
                             " outputs = five.txt\n")
        self.run_tool(recipe="next")
        self.assertEqual(read("c/next/five.txt"), "precious")
        self.run_tool("--force")
        self.assertEqual(read("c/test/before-emdprocess/four.txt"), "precious")
        self.assertEqual(self.ran(), ["one", "two", "three", "four"])


class Limits(Case):
    def test_time_limit(self):
        self.movie("c.emd")
        self.recipe(("one", "sleep 1000 & echo $! > ../pid; wait", "time = 0.3s"))
        self.assertIn("stopped at its time limit", self.run_tool(code=1))
        self.assertFalse(alive(int(read("c/pid"))))
        text = read("test.recipe").replace("time = 0.3s", "time = 1h")
        write("test.recipe", text)
        self.assertIn("stopped at its time limit", self.run_tool("--time-limit", "0.2s", code=1))
        # deaf to TERM
        self.recipe(("one", 'trap "" TERM; sleep 1000 & echo $! > ../pid; wait; wait; sleep 1000', "time = 0.2s"))
        self.assertIn("stopped at its time limit", self.run_tool(code=1))
        self.assertFalse(alive(int(read("c/pid"))))

    def test_memory(self):
        self.movie("c.emd")
        write("eat.py", "import sys, time\nx = b'x' * (300 << 20)\nopen('one.txt', 'w').write('x')\n"
                        "time.sleep(float(sys.argv[1]))\n")
        write("test.recipe", "stage one\n command = /usr/bin/python3 ${project}/eat.py 60\n outputs = one.txt\n")
        self.assertRegex(self.run_tool("-m", "200M", code=1),
                         r"failed at one: stopped: it used 0\.[2-9] GB of memory")
        # Together too large, one after the other not.
        self.movie("d.emd")
        write("test.recipe", "stage one\n command = /usr/bin/python3 ${project}/eat.py 4\n outputs = one.txt\n")
        out = self.run_tool("-m", "500M", "-j", "2", "-v")
        self.assertIn("2 done", out)

    def test_cores(self):
        for i in range(5):
            self.movie(f"c{i}.emd")
        # As many as shall run at once wait for each other, however slowly they start.
        script = ('date +%s.%N > begin; i=0; while [ $(ls ../../*/test/begin | wc -l) -lt $1 ] && [ $i -lt 300 ]; '
                  'do i=$((i + 1)); sleep 0.1; done; sleep 0.3; date +%s.%N > one.txt')
        self.recipe(("one", script + "' - ${want} ${nproc} '"), head="set want = 1")

        def most():
            events = []
            for i in range(5):
                events.append((float(read(f"c{i}/test/begin")), 1))
                events.append((float(read(f"c{i}/test/one.txt")), -1))
            busy = peak = 0
            for _, step in sorted(events):
                busy += step
                peak = max(peak, busy)
            return peak

        def run(*options):
            for i in range(5):
                if os.path.exists(f"c{i}/test/begin"):
                    os.unlink(f"c{i}/test/begin")
            self.run_tool(*options, "--force")

        self.run_tool("-j", "3", "-D", "want=3")
        self.assertEqual(most(), 3)
        run("-j", "3", "-D", "nproc=2")
        self.assertEqual(most(), 1)
        self.assertIn(" 2 ", read("c0/test/emdprocess.one.log"))
        run("-j", "4", "-D", "nproc=2", "-D", "want=2")
        self.assertEqual(most(), 2)
        self.run_tool("-j", "6", "--one", "c1", "--force")
        self.assertIn(" 6 ", read("c1/test/emdprocess.one.log"))


class Crystals(Case):
    def test_names(self):
        self.movie("Camera Ceta 20230611 2324 670 mm.emd")
        self.movie("sub/Camera_Ceta_20230611_2324_900_mm.emd")
        self.movie("lysozyme.emd")
        self.movie("preview_20230611_2324.emd", frames=3)
        write("images/text_20230611_2324.emd", "no movie")
        out = self.run_tool()
        self.assertIn("images/preview_20230611_2324.emd: skipped: 3 images, fewer than 10", out)
        self.assertIn("images/text_20230611_2324.emd: skipped: ", out)
        self.assertIn("3 crystals: 3 done, 0 unchanged, 0 failed; 2 movies skipped", out)
        self.assertEqual(read("20230611_2324/.movie"), "images/Camera Ceta 20230611 2324 670 mm.emd\n")
        self.assertEqual(read("20230611_2324_2/.movie"),
                         "images/sub/Camera_Ceta_20230611_2324_900_mm.emd\n")
        self.assertTrue(os.path.exists("lysozyme/test/four.txt"))
        self.assertIn("1 crystals: 1 done", self.run_tool("--frames-min", "3", "--list", "-",
                                                          input="# those\n20230611_2324_3\n"))
        self.assertEqual(read("20230611_2324_3/.movie"), "images/preview_20230611_2324.emd\n")

    def test_choice(self):
        for name in ("a_20230611_2324.emd", "b_20230611_2324.emd", "c.emd"):
            self.movie(name)
        self.run_tool("--one", "20230611_2324_2")
        self.assertEqual(sorted(os.listdir()), ["20230611_2324_2", "images", "test.recipe"])
        write("list", "images/a_20230611_2324.emd\n\nc\n")
        self.assertIn("2 crystals: 2 done", self.run_tool("--list", "list"))
        self.assertEqual(read("20230611_2324/.movie"), "images/a_20230611_2324.emd\n")
        self.assertIn("'20230611_2325' is no crystal", self.run_tool("--one", "20230611_2325", code=2))
        for crystal in ("c", "c/", "c.emd", "images/c.emd", os.path.abspath("images/c.emd")):
            run = subprocess.run([EMDPROCESS, "test", crystal], capture_output=True, text=True, check=True)
            self.assertIn("1 crystals: 0 done, 1 unchanged", run.stdout)
        os.chdir("c")
        self.assertIn("3 crystals", self.run_tool())

    def test_truncated(self):
        self.movie("good.emd")
        self.movie("bad.emd")
        os.truncate("images/bad.emd", os.path.getsize("images/bad.emd") // 2)
        out = self.run_tool(code=3)
        self.assertRegex(out, "bad/test: not ready at one: .+")
        self.assertIn("good/test: done", out)
        self.assertRegex(self.run_tool("--status"), "not ready  bad/test one: .+")
        listed = self.run_tool(tool=EMDLIST)
        self.assertRegex(listed, r"bad/test +- +not ready at [a-z_]+: .*bytes that it should have")
        self.movie("bad.emd")
        self.assertIn("1 done", self.run_tool())
        # A movie that cannot be read for a while costs no results.
        self.ran("bad")
        shutil.copy("images/bad.emd", "kept")
        shutil.copystat("images/bad.emd", "kept")
        os.truncate("images/bad.emd", 1000)
        self.run_tool(code=3)
        os.replace("kept", "images/bad.emd")
        self.assertIn("2 unchanged", self.run_tool())
        self.assertEqual(self.ran("bad"), [])

    @unittest.skipIf(os.environ.get("EMDTOOLS_SANITIZE"), "a sanitizer catches the crash")
    def test_hdf5_crashes(self):
        self.movie("good.emd")
        self.movie("bad.emd")
        shim = os.path.join(os.environ["EMDTOOLS_BUILD_DIR"], "tests", "fault_shim.so")
        out = self.run_tool(code=1, env=dict(os.environ, LD_PRELOAD=shim,
                                             EMD_FAULT="pread:3:crash:images/bad.emd"))
        self.assertRegex(out, "bad/test: failed at one: the file is damaged: HDF5 crashes on it")
        self.assertIn("good/test: done", out)

    def test_init(self):
        os.chdir("..")
        self.run_tool("--init", "thaumatin", recipe=None)
        self.assertTrue(os.path.isdir("data/thaumatin/raw"))
        self.assertEqual(os.path.realpath("work/thaumatin/images"),
                         os.path.realpath("data/thaumatin/compressed"))
        write("work/thaumatin/emdprocess.conf", "# mine\n")
        self.run_tool("--init", "thaumatin", recipe=None)
        self.assertEqual(read("work/thaumatin/emdprocess.conf"), "# mine\n")
        for name in ("", "..", "a/b", "-x"):
            self.run_tool(f"--init={name}", recipe=None, code=2)
        os.chdir("/")
        self.assertIn("not in a project", self.run_tool(recipe="P1", code=1))

    def test_reports(self):
        self.movie("c.emd")
        self.movie("d.emd", frames=3)
        out = self.run_tool("-n")
        self.assertIn("one: it never ran\n    sh -c", out)
        self.assertFalse(os.path.exists("c"))
        self.assertIn("waiting    c/test one: it never ran", self.run_tool("--status"))
        events = [json.loads(line) for line in self.run_tool("--json").splitlines()]
        self.assertEqual([e["event"] for e in events],
                         ["skipped"] + 4 * ["stage"] + ["crystal", "summary"])
        self.assertEqual(events[-1]["done"], 1)
        before = os.stat("c/test").st_mtime_ns
        self.assertIn("done       c/test\n", self.run_tool("--status"))
        self.assertEqual(os.stat("c/test").st_mtime_ns, before)  # to look leaves no trace
        out = self.run_tool("-n", "-D", "last=8")
        self.assertIn("four: its command has changed", out)
        self.assertNotIn("two:", out)
        self.assertIn("unfinished c/test four: its command has changed",
                      self.run_tool("--status", "-D", "last=8"))
        self.assertIn("stage one", self.run_tool("--print-recipe", recipe="test"))
        self.assertIn("stage import", self.run_tool("--print-recipe", recipe="P1"))
        self.assertEqual(self.run_tool("-q"), "")


class Progress(Case):
    """One line of the terminal, no wider than it, gone before anything else is written and at the end."""

    def setUp(self):
        super().setUp()
        self.leader, self.terminal = pty.openpty()
        self.addCleanup(os.close, self.leader)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
        self.seen = ""

    def sees(self, text):
        if text not in self.seen:
            self.seen += os.read(self.leader, 4096).decode()
        return text in self.seen

    def start_on_terminal(self, *options):
        for name in ("bad", "good"):
            self.movie(f"{name}.emd")
        self.recipe(("one", "[ $0 != bad ] || exit 5; while [ -e ../../wait ]; do sleep 0.02; done; echo > one.txt"
                            "' ${crystal} '"))
        write("wait", "")
        process = subprocess.Popen([EMDPROCESS, "-j", "2", *options, "test"], stdout=self.terminal,
                                   stderr=self.terminal)
        os.close(self.terminal)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def rest(self, process):
        code = process.wait(PATIENCE)
        try:
            while piece := os.read(self.leader, 4096):
                self.seen += piece.decode()
        except OSError:  # how Linux says that nobody has the terminal open any more
            pass
        return code

    def test_line(self):
        process = self.start_on_terminal()
        wait_for(lambda: self.sees("test: 1/2, 1 failed | good on\x1b"), lambda: self.seen)
        os.unlink("wait")
        self.assertEqual(self.rest(process), 1)
        drawn = re.findall(r"\r([^\r\n\x1b]+)\x1b\[K", self.seen)
        self.assertTrue(drawn)
        self.assertEqual(max(map(len, drawn)), 29)
        # The line is erased, and what is said stands on lines of its own.
        plain = re.sub(r"\r[^\r\n\x1b]*\x1b\[K", "", self.seen)
        self.assertRegex(plain, r"\Abad/test: failed at one: exit code 5\r\ngood/test: done\r\n"
                                r"test: 2 crystals: 1 done, 0 unchanged, 1 failed; \d+ s\r\n\Z")

    def test_interrupted(self):
        process = self.start_on_terminal()
        wait_for(lambda: self.sees("1 failed | good o"), lambda: self.seen)
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.rest(process), -signal.SIGINT)
        self.assertIn("\r\x1b[Kemdprocess: stopping (Interrupt)", self.seen)

    def test_quiet(self):
        process = self.start_on_terminal("-q")
        wait_for(lambda: self.sees("bad/test: failed"), lambda: self.seen)
        os.unlink("wait")
        self.rest(process)
        self.assertNotIn("\x1b", self.seen)


class Interruptions(Case):
    def finals(self, crystals):
        return {c: [read(f"{c}/test/{f}") for f in ("one.txt", "two.txt", "sub/three.txt", "four.txt")]
                for c in crystals}

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                shutil.rmtree("c", ignore_errors=True)
                self.movie("c.emd")
                self.recipe(("one", "sleep 1000 & echo $! > ../pid.tmp; mv ../pid.tmp ../pid; wait"))
                process = self.start()
                pid = int(wait_for(lambda: os.path.exists("c/pid") and read("c/pid"), "the stage"))
                process.send_signal(number)
                self.assertEqual(process.wait(PATIENCE), -number)
                self.assertFalse(alive(pid))
                self.assertEqual(self.stage("one")["state"], "stopped")
                self.assertIn("unfinished", self.run_tool("--status"))
                self.recipe(("one", "echo 1 > one.txt"))
                self.assertIn("1 done", self.run_tool())

    def test_killed_takes_its_children_along(self):
        self.movie("c.emd")
        self.recipe(("one", "sleep 1000 & echo $! > ../pid.tmp; mv ../pid.tmp ../pid; touch one.txt; wait"))
        process = self.start()
        pid = int(wait_for(lambda: os.path.exists("c/pid") and read("c/pid"), "the stage"))
        process.kill()
        process.wait()
        wait_for(lambda: not alive(pid), "the end of the stage")
        self.assertIn("it was broken off", self.run_tool("--status"))
        listed = self.run_tool(tool=EMDLIST)
        self.assertIn("one: running or interrupted", listed)
        self.recipe(("one", "echo 1 > one.txt"))
        self.assertIn("1 done", self.run_tool())

    def test_lock_taken_over(self):
        """Somebody tidied up the lock, and a second emdprocess began: the first one leaves the trial to it."""
        self.movie("c.emd")
        self.recipe(("one", "if mkdir ../first; then sleep 1000 & echo $! > ../pid.tmp; mv ../pid.tmp ../pid; "
                            "wait; fi; sleep 12; echo 2 > one.txt"))
        first = self.start()
        pid = int(wait_for(lambda: os.path.exists("c/pid") and read("c/pid"), "the stage"))
        first.send_signal(signal.SIGSTOP)  # it would make its lock anew
        os.unlink("c/test/.emdprocess-lock.tmp")
        second = self.start()
        wait_for(lambda: os.path.exists("c/test/.emdprocess-lock.tmp"), "the second one's lock")
        first.send_signal(signal.SIGCONT)
        self.assertEqual(first.wait(PATIENCE), 3)
        self.assertEqual(second.wait(PATIENCE), 0)
        self.assertFalse(alive(pid))
        self.assertEqual(read("c/test/one.txt"), "2\n")
        self.assertEqual(self.stage("one")["state"], "done")

    def test_killed_at_random(self):
        crystals = ["c", "d", "e"]
        for c in crystals:
            self.movie(f"{c}.emd")
        self.run_tool("-D", "pause=0.01")
        want = self.finals(crystals)
        for c in crystals:
            shutil.rmtree(c)
        rng = random.Random(4)
        for _ in range(KILLS):
            process = self.start("-D", "pause=0.03", "-j", "2")
            try:
                process.wait(rng.uniform(0, 0.25))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            # What counts as done is whole, always.
            for c in crystals:
                if not os.path.exists(f"{c}/test/emdprocess.json"):
                    continue
                for s in json.loads(read(f"{c}/test/emdprocess.json"))["stages"]:
                    if s["state"] == "done":
                        for output in s["outputs"]:
                            self.assertEqual(os.path.getsize(f"{c}/test/{output['path']}"), output["size"])
        self.run_tool("-D", "pause=0.01")
        self.assertEqual(self.finals(crystals), want)
        self.assertIn("3 unchanged", self.run_tool("-D", "pause=0.01"))

    def test_two_at_once(self):
        self.movie("c.emd")
        self.movie("d.emd")
        self.recipe(("one", "echo x >> ../ran; echo $$ > ../pid; "
                            "while [ -e ../../wait ]; do sleep 0.02; done; echo 1 > one.txt"))
        write("wait", "")
        process = self.start("-j", "1")
        wait_for(lambda: os.path.exists("c/pid"), "the first stage")
        out = self.run_tool("--one", "c", code=3)
        self.assertIn("c/test: not ready: another emdprocess works on it", out)
        self.assertIn("running    c/test", self.run_tool("--status"))
        os.unlink("wait")
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertIn("2 unchanged", self.run_tool())
        self.assertEqual((self.ran("c"), self.ran("d")), (["x"], ["x"]))

    def test_many_at_once(self):
        for i in range(6):
            self.movie(f"c{i}.emd")
        processes = [self.start("-j", "2", "-D", "pause=0.02") for _ in range(4)]
        self.assertTrue(all(p.wait(PATIENCE) in (0, 3) for p in processes))
        self.run_tool("-D", "pause=0.02")
        for i in range(6):
            self.assertEqual(sorted(self.ran(f"c{i}")), ["four", "one", "three", "two"])


# As DIALS' import and find_spots go, as far as emdprocess looks at them.
FAKE_IMPORT = """#!/bin/sh
printf '%s\\n' "$@" > arguments
echo "  format: <class '${READER:-FormatVeloxEMD.FormatVeloxEMD}'>"
cat > imported.expt <<EXPT
{"detector": [{"panels": [{"gain": 2.6, "pedestal": -40, "trusted_range": [-1000, 6204],
  "pixel_size": [0.112, 0.112], "fast_axis": [1, 0, 0], "slow_axis": [0, -1, 0],
  "origin": [-1.792, 1.904, -618]}], "hierarchy": {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0],
  "origin": [-0.112, -0.224, 0]}}],
 "goniometer": [{"rotation_axis": [0, -1, 0]}], "scan": [{"image_range": [1, 12]}],
 "beam": [{"wavelength": $(sed -n 's/^wavelength=//p' arguments | grep . || echo 0.02508)}],
 "imageset": [{"mask": "$(sed -n 's/^lookup.mask=//p' arguments)"}]}
EXPT
"""
FAKE_FIND_SPOTS = "#!/bin/sh\necho strong > strong.refl\necho \"Saved ${SPOTS:-30} reflections to strong.refl\"\n"
GEOMETRY_RECIPE = """
set distance =
set wavelength =
set beam_centre =
set panel_gain =
set pedestal = -40
set axis =
set trusted_range =
set image_range =
set mask =
set spots_max =
stage import
  command = dials.import ${movie} distance=${distance} wavelength=${wavelength} panel.gain=${panel_gain} axis=${axis} \\
            panel.trusted_range=${trusted_range} panel.pedestal=${pedestal} \\
            image_range=${image_range} lookup.mask=${mask}
  inputs  = ${movie} ${mask}
  outputs = imported.expt
stage find_spots
  command = dials.find_spots imported.expt
  inputs  = imported.expt
  outputs = strong.refl
"""


class Geometry(unittest.TestCase):
    """Where the numbers of the experiment come from, and what is refused without them."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=".")
        self.addCleanup(shutil.rmtree, os.path.abspath(self.folder))
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        for folder in ("images", "bin", "home/emdtools", "emdtools"):
            os.makedirs(folder)
        write("test.recipe", GEOMETRY_RECIPE)
        for name, text in (("import", FAKE_IMPORT), ("find_spots", FAKE_FIND_SPOTS)):
            write(f"bin/dials.{name}", text)
            os.chmod(f"bin/dials.{name}", 0o755)
        self.env = dict(os.environ, XDG_CONFIG_HOME=os.path.abspath("home"))

    def movie(self, *options, name="c", frames=12):
        subprocess.run([EMDSIM, "-q", "--size", "32", "--frames", str(frames), *options,
                        f"images/{name}.emd"], check=True)

    def run_tool(self, *args, code=0, recipe=("test",), **env):
        run = subprocess.run([EMDPROCESS, "--dials", "bin", *args, *recipe], capture_output=True, text=True,
                             check=False, env=dict(self.env, **env))
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run.stdout + run.stderr

    def arguments(self):
        return dict(a.split("=", 1) for a in read("c/test/arguments").splitlines()[1:])

    def test_precedence(self):
        """Recipe before instrument before metadata; of instruments, the project's first."""
        self.movie()
        self.run_tool()
        given = self.arguments()
        self.assertEqual((given["distance"], given["panel.gain"], given["panel.pedestal"]), ("618", "2", "-40"))
        self.assertNotIn("axis", given)
        write("home/emdtools/instruments.conf", "[*, BM-Ceta]\ndistance.618 = 600\ngain = 3\naxis=1,0,0\n")
        write("emdtools/instruments.conf", "[Simulator*, *]\ndistance.618 = 601\nsaturation = 5000\n"
                                           "[Talos*, *]\ngain = 9\n")
        self.run_tool()
        given = self.arguments()
        self.assertEqual((given["distance"], given["panel.gain"], given["axis"], given["panel.trusted_range"]),
                         ("601", "3", "1,0,0", "-1000,5000"))
        write("emdprocess.conf", "panel_gain = 4\n")
        self.run_tool("-D", "distance=602")
        given = self.arguments()
        self.assertEqual((given["distance"], given["panel.gain"]), ("602", "4"))
        shown = self.run_tool("--instrument", recipe=())
        self.assertRegex(shown, r"distance +601 +emdtools/instruments.conf:2\n")
        self.assertRegex(shown, r"axis +1,0,0 +/.*/home/emdtools/instruments.conf:4\n")
        self.assertRegex(shown, r"panel_gain +4 +emdprocess.conf\n")
        self.assertNotIn("nominal", shown)
        write("emdtools/instruments.conf", "[*, *]\nlength = 5\n")
        self.assertIn("emdtools/instruments.conf: line 2: 'length' is unknown", self.run_tool(code=2))

    def test_backwards(self):
        """Axes are given for a tilt that increases."""
        self.movie("--step", "-1")
        self.run_tool("-D", "axis=1,0.5,0")
        self.assertEqual(self.arguments()["axis"], "-1,-0.5,0")

    def test_record(self):
        """What was used, by which reader, and from where; the nominal length is doubted."""
        self.movie()
        self.run_tool()
        used = json.loads(read("c/test/emdprocess.json"))["geometry"]
        self.assertEqual(used["reader"], "FormatVeloxEMD")
        self.assertEqual(used["distance_mm"], {"value": "618", "from": "metadata (nominal)"})
        self.assertEqual(used["beam_centre_px"]["value"], "17.00,15.00")
        self.assertEqual(used["pedestal"], {"value": "-40", "from": "recipe"})
        self.assertIn("not calibrated", used["warnings"][0])
        status = self.run_tool("--status")
        self.assertIn("FormatVeloxEMD; distance 618 mm (metadata (nominal)); gain 2.6", status)
        self.assertIn("warning: distance: the nominal camera length of 618 mm is not calibrated", status)
        run = subprocess.run([EMDLIST, "test"], capture_output=True, text=True, check=True)
        self.assertIn("c/test", run.stdout)

    def test_wavelength(self):
        """Without a voltage the usual one is taken, and that is said."""
        self.movie()
        self.assertNotIn("warning: wavelength", self.run_tool("--status"))
        self.assertRegex(self.run_tool("--instrument", recipe=()), r"wavelength +0.02508 +metadata")
        os.unlink("images/c.emd")
        self.movie("--omit", "voltage")
        self.assertIn("warning: wavelength: no voltage is recorded, 200 kV is assumed", self.run_tool("--status"))
        self.run_tool("-D", "wavelength=0.01969")
        self.assertEqual(self.arguments()["wavelength"], "0.01969")
        self.assertNotIn("warning: wavelength", self.run_tool("-D", "wavelength=0.01969", "--status"))
        self.assertIn("wavelength 0.01969 A (-D)", self.run_tool("-D", "wavelength=0.01969", "--status"))

    def test_other_reader(self):
        self.movie()
        out = self.run_tool(code=1, READER="FormatVelox.FormatVelox")
        self.assertIn("c/test: failed at import: the movie was read by FormatVelox, not by FormatVeloxEMD", out)

    def test_rest(self):
        self.movie("--rest", "7:7", frames=60)
        self.run_tool()
        self.assertEqual(self.arguments()["image_range"], "8,53")
        self.run_tool("-D", "image_range=1,60")
        self.assertEqual(self.arguments()["image_range"], "1,60")

    def test_refused(self):
        """What cannot be processed fails at import, in one line, and emdlist says the same."""
        for options, frames, reason in ((("--omit", "distance"), 12, "the camera length is unknown"),
                                        (("--no-tilt",), 12, "no stage tilts are recorded"),
                                        (("--step", "0"), 12, "the stage does not turn"),
                                        ((), 2, "of 2 images 2 can be used, at least 3 are needed"),
                                        (("--rest", "5:5"), 12, "at least 3 are needed: the stage is at rest")):
            if os.path.exists("images/c.emd"):
                os.unlink("images/c.emd")
            self.movie(*options, frames=frames)
            out = self.run_tool("--frames-min", "0", code=1)
            self.assertRegex(out, f"c/test: failed at import: .*{reason}")
            run = subprocess.run([EMDLIST, "test"], capture_output=True, text=True, check=True)
            self.assertRegex(run.stdout, f"c/test +- +failed at import: .*{reason}")
        os.unlink("images/c.emd")
        self.movie("--omit", "distance")
        self.run_tool("-D", "distance=600")

    def test_beam_stop(self):
        """The shadow of a beam stop is masked unless there is another mask; made once, and said."""
        self.movie("--size", "256", "--dose", "20", "--beam-stop=10,90")
        self.assertNotIn("beam_stop.mask", os.listdir("."))
        self.assertIn("lookup.mask=../../c/beam_stop.mask", self.run_tool("-n"))
        self.assertFalse(os.path.exists("c/beam_stop.mask"))
        self.run_tool()
        self.assertEqual(self.arguments()["lookup.mask"], "../../c/beam_stop.mask")
        with open("c/beam_stop.mask", "rb") as f:
            mask = f.read()
        self.assertEqual(mask[-4:], b"\x86b\x85.")
        used = [mask[-4 - 256 * (256 - y):][:256].decode() for y in range(256)]
        self.assertEqual(used[128][119:137].strip("0"), "")  # the disc is 20 pixels wide, the rod goes down
        self.assertEqual(used[250][124:132].strip("0"), "")
        self.assertEqual(used[64].strip("1") + used[128][:100].strip("1") + used[128][156:].strip("1"), "")
        with open("c/test/emdprocess.json", encoding="utf-8") as f:
            said = json.load(f)["geometry"]["mask"]
        self.assertEqual(said, {"value": "c/beam_stop.mask", "from": "pixels (shadow of the beam stop)"})
        self.assertIn("mask c/beam_stop.mask (pixels (shadow of the beam stop))", self.run_tool("--status"))
        self.assertIn("# mask: c/beam_stop.mask, from pixels", read("c/test/emdprocess.import.log"))
        # Once made it stays, also by its time; removed or changed it is made again, and nothing is repeated.
        before = os.stat("c/beam_stop.mask").st_mtime_ns
        self.assertIn("1 unchanged", self.run_tool())
        self.assertEqual(os.stat("c/beam_stop.mask").st_mtime_ns, before)
        os.unlink("c/beam_stop.mask")
        self.assertIn("1 unchanged", self.run_tool())
        write("c/beam_stop.mask", "damaged")
        self.assertIn("1 unchanged", self.run_tool())
        with open("c/beam_stop.mask", "rb") as f:
            self.assertEqual(f.read(), mask)
        # Others come first.
        self.run_tool("-D", "mask=none")
        self.assertNotIn("lookup.mask", self.arguments())
        write("emdtools/instruments.conf", "[*, *]\nmask = own.mask\n")
        write("emdtools/own.mask", "")
        self.run_tool()
        self.assertEqual(self.arguments()["lookup.mask"], "../../emdtools/own.mask")
        write("pixels.mask", "")
        self.run_tool()
        self.assertEqual(self.arguments()["lookup.mask"], "../../pixels.mask")

    def test_beam_stop_not_written(self):
        """A mask that cannot be written fails the crystal; no import without it."""
        self.movie("--size", "256", "--dose", "20", "--beam-stop=10,90")
        os.makedirs("c/beam_stop.mask")
        out = self.run_tool(code=1)
        self.assertRegex(out, "c/test: failed: .*beam_stop.mask")
        self.assertFalse(os.path.exists("c/test/arguments"))

    def test_noise(self):
        """Noise is not given to dials.index."""
        self.movie()
        out = self.run_tool(code=1, SPOTS="1000")
        self.assertRegex(out, "c/test: failed at find_spots: 1000 spots in 12 images, 83 per image: noise")
        self.run_tool("-D", "spots_max=100", "--retry", SPOTS="1000")


if __name__ == "__main__":
    unittest.main(verbosity=1, argv=sys.argv)
