# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The newest DIALS of Debian (sid; 3.30 or later): P1 and mP to the end on a movie compressed by edc, with
emdprocess outside and DIALS, our format class and our filters inside a Debian of its own.

    ctest --test-dir build -R '^nightly_dials_sid$'

Nightly; needs root, debootstrap and a Debian mirror (EMDTOOLS_DEBIAN_MIRROR, default debootstrap's own), else
it is skipped (exit 77). The system (3 GB) is made in build/dials-sid, or EMDTOOLS_DIALS_SID, and kept: the
first time takes a quarter of an hour.
"""

import json
import os
import shutil
import subprocess
import sys
import unittest

BUILD = os.environ["EMDTOOLS_BUILD_DIR"]
SYSTEM = os.path.abspath(os.environ.get("EMDTOOLS_DIALS_SID") or os.path.join(BUILD, "dials-sid"))
CELL = (5.34, 6.46, 10.86, 90, 91.3, 90)
FRAMES, BLANK_FROM = 72, 61


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def make_system():
    """Debian sid with DIALS. What was broken off is made anew."""
    if os.path.exists(os.path.join(SYSTEM, "usr/bin/dials.import")):
        return
    mirror = os.environ.get("EMDTOOLS_DEBIAN_MIRROR")
    if not os.path.exists(os.path.join(SYSTEM, "etc/debian_version")):
        subprocess.run(["debootstrap", "--variant=minbase", "sid", SYSTEM, *([mirror] if mirror else [])],
                       check=True)
    shutil.copy("/etc/resolv.conf", os.path.join(SYSTEM, "etc/resolv.conf"))
    # A frozen mirror is as good as a fresh one.
    for command in (["-o", "Acquire::Check-Valid-Until=false", "-qq", "update"],
                    ["-qq", "install", "-y", "--no-install-recommends", "dials", "python3-gemmi"]):
        subprocess.run(["chroot", SYSTEM, "env", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                        "apt-get", *command], check=True, stdout=subprocess.DEVNULL)


def enter():
    """Again in a mount namespace of our own, in which the system sees our files under their names."""
    if os.environ.get("EMDTOOLS_IN_NAMESPACE") != "1":
        os.environ["EMDTOOLS_IN_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    for source in (BUILD, os.environ["EMDTOOLS_SOURCE_DIR"], os.getcwd()):
        target = SYSTEM + os.path.realpath(source)
        os.makedirs(target, exist_ok=True)
        subprocess.run(["mount", "--bind", os.path.realpath(source), target], check=True)
    for kind in (["-t", "proc", "proc", "proc"], ["--rbind", "/dev", "dev"], ["-t", "tmpfs", "tmpfs", "tmp"]):
        subprocess.run(["mount", *kind[:-1], os.path.join(SYSTEM, kind[-1])], check=True)


def make_commands(folder):
    """What emdprocess takes for DIALS: each command changes root first."""
    os.mkdir(folder)
    for name in os.listdir(os.path.join(SYSTEM, "usr/bin")):
        if name.startswith("dials."):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"#!/bin/sh\nexec chroot '{SYSTEM}' /bin/sh -c 'cd \"$1\" && shift && exec \"$@\"' - "
                        f"\"$(pwd -P)\" /usr/bin/{name} \"$@\"\n")
            os.chmod(path, 0o755)


def tool(name, *args):
    run = subprocess.run([os.path.join(os.environ["EMDTOOLS_BIN"], name), *map(str, args)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(name, *args, run.stdout, sep="\n" if run.stdout else " ", flush=True)
    if run.returncode != 0:
        raise AssertionError(f"{name} {args}: exit {run.returncode}")
    return run.stdout


class NewestDials(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for name in ("HDF5_PLUGIN_PATH", "PYTHONPATH"):
            os.environ.pop(name, None)
        make_commands("commands")
        os.mkdir("images")
        tool("emdsim", "-q", "--size", 512, "--frames", FRAMES, "--step", 0.75, "--seed", 3, "--omit", "gain",
             "--blank", f"{BLANK_FROM}:{FRAMES}", "movie.emd")
        tool("emdrepack", "-q", "-c", "edc", "movie.emd", "images/Camera_Ceta_20260103_1512_618_mm.emd")
        with open("emdprocess.conf", "w", encoding="utf-8") as f:
            f.write("distance = 618\nmP.unit_cell = " + ",".join(map(str, CELL)) + "\n")
        for recipe in ("P1", "mP"):
            tool("emdprocess", "-v", "--dials", "commands", recipe)

    def test_results(self):
        for trial in ("P1", "P1/not_blank", "mP", "mP/not_blank"):
            with self.subTest(trial):
                (row,) = json.loads(tool("emdlist", "--format", "json", trial))
                self.assertEqual(row["outcome"], "good")
                found = [row[x] for x in "abc"] + [max(row[x], 180 - row[x]) for x in ("alpha", "beta", "gamma")]
                for value, true in zip(found, CELL):
                    self.assertLess(abs(value / true - 1), 0.005, row["cell"])
                self.assertLess(row["resolution"], 0.9)
                self.assertTrue(row["dials"])
                if trial.endswith("not_blank"):
                    self.assertLessEqual(abs(row["kept"] - (BLANK_FROM - 1)), 2 * 2 / 0.75)

    def test_record(self):
        with open("20260103_1512/P1/emdprocess.json", encoding="utf-8") as f:
            record = json.load(f)
        self.assertEqual(record["geometry"]["reader"], "FormatVeloxEMD")
        self.assertEqual({s["state"] for s in record["stages"]}, {"done"})
        for stage in record["stages"]:
            print(stage["name"], stage.get("dials"), stage.get("seconds"), flush=True)
        with open("20260103_1512/P1/integrated.refl", "rb") as f:
            self.assertEqual(f.read(30)[-1], 2)  # the version of tables since 3.29


if __name__ == "__main__":
    if os.geteuid() != 0 or not shutil.which("debootstrap") or not shutil.which("unshare"):
        skip("this needs root, debootstrap and unshare")
    try:
        make_system()
    except subprocess.CalledProcessError as error:
        skip(f"Debian sid cannot be installed: {error}")
    enter()
    unittest.main(verbosity=1, argv=sys.argv[:1])
