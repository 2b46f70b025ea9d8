# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdprocess --submit slurm with a real Slurm of one node, private to this test: its own munged,
slurmctld and slurmd on free ports, in a folder of its own.

Skipped (exit 77) where that cannot start: Debian's slurm-wlm and munge, and root, are needed.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ["EMDTOOLS_BIN"]
PATIENCE = 60
DAEMONS = []

CONF = """
ClusterName=test
SlurmctldHost=localhost
AuthType=auth/munge
AuthInfo=socket={d}/munge.socket
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={d}/state
SlurmdSpoolDir={d}/spool
SlurmctldPidFile={d}/slurmctld.pid
SlurmdPidFile={d}/slurmd.pid
SlurmctldLogFile={d}/slurmctld.log
SlurmdLogFile={d}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,defer_batch
NodeName=localhost CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""

RECIPE = """
set fail = d
stage one
  command = sh -c 'echo x >> ../ran; sleep 0.2; test $1 != $2 && echo $SLURM_JOB_ID > one.txt' - ${crystal} ${fail}
  inputs  = ${movie}
  outputs = one.txt
"""


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def free_ports(n):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def stop_slurm():
    for daemon in reversed(DAEMONS):
        daemon.terminate()
    for daemon in DAEMONS:
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def start(log, *command, user=None):
    with open(log, "w", encoding="utf-8") as f:
        DAEMONS.append(subprocess.Popen(command, stdout=f, stderr=f, stdin=subprocess.DEVNULL, user=user))


def start_slurm(d):
    """Exits with 77 if it does not come up."""
    for program in ("munged", "slurmctld", "slurmd", "sbatch", "sinfo"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skip(f"there is no {program}: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        skip("only root can start slurmd")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.mkdir(f"{d}/state")
    os.mkdir(f"{d}/spool")
    os.chmod(d, 0o755)
    with open(f"{d}/munge.key", "wb") as f:
        os.fchmod(f.fileno(), 0o400)
        f.write(os.urandom(128))
    with open(f"{d}/slurm.conf", "w", encoding="utf-8") as f:
        f.write(CONF.format(d=d, ports=free_ports(2)))
    os.environ["SLURM_CONF"] = f"{d}/slurm.conf"
    start(f"{d}/munged.out", "munged", "--foreground", "--force", f"--key-file={d}/munge.key",
          f"--socket={d}/munge.socket", f"--pid-file={d}/munge.pid", f"--log-file={d}/munge.log",
          f"--seed-file={d}/munge.seed")
    time.sleep(0.5)
    start(f"{d}/slurmctld.out", "slurmctld", "-D", "-c", "-f", f"{d}/slurm.conf")
    start(f"{d}/slurmd.out", "slurmd", "-D", "-f", f"{d}/slurm.conf", "-N", "localhost")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        run = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, check=False)
        if run.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    stop_slurm()
    for log in ("munged.out", "slurmctld.out", "slurmd.out", "slurmctld.log", "slurmd.log"):
        if os.path.exists(f"{d}/{log}"):
            with open(f"{d}/{log}", encoding="utf-8") as f:
                print(log, f.read()[-1000:])
    skip(f"Slurm does not start here: {run.stdout}{run.stderr}")


def setUpModule():
    folder = tempfile.TemporaryDirectory(dir="/tmp", prefix="emdslurm.")  # paths of sockets are short
    unittest.addModuleCleanup(folder.cleanup)
    unittest.addModuleCleanup(os.chdir, os.getcwd())
    start_slurm(folder.name)
    unittest.addModuleCleanup(stop_slurm)
    os.makedirs(f"{folder.name}/project/images")
    os.chdir(f"{folder.name}/project")
    for name in "abcd":
        subprocess.run([os.path.join(BIN, "emdsim"), "-q", "--size", "32", "--frames", "12",
                        f"images/{name}.emd"], check=True)
    with open("test.recipe", "w", encoding="utf-8") as f:
        f.write(RECIPE)


def submit(*args, code=0):
    run = subprocess.run([os.path.join(BIN, "emdprocess"), "--submit", "slurm", "-j", "1",
                          "--slurm=--wait", *args, "test"], capture_output=True, text=True, check=False,
                         timeout=PATIENCE)
    if run.returncode != code:
        raise AssertionError(f"{args}: exit {run.returncode}, not {code}: {run.stdout}{run.stderr}")
    return run.stdout + run.stderr


def ran():
    counts = {}
    for name in "abcd":
        path = f"{name}/ran"
        counts[name] = 0
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                counts[name] = len(f.readlines())
            os.unlink(path)
    return counts


def outputs():
    texts = []
    for name in sorted(os.listdir("slurm")):
        if name.endswith(".out"):
            with open(f"slurm/{name}", encoding="utf-8") as f:
                texts.append(f.read())
            os.unlink(f"slurm/{name}")
    return texts


class Submission(unittest.TestCase):
    def test_array(self):
        out = submit("-n")
        self.assertIn("--array=1-4", out)
        self.assertIn("--cpus-per-task=1", out)
        self.assertFalse(os.path.exists("slurm"))
        # --wait gives the worst exit code of the tasks: one crystal fails
        submit(code=1)
        self.assertEqual(ran(), dict.fromkeys("abcd", 1))
        texts = outputs()
        self.assertEqual(len(texts), 4)
        self.assertEqual(sum("1 crystals: 1 done" in t for t in texts), 3)
        self.assertEqual(sum("d/test: failed at one: exit code 1" in t for t in texts), 1)
        with open("a/test/emdprocess.json", encoding="utf-8") as f:
            self.assertEqual(json.load(f)["stages"][0]["state"], "done")
        # Nothing left that could go well.
        self.assertIn("nothing to submit", submit())
        # What failed only.
        self.assertIn("--array=1-1", submit("-n", "--retry"))
        submit("--retry", "-D", "fail=none")
        self.assertEqual(ran(), {"a": 1, "b": 1, "c": 1, "d": 1})  # another command for all of them
        with open("b/test/one.txt", "w", encoding="utf-8") as f:
            f.write("changed\n")
        submit("-D", "fail=none")
        self.assertEqual(ran(), {"a": 0, "b": 1, "c": 0, "d": 0})
        self.assertIn("nothing to submit", submit("-D", "fail=none"))

    def test_refused(self):
        outputs()
        out = submit("--slurm=--partition=none", "--force", code=1)
        self.assertIn("sbatch: exit code 1", out)
        with open("mine.sbatch", "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho mine $#\n")
        submit("--template", "mine.sbatch", "--force")
        self.assertTrue(all(t.startswith("mine ") for t in outputs()))
        run = subprocess.run([os.path.join(BIN, "emdprocess"), "--submit", "pbs", "test"],
                             capture_output=True, check=False)
        self.assertEqual(run.returncode, 2)
        run = subprocess.run([os.path.join(BIN, "emdprocess"), "--submit", "slurm", "-n", "--force", "-m", "2G",
                              "test"], capture_output=True, text=True, check=True)
        self.assertIn(" --cpus-per-task=4 --mem=2049M ", run.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=1)
