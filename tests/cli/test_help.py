# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The help of every program: within 80 columns, and its options in manual and completions, too."""

import os
import re
import subprocess
import unittest

BIN = os.environ["EMDTOOLS_BIN"]
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = ("emdblanks", "emdinfo", "emdlist", "emdprocess", "emdrepack", "emdsim", "emdsync",
            "emdwatch", "h5plugin-config")


def help_of(program):
    run = subprocess.run([os.path.join(BIN, program), "--help"], check=True, capture_output=True,
                         text=True)
    assert not run.stderr, run.stderr
    return run.stdout


def options_of(text):
    """All that looks like a long option."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text))


def offered(program):
    """The options that the help lists, each at the beginning of a line or after another one."""
    return set(re.findall(r"(?:^ +|[,;] )(?:-\w, )?(--[a-z][a-z0-9-]+)", help_of(program), re.M))


class Help(unittest.TestCase):
    def test_columns(self):
        for program in PROGRAMS:
            for line in help_of(program).splitlines():
                self.assertLessEqual(len(line), 80, f"{program}: {line}")

    def test_manual(self):
        for program in PROGRAMS:
            with open(f"{SOURCE}/docs/man/{program}.1", encoding="utf-8") as f:
                manual = options_of(re.sub(r"\\f.", " ", f.read()).replace("\\-", "-"))
            self.assertFalse(offered(program) - manual - {"--help", "--version"},
                             f"{program}: not in its manual")

    def test_completions(self):
        for program in PROGRAMS:
            for shell, name in (("bash", program), ("zsh", "_" + program)):
                path = f"{SOURCE}/share/completions/{shell}/{name}"
                if not os.path.exists(path):
                    continue
                with open(path, encoding="utf-8") as f:
                    known = options_of(f.read())
                self.assertFalse(offered(program) - known, path)


if __name__ == "__main__":
    unittest.main()
