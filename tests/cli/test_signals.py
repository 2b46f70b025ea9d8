# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Every tool that works for long stops soon after SIGINT and SIGTERM, dies of that signal, and leaves
neither an output nor a temporary file. The times are printed; only a hang is a failure, since test
machines can be busy. (emdprocess, emdblanks and emdwatch: in their own tests, with what they need.)
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BIN = os.environ["EMDTOOLS_BIN"]
SECONDS = 60  # a hang; what is promised is one


def tool(name, *arguments):
    return [os.path.join(BIN, name), *arguments]


# what to run in a folder with the movie in.emd and its copy same.emd; each takes many seconds
COMMANDS = {
    "zstd:19": tool("emdrepack", "-q", "-j", "1", "-c", "zstd:19", "in.emd", "out.emd"),
    "batch": tool("emdrepack", "-q", "--jobs", "2", "-c", "zstd:22", "-d", "out", "in.emd", "same.emd"),
    "salvage": tool("emdrepack", "-q", "-j", "1", "-c", "zstd:19", "--salvage", "in.emd", "out.emd"),
    "frame statistics": tool("emdrepack", "-q", "-c", "zstd:19", "--frame-stats", "in.emd", "out.emd"),
    "--check": tool("emdrepack", "-q", "-j", "1", "--check", *["in.emd"] * 60),
    "--compare": tool("emdrepack", "-q", "-j", "1", "--compare", "in.emd", "same.emd"),
    "emdsim": tool("emdsim", "-q", "--size", "2048", "--frames", "400", "out.emd"),
    "emdinfo --tilt": tool("emdinfo", "--tilt", *["in.emd"] * 40),
    "emdinfo --max": tool("emdinfo", "-q", "--max", "--png", "out.png", "in.emd"),
}
QUICK = ("--compare", "emdinfo --max")  # may end before the signal comes


class Signals(unittest.TestCase):
    def stop(self, name, number):
        """Seconds from the signal to the end."""
        before = sorted(os.listdir("."))
        with subprocess.Popen(COMMANDS[name], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as process:
            time.sleep(0.5)
            sent = time.monotonic()
            process.send_signal(number)
            try:
                said = process.communicate(timeout=SECONDS)[1].decode(errors="replace")
            except subprocess.TimeoutExpired:
                process.kill()
                self.fail("does not stop")
        took = time.monotonic() - sent
        if process.returncode == 0 and name in QUICK:
            for left in set(os.listdir(".")) - set(before):
                os.remove(left)
            return 0
        self.assertEqual(process.returncode, -number, said)
        if os.path.isdir("out"):
            self.assertEqual(os.listdir("out"), [])
            os.rmdir("out")
        self.assertEqual(sorted(os.listdir(".")), before)
        return took

    def test_all(self):
        for name in COMMANDS:
            for number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(name=name, signal=number.name):
                    print(f"{name}, {number.name}: {self.stop(name, number):.2f} s", flush=True)


def setUpModule():
    folder = tempfile.TemporaryDirectory(dir=".")
    unittest.addModuleCleanup(folder.cleanup)
    unittest.addModuleCleanup(os.chdir, os.getcwd())
    os.chdir(folder.name)
    subprocess.run(tool("emdsim", "-q", "--size", "1024", "--frames", "40", "in.emd"), check=True)
    shutil.copy("in.emd", "same.emd")


if __name__ == "__main__":
    unittest.main()
