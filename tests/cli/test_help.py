# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The command line of every program: help within 80 columns that agrees with manual and completions,
and how options are read and misread."""

import functools
import os
import re
import shutil
import subprocess
import tempfile
import unittest

BIN = os.environ["EMDTOOLS_BIN"]
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPTS = ("emdsync", "h5plugin-config")
# One table of options each, from which everything comes.
TABLES = ("emdblanks", "emdinfo", "emdins", "emdlist", "emdprocess", "emdrepack", "emdsim", "emdwatch")
PROGRAMS = TABLES + SCRIPTS
USUAL = {"--help", "--version"}
LONG = r"(?<![\w-])--[a-z][a-z0-9-]+"


def run(program, *words, code=0, cwd=None):
    done = subprocess.run([os.path.join(BIN, program), *words], capture_output=True, text=True,
                          cwd=cwd, check=False)
    assert done.returncode == code, (program, words, done.returncode, done.stderr)
    return done


@functools.lru_cache(None)
def help_of(program):
    done = run(program, "--help")
    assert not done.stderr, done.stderr
    return done.stdout


def offered(program):
    """The options that the help lists, each at the beginning of a line or after another one."""
    return set(re.findall(r"(?:^ +|[,;] )(?:-\w, )?(--[a-z][a-z0-9-]+)", help_of(program), re.M))


def manual_of(program):
    with open(f"{SOURCE}/docs/man/{program}.1", encoding="utf-8") as f:
        return re.sub(r"\\f.", "", f.read()).replace("\\-", "-")


def completions_of(program, shell):
    name = {"bash": program, "zsh": "_" + program, "fish": program + ".fish"}[shell]
    folder = f"{SOURCE}/share" if program in SCRIPTS else os.path.dirname(BIN)
    return f"{folder}/completions/{shell}/{name}"


def completed(program, shell):
    with open(completions_of(program, shell), encoding="utf-8") as f:
        text = f.read()
    if shell == "fish":
        return {"--" + name for name in re.findall(r"^complete .*? -l ([a-z0-9-]+)", text, re.M)}
    return set(re.findall(LONG, text))


class Documents(unittest.TestCase):
    def test_columns(self):
        for program in PROGRAMS:
            for line in help_of(program).splitlines():
                self.assertLessEqual(len(line), 80, f"{program}: {line}")
                self.assertEqual(line, line.rstrip(), program)

    def test_exit_statuses(self):
        for program in PROGRAMS:
            text = " ".join(help_of(program).split())
            self.assertRegex(text, r"Exit status: 0 .*, 1 .*, 2 wrong usage.*\.$", program)
            self.assertRegex(manual_of(program), "(?m)^.SH EXIT STATUS", program)

    def test_manual(self):
        """Every option is in the manual, and what the manual explains exists."""
        for program in PROGRAMS:
            manual = manual_of(program)
            self.assertFalse(offered(program) - set(re.findall(LONG, manual)) - USUAL, program)
            explained = set(re.findall(r"^\.B[RI]? (?:-\w[, ]+)?\"?(--[a-z][a-z0-9-]+)", manual, re.M))
            self.assertFalse(explained - set(re.findall(LONG, help_of(program))), program)

    def test_completions(self):
        for program in PROGRAMS:
            for shell in ("bash", "zsh", "fish"):
                known = completed(program, shell)
                self.assertFalse(offered(program) - known, (program, shell))
                if program in TABLES:
                    self.assertFalse(known - offered(program), (program, shell))

    def test_shells_read_them(self):
        for shell in ("bash", "zsh", "fish"):
            if not shutil.which(shell):
                continue
            for program in PROGRAMS:
                path = completions_of(program, shell)
                if os.path.exists(path):
                    subprocess.run([shell, "-n", path], check=True)

    def test_bash_completes(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(f"{folder}/a/P1")
            for name in ("a.emd", "b.txt", "a/.movie"):
                with open(os.path.join(folder, name), "w", encoding="utf-8"):
                    pass
            for program, words, wanted in (
                    ("emdsim", ["--camera", "f"], ["falcon"]),
                    ("emdsim", ["--camera", "=", "f"], ["falcon"]),
                    ("emdsim", ["--no"], ["--no-crystal", "--no-tilt", "--noise"]),
                    ("emdsim", ["--omit", "gain,ti"], ["gain,tilt", "gain,time"]),
                    ("emdsim", ["--seed", ""], []),
                    ("emdinfo", [""], ["a", "a.emd"]),
                    ("emdwatch", ["--verify", ""], ["none", "chunk", "file"]),
                    ("emdrepack", ["--checksum", "=", "a"], ["auto", "always"]),
                    ("emdrepack", ["--checksum", "a"], ["a", "a.emd"]),
                    ("emdrepack", ["-c", "bl"], ["blosc"]),
                    ("emdlist", ["--format", "=", "t"], ["text", "tsv"]),
                    ("emdlist", ["--columns", "path,cc_l"], ["path,cc_low"]),
                    ("emdlist", [""], ["P1"]),
                    ("emdprocess", [""], ["P1", "mP", "merge"]),
                    ("emdprocess", ["P1", ""], ["a"])):
                quoted = " ".join(f"'{w}'" for w in [program] + words)
                script = (f"compopt() {{ :; }}; complete() {{ :; }}; . '{completions_of(program, 'bash')}'; "
                          f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _{program}; "
                          "printf '%s\\n' \"${COMPREPLY[@]}\"")
                done = subprocess.run(["bash", "-c", script], cwd=folder, check=True,
                                      capture_output=True, text=True)
                self.assertEqual(sorted(done.stdout.split()), sorted(wanted), (program, words))


class Reading(unittest.TestCase):
    def test_usual_options(self):
        for program in PROGRAMS:
            version = run(program, "--version").stdout
            self.assertRegex(version, rf"^{program} \(emdtools\) \d+\.\d+\.\d+$")
            if program in TABLES + SCRIPTS:
                self.assertEqual(run(program, "-V").stdout, version)
                self.assertEqual(run(program, "-h").stdout, help_of(program))

    def test_near_misses(self):
        for program, word, wanted in (
                ("emdsim", "--framse", "unknown option '--framse'; did you mean '--frames'?"),
                ("emdsim", "--framse=7", "unknown option '--framse'; did you mean '--frames'?"),
                ("emdinfo", "--jsn", "did you mean '--json'?"),
                ("emdwatch", "--polll=9", "did you mean '--poll'?"),
                ("emdblanks", "--verison", "did you mean '--version'?"),
                ("emdrepack", "--compair", "did you mean '--compare'?"),
                ("emdrepack", "--verfy=file", "did you mean '--verify'?"),
                ("emdrepack", "--verify=fill", "--verify fill: not none, chunk or file; did you mean 'file'?"),
                ("emdrepack", "--checksum=ever", "--checksum=ever: not auto, always or never"),
                ("emdrepack", "--memory=2GX", "--memory 2GX: not a size such as 512M or 2G"),
                ("emdlist", "--formt=csv", "did you mean '--format'?"),
                ("emdlist", "--sort=resolutoin", "no column 'resolutoin'; did you mean 'resolution'?"),
                ("emdprocess", "--stauts", "did you mean '--status'?"),
                ("emdprocess", "--submit=slrum", "not slurm; did you mean 'slurm'?"),
                ("emdsim", "--camera=falcom", "--camera falcom: not ceta or falcon; did you mean 'falcon'?"),
                ("emdsim", "--xyzzy", "unknown option '--xyzzy'\n"),
                ("emdsim", "-x", "unknown option '-x'"),
                ("emdsim", "-qx", "unknown option '-x'"),
                ("emdsim", "--frames", "option '--frames' needs a value: N"),
                ("emdsim", "-j", "option '--threads' needs a value: N"),
                ("emdsim", "--no", "option '--no' is ambiguous: '--no-crystal'"),
                ("emdsim", "--quiet=yes", "option '--quiet' takes no value"),
                ("emdsim", "--help=yes", "option '--help' takes no value")):
            said = run(program, word, code=2).stderr
            self.assertIn(wanted, said)
            self.assertIn(f"{program}: ", said)
            self.assertIn(f"Try '{program} --help'.", said)

    def test_script(self):
        said = run("h5plugin-config", "--plugindri", code=2).stderr
        self.assertIn("unknown option '--plugindri'; did you mean '--plugindir'?", said)
        said = run("h5plugin-config", "--h5py", "smal", code=2).stderr
        self.assertIn("unknown preset 'smal'; did you mean 'small'?", said)
        self.assertNotIn("did you mean", run("h5plugin-config", "--xyzzy", code=2).stderr)

    def test_recipe(self):
        """Variables and stages of a recipe are words, too."""
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(f"{folder}/images")
            run("emdsim", "-q", "--frames=12", "--size", "16", f"{folder}/images/a.emd")
            for words, wanted in ((["-D", "d_mni=1"], "the recipe has no variable 'd_mni'; did you mean 'd_min'?"),
                                  (["-D", "npro=1"], "did you mean 'nproc'?"),
                                  (["--stage", "idnex"], "the recipe has no stage 'idnex'; did you mean 'index'?"),
                                  (["-D", "xyzzy=1"], "the recipe has no variable 'xyzzy'\n")):
                self.assertIn(wanted, run("emdprocess", "-n", *words, "P1", code=2, cwd=folder).stderr)

    def test_getopt(self):
        """Abbreviated, combined and optional: as everywhere; operands and options in any order."""
        with tempfile.TemporaryDirectory() as folder:
            run("emdsim", "-fqj1", "--fram", "2", "--siz=16", "a.emd", cwd=folder)
            run("emdsim", "a.emd", "-qf", "--frames=1", "--size", "16", "--beam-stop", cwd=folder)
            run("emdsim", "-q", "--frames=1", "--size", "16", "--", "-b.emd", cwd=folder)
            self.assertTrue(os.path.exists(f"{folder}/-b.emd"))
            run("emdsim", "--frames=1", "--size", "16", "--no-tilt", "-j", "0", "c.emd", code=2, cwd=folder)
            self.assertFalse(os.path.exists(f"{folder}/c.emd"))

    def test_values(self):
        for word, wanted in (("--size=15", "not N or WxH from 16 to 8192"),
                             ("--frames=-1", "not a whole number from 0 to 100000"),
                             ("--noise=x", "not a number from 0 to 100"),
                             ("--cell=1,2", "not six positive numbers"),
                             ("--omit=tilt,gian", "did you mean 'gain'?"),
                             ("--blank=5:3", "not A:B with images from 1")):
            self.assertIn(f"emdsim: {word.replace('=', ' ')}: ", run("emdsim", word, code=2).stderr)
            self.assertIn(wanted, run("emdsim", word, code=2).stderr)

    def test_completions_option(self):
        for program in TABLES:
            self.assertIn("not bash, zsh or fish", run(program, "--completions=tcsh", code=2).stderr)


if __name__ == "__main__":
    unittest.main()
